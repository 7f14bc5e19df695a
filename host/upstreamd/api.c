#include "host/upstreamd/api_internal.h"

#include "host/shared/config.h"
#include "host/shared/http_target.h"
#include "host/shared/log.h"
#include "host/shared/process_id.h"

#include <stdio.h>
#include <string.h>

/* ---- answers ---- */

struct bytes api_text(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void api_refuse(const struct api_call *call, unsigned status, const char *code,
                const char *message) {
    struct json_writer writer = api_begin_json(call);
    struct bytes body;
    json_write_begin_object(&writer, NULL);
    json_write_begin_object(&writer, "error");
    json_write_string(&writer, "code", code);
    json_write_string(&writer, "message", message);
    json_write_end_object(&writer);
    json_write_end_object(&writer);
    check(json_write_finish(&writer, &body) == STATUS_OK);
    const char *headers = status == 503   ? "Retry-After: 1\r\n"
                          : status == 401 ? "WWW-Authenticate: Bearer\r\n"
                          : status == 405 ? "Allow: GET, POST\r\n"
                                          : NULL;
    http_respond_built(call->connection, status, "application/json", body.size, headers);
}

struct json_writer api_begin_json(const struct api_call *call) {
    struct http_body body = http_body_begin(call->connection);
    struct json_writer writer;
    json_write_init(&writer, body.data, body.capacity);
    return writer;
}

void api_end_json(const struct api_call *call, const struct json_writer *writer) {
    struct bytes body;
    if (json_write_finish(writer, &body) != STATUS_OK) {
        http_respond_error(call->connection, 500, "response_too_large",
                           "the answer is larger than upstream's limit; ask for less");
        return;
    }
    http_respond_built(call->connection, 200, "application/json", body.size, NULL);
}

bool api_refuse_failure(const struct api_call *call, enum status status) {
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        return false;
    }
    log_error("database_failed reason=%s", db_reason(call->api->fleet->db));
    api_refuse(call, 503, "store_failed", "upstream's database could not be read; see the log");
    return true;
}

/* ---- parts of requests ---- */

bool api_query_text(const struct api_call *call, const char *name, char *text, size_t capacity) {
    char message[96];
    enum status status = http_target_value(call->request->query, name, text, capacity);
    if (status == STATUS_OK) {
        return true;
    }
    text[0] = '\0';
    if (status == STATUS_NOT_FOUND) {
        return true;
    }
    snprintf(message, sizeof message, "the query's `%s` is malformed, or too long", name);
    api_refuse(call, 400, "malformed_query", message);
    return false;
}

bool api_query_number(const struct api_call *call, const char *name, uint64_t max,
                      uint64_t *value) {
    char text[24];
    char message[96];
    enum status status = http_target_value(call->request->query, name, text, sizeof text);
    if (status == STATUS_NOT_FOUND ||
        (status == STATUS_OK && config_integer(text, 0, max, value) == STATUS_OK)) {
        return true;
    }
    snprintf(message, sizeof message, "the query's `%s` is not a number in range", name);
    api_refuse(call, 400, "malformed_query", message);
    return false;
}

bool api_find_process(const struct api_call *call, struct db_process *process) {
    struct process_id id;
    enum status status = process_id_parse(call->id, &id);
    if (status == STATUS_OK && id.number <= SYNC_SEQ_MAX) {
        process->number = id.number;
        process->epoch = id.epoch;
        memcpy(process->hub_id, id.hub_id, sizeof process->hub_id);
        status = db_process_find(call->api->fleet->db, process);
    } else {
        status = STATUS_NOT_FOUND;
    }
    if (status == STATUS_NOT_FOUND) {
        api_refuse(call, 404, "not_found", "no hub has told of a process of this id");
        return false;
    }
    return !api_refuse_failure(call, status);
}

/* ---- endpoints ---- */

static void get_health(const struct api_call *call) {
    http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ok\"}"), NULL);
}

static void get_ready(const struct api_call *call) {
    if (call->api->sync->has_failed) {
        api_refuse(call, 503, "store_failed", "the database does not store; see the log");
    } else if (call->api->is_stopping) {
        api_refuse(call, 503, "not_ready", "upstream is stopping");
    } else {
        http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ready\"}"),
                     NULL);
    }
}

static void not_yet(const struct api_call *call) {
    api_refuse(call, 501, "not_implemented",
               "upstream does not take requests or forward orders yet; send this to the hub");
}

struct endpoint {
    enum http_method method;
    unsigned scopes;  /* any of them; 0: no token needed */
    const char *path; /* `*` stands for one part, the call's id */
    void (*handle)(const struct api_call *call);
};

