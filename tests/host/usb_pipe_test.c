/* ADB's messages through transfers: what is asked for, what is sent, and every way it breaks. */
#include "host/hubd/phones/usb_pipe.h"

#include "protocol/adb.h"
#include "tests/host/usb_rig.h"
#include "tests/test.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { DEVICE = 7, PACKET = 512, MANY = USB_RIG_MANY };

static struct usb_pipe pipe_of_phone;
static struct hal_stream *const stream = &pipe_of_phone.stream;
static const struct usb_interface interface = {
    .in = {0x81, PACKET},
    .out = {0x01, PACKET},
};
static uint8_t bytes[ADB_HEADER_SIZE + 200000];

static void finish(struct hal_usb_transfer *transfer, enum status status, uint32_t moved) {
    transfer->status = status;
    transfer->moved = moved;
    usb_pipe_done(&pipe_of_phone, transfer);
}

/* The phone sends this as one transfer. */
static void phone_sends(const void *data, uint32_t size) {
    struct hal_usb_transfer *transfer = usb_rig_take(usb_rig.in, &usb_rig.in_count);
    assert_true(size <= transfer->size);
    memcpy(transfer->data, data, size);
    finish(transfer, STATUS_OK, size);
}

static void message(uint32_t payload) {
    struct adb_message header = {
        .command = ADB_WRTE, .arg0 = 1, .arg1 = 2, .payload_size = payload};
    adb_encode(bytes, &header);
    for (uint32_t i = 0; i < payload; i++) {
        bytes[ADB_HEADER_SIZE + i] = (uint8_t)(i * 7);
    }
}

static bool is_signalled(void) {
    struct pollfd fd = {.fd = stream->handle, .events = POLLIN};
    return poll(&fd, 1, 0) == 1;
}

static int set_up(void **state) {
    (void)state;
    usb_rig_begin();
    usb_rig.room = MANY;
    assert_int_equal(usb_pipe_open(&pipe_of_phone, &usb_rig.usb, DEVICE, &interface), STATUS_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    if (hal_stream_is_open(stream)) {
        hal_stream_close(stream);
    }
    return 0;
}

static void a_header_and_its_payload_are_asked_for_to_the_byte(void **state) {
    (void)state;
    static const struct {
        uint32_t payload;
        uint32_t asked[4]; /* behind the header */
    } rows[] = {
        {1, {PACKET, PACKET}},    {512, {512, PACKET}},          {513, {1024, PACKET}},
        {16384, {16384, PACKET}}, {16385, {16384, 512, PACKET}}, {32768, {16384, 16384, PACKET}},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        uint8_t read[ADB_HEADER_SIZE];
        size_t size;
        message(rows[i].payload);
        assert_int_equal(usb_rig.in_count, 1);
        assert_int_equal(usb_rig.in[0]->size, PACKET);
        phone_sends(bytes, ADB_HEADER_SIZE);
        assert_true(is_signalled());
        assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_OK);
        assert_int_equal(size, ADB_HEADER_SIZE);
        uint32_t sent = 0;
        for (size_t k = 0; sent < rows[i].payload; k++) {
            uint32_t count = rows[i].payload - sent < 16384 ? rows[i].payload - sent : 16384;
            assert_int_equal(usb_rig.in[0]->size, rows[i].asked[k]);
            phone_sends(bytes + ADB_HEADER_SIZE + sent, count);
            sent += count;
        }
        for (uint32_t got = 0; got < sent; got += (uint32_t)size) {
            uint8_t part[1000];
            assert_int_equal(hal_stream_read(stream, part, sizeof part, &size), STATUS_OK);
            assert_memory_equal(part, bytes + ADB_HEADER_SIZE + got, size);
        }
        uint8_t more;
        assert_int_equal(hal_stream_read(stream, &more, 1, &size), STATUS_AGAIN);
        assert_false(is_signalled());
    }
}

static void a_long_payload_has_several_transfers_in_flight(void **state) {
    (void)state;
    uint8_t read[ADB_HEADER_SIZE];
    size_t size;
    message(200000);
    phone_sends(bytes, ADB_HEADER_SIZE);
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_OK);
    assert_int_equal(usb_rig.in_count, USB_PIPE_IN);
}

