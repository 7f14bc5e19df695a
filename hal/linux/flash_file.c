#include "hal/linux/flash_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILL_BYTES = 16384 }; /* written or compared at once while a file is created */

static struct flash_file *flash_file(struct hal_flash *flash) {
    return (struct flash_file *)(void *)flash;
}

static off_t total_bytes(const struct hal_flash *flash) {
    return (off_t)flash->block_bytes * flash->block_count;
}

/* ---- whole reads and writes ---- */

static enum status write_all(int file, off_t offset, const void *source, size_t size) {
    const uint8_t *next = source;
    while (size > 0) {
        ssize_t count = pwrite(file, next, size, offset);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            errno = count == 0 ? EIO : errno;
            return STATUS_IO;
        }
        next += count;
        offset += count;
        size -= (size_t)count;
    }
    return STATUS_OK;
}

/* ---- operations ---- */

/* After a sync that failed the kernel calls pages clean that are not on the disk: without them,
 * whoever reads next reads the disk. (Dirty pages stay; so does what another program has mapped.)
 */
static void forget_cache(const struct flash_file *flash, uint32_t offset, uint32_t size) {
    off_t first = offset - offset % FLASH_FILE_PROGRAM_BYTES;
    (void)posix_fadvise(flash->file, first, (off_t)size + FLASH_FILE_PROGRAM_BYTES,
                        POSIX_FADV_DONTNEED);
}

/* Before the first write comes a start, which reads everything; after it, mostly what was written
 * last is read back, to be answered with. */
static enum status file_read(struct hal_flash *base, uint32_t offset, void *target, uint32_t size) {
    struct flash_file *flash = flash_file(base);
    if (base->reads_device) {
        forget_cache(flash, offset, size);
        return read_ahead_all(flash->file, offset, target, size);
    }
    if (!flash->has_written) {
        return read_ahead(&flash->ahead, flash->file, offset, target, size);
    }
    return read_ahead_has(&flash->ahead, offset, target, size)
               ? STATUS_OK
               : read_ahead_all(flash->file, offset, target, size);
}

static enum status file_program(struct hal_flash *base, uint32_t offset, const void *source,
                                uint32_t size) {
    struct flash_file *flash = flash_file(base);
    flash->has_written = true;
    read_ahead_drop(&flash->ahead);
    enum status status = write_all(flash->file, offset, source, size);
    if (status == STATUS_OK) {
        read_ahead_keep(&flash->ahead, offset, source, size);
    }
    return status;
}

static enum status file_erase(struct hal_flash *flash, uint32_t block) {
    (void)flash;
    (void)block;
    return STATUS_OK;
}

static bool submit(struct flash_file *flash) {
    struct iocb request = {
        .aio_fildes = (uint32_t)flash->file,
        .aio_lio_opcode = IOCB_CMD_FDSYNC,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t)flash->event,
    };
    struct iocb *requests[1] = {&request};
    return flash->context != 0 && syscall(SYS_io_submit, flash->context, 1L, requests) == 1;
}

/* The eventfd is written as the kernel would have done, so that a loop sees no difference. */
static enum status sync_blocking(struct flash_file *flash) {
    uint64_t one = 1;
    flash->blocking_error = fdatasync(flash->file) == 0 ? 0 : errno;
    flash->has_blocked = true;
    return write(flash->event, &one, sizeof one) == (ssize_t)sizeof one ? STATUS_OK : STATUS_IO;
}

static enum status file_sync_start(struct hal_flash *base) {
    struct flash_file *flash = flash_file(base);
    check(!flash->is_syncing);
    flash->is_syncing = true;
    flash->has_blocked = false;
    return submit(flash) ? STATUS_OK : sync_blocking(flash);
}

