#include "hal/linux/flash_file.h"
#include "tests/hal/flash_contract.h"
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCK_BYTES = 16384, BLOCK_COUNT = 8 };

static const struct flash_file_size size = {BLOCK_BYTES, BLOCK_COUNT};
static char folder[64];
static char path[96];
static struct flash_file flash;

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/flash_file_test_XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/store", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    flash_file_close(&flash);
    unlink(path);
    return rmdir(folder);
}

static void write_file(const void *bytes, size_t count) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(file, bytes, count), count);
    close(file);
}

static off_t file_bytes(void) {
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_size;
}

static enum status wait_for_sync(void) {
    struct pollfd waiting = {.fd = flash_file_event(&flash), .events = POLLIN};
    assert_int_equal(poll(&waiting, 1, 10000), 1);
    return hal_flash_sync_poll(&flash.base);
}

static void creates_a_file_that_is_written_whole(void **state) {
    (void)state;
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, BLOCK_BYTES * BLOCK_COUNT);
    assert_true(about.st_blocks * 512 >= about.st_size);
    assert_int_equal(about.st_mode & 0777, 0600);
    for (uint32_t at = 0; at < BLOCK_BYTES * BLOCK_COUNT; at++) {
        uint8_t byte = 0;
        assert_int_equal(hal_flash_read(&flash.base, at, &byte, 1), STATUS_OK);
        assert_int_equal(byte, 0xff);
    }
}

static void keeps_what_was_programmed_after_it_is_opened_again(void **state) {
    (void)state;
    static uint8_t page[FLASH_FILE_PROGRAM_BYTES];
    memset(page, 0x5a, sizeof page);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(hal_flash_program(&flash.base, 3 * BLOCK_BYTES, page, sizeof page), STATUS_OK);
    assert_int_equal(flash_file_sync_wait(&flash), STATUS_OK);
    flash_file_close(&flash);
    assert_int_equal(flash_file_open(&flash, path, size), STATUS_OK);
    memset(page, 0, sizeof page);
    assert_int_equal(hal_flash_read(&flash.base, 3 * BLOCK_BYTES, page, sizeof page), STATUS_OK);
    assert_int_equal(page[0], 0x5a);
    assert_int_equal(page[sizeof page - 1], 0x5a);
}

/* The kernel's cache of a disk is left out; what it holds alone, because it was not synced yet, is
 * still seen. */
static void reads_past_the_cache_what_is_there(void **state) {
    (void)state;
    static uint8_t page[2 * FLASH_FILE_PROGRAM_BYTES];
    uint8_t found[100];
    memset(page, 0x5a, sizeof page);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(hal_flash_program(&flash.base, BLOCK_BYTES, page, sizeof page), STATUS_OK);
    for (int synced = 0; synced < 2; synced++) {
        flash.base.reads_device = true;
        assert_int_equal(hal_flash_read(&flash.base, BLOCK_BYTES + 4090, found, sizeof found),
                         STATUS_OK);
        assert_memory_equal(found, page, sizeof found);
        flash.base.reads_device = false;
        assert_int_equal(flash_file_sync_wait(&flash), STATUS_OK);
    }
}

static void ends_a_sync_through_its_event(void **state) {
    (void)state;
    static uint8_t page[FLASH_FILE_PROGRAM_BYTES];
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(hal_flash_sync_poll(&flash.base), STATUS_AGAIN);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(hal_flash_program(&flash.base, 0, page, sizeof page), STATUS_OK);
        assert_int_equal(hal_flash_sync_start(&flash.base), STATUS_OK);
        assert_int_equal(wait_for_sync(), STATUS_OK);
        assert_int_equal(hal_flash_sync_poll(&flash.base), STATUS_AGAIN);
        struct pollfd quiet = {.fd = flash_file_event(&flash), .events = POLLIN};
        assert_int_equal(poll(&quiet, 1, 0), 0);
    }
}

static void blocks_where_the_kernel_has_no_asynchronous_sync(void **state) {
    (void)state;
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    uint64_t context = flash.context;
    flash.context = 0;
    assert_int_equal(hal_flash_sync_start(&flash.base), STATUS_OK);
    assert_int_equal(wait_for_sync(), STATUS_OK);
    flash.context = context;
}

static void reports_a_sync_that_fails(void **state) {
    (void)state;
    int pipes[2];
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(pipe(pipes), 0);
    int file = flash.file;
    flash.file = pipes[0]; /* a pipe cannot be synced */
    assert_int_equal(hal_flash_sync_start(&flash.base), STATUS_OK);
    assert_int_equal(wait_for_sync(), STATUS_IO);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(flash_file_sync_wait(&flash), STATUS_IO);
    flash.file = file;
    close(pipes[0]);
    close(pipes[1]);
}

static void refuses_a_second_opener_and_its_own_process_twice(void **state) {
    (void)state;
    struct flash_file second;
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(flash_file_open(&second, path, size), STATUS_BUSY);
    assert_int_equal(flash_file_create(&second, path, size), STATUS_BUSY);
    assert_int_equal(second.file, -1);
    flash_file_close(&flash);
    assert_int_equal(flash_file_open(&second, path, size), STATUS_OK);
    flash_file_close(&second);
}

