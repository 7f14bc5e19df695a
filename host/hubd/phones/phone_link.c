#include "host/hubd/phones/phone_link.h"

#include "host/hubd/phones/phone_table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { READS_A_TURN = 16, WRITES_A_TURN = 16 }; /* then other phones get theirs */

const char *phone_link_state_name(enum phone_link_state state) {
    static const char *const names[] = {"closed", "connecting", "unauthorized", "online", "lost"};
    check((size_t)state < array_count(names));
    return names[state];
}

/* --- state --- */

static void shut(struct phone_link *link) {
    if (link->stream != NULL) {
        loop_remove(link->loop, &link->source);
        hal_stream_close(link->stream);
        link->stream = NULL;
    }
    link->input.size = 0;
    link->probe_stream = 0;
}

static void change(struct phone_link *link, enum phone_link_state state, const char *reason) {
    link->state = state;
    link->reason = reason;
    link->owner.changed(link->owner.owner, link);
}

static void lose(struct phone_link *link, enum status status, const char *reason) {
    shut(link);
    link->state = PHONE_LINK_LOST;
    link->reason = reason;
    link->lost_as = status;
    uint32_t epoch = link->epoch;
    phone_table_end_all(link, status, reason);
    phone_stream_end_below(link, UINT64_MAX);
    if (link->epoch == epoch && phone_table_report_all(link)) {
        change(link, PHONE_LINK_LOST, reason);
    }
}

static const char *loss_reason(const struct phone_link *link, enum status status) {
    bool is_new = link->state == PHONE_LINK_CONNECTING && link->bytes_received == 0;
    if (status == STATUS_CLOSED) {
        return is_new ? "refused the connection" : "closed the connection";
    }
    if (status == STATUS_TIMEOUT) {
        return "cannot be reached";
    }
    return "the connection broke";
}

/* --- what the phone says --- */

static void keep_name(char target[PHONE_LINK_NAME_SIZE], struct bytes name) {
    size_t size = 0;
    while (size < name.size && size + 1 < PHONE_LINK_NAME_SIZE) {
        uint8_t byte = name.data[size];
        target[size++] = byte > ' ' && byte < 0x7f ? (char)byte : '_';
    }
    target[size] = '\0';
}

/* Clients ask for the list; one that cannot be whole is none, so that they use the oldest ways. */
static void keep_features(struct phone_link *link, struct bytes text) {
    bool is_good = text.size < sizeof link->features_text;
    for (size_t i = 0; i < text.size && is_good; i++) {
        is_good = text.data[i] > ' ' && text.data[i] < 0x7f;
    }
    size_t size = is_good ? text.size : 0;
    memcpy(link->features_text, text.data, size);
    link->features_text[size] = '\0';
}

static void on_online(struct phone_link *link, struct bytes payload) {
    struct adb_banner banner;
    adb_banner_read(payload, &banner);
    if (banner.peer != ADB_PEER_DEVICE) {
        lose(link, STATUS_FOREIGN, "is not running Android (recovery, sideload or no phone)");
        return;
    }
    keep_name(link->product, banner.product);
    keep_name(link->model, banner.model);
    keep_name(link->device, banner.device);
    keep_features(link, banner.features_text);
    link->features = banner.features;
    link->probe_stream = 0;
    phone_table_end_all(link, STATUS_CLOSED, "the phone began a new connection");
    phone_stream_end_below(link, UINT64_MAX);
    bool is_news = link->state != PHONE_LINK_ONLINE;
    if (phone_table_report_all(link) && is_news) {
        change(link, PHONE_LINK_ONLINE, "");
    }
}

/* One signature and one offer per connection: a phone cannot make us compute without end. */
static void on_token(struct phone_link *link, struct bytes token) {
    if (link->state == PHONE_LINK_ONLINE) {
        lose(link, STATUS_CLOSED, "asked for a key again");
        return;
    }
    link->token_count += 1;
    if (link->key == NULL && link->token_count > 1) {
        return;
    }
    if (link->key == NULL) {
        change(link, PHONE_LINK_UNAUTHORIZED, "asks for a key, and this host has none");
        return;
    }
    if (link->token_count == 1) {
        uint8_t signature[ADB_SIGNATURE_SIZE];
        if (adb_key_sign(link->key, token.data, signature) != STATUS_OK) {
            lose(link, STATUS_NO_MEMORY, "the token could not be signed");
            return;
        }
        check(adb_connection_sign(&link->connection, signature) == STATUS_OK);
    } else if (link->token_count == 2) {
        struct bytes text = {(const uint8_t *)link->key->text, strlen(link->key->text)};
        check(adb_connection_offer_key(&link->connection, text) == STATUS_OK);
        change(link, PHONE_LINK_UNAUTHORIZED, "has not accepted this host's key yet");
    }
}

