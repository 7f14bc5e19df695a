/* fleet.h - what hubs push is judged and stored here: at least once on the wire, exactly once in
 * effect (SPEC.md section 8).
 *
 * Records apply by (store id, epoch, sequence). Those that are stored already are skipped, after
 * their chain hash was compared; missing ones are answered with the cursor there is, unless the hub
 * says that it has given them up: then the cursor goes behind that gap; another history is a
 * fork: nothing is stored, an alarm is logged and counted, and the hub is told a new epoch
 * (fleet_fork.h). Pushes of one turn of the loop share one
 * transaction, and a reply is sent only after it is durable.
 *
 * Nothing of a hub is kept in RAM: its row is read, and locked, by each push. So any number of
 * upstreamd may share one database, and a hub may push to any of them, even to two at once. */
#ifndef HOST_UPSTREAMD_FLEET_H
#define HOST_UPSTREAMD_FLEET_H

#include "host/upstreamd/db/db_fleet.h"

enum {
    FLEET_STALE_MS = 60000,      /* a hub that was silent for longer: what is shown may be old */
    FLEET_SAVE_MS = 15000,       /* how often it is stored that a hub with nothing new was heard */
    FLEET_RETRY_MS = 2000,       /* what a hub waits after a fault of ours */
    FLEET_FORK_RETRY_MS = 60000, /* and where an operator must do something */
    FLEET_PAGES = 16,            /* of inventories that are judged in one turn */
    FLEET_VERDICT_BYTES = 1400,  /* of the verdicts on one */
    FLEET_TOUCHES_MAX = 8192,    /* records of a turn whose processes are locked ahead */
};

struct fleet_clock {
    uint64_t mono_ms;
    uint64_t wall_ms;
};

struct fleet_counters {
    uint64_t pushes;
    uint64_t records;    /* stored */
    uint64_t bytes;      /* of them */
    uint64_t duplicates; /* records that were stored before */
    uint64_t unknown;    /* records stored without being understood */
    uint64_t gaps;       /* pushes that left records out */
    uint64_t given_up;   /* records that hubs have said will never come */
    uint64_t forks;
    uint64_t conflicts; /* processes of inventories that had ended otherwise here */
    uint64_t sealed;    /* records that would have changed what had ended before a fork */
    uint64_t restored;  /* pushes that prove that the database is an older one */
    uint64_t refused;   /* not a push at all */
    uint64_t deleted;   /* processes that ended too long ago to be kept */
    uint64_t commits;
    uint64_t failures; /* of the database */
};

struct fleet {
    struct db *db;
    struct fleet_clock now;
    struct fleet_counters counters;
    bool has_changed; /* something of the fleet's own was told: dispatch is to look */
    struct record_boot boots[DB_BOOTS_MAX]; /* of the store being pushed to */
    uint32_t boot_count;
    uint32_t
        told_epoch; /* highest upstream epoch of a hub that proves an older database; 0: none */
    uint32_t page_count;
    uint8_t pages[FLEET_PAGES][FLEET_VERDICT_BYTES];
};

/* Before the pushes of one transaction: what earlier replies point to is not needed any more. */
void fleet_begin_turn(struct fleet *fleet);

/* fleet_lock.c, first of all in the transaction: locks the processes of the fleet that its pushes
 * tell of, in the order of db.h. */
void fleet_lock_begin(struct fleet *fleet);
void fleet_lock_add(struct fleet *fleet, struct bytes hub_id, const struct sync_push *push);
must_check enum status fleet_lock_end(struct fleet *fleet);

/* Judges a push and stores it inside the open transaction. `hub_id` is the certificate's. OK: the
 * reply is to be sent once the transaction is committed. IO: roll back. The reply's text is
 * static. */
must_check enum status fleet_push(struct fleet *fleet, struct bytes hub_id,
                                  const struct sync_push *push, struct sync_reply *reply);

/* Inside the open transaction: a quarantined hub may push again. NOT_FOUND: no such hub. */
must_check enum status fleet_release(struct fleet *fleet, const char *hub_id);

/* What was last heard then may be old. */
bool fleet_is_stale(const struct fleet *fleet, uint64_t last_seen_ms);

#endif
