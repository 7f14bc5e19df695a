/* The smart-socket protocol against what AOSP's server says (facts of adb.h, sockets.cpp). */
#include "protocol/adb_server.h"

#include "protocol/text.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct adb_device phones[] = {
    {"R58M", "usb:1-2", "oriole", "Pixel 6", "ori-ole", 7, ADB_DEVICE_ONLINE, true},
    {"SIM~tcp:127.0.0.1:5555", "", "oriole", "Pixel_6", "x", 9, ADB_DEVICE_UNAUTHORIZED, false},
    {"OFF", "", "", "", "", 11, ADB_DEVICE_OFFLINE, false},
    {"", "usb:0000:00:14.0-1.4", "", "", "", 13, ADB_DEVICE_OFFLINE, false},
};
static const struct adb_devices all = {phones, 3};
static const struct adb_devices with_slot = {phones, array_count(phones)};
static const struct adb_devices first = {phones, 1};

static struct adb_request parsed(const char *text) {
    struct adb_request request;
    assert_int_equal(adb_server_parse(text_view(text), all, &request), STATUS_OK);
    return request;
}

static void takes_a_request_however_it_is_cut(void **state) {
    static const char input[] = "000Chost:version000ahost:kill!";
    (void)state;
    for (size_t size = 0; size < sizeof input - 1; size++) {
        struct bytes bytes = {(const uint8_t *)input, size};
        struct bytes text;
        size_t wanted = 0;
        enum status status = adb_server_next(&bytes, &text, &wanted);
        assert_int_equal(status, size < 16 ? STATUS_MORE : STATUS_OK);
        if (status == STATUS_OK) {
            assert_true(text_is(text, bytes_of("host:version")));
            assert_int_equal(bytes.size, size - 16);
        } else {
            assert_int_equal(wanted, size < 4 ? 4 : 16);
        }
    }
}

static void refuses_a_length_that_is_none(void **state) {
    static const char *const inputs[] = {"x", "00g0", "0000", "-001a", "000\xff"};
    (void)state;
    for (size_t i = 0; i < array_count(inputs); i++) {
        struct bytes bytes = text_view(inputs[i]);
        struct bytes text;
        size_t wanted = 0;
        assert_int_equal(adb_server_next(&bytes, &text, &wanted), STATUS_MALFORMED);
    }
    struct bytes most = bytes_of("ffff");
    struct bytes text;
    size_t wanted = 0;
    assert_int_equal(adb_server_next(&most, &text, &wanted), STATUS_MORE);
    assert_int_equal(wanted, 4 + ADB_SERVER_TEXT_MAX);
}

