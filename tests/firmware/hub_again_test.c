/* What no longer fits the open group: AGAIN, nothing is changed, and the same call after a commit
 * does it. What nobody calls for is done by the next step. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static uint32_t noisy; /* a phone whose events fill the group */
static uint64_t head;
static const struct rig_order one = {0};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    assert_int_equal(
        hub_phone_identify(&rig.hub, bytes_of("N"), bytes_of(""), bytes_of(""), &noisy), STATUS_OK);
    rig_settle(&rig);
    return 0;
}

/* The disk is slow, and the group full to its last record. */
static void fill(void) {
    rig.flash.holds_sync = true;
    enum status status;
    do {
        bool is_absent = rig.hub.phones[noisy].state == RECORD_PHONE_ABSENT;
        status = hub_phone_event(&rig.hub, noisy, is_absent ? PHONE_ON_ATTACHED : PHONE_ON_DETACHED,
                                 "noise");
    } while (status == STATUS_OK);
    assert_int_equal(status, STATUS_AGAIN);
    head = hub_head_seq(&rig.hub);
}

static void drain(void) {
    assert_true(hub_head_seq(&rig.hub) == head); /* nothing was written meanwhile */
    rig.flash.holds_sync = false;
    rig_commit(&rig);
}

#define again_then_ok(call)                                                                        \
    do {                                                                                           \
        fill();                                                                                    \
        assert_int_equal(call, STATUS_AGAIN);                                                      \
        drain();                                                                                   \
        assert_int_equal(call, STATUS_OK);                                                         \
    } while (0)

static void controls_wait_for_room(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &one);
    again_then_ok(hub_suspend(&rig.hub, process));
    again_then_ok(hub_resume(&rig.hub, process));
    again_then_ok(hub_cancel(&rig.hub, process));
    (void)rig_phone(&rig, "A");
    process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    again_then_ok(hub_retry(&rig.hub, process));
}

static void settling_waits_for_room(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    const struct rig_order once = {.capability = RIG_ONCE};
    uint32_t process = rig_submit(&rig, &once);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_UNCERTAIN);
    again_then_ok(hub_settle(&rig.hub, process, 1, true));
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_COMPLETED);
}

static void labels_wait_for_room(void **state) {
    (void)state;
    again_then_ok(hub_phone_label(&rig.hub, noisy, bytes_of("lab")));
    assert_string_equal(rig.hub.phones[noisy].labels, "lab");
}

static void a_power_cycle_waits_for_room(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    (void)rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    again_then_ok(hub_attempt_power_cycle(&rig.hub, phone, start.token));
}

/* The time is that of the touch, although its record came later. */
static void the_first_touch_is_exact_though_its_record_comes_later(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    fill();
    uint64_t touched_ms = rig.clock.mono_ms;
    assert_int_equal(hub_attempt_touched(&rig.hub, phone, start.token), STATUS_OK);
    hub_step(&rig.hub);
    drain();
    assert_int_equal(rig.hub.touches_waiting, 1);
    rig_advance(&rig, 5000);
    assert_int_equal(rig.hub.touches_waiting, 0);
    assert_true(rig_item(&rig, process, 1)->image.first_device.mono_ms == touched_ms);
    rig_restart(&rig, true);
    assert_true(rig_item(&rig, process, 1)->image.first_device.mono_ms == touched_ms);
}

static void a_touch_that_waits_is_forgotten_with_its_lease(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    (void)rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    fill();
    assert_int_equal(hub_attempt_touched(&rig.hub, phone, start.token), STATUS_OK);
    drain();
    const struct record_attempt end = {.outcome = RECORD_SUCCESS, .actions_done = 3};
    assert_int_equal(hub_attempt_end(&rig.hub, phone, start.token, &end), STATUS_OK);
    assert_int_equal(rig.hub.touches_waiting, 0);
    rig_settle(&rig);
}

static void what_workers_report_waits_for_room(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    const struct rig_order outside = {.capability = RIG_OUTSIDE};
    (void)rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w1", "c1", 1);
    struct hub_worker worker = rig_worker(&rig, "w1", claimed.items[0]);
    again_then_ok(hub_worker_release(&rig.hub, &worker));
    rig_settle(&rig);
    claimed = rig_claim(&rig, "w1", "c2", 1);
    worker = rig_worker(&rig, "w1", claimed.items[0]);
    again_then_ok(hub_worker_start(&rig.hub, &worker));
    const struct record_attempt end = {.outcome = RECORD_SUCCESS, .result = bytes_of("{}")};
    again_then_ok(hub_worker_end(&rig.hub, &worker, &end, HUB_RETRYABLE_BY_POLICY));
}

