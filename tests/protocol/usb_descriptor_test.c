/* What devices say they are: phones as they are sold, and every lie. */
#include "protocol/usb_descriptor.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A phone with MTP and ADB: interface 1 is what we want. */
static const uint8_t phone[] =
    {
        18, 1, 0x10, 0x02, 0,  0,    0,    64,   0xd1, 0x18, 0xe7, 0x4e, 0x40, 0x04,
        1,  2, 3,    1,                               /* device */
        9,  2, 62,   0,    2,  1,    0,    0x80, 250, /* configuration */
        9,  4, 0,    0,    3,  0xff, 0xff, 0,    5,   /* MTP */
        7,  5, 0x81, 2,    0,  2,    0,    7,    5,    0x01, 2,    0,    2,    0,
        7,  5, 0x82, 3,    28, 0,    6,                                           /* */
        9,  4, 1,    0,    2,  0xff, 0x42, 1,    6,                               /* ADB */
        7,  5, 0x83, 2,    0,  2,    0,    7,    5,    0x02, 2,    0,    2,    0, /* */
};

enum { CONFIGURATION = 18, MTP = 27, ADB = 57, ADB_IN = 66, ADB_OUT = 73 };

static uint8_t bytes[sizeof phone + 4096];
static size_t size;
static const char *reason;
static struct usb_interface found;

static int set_up(void **state) {
    (void)state;
    memcpy(bytes, phone, sizeof phone);
    size = sizeof phone;
    reason = NULL;
    return 0;
}

static enum status look(struct usb_kind kind) {
    struct bytes configuration;
    enum status status =
        usb_get_configuration((struct bytes){bytes, size}, 1, &configuration, &reason);
    return status != STATUS_OK ? status : usb_find_interface(configuration, kind, &found, &reason);
}

static void refused_because(const char *why) {
    assert_int_equal(look(usb_kind_adb), STATUS_MALFORMED);
    assert_string_equal(reason, why);
}

static void counts_the_endpoints_that_a_controller_keeps(void **state) {
    (void)state;
    struct bytes configuration;
    assert_int_equal(usb_get_configuration((struct bytes){bytes, size}, 1, &configuration, &reason),
                     STATUS_OK);
    assert_int_equal(usb_count_endpoints(configuration), 6);
    bytes[ADB_IN + 2] = 0x81; /* of an alternate setting: the same one */
    assert_int_equal(usb_count_endpoints(configuration), 5);
    for (size_t cut = 0; cut < configuration.size; cut++) {
        assert_in_range(usb_count_endpoints((struct bytes){configuration.data, cut}), 1, 5);
    }
    bytes[MTP] = 0; /* no end */
    assert_int_equal(usb_count_endpoints(configuration), 1);
}

static void finds_the_adb_interface_of_a_phone(void **state) {
    (void)state;
    struct usb_device device;
    assert_int_equal(usb_get_device((struct bytes){bytes, size}, &device, &reason), STATUS_OK);
    assert_int_equal(device.vendor, 0x18d1);
    assert_int_equal(device.product, 0x4ee7);
    assert_int_equal(device.serial_string, 3);
    assert_int_equal(look(usb_kind_adb), STATUS_OK);
    assert_int_equal(found.number, 1);
    assert_int_equal(found.in.address, 0x83);
    assert_int_equal(found.out.address, 0x02);
    assert_int_equal(found.in.packet_bytes, 512);
    assert_int_equal(look(usb_kind_fastboot), STATUS_NOT_FOUND);
}

static void finds_nothing_in_another_configuration(void **state) {
    (void)state;
    struct bytes configuration;
    assert_int_equal(usb_get_configuration((struct bytes){bytes, size}, 2, &configuration, &reason),
                     STATUS_NOT_FOUND);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    for (size = 0; size < sizeof phone; size++) {
        assert_int_equal(look(usb_kind_adb), STATUS_MALFORMED);
    }
}

