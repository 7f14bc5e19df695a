/* Flash that once does not read: whatever was asked for says so, nothing is lost, and the next
 * power-on finds everything. Every read of an operation fails in turn. */
#include "tests/firmware/store_case.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { DENSE = 150, STRIDE = 7 };
static const uint32_t never = UINT32_MAX;

static struct rig *const rig = &store_case;
static struct rig fork;
static struct hal_flash_ops failing;
static const struct hal_flash_ops *real;
static uint32_t reads_left; /* the read after so many fails, once */

static enum status read_or_fail(struct hal_flash *flash, uint32_t offset, void *target,
                                uint32_t size) {
    if (reads_left == 0) {
        reads_left = never;
        return STATUS_IO;
    }
    reads_left -= reads_left == never ? 0 : 1;
    return real->read(flash, offset, target, size);
}

static void make_failing(struct rig *of) {
    real = of == &fork ? real : of->flash.base.ops;
    failing = *real;
    failing.read = read_or_fail;
    reads_left = never;
    of->flash.base.ops = &failing;
}

/* The next read to fail; false: the last one was not reached any more. */
static bool next(uint32_t *n) {
    bool was_reached = reads_left == never;
    *n += *n < DENSE ? 1 : STRIDE;
    reads_left = *n;
    return was_reached;
}

/* A log in the middle of its life: cleaned, with copies, with groups that nobody acknowledged. */
static void live(uint32_t geometry) {
    store_case_start(geometry);
    store_case_commit_many(300);
    for (uint32_t i = 0; i < 40; i++) {
        rig_append(rig, rig_roll(rig, RIG_OBJECTS));
        rig_append(rig, rig_roll(rig, RIG_OBJECTS));
        store_rig_settle(rig);
    }
    store_case_good();
    make_failing(rig);
}

static void a_mount_that_cannot_read_says_so_and_may_be_called_again(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        live(geometry);
        uint32_t failed = 0;
        uint32_t n = 0;
        reads_left = 0;
        do {
            sim_flash_adopt(&rig->flash);
            enum status status = store_mount(&rig->store);
            bool was_reached = reads_left == never;
            assert_true(status == STATUS_OK || (status == STATUS_IO && was_reached));
            failed += status == STATUS_IO;
        } while (next(&n));
        assert_true(failed > 10);
        reads_left = never;
        store_rig_restart(rig);
        store_case_good();
    }
}

/* Power is lost in a group that has begun blocks of its own: the mount leaves those out and begins
 * again. Whichever read fails then, it says so, and the next one finds the same. */
static void a_mount_that_leaves_out_torn_blocks_says_when_it_cannot_read(void **state) {
    (void)state;
    uint32_t failed = 0;
    for (uint32_t cut = 1; cut < 40; cut++) {
        store_rig_start(rig, &rig_tiny_geometries[STORE_CASE_BYTES], 5);
        store_case_commit_many(40);
        rig->flash.operations = 0;
        rig->flash.cut = (struct sim_flash_cut){cut, SIM_FLASH_WHOLE, 0};
        for (uint32_t i = 0; i < 8 * RIG_OBJECTS && !rig->flash.is_off; i++) {
            rig_append(rig, i % RIG_OBJECTS);
            if (store_room(&rig->store) < rig->geometry.body_max) {
                store_rig_settle(rig);
            }
        }
        assert_true(rig->flash.is_off);
        sim_flash_power_on(&rig->flash);
        make_failing(rig);
        assert_int_equal(store_mount(&rig->store), STATUS_OK);
        uint64_t digest = store_rig_digest(rig);
        uint32_t n = 0;
        for (bool was_reached = true; was_reached; n++) {
            reads_left = n;
            enum status status = store_mount(&rig->store);
            assert_true(status == STATUS_OK || status == STATUS_IO);
            assert_true(status == STATUS_IO || store_rig_digest(rig) == digest);
            was_reached = reads_left == never;
            failed += status == STATUS_IO;
        }
        reads_left = never;
        store_rig_restart(rig);
        store_case_good();
    }
    assert_true(failed > 200);
}

