#include "host/hubd/phones/phone_stream.h"

#include "host/hubd/phones/phone_link.h"
#include "host/hubd/phones/phone_table.h"

enum { FILL_LEAST = 4096 }; /* room that is worth asking a client for bytes */

static void want_to_write(struct phone_link *link) {
    if (link->stream != NULL) {
        loop_change(link->loop, &link->source, link->source.events | EPOLLOUT);
    }
}

static enum status claim(struct phone_link *link, uint64_t token,
                         const struct phone_stream_handler *handler, struct phone_stream **stream) {
    if (token < link->fence) {
        return STATUS_STALE_LEASE;
    }
    if (link->state != PHONE_LINK_ONLINE) {
        return STATUS_ILLEGAL;
    }
    for (size_t i = 0; i < PHONE_LINK_STREAMS; i++) {
        if (!link->streams[i].is_used) {
            *stream = &link->streams[i];
            **stream = (struct phone_stream){.is_used = true, .token = token, .handler = *handler};
            return STATUS_OK;
        }
    }
    return STATUS_FULL;
}

enum status phone_stream_open(struct phone_link *link, uint64_t token, struct bytes service,
                              const struct phone_stream_handler *handler,
                              struct phone_stream **stream) {
    if (service.size >= PHONE_LINK_PAYLOAD) {
        return STATUS_TOO_LARGE;
    }
    enum status status = claim(link, token, handler, stream);
    if (status == STATUS_OK) {
        phone_table_fence(link, token);
        (*stream)->service = service;
        want_to_write(link);
    }
    return status;
}

enum status phone_stream_take(struct phone_link *link, uint64_t token, uint32_t id,
                              const struct phone_stream_handler *handler,
                              struct phone_stream **stream) {
    enum status status = claim(link, token, handler, stream);
    if (status == STATUS_OK) {
        (*stream)->id = id;
        (*stream)->is_opened = true;
        adb_connection_accept_stream(&link->connection, id);
        want_to_write(link);
    }
    return status;
}

void phone_stream_poke(struct phone_link *link, struct phone_stream *stream) {
    check(stream->is_used);
    stream->has_input = true;
    want_to_write(link);
}

void phone_stream_acknowledge(struct phone_link *link, struct phone_stream *stream, size_t left) {
    check(stream->is_used);
    adb_connection_acknowledge(&link->connection, stream->id, left);
    if (adb_connection_output(&link->connection).size > 0) {
        want_to_write(link);
    }
}

void phone_stream_close(struct phone_link *link, struct phone_stream *stream) {
    check(stream->is_used);
    adb_connection_close(&link->connection, stream->id);
    stream->is_used = false;
    want_to_write(link);
}

struct phone_stream *phone_stream_find(struct phone_link *link, uint32_t id) {
    for (size_t i = 0; i < PHONE_LINK_STREAMS; i++) {
        if (link->streams[i].is_used && link->streams[i].id == id) {
            return &link->streams[i];
        }
    }
    return NULL;
}

/* Frees the slot first: the owner may use it again from inside its call. */
static void end(struct phone_stream *stream) {
    struct phone_stream_handler handler = stream->handler;
    stream->is_used = false;
    handler.closed(handler.owner);
}

void phone_stream_event(struct phone_link *link, struct phone_stream *stream,
                        const struct adb_connection_event *event) {
    const struct phone_stream_handler *handler = &stream->handler;
    (void)link;
    if (event->kind == ADB_EVENT_OPENED) {
        stream->is_opened = true;
        stream->has_input = true;
        handler->opened(handler->owner);
    } else if (event->kind == ADB_EVENT_DATA) {
        handler->data(handler->owner, event->data);
    } else if (event->kind == ADB_EVENT_DATA_END) {
        handler->data_end(handler->owner);
    } else if (event->kind == ADB_EVENT_CLOSED) {
        end(stream);
    }
}

static void send_open(struct phone_link *link, struct phone_stream *stream) {
    enum status status = adb_connection_open(&link->connection, stream->service, &stream->id);
    if (status != STATUS_OK && status != STATUS_AGAIN && status != STATUS_FULL) {
        end(stream);
    }
}

static void fill(struct phone_link *link, struct phone_stream *stream) {
    size_t capacity = 0;
    uint32_t id = stream->id;
    uint8_t *target = adb_connection_room(&link->connection, id, FILL_LEAST, &capacity);
    if (target == NULL) {
        return;
    }
    size_t size = stream->handler.fill(stream->handler.owner, target, capacity);
    check(size <= capacity);
    if (stream->is_used && stream->id == id) {
        stream->has_input = size > 0;
        if (size > 0) {
            adb_connection_write_built(&link->connection, id, size);
        }
    }
}

/* Each turn begins with another stream, so that none starves when the output is short. */
void phone_stream_write_all(struct phone_link *link) {
    uint32_t epoch = link->epoch;
    link->stream_turn = (link->stream_turn + 1) % PHONE_LINK_STREAMS;
    for (size_t i = 0; i < PHONE_LINK_STREAMS && link->epoch == epoch; i++) {
        struct phone_stream *stream = &link->streams[(link->stream_turn + i) % PHONE_LINK_STREAMS];
        if (stream->is_used && stream->id == 0) {
            send_open(link, stream);
        } else if (stream->is_used && stream->is_opened && stream->has_input) {
            fill(link, stream);
        }
    }
}

void phone_stream_end_below(struct phone_link *link, uint64_t token) {
    for (size_t i = 0; i < PHONE_LINK_STREAMS; i++) {
        struct phone_stream *stream = &link->streams[i];
        if (stream->is_used && (stream->token < token || token == UINT64_MAX)) {
            adb_connection_close(&link->connection, stream->id);
            end(stream);
        }
    }
    want_to_write(link);
}
