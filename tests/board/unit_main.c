/* unit_main.c - the store's tests on the board itself: QEMU has no processes, so every test runs in
 * this one, and the first that fails ends it. Its output and exit status leave by semihosting.
 *
 *   unit.elf [TEXT]     only groups whose name contains it */
#include "boards/machine.h"
#include "hal/baremetal/clock.h"
#include "hal/baremetal/chip.h"
#include "tests/hal/flash_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int firmware_store_tests(void);
int firmware_store_fault_tests(void);
int firmware_store_format_tests(void);
int firmware_store_space_tests(void);
int hal_sim_flash_tests(void);
int protocol_serial_frame_tests(void);
int protocol_crc32c_tests(void);
int protocol_sha256_tests(void);
int protocol_record_tests(void);

enum { CHIP_BLOCKS = 4 }; /* as many as the contract wants: an erase takes a second */

static unsigned passed;

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    printf("check failed: %s at %s:%u\n", condition, file, line);
    exit(1);
}

/* Called through the linker's --wrap, as in tests/main.c. */
int __real__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction setup, CMFixtureFunction teardown) {
    for (size_t i = 0; i < count; i++) {
        printf("%s.%s\n", group, tests[i].name);
        if (__real__cmocka_run_group_tests(group, &tests[i], 1, setup, teardown) != 0) {
            exit(1);
        }
        passed += 1;
    }
    return 0;
}

/* ---- the chip ---- */

static struct chip part;

static enum status open_chip(void) {
    /* The sectors behind those of the image; the contract wants several blocks. */
    const struct hal_flash geometry = {.block_bytes = machine.flash_sector_bytes,
                                       .block_count = CHIP_BLOCKS,
                                       .program_bytes = 256};
    chip_open(&part, &geometry, 64 * machine.flash_sector_bytes);
    return STATUS_OK;
}

static int set_up(void **state) {
    static struct flash_contract contract = {
        .flash = &part.base, .erases = true, .reopen = open_chip};
    *state = &contract;
    (void)open_chip();
    for (uint32_t block = 0; block < CHIP_BLOCKS; block++) {
        if (hal_flash_erase(&part.base, block) != STATUS_OK) {
            return 1;
        }
    }
    return 0;
}

static void a_program_over_bytes_that_are_not_erased_is_told(void **unused) {
    (void)unused;
    uint8_t page[256];
    memset(page, 0x0f, sizeof page);
    assert_int_equal(hal_flash_program(&part.base, 0, page, sizeof page), STATUS_OK);
    memset(page, 0x3c, sizeof page);
    assert_int_equal(hal_flash_program(&part.base, 0, page, sizeof page), STATUS_WORN);
    assert_int_equal(part.failed_programs, 1);
    assert_int_equal(hal_flash_read(&part.base, 0, page, sizeof page), STATUS_OK);
    assert_int_equal(page[0], 0x0c); /* the chip's bits only fall */
}

static int chip_tests(void) {
    const struct CMUnitTest tests[] = {
        FLASH_CONTRACT_TESTS(set_up, NULL),
        cmocka_unit_test_setup(a_program_over_bytes_that_are_not_erased_is_told, set_up),
    };
    return cmocka_run_group_tests_name("baremetal/chip", tests, NULL, NULL);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(void);
    } suites[] = {
        {"baremetal/chip", chip_tests},
        {"protocol/crc32c", protocol_crc32c_tests},
        {"protocol/sha256", protocol_sha256_tests},
        {"protocol/serial_frame", protocol_serial_frame_tests},
        {"protocol/record", protocol_record_tests},
        {"hal/sim_flash", hal_sim_flash_tests},
        {"firmware/store_format", firmware_store_format_tests},
        {"firmware/store_fault", firmware_store_fault_tests},
        {"firmware/store_space", firmware_store_space_tests},
        {"firmware/store", firmware_store_tests},
    };
    clock_open();
    for (size_t i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        if (argc < 2 || strstr(suites[i].name, argv[argc - 1]) != NULL) {
            (void)suites[i].run();
        }
    }
    printf("%u passed on the board\n", passed);
    return passed > 0 ? 0 : 1;
}
