#include "host/shared/http_connection.h"

#include <string.h>
#include <sys/socket.h>

static void next_request(struct http_connection *c) {
    c->state = HTTP_STATE_REQUEST;
    c->is_released = c->was_overtaken = false;
    c->begin = c->parsed;
    c->is_fresh = true;
    http_parse_begin(&c->parse, c->server->config.limits.body_bytes);
}

static bool can_parse(const struct http_connection *c) {
    return c->state == HTTP_STATE_REQUEST && c->parsed < c->used &&
           http_pending(c) <= HTTP_BATCH_BYTES;
}

/* What waits before c->begin is of no more use to anybody. */
static bool may_move(const struct http_connection *c) {
    return c->begin > 0 && (c->state == HTTP_STATE_REQUEST || c->is_released);
}

static bool can_receive(const struct http_connection *c) {
    if (c->has_ended || c->state == HTTP_STATE_CLOSING) {
        return false;
    }
    return c->state == HTTP_STATE_DISCARD || c->used < c->server->input_bytes || may_move(c);
}

/* Views of a request in the handler's hands must not move; an unfinished request may. */
static void make_room(struct http_connection *c) {
    if (c->state == HTTP_STATE_DISCARD) {
        c->begin = c->parsed = c->used = 0;
    } else if (may_move(c)) {
        memmove(c->input, c->input + c->begin, c->used - c->begin);
        c->parsed -= c->begin;
        c->used -= c->begin;
        c->begin = 0;
    }
}

/* True when more bytes are known to wait inside the stream. */
static bool receive(struct http_connection *c) {
    size_t size = 0;
    if (!http_borrow(c)) {
        c->server->counters.starved += !c->is_starved;
        c->is_starved = true;
        return false;
    }
    make_room(c);
    enum status status =
        hal_stream_read(c->stream, c->input + c->used, c->server->input_bytes - c->used, &size);
    c->read_wants = 0;
    if (status == STATUS_OK) {
        c->used += (uint32_t)size;
        c->has_spoken = true;
        return c->stream->has_buffered;
    }
    if (status == STATUS_AGAIN) {
        c->read_wants = (uint8_t)c->stream->wants;
    } else if (status == STATUS_CLOSED) {
        c->has_ended = true;
    } else {
        c->is_broken = true;
    }
    return false;
}

static void flush(struct http_connection *c) {
    while (http_pending(c) > 0 && !c->is_broken) {
        size_t size = c->offered > 0 ? c->offered : http_pending(c);
        size_t taken = 0;
        enum status status = hal_stream_write(c->stream, c->output + c->sent, size, &taken);
        c->write_wants = 0;
        if (status == STATUS_AGAIN) {
            c->offered = (uint32_t)size;
            c->write_wants = (uint8_t)c->stream->wants;
            return;
        }
        c->offered = 0;
        c->sent += (uint32_t)taken;
        c->is_broken = status != STATUS_OK;
    }
    c->sent = c->filled = 0;
    if (c->state == HTTP_STATE_DISCARD && !c->has_shut) {
        shutdown(c->stream->handle, SHUT_WR);
        c->has_shut = true;
    }
}

static void handle(struct http_connection *c) {
    struct http_request request;
    if (http_parse_request(&c->parse, c->input + c->begin, &request) != STATUS_OK) {
        http_connection_refuse(c, c->parse.refusal);
        return;
    }
    request.listener = c->listener;
    if (c->acceptor->peer != NULL) {
        request.has_tls_peer = c->acceptor->peer(c->acceptor, c->stream, &request.peer_name);
    }
    const struct http_handler *handler = &c->server->config.handler;
    c->state = HTTP_STATE_HANDLER;
    c->closes = !c->parse.keeps_alive || c->server->is_stopping;
    c->tag = 0;
    c->server->counters.requests++;
    c->is_in_callback = true;
    handler->request(handler->owner, c, &request);
    c->is_in_callback = false;
}

static void advance(struct http_connection *c) {
    uint32_t end = c->used - c->begin;
    enum status status =
        http_parse_feed(&c->parse, c->input + c->begin, c->parsed - c->begin, &end);
    if (status == STATUS_MALFORMED) {
        c->parsed = c->used;
        http_connection_refuse(c, c->parse.refusal);
        return;
    }
    c->parsed = c->begin + end;
    if (status == STATUS_OK) {
        handle(c);
        return;
    }
    c->used = c->parsed; /* framing that was parsed is gone */
    if (c->parse.wants_continue) {
        static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
        check(c->filled + sizeof text - 1 <= c->server->output_bytes);
        memcpy(c->output + c->filled, text, sizeof text - 1);
        c->filled += sizeof text - 1;
        c->parse.wants_continue = false;
    }
}

static void tell_drained(struct http_connection *c) {
    const struct http_handler *handler = &c->server->config.handler;
    c->is_drain_wanted = false;
    if (handler->drained != NULL) {
        c->is_in_callback = true;
        handler->drained(handler->owner, c);
        c->is_in_callback = false;
    }
}

static void tell_overtaken(struct http_connection *c) {
    const struct http_handler *handler = &c->server->config.handler;
    c->was_overtaken = true;
    if (handler->overtaken != NULL) {
        c->is_in_callback = true;
        handler->overtaken(handler->owner, c);
        c->is_in_callback = false;
    }
}

static bool is_overtaken(const struct http_connection *c) {
    return c->is_released && !c->was_overtaken && c->used > c->parsed;
}

