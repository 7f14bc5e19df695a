#include "host/shared/config.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    char id[8], path[32], listens[64], ports[64];
    uint64_t grace, size;
    bool usb;
} got;

static struct config_error error;

static bool take_listen(void *target, const struct config_item *item) {
    strcat(target, item->value);
    strcat(target, ";");
    return strncmp(item->value, "tcp:", 4) == 0;
}

static bool take_port(void *target, const struct config_item *item) {
    strcat(target, item->suffix);
    strcat(target, "=");
    strcat(target, item->value);
    strcat(target, ";");
    return true;
}

static const struct config_key keys[] = {
    {"hub", "id", CONFIG_STRING, .is_required = true, .target = got.id, .capacity = 8},
    {"store", "path", CONFIG_PATH, .is_required = true, .target = got.path, .capacity = 32},
    {"store", "size", CONFIG_SIZE, .target = &got.size, .min = 4096, .max = UINT64_C(1) << 32},
    {"api", "listen", CONFIG_EACH, .target = got.listens, .take = take_listen,
     .expected = "tcp:HOST:PORT"},
    {"phones", "usb", CONFIG_BOOLEAN, .target = &got.usb},
    {"stop", "grace_seconds", CONFIG_INTEGER, .target = &got.grace, .min = 1, .max = 600},
    {"hub_serial.*", "port", CONFIG_EACH, .is_required = true, .target = got.ports,
     .take = take_port, .expected = "a path"},
    {"hub_serial.*", "dialect", CONFIG_EACH, .target = got.ports, .take = take_port,
     .expected = "a dialect"},
};
static const struct config_schema schema = {keys, array_count(keys)};

static enum status parse(const char *text) {
    memset(&got, 0, sizeof got);
    memset(&error, 0, sizeof error);
    return config_parse("hubd.ini", (struct bytes){(const uint8_t *)text, strlen(text)}, &schema,
                        &error);
}

static void expect_error(const char *text, const char *message) {
    assert_int_equal(parse(text), STATUS_MALFORMED);
    assert_string_equal(error.text, message);
}

#define WHOLE "[hub]\nid = h1\n[store]\npath = s\n"

static void fills_what_the_schema_names(void **state) {
    (void)state;
    assert_int_equal(
        parse("\xef\xbb\xbf; comment\n[hub]\r\n id = hub-1 ; inline\r\n\n[store]\npath=/a b\n"
              "size = 64 MiB\n[api]\nlisten = tcp:a:1\nlisten = tcp:b:2\n"
              "[phones]\nusb = on\n# more\n[stop]\ngrace_seconds = 600\n"
              "[hub_serial.left]\nport = /dev/a\n[hub_serial.right]\nport = /dev/b"),
        STATUS_OK);
    assert_string_equal(got.id, "hub-1");
    assert_string_equal(got.path, "/a b");
    assert_string_equal(got.listens, "tcp:a:1;tcp:b:2;");
    assert_string_equal(got.ports, "left=/dev/a;right=/dev/b;");
    assert_true(got.usb);
    assert_int_equal(got.grace, 600);
    assert_int_equal(got.size, 64 * 1024 * 1024);
}

static void says_where_and_what_was_expected(void **state) {
    (void)state;
    expect_error("[hub]\nid = h1\n\n[api]\nlisten = 8080\n",
                 "hubd.ini:5: [api] listen: expected tcp:HOST:PORT, got \"8080\"");
    expect_error("[hub]\nid = too-long-id\n",
                 "hubd.ini:2: [hub] id: expected a text of 1 to 7 bytes, got \"too-long-id\"");
    expect_error("[hub]\nid =\n",
                 "hubd.ini:2: [hub] id: expected a text of 1 to 7 bytes, got \"\"");
    expect_error("[stop]\ngrace_seconds = 0\n",
                 "hubd.ini:2: [stop] grace_seconds: expected a whole "
                 "number from 1 to 600, got \"0\"");
    expect_error("[phones]\nusb = yes\n",
                 "hubd.ini:2: [phones] usb: expected on or off, got \"yes\"");
    expect_error("[store]\nsize = 5 KB\n",
                 "hubd.ini:2: [store] size: expected a size from 4096 to 4294967296 bytes, as 512, "
                 "64 KiB, 8 MiB or 1 GiB, got \"5 KB\"");
    expect_error("[hub]\nid = a\nid = b\n",
                 "hubd.ini:3: [hub] id: expected this key only once, got \"b\"");
    expect_error("[hub]\nid = a\n[hub]\nid = b\n",
                 "hubd.ini:4: [hub] id: expected this key only once, got \"b\"");
}

