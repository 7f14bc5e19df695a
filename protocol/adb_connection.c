#include "protocol/adb_connection.h"

#include <string.h>

/* The largest answer to one event fits whenever an event is taken. */
_Static_assert(ADB_CONNECTION_ANSWER >= ADB_HEADER_SIZE + ADB_PUBLIC_KEY_SIZE,
               "answers to the peer must never lack room");

/* --- streams --- */

static struct adb_connection_stream *find(struct adb_connection *connection, uint32_t id) {
    struct adb_connection_stream *stream = &connection->streams[id % ADB_CONNECTION_STREAMS];
    return id != 0 && stream->id == id ? stream : NULL;
}

/* A slot's ids are its index plus a multiple of the table's size: never 0, seldom the same. */
static struct adb_connection_stream *add_stream(struct adb_connection *connection) {
    for (uint32_t i = 0; i < ADB_CONNECTION_STREAMS; i++) {
        if (connection->streams[i].id == 0) {
            connection->id_count = connection->id_count % 0xffffff + 1;
            connection->streams[i] = (struct adb_connection_stream){
                .id = connection->id_count * ADB_CONNECTION_STREAMS + i};
            return &connection->streams[i];
        }
    }
    return NULL;
}

static void drop_streams(struct adb_connection *connection) {
    memset(connection->streams, 0, sizeof connection->streams);
}

bool adb_connection_has(const struct adb_connection *connection, uint32_t stream) {
    return stream != 0 && connection->streams[stream % ADB_CONNECTION_STREAMS].id == stream;
}

bool adb_connection_awaits(const struct adb_connection *connection, uint32_t stream) {
    const struct adb_connection_stream *found =
        &connection->streams[stream % ADB_CONNECTION_STREAMS];
    return adb_connection_has(connection, stream) && !found->is_asked &&
           (found->remote == 0 || !adb_flow_may_send(&found->flow, connection->window));
}

/* --- what the owner does --- */

void adb_connection_init(struct adb_connection *connection, enum adb_connection_role role,
                         uint32_t payload_max, uint8_t *output, size_t output_capacity) {
    check(payload_max >= ADB_PAYLOAD_V1);
    check(payload_max <= ADB_PAYLOAD_MAX);
    check(output_capacity >= ADB_CONNECTION_OUTPUT_MIN);
    *connection = (struct adb_connection){
        .role = role,
        .offered_max = payload_max,
        .payload_max = ADB_HANDSHAKE_MAX,
        .output = {.data = output, .capacity = output_capacity, .has_checksum = true},
    };
}

static void send_connect(struct adb_connection *connection, const struct adb_banner *banner) {
    uint8_t *payload = adb_output_payload(&connection->output, ADB_PUBLIC_KEY_SIZE);
    size_t size = 0;
    check(adb_banner_write(banner, payload, ADB_PUBLIC_KEY_SIZE, &size) == STATUS_OK);
    adb_output_send(&connection->output, (struct adb_message){.command = ADB_CNXN,
                                                              .arg0 = ADB_VERSION,
                                                              .arg1 = connection->offered_max,
                                                              .payload_size = (uint32_t)size});
}

void adb_connection_start(struct adb_connection *connection, const struct adb_banner *banner) {
    check(connection->role == ADB_CONNECTION_HOST);
    check(connection->phase == ADB_CONNECTION_OFFLINE);
    connection->offers_delayed_ack = (banner->features & ADB_FEATURE_DELAYED_ACK) != 0;
    check(!connection->offers_delayed_ack || connection->offered_window > 0);
    send_connect(connection, banner);
}

/* Whether a handshake answer may be sent now. */
static enum status may_answer(const struct adb_connection *connection,
                              enum adb_connection_role role) {
    if (connection->role != role || connection->phase != ADB_CONNECTION_AUTH) {
        return STATUS_ILLEGAL;
    }
    return adb_output_room(&connection->output) < ADB_CONNECTION_ANSWER ? STATUS_AGAIN : STATUS_OK;
}

