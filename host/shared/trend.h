/* trend.h - how some numbers went, in a ring of fixed size: what the dashboard's plots show.
 *
 * It usually begins with a sample a second. Whenever it is full, every other sample goes and the
 * interval doubles, up to TREND_INTERVAL_MAX_MS; from then on the oldest goes. So it covers all
 * the time since the start, up to 30 hours. It lives in RAM only. */
#ifndef HOST_SHARED_TREND_H
#define HOST_SHARED_TREND_H

#include "host/shared/json_write.h"

enum {
    TREND_SAMPLES = 360, /* even */
    TREND_SERIES = 32,
    TREND_INTERVAL_MS = 1000,
    TREND_INTERVAL_MAX_MS = 300000,
};

struct trend_sample {
    uint64_t wall_ms; /* 0: not known */
    uint32_t values[TREND_SERIES];
};

struct trend {
    struct trend_sample samples[TREND_SAMPLES];
    uint32_t count;
    uint32_t interval_ms; /* 0: TREND_INTERVAL_MS; may be set before the first sample */
    uint64_t due_ms;      /* monotonic; of the next sample */
};

/* Where the next sample goes, zeroed but for its time; NULL: none is due. The caller fills in the
 * values, always the same of them. */
struct trend_sample *trend_take(struct trend *trend, uint64_t now_ms, uint64_t wall_ms);

/* Writes `interval_ms`, `at` (seconds since 1970, or null) and `series`: an array for each of the
 * names, oldest first. Series that were 0 all the time are left out. */
void trend_write(const struct trend *trend, struct json_writer *writer, const char *const *names,
                 uint32_t name_count);

#endif
