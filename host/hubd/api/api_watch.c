/* GET /stream: the whole hub as it changes, as server-sent events.
 *
 * Ten times a second, while somebody watches, each phone's row is compared by its digest with what
 * it was, and processes are taken whose newest record has become durable since. What is new gets
 * the next number; a watcher is sent what has a number above its own, in their order. */
#include "host/hubd/api/api_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    ERRORS_MS = 1000,       /* how often attempts are looked through */
    ERRORS_RECORDS = 16384, /* of the newest records, at the first look */
    TELL_MS = 5000, /* the hub's row is sent at least so often: the client hears that we live */
};

/* Of changes in one start of this program; a number stays below 2^53, as JSON's readers need it. */
static const uint64_t versions_a_start = 1ull << 32;

/* ---- the newest error of each phone ---- */

static void take_error(struct api *api, const struct hub_attempt *attempt, uint64_t seq,
                       const struct record_attempt *image) {
    const struct hub *hub = api->hub;
    uint32_t phone = hub_phone_find(hub, image->phone_id);
    if (phone == HUB_NONE || image->outcome != RECORD_FAILURE ||
        api->watch.errors[phone].seq >= seq) {
        return;
    }
    const struct process_clock clock = api_clock(hub);
    struct api_phone_error *error = &api->watch.errors[phone];
    const struct bytes message = process_row_front(image->message, API_ERROR_BYTES - 1);
    *error = (struct api_phone_error){
        .seq = seq,
        .process = hub->processes[hub->items[attempt->item].process].number,
        .at_ms = process_time_ms(&clock, &image->ended),
        .category = image->category,
    };
    snprintf(error->code, sizeof error->code, "%.*s", (int)image->code.size,
             (const char *)image->code.data);
    snprintf(error->message, sizeof error->message, "%.*s", (int)message.size,
             (const char *)message.data);
}

void api_find_errors(struct api *api) {
    struct hub *hub = api->hub;
    struct api_watch *watch = &api->watch;
    uint64_t durable = hub_durable_seq(hub);
    if (watch->errors_seq == 0 && durable > ERRORS_RECORDS) {
        watch->errors_seq = durable - ERRORS_RECORDS;
    }
    if (durable == watch->errors_seq) {
        return;
    }
    for (uint32_t a = 0; a < hub->attempt_pool.touched; a++) {
        struct record_attempt image;
        if (!pool_is_used(&hub->attempt_pool, a)) {
            continue;
        }
        uint64_t seq = store_slot(&hub->store, (struct store_key){RECORD_ATTEMPT, a})->seq;
        if (seq > watch->errors_seq && seq <= durable && api_read_attempt(hub, a, &image)) {
            take_error(api, &hub->attempts[a], seq, &image);
        }
    }
    watch->errors_seq = durable;
}

/* ---- the hub's own row ---- */

static void write_counts(struct json_writer *writer, const struct hub *hub) {
    uint32_t phones[RECORD_PHONE_STATE_COUNT] = {0};
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        phones[hub->phones[p].state] += hub->phones[p].number != 0;
    }
    json_write_begin_object(writer, "phones");
    for (unsigned state = 0; state < RECORD_PHONE_STATE_COUNT; state++) {
        json_write_uint(writer, record_phone_state_name((enum record_phone_state)state),
                        phones[state]);
    }
    json_write_end_object(writer);
    uint32_t items[RECORD_ITEM_STATE_COUNT] = {0};
    for (uint32_t i = 0; i < hub->item_pool.touched; i++) {
        if (pool_is_used(&hub->item_pool, i)) {
            items[hub->items[i].image.state] += 1;
        }
    }
    json_write_begin_object(writer, "items");
    for (unsigned state = 0; state < RECORD_ITEM_STATE_COUNT; state++) {
        json_write_uint(writer, record_item_state_name((enum record_item_state)state),
                        items[state]);
    }
    json_write_end_object(writer);
}

