/* Cancel, deadline and shutdown, in every state an item can be in. */
#include "firmware/hub_internal.h"
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

static void assert_canceled(uint32_t process) {
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_CANCELED);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
    assert_true(rig_process(&rig, process)->image.cancel_requested.boot != 0);
    assert_int_equal(hub_cancel(&rig.hub, process), STATUS_TERMINAL);
}

static void cancels_what_waits_at_once(void **state) {
    (void)state;
    uint32_t ready = rig_submit(&rig, &one);
    uint32_t scheduled =
        rig_submit(&rig, &(struct rig_order){.not_before_ms = rig.clock.wall_ms + 1000});
    assert_int_equal(rig_item(&rig, ready, 1)->image.state, RECORD_READY);
    assert_int_equal(rig_item(&rig, scheduled, 1)->image.state, RECORD_SCHEDULED);
    rig_cancel(&rig, ready);
    rig_cancel(&rig, scheduled);
    assert_canceled(ready);
    assert_canceled(scheduled);
    (void)rig_phone(&rig, "A");
    rig_advance(&rig, 2000);
    rig_assert_no_start(&rig);
}

static void cancels_between_two_attempts(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
    rig_cancel(&rig, process);
    assert_canceled(process);
    rig_advance(&rig, 100000);
    rig_assert_no_start(&rig);
}

static void cancels_a_suspended_item(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_ONCE});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_SUSPENDED);
    rig_cancel(&rig, process);
    assert_canceled(process);
}

static void cancels_a_leased_item_and_frees_its_phone(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE});
    assert_int_equal(rig_claim(&rig, "w", "", 1).count, 1);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CLAIMED);
    rig_cancel(&rig, process);
    assert_canceled(process);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
}

static void a_running_item_is_canceled_when_it_has_stopped(void **state) {
    (void)state;
    static const enum record_outcome outcomes[] = {RECORD_STOPPED, RECORD_FAILURE,
                                                   RECORD_INTERRUPTED};
    uint32_t phone = rig_phone(&rig, "A");
    for (size_t i = 0; i < array_count(outcomes); i++) {
        uint32_t process = rig_submit(&rig, &one);
        struct hub_start start = rig_begin(&rig);
        rig_cancel(&rig, process);
        assert_int_equal(rig_process(&rig, process)->status, PROCESS_EXECUTING);
        assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_LEASED);
        uint32_t told;
        assert_true(hub_next_stop(&rig.hub, &told));
        uint64_t head = hub_head_seq(&rig.hub);
        rig_cancel(&rig, process); /* asked before: nothing more to do */
        assert_true(hub_head_seq(&rig.hub) == head);
        assert_int_equal(rig_end(&rig, &start, outcomes[i], RECORD_CATEGORY_NONE), STATUS_OK);
        assert_canceled(process);
        assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 0);
        assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    }
}

static void a_cancel_that_is_not_obeyed_is_forced(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_cancel(&rig, process);
    rig_advance(&rig, RIG_GRACE_MS - 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
    rig_advance(&rig, 1);
    assert_canceled(process);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_STALE_LEASE);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.outcome, RECORD_STOPPED);
    assert_memory_equal(attempt.code.data, "forced", 6);
}

static void a_success_before_it_has_stopped_beats_the_cancel(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_cancel(&rig, process);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
    process = rig_submit(&rig, &one);
    start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(hub_cancel(&rig.hub, process), STATUS_TERMINAL);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
}

static void what_was_canceled_before_it_began_never_begins(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t told;
    struct hub_accepted accepted;
    const struct rig_order once = {.capability = RIG_ONCE};
    assert_int_equal(rig_accept(&rig, &once, &accepted), STATUS_OK);
    hub_step(&rig.hub); /* leased and started, but not durable */
    assert_int_equal(hub_cancel(&rig.hub, accepted.process), STATUS_OK);
    rig_commit(&rig);
    rig_assert_no_start(&rig);
    assert_false(hub_next_stop(&rig.hub, &told));
    rig_settle(&rig);
    assert_canceled(accepted.process);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
}

static void cancel_replaces_a_weaker_stop_and_is_not_replaced(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    const struct rig_order order = {.deadline_ms = rig.clock.wall_ms + RIG_ATTEMPT_MS + 1};
    uint32_t process = rig_submit(&rig, &order);
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, RIG_ATTEMPT_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_TIMEOUT);
    rig_advance(&rig, 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_DEADLINE);
    rig_cancel(&rig, process);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_CANCEL);
    rig_advance(&rig, 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_CANCEL);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_OK);
    assert_canceled(process);
}

static void a_group_partly_done_is_cancelled_as_a_whole(void **state) {
    (void)state;
    const uint32_t phones[] = {rig_phone(&rig, "A"), rig_phone(&rig, "B")};
    uint32_t process = rig_submit(&rig, &(struct rig_order){.phones = phones, .items = 2});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    start = rig_begin(&rig);
    rig_cancel(&rig, process);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
    assert_int_equal(rig_process(&rig, process)->counts.by_state[RECORD_COMPLETED], 1);
}

