/* The phone table against SPEC.md section 7 as text, walked both ways. */
#include "firmware/phone.h"
#include "tests/firmware/state_table.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *state_name(unsigned state) {
    return record_phone_state_name(state);
}

static const char *event_name(unsigned event) {
    return phone_event_name(event);
}

static enum status apply(uint8_t *state, unsigned event) {
    return phone_apply(state, event);
}

static const struct state_table table = {"tests/firmware/phone_table.txt",
                                         RECORD_PHONE_STATE_COUNT,
                                         PHONE_EVENT_COUNT,
                                         state_name,
                                         event_name,
                                         apply};

static void every_pair_goes_where_the_specification_says(void **unused) {
    (void)unused;
    state_table_check(&table);
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
    for (unsigned s = 0; s < RECORD_PHONE_STATE_COUNT; s++) {
        for (unsigned e = 0; e < PHONE_EVENT_COUNT; e++) {
            unsigned to = state_table_next(&table, s, e);
            if (to == RECORD_PHONE_STATE_COUNT || e == PHONE_ON_LEASE_ENDED) {
                continue;
            }
            bool had = s == RECORD_PHONE_LEASED || s == RECORD_PHONE_AWAY;
            bool has = to == RECORD_PHONE_LEASED || to == RECORD_PHONE_AWAY;
            assert_int_equal(phone_is_lost(s, to), had && !has);
        }
    }
}

int firmware_phone_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_goes_where_the_specification_says),
        cmocka_unit_test(an_operator_may_quarantine_every_phone_but_a_quarantined_one),
        cmocka_unit_test(leaving_a_lease_is_losing_the_phone),
    };
    return cmocka_run_group_tests_name("firmware/phone", tests, NULL, NULL);
}
