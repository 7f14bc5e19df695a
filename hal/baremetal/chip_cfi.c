/* Parallel NOR flash with AMD's command set, eight bits wide. Source: CFI publication 100 (command
 * set 0002), and any S29GL data sheet. */
#include "boards/machine.h"
#include "hal/baremetal/chip.h"
#include "hal/baremetal/clock.h"

enum {
    PROGRAM_US = 1000,  /* of a byte: four times the slowest in data sheets */
    ERASE_US = 8000000, /* of a sector: twice */

    UNLOCK_1 = 0xaa,
    UNLOCK_2 = 0x55,
    BYPASS = 0x20, /* programs need no unlock cycles until it is left */
    BYPASS_LEAVE_1 = 0x90,
    BYPASS_LEAVE_2 = 0x00,
    PROGRAM = 0xa0,
    ERASE = 0x80,
    ERASE_SECTOR = 0x30,
    READ_ARRAY = 0xf0,

    DQ5 = 0x20, /* the chip's own time limit is over */
    DQ6 = 0x40, /* toggles while it works */
    DQ7 = 0x80  /* the other way round while it works */
};

static void command(uint32_t offset, uint8_t value) {
    *(volatile uint8_t *)(machine.flash + offset) = value;
}

static uint8_t look(uint32_t offset) {
    return *(const volatile uint8_t *)(machine.flash + offset);
}

static void unlock(void) {
    command(machine.flash_unlock[0], UNLOCK_1);
    command(machine.flash_unlock[1], UNLOCK_2);
}

/* Until DQ7 shows what was written there. False: the chip gives up, or takes too long. */
static bool wait_for(uint32_t offset, uint8_t value, uint64_t limit_us) {
    uint64_t end_us = clock_us() + limit_us;
    for (;;) {
        bool is_over = clock_us() >= end_us;
        uint8_t now = look(offset);
        if (((now ^ value) & DQ7) == 0) {
            return true;
        }
        if ((now & DQ5) != 0 || is_over) { /* it may have ended between the two bits */
            return ((look(offset) ^ value) & DQ7) == 0;
        }
    }
}

/* ---- operations ---- */

static enum status cfi_read(struct hal_flash *base, uint32_t offset, void *target, uint32_t size) {
    const struct chip *part = chip_of(base);
    uint8_t *to = target;
    for (uint32_t i = 0; i < size; i++) {
        to[i] = look(part->first_byte + offset + i);
    }
    return STATUS_OK;
}

/* The array says it, whatever the status bits said. */
static bool holds(uint32_t at, const uint8_t *source, uint32_t size) {
    for (uint32_t i = 0; i < size; i++) {
        if (look(at + i) != source[i]) {
            return false;
        }
    }
    return true;
}

static enum status cfi_program(struct hal_flash *base, uint32_t offset, const void *source,
                               uint32_t size) {
    struct chip *part = chip_of(base);
    const uint8_t *from = source;
    uint32_t at = part->first_byte + offset;
    bool is_done = true;
    unlock();
    command(machine.flash_unlock[0], BYPASS);
    for (uint32_t i = 0; i < size && is_done; i++) {
        if (from[i] != 0xff) { /* an erased byte already is */
            command(at + i, PROGRAM);
            command(at + i, from[i]);
            is_done = wait_for(at + i, from[i], PROGRAM_US);
        }
    }
    command(at, BYPASS_LEAVE_1);
    command(at, BYPASS_LEAVE_2);
    command(at, READ_ARRAY);
    if (!is_done || !holds(at, from, size)) {
        part->failed_programs += 1;
        return STATUS_WORN;
    }
    return STATUS_OK;
}

static enum status cfi_erase(struct hal_flash *base, uint32_t block) {
    struct chip *part = chip_of(base);
    uint32_t at = part->first_byte + block * base->block_bytes;
    unlock();
    command(machine.flash_unlock[0], ERASE);
    unlock();
    command(at, ERASE_SECTOR);
    bool is_done = wait_for(at, 0xff, ERASE_US);
    command(at, READ_ARRAY);
    for (uint32_t i = 0; i < base->block_bytes && is_done; i++) {
        is_done = look(at + i) == 0xff;
    }
    if (!is_done) {
        part->failed_erases += 1;
        return STATUS_WORN;
    }
    return STATUS_OK;
}

void chip_open(struct chip *part, const struct hal_flash *geometry, uint32_t first_byte) {
    static const struct hal_flash_ops ops = {
        .read = cfi_read,
        .program = cfi_program,
        .erase = cfi_erase,
        .sync_start = chip_sync_start,
        .sync_poll = chip_sync_poll,
    };
    *part = (struct chip){.base = *geometry, .first_byte = first_byte};
    part->base.ops = &ops;
    part->base.verify = false; /* each operation here does */
    uint64_t end_us = clock_us() + ERASE_US;
    uint8_t before = look(0);
    uint8_t after = look(0);
    while (((before ^ after) & DQ6) != 0 && clock_us() < end_us) {
        before = after;
        after = look(0);
    }
    command(0, BYPASS_LEAVE_1);
    command(0, BYPASS_LEAVE_2);
    command(0, READ_ARRAY);
}
