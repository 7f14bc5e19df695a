#include "hal/sim/sim_flash.h"
#include "tests/hal/flash_contract.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { BLOCK_BYTES = 8192, BLOCK_COUNT = 8, UNIT = 256 };

static struct sim_flash flash;
static uint8_t cells[BLOCK_BYTES * BLOCK_COUNT];
static uint8_t cache[BLOCK_BYTES * BLOCK_COUNT];
static uint8_t written[BLOCK_BYTES * BLOCK_COUNT / UNIT];

/* What was synced has nothing to lose. */
static enum status reopen(void) {
    sim_flash_power_off(&flash, 7);
    sim_flash_power_on(&flash);
    return STATUS_OK;
}

static struct flash_contract part = {.flash = &flash.base, .erases = true, .reopen = reopen};
static struct flash_contract file = {.flash = &flash.base, .reopen = reopen};

static void make(uint8_t *cache_or_null) {
    const struct hal_flash geometry = {
        .block_bytes = BLOCK_BYTES, .block_count = BLOCK_COUNT, .program_bytes = UNIT};
    sim_flash_init(&flash, geometry, cells, written, cache_or_null);
    flash.sync_polls = 2;
}

static int make_part(void **state) {
    *state = &part;
    make(NULL);
    return 0;
}

static int make_file(void **state) {
    *state = &file;
    make(cache);
    return 0;
}

static int end(void **state) {
    (void)state;
    return flash.violations == 0 ? 0 : -1;
}

int hal_sim_flash_tests(void) {
    const struct CMUnitTest part_contract[] = {FLASH_CONTRACT_TESTS(make_part, end)};
    const struct CMUnitTest file_contract[] = {FLASH_CONTRACT_TESTS(make_file, end)};
    return cmocka_run_group_tests_name("hal/sim_flash part", part_contract, NULL, NULL) +
           cmocka_run_group_tests_name("hal/sim_flash file", file_contract, NULL, NULL);
}
