/* sync_server.h - POST /sync over mutual TLS: takes pushes, stores those of one turn of the loop in
 * one transaction, answers after its commit. POST /renew: a hub's next certificate (trust.h).
 *
 * A push that asks for it (`wait_ms`) and has nothing to say is held, when there is no word for its
 * hub either: until sync_server_wake(), the hub's next push on the same connection, or the end of
 * the wait. A held push costs a row of a table and no buffer. */
#ifndef HOST_UPSTREAMD_SYNC_SERVER_H
#define HOST_UPSTREAMD_SYNC_SERVER_H

#include "host/shared/http_tls.h"
#include "host/upstreamd/fleet/dispatch.h"
#include "host/upstreamd/sync/trust.h"

enum {
    SYNC_SERVER_CONNECTIONS_MIN = 64,
    SYNC_SERVER_CONNECTIONS_MAX = 65024, /* with the descriptors below them: 65,536 */
    SYNC_SERVER_CONNECTIONS = 10240,     /* unless it is configured */
    SYNC_SERVER_BUFFERS = 64,            /* pushes that are read or answered at once */
    SYNC_SERVER_OUTPUT_BYTES = 262144,
    SYNC_SERVER_HOLD_MAX_MS = 60000, /* whatever the hub asks for */
    SYNC_SERVER_DESCRIPTORS = 512,   /* that the process needs beside its connections */
    SYNC_SERVER_NAMES = 16384,       /* buckets of hub ids */
};

#define SYNC_SERVER_BYTES                                                                          \
    HTTP_SERVER_POOL_BYTES(SYNC_SERVER_CONNECTIONS_MAX, sizeof(struct http_tls_stream),            \
                           SYNC_SERVER_BUFFERS, SYNC_PUSH_BYTES_MAX, SYNC_SERVER_OUTPUT_BYTES)

enum sync_post_state {
    SYNC_POST_FREE,
    SYNC_POST_WAITING, /* for the end of this turn */
    SYNC_POST_HELD,
};

/* A push that is not answered yet. */
struct sync_post {
    struct http_connection *connection; /* NULL: it went away */
    struct bytes hub_id;                /* of the connection's certificate */
    struct sync_push push;   /* views into the request, which stays until it is answered or held */
    struct sync_reply reply; /* its text is static */
    enum sync_post_state state;
    uint64_t deadline_ms;    /* of the hold; 0: it was not held yet */
    uint32_t next, previous; /* in the list of its state; from 1, 0: none */
    uint32_t next_of_name;   /* held: of the same bucket */
};

struct sync_list {
    uint32_t first, last;
    uint32_t count;
};

struct sync_server_counters {
    uint64_t held;      /* pushes, ever */
    uint64_t woken;     /* of them: by a word for the hub */
    uint64_t overtaken; /* of them: by the hub's next push */
};

struct sync_server {
    struct http_server server;
    struct http_tls tls;
    struct fleet *fleet;
    struct dispatch *dispatch;
    struct trust *trust;
    struct sync_post posts[SYNC_SERVER_CONNECTIONS_MAX]; /* what is never used costs nothing */
    uint32_t touched;                     /* posts that have been used at least once */
    struct sync_list free, waiting, held; /* `held` in order of deadlines */
    uint32_t names[SYNC_SERVER_NAMES];    /* held posts by their hub's id */
    struct sync_server_counters counters;
    bool has_failed;    /* the last transaction could not be committed, */
    uint64_t failed_ms; /* then (monotonic) */
};

struct sync_server_parts {
    struct dispatch *dispatch;
    struct trust *trust;
    struct loop *loop;
    struct tls_config_pair *configs; /* a loaded server config with a CA */
    uint32_t connections;            /* SYNC_SERVER_CONNECTIONS_MIN to _MAX */
    void *memory;                    /* SYNC_SERVER_BYTES, zeroed */
};

void sync_server_init(struct sync_server *sync, const struct sync_server_parts *parts);
must_check enum status sync_server_listen(struct sync_server *sync, int listener);

/* There may be a word for the hub: what it has waiting here is judged anew, by fleet_push(), with
 * the next sync_server_commit(). Costs nothing when it has nothing waiting; a wake for nothing is
 * harmless. */
void sync_server_wake(struct sync_server *sync, struct bytes hub_id);
void sync_server_wake_all(struct sync_server *sync);

/* Once in every turn, after http_server_step(): answers held pushes whose time is over, and stores
 * what waits. True: something was stored. */
bool sync_server_commit(struct sync_server *sync);

/* sync_sort.c: `waiting` by the names of hubs. */
void sync_server_sort(struct sync_server *sync);

/* When sync_server_commit() and http_server_step() are due: 0 at once, UINT64_MAX never. */
uint64_t sync_server_deadline_ms(const struct sync_server *sync);

/* Pushes could not be stored just now. A balancer that keeps hubs away from what is not ready would
 * keep them away for ever, were it not for the end of this. */
bool sync_server_is_failing(const struct sync_server *sync);

/* Ends the connections of hubs that `trust` accepts no longer. */
void sync_server_cut(struct sync_server *sync);

/* Takes no more connections; answers what is held. */
void sync_server_stop(struct sync_server *sync);

#endif
