/* http_client.h - HTTP/1.1 requests over one stream (plain or TLS), one after the other, or with
 * one more on its way while the answer to the one before is still awaited (pipelining, RFC 9112
 * section 9.3.2).
 *
 * Never blocks and knows no loop: the owner calls http_client_step() whenever the stream may be
 * ready (http_client_wants()) or the deadline has come, and closes the stream after a failure. The
 * answer's body goes into the caller's buffer as a whole, or to a function as it comes. */
#ifndef HOST_SHARED_HTTP_CLIENT_H
#define HOST_SHARED_HTTP_CLIENT_H

#include "hal/net.h"

#include <llhttp.h>

enum {
    HTTP_CLIENT_SEND_BYTES = 8192, /* the request's head must fit; a small body goes with it */
    HTTP_CLIENT_READ_BYTES = 16384,
    HTTP_CLIENT_HEAD_BYTES = 16384 /* of the answer's head */
};

struct http_client_request {
    const char *method;        /* "GET" */
    const char *target;        /* path and query, percent-encoded */
    const char *host;          /* for the Host header */
    const char *token;         /* NULL: no Authorization */
    const char *content_type;  /* NULL when there is no body */
    const char *extra_headers; /* NULL, or whole lines each ended by CRLF */
    struct bytes body;         /* must stay in place until the answer */
};

/* Where the body goes. With neither function it is gathered in `buffer` (larger: TOO_LARGE).
 * `line` gets each line without its end as soon as it is there, as server-sent events need; a line
 * must fit in `buffer`. `chunk` gets the bytes as they come and needs no buffer. Both are called
 * from http_client_step(); false ends the request with CLOSED. */
struct http_client_sink {
    uint8_t *buffer;
    size_t capacity;
    bool (*line)(void *owner, struct bytes line);
    bool (*chunk)(void *owner, struct bytes chunk);
    void *owner;
};

struct http_client {
    struct hal_stream *stream;
    llhttp_t parser;
    struct http_client_sink sink;
    uint64_t deadline_ms;
    struct bytes body;      /* of the request: what is still to be sent after `send` */
    size_t send_size, sent; /* of `send` */
    size_t head_bytes;      /* of the answer, read so far */
    size_t used;            /* of the sink's buffer */
    enum status failure;    /* of a callback */
    unsigned wants;
    bool is_busy, is_head_method, has_head, is_whole;
    bool has_next; /* another request was begun before this one was answered */
    bool is_next_head;
    struct http_client_sink next_sink;
    uint64_t next_deadline_ms;
    size_t input_at, input_end; /* of `input`: came behind the answer before */
    uint8_t name_size, value_of;
    char name[32];
    uint8_t send[HTTP_CLIENT_SEND_BYTES];
    uint8_t input[HTTP_CLIENT_READ_BYTES];

    /* The answer, valid from http_client_step()'s OK (status and headers: from has_head) on. */
    unsigned status;
    struct bytes answer; /* in the sink's buffer, when it was gathered there */
    char content_type[64];
    char retry_after[32];
    bool is_reusable; /* another request may follow on this stream */
};

/* The stream must be connected, or connecting; it stays the caller's. */
void http_client_init(struct http_client *client, struct hal_stream *stream);

/* Begins a request. TOO_LARGE: the head does not fit. MALFORMED: a blank or control character where
 * none may be. Nothing is sent yet.
 * One may be begun while another waits for its answer, unless http_client_is_sending(). Its own
 * answer comes after that one's: by the http_client_step() that follows the other's OK. */
must_check enum status http_client_begin(struct http_client *client,
                                         const struct http_client_request *request,
                                         const struct http_client_sink *sink, uint64_t deadline_ms);

/* OK: the answer is whole. AGAIN: not yet. TIMEOUT: the deadline is over. CLOSED: the stream ended
 * too early, or a sink function said stop. TOO_LARGE: head, body or line. MALFORMED: not HTTP.
 * Else: the stream's own failure. */
must_check enum status http_client_step(struct http_client *client, uint64_t now_ms);

/* A request is not sent as a whole yet, or a second one is on its way. */
bool http_client_is_sending(const struct http_client *client);
/* The requests that have been begun and not answered. */
unsigned http_client_outstanding(const struct http_client *client);

/* HAL_STREAM_* to wait for before the next step. */
unsigned http_client_wants(const struct http_client *client);

/* For a stream of events: a later deadline. */
void http_client_extend(struct http_client *client, uint64_t deadline_ms);

#endif
