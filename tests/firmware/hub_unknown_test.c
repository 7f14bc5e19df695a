/* Work whose capability's file is gone: it is served as far as its records say, and nothing that
 * only the capability could allow is done. */
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

/* The program starts again, and finds no capability at all. */
static void restart_without_capabilities(bool same_boot) {
    if (!same_boot) {
        rig.boot_id[0] += 1;
        rig.clock.mono_ms = 500;
    }
    rig.flash.is_syncing = false;
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    rig.hub.stop_grace_ms = RIG_GRACE_MS;
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_OK);
    hub_set_clock(&rig.hub, &rig.clock);
}

static struct hub_start begin_one(void) {
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &one);
    return rig_begin(&rig);
}

static void an_attempt_that_the_daemons_death_cut_off_is_not_tried_again(void **state) {
    (void)state;
    (void)begin_one();
    restart_without_capabilities(true);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, 0, 1)->image.state, RECORD_FAILED);
    assert_int_equal(rig_process(&rig, 0)->status, PROCESS_DEAD_LETTER);
}

static void an_attempt_that_a_power_loss_cut_off_waits_for_its_capability(void **state) {
    (void)state;
    (void)begin_one();
    restart_without_capabilities(false);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, 0, 1)->image.state, RECORD_READY);
    assert_string_equal(hub_wait_name(hub_process_wait(&rig.hub, 0)),
                        hub_wait_name(HUB_WAIT_CAPABILITY));
    (void)rig_phone(&rig, "A");
    rig_assert_no_start(&rig);
}

static void a_retry_that_waits_becomes_ready_and_waits_on(void **state) {
    (void)state;
    struct hub_start start = begin_one();
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_int_equal(rig_item(&rig, 0, 1)->image.state, RECORD_RETRY_WAIT);
    restart_without_capabilities(true);
    rig_advance(&rig, 20000);
    assert_int_equal(rig_item(&rig, 0, 1)->image.state, RECORD_READY);
    assert_int_equal(hub_process_wait(&rig.hub, 0), HUB_WAIT_CAPABILITY);
}

static void a_retry_is_planned_and_waits_for_its_capability(void **state) {
    (void)state;
    struct hub_start start = begin_one();
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    assert_int_equal(rig_process(&rig, 0)->status, PROCESS_DEAD_LETTER);
    restart_without_capabilities(true);
    assert_int_equal(rig_ask(&rig, hub_retry, 0), STATUS_OK);
    assert_int_equal(rig_item(&rig, 0, 2)->image.state, RECORD_READY);
    assert_int_equal(hub_process_wait(&rig.hub, 0), HUB_WAIT_CAPABILITY);
}

/* Neither its capability nor its phone is known, when the capability comes. */
static void a_capability_comes_for_an_attempt_whose_phone_is_unknown(void **state) {
    (void)state;
    static const uint8_t garbage[] = {0xff};
    (void)begin_one();
    struct capability capability = rig.hub.capabilities[RIG_WORK];
    (void)store_append(&rig.hub.store, (struct store_key){RECORD_PHONE, 0}, NULL,
                       (struct bytes){garbage, sizeof garbage});
    rig_commit(&rig);
    restart_without_capabilities(true);
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, 0, 1)->image.state, RECORD_RETRY_WAIT);
}

/* A worker's lease outlives the program, with the times that hold where no capability says any. */
static void a_workers_lease_outlives_its_capability(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    const struct rig_order outside = {.capability = RIG_OUTSIDE};
    uint32_t process = rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w1", "c1", 1);
    struct hub_worker worker = rig_worker(&rig, "w1", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    restart_without_capabilities(true);
    rig_settle(&rig);
    struct hub_heartbeat answer;
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, 200, &answer), STATUS_OK);
    assert_true(answer.expires_in_ms > 0 && answer.expires_in_ms <= HUB_LEASE_MS);
    assert_int_equal(rig_item(&rig, process, 1)->progress_percent, 0); /* 200 is no progress */
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, 40, &answer), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->progress_percent, 40);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_FAILURE, HUB_RETRYABLE_BY_POLICY),
                     STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED);
}

/* May be tried again, its worker says; how often, nobody does. */
static void a_failure_that_may_be_retried_is_the_last_without_a_capability(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    const struct rig_order outside = {.capability = RIG_OUTSIDE};
    uint32_t process = rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w1", "c1", 1);
    struct hub_worker worker = rig_worker(&rig, "w1", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    restart_without_capabilities(true);
    rig_settle(&rig);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_FAILURE, HUB_RETRYABLE_YES), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED);
    assert_int_equal(hub_item_dropped(&rig.hub, 0), 0);
}

/* What waits for the next hour's budget is resumed by the clock, whoever set the budget. */
static void an_item_suspended_for_a_budget_that_is_gone_is_resumed(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    const struct rig_order sparing = {.capability = RIG_SPARING};
    uint32_t process = rig_submit(&rig, &sparing);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(hub_attempt_power_cycle(&rig.hub, phone, start.token), STATUS_OK);
    assert_int_equal(hub_attempt_power_cycle(&rig.hub, phone, start.token), STATUS_FULL);
    rig_settle(&rig);
    restart_without_capabilities(true);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_SUSPENDED);
    rig_advance(&rig, 2 * 3600 * 1000);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_READY);
}

