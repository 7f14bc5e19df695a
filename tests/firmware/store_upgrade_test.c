/* Stores that the first format's code has written, kept in tests/data, are gone on with. */
#include "firmware/store_format1.h"
#include "tests/firmware/store_case.h"
#include "tests/firmware/store_rig_image.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct rig *const rig = &store_case;

static void load(const char *name) {
    rig->what = NULL;
    store_rig_load_image(rig, name);
    store_case_good();
}

static uint32_t count_old_blocks(void) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < rig->geometry.block_count; b++) {
        count += rig->blocks[b].state == STORE_BLOCK_USED && rig->blocks[b].format == 1;
    }
    return count;
}

static const char *const images[] = {"bytes", "pages"};

static void reads_a_store_of_the_first_format(void **state) {
    (void)state;
    for (size_t i = 0; i < array_count(images); i++) {
        load(images[i]);
        assert_int_equal(rig->store.stats.torn_frames, 1);
        assert_true(count_old_blocks() > 5);
        assert_true(rig->store.acked_seq < rig->store.head_seq);
    }
}

static void goes_on_in_the_new_format_until_nothing_old_is_left(void **state) {
    (void)state;
    for (size_t i = 0; i < array_count(images); i++) {
        load(images[i]);
        uint32_t before = count_old_blocks();
        for (uint32_t turn = 0; turn < 40; turn++) {
            for (uint32_t group = 0; group < 20; group++) {
                rig_append(rig, (turn + group) % 8);
                store_rig_settle(rig);
            }
            rig_remount(rig);
            store_case_good();
        }
        assert_true(count_old_blocks() < before);
        store_case_commit_many(1000);
        assert_int_equal(count_old_blocks(), 0);
        rig_verify(rig);
        rig_remount(rig);
        store_case_good();
    }
}

static void is_left_untouched_by_a_board_that_cannot_read_it(void **state) {
    (void)state;
    load("pages");
    rig->memory.older = NULL;
    rig->store.memory.older = NULL;
    rig->flash.operations = 0;
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
    assert_int_equal(rig->flash.operations, 0);
}

int firmware_store_upgrade_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_store_of_the_first_format),
        cmocka_unit_test(goes_on_in_the_new_format_until_nothing_old_is_left),
        cmocka_unit_test(is_left_untouched_by_a_board_that_cannot_read_it),
    };
    return cmocka_run_group_tests_name("firmware/store_upgrade", tests, NULL, NULL);
}
