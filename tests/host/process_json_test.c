#include "host/shared/process_json.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* 2023-11-14T22:13:20Z is 1700000000 seconds; boot 2 began at it. */
static const struct record_boot boots[] = {{.boot = 2, .offset_ms = 1700000000000}, {.boot = 1}};

static struct {
    struct record_request request;
    bool has_request;
    struct process_json_item items[4];
    uint32_t item_count;
    struct process_json_attempt attempts[6];
    uint32_t attempt_count;
    struct process_view view;
} farm;

static bool give_request(void *owner, struct record_request *request) {
    (void)owner;
    *request = farm.request;
    return farm.has_request;
}

static bool give_item(void *owner, uint32_t index, struct process_json_item *item) {
    (void)owner;
    if (index >= farm.item_count) {
        return false;
    }
    *item = farm.items[index];
    return true;
}

static bool give_attempt(void *owner, uint32_t index, struct process_json_attempt *attempt) {
    (void)owner;
    if (index >= farm.attempt_count) {
        return false;
    }
    *attempt = farm.attempts[index];
    return true;
}

static struct record_time at(uint64_t mono_ms) {
    return record_time_of(2, mono_ms, 0, 0);
}

static int begin(void **state) {
    (void)state;
    memset(&farm, 0, sizeof farm);
    farm.has_request = true;
    farm.request = (struct record_request){
        .process_type = bytes_of("maintenance"),
        .request_id = bytes_of("r-1"),
        .system = bytes_of("ops"),
        .target = bytes_of("{\"phone_id\":\"SIM001\"}"),
        .inputs = bytes_of("{\"steps\":[]}"),
        .callback =
            bytes_of("{\"url\":\"https://x.test/\",\"secret\":\"s3\",\"metadata\":{\"a\":1}}"),
        .priority = 5,
    };
    farm.view = (struct process_view){
        .id = process_id_make(bytes_of("rack-3"), 1, 17),
        .process = {.generation = 1, .created = at(1)},
        .updated = at(9),
        .clock = {boots, array_count(boots)},
        .source = {NULL, give_request, give_item, give_attempt},
    };
    return 0;
}

static void add_item(enum record_item_state item_state, bool superseded) {
    struct process_json_item *item = &farm.items[farm.item_count];
    farm.item_count += 1;
    item->number = farm.item_count;
    item->image.state = (uint8_t)item_state;
    item->image.superseded = superseded;
    item->image.generation = 1;
    farm.view.process.flags |= RECORD_PLANNED;
    farm.view.counts.by_state[item_state] += !superseded;
}

static struct process_json_attempt *add_attempt(uint32_t item, uint32_t number,
                                                enum record_outcome outcome) {
    struct process_json_attempt *attempt = &farm.attempts[farm.attempt_count];
    farm.attempt_count += 1;
    attempt->item = item;
    attempt->number = number;
    attempt->image.outcome = (uint8_t)outcome;
    attempt->image.ended = at(100 * (uint64_t)farm.attempt_count);
    return attempt;
}

/* The JSON of the process, with a NUL. */
static const char *write_process(void) {
    static char text[16384];
    struct json_writer writer;
    struct bytes json;
    json_write_init(&writer, text, sizeof text - 1);
    json_write_begin_object(&writer, NULL);
    process_json_members(&writer, &farm.view);
    json_write_end_object(&writer);
    assert_int_equal(json_write_finish(&writer, &json), STATUS_OK);
    text[json.size] = '\0';
    return text;
}

static void assert_has(const char *json, const char *part) {
    if (strstr(json, part) == NULL) {
        fail_msg("%s\n is not in\n%s", part, json);
    }
}

