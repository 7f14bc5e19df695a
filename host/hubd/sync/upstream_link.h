/* upstream_link.h - one connection to upstream: mutual TLS, and on it POST /sync, at most two at
 * once.
 *
 * Several URLs are processes of one upstream, on one database: they share its epoch, its commands'
 * numbers and its ticket keys. After a failure the next one in their order is tried; the pause
 * grows with each round through all of them.
 *
 * Who owns it decides when to connect and what to say; here are the steps, and what a failure
 * costs: a longer pause before the next try, with jitter. */
#ifndef HOST_HUBD_UPSTREAM_LINK_H
#define HOST_HUBD_UPSTREAM_LINK_H

#include "firmware/backoff.h"
#include "hal/linux/tcp.h"
#include "hal/linux/tls_mbedtls.h"
#include "host/shared/http_client.h"
#include "host/shared/loop.h"

enum {
    UPSTREAM_LINK_URLS = 4,
    UPSTREAM_LINK_URL_SIZE = 256,
    UPSTREAM_LINK_TIMEOUT_MS = 30000,
    UPSTREAM_LINK_SILENT_MS = 15000, /* bytes that nobody acknowledges for so long: half-open */
    UPSTREAM_LINK_PAUSE_MAX_MS = 30000,
};

struct upstream_urls {
    char list[UPSTREAM_LINK_URLS][UPSTREAM_LINK_URL_SIZE];
    uint32_t count;
};

/* Adds https://HOST:PORT. False: it is none, it is there already, or there is no room. */
must_check bool upstream_urls_add(struct upstream_urls *urls, const char *url);

struct upstream_link {
    struct loop_source source; /* first: the loop gives it back */
    struct loop *loop;
    const struct upstream_urls *urls;
    uint32_t url;   /* which of them is the present one */
    bool asks_time; /* the owner asks for nothing else while the time is not known */
    struct tcp_address address;
    char host[TCP_TEXT_SIZE]; /* for the Host header */
    char server_name[TCP_TEXT_SIZE];
    struct tls_config_pair *configs;
    struct tls_session session;
    struct tls_stream tls;
    struct http_client client;
    struct jitter jitter;
    uint32_t failures_in_row;
    uint64_t connects;
    uint64_t resumed; /* of them, by a TLS ticket */
    uint64_t failures;
    char reason[TLS_REASON_SIZE]; /* of the last failure */
};

/* At least one URL; they stay. */
void upstream_link_init(struct upstream_link *link, struct loop *loop,
                        const struct upstream_urls *urls, struct tls_config_pair *configs,
                        const struct jitter *jitter);

/* OK: the handshake goes on in upstream_link_handshake(). Else see `reason`. */
must_check enum status upstream_link_connect(struct upstream_link *link);
/* OK: connected. AGAIN: not yet. Else see `reason`; UNTRUSTED also where the time is not known, and
 * the owner has not said `asks_time`. */
must_check enum status upstream_link_handshake(struct upstream_link *link);

/* Begins a push. One may be begun while the one before waits for its answer, unless
 * upstream_link_is_sending(); its answer comes after that one's. `message` stays in place until its
 * answer, and `reply` holds `reply_bytes`. */
void upstream_link_post(struct upstream_link *link, struct bytes message, uint8_t *reply,
                        size_t reply_bytes, uint64_t deadline_ms);
/* The same for any request; its host is filled in here. What it points to stays in place. */
void upstream_link_ask(struct upstream_link *link, const struct http_client_request *request,
                       uint8_t *reply, size_t reply_bytes, uint64_t deadline_ms);
bool upstream_link_is_sending(const struct upstream_link *link);
/* OK: the answer to the older push is in link->client. AGAIN: not yet. Else the connection is of no
 * more use. */
must_check enum status upstream_link_answer(struct upstream_link *link, uint64_t now_ms);

/* A connection on which nothing is under way says something only when it ends. AGAIN: it lives. */
must_check enum status upstream_link_listen(struct upstream_link *link);
/* Wakes the loop when there is something to do: also when the connection ends between two pushes.
 */
void upstream_link_wait(struct upstream_link *link);

void upstream_link_close(struct upstream_link *link);
/* Closes, keeps `what: why` as the reason and logs it, and turns to the next URL; gives the pause
 * before the next try. */
uint64_t upstream_link_fail(struct upstream_link *link, const char *what, const char *why);

#endif
