#include "host/upstreamd/sync/sync_server.h"

#include "host/shared/log.h"

#include <stdio.h>
#include <string.h>

static const char cbor_type[] = "application/cbor";

static void respond(struct http_connection *connection, unsigned http_status,
                    const struct sync_reply *reply) {
    static uint8_t buffer[SYNC_SERVER_OUTPUT_BYTES - 4096]; /* without the HTTP head */
    struct cbor_writer writer;
    cbor_writer_init(&writer, buffer, sizeof buffer);
    sync_reply_write(&writer, reply);
    check(!writer.overflow);
    http_respond(connection, http_status, cbor_type, (struct bytes){buffer, writer.size},
                 http_status == 503 ? "Retry-After: 2\r\n" : NULL);
}

static void refuse(struct sync_server *sync, struct http_connection *connection,
                   unsigned http_status, const char *why) {
    const struct sync_reply reply = {
        .result = SYNC_REFUSED,
        .text = {(const uint8_t *)why, strlen(why)},
        .server_ms = sync->fleet->now.wall_ms,
        .push_bytes_max = SYNC_PUSH_BYTES_MAX,
        .retry_after_ms = FLEET_RETRY_MS,
    };
    sync->fleet->counters.refused += http_status < 500 ? 1 : 0;
    respond(connection, http_status, &reply);
}

/* ---- posts and their lists ---- */

static struct sync_post *post_at(struct sync_server *sync, uint32_t number) {
    check(number > 0 && number <= SYNC_SERVER_CONNECTIONS_MAX);
    return &sync->posts[number - 1];
}

static uint32_t number_of(const struct sync_server *sync, const struct sync_post *post) {
    return (uint32_t)(post - sync->posts) + 1;
}

static void unlink_from(struct sync_server *sync, struct sync_list *list, struct sync_post *post) {
    *(post->previous == 0 ? &list->first : &post_at(sync, post->previous)->next) = post->next;
    *(post->next == 0 ? &list->last : &post_at(sync, post->next)->previous) = post->previous;
    list->count -= 1;
}

/* `before` is the number of the post that it goes behind; 0: to the front. */
static void link_behind(struct sync_server *sync, struct sync_list *list, uint32_t before,
                        struct sync_post *post) {
    uint32_t number = number_of(sync, post);
    post->previous = before;
    post->next = before == 0 ? list->first : post_at(sync, before)->next;
    *(before == 0 ? &list->first : &post_at(sync, before)->next) = number;
    *(post->next == 0 ? &list->last : &post_at(sync, post->next)->previous) = number;
    list->count += 1;
}

static struct sync_post *take_post(struct sync_server *sync) {
    struct sync_post *post = NULL;
    if (sync->free.first != 0) {
        post = post_at(sync, sync->free.first);
        unlink_from(sync, &sync->free, post);
    } else if (sync->touched < sync->server.config.limits.connections) {
        post = &sync->posts[sync->touched];
        sync->touched += 1;
    }
    return post;
}

static void free_post(struct sync_server *sync, struct sync_post *post) {
    post->state = SYNC_POST_FREE;
    post->connection = NULL;
    link_behind(sync, &sync->free, 0, post);
}

static void make_wait(struct sync_server *sync, struct sync_post *post) {
    post->state = SYNC_POST_WAITING;
    link_behind(sync, &sync->waiting, sync->waiting.last, post);
}

/* ---- holding ---- */

/* FNV-1a; ids are those of certificates that our CA has signed. */
static uint32_t *bucket_of(struct sync_server *sync, struct bytes hub_id) {
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < hub_id.size; i++) {
        hash = (hash ^ hub_id.data[i]) * 16777619U;
    }
    return &sync->names[hash % SYNC_SERVER_NAMES];
}

static void end_hold(struct sync_server *sync, struct sync_post *post) {
    uint32_t *place = bucket_of(sync, post->hub_id);
    while (*place != number_of(sync, post)) {
        place = &post_at(sync, *place)->next_of_name;
    }
    *place = post->next_of_name;
    unlink_from(sync, &sync->held, post);
}

