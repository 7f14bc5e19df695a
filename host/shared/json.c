#define JSMN_STATIC
#define JSMN_STRICT
#define JSMN_PARENT_LINKS
#include <jsmn.h>

#include "host/shared/json.h"
#include "host/shared/json_check.h"

#include <string.h>

static struct bytes view(const struct json *json, unsigned token) {
    check(token < json->count);
    const jsmntok_t *at = &json->tokens[token];
    return (struct bytes){json->text.data + at->start, (size_t)(at->end - at->start)};
}

/* The first token behind a value and all that is in it. */
static unsigned skip(const struct json *json, unsigned token) {
    int end = json->tokens[token].end;
    if (json->tokens[token].size == 0) {
        return token + 1;
    }
    do {
        token++;
    } while (token < json->count && json->tokens[token].start < end);
    return token;
}

bool json_each(const struct json *json, unsigned container, struct json_cursor *cursor) {
    const jsmntok_t *whole = &json->tokens[container];
    if (whole->type != JSMN_OBJECT && whole->type != JSMN_ARRAY) {
        return false;
    }
    unsigned token = cursor->value == 0 ? container + 1 : skip(json, cursor->value);
    if (token >= json->count || json->tokens[token].start >= whole->end) {
        return false;
    }
    cursor->key = token;
    cursor->value = whole->type == JSMN_OBJECT ? token + 1 : token;
    return true;
}

unsigned json_size(const struct json *json, unsigned container) {
    return (unsigned)json->tokens[container].size;
}

/* Two strings may be written differently and be the same. */
static bool is_same(struct bytes a, struct bytes b) {
    if (a.size > 0 && b.size > 0 && a.data[0] != b.data[0] && a.data[0] != '\\' &&
        b.data[0] != '\\') {
        return false;
    }
    if (memchr(a.data, '\\', a.size) == NULL && memchr(b.data, '\\', b.size) == NULL) {
        return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
    }
    uint8_t in_a[4];
    uint8_t in_b[4];
    size_t size = 0;
    do {
        size = json_check_take(&a, in_a);
        if (size != json_check_take(&b, in_b) || memcmp(in_a, in_b, size) != 0) {
            return false;
        }
    } while (size > 0);
    return true;
}

static bool comes_before(const struct json *json, unsigned object, unsigned key) {
    struct json_cursor at = {0, 0};
    while (json_each(json, object, &at) && at.key < key) {
        if (is_same(view(json, at.key), view(json, key))) {
            return true;
        }
    }
    return false;
}

