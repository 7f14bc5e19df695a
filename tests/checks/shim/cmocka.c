#include <cmocka.h>

int _cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t count,
                            CMFixtureFunction setup, CMFixtureFunction teardown) {
    void *shared = NULL;
    int failures = setup != NULL ? setup(&shared) : 0;
    (void)group;
    for (size_t i = 0; i < count && failures == 0; i++) {
        void *state = tests[i].initial_state != NULL ? tests[i].initial_state : shared;
        failures += tests[i].setup_func != NULL && tests[i].setup_func(&state) != 0;
        if (failures == 0) {
            tests[i].test_func(&state);
        }
        failures += tests[i].teardown_func != NULL && tests[i].teardown_func(&state) != 0;
    }
    return failures + (teardown != NULL ? teardown(&shared) : 0);
}