/* Nearly all hubs ask for the same time: then the place is the end. */
static void hold(struct sync_server *sync, struct sync_post *post) {
    uint32_t before = sync->held.last;
    if (post->deadline_ms == 0) {
        uint32_t wait_ms = post->push.wait_ms < SYNC_SERVER_HOLD_MAX_MS ? post->push.wait_ms
                                                                        : SYNC_SERVER_HOLD_MAX_MS;
        post->deadline_ms = sync->fleet->now.mono_ms + wait_ms;
        sync->counters.held += 1;
    }
    while (before != 0 && post_at(sync, before)->deadline_ms > post->deadline_ms) {
        before = post_at(sync, before)->previous;
    }
    post->state = SYNC_POST_HELD;
    link_behind(sync, &sync->held, before, post);
    uint32_t *place = bucket_of(sync, post->hub_id);
    post->next_of_name = *place;
    *place = number_of(sync, post);
    http_release_request(post->connection); /* it may be overtaken: the post is in its place */
}

/* Its hub is waiting, and neither side has anything to say. */
static bool may_hold(const struct sync_post *post) {
    const struct sync_push *push = &post->push;
    const struct sync_reply *reply = &post->reply;
    bool says_nothing = push->group_count == 0 && push->inventory.size == 0 && !push->is_hello &&
                        push->gap.last == 0;
    bool is_plain = reply->result == SYNC_OK && reply->text.size == 0 &&
                    reply->retry_after_ms == 0 && reply->cursor == push->cursor;
    return push->wait_ms > 0 && says_nothing && is_plain && reply->command_count == 0 &&
           reply->grant_count == 0 && reply->verdicts.size == 0;
}

/* With what there was to say when it began: nothing. */
static void answer_held(struct sync_server *sync, struct sync_post *post) {
    struct http_connection *connection = post->connection;
    struct sync_reply reply = post->reply;
    reply.server_ms = sync->fleet->now.wall_ms;
    end_hold(sync, post);
    free_post(sync, post);
    http_set_tag(connection, 0);
    respond(connection, 200, &reply);
}

static void overtaken(void *owner, struct http_connection *connection) {
    struct sync_server *sync = owner;
    struct sync_post *post = post_at(sync, (uint32_t)http_tag(connection));
    if (post->state == SYNC_POST_HELD) {
        sync->counters.overtaken += 1;
        answer_held(sync, post);
    }
}

static void wake(struct sync_server *sync, struct sync_post *post) {
    end_hold(sync, post);
    make_wait(sync, post);
    sync->counters.woken += 1;
}

void sync_server_wake(struct sync_server *sync, struct bytes hub_id) {
    uint32_t number = *bucket_of(sync, hub_id);
    while (number != 0) {
        struct sync_post *post = post_at(sync, number);
        number = post->next_of_name;
        if (post->hub_id.size == hub_id.size &&
            memcmp(post->hub_id.data, hub_id.data, hub_id.size) == 0) {
            wake(sync, post);
        }
    }
}

void sync_server_wake_all(struct sync_server *sync) {
    while (sync->held.first != 0) {
        wake(sync, post_at(sync, sync->held.first));
    }
}

/* Those that find no buffer come again with the next turn. */
static void answer_due(struct sync_server *sync) {
    uint64_t now_ms = sync->fleet->now.mono_ms;
    while (sync->held.first != 0) {
        struct sync_post *post = post_at(sync, sync->held.first);
        if (post->deadline_ms > now_ms || !http_reclaim(post->connection)) {
            return;
        }
        answer_held(sync, post);
    }
}

/* ---- requests ---- */

