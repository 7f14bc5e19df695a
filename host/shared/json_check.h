/* json_check.h - is this text one JSON value (RFC 8259) whose top is an object or an array?
 * Private to json.c. */
#ifndef HOST_SHARED_JSON_CHECK_H
#define HOST_SHARED_JSON_CHECK_H

#include "host/shared/json.h"

/* OK or MALFORMED with `error` filled. */
must_check enum status json_check(struct bytes text, struct json_error *error);

/* Takes one character off the inside of a valid string, decoded to 1..4 bytes of UTF-8. Returns
 * how many, 0 at the end. */
size_t json_check_take(struct bytes *string, uint8_t utf8[4]);

/* The size of the valid UTF-8 sequence at the beginning of `text`; 0: it is not one. */
size_t json_check_utf8(struct bytes text);

/* How many bytes in front are ASCII that stands for itself inside a string. */
size_t json_check_plain(struct bytes text);

/* Appends one segment of a pointer, escaped by RFC 6901 §3; false: no room, nothing appended. */
bool json_check_append(char *pointer, size_t capacity, struct bytes string);

#endif
