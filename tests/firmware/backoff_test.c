#include "firmware/backoff.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void grows_by_its_factor_up_to_its_cap(void **state) {
    (void)state;
    const struct backoff backoff = {.base_ms = 100, .cap_ms = 1000, .factor = 2};
    const uint64_t expected[] = {100, 200, 400, 800, 1000, 1000};
    for (uint32_t n = 1; n <= array_count(expected); n++) {
        assert_int_equal(backoff_limit_ms(&backoff, n), expected[n - 1]);
    }
    assert_int_equal(backoff_limit_ms(&backoff, UINT32_MAX), 1000);
}

static void saturates_instead_of_wrapping_around(void **state) {
    (void)state;
    const struct backoff steep = {
        .base_ms = UINT64_C(1) << 40, .cap_ms = UINT64_MAX, .factor = UINT32_MAX};
    assert_int_equal(backoff_limit_ms(&steep, 1), UINT64_C(1) << 40);
    assert_int_equal(backoff_limit_ms(&steep, 2), UINT64_MAX);
    assert_int_equal(backoff_limit_ms(&steep, UINT32_MAX), UINT64_MAX);
    const struct backoff edge = {.base_ms = UINT64_MAX / 3, .cap_ms = UINT64_MAX, .factor = 3};
    assert_int_equal(backoff_limit_ms(&edge, 2), UINT64_MAX / 3 * 3);
    assert_int_equal(backoff_limit_ms(&edge, 3), UINT64_MAX);
}

static void a_factor_of_one_and_a_base_of_zero_stay_as_they_are(void **state) {
    (void)state;
    const struct backoff even = {.base_ms = 50, .cap_ms = 1000, .factor = 1};
    assert_int_equal(backoff_limit_ms(&even, UINT32_MAX), 50);
    const struct backoff none = {.base_ms = 0, .cap_ms = 1000, .factor = 8};
    assert_int_equal(backoff_limit_ms(&none, UINT32_MAX), 0);
    struct jitter jitter = {1};
    assert_int_equal(backoff_ms(&none, 3, &jitter), 0);
    const struct backoff capped = {.base_ms = 5000, .cap_ms = 1000, .factor = 2};
    assert_int_equal(backoff_limit_ms(&capped, 1), 1000);
}

static void jitter_reaches_every_value_from_zero_to_the_limit(void **state) {
    (void)state;
    const struct backoff backoff = {.base_ms = 9, .cap_ms = 9, .factor = 2};
    struct jitter jitter = {42};
    uint32_t hits[10] = {0};
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t wait_ms = backoff_ms(&backoff, 1, &jitter);
        assert_true(wait_ms <= 9);
        hits[wait_ms] += 1;
    }
    for (size_t i = 0; i < array_count(hits); i++) {
        assert_in_range(hits[i], 850, 1150);
    }
}

static void one_seed_always_gives_the_same_numbers(void **state) {
    (void)state;
    struct jitter a = {1};
    struct jitter b = {1};
    struct jitter c = {2};
    unsigned same = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t number = jitter_next(&a);
        assert_true(number == jitter_next(&b));
        same += number == jitter_next(&c);
    }
    assert_int_equal(same, 0);
    struct jitter known = {1};
    assert_true(jitter_next(&known) == UINT64_C(0x47e4ce4b896cdd1d)); /* xorshift64*, seed 1 */
}

static void a_limit_of_all_numbers_is_drawn_from_too(void **state) {
    (void)state;
    const struct backoff backoff = {.base_ms = UINT64_MAX, .cap_ms = UINT64_MAX, .factor = 2};
    struct jitter jitter = {1};
    uint64_t first = backoff_ms(&backoff, 3, &jitter);
    assert_true(first != backoff_ms(&backoff, 3, &jitter));
}

int firmware_backoff_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_by_its_factor_up_to_its_cap),
        cmocka_unit_test(saturates_instead_of_wrapping_around),
        cmocka_unit_test(a_factor_of_one_and_a_base_of_zero_stay_as_they_are),
        cmocka_unit_test(jitter_reaches_every_value_from_zero_to_the_limit),
        cmocka_unit_test(one_seed_always_gives_the_same_numbers),
        cmocka_unit_test(a_limit_of_all_numbers_is_drawn_from_too),
    };
    return cmocka_run_group_tests_name("firmware/backoff", tests, NULL, NULL);
}
