/* Flash that fails, and flash that forgets. */
#include "tests/firmware/store_case.h"
#include "tests/firmware/store_damage.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig *const rig = &store_case;
static struct store_damage damage;

/* ---- failing flash ---- */

static void freezes_for_good_when_a_sync_fails(void **state) {
    (void)state;
    store_case_start(STORE_CASE_FILE);
    store_case_put(store_case_phone, "ready");
    rig->flash.fails_next_sync = true;
    assert_int_equal(store_commit(&rig->store), STATUS_OK);
    assert_int_equal(store_poll(&rig->store), STATUS_IO);
    assert_int_equal(rig->store.durable_seq, 0);
    assert_int_equal(store_poll(&rig->store), STATUS_IO);
    assert_int_equal(store_commit(&rig->store), STATUS_IO);
    assert_int_equal(store_clean(&rig->store), STATUS_IO);
    assert_int_equal(store_room(&rig->store), 0);
    assert_false(store_admits(&rig->store, 0, 0));
}

/* Linux calls pages clean that a failed sync has not written: the next start sees what is not on
 * the disk. It writes the log's end again before anything follows it, so nothing is lost when the
 * power goes later, and what nobody was told of is there or not. */
static void does_not_build_on_what_only_a_cache_holds(void **state) {
    (void)state;
    uint32_t seen = 0;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        store_rig_start(rig, &rig_tiny_geometries[2], seed);
        for (uint32_t life = 0; life < 4; life++) {
            for (uint32_t i = rig_roll(rig, 60); i > 0; i--) {
                store_rig_step(rig);
            }
            rig->flash.fails_next_sync = true;
            for (uint32_t i = 0; i < 100 && !rig->store.has_failed; i++) {
                rig_append(rig, rig_roll(rig, RIG_OBJECTS));
                (void)!store_rig_commit(rig);
                (void)!rig_poll(rig);
            }
            store_rig_restart(rig); /* without a loss of power */
            seen += rig->flash.has_stale_cache && rig->torn == 0;
            rig_append(rig, rig_roll(rig, RIG_OBJECTS));
            store_rig_settle(rig);
            for (uint32_t i = rig_roll(rig, 3); i > 0; i--) {
                store_rig_step(rig);
            }
            sim_flash_power_off(&rig->flash, seed);
            store_rig_restart(rig);
            store_case_good();
        }
    }
    assert_true(seen > 500);
}

static void goes_on_without(uint8_t fault, bool verify) {
    for (uint32_t bad = 0; bad < 14; bad++) {
        store_case_start(STORE_CASE_PAGES);
        rig->flash.base.verify = verify;
        rig->flash.block_fault[0] = fault;
        rig->flash.bad_block[0] = bad;
        store_case_commit_many(400);
        rig_verify(rig);
        store_case_good();
        assert_in_range(rig->store.stats.bad_blocks, 1, 2);
    }
}

static void retires_a_block_that_does_not_program(void **state) {
    (void)state;
    goes_on_without(SIM_FLASH_FAILS_PROGRAM, false);
}

static void retires_a_block_that_does_not_erase(void **state) {
    (void)state;
    goes_on_without(SIM_FLASH_FAILS_ERASE, false);
}

static void notices_a_program_that_was_lost_silently(void **state) {
    (void)state;
    goes_on_without(SIM_FLASH_LOSES_PROGRAM, true);
}

static void notices_an_erase_that_was_lost_silently(void **state) {
    (void)state;
    for (uint32_t bad = 0; bad < 14; bad++) {
        store_case_start(STORE_CASE_PAGES);
        store_case_commit_many(400);
        rig->flash.base.verify = true;
        rig->flash.block_fault[0] = SIM_FLASH_LOSES_ERASE;
        rig->flash.bad_block[0] = bad;
        store_case_commit_many(400);
        rig->flash.violations = 0; /* programming over what was not erased is how it is noticed */
        rig_verify(rig);
        store_case_good();
        assert_true(rig->store.stats.bad_blocks > 0);
    }
}

