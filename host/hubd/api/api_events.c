/* The history of a process: pages of events, and the live stream of server-sent events. */
#include "host/hubd/api/api_internal.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_MAX = 200, PAGE_USUAL = 100 };

/* Places of the oldest events behind `after`, oldest first. */
struct page {
    uint32_t where[PAGE_MAX];
    uint64_t first_id; /* of where[0] */
    uint32_t count;
    uint32_t limit;
    bool has_gap; /* older ones are gone: first_id is not after + 1 */
};

/* The history is linked from the newest record to the oldest, so it is walked once to its older
 * end; the page keeps the last `limit` it came by. Records of the open group are left out. */
static void find_page(struct hub *hub, uint32_t process, uint64_t after, struct page *page) {
    static uint32_t ring[PAGE_MAX];
    struct hub_history history;
    struct bytes record;
    uint32_t where;
    uint64_t walked = 0;
    uint64_t oldest = hub->processes[process].revision + 1;
    hub_history_start(hub, process, &history);
    while (history.revision > after &&
           hub_history_next(hub, &history, &record, &where) == STATUS_OK) {
        oldest = history.revision + 1;
        if (!hub_history_is_open(where)) {
            ring[walked % page->limit] = where;
            walked += 1;
        }
    }
    page->has_gap = oldest > after + 1 && oldest <= hub->processes[process].revision;
    page->first_id = oldest;
    page->count = walked < page->limit ? (uint32_t)walked : page->limit;
    for (uint32_t i = 0; i < page->count; i++) {
        page->where[i] = ring[(walked - 1 - i) % page->limit];
    }
}

/* One event as JSON, in the scratch space. False: it is gone. */
static bool write_event(struct api *api, uint32_t process, uint32_t where, uint64_t id,
                        struct bytes *json) {
    struct hub *hub = api->hub;
    struct bytes record;
    if (hub_history_read(hub, where, hub->processes[process].number, id, &record) != STATUS_OK) {
        return false;
    }
    struct json_writer writer;
    struct process_clock clock = api_clock(hub);
    struct process_id process_id = ids_process(hub, hub->processes[process].number);
    json_write_init(&writer, api->scratch, sizeof api->scratch);
    return process_event_write(&writer, NULL, &process_id, record, &clock) == STATUS_OK &&
           json_write_finish(&writer, json) == STATUS_OK;
}

