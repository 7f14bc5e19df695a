/* The HTTP server over real loopback sockets, in this process, under an injected clock. */
#include "host/shared/http_server.h"
#include "hal/linux/tcp.h"
#include "host/shared/http_target.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CONNECTIONS = 4, BODY_BYTES = 3000, OUTPUT_BYTES = 64 * 1024, CLIENTS = 8 };

/* Keeps bytes inside, as TLS does, and gives a few at a time. */
struct hoard {
    struct hal_stream stream, inner;
    uint8_t bytes[512];
    size_t begin, end;
};

static uint8_t memory[HTTP_SERVER_BYTES(CONNECTIONS, sizeof(struct hoard), BODY_BYTES,
                                        OUTPUT_BYTES)] __attribute__((aligned(4096)));

static struct {
    struct loop loop;
    struct http_server server;
    int listener;
    uint16_t port;
    uint64_t now_ms;
    struct http_connection *kept; /* deferred, or a stream */
    unsigned kept_count, closed, drained;
    char seen[8192]; /* what the handler was given */
} rig;

static char answer[512 * 1024]; /* what the last call of receive_until() got */
static char big[OUTPUT_BYTES * 2];

static void note(const char *name, struct bytes value) {
    size_t used = strlen(rig.seen);
    snprintf(rig.seen + used, sizeof rig.seen - used, "%s=%.*s;", name, (int)value.size,
             (const char *)value.data);
}

static bool is_path(const struct http_request *request, const char *path) {
    return request->path.size == strlen(path) &&
           memcmp(request->path.data, path, request->path.size) == 0;
}

static void on_request(void *owner, struct http_connection *connection,
                       const struct http_request *request) {
    assert_ptr_equal(owner, &rig);
    assert_int_equal(http_tag(connection), 0);
    http_set_tag(connection, 7);
    note("path", request->path);
    note("query", request->query);
    note("body", request->body);
    if (request->token.size > 0) {
        note("token", request->token);
    }
    if (request->has_tls_peer) {
        note("peer", request->peer_name);
    }
    if (request->method == HTTP_METHOD_OTHER) {
        http_respond_error(connection, 405, "method_not_allowed", "Not \"this\" way");
    } else if (is_path(request, "/later")) {
        rig.kept = connection;
        rig.kept_count++;
    } else if (is_path(request, "/stream")) {
        rig.kept = connection;
        http_stream_begin(connection);
    } else if (is_path(request, "/big")) {
        struct http_body body = http_body_begin(connection);
        memset(body.data, 'b', body.capacity);
        http_respond_built(connection, 200, "text/plain", body.capacity, NULL);
    } else if (is_path(request, "/huge")) {
        http_respond(connection, 200, "text/plain", (struct bytes){(uint8_t *)big, sizeof big},
                     NULL);
    } else if (is_path(request, "/nothing")) {
        http_respond(connection, 204, NULL, (struct bytes){NULL, 0}, "X-Extra: 1\r\n");
    } else {
        http_respond(connection, 200, "text/plain", request->path, NULL);
    }
}

static void on_closed(void *owner, struct http_connection *connection) {
    assert_ptr_equal(owner, &rig);
    assert_int_equal(http_tag(connection), 7);
    rig.closed++;
    rig.kept = NULL;
}

static void on_drained(void *owner, struct http_connection *connection) {
    assert_ptr_equal(owner, &rig);
    assert_ptr_equal(connection, rig.kept);
    rig.drained++;
}

