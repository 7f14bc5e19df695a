/* Deferred answers, streams, deadlines and full tables of the HTTP server. */
#include "tests/host/http_rig.h"
#include "hal/linux/tcp.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void goes_on_after_a_deferred_answer(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/later") GET("/next") GET("/later"));
    http_rig_expect_nothing(&client);
    assert_string_equal(http_rig.seen, "path=/later;query=;body=;");
    http_respond(http_rig.kept, 202, "text/plain", bytes_of("first"), NULL);
    assert_int_equal(http_server_deadline(&http_rig.server), 0);
    http_rig_receive(&client, "/next");
    assert_true(strstr(http_rig_answer, "first") < strstr(http_rig_answer, "/next"));
    assert_int_equal(http_rig.kept_count, 2);
    http_respond(http_rig.kept, 202, "text/plain", bytes_of("last"), NULL);
    http_rig_receive(&client, "last");
    hal_stream_close(&client);
}

static void tells_that_a_deferred_client_left(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/later"));
    assert_non_null(http_rig.kept);
    const struct linger reset = {1, 0};
    assert_int_equal(setsockopt(client.handle, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    hal_stream_close(&client);
    http_rig_turns(3);
    assert_int_equal(http_rig.closed, 1);
    assert_int_equal(http_rig.server.counters.open, 0);
}

static void still_answers_a_client_that_only_stopped_sending(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/later"));
    shutdown(client.handle, SHUT_WR);
    http_rig_turns(3);
    assert_int_equal(http_rig.closed, 0);
    http_respond(http_rig.kept, 200, "text/plain", bytes_of("bye"), NULL);
    http_rig_receive(&client, NULL);
    assert_non_null(strstr(http_rig_answer, "bye"));
    hal_stream_close(&client);
}

static void streams_events(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/stream"));
    http_rig_receive(&client, "\r\n\r\n");
    assert_non_null(strstr(http_rig_answer, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(http_rig_answer, "Transfer-Encoding: chunked\r\n"));
    assert_int_equal(http_stream_write(http_rig.kept, bytes_of("data: 0123456789\n\n")), STATUS_OK);
    http_rig_receive(&client, "\n\n\r\n");
    assert_string_equal(http_rig_answer, "12\r\ndata: 0123456789\n\n\r\n");
    http_rig_send(&client, GET("/after"));
    http_stream_end(http_rig.kept);
    http_rig_receive(&client, "/after");
    assert_memory_equal(http_rig_answer, "0\r\n\r\nHTTP/1.1 200 OK", 20);
    assert_int_equal(http_rig.closed, 0);
    hal_stream_close(&client);
}

static void streams_without_chunks_in_http_1_0(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, "GET /stream HTTP/1.0\r\n\r\n");
    http_rig_receive(&client, "\r\n\r\n");
    assert_null(strstr(http_rig_answer, "chunked"));
    assert_int_equal(http_stream_write(http_rig.kept, bytes_of("data: 1\n\n")), STATUS_OK);
    http_stream_end(http_rig.kept);
    http_rig_receive(&client, NULL);
    assert_string_equal(http_rig_answer, "data: 1\n\n");
    hal_stream_close(&client);
}

static void tells_that_a_streams_client_left(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/stream"));
    shutdown(client.handle, SHUT_WR);
    http_rig_turns(3);
    assert_int_equal(http_rig.closed, 1);
    hal_stream_close(&client);
}

/* Keeps bytes inside, as TLS does, and gives a few at a time. */
struct hoard {
    struct hal_stream stream, inner;
    uint8_t bytes[512];
    size_t begin, end;
};

_Static_assert(sizeof(struct hoard) <= HTTP_RIG_STREAM_BYTES, "room in a slot");

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
    http_rig.port = tcp_port(&address);
    assert_int_equal(http_server_listen(&http_rig.server, listener, &acceptor), STATUS_OK);
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/later") GET("/a") "POST /b HTTP/1.1\r\nHost: a\r\n"
                                                   "Content-Length: 9\r\n\r\nnine byte" GET("/c"));
    http_rig_expect_nothing(&client);
    assert_string_equal(http_rig.seen, "path=/later;query=;body=;peer=hub-1;");
    http_respond(http_rig.kept, 200, "text/plain", bytes_of("late"), NULL);
    http_rig_receive(&client, "\r\n\r\n/c");
    assert_non_null(strstr(http_rig.seen, "path=/b;query=;body=nine byte;peer=hub-1;path=/c;"));
    hal_stream_close(&client);
    http_server_stop(&http_rig.server);
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
    struct hal_stream client = http_rig_dial(); /* takes the last one */
    http_rig_send(&client, GET("/a"));
    assert_int_equal(http_rig.server.counters.open, 0);
    assert_int_equal(http_server_deadline(&http_rig.server), 1100); /* and does not spin */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    http_rig_expect_nothing(&client);
    http_rig.now_ms = 1100;
    http_rig_receive(&client, "/a");
    hal_stream_close(&client);
}