static struct bytes write_hub(struct api *api) {
    const struct hub *hub = api->hub;
    struct json_writer writer;
    struct bytes json;
    json_write_init(&writer, api->scratch, sizeof api->scratch);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "hub_id", hub->hub_id);
    write_counts(&writer, hub);
    json_write_uint(&writer, "processes", hub->process_pool.used);
    json_write_string(&writer, "sync", uplink_state_name(api->uplink->state));
    json_write_uint(&writer, "lag_records", hub->store.durable_seq - hub->store.acked_seq);
    json_write_uint(&writer, "lag_seconds", api_sync_lag_ms(api) / 1000);
    json_write_bool(&writer, "stopping", hub->is_stopping);
    api_write_warnings(&writer, api);
    json_write_end_object(&writer);
    check(json_write_finish(&writer, &json) == STATUS_OK);
    return json;
}

static struct bytes write_phone(struct api *api, uint32_t phone) {
    struct json_writer writer;
    struct bytes json;
    json_write_init(&writer, api->scratch, sizeof api->scratch);
    api_write_phone(api, &writer, phone);
    check(json_write_finish(&writer, &json) == STATUS_OK);
    return json;
}

/* ---- what has changed ---- */

static uint64_t digest_of(struct bytes text) {
    uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < text.size; i++) {
        digest = (digest ^ text.data[i]) * 0x100000001b3u;
    }
    return digest;
}

static void look_at_phones(struct api *api) {
    struct api_watch *watch = &api->watch;
    for (uint32_t p = 0; p < api->hub->phone_count; p++) {
        uint64_t digest = digest_of(write_phone(api, p));
        if (digest != watch->phones[p].digest && api->hub->phones[p].number != 0) {
            watch->version += 1;
            watch->phones[p].digest = digest;
            watch->phones[p].version = watch->version;
        }
    }
}

static void look_at_processes(struct api *api) {
    const struct hub *hub = api->hub;
    struct api_watch *watch = &api->watch;
    uint64_t durable = hub_durable_seq(hub);
    for (uint32_t p = 0; durable != watch->seen_seq && p < hub->process_pool.touched; p++) {
        if (!pool_is_used(&hub->process_pool, p)) {
            continue;
        }
        uint64_t seq = store_slot(&hub->store, hub->processes[p].tail)->seq;
        if (seq > watch->seen_seq && seq <= durable) {
            watch->version += 1;
            watch->changes[watch->change_count % API_CHANGES].version = watch->version;
            watch->changes[watch->change_count % API_CHANGES].process = hub->processes[p].number;
            watch->change_count += 1;
        }
    }
    watch->seen_seq = durable;
}

/* The hub's row comes last, so that it also says: that was all. */
static void look_at_hub(struct api *api) {
    struct api_watch *watch = &api->watch;
    uint64_t digest = digest_of(write_hub(api));
    if (digest != watch->hub_digest || api->now_ms >= watch->told_ms + TELL_MS) {
        watch->version += 1;
        watch->hub_digest = digest;
        watch->hub_version = watch->version;
        watch->told_ms = api->now_ms;
    }
}

static void look(struct api *api) {
    struct api_watch *watch = &api->watch;
    if (watch->version == 0) {
        watch->version = (uint64_t)api->hub->image.starts * versions_a_start;
        watch->seen_seq = hub_durable_seq(api->hub);
    }
    watch->looked_ms = api->now_ms;
    if (api->now_ms >= watch->errors_ms + ERRORS_MS) {
        watch->errors_ms = api->now_ms;
        api_find_errors(api);
    }
    look_at_phones(api);
    look_at_processes(api);
    look_at_hub(api);
}

/* ---- telling it ---- */

enum row { ROW_NONE, ROW_PHONE, ROW_PROCESS, ROW_HUB };

struct next {
    enum row row;
    uint64_t version;
    uint64_t number; /* index of a phone, number of a process */
};

static void consider(struct next *next, enum row row, uint64_t version, uint64_t number) {
    if (next->row == ROW_NONE || version < next->version) {
        *next = (struct next){row, version, number};
    }
}

static uint64_t oldest_change(const struct api_watch *watch) {
    return watch->change_count > API_CHANGES ? watch->change_count - API_CHANGES : 0;
}

