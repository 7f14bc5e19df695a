#include "firmware/backoff.h"

/* xorshift64* (Vigna 2016): small, and good enough to spread retries. */
uint64_t jitter_next(struct jitter *jitter) {
    check(jitter->state != 0);
    jitter->state ^= jitter->state >> 12;
    jitter->state ^= jitter->state << 25;
    jitter->state ^= jitter->state >> 27;
    return jitter->state * 0x2545f4914f6cdd1du;
}

uint64_t backoff_limit_ms(const struct backoff *backoff, uint32_t n) {
    check(n >= 1);
    check(backoff->factor >= 1);
    uint64_t limit = backoff->base_ms;
    bool grows = limit > 0 && backoff->factor > 1;
    for (uint32_t i = 1; grows && i < n && limit < backoff->cap_ms; i++) {
        if (limit > UINT64_MAX / backoff->factor) {
            return backoff->cap_ms;
        }
        limit *= backoff->factor;
    }
    return limit < backoff->cap_ms ? limit : backoff->cap_ms;
}

uint64_t backoff_ms(const struct backoff *backoff, uint32_t n, struct jitter *jitter) {
    uint64_t limit = backoff_limit_ms(backoff, n);
    uint64_t draw = jitter_next(jitter) >> 11;
    return limit == UINT64_MAX ? draw : draw % (limit + 1);
}
