/* fork_world.h - a hub and its upstream in one process, for the tests of forks: the real core on a
 * flash in memory, the real judge on SQLite in memory, and everything that is sent as bytes.
 *
 * Both can be set back to any earlier image of themselves. What must hold is checked after each
 * message (tokens, ends) and when both have come to rest (world_converge()). */
#ifndef TESTS_HOST_FORK_WORLD_H
#define TESTS_HOST_FORK_WORLD_H

#include "firmware/hub_sync.h"
#include "host/upstreamd/fleet/dispatch.h"
#include "protocol/sync_command.h"
#include "tests/firmware/hub_rig.h"

enum {
    WORLD_PHONES = 2,
    WORLD_RUNS = 8,
    WORLD_TOKENS = 8192,
    WORLD_ENDS = 512,
    WORLD_COMMANDS = 64,
    WORLD_DB_BYTES = 1 << 20,
};

enum world_loss { WORLD_NO_LOSS, WORLD_PUSH_LOST, WORLD_REPLY_LOST };

/* A cancel of one of the hub's own processes. */
struct world_command {
    uint64_t process;
    uint64_t number; /* in the present upstream epoch */
};

struct world_upstream {
    uint8_t *database;
    size_t bytes;
    uint32_t epoch;
    struct world_command commands[WORLD_COMMANDS];
    uint32_t command_count;
};

struct world_end {
    int64_t store;
    uint8_t request[SYNC_DIGEST_BYTES]; /* a process is what was asked for: numbers may move */
    uint32_t generation;
    uint8_t status;
};

struct world {
    struct rig rig;
    struct hub_sync sync;
    struct db db;
    struct fleet fleet;
    struct dispatch *dispatch; /* upstream's own work; NULL: the commands below */
    uint64_t before_ms;        /* upstream's monotonic time when the hub booted last */
    uint32_t epoch;            /* of upstream */
    struct world_command commands[WORLD_COMMANDS];
    uint32_t command_count;
    struct hub_start runs[WORLD_PHONES];
    uint64_t tokens[WORLD_TOKENS];
    uint32_t token_count;
    uint32_t told_tokens; /* that upstream has heard of */
    bool is_restored;     /* the flash is an older one, and upstream has not been heard since */
    bool is_forgetful;    /* the database is an older one, and the hub has not heard of it since */
    bool is_blind;        /* both ends were set back: nobody can know which tokens were given */
    struct world_end ends[WORLD_ENDS];
    uint32_t end_count;
    uint32_t forks, messages, alarms;
    uint32_t pages,
        mixed; /* replies of the dispatch with verdicts, and with commands beside them */
};

void world_start(struct world *world);
void world_stop(struct world *world);

/* Upstream's clock is the rig's, but that no boot of the hub sets it back. */
void world_set_clock(struct world *world);

/* One message each way. */
void world_exchange(struct world *world, enum world_loss loss);
/* The push of the last exchange comes to upstream once more, behind those that follow until then;
 * nobody hears the answer. */
void world_keep_push(void);
void world_repeat_push(struct world *world);
/* Begins attempts that are due, and ends those that run. */
void world_run(struct world *world, enum record_outcome outcome);
void world_restart(struct world *world, bool same_boot);
/* Upstream wants a process of the hub canceled. */
void world_command(struct world *world, uint64_t process);

void world_take_flash(const struct world *world, uint8_t cells[RIG_FLASH_BYTES]);
void world_set_flash(struct world *world, const uint8_t cells[RIG_FLASH_BYTES]);
void world_take_upstream(struct world *world, struct world_upstream *image);
void world_set_upstream(struct world *world, const struct world_upstream *image);

/* Sends until nothing is left to say; fails after `most` messages. */
void world_converge(struct world *world, uint32_t most);

#endif
