/* flash_file.h - hal/flash.h on one file of fixed size.
 *
 * The file is written once, whole, when it is created: a later program then changes no size, no
 * extent and no name, so one fdatasync makes it durable. Erase does nothing: whoever keeps data
 * here salts its checksums, so that bytes of an earlier use never look valid. The file is locked
 * (open file description lock) for as long as it is open: one process per store.
 *
 * A sync runs in the kernel beside the loop (IOCB_CMD_FDSYNC, Linux 4.18); where there is none it
 * blocks. After any failure `errno` still holds the system's reason, for a message. */
#ifndef HAL_LINUX_FLASH_FILE_H
#define HAL_LINUX_FLASH_FILE_H

#include "hal/flash.h"
#include "hal/linux/read_ahead.h"

enum { FLASH_FILE_PROGRAM_BYTES = 4096 }; /* the page of the kernel's cache and of most disks */

struct flash_file {
    struct hal_flash base; /* first: what the store is given */
    int file;              /* -1: closed */
    int event;             /* eventfd: readable when a sync has ended */
    uint64_t context;      /* of the kernel's asynchronous I/O; 0: there is none, syncs block */
    int blocking_error;    /* errno of a sync that blocked; 0: it succeeded */
    bool is_syncing;
    bool has_blocked; /* the running sync has already ended, in `blocking_error` */
    bool has_written;
    struct read_ahead ahead; /* what a start reads; later, what was written last */
};

struct flash_file_size {
    uint32_t block_bytes; /* a multiple of FLASH_FILE_PROGRAM_BYTES */
    uint32_t block_count;
};

/* Makes the file, if the path does not exist or the file holds nothing but 0xff (a creation that
 * was cut short), and opens it. Writes every byte, then makes file and directory entry durable:
 * may take seconds. FULL: the file holds something and was left untouched. BUSY: another process
 * has it open. FOREIGN: not a regular file. DENIED, IO. */
must_check enum status flash_file_create(struct flash_file *flash, const char *path,
                                         struct flash_file_size size);

/* Opens a file that was created before. NOT_FOUND: there is none. FOREIGN: another size, or not a
 * regular file. BUSY, DENIED, IO. */
must_check enum status flash_file_open(struct flash_file *flash, const char *path,
                                       struct flash_file_size size);

/* Writes 0xff behind a file of `from` bytes up to a larger size, and makes that durable. Cut short,
 * it is larger than before and otherwise the same: to be done again. FULL: the disk has no room,
 * and the file is as it was. FOREIGN: it has another size by now. NOT_FOUND, BUSY, DENIED, IO. */
must_check enum status flash_file_grow(const char *path, uint64_t from, uint64_t to);

/* Waits for the running sync; its result is lost. Also fine on one that failed to open. */
void flash_file_close(struct flash_file *flash);

/* For the loop: readable when hal_flash_sync_poll() has something to say. */
int flash_file_event(const struct flash_file *flash);

/* Makes all that was programmed durable and waits for it; for start-up, when nothing runs yet. */
must_check enum status flash_file_sync_wait(struct flash_file *flash);

#endif
