/* process_id.h - the public names of processes and items (SPEC.md section 4):
 * `<hub id>-<store epoch>-<number>`, and `<process id>.<number>` for an item.
 *
 * A hub id may itself hold dashes and dots: names are read from their end. Numbers are decimal,
 * without leading zeros, so that one object has one name. */
#ifndef HOST_SHARED_PROCESS_ID_H
#define HOST_SHARED_PROCESS_ID_H

#include "protocol/record.h"

enum { PROCESS_ID_SIZE = RECORD_ID_MAX + 1 + 10 + 1 + 20 + 1 + 10 + 1 }; /* with NUL */

struct process_id {
    char hub_id[RECORD_ID_MAX + 1];
    uint32_t epoch;  /* from 1 */
    uint64_t number; /* from 1 */
    uint32_t item;   /* from 1; 0: the process itself */
};

/* The name of a process: its number may hold the epoch in which it was given, in front of
 * RECORD_NUMBER_BITS bits; else that is `first_epoch`. `hub_id` has 1 to RECORD_ID_MAX bytes. */
struct process_id process_id_make(struct bytes hub_id, uint32_t first_epoch, uint64_t number);
/* And back to the number. */
uint64_t process_id_number(const struct process_id *id, uint32_t first_epoch);
void process_id_format(const struct process_id *id, char text[PROCESS_ID_SIZE]);

/* MALFORMED: not the name of a process (of an item). */
must_check enum status process_id_parse(struct bytes text, struct process_id *id);
must_check enum status process_id_parse_item(struct bytes text, struct process_id *id);

#endif
