#include "host/shared/json.h"
#include "host/shared/json_check.h"
#include "host/shared/json_write.h"
#include "host/shared/process_member.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static jsmntok_t tokens[256];
static struct json_error error;

static enum status parse(struct json *json, const char *text) {
    return json_parse(json, (struct bytes){(const uint8_t *)text, strlen(text)}, tokens,
                      array_count(tokens), &error);
}

static void expect_error(const char *text, size_t offset, const char *pointer) {
    struct json json;
    if (parse(&json, text) != STATUS_MALFORMED) {
        fail_msg("accepted: %s", text);
    }
    if (error.offset != offset || strcmp(error.pointer, pointer) != 0) {
        fail_msg("%s: %zu '%s' %s", text, error.offset, error.pointer, error.reason);
    }
    assert_non_null(error.reason);
}

static void accepts_what_rfc_8259_allows(void **state) {
    (void)state;
    static const char *const texts[] = {
        "{}",
        "[]",
        " \t\r\n{ } \n",
        "[[],{},[{}]]",
        "[0,-0,10,-1,1.5,0.1e10,1E+2,1e-2,12345678901234567890123]",
        "[true,false,null]",
        ("[\"\",\"\\\"\\\\\\/"
         "\\b\\f\\n\\r\\t\\u0041\\ud83d\\ude00\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]"),
        "{\"\":1,\"a\":{\"a\":[1,{\"b\":null}]},\"\\u0000\":2}",
        "[\"\x7f\"]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", /* 32 deep */
    };
    struct json json;
    for (size_t i = 0; i < array_count(texts); i++) {
        if (parse(&json, texts[i]) != STATUS_OK) {
            fail_msg("refused: %s: %s at %zu", texts[i], error.reason, error.offset);
        }
    }
}

static void refuses_what_rfc_8259_does_not_allow(void **state) {
    (void)state;
    expect_error("", 0, "");
    expect_error("1", 0, "");
    expect_error("\"a\"", 0, "");
    expect_error("\xef\xbb\xbf{}", 0, "");
    expect_error("{} x", 3, "");
    expect_error("{}{}", 2, "");
    expect_error("[1,]", 3, "/1");
    expect_error("[,1]", 1, "/0");
    expect_error("[1 2]", 3, "/0");
    expect_error("[1}", 2, "/0");
    expect_error("{\"a\":1,}", 7, "");
    expect_error("{\"a\":1 \"b\":2}", 7, "/a");
    expect_error("{\"a\" 1}", 5, "/a");
    expect_error("{\"a\":}", 5, "/a");
    expect_error("{a:1}", 1, "");
    expect_error("{1:1}", 1, "");
    expect_error("{\"a\":1,\"b\":[0,{\"c\":tru}]}", 22, "/b/1/c");
    expect_error("[01]", 2, "/0");
    expect_error("[-]", 2, "/0");
    expect_error("[+1]", 1, "/0");
    expect_error("[.5]", 1, "/0");
    expect_error("[1.]", 3, "/0");
    expect_error("[1e]", 3, "/0");
    expect_error("[0x1]", 2, "/0");
    expect_error("[NaN]", 1, "/0");
    expect_error("[nul]", 4, "/0");
    expect_error("['a']", 1, "/0");
    expect_error("[\"\\x\"]", 2, "/0");
    expect_error("[\"\\u12g4\"]", 2, "/0");
    expect_error("[\"\\ud800\"]", 2, "/0");
    expect_error("[\"\\ud800\\u0041\"]", 2, "/0");
    expect_error("[\"\\udc00\"]", 2, "/0");
    expect_error("[\"a\nb\"]", 3, "/0");
    expect_error("[\"\xc0\x80\"]", 2, "/0");
    expect_error("[\"\xed\xa0\x80\"]", 2, "/0");
    expect_error("[\"\xf4\x90\x80\x80\"]", 2, "/0");
    expect_error("[\"\x80\"]", 2, "/0");
    expect_error("[\"\xe2\x82\"]", 2, "/0");
    expect_error("{\"a/b~c\":{\"\\u00e9\":x}}", 19, "/a~1b~0c/\xc3\xa9");
    expect_error("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]", 32,
                 "/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0");
}

static void refuses_a_nul_byte(void **state) {
    (void)state;
    struct json json;
    struct bytes text = {(const uint8_t *)"[1,\0002]", 6};
    assert_int_equal(json_parse(&json, text, tokens, 10, &error), STATUS_MALFORMED);
    assert_int_equal(error.offset, 3);
}