/* Fills the socket and then the output buffer; all that was taken must arrive in order. */
static void a_slow_stream_says_again_and_is_told_when_drained(void **state) {
    (void)state;
    static char line[4001];
    size_t taken = 0;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/stream"));
    http_rig_receive(&client, "\r\n\r\n");
    memset(line, 'd', sizeof line - 1);
    while (taken < 100000) {
        struct bytes text = {(uint8_t *)line, sizeof line - 1};
        if (http_stream_write(http_rig.kept, text) == STATUS_AGAIN) {
            break;
        }
        taken++;
    }
    assert_true(taken > HTTP_RIG_OUTPUT_BYTES / sizeof line && taken < 100000);
    http_rig_turns(3);
    assert_int_equal(http_rig.drained, 0);
    size_t got = 0;
    uint64_t limit_ms = loop_now_ms() + 3000;
    while (got < taken * (sizeof line - 1 + 7) && loop_now_ms() < limit_ms) {
        size_t size = 0;
        http_rig_turn();
        if (hal_stream_read(&client, http_rig_answer, sizeof http_rig_answer, &size) == STATUS_OK) {
            got += size;
        }
    }
    assert_int_equal(got, taken * (sizeof line - 1 + 7));
    assert_int_equal(http_rig.drained, 1);
    hal_stream_close(&client);
}

static void drops_a_client_that_does_not_take_its_answers(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    for (int i = 0; i < 200; i++) { /* until the socket is full */
        size_t sent = 0;
        if (hal_stream_write(&client, GET("/big"), sizeof GET("/big") - 1, &sent) != STATUS_OK) {
            break;
        }
        http_rig_turns(2);
    }
    assert_int_equal(http_rig.server.counters.open, 1);
    http_rig.now_ms += 19999;
    http_rig_turns(2);
    assert_int_equal(http_rig.server.counters.open, 1);
    http_rig.now_ms += 1;
    http_rig_turns(1);
    assert_int_equal(http_rig.server.counters.open, 0);
    assert_int_equal(http_rig.server.counters.timed_out, 1);
    hal_stream_close(&client);
}