static void a_review_waits_for_room(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    const struct rig_order review = {.capability = RIG_REVIEW};
    (void)rig_submit(&rig, &review);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    const struct record_attempt so_far = {.actions_done = 2};
    again_then_ok(hub_attempt_review(&rig.hub, phone, start.token, &so_far));
}

/* Deadlines, retries and what a phone's loss ends: all of it is done once there is room. */
static void timers_run_when_there_is_room(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t running = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    const struct rig_order late = {.deadline_ms = rig.clock.wall_ms + 1000};
    uint32_t waiting = rig_submit(&rig, &late);
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    rig_commit(&rig);
    fill();
    rig.clock.mono_ms += 10000;
    rig.clock.wall_ms += 10000;
    hub_set_clock(&rig.hub, &rig.clock);
    hub_step(&rig.hub);
    assert_int_equal(rig_item(&rig, waiting, 1)->image.state, RECORD_READY);
    assert_int_equal(rig_item(&rig, running, 1)->image.state, RECORD_RUNNING);
    drain();
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, waiting, 1)->image.state, RECORD_FAILED);
    assert_int_equal(rig_item(&rig, running, 1)->image.state, RECORD_RETRY_WAIT);
}

static void recovery_goes_on_when_there_is_room(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    rig_restart(&rig, true);
    fill();
    hub_step(&rig.hub);
    assert_true(rig_item(&rig, process, 1)->needs_recovery);
    drain();
    hub_step(&rig.hub);
    assert_false(rig_item(&rig, process, 1)->needs_recovery);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
}

static void what_was_stopped_before_it_began_ends_when_there_is_room(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one); /* started, and nobody has begun it */
    assert_int_equal(hub_cancel(&rig.hub, process), STATUS_OK);
    fill();
    hub_step(&rig.hub);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
    drain();
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_CANCELED);
}

static void a_shutdown_asks_only_what_it_has_room_to_ask(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    fill();
    hub_stop(&rig.hub, true);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_NONE);
    drain();
    hub_stop(&rig.hub, true);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_SHUTDOWN);
}

/* The offset is written as soon as there is room: until then a restart does not know it. */
static void a_clock_that_was_set_is_recorded_when_there_is_room(void **state) {
    (void)state;
    fill();
    rig.clock.wall_ms += 7200000;
    hub_set_clock(&rig.hub, &rig.clock);
    uint64_t offset = rig.clock.wall_ms - rig.clock.mono_ms;
    assert_true(hub_boot_offset(&rig.hub, rig.hub.image.boot) != offset);
    drain();
    hub_set_clock(&rig.hub, &rig.clock);
    assert_true(hub_boot_offset(&rig.hub, rig.hub.image.boot) == offset);
    assert_true(hub_boot_offset(&rig.hub, 999) == 0);
}

static void evictions_wait_for_room(void **state) {
    (void)state;
    const struct rig_order wide = {.items = 4};
    struct hub_accepted accepted;
    uint32_t process;
    do { /* until nothing more fits beside what has ended */
        process = rig_submit(&rig, &wide);
        rig_cancel(&rig, process);
    } while (pool_free_count(&rig.hub.item_pool) >= 4 &&
             pool_free_count(&rig.hub.process_pool) > 0);
    fill();
    rig.keeps_group = true;
    assert_int_equal(rig_accept(&rig, &wide, &accepted), STATUS_AGAIN);
    drain();
    rig.keeps_group = false;
    assert_int_equal(rig_accept(&rig, &wide, &accepted), STATUS_OK);
}

int firmware_hub_again_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(controls_wait_for_room, set_up),
        cmocka_unit_test_setup(settling_waits_for_room, set_up),
        cmocka_unit_test_setup(labels_wait_for_room, set_up),
        cmocka_unit_test_setup(a_power_cycle_waits_for_room, set_up),
        cmocka_unit_test_setup(the_first_touch_is_exact_though_its_record_comes_later, set_up),
        cmocka_unit_test_setup(a_touch_that_waits_is_forgotten_with_its_lease, set_up),
        cmocka_unit_test_setup(what_workers_report_waits_for_room, set_up),
        cmocka_unit_test_setup(a_review_waits_for_room, set_up),
        cmocka_unit_test_setup(timers_run_when_there_is_room, set_up),
        cmocka_unit_test_setup(recovery_goes_on_when_there_is_room, set_up),
        cmocka_unit_test_setup(what_was_stopped_before_it_began_ends_when_there_is_room, set_up),
        cmocka_unit_test_setup(a_shutdown_asks_only_what_it_has_room_to_ask, set_up),
        cmocka_unit_test_setup(a_clock_that_was_set_is_recorded_when_there_is_room, set_up),
        cmocka_unit_test_setup(evictions_wait_for_room, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_again", tests, NULL, NULL);
}
