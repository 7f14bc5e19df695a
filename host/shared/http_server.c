#include "host/shared/http_connection.h"

#include "hal/linux/tcp.h"

#include <string.h>
#include <unistd.h>

enum { ACCEPTS_PER_EVENT = 32, PAUSE_MS = 100 };

static uint64_t wait_ms(const struct http_server *server, unsigned queue) {
    const struct http_limits *limits = &server->config.limits;
    switch (queue) {
    case HTTP_QUEUE_IDLE:
        return limits->idle_ms;
    case HTTP_QUEUE_BODY:
        return limits->body_ms;
    case HTTP_QUEUE_SEND:
        return limits->send_ms;
    case HTTP_QUEUE_DISCARD:
        return HTTP_LINGER_MS;
    default:
        return limits->header_ms;
    }
}

static uint32_t index_of(const struct http_connection *c) {
    return (uint32_t)(c - c->server->connections);
}

static void dequeue(struct http_connection *c) {
    struct http_connection *all = c->server->connections;
    struct http_queue *queue = &c->server->queues[c->queue];
    *(c->previous == HTTP_NONE ? &queue->first : &all[c->previous].next) = c->next;
    *(c->next == HTTP_NONE ? &queue->last : &all[c->next].previous) = c->previous;
}

static void append(struct http_connection *c, enum http_queue_name name) {
    struct http_queue *queue = &c->server->queues[name];
    uint32_t index = index_of(c);
    c->queue = (uint8_t)name;
    c->deadline_ms = 0;
    c->previous = queue->last;
    c->next = HTTP_NONE;
    *(queue->last == HTTP_NONE ? &queue->first : &c->server->connections[queue->last].next) = index;
    queue->last = index;
}

void http_enqueue(struct http_connection *c, enum http_queue_name name) {
    dequeue(c);
    append(c, name);
}

static struct http_connection *first_of(struct http_server *server, enum http_queue_name name) {
    uint32_t index = server->queues[name].first;
    check(server->connections != NULL);
    return index == HTTP_NONE ? NULL : &server->connections[index];
}

void http_server_init(struct http_server *server, const struct http_config *config) {
    const struct http_limits *limits = &config->limits;
    check(limits->connections > 0 && limits->output_bytes >= 1024 && limits->send_ms > 0);
    check(limits->header_ms > 0 && limits->body_ms > 0 && limits->idle_ms > 0);
    check((uintptr_t)config->memory % 16 == 0 && config->handler.request != NULL);
    check(limits->buffers <= limits->connections);
    uint32_t buffers = limits->buffers > 0 ? limits->buffers : limits->connections;
    check(config->memory_bytes >= HTTP_SERVER_POOL_BYTES(limits->connections, limits->stream_bytes,
                                                         buffers, limits->body_bytes,
                                                         limits->output_bytes));
    check(limits->body_bytes < UINT32_MAX / 2 && limits->output_bytes < UINT32_MAX / 2);
    memset(server, 0, sizeof *server);
    server->config = *config;
    server->config.limits.buffers = buffers;
    server->input_bytes = HTTP_INPUT_BYTES(limits->body_bytes);
    server->output_bytes = HTTP_OUTPUT_BYTES(limits->output_bytes);
    server->stream_stride = ((size_t)limits->stream_bytes + 79) / 16 * 16;
    server->connections = config->memory;
    server->streams =
        (uint8_t *)config->memory + (size_t)limits->connections * HTTP_CONNECTION_BYTES;
    uintptr_t end =
        (uintptr_t)server->streams + (size_t)limits->connections * server->stream_stride;
    server->buffers =
        server->streams + limits->connections * server->stream_stride + (4096 - end % 4096) % 4096;
    for (size_t i = 0; i < array_count(server->queues); i++) {
        server->queues[i] = (struct http_queue){HTTP_NONE, HTTP_NONE};
    }
}

/* A slot's memory is first touched when no slot that was used before is free. */
static struct http_connection *take_slot(struct http_server *server) {
    struct http_connection *c = first_of(server, HTTP_QUEUE_FREE);
    if (c != NULL) {
        dequeue(c);
        return c;
    }
    if (server->touched == server->config.limits.connections) {
        return NULL;
    }
    uint32_t index = server->touched++;
    c = &server->connections[index];
    memset(c, 0, sizeof *c);
    c->server = server;
    c->stream = (struct hal_stream *)(void *)(server->streams + index * server->stream_stride);
    c->source.fd = -1;
    return c;
}

static void give_slot(struct http_connection *c) {
    c->state = HTTP_STATE_FREE;
    append(c, HTTP_QUEUE_FREE);
}