static void refuses_unknown_names(void **state) {
    (void)state;
    expect_error("[store]\npaht = x\n",
                 "hubd.ini:2: [store] paht: expected one of path size, got \"paht\"");
    expect_error("[empty]\n", "hubd.ini:1: [empty]: expected one of [hub] [store] [api] [phones] "
                              "[stop] [hub_serial.*]");
    expect_error("[hub_serial.]\nport = x\n",
                 "hubd.ini:1: [hub_serial.]: expected one of [hub] [store] [api] [phones] "
                 "[stop] [hub_serial.*]");
}

static void refuses_missing_keys(void **state) {
    (void)state;
    expect_error("", "hubd.ini: [hub] id: missing; expected a text of 1 to 7 bytes");
    expect_error("[hub]\nid = a\n",
                 "hubd.ini: [store] path: missing; expected a path of 1 to 31 bytes");
    expect_error(WHOLE "[hub_serial.a]\nport = x\n[hub_serial.b]\ndialect = y\n",
                 "hubd.ini: [hub_serial.b] port: missing; expected a path");
    expect_error(WHOLE "[hub_serial.b]\ndialect = y\n[hub_serial.a]\nport = x\n",
                 "hubd.ini: [hub_serial.b] port: missing; expected a path");
    assert_int_equal(parse(WHOLE), STATUS_OK);
}

static void refuses_lines_that_are_none(void **state) {
    (void)state;
    expect_error("id = x\n", "hubd.ini:1: expected a [section] before the first key");
    expect_error("[hub]\nhello\n", "hubd.ini:2: expected [section] or key = value");
    expect_error("[hub\nid = x\n", "hubd.ini:1: expected [section] or key = value");
    expect_error("[hub] id = x\n", "hubd.ini:1: expected nothing behind [section]");
    expect_error("[hub]\n= x\n", "hubd.ini:2: expected [section] or key = value");
    expect_error("[]\n", "hubd.ini:1: expected a section name of 1 to 48 bytes");
    expect_error("[hub_serial.456789012345678901234567890123456789012345]\n",
                 "hubd.ini:1: expected a section name of 1 to 48 bytes");
    expect_error("[hub]\nid = a\x01\n", "hubd.ini:2: expected text without control characters");
    expect_error("\r[hub]\nid = a\n", "hubd.ini:1: expected text without control characters");
}

static void refuses_lines_that_inih_would_split(void **state) {
    (void)state;
    char text[256] = "[store]\n";
    memset(text + 8, 'x', 200);
    memcpy(text + 8, "path =", 6);
    text[8 + 198] = '\0';
    expect_error(text, "hubd.ini:2: expected a line of at most 197 bytes");
    memset(text + 8, ';', 197);
    strcpy(text + 8 + 197, "\r\n");
    strcat(text, WHOLE);
    assert_int_equal(parse(text), STATUS_OK);
}

static void never_fails_a_check_on_any_truncation(void **state) {
    (void)state;
    static const char text[] = WHOLE "[api]\nlisten = tcp:a:1\n[hub_serial.x]\nport = y\n";
    for (size_t size = 0; size < sizeof text; size++) {
        memset(&got, 0, sizeof got);
        enum status status =
            config_parse("f", (struct bytes){(const uint8_t *)text, size}, &schema, &error);
        assert_true(status == STATUS_OK || status == STATUS_MALFORMED);
    }
}

static bool collect(void *owner, const struct config_item *item, struct config_error *why) {
    char line[64];
    snprintf(line, sizeof line, "%u[%s|%s]%s=%s\n", item->line, item->section, item->suffix,
             item->key != NULL ? item->key : "", item->value != NULL ? item->value : "");
    strcat(owner, line);
    return item->key == NULL || strcmp(item->key, "bad") != 0 ||
           config_refuse(why, item, "something else");
}

