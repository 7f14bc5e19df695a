/* Flow control with delayed_ack, and between peers of which only one knows it: nothing stalls, and
 * no more is on its way than was agreed. */
#include "protocol/adb_connection.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { WINDOW = 10000, PAYLOAD = 8192, TOTAL = 1 << 20 };

static struct adb_connection host;
static struct adb_connection device;
static uint8_t host_output[ADB_CONNECTION_OUTPUT_MIN + 2 * PAYLOAD];
static uint8_t device_output[ADB_CONNECTION_OUTPUT_MIN + 2 * PAYLOAD];

static struct adb_connection_event carry(struct adb_connection *from, struct adb_connection *to) {
    struct adb_connection_event event = {.kind = ADB_EVENT_NONE};
    enum status status = STATUS_OK;
    struct bytes start = adb_connection_output(from);
    struct bytes input = start;
    while (status == STATUS_OK && event.kind == ADB_EVENT_NONE) {
        status = adb_connection_receive(to, &input, &event);
    }
    assert_int_not_equal(status, STATUS_MALFORMED);
    adb_connection_sent(from, start.size - input.size);
    return event;
}

static void go_online(bool is_host_new, bool is_device_new) {
    unsigned old = ADB_FEATURE_SHELL_V2;
    struct adb_banner host_banner = {.peer = ADB_PEER_HOST,
                                     .features = old | (is_host_new ? ADB_FEATURE_DELAYED_ACK : 0)};
    struct adb_banner device_banner = {
        .peer = ADB_PEER_DEVICE, .features = old | (is_device_new ? ADB_FEATURE_DELAYED_ACK : 0)};
    adb_connection_init(&host, ADB_CONNECTION_HOST, PAYLOAD, host_output, sizeof host_output);
    adb_connection_init(&device, ADB_CONNECTION_DEVICE, PAYLOAD, device_output,
                        sizeof device_output);
    host.offered_window = WINDOW;
    device.offered_window = WINDOW;
    adb_connection_start(&host, &host_banner);
    assert_int_equal(carry(&host, &device).kind, ADB_EVENT_CONNECT);
    assert_int_equal(adb_connection_accept(&device, &device_banner), STATUS_OK);
    assert_int_equal(carry(&device, &host).kind, ADB_EVENT_ONLINE);
}

static uint32_t open_stream(uint32_t *remote) {
    uint32_t stream = 0;
    assert_int_equal(adb_connection_open(&host, bytes_of("sync:"), &stream), STATUS_OK);
    struct adb_connection_event event = carry(&host, &device);
    assert_int_equal(event.kind, ADB_EVENT_OPEN);
    *remote = event.stream;
    adb_connection_accept_stream(&device, event.stream);
    assert_int_equal(carry(&device, &host).kind, ADB_EVENT_OPENED);
    return stream;
}

/* Writes as much as may be written; gives how much that was. */
static size_t write_all(struct adb_connection *from, uint32_t stream, size_t most) {
    size_t written = 0;
    size_t capacity = 0;
    while (written < most && adb_connection_room(from, stream, 1, &capacity) != NULL) {
        size_t size = most - written < capacity ? most - written : capacity;
        adb_connection_write_built(from, stream, size);
        written += size;
    }
    return written;
}

/* One way, while the reader holds back up to `held` bytes. */
static void pass(struct adb_connection *from, uint32_t out, struct adb_connection *to, uint32_t in,
                 size_t held) {
    size_t written = 0;
    size_t read = 0;
    size_t most_held = 0;
    size_t kept = 0; /* by the reader */
    for (unsigned turn = 0; read < TOTAL && turn < 100000; turn++) {
        written += write_all(from, out, TOTAL - written);
        struct adb_connection_event event = carry(from, to);
        if (event.kind == ADB_EVENT_DATA) {
            assert_int_equal(event.stream, in);
            kept += event.data.size;
            read += event.data.size;
        }
        most_held = kept > most_held ? kept : most_held;
        bool is_idle = event.kind == ADB_EVENT_NONE && adb_connection_output(from).size == 0;
        if (event.kind == ADB_EVENT_DATA_END || is_idle) {
            kept = kept > held && !is_idle ? held : 0;
            adb_connection_acknowledge(to, in, kept);
        }
        (void)carry(to, from);
        assert_true(kept < WINDOW + PAYLOAD);
    }
    assert_int_equal(read, TOTAL);
    assert_true(most_held > 0);
}

