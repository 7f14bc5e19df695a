/* keeper.h - `[store] keep_days`: deletes what has ended longer ago, a little at a time, so that
 * nobody waits for it (db_keep.h). Any number of upstreamd may do so on one database. */
#ifndef HOST_UPSTREAMD_KEEPER_H
#define HOST_UPSTREAMD_KEEPER_H

#include "host/upstreamd/db/db_keep.h"
#include "host/upstreamd/fleet/dispatch.h"

enum {
    KEEPER_STEP_MS = 100,   /* between two steps, while there is something to delete */
    KEEPER_REST_MS = 60000, /* else */
    KEEPER_PROCESSES = 16,  /* in one step */
};

struct keeper {
    struct dispatch *dispatch;
    uint64_t keep_ms; /* 0: everything is kept */
    uint64_t next_ms; /* monotonic: the next step */
    struct db_old at; /* how far this round has come; zeros: at the beginning */
};

/* Once in every turn, outside of transactions. */
void keeper_step(struct keeper *keeper);
uint64_t keeper_deadline_ms(const struct keeper *keeper);

#endif
