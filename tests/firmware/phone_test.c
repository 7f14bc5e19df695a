/* The phone table against SPEC.md section 7 as text, walked both ways. */
#include "firmware/phone.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* RECORD_PHONE_STATE_COUNT: not allowed. */
static unsigned table[RECORD_PHONE_STATE_COUNT][PHONE_EVENT_COUNT];

static unsigned state_named(const char *name) {
    unsigned state = 0;
    while (state < RECORD_PHONE_STATE_COUNT && strcmp(name, record_phone_state_name(state)) != 0) {
        state += 1;
    }
    assert_true(state < RECORD_PHONE_STATE_COUNT);
    return state;
}

static unsigned event_named(const char *name) {
    unsigned event = 0;
    while (event < PHONE_EVENT_COUNT && strcmp(name, phone_event_name(event)) != 0) {
        event += 1;
    }
    assert_true(event < PHONE_EVENT_COUNT);
    return event;
}

static void read_table(void) {
    for (unsigned s = 0; s < RECORD_PHONE_STATE_COUNT; s++) {
        for (unsigned e = 0; e < PHONE_EVENT_COUNT; e++) {
            table[s][e] = RECORD_PHONE_STATE_COUNT;
        }
    }
    FILE *file = fopen("tests/firmware/phone_table.txt", "r");
    assert_non_null(file);
    char from[24], on[24], to[24];
    assert_int_equal(fscanf(file, "%*s %*s %*s"), 0); /* the heading */
    while (fscanf(file, "%23s %23s %23s", from, on, to) == 3) {
        unsigned *cell = &table[state_named(from)][event_named(on)];
        assert_int_equal(*cell, RECORD_PHONE_STATE_COUNT); /* no line stands twice */
        *cell = state_named(to);
    }
    assert_true(feof(file));
    fclose(file);
}

static void every_pair_goes_where_the_specification_says(void **unused) {
    (void)unused;
    read_table();
    for (unsigned s = 0; s < RECORD_PHONE_STATE_COUNT; s++) {
        for (unsigned e = 0; e < PHONE_EVENT_COUNT; e++) {
            uint8_t state = (uint8_t)s;
            bool is_allowed = table[s][e] != RECORD_PHONE_STATE_COUNT;
            assert_int_equal(phone_apply(&state, e), is_allowed ? STATUS_OK : STATUS_ILLEGAL);
            assert_int_equal(state, is_allowed ? table[s][e] : s);
        }
    }
}

static void an_operator_may_quarantine_every_phone_but_a_quarantined_one(void **unused) {
    (void)unused;
    for (unsigned s = 0; s < RECORD_PHONE_STATE_COUNT; s++) {
        uint8_t state = (uint8_t)s;
        bool is_allowed = s != RECORD_PHONE_QUARANTINED;
        assert_int_equal(phone_apply(&state, PHONE_ON_QUARANTINE) == STATUS_OK, is_allowed);
    }
}

/* SPEC.md section 7: leaving `leased` other than to `away`, or `away` other than to `leased`, is
 * *phone lost*; a lease that has ended is no loss. */
static void leaving_a_lease_is_losing_the_phone(void **unused) {
    (void)unused;
    read_table();
    for (unsigned s = 0; s < RECORD_PHONE_STATE_COUNT; s++) {
        for (unsigned e = 0; e < PHONE_EVENT_COUNT; e++) {
            unsigned to = table[s][e];
            if (to == RECORD_PHONE_STATE_COUNT || e == PHONE_ON_LEASE_ENDED) {
                continue;
            }
            bool had = s == RECORD_PHONE_LEASED || s == RECORD_PHONE_AWAY;
            bool has = to == RECORD_PHONE_LEASED || to == RECORD_PHONE_AWAY;
            assert_int_equal(phone_is_lost(s, to), had && !has);
        }
    }
}

static void no_two_events_share_a_name(void **unused) {
    (void)unused;
    for (unsigned e = 0; e < PHONE_EVENT_COUNT; e++) {
        assert_int_equal(event_named(phone_event_name(e)), e);
    }
}

int firmware_phone_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_goes_where_the_specification_says),
        cmocka_unit_test(an_operator_may_quarantine_every_phone_but_a_quarantined_one),
        cmocka_unit_test(leaving_a_lease_is_losing_the_phone),
        cmocka_unit_test(no_two_events_share_a_name),
    };
    return cmocka_run_group_tests_name("firmware/phone", tests, NULL, NULL);
}
