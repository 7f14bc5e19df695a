#include "host/shared/json.h"
#include "host/shared/log.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int pipe_ends[2];
static int real_stderr;
static char output[65536];
static uint64_t test_ms;

static uint64_t test_now(void) {
    return test_ms;
}

static int capture(void **state) {
    (void)state;
    log_start(LOG_INFO, LOG_TEXT);
    log_set_clock(test_now);
    test_ms = 1000;
    real_stderr = dup(STDERR_FILENO);
    return pipe(pipe_ends) == 0 && dup2(pipe_ends[1], STDERR_FILENO) >= 0 ? 0 : -1;
}

static int release(void **state) {
    (void)state;
    log_set_clock(NULL);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

/* What was logged since the last call, from behind the time on. */
static const char *logged(void) {
    assert_int_equal(write(pipe_ends[1], "", 1), 1);
    ssize_t size = read(pipe_ends[0], output, sizeof(output) - 1);
    assert_true(size > 0);
    output[size] = '\0';
    const char *space = strchr(output, ' ');
    return space == NULL ? output : space + 1;
}

static void writes_one_line_of_pairs(void **state) {
    (void)state;
    log_info("phone_attached phone=%s slot=%u", "ABC", 7U);
    assert_string_equal(logged(), "level=info event=phone_attached phone=ABC slot=7\n");
    assert_memory_equal(output, "time=20", 7);
    assert_int_equal(strcspn(output, " "), strlen("time=2026-11-23T23:49:00.123Z"));
}

static void tells_the_same_date_as_the_c_library(void **state) {
    (void)state;
    char expected[32];
    time_t before = time(NULL);
    log_info("now");
    (void)logged();
    bool is_found = false;
    for (time_t at = before; at <= time(NULL); at++) {
        struct tm parts;
        gmtime_r(&at, &parts);
        strftime(expected, sizeof(expected), "time=%Y-%m-%dT%H:%M:%S.", &parts);
        is_found = is_found || strncmp(output, expected, strlen(expected)) == 0;
    }
    assert_true(is_found);
}

static void quotes_and_escapes_what_could_forge_a_line(void **state) {
    (void)state;
    log_warn("a v=%s", "two words");
    assert_string_equal(logged(), "level=warn event=a v=\"two words\"\n");
    log_warn("a v=%s", "x\nlevel=error");
    assert_string_equal(logged(), "level=warn event=a v=\"x\\nlevel=error\"\n");
    log_warn("a v=%s w=%s", "", "\"\\\t\x1b[2J\x7f\xc3\xa9");
    assert_string_equal(logged(),
                        "level=warn event=a v=\"\" w=\"\\\"\\\\\\t\\x1b[2J\\x7f\\xc3\\xa9\"\n");
}

static void prints_numbers_of_every_size(void **state) {
    (void)state;
    log_error("n i=%d u=%u l=%ld ul=%lu ll=%lld ull=%llu z=%zu x=%x lx=%lx", -1, 4000000000U, -2L,
              3UL, -9223372036854775807LL - 1, 18446744073709551615ULL, (size_t)5, 0xbeefU, 0x10UL);
    assert_string_equal(logged(), "level=error event=n i=-1 u=4000000000 l=-2 ul=3 "
                                  "ll=-9223372036854775808 ull=18446744073709551615 z=5 x=beef "
                                  "lx=10\n");
    log_error("s p=%.*s c=%c", 3, "abcdef", ' ');
    assert_string_equal(logged(), "level=error event=s p=abc c=\" \"\n");
}

static void keeps_quiet_above_its_level(void **state) {
    (void)state;
    enum log_level level = LOG_ERROR;
    log_debug("hidden");
    assert_string_equal(logged(), "");
    assert_true(log_parse_level("debug", &level));
    log_start(level, LOG_TEXT);
    log_debug("shown");
    assert_string_equal(logged(), "level=debug event=shown\n");
    assert_true(log_parse_level("error", &level));
    log_start(level, LOG_TEXT);
    log_warn("hidden");
    assert_string_equal(logged(), "");
    assert_false(log_is_on(LOG_WARN));
    assert_false(log_parse_level("verbose", &level));
}

static size_t count_of(const char *text, char byte) {
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += *text == byte;
    }
    return count;
}

