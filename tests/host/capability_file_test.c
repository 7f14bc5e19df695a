#include "host/shared/capability_file.h"
#include "host/upstreamd/fleet/registry.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct capability capability;
static struct action_list list;
static struct config_error error;

static enum status read_text(const char *text) {
    const char *path = "build/capability_test.ini";
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return capability_file_read(path, &capability, &list, &error);
}

static void the_bundled_maintenance_is_read_whole(void **unused) {
    (void)unused;
    assert_int_equal(
        capability_file_read("capabilities/maintenance.ini", &capability, &list, &error),
        STATUS_OK);
    assert_string_equal(capability.name, "maintenance");
    assert_int_equal(capability.routings, 7);
    assert_true(capability.is_permitted && capability.is_live_verified);
    assert_int_equal(capability.attempts_max, 3);
    assert_int_equal(capability.backoff.cap_ms, 30000);
    assert_int_equal(capability.attempt_ms, 120000);
    assert_true(list.has_steps);
    assert_int_equal(list.count, 5);
    assert_int_equal(capability.action_count, 5);
    assert_string_equal(list.actions[0].command, "dumpsys battery");
    assert_int_equal(list.actions[0].timeout_ms, 15000);
    assert_int_equal(list.actions[1].rules[3].column, 5);
    assert_int_equal(list.actions[4].kind, ACTION_VERDICT);
    assert_true(list.actions[4].is_always);
    assert_int_equal(list.actions[4].limit_count, 7);
}

static void a_file_that_says_little_gets_sane_values(void **unused) {
    (void)unused;
    assert_int_equal(read_text("[capability]\nname = x\n[action.a]\ncommand = true\nonce = on\n"),
                     STATUS_OK);
    assert_int_equal(capability.routings, 7);
    assert_false(capability.is_permitted);
    assert_int_equal(capability.attempts_max, 3);
    assert_int_equal(capability.once_actions, 1);
    assert_int_equal(list.actions[0].kind, ACTION_SHELL);
    assert_int_equal(list.actions[0].timeout_ms, 30000);
}

static void how_long_a_grant_lasts_is_the_capabilitys(void **unused) {
    (void)unused;
    assert_int_equal(read_text("[capability]\nname = x\n[action.a]\ncommand = true\n"), STATUS_OK);
    assert_int_equal(registry_grant_ms(&capability), 15 * 60 * 1000); /* SPEC.md section 8 */
    assert_int_equal(read_text("[capability]\nname = x\ngrant_seconds = 86400\n"
                               "[action.a]\ncommand = true\n"),
                     STATUS_OK);
    assert_int_equal(registry_grant_ms(&capability), 86400000);
}

static void what_is_wrong_is_named_with_its_line(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        const char *expected; /* part of the message */
    } files[] = {
        {"", "name and actions"},
        {"[capability]\nname = x\n", "name and actions"},
        {"[capability]\nname = X!\n", ":2: [capability] name"},
        {"[capability]\nname = x\nrouting = direct, moon\n", ":3: [capability] routing"},
        {"[capability]\nname = x\nattempts = 0\n", ":3: [capability] attempts"},
        {"[capability]\nname = x\nretry_on = tiredness\n", ":3: [capability] retry_on"},
        {"[capability]\nname = x\ncolour = red\n", ":3: [capability] colour"},
        {"[capability]\nname = x\n[machine]\n", ":3: [machine]"},
        {"[capability]\nname = x\n[action.a]\n", "[action.a] expected command"},
        {"[capability]\nname = x\n[action.a]\ntype = push\nsource = /a\n", "source and target"},
        {"[capability]\nname = x\n[action.a]\ntype = dance\n", ":4: [action.a] type"},
        {"[capability]\nname = x\n[action.a]\ncommand=b\n[action.a]\ncommand=b\n", ":5:"},
        {"[capability]\nname = x\n[action.a]\nnumber.k = line 0 column 1\n", "line N column M"},
        {"[capability]\nname = x\n[action.a]\ncritical.b.c = near 5\n", "below N"},
        {"[capability]\nname = x\n[action.a]\ncritical.b = below 5\n", "below N"},
        {"[capability]\nname = x\n[action.a]\ntimeout_seconds = -1\n", ":4: [action.a] timeout"},
    };
    for (size_t i = 0; i < array_count(files); i++) {
        assert_int_equal(read_text(files[i].text), STATUS_MALFORMED);
        if (strstr(error.text, files[i].expected) == NULL) {
            fail_msg("expected \"%s\" in \"%s\"", files[i].expected, error.text);
        }
    }
}

int host_capability_file_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bundled_maintenance_is_read_whole),
        cmocka_unit_test(a_file_that_says_little_gets_sane_values),
        cmocka_unit_test(how_long_a_grant_lasts_is_the_capabilitys),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
    };
    return cmocka_run_group_tests_name("host/capability_file", tests, NULL, NULL);
}
