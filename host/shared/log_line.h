/* log_line.h - the text of one line of the log, as key=value pairs or as a JSON object. Used by
 * log.c alone; log.h says what a line looks like. Nothing is allocated, no locale is asked. */
#ifndef HOST_SHARED_LOG_LINE_H
#define HOST_SHARED_LOG_LINE_H

#include "host/shared/log.h"

#include <stdarg.h>

struct log_line {
    char text[LOG_LINE_BYTES];
    size_t size;
    enum log_format format;
    bool is_cut; /* something did not fit; what is there is whole */
};

/* `prefix` stands before all of it (journald's "<4>"), `time` is RFC 3339. */
void log_line_begin(struct log_line *line, enum log_format format, const char *prefix,
                    const char *time);

/* Pairs whose value is a word of our own, or a number. */
void log_line_word(struct log_line *line, const char *key, struct bytes value);
void log_line_number(struct log_line *line, const char *key, uint64_t value);

/* The pairs of a format of log.h, from behind its event on; up to what is no pair: then the line is
 * cut. (A rare line that is written wrongly must not end the daemon.) */
void log_line_pairs(struct log_line *line, const char *format, va_list values);

/* Closes the line, newline included. */
void log_line_end(struct log_line *line);

#endif
