/* json.h - reads JSON (RFC 8259) into the caller's tokens: strict, bounded, with errors that point.
 *
 * jsmn cuts the text into tokens; before that our own pass refuses what jsmn lets through: bad
 * numbers, bad escapes, unpaired surrogates, control characters, invalid UTF-8, trailing commas
 * and anything after the value. The same name twice in an object is refused, too. A token is named
 * by its index; the root is 0 and is an object or an array. The text must stay in place. */
#ifndef HOST_SHARED_JSON_H
#define HOST_SHARED_JSON_H

#include "hal/base.h"

#ifndef JSMN_H
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#define JSMN_HEADER
#include <jsmn.h>
#endif

enum { JSON_DEPTH = 32, JSON_POINTER_BYTES = 160 };

enum json_type { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_BOOL, JSON_NULL };

struct json {
    struct bytes text;
    jsmntok_t *tokens;
    unsigned count;
};

struct json_error {
    size_t offset;                    /* of the first byte that is wrong */
    char pointer[JSON_POINTER_BYTES]; /* RFC 6901, of the value there; "" is the whole document */
    const char *reason;
};

/* OK; MALFORMED: `error` says where and why; TOO_LARGE: it needs more than `capacity` tokens
 * (`error` says so). An object's member needs two tokens and its value's own. */
must_check enum status json_parse(struct json *json, struct bytes text, jsmntok_t *tokens,
                                  unsigned capacity, struct json_error *error);

/* Whether the text is one JSON value whose top is an object or an array. */
bool json_is_whole(struct bytes text);

enum json_type json_type(const struct json *json, unsigned token);

/* The member's value. NOT_FOUND: no such name, or `object` is not an object. */
must_check enum status json_member(const struct json *json, unsigned object, const char *name,
                                   unsigned *value);

/* Walks the members or elements of a container, in order:
 *     struct json_cursor at = {0};
 *     while (json_each(&json, container, &at)) { ... at.value, for objects also at.key ... } */
struct json_cursor {
    unsigned key, value;
};
bool json_each(const struct json *json, unsigned container, struct json_cursor *cursor);
unsigned json_size(const struct json *json, unsigned container); /* members or elements */

/* Each MALFORMED: another type; TOO_LARGE: out of range, or needs more room. Numbers must be
 * written as integers: no fraction, no exponent. */
must_check enum status json_get_string(const struct json *json, unsigned token, char *text,
                                       size_t capacity); /* with a NUL; refuses \u0000 */
must_check enum status json_get_uint(const struct json *json, unsigned token, uint64_t max,
                                     uint64_t *value);
must_check enum status json_get_int(const struct json *json, unsigned token, int64_t min,
                                    int64_t max, int64_t *value);
must_check enum status json_get_bool(const struct json *json, unsigned token, bool *value);
bool json_is_null(const struct json *json, unsigned token);
bool json_equals(const struct json *json, unsigned token, const char *text); /* a string that is */

/* The value as it was written, for storing verbatim; a string with its quotes. */
struct bytes json_raw(const struct json *json, unsigned token);

/* Writes the RFC 6901 pointer of a value (or of a member's name) with a NUL, for error messages;
 * one that is too long loses its beginning. */
void json_pointer(const struct json *json, unsigned token, char *text, size_t capacity);

#endif