static void cuts_a_long_line_and_says_so(void **state) {
    (void)state;
    char text[2 * LOG_LINE_BYTES];
    static const char fills[] = {'a', ' ', '\x01', '\\'};
    for (size_t fill = 0; fill < sizeof(fills); fill++) {
        for (size_t size = LOG_LINE_BYTES / 5; size < sizeof(text); size++) {
            test_ms += 1000;
            memset(text, fills[fill], size);
            text[size] = '\0';
            log_info("long v=%s and_a_long_key_that_does_not_fit_either=%s w=%d", text, "x", 12345);
            (void)logged();
            size_t length = strlen(output);
            assert_true(length <= LOG_LINE_BYTES);
            assert_int_equal(output[length - 1], '\n');
            bool is_cut = strcmp(output + length - 10, " cut=true\n") == 0;
            bool is_whole = strcmp(output + length - 9, " w=12345\n") == 0;
            assert_true(is_cut != is_whole);
            assert_int_equal(count_of(output, '"') % 2, 0); /* quotes are closed */
        }
    }
}

static void writes_json_on_request(void **state) {
    (void)state;
    log_start(LOG_INFO, LOG_JSON);
    log_info("seen text=%s odd=%s n=%d u=%llu x=%x big=%llu none=%s", "two words", "\"\\\n\x01\xc3",
             -3, 9007199254740992ULL, 255U, 9007199254740993ULL, "");
    (void)logged();
    const char *level = strstr(output, ",\"level\"");
    assert_memory_equal(output, "{\"time\":\"20", 11);
    assert_non_null(level);
    assert_string_equal(level, ",\"level\":\"info\",\"event\":\"seen\",\"text\":\"two words\","
                               "\"odd\":\"\\\"\\\\\\n\\u0001\\u00c3\",\"n\":-3,"
                               "\"u\":9007199254740992,\"x\":\"ff\","
                               "\"big\":\"9007199254740993\",\"none\":\"\"}\n");
}

static void keeps_a_cut_line_json(void **state) {
    (void)state;
    static jsmntok_t tokens[64];
    struct json json;
    struct json_error error;
    char text[2 * LOG_LINE_BYTES];
    static const char fills[] = {'a', '\x01', '"'};
    log_start(LOG_INFO, LOG_JSON);
    for (size_t fill = 0; fill < sizeof(fills); fill++) {
        for (size_t size = LOG_LINE_BYTES / 8; size < sizeof(text); size++) {
            test_ms += 1000;
            memset(text, fills[fill], size);
            text[size] = '\0';
            log_info("long v=%s w=%d z=%s", text, 12345, "end");
            (void)logged();
            size_t length = strlen(output);
            assert_true(length <= LOG_LINE_BYTES);
            const struct bytes line = {(const uint8_t *)output, length - 1};
            unsigned cut = 0;
            assert_int_equal(json_parse(&json, line, tokens, 64, &error), STATUS_OK);
            bool is_whole = strstr(output, "\"z\":\"end\"}") != NULL;
            assert_true((json_member(&json, 0, "cut", &cut) == STATUS_OK) != is_whole);
        }
    }
}

static void a_storm_is_bounded_and_counted(void **state) {
    (void)state;
    for (int i = 0; i < 100000; i++) {
        log_warn("lost slot=%d", i);
        test_ms += i % 100 == 0; /* one second in all */
    }
    assert_int_equal(count_of(logged(), '\n') + (output[0] != '\0' ? 0 : 1), LOG_BURST + 1);
    assert_null(strstr(output, "\nlog_suppressed"));
    test_ms += 1000;
    log_warn("lost slot=%d", 7);
    const char *line = logged();
    assert_memory_equal(line, "level=warn event=lost suppressed=", 33);
    assert_true(log_suppressed_count() > 99000);
}

