/* http_watch.h - clients that are told what changes: a bounded list of server-sent event streams.
 *
 * The owner numbers what changes; a watcher's `cursor` is the number of the last event it was
 * sent, which it gives back as Last-Event-ID when it comes again. A stream ends after
 * HTTP_WATCH_MS, as those of processes do: then its client comes again. */
#ifndef HOST_SHARED_HTTP_WATCH_H
#define HOST_SHARED_HTTP_WATCH_H

#include "host/shared/http_api.h"

enum {
    HTTP_WATCHERS = 32,
    HTTP_WATCH_MS = 25000,
    HTTP_WATCH_LOOK_MS = 100, /* how often the owner looks what has changed */
};

struct http_watcher {
    struct http_connection *connection; /* NULL: free */
    uint64_t cursor;
    uint64_t from; /* the owner's; 0 at the start */
    uint64_t opened_ms;
    bool is_blocked; /* the client does not take more for now */
};

struct http_watch {
    struct http_watcher watchers[HTTP_WATCHERS];
    uint32_t count;
};

/* Begins a stream behind `newest` or, when it is lower, Last-Event-ID; what is not a number that
 * was ever given counts as 0: everything is new to that client. NULL: refused with 503 or 400. */
struct http_watcher *http_watch_open(struct http_watch *watch, const struct http_api_call *call,
                                     uint64_t newest, uint64_t now_ms);

/* Events on their way to one watcher: as many as fit go in one write. */
struct http_watch_batch {
    struct http_watcher *watcher;
    char *text; /* the owner's */
    size_t capacity, size;
    uint64_t cursor; /* of the last event in it */
};

/* `memory` is the owner's; a client may take less than its `size` now. */
struct http_watch_batch http_watch_begin(struct http_watcher *watcher, char *memory, size_t size);

/* Adds `event`, `id` and `data`. False: it does not fit behind what is there. */
bool http_watch_add(struct http_watch_batch *batch, const char *event, uint64_t id,
                    struct bytes json);

/* Sends what was added, and moves the watcher's cursor. False: nothing more for now: the client
 * does not take it, or its connection has ended. */
bool http_watch_flush(struct http_watch_batch *batch);

void http_watch_forget(struct http_watch *watch, const struct http_connection *connection);
/* NULL: it is none of these. */
struct http_watcher *http_watch_drained(struct http_watch *watch,
                                        const struct http_connection *connection);
void http_watch_end_old(struct http_watch *watch, uint64_t now_ms);
void http_watch_end_all(struct http_watch *watch);

#endif
