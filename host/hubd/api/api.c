#include "host/hubd/api/api_internal.h"
#include "host/shared/openapi.h"
#include "host/hubd/phones/phone_key.h"
#include "host/shared/dashboard.h"

#include <string.h>
#include <time.h>

struct process_clock api_clock(const struct hub *hub) {
    return (struct process_clock){hub->image.boots, hub->image.boot_count};
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
    uint32_t process = ids_find_process(hub, call->id);
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

uint32_t api_own_process_of(const struct http_api_call *call) {
    uint32_t process = api_process_of(call);
    if (process != HUB_NONE && hub_is_part(api_of(call)->hub, process)) {
        http_api_refuse(call, 409, "owned_upstream",
                        "this is the hub's part of a process of upstream's: ask upstream");
        return HUB_NONE;
    }
    return process;
}

/* ---- endpoints ---- */

static void get_health(const struct http_api_call *call) {
    http_respond(call->connection, 200, "application/json", bytes_of("{\"status\":\"ok\"}"), NULL);
}

void api_write_warnings(struct json_writer *writer, const struct api *api) {
    const struct hub *hub = api->hub;
    json_write_begin_array(writer, "warnings");
    if (hub_is_worn(hub)) {
        json_write_string(writer, NULL, "store_worn");
    }
    if (hub_gap(hub) != NULL) {
        json_write_string(writer, NULL, "history_given_up");
    }
    if (phone_key_expiring(hub) > 0) {
        json_write_string(writer, NULL, "adb_keys_expiring");
    }
    if (api->phones->usb_obstacle != NULL) {
        json_write_string(writer, NULL, "usb_missing");
    }
    json_write_end_array(writer);
}

/* What needs an operator soon stands beside it. */
static void respond_ready(const struct http_api_call *call) {
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "status", "ready");
    api_write_warnings(&writer, api_of(call));
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

static void get_ready(const struct http_api_call *call) {
    const struct api *api = api_of(call);
    if (api->hub->store.has_failed) {
        http_api_refuse(call, 503, "store_failed", "the record store has failed; see the log");
    } else if (!api->is_ready || api->hub->is_stopping) {
        http_api_refuse(call, 503, "not_ready", "the hub is starting or stopping");
    } else {
        respond_ready(call);
    }
}

static void get_openapi(const struct http_api_call *call) {
    http_respond(call->connection, 200, "application/json", openapi_text(), NULL);
}

static void get_whoami(const struct http_api_call *call) {
    http_api_whoami(call, "hubd", api_of(call)->hub->hub_id);
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
    {HTTP_METHOD_GET, TOKEN_READ, "/stream", api_get_hub_stream},
    {HTTP_METHOD_GET, TOKEN_READ, "/history", api_get_history},
    {HTTP_METHOD_GET, TOKEN_ANY, "/whoami", get_whoami},
    {HTTP_METHOD_GET, TOKEN_READ, "/artifacts/*/*", api_get_artifact},
    {HTTP_METHOD_GET, 0, "/healthz", get_health},
    {HTTP_METHOD_GET, 0, "/", dashboard_get},
    {HTTP_METHOD_GET, 0, "/dashboard/*", dashboard_get},
    {HTTP_METHOD_GET, 0, "/readyz", get_ready},
};

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    static const struct http_api_routes routes = {endpoints, array_count(endpoints)};
    const struct api *api = owner;
    struct http_api_call call = {.owner = owner,
                                 .connection = connection,
                                 .request = request,
                                 .member_bytes = api->hub->board->payload_bytes / 2};
    http_api_dispatch(&routes, api->tokens, &call);
}

static void closed(void *owner, struct http_connection *connection) {
    struct api *api = owner;
    api_forget_stream(api, connection);
    api_forget_download(api, connection);
    http_watch_forget(&api->watch.list, connection);
    for (uint32_t i = 0; i < api->wait_count; i++) {
        if (api->waits[i].connection == connection) {
            api->waits[i].connection = NULL;
        }
    }
}

static void drained(void *owner, struct http_connection *connection) {
    api_unblock_stream(owner, connection);
    api_feed_download(owner, connection);
    (void)http_watch_drained(&((struct api *)owner)->watch.list, connection);
}

void api_init(struct api *api, const struct api_parts *parts, uint32_t stream_bytes) {
    api->hub = parts->hub;
    api->executor = parts->executor;
    api->phones = parts->phones;
    api->adb = parts->adb;
    api->uplink = parts->uplink;
    api->carriers = parts->carriers;
    api->tokens = parts->tokens;
    api->notifier = parts->notifier;
    api->artifacts = parts->artifacts;
    check(parts->stream_limit > 0 && parts->stream_limit <= API_STREAMS);
    api->stream_limit = parts->stream_limit;
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
    api_step_history(api);
    api_step_watch(api);
}

uint64_t api_deadline_ms(const struct api *api) {
    uint64_t server = http_server_deadline(&api->server);
    uint64_t streams = api_stream_deadline_ms(api);
    uint64_t watch = api_watch_deadline_ms(api);
    uint64_t next = server < streams ? server : streams;
    next = watch < next ? watch : next;
    return api->history.due_ms < next ? api->history.due_ms : next;
}