static void what_does_not_come_again_is_told_by_the_next_other_line(void **state) {
    (void)state;
    for (int i = 0; i < LOG_BURST + 5; i++) {
        log_warn("lost");
    }
    (void)logged();
    log_info("other");
    assert_string_equal(logged(), "level=info event=other\n"); /* it may come again at once */
    test_ms += 20000;
    log_info("other");
    (void)logged();
    assert_non_null(strstr(output, "level=warn event=log_suppressed kind=lost lines=5\n"));
    log_end();
    assert_string_equal(logged(), "");
}

static void the_end_tells_what_was_left_out(void **state) {
    (void)state;
    for (int i = 0; i < LOG_BURST + 2; i++) {
        log_warn("lost");
    }
    (void)logged();
    log_end();
    assert_string_equal(logged(), "level=warn event=log_suppressed kind=lost lines=2\n");
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
static void all_kinds_together_are_bounded(void **state) {
    (void)state;
    static char formats[2 * LOG_EVENTS][16];
    size_t lines = 0;
    for (int i = 0; i < 2 * LOG_EVENTS; i++) {
        snprintf(formats[i], sizeof formats[i], "event%d", i);
        for (int n = 0; n < 20; n++) {
            log_write(LOG_WARN, formats[i]);
        }
        (void)logged();
        lines += count_of(output, '\n');
    }
    assert_int_equal(lines, LOG_ALL * LOG_BURST);
    assert_int_equal(log_suppressed_count(), 2 * LOG_EVENTS * 20 - LOG_ALL * LOG_BURST);
}

#pragma GCC diagnostic pop

static void a_format_that_is_not_pairs_is_cut_there(void **state) {
    (void)state;
    log_error("bad a=%d reason=not a pair b=%d", 1, 2);
    assert_string_equal(logged(), "level=error event=bad a=1 cut=true\n");
}

static void hides_what_looks_like_a_secret(void **state) {
    (void)state;
    log_error("a r=%s", "host=db password=hunter2 port=1");
    assert_string_equal(logged(), "level=error event=a r=\"host=db password=*** port=1\"\n");
    log_error("a r=%s", "postgres://user:hunter2@db/x");
    assert_string_equal(logged(), "level=error event=a r=postgres://user:***@db/x\n");
    log_error("a r=%s", "sent Authorization: Bearer hunter2, refused");
    assert_string_equal(logged(),
                        "level=error event=a r=\"sent Authorization: Bearer ***, refused\"\n");
}

static void the_reason_of_an_end_is_a_line(void **state) {
    (void)state;
    log_fatal("hubd", "x.ini:1: wrong");
    assert_string_equal(logged(), "x.ini:1: wrong\n");
    assert_string_equal(output, "hubd: x.ini:1: wrong\n");
    log_start(LOG_INFO, LOG_JSON);
    log_fatal("hubd", "x.ini:1: wrong");
    (void)logged();
    assert_non_null(strstr(output, "\"event\":\"fatal\""));
    assert_non_null(strstr(output, "\"program\":\"hubd\",\"reason\":\"x.ini:1: wrong\"}\n"));
}

int host_log_tests(void) {
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, capture, release)
    const struct CMUnitTest tests[] = {
        LOG_TEST(writes_one_line_of_pairs),
        LOG_TEST(tells_the_same_date_as_the_c_library),
        LOG_TEST(quotes_and_escapes_what_could_forge_a_line),
        LOG_TEST(prints_numbers_of_every_size),
        LOG_TEST(keeps_quiet_above_its_level),
        LOG_TEST(cuts_a_long_line_and_says_so),
        LOG_TEST(writes_json_on_request),
        LOG_TEST(keeps_a_cut_line_json),
        LOG_TEST(a_storm_is_bounded_and_counted),
        LOG_TEST(what_does_not_come_again_is_told_by_the_next_other_line),
        LOG_TEST(the_end_tells_what_was_left_out),
        LOG_TEST(all_kinds_together_are_bounded),
        LOG_TEST(a_format_that_is_not_pairs_is_cut_there),
        LOG_TEST(hides_what_looks_like_a_secret),
        LOG_TEST(the_reason_of_an_end_is_a_line),
    };
    return cmocka_run_group_tests_name("host/log", tests, NULL, NULL);
}