static int begin(void **state) {
    (void)state;
    memset(&rig, 0, sizeof rig);
    rig.now_ms = 1000;
    struct tcp_address address;
    assert_int_equal(loop_open(&rig.loop), STATUS_OK);
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    assert_int_equal(tcp_listen(&rig.listener, &address), STATUS_OK);
    tcp_local_address(rig.listener, &address);
    rig.port = tcp_port(&address);
    const struct http_config config = {
        .loop = &rig.loop,
        .limits = {.connections = CONNECTIONS,
                   .stream_bytes = sizeof(struct hoard),
                   .body_bytes = BODY_BYTES,
                   .output_bytes = OUTPUT_BYTES,
                   .header_ms = 5000,
                   .body_ms = 10000,
                   .idle_ms = 60000,
                   .send_ms = 20000},
        .handler = {on_request, on_closed, on_drained, &rig},
        .memory = memory,
        .memory_bytes = sizeof memory,
    };
    http_server_init(&rig.server, &config);
    assert_int_equal(http_server_listen(&rig.server, rig.listener, NULL), STATUS_OK);
    return 0;
}

static int end(void **state) {
    (void)state;
    http_server_close(&rig.server);
    assert_int_equal(rig.server.counters.open, 0);
    tcp_unlisten(rig.listener);
    loop_close(&rig.loop);
    return 0;
}

static void turn(void) {
    http_server_step(&rig.server, rig.now_ms);
    loop_step(&rig.loop, 0);
    http_server_step(&rig.server, rig.now_ms);
}

static void turns(int count) {
    while (count-- > 0) {
        turn();
    }
}

static struct hal_stream dial(void) {
    struct tcp_address address;
    struct hal_stream client;
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    tcp_set_port(&address, rig.port);
    assert_int_equal(tcp_connect(&client, &address), STATUS_OK);
    turns(2);
    return client;
}

static void send_bytes(struct hal_stream *client, const char *text, size_t size) {
    uint64_t limit_ms = loop_now_ms() + 3000;
    while (size > 0 && loop_now_ms() < limit_ms) {
        size_t sent = 0;
        enum status status = hal_stream_write(client, text, size, &sent);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
        text += sent;
        size -= sent;
        turn();
    }
    assert_int_equal(size, 0);
}

static void send_text(struct hal_stream *client, const char *text) {
    send_bytes(client, text, strlen(text));
}

/* Reads until `last` has come (NULL: until the end of the stream) into `answer`. */
static void receive_until(struct hal_stream *client, const char *last) {
    uint64_t limit_ms = loop_now_ms() + 3000;
    size_t used = 0;
    answer[0] = '\0';
    while (loop_now_ms() < limit_ms) {
        size_t size = 0;
        turn();
        enum status status =
            hal_stream_read(client, answer + used, sizeof answer - 1 - used, &size);
        used += size;
        answer[used] = '\0';
        if (last != NULL ? strstr(answer, last) != NULL : status == STATUS_CLOSED) {
            return;
        }
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    }
    fail_msg("never came: %s; but: %.300s; seen: %s", last != NULL ? last : "the end", answer,
             rig.seen);
}

static void expect_nothing(struct hal_stream *client) {
    size_t size = 0;
    turns(3);
    assert_int_equal(hal_stream_read(client, answer, 1, &size), STATUS_AGAIN);
}

/* Sends a request that must be refused with `status` and a closed connection. */
static void expect_refusal(const char *request, const char *status) {
    struct hal_stream client = dial();
    send_text(&client, request);
    turns(3);
    if (rig.server.counters.refused == 0) {
        fail_msg("not refused: %s", request);
    }
    rig.server.counters.refused = 0;
    receive_until(&client, NULL);
    hal_stream_close(&client);
    turns(2);
    char line[64];
    snprintf(line, sizeof line, "HTTP/1.1 %s ", status);
    if (strncmp(answer, line, strlen(line)) != 0) {
        fail_msg("wanted %s for: %s got: %s", status, request, answer);
    }
    assert_non_null(strstr(answer, "{\"error\":{\"code\":\""));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_int_equal(rig.seen[0], '\0');
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void answers_a_request(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, "GET /a%20b/c?x=1&y=%41 HTTP/1.1\r\nhOST:a\r\n"
                       "Authorization: Bearer  secret \r\n\r\n");
    receive_until(&client, "/a b/c");
    assert_string_equal(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                "Content-Length: 6\r\n\r\n/a b/c");
    assert_string_equal(rig.seen, "path=/a b/c;query=x=1&y=%41;body=;token=secret;");
    hal_stream_close(&client);
    turns(2);
    assert_int_equal(rig.server.counters.open, 0);
}

