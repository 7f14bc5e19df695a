/* What a hub is after its program or its machine died. */
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

static void what_was_not_committed_never_was(void **state) {
    (void)state;
    uint32_t kept = rig_submit(&rig, &one);
    uint64_t number = rig_process(&rig, kept)->number;
    struct hub_accepted accepted;
    const struct rig_order keyed = {.key = "k"};
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_OK);
    assert_true(hub_durable_seq(&rig.hub) < hub_head_seq(&rig.hub));
    rig_restart(&rig, true);
    rig_check(&rig);
    assert_int_equal(hub_process_find(&rig.hub, number), kept);
    assert_int_equal(hub_process_find(&rig.hub, accepted.number), HUB_NONE);
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_OK);
    assert_false(accepted.is_duplicate);
}

static void an_attempt_cut_off_by_the_daemons_death_counts(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_restart(&rig, true);
    /* Still taken, and nobody may speak for it any more. */
    assert_int_equal(hub_busy_count(&rig.hub), 1);
    const struct record_attempt end = {.outcome = RECORD_SUCCESS};
    assert_int_equal(hub_attempt_end(&rig.hub, 0, start.token, &end), STATUS_STALE_LEASE);
    rig_settle(&rig);
    rig_assert_no_start(&rig);
    const struct record_item *image = &rig_item(&rig, process, 1)->image;
    assert_int_equal(image->state, RECORD_RETRY_WAIT);
    assert_int_equal(image->attempts_counted, 1);
    assert_int_equal(image->faults, 0);
    assert_int_equal(hub_busy_count(&rig.hub), 0);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.outcome, RECORD_FAILURE);
    assert_int_equal(attempt.category, RECORD_CATEGORY_HOST_RESTARTED);
    assert_memory_equal(attempt.code.data, "host_restarted", attempt.code.size);
    assert_memory_equal(attempt.phone_id.data, "A", 1);
    assert_true(attempt.started.mono_ms == 1000 && attempt.started.boot == 1);
}

static void an_attempt_cut_off_by_a_power_loss_does_not_count(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    rig_restart(&rig, false);
    rig_settle(&rig);
    const struct record_item *image = &rig_item(&rig, process, 1)->image;
    assert_int_equal(image->state, RECORD_READY);
    assert_int_equal(image->attempts_counted, 0);
    assert_int_equal(image->faults, 1);
    assert_int_equal(rig.hub.image.boot, 2);
    (void)rig_phone(&rig, "A");
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.attempt, 2);
}

/* The start after the power loss dies before it could say what the loss had cut off. */
static void a_power_loss_is_not_forgotten_by_a_second_death(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    rig_settle(&rig);
    rig_restart(&rig, false);
    rig_commit(&rig); /* the new boot is durable, the recovery is not */
    rig_restart(&rig, true);
    rig_settle(&rig);
    const struct record_item *image = &rig_item(&rig, process, 1)->image;
    assert_int_equal(image->attempts_counted, 0);
    assert_int_equal(image->faults, 1);
}

static void five_power_losses_are_poison(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &one);
    for (unsigned n = 1; n <= 5; n++) {
        (void)rig_phone(&rig, "A");
        (void)rig_begin(&rig);
        rig_restart(&rig, false);
        rig_settle(&rig);
    }
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED);
    assert_int_equal(rig_item(&rig, process, 1)->image.category, RECORD_CATEGORY_POISON);
}

static void done_actions_and_findings_outlive_the_daemon(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    rig_settle(&rig);
    rig_restart(&rig, false);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.actions_done, 2);
    (void)rig_phone(&rig, "A");
    start = rig_begin(&rig);
    assert_int_equal(start.actions_done, 2);
    struct bytes found = {0};
    assert_int_equal(hub_attempt_findings(&rig.hub, start.item, &found), STATUS_OK);
    assert_memory_equal(found.data, "{\"battery\":50}", found.size);
}

static void a_once_only_action_cut_off_is_in_doubt(void **state) {
    (void)state;
    for (unsigned same_boot = 0; same_boot < 2; same_boot++) {
        rig_start(&rig);
        (void)rig_phone(&rig, "A");
        uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_ONCE});
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(rig_step(&rig, &start), STATUS_OK);
        rig_settle(&rig);
        rig_restart(&rig, same_boot == 1);
        rig_settle(&rig);
        assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_SUSPENDED);
        rig_restart(&rig, true);
        rig_settle(&rig);
        assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_UNCERTAIN);
    }
}

/* hubd reads its capability files after the store: until then nobody knows which actions are. */
static void a_once_only_action_is_in_doubt_when_its_capability_comes_after_the_load(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_ONCE});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    rig_settle(&rig);
    struct capability capability = rig.hub.capabilities[RIG_ONCE];
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_OK);
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_UNCERTAIN);
}

