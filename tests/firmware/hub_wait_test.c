/* What an item says it waits for, phone by phone, and which ends of attempts are always tried
 * again.
 */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static const struct rig_order one = {0};
static const struct rig_order outside = {.capability = RIG_OUTSIDE};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static const char *wait_of(uint32_t process) {
    return hub_wait_name(hub_process_wait(&rig.hub, process));
}

/* ---- waits ---- */

static void seconds_of_a_phone_are_waited_for_whatever_the_others_do(void **state) {
    (void)state;
    const struct budget_limit limit = {{0, 60, 0}};
    uint32_t spent = rig_phone(&rig, "A");
    uint32_t busy = rig_phone(&rig, "B");
    uint32_t gone = rig_phone(&rig, "C");
    (void)rig_submit(&rig, &(struct rig_order){.phones = &busy});
    rig_phone_event(&rig, gone, PHONE_ON_DETACHED);
    hub_phone_budget(&rig.hub, &limit);
    budget_use(&rig.hub.phones[spent].budget, BUDGET_SECONDS, rig.clock.mono_ms, 60);
    uint32_t process = rig_submit(&rig, &one);
    assert_string_equal(wait_of(process), "waiting_for_phone_budget");
    rig_advance(&rig, UINT64_C(3600000));
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
}

static void only_power_cycles_are_no_reason_to_wait(void **state) {
    (void)state;
    const struct budget_limit limit = {{0, 0, 1}};
    uint32_t phone = rig_phone(&rig, "A");
    hub_phone_budget(&rig.hub, &limit);
    budget_use(&rig.hub.phones[phone].budget, BUDGET_POWER_CYCLES, rig.clock.mono_ms, 1);
    (void)rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(hub_attempt_power_cycle(&rig.hub, phone, start.token), STATUS_FULL);
}

static void a_free_phone_is_a_matter_of_turns(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    assert_string_equal(wait_of(rig_submit(&rig, &one)), "waiting_for_turn");
    assert_string_equal(wait_of(rig_submit(&rig, &outside)), "waiting_for_worker");
}

static void who_is_leased_waits_for_nothing_and_has_dropped_nothing(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w", "", 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_LEASED);
    assert_int_equal(hub_item_wait(&rig.hub, claimed.items[0]), HUB_WAIT_NONE);
    assert_int_equal(hub_item_dropped(&rig.hub, claimed.items[0]), 0);
}

/* ---- ends ---- */

/* The capability names no category as one to be retried. */
static void retry_nothing(enum rig_capability which) {
    struct capability capability = rig.hub.capabilities[which];
    capability.retryable = 0;
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
}

static void what_the_capability_does_not_name_is_not_tried_again(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    retry_nothing(RIG_WORK);
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED);
}

static void a_timeout_a_lost_phone_and_a_restart_are_tried_again_all_the_same(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    retry_nothing(RIG_WORK);
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, RIG_ATTEMPT_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_TIMEOUT);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
    rig_advance(&rig, 8000);
    (void)rig_begin(&rig);
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
    process = rig_submit(&rig, &one);
    rig_phone_event(&rig, phone, PHONE_ON_ATTACHED);
    rig_phone_event(&rig, phone, PHONE_ON_HANDSHAKE);
    rig_settle(&rig);
    (void)rig_begin(&rig);
    rig_restart(&rig, true);
    retry_nothing(RIG_WORK);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
}

static void a_lease_that_expired_is_tried_again_all_the_same(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    retry_nothing(RIG_OUTSIDE);
    uint32_t process = rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w", "", 1);
    struct hub_worker worker = rig_worker(&rig, "w", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    rig_advance(&rig, RIG_LEASE_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_EXPIRE);
    rig_advance(&rig, RIG_GRACE_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
}

/* What no record holds is left out; the end itself counts. */
static void a_result_longer_than_a_record_is_left_out(void **state) {
    (void)state;
    static uint8_t text[16384];
    memset(text, '1', sizeof text);
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    const struct record_attempt end = {
        .outcome = RECORD_SUCCESS, .message = bytes_of("done"), .result = {text, sizeof text}};
    struct record_attempt kept;
    rig_commit(&rig);
    assert_int_equal(hub_attempt_end(&rig.hub, start.phone, start.token, &end), STATUS_OK);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_COMPLETED);
    rig_read_attempt(&rig, process, 1, &kept);
    assert_int_equal(kept.result.size, 0);
    assert_int_equal(kept.message.size, 4);
}

/* A worker that asks after its time, before the hub has looked. */
static void a_heartbeat_after_the_time_says_that_none_is_left(void **state) {
    (void)state;
    struct hub_heartbeat answer;
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w", "", 1);
    struct hub_worker worker = rig_worker(&rig, "w", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    rig.clock.mono_ms += RIG_ATTEMPT_MS + 1;
    hub_set_clock(&rig.hub, &rig.clock);
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, UINT32_MAX, &answer), STATUS_OK);
    assert_true(answer.expires_in_ms == 0);
}

