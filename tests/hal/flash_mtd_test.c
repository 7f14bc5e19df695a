#include "hal/linux/flash_mtd.h"
#include "firmware/store.h"
#include "tests/hal/flash_contract.h"
#include "tests/hal/mtd_device.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCK_BYTES = 16384, BLOCK_COUNT = 16, UNIT = FLASH_MTD_PROGRAM_BYTES, PAGE = 2048 };

static struct flash_mtd flash;
static uint8_t bytes[BLOCK_BYTES];

static enum status open_device(void) {
    return flash_mtd_open(&flash, mtd_device.path, 0);
}

static int make_nor(void **state) {
    (void)state;
    return mtd_device_make(MTD_NORFLASH, BLOCK_BYTES, BLOCK_COUNT, 1) && open_device() == STATUS_OK
               ? 0
               : -1;
}

static int make_nand(void **state) {
    (void)state;
    return mtd_device_make(MTD_NANDFLASH, BLOCK_BYTES, BLOCK_COUNT, PAGE) &&
                   open_device() == STATUS_OK
               ? 0
               : -1;
}

static int remove_device(void **state) {
    (void)state;
    flash_mtd_close(&flash);
    mtd_device_remove();
    return 0;
}

static enum status reopen(void) {
    flash_mtd_close(&flash);
    return open_device();
}

static struct flash_contract contract = {.flash = &flash.base, .erases = true, .reopen = reopen};

static int make_nor_contract(void **state) {
    *state = &contract;
    return make_nor(NULL);
}

static int make_nand_contract(void **state) {
    *state = &contract;
    return make_nand(NULL);
}

static int end_contract(void **state) {
    uint32_t violations = mtd_device.violations;
    return remove_device(state) == 0 && violations == 0 ? 0 : -1;
}

/* ---- what it finds out about the device ---- */

static void takes_the_geometry_of_the_device(void **state) {
    (void)state;
    assert_int_equal(flash.base.block_bytes, BLOCK_BYTES);
    assert_int_equal(flash.base.block_count, BLOCK_COUNT);
    assert_int_equal(flash.base.program_bytes, FLASH_MTD_PROGRAM_BYTES);
    assert_true(flash.base.verify);
    mtd_device.info.writesize = 16;
    assert_int_equal(reopen(), STATUS_OK);
    assert_int_equal(flash.base.program_bytes, 256);
    mtd_device.info.writesize = 512;
    assert_int_equal(reopen(), STATUS_OK);
    assert_int_equal(flash.base.program_bytes, 512);
}

static void uses_only_the_first_bytes_when_told_so(void **state) {
    (void)state;
    flash_mtd_close(&flash);
    assert_int_equal(flash_mtd_open(&flash, mtd_device.path, 4 * BLOCK_BYTES), STATUS_OK);
    assert_int_equal(flash.base.block_count, 4);
}

static void refuses(uint64_t size, const char *word) {
    flash_mtd_close(&flash);
    assert_int_equal(flash_mtd_open(&flash, mtd_device.path, size), STATUS_FOREIGN);
    assert_non_null(flash.refusal);
    assert_non_null(strstr(flash.refusal, word));
    assert_int_equal(flash.file, -1);
    assert_int_equal(flash.event, -1);
}

static void refuses_what_cannot_keep_a_store_and_says_why(void **state) {
    (void)state;
    const struct mtd_info_user good = mtd_device.info;
    const struct {
        uint8_t type;
        const char *word;
    } types[] = {{MTD_ABSENT, "type"},   {MTD_ROM, "type"},         {MTD_DATAFLASH, "type"},
                 {MTD_UBIVOLUME, "UBI"}, {MTD_MLCNANDFLASH, "MLC"}, {77, "type"}};
    for (size_t i = 0; i < array_count(types); i++) {
        mtd_device.info.type = types[i].type;
        refuses(0, types[i].word);
    }
    mtd_device.info = good;
    refuses(BLOCK_BYTES + 1, "whole erase blocks");
    refuses((uint64_t)BLOCK_BYTES * (BLOCK_COUNT + 1), "smaller");
    mtd_device.info.erasesize = 0;
    refuses(0, "write units");
    mtd_device.info = good;
    mtd_device.info.writesize = 0;
    refuses(0, "write units");
    mtd_device.info.writesize = 264;
    refuses(0, "write units");
    mtd_device.info.writesize = 0xfffffff0;
    refuses(0, "write units");
    mtd_device.info = good;
    mtd_device.info.erasesize = 1056; /* of whole pages, but not of two of them */
    mtd_device.info.size = 16 * 1056;
    mtd_device.info.writesize = 96;
    refuses(0, "program units");
    mtd_device.info = good;
    mtd_device.info.size = 0;
    refuses(0, "whole erase blocks");
    mtd_device.info.size = 0x80000000u;
    refuses(0, "2 GiB");
}

