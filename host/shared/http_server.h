/* http_server.h - a bounded HTTP/1.1 server for the local API: keep-alive, deferred answers, SSE.
 *
 * One server owns a fixed table of connections, each with a fixed input and output buffer, all in
 * memory the caller gives. It parses with llhttp, refuses what is malformed or too large before
 * the handler sees it, and drops slow clients by deadlines. A full table closes the oldest idle
 * connection or answers 503. Requests on one connection are handled one after the other. */
#ifndef HOST_SHARED_HTTP_SERVER_H
#define HOST_SHARED_HTTP_SERVER_H

#include "hal/net.h"
#include "host/shared/loop.h"

enum http_method { HTTP_METHOD_GET, HTTP_METHOD_POST, HTTP_METHOD_PUT, HTTP_METHOD_OTHER };

/* One whole request. All views stay valid until the answer has been given. */
struct http_request {
    enum http_method method;
    struct bytes path;          /* without the query, percent-decoded, starts with '/' */
    struct bytes query;         /* raw, without '?' */
    struct bytes token;         /* of `Authorization: Bearer`, empty when absent */
    struct bytes last_event_id; /* empty when absent */
    struct bytes content_type;
    struct bytes body;
    bool has_tls_peer;          /* the client's certificate was verified */
    struct bytes peer_name;     /* its common name */
};

struct http_connection; /* opaque to handlers; valid until the answer or `closed` */
struct http_server;

struct http_handler {
    /* Called with a whole request. Must answer with http_respond(), begin a stream with
     * http_stream_begin(), or keep the connection and answer later (deferred). */
    void (*request)(void *owner, struct http_connection *connection,
                    const struct http_request *request);
    /* A deferred connection or a stream ended before its answer was complete; forget it. */
    void (*closed)(void *owner, struct http_connection *connection);
    /* The stream's output buffer has room again (called after http_stream_write() said AGAIN). */
    void (*drained)(void *owner, struct http_connection *connection);
    void *owner;
};

struct http_limits {
    uint32_t connections;
    uint32_t body_bytes;        /* larger: 413 */
    uint32_t output_bytes;      /* one response, head included, must fit */
    uint32_t header_ms;         /* from the first byte of a request to the end of its head */
    uint32_t body_ms;           /* from the head to the end of the body */
    uint32_t idle_ms;           /* a keep-alive connection without a request */
};

/* Answers the request of this connection. `content_type` may be NULL for no body; `extra_headers`
 * is NULL or whole lines each ended by CRLF. Copies all it is given. */
void http_respond(struct http_connection *connection, unsigned status, const char *content_type,
                  struct bytes body, const char *extra_headers);

/* Where a handler may build its body in place, to save a copy: the connection's output buffer.
 * Follow with http_respond_built(). */
struct http_body {
    uint8_t *data;
    size_t capacity;
};
struct http_body http_body_begin(struct http_connection *connection);
void http_respond_built(struct http_connection *connection, unsigned status,
                        const char *content_type, size_t size, const char *extra_headers);

/* Server-sent events: begins the stream, writes raw bytes (OK, or AGAIN when they do not fit as a
 * whole: nothing was taken), ends it in order. */
void http_stream_begin(struct http_connection *connection);
must_check enum status http_stream_write(struct http_connection *connection, struct bytes text);
void http_stream_end(struct http_connection *connection);

/* A number the owner may keep with a connection (a deferred request's group, a stream's cursor);
 * 0 at the start of each request. */
void http_set_tag(struct http_connection *connection, uint64_t tag);
uint64_t http_tag(const struct http_connection *connection);

#endif
