#include "host/hubd/adb/adb_endpoint.h"

#include "hal/linux/random.h"
#include "host/hubd/adb/adb_client.h"
#include "host/hubd/adb/adb_forward.h"
#include "host/shared/log.h"
#include "protocol/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { NAME_BYTES = 12 }; /* of a socket's name: cannot be guessed */

/* ---- what an endpoint shows ---- */

static bool is_shown(const struct adb_endpoint *endpoint, const struct phone_line *line) {
    return line->phone != HUB_NONE &&
           (endpoint->scope == ADB_SCOPE_OPERATORS ||
            (endpoint->scope == ADB_SCOPE_LEASE && line->phone == endpoint->phone));
}

/* A phone that is not there is not shown, as adb does after an unplug. */
static bool is_there(const struct phone_line *line) {
    return (line->link.state == PHONE_LINK_ONLINE && line->is_identified) ||
           line->link.state == PHONE_LINK_UNAUTHORIZED;
}

struct adb_devices adb_endpoint_devices(struct adb_endpoint *endpoint) {
    struct adb_host *host = endpoint->host;
    struct adb_devices devices = {.list = host->devices};
    for (uint32_t i = 0; i < host->phones->line_count; i++) {
        const struct phone_line *line = &host->phones->lines[i];
        if (!is_shown(endpoint, line) || !is_there(line)) {
            continue;
        }
        bool is_online = line->link.state == PHONE_LINK_ONLINE;
        host->devices[devices.count++] = (struct adb_device){
            .serial = host->hub->phones[line->phone].id,
            .devpath = line->is_usb ? line->slot : "",
            .product = line->link.product,
            .model = line->link.model,
            .device = line->link.device,
            .id = line->phone + 1u,
            .state = is_online ? ADB_DEVICE_ONLINE : ADB_DEVICE_UNAUTHORIZED,
            .is_usb = line->is_usb,
        };
    }
    return devices;
}

struct phone_line *adb_endpoint_line(struct adb_endpoint *endpoint, uint64_t id) {
    struct phones *phones = endpoint->host->phones;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (is_shown(endpoint, line) && line->phone + 1u == id && line->is_identified &&
            line->link.state == PHONE_LINK_ONLINE) {
            return line;
        }
    }
    return NULL;
}

/* ---- sockets ---- */

static void accept_clients(struct loop_source *source, uint32_t events) {
    struct adb_endpoint *endpoint = ((struct adb_listener *)source)->endpoint;
    (void)events;
    struct hal_stream socket;
    while (endpoint->scope != ADB_SCOPE_CLOSED && tcp_accept(source->fd, &socket) == STATUS_OK) {
        bool is_told_apart = !endpoint->is_apart && (adb_access_has_rule(endpoint) ||
                                                     source->fd == endpoint->port.source.fd);
        bool is_another = is_told_apart && !adb_access_allows(endpoint, socket.handle);
        adb_client_begin(endpoint, socket, is_another);
    }
}

static enum status serve(struct adb_endpoint *endpoint, struct adb_listener *listener, int fd) {
    *listener = (struct adb_listener){{.ready = accept_clients, .fd = -1}, endpoint};
    return loop_add(endpoint->host->loop, &listener->source, fd, EPOLLIN);
}

static enum status listen_on(struct adb_endpoint *endpoint, const struct tcp_address *address) {
    int fd = -1;
    if (tcp_listen(&fd, address) != STATUS_OK) {
        return STATUS_IO;
    }
    enum status status = serve(endpoint, &endpoint->socket, fd);
    if (status != STATUS_OK) {
        tcp_unlisten(fd);
    }
    return status;
}

enum status adb_endpoint_open_port(struct adb_endpoint *endpoint, uint16_t port) {
    int fd = -1;
    struct adb_ports ports = endpoint->is_apart ? endpoint->ports : adb_forward_ports(true);
    if (endpoint->port.source.fd >= 0) {
        return STATUS_ILLEGAL;
    }
    enum status status = ports.listen(ports.owner, port, &fd);
    if (status != STATUS_OK) {
        return status;
    }
    status = serve(endpoint, &endpoint->port, fd);
    if (status != STATUS_OK) {
        close(fd);
        return status;
    }
    struct tcp_address address;
    tcp_local_address(fd, &address);
    endpoint->wish.port = tcp_port(&address);
    return STATUS_OK;
}

/* The name follows from the lease and a secret of this hub, so that a worker finds its socket
 * again after a restart of hubd, and nobody finds another's. */
static void name_socket(const struct adb_host *host, uint64_t token, char path[ADB_PATH_SIZE]) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    char name[2 * NAME_BYTES + 1];
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){host->secret, sizeof host->secret});
    sha256_add(&hash, (struct bytes){(const uint8_t *)&token, sizeof token});
    sha256_end(&hash, digest);
    for (size_t i = 0; i < NAME_BYTES; i++) {
        snprintf(name + 2 * i, 3, "%02x", digest[i]);
    }
    snprintf(path, ADB_PATH_SIZE, "%.80s/%s", host->dir, name);
}

