/* counting_flash.h - flash in memory that counts: what a store costs a part, without its faults.
 *
 * Pages of 256 bytes are counted apart from the unit of programming, because a part programs whole
 * pages. Where the unit is no larger than that, a bit programmed from 0 to 1 is counted too; a
 * larger unit stands for a file. The cells are mapped and take memory only where they were touched;
 * they begin as zeros, as flash that holds something nobody knows. */
#ifndef TESTS_BENCH_COUNTING_FLASH_H
#define TESTS_BENCH_COUNTING_FLASH_H

#include "hal/flash.h"

enum { COUNTING_PAGE_BYTES = 256, COUNTING_BLOCKS_MAX = 1024 };

struct counting_flash {
    struct hal_flash base;
    uint8_t *cells;
    bool is_syncing;
    uint64_t bytes_programmed;
    uint64_t pages_programmed; /* touched by each call, so one page of two calls counts twice */
    uint64_t bytes_read;
    uint64_t erases;
    uint64_t syncs;
    uint64_t rule_breaks; /* bits that were to become 1 without an erase */
    uint32_t block_erases[COUNTING_BLOCKS_MAX];
};

/* Maps the cells for the life of the program. Exits when there is no memory. */
void counting_flash_init(struct counting_flash *flash, uint32_t block_bytes, uint32_t block_count,
                         uint32_t program_bytes);

/* What was counted so far no longer counts. */
void counting_flash_reset(struct counting_flash *flash);

/* The most erased block's erases, divided by the mean of all. */
double counting_flash_wear(const struct counting_flash *flash);

#endif
