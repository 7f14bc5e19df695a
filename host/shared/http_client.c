#include "host/shared/http_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum value_of { VALUE_OTHER, VALUE_CONTENT_TYPE, VALUE_RETRY_AFTER };
enum { READS_PER_STEP = 16 };

static struct http_client *client_of(llhttp_t *parser) {
    return parser->data;
}

static int fail(struct http_client *client, enum status failure) {
    client->failure = failure;
    return -1;
}

static int on_name(llhttp_t *parser, const char *at, size_t size) {
    struct http_client *client = client_of(parser);
    for (size_t i = 0; i < size && client->name_size < sizeof client->name - 1; i++) {
        client->name[client->name_size++] = at[i];
    }
    return 0;
}

static int on_name_complete(llhttp_t *parser) {
    struct http_client *client = client_of(parser);
    client->name[client->name_size] = '\0';
    client->name_size = 0;
    client->value_of = VALUE_OTHER;
    if (!client->has_head && strcasecmp(client->name, "content-type") == 0) {
        client->value_of = VALUE_CONTENT_TYPE;
        client->content_type[0] = '\0';
    } else if (!client->has_head && strcasecmp(client->name, "retry-after") == 0) {
        client->value_of = VALUE_RETRY_AFTER;
        client->retry_after[0] = '\0';
    }
    return 0;
}

static void append(char *text, size_t capacity, const char *at, size_t size) {
    size_t used = strlen(text);
    size_t taken = size < capacity - 1 - used ? size : capacity - 1 - used;
    memcpy(text + used, at, taken);
    text[used + taken] = '\0';
}

static int on_value(llhttp_t *parser, const char *at, size_t size) {
    struct http_client *client = client_of(parser);
    if (client->value_of == VALUE_CONTENT_TYPE) {
        append(client->content_type, sizeof client->content_type, at, size);
    } else if (client->value_of == VALUE_RETRY_AFTER) {
        append(client->retry_after, sizeof client->retry_after, at, size);
    }
    return 0;
}

static int on_head(llhttp_t *parser) {
    struct http_client *client = client_of(parser);
    if (client->has_head) {
        return 0;
    }
    client->status = (unsigned)llhttp_get_status_code(parser);
    if (client->status == 101 || parser->http_major != 1) {
        return fail(client, STATUS_MALFORMED);
    }
    if (client->status >= 200) {
        client->has_head = true;
        client->is_reusable = llhttp_should_keep_alive(parser) != 0;
    }
    return client->is_head_method && client->has_head ? 1 : 0;
}

static int take_lines(struct http_client *client, const uint8_t *at, size_t size) {
    const struct http_client_sink *sink = &client->sink;
    for (size_t i = 0; i < size; i++) {
        if (at[i] != '\n') {
            if (client->used == sink->capacity) {
                return fail(client, STATUS_TOO_LARGE);
            }
            sink->buffer[client->used++] = at[i];
            continue;
        }
        struct bytes line = {sink->buffer, client->used};
        line.size -= line.size > 0 && line.data[line.size - 1] == '\r';
        client->used = 0;
        if (!sink->line(sink->owner, line)) {
            return fail(client, STATUS_CLOSED);
        }
    }
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size) {
    struct http_client *client = client_of(parser);
    const struct http_client_sink *sink = &client->sink;
    if (sink->line != NULL) {
        return take_lines(client, (const uint8_t *)at, size);
    }
    if (sink->chunk != NULL) {
        return sink->chunk(sink->owner, (struct bytes){(const uint8_t *)at, size})
                   ? 0
                   : fail(client, STATUS_CLOSED);
    }
    if (size > sink->capacity - client->used) {
        return fail(client, STATUS_TOO_LARGE);
    }
    memcpy(sink->buffer + client->used, at, size);
    client->used += size;
    return 0;
}

static int on_whole(llhttp_t *parser) {
    struct http_client *client = client_of(parser);
    if (!client->has_head) {
        return 0; /* 1xx: the answer is still to come (RFC 9110 §15.2) */
    }
    client->is_whole = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_header_field = on_name,
    .on_header_field_complete = on_name_complete,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_whole,
};

