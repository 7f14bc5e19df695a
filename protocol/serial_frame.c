#include "protocol/serial_frame.h"

#include "protocol/crc32c.h"

#include <string.h>

enum { BLOCK_MAX = 254 }; /* bytes of a COBS block without its code */

/* ---- writing ---- */

struct stuffer {
    uint8_t *target;
    size_t size; /* written, the open block's code included */
    size_t code; /* where it stands */
};

static void close_block(struct stuffer *stuffer) {
    stuffer->target[stuffer->code] = (uint8_t)(stuffer->size - stuffer->code);
    stuffer->code = stuffer->size;
    stuffer->size += 1;
}

static void stuff(struct stuffer *stuffer, struct bytes input) {
    for (size_t i = 0; i < input.size; i++) {
        if (input.data[i] == 0) {
            close_block(stuffer);
            continue;
        }
        stuffer->target[stuffer->size] = input.data[i];
        stuffer->size += 1;
        if (stuffer->size - stuffer->code == BLOCK_MAX + 1) {
            close_block(stuffer);
        }
    }
}

size_t serial_frame_write(uint8_t type, struct bytes payload, uint8_t *target) {
    struct stuffer stuffer = {.target = target, .size = 2, .code = 1};
    uint32_t crc = crc32c(crc32c(0, (struct bytes){&type, 1}), payload);
    const uint8_t tail[SERIAL_FRAME_TAIL] = {(uint8_t)crc, (uint8_t)(crc >> 8),
                                             (uint8_t)(crc >> 16), (uint8_t)(crc >> 24)};
    target[0] = 0;
    stuff(&stuffer, (struct bytes){&type, 1});
    stuff(&stuffer, payload);
    stuff(&stuffer, (struct bytes){tail, sizeof tail});
    close_block(&stuffer);
    target[stuffer.code] = 0;
    return stuffer.size;
}

/* ---- reading ---- */

void serial_frame_reader_restart(struct serial_frame_reader *reader) {
    reader->size = 0;
    reader->left = 0;
    reader->is_full = true; /* no zero stands before the first block */
    reader->is_broken = false;
}

void serial_frame_reader_init(struct serial_frame_reader *reader, uint8_t *buffer,
                              size_t capacity) {
    *reader = (struct serial_frame_reader){.buffer = buffer, .capacity = capacity};
    serial_frame_reader_restart(reader);
}

static void append(struct serial_frame_reader *reader, uint8_t byte) {
    if (reader->size == reader->capacity) {
        reader->is_broken = true;
        return;
    }
    reader->buffer[reader->size] = byte;
    reader->size += 1;
}

/* A 00 has come: what stands before it is a frame, or is dropped. */
static bool end(struct serial_frame_reader *reader, struct serial_frame *frame) {
    const uint8_t *data = reader->buffer;
    size_t size = reader->size;
    if (reader->is_broken) {
        reader->too_long += 1;
        return false;
    }
    if (reader->left != 0 || size < SERIAL_FRAME_HEAD + SERIAL_FRAME_TAIL) {
        reader->damaged += 1;
        return false;
    }
    const uint8_t *tail = data + size - SERIAL_FRAME_TAIL;
    uint32_t crc = (uint32_t)tail[0] | (uint32_t)tail[1] << 8 | (uint32_t)tail[2] << 16 |
                   (uint32_t)tail[3] << 24;
    if (crc32c(0, (struct bytes){data, size - SERIAL_FRAME_TAIL}) != crc) {
        reader->damaged += 1;
        return false;
    }
    reader->frames += 1;
    frame->type = data[0];
    frame->payload =
        (struct bytes){data + SERIAL_FRAME_HEAD, size - SERIAL_FRAME_HEAD - SERIAL_FRAME_TAIL};
    return true;
}

bool serial_frame_take(struct serial_frame_reader *reader, uint8_t byte,
                       struct serial_frame *frame) {
    if (byte == 0) {
        bool is_empty = reader->size == 0 && reader->left == 0 && !reader->is_broken;
        bool is_whole = !is_empty && end(reader, frame);
        serial_frame_reader_restart(reader);
        return is_whole;
    }
    if (reader->is_broken) {
        return false;
    }
    if (reader->left > 0) {
        append(reader, byte);
        reader->left -= 1;
        return false;
    }
    if (!reader->is_full) {
        append(reader, 0);
    }
    reader->left = (uint8_t)(byte - 1);
    reader->is_full = byte == BLOCK_MAX + 1;
    return false;
}
