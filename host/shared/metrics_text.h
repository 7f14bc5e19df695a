/* metrics_text.h - writes metrics in Prometheus' text exposition format 0.0.4, bounded. */
#ifndef HOST_SHARED_METRICS_TEXT_H
#define HOST_SHARED_METRICS_TEXT_H

#include "hal/base.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_text {
    char *data;
    size_t size, capacity; /* what does not fit is cut off */
};

__attribute__((format(printf, 2, 3))) void metrics_put(struct metrics_text *text,
                                                       const char *format, ...);

/* HELP and TYPE of a metric; its samples follow by metrics_put(). */
void metrics_head(struct metrics_text *text, const char *name, const char *type, const char *help);

/* A metric with one sample. */
void metrics_one(struct metrics_text *text, const char *name, const char *type, const char *help,
                 uint64_t value);

#endif
