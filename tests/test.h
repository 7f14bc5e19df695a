/* test.h - what every test file includes before cmocka.
 *
 * A test file exports one function, listed in suites.def, that calls cmocka_run_group_tests_name.
 * Every test runs in a process of its own and fails after TEST_SECONDS (20). */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include "hal/base.h"

#define SUITE(name) int name##_tests(void);
#include "tests/suites.def"
#undef SUITE

/* Leaves a test that this kind of machine cannot run; `reason` (a literal) is printed. A bare
 * skip() counts as a failure. */
#define test_skip(reason)                                                                          \
    do {                                                                                           \
        print_message("cannot run here: " reason "\n");                                            \
        skip();                                                                                    \
    } while (0)

#endif
