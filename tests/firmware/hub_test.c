/* The life of one request from acceptance to its end. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_history history;
static const struct rig_order one = {0};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static void assert_history(uint32_t process, const enum record_event *events, uint32_t count) {
    rig_read_history(&rig, process, &history);
    for (uint32_t i = 0; i < count && i < history.count; i++) {
        assert_int_equal(history.event[i], events[i]);
    }
    assert_int_equal(history.count, count);
}

static void a_request_is_leased_started_stepped_and_finished(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.phone, phone);
    assert_int_equal(start.attempt, 1);
    assert_int_equal(start.actions_done, 0);
    assert_int_equal(start.item_number, 1);
    assert_true(start.process == rig_process(&rig, process)->number);
    assert_true(start.token == (UINT64_C(1) << 40 | 1));
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_LEASED);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_EXECUTING);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.actions_done, 1);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    static const enum record_event events[] = {
        RECORD_ACCEPTED_EVENT,      RECORD_PLANNED_EVENT,   RECORD_PLANNED_EVENT,
        RECORD_LEASED_EVENT,        RECORD_STARTED_EVENT,   RECORD_STEP_EVENT,
        RECORD_ATTEMPT_ENDED_EVENT, RECORD_SUCCEEDED_EVENT, RECORD_FINISHED_EVENT,
    };
    assert_history(process, events, array_count(events));
    static const uint8_t statuses[] = {7, 7, 7, 5, 4, 4, 4, 9, 9};
    assert_memory_equal(history.status, statuses, sizeof statuses);
}

static void milestones_are_written_once_and_in_order(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, 10);
    assert_int_equal(hub_attempt_touched(&rig.hub, start.phone, start.token), STATUS_OK);
    rig_advance(&rig, 10);
    assert_int_equal(hub_attempt_touched(&rig.hub, start.phone, start.token), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    const struct hub_process *of = rig_process(&rig, process);
    const struct hub_item *item = rig_item(&rig, process, 1);
    assert_true(of->image.created.mono_ms == 1000 && of->image.queued.mono_ms == 1000);
    assert_true(item->image.started.mono_ms == 1000);
    assert_true(item->image.first_device.mono_ms == 1010);
    assert_true(of->image.finished.mono_ms == 1020);
    assert_true(of->image.finished.wall_ms == 1700000000020);
    assert_int_equal(of->image.finished.boot, 1);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_true(attempt.started.mono_ms == 1000 && attempt.ended.mono_ms == 1020);
    assert_memory_equal(attempt.phone_id.data, "A", 1);
}

static void nothing_is_started_before_it_is_durable(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    struct hub_accepted accepted;
    assert_int_equal(rig_accept(&rig, &one, &accepted), STATUS_OK);
    hub_step(&rig.hub);
    rig_assert_no_start(&rig);
    rig.flash.holds_sync = true;
    rig_commit(&rig);
    assert_int_equal(hub_poll(&rig.hub), STATUS_AGAIN);
    rig_assert_no_start(&rig);
    rig.flash.holds_sync = false;
    assert_int_equal(hub_poll(&rig.hub), STATUS_OK);
    assert_true(hub_durable_seq(&rig.hub) == hub_head_seq(&rig.hub));
    (void)rig_begin(&rig);
    rig_assert_no_start(&rig);
}

static void progress_only_grows_and_writes_nothing(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(hub_attempt_progress(&rig.hub, start.phone, start.token, 1, 40), STATUS_OK);
    assert_int_equal(hub_attempt_progress(&rig.hub, start.phone, start.token, 0, 30), STATUS_OK);
    assert_int_equal(hub_attempt_progress(&rig.hub, start.phone, start.token, 1, 101), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->progress_percent, 40);
    assert_int_equal(rig_item(&rig, process, 1)->step, 1);
    assert_true(hub_head_seq(&rig.hub) == head);
}

static void a_stale_token_is_refused_whatever_it_says(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    uint64_t head = hub_head_seq(&rig.hub);
    for (unsigned i = 0; i < 2; i++) {
        struct hub_start stale = start;
        stale.token += i == 0 ? 1 : UINT64_MAX;
        assert_int_equal(rig_end(&rig, &stale, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
        assert_int_equal(rig_step(&rig, &stale), STATUS_STALE_LEASE);
        assert_int_equal(hub_attempt_touched(&rig.hub, phone, stale.token), STATUS_STALE_LEASE);
        assert_int_equal(hub_attempt_progress(&rig.hub, phone, stale.token, 1, 1),
                         STATUS_STALE_LEASE);
    }
    assert_true(hub_head_seq(&rig.hub) == head);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
}

static void every_lease_has_a_larger_token(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    uint64_t last = 0;
    for (unsigned i = 0; i < 10; i++) {
        (void)rig_submit(&rig, &one);
        struct hub_start start = rig_begin(&rig);
        assert_true(start.token > last);
        last = start.token;
        assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    }
}

static void a_group_is_done_partial_or_dead_as_its_items_are(void **state) {
    (void)state;
    const uint32_t phones[] = {rig_phone(&rig, "A"), rig_phone(&rig, "B"), rig_phone(&rig, "C")};
    for (uint32_t failures = 0; failures <= 3; failures++) {
        uint32_t process = rig_submit(&rig, &(struct rig_order){.phones = phones, .items = 3});
        bool seen[3] = {false};
        for (uint32_t i = 0; i < 3; i++) {
            struct hub_start start = rig_begin(&rig);
            assert_int_equal(start.phone, phones[start.item_number - 1]);
            seen[start.item_number - 1] = true;
            bool fails = i < failures;
            assert_int_equal(rig_end(&rig, &start, fails ? RECORD_FAILURE : RECORD_SUCCESS,
                                     fails ? RECORD_CATEGORY_CAPABILITY : 0),
                             STATUS_OK);
            assert_int_equal(rig_process(&rig, process)->end_seq != 0, i == 2);
        }
        assert_true(seen[0] && seen[1] && seen[2]);
        static const uint8_t expected[] = {PROCESS_DONE, PROCESS_PARTIAL, PROCESS_PARTIAL,
                                           PROCESS_DEAD_LETTER};
        assert_int_equal(rig_process(&rig, process)->status, expected[failures]);
    }
}

/* The buffers may differ, the tables may not. */
static void assert_tables_equal(const struct rig *before) {
    size_t buffers = (size_t)(rig.hub.record_buffer - rig.memory);
    size_t behind = (size_t)(rig.hub.read_buffer - rig.memory) + rig.hub.record_bytes;
    assert_memory_equal(before->memory, rig.memory, buffers);
    assert_memory_equal(before->memory + behind, rig.memory + behind, sizeof rig.memory - behind);
}

