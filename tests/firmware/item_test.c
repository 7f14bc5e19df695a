/* The item table against SPEC.md section 2 as text, walked both ways. */
#include "firmware/item.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* One line of item_table.txt; `to` is RECORD_ITEM_STATE_COUNT where the text has none. */
struct specified {
    unsigned to;
    unsigned attempt, counted, deliveries, faults;
    char lease[8]; /* "-": has none; taken, kept, ended */
};

static struct specified table[RECORD_ITEM_STATE_COUNT][ITEM_EVENT_COUNT];

static unsigned state_named(const char *name) {
    unsigned state = 0;
    while (state < RECORD_ITEM_STATE_COUNT && strcmp(name, record_item_state_name(state)) != 0) {
        state += 1;
    }
    assert_true(state < RECORD_ITEM_STATE_COUNT);
    return state;
}

static unsigned event_named(const char *name) {
    unsigned event = 0;
    while (event < ITEM_EVENT_COUNT && strcmp(name, item_event_name(event)) != 0) {
        event += 1;
    }
    assert_true(event < ITEM_EVENT_COUNT);
    return event;
}

static void read_table(void) {
    for (unsigned s = 0; s < RECORD_ITEM_STATE_COUNT; s++) {
        for (unsigned e = 0; e < ITEM_EVENT_COUNT; e++) {
            table[s][e].to = RECORD_ITEM_STATE_COUNT;
        }
    }
    FILE *file = fopen("tests/firmware/item_table.txt", "r");
    assert_non_null(file);
    char from[24], on[24], to[24];
    struct specified row;
    assert_int_equal(fscanf(file, "%*s %*s %*s %*s %*s %*s %*s %*s"), 0); /* the heading */
    while (fscanf(file, "%23s %23s %23s %u %u %u %u %7s", from, on, to, &row.attempt, &row.counted,
                  &row.deliveries, &row.faults, row.lease) == 8) {
        struct specified *cell = &table[state_named(from)][event_named(on)];
        assert_int_equal(cell->to, RECORD_ITEM_STATE_COUNT); /* no line stands twice */
        *cell = row;
        cell->to = state_named(to);
    }
    assert_true(feof(file));
    fclose(file);
}

static bool has_lease(unsigned state) {
    return state == RECORD_LEASED || state == RECORD_RUNNING;
}

/* An item in a state, with everything its state implies, and every counter at a value of its own.
 */
static struct record_item item_in(unsigned state, unsigned event) {
    struct record_item item = {
        .state = (uint8_t)state,
        .generation = 3,
        .attempt = 40,
        .attempts_counted = 7,
        .deliveries = 11,
        .faults = 2,
        .actions_done = 5,
        .target_phone = 9,
        .token = 17,
    };
    bool takes_lease = event == ITEM_ON_GRANT;
    item.phone = has_lease(state) || takes_lease ? 9 : 0;
    item.stop = state == RECORD_RUNNING ? RECORD_STOP_TIMEOUT : RECORD_STOP_NONE;
    bool suspends = event == ITEM_ON_STOPPED_SUSPEND || event == ITEM_ON_UNCERTAIN;
    item.suspension = state == RECORD_SUSPENDED || suspends ? RECORD_SUSPEND_OPERATOR : 0;
    return item;
}

static void assert_as_specified(unsigned state, unsigned event) {
    const struct specified *row = &table[state][event];
    const struct record_item before = item_in(state, event);
    struct record_item item = before;
    bool is_allowed = row->to != RECORD_ITEM_STATE_COUNT;
    assert_int_equal(item_allows(state, event), is_allowed);
    enum status status = item_apply(&item, event);
    if (!is_allowed) {
        assert_int_equal(status, STATUS_ILLEGAL);
        assert_memory_equal(&item, &before, sizeof item);
        return;
    }
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(item.state, row->to);
    assert_int_equal(item.attempt, before.attempt + row->attempt);
    assert_int_equal(item.attempts_counted, before.attempts_counted + row->counted);
    assert_int_equal(item.deliveries, before.deliveries + row->deliveries);
    assert_int_equal(item.faults, before.faults + row->faults);
    bool holds = strcmp(row->lease, "taken") == 0 || strcmp(row->lease, "kept") == 0;
    assert_int_equal(item.phone, holds ? 9 : 0);
    assert_int_equal(item.stop, item.state == RECORD_RUNNING ? before.stop : 0);
    assert_int_equal(strcmp(row->lease, "ended") == 0, has_lease(state) && !holds);
    assert_int_equal(item.token, before.token);
    assert_int_equal(item.actions_done, before.actions_done);
    assert_int_equal(item.suspension, item.state == RECORD_SUSPENDED ? before.suspension : 0);
}

static void every_pair_goes_where_the_specification_says(void **state) {
    (void)state;
    read_table();
    unsigned allowed = 0;
    for (unsigned s = 0; s < RECORD_ITEM_STATE_COUNT; s++) {
        for (unsigned e = 0; e < ITEM_EVENT_COUNT; e++) {
            assert_as_specified(s, e);
            allowed += table[s][e].to != RECORD_ITEM_STATE_COUNT;
        }
    }
    assert_int_equal(allowed, 35);
}

static void terminal_states_accept_nothing(void **state) {
    (void)state;
    for (unsigned s = 0; s < RECORD_ITEM_STATE_COUNT; s++) {
        bool is_terminal = s == RECORD_COMPLETED || s == RECORD_FAILED || s == RECORD_CANCELED;
        assert_int_equal(item_is_terminal(s), is_terminal);
        for (unsigned e = 0; is_terminal && e < ITEM_EVENT_COUNT; e++) {
            assert_false(item_allows(s, e));
        }
    }
}

static void every_state_but_the_new_ones_can_be_reached(void **state) {
    (void)state;
    read_table();
    bool reached[RECORD_ITEM_STATE_COUNT] = {[RECORD_SCHEDULED] = true, [RECORD_READY] = true};
    for (unsigned round = 0; round < RECORD_ITEM_STATE_COUNT; round++) {
        for (unsigned s = 0; s < RECORD_ITEM_STATE_COUNT; s++) {
            for (unsigned e = 0; reached[s] && e < ITEM_EVENT_COUNT; e++) {
                reached[table[s][e].to % RECORD_ITEM_STATE_COUNT] |=
                    table[s][e].to != RECORD_ITEM_STATE_COUNT;
            }
        }
    }
    for (unsigned s = 0; s < RECORD_ITEM_STATE_COUNT; s++) {
        assert_true(reached[s]);
    }
}

static void no_two_events_share_a_name(void **state) {
    (void)state;
    for (unsigned a = 0; a < ITEM_EVENT_COUNT; a++) {
        assert_int_equal(event_named(item_event_name(a)), a);
    }
}

int firmware_item_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_goes_where_the_specification_says),
        cmocka_unit_test(terminal_states_accept_nothing),
        cmocka_unit_test(every_state_but_the_new_ones_can_be_reached),
        cmocka_unit_test(no_two_events_share_a_name),
    };
    return cmocka_run_group_tests_name("firmware/item", tests, NULL, NULL);
}
