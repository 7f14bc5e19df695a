/* phone_table.h - the operations of one phone link: slots, their ends, and the fence before them.
 *
 * The inner half of phone_link.c; nothing else includes it. */
#ifndef HOST_HUBD_PHONE_TABLE_H
#define HOST_HUBD_PHONE_TABLE_H

#include "host/hubd/phones/phone_link.h"

/* NULL: there is none. */
struct phone_operation *phone_table_find(struct phone_link *link, uint32_t id);
struct phone_operation *phone_table_find_by_stream(struct phone_link *link, uint32_t stream);

/* Finds a slot for an operation that may start now; errors as phone_link_shell(). The slot stays
 * free until phone_table_commit(), which gives the operation its id. */
must_check enum status phone_table_begin(struct phone_link *link, uint64_t token,
                                         enum phone_operation_kind kind, struct bytes text,
                                         struct phone_operation **operation);
uint32_t phone_table_commit(struct phone_link *link, struct phone_operation *operation,
                            uint64_t token, const struct phone_handler *handler);

/* Frees a slot: without a word, or telling its owner, who may do anything from inside that call. */
void phone_table_drop(struct phone_link *link, struct phone_operation *operation);
void phone_table_report(struct phone_link *link, struct phone_operation *operation);

/* Reports all that is over. False: the link was closed or attached anew meanwhile. */
bool phone_table_report_all(struct phone_link *link);

/* Marks all operations as over. */
void phone_table_end_all(struct phone_link *link, enum status status, const char *why);

/* Raises the fence and marks what is below it as over; a lower token changes nothing. */
void phone_table_fence(struct phone_link *link, uint64_t token);

/* Whether the phone owes an answer to an OPEN or a WRTE. */
bool phone_table_is_owed(const struct phone_link *link);

#endif
