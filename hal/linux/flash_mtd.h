/* flash_mtd.h - hal/flash.h on an MTD character device (/dev/mtdN): raw NOR or SLC NAND.
 *
 * The geometry is the device's own; the program unit is its write unit, or as many of them as make
 * FLASH_MTD_PROGRAM_BYTES: one page of serial NOR, which is then programmed once after its erase.
 * The device keeps nothing back, so a sync ends as soon as it was started; an erase or a program
 * blocks the caller for as long as the chip needs (an erase of serial NOR: up to 2 s a block).
 *
 * A block that is marked bad says WORN to erase and program, and reads as 0xff where the device
 * does not read it; a NAND block that does not erase is marked bad. The kernel hands over what it
 * could not correct as if it were good (mtdchar_read in drivers/mtd/mtdchar.c): checksums are the
 * caller's business, and `verify` is set, so that what was programmed is read back.
 *
 * The device node is locked (open file description lock): one process per store. That does not
 * keep anybody away who asks for no lock, or who uses another node of the same device.
 * After any failure `errno` still holds the system's reason, for a message. */
#ifndef HAL_LINUX_FLASH_MTD_H
#define HAL_LINUX_FLASH_MTD_H

#include "hal/flash.h"

enum { FLASH_MTD_PROGRAM_BYTES = 256 };

struct flash_mtd {
    struct hal_flash base; /* first: what the store is given */
    int file;              /* -1: closed */
    int event;             /* eventfd: readable when a sync has ended */
    uint32_t write_bytes;  /* the device's write unit */
    bool is_nand;          /* has bad blocks */
    bool is_syncing;
    const char *refusal; /* of the last open that ended with FOREIGN; else NULL */
};

/* Opens the whole device, or its first `bytes`. FOREIGN: no MTD, or not one for a store, or it has
 * no whole blocks in `bytes`: `refusal` says which. NOT_FOUND: no such device. BUSY: another
 * process has it open. DENIED (also a read-only device), IO. */
must_check enum status flash_mtd_open(struct flash_mtd *flash, const char *path, uint64_t bytes);

/* OK: the first program unit of every block that is not marked bad is 0xff. FULL: one is not.
 * IO, CORRUPT. */
must_check enum status flash_mtd_holds_nothing(struct flash_mtd *flash);

/* Also fine on one that failed to open. */
void flash_mtd_close(struct flash_mtd *flash);

/* For the loop: readable when hal_flash_sync_poll() has something to say. */
int flash_mtd_event(const struct flash_mtd *flash);

#endif
