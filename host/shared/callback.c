#include "host/shared/callback.h"

#include "host/shared/config.h"

#include "host/shared/hmac_sha256.h"
#include "host/shared/status_text.h"

#include <unistd.h>
#include <fcntl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void source_ready(struct loop_source *source, uint32_t events) {
    (void)source; /* the step of this turn of the loop does the work */
    (void)events;
}

void callback_init(struct callbacks *callbacks, struct loop *loop, struct tls_config_pair *tls) {
    callbacks->loop = loop;
    callbacks->tls = tls;
    for (uint32_t i = 0; i < CALLBACK_SLOTS; i++) {
        callbacks->slots[i].source = (struct loop_source){.ready = source_ready, .fd = -1};
        callbacks->slots[i].owner = callbacks;
    }
}

/* ---- the allow list ---- */

/* Cuts `HOST:PORT` (the port may be missing in a URL) apart; brackets of IPv6 are left out. */
static bool split_host(struct bytes text, char name[CALLBACK_NAME_BYTES], uint16_t *port) {
    const char *at = (const char *)text.data;
    size_t size = text.size;
    size_t skip = size > 0 && at[0] == '[' ? 1 : 0;
    size_t end = skip;
    while (end < size && at[end] != (skip == 1 ? ']' : ':')) {
        end += 1;
    }
    if (end == skip || end - skip >= CALLBACK_NAME_BYTES || (skip == 1 && end == size)) {
        return false;
    }
    memcpy(name, at + skip, end - skip);
    name[end - skip] = '\0';
    end += skip;
    if (end == size) {
        return *port != 0;
    }
    uint32_t number = 0;
    for (size_t i = end + 1; i < size; i++) {
        if (at[i] < '0' || at[i] > '9' || number > 65535) {
            return false;
        }
        number = number * 10 + (uint32_t)(at[i] - '0');
    }
    *port = (uint16_t)number;
    return at[end] == ':' && number > 0 && number <= 65535;
}

enum status callback_load_secret(struct callbacks *callbacks, const char *path, int *error) {
    char text[CALLBACK_SECRET_BYTES + 2];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text);
    *error = size < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    size_t end = 0;
    while (size > 0 && end < (size_t)size && text[end] != '\n' && text[end] != '\r') {
        end += 1;
    }
    if (end == 0 || end > CALLBACK_SECRET_BYTES) {
        return STATUS_MALFORMED;
    }
    memcpy(callbacks->secret, text, end);
    callbacks->secret[end] = '\0';
    return STATUS_OK;
}

enum status callback_allow(struct callbacks *callbacks, const char *entry) {
    if (callbacks->host_count == CALLBACK_HOSTS) {
        return STATUS_FULL;
    }
    struct callback_host *host = &callbacks->hosts[callbacks->host_count];
    const char *sign = strchr(entry, '@');
    size_t size = sign == NULL ? strlen(entry) : (size_t)(sign - entry);
    char address[CALLBACK_NAME_BYTES + 8];
    *host = (struct callback_host){0};
    if (!split_host((struct bytes){(const uint8_t *)entry, size}, host->name, &host->port)) {
        return STATUS_MALFORMED;
    }
    if (sign == NULL) {
        snprintf(address, sizeof address, "%.*s", (int)size, entry);
    } else {
        snprintf(address, sizeof address, "%s:%u", sign + 1, host->port);
    }
    if (tcp_parse(address, &host->address) != STATUS_OK || tcp_is_unix(&host->address)) {
        return STATUS_MALFORMED;
    }
    callbacks->host_count += 1;
    return STATUS_OK;
}

/* What a URL says: https or not, `host[:port]`, the rest. */
struct url {
    bool is_tls;
    struct bytes authority;
    struct bytes target; /* without a fragment; may be empty */
};

