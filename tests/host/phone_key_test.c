/* How long phones have not used the hub's ADB key. */
#include "host/hubd/phones/phone_key.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static struct rig rig;

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static void pass_days(unsigned days) {
    rig.clock.mono_ms += (uint64_t)days * DAY_MS;
    rig.clock.wall_ms += (uint64_t)days * DAY_MS;
    hub_set_clock(&rig.hub, &rig.clock);
}

static void a_phone_that_was_away_for_six_days_is_told_of(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    pass_days(30); /* connected: its key is used */
    assert_true(phone_key_unused_since_ms(&rig.hub, phone) == 0);
    uint64_t left_ms = rig.clock.wall_ms;
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    assert_true(phone_key_unused_since_ms(&rig.hub, phone) == left_ms);
    pass_days(5);
    assert_int_equal(phone_key_expiring(&rig.hub), 0);
    pass_days(1);
    assert_int_equal(phone_key_expiring(&rig.hub), 1);
    assert_true(phone_key_unused_since_ms(&rig.hub, phone) == left_ms);
}

static void the_time_outlives_the_program(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint64_t left_ms = rig.clock.wall_ms;
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    rig_settle(&rig);
    pass_days(7);
    rig_restart(&rig, true);
    assert_true(phone_key_unused_since_ms(&rig.hub, phone) == left_ms);
    assert_int_equal(phone_key_expiring(&rig.hub), 1);
}

static void an_unauthorized_phone_has_no_key_to_lose(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    rig_phone_event(&rig, phone, PHONE_ON_KEY_REFUSED);
    pass_days(8);
    assert_true(phone_key_unused_since_ms(&rig.hub, phone) == 0);
    assert_int_equal(phone_key_expiring(&rig.hub), 0);
}

int host_phone_key_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_phone_that_was_away_for_six_days_is_told_of, set_up),
        cmocka_unit_test_setup(the_time_outlives_the_program, set_up),
        cmocka_unit_test_setup(an_unauthorized_phone_has_no_key_to_lose, set_up),
    };
    return cmocka_run_group_tests_name("host/phone_key", tests, NULL, NULL);
}
