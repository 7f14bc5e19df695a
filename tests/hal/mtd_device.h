/* mtd_device.h - an MTD character device for tests: a file that answers as one.
 *
 * The test program is linked with --wrap for ioctl, pread, pwrite, stat and fstat; what they do to
 * the one file of this device goes to mtd_device.c, everything else to libc. It keeps the rules of
 * the chip: programming clears bits, an erase sets a block, only whole write units are taken; a
 * NAND page is programmed once after its erase, in order. A program that asks for what a chip does
 * not do (a cleared bit set again, a page programmed twice) is counted in `violations` and does
 * the damage. */
#ifndef TESTS_HAL_MTD_DEVICE_H
#define TESTS_HAL_MTD_DEVICE_H

#include "hal/base.h"

#include <mtd/mtd-user.h>

enum { MTD_DEVICE_BLOCKS_MAX = 64 };
#define MTD_DEVICE_NONE UINT32_MAX /* no block has this number */

struct mtd_device {
    char path[96];
    struct mtd_info_user info;
    uint64_t bad_blocks;       /* one bit each; an erase of one says EIO */
    bool lacks_erase64;        /* a kernel that knows MEMERASE only */
    uint32_t fail_erase;       /* the n-th from now fails, from 1; 0: none */
    uint32_t fail_program;     /* as above; half of it has been done */
    int write_error;           /* errno of both */
    uint32_t unreadable_block; /* MTD_DEVICE_NONE: all can be read */
    int read_error;            /* errno of that */
    size_t short_bytes;        /* the next program ends after these; 0: none */
    uint32_t interruptions;    /* calls that EINTR comes before */
    uint32_t erases, programs;
    uint32_t violations;
    uint16_t next_page[MTD_DEVICE_BLOCKS_MAX]; /* of NAND: the first one that may be programmed */
};

extern struct mtd_device mtd_device;

/* Makes the device's file in /tmp, erased, and a good device of it. */
must_check bool mtd_device_make(uint8_t type, uint32_t block_bytes, uint32_t block_count,
                                uint32_t write_bytes);
void mtd_device_remove(void);

/* What is on the chip, without asking it. */
void mtd_device_peek(uint32_t offset, void *target, size_t size);
void mtd_device_poke(uint32_t offset, const void *source, size_t size);

#endif
