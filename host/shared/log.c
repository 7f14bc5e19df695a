#include "host/shared/log.h"

#include "host/shared/log_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TIME_BYTES = 40, LINE = 1000, TOLD_AFTER = 10 * LINE };

/* Tokens are thousandths of a line: a millisecond brings as many as lines come in a second. */
struct bucket {
    uint64_t tokens;
    uint64_t filled_ms;
};

struct kind {
    struct bytes event; /* of the caller's literal */
    struct bucket bucket;
    uint64_t suppressed; /* not told yet */
};

static enum log_level highest = LOG_INFO;
static enum log_format format_used = LOG_TEXT;
static bool has_priorities;
static uint64_t suppressed_count;
static uint64_t untold; /* sum of the kinds' */
static struct kind kinds[LOG_EVENTS];
static size_t kind_count;
static struct bucket all_kinds;
static uint64_t (*test_clock)(void);

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *const format_names[] = {"text", "json"};

/* Standard error is the journal's when JOURNAL_STREAM names its device and inode. */
static bool is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat info;
    char expected[64];
    if (stream == NULL || fstat(STDERR_FILENO, &info) != 0) {
        return false;
    }
    snprintf(expected, sizeof expected, "%llu:%llu", (unsigned long long)info.st_dev,
             (unsigned long long)info.st_ino);
    return strcmp(stream, expected) == 0;
}

void log_start(enum log_level level, enum log_format format) {
    highest = level;
    format_used = format;
    has_priorities = is_journal();
    suppressed_count = 0;
    untold = 0;
    kind_count = 0;
    all_kinds = (struct bucket){0};
}

void log_set_clock(uint64_t (*now_ms)(void)) {
    test_clock = now_ms;
}

uint64_t log_suppressed_count(void) {
    return suppressed_count;
}

static bool parse(const char *text, const char *const *names, size_t count, size_t *found) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *found = i;
            return true;
        }
    }
    return false;
}

bool log_parse_level(const char *text, enum log_level *level) {
    size_t found = 0;
    bool is_known = parse(text, level_names, array_count(level_names), &found);
    *level = is_known ? (enum log_level)found : *level;
    return is_known;
}

bool log_parse_format(const char *text, enum log_format *format) {
    size_t found = 0;
    bool is_known = parse(text, format_names, array_count(format_names), &found);
    *format = is_known ? (enum log_format)found : *format;
    return is_known;
}

bool log_is_on(enum log_level level) {
    return level <= highest;
}

/* 1970-01-01 plus days as a date (proleptic Gregorian, years from March on). gmtime_r would load
 * the time zone, and allocate. */
static void write_time(char text[TIME_BYTES]) {
    struct timespec now;
    check(clock_gettime(CLOCK_REALTIME, &now) == 0);
    uint32_t seconds = (uint32_t)(now.tv_sec % 86400);
    uint32_t days = (uint32_t)(now.tv_sec / 86400) + 719468; /* since 0000-03-01 */
    uint32_t era = days / 146097;
    uint32_t day_of_era = days % 146097;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month = (5 * day_of_year + 2) / 153;
    uint32_t day = day_of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    uint32_t year = era * 400 + year_of_era + (month <= 2);
    snprintf(text, TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, month, day,
             seconds / 3600, seconds / 60 % 60, seconds % 60, (unsigned)(now.tv_nsec / 1000000));
}

/* ---- bounds ---- */

