#include "host/shared/process_id.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void reads_the_names_it_writes(void **state) {
    (void)state;
    char text[PROCESS_ID_SIZE];
    const uint64_t most = (UINT64_C(1) << RECORD_NUMBER_BITS) - 1;
    struct process_id id = process_id_make(bytes_of("a-b.c-1"), 8388607, most);
    struct process_id read;
    process_id_format(&id, text);
    assert_string_equal(text, "a-b.c-1-8388607-1099511627775");
    assert_int_equal(process_id_parse((struct bytes){(uint8_t *)text, strlen(text)}, &read),
                     STATUS_OK);
    assert_string_equal(read.hub_id, "a-b.c-1");
    assert_int_equal(read.epoch, 8388607);
    assert_true(read.number == most);
    assert_true(process_id_number(&read, 8388607) == most);
    assert_int_equal(read.item, 0);
    id.item = 7;
    process_id_format(&id, text);
    assert_int_equal(process_id_parse_item((struct bytes){(uint8_t *)text, strlen(text)}, &read),
                     STATUS_OK);
    assert_int_equal(read.item, 7);
    assert_int_equal(process_id_parse((struct bytes){(uint8_t *)text, strlen(text)}, &read),
                     STATUS_MALFORMED);
}

/* A number that was given after a fork holds its epoch. */
static void a_name_says_in_which_epoch_its_number_was_given(void **state) {
    (void)state;
    char text[PROCESS_ID_SIZE];
    const uint64_t number = UINT64_C(3) << RECORD_NUMBER_BITS | 7;
    struct process_id id = process_id_make(bytes_of("a"), 1, number);
    process_id_format(&id, text);
    assert_string_equal(text, "a-3-7");
    assert_true(process_id_number(&id, 1) == number);
    id = process_id_make(bytes_of("a"), 1, 7);
    process_id_format(&id, text);
    assert_string_equal(text, "a-1-7");
    assert_true(process_id_number(&id, 1) == 7);
}

static void refuses_what_is_no_name(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "-1-1",
        "a",
        "a-1",
        "a-1-",
        "a-01-1",
        "a-1-01",
        "a-0-1",
        "a-1-0",
        "a-1--1",
        "a 1 1",
        "a-1-1 ",
        "1-1",
        "a-1-1.1",
        "a-8388608-1",
        "a-1-1099511627776",
        "a-1-18446744073709551616",
        "0123456789012345678901234567890123456789012345678901234567890123x-1-1",
    };
    struct process_id id;
    for (size_t i = 0; i < array_count(wrong); i++) {
        struct bytes text = {(const uint8_t *)wrong[i], strlen(wrong[i])};
        if (process_id_parse(text, &id) != STATUS_MALFORMED) {
            fail_msg("accepted: %s", wrong[i]);
        }
    }
    assert_int_equal(process_id_parse((struct bytes){(const uint8_t *)"a\0b-1-1", 7}, &id),
                     STATUS_MALFORMED);
    assert_int_equal(process_id_parse_item(bytes_of("a-1-1"), &id), STATUS_MALFORMED);
    assert_int_equal(process_id_parse_item(bytes_of("a-1-1.0"), &id), STATUS_MALFORMED);
}

int host_process_id_tests(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_names_it_writes),
        cmocka_unit_test(a_name_says_in_which_epoch_its_number_was_given),
        cmocka_unit_test(refuses_what_is_no_name),
    };
    return cmocka_run_group_tests_name("host/process_id", tests, NULL, NULL);
}
