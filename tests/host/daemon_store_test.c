#include "host/hubd/daemon.h"
#include "tests/hal/mtd_device.h"
#include "tests/test.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCK_BYTES = 131072, BLOCK_COUNT = 20, TEXT_BYTES = 1024 };

static struct daemon hubd;

static void configure(const char *path, uint64_t bytes) {
    memset(&hubd, 0, sizeof hubd);
    hubd.settings.board = board_named(bytes_of("linux"));
    hubd.settings.store_bytes = bytes;
    snprintf(hubd.settings.store_path, sizeof hubd.settings.store_path, "%s", path);
    snprintf(hubd.settings.hub_id, sizeof hubd.settings.hub_id, "rack-1");
}

/* The next one in this process finds the tables as a process does that begins: zeroed. They lie in
 * one piece, the store's slots in front. */
static void close_store(void) {
    if (hubd.hub.store.memory.slots != NULL) {
        memset(hubd.hub.store.memory.slots, 0, hub_bytes(hubd.settings.board));
    }
    if (hubd.has_mtd) {
        flash_mtd_close(&hubd.mtd);
    } else {
        flash_file_close(&hubd.flash);
    }
}

static void load(uint64_t bytes) {
    configure(mtd_device.path, bytes);
    daemon_open_store(&hubd);
    daemon_load_hub(&hubd);
}

/* Starts hubd's store in a process that must end with EXIT_STORE, and gives what it said. */
static void expect_refusal(uint64_t bytes, const char *words) {
    char text[TEXT_BYTES] = {0};
    int pipes[2];
    int ended = 0;
    size_t used = 0;
    ssize_t count = 0;
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        load(bytes);
        _exit(0);
    }
    close(pipes[1]);
    while ((count = read(pipes[0], text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)count;
    }
    close(pipes[0]);
    assert_int_equal(waitpid(child, &ended, 0), child);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), EXIT_STORE);
    if (strstr(text, words) == NULL) {
        fail_msg("expected `%s`, found `%s`", words, text);
    }
}

static int make_nor(void **state) {
    (void)state;
    return mtd_device_make(MTD_NORFLASH, BLOCK_BYTES, BLOCK_COUNT, 1) ? 0 : -1;
}

static int make_nand(void **state) {
    (void)state;
    return mtd_device_make(MTD_NANDFLASH, BLOCK_BYTES, BLOCK_COUNT, 2048) ? 0 : -1;
}

static int remove_device(void **state) {
    (void)state;
    close_store();
    mtd_device_remove();
    return 0;
}

static void expect_untouched(void) {
    assert_int_equal(mtd_device.erases, 0);
    assert_int_equal(mtd_device.programs, 0);
}

static void makes_a_store_on_a_blank_device_and_finds_it_again(void **state) {
    (void)state;
    load(0);
    assert_true(hubd.has_mtd);
    assert_int_equal(hubd.hub.store.flash->block_count, BLOCK_COUNT);
    assert_int_equal(hubd.hub.store.flash->program_bytes, 256);
    assert_int_equal(hubd.hub.image.starts, 1);
    uint8_t id[STORE_ID_BYTES];
    memcpy(id, hubd.hub.store.id, sizeof id);
    struct pollfd waiting = {.fd = daemon_store_event(&hubd), .events = POLLIN};
    for (uint32_t turn = 0; turn < 100 && hubd.hub.store.durable_seq < hubd.hub.store.head_seq;
         turn++) {
        enum status status = hub_commit(&hubd.hub);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
        assert_int_equal(poll(&waiting, 1, 0), status == STATUS_OK);
        status = hub_poll(&hubd.hub);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    }
    assert_int_equal(hubd.hub.store.durable_seq, hubd.hub.store.head_seq);
    close_store();
    load(0);
    assert_memory_equal(hubd.hub.store.id, id, sizeof id);
    assert_int_equal(hubd.hub.image.starts, 2);
    assert_int_equal(mtd_device.violations, 0);
}

static void takes_the_page_of_nand_and_works_around_bad_blocks(void **state) {
    (void)state;
    mtd_device.bad_blocks = 1 << 0 | 1 << 1;
    load(0);
    assert_int_equal(hubd.hub.store.flash->program_bytes, 2048);
    assert_int_equal(mtd_device.violations, 0);
}

