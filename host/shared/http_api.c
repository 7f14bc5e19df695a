#include "host/shared/http_api.h"

#include "host/shared/config.h"
#include "host/shared/http_target.h"

#include <stdio.h>
#include <string.h>

struct bytes http_api_text(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* ---- answers ---- */

struct json_writer http_api_begin_json(const struct http_api_call *call) {
    struct http_body body = http_body_begin(call->connection);
    struct json_writer writer;
    json_write_init(&writer, body.data, body.capacity);
    return writer;
}

void http_api_end_json(const struct http_api_call *call, unsigned status,
                       const struct json_writer *writer) {
    struct bytes body;
    if (json_write_finish(writer, &body) != STATUS_OK) {
        http_respond_error(call->connection, 500, "response_too_large",
                           "the answer is larger than this server's limit; ask for less");
        return;
    }
    http_respond_built(call->connection, status, "application/json", body.size, NULL);
}

void http_api_refuse(const struct http_api_call *call, unsigned status, const char *code,
                     const char *message) {
    http_api_refuse_at(call, status, code, message, NULL);
}

void http_api_refuse_at(const struct http_api_call *call, unsigned status, const char *code,
                        const char *message, const char *pointer) {
    struct json_writer writer = http_api_begin_json(call);
    struct bytes body;
    json_write_begin_object(&writer, NULL);
    json_write_begin_object(&writer, "error");
    json_write_string(&writer, "code", code);
    json_write_string(&writer, "message", message);
    if (pointer != NULL) {
        json_write_string(&writer, "pointer", pointer);
    }
    json_write_end_object(&writer);
    json_write_end_object(&writer);
    check(json_write_finish(&writer, &body) == STATUS_OK);
    const char *headers = status == 503   ? "Retry-After: 1\r\n"
                          : status == 401 ? "WWW-Authenticate: Bearer\r\n"
                          : status == 405 ? "Allow: GET, POST\r\n"
                                          : NULL;
    http_respond_built(call->connection, status, "application/json", body.size, headers);
}

/* ---- routes ---- */

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

static const struct http_api_endpoint *find_endpoint(const struct http_api_routes *routes,
                                                     struct http_api_call *call, bool *knows_path) {
    const struct http_api_endpoint *endpoints = routes->endpoints;
    *knows_path = false;
    for (size_t i = 0; i < routes->count; i++) {
        if (endpoints[i].method == call->request->method &&
            path_matches(endpoints[i].path, call->request->path, &call->id)) {
            return &endpoints[i];
        }
    }
    for (size_t i = 0; i < routes->count && !*knows_path; i++) {
        *knows_path = path_matches(endpoints[i].path, call->request->path, &call->id);
    }
    return NULL;
}

static bool is_allowed(const struct token_table *tokens, struct http_api_call *call,
                       unsigned scopes) {
    if (scopes == 0) {
        return true;
    }
    call->token = token_find(tokens, call->request->token);
    if (call->token == NULL) {
        http_api_refuse(call, 401, "unauthorized",
                        "a valid `Authorization: Bearer` token is needed");
        return false;
    }
    if ((call->token->scopes & scopes) == 0) {
        http_api_refuse(call, 403, "forbidden", "the token's scopes do not allow this");
        return false;
    }
    return true;
}

void http_api_dispatch(const struct http_api_routes *routes, const struct token_table *tokens,
                       struct http_api_call *call) {
    bool knows_path;
    const struct http_api_endpoint *endpoint = find_endpoint(routes, call, &knows_path);
    if (endpoint == NULL && knows_path) {
        http_api_refuse(call, 405, "method_not_allowed", "this path does not take this method");
    } else if (endpoint == NULL) {
        http_api_refuse(call, 404, "not_found", "there is no such path");
    } else if (is_allowed(tokens, call, endpoint->scopes)) {
        endpoint->handle(call);
    }
}

void http_api_whoami(const struct http_api_call *call, const char *program, const char *hub_id) {
    static const struct {
        unsigned scope;
        const char *name;
    } scopes[] = {{TOKEN_SUBMIT, "submit"},
                  {TOKEN_READ, "read"},
                  {TOKEN_WORKER, "worker"},
                  {TOKEN_OPERATE, "operate"}};
    const struct token *token = call->token;
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "name", token->name);
    json_write_begin_array(&writer, "scopes");
    for (size_t i = 0; i < array_count(scopes); i++) {
        if ((token->scopes & scopes[i].scope) != 0) {
            json_write_string(&writer, NULL, scopes[i].name);
        }
    }
    json_write_end_array(&writer);
    if (token->system[0] != '\0') {
        json_write_string(&writer, "system", token->system);
    } else {
        json_write_null(&writer, "system");
    }
    json_write_string(&writer, "program", program);
    if (hub_id != NULL) {
        json_write_string(&writer, "hub_id", hub_id);
    } else {
        json_write_null(&writer, "hub_id");
    }
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

/* ---- parts of requests ---- */

static bool refuse_query(const struct http_api_call *call, const char *name, const char *what) {
    char message[96];
    snprintf(message, sizeof message, "the query's `%s` %s", name, what);
    http_api_refuse(call, 400, "malformed_query", message);
    return false;
}

bool http_api_query_text(const struct http_api_call *call, const char *name, char *text,
                         size_t capacity) {
    enum status status = http_target_value(call->request->query, name, text, capacity);
    if (status == STATUS_OK) {
        return true;
    }
    text[0] = '\0';
    return status == STATUS_NOT_FOUND || refuse_query(call, name, "is malformed, or too long");
}

bool http_api_query_number(const struct http_api_call *call, const char *name, uint64_t max,
                           uint64_t *value) {
    char text[24];
    enum status status = http_target_value(call->request->query, name, text, sizeof text);
    bool is_good = status == STATUS_OK && config_integer(text, 0, max, value) == STATUS_OK;
    return status == STATUS_NOT_FOUND || is_good ||
           refuse_query(call, name, "is not a number in range");
}

bool http_api_last_event_id(const struct http_api_call *call, uint64_t *id) {
    char text[24] = "";
    struct bytes header = call->request->last_event_id;
    *id = 0;
    if (header.size == 0) {
        return true;
    }
    if (header.size < sizeof text) {
        memcpy(text, header.data, header.size);
        if (config_integer(text, 0, INT64_MAX, id) == STATUS_OK) {
            return true;
        }
    }
    http_api_refuse(call, 400, "malformed_header", "Last-Event-ID is not the id of an event");
    return false;
}

/* ---- server-sent events ---- */

enum status http_api_send_event(struct http_connection *connection, uint64_t id, struct bytes json,
                                char *room, size_t room_size) {
    int head = snprintf(room, room_size, "id: %llu\ndata: ", (unsigned long long)id);
    check(head > 0 && (size_t)head + json.size + 2 <= room_size);
    memcpy(room + head, json.data, json.size);
    memcpy(room + head + json.size, "\n\n", 2);
    return http_stream_write(connection,
                             (struct bytes){(uint8_t *)room, (size_t)head + json.size + 2});
}

enum status http_api_send_gap(struct http_connection *connection, uint64_t first, uint64_t last) {
    char text[128];
    int size = snprintf(
        text, sizeof text, "event: gap\nid: %llu\ndata: {\"first\":%llu,\"last\":%llu}\n\n",
        (unsigned long long)last, (unsigned long long)first, (unsigned long long)last);
    return http_stream_write(connection, (struct bytes){(uint8_t *)text, (size_t)size});
}