static void writes_a_process_that_was_accepted(void **state) {
    (void)state;
    assert_string_equal(
        write_process(),
        "{\"process_id\":\"rack-3-1-17\",\"status\":\"queued\",\"internal_status\":\"QUEUED\","
        "\"state\":\"pending\",\"job_status\":\"queued\",\"status_detail\":null,"
        "\"progress_percent\":0,\"current_step\":null,\"attempts\":0,\"generation\":1,"
        "\"process_type\":\"maintenance\",\"request_id\":\"r-1\","
        "\"target\":{\"phone_id\":\"SIM001\",\"account_id\":null},"
        "\"requested_by\":{\"system\":\"ops\",\"user\":null,\"metadata\":{}},"
        "\"callback\":{\"url\":\"https://x.test/\",\"metadata\":{\"a\":1}},"
        "\"inputs\":{\"steps\":[]},\"mode\":\"manual\",\"priority\":5,\"not_before\":null,"
        "\"deadline\":null,\"concurrency_key\":null,\"labels\":[],\"related\":null,"
        "\"workspace_id\":null,\"queue\":null,"
        "\"timestamps\":{\"created_at\":\"2023-11-14T22:13:20.001Z\","
        "\"accepted_at\":\"2023-11-14T22:13:20.001Z\",\"queued_at\":null,\"executing_at\":null,"
        "\"retrying_at\":null,\"cancel_requested_at\":null,\"finished_at\":null,"
        "\"started_at\":null,\"first_device_at\":null,"
        "\"updated_at\":\"2023-11-14T22:13:20.009Z\"},"
        "\"linked_ids\":{\"queue_item_ids\":[],\"completed_queue_item_ids\":[]},"
        "\"partial_progress\":{},\"items\":[],\"result\":{},\"summary\":null,"
        "\"error\":null,\"error_message\":null,\"errors\":[],\"errors_dropped\":0,"
        "\"truncated\":false}");
}

static void writes_a_process_that_retried_and_completed(void **state) {
    (void)state;
    add_item(RECORD_COMPLETED, false);
    farm.items[0].image.attempt = 2;
    farm.items[0].image.attempts_counted = 1;
    farm.items[0].image.token = (1ull << 40) + 3;
    farm.items[0].image.started = at(20);
    farm.items[0].image.first_device = at(21);
    farm.items[0].phone = bytes_of("SIM001");
    struct record_attempt *failed = &add_attempt(1, 1, RECORD_FAILURE)->image;
    failed->category = RECORD_CATEGORY_EXIT_CODE;
    failed->has_exit_code = true;
    failed->exit_code = -1;
    failed->code = bytes_of("exit_255");
    failed->message = bytes_of("it said \"no\"");
    failed->action = bytes_of("battery");
    failed->phone_id = bytes_of("SIM001");
    failed->output = bytes_of("tail");
    failed->result = bytes_of("{\"old\":1}");
    add_attempt(1, 2, RECORD_SUCCESS)->image.result = bytes_of("{\"health\":\"good\"}");
    const char *json = write_process();
    assert_has(json, "\"status\":\"completed\",\"internal_status\":\"DONE\",\"state\":"
                     "\"completed\",\"job_status\":\"completed\",\"status_detail\":null,"
                     "\"progress_percent\":100,\"current_step\":null,\"attempts\":2");
    assert_has(json, "\"started_at\":\"2023-11-14T22:13:20.020Z\","
                     "\"first_device_at\":\"2023-11-14T22:13:20.021Z\"");
    assert_has(
        json,
        "\"linked_ids\":{\"queue_item_ids\":[\"rack-3-1-17.1\"],"
        "\"completed_queue_item_ids\":[\"rack-3-1-17.1\"]},\"partial_progress\":{},"
        "\"items\":[{\"id\":\"rack-3-1-17.1\",\"state\":\"completed\","
        "\"job_status\":\"completed\",\"phone_id\":\"SIM001\",\"worker\":null,\"attempt\":2,"
        "\"attempts_counted\":1,\"lease_token\":\"1099511627779\",\"generation\":1,"
        "\"superseded\":false}],\"result\":{\"health\":\"good\"},\"summary\":{\"health\":\"good\"},"
        "\"error\":null,\"error_message\":null,"
        "\"errors\":[{\"category\":\"exit_code\",\"code\":\"exit_255\","
        "\"message\":\"it said \\\"no\\\"\",\"item_id\":\"rack-3-1-17.1\","
        "\"attempt\":1,\"action\":\"battery\",\"exit_code\":-1,\"phone\":\"SIM001\","
        "\"at\":\"2023-11-14T22:13:20.100Z\",\"output_tail\":\"tail\"}],"
        "\"errors_dropped\":0,\"truncated\":false}");
}