static void visits_every_line_without_a_schema(void **state) {
    (void)state;
    char seen[256] = "";
    assert_int_equal(config_each("m.ini",
                                 bytes_of("[action.a]\nrun = x y\n\n[action.b]\nbad = 1\nz = 2\n"),
                                 collect, seen, &error),
                     STATUS_MALFORMED);
    assert_string_equal(seen, "1[action.a|a]=\n2[action.a|a]run=x y\n4[action.b|b]=\n"
                              "5[action.b|b]bad=1\n");
    assert_string_equal(error.text, "m.ini:5: [action.b] bad: expected something else, got \"1\"");
}

static void reads_files_within_their_limit(void **state) {
    (void)state;
    char path[] = "config_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, WHOLE, strlen(WHOLE)), strlen(WHOLE));
    assert_int_equal(config_read(path, &schema, &error), STATUS_OK);
    assert_int_equal(ftruncate(fd, CONFIG_FILE_BYTES), 0);
    assert_int_equal(config_read(path, &schema, &error), STATUS_TOO_LARGE);
    assert_non_null(strstr(error.text, ": expected less than 65536 bytes"));
    close(fd);
    unlink(path);
    assert_int_equal(config_read(path, &schema, &error), STATUS_NOT_FOUND);
    assert_non_null(strstr(error.text, ": cannot be read: No such file"));
}

static void splits_lists(void **state) {
    (void)state;
    const char *list = " a:1 ,b:2,, c ";
    char part[4];
    static const char *const wanted[] = {"a:1", "b:2", "", "c"};
    for (size_t i = 0; i < array_count(wanted); i++) {
        assert_true(config_next_part(&list, part, sizeof part));
        assert_string_equal(part, wanted[i]);
    }
    assert_false(config_next_part(&list, part, sizeof part));
    assert_null(list);
    list = "long";
    assert_false(config_next_part(&list, part, sizeof part));
    assert_non_null(list);
}

static void takes_lists_of_words(void **state) {
    (void)state;
    char text[12];
    assert_true(config_words("a:1 ,b-2", text, sizeof text));
    assert_string_equal(text, "a:1 b-2");
    assert_true(config_words("abcdefghij", text, sizeof text));
    static const char *const wrong[] = {"abcdefghijk", "abcdef,ghijk", "a b", "a,,b",
                                        ",a",          "\xc3\xa9",     "a\""};
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_false(config_words(wrong[i], text, sizeof text));
    }
}

static void reads_sizes_without_overflow(void **state) {
    (void)state;
    uint64_t size = 0;
    assert_int_equal(config_size("1GiB", 0, UINT64_MAX, &size), STATUS_OK);
    assert_true(size == UINT64_C(1) << 30);
    assert_int_equal(config_size("17179869184 GiB", 0, UINT64_MAX, &size), STATUS_TOO_LARGE);
    assert_int_equal(config_size("18446744073709551615", 0, UINT64_MAX, &size), STATUS_OK);
    assert_int_equal(config_size("18446744073709551616", 0, UINT64_MAX, &size), STATUS_TOO_LARGE);
    assert_int_equal(config_size("-1", 0, UINT64_MAX, &size), STATUS_MALFORMED);
    assert_int_equal(config_size("", 0, UINT64_MAX, &size), STATUS_MALFORMED);
}

int host_config_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_what_the_schema_names),
        cmocka_unit_test(says_where_and_what_was_expected),
        cmocka_unit_test(refuses_unknown_names),
        cmocka_unit_test(refuses_missing_keys),
        cmocka_unit_test(refuses_lines_that_are_none),
        cmocka_unit_test(refuses_lines_that_inih_would_split),
        cmocka_unit_test(never_fails_a_check_on_any_truncation),
        cmocka_unit_test(visits_every_line_without_a_schema),
        cmocka_unit_test(reads_files_within_their_limit),
        cmocka_unit_test(splits_lists),
        cmocka_unit_test(takes_lists_of_words),
        cmocka_unit_test(reads_sizes_without_overflow),
    };
    return cmocka_run_group_tests_name("host/config", tests, NULL, NULL);
}