/* The NUL that ends a key's text is sent too: adbd expects it. */
static void send_auth(struct adb_connection *connection, uint32_t kind, struct bytes payload,
                      bool has_nul) {
    check(payload.size < ADB_PUBLIC_KEY_SIZE);
    uint8_t *target = adb_output_payload(&connection->output, ADB_PUBLIC_KEY_SIZE);
    memcpy(target, payload.data, payload.size);
    target[payload.size] = '\0';
    uint32_t size = (uint32_t)payload.size + (has_nul ? 1 : 0);
    adb_output_send(&connection->output,
                    (struct adb_message){.command = ADB_AUTH, .arg0 = kind, .payload_size = size});
}

enum status adb_connection_sign(struct adb_connection *connection,
                                const uint8_t signature[ADB_SIGNATURE_SIZE]) {
    enum status status = may_answer(connection, ADB_CONNECTION_HOST);
    if (status == STATUS_OK) {
        send_auth(connection, ADB_AUTH_SIGNATURE, (struct bytes){signature, ADB_SIGNATURE_SIZE},
                  false);
    }
    return status;
}

enum status adb_connection_offer_key(struct adb_connection *connection, struct bytes text) {
    enum status status = may_answer(connection, ADB_CONNECTION_HOST);
    if (status == STATUS_OK) {
        send_auth(connection, ADB_AUTH_PUBLIC_KEY, text, true);
    }
    return status;
}

enum status adb_connection_challenge(struct adb_connection *connection,
                                     const uint8_t token[ADB_TOKEN_SIZE]) {
    enum status status = may_answer(connection, ADB_CONNECTION_DEVICE);
    if (status == STATUS_OK) {
        send_auth(connection, ADB_AUTH_TOKEN, (struct bytes){token, ADB_TOKEN_SIZE}, false);
    }
    return status;
}

enum status adb_connection_accept(struct adb_connection *connection,
                                  const struct adb_banner *banner) {
    enum status status = may_answer(connection, ADB_CONNECTION_DEVICE);
    if (status == STATUS_OK) {
        bool is_offered = (banner->features & ADB_FEATURE_DELAYED_ACK) != 0;
        check(!is_offered || connection->offered_window > 0);
        connection->window = is_offered ? connection->window : 0;
        send_connect(connection, banner);
        connection->phase = ADB_CONNECTION_ONLINE;
    }
    return status;
}

enum status adb_connection_open(struct adb_connection *connection, struct bytes service,
                                uint32_t *stream) {
    if (connection->phase != ADB_CONNECTION_ONLINE) {
        return STATUS_ILLEGAL;
    }
    if (service.size >= connection->payload_max ||
        service.size >= connection->output.capacity - ADB_CONNECTION_RESERVE - ADB_HEADER_SIZE) {
        return STATUS_TOO_LARGE;
    }
    size_t size = service.size + 1;
    if (adb_output_room(&connection->output) < ADB_CONNECTION_RESERVE + ADB_HEADER_SIZE + size) {
        return STATUS_AGAIN;
    }
    struct adb_connection_stream *added = add_stream(connection);
    if (added == NULL) {
        return STATUS_FULL;
    }
    uint8_t *payload = adb_output_payload(&connection->output, size);
    memcpy(payload, service.data, service.size);
    payload[service.size] = '\0';
    adb_output_send(&connection->output, (struct adb_message){.command = ADB_OPEN,
                                                              .arg0 = added->id,
                                                              .arg1 = connection->window,
                                                              .payload_size = (uint32_t)size});
    *stream = added->id;
    return STATUS_OK;
}

/* With delayed_ack an OKAY names bytes, the first one all that we take. */
static void send_okay(struct adb_connection *connection, const struct adb_connection_stream *stream,
                      uint32_t granted) {
    uint32_t size = connection->window > 0 ? ADB_CONNECTION_GRANT : 0;
    uint8_t *payload = adb_output_payload(&connection->output, size);
    for (uint32_t i = 0; i < size; i++) {
        payload[i] = (uint8_t)(granted >> (8 * i));
    }
    adb_output_send(&connection->output, (struct adb_message){.command = ADB_OKAY,
                                                              .arg0 = stream->id,
                                                              .arg1 = stream->remote,
                                                              .payload_size = size});
}

