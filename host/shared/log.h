/* log.h - one line per thing that happened, to standard error, as key=value pairs.
 *
 *     log_info("phone_attached phone=%s slot=%u", serial, slot);
 *     time=2026-11-23T23:49:00.123Z level=info event=phone_attached phone=ABC slot=7
 *
 * The first word is the event, the rest are `key=%…` pairs. Each conversion's result is one value;
 * an empty one, or one with a space, a quote, `=`, a backslash, a control character or a byte
 * outside ASCII, is quoted and escaped (\" \\ \n \t \xNN), so that nobody's data can forge a line
 * or move a cursor. Conversions: %s %.*s %c %d %i %u %x with l, ll or z; no width, no %%.
 *
 * A line longer than LOG_LINE_BYTES is cut and ends in `cut=true`. One write() a line; nothing is
 * allocated; a reader who is gone is ignored. */
#ifndef HOST_SHARED_LOG_H
#define HOST_SHARED_LOG_H

#include "hal/base.h"

enum { LOG_LINE_BYTES = 1024 }; /* newline included */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above `level` are not written. Until this is called: LOG_INFO. */
void log_start(enum log_level level);

/* Reads `error`, `warn`, `info` or `debug`. */
must_check bool log_parse_level(const char *text, enum log_level *level);

/* For values that are costly to make. */
bool log_is_on(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