static void a_hub_takes_as_many_capabilities_as_its_board_has_room_for(void **state) {
    (void)state;
    struct capability capability = rig.hub.capabilities[RIG_WORK];
    while (rig.hub.capability_count < rig.hub.board->capabilities) {
        capability.name[0] = (char)('A' + rig.hub.capability_count);
        assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    }
    capability.name[0] = '!';
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_FULL);
    assert_int_equal(hub_capability_find(&rig.hub, bytes_of("!ork")), HUB_NONE);
    capability.name[0] = 'A' + RIG_CAPABILITIES;
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK); /* one it knows */
}

/* A direct order for a phone whose row cannot be read any more. */
static void an_item_for_a_phone_that_is_unknown_waits_outside_the_queues(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t other;
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    const struct rig_order direct = {.phones = &phone};
    uint32_t process = rig_submit(&rig, &direct);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(hub_phone_identify(&rig.hub, i == 0 ? bytes_of("Y") : bytes_of("Z"),
                                            bytes_of(""), bytes_of(""), &other),
                         STATUS_OK);
        rig_commit(&rig);
    }
    const struct store_slot *slot = store_slot(&rig.hub.store, (struct store_key){RECORD_PHONE, 0});
    rig.flash.cells[slot->where + 24] ^= 0x10;
    rig_restart(&rig, true);
    hub_step(&rig.hub);
    rig_commit(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_READY);
    assert_int_equal(hub_process_wait(&rig.hub, process), HUB_WAIT_CAPABILITY);
    assert_int_equal(hub_cancel(&rig.hub, process), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
}

/* A phone's budget of power cycles alone, told anew after a restart without the capability. */
static void a_phones_power_cycles_are_counted_whatever_the_capability(void **state) {
    (void)state;
    const struct budget_limit limit = {{0, 0, 1}};
    uint32_t phone = rig_phone(&rig, "A");
    hub_phone_budget(&rig.hub, &limit);
    (void)rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(hub_attempt_power_cycle(&rig.hub, phone, start.token), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    memset(rig.memory, 0, sizeof rig.memory);
    rig.flash.is_syncing = false;
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    hub_phone_budget(&rig.hub, &limit);
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_OK);
    assert_int_equal(
        budget_left(&rig.hub.phones[phone].budget, &limit, BUDGET_POWER_CYCLES, rig.clock.mono_ms),
        0);
}

static void a_clock_before_the_load_is_only_kept(void **state) {
    (void)state;
    struct hub_clock clock = {.mono_ms = 5, .wall_ms = 1700000000000, .quality = 2};
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    hub_set_clock(&rig.hub, &clock);
    assert_int_equal(rig.hub.clock.mono_ms, 5);
    assert_int_equal(rig.hub.store.open_records, 0);
}

/* The capability's own grace time goes before the hub's. */
static void a_capability_may_have_a_grace_time_of_its_own(void **state) {
    (void)state;
    struct capability capability = rig.hub.capabilities[RIG_WORK];
    capability.stop_ms = 500;
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    struct hub_start start = begin_one();
    rig_cancel(&rig, 0);
    rig_advance(&rig, 499);
    assert_int_equal(rig_item(&rig, 0, 1)->image.state, RECORD_RUNNING);
    rig_advance(&rig, 1);
    assert_int_equal(rig_item(&rig, 0, 1)->image.state, RECORD_CANCELED);
    const struct record_attempt end = {.outcome = RECORD_SUCCESS};
    assert_int_equal(hub_attempt_end(&rig.hub, start.phone, start.token, &end), STATUS_STALE_LEASE);
}

int firmware_hub_unknown_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_attempt_that_the_daemons_death_cut_off_is_not_tried_again,
                               set_up),
        cmocka_unit_test_setup(an_attempt_that_a_power_loss_cut_off_waits_for_its_capability,
                               set_up),
        cmocka_unit_test_setup(a_retry_that_waits_becomes_ready_and_waits_on, set_up),
        cmocka_unit_test_setup(a_retry_is_planned_and_waits_for_its_capability, set_up),
        cmocka_unit_test_setup(a_capability_comes_for_an_attempt_whose_phone_is_unknown, set_up),
        cmocka_unit_test_setup(a_workers_lease_outlives_its_capability, set_up),
        cmocka_unit_test_setup(a_failure_that_may_be_retried_is_the_last_without_a_capability,
                               set_up),
        cmocka_unit_test_setup(an_item_suspended_for_a_budget_that_is_gone_is_resumed, set_up),
        cmocka_unit_test_setup(a_hub_takes_as_many_capabilities_as_its_board_has_room_for, set_up),
        cmocka_unit_test_setup(an_item_for_a_phone_that_is_unknown_waits_outside_the_queues,
                               set_up),
        cmocka_unit_test_setup(a_phones_power_cycles_are_counted_whatever_the_capability, set_up),
        cmocka_unit_test_setup(a_clock_before_the_load_is_only_kept, set_up),
        cmocka_unit_test_setup(a_capability_may_have_a_grace_time_of_its_own, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_unknown", tests, NULL, NULL);
}