void adb_connection_accept_stream(struct adb_connection *connection, uint32_t stream) {
    struct adb_connection_stream *found = find(connection, stream);
    if (found != NULL && found->is_asked) {
        found->is_asked = false;
        send_okay(connection, found, connection->window);
    }
}

uint8_t *adb_connection_room(struct adb_connection *connection, uint32_t stream, size_t at_least,
                             size_t *capacity) {
    struct adb_connection_stream *found = find(connection, stream);
    size_t used = ADB_CONNECTION_RESERVE + ADB_HEADER_SIZE;
    *capacity = 0;
    if (found == NULL || found->remote == 0 || found->is_asked ||
        !adb_flow_may_send(&found->flow, connection->window) ||
        adb_output_room(&connection->output) < used + at_least) {
        return NULL;
    }
    size_t room = adb_output_room(&connection->output) - used;
    size_t most = room < connection->payload_max ? room : connection->payload_max;
    if (most < at_least || most == 0) {
        return NULL;
    }
    *capacity = most;
    return adb_output_payload(&connection->output, most);
}

void adb_connection_write_built(struct adb_connection *connection, uint32_t stream, size_t size) {
    struct adb_connection_stream *found = find(connection, stream);
    check(found != NULL);
    check(size > 0);
    check(size <= connection->payload_max);
    adb_flow_sent(&found->flow, connection->window, (uint32_t)size);
    adb_output_send(&connection->output, (struct adb_message){.command = ADB_WRTE,
                                                              .arg0 = found->id,
                                                              .arg1 = found->remote,
                                                              .payload_size = (uint32_t)size});
}

/* A grant is no answer that must find room: the reserve is not for it. */
static void grant(struct adb_connection *connection, struct adb_connection_stream *stream) {
    uint32_t size = adb_flow_due(&stream->flow, connection->window);
    size_t needed = ADB_CONNECTION_RESERVE + ADB_HEADER_SIZE + ADB_CONNECTION_GRANT;
    if (size == 0 || stream->remote == 0 || stream->is_asked) {
        return;
    }
    if (adb_output_room(&connection->output) < needed) {
        connection->has_grants = true;
        return;
    }
    send_okay(connection, stream, size);
    adb_flow_granted(&stream->flow, size);
}

static void grant_all(struct adb_connection *connection) {
    connection->has_grants = false;
    for (size_t i = 0; i < ADB_CONNECTION_STREAMS; i++) {
        if (connection->streams[i].id != 0) {
            grant(connection, &connection->streams[i]);
        }
    }
}

static bool is_being_read(const struct adb_connection *connection, uint32_t stream) {
    return connection->header_size == ADB_HEADER_SIZE && connection->message.command == ADB_WRTE &&
           connection->message.arg1 == stream;
}

void adb_connection_acknowledge(struct adb_connection *connection, uint32_t stream, size_t left) {
    struct adb_connection_stream *found = find(connection, stream);
    if (found == NULL) {
        return;
    }
    if (connection->window > 0) {
        adb_flow_used(&found->flow, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX);
        grant(connection, found);
    } else if (found->flow.owes_okay && left == 0 && !is_being_read(connection, stream)) {
        found->flow.owes_okay = false;
        send_okay(connection, found, 0);
    }
}

/* An OPEN without an answer has no remote id to name; its late OKAY is answered with CLSE. */
void adb_connection_close(struct adb_connection *connection, uint32_t stream) {
    struct adb_connection_stream *found = find(connection, stream);
    if (found == NULL) {
        return;
    }
    if (found->remote != 0) {
        adb_output_send_words(&connection->output, ADB_CLSE, found->is_asked ? 0 : found->id,
                              found->remote);
    }
    *found = (struct adb_connection_stream){.id = 0};
}