static void passes_everything_both_ways_whoever_knows_it(void **state) {
    (void)state;
    static const size_t held[] = {0, 1, PAYLOAD, WINDOW - 1, WINDOW + PAYLOAD};
    for (unsigned both = 0; both < 4; both++) {
        for (size_t i = 0; i < array_count(held); i++) {
            uint32_t remote = 0;
            go_online((both & 1) != 0, (both & 2) != 0);
            assert_int_equal(host.window, both == 3 ? WINDOW : 0);
            assert_int_equal(device.window, both == 3 ? WINDOW : 0);
            uint32_t stream = open_stream(&remote);
            pass(&host, stream, &device, remote, held[i]);
            pass(&device, remote, &host, stream, held[i]);
        }
    }
}

static void more_is_on_its_way_than_one_write_but_less_than_window_and_payload(void **state) {
    (void)state;
    uint32_t remote = 0;
    go_online(true, true);
    uint32_t stream = open_stream(&remote);
    assert_false(adb_connection_awaits(&host, stream));
    size_t ahead = write_all(&host, stream, TOTAL);
    assert_true(ahead > WINDOW && ahead < WINDOW + PAYLOAD);
    assert_true(adb_connection_awaits(&host, stream));
    go_online(true, false);
    stream = open_stream(&remote);
    assert_true(write_all(&host, stream, TOTAL) <= PAYLOAD);
}

static void a_small_write_needs_no_message_in_return(void **state) {
    (void)state;
    uint32_t remote = 0;
    go_online(true, true);
    uint32_t stream = open_stream(&remote);
    for (unsigned i = 0; i < 3 * WINDOW / 100; i++) {
        assert_int_equal(write_all(&host, stream, 100), 100);
        while (carry(&host, &device).kind != ADB_EVENT_DATA_END) {
        }
        adb_connection_acknowledge(&device, remote, 0);
        size_t answer = adb_connection_output(&device).size;
        assert_true(answer == 0 || answer == ADB_HEADER_SIZE + ADB_CONNECTION_GRANT);
        assert_true(answer == 0 || i % (WINDOW / 4 / 100) == WINDOW / 4 / 100 - 1);
        (void)carry(&device, &host);
    }
}

static void a_grant_waits_for_room_and_is_not_lost(void **state) {
    (void)state;
    uint32_t remote = 0;
    go_online(true, true);
    uint32_t stream = open_stream(&remote);
    uint32_t others[4] = {0};
    for (size_t i = 0; i < array_count(others); i++) {
        uint32_t other_remote = 0;
        others[i] = open_stream(&other_remote);
    }
    (void)write_all(&device, remote, TOTAL);
    while (carry(&device, &host).kind != ADB_EVENT_NONE) {
    }
    for (size_t i = 0; i < array_count(others); i++) { /* until there is no room for data */
        while (write_all(&host, others[i], 64) > 0) {
        }
    }
    size_t full = adb_connection_output(&host).size;
    adb_connection_acknowledge(&host, stream, 0);
    assert_int_equal(adb_connection_output(&host).size, full);
    adb_connection_sent(&host, full); /* the data is of no interest here */
    assert_int_equal(adb_connection_output(&host).size, ADB_HEADER_SIZE + ADB_CONNECTION_GRANT);
    assert_int_equal(carry(&host, &device).kind, ADB_EVENT_WRITABLE);
}

/* Gives one made-up message to the host. */
static enum status feed(uint32_t command, uint32_t arg0, uint32_t arg1, struct bytes payload) {
    uint8_t bytes[ADB_HEADER_SIZE + PAYLOAD] = {0};
    struct adb_message message = {
        .command = command, .arg0 = arg0, .arg1 = arg1, .payload_size = (uint32_t)payload.size};
    adb_encode(bytes, &message);
    if (payload.size > 0) {
        memcpy(bytes + ADB_HEADER_SIZE, payload.data, payload.size);
    }
    struct bytes input = {bytes, ADB_HEADER_SIZE + payload.size};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        struct adb_connection_event event;
        status = adb_connection_receive(&host, &input, &event);
    }
    return status == STATUS_MORE ? STATUS_OK : status;
}