static void on_data(struct phone_link *link, struct phone_operation *operation, struct bytes data) {
    uint32_t epoch = link->epoch;
    uint32_t id = operation->id;
    struct adb_shell_piece piece;
    while (phone_operation_read(operation, &data, &piece)) {
        bool is_stderr = piece.id == ADB_SHELL_STDERR;
        bool is_output = is_stderr || piece.id == ADB_SHELL_STDOUT;
        const struct phone_handler *handler = &operation->handler;
        if (is_output && piece.data.size > 0 && handler->output != NULL) {
            handler->output(handler->owner, id, is_stderr, piece.data);
        }
        if (link->epoch != epoch || operation->id != id) {
            return;
        }
    }
    if (operation->is_over) {
        phone_table_report(link, operation);
    }
}

static void on_stream_event(struct phone_link *link, const struct adb_connection_event *event) {
    if (event->stream == link->probe_stream) {
        adb_connection_close(&link->connection, link->probe_stream);
        link->probe_stream = 0;
        return;
    }
    struct phone_operation *operation = phone_table_find_by_stream(link, event->stream);
    struct phone_stream *stream = phone_stream_find(link, event->stream);
    if (stream != NULL) {
        phone_stream_event(link, stream, event);
        return;
    }
    if (operation == NULL) {
        return;
    }
    if (event->kind == ADB_EVENT_OPENED) {
        operation->is_opened = true;
    } else if (event->kind == ADB_EVENT_DATA) {
        on_data(link, operation, event->data);
    } else if (event->kind == ADB_EVENT_DATA_END) {
        adb_connection_acknowledge(&link->connection, event->stream, 0);
    } else if (event->kind == ADB_EVENT_CLOSED) {
        phone_operation_closed(operation);
        phone_table_report(link, operation);
    }
}

static void on_asked(struct phone_link *link, const struct adb_connection_event *event) {
    if (link->opens.asked == NULL ||
        !link->opens.asked(link->opens.owner, link, event->stream, event->data)) {
        adb_connection_close(&link->connection, event->stream);
    }
}

static void on_event(struct phone_link *link, const struct adb_connection_event *event) {
    if (event->kind == ADB_EVENT_ONLINE) {
        on_online(link, event->data);
    } else if (event->kind == ADB_EVENT_TOKEN) {
        on_token(link, event->data);
    } else if (event->kind == ADB_EVENT_OPEN) {
        on_asked(link, event);
    } else if (event->stream != 0) {
        on_stream_event(link, event);
    }
}

/* --- bytes --- */

/* Takes what was read, as far as our answers find room. False: this connection is over. */
static bool take_input(struct phone_link *link) {
    uint32_t epoch = link->epoch;
    while (true) {
        struct adb_connection_event event;
        enum status status = adb_connection_receive(&link->connection, &link->input, &event);
        if (status == STATUS_MALFORMED) {
            lose(link, STATUS_MALFORMED, link->connection.reason);
            return false;
        }
        if (status != STATUS_OK) {
            return true;
        }
        on_event(link, &event);
        if (link->epoch != epoch || link->stream == NULL) {
            return false;
        }
    }
}

static bool read_stream(struct phone_link *link) {
    for (unsigned i = 0; i < READS_A_TURN; i++) {
        size_t size = 0;
        if (link->input.size > 0) { /* our answers lacked room */
            return true;
        }
        enum status status =
            hal_stream_read(link->stream, link->input_memory, sizeof link->input_memory, &size);
        if (status == STATUS_AGAIN) {
            return true;
        }
        if (status != STATUS_OK) {
            lose(link, status, loss_reason(link, status));
            return false;
        }
        link->bytes_received += size;
        link->input = (struct bytes){link->input_memory, size};
        if (!take_input(link)) {
            return false;
        }
    }
    return true;
}

