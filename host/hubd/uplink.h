/* uplink.h - tells upstream what happened: one connection over mutual TLS, one push at a time.
 *
 *   idle -> connecting -> pushing -> online (all is acknowledged) -> pushing -> ...
 *     ^---------------------- backoff after any failure ------'
 *
 * Records are read from the store's own log, so a restart of either side loses nothing: upstream's
 * answer says how far it has stored, and the link goes on behind that. */
#ifndef HOST_HUBD_UPLINK_H
#define HOST_HUBD_UPLINK_H

#include "firmware/hub.h"
#include "hal/linux/tls_mbedtls.h"
#include "host/shared/http_client.h"
#include "host/shared/loop.h"
#include "hal/linux/tcp.h"
#include "protocol/sync_message.h"

enum {
    UPLINK_PUSH_BYTES = 262144 + 4096, /* room for the largest frame of any board */
    UPLINK_REPLY_BYTES = 65536,
    UPLINK_TIMEOUT_MS = 30000,
    UPLINK_ALIVE_MS = 20000, /* an idle hub says so often that it lives */
};

/* The link's states and events are one table in uplink.c, and as text under tests/. */
enum uplink_state {
    UPLINK_OFF,        /* no upstream is configured */
    UPLINK_WAITING,    /* until the backoff is over */
    UPLINK_CONNECTING, /* TCP, then TLS */
    UPLINK_PUSHING,    /* a push is on its way */
    UPLINK_ONLINE,     /* connected, and everything durable is acknowledged */
    UPLINK_FORKED,     /* upstream holds another history: an operator must look */
    UPLINK_STATE_COUNT
};

enum uplink_event {
    UPLINK_ON_DUE,       /* the backoff is over; online: it is time to say that we live */
    UPLINK_ON_CONNECTED, /* the TLS handshake is done */
    UPLINK_ON_RECORDS,   /* something is durable that upstream has not acknowledged */
    UPLINK_ON_ANSWERED,  /* a reply came, and nothing more is to be said */
    UPLINK_ON_MORE,      /* a reply came, and more is to be said at once */
    UPLINK_ON_LATER,     /* upstream said: not before a while */
    UPLINK_ON_FAILED,    /* the connection or the exchange failed */
    UPLINK_ON_FORK,      /* upstream's history is another */
    UPLINK_EVENT_COUNT
};

struct uplink_counters {
    uint64_t connects;
    uint64_t resumed; /* of them, by a TLS ticket */
    uint64_t failures;
    uint64_t pushes;
    uint64_t records;
    uint64_t bytes_sent;
    uint64_t forks;
};

struct uplink {
    struct loop_source source; /* first: the loop gives it back */
    struct hub *hub;
    struct loop *loop;
    enum uplink_state state;
    struct tcp_address address;
    char host[TCP_TEXT_SIZE]; /* for the Host header */
    char server_name[TCP_TEXT_SIZE];
    struct tls_config_pair *configs;
    struct tls_session session;
    struct tls_stream tls;
    struct http_client client;
    struct store_cursor cursor; /* in the log, of what was pushed last */
    uint64_t deadline_ms;       /* of the present state; TIMER_NEVER */
    uint64_t now_ms;
    uint64_t push_last_seq;
    uint8_t push_chain[RECORD_CHAIN_BYTES]; /* at push_last_seq */
    uint32_t push_bytes_max;
    uint32_t failures; /* in a row */
    bool is_hello;     /* the next push is the connection's first */
    struct jitter jitter;
    uint64_t acknowledged_ms; /* when upstream last acknowledged */
    struct uplink_counters counters;
    char reason[TLS_REASON_SIZE]; /* of the last failure */
    uint8_t group_buffer[UPLINK_PUSH_BYTES];
    uint8_t push_buffer[UPLINK_PUSH_BYTES];
    uint8_t reply_buffer[UPLINK_REPLY_BYTES];
};

must_check enum status uplink_apply(enum uplink_state *state, enum uplink_event event);
const char *uplink_state_name(enum uplink_state state);
const char *uplink_event_name(enum uplink_event event);

/* `url` is https://HOST:PORT; NULL: off. The link connects at the next step. */
void uplink_init(struct uplink *uplink, struct hub *hub, struct loop *loop, const char *url,
                 struct tls_config_pair *configs);

/* Once in every turn of the loop, and whenever something became durable. */
void uplink_step(struct uplink *uplink, uint64_t now_ms);
uint64_t uplink_deadline_ms(const struct uplink *uplink);

/* Closes the connection; the next step may connect again (new certificates). */
void uplink_reconnect(struct uplink *uplink);

#endif
