/* db_keep.h - how long things are kept: what becomes of a process that ended long ago, in steps of
 * a bounded size (SPEC.md section 4).
 *
 * Its records go, oldest first, then the newest images, the row of the list, items and parts; with
 * it what its hub told before its end of phones, boots, keys and answers, but for the newest
 * images. Of a group's last record the place and the chain hash stay: a hub may compare histories
 * there at any time. A process of the fleet leaves its key behind, so that a duplicate is known for
 * one for DB_KEY_MS more. Commands are deleted when they are answered; those that are not must
 * stay, their numbers have no holes; those of an earlier upstream epoch will not be sent any more.
 */
#ifndef HOST_UPSTREAMD_DB_KEEP_H
#define HOST_UPSTREAMD_DB_KEEP_H

#include "host/upstreamd/db/db_fleet.h"

enum { DB_KEEP_RECORDS = 500 }; /* that one call deletes at most, of each sort */
#define DB_KEY_MS (UINT64_C(7) * 86400 * 1000)

/* A process that has ended, and where it stands in the order of the ends. */
struct db_old {
    int64_t store;
    uint64_t number;
    uint64_t finished_ms; /* wall clock */
    int64_t id;
    char hub_id[RECORD_ID_MAX + 1];
    uint8_t status;
};

/* The next one behind `old` that ended at `until_ms` or before. */
must_check enum status db_keep_next(struct db *db, uint64_t until_ms, struct db_old *old);

/* Deletes some of it, with its hub (or, of the fleet, it) locked by the caller. OK: all of it is
 * gone; AGAIN: there is more. */
must_check enum status db_keep_delete(struct db *db, const struct db_old *old);
/* Of the fleet's, behind db_keep_delete(): its items go and its key stays. */
must_check enum status db_keep_evict(struct db *db, const struct db_old *old, uint64_t now_ms);

/* Deletes keys whose time is over, and commands of upstream epochs before `epoch`. */
must_check enum status db_keep_forget(struct db *db, uint64_t now_ms, uint32_t epoch);

#endif
