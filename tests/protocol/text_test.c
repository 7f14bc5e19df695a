/* Bytes and text without a C library. */
#include "protocol/text.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void takes_a_prefix_only_when_it_is_there(void **state) {
    (void)state;
    struct bytes text = bytes_of("host:version");
    assert_false(text_take(&text, "host-serial:"));
    assert_false(text_take(&text, "host:versions"));
    assert_true(text_take(&text, "host:"));
    assert_true(text_is(text, bytes_of("version")));
    assert_true(text_take(&text, "version"));
    assert_int_equal(text.size, 0);
    assert_int_equal(text_up_to(bytes_of("ab:c"), ':'), 2);
    assert_int_equal(text_up_to(bytes_of("abc"), ':'), 3);
}

static void takes_a_number_of_up_to_18_digits(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_number;
        uint64_t number;
    } rows[] = {
        {"0", true, 0},
        {"17:x", true, 17},
        {"999999999999999999", true, 999999999999999999u},
        {"1000000000000000000", false, 0},
        {"", false, 0},
        {"x1", false, 0},
        {"-1", false, 0},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        struct bytes text = text_view(rows[i].text);
        uint64_t number = 0;
        assert_int_equal(text_take_number(&text, &number), rows[i].is_number);
        assert_int_equal(number, rows[i].number);
    }
}

static void writes_while_it_fits_and_never_a_part(void **state) {
    (void)state;
    uint8_t memory[24];
    struct text_writer writer = {.data = memory, .capacity = sizeof memory};
    text_put_number(&writer, 0);
    text_put(&writer, " ");
    text_put_number(&writer, UINT64_MAX);
    assert_int_equal(writer.size, 22);
    assert_memory_equal(memory, "0 18446744073709551615", 22);
    text_put(&writer, "abc");
    assert_true(writer.is_full);
    text_put_byte(&writer, 'x'); /* would fit, but something before it is missing */
    assert_int_equal(writer.size, 22);
}

static void a_number_ends_at_the_first_byte_that_is_no_digit(void **state) {
    (void)state;
    uint64_t number = 0;
    struct bytes above = bytes_of("12:"), below = bytes_of("34/");
    assert_true(text_take_number(&above, &number));
    assert_int_equal(number, 12);
    assert_true(text_take_number(&below, &number));
    assert_int_equal(number, 34);
    struct bytes endless = bytes_of("00000000000000000001"); /* 20 digits, however small */
    assert_false(text_take_number(&endless, &number));
    assert_int_equal(endless.size, 20);
}

static void texts_without_bytes_are_one_text(void **state) {
    (void)state;
    assert_true(text_is((struct bytes){NULL, 0}, bytes_of("")));
    assert_false(text_is((struct bytes){NULL, 0}, bytes_of("a")));
    assert_false(text_is(bytes_of("b"), bytes_of("a")));
}

int protocol_text_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_prefix_only_when_it_is_there),
        cmocka_unit_test(takes_a_number_of_up_to_18_digits),
        cmocka_unit_test(writes_while_it_fits_and_never_a_part),
        cmocka_unit_test(a_number_ends_at_the_first_byte_that_is_no_digit),
        cmocka_unit_test(texts_without_bytes_are_one_text),
    };
    return cmocka_run_group_tests_name("protocol/text", tests, NULL, NULL);
}