static bool is_text(struct bytes bytes, const char *text) {
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

/* Takes a push; its answer waits for sync_server_commit(). */
static void take_push(struct sync_server *sync, struct http_connection *connection,
                      const struct http_request *request) {
    struct sync_push push;
    enum status status = sync_push_read(request->body, &push);
    if (status != STATUS_OK) {
        log_warn("sync_refused hub=%.*s bytes=%zu", (int)request->peer_name.size,
                 (const char *)request->peer_name.data, request->body.size);
        refuse(sync, connection, 400,
               status == STATUS_FOREIGN ? "a push of this version is not understood here"
                                        : "the body is not a push");
        return;
    }
    struct sync_post *post = take_post(sync);
    check(post != NULL); /* one a connection */
    *post =
        (struct sync_post){.connection = connection, .hub_id = request->peer_name, .push = push};
    make_wait(sync, post);
    http_set_tag(connection, number_of(sync, post));
}

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    struct sync_server *sync = owner;
    if (is_text(request->path, "/renew") && request->has_tls_peer) {
        char name[TLS_NAME_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)request->peer_name.size,
                 (const char *)request->peer_name.data);
        trust_answer(sync->trust, connection, request, name);
    } else if (!is_text(request->path, "/sync")) {
        http_respond_error(connection, 404, "not_found", "there is no such path");
    } else if (request->method != HTTP_METHOD_POST) {
        http_respond_error(connection, 405, "method_not_allowed", "this path takes POST only");
    } else if (!request->has_tls_peer || request->peer_name.size > RECORD_ID_MAX ||
               !cbor_is_utf8(request->peer_name)) {
        http_respond_error(connection, 403, "forbidden",
                           "the certificate's common name is no hub's id");
    } else if (!is_text(request->content_type, cbor_type)) {
        http_respond_error(connection, 415, "unsupported_media_type", "a push is application/cbor");
    } else {
        take_push(sync, connection, request);
    }
}

static void closed(void *owner, struct http_connection *connection) {
    struct sync_server *sync = owner;
    struct sync_post *post = post_at(sync, (uint32_t)http_tag(connection));
    if (post->state == SYNC_POST_HELD) {
        end_hold(sync, post);
        free_post(sync, post);
    } else {
        post->connection = NULL; /* its bytes are gone, too */
    }
}

void sync_server_init(struct sync_server *sync, const struct sync_server_parts *parts) {
    check(parts->connections >= SYNC_SERVER_CONNECTIONS_MIN);
    check(parts->connections <= SYNC_SERVER_CONNECTIONS_MAX);
    sync->fleet = parts->dispatch->fleet;
    sync->dispatch = parts->dispatch;
    sync->trust = parts->trust;
    http_tls_init(&sync->tls, parts->configs);
    const struct http_config config = {
        .loop = parts->loop,
        .limits = {.connections = parts->connections,
                   .stream_bytes = sizeof(struct http_tls_stream),
                   .body_bytes = SYNC_PUSH_BYTES_MAX,
                   .output_bytes = SYNC_SERVER_OUTPUT_BYTES,
                   .buffers = SYNC_SERVER_BUFFERS,
                   .header_ms = 15000,
                   .body_ms = 60000,
                   .idle_ms = 90000, /* a hub pushes more often, or is gone */
                   .send_ms = 30000},
        .handler = {.request = handle, .closed = closed, .overtaken = overtaken, .owner = sync},
        .memory = parts->memory,
        .memory_bytes = SYNC_SERVER_BYTES,
    };
    http_server_init(&sync->server, &config);
}

enum status sync_server_listen(struct sync_server *sync, int listener) {
    return http_server_listen(&sync->server, listener, &sync->tls.acceptor);
}

/* ---- the end of a turn ---- */

/* How long ago the push came. */
static uint64_t held_ms(const struct sync_server *sync, const struct sync_post *post) {
    uint64_t wait_ms =
        post->push.wait_ms < SYNC_SERVER_HOLD_MAX_MS ? post->push.wait_ms : SYNC_SERVER_HOLD_MAX_MS;
    uint64_t since_ms = post->deadline_ms - wait_ms;
    uint64_t now_ms = sync->fleet->now.mono_ms;
    return post->deadline_ms == 0 || now_ms < since_ms ? 0 : now_ms - since_ms;
}

/* Where counters and the like stood before a transaction, which may be run more than once. */
struct stand {
    struct sync_server *sync;
    struct fleet_counters fleet;
    struct dispatch_stand dispatch;
    bool has_changed;
};

static enum status lock_processes(struct sync_server *sync) {
    struct fleet *fleet = sync->fleet;
    fleet_lock_begin(fleet);
    for (uint32_t number = sync->waiting.first; number != 0;) {
        const struct sync_post *post = post_at(sync, number);
        number = post->next;
        if (post->connection != NULL) {
            fleet_lock_add(fleet, post->hub_id, &post->push);
        }
    }
    return fleet_lock_end(fleet);
}

