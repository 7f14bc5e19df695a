#include "host/shared/action.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct action_list list;
static struct findings findings;

static struct bytes text(const char *value) {
    return (struct bytes){(const uint8_t *)value, strlen(value)};
}

static struct action *add_action(const char *name) {
    struct action *action = &list.actions[list.count];
    list.count += 1;
    snprintf(action->name, sizeof action->name, "%s", name);
    return action;
}

static void add_rule(struct action *action, enum action_rule_kind kind, const char *key,
                     const char *after) {
    struct action_rule *rule = &action->rules[action->rule_count];
    action->rule_count += 1;
    memset(rule, 0, sizeof *rule);
    rule->kind = kind;
    snprintf(rule->key, sizeof rule->key, "%s", key);
    snprintf(rule->after, sizeof rule->after, "%s", after);
    rule->line = 2;
    rule->column = 5;
}

static int empty(void **unused) {
    (void)unused;
    memset(&list, 0, sizeof list);
    memset(&findings, 0, sizeof findings);
    return 0;
}

static void battery(void) {
    struct action *action = add_action("battery");
    add_rule(action, ACTION_NUMBER_AFTER, "level", "level:");
    add_rule(action, ACTION_NUMBER_AFTER, "temperature", "temperature:");
    add_rule(action, ACTION_TEXT_AFTER, "technology", "technology:");
    action_find_values(&list, 0,
                       text("Current Battery Service state:\n  level: 17\r\n  temperature: -25\n"
                            "  technology: Li-\xff\x01ion\n"),
                       &findings);
}

static void written_as(const char *expected) {
    char buffer[1024];
    struct bytes json;
    assert_int_equal(action_write_findings(&list, &findings, buffer, sizeof buffer, &json),
                     STATUS_OK);
    assert_int_equal(json.size, strlen(expected));
    assert_memory_equal(json.data, expected, json.size);
}

static void values_are_found_behind_their_text_and_made_harmless(void **unused) {
    (void)unused;
    battery();
    written_as("{\"battery\":{\"level\":17,\"temperature\":-25,\"technology\":\"Li-\?\?ion\"}}");
}

static void a_number_is_found_by_line_and_column(void **unused) {
    (void)unused;
    add_rule(add_action("storage"), ACTION_NUMBER_AT, "used_percent", "-");
    action_find_values(&list, 0,
                       text("Filesystem 1K-blocks Used Available Use% Mounted on\n"
                            "/dev/block/dm-3 112345678 23456789  88888889  21% /data\n"),
                       &findings);
    written_as("{\"storage\":{\"used_percent\":21}}");
}

static void what_is_not_there_is_left_out(void **unused) {
    (void)unused;
    struct action *action = add_action("battery");
    add_rule(action, ACTION_NUMBER_AFTER, "level", "level:");
    add_rule(action, ACTION_NUMBER_AT, "percent", "-");
    const char *const outputs[] = {"", "\n\n", "level:", "level: none", "a\nb c d", "a\n1 2 3 4 x"};
    for (size_t i = 0; i < array_count(outputs); i++) {
        action_find_values(&list, 0, text(outputs[i]), &findings);
        assert_int_equal(findings.count, 0);
    }
}

static void add_limit(struct action *action, const char *key, bool is_critical, bool is_below,
                      int64_t bound) {
    struct action_limit *limit = &action->limits[action->limit_count];
    action->limit_count += 1;
    *limit =
        (struct action_limit){.is_critical = is_critical, .is_below = is_below, .bound = bound};
    snprintf(limit->action, sizeof limit->action, "battery");
    snprintf(limit->key, sizeof limit->key, "%s", key);
}

static void a_verdict_names_the_worst_and_every_reason(void **unused) {
    (void)unused;
    battery();
    struct action *verdict = add_action("verdict");
    add_limit(verdict, "level", false, true, 20);
    add_limit(verdict, "level", true, true, 5);
    add_limit(verdict, "temperature", true, true, -20);
    add_limit(verdict, "missing", true, false, 0);
    findings.count = 2;
    action_judge(&list, 1, &findings);
    written_as("{\"battery\":{\"level\":17,\"temperature\":-25},\"verdict\":{"
               "\"reason_1\":\"battery.level is 17, below 20\","
               "\"reason_3\":\"battery.temperature is -25, below -20\","
               "\"health\":\"critical\"}}");
}

static void findings_come_back_from_their_json(void **unused) {
    (void)unused;
    battery();
    char buffer[1024];
    char again[1024];
    struct bytes json;
    struct bytes second;
    struct findings read = {0};
    assert_int_equal(action_write_findings(&list, &findings, buffer, sizeof buffer, &json),
                     STATUS_OK);
    action_read_findings(&list, json, &read);
    assert_int_equal(action_write_findings(&list, &read, again, sizeof again, &second), STATUS_OK);
    assert_int_equal(json.size, second.size);
    assert_memory_equal(json.data, second.data, json.size);
}

static void full_findings_drop_and_count(void **unused) {
    (void)unused;
    add_rule(add_action("a"), ACTION_NUMBER_AFTER, "n", "n:");
    for (int i = 0; i < FINDINGS_MAX + 3; i++) {
        action_find_values(&list, 0, text("n: 1"), &findings);
    }
    assert_int_equal(findings.count, FINDINGS_MAX);
    assert_int_equal(findings.dropped, 3);
}

