/* Requests to hubs and what hubs answer: the table of the specification, and lies. */
#include "protocol/usb_hub.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void requests_are_those_of_the_specification(void **state) {
    (void)state;
    static const struct {
        enum usb_hub_request request;
        bool is_super;
        uint8_t setup[USB_HUB_SETUP_BYTES];
    } rows[] = {
        {USB_HUB_GET_DESCRIPTOR, false, {0xa0, 6, 0, 0x29, 0, 0, 71, 0}},
        {USB_HUB_GET_DESCRIPTOR, true, {0xa0, 6, 0, 0x2a, 0, 0, 71, 0}},
        {USB_HUB_GET_PORT_STATUS, false, {0xa3, 0, 0, 0, 4, 0, 4, 0}},
        {USB_HUB_POWER_ON, true, {0x23, 3, 8, 0, 4, 0, 0, 0}},
        {USB_HUB_POWER_OFF, false, {0x23, 1, 8, 0, 4, 0, 0, 0}},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        uint8_t setup[USB_HUB_SETUP_BYTES];
        uint16_t size = usb_hub_put_setup(setup, rows[i].request, 4, rows[i].is_super);
        assert_memory_equal(setup, rows[i].setup, sizeof setup);
        assert_int_equal(size, rows[i].setup[6]);
    }
}

static void hubs_switch_each_port_all_or_none(void **state) {
    (void)state;
    uint8_t bytes[] = {9, 0x29, 4, 0x89, 0, 50, 100, 0, 0xff};
    struct usb_hub hub;
    const enum usb_hub_switching expected[] = {USB_HUB_GANGED, USB_HUB_EACH, USB_HUB_NEVER,
                                               USB_HUB_NEVER};
    for (uint8_t mode = 0; mode < 4; mode++) {
        bytes[3] = (uint8_t)(0x88 | mode);
        assert_int_equal(usb_hub_get((struct bytes){bytes, sizeof bytes}, &hub), STATUS_OK);
        assert_int_equal(hub.ports, 4);
        assert_int_equal(hub.switching, expected[mode]);
    }
}

static void descriptors_that_cannot_be_are_refused(void **state) {
    (void)state;
    const uint8_t good[] = {9, 0x29, 4, 0x89, 0, 50, 100, 0, 0xff};
    static const uint8_t lies[][2] = {{0, 6}, {0, 10}, {1, 0x28}, {2, 0}, {2, 32}};
    struct usb_hub hub;
    for (size_t size = 0; size < sizeof good; size++) {
        assert_int_equal(usb_hub_get((struct bytes){good, size}, &hub), STATUS_MALFORMED);
    }
    for (size_t i = 0; i < array_count(lies); i++) {
        uint8_t bytes[sizeof good];
        memcpy(bytes, good, sizeof good);
        bytes[lies[i][0]] = lies[i][1];
        assert_int_equal(usb_hub_get((struct bytes){bytes, sizeof bytes}, &hub), STATUS_MALFORMED);
    }
}

static void the_two_halves_show_power_in_different_bits(void **state) {
    (void)state;
    struct usb_hub_port port;
    const uint8_t high[] = {0x03, 0x01, 0, 0};
    const uint8_t super[] = {0x0b, 0x02, 0, 0};
    assert_int_equal(usb_hub_get_port((struct bytes){high, 4}, false, &port), STATUS_OK);
    assert_true(port.is_powered && port.is_connected && port.is_enabled && !port.is_over_current);
    assert_int_equal(usb_hub_get_port((struct bytes){high, 4}, true, &port), STATUS_OK);
    assert_false(port.is_powered);
    assert_int_equal(usb_hub_get_port((struct bytes){super, 4}, true, &port), STATUS_OK);
    assert_true(port.is_powered && port.is_over_current);
    assert_int_equal(usb_hub_get_port((struct bytes){super, 3}, true, &port), STATUS_MALFORMED);
}

int protocol_usb_hub_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_those_of_the_specification),
        cmocka_unit_test(hubs_switch_each_port_all_or_none),
        cmocka_unit_test(descriptors_that_cannot_be_are_refused),
        cmocka_unit_test(the_two_halves_show_power_in_different_bits),
    };
    return cmocka_run_group_tests_name("protocol/usb_hub", tests, NULL, NULL);
}