struct bytes adb_connection_output(const struct adb_connection *connection) {
    return adb_output_waiting(&connection->output);
}

void adb_connection_sent(struct adb_connection *connection, size_t size) {
    adb_output_sent(&connection->output, size);
    if (connection->has_grants) {
        grant_all(connection);
    }
}

/* --- what the peer does --- */

static enum status broken(struct adb_connection *connection, const char *reason) {
    connection->phase = ADB_CONNECTION_BROKEN;
    connection->reason = reason;
    drop_streams(connection);
    return STATUS_MALFORMED;
}

/* Whether a message's payload is read as a whole before it is acted on. */
static bool is_kept(const struct adb_message *message) {
    return message->payload_size <= ADB_HANDSHAKE_MAX &&
           (message->command == ADB_CNXN || message->command == ADB_AUTH ||
            message->command == ADB_OPEN || message->command == ADB_OKAY);
}

static struct bytes kept_text(const struct adb_connection *connection) {
    struct bytes text = {connection->kept, connection->kept_size};
    while (text.size > 0 && text.data[text.size - 1] == '\0') {
        text.size -= 1;
    }
    return text;
}

/* Nothing when the peer's banner does not name delayed_ack. */
static uint32_t agreed_window(const struct adb_connection *connection) {
    struct adb_banner banner;
    adb_banner_read(kept_text(connection), &banner);
    return (banner.features & ADB_FEATURE_DELAYED_ACK) != 0 ? connection->offered_window : 0;
}

/* Versions and payload sizes settle at the lower of both sides (AOSP update_version). */
static enum status on_connect(struct adb_connection *connection,
                              struct adb_connection_event *event) {
    const struct adb_message *message = &connection->message;
    if (message->arg0 < ADB_VERSION_MIN || message->arg1 < ADB_PAYLOAD_V1) {
        return broken(connection, "offers a version or payload size below the protocol's least");
    }
    drop_streams(connection);
    connection->output.has_checksum = message->arg0 < ADB_VERSION;
    connection->payload_max =
        message->arg1 < connection->offered_max ? message->arg1 : connection->offered_max;
    bool is_host = connection->role == ADB_CONNECTION_HOST;
    connection->window = is_host && !connection->offers_delayed_ack ? 0 : agreed_window(connection);
    connection->phase = is_host ? ADB_CONNECTION_ONLINE : ADB_CONNECTION_AUTH;
    event->kind = is_host ? ADB_EVENT_ONLINE : ADB_EVENT_CONNECT;
    event->data = kept_text(connection);
    return STATUS_OK;
}

static enum status on_auth(struct adb_connection *connection, struct adb_connection_event *event) {
    uint32_t kind = connection->message.arg0;
    event->data = (struct bytes){connection->kept, connection->kept_size};
    if (connection->role == ADB_CONNECTION_HOST) {
        if (kind != ADB_AUTH_TOKEN || connection->kept_size != ADB_TOKEN_SIZE) {
            return broken(connection, "asks for an unknown kind of authentication");
        }
        drop_streams(connection);
        connection->phase = ADB_CONNECTION_AUTH;
        event->kind = ADB_EVENT_TOKEN;
    } else if (connection->phase == ADB_CONNECTION_AUTH && kind == ADB_AUTH_SIGNATURE) {
        event->kind = ADB_EVENT_SIGNATURE;
    } else if (connection->phase == ADB_CONNECTION_AUTH && kind == ADB_AUTH_PUBLIC_KEY) {
        event->kind = ADB_EVENT_PUBLIC_KEY;
        event->data = kept_text(connection);
    }
    return STATUS_OK;
}

