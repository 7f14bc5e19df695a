/* The scrub: what it reads, what it finds, and what it makes good. */
#include "tests/firmware/store_case.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig *const rig = &store_case;
static const struct store_scrub *const scrub = &store_case.store.scrub;

/* Reads on until a pass has ended. */
static uint32_t run_pass(uint32_t bytes) {
    uint32_t steps = 0;
    enum status status = STATUS_AGAIN;
    while (status == STATUS_AGAIN && steps < 10000) {
        status = store_scrub(&rig->store, bytes);
        store_rig_settle(rig);
        steps += 1;
    }
    assert_int_equal(status, STATUS_OK);
    return steps;
}

static void live(uint32_t geometry) {
    store_case_start(geometry);
    store_case_commit_many(300);
    for (uint32_t i = 0; i < 10; i++) { /* history that upstream lacks */
        rig_append(rig, i);
        store_rig_settle(rig);
    }
    store_case_good();
}

static uint32_t block_of(uint32_t where) {
    return where / rig->geometry.block_bytes;
}

/* An object whose newest record stands in another block than the newest one. */
static uint32_t old_object(void) {
    uint32_t best = 0;
    for (uint32_t object = 1; object < RIG_OBJECTS; object++) {
        const struct store_slot *slot = store_slot(&rig->store, rig_key(object));
        const struct store_slot *than = store_slot(&rig->store, rig_key(best));
        bool is_older = slot->seq != 0 && (than->seq == 0 || slot->seq < than->seq);
        best = is_older ? object : best;
    }
    return best;
}

static void reads_all_that_is_in_use_and_writes_nothing(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        live(geometry);
        uint64_t head = store_rig_digest(rig);
        uint32_t operations = rig->flash.operations;
        uint32_t used = rig->geometry.block_count - rig->store.free_count;
        assert_true(run_pass(512) > used);
        assert_int_equal(scrub->passes, 1);
        assert_int_equal(scrub->block_count, used);
        assert_int_equal(scrub->blocks, used);
        assert_int_equal(scrub->last_damaged, 0);
        assert_int_equal(run_pass(UINT32_MAX), 1); /* as much as it is told to */
        assert_int_equal(scrub->passes, 2);
        assert_int_equal(rig->flash.operations, operations);
        assert_true(store_rig_digest(rig) == head);
        assert_false(rig->flash.base.reads_device);
    }
}

static void waits_for_whatever_else_goes_on(void **state) {
    (void)state;
    live(STORE_CASE_PAGES);
    rig->flash.sync_polls = 2;
    rig_append(rig, 3);
    assert_int_equal(store_scrub(&rig->store, 9999), STATUS_AGAIN);
    assert_int_equal(store_rig_commit(rig), STATUS_OK);
    assert_int_equal(store_scrub(&rig->store, 9999), STATUS_AGAIN);
    store_rig_settle(rig);
    assert_int_equal(scrub->last, 0);
    assert_int_equal(store_scrub(&rig->store, 1), STATUS_AGAIN);
    assert_true(scrub->last != 0);
    rig_remount(rig); /* what was written last is to be written again first */
    assert_int_equal(store_scrub(&rig->store, 9999), STATUS_AGAIN);
    assert_int_equal(scrub->last, 0);
}

static void tells_of_a_newest_record_that_is_lost(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        for (uint32_t at = 0; at < 2; at++) { /* in the record's head, and behind it */
            live(geometry);
            uint32_t object = old_object();
            char text[64];
            uint32_t where = store_slot(&rig->store, rig_key(object))->where;
            for (uint32_t b = 0; b < rig->geometry.block_count; b++) { /* no other copy */
                if (rig->store.memory.blocks[b].state == STORE_BLOCK_FREE) {
                    memset(rig->flash.cells + (size_t)b * rig->geometry.block_bytes, 0,
                           rig->geometry.block_bytes);
                }
            }
            if (rig->flash.cache != NULL) {
                memcpy(rig->flash.cache, rig->flash.cells,
                       (size_t)rig->geometry.block_count * rig->geometry.block_bytes);
            }
            sim_flash_flip(&rig->flash, where + at * 20, 0x10);
            (void)run_pass(512);
            assert_true(scrub->last_damaged == 1);
            assert_true(scrub->last_lost >= 1);
            assert_int_equal(scrub->repaired, 0);
            assert_int_equal(store_case_get(rig_key(object), text), STATUS_CORRUPT);
            (void)run_pass(512); /* it is still there, and told again, once */
            assert_true(scrub->last_damaged == 1 && scrub->passes == 2);
        }
    }
}

