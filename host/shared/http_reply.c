/* The answers of http_server.h: heads, bodies, chunked streams. */
#include "host/shared/http_connection.h"

#include <string.h>

enum { CHUNK_HEAD_BYTES = 10, CHUNK_FRAME_BYTES = 12, LAST_CHUNK_BYTES = 5, EXTRA_BYTES = 512 };

struct text {
    char *data;
    size_t size, capacity;
};

static void put(struct text *text, const char *part) {
    size_t size = strlen(part);
    check(size <= text->capacity - text->size);
    memcpy(text->data + text->size, part, size);
    text->size += size;
}

static void put_number(struct text *text, size_t number) {
    char digits[21];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(text, digits + at);
}

static const char *reason_of(unsigned status) {
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < array_count(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Other";
}

static bool is_http_1_0(const struct http_connection *c) {
    return c->parse.has_head && c->parse.parser.http_minor == 0;
}

static void put_status(const struct http_connection *c, struct text *head, unsigned status) {
    check(status >= 200 && status <= 599);
    put(head, "HTTP/1.1 ");
    put_number(head, status);
    put(head, " ");
    put(head, reason_of(status));
    put(head, "\r\n");
    if (c->closes) {
        put(head, "Connection: close\r\n");
    } else if (is_http_1_0(c)) {
        put(head, "Connection: keep-alive\r\n");
    }
}

static size_t room(const struct http_connection *c) {
    return c->server->output_bytes - c->filled;
}

/* Makes sent 0, so that what waits is in front of all the room there is. */
static void gather(struct http_connection *c) {
    if (c->sent > 0) {
        memmove(c->output, c->output + c->sent, http_pending(c));
        c->filled -= c->sent;
        c->sent = 0;
    }
}

struct http_body http_body_begin(struct http_connection *c) {
    check(c->state == HTTP_STATE_HANDLER);
    check(c->output != NULL); /* a request that was released is reclaimed first */
    gather(c);
    check(c->filled <= HTTP_BATCH_BYTES + 64);
    return (struct http_body){c->output + c->filled + HTTP_REPLY_HEAD_BYTES,
                              c->server->config.limits.output_bytes - HTTP_REPLY_HEAD_BYTES};
}

/* The body stands HTTP_REPLY_HEAD_BYTES after `filled`. The head goes right before it; only when
 * earlier answers still wait must the whole move down to them. */
void http_respond_built(struct http_connection *c, unsigned status, const char *content_type,
                        size_t size, const char *extra_headers) {
    check(c->state == HTTP_STATE_HANDLER);
    check(size <= c->server->config.limits.output_bytes - HTTP_REPLY_HEAD_BYTES);
    char memory[HTTP_REPLY_HEAD_BYTES];
    struct text head = {memory, 0, sizeof memory};
    bool has_length = status != 204 && status != 304;
    put_status(c, &head, status);
    if (content_type != NULL) {
        put(&head, "Content-Type: ");
        put(&head, content_type);
        put(&head, "\r\n");
    }
    if (has_length) {
        put(&head, "Content-Length: ");
        put_number(&head, size);
        put(&head, "\r\n");
    }
    if (extra_headers != NULL) {
        check(strlen(extra_headers) <= EXTRA_BYTES);
        put(&head, extra_headers);
    }
    put(&head, "\r\n");
    size_t body_size = has_length && !c->parse.is_head_method ? size : 0;
    uint32_t gap = HTTP_REPLY_HEAD_BYTES - (uint32_t)head.size;
    memcpy(c->output + c->filled + gap, memory, head.size);
    if (c->filled == 0) {
        c->sent = gap;
        c->filled = gap;
    } else {
        memmove(c->output + c->filled, c->output + c->filled + gap, head.size + body_size);
    }
    c->filled += (uint32_t)(head.size + body_size);
    http_connection_answered(c);
    http_connection_push(c);
}

void http_respond(struct http_connection *c, unsigned status, const char *content_type,
                  struct bytes body, const char *extra_headers) {
    struct http_body target = http_body_begin(c);
    if (body.size > target.capacity) {
        http_respond_error(c, 500, "response_too_large", "The answer does not fit in its buffer");
        return;
    }
    if (body.size > 0) {
        memcpy(target.data, body.data, body.size);
    }
    http_respond_built(c, status, content_type, body.size, extra_headers);
}

/* As much as fits, escaped by RFC 8259 §7. */
static void put_escaped(struct text *text, const char *part) {
    for (; *part != '\0' && text->capacity - text->size > 8; part++) {
        char c = *part;
        if (c == '"' || c == '\\') {
            put(text, (const char[]){'\\', c, '\0'});
        } else {
            put(text, (const char[]){c >= 0 && c < ' ' ? ' ' : c, '\0'});
        }
    }
}

void http_respond_error(struct http_connection *c, unsigned status, const char *code,
                        const char *message) {
    struct http_body body = http_body_begin(c);
    struct text text = {(char *)body.data, 0, body.capacity - 48};
    put(&text, "{\"error\":{\"code\":\"");
    put_escaped(&text, code);
    text.capacity += 24;
    put(&text, "\",\"message\":\"");
    put_escaped(&text, message);
    text.capacity += 24;
    put(&text, "\"}}");
    http_respond_built(c, status, "application/json", text.size, NULL);
}

void http_stream_begin_as(struct http_connection *c, const char *content_type) {
    check(c->state == HTTP_STATE_HANDLER);
    gather(c);
    c->is_chunked = !is_http_1_0(c);
    c->closes = c->closes || !c->is_chunked;
    struct text head = {(char *)c->output + c->filled, 0, HTTP_REPLY_HEAD_BYTES};
    put_status(c, &head, 200);
    put(&head, "Content-Type: ");
    put(&head, content_type);
    put(&head, c->is_chunked ? "\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
                             : "\r\nCache-Control: no-store\r\n\r\n");
    c->filled += (uint32_t)head.size;
    c->state = HTTP_STATE_STREAM;
    http_connection_push(c);
}

void http_stream_begin(struct http_connection *c) {
    http_stream_begin_as(c, "text/event-stream");
}

size_t http_stream_room(const struct http_connection *c) {
    check(c->state == HTTP_STATE_STREAM);
    size_t free_bytes = room(c) + c->sent;
    size_t kept = CHUNK_FRAME_BYTES + LAST_CHUNK_BYTES;
    return free_bytes > kept ? free_bytes - kept : 0;
}

static void put_chunk_head(struct http_connection *c, size_t size) {
    static const char digits[] = "0123456789abcdef";
    char text[CHUNK_HEAD_BYTES];
    size_t at = sizeof text;
    text[--at] = '\n';
    text[--at] = '\r';
    do {
        text[--at] = digits[size % 16];
        size /= 16;
    } while (size > 0);
    memcpy(c->output + c->filled, text + at, sizeof text - at);
    c->filled += (uint32_t)(sizeof text - at);
}

enum status http_stream_write(struct http_connection *c, struct bytes text) {
    if (text.size > http_stream_room(c)) {
        c->is_drain_wanted = true;
        return STATUS_AGAIN;
    }
    if (text.size == 0 || c->parse.is_head_method) {
        return STATUS_OK;
    }
    gather(c);
    if (c->is_chunked) {
        put_chunk_head(c, text.size);
    }
    memcpy(c->output + c->filled, text.data, text.size);
    c->filled += (uint32_t)text.size;
    if (c->is_chunked) {
        memcpy(c->output + c->filled, "\r\n", 2);
        c->filled += 2;
    }
    http_connection_push(c);
    return STATUS_OK;
}

void http_stream_end(struct http_connection *c) {
    check(c->state == HTTP_STATE_STREAM);
    if (c->is_chunked && !c->parse.is_head_method) {
        gather(c);
        check(room(c) >= LAST_CHUNK_BYTES);
        memcpy(c->output + c->filled, "0\r\n\r\n", LAST_CHUNK_BYTES);
        c->filled += LAST_CHUNK_BYTES;
    }
    http_connection_answered(c);
    http_connection_push(c);
}

void http_set_tag(struct http_connection *c, uint64_t tag) {
    c->tag = tag;
}

uint64_t http_tag(const struct http_connection *c) {
    return c->tag;
}
