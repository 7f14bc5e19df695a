/* record_field.h - reading the fields of an image: inner part of record*.c. What they find wrong,
 * or out of range, makes the reader fail. */
#ifndef PROTOCOL_RECORD_FIELD_H
#define PROTOCOL_RECORD_FIELD_H

#include "protocol/record.h"

/* An image is an array of at least the fields that the first format had. */
static inline size_t record_field_begin(struct cbor_reader *reader, size_t count_known) {
    size_t count = cbor_get_array(reader, 64);
    if (count < count_known) {
        reader->failed = true;
    }
    return reader->failed ? 0 : count - count_known;
}

/* Whether the `count` fields are there that a later format has appended: records of the one before
 * are still read, and the fields are then as a zeroed image has them. */
static inline bool record_field_has(size_t *left, size_t count) {
    bool is_there = *left >= count;
    *left -= is_there ? count : 0;
    return is_there;
}

static inline void record_field_skip(struct cbor_reader *reader, size_t count) {
    for (size_t i = 0; i < count && !reader->failed; i++) {
        (void)cbor_skip(reader);
    }
}

static inline uint8_t record_field_small(struct cbor_reader *reader, unsigned count) {
    return (uint8_t)cbor_get_uint(reader, count - 1);
}

static inline uint32_t record_field_u32(struct cbor_reader *reader) {
    return (uint32_t)cbor_get_uint(reader, UINT32_MAX);
}

static inline uint64_t record_field_u64(struct cbor_reader *reader) {
    return cbor_get_uint(reader, UINT64_MAX);
}

static inline void record_field_digest(struct cbor_reader *reader, struct bytes *digest) {
    *digest = cbor_get_bytes(reader, RECORD_DIGEST_BYTES);
    reader->failed = reader->failed || (digest->size != 0 && digest->size != RECORD_DIGEST_BYTES);
}

#endif