void http_client_init(struct http_client *client, struct hal_stream *stream) {
    memset(client, 0, sizeof *client);
    client->stream = stream;
    client->is_reusable = true;
}

static bool is_clean(const char *text, char lowest) {
    for (; text != NULL && *text != '\0'; text++) {
        if ((*text >= 0 && *text < lowest) || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

__attribute__((format(printf, 2, 3))) static void put(struct http_client *client,
                                                      const char *format, ...) {
    size_t room = sizeof client->send - client->send_size;
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf((char *)client->send + client->send_size, room, format, arguments);
    va_end(arguments);
    client->send_size += size >= 0 && (size_t)size < room ? (size_t)size : room;
}

static enum status put_head(struct http_client *client, const struct http_client_request *request) {
    client->send_size = client->sent = 0;
    put(client, "%s %s HTTP/1.1\r\nHost: %s\r\n", request->method, request->target, request->host);
    if (request->token != NULL) {
        put(client, "Authorization: Bearer %s\r\n", request->token);
    }
    if (request->content_type != NULL) {
        put(client, "Content-Type: %s\r\nContent-Length: %zu\r\n", request->content_type,
            request->body.size);
    }
    put(client, "%s\r\n", request->extra_headers != NULL ? request->extra_headers : "");
    if (client->send_size == sizeof client->send) {
        return STATUS_TOO_LARGE;
    }
    client->body = request->body;
    if (request->body.size > 0 && request->body.size <= sizeof client->send - client->send_size) {
        memcpy(client->send + client->send_size, request->body.data, request->body.size);
        client->send_size += request->body.size;
        client->body.size = 0;
    }
    return STATUS_OK;
}

static void await(struct http_client *client, const struct http_client_sink *sink,
                  uint64_t deadline_ms, bool is_head_method) {
    llhttp_init(&client->parser, HTTP_RESPONSE, &settings);
    client->parser.data = client;
    client->sink = *sink;
    client->deadline_ms = deadline_ms;
    client->head_bytes = client->used = 0;
    client->failure = STATUS_OK;
    client->has_head = client->is_whole = client->is_reusable = false;
    client->is_head_method = is_head_method;
    client->name_size = 0;
    client->content_type[0] = client->retry_after[0] = '\0';
    client->status = 0;
    client->answer.size = 0;
    client->is_busy = true;
    client->wants = HAL_STREAM_READABLE | HAL_STREAM_WRITABLE;
}

enum status http_client_begin(struct http_client *client, const struct http_client_request *request,
                              const struct http_client_sink *sink, uint64_t deadline_ms) {
    check(client->is_busy ? !http_client_is_sending(client) : client->is_reusable);
    check(request->body.size == 0 || request->content_type != NULL);
    if (!is_clean(request->method, '!') || !is_clean(request->target, '!') ||
        !is_clean(request->host, '!') || !is_clean(request->token, '!') ||
        !is_clean(request->content_type, ' ')) {
        return STATUS_MALFORMED;
    }
    enum status status = put_head(client, request);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_head_method = strcmp(request->method, "HEAD") == 0;
    if (client->is_busy) {
        client->has_next = true;
        client->next_sink = *sink;
        client->next_deadline_ms = deadline_ms;
        client->is_next_head = is_head_method;
        client->wants |= HAL_STREAM_WRITABLE;
    } else {
        await(client, sink, deadline_ms, is_head_method);
    }
    return STATUS_OK;
}

static bool is_sent(const struct http_client *client) {
    return client->sent == client->send_size && client->body.size == 0;
}

bool http_client_is_sending(const struct http_client *client) {
    return client->has_next || !is_sent(client);
}

unsigned http_client_outstanding(const struct http_client *client) {
    return (unsigned)client->is_busy + (unsigned)client->has_next;
}

static enum status send_some(struct http_client *client) {
    while (client->sent < client->send_size || client->body.size > 0) {
        bool is_body = client->sent == client->send_size;
        const uint8_t *from = is_body ? client->body.data : client->send + client->sent;
        size_t size = is_body ? client->body.size : client->send_size - client->sent;
        size_t taken = 0;
        enum status status = hal_stream_write(client->stream, from, size, &taken);
        if (status != STATUS_OK) {
            client->wants |= status == STATUS_AGAIN ? client->stream->wants : 0;
            return status;
        }
        if (is_body) {
            client->body = (struct bytes){from + taken, size - taken};
        } else {
            client->sent += taken;
        }
    }
    return STATUS_OK;
}

/* Takes what is in `input`. Behind a whole answer only the next one may come. */
static enum status parse(struct http_client *client) {
    const char *data = (const char *)client->input + client->input_at;
    size_t size = client->input_end - client->input_at;
    client->head_bytes += client->has_head ? 0 : size;
    llhttp_errno_t error = llhttp_execute(&client->parser, data, size);
    if (client->is_whole) {
        client->input_at += (size_t)(llhttp_get_error_pos(&client->parser) - data);
        bool is_clean_end =
            client->has_next || (client->input_at == client->input_end && is_sent(client));
        client->is_reusable = client->is_reusable && is_clean_end;
        return STATUS_OK;
    }
    client->input_at = client->input_end;
    if (error != HPE_OK) {
        return client->failure != STATUS_OK ? client->failure : STATUS_MALFORMED;
    }
    if (!client->has_head && client->head_bytes > HTTP_CLIENT_HEAD_BYTES) {
        return STATUS_TOO_LARGE;
    }
    return STATUS_AGAIN;
}

/* A body without a length ends with the stream. */
static enum status parse_end(struct http_client *client) {
    client->is_reusable = false;
    if (client->has_head) {
        llhttp_finish(&client->parser);
    }
    client->is_reusable = false;
    return client->is_whole ? STATUS_OK : STATUS_CLOSED;
}

static enum status receive_some(struct http_client *client) {
    enum status status = STATUS_AGAIN;
    if (client->input_at < client->input_end) {
        status = parse(client);
    }
    /* What waits inside the stream would wake nobody up, so it is always read. */
    for (int i = 0; status == STATUS_AGAIN && (i < READS_PER_STEP || client->stream->has_buffered);
         i++) {
        size_t size = 0;
        status = hal_stream_read(client->stream, client->input, sizeof client->input, &size);
        if (status == STATUS_AGAIN) {
            client->wants |= client->stream->wants;
            return status;
        }
        if (status == STATUS_CLOSED) {
            return parse_end(client);
        }
        if (status != STATUS_OK) {
            return status;
        }
        client->input_at = 0;
        client->input_end = size;
        status = parse(client);
    }
    client->wants |= HAL_STREAM_READABLE;
    return status;
}

/* The answer before was given: now the next request's is awaited. False: it will never come. */
static bool go_on(struct http_client *client) {
    bool is_reusable = client->is_reusable;
    client->has_next = false;
    await(client, &client->next_sink, client->next_deadline_ms, client->is_next_head);
    return is_reusable;
}

enum status http_client_step(struct http_client *client, uint64_t now_ms) {
    check(client->is_busy || client->has_next);
    if (!client->is_busy && !go_on(client)) {
        client->is_busy = false;
        return STATUS_CLOSED;
    }
    client->wants = 0;
    enum status sending = send_some(client);
    enum status status = receive_some(client); /* an early refusal is an answer, too */
    if (status == STATUS_AGAIN && sending != STATUS_OK && sending != STATUS_AGAIN) {
        status = sending;
    }
    if (status == STATUS_AGAIN && now_ms >= client->deadline_ms) {
        status = STATUS_TIMEOUT;
    }
    if (status == STATUS_AGAIN) {
        return status;
    }
    client->is_busy = false;
    client->is_reusable = client->is_reusable && status == STATUS_OK;
    client->answer = (struct bytes){client->sink.buffer, client->used};
    return status;
}

unsigned http_client_wants(const struct http_client *client) {
    return client->wants;
}

void http_client_extend(struct http_client *client, uint64_t deadline_ms) {
    client->deadline_ms = deadline_ms;
}