static void again_from_a_full_group_changes_nothing(void **state) {
    (void)state;
    static struct rig before;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t other = rig_phone(&rig, "B");
    uint32_t running = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    struct hub_accepted accepted;
    const struct rig_order wide = {.items = 2, .input_bytes = 900};
    rig.flash.holds_sync = true;
    while (store_room(&rig.hub.store) > 2500) {
        assert_int_equal(rig_accept(&rig, &wide, &accepted), STATUS_OK);
    }
    enum phone_event event = PHONE_ON_DETACHED;
    while (hub_phone_event(&rig.hub, other, event, "") == STATUS_OK) {
        event = event == PHONE_ON_DETACHED ? PHONE_ON_ATTACHED : PHONE_ON_DETACHED;
    }
    hub_step(&rig.hub);
    rig.keeps_group = true;
    before = rig;
    assert_int_equal(rig_accept(&rig, &wide, &accepted), STATUS_AGAIN);
    const struct record_attempt end = {.outcome = RECORD_SUCCESS, .actions_done = 1};
    assert_int_equal(hub_attempt_end(&rig.hub, phone, start.token, &end), STATUS_AGAIN);
    assert_int_equal(hub_attempt_step(&rig.hub, phone, start.token, &end), STATUS_AGAIN);
    assert_int_equal(hub_cancel(&rig.hub, running), STATUS_AGAIN);
    assert_int_equal(hub_phone_event(&rig.hub, phone, PHONE_ON_SILENT, ""), STATUS_AGAIN);
    uint32_t p;
    assert_int_equal(hub_phone_identify(&rig.hub, bytes_of("C"), bytes_of(""), bytes_of(""), &p),
                     STATUS_AGAIN);
    hub_step(&rig.hub);
    assert_memory_equal(&before.hub, &rig.hub, sizeof rig.hub);
    assert_tables_equal(&before);
    rig.flash.holds_sync = false;
    rig_commit(&rig);
    assert_int_equal(hub_attempt_end(&rig.hub, phone, start.token, &end), STATUS_OK);
}

/* A timer whose records never fit would never run: the largest fan-out's end, and the largest
 * record beside a transition, fit an empty group of every board. */
static void every_board_has_room_for_what_a_timer_may_write(void **state) {
    (void)state;
    for (size_t i = 0; board_list[i] != NULL; i++) {
        const struct board *board = board_list[i];
        struct hub hub = {.board = board, .record_bytes = board->payload_bytes + 4096};
        struct hub_process process = {
            .counts = {.by_state = {[RECORD_RETRY_WAIT] = (uint16_t)board->items_per_request}}};
        hub.processes = &process;
        uint32_t empty_room = board->frame_bytes - STORE_FRAME_BYTES - STORE_RECORD_BYTES - 64;
        assert_true(hub_process_end_room(&hub, 0) <= empty_room);
        assert_true(HUB_TRANSITION_BYTES + HUB_RECORD_BYTES + hub_record_max(&hub) <= empty_room);
        assert_true(hub_record_max(&hub) > board->payload_bytes + HUB_RECORD_BYTES);
    }
}

int firmware_hub_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_request_is_leased_started_stepped_and_finished, set_up),
        cmocka_unit_test_setup(milestones_are_written_once_and_in_order, set_up),
        cmocka_unit_test_setup(nothing_is_started_before_it_is_durable, set_up),
        cmocka_unit_test_setup(progress_only_grows_and_writes_nothing, set_up),
        cmocka_unit_test_setup(a_stale_token_is_refused_whatever_it_says, set_up),
        cmocka_unit_test_setup(every_lease_has_a_larger_token, set_up),
        cmocka_unit_test_setup(a_group_is_done_partial_or_dead_as_its_items_are, set_up),
        cmocka_unit_test_setup(again_from_a_full_group_changes_nothing, set_up),
        cmocka_unit_test(every_board_has_room_for_what_a_timer_may_write),
    };
    return cmocka_run_group_tests_name("firmware/hub", tests, NULL, NULL);
}
