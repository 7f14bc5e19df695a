/* fleet.h - what hubs push is judged and stored here: at least once on the wire, exactly once in
 * effect (SPEC.md section 8).
 *
 * Records apply by (store id, epoch, sequence). Those that are stored already are skipped, after
 * their chain hash was compared; a gap is answered with the cursor there is; another history is a
 * fork: nothing is stored, an alarm is logged and counted. Pushes of one turn of the loop share one
 * transaction, and a reply is sent only after it is durable. */
#ifndef HOST_UPSTREAMD_FLEET_H
#define HOST_UPSTREAMD_FLEET_H

#include "host/upstreamd/db.h"

enum {
    FLEET_HUBS_MAX = 1024,
    FLEET_STALE_MS = 60000,      /* a hub that was silent for longer: what is shown may be old */
    FLEET_SAVE_MS = 60000,       /* how often last_seen of a silent hub is stored */
    FLEET_RETRY_MS = 2000,       /* what a hub waits after a fault of ours */
    FLEET_FORK_RETRY_MS = 60000, /* and after a fork, which an operator must settle */
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
    uint64_t gaps;
    uint64_t forks;
    uint64_t refused; /* not a push at all, or too many hubs */
    uint64_t commits;
    uint64_t failures; /* of the database */
};

struct fleet {
    struct db *db;
    struct db_hub hubs[FLEET_HUBS_MAX]; /* in no order */
    uint64_t saved_ms[FLEET_HUBS_MAX];  /* last_seen as it is in the database */
    uint32_t hub_count;
    struct fleet_clock now;
    struct fleet_counters counters;
    struct record_boot boots[DB_BOOTS_MAX]; /* of the store being pushed to */
    uint32_t boot_count;
};

/* Reads the hubs that are known. FULL: more than FLEET_HUBS_MAX. */
must_check enum status fleet_open(struct fleet *fleet, struct db *db);

/* Judges a push and stores it inside the open transaction. `hub_id` is the certificate's. OK: the
 * reply is to be sent once the transaction is committed. FULL: one hub too many; nothing changed.
 * IO: roll back, then fleet_reload(). The reply's text is static. */
must_check enum status fleet_push(struct fleet *fleet, struct bytes hub_id,
                                  const struct sync_push *push, struct sync_reply *reply);

/* After a rollback: what is in RAM is read again. */
must_check enum status fleet_reload(struct fleet *fleet);

/* NULL: not known. */
const struct db_hub *fleet_hub(const struct fleet *fleet, const char *hub_id);

bool fleet_is_stale(const struct fleet *fleet, const struct db_hub *hub);

#endif