/* arg1 is the peer's window, and there is one exactly when delayed_ack was agreed. */
static void on_open(struct adb_connection *connection, struct adb_connection_event *event) {
    const struct adb_message *message = &connection->message;
    if (connection->phase != ADB_CONNECTION_ONLINE || message->arg0 == 0) {
        return;
    }
    bool is_taken = connection->role == ADB_CONNECTION_DEVICE || connection->takes_opens;
    bool has_window = message->arg1 > 0 && message->arg1 <= INT32_MAX;
    bool may = is_taken && has_window == (connection->window > 0) &&
               (has_window || message->arg1 == 0) && message->payload_size <= ADB_HANDSHAKE_MAX;
    struct adb_connection_stream *stream = may ? add_stream(connection) : NULL;
    if (stream == NULL) {
        connection->refused_opens += 1;
        adb_output_send_words(&connection->output, ADB_CLSE, 0, message->arg0);
        return;
    }
    stream->remote = message->arg0;
    stream->flow.credit = (int32_t)message->arg1;
    stream->is_asked = true;
    event->kind = ADB_EVENT_OPEN;
    event->stream = stream->id;
    event->data = kept_text(connection);
}

static enum status acknowledged(struct adb_connection *connection,
                                struct adb_connection_stream *stream, int32_t size,
                                struct adb_connection_event *event) {
    bool is_writable = false;
    if (adb_flow_acknowledged(&stream->flow, connection->window, size, &is_writable) != STATUS_OK) {
        return broken(connection, "acknowledges more bytes than there can be");
    }
    event->stream = is_writable ? stream->id : 0;
    event->kind = is_writable ? ADB_EVENT_WRITABLE : ADB_EVENT_NONE;
    return STATUS_OK;
}

/* An OKAY for a stream we have left: the peer may have opened it meanwhile and must hear. */
static enum status on_okay(struct adb_connection *connection, struct adb_connection_event *event) {
    const struct adb_message *message = &connection->message;
    if (message->payload_size != (connection->window > 0 ? ADB_CONNECTION_GRANT : 0)) {
        return broken(connection, "acknowledges in another way than was agreed (delayed_ack)");
    }
    const uint8_t *kept = connection->kept;
    uint32_t size = connection->window > 0 ? (uint32_t)kept[0] | (uint32_t)kept[1] << 8 |
                                                 (uint32_t)kept[2] << 16 | (uint32_t)kept[3] << 24
                                           : 0;
    struct adb_connection_stream *stream = find(connection, message->arg1);
    if (message->arg0 == 0 || message->arg1 == 0) {
        return STATUS_OK;
    }
    if (stream == NULL) {
        adb_output_send_words(&connection->output, ADB_CLSE, message->arg1, message->arg0);
        return STATUS_OK;
    }
    bool is_first = stream->remote == 0;
    if (!is_first && (stream->remote != message->arg0 || stream->is_asked)) {
        return STATUS_OK;
    }
    stream->remote = message->arg0;
    enum status status = acknowledged(connection, stream, (int32_t)size, event);
    if (status == STATUS_OK && is_first) {
        event->kind = ADB_EVENT_OPENED;
        event->stream = message->arg1;
    }
    return status;
}

/* CLSE(0, id) is how an OPEN is refused. */
static void on_close(struct adb_connection *connection, struct adb_connection_event *event) {
    const struct adb_message *message = &connection->message;
    struct adb_connection_stream *stream = find(connection, message->arg1);
    if (stream == NULL || stream->is_asked ||
        (message->arg0 != 0 && message->arg0 != stream->remote)) {
        return;
    }
    event->kind = ADB_EVENT_CLOSED;
    event->stream = stream->id;
    *stream = (struct adb_connection_stream){.id = 0};
}

/* The stream that a WRTE being read belongs to; 0 when there is none (any more). */
static uint32_t write_target(struct adb_connection *connection) {
    const struct adb_message *message = &connection->message;
    struct adb_connection_stream *stream = find(connection, message->arg1);
    bool is_ours = message->command == ADB_WRTE && stream != NULL && !stream->is_asked &&
                   stream->remote != 0 && stream->remote == message->arg0;
    return is_ours ? stream->id : 0;
}

