#include "host/hubd/api_internal.h"

#include <string.h>

/* ---- answers ---- */

struct bytes api_text(const char *text) {
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

void api_refuse(const struct api_call *call, unsigned status, const char *code,
                const char *message) {
    api_refuse_at(call, status, code, message, NULL);
}

void api_refuse_at(const struct api_call *call, unsigned status, const char *code,
                   const char *message, const char *pointer) {
    struct json_writer writer = api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_object(&writer, "error");
    json_write_string(&writer, "code", code);
    json_write_string(&writer, "message", message);
    if (pointer != NULL) {
        json_write_string(&writer, "pointer", pointer);
    }
    json_write_end_object(&writer);
    json_write_end_object(&writer);
    struct bytes body;
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

void api_end_json(const struct api_call *call, unsigned status, const struct json_writer *writer) {
    struct bytes body;
    if (json_write_finish(writer, &body) != STATUS_OK) {
        http_respond_error(call->connection, 500, "response_too_large",
                           "the answer is larger than this hub's limit; ask for less");
        return;
    }
    http_respond_built(call->connection, status, "application/json", body.size, NULL);
}

struct process_clock api_clock(const struct hub *hub) {
    return (struct process_clock){hub->image.boots, hub->image.boot_count};
}

struct process_id api_process_id(const struct hub *hub, uint64_t number) {
    return process_id_make(api_text(hub->hub_id), hub->store.epoch, number);
}

/* ---- waiting for durability ---- */

void api_wait_for(const struct api_call *call, const struct api_wait *wait) {
    struct api *api = call->api;
    check(api->wait_count < API_CONNECTIONS);
    struct api_wait *entry = &api->waits[api->wait_count];
    *entry = *wait;
    entry->connection = call->connection;
    entry->request = *call->request;
    api->wait_count += 1;
}

void api_wait_again(const struct api_call *call, uint64_t seq) {
    struct api_wait wait = {.seq = seq, .kind = API_WAIT_AGAIN};
    api_wait_for(call, &wait);
}

uint32_t api_process_of(const struct api_call *call) {
    struct hub *hub = call->api->hub;
    struct process_id id;
    uint32_t process = HUB_NONE;
    if (process_id_parse(call->id, &id) == STATUS_OK && strcmp(id.hub_id, hub->hub_id) == 0 &&
        id.epoch == hub->store.epoch) {
        process = hub_process_find(hub, id.number);
    }
    if (process == HUB_NONE) {
        api_refuse(call, 404, "not_found", "there is no process of this id on this hub");
        return HUB_NONE;
    }
    uint64_t seq = store_slot(&hub->store, hub->processes[process].tail)->seq;
    if (seq > hub_durable_seq(hub)) {
        api_wait_again(call, seq);
        return HUB_NONE;
    }
    return process;
}

/* ---- endpoints ---- */

static void get_health(const struct api_call *call) {
    http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ok\"}"), NULL);
}

static void get_ready(const struct api_call *call) {
    const struct api *api = call->api;
    if (api->hub->store.has_failed) {
        api_refuse(call, 503, "store_failed", "the record store has failed; see the log");
    } else if (!api->is_ready || api->hub->is_stopping) {
        api_refuse(call, 503, "not_ready", "the hub is starting or stopping");
    } else {
        http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ready\"}"),
                     NULL);
    }
}

static void post_cancel(const struct api_call *call) {
    struct hub *hub = call->api->hub;
    uint32_t process = api_process_of(call);
    if (process == HUB_NONE) {
        return;
    }
    enum status status = hub_cancel(hub, process);
    if (status == STATUS_TERMINAL) {
        api_refuse(call, 409, "already_terminal", "the process has already ended");
    } else if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(hub));
    } else {
        struct api_wait wait = {.seq = hub_head_seq(hub),
                                .kind = API_WAIT_CANCELLED,
                                .number = hub->processes[process].number};
        api_wait_for(call, &wait);
    }
}