static void a_deadline_fails_what_waits_and_stops_what_runs(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    const uint32_t phones[] = {phone, phone};
    const struct rig_order order = {
        .phones = phones, .items = 2, .deadline_ms = rig.clock.wall_ms + 5000};
    uint32_t process = rig_submit(&rig, &order);
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, 4999);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_NONE);
    rig_advance(&rig, 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_DEADLINE);
    assert_int_equal(rig_item(&rig, process, 2)->image.state, RECORD_FAILED);
    assert_int_equal(rig_item(&rig, process, 2)->image.category, RECORD_CATEGORY_DEADLINE);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED);
    assert_int_equal(rig_item(&rig, process, 1)->image.category, RECORD_CATEGORY_DEADLINE);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DEAD_LETTER);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.category, RECORD_CATEGORY_DEADLINE);
}

static void a_deadline_already_passed_plans_nothing(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.deadline_ms = rig.clock.wall_ms - 1});
    rig_assert_no_start(&rig);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_NO_TARGET);
    assert_int_equal(rig_process(&rig, process)->image.flags,
                     RECORD_PLANNED | RECORD_PAST_DEADLINE);
    assert_int_equal(rig_process(&rig, process)->first_item, HUB_NONE);
    assert_int_not_equal(rig_process(&rig, process)->end_seq, 0);
}

static void an_item_that_would_wait_past_its_deadline_fails_in_the_same_group(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.deadline_ms = rig.clock.wall_ms + 5});
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, 5);
    const struct record_attempt end = {.outcome = RECORD_FAILURE,
                                       .category = RECORD_CATEGORY_EXIT_CODE};
    assert_int_equal(hub_attempt_end(&rig.hub, start.phone, start.token, &end), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DEAD_LETTER);
}

static void times_of_day_wait_until_the_clock_is_known(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    rig.clock.wall_ms = 0;
    hub_set_clock(&rig.hub, &rig.clock);
    uint32_t later = rig_submit(&rig, &(struct rig_order){.not_before_ms = 1800000000000});
    uint32_t late = rig_submit(&rig, &(struct rig_order){.deadline_ms = 1700000000000 - 1});
    assert_int_equal(rig_item(&rig, later, 1)->image.state, RECORD_SCHEDULED);
    struct hub_start start = rig_begin(&rig);
    assert_true(start.process == rig_process(&rig, late)->number);
    rig_advance(&rig, 50000);
    assert_int_equal(rig_item(&rig, late, 1)->image.stop, RECORD_STOP_NONE);
    rig.clock.wall_ms = 1800000000000 - 2000;
    hub_set_clock(&rig.hub, &rig.clock);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, late, 1)->image.stop, RECORD_STOP_DEADLINE);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_OK);
    assert_int_equal(rig_item(&rig, later, 1)->image.state, RECORD_SCHEDULED);
    rig_advance(&rig, 2000);
    start = rig_begin(&rig);
    assert_true(start.process == rig_process(&rig, later)->number);
}

static void a_deadline_is_told_once_however_often_the_clock_is_set(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.deadline_ms = rig.clock.wall_ms + 5});
    (void)rig_begin(&rig);
    rig_advance(&rig, 5);
    uint64_t revision = rig_process(&rig, process)->revision;
    for (unsigned i = 0; i < 3; i++) {
        rig.clock.wall_ms += 5000;
        rig_advance(&rig, 1);
    }
    assert_true(rig_process(&rig, process)->revision == revision);
}

static void shutdown_returns_what_runs_uncounted_and_starts_nothing(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    hub_stop(&rig.hub, false);
    rig_settle(&rig);
    assert_int_equal(hub_busy_count(&rig.hub), 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_NONE);
    hub_stop(&rig.hub, true);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_SHUTDOWN);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_OK);
    const struct record_item *image = &rig_item(&rig, process, 1)->image;
    assert_int_equal(image->state, RECORD_READY);
    assert_int_equal(image->attempts_counted + image->faults + image->deliveries, 0);
    assert_int_equal(hub_busy_count(&rig.hub), 0);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    rig_advance(&rig, 100000);
    rig_assert_no_start(&rig);
}

int firmware_hub_stop_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(cancels_what_waits_at_once, set_up),
        cmocka_unit_test_setup(cancels_between_two_attempts, set_up),
        cmocka_unit_test_setup(cancels_a_suspended_item, set_up),
        cmocka_unit_test_setup(cancels_a_leased_item_and_frees_its_phone, set_up),
        cmocka_unit_test_setup(a_running_item_is_canceled_when_it_has_stopped, set_up),
        cmocka_unit_test_setup(a_cancel_that_is_not_obeyed_is_forced, set_up),
        cmocka_unit_test_setup(a_success_before_it_has_stopped_beats_the_cancel, set_up),
        cmocka_unit_test_setup(what_was_canceled_before_it_began_never_begins, set_up),
        cmocka_unit_test_setup(cancel_replaces_a_weaker_stop_and_is_not_replaced, set_up),
        cmocka_unit_test_setup(a_group_partly_done_is_cancelled_as_a_whole, set_up),
        cmocka_unit_test_setup(a_deadline_fails_what_waits_and_stops_what_runs, set_up),
        cmocka_unit_test_setup(a_deadline_already_passed_plans_nothing, set_up),
        cmocka_unit_test_setup(an_item_that_would_wait_past_its_deadline_fails_in_the_same_group,
                               set_up),
        cmocka_unit_test_setup(times_of_day_wait_until_the_clock_is_known, set_up),
        cmocka_unit_test_setup(a_deadline_is_told_once_however_often_the_clock_is_set, set_up),
        cmocka_unit_test_setup(shutdown_returns_what_runs_uncounted_and_starts_nothing, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_stop", tests, NULL, NULL);
}
