#include "host/shared/trend.h"

#include <string.h>

/* Of two samples the later one stays, so that the newest one always does. */
static void make_room(struct trend *trend) {
    if (trend->interval_ms < TREND_INTERVAL_MAX_MS) {
        for (uint32_t i = 0; i < TREND_SAMPLES / 2; i++) {
            trend->samples[i] = trend->samples[2 * i + 1];
        }
        trend->count = TREND_SAMPLES / 2;
        trend->interval_ms *= 2;
        if (trend->interval_ms > TREND_INTERVAL_MAX_MS) {
            trend->interval_ms = TREND_INTERVAL_MAX_MS;
        }
    } else {
        memmove(trend->samples, trend->samples + 1, (TREND_SAMPLES - 1) * sizeof trend->samples[0]);
        trend->count -= 1;
    }
}

struct trend_sample *trend_take(struct trend *trend, uint64_t now_ms, uint64_t wall_ms) {
    if (trend->interval_ms == 0) {
        trend->interval_ms = TREND_INTERVAL_MS;
    }
    if (now_ms < trend->due_ms) {
        return NULL;
    }
    if (trend->count == TREND_SAMPLES) {
        make_room(trend);
    }
    trend->due_ms = now_ms + trend->interval_ms;
    struct trend_sample *sample = &trend->samples[trend->count];
    trend->count += 1;
    *sample = (struct trend_sample){.wall_ms = wall_ms};
    return sample;
}

static bool is_flat(const struct trend *trend, uint32_t series) {
    for (uint32_t i = 0; i < trend->count; i++) {
        if (trend->samples[i].values[series] != 0) {
            return false;
        }
    }
    return true;
}

void trend_write(const struct trend *trend, struct json_writer *writer, const char *const *names,
                 uint32_t name_count) {
    check(name_count <= TREND_SERIES);
    json_write_uint(writer, "interval_ms", trend->interval_ms);
    json_write_begin_array(writer, "at");
    for (uint32_t i = 0; i < trend->count; i++) {
        if (trend->samples[i].wall_ms == 0) {
            json_write_null(writer, NULL);
        } else {
            json_write_uint(writer, NULL, trend->samples[i].wall_ms / 1000);
        }
    }
    json_write_end_array(writer);
    json_write_begin_object(writer, "series");
    for (uint32_t series = 0; series < name_count; series++) {
        if (is_flat(trend, series)) {
            continue;
        }
        json_write_begin_array(writer, names[series]);
        for (uint32_t i = 0; i < trend->count; i++) {
            json_write_uint(writer, NULL, trend->samples[i].values[series]);
        }
        json_write_end_array(writer);
    }
    json_write_end_object(writer);
}
