#include "protocol/serial_frame.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PAYLOAD = 1100 };

static uint8_t line[2 * SERIAL_FRAME_SIZE(PAYLOAD)];
static uint8_t buffer[PAYLOAD + SERIAL_FRAME_HEAD + SERIAL_FRAME_TAIL];
static uint8_t payload[PAYLOAD + 1];

/* Feeds bytes; returns how many frames came, the last of them in `frame`. */
static uint32_t feed(struct serial_frame_reader *reader, const uint8_t *data, size_t size,
                     struct serial_frame *frame) {
    uint32_t count = 0;
    for (size_t i = 0; i < size; i++) {
        count += serial_frame_take(reader, data[i], frame);
    }
    return count;
}

static void fill(size_t size, uint32_t seed) {
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        /* Long runs without a zero, and zeros in a row. */
        payload[i] = seed % 5 == 0 ? 0 : (uint8_t)((seed >> 16 & 0xff) | (i > 300 ? 1 : 0));
    }
}

static void a_small_frame_is_byte_for_byte_as_documented(void **unused) {
    (void)unused;
    const uint8_t expected[] = {0x00, 0x03, 0x02, 0xa0, 0x06, 0x01, 0x12, 0x67, 0x08, 0x6f, 0x00};
    const uint8_t body[] = {0xa0, 0x00, 0x01};
    size_t size = serial_frame_write(SERIAL_FRAME_PUSH, (struct bytes){body, 3}, line);
    assert_int_equal(size, sizeof expected);
    assert_memory_equal(line, expected, sizeof expected);
}

static void every_size_comes_out_as_it_went_in(void **unused) {
    (void)unused;
    struct serial_frame_reader reader;
    struct serial_frame frame = {0};
    serial_frame_reader_init(&reader, buffer, sizeof buffer);
    for (size_t size = 0; size <= PAYLOAD; size++) {
        for (uint32_t kind = 0; kind < 3; kind++) {
            fill(size, (uint32_t)size + 7);
            if (kind > 0) {
                memset(payload, kind == 1 ? 0 : 0xff, size);
            }
            size_t count =
                serial_frame_write((uint8_t)(size % 256), (struct bytes){payload, size}, line);
            assert_true(count <= SERIAL_FRAME_SIZE(size));
            assert_null(memchr(line + 1, 0, count - 2));
            assert_int_equal(feed(&reader, line, count, &frame), 1);
            assert_int_equal(frame.type, size % 256);
            assert_int_equal(frame.payload.size, size);
            assert_memory_equal(frame.payload.data, payload, size);
        }
    }
    assert_int_equal(reader.damaged + reader.too_long, 0);
}

static void a_frame_cut_at_any_byte_is_dropped_and_the_next_one_comes(void **unused) {
    (void)unused;
    struct serial_frame_reader reader;
    struct serial_frame frame = {0};
    fill(600, 3);
    size_t size = serial_frame_write(SERIAL_FRAME_PUSH, (struct bytes){payload, 600}, line);
    for (size_t cut = 0; cut < size - 1; cut++) {
        serial_frame_reader_init(&reader, buffer, sizeof buffer);
        assert_int_equal(feed(&reader, line, cut, &frame), 0);
        assert_int_equal(feed(&reader, line, size, &frame), 1);
        assert_int_equal(frame.payload.size, 600);
        assert_int_equal(reader.damaged, cut > 1 ? 1 : 0);
        /* and with its front lost */
        assert_int_equal(feed(&reader, line + cut + 1, size - cut - 1, &frame), cut == 0 ? 1 : 0);
        assert_int_equal(feed(&reader, line, size, &frame), 1);
    }
}

