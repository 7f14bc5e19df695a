#include "host/shared/log_line.h"

#include "host/shared/secret_text.h"

#include <stdio.h>
#include <string.h>

/* The rest of the line is kept for a closing quote and the longer end. */
enum { TAIL_BYTES = sizeof(",\"cut\":true}\n") + 1, TEXT_BYTES = LOG_LINE_BYTES - TAIL_BYTES };
enum { NUMBER_BYTES = 24, KEY_BYTES = 40 };
static const uint64_t exact_in_json = UINT64_C(1) << 53; /* what a double still holds */

/* Adds all of it or nothing. */
static void add(struct log_line *line, const char *text, size_t size) {
    if (line->is_cut || line->size + size > TEXT_BYTES) {
        line->is_cut = true;
        return;
    }
    memcpy(line->text + line->size, text, size);
    line->size += size;
}

static void add_key(struct log_line *line, struct bytes key) {
    char text[KEY_BYTES + sizeof ",\"\":"];
    check(key.size <= KEY_BYTES);
    int size = snprintf(text, sizeof text,
                        line->format == LOG_JSON ? ",\"%.*s\":" : " %.*s=", (int)key.size,
                        (const char *)key.data);
    add(line, text, (size_t)size);
}

/* ---- values ---- */

static bool is_plain(uint8_t byte) {
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != '=';
}

static void add_escaped(struct log_line *line, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    if (is_plain(byte) || byte == ' ' || byte == '=') {
        escape[0] = (char)byte;
        add(line, escape, 1);
    } else if (byte == '"' || byte == '\\') {
        escape[1] = (char)byte;
        add(line, escape, 2);
    } else if (byte == '\n' || byte == '\t') {
        escape[1] = byte == '\n' ? 'n' : 't';
        add(line, escape, 2);
    } else if (line->format == LOG_JSON) {
        memcpy(escape + 1, "u00", 3);
        escape[4] = digits[byte >> 4];
        escape[5] = digits[byte & 15];
        add(line, escape, 6);
    } else {
        add(line, escape, 4);
    }
}

static bool needs_quotes(const struct log_line *line, struct bytes value) {
    bool is_needed = line->format == LOG_JSON || value.size == 0;
    for (size_t i = 0; i < value.size; i++) {
        is_needed = is_needed || !is_plain(value.data[i]);
    }
    return is_needed;
}

/* A secret inside a value (somebody else's message) is shown as ***. */
static void add_value(struct log_line *line, struct bytes value) {
    bool is_quoted = needs_quotes(line, value);
    if (is_quoted) {
        add(line, "\"", 1);
    }
    bool is_open = is_quoted && !line->is_cut;
    for (size_t i = 0; i < value.size && !line->is_cut; i++) {
        size_t hidden = secret_text_at(value, i);
        if (hidden > 0) {
            add(line, "***", 3);
            i += hidden - 1;
        } else {
            add_escaped(line, value.data[i]);
        }
    }
    if (is_open) {
        line->text[line->size++] = '"'; /* out of the tail's room, if need be */
    }
}

static void add_unsigned(struct log_line *line, uint64_t value) {
    char text[NUMBER_BYTES];
    bool is_text = line->format == LOG_JSON && value > exact_in_json;
    int size =
        snprintf(text, sizeof text, is_text ? "\"%llu\"" : "%llu", (unsigned long long)value);
    add(line, text, (size_t)size);
}

static void add_signed(struct log_line *line, int64_t value) {
    char text[NUMBER_BYTES];
    if (value >= 0) {
        add_unsigned(line, (uint64_t)value);
        return;
    }
    bool is_text = line->format == LOG_JSON && value < -(int64_t)exact_in_json;
    int size = snprintf(text, sizeof text, is_text ? "\"%lld\"" : "%lld", (long long)value);
    add(line, text, (size_t)size);
}

static void add_hex(struct log_line *line, uint64_t value) {
    char text[NUMBER_BYTES];
    int size = snprintf(text, sizeof text, line->format == LOG_JSON ? "\"%llx\"" : "%llx",
                        (unsigned long long)value);
    add(line, text, (size_t)size);
}

