/* fleet_fork.h - forks, and the way out of them, at upstream (SPEC.md section 8): which life of a
 * hub pushes, a new epoch for one whose history is another, what its inventory lacks, and hosts
 * that share a certificate. Private to fleet*.c. */
#ifndef HOST_UPSTREAMD_FLEET_FORK_H
#define HOST_UPSTREAMD_FLEET_FORK_H

#include "host/upstreamd/fleet/apply.h"
#include "host/upstreamd/fleet/fleet.h"
#include "protocol/sync_inventory.h"

enum fleet_life {
    FLEET_LIFE_PRESENT,  /* the one that upstream holds: to be judged */
    FLEET_LIFE_FORMER,   /* another one of this hub has begun since */
    FLEET_LIFE_FORGOTTEN /* upstream does not know of it any more: its database is an older one */
};

/* Finds the store that pushes, or takes in a new one; one that pushes in the epoch that was named
 * to it begins that here, and the hub is not settled any more. */
must_check enum status fleet_find_life(struct fleet *fleet, struct db_hub *hub,
                                       const struct sync_push *push, struct db_store *store,
                                       enum fleet_life *life);

/* One push that is judged: whose, and what it is answered. */
struct fleet_visit {
    struct db_hub *hub;
    struct db_store *store;
    const struct sync_push *push;
    struct sync_reply *reply;
    enum fleet_life life;
};

/* The hub's history is another: names an epoch in the reply, durable with the transaction. */
must_check enum status fleet_fork(struct fleet *fleet, const struct fleet_visit *visit);

/* Judges the page of the inventory in a push that was taken; the verdicts stay until
 * fleet_begin_turn(). Without room for them the hub asks again. */
must_check enum status fleet_judge_page(struct fleet *fleet, const struct fleet_visit *visit);

/* Of fleet.c. A boot whose clock the hub has not told yet: what it says now, or the moment the push
 * came. Then records of its life may be applied. */
must_check enum status fleet_learn_clock(struct fleet *fleet, const struct db_store *store,
                                         const struct record_time *now);
void fleet_begin_apply(struct fleet *fleet, const struct db_store *store, const struct db_hub *hub,
                       struct apply *apply);

#endif
