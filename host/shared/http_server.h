/* http_server.h - a bounded HTTP/1.1 server for the local API: keep-alive, deferred answers, SSE.
 *
 * One server owns a fixed table of connections and a pool of buffers (one for input and one for
 * output), all in memory the caller gives (zeroed and static: pages that were never used cost
 * nothing). A connection borrows buffers while it reads a request, is answered or streams; one that
 * finds none waits until another gives its own back. It parses
 * with llhttp, refuses what is malformed or too large before the handler sees it (RFC 9112), and
 * drops slow clients by deadlines. A full table closes the connection that has been idle longest
 * or answers 503. Requests on one connection are handled one after the other, also pipelined ones.
 *
 * The server's own refusals have the body {"error":{"code":"...","message":"..."}}; after one it
 * closes the connection. HEAD is given to the handler as GET and its answer's body is left out. */
#ifndef HOST_SHARED_HTTP_SERVER_H
#define HOST_SHARED_HTTP_SERVER_H

#include "hal/net.h"
#include "host/shared/loop.h"

enum http_method { HTTP_METHOD_GET, HTTP_METHOD_POST, HTTP_METHOD_PUT, HTTP_METHOD_OTHER };

/* One whole request. All views stay valid until the answer has been given. */
struct http_request {
    enum http_method method;    /* OTHER: one the handler may refuse (405) */
    struct bytes path;          /* without the query, percent-decoded, starts with '/'; no NUL */
    struct bytes query;         /* raw, without '?'; see http_target_value() */
    struct bytes host;          /* empty only in HTTP/1.0 */
    struct bytes token;         /* of `Authorization: Bearer`, empty when absent */
    struct bytes last_event_id; /* empty when absent */
    struct bytes content_type;
    struct bytes if_none_match, accept_encoding; /* of the first such line */
    struct bytes body;
    uint32_t listener;      /* which http_server_listen() call it came through, from 0 */
    bool has_tls_peer;      /* the client's certificate was verified */
    struct bytes peer_name; /* its common name */
};

struct http_connection; /* opaque to handlers; valid until the answer or `closed` */
struct http_server;

struct http_handler {
    /* Called with a whole request. Must answer with http_respond(), begin a stream with
     * http_stream_begin(), or keep the connection and answer later (deferred). */
    void (*request)(void *owner, struct http_connection *connection,
                    const struct http_request *request);
    /* A deferred connection or a stream ended before its answer was complete; forget it. May be
     * NULL when the handler neither defers nor streams. */
    void (*closed)(void *owner, struct http_connection *connection);
    /* The first bytes of another request have come while this one waits for its answer. May be
     * NULL; it may answer. Told once a request, and only after http_release_request(). */
    void (*overtaken)(void *owner, struct http_connection *connection);
    /* The stream's output buffer has room again (called after http_stream_write() said AGAIN).
     * May be NULL. */
    void (*drained)(void *owner, struct http_connection *connection);
    void *owner;
};

struct http_limits {
    uint32_t connections;  /* 1.. */
    uint32_t stream_bytes; /* the largest stream object of the acceptors; 0: plain streams only */
    uint32_t body_bytes;   /* larger: 413 */
    uint32_t output_bytes; /* one response, head included, must fit; 1024.. */
    uint32_t buffers;      /* how many connections may be at work at once; 0: all */
    uint32_t header_ms;    /* from the first byte of a request to the end of its head (or 408);
                              also from a connection's start to its first byte */
    uint32_t body_ms;      /* from the head to the end of the body (or 408) */
    uint32_t idle_ms;      /* a keep-alive connection without a request */
    uint32_t send_ms;      /* until the client has taken what waits for it */
};

enum {
    HTTP_HEAD_BYTES = 8192, /* request line and headers; more: 431 */
    HTTP_LISTENERS = 8,
    HTTP_CONNECTION_BYTES = 512,
    HTTP_BATCH_BYTES = 4096, /* answers to pipelined requests that one write may gather */
    HTTP_LINGER_MS = 1000    /* after a refusal: how long the rest of the request is discarded */
};

#define HTTP_PAGES(bytes) (((size_t)(bytes) + 4095) / 4096 * 4096)
#define HTTP_INPUT_BYTES(body_bytes) HTTP_PAGES(HTTP_HEAD_BYTES + (size_t)(body_bytes))
#define HTTP_OUTPUT_BYTES(output_bytes) HTTP_PAGES(HTTP_BATCH_BYTES + 64 + (size_t)(output_bytes))

/* How much memory a server needs, for a static array (zeroed, aligned to 16 bytes; a page is
 * better). The arguments are the members of http_limits. */
#define HTTP_SERVER_POOL_BYTES(connections, stream_bytes, buffers, body_bytes, output_bytes)       \
    ((size_t)(connections) * (HTTP_CONNECTION_BYTES + ((size_t)(stream_bytes) + 79) / 16 * 16) +   \
     (size_t)(buffers) * (HTTP_INPUT_BYTES(body_bytes) + HTTP_OUTPUT_BYTES(output_bytes)) + 4096)
#define HTTP_SERVER_BYTES(connections, stream_bytes, body_bytes, output_bytes)                     \
    HTTP_SERVER_POOL_BYTES(connections, stream_bytes, connections, body_bytes, output_bytes)

/* Turns a waiting connection of a listener into a stream. A TLS implementation embeds this struct
 * in its own and puts its stream object into the slot's memory. */