struct endpoint {
    enum http_method method;
    const char *path; /* `*` stands for one part, the call's id */
    unsigned scopes;  /* any of them; 0: no token needed */
    void (*handle)(const struct api_call *call);
};

static const struct endpoint endpoints[] = {
    {HTTP_METHOD_POST, "/capability-requests/enqueue", TOKEN_SUBMIT, api_enqueue},
    {HTTP_METHOD_POST, "/maintenance/requests", TOKEN_SUBMIT, api_maintenance},
    {HTTP_METHOD_GET, "/processes", TOKEN_READ, api_list_processes},
    {HTTP_METHOD_GET, "/processes/*", TOKEN_READ, api_get_process},
    {HTTP_METHOD_GET, "/processes/*/events", TOKEN_READ, api_get_events},
    {HTTP_METHOD_GET, "/processes/*/stream", TOKEN_READ, api_get_stream},
    {HTTP_METHOD_POST, "/processes/*/cancel", TOKEN_SUBMIT, post_cancel},
    {HTTP_METHOD_GET, "/phones", TOKEN_READ, api_get_phones},
    {HTTP_METHOD_GET, "/phones/*", TOKEN_READ, api_get_phone},
    {HTTP_METHOD_GET, "/slots", TOKEN_READ, api_get_slots},
    {HTTP_METHOD_GET, "/capabilities", TOKEN_READ, api_get_capabilities},
    {HTTP_METHOD_GET, "/metrics", TOKEN_READ, api_get_metrics},
    {HTTP_METHOD_GET, "/healthz", 0, get_health},
    {HTTP_METHOD_GET, "/readyz", 0, get_ready},
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
        if (path_matches(endpoints[i].path, call->request->path, &call->id)) {
            *knows_path = true;
            if (endpoints[i].method == call->request->method) {
                return &endpoints[i];
            }
        }
    }
    return NULL;
}

static bool is_allowed(struct api_call *call, unsigned scopes) {
    if (scopes == 0) {
        return true;
    }
    call->token = token_find(call->api->tokens, call->request->token);
    if (call->token == NULL) {
        api_refuse(call, 401, "unauthorized", "a valid `Authorization: Bearer` token is needed");
        return false;
    }
    if ((call->token->scopes & scopes) == 0) {
        api_refuse(call, 403, "forbidden", "the token's scopes do not allow this");
        return false;
    }
    return true;
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
    struct api *api = owner;
    api_forget_stream(api, connection);
    for (uint32_t i = 0; i < api->wait_count; i++) {
        if (api->waits[i].connection == connection) {
            api->waits[i].connection = NULL;
        }
    }
}

static void drained(void *owner, struct http_connection *connection) {
    api_unblock_stream(owner, connection);
}

void api_init(struct api *api, const struct api_parts *parts, uint32_t stream_bytes) {
    api->hub = parts->hub;
    api->executor = parts->executor;
    api->phones = parts->phones;
    api->uplink = parts->uplink;
    api->tokens = parts->tokens;
    const struct http_config config = {
        .loop = parts->loop,
        .limits = {.connections = API_CONNECTIONS,
                   .stream_bytes = stream_bytes,
                   .body_bytes = API_BODY_BYTES,
                   .output_bytes = API_OUTPUT_BYTES,
                   .header_ms = 10000,
                   .body_ms = 20000,
                   .idle_ms = 60000,
                   .send_ms = 20000},
        .handler = {.request = handle, .closed = closed, .drained = drained, .owner = api},
        .memory = parts->memory,
        .memory_bytes = API_SERVER_BYTES(stream_bytes),
    };
    http_server_init(&api->server, &config);
}

/* ---- after a sync ---- */

static const char *milestone(const struct hub *hub, uint64_t number, uint8_t status) {
    uint32_t process = hub_process_find(hub, number);
    const struct process_counts *counts =
        process == HUB_NONE ? NULL : &hub->processes[process].counts;
    enum process_status now =
        process == HUB_NONE ? (enum process_status)status : hub->processes[process].status;
    return now == PROCESS_NONE ? "queued" : process_status_names(now, counts).status;
}

