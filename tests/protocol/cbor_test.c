#include "protocol/cbor.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t buffer[256];

static size_t from_hex(const char *hex, uint8_t *bytes) {
    size_t size = strlen(hex) / 2;
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        bytes[i] = (uint8_t)byte;
    }
    return size;
}

static void wrote(const struct cbor_writer *writer, const char *hex) {
    uint8_t expected[256];
    size_t size = from_hex(hex, expected);
    assert_false(writer->overflow);
    assert_int_equal(writer->size, size);
    assert_memory_equal(writer->data, expected, size);
}

/* RFC 8949, appendix A. */
static const struct {
    int64_t value;
    const char *hex;
} integers[] = {
    {0, "00"},
    {1, "01"},
    {10, "0a"},
    {23, "17"},
    {24, "1818"},
    {25, "1819"},
    {100, "1864"},
    {1000, "1903e8"},
    {1000000, "1a000f4240"},
    {1000000000000, "1b000000e8d4a51000"},
    {-1, "20"},
    {-10, "29"},
    {-100, "3863"},
    {-1000, "3903e7"},
    {INT64_MAX, "1b7fffffffffffffff"},
    {INT64_MIN, "3b7fffffffffffffff"},
};

static void integers_are_written_and_read_as_the_rfc_says(void **unused) {
    (void)unused;
    for (size_t i = 0; i < array_count(integers); i++) {
        struct cbor_writer writer;
        struct cbor_reader reader;
        cbor_writer_init(&writer, buffer, sizeof buffer);
        cbor_put_int(&writer, integers[i].value);
        wrote(&writer, integers[i].hex);
        cbor_reader_init(&reader, (struct bytes){buffer, writer.size});
        assert_true(cbor_get_int(&reader) == integers[i].value);
        assert_true(cbor_reader_done(&reader));
    }
}

static void put_all(struct cbor_writer *writer) {
    cbor_put_array(writer, 7);
    cbor_put_uint(writer, UINT64_MAX);
    cbor_put_text(writer, bytes_of("\xc3\xbc\xe6\xb0\xb4"));
    cbor_put_bytes(writer, bytes_of("\x01\x02\x03\x04"));
    cbor_put_bool(writer, false);
    cbor_put_bool(writer, true);
    cbor_put_null(writer);
    cbor_put_array(writer, 0);
}

static const char all_hex[] = "871bffffffffffffffff65c3bce6b0b44401020304f4f5f680";

static void every_kind_comes_back(void **unused) {
    (void)unused;
    struct cbor_writer writer;
    struct cbor_reader reader;
    cbor_writer_init(&writer, buffer, sizeof buffer);
    put_all(&writer);
    wrote(&writer, all_hex);
    cbor_reader_init(&reader, (struct bytes){buffer, writer.size});
    assert_int_equal(cbor_get_array(&reader, 7), 7);
    assert_true(cbor_get_uint(&reader, UINT64_MAX) == UINT64_MAX);
    assert_int_equal(cbor_get_text(&reader, 5).size, 5);
    assert_int_equal(cbor_get_bytes(&reader, 4).size, 4);
    assert_false(cbor_get_bool(&reader));
    assert_true(cbor_get_bool(&reader));
    assert_true(cbor_get_null(&reader));
    assert_int_equal(cbor_get_array(&reader, 0), 0);
    assert_true(cbor_reader_done(&reader));
    cbor_reader_init(&reader, (struct bytes){buffer, writer.size});
    assert_int_equal(cbor_skip(&reader).size, writer.size);
    assert_true(cbor_reader_done(&reader));
}

static void every_truncation_fails(void **unused) {
    (void)unused;
    uint8_t bytes[256];
    size_t size = from_hex(all_hex, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        struct cbor_reader reader;
        cbor_reader_init(&reader, (struct bytes){bytes, cut});
        assert_int_equal(cbor_skip(&reader).size, 0);
        assert_true(reader.failed);
    }
}

static void every_small_buffer_overflows_and_stays_in_bounds(void **unused) {
    (void)unused;
    size_t size = strlen(all_hex) / 2;
    for (size_t capacity = 0; capacity < size; capacity++) {
        struct cbor_writer writer;
        memset(buffer, 0xee, sizeof buffer);
        cbor_writer_init(&writer, buffer, capacity);
        put_all(&writer);
        assert_true(writer.overflow);
        assert_int_equal(buffer[capacity], 0xee);
    }
}