/* ---- the life of an endpoint ---- */

static bool is_current(const struct adb_host *host, uint32_t phone, uint64_t token) {
    const struct hub_phone *row = &host->hub->phones[phone];
    if (phone >= host->hub->phone_count || row->item == HUB_NONE) {
        return false;
    }
    const struct record_item *item = &host->hub->items[row->item].image;
    bool is_held = item->state == RECORD_LEASED || item->state == RECORD_RUNNING;
    return is_held && item->token == token && item->stop == RECORD_STOP_NONE;
}

static struct adb_endpoint *free_endpoint(struct adb_host *host) {
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        if (host->endpoints[i].scope == ADB_SCOPE_CLOSED) {
            return &host->endpoints[i];
        }
    }
    return NULL;
}

static struct adb_endpoint *find_open(struct adb_host *host, const struct adb_order *order) {
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        struct adb_endpoint *endpoint = &host->endpoints[i];
        if (endpoint->scope == ADB_SCOPE_LEASE && endpoint->phone == order->phone &&
            endpoint->token == order->token) {
            return endpoint;
        }
    }
    return NULL;
}

static enum status make(struct adb_host *host, const struct adb_order *order,
                        struct adb_endpoint **endpoint) {
    char text[ADB_PATH_SIZE + 8];
    struct tcp_address address;
    struct adb_endpoint *made = free_endpoint(host);
    if (made == NULL) {
        return STATUS_FULL;
    }
    *made = (struct adb_endpoint){.host = host,
                                  .phone = order->phone,
                                  .token = order->token,
                                  .wish = {.token = order->token, .user = ADB_ANY_USER},
                                  .ports = order->ports != NULL ? *order->ports : host->loopback,
                                  .is_apart = order->ports != NULL,
                                  .port = {.source = {.fd = -1}}};
    name_socket(host, order->token, made->path);
    snprintf(text, sizeof text, "unix:%s", made->path);
    if (tcp_parse(text, &address) != STATUS_OK || listen_on(made, &address) != STATUS_OK) {
        return STATUS_IO;
    }
    made->scope = ADB_SCOPE_LEASE;
    *endpoint = made;
    log_info("adb_opened phone=%s token=%llu", host->hub->phones[order->phone].id,
             (unsigned long long)order->token);
    return STATUS_OK;
}

/* Users that are told apart are told why; else the file's mode keeps them out. */
static void admit(struct adb_endpoint *endpoint, uint32_t user) {
    endpoint->wish.user = user != ADB_ANY_USER ? user : endpoint->wish.user;
    bool is_for_all = adb_access_has_rule(endpoint) && !endpoint->is_apart;
    (void)chmod(endpoint->path, is_for_all ? 0666 : 0660);
}

enum status adb_endpoint_open(struct adb_host *host, const struct adb_order *order,
                              struct adb_endpoint **endpoint) {
    if (host->dir[0] == '\0') {
        return STATUS_ILLEGAL;
    }
    if (!is_current(host, order->phone, order->token)) {
        return STATUS_STALE_LEASE;
    }
    if (order->user != ADB_ANY_USER && !adb_access_may_name(host, order->user)) {
        return STATUS_DENIED;
    }
    if (order->wants_port && !host->has_tcp) {
        return STATUS_FOREIGN;
    }
    struct adb_endpoint *found = find_open(host, order);
    enum status status = found == NULL ? make(host, order, &found) : STATUS_OK;
    if (status != STATUS_OK) {
        return status;
    }
    admit(found, order->user);
    if (order->wants_port && found->port.source.fd < 0) {
        status = adb_endpoint_open_port(found, 0);
    }
    if (status == STATUS_OK) {
        adb_access_keep(found);
        *endpoint = found;
    }
    return status;
}

void adb_endpoint_close(struct adb_endpoint *endpoint) {
    if (endpoint->scope == ADB_SCOPE_CLOSED) {
        return;
    }
    struct adb_host *host = endpoint->host;
    int fd = endpoint->socket.source.fd;
    int port_fd = endpoint->port.source.fd;
    bool is_lease = endpoint->scope == ADB_SCOPE_LEASE;
    endpoint->scope = ADB_SCOPE_CLOSED;
    loop_remove(host->loop, &endpoint->socket.source);
    tcp_unlisten(fd);
    if (port_fd >= 0) {
        loop_remove(host->loop, &endpoint->port.source);
        close(port_fd);
    }
    for (uint32_t i = 0; i < host->client_count; i++) {
        struct adb_client *client = &host->clients[i];
        if (client->step != ADB_CLIENT_FREE && client->endpoint == endpoint) {
            host->counters.cut += is_lease;
            adb_client_end(client);
        }
    }
    adb_forward_close_all(endpoint);
    struct phone_line *line = is_lease ? phones_line_of(host->phones, endpoint->phone) : NULL;
    if (line != NULL) {
        phone_link_fence(&line->link, endpoint->token + 1);
        adb_forward_clean(endpoint, &line->link);
    }
    if (is_lease) {
        log_info("adb_closed phone=%s token=%llu", host->hub->phones[endpoint->phone].id,
                 (unsigned long long)endpoint->token);
    }
}

