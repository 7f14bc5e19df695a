#include "tests/bench/counting_flash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct counting_flash *of(struct hal_flash *flash) {
    return (struct counting_flash *)(void *)flash;
}

static enum status flash_read(struct hal_flash *flash, uint32_t offset, void *target,
                              uint32_t size) {
    memcpy(target, of(flash)->cells + offset, size);
    of(flash)->bytes_read += size;
    return STATUS_OK;
}

static bool breaks_rules(const uint8_t *cells, const uint8_t *bytes, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        if ((bytes[i] & ~cells[i]) != 0) {
            return true;
        }
    }
    return false;
}

static enum status flash_program(struct hal_flash *flash, uint32_t offset, const void *source,
                                 uint32_t size) {
    uint8_t *cells = of(flash)->cells + offset;
    bool is_part = flash->program_bytes <= COUNTING_PAGE_BYTES;
    of(flash)->rule_breaks += is_part && breaks_rules(cells, source, size);
    memcpy(cells, source, size);
    of(flash)->bytes_programmed += size;
    of(flash)->pages_programmed +=
        (offset + size - 1) / COUNTING_PAGE_BYTES - offset / COUNTING_PAGE_BYTES + 1;
    return STATUS_OK;
}

static enum status flash_erase(struct hal_flash *flash, uint32_t block) {
    memset(of(flash)->cells + (size_t)block * flash->block_bytes, 0xff, flash->block_bytes);
    of(flash)->erases += 1;
    of(flash)->block_erases[block] += 1;
    return STATUS_OK;
}

static enum status flash_sync_start(struct hal_flash *flash) {
    check(!of(flash)->is_syncing);
    of(flash)->is_syncing = true;
    of(flash)->syncs += 1;
    return STATUS_OK;
}

static enum status flash_sync_poll(struct hal_flash *flash) {
    check(of(flash)->is_syncing);
    of(flash)->is_syncing = false;
    return STATUS_OK;
}

static const struct hal_flash_ops flash_ops = {
    .read = flash_read,
    .program = flash_program,
    .erase = flash_erase,
    .sync_start = flash_sync_start,
    .sync_poll = flash_sync_poll,
};

void counting_flash_init(struct counting_flash *flash, uint32_t block_bytes, uint32_t block_count,
                         uint32_t program_bytes) {
    check(block_count <= COUNTING_BLOCKS_MAX);
    *flash = (struct counting_flash){
        .base = {.ops = &flash_ops,
                 .block_bytes = block_bytes,
                 .block_count = block_count,
                 .program_bytes = program_bytes},
    };
    void *cells = mmap(NULL, (size_t)block_bytes * block_count, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED) {
        perror("bench: no memory for the flash");
        exit(1);
    }
    flash->cells = cells;
}

void counting_flash_reset(struct counting_flash *flash) {
    flash->bytes_programmed = 0;
    flash->pages_programmed = 0;
    flash->bytes_read = 0;
    flash->erases = 0;
    flash->syncs = 0;
    memset(flash->block_erases, 0, sizeof flash->block_erases);
}

double counting_flash_wear(const struct counting_flash *flash) {
    uint32_t most = 0;
    for (uint32_t b = 0; b < flash->base.block_count; b++) {
        most = flash->block_erases[b] > most ? flash->block_erases[b] : most;
    }
    double mean = (double)flash->erases / flash->base.block_count;
    return flash->erases == 0 ? 0 : most / mean;
}