static void an_empty_packet_in_a_headers_place_is_left_out(void **state) {
    (void)state;
    uint8_t read[ADB_HEADER_SIZE];
    size_t size;
    message(0);
    for (unsigned i = 0; i < USB_PIPE_EMPTY_MAX; i++) {
        phone_sends(bytes, 0);
    }
    phone_sends(bytes, ADB_HEADER_SIZE);
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_OK);
    assert_memory_equal(read, bytes, ADB_HEADER_SIZE);
    for (unsigned i = 0; i <= USB_PIPE_EMPTY_MAX; i++) {
        phone_sends(bytes, 0);
    }
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_MALFORMED);
    assert_string_equal(pipe_of_phone.reason, "sends empty packets without end");
}

static void a_message_goes_out_as_header_payload_and_empty_packet(void **state) {
    (void)state;
    static const uint32_t payloads[] = {1, 511, 512, 513, 16384, 16896, 65536};
    for (size_t i = 0; i < array_count(payloads); i++) {
        uint32_t payload = payloads[i];
        uint32_t written = 0, sent = 0;
        message(payload);
        while (sent < payload + ADB_HEADER_SIZE) {
            size_t size = 0;
            uint32_t left = payload + ADB_HEADER_SIZE - written;
            if (left > 0 && hal_stream_write(stream, bytes + written, left < 7000 ? left : 7000,
                                             &size) == STATUS_OK) {
                written += (uint32_t)size;
                continue;
            }
            struct hal_usb_transfer *transfer = usb_rig_take(usb_rig.out, &usb_rig.out_count);
            bool is_last = sent + transfer->size == payload + ADB_HEADER_SIZE;
            assert_true(sent > 0 || transfer->size == ADB_HEADER_SIZE);
            assert_true(is_last || sent == 0 || transfer->size == HAL_USB_CHUNK);
            assert_int_equal(transfer->ends_with_zero, is_last && payload % PACKET == 0);
            assert_memory_equal(transfer->data, bytes + sent, transfer->size);
            sent += transfer->size;
            finish(transfer, STATUS_OK, transfer->size);
        }
    }
}

static void a_write_that_must_wait_is_told_when_it_may_go_on(void **state) {
    (void)state;
    size_t size = 0;
    uint32_t written = 0;
    message(200000);
    while (hal_stream_write(stream, bytes + written, 200000 - written, &size) == STATUS_OK) {
        written += (uint32_t)size;
    }
    assert_int_equal(usb_rig.out_count, USB_PIPE_OUT);
    assert_int_equal(stream->wants, HAL_STREAM_READABLE);
    assert_false(is_signalled());
    struct hal_usb_transfer *first = usb_rig_take(usb_rig.out, &usb_rig.out_count);
    finish(first, STATUS_OK, first->size);
    assert_true(is_signalled());
    assert_int_equal(hal_stream_write(stream, bytes + written, 100, &size), STATUS_OK);
}

static void without_memory_for_transfers_it_waits_and_keeps_the_order(void **state) {
    (void)state;
    size_t size = 0;
    message(3 * HAL_USB_CHUNK);
    usb_rig.room = 2;
    uint32_t written = 0;
    while (written < 3 * HAL_USB_CHUNK + ADB_HEADER_SIZE &&
           hal_stream_write(stream, bytes + written, 3 * HAL_USB_CHUNK + ADB_HEADER_SIZE - written,
                            &size) == STATUS_OK) {
        written += (uint32_t)size;
    }
    uint32_t sent = 0;
    while (sent < 3 * HAL_USB_CHUNK + ADB_HEADER_SIZE) {
        struct hal_usb_transfer *transfer = usb_rig_take(usb_rig.out, &usb_rig.out_count);
        assert_memory_equal(transfer->data, bytes + sent, transfer->size);
        sent += transfer->size;
        finish(transfer, STATUS_OK, transfer->size);
        usb_pipe_go_on(&pipe_of_phone);
        uint32_t left = 3 * HAL_USB_CHUNK + ADB_HEADER_SIZE - written;
        if (left > 0 && hal_stream_write(stream, bytes + written, left, &size) == STATUS_OK) {
            written += (uint32_t)size;
        }
    }
    assert_int_equal(written, sent);
}

