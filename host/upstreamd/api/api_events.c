/* The history of a process: pages of events, and the live stream of server-sent events. */
#include "firmware/process.h"
#include "host/shared/config.h"
#include "host/shared/process_event.h"
#include "host/shared/process_member.h"
#include "host/upstreamd/api/api_internal.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_MAX = 200, PAGE_USUAL = 100 };

static uint8_t image_buffer[DB_RECORD_MAX];

/* What turning records into events needs. */
struct history {
    struct api *api;
    const struct db_process *process;
    struct process_id id;
    struct record_boot boots[DB_BOOTS_MAX];
    uint32_t boot_count;
};

static enum status open_history(struct history *history, struct api *api,
                                const struct db_process *process) {
    history->api = api;
    history->process = process;
    history->id = api_id_of(process);
    return db_boots_get(api->fleet->db, process->store, history->boots, &history->boot_count);
}

/* The first event behind `after` as JSON in the scratch space. OK,
 * NOT_FOUND, MALFORMED (it cannot be shown) or IO; `id` is set unless NOT_FOUND or IO. */
static enum status next_event(struct history *history, uint64_t after, uint64_t *id,
                              struct bytes *json) {
    struct api *api = history->api;
    struct db_image image = {.buffer = image_buffer};
    struct json_writer writer;
    const struct process_clock clock = {history->boots, history->boot_count};
    enum status status = db_event_next(api->fleet->db, history->process->store,
                                       history->process->number, after, &image);
    if (status != STATUS_OK) {
        return status;
    }
    *id = image.path[1];
    json_write_init(&writer, api->scratch, sizeof api->scratch);
    status = process_event_write(&writer, NULL, &history->id, image.bytes, &clock);
    if (status == STATUS_OK && json_write_finish(&writer, json) != STATUS_OK) {
        status = STATUS_MALFORMED;
    }
    return status;
}