static void takes_a_request_one_byte_at_a_time(void **state) {
    (void)state;
    static const char text[] = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz"
                               "POST /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "2\r\nab\r\n1;e=1\r\nc\r\n0\r\nT: 1\r\n\r\n" GET("/r");
    struct hal_stream client = dial();
    for (size_t i = 0; i < sizeof text - 1; i++) {
        send_bytes(&client, text + i, 1);
    }
    receive_until(&client, "\r\n\r\n/r");
    assert_string_equal(rig.seen, "path=/p;query=;body=xyz;path=/q;query=;body=abc;"
                                  "path=/r;query=;body=;");
    hal_stream_close(&client);
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
        expect_refusal(requests[i], status);
    }
    assert_int_equal(rig.server.counters.requests, 0);
    expect_refusal("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400");
    assert_non_null(strstr(answer, "twice"));
}

static void names_what_it_does_not_speak(void **state) {
    (void)state;
    expect_refusal("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501");
    expect_refusal("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505");
    expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501");
    expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 1\r\n\r\n", "417");
}

static void leaves_other_methods_to_the_handler(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n");
    receive_until(&client, "}}");
    assert_string_equal(answer, "HTTP/1.1 405 Method Not Allowed\r\n"
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
    struct hal_stream client = dial();
    send_text(&client, text); /* exactly the limit */
    receive_until(&client, "/ok");
    hal_stream_close(&client);
    rig.seen[0] = '\0';
    text[HTTP_HEAD_BYTES - 4] = 'x';
    memcpy(text + HTTP_HEAD_BYTES - 3, "\r\n\r\n", 5);
    expect_refusal(text, "431");
    memset(text, 'x', sizeof text);
    memcpy(text, "GET /", 5);
    text[sizeof text - 1] = '\0';
    expect_refusal(text, "431");
}

static void bounds_the_body_before_reading_it(void **state) {
    (void)state;
    static char text[BODY_BYTES + 200];
    expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3001\r\n\r\n", "413");
    expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Content-Length: 3001\r\n\r\n",
                   "413");
    expect_refusal("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nbb9\r\n",
                   "413");
    struct hal_stream client = dial();
    int head = snprintf(text, sizeof text,
                        "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BODY_BYTES);
    memset(text + head, 'y', BODY_BYTES);
    send_bytes(&client, text, (size_t)head + BODY_BYTES);
    receive_until(&client, "/p");
    hal_stream_close(&client);
}

static void bounds_the_framing_of_chunks(void **state) {
    (void)state;
    static char text[60000] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;";
    size_t used = strlen(text);
    memset(text + used, 'e', sizeof text - used - 1);
    expect_refusal(text, "413");
}

static void asks_for_a_body_that_waits_to_be_asked(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, "POST /p HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                       "Content-Length: 2\r\n\r\n");
    receive_until(&client, "\r\n\r\n");
    assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    send_text(&client, "ab");
    receive_until(&client, "/p");
    assert_string_equal(rig.seen, "path=/p;query=;body=ab;");
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
    struct hal_stream client = dial();
    send_bytes(&client, text, used);
    receive_until(&client, "/399");
    const char *at = answer;
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
    struct hal_stream client = dial();
    send_text(&client, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    receive_until(&client, "/a");
    assert_non_null(strstr(answer, "Connection: keep-alive\r\n"));
    send_text(&client, "GET /b HTTP/1.0\r\n\r\n");
    receive_until(&client, NULL);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    hal_stream_close(&client);
}

static void closes_when_asked(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/b"));
    receive_until(&client, NULL);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_string_equal(rig.seen, "path=/a;query=;body=;");
    hal_stream_close(&client);
}

static void ignores_an_upgrade(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                       "Upgrade: websocket\r\n\r\n" GET("/b"));
    receive_until(&client, "/b");
    assert_string_equal(rig.seen, "path=/a;query=;body=;path=/b;query=;body=;");
    hal_stream_close(&client);
}

static void leaves_the_body_out_for_head(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, "HEAD /abc HTTP/1.1\r\nHost: a\r\n\r\n" GET("/nothing"));
    receive_until(&client, "X-Extra: 1\r\n\r\n");
    assert_string_equal(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                "Content-Length: 4\r\n\r\n"
                                "HTTP/1.1 204 No Content\r\nX-Extra: 1\r\n\r\n");
    hal_stream_close(&client);
}

