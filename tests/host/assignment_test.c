/* Who has an item, what its records mean, and when a silent hub's grants are over. */
#include "host/upstreamd/fleet/assignment.h"
#include "host/upstreamd/fleet/dispatch.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct db_item given = {.phase = DB_PHASE_ASSIGNED, .hub = "b", .assignment = 3};

static void only_the_current_assignment_is_applied(void **state) {
    (void)state;
    assert_int_equal(assignment_judge(&given, "b", 3, RECORD_RUNNING), ASSIGNMENT_CURRENT);
    assert_int_equal(assignment_judge(&given, "b", 3, RECORD_COMPLETED), ASSIGNMENT_CURRENT);
    assert_int_equal(assignment_judge(&given, "a", 2, RECORD_RUNNING), ASSIGNMENT_HISTORY);
    assert_int_equal(assignment_judge(&given, "a", 2, RECORD_FAILED), ASSIGNMENT_HISTORY);
    assert_int_equal(assignment_judge(&given, "a", 3, RECORD_RUNNING), ASSIGNMENT_HISTORY);
}

static void an_older_success_wins_until_the_newer_one_began(void **state) {
    (void)state;
    struct db_item item = given;
    assert_int_equal(assignment_judge(&item, "a", 2, RECORD_COMPLETED), ASSIGNMENT_WINS);
    item.is_started = true;
    assert_int_equal(assignment_judge(&item, "a", 2, RECORD_COMPLETED), ASSIGNMENT_HISTORY);
    item.is_started = false;
    item.phase = DB_PHASE_ENDED;
    assert_int_equal(assignment_judge(&item, "a", 2, RECORD_COMPLETED), ASSIGNMENT_HISTORY);
}

static void what_may_have_run_once_moves_only_by_force(void **state) {
    (void)state;
    struct db_item item = given;
    assert_true(assignment_may_move(&item));
    item.is_once = true;
    assert_false(assignment_may_move(&item));
    item.is_forced = true;
    assert_true(assignment_may_move(&item));
    item = given;
    item.state = RECORD_SUSPENDED;
    assert_false(assignment_may_move(&item));
    item = given; /* its attempt stops, so that a person looks at it */
    item.state = RECORD_RUNNING;
    item.suspension = RECORD_SUSPEND_REVIEW;
    assert_false(assignment_may_move(&item));
    item.suspension = RECORD_SUSPEND_OPERATOR;
    assert_true(assignment_may_move(&item));
}

static void grants_are_over_after_ttl_and_its_margins(void **state) {
    (void)state;
    assert_int_equal(ledger_silence_ms(900000), 900000 + 9000 + 5000);
    assert_false(ledger_is_over(1000, 1000 + 913999, 900000));
    assert_true(ledger_is_over(1000, 1000 + 914000, 900000));
    assert_false(ledger_is_over(1000, 999, 900000));
}

static void a_new_answer_and_a_new_start_count_in_full(void **state) {
    (void)state;
    static struct ledger ledger;
    assert_int_equal(ledger_see(&ledger, "a", 7, 1000), 1000);
    assert_int_equal(ledger_see(&ledger, "a", 7, 5000), 1000);
    assert_int_equal(ledger_see(&ledger, "b", 7, 5000), 5000);
    assert_int_equal(ledger_see(&ledger, "a", 8, 6000), 6000);
    assert_int_equal(ledger_see(&ledger, "a", 8, 9000), 6000);
}

static void a_phone_needs_every_label(void **state) {
    (void)state;
    assert_true(dispatch_has_labels("lab red", ""));
    assert_true(dispatch_has_labels("lab red", "red lab"));
    assert_false(dispatch_has_labels("lab red", "red blue"));
    assert_false(dispatch_has_labels("label", "lab"));
}

static void refusals_are_tried_again_ever_later(void **state) {
    (void)state;
    assert_int_equal(assignment_backoff_ms(1), 0);
    assert_int_equal(assignment_backoff_ms(2), 250);
    assert_int_equal(assignment_backoff_ms(3), 500);
    assert_int_equal(assignment_backoff_ms(40), 60000);
}

int host_assignment_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_current_assignment_is_applied),
        cmocka_unit_test(an_older_success_wins_until_the_newer_one_began),
        cmocka_unit_test(what_may_have_run_once_moves_only_by_force),
        cmocka_unit_test(grants_are_over_after_ttl_and_its_margins),
        cmocka_unit_test(a_new_answer_and_a_new_start_count_in_full),
        cmocka_unit_test(a_phone_needs_every_label),
        cmocka_unit_test(refusals_are_tried_again_ever_later),
    };
    return cmocka_run_group_tests_name("host/assignment", tests, NULL, NULL);
}