/* A busy while after a start: the merge, cleaning, groups, acknowledgements. */
static void work(struct rig *of) {
    for (uint32_t i = 0; i < 12; i++) {
        rig_append(of, rig_roll(of, RIG_OBJECTS));
        (void)!store_clean(&of->store);
        (void)!rig_poll(of);
        (void)!store_rig_commit(of);
        (void)!rig_poll(of);
        if (i % 4 == 3) {
            rig_acknowledge(of, true);
        }
    }
}

static void work_that_cannot_read_loses_nothing(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        live(geometry);
        uint32_t n = 0;
        reads_left = 0;
        do {
            uint32_t left = reads_left;
            store_rig_fork(&fork, rig);
            reads_left = never;
            store_rig_restart(&fork);
            reads_left = left;
            work(&fork);
            bool was_reached = reads_left == never;
            reads_left = never;
            store_rig_restart(&fork);
            if (fork.what != NULL) {
                fail_msg("%s, when read %u failed", fork.what, n);
            }
            reads_left = was_reached ? never : 1;
        } while (next(&n));
    }
}

/* What an owner reads: records and the log of groups. OK again at the next call. */
static void a_reader_is_told_and_reads_again(void **state) {
    (void)state;
    static uint8_t buffer[RIG_GROUP_MAX];
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        live(geometry);
        uint32_t n = 0;
        struct store_cursor start = {.seq = rig->store.acked_seq};
        reads_left = 0;
        do {
            struct store_cursor cursor = start;
            struct store_group group;
            struct store_record record;
            enum status status =
                store_next_group(&rig->store, &cursor, buffer, sizeof buffer, &group);
            assert_true(status == STATUS_OK || reads_left == never);
            assert_true(status == STATUS_OK || cursor.seq == start.seq);
            (void)!store_read(&rig->store, rig_key(n % RIG_OBJECTS), buffer, sizeof buffer,
                              &record);
        } while (next(&n));
        reads_left = never;
        rig_verify(rig);
        store_case_good();
    }
}

/* Giving up what upstream lacks, while the flash does not read. */
static void passing_groups_is_told_and_goes_on(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        live(geometry);
        uint32_t n = 0;
        reads_left = 0;
        do {
            uint32_t left = reads_left;
            store_rig_fork(&fork, rig);
            reads_left = never;
            store_rig_restart(&fork);
            reads_left = left;
            struct store_cursor cursor = {.seq = store_log_seq(&fork.store)};
            struct store_end end = {.seq = cursor.seq};
            enum status status = STATUS_OK;
            for (uint32_t i = 0; i < 4 && status == STATUS_OK; i++) {
                status = store_pass_group(&fork.store, &cursor, &end);
            }
            if (status == STATUS_OK) {
                status = store_carry(&fork.store, store_log_seq(&fork.store) + 1, &end, 64);
            }
            bool was_reached = reads_left == never;
            assert_true(status == STATUS_OK || status == STATUS_AGAIN || status == STATUS_FULL ||
                        was_reached);
            reads_left = was_reached ? never : 1;
        } while (next(&n));
    }
}

/* A record in the open group, read with too small a buffer or at a place where none begins. */
static void the_open_group_is_read_with_care(void **state) {
    (void)state;
    uint8_t buffer[64];
    struct store_record record;
    store_case_start(STORE_CASE_BYTES);
    store_case_put(store_case_phone, "ready");
    uint32_t where = store_slot(&rig->store, store_case_phone)->where;
    assert_int_equal(store_read(&rig->store, store_case_phone, buffer, 4, &record),
                     STATUS_TOO_LARGE);
    assert_int_equal(store_read_at(&rig->store, where, buffer, sizeof buffer, &record), STATUS_OK);
    assert_int_equal(record.body.size, 5);
    assert_int_equal(store_read_at(&rig->store, where + 4096, buffer, sizeof buffer, &record),
                     STATUS_CORRUPT);
    assert_int_equal(store_read_at(&rig->store, where + rig->store.open_bytes - 1, buffer,
                                   sizeof buffer, &record),
                     STATUS_CORRUPT);
    uint32_t beyond = rig->geometry.block_bytes * rig->geometry.block_count;
    assert_int_equal(store_read_at(&rig->store, beyond, buffer, sizeof buffer, &record),
                     STATUS_CORRUPT);
}

/* What the mount has read at the log's end, and what is then damaged before it was written again,
 * is between two states: the store stops, and the next start decides. Older damage is damage. */
