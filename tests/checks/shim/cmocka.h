/* cmocka.h - as much of cmocka as the tests of firmware/ and protocol/ use, for targets that have
 * no cmocka (big-endian mips). tests/main.c runs every test in its own process, so a failed
 * assertion prints and exits. */
#ifndef SHIM_CMOCKA_H
#define SHIM_CMOCKA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    void (*test_func)(void **state);
    CMFixtureFunction setup_func;
    CMFixtureFunction teardown_func;
    void *initial_state;
};

/* clang-format off */
#define cmocka_unit_test(f)                             {#f, f, NULL, NULL, NULL}
#define cmocka_unit_test_setup(f, up)                   {#f, f, up, NULL, NULL}
#define cmocka_unit_test_teardown(f, down)              {#f, f, NULL, down, NULL}
#define cmocka_unit_test_setup_teardown(f, up, down)    {#f, f, up, down, NULL}
#define cmocka_unit_test_prestate(f, state)             {#f, f, NULL, NULL, state}

int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown);
#define cmocka_run_group_tests_name(name, tests, up, down)                                         \
    _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof((tests)[0]), up, down)
#define cmocka_run_group_tests(tests, up, down) cmocka_run_group_tests_name(#tests, tests, up, down)

#define print_message(...) printf(__VA_ARGS__)
#define print_error(...)   fprintf(stderr, __VA_ARGS__)
#define skip()             (puts("[  SKIPPED ]"), exit(90))
#define fail()             shim_fail(__FILE__, __LINE__, "fail()", 0, 0)
#define fail_msg(...)      (printf(__VA_ARGS__), fail())

static inline _Noreturn void shim_fail(const char *file, int line, const char *what,
                                       unsigned long long a, unsigned long long b) {
    printf("%s:%d: %s (%#llx, %#llx)\n", file, line, what, a, b);
    exit(1);
}

#define shim_assert(ok, what, a, b)                                                                \
    ((ok) ? (void)0 : shim_fail(__FILE__, __LINE__, what, (unsigned long long)(a), (unsigned long long)(b)))
#define shim_relation(a, op, b)                                                                    \
    shim_assert((unsigned long long)(a) op (unsigned long long)(b), #a " " #op " " #b, a, b)
#define shim_address(a)            ((uintptr_t)(a))

#define assert_true(c)             shim_assert(c, #c, 0, 0)
#define assert_false(c)            shim_assert(!(c), "not: " #c, 0, 0)
#define assert_int_equal(a, b)     shim_relation(a, ==, b)
#define assert_int_not_equal(a, b) shim_relation(a, !=, b)
#define assert_null(p)             shim_assert((p) == NULL, #p " is NULL", shim_address(p), 0)
#define assert_non_null(p)         shim_assert((p) != NULL, #p " is not NULL", 0, 0)
#define assert_ptr_equal(a, b)     shim_relation(shim_address(a), ==, shim_address(b))
#define assert_ptr_not_equal(a, b) shim_relation(shim_address(a), !=, shim_address(b))
#define assert_string_equal(a, b)  shim_assert(strcmp(a, b) == 0, #a " equals " #b, 0, 0)
#define assert_string_not_equal(a, b) shim_assert(strcmp(a, b) != 0, #a " differs from " #b, 0, 0)
#define assert_memory_equal(a, b, n) shim_assert(memcmp(a, b, n) == 0, #a " equals " #b, 0, 0)
#define assert_memory_not_equal(a, b, n) shim_assert(memcmp(a, b, n) != 0, #a " differs from " #b, 0, 0)
#define assert_in_range(v, low, high)                                                              \
    shim_assert((v) >= (low) && (v) <= (high), #v " in " #low ".." #high, v, low)

#endif