static void a_request_selects_steps_and_keeps_those_that_always_run(void **unused) {
    (void)unused;
    uint32_t selected;
    char wrong[ACTION_TEXT_BYTES];
    list.has_steps = true;
    add_action("battery");
    add_action("storage");
    add_action("verdict")->is_always = true;
    assert_int_equal(
        action_select(&list, text("{\"steps\":[{\"action\":\"storage\"}]}"), &selected, wrong),
        STATUS_OK);
    assert_int_equal(selected, 6);
    assert_int_equal(action_select(&list, text("{}"), &selected, wrong), STATUS_OK);
    assert_int_equal(selected, UINT32_MAX);
    assert_int_equal(
        action_select(&list, text("{\"steps\":[{\"action\":\"flash\"}]}"), &selected, wrong),
        STATUS_MALFORMED);
    assert_string_equal(wrong, "flash");
    assert_int_equal(action_select(&list, text("{\"steps\":[7]}"), &selected, wrong),
                     STATUS_MALFORMED);
}

static void inputs_are_quoted_for_the_shell(void **unused) {
    (void)unused;
    char command[128];
    char wrong[ACTION_TEXT_BYTES];
    assert_int_equal(action_fill("echo ${a} ${n}; x", text("{\"a\":\"it's; rm -rf /\",\"n\":-3}"),
                                 command, sizeof command, wrong),
                     STATUS_OK);
    assert_string_equal(command, "echo 'it'\\''s; rm -rf /' '-3'; x");
    assert_int_equal(action_fill("echo ${b}", text("{\"a\":1}"), command, sizeof command, wrong),
                     STATUS_NOT_FOUND);
    assert_string_equal(wrong, "b");
    assert_int_equal(action_fill("echo ${a}", text("{\"a\":[1]}"), command, sizeof command, wrong),
                     STATUS_NOT_FOUND);
}

static void a_command_that_grows_too_long_is_refused(void **unused) {
    (void)unused;
    char command[16];
    char wrong[ACTION_TEXT_BYTES];
    assert_int_equal(
        action_fill("echo ${a}", text("{\"a\":\"0123456789\"}"), command, sizeof command, wrong),
        STATUS_TOO_LARGE);
    assert_int_equal(
        action_fill("echo ${a}", text("{\"a\":\"01234567\"}"), command, sizeof command, wrong),
        STATUS_OK);
}

static void a_program_gets_its_inputs_as_whole_words(void **state) {
    (void)state;
    char memory[64];
    struct action_words words = {.memory = memory, .capacity = sizeof memory};
    char wrong[ACTION_TEXT_BYTES];
    assert_int_equal(action_words_fill(&words, "/bin/sh  -c \"a b ${n}\" x${a}y",
                                       text("{\"a\":\"it's; $(rm) \\\" q\",\"n\":-3}"), wrong),
                     STATUS_OK);
    assert_string_equal(words.list[0], "/bin/sh");
    assert_string_equal(words.list[1], "-c");
    assert_string_equal(words.list[2], "a b -3");
    assert_string_equal(words.list[3], "xit's; $(rm) \" qy");
    assert_null(words.list[4]);
    assert_int_equal(action_words_fill(&words, "a ${b}", text("{}"), wrong), STATUS_NOT_FOUND);
    assert_string_equal(wrong, "b");
    words.capacity = 21;
    assert_int_equal(
        action_words_fill(&words, "0123456789 ${a}", text("{\"a\":\"0123456789\"}"), wrong),
        STATUS_TOO_LARGE);
}

static void too_many_words_of_a_program_are_refused(void **state) {
    (void)state;
    char command[2 * ACTION_WORDS_MAX + 1];
    char memory[256];
    struct action_words words = {.memory = memory, .capacity = sizeof memory};
    char wrong[ACTION_TEXT_BYTES];
    for (size_t i = 0; i < ACTION_WORDS_MAX; i++) {
        memcpy(command + 2 * i, "x ", 2);
    }
    command[2 * ACTION_WORDS_MAX] = '\0';
    assert_int_equal(action_words_fill(&words, command, text("{}"), wrong), STATUS_TOO_LARGE);
    assert_int_equal(action_words_fill(&words, command + 2, text("{}"), wrong), STATUS_OK);
}

static void an_output_may_say_that_it_failed(void **state) {
    (void)state;
    struct action action = {.fails_on = {"FAILURES!!!", "crashed"}, .fails_on_count = 2};
    assert_null(action_failure_in(&action, bytes_of("OK (2 tests)")));
    assert_null(action_failure_in(&action, bytes_of("")));
    assert_string_equal(action_failure_in(&action, bytes_of("x\nProcess crashed.\n")), "crashed");
}

int host_action_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(values_are_found_behind_their_text_and_made_harmless, empty),
        cmocka_unit_test_setup(a_number_is_found_by_line_and_column, empty),
        cmocka_unit_test_setup(what_is_not_there_is_left_out, empty),
        cmocka_unit_test_setup(a_verdict_names_the_worst_and_every_reason, empty),
        cmocka_unit_test_setup(findings_come_back_from_their_json, empty),
        cmocka_unit_test_setup(full_findings_drop_and_count, empty),
        cmocka_unit_test_setup(a_request_selects_steps_and_keeps_those_that_always_run, empty),
        cmocka_unit_test_setup(inputs_are_quoted_for_the_shell, empty),
        cmocka_unit_test_setup(a_command_that_grows_too_long_is_refused, empty),
        cmocka_unit_test_setup(a_program_gets_its_inputs_as_whole_words, empty),
        cmocka_unit_test_setup(too_many_words_of_a_program_are_refused, empty),
        cmocka_unit_test_setup(an_output_may_say_that_it_failed, empty),
    };
    return cmocka_run_group_tests_name("host/action", tests, NULL, NULL);
}
