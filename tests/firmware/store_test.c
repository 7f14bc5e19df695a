/* What the store does on good flash, and what it refuses to mount. */
#include "firmware/store_frame.h"
#include "protocol/crc32c.h"
#include "tests/firmware/store_case.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig *const rig = &store_case;
static struct rig other;
static uint8_t image[4096];

/* ---- records and groups ---- */

static void reads_what_was_committed_before_and_after_a_mount(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        store_case_start(geometry);
        store_case_put(store_case_phone, "ready");
        store_case_put(store_case_process, "queued");
        store_case_reads(store_case_phone, "ready");
        store_case_make_durable();
        assert_int_equal(rig->store.durable_seq, 2);
        store_case_put(store_case_phone, "leased");
        store_case_reads(store_case_phone, "leased");
        store_case_make_durable();
        store_case_mount_again();
        store_case_reads(store_case_phone, "leased");
        store_case_reads(store_case_process, "queued");
        assert_int_equal(rig->store.head_seq, 3);
        char text[64];
        assert_int_equal(store_case_get((struct store_key){3, 9}, text), STATUS_NOT_FOUND);
    }
}

static void forgets_a_group_that_was_not_committed(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    store_case_put(store_case_phone, "leased");
    store_case_mount_again();
    store_case_reads(store_case_phone, "ready");
}

static void follows_a_chain_of_records_back(void **state) {
    (void)state;
    uint8_t buffer[128];
    struct store_record record;
    store_case_start(STORE_CASE_PAGES);
    (void)store_append(&rig->store, store_case_process, NULL, bytes_of("one"));
    (void)store_append(&rig->store, store_case_phone, &store_case_process, bytes_of("two"));
    store_case_make_durable();
    (void)store_append(&rig->store, store_case_process, &store_case_phone, bytes_of("three"));
    store_case_make_durable();
    store_case_mount_again();
    uint32_t where = store_slot(&rig->store, store_case_process)->where;
    const char *const expected[] = {"three", "two", "one"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(store_read_at(&rig->store, where, buffer, sizeof buffer, &record),
                         STATUS_OK);
        assert_int_equal(record.body.size, strlen(expected[i]));
        assert_memory_equal(record.body.data, expected[i], record.body.size);
        where = record.previous;
    }
    assert_int_equal(where, 0);
}

static void acknowledges_nothing_before_its_sync_has_ended(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    rig->flash.sync_polls = 3;
    store_case_put(store_case_phone, "ready");
    assert_int_equal(store_commit(&rig->store), STATUS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(store_poll(&rig->store), STATUS_AGAIN);
        assert_int_equal(rig->store.durable_seq, 0);
    }
    store_case_put(store_case_phone, "next");
    assert_int_equal(store_commit(&rig->store), STATUS_AGAIN);
    assert_int_equal(store_poll(&rig->store), STATUS_OK);
    assert_int_equal(rig->store.durable_seq, 1);
}

static void fills_a_group_to_its_last_byte_and_not_further(void **state) {
    (void)state;
    static uint8_t body[RIG_FRAME_MAX];
    store_case_start(STORE_CASE_PAGES);
    uint32_t room = store_room(&rig->store);
    assert_int_equal(room, 1024 - STORE_MOVE_BYTES - STORE_FRAME_BYTES - STORE_RECORD_BYTES);
    (void)store_append(&rig->store, store_case_phone, NULL, (struct bytes){body, room});
    assert_true(store_room(&rig->store) < STORE_FRAME_BYTES + STORE_RECORD_BYTES);
    store_case_make_durable();
    store_case_mount_again();
    assert_int_equal(store_slot(&rig->store, store_case_phone)->bytes, room + 17);
}

static void says_when_a_buffer_is_too_small(void **state) {
    (void)state;
    uint8_t buffer[20];
    struct store_record record;
    struct store_cursor cursor = {0};
    struct store_group group;
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "more than a few bytes");
    store_case_make_durable();
    assert_int_equal(store_read(&rig->store, store_case_phone, buffer, sizeof buffer, &record),
                     STATUS_TOO_LARGE);
    assert_int_equal(store_next_group(&rig->store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_TOO_LARGE);
    assert_int_equal(cursor.seq, 0);
}

static void releases_an_object(void **state) {
    (void)state;
    char text[64];
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_put(store_case_process, "queued");
    store_case_make_durable();
    uint64_t live = rig->store.live_bytes;
    store_release(&rig->store, store_case_phone);
    assert_int_equal(store_case_get(store_case_phone, text), STATUS_NOT_FOUND);
    assert_int_equal(rig->store.live_bytes, live - 17 - 5);
    assert_int_equal(store_slot(&rig->store, store_case_phone)->seq, 0);
    store_case_reads(store_case_process, "queued");
    store_case_put(store_case_phone, "again");
    store_case_make_durable();
    store_case_mount_again();
    store_case_reads(store_case_phone, "again");
}

/* ---- the log ---- */