static bool split_url(struct bytes text, struct url *url) {
    const char *at = (const char *)text.data;
    size_t skip = 0;
    if (text.size > 7 && strncasecmp(at, "http://", 7) == 0) {
        skip = 7;
    } else if (text.size > 8 && strncasecmp(at, "https://", 8) == 0) {
        skip = 8;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (at[i] <= ' ' || at[i] == 0x7f || at[i] == '\\') {
            return false;
        }
    }
    size_t end = skip;
    while (end < text.size && strchr("/?#", at[end]) == NULL) {
        if (at[end] == '@') {
            return false; /* a name and password have no place here */
        }
        end += 1;
    }
    size_t last = end;
    while (last < text.size && at[last] != '#') {
        last += 1;
    }
    *url = (struct url){.is_tls = skip == 8,
                        .authority = {text.data + skip, end - skip},
                        .target = {text.data + end, last - end}};
    return skip > 0 && end > skip && url->target.size + 2 < CALLBACK_URL_BYTES;
}

bool callback_list_take(struct callback_list *list, const char *value) {
    static struct callbacks judge;
    char part[CALLBACK_NAME_BYTES];
    while (config_next_part(&value, part, sizeof part)) {
        judge.host_count = 0;
        if (list->count == CALLBACK_HOSTS || callback_allow(&judge, part) != STATUS_OK) {
            return false;
        }
        memcpy(list->entries[list->count], part, sizeof part);
        list->count += 1;
    }
    return value == NULL;
}

enum status callback_host_of(const struct callbacks *callbacks, struct bytes url, uint32_t *host) {
    struct url parts;
    char name[CALLBACK_NAME_BYTES];
    if (!split_url(url, &parts)) {
        return STATUS_MALFORMED;
    }
    uint16_t port = parts.is_tls ? 443 : 80;
    if (!split_host(parts.authority, name, &port)) {
        return STATUS_MALFORMED;
    }
    for (uint32_t i = 0; i < callbacks->host_count; i++) {
        if (callbacks->hosts[i].port == port && strcasecmp(callbacks->hosts[i].name, name) == 0) {
            *host = i;
            return parts.is_tls && callbacks->tls == NULL ? STATUS_DENIED : STATUS_OK;
        }
    }
    return STATUS_NOT_FOUND;
}

/* ---- slots ---- */

struct callback_slot *callback_take(struct callbacks *callbacks, uint32_t host) {
    check(host < callbacks->host_count);
    if (callbacks->hosts[host].under_way == CALLBACK_PER_HOST) {
        return NULL;
    }
    for (uint32_t i = 0; i < CALLBACK_SLOTS; i++) {
        struct callback_slot *slot = &callbacks->slots[i];
        if (slot->step == CALLBACK_FREE) {
            slot->step = CALLBACK_TAKEN;
            slot->host = host;
            callbacks->hosts[host].under_way += 1;
            callbacks->under_way += 1;
            return slot;
        }
    }
    return NULL;
}

void callback_give(struct callbacks *callbacks, struct callback_slot *slot) {
    check(slot->step == CALLBACK_TAKEN || slot->step == CALLBACK_DONE);
    slot->step = CALLBACK_FREE;
    callbacks->hosts[slot->host].under_way -= 1;
    callbacks->under_way -= 1;
}

static void hang_up(struct callback_slot *slot) {
    loop_remove(slot->owner->loop, &slot->source);
    if (slot->is_tls_open && hal_stream_is_open(&slot->tls.stream)) {
        hal_stream_close(&slot->tls.stream);
    } else if (!slot->is_tls_open && hal_stream_is_open(&slot->socket)) {
        hal_stream_close(&slot->socket);
    }
}

static void finish(struct callback_slot *slot, unsigned http_status, const char *reason) {
    slot->http_status = http_status;
    snprintf(slot->reason, sizeof slot->reason, "%s", reason);
    hang_up(slot);
    slot->step = CALLBACK_DONE;
}

/* ---- one exchange ---- */

