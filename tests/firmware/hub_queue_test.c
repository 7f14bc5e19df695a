/* What runs where and in which order: priority and age, labels, concurrency keys, accounts,
 * phones to avoid, budgets; and what an item says it waits for. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { HOUR_MS = 3600000 };

static struct rig rig;
static struct rig copy;

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static const char *wait_of(uint32_t process) {
    return hub_wait_name(hub_process_wait(&rig.hub, process));
}

static void assert_runs(uint32_t process) {
    assert_int_equal(rig_process(&rig, process)->counts.by_state[RECORD_RUNNING], 1);
}

static void succeed(const struct hub_start *start) {
    assert_int_equal(rig_end(&rig, start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
}

/* ---- order ---- */

static void priority_comes_before_age_over_all_queues(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    const uint32_t old = rig_submit(&rig, &(struct rig_order){.priority = 3});
    const uint32_t direct = rig_submit(&rig, &(struct rig_order){.priority = 3, .phones = &phone});
    const uint32_t other =
        rig_submit(&rig, &(struct rig_order){.priority = 3, .capability = RIG_LONG});
    const uint32_t urgent = rig_submit(&rig, &(struct rig_order){.priority = 9});
    const uint32_t late = rig_submit(&rig, &(struct rig_order){.priority = 3});
    const uint32_t order[] = {urgent, old, direct, other, late};
    rig.hub.is_stopping = false;
    rig_settle(&rig);
    for (size_t i = 0; i < array_count(order); i++) {
        struct hub_start start = rig_begin(&rig);
        assert_true(start.process == rig_process(&rig, order[i])->number);
        succeed(&start);
    }
}

static void a_phone_it_failed_on_twice_is_avoided_also_after_a_restart(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    (void)rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG});
    for (unsigned i = 0; i < 2; i++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(start.phone, a);
        rig.hub.is_stopping = i == 1;
        assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
        rig_advance(&rig, 1);
    }
    rig_restart(&rig, true);
    rig.hub.is_stopping = true;
    (void)rig_phone(&rig, "A");
    uint32_t b = rig_phone(&rig, "B");
    rig.hub.is_stopping = false;
    rig_settle(&rig);
    assert_int_equal(rig_begin(&rig).phone, b);
}

static void an_avoided_phone_is_used_when_there_is_no_other(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG});
    for (unsigned i = 0; i < 5; i++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
        rig_advance(&rig, 1);
    }
}

static void an_item_that_must_wait_does_not_hold_up_those_behind_it(void **state) {
    (void)state;
    for (unsigned i = 0; i < 14; i++) {
        (void)rig_submit(&rig, &(struct rig_order){.labels = "[\"rare\"]", .priority = 9});
    }
    uint32_t process = rig_submit(&rig, &(struct rig_order){0});
    (void)rig_phone(&rig, "A");
    assert_runs(process);
}

/* ---- labels ---- */

static void a_request_gets_a_phone_that_has_its_labels(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t b = rig_phone(&rig, "B");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.labels = "[ \"rack:2\" , \"lab\" ]"});
    assert_string_equal(wait_of(process), "waiting_for_labels");
    assert_int_equal(hub_phone_label(&rig.hub, b, bytes_of("lab")), STATUS_OK);
    rig_settle(&rig);
    rig_assert_no_start(&rig);
    assert_int_equal(hub_phone_slot_label(&rig.hub, b, bytes_of("usb3 rack:2")), STATUS_OK);
    rig_settle(&rig);
    assert_int_equal(rig_begin(&rig).phone, b);
}

static void a_label_is_a_whole_word(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.labels = "[\"lab\"]"});
    static const char *const others[] = {"la", "labs", "xlab", "la b", "lab-1"};
    for (size_t i = 0; i < array_count(others); i++) {
        struct bytes text = {(const uint8_t *)others[i], strlen(others[i])};
        assert_int_equal(hub_phone_label(&rig.hub, a, text), STATUS_OK);
        rig_settle(&rig);
        rig_assert_no_start(&rig);
    }
    assert_int_equal(hub_phone_label(&rig.hub, a, bytes_of("x lab y")), STATUS_OK);
    rig_settle(&rig);
    assert_runs(process);
}

static void labels_of_a_capability_count_too(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    struct capability capability = rig.hub.capabilities[RIG_WORK];
    memcpy(capability.labels, "gpu", sizeof "gpu");
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    uint32_t process = rig_submit(&rig, &(struct rig_order){.phones = &a});
    rig_assert_no_start(&rig);
    assert_string_equal(wait_of(process), "waiting_for_labels");
    assert_int_equal(hub_phone_label(&rig.hub, a, bytes_of("gpu")), STATUS_OK);
    rig_settle(&rig);
    assert_runs(process);
}

