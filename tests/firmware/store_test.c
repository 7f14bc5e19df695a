#include "firmware/store_frame.h"
#include "protocol/crc32c.h"
#include "tests/firmware/store_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES, PAGES, FILE_ };

static struct rig rig;
static struct rig other;
static uint8_t image[RIG_BYTES_MAX];
static const struct store_key phone = {3, 1};
static const struct store_key process = {3, 2};

static void start(uint32_t geometry) {
    store_rig_start(&rig, &rig_geometries[geometry], 5);
    assert_null(rig.what);
}

static void good(void) {
    if (rig.what != NULL) {
        fail_msg("%s", rig.what);
    }
}

static void put(struct store_key key, const char *text) {
    struct bytes body = {(const uint8_t *)text, strlen(text)};
    assert_true(store_room(&rig.store) >= body.size);
    (void)store_append(&rig.store, key, NULL, body);
}

/* Commits what is open, and waits for it. */
static void make_durable(void) {
    enum status status = STATUS_AGAIN;
    while (rig.store.open_records > 0 || rig.store.is_syncing) {
        status = rig.store.is_syncing ? store_poll(&rig.store) : store_commit(&rig.store);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    }
}

static enum status get(struct store_key key, char text[64]) {
    uint8_t buffer[512];
    struct store_record record;
    enum status status = store_read(&rig.store, key, buffer, sizeof buffer, &record);
    if (status == STATUS_OK) {
        snprintf(text, 64, "%.*s", (int)record.body.size, (const char *)record.body.data);
    }
    return status;
}

static void assert_reads(struct store_key key, const char *expected) {
    char text[64];
    assert_int_equal(get(key, text), STATUS_OK);
    assert_string_equal(text, expected);
}

static void mount_again(void) {
    sim_flash_adopt(&rig.flash);
    assert_int_equal(store_mount(&rig.store), STATUS_OK);
}

static void commit_many(uint32_t groups) {
    for (uint32_t i = 0; i < groups; i++) {
        rig_append(&rig, i % 8);
        rig_append(&rig, i % 16 == 0 ? rig_roll(&rig, 20) : (i * 3 + 3) % 8);
        store_rig_settle(&rig);
        rig_acknowledge(&rig, true);
    }
    good();
}

/* ---- records and groups ---- */

static void reads_what_was_committed_before_and_after_a_mount(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        start(geometry);
        put(phone, "ready");
        put(process, "queued");
        assert_reads(phone, "ready");
        make_durable();
        assert_int_equal(rig.store.durable_seq, 2);
        put(phone, "leased");
        assert_reads(phone, "leased");
        make_durable();
        mount_again();
        assert_reads(phone, "leased");
        assert_reads(process, "queued");
        assert_int_equal(rig.store.head_seq, 3);
        char text[64];
        assert_int_equal(get((struct store_key){3, 9}, text), STATUS_NOT_FOUND);
    }
}

static void forgets_a_group_that_was_not_committed(void **state) {
    (void)state;
    start(PAGES);
    put(phone, "ready");
    make_durable();
    put(phone, "leased");
    mount_again();
    assert_reads(phone, "ready");
}

static void follows_a_chain_of_records_back(void **state) {
    (void)state;
    uint8_t buffer[128];
    struct store_record record;
    start(PAGES);
    (void)store_append(&rig.store, process, NULL, bytes_of("one"));
    (void)store_append(&rig.store, phone, &process, bytes_of("two"));
    make_durable();
    (void)store_append(&rig.store, process, &phone, bytes_of("three"));
    make_durable();
    mount_again();
    uint32_t where = store_slot(&rig.store, process)->where;
    const char *const expected[] = {"three", "two", "one"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(store_read_at(&rig.store, where, buffer, sizeof buffer, &record),
                         STATUS_OK);
        assert_int_equal(record.body.size, strlen(expected[i]));
        assert_memory_equal(record.body.data, expected[i], record.body.size);
        where = record.previous;
    }
    assert_int_equal(where, 0);
}

static void acknowledges_nothing_before_its_sync_has_ended(void **state) {
    (void)state;
    start(PAGES);
    rig.flash.sync_polls = 3;
    put(phone, "ready");
    assert_int_equal(store_commit(&rig.store), STATUS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(store_poll(&rig.store), STATUS_AGAIN);
        assert_int_equal(rig.store.durable_seq, 0);
    }
    put(phone, "next");
    assert_int_equal(store_commit(&rig.store), STATUS_AGAIN);
    assert_int_equal(store_poll(&rig.store), STATUS_OK);
    assert_int_equal(rig.store.durable_seq, 1);
}

