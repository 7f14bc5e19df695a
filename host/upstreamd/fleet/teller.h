/* teller.h - tells callers of the fleet's processes: which change is told next, and when again.
 *
 * What was told stands in the database, so a restart repeats at most what was under way, and any
 * number of upstreamd share the work: a process that one tells is left alone by the others for
 * TELLER_LEASE_MS. A process's changes are told in their order, one at a time; one that cannot be
 * delivered is tried CALLBACK_TRIES times with backoff, then the next one follows. */
#ifndef HOST_UPSTREAMD_TELLER_H
#define HOST_UPSTREAMD_TELLER_H

#include "host/shared/callback_change.h"
#include "host/upstreamd/api/api.h"

enum { TELLER_LEASE_MS = 30000, TELLER_LOOK_MS = 500 };

struct teller_counters {
    uint64_t delivered;
    uint64_t failed;   /* tries */
    uint64_t given_up; /* changes */
};

struct teller {
    struct api *api;
    struct callbacks *callbacks;
    struct jitter jitter;
    bool is_dirty;    /* something was stored, or a slot is free */
    uint64_t look_ms; /* monotonic: when to look again, whatever happens */
    struct {
        uint64_t number; /* 0: free */
        struct callback_change change;
    } pending[CALLBACK_SLOTS];
    struct teller_counters counters;
};

void teller_init(struct teller *teller, struct api *api, struct callbacks *callbacks);
/* Something was stored. */
void teller_note(struct teller *teller);
/* Once in every turn, outside of transactions. */
void teller_step(struct teller *teller);
uint64_t teller_deadline_ms(const struct teller *teller);

#endif
