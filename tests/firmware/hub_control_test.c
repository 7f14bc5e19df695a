/* Suspend, resume, review, settle, and the next generation by retry. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig copy;
static const struct rig_order one = {0};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static uint8_t state_of(uint32_t process, uint32_t number) {
    return rig_item(&rig, process, number)->image.state;
}

static void assert_status(uint32_t process, enum process_status status) {
    assert_int_equal(rig_process(&rig, process)->status, status);
}

static const char *wait_of(uint32_t process) {
    return hub_wait_name(hub_process_wait(&rig.hub, process));
}

/* ---- suspend and resume ---- */

static void a_held_item_is_not_leased_until_it_is_resumed(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &one);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_string_equal(wait_of(process), "held");
    (void)rig_phone(&rig, "A");
    rig_advance(&rig, 100000);
    rig_assert_no_start(&rig);
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_true(hub_head_seq(&rig.hub) == head);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    (void)rig_begin(&rig);
    head = hub_head_seq(&rig.hub);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    assert_true(hub_head_seq(&rig.hub) == head);
}

static void a_hold_outlives_the_program(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    uint32_t process = rig_submit(&rig, &one);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    rig_restart(&rig, true);
    (void)rig_phone(&rig, "A");
    rig_assert_no_start(&rig);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    (void)rig_begin(&rig);
}

static void a_running_item_is_suspended_when_it_has_stopped_and_not_counted(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_int_equal(state_of(process, 1), RECORD_RUNNING);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_LEASED);
    uint32_t told;
    assert_true(hub_next_stop(&rig.hub, &told));
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(state_of(process, 1), RECORD_SUSPENDED);
    assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 0);
    assert_status(process, PROCESS_PLANNED);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    struct hub_start again = rig_begin(&rig);
    assert_int_equal(again.actions_done, 1);
    assert_int_equal(again.attempt, 2);
}

static void any_failure_while_it_is_asked_to_suspend_counts_as_stopped(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    assert_int_equal(state_of(process, 1), RECORD_SUSPENDED);
}

static void a_success_before_it_has_stopped_beats_the_suspension(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_status(process, PROCESS_DONE);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_TERMINAL);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_TERMINAL);
}

static void a_resume_while_it_stops_makes_it_go_on_after(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_begin(&rig).attempt, 2);
}

static void a_cancel_replaces_a_suspension_that_is_pending(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    rig_cancel(&rig, process);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_NONE);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_status(process, PROCESS_CANCELLED);
}

static void a_suspension_that_is_not_obeyed_is_forced_once_the_grace_is_over(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    rig_advance(&rig, RIG_GRACE_MS - 1);
    rig_cancel(&rig, process); /* does not begin the grace time anew */
    assert_int_equal(state_of(process, 1), RECORD_RUNNING);
    rig_advance(&rig, 1);
    assert_int_equal(state_of(process, 1), RECORD_CANCELED);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE),
                     STATUS_STALE_LEASE);
}

static void a_death_while_a_suspension_is_pending_counts_as_stopped(void **state) {
    (void)state;
    for (unsigned same_boot = 0; same_boot < 2; same_boot++) {
        rig_start(&rig);
        (void)rig_phone(&rig, "A");
        uint32_t process = rig_submit(&rig, &one);
        (void)rig_begin(&rig);
        assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
        rig_restart(&rig, same_boot == 1);
        rig_settle(&rig);
        assert_int_equal(state_of(process, 1), RECORD_SUSPENDED);
        assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 0);
        assert_int_equal(rig_item(&rig, process, 1)->image.faults, 0);
    }
}

/* ---- review ---- */

static uint32_t wait_for_review(struct hub_start *start) {
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_REVIEW});
    *start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, start), STATUS_OK);
    const struct record_attempt so_far = {.actions_done = 2, .result = bytes_of("{\"seen\":1}")};
    assert_int_equal(hub_attempt_review(&rig.hub, start->phone, start->token, &so_far), STATUS_OK);
    return process;
}

static void a_review_suspends_and_a_resume_goes_on_behind_it(void **state) {
    (void)state;
    struct hub_start start;
    uint32_t process = wait_for_review(&start);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(state_of(process, 1), RECORD_SUSPENDED);
    assert_string_equal(wait_of(process), "suspended_for_review");
    struct process_names names = process_status_names(rig_process(&rig, process)->status,
                                                      &rig_process(&rig, process)->counts);
    assert_string_equal(names.state, "waiting_review");
    rig_restart(&rig, true);
    (void)rig_phone(&rig, "A");
    rig_assert_no_start(&rig);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    assert_int_equal(rig_begin(&rig).actions_done, 2);
}

