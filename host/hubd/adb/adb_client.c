#include "host/hubd/adb/adb_client.h"

#include "host/hubd/adb/adb_forward.h"
#include "host/hubd/adb/adb_services.h"
#include "protocol/crc32c.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUESTS_A_TURN = 4,
    ANOTHERS_MAX = 4 /* of users that are refused: they must not fill the table */
};

static void ready(struct loop_source *source, uint32_t events);

/* ---- life ---- */

static struct adb_client *claim(struct adb_endpoint *endpoint, struct hal_stream socket) {
    struct adb_host *host = endpoint->host;
    for (uint32_t i = 0; i < host->client_count; i++) {
        struct adb_client *client = &host->clients[i];
        if (client->step != ADB_CLIENT_FREE) {
            continue;
        }
        uint8_t *buffer = client->buffer;
        *client = (struct adb_client){.source = {.ready = ready, .fd = -1},
                                      .host = host,
                                      .endpoint = endpoint,
                                      .socket = socket,
                                      .buffer = buffer};
        if (loop_add(host->loop, &client->source, socket.handle, EPOLLIN) != STATUS_OK) {
            return NULL;
        }
        host->counters.clients += 1;
        return client;
    }
    host->counters.refused_full += 1;
    return NULL;
}

static void drop_stream(struct adb_client *client) {
    if (client->stream != NULL) {
        phone_stream_close(client->link, client->stream);
        client->stream = NULL;
    }
}

static bool is_watching(const struct adb_client *client) {
    return client->step == ADB_CLIENT_TRACKING || client->step == ADB_CLIENT_WAITING;
}

static void set_step(struct adb_client *client, enum adb_client_step step) {
    client->host->watcher_count -= is_watching(client);
    client->step = step;
    client->host->watcher_count += is_watching(client);
}

void adb_client_end(struct adb_client *client) {
    if (client->step == ADB_CLIENT_FREE) {
        return;
    }
    set_step(client, ADB_CLIENT_FREE);
    client->host->another_count -= client->is_another;
    drop_stream(client);
    loop_remove(client->host->loop, &client->source);
    hal_stream_close(&client->socket);
}

/* ---- towards the client ---- */

/* Else the buffer holds a request, or the service that is being opened. */
static bool has_output(const struct adb_client *client) {
    return client->step != ADB_CLIENT_ASKING && client->step != ADB_CLIENT_OPENING &&
           client->end > client->begin;
}

static void arm(struct adb_client *client) {
    bool may_read = client->step == ADB_CLIENT_ASKING || is_watching(client) ||
                    (client->step == ADB_CLIENT_STREAMING && client->stream != NULL &&
                     !client->stream->has_input);
    uint32_t events = (may_read ? EPOLLIN : 0) | (has_output(client) ? EPOLLOUT : 0);
    loop_change(client->host->loop, &client->source, events);
}

/* Tells the phone what was taken, so that it may send more. */
static void acknowledge(struct adb_client *client) {
    if (client->stream != NULL && client->step == ADB_CLIENT_STREAMING) {
        phone_stream_acknowledge(client->link, client->stream, client->end - client->begin);
    }
}

/* The bytes the socket takes now. A peer that is gone takes everything. */
static size_t send_now(struct adb_client *client, struct bytes bytes) {
    size_t sent = 0;
    while (sent < bytes.size && !client->is_deaf) {
        ssize_t count = send(client->socket.handle, bytes.data + sent, bytes.size - sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count > 0) {
            sent += (size_t)count;
        } else if (count < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
            return sent;
        } else if (count < 0 && errno != EINTR) {
            client->is_deaf = true;
        }
    }
    return bytes.size;
}

