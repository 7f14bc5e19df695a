/* json_write.h - writes compact JSON into a bounded buffer; never overruns, remembers overflow.
 *
 * Every function takes a member's name first, NULL inside an array or at the top. Names and
 * strings are escaped (RFC 8259 §7); bytes that are not UTF-8 become U+FFFD. */
#ifndef HOST_SHARED_JSON_WRITE_H
#define HOST_SHARED_JSON_WRITE_H

#include "hal/base.h"

struct json_writer {
    char *text;
    size_t size, capacity;
    bool is_full; /* something did not fit: the text is of no use */
    bool needs_comma;
    uint8_t depth;
};

void json_write_init(struct json_writer *writer, void *text, size_t capacity);
/* OK, or TOO_LARGE: the buffer was too small. `text` is writer->text, writer->size. */
must_check enum status json_write_finish(const struct json_writer *writer, struct bytes *text);

void json_write_begin_object(struct json_writer *writer, const char *name);
void json_write_end_object(struct json_writer *writer);
void json_write_begin_array(struct json_writer *writer, const char *name);
void json_write_end_array(struct json_writer *writer);

void json_write_string(struct json_writer *writer, const char *name, const char *value);
void json_write_bytes(struct json_writer *writer, const char *name, struct bytes value);
void json_write_uint(struct json_writer *writer, const char *name, uint64_t value);
void json_write_int(struct json_writer *writer, const char *name, int64_t value);
void json_write_bool(struct json_writer *writer, const char *name, bool value);
void json_write_null(struct json_writer *writer, const char *name);
void json_write_raw(struct json_writer *writer, const char *name, struct bytes json); /* valid! */

/* Takes back what was written since `before` was copied from the writer, if fewer than `room` bytes
 * are left behind it: lists end early rather than not at all. False: it was taken back. */
bool json_write_keep(struct json_writer *writer, const struct json_writer *before, size_t room);

/* Milliseconds since 1970 as RFC 3339 in UTC: "2026-11-22T10:20:30.123Z". */
void json_write_time_ms(struct json_writer *writer, const char *name, uint64_t unix_ms);

enum { JSON_WRITE_TIME_BYTES = 25 };
/* The same text alone, with a NUL. Years up to 9999; later ones are written as the last moment. */
void json_write_time_text(uint64_t unix_ms, char text[JSON_WRITE_TIME_BYTES]);

#endif