static uint64_t bound_now_ms(void) {
    struct timespec now;
    if (test_clock != NULL) {
        return test_clock();
    }
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void fill(struct bucket *bucket, uint64_t now_ms, uint64_t factor) {
    uint64_t most = factor * LOG_BURST * LINE;
    uint64_t passed_ms = now_ms - bucket->filled_ms;
    bucket->tokens = passed_ms >= most ? most : bucket->tokens + passed_ms * factor;
    bucket->tokens = bucket->tokens < most ? bucket->tokens : most;
    bucket->filled_ms = now_ms;
}

static struct bytes event_of(const char *format) {
    return (struct bytes){(const uint8_t *)format, strcspn(format, " ")};
}

/* Events beyond the table share its last row. */
static struct kind *kind_of(struct bytes event, uint64_t now_ms) {
    for (size_t i = 0; i < kind_count; i++) {
        if (kinds[i].event.size == event.size &&
            memcmp(kinds[i].event.data, event.data, event.size) == 0) {
            return &kinds[i];
        }
    }
    if (kind_count == LOG_EVENTS) {
        return &kinds[LOG_EVENTS - 1];
    }
    struct kind *kind = &kinds[kind_count++];
    *kind = (struct kind){.event = event,
                          .bucket = {.tokens = (uint64_t)LOG_BURST * LINE, .filled_ms = now_ms}};
    return kind;
}

static bool may_write(struct kind *kind, uint64_t now_ms) {
    if (all_kinds.filled_ms == 0) {
        all_kinds =
            (struct bucket){.tokens = (uint64_t)LOG_ALL * LOG_BURST * LINE, .filled_ms = now_ms};
    }
    fill(&kind->bucket, now_ms, 1);
    fill(&all_kinds, now_ms, LOG_ALL);
    if (kind->bucket.tokens < LINE || all_kinds.tokens < LINE) {
        kind->suppressed++;
        untold++;
        suppressed_count++;
        return false;
    }
    kind->bucket.tokens -= LINE;
    all_kinds.tokens -= LINE;
    return true;
}

/* ---- lines ---- */

static void begin_line(struct log_line *line, enum log_level level, struct bytes event) {
    static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};
    char time[TIME_BYTES];
    write_time(time);
    log_line_begin(line, format_used, has_priorities ? priorities[level] : "", time);
    log_line_word(line, "level",
                  (struct bytes){(const uint8_t *)level_names[level], strlen(level_names[level])});
    log_line_word(line, "event", event);
}

static void end_line(struct log_line *line) {
    log_line_end(line);
    ssize_t written = write(STDERR_FILENO, line->text, line->size);
    (void)written; /* there is nobody left to tell */
}

static uint64_t take_suppressed(struct kind *kind) {
    uint64_t count = kind->suppressed;
    kind->suppressed = 0;
    untold -= count;
    return count;
}

/* What other events left out is told once they could be written again, but are not. */
static void tell_suppressed(const struct kind *besides, uint64_t now_ms, bool is_end) {
    struct log_line line;
    for (size_t i = 0; i < kind_count && untold > 0; i++) {
        struct kind *kind = &kinds[i];
        if (kind == besides || kind->suppressed == 0) {
            continue;
        }
        fill(&kind->bucket, now_ms, 1);
        if (is_end || kind->bucket.tokens > TOLD_AFTER) {
            begin_line(&line, LOG_WARN, bytes_of("log_suppressed"));
            log_line_word(&line, "kind", kind->event);
            log_line_number(&line, "lines", take_suppressed(kind));
            end_line(&line);
        }
    }
}

void log_end(void) {
    tell_suppressed(NULL, bound_now_ms(), true);
}

void log_fatal(const char *program, const char *text) {
    struct log_line line;
    log_end();
    if (format_used == LOG_TEXT) {
        fprintf(stderr, "%s%s: %s\n", has_priorities ? "<3>" : "", program, text);
        return;
    }
    begin_line(&line, LOG_ERROR, bytes_of("fatal"));
    log_line_word(&line, "program", (struct bytes){(const uint8_t *)program, strlen(program)});
    log_line_word(&line, "reason", (struct bytes){(const uint8_t *)text, strlen(text)});
    end_line(&line);
}

void log_write(enum log_level level, const char *format, ...) {
    if (!log_is_on(level)) {
        return;
    }
    int saved = errno;
    uint64_t now_ms = bound_now_ms();
    struct kind *kind = kind_of(event_of(format), now_ms);
    if (!may_write(kind, now_ms)) {
        errno = saved;
        return;
    }
    tell_suppressed(kind, now_ms, false);
    struct log_line line;
    begin_line(&line, level, event_of(format));
    uint64_t suppressed = take_suppressed(kind);
    if (suppressed > 0) {
        log_line_number(&line, "suppressed", suppressed);
    }
    va_list values;
    va_start(values, format);
    log_line_pairs(&line, format + event_of(format).size, values);
    va_end(values);
    end_line(&line);
    errno = saved;
}
