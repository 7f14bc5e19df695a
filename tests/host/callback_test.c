/* Callbacks: the signature's vectors, the allow list, the limits of slots and hosts. */
#include "host/shared/callback.h"
#include "host/shared/hmac_sha256.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct callbacks callbacks;

static int begin(void **state) {
    (void)state;
    static struct loop loop;
    memset(&callbacks, 0, sizeof callbacks);
    callback_init(&callbacks, &loop, NULL);
    return 0;
}

static struct bytes text(const char *from) {
    return (struct bytes){(const uint8_t *)from, strlen(from)};
}

static void expect_hmac(struct bytes key, const char *first, const char *second,
                        const char *expected) {
    uint8_t digest[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    hmac_sha256(key, text(first), text(second), digest);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(hex, expected);
}

static void hmac_gives_the_vectors_of_rfc_4231(void **state) {
    (void)state;
    uint8_t key[131];
    memset(key, 0x0b, 20);
    expect_hmac((struct bytes){key, 20}, "Hi ", "There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    expect_hmac(text("Jefe"), "", "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    expect_hmac((struct bytes){key, sizeof key},
                "Test Using Larger Than Block-Size Key - Hash Key First", "",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void the_allow_list_takes_addresses_and_names_with_addresses(void **state) {
    (void)state;
    assert_int_equal(callback_allow(&callbacks, "127.0.0.1:80"), STATUS_OK);
    assert_int_equal(callback_allow(&callbacks, "[::1]:8443"), STATUS_OK);
    assert_int_equal(callback_allow(&callbacks, "hooks.example.com:443@10.0.0.5"), STATUS_OK);
    const char *const wrong[] = {"",
                                 "127.0.0.1",
                                 "127.0.0.1:0",
                                 "127.0.0.1:70000",
                                 "hooks.example.com:443",
                                 "hooks.example.com:443@other.example.com",
                                 ":80",
                                 "[::1:80",
                                 "unix:/tmp/x"};
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_int_equal(callback_allow(&callbacks, wrong[i]), STATUS_MALFORMED);
    }
    while (callbacks.host_count < CALLBACK_HOSTS) {
        assert_int_equal(callback_allow(&callbacks, "127.0.0.1:81"), STATUS_OK);
    }
    assert_int_equal(callback_allow(&callbacks, "127.0.0.1:81"), STATUS_FULL);
}

static void urls_are_judged_by_host_and_port(void **state) {
    (void)state;
    assert_int_equal(callback_allow(&callbacks, "127.0.0.1:80"), STATUS_OK);
    assert_int_equal(callback_allow(&callbacks, "[::1]:8080"), STATUS_OK);
    assert_int_equal(callback_allow(&callbacks, "Hooks.example.com:443@10.0.0.5"), STATUS_OK);
    const struct {
        const char *url;
        enum status status;
        uint32_t host;
    } rows[] = {
        {"http://127.0.0.1", STATUS_OK, 0},
        {"http://127.0.0.1:80/a?b#c", STATUS_OK, 0},
        {"HTTP://127.0.0.1?x", STATUS_OK, 0},
        {"http://[::1]:8080/", STATUS_OK, 1},
        {"https://hooks.EXAMPLE.com/x", STATUS_DENIED, 2},
        {"http://hooks.example.com/x", STATUS_NOT_FOUND, 0},
        {"http://127.0.0.1:8080/", STATUS_NOT_FOUND, 0},
        {"http://127.0.0.1.evil.com/", STATUS_NOT_FOUND, 0},
        {"http://user@127.0.0.1/", STATUS_MALFORMED, 0},
        {"http://127.0.0.1\\@evil.com/", STATUS_MALFORMED, 0},
        {"http://127.0.0.1:80a/", STATUS_MALFORMED, 0},
        {"http://127.0.0.1:/", STATUS_MALFORMED, 0},
        {"http:///", STATUS_MALFORMED, 0},
        {"http://127.0.0.1/a b", STATUS_MALFORMED, 0},
        {"http://127.0.0.1/a\r\nX: y", STATUS_MALFORMED, 0},
        {"gopher://127.0.0.1/", STATUS_MALFORMED, 0},
        {"", STATUS_MALFORMED, 0},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        uint32_t host = 0;
        assert_int_equal(callback_host_of(&callbacks, text(rows[i].url), &host), rows[i].status);
        assert_int_equal(host, rows[i].host);
    }
}

static void one_host_takes_only_its_share_of_the_slots(void **state) {
    (void)state;
    struct callback_slot *taken[CALLBACK_SLOTS];
    char entry[32];
    for (int i = 0; i < 1 + CALLBACK_SLOTS; i++) {
        snprintf(entry, sizeof entry, "127.0.0.1:%d", 1000 + i);
        assert_int_equal(callback_allow(&callbacks, entry), STATUS_OK);
    }
    for (uint32_t i = 0; i < CALLBACK_PER_HOST; i++) {
        taken[i] = callback_take(&callbacks, 0);
        assert_non_null(taken[i]);
    }
    assert_null(callback_take(&callbacks, 0));
    for (uint32_t i = CALLBACK_PER_HOST; i < CALLBACK_SLOTS; i++) {
        taken[i] = callback_take(&callbacks, i);
        assert_non_null(taken[i]);
    }
    assert_null(callback_take(&callbacks, CALLBACK_SLOTS)); /* every slot is taken */
    callback_give(&callbacks, taken[0]);
    assert_ptr_equal(callback_take(&callbacks, 0), taken[0]);
}

int host_callback_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_gives_the_vectors_of_rfc_4231),
        cmocka_unit_test_setup(the_allow_list_takes_addresses_and_names_with_addresses, begin),
        cmocka_unit_test_setup(urls_are_judged_by_host_and_port, begin),
        cmocka_unit_test_setup(one_host_takes_only_its_share_of_the_slots, begin),
    };
    return cmocka_run_group_tests_name("host/callback", tests, NULL, NULL);
}