static const char *make_headers(const struct callback_slot *slot, uint64_t wall_ms, char *text,
                                size_t capacity) {
    const char *secret = slot->owner->secret;
    char stamp[24];
    char hex[2 * SHA256_BYTES + 1];
    uint8_t digest[SHA256_BYTES];
    snprintf(stamp, sizeof stamp, "%" PRIu64 ".", wall_ms / 1000);
    hmac_sha256((struct bytes){(const uint8_t *)secret, strlen(secret)},
                (struct bytes){(const uint8_t *)stamp, strlen(stamp)},
                (struct bytes){slot->body, slot->body_size}, digest);
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    int size =
        snprintf(text, capacity, "User-Agent: phonefarm-callback/1.0\r\nConnection: close\r\n");
    if (secret[0] != '\0') {
        snprintf(text + size, capacity - (size_t)size,
                 "X-PhoneFarm-Timestamp: %" PRIu64 "\r\nX-PhoneFarm-Signature: %s\r\n",
                 wall_ms / 1000, hex);
    }
    return text;
}

static bool drop_body(void *owner, struct bytes chunk) {
    (void)owner;
    (void)chunk;
    return true; /* read to the end of the answer and not kept */
}

static void begin_request(struct callback_slot *slot, uint64_t wall_ms) {
    static const struct http_client_sink nowhere = {.chunk = drop_body};
    char headers[256];
    http_client_init(&slot->client, slot->is_tls ? &slot->tls.stream : &slot->socket);
    const struct http_client_request request = {
        .method = "POST",
        .target = slot->target,
        .host = slot->host_header,
        .content_type = "application/json",
        .extra_headers = make_headers(slot, wall_ms, headers, sizeof headers),
        .body = {slot->body, slot->body_size},
    };
    enum status status = http_client_begin(&slot->client, &request, &nowhere, slot->deadline_ms);
    if (status != STATUS_OK) {
        finish(slot, 0, status_text(status));
    }
}

static enum status open_stream(struct callback_slot *slot) {
    struct callbacks *callbacks = slot->owner;
    const struct callback_host *host = &callbacks->hosts[slot->host];
    struct hal_stream *socket = slot->is_tls ? &slot->tls.socket : &slot->socket;
    slot->is_tls_open = false;
    enum status status = tcp_connect(socket, &host->address);
    if (status == STATUS_OK && slot->is_tls) {
        status =
            tls_stream_open(&slot->tls, tls_config_pair_current(callbacks->tls), host->name, NULL);
        slot->is_tls_open = status == STATUS_OK;
    }
    if (status != STATUS_OK) {
        return status;
    }
    int handle = slot->is_tls ? slot->tls.stream.handle : slot->socket.handle;
    return loop_add(callbacks->loop, &slot->source, handle, EPOLLOUT);
}

void callback_send(struct callbacks *callbacks, struct callback_slot *slot, struct bytes url,
                   uint64_t now_ms, uint64_t wall_ms) {
    struct url parts;
    uint32_t host;
    check(slot->step == CALLBACK_TAKEN);
    slot->step = CALLBACK_CONNECTING;
    slot->deadline_ms = now_ms + CALLBACK_TIMEOUT_MS;
    if (callback_host_of(callbacks, url, &host) != STATUS_OK || host != slot->host) {
        slot->step = CALLBACK_DONE;
        slot->http_status = 0;
        snprintf(slot->reason, sizeof slot->reason, "the URL's host is not allowed any more");
        return;
    }
    check(split_url(url, &parts));
    slot->is_tls = parts.is_tls;
    bool has_slash = parts.target.size > 0 && parts.target.data[0] == '/';
    snprintf(slot->target, sizeof slot->target, "%s%.*s", has_slash ? "" : "/",
             (int)parts.target.size, (const char *)parts.target.data);
    snprintf(slot->host_header, sizeof slot->host_header, "%.*s", (int)parts.authority.size,
             (const char *)parts.authority.data);
    enum status status = open_stream(slot);
    if (status != STATUS_OK) {
        finish(slot, 0, status_text(status));
        return;
    }
    begin_request(slot, wall_ms);
}