static void fills_a_group_to_its_last_byte_and_not_further(void **state) {
    (void)state;
    static uint8_t body[RIG_FRAME_MAX];
    start(PAGES);
    uint32_t room = store_room(&rig.store);
    assert_int_equal(room, 1024 - STORE_FRAME_BYTES - STORE_RECORD_BYTES - STORE_TAIL_BYTES);
    (void)store_append(&rig.store, phone, NULL, (struct bytes){body, room});
    assert_int_equal(store_room(&rig.store), 0);
    make_durable();
    mount_again();
    assert_int_equal(store_slot(&rig.store, phone)->bytes, room + STORE_RECORD_BYTES);
}

static void says_when_a_buffer_is_too_small(void **state) {
    (void)state;
    uint8_t buffer[20];
    struct store_record record;
    struct store_cursor cursor = {0};
    struct store_group group;
    start(PAGES);
    put(phone, "more than a few bytes");
    make_durable();
    assert_int_equal(store_read(&rig.store, phone, buffer, sizeof buffer, &record),
                     STATUS_TOO_LARGE);
    assert_int_equal(store_next_group(&rig.store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_TOO_LARGE);
    assert_int_equal(cursor.seq, 0);
}

static void releases_an_object(void **state) {
    (void)state;
    char text[64];
    start(PAGES);
    put(phone, "ready");
    put(process, "queued");
    make_durable();
    uint64_t live = rig.store.live_bytes;
    store_release(&rig.store, phone);
    assert_int_equal(get(phone, text), STATUS_NOT_FOUND);
    assert_int_equal(rig.store.live_bytes, live - STORE_RECORD_BYTES - 5);
    assert_int_equal(store_slot(&rig.store, phone)->seq, 0);
    assert_reads(process, "queued");
    put(phone, "again");
    make_durable();
    mount_again();
    assert_reads(phone, "again");
}

/* ---- the log ---- */

static void gives_groups_in_order_across_blocks_and_mounts(void **state) {
    (void)state;
    uint8_t buffer[1024];
    struct store_cursor cursor = {0};
    struct store_group group;
    start(PAGES);
    for (uint32_t i = 0; i < 40; i++) {
        put(phone, "first of two");
        put(process, "second of two");
        make_durable();
    }
    for (uint64_t seq = 0; seq < 80; seq += 2) {
        if (seq == 30) {
            mount_again();
        }
        cursor.block_sequence = seq % 8 == 0 ? 0 : cursor.block_sequence;
        assert_int_equal(store_next_group(&rig.store, &cursor, buffer, sizeof buffer, &group),
                         STATUS_OK);
        assert_int_equal(group.first_seq, seq + 1);
        assert_int_equal(group.record_count, 2);
        assert_int_equal(cursor.seq, seq + 2);
    }
    assert_int_equal(store_next_group(&rig.store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_AGAIN);
    assert_memory_equal(group.chain, rig.store.head_chain, STORE_CHAIN_BYTES);
}

static void gives_no_group_that_is_not_durable(void **state) {
    (void)state;
    uint8_t buffer[1024];
    struct store_cursor cursor = {0};
    struct store_group group;
    start(PAGES);
    rig.flash.sync_polls = 1;
    put(phone, "ready");
    assert_int_equal(store_commit(&rig.store), STATUS_OK);
    assert_int_equal(store_next_group(&rig.store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_AGAIN);
    make_durable();
    assert_int_equal(store_next_group(&rig.store, &cursor, buffer, sizeof buffer, &group),
                     STATUS_OK);
}

/* ---- space ---- */

static void keeps_every_newest_record_while_it_cleans(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        start(geometry);
        commit_many(3000);
        assert_true(rig.store.stats.records_copied > 0);
        rig_verify(&rig);
        rig_remount(&rig);
        good();
    }
}

static void wears_all_blocks_alike(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        start(geometry);
        rig_append(&rig, 22); /* never again */
        commit_many(6000);
        uint32_t least = UINT32_MAX;
        uint32_t most = 0;
        for (uint32_t b = 0; b < rig.geometry.block_count; b++) {
            uint32_t count = rig.blocks[b].erase_count;
            least = count < least ? count : least;
            most = count > most ? count : most;
        }
        assert_true(least > 20);
        assert_in_range(most - least, 0, 2);
    }
}

static void never_cleans_what_is_not_acknowledged_and_recovers_when_it_is(void **state) {
    (void)state;
    start(PAGES);
    enum status status = STATUS_OK;
    while (status != STATUS_FULL) {
        rig_append(&rig, rig_roll(&rig, RIG_OBJECTS));
        status = store_rig_commit(&rig);
        (void)!rig_poll(&rig);
    }
    assert_false(store_admits(&rig.store, 0, 100));
    assert_int_equal(rig.store.stats.records_copied, 0);
    rig_verify(&rig);
    good();
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(store_rig_commit(&rig), STATUS_FULL);
    }
    rig_acknowledge(&rig, true);
    store_rig_settle(&rig);
    commit_many(300);
    rig_verify(&rig);
    good();
    assert_true(store_admits(&rig.store, 0, 100));
}

