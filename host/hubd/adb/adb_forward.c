#include "host/hubd/adb/adb_forward.h"

#include "host/hubd/adb/adb_client.h"
#include "protocol/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- this machine's loopback ---- */

static enum status loopback_address(uint16_t port, struct tcp_address *address) {
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    return tcp_parse(text, address);
}

static enum status listen_loopback(void *owner, uint16_t port, int *fd) {
    struct tcp_address address;
    (void)owner;
    check(loopback_address(port, &address) == STATUS_OK);
    return tcp_listen(fd, &address);
}

static enum status connect_loopback(void *owner, uint16_t port, int *fd) {
    struct tcp_address address;
    struct hal_stream stream;
    (void)owner;
    check(loopback_address(port, &address) == STATUS_OK);
    enum status status = tcp_connect(&stream, &address);
    *fd = stream.handle;
    return status;
}

struct adb_ports adb_forward_ports(bool is_allowed) {
    struct adb_ports ports = {0};
    if (is_allowed) {
        ports.listen = listen_loopback;
        ports.connect = connect_loopback;
    }
    return ports;
}

/* ---- forwards ---- */

static void accept_plain(struct loop_source *source, uint32_t events) {
    struct adb_forward *forward = (struct adb_forward *)source;
    (void)events;
    struct hal_stream socket;
    while (forward->endpoint != NULL && tcp_accept(source->fd, &socket) == STATUS_OK) {
        if (!forward->endpoint->is_apart && !adb_access_allows(forward->endpoint, socket.handle)) {
            forward->endpoint->host->counters.refused_users += 1;
            hal_stream_close(&socket);
            continue;
        }
        adb_client_begin_plain(forward->endpoint, socket, forward->phone, forward->remote);
    }
}

static void close_forward(struct adb_forward *forward) {
    int fd = forward->source.fd;
    loop_remove(forward->endpoint->host->loop, &forward->source);
    close(fd);
    forward->endpoint = NULL;
}

static struct adb_forward *find(struct adb_endpoint *endpoint, struct bytes local) {
    struct adb_host *host = endpoint->host;
    for (size_t i = 0; i < ADB_FORWARDS_MAX; i++) {
        struct adb_forward *forward = &host->forwards[i];
        if (forward->endpoint == endpoint && text_is(local, text_view(forward->local))) {
            return forward;
        }
    }
    return NULL;
}

static struct adb_forward *free_forward(struct adb_host *host) {
    for (size_t i = 0; i < ADB_FORWARDS_MAX; i++) {
        if (host->forwards[i].endpoint == NULL) {
            return &host->forwards[i];
        }
    }
    return NULL;
}

static enum status listen_forward(struct adb_endpoint *endpoint, struct adb_forward *forward,
                                  const struct adb_forward_order *order, uint16_t port) {
    int fd = -1;
    enum status status = endpoint->ports.listen(endpoint->ports.owner, port, &fd);
    if (status != STATUS_OK) {
        return status;
    }
    struct tcp_address address;
    tcp_local_address(fd, &address);
    *forward = (struct adb_forward){.source = {.ready = accept_plain, .fd = -1},
                                    .phone = order->phone,
                                    .port = tcp_port(&address)};
    snprintf(forward->local, sizeof forward->local, "tcp:%u", forward->port);
    snprintf(forward->remote, sizeof forward->remote, "%.*s", (int)order->remote.size,
             (const char *)order->remote.data);
    status = loop_add(endpoint->host->loop, &forward->source, fd, EPOLLIN);
    if (status != STATUS_OK) {
        close(fd);
        return status;
    }
    forward->endpoint = endpoint;
    return STATUS_OK;
}

