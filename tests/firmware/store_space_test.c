/* Cleaning, wear, and what is admitted. */
#include "tests/firmware/store_case.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig *const rig = &store_case;

static void keeps_every_newest_record_while_it_cleans(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        store_case_start(geometry);
        store_case_commit_many(3000);
        assert_true(rig->store.stats.records_copied > 0);
        rig_verify(rig);
        rig_remount(rig);
        store_case_good();
    }
}

static void wears_all_blocks_alike(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        store_case_start(geometry);
        rig_append(rig, 22); /* never again */
        store_case_commit_many(6000);
        uint32_t least = UINT32_MAX;
        uint32_t most = 0;
        for (uint32_t b = 0; b < rig->geometry.block_count; b++) {
            uint32_t count = rig->blocks[b].erase_count;
            least = count < least ? count : least;
            most = count > most ? count : most;
        }
        assert_true(least > 20);
        assert_in_range(most - least, 0, 2);
    }
}

static void never_cleans_what_is_not_acknowledged_and_recovers_when_it_is(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    enum status status = STATUS_OK;
    while (status != STATUS_FULL) {
        rig_append(rig, rig_roll(rig, RIG_OBJECTS));
        status = store_rig_commit(rig);
        (void)!rig_poll(rig);
    }
    assert_false(store_admits(&rig->store, 0, 100));
    assert_int_equal(rig->store.stats.records_copied, 0);
    rig_verify(rig);
    store_case_good();
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(store_rig_commit(rig), STATUS_FULL);
    }
    rig_acknowledge(rig, true);
    store_rig_settle(rig);
    store_case_commit_many(300);
    rig_verify(rig);
    store_case_good();
    assert_true(store_admits(&rig->store, 0, 100));
}

static void admits_no_more_than_it_can_keep(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    uint64_t limit = (14 - STORE_SPARE_BLOCKS) * (4096 - 256) / 10 * 6;
    assert_true(store_admits(&rig->store, 0, limit));
    assert_true(store_admits(&rig->store, limit, 0));
    assert_false(store_admits(&rig->store, 1, limit));
    store_case_put(store_case_phone, "x");
    assert_false(store_admits(&rig->store, 0, limit));
}

static void starts_again_and_again_without_running_out(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        store_case_start(geometry);
        for (uint32_t i = 0; i < 200; i++) {
            rig_remount(rig);
            rig_append(rig, i % RIG_OBJECTS);
            store_rig_settle(rig);
            rig_acknowledge(rig, true);
        }
        store_case_good();
    }
}

/* Each start loses power after a few operations; a hub that got through must always find room. */
static void starts_that_are_cut_short_use_no_blocks_up(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        store_case_start(geometry);
        for (uint32_t i = 0; i < RIG_OBJECTS; i++) {
            rig_append(rig, i);
            store_rig_settle(rig);
        }
        for (uint32_t i = 0; i < 400; i++) {
            rig->flash.operations = 0;
            rig->flash.cut = (struct sim_flash_cut){1 + i % 7, SIM_FLASH_PREFIX, i * 31};
            rig_append(rig, i % RIG_OBJECTS);
            store_rig_settle(rig);
            if (!rig->flash.is_off) {
                sim_flash_power_off(&rig->flash, i);
            }
            store_rig_restart(rig);
            store_case_good();
        }
        rig_append(rig, 1);
        store_rig_settle(rig);
        store_case_good();
        assert_int_equal(rig->store.open_records, 0);
    }
}

/* Cleans as long as there is something to do, without a commit. */
static void clean_all(void) {
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(store_clean(&rig->store), STATUS_OK);
        while (rig->store.is_syncing) {
            (void)!store_poll(&rig->store);
        }
    }
}

/* An object is evicted together with a record that says so: while that one is not on flash, a mount
 * finds the object whole, even if its block was cleaned in between. */
