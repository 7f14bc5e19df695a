#include "firmware/backoff.h"
#include "firmware/timer.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { OWNERS = 20 };

static uint32_t heap[OWNERS];
static uint32_t position[OWNERS];
static uint64_t due_ms[OWNERS];
static struct timer_table timers;

static int set_up(void **state) {
    (void)state;
    memset(position, 0, sizeof position);
    timer_init(&timers, heap, position, due_ms, OWNERS);
    return 0;
}

static void assert_next(uint64_t now_ms, uint32_t expected) {
    uint32_t owner = OWNERS;
    assert_true(timer_pop(&timers, now_ms, &owner));
    assert_int_equal(owner, expected);
}

static void gives_owners_in_the_order_of_their_deadlines(void **state) {
    (void)state;
    uint32_t owner;
    timer_set(&timers, 3, 300);
    timer_set(&timers, 1, 100);
    timer_set(&timers, 2, 200);
    assert_int_equal(timer_next(&timers), 100);
    assert_false(timer_pop(&timers, 99, &owner));
    assert_next(100, 1);
    assert_next(1000, 2);
    assert_next(1000, 3);
    assert_false(timer_pop(&timers, UINT64_MAX, &owner));
    assert_int_equal(timer_next(&timers), TIMER_NEVER);
}

static void equal_deadlines_go_by_owner(void **state) {
    (void)state;
    for (uint32_t owner = OWNERS; owner > 0; owner--) {
        timer_set(&timers, owner - 1, 7);
    }
    assert_int_equal(timers.count, OWNERS);
    for (uint32_t owner = 0; owner < OWNERS; owner++) {
        assert_next(7, owner);
    }
}

static void moves_and_clears_a_deadline(void **state) {
    (void)state;
    timer_set(&timers, 0, 10);
    timer_set(&timers, 1, 20);
    timer_set(&timers, 0, 30);
    assert_int_equal(timer_due(&timers, 0), 30);
    assert_int_equal(timer_next(&timers), 20);
    timer_set(&timers, 1, TIMER_NEVER);
    timer_set(&timers, 1, TIMER_NEVER);
    assert_int_equal(timer_due(&timers, 1), TIMER_NEVER);
    assert_next(30, 0);
    assert_int_equal(timer_due(&timers, 0), TIMER_NEVER);
}

static void deadlines_near_the_end_of_time_wait_for_it(void **state) {
    (void)state;
    uint32_t owner;
    timer_set(&timers, 4, UINT64_MAX - 1);
    timer_set(&timers, 5, UINT64_MAX - 2);
    timer_set(&timers, 6, 0);
    assert_next(0, 6);
    assert_false(timer_pop(&timers, UINT64_MAX - 3, &owner));
    assert_next(UINT64_MAX - 2, 5);
    assert_false(timer_pop(&timers, UINT64_MAX - 2, &owner));
    assert_next(UINT64_MAX - 1, 4);
}

/* The owner that a naive search would give next; OWNERS: none. */
static uint32_t earliest(const uint64_t *model) {
    uint32_t best = OWNERS;
    for (uint32_t owner = 0; owner < OWNERS; owner++) {
        if (model[owner] != TIMER_NEVER && (best == OWNERS || model[owner] < model[best])) {
            best = owner;
        }
    }
    return best;
}

static void agrees_with_a_search_over_random_use(void **state) {
    (void)state;
    struct jitter random = {77};
    uint64_t model[OWNERS];
    memset(model, 0xff, sizeof model);
    for (unsigned step = 0; step < 200000; step++) {
        uint64_t draw = jitter_next(&random);
        uint32_t owner = (uint32_t)(draw >> 32) % OWNERS;
        uint32_t best = earliest(model);
        if (draw % 3 == 0) {
            uint64_t now_ms = (draw >> 8) % 64;
            bool is_due = best != OWNERS && model[best] <= now_ms;
            assert_int_equal(timer_pop(&timers, now_ms, &owner), is_due);
            if (is_due) {
                assert_int_equal(owner, best);
                model[owner] = TIMER_NEVER;
            }
        } else {
            model[owner] = draw % 3 == 1 && (draw >> 8) % 4 == 0 ? TIMER_NEVER : (draw >> 12) % 64;
            timer_set(&timers, owner, model[owner]);
        }
        assert_int_equal(timer_due(&timers, owner), model[owner]);
        best = earliest(model);
        assert_int_equal(timer_next(&timers), best == OWNERS ? TIMER_NEVER : model[best]);
    }
}

int firmware_timer_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gives_owners_in_the_order_of_their_deadlines, set_up),
        cmocka_unit_test_setup(equal_deadlines_go_by_owner, set_up),
        cmocka_unit_test_setup(moves_and_clears_a_deadline, set_up),
        cmocka_unit_test_setup(deadlines_near_the_end_of_time_wait_for_it, set_up),
        cmocka_unit_test_setup(agrees_with_a_search_over_random_use, set_up),
    };
    return cmocka_run_group_tests_name("firmware/timer", tests, NULL, NULL);
}
