/* What follows a failed, interrupted or overlong attempt. */
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

static void fail_once(const struct hub_start *start) {
    assert_int_equal(rig_end(&rig, start, RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE), STATUS_OK);
}

static uint64_t retry_ms(uint32_t process) {
    const struct hub_item *item = rig_item(&rig, process, 1);
    uint32_t index = (uint32_t)(item - rig.hub.items);
    return timer_due(&rig.hub.timers, hub_item_timer(&rig.hub, index));
}

static void retries_with_backoff_until_it_is_a_dead_letter(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    for (uint32_t n = 1; n <= 3; n++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(start.attempt, n);
        fail_once(&start);
        assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, n);
        if (n == 3) {
            break;
        }
        assert_int_equal(rig_process(&rig, process)->status, PROCESS_RETRYABLE);
        uint64_t limit = (uint64_t)1000 << (n - 1);
        uint64_t wait = retry_ms(process) - rig.clock.mono_ms;
        assert_in_range(wait, 0, limit);
        assert_true(rig_item(&rig, process, 1)->image.wait_ms == wait);
        if (wait > 0) {
            rig_advance(&rig, wait - 1);
            rig_assert_no_start(&rig);
            rig_advance(&rig, 1);
        }
    }
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DEAD_LETTER);
    assert_int_equal(rig_item(&rig, process, 1)->image.category, RECORD_CATEGORY_NONE);
    assert_int_not_equal(rig_process(&rig, process)->image.retrying.boot, 0);
    rig_advance(&rig, 1000000);
    rig_assert_no_start(&rig);
    assert_true(rig.hub.counters.errors[RECORD_CATEGORY_EXIT_CODE] == 3);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.outcome, RECORD_FAILURE);
    assert_int_equal(attempt.exit_code, 1);
    assert_memory_equal(attempt.message.data, "how it ended", attempt.message.size);
}

static void an_items_phone_is_known_after_its_end_and_a_restart(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &one);
    uint32_t item = (uint32_t)(rig_item(&rig, process, 1) - rig.hub.items);
    assert_int_equal(hub_item_last_phone(&rig.hub, item), HUB_NONE);
    uint32_t phone = rig_phone(&rig, "A");
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(hub_item_last_phone(&rig.hub, item), phone);
    fail_once(&start);
    assert_true(rig.hub.items[item].image.phone == 0);
    assert_int_equal(hub_item_last_phone(&rig.hub, item), phone);
    rig_restart(&rig, true);
    assert_int_equal(hub_item_last_phone(&rig.hub, item), phone);
    const struct rig_order there = {.phones = &phone, .items = 1};
    process = rig_submit(&rig, &there);
    item = (uint32_t)(rig_item(&rig, process, 1) - rig.hub.items);
    assert_int_equal(hub_item_last_phone(&rig.hub, item), phone);
}

static void a_permanent_failure_is_not_retried(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DEAD_LETTER);
    assert_int_equal(rig_item(&rig, process, 1)->image.attempt, 1);
}

static void a_retry_goes_on_behind_the_last_done_action_with_what_was_found(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    rig_advance(&rig, RIG_ATTEMPT_MS);
    rig_advance(&rig, RIG_GRACE_MS);
    rig_advance(&rig, 8000);
    start = rig_begin(&rig);
    assert_int_equal(start.attempt, 2);
    assert_int_equal(start.actions_done, 1);
    /* The second attempt dies without a word: what the first one found is still there. */
    rig_advance(&rig, RIG_ATTEMPT_MS);
    rig_advance(&rig, RIG_GRACE_MS);
    rig_advance(&rig, 8000);
    start = rig_begin(&rig);
    assert_int_equal(start.actions_done, 1);
    struct bytes found = {0};
    assert_int_equal(hub_attempt_findings(&rig.hub, start.item, &found), STATUS_OK);
    assert_memory_equal(found.data, "{\"battery\":50}", found.size);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
    assert_int_equal(rig_item(&rig, process, 1)->image.actions_done, 3);
    assert_int_equal(rig_item(&rig, process, 1)->image.attempt, 3);
}

static void an_attempt_beyond_its_limit_is_stopped_and_retried(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    uint32_t told;
    rig_advance(&rig, RIG_ATTEMPT_MS - 1);
    assert_false(hub_next_stop(&rig.hub, &told));
    rig_advance(&rig, 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_TIMEOUT);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_EXECUTING);
    assert_true(hub_next_stop(&rig.hub, &told));
    assert_int_equal(told, phone);
    assert_false(hub_next_stop(&rig.hub, &told));
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_LEASED);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
    assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 1);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.outcome, RECORD_FAILURE);
    assert_int_equal(attempt.category, RECORD_CATEGORY_TIMEOUT);
}