/* Every request with its kind and what is left of its text. */
static void reads_every_request(void **state) {
    static const struct {
        const char *text;
        enum adb_request_kind kind;
        const char *rest; /* NULL: of no matter */
    } rows[] = {
        {"host:version", ADB_REQUEST_VERSION, NULL},
        {"host:kill", ADB_REQUEST_KILL, NULL},
        {"host:devices", ADB_REQUEST_DEVICES, NULL},
        {"host:devices-l", ADB_REQUEST_DEVICES_LONG, NULL},
        {"host:devices-x", ADB_REQUEST_UNKNOWN, NULL},
        {"host:track-devices", ADB_REQUEST_TRACK, NULL},
        {"host:track-devices-l", ADB_REQUEST_TRACK_LONG, NULL},
        {"host:track-devices-proto-binary", ADB_REQUEST_TRACK_PROTO, NULL},
        {"host:track-devices-proto-text", ADB_REQUEST_TRACK_PROTO_TEXT, NULL},
        {"host:features", ADB_REQUEST_FEATURES, NULL},
        {"host:host-features", ADB_REQUEST_HOST_FEATURES, NULL},
        {"host-usb:get-state", ADB_REQUEST_GET_STATE, NULL},
        {"host-local:get-serialno", ADB_REQUEST_GET_SERIALNO, NULL},
        {"host-serial:R58M:get-devpath", ADB_REQUEST_GET_DEVPATH, NULL},
        {"host:transport:R58M", ADB_REQUEST_TRANSPORT, NULL},
        {"host:transport-any", ADB_REQUEST_TRANSPORT, NULL},
        {"host:transport-usb", ADB_REQUEST_TRANSPORT, NULL},
        {"host:transport-local", ADB_REQUEST_TRANSPORT, NULL},
        {"host:transport-id:7", ADB_REQUEST_TRANSPORT, NULL},
        {"host:transports", ADB_REQUEST_UNKNOWN, NULL},
        {"host:tport:any", ADB_REQUEST_TPORT, NULL},
        {"host:tport:usb", ADB_REQUEST_TPORT, NULL},
        {"host:tport:local", ADB_REQUEST_TPORT, NULL},
        {"host:tport:serial:a:b", ADB_REQUEST_TPORT, NULL},
        {"host:tport:x", ADB_REQUEST_TPORT, NULL},
        {"host:wait-for-any-device", ADB_REQUEST_WAIT_FOR, NULL},
        {"host:wait-for-usb-disconnect", ADB_REQUEST_WAIT_FOR, NULL},
        {"host:wait-for-local-recovery", ADB_REQUEST_WAIT_FOR, NULL},
        {"host:wait-for-device", ADB_REQUEST_UNKNOWN, NULL},
        {"host:wait-for-any-nonsense", ADB_REQUEST_UNKNOWN, NULL},
        {"host-serial:R58M:forward:tcp:1;tcp:2", ADB_REQUEST_FORWARD, "tcp:1;tcp:2"},
        {"host-serial:R58M:forward:norebind:tcp:1;tcp:2", ADB_REQUEST_FORWARD_ONCE, "tcp:1;tcp:2"},
        {"host-transport-id:7:killforward:tcp:1", ADB_REQUEST_KILL_FORWARD, "tcp:1"},
        {"host:killforward-all", ADB_REQUEST_KILL_FORWARD_ALL, NULL},
        {"host:list-forward", ADB_REQUEST_LIST_FORWARD, NULL},
        {"host:reconnect-offline", ADB_REQUEST_RECONNECT_OFFLINE, NULL},
        {"host:reconnect", ADB_REQUEST_OPERATOR, NULL},
        {"host:connect:1.2.3.4", ADB_REQUEST_OPERATOR, NULL},
        {"host:disconnect:", ADB_REQUEST_OPERATOR, NULL},
        {"host:pair:1:2", ADB_REQUEST_OPERATOR, NULL},
        {"host:attach", ADB_REQUEST_OPERATOR, NULL},
        {"host:emulator:5555", ADB_REQUEST_OPERATOR, NULL},
        {"host:", ADB_REQUEST_UNKNOWN, NULL},
        {"shell:id", ADB_REQUEST_DEVICE, "shell:id"},
        {"hostile", ADB_REQUEST_DEVICE, "hostile"},
    };
    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        struct adb_request request = parsed(rows[i].text);
        assert_int_equal(request.kind, rows[i].kind);
        if (rows[i].rest != NULL) {
            assert_true(text_is(request.text, text_view(rows[i].rest)));
        }
    }
}

static void a_prefix_without_what_follows_it_is_malformed(void **state) {
    static const char *const texts[] = {
        "host-serial:",
        "host-serial:x",
        "host-serial:x:",
        "host-serial:usb:1",
        "host-transport-id:",
        "host-transport-id:x:features",
        "host-transport-id:7features",
        "host-serial:[::1",
    };
    (void)state;
    for (size_t i = 0; i < array_count(texts); i++) {
        struct adb_request request;
        assert_int_equal(adb_server_parse(text_view(texts[i]), all, &request), STATUS_MALFORMED);
    }
}

static void finds_where_a_serial_ends(void **state) {
    static const struct {
        const char *text;
        const char *serial;
    } rows[] = {
        {"host-serial:foo:features", "foo"},
        {"host-serial:foo:123:features", "foo:123"},
        {"host-serial:127.0.0.1:5555:features", "127.0.0.1:5555"},
        {"host-serial:[::1]:features", "[::1]"},
        {"host-serial:[::1]:5555:features", "[::1]:5555"},
        {"host-serial:tcp:foo:features", "tcp:foo"},
        {"host-serial:tcp:foo:123:features", "tcp:foo:123"},
        {"host-serial:usb:1-2:features", "usb:1-2"},
        {"host-serial:model:Pixel:features", "model:Pixel"},
        {"host-serial:SIM~tcp:127.0.0.1:5555:features", "SIM~tcp:127.0.0.1:5555"},
    };
    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        struct adb_request request = parsed(rows[i].text);
        assert_int_equal(request.selector.kind, ADB_SELECT_SERIAL);
        assert_true(text_is(request.selector.serial, text_view(rows[i].serial)));
        assert_int_equal(request.kind, ADB_REQUEST_FEATURES);
    }
}

