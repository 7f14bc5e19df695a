/* main.c - runs every suite that tests/suites.def names; arguments keep the tests whose name
 * contains one of them. The last line counts: `N passed, N failed`. */
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>


static const struct {
    const char *name;
    int (*run)(void);
} suites[] = {
#define SUITE(name) {#name, name##_tests},
#include "tests/suites.def"
#undef SUITE
};

int main(int argc, char **argv) {
    int failed = 0;
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    for (size_t i = 0; i < array_count(suites); i++) {
        failed += suites[i].run();
    }
    return failed > 0;
}