static void a_stop_that_is_not_obeyed_is_forced_after_the_grace_time(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, RIG_ATTEMPT_MS);
    rig_advance(&rig, RIG_GRACE_MS - 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
    rig_advance(&rig, 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
}

static void a_success_before_it_has_stopped_wins(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, RIG_ATTEMPT_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_TIMEOUT);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
}

/* SPEC.md section 2: an action of class `once` whose result is not known. */
static void a_once_only_action_in_doubt_suspends_the_item(void **state) {
    (void)state;
    static const struct {
        enum record_outcome outcome;
        enum record_category category;
        bool in_once;
        enum record_item_state to;
    } cases[] = {
        {RECORD_FAILURE, RECORD_CATEGORY_ADB, true, RECORD_SUSPENDED},
        {RECORD_INTERRUPTED, RECORD_CATEGORY_NONE, true, RECORD_SUSPENDED},
        {RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE, true, RECORD_RETRY_WAIT},
        {RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY, true, RECORD_FAILED},
        {RECORD_FAILURE, RECORD_CATEGORY_ADB, false, RECORD_RETRY_WAIT},
        {RECORD_SUCCESS, RECORD_CATEGORY_NONE, true, RECORD_COMPLETED},
    };
    (void)rig_phone(&rig, "A");
    for (size_t i = 0; i < array_count(cases); i++) {
        uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_ONCE});
        struct hub_start start = rig_begin(&rig);
        if (cases[i].in_once) {
            assert_int_equal(rig_step(&rig, &start), STATUS_OK);
        }
        assert_int_equal(rig_end(&rig, &start, cases[i].outcome, cases[i].category), STATUS_OK);
        const struct hub_item *item = rig_item(&rig, process, 1);
        assert_int_equal(item->image.state, cases[i].to);
        bool in_doubt = cases[i].to == RECORD_SUSPENDED;
        assert_int_equal(item->image.suspension, in_doubt ? RECORD_SUSPEND_UNCERTAIN : 0);
        assert_int_equal(item->image.attempts_counted,
                         cases[i].outcome == RECORD_FAILURE && !in_doubt);
        if (item->image.state == RECORD_RETRY_WAIT) {
            rig_cancel(&rig, process);
        }
    }
}

static void five_interruptions_are_poison(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    for (uint32_t n = 1; n <= 5; n++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(start.attempt, n);
        assert_int_equal(rig_end(&rig, &start, RECORD_INTERRUPTED, 0), STATUS_OK);
        assert_int_equal(rig_item(&rig, process, 1)->image.faults, n);
        assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 0);
    }
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED);
    assert_int_equal(rig_item(&rig, process, 1)->image.category, RECORD_CATEGORY_POISON);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DEAD_LETTER);
    rig_assert_no_start(&rig);
}

static void twenty_deliveries_without_an_attempt_are_poison(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE});
    struct hub_item *item = rig_item(&rig, process, 1);
    for (uint32_t n = 1; n <= 20; n++) {
        assert_int_equal(rig_claim(&rig, "w", "", 1).count, 1);
        assert_int_equal(item->image.state, RECORD_LEASED);
        rig_advance(&rig, RIG_LEASE_MS);
        assert_int_equal(item->image.deliveries, n);
        assert_int_equal(item->image.state, n < 20 ? RECORD_READY : RECORD_FAILED);
        assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    }
    assert_int_equal(item->image.category, RECORD_CATEGORY_POISON);
    assert_int_equal(item->image.attempt, 0);
}

/* Who claims its own process waits for nobody else's turn, and gets nobody else's item. */
static void a_claim_of_one_process_takes_its_items_only_and_out_of_turn(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t first = rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE});
    uint32_t second = rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE});
    uint64_t number = rig_process(&rig, second)->number;
    assert_int_equal(rig_claim_of(&rig, "w", "", 1, number + 100).count, 0);
    assert_int_equal(rig_claim_of(&rig, "w", "c", 8, number).count, 1);
    assert_int_equal(rig_item(&rig, second, 1)->image.state, RECORD_LEASED);
    assert_int_equal(rig_item(&rig, first, 1)->image.state, RECORD_READY);
    assert_int_equal(rig_claim_of(&rig, "w", "c", 8, number).count, 1); /* the same again */
    assert_int_equal(rig_claim_of(&rig, "v", "", 8, number).count, 0);
    assert_int_equal(rig_claim_of(&rig, "v", "", 8, rig_process(&rig, first)->number).count, 0);
    rig_advance(&rig, RIG_LEASE_MS);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    assert_int_equal(rig_claim_of(&rig, "v", "", 8, rig_process(&rig, first)->number).count, 1);
    assert_int_equal(rig_item(&rig, first, 1)->image.state, RECORD_LEASED);
}