static void lengths_that_lie_are_refused(void **state) {
    (void)state;
    bytes[ADB] = 0;
    refused_because("a descriptor's length is wrong");
    bytes[ADB] = 1;
    refused_because("a descriptor's length is wrong");
    bytes[ADB] = 255;
    refused_because("a descriptor's length is wrong");
    bytes[ADB] = 8;
    assert_int_equal(look(usb_kind_adb), STATUS_MALFORMED);
    bytes[ADB] = 9;
    bytes[ADB_OUT] = 6;
    assert_int_equal(look(usb_kind_adb), STATUS_MALFORMED);
    bytes[ADB_OUT] = 7;
    bytes[CONFIGURATION + 2] = 63;
    refused_because("a configuration's total length is wrong");
    bytes[CONFIGURATION + 2] = 8;
    refused_because("a configuration's total length is wrong");
    bytes[CONFIGURATION + 3] = 0x40;
    refused_because("a configuration's total length is wrong");
}

static void endpoint_counts_that_lie_are_refused(void **state) {
    (void)state;
    bytes[ADB + 4] = 3;
    refused_because("an interface has fewer endpoints than it says");
    bytes[ADB + 4] = 1;
    refused_because("an interface has more endpoints than it says");
    bytes[ADB + 4] = 2;
    bytes[MTP + 4] = 30;
    refused_because("an interface has fewer endpoints than it says");
}

static void endpoints_that_cannot_be_are_refused(void **state) {
    (void)state;
    bytes[ADB_IN + 2] = 0x80;
    refused_because("an endpoint has number 0");
    bytes[ADB_IN + 2] = 0x03;
    refused_because("its interface does not have one bulk endpoint each way");
    bytes[ADB_IN + 2] = 0x83;
    bytes[ADB_IN + 3] = 3;
    refused_because("its interface does not have one bulk endpoint each way");
    bytes[ADB_IN + 3] = 2;
    bytes[ADB_IN + 4] = 1;
    refused_because("a bulk endpoint has a packet size that USB does not know");
    bytes[ADB_IN + 4] = 0;
    bytes[ADB_IN + 5] = 0;
    refused_because("a bulk endpoint has a packet size that USB does not know");
}

static void two_interfaces_of_one_number_are_refused(void **state) {
    (void)state;
    bytes[ADB + 2] = 0;
    refused_because("two interfaces have one number");
}

static void thirty_three_interfaces_are_too_many(void **state) {
    (void)state;
    static const uint8_t empty[] = {9, 4, 9, 1, 0, 0xff, 0, 0, 0};
    for (unsigned i = 0; i < USB_INTERFACES_MAX - 2; i++) {
        memcpy(bytes + size, empty, sizeof empty);
        size += sizeof empty;
    }
    bytes[CONFIGURATION + 2] = (uint8_t)(size - CONFIGURATION);
    bytes[CONFIGURATION + 3] = (uint8_t)((size - CONFIGURATION) >> 8);
    assert_int_equal(look(usb_kind_adb), STATUS_OK);
    memcpy(bytes + size, empty, sizeof empty);
    size += sizeof empty;
    bytes[CONFIGURATION + 2] = (uint8_t)(size - CONFIGURATION);
    bytes[CONFIGURATION + 3] = (uint8_t)((size - CONFIGURATION) >> 8);
    refused_because("it has more interfaces than any phone");
}

static void a_device_without_configuration_is_refused(void **state) {
    (void)state;
    bytes[17] = 0;
    refused_because("the device has no configuration");
    bytes[17] = 2;
    assert_int_equal(look(usb_kind_adb), STATUS_OK);
    struct bytes configuration;
    assert_int_equal(usb_get_configuration((struct bytes){bytes, size}, 7, &configuration, &reason),
                     STATUS_MALFORMED);
    assert_string_equal(reason, "fewer configurations than the device descriptor says");
}