static void a_slot_is_a_serial_with_any_number_of_colons(void **state) {
    (void)state;
    struct adb_request request;
    assert_int_equal(adb_server_parse(bytes_of("host-serial:usb:0000:00:14.0-1.4:features"),
                                      with_slot, &request),
                     STATUS_OK);
    assert_true(text_is(request.selector.serial, bytes_of("usb:0000:00:14.0-1.4")));
    assert_int_equal(request.kind, ADB_REQUEST_FEATURES);
}

static void what_is_no_port_belongs_to_the_command(void **state) {
    (void)state;
    struct adb_request request = parsed("host-serial:foo:x23:features");
    assert_true(text_is(request.selector.serial, bytes_of("foo")));
    assert_int_equal(request.kind, ADB_REQUEST_UNKNOWN);
    assert_true(text_is(request.text, bytes_of("x23:features")));
}

static void chooses_a_phone_in_the_words_of_adb(void **state) {
    static const struct {
        const char *text;
        enum status status;
        const char *error;
    } rows[] = {
        {"host:transport:R58M", STATUS_OK, ""},
        {"host:transport:usb:1-2", STATUS_OK, ""},
        {"host:transport:model:Pixel_6", STATUS_FULL, "more than one device/emulator"},
        {"host:transport:model:Pixel 6", STATUS_OK, ""},
        {"host:transport:device:ori_ole", STATUS_OK, ""},
        {"host:transport:product:none", STATUS_NOT_FOUND, "device 'product:none' not found"},
        {"host:transport:nobody", STATUS_NOT_FOUND, "device 'nobody' not found"},
        {"host:transport:", STATUS_NOT_FOUND, "device '' not found"},
        {"host:transport-id:7", STATUS_OK, ""},
        {"host:transport-id:8", STATUS_NOT_FOUND, "no device with transport id '8'"},
        {"host:transport-id:7x", STATUS_NOT_FOUND, "no device with transport id '0'"},
        {"host:transport-usb", STATUS_OK, ""},
        {"host:transport-local", STATUS_FULL, "more than one emulator"},
        {"host:transport-any", STATUS_FULL, "more than one device/emulator"},
        {"host:transport:OFF", STATUS_CLOSED, "device offline"},
    };
    char error[ADB_SERVER_ERROR_SIZE];
    size_t found = 99;
    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        struct adb_request request = parsed(rows[i].text);
        assert_int_equal(adb_server_choose(&request.selector, all, &found, error), rows[i].status);
        assert_string_equal(error, rows[i].error);
    }
    struct adb_request request = parsed("host:transport:SIM~tcp:127.0.0.1:5555");
    assert_int_equal(adb_server_choose(&request.selector, all, &found, error), STATUS_DENIED);
    assert_memory_equal(error, "device unauthorized.\n", 21); /* what clients look for */
}

static void says_when_there_is_no_phone_at_all(void **state) {
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {{"host:transport-any", "no devices/emulators found"},
                {"host:transport-usb", "no devices found"},
                {"host:transport-local", "no emulators found"}};
    char error[ADB_SERVER_ERROR_SIZE];
    size_t found = 99;
    struct adb_devices none = {phones, 0};
    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        struct adb_request request = parsed(rows[i].text);
        assert_int_equal(adb_server_choose(&request.selector, none, &found, error),
                         STATUS_NOT_FOUND);
        assert_string_equal(error, rows[i].error);
    }
}

static void a_serial_of_any_length_leaves_a_whole_error(void **state) {
    char error[ADB_SERVER_ERROR_SIZE];
    uint8_t serial[1000];
    size_t found = 0;
    struct adb_selector selector = {.kind = ADB_SELECT_SERIAL, .serial = {serial, sizeof serial}};
    (void)state;
    memset(serial, 'x', sizeof serial);
    assert_int_equal(adb_server_choose(&selector, all, &found, error), STATUS_NOT_FOUND);
    assert_int_equal(strlen(error), strlen("device '' not found") + 128);
}