static void admits_no_more_than_it_can_keep(void **state) {
    (void)state;
    start(PAGES);
    uint64_t limit = (14 - STORE_SPARE_BLOCKS) * (4096 - 256) / 10 * 6;
    assert_true(store_admits(&rig.store, 0, limit));
    assert_true(store_admits(&rig.store, limit, 0));
    assert_false(store_admits(&rig.store, 1, limit));
    put(phone, "x");
    assert_false(store_admits(&rig.store, 0, limit));
}

static void starts_again_and_again_without_running_out(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < 3; geometry++) {
        start(geometry);
        for (uint32_t i = 0; i < 200; i++) {
            rig_remount(&rig);
            rig_append(&rig, i % RIG_OBJECTS);
            store_rig_settle(&rig);
            rig_acknowledge(&rig, true);
        }
        good();
    }
}

/* ---- what is refused ---- */

static void refuses_what_is_not_its_own_untouched(void **state) {
    (void)state;
    start(PAGES);
    put(phone, "ready");
    make_durable();
    rig.flash.operations = 0;
    struct hal_flash as_it_was = rig.flash.base;
    rig.flash.base.program_bytes = 512;
    assert_int_equal(store_mount(&rig.store), STATUS_FOREIGN);
    rig.flash.base = as_it_was;
    rig.flash.base.block_count -= 1;
    assert_int_equal(store_mount(&rig.store), STATUS_FOREIGN);
    rig.flash.base = as_it_was;
    rig.memory.slot_counts[3] = 1;
    rig.store.memory.slot_counts[3] = 1;
    assert_int_equal(store_mount(&rig.store), STATUS_FOREIGN);
    assert_int_equal(rig.flash.operations, 0);
}

static void refuses_a_newer_format_and_a_second_store(void **state) {
    (void)state;
    start(PAGES);
    put(phone, "ready");
    make_durable();
    uint8_t *header = rig.cells + 4096;
    memcpy(image, header, 4096);
    header[4] = STORE_FORMAT + 1;
    uint32_t crc = crc32c(0, (struct bytes){header, STORE_SEALED_BYTES});
    for (uint32_t i = 0; i < 4; i++) {
        header[STORE_SEALED_BYTES + i] = (uint8_t)(crc >> (8 * i));
    }
    assert_int_equal(store_mount(&rig.store), STATUS_FOREIGN);
    memcpy(header, image, 4096);
    store_rig_start(&other, &rig_geometries[PAGES], 1);
    const uint8_t id[STORE_ID_BYTES] = "somebody else's";
    assert_int_equal(store_format(&other.store, id, 1), STATUS_OK);
    memcpy(rig.cells + (size_t)9 * 4096, other.cells + (size_t)other.store.newest * 4096, 4096);
    rig.cells[9 * 4096 + 40] = 9;
    crc = crc32c(0, (struct bytes){rig.cells + (size_t)9 * 4096, STORE_SEALED_BYTES});
    for (uint32_t i = 0; i < 4; i++) {
        rig.cells[9 * 4096 + STORE_SEALED_BYTES + i] = (uint8_t)(crc >> (8 * i));
    }
    assert_int_equal(store_mount(&rig.store), STATUS_FOREIGN);
}

static void finds_no_store_on_blank_or_strange_flash(void **state) {
    (void)state;
    start(PAGES);
    memset(rig.cells, 0xff, sizeof rig.cells);
    assert_int_equal(store_mount(&rig.store), STATUS_NOT_FOUND);
    memset(rig.cells, 0x00, sizeof rig.cells);
    assert_int_equal(store_mount(&rig.store), STATUS_NOT_FOUND);
}

static void formats_over_an_old_store(void **state) {
    (void)state;
    const uint8_t id[STORE_ID_BYTES] = "a fresh one";
    start(PAGES);
    commit_many(300);
    assert_int_equal(store_format(&rig.store, id, 2), STATUS_OK);
    assert_int_equal(store_mount(&rig.store), STATUS_OK);
    assert_int_equal(rig.store.head_seq, 0);
    assert_int_equal(rig.store.epoch, 2);
    start(FILE_);
    assert_int_equal(store_format(&rig.store, id, 2), STATUS_FOREIGN);
}