static void strings_become_utf_8(void **state) {
    (void)state;
    char text[64];
    static const uint8_t serial[] = {10, 3, 'A', 0, 0xe9, 0, 0xac, 0x20, '1', 0};
    static const uint8_t smile[] = {6, 3, 0x3d, 0xd8, 0x00, 0xde};
    assert_int_equal(usb_get_string((struct bytes){serial, 10}, text, sizeof text), STATUS_OK);
    assert_string_equal(text, "A\xc3\xa9\xe2\x82\xac"
                              "1");
    assert_int_equal(usb_get_string((struct bytes){serial, 10}, text, 4), STATUS_OK);
    assert_string_equal(text, "A\xc3\xa9");
    assert_int_equal(usb_get_string((struct bytes){smile, 6}, text, sizeof text), STATUS_OK);
    assert_string_equal(text, "\xf0\x9f\x98\x80");
}

static void strings_that_lie_are_refused(void **state) {
    (void)state;
    char text[64];
    static const uint8_t odd[] = {5, 3, 'A', 0, 'B'};
    static const uint8_t long_one[] = {255, 3, 'A', 0};
    static const uint8_t lone[] = {4, 3, 0x3d, 0xd8};
    static const uint8_t reversed[] = {6, 3, 0x00, 0xde, 0x3d, 0xd8};
    static const uint8_t other[] = {4, 1, 'A', 0};
    static const uint8_t zero[] = {0, 3};
    const struct bytes all[] = {{odd, 5},   {long_one, 4}, {lone, 4}, {reversed, 6},
                                {other, 4}, {zero, 2},     {odd, 1}};
    for (size_t i = 0; i < array_count(all); i++) {
        assert_int_equal(usb_get_string(all[i], text, sizeof text), STATUS_MALFORMED);
        assert_string_equal(text, "");
    }
}

static void what_stands_first_is_a_device_descriptor(void **state) {
    (void)state;
    bytes[0] = 17;
    refused_because("there is no device descriptor");
    bytes[0] = 18;
    bytes[1] = 2;
    refused_because("there is no device descriptor");
}

static void what_follows_is_a_configuration(void **state) {
    (void)state;
    static const char why[] = "fewer configurations than the device descriptor says";
    bytes[CONFIGURATION] = 8;
    refused_because(why);
    bytes[CONFIGURATION] = 9;
    bytes[CONFIGURATION + 1] = 4;
    refused_because(why);
    bytes[CONFIGURATION + 1] = 2;
    bytes[17] = 2; /* says that there are two */
    struct bytes configuration;
    assert_int_equal(usb_get_configuration((struct bytes){bytes, size}, 2, &configuration, &reason),
                     STATUS_MALFORMED);
    assert_string_equal(reason, why);
}

static void a_configuration_is_as_long_as_it_says(void **state) {
    (void)state;
    for (size_t bytes_given = 0; bytes_given < size - CONFIGURATION; bytes_given++) {
        reason = NULL;
        assert_int_equal(usb_find_interface((struct bytes){bytes + CONFIGURATION, bytes_given},
                                            usb_kind_adb, &found, &reason),
                         STATUS_MALFORMED);
        assert_string_equal(reason, "a configuration's total length is wrong");
    }
}

static void an_interface_needs_one_endpoint_each_way(void **state) {
    (void)state;
    static const char why[] = "its interface does not have one bulk endpoint each way";
    bytes[ADB_OUT + 2] = 0x84; /* both in */
    refused_because(why);
    bytes[ADB_OUT + 2] = 0x02;
    bytes[ADB_IN + 2] = 0x03; /* both out */
    refused_because(why);
    bytes[ADB_IN + 2] = 0x83;
    bytes[ADB_OUT + 3] = 3; /* one of them interrupt */
    refused_because(why);
}

/* Class, subclass and protocol together, and only of the interface's first setting. */
static void an_interface_of_another_kind_is_passed_by(void **state) {
    (void)state;
    for (size_t field = 3; field <= 7; field++) {
        if (field == 4) {
            continue; /* the endpoint count */
        }
        bytes[ADB + field] ^= 0x10;
        assert_int_equal(look(usb_kind_adb), STATUS_NOT_FOUND);
        bytes[ADB + field] ^= 0x10;
    }
    memcpy(bytes + size, bytes + ADB, size - ADB); /* a second one: the first is taken */
    bytes[size + 2] = 7;
    size += size - ADB;
    bytes[CONFIGURATION + 2] = (uint8_t)(size - CONFIGURATION);
    assert_int_equal(look(usb_kind_adb), STATUS_OK);
    assert_int_equal(found.number, 1);
}