static void closes_itself_in_a_program_that_is_started(void **state) {
    (void)state;
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_true(fcntl(flash.file, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(flash.event, F_GETFD) & FD_CLOEXEC);
}

static void refuses_a_file_of_another_size_untouched(void **state) {
    (void)state;
    write_file("precious", 8);
    assert_int_equal(flash_file_open(&flash, path, size), STATUS_FOREIGN);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_FULL);
    assert_int_equal(file_bytes(), 8);
    assert_int_equal(flash.file, -1);
}

static void finishes_a_creation_that_was_cut_short(void **state) {
    (void)state;
    static uint8_t blank[5000];
    memset(blank, 0xff, sizeof blank);
    write_file(blank, sizeof blank);
    assert_int_equal(flash_file_open(&flash, path, size), STATUS_FOREIGN);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(file_bytes(), BLOCK_BYTES * BLOCK_COUNT);
    flash_file_close(&flash);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
}

static void grows_and_keeps_what_is_there(void **state) {
    (void)state;
    const uint64_t bytes = (uint64_t)BLOCK_BYTES * BLOCK_COUNT;
    const struct flash_file_size larger = {BLOCK_BYTES, BLOCK_COUNT + 3};
    uint8_t page[FLASH_FILE_PROGRAM_BYTES] = "kept";
    uint8_t found[FLASH_FILE_PROGRAM_BYTES];
    assert_int_equal(flash_file_grow(path, bytes, bytes + 1), STATUS_NOT_FOUND);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(hal_flash_program(&flash.base, 0, page, sizeof page), STATUS_OK);
    assert_int_equal(flash_file_grow(path, bytes, bytes + 3 * BLOCK_BYTES), STATUS_BUSY);
    flash_file_close(&flash);
    assert_int_equal(flash_file_grow(path, bytes - 1, bytes + 3 * BLOCK_BYTES), STATUS_FOREIGN);
    assert_int_equal(file_bytes(), bytes);
    assert_int_equal(flash_file_grow(path, bytes, bytes + 3 * BLOCK_BYTES), STATUS_OK);
    assert_int_equal(flash_file_open(&flash, path, larger), STATUS_OK);
    assert_int_equal(hal_flash_read(&flash.base, 0, found, sizeof found), STATUS_OK);
    assert_memory_equal(found, page, sizeof page);
    memset(page, 0xff, sizeof page);
    assert_int_equal(
        hal_flash_read(&flash.base, (uint32_t)bytes + 3 * BLOCK_BYTES - 4096, found, sizeof found),
        STATUS_OK);
    assert_memory_equal(found, page, sizeof page);
}

static void says_why_a_path_cannot_be_opened(void **state) {
    (void)state;
    assert_int_equal(flash_file_open(&flash, path, size), STATUS_NOT_FOUND);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(flash_file_open(&flash, folder, size), STATUS_FOREIGN);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(flash_file_open(&flash, path, size), STATUS_FOREIGN);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_FOREIGN);
}

static void reports_a_file_that_became_shorter(void **state) {
    (void)state;
    uint8_t bytes[16];
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_OK);
    assert_int_equal(truncate(path, BLOCK_BYTES + 8), 0);
    assert_int_equal(hal_flash_read(&flash.base, BLOCK_BYTES, bytes, sizeof bytes), STATUS_IO);
}

/* A limit on the size of files lets a write end short, then fail. */
static void reports_a_write_that_does_not_fit(void **state) {
    (void)state;
    struct rlimit limit = {BLOCK_BYTES + 100, BLOCK_BYTES + 100};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(flash_file_create(&flash, path, size), STATUS_IO);
    assert_int_equal(errno, EFBIG);
}

static enum status reopen(void) {
    flash_file_close(&flash);
    return flash_file_open(&flash, path, size);
}

static struct flash_contract contract = {.flash = &flash.base, .reopen = reopen};

static int make_contract(void **state) {
    *state = &contract;
    return make_folder(NULL) == 0 && flash_file_create(&flash, path, size) == STATUS_OK ? 0 : -1;
}

int hal_flash_file_tests(void) {
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        FILE_TEST(creates_a_file_that_is_written_whole),
        FILE_TEST(keeps_what_was_programmed_after_it_is_opened_again),
        FILE_TEST(reads_past_the_cache_what_is_there),
        FILE_TEST(ends_a_sync_through_its_event),
        FILE_TEST(blocks_where_the_kernel_has_no_asynchronous_sync),
        FILE_TEST(reports_a_sync_that_fails),
        FILE_TEST(refuses_a_second_opener_and_its_own_process_twice),
        FILE_TEST(closes_itself_in_a_program_that_is_started),
        FILE_TEST(refuses_a_file_of_another_size_untouched),
        FILE_TEST(finishes_a_creation_that_was_cut_short),
        FILE_TEST(grows_and_keeps_what_is_there),
        FILE_TEST(says_why_a_path_cannot_be_opened),
        FILE_TEST(reports_a_file_that_became_shorter),
        FILE_TEST(reports_a_write_that_does_not_fit),
    };
    const struct CMUnitTest of_contract[] = {FLASH_CONTRACT_TESTS(make_contract, remove_folder)};
    return cmocka_run_group_tests_name("hal/flash_file", tests, NULL, NULL) +
           cmocka_run_group_tests_name("hal/flash_file contract", of_contract, NULL, NULL);
}
