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
        cmocka_unit_test(retires_a_block_that_does_not_program),
        cmocka_unit_test(retires_a_block_that_does_not_erase),
        cmocka_unit_test(notices_a_program_that_was_lost_silently),
        cmocka_unit_test(notices_an_erase_that_was_lost_silently),
        cmocka_unit_test(retires_a_block_in_the_middle_of_a_group),
        cmocka_unit_test(keeps_misdirected_operations_from_being_believed),
        cmocka_unit_test(finds_every_flipped_byte_of_an_image),
        cmocka_unit_test(finds_every_flipped_bit_of_the_headers),
        cmocka_unit_test(notices_a_lost_a_stale_and_a_swapped_block),
        cmocka_unit_test(notices_a_block_of_another_history),
        cmocka_unit_test(remembers_rot_after_it_was_cleaned_away),
        cmocka_unit_test(drops_a_torn_tail_once_and_for_all),
    };
    return cmocka_run_group_tests_name("firmware/store_fault", tests, NULL, NULL);
}
