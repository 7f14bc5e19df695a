/* hub_sync.h - the hub's side of the sync (SPEC.md section 8), whatever carries its messages: which
 * part of the log to push next, and what upstream's answer says about it.
 *
 * Who carries it decides when to push, and starts anew after any
 * failure: the log itself says where to go on. */
#ifndef FIRMWARE_HUB_SYNC_H
#define FIRMWARE_HUB_SYNC_H

#include "firmware/hub_fork.h"

struct hub_sync {
    struct hub *hub;
    struct store_cursor cursor; /* in the log, behind what was pushed last */
    uint64_t push_last_seq;
    uint8_t push_chain[RECORD_CHAIN_BYTES]; /* at push_last_seq */
    uint32_t push_records;                  /* of the last push */
    uint64_t sent_ms;         /* monotonic; when the last push was written, for hub_sync_take() */
    uint32_t wait_ms;         /* that the next push says; 0: answer at once */
    uint32_t reply_bytes_max; /* that the carrier takes; 0: as many as may be */
    uint8_t *group_buffer;
    size_t group_bytes;
    bool asks_epoch; /* upstream holds what is not our history: the next push says so */
    uint8_t page[SYNC_PAGE_BYTES + SYNC_INVENTORY_ROWS_MAX * SYNC_ROW_BYTES];
};

/* `group_buffer` is the sync's for its life and holds any commit group of this hub's board. */
void hub_sync_init(struct hub_sync *sync, struct hub *hub, uint8_t *group_buffer,
                   size_t group_bytes);

/* Something is durable that upstream has not acknowledged, or an inventory is to be told. */
bool hub_sync_has_more(const struct hub_sync *sync);

/* Writes a push into `buffer`: everything durable behind the acknowledged cursor, as much as fits;
 * what the hub has given up is told in front of it, and after a fork a page of the inventory behind
 * it, when that is all.
 * `capacity` is at least SYNC_PUSH_HEAD_MAX. `message` is a view into the buffer. CORRUPT:
 * the next group cannot be read; it is given up, and what follows can be pushed once that is
 * durable. IO. */
must_check enum status hub_sync_push(struct hub_sync *sync, bool is_hello, uint8_t *buffer,
                                     size_t capacity, struct bytes *message);

/* Takes what a reply with SYNC_OK or SYNC_GAP says is stored, and verdicts on the inventory. False:
 * upstream holds another history than this hub (a fork): nothing was taken, and the next push asks
 * for a new epoch. */
must_check bool hub_sync_accept(struct hub_sync *sync, const struct sync_reply *reply);

/* Applies what a reply that was accepted tells the hub to do: commands, and grants that go on. The
 * reply answers the push that was written when `sent_ms` was the monotonic time, in this boot: a
 * grant counts from there. What finds no room is left: upstream repeats what it has not been told
 * to be applied. */
void hub_sync_take(struct hub_sync *sync, const struct sync_reply *reply, uint64_t sent_ms);

/* Takes on the epoch that a reply with SYNC_FORK names: as hub_fork_take(). The next push is due
 * when it is durable: hub_fork_is_taking() is false. */
must_check enum status hub_sync_fork(struct hub_sync *sync, const struct sync_reply *reply);

#endif
