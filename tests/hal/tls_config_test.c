#include "tests/hal/tls_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GOOD TLS_RIG_CERTS "good/"

static void assert_refused(struct tls_settings settings, enum status status, const char *part) {
    struct tls_config config = {0};
    assert_int_equal(tls_config_open(&config, &settings), status);
    assert_false(config.is_open);
    if (strstr(config.reason, part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", config.reason, part);
    }
    tls_config_close(&config);
}

static void names_the_file_that_it_cannot_use(void **state) {
    (void)state;
    struct tls_settings settings = tls_rig_server("good", "good");
    settings.ca_path = GOOD "none.crt";
    assert_refused(settings, STATUS_IO, "CA " GOOD "none.crt: cannot be read: No such file");
    settings.ca_path = GOOD "server.key";
    assert_refused(settings, STATUS_MALFORMED, "CA " GOOD "server.key");
    settings = tls_rig_server("good", "good");
    settings.cert_path = "Makefile";
    assert_refused(settings, STATUS_MALFORMED, "certificate Makefile");
    settings = tls_rig_server("good", "good");
    settings.key_path = GOOD "server.crt";
    assert_refused(settings, STATUS_MALFORMED, "key " GOOD "server.crt");
    settings.key_path = GOOD "hub-1.key";
    assert_refused(settings, STATUS_MALFORMED, "does not belong to the certificate");
}

static void refuses_a_ticket_key_that_is_short_or_missing(void **state) {
    (void)state;
    struct tls_settings settings = tls_rig_server("good", "good");
    settings.ticket_key_path = TLS_RIG_CERTS "short_key";
    assert_refused(settings, STATUS_MALFORMED, "32 to 1024");
    settings.ticket_key_path = TLS_RIG_CERTS "none";
    assert_refused(settings, STATUS_IO, "ticket key");
}

static void tells_of_a_key_that_everybody_may_read(void **state) {
    (void)state;
    struct tls_config config = {0};
    struct tls_settings settings = tls_rig_server("good", "good");
    assert_int_equal(tls_config_open(&config, &settings), STATUS_OK);
    assert_false(config.key_is_exposed);
    tls_config_close(&config);
    assert_int_equal(chmod(settings.key_path, 0644), 0);
    enum status status = tls_config_open(&config, &settings);
    assert_int_equal(chmod(settings.key_path, 0600), 0);
    assert_int_equal(status, STATUS_OK);
    assert_true(config.key_is_exposed);
    tls_config_close(&config);
}

static void keeps_the_old_config_when_the_new_one_is_bad(void **state) {
    (void)state;
    struct tls_config_pair pair = {0};
    char reason[TLS_REASON_SIZE] = "";
    struct tls_settings settings = tls_rig_server("good", "good");
    struct tls_settings bad = settings;
    bad.key_path = GOOD "hub-1.key";
    assert_int_equal(tls_config_pair_load(&pair, &settings, reason), STATUS_OK);
    struct tls_config *first = tls_config_pair_current(&pair);
    assert_int_equal(tls_config_pair_load(&pair, &bad, reason), STATUS_MALFORMED);
    assert_non_null(strstr(reason, "does not belong"));
    assert_ptr_equal(tls_config_pair_current(&pair), first);
    assert_true(first->is_open);
    tls_config_pair_close(&pair);
}

static void closes_a_replaced_config_with_its_last_stream(void **state) {
    (void)state;
    struct tls_config_pair pair = {0};
    struct tls_settings settings = tls_rig_server("good", "good");
    assert_int_equal(tls_config_pair_load(&pair, &settings, NULL), STATUS_OK);
    struct tls_config *first = tls_config_pair_current(&pair);
    struct tls_rig rig = {0};
    tls_rig_join(&rig);
    assert_int_equal(tls_stream_open(&rig.server, first, NULL, NULL), STATUS_OK);
    assert_int_equal(tls_config_pair_load(&pair, &settings, NULL), STATUS_OK);
    assert_ptr_not_equal(tls_config_pair_current(&pair), first);
    assert_true(first->is_open);
    assert_int_equal(tls_config_pair_load(&pair, &settings, NULL), STATUS_AGAIN);
    hal_stream_close(&rig.server.stream);
    assert_false(first->is_open);
    assert_int_equal(tls_config_pair_load(&pair, &settings, NULL), STATUS_OK);
    assert_ptr_equal(tls_config_pair_current(&pair), first);
    hal_stream_close(&rig.client.socket);
    tls_config_pair_close(&pair);
}

int hal_tls_config_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_file_that_it_cannot_use),
        cmocka_unit_test(refuses_a_ticket_key_that_is_short_or_missing),
        cmocka_unit_test(tells_of_a_key_that_everybody_may_read),
        cmocka_unit_test(keeps_the_old_config_when_the_new_one_is_bad),
        cmocka_unit_test(closes_a_replaced_config_with_its_last_stream),
    };
    return cmocka_run_group_tests_name("hal/tls_config", tests, tls_rig_make_certs, NULL);
}
