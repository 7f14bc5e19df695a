#include "host/hubctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ESCAPE_BYTES = 16 };

static bool shows_utf8;

void text_start(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *locale = NULL;
    for (size_t i = 0; i < array_count(names) && (locale == NULL || locale[0] == '\0'); i++) {
        locale = getenv(names[i]);
    }
    shows_utf8 = locale != NULL && (strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
}

/* Takes one character (RFC 3629); 0: these bytes are none. */
static size_t decode(struct bytes at, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = at.data[0];
    size_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (size == 0 || first >= 0xf8 || size > at.size) {
        return 0;
    }
    *code = size == 1 ? first : first & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at.data[i] & 0xc0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (at.data[i] & 0x3fU);
    }
    bool is_surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return *code < least[size] || *code > 0x10ffff || is_surrogate ? 0 : size;
}

static bool is_plain(uint32_t code) {
    static const struct {
        uint32_t first, last;
    } tricky[] = {
        {0x00, 0x1f},       {0x5c, 0x5c},        {0x7f, 0x9f},     {0xad, 0xad},
        {0x61c, 0x61c},     {0x180e, 0x180e},    {0x200b, 0x200f}, {0x2028, 0x202e},
        {0x2060, 0x206f},   {0xfeff, 0xfeff},    {0xfff0, 0xfffb}, {0xe000, 0xf8ff},
        {0xe0000, 0xe0fff}, {0xf0000, 0x10ffff},
    };
    if (code > 0x7f && !shows_utf8) {
        return false;
    }
    for (size_t i = 0; i < array_count(tricky); i++) {
        if (code >= tricky[i].first && code <= tricky[i].last) {
            return false;
        }
    }
    return true;
}

/* Writes what stands for the next character; gives how many bytes of `at` it was. */
static size_t escape_next(struct bytes at, char escape[ESCAPE_BYTES]) {
    uint32_t code = 0;
    size_t size = decode(at, &code);
    if (size == 0) {
        snprintf(escape, ESCAPE_BYTES, "\\x%02x", (unsigned)at.data[0]);
        return 1;
    }
    if (is_plain(code)) {
        memcpy(escape, at.data, size);
        escape[size] = '\0';
    } else if (code == '\n' || code == '\t' || code == '\r' || code == '\\') {
        const char letter = code == '\n' ? 'n' : code == '\t' ? 't' : code == '\r' ? 'r' : '\\';
        snprintf(escape, ESCAPE_BYTES, "\\%c", letter);
    } else {
        snprintf(escape, ESCAPE_BYTES, code < 0x80 ? "\\x%02x" : "\\u{%x}", (unsigned)code);
    }
    return size;
}

size_t text_escape(struct bytes source, char *target, size_t capacity) {
    size_t used = 0;
    check(capacity > 0);
    while (source.size > 0) {
        char escape[ESCAPE_BYTES];
        size_t taken = escape_next(source, escape);
        size_t size = strlen(escape);
        if (size >= capacity - used) {
            break;
        }
        memcpy(target + used, escape, size);
        used += size;
        source = (struct bytes){source.data + taken, source.size - taken};
    }
    target[used] = '\0';
    return used;
}

size_t text_columns(const char *safe) {
    size_t columns = 0;
    for (; *safe != '\0'; safe++) {
        columns += ((unsigned char)*safe & 0xc0) != 0x80;
    }
    return columns;
}

void text_print_lines(struct bytes source, const char *indent) {
    bool is_line_start = true;
    while (source.size > 0) {
        size_t taken = 1;
        fputs(is_line_start ? indent : "", stdout);
        is_line_start = source.data[0] == '\n';
        bool is_line_end =
            is_line_start || (source.size > 1 && memcmp(source.data, "\r\n", 2) == 0);
        if (!is_line_end) {
            char escape[ESCAPE_BYTES];
            taken = escape_next(source, escape);
            fputs(escape, stdout);
        } else if (is_line_start) {
            putchar('\n');
        }
        source = (struct bytes){source.data + taken, source.size - taken};
    }
    if (!is_line_start) {
        putchar('\n');
    }
}

void text_print_quoted(struct bytes source) {
    putchar('"');
    while (source.size > 0) {
        uint32_t code = 0;
        size_t size = decode(source, &code);
        code = size == 0 ? 0xfffd : code;
        size = size == 0 ? 1 : size;
        if (code == '"' || code == '\\') {
            printf("\\%c", (int)code);
        } else if (code >= 0x20 && code < 0x7f) {
            putchar((int)code);
        } else if (code < 0x10000) {
            printf("\\u%04x", (unsigned)code);
        } else {
            uint32_t rest = code - 0x10000;
            printf("\\u%04x\\u%04x", (unsigned)(0xd800 | rest >> 10),
                   (unsigned)(0xdc00 | (rest & 0x3ff)));
        }
        source = (struct bytes){source.data + size, source.size - size};
    }
    putchar('"');
}