static void refuses_every_truncation(void **state) {
    (void)state;
    static const char text[] =
        "{\"a\":[1.5e3,true,\"\\u0041\\ud83d\\ude00\xc3\xa9\"],\"b\":{\"c\":null}}";
    struct json json;
    for (size_t size = 0; size < sizeof text - 1; size++) {
        struct bytes part = {(const uint8_t *)text, size};
        assert_int_equal(json_parse(&json, part, tokens, 64, &error), STATUS_MALFORMED);
        assert_true(error.offset <= size);
    }
    assert_int_equal(parse(&json, text), STATUS_OK);
}

static void refuses_a_name_that_comes_twice(void **state) {
    (void)state;
    expect_error("{\"a\":1,\"a\":2}", 8, "/a");
    expect_error("[{\"a\":{\"b\":1,\"\\u0062\":2}}]", 14, "/0/a/b");
    struct json json;
    assert_int_equal(parse(&json, "[{\"a\":1},{\"a\":{\"a\":1}}]"), STATUS_OK);
}

static void says_when_the_tokens_run_out(void **state) {
    (void)state;
    struct json json;
    struct bytes text = bytes_of("[1,2,3]");
    assert_int_equal(json_parse(&json, text, tokens, 3, &error), STATUS_TOO_LARGE);
    assert_int_equal(error.offset, 5);
    assert_int_equal(json_parse(&json, text, tokens, 4, &error), STATUS_OK);
}

static void finds_members_and_walks_containers(void **state) {
    (void)state;
    struct json json;
    unsigned value = 0;
    unsigned list = 0;
    assert_int_equal(
        parse(&json, "{\"x\":{\"list\":[0]},\"li\\u0073t\":[[1,2],{\"k\":3},\"s\"],\"n\":null}"),
        STATUS_OK);
    assert_int_equal(json_size(&json, 0), 3);
    assert_int_equal(json_member(&json, 0, "list", &list), STATUS_OK);
    assert_int_equal(json_member(&json, 0, "lis", &value), STATUS_NOT_FOUND);
    assert_int_equal(json_member(&json, 0, "k", &value), STATUS_NOT_FOUND);
    assert_int_equal(json_member(&json, list, "k", &value), STATUS_NOT_FOUND);
    assert_int_equal(json_size(&json, list), 3);
    static const enum json_type types[] = {JSON_ARRAY, JSON_OBJECT, JSON_STRING};
    unsigned count = 0;
    struct json_cursor at = {0, 0};
    while (json_each(&json, list, &at)) {
        assert_true(count < 3);
        assert_int_equal(json_type(&json, at.value), types[count]);
        count++;
    }
    assert_int_equal(count, 3);
    assert_true(json_equals(&json, at.value, "s"));
    assert_int_equal(json_member(&json, 0, "n", &value), STATUS_OK);
    assert_true(json_is_null(&json, value));
    assert_int_equal(parse(&json, "[]"), STATUS_OK);
    at = (struct json_cursor){0, 0};
    assert_false(json_each(&json, 0, &at));
}

static unsigned only(struct json *json, const char *text) {
    assert_int_equal(parse(json, text), STATUS_OK);
    return 1;
}

static void decodes_strings_within_their_room(void **state) {
    (void)state;
    struct json json;
    char text[16];
    unsigned value = only(&json, "[\"a\\n\\u00e9\\ud83d\\ude00\"]");
    assert_int_equal(json_get_string(&json, value, text, 9), STATUS_OK);
    assert_string_equal(text, "a\n\xc3\xa9\xf0\x9f\x98\x80");
    assert_int_equal(json_get_string(&json, value, text, 8), STATUS_TOO_LARGE);
    struct bytes raw = json_raw(&json, value);
    assert_int_equal(raw.size, 23);
    assert_memory_equal(raw.data, "\"a\\n\\u00e9\\ud83d\\ude00\"", 23);
    value = only(&json, "[\"a\\u0000b\"]");
    assert_int_equal(json_get_string(&json, value, text, sizeof text), STATUS_MALFORMED);
    assert_false(json_equals(&json, value, "a"));
    value = only(&json, "[1]");
    assert_int_equal(json_get_string(&json, value, text, sizeof text), STATUS_MALFORMED);
}