/* A message has come as a whole. */
static enum status on_message(struct adb_connection *connection,
                              struct adb_connection_event *event) {
    bool is_online = connection->phase == ADB_CONNECTION_ONLINE;
    switch (connection->message.command) {
    case ADB_CNXN:
        return on_connect(connection, event);
    case ADB_AUTH:
        return on_auth(connection, event);
    case ADB_OPEN:
        on_open(connection, event);
        return STATUS_OK;
    case ADB_OKAY:
        return is_online ? on_okay(connection, event) : STATUS_OK;
    case ADB_CLSE:
        on_close(connection, event);
        return STATUS_OK;
    case ADB_WRTE:
        event->stream = write_target(connection);
        event->kind = event->stream != 0 ? ADB_EVENT_DATA_END : ADB_EVENT_NONE;
        return STATUS_OK;
    case ADB_STLS:
        return broken(connection, "asks for TLS, which is not supported here");
    default: /* SYNC and what is unknown: as in AOSP, ignored */
        return STATUS_OK;
    }
}

static enum status on_header(struct adb_connection *connection) {
    struct adb_message *message = &connection->message;
    struct bytes header = {connection->header, ADB_HEADER_SIZE};
    if (adb_decode(header, connection->payload_max, message) != STATUS_OK) {
        return broken(connection, "sent bytes that are not an ADB message");
    }
    bool is_handshake = message->command == ADB_CNXN || message->command == ADB_AUTH;
    if (is_handshake && message->payload_size > ADB_HANDSHAKE_MAX) {
        return broken(connection, "sent a handshake above its limit of 4096 bytes");
    }
    connection->payload_left = message->payload_size;
    connection->kept_size = 0;
    struct adb_connection_stream *stream = find(connection, write_target(connection));
    if (stream != NULL &&
        !adb_flow_received(&stream->flow, connection->window, message->payload_size)) {
        return broken(connection, "wrote again before its last write was acknowledged");
    }
    return STATUS_OK;
}

static struct bytes take(struct bytes *input, size_t wanted) {
    struct bytes taken = {input->data, input->size < wanted ? input->size : wanted};
    input->data += taken.size;
    input->size -= taken.size;
    return taken;
}

/* True once the header is whole. */
static bool take_header(struct adb_connection *connection, struct bytes *input) {
    struct bytes part = take(input, ADB_HEADER_SIZE - connection->header_size);
    if (part.size > 0) {
        memcpy(connection->header + connection->header_size, part.data, part.size);
        connection->header_size += (uint32_t)part.size;
    }
    return connection->header_size == ADB_HEADER_SIZE;
}

static void take_payload(struct adb_connection *connection, struct bytes *input,
                         struct adb_connection_event *event) {
    struct bytes part = take(input, connection->payload_left);
    connection->payload_left -= (uint32_t)part.size;
    check(part.size > 0);
    if (is_kept(&connection->message)) {
        memcpy(connection->kept + connection->kept_size, part.data, part.size);
        connection->kept_size += (uint32_t)part.size;
    }
    event->stream = write_target(connection);
    if (event->stream != 0) {
        event->kind = ADB_EVENT_DATA;
        event->data = part;
    }
}

enum status adb_connection_receive(struct adb_connection *connection, struct bytes *input,
                                   struct adb_connection_event *event) {
    *event = (struct adb_connection_event){.kind = ADB_EVENT_NONE};
    if (connection->phase == ADB_CONNECTION_BROKEN) {
        return STATUS_MALFORMED;
    }
    if (adb_output_room(&connection->output) < ADB_CONNECTION_ANSWER) {
        return STATUS_AGAIN;
    }
    if (connection->header_size < ADB_HEADER_SIZE) {
        if (!take_header(connection, input)) {
            return STATUS_MORE;
        }
        if (on_header(connection) != STATUS_OK) {
            return STATUS_MALFORMED;
        }
    }
    if (connection->payload_left > 0) {
        if (input->size == 0) {
            return STATUS_MORE;
        }
        take_payload(connection, input, event);
        return STATUS_OK;
    }
    connection->header_size = 0;
    return on_message(connection, event);
}
