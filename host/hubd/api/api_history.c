/* GET /history: processes by status, errors, sync lag, flash wear over time; time in state. */
#include "host/hubd/api/api_internal.h"

/* The first series; errors by category follow, then those that are behind them. */
enum series {
    SERIES_QUEUED,
    SERIES_EXECUTING,
    SERIES_RETRYING,
    SERIES_COMPLETED,
    SERIES_FAILED,
    SERIES_CANCELLED,
    SERIES_PHONES_READY,
    SERIES_PHONES_LEASED,
    SERIES_PHONES_OTHER,
    SERIES_LAG_RECORDS,
    SERIES_LAG_SECONDS,
    SERIES_WEAR_MAX,
    SERIES_ERRORS, /* and one for each category behind it */
    SERIES_COUNT = SERIES_ERRORS + RECORD_CATEGORY_COUNT
};
_Static_assert((int)SERIES_COUNT <= (int)TREND_SERIES, "a sample holds them");

static const char *const names[SERIES_ERRORS] = {
    "queued",       "executing",     "retrying",     "completed",   "failed_terminal", "cancelled",
    "phones_ready", "phones_leased", "phones_other", "lag_records", "lag_seconds",     "wear_max",
};

uint64_t api_sync_lag_ms(const struct api *api) {
    const struct store *store = &api->hub->store;
    bool is_behind = store->durable_seq > store->acked_seq && api->uplink->state != UPLINK_OFF;
    return is_behind ? api->now_ms - api->uplink->acknowledged_ms : 0;
}

uint32_t api_wear_max(const struct hub *hub) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < hub->store.flash->block_count; i++) {
        uint32_t count = hub->store.memory.blocks[i].erase_count;
        most = count > most ? count : most;
    }
    return most;
}

static enum series series_of(enum process_status status) {
    switch (status) {
    case PROCESS_EXECUTING:
        return SERIES_EXECUTING;
    case PROCESS_RETRYABLE:
        return SERIES_RETRYING;
    case PROCESS_DONE:
        return SERIES_COMPLETED;
    case PROCESS_NO_TARGET:
    case PROCESS_PARTIAL:
    case PROCESS_DEAD_LETTER:
        return SERIES_FAILED;
    case PROCESS_CANCELLED:
    case PROCESS_CANCELLED_EMPTY:
        return SERIES_CANCELLED;
    case PROCESS_NONE:
    case PROCESS_QUEUED:
    case PROCESS_CLAIMED:
    case PROCESS_PLANNED:
    case PROCESS_STATUS_COUNT:
    default:
        return SERIES_QUEUED;
    }
}

void api_step_history(struct api *api) {
    const struct hub *hub = api->hub;
    struct trend_sample *sample = trend_take(&api->history, api->now_ms, hub->clock.wall_ms);
    if (sample == NULL) {
        return;
    }
    uint32_t *values = sample->values;
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (pool_is_used(&hub->process_pool, p)) {
            values[series_of((enum process_status)hub->processes[p].status)] += 1;
        }
    }
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        uint8_t state = hub->phones[p].state;
        values[state == RECORD_PHONE_READY    ? SERIES_PHONES_READY
               : state == RECORD_PHONE_LEASED ? SERIES_PHONES_LEASED
                                              : SERIES_PHONES_OTHER] += 1;
    }
    bool has_upstream = api->uplink->state != UPLINK_OFF;
    values[SERIES_LAG_RECORDS] =
        has_upstream ? (uint32_t)(hub->store.durable_seq - hub->store.acked_seq) : 0;
    values[SERIES_LAG_SECONDS] = (uint32_t)(api_sync_lag_ms(api) / 1000);
    values[SERIES_WEAR_MAX] = api_wear_max(hub);
    for (uint32_t c = 1; c < RECORD_CATEGORY_COUNT; c++) {
        values[SERIES_ERRORS + c] = (uint32_t)hub->counters.errors[c];
    }
}

/* How long items stayed in each state, in classes with an upper limit. */
static void write_stays(struct json_writer *writer, const struct hub *hub) {
    json_write_begin_object(writer, "time_in_state");
    json_write_begin_array(writer, "limits_ms");
    for (unsigned i = 0; i < HUB_STAYS - 1; i++) {
        json_write_uint(writer, NULL, hub_stay_ms[i]);
    }
    json_write_end_array(writer);
    json_write_begin_object(writer, "states");
    for (unsigned state = 0; state < RECORD_COMPLETED; state++) {
        json_write_begin_object(writer, record_item_state_name((enum record_item_state)state));
        json_write_begin_array(writer, "counts");
        for (unsigned i = 0; i < HUB_STAYS; i++) {
            json_write_uint(writer, NULL, hub->counters.stays[state][i]);
        }
        json_write_end_array(writer);
        json_write_uint(writer, "sum_ms", hub->counters.stayed_ms[state]);
        json_write_end_object(writer);
    }
    json_write_end_object(writer);
    json_write_end_object(writer);
}

void api_get_history(const struct http_api_call *call) {
    const struct api *api = api_of(call);
    const char *all[SERIES_COUNT];
    for (unsigned i = 0; i < SERIES_COUNT; i++) {
        all[i] = i < SERIES_ERRORS
                     ? names[i]
                     : record_category_name((enum record_category)(i - SERIES_ERRORS));
    }
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    trend_write(&api->history, &writer, all, SERIES_COUNT);
    json_write_begin_array(&writer, "error_categories");
    for (unsigned c = 1; c < RECORD_CATEGORY_COUNT; c++) {
        json_write_string(&writer, NULL, record_category_name((enum record_category)c));
    }
    json_write_end_array(&writer);
    write_stays(&writer, api->hub);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}
