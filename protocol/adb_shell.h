/* adb_shell.h - packets of the shell_v2 protocol inside one ADB stream.
 *
 * Source: AOSP shell_protocol.h: u8 id, u32 little-endian length, data. Packets may be cut at any
 * byte by the messages that carry them; so the reader gives them out in pieces and keeps five
 * bytes at most. */
#ifndef PROTOCOL_ADB_SHELL_H
#define PROTOCOL_ADB_SHELL_H

#include "hal/base.h"

enum {
    ADB_SHELL_STDIN = 0,
    ADB_SHELL_STDOUT = 1,
    ADB_SHELL_STDERR = 2,
    ADB_SHELL_EXIT = 3,        /* one byte: the exit status */
    ADB_SHELL_CLOSE_STDIN = 4, /* no data */
    ADB_SHELL_WINDOW = 5       /* ASCII "rowsxcols,xpixelsxypixels" */
};
enum { ADB_SHELL_HEADER_SIZE = 5 };

struct adb_shell_reader {
    uint8_t header[ADB_SHELL_HEADER_SIZE];
    uint8_t header_size;
    uint32_t left; /* data bytes of the current packet that have not come yet */
};

/* One piece of a packet; `is_last` when the packet is complete with it. */
struct adb_shell_piece {
    uint8_t id;
    bool is_last;
    struct bytes data;
};

void adb_shell_begin(struct adb_shell_reader *reader);

/* Takes the next piece from the front of `input`, which moves past it; the piece is a view into
 * `input`. MORE: all of `input` was taken and no piece came of it. MALFORMED: an exit packet that
 * is not one byte long, or a window packet above 64 bytes; the stream is then of no more use. */
must_check enum status adb_shell_next(struct adb_shell_reader *reader, struct bytes *input,
                                      struct adb_shell_piece *piece);

void adb_shell_write_header(uint8_t target[ADB_SHELL_HEADER_SIZE], uint8_t id, uint32_t size);

#endif