static void retires_a_block_in_the_middle_of_a_group(void **state) {
    (void)state;
    uint8_t buffer[128];
    struct store_record record;
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    rig->flash.block_fault[0] = SIM_FLASH_FAILS_PROGRAM;
    rig->flash.bad_block[0] = rig->store.block;
    (void)store_append(&rig->store, store_case_process, NULL, bytes_of("one"));
    (void)store_append(&rig->store, store_case_process, &store_case_process, bytes_of("two"));
    store_case_make_durable();
    assert_int_equal(rig->store.stats.bad_blocks, 1);
    store_case_mount_again();
    store_case_reads(store_case_phone, "ready");
    store_case_reads(store_case_process, "two");
    uint32_t where = store_slot(&rig->store, store_case_process)->where;
    assert_int_equal(store_read_at(&rig->store, where, buffer, sizeof buffer, &record), STATUS_OK);
    assert_int_equal(store_read_at(&rig->store, record.previous, buffer, sizeof buffer, &record),
                     STATUS_OK);
    assert_memory_equal(record.body.data, "one", 3);
    assert_int_equal(rig->store.stats.rotten_frames, 0);
}

static void keeps_misdirected_operations_from_being_believed(void **state) {
    (void)state;
    static const uint8_t faults[] = {SIM_FLASH_MISDIRECTS_PROGRAM, SIM_FLASH_MISDIRECTS_ERASE};
    for (uint32_t bad = 0; bad < 14; bad++) {
        for (size_t i = 0; i < array_count(faults); i++) {
            store_case_start(STORE_CASE_PAGES);
            store_case_commit_many(200);
            rig->flash.base.verify = true;
            rig->flash.block_fault[0] = faults[i];
            rig->flash.bad_block[0] = bad;
            store_case_commit_many(60);
            rig->flash.block_fault[0] = SIM_FLASH_GOOD;
            store_case_mount_again();
            for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
                uint8_t buffer[RIG_BODY_MAX + 64];
                uint8_t body[RIG_BODY_MAX];
                struct store_record record;
                enum status status =
                    store_read(&rig->store, rig_key(object), buffer, sizeof buffer, &record);
                uint32_t size = rig_body(rig->newest[object], object, 300, body);
                bool is_right = status == STATUS_OK && record.body.size == size &&
                                memcmp(record.body.data, body, size) == 0;
                assert_true(is_right || status == STATUS_CORRUPT ||
                            (rig->newest[object] == 0 && status == STATUS_NOT_FOUND));
            }
        }
    }
}

/* Every third block is bad: known after some laps, and never tried again. */
static void uses_no_bad_block_again_after_a_restart(void **state) {
    (void)state;
    static const uint8_t faults[] = {SIM_FLASH_FAILS_ERASE, SIM_FLASH_FAILS_PROGRAM};
    for (size_t i = 0; i < array_count(faults); i++) {
        store_case_start(STORE_CASE_PAGES);
        for (uint32_t bad = 0; bad < 3; bad++) {
            rig->flash.block_fault[bad] = faults[i];
            rig->flash.bad_block[bad] = 2 + 4 * bad;
        }
        store_case_commit_many(400);
        assert_int_equal(rig->store.stats.bad_blocks, 3);
        rig->flash.bad_uses = 0;
        for (uint32_t boot = 0; boot < 60; boot++) {
            rig_remount(rig);
            assert_int_equal(rig->store.stats.bad_blocks, 3);
            store_case_commit_many(boot % 8);
        }
        assert_int_equal(rig->flash.bad_uses, 0);
    }
}

/* Power is lost at each operation after a block's first failure, the one that names it among them:
 * until then it may be tried again, and once by the start that follows. */