/* Two reviews one after the other: the second asks for nothing new. */
static void a_second_review_changes_nothing(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_REVIEW});
    struct hub_start start = rig_begin(&rig);
    for (uint32_t done = 1; done <= 2; done++) {
        const struct record_attempt so_far = {.actions_done = done};
        rig_commit(&rig);
        assert_int_equal(hub_attempt_review(&rig.hub, start.phone, start.token, &so_far),
                         STATUS_OK);
        assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_SUSPEND);
        assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_REVIEW);
    }
}

/* An hour later what a worker's attempt took of its budget has come back. */
static void a_workers_attempt_of_more_than_an_hour_is_not_counted_again(void **state) {
    (void)state;
    struct capability capability = rig.hub.capabilities[RIG_OUTSIDE];
    capability.attempt_ms = 7200000;
    capability.lease_ms = 7200000;
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w", "", 1);
    struct hub_worker worker = rig_worker(&rig, "w", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    rig_advance(&rig, 5000000);
    rig_restart(&rig, true);
    assert_true(rig.hub.phones[0].lease.budget_ms == TIMER_NEVER);
    assert_int_equal(rig.hub.phones[0].lease.budget_at_ms, 0);
}

static void actions_of_an_external_capability_are_counted(void **state) {
    (void)state;
    struct capability capability = rig.hub.capabilities[RIG_OUTSIDE];
    struct hub_lease lease = {0};
    capability.action_count = 4;
    hub_lease_set_actions(&lease, &capability);
    assert_int_equal(lease.action_count, 4);
    capability.action_count = 0;
    hub_lease_set_actions(&lease, &capability);
    assert_int_equal(lease.action_count, 1); /* all of it is one */
}

static void an_account_has_no_delete_character(void **state) {
    (void)state;
    static const char *const accounts[] = {"a\x7f"};
    struct hub_accepted accepted;
    const struct rig_order order = {.items = 1, .accounts = accounts};
    assert_int_equal(rig_accept(&rig, &order, &accepted), STATUS_MALFORMED);
}

static void a_phone_may_leave_without_a_reason(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    assert_string_equal(rig.hub.phones[phone].reason, "why");
    assert_int_equal(hub_phone_event(&rig.hub, phone, PHONE_ON_DETACHED, NULL), STATUS_OK);
    assert_string_equal(rig.hub.phones[phone].reason, "");
}

static void nothing_is_due_before_the_first_step_but_timers(void **state) {
    (void)state;
    rig_restart(&rig, true);
    assert_true(hub_deadline_ms(&rig.hub) == TIMER_NEVER);
    hub_step(&rig.hub);
    assert_true(hub_deadline_ms(&rig.hub) == rig.hub.scrub_due_ms);
}

int firmware_hub_wait_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(seconds_of_a_phone_are_waited_for_whatever_the_others_do, set_up),
        cmocka_unit_test_setup(only_power_cycles_are_no_reason_to_wait, set_up),
        cmocka_unit_test_setup(a_free_phone_is_a_matter_of_turns, set_up),
        cmocka_unit_test_setup(who_is_leased_waits_for_nothing_and_has_dropped_nothing, set_up),
        cmocka_unit_test_setup(what_the_capability_does_not_name_is_not_tried_again, set_up),
        cmocka_unit_test_setup(a_timeout_a_lost_phone_and_a_restart_are_tried_again_all_the_same,
                               set_up),
        cmocka_unit_test_setup(a_lease_that_expired_is_tried_again_all_the_same, set_up),
        cmocka_unit_test_setup(a_result_longer_than_a_record_is_left_out, set_up),
        cmocka_unit_test_setup(a_heartbeat_after_the_time_says_that_none_is_left, set_up),
        cmocka_unit_test_setup(a_second_review_changes_nothing, set_up),
        cmocka_unit_test_setup(a_workers_attempt_of_more_than_an_hour_is_not_counted_again, set_up),
        cmocka_unit_test_setup(actions_of_an_external_capability_are_counted, set_up),
        cmocka_unit_test_setup(an_account_has_no_delete_character, set_up),
        cmocka_unit_test_setup(a_phone_may_leave_without_a_reason, set_up),
        cmocka_unit_test_setup(nothing_is_due_before_the_first_step_but_timers, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_wait", tests, NULL, NULL);
}
