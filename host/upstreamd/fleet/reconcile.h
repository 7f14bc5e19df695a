/* reconcile.h - what becomes of the fleet's items once a hub has told all that it has: after a
 * fork, with another store, or to an upstream whose database was restored (SPEC.md section 8).
 *
 * An item that the hub was given and has no more is lost: its flash was restored to before the
 * offer, or erased. What ran it may still run elsewhere, on a clone of the host; so nobody gets the
 * item before its grant is over for sure. Then it goes on with the next assignment, as one from a
 * silent hub does: what was seen to run counts as an attempt. One with a `once` action may have
 * begun unseen: it waits for a person. What the hub has and the fleet does not want of it any more
 * is withdrawn. */
#ifndef HOST_UPSTREAMD_RECONCILE_H
#define HOST_UPSTREAMD_RECONCILE_H

#include "host/upstreamd/db/db_fleet.h"

/* Inside a transaction, with the hub's row locked: `hub->store` is the one it pushes from. Locks
 * its items, then its ledger (db.h). What the hub still has is granted anew with the next answer.
 */
must_check enum status reconcile_hub(struct db *db, const struct db_hub *hub,
                                     uint32_t upstream_epoch);

/* Which life of a hub this is: another number after each fork. */
uint64_t reconcile_life(const struct db_store *store);

#endif
