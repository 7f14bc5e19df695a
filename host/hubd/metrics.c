/* GET /metrics: Prometheus text exposition format 0.0.4. */
#include "host/hubd/api_internal.h"

#include "hal/linux/arena.h"
#include "host/shared/metrics_text.h"

#include <stdio.h>
#include <string.h>

static void put_items(struct metrics_text *text, const struct hub *hub) {
    metrics_head(text, "hub_transitions_total", "counter",
                 "Item transitions by state before and after.");
    for (unsigned from = 0; from < RECORD_ITEM_STATE_COUNT; from++) {
        for (unsigned to = 0; to < RECORD_ITEM_STATE_COUNT; to++) {
            uint64_t count = hub->counters.transitions[from][to];
            if (count > 0) {
                metrics_put(text, "hub_transitions_total{from=\"%s\",to=\"%s\"} %llu\n",
                            record_item_state_name((enum record_item_state)from),
                            record_item_state_name((enum record_item_state)to),
                            (unsigned long long)count);
            }
        }
    }
    uint32_t states[RECORD_ITEM_STATE_COUNT] = {0};
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        if (pool_is_used(&hub->item_pool, i)) {
            states[hub->items[i].image.state] += 1;
        }
    }
    metrics_head(text, "hub_items", "gauge", "Items by state.");
    for (unsigned state = 0; state < RECORD_ITEM_STATE_COUNT; state++) {
        metrics_put(text, "hub_items{state=\"%s\"} %u\n",
                    record_item_state_name((enum record_item_state)state), states[state]);
    }
    metrics_head(text, "hub_errors_total", "counter", "Failed attempts by category.");
    for (unsigned c = 1; c < RECORD_CATEGORY_COUNT; c++) {
        metrics_put(text, "hub_errors_total{category=\"%s\"} %llu\n",
                    record_category_name((enum record_category)c),
                    (unsigned long long)hub->counters.errors[c]);
    }
}

static void put_phones(struct metrics_text *text, const struct hub *hub) {
    uint32_t states[RECORD_PHONE_STATE_COUNT] = {0};
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        states[hub->phones[p].state] += hub->phones[p].number != 0;
    }
    metrics_head(text, "hub_phones", "gauge", "Phones by state.");
    for (unsigned state = 0; state < RECORD_PHONE_STATE_COUNT; state++) {
        metrics_put(text, "hub_phones{state=\"%s\"} %u\n",
                    record_phone_state_name((enum record_phone_state)state), states[state]);
    }
}

/* What was done to bring phones back, and how often their power was switched. */
static void put_recovery(struct metrics_text *text, const struct phones *phones) {
    metrics_head(text, "hub_recovery_rungs_total", "counter",
                 "Rungs of the recovery ladder tried.");
    for (unsigned r = 0; r < LADDER_RUNG_COUNT; r++) {
        metrics_put(text, "hub_recovery_rungs_total{rung=\"%s\"} %llu\n",
                    r == LADDER_END ? "quarantine" : ladder_rules[r].name,
                    (unsigned long long)phones->rungs[r]);
    }
    metrics_one(text, "hub_power_cycles_total", "counter", "Ports switched off and on.",
                phones->power.cycles);
    metrics_one(text, "hub_power_cycle_failures_total", "counter",
                "Port switches that a hub refused or did not do.", phones->power.failures);
}

static void put_pool(struct metrics_text *text, const char *table, const struct pool *pool) {
    metrics_put(text, "hub_table_used{table=\"%s\"} %u\n", table, pool->used);
    metrics_put(text, "hub_table_used_max{table=\"%s\"} %u\n", table, pool->used_max);
    metrics_put(text, "hub_table_capacity{table=\"%s\"} %u\n", table, pool->capacity);
}

static void put_tables(struct metrics_text *text, const struct hub *hub) {
    metrics_one(text, "hub_requests_accepted_total", "counter", "Requests accepted.",
                hub->counters.accepted);
    metrics_one(text, "hub_requests_duplicate_total", "counter", "Requests with a known key.",
                hub->counters.duplicates);
    metrics_one(text, "hub_requests_refused_full_total", "counter", "Requests refused: no room.",
                hub->counters.refused_full);
    metrics_one(text, "hub_processes_evicted_total", "counter", "Finished processes evicted.",
                hub->counters.evicted);
    metrics_put(text, "# TYPE hub_table_used untyped\n# TYPE hub_table_used_max untyped\n"
                      "# TYPE hub_table_capacity untyped\n");
    put_pool(text, "processes", &hub->process_pool);
    put_pool(text, "items", &hub->item_pool);
    put_pool(text, "attempts", &hub->attempt_pool);
}

