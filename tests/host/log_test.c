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
static char output[4096];

static int capture(void **state) {
    (void)state;
    log_start(LOG_INFO);
    real_stderr = dup(STDERR_FILENO);
    return pipe(pipe_ends) == 0 && dup2(pipe_ends[1], STDERR_FILENO) >= 0 ? 0 : -1;
}

static int release(void **state) {
    (void)state;
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
    log_start(level);
    log_debug("shown");
    assert_string_equal(logged(), "level=debug event=shown\n");
    assert_true(log_parse_level("error", &level));
    log_start(level);
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

int host_log_tests(void) {
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, capture, release)
    const struct CMUnitTest tests[] = {
        LOG_TEST(writes_one_line_of_pairs),
        LOG_TEST(tells_the_same_date_as_the_c_library),
        LOG_TEST(quotes_and_escapes_what_could_forge_a_line),
        LOG_TEST(prints_numbers_of_every_size),
        LOG_TEST(keeps_quiet_above_its_level),
        LOG_TEST(cuts_a_long_line_and_says_so),
    };
    return cmocka_run_group_tests_name("host/log", tests, NULL, NULL);
}