/* Longer than needed, indefinite, reserved, tagged, floating, or not UTF-8. */
static void what_is_not_deterministic_is_refused(void **unused) {
    (void)unused;
    static const char *const refused[] = {
        "1817",
        "190017",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "3817",
        "5801ff",
        "780161",
        "9800",
        "9f00ff",
        "5f4100ff",
        "7f6161ff",
        "1c",
        "1f",
        "fc",
        "ff",
        "f7",
        "f97c00",
        "f820",
        "c000",
        "fb3ff0000000000000",
        "61ff",
        "62c080",
        "63eda080",
        "64f4908080",
    };
    for (size_t i = 0; i < array_count(refused); i++) {
        uint8_t bytes[16];
        struct cbor_reader reader;
        cbor_reader_init(&reader, (struct bytes){bytes, from_hex(refused[i], bytes)});
        (void)cbor_skip(&reader);
        assert_true(reader.failed);
    }
}

static void arrays_are_followed_to_a_limit(void **unused) {
    (void)unused;
    for (size_t depth = 1; depth <= CBOR_DEPTH_MAX + 2; depth++) {
        struct cbor_reader reader;
        memset(buffer, 0x81, depth);
        buffer[depth] = 0;
        cbor_reader_init(&reader, (struct bytes){buffer, depth + 1});
        (void)cbor_skip(&reader);
        assert_int_equal(reader.failed, depth > CBOR_DEPTH_MAX);
    }
}

static void limits_and_kinds_are_judged(void **unused) {
    (void)unused;
    uint8_t bytes[16];
    struct bytes input = {bytes, from_hex("186443010203", bytes)};
    struct cbor_reader reader;
    cbor_reader_init(&reader, input);
    assert_int_equal(cbor_get_uint(&reader, 99), 0);
    assert_true(reader.failed);
    cbor_reader_init(&reader, input);
    assert_int_equal(cbor_get_uint(&reader, 100), 100);
    assert_int_equal(cbor_get_bytes(&reader, 2).size, 0);
    assert_true(reader.failed);
    cbor_reader_init(&reader, input);
    (void)cbor_get_text(&reader, 100);
    assert_true(reader.failed);
    cbor_reader_init(&reader, input);
    assert_false(cbor_get_null(&reader));
    assert_false(reader.failed);
}

/* Reads items one after the other and writes them again: the first byte says which call to make. */
static void write_again(struct cbor_reader *reader, struct cbor_writer *writer) {
    while (!reader->failed && reader->rest.size > 0) {
        unsigned major = reader->rest.data[0] >> 5;
        if (major == 0) {
            cbor_put_uint(writer, cbor_get_uint(reader, UINT64_MAX));
        } else if (major == 1) {
            cbor_put_int(writer, cbor_get_int(reader));
        } else if (major == 2) {
            cbor_put_bytes(writer, cbor_get_bytes(reader, SIZE_MAX));
        } else if (major == 3) {
            cbor_put_text(writer, cbor_get_text(reader, SIZE_MAX));
        } else if (major == 4) {
            cbor_put_array(writer, cbor_get_array(reader, SIZE_MAX));
        } else if (cbor_get_null(reader)) {
            cbor_put_null(writer);
        } else {
            cbor_put_bool(writer, cbor_get_bool(reader));
        }
    }
}

/* Every pair of first bytes, with small numbers behind it so that many are whole items. */
static void what_is_accepted_is_written_as_the_same_bytes(void **unused) {
    (void)unused;
    uint8_t bytes[24];
    uint32_t dice = 1;
    uint32_t accepted = 0;
    for (uint32_t i = 0; i <= UINT16_MAX; i++) {
        for (size_t at = 2; at < sizeof bytes; at++) {
            dice = dice * 1664525 + 1013904223;
            bytes[at] = (uint8_t)(dice >> 27);
        }
        bytes[0] = (uint8_t)(i >> 8);
        bytes[1] = (uint8_t)i;
        struct cbor_reader reader;
        struct cbor_writer writer;
        cbor_reader_init(&reader, (struct bytes){bytes, sizeof bytes});
        struct bytes item = cbor_skip(&reader);
        bool is_below_int64 = bytes[0] == 0x3b && bytes[1] >= 0x80;
        if (!reader.failed && !is_below_int64) {
            cbor_writer_init(&writer, buffer, sizeof buffer);
            cbor_reader_init(&reader, item);
            write_again(&reader, &writer);
            assert_true(cbor_reader_done(&reader));
            assert_int_equal(writer.size, item.size);
            assert_memory_equal(buffer, item.data, item.size);
            accepted += 1;
        }
    }
    assert_true(accepted > 20000);
}

int protocol_cbor_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_written_and_read_as_the_rfc_says),
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(every_truncation_fails),
        cmocka_unit_test(every_small_buffer_overflows_and_stays_in_bounds),
        cmocka_unit_test(what_is_not_deterministic_is_refused),
        cmocka_unit_test(arrays_are_followed_to_a_limit),
        cmocka_unit_test(limits_and_kinds_are_judged),
        cmocka_unit_test(what_is_accepted_is_written_as_the_same_bytes),
    };
    return cmocka_run_group_tests_name("protocol/cbor", tests, NULL, NULL);
}
