#include "host/shared/json_check.h"

#include <endian.h>
#include <string.h>

struct level {
    bool is_object;
    uint32_t index;   /* of the element */
    struct bytes key; /* of the member; data NULL: none yet */
};

struct scan {
    struct bytes text;
    size_t at;
    const char *reason; /* why it stopped */
    unsigned depth;
    struct level levels[JSON_DEPTH];
};

static int peek(const struct scan *scan) {
    return scan->at < scan->text.size ? scan->text.data[scan->at] : -1;
}

static bool fail(struct scan *scan, const char *reason) {
    scan->reason = scan->at >= scan->text.size ? "the text ends too early" : reason;
    return false;
}

static void skip_blanks(struct scan *scan) {
    int c = peek(scan);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        scan->at++;
        c = peek(scan);
    }
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static int hex_value(uint8_t c) {
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits of \uXXXX; -1: they are not. */
static int32_t hex4(struct bytes text) {
    int32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < text.size ? hex_value(text.data[i]) : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

static struct bytes after(struct bytes text, size_t size) {
    return (struct bytes){text.data + size, text.size - size};
}

/* The code point and the length of an escape at the beginning of `text`; length 0: invalid. */
static size_t read_escape(struct bytes text, uint32_t *code) {
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (text.size < 2) {
        return 0;
    }
    const char *name = text.data[1] != 0 ? strchr(names, text.data[1]) : NULL;
    if (name != NULL) {
        *code = (uint8_t)values[name - names];
        return 2;
    }
    int32_t high = text.data[1] == 'u' ? hex4(after(text, 2)) : -1;
    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff)) {
        return 0;
    }
    *code = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff) {
        return 6;
    }
    bool has_pair = text.size >= 12 && text.data[6] == '\\' && text.data[7] == 'u';
    int32_t low = has_pair ? hex4(after(text, 8)) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }
    *code = 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 12;
}

size_t json_check_utf8(struct bytes text) {
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (text.size == 0) {
        return 0;
    }
    uint8_t first = text.data[0];
    size_t size = first < 0x80             ? 1
                  : (first & 0xe0) == 0xc0 ? 2
                  : (first & 0xf0) == 0xe0 ? 3
                  : (first & 0xf8) == 0xf0 ? 4
                                           : 0;
    if (size <= 1 || size > text.size) {
        return size == 1 ? 1 : 0;
    }
    uint32_t code = first & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
        code = code << 6 | (text.data[i] & 0x3f);
    }
    bool is_surrogate = code >= 0xd800 && code <= 0xdfff;
    return code < smallest[size] || code > 0x10ffff || is_surrogate ? 0 : size;
}

/* Of eight bytes, the first that is not plain has its high bit set (some behind it may have, too):
 * it is not ASCII, or borrows when 0x20 is taken off it, or 1 off what it differs by from a quote
 * or a backslash. */
static uint64_t find_special(const uint8_t *bytes) {
    static const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t eight;
    memcpy(&eight, bytes, sizeof eight);
    eight = le64toh(eight);
    uint64_t quote = eight ^ ones * '"';
    uint64_t backslash = eight ^ ones * '\\';
    return (eight | (eight - ones * ' ') | (quote - ones) | (backslash - ones)) & ones * 0x80;
}

size_t json_check_plain(struct bytes text) {
    size_t at = 0;
    for (; text.size - at >= 8; at += 8) {
        uint64_t special = find_special(text.data + at);
        if (special != 0) {
            return at + (size_t)__builtin_ctzll(special) / 8;
        }
    }
    while (at < text.size && text.data[at] >= ' ' && text.data[at] < 0x80 && text.data[at] != '"' &&
           text.data[at] != '\\') {
        at++;
    }
    return at;
}

/* Most of a string is characters that stand for themselves, a byte each. */
static void skip_plain(struct scan *scan) {
    scan->at += json_check_plain(after(scan->text, scan->at));
}

/* From the opening quote to behind the closing one. `inside` is what lies between. */
static bool scan_string(struct scan *scan, struct bytes *inside) {
    size_t begin = ++scan->at;
    for (skip_plain(scan); peek(scan) != '"'; skip_plain(scan)) {
        struct bytes rest = after(scan->text, scan->at);
        uint32_t code = 0;
        size_t size = 0;
        if (rest.size > 0 && rest.data[0] == '\\') {
            size = read_escape(rest, &code);
        } else if (rest.size > 0 && rest.data[0] >= ' ') {
            size = json_check_utf8(rest);
        }
        if (size == 0) {
            return fail(scan, rest.size > 0 && rest.data[0] == '\\'
                                  ? "invalid escape in a string"
                                  : "invalid character in a string");
        }
        scan->at += size;
    }
    *inside = (struct bytes){scan->text.data + begin, scan->at - begin};
    scan->at++;
    return true;
}

static bool scan_digits(struct scan *scan) {
    if (!is_digit(peek(scan))) {
        return fail(scan, "a digit was expected");
    }
    while (is_digit(peek(scan))) {
        scan->at++;
    }
    return true;
}

static bool scan_number(struct scan *scan) {
    scan->at += peek(scan) == '-';
    if (peek(scan) == '0') {
        scan->at++;
        if (is_digit(peek(scan))) {
            return fail(scan, "a number must not begin with 0");
        }
    } else if (!scan_digits(scan)) {
        return false;
    }
    if (peek(scan) == '.') {
        scan->at++;
        if (!scan_digits(scan)) {
            return false;
        }
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->at++;
        scan->at += peek(scan) == '+' || peek(scan) == '-';
        return scan_digits(scan);
    }
    return true;
}

static bool scan_word(struct scan *scan, const char *word) {
    for (; *word != '\0'; word++, scan->at++) {
        if (peek(scan) != *word) {
            return fail(scan, "only true, false and null are words");
        }
    }
    return true;
}