static void breaks_with_a_phone_that_acknowledges_in_another_way(void **state) {
    (void)state;
    static const uint8_t grant[8] = {1};
    for (unsigned is_new = 0; is_new < 2; is_new++) {
        for (size_t size = 0; size <= sizeof grant; size++) {
            uint32_t remote = 0;
            go_online(true, is_new != 0);
            uint32_t stream = open_stream(&remote);
            bool is_right = size == (is_new != 0 ? 4 : 0);
            assert_int_equal(feed(ADB_OKAY, remote, stream, (struct bytes){grant, size}),
                             is_right ? STATUS_OK : STATUS_MALFORMED);
        }
    }
}

static void breaks_with_a_phone_that_writes_without_credit_or_grants_without_end(void **state) {
    (void)state;
    static const uint8_t most[4] = {0xff, 0xff, 0xff, 0x7f};
    static const uint8_t least[4] = {0, 0, 0, 0x80};
    static const uint8_t content[PAYLOAD];
    uint32_t remote = 0;
    go_online(true, true);
    uint32_t stream = open_stream(&remote);
    struct bytes payload = {content, PAYLOAD};
    assert_int_equal(feed(ADB_WRTE, remote, stream, payload), STATUS_OK);
    assert_int_equal(feed(ADB_WRTE, remote, stream, payload), STATUS_OK); /* 8192 < WINDOW */
    assert_int_equal(feed(ADB_WRTE, remote, stream, payload), STATUS_MALFORMED);
    go_online(true, true);
    stream = open_stream(&remote);
    assert_int_equal(feed(ADB_OKAY, remote, stream, (struct bytes){most, 4}), STATUS_MALFORMED);
    go_online(true, true);
    stream = open_stream(&remote);
    assert_int_equal(feed(ADB_OKAY, remote, stream, (struct bytes){least, 4}), STATUS_MALFORMED);
}

static void a_negative_grant_takes_credit_away(void **state) {
    (void)state;
    static const uint8_t less[4] = {0xf0, 0xd8, 0xff, 0xff}; /* -WINDOW */
    static const uint8_t more[4] = {WINDOW & 0xff, WINDOW >> 8, 0, 0};
    uint32_t remote = 0;
    go_online(true, true);
    uint32_t stream = open_stream(&remote);
    assert_int_equal(feed(ADB_OKAY, remote, stream, (struct bytes){less, 4}), STATUS_OK);
    assert_int_equal(write_all(&host, stream, 1), 0);
    assert_int_equal(feed(ADB_OKAY, remote, stream, (struct bytes){more, 4}), STATUS_OK);
    assert_int_equal(write_all(&host, stream, 1), 1);
}

static void an_open_without_the_agreed_window_is_refused(void **state) {
    (void)state;
    for (unsigned is_new = 0; is_new < 2; is_new++) {
        static const uint32_t windows[] = {0, 1, WINDOW, INT32_MAX, UINT32_MAX};
        for (size_t i = 0; i < array_count(windows); i++) {
            go_online(true, is_new != 0);
            host.takes_opens = true;
            assert_int_equal(feed(ADB_OPEN, 77, windows[i], bytes_of("tcp:5037")), STATUS_OK);
            bool is_right = (windows[i] > 0) == (is_new != 0) && windows[i] <= INT32_MAX;
            assert_int_equal(host.refused_opens, is_right ? 0 : 1);
        }
    }
}

int protocol_adb_flow_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_everything_both_ways_whoever_knows_it),
        cmocka_unit_test(more_is_on_its_way_than_one_write_but_less_than_window_and_payload),
        cmocka_unit_test(a_small_write_needs_no_message_in_return),
        cmocka_unit_test(a_grant_waits_for_room_and_is_not_lost),
        cmocka_unit_test(breaks_with_a_phone_that_acknowledges_in_another_way),
        cmocka_unit_test(breaks_with_a_phone_that_writes_without_credit_or_grants_without_end),
        cmocka_unit_test(a_negative_grant_takes_credit_away),
        cmocka_unit_test(an_open_without_the_agreed_window_is_refused),
    };
    return cmocka_run_group_tests_name("protocol/adb_flow", tests, NULL, NULL);
}
