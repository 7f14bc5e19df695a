/* What a request may look like, and what is refused. */
#include "tests/host/http_rig.h"
#include "host/shared/http_target.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void answers_a_request(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "GET /a%20b/c?x=1&y=%41 HTTP/1.1\r\nhOST:a\r\n"
                           "Authorization: Bearer  secret \r\n\r\n");
    http_rig_receive(&client, "/a b/c");
    assert_string_equal(http_rig_answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                         "Content-Length: 6\r\n\r\n/a b/c");
    assert_string_equal(http_rig.seen, "path=/a b/c;query=x=1&y=%41;body=;token=secret;");
    hal_stream_close(&client);
    http_rig_turns(2);
    assert_int_equal(http_rig.server.counters.open, 0);
}

static void takes_a_request_one_byte_at_a_time(void **state) {
    (void)state;
    static const char text[] = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
                               "POST /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "2\r\nab\r\n1;e=1\r\nc\r\n0\r\nT: 1\r\n\r\n" GET("/r");
    struct hal_stream client = http_rig_dial();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        http_rig_send_bytes(&client, text + i, 1);
    }
    http_rig_receive(&client, "\r\n\r\n/r");
    assert_string_equal(http_rig.seen, "path=/p;query=;body=xyz;path=/q;query=;body=abc;"
                                       "path=/r;query=;body=;");
    hal_stream_close(&client);
}

/* A list may go on in another line; of a header that is no list the second one is refused. */
static void takes_a_list_header_twice(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "GET /twice HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n"
                           "Accept-Encoding: br\r\nIf-None-Match: \"a\"\r\n"
                           "If-None-Match: \"b\"\r\n\r\n");
    http_rig_receive(&client, "/twice");
    hal_stream_close(&client);
    http_rig_turns(2);
}

static void refuses_malformed_requests(void **state) {
    (void)state;
    static const char *const requests[] = {
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%0a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#f HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "\x16\x03\x01\x02",
        "hello\r\n",
    };
    for (size_t i = 0; i < array_count(requests); i++) {
        const char *status =
            strstr(requests[i], "hello") != NULL || requests[i][0] == 0x16 ? "501" : "400";
        http_rig_expect_refusal(requests[i], status);
    }
    assert_int_equal(http_rig.server.counters.requests, 0);
    http_rig_expect_refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400");
    assert_non_null(strstr(http_rig_answer, "twice"));
}

static void names_what_it_does_not_speak(void **state) {
    (void)state;
    http_rig_expect_refusal("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501");
    http_rig_expect_refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505");
    http_rig_expect_refusal(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501");
    http_rig_expect_refusal(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", "417");
}

static void leaves_other_methods_to_the_handler(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n");
    http_rig_receive(&client, "}}");
    assert_string_equal(http_rig_answer,
                        "HTTP/1.1 405 Method Not Allowed\r\n"
                        "Content-Type: application/json\r\nContent-Length: 68\r\n\r\n"
                        "{\"error\":{\"code\":\"method_not_allowed\","
                        "\"message\":\"Not \\\"this\\\" way\"}}");
    hal_stream_close(&client);
}

static void bounds_the_head(void **state) {
    (void)state;
    static char text[HTTP_HEAD_BYTES + 64];
    const char *first = "GET /ok HTTP/1.1\r\nHost: a\r\nX: ";
    memset(text, 'x', sizeof text);
    memcpy(text, first, strlen(first));
    memcpy(text + HTTP_HEAD_BYTES - 4, "\r\n\r\n", 5);
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, text); /* exactly the limit */
    http_rig_receive(&client, "/ok");
    hal_stream_close(&client);
    http_rig.seen[0] = '\0';
    text[HTTP_HEAD_BYTES - 4] = 'x';
    memcpy(text + HTTP_HEAD_BYTES - 3, "\r\n\r\n", 5);
    http_rig_expect_refusal(text, "431");
    memset(text, 'x', sizeof text);
    memcpy(text, "GET /", 5);
    text[sizeof text - 1] = '\0';
    http_rig_expect_refusal(text, "431");
}

static void bounds_the_body_before_reading_it(void **state) {
    (void)state;
    static char text[HTTP_RIG_BODY_BYTES + 200];
    http_rig_expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3001\r\n\r\n", "413");
    http_rig_expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                            "Content-Length: 3001\r\n\r\n",
                            "413");
    http_rig_expect_refusal(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nbb9\r\n", "413");
    struct hal_stream client = http_rig_dial();
    int head =
        snprintf(text, sizeof text, "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                 HTTP_RIG_BODY_BYTES);
    memset(text + head, 'y', HTTP_RIG_BODY_BYTES);
    http_rig_send_bytes(&client, text, (size_t)head + HTTP_RIG_BODY_BYTES);
    http_rig_receive(&client, "/p");
    hal_stream_close(&client);
}

static void bounds_the_framing_of_chunks(void **state) {
    (void)state;
    static char text[60000] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;";
    size_t used = strlen(text);
    memset(text + used, 'e', sizeof text - used - 1);
    http_rig_expect_refusal(text, "413");
}

static void asks_for_a_body_that_waits_to_be_asked(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                           "Content-Length: 2\r\n\r\n");
    http_rig_receive(&client, "\r\n\r\n");
    assert_string_equal(http_rig_answer, "HTTP/1.1 100 Continue\r\n\r\n");
    http_rig_send(&client, "ab");
    http_rig_receive(&client, "/p");
    assert_string_equal(http_rig.seen, "path=/p;query=;body=ab;");
    hal_stream_close(&client);
}

static void answers_pipelined_requests_in_order(void **state) {
    (void)state;
    static char text[400 * 40];
    size_t used = 0;
    for (int i = 0; i < 400; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "GET /%03d HTTP/1.1\r\nHost: a\r\n\r\n", i);
    }
    struct hal_stream client = http_rig_dial();
    http_rig_send_bytes(&client, text, used);
    http_rig_receive(&client, "/399");
    const char *at = http_rig_answer;
    for (int i = 0; i < 400; i++) {
        char path[16];
        snprintf(path, sizeof path, "/%03d", i);
        at = strstr(at, "\r\n\r\n");
        assert_non_null(at);
        assert_memory_equal(at + 4, path, 4);
        at += 8;
    }
    assert_int_equal(*at, '\0');
    hal_stream_close(&client);
}