/* A block that the cleaner has freed holds what it has copied until it is used again. */
static void writes_again_what_has_another_copy(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        uint32_t repaired = 0;
        for (uint32_t groups = 60; groups < 90; groups++) {
            store_case_start(geometry);
            rig_append(rig, RIG_OBJECTS - 1); /* is copied again and again */
            store_rig_settle(rig);
            store_case_commit_many(groups * 4);
            uint32_t where = store_slot(&rig->store, rig_key(RIG_OBJECTS - 1))->where;
            sim_flash_flip(&rig->flash, where + 17, 0x01);
            (void)run_pass(4096);
            if (scrub->repaired == 0) {
                assert_int_equal(scrub->last_lost, 1);
                continue;
            }
            repaired += 1;
            assert_int_equal(scrub->last_damaged, 1);
            assert_int_equal(scrub->last_lost, 0);
            rig_verify(rig);
            store_case_good();
            assert_true(block_of(where) !=
                            block_of(store_slot(&rig->store, rig_key(RIG_OBJECTS - 1))->where) ||
                        where < store_slot(&rig->store, rig_key(RIG_OBJECTS - 1))->where);
            assert_int_equal(store_mount(&rig->store), STATUS_OK); /* and there it is found */
            if (rig->store.suspect_seq == 0) {
                rig_verify(rig);
            }
            store_case_good();
        }
        assert_true(repaired > 0);
    }
}

/* The block that is to take the copy wears out, or the power goes under it. */
static void a_copy_that_the_flash_does_not_take_is_not_counted_as_one(void **state) {
    (void)state;
    for (uint32_t is_lost = 0; is_lost < 2; is_lost++) {
        uint32_t failed = 0;
        for (uint32_t groups = 60; groups < 90; groups++) {
            store_case_start(STORE_CASE_PAGES);
            rig_append(rig, RIG_OBJECTS - 1);
            store_rig_settle(rig);
            store_case_commit_many(groups * 4);
            uint32_t where = store_slot(&rig->store, rig_key(RIG_OBJECTS - 1))->where;
            sim_flash_flip(&rig->flash, where + 17, 0x01);
            if (is_lost) {
                rig->flash.cut = (struct sim_flash_cut){1, SIM_FLASH_NOTHING, 0};
            } else {
                rig->flash.block_fault[0] = SIM_FLASH_FAILS_PROGRAM;
                rig->flash.bad_block[0] = rig->store.block;
            }
            rig->flash.operations = 0;
            enum status status = STATUS_AGAIN;
            while (status == STATUS_AGAIN) {
                status = store_scrub(&rig->store, UINT32_MAX);
            }
            assert_int_equal(scrub->repaired, 0);
            assert_int_equal(status == STATUS_IO, rig->flash.is_off);
            assert_int_equal(rig->store.has_failed, rig->flash.is_off);
            assert_true(rig->flash.is_off || scrub->last_lost == 1);
            failed += rig->flash.is_off || rig->store.stats.bad_blocks == 1;
        }
        assert_true(failed > 0);
    }
}

static void counts_damage_that_only_history_has(void **state) {
    (void)state;
    live(STORE_CASE_BYTES);
    uint32_t first = 0;
    for (uint32_t b = 0; b < rig->geometry.block_count; b++) { /* the oldest block in use */
        const struct store_block *blocks = rig->store.memory.blocks;
        bool is_older =
            blocks[b].state == STORE_BLOCK_USED && (blocks[first].state != STORE_BLOCK_USED ||
                                                    blocks[b].sequence < blocks[first].sequence);
        first = is_older ? b : first;
    }
    uint32_t damaged = 0;
    for (uint32_t at = STORE_HEADER_BYTES; at < rig->store.memory.blocks[first].used_bytes; at++) {
        sim_flash_flip(&rig->flash, first * rig->geometry.block_bytes + at, 0x04);
        (void)run_pass(UINT32_MAX);
        damaged += scrub->last_damaged > 0 && scrub->last_lost == 0;
        assert_true(scrub->last_damaged > 0);
        sim_flash_flip(&rig->flash, first * rig->geometry.block_bytes + at, 0x04);
    }
    assert_true(damaged > 10);
}

static void takes_a_block_that_does_not_read_for_damaged(void **state) {
    (void)state;
    live(STORE_CASE_PAGES);
    rig->flash.block_fault[0] = SIM_FLASH_FAILS_READ;
    rig->flash.bad_block[0] = block_of(store_slot(&rig->store, rig_key(old_object()))->where);
    assert_true(run_pass(UINT32_MAX) < 20);
    assert_true(scrub->last_damaged > 0);
}

static void says_when_the_store_has_failed(void **state) {
    (void)state;
    live(STORE_CASE_FILE);
    rig->flash.fails_next_sync = true;
    store_case_put(store_case_phone, "ready");
    assert_int_equal(store_commit(&rig->store), STATUS_OK);
    assert_int_equal(store_poll(&rig->store), STATUS_IO);
    assert_int_equal(store_scrub(&rig->store, 512), STATUS_IO);
}

int firmware_store_scrub_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_that_is_in_use_and_writes_nothing),
        cmocka_unit_test(waits_for_whatever_else_goes_on),
        cmocka_unit_test(tells_of_a_newest_record_that_is_lost),
        cmocka_unit_test(writes_again_what_has_another_copy),
        cmocka_unit_test(a_copy_that_the_flash_does_not_take_is_not_counted_as_one),
        cmocka_unit_test(counts_damage_that_only_history_has),
        cmocka_unit_test(takes_a_block_that_does_not_read_for_damaged),
        cmocka_unit_test(says_when_the_store_has_failed),
    };
    return cmocka_run_group_tests_name("firmware/store_scrub", tests, NULL, NULL);
}
