#include "protocol/text.h"

#include <string.h>

size_t text_size(const char *text) {
    size_t size = 0;
    while (text[size] != '\0') {
        size += 1;
    }
    return size;
}

struct bytes text_view(const char *text) {
    return (struct bytes){(const uint8_t *)text, text_size(text)};
}

bool text_is(struct bytes a, struct bytes b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool text_take(struct bytes *text, const char *prefix) {
    size_t size = text_size(prefix);
    if (text->size < size || memcmp(text->data, prefix, size) != 0) {
        return false;
    }
    text->data += size;
    text->size -= size;
    return true;
}

size_t text_up_to(struct bytes text, uint8_t separator) {
    size_t size = 0;
    while (size < text.size && text.data[size] != separator) {
        size += 1;
    }
    return size;
}

bool text_take_number(struct bytes *text, uint64_t *number) {
    uint64_t value = 0;
    size_t digits = 0;
    while (digits < text->size && text->data[digits] >= '0' && text->data[digits] <= '9' &&
           digits < 19) {
        value = value * 10 + (uint64_t)(text->data[digits] - '0');
        digits += 1;
    }
    if (digits == 0 || digits == 19) {
        return false;
    }
    text->data += digits;
    text->size -= digits;
    *number = value;
    return true;
}

void text_put_bytes(struct text_writer *writer, struct bytes more) {
    if (writer->is_full || more.size > writer->capacity - writer->size) {
        writer->is_full = true;
        return;
    }
    if (more.size > 0) {
        memcpy(writer->data + writer->size, more.data, more.size);
    }
    writer->size += more.size;
}

void text_put(struct text_writer *writer, const char *text) {
    text_put_bytes(writer, text_view(text));
}

void text_put_byte(struct text_writer *writer, uint8_t byte) {
    text_put_bytes(writer, (struct bytes){&byte, 1});
}

void text_put_number(struct text_writer *writer, uint64_t number) {
    uint8_t digits[20];
    size_t size = 0;
    do {
        size += 1;
        digits[sizeof digits - size] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text_put_bytes(writer, (struct bytes){digits + sizeof digits - size, size});
}
