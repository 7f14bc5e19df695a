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

static void integers_beyond_64_bits_with_a_sign_are_refused(void **unused) {
    (void)unused;
    static const struct {
        uint8_t bytes[9];
        int64_t value;
        bool is_taken;
    } rows[] = {
        {{0x1b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, INT64_MAX, true},
        {{0x1b, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}, 0, false},
        {{0x3b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, INT64_MIN, true},
        {{0x3b, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}, 0, false},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct cbor_reader reader;
        cbor_reader_init(&reader, (struct bytes){rows[i].bytes, sizeof rows[i].bytes});
        int64_t value = cbor_get_int(&reader);
        assert_true(value == rows[i].value);
        assert_int_equal(cbor_reader_done(&reader), rows[i].is_taken);
    }
}

/* RFC 3629: the first and the last of each length, the surrogates, and beyond the last. */
static void utf_8_ends_where_unicode_ends(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        bool is_taken;
    } rows[] = {
        {"\xc2\x80", true},          {"\xc1\xbf", false},
        {"\xe0\xa0\x80", true},      {"\xe0\x9f\xbf", false},
        {"\xed\x9f\xbf", true},      {"\xed\xa0\x80", false},
        {"\xed\xbf\xbf", false},     {"\xee\x80\x80", true},
        {"\xf0\x90\x80\x80", true},  {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x8f\xbf\xbf", true},  {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false}, {"\x80", false},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct bytes text = {(const uint8_t *)rows[i].text, strlen(rows[i].text)};
        assert_int_equal(cbor_is_utf8(text), rows[i].is_taken);
    }
}

static const uint64_t run_values[] = {
    0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};

/* A run is the same bytes as the single calls, whether it is made in place or in the spare bytes,
 * and overflows where they do. */
static void a_run_writes_what_single_calls_write(void **state) {
    (void)state;
    uint8_t single[128];
    uint8_t target[256];
    uint8_t spare[(array_count(run_values) + 3) * CBOR_RUN_ITEM_MAX];
    struct cbor_writer writer;
    cbor_writer_init(&writer, single, sizeof single);
    cbor_put_array(&writer, array_count(run_values) + 2);
    for (size_t i = 0; i < array_count(run_values); i++) {
        cbor_put_uint(&writer, run_values[i]);
    }
    cbor_put_bool(&writer, true);
    cbor_put_null(&writer);
    const size_t size = writer.size;
    for (size_t capacity = 0; capacity <= sizeof target; capacity++) {
        memset(target, 0xee, sizeof target);
        cbor_writer_init(&writer, target, capacity);
        struct cbor_run run = cbor_run_begin(&writer, spare, sizeof spare);
        cbor_run_array(&run, array_count(run_values) + 2);
        for (size_t i = 0; i < array_count(run_values); i++) {
            cbor_run_uint(&run, run_values[i]);
        }
        cbor_run_bool(&run, true);
        cbor_run_null(&run);
        cbor_run_end(&writer, &run);
        assert_int_equal(writer.overflow, capacity < size);
        assert_int_equal(writer.size, capacity < size ? 0 : size);
        assert_memory_equal(target, single, writer.size);
        for (size_t i = capacity; i < sizeof target; i++) {
            assert_int_equal(target[i], 0xee);
        }
    }
}

int protocol_cbor_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_writes_what_single_calls_write),
        cmocka_unit_test(integers_are_written_and_read_as_the_rfc_says),
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(every_truncation_fails),
        cmocka_unit_test(every_small_buffer_overflows_and_stays_in_bounds),
        cmocka_unit_test(what_is_not_deterministic_is_refused),
        cmocka_unit_test(arrays_are_followed_to_a_limit),
        cmocka_unit_test(limits_and_kinds_are_judged),
        cmocka_unit_test(what_is_accepted_is_written_as_the_same_bytes),
        cmocka_unit_test(integers_beyond_64_bits_with_a_sign_are_refused),
        cmocka_unit_test(utf_8_ends_where_unicode_ends),
    };
    return cmocka_run_group_tests_name("protocol/cbor", tests, NULL, NULL);
}