/* Stores every push that waits. */
static enum status store_all(void *owner) {
    const struct stand *stand = owner;
    struct sync_server *sync = stand->sync;
    struct fleet *fleet = sync->fleet;
    fleet->counters = stand->fleet;
    fleet->has_changed = stand->has_changed;
    dispatch_restore(sync->dispatch, &stand->dispatch);
    dispatch_begin_turn(sync->dispatch);
    fleet_begin_turn(fleet);
    enum status status = lock_processes(sync);
    uint32_t number = sync->waiting.first;
    while (number != 0 && status == STATUS_OK) {
        struct sync_post *post = post_at(sync, number);
        number = post->next;
        if (post->connection == NULL) {
            continue;
        }
        status = fleet_push(fleet, post->hub_id, &post->push, &post->reply);
        if (status == STATUS_OK) {
            status = dispatch_answer(sync->dispatch, post->hub_id, &post->push, held_ms(sync, post),
                                     &post->reply);
        }
    }
    return status;
}

/* The post has left the list. */
static void answer(struct sync_server *sync, struct sync_post *post) {
    struct http_connection *connection = post->connection;
    if (connection != NULL && !sync->has_failed && may_hold(post)) {
        hold(sync, post);
        return;
    }
    if (connection != NULL && !http_reclaim(connection)) {
        make_wait(sync, post); /* it was held, and has no buffer: the next turn judges it again */
        return;
    }
    const struct sync_reply reply = post->reply;
    free_post(sync, post);
    if (connection == NULL) {
        return;
    }
    http_set_tag(connection, 0);
    if (sync->has_failed) {
        refuse(sync, connection, 503, "upstream's database does not store");
    } else {
        respond(connection, 200, &reply);
    }
}

bool sync_server_commit(struct sync_server *sync) {
    struct fleet *fleet = sync->fleet;
    answer_due(sync);
    uint32_t count = sync->waiting.count;
    if (count == 0) {
        return false;
    }
    struct stand stand = {.sync = sync,
                          .fleet = fleet->counters,
                          .dispatch = dispatch_stand(sync->dispatch),
                          .has_changed = fleet->has_changed};
    sync_server_sort(sync);
    enum status status = db_transact(fleet->db, store_all, &stand);
    sync->has_failed = status != STATUS_OK;
    if (status == STATUS_OK) {
        fleet->counters.commits += 1;
    } else { /* nothing of it counts */
        sync->failed_ms = fleet->now.mono_ms;
        fleet->counters = stand.fleet;
        fleet->counters.failures += 1;
        dispatch_restore(sync->dispatch, &stand.dispatch);
        log_error("database_failed reason=%s", db_reason(fleet->db));
    }
    /* An answer may bring the connection's next request at once: it waits for the next turn. */
    for (; count > 0; count--) {
        struct sync_post *post = post_at(sync, sync->waiting.first);
        unlink_from(sync, &sync->waiting, post);
        answer(sync, post);
    }
    return status == STATUS_OK;
}

uint64_t sync_server_deadline_ms(const struct sync_server *sync) {
    uint64_t deadline_ms = http_server_deadline(&sync->server);
    if (sync->waiting.count > 0) {
        return 0;
    }
    if (sync->held.first != 0) {
        uint64_t due_ms = sync->posts[sync->held.first - 1].deadline_ms;
        deadline_ms = due_ms < deadline_ms ? due_ms : deadline_ms;
    }
    return deadline_ms;
}

bool sync_server_is_failing(const struct sync_server *sync) {
    return sync->has_failed && sync->fleet->now.mono_ms < sync->failed_ms + FLEET_RETRY_MS;
}

static bool is_revoked(void *owner, const struct hal_stream *stream) {
    struct sync_server *sync = owner;
    struct tls_peer peer;
    bool is_unwanted = http_tls_peer(stream, &peer) && !trust_accepts(sync->trust, &peer);
    sync->trust->counters.cut += is_unwanted;
    return is_unwanted;
}

void sync_server_cut(struct sync_server *sync) {
    http_server_drop(&sync->server, is_revoked, sync);
}

void sync_server_stop(struct sync_server *sync) {
    http_server_stop(&sync->server);
    while (sync->held.first != 0) {
        struct sync_post *post = post_at(sync, sync->held.first);
        if (!http_reclaim(post->connection)) {
            return; /* it is closed with the rest */
        }
        answer_held(sync, post);
    }
}