static void damage_at_the_logs_end_stops_the_store_until_the_next_start(void **state) {
    (void)state;
    char text[64];
    for (uint32_t is_old = 0; is_old < 2; is_old++) {
        store_case_start(STORE_CASE_PAGES);
        store_case_put(store_case_process, "queued");
        store_case_make_durable();
        store_case_put(store_case_phone, "ready");
        store_case_make_durable();
        store_case_mount_again();
        struct store_key key = is_old ? store_case_process : store_case_phone;
        sim_flash_flip(&rig->flash, store_slot(&rig->store, key)->where + 12, 1);
        assert_int_equal(store_case_get(key, text), is_old ? STATUS_CORRUPT : STATUS_IO);
        assert_int_equal(rig->store.has_failed, !is_old);
        store_case_mount_again();
        assert_int_equal(rig->store.stats.torn_frames, !is_old);
        assert_int_equal(store_case_get(key, text), is_old ? STATUS_CORRUPT : STATUS_NOT_FOUND);
    }
    /* A group that began in the block before: all of it is the end. */
    store_rig_start(rig, &rig_tiny_geometries[STORE_CASE_BYTES], 5);
    store_case_commit_many(20);
    uint32_t before = rig->store.block_sequence;
    while (rig->store.block_sequence == before || rig->store.tail_block == rig->store.newest) {
        before = rig->store.block_sequence;
        for (uint32_t i = 0; store_room(&rig->store) >= rig->geometry.body_max; i++) {
            rig_append(rig, i % RIG_OBJECTS);
        }
        store_rig_settle(rig);
        rig_acknowledge(rig, true);
        rig_remount(rig);
    }
    uint32_t last = 0;
    for (uint32_t object = 0; object < RIG_OBJECTS; object++) {
        bool is_later = store_slot(&rig->store, rig_key(object))->seq == rig->store.head_seq;
        last = is_later ? object : last;
    }
    sim_flash_flip(&rig->flash, store_slot(&rig->store, rig_key(last))->where + 12, 1);
    assert_int_equal(store_case_get(rig_key(last), text), STATUS_IO);
}

/* A cell of the log's end that reads differently each time: there or not there, nothing else. */
static void a_mount_ends_though_the_logs_end_reads_differently_each_time(void **state) {
    (void)state;
    enum { MOUNTS = 500 };
    char text[64];
    uint32_t seen[2] = {0, 0};
    store_case_start(STORE_CASE_BYTES);
    store_case_put(store_case_process, "queued");
    store_case_make_durable();
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    uint32_t where = store_slot(&rig->store, store_case_phone)->where;
    rig->flash.weak[0] = (struct sim_flash_weak){.offset = where + 12, .mask = 1};
    rig->flash.weak_count = 1;
    rig->flash.dice = 1;
    for (uint32_t i = 0; i < MOUNTS; i++) {
        assert_int_equal(store_mount(&rig->store), STATUS_OK);
        store_case_reads(store_case_process, "queued");
        bool is_there = rig->store.head_seq == 2;
        enum status status = store_case_get(store_case_phone, text);
        assert_true(is_there ? status == STATUS_OK || status == STATUS_IO
                             : status == STATUS_NOT_FOUND);
        seen[is_there] += 1;
    }
    assert_true(seen[0] > 0 && seen[1] > 0);
}

/* Behind a damaged group stands one that is not durable yet: its hash may not be told. */
static void damage_is_passed_when_what_stands_behind_it_is_durable(void **state) {
    (void)state;
    store_case_start(STORE_CASE_PAGES);
    store_case_put(store_case_phone, "ready");
    store_case_make_durable();
    uint32_t where = store_slot(&rig->store, store_case_phone)->where;
    sim_flash_flip(&rig->flash, where + 12, 1);
    rig->flash.sync_polls = 1;
    store_case_put(store_case_process, "queued");
    assert_int_equal(store_commit(&rig->store), STATUS_OK);
    struct store_cursor cursor = {0};
    struct store_end end = {0};
    assert_int_equal(store_pass_group(&rig->store, &cursor, &end), STATUS_AGAIN);
    assert_int_equal(end.seq, 0);
    store_case_make_durable();
    assert_int_equal(store_pass_group(&rig->store, &cursor, &end), STATUS_CORRUPT);
    assert_int_equal(end.seq, 2);
    assert_memory_equal(end.chain, rig->store.head_chain, STORE_CHAIN_BYTES);
}

