/* http_connection.h - one connection of http_server.h; private to the http_*.c files.
 *
 * A connection is in one state and in one queue. The state says who acts next; the queue says
 * which deadline runs. Every queue is in order of its deadlines, because all its members wait for
 * the same number of milliseconds. */
#ifndef HOST_SHARED_HTTP_CONNECTION_H
#define HOST_SHARED_HTTP_CONNECTION_H

#include "host/shared/http_parse.h"

enum http_state {
    HTTP_STATE_FREE,
    HTTP_STATE_REQUEST, /* reading a request, or waiting for one */
    HTTP_STATE_HANDLER, /* the handler owes an answer */
    HTTP_STATE_STREAM,  /* the handler writes a stream */
    HTTP_STATE_CLOSING, /* the last answer is being sent */
    HTTP_STATE_DISCARD  /* a refusal was sent: the rest of the request is read and dropped */
};

enum http_queue_name {
    HTTP_QUEUE_NEW,  /* no byte came yet */
    HTTP_QUEUE_IDLE, /* between requests */
    HTTP_QUEUE_HEAD,
    HTTP_QUEUE_BODY,
    HTTP_QUEUE_SEND, /* output waits for the client */
    HTTP_QUEUE_DISCARD,
    HTTP_QUEUE_TIMED,                    /* the queues before have deadlines */
    HTTP_QUEUE_QUIET = HTTP_QUEUE_TIMED, /* waits for the handler */
    HTTP_QUEUE_STARVED,                  /* waits for a buffer */
    HTTP_QUEUE_READY,                    /* http_server_step() goes on with it */
    HTTP_QUEUE_FREE
};
_Static_assert(HTTP_QUEUE_FREE + 1 == HTTP_QUEUES, "one struct http_queue each");

#define HTTP_NONE UINT32_MAX
enum { HTTP_REPLY_HEAD_BYTES = 768 };

struct http_connection {
    struct loop_source source; /* first: loop.h gives it back */
    struct http_server *server;
    struct hal_stream *stream;
    const struct http_acceptor *acceptor;
    uint8_t *input;  /* NULL: nothing is borrowed. [begin, parsed) belongs to the present request,
                        [parsed, used) waits */
    uint8_t *output; /* [sent, filled) waits for the client */
    uint64_t deadline_ms; /* 0: the next http_server_step() sets it */
    uint64_t tag;
    uint32_t listener;
    uint32_t begin, parsed, used;
    uint32_t sent, filled;
    uint32_t offered; /* bytes of a write that said AGAIN: TLS wants the same ones again */
    uint32_t next, previous;
    uint8_t state, queue;
    uint8_t read_wants, write_wants; /* HAL_STREAM_* after an AGAIN */
    bool is_fresh;                   /* its deadline must begin anew */
    bool is_in_callback;             /* the pump is under us and will flush */
    bool is_broken, has_ended;       /* the stream failed; the client sends no more */
    bool has_shut;                   /* we send no more */
    bool closes;                     /* after the present answer */
    bool is_chunked, is_drain_wanted, has_spoken;
    bool is_starved;  /* it could not receive for want of a buffer */
    bool is_released; /* the handler owes an answer, but looks at the request no more */
    bool was_overtaken;
    struct http_parse parse;
};
_Static_assert(sizeof(struct http_connection) <= HTTP_CONNECTION_BYTES, "HTTP_SERVER_BYTES");

/* http_server.c */
void http_enqueue(struct http_connection *connection, enum http_queue_name name);
void http_release(struct http_connection *connection); /* closes its stream, frees its slot */
/* Borrows input and output. False: none is free. */
must_check bool http_borrow(struct http_connection *connection);
void http_give_back(struct http_connection *connection); /* harmless when nothing is borrowed */

/* http_connection.c */
void http_connection_begin(struct http_connection *connection);
/* Does all that can be done now: sends, receives, parses, calls the handler. */
void http_connection_pump(struct http_connection *connection);
/* Sends what it can from outside the pump; what remains to be done is left to the next step. */
void http_connection_push(struct http_connection *connection);
/* Ends a connection whose stream is of no more use, telling the handler if it waits. */
void http_connection_lose(struct http_connection *connection);
void http_connection_refuse(struct http_connection *connection, struct http_refusal refusal);
/* The present answer is in the output buffer as a whole. */
void http_connection_answered(struct http_connection *connection);

static inline uint32_t http_pending(const struct http_connection *connection) {
    return connection->filled - connection->sent;
}

#endif
