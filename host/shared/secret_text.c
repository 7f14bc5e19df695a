#include "host/shared/secret_text.h"

#include <string.h>
#include <strings.h>

static bool is_end(uint8_t byte) {
    return byte <= ' ' || strchr("\"'&;,", byte) != NULL;
}

static size_t size_until_end(struct bytes text, size_t at) {
    size_t size = 0;
    while (at + size < text.size && !is_end(text.data[at + size])) {
        size++;
    }
    return size;
}

/* Behind `password=`; inside quotes it goes on to the closing one, blanks included. */
static size_t named_size(struct bytes text, size_t at) {
    uint8_t quote = text.data[at];
    if (quote != '\'' && quote != '"') {
        return size_until_end(text, at);
    }
    size_t size = 1;
    while (at + size < text.size && text.data[at + size] != quote) {
        size++;
    }
    return at + size < text.size ? size + 1 : size;
}

static bool is_behind_name(struct bytes text, size_t at) {
    static const char *const names[] = {"password=", "passwd=", "secret=", "token=", "bearer "};
    for (size_t i = 0; i < array_count(names); i++) {
        size_t size = strlen(names[i]);
        if (at >= size && strncasecmp((const char *)text.data + at - size, names[i], size) == 0) {
            return true;
        }
    }
    return false;
}

/* The colon before `at` ends the user of `//USER:PASSWORD@`. */
static size_t url_size(struct bytes text, size_t at) {
    if (at < 3 || text.data[at - 1] != ':') {
        return 0;
    }
    size_t begin = at - 1;
    while (begin > 0 && !is_end(text.data[begin - 1]) && text.data[begin - 1] != '/') {
        begin--;
    }
    if (begin < 2 || text.data[begin - 1] != '/' || text.data[begin - 2] != '/') {
        return 0;
    }
    size_t size = size_until_end(text, at);
    while (size > 0 && text.data[at + size - 1] != '@') {
        size--;
    }
    return size > 0 ? size - 1 : 0;
}

size_t secret_text_at(struct bytes text, size_t at) {
    return is_behind_name(text, at) ? named_size(text, at) : url_size(text, at);
}
