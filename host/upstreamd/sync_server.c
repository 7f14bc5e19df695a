#include "host/upstreamd/sync_server.h"

#include "host/shared/log.h"

#include <string.h>

static const char cbor_type[] = "application/cbor";

static void respond(struct http_connection *connection, unsigned http_status,
                    const struct sync_reply *reply) {
    uint8_t buffer[SYNC_SERVER_OUTPUT_BYTES / 2];
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

static bool is_text(struct bytes bytes, const char *text) {
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

/* Takes a push; its answer waits for sync_server_commit(). */
static void take_push(struct sync_server *sync, struct http_connection *connection,
                      const struct http_request *request) {
    if (sync->waiting_count == SYNC_SERVER_CONNECTIONS) {
        refuse(sync, connection, 503, "too many pushes at once");
        return;
    }
    struct sync_waiting *waiting = &sync->waiting[sync->waiting_count];
    enum status status = sync_push_read(request->body, &waiting->push);
    if (status == STATUS_OK) {
        waiting->connection = connection;
        waiting->hub_id = request->peer_name;
        sync->waiting_count += 1;
        return;
    }
    log_warn("sync_refused hub=%.*s bytes=%zu", (int)request->peer_name.size,
             (const char *)request->peer_name.data, request->body.size);
    refuse(sync, connection, 400,
           status == STATUS_FOREIGN ? "a push of this version is not understood here"
                                    : "the body is not a push");
}

static void handle(void *owner, struct http_connection *connection,
                   const struct http_request *request) {
    struct sync_server *sync = owner;
    if (!is_text(request->path, "/sync")) {
        http_respond_error(connection, 404, "not_found", "there is no such path");
    } else if (request->method != HTTP_METHOD_POST) {
        http_respond_error(connection, 405, "method_not_allowed", "this path takes POST only");
    } else if (!request->has_tls_peer || request->peer_name.size > RECORD_ID_MAX) {
        http_respond_error(connection, 403, "forbidden",
                           "the certificate's common name is no hub's id");
    } else if (!is_text(request->content_type, cbor_type)) {
        http_respond_error(connection, 415, "unsupported_media_type", "a push is application/cbor");
    } else {
        take_push(sync, connection, request);
    }
}

/* cppcheck-suppress constParameter ; the type is the server's */
static void closed(void *owner, struct http_connection *connection) {
    struct sync_server *sync = owner;
    for (uint32_t i = 0; i < sync->waiting_count; i++) {
        if (sync->waiting[i].connection == connection) {
            sync->waiting[i].connection = NULL; /* its bytes are gone, too */
        }
    }
}

void sync_server_init(struct sync_server *sync, struct fleet *fleet, struct loop *loop,
                      struct tls_config_pair *configs, void *memory) {
    *sync = (struct sync_server){.fleet = fleet};
    http_tls_init(&sync->tls, configs);
    const struct http_config config = {
        .loop = loop,
        .limits = {.connections = SYNC_SERVER_CONNECTIONS,
                   .stream_bytes = sizeof(struct http_tls_stream),
                   .body_bytes = SYNC_PUSH_BYTES_MAX,
                   .output_bytes = SYNC_SERVER_OUTPUT_BYTES,
                   .header_ms = 15000,
                   .body_ms = 60000,
                   .idle_ms = 600000, /* a hub with nothing to say keeps its connection */
                   .send_ms = 30000},
        .handler = {.request = handle, .closed = closed, .owner = sync},
        .memory = memory,
        .memory_bytes = SYNC_SERVER_BYTES,
    };
    http_server_init(&sync->server, &config);
}

enum status sync_server_listen(struct sync_server *sync, int listener) {
    return http_server_listen(&sync->server, listener, &sync->tls.acceptor);
}

/* Stores every push that waits. OK: committed. */
static enum status store_all(struct sync_server *sync) {
    struct fleet *fleet = sync->fleet;
    enum status status = db_begin(fleet->db);
    for (uint32_t i = 0; i < sync->waiting_count && status == STATUS_OK; i++) {
        struct sync_waiting *waiting = &sync->waiting[i];
        if (waiting->connection == NULL) {
            continue;
        }
        waiting->status = fleet_push(fleet, waiting->hub_id, &waiting->push, &waiting->reply);
        status = waiting->status == STATUS_FULL ? STATUS_OK : waiting->status;
    }
    return status == STATUS_OK ? db_commit(fleet->db) : status;
}

static void answer(struct sync_server *sync, struct sync_waiting *waiting) {
    if (waiting->connection == NULL) {
        return;
    }
    if (sync->has_failed) {
        refuse(sync, waiting->connection, 503, "upstream's database does not store");
    } else if (waiting->status == STATUS_FULL) {
        refuse(sync, waiting->connection, 503, "upstream has no room for one more hub");
    } else {
        respond(waiting->connection, 200, &waiting->reply);
    }
}

bool sync_server_commit(struct sync_server *sync) {
    struct fleet *fleet = sync->fleet;
    uint32_t count = sync->waiting_count;
    if (count == 0) {
        return false;
    }
    enum status status = store_all(sync);
    sync->has_failed = status != STATUS_OK;
    if (status == STATUS_OK) {
        fleet->counters.commits += 1;
    } else {
        fleet->counters.failures += 1;
        log_error("database_failed reason=%s", db_reason(fleet->db));
        db_rollback(fleet->db);
        if (fleet_reload(fleet) != STATUS_OK) {
            log_error("database_failed reason=%s", db_reason(fleet->db));
        }
    }
    /* An answer may bring the connection's next request at once: it waits for the next turn. */
    for (uint32_t i = 0; i < count; i++) {
        answer(sync, &sync->waiting[i]);
    }
    uint32_t more = sync->waiting_count - count;
    memmove(sync->waiting, sync->waiting + count, more * sizeof sync->waiting[0]);
    sync->waiting_count = more;
    return status == STATUS_OK;
}