static void a_review_counts_the_actions_that_were_skipped_before_it(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_REVIEW});
    struct hub_start start = rig_begin(&rig);
    const struct record_attempt so_far = {.actions_done = 2};
    assert_int_equal(hub_attempt_review(&rig.hub, start.phone, start.token, &so_far), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    assert_int_equal(rig_begin(&rig).actions_done, 2);
}

static void a_review_that_was_reached_outlives_a_death(void **state) {
    (void)state;
    struct hub_start start;
    uint32_t process = wait_for_review(&start);
    rig_commit(&rig);
    rig_restart(&rig, true);
    rig_settle(&rig);
    assert_int_equal(state_of(process, 1), RECORD_SUSPENDED);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_REVIEW);
    assert_int_equal(rig_item(&rig, process, 1)->image.actions_done, 2);
}

static void a_review_is_settled_by_a_person(void **state) {
    (void)state;
    for (unsigned is_done = 0; is_done < 2; is_done++) {
        rig_start(&rig);
        struct hub_start start;
        uint32_t process = wait_for_review(&start);
        assert_int_equal(rig_settle_item(&rig, process, 1, true), STATUS_ILLEGAL);
        assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
        assert_int_equal(rig_settle_item(&rig, process, 7, true), STATUS_NOT_FOUND);
        assert_int_equal(rig_settle_item(&rig, process, 1, is_done == 1), STATUS_OK);
        assert_status(process, is_done == 1 ? PROCESS_DONE : PROCESS_DEAD_LETTER);
        assert_int_equal(rig_settle_item(&rig, process, 1, true), STATUS_TERMINAL);
    }
}

static void what_an_operator_suspended_cannot_be_settled(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_settle_item(&rig, process, 0, true), STATUS_ILLEGAL);
}

static void all_uncertain_items_are_settled_at_once(void **state) {
    (void)state;
    uint32_t phones[2] = {rig_phone(&rig, "A"), rig_phone(&rig, "B")};
    uint32_t process =
        rig_submit(&rig, &(struct rig_order){.capability = RIG_ONCE, .phones = phones, .items = 2});
    for (unsigned i = 0; i < 2; i++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(rig_step(&rig, &start), STATUS_OK);
        assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    }
    assert_string_equal(wait_of(process), "suspended_as_uncertain");
    assert_int_equal(rig_settle_item(&rig, process, 0, true), STATUS_OK);
    assert_status(process, PROCESS_DONE);
}

static void an_uncertain_action_is_ordered_again_by_a_resume(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_ONCE});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_int_equal(rig_ask(&rig, hub_resume, process), STATUS_OK);
    assert_int_equal(rig_begin(&rig).actions_done, 1);
}

/* ---- retry by generation ---- */

static void fail_item(void) {
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
}

static void a_retry_supersedes_what_failed_and_keeps_what_succeeded(void **state) {
    (void)state;
    uint32_t phones[2] = {rig_phone(&rig, "A"), rig_phone(&rig, "B")};
    uint32_t process = rig_submit(&rig, &(struct rig_order){.phones = phones, .items = 2});
    struct hub_start first = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &first), STATUS_OK);
    assert_int_equal(rig_end(&rig, &first, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    struct hub_start second = rig_begin(&rig);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_ILLEGAL);
    assert_int_equal(rig_end(&rig, &second, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_status(process, PROCESS_PARTIAL);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->image.generation, 2);
    assert_true(rig_process(&rig, process)->image.finished.boot == 0);
    assert_true(rig_item(&rig, process, 1)->image.superseded);
    assert_int_equal(state_of(process, 1), RECORD_FAILED);
    const struct record_item *fresh = &rig_item(&rig, process, 3)->image;
    assert_int_equal(fresh->generation, 2);
    assert_true(fresh->target_phone == rig_item(&rig, process, 1)->image.target_phone);
    assert_int_equal(fresh->actions_done, 0);
    struct hub_start again = rig_begin(&rig);
    assert_int_equal(again.attempt, 1);
    assert_int_equal(again.item_number, 3);
    assert_int_equal(rig_end(&rig, &again, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_status(process, PROCESS_DONE);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_ILLEGAL);
}

/* No record of a retry says that the process had ended: readers close their streams at that. */
static void no_record_of_a_retry_looks_terminal(void **state) {
    (void)state;
    struct rig_history history;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.items = 3});
    for (unsigned i = 0; i < 3; i++) {
        fail_item();
    }
    rig_read_history(&rig, process, &history);
    uint32_t before = history.count;
    rig.hub.is_stopping = true;
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    rig_read_history(&rig, process, &history);
    assert_int_equal(history.count, before + 1 + 3 + 3);
    for (uint32_t i = before; i < history.count; i++) {
        assert_int_equal(history.status[i], PROCESS_PLANNED);
    }
}