static void a_stop_asked_before_the_death_is_what_it_ends_as(void **state) {
    (void)state;
    for (unsigned same_boot = 0; same_boot < 2; same_boot++) {
        rig_start(&rig);
        (void)rig_phone(&rig, "A");
        uint32_t process = rig_submit(&rig, &one);
        (void)rig_begin(&rig);
        rig_cancel(&rig, process);
        rig_restart(&rig, same_boot == 1);
        rig_settle(&rig);
        assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
    }
}

static void a_cancel_before_the_recovery_is_kept(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    rig_restart(&rig, true);
    rig_cancel(&rig, process);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
    assert_int_equal(hub_busy_count(&rig.hub), 0);
}

/* The wait of a retry, in one boot, goes on from where it was; in a new one it starts anew. */
static void a_retry_waits_no_longer_for_a_restart(void **state) {
    (void)state;
    for (unsigned same_boot = 0; same_boot < 2; same_boot++) {
        rig_start(&rig);
        (void)rig_phone(&rig, "A");
        uint32_t process = rig_submit(&rig, &one);
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE),
                         STATUS_OK);
        uint64_t wait = rig_item(&rig, process, 1)->image.wait_ms;
        assert_true(wait > 10);
        rig_advance(&rig, wait - 5);
        rig_restart(&rig, same_boot == 1);
        rig_settle(&rig);
        uint64_t left = hub_deadline_ms(&rig.hub) - rig.clock.mono_ms;
        assert_true(left == (same_boot == 1 ? 5 : wait));
        rig_advance(&rig, left);
        assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_READY);
    }
}

static void deadlines_and_start_times_outlive_the_machine(void **state) {
    (void)state;
    const uint64_t wall_ms = rig.clock.wall_ms;
    uint32_t later = rig_submit(&rig, &(struct rig_order){.not_before_ms = wall_ms + 50000});
    uint32_t late = rig_submit(&rig, &(struct rig_order){.deadline_ms = wall_ms + 90000});
    rig_restart(&rig, false);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, later, 1)->image.state, RECORD_SCHEDULED);
    rig_advance(&rig, 50000);
    assert_int_equal(rig_item(&rig, later, 1)->image.state, RECORD_READY);
    assert_int_equal(rig_item(&rig, late, 1)->image.state, RECORD_READY);
    rig_restart(&rig, false);
    rig_settle(&rig);
    rig_advance(&rig, 40000);
    assert_int_equal(rig_item(&rig, late, 1)->image.category, RECORD_CATEGORY_DEADLINE);
    assert_int_equal(rig_process(&rig, late)->status, PROCESS_DEAD_LETTER);
}

static void tokens_and_numbers_grow_over_every_restart(void **state) {
    (void)state;
    uint64_t token = 0;
    uint64_t number = 0;
    for (unsigned i = 0; i < 12; i++) {
        (void)rig_phone(&rig, "A");
        uint32_t process = rig_submit(&rig, &one);
        struct hub_start start = rig_begin(&rig);
        assert_true(start.token > token);
        assert_true(start.process > number);
        token = start.token;
        number = start.process;
        rig_cancel(&rig, process);
        assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, 0), STATUS_OK);
        rig_restart(&rig, i % 3 != 0);
        rig_settle(&rig);
    }
    assert_int_equal(rig.hub.image.starts, 13);
    assert_int_equal(rig.hub.image.boot, 5);
    assert_true(hub_boot_offset(&rig.hub, 5) != 0);
    assert_true(hub_boot_offset(&rig.hub, 1) == 1700000000000 - 1000);
}

static void a_history_stays_dense_over_a_restart(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    rig_restart(&rig, false);
    rig_settle(&rig);
    (void)rig_phone(&rig, "A");
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    static const enum record_event events[] = {
        RECORD_ACCEPTED_EVENT,      RECORD_PLANNED_EVENT,   RECORD_PLANNED_EVENT,
        RECORD_LEASED_EVENT,        RECORD_STARTED_EVENT,   RECORD_ATTEMPT_ENDED_EVENT,
        RECORD_RETURNED_EVENT,      RECORD_LEASED_EVENT,    RECORD_STARTED_EVENT,
        RECORD_ATTEMPT_ENDED_EVENT, RECORD_SUCCEEDED_EVENT, RECORD_FINISHED_EVENT,
    };
    rig_read_history(&rig, process, &history);
    assert_int_equal(history.count, array_count(events));
    for (uint32_t i = 0; i < history.count; i++) {
        assert_int_equal(history.event[i], events[i]);
    }
}