/* Quadratic in the members of one object, which the caller's token array bounds. */
static enum status refuse_duplicates(const struct json *json, struct json_error *error) {
    for (unsigned token = 1; token < json->count; token++) {
        int parent = json->tokens[token].parent;
        if (json->tokens[parent].type != JSMN_OBJECT ||
            !comes_before(json, (unsigned)parent, token)) {
            continue;
        }
        error->offset = (size_t)json->tokens[token].start;
        error->reason = "the same name twice in one object";
        json_pointer(json, token, error->pointer, sizeof error->pointer);
        return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

bool json_is_whole(struct bytes text) {
    struct json_error error;
    return text.size > 0 && json_check(text, &error) == STATUS_OK;
}

enum status json_parse(struct json *json, struct bytes text, jsmntok_t *tokens, unsigned capacity,
                       struct json_error *error) {
    enum status status = json_check(text, error);
    if (status != STATUS_OK) {
        return status;
    }
    jsmn_parser parser;
    jsmn_init(&parser);
    int count = jsmn_parse(&parser, (const char *)text.data, text.size, tokens, capacity);
    if (count == JSMN_ERROR_NOMEM) {
        *error = (struct json_error){.offset = parser.pos, .reason = "too many values"};
        return STATUS_TOO_LARGE;
    }
    if (count <= 0) { /* not reached as far as we know; input must never stop the program */
        *error = (struct json_error){.offset = parser.pos, .reason = "not understood"};
        return STATUS_MALFORMED;
    }
    struct json parsed = {text, tokens, (unsigned)count};
    status = refuse_duplicates(&parsed, error);
    if (status == STATUS_OK) {
        *json = parsed;
    }
    return status;
}

enum json_type json_type(const struct json *json, unsigned token) {
    switch (json->tokens[token].type) {
    case JSMN_OBJECT:
        return JSON_OBJECT;
    case JSMN_ARRAY:
        return JSON_ARRAY;
    case JSMN_STRING:
        return JSON_STRING;
    case JSMN_UNDEFINED:
    case JSMN_PRIMITIVE:
    default:
        break;
    }
    switch (view(json, token).data[0]) {
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

bool json_equals(const struct json *json, unsigned token, const char *text) {
    struct bytes string = view(json, token);
    uint8_t utf8[4];
    if (json->tokens[token].type != JSMN_STRING) {
        return false;
    }
    if (string.size > 0 && string.data[0] != (uint8_t)text[0] && string.data[0] != '\\') {
        return false;
    }
    if (memchr(string.data, '\\', string.size) == NULL) {
        return strncmp(text, (const char *)string.data, string.size) == 0 &&
               text[string.size] == '\0';
    }
    for (size_t size = json_check_take(&string, utf8); size > 0;
         size = json_check_take(&string, utf8)) {
        if (utf8[0] == 0 || strncmp(text, (const char *)utf8, size) != 0) {
            return false;
        }
        text += size;
    }
    return *text == '\0';
}

enum status json_member(const struct json *json, unsigned object, const char *name,
                        unsigned *value) {
    const jsmntok_t *tokens = json->tokens;
    if (tokens[object].type != JSMN_OBJECT) {
        return STATUS_NOT_FOUND;
    }
    for (unsigned key = object + 1; key < json->count && tokens[key].start < tokens[object].end;
         key = skip(json, key + 1)) {
        uint8_t first = json->text.data[tokens[key].start]; /* the closing quote when it is empty */
        bool may_be = first == (uint8_t)name[0] || first == '\\' || name[0] == '\0';
        if (may_be && json_equals(json, key, name)) {
            *value = key + 1;
            return STATUS_OK;
        }
    }
    return STATUS_NOT_FOUND;
}

enum status json_get_string(const struct json *json, unsigned token, char *text, size_t capacity) {
    check(capacity > 0);
    if (json_type(json, token) != JSON_STRING) {
        return STATUS_MALFORMED;
    }
    struct bytes string = view(json, token);
    size_t used = 0;
    uint8_t utf8[4];
    if (string.size < capacity && memchr(string.data, '\\', string.size) == NULL) {
        memcpy(text, string.data, string.size);
        text[string.size] = '\0';
        return STATUS_OK;
    }
    for (size_t size = json_check_take(&string, utf8); size > 0;
         size = json_check_take(&string, utf8)) {
        if (utf8[0] == 0) {
            return STATUS_MALFORMED;
        }
        if (used + size >= capacity) {
            return STATUS_TOO_LARGE;
        }
        memcpy(text + used, utf8, size);
        used += size;
    }
    text[used] = '\0';
    return STATUS_OK;
}

/* The digits of an integer; TOO_LARGE beyond 64 bits. */
static enum status magnitude(const struct json *json, unsigned token, bool *is_negative,
                             uint64_t *value) {
    if (json_type(json, token) != JSON_NUMBER) {
        return STATUS_MALFORMED;
    }
    struct bytes digits = view(json, token);
    uint64_t sum = 0;
    enum status status = STATUS_OK;
    *is_negative = digits.data[0] == '-';
    for (size_t i = *is_negative ? 1 : 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return STATUS_MALFORMED;
        }
        unsigned digit = digits.data[i] - (unsigned)'0';
        if (sum > (UINT64_MAX - digit) / 10) {
            status = STATUS_TOO_LARGE;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return status;
}

enum status json_get_uint(const struct json *json, unsigned token, uint64_t max, uint64_t *value) {
    bool is_negative = false;
    uint64_t number = 0;
    enum status status = magnitude(json, token, &is_negative, &number);
    if (status != STATUS_OK) {
        return status;
    }
    if (number > max || (is_negative && number > 0)) {
        return STATUS_TOO_LARGE;
    }
    *value = number;
    return STATUS_OK;
}

enum status json_get_int(const struct json *json, unsigned token, int64_t min, int64_t max,
                         int64_t *value) {
    bool is_negative = false;
    uint64_t number = 0;
    enum status status = magnitude(json, token, &is_negative, &number);
    if (status != STATUS_OK) {
        return status;
    }
    if (number > (uint64_t)INT64_MAX + is_negative) {
        return STATUS_TOO_LARGE;
    }
    int64_t result = is_negative && number > 0 ? -(int64_t)(number - 1) - 1 : (int64_t)number;
    if (result < min || result > max) {
        return STATUS_TOO_LARGE;
    }
    *value = result;
    return STATUS_OK;
}

enum status json_get_bool(const struct json *json, unsigned token, bool *value) {
    if (json_type(json, token) != JSON_BOOL) {
        return STATUS_MALFORMED;
    }
    *value = view(json, token).data[0] == 't';
    return STATUS_OK;
}

bool json_is_null(const struct json *json, unsigned token) {
    return json_type(json, token) == JSON_NULL;
}

struct bytes json_raw(const struct json *json, unsigned token) {
    struct bytes raw = view(json, token);
    if (json->tokens[token].type == JSMN_STRING) {
        raw = (struct bytes){raw.data - 1, raw.size + 2};
    }
    return raw;
}

/* The segment of a token in its container: its name, or its index in digits. */
static struct bytes segment_of(const struct json *json, unsigned token, unsigned parent,
                               char digits[12]) {
    if (json->tokens[parent].type == JSMN_OBJECT) {
        return view(json, token);
    }
    unsigned index = 0;
    struct json_cursor at = {0, 0};
    while (json_each(json, parent, &at) && at.value < token) {
        index++;
    }
    size_t begin = 12;
    do {
        digits[--begin] = (char)('0' + index % 10);
        index /= 10;
    } while (index > 0);
    return (struct bytes){(const uint8_t *)digits + begin, 12 - begin};
}

void json_pointer(const struct json *json, unsigned token, char *text, size_t capacity) {
    check(capacity > 0 && token < json->count);
    text[0] = '\0';
    size_t used = 0;
    for (int parent = json->tokens[token].parent; parent >= 0;
         token = (unsigned)parent, parent = json->tokens[token].parent) {
        char digits[12];
        char segment[JSON_POINTER_BYTES] = "";
        if (json->tokens[parent].type == JSMN_STRING) {
            continue; /* the parent of a member's value is its name */
        }
        struct bytes name = segment_of(json, token, (unsigned)parent, digits);
        size_t size = json_check_append(segment, sizeof segment, name) ? strlen(segment) : capacity;
        if (size >= capacity - used) {
            return;
        }
        memmove(text + size, text, used + 1);
        memcpy(text, segment, size);
        used += size;
    }
}
