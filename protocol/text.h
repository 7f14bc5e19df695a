/* text.h - bytes and text without a C library: comparing, taking apart, and writing into a buffer.
 */
#ifndef PROTOCOL_TEXT_H
#define PROTOCOL_TEXT_H

#include "hal/base.h"

size_t text_size(const char *text); /* as strlen */
struct bytes text_view(const char *text);
bool text_is(struct bytes a, struct bytes b);

/* Takes the prefix off the front; false: it is not there, nothing changed. */
bool text_take(struct bytes *text, const char *prefix);
/* Bytes in front of the separator; all of them when there is none. */
size_t text_up_to(struct bytes text, uint8_t separator);
/* Takes a decimal number of 1 to 18 digits off the front. */
bool text_take_number(struct bytes *text, uint64_t *number);

/* Text that is appended while it fits. The fields before `size` are the caller's to set. */
struct text_writer {
    uint8_t *data;
    size_t capacity;
    size_t size;
    bool is_full; /* something did not fit; nothing was written since */
};

void text_put(struct text_writer *writer, const char *text);
void text_put_bytes(struct text_writer *writer, struct bytes text);
void text_put_byte(struct text_writer *writer, uint8_t byte);
void text_put_number(struct text_writer *writer, uint64_t number);

#endif
