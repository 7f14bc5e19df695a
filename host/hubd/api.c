#include "host/hubd/api_internal.h"
#include "host/hubd/openapi.h"

#include <string.h>
#include <time.h>

struct process_clock api_clock(const struct hub *hub) {
    return (struct process_clock){hub->image.boots, hub->image.boot_count};
}

struct process_id api_process_id(const struct hub *hub, uint64_t number) {
    return process_id_make(http_api_text(hub->hub_id), hub->store.epoch, number);
}

/* ---- waiting for durability ---- */

const uint64_t api_latency_us[API_LATENCIES] = {250,   500,    1000,   2500,    5000,
                                                10000, 100000, 250000, 1000000, UINT64_MAX};

static uint64_t now_us(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void count_latency(struct api_latency *latency, uint64_t us) {
    uint32_t class = 0;
    while (us > api_latency_us[class]) {
        class += 1;
    }
    latency->counts[class] += 1;
    latency->sum_us += us;
}

static struct api_wait *add_wait(const struct http_api_call *call, uint64_t seq) {
    struct api *api = api_of(call);
    check(api->wait_count < API_CONNECTIONS);
    struct api_wait *wait = &api->waits[api->wait_count];
    wait->connection = call->connection;
    wait->seq = seq;
    wait->body = NULL;
    api->wait_count += 1;
    return wait;
}

void api_wait_again(const struct http_api_call *call, uint64_t seq) {
    add_wait(call, seq)->request = *call->request;
}

void api_answer_at(const struct http_api_call *call, uint64_t seq, unsigned status,
                   const struct json_writer *writer) {
    struct bytes body;
    if (json_write_finish(writer, &body) != STATUS_OK) {
        http_api_end_json(call, status, writer); /* it says so */
        return;
    }
    struct api_wait *wait = add_wait(call, seq);
    wait->asked_us = now_us();
    wait->body = body.data;
    wait->body_size = body.size;
    wait->status = status;
}

uint32_t api_process_of(const struct http_api_call *call) {
    struct hub *hub = api_of(call)->hub;
    struct process_id id;
    uint32_t process = HUB_NONE;
    if (process_id_parse(call->id, &id) == STATUS_OK && strcmp(id.hub_id, hub->hub_id) == 0 &&
        id.epoch == hub->store.epoch) {
        process = hub_process_find(hub, id.number);
    }
    if (process == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "there is no process of this id on this hub");
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

static void get_health(const struct http_api_call *call) {
    http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ok\"}"), NULL);
}

static void get_ready(const struct http_api_call *call) {
    const struct api *api = api_of(call);
    if (api->hub->store.has_failed) {
        http_api_refuse(call, 503, "store_failed", "the record store has failed; see the log");
    } else if (!api->is_ready || api->hub->is_stopping) {
        http_api_refuse(call, 503, "not_ready", "the hub is starting or stopping");
    } else {
        http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ready\"}"),
                     NULL);
    }
}

static void get_openapi(const struct http_api_call *call) {
    http_respond(call->connection, 200, "application/json", openapi_text(), NULL);
}

