/* http_rig.h - an HTTP server over real loopback sockets, in this process, under an injected clock.
 *
 * Its handler notes what it was given and answers by the path: /later (deferred), /held (deferred,
 * and the request released), /stream, /big, /huge, /nothing; anything else gets the path itself. */
#ifndef TESTS_HOST_HTTP_RIG_H
#define TESTS_HOST_HTTP_RIG_H

#include "host/shared/http_server.h"

enum {
    HTTP_RIG_CONNECTIONS = 4,
    HTTP_RIG_FEW_BUFFERS = 2,
    HTTP_RIG_STREAM_BYTES = 1024,
    HTTP_RIG_BODY_BYTES = 3000,
    HTTP_RIG_OUTPUT_BYTES = 64 * 1024
};

struct http_rig {
    struct loop loop;
    struct http_server server;
    int listener;
    uint16_t port;
    uint64_t now_ms;
    struct http_connection *kept; /* deferred, or a stream */
    unsigned kept_count, closed, overtaken, drained;
    bool answers_overtaken; /* a held request with "older" */
    char seen[8192];        /* what the handler was given */
};

extern struct http_rig http_rig;
extern char http_rig_answer[512 * 1024]; /* what the last http_rig_receive() got */

/* For cmocka_unit_test_setup_teardown(). */
int http_rig_begin(void **state);
int http_rig_begin_poor(void **state); /* with HTTP_RIG_FEW_BUFFERS */
int http_rig_end(void **state);

void http_rig_turn(void); /* of the loop */
void http_rig_turns(int count);
struct hal_stream http_rig_dial(void);
void http_rig_send_bytes(struct hal_stream *client, const char *text, size_t size);
void http_rig_send(struct hal_stream *client, const char *text);
/* Reads until `last` has come; NULL: until the end of the stream. */
void http_rig_receive(struct hal_stream *client, const char *last);
void http_rig_expect_nothing(struct hal_stream *client);
/* Sends a request that must be refused with `status` and a closed connection. */
void http_rig_expect_refusal(const char *request, const char *status);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

#endif