static void what_is_released_stays_until_its_group_is_durable(void **state) {
    (void)state;
    static struct rig saved;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        uint64_t copied = 0;
        store_case_start(geometry);
        store_case_put(store_case_phone, "kept");
        store_case_make_durable();
        for (uint32_t i = 0; i < 300; i++) {
            saved = *rig;
            store_release(&rig->store, store_case_phone);
            if (i % 2 == 0) {
                store_case_put(store_case_phone, "another object");
            }
            store_case_put(store_case_process, "the first one is gone");
            clean_all();
            copied += rig->store.stats.records_copied - saved.store.stats.records_copied;
            store_case_mount_again();
            store_case_reads(store_case_phone, "kept");
            *rig = saved;
            store_case_put(rig_key(10 + i % 7),
                           "something else of some length, so that blocks fill up");
            store_case_make_durable();
            store_acknowledge(&rig->store, rig->store.durable_seq, rig->store.head_chain);
        }
        assert_true(copied > 0);
    }
}

/* Two torn writes of nearly the same header could make the first one whole: a block with remains of
 * one is left alone while another is free, and used all the same when none is. */
static void a_block_with_a_torn_header_is_used_last(void **state) {
    (void)state;
    store_case_start(STORE_CASE_FILE);
    store_case_put(rig_key(10), "before");
    store_case_make_durable();
    uint32_t torn = 0; /* it would come first */
    while (rig->blocks[torn].state != STORE_BLOCK_FREE) {
        torn += 1;
    }
    memcpy(rig->cells + torn * rig->geometry.block_bytes, "HUBD, torn", 10);
    store_case_mount_again();
    bool was_used = false;
    for (uint32_t i = 0; i < 2000 && !was_used; i++) {
        store_case_put(rig_key(10 + i % 7), "something of some length, so that blocks fill up");
        store_case_make_durable();
        store_acknowledge(&rig->store, rig->store.durable_seq, rig->store.head_chain);
        was_used = rig->store.block == torn;
    }
    assert_true(was_used);
    for (uint32_t b = 0; b < rig->geometry.block_count; b++) {
        assert_true(b == torn || rig->blocks[b].erase_count > 0); /* every other one came first */
    }
}

/* The header of a block that a start has begun, before it was cut short, may not read as one at the
 * next start, not even its number, and read again later. */
static void no_start_gives_the_number_of_a_header_that_may_read_again(void **state) {
    (void)state;
    enum { STARTS = 5, NUMBER_AT = 48, NUMBER_BYTES = 8 };
    static uint8_t before[sizeof store_case.cells];
    uint8_t remains[STORE_HEADER_BYTES - 4]; /* without its CRC */
    uint32_t given[STARTS];
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    for (uint32_t i = 0; i < STARTS; i++) {
        memcpy(before, rig->cells, sizeof before);
        store_case_mount_again();
        store_case_put(store_case_phone, "leased");
        store_case_make_durable();
        uint8_t *header = rig->cells + (size_t)rig->store.newest * rig->geometry.block_bytes;
        given[i] = rig->blocks[rig->store.newest].sequence;
        for (uint32_t earlier = 0; earlier < i; earlier++) {
            assert_int_not_equal(given[i], given[earlier]);
        }
        memcpy(remains, header, sizeof remains);
        memset(remains + NUMBER_AT, 0, NUMBER_BYTES);
        memcpy(rig->cells, before, sizeof before);
        memcpy(header, remains, sizeof remains);
    }
}

int firmware_store_space_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_newest_record_while_it_cleans),
        cmocka_unit_test(wears_all_blocks_alike),
        cmocka_unit_test(never_cleans_what_is_not_acknowledged_and_recovers_when_it_is),
        cmocka_unit_test(admits_no_more_than_it_can_keep),
        cmocka_unit_test(starts_again_and_again_without_running_out),
        cmocka_unit_test(starts_that_are_cut_short_use_no_blocks_up),
        cmocka_unit_test(what_is_released_stays_until_its_group_is_durable),
        cmocka_unit_test(a_block_with_a_torn_header_is_used_last),
        cmocka_unit_test(no_start_gives_the_number_of_a_header_that_may_read_again),
    };
    return cmocka_run_group_tests_name("firmware/store_space", tests, NULL, NULL);
}
