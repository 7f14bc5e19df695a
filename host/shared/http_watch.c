#include "host/shared/http_watch.h"

#include <stdio.h>
#include <string.h>

struct http_watcher *http_watch_open(struct http_watch *watch, const struct http_api_call *call,
                                     uint64_t newest, uint64_t now_ms) {
    uint64_t last_id = 0;
    struct http_watcher *watcher = NULL;
    if (!http_api_last_event_id(call, &last_id)) {
        return NULL;
    }
    for (uint32_t i = 0; i < HTTP_WATCHERS && watcher == NULL; i++) {
        watcher = watch->watchers[i].connection == NULL ? &watch->watchers[i] : NULL;
    }
    if (watcher == NULL) {
        http_api_refuse(call, 503, "capacity_exhausted", "too many watch this already");
        return NULL;
    }
    *watcher = (struct http_watcher){
        .connection = call->connection,
        .cursor = last_id <= newest ? last_id : 0,
        .opened_ms = now_ms,
    };
    watch->count += 1;
    http_stream_begin(call->connection);
    return watcher->connection != NULL ? watcher : NULL;
}

struct http_watch_batch http_watch_begin(struct http_watcher *watcher, char *memory, size_t size) {
    size_t room = http_stream_room(watcher->connection);
    return (struct http_watch_batch){
        .watcher = watcher, .text = memory, .capacity = room < size ? room : size};
}

bool http_watch_add(struct http_watch_batch *batch, const char *event, uint64_t id,
                    struct bytes json) {
    char head[64];
    int size =
        snprintf(head, sizeof head, "event: %s\nid: %llu\ndata: ", event, (unsigned long long)id);
    check(size > 0 && (size_t)size < sizeof head);
    size_t head_size = (size_t)size;
    if (head_size + json.size + 2 > batch->capacity - batch->size) {
        return false;
    }
    char *at = batch->text + batch->size;
    memcpy(at, head, head_size);
    memcpy(at + head_size, json.data, json.size);
    memcpy(at + head_size + json.size, "\n\n", 2);
    batch->size += head_size + json.size + 2;
    batch->cursor = id;
    return true;
}

bool http_watch_flush(struct http_watch_batch *batch) {
    struct http_watcher *watcher = batch->watcher;
    const struct bytes whole = {(const uint8_t *)batch->text, batch->size};
    if (batch->size == 0) {
        /* Not even one event fits: asking for more room than there is makes it known when there
         * is some. */
        const struct bytes too_much = {(const uint8_t *)batch->text,
                                       http_stream_room(watcher->connection) + 1};
        watcher->is_blocked = http_stream_write(watcher->connection, too_much) != STATUS_OK;
        return false;
    }
    if (http_stream_write(watcher->connection, whole) != STATUS_OK) {
        watcher->is_blocked = true;
        return false;
    }
    watcher->cursor = batch->cursor;
    return watcher->connection != NULL;
}

static void end(struct http_watch *watch, struct http_watcher *watcher) {
    struct http_connection *connection = watcher->connection;
    watcher->connection = NULL;
    watch->count -= 1;
    http_stream_end(connection);
}

void http_watch_forget(struct http_watch *watch, const struct http_connection *connection) {
    for (uint32_t i = 0; i < HTTP_WATCHERS && watch->count > 0; i++) {
        if (watch->watchers[i].connection == connection) {
            watch->watchers[i].connection = NULL;
            watch->count -= 1;
        }
    }
}

struct http_watcher *http_watch_drained(struct http_watch *watch,
                                        const struct http_connection *connection) {
    for (uint32_t i = 0; i < HTTP_WATCHERS && watch->count > 0; i++) {
        if (watch->watchers[i].connection == connection) {
            watch->watchers[i].is_blocked = false;
            return &watch->watchers[i];
        }
    }
    return NULL;
}

void http_watch_end_old(struct http_watch *watch, uint64_t now_ms) {
    for (uint32_t i = 0; i < HTTP_WATCHERS && watch->count > 0; i++) {
        struct http_watcher *watcher = &watch->watchers[i];
        if (watcher->connection != NULL && now_ms >= watcher->opened_ms + HTTP_WATCH_MS) {
            end(watch, watcher);
        }
    }
}

void http_watch_end_all(struct http_watch *watch) {
    http_watch_end_old(watch, UINT64_MAX);
}