static void goes_on_after_a_deferred_answer(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, GET("/later") GET("/next") GET("/later"));
    expect_nothing(&client);
    assert_string_equal(rig.seen, "path=/later;query=;body=;");
    http_respond(rig.kept, 202, "text/plain", bytes_of("first"), NULL);
    assert_int_equal(http_server_deadline(&rig.server), 0);
    receive_until(&client, "/next");
    assert_true(strstr(answer, "first") < strstr(answer, "/next"));
    assert_int_equal(rig.kept_count, 2);
    http_respond(rig.kept, 202, "text/plain", bytes_of("last"), NULL);
    receive_until(&client, "last");
    hal_stream_close(&client);
}

static void tells_that_a_deferred_client_left(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, GET("/later"));
    assert_non_null(rig.kept);
    const struct linger reset = {1, 0};
    assert_int_equal(setsockopt(client.handle, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    hal_stream_close(&client);
    turns(3);
    assert_int_equal(rig.closed, 1);
    assert_int_equal(rig.server.counters.open, 0);
}

static void still_answers_a_client_that_only_stopped_sending(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, GET("/later"));
    shutdown(client.handle, SHUT_WR);
    turns(3);
    assert_int_equal(rig.closed, 0);
    http_respond(rig.kept, 200, "text/plain", bytes_of("bye"), NULL);
    receive_until(&client, NULL);
    assert_non_null(strstr(answer, "bye"));
    hal_stream_close(&client);
}

static void streams_events(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, GET("/stream"));
    receive_until(&client, "\r\n\r\n");
    assert_non_null(strstr(answer, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(answer, "Transfer-Encoding: chunked\r\n"));
    assert_int_equal(http_stream_write(rig.kept, bytes_of("data: 0123456789\n\n")), STATUS_OK);
    receive_until(&client, "\n\n\r\n");
    assert_string_equal(answer, "12\r\ndata: 0123456789\n\n\r\n");
    send_text(&client, GET("/after"));
    http_stream_end(rig.kept);
    receive_until(&client, "/after");
    assert_memory_equal(answer, "0\r\n\r\nHTTP/1.1 200 OK", 20);
    assert_int_equal(rig.closed, 0);
    hal_stream_close(&client);
}

static void streams_without_chunks_in_http_1_0(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, "GET /stream HTTP/1.0\r\n\r\n");
    receive_until(&client, "\r\n\r\n");
    assert_null(strstr(answer, "chunked"));
    assert_int_equal(http_stream_write(rig.kept, bytes_of("data: 1\n\n")), STATUS_OK);
    http_stream_end(rig.kept);
    receive_until(&client, NULL);
    assert_string_equal(answer, "data: 1\n\n");
    hal_stream_close(&client);
}

static void tells_that_a_streams_client_left(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, GET("/stream"));
    shutdown(client.handle, SHUT_WR);
    turns(3);
    assert_int_equal(rig.closed, 1);
    hal_stream_close(&client);
}

