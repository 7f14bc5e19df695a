/* The sync link's table against its text, walked both ways. */
#include "host/hubd/sync/uplink.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* UPLINK_STATE_COUNT: not allowed. */
static unsigned table[UPLINK_STATE_COUNT][UPLINK_EVENT_COUNT];

static unsigned state_named(const char *name) {
    unsigned state = 0;
    while (state < UPLINK_STATE_COUNT && strcmp(name, uplink_state_name(state)) != 0) {
        state += 1;
    }
    assert_true(state < UPLINK_STATE_COUNT);
    return state;
}

static unsigned event_named(const char *name) {
    unsigned event = 0;
    while (event < UPLINK_EVENT_COUNT && strcmp(name, uplink_event_name(event)) != 0) {
        event += 1;
    }
    assert_true(event < UPLINK_EVENT_COUNT);
    return event;
}

static void read_table(void) {
    char from[16], on[16], to[16];
    for (unsigned s = 0; s < UPLINK_STATE_COUNT; s++) {
        for (unsigned e = 0; e < UPLINK_EVENT_COUNT; e++) {
            table[s][e] = UPLINK_STATE_COUNT;
        }
    }
    FILE *file = fopen("tests/host/uplink_table.txt", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*s %*s %*s"), 0); /* the heading */
    while (fscanf(file, "%15s %15s %15s", from, on, to) == 3) {
        unsigned *cell = &table[state_named(from)][event_named(on)];
        assert_int_equal(*cell, UPLINK_STATE_COUNT); /* no line stands twice */
        *cell = state_named(to);
    }
    assert_true(feof(file));
    fclose(file);
}

static void every_pair_goes_where_the_text_says(void **unused) {
    (void)unused;
    read_table();
    for (unsigned s = 0; s < UPLINK_STATE_COUNT; s++) {
        for (unsigned e = 0; e < UPLINK_EVENT_COUNT; e++) {
            enum uplink_state state = s;
            bool is_allowed = table[s][e] != UPLINK_STATE_COUNT;
            assert_int_equal(uplink_apply(&state, e), is_allowed ? STATUS_OK : STATUS_ILLEGAL);
            assert_int_equal(state, is_allowed ? table[s][e] : s);
        }
    }
}

static void a_link_that_is_off_does_nothing(void **unused) {
    (void)unused;
    for (unsigned e = 0; e < UPLINK_EVENT_COUNT; e++) {
        enum uplink_state state = UPLINK_OFF;
        assert_int_equal(uplink_apply(&state, e), STATUS_ILLEGAL);
    }
}

int host_uplink_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_goes_where_the_text_says),
        cmocka_unit_test(a_link_that_is_off_does_nothing),
    };
    return cmocka_run_group_tests_name("host/uplink", tests, NULL, NULL);
}
