#include "tests/hal/mtd_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNIT_MAX = 1 << 17 };

struct mtd_device mtd_device;
static int backing = -1;
static struct stat identity;

int __real_ioctl(int fd, unsigned long request, ...);
ssize_t __real_pread(int fd, void *target, size_t size, off_t offset);
ssize_t __real_pwrite(int fd, const void *source, size_t size, off_t offset);
int __real_stat(const char *path, struct stat *about);
int __real_fstat(int fd, struct stat *about);
int __wrap_ioctl(int fd, unsigned long request, ...);
ssize_t __wrap_pread(int fd, void *target, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *source, size_t size, off_t offset);
int __wrap_stat(const char *path, struct stat *about);
int __wrap_fstat(int fd, struct stat *about);

static bool is_same(const struct stat *about) {
    return backing >= 0 && about->st_dev == identity.st_dev && about->st_ino == identity.st_ino;
}

static bool is_device(int fd) {
    struct stat about;
    return backing >= 0 && __real_fstat(fd, &about) == 0 && is_same(&about);
}

static int fail(int error) {
    errno = error;
    return -1;
}

static bool is_interrupted(void) {
    bool result = mtd_device.interruptions > 0;
    mtd_device.interruptions -= result;
    return result;
}

/* Counts down to the operation that is to fail. */
static bool is_due(uint32_t *countdown) {
    bool due = *countdown == 1;
    *countdown -= *countdown > 0;
    return due;
}

static bool is_bad(uint64_t offset) {
    return (mtd_device.bad_blocks >> (offset / mtd_device.info.erasesize) & 1) != 0;
}

void mtd_device_peek(uint32_t offset, void *target, size_t size) {
    check(__real_pread(backing, target, size, (off_t)offset) == (ssize_t)size);
}

void mtd_device_poke(uint32_t offset, const void *source, size_t size) {
    check(__real_pwrite(backing, source, size, (off_t)offset) == (ssize_t)size);
}

/* ---- what the driver does ---- */

static int erase(uint64_t start, uint64_t length) {
    static uint8_t blank[UNIT_MAX];
    uint32_t block_bytes = mtd_device.info.erasesize;
    if (length == 0 || start % block_bytes != 0 || length % block_bytes != 0 ||
        start + length > mtd_device.info.size) {
        return fail(EINVAL);
    }
    mtd_device.erases += 1;
    if (is_due(&mtd_device.fail_erase)) {
        return fail(mtd_device.write_error);
    }
    memset(blank, 0xff, sizeof blank);
    for (uint64_t at = start; at < start + length; at += block_bytes) {
        if (is_bad(at)) {
            return fail(EIO);
        }
        mtd_device_poke((uint32_t)at, blank, block_bytes);
        mtd_device.next_page[at / block_bytes] = 0;
    }
    return 0;
}

static int bad_block(unsigned long request, const __kernel_loff_t *where) {
    if (mtd_device.info.type != MTD_NANDFLASH) {
        return fail(EOPNOTSUPP);
    }
    if (request == MEMGETBADBLOCK) {
        return is_bad((uint64_t)*where);
    }
    mtd_device.bad_blocks |= (uint64_t)1 << (*where / mtd_device.info.erasesize);
    return 0;
}

static int control(unsigned long request, void *argument) {
    const struct erase_info_user *range = argument;
    const struct erase_info_user64 *range64 = argument;
    if (is_interrupted()) {
        return fail(EINTR);
    }
    switch (request) {
    case MEMGETINFO:
        memcpy(argument, &mtd_device.info, sizeof mtd_device.info);
        return 0;
    case MEMERASE:
        return erase(range->start, range->length);
    case MEMERASE64:
        return mtd_device.lacks_erase64 ? fail(ENOTTY) : erase(range64->start, range64->length);
    case MEMGETBADBLOCK:
    case MEMSETBADBLOCK:
        return bad_block(request, argument);
    default:
        return fail(ENOTTY);
    }
}

/* NAND wants page after page, each once; the page is spoilt otherwise. */
static void mind_page(uint32_t offset) {
    uint32_t block = offset / mtd_device.info.erasesize;
    uint32_t page = offset % mtd_device.info.erasesize / mtd_device.info.writesize;
    if (mtd_device.info.type == MTD_NANDFLASH) {
        mtd_device.violations += page < mtd_device.next_page[block];
        mtd_device.next_page[block] = (uint16_t)(page + 1);
    }
}