static enum status hoard_read(struct hal_stream *stream, void *target, size_t size,
                              size_t *size_read) {
    struct hoard *hoard = (struct hoard *)(void *)stream;
    if (hoard->begin == hoard->end) {
        size_t got = 0;
        enum status status =
            hal_stream_read(&hoard->inner, hoard->bytes, sizeof hoard->bytes, &got);
        stream->wants = hoard->inner.wants;
        if (status != STATUS_OK) {
            return status;
        }
        hoard->begin = 0;
        hoard->end = got;
    }
    size_t left = hoard->end - hoard->begin;
    size_t given = left < 7 ? left : 7;
    given = given < size ? given : size;
    memcpy(target, hoard->bytes + hoard->begin, given);
    hoard->begin += given;
    stream->has_buffered = hoard->begin < hoard->end;
    *size_read = given;
    return STATUS_OK;
}

static enum status hoard_write(struct hal_stream *stream, const void *source, size_t size,
                               size_t *size_written) {
    struct hoard *hoard = (struct hoard *)(void *)stream;
    enum status status = hal_stream_write(&hoard->inner, source, size, size_written);
    stream->wants = hoard->inner.wants;
    return status;
}

static void hoard_close(struct hal_stream *stream) {
    hal_stream_close(&((struct hoard *)(void *)stream)->inner);
}

static enum status hoard_accept(const struct http_acceptor *acceptor, int listener,
                                struct hal_stream *stream) {
    static const struct hal_stream_ops ops = {hoard_read, hoard_write, hoard_close};
    struct hoard *hoard = (struct hoard *)(void *)stream;
    assert_non_null(acceptor);
    memset(hoard, 0, sizeof *hoard);
    enum status status = tcp_accept(listener, &hoard->inner);
    hoard->stream.ops = &ops;
    hoard->stream.handle = hoard->inner.handle;
    return status;
}

static bool hoard_peer(const struct http_acceptor *acceptor, const struct hal_stream *stream,
                       struct bytes *name) {
    assert_non_null(acceptor);
    assert_non_null(stream);
    *name = bytes_of("hub-1");
    return true;
}

static void takes_streams_that_keep_bytes_inside(void **state) {
    (void)state;
    static const struct http_acceptor acceptor = {hoard_accept, hoard_peer};
    struct tcp_address address;
    int listener = -1;
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    tcp_local_address(listener, &address);
    rig.port = tcp_port(&address);
    assert_int_equal(http_server_listen(&rig.server, listener, &acceptor), STATUS_OK);
    struct hal_stream client = dial();
    send_text(&client, GET("/later") GET("/a") "POST /b HTTP/1.1\r\nHost: a\r\n"
                                               "Content-Length: 9\r\n\r\nnine byte" GET("/c"));
    expect_nothing(&client);
    assert_string_equal(rig.seen, "path=/later;query=;body=;peer=hub-1;");
    http_respond(rig.kept, 200, "text/plain", bytes_of("late"), NULL);
    receive_until(&client, "\r\n\r\n/c");
    assert_non_null(strstr(rig.seen, "path=/b;query=;body=nine byte;peer=hub-1;path=/c;"));
    hal_stream_close(&client);
    http_server_stop(&rig.server);
    tcp_unlisten(listener);
}