static void what_breaks_a_transfer_breaks_the_pipe_with_its_reason(void **state) {
    (void)state;
    static const struct {
        enum status status;
        const char *reason;
    } rows[] = {
        {STATUS_UNPLUGGED, "was unplugged"},
        {STATUS_STALLED, "halted its endpoint"},
        {STATUS_TOO_LARGE, "sent more than was asked for"},
        {STATUS_IO, "the USB transfer failed"},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        uint8_t read;
        size_t size;
        finish(usb_rig_take(usb_rig.in, &usb_rig.in_count), rows[i].status, 0);
        assert_true(is_signalled());
        assert_int_equal(hal_stream_read(stream, &read, 1, &size), rows[i].status);
        assert_int_equal(hal_stream_write(stream, bytes, 1, &size), rows[i].status);
        assert_string_equal(pipe_of_phone.reason, rows[i].reason);
        hal_stream_close(stream);
        assert_true(usb_pipe_is_idle(&pipe_of_phone));
        set_up(NULL);
    }
}

static void what_is_no_message_breaks_the_pipe(void **state) {
    (void)state;
    uint8_t read[64];
    size_t size;
    message(100);
    phone_sends(bytes, ADB_HEADER_SIZE - 1);
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_MALFORMED);
    hal_stream_close(stream);
    set_up(NULL);
    bytes[20] ^= 1;
    phone_sends(bytes, ADB_HEADER_SIZE);
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_MALFORMED);
    hal_stream_close(stream);
    set_up(NULL);
    message(100);
    bytes[14] = 0x10;
    bytes[15] = 0x10; /* a payload of 270 MB */
    phone_sends(bytes, ADB_HEADER_SIZE);
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_MALFORMED);
    hal_stream_close(stream);
    set_up(NULL);
    message(100);
    phone_sends(bytes, ADB_HEADER_SIZE);
    phone_sends(bytes, 99);
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_OK);
    assert_int_equal(hal_stream_read(stream, read, sizeof read, &size), STATUS_MALFORMED);
}

static void a_closed_pipe_is_idle_when_everything_has_come_back(void **state) {
    (void)state;
    size_t size;
    message(100000);
    (void)!hal_stream_write(stream, bytes, 60000, &size);
    phone_sends(bytes, ADB_HEADER_SIZE);
    hal_stream_close(stream);
    while (usb_rig.in_count + usb_rig.out_count > 0) {
        assert_false(usb_pipe_is_idle(&pipe_of_phone));
        struct hal_usb_transfer *transfer = usb_rig.in_count > 0
                                                ? usb_rig_take(usb_rig.in, &usb_rig.in_count)
                                                : usb_rig_take(usb_rig.out, &usb_rig.out_count);
        finish(transfer, STATUS_CLOSED, 0);
    }
    assert_true(usb_pipe_is_idle(&pipe_of_phone));
    usb_pipe_unplugged(&pipe_of_phone);
    usb_pipe_go_on(&pipe_of_phone);
    assert_int_equal(usb_pipe_open(&pipe_of_phone, &usb_rig.usb, DEVICE, &interface), STATUS_OK);
}

static void a_device_that_has_left_ends_the_stream(void **state) {
    (void)state;
    uint8_t read;
    size_t size;
    usb_pipe_unplugged(&pipe_of_phone);
    assert_true(is_signalled());
    assert_int_equal(hal_stream_read(stream, &read, 1, &size), STATUS_UNPLUGGED);
}

int host_usb_pipe_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_header_and_its_payload_are_asked_for_to_the_byte, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_long_payload_has_several_transfers_in_flight, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_empty_packet_in_a_headers_place_is_left_out, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_message_goes_out_as_header_payload_and_empty_packet,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_that_must_wait_is_told_when_it_may_go_on, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_memory_for_transfers_it_waits_and_keeps_the_order,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_breaks_a_transfer_breaks_the_pipe_with_its_reason,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_message_breaks_the_pipe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_pipe_is_idle_when_everything_has_come_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_device_that_has_left_ends_the_stream, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("host/usb_pipe", tests, NULL, NULL);
}
