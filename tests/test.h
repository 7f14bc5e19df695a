/* test.h - what every test file includes before cmocka. */
#ifndef TESTS_TEST_H
#define TESTS_TEST_H

#include "hal/base.h"

#define SUITE(name) int name##_tests(void);
#include "tests/suites.def"
#undef SUITE

#endif