/* ---- failing flash ---- */

static void freezes_for_good_when_a_sync_fails(void **state) {
    (void)state;
    start(FILE_);
    put(phone, "ready");
    rig.flash.fails_next_sync = true;
    assert_int_equal(store_commit(&rig.store), STATUS_OK);
    assert_int_equal(store_poll(&rig.store), STATUS_IO);
    assert_int_equal(rig.store.durable_seq, 0);
    assert_int_equal(store_poll(&rig.store), STATUS_IO);
    assert_int_equal(store_commit(&rig.store), STATUS_IO);
    assert_int_equal(store_clean(&rig.store), STATUS_IO);
    assert_int_equal(store_room(&rig.store), 0);
    assert_false(store_admits(&rig.store, 0, 0));
}

static void goes_on_without(uint8_t fault, bool verify) {
    for (uint32_t bad = 0; bad < 14; bad++) {
        start(PAGES);
        rig.flash.base.verify = verify;
        rig.flash.block_fault[0] = fault;
        rig.flash.bad_block[0] = bad;
        commit_many(400);
        rig_verify(&rig);
        good();
        assert_in_range(rig.store.stats.bad_blocks, 1, 2);
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
        start(PAGES);
        commit_many(400);
        rig.flash.base.verify = true;
        rig.flash.block_fault[0] = SIM_FLASH_LOSES_ERASE;
        rig.flash.bad_block[0] = bad;
        commit_many(400);
        rig.flash.violations = 0; /* programming over what was not erased is how it is noticed */
        rig_verify(&rig);
        good();
        assert_true(rig.store.stats.bad_blocks > 0);
    }
}

static void retires_a_block_in_the_middle_of_a_group(void **state) {
    (void)state;
    uint8_t buffer[128];
    struct store_record record;
    start(PAGES);
    put(phone, "ready");
    make_durable();
    rig.flash.block_fault[0] = SIM_FLASH_FAILS_PROGRAM;
    rig.flash.bad_block[0] = rig.store.block;
    (void)store_append(&rig.store, process, NULL, bytes_of("one"));
    (void)store_append(&rig.store, process, &process, bytes_of("two"));
    make_durable();
    assert_int_equal(rig.store.stats.bad_blocks, 1);
    mount_again();
    assert_reads(phone, "ready");
    assert_reads(process, "two");
    uint32_t where = store_slot(&rig.store, process)->where;
    assert_int_equal(store_read_at(&rig.store, where, buffer, sizeof buffer, &record), STATUS_OK);
    assert_int_equal(store_read_at(&rig.store, record.previous, buffer, sizeof buffer, &record),
                     STATUS_OK);
    assert_memory_equal(record.body.data, "one", 3);
    assert_int_equal(rig.store.stats.rotten_frames, 0);
}

/* ---- rot ---- */

/* With damage somewhere each object reads as it was, or as corrupt. Nothing at the log's very end
 * counts: damage there cannot be told from a torn write. Returns the corrupt ones. */
static uint32_t judge_damage(uint32_t at) {
    uint32_t corrupt = 0;
    enum status status = store_mount(&rig.store);
    if (status != STATUS_OK) {
        fail_msg("damage at %u: the mount says %d", at, (int)status);
    }
    bool lost_tail = rig.store.head_seq < rig.durable_seq && rig.store.suspect_seq == 0;
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        uint8_t buffer[512];
        uint8_t body[RIG_BODY_MAX];
        struct store_record record;
        status = store_read(&rig.store, rig_key(object), buffer, sizeof buffer, &record);
        uint32_t size = rig_body(rig.newest[object], object, rig.geometry.body_max, body);
        bool is_right = status == STATUS_OK && record.body.size == size &&
                        memcmp(record.body.data, body, size) == 0;
        corrupt += status == STATUS_CORRUPT;
        if (!is_right && status != STATUS_CORRUPT &&
            !(lost_tail && rig.seqs[object] > rig.store.head_seq)) {
            fail_msg("damage at %u: object %u says %d", at, object, (int)status);
        }
    }
    const struct store_stats *stats = &rig.store.stats;
    bool is_reported = stats->rotten_frames + stats->lost_blocks + stats->lost_sequences > 0;
    assert_true(corrupt == 0 || is_reported);
    if (rig.store.head_seq < rig.durable_seq) {
        assert_true(is_reported || rig.durable_seq - rig.store.head_seq <= 4);
    }
    return corrupt;
}

