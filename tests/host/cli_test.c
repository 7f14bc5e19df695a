#include "host/shared/cli.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct {
    bool is_checked;
    const char *config;
    char faults[64];
} got;

static bool take_fault(void *owner, const char *value) {
    strcat(owner, value);
    strcat(owner, ";");
    return strcmp(value, "hang") == 0 || strcmp(value, "drop") == 0;
}

static const struct cli_option options[] = {
    {"config", "FILE", "Where the settings are", .text = &got.config},
    {"check-config", NULL, "Only check them", .flag = &got.is_checked},
    {"fault", "hang|drop", "Misbehave", .take = take_fault, .owner = got.faults},
};
static const struct cli cli = {"hubd", "0.1", "--config FILE", "Runs phones.\n", options, 3};

static char text[CLI_TEXT_BYTES];
static char *arguments[12];
static int count;

static enum cli_result parse(const char *const *given) {
    memset(&got, 0, sizeof got);
    static char copies[12][32];
    for (count = 0; given[count] != NULL; count++) {
        snprintf(copies[count], sizeof copies[count], "%s", given[count]);
        arguments[count] = copies[count];
    }
    arguments[count] = NULL;
    return cli_parse(&cli, &count, arguments, text);
}

#define PARSE(...) parse((const char *const[]){"hubd", __VA_ARGS__, NULL})

static void takes_options_from_anywhere(void **state) {
    (void)state;
    assert_int_equal(PARSE("run", "--config", "a.ini", "--fault=hang", "-", "--fault", "drop",
                           "--check-config", "--", "--x"),
                     CLI_RUN);
    assert_string_equal(got.config, "a.ini");
    assert_string_equal(got.faults, "hang;drop;");
    assert_true(got.is_checked);
    assert_int_equal(count, 4);
    assert_string_equal(arguments[1], "run");
    assert_string_equal(arguments[2], "-");
    assert_string_equal(arguments[3], "--x");
    assert_null(arguments[4]);
}

static void says_what_was_expected(void **state) {
    (void)state;
    assert_int_equal(PARSE("--confg", "x"), CLI_WRONG);
    assert_string_equal(text, "hubd: --confg: no such option; expected one of --config FILE, "
                              "--check-config, --fault hang|drop, --help, --version\n");
    assert_int_equal(PARSE("-c"), CLI_WRONG);
    assert_int_equal(PARSE("--config"), CLI_WRONG);
    assert_string_equal(text, "hubd: --config: expected FILE behind it\n");
    assert_int_equal(PARSE("--config="), CLI_WRONG);
    assert_int_equal(PARSE("--config=a", "--config=b"), CLI_WRONG);
    assert_string_equal(text, "hubd: --config: expected FILE only once, got \"b\"\n");
    assert_int_equal(PARSE("--check-config=1"), CLI_WRONG);
    assert_string_equal(text, "hubd: --check-config: takes no value\n");
    assert_int_equal(PARSE("--fault", "fire"), CLI_WRONG);
    assert_string_equal(text, "hubd: --fault: expected hang|drop, got \"fire\"\n");
}

static void shows_help_and_version(void **state) {
    (void)state;
    assert_int_equal(PARSE("--help"), CLI_DONE);
    assert_string_equal(text, "usage: hubd --config FILE\nRuns phones.\noptions:\n"
                              "  --config FILE           Where the settings are\n"
                              "  --check-config          Only check them\n"
                              "  --fault hang|drop       Misbehave\n"
                              "  --help                  Show this text\n"
                              "  --version               Show the version\n");
    assert_int_equal(PARSE("--version"), CLI_DONE);
    assert_string_equal(text, "hubd 0.1\n");
}

int host_cli_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_options_from_anywhere),
        cmocka_unit_test(says_what_was_expected),
        cmocka_unit_test(shows_help_and_version),
    };
    return cmocka_run_group_tests_name("host/cli", tests, NULL, NULL);
}
