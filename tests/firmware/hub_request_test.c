/* Idempotency, capacity, eviction: what is accepted, what is refused, what is forgotten. */
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static const struct rig_order one = {0};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static uint32_t finish_one(const char *key) {
    uint32_t process = rig_submit(&rig, &(struct rig_order){.key = key, .body = "1"});
    rig_cancel(&rig, process);
    return process;
}

static void assert_duplicate(const char *key, const char *body, uint64_t number, bool differs) {
    struct hub_accepted accepted;
    uint64_t head = hub_head_seq(&rig.hub);
    const struct rig_order order = {.key = key, .body = body};
    assert_int_equal(rig_accept(&rig, &order, &accepted), STATUS_OK);
    assert_true(accepted.is_duplicate);
    assert_int_equal(accepted.differs, differs);
    assert_true(accepted.number == number);
    assert_true(hub_head_seq(&rig.hub) == head);
}

static void the_same_key_gives_the_same_process(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &(struct rig_order){.key = "k", .body = "1"});
    uint64_t number = rig_process(&rig, process)->number;
    assert_duplicate("k", "1", number, false);
    assert_duplicate("k", "2", number, true);
    rig_cancel(&rig, process);
    assert_duplicate("k", "1", number, false);
    uint32_t other = rig_submit(&rig, &(struct rig_order){.key = "l", .body = "1"});
    assert_true(rig_process(&rig, other)->number != number);
    assert_true(rig.hub.counters.duplicates == 3);
}

static void requests_without_a_key_never_match(void **state) {
    (void)state;
    uint32_t a = rig_submit(&rig, &one);
    uint32_t b = rig_submit(&rig, &one);
    assert_true(a != b);
    assert_true(rig_process(&rig, a)->number + 1 == rig_process(&rig, b)->number);
}

static void a_key_outlives_its_process_and_a_restart(void **state) {
    (void)state;
    uint64_t number = rig_process(&rig, finish_one("k"))->number;
    for (uint32_t i = 0; i < rig.hub.board->processes; i++) {
        (void)finish_one(NULL);
    }
    assert_int_equal(hub_process_find(&rig.hub, number), HUB_NONE);
    assert_duplicate("k", "1", number, false);
    assert_duplicate("k", "2", number, true);
    struct hub_accepted accepted;
    const struct rig_order order = {.key = "k", .body = "1"};
    for (unsigned i = 0; i < 3; i++) {
        rig_restart(&rig, i != 1);
        assert_int_equal(rig_accept(&rig, &order, &accepted), STATUS_OK);
        assert_true(accepted.is_duplicate && accepted.number == number);
        assert_int_equal(accepted.process, HUB_NONE);
        assert_int_equal(accepted.status, PROCESS_CANCELLED);
        rig_settle(&rig);
    }
    rig_advance(&rig, UINT64_C(7) * 24 * 3600 * 1000 - 5000);
    assert_duplicate("k", "1", number, false);
    rig_advance(&rig, 10000);
    (void)rig_submit(&rig, &order);
}

enum { CLOCK_CHIP = 1, SYNCHRONISED = 2 };

/* Seven days have gone by when the wall clocks of both boots are to be believed, or this boot's own
 * clock says so; and never by a wall clock that was set wrong. */
static void a_wall_clock_that_jumps_takes_no_key_away(void **state) {
    (void)state;
    const int64_t day = 24 * 3600 * 1000;
    const struct {
        uint8_t before, after;
        int64_t jump_ms;
        bool is_kept;
    } cases[] = {
        {SYNCHRONISED, SYNCHRONISED, 6 * day, true},
        {SYNCHRONISED, SYNCHRONISED, 8 * day, false}, /* it was off so long */
        {SYNCHRONISED, SYNCHRONISED, -8 * day, true},
        {SYNCHRONISED, CLOCK_CHIP, 8 * day, true},
        {CLOCK_CHIP, SYNCHRONISED, 8 * day, true},
        {CLOCK_CHIP, CLOCK_CHIP, 4000 * day, true},
        {CLOCK_CHIP, CLOCK_CHIP, -4000 * day, true},
        {0, SYNCHRONISED, 0, true},
        {SYNCHRONISED, 0, 0, true},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        rig_start(&rig);
        rig.clock.quality = cases[i].before;
        rig.clock.wall_ms = cases[i].before == 0 ? 0 : rig.clock.wall_ms;
        rig_advance(&rig, 1);
        uint64_t number = rig_process(&rig, finish_one("k"))->number;
        for (uint32_t p = 0; p < rig.hub.board->processes; p++) {
            (void)finish_one(NULL);
        }
        rig.clock.wall_ms = cases[i].after == 0 ? 0 : 1700000000000 + (uint64_t)cases[i].jump_ms;
        rig.clock.quality = cases[i].after;
        rig_restart(&rig, false);
        rig_settle(&rig);
        struct hub_accepted accepted;
        const struct rig_order order = {.key = "k", .body = "1"};
        assert_int_equal(rig_accept(&rig, &order, &accepted), STATUS_OK);
        assert_int_equal(accepted.is_duplicate, cases[i].is_kept);
        if (cases[i].is_kept) {
            assert_true(accepted.number == number);
            rig_advance(&rig, (uint64_t)(7 * day)); /* of this boot: no clock is needed */
            (void)rig_submit(&rig, &order);
        }
    }
}