static void shows_the_newest_failure_as_the_error(void **state) {
    (void)state;
    add_item(RECORD_RETRY_WAIT, false);
    farm.items[0].image.attempts_counted = 9;
    add_attempt(1, 1, RECORD_FAILURE)->image.code = bytes_of("first");
    add_attempt(1, 2, RECORD_INTERRUPTED)->image.code = bytes_of("power");
    add_attempt(1, 9, RECORD_FAILURE)->image.code = bytes_of("last");
    const char *json = write_process();
    assert_has(json, "\"status\":\"retrying\"");
    assert_has(json, "\"status_detail\":\"waiting to try again\"");
    assert_has(json,
               "\"error\":{\"category\":\"none\",\"code\":\"last\","
               "\"message\":null,\"item_id\":\"rack-3-1-17.1\",\"attempt\":9,"
               "\"action\":null,\"exit_code\":null,\"phone\":null,"
               "\"at\":\"2023-11-14T22:13:20.300Z\",\"output_tail\":null},\"error_message\":null,"
               "\"errors\":[");
    assert_has(json, "\"errors_dropped\":7,");
    assert_null(strstr(json, "power"));
}

static void counts_several_items_and_gives_each_its_result(void **state) {
    (void)state;
    add_item(RECORD_FAILED, true);
    add_item(RECORD_COMPLETED, false);
    add_item(RECORD_RUNNING, false);
    add_item(RECORD_READY, false);
    farm.items[2].progress_percent = 52;
    farm.items[2].step = "storage";
    farm.items[2].image.attempt = 3;
    add_attempt(2, 1, RECORD_FAILURE)->image.result = bytes_of("{\"a\":0}");
    add_attempt(2, 2, RECORD_SUCCESS)->image.result = bytes_of("{\"a\":1}");
    add_attempt(3, 1, RECORD_UNFINISHED)->image.result = bytes_of("{\"b\":2}");
    const char *json = write_process();
    assert_has(json, "\"status\":\"executing\"");
    assert_has(json, "\"progress_percent\":50,\"current_step\":\"storage\",\"attempts\":3");
    assert_has(json, "\"completed_queue_item_ids\":[\"rack-3-1-17.2\"]}");
    assert_has(json, "\"partial_progress\":{\"scheduled\":0,\"ready\":1,\"leased\":0,"
                     "\"running\":1,\"retry_wait\":0,\"suspended\":0,\"completed\":1,"
                     "\"failed\":0,\"canceled\":0}");
    assert_has(json, "\"superseded\":true}");
    assert_has(json, "\"result\":{\"2\":{\"a\":1},\"3\":{\"b\":2}},");
}

static void says_why_a_process_ended_without_an_attempt(void **state) {
    (void)state;
    farm.view.process.flags = RECORD_PLANNED;
    farm.view.process.finished = at(5);
    assert_has(write_process(),
               "\"error\":{\"category\":\"no_target\",\"code\":\"no_target\",\"message\":\"there "
               "was no phone to run it on\",\"item_id\":null,\"attempt\":0,\"action\":null,"
               "\"exit_code\":null,\"phone\":null,\"at\":\"2023-11-14T22:13:20.005Z\","
               "\"output_tail\":null}");
    farm.view.process.flags |= RECORD_PAST_DEADLINE;
    assert_has(write_process(), "\"error\":{\"category\":\"deadline\"");
    add_item(RECORD_FAILED, false);
    farm.items[0].image.category = RECORD_CATEGORY_POISON;
    farm.items[0].image.attempt = 4;
    farm.items[0].updated = at(6);
    const char *json = write_process();
    assert_has(json, "\"status\":\"failed_terminal\"");
    assert_has(json, "\"error\":{\"category\":\"poison\"");
    assert_has(json, "\"attempt\":4,\"action\":null,\"exit_code\":null,\"phone\":null,"
                     "\"at\":\"2023-11-14T22:13:20.006Z\"");
}

