/* serial_frame.h - whole messages over a serial line that loses, adds and changes bytes.
 *
 *     00  COBS( type, payload, CRC-32C of both, little-endian )  00
 *
 * COBS (S. Cheshire, M. Baker: Consistent Overhead Byte Stuffing, 1999) takes the zeros out at the
 * cost of one byte in 254, so that 00 always ends a frame: a reader that has lost its place has it
 * again at the next 00. What does not check is counted and dropped; nothing is sent again here,
 * whoever asked asks once more. */
#ifndef PROTOCOL_SERIAL_FRAME_H
#define PROTOCOL_SERIAL_FRAME_H

#include "hal/base.h"

/* What goes over the line between a hub and the host that carries its records upstream. */
enum serial_frame_type {
    SERIAL_FRAME_HELLO = 1, /* hub: its id; at its start, and whenever it is asked by READY */
    SERIAL_FRAME_PUSH,      /* hub: a mark, and a push, see protocol/sync.cddl */
    SERIAL_FRAME_REPLY,     /* carrier: the mark of the push, and upstream's reply to it */
    SERIAL_FRAME_READY,     /* carrier: upstream can be reached, over a new connection */
    SERIAL_FRAME_AWAY,      /* carrier: it cannot; READY will follow */
    SERIAL_FRAME_TYPES
};

enum {
    SERIAL_FRAME_HEAD = 1,
    SERIAL_FRAME_TAIL = 4,
    SERIAL_FRAME_MARK = 4,     /* bytes that only the hub understands: another push, another mark */
    SERIAL_FRAME_BAUD = 460800 /* 8N1, RTS/CTS where the port has them */
};

/* Bytes on the line of a frame with that much payload, at most. */
#define SERIAL_FRAME_SIZE(payload)                                                                 \
    ((payload) + SERIAL_FRAME_HEAD + SERIAL_FRAME_TAIL +                                           \
     ((payload) + SERIAL_FRAME_HEAD + SERIAL_FRAME_TAIL) / 254 + 3)

/* Writes a whole frame. `target` holds SERIAL_FRAME_SIZE(payload.size). Returns its size. */
size_t serial_frame_write(uint8_t type, struct bytes payload, uint8_t *target);

struct serial_frame {
    uint8_t type;         /* may be one that we do not know */
    struct bytes payload; /* a view into the reader's buffer, until its next byte */
};

struct serial_frame_reader {
    uint8_t *buffer;
    size_t capacity;
    size_t size;       /* bytes of the frame so far, decoded */
    uint8_t left;      /* of the COBS block, without its code */
    bool is_full;      /* the block is of 254 bytes: no zero behind it */
    bool is_broken;    /* too long: dropped up to the next 00 */
    uint64_t frames;   /* whole ones */
    uint64_t damaged;  /* cut off, or wrong by their CRC */
    uint64_t too_long; /* larger than the buffer */
};

/* `buffer` is the reader's and holds type, payload and CRC of the largest frame to come. */
void serial_frame_reader_init(struct serial_frame_reader *reader, uint8_t *buffer, size_t capacity);

/* Another line, or the same once more: forgets the frame that has begun, not what was counted. */
void serial_frame_reader_restart(struct serial_frame_reader *reader);

/* Takes one byte. True: a whole frame is there. */
must_check bool serial_frame_take(struct serial_frame_reader *reader, uint8_t byte,
                                  struct serial_frame *frame);

#endif
