/* hub_fork_rig.h - the rig of hub_rig.h on its way out of a fork: the endpoint's part in few words.
 */
#ifndef TESTS_FIRMWARE_HUB_FORK_RIG_H
#define TESTS_FIRMWARE_HUB_FORK_RIG_H

#include "protocol/sync_inventory.h"
#include "tests/firmware/hub_rig.h"

enum { FORK_PAGE_BYTES = 2048 };

/* Takes the epoch, and commits until the hub can. */
void fork_take(struct rig *rig, uint32_t epoch);
/* Steps and commits until the hub is there. */
void fork_settle_until(struct rig *rig, enum hub_fork_state wanted);

/* The page that the hub tells now, in at most `capacity` bytes. False: none. */
bool fork_page(struct rig *rig, size_t capacity, struct sync_inventory *page);
/* The endpoint's answer to the page that begins with `from`. */
void fork_judge(struct rig *rig, uint64_t from, const struct sync_verdict *verdicts,
                uint32_t count);
/* Every process gets the same verdict, with the revision it has, until the hub has settled. */
void fork_answer_all(struct rig *rig, enum sync_verdict_kind kind);

/* A process of one item whose only attempt ends so; its index. */
uint32_t fork_finish_one(struct rig *rig, enum record_outcome outcome);
/* Records until the open group takes fewer than `bytes` (at least HUB_GAP_BYTES) more. */
void fork_fill(struct rig *rig, uint32_t bytes);

#endif
