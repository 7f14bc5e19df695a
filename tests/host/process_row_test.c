#include "host/shared/process_row.h"

#include "host/shared/phone_row.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void writes_a_row_of_the_list(void **state) {
    (void)state;
    char text[1024];
    struct json_writer writer;
    struct process_row row = {
        .id = process_id_make(bytes_of("rack-3"), 1, 17),
        .process_type = bytes_of("maintenance"),
        .status = PROCESS_PLANNED,
        .is_in_review = true,
        .phone = bytes_of("SIM001"),
        .attempts = 1,
        .created_ms = 1700000000000,
    };
    json_write_init(&writer, text, sizeof text);
    json_write_begin_object(&writer, NULL);
    process_row_members(&writer, &row);
    json_write_end_object(&writer);
    text[writer.size] = '\0';
    assert_string_equal(
        text, "{\"process_id\":\"rack-3-1-17\",\"process_type\":\"maintenance\","
              "\"request_id\":null,\"status\":\"queued\",\"internal_status\":\"PLANNED\","
              "\"state\":\"waiting_review\",\"job_status\":\"queued\",\"phone_id\":\"SIM001\","
              "\"attempts\":1,\"created_at\":\"2023-11-14T22:13:20.000Z\",\"updated_at\":null,"
              "\"finished_at\":null,\"error\":null}");
}

static void writes_why_a_row_failed(void **state) {
    (void)state;
    char text[1024];
    struct json_writer writer;
    struct process_row row = {
        .id = process_id_make(bytes_of("rack-3"), 1, 17),
        .process_type = bytes_of("maintenance"),
        .status = PROCESS_DEAD_LETTER,
        .category = RECORD_CATEGORY_EXIT_CODE,
        .message = bytes_of("exit status 7"),
    };
    json_write_init(&writer, text, sizeof text);
    json_write_begin_object(&writer, NULL);
    process_row_members(&writer, &row);
    json_write_end_object(&writer);
    text[writer.size] = '\0';
    assert_non_null(strstr(text, "\"error\":{\"category\":\"exit_code\",\"code\":null,"
                                 "\"message\":\"exit status 7\"}}"));
}

static void cuts_a_message_between_characters(void **state) {
    (void)state;
    const struct bytes text = bytes_of("a\xc3\xa4\xe2\x82\xac");
    static const size_t sizes[] = {0, 1, 1, 3, 3, 3, 6, 6};
    for (size_t i = 0; i < array_count(sizes); i++) {
        assert_int_equal(process_row_front(text, i).size, sizes[i]);
    }
}

static void writes_a_phone_and_who_leases_it(void **state) {
    (void)state;
    char text[1024];
    struct json_writer writer;
    struct phone_row row = {
        .image = {.state = RECORD_PHONE_READY, .id = bytes_of("SIM001"), .slot = bytes_of("1-4")},
        .hub_id = bytes_of("rack-3"),
        .is_leased = true,
        .lease = process_id_make(bytes_of("rack-3"), 1, 17),
    };
    row.lease.item = 2;
    json_write_init(&writer, text, sizeof text);
    json_write_begin_object(&writer, NULL);
    phone_row_members(&writer, &row);
    json_write_end_object(&writer);
    text[writer.size] = '\0';
    assert_string_equal(text, "{\"phone_id\":\"SIM001\",\"state\":\"leased\",\"slot\":\"1-4\","
                              "\"model\":null,\"reason\":null,\"labels\":[],\"hub_id\":\"rack-3\","
                              "\"process_id\":\"rack-3-1-17\",\"item_id\":\"rack-3-1-17.2\","
                              "\"updated_at\":null}");
}

int host_process_row_tests(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_row_of_the_list),
        cmocka_unit_test(writes_why_a_row_failed),
        cmocka_unit_test(cuts_a_message_between_characters),
        cmocka_unit_test(writes_a_phone_and_who_leases_it),
    };
    return cmocka_run_group_tests_name("host/process_row", tests, NULL, NULL);
}