/* The buffers that were given back last are lent first: few are ever touched. */
bool http_borrow(struct http_connection *c) {
    struct http_server *server = c->server;
    if (c->input != NULL) {
        return true;
    }
    if (server->free_buffers != NULL) {
        c->input = server->free_buffers;
        memcpy(&server->free_buffers, c->input, sizeof server->free_buffers);
    } else if (server->buffers_touched < server->config.limits.buffers) {
        c->input = server->buffers +
                   (size_t)server->buffers_touched * (server->input_bytes + server->output_bytes);
        server->buffers_touched++;
    } else {
        return false;
    }
    server->buffers_lent++;
    c->output = c->input + server->input_bytes;
    return true;
}

void http_give_back(struct http_connection *c) {
    struct http_server *server = c->server;
    if (c->input == NULL) {
        return;
    }
    memcpy(c->input, &server->free_buffers, sizeof server->free_buffers);
    server->free_buffers = c->input;
    server->buffers_lent--;
    c->input = c->output = NULL;
    c->begin = c->parsed = c->used = c->sent = c->filled = 0;
    struct http_connection *waiting = first_of(server, HTTP_QUEUE_STARVED);
    if (waiting != NULL) {
        waiting->is_starved = false;
        http_enqueue(waiting, HTTP_QUEUE_READY);
    }
}

static void pause_listening(struct http_server *server, bool is_paused) {
    server->is_paused = is_paused;
    server->resume_ms = 0;
    for (uint32_t i = 0; i < server->listener_count; i++) {
        loop_change(server->config.loop, &server->listeners[i].source, is_paused ? 0 : EPOLLIN);
    }
}

void http_release(struct http_connection *c) {
    struct http_server *server = c->server;
    loop_remove(server->config.loop, &c->source);
    hal_stream_close(c->stream);
    server->counters.open--;
    dequeue(c);
    give_slot(c);
    http_give_back(c);
}

/* Closes the connection that has waited longest for a request. */
static bool evict(struct http_server *server) {
    struct http_connection *c = first_of(server, HTTP_QUEUE_IDLE);
    c = c != NULL ? c : first_of(server, HTTP_QUEUE_NEW);
    if (c != NULL) {
        server->counters.evicted++;
        http_release(c);
    }
    return c != NULL;
}

static enum status accept_plain(const struct http_acceptor *acceptor, int listener,
                                struct hal_stream *stream) {
    (void)acceptor;
    return tcp_accept(listener, stream);
}

static const struct http_acceptor plain_acceptor = {.accept = accept_plain};

/* Every connection is busy: says so, if the stream takes it at once, and hangs up. */
static enum status turn_away(struct http_listener *listener) {
    static const char text[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
        "Content-Type: application/json\r\nContent-Length: 93\r\n\r\n"
        "{\"error\":{\"code\":\"too_many_connections\",\"message\":\"Every connection of this "
        "server is busy\"}}";
    struct hal_stream stream;
    enum status status = tcp_accept(listener->fd, &stream);
    if (status != STATUS_OK) {
        return status;
    }
    size_t size = 0;
    uint8_t dropped[2048];
    if (listener->acceptor == &plain_acceptor &&
        hal_stream_write(&stream, text, sizeof text - 1, &size) == STATUS_OK &&
        hal_stream_read(&stream, dropped, sizeof dropped, &size) != STATUS_OK) {
        size = 0; /* read only so that closing does not reset the connection */
    }
    hal_stream_close(&stream);
    listener->server->counters.overflowed++;
    return STATUS_OK;
}

static enum status accept_one(struct http_listener *listener) {
    struct http_server *server = listener->server;
    struct http_connection *c = take_slot(server);
    if (c == NULL) {
        return evict(server) ? STATUS_OK : turn_away(listener);
    }
    enum status status = listener->acceptor->accept(listener->acceptor, listener->fd, c->stream);
    if (status != STATUS_OK) {
        give_slot(c);
        return status;
    }
    if (loop_add(server->config.loop, &c->source, c->stream->handle, EPOLLIN) != STATUS_OK) {
        hal_stream_close(c->stream);
        give_slot(c);
        return STATUS_FULL;
    }
    server->counters.accepted++;
    server->counters.open++;
    c->acceptor = listener->acceptor;
    c->listener = (uint32_t)(listener - server->listeners);
    append(c, HTTP_QUEUE_NEW);
    http_connection_begin(c);
    return STATUS_OK;
}

static void on_listener(struct loop_source *source, uint32_t events) {
    (void)events;
    struct http_listener *listener = (struct http_listener *)(void *)source;
    const struct http_server *server = listener->server;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        if (i > 0 && server->counters.open == server->config.limits.connections) {
            return; /* nobody may be evicted before it is certain that somebody waits */
        }
        enum status status = accept_one(listener);
        if (status == STATUS_AGAIN) {
            return;
        }
        if (status == STATUS_FULL && !evict(listener->server)) {
            pause_listening(listener->server, true);
            return;
        }
    }
}