static void phones_are_found_out_anew_but_stay_quarantined(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    uint32_t b = rig_phone(&rig, "B");
    rig_phone_event(&rig, b, PHONE_ON_QUARANTINE);
    rig_settle(&rig);
    rig_restart(&rig, true);
    assert_int_equal(hub_phone_find(&rig.hub, bytes_of("A")), a);
    assert_int_equal(hub_phone_find(&rig.hub, bytes_of("B")), b);
    assert_int_equal(rig.hub.phones[a].state, RECORD_PHONE_ABSENT);
    assert_int_equal(rig.hub.phones[b].state, RECORD_PHONE_QUARANTINED);
    assert_string_equal(rig.hub.phones[b].reason, "why");
    assert_string_equal(rig.hub.phones[a].model, "model");
}

static void a_store_of_another_hub_is_refused(void **state) {
    (void)state;
    static struct rig before;
    before = rig;
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    assert_int_equal(hub_load(&rig.hub, bytes_of("other"), rig.boot_id, &rig.clock),
                     STATUS_FOREIGN);
    assert_memory_equal(before.flash.cells, rig.flash.cells, sizeof rig.flash.cells);
}

static struct {
    void *table;
    size_t bytes;
} expected[2];
static size_t expected_count;

static void note_table(void *table, size_t bytes) {
    assert_true(expected_count < array_count(expected));
    expected[expected_count].table = table;
    expected[expected_count].bytes = bytes;
    expected_count += 1;
}

/* Where a fault costs much, the owner gets the memory of what will be filled ready beforehand. */
static void a_load_tells_how_much_of_its_tables_it_will_fill(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        (void)rig_submit(&rig, &one);
    }
    rig_settle(&rig);
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    rig.hub.expect = note_table;
    expected_count = 0;
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_OK);
    assert_int_equal(expected_count, 2);
    assert_ptr_equal(expected[0].table, rig.hub.processes);
    assert_int_equal(expected[0].bytes, 3 * sizeof rig.hub.processes[0]);
    assert_ptr_equal(expected[1].table, rig.hub.items);
    assert_int_equal(expected[1].bytes, 3 * sizeof rig.hub.items[0]);
}

/* Nobody may be kept waiting by an item whose capability's file is gone. */
static void an_item_of_an_unknown_capability_waits_and_can_be_canceled(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    uint32_t process = rig_submit(&rig, &one);
    rig.hub.processes[process].capability = 0;
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_OK);
    rig_settle(&rig);
    assert_int_equal(rig_process(&rig, process)->capability, HUB_NONE);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_READY);
    rig_cancel(&rig, process);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
}

/* A file that comes back (SIGHUP) finds the work that waited for it. */
static void an_item_runs_once_its_capability_is_there_again(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    uint32_t process = rig_submit(&rig, &one);
    struct capability capability = rig.hub.capabilities[0];
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_OK);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->strand, HUB_NONE);
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->capability, 0);
    (void)rig_phone(&rig, "A");
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
}

int firmware_hub_recovery_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_not_committed_never_was, set_up),
        cmocka_unit_test_setup(an_attempt_cut_off_by_the_daemons_death_counts, set_up),
        cmocka_unit_test_setup(an_attempt_cut_off_by_a_power_loss_does_not_count, set_up),
        cmocka_unit_test_setup(a_power_loss_is_not_forgotten_by_a_second_death, set_up),
        cmocka_unit_test_setup(five_power_losses_are_poison, set_up),
        cmocka_unit_test_setup(done_actions_and_findings_outlive_the_daemon, set_up),
        cmocka_unit_test_setup(a_once_only_action_cut_off_is_in_doubt, set_up),
        cmocka_unit_test_setup(
            a_once_only_action_is_in_doubt_when_its_capability_comes_after_the_load, set_up),
        cmocka_unit_test_setup(a_stop_asked_before_the_death_is_what_it_ends_as, set_up),
        cmocka_unit_test_setup(a_cancel_before_the_recovery_is_kept, set_up),
        cmocka_unit_test_setup(a_retry_waits_no_longer_for_a_restart, set_up),
        cmocka_unit_test_setup(deadlines_and_start_times_outlive_the_machine, set_up),
        cmocka_unit_test_setup(tokens_and_numbers_grow_over_every_restart, set_up),
        cmocka_unit_test_setup(a_history_stays_dense_over_a_restart, set_up),
        cmocka_unit_test_setup(phones_are_found_out_anew_but_stay_quarantined, set_up),
        cmocka_unit_test_setup(a_store_of_another_hub_is_refused, set_up),
        cmocka_unit_test_setup(a_load_tells_how_much_of_its_tables_it_will_fill, set_up),
        cmocka_unit_test_setup(an_item_of_an_unknown_capability_waits_and_can_be_canceled, set_up),
        cmocka_unit_test_setup(an_item_runs_once_its_capability_is_there_again, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_recovery", tests, NULL, NULL);
}
