#include "hal/sim/sim_flash_tear.h"

#include <string.h>

static struct sim_flash *sim(struct hal_flash *flash) {
    return (struct sim_flash *)(void *)flash;
}

static enum sim_flash_fault fault_of(const struct sim_flash *flash, uint32_t block) {
    for (size_t i = 0; i < SIM_FLASH_BAD_MAX; i++) {
        if (flash->block_fault[i] != SIM_FLASH_GOOD && flash->bad_block[i] == block) {
            return (enum sim_flash_fault)flash->block_fault[i];
        }
    }
    return SIM_FLASH_GOOD;
}

void sim_flash_power_off(struct sim_flash *flash, uint32_t seed) {
    const struct sim_flash_cut cut = {0, SIM_FLASH_RANDOM, seed};
    sim_flash_lose_power(flash, NULL, &cut);
}

void sim_flash_power_on(struct sim_flash *flash) {
    flash->is_off = false;
    flash->is_syncing = false;
    flash->operations = 0;
    flash->cut = (struct sim_flash_cut){0};
    flash->fails_next_sync = false;
}

/* ---- operations ---- */

/* Counts the operation and shows it; true when it is the one that the power loss tears. */
static bool begin(struct sim_flash *flash, const struct sim_flash_operation *operation) {
    flash->operations += 1;
    if (flash->before != NULL) {
        flash->before(flash->before_owner, operation);
    }
    bool is_cut = flash->operations == flash->cut.operation;
    if (is_cut) {
        sim_flash_lose_power(flash, operation, &flash->cut);
    }
    return is_cut;
}

static void read_weak(struct sim_flash *flash, uint32_t offset, uint8_t *target, uint32_t size) {
    for (uint32_t i = 0; i < flash->weak_count; i++) {
        const struct sim_flash_weak *weak = &flash->weak[i];
        if (weak->offset >= offset && weak->offset - offset < size) {
            target[weak->offset - offset] ^= (uint8_t)(weak->mask & sim_flash_roll(flash));
        }
    }
}

static void forget_weak(struct sim_flash *flash, uint32_t offset, uint32_t size) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < flash->weak_count; i++) {
        const struct sim_flash_weak weak = flash->weak[i];
        if (weak.offset < offset || weak.offset - offset >= size) {
            flash->weak[kept] = weak;
            kept += 1;
        }
    }
    flash->weak_count = kept;
}

static enum status sim_read(struct hal_flash *base, uint32_t offset, void *target, uint32_t size) {
    struct sim_flash *flash = sim(base);
    memcpy(target, (flash->cache != NULL ? flash->cache : flash->cells) + offset, size);
    if (flash->weak_count > 0) {
        read_weak(flash, offset, target, size);
    }
    bool fails = fault_of(flash, offset / base->block_bytes) == SIM_FLASH_FAILS_READ;
    return flash->is_off || fails ? STATUS_IO : STATUS_OK;
}

/* Of a part: programmed since its erase; of a file: since the last sync. */
static void mark_written(struct sim_flash *flash, const struct sim_flash_operation *operation) {
    uint32_t unit = flash->base.program_bytes;
    uint8_t *written = flash->written + operation->offset / unit;
    uint32_t count = operation->size / unit;
    if (flash->cache == NULL && memchr(written, 1, count) != NULL) {
        flash->violations += 1;
    }
    memset(written, 1, count);
}

/* A misdirected operation hits the same place of the next block. */
static void misdirect(struct sim_flash *flash, struct sim_flash_operation *operation) {
    operation->offset =
        (operation->offset + flash->base.block_bytes) % sim_flash_total_bytes(flash);
    memset(flash->written + operation->offset / flash->base.program_bytes,
           operation->kind == SIM_FLASH_PROGRAM, operation->size / flash->base.program_bytes);
}

static enum status sim_program(struct hal_flash *base, uint32_t offset, const void *source,
                               uint32_t size) {
    struct sim_flash *flash = sim(base);
    struct sim_flash_operation operation = {SIM_FLASH_PROGRAM, offset, size, source};
    enum sim_flash_fault fault = fault_of(flash, offset / base->block_bytes);
    if (flash->is_off) {
        return STATUS_IO;
    }
    flash->bad_uses += fault != SIM_FLASH_GOOD;
    mark_written(flash, &operation);
    if (begin(flash, &operation)) {
        return STATUS_IO;
    }
    if (fault == SIM_FLASH_LOSES_PROGRAM) {
        return STATUS_OK;
    }
    if (fault == SIM_FLASH_FAILS_PROGRAM) {
        sim_flash_change_randomly(flash, &operation);
        return STATUS_WORN;
    }
    if (fault == SIM_FLASH_MISDIRECTS_PROGRAM) {
        misdirect(flash, &operation);
    }
    if (flash->cache != NULL) {
        memcpy(flash->cache + operation.offset, source, size);
    } else {
        sim_flash_change(flash, &operation);
    }
    forget_weak(flash, operation.offset, size);
    return STATUS_OK;
}

