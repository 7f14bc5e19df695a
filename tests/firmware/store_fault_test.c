/* Flash that fails, and flash that forgets. */
#include "tests/firmware/store_case.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig *const rig = &store_case;
static struct rig other;
static uint8_t image[RIG_BYTES_MAX];

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

/* ---- rot ---- */

/* With damage somewhere each object reads as it was, or as corrupt. Nothing at the log's very end
 * counts: damage there cannot be told from a torn write. Returns the corrupt ones. */
static uint32_t judge_damage(uint32_t at) {
    uint32_t corrupt = 0;
    enum status status = store_mount(&rig->store);
    if (status != STATUS_OK) {
        fail_msg("damage at %u: the mount says %d", at, (int)status);
    }
    bool lost_tail = rig->store.head_seq < rig->durable_seq && rig->store.suspect_seq == 0;
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        uint8_t buffer[512];
        uint8_t body[RIG_BODY_MAX];
        struct store_record record;
        status = store_read(&rig->store, rig_key(object), buffer, sizeof buffer, &record);
        uint32_t size = rig_body(rig->newest[object], object, rig->geometry.body_max, body);
        bool is_right = status == STATUS_OK && record.body.size == size &&
                        memcmp(record.body.data, body, size) == 0;
        corrupt += status == STATUS_CORRUPT;
        if (!is_right && status != STATUS_CORRUPT &&
            !(lost_tail && rig->seqs[object] > rig->store.head_seq)) {
            fail_msg("damage at %u: object %u says %d", at, object, (int)status);
        }
    }
    const struct store_stats *stats = &rig->store.stats;
    bool is_reported = stats->rotten_frames + stats->lost_blocks + stats->lost_sequences > 0;
    assert_true(corrupt == 0 || is_reported);
    if (rig->store.head_seq < rig->durable_seq) {
        assert_true(is_reported || rig->durable_seq - rig->store.head_seq <= 4);
    }
    return corrupt;
}

static void prepare_damage(uint32_t geometry, uint32_t groups) {
    store_case_start(geometry);
    for (uint32_t i = 0; i < RIG_OBJECTS; i++) {
        rig_append(rig, i);
        store_rig_settle(rig);
    }
    store_case_commit_many(groups);
    rig_remount(rig);
    rig_append(rig, 3);
    store_rig_settle(rig);
    store_case_good();
    memcpy(image, rig->cells, sizeof image);
}

static void finds_every_flipped_byte_of_an_image(void **state) {
    (void)state;
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    uint32_t corrupt = 0;
    prepare_damage(STORE_CASE_BYTES, 130);
    uint32_t count = rig->geometry.block_bytes * rig->geometry.block_count;
    for (uint32_t at = 0; at < count; at++) {
        uint8_t mask = masks[at % array_count(masks)];
        sim_flash_flip(&rig->flash, at, mask);
        corrupt += judge_damage(at);
        sim_flash_flip(&rig->flash, at, mask);
    }
    assert_true(corrupt > 1000);
}

static void notices_a_lost_a_stale_and_a_swapped_block(void **state) {
    (void)state;
    prepare_damage(STORE_CASE_PAGES, 200);
    memcpy(other.cells, rig->cells, sizeof image);
    store_case_commit_many(30);
    memcpy(image, rig->cells, sizeof image);
    uint32_t newest = rig->store.newest;
    for (uint32_t b = 0; b < rig->geometry.block_count; b++) {
        bool is_used = rig->blocks[b].state == STORE_BLOCK_USED && b != newest;
        for (uint32_t how = 0; how < 4 && is_used; how++) {
            uint8_t *block = rig->cells + (size_t)b * 4096;
            uint32_t another = (b + 1) % rig->geometry.block_count;
            memset(block, how == 0 ? 0xff : 0x00, how < 2 ? 4096 : 0);
            memcpy(block,
                   (how == 2 ? other.cells : image) + (size_t)(how == 2 ? b : another) * 4096,
                   how < 2 ? 0 : 4096);
            bool is_changed = memcmp(block, image + (size_t)b * 4096, 4096) != 0;
            (void)judge_damage(b * 4096);
            assert_true(!is_changed || rig->store.stats.lost_blocks > 0 ||
                        rig->store.stats.rotten_frames > 0);
            memcpy(rig->cells, image, sizeof image);
            assert_int_equal(store_mount(&rig->store), STATUS_OK);
        }
    }
}

static void remembers_rot_after_it_was_cleaned_away(void **state) {
    (void)state;
    prepare_damage(STORE_CASE_PAGES, 5);
    uint32_t object = 20;
    uint32_t where = store_slot(&rig->store, rig_key(object))->where;
    sim_flash_flip(&rig->flash, where + STORE_RECORD_BYTES, 4);
    assert_true(judge_damage(where) >= 1);
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
    sim_flash_flip(&rig->flash,
                   store_slot(&rig->store, store_case_phone)->where + STORE_RECORD_BYTES, 1);
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
        cmocka_unit_test(finds_every_flipped_byte_of_an_image),
        cmocka_unit_test(notices_a_lost_a_stale_and_a_swapped_block),
        cmocka_unit_test(remembers_rot_after_it_was_cleaned_away),
        cmocka_unit_test(drops_a_torn_tail_once_and_for_all),
    };
    return cmocka_run_group_tests_name("firmware/store_fault", tests, NULL, NULL);
}
