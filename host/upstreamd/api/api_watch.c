/* GET /stream and /history: the fleet as it changes. What hubs push changes much at once, so a
 * watcher is told that something has (at most once a second), and asks for what it shows. */
#include "firmware/process.h"
#include "host/shared/process_time.h"
#include "host/upstreamd/api/api_internal.h"

#include <string.h>

enum {
    LOOK_MS = 1000,
    TELL_MS = 5000,    /* at least so often the client hears that we live */
    SAMPLE_MS = 10000, /* of the history, at first: the counts come from the database */
};

/* False: the database does not say now. */
static bool read_totals(struct api *api, struct db_hub_totals *totals) {
    uint64_t now_ms = api->fleet->now.wall_ms;
    uint64_t since_ms = now_ms > FLEET_STALE_MS ? now_ms - FLEET_STALE_MS : 0;
    return db_hub_sum(api->fleet->db, since_ms, totals) == STATUS_OK;
}

/* ---- the stream ---- */

static struct bytes write_change(struct api *api) {
    const struct db_hub_totals *totals = &api->watch.totals;
    struct json_writer writer;
    struct bytes json;
    json_write_init(&writer, api->scratch, sizeof api->scratch);
    json_write_begin_object(&writer, NULL);
    json_write_uint(&writer, "records", api->watch.records);
    json_write_uint(&writer, "hubs", totals->hubs);
    json_write_uint(&writer, "hubs_stale", totals->silent);
    json_write_uint(&writer, "longest_lag_ms", totals->longest_lag_ms);
    json_write_uint(&writer, "forks", totals->forks);
    json_write_uint(&writer, "gaps", totals->gaps);
    json_write_uint(&writer, "given_up_records", totals->given_up);
    json_write_end_object(&writer);
    check(json_write_finish(&writer, &json) == STATUS_OK);
    return json;
}

static bool is_same(const struct db_hub_totals *a, const struct db_hub_totals *b) {
    return a->hubs == b->hubs && a->silent == b->silent && a->forks == b->forks &&
           a->gaps == b->gaps && a->longest_lag_ms == b->longest_lag_ms;
}

static void look(struct api *api) {
    struct api_watch *watch = &api->watch;
    const struct fleet *fleet = api->fleet;
    struct db_hub_totals totals = watch->totals;
    if (!read_totals(api, &totals)) {
        return;
    }
    watch->looked_ms = fleet->now.mono_ms;
    if (watch->version == 0) {
        watch->version = fleet->now.wall_ms; /* above those of an earlier start */
    } else if (fleet->counters.records == watch->records && !watch->has_heard &&
               is_same(&totals, &watch->totals) && fleet->now.mono_ms < watch->told_ms + TELL_MS) {
        return;
    }
    watch->records = fleet->counters.records;
    watch->has_heard = false;
    watch->totals = totals;
    watch->told_ms = fleet->now.mono_ms;
    watch->version += 1;
}

static void feed(struct api *api, struct http_watcher *watcher) {
    if (watcher->connection == NULL || watcher->is_blocked ||
        watcher->cursor >= api->watch.version) {
        return;
    }
    struct http_watch_batch batch = http_watch_begin(watcher, api->line, sizeof api->line);
    (void)http_watch_add(&batch, "change", api->watch.version, write_change(api));
    (void)http_watch_flush(&batch);
}

void api_get_fleet_stream(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct api_watch *watch = &api->watch;
    look(api);
    struct http_watcher *watcher =
        http_watch_open(&watch->list, call, watch->version, api->fleet->now.mono_ms);
    if (watcher != NULL) {
        feed(api, watcher);
    }
}

/* ---- the history ---- */

enum series {
    SERIES_QUEUED,
    SERIES_EXECUTING,
    SERIES_RETRYING,
    SERIES_COMPLETED,
    SERIES_FAILED,
    SERIES_CANCELLED,
    SERIES_HUBS,
    SERIES_STALE,
    SERIES_LAG_MAX,
    SERIES_FORKS,
    SERIES_GAPS,
    SERIES_COUNT
};

static const char *const names[SERIES_COUNT] = {
    "queued", "executing",  "retrying",   "completed",   "failed_terminal", "cancelled",
    "hubs",   "hubs_stale", "lag_ms_max", "forks_total", "gaps_total",
};

static void sample_processes(struct api *api, uint32_t *values) {
    static const uint8_t series_of[PROCESS_STATUS_COUNT] = {
        [PROCESS_EXECUTING] = SERIES_EXECUTING, [PROCESS_RETRYABLE] = SERIES_RETRYING,
        [PROCESS_DONE] = SERIES_COMPLETED,      [PROCESS_NO_TARGET] = SERIES_FAILED,
        [PROCESS_PARTIAL] = SERIES_FAILED,      [PROCESS_DEAD_LETTER] = SERIES_FAILED,
        [PROCESS_CANCELLED] = SERIES_CANCELLED, [PROCESS_CANCELLED_EMPTY] = SERIES_CANCELLED,
    };
    uint64_t counts[PROCESS_STATUS_COUNT] = {0};
    if (db_process_counts(api->fleet->db, counts) != STATUS_OK) {
        return;
    }
    for (int row = PROCESS_CANCELLED_EMPTY; row < PROCESS_STATUS_COUNT; row++) {
        values[series_of[row]] += (uint32_t)counts[row];
    }
}

static void step_history(struct api *api) {
    const struct fleet *fleet = api->fleet;
    if (api->history.interval_ms == 0) {
        api->history.interval_ms = SAMPLE_MS;
    }
    struct trend_sample *sample = trend_take(&api->history, fleet->now.mono_ms, fleet->now.wall_ms);
    if (sample == NULL) {
        return;
    }
    uint32_t *values = sample->values;
    sample_processes(api, values);
    struct db_hub_totals totals = {0};
    if (read_totals(api, &totals)) {
        values[SERIES_HUBS] = (uint32_t)totals.hubs;
        values[SERIES_STALE] = (uint32_t)totals.silent;
        values[SERIES_LAG_MAX] = (uint32_t)totals.longest_lag_ms;
        values[SERIES_FORKS] = (uint32_t)totals.forks;
        values[SERIES_GAPS] = (uint32_t)totals.gaps;
    }
}

void api_get_history(const struct http_api_call *call) {
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    trend_write(&api_of(call)->history, &writer, names, SERIES_COUNT);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

/* ---- steps ---- */

void api_step_watch(struct api *api) {
    struct api_watch *watch = &api->watch;
    uint64_t now_ms = api->fleet->now.mono_ms;
    step_history(api);
    http_watch_end_old(&watch->list, now_ms);
    if (watch->list.count == 0) {
        return;
    }
    if (now_ms >= watch->looked_ms + LOOK_MS) {
        look(api);
    }
    for (uint32_t i = 0; i < HTTP_WATCHERS; i++) {
        feed(api, &watch->list.watchers[i]);
    }
}

uint64_t api_watch_deadline_ms(const struct api *api) {
    uint64_t sample_ms = api->history.due_ms;
    uint64_t look_ms = api->watch.looked_ms + LOOK_MS;
    return api->watch.list.count > 0 && look_ms < sample_ms ? look_ms : sample_ms;
}
