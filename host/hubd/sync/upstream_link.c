#include "host/hubd/sync/upstream_link.h"

#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <stdio.h>
#include <string.h>

static const struct backoff reconnect = {
    .base_ms = 500, .cap_ms = UPSTREAM_LINK_PAUSE_MAX_MS, .factor = 2};

static void source_ready(struct loop_source *source, uint32_t events) {
    (void)source; /* the step of this turn of the loop does the work */
    (void)events;
}

bool upstream_urls_add(struct upstream_urls *urls, const char *url) {
    struct tcp_address address;
    bool is_good = urls->count < UPSTREAM_LINK_URLS && strncmp(url, "https://", 8) == 0 &&
                   tcp_parse(url + 8, &address) == STATUS_OK && !tcp_is_unix(&address) &&
                   strlen(url) < UPSTREAM_LINK_URL_SIZE;
    for (uint32_t i = 0; i < urls->count && is_good; i++) {
        is_good = strcmp(urls->list[i], url) != 0;
    }
    if (is_good) {
        memcpy(urls->list[urls->count], url, strlen(url) + 1);
        urls->count += 1;
    }
    return is_good;
}

static void turn_to(struct upstream_link *link, uint32_t which) {
    const char *url = link->urls->list[which];
    link->url = which;
    check(tcp_parse(url + 8, &link->address) == STATUS_OK);
    snprintf(link->host, sizeof link->host, "%s", url + 8);
    snprintf(link->server_name, sizeof link->server_name, "%s", url + 8);
    char *colon = strrchr(link->server_name, ':');
    *colon = '\0';
    size_t size = strlen(link->server_name);
    if (link->server_name[0] == '[' && link->server_name[size - 1] == ']') {
        memmove(link->server_name, link->server_name + 1, size - 1);
        link->server_name[size - 2] = '\0';
    }
}

void upstream_link_init(struct upstream_link *link, struct loop *loop,
                        const struct upstream_urls *urls, struct tls_config_pair *configs,
                        const struct jitter *jitter) {
    check(urls->count > 0);
    link->source = (struct loop_source){.ready = source_ready, .fd = -1};
    link->loop = loop;
    link->configs = configs;
    link->jitter = *jitter;
    link->urls = urls;
    turn_to(link, 0);
}

void upstream_link_close(struct upstream_link *link) {
    if (link->loop != NULL) {
        loop_remove(link->loop, &link->source);
    }
    if (hal_stream_is_open(&link->tls.stream)) {
        hal_stream_close(&link->tls.stream);
    }
}

uint64_t upstream_link_fail(struct upstream_link *link, const char *what, const char *why) {
    char reason[TLS_REASON_SIZE];
    snprintf(reason, sizeof reason, "%.60s: %.160s", what, why);
    memcpy(link->reason, reason, sizeof reason);
    const char *advice = hal_stream_is_open(&link->tls.stream) ? tls_stream_advice(&link->tls) : "";
    upstream_link_close(link);
    link->failures_in_row += 1;
    link->failures += 1;
    uint32_t round = (link->failures_in_row - 1) / link->urls->count + 1;
    uint64_t wait_ms = backoff_ms(&reconnect, round, &link->jitter) + 100;
    char host[TCP_TEXT_SIZE];
    memcpy(host, link->host, sizeof host);
    turn_to(link, (link->url + 1) % link->urls->count);
    log_warn("upstream_failed reason=%s do=%s host=%s retry_ms=%llu next=%s", link->reason, advice,
             host, (unsigned long long)wait_ms, link->host);
    return wait_ms;
}

static void wait_for(struct upstream_link *link, unsigned wants) {
    uint32_t events = ((wants & HAL_STREAM_READABLE) != 0 ? (uint32_t)EPOLLIN : 0) |
                      ((wants & HAL_STREAM_WRITABLE) != 0 ? (uint32_t)EPOLLOUT : 0);
    loop_change(link->loop, &link->source, events);
}

enum status upstream_link_connect(struct upstream_link *link) {
    enum status status = tcp_connect(&link->tls.socket, &link->address);
    if (status == STATUS_OK) {
        tcp_limit_silence(&link->tls.socket, UPSTREAM_LINK_SILENT_MS);
        status = tls_stream_open(&link->tls, tls_config_pair_current(link->configs),
                                 link->server_name, &link->session);
    }
    if (status == STATUS_OK) {
        status = loop_add(link->loop, &link->source, link->tls.stream.handle, EPOLLOUT);
    }
    if (status != STATUS_OK) {
        snprintf(link->reason, sizeof link->reason, "%s", status_text(status));
    }
    return status;
}

enum status upstream_link_handshake(struct upstream_link *link) {
    enum status status = tls_stream_handshake(&link->tls);
    if (status == STATUS_AGAIN) {
        wait_for(link, link->tls.stream.wants);
    } else if (status != STATUS_OK) {
        snprintf(link->reason, sizeof link->reason, "%s", tls_stream_reason(&link->tls));
    } else if (link->tls.is_time_unset && !link->asks_time) {
        snprintf(link->reason, sizeof link->reason, "%s", "the time is not known yet");
        status = STATUS_UNTRUSTED;
    } else {
        link->connects += 1;
        link->resumed += link->tls.is_resumed;
        http_client_init(&link->client, &link->tls.stream);
        log_info("upstream_connected host=%s resumed=%d", link->host, link->tls.is_resumed);
    }
    return status;
}

void upstream_link_ask(struct upstream_link *link, const struct http_client_request *request,
                       uint8_t *reply, size_t reply_bytes, uint64_t deadline_ms) {
    struct http_client_request whole = *request;
    whole.host = link->host;
    const struct http_client_sink sink = {.buffer = reply, .capacity = reply_bytes};
    check(http_client_begin(&link->client, &whole, &sink, deadline_ms) == STATUS_OK);
}

void upstream_link_post(struct upstream_link *link, struct bytes message, uint8_t *reply,
                        size_t reply_bytes, uint64_t deadline_ms) {
    const struct http_client_request request = {
        .method = "POST",
        .target = "/sync",
        .content_type = "application/cbor",
        .body = message,
    };
    upstream_link_ask(link, &request, reply, reply_bytes, deadline_ms);
}

bool upstream_link_is_sending(const struct upstream_link *link) {
    return http_client_is_sending(&link->client);
}

enum status upstream_link_answer(struct upstream_link *link, uint64_t now_ms) {
    enum status status = http_client_step(&link->client, now_ms);
    if (status == STATUS_AGAIN) {
        wait_for(link, http_client_wants(&link->client));
    }
    return status;
}

enum status upstream_link_listen(struct upstream_link *link) {
    uint8_t byte;
    size_t size;
    enum status status = hal_stream_read(&link->tls.stream, &byte, 1, &size);
    return status == STATUS_OK ? STATUS_MALFORMED : status; /* it spoke out of turn */
}

void upstream_link_wait(struct upstream_link *link) {
    bool is_idle = http_client_outstanding(&link->client) == 0;
    wait_for(link, is_idle ? HAL_STREAM_READABLE : http_client_wants(&link->client));
}