enum status adb_forward_add(struct adb_endpoint *endpoint, const struct adb_forward_order *order,
                            uint16_t *chosen, char error[ADB_SERVER_ERROR_SIZE]) {
    uint16_t port = 0;
    struct adb_forward *existing = find(endpoint, order->local);
    struct adb_forward *forward = free_forward(endpoint->host);
    *chosen = 0;
    const char *why = NULL;
    if (endpoint->ports.listen == NULL) {
        why = "cannot bind listener: this hub's configuration allows no ports ([adb] ports)";
    } else if (adb_server_port(order->local, &port) != STATUS_OK) {
        why = "cannot bind listener: only tcp:PORT may be forwarded here";
    } else if (order->remote.size >= ADB_ADDRESS_SIZE) {
        why = "cannot bind listener: the remote address is too long";
    } else if (existing != NULL && order->is_once) {
        why = "cannot rebind existing socket";
    } else if (forward == NULL) {
        why = "cannot bind listener: this hub holds as many forwards as it can";
    }
    if (why != NULL) {
        snprintf(error, ADB_SERVER_ERROR_SIZE, "%s", why);
        return STATUS_DENIED;
    }
    if (existing != NULL) {
        existing->phone = order->phone;
        snprintf(existing->remote, sizeof existing->remote, "%.*s", (int)order->remote.size,
                 (const char *)order->remote.data);
        return STATUS_OK;
    }
    enum status status = listen_forward(endpoint, forward, order, port);
    if (status != STATUS_OK) {
        snprintf(error, ADB_SERVER_ERROR_SIZE, "cannot bind listener: %s", strerror(errno));
        return status;
    }
    *chosen = forward->port;
    return STATUS_OK;
}

bool adb_forward_remove(struct adb_endpoint *endpoint, struct bytes local) {
    struct adb_forward *forward = find(endpoint, local);
    if (forward != NULL) {
        close_forward(forward);
    }
    return forward != NULL;
}

void adb_forward_close_all(struct adb_endpoint *endpoint) {
    for (size_t i = 0; i < ADB_FORWARDS_MAX; i++) {
        struct adb_forward *forward = &endpoint->host->forwards[i];
        if (forward->endpoint == endpoint) {
            close_forward(forward);
        }
    }
}

size_t adb_forward_list(const struct adb_endpoint *endpoint, char *target, size_t capacity) {
    const struct adb_host *host = endpoint->host;
    struct text_writer writer = {.data = (uint8_t *)target, .capacity = capacity};
    for (size_t i = 0; i < ADB_FORWARDS_MAX; i++) {
        const struct adb_forward *forward = &host->forwards[i];
        if (forward->endpoint != endpoint) {
            continue;
        }
        text_put(&writer, host->hub->phones[forward->phone].id);
        text_put(&writer, " ");
        text_put(&writer, forward->local);
        text_put(&writer, " ");
        text_put(&writer, forward->remote);
        text_put(&writer, "\n");
    }
    return writer.size;
}

/* ---- reverses ---- */

static bool keep(struct bytes address, char target[ADB_ADDRESS_SIZE]) {
    if (address.size >= ADB_ADDRESS_SIZE) {
        return false;
    }
    memcpy(target, address.data, address.size);
    target[address.size] = '\0';
    return true;
}

static void forget(struct adb_endpoint *endpoint, struct bytes remote) {
    for (uint32_t i = 0; i < endpoint->reverse_count; i++) {
        if (text_is(remote, text_view(endpoint->reverses[i][0]))) {
            endpoint->reverse_count -= 1;
            memmove(endpoint->reverses[i], endpoint->reverses[endpoint->reverse_count],
                    sizeof endpoint->reverses[i]);
            return;
        }
    }
}