static bool write_stream(struct phone_link *link) {
    for (unsigned i = 0; i < WRITES_A_TURN; i++) {
        for (size_t k = 0; k < PHONE_LINK_OPERATIONS; k++) {
            if (link->operations[k].id != 0) {
                phone_operation_write(&link->operations[k], &link->connection);
            }
        }
        uint32_t epoch = link->epoch;
        phone_stream_write_all(link);
        if (link->epoch != epoch || link->stream == NULL) {
            return false;
        }
        struct bytes output = adb_connection_output(&link->connection);
        size_t size = 0;
        if (output.size == 0) {
            return true;
        }
        enum status status = hal_stream_write(link->stream, output.data, output.size, &size);
        if (status == STATUS_AGAIN) {
            return true;
        }
        if (status != STATUS_OK) {
            lose(link, status, loss_reason(link, status));
            return false;
        }
        link->bytes_sent += size;
        adb_connection_sent(&link->connection, size);
    }
    return true;
}

static void arm(struct phone_link *link) {
    uint32_t events = link->input.size > 0 ? 0 : EPOLLIN;
    bool is_held = (link->stream->wants & HAL_STREAM_READABLE) != 0; /* it becomes readable then */
    bool is_waiting = adb_connection_output(&link->connection).size > 0 && !is_held;
    if (is_waiting || (link->stream->has_buffered && link->input.size == 0)) {
        events |= EPOLLOUT;
    }
    if ((link->stream->wants & HAL_STREAM_READABLE) != 0) {
        events |= EPOLLIN;
    }
    loop_change(link->loop, &link->source, events);
}

static void ready(struct loop_source *source, uint32_t events) {
    struct phone_link *link = (struct phone_link *)source;
    (void)events;
    uint32_t epoch = link->epoch;
    if (link->input.size > 0 && !take_input(link)) {
        return;
    }
    if (!read_stream(link) || !phone_table_report_all(link) || !write_stream(link)) {
        return;
    }
    if (link->input.size > 0 && !take_input(link)) {
        return;
    }
    if (phone_table_report_all(link) && link->epoch == epoch && link->stream != NULL) {
        arm(link);
    }
}

/* --- what the owner does --- */

void phone_link_init(struct phone_link *link, struct loop *loop, struct adb_key *key,
                     struct phone_link_owner owner) {
    check(owner.changed != NULL);
    memset(link, 0, offsetof(struct phone_link, input_memory));
    link->source = (struct loop_source){.ready = ready, .fd = -1};
    link->loop = loop;
    link->key = key;
    link->offered_features = ADB_FEATURES_PASSED_ON | ADB_FEATURE_DELAYED_ACK;
    link->owner = owner;
    link->reason = "";
}

enum status phone_link_attach(struct phone_link *link, struct hal_stream *stream, uint64_t now_ms) {
    check(link->stream == NULL);
    if (loop_add(link->loop, &link->source, stream->handle, EPOLLIN | EPOLLOUT) != STATUS_OK) {
        hal_stream_close(stream);
        return STATUS_IO;
    }
    link->epoch += 1;
    link->stream = stream;
    link->state = PHONE_LINK_CONNECTING;
    link->reason = "";
    link->token_count = 0;
    link->bytes_received = 0;
    link->stepped_bytes = 0;
    link->attached_ms = now_ms;
    link->quiet_since_ms = now_ms;
    link->owed_since_ms = now_ms;
    adb_connection_init(&link->connection, ADB_CONNECTION_HOST, PHONE_LINK_PAYLOAD,
                        link->output_memory, sizeof link->output_memory);
    link->connection.takes_opens = true;
    link->connection.offered_window = PHONE_LINK_WINDOW;
    struct adb_banner banner = {.peer = ADB_PEER_HOST, .features = link->offered_features};
    adb_connection_start(&link->connection, &banner);
    return STATUS_OK;
}

void phone_link_close(struct phone_link *link) {
    link->epoch += 1;
    for (size_t i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        if (link->operations[i].id != 0) {
            phone_operation_end(&link->operations[i], STATUS_CLOSED, "");
            phone_table_drop(link, &link->operations[i]);
        }
    }
    shut(link);
    phone_stream_end_below(link, UINT64_MAX);
    link->state = PHONE_LINK_CLOSED;
    link->reason = "";
}

/* adbd refuses a service it does not know with CLSE: the cheapest answer there is. */
static void probe(struct phone_link *link) {
    if (adb_connection_open(&link->connection, bytes_of("hub-probe:"), &link->probe_stream) !=
        STATUS_OK) {
        link->probe_stream = 0;
    }
    loop_change(link->loop, &link->source, link->source.events | EPOLLOUT);
}