static void keeps_the_first_and_the_last_four_attempts(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG});
    for (uint32_t n = 1; n <= 20; n++) {
        struct hub_start start = rig_begin(&rig);
        fail_once(&start);
    }
    static const uint32_t kept[] = {1, 2, 3, 4, 17, 18, 19, 20};
    uint32_t attempt = rig_item(&rig, process, 1)->first_attempt;
    for (size_t i = 0; i < array_count(kept); i++) {
        assert_true(attempt != HUB_NONE);
        assert_int_equal(rig.hub.attempts[attempt].number, kept[i]);
        attempt = rig.hub.attempts[attempt].next;
    }
    assert_int_equal(attempt, HUB_NONE);
    /* A mount finds freed records too; the limits hold again after it. */
    rig_restart(&rig, true);
    rig_check(&rig);
    attempt = rig_item(&rig, process, 1)->first_attempt;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rig.hub.attempts[attempt].number, kept[i]);
        attempt = rig.hub.attempts[attempt].next;
    }
}

static void texts_no_record_may_hold_are_left_out_of_an_end(void **state) {
    (void)state;
    static uint8_t large[40000];
    memset(large, 'x', sizeof large);
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    const struct record_attempt end = {
        .outcome = RECORD_SUCCESS,
        .message = {(const uint8_t *)"\xff", 1},
        .code = {large, RECORD_ID_MAX + 1},
        .output = {large, 4000},
        .result = {large, 4000},
    };
    assert_int_equal(hub_attempt_end(&rig.hub, start.phone, start.token, &end), STATUS_OK);
    rig_settle(&rig);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.message.size + attempt.code.size + attempt.output.size, 0);
    assert_int_equal(attempt.result.size, 4000);
    process = rig_submit(&rig, &one);
    start = rig_begin(&rig);
    const struct record_attempt step = {.actions_done = 1, .result = {large, sizeof large}};
    assert_int_equal(hub_attempt_step(&rig.hub, start.phone, start.token, &step), STATUS_OK);
    rig_advance(&rig, RIG_ATTEMPT_MS + RIG_GRACE_MS);
    rig_restart(&rig, true);
    assert_true(rig.hub.counters.suspect_objects == 0);
}

static void the_largest_findings_survive_a_forced_stop(void **state) {
    (void)state;
    static uint8_t large[4096];
    memset(large, 'x', sizeof large);
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    const struct record_attempt step = {.actions_done = 1, .result = {large, sizeof large}};
    assert_int_equal(hub_attempt_step(&rig.hub, start.phone, start.token, &step), STATUS_OK);
    rig_settle(&rig);
    rig_advance(&rig, RIG_ATTEMPT_MS);
    rig_advance(&rig, RIG_GRACE_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.result.size, sizeof large);
}

int firmware_hub_retry_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(retries_with_backoff_until_it_is_a_dead_letter, set_up),
        cmocka_unit_test_setup(an_items_phone_is_known_after_its_end_and_a_restart, set_up),
        cmocka_unit_test_setup(a_permanent_failure_is_not_retried, set_up),
        cmocka_unit_test_setup(a_retry_goes_on_behind_the_last_done_action_with_what_was_found,
                               set_up),
        cmocka_unit_test_setup(an_attempt_beyond_its_limit_is_stopped_and_retried, set_up),
        cmocka_unit_test_setup(a_stop_that_is_not_obeyed_is_forced_after_the_grace_time, set_up),
        cmocka_unit_test_setup(a_success_before_it_has_stopped_wins, set_up),
        cmocka_unit_test_setup(a_once_only_action_in_doubt_suspends_the_item, set_up),
        cmocka_unit_test_setup(five_interruptions_are_poison, set_up),
        cmocka_unit_test_setup(twenty_deliveries_without_an_attempt_are_poison, set_up),
        cmocka_unit_test_setup(a_claim_of_one_process_takes_its_items_only_and_out_of_turn, set_up),
        cmocka_unit_test_setup(keeps_the_first_and_the_last_four_attempts, set_up),
        cmocka_unit_test_setup(texts_no_record_may_hold_are_left_out_of_an_end, set_up),
        cmocka_unit_test_setup(the_largest_findings_survive_a_forced_stop, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_retry", tests, NULL, NULL);
}