static void refuses_a_device_that_cannot_be_written(void **state) {
    (void)state;
    mtd_device.info.flags = 0;
    assert_int_equal(reopen(), STATUS_DENIED);
    assert_int_equal(errno, EROFS);
}

static void refuses_a_file_and_another_device(void **state) {
    (void)state;
    char path[] = "/tmp/flash_mtd_test_XXXXXX";
    int file = mkstemp(path);
    flash_mtd_close(&flash);
    assert_true(file >= 0);
    assert_int_equal(flash_mtd_open(&flash, path, 0), STATUS_FOREIGN);
    assert_non_null(strstr(flash.refusal, "character device"));
    close(file);
    unlink(path);
    assert_int_equal(flash_mtd_open(&flash, "/tmp", 0), STATUS_FOREIGN);
    assert_int_equal(flash_mtd_open(&flash, "/dev/null", 0), STATUS_FOREIGN);
    assert_non_null(strstr(flash.refusal, "MTD"));
    assert_int_equal(flash_mtd_open(&flash, "/dev/there-is-no-such-mtd", 0), STATUS_NOT_FOUND);
    assert_int_equal(errno, ENOENT);
}

static void lets_one_opener_in(void **state) {
    (void)state;
    struct flash_mtd second;
    assert_int_equal(flash_mtd_open(&second, mtd_device.path, 0), STATUS_BUSY);
    assert_int_equal(second.file, -1);
    assert_true(fcntl(flash.file, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(flash.event, F_GETFD) & FD_CLOEXEC);
    flash_mtd_close(&flash);
    assert_int_equal(flash_mtd_open(&second, mtd_device.path, 0), STATUS_OK);
    flash_mtd_close(&second);
}

static void tells_a_blank_device_from_one_that_holds_something(void **state) {
    (void)state;
    uint8_t mark = 0x7f;
    uint8_t blank = 0xff;
    assert_int_equal(flash_mtd_holds_nothing(&flash), STATUS_OK);
    const uint32_t places[] = {0, UNIT - 1, (BLOCK_COUNT - 1) * BLOCK_BYTES + 5};
    for (size_t i = 0; i < array_count(places); i++) {
        mtd_device_poke(places[i], &mark, 1);
        assert_int_equal(flash_mtd_holds_nothing(&flash), STATUS_FULL);
        mtd_device_poke(places[i], &blank, 1);
    }
    mtd_device.unreadable_block = 3;
    assert_int_equal(flash_mtd_holds_nothing(&flash), STATUS_IO);
}

static void looks_at_no_bad_block_for_content(void **state) {
    (void)state;
    uint8_t mark = 0;
    mtd_device_poke(2 * BLOCK_BYTES, &mark, 1);
    assert_int_equal(flash_mtd_holds_nothing(&flash), STATUS_FULL);
    mtd_device.bad_blocks = 1 << 2;
    assert_int_equal(flash_mtd_holds_nothing(&flash), STATUS_OK);
}

/* ---- what it makes of errors ---- */

static void erases_with_the_older_call_where_there_is_no_other(void **state) {
    (void)state;
    mtd_device.lacks_erase64 = true;
    assert_int_equal(hal_flash_program(&flash.base, BLOCK_BYTES, bytes, UNIT), STATUS_OK);
    assert_int_equal(hal_flash_erase(&flash.base, 1), STATUS_OK);
    assert_int_equal(mtd_device.erases, 1);
    mtd_device_peek(BLOCK_BYTES, bytes, 1);
    assert_int_equal(bytes[0], 0xff);
}

static void says_worn_of_a_block_that_does_not_erase_or_program(void **state) {
    (void)state;
    mtd_device.fail_erase = 2;
    assert_int_equal(hal_flash_erase(&flash.base, 1), STATUS_OK);
    assert_int_equal(hal_flash_erase(&flash.base, 2), STATUS_WORN);
    assert_int_equal(errno, EIO);
    assert_int_equal(hal_flash_erase(&flash.base, 2), STATUS_OK);
    mtd_device.fail_program = 1;
    assert_int_equal(hal_flash_program(&flash.base, 0, bytes, UNIT), STATUS_WORN);
    assert_int_equal(errno, EIO);
    assert_int_equal(mtd_device.bad_blocks, 0); /* NOR has no such marks */
}

static void tells_a_locked_or_lost_device_from_a_worn_block(void **state) {
    (void)state;
    const struct {
        int error;
        enum status status;
    } cases[] = {{EROFS, STATUS_DENIED}, {EACCES, STATUS_DENIED}, {EPERM, STATUS_DENIED},
                 {ENODEV, STATUS_IO},    {ENOMEM, STATUS_IO},     {EINVAL, STATUS_IO}};
    for (size_t i = 0; i < array_count(cases); i++) {
        mtd_device.write_error = cases[i].error;
        mtd_device.fail_erase = 1;
        mtd_device.fail_program = 1;
        assert_int_equal(hal_flash_erase(&flash.base, 1), cases[i].status);
        assert_int_equal(errno, cases[i].error);
        assert_int_equal(hal_flash_program(&flash.base, 0, bytes, UNIT), cases[i].status);
        assert_int_equal(errno, cases[i].error);
    }
    assert_int_equal(mtd_device.bad_blocks, 0);
}

static void completes_a_write_that_ends_short_at_a_unit(void **state) {
    (void)state;
    memset(bytes, 0x35, sizeof bytes);
    mtd_device.short_bytes = PAGE;
    assert_int_equal(hal_flash_program(&flash.base, 0, bytes, 3 * PAGE), STATUS_OK);
    assert_int_equal(mtd_device.programs, 2);
    assert_int_equal(mtd_device.violations, 0);
    memset(bytes, 0, sizeof bytes);
    mtd_device_peek(0, bytes, 3 * PAGE);
    assert_int_equal(bytes[3 * PAGE - 1], 0x35);
}

static void never_completes_a_unit_that_was_written_in_part(void **state) {
    (void)state;
    mtd_device.short_bytes = PAGE + 100;
    assert_int_equal(hal_flash_program(&flash.base, 0, bytes, 3 * PAGE), STATUS_WORN);
    assert_int_equal(mtd_device.programs, 1);
}

static void goes_on_after_a_signal(void **state) {
    (void)state;
    memset(bytes, 0x11, sizeof bytes);
    mtd_device.interruptions = 3;
    assert_int_equal(hal_flash_erase(&flash.base, 1), STATUS_OK);
    mtd_device.interruptions = 3;
    assert_int_equal(hal_flash_program(&flash.base, BLOCK_BYTES, bytes, UNIT), STATUS_OK);
    mtd_device.interruptions = 3;
    assert_int_equal(hal_flash_read(&flash.base, BLOCK_BYTES, bytes, UNIT), STATUS_OK);
    mtd_device.interruptions = 3;
    assert_int_equal(reopen(), STATUS_OK);
}

static void reports_what_cannot_be_read(void **state) {
    (void)state;
    mtd_device.unreadable_block = 2;
    assert_int_equal(hal_flash_read(&flash.base, 2 * BLOCK_BYTES, bytes, 10), STATUS_IO);
    assert_int_equal(errno, EIO);
    mtd_device.read_error = EBADMSG;
    assert_int_equal(hal_flash_read(&flash.base, 2 * BLOCK_BYTES - 5, bytes, 10), STATUS_CORRUPT);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(hal_flash_read(&flash.base, 2 * BLOCK_BYTES - 10, bytes, 10), STATUS_OK);
    assert_int_equal(truncate(mtd_device.path, BLOCK_BYTES), 0);
    assert_int_equal(hal_flash_read(&flash.base, BLOCK_BYTES, bytes, 10), STATUS_IO);
    assert_int_equal(errno, EIO);
}

static void says_worn_of_a_bad_block_without_touching_it(void **state) {
    (void)state;
    mtd_device.bad_blocks = 1 << 3;
    assert_int_equal(hal_flash_erase(&flash.base, 3), STATUS_WORN);
    assert_int_equal(errno, EIO);
    assert_int_equal(hal_flash_program(&flash.base, 3 * BLOCK_BYTES, bytes, PAGE), STATUS_WORN);
    assert_int_equal(mtd_device.erases, 0);
    assert_int_equal(mtd_device.programs, 0);
    assert_int_equal(hal_flash_erase(&flash.base, 4), STATUS_OK);
}

static void marks_a_nand_block_bad_that_does_not_erase(void **state) {
    (void)state;
    mtd_device.fail_erase = 1;
    assert_int_equal(hal_flash_erase(&flash.base, 5), STATUS_WORN);
    assert_int_equal(errno, EIO);
    assert_int_equal(mtd_device.bad_blocks, 1 << 5);
    mtd_device.fail_program = 1; /* its older pages still count */
    assert_int_equal(hal_flash_program(&flash.base, 0, bytes, PAGE), STATUS_WORN);
    assert_int_equal(mtd_device.bad_blocks, 1 << 5);
}

static void reads_a_bad_block_as_blank_where_it_cannot_be_read(void **state) {
    (void)state;
    memset(bytes, 0, sizeof bytes);
    mtd_device_poke(4 * BLOCK_BYTES, bytes, 8);
    mtd_device.bad_blocks = 1 << 3;
    mtd_device.unreadable_block = 3;
    memset(bytes, 0x55, sizeof bytes);
    assert_int_equal(hal_flash_read(&flash.base, 4 * BLOCK_BYTES - 4, bytes, 8), STATUS_OK);
    assert_memory_equal(bytes, "\xff\xff\xff\xff\0\0\0\0\x55", 9);
    mtd_device.unreadable_block = MTD_DEVICE_NONE;
    mtd_device_poke(3 * BLOCK_BYTES, "kept", 4);
    assert_int_equal(hal_flash_read(&flash.base, 3 * BLOCK_BYTES, bytes, 4), STATUS_OK);
    assert_memory_equal(bytes, "kept", 4);
}

static void tells_the_loop_of_a_sync_at_once(void **state) {
    (void)state;
    struct pollfd waiting = {.fd = flash_mtd_event(&flash), .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, 0), 0);
    assert_int_equal(hal_flash_sync_start(&flash.base), STATUS_OK);
    assert_int_equal(poll(&waiting, 1, 0), 1);
    assert_int_equal(hal_flash_sync_poll(&flash.base), STATUS_OK);
    assert_int_equal(poll(&waiting, 1, 0), 0);
}

