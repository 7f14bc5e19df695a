/* hub_fork.h - the way out of a fork, at the hub (SPEC.md section 8): when hub and upstream hold
 * different histories, upstream names a new store epoch, and then
 *
 *   taking     the epoch is in the hub's own record, perhaps not durable yet
 *   closing    every lease ends; none is given until all of this is over
 *   carrying   phones and answers to commands are appended again
 *   listing    pages of what the hub has go up, and what is missing there is appended again
 *   ending     that all of it was told is in the hub's own record, perhaps not durable yet
 *   settled    as before
 *
 * The log goes on: in the new epoch upstream's cursor begins behind a gap that holds everything up
 * to the hub's head. What is durable of this is in the hub's own record (struct record_life); a
 * start in the middle begins again with `closing`. */
#ifndef FIRMWARE_HUB_FORK_H
#define FIRMWARE_HUB_FORK_H

#include "firmware/hub.h"
#include "protocol/sync_inventory.h"

#define HUB_EPOCH_MAX ((UINT32_C(1) << 23) - 1) /* SPEC.md section 2 */

enum hub_fork_event {
    HUB_FORK_ON_EPOCH,   /* upstream named a new epoch */
    HUB_FORK_ON_DURABLE, /* the hub's own record is durable */
    HUB_FORK_ON_CLOSED,  /* the last lease has ended */
    HUB_FORK_ON_CARRIED, /* what belongs to no process was appended again */
    HUB_FORK_ON_TOLD,    /* upstream has judged the last page */
    HUB_FORK_EVENT_COUNT
};

must_check enum status hub_fork_apply(enum hub_fork_state *state, enum hub_fork_event event);
const char *hub_fork_state_name(enum hub_fork_state state);
const char *hub_fork_event_name(enum hub_fork_event event);

/* Takes on a new epoch; OK also when that one is being taken. AGAIN: commit, and call again.
 * ILLEGAL: it is not above the hub's, or too high. */
must_check enum status hub_fork_take(struct hub *hub, uint32_t epoch);

/* Whether a new epoch is not durable yet: until then nothing is to be pushed. */
bool hub_fork_is_taking(const struct hub *hub);
/* Whether leases may be given, and upstream's commands taken. */
bool hub_fork_is_settled(const struct hub *hub);
/* Whether a page of the inventory waits to be pushed. */
bool hub_fork_has_page(const struct hub *hub);
/* Writes the next page; false: there is none, or it does not fit. */
bool hub_fork_page(struct hub *hub, struct cbor_writer *writer);
/* Takes upstream's verdicts on the page that was written last; others change nothing. What has no
 * room in the open group comes again with the next page. */
void hub_fork_judge(struct hub *hub, struct bytes verdicts);

#endif
