/* backoff.h - how long to wait before the next try (SPEC.md section 2): exponential, capped, full
 * jitter from a generator that the caller seeds. */
#ifndef FIRMWARE_BACKOFF_H
#define FIRMWARE_BACKOFF_H

#include "hal/base.h"

struct backoff {
    uint64_t base_ms;
    uint64_t cap_ms;
    uint32_t factor; /* at least 1 */
};

/* The generator's whole state. Any value but 0. */
struct jitter {
    uint64_t state;
};

uint64_t jitter_next(struct jitter *jitter);

/* min(cap, base * factor^(n-1)), saturating; n counts the attempts, from 1. */
uint64_t backoff_limit_ms(const struct backoff *backoff, uint32_t n);

/* Full jitter: evenly from 0 to the limit. */
uint64_t backoff_ms(const struct backoff *backoff, uint32_t n, struct jitter *jitter);

#endif
