/* callback.h - sends JSON to hosts on an allow list: signed, bounded, never blocking.
 *
 * The owner asks for a slot, builds the body in it and sends it; the end comes back by
 * callback_next_result(). Who is told what, and when again, is the owner's (api_callback.c of
 * hubd). At most CALLBACK_PER_HOST requests are under way to one host, so that one that hangs
 * cannot keep the others waiting. Redirects are not followed; the answer's body is not read.
 *
 * Headers (the documented contract): Content-Type, User-Agent: phonefarm-callback/1.0 and, with a
 * secret, X-PhoneFarm-Timestamp (Unix seconds) and X-PhoneFarm-Signature: hex HMAC-SHA256 of
 * `timestamp + "." + body`. */
#ifndef HOST_SHARED_CALLBACK_H
#define HOST_SHARED_CALLBACK_H

#include "hal/linux/tcp.h"
#include "hal/linux/tls_mbedtls.h"
#include "host/shared/http_client.h"
#include "host/shared/loop.h"

enum {
    CALLBACK_HOSTS = 32,
    CALLBACK_SLOTS = 8,
    CALLBACK_PER_HOST = 2,
    CALLBACK_BODY_BYTES = 65536,
    CALLBACK_URL_BYTES = 1024,
    CALLBACK_NAME_BYTES = 128,
    CALLBACK_SECRET_BYTES = 128,
    CALLBACK_TIMEOUT_MS = 10000, /* from the connection's start to the end of the answer's head */
};

/* One entry of the allow list. */
struct callback_host {
    char name[CALLBACK_NAME_BYTES]; /* as URLs write it, without brackets */
    uint16_t port;
    struct tcp_address address; /* where it is: names are never looked up */
    uint32_t under_way;
};

struct callback_slot {
    struct loop_source source; /* first: the loop gives it back */
    struct callbacks *owner;
    enum {
        CALLBACK_FREE,
        CALLBACK_TAKEN,
        CALLBACK_CONNECTING,
        CALLBACK_SENDING,
        CALLBACK_DONE
    } step;
    uint32_t host;
    uint64_t tag; /* the owner's */
    uint64_t deadline_ms;
    bool is_tls;
    bool is_tls_open;
    unsigned http_status; /* of the answer; 0: there was none */
    char reason[TLS_REASON_SIZE];
    struct hal_stream socket;
    struct tls_stream tls;
    struct http_client client;
    char target[CALLBACK_URL_BYTES];
    char host_header[CALLBACK_NAME_BYTES + 8];
    size_t body_size;
    uint8_t body[CALLBACK_BODY_BYTES];
};

struct callbacks {
    struct loop *loop;
    struct tls_config_pair *tls; /* NULL: https is not possible */
    struct callback_host hosts[CALLBACK_HOSTS];
    uint32_t host_count;
    char secret[CALLBACK_SECRET_BYTES + 1]; /* empty: no signature */
    uint32_t under_way;
    struct callback_slot slots[CALLBACK_SLOTS];
};

/* Before the first use of zeroed memory. `tls` may be NULL. */
void callback_init(struct callbacks *callbacks, struct loop *loop, struct tls_config_pair *tls);

/* The secret is the file's first line. MALFORMED: not of 1 to CALLBACK_SECRET_BYTES, the old one
 * stays; `error` is what the system said, or 0. */
must_check enum status callback_load_secret(struct callbacks *callbacks, const char *path,
                                            int *error);

/* Adds `HOST:PORT` (an IP address or localhost), or `NAME:PORT@ADDRESS`. FULL, MALFORMED. */
must_check enum status callback_allow(struct callbacks *callbacks, const char *entry);

/* Splits a configuration's list of such entries behind those there are. False: one is wrong, or
 * there are more than CALLBACK_HOSTS. */
struct callback_list {
    char entries[CALLBACK_HOSTS][CALLBACK_NAME_BYTES];
    uint32_t count;
};
must_check bool callback_list_take(struct callback_list *list, const char *value);

/* Which host a URL names. MALFORMED: not an http or https URL we can call. NOT_FOUND: not on the
 * list. DENIED: https, but no CA is configured. */
must_check enum status callback_host_of(const struct callbacks *callbacks, struct bytes url,
                                        uint32_t *host);

/* A slot to build a body in; NULL: all are busy, or too many are under way to this host. */
struct callback_slot *callback_take(struct callbacks *callbacks, uint32_t host);
/* Gives back a slot that nothing was sent with. */
void callback_give(struct callbacks *callbacks, struct callback_slot *slot);
/* Sends its body; the URL names the slot's host. The end comes as a result, also of a failure. */
void callback_send(struct callbacks *callbacks, struct callback_slot *slot, struct bytes url,
                   uint64_t now_ms, uint64_t wall_ms);

struct callback_result {
    uint64_t tag;
    unsigned http_status;
    char reason[TLS_REASON_SIZE]; /* why there is no answer */
};
bool callback_has_result(const struct callbacks *callbacks);
/* False: none has ended. */
bool callback_next_result(struct callbacks *callbacks, struct callback_result *result);

/* Once in every turn of the loop. */
void callback_step(struct callbacks *callbacks, uint64_t now_ms);
uint64_t callback_deadline_ms(const struct callbacks *callbacks);
void callback_close(struct callbacks *callbacks);

#endif
