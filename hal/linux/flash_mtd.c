#include "hal/linux/flash_mtd.h"

#include <errno.h>
#include <fcntl.h>
#include <mtd/mtd-user.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMPARE_BYTES = 256 }; /* read at once while looking for content */

static struct flash_mtd *flash_mtd(struct hal_flash *flash) {
    return (struct flash_mtd *)(void *)flash;
}

/* An ioctl that a signal has interrupted has done nothing. */
static int control(const struct flash_mtd *flash, unsigned long request, void *argument) {
    int result;
    do {
        result = ioctl(flash->file, request, argument);
    } while (result < 0 && errno == EINTR);
    return result;
}

/* Leaves errno alone. */
static bool is_bad(const struct flash_mtd *flash, uint32_t block) {
    if (!flash->is_nand) {
        return false;
    }
    int error = errno;
    __kernel_loff_t where = (__kernel_loff_t)block * flash->base.block_bytes;
    bool bad = control(flash, MEMGETBADBLOCK, &where) > 0;
    errno = error;
    return bad;
}

/* The chip said that it could not (EIO), or the device as a whole is not to be written, or gone. */
static enum status write_failure(void) {
    switch (errno) {
    case EIO:
        return STATUS_WORN;
    case EROFS:
    case EACCES:
    case EPERM:
        return STATUS_DENIED;
    default:
        return STATUS_IO;
    }
}

/* ---- operations ---- */

/* Moves past what a bad block does not give. False: the failure counts. */
static bool skip_bad(const struct flash_mtd *flash, uint32_t offset, uint8_t *target,
                     uint32_t *size) {
    uint32_t rest = flash->base.block_bytes - offset % flash->base.block_bytes;
    if (!is_bad(flash, offset / flash->base.block_bytes)) {
        return false;
    }
    *size = *size < rest ? *size : rest;
    memset(target, 0xff, *size);
    return true;
}

static enum status mtd_read(struct hal_flash *base, uint32_t offset, void *target, uint32_t size) {
    const struct flash_mtd *flash = flash_mtd(base);
    uint8_t *next = target;
    while (size > 0) {
        uint32_t taken = size;
        ssize_t count = pread(flash->file, next, size, (off_t)offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count > 0) {
            taken = (uint32_t)count;
        } else if (count == 0) {
            errno = EIO; /* smaller than it was when it was opened */
            return STATUS_IO;
        } else if (!skip_bad(flash, offset, next, &taken)) {
            return errno == EBADMSG ? STATUS_CORRUPT : STATUS_IO;
        }
        next += taken;
        offset += taken;
        size -= taken;
    }
    return STATUS_OK;
}

/* A write that ends short has programmed what it says; a part of a unit cannot be completed. */
static enum status mtd_program(struct hal_flash *base, uint32_t offset, const void *source,
                               uint32_t size) {
    const struct flash_mtd *flash = flash_mtd(base);
    const uint8_t *next = source;
    if (is_bad(flash, offset / base->block_bytes)) {
        errno = EIO;
        return STATUS_WORN;
    }
    while (size > 0) {
        ssize_t count = pwrite(flash->file, next, size, (off_t)offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return write_failure();
        }
        if (count == 0 || (uint32_t)count % flash->write_bytes != 0) {
            errno = EIO;
            return count == 0 ? STATUS_IO : STATUS_WORN;
        }
        next += count;
        offset += (uint32_t)count;
        size -= (uint32_t)count;
    }
    return STATUS_OK;
}

static enum status mtd_erase(struct hal_flash *base, uint32_t block) {
    const struct flash_mtd *flash = flash_mtd(base);
    uint32_t start = block * base->block_bytes;
    struct erase_info_user64 range = {.start = start, .length = base->block_bytes};
    struct erase_info_user old_range = {.start = start, .length = base->block_bytes};
    if (is_bad(flash, block)) {
        errno = EIO;
        return STATUS_WORN;
    }
    int result = control(flash, MEMERASE64, &range);
    if (result < 0 && errno == ENOTTY) { /* before Linux 2.6.31 */
        result = control(flash, MEMERASE, &old_range);
    }
    if (result == 0) {
        return STATUS_OK;
    }
    int error = errno;
    enum status status = write_failure();
    if (flash->is_nand && status == STATUS_WORN) {
        __kernel_loff_t where = start;
        (void)control(flash, MEMSETBADBLOCK, &where); /* else it is only tried again */
    }
    errno = error;
    return status;
}

/* The eventfd tells a loop what other implementations would have told it later. */
static enum status mtd_sync_start(struct hal_flash *base) {
    struct flash_mtd *flash = flash_mtd(base);
    uint64_t one = 1;
    check(!flash->is_syncing);
    if (write(flash->event, &one, sizeof one) != (ssize_t)sizeof one) {
        return STATUS_IO;
    }
    flash->is_syncing = true;
    return STATUS_OK;
}

static enum status mtd_sync_poll(struct hal_flash *base) {
    struct flash_mtd *flash = flash_mtd(base);
    uint64_t count = 0;
    if (!flash->is_syncing) {
        return STATUS_AGAIN;
    }
    flash->is_syncing = false;
    bool was_told = read(flash->event, &count, sizeof count) == (ssize_t)sizeof count;
    return was_told ? STATUS_OK : STATUS_IO;
}

static const struct hal_flash_ops mtd_ops = {
    .read = mtd_read,
    .program = mtd_program,
    .erase = mtd_erase,
    .sync_start = mtd_sync_start,
    .sync_poll = mtd_sync_poll,
};

/* ---- opening ---- */

static enum status refuse(struct flash_mtd *flash, const char *why) {
    flash->refusal = why;
    errno = ENOTSUP;
    return STATUS_FOREIGN;
}