static void waits_for_a_state(void **state) {
    static const struct {
        const char *text;
        bool has_phone;
        enum status status;
    } rows[] = {
        {"host:wait-for-any-device", true, STATUS_OK},
        {"host:wait-for-any-device", false, STATUS_AGAIN},
        {"host:wait-for-usb-device", true, STATUS_OK},
        {"host:wait-for-local-device", true, STATUS_AGAIN},
        {"host:wait-for-any-any", true, STATUS_OK},
        {"host:wait-for-any-disconnect", true, STATUS_AGAIN},
        {"host:wait-for-any-disconnect", false, STATUS_OK},
        {"host:wait-for-any-bootloader", true, STATUS_AGAIN},
        {"host-serial:R58M:wait-for-any-device", true, STATUS_OK},
        {"host-serial:other:wait-for-any-device", true, STATUS_AGAIN},
    };
    char error[ADB_SERVER_ERROR_SIZE];
    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        struct adb_request request = parsed(rows[i].text);
        struct adb_devices devices = {phones, rows[i].has_phone ? 1 : 0};
        assert_int_equal(adb_server_awaited(&request, devices, error), rows[i].status);
    }
    struct adb_request request = parsed("host:wait-for-any-device");
    assert_int_equal(adb_server_awaited(&request, all, error), STATUS_FULL);
    assert_string_equal(error, "more than one device/emulator");
}

static void takes_forwards_and_ports_apart(void **state) {
    static const char *const wrong[] = {"", "tcp:1", ";", "tcp:1;", ";tcp:1", "a;b;c", "a;*b"};
    static const char *const no_ports[] = {"tcp:",   "tcp:x", "tcp:65536",     "udp:1",
                                           "tcp:1x", "1",     "tcp:8.8.8.8:53"};
    struct bytes local;
    struct bytes remote;
    uint16_t port = 0;
    (void)state;
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_int_equal(adb_server_forward(text_view(wrong[i]), &local, &remote),
                         STATUS_MALFORMED);
    }
    assert_int_equal(adb_server_forward(bytes_of("tcp:0;localabstract:x"), &local, &remote),
                     STATUS_OK);
    assert_true(text_is(local, bytes_of("tcp:0")));
    assert_true(text_is(remote, bytes_of("localabstract:x")));
    for (size_t i = 0; i < array_count(no_ports); i++) {
        assert_int_equal(adb_server_port(text_view(no_ports[i]), &port), STATUS_MALFORMED);
    }
    assert_int_equal(adb_server_port(bytes_of("tcp:65535"), &port), STATUS_OK);
    assert_int_equal(port, 65535);
    assert_int_equal(adb_server_port(bytes_of("tcp:localhost:80"), &port), STATUS_OK);
    assert_int_equal(port, 80);
}

static void assert_list(struct adb_devices devices, enum adb_request_kind kind, const char *text,
                        size_t size) {
    uint8_t list[1024];
    assert_int_equal(adb_server_list(devices, kind, list, sizeof list), size);
    assert_memory_equal(list, text, size);
    for (size_t capacity = 0; capacity < size; capacity++) {
        assert_int_equal(adb_server_list(devices, kind, list, capacity), 0); /* whole or not */
    }
}

static void lists_phones_in_every_form(void **state) {
    static const char list[] = "R58M\tdevice\nSIM~tcp:127.0.0.1:5555\tunauthorized\nOFF\toffline\n";
    static const char long_list[] = "R58M                   device usb:1-2 product:oriole "
                                    "model:Pixel_6 device:ori_ole transport_id:7\n";
    static const char words[] =
        "device {\n  serial: \"R58M\"\n  state: DEVICE\n  bus_address: \"usb:1-2\"\n"
        "  product: \"oriole\"\n  model: \"Pixel 6\"\n  device: \"ori-ole\"\n"
        "  connection_type: USB\n  transport_id: 7\n}\n";
    static const char proto[] = "\x0a\x2f\x0a\x04R58M\x10\x08\x1a\x07usb:1-2\x22\x06oriole"
                                "\x2a\x07Pixel 6\x32\x07ori-ole\x38\x01\x50\x07";
    (void)state;
    assert_list(all, ADB_REQUEST_DEVICES, list, sizeof list - 1);
    assert_list(all, ADB_REQUEST_TRACK, list, sizeof list - 1);
    assert_list(first, ADB_REQUEST_DEVICES_LONG, long_list, sizeof long_list - 1);
    assert_list(first, ADB_REQUEST_TRACK_LONG, long_list, sizeof long_list - 1);
    assert_list(first, ADB_REQUEST_TRACK_PROTO_TEXT, words, sizeof words - 1);
    assert_list(first, ADB_REQUEST_TRACK_PROTO, proto, sizeof proto - 1);
}