static void labels_outlive_the_program(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    assert_int_equal(hub_phone_label(&rig.hub, a, bytes_of("lab")), STATUS_OK);
    rig.hub.is_stopping = true;
    (void)rig_submit(&rig, &(struct rig_order){.labels = "[\"lab\"]"});
    rig_restart(&rig, false);
    assert_string_equal(rig.hub.phones[a].labels, "lab");
    (void)rig_phone(&rig, "A");
    (void)rig_begin(&rig);
}

static void malformed_labels_are_refused(void **state) {
    (void)state;
    static const char *const requests[] = {"[\"a b\"]",      "[\"a\"",   "{}",  "[\"\"]",
                                           "[\"a\\u0020\"]", "[\"a\",]", "[a]", "[\"a\"] x"};
    static const char *const phones[] = {" a", "a ", "a  b", "a,b", "\xc3\xbc"};
    struct hub_accepted accepted;
    uint32_t a = rig_phone(&rig, "A");
    for (size_t i = 0; i < array_count(requests); i++) {
        assert_int_equal(rig_accept(&rig, &(struct rig_order){.labels = requests[i]}, &accepted),
                         STATUS_MALFORMED);
    }
    for (size_t i = 0; i < array_count(phones); i++) {
        struct bytes text = {(const uint8_t *)phones[i], strlen(phones[i])};
        assert_int_equal(hub_phone_label(&rig.hub, a, text), STATUS_MALFORMED);
        assert_int_equal(hub_phone_slot_label(&rig.hub, a, text), STATUS_MALFORMED);
    }
    assert_int_equal(rig_accept(&rig, &(struct rig_order){.labels = "[]"}, &accepted), STATUS_OK);
}

static void too_many_sets_of_labels_are_refused_until_some_have_ended(void **state) {
    (void)state;
    char labels[] = "[\"a\"]";
    struct hub_accepted accepted;
    uint32_t first = HUB_NONE;
    for (unsigned i = 0; i < rig.hub.board->label_sets; i++) {
        labels[2] = (char)('a' + i);
        uint32_t process = rig_submit(&rig, &(struct rig_order){.labels = labels});
        first = first == HUB_NONE ? process : first;
    }
    (void)rig_submit(&rig, &(struct rig_order){.labels = labels});
    labels[2] = 'z';
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(rig_accept(&rig, &(struct rig_order){.labels = labels}, &accepted),
                     STATUS_FULL);
    assert_true(hub_head_seq(&rig.hub) == head);
    rig_cancel(&rig, first);
    assert_int_equal(rig_accept(&rig, &(struct rig_order){.labels = labels}, &accepted), STATUS_OK);
}

/* ---- concurrency keys and accounts ---- */

static void no_more_of_one_key_run_than_its_capability_allows(void **state) {
    (void)state;
    for (unsigned p = 0; p < 4; p++) {
        const char id[2] = {(char)('A' + p), '\0'};
        (void)rig_phone(&rig, id);
    }
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_KEYED, .items = 3});
    uint32_t other =
        rig_submit(&rig, &(struct rig_order){.capability = RIG_KEYED, .concurrency_key = "mine"});
    assert_int_equal(rig_process(&rig, process)->counts.by_state[RECORD_RUNNING], 2);
    assert_runs(other);
    assert_string_equal(wait_of(process), "waiting_for_concurrency_key");
    struct hub_start start = rig_begin(&rig);
    succeed(&start);
    assert_int_equal(rig_process(&rig, process)->counts.by_state[RECORD_RUNNING], 2);
}

static void a_key_is_freed_while_an_item_waits_for_its_retry(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_KEYED, .items = 3});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->counts.by_state[RECORD_RUNNING], 2);
    assert_int_equal(rig_process(&rig, process)->counts.by_state[RECORD_RETRY_WAIT], 1);
}

