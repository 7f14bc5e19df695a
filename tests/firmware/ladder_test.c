/* The recovery ladder: order, tries, waits, budgets, and what outlives a recovery. */
#include "firmware/ladder.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ALL = (1 << LADDER_END) - 1, START_MS = 50 };

static struct ladder ladder;
static uint64_t now_ms;

static int set_up(void **state) {
    (void)state;
    memset(&ladder, 0, sizeof ladder);
    now_ms = START_MS;
    return 0;
}

/* Waits as long as the ladder wants and takes the next rung. */
static enum ladder_rung climb(unsigned offered) {
    enum ladder_rung rung = LADDER_END;
    if (now_ms < ladder.next_ms) {
        assert_int_equal(ladder_climb(&ladder, offered, ladder.next_ms - 1, &rung), STATUS_AGAIN);
        now_ms = ladder.next_ms;
    }
    assert_int_equal(ladder_climb(&ladder, offered, now_ms, &rung), STATUS_OK);
    return rung;
}

static void the_mildest_rung_comes_first_and_the_end_last(void **state) {
    (void)state;
    static const enum ladder_rung expected[] = {
        LADDER_REOPEN, LADDER_REOPEN, LADDER_REOPEN, LADDER_RESET, LADDER_RESET,
        LADDER_REBOOT, LADDER_POWER,  LADDER_POWER,  LADDER_HUB,   LADDER_END,
    };
    for (size_t i = 0; i < array_count(expected); i++) {
        assert_int_equal(climb(ALL), expected[i]);
    }
    assert_int_equal(climb(ALL), LADDER_END);
}

static void waits_double_within_a_rung(void **state) {
    (void)state;
    assert_int_equal(climb(ALL), LADDER_REOPEN);
    assert_int_equal(ladder.next_ms, START_MS + 1000);
    assert_int_equal(climb(ALL), LADDER_REOPEN);
    assert_int_equal(ladder.next_ms, START_MS + 1000 + 2000);
}

static void what_the_place_does_not_offer_is_passed_over(void **state) {
    (void)state;
    unsigned offered = 1 << LADDER_REOPEN | 1 << LADDER_POWER;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(climb(offered), LADDER_REOPEN);
    }
    assert_int_equal(climb(offered), LADDER_POWER);
    assert_int_equal(climb(offered), LADDER_POWER);
    assert_int_equal(climb(offered), LADDER_END);
    assert_int_equal(climb(0), LADDER_END);
}

static void a_phone_that_keeps_falling_spends_its_hour(void **state) {
    (void)state;
    unsigned counts[LADDER_RUNG_COUNT] = {0};
    for (unsigned i = 0; i < 200 && counts[LADDER_END] == 0; i++) {
        counts[climb(ALL)] += 1;
        ladder_rest(&ladder); /* it answered, and falls again */
    }
    assert_int_equal(counts[LADDER_END], 1);
    for (unsigned r = 0; r < LADDER_END; r++) {
        assert_int_equal(counts[r], ladder_rules[r].per_hour);
    }
}

static void budgets_come_back_after_an_hour_and_not_before(void **state) {
    (void)state;
    unsigned offered = 1 << LADDER_POWER;
    assert_int_equal(climb(offered), LADDER_POWER);
    assert_int_equal(climb(offered), LADDER_POWER);
    ladder_rest(&ladder);
    now_ms = LADDER_HOUR_MS - 1;
    assert_int_equal(climb(offered), LADDER_END);
    now_ms = LADDER_HOUR_MS;
    assert_int_equal(climb(offered), LADDER_POWER);
}

static void a_release_gives_everything_back(void **state) {
    (void)state;
    while (climb(ALL) != LADDER_END) {
    }
    ladder_reset(&ladder);
    assert_int_equal(climb(ALL), LADDER_REOPEN);
}

int firmware_ladder_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_mildest_rung_comes_first_and_the_end_last, set_up),
        cmocka_unit_test_setup(waits_double_within_a_rung, set_up),
        cmocka_unit_test_setup(what_the_place_does_not_offer_is_passed_over, set_up),
        cmocka_unit_test_setup(a_phone_that_keeps_falling_spends_its_hour, set_up),
        cmocka_unit_test_setup(budgets_come_back_after_an_hour_and_not_before, set_up),
        cmocka_unit_test_setup(a_release_gives_everything_back, set_up),
    };
    return cmocka_run_group_tests_name("firmware/ladder", tests, NULL, NULL);
}