static void the_oldest_kept_key_gives_way_and_is_counted(void **state) {
    (void)state;
    char key[2] = "a";
    uint64_t numbers[64];
    uint32_t count = rig.hub.board->keys + 1 + rig.hub.board->processes;
    for (uint32_t i = 0; i < count; i++) {
        key[0] = (char)('a' + i);
        numbers[i] = rig_process(&rig, finish_one(key))->number;
        if (i == count / 2) {
            rig_restart(&rig, true); /* the ring goes on where it was */
        }
    }
    assert_true(rig.hub.counters.keys_dropped == 1);
    for (uint32_t i = 1; i < count; i++) {
        key[0] = (char)('a' + i);
        assert_duplicate(key, "1", numbers[i], false);
    }
    (void)rig_submit(&rig, &(struct rig_order){.key = "a", .body = "1"});
}

static void a_full_table_refuses_and_leaves_nothing_behind(void **state) {
    (void)state;
    static struct rig before;
    for (uint32_t i = 0; i < rig.hub.board->processes; i++) {
        (void)rig_submit(&rig, &one);
    }
    before = rig;
    struct hub_accepted accepted;
    const struct rig_order keyed = {.key = "k", .body = "1"};
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_FULL);
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_FULL);
    before.hub.counters.refused_full += 2;
    assert_memory_equal(&before.hub, &rig.hub, sizeof rig.hub);
    rig_cancel(&rig, 3);
    uint64_t number = rig_process(&rig, 3)->number;
    assert_int_equal(rig_submit(&rig, &keyed), 3);
    assert_int_equal(hub_process_find(&rig.hub, number), HUB_NONE);
}

static void refused_for_items_evicts_nobody(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        (void)finish_one(NULL);
    }
    (void)rig_submit(&rig, &(struct rig_order){.items = 16});
    (void)rig_submit(&rig, &(struct rig_order){.items = 12});
    struct hub_accepted accepted;
    const struct rig_order wide = {.items = 5};
    assert_int_equal(rig_accept(&rig, &wide, &accepted), STATUS_FULL);
    assert_true(rig.hub.counters.evicted == 0);
    const struct rig_order fits = {.items = 4};
    (void)rig_submit(&rig, &fits);
    assert_true(rig.hub.counters.evicted == 3);
}

static void one_wide_request_evicts_as_many_as_it_needs(void **state) {
    (void)state;
    char key[2] = "a";
    for (uint32_t i = 0; i < rig.hub.board->processes; i++) {
        key[0] = (char)('a' + i);
        uint32_t process = rig_submit(&rig, &(struct rig_order){.items = 2, .key = key});
        rig_cancel(&rig, process);
    }
    uint32_t process = rig_submit(&rig, &(struct rig_order){.items = 16, .input_bytes = 900});
    assert_int_equal(rig_process(&rig, process)->image.item_count, 16);
    assert_true(rig.hub.counters.evicted == 8);
}

static void only_what_upstream_has_stored_is_evicted(void **state) {
    (void)state;
    rig.hub.has_upstream = true;
    uint64_t acked = rig.hub.store.acked_seq;
    for (uint32_t i = 0; i < rig.hub.board->processes; i++) {
        (void)finish_one(NULL);
    }
    struct hub_accepted accepted;
    assert_int_equal(rig_accept(&rig, &one, &accepted), STATUS_FULL);
    uint64_t first_end = rig_process(&rig, rig.hub.oldest_finished)->end_seq;
    assert_true(first_end > acked);
    rig.hub.store.acked_seq = first_end;
    (void)rig_submit(&rig, &one);
    assert_true(rig.hub.counters.evicted == 1);
    assert_int_equal(rig_accept(&rig, &one, &accepted), STATUS_FULL);
}

