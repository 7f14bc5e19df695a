/* The HTTP client over a stream in memory that gives and takes as few bytes as the test wants. */
#include "host/shared/http_client.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct {
    struct hal_stream stream;
    const char *input;            /* what the server says */
    size_t input_size, at, piece; /* bytes a read gives */
    bool ends;                    /* then CLOSED, else AGAIN */
    char output[20000];
    size_t output_size, room; /* bytes a write takes; 0: none */
} peer;

static struct http_client client;
static uint8_t body[64];
static char seen[256];

static enum status peer_read(struct hal_stream *stream, void *target, size_t size,
                             size_t *size_read) {
    size_t left = peer.input_size - peer.at;
    size_t given = left < peer.piece ? left : peer.piece;
    given = given < size ? given : size;
    if (given == 0) {
        stream->wants = HAL_STREAM_READABLE;
        return peer.ends ? STATUS_CLOSED : STATUS_AGAIN;
    }
    memcpy(target, peer.input + peer.at, given);
    peer.at += given;
    *size_read = given;
    return STATUS_OK;
}

static enum status peer_write(struct hal_stream *stream, const void *source, size_t size,
                              size_t *size_written) {
    size_t taken = size < peer.room ? size : peer.room;
    if (taken == 0) {
        stream->wants = HAL_STREAM_WRITABLE;
        return STATUS_AGAIN;
    }
    assert_true(peer.output_size + taken < sizeof peer.output);
    memcpy(peer.output + peer.output_size, source, taken);
    peer.output_size += taken;
    *size_written = taken;
    return STATUS_OK;
}

static const struct hal_stream_ops peer_ops = {peer_read, peer_write, NULL};
static const struct http_client_sink gather = {.buffer = body, .capacity = sizeof body};
static const struct http_client_request get = {.method = "GET", .target = "/x", .host = "h"};

static void answer(const char *input, size_t piece) {
    peer.input = input;
    peer.input_size = strlen(input);
    peer.at = 0;
    peer.piece = piece;
}

static int begin(void **state) {
    (void)state;
    memset(&peer, 0, sizeof peer);
    memset(seen, 0, sizeof seen);
    peer.stream.ops = &peer_ops;
    peer.room = SIZE_MAX;
    http_client_init(&client, &peer.stream);
    return 0;
}

static enum status run(const struct http_client_request *request,
                       const struct http_client_sink *sink) {
    enum status status = http_client_begin(&client, request, sink, 1000);
    for (int i = 0; status == STATUS_OK && i < 10000; i++) {
        status = http_client_step(&client, 0);
        if (status != STATUS_AGAIN) {
            return status;
        }
        status = STATUS_OK;
    }
    return status == STATUS_OK ? STATUS_AGAIN : status;
}

static void sends_a_request_and_reads_the_answer(void **state) {
    (void)state;
    answer("HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nRetry-After: 3\r\n"
           "Content-Length: 2\r\n\r\n{}",
           1000);
    const struct http_client_request request = {.method = "POST",
                                                .target = "/a?b=1",
                                                .host = "127.0.0.1:80",
                                                .token = "secret",
                                                .content_type = "application/json",
                                                .extra_headers = "X-A: 1\r\n",
                                                .body = bytes_of("[1]")};
    assert_int_equal(run(&request, &gather), STATUS_OK);
    assert_string_equal(peer.output, "POST /a?b=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"
                                     "Authorization: Bearer secret\r\n"
                                     "Content-Type: application/json\r\nContent-Length: 3\r\n"
                                     "X-A: 1\r\n\r\n[1]");
    assert_int_equal(client.status, 202);
    assert_string_equal(client.content_type, "application/json");
    assert_string_equal(client.retry_after, "3");
    assert_int_equal(client.answer.size, 2);
    assert_memory_equal(client.answer.data, "{}", 2);
    assert_true(client.is_reusable);
    answer("HTTP/1.1 204 No Content\r\n\r\n", 1);
    assert_int_equal(run(&get, &gather), STATUS_OK);
    assert_int_equal(client.status, 204);
    assert_int_equal(client.answer.size, 0);
}

