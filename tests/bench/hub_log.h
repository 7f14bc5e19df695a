/* hub_log.h - what a hub has to tell upstream: the commit groups of real jobs, as the core writes
 * them (hub_work.h), once for all simulated hubs. A hub's own name and its phones' are filled in
 * for each; so each has a history and chain hashes of its own. */
#ifndef TESTS_BENCH_HUB_LOG_H
#define TESTS_BENCH_HUB_LOG_H

#include "protocol/sync_message.h"

enum { HUB_LOG_GROUP_BYTES = 65536 }; /* of the records of one group, at most */

struct hub_log_group {
    size_t at; /* of its records, encoded as in a push */
    uint32_t size;
    uint32_t record_count;
    uint32_t transitions; /* changes of an item's state: its records of items */
};

struct hub_log {
    const uint8_t *bytes;
    const struct hub_log_group *groups;
    uint32_t group_count;
};

/* Takes jobs through a hub, `batch` (1..HUB_WORK_PHONES) at a time: accepted, leased and started,
 * ended, a commit group each. Once in a program; mapped for its life. */
void hub_log_make(struct hub_log *log, uint32_t jobs, uint32_t batch);

/* Copies the records of a group for hub number `index` (0..999999), whose id is hub-NNNNNN. */
void hub_log_copy(const struct hub_log *log, const struct hub_log_group *group, uint32_t index,
                  uint8_t target[HUB_LOG_GROUP_BYTES]);

#endif