static void reads_integers_in_their_range(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum status as_uint, as_int;
        int64_t value;
    } rows[] = {
        {"[0]", STATUS_OK, STATUS_OK, 0},
        {"[-0]", STATUS_OK, STATUS_OK, 0},
        {"[-1]", STATUS_TOO_LARGE, STATUS_OK, -1},
        {"[9223372036854775807]", STATUS_OK, STATUS_OK, INT64_MAX},
        {"[9223372036854775808]", STATUS_OK, STATUS_TOO_LARGE, 0},
        {"[-9223372036854775808]", STATUS_TOO_LARGE, STATUS_OK, INT64_MIN},
        {"[-9223372036854775809]", STATUS_TOO_LARGE, STATUS_TOO_LARGE, 0},
        {"[18446744073709551615]", STATUS_OK, STATUS_TOO_LARGE, 0},
        {"[18446744073709551616]", STATUS_TOO_LARGE, STATUS_TOO_LARGE, 0},
        {"[99999999999999999999]", STATUS_TOO_LARGE, STATUS_TOO_LARGE, 0},
        {"[1.0]", STATUS_MALFORMED, STATUS_MALFORMED, 0},
        {"[1e3]", STATUS_MALFORMED, STATUS_MALFORMED, 0},
        {"[\"1\"]", STATUS_MALFORMED, STATUS_MALFORMED, 0},
        {"[true]", STATUS_MALFORMED, STATUS_MALFORMED, 0},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct json json;
        unsigned token = only(&json, rows[i].text);
        uint64_t number = 0;
        int64_t signed_number = 0;
        assert_int_equal(json_get_uint(&json, token, UINT64_MAX, &number), rows[i].as_uint);
        assert_int_equal(json_get_int(&json, token, INT64_MIN, INT64_MAX, &signed_number),
                         rows[i].as_int);
        if (rows[i].as_int == STATUS_OK) {
            assert_true(signed_number == rows[i].value);
        }
    }
    struct json json;
    uint64_t number = 0;
    bool is_true = false;
    assert_int_equal(json_get_uint(&json, only(&json, "[8]"), 7, &number), STATUS_TOO_LARGE);
    assert_int_equal(json_get_bool(&json, only(&json, "[true]"), &is_true), STATUS_OK);
    assert_true(is_true);
    assert_int_equal(json_get_bool(&json, only(&json, "[null]"), &is_true), STATUS_MALFORMED);
}

static void points_at_any_value(void **state) {
    (void)state;
    struct json json;
    unsigned steps = 0;
    unsigned value = 0;
    char text[64];
    assert_int_equal(parse(&json, "{\"inputs\":{\"st/eps\":[{\"a\":1},{\"a\":[2]}]}}"), STATUS_OK);
    json_pointer(&json, 0, text, sizeof text);
    assert_string_equal(text, "");
    assert_int_equal(json_member(&json, 0, "inputs", &value), STATUS_OK);
    assert_int_equal(json_member(&json, value, "st/eps", &steps), STATUS_OK);
    struct json_cursor at = {0, 0};
    assert_true(json_each(&json, steps, &at) && json_each(&json, steps, &at));
    assert_int_equal(json_member(&json, at.value, "a", &value), STATUS_OK);
    json_pointer(&json, value + 1, text, sizeof text);
    assert_string_equal(text, "/inputs/st~1eps/1/a/0");
    json_pointer(&json, value + 1, text, 8);
    assert_string_equal(text, "/1/a/0");
}

static void write_sample(struct json_writer *writer) {
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "s", "a\"b\\\n\x01\xc3\xa9\xff");
    json_write_begin_array(writer, "list");
    json_write_uint(writer, NULL, UINT64_MAX);
    json_write_int(writer, NULL, INT64_MIN);
    json_write_bool(writer, NULL, true);
    json_write_null(writer, NULL);
    json_write_begin_object(writer, NULL);
    json_write_end_object(writer);
    json_write_end_array(writer);
    json_write_raw(writer, "raw", bytes_of("{\"x\":[]}"));
    json_write_time_ms(writer, "at", 1795429230123);
    json_write_end_object(writer);
}

static void writes_compact_json(void **state) {
    (void)state;
    char buffer[512];
    struct json_writer writer;
    struct bytes text;
    json_write_init(&writer, buffer, sizeof buffer);
    write_sample(&writer);
    assert_int_equal(json_write_finish(&writer, &text), STATUS_OK);
    static const char wanted[] =
        "{\"s\":\"a\\\"b\\\\\\n\\u0001\xc3\xa9\xef\xbf\xbd\",\"list\":[18446744073709551615,"
        "-9223372036854775808,true,null,{}],\"raw\":{\"x\":[]},\"at\":\"2026-11-23T10:20:30."
        "123Z\"}";
    assert_int_equal(text.size, sizeof wanted - 1);
    assert_memory_equal(text.data, wanted, text.size);
    struct json json;
    assert_int_equal(json_parse(&json, text, tokens, array_count(tokens), &error), STATUS_OK);
}