static bool is_over(const struct http_connection *c) {
    bool is_silent = (c->state == HTTP_STATE_REQUEST && !can_parse(c)) ||
                     (c->is_released && c->used == c->parsed);
    if (c->is_broken || (c->has_ended && c->state == HTTP_STATE_STREAM)) {
        return true;
    }
    if (http_pending(c) > 0) {
        return false;
    }
    return c->state == HTTP_STATE_CLOSING ||
           (c->has_ended && (is_silent || c->state == HTTP_STATE_DISCARD));
}

static enum http_queue_name queue_of(const struct http_connection *c) {
    if (http_pending(c) > 0) {
        return HTTP_QUEUE_SEND;
    }
    if (c->is_starved) {
        return HTTP_QUEUE_STARVED;
    }
    if (c->state == HTTP_STATE_DISCARD) {
        return HTTP_QUEUE_DISCARD;
    }
    if (c->state != HTTP_STATE_REQUEST) {
        return HTTP_QUEUE_QUIET;
    }
    if (c->used > c->begin) {
        return c->parse.has_head ? HTTP_QUEUE_BODY : HTTP_QUEUE_HEAD;
    }
    return c->has_spoken ? HTTP_QUEUE_IDLE : HTTP_QUEUE_NEW;
}

/* Nothing of a request or of an answer is in the buffers. */
static bool needs_no_buffer(const struct http_connection *c) {
    bool is_waiting = c->state == HTTP_STATE_REQUEST || c->is_released;
    return is_waiting && c->begin == c->used && http_pending(c) == 0;
}

/* Waits for what is missing. No system call when the same is missing as before. */
static void settle(struct http_connection *c) {
    unsigned wants = http_pending(c) > 0 ? c->write_wants : 0;
    if (needs_no_buffer(c)) {
        http_give_back(c);
    }
    if (can_receive(c) && !c->is_starved) {
        wants |= c->read_wants != 0 ? c->read_wants : HAL_STREAM_READABLE;
    }
    loop_change(c->server->config.loop, &c->source,
                ((wants & HAL_STREAM_READABLE) != 0 ? (uint32_t)EPOLLIN : 0) |
                    ((wants & HAL_STREAM_WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0));
    enum http_queue_name queue = queue_of(c);
    if (queue != c->queue || c->is_fresh) {
        http_enqueue(c, queue);
    }
    c->is_fresh = false;
}

void http_connection_pump(struct http_connection *c) {
    bool may_receive = true;
    bool may_tell = true;
    while (!c->is_broken) {
        if (can_parse(c)) {
            advance(c);
            continue;
        }
        flush(c);
        if (may_tell && c->is_drain_wanted && http_pending(c) == 0 && !c->is_broken) {
            may_tell = false;
            tell_drained(c);
            continue;
        }
        if (can_parse(c)) {
            continue;
        }
        if (is_overtaken(c)) {
            tell_overtaken(c);
            continue;
        }
        if (!may_receive || !can_receive(c) || c->is_broken) {
            break;
        }
        may_receive = receive(c);
    }
    if (is_over(c)) {
        http_connection_lose(c);
        return;
    }
    settle(c);
    if (c->is_drain_wanted && http_pending(c) == 0) {
        http_enqueue(c, HTTP_QUEUE_READY);
    }
}

void http_connection_push(struct http_connection *c) {
    if (c->is_in_callback) {
        return;
    }
    flush(c);
    settle(c);
    if (is_over(c) || can_parse(c) || c->stream->has_buffered) {
        http_enqueue(c, HTTP_QUEUE_READY);
    }
}

static void on_ready(struct loop_source *source, uint32_t events) {
    struct http_connection *c = (struct http_connection *)(void *)source;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (!can_receive(c) || c->is_starved)) {
        c->is_broken = true; /* nothing can be sent any more, and reading would not tell */
    }
    http_connection_pump(c);
}

void http_connection_begin(struct http_connection *c) {
    c->source.ready = on_ready;
    c->parsed = c->used = c->sent = c->filled = c->offered = 0;
    c->read_wants = c->write_wants = 0;
    c->is_broken = c->has_ended = c->has_shut = c->closes = c->has_spoken = false;
    c->is_drain_wanted = c->is_in_callback = c->is_starved = false;
    next_request(c);
    settle(c);
}

void http_connection_lose(struct http_connection *c) {
    const struct http_handler *handler = &c->server->config.handler;
    bool is_owed = c->state == HTTP_STATE_HANDLER || c->state == HTTP_STATE_STREAM;
    c->is_in_callback = true; /* whatever the handler still calls must not pump */
    if (is_owed && handler->closed != NULL) {
        handler->closed(handler->owner, c);
    }
    c->is_in_callback = false;
    http_release(c);
}

void http_connection_refuse(struct http_connection *c, struct http_refusal refusal) {
    c->state = HTTP_STATE_HANDLER;
    c->closes = true;
    c->server->counters.refused++;
    c->is_in_callback = true;
    http_respond_error(c, refusal.status, refusal.code, refusal.message);
    c->is_in_callback = false;
    c->state = HTTP_STATE_DISCARD;
}

void http_connection_answered(struct http_connection *c) {
    c->is_drain_wanted = false;
    if (c->closes) {
        c->state = HTTP_STATE_CLOSING;
    } else {
        next_request(c);
    }
}

void http_release_request(struct http_connection *c) {
    check(c->state == HTTP_STATE_HANDLER);
    c->is_released = true;
    c->begin = c->parsed;
    if (!c->is_in_callback) {
        settle(c);
        http_enqueue(c, HTTP_QUEUE_READY); /* what has come already may be another request */
    }
}

bool http_reclaim(struct http_connection *c) {
    return http_borrow(c);
}
