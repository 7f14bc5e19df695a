#include "host/shared/json_write.h"
#include "host/shared/rfc3339.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void times_are_read(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        uint64_t ms;
    } times[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T02:00:00+02:00", 0},
        {"2000-02-29T23:59:59.999Z", 951868799999},
        {"2026-11-22T10:20:30.5Z", 1795342830500},
        {"2026-11-22 10:20:30.1234567-01:30", 1795348230123},
        {"2016-12-31T23:59:60Z", 1483228799000},
        {"9999-12-31T23:59:59Z", 253402300799000},
    };
    for (size_t i = 0; i < array_count(times); i++) {
        uint64_t ms;
        assert_int_equal(rfc3339_parse(times[i].text, &ms), STATUS_OK);
        assert_int_equal(ms, times[i].ms);
    }
}

static void what_is_no_time_is_refused(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        "",
        "2026",
        "2026-11-22",
        "2026-11-22T10:20:30",
        "2026-13-22T10:20:30Z",
        "2026-02-29T10:20:30Z",
        "2026-11-31T10:20:30Z",
        "2026-11-22T24:20:30Z",
        "2026-11-22T10:60:30Z",
        "2026-11-22T10:20:61Z",
        "2026-11-22T10:20:30.Z",
        "2026-11-22T10:20:30ZZ",
        "2026-11-22T10:20:30+25:00",
        "2026-11-22T10:20:30+0100",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "+026-11-22T10:20:30Z",
    };
    for (size_t i = 0; i < array_count(texts); i++) {
        uint64_t ms = 7;
        assert_int_equal(rfc3339_parse(texts[i], &ms), STATUS_MALFORMED);
        assert_int_equal(ms, 7);
    }
}

/* Our own writer is the inverse, over every day of 1970 to 2200 at an odd moment. */
static void what_is_written_is_read_back(void **unused) {
    (void)unused;
    for (uint64_t day = 0; day < 84000; day++) {
        char text[JSON_WRITE_TIME_BYTES];
        uint64_t ms = day * 86400000 + 45296123;
        uint64_t read;
        json_write_time_text(ms, text);
        assert_int_equal(rfc3339_parse(text, &read), STATUS_OK);
        assert_int_equal(read, ms);
    }
}

int host_rfc3339_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests_name("host/rfc3339", tests, NULL, NULL);
}