static void one_phone_works_for_an_account_at_a_time(void **state) {
    (void)state;
    static const char *const accounts[] = {"anna", "ben", "anna"};
    for (unsigned p = 0; p < 4; p++) {
        const char id[2] = {(char)('A' + p), '\0'};
        (void)rig_phone(&rig, id);
    }
    uint32_t first = rig_submit(&rig, &(struct rig_order){.items = 3, .accounts = accounts});
    uint32_t second = rig_submit(
        &rig, &(struct rig_order){.capability = RIG_LONG, .items = 1, .accounts = accounts});
    assert_int_equal(rig_process(&rig, first)->counts.by_state[RECORD_RUNNING], 2);
    assert_int_equal(rig_process(&rig, second)->counts.by_state[RECORD_READY], 1);
    assert_string_equal(wait_of(second), "waiting_for_account");
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.item_number, 1);
    succeed(&start);
    assert_int_equal(rig_item(&rig, first, 3)->image.state, RECORD_RUNNING);
}

static void accounts_and_keys_are_known_again_after_a_load(void **state) {
    (void)state;
    static const char *const accounts[] = {"anna", "ben", "anna"};
    (void)rig_phone(&rig, "A");
    (void)rig_submit(
        &rig, &(struct rig_order){.capability = RIG_KEYED, .items = 3, .accounts = accounts});
    rig_load_copy(&copy, &rig);
    rig_check(&copy);
    assert_int_equal(copy.hub.gate_pool.used, 3);
    assert_int_equal(copy.hub.strand_pool.used, rig.hub.strand_pool.used);
    assert_int_equal(copy.hub.lane_pool.used, 1);
}

static void pairs_of_phone_and_account_stay_together(void **state) {
    (void)state;
    static const char *const accounts[] = {"anna", "ben"};
    const uint32_t phones[] = {rig_phone(&rig, "A"), rig_phone(&rig, "B")};
    uint32_t process =
        rig_submit(&rig, &(struct rig_order){.items = 2, .phones = phones, .accounts = accounts});
    assert_int_equal(rig_process(&rig, process)->counts.by_state[RECORD_RUNNING], 2);
    assert_true(rig_item(&rig, process, 2)->image.phone == rig.hub.phones[phones[1]].number);
    struct record_request request;
    assert_int_equal(hub_request_read(&rig.hub, process, &request), STATUS_OK);
    assert_int_equal(request.item_count, 2);
    assert_int_equal(request.phones.size, 16);
    assert_memory_equal(request.accounts.data, "anna\nben\n", 9);
}

static void a_malformed_account_is_refused(void **state) {
    (void)state;
    char longest[RECORD_ID_MAX + 2] = {0};
    memset(longest, 'a', sizeof longest - 1);
    const char *const accounts[] = {"", "a\nb", longest};
    struct hub_accepted accepted;
    for (size_t i = 0; i < array_count(accounts); i++) {
        assert_int_equal(rig_accept(&rig, &(struct rig_order){.accounts = &accounts[i]}, &accepted),
                         STATUS_MALFORMED);
    }
}

/* ---- budgets ---- */

static void a_spent_budget_of_attempts_lets_nothing_start_until_it_comes_back(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_SPARING});
    for (unsigned i = 0; i < 4; i++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
        rig_advance(&rig, 1);
    }
    rig_assert_no_start(&rig);
    assert_string_equal(wait_of(process), "waiting_for_budget");
    assert_true(hub_deadline_ms(&rig.hub) != TIMER_NEVER);
    rig_advance(&rig, HOUR_MS - 10000);
    rig_assert_no_start(&rig);
    rig_advance(&rig, 10000 + 2 * BUDGET_SLICE_MS);
    (void)rig_begin(&rig);
}

static void an_attempt_that_uses_up_the_seconds_is_suspended_and_resumes_by_itself(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_SPARING});
    struct hub_start first = rig_begin(&rig);
    rig_advance(&rig, 50000);
    assert_int_equal(rig_end(&rig, &first, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    rig_advance(&rig, 1);
    struct hub_start second = rig_begin(&rig);
    rig_advance(&rig, 50000); /* the other half of 100 seconds, before its limit of 60 */
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_SUSPEND);
    assert_int_equal(rig_end(&rig, &second, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_BUDGET);
    assert_string_equal(wait_of(process), "suspended_for_budget");
    assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 1);
    rig_restart(&rig, true);
    rig_settle(&rig);
    (void)rig_phone(&rig, "A");
    rig_assert_no_start(&rig);
    rig_advance(&rig, HOUR_MS + 2 * BUDGET_SLICE_MS);
    (void)rig_begin(&rig);
}