enum status http_server_listen(struct http_server *server, int listener,
                               const struct http_acceptor *acceptor) {
    if (server->listener_count == HTTP_LISTENERS) {
        return STATUS_FULL;
    }
    struct http_listener *new = &server->listeners[server->listener_count];
    *new = (struct http_listener){
        .source = {.ready = on_listener, .fd = -1},
        .server = server,
        .acceptor = acceptor != NULL ? acceptor : &plain_acceptor,
        .fd = listener,
    };
    enum status status = loop_add(server->config.loop, &new->source, listener, EPOLLIN);
    server->listener_count += status == STATUS_OK;
    return status;
}

/* Members that came since the last step stand at the end, with deadline 0. */
static void arm(struct http_server *server, enum http_queue_name name, uint64_t now_ms) {
    uint32_t index = server->queues[name].last;
    check(server->connections != NULL);
    while (index != HTTP_NONE && server->connections[index].deadline_ms == 0) {
        server->connections[index].deadline_ms = now_ms + wait_ms(server, name);
        index = server->connections[index].previous;
    }
}

static void expire(struct http_connection *c) {
    struct http_counters *counters = &c->server->counters;
    if (c->queue == HTTP_QUEUE_HEAD || c->queue == HTTP_QUEUE_BODY) {
        counters->timed_out++;
        http_connection_refuse(
            c, (struct http_refusal){408, "request_timeout", "The request came too slowly"});
        http_connection_pump(c);
        return;
    }
    counters->timed_out += c->queue == HTTP_QUEUE_SEND;
    http_connection_lose(c);
}

void http_server_step(struct http_server *server, uint64_t now_ms) {
    struct http_connection *ready = first_of(server, HTTP_QUEUE_READY);
    for (uint32_t left = server->touched; ready != NULL && left > 0; left--) {
        http_enqueue(ready, HTTP_QUEUE_QUIET);
        http_connection_pump(ready);
        ready = first_of(server, HTTP_QUEUE_READY);
    }
    for (unsigned name = 0; name < HTTP_QUEUE_TIMED; name++) {
        arm(server, name, now_ms);
        struct http_connection *c = first_of(server, name);
        while (c != NULL && c->deadline_ms != 0 && c->deadline_ms <= now_ms) {
            expire(c);
            c = first_of(server, name);
        }
    }
    for (unsigned name = 0; name < HTTP_QUEUE_TIMED; name++) {
        arm(server, name, now_ms);
    }
    if (server->is_paused && server->resume_ms == 0) {
        server->resume_ms = now_ms + PAUSE_MS;
    } else if (server->is_paused && server->resume_ms <= now_ms) {
        pause_listening(server, false);
    }
}

uint64_t http_server_deadline(const struct http_server *server) {
    if (server->queues[HTTP_QUEUE_READY].first != HTTP_NONE) {
        return 0;
    }
    uint64_t deadline_ms = server->is_paused ? server->resume_ms : UINT64_MAX;
    for (unsigned name = 0; name < HTTP_QUEUE_TIMED; name++) {
        uint32_t first = server->queues[name].first;
        if (first != HTTP_NONE && server->connections[first].deadline_ms < deadline_ms) {
            deadline_ms = server->connections[first].deadline_ms;
        }
    }
    return deadline_ms;
}

void http_server_stop(struct http_server *server) {
    server->is_stopping = true;
    server->is_paused = false;
    for (uint32_t i = 0; i < server->listener_count; i++) {
        loop_remove(server->config.loop, &server->listeners[i].source);
    }
    server->listener_count = 0;
    while (evict(server)) {
    }
}

void http_server_drop(struct http_server *server,
                      bool (*is_unwanted)(void *owner, const struct hal_stream *stream),
                      void *owner) {
    for (uint32_t i = 0; i < server->touched; i++) {
        struct http_connection *c = &server->connections[i];
        if (c->state != HTTP_STATE_FREE && is_unwanted(owner, c->stream)) {
            http_connection_lose(c);
        }
    }
}

void http_server_close(struct http_server *server) {
    http_server_stop(server);
    for (uint32_t i = 0; i < server->touched; i++) {
        if (server->connections[i].state != HTTP_STATE_FREE) {
            http_connection_lose(&server->connections[i]);
        }
    }
}