/* Behind '{', ',' or '[': the name of a member up to its colon. */
static bool scan_key(struct scan *scan) {
    struct level *level = &scan->levels[scan->depth - 1];
    level->key.data = NULL;
    skip_blanks(scan);
    if (peek(scan) != '"') {
        return fail(scan, "a member's name in quotes was expected");
    }
    if (!scan_string(scan, &level->key)) {
        return false;
    }
    skip_blanks(scan);
    if (peek(scan) != ':') {
        return fail(scan, "a colon was expected");
    }
    scan->at++;
    return true;
}

/* Enters a container. `is_open`: a value must follow. */
static bool scan_open(struct scan *scan, bool *is_open) {
    if (scan->depth == JSON_DEPTH) {
        return fail(scan, "nested too deeply");
    }
    bool is_object = peek(scan) == '{';
    scan->levels[scan->depth++] = (struct level){.is_object = is_object};
    scan->at++;
    skip_blanks(scan);
    *is_open = peek(scan) != (is_object ? '}' : ']');
    if (!*is_open) {
        scan->at++;
        scan->depth--;
        return true;
    }
    return !is_object || scan_key(scan);
}

/* Behind a value: leaves every container that ends here. `is_open`: another value must follow. */
static bool scan_close(struct scan *scan, bool *is_open) {
    *is_open = false;
    while (scan->depth > 0) {
        struct level *level = &scan->levels[scan->depth - 1];
        skip_blanks(scan);
        int c = peek(scan);
        if (c == ',') {
            scan->at++;
            level->index++;
            *is_open = true;
            return !level->is_object || scan_key(scan);
        }
        if (c != (level->is_object ? '}' : ']')) {
            return fail(scan, level->is_object ? "a comma or } was expected"
                                               : "a comma or ] was expected");
        }
        scan->at++;
        scan->depth--;
    }
    return true;
}

static bool scan_value(struct scan *scan, bool *has_entered) {
    struct bytes inside;
    skip_blanks(scan);
    switch (peek(scan)) {
    case '{':
    case '[':
        return scan_open(scan, has_entered);
    case '"':
        return scan_string(scan, &inside);
    case 't':
        return scan_word(scan, "true");
    case 'f':
        return scan_word(scan, "false");
    case 'n':
        return scan_word(scan, "null");
    default:
        return peek(scan) == '-' || is_digit(peek(scan)) ? scan_number(scan)
                                                         : fail(scan, "a value was expected");
    }
}

static bool scan_document(struct scan *scan) {
    skip_blanks(scan);
    if (peek(scan) != '{' && peek(scan) != '[') {
        return fail(scan, "an object or an array was expected");
    }
    for (bool is_open = true; is_open;) {
        bool has_entered = false;
        if (!scan_value(scan, &has_entered)) {
            return false;
        }
        if (!has_entered && !scan_close(scan, &is_open)) {
            return false;
        }
    }
    skip_blanks(scan);
    if (scan->at < scan->text.size) {
        return fail(scan, "nothing may follow the value");
    }
    return true;
}

static size_t put_utf8(uint32_t code, uint8_t utf8[4]) {
    if (code < 0x80) {
        utf8[0] = (uint8_t)code;
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        utf8[i] = (uint8_t)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    utf8[0] = (uint8_t)((0xf00U >> size & 0xff) | code);
    return size;
}

size_t json_check_take(struct bytes *string, uint8_t utf8[4]) {
    if (string->size == 0) {
        return 0;
    }
    uint32_t code = 0;
    bool is_escape = string->data[0] == '\\';
    size_t size = is_escape ? read_escape(*string, &code) : json_check_utf8(*string);
    check(size > 0 && size <= string->size);
    size_t written = is_escape ? put_utf8(code, utf8) : size;
    if (!is_escape) {
        memcpy(utf8, string->data, size);
    }
    *string = after(*string, size);
    return written;
}

bool json_check_append(char *pointer, size_t capacity, struct bytes string) {
    size_t begin = strlen(pointer);
    size_t used = begin;
    uint8_t utf8[8] = {'/'};
    for (size_t size = 1; size > 0; size = json_check_take(&string, utf8)) {
        if (used > begin && (utf8[0] == '~' || utf8[0] == '/')) {
            utf8[1] = utf8[0] == '~' ? '0' : '1';
            utf8[0] = '~';
            size = 2;
        }
        if (used + size >= capacity) {
            pointer[begin] = '\0';
            return false;
        }
        memcpy(pointer + used, utf8, size);
        used += size;
    }
    pointer[used] = '\0';
    return true;
}

static void point(const struct scan *scan, struct json_error *error) {
    error->pointer[0] = '\0';
    for (unsigned i = 0; i < scan->depth; i++) {
        const struct level *level = &scan->levels[i];
        char digits[12];
        size_t at = sizeof digits;
        uint32_t index = level->index;
        do {
            digits[--at] = (char)('0' + index % 10);
            index /= 10;
        } while (index > 0);
        struct bytes segment = {(const uint8_t *)digits + at, sizeof digits - at};
        if (level->is_object) {
            segment = level->key;
        }
        if (segment.data == NULL ||
            !json_check_append(error->pointer, sizeof error->pointer, segment)) {
            return;
        }
    }
}

enum status json_check(struct bytes text, struct json_error *error) {
    struct scan scan = {.text = text};
    if (text.size > INT32_MAX / 2) {
        *error = (struct json_error){.reason = "larger than this reader takes"};
        return STATUS_MALFORMED;
    }
    if (!scan_document(&scan)) {
        error->offset = scan.at;
        error->reason = scan.reason;
        point(&scan, error);
        return STATUS_MALFORMED;
    }
    return STATUS_OK;
}
