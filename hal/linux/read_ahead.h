/* read_ahead.h - reads of a file in a few forward streams, gathered into larger ones.
 *
 * A start reads hundreds of thousands of records, most of them close behind one read before: a
 * system call for each costs more than all the rest. Each window follows one stream; it grows from
 * a few pages as long as the stream goes on behind it, so that random reads stay cheap. Whoever
 * writes to the file drops the windows first.
 */
#ifndef HAL_LINUX_READ_AHEAD_H
#define HAL_LINUX_READ_AHEAD_H

#include "hal/base.h"

#include <sys/types.h>

enum { READ_AHEAD_WINDOWS = 4, READ_AHEAD_MIN = 16384, READ_AHEAD_MAX = 65536 };

struct read_ahead_window {
    off_t start;
    uint32_t size;  /* valid bytes; 0: empty */
    uint32_t wants; /* bytes to read next time */
    uint32_t used;  /* when it served last */
    uint8_t bytes[READ_AHEAD_MAX];
};

struct read_ahead {
    struct read_ahead_window windows[READ_AHEAD_WINDOWS];
    uint32_t uses;
};

/* Reads `size` bytes at `offset`; IO with errno (EIO: the file ends before). */
must_check enum status read_ahead(struct read_ahead *ahead, int file, off_t offset, void *target,
                                  size_t size);

/* Forgets what was read. */
void read_ahead_drop(struct read_ahead *ahead);

/* Forgets what was read and keeps what was just written, if it fits a window. */
void read_ahead_keep(struct read_ahead *ahead, off_t offset, const void *source, size_t size);

/* Copies what is kept or was read, without a system call; false: not all of it is. */
bool read_ahead_has(struct read_ahead *ahead, off_t offset, void *target, size_t size);

/* The same without a window. */
must_check enum status read_ahead_all(int file, off_t offset, void *target, size_t size);

#endif
