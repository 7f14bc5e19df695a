/* GET /metrics: Prometheus text exposition format 0.0.4. */
#include "firmware/process.h"
#include "host/shared/log.h"
#include "host/shared/metrics_text.h"
#include "host/upstreamd/api/api_internal.h"
#include "host/upstreamd/fleet/teller.h"

#include <stdio.h>

enum { HUBS_SHOWN = 1000 };

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
    metrics_one(text, "upstream_given_up_records_total", "counter",
                "Records that hubs gave up before they came.", counters->given_up);
    metrics_one(text, "upstream_forks_total", "counter", "Pushes of another history.",
                counters->forks);
    metrics_one(text, "upstream_conflicts_total", "counter",
                "Processes of inventories that had ended otherwise here.", counters->conflicts);
    metrics_one(text, "upstream_sealed_records_total", "counter",
                "Records that would have changed what had ended before a fork.", counters->sealed);
    metrics_one(text, "upstream_restored_total", "counter",
                "Pushes that prove that the database is an older one.", counters->restored);
    metrics_one(text, "upstream_refused_total", "counter", "Bodies that were no push.",
                counters->refused);
    metrics_one(text, "upstream_deleted_processes_total", "counter",
                "Processes that ended longer ago than [store] keep_days.", counters->deleted);
    metrics_one(text, "upstream_commits_total", "counter", "Transactions committed.",
                counters->commits);
    metrics_one(text, "upstream_database_failures_total", "counter", "Transactions that failed.",
                counters->failures);
    metrics_one(text, "upstream_database_conflicts_total", "counter",
                "Transactions that the database broke off for another one's sake.",
                fleet->db->conflicts);
    metrics_one(text, "upstream_notices_total", "counter",
                "Words of other upstreamd on the same database.", fleet->db->words_heard);
}