static enum status open_failure(struct flash_mtd *flash) {
    switch (errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
        return STATUS_DENIED;
    case EBUSY: /* a driver that lets one process in */
        return STATUS_BUSY;
    case EISDIR:
        return refuse(flash, "it is not a character device");
    default:
        return STATUS_IO;
    }
}

static enum status open_locked(struct flash_mtd *flash, const char *path) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat about;
    flash->file = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (flash->file < 0) {
        return open_failure(flash);
    }
    if (fstat(flash->file, &about) != 0) {
        return STATUS_IO;
    }
    if (!S_ISCHR(about.st_mode)) {
        return refuse(flash, "it is not a character device");
    }
    if (fcntl(flash->file, F_OFD_SETLK, &lock) == 0) {
        return STATUS_OK;
    }
    return errno == EAGAIN || errno == EACCES ? STATUS_BUSY : STATUS_IO;
}

static enum status judge_type(struct flash_mtd *flash, const struct mtd_info_user *info) {
    switch (info->type) {
    case MTD_NORFLASH:
    case MTD_NANDFLASH:
    case MTD_RAM:
        break;
    case MTD_MLCNANDFLASH:
        return refuse(flash, "it is MLC NAND, where a power cut also takes pages written before");
    case MTD_UBIVOLUME:
        return refuse(flash, "it is a UBI volume, not the raw flash");
    default:
        return refuse(flash, "its type is not NOR or SLC NAND flash, or RAM");
    }
    if ((info->flags & MTD_WRITEABLE) == 0) {
        errno = EROFS;
        return STATUS_DENIED;
    }
    return STATUS_OK;
}

/* Takes the geometry, as far as it is one at all; whether it suits a store is the store's owner's
 * business. */
static enum status take_geometry(struct flash_mtd *flash, const struct mtd_info_user *info,
                                 uint64_t bytes) {
    if (info->erasesize == 0 || info->writesize == 0 || info->erasesize % info->writesize != 0) {
        return refuse(flash, "its blocks are not whole write units");
    }
    uint64_t usable = bytes == 0 ? info->size : bytes;
    if (usable > info->size) {
        return refuse(flash, "it is smaller than the size that was asked for");
    }
    if (usable == 0 || usable % info->erasesize != 0) {
        return refuse(flash, "its size, or the one that was asked for, is not whole erase blocks");
    }
    if (usable >= 0x80000000u) {
        return refuse(flash, "it is not smaller than 2 GiB; ask for less of it");
    }
    uint32_t units = (FLASH_MTD_PROGRAM_BYTES + info->writesize - 1) / info->writesize;
    if (info->erasesize % (units * info->writesize) != 0) {
        return refuse(flash, "its blocks are not whole program units of 256 bytes or more");
    }
    flash->base.block_bytes = info->erasesize;
    flash->base.block_count = (uint32_t)usable / info->erasesize;
    flash->base.program_bytes = units * info->writesize;
    flash->write_bytes = info->writesize;
    flash->is_nand = info->type == MTD_NANDFLASH;
    return STATUS_OK;
}

/* What is no MTD does not know the question. */
static enum status ask_geometry(struct flash_mtd *flash, uint64_t bytes) {
    struct mtd_info_user info = {0};
    if (control(flash, MEMGETINFO, &info) != 0) {
        bool is_no_mtd = errno == ENOTTY || errno == EINVAL || errno == ENOSYS;
        return is_no_mtd ? refuse(flash, "it is not an MTD device") : STATUS_IO;
    }
    enum status status = judge_type(flash, &info);
    return status == STATUS_OK ? take_geometry(flash, &info, bytes) : status;
}

enum status flash_mtd_open(struct flash_mtd *flash, const char *path, uint64_t bytes) {
    *flash = (struct flash_mtd){
        .base = {.ops = &mtd_ops, .verify = true},
        .file = -1,
        .event = -1,
    };
    enum status status = open_locked(flash, path);
    if (status == STATUS_OK) {
        status = ask_geometry(flash, bytes);
    }
    if (status == STATUS_OK) {
        flash->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        status = flash->event >= 0 ? STATUS_OK : STATUS_IO;
    }
    if (status != STATUS_OK) {
        int error = errno;
        flash_mtd_close(flash);
        errno = error;
    }
    return status;
}

static enum status unit_holds_nothing(struct flash_mtd *flash, uint32_t offset) {
    uint8_t bytes[COMPARE_BYTES];
    uint8_t blank[COMPARE_BYTES];
    memset(blank, 0xff, sizeof blank);
    uint32_t end = offset + flash->base.program_bytes;
    for (uint32_t at = offset; at < end; at += COMPARE_BYTES) {
        uint32_t size = end - at < COMPARE_BYTES ? end - at : COMPARE_BYTES;
        enum status status = mtd_read(&flash->base, at, bytes, size);
        if (status != STATUS_OK) {
            return status;
        }
        if (memcmp(bytes, blank, size) != 0) {
            return STATUS_FULL;
        }
    }
    return STATUS_OK;
}

enum status flash_mtd_holds_nothing(struct flash_mtd *flash) {
    enum status status = STATUS_OK;
    for (uint32_t b = 0; b < flash->base.block_count && status == STATUS_OK; b++) {
        if (!is_bad(flash, b)) {
            status = unit_holds_nothing(flash, b * flash->base.block_bytes);
        }
    }
    return status;
}

void flash_mtd_close(struct flash_mtd *flash) {
    if (flash->event >= 0) {
        (void)close(flash->event);
    }
    if (flash->file >= 0) {
        (void)close(flash->file);
    }
    flash->file = -1;
    flash->event = -1;
    flash->is_syncing = false;
}

int flash_mtd_event(const struct flash_mtd *flash) {
    return flash->event;
}