static void power_cycles_are_counted_and_the_last_one_suspends(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_SPARING});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(hub_attempt_power_cycle(&rig.hub, start.phone, start.token), STATUS_OK);
    assert_int_equal(hub_attempt_power_cycle(&rig.hub, start.phone, start.token), STATUS_FULL);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_BUDGET);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.power_cycles, 1);
    rig_restart(&rig, true);
    rig_settle(&rig);
    assert_int_equal(budget_left(&rig.hub.budgets[RIG_SPARING],
                                 &rig.hub.capabilities[RIG_SPARING].budget, BUDGET_POWER_CYCLES,
                                 rig.clock.mono_ms),
                     0);
    rig_advance(&rig, HOUR_MS + 2 * BUDGET_SLICE_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_READY);
}

static void a_phones_budget_sends_work_to_another_phone(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    const struct budget_limit limit = {{1, 0, 0}};
    hub_phone_budget(&rig.hub, &limit);
    (void)rig_submit(&rig, &(struct rig_order){0});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.phone, a);
    succeed(&start);
    uint32_t process = rig_submit(&rig, &(struct rig_order){0});
    rig_assert_no_start(&rig);
    assert_string_equal(wait_of(process), "waiting_for_phone_budget");
    uint32_t b = rig_phone(&rig, "B");
    assert_int_equal(rig_begin(&rig).phone, b);
}

/* ---- what an item says ---- */

static void an_item_says_why_it_waits(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &(struct rig_order){0});
    assert_string_equal(wait_of(process), "waiting_for_labels"); /* there is no phone at all */
    uint32_t a = rig_phone(&rig, "A");
    assert_string_equal(wait_of(process), "");
    uint32_t second = rig_submit(&rig, &(struct rig_order){0});
    assert_string_equal(wait_of(second), "waiting_for_busy_phone");
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_string_equal(wait_of(process), "waiting_for_retry");
    rig_phone_event(&rig, a, PHONE_ON_DETACHED);
    uint32_t third = rig_submit(&rig, &(struct rig_order){.phones = &a});
    assert_string_equal(wait_of(third), "waiting_for_busy_phone"); /* lost, and not judged yet */
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_string_equal(wait_of(third), "waiting_for_phone");
    uint32_t later =
        rig_submit(&rig, &(struct rig_order){.not_before_ms = rig.clock.wall_ms + HOUR_MS});
    assert_string_equal(wait_of(later), "waiting_for_start_time");
    rig_restart(&rig, false);
    rig.clock.wall_ms = 0;
    hub_set_clock(&rig.hub, &rig.clock);
    assert_string_equal(wait_of(later), "clock_unknown");
}

int firmware_hub_queue_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(priority_comes_before_age_over_all_queues, set_up),
        cmocka_unit_test_setup(a_phone_it_failed_on_twice_is_avoided_also_after_a_restart, set_up),
        cmocka_unit_test_setup(an_avoided_phone_is_used_when_there_is_no_other, set_up),
        cmocka_unit_test_setup(an_item_that_must_wait_does_not_hold_up_those_behind_it, set_up),
        cmocka_unit_test_setup(a_request_gets_a_phone_that_has_its_labels, set_up),
        cmocka_unit_test_setup(a_label_is_a_whole_word, set_up),
        cmocka_unit_test_setup(labels_of_a_capability_count_too, set_up),
        cmocka_unit_test_setup(labels_outlive_the_program, set_up),
        cmocka_unit_test_setup(malformed_labels_are_refused, set_up),
        cmocka_unit_test_setup(too_many_sets_of_labels_are_refused_until_some_have_ended, set_up),
        cmocka_unit_test_setup(no_more_of_one_key_run_than_its_capability_allows, set_up),
        cmocka_unit_test_setup(a_key_is_freed_while_an_item_waits_for_its_retry, set_up),
        cmocka_unit_test_setup(one_phone_works_for_an_account_at_a_time, set_up),
        cmocka_unit_test_setup(accounts_and_keys_are_known_again_after_a_load, set_up),
        cmocka_unit_test_setup(pairs_of_phone_and_account_stay_together, set_up),
        cmocka_unit_test_setup(a_malformed_account_is_refused, set_up),
        cmocka_unit_test_setup(a_spent_budget_of_attempts_lets_nothing_start_until_it_comes_back,
                               set_up),
        cmocka_unit_test_setup(
            an_attempt_that_uses_up_the_seconds_is_suspended_and_resumes_by_itself, set_up),
        cmocka_unit_test_setup(power_cycles_are_counted_and_the_last_one_suspends, set_up),
        cmocka_unit_test_setup(a_phones_budget_sends_work_to_another_phone, set_up),
        cmocka_unit_test_setup(an_item_says_why_it_waits, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_queue", tests, NULL, NULL);
}