static void leaves_unknown_times_null(void **state) {
    (void)state;
    farm.view.process.created = (struct record_time){.boot = 1, .mono_ms = 5};
    farm.view.process.queued = (struct record_time){.boot = 7, .mono_ms = 5};
    farm.view.process.finished =
        (struct record_time){.boot = 1, .mono_ms = 5, .quality = 2, .wall_ms = 1600000000000};
    const char *json = write_process();
    assert_has(json, "\"created_at\":null,\"accepted_at\":null,\"queued_at\":null");
    assert_has(json, "\"finished_at\":\"2020-09-13T12:26:40.000Z\"");
}

static void shows_a_process_whose_request_is_not_known(void **state) {
    (void)state;
    farm.has_request = false;
    memset(&farm.request, 0, sizeof farm.request);
    farm.view.revision = 12;
    const char *json = write_process();
    assert_has(json, "\"last_event_id\":12,\"process_type\":null,\"request_id\":null,"
                     "\"target\":{\"account_id\":null,\"phone_id\":null}");
    assert_has(json, "\"callback\":null,\"inputs\":{},\"mode\":null");
}

static void keeps_what_the_caller_gave(void **state) {
    (void)state;
    farm.request.target = bytes_of("{\"account_id\":\"a\\u00e9\",\"routing\":\"queue\"}");
    farm.request.extra =
        bytes_of("{\"queue\":\"night\",\"related\":{\"type\":\"t\",\"id\":\"1\"}}");
    farm.request.mode = RECORD_UNATTENDED;
    farm.request.deadline_ms = 1700000000000;
    farm.request.concurrency_key = bytes_of("k");
    farm.request.labels = bytes_of("[\"5g\"]");
    farm.request.callback = (struct bytes){0};
    const char *json = write_process();
    assert_has(json, "\"target\":{\"account_id\":\"a\\u00e9\",\"routing\":\"queue\","
                     "\"phone_id\":null}");
    assert_has(json, "\"callback\":null");
    assert_has(json, "\"mode\":\"unattended\",\"priority\":5,\"not_before\":null,"
                     "\"deadline\":\"2023-11-14T22:13:20.000Z\",\"concurrency_key\":\"k\","
                     "\"labels\":[\"5g\"],\"related\":{\"type\":\"t\",\"id\":\"1\"},"
                     "\"workspace_id\":null,\"queue\":\"night\"");
}

static void tells_what_a_process_waits_for(void **state) {
    (void)state;
    add_item(RECORD_READY, false);
    assert_has(write_process(), "\"status_detail\":\"waiting for a phone\"");
    farm.view.process.flags |= RECORD_HOLD;
    assert_has(write_process(), "\"status_detail\":\"held\"");
    farm.view.process.flags |= RECORD_CANCEL_REQUESTED;
    assert_has(write_process(), "\"status_detail\":\"stopping, as cancelled\"");
    farm.view.status_detail = "waiting for phone SIM001, which is away";
    assert_has(write_process(), "\"status_detail\":\"waiting for phone SIM001, which is away\"");
    begin(NULL);
    add_item(RECORD_SUSPENDED, false);
    farm.items[0].image.suspension = RECORD_SUSPEND_REVIEW;
    farm.view.counts.in_review = 1;
    const char *json = write_process();
    assert_has(json, "\"state\":\"waiting_review\"");
    assert_has(json, "\"status_detail\":\"waiting for a review\"");
}

static void says_when_the_json_does_not_fit(void **state) {
    (void)state;
    add_item(RECORD_RETRY_WAIT, false);
    add_attempt(1, 1, RECORD_FAILURE)->image.result = bytes_of("{\"a\":1}");
    size_t whole = strlen(write_process());
    static char text[16384];
    unsigned cut_count = 0;
    for (size_t capacity = 0; capacity < whole; capacity++) {
        struct json_writer writer;
        struct bytes json;
        json_write_init(&writer, text, capacity);
        json_write_begin_object(&writer, NULL);
        process_json_members(&writer, &farm.view);
        json_write_end_object(&writer);
        if (json_write_finish(&writer, &json) == STATUS_OK) {
            text[json.size] = '\0';
            assert_has(text, "\"truncated\":true}");
            cut_count += 1;
        }
    }
    assert_true(cut_count > 0);
}