static void tries_a_bad_block_again_only_until_a_header_names_it(void **state) {
    (void)state;
    for (uint32_t cut = 1; cut < 40; cut++) {
        store_case_start(STORE_CASE_PAGES);
        store_case_commit_many(150);
        rig->flash.block_fault[0] = cut % 2 == 0 ? SIM_FLASH_FAILS_ERASE : SIM_FLASH_FAILS_PROGRAM;
        rig->flash.bad_block[0] = (rig->store.newest + 1) % rig->geometry.block_count;
        rig->flash.operations = 0;
        rig->flash.cut = (struct sim_flash_cut){cut, SIM_FLASH_PREFIX, 17 * cut};
        for (uint32_t i = 0; i < 60 && !rig->flash.is_off; i++) {
            rig_append(rig, i % 8);
            store_rig_settle(rig);
            rig_acknowledge(rig, true);
        }
        for (uint32_t boot = 0; boot < 30; boot++) {
            store_rig_restart(rig);
            store_case_commit_many(3);
        }
        assert_int_equal(rig->store.stats.bad_blocks, 1);
        assert_in_range(rig->flash.bad_uses, 1, 4);
    }
}

/* ---- rot ---- */

static void judge_damage(void) {
    if (damage.failure[0] != '\0') {
        fail_msg("%s", damage.failure);
    }
    assert_true(damage.done > 100 && damage.reported > 100 && damage.corrupt > 100);
}

static void finds_every_flipped_byte_of_an_image(void **state) {
    (void)state;
    for (uint32_t device = 0; device < RIG_DEVICES - 1; device++) {
        store_damage_prepare(&damage, &rig_tiny_geometries[device]);
        store_damage_flip_bytes(&damage);
        judge_damage();
    }
}

static void finds_every_flipped_bit_of_the_headers(void **state) {
    (void)state;
    for (uint32_t device = 0; device < RIG_DEVICES - 1; device++) {
        store_damage_prepare(&damage, &rig_tiny_geometries[device]);
        store_damage_flip_bits(&damage, STORE_HEADER_BYTES);
        judge_damage();
    }
}

static void notices_a_lost_a_stale_and_a_swapped_block(void **state) {
    (void)state;
    for (uint32_t device = 0; device < RIG_DEVICES; device++) {
        store_damage_prepare(&damage, &rig_tiny_geometries[device]);
        store_damage_blocks(&damage);
        judge_damage();
    }
}

/* Two stores that went on differently from one state: every checksum of a block of the other one
 * is right, and only the chain of hashes tells. */
static void notices_a_block_of_another_history(void **state) {
    (void)state;
    static uint8_t images[2][RIG_BYTES_MAX];
    static struct rig before;
    uint32_t size = rig_geometries[STORE_CASE_PAGES].block_bytes;
    uint32_t count = rig_geometries[STORE_CASE_PAGES].block_count;
    store_case_start(STORE_CASE_PAGES);
    store_case_commit_many(20);
    memcpy(&before, rig, sizeof before);
    for (size_t history = 0; history < 2; history++) {
        memcpy(rig, &before, sizeof before);
        for (uint32_t i = 0; i < 40; i++) {
            store_case_put(store_case_process, history == 0 ? "one way" : "another");
            store_case_make_durable();
        }
        memcpy(images[history], rig->cells, sizeof images[history]);
    }
    uint32_t spliced = 0;
    for (uint32_t b = 0; b < count; b++) {
        uint8_t *block = images[0] + (size_t)b * size;
        const uint8_t *other = images[1] + (size_t)b * size;
        if (memcmp(block, other, size) != 0) {
            memcpy(rig->cells, images[0], sizeof images[0]);
            memcpy(rig->cells + (size_t)b * size, other, size);
            sim_flash_adopt(&rig->flash);
            assert_int_equal(store_mount(&rig->store), STATUS_OK);
            assert_true(rig->store.stats.rotten_frames > 0);
            spliced += 1;
        }
    }
    assert_true(spliced >= 3);
}

static void remembers_rot_after_it_was_cleaned_away(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        rig_append(rig, object);
        store_rig_settle(rig);
    }
    store_case_commit_many(5);
    rig_remount(rig);
    rig_append(rig, 3);
    store_rig_settle(rig);
    store_case_good();
    uint32_t object = 20;
    uint32_t where = store_slot(&rig->store, rig_key(object))->where;
    sim_flash_flip(&rig->flash, where + STORE_RECORD_BYTES, 4);
    assert_int_equal(store_mount(&rig->store), STATUS_OK);
    for (uint32_t i = 0; i < 600; i++) {
        rig_append(rig, i % 10);
        store_rig_settle(rig);
        rig_acknowledge(rig, true);
    }
    for (uint32_t turn = 0; turn < 2; turn++) {
        char text[64];
        assert_int_equal(store_case_get(rig_key(object), text), STATUS_CORRUPT);
        assert_int_equal(store_case_get(rig_key(3), text), STATUS_OK);
        assert_int_equal(store_mount(&rig->store), STATUS_OK);
    }
}

