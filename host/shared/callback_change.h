/* callback_change.h - which changes of a process its caller is told of, and what the message begins
 * with; for hub and upstream alike (facts of the documented contract: docs/api.md, Callbacks). */
#ifndef HOST_SHARED_CALLBACK_CHANGE_H
#define HOST_SHARED_CALLBACK_CHANGE_H

#include "firmware/backoff.h"
#include "firmware/process.h"
#include "host/shared/json_write.h"

enum { CALLBACK_TRIES = 10 }; /* of one change */

extern const struct backoff callback_again; /* between two tries */

/* A record of a process, as far as callbacks care. */
struct callback_change {
    uint64_t id; /* of the event; 0: none */
    uint8_t status;
    bool is_cancel; /* cancel was asked for */
    bool is_first;
};
struct callback_change callback_change_of(const struct record_header *header);

/* Whether it is a public change, when the status before was `before` (row, or PROCESS_NONE). */
bool callback_is_change(const struct callback_change *change, uint8_t before);

/* Writes event_type, milestone, event_id and emitted_at into the object begun. */
void callback_write_head(struct json_writer *writer, const struct callback_change *change,
                         uint64_t wall_ms);

/* The URL of a request's callback member (its raw JSON). NOT_FOUND. */
must_check enum status callback_url(struct bytes callback, char *url, size_t capacity);

#endif
