/* Battery care: decisions, hysteresis and budgets, and a simulated battery over weeks. */
#include "firmware/battery.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MINUTE_MS = 60000, START_MS = 5000 };

static const struct battery_rules rules = {.low = 40, .high = 80, .check_ms = 5 * MINUTE_MS};
static struct battery battery;
static uint64_t now_ms;

static int set_up(void **state) {
    (void)state;
    memset(&battery, 0, sizeof battery);
    now_ms = START_MS;
    return 0;
}

static enum battery_wish decide(bool is_idle, bool is_wanted) {
    return battery_decide(&battery, &rules, is_idle, is_wanted, now_ms);
}

static void say(unsigned level) {
    battery_asked(&battery, now_ms);
    battery_said(&battery, &rules, level);
}

static void a_phone_is_read_before_anything_is_switched(void **state) {
    (void)state;
    assert_int_equal(decide(true, false), BATTERY_READ);
    battery_asked(&battery, now_ms);
    assert_int_equal(decide(true, false), BATTERY_NOTHING);
    now_ms += rules.check_ms;
    assert_int_equal(decide(true, false), BATTERY_READ); /* it never answered */
    say(100);
    assert_int_equal(decide(true, false), BATTERY_CUT);
}

static void it_fills_up_to_high_and_rests_down_to_low(void **state) {
    (void)state;
    static const struct {
        unsigned level;
        enum battery_wish wish;
    } rows[] = {{60, BATTERY_NOTHING}, {79, BATTERY_NOTHING}, {80, BATTERY_CUT},
                {79, BATTERY_CUT},     {43, BATTERY_CUT},     {42, BATTERY_NOTHING},
                {50, BATTERY_NOTHING}, {79, BATTERY_NOTHING}, {95, BATTERY_CUT}};
    for (size_t i = 0; i < array_count(rows); i++) {
        say(rows[i].level);
        assert_int_equal(decide(true, false), rows[i].wish);
        now_ms += MINUTE_MS;
    }
}

static void a_faster_loss_is_believed_and_a_phone_below_low_rests_shortly(void **state) {
    (void)state;
    battery_has_power(&battery, now_ms); /* it was never cut */
    assert_int_equal(battery.rested_ms, 0);
    assert_int_equal(battery_deadline_ms(&battery, &rules), 0);
    battery_asked(&battery, now_ms);
    assert_int_equal(battery_deadline_ms(&battery, &rules), now_ms + rules.check_ms);
    static const struct {
        unsigned level, ms_per_percent;
    } rests[] = {{90, 6 * MINUTE_MS}, {88, 6 * MINUTE_MS}, {48, 3 * MINUTE_MS / 2}};
    say(100);
    for (size_t i = 0; i < array_count(rests); i++) {
        battery_was_cut(&battery, &rules, now_ms);
        now_ms += 60 * MINUTE_MS;
        battery_has_power(&battery, now_ms);
        say(rests[i].level);
        assert_int_equal(battery.ms_per_percent, rests[i].ms_per_percent);
    }
    battery_was_cut(&battery, &rules, now_ms);
    now_ms += MINUTE_MS;
    battery_has_power(&battery, now_ms);
    say(44); /* a small loss, and faster than the one before */
    assert_int_equal(battery.ms_per_percent, MINUTE_MS / 4);
    say(rules.low);
    battery_was_cut(&battery, &rules, now_ms);
    assert_int_equal(battery.rest_ms, (uint64_t)rules.check_ms * BATTERY_REST_CHECKS);
}

static void a_phone_that_is_used_or_wanted_is_left_alone(void **state) {
    (void)state;
    assert_int_equal(decide(false, false), BATTERY_NOTHING);
    say(100);
    assert_int_equal(decide(false, false), BATTERY_NOTHING);
    assert_int_equal(decide(true, true), BATTERY_NOTHING);
    assert_int_equal(decide(true, false), BATTERY_CUT);
}

static void work_that_waits_wakes_it_at_once(void **state) {
    (void)state;
    say(100);
    battery_was_cut(&battery, &rules, now_ms);
    now_ms += 1;
    assert_int_equal(decide(false, false), BATTERY_NOTHING);
    assert_int_equal(decide(false, true), BATTERY_CHARGE);
    battery_has_power(&battery, now_ms);
    assert_int_equal(decide(true, false), BATTERY_READ);
}

static void what_is_no_level_changes_nothing(void **state) {
    (void)state;
    battery_asked(&battery, now_ms);
    battery_said(&battery, &rules, 101);
    battery_said(&battery, &rules, 4000000000u);
    assert_false(battery.is_known || battery.is_draining);
    assert_int_equal(decide(true, false), BATTERY_NOTHING);
}