/* What a lost block held cannot be told, so every object that was not written since is suspect:
 * also when the log has turned over and nothing of it shows the loss any more. */
static void remembers_the_suspects_when_the_log_has_turned_over(void **state) {
    (void)state;
    char text[64];
    uint32_t object = 20;
    store_case_start(STORE_CASE_PAGES);
    for (uint32_t i = 0; i < RIG_OBJECTS; i++) {
        rig_append(rig, i);
        store_rig_settle(rig);
    }
    uint32_t size = rig->geometry.block_bytes;
    uint32_t lost = store_slot(&rig->store, rig_key(object))->where / size;
    for (uint32_t i = 0; i < 100; i++) {
        rig_append(rig, i % 10);
        store_rig_settle(rig);
    }
    assert_true(rig->store.newest != lost);
    memset(rig->cells + (size_t)lost * size, 0xff, size);
    store_case_mount_again();
    assert_int_equal(rig->store.stats.lost_blocks, 1);
    assert_true(rig->store.suspect_seq > 0);
    for (uint32_t i = 0; i < 600; i++) {
        rig_append(rig, i % 10);
        store_rig_settle(rig);
        store_acknowledge(&rig->store, rig->store.durable_seq, rig->store.head_chain);
    }
    for (uint32_t turn = 0; turn < 3; turn++) {
        assert_int_equal(store_case_get(rig_key(object), text), STATUS_CORRUPT);
        assert_int_equal(store_case_get(rig_key(3), text), STATUS_OK);
        store_case_mount_again();
        assert_int_equal(rig->store.stats.lost_blocks, 0);
    }
}

static void drops_a_torn_tail_once_and_for_all(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    store_case_put(store_case_phone, "leased");
    store_case_make_durable();
    sim_flash_flip(&rig->flash, store_slot(&rig->store, store_case_phone)->where + 12, 1);
    for (uint32_t i = 0; i < 3; i++) {
        store_case_mount_again();
        assert_int_equal(rig->store.stats.torn_frames, i == 0);
        assert_int_equal(rig->store.stats.rotten_frames, 0);
        store_case_reads(store_case_phone, "ready");
        store_case_put(store_case_process, "queued");
        store_case_make_durable();
        assert_int_equal(rig->store.head_seq, 2 + i);
    }
}

int firmware_store_fault_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freezes_for_good_when_a_sync_fails),
        cmocka_unit_test(does_not_build_on_what_only_a_cache_holds),
        cmocka_unit_test(retires_a_block_that_does_not_program),
        cmocka_unit_test(retires_a_block_that_does_not_erase),
        cmocka_unit_test(notices_a_program_that_was_lost_silently),
        cmocka_unit_test(notices_an_erase_that_was_lost_silently),
        cmocka_unit_test(retires_a_block_in_the_middle_of_a_group),
        cmocka_unit_test(uses_no_bad_block_again_after_a_restart),
        cmocka_unit_test(tries_a_bad_block_again_only_until_a_header_names_it),
        cmocka_unit_test(keeps_misdirected_operations_from_being_believed),
        cmocka_unit_test(finds_every_flipped_byte_of_an_image),
        cmocka_unit_test(finds_every_flipped_bit_of_the_headers),
        cmocka_unit_test(notices_a_lost_a_stale_and_a_swapped_block),
        cmocka_unit_test(notices_a_block_of_another_history),
        cmocka_unit_test(remembers_rot_after_it_was_cleaned_away),
        cmocka_unit_test(remembers_the_suspects_when_the_log_has_turned_over),
        cmocka_unit_test(drops_a_torn_tail_once_and_for_all),
    };
    return cmocka_run_group_tests_name("firmware/store_fault", tests, NULL, NULL);
}