static void finished_processes_make_room_in_the_store_too(void **state) {
    (void)state;
    struct hub_accepted accepted;
    const struct rig_order large = {.input_bytes = 4500, .capability = RIG_LONG};
    for (uint32_t i = 0; i < 8; i++) {
        rig_cancel(&rig, rig_submit(&rig, &(struct rig_order){.input_bytes = 4800}));
    }
    while (rig_accept(&rig, &large, &accepted) == STATUS_OK) {
        rig_settle(&rig);
        assert_true(pool_free_count(&rig.hub.process_pool) > 0); /* it is not the table */
    }
    assert_in_range(rig.hub.counters.evicted, 3, 8); /* the last refusal evicted nobody */
    /* What was accepted can always be ended, and then makes room in its turn. */
    for (uint32_t p = 0; p < rig.hub.board->processes; p++) {
        if (pool_is_used(&rig.hub.process_pool, p) && rig.hub.processes[p].end_seq == 0) {
            rig_cancel(&rig, p);
        }
    }
    (void)rig_submit(&rig, &large);
}

static void a_store_never_fills_however_much_was_finished(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 400; i++) {
        rig_cancel(&rig, rig_submit(&rig, &(struct rig_order){.input_bytes = 4800}));
    }
    assert_true(rig.hub.counters.evicted == 400 - rig.hub.board->processes);
}

static void a_request_no_record_may_hold_is_refused(void **state) {
    (void)state;
    struct hub_accepted accepted;
    static uint8_t large[40000];
    memset(large, 'x', sizeof large);
    uint64_t head = hub_head_seq(&rig.hub);
    struct record_request request = {.process_type = bytes_of("work"), .inputs = {large, 6000}};
    const struct hub_order order = {.request = &request, .item_count = 1};
    assert_int_equal(hub_accept(&rig.hub, &order, &accepted), STATUS_TOO_LARGE);
    request.inputs.size = sizeof large;
    assert_int_equal(hub_accept(&rig.hub, &order, &accepted), STATUS_TOO_LARGE);
    request.inputs = (struct bytes){(const uint8_t *)"\xff", 1};
    assert_int_equal(hub_accept(&rig.hub, &order, &accepted), STATUS_MALFORMED);
    request.inputs = (struct bytes){0};
    request.request_id = (struct bytes){large, RECORD_TEXT_MAX + 1};
    assert_int_equal(hub_accept(&rig.hub, &order, &accepted), STATUS_MALFORMED);
    assert_true(hub_head_seq(&rig.hub) == head);
    request.request_id.size = RECORD_TEXT_MAX;
    assert_int_equal(hub_accept(&rig.hub, &order, &accepted), STATUS_OK);
}

static void tokens_grow_even_when_the_last_leased_item_was_evicted(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    uint64_t number = rig_process(&rig, process)->number;
    rig_phone_event(&rig, 0, PHONE_ON_DETACHED);
    for (uint32_t i = 0; i < rig.hub.board->processes; i++) {
        (void)finish_one(NULL);
    }
    assert_int_equal(hub_process_find(&rig.hub, number), HUB_NONE);
    rig_restart(&rig, false);
    rig_settle(&rig);
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &one);
    struct hub_start later = rig_begin(&rig);
    assert_true(later.token > start.token);
    assert_true(later.process > number);
}

int firmware_hub_request_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_same_key_gives_the_same_process, set_up),
        cmocka_unit_test_setup(requests_without_a_key_never_match, set_up),
        cmocka_unit_test_setup(a_key_outlives_its_process_and_a_restart, set_up),
        cmocka_unit_test_setup(a_wall_clock_that_jumps_takes_no_key_away, set_up),
        cmocka_unit_test_setup(the_oldest_kept_key_gives_way_and_is_counted, set_up),
        cmocka_unit_test_setup(a_full_table_refuses_and_leaves_nothing_behind, set_up),
        cmocka_unit_test_setup(refused_for_items_evicts_nobody, set_up),
        cmocka_unit_test_setup(one_wide_request_evicts_as_many_as_it_needs, set_up),
        cmocka_unit_test_setup(only_what_upstream_has_stored_is_evicted, set_up),
        cmocka_unit_test_setup(finished_processes_make_room_in_the_store_too, set_up),
        cmocka_unit_test_setup(a_store_never_fills_however_much_was_finished, set_up),
        cmocka_unit_test_setup(a_request_no_record_may_hold_is_refused, set_up),
        cmocka_unit_test_setup(tokens_grow_even_when_the_last_leased_item_was_evicted, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_request", tests, NULL, NULL);
}