/* The kernel writes the eventfd after it has filled in the result, so it is asked first. */
static enum status end_sync(struct flash_file *flash) {
    uint64_t count = 0;
    if (read(flash->event, &count, sizeof count) != (ssize_t)sizeof count) {
        return errno == EAGAIN || errno == EINTR ? STATUS_AGAIN : STATUS_IO;
    }
    flash->is_syncing = false;
    if (flash->has_blocked) {
        errno = flash->blocking_error;
        return flash->blocking_error == 0 ? STATUS_OK : STATUS_IO;
    }
    struct io_event event = {0};
    struct timespec now = {0};
    if (syscall(SYS_io_getevents, flash->context, 1L, 1L, &event, &now) != 1) {
        errno = EIO; /* a wake-up without a result says nothing about the disk */
        return STATUS_IO;
    }
    errno = event.res < 0 ? (int)-event.res : 0;
    return event.res == 0 ? STATUS_OK : STATUS_IO;
}

static enum status file_sync_poll(struct hal_flash *base) {
    struct flash_file *flash = flash_file(base);
    enum status status = flash->is_syncing ? end_sync(flash) : STATUS_AGAIN;
    if (status != STATUS_OK && status != STATUS_AGAIN) {
        int error = errno;
        forget_cache(flash, 0, base->block_bytes * base->block_count);
        errno = error;
    }
    return status;
}

static const struct hal_flash_ops file_ops = {
    .read = file_read,
    .program = file_program,
    .erase = file_erase,
    .sync_start = file_sync_start,
    .sync_poll = file_sync_poll,
};

enum status flash_file_sync_wait(struct flash_file *flash) {
    check(!flash->is_syncing);
    int result = fdatasync(flash->file);
    int error = errno;
    if (result != 0) {
        forget_cache(flash, 0, flash->base.block_bytes * flash->base.block_count);
    }
    errno = error;
    return result == 0 ? STATUS_OK : STATUS_IO;
}

/* ---- opening ---- */

static enum status lock(int file) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(file, F_OFD_SETLK, &lock) == 0) {
        return STATUS_OK;
    }
    return errno == EAGAIN || errno == EACCES ? STATUS_BUSY : STATUS_IO;
}

/* Opens and locks; gives the file's size. */
static enum status open_locked(struct flash_file *flash, const char *path, int flags, off_t *size) {
    struct stat about;
    flash->file = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags, 0600);
    if (flash->file < 0) {
        switch (errno) {
        case ENOENT:
            return STATUS_NOT_FOUND;
        case EACCES:
        case EPERM:
        case EROFS:
            return STATUS_DENIED;
        case EISDIR:
        case ENXIO:
            return STATUS_FOREIGN;
        default:
            return STATUS_IO;
        }
    }
    if (fstat(flash->file, &about) != 0) {
        return STATUS_IO;
    }
    if (!S_ISREG(about.st_mode)) {
        return STATUS_FOREIGN;
    }
    *size = about.st_size;
    return lock(flash->file);
}

static void init(struct flash_file *flash, struct flash_file_size size) {
    check(size.block_bytes > 0 && size.block_bytes % FLASH_FILE_PROGRAM_BYTES == 0);
    check((uint64_t)size.block_bytes * size.block_count < 0x80000000u);
    flash->base = (struct hal_flash){.ops = &file_ops,
                                     .block_bytes = size.block_bytes,
                                     .block_count = size.block_count,
                                     .program_bytes = FLASH_FILE_PROGRAM_BYTES};
    flash->file = -1;
    flash->event = -1;
    flash->context = 0;
    flash->is_syncing = flash->has_blocked = flash->has_written = false;
    read_ahead_drop(&flash->ahead);
}

static enum status prepare_syncs(struct flash_file *flash) {
    aio_context_t context = 0;
    flash->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (syscall(SYS_io_setup, 1U, &context) == 0) {
        flash->context = context;
    }
    return flash->event >= 0 ? STATUS_OK : STATUS_IO;
}

/* Leaves nothing open behind a failure, and errno as it was. */
static enum status finish(struct flash_file *flash, enum status status) {
    if (status == STATUS_OK) {
        status = prepare_syncs(flash);
    }
    if (status != STATUS_OK) {
        int error = errno;
        flash_file_close(flash);
        errno = error;
    }
    return status;
}

