/* GET /metrics: Prometheus text exposition format 0.0.4. */
#include "host/hubd/api/api_internal.h"

#include "hal/linux/arena.h"
#include "host/hubd/phones/phone_key.h"
#include "host/shared/log.h"
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

/* ---- how long, and too long ---- */

/* Milliseconds as a decimal number of seconds, exactly. */
static void format_seconds(uint64_t ms, char text[32]) {
    snprintf(text, 32, "%llu.%03u", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

static void put_stays(struct metrics_text *text, const struct hub *hub) {
    metrics_head(text, "hub_state_seconds", "histogram",
                 "How long items stayed in a state that they have left, since start.");
    for (unsigned state = 0; state < RECORD_COMPLETED; state++) {
        const char *name = record_item_state_name((enum record_item_state)state);
        uint64_t count = 0;
        char seconds[32];
        for (unsigned i = 0; i < HUB_STAYS; i++) {
            count += hub->counters.stays[state][i];
            if (i < HUB_STAYS - 1) {
                format_seconds(hub_stay_ms[i], seconds);
            }
            metrics_put(text, "hub_state_seconds_bucket{state=\"%s\",le=\"%s\"} %llu\n", name,
                        i < HUB_STAYS - 1 ? seconds : "+Inf", (unsigned long long)count);
        }
        format_seconds(hub->counters.stayed_ms[state], seconds);
        metrics_put(text, "hub_state_seconds_sum{state=\"%s\"} %s\n", name, seconds);
        metrics_put(text, "hub_state_seconds_count{state=\"%s\"} %llu\n", name,
                    (unsigned long long)count);
    }
}

/* Beyond these an operator should look (docs/operating.md). An attempt's own limit comes on top. */
static const uint64_t stuck_ms[RECORD_COMPLETED] = {
    [RECORD_SCHEDULED] = 7 * 86400000ull,
    [RECORD_READY] = 3600000,
    [RECORD_LEASED] = 300000,
    [RECORD_RUNNING] = 300000,
    [RECORD_RETRY_WAIT] = 300000,
    [RECORD_SUSPENDED] = 86400000,
};

static uint64_t limit_of(const struct hub *hub, const struct hub_item *item) {
    uint32_t index = hub->processes[item->process].capability;
    uint64_t own_ms = 0;
    if (index != HUB_NONE && item->image.state == RECORD_RUNNING) {
        own_ms = hub->capabilities[index].attempt_ms;
    } else if (index != HUB_NONE && item->image.state == RECORD_RETRY_WAIT) {
        own_ms = hub->capabilities[index].backoff.cap_ms;
    }
    return stuck_ms[item->image.state] + own_ms;
}

static void put_stuck(struct metrics_text *text, const struct hub *hub) {
    uint32_t stuck[RECORD_COMPLETED] = {0};
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        const struct hub_item *item = &hub->items[i];
        bool is_waiting = pool_is_used(&hub->item_pool, i) && item->image.state < RECORD_COMPLETED;
        if (is_waiting && hub->clock.mono_ms - item->entered_ms > limit_of(hub, item)) {
            stuck[item->image.state] += 1;
        }
    }
    metrics_head(text, "hub_items_stuck", "gauge",
                 "Items that are in a state for longer than its limit.");
    for (unsigned state = 0; state < RECORD_COMPLETED; state++) {
        metrics_put(text, "hub_items_stuck{state=\"%s\"} %u\n",
                    record_item_state_name((enum record_item_state)state), stuck[state]);
    }
}

static void put_latency(struct metrics_text *text, const struct api_latency *latency) {
    metrics_head(text, "hub_status_update_seconds", "histogram",
                 "From a change's request to its answer, which is durable.");
    uint64_t count = 0;
    for (unsigned i = 0; i < API_LATENCIES; i++) {
        uint64_t limit_us = api_latency_us[i];
        count += latency->counts[i];
        if (i < API_LATENCIES - 1) {
            metrics_put(text, "hub_status_update_seconds_bucket{le=\"%u.%06u\"} %llu\n",
                        (unsigned)(limit_us / 1000000), (unsigned)(limit_us % 1000000),
                        (unsigned long long)count);
        }
    }
    metrics_put(text, "hub_status_update_seconds_bucket{le=\"+Inf\"} %llu\n",
                (unsigned long long)count);
    metrics_put(text, "hub_status_update_seconds_sum %llu.%06u\n",
                (unsigned long long)(latency->sum_us / 1000000),
                (unsigned)(latency->sum_us % 1000000));
    metrics_put(text, "hub_status_update_seconds_count %llu\n", (unsigned long long)count);
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
    metrics_one(
        text, "hub_phones_adb_key_expiring", "gauge",
        "Phones that have not used the hub's ADB key for 6 days; Android forgets it after 7.",
        phone_key_expiring(hub));
}

/* Only where USB is wanted. */
static void put_usb(struct metrics_text *text, const struct phones *phones) {
    if (phones->usb != NULL || phones->usb_obstacle != NULL) {
        metrics_one(text, "hub_usb_up", "gauge",
                    "1: phones are looked for on USB; 0: this machine shows none (see the log).",
                    phones->usb_obstacle == NULL);
    }
}

/* One row for each controller; the sections' names are the operator's own. */
static void put_serial_row(struct metrics_text *text, const struct serial_power *power,
                           const char *name, const char *help,
                           uint64_t (*value)(const struct serial_power_hub *hub)) {
    if (power->count == 0) {
        return;
    }
    size_t size = strlen(name);
    bool is_total = size > 6 && strcmp(name + size - 6, "_total") == 0;
    metrics_head(text, name, is_total ? "counter" : "gauge", help);
    for (uint32_t i = 0; i < power->count; i++) {
        metrics_put(text, "%s{name=\"%s\"} %llu\n", name, power->hubs[i].settings->name,
                    (unsigned long long)value(&power->hubs[i]));
    }
}

static uint64_t is_usable(const struct serial_power_hub *hub) {
    return serial_power_is_offered(hub) ? 1 : 0;
}

static uint64_t answers_of(const struct serial_power_hub *hub) {
    return hub->answers;
}

static uint64_t failures_of(const struct serial_power_hub *hub) {
    return hub->failures;
}

static uint64_t restarts_of(const struct serial_power_hub *hub) {
    return hub->restarts;
}

static uint64_t opens_of(const struct serial_power_hub *hub) {
    return hub->opens;
}

static void put_serial_hubs(struct metrics_text *text, const struct serial_power *power) {
    put_serial_row(text, power, "hub_serial_up", "1: the controller answers and is trusted.",
                   is_usable);
    put_serial_row(text, power, "hub_serial_opens_total", "Its line was opened.", opens_of);
    put_serial_row(text, power, "hub_serial_answers_total", "Commands it has answered.",
                   answers_of);
    put_serial_row(text, power, "hub_serial_failures_total",
                   "Commands it refused or left unanswered, lines that were lost.", failures_of);
    put_serial_row(text, power, "hub_serial_restarts_total",
                   "It has forgotten what its ports were.", restarts_of);
}

static void put_battery(struct metrics_text *text, const struct battery_care *care) {
    static const char *const names[] = {"unknown", "charging", "draining", "resting"};
    uint32_t counts[array_count(names)] = {0};
    if (care->count == 0 && !care->is_for_all) {
        return;
    }
    for (uint32_t i = 0; i < care->count; i++) {
        const struct battery *battery = &care->slots[i].battery;
        counts[battery->is_resting    ? 3
               : !battery->is_known   ? 0
               : battery->is_draining ? 2
                                      : 1] += 1;
    }
    metrics_head(text, "hub_battery_slots", "gauge",
                 "Slots whose phones' batteries are cared for, by what they do.");
    for (size_t i = 0; i < array_count(names); i++) {
        metrics_put(text, "hub_battery_slots{state=\"%s\"} %u\n", names[i], counts[i]);
    }
    metrics_one(text, "hub_battery_cuts_total", "counter",
                "Ports switched off to let a battery drain.", care->cuts);
    metrics_one(text, "hub_battery_charges_total", "counter", "Ports switched on again.",
                care->charges);
    metrics_one(text, "hub_battery_failures_total", "counter",
                "Of both, that a hub refused or did not do.", care->failures);
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
    metrics_one(text, "hub_power_distrusted_total", "counter",
                "Hubs and controllers that switched another slot.", phones->power.distrusts);
    put_serial_hubs(text, &phones->power.serial);
    put_battery(text, &phones->battery);
}

enum table_value { TABLE_USED, TABLE_USED_MAX, TABLE_CAPACITY };

static void put_pools(struct metrics_text *text, const struct hub *hub, const char *name,
                      const char *help, enum table_value value) {
    const struct {
        const char *name;
        const struct pool *pool;
    } tables[] = {
        {"processes", &hub->process_pool}, {"items", &hub->item_pool},
        {"attempts", &hub->attempt_pool},  {"lanes", &hub->lane_pool},
        {"strands", &hub->strand_pool},    {"gates", &hub->gate_pool},
    };
    metrics_head(text, name, "gauge", help);
    for (size_t i = 0; i < array_count(tables); i++) {
        const struct pool *pool = tables[i].pool;
        uint32_t number = value == TABLE_USED       ? pool->used
                          : value == TABLE_USED_MAX ? pool->used_max
                                                    : pool->capacity;
        metrics_put(text, "%s{table=\"%s\"} %u\n", name, tables[i].name, number);
    }
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
    metrics_one(text, "hub_keys_dropped_total", "counter",
                "Idempotency keys forgotten before their time.", hub->counters.keys_dropped);
    metrics_one(text, "hub_attempt_texts_dropped_total", "counter",
                "Outputs and results of attempts that had no room.", hub->counters.texts_dropped);
    metrics_one(text, "hub_phones_dropped_total", "counter",
                "New phones that had no room in the store.", hub->counters.phones_dropped);
    put_pools(text, hub, "hub_table_used", "Entries in use.", TABLE_USED);
    put_pools(text, hub, "hub_table_used_max", "Most entries ever in use.", TABLE_USED_MAX);
    put_pools(text, hub, "hub_table_capacity", "Entries that the board has.", TABLE_CAPACITY);
}

static void put_parts(struct metrics_text *text, const struct hub *hub) {
    metrics_head(text, "hub_commands_total", "counter", "Upstream's commands, by their answer.");
    for (unsigned code = 0; code < RECORD_ANSWER_CODE_COUNT; code++) {
        metrics_put(text, "hub_commands_total{answer=\"%s\"} %llu\n",
                    record_answer_name((enum record_answer_code)code),
                    (unsigned long long)hub->counters.answers[code]);
    }
    metrics_one(text, "hub_parts_offered_total", "counter", "Items of upstream's taken.",
                hub->counters.offered);
    metrics_one(text, "hub_parts_withdrawn_total", "counter", "Items that left at upstream's wish.",
                hub->counters.withdrawn);
    metrics_one(text, "hub_grants_renewed_total", "counter", "Grants that upstream renewed.",
                hub->counters.renewed);
    metrics_one(text, "hub_phones_idle", "gauge", "Phones that are ready and not wanted.",
                hub_idle_count(hub));
}

/* Erase counts of the store's blocks: the largest tells how worn it is, the mean how evenly. */
static void put_wear(struct metrics_text *text, const struct store *store) {
    uint64_t sum = 0;
    uint32_t most = 0;
    check(store->flash->block_count > 0);
    for (uint32_t i = 0; i < store->flash->block_count; i++) {
        sum += store->memory.blocks[i].erase_count;
        most =
            store->memory.blocks[i].erase_count > most ? store->memory.blocks[i].erase_count : most;
    }
    metrics_one(text, "hub_store_wear_max", "gauge", "Erases of the most worn block.", most);
    uint64_t mean = sum * 1000 / store->flash->block_count;
    metrics_head(text, "hub_store_wear_mean", "gauge", "Erases of a block on average.");
    metrics_put(text, "hub_store_wear_mean %llu.%03u\n", (unsigned long long)(mean / 1000),
                (unsigned)(mean % 1000));
}

static void put_scrub(struct metrics_text *text, const struct hub *hub) {
    const struct store_scrub *scrub = &hub->store.scrub;
    metrics_one(text, "hub_store_scrub_passes_total", "counter",
                "Times that all that is in use was read since start.", scrub->passes);
    metrics_one(text, "hub_store_scrub_finished_seconds", "gauge",
                "When the last pass ended, since 1970; 0: none has, or the time was not known.",
                hub->scrub_ended.wall_ms / 1000);
    metrics_one(text, "hub_store_scrub_pass_blocks", "gauge", "Blocks that the pass reads.",
                scrub->block_count);
    metrics_one(text, "hub_store_scrub_read_blocks", "gauge", "Blocks of it that were read.",
                scrub->blocks);
    metrics_one(text, "hub_store_scrub_damaged", "gauge",
                "Damaged places that the last pass has found.", scrub->last_damaged);
    metrics_one(text, "hub_store_scrub_lost_objects", "gauge",
                "Newest records in them of which there is no other copy.", scrub->last_lost);
    metrics_one(text, "hub_store_repaired_total", "counter",
                "Damaged newest records that were written again from another copy.",
                scrub->repaired);
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
    metrics_one(text, "hub_store_bad_blocks", "gauge", "Erase blocks that are not used any more.",
                store->stats.bad_blocks);
    metrics_one(text, "hub_store_spare_blocks", "gauge",
                "Erase blocks that may fail before accepted work may lack room.",
                hub_spare_blocks(hub));
    metrics_one(text, "hub_store_worn", "gauge",
                "1: blocks have failed and few are spare; replace the flash.", hub_is_worn(hub));
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

/* What upstream will not get. */
static void put_gaps(struct metrics_text *text, const struct hub *hub,
                     const struct uplink *uplink) {
    const struct record_gap *gap = hub_gap(hub);
    metrics_one(text, "hub_sync_gap_records", "gauge",
                "Sequence numbers that were given up, and of which upstream is still to be told.",
                gap == NULL ? 0 : gap->last - gap->first + 1);
    metrics_one(text, "hub_sync_gaps_total", "counter", "Times that history was given up.",
                hub->counters.gaps);
    metrics_one(text, "hub_sync_unreadable_total", "counter",
                "Times that the next group for upstream could not be read.",
                uplink->counters.unreadable);
    metrics_head(text, "hub_sync_given_up_records_total", "counter",
                 "Records that upstream will not get, by kind.");
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        metrics_put(text, "hub_sync_given_up_records_total{kind=\"%s\"} %llu\n",
                    record_kind_name((enum record_kind)kind),
                    (unsigned long long)hub->counters.given_up[kind]);
    }
}

/* What the carriers count, by the hub that is carried. */
static void put_carriers(struct metrics_text *text, const struct api *api) {
    static const struct {
        const char *name, *type, *help;
    } rows[] = {
        {"hub_carried_connected", "gauge", "Upstream can be reached for a carried hub."},
        {"hub_carried_pushes_total", "counter", "Pushes of a carried hub that were sent upstream."},
        {"hub_carried_replies_total", "counter", "Replies of upstream to a carried hub."},
        {"hub_carried_damaged_frames_total", "counter", "Frames of a serial line that were wrong."},
        {"hub_carried_dropped_frames_total", "counter",
         "Whole frames of no use, and those that a serial line had no room for."},
        {"hub_carried_wrong_names_total", "counter", "Hellos of a hub that is not the one named."},
    };
    for (size_t r = 0; r < array_count(rows) && api->carriers->count > 0; r++) {
        metrics_head(text, rows[r].name, rows[r].type, rows[r].help);
        for (uint32_t i = 0; i < api->carriers->count; i++) {
            const struct carrier *carrier = &api->carriers->rows[i];
            const uint64_t values[] = {
                carrier_is_up(carrier), carrier->pushes,
                carrier->replies,       carrier->reader.damaged + carrier->reader.too_long,
                carrier->dropped,       carrier->strangers};
            _Static_assert(array_count(values) == array_count(rows), "one value a row");
            metrics_put(text, "%s{hub=\"%s\"} %llu\n", rows[r].name, carrier->settings->name,
                        (unsigned long long)values[r]);
        }
    }
}

static void put_fork(struct metrics_text *text, const struct hub *hub) {
    metrics_one(text, "hub_store_epoch", "gauge", "Life of the store; upstream names a new one.",
                hub->store.epoch);
    metrics_head(text, "hub_fork_state", "gauge", "How far the way out of a fork is.");
    for (unsigned state = 0; state < HUB_FORK_STATE_COUNT; state++) {
        metrics_put(text, "hub_fork_state{state=\"%s\"} %d\n",
                    hub_fork_state_name((enum hub_fork_state)state), hub->fork_state == state);
    }
    metrics_one(text, "hub_ended_upstream_total", "counter",
                "Processes that upstream knew as ended otherwise.", hub->counters.ended_upstream);
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
                uplink->link.connects);
    metrics_one(text, "hub_sync_resumed_total", "counter", "Of them, by a TLS ticket.",
                uplink->link.resumed);
    metrics_one(text, "hub_sync_failures_total", "counter", "Connections or pushes that failed.",
                uplink->link.failures);
    metrics_one(text, "hub_sync_pushes_total", "counter", "Pushes sent.", uplink->counters.pushes);
    metrics_one(text, "hub_sync_polls_total", "counter", "Of them: empty, for upstream to hold.",
                uplink->counters.polls);
    metrics_one(text, "hub_sync_records_total", "counter", "Records sent.",
                uplink->counters.records);
    metrics_one(text, "hub_sync_bytes_total", "counter", "Bytes of pushes.",
                uplink->counters.bytes_sent);
    metrics_one(text, "hub_sync_forks_total", "counter", "Forks found.", uplink->counters.forks);
    put_fork(text, api->hub);
    put_gaps(text, api->hub, uplink);
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
    metrics_one(text, "hub_log_suppressed_lines_total", "counter", "Log lines left out in storms.",
                log_suppressed_count());
    metrics_one(text, "hub_http_connections", "gauge", "Open API connections.", http->open);
    metrics_one(text, "hub_http_requests_total", "counter", "API requests.", http->requests);
    metrics_one(text, "hub_http_refused_total", "counter", "Malformed, too large or too slow.",
                http->refused);
    metrics_one(text, "hub_http_timed_out_total", "counter",
                "Closed: too slow to send a request, or to take an answer or a stream.",
                http->timed_out);
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

static void put_artifacts(struct metrics_text *text, const struct artifacts *artifacts) {
    metrics_one(text, "hub_artifacts_bytes", "gauge", "Of whole outputs kept as files.",
                artifacts->used_bytes);
    metrics_one(text, "hub_artifacts_removed_total", "counter", "Files that went for newer ones.",
                artifacts->removed);
    metrics_one(text, "hub_artifacts_failed_total", "counter", "Files the disk did not take.",
                artifacts->failures);
}

void api_get_metrics(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct http_body body = http_body_begin(call->connection);
    struct metrics_text text = {.data = (char *)body.data, .capacity = body.capacity};
    put_items(&text, api->hub);
    put_stays(&text, api->hub);
    put_stuck(&text, api->hub);
    put_latency(&text, &api->latency);
    put_phones(&text, api->hub);
    put_usb(&text, api->phones);
    put_recovery(&text, api->phones);
    put_tables(&text, api->hub);
    put_parts(&text, api->hub);
    put_store(&text, api->hub);
    put_scrub(&text, api->hub);
    put_wear(&text, &api->hub->store);
    put_uplink(&text, api);
    put_carriers(&text, api);
    put_process(&text, api);
    put_callbacks(&text, api->notifier);
    put_artifacts(&text, api->artifacts);
    http_respond_built(call->connection, 200, METRICS_CONTENT_TYPE, text.size, NULL);
}