static void program_cells(uint32_t offset, const uint8_t *source, uint32_t size) {
    static uint8_t cells[UNIT_MAX];
    mind_page(offset);
    mtd_device_peek(offset, cells, size);
    for (uint32_t i = 0; i < size; i++) {
        mtd_device.violations += (source[i] & ~cells[i]) != 0;
        cells[i] &= source[i];
    }
    mtd_device_poke(offset, cells, size);
}

static ssize_t program(const uint8_t *source, size_t size, off_t offset) {
    uint32_t unit = mtd_device.info.writesize;
    size_t done = size;
    if (is_interrupted()) {
        return fail(EINTR);
    }
    if ((uint64_t)offset % unit != 0 || size % unit != 0 || size > UNIT_MAX) {
        return fail(EINVAL);
    }
    mtd_device.programs += 1;
    bool fails = is_due(&mtd_device.fail_program) || is_bad((uint64_t)offset);
    if (fails) {
        done = size / 2;
    } else if (mtd_device.short_bytes > 0 && mtd_device.short_bytes < size) {
        done = mtd_device.short_bytes;
        mtd_device.short_bytes = 0;
    }
    uint32_t step = mtd_device.info.type == MTD_NANDFLASH ? unit : (uint32_t)done;
    for (size_t at = 0; at + step <= done && step > 0; at += step) {
        program_cells((uint32_t)offset + (uint32_t)at, source + at, step);
    }
    return fails ? fail(is_bad((uint64_t)offset) ? EIO : mtd_device.write_error) : (ssize_t)done;
}

/* The driver gives up at the first page that cannot be read. */
static ssize_t read_cells(void *target, size_t size, off_t offset) {
    uint64_t start = (uint64_t)mtd_device.unreadable_block * mtd_device.info.erasesize;
    uint64_t end = start + mtd_device.info.erasesize;
    if (is_interrupted()) {
        return fail(EINTR);
    }
    if ((uint64_t)offset < end && (uint64_t)offset + size > start) {
        if ((uint64_t)offset >= start) {
            return fail(mtd_device.read_error);
        }
        size = start - (uint64_t)offset;
    }
    return __real_pread(backing, target, size, offset);
}

/* ---- in place of libc's ---- */

int __wrap_ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return is_device(fd) ? control(request, argument) : __real_ioctl(fd, request, argument);
}

ssize_t __wrap_pread(int fd, void *target, size_t size, off_t offset) {
    return is_device(fd) ? read_cells(target, size, offset)
                         : __real_pread(fd, target, size, offset);
}

ssize_t __wrap_pwrite(int fd, const void *source, size_t size, off_t offset) {
    return is_device(fd) ? program(source, size, offset) : __real_pwrite(fd, source, size, offset);
}

static void disguise(struct stat *about) {
    if (is_same(about)) {
        about->st_mode = (about->st_mode & ~(mode_t)S_IFMT) | S_IFCHR;
    }
}

int __wrap_stat(const char *path, struct stat *about) {
    int result = __real_stat(path, about);
    if (result == 0) {
        disguise(about);
    }
    return result;
}

int __wrap_fstat(int fd, struct stat *about) {
    int result = __real_fstat(fd, about);
    if (result == 0) {
        disguise(about);
    }
    return result;
}

/* ---- the device ---- */

bool mtd_device_make(uint8_t type, uint32_t block_bytes, uint32_t block_count,
                     uint32_t write_bytes) {
    check(block_count <= MTD_DEVICE_BLOCKS_MAX && block_bytes <= UNIT_MAX);
    mtd_device = (struct mtd_device){
        .path = "/tmp/mtd_device_XXXXXX",
        .info = {.type = type,
                 .flags = type == MTD_NANDFLASH ? MTD_CAP_NANDFLASH : MTD_CAP_NORFLASH,
                 .size = block_bytes * block_count,
                 .erasesize = block_bytes,
                 .writesize = write_bytes},
        .write_error = EIO,
        .unreadable_block = MTD_DEVICE_NONE,
        .read_error = EIO,
    };
    backing = mkstemp(mtd_device.path);
    if (backing < 0 || __real_fstat(backing, &identity) != 0) {
        return false;
    }
    bool made = erase(0, mtd_device.info.size) == 0;
    mtd_device.erases = 0;
    return made;
}

void mtd_device_remove(void) {
    if (backing >= 0) {
        (void)close(backing);
        (void)unlink(mtd_device.path);
    }
    backing = -1;
}