void phone_link_step(struct phone_link *link, uint64_t now_ms) {
    if (link->state == PHONE_LINK_CONNECTING &&
        now_ms - link->attached_ms >= PHONE_LINK_HANDSHAKE_MS) {
        lose(link, STATUS_TIMEOUT, "did not finish the handshake in time");
        return;
    }
    if (link->state != PHONE_LINK_ONLINE) {
        return;
    }
    if (link->stepped_bytes != link->bytes_received) {
        link->stepped_bytes = link->bytes_received;
        link->quiet_since_ms = now_ms;
    }
    bool is_owed = phone_table_is_owed(link);
    if (!is_owed) {
        link->owed_since_ms = now_ms;
    }
    bool is_heard = link->quiet_since_ms > link->owed_since_ms;
    uint64_t since_ms = is_heard ? link->quiet_since_ms : link->owed_since_ms;
    if (is_owed && now_ms - since_ms >= PHONE_LINK_SILENCE_MS) {
        lose(link, STATUS_TIMEOUT, "has gone silent");
    } else if (!is_owed && now_ms - link->quiet_since_ms >= PHONE_LINK_PROBE_MS) {
        probe(link);
    }
}

void phone_link_fence(struct phone_link *link, uint64_t token) {
    phone_table_fence(link, token);
    (void)phone_table_report_all(link);
}

enum status phone_link_shell(struct phone_link *link, uint64_t token, struct bytes command,
                             const struct phone_handler *handler, uint32_t *operation) {
    struct phone_operation *begun = NULL;
    enum status status = phone_table_begin(link, token, PHONE_SHELL, command, &begun);
    if (status == STATUS_OK) {
        *operation = phone_table_commit(link, begun, token, handler);
    }
    return status;
}

enum status phone_link_service(struct phone_link *link, uint64_t token, struct bytes service,
                               const struct phone_handler *handler, uint32_t *operation) {
    struct phone_operation *begun = NULL;
    enum status status = phone_table_begin(link, token, PHONE_SERVICE, service, &begun);
    if (status == STATUS_OK) {
        *operation = phone_table_commit(link, begun, token, handler);
    }
    return status;
}

enum status phone_link_push(struct phone_link *link, uint64_t token, const struct phone_push *push,
                            const struct phone_handler *handler, uint32_t *operation) {
    struct phone_operation *begun = NULL;
    struct bytes target = {(const uint8_t *)push->target, strlen(push->target)};
    enum status status = phone_table_begin(link, token, PHONE_PUSH, target, &begun);
    if (status != STATUS_OK) {
        return status;
    }
    begun->memory = push->memory;
    begun->mode = push->mode;
    begun->modified_s = push->modified_s;
    if (push->path != NULL) {
        begun->file = open(push->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (begun->file < 0) {
            return STATUS_FOREIGN;
        }
    }
    *operation = phone_table_commit(link, begun, token, handler);
    return STATUS_OK;
}

enum status phone_link_pull(struct phone_link *link, uint64_t token, const struct phone_pull *pull,
                            const struct phone_handler *handler, uint32_t *operation) {
    struct phone_operation *begun = NULL;
    struct bytes source = {(const uint8_t *)pull->source, strlen(pull->source)};
    if (strlen(pull->path) >= PHONE_PATH_SIZE) {
        return STATUS_TOO_LARGE;
    }
    enum status status = phone_table_begin(link, token, PHONE_PULL, source, &begun);
    if (status != STATUS_OK) {
        return status;
    }
    snprintf(begun->path, sizeof begun->path, "%s", pull->path);
    begun->max_bytes = pull->max_bytes;
    begun->file = open(pull->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (begun->file < 0) {
        return STATUS_FOREIGN;
    }
    *operation = phone_table_commit(link, begun, token, handler);
    return STATUS_OK;
}

void phone_link_cancel(struct phone_link *link, uint32_t operation) {
    struct phone_operation *found = phone_table_find(link, operation);
    if (found == NULL) {
        return;
    }
    phone_operation_end(found, STATUS_CLOSED, "cancelled");
    phone_table_drop(link, found);
    if (link->stream != NULL) {
        loop_change(link->loop, &link->source, link->source.events | EPOLLOUT);
    }
}