static void no_changed_byte_passes(void **unused) {
    (void)unused;
    struct serial_frame_reader reader;
    struct serial_frame frame;
    fill(300, 5);
    size_t size = serial_frame_write(SERIAL_FRAME_REPLY, (struct bytes){payload, 300}, line);
    for (size_t i = 0; i < size; i++) {
        for (unsigned change = 1; change < 256; change++) {
            line[i] ^= (uint8_t)change;
            serial_frame_reader_init(&reader, buffer, sizeof buffer);
            bool has_frame = feed(&reader, line, size, &frame) > 0;
            /* Only the 00 in front may be anything that is dropped. */
            bool is_same = has_frame && frame.type == SERIAL_FRAME_REPLY &&
                           frame.payload.size == 300 &&
                           memcmp(frame.payload.data, payload, 300) == 0;
            assert_true(!has_frame || is_same);
            line[i] ^= (uint8_t)change;
        }
    }
}

static void what_is_longer_than_the_buffer_is_counted_and_passed_over(void **unused) {
    (void)unused;
    struct serial_frame_reader reader;
    struct serial_frame frame;
    uint8_t small[20];
    fill(PAYLOAD, 9);
    size_t size = serial_frame_write(SERIAL_FRAME_PUSH, (struct bytes){payload, PAYLOAD}, line);
    serial_frame_reader_init(&reader, small, sizeof small);
    assert_int_equal(feed(&reader, line, size, &frame), 0);
    assert_int_equal(reader.too_long, 1);
    size = serial_frame_write(SERIAL_FRAME_HELLO, bytes_of("hub-1"), line);
    assert_int_equal(feed(&reader, line, size, &frame), 1);
    assert_memory_equal(frame.payload.data, "hub-1", 5);
    size = serial_frame_write(SERIAL_FRAME_HELLO, (struct bytes){payload, 15}, line);
    assert_int_equal(feed(&reader, line, size, &frame), 1);
    size = serial_frame_write(SERIAL_FRAME_HELLO, (struct bytes){payload, 16}, line);
    assert_int_equal(feed(&reader, line, size, &frame), 0);
    assert_int_equal(reader.too_long, 2);
}

static void zeros_without_end_are_nothing(void **unused) {
    (void)unused;
    struct serial_frame_reader reader;
    struct serial_frame frame;
    serial_frame_reader_init(&reader, buffer, sizeof buffer);
    memset(line, 0, 500);
    assert_int_equal(feed(&reader, line, 500, &frame), 0);
    assert_int_equal(reader.frames + reader.damaged + reader.too_long, 0);
}

static void a_line_that_is_opened_anew_begins_with_no_frame_and_keeps_its_counts(void **unused) {
    (void)unused;
    struct serial_frame_reader reader;
    struct serial_frame frame;
    fill(40, 11);
    size_t size = serial_frame_write(SERIAL_FRAME_PUSH, (struct bytes){payload, 40}, line);
    serial_frame_reader_init(&reader, buffer, sizeof buffer);
    assert_int_equal(feed(&reader, line, size - 9, &frame), 0);
    assert_int_equal(feed(&reader, line, size, &frame), 1);
    assert_int_equal(feed(&reader, line, size - 9, &frame), 0);
    serial_frame_reader_restart(&reader);
    assert_int_equal(feed(&reader, line, size, &frame), 1);
    assert_int_equal(reader.frames, 2);
    assert_int_equal(reader.damaged, 1);
}

int protocol_serial_frame_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_frame_is_byte_for_byte_as_documented),
        cmocka_unit_test(every_size_comes_out_as_it_went_in),
        cmocka_unit_test(a_frame_cut_at_any_byte_is_dropped_and_the_next_one_comes),
        cmocka_unit_test(no_changed_byte_passes),
        cmocka_unit_test(what_is_longer_than_the_buffer_is_counted_and_passed_over),
        cmocka_unit_test(zeros_without_end_are_nothing),
        cmocka_unit_test(a_line_that_is_opened_anew_begins_with_no_frame_and_keeps_its_counts),
    };
    return cmocka_run_group_tests_name("protocol/serial_frame", tests, NULL, NULL);
}
