/* chip.h - the flash chip of a board: parts of it as hal_flash. A board links one implementation;
 * where the chip is, its `machine` says.
 *
 * A program or erase is done when its call returns, and what it did was read back. WORN: the chip
 * says that it could not, took too long, or holds something else than it was given. */
#ifndef HAL_BAREMETAL_CHIP_H
#define HAL_BAREMETAL_CHIP_H

#include "hal/flash.h"

struct chip {
    struct hal_flash base;
    uint32_t first_byte; /* of this part, in the chip */
    bool is_syncing;
    uint64_t failed_programs, failed_erases;
};

/* `geometry` says sector size and count and the program unit. Ends whatever the chip was doing when
 * the processor restarted. */
void chip_open(struct chip *part, const struct hal_flash *geometry, uint32_t first_byte);

/* ---- what all chips share (chip.c) ---- */

struct chip *chip_of(struct hal_flash *flash);
/* Nothing is kept back: a program that has ended is in the cells. */
enum status chip_sync_start(struct hal_flash *flash);
enum status chip_sync_poll(struct hal_flash *flash);

#endif
