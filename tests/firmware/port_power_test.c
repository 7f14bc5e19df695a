/* Switching a port off and on, on hubs that obey, refuse, lie, or have two halves. */
#include "firmware/port_power.h"

#include "tests/firmware/state_table.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { PORT = 3, REST_MS = 2000 };

/* One half of a hub, and how it behaves. */
static struct half {
    bool is_on;
    uint8_t characteristics;
    unsigned deaf_offs; /* so many times it, or the kernel, keeps the port on */
    unsigned deaf_ons;
    bool refuses_off;
    bool refuses_on;
    bool lies_about_itself, lies_about_its_port; /* an answer that is cut short */
    uint8_t ports;                               /* 0: four */
    unsigned offs, ons;
} halves[2];

static struct port_power power;
static uint64_t now_ms;
static uint64_t off_since_ms;

static int set_up(void **state) {
    (void)state;
    memset(halves, 0, sizeof halves);
    memset(&power, 0, sizeof power);
    halves[0] = (struct half){.is_on = true, .characteristics = 1};
    halves[1] = halves[0];
    now_ms = 100;
    off_since_ms = 0;
    return 0;
}

static enum status obey(struct half *half, const struct port_power_request *request,
                        uint8_t data[16], size_t *size) {
    *size = 0;
    if (request->request == USB_HUB_GET_DESCRIPTOR) {
        const uint8_t bytes[] = {9,
                                 request->is_super ? 0x2a : 0x29,
                                 half->ports == 0 ? 4 : half->ports,
                                 half->characteristics,
                                 0,
                                 50,
                                 100,
                                 0,
                                 0xff};
        memcpy(data, bytes, sizeof bytes);
        *size = half->lies_about_itself ? 3 : sizeof bytes;
    } else if (request->request == USB_HUB_POWER_OFF) {
        half->offs += 1;
        half->is_on = half->is_on && half->offs <= half->deaf_offs;
        return half->refuses_off ? STATUS_STALLED : STATUS_OK;
    } else if (request->request == USB_HUB_POWER_ON) {
        half->ons += 1;
        half->is_on = half->is_on || half->ons > half->deaf_ons;
        return half->refuses_on ? STATUS_STALLED : STATUS_OK;
    } else {
        memset(data, 0, USB_HUB_STATUS_BYTES);
        data[1] = half->is_on ? (request->is_super ? 0x02 : 0x01) : 0;
        *size = half->lies_about_its_port ? 1 : USB_HUB_STATUS_BYTES;
    }
    return STATUS_OK;
}

static void cycle(uint8_t half_count) {
    static const bool supers[2] = {false, true};
    struct port_power_request request;
    unsigned steps = 0;
    port_power_start(&power, PORT, half_count, supers, REST_MS);
    while (true) {
        enum status status = port_power_next(&power, now_ms, &request);
        assert_true(++steps < 200);
        if (status == STATUS_CLOSED) {
            return;
        }
        if (status == STATUS_AGAIN) {
            assert_false(halves[0].is_on || (half_count == 2 && halves[1].is_on));
            off_since_ms = now_ms;
            now_ms = power.rested_ms;
            continue;
        }
        uint8_t data[16];
        size_t size;
        assert_int_equal(request.port, PORT);
        assert_int_equal(request.is_super, request.half == 1);
        status = obey(&halves[request.half], &request, data, &size);
        port_power_answer(&power, status, (struct bytes){data, size}, now_ms);
    }
}

static void assert_on(void) {
    assert_true(halves[0].is_on && halves[1].is_on);
    assert_int_equal(power.state, PORT_POWER_IDLE);
}

static void failed_because(const char *why) {
    assert_non_null(power.failure);
    assert_string_equal(power.failure, why);
    assert_on();
}

static void both_halves_go_off_rest_and_come_on(void **state) {
    (void)state;
    cycle(2);
    assert_null(power.failure);
    assert_on();
    assert_int_equal(halves[0].offs, 1);
    assert_int_equal(halves[1].offs, 1);
    assert_int_equal(now_ms - off_since_ms, REST_MS);
}