static void keeps_http_1_0_open_only_when_asked(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    http_rig_receive(&client, "/a");
    assert_non_null(strstr(http_rig_answer, "Connection: keep-alive\r\n"));
    http_rig_send(&client, "GET /b HTTP/1.0\r\n\r\n");
    http_rig_receive(&client, NULL);
    assert_non_null(strstr(http_rig_answer, "Connection: close\r\n"));
    hal_stream_close(&client);
}

static void closes_when_asked(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/b"));
    http_rig_receive(&client, NULL);
    assert_non_null(strstr(http_rig_answer, "Connection: close\r\n"));
    assert_string_equal(http_rig.seen, "path=/a;query=;body=;");
    hal_stream_close(&client);
}

static void ignores_an_upgrade(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                           "Upgrade: websocket\r\n\r\n" GET("/b"));
    http_rig_receive(&client, "/b");
    assert_string_equal(http_rig.seen, "path=/a;query=;body=;path=/b;query=;body=;");
    hal_stream_close(&client);
}

static void leaves_the_body_out_for_head(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n" GET("/nothing"));
    http_rig_receive(&client, "X-Extra: 1\r\n\r\n");
    assert_string_equal(http_rig_answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                         "Content-Length: 4\r\n\r\n"
                                         "HTTP/1.1 204 No Content\r\nX-Extra: 1\r\n\r\n");
    hal_stream_close(&client);
}

static void finds_values_in_a_query(void **state) {
    (void)state;
    struct bytes query = bytes_of("limit=20&status=a%20b+c%2B&x=&type=1&type=2&bad=%4");
    char value[8];
    assert_int_equal(http_target_value(query, "limit", value, sizeof value), STATUS_OK);
    assert_string_equal(value, "20");
    assert_int_equal(http_target_value(query, "status", value, sizeof value), STATUS_OK);
    assert_string_equal(value, "a b c+");
    assert_int_equal(http_target_value(query, "x", value, sizeof value), STATUS_OK);
    assert_string_equal(value, "");
    assert_int_equal(http_target_value(query, "lim", value, sizeof value), STATUS_NOT_FOUND);
    assert_int_equal(http_target_value(query, "type", value, sizeof value), STATUS_MALFORMED);
    assert_int_equal(http_target_value(query, "bad", value, sizeof value), STATUS_MALFORMED);
    assert_int_equal(http_target_value(query, "status", value, 6), STATUS_TOO_LARGE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, http_rig_begin, http_rig_end)

int host_http_request_tests(void) {
    const struct CMUnitTest tests[] = {
        TEST(answers_a_request),
        TEST(takes_a_request_one_byte_at_a_time),
        TEST(refuses_malformed_requests),
        TEST(names_what_it_does_not_speak),
        TEST(leaves_other_methods_to_the_handler),
        TEST(bounds_the_head),
        TEST(bounds_the_body_before_reading_it),
        TEST(bounds_the_framing_of_chunks),
        TEST(asks_for_a_body_that_waits_to_be_asked),
        TEST(answers_pipelined_requests_in_order),
        TEST(keeps_http_1_0_open_only_when_asked),
        TEST(closes_when_asked),
        TEST(ignores_an_upgrade),
        TEST(leaves_the_body_out_for_head),
        cmocka_unit_test(finds_values_in_a_query),
        TEST(takes_a_list_header_twice),
    };
    return cmocka_run_group_tests_name("host/http_request", tests, NULL, NULL);
}