static void a_long_message_of_the_proto_list_has_two_bytes_of_length(void **state) {
    static const char name[] = "a-name-of-sixty-bytes-and-a-few-more-that-a-phone-may-tell-us";
    struct adb_device device = {name, "", name, name, name, 1, ADB_DEVICE_OFFLINE, false};
    uint8_t list[512];
    (void)state;
    size_t size = adb_server_list((struct adb_devices){&device, 1}, ADB_REQUEST_TRACK_PROTO, list,
                                  sizeof list);
    size_t inner = 4 * (2 + sizeof name - 1) + 6;
    assert_int_equal(size, 3 + inner);
    assert_int_equal(list[1], 0x80 | (inner & 0x7f));
    assert_int_equal(list[2], inner >> 7);
}

static void answers_have_a_length_in_hex(void **state) {
    uint8_t answer[64];
    (void)state;
    assert_int_equal(adb_server_fail("closed", answer, sizeof answer), 14);
    assert_memory_equal(answer, "FAIL0006closed", 14);
    assert_int_equal(adb_server_fail("closed", answer, 13), 0);
    assert_int_equal(adb_server_fail("closed", answer, 3), 0);
    assert_int_equal(adb_server_string(bytes_of("0029"), answer, sizeof answer), 8);
    assert_memory_equal(answer, "00040029", 8);
    assert_int_equal(adb_server_string(bytes_of(""), answer, sizeof answer), 4);
}

static void every_form_shows_every_state(void **state) {
    static const char long_list[] =
        "SIM~tcp:127.0.0.1:5555 unauthorized product:oriole model:Pixel_6 device:x transport_id:9\n"
        "OFF                    offline transport_id:11\n";
    static const char words[] =
        "device {\n  serial: \"SIM~tcp:127.0.0.1:5555\"\n  state: UNAUTHORIZED\n"
        "  product: \"oriole\"\n  model: \"Pixel_6\"\n  device: \"x\"\n"
        "  connection_type: SOCKET\n  transport_id: 9\n}\n"
        "device {\n  serial: \"OFF\"\n  state: OFFLINE\n"
        "  connection_type: SOCKET\n  transport_id: 11\n}\n";
    static const char proto[] = "\x0a\x32\x0a\x16SIM~tcp:127.0.0.1:5555\x10\x03\x22\x06oriole"
                                "\x2a\x07Pixel_6\x32\x01x\x38\x02\x50\x09"
                                "\x0a\x0b\x0a\x03OFF\x10\x06\x38\x02\x50\x0b";
    const struct adb_devices others = {phones + 1, 2};
    (void)state;
    assert_list(others, ADB_REQUEST_DEVICES_LONG, long_list, sizeof long_list - 1);
    assert_list(others, ADB_REQUEST_TRACK_PROTO_TEXT, words, sizeof words - 1);
    assert_list(others, ADB_REQUEST_TRACK_PROTO, proto, sizeof proto - 1);
}

static void large_transport_ids_take_more_bytes_of_the_proto_list(void **state) {
    static const char proto[] = "\x0a\x0b\x0a\x01Z\x10\x08\x38\x01\x50\x80\x80\x04";
    const struct adb_device device = {"Z", "", "", "", "", 1 << 16, ADB_DEVICE_ONLINE, true};
    (void)state;
    assert_list((struct adb_devices){&device, 1}, ADB_REQUEST_TRACK_PROTO, proto, sizeof proto - 1);
}

/* Letters and digits stay; the bytes beside each range are odd ones. */
static void odd_characters_of_names_become_underscores(void **state) {
    const struct adb_device device = {"N", "", "@AZ[`az{/09:", "", "", 1, ADB_DEVICE_ONLINE, true};
    static const char list[] =
        "N                      device product:_AZ__az__09_ transport_id:1\n";
    char error[ADB_SERVER_ERROR_SIZE];
    size_t found = 99;
    (void)state;
    assert_list((struct adb_devices){&device, 1}, ADB_REQUEST_DEVICES_LONG, list, sizeof list - 1);
    struct adb_request request = parsed("host:transport:product:_AZ__az__09_");
    assert_int_equal(
        adb_server_choose(&request.selector, (struct adb_devices){&device, 1}, &found, error),
        STATUS_OK);
    assert_int_equal(found, 0);
}