static uint32_t programs_left;

static void wear_out(void *owner, const struct sim_flash_operation *operation) {
    struct rig *of = owner;
    if (operation->kind == SIM_FLASH_PROGRAM && programs_left == 0) {
        of->flash.block_fault[0] = SIM_FLASH_FAILS_PROGRAM;
        of->flash.bad_block[0] = operation->offset / of->geometry.block_bytes;
    }
    programs_left -= operation->kind == SIM_FLASH_PROGRAM;
}

/* One block wears out, at each program of a busy while in turn. */
static void a_block_may_wear_out_at_any_program(void **state) {
    (void)state;
    for (uint32_t geometry = 0; geometry < RIG_DEVICES; geometry++) {
        live(geometry);
        rig->flash.base.ops = real;
        uint32_t n = 0;
        do {
            store_rig_fork(&fork, rig);
            fork.flash.before = wear_out;
            fork.flash.before_owner = &fork;
            programs_left = n;
            store_rig_restart(&fork);
            for (uint32_t turn = 0; turn < 6; turn++) {
                work(&fork);
                rig_remount(&fork);
            }
            if (fork.what != NULL) {
                fail_msg("%s, when the block of program %u wore out", fork.what, n);
            }
            n += 1;
        } while (fork.flash.block_fault[0] != SIM_FLASH_GOOD);
        assert_true(n > 60);
    }
}

/* Rot that comes while the store runs, in the block that is cleaned next: the cleaner goes on, what
 * was there is told as damaged, and everything else stays. */
static void rot_under_a_running_store_is_told_when_its_block_was_cleaned(void **state) {
    (void)state;
    static const uint8_t bits[] = {0x01, 0x80, 0xff};
    uint32_t told = 0;
    for (uint32_t geometry = 0; geometry < 2; geometry++) {
        for (uint32_t back = 0; back < 24 * array_count(bits); back++) {
            char text[64];
            store_case_start(geometry);
            store_case_put(store_case_phone, "ready");
            store_case_make_durable();
            uint32_t where = store_slot(&rig->store, store_case_phone)->where;
            rig->cells[where + 8 - back / array_count(bits)] ^= bits[back % array_count(bits)];
            store_acknowledge(&rig->store, rig->store.durable_seq, rig->store.head_chain);
            for (uint32_t i = 0;
                 i < 20000 && store_slot(&rig->store, store_case_phone)->where == where; i++) {
                store_case_put(store_case_process, "another one, to fill the blocks");
                store_case_make_durable();
                store_acknowledge(&rig->store, rig->store.durable_seq, rig->store.head_chain);
            }
            assert_true(store_slot(&rig->store, store_case_phone)->where != where);
            enum status status = store_case_get(store_case_phone, text);
            assert_true(status == STATUS_CORRUPT ||
                        (status == STATUS_OK && strcmp(text, "ready") == 0));
            told += status == STATUS_CORRUPT;
            store_case_reads(store_case_process, "another one, to fill the blocks");
        }
    }
    assert_true(told > 50);
}

int firmware_store_read_fault_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mount_that_cannot_read_says_so_and_may_be_called_again),
        cmocka_unit_test(a_mount_that_leaves_out_torn_blocks_says_when_it_cannot_read),
        cmocka_unit_test(work_that_cannot_read_loses_nothing),
        cmocka_unit_test(a_reader_is_told_and_reads_again),
        cmocka_unit_test(passing_groups_is_told_and_goes_on),
        cmocka_unit_test(the_open_group_is_read_with_care),
        cmocka_unit_test(damage_at_the_logs_end_stops_the_store_until_the_next_start),
        cmocka_unit_test(a_mount_ends_though_the_logs_end_reads_differently_each_time),
        cmocka_unit_test(damage_is_passed_when_what_stands_behind_it_is_durable),
        cmocka_unit_test(a_block_may_wear_out_at_any_program),
        cmocka_unit_test(rot_under_a_running_store_is_told_when_its_block_was_cleaned),
    };
    return cmocka_run_group_tests_name("firmware/store_read_fault", tests, NULL, NULL);
}
