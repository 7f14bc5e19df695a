#include "host/upstreamd/api/api_internal.h"

#include "host/shared/capability_json.h"
#include "host/shared/dashboard.h"
#include "host/shared/log.h"
#include "host/shared/openapi.h"
#include "host/shared/process_id.h"

#include <stdio.h>
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

struct process_id api_id_of(const struct db_process *process) {
    return api_is_fleets(process) ? api_fleet_id(process->number)
                                  : process_id_make(http_api_text(process->hub_id),
                                                    process->first_epoch, process->number);
}

struct process_id api_fleet_id(uint64_t number) {
    const uint64_t mask = (UINT64_C(1) << DB_NUMBER_BITS) - 1;
    return process_id_make(bytes_of(DB_UPSTREAM), db_fleet_epoch(number), number & mask);
}

bool api_find_process(const struct http_api_call *call, struct db_process *process) {
    struct process_id id;
    enum status status = process_id_parse(call->id, &id);
    if (status == STATUS_OK && strcmp(id.hub_id, DB_UPSTREAM) == 0) {
        id.number = db_fleet_number(id.epoch, id.number);
    }
    status = status == STATUS_OK ? db_process_find(api_of(call)->fleet->db, &id, process)
                                 : STATUS_NOT_FOUND;
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
    struct db_upstream upstream;
    if (sync_server_is_failing(api_of(call)->sync) ||
        db_upstream_get(api_of(call)->fleet->db, &upstream) != STATUS_OK) {
        http_api_refuse(call, 503, "store_failed", "the database does not store; see the log");
    } else if (api_of(call)->is_stopping) {
        http_api_refuse(call, 503, "not_ready", "upstream is stopping");
    } else {
        http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ready\"}"),
                     NULL);
    }
}

static void get_capabilities(const struct http_api_call *call) {
    const struct registry *registry = api_of(call)->registry;
    capabilities_write(call, registry->capabilities, registry->lists, registry->count);
}

/* What a hub alone can do or knows; of a phone, which hub that is. */
static void refuse_hub_only(const struct http_api_call *call) {
    char text[DB_PHONE_SIZE] = "";
    char message[160] = "only a hub answers this: ask the hub itself";
    struct db_fleet_phone phone;
    if (call->id.size < sizeof text) {
        memcpy(text, call->id.data, call->id.size);
    }
    if (text[0] != '\0' &&
        db_fleet_phone_find(api_of(call)->fleet->db, text, &phone) == STATUS_OK) {
        snprintf(message, sizeof message, "only the phone's hub answers this: ask %s", phone.hub);
    }
    http_api_refuse(call, 404, "hub_only", message);
}

static void get_openapi(const struct http_api_call *call) {
    http_respond(call->connection, 200, "application/json", openapi_text(), NULL);
}

static void get_whoami(const struct http_api_call *call) {
    http_api_whoami(call, "upstreamd", NULL);
}

static const struct http_api_endpoint endpoints[] = {
    {HTTP_METHOD_GET, TOKEN_READ, "/processes", api_list_processes},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*", api_get_process},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*/events", api_get_events},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*/stream", api_get_stream},
    {HTTP_METHOD_GET, TOKEN_READ, "/phones", api_get_phones},
    {HTTP_METHOD_GET, TOKEN_READ, "/phones/*", api_get_phone},
    {HTTP_METHOD_GET, TOKEN_READ, "/capabilities", get_capabilities},
    {HTTP_METHOD_GET, TOKEN_READ, "/slots", refuse_hub_only},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/power", refuse_hub_only},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/label", refuse_hub_only},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/quarantine", refuse_hub_only},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/release", refuse_hub_only},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/adb", refuse_hub_only},
    {HTTP_METHOD_GET, TOKEN_READ, "/hubs", api_get_hubs},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/hubs/*/release", api_release_hub},
    {HTTP_METHOD_GET, TOKEN_READ, "/metrics", api_get_metrics},
    {HTTP_METHOD_GET, TOKEN_READ, "/stream", api_get_fleet_stream},
    {HTTP_METHOD_GET, TOKEN_READ, "/history", api_get_history},
    {HTTP_METHOD_GET, TOKEN_READ, "/openapi.json", get_openapi},
    {HTTP_METHOD_GET, TOKEN_ANY, "/whoami", get_whoami},
    {HTTP_METHOD_GET, 0, "/healthz", get_health},
    {HTTP_METHOD_GET, 0, "/", dashboard_get},
    {HTTP_METHOD_GET, 0, "/dashboard/*", dashboard_get},
    {HTTP_METHOD_GET, 0, "/readyz", get_ready},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/capability-requests/enqueue", api_enqueue},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/maintenance/requests", api_maintenance},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/ingest", api_ingest},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/cancel", api_legacy_cancel},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/cancel", api_cancel},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/retry", api_retry_process},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/suspend", api_suspend},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/resume", api_resume},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/processes/*/settle", api_settle},
};

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    static const struct http_api_routes routes = {endpoints, array_count(endpoints)};
    const struct api *api = owner;
    struct http_api_call call = {.owner = owner,
                                 .connection = connection,
                                 .request = request,
                                 .member_bytes = RECORD_PAYLOAD_MAX / 2};
    http_api_dispatch(&routes, api->tokens, &call);
}

static void closed(void *owner, struct http_connection *connection) {
    struct api *api = owner;
    api_forget_stream(api, connection);
    http_watch_forget(&api->watch.list, connection);
}

static void drained(void *owner, struct http_connection *connection) {
    struct api *api = owner;
    api_unblock_stream(api, connection);
    (void)http_watch_drained(&api->watch.list, connection);
}

/* ---- life ---- */

void api_init(struct api *api, const struct api_parts *parts) {
    api->fleet = parts->fleet;
    api->sync = parts->sync;
    api->tokens = parts->tokens;
    api->dispatch = parts->dispatch;
    api->registry = parts->registry;
    api->callbacks = parts->callbacks;
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
    api_feed_due_streams(api);
    api_step_watch(api);
}

uint64_t api_deadline_ms(const struct api *api) {
    uint64_t server = http_server_deadline(&api->server);
    uint64_t streams = api_stream_deadline_ms(api);
    uint64_t watch = api_watch_deadline_ms(api);
    uint64_t next = server < streams ? server : streams;
    next = watch < next ? watch : next;
    return api->is_due || api->is_dirty ? 0 : next;
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
    http_watch_end_all(&api->watch.list);
    http_server_stop(&api->server);
}