static void a_retry_clears_cancel_hold_and_a_passed_deadline(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process =
        rig_submit(&rig, &(struct rig_order){.deadline_ms = rig.clock.wall_ms + 5000});
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, 5000);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_status(process, PROCESS_DEAD_LETTER);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->image.flags, RECORD_PLANNED);
    rig_restart(&rig, true);
    rig_settle(&rig);
    (void)rig_phone(&rig, "A");
    rig_advance(&rig, 8000);
    assert_int_equal(state_of(process, 2), RECORD_RUNNING);
}

static void a_deadline_that_has_not_passed_holds_for_the_retry_too(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process =
        rig_submit(&rig, &(struct rig_order){.deadline_ms = rig.clock.wall_ms + 50000});
    fail_item();
    rig.hub.is_stopping = true;
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    rig_advance(&rig, 50000);
    assert_int_equal(state_of(process, 2), RECORD_FAILED);
    assert_int_equal(rig_item(&rig, process, 2)->image.category, RECORD_CATEGORY_DEADLINE);
}

static void what_had_nothing_to_run_is_planned_by_a_retry(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    const uint32_t phones[2] = {phone, phone};
    uint32_t process =
        rig_submit(&rig, &(struct rig_order){.phones = phones, .items = 2, .deadline_ms = 1});
    assert_status(process, PROCESS_NO_TARGET);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->image.item_count, 2);
    assert_true(rig_item(&rig, process, 2)->image.target_phone == rig.hub.phones[phone].number);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.item_number, 1);
}

static void a_retry_that_does_not_fit_leaves_nothing_behind(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.items = 4});
    for (unsigned i = 0; i < 4; i++) {
        fail_item();
    }
    rig.hub.is_stopping = true;
    (void)rig_submit(&rig, &(struct rig_order){.items = 16});
    (void)rig_submit(&rig, &(struct rig_order){.items = 9});
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_FULL);
    assert_true(hub_head_seq(&rig.hub) == head);
    assert_status(process, PROCESS_DEAD_LETTER);
}

static void a_retry_makes_room_by_evicting_others_but_never_itself(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t oldest = rig_submit(&rig, &(struct rig_order){.items = 6});
    uint32_t other = rig_submit(&rig, &(struct rig_order){.items = 10});
    for (unsigned i = 0; i < 16; i++) {
        fail_item();
    }
    rig.hub.is_stopping = true;
    (void)rig_submit(&rig, &(struct rig_order){.items = 16});
    assert_int_equal(rig.hub.item_pool.used, rig.hub.board->items);
    assert_int_equal(rig_ask(&rig, hub_retry, oldest), STATUS_OK);
    assert_false(pool_is_used(&rig.hub.process_pool, other));
    assert_status(oldest, PROCESS_PLANNED);
    assert_int_equal(rig_process(&rig, oldest)->image.item_count, 12);
}

static void generations_survive_a_load(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    static const char *const accounts[] = {"anna", "ben"};
    uint32_t process = rig_submit(&rig, &(struct rig_order){.items = 2, .accounts = accounts});
    for (unsigned generation = 1; generation < 5; generation++) {
        fail_item();
        fail_item();
        assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    }
    rig_load_copy(&copy, &rig);
    rig_check(&copy);
    assert_int_equal(rig_process(&copy, process)->image.generation, 5);
    assert_int_equal(rig_process(&copy, process)->image.item_count, 10);
    assert_int_equal(rig_process(&copy, process)->counts.by_state[RECORD_READY] +
                         rig_process(&copy, process)->counts.by_state[RECORD_RUNNING],
                     2);
}

/* ---- policy that changes ---- */

static void a_changed_action_list_is_never_gone_on_with(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_true(start.actions_digest == 77);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    struct capability changed = rig.hub.capabilities[RIG_WORK];
    changed.actions_digest = 78;
    assert_int_equal(hub_capability_set(&rig.hub, &changed), STATUS_OK);
    rig_advance(&rig, 8000);
    rig_assert_no_start(&rig);
    assert_int_equal(state_of(process, 1), RECORD_FAILED);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.category, RECORD_CATEGORY_CAPABILITY);
    assert_int_equal(attempt.code.size, strlen("actions_changed"));
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    start = rig_begin(&rig);
    assert_true(start.actions_digest == 78);
    assert_int_equal(start.actions_done, 0);
}