static void never_writes_past_its_buffer(void **state) {
    (void)state;
    char buffer[512];
    struct bytes text;
    struct json_writer whole;
    json_write_init(&whole, buffer, sizeof buffer);
    write_sample(&whole);
    for (size_t size = 0; size <= whole.size; size++) {
        struct json_writer writer;
        memset(buffer, '#', sizeof buffer);
        json_write_init(&writer, buffer, size);
        write_sample(&writer);
        assert_int_equal(json_write_finish(&writer, &text),
                         size == whole.size ? STATUS_OK : STATUS_TOO_LARGE);
        assert_int_equal(buffer[size], '#');
    }
}

/* Eight bytes are judged at once: whatever stands where, the first special one is found. */
static void a_special_character_is_found_wherever_it_stands(void **state) {
    (void)state;
    enum { SIZE = 25 };
    static const uint8_t behind[] = {'a', ' ',  0x7f, '!',  '#',  '[',
                                     ']', 0x1f, '"',  '\\', 0x80, 0xff};
    uint8_t text[SIZE];
    for (unsigned at = 0; at < SIZE; at++) {
        for (unsigned byte = 0; byte <= UINT8_MAX; byte++) {
            bool is_special = byte < ' ' || byte >= 0x80 || byte == '"' || byte == '\\';
            for (size_t i = 0; i < array_count(behind); i++) {
                memset(text, ' ', at);
                text[at] = (uint8_t)byte;
                memset(text + at + 1, behind[i], SIZE - at - 1);
                bool is_next_special = i > 6 && at + 1 < SIZE;
                size_t expected = is_special ? at : is_next_special ? at + 1 : SIZE;
                assert_int_equal(json_check_plain((struct bytes){text, SIZE}), expected);
            }
        }
    }
}

static void writes_times_as_rfc_3339(void **state) {
    (void)state;
    static const struct {
        uint64_t unix_ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {951868800000, "2000-03-01T00:00:00.000Z"},
        {1709164800000, "2024-02-29T00:00:00.000Z"},
        {1735689599999, "2024-12-31T23:59:59.999Z"},
        {4107542400000, "2100-03-01T00:00:00.000Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {UINT64_MAX, "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        char text[JSON_WRITE_TIME_BYTES];
        json_write_time_text(rows[i].unix_ms, text);
        assert_string_equal(text, rows[i].text);
    }
}

/* A record may come from another machine: what it holds as JSON cannot break out of its member. */
static void what_a_record_holds_as_json_is_looked_at_again(void **state) {
    (void)state;
    static const struct {
        const char *held;
        const char *written;
    } rows[] = {
        {"{\"a\":1}", "{\"m\":{\"a\":1}}"},
        {"[]", "{\"m\":[]}"},
        {"", "{\"m\":null}"},
        {"{\"a\"z1}", "{\"m\":null}"},
        {"{}},{\"admin\":true", "{\"m\":null}"},
        {"{} ", "{\"m\":{} }"},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        char text[64];
        struct json_writer writer;
        struct bytes written;
        json_write_init(&writer, text, sizeof text);
        json_write_begin_object(&writer, NULL);
        process_member_json(&writer, "m",
                            (struct bytes){(const uint8_t *)rows[i].held, strlen(rows[i].held)},
                            "null");
        json_write_end_object(&writer);
        assert_int_equal(json_write_finish(&writer, &written), STATUS_OK);
        assert_int_equal(written.size, strlen(rows[i].written));
        assert_memory_equal(written.data, rows[i].written, written.size);
    }
}

int host_json_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_rfc_8259_allows),
        cmocka_unit_test(refuses_what_rfc_8259_does_not_allow),
        cmocka_unit_test(refuses_a_nul_byte),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_a_name_that_comes_twice),
        cmocka_unit_test(says_when_the_tokens_run_out),
        cmocka_unit_test(finds_members_and_walks_containers),
        cmocka_unit_test(decodes_strings_within_their_room),
        cmocka_unit_test(reads_integers_in_their_range),
        cmocka_unit_test(points_at_any_value),
        cmocka_unit_test(writes_compact_json),
        cmocka_unit_test(never_writes_past_its_buffer),
        cmocka_unit_test(a_special_character_is_found_wherever_it_stands),
        cmocka_unit_test(writes_times_as_rfc_3339),
        cmocka_unit_test(what_a_record_holds_as_json_is_looked_at_again),
    };
    return cmocka_run_group_tests_name("host/json", tests, NULL, NULL);
}
