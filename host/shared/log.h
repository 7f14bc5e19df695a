/* log.h - one line per thing that happened, to standard error, as key=value pairs.
 *
 *     log_info("phone_attached phone=%s slot=%u", serial, slot);
 *     time=2026-11-23T23:49:00.123Z level=info event=phone_attached phone=ABC slot=7
 *     {"time":"2026-11-23T23:49:00.123Z","level":"info","event":"phone_attached","phone":"ABC",…}
 *
 * A format is the event, a word, and behind it ` key=CONVERSION` pairs, nothing else; a test reads
 * every call. Conversions: %s %.*s %c %d %i %u %x with l, ll or z. A value with a space, a quote,
 * `=`, a backslash, a control character or a byte outside ASCII, or an empty one, is quoted and
 * escaped (\" \\ \n \t \xNN), so that nobody's data can forge a line or move a cursor. In JSON a
 * number is a number up to 2^53, then a string, as is %x; a byte outside ASCII is \u00NN.
 * What looks like a password in a value (secret_text.h) is shown as ***.
 *
 * A line longer than LOG_LINE_BYTES is cut and ends in `cut=true`. One write() a line; nothing is
 * allocated; a reader who is gone is ignored. Under systemd each line has the priority of its
 * level, for `journalctl -p`.
 *
 * A storm is bounded: of one event LOG_BURST lines, and one more each second; of all together ten
 * times that. What is left out is counted: the event's next line says `suppressed=N`; or, when it
 * does not come again, a line `log_suppressed kind=EVENT lines=N` that the next line of another
 * event brings along, or the end of the program. */
#ifndef HOST_SHARED_LOG_H
#define HOST_SHARED_LOG_H

#include "hal/base.h"

enum { LOG_LINE_BYTES = 1024 }; /* newline included */
enum { LOG_BURST = 100, LOG_ALL = 10, LOG_EVENTS = 128 };

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Lines above `level` are not written. Until this is called: LOG_INFO, LOG_TEXT. */
void log_start(enum log_level level, enum log_format format);

/* Says what was left out of the log so far. Before a program ends. */
void log_end(void);

/* Why a program ends, for the person before it: `PROGRAM: TEXT`; in JSON a line with the event
 * `fatal`. Not bounded. */
void log_fatal(const char *program, const char *text);

/* Of all lines since the start. */
uint64_t log_suppressed_count(void);

/* Reads `error`, `warn`, `info` or `debug`; `text` or `json`. */
must_check bool log_parse_level(const char *text, enum log_level *level);
must_check bool log_parse_format(const char *text, enum log_format *format);

/* For values that are costly to make. */
bool log_is_on(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The clock of the bounds, for tests: milliseconds that do not go back. NULL: CLOCK_MONOTONIC. */
void log_set_clock(uint64_t (*now_ms)(void));

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