static void prepare_damage(uint32_t geometry, uint32_t groups) {
    start(geometry);
    for (uint32_t i = 0; i < RIG_OBJECTS; i++) {
        rig_append(&rig, i);
        store_rig_settle(&rig);
    }
    commit_many(groups);
    rig_remount(&rig);
    rig_append(&rig, 3);
    store_rig_settle(&rig);
    good();
    memcpy(image, rig.cells, sizeof image);
}

static void finds_every_flipped_byte_of_an_image(void **state) {
    (void)state;
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    uint32_t corrupt = 0;
    prepare_damage(BYTES, 130);
    uint32_t count = rig.geometry.block_bytes * rig.geometry.block_count;
    for (uint32_t at = 0; at < count; at++) {
        uint8_t mask = masks[at % array_count(masks)];
        sim_flash_flip(&rig.flash, at, mask);
        corrupt += judge_damage(at);
        sim_flash_flip(&rig.flash, at, mask);
    }
    assert_true(corrupt > 1000);
}

static void notices_a_lost_a_stale_and_a_swapped_block(void **state) {
    (void)state;
    prepare_damage(PAGES, 200);
    memcpy(other.cells, rig.cells, sizeof image);
    commit_many(30);
    memcpy(image, rig.cells, sizeof image);
    uint32_t newest = rig.store.newest;
    for (uint32_t b = 0; b < rig.geometry.block_count; b++) {
        bool is_used = rig.blocks[b].state == STORE_BLOCK_USED && b != newest;
        for (uint32_t how = 0; how < 4 && is_used; how++) {
            uint8_t *block = rig.cells + (size_t)b * 4096;
            uint32_t another = (b + 1) % rig.geometry.block_count;
            memset(block, how == 0 ? 0xff : 0x00, how < 2 ? 4096 : 0);
            memcpy(block,
                   (how == 2 ? other.cells : image) + (size_t)(how == 2 ? b : another) * 4096,
                   how < 2 ? 0 : 4096);
            bool is_changed = memcmp(block, image + (size_t)b * 4096, 4096) != 0;
            (void)judge_damage(b * 4096);
            assert_true(!is_changed || rig.store.stats.lost_blocks > 0 ||
                        rig.store.stats.rotten_frames > 0);
            memcpy(rig.cells, image, sizeof image);
            assert_int_equal(store_mount(&rig.store), STATUS_OK);
        }
    }
}

static void remembers_rot_after_it_was_cleaned_away(void **state) {
    (void)state;
    prepare_damage(PAGES, 5);
    uint32_t object = 20;
    uint32_t where = store_slot(&rig.store, rig_key(object))->where;
    sim_flash_flip(&rig.flash, where + STORE_RECORD_BYTES, 4);
    assert_true(judge_damage(where) >= 1);
    for (uint32_t i = 0; i < 600; i++) {
        rig_append(&rig, i % 10);
        store_rig_settle(&rig);
        rig_acknowledge(&rig, true);
    }
    for (uint32_t turn = 0; turn < 2; turn++) {
        char text[64];
        assert_int_equal(get(rig_key(object), text), STATUS_CORRUPT);
        assert_int_equal(get(rig_key(3), text), STATUS_OK);
        assert_int_equal(store_mount(&rig.store), STATUS_OK);
    }
}

static void drops_a_torn_tail_once_and_for_all(void **state) {
    (void)state;
    start(PAGES);
    put(phone, "ready");
    make_durable();
    put(phone, "leased");
    make_durable();
    sim_flash_flip(&rig.flash, store_slot(&rig.store, phone)->where + STORE_RECORD_BYTES, 1);
    for (uint32_t i = 0; i < 3; i++) {
        mount_again();
        assert_int_equal(rig.store.stats.torn_frames, i == 0);
        assert_int_equal(rig.store.stats.rotten_frames, 0);
        assert_reads(phone, "ready");
        put(process, "queued");
        make_durable();
        assert_int_equal(rig.store.head_seq, 2 + i);
    }
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
        cmocka_unit_test(keeps_every_newest_record_while_it_cleans),
        cmocka_unit_test(wears_all_blocks_alike),
        cmocka_unit_test(never_cleans_what_is_not_acknowledged_and_recovers_when_it_is),
        cmocka_unit_test(admits_no_more_than_it_can_keep),
        cmocka_unit_test(starts_again_and_again_without_running_out),
        cmocka_unit_test(refuses_what_is_not_its_own_untouched),
        cmocka_unit_test(refuses_a_newer_format_and_a_second_store),
        cmocka_unit_test(finds_no_store_on_blank_or_strange_flash),
        cmocka_unit_test(formats_over_an_old_store),
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
    return cmocka_run_group_tests_name("firmware/store", tests, NULL, NULL);
}
