#include "tests/hal/flash_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { SYNC_SECONDS = 10 };

static uint8_t written[FLASH_CONTRACT_BLOCK_MAX];
static uint8_t found[2 * FLASH_CONTRACT_BLOCK_MAX];

static const struct flash_contract *contract_of(void **state) {
    const struct flash_contract *contract = *state;
    const struct hal_flash *flash = contract->flash;
    assert_true(flash->program_bytes <= FLASH_CONTRACT_UNIT_MAX);
    assert_true(flash->block_bytes <= FLASH_CONTRACT_BLOCK_MAX);
    return contract;
}

/* Bytes that differ from place to place and from seed to seed. */
static void fill(uint8_t *bytes, uint32_t count, uint32_t seed) {
    uint32_t dice = seed * 2654435761u + 1;
    for (uint32_t i = 0; i < count; i++) {
        dice = dice * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(dice >> 24);
    }
}

static void program(struct hal_flash *flash, uint32_t offset, uint32_t units, uint32_t seed) {
    uint32_t size = units * flash->program_bytes;
    fill(written, size, seed);
    assert_int_equal(hal_flash_program(flash, offset, written, size), STATUS_OK);
}

static void expect(struct hal_flash *flash, uint32_t offset, uint32_t units, uint32_t seed) {
    uint32_t size = units * flash->program_bytes;
    fill(written, size, seed);
    memset(found, 0, size);
    assert_int_equal(hal_flash_read(flash, offset, found, size), STATUS_OK);
    assert_memory_equal(found, written, size);
}

static enum status finish_sync(struct hal_flash *flash) {
    time_t end = time(NULL) + SYNC_SECONDS;
    enum status status = STATUS_AGAIN;
    while (status == STATUS_AGAIN && time(NULL) < end) {
        status = hal_flash_sync_poll(flash);
    }
    return status;
}

static void sync_now(struct hal_flash *flash) {
    assert_int_equal(hal_flash_sync_start(flash), STATUS_OK);
    assert_int_equal(finish_sync(flash), STATUS_OK);
}

void flash_contract_geometry(void **state) {
    const struct hal_flash *flash = contract_of(state)->flash;
    assert_true(flash->program_bytes > 0);
    assert_int_equal(flash->block_bytes % flash->program_bytes, 0);
    assert_true(flash->block_bytes / flash->program_bytes >= 4);
    assert_true(flash->block_count >= 4);
    assert_true((uint64_t)flash->block_bytes * flash->block_count < 0x80000000u);
}

void flash_contract_read_back(void **state) {
    struct hal_flash *flash = contract_of(state)->flash;
    uint32_t last = flash->block_bytes * flash->block_count - flash->program_bytes;
    uint32_t units = flash->block_bytes / flash->program_bytes;
    program(flash, 0, 1, 1);
    program(flash, last, 1, 2);
    program(flash, flash->block_bytes, units, 3);
    expect(flash, 0, 1, 1);
    expect(flash, last, 1, 2);
    expect(flash, flash->block_bytes, units, 3);
}

void flash_contract_read_anywhere(void **state) {
    struct hal_flash *flash = contract_of(state)->flash;
    uint32_t units = flash->block_bytes / flash->program_bytes;
    uint32_t size = flash->block_bytes;
    static uint8_t all[2 * FLASH_CONTRACT_BLOCK_MAX];
    program(flash, size, units, 4);
    memcpy(all, written, size);
    program(flash, 2 * size, units, 5);
    memcpy(all + size, written, size);
    const uint32_t places[][2] = {
        {0, 1},       {1, 1}, {7, 300}, {size - 1, 2}, {size - 13, 4000}, {2 * size - 1, 1},
        {0, 2 * size}};
    for (size_t i = 0; i < array_count(places); i++) {
        memset(found, 0xa5, sizeof found);
        assert_int_equal(hal_flash_read(flash, size + places[i][0], found, places[i][1]),
                         STATUS_OK);
        assert_memory_equal(found, all + places[i][0], places[i][1]);
        assert_true(places[i][1] == 2 * size || found[places[i][1]] == 0xa5);
    }
}

void flash_contract_neighbours(void **state) {
    struct hal_flash *flash = contract_of(state)->flash;
    uint32_t unit = flash->program_bytes;
    program(flash, flash->block_bytes, 1, 6);
    program(flash, flash->block_bytes + unit, 1, 7);
    program(flash, flash->block_bytes + 2 * unit, 2, 8);
    program(flash, 2 * flash->block_bytes, 1, 9);
    expect(flash, flash->block_bytes, 1, 6);
    expect(flash, flash->block_bytes + unit, 1, 7);
    expect(flash, flash->block_bytes + 2 * unit, 2, 8);
    expect(flash, 2 * flash->block_bytes, 1, 9);
}

void flash_contract_erase(void **state) {
    const struct flash_contract *contract = contract_of(state);
    struct hal_flash *flash = contract->flash;
    uint32_t units = flash->block_bytes / flash->program_bytes;
    for (uint32_t b = 0; b < 3; b++) {
        program(flash, b * flash->block_bytes, units, 10 + b);
    }
    assert_int_equal(hal_flash_erase(flash, 1), STATUS_OK);
    assert_int_equal(hal_flash_erase(flash, flash->block_count - 1), STATUS_OK);
    expect(flash, 0, units, 10);
    expect(flash, 2 * flash->block_bytes, units, 12);
    if (contract->erases) {
        memset(written, 0xff, flash->block_bytes);
        assert_int_equal(hal_flash_read(flash, flash->block_bytes, found, flash->block_bytes),
                         STATUS_OK);
        assert_memory_equal(found, written, flash->block_bytes);
    }
}

void flash_contract_program_again(void **state) {
    struct hal_flash *flash = contract_of(state)->flash;
    for (uint32_t turn = 0; turn < 3; turn++) {
        assert_int_equal(hal_flash_erase(flash, 3), STATUS_OK);
        program(flash, 3 * flash->block_bytes, 2, 20 + turn);
        expect(flash, 3 * flash->block_bytes, 2, 20 + turn);
    }
}

void flash_contract_sync(void **state) {
    struct hal_flash *flash = contract_of(state)->flash;
    for (uint32_t turn = 0; turn < 3; turn++) {
        program(flash, turn * flash->block_bytes, 1, 30 + turn);
        sync_now(flash);
        assert_int_equal(hal_flash_sync_poll(flash), STATUS_AGAIN);
    }
    sync_now(flash); /* of nothing */
    expect(flash, 0, 1, 30);
}

void flash_contract_sync_idle(void **state) {
    struct hal_flash *flash = contract_of(state)->flash;
    assert_int_equal(hal_flash_sync_poll(flash), STATUS_AGAIN);
    program(flash, 0, 1, 40);
    assert_int_equal(hal_flash_sync_poll(flash), STATUS_AGAIN);
}

void flash_contract_reopen(void **state) {
    const struct flash_contract *contract = contract_of(state);
    struct hal_flash *flash = contract->flash;
    uint32_t last = flash->block_bytes * flash->block_count - flash->program_bytes;
    program(flash, 0, 2, 50);
    program(flash, last, 1, 51);
    sync_now(flash);
    struct hal_flash before = *flash;
    assert_int_equal(contract->reopen(), STATUS_OK);
    assert_int_equal(flash->block_bytes, before.block_bytes);
    assert_int_equal(flash->block_count, before.block_count);
    assert_int_equal(flash->program_bytes, before.program_bytes);
    assert_int_equal(hal_flash_sync_poll(flash), STATUS_AGAIN);
    expect(flash, 0, 2, 50);
    expect(flash, last, 1, 51);
}