static const struct http_api_endpoint endpoints[] = {
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/capability-requests/enqueue", api_enqueue},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/maintenance/requests", api_maintenance},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes", api_list_processes},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*", api_get_process},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*/events", api_get_events},
    {HTTP_METHOD_GET, TOKEN_READ, "/processes/*/stream", api_get_stream},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/cancel", api_cancel},
    {HTTP_METHOD_GET, TOKEN_READ, "/phones", api_get_phones},
    {HTTP_METHOD_GET, TOKEN_READ, "/phones/*", api_get_phone},
    {HTTP_METHOD_POST, TOKEN_WORKER | TOKEN_OPERATE, "/phones/*/adb", api_open_adb},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/suspend", api_suspend},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/resume", api_resume},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/processes/*/retry", api_retry_process},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/processes/*/settle", api_settle},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/ingest", api_ingest},
    {HTTP_METHOD_POST, TOKEN_SUBMIT, "/cancel", api_legacy_cancel},
    {HTTP_METHOD_GET, TOKEN_WORKER, "/api/internal/jobs/queue", api_worker_claim},
    {HTTP_METHOD_POST, TOKEN_WORKER, "/api/internal/jobs/queue", api_worker_claim},
    {HTTP_METHOD_POST, TOKEN_WORKER, "/api/internal/jobs/status", api_worker_batch},
    {HTTP_METHOD_POST, TOKEN_WORKER, "/api/internal/jobs/*/acknowledge", api_worker_acknowledge},
    {HTTP_METHOD_PUT, TOKEN_WORKER, "/api/internal/jobs/*/status", api_worker_status},
    {HTTP_METHOD_POST, TOKEN_WORKER, "/api/internal/jobs/*/heartbeat", api_worker_heartbeat},
    {HTTP_METHOD_POST, TOKEN_WORKER, "/api/internal/jobs/*/complete", api_worker_complete},
    {HTTP_METHOD_POST, TOKEN_WORKER, "/api/internal/jobs/*/fail", api_worker_fail},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/label", api_phone_label},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/quarantine", api_phone_quarantine},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/release", api_phone_release},
    {HTTP_METHOD_POST, TOKEN_OPERATE, "/phones/*/power", api_phone_power},
    {HTTP_METHOD_GET, TOKEN_READ, "/slots", api_get_slots},
    {HTTP_METHOD_GET, TOKEN_READ, "/capabilities", api_get_capabilities},
    {HTTP_METHOD_GET, TOKEN_READ, "/metrics", api_get_metrics},
    {HTTP_METHOD_GET, TOKEN_READ, "/openapi.json", get_openapi},
    {HTTP_METHOD_GET, TOKEN_READ, "/artifacts/*/*", api_get_artifact},
    {HTTP_METHOD_GET, 0, "/healthz", get_health},
    {HTTP_METHOD_GET, 0, "/readyz", get_ready},
};

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    static const struct http_api_routes routes = {endpoints, array_count(endpoints)};
    const struct api *api = owner;
    struct http_api_call call = {.owner = owner, .connection = connection, .request = request};
    http_api_dispatch(&routes, api->tokens, &call);
}

static void closed(void *owner, struct http_connection *connection) {
    struct api *api = owner;
    api_forget_stream(api, connection);
    api_forget_download(api, connection);
    for (uint32_t i = 0; i < api->wait_count; i++) {
        if (api->waits[i].connection == connection) {
            api->waits[i].connection = NULL;
        }
    }
}

static void drained(void *owner, struct http_connection *connection) {
    api_unblock_stream(owner, connection);
    api_feed_download(owner, connection);
}

void api_init(struct api *api, const struct api_parts *parts, uint32_t stream_bytes) {
    api->hub = parts->hub;
    api->executor = parts->executor;
    api->phones = parts->phones;
    api->adb = parts->adb;
    api->uplink = parts->uplink;
    api->tokens = parts->tokens;
    api->notifier = parts->notifier;
    api->artifacts = parts->artifacts;
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

/* Its body was built at the end of the output buffer. Answers before it may have gone meanwhile, so
 * that it must move to where the next one belongs. */
static void answer(const struct api_wait *wait) {
    struct http_body target = http_body_begin(wait->connection);
    if (target.data != wait->body) {
        memmove(target.data, wait->body, wait->body_size);
    }
    http_respond_built(wait->connection, wait->status, "application/json", wait->body_size, NULL);
}

/* Takes the entries that are due out of the list before any is handled: handling may add some. */
static void go_through(struct api *api, bool is_retry) {
    static struct api_wait due[API_CONNECTIONS];
    if (api->wait_count == 0) {
        return;
    }
    uint32_t due_count = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < api->wait_count; i++) {
        struct api_wait *wait = &api->waits[i];
        bool is_due = wait->seq <= hub_durable_seq(api->hub) && (wait->body == NULL) == is_retry;
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
    uint64_t us = due_count > 0 && !is_retry ? now_us() : 0;
    for (uint32_t i = 0; i < due_count; i++) {
        if (is_retry) {
            handle(api, due[i].connection, &due[i].request);
        } else {
            count_latency(&api->latency, us - due[i].asked_us);
            answer(&due[i]);
        }
    }
}

void api_release(struct api *api) {
    go_through(api, false);
    api_feed_streams(api);
}

void api_retry(struct api *api) {
    go_through(api, false);
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
