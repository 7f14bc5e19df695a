/* uplink.h - tells upstream what happened and hears what it wants: one connection over mutual TLS,
 * at most two pushes on it.
 *
 *   idle -> connecting -> pushing -> online (all is acknowledged) -> pushing -> ...
 *     ^---------------------- backoff after any failure ------'
 *
 * Online, one empty push waits at upstream for a command (a poll: UPLINK_WAIT_MS). What becomes
 * durable is pushed at once, behind the poll, which upstream then answers first. An endpoint that
 * does not hold polls gets one every UPLINK_ALIVE_MS.
 *
 * Records are read from the store's own log, so a restart of either side loses nothing: upstream's
 * answer says how far it has stored, and the link goes on behind that. */
#ifndef HOST_HUBD_UPLINK_H
#define HOST_HUBD_UPLINK_H

#include "firmware/hub_sync.h"
#include "host/hubd/sync/upstream_link.h"
#include "host/hubd/wall_clock.h"

enum {
    UPLINK_PUSH_BYTES = 262144 + 4096, /* room for the largest frame of any board */
    UPLINK_POLL_BYTES = 4096,
    UPLINK_REPLY_BYTES = 65536,
    UPLINK_WAIT_MS = 20000,    /* how long upstream may hold an empty push */
    UPLINK_OVERDUE_MS = 10000, /* a poll that is not answered so long after that: half-open */
    UPLINK_ALIVE_MS = 20000,   /* an idle hub says so often that it lives */
    UPLINK_HELD_MS = 1000,     /* a poll that was answered with nothing before that was not held */
    UPLINK_FORK_MS = 100,      /* after a fork: until the next push, in the new epoch */
    UPLINK_BRIEF_MAX = 3,      /* so many in a row: this endpoint holds none */
};

/* The link's states and events are one table in uplink.c, and as text under tests/. */
enum uplink_state {
    UPLINK_OFF,        /* no upstream is configured */
    UPLINK_WAITING,    /* until the backoff is over */
    UPLINK_CONNECTING, /* TCP, then TLS */
    UPLINK_PUSHING,    /* a push is on its way */
    UPLINK_ONLINE,     /* connected, and everything durable is acknowledged */
    UPLINK_FORKED, /* upstream holds another history, and names no epoch: an operator must look */
    UPLINK_STATE_COUNT
};

enum uplink_event {
    UPLINK_ON_DUE,       /* the backoff is over; online: it is time for the next poll */
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
    uint64_t pushes;
    uint64_t polls; /* of them: empty, for upstream to hold */
    uint64_t records;
    uint64_t bytes_sent;
    uint64_t forks;
    uint64_t unreadable; /* groups that were given up since they could not be read */
};

struct uplink {
    struct hub *hub;
    struct wall_clock *clock;
    enum uplink_state state;
    struct upstream_link link;
    struct hub_sync sync;
    uint64_t deadline_ms; /* of the present state; TIMER_NEVER */
    uint64_t now_ms;
    uint32_t push_bytes_max;
    bool is_hello;            /* the next push is the connection's first */
    bool is_polling;          /* a poll is outstanding, in front of any other push */
    uint32_t brief_polls;     /* in a row that were answered at once, with nothing */
    uint64_t poll_sent_ms;    /* of the last poll */
    uint64_t push_sent_ms;    /* of the last other push */
    uint64_t acknowledged_ms; /* when upstream last acknowledged */
    struct uplink_counters counters;
    uint8_t group_buffer[UPLINK_PUSH_BYTES];
    uint8_t push_buffer[UPLINK_PUSH_BYTES];
    uint8_t poll_buffer[UPLINK_POLL_BYTES];
    uint8_t reply_buffer[UPLINK_REPLY_BYTES];
};

must_check enum status uplink_apply(enum uplink_state *state, enum uplink_event event);
const char *uplink_state_name(enum uplink_state state);
const char *uplink_event_name(enum uplink_event event);

/* No URL: off. The link connects at the next step. While the time is not known, it asks upstream
 * for nothing but the time, and tells it to uplink->clock, which the owner has set. */
void uplink_init(struct uplink *uplink, struct hub *hub, struct loop *loop,
                 const struct upstream_urls *urls, struct tls_config_pair *configs);

/* Once in every turn of the loop, and whenever something became durable. */
void uplink_step(struct uplink *uplink, uint64_t now_ms);
uint64_t uplink_deadline_ms(const struct uplink *uplink);

/* Closes the connection; the next step may connect again (new certificates). */
void uplink_reconnect(struct uplink *uplink);

#endif