static void sends_an_answer_larger_than_the_sockets_buffer(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    int small = 32 * 1024;
    assert_int_equal(setsockopt(client.handle, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    for (int i = 0; i < 20; i++) {
        http_rig_send(&client, GET("/big"));
    }
    size_t body = HTTP_RIG_OUTPUT_BYTES - 768;
    size_t wanted = 20 * (strlen("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                 "Content-Length: 64768\r\n\r\n") +
                          body);
    size_t got = 0;
    uint64_t limit_ms = loop_now_ms() + 10000;
    while (got < wanted && loop_now_ms() < limit_ms) {
        size_t size = 0;
        http_rig_turn();
        if (hal_stream_read(&client, http_rig_answer, sizeof http_rig_answer, &size) == STATUS_OK) {
            got += size;
        }
    }
    assert_int_equal(got, wanted);
    http_rig_expect_nothing(&client);
    hal_stream_close(&client);
}

static void replaces_an_answer_that_does_not_fit(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/huge"));
    http_rig_receive(&client, "response_too_large");
    assert_memory_equal(http_rig_answer, "HTTP/1.1 500 ", 13);
    hal_stream_close(&client);
}

static void drops_slow_heads_and_bodies(void **state) {
    (void)state;
    struct hal_stream head = http_rig_dial();
    struct hal_stream body = http_rig_dial();
    http_rig_send(&head, "GET / HT");
    http_rig_send(&body, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    assert_int_equal(http_server_deadline(&http_rig.server), 1000 + 5000);
    http_rig.now_ms = 5999;
    http_rig_send(&head, "TP");
    http_rig_expect_nothing(&head);
    http_rig.now_ms = 6000;
    http_rig_receive(&head, NULL);
    assert_memory_equal(http_rig_answer, "HTTP/1.1 408 ", 13);
    http_rig_expect_nothing(&body);
    http_rig.now_ms = 11000;
    http_rig_receive(&body, NULL);
    assert_memory_equal(http_rig_answer, "HTTP/1.1 408 ", 13);
    assert_int_equal(http_rig.server.counters.timed_out, 2);
    assert_int_equal(http_rig.server.counters.open, 1); /* `head` was discarded, `body` lingers */
    http_rig.now_ms += HTTP_LINGER_MS;
    http_rig_turn();
    assert_int_equal(http_rig.server.counters.open, 0);
    hal_stream_close(&head);
    hal_stream_close(&body);
}

static void closes_idle_connections_without_a_word(void **state) {
    (void)state;
    struct hal_stream silent = http_rig_dial();
    struct hal_stream idle = http_rig_dial();
    http_rig_send(&idle, GET("/a"));
    http_rig_receive(&idle, "/a");
    http_rig.now_ms += 5000;
    http_rig_receive(&silent, NULL);
    assert_string_equal(http_rig_answer, "");
    http_rig_expect_nothing(&idle);
    assert_int_equal(http_server_deadline(&http_rig.server), 61000);
    http_rig.now_ms += 55000;
    http_rig_receive(&idle, NULL);
    assert_string_equal(http_rig_answer, "");
    assert_true(http_server_deadline(&http_rig.server) == UINT64_MAX);
    hal_stream_close(&silent);
    hal_stream_close(&idle);
}

static void a_full_table_closes_the_oldest_idle_connection(void **state) {
    (void)state;
    struct hal_stream clients[HTTP_RIG_CONNECTIONS + 1];
    for (int i = 0; i < HTTP_RIG_CONNECTIONS; i++) {
        clients[i] = http_rig_dial();
        http_rig_send(&clients[i], GET("/a"));
        http_rig_receive(&clients[i], "/a");
    }
    http_rig_send(&clients[0], GET("/b")); /* now 1 is the oldest */
    http_rig_receive(&clients[0], "/b");
    clients[HTTP_RIG_CONNECTIONS] = http_rig_dial();
    http_rig_send(&clients[HTTP_RIG_CONNECTIONS], GET("/c"));
    http_rig_receive(&clients[HTTP_RIG_CONNECTIONS], "/c");
    http_rig_receive(&clients[1], NULL);
    http_rig_expect_nothing(&clients[0]);
    assert_int_equal(http_rig.server.counters.evicted, 1);
    for (int i = 0; i <= HTTP_RIG_CONNECTIONS; i++) {
        hal_stream_close(&clients[i]);
    }
}

static void a_busy_table_answers_503(void **state) {
    (void)state;
    struct hal_stream clients[HTTP_RIG_CONNECTIONS];
    for (int i = 0; i < HTTP_RIG_CONNECTIONS; i++) {
        clients[i] = http_rig_dial();
        http_rig_send(&clients[i], GET("/later"));
    }
    assert_int_equal(http_rig.kept_count, HTTP_RIG_CONNECTIONS);
    struct hal_stream late = http_rig_dial();
    http_rig_receive(&late, NULL);
    assert_memory_equal(http_rig_answer, "HTTP/1.1 503 ", 13);
    unsigned length = 0;
    assert_int_equal(
        sscanf(strstr(http_rig_answer, "Content-Length: "), "Content-Length: %u", &length), 1);
    assert_int_equal(strlen(strstr(http_rig_answer, "\r\n\r\n") + 4), length);
    assert_int_equal(http_rig.server.counters.overflowed, 1);
    hal_stream_close(&late);
    for (int i = 0; i < HTTP_RIG_CONNECTIONS; i++) {
        hal_stream_close(&clients[i]);
    }
}

static void stops_in_order(void **state) {
    (void)state;
    struct hal_stream idle = http_rig_dial();
    struct hal_stream busy = http_rig_dial();
    http_rig_send(&busy, GET("/later"));
    http_server_stop(&http_rig.server);
    http_rig_receive(&idle, NULL);
    http_respond(http_rig.kept, 200, "text/plain", bytes_of("done"), NULL);
    http_rig_receive(&busy, "done");
    assert_int_equal(http_rig.server.counters.open, 1);
    hal_stream_close(&idle);
    hal_stream_close(&busy);
}

static void a_newer_request_overtakes_a_held_one(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig.answers_overtaken = true;
    http_rig_send(&client, GET("/held"));
    http_rig_expect_nothing(&client);
    assert_int_equal(http_rig.overtaken, 0);
    http_rig_send(&client, "GET /ne");
    http_rig_receive(&client, "older");
    assert_int_equal(http_rig.overtaken, 1);
    http_rig_send(&client, "xt HTTP/1.1\r\nHost: a\r\n\r\n");
    http_rig_receive(&client, "/next");
    http_rig_send(&client, GET("/held") GET("/both"));
    http_rig_receive(&client, "/both");
    assert_non_null(strstr(http_rig_answer, "older"));
    assert_int_equal(http_rig.overtaken, 2);
    hal_stream_close(&client);
}

static void an_overtaken_request_may_be_answered_later(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/held"));
    http_rig_send(&client, GET("/a"));
    http_rig_send(&client, GET("/b"));
    http_rig_expect_nothing(&client);
    assert_int_equal(http_rig.overtaken, 1);
    assert_true(http_reclaim(http_rig.kept));
    http_respond(http_rig.kept, 200, "text/plain", bytes_of("late"), NULL);
    http_rig_receive(&client, "/b");
    assert_non_null(strstr(http_rig_answer, "late"));
    hal_stream_close(&client);
}

static void a_held_client_that_ends_is_lost_at_once(void **state) {
    (void)state;
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/held"));
    http_rig_turns(2);
    shutdown(client.handle, SHUT_WR);
    http_rig_turns(3);
    assert_int_equal(http_rig.closed, 1);
    assert_int_equal(http_rig.server.counters.open, 0);
    hal_stream_close(&client);
}

static void held_and_idle_connections_need_no_buffer(void **state) {
    (void)state;
    struct hal_stream held[HTTP_RIG_CONNECTIONS - 1];
    struct http_connection *kept[HTTP_RIG_CONNECTIONS - 1];
    for (int i = 0; i < HTTP_RIG_CONNECTIONS - 1; i++) {
        held[i] = http_rig_dial();
        http_rig_send(&held[i], GET("/held"));
        http_rig_turns(2);
        kept[i] = http_rig.kept;
    }
    assert_int_equal(http_rig.kept_count, HTTP_RIG_CONNECTIONS - 1);
    assert_int_equal(http_rig.server.buffers_lent, 0);
    assert_int_equal(http_rig.server.buffers_touched, 1);
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/one"));
    http_rig_receive(&client, "/one");
    for (int i = 0; i < HTTP_RIG_CONNECTIONS - 1; i++) {
        assert_true(http_reclaim(kept[i]));
        http_respond(kept[i], 200, "text/plain", bytes_of("word"), NULL);
        http_rig_receive(&held[i], "word");
        hal_stream_close(&held[i]);
    }
    hal_stream_close(&client);
}

static void who_finds_no_buffer_waits_for_one(void **state) {
    (void)state;
    struct hal_stream slow[HTTP_RIG_FEW_BUFFERS];
    struct hal_stream held = http_rig_dial();
    http_rig_send(&held, GET("/held"));
    http_rig_turns(2);
    for (int i = 0; i < HTTP_RIG_FEW_BUFFERS; i++) {
        slow[i] = http_rig_dial();
        http_rig_send(&slow[i], "GET /slo");
        http_rig_turns(2);
    }
    assert_false(http_reclaim(http_rig.kept));
    struct hal_stream client = http_rig_dial();
    http_rig_send(&client, GET("/starved"));
    http_rig_expect_nothing(&client);
    assert_int_equal(http_rig.server.counters.starved, 1);
    http_rig_send(&slow[0], "w HTTP/1.1\r\nHost: a\r\n\r\n");
    http_rig_receive(&slow[0], "/slow");
    http_rig_receive(&client, "/starved");
    http_rig.now_ms += 5001; /* slow heads are refused, and give back what they held */
    http_rig_receive(&slow[1], "408");
    hal_stream_close(&slow[0]);
    hal_stream_close(&slow[1]);
    hal_stream_close(&client);
    hal_stream_close(&held);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, http_rig_begin, http_rig_end)

#define POOR(name) cmocka_unit_test_setup_teardown(name, http_rig_begin_poor, http_rig_end)

int host_http_server_tests(void) {
    const struct CMUnitTest tests[] = {
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
        TEST(a_newer_request_overtakes_a_held_one),
        TEST(an_overtaken_request_may_be_answered_later),
        TEST(a_held_client_that_ends_is_lost_at_once),
        POOR(held_and_idle_connections_need_no_buffer),
        POOR(who_finds_no_buffer_waits_for_one),
    };
    return cmocka_run_group_tests_name("host/http_server", tests, NULL, NULL);
}