/* ---- under a store ---- */

enum { OBJECTS = 8, STORE_FRAME = 4096, RECORDS = 800 };

static struct store store;
static struct store_slot slots[OBJECTS];
static struct store_block blocks[BLOCK_COUNT];
static uint32_t order[BLOCK_COUNT];
static uint8_t group_buffer[STORE_FRAME];
static uint8_t copy_buffer[STORE_FRAME];

static void lend_memory(void) {
    const struct store_memory memory = {
        .slots = slots,
        .slot_counts = {OBJECTS},
        .blocks = blocks,
        .order = order,
        .group_buffer = group_buffer,
        .copy_buffer = copy_buffer,
        .group_bytes = STORE_FRAME,
        .frame_bytes = STORE_FRAME,
    };
    store_init(&store, &flash.base, &memory);
}

/* As the owner of a store does it: commit, poll, clean, until the record is durable. */
static void write_record(uint32_t number) {
    struct store_key key = {0, number % OBJECTS};
    memset(bytes, (int)(number & 0xff), 700);
    (void)store_append(&store, key, NULL, (struct bytes){bytes, 700});
    enum status status = STATUS_AGAIN;
    for (uint32_t turn = 0; turn < 100 && store.durable_seq < store.head_seq; turn++) {
        status = store_commit(&store);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
        status = store_poll(&store);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    }
    assert_int_equal(store.durable_seq, store.head_seq);
    store_acknowledge(&store, store.head_seq, store.head_chain);
    assert_int_equal(store_clean(&store), STATUS_OK);
    enum status cleaned = store_poll(&store);
    assert_true(cleaned == STATUS_OK || cleaned == STATUS_AGAIN);
}

