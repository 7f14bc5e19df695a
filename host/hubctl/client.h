/* client.h - asks a hub or upstream over its HTTP API, one request after the other, and waits.
 *
 * An address is http://HOST:PORT, https://HOST:PORT or unix:PATH. https needs a CA file. */
#ifndef HOST_HUBCTL_CLIENT_H
#define HOST_HUBCTL_CLIENT_H

#include "hal/linux/tcp.h"
#include "hal/linux/tls_mbedtls.h"
#include "host/shared/http_client.h"
#include "host/shared/token.h"

enum {
    CLIENT_ANSWER_BYTES = 4 << 20,
    CLIENT_REASON_BYTES = 640,
    CLIENT_TIMEOUT_MS = 30000, /* of one answer */
};

struct client_settings {
    const char *url;        /* NULL: HUBCTL_URL, then http://127.0.0.1:7700 */
    const char *ca_path;    /* NULL: none */
    const char *token_path; /* NULL: HUBCTL_TOKEN_FILE, then no token */
};

struct client {
    struct tcp_address address;
    char url[300];
    char host[TCP_TEXT_SIZE];        /* for the Host header */
    char server_name[TCP_TEXT_SIZE]; /* that the certificate must have */
    char token[TOKEN_SECRET_SIZE];   /* empty: none */
    bool is_tls;
    struct tls_config config;
    struct tls_session session;
    struct tls_stream tls;
    struct hal_stream socket; /* without TLS */
    struct http_client http;
    char reason[CLIENT_REASON_BYTES]; /* why the last call failed: what, where, what to do */
};

/* Reads the settings and files; nothing is sent. On failure `reason` says why. MALFORMED: the
 * address, or what a file holds; NOT_FOUND: a file. The struct is zeroed before. */
must_check enum status client_open(struct client *client, const struct client_settings *settings);

struct client_answer {
    unsigned status;      /* HTTP's */
    struct bytes body;    /* in the buffer given */
    char retry_after[32]; /* empty: none */
};

/* One request and its whole answer, which may be any status. A NULL `body` asks with GET, else
 * with POST and JSON. CLOSED, TIMEOUT, UNTRUSTED, ...: no answer, `reason` says why. */
must_check enum status client_ask(struct client *client, const char *target,
                                  const struct bytes *body, uint8_t buffer[CLIENT_ANSWER_BYTES],
                                  struct client_answer *answer);

/* What a stream of server-sent events is told to. Both return false to end it. */
struct client_listener {
    bool (*event)(void *owner, struct bytes data); /* the event's data, one line of JSON */
    bool (*tick)(void *owner); /* a few times a second, while waiting; may be NULL */
    void *owner;
    uint64_t last_id; /* of the last event that had one; sent when it is not 0 */
};

/* Follows a stream until it ends; `answer` has the status, and the body when it was no stream.
 * OK: it ended in order, or the listener ended it (CLOSED then stands for nothing bad: OK). */
must_check enum status client_follow(struct client *client, const char *target,
                                     struct client_listener *listener,
                                     uint8_t buffer[CLIENT_ANSWER_BYTES],
                                     struct client_answer *answer);

#endif
