/* GET /metrics: Prometheus text exposition format 0.0.4. */
#include "firmware/process.h"
#include "host/shared/metrics_text.h"
#include "host/upstreamd/api_internal.h"

#include <stdio.h>

static void put_sync(struct metrics_text *text, const struct fleet *fleet) {
    const struct fleet_counters *counters = &fleet->counters;
    metrics_one(text, "upstream_pushes_total", "counter", "Pushes of hubs.", counters->pushes);
    metrics_one(text, "upstream_records_total", "counter", "Records stored.", counters->records);
    metrics_one(text, "upstream_record_bytes_total", "counter", "Bytes of them.", counters->bytes);
    metrics_one(text, "upstream_duplicates_total", "counter", "Records that were stored before.",
                counters->duplicates);
    metrics_one(text, "upstream_unknown_records_total", "counter",
                "Stored without being understood.", counters->unknown);
    metrics_one(text, "upstream_gaps_total", "counter", "Pushes that left records out.",
                counters->gaps);
    metrics_one(text, "upstream_forks_total", "counter", "Pushes of another history.",
                counters->forks);
    metrics_one(text, "upstream_refused_total", "counter", "Bodies that were no push.",
                counters->refused);
    metrics_one(text, "upstream_commits_total", "counter", "Transactions committed.",
                counters->commits);
    metrics_one(text, "upstream_database_failures_total", "counter", "Transactions that failed.",
                counters->failures);
}

/* Hub ids come from certificates and may hold anything printable: escaped as a label value. */
static void put_hub_sample(struct metrics_text *text, const char *name, const char *hub_id,
                           uint64_t value) {
    metrics_put(text, "%s{hub=\"", name);
    for (const char *c = hub_id; *c != '\0'; c++) {
        metrics_put(text, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    }
    metrics_put(text, "\"} %llu\n", (unsigned long long)value);
}

static void put_hubs(struct metrics_text *text, const struct fleet *fleet) {
    uint64_t now_ms = fleet->now.wall_ms;
    metrics_one(text, "upstream_hubs", "gauge", "Hubs that ever pushed.", fleet->hub_count);
    metrics_head(text, "upstream_hub_silence_seconds", "gauge", "Since the hub was heard last.");
    for (uint32_t i = 0; i < fleet->hub_count; i++) {
        const struct db_hub *hub = &fleet->hubs[i];
        uint64_t silence_ms = now_ms > hub->last_seen_ms ? now_ms - hub->last_seen_ms : 0;
        put_hub_sample(text, "upstream_hub_silence_seconds", hub->id, silence_ms / 1000);
    }
    metrics_head(text, "upstream_hub_lag_milliseconds", "gauge",
                 "Age of the hub's newest record when it came.");
    for (uint32_t i = 0; i < fleet->hub_count; i++) {
        put_hub_sample(text, "upstream_hub_lag_milliseconds", fleet->hubs[i].id,
                       fleet->hubs[i].lag_ms);
    }
    metrics_head(text, "upstream_hub_forks_total", "counter", "Pushes of another history, by hub.");
    for (uint32_t i = 0; i < fleet->hub_count; i++) {
        put_hub_sample(text, "upstream_hub_forks_total", fleet->hubs[i].id, fleet->hubs[i].forks);
    }
}

static void put_processes(struct metrics_text *text, const uint64_t counts[PROCESS_STATUS_COUNT]) {
    metrics_head(text, "upstream_processes", "gauge", "Processes by internal status.");
    for (int row = PROCESS_QUEUED; row < PROCESS_STATUS_COUNT; row++) {
        uint64_t count = counts[row];
        if (row == PROCESS_NO_TARGET) {
            continue; /* counted with the other dead letters */
        }
        count += row == PROCESS_DEAD_LETTER ? counts[PROCESS_NO_TARGET] : 0;
        count += row == PROCESS_CANCELLED ? counts[PROCESS_CANCELLED_EMPTY] : 0;
        metrics_put(text, "upstream_processes{status=\"%s\"} %llu\n",
                    process_status_names((enum process_status)row, NULL).internal,
                    (unsigned long long)count);
    }
}

static void put_http(struct metrics_text *text, const char *server,
                     const struct http_server *http) {
    const struct http_counters *counters = &http->counters;
    metrics_put(text, "upstream_http_connections{server=\"%s\"} %u\n", server, counters->open);
    metrics_put(text, "upstream_http_requests_total{server=\"%s\"} %llu\n", server,
                (unsigned long long)counters->requests);
    metrics_put(text, "upstream_http_refused_total{server=\"%s\"} %llu\n", server,
                (unsigned long long)counters->refused);
    metrics_put(text, "upstream_http_overflowed_total{server=\"%s\"} %llu\n", server,
                (unsigned long long)counters->overflowed);
}

void api_get_metrics(const struct http_api_call *call) {
    struct api *api = api_of(call);
    const struct fleet *fleet = api->fleet;
    uint64_t counts[PROCESS_STATUS_COUNT];
    if (api_refuse_failure(call, db_process_counts(fleet->db, counts))) {
        return;
    }
    struct http_body body = http_body_begin(call->connection);
    struct metrics_text text = {.data = (char *)body.data, .capacity = body.capacity};
    put_sync(&text, fleet);
    put_hubs(&text, fleet);
    put_processes(&text, counts);
    put_http(&text, "api", &api->server);
    put_http(&text, "sync", &api->sync->server);
    metrics_one(&text, "upstream_tls_refused_total", "counter",
                "Hubs without a certificate that counts.", api->sync->tls.refused_count);
    metrics_one(&text, "upstream_streams", "gauge", "Event streams open.", api->stream_count);
    metrics_one(&text, "upstream_uptime_seconds", "gauge", "Since this program started.",
                (fleet->now.mono_ms - api->started_ms) / 1000);
    http_respond_built(call->connection, 200, METRICS_CONTENT_TYPE, text.size, NULL);
}
