#include "host/shared/json_write.h"
#include "host/shared/json_check.h"

#include <string.h>

static void put(struct json_writer *writer, const void *data, size_t size) {
    if (writer->is_full || size > writer->capacity - writer->size) {
        writer->is_full = true;
        return;
    }
    if (size > 0) { /* an empty view may have no address */
        memcpy(writer->text + writer->size, data, size);
        writer->size += size;
    }
}

static void put_escaped(struct json_writer *writer, uint8_t c) {
    static const char digits[] = "0123456789abcdef";
    static const char named[] = "\"\\\b\f\n\r\t";
    static const char names[] = "\"\\bfnrt";
    const char *found = c != 0 ? strchr(named, c) : NULL;
    if (found != NULL) {
        put(writer, (const char[]){'\\', names[found - named]}, 2);
    } else {
        put(writer, (const char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
    }
}

static void put_string(struct json_writer *writer, struct bytes value) {
    put(writer, "\"", 1);
    for (size_t at = 0; at < value.size && !writer->is_full;) {
        size_t run = json_check_plain((struct bytes){value.data + at, value.size - at});
        put(writer, value.data + at, run);
        at += run;
        if (at == value.size) {
            break;
        }
        size_t size = json_check_utf8((struct bytes){value.data + at, value.size - at});
        if (size == 0) {
            put(writer, "\xef\xbf\xbd", 3);
        } else if (value.data[at] < ' ' || value.data[at] == '"' || value.data[at] == '\\') {
            put_escaped(writer, value.data[at]);
        } else {
            put(writer, value.data + at, size);
        }
        at += size > 0 ? size : 1;
    }
    put(writer, "\"", 1);
}

static struct bytes text_of(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void begin(struct json_writer *writer, const char *name) {
    if (writer->needs_comma) {
        put(writer, ",", 1);
    }
    if (name != NULL) {
        put_string(writer, text_of(name));
        put(writer, ":", 1);
    }
    writer->needs_comma = true;
}

static void enter(struct json_writer *writer, const char *name, const char *bracket) {
    begin(writer, name);
    put(writer, bracket, 1);
    writer->depth++;
    writer->needs_comma = false;
}

static void leave(struct json_writer *writer, const char *bracket) {
    check(writer->depth > 0);
    put(writer, bracket, 1);
    writer->depth--;
    writer->needs_comma = true;
}

void json_write_init(struct json_writer *writer, void *text, size_t capacity) {
    *writer = (struct json_writer){.text = text, .capacity = capacity};
}

enum status json_write_finish(const struct json_writer *writer, struct bytes *text) {
    check(writer->depth == 0);
    if (writer->is_full) {
        return STATUS_TOO_LARGE;
    }
    *text = (struct bytes){(const uint8_t *)writer->text, writer->size};
    return STATUS_OK;
}

bool json_write_keep(struct json_writer *writer, const struct json_writer *before, size_t room) {
    if (!before->is_full && (writer->is_full || writer->capacity - writer->size < room)) {
        *writer = *before;
        return false;
    }
    return true;
}

void json_write_begin_object(struct json_writer *writer, const char *name) {
    enter(writer, name, "{");
}

void json_write_end_object(struct json_writer *writer) {
    leave(writer, "}");
}

void json_write_begin_array(struct json_writer *writer, const char *name) {
    enter(writer, name, "[");
}

void json_write_end_array(struct json_writer *writer) {
    leave(writer, "]");
}

void json_write_string(struct json_writer *writer, const char *name, const char *value) {
    json_write_bytes(writer, name, text_of(value));
}

void json_write_bytes(struct json_writer *writer, const char *name, struct bytes value) {
    begin(writer, name);
    put_string(writer, value);
}

static void put_number(struct json_writer *writer, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(writer, digits + at, sizeof digits - at);
}

void json_write_uint(struct json_writer *writer, const char *name, uint64_t value) {
    begin(writer, name);
    put_number(writer, value);
}

void json_write_int(struct json_writer *writer, const char *name, int64_t value) {
    begin(writer, name);
    if (value < 0) {
        put(writer, "-", 1);
    }
    put_number(writer, value < 0 ? (uint64_t)(-(value + 1)) + 1 : (uint64_t)value);
}

void json_write_bool(struct json_writer *writer, const char *name, bool value) {
    begin(writer, name);
    put(writer, value ? "true" : "false", value ? 4 : 5);
}

void json_write_null(struct json_writer *writer, const char *name) {
    begin(writer, name);
    put(writer, "null", 4);
}

void json_write_raw(struct json_writer *writer, const char *name, struct bytes json) {
    begin(writer, name);
    put(writer, json.data, json.size);
}

static void put_digits(char *text, unsigned value, unsigned count) {
    while (count > 0) {
        text[--count] = (char)('0' + value % 10);
        value /= 10;
    }
}

void json_write_time_text(uint64_t unix_ms, char text[JSON_WRITE_TIME_BYTES]) {
    static const uint64_t last_ms = 253402300799999; /* 9999-12-31T23:59:59.999Z */
    unix_ms = unix_ms < last_ms ? unix_ms : last_ms;
    unsigned ms_of_day = (unsigned)(unix_ms % 86400000);
    /* Days are counted from 0000-03-01, so that a leap day is the last day of its year; 400 years
     * have 146097 days, and five months from March on have 153. */
    unsigned days = (unsigned)(unix_ms / 86400000) + 719468;
    unsigned era = days / 146097;
    unsigned day_of_era = days % 146097;
    unsigned year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * day_of_year + 2) / 153; /* 0 is March */
    unsigned year = era * 400 + year_of_era + (month >= 10);
    memcpy(text, "0000-00-00T00:00:00.000Z", JSON_WRITE_TIME_BYTES);
    put_digits(text, year, 4);
    put_digits(text + 5, month < 10 ? month + 3 : month - 9, 2);
    put_digits(text + 8, day_of_year - (153 * month + 2) / 5 + 1, 2);
    put_digits(text + 11, ms_of_day / 3600000, 2);
    put_digits(text + 14, ms_of_day / 60000 % 60, 2);
    put_digits(text + 17, ms_of_day / 1000 % 60, 2);
    put_digits(text + 20, ms_of_day % 1000, 3);
}

void json_write_time_ms(struct json_writer *writer, const char *name, uint64_t unix_ms) {
    char text[JSON_WRITE_TIME_BYTES];
    json_write_time_text(unix_ms, text);
    json_write_string(writer, name, text);
}