void adb_host_step(struct adb_host *host) {
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        struct adb_endpoint *endpoint = &host->endpoints[i];
        if (endpoint->scope == ADB_SCOPE_LEASE &&
            !is_current(host, endpoint->phone, endpoint->token)) {
            adb_endpoint_close(endpoint);
        }
    }
    for (uint32_t i = 0; i < host->client_count && host->watcher_count > 0; i++) {
        adb_client_watch(&host->clients[i]);
    }
}

/* ---- the host ---- */

/* The secret survives restarts, so that the paths of running leases do. */
static enum status read_secret(struct adb_host *host) {
    char path[ADB_PATH_SIZE + 8];
    snprintf(path, sizeof path, "%.80s/.secret", host->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return STATUS_IO;
    }
    bool is_read = read(fd, host->secret, sizeof host->secret) == (ssize_t)sizeof host->secret;
    bool is_made = false;
    if (!is_read) {
        random_fill(host->secret, sizeof host->secret);
        is_made = pwrite(fd, host->secret, sizeof host->secret, 0) == (ssize_t)sizeof host->secret;
    }
    close(fd);
    return is_read || is_made ? STATUS_OK : STATUS_IO;
}

static enum status open_operators(struct adb_host *host, const char *text) {
    struct adb_endpoint *endpoint = &host->endpoints[0];
    struct tcp_address address;
    *endpoint =
        (struct adb_endpoint){.host = host, .phone = HUB_NONE, .port = {.source = {.fd = -1}}};
    if (tcp_parse(text, &address) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    enum status status = listen_on(endpoint, &address);
    endpoint->scope = status == STATUS_OK ? ADB_SCOPE_OPERATORS : ADB_SCOPE_CLOSED;
    return status;
}

enum status adb_host_open(struct adb_host *host, struct phones *phones,
                          const struct adb_host_settings *settings, struct adb_client *clients,
                          uint8_t *buffers) {
    host->hub = phones->hub;
    host->phones = phones;
    host->loop = phones->loop;
    host->dir = settings->dir;
    host->users = settings->users;
    host->has_tcp = settings->has_tcp;
    host->wishes = -1;
    host->clients = clients;
    host->client_count = phones->hub->board->adb_clients;
    check(host->client_count <= ADB_CLIENTS_MAX);
    host->loopback = adb_forward_ports(settings->has_ports);
    for (uint32_t i = 0; i < host->client_count; i++) {
        clients[i].buffer = buffers + (size_t)i * ADB_CLIENT_BUFFER;
        clients[i].host = host;
    }
    phones->opens = (struct phone_link_asked){.asked = adb_forward_asked, .owner = host};
    for (uint32_t i = 0; i < phones->line_count; i++) {
        phones->lines[i].link.opens = phones->opens;
    }
    enum status status = STATUS_OK;
    if (settings->dir[0] != '\0') {
        bool is_dir = mkdir(settings->dir, 0711) == 0 || errno == EEXIST;
        status = is_dir ? read_secret(host) : STATUS_IO;
        status = status == STATUS_OK ? adb_access_open(host) : status;
    }
    if (status == STATUS_OK && settings->operators[0] != '\0') {
        status = open_operators(host, settings->operators);
    }
    return status;
}

static struct adb_wish wish_of(const struct adb_wish wishes[ADB_ENDPOINTS], uint64_t token) {
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        if (wishes[i].token == token) {
            return wishes[i];
        }
    }
    return (struct adb_wish){.token = token, .user = ADB_ANY_USER};
}

static void reopen(struct adb_host *host, uint32_t phone, struct adb_wish wish) {
    struct adb_endpoint *endpoint = NULL;
    const struct adb_order order = {.phone = phone, .token = wish.token, .user = wish.user};
    if (adb_endpoint_open(host, &order, &endpoint) == STATUS_OK && wish.port != 0 &&
        host->has_tcp && adb_endpoint_open_port(endpoint, wish.port) == STATUS_OK) {
        adb_access_keep(endpoint);
    }
}

void adb_host_reopen(struct adb_host *host) {
    struct adb_wish wishes[ADB_ENDPOINTS];
    adb_access_load(host, wishes, ADB_ENDPOINTS); /* before endpoints write theirs */
    for (uint32_t p = 0; p < host->hub->phone_count && host->dir[0] != '\0'; p++) {
        const struct hub_phone *phone = &host->hub->phones[p];
        if (phone->item != HUB_NONE && phone->lease.worker[0] != '\0') {
            reopen(host, p, wish_of(wishes, host->hub->items[phone->item].image.token));
        }
    }
}

void adb_host_close(struct adb_host *host) {
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        if (host->endpoints[i].host != NULL) {
            adb_endpoint_close(&host->endpoints[i]);
        }
    }
}
