#include "host/hubctl/client.h"

#include "host/shared/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 200, SILENCE_MS = 60000, EVENT_ID_BYTES = 64, REQUEST_TARGET_BYTES = 2048 };

__attribute__((format(printf, 2, 3))) static void explain(struct client *client, const char *format,
                                                          ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(client->reason, sizeof client->reason, format, arguments);
    va_end(arguments);
}

/* ---- settings ---- */

static const char *from_environment(const char *given, const char *name, const char *otherwise) {
    const char *value = given != NULL ? given : getenv(name);
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

static enum status read_address(struct client *client, const char *url) {
    static const char wanted[] = "expected http://HOST:PORT, https://HOST:PORT or unix:PATH (HOST "
                                 "is a numeric address or localhost)";
    bool is_unix = strncmp(url, "unix:", 5) == 0;
    bool is_plain = strncmp(url, "http://", 7) == 0;
    client->is_tls = strncmp(url, "https://", 8) == 0;
    const char *where = client->is_tls ? url + 8 : is_plain ? url + 7 : url;
    char address[TCP_TEXT_SIZE];
    size_t size = strlen(where);
    size -= !is_unix && size > 0 && where[size - 1] == '/';
    if (size < sizeof address && (is_unix || is_plain || client->is_tls)) {
        snprintf(address, sizeof address, "%.*s", (int)size, where);
        if (tcp_parse(address, &client->address) == STATUS_OK &&
            tcp_is_unix(&client->address) == is_unix && (is_unix || tcp_port(&client->address))) {
            snprintf(client->url, sizeof client->url, "%s", url);
            snprintf(client->host, sizeof client->host, "%s", is_unix ? "localhost" : address);
            return STATUS_OK;
        }
    }
    explain(client, "%.200s: %s", url, wanted);
    return STATUS_MALFORMED;
}

/* `[::1]:7700` has the name `::1`, `localhost:7700` the name `localhost`. */
static void take_server_name(struct client *client) {
    bool is_bracketed = client->host[0] == '[';
    const char *name_end = strrchr(client->host, is_bracketed ? ']' : ':');
    check(name_end != NULL);
    snprintf(client->server_name, sizeof client->server_name, "%.*s",
             (int)(name_end - client->host) - is_bracketed, client->host + is_bracketed);
}

static enum status read_ca(struct client *client, const char *ca_path) {
    if (!client->is_tls) {
        return STATUS_OK;
    }
    if (ca_path == NULL) {
        explain(client, "%s: an https address needs --ca FILE, the certificate to trust",
                client->url);
        return STATUS_MALFORMED;
    }
    take_server_name(client);
    const struct tls_settings settings = {.role = TLS_CLIENT, .ca_path = ca_path};
    enum status status = tls_config_open(&client->config, &settings);
    if (status != STATUS_OK) {
        explain(client, "--ca: %s", client->config.reason);
    }
    return status;
}

/* The first line that is no comment: a token alone, or a line of a daemon's own token file. */
static bool find_token(char *text, char token[TOKEN_SECRET_SIZE]) {
    static const char blanks[] = " \t\r";
    char *line_end = NULL;
    char *word_end = NULL;
    for (char *line = strtok_r(text, "\n", &line_end); line != NULL;
         line = strtok_r(NULL, "\n", &line_end)) {
        char *words[3] = {strtok_r(line, blanks, &word_end)};
        if (words[0] == NULL || words[0][0] == '#') {
            continue;
        }
        words[1] = strtok_r(NULL, blanks, &word_end);
        words[2] = strtok_r(NULL, blanks, &word_end);
        const char *found = words[1] == NULL ? words[0] : words[2];
        int size = snprintf(token, TOKEN_SECRET_SIZE, "%s", found == NULL ? "" : found);
        return found != NULL && size < TOKEN_SECRET_SIZE;
    }
    return false;
}

static enum status read_token(struct client *client, const char *path) {
    char text[TOKEN_FILE_BYTES_MAX + 1];
    if (path == NULL) {
        return STATUS_OK;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    int error = errno;
    if (file >= 0) {
        (void)close(file);
    }
    if (size < 0) {
        explain(client, "%.300s: cannot read the token file: %s", path, strerror(error));
        return STATUS_NOT_FOUND;
    }
    text[size] = '\0';
    if (!find_token(text, client->token)) {
        explain(client, "%.300s: expected a token alone on a line, or `NAME SCOPES TOKEN`", path);
        return STATUS_MALFORMED;
    }
    return STATUS_OK;
}

enum status client_open(struct client *client, const struct client_settings *settings) {
    const char *url = from_environment(settings->url, "HUBCTL_URL", "http://127.0.0.1:7700");
    const char *token_path = from_environment(settings->token_path, "HUBCTL_TOKEN_FILE", NULL);
    enum status status = read_address(client, url);
    if (status == STATUS_OK) {
        status = read_ca(client, settings->ca_path);
    }
    return status == STATUS_OK ? read_token(client, token_path) : status;
}

/* ---- connections ---- */

static struct hal_stream *stream_of(struct client *client) {
    return client->is_tls ? &client->tls.stream : &client->socket;
}

static const char *advice(int error) {
    switch (error) {
    case ECONNREFUSED:
    case ENOENT:
        return "; is it running there? (--url or HUBCTL_URL names another)";
    case EACCES:
        return "; who may use it is said by the socket's permissions";
    default:
        return "";
    }
}

static enum status say_unreachable(struct client *client, enum status status) {
    static const char *const texts[] = {
#define STATUS(name, class, text) text,
#include "hal/status.def"
#undef STATUS
    };
    int error = errno;
    if (client->is_tls && tls_stream_reason(&client->tls)[0] != '\0') {
        explain(client, "cannot reach %s: %s", client->url, tls_stream_reason(&client->tls));
    } else if (error != 0 && status != STATUS_TIMEOUT && status != STATUS_MALFORMED) {
        explain(client, "cannot reach %s: %s%s", client->url, strerror(error), advice(error));
    } else {
        explain(client, "no answer from %s: %s", client->url, texts[status]);
    }
    return status;
}

static enum status connect_stream(struct client *client) {
    struct hal_stream *socket = client->is_tls ? &client->tls.socket : &client->socket;
    errno = 0;
    enum status status = tcp_connect(socket, &client->address);
    if (status == STATUS_OK && client->is_tls) {
        status =
            tls_stream_open(&client->tls, &client->config, client->server_name, &client->session);
    }
    return status == STATUS_OK ? status : say_unreachable(client, status);
}

static void wait_for_stream(struct client *client, uint64_t until_ms) {
    unsigned wants = http_client_wants(&client->http);
    uint64_t now_ms = loop_now_ms();
    struct pollfd poller = {
        .fd = stream_of(client)->handle,
        .events = (short)(((wants & HAL_STREAM_READABLE) != 0 ? POLLIN : 0) |
                          ((wants & HAL_STREAM_WRITABLE) != 0 ? POLLOUT : 0)),
    };
    uint64_t wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    (void)poll(&poller, 1, wait_ms > 60000 ? 60000 : (int)wait_ms);
}

static enum status begin(struct client *client, const struct http_client_request *request,
                         const struct http_client_sink *sink, uint64_t deadline_ms) {
    enum status status = connect_stream(client);
    if (status != STATUS_OK) {
        return status;
    }
    http_client_init(&client->http, stream_of(client));
    status = http_client_begin(&client->http, request, sink, deadline_ms);
    if (status != STATUS_OK) {
        hal_stream_close(stream_of(client));
        explain(client, "%.200s: not an id that can be asked for", request->target);
    }
    return status;
}

static void end(struct client *client, struct client_answer *answer) {
    hal_stream_close(stream_of(client));
    answer->status = client->http.status;
    memcpy(answer->retry_after, client->http.retry_after, sizeof answer->retry_after);
}

static struct http_client_request make_request(const struct client *client, const char *target) {
    return (struct http_client_request){
        .method = "GET",
        .target = target,
        .host = client->host,
        .token = client->token[0] == '\0' ? NULL : client->token,
    };
}

enum status client_ask(struct client *client, const char *target, const struct bytes *body,
                       uint8_t buffer[CLIENT_ANSWER_BYTES], struct client_answer *answer) {
    struct http_client_request request = make_request(client, target);
    if (body != NULL) {
        request.method = "POST";
        request.content_type = "application/json";
        request.body = *body;
    }
    const struct http_client_sink sink = {.buffer = buffer, .capacity = CLIENT_ANSWER_BYTES};
    uint64_t deadline_ms = loop_now_ms() + CLIENT_TIMEOUT_MS;
    enum status status = begin(client, &request, &sink, deadline_ms);
    if (status != STATUS_OK) {
        return status;
    }
    errno = 0;
    while ((status = http_client_step(&client->http, loop_now_ms())) == STATUS_AGAIN) {
        wait_for_stream(client, deadline_ms);
        errno = 0;
    }
    if (status != STATUS_OK) {
        (void)say_unreachable(client, status);
    }
    end(client, answer);
    answer->body = client->http.answer;
    return status;
}

/* ---- server-sent events (WHATWG HTML, section 9.2) ---- */

struct event_reader {
    struct client *client;
    struct client_listener *listener;
    char id[EVENT_ID_BYTES]; /* of the event being read; empty: none */
    uint8_t *body;           /* lines of an answer that is no stream */
    size_t body_size;
    bool is_over; /* the listener said so */
};

static bool has_name(struct bytes line, const char *name, struct bytes *value) {
    size_t size = strlen(name);
    if (line.size < size || memcmp(line.data, name, size) != 0) {
        return false;
    }
    *value = (struct bytes){line.data + size, line.size - size};
    if (value->size > 0 && value->data[0] == ' ') {
        *value = (struct bytes){value->data + 1, value->size - 1};
    }
    return true;
}

static bool is_event_stream(const struct client *client) {
    return strncmp(client->http.content_type, "text/event-stream", 17) == 0;
}

/* Gathers the body of an error behind the buffer's part for lines. */
static bool keep_line(struct event_reader *reader, struct bytes line) {
    if (line.size > CLIENT_ANSWER_BYTES / 2 - reader->body_size) {
        return false;
    }
    memcpy(reader->body + reader->body_size, line.data, line.size);
    reader->body_size += line.size;
    return true;
}

/* A line's end ends an event; its id counts only then, and only if its data was taken. */
static bool take_line(void *owner, struct bytes line) {
    struct event_reader *reader = owner;
    struct bytes value;
    http_client_extend(&reader->client->http, loop_now_ms() + SILENCE_MS);
    if (!is_event_stream(reader->client)) {
        return keep_line(reader, line);
    }
    if (has_name(line, "id:", &value)) {
        snprintf(reader->id, sizeof reader->id, "%.*s", (int)value.size, (const char *)value.data);
    } else if (has_name(line, "data:", &value)) {
        reader->is_over = !reader->listener->event(reader->listener->owner, value);
        if (reader->id[0] != '\0') {
            reader->listener->last_id = strtoull(reader->id, NULL, 10);
        }
    } else if (line.size == 0) {
        reader->id[0] = '\0';
    }
    return !reader->is_over;
}

enum status client_follow(struct client *client, const char *target,
                          struct client_listener *listener, uint8_t buffer[CLIENT_ANSWER_BYTES],
                          struct client_answer *answer) {
    char header[64];
    struct http_client_request request = make_request(client, target);
    struct event_reader reader = {client, listener, "", buffer + CLIENT_ANSWER_BYTES / 2, 0, false};
    const struct http_client_sink sink = {
        .buffer = buffer, .capacity = CLIENT_ANSWER_BYTES / 2, .line = take_line, .owner = &reader};
    if (listener->last_id > 0) {
        snprintf(header, sizeof header, "Last-Event-ID: %" PRIu64 "\r\n", listener->last_id);
        request.extra_headers = header;
    }
    enum status status = begin(client, &request, &sink, loop_now_ms() + SILENCE_MS);
    if (status != STATUS_OK) {
        return status;
    }
    errno = 0;
    while ((status = http_client_step(&client->http, loop_now_ms())) == STATUS_AGAIN) {
        wait_for_stream(client, loop_now_ms() + TICK_MS);
        if (listener->tick != NULL && !listener->tick(listener->owner)) {
            reader.is_over = true;
            status = STATUS_OK;
            break;
        }
        errno = 0;
    }
    status = reader.is_over ? STATUS_OK : status;
    if (status != STATUS_OK) {
        (void)say_unreachable(client, status);
    }
    end(client, answer);
    if (!is_event_stream(client) && client->http.used > 0) {
        (void)keep_line(&reader, (struct bytes){buffer, client->http.used}); /* without its end */
    }
    answer->body = (struct bytes){reader.body, reader.body_size};
    return status;
}