static void a_port_is_cut_only_so_often_in_an_hour(void **state) {
    (void)state;
    for (unsigned i = 0; i < BATTERY_CUTS_PER_HOUR; i++) {
        say(100);
        assert_int_equal(decide(true, false), BATTERY_CUT);
        battery_was_cut(&battery, &rules, now_ms);
        battery_has_power(&battery, now_ms);
    }
    say(100);
    assert_int_equal(decide(true, false), BATTERY_NOTHING);
    now_ms += BATTERY_HOUR_MS;
    say(100);
    assert_int_equal(decide(true, false), BATTERY_CUT);
}

static void a_port_that_cannot_be_cut_is_left_alone_for_an_hour(void **state) {
    (void)state;
    say(100);
    assert_int_equal(decide(true, false), BATTERY_CUT);
    battery_was_refused(&battery, now_ms);
    now_ms += BATTERY_REFUSED_MS - 1;
    say(100);
    assert_int_equal(decide(true, false), BATTERY_NOTHING);
    now_ms += 1;
    assert_int_equal(decide(true, false), BATTERY_CUT);
}

/* Weeks of an idle phone whose battery gains and loses so many thousandths of a percent a minute,
 * and that is wanted for an hour in every `work_hours`. */
static void live(unsigned gain, unsigned loss, unsigned work_hours) {
    int milli = 60000;
    int lowest = 100000, highest = 0;
    unsigned cuts = 0, off_minutes = 0;
    const unsigned minutes = 21 * 24 * 60;
    set_up(NULL);
    for (unsigned minute = 0; minute < minutes; minute++) {
        bool is_wanted = work_hours > 0 && minute / 60 % work_hours == 0;
        bool is_off = battery.is_resting;
        milli += is_off ? -(int)loss : (int)gain;
        milli = milli > 100000 ? 100000 : milli < 0 ? 0 : milli;
        enum battery_wish wish = decide(!is_off, is_wanted);
        if (wish == BATTERY_READ) {
            say((unsigned)(milli / 1000));
            wish = decide(true, is_wanted);
        }
        if (wish == BATTERY_CUT) {
            battery_was_cut(&battery, &rules, now_ms);
            cuts += 1;
        } else if (wish == BATTERY_CHARGE) {
            battery_has_power(&battery, now_ms);
        }
        if (minute > 24 * 60) {
            lowest = milli < lowest ? milli : lowest;
            highest = milli > highest && !is_wanted ? milli : highest;
        }
        off_minutes += is_off ? 1 : 0;
        now_ms += MINUTE_MS;
    }
    assert_true(cuts < 21 * 24 * 2); /* far from its budget */
    if (work_hours == 0) {
        assert_in_range(lowest, 36000, 100000);
        assert_in_range(highest, 0, 86000);
        assert_true(off_minutes > minutes / 4);
    }
}

static void a_battery_stays_between_low_and_high_for_weeks(void **state) {
    (void)state;
    live(1000, 100, 0); /* charges in less than two hours, loses 6 % an hour */
    live(500, 20, 0);
    live(1000, 500, 0);
    live(1000, 100, 6);
}

static void time_starts_anywhere(void **state) {
    (void)state;
    now_ms = 0;
    assert_int_equal(decide(true, false), BATTERY_READ);
    say(90);
    assert_int_equal(decide(true, false), BATTERY_CUT);
    battery_was_cut(&battery, &rules, now_ms);
    assert_int_equal(battery_deadline_ms(&battery, &rules),
                     BATTERY_REST_CHECKS * (uint64_t)rules.check_ms);
    battery_has_power(&battery, now_ms);
    assert_int_equal(battery_deadline_ms(&battery, &rules), 0);
}

int firmware_battery_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_phone_is_read_before_anything_is_switched, set_up),
        cmocka_unit_test_setup(it_fills_up_to_high_and_rests_down_to_low, set_up),
        cmocka_unit_test_setup(a_faster_loss_is_believed_and_a_phone_below_low_rests_shortly,
                               set_up),
        cmocka_unit_test_setup(a_phone_that_is_used_or_wanted_is_left_alone, set_up),
        cmocka_unit_test_setup(work_that_waits_wakes_it_at_once, set_up),
        cmocka_unit_test_setup(what_is_no_level_changes_nothing, set_up),
        cmocka_unit_test_setup(a_port_is_cut_only_so_often_in_an_hour, set_up),
        cmocka_unit_test_setup(a_port_that_cannot_be_cut_is_left_alone_for_an_hour, set_up),
        cmocka_unit_test_setup(a_battery_stays_between_low_and_high_for_weeks, set_up),
        cmocka_unit_test_setup(time_starts_anywhere, set_up),
    };
    return cmocka_run_group_tests_name("firmware/battery", tests, NULL, NULL);
}