/* False: it was the last to be said, and the client is gone. */
static bool flush(struct adb_client *client) {
    struct bytes waiting = {client->buffer + client->begin, client->end - client->begin};
    client->begin += send_now(client, waiting);
    acknowledge(client);
    if (client->begin < client->end) {
        return true;
    }
    client->begin = 0;
    client->end = 0;
    if (client->step == ADB_CLIENT_ENDING || (client->is_deaf && client->stream == NULL)) {
        adb_client_end(client);
        return false;
    }
    return true;
}

void adb_client_say_bytes(struct adb_client *client, struct bytes bytes) {
    if (client->end == client->begin) {
        size_t sent = send_now(client, bytes);
        bytes.data += sent;
        bytes.size -= sent;
        client->begin = 0;
        client->end = 0;
    }
    if (bytes.size == 0) {
        return;
    }
    if (bytes.size > ADB_CLIENT_BUFFER - client->end) {
        memmove(client->buffer, client->buffer + client->begin, client->end - client->begin);
        client->end -= client->begin;
        client->begin = 0;
    }
    check(bytes.size <= ADB_CLIENT_BUFFER - client->end);
    memcpy(client->buffer + client->end, bytes.data, bytes.size);
    client->end += bytes.size;
    arm(client);
}

void adb_client_say(struct adb_client *client, const char *word) {
    adb_client_say_bytes(client, (struct bytes){(const uint8_t *)word, strlen(word)});
}

void adb_client_say_string(struct adb_client *client, struct bytes text) {
    uint8_t size[ADB_SERVER_LENGTH_SIZE];
    text.size = text.size < ADB_SERVER_TEXT_MAX ? text.size : ADB_SERVER_TEXT_MAX;
    check(adb_server_string((struct bytes){text.data, 0}, size, sizeof size) == sizeof size);
    for (size_t i = 0; i < sizeof size; i++) {
        size[i] = (uint8_t) "0123456789abcdef"[text.size >> (12 - 4 * i) & 15];
    }
    adb_client_say_bytes(client, (struct bytes){size, sizeof size});
    adb_client_say_bytes(client, text);
}

void adb_client_finish(struct adb_client *client) {
    set_step(client, ADB_CLIENT_ENDING);
    arm(client);
}

void adb_client_fail(struct adb_client *client, const char *error) {
    if (!client->is_plain) {
        adb_client_say(client, "FAIL");
        adb_client_say_string(client, (struct bytes){(const uint8_t *)error, strlen(error)});
    }
    adb_client_finish(client);
}

/* ---- the stream to the phone ---- */

static void stream_opened(void *owner) {
    struct adb_client *client = owner;
    client->begin = 0;
    client->end = 0;
    set_step(client, ADB_CLIENT_STREAMING);
    if (!client->is_plain) {
        adb_client_say(client, "OKAY");
    }
    arm(client);
}

static void stream_data(void *owner, struct bytes data) {
    adb_client_say_bytes(owner, data);
    acknowledge(owner);
}

static void stream_data_end(void *owner) {
    acknowledge(owner);
}

/* The client has closed its half, or all of it: as in AOSP that ends the stream. */
static void end_of_input(struct adb_client *client) {
    drop_stream(client);
    set_step(client, ADB_CLIENT_ENDING);
    arm(client);
    if (client->begin == client->end) {
        adb_client_end(client);
    }
}