static void a_usb_2_hub_has_one_half(void **state) {
    (void)state;
    cycle(1);
    assert_null(power.failure);
    assert_on();
    assert_int_equal(halves[1].offs, 0);
}

static void a_port_that_a_kernel_turns_on_again_is_switched_repeatedly(void **state) {
    (void)state;
    halves[1].deaf_offs = PORT_POWER_TRIES - 1;
    halves[0].deaf_ons = PORT_POWER_TRIES - 1;
    cycle(2);
    assert_null(power.failure);
    assert_on();
    assert_int_equal(halves[1].offs, PORT_POWER_TRIES);
}

static void a_hub_that_lies_is_found_out_and_left_on(void **state) {
    (void)state;
    halves[1].deaf_offs = 1000;
    cycle(2);
    failed_because("its hub says that it switches ports, and does not");
    assert_int_equal(halves[1].offs, PORT_POWER_TRIES);
}

static void a_refused_request_leaves_the_port_on(void **state) {
    (void)state;
    halves[1].refuses_off = true;
    cycle(2);
    failed_because("its hub refused a request");
}

static void one_half_that_cannot_come_on_does_not_keep_the_other_off(void **state) {
    (void)state;
    halves[0].refuses_on = true;
    halves[0].deaf_ons = 1000;
    cycle(2);
    assert_string_equal(power.failure, "its hub refused a request");
    assert_true(halves[1].is_on);
}

static void hubs_that_cannot_switch_are_not_asked_to(void **state) {
    (void)state;
    halves[1].characteristics = 2;
    cycle(2);
    failed_because("its hub cannot switch ports");
    assert_int_equal(halves[0].offs, 0);
}

static void a_ganged_hub_is_switched_only_for_its_only_phone(void **state) {
    (void)state;
    halves[0].characteristics = 0;
    halves[1].characteristics = 0;
    cycle(2);
    failed_because("its hub switches all its ports together, and others are in use");
    assert_int_equal(halves[0].offs, 0);
    power.may_gang = true;
    cycle(2);
    assert_null(power.failure);
    assert_int_equal(halves[0].offs, 1);
}

static void a_port_may_be_left_off_and_later_left_on(void **state) {
    (void)state;
    power.goal = PORT_POWER_LEAVE_OFF;
    cycle(2);
    assert_null(power.failure);
    assert_false(halves[0].is_on || halves[1].is_on);
    assert_int_equal(halves[0].ons + halves[1].ons, 0);
    power.goal = PORT_POWER_LEAVE_ON;
    cycle(2);
    assert_null(power.failure);
    assert_on();
    assert_int_equal(halves[0].offs + halves[1].offs, 2);
}

static void a_port_that_cannot_be_left_off_is_left_on(void **state) {
    (void)state;
    power.goal = PORT_POWER_LEAVE_OFF;
    halves[1].deaf_offs = 1000;
    cycle(2);
    failed_because("its hub says that it switches ports, and does not");
}

/* What a controller on a serial line answers: whether it did it, or whether the port has power. */
static const char *cycle_plainly(unsigned fails_at, enum status failure) {
    static const bool supers[2] = {false, false};
    struct port_power_request request;
    bool is_on = true;
    port_power_start(&power, PORT, 1, supers, 0);
    for (unsigned steps = 0; port_power_next(&power, now_ms, &request) == STATUS_OK; steps++) {
        assert_true(steps < 20);
        bool is_switch =
            request.request == USB_HUB_POWER_ON || request.request == USB_HUB_POWER_OFF;
        is_on = is_switch ? request.request == USB_HUB_POWER_ON : is_on;
        enum status status = steps == fails_at ? failure : STATUS_OK;
        port_power_answer_plainly(&power, status, is_on, now_ms);
    }
    assert_int_equal(power.state, PORT_POWER_IDLE);
    return power.failure;
}

static void a_controller_that_answers_in_its_own_words_is_as_good(void **state) {
    (void)state;
    assert_null(cycle_plainly(100, STATUS_OK));
    assert_string_equal(cycle_plainly(0, STATUS_TIMEOUT), "its hub does not answer");
    assert_string_equal(cycle_plainly(1, STATUS_CLOSED), "its hub has failed and restarts");
    assert_string_equal(cycle_plainly(2, STATUS_DENIED), "its hub refused a request");
    assert_string_equal(cycle_plainly(4, STATUS_UNPLUGGED), "its hub was unplugged");
}