/* Hub ids come from certificates and may hold anything printable: escaped as a label value. */
static void put_hub_label(struct metrics_text *text, const char *name, const char *hub_id) {
    metrics_put(text, "%s{hub=\"", name);
    for (const char *c = hub_id; *c != '\0'; c++) {
        metrics_put(text, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    }
    metrics_put(text, "\"} ");
}

static void put_hub_sample(struct metrics_text *text, const char *name, const char *hub_id,
                           uint64_t value) {
    put_hub_label(text, name, hub_id);
    metrics_put(text, "%llu\n", (unsigned long long)value);
}

static uint64_t since(const struct fleet *fleet, uint64_t then_ms) {
    uint64_t now_ms = fleet->now.wall_ms;
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void put_totals(struct metrics_text *text, const struct fleet *fleet,
                       const struct db_hub_totals *totals) {
    metrics_one(text, "upstream_log_suppressed_lines_total", "counter",
                "Log lines left out in storms.", log_suppressed_count());
    metrics_one(text, "upstream_hubs", "gauge", "Hubs that ever pushed.", totals->hubs);
    metrics_one(text, "upstream_hubs_stale", "gauge", "Of them, those not heard for a minute.",
                totals->silent);
    metrics_one(text, "upstream_longest_silence_seconds", "gauge",
                "Since the hub was heard that is silent for longest.",
                totals->hubs == 0 ? 0 : since(fleet, totals->oldest_ms) / 1000);
    metrics_head(text, "upstream_longest_lag_seconds", "gauge",
                 "Of all hubs: age of the newest record when it came.");
    metrics_put(text, "upstream_longest_lag_seconds %llu.%03u\n",
                (unsigned long long)totals->longest_lag_ms / 1000,
                (unsigned)(totals->longest_lag_ms % 1000));
    metrics_one(text, "upstream_hub_gaps_all_total", "counter", "Gaps in all hubs' histories.",
                totals->gaps);
    metrics_one(text, "upstream_hub_forks_all_total", "counter",
                "Pushes of another history, of all hubs.", totals->forks);
}

/* Series of their own, for as many hubs as a scrape should have. */
static void put_hubs(struct metrics_text *text, const struct fleet *fleet) {
    static struct db_hub hubs[HUBS_SHOWN];
    uint32_t count = 0;
    db_hub_walk(fleet->db, "", HUBS_SHOWN);
    while (count < HUBS_SHOWN && db_hub_next(fleet->db, &hubs[count]) == STATUS_OK) {
        count += 1;
    }
    db_walk_end(fleet->db);
    metrics_head(text, "upstream_hub_silence_seconds", "gauge", "Since the hub was heard last.");
    for (uint32_t i = 0; i < count; i++) {
        put_hub_sample(text, "upstream_hub_silence_seconds", hubs[i].id,
                       since(fleet, hubs[i].last_seen_ms) / 1000);
    }
    metrics_head(text, "upstream_hub_lag_seconds", "gauge",
                 "Age of the hub's newest record when it came.");
    for (uint32_t i = 0; i < count; i++) {
        put_hub_label(text, "upstream_hub_lag_seconds", hubs[i].id);
        metrics_put(text, "%llu.%03u\n", (unsigned long long)hubs[i].lag_ms / 1000,
                    (unsigned)(hubs[i].lag_ms % 1000));
    }
    metrics_head(text, "upstream_hub_gaps_total", "counter", "Gaps in the hub's history.");
    for (uint32_t i = 0; i < count; i++) {
        put_hub_sample(text, "upstream_hub_gaps_total", hubs[i].id, hubs[i].gaps);
    }
    metrics_head(text, "upstream_hub_given_up_records_total", "counter",
                 "Records in them that never came.");
    for (uint32_t i = 0; i < count; i++) {
        put_hub_sample(text, "upstream_hub_given_up_records_total", hubs[i].id, hubs[i].given_up);
    }
    metrics_head(text, "upstream_hub_quarantined", "gauge",
                 "Two hosts use the hub's certificate by turns: nothing is taken from it.");
    for (uint32_t i = 0; i < count; i++) {
        put_hub_sample(text, "upstream_hub_quarantined", hubs[i].id, hubs[i].quarantined_ms != 0);
    }
    metrics_head(text, "upstream_hub_forks_total", "counter", "Pushes of another history, by hub.");
    for (uint32_t i = 0; i < count; i++) {
        put_hub_sample(text, "upstream_hub_forks_total", hubs[i].id, hubs[i].forks);
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

static void put_dispatch(struct metrics_text *text, const struct dispatch *dispatch) {
    const struct dispatch_counters *counters = &dispatch->counters;
    metrics_one(text, "upstream_epoch", "gauge", "Of this upstream: grows with each restore.",
                dispatch->upstream.epoch);
    metrics_one(text, "upstream_holding", "gauge", "1: restored, and it grants nothing yet.",
                dispatch->holding_since_ms != 0);
    metrics_one(text, "upstream_offers_total", "counter", "Items that hubs were offered.",
                counters->offers);
    metrics_one(text, "upstream_renewals_total", "counter", "Answers that renewed grants.",
                counters->renewals);
    metrics_one(text, "upstream_items_moved_total", "counter",
                "Items that were asked back for another hub.", counters->moved);
    metrics_one(text, "upstream_items_lost_total", "counter",
                "Items taken from hubs that were silent.", counters->lost);
    metrics_one(text, "upstream_items_forgotten_total", "counter",
                "Items taken from hubs that came back without them.", counters->forgotten);
    metrics_one(text, "upstream_late_total", "counter",
                "Processes whose deadline came before a hub had them.", counters->late);
}

static void put_told(struct metrics_text *text, const struct teller_counters *counters) {
    metrics_one(text, "upstream_callbacks_total", "counter", "Callbacks that were delivered.",
                counters->delivered);
    metrics_one(text, "upstream_callback_failures_total", "counter", "Tries that failed.",
                counters->failed);
    metrics_one(text, "upstream_callbacks_given_up_total", "counter",
                "Changes that could not be told.", counters->given_up);
}

static void put_http(struct metrics_text *text, const char *name, const char *type,
                     const char *help, const uint64_t values[2]) {
    metrics_head(text, name, type, help);
    metrics_put(text, "%s{server=\"api\"} %llu\n", name, (unsigned long long)values[0]);
    metrics_put(text, "%s{server=\"sync\"} %llu\n", name, (unsigned long long)values[1]);
}

static void put_servers(struct metrics_text *text, const struct http_counters *api,
                        const struct http_counters *sync) {
    put_http(text, "upstream_http_connections", "gauge", "Connections open.",
             (uint64_t[]){api->open, sync->open});
    put_http(text, "upstream_http_requests_total", "counter", "Requests.",
             (uint64_t[]){api->requests, sync->requests});
    put_http(text, "upstream_http_refused_total", "counter", "Answered by the server itself.",
             (uint64_t[]){api->refused, sync->refused});
    put_http(text, "upstream_http_overflowed_total", "counter",
             "Connections turned away: all were busy.",
             (uint64_t[]){api->overflowed, sync->overflowed});
}

void api_get_metrics(const struct http_api_call *call) {
    struct api *api = api_of(call);
    const struct fleet *fleet = api->fleet;
    uint64_t counts[PROCESS_STATUS_COUNT];
    struct db_hub_totals totals;
    uint64_t now_ms = fleet->now.wall_ms;
    uint64_t since_ms = now_ms > FLEET_STALE_MS ? now_ms - FLEET_STALE_MS : 0;
    if (api_refuse_failure(call, db_process_counts(fleet->db, counts)) ||
        api_refuse_failure(call, db_hub_sum(fleet->db, since_ms, &totals))) {
        return;
    }
    struct http_body body = http_body_begin(call->connection);
    struct metrics_text text = {.data = (char *)body.data, .capacity = body.capacity};
    put_sync(&text, fleet);
    put_totals(&text, fleet, &totals);
    if (totals.hubs <= HUBS_SHOWN) {
        put_hubs(&text, fleet);
    }
    put_processes(&text, counts);
    put_dispatch(&text, api->dispatch);
    put_told(&text, api->told);
    put_servers(&text, &api->server.counters, &api->sync->server.counters);
    metrics_one(&text, "upstream_tls_refused_total", "counter",
                "Hubs without a certificate that counts.", api->sync->tls.refused_count);
    metrics_one(&text, "upstream_held_pushes_total", "counter", "Polls that had to wait.",
                api->sync->counters.held);
    metrics_one(&text, "upstream_woken_pushes_total", "counter",
                "Waiting polls that were judged anew for a word to their hub.",
                api->sync->counters.woken);
    metrics_one(&text, "upstream_streams", "gauge", "Event streams open.", api->stream_count);
    metrics_one(&text, "upstream_uptime_seconds", "gauge", "Since this program started.",
                (fleet->now.mono_ms - api->started_ms) / 1000);
    http_respond_built(call->connection, 200, METRICS_CONTENT_TYPE, text.size, NULL);
}
