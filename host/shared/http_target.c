#include "host/shared/http_target.h"

#include <string.h>
#include <strings.h>

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one character off the text, decoded; -1: it is not allowed. */
static int take(struct bytes *text, bool *is_escape) {
    int value = text->data[0];
    size_t size = 1;
    *is_escape = value == '%';
    if (*is_escape) {
        int high = text->size >= 3 ? hex_digit(text->data[1]) : -1;
        int low = text->size >= 3 ? hex_digit(text->data[2]) : -1;
        value = high < 0 || low < 0 ? -1 : high * 16 + low;
        size = text->size >= 3 ? 3 : text->size;
    }
    *text = (struct bytes){text->data + size, text->size - size};
    return value < 0x20 || value == 0x7f ? -1 : value;
}

/* How many bytes in front stand for themselves. */
static size_t plain_size(struct bytes text) {
    size_t size = 0;
    while (size < text.size && text.data[size] > ' ' && text.data[size] != 0x7f &&
           text.data[size] != '%' && text.data[size] != '+') {
        size++;
    }
    return size;
}

static enum status decode_path(uint8_t *path, size_t *size) {
    struct bytes text = {path, *size};
    size_t written = 0;
    while (text.size > 0) {
        bool is_escape = false;
        size_t plain = plain_size(text);
        memmove(path + written, text.data, plain);
        written += plain;
        text = (struct bytes){text.data + plain, text.size - plain};
        if (text.size == 0) {
            break;
        }
        int value = take(&text, &is_escape);
        if (value < 0 || (is_escape && (value == '/' || value == '\\'))) {
            return STATUS_MALFORMED;
        }
        path[written++] = (uint8_t)value;
    }
    *size = written;
    return STATUS_OK;
}

/* The bytes of `http://host` before the path. */
static size_t authority_size(const uint8_t *text, size_t size) {
    size_t skip = 0;
    if (size > 7 && strncasecmp((const char *)text, "http://", 7) == 0) {
        skip = 7;
    } else if (size > 8 && strncasecmp((const char *)text, "https://", 8) == 0) {
        skip = 8;
    }
    while (skip > 0 && skip < size && text[skip] != '/') {
        skip++;
    }
    return skip;
}

enum status http_target_read(uint8_t *text, size_t size, struct http_target *target) {
    size_t skip = authority_size(text, size);
    uint8_t *path = text + skip;
    size -= skip;
    if (size == 0 || path[0] != '/' || memchr(path, '#', size) != NULL) {
        return STATUS_MALFORMED;
    }
    const uint8_t *mark = memchr(path, '?', size);
    size_t path_size = mark != NULL ? (size_t)(mark - path) : size;
    size_t query_begin = mark != NULL ? path_size + 1 : size;
    struct bytes query = {path + query_begin, size - query_begin};
    enum status status = decode_path(path, &path_size);
    if (status == STATUS_OK) {
        *target = (struct http_target){{path, path_size}, query};
    }
    return status;
}

static enum status decode_value(struct bytes text, char *value, size_t capacity) {
    size_t written = 0;
    while (text.size > 0) {
        bool is_escape = false;
        int c = take(&text, &is_escape);
        if (c < 0) {
            return STATUS_MALFORMED;
        }
        if (written + 1 >= capacity) {
            return STATUS_TOO_LARGE;
        }
        value[written++] = (char)(c == '+' && !is_escape ? ' ' : c);
    }
    value[written] = '\0';
    return STATUS_OK;
}

enum status http_target_value(struct bytes query, const char *name, char *value, size_t capacity) {
    check(capacity > 0);
    size_t name_size = strlen(name);
    struct bytes found = {NULL, 0};
    for (size_t at = 0; at < query.size;) {
        const uint8_t *part = query.data + at;
        const uint8_t *end = memchr(part, '&', query.size - at);
        size_t size = end != NULL ? (size_t)(end - part) : query.size - at;
        at += size + 1;
        if (size <= name_size || part[name_size] != '=' || memcmp(part, name, name_size) != 0) {
            continue;
        }
        if (found.data != NULL) {
            return STATUS_MALFORMED;
        }
        found = (struct bytes){part + name_size + 1, size - name_size - 1};
    }
    return found.data == NULL ? STATUS_NOT_FOUND : decode_value(found, value, capacity);
}
