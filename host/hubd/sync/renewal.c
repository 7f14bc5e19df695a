#include "host/hubd/sync/renewal.h"

#include "hal/linux/file_replace.h"
#include "host/shared/log.h"
#include "host/shared/status_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void renewal_init(struct renewal *renewal, struct loop *loop, struct tls_config_pair *configs,
                  const struct jitter *jitter, const struct renewal_files *files) {
    renewal->state = RENEWAL_OFF;
    renewal->deadline_ms = TIMER_NEVER;
    if (files->urls->count == 0) {
        return;
    }
    upstream_link_init(&renewal->link, loop, files->urls, configs, jitter);
    renewal->files = *files;
    renewal->state = RENEWAL_WAITING;
    renewal_look(renewal);
}

void renewal_look(struct renewal *renewal) {
    if (renewal->state == RENEWAL_OFF) {
        return;
    }
    if (tls_identity_dates(renewal->files.cert, &renewal->from_s, &renewal->to_s) != STATUS_OK) {
        renewal->from_s = renewal->to_s = 0; /* what is wrong with it is said by who loads it */
    }
    uint64_t life_s = renewal->to_s > renewal->from_s ? renewal->to_s - renewal->from_s : 0;
    renewal->early_s = life_s == 0 ? 0 : jitter_next(&renewal->link.jitter) % (life_s / 20 + 1);
    if (renewal->state == RENEWAL_WAITING) {
        renewal->deadline_ms = 0;
    }
}

void renewal_close(struct renewal *renewal) {
    if (renewal->state != RENEWAL_OFF) {
        upstream_link_close(&renewal->link);
    }
}

static void wait_again(struct renewal *renewal, uint64_t now_ms, uint64_t wait_ms) {
    upstream_link_close(&renewal->link);
    renewal->state = RENEWAL_WAITING;
    renewal->deadline_ms = now_ms + wait_ms;
}

static void fail(struct renewal *renewal, uint64_t now_ms, const char *why) {
    uint64_t wait_ms =
        RENEWAL_RETRY_MS / 2 + jitter_next(&renewal->link.jitter) % (uint64_t)RENEWAL_RETRY_MS;
    renewal->failures += 1;
    log_warn("certificate_not_renewed reason=%s retry_ms=%llu", why, (unsigned long long)wait_ms);
    wait_again(renewal, now_ms, wait_ms);
}

static bool is_due(const struct renewal *renewal, uint64_t wall_ms) {
    uint64_t now_s = wall_ms / 1000;
    uint64_t life_s = renewal->to_s - renewal->from_s;
    return wall_ms != 0 && life_s > 0 && now_s < renewal->to_s &&
           now_s + life_s / 3 + renewal->early_s >= renewal->to_s;
}

static void begin(struct renewal *renewal, uint64_t now_ms) {
    renewal->state = RENEWAL_CONNECTING;
    renewal->deadline_ms = now_ms + UPSTREAM_LINK_TIMEOUT_MS;
    if (upstream_link_connect(&renewal->link) != STATUS_OK) {
        fail(renewal, now_ms, renewal->link.reason);
    }
}

static void ask(struct renewal *renewal, uint64_t now_ms) {
    char reason[TLS_REASON_SIZE];
    struct bytes csr;
    if (tls_identity_request(renewal->files.key, renewal->files.name, renewal->request, &csr,
                             reason) != STATUS_OK) {
        fail(renewal, now_ms, reason);
        return;
    }
    const struct http_client_request request = {
        .method = "POST", .target = "/renew", .content_type = "application/pkcs10", .body = csr};
    renewal->state = RENEWAL_ASKING;
    renewal->deadline_ms = now_ms + UPSTREAM_LINK_TIMEOUT_MS;
    upstream_link_ask(&renewal->link, &request, renewal->answer, sizeof renewal->answer,
                      renewal->deadline_ms);
}

/* True: it is in place. */
static bool take(struct renewal *renewal, uint64_t now_ms) {
    char reason[TLS_REASON_SIZE];
    const struct http_client *client = &renewal->link.client;
    if (client->status != 200) {
        snprintf(reason, sizeof reason, "HTTP status %u", client->status);
        fail(renewal, now_ms, reason);
        return false;
    }
    const struct renewal_files *files = &renewal->files;
    if (tls_identity_check(client->answer, files->ca, files->key, files->name, reason) !=
        STATUS_OK) {
        fail(renewal, now_ms, reason);
        return false;
    }
    if (file_replace(files->cert, client->answer, S_IRUSR | S_IWUSR | S_IRGRP | S_IROTH) !=
        STATUS_OK) {
        fail(renewal, now_ms, strerrordesc_np(errno));
        return false;
    }
    renewal->renewed += 1;
    wait_again(renewal, now_ms, RENEWAL_CHECK_MS);
    renewal_look(renewal);
    log_info("certificate_renewed valid_until_s=%llu", (unsigned long long)renewal->to_s);
    return true;
}

bool renewal_step(struct renewal *renewal, uint64_t now_ms, uint64_t wall_ms) {
    enum status status = STATUS_AGAIN;
    bool is_over = now_ms >= renewal->deadline_ms;
    switch (renewal->state) {
    case RENEWAL_OFF:
        return false;
    case RENEWAL_WAITING:
        if (is_over && is_due(renewal, wall_ms)) {
            begin(renewal, now_ms);
        } else if (is_over) {
            renewal->deadline_ms = now_ms + RENEWAL_CHECK_MS;
        }
        return false;
    case RENEWAL_CONNECTING:
        status = upstream_link_handshake(&renewal->link);
        if (status == STATUS_OK) {
            ask(renewal, now_ms);
            return false;
        }
        break;
    case RENEWAL_ASKING:
        status = upstream_link_answer(&renewal->link, now_ms);
        if (status == STATUS_OK) {
            return take(renewal, now_ms);
        }
        break;
    }
    if (status != STATUS_AGAIN || is_over) {
        fail(renewal, now_ms,
             status == STATUS_AGAIN ? status_text(STATUS_TIMEOUT) : status_text(status));
    }
    return false;
}

uint64_t renewal_deadline_ms(const struct renewal *renewal) {
    return renewal->deadline_ms;
}
