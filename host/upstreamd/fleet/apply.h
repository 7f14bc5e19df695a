/* apply.h - one record of a hub becomes rows: history, newest image, and what listings need. */
#ifndef HOST_UPSTREAMD_APPLY_H
#define HOST_UPSTREAMD_APPLY_H

#include "host/shared/process_time.h"
#include "host/upstreamd/fleet/parts.h"

/* Of the process that was looked up last. */
struct apply_seal {
    uint64_t number;
    uint32_t generation;
    bool is_sealed;
    bool is_waiting;
};

struct apply {
    struct db *db;
    const struct db_store *store; /* its newest life is applied */
    struct process_clock clock;   /* of the store */
    struct parts parts;           /* what is the fleet's */
    uint64_t record_ms;           /* out: wall clock of the newest record that has one */
    uint64_t unknown;             /* out: records that were kept without being understood */
    uint64_t sealed;      /* out: records that would have changed what ended before a fork */
    uint32_t first_epoch; /* out: that the hub says its store was made in; 0: nothing */
    bool is_told;         /* out: behind this life's inventory, all that it lacked has come */
    struct apply_seal seal;
};

/* After a fork what ended before it stays as it was (SPEC.md section 8): only a later generation of
 * a process changes it. What is told of a process before the inventory says which one it is, is
 * history until then.
 *
 * `chain` on a group's last record, else NULL. IO: the database. A record that is not understood is
 * kept as it is and is no error: it must not stop the ones behind it. */
must_check enum status apply_record(struct apply *apply, uint64_t seq, struct bytes bytes,
                                    const uint8_t *chain);

/* What this life has told of a process before the inventory had it, which was history until now. */
must_check enum status apply_waiting(struct apply *apply, uint64_t number);

#endif