static void use_store(void) {
    const uint8_t id[STORE_ID_BYTES] = "a store on mtd";
    lend_memory();
    assert_int_equal(store_format(&store, id, 1), STATUS_OK);
    assert_int_equal(store_mount(&store), STATUS_OK);
    for (uint32_t number = 0; number < RECORDS; number++) {
        write_record(number);
    }
    assert_true(mtd_device.erases > 2 * BLOCK_COUNT);
    assert_int_equal(mtd_device.violations, 0);
    assert_int_equal(reopen(), STATUS_OK);
    assert_int_equal(flash_mtd_holds_nothing(&flash), STATUS_FULL);
    lend_memory();
    assert_int_equal(store_mount(&store), STATUS_OK);
    for (uint32_t object = 0; object < OBJECTS; object++) {
        struct store_record record;
        struct store_key key = {0, object};
        assert_int_equal(store_read(&store, key, bytes, sizeof bytes, &record), STATUS_OK);
        assert_int_equal(record.body.size, 700);
        assert_int_equal(record.body.data[699], (RECORDS - OBJECTS + object) & 0xff);
    }
}

static void keeps_a_store_by_the_rules_of_nor(void **state) {
    (void)state;
    use_store();
}

static void keeps_a_store_by_the_rules_of_nand_around_bad_blocks(void **state) {
    (void)state;
    mtd_device.bad_blocks = 1 << 0 | 1 << 5;
    mtd_device.fail_erase = 7;
    mtd_device.fail_program = 150;
    use_store();
    assert_int_equal(__builtin_popcountll(mtd_device.bad_blocks), 3);
}

