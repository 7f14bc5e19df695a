#include "tests/host/http_rig.h"
#include "hal/linux/tcp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uint8_t memory[HTTP_SERVER_BYTES(HTTP_RIG_CONNECTIONS, HTTP_RIG_STREAM_BYTES,
                                        HTTP_RIG_BODY_BYTES, HTTP_RIG_OUTPUT_BYTES)]
    __attribute__((aligned(4096)));

struct http_rig http_rig;
char http_rig_answer[512 * 1024];
static char big[HTTP_RIG_OUTPUT_BYTES * 2];

static void note(const char *name, struct bytes value) {
    size_t used = strlen(http_rig.seen);
    snprintf(http_rig.seen + used, sizeof http_rig.seen - used, "%s=%.*s;", name, (int)value.size,
             (const char *)value.data);
}

static bool is_path(const struct http_request *request, const char *path) {
    return request->path.size == strlen(path) &&
           memcmp(request->path.data, path, request->path.size) == 0;
}

static void on_request(void *owner, struct http_connection *connection,
                       const struct http_request *request) {
    assert_ptr_equal(owner, &http_rig);
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
        http_rig.kept = connection;
        http_rig.kept_count++;
    } else if (is_path(request, "/held")) {
        http_rig.kept = connection;
        http_rig.kept_count++;
        http_release_request(connection);
    } else if (is_path(request, "/stream")) {
        http_rig.kept = connection;
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
    assert_ptr_equal(owner, &http_rig);
    assert_int_equal(http_tag(connection), 7);
    http_rig.closed++;
    http_rig.kept = NULL;
}

static void on_overtaken(void *owner, struct http_connection *connection) {
    assert_ptr_equal(owner, &http_rig);
    assert_ptr_equal(connection, http_rig.kept);
    http_rig.overtaken++;
    if (http_rig.answers_overtaken) {
        http_respond(connection, 200, "text/plain", bytes_of("older"), NULL);
    }
}

static void on_drained(void *owner, struct http_connection *connection) {
    assert_ptr_equal(owner, &http_rig);
    assert_ptr_equal(connection, http_rig.kept);
    http_rig.drained++;
}

static void begin(uint32_t buffers) {
    memset(&http_rig, 0, sizeof http_rig);
    http_rig.now_ms = 1000;
    struct tcp_address address;
    assert_int_equal(loop_open(&http_rig.loop), STATUS_OK);
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    assert_int_equal(tcp_listen(&http_rig.listener, &address), STATUS_OK);
    tcp_local_address(http_rig.listener, &address);
    http_rig.port = tcp_port(&address);
    const struct http_config config = {
        .loop = &http_rig.loop,
        .limits = {.connections = HTTP_RIG_CONNECTIONS,
                   .stream_bytes = HTTP_RIG_STREAM_BYTES,
                   .body_bytes = HTTP_RIG_BODY_BYTES,
                   .output_bytes = HTTP_RIG_OUTPUT_BYTES,
                   .buffers = buffers,
                   .header_ms = 5000,
                   .body_ms = 10000,
                   .idle_ms = 60000,
                   .send_ms = 20000},
        .handler = {on_request, on_closed, on_overtaken, on_drained, &http_rig},
        .memory = memory,
        .memory_bytes = sizeof memory,
    };
    http_server_init(&http_rig.server, &config);
    assert_int_equal(http_server_listen(&http_rig.server, http_rig.listener, NULL), STATUS_OK);
}

int http_rig_begin(void **state) {
    (void)state;
    begin(0);
    return 0;
}

int http_rig_begin_poor(void **state) {
    (void)state;
    begin(HTTP_RIG_FEW_BUFFERS);
    return 0;
}

int http_rig_end(void **state) {
    (void)state;
    http_server_close(&http_rig.server);
    assert_int_equal(http_rig.server.counters.open, 0);
    assert_int_equal(http_rig.server.buffers_lent, 0);
    tcp_unlisten(http_rig.listener);
    loop_close(&http_rig.loop);
    return 0;
}

void http_rig_turn(void) {
    http_server_step(&http_rig.server, http_rig.now_ms);
    loop_step(&http_rig.loop, 0);
    http_server_step(&http_rig.server, http_rig.now_ms);
}

void http_rig_turns(int count) {
    while (count-- > 0) {
        http_rig_turn();
    }
}

struct hal_stream http_rig_dial(void) {
    struct tcp_address address;
    struct hal_stream client;
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    tcp_set_port(&address, http_rig.port);
    assert_int_equal(tcp_connect(&client, &address), STATUS_OK);
    http_rig_turns(2);
    return client;
}

void http_rig_send_bytes(struct hal_stream *client, const char *text, size_t size) {
    uint64_t limit_ms = loop_now_ms() + 3000;
    while (size > 0 && loop_now_ms() < limit_ms) {
        size_t sent = 0;
        enum status status = hal_stream_write(client, text, size, &sent);
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
        text += sent;
        size -= sent;
        http_rig_turn();
    }
    assert_int_equal(size, 0);
}

void http_rig_send(struct hal_stream *client, const char *text) {
    http_rig_send_bytes(client, text, strlen(text));
}

void http_rig_receive(struct hal_stream *client, const char *last) {
    uint64_t limit_ms = loop_now_ms() + 3000;
    size_t used = 0;
    http_rig_answer[0] = '\0';
    while (loop_now_ms() < limit_ms) {
        size_t size = 0;
        http_rig_turn();
        enum status status = hal_stream_read(client, http_rig_answer + used,
                                             sizeof http_rig_answer - 1 - used, &size);
        used += size;
        http_rig_answer[used] = '\0';
        if (last != NULL ? strstr(http_rig_answer, last) != NULL : status == STATUS_CLOSED) {
            return;
        }
        assert_true(status == STATUS_OK || status == STATUS_AGAIN);
    }
    fail_msg("never came: %s; but: %.300s; seen: %s", last != NULL ? last : "the end",
             http_rig_answer, http_rig.seen);
}

void http_rig_expect_nothing(struct hal_stream *client) {
    size_t size = 0;
    http_rig_turns(3);
    assert_int_equal(hal_stream_read(client, http_rig_answer, 1, &size), STATUS_AGAIN);
}

void http_rig_expect_refusal(const char *request, const char *status) {
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, request);
    http_rig_turns(3);
    if (http_rig.server.counters.refused == 0) {
        fail_msg("not refused: %s", request);
    }
    http_rig.server.counters.refused = 0;
    http_rig_receive(&client, NULL);
    hal_stream_close(&client);
    http_rig_turns(2);
    char line[64];
    snprintf(line, sizeof line, "HTTP/1.1 %s ", status);
    if (strncmp(http_rig_answer, line, strlen(line)) != 0) {
        fail_msg("wanted %s for: %s got: %s", status, request, http_rig_answer);
    }
    assert_non_null(strstr(http_rig_answer, "{\"error\":{\"code\":\""));
    assert_non_null(strstr(http_rig_answer, "Connection: close\r\n"));
    assert_int_equal(http_rig.seen[0], '\0');
}