static void every_answer_may_be_the_hubs_departure(void **state) {
    (void)state;
    static const bool supers[2] = {false, true};
    for (unsigned last = 0; last < 10; last++) {
        struct port_power_request request;
        set_up(NULL);
        port_power_start(&power, PORT, 2, supers, 0);
        for (unsigned steps = 0; steps < 50; steps++) {
            uint8_t data[16];
            size_t size = 0;
            enum status status = port_power_next(&power, now_ms, &request);
            if (status == STATUS_CLOSED) {
                break;
            }
            status = obey(&halves[request.half], &request, data, &size);
            status = steps >= last ? STATUS_UNPLUGGED : status;
            port_power_answer(&power, status, (struct bytes){data, steps >= last ? 0 : size},
                              now_ms);
        }
        assert_int_equal(power.state, PORT_POWER_IDLE);
        assert_string_equal(power.failure, "its hub was unplugged");
    }
}

static const char *state_name(unsigned state) {
    return port_power_state_name((enum port_power_state)state);
}

static const char *event_name(unsigned event) {
    return port_power_event_name((enum port_power_event)event);
}

static enum status apply(uint8_t *state, unsigned event) {
    return port_power_apply(state, (enum port_power_event)event);
}

static void every_pair_goes_where_the_table_says(void **state) {
    (void)state;
    state_table_check(&(struct state_table){"tests/firmware/port_power_table.txt",
                                            PORT_POWER_STATE_COUNT, PORT_POWER_EVENT_COUNT,
                                            state_name, event_name, apply});
}

static void a_hub_whose_answers_make_no_sense_is_given_up(void **state) {
    (void)state;
    halves[0].lies_about_itself = true;
    cycle(1);
    assert_string_equal(power.failure, "its hub describes itself wrongly");
    (void)set_up(state);
    halves[0].ports = PORT - 1;
    cycle(1);
    assert_string_equal(power.failure, "its hub says that it has no such port");
    assert_int_equal(halves[0].offs, 0);
    (void)set_up(state);
    halves[0].lies_about_its_port = true;
    cycle(1);
    assert_string_equal(power.failure, "its hub does not say whether the port has power");
    assert_true(halves[0].ons > 0); /* never left off */
    (void)set_up(state);
    halves[0].deaf_ons = 100;
    cycle(1);
    assert_string_equal(power.failure, "its port stays without power");
}

int firmware_port_power_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(both_halves_go_off_rest_and_come_on, set_up),
        cmocka_unit_test_setup(a_usb_2_hub_has_one_half, set_up),
        cmocka_unit_test_setup(a_port_that_a_kernel_turns_on_again_is_switched_repeatedly, set_up),
        cmocka_unit_test_setup(a_hub_that_lies_is_found_out_and_left_on, set_up),
        cmocka_unit_test_setup(a_refused_request_leaves_the_port_on, set_up),
        cmocka_unit_test_setup(one_half_that_cannot_come_on_does_not_keep_the_other_off, set_up),
        cmocka_unit_test_setup(hubs_that_cannot_switch_are_not_asked_to, set_up),
        cmocka_unit_test_setup(a_ganged_hub_is_switched_only_for_its_only_phone, set_up),
        cmocka_unit_test_setup(a_port_may_be_left_off_and_later_left_on, set_up),
        cmocka_unit_test_setup(a_port_that_cannot_be_left_off_is_left_on, set_up),
        cmocka_unit_test_setup(a_controller_that_answers_in_its_own_words_is_as_good, set_up),
        cmocka_unit_test_setup(every_answer_may_be_the_hubs_departure, set_up),
        cmocka_unit_test_setup(every_pair_goes_where_the_table_says, set_up),
        cmocka_unit_test_setup(a_hub_whose_answers_make_no_sense_is_given_up, set_up),
    };
    return cmocka_run_group_tests_name("firmware/port_power", tests, NULL, NULL);
}