static const struct endpoint endpoints[] = {
    {HTTP_METHOD_GET, TOKEN_READ, "/processes", api_list_processes},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*", api_get_process},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*/events", api_get_events},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*/stream", api_get_stream},
    {HTTP_METHOD_GET, TOKEN_READ, "/phones", api_get_phones},
    {HTTP_METHOD_GET, TOKEN_READ, "/phones/*", api_get_phone},
    {HTTP_METHOD_GET, TOKEN_READ, "/hubs", api_get_hubs},
    {HTTP_METHOD_GET, TOKEN_READ, "/metrics", api_get_metrics},
    {HTTP_METHOD_GET, 0, "/healthz", get_health},
    {HTTP_METHOD_GET, 0, "/readyz", get_ready},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/capability-requests/enqueue", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/maintenance/requests", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/ingest", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/cancel", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/cancel", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/retry", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/suspend", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/resume", not_yet},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/settle", not_yet},
};

/* ---- routing ---- */

static bool path_matches(const char *pattern, struct bytes path, struct bytes *id) {
    size_t at = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern != '*') {
            if (at == path.size || path.data[at] != (uint8_t)*pattern) {
                return false;
            }
            at += 1;
            continue;
        }
        size_t start = at;
        while (at < path.size && path.data[at] != '/') {
            at += 1;
        }
        *id = (struct bytes){path.data + start, at - start};
        if (id->size == 0) {
            return false;
        }
    }
    return at == path.size;
}

static const struct endpoint *find_endpoint(struct api_call *call, bool *knows_path) {
    *knows_path = false;
    for (size_t i = 0; i < array_count(endpoints); i++) {
        if (!path_matches(endpoints[i].path, call->request->path, &call->id)) {
            continue;
        }
        *knows_path = true;
        if (endpoints[i].method == call->request->method) {
            return &endpoints[i];
        }
    }
    return NULL;
}

static bool is_allowed(const struct api_call *call, unsigned scopes) {
    if (scopes == 0) {
        return true;
    }
    const struct token *token = token_find(call->api->tokens, call->request->token);
    if (token == NULL) {
        api_refuse(call, 401, "unauthorized", "a valid `Authorization: Bearer` token is needed");
    } else if ((token->scopes & scopes) == 0) {
        api_refuse(call, 403, "forbidden", "the token's scopes do not allow this");
    }
    return token != NULL && (token->scopes & scopes) != 0;
}

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    struct api_call call = {.api = owner, .connection = connection, .request = request};
    bool knows_path;
    const struct endpoint *endpoint = find_endpoint(&call, &knows_path);
    if (endpoint == NULL && knows_path) {
        api_refuse(&call, 405, "method_not_allowed", "this path does not take this method");
    } else if (endpoint == NULL) {
        api_refuse(&call, 404, "not_found", "there is no such path");
    } else if (is_allowed(&call, endpoint->scopes)) {
        endpoint->handle(&call);
    }
}

static void closed(void *owner, struct http_connection *connection) {
    api_forget_stream(owner, connection);
}

static void drained(void *owner, struct http_connection *connection) {
    api_unblock_stream(owner, connection);
}

/* ---- life ---- */

void api_init(struct api *api, const struct api_parts *parts) {
    api->fleet = parts->fleet;
    api->sync = parts->sync;
    api->tokens = parts->tokens;
    api->started_ms = parts->fleet->now.mono_ms;
    http_tls_init(&api->tls, parts->configs);
    const struct http_config config = {
        .loop = parts->loop,
        .limits = {.connections = API_CONNECTIONS,
                   .stream_bytes = sizeof(struct http_tls_stream),
                   .body_bytes = API_BODY_BYTES,
                   .output_bytes = API_OUTPUT_BYTES,
                   .header_ms = 10000,
                   .body_ms = 10000,
                   .idle_ms = 60000,
                   .send_ms = 30000},
        .handler = {.request = handle, .closed = closed, .drained = drained, .owner = api},
        .memory = parts->memory,
        .memory_bytes = API_SERVER_BYTES,
    };
    http_server_init(&api->server, &config);
}

enum status api_listen(struct api *api, int listener, bool has_tls) {
    return http_server_listen(&api->server, listener, has_tls ? &api->tls.acceptor : NULL);
}

void api_feed(struct api *api) {
    api_feed_streams(api);
}

void api_step(struct api *api) {
    http_server_step(&api->server, api->fleet->now.mono_ms);
    api_end_old_streams(api);
}

uint64_t api_deadline_ms(const struct api *api) {
    uint64_t server = http_server_deadline(&api->server);
    uint64_t streams = api_stream_deadline_ms(api);
    return server < streams ? server : streams;
}

void api_stop(struct api *api) {
    api->is_stopping = true;
    for (uint32_t i = 0; i < API_STREAMS; i++) {
        struct http_connection *connection = api->streams[i].connection;
        if (connection != NULL) {
            api_forget_stream(api, connection);
            http_stream_end(connection);
        }
    }
    http_server_stop(&api->server);
}
