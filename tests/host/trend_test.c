#include "host/shared/trend.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct trend trend;

/* Samples whose first value is their number from 1, as fast as they are due. */
static uint64_t sample(uint32_t count, uint64_t now_ms) {
    for (uint32_t i = 0; i < count; i++) {
        now_ms = trend.due_ms > now_ms ? trend.due_ms : now_ms;
        struct trend_sample *taken = trend_take(&trend, now_ms, 1700000000000 + now_ms);
        assert_non_null(taken);
        taken->values[0] = (uint32_t)(now_ms / 1000 + 1);
    }
    return now_ms;
}

static void takes_a_sample_a_second(void **state) {
    (void)state;
    trend = (struct trend){0};
    assert_non_null(trend_take(&trend, 5000, 0));
    assert_null(trend_take(&trend, 5999, 0));
    assert_non_null(trend_take(&trend, 6000, 0));
    assert_int_equal(trend.count, 2);
}

static void a_full_ring_keeps_every_other_sample_and_the_newest(void **state) {
    (void)state;
    trend = (struct trend){0};
    uint64_t now_ms = sample(TREND_SAMPLES, 0);
    assert_int_equal(trend.count, TREND_SAMPLES);
    (void)sample(1, now_ms);
    assert_int_equal(trend.interval_ms, 2 * TREND_INTERVAL_MS);
    assert_int_equal(trend.count, TREND_SAMPLES / 2 + 1);
    assert_int_equal(trend.samples[0].values[0], 2);
    assert_int_equal(trend.samples[TREND_SAMPLES / 2 - 1].values[0], TREND_SAMPLES);
}

static void a_long_run_ends_with_the_longest_interval_and_drops_the_oldest(void **state) {
    (void)state;
    trend = (struct trend){0};
    uint64_t now_ms = sample(TREND_SAMPLES * 8, 0);
    assert_int_equal(trend.interval_ms, TREND_INTERVAL_MAX_MS);
    now_ms = sample(TREND_SAMPLES, now_ms);
    assert_int_equal(trend.count, TREND_SAMPLES);
    uint32_t oldest = trend.samples[0].values[0];
    (void)sample(1, now_ms);
    assert_int_equal(trend.count, TREND_SAMPLES);
    assert_true(trend.samples[0].values[0] > oldest);
    for (uint32_t i = 1; i < TREND_SAMPLES; i++) {
        assert_true(trend.samples[i].wall_ms > trend.samples[i - 1].wall_ms);
    }
}

static void writes_what_was_ever_above_zero(void **state) {
    (void)state;
    static const char *const names[] = {"used", "never"};
    char text[256];
    struct json_writer writer;
    trend = (struct trend){0};
    (void)sample(2, 0);
    trend.samples[1].wall_ms = 0;
    json_write_init(&writer, text, sizeof text);
    json_write_begin_object(&writer, NULL);
    trend_write(&trend, &writer, names, array_count(names));
    json_write_end_object(&writer);
    text[writer.size] = '\0';
    assert_string_equal(text, "{\"interval_ms\":1000,\"at\":[1700000000,null],"
                              "\"series\":{\"used\":[1,2]}}");
}

int host_trend_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_sample_a_second),
        cmocka_unit_test(a_full_ring_keeps_every_other_sample_and_the_newest),
        cmocka_unit_test(a_long_run_ends_with_the_longest_interval_and_drops_the_oldest),
        cmocka_unit_test(writes_what_was_ever_above_zero),
    };
    return cmocka_run_group_tests_name("host/trend", tests, NULL, NULL);
}