enum status flash_file_open(struct flash_file *flash, const char *path,
                            struct flash_file_size size) {
    off_t bytes = 0;
    init(flash, size);
    enum status status = open_locked(flash, path, 0, &bytes);
    if (status == STATUS_OK && bytes != total_bytes(&flash->base)) {
        status = STATUS_FOREIGN;
    }
    return finish(flash, status);
}

void flash_file_close(struct flash_file *flash) {
    if (flash->context != 0) {
        (void)syscall(SYS_io_destroy, flash->context); /* waits for what was submitted */
    }
    if (flash->event >= 0) {
        (void)close(flash->event);
    }
    if (flash->file >= 0) {
        (void)close(flash->file);
    }
    flash->file = -1;
    flash->event = -1;
    flash->context = 0;
    flash->is_syncing = false;
}

int flash_file_event(const struct flash_file *flash) {
    return flash->event;
}

/* ---- creation ---- */

/* FULL: something else than 0xff is in it. */
static enum status holds_nothing(int file, off_t size) {
    uint8_t bytes[FILL_BYTES];
    uint8_t blank[FILL_BYTES];
    memset(blank, 0xff, sizeof blank);
    for (off_t at = 0; at < size; at += FILL_BYTES) {
        size_t count = size - at < FILL_BYTES ? (size_t)(size - at) : FILL_BYTES;
        enum status status = read_ahead_all(file, at, bytes, count);
        if (status != STATUS_OK) {
            return status;
        }
        if (memcmp(bytes, blank, count) != 0) {
            return STATUS_FULL;
        }
    }
    return STATUS_OK;
}

static enum status fill(int file, off_t from, off_t size) {
    uint8_t blank[FILL_BYTES];
    memset(blank, 0xff, sizeof blank);
    for (off_t at = from; at < size; at += FILL_BYTES) {
        size_t count = size - at < FILL_BYTES ? (size_t)(size - at) : FILL_BYTES;
        enum status status = write_all(file, at, blank, count);
        if (status != STATUS_OK) {
            return status;
        }
    }
    return ftruncate(file, size) == 0 && fsync(file) == 0 ? STATUS_OK : STATUS_IO;
}

/* A new file's name is in its directory, which is made durable by a sync of its own. */
static enum status sync_directory(const char *path) {
    char name[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (size >= sizeof name) {
        errno = ENAMETOOLONG;
        return STATUS_IO;
    }
    if (size > 0) {
        memcpy(name, path, size);
        name[size] = '\0';
    }
    int directory = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return STATUS_IO;
    }
    int result = fsync(directory);
    int error = errno;
    (void)close(directory);
    errno = error;
    return result == 0 ? STATUS_OK : STATUS_IO;
}

enum status flash_file_create(struct flash_file *flash, const char *path,
                              struct flash_file_size size) {
    off_t bytes = 0;
    init(flash, size);
    enum status status = open_locked(flash, path, O_CREAT, &bytes);
    if (status == STATUS_OK) {
        status = holds_nothing(flash->file, bytes);
    }
    if (status == STATUS_OK) {
        status = fill(flash->file, 0, total_bytes(&flash->base));
    }
    if (status == STATUS_OK) {
        status = sync_directory(path);
    }
    return finish(flash, status);
}

enum status flash_file_grow(const char *path, uint64_t from, uint64_t to) {
    static struct flash_file flash; /* large, for what it keeps of the file */
    off_t bytes = 0;
    memset(&flash, 0, sizeof flash);
    flash.file = flash.event = -1;
    enum status status = open_locked(&flash, path, 0, &bytes);
    if (status == STATUS_OK && (uint64_t)bytes != from) {
        status = STATUS_FOREIGN;
    }
    if (status == STATUS_OK) {
        status = fill(flash.file, bytes, (off_t)to);
        int error = errno;
        if (status != STATUS_OK && error == ENOSPC && ftruncate(flash.file, bytes) == 0) {
            status = STATUS_FULL;
        }
        errno = error;
    }
    int error = errno;
    flash_file_close(&flash);
    errno = error;
    return status;
}
