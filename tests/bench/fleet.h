/* fleet.h - many hubs in one process, as upstream sees them: each with a certificate, a store and a
 * history of its own, on one connection of mutual TLS, with a poll that upstream holds. What they
 * push comes from hub_log.h. One thread, one loop.
 *
 * Any answer but `stored` ends the program with a message: nothing is measured that went wrong.
 * Connections that end are counted and come back with the next fleet_connect(). */
#ifndef TESTS_BENCH_FLEET_H
#define TESTS_BENCH_FLEET_H

#include "hal/linux/tcp.h"
#include "hal/linux/tls_identity.h"
#include "hal/linux/tls_mbedtls.h"
#include "host/shared/loop.h"
#include "tests/bench/hub_log.h"

enum {
    FLEET_PUSHERS_MAX = 256,
    FLEET_PUSH_BYTES = 262144, /* of one push, at most: as a real hub's */
    FLEET_INPUT_BYTES = 1024,  /* of an answer, head included */
    FLEET_WAIT_MS = 20000,     /* of a poll: as a real hub's */
    FLEET_SAMPLES_MAX = 1 << 16,
};

enum fleet_state { FLEET_OFF, FLEET_CONNECTING, FLEET_HELLO, FLEET_ONLINE };

struct fleet_hub {
    struct loop_source source; /* first: the loop gives it back */
    struct fleet *fleet;
    struct tls_stream tls;
    struct tls_session session;
    struct tls_config config;     /* the fleet's, with the hub's own certificate */
    mbedtls_x509_crt certificate; /* of a full handshake under way */
    enum fleet_state state;
    uint32_t index;
    bool has_certificate;
    bool is_polling; /* outstanding, in front of a push */
    bool is_pushing;
    uint64_t cursor; /* acknowledged */
    uint8_t chain[RECORD_CHAIN_BYTES];
    uint32_t acked_groups; /* of the log */
    uint32_t pushed_groups;
    uint64_t pushed_seq;
    uint8_t pushed_chain[RECORD_CHAIN_BYTES];
    double pushed_at;
    struct bytes output; /* what is still to be sent of a push */
    uint32_t input_size;
    uint8_t input[FLEET_INPUT_BYTES];
};

struct fleet_counters {
    uint64_t full, resumed; /* handshakes */
    uint64_t failed;        /* of them */
    uint64_t lost;          /* connections */
    uint64_t polls;         /* answered */
    uint64_t pushes;        /* stored; with it: */
    uint64_t records, transitions;
};

struct fleet {
    struct loop loop;
    struct tcp_address address;
    struct tls_config config;
    struct tls_authority authority;
    mbedtls_pk_context key; /* of all hubs: their certificates differ */
    const struct hub_log *log;
    struct fleet_hub *hubs; /* mapped */
    uint32_t count;
    uint32_t next; /* to be looked at for a connection */
    uint32_t connecting, online;
    uint32_t pusher_count; /* the first so many hubs push whatever they have; 0: all only poll */
    uint32_t groups_max;   /* of one push */
    size_t push_bytes;
    uint32_t sample_count;
    float samples[FLEET_SAMPLES_MAX]; /* from a push to its answer, seconds; the first so many */
    struct fleet_counters counters;
};

struct fleet_files {
    const char *ca, *ca_key; /* that signs the hubs' certificates, and upstream's */
    const char *key;         /* made for the hubs */
};

/* `address` as for tcp_parse(). */
void fleet_open(struct fleet *fleet, const char *address, const struct fleet_files *files,
                const struct hub_log *log, uint32_t count);

/* Until every hub is connected and its first push is answered; `window` handshakes at once. Ends
 * the program when that takes longer than `seconds`. */
void fleet_connect(struct fleet *fleet, uint32_t window, double seconds);
/* Until no hub is connected. */
void fleet_wait_lost(struct fleet *fleet, double seconds);
/* Every hub closes its connection. */
void fleet_leave(struct fleet *fleet);
/* Polls for so long. */
void fleet_hold(struct fleet *fleet, double seconds);

/* The first hubs push as fast as they are answered, and until all that was sent is; at most
 * `groups` and `bytes` a push. */
struct fleet_load {
    uint32_t hubs; /* 1..FLEET_PUSHERS_MAX */
    uint32_t groups;
    size_t bytes;
    double seconds;
};
void fleet_push(struct fleet *fleet, const struct fleet_load *load);
/* One hub pushes one group, `times` times, each behind a poll that upstream holds. */
void fleet_ping(struct fleet *fleet, uint32_t times);

/* Bytes of TCP's payload, both ways, of the first hubs' connections so far. */
uint64_t fleet_wire_bytes(const struct fleet *fleet, uint32_t hubs);

/* For fleet.c: a certificate of the authority for hub number `index`. */
void fleet_certify(struct fleet *fleet, uint32_t index, mbedtls_x509_crt *certificate);
/* Makes `fleet->key`. */
void fleet_make_key(struct fleet *fleet, const struct fleet_files *files);

#endif