static void gives_groups_in_order_across_blocks_and_mounts(void **state) {
    (void)state;
    uint8_t buffer[1024];
    struct store_cursor cursor = {0};
    struct store_group group;
    store_case_start(STORE_CASE_PAGES);
    for (uint32_t i = 0; i < 40; i++) {
        store_case_put(store_case_phone, "first of two");
        store_case_put(store_case_process, "second of two");
        store_case_make_durable();
    }
    for (uint64_t seq = 0; seq < 80; seq += 2) {
        if (seq == 30) {
            store_case_mount_again();
        }
        cursor.block_sequence = seq % 8 == 0 ? 0 : cursor.block_sequence;
        assert_int_equal(store_next_group(&rig->store, &cursor, buffer, sizeof buffer, &group),
                         STATUS_OK);
        assert_int_equal(group.first_seq, seq + 1);
        assert_int_equal(group.record_count, 2);
        assert_int_equal(cursor.seq, seq + 2);
    }
    assert_int_equal(store_next_group(&rig->store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_AGAIN);
    assert_memory_equal(group.chain, rig->store.head_chain, STORE_CHAIN_BYTES);
}

static void gives_no_group_that_is_not_durable(void **state) {
    (void)state;
    uint8_t buffer[1024];
    struct store_cursor cursor = {0};
    struct store_group group;
    store_case_start(STORE_CASE_PAGES);
    rig->flash.sync_polls = 1;
    store_case_put(store_case_phone, "ready");
    assert_int_equal(store_commit(&rig->store), STATUS_OK);
    assert_int_equal(store_next_group(&rig->store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_AGAIN);
    store_case_make_durable();
    assert_int_equal(store_next_group(&rig->store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_OK);
}

/* ---- what is refused ---- */

static void refuses_what_is_not_its_own_untouched(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    rig->flash.operations = 0;
    struct hal_flash as_it_was = rig->flash.base;
    rig->flash.base.program_bytes = 512;
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
    rig->flash.base = as_it_was;
    rig->flash.base.block_count -= 1;
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
    rig->flash.base = as_it_was;
    rig->flash.base.block_bytes *= 2;
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
    rig->flash.base = as_it_was;
    rig->memory.slot_counts[3] = 1;
    rig->store.memory.slot_counts[3] = 1;
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
    assert_int_equal(rig->flash.operations, 0);
}

/* One with fewer blocks than the flash has grown; from its next header on it has them all. */
static void goes_on_in_a_flash_that_has_grown(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    rig->flash.base.block_count -= 2;
    const uint8_t id[STORE_ID_BYTES] = "one that grows";
    assert_int_equal(store_format(&rig->store, id, 1), STATUS_OK);
    assert_int_equal(store_mount(&rig->store), STATUS_OK);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    uint32_t free_count = rig->store.free_count;
    rig->flash.base.block_count += 2;
    assert_int_equal(store_mount(&rig->store), STATUS_OK);
    assert_int_equal(rig->store.free_count, free_count + 2);
    store_case_reads(store_case_phone, "ready");
    store_case_put(store_case_phone, "leased");
    store_case_make_durable();
    rig->flash.base.block_count -= 2;
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
}

static void refuses_a_newer_format_and_a_second_store(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    uint8_t *header = rig->cells + 4096;
    memcpy(image, header, 4096);
    header[4] = STORE_FORMAT + 1;
    uint32_t crc = crc32c(0, (struct bytes){header, STORE_SEALED_BYTES});
    for (uint32_t i = 0; i < 4; i++) {
        header[STORE_SEALED_BYTES + i] = (uint8_t)(crc >> (8 * i));
    }
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
    memcpy(header, image, 4096);
    store_rig_start(&other, &rig_geometries[STORE_CASE_PAGES], 1);
    const uint8_t id[STORE_ID_BYTES] = "somebody else's";
    assert_int_equal(store_format(&other.store, id, 1), STATUS_OK);
    memcpy(rig->cells + (size_t)9 * 4096, other.cells + (size_t)other.store.newest * 4096, 4096);
    rig->cells[9 * 4096 + 40] = 9;
    crc = crc32c(0, (struct bytes){rig->cells + (size_t)9 * 4096, STORE_SEALED_BYTES});
    for (uint32_t i = 0; i < 4; i++) {
        rig->cells[9 * 4096 + STORE_SEALED_BYTES + i] = (uint8_t)(crc >> (8 * i));
    }
    assert_int_equal(store_mount(&rig->store), STATUS_FOREIGN);
}

static void finds_no_store_on_blank_or_strange_flash(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    memset(rig->cells, 0xff, sizeof rig->cells);
    assert_int_equal(store_mount(&rig->store), STATUS_NOT_FOUND);
    memset(rig->cells, 0x00, sizeof rig->cells);
    assert_int_equal(store_mount(&rig->store), STATUS_NOT_FOUND);
}

static void formats_over_an_old_store(void **state) {
    (void)state;
    const uint8_t id[STORE_ID_BYTES] = "a fresh one";
    store_case_start(STORE_CASE_PAGES);
    store_case_commit_many(300);
    assert_int_equal(store_format(&rig->store, id, 2), STATUS_OK);
    assert_int_equal(store_mount(&rig->store), STATUS_OK);
    assert_int_equal(rig->store.head_seq, 0);
    assert_int_equal(rig->store.epoch, 2);
    store_case_start(STORE_CASE_FILE);
    assert_int_equal(store_format(&rig->store, id, 2), STATUS_FOREIGN);
}

int firmware_store_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_committed_before_and_after_a_mount),
        cmocka_unit_test(forgets_a_group_that_was_not_committed),
        cmocka_unit_test(follows_a_chain_of_records_back),
        cmocka_unit_test(acknowledges_nothing_before_its_sync_has_ended),
        cmocka_unit_test(fills_a_group_to_its_last_byte_and_not_further),
        cmocka_unit_test(says_when_a_buffer_is_too_small),
        cmocka_unit_test(releases_an_object),
        cmocka_unit_test(gives_groups_in_order_across_blocks_and_mounts),
        cmocka_unit_test(gives_no_group_that_is_not_durable),
        cmocka_unit_test(goes_on_in_a_flash_that_has_grown),
        cmocka_unit_test(refuses_what_is_not_its_own_untouched),
        cmocka_unit_test(refuses_a_newer_format_and_a_second_store),
        cmocka_unit_test(finds_no_store_on_blank_or_strange_flash),
        cmocka_unit_test(formats_over_an_old_store),
    };
    return cmocka_run_group_tests_name("firmware/store", tests, NULL, NULL);
}