/* The answer to a submission: 202, or 200 for a duplicate (facts of the documented contract). */
static void answer_accepted(const struct api_call *call, const struct api_wait *wait) {
    struct hub *hub = call->api->hub;
    struct process_id id = api_process_id(hub, wait->number);
    uint32_t process = hub_process_find(hub, wait->number);
    struct record_header header;
    struct cbor_reader reader;
    struct record_request image = {0};
    if (process != HUB_NONE &&
        hub_read(hub, (struct store_key){RECORD_REQUEST, process}, &header, &reader) == STATUS_OK) {
        record_get_request(&reader, &image);
    }
    struct json_writer writer = api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "status", "accepted");
    process_member_id(&writer, "process_id", &id);
    process_member_text(&writer, "request_id", image.request_id);
    process_member_text(&writer, "process_type", image.process_type);
    if (wait->is_duplicate) {
        json_write_bool(&writer, "duplicate", true);
        json_write_string(&writer, "process_status", milestone(hub, wait->number, wait->status));
        if (wait->differs) {
            json_write_bool(&writer, "duplicate_differs", true);
        }
    }
    json_write_end_object(&writer);
    api_end_json(call, wait->is_duplicate ? 200 : 202, &writer);
}

/* 202 while the process has not settled, 200 when it has. */
static void answer_cancelled(const struct api_call *call, const struct api_wait *wait) {
    struct hub *hub = call->api->hub;
    struct process_id id = api_process_id(hub, wait->number);
    uint32_t process = hub_process_find(hub, wait->number);
    bool is_settled = process == HUB_NONE || hub->processes[process].end_seq != 0;
    struct json_writer writer = api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    process_member_id(&writer, "process_id", &id);
    json_write_string(&writer, "status", milestone(hub, wait->number, PROCESS_CANCELLED));
    json_write_bool(&writer, "cancel_requested", true);
    json_write_end_object(&writer);
    api_end_json(call, is_settled ? 200 : 202, &writer);
}

static void answer(struct api *api, const struct api_wait *wait) {
    struct api_call call = {.api = api, .connection = wait->connection, .request = &wait->request};
    if (wait->kind == API_WAIT_ACCEPTED) {
        answer_accepted(&call, wait);
    } else {
        answer_cancelled(&call, wait);
    }
}

/* Takes the entries that are due out of the list before any is handled: handling may add some. */
static void go_through(struct api *api, bool is_retry) {
    static struct api_wait due[API_CONNECTIONS];
    uint32_t due_count = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < api->wait_count; i++) {
        struct api_wait *wait = &api->waits[i];
        bool is_due =
            wait->seq <= hub_durable_seq(api->hub) && (wait->kind == API_WAIT_AGAIN) == is_retry;
        if (wait->connection == NULL) {
            continue;
        }
        if (is_due) {
            due[due_count] = *wait;
            due_count += 1;
        } else {
            api->waits[kept] = *wait;
            kept += 1;
        }
    }
    api->wait_count = kept;
    for (uint32_t i = 0; i < due_count; i++) {
        if (is_retry) {
            handle(api, due[i].connection, &due[i].request);
        } else {
            answer(api, &due[i]);
        }
    }
}

void api_release(struct api *api) {
    go_through(api, false);
    api_feed_streams(api);
}

void api_retry(struct api *api) {
    go_through(api, true);
}

void api_step(struct api *api, uint64_t now_ms) {
    api->now_ms = now_ms;
    http_server_step(&api->server, now_ms);
    api_end_old_streams(api);
}

uint64_t api_deadline_ms(const struct api *api) {
    uint64_t server = http_server_deadline(&api->server);
    uint64_t streams = api_stream_deadline_ms(api);
    return server < streams ? server : streams;
}