static void waits_when_no_descriptor_is_left(void **state) {
    (void)state;
    struct rlimit before;
    int lowest = dup(0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit low = {(rlim_t)lowest + 1, before.rlim_max};
    close(lowest);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct hal_stream client = dial(); /* takes the last one */
    send_text(&client, GET("/a"));
    assert_int_equal(rig.server.counters.open, 0);
    assert_int_equal(http_server_deadline(&rig.server), 1100); /* and does not spin */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_nothing(&client);
    rig.now_ms = 1100;
    receive_until(&client, "/a");
    hal_stream_close(&client);
}

/* Fills the socket and then the output buffer; all that was taken must arrive in order. */
static void a_slow_stream_says_again_and_is_told_when_drained(void **state) {
    (void)state;
    static char line[4001];
    size_t taken = 0;
    struct hal_stream client = dial();
    send_text(&client, GET("/stream"));
    receive_until(&client, "\r\n\r\n");
    memset(line, 'd', sizeof line - 1);
    while (taken < 100000) {
        struct bytes text = {(uint8_t *)line, sizeof line - 1};
        if (http_stream_write(rig.kept, text) == STATUS_AGAIN) {
            break;
        }
        taken++;
    }
    assert_true(taken > OUTPUT_BYTES / sizeof line && taken < 100000);
    turns(3);
    assert_int_equal(rig.drained, 0);
    size_t got = 0;
    uint64_t limit_ms = loop_now_ms() + 3000;
    while (got < taken * (sizeof line - 1 + 7) && loop_now_ms() < limit_ms) {
        size_t size = 0;
        turn();
        if (hal_stream_read(&client, answer, sizeof answer, &size) == STATUS_OK) {
            got += size;
        }
    }
    assert_int_equal(got, taken * (sizeof line - 1 + 7));
    assert_int_equal(rig.drained, 1);
    hal_stream_close(&client);
}

static void drops_a_client_that_does_not_take_its_answers(void **state) {
    (void)state;
    struct hal_stream client = dial();
    for (int i = 0; i < 200; i++) { /* until the socket is full */
        size_t sent = 0;
        if (hal_stream_write(&client, GET("/big"), sizeof GET("/big") - 1, &sent) != STATUS_OK) {
            break;
        }
        turns(2);
    }
    assert_int_equal(rig.server.counters.open, 1);
    rig.now_ms += 19999;
    turns(2);
    assert_int_equal(rig.server.counters.open, 1);
    rig.now_ms += 1;
    turns(1);
    assert_int_equal(rig.server.counters.open, 0);
    assert_int_equal(rig.server.counters.timed_out, 1);
    hal_stream_close(&client);
}

static void sends_an_answer_larger_than_the_sockets_buffer(void **state) {
    (void)state;
    struct hal_stream client = dial();
    int small = 32 * 1024;
    assert_int_equal(setsockopt(client.handle, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    for (int i = 0; i < 20; i++) {
        send_text(&client, GET("/big"));
    }
    size_t body = OUTPUT_BYTES - 768;
    size_t wanted = 20 * (strlen("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                 "Content-Length: 64768\r\n\r\n") +
                          body);
    size_t got = 0;
    uint64_t limit_ms = loop_now_ms() + 10000;
    while (got < wanted && loop_now_ms() < limit_ms) {
        size_t size = 0;
        turn();
        if (hal_stream_read(&client, answer, sizeof answer, &size) == STATUS_OK) {
            got += size;
        }
    }
    assert_int_equal(got, wanted);
    expect_nothing(&client);
    hal_stream_close(&client);
}

static void replaces_an_answer_that_does_not_fit(void **state) {
    (void)state;
    struct hal_stream client = dial();
    send_text(&client, GET("/huge"));
    receive_until(&client, "response_too_large");
    assert_memory_equal(answer, "HTTP/1.1 500 ", 13);
    hal_stream_close(&client);
}

static void drops_slow_heads_and_bodies(void **state) {
    (void)state;
    struct hal_stream head = dial();
    struct hal_stream body = dial();
    send_text(&head, "GET / HT");
    send_text(&body, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    assert_int_equal(http_server_deadline(&rig.server), 1000 + 5000);
    rig.now_ms = 5999;
    send_text(&head, "TP");
    expect_nothing(&head);
    rig.now_ms = 6000;
    receive_until(&head, NULL);
    assert_memory_equal(answer, "HTTP/1.1 408 ", 13);
    expect_nothing(&body);
    rig.now_ms = 11000;
    receive_until(&body, NULL);
    assert_memory_equal(answer, "HTTP/1.1 408 ", 13);
    assert_int_equal(rig.server.counters.timed_out, 2);
    assert_int_equal(rig.server.counters.open, 1); /* `head` was discarded, `body` lingers */
    rig.now_ms += HTTP_LINGER_MS;
    turn();
    assert_int_equal(rig.server.counters.open, 0);
    hal_stream_close(&head);
    hal_stream_close(&body);
}

static void closes_idle_connections_without_a_word(void **state) {
    (void)state;
    struct hal_stream silent = dial();
    struct hal_stream idle = dial();
    send_text(&idle, GET("/a"));
    receive_until(&idle, "/a");
    rig.now_ms += 5000;
    receive_until(&silent, NULL);
    assert_string_equal(answer, "");
    expect_nothing(&idle);
    assert_int_equal(http_server_deadline(&rig.server), 61000);
    rig.now_ms += 55000;
    receive_until(&idle, NULL);
    assert_string_equal(answer, "");
    assert_true(http_server_deadline(&rig.server) == UINT64_MAX);
    hal_stream_close(&silent);
    hal_stream_close(&idle);
}

static void a_full_table_closes_the_oldest_idle_connection(void **state) {
    (void)state;
    struct hal_stream clients[CONNECTIONS + 1];
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = dial();
        send_text(&clients[i], GET("/a"));
        receive_until(&clients[i], "/a");
    }
    send_text(&clients[0], GET("/b")); /* now 1 is the oldest */
    receive_until(&clients[0], "/b");
    clients[CONNECTIONS] = dial();
    send_text(&clients[CONNECTIONS], GET("/c"));
    receive_until(&clients[CONNECTIONS], "/c");
    receive_until(&clients[1], NULL);
    expect_nothing(&clients[0]);
    assert_int_equal(rig.server.counters.evicted, 1);
    for (int i = 0; i <= CONNECTIONS; i++) {
        hal_stream_close(&clients[i]);
    }
}

static void a_busy_table_answers_503(void **state) {
    (void)state;
    struct hal_stream clients[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = dial();
        send_text(&clients[i], GET("/later"));
    }
    assert_int_equal(rig.kept_count, CONNECTIONS);
    struct hal_stream late = dial();
    receive_until(&late, NULL);
    assert_memory_equal(answer, "HTTP/1.1 503 ", 13);
    unsigned length = 0;
    assert_int_equal(sscanf(strstr(answer, "Content-Length: "), "Content-Length: %u", &length), 1);
    assert_int_equal(strlen(strstr(answer, "\r\n\r\n") + 4), length);
    assert_int_equal(rig.server.counters.overflowed, 1);
    hal_stream_close(&late);
    for (int i = 0; i < CONNECTIONS; i++) {
        hal_stream_close(&clients[i]);
    }
}

static void stops_in_order(void **state) {
    (void)state;
    struct hal_stream idle = dial();
    struct hal_stream busy = dial();
    send_text(&busy, GET("/later"));
    http_server_stop(&rig.server);
    receive_until(&idle, NULL);
    http_respond(rig.kept, 200, "text/plain", bytes_of("done"), NULL);
    receive_until(&busy, "done");
    assert_int_equal(rig.server.counters.open, 1);
    hal_stream_close(&idle);
    hal_stream_close(&busy);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int host_http_server_tests(void) {
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
        TEST(goes_on_after_a_deferred_answer),
        TEST(tells_that_a_deferred_client_left),
        TEST(still_answers_a_client_that_only_stopped_sending),
        TEST(streams_events),
        TEST(streams_without_chunks_in_http_1_0),
        TEST(tells_that_a_streams_client_left),
        TEST(takes_streams_that_keep_bytes_inside),
        TEST(waits_when_no_descriptor_is_left),
        TEST(a_slow_stream_says_again_and_is_told_when_drained),
        TEST(drops_a_client_that_does_not_take_its_answers),
        TEST(sends_an_answer_larger_than_the_sockets_buffer),
        TEST(replaces_an_answer_that_does_not_fit),
        TEST(drops_slow_heads_and_bodies),
        TEST(closes_idle_connections_without_a_word),
        TEST(a_full_table_closes_the_oldest_idle_connection),
        TEST(a_busy_table_answers_503),
        TEST(stops_in_order),
        cmocka_unit_test(finds_values_in_a_query),
    };
    return cmocka_run_group_tests_name("host/http_server", tests, NULL, NULL);
}