static void put_store(struct metrics_text *text, const struct hub *hub) {
    const struct store *store = &hub->store;
    metrics_one(text, "hub_store_head_seq", "gauge", "Last sequence number given.",
                store->head_seq);
    metrics_one(text, "hub_store_durable_seq", "gauge", "Highest durable one.", store->durable_seq);
    metrics_one(text, "hub_store_acknowledged_seq", "gauge",
                "Highest one that upstream has stored.", store->acked_seq);
    metrics_one(text, "hub_store_live_bytes", "gauge", "Bytes of newest records.",
                store->live_bytes);
    metrics_one(text, "hub_store_reserved_bytes", "gauge", "Bytes kept for accepted items.",
                hub->reserved_bytes);
    metrics_one(text, "hub_store_free_blocks", "gauge", "Erase blocks that are free.",
                store->free_count);
    metrics_one(text, "hub_store_programmed_bytes_total", "counter",
                "Bytes programmed since start.", store->stats.bytes_programmed);
    metrics_one(text, "hub_store_appended_bytes_total", "counter", "Bytes of records since start.",
                store->stats.bytes_appended);
    metrics_one(text, "hub_store_erases_total", "counter", "Blocks taken into use since start.",
                store->stats.erases);
    metrics_one(text, "hub_store_groups_total", "counter", "Commit groups since start.",
                store->stats.groups);
    metrics_one(text, "hub_store_torn_frames_total", "counter",
                "Frames dropped from the log's end.", store->stats.torn_frames);
    metrics_one(text, "hub_store_rotten_frames_total", "counter", "Frames found damaged elsewhere.",
                store->stats.rotten_frames);
    metrics_one(text, "hub_suspect_objects_total", "counter", "Objects unreadable at start.",
                hub->counters.suspect_objects);
}

static void put_uplink(struct metrics_text *text, const struct api *api) {
    const struct uplink *uplink = api->uplink;
    const struct store *store = &api->hub->store;
    metrics_head(text, "hub_sync_state", "gauge", "State of the link to upstream.");
    for (unsigned state = 0; state < UPLINK_STATE_COUNT; state++) {
        metrics_put(text, "hub_sync_state{state=\"%s\"} %d\n",
                    uplink_state_name((enum uplink_state)state), uplink->state == state);
    }
    metrics_one(text, "hub_sync_lag_records", "gauge", "Durable records not acknowledged.",
                store->durable_seq - store->acked_seq);
    bool is_behind = store->durable_seq > store->acked_seq && uplink->state != UPLINK_OFF;
    metrics_one(text, "hub_sync_lag_seconds", "gauge",
                "Since upstream last acknowledged, while behind.",
                is_behind ? (api->now_ms - uplink->acknowledged_ms) / 1000 : 0);
    metrics_one(text, "hub_sync_connects_total", "counter", "Connections made.",
                uplink->counters.connects);
    metrics_one(text, "hub_sync_resumed_total", "counter", "Of them, by a TLS ticket.",
                uplink->counters.resumed);
    metrics_one(text, "hub_sync_failures_total", "counter", "Connections or pushes that failed.",
                uplink->counters.failures);
    metrics_one(text, "hub_sync_pushes_total", "counter", "Pushes sent.", uplink->counters.pushes);
    metrics_one(text, "hub_sync_records_total", "counter", "Records sent.",
                uplink->counters.records);
    metrics_one(text, "hub_sync_bytes_total", "counter", "Bytes of pushes.",
                uplink->counters.bytes_sent);
    metrics_one(text, "hub_sync_forks_total", "counter", "Forks found.", uplink->counters.forks);
}

static void put_process(struct metrics_text *text, const struct api *api) {
    const struct heap_stats arena = arena_stats();
    const struct http_counters *http = &api->server.counters;
    metrics_one(text, "hub_arena_capacity_bytes", "gauge", "Library arena.", arena.capacity_bytes);
    metrics_one(text, "hub_arena_used_bytes", "gauge", "Of it, in use.", arena.used_bytes);
    metrics_one(text, "hub_arena_peak_bytes", "gauge", "Of it, most ever in use.",
                arena.peak_bytes);
    metrics_one(text, "hub_arena_failures_total", "counter", "Allocations refused.",
                arena.failures);
    metrics_one(text, "hub_http_connections", "gauge", "Open API connections.", http->open);
    metrics_one(text, "hub_http_requests_total", "counter", "API requests.", http->requests);
    metrics_one(text, "hub_http_refused_total", "counter", "Malformed, too large or too slow.",
                http->refused);
    metrics_one(text, "hub_http_overflowed_total", "counter", "Turned away: all connections busy.",
                http->overflowed);
    metrics_one(text, "hub_streams", "gauge", "Event streams open.", api->stream_count);
    metrics_one(text, "hub_uptime_seconds", "gauge", "Since this program started.",
                (api->now_ms - api->started_ms) / 1000);
    metrics_one(text, "hub_starts_total", "counter", "Starts of this program on this store.",
                api->hub->image.starts);
}

static void put_callbacks(struct metrics_text *text, const struct notifier *notifier) {
    metrics_one(text, "hub_callbacks_delivered_total", "counter", "Callbacks answered with 2xx.",
                notifier->counters.delivered);
    metrics_one(text, "hub_callbacks_failed_total", "counter", "Callback tries that failed.",
                notifier->counters.failed);
    metrics_one(text, "hub_callbacks_given_up_total", "counter", "Callbacks given up for good.",
                notifier->counters.given_up);
    metrics_one(text, "hub_callbacks_watched", "gauge", "Processes whose changes are told.",
                notifier->watched);
}

void api_get_metrics(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct http_body body = http_body_begin(call->connection);
    struct metrics_text text = {.data = (char *)body.data, .capacity = body.capacity};
    put_items(&text, api->hub);
    put_phones(&text, api->hub);
    put_recovery(&text, api->phones);
    put_tables(&text, api->hub);
    put_store(&text, api->hub);
    put_uplink(&text, api);
    put_process(&text, api);
    put_callbacks(&text, api->notifier);
    http_respond_built(call->connection, 200, METRICS_CONTENT_TYPE, text.size, NULL);
}
