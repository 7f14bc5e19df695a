#include "firmware/budget.h"
#include "firmware/backoff.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { HOUR_MS = 3600000, USES = 4000 };

static const struct budget_limit three = {{3, 0, 0}};

static uint32_t left(const struct budget *budget, uint64_t now_ms) {
    return budget_left(budget, &three, BUDGET_ATTEMPTS, now_ms);
}

static void what_was_used_is_gone_for_an_hour(void **state) {
    (void)state;
    struct budget budget = {0};
    const uint64_t start = 10 * HOUR_MS + 7;
    budget_use(&budget, BUDGET_ATTEMPTS, start, 2);
    assert_int_equal(left(&budget, start), 1);
    assert_int_equal(left(&budget, start + HOUR_MS), 1);
    assert_int_equal(left(&budget, start + HOUR_MS + 2 * BUDGET_SLICE_MS), 3);
    assert_int_equal(budget_left(&budget, &three, BUDGET_SECONDS, start), UINT32_MAX);
}

static void says_when_something_is_left_again(void **state) {
    (void)state;
    struct budget budget = {0};
    const uint64_t start = 5 * HOUR_MS;
    budget_use(&budget, BUDGET_ATTEMPTS, start, 1);
    assert_true(budget_replenished_ms(&budget, &three, BUDGET_ATTEMPTS, start) == start);
    budget_use(&budget, BUDGET_ATTEMPTS, start + HOUR_MS / 2, 2);
    uint64_t at = budget_replenished_ms(&budget, &three, BUDGET_ATTEMPTS, start + HOUR_MS / 2);
    assert_int_equal(left(&budget, at - 1), 0);
    assert_int_equal(left(&budget, at), 1);
    assert_true(at >= start + HOUR_MS && at <= start + HOUR_MS + BUDGET_SLICE_MS);
}

static void what_was_not_used_comes_back_where_it_was_taken(void **state) {
    (void)state;
    struct budget budget = {0};
    const struct budget_limit limit = {{0, 100, 0}};
    budget_use(&budget, BUDGET_SECONDS, 1000, 60);
    budget_return(&budget, BUDGET_SECONDS, 1000, 45);
    assert_int_equal(budget_left(&budget, &limit, BUDGET_SECONDS, 61000), 85);
    budget_return(&budget, BUDGET_SECONDS, 1000, 100);
    assert_int_equal(budget_left(&budget, &limit, BUDGET_SECONDS, 61000), 100);
    budget_use(&budget, BUDGET_SECONDS, 1000 + 2 * HOUR_MS, 10);
    budget_return(&budget, BUDGET_SECONDS, 1000, 10);
    assert_int_equal(budget_left(&budget, &limit, BUDGET_SECONDS, 2 * HOUR_MS), 90);
}

/* Whoever uses all that is left, whenever there is some, never uses more than the limit in any
 * hour. */
static void no_hour_ever_sees_more_than_the_limit(void **state) {
    (void)state;
    static uint64_t uses[USES];
    struct jitter dice = {99};
    struct budget budget = {0};
    uint64_t now = 1;
    unsigned count = 0;
    while (count < USES) {
        if (left(&budget, now) > 0) {
            budget_use(&budget, BUDGET_ATTEMPTS, now, 1);
            uses[count] = now;
            assert_true(count < 3 || now - uses[count - 3] > HOUR_MS);
            count += 1;
        }
        now += (jitter_next(&dice) >> 33) % (HOUR_MS / 5);
    }
}

static void a_use_long_ago_is_not_counted(void **state) {
    (void)state;
    struct budget budget = {0};
    budget_use(&budget, BUDGET_ATTEMPTS, 100 * HOUR_MS, 1);
    budget_use(&budget, BUDGET_ATTEMPTS, 98 * HOUR_MS, 1);
    assert_int_equal(left(&budget, 100 * HOUR_MS), 2);
    budget_use(&budget, BUDGET_ATTEMPTS, 100 * HOUR_MS - HOUR_MS / 2, 1);
    assert_int_equal(left(&budget, 100 * HOUR_MS), 1);
}

static void amounts_and_times_beyond_all_sense_do_no_harm(void **state) {
    (void)state;
    struct budget budget = {0};
    const struct budget_limit limit = {{0, 100, 0}};
    const uint64_t start = 10 * HOUR_MS;
    budget_use(&budget, BUDGET_SECONDS, start, UINT32_MAX);
    budget_use(&budget, BUDGET_SECONDS, start, UINT32_MAX);
    assert_int_equal(budget_left(&budget, &limit, BUDGET_SECONDS, start), 0);
    budget_return(&budget, BUDGET_SECONDS, start + HOUR_MS, 1);              /* not taken yet */
    budget_return(&budget, BUDGET_SECONDS, start - 2 * HOUR_MS, UINT32_MAX); /* long gone */
    assert_int_equal(budget_left(&budget, &limit, BUDGET_SECONDS, start), 0);
    budget_return(&budget, BUDGET_SECONDS, start, UINT32_MAX);
    assert_int_equal(budget_left(&budget, &limit, BUDGET_SECONDS, start), 100);
}

int firmware_budget_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_used_is_gone_for_an_hour),
        cmocka_unit_test(says_when_something_is_left_again),
        cmocka_unit_test(what_was_not_used_comes_back_where_it_was_taken),
        cmocka_unit_test(no_hour_ever_sees_more_than_the_limit),
        cmocka_unit_test(a_use_long_ago_is_not_counted),
        cmocka_unit_test(amounts_and_times_beyond_all_sense_do_no_harm),
    };
    return cmocka_run_group_tests_name("firmware/budget", tests, NULL, NULL);
}