void api_get_events(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct db_process process;
    struct history history;
    uint64_t after = 0;
    uint64_t limit = PAGE_USUAL;
    if (!api_find_process(call, &process) ||
        !http_api_query_number(call, "after", SYNC_SEQ_MAX, &after) ||
        !http_api_query_number(call, "limit", PAGE_MAX, &limit) ||
        api_refuse_failure(call, open_history(&history, api, &process))) {
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    struct bytes json;
    uint64_t id = 0;
    uint64_t last = after;
    json_write_begin_object(&writer, NULL);
    process_member_id(&writer, "process_id", &history.id);
    enum status status = next_event(&history, after, &id, &json);
    bool has_gap = status != STATUS_NOT_FOUND && id > after + 1;
    json_write_bool(&writer, "gap", has_gap);
    json_write_begin_array(&writer, "events");
    for (uint64_t i = 0; i < limit && (status == STATUS_OK || status == STATUS_MALFORMED); i++) {
        if (status == STATUS_OK && json.size + 128 > writer.capacity - writer.size) {
            break;
        }
        if (status == STATUS_OK) {
            json_write_raw(&writer, NULL, json);
        }
        last = id;
        status = next_event(&history, last, &id, &json);
    }
    if (status != STATUS_MALFORMED && api_refuse_failure(call, status)) {
        return;
    }
    json_write_end_array(&writer);
    json_write_uint(&writer, "last_id", last);
    json_write_bool(&writer, "more", last < process.revision);
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

static bool send_event(struct api *api, struct api_stream *stream, uint64_t id, struct bytes json) {
    stream->is_blocked =
        http_api_send_event(stream->connection, id, json, api->line, sizeof api->line) != STATUS_OK;
    return !stream->is_blocked;
}

static bool send_gap(struct api_stream *stream, uint64_t first, uint64_t last) {
    stream->is_blocked = http_api_send_gap(stream->connection, first, last) != STATUS_OK;
    return !stream->is_blocked;
}

/* Sends what there is. False: the client is slow, or reading failed. */
static bool send_events(struct api *api, struct api_stream *stream) {
    struct history history;
    struct bytes json;
    uint64_t id = 0;
    enum status status = open_history(&history, api, &stream->process);
    while (status == STATUS_OK || status == STATUS_MALFORMED) {
        status = next_event(&history, stream->last_id, &id, &json);
        if (status == STATUS_NOT_FOUND) {
            return true;
        }
        bool is_event = status == STATUS_OK || status == STATUS_MALFORMED;
        if (is_event && id > stream->last_id + 1) {
            if (!send_gap(stream, stream->last_id + 1, id - 1)) {
                return false;
            }
            stream->last_id = id - 1;
        }
        if (status == STATUS_OK && !send_event(api, stream, id, json)) {
            return false;
        }
        stream->last_id = is_event ? id : stream->last_id;
    }
    return false;
}

static void feed(struct api *api, struct api_stream *stream) {
    struct db_process *process = &stream->process;
    const struct process_id id =
        process_id_make(http_api_text(process->hub_id), process->first_epoch, process->number);
    if (db_process_find(api->fleet->db, &id, process) != STATUS_OK) {
        end_stream(api, stream);
        return;
    }
    if (send_events(api, stream) && process_is_terminal((enum process_status)process->status)) {
        end_stream(api, stream);
    }
}

void api_feed_streams(struct api *api) {
    for (uint32_t i = 0; i < API_STREAMS && api->stream_count > 0; i++) {
        if (api->streams[i].connection != NULL && !api->streams[i].is_blocked) {
            feed(api, &api->streams[i]);
        }
    }
}

void api_hear(struct api *api, int64_t store) {
    api->watch.has_heard = true;
    for (uint32_t i = 0; i < API_STREAMS && api->stream_count > 0; i++) {
        struct api_stream *stream = &api->streams[i];
        if (stream->connection != NULL && stream->process.store == store) {
            stream->is_due = true;
            api->is_due = true;
        }
    }
}

void api_feed_due_streams(struct api *api) {
    for (uint32_t i = 0; i < API_STREAMS && api->is_due; i++) {
        struct api_stream *stream = &api->streams[i];
        if (stream->connection != NULL && stream->is_due && !stream->is_blocked) {
            stream->is_due = false;
            feed(api, stream);
        }
    }
    api->is_due = false;
}

static struct api_stream *free_stream(struct api *api) {
    for (uint32_t i = 0; i < API_STREAMS; i++) {
        if (api->streams[i].connection == NULL) {
            return &api->streams[i];
        }
    }
    return NULL;
}

void api_get_stream(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct db_process process;
    uint64_t last_id = 0;
    if (!api_find_process(call, &process) || !http_api_last_event_id(call, &last_id)) {
        return;
    }
    bool is_terminal = process_is_terminal((enum process_status)process.status);
    if (is_terminal && last_id >= process.revision) {
        http_respond(call->connection, 204, NULL, bytes_of(""), NULL);
        return;
    }
    struct api_stream *stream = free_stream(api);
    if (stream == NULL) {
        http_api_refuse(call, 503, "capacity_exhausted", "upstream's streams are all in use");
        return;
    }
    *stream = (struct api_stream){
        .connection = call->connection,
        .process = process,
        .last_id = last_id,
        .opened_ms = api->fleet->now.mono_ms,
    };
    api->stream_count += 1;
    http_stream_begin(call->connection);
    if (stream->connection != NULL) {
        feed(api, stream);
    }
}

void api_forget_stream(struct api *api, const struct http_connection *connection) {
    for (uint32_t i = 0; i < API_STREAMS && api->stream_count > 0; i++) {
        if (api->streams[i].connection == connection) {
            api->streams[i].connection = NULL;
            api->stream_count -= 1;
        }
    }
}

void api_unblock_stream(struct api *api, const struct http_connection *connection) {
    for (uint32_t i = 0; i < API_STREAMS; i++) {
        if (api->streams[i].connection == connection) {
            api->streams[i].is_blocked = false;
            feed(api, &api->streams[i]);
            return;
        }
    }
}

uint64_t api_stream_deadline_ms(const struct api *api) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < API_STREAMS && api->stream_count > 0; i++) {
        uint64_t due = api->streams[i].opened_ms + API_STREAM_MS;
        if (api->streams[i].connection != NULL && due < next) {
            next = due;
        }
    }
    return next;
}

void api_end_old_streams(struct api *api) {
    for (uint32_t i = 0; i < API_STREAMS && api->stream_count > 0; i++) {
        struct api_stream *stream = &api->streams[i];
        if (stream->connection != NULL &&
            api->fleet->now.mono_ms >= stream->opened_ms + API_STREAM_MS) {
            end_stream(api, stream);
        }
    }
}