static size_t stream_fill(void *owner, uint8_t *target, size_t capacity) {
    struct adb_client *client = owner;
    ssize_t count = 0;
    do {
        count = recv(client->socket.handle, target, capacity, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        return (size_t)count;
    }
    if (count < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
        client->stream->has_input = false;
        arm(client);
        return 0;
    }
    end_of_input(client);
    return 0;
}

static void stream_closed(void *owner) {
    struct adb_client *client = owner;
    client->stream = NULL;
    if (client->step == ADB_CLIENT_OPENING) {
        client->begin = 0;
        client->end = 0;
        adb_client_fail(client, "closed");
    } else {
        set_step(client, ADB_CLIENT_ENDING);
    }
    (void)flush(client);
}

static const struct phone_stream_handler *handler_of(struct adb_client *client,
                                                     struct phone_stream_handler *handler) {
    *handler = (struct phone_stream_handler){.opened = stream_opened,
                                             .data = stream_data,
                                             .data_end = stream_data_end,
                                             .fill = stream_fill,
                                             .closed = stream_closed,
                                             .owner = client};
    return handler;
}

void adb_client_open(struct adb_client *client, uint64_t id) {
    struct phone_line *line = adb_endpoint_line(client->endpoint, id);
    struct phone_stream_handler handler;
    struct bytes service = {client->buffer + client->begin, client->end - client->begin};
    if (line == NULL) {
        client->end = client->begin;
        adb_client_fail(client, "device offline (transport offline)");
        return;
    }
    if (!client->is_plain) {
        adb_forward_note(client->endpoint, service);
    }
    client->link = &line->link;
    enum status status = phone_stream_open(client->link, client->endpoint->token, service,
                                           handler_of(client, &handler), &client->stream);
    if (status == STATUS_OK) {
        set_step(client, ADB_CLIENT_OPENING);
        arm(client);
        return;
    }
    client->stream = NULL;
    client->end = client->begin;
    adb_client_fail(client, status == STATUS_FULL          ? "too many streams to this phone"
                            : status == STATUS_STALE_LEASE ? "the lease of this phone is over"
                            : status == STATUS_TOO_LARGE   ? "the service's name is too long"
                                                           : "device offline");
}

/* ---- requests ---- */

/* Reads one request, never a byte behind it. False: there is none, or the client is gone. */
static bool take_request(struct adb_client *client) {
    struct bytes input = {client->buffer, client->end};
    struct bytes text;
    size_t wanted = 0;
    enum status status = adb_server_next(&input, &text, &wanted);
    if (status == STATUS_OK) {
        client->begin = (size_t)(text.data - client->buffer);
        adb_services_handle(client, text);
        return client->step == ADB_CLIENT_ASKING;
    }
    if (status == STATUS_MALFORMED) {
        adb_client_end(client);
        return false;
    }
    ssize_t count = recv(client->socket.handle, client->buffer + client->end, wanted - client->end,
                         MSG_DONTWAIT);
    if (count > 0) {
        client->end += (size_t)count;
        return true;
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    adb_client_end(client);
    return false;
}

void adb_client_begin_watch(struct adb_client *client, enum adb_client_step step,
                            const struct adb_request *request) {
    client->request = *request;
    struct bytes serial = request->selector.serial;
    if (serial.size > sizeof client->serial) {
        adb_client_fail(client, "the serial is too long");
        return;
    }
    if (serial.size > 0) {
        memcpy(client->serial, serial.data, serial.size);
    }
    client->request.selector.serial = (struct bytes){(const uint8_t *)client->serial, serial.size};
    client->begin = 0;
    client->end = 0;
    adb_client_say(client, "OKAY");
    client->told = UINT32_MAX;
    set_step(client, step);
    adb_client_watch(client);
}

/* A list is sent when it is another one; a client that does not read is left behind. */
static void watch_list(struct adb_client *client) {
    static uint8_t list[ADB_SERVER_TEXT_MAX + 1];
    struct adb_devices devices = adb_endpoint_devices(client->endpoint);
    size_t size = adb_server_list(devices, client->request.kind, list, sizeof list);
    uint32_t sum = crc32c(0, (struct bytes){list, size});
    sum = sum == UINT32_MAX ? 0 : sum;
    if (sum != client->told && client->end == client->begin) {
        client->told = sum;
        adb_client_say_string(client, (struct bytes){list, size});
    }
}

void adb_client_watch(struct adb_client *client) {
    char error[ADB_SERVER_ERROR_SIZE];
    if (client->step == ADB_CLIENT_TRACKING) {
        watch_list(client);
        return;
    }
    if (client->step != ADB_CLIENT_WAITING) {
        return;
    }
    struct adb_devices devices = adb_endpoint_devices(client->endpoint);
    enum status status = adb_server_awaited(&client->request, devices, error);
    if (status == STATUS_OK) {
        adb_client_say(client, "OKAY");
        adb_client_finish(client);
        (void)flush(client);
    } else if (status == STATUS_FULL) {
        adb_client_fail(client, error);
        (void)flush(client);
    }
}

/* ---- the loop ---- */

/* Only errors and hang-ups wake it: what it sent before is of use, nothing else. */
static void hang_up(struct adb_client *client) {
    client->is_deaf = true;
    loop_remove(client->host->loop, &client->source);
    if (client->stream != NULL && client->step == ADB_CLIENT_STREAMING) {
        client->begin = 0;
        client->end = 0;
        acknowledge(client);
        phone_stream_poke(client->link, client->stream);
        return;
    }
    adb_client_end(client);
}

static void ready(struct loop_source *source, uint32_t events) {
    struct adb_client *client = (struct adb_client *)source;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && client->step != ADB_CLIENT_ASKING) {
        hang_up(client);
        return;
    }
    if ((events & EPOLLOUT) != 0 && has_output(client) && !flush(client)) {
        return;
    }
    if (client->step == ADB_CLIENT_ASKING) {
        for (unsigned i = 0; i < 2 * REQUESTS_A_TURN && take_request(client); i++) {
        }
    } else if (is_watching(client) && (events & EPOLLIN) != 0) {
        adb_client_end(client); /* a watcher only listens */
    } else if (client->step == ADB_CLIENT_STREAMING && (events & EPOLLIN) != 0) {
        phone_stream_poke(client->link, client->stream);
    }
    if (client->step == ADB_CLIENT_ENDING && client->begin == client->end) {
        adb_client_end(client);
    }
    if (client->step != ADB_CLIENT_FREE) {
        arm(client);
    }
}

void adb_client_begin(struct adb_endpoint *endpoint, struct hal_stream socket, bool is_another) {
    struct adb_host *host = endpoint->host;
    host->counters.refused_users += is_another;
    if (is_another && host->another_count == ANOTHERS_MAX) {
        hal_stream_close(&socket);
        return;
    }
    struct adb_client *client = claim(endpoint, socket);
    if (client == NULL) {
        uint8_t answer[ADB_SERVER_ERROR_SIZE];
        size_t size =
            adb_server_fail("this hub serves as many adb clients as it can", answer, sizeof answer);
        (void)!send(socket.handle, answer, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        hal_stream_close(&socket);
        return;
    }
    client->is_another = is_another;
    host->another_count += is_another;
    client->step = ADB_CLIENT_ASKING;
}

void adb_client_begin_plain(struct adb_endpoint *endpoint, struct hal_stream socket, uint32_t phone,
                            const char *service) {
    struct adb_client *client = claim(endpoint, socket);
    if (client == NULL) {
        hal_stream_close(&socket);
        return;
    }
    client->is_plain = true;
    client->step = ADB_CLIENT_ENDING;
    client->end = strlen(service);
    memcpy(client->buffer, service, client->end);
    adb_client_open(client, phone + 1u);
    if (client->step == ADB_CLIENT_ENDING) {
        adb_client_end(client);
    }
}

bool adb_client_begin_asked(struct adb_endpoint *endpoint, struct hal_stream socket,
                            struct phone_link *link, uint32_t id) {
    struct phone_stream_handler handler;
    struct adb_client *client = claim(endpoint, socket);
    if (client == NULL) {
        return false;
    }
    client->is_plain = true;
    client->step = ADB_CLIENT_STREAMING;
    client->link = link;
    if (phone_stream_take(link, endpoint->token, id, handler_of(client, &handler),
                          &client->stream) != STATUS_OK) {
        loop_remove(endpoint->host->loop, &client->source);
        client->step = ADB_CLIENT_FREE;
        return false;
    }
    arm(client);
    return true;
}