struct http_acceptor {
    /* `stream` has room for limits.stream_bytes and stays in place until it is closed. OK, AGAIN
     * (none waits), FULL (no descriptor or memory is left; tried again later), else: this one
     * failed. A handshake happens inside read and write. */
    enum status (*accept)(const struct http_acceptor *acceptor, int listener,
                          struct hal_stream *stream);
    /* The verified client's common name, valid while the stream is open; false: none. May be
     * NULL. */
    bool (*peer)(const struct http_acceptor *acceptor, const struct hal_stream *stream,
                 struct bytes *name);
};

struct http_config {
    struct loop *loop;
    struct http_limits limits;
    struct http_handler handler;
    void *memory; /* HTTP_SERVER_BYTES(...) or HTTP_SERVER_POOL_BYTES(...), zeroed */
    size_t memory_bytes;
};

struct http_counters {
    uint64_t accepted;
    uint64_t requests;   /* given to the handler */
    uint64_t refused;    /* malformed, too large, too slow: answered by the server */
    uint64_t timed_out;  /* of the refused: 408; and those that did not take their answer */
    uint64_t evicted;    /* idle connections closed for new ones */
    uint64_t overflowed; /* turned away: every connection was busy */
    uint64_t starved;    /* had to wait for a buffer */
    uint32_t open;       /* now */
};

struct http_listener {
    struct loop_source source;
    struct http_server *server;
    const struct http_acceptor *acceptor;
    int fd;
};

struct http_queue {
    uint32_t first, last;
};

enum { HTTP_QUEUES = 10 };

struct http_server {
    struct http_config config;
    struct http_counters counters;
    struct http_connection *connections;
    uint8_t *streams;
    uint8_t *buffers;
    size_t stream_stride, input_bytes, output_bytes;
    uint32_t touched;         /* connections that have been used at least once */
    uint32_t buffers_touched; /* as those */
    uint32_t buffers_lent;
    uint8_t *free_buffers; /* each begins with the address of the next */
    struct http_queue queues[HTTP_QUEUES];
    struct http_listener listeners[HTTP_LISTENERS];
    uint32_t listener_count;
    bool is_paused;     /* no descriptor was left: listeners wait for */
    uint64_t resume_ms; /* 0: the next http_server_step() sets it */
    bool is_stopping;
};

/* The memory must be large enough and the limits in range (checked). */
void http_server_init(struct http_server *server, const struct http_config *config);

/* Serves one more listening, nonblocking descriptor, which stays the caller's (hal/linux/tcp.h)
 * and must stay open until http_server_stop().
 * A NULL acceptor takes plain streams. FULL: no room; IO: the loop refused it. */
must_check enum status http_server_listen(struct http_server *server, int listener,
                                          const struct http_acceptor *acceptor);

/* To be called in every turn of the loop, before http_server_deadline(): enforces deadlines and
 * goes on with connections whose deferred answer was given. */
void http_server_step(struct http_server *server, uint64_t now_ms);

/* When http_server_step() is due: 0 at once, UINT64_MAX never. */
uint64_t http_server_deadline(const struct http_server *server);

/* Stops listening and closes idle connections; the others end with their present answer. Neither
 * this nor http_server_close() may be called from inside a handler's function. */
void http_server_stop(struct http_server *server);
/* Closes at once the connections whose stream is unwanted; `closed` is called as usual. */
void http_server_drop(struct http_server *server,
                      bool (*is_unwanted)(void *owner, const struct hal_stream *stream),
                      void *owner);
/* Closes everything at once; `closed` is called for unfinished answers. */
void http_server_close(struct http_server *server);

/* Answers the request of this connection. `content_type` may be NULL for no body; `extra_headers`
 * is NULL or whole lines each ended by CRLF, at most 512 bytes. Copies all it is given. An answer
 * that does not fit in output_bytes becomes a 500 `response_too_large`. */
void http_respond(struct http_connection *connection, unsigned status, const char *content_type,
                  struct bytes body, const char *extra_headers);

/* The same for an error: {"error":{"code":code,"message":message}}. The texts are escaped. */
void http_respond_error(struct http_connection *connection, unsigned status, const char *code,
                        const char *message);

/* Where a handler may build its body in place, to save a copy: the connection's output buffer.
 * Follow with http_respond_built(), with nothing in between. */
struct http_body {
    uint8_t *data;
    size_t capacity;
};
struct http_body http_body_begin(struct http_connection *connection);
void http_respond_built(struct http_connection *connection, unsigned status,
                        const char *content_type, size_t size, const char *extra_headers);

/* Server-sent events (text/event-stream), or any answer of unknown length: begins the stream,
 * writes raw bytes (OK, or AGAIN when they do not fit as a whole: nothing was taken), ends it in
 * order. After the end the connection is forgotten. */
void http_stream_begin(struct http_connection *connection);
void http_stream_begin_as(struct http_connection *connection, const char *content_type);
must_check enum status http_stream_write(struct http_connection *connection, struct bytes text);
size_t http_stream_room(const struct http_connection *connection); /* what one write may hold */
void http_stream_end(struct http_connection *connection);

/* The handler has taken what it needs of a request that it answers later: its views are gone, and
 * the connection waits without buffers. It is `closed` as soon as the client ends it. Before its
 * answer, http_reclaim() borrows buffers again; false: none is free, to be tried again later. */
void http_release_request(struct http_connection *connection);
must_check bool http_reclaim(struct http_connection *connection);

/* A number the owner may keep with a connection (a deferred request's group, a stream's cursor);
 * 0 at the start of each request. */
void http_set_tag(struct http_connection *connection, uint64_t tag);
uint64_t http_tag(const struct http_connection *connection);

#endif