static void wait_for(struct callback_slot *slot, unsigned wants) {
    uint32_t events = ((wants & HAL_STREAM_READABLE) != 0 ? (uint32_t)EPOLLIN : 0) |
                      ((wants & HAL_STREAM_WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0);
    loop_change(slot->owner->loop, &slot->source, events);
}

static void step_connecting(struct callback_slot *slot) {
    enum status status =
        slot->is_tls ? tls_stream_handshake(&slot->tls) : tcp_connect_result(&slot->socket);
    if (status == STATUS_AGAIN) {
        wait_for(slot, slot->is_tls ? slot->tls.stream.wants : HAL_STREAM_WRITABLE);
    } else if (status == STATUS_OK) {
        slot->step = CALLBACK_SENDING;
    } else {
        char reason[TLS_REASON_SIZE];
        snprintf(reason, sizeof reason, "%s",
                 slot->is_tls ? tls_stream_reason(&slot->tls) : status_text(status));
        finish(slot, 0, reason);
    }
}

/* The answer's head is all that is asked for. */
static void step_sending(struct callback_slot *slot, uint64_t now_ms) {
    enum status status = http_client_step(&slot->client, now_ms);
    if (slot->client.has_head) {
        finish(slot, slot->client.status, "");
    } else if (status == STATUS_AGAIN) {
        wait_for(slot, http_client_wants(&slot->client));
    } else {
        finish(slot, 0, status_text(status));
    }
}

void callback_step(struct callbacks *callbacks, uint64_t now_ms) {
    for (uint32_t i = 0; i < CALLBACK_SLOTS && callbacks->under_way > 0; i++) {
        struct callback_slot *slot = &callbacks->slots[i];
        if (slot->step == CALLBACK_CONNECTING) {
            step_connecting(slot);
        }
        if (slot->step == CALLBACK_SENDING) {
            step_sending(slot, now_ms);
        }
        bool is_open = slot->step == CALLBACK_CONNECTING || slot->step == CALLBACK_SENDING;
        if (is_open && now_ms >= slot->deadline_ms) {
            finish(slot, 0, "no answer in time");
        }
    }
}

bool callback_has_result(const struct callbacks *callbacks) {
    for (uint32_t i = 0; i < CALLBACK_SLOTS && callbacks->under_way > 0; i++) {
        if (callbacks->slots[i].step == CALLBACK_DONE) {
            return true;
        }
    }
    return false;
}

bool callback_next_result(struct callbacks *callbacks, struct callback_result *result) {
    for (uint32_t i = 0; i < CALLBACK_SLOTS && callbacks->under_way > 0; i++) {
        struct callback_slot *slot = &callbacks->slots[i];
        if (slot->step == CALLBACK_DONE) {
            *result = (struct callback_result){.tag = slot->tag, .http_status = slot->http_status};
            snprintf(result->reason, sizeof result->reason, "%s", slot->reason);
            callback_give(callbacks, slot);
            return true;
        }
    }
    return false;
}

uint64_t callback_deadline_ms(const struct callbacks *callbacks) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < CALLBACK_SLOTS && callbacks->under_way > 0; i++) {
        const struct callback_slot *slot = &callbacks->slots[i];
        if (slot->step == CALLBACK_DONE) {
            return 0;
        }
        bool is_open = slot->step == CALLBACK_CONNECTING || slot->step == CALLBACK_SENDING;
        next = is_open && slot->deadline_ms < next ? slot->deadline_ms : next;
    }
    return next;
}

void callback_close(struct callbacks *callbacks) {
    for (uint32_t i = 0; i < CALLBACK_SLOTS; i++) {
        if (callbacks->slots[i].step != CALLBACK_FREE) {
            hang_up(&callbacks->slots[i]);
            callbacks->slots[i].step = CALLBACK_DONE;
            callback_give(callbacks, &callbacks->slots[i]);
        }
    }
}