/* A file keeps what was in the block. */
static enum status sim_erase(struct hal_flash *base, uint32_t block) {
    struct sim_flash *flash = sim(base);
    struct sim_flash_operation operation = {SIM_FLASH_ERASE, block * base->block_bytes,
                                            base->block_bytes, NULL};
    enum sim_flash_fault fault = fault_of(flash, block);
    if (flash->is_off) {
        return STATUS_IO;
    }
    flash->bad_uses += fault != SIM_FLASH_GOOD;
    if (fault == SIM_FLASH_FAILS_ERASE) {
        return STATUS_WORN;
    }
    bool is_part = flash->cache == NULL;
    if (is_part) {
        memset(flash->written + operation.offset / base->program_bytes, 0,
               base->block_bytes / base->program_bytes);
    }
    if (begin(flash, &operation)) {
        return STATUS_IO;
    }
    if (fault == SIM_FLASH_MISDIRECTS_ERASE) {
        misdirect(flash, &operation);
    }
    if (is_part && fault != SIM_FLASH_LOSES_ERASE) {
        sim_flash_change(flash, &operation);
        forget_weak(flash, operation.offset, operation.size);
    }
    return STATUS_OK;
}

static enum status sim_sync_start(struct hal_flash *base) {
    struct sim_flash *flash = sim(base);
    const struct sim_flash_operation operation = {SIM_FLASH_SYNC, 0, 0, NULL};
    check(!flash->is_syncing);
    if (flash->is_off || begin(flash, &operation)) {
        return STATUS_IO;
    }
    flash->is_syncing = true;
    flash->polls_left = flash->sync_polls;
    return STATUS_OK;
}

static enum status sim_sync_poll(struct hal_flash *base) {
    struct sim_flash *flash = sim(base);
    if (flash->is_off) {
        return STATUS_IO;
    }
    if (!flash->is_syncing || flash->polls_left > 0) {
        flash->polls_left -= flash->polls_left > 0;
        return STATUS_AGAIN;
    }
    flash->is_syncing = false;
    if (flash->fails_next_sync) {
        flash->fails_next_sync = false;
        flash->has_stale_cache = flash->cache != NULL;
        memset(flash->written, 0, sim_flash_total_bytes(flash) / base->program_bytes);
        return STATUS_IO;
    }
    sim_flash_flush_cache(flash);
    return STATUS_OK;
}

static const struct hal_flash_ops sim_ops = {
    .read = sim_read,
    .program = sim_program,
    .erase = sim_erase,
    .sync_start = sim_sync_start,
    .sync_poll = sim_sync_poll,
};

void sim_flash_init(struct sim_flash *flash, struct hal_flash geometry, uint8_t *cells,
                    uint8_t *written, uint8_t *cache) {
    *flash = (struct sim_flash){
        .base = geometry,
        .cells = cells,
        .written = written,
        .cache = cache,
        .page_bytes = geometry.program_bytes > 256 ? geometry.program_bytes : 256,
    };
    flash->base.ops = &sim_ops;
    memset(cells, 0xff, sim_flash_total_bytes(flash));
    memset(written, 0, sim_flash_total_bytes(flash) / geometry.program_bytes);
    if (cache != NULL) {
        memset(cache, 0xff, sim_flash_total_bytes(flash));
    }
}

void sim_flash_flip(struct sim_flash *flash, uint32_t offset, uint8_t mask) {
    flash->cells[offset] ^= mask;
    if (flash->cache != NULL) {
        flash->cache[offset] ^= mask;
    }
}

void sim_flash_adopt(struct sim_flash *flash) {
    uint32_t units = sim_flash_total_bytes(flash) / flash->base.program_bytes;
    memset(flash->written, flash->cache == NULL, units);
    if (flash->cache != NULL) {
        memcpy(flash->cache, flash->cells, sim_flash_total_bytes(flash));
    }
    sim_flash_power_on(flash);
}
