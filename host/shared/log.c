#include "host/shared/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CUT_MARK " cut=true\n"

/* The rest of the line is kept for a closing quote and the end (the mark's NUL makes room). */
enum { TEXT_BYTES = LOG_LINE_BYTES - sizeof(CUT_MARK), NUMBER_BYTES = 24 };

struct line {
    char text[LOG_LINE_BYTES];
    size_t size;
    bool is_cut;
};

static enum log_level highest = LOG_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_start(enum log_level level) {
    highest = level;
}

bool log_parse_level(const char *text, enum log_level *level) {
    for (size_t i = 0; i < array_count(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

bool log_is_on(enum log_level level) {
    return level <= highest;
}

/* Adds all of it or nothing. */
static void add(struct line *line, const char *text, size_t size) {
    if (line->is_cut || line->size + size > TEXT_BYTES) {
        line->is_cut = true;
        return;
    }
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static bool is_plain(uint8_t byte) {
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != '=';
}

static void add_escaped(struct line *line, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    char escape[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    if (is_plain(byte) || byte == ' ' || byte == '=') {
        escape[0] = (char)byte;
        add(line, escape, 1);
    } else if (byte == '"' || byte == '\\') {
        escape[1] = (char)byte;
        add(line, escape, 2);
    } else if (byte == '\n' || byte == '\t') {
        escape[1] = byte == '\n' ? 'n' : 't';
        add(line, escape, 2);
    } else {
        add(line, escape, 4);
    }
}

static void add_value(struct line *line, const char *text, size_t size) {
    bool needs_quotes = size == 0;
    for (size_t i = 0; i < size; i++) {
        needs_quotes = needs_quotes || !is_plain((uint8_t)text[i]);
    }
    if (!needs_quotes) {
        size_t room = line->size < TEXT_BYTES ? TEXT_BYTES - line->size : 0;
        add(line, text, size < room ? size : room);
        line->is_cut = line->is_cut || size > room;
        return;
    }
    add(line, "\"", 1);
    bool is_open = !line->is_cut;
    for (size_t i = 0; i < size; i++) {
        add_escaped(line, (uint8_t)text[i]);
    }
    if (is_open) {
        line->text[line->size++] = '"'; /* out of the tail's room, if need be */
    }
}

/* 1970-01-01 plus days as a date (proleptic Gregorian, years from March on). gmtime_r would load
 * the time zone, and allocate. */
static void add_time(struct line *line) {
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
    int size = snprintf(line->text, sizeof(line->text), "time=%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                        year, month, day, seconds / 3600, seconds / 60 % 60, seconds % 60,
                        (unsigned)(now.tv_nsec / 1000000));
    line->size = (size_t)size;
}

/* One conversion of the format, from behind its % on. */
struct conversion {
    unsigned longs; /* 0, 1 or 2 */
    bool is_size;
    bool has_precision; /* .* */
    char kind;
};

static const char *parse_conversion(const char *format, struct conversion *conversion) {
    memset(conversion, 0, sizeof(*conversion));
    if (format[0] == '.' && format[1] == '*') {
        conversion->has_precision = true;
        format += 2;
    }
    for (; *format == 'l'; format++) {
        conversion->longs++;
    }
    if (*format == 'z') {
        conversion->is_size = true;
        format++;
    }
    conversion->kind = *format;
    return format + 1;
}

static void add_text(struct line *line, const char *text, int precision) {
    if (text == NULL) {
        text = "";
    }
    add_value(line, text, precision < 0 ? strlen(text) : strnlen(text, (size_t)precision));
}

static void add_number(struct line *line, const struct conversion *conversion, va_list *values) {
    char text[NUMBER_BYTES];
    int size = 0;
    if (conversion->kind == 'd' || conversion->kind == 'i') {
        long long value = conversion->longs == 2   ? va_arg(*values, long long)
                          : conversion->longs == 1 ? va_arg(*values, long)
                          : conversion->is_size    ? va_arg(*values, ssize_t)
                                                   : va_arg(*values, int);
        size = snprintf(text, sizeof(text), "%lld", value);
    } else {
        unsigned long long value = conversion->longs == 2   ? va_arg(*values, unsigned long long)
                                   : conversion->longs == 1 ? va_arg(*values, unsigned long)
                                   : conversion->is_size    ? va_arg(*values, size_t)
                                                            : va_arg(*values, unsigned);
        size = snprintf(text, sizeof(text), conversion->kind == 'x' ? "%llx" : "%llu", value);
    }
    add(line, text, (size_t)size);
}

static void add_conversion(struct line *line, const struct conversion *conversion,
                           va_list *values) {
    int precision = conversion->has_precision ? va_arg(*values, int) : -1;
    if (conversion->kind == 's') {
        add_text(line, va_arg(*values, const char *), precision);
    } else if (conversion->kind == 'c') {
        char byte = (char)va_arg(*values, int);
        add_value(line, &byte, 1);
    } else {
        check(conversion->kind != '\0' && strchr("diux", conversion->kind) != NULL);
        add_number(line, conversion, values);
    }
}

static void add_format(struct line *line, const char *format, va_list *values) {
    while (*format != '\0') {
        size_t literal = strcspn(format, "%");
        add(line, format, literal);
        format += literal;
        if (*format == '%') {
            struct conversion conversion;
            format = parse_conversion(format + 1, &conversion);
            add_conversion(line, &conversion, values);
        }
    }
}

void log_write(enum log_level level, const char *format, ...) {
    if (!log_is_on(level)) {
        return;
    }
    int saved = errno;
    struct line line = {.size = 0};
    add_time(&line);
    add(&line, " level=", 7);
    add(&line, level_names[level], strlen(level_names[level]));
    add(&line, " event=", 7);
    va_list values;
    va_start(values, format);
    add_format(&line, format, &values);
    va_end(values);
    const char *end = line.is_cut ? CUT_MARK : "\n";
    memcpy(line.text + line.size, end, strlen(end));
    line.size += strlen(end);
    ssize_t written = write(STDERR_FILENO, line.text, line.size);
    (void)written; /* there is nobody left to tell */
    errno = saved;
}