static void a_changed_action_list_is_begun_where_nothing_was_done(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    struct capability changed = rig.hub.capabilities[RIG_WORK];
    changed.actions_digest = 78;
    assert_int_equal(hub_capability_set(&rig.hub, &changed), STATUS_OK);
    rig_advance(&rig, 8000);
    assert_true(rig_begin(&rig).actions_digest == 78);
}

static void a_retry_beyond_a_lowered_limit_is_given_up(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    struct capability changed = rig.hub.capabilities[RIG_WORK];
    changed.attempts_max = 1;
    assert_int_equal(hub_capability_set(&rig.hub, &changed), STATUS_OK);
    rig_advance(&rig, 8000);
    assert_int_equal(state_of(process, 1), RECORD_FAILED);
    rig_assert_no_start(&rig);
}

static void the_first_device_interaction_is_exact_and_outlives_a_death(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_advance(&rig, 123);
    uint64_t at = rig.clock.mono_ms;
    assert_int_equal(hub_attempt_touched(&rig.hub, start.phone, start.token), STATUS_OK);
    rig_advance(&rig, 1000);
    assert_int_equal(hub_attempt_touched(&rig.hub, start.phone, start.token), STATUS_OK);
    rig_commit(&rig);
    rig_restart(&rig, true);
    assert_true(rig_item(&rig, process, 1)->image.first_device.mono_ms == at);
}

int firmware_hub_control_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_held_item_is_not_leased_until_it_is_resumed, set_up),
        cmocka_unit_test_setup(a_hold_outlives_the_program, set_up),
        cmocka_unit_test_setup(a_running_item_is_suspended_when_it_has_stopped_and_not_counted,
                               set_up),
        cmocka_unit_test_setup(any_failure_while_it_is_asked_to_suspend_counts_as_stopped, set_up),
        cmocka_unit_test_setup(a_success_before_it_has_stopped_beats_the_suspension, set_up),
        cmocka_unit_test_setup(a_resume_while_it_stops_makes_it_go_on_after, set_up),
        cmocka_unit_test_setup(a_cancel_replaces_a_suspension_that_is_pending, set_up),
        cmocka_unit_test_setup(a_suspension_that_is_not_obeyed_is_forced_once_the_grace_is_over,
                               set_up),
        cmocka_unit_test_setup(a_death_while_a_suspension_is_pending_counts_as_stopped, set_up),
        cmocka_unit_test_setup(a_review_suspends_and_a_resume_goes_on_behind_it, set_up),
        cmocka_unit_test_setup(a_review_counts_the_actions_that_were_skipped_before_it, set_up),
        cmocka_unit_test_setup(a_review_that_was_reached_outlives_a_death, set_up),
        cmocka_unit_test_setup(a_review_is_settled_by_a_person, set_up),
        cmocka_unit_test_setup(what_an_operator_suspended_cannot_be_settled, set_up),
        cmocka_unit_test_setup(all_uncertain_items_are_settled_at_once, set_up),
        cmocka_unit_test_setup(an_uncertain_action_is_ordered_again_by_a_resume, set_up),
        cmocka_unit_test_setup(a_retry_supersedes_what_failed_and_keeps_what_succeeded, set_up),
        cmocka_unit_test_setup(no_record_of_a_retry_looks_terminal, set_up),
        cmocka_unit_test_setup(a_retry_clears_cancel_hold_and_a_passed_deadline, set_up),
        cmocka_unit_test_setup(a_deadline_that_has_not_passed_holds_for_the_retry_too, set_up),
        cmocka_unit_test_setup(what_had_nothing_to_run_is_planned_by_a_retry, set_up),
        cmocka_unit_test_setup(a_retry_that_does_not_fit_leaves_nothing_behind, set_up),
        cmocka_unit_test_setup(a_retry_makes_room_by_evicting_others_but_never_itself, set_up),
        cmocka_unit_test_setup(generations_survive_a_load, set_up),
        cmocka_unit_test_setup(a_changed_action_list_is_never_gone_on_with, set_up),
        cmocka_unit_test_setup(a_changed_action_list_is_begun_where_nothing_was_done, set_up),
        cmocka_unit_test_setup(a_retry_beyond_a_lowered_limit_is_given_up, set_up),
        cmocka_unit_test_setup(the_first_device_interaction_is_exact_and_outlives_a_death, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_control", tests, NULL, NULL);
}
