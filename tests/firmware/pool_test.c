#include "firmware/pool.h"
#include "firmware/backoff.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CAPACITY = 12 };

static uint32_t next[CAPACITY];
static struct pool pool;

static int set_up(void **state) {
    (void)state;
    pool_init(&pool, next, CAPACITY);
    return 0;
}

static void is_full_after_its_last_entry(void **state) {
    (void)state;
    for (uint32_t i = 0; i < CAPACITY; i++) {
        assert_int_equal(pool_free_count(&pool), CAPACITY - i);
        assert_int_equal(pool_take(&pool), i);
    }
    assert_int_equal(pool_take(&pool), POOL_NONE);
    assert_int_equal(pool_free_count(&pool), 0);
    pool_give(&pool, 5);
    assert_int_equal(pool_take(&pool), 5);
    assert_int_equal(pool_take(&pool), POOL_NONE);
    assert_int_equal(pool.used_max, CAPACITY);
}

static void touches_no_entry_before_its_first_use(void **state) {
    (void)state;
    memset(next, 0x5a, sizeof next);
    pool_init(&pool, next, CAPACITY);
    assert_int_equal(pool_take(&pool), 0);
    pool_give(&pool, 0);
    assert_int_equal(pool_take(&pool), 0);
    assert_int_equal(pool.touched, 1);
    assert_int_equal(next[1], 0x5a5a5a5a);
    assert_false(pool_is_used(&pool, 1));
    assert_false(pool_is_used(&pool, CAPACITY));
}

static void agrees_with_a_list_of_flags_over_random_use(void **state) {
    (void)state;
    struct jitter random = {20};
    bool used[CAPACITY] = {false};
    uint32_t count = 0;
    uint32_t most = 0;
    for (unsigned step = 0; step < 100000; step++) {
        uint32_t entry = (uint32_t)(jitter_next(&random) % CAPACITY);
        if (jitter_next(&random) % 2 == 0) {
            uint32_t taken = pool_take(&pool);
            assert_int_equal(taken == POOL_NONE, count == CAPACITY);
            if (taken != POOL_NONE) {
                assert_false(used[taken]);
                used[taken] = true;
                count += 1;
            }
        } else if (used[entry]) {
            pool_give(&pool, entry);
            used[entry] = false;
            count -= 1;
        }
        most = count > most ? count : most;
        assert_int_equal(pool.used, count);
        assert_int_equal(pool.used_max, most);
        assert_int_equal(pool_is_used(&pool, entry), used[entry]);
    }
}

static void claimed_entries_are_used_and_the_gaps_free(void **state) {
    (void)state;
    pool_claim(&pool, 7);
    pool_claim(&pool, 2);
    pool_claim(&pool, 0);
    pool_loaded(&pool);
    assert_int_equal(pool.used, 3);
    assert_int_equal(pool.touched, 8);
    const uint32_t expected[] = {1, 3, 4, 5, 6, 8, 9, 10, 11, POOL_NONE};
    for (size_t i = 0; i < array_count(expected); i++) {
        assert_int_equal(pool_take(&pool), expected[i]);
    }
}

static void a_load_of_nothing_leaves_all_free(void **state) {
    (void)state;
    pool_loaded(&pool);
    assert_int_equal(pool_free_count(&pool), CAPACITY);
    assert_int_equal(pool_take(&pool), 0);
}

int firmware_pool_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(is_full_after_its_last_entry, set_up),
        cmocka_unit_test_setup(touches_no_entry_before_its_first_use, set_up),
        cmocka_unit_test_setup(agrees_with_a_list_of_flags_over_random_use, set_up),
        cmocka_unit_test_setup(claimed_entries_are_used_and_the_gaps_free, set_up),
        cmocka_unit_test_setup(a_load_of_nothing_leaves_all_free, set_up),
    };
    return cmocka_run_group_tests_name("firmware/pool", tests, NULL, NULL);
}
