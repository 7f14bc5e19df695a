/* flash.h - erase blocks of flash, or a file that stands for them: read anywhere, program whole
 * units of an erased block once, erase whole blocks, make all of it durable.
 *
 * An implementation embeds `struct hal_flash` as its first member. Geometry is data of the device.
 * Programming only clears bits, erasing sets a whole block to 0xff; a device that does neither
 * (a file) may keep old bytes in an erased block, so nobody may rely on reading 0xff. */
#ifndef HAL_FLASH_H
#define HAL_FLASH_H

#include "hal/base.h"

struct hal_flash;

struct hal_flash_ops {
    enum status (*read)(struct hal_flash *flash, uint32_t offset, void *target, uint32_t size);
    enum status (*program)(struct hal_flash *flash, uint32_t offset, const void *source,
                           uint32_t size);
    enum status (*erase)(struct hal_flash *flash, uint32_t block);
    enum status (*sync_start)(struct hal_flash *flash);
    enum status (*sync_poll)(struct hal_flash *flash);
};

struct hal_flash {
    const struct hal_flash_ops *ops;
    uint32_t block_bytes; /* erased together; the whole device stays below 2 GiB */
    uint32_t block_count;
    uint32_t program_bytes; /* program offset and size are multiples of this */
    bool verify;            /* read back what was programmed: the part may lose it silently */
    bool reads_device;      /* what was synced is read past caches, where there are any */
};

must_check static inline enum status hal_flash_read(struct hal_flash *flash, uint32_t offset,
                                                    void *target, uint32_t size) {
    check(size <= flash->block_bytes * flash->block_count);
    check(offset <= flash->block_bytes * flash->block_count - size);
    return flash->ops->read(flash, offset, target, size);
}

/* Not durable before a sync that was started later has ended with OK. WORN, IO: what the unit now
 * holds is unknown. */
must_check static inline enum status hal_flash_program(struct hal_flash *flash, uint32_t offset,
                                                       const void *source, uint32_t size) {
    check(size > 0);
    check(offset % flash->program_bytes == 0);
    check(size % flash->program_bytes == 0);
    check(offset / flash->block_bytes == (offset + size - 1) / flash->block_bytes);
    return flash->ops->program(flash, offset, source, size);
}

must_check static inline enum status hal_flash_erase(struct hal_flash *flash, uint32_t block) {
    check(block < flash->block_count);
    return flash->ops->erase(flash, block);
}

/* Starts to make durable all that was programmed before. One at a time. */
must_check static inline enum status hal_flash_sync_start(struct hal_flash *flash) {
    return flash->ops->sync_start(flash);
}

/* OK: durable. AGAIN: not yet. Anything else: failed, and must never be believed later. */
must_check static inline enum status hal_flash_sync_poll(struct hal_flash *flash) {
    return flash->ops->sync_poll(flash);
}

#endif