static void works_one_byte_at_a_time(void **state) {
    (void)state;
    static char large[10000];
    memset(large, 'z', sizeof large);
    answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
           1);
    peer.room = 1;
    const struct http_client_request request = {.method = "PUT",
                                                .target = "/",
                                                .host = "h",
                                                .content_type = "text/plain",
                                                .body = {(uint8_t *)large, sizeof large}};
    assert_int_equal(run(&request, &gather), STATUS_OK);
    assert_int_equal(client.status, 200);
    assert_int_equal(client.answer.size, 5);
    assert_memory_equal(client.answer.data, "abcde", 5);
    assert_memory_equal(peer.output + peer.output_size - sizeof large, large, sizeof large);
    assert_true(client.is_reusable);
}

static void waits_for_what_is_missing(void **state) {
    (void)state;
    answer("", 1);
    peer.room = 0;
    assert_int_equal(http_client_begin(&client, &get, &gather, 1000), STATUS_OK);
    assert_int_equal(http_client_step(&client, 0), STATUS_AGAIN);
    assert_int_equal(http_client_wants(&client), HAL_STREAM_READABLE | HAL_STREAM_WRITABLE);
    peer.room = 1000;
    assert_int_equal(http_client_step(&client, 0), STATUS_AGAIN);
    assert_int_equal(http_client_wants(&client), HAL_STREAM_READABLE);
    assert_int_equal(http_client_step(&client, 999), STATUS_AGAIN);
    http_client_extend(&client, 2000);
    assert_int_equal(http_client_step(&client, 1999), STATUS_AGAIN);
    assert_int_equal(http_client_step(&client, 2000), STATUS_TIMEOUT);
}

static void takes_an_early_answer_but_not_the_stream_again(void **state) {
    (void)state;
    answer("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n", 1000);
    peer.room = 0;
    assert_int_equal(run(&get, &gather), STATUS_OK);
    assert_int_equal(client.status, 413);
    assert_false(client.is_reusable);
}

static void names_every_failure(void **state) {
    static const struct {
        const char *input;
        bool ends;
        enum status status;
    } rows[] = {
        {"", true, STATUS_CLOSED},
        {"HTTP/1.1 200 OK\r\nContent-Le", true, STATUS_CLOSED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true, STATUS_CLOSED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", true, STATUS_CLOSED},
        {"hello\r\n", false, STATUS_MALFORMED},
        {"HTTP/1.1 200 OK\nX: 1\n\n", false, STATUS_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false,
         STATUS_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false, STATUS_MALFORMED},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false,
         STATUS_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 65\r\n\r\n"
         "0123456789012345678901234567890123456789012345678901234567890123x",
         false, STATUS_TOO_LARGE},
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", true, STATUS_OK},
        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", false, STATUS_OK},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore", false, STATUS_OK},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        begin(state);
        answer(rows[i].input, 1000);
        peer.ends = rows[i].ends;
        enum status status = run(&get, &gather);
        if (status != rows[i].status) {
            fail_msg("%d for: %s", (int)status, rows[i].input);
        }
        if (client.is_reusable) {
            fail_msg("reusable after: %s", rows[i].input);
        }
    }
}

static void bounds_the_head(void **state) {
    (void)state;
    static char input[HTTP_CLIENT_HEAD_BYTES + 200] = "HTTP/1.1 200 OK\r\nX: ";
    memset(input + strlen(input), 'x', sizeof input - 1 - strlen(input));
    answer(input, 1000);
    assert_int_equal(run(&get, &gather), STATUS_TOO_LARGE);
    begin(state);
    static char target[HTTP_CLIENT_SEND_BYTES];
    memset(target, 'x', sizeof target - 1);
    struct http_client_request request = get;
    request.target = target;
    assert_int_equal(run(&request, &gather), STATUS_TOO_LARGE);
}

static void refuses_requests_that_would_break_the_head(void **state) {
    (void)state;
    struct http_client_request request = get;
    request.target = "/a b";
    assert_int_equal(run(&request, &gather), STATUS_MALFORMED);
    request = get;
    request.token = "a\r\nX: 1";
    assert_int_equal(run(&request, &gather), STATUS_MALFORMED);
    request = get;
    request.host = "a\n";
    assert_int_equal(run(&request, &gather), STATUS_MALFORMED);
    assert_int_equal(peer.output_size, 0);
}

static void expects_no_body_after_head(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", 7);
    struct http_client_request request = get;
    request.method = "HEAD";
    assert_int_equal(run(&request, &gather), STATUS_OK);
    assert_true(client.is_reusable);
}

static bool take(void *owner, struct bytes text) {
    assert_ptr_equal(owner, &peer);
    strncat(seen, (const char *)text.data, text.size);
    strcat(seen, "|");
    return strstr(seen, "stop") == NULL;
}