static void a_text_longer_than_its_length_can_say_is_cut(void **state) {
    static uint8_t text[ADB_SERVER_TEXT_MAX + 2];
    static uint8_t answer[sizeof text + 4];
    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(adb_server_string((struct bytes){text, sizeof text}, answer, sizeof answer),
                     4 + ADB_SERVER_TEXT_MAX);
    assert_memory_equal(answer, "ffffxxxx", 8);
}

static void more_than_one_phone_on_usb_is_said_so(void **state) {
    static const struct adb_device two[] = {
        {"A", "", "", "", "", 1, ADB_DEVICE_ONLINE, true},
        {"B", "", "", "", "", 2, ADB_DEVICE_ONLINE, true},
    };
    char error[ADB_SERVER_ERROR_SIZE];
    size_t found = 99;
    (void)state;
    struct adb_request request = parsed("host:transport-usb");
    assert_int_equal(
        adb_server_choose(&request.selector, (struct adb_devices){two, 2}, &found, error),
        STATUS_FULL);
    assert_string_equal(error, "more than one device");
}

static void serials_with_prefixes_and_odd_ports_end_where_adb_ends_them(void **state) {
    static const struct {
        const char *text;
        const char *serial;
    } rows[] = {
        {"host-serial:udp:foo:123:features", "udp:foo:123"},
        {"host-serial:foo:12/:features", "foo"},
        {"host-serial:foo:12a:features", "foo"},
    };
    (void)state;
    for (size_t i = 0; i < array_count(rows); i++) {
        struct adb_request request = parsed(rows[i].text);
        assert_true(text_is(request.selector.serial, text_view(rows[i].serial)));
    }
    struct adb_request request = parsed("host:transport-id:x");
    assert_int_equal(request.selector.id, 0); /* no number: no phone */
    uint16_t port = 0;
    assert_int_equal(adb_server_port(bytes_of("tcp:127.0.0.1:81"), &port), STATUS_OK);
    assert_int_equal(port, 81);
}

static void a_phone_that_is_there_in_any_state_ends_a_wait_for_any(void **state) {
    char error[ADB_SERVER_ERROR_SIZE];
    const struct adb_devices offline = {phones + 2, 1};
    const struct adb_devices none = {phones, 0};
    (void)state;
    struct adb_request request = parsed("host:wait-for-any-any");
    assert_int_equal(request.wait, ADB_WAIT_ANY);
    assert_int_equal(adb_server_awaited(&request, offline, error), STATUS_OK);
    assert_int_equal(adb_server_awaited(&request, none, error), STATUS_AGAIN);
}

int protocol_adb_server_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_request_however_it_is_cut),
        cmocka_unit_test(refuses_a_length_that_is_none),
        cmocka_unit_test(reads_every_request),
        cmocka_unit_test(a_prefix_without_what_follows_it_is_malformed),
        cmocka_unit_test(finds_where_a_serial_ends),
        cmocka_unit_test(a_slot_is_a_serial_with_any_number_of_colons),
        cmocka_unit_test(what_is_no_port_belongs_to_the_command),
        cmocka_unit_test(chooses_a_phone_in_the_words_of_adb),
        cmocka_unit_test(says_when_there_is_no_phone_at_all),
        cmocka_unit_test(a_serial_of_any_length_leaves_a_whole_error),
        cmocka_unit_test(waits_for_a_state),
        cmocka_unit_test(takes_forwards_and_ports_apart),
        cmocka_unit_test(lists_phones_in_every_form),
        cmocka_unit_test(a_long_message_of_the_proto_list_has_two_bytes_of_length),
        cmocka_unit_test(answers_have_a_length_in_hex),
        cmocka_unit_test(every_form_shows_every_state),
        cmocka_unit_test(large_transport_ids_take_more_bytes_of_the_proto_list),
        cmocka_unit_test(odd_characters_of_names_become_underscores),
        cmocka_unit_test(a_text_longer_than_its_length_can_say_is_cut),
        cmocka_unit_test(more_than_one_phone_on_usb_is_said_so),
        cmocka_unit_test(serials_with_prefixes_and_odd_ports_end_where_adb_ends_them),
        cmocka_unit_test(a_phone_that_is_there_in_any_state_ends_a_wait_for_any),
    };
    return cmocka_run_group_tests_name("protocol/adb_server", tests, NULL, NULL);
}