/* Every item has given and failed with a text of this size. */
static const char *write_large(size_t output_bytes) {
    static uint8_t output[8192];
    memset(output, 'x', sizeof output);
    begin(NULL);
    for (uint32_t i = 0; i < 3; i++) {
        add_item(RECORD_FAILED, false);
        struct record_attempt *end = &add_attempt(i + 1, 1, RECORD_FAILURE)->image;
        end->worker = bytes_of("w");
        end->message = bytes_of("no");
        end->output = (struct bytes){output, output_bytes};
        farm.items[i].image.attempts_counted = 1;
    }
    return write_process();
}

static unsigned count_of(const char *text, const char *part) {
    unsigned count = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count += 1;
    }
    return count;
}

static void leaves_out_outputs_before_anything_else(void **state) {
    (void)state;
    const char *json = write_large(10);
    assert_has(json, "\"truncated\":false}");
    assert_int_equal(count_of(json, "\"xxxxxxxxxx\""), 3 + 3 + 1);
    json = write_large(3000);
    assert_has(json, "\"truncated\":true}");
    assert_has(json, "\"errors_dropped\":0,");
    assert_int_equal(count_of(json, "\"exitCode\":null"), 3);
    assert_int_equal(count_of(json, "\"category\""), 3 + 1);
    assert_true(count_of(json, "xxx\"") < 3 + 3 + 1);
    assert_true(count_of(json, "xxx\"") > 3);
    json = write_large(8192);
    assert_int_equal(count_of(json, "\"exitCode\":null"), 3);
    assert_int_equal(count_of(json, "\"category\""), 3 + 1);
}

static void leaves_out_superseded_items_first(void **state) {
    (void)state;
    add_item(RECORD_FAILED, true);
    add_item(RECORD_COMPLETED, false);
    static char text[4096];
    struct json_writer writer;
    struct bytes json;
    for (size_t capacity = 2048; capacity <= sizeof text - 1; capacity += 2047) {
        json_write_init(&writer, text, capacity);
        json_write_begin_object(&writer, NULL);
        process_json_members(&writer, &farm.view);
        json_write_end_object(&writer);
        assert_int_equal(json_write_finish(&writer, &json), STATUS_OK);
        text[json.size] = '\0';
        bool is_small = capacity == 2048;
        assert_has(text, is_small ? "\"truncated\":true}" : "\"truncated\":false}");
        assert_int_equal(count_of(text, "\"rack-3-1-17.1\""), is_small ? 0 : 2);
        assert_int_equal(count_of(text, "\"rack-3-1-17.2\""), 3);
    }
}

int host_process_json_tests(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(writes_a_process_that_was_accepted, begin),
        cmocka_unit_test_setup(writes_a_process_that_retried_and_completed, begin),
        cmocka_unit_test_setup(shows_the_newest_failure_as_the_error, begin),
        cmocka_unit_test_setup(counts_several_items_and_gives_each_its_result, begin),
        cmocka_unit_test_setup(says_why_a_process_ended_without_an_attempt, begin),
        cmocka_unit_test_setup(leaves_unknown_times_null, begin),
        cmocka_unit_test_setup(shows_a_process_whose_request_is_not_known, begin),
        cmocka_unit_test_setup(keeps_what_the_caller_gave, begin),
        cmocka_unit_test_setup(tells_what_a_process_waits_for, begin),
        cmocka_unit_test_setup(says_when_the_json_does_not_fit, begin),
        cmocka_unit_test_setup(leaves_out_outputs_before_anything_else, begin),
        cmocka_unit_test_setup(leaves_out_superseded_items_first, begin),
    };
    return cmocka_run_group_tests_name("host/process_json", tests, NULL, NULL);
}
