#include "host/upstreamd/api_internal.h"

#include "host/shared/log.h"
#include "host/shared/process_id.h"

#include <string.h>

/* ---- answers ---- */

bool api_refuse_failure(const struct http_api_call *call, enum status status) {
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) {
        return false;
    }
    log_error("database_failed reason=%s", db_reason(api_of(call)->fleet->db));
    http_api_refuse(call, 503, "store_failed",
                    "upstream's database could not be read; see the log");
    return true;
}

bool api_find_process(const struct http_api_call *call, struct db_process *process) {
    struct process_id id;
    enum status status = process_id_parse(call->id, &id);
    if (status == STATUS_OK && id.number <= SYNC_SEQ_MAX) {
        process->number = id.number;
        process->epoch = id.epoch;
        memcpy(process->hub_id, id.hub_id, sizeof process->hub_id);
        status = db_process_find(api_of(call)->fleet->db, process);
    } else {
        status = STATUS_NOT_FOUND;
    }
    if (status == STATUS_NOT_FOUND) {
        http_api_refuse(call, 404, "not_found", "no hub has told of a process of this id");
        return false;
    }
    return !api_refuse_failure(call, status);
}

/* ---- endpoints ---- */

static void get_health(const struct http_api_call *call) {
    http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ok\"}"), NULL);
}

static void get_ready(const struct http_api_call *call) {
    if (api_of(call)->sync->has_failed) {
        http_api_refuse(call, 503, "store_failed", "the database does not store; see the log");
    } else if (api_of(call)->is_stopping) {
        http_api_refuse(call, 503, "not_ready", "upstream is stopping");
    } else {
        http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ready\"}"),
                     NULL);
    }
}

static void not_yet(const struct http_api_call *call) {
    http_api_refuse(call, 501, "not_implemented",
                    "upstream does not take requests or forward orders yet; send this to the hub");
}

static const struct http_api_endpoint endpoints[] = {
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

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    static const struct http_api_routes routes = {endpoints, array_count(endpoints)};
    const struct api *api = owner;
    struct http_api_call call = {.owner = owner, .connection = connection, .request = request};
    http_api_dispatch(&routes, api->tokens, &call);
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