/* The oldest change above the cursor. */
static struct next find_next(const struct api *api, const struct http_watcher *watcher,
                             uint64_t cursor) {
    const struct api_watch *watch = &api->watch;
    struct next next = {ROW_NONE, 0, 0};
    for (uint32_t p = 0; p < api->hub->phone_count; p++) {
        if (watch->phones[p].version > cursor) {
            consider(&next, ROW_PHONE, watch->phones[p].version, p);
        }
    }
    if (watch->hub_version > cursor) {
        consider(&next, ROW_HUB, watch->hub_version, 0);
    }
    cursor = watcher->from > cursor ? watcher->from : cursor;
    uint64_t low = oldest_change(watch); /* the ring is in the order of its numbers */
    uint64_t high = watch->change_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (watch->changes[middle % API_CHANGES].version > cursor) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low < watch->change_count) {
        consider(&next, ROW_PROCESS, watch->changes[low % API_CHANGES].version,
                 watch->changes[low % API_CHANGES].process);
    }
    return next;
}

/* A process that has changed again and is not durable yet comes with a later number; one that was
 * evicted does not come. False: nothing is to be sent of it. */
static bool write_process(struct api *api, uint64_t number, struct bytes *json) {
    const struct hub *hub = api->hub;
    uint32_t process = hub_process_find(hub, number);
    struct json_writer writer;
    if (process == HUB_NONE ||
        store_slot(&hub->store, hub->processes[process].tail)->seq > hub_durable_seq(hub)) {
        return false;
    }
    json_write_init(&writer, api->scratch, sizeof api->scratch);
    api_write_row(api, &writer, process);
    check(json_write_finish(&writer, json) == STATUS_OK);
    return true;
}

static bool add_next(struct api *api, struct http_watch_batch *batch, const struct next *next) {
    struct bytes json;
    switch (next->row) {
    case ROW_PHONE:
        return http_watch_add(batch, "phone", next->version,
                              write_phone(api, (uint32_t)next->number));
    case ROW_PROCESS:
        if (write_process(api, next->number, &json)) {
            return http_watch_add(batch, "process", next->version, json);
        }
        batch->cursor = next->version;
        return true;
    case ROW_HUB:
        return http_watch_add(batch, "hub", next->version, write_hub(api));
    case ROW_NONE:
        break;
    }
    return false;
}

static void feed(struct api *api, struct http_watcher *watcher) {
    while (watcher->connection != NULL && !watcher->is_blocked) {
        struct http_watch_batch batch = http_watch_begin(watcher, api->line, sizeof api->line);
        batch.cursor = watcher->cursor;
        if (watcher->cursor == 0) {
            /* All phones follow; the processes are to be read from their list. */
            (void)http_watch_add(&batch, "anew", 1, bytes_of("{}"));
        }
        struct next next = find_next(api, watcher, batch.cursor);
        while (next.row != ROW_NONE && add_next(api, &batch, &next)) {
            next = find_next(api, watcher, batch.cursor);
        }
        watcher->cursor = batch.size == 0 ? batch.cursor : watcher->cursor;
        bool is_more = batch.size > 0 || next.row != ROW_NONE;
        if (!is_more || !http_watch_flush(&batch) || next.row == ROW_NONE) {
            return;
        }
    }
}

void api_get_hub_stream(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct api_watch *watch = &api->watch;
    look(api);
    struct http_watcher *watcher = http_watch_open(&watch->list, call, watch->version, api->now_ms);
    if (watcher == NULL) {
        return;
    }
    /* Who comes anew is told of all phones, and reads the processes from their list; so does who
     * has missed more of them than are kept. */
    uint64_t oldest = oldest_change(watch);
    bool is_late = oldest > 0 && watch->changes[oldest % API_CHANGES].version > watcher->cursor + 1;
    if (watcher->cursor < (uint64_t)api->hub->image.starts * versions_a_start || is_late) {
        watcher->cursor = 0;
        watcher->from = watch->version;
    }
    feed(api, watcher);
}

void api_step_watch(struct api *api) {
    struct api_watch *watch = &api->watch;
    http_watch_end_old(&watch->list, api->now_ms);
    if (watch->list.count == 0) {
        return;
    }
    if (api->now_ms >= watch->looked_ms + HTTP_WATCH_LOOK_MS) {
        look(api);
    }
    for (uint32_t i = 0; i < HTTP_WATCHERS; i++) {
        feed(api, &watch->list.watchers[i]);
    }
}

uint64_t api_watch_deadline_ms(const struct api *api) {
    return api->watch.list.count == 0 ? TIMER_NEVER : api->watch.looked_ms + HTTP_WATCH_LOOK_MS;
}