void api_get_events(const struct http_api_call *call) {
    struct api *api = api_of(call);
    uint64_t after = 0;
    uint64_t limit = PAGE_USUAL;
    uint32_t process = api_process_of(call);
    if (process == HUB_NONE || !http_api_query_number(call, "after", INT64_MAX, &after) ||
        !http_api_query_number(call, "limit", PAGE_MAX, &limit)) {
        return;
    }
    struct page page = {.limit = limit == 0 ? 1 : (uint32_t)limit};
    find_page(api->hub, process, after, &page);
    struct process_id id = ids_process(api->hub, api->hub->processes[process].number);
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    process_member_id(&writer, "process_id", &id);
    json_write_bool(&writer, "gap", page.has_gap);
    json_write_begin_array(&writer, "events");
    uint64_t last = after;
    for (uint32_t i = 0; i < page.count; i++) {
        struct bytes json;
        size_t left = writer.capacity - writer.size;
        if (!write_event(api, process, page.where[i], page.first_id + i, &json) ||
            json.size + 128 > left) {
            break;
        }
        json_write_raw(&writer, NULL, json);
        last = page.first_id + i;
    }
    json_write_end_array(&writer);
    json_write_uint(&writer, "last_id", last);
    json_write_bool(&writer, "more", last < api->hub->processes[process].revision);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

/* ---- streams ---- */

static void end_stream(struct api *api, struct api_stream *stream) {
    struct http_connection *connection = stream->connection;
    stream->connection = NULL;
    api->stream_count -= 1;
    http_stream_end(connection);
}

/* Sends one page of what is durable and new. True: there may be more. */
static bool feed_page(struct api *api, struct api_stream *stream, uint32_t process) {
    struct page page = {.limit = PAGE_MAX};
    find_page(api->hub, process, stream->last_id, &page);
    if (page.count > 0 && page.has_gap) {
        if (http_api_send_gap(stream->connection, stream->last_id + 1, page.first_id - 1) !=
            STATUS_OK) {
            stream->is_blocked = true;
            return false;
        }
        stream->last_id = page.first_id - 1;
    }
    for (uint32_t i = 0; i < page.count; i++) {
        struct bytes json;
        uint64_t id = page.first_id + i;
        if (!write_event(api, process, page.where[i], id, &json)) {
            return false;
        }
        if (http_api_send_event(stream->connection, id, json, api->line, sizeof api->line) !=
            STATUS_OK) {
            stream->is_blocked = true;
            return false;
        }
        stream->last_id = id;
    }
    return page.count == page.limit;
}

static void feed(struct api *api, struct api_stream *stream) {
    uint32_t process = hub_process_find(api->hub, stream->number);
    if (process == HUB_NONE) {
        end_stream(api, stream); /* evicted while it was watched */
        return;
    }
    const struct hub_process *of = &api->hub->processes[process];
    while (!stream->is_blocked && stream->last_id < of->revision &&
           feed_page(api, stream, process)) {
    }
    if (of->end_seq != 0 && stream->last_id >= of->revision) {
        end_stream(api, stream);
    }
}

void api_feed_streams(struct api *api) {
    for (uint32_t i = 0; i < api->stream_limit && api->stream_count > 0; i++) {
        if (api->streams[i].connection != NULL && !api->streams[i].is_blocked) {
            feed(api, &api->streams[i]);
        }
    }
}

static struct api_stream *free_stream(struct api *api) {
    for (uint32_t i = 0; i < api->stream_limit; i++) {
        if (api->streams[i].connection == NULL) {
            return &api->streams[i];
        }
    }
    return NULL;
}

void api_get_stream(const struct http_api_call *call) {
    struct api *api = api_of(call);
    uint64_t last_id = 0;
    uint32_t process = api_process_of(call);
    if (process == HUB_NONE) {
        return;
    }
    if (!http_api_last_event_id(call, &last_id)) {
        return;
    }
    const struct hub_process *of = &api->hub->processes[process];
    if (of->end_seq != 0 && last_id >= of->revision) {
        http_respond(call->connection, 204, NULL, bytes_of(""), NULL);
        return;
    }
    struct api_stream *stream = free_stream(api);
    if (stream == NULL) {
        http_api_refuse(call, 503, "capacity_exhausted", "this hub's streams are all in use");
        return;
    }
    *stream = (struct api_stream){
        .connection = call->connection,
        .number = of->number,
        .last_id = last_id,
        .opened_ms = api->now_ms,
    };
    api->stream_count += 1;
    http_stream_begin(call->connection);
    if (stream->connection != NULL && !api->hub->store.is_syncing &&
        api->hub->store.open_records == 0) {
        feed(api, stream);
    }
}

void api_forget_stream(struct api *api, const struct http_connection *connection) {
    for (uint32_t i = 0; i < api->stream_limit && api->stream_count > 0; i++) {
        if (api->streams[i].connection == connection) {
            api->streams[i].connection = NULL;
            api->stream_count -= 1;
        }
    }
}

void api_unblock_stream(struct api *api, const struct http_connection *connection) {
    for (uint32_t i = 0; i < api->stream_limit; i++) {
        if (api->streams[i].connection == connection) {
            api->streams[i].is_blocked = false;
            if (!api->hub->store.is_syncing) {
                feed(api, &api->streams[i]);
            }
            return;
        }
    }
}

uint64_t api_stream_deadline_ms(const struct api *api) {
    uint64_t next = TIMER_NEVER;
    uint32_t left = api->stream_count;
    for (uint32_t i = 0; i < api->stream_limit && left > 0; i++) {
        if (api->streams[i].connection != NULL) {
            left -= 1;
            uint64_t due = api->streams[i].opened_ms + API_STREAM_MS;
            next = due < next ? due : next;
        }
    }
    return next;
}

void api_end_old_streams(struct api *api) {
    uint32_t left = api->stream_count;
    for (uint32_t i = 0; i < api->stream_limit && left > 0; i++) {
        struct api_stream *stream = &api->streams[i];
        if (stream->connection != NULL) {
            left -= 1;
            if (api->now_ms >= stream->opened_ms + API_STREAM_MS) {
                end_stream(api, stream);
            }
        }
    }
}
