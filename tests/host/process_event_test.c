#include "host/shared/process_event.h"

#include "firmware/process.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* 2023-11-14T22:13:20Z is 1700000000 seconds; boot 2 began at it. */
static const struct record_boot boots[] = {{.boot = 2, .offset_ms = 1700000000000}, {.boot = 1}};

static struct record_time at(uint64_t mono_ms) {
    return record_time_of(2, mono_ms, 0, 0);
}

static const char *write_event(const struct record_header *header,
                               void (*put_image)(struct cbor_writer *)) {
    static char text[4096];
    const struct process_id id = process_id_make(bytes_of("rack-3"), 1, 17);
    const struct process_clock clock = {boots, array_count(boots)};
    uint8_t record[1024];
    struct cbor_writer cbor;
    struct json_writer writer;
    struct bytes json;
    cbor_writer_init(&cbor, record, sizeof record);
    record_put_header(&cbor, header);
    put_image(&cbor);
    json_write_init(&writer, text, sizeof text - 1);
    for (size_t size = 0; size < cbor.size; size++) {
        assert_int_equal(
            process_event_write(&writer, NULL, &id, (struct bytes){record, size}, &clock),
            STATUS_MALFORMED);
    }
    assert_int_equal(writer.size, 0);
    assert_int_equal(
        process_event_write(&writer, NULL, &id, (struct bytes){record, cbor.size}, &clock),
        STATUS_OK);
    assert_int_equal(json_write_finish(&writer, &json), STATUS_OK);
    text[json.size] = '\0';
    return text;
}

static void put_running_item(struct cbor_writer *writer) {
    struct record_item image = {.state = RECORD_RUNNING, .attempt = 2, .token = 7, .wait_ms = 60};
    record_put_item(writer, &image);
}

static void put_failed_attempt(struct cbor_writer *writer) {
    struct record_attempt image = {
        .outcome = RECORD_FAILURE,
        .category = RECORD_CATEGORY_ADB,
        .actions_done = 1,
        .progress_percent = 40,
        .phone_id = bytes_of("SIM001"),
        .code = bytes_of("closed"),
        .message = bytes_of("the phone hung up"),
        .action = bytes_of("storage"),
    };
    record_put_attempt(writer, &image);
}

static void put_finished_process(struct cbor_writer *writer) {
    struct record_process image = {.generation = 1, .flags = RECORD_PLANNED, .item_count = 1};
    record_put_process(writer, &image);
}

static void writes_events(void **state) {
    (void)state;
    struct record_header header = {
        .kind = RECORD_ITEM,
        .event = RECORD_STARTED_EVENT,
        .path_count = 2,
        .path = {17, 1},
        .revision = 5,
        .status = PROCESS_EXECUTING,
        .time = at(30),
    };
    assert_string_equal(
        write_event(&header, put_running_item),
        "{\"id\":5,\"process_id\":\"rack-3-1-17\",\"type\":\"started\",\"status\":\"executing\","
        "\"progress_percent\":null,\"step\":null,\"message\":\"item 1: started\","
        "\"payload\":{\"item_id\":\"rack-3-1-17.1\",\"state\":\"running\","
        "\"job_status\":\"running\",\"attempt\":2,\"attempts_counted\":0,\"lease_token\":\"7\","
        "\"wait_ms\":60,\"category\":null},\"created_at\":\"2023-11-14T22:13:20.030Z\"}");
    header.kind = RECORD_ATTEMPT;
    header.event = RECORD_ATTEMPT_ENDED_EVENT;
    header.path_count = 3;
    header.path[2] = 2;
    assert_string_equal(
        write_event(&header, put_failed_attempt),
        "{\"id\":5,\"process_id\":\"rack-3-1-17\",\"type\":\"attempt_ended\","
        "\"status\":\"executing\",\"progress_percent\":40,\"step\":\"storage\","
        "\"message\":\"the phone hung up\",\"payload\":{\"item_id\":\"rack-3-1-17.1\","
        "\"attempt\":2,\"outcome\":\"failure\",\"actions_done\":1,\"phone\":\"SIM001\","
        "\"category\":\"adb\",\"code\":\"closed\",\"exit_code\":null,\"output_tail\":null,"
        "\"result\":null},\"created_at\":\"2023-11-14T22:13:20.030Z\"}");
    header.kind = RECORD_PROCESS;
    header.event = RECORD_FINISHED_EVENT;
    header.path_count = 1;
    header.status = PROCESS_DONE;
    assert_string_equal(
        write_event(&header, put_finished_process),
        "{\"id\":5,\"process_id\":\"rack-3-1-17\",\"type\":\"finished\","
        "\"status\":\"completed\",\"progress_percent\":100,\"step\":null,"
        "\"message\":\"finished\",\"payload\":{\"generation\":1,\"items\":1,\"planned\":true,"
        "\"cancel_requested\":false,\"held\":false},"
        "\"created_at\":\"2023-11-14T22:13:20.030Z\"}");
}

static void refuses_records_that_are_no_process_events(void **state) {
    (void)state;
    uint8_t record[256];
    struct cbor_writer cbor;
    struct record_header header = {
        .kind = RECORD_PHONE, .path_count = 1, .revision = 1, .time = at(1)};
    struct record_phone image = {.id = bytes_of("SIM001")};
    cbor_writer_init(&cbor, record, sizeof record);
    record_put_header(&cbor, &header);
    record_put_phone(&cbor, &image);
    struct bytes bytes = {record, cbor.size};
    assert_int_equal(process_event_read(bytes, &header), STATUS_MALFORMED);
}

int host_process_event_tests(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_events),
        cmocka_unit_test(refuses_records_that_are_no_process_events),
    };
    return cmocka_run_group_tests_name("host/process_event", tests, NULL, NULL);
}