/* ---- conversions ---- */

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

static struct bytes text_value(const char *text, int precision) {
    text = text == NULL ? "" : text;
    size_t size = precision < 0 ? strlen(text) : strnlen(text, (size_t)precision);
    return (struct bytes){(const uint8_t *)text, size};
}

static int64_t signed_value(const struct conversion *conversion, va_list *values) {
    return conversion->longs == 2   ? va_arg(*values, long long)
           : conversion->longs == 1 ? va_arg(*values, long)
           : conversion->is_size    ? va_arg(*values, ssize_t)
                                    : va_arg(*values, int);
}

static uint64_t unsigned_value(const struct conversion *conversion, va_list *values) {
    return conversion->longs == 2   ? va_arg(*values, unsigned long long)
           : conversion->longs == 1 ? va_arg(*values, unsigned long)
           : conversion->is_size    ? va_arg(*values, size_t)
                                    : va_arg(*values, unsigned);
}

static void add_conversion(struct log_line *line, const struct conversion *conversion,
                           va_list *values) {
    int precision = conversion->has_precision ? va_arg(*values, int) : -1;
    char byte = 0;
    switch (conversion->kind) {
    case 's':
        add_value(line, text_value(va_arg(*values, const char *), precision));
        break;
    case 'c':
        byte = (char)va_arg(*values, int);
        add_value(line, (struct bytes){(const uint8_t *)&byte, 1});
        break;
    case 'd':
    case 'i':
        add_signed(line, signed_value(conversion, values));
        break;
    case 'x':
        add_hex(line, unsigned_value(conversion, values));
        break;
    default:
        check(conversion->kind == 'u');
        add_unsigned(line, unsigned_value(conversion, values));
    }
}

/* A pair that did not begin to fit leaves nothing behind. */
static void end_pair(struct log_line *line, size_t begin, size_t behind_key) {
    if (line->is_cut && line->size == behind_key) {
        line->size = begin;
    }
}

void log_line_pairs(struct log_line *line, const char *format, va_list arguments) {
    va_list values;
    va_copy(values, arguments);
    while (*format == ' ') {
        size_t key_size = strcspn(format, "=");
        size_t begin = line->size;
        struct conversion conversion;
        if (format[key_size] != '=' || format[key_size + 1] != '%') {
            break;
        }
        add_key(line, (struct bytes){(const uint8_t *)format + 1, key_size - 1});
        size_t behind_key = line->size;
        format = parse_conversion(format + key_size + 2, &conversion);
        add_conversion(line, &conversion, &values);
        end_pair(line, begin, behind_key);
    }
    va_end(values);
    line->is_cut = line->is_cut || *format != '\0';
}

/* ---- the line ---- */

void log_line_begin(struct log_line *line, enum log_format format, const char *prefix,
                    const char *time) {
    line->format = format;
    line->is_cut = false;
    int size = snprintf(line->text, sizeof line->text,
                        format == LOG_JSON ? "%s{\"time\":\"%s\"" : "%stime=%s", prefix, time);
    line->size = (size_t)size;
}

void log_line_word(struct log_line *line, const char *key, struct bytes value) {
    size_t begin = line->size;
    add_key(line, (struct bytes){(const uint8_t *)key, strlen(key)});
    size_t behind_key = line->size;
    add_value(line, value);
    end_pair(line, begin, behind_key);
}

void log_line_number(struct log_line *line, const char *key, uint64_t value) {
    size_t begin = line->size;
    add_key(line, (struct bytes){(const uint8_t *)key, strlen(key)});
    size_t behind_key = line->size;
    add_unsigned(line, value);
    end_pair(line, begin, behind_key);
}

void log_line_end(struct log_line *line) {
    const char *cut = line->format == LOG_JSON ? ",\"cut\":true" : " cut=true";
    const char *end = line->format == LOG_JSON ? "}\n" : "\n";
    int size = snprintf(line->text + line->size, sizeof line->text - line->size, "%s%s",
                        line->is_cut ? cut : "", end);
    line->size += (size_t)size;
    check(line->size <= LOG_LINE_BYTES);
}