static void packets_are_of_a_size_that_usb_knows(void **state) {
    (void)state;
    static const uint16_t known[] = {8, 16, 32, 64, 512, 1024};
    size_t taken = 0;
    for (unsigned packet = 0; packet <= 2048; packet++) {
        bytes[ADB_IN + 4] = (uint8_t)packet;
        bytes[ADB_IN + 5] = (uint8_t)(packet >> 8);
        if (taken < array_count(known) && packet == known[taken]) {
            assert_int_equal(look(usb_kind_adb), STATUS_OK);
            assert_int_equal(found.in.packet_bytes, packet);
            taken += 1;
        } else {
            refused_because("a bulk endpoint has a packet size that USB does not know");
        }
    }
    assert_int_equal(taken, array_count(known));
}

static void surrogates_come_in_pairs(void **state) {
    (void)state;
    static const struct {
        uint8_t units[4];
        enum status status;
        const char *text;
    } rows[] = {
        {{0x3d, 0xd8, 0x00, 0xdc}, STATUS_OK, "\xf0\x9f\x90\x80"},
        {{0x3d, 0xd8, 0x41, 0x00}, STATUS_MALFORMED, ""}, /* high, then a letter */
        {{0x3d, 0xd8, 0x00, 0xe0}, STATUS_MALFORMED, ""}, /* high, then one above */
        {{0x00, 0xdc, 0x41, 0x00}, STATUS_MALFORMED, ""}, /* low alone */
        {{0x41, 0x00, 0x3d, 0xd8}, STATUS_MALFORMED, ""}, /* high at the end */
        {{0x00, 0xe0, 0x41, 0x00},
         STATUS_OK,
         "\xee\x80\x80"
         "A"},                                            /* above them */
        {{0x41, 0x00, 0x00, 0x00}, STATUS_MALFORMED, ""}, /* a NUL would end it early */
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        uint8_t descriptor[6] = {6, 3};
        char text[16];
        memcpy(descriptor + 2, rows[i].units, 4);
        assert_int_equal(usb_get_string((struct bytes){descriptor, 6}, text, sizeof text),
                         rows[i].status);
        assert_string_equal(text, rows[i].text);
    }
}

int protocol_usb_descriptor_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(finds_the_adb_interface_of_a_phone, set_up),
        cmocka_unit_test_setup(counts_the_endpoints_that_a_controller_keeps, set_up),
        cmocka_unit_test_setup(finds_nothing_in_another_configuration, set_up),
        cmocka_unit_test_setup(every_truncation_is_refused, set_up),
        cmocka_unit_test_setup(lengths_that_lie_are_refused, set_up),
        cmocka_unit_test_setup(endpoint_counts_that_lie_are_refused, set_up),
        cmocka_unit_test_setup(endpoints_that_cannot_be_are_refused, set_up),
        cmocka_unit_test_setup(two_interfaces_of_one_number_are_refused, set_up),
        cmocka_unit_test_setup(thirty_three_interfaces_are_too_many, set_up),
        cmocka_unit_test_setup(a_device_without_configuration_is_refused, set_up),
        cmocka_unit_test_setup(strings_become_utf_8, set_up),
        cmocka_unit_test_setup(strings_that_lie_are_refused, set_up),
        cmocka_unit_test_setup(what_stands_first_is_a_device_descriptor, set_up),
        cmocka_unit_test_setup(what_follows_is_a_configuration, set_up),
        cmocka_unit_test_setup(a_configuration_is_as_long_as_it_says, set_up),
        cmocka_unit_test_setup(an_interface_needs_one_endpoint_each_way, set_up),
        cmocka_unit_test_setup(an_interface_of_another_kind_is_passed_by, set_up),
        cmocka_unit_test_setup(packets_are_of_a_size_that_usb_knows, set_up),
        cmocka_unit_test_setup(surrogates_come_in_pairs, set_up),
    };
    return cmocka_run_group_tests_name("protocol/usb_descriptor", tests, NULL, NULL);
}