static void uses_as_much_of_a_device_as_the_configuration_says(void **state) {
    (void)state;
    load(17 * BLOCK_BYTES);
    assert_int_equal(hubd.hub.store.flash->block_count, 17);
    close_store();
    expect_refusal(0, "17 of 20 blocks; it was left untouched. Expected [store] size = 2228224, or "
                      "2621440 to let it grow");
    expect_refusal(16 * BLOCK_BYTES, "left untouched");
    expect_refusal((BLOCK_COUNT + 1) * BLOCK_BYTES, "smaller than the size");
    load(BLOCK_COUNT * BLOCK_BYTES);
    assert_int_equal(hubd.hub.store.counted_blocks, 17);
    assert_int_equal(hubd.hub.store.flash->block_count, BLOCK_COUNT);
}

static void never_formats_what_is_not_blank(void **state) {
    (void)state;
    mtd_device_poke(7 * BLOCK_BYTES, "precious", 8);
    expect_refusal(0, "not a store; it was left untouched");
    char found[8];
    mtd_device_peek(7 * BLOCK_BYTES, found, sizeof found);
    assert_memory_equal(found, "precious", 8);
    expect_untouched();
}

static void refuses_a_geometry_that_does_not_fit_and_says_which(void **state) {
    (void)state;
    const struct mtd_info_user good = mtd_device.info;
    mtd_device.info.erasesize = 65536;
    expect_refusal(0, "erase blocks have 65536 bytes, board linux needs 131072 or more");
    mtd_device.info = good;
    mtd_device.info.size = 15 * BLOCK_BYTES;
    expect_refusal(0, "it has 15 erase blocks of 16 or more");
    mtd_device.info.size = 513 * BLOCK_BYTES;
    expect_refusal(0, "513 erase blocks, board linux takes 512: expected [store] size = 67108864");
    mtd_device.info = good;
    mtd_device.info.erasesize = 3 * 98304;
    mtd_device.info.size = 16 * mtd_device.info.erasesize;
    mtd_device.info.writesize = 98304;
    expect_refusal(0, "write unit has 98304 bytes");
    mtd_device.info.type = MTD_MLCNANDFLASH;
    expect_refusal(0, "MLC NAND");
    expect_untouched();
}

static void refuses_a_device_that_cannot_be_read_or_is_in_use(void **state) {
    (void)state;
    mtd_device.unreadable_block = 4;
    expect_refusal(0, "cannot read it");
    mtd_device.unreadable_block = MTD_DEVICE_NONE;
    struct flash_mtd other;
    assert_int_equal(flash_mtd_open(&other, mtd_device.path, 0), STATUS_OK);
    expect_refusal(0, "another process holds it");
    flash_mtd_close(&other);
    expect_untouched();
}

static void still_makes_a_file_where_there_is_none(void **state) {
    (void)state;
    char folder[] = "/tmp/daemon_store_test_XXXXXX";
    char path[64];
    struct stat about;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/store", folder);
    for (uint32_t start = 1; start <= 2; start++) {
        configure(path, 16 * BLOCK_BYTES);
        daemon_open_store(&hubd);
        daemon_load_hub(&hubd);
        assert_false(hubd.has_mtd);
        close_store();
    }
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 16 * BLOCK_BYTES);
    unlink(path);
    rmdir(folder);
}

static void judges_every_board_by_the_relations_of_its_own_geometry(void **state) {
    (void)state;
    for (size_t i = 0; board_list[i] != NULL; i++) {
        const struct board *board = board_list[i];
        const struct hal_flash own = {.block_bytes = board->block_bytes,
                                      .block_count = board->block_count,
                                      .program_bytes = board->program_bytes};
        struct config_error error;
        struct hal_flash half = own;
        half.block_bytes = 2 * board->frame_bytes - board->program_bytes;
        assert_true(daemon_store_fits(board, &own, &error));
        assert_false(daemon_store_fits(board, &half, &error));
        assert_non_null(strstr(error.text, board->name));
    }
}

int host_daemon_store_tests(void) {
#define NOR_TEST(name) cmocka_unit_test_setup_teardown(name, make_nor, remove_device)
    const struct CMUnitTest tests[] = {
        NOR_TEST(makes_a_store_on_a_blank_device_and_finds_it_again),
        cmocka_unit_test_setup_teardown(takes_the_page_of_nand_and_works_around_bad_blocks,
                                        make_nand, remove_device),
        NOR_TEST(uses_as_much_of_a_device_as_the_configuration_says),
        NOR_TEST(never_formats_what_is_not_blank),
        NOR_TEST(refuses_a_geometry_that_does_not_fit_and_says_which),
        NOR_TEST(refuses_a_device_that_cannot_be_read_or_is_in_use),
        cmocka_unit_test(still_makes_a_file_where_there_is_none),
        cmocka_unit_test(judges_every_board_by_the_relations_of_its_own_geometry),
    };
    return cmocka_run_group_tests_name("host/daemon_store", tests, NULL, NULL);
}
