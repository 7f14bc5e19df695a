#include "host/shared/metrics_text.h"

#include <stdarg.h>
#include <stdio.h>

void metrics_put(struct metrics_text *text, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t room = text->capacity - text->size;
    int size = vsnprintf(text->data + text->size, room, format, arguments);
    va_end(arguments);
    text->size += size < 0 ? 0 : (size_t)size < room ? (size_t)size : room;
}

void metrics_head(struct metrics_text *text, const char *name, const char *type, const char *help) {
    metrics_put(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_one(struct metrics_text *text, const char *name, const char *type, const char *help,
                 uint64_t value) {
    metrics_head(text, name, type, help);
    metrics_put(text, "%s %llu\n", name, (unsigned long long)value);
}
