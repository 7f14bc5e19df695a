/* A flash chip that is not there: RAM under NOR's rules, for boards to try the image on. What it
 * holds is gone with the power. */
#include "boards/machine.h"
#include "hal/baremetal/chip.h"

#include <string.h>

static uint8_t *cells_of(const struct chip *part, uint32_t offset) {
    return (uint8_t *)(machine.flash + part->first_byte + offset);
}

static enum status ram_read(struct hal_flash *base, uint32_t offset, void *target, uint32_t size) {
    memcpy(target, cells_of(chip_of(base), offset), size);
    return STATUS_OK;
}

/* Bits only fall. */
static enum status ram_program(struct hal_flash *base, uint32_t offset, const void *source,
                               uint32_t size) {
    struct chip *part = chip_of(base);
    uint8_t *cells = cells_of(part, offset);
    const uint8_t *from = source;
    for (uint32_t i = 0; i < size; i++) {
        cells[i] &= from[i];
    }
    if (memcmp(cells, from, size) != 0) {
        part->failed_programs += 1;
        return STATUS_WORN;
    }
    return STATUS_OK;
}

static enum status ram_erase(struct hal_flash *base, uint32_t block) {
    memset(cells_of(chip_of(base), block * base->block_bytes), 0xff, base->block_bytes);
    return STATUS_OK;
}

void chip_open(struct chip *part, const struct hal_flash *geometry, uint32_t first_byte) {
    static const struct hal_flash_ops ops = {
        .read = ram_read,
        .program = ram_program,
        .erase = ram_erase,
        .sync_start = chip_sync_start,
        .sync_poll = chip_sync_poll,
    };
    *part = (struct chip){.base = *geometry, .first_byte = first_byte};
    part->base.ops = &ops;
}