static void delivers_lines_as_they_come(void **state) {
    (void)state;
    const struct http_client_sink lines = {
        .buffer = body, .capacity = 10, .line = take, .owner = &peer};
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
           "5\r\nid: 1\r\n9\r\n\r\ndata: x\r\n2\r\n\n\n\r\n",
           3);
    assert_int_equal(run(&get, &lines), STATUS_AGAIN);
    assert_string_equal(seen, "id: 1|data: x||");
    answer("e\r\ndata: 56789\n\r\n0\r\n\r\n", 100);
    assert_int_equal(http_client_step(&client, 0), STATUS_TOO_LARGE);
}

static void delivers_chunks_and_stops_when_told(void **state) {
    (void)state;
    const struct http_client_sink chunks = {.chunk = take, .owner = &peer};
    answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n4\r\nstop\r\n1\r\nx",
           1000);
    assert_int_equal(run(&get, &chunks), STATUS_CLOSED);
    assert_string_equal(seen, "ab|stop|");
}

static enum status step_until_answer(void) {
    enum status status = STATUS_AGAIN;
    for (int i = 0; status == STATUS_AGAIN && i < 10000; i++) {
        status = http_client_step(&client, 0);
    }
    return status;
}

static void one_more_request_goes_before_the_answer(void **state) {
    (void)state;
    static const char both[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
                               "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo";
    for (size_t piece = 1; piece < sizeof both; piece += 7) {
        begin(state);
        peer.room = piece;
        answer("", 1);
        assert_int_equal(http_client_begin(&client, &get, &gather, 1000), STATUS_OK);
        assert_true(http_client_is_sending(&client));
        for (int i = 0; http_client_is_sending(&client) && i < 1000; i++) {
            assert_int_equal(http_client_step(&client, 0), STATUS_AGAIN);
        }
        struct http_client_request next = get;
        next.target = "/next";
        assert_int_equal(http_client_begin(&client, &next, &gather, 2000), STATUS_OK);
        assert_true(http_client_is_sending(&client)); /* there is no third */
        assert_int_equal(http_client_outstanding(&client), 2);
        for (int i = 0; i < 200; i++) {
            assert_int_equal(http_client_step(&client, 0), STATUS_AGAIN);
        }
        assert_non_null(strstr(peer.output, "GET /next"));
        answer(both, piece);
        assert_int_equal(step_until_answer(), STATUS_OK);
        assert_memory_equal(client.answer.data, "one", 3);
        assert_int_equal(http_client_outstanding(&client), 1);
        assert_int_equal(step_until_answer(), STATUS_OK);
        assert_memory_equal(client.answer.data, "two", 3);
        assert_int_equal(http_client_outstanding(&client), 0);
        assert_true(client.is_reusable);
    }
}

static void a_stream_that_ends_takes_the_second_request_with_it(void **state) {
    (void)state;
    answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1", 0);
    assert_int_equal(http_client_begin(&client, &get, &gather, 1000), STATUS_OK);
    assert_int_equal(http_client_step(&client, 0), STATUS_AGAIN);
    assert_int_equal(http_client_begin(&client, &get, &gather, 1000), STATUS_OK);
    peer.piece = 1000;
    assert_int_equal(step_until_answer(), STATUS_OK);
    assert_int_equal(http_client_step(&client, 0), STATUS_CLOSED);
    assert_int_equal(http_client_outstanding(&client), 0);
}

static void a_second_answer_out_of_turn_ends_the_streams_use(void **state) {
    (void)state;
    answer("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 1000);
    assert_int_equal(run(&get, &gather), STATUS_OK);
    assert_false(client.is_reusable);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int host_http_client_tests(void) {
    const struct CMUnitTest tests[] = {
        TEST(sends_a_request_and_reads_the_answer),
        TEST(works_one_byte_at_a_time),
        TEST(waits_for_what_is_missing),
        TEST(takes_an_early_answer_but_not_the_stream_again),
        TEST(names_every_failure),
        TEST(bounds_the_head),
        TEST(refuses_requests_that_would_break_the_head),
        TEST(expects_no_body_after_head),
        TEST(delivers_lines_as_they_come),
        TEST(delivers_chunks_and_stops_when_told),
        TEST(one_more_request_goes_before_the_answer),
        TEST(a_stream_that_ends_takes_the_second_request_with_it),
        TEST(a_second_answer_out_of_turn_ends_the_streams_use),
    };
    return cmocka_run_group_tests_name("host/http_client", tests, NULL, NULL);
}