void adb_forward_note(struct adb_endpoint *endpoint, struct bytes service) {
    struct bytes remote;
    struct bytes local;
    if (!text_take(&service, "reverse:")) {
        return;
    }
    if (text_take(&service, "killforward-all")) {
        endpoint->reverse_count = 0;
    } else if (text_take(&service, "killforward:")) {
        forget(endpoint, service);
    } else if (text_take(&service, "forward:")) {
        (void)text_take(&service, "norebind:");
        if (adb_server_forward(service, &remote, &local) != STATUS_OK ||
            endpoint->reverse_count == ADB_REVERSES_MAX) {
            return;
        }
        forget(endpoint, remote);
        char(*row)[ADB_ADDRESS_SIZE] = endpoint->reverses[endpoint->reverse_count];
        endpoint->had_reverses = true;
        endpoint->reverse_count += keep(remote, row[0]) && keep(local, row[1]);
    }
}

/* The endpoint of the lease that a link serves now; NULL: none. */
static struct adb_endpoint *endpoint_of(struct adb_host *host, const struct phone_link *link) {
    const struct phone_line *line = (const struct phone_line *)link;
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        struct adb_endpoint *endpoint = &host->endpoints[i];
        if (endpoint->scope == ADB_SCOPE_LEASE && endpoint->phone == line->phone &&
            endpoint->token == link->fence) {
            return endpoint;
        }
    }
    return NULL;
}

/* A port that another lease has forwarded would lead to that lease's phone, as its own one does. */
static bool is_anothers(const struct adb_endpoint *endpoint, uint16_t port) {
    const struct adb_host *host = endpoint->host;
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        const struct adb_endpoint *other = &host->endpoints[i];
        if (other->scope == ADB_SCOPE_LEASE && other != endpoint && !other->is_apart &&
            other->wish.port == port) {
            return true;
        }
    }
    for (size_t i = 0; i < ADB_FORWARDS_MAX; i++) {
        const struct adb_forward *forward = &host->forwards[i];
        if (forward->endpoint != NULL && forward->endpoint != endpoint && forward->port == port) {
            return true;
        }
    }
    return false;
}

static bool may_open(const struct adb_endpoint *endpoint, struct bytes service, uint16_t *port) {
    bool is_known = false;
    for (uint32_t i = 0; i < endpoint->reverse_count; i++) {
        is_known = is_known || text_is(service, text_view(endpoint->reverses[i][1]));
    }
    return is_known && adb_server_port(service, port) == STATUS_OK && *port != 0 &&
           !is_anothers(endpoint, *port);
}

bool adb_forward_asked(void *owner, struct phone_link *link, uint32_t id, struct bytes service) {
    struct adb_host *host = owner;
    struct adb_endpoint *endpoint = endpoint_of(host, link);
    struct hal_stream socket;
    uint16_t port = 0;
    int fd = -1;
    if (endpoint == NULL || endpoint->ports.connect == NULL ||
        !may_open(endpoint, service, &port)) {
        host->counters.refused_opens += 1;
        return false;
    }
    if (endpoint->ports.connect(endpoint->ports.owner, port, &fd) != STATUS_OK) {
        return false;
    }
    tcp_adopt(&socket, fd);
    if (!adb_client_begin_asked(endpoint, socket, link, id)) {
        hal_stream_close(&socket);
        return false;
    }
    return true;
}

/* ---- leaving the phone clean ---- */

/* Nobody waits for its end: the link's fence or the phone ends the stream. */
static void ignore(void *owner) {
    (void)owner;
}
static void ignore_data(void *owner, struct bytes data) {
    (void)owner;
    (void)data;
}
static size_t fill_nothing(void *owner, uint8_t *target, size_t capacity) {
    (void)owner;
    (void)target;
    (void)capacity;
    return 0;
}

void adb_forward_clean(struct adb_endpoint *endpoint, struct phone_link *link) {
    static const struct phone_stream_handler handler = {.opened = ignore,
                                                        .data = ignore_data,
                                                        .data_end = ignore,
                                                        .fill = fill_nothing,
                                                        .closed = ignore};
    struct phone_stream *stream = NULL;
    if (endpoint->had_reverses) {
        (void)!phone_stream_open(link, link->fence, bytes_of("reverse:killforward-all"), &handler,
                                 &stream);
    }
}
