#include "host/hubctl/cbor_text.h"

#include "host/hubctl/text.h"
#include "protocol/cbor.h"

#include <inttypes.h>
#include <stdio.h>

enum { MAJOR_UINT, MAJOR_NEGATIVE, MAJOR_BYTES, MAJOR_TEXT, MAJOR_ARRAY, MAJOR_SIMPLE = 7 };
enum { SIMPLE_FALSE = 20, SIMPLE_TRUE = 21, SIMPLE_NULL = 22 };

/* An item's first byte and its argument (RFC 8949, section 3). */
static bool take_head(struct bytes *rest, unsigned *major, uint64_t *argument) {
    if (rest->size == 0) {
        return false;
    }
    unsigned info = rest->data[0] & 31u;
    size_t size = info < 24 ? 0 : info > 27 ? SIZE_MAX : (size_t)1 << (info - 24);
    if (size >= rest->size) {
        return false;
    }
    *major = rest->data[0] >> 5;
    *argument = size == 0 ? info : 0;
    for (size_t i = 0; i < size; i++) {
        *argument = *argument << 8 | rest->data[1 + i];
    }
    *rest = (struct bytes){rest->data + 1 + size, rest->size - 1 - size};
    return true;
}

static bool take_string(struct bytes *rest, uint64_t size, struct bytes *string) {
    if (size > rest->size) {
        return false;
    }
    *string = (struct bytes){rest->data, (size_t)size};
    *rest = (struct bytes){rest->data + size, rest->size - (size_t)size};
    return true;
}

static void print_bytes(struct bytes value, enum cbor_text_form form) {
    fputs(form == CBOR_TEXT_JSON ? "\"" : "h'", stdout);
    for (size_t i = 0; i < value.size; i++) {
        printf("%02x", value.data[i]);
    }
    putchar(form == CBOR_TEXT_JSON ? '"' : '\'');
}

static bool print_simple(uint64_t value) {
    static const char *const names[] = {"false", "true", "null"};
    bool is_known = value >= SIMPLE_FALSE && value <= SIMPLE_NULL;
    fputs(is_known ? names[value - SIMPLE_FALSE] : "!", stdout);
    return is_known;
}

/* An item that holds no others. */
static bool print_leaf(struct bytes *rest, unsigned major, uint64_t argument,
                       enum cbor_text_form form) {
    struct bytes string;
    switch (major) {
    case MAJOR_UINT:
        printf("%" PRIu64, argument);
        return true;
    case MAJOR_NEGATIVE:
        printf(argument == UINT64_MAX ? "-18446744073709551616" : "-%" PRIu64, argument + 1);
        return true;
    case MAJOR_BYTES:
    case MAJOR_TEXT:
        if (!take_string(rest, argument, &string)) {
            break;
        }
        if (major == MAJOR_BYTES) {
            print_bytes(string, form);
        } else {
            text_print_quoted(string);
        }
        return true;
    case MAJOR_SIMPLE:
        return print_simple(argument);
    default:
        break;
    }
    putchar('!');
    return false;
}

/* Closes every array that is full; with `depth` 0 the item is whole. */
static unsigned close_arrays(const uint64_t *left, unsigned depth) {
    while (depth > 0 && left[depth - 1] == 0) {
        putchar(']');
        depth -= 1;
    }
    return depth;
}

bool cbor_text_print(struct bytes *rest, enum cbor_text_form form) {
    uint64_t left[CBOR_DEPTH_MAX]; /* items still to come in each open array */
    unsigned depth = 0;
    bool is_first = true;
    do {
        unsigned major = 0;
        uint64_t argument = 0;
        fputs(is_first ? "" : ", ", stdout);
        is_first = false;
        if (!take_head(rest, &major, &argument)) {
            putchar('!');
            return false;
        }
        if (depth > 0) {
            left[depth - 1] -= 1;
        }
        if (major != MAJOR_ARRAY) {
            if (!print_leaf(rest, major, argument, form)) {
                return false;
            }
        } else {
            if (depth == CBOR_DEPTH_MAX) {
                putchar('!');
                return false;
            }
            putchar('[');
            left[depth] = argument;
            depth += 1;
            is_first = argument > 0;
        }
        depth = close_arrays(left, depth);
    } while (depth > 0);
    return true;
}

bool cbor_text_array(struct bytes *rest, uint64_t *count) {
    unsigned major = 0;
    return take_head(rest, &major, count) && major == MAJOR_ARRAY;
}