int hal_flash_mtd_tests(void) {
#define NOR_TEST(name) cmocka_unit_test_setup_teardown(name, make_nor, remove_device)
#define NAND_TEST(name) cmocka_unit_test_setup_teardown(name, make_nand, remove_device)
    const struct CMUnitTest tests[] = {
        NOR_TEST(takes_the_geometry_of_the_device),
        NOR_TEST(uses_only_the_first_bytes_when_told_so),
        NOR_TEST(refuses_what_cannot_keep_a_store_and_says_why),
        NOR_TEST(refuses_a_device_that_cannot_be_written),
        NOR_TEST(refuses_a_file_and_another_device),
        NOR_TEST(lets_one_opener_in),
        NOR_TEST(tells_a_blank_device_from_one_that_holds_something),
        NAND_TEST(looks_at_no_bad_block_for_content),
        NOR_TEST(erases_with_the_older_call_where_there_is_no_other),
        NOR_TEST(says_worn_of_a_block_that_does_not_erase_or_program),
        NOR_TEST(tells_a_locked_or_lost_device_from_a_worn_block),
        NAND_TEST(completes_a_write_that_ends_short_at_a_unit),
        NAND_TEST(never_completes_a_unit_that_was_written_in_part),
        NOR_TEST(goes_on_after_a_signal),
        NAND_TEST(reports_what_cannot_be_read),
        NAND_TEST(says_worn_of_a_bad_block_without_touching_it),
        NAND_TEST(marks_a_nand_block_bad_that_does_not_erase),
        NAND_TEST(reads_a_bad_block_as_blank_where_it_cannot_be_read),
        NOR_TEST(tells_the_loop_of_a_sync_at_once),
        NOR_TEST(keeps_a_store_by_the_rules_of_nor),
        NAND_TEST(keeps_a_store_by_the_rules_of_nand_around_bad_blocks),
    };
    const struct CMUnitTest nor_contract[] = {
        FLASH_CONTRACT_TESTS(make_nor_contract, end_contract)};
    const struct CMUnitTest nand_contract[] = {
        FLASH_CONTRACT_TESTS(make_nand_contract, end_contract)};
    return cmocka_run_group_tests_name("hal/flash_mtd", tests, NULL, NULL) +
           cmocka_run_group_tests_name("hal/flash_mtd nor", nor_contract, NULL, NULL) +
           cmocka_run_group_tests_name("hal/flash_mtd nand", nand_contract, NULL, NULL);
}
