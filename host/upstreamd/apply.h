/* apply.h - one record of a hub becomes rows: history, newest image, and what listings need. */
#ifndef HOST_UPSTREAMD_APPLY_H
#define HOST_UPSTREAMD_APPLY_H

#include "host/shared/process_time.h"
#include "host/upstreamd/db.h"

struct apply {
    struct db *db;
    int64_t store;
    struct process_clock clock; /* of the store */
    uint64_t record_ms;         /* out: wall clock of the newest record that has one */
    uint64_t unknown;           /* out: records that were kept without being understood */
};

/* `chain` on a group's last record, else NULL. IO: the database. A record that is not understood is
 * kept as it is and is no error: it must not stop the ones behind it. */
must_check enum status apply_record(struct apply *apply, uint64_t seq, struct bytes bytes,
                                    const uint8_t *chain);

#endif
