#include "host/shared/token.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct token_table table;
static struct token_error error;

static struct bytes view(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static void load(const char *text) {
    assert_int_equal(token_parse(&table, view(text), &error), STATUS_OK);
}

static void assert_refused(const char *text, enum status status, unsigned line, const char *part) {
    assert_int_equal(token_parse(&table, view(text), &error), status);
    assert_int_equal(error.line, line);
    assert_non_null(strstr(error.text, part));
}

static void finds_the_entry_of_a_token(void **state) {
    (void)state;
    load("# who\n\nfarm  submit,read\tsecret-one\r\nops operate secret-two  billing\nw worker s3");
    assert_int_equal(table.count, 3);
    const struct token *token = token_find(&table, view("secret-one"));
    assert_non_null(token);
    assert_string_equal(token->name, "farm");
    assert_int_equal(token->scopes, TOKEN_SUBMIT | TOKEN_READ);
    assert_string_equal(token->system, "");
    token = token_find(&table, view("secret-two"));
    assert_string_equal(token->system, "billing");
    assert_int_equal(token->scopes, TOKEN_OPERATE);
    assert_int_equal(token_find(&table, view("s3"))->scopes, TOKEN_WORKER);
}

static void finds_nothing_for_any_other_token(void **state) {
    (void)state;
    char longer[TOKEN_SECRET_SIZE + 10];
    memset(longer, 'a', sizeof(longer));
    load("farm submit secret\n");
    static const char *const wrong[] = {"", "s", "secre", "secrets", "Secret", "tecret", "farm"};
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_null(token_find(&table, view(wrong[i])));
    }
    assert_null(token_find(&table, (struct bytes){(const uint8_t *)"\0\0\0", 3}));
    assert_null(token_find(&table, (struct bytes){(const uint8_t *)longer, sizeof(longer)}));
    load("");
    assert_null(token_find(&table, view("secret")));
    assert_null(token_find(&table, view("")));
}

static void tells_the_line_and_what_it_expected(void **state) {
    (void)state;
    assert_refused("a read x\nb read\n", STATUS_MALFORMED, 2, "NAME SCOPES TOKEN");
    assert_refused("a read x s extra\n", STATUS_MALFORMED, 1, "NAME SCOPES TOKEN");
    assert_refused("# a\n\na write x\n", STATUS_MALFORMED, 3, "submit,read,worker,operate");
    assert_refused("a read, x\n", STATUS_MALFORMED, 1, "scopes");
    assert_refused("a read x\na read y\n", STATUS_MALFORMED, 2, "name comes twice");
    assert_refused("a read x\nb read x\n", STATUS_MALFORMED, 2, "token comes twice");
    assert_refused("a read x\x80\n", STATUS_MALFORMED, 1, "visible ASCII");
    assert_refused("a2345678901234567890123456789012x read x\n", STATUS_MALFORMED, 1, "32");
}

static void holds_64_tokens_and_refuses_one_more(void **state) {
    (void)state;
    char text[4096];
    size_t size = 0;
    for (unsigned i = 0; i < TOKEN_COUNT_MAX; i++) {
        size += (size_t)snprintf(text + size, sizeof(text) - size, "n%u read t%u\n", i, i);
    }
    load(text);
    assert_string_equal(token_find(&table, view("t63"))->name, "n63");
    assert_string_equal(token_find(&table, view("t0"))->name, "n0");
    snprintf(text + size, sizeof(text) - size, "one read more\n");
    assert_refused(text, STATUS_FULL, 65, "64");
}

static void keeps_the_old_table_when_the_new_file_is_bad(void **state) {
    (void)state;
    load("old read first\n");
    assert_refused("new read second\nbroken\n", STATUS_MALFORMED, 2, "NAME");
    assert_non_null(token_find(&table, view("first")));
    assert_null(token_find(&table, view("second")));
    load("new read second\n");
    assert_null(token_find(&table, view("first")));
    assert_int_equal(token_load(&table, "/nonexistent/tokens", &error), STATUS_IO);
    assert_int_equal(error.line, 0);
    assert_non_null(token_find(&table, view("second")));
}

static void tells_of_a_file_that_everybody_may_read(void **state) {
    (void)state;
    char path[] = "build/token_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a read x\n", 9), 9);
    assert_int_equal(token_load(&table, path, &error), STATUS_OK);
    assert_false(table.is_exposed);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(token_load(&table, path, &error), STATUS_OK);
    assert_true(table.is_exposed);
    assert_non_null(token_find(&table, view("x")));
    assert_int_equal(ftruncate(fd, TOKEN_FILE_BYTES_MAX + 1), 0);
    assert_int_equal(token_load(&table, path, &error), STATUS_TOO_LARGE);
    close(fd);
    unlink(path);
}

int host_token_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_entry_of_a_token),
        cmocka_unit_test(finds_nothing_for_any_other_token),
        cmocka_unit_test(tells_the_line_and_what_it_expected),
        cmocka_unit_test(holds_64_tokens_and_refuses_one_more),
        cmocka_unit_test(keeps_the_old_table_when_the_new_file_is_bad),
        cmocka_unit_test(tells_of_a_file_that_everybody_may_read),
    };
    return cmocka_run_group_tests_name("host/token", tests, NULL, NULL);
}
