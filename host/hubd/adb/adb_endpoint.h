/* adb_endpoint.h - hubd as an adb server: each lease has a socket of its own that shows its phone
 * and nothing else, so that every adb tool runs unchanged (protocol/adb_server.h).
 *
 *   a socket ── adb_client ── phone_stream ── phone_link ── the phone
 *
 * A lease's endpoint is opened on demand (adb_endpoint_open) and closed by the step that finds the
 * lease over: its clients are cut, its forwards closed, its reverses removed from the phone, and
 * the phone's link is fenced against its token. A second kind of endpoint is for operators: it
 * shows every phone, and passes no service through.
 *
 * Memory is static and sized by the board (`adb_clients`); what does not fit is refused with FAIL
 * and a reason. */
#ifndef HOST_HUBD_ADB_ENDPOINT_H
#define HOST_HUBD_ADB_ENDPOINT_H

#include "host/hubd/adb/adb_access.h"
#include "host/hubd/phones/phones.h"
#include "protocol/adb_server.h"

enum {
    ADB_ENDPOINTS = PHONES_MAX + 1,
    ADB_CLIENTS_MAX = 512, /* of the largest board */
    /* What a phone may send ahead, behind an OKAY. */
    ADB_CLIENT_BUFFER = 64 + PHONE_LINK_PAYLOAD + PHONE_LINK_WINDOW,
    ADB_FORWARDS_MAX = 256,
    ADB_REVERSES_MAX = 16, /* of one lease */
    ADB_ADDRESS_SIZE = 128,
    ADB_PATH_SIZE = 108, /* of a Unix socket, with its NUL */
    ADB_SECRET_SIZE = 32,
    ADB_USUAL_PORT = 5037
};

struct adb_host;

/* Where a lease's ports live: the loopback of this machine, or a run container's own network.
 * OK, FULL (in use), DENIED (not allowed), IO; `fd` is nonblocking. */
struct adb_ports {
    enum status (*listen)(void *owner, uint16_t port, int *fd);
    enum status (*connect)(void *owner, uint16_t port, int *fd);
    void *owner;
};

enum adb_scope { ADB_SCOPE_CLOSED, ADB_SCOPE_LEASE, ADB_SCOPE_OPERATORS };

struct adb_listener {
    struct loop_source source; /* first: the loop gives it back */
    struct adb_endpoint *endpoint;
};

struct adb_endpoint {
    struct adb_listener socket;
    struct adb_listener port; /* on loopback: a container's own, or this machine's; or none */
    struct adb_host *host;
    enum adb_scope scope;
    uint32_t phone;
    uint64_t token;
    struct adb_wish wish;
    struct adb_ports ports;
    bool is_apart;            /* `ports` are those of a network of its own */
    char path[ADB_PATH_SIZE]; /* of the socket, without `unix:` */
    char reverses[ADB_REVERSES_MAX][2][ADB_ADDRESS_SIZE]; /* on the phone, here */
    uint32_t reverse_count;
    bool had_reverses;
};

enum adb_client_step {
    ADB_CLIENT_FREE,
    ADB_CLIENT_ASKING,    /* `buffer` holds a request's front */
    ADB_CLIENT_OPENING,   /* `buffer` holds the service, until the phone answers */
    ADB_CLIENT_STREAMING, /* `buffer` holds what the socket did not take yet */
    ADB_CLIENT_TRACKING,
    ADB_CLIENT_WAITING,
    ADB_CLIENT_ENDING /* closed once `buffer` is sent */
};

struct adb_client {
    struct loop_source source; /* first: the loop gives it back */
    struct adb_host *host;
    struct adb_endpoint *endpoint;
    struct hal_stream socket;
    uint64_t chosen_id; /* transport id; 0: none */
    struct phone_link *link;
    struct phone_stream *stream; /* NULL: none */
    struct adb_request request;  /* WAITING, TRACKING; its serial is in `serial` */
    char serial[ADB_ADDRESS_SIZE];
    size_t begin, end;
    uint8_t *buffer; /* ADB_CLIENT_BUFFER bytes */
    enum adb_client_step step;
    uint32_t told;   /* TRACKING: checksum of the list that was sent last */
    bool is_another; /* a user this endpoint is not for: it is told so, and nothing else */
    bool is_plain;   /* of a forward or reverse: no OKAY and FAIL */
    bool is_deaf;    /* the peer is gone; only what it sent is of use */
};

struct adb_forward {
    struct loop_source source;     /* first */
    struct adb_endpoint *endpoint; /* NULL: free */
    uint32_t phone;
    uint16_t port;
    char local[ADB_ADDRESS_SIZE];
    char remote[ADB_ADDRESS_SIZE];
};

struct adb_host_counters {
    uint64_t clients;
    uint64_t refused_full;
    uint64_t cut;           /* clients that lost their lease */
    uint64_t refused_opens; /* of phones */
    uint64_t refused_users;
};

struct adb_host {
    struct hub *hub;
    struct phones *phones;
    struct loop *loop;
    const char *dir; /* "": no endpoint is served */
    struct adb_users users;
    bool has_tcp; /* leases may have a TCP port */
    int wishes;   /* the file of adb_access.h; -1: none */
    uint8_t secret[ADB_SECRET_SIZE];
    struct adb_ports loopback; /* what leases without a network of their own get */
    struct adb_endpoint endpoints[ADB_ENDPOINTS];
    struct adb_client *clients;
    uint32_t client_count; /* of the board */
    struct adb_forward forwards[ADB_FORWARDS_MAX];
    struct adb_device devices[PHONES_MAX]; /* scratch of adb_endpoint_devices() */
    uint32_t watcher_count;                /* clients that are TRACKING or WAITING */
    uint32_t another_count;                /* clients that are of another user */
    struct adb_host_counters counters;
};

struct adb_host_settings {
    const char *dir;       /* made when missing; "": none */
    const char *operators; /* an address (hal/linux/tcp.h); "": none */
    bool has_ports;        /* forwards and reverses may use this machine's loopback */
    bool has_tcp;          /* leases may have a TCP port on it */
    struct adb_users users;
};

struct adb_order {
    uint32_t phone;
    uint64_t token;
    uint32_t user;                 /* that may use it; ADB_ANY_USER: see adb_access.h */
    bool wants_port;               /* a TCP port on this machine's loopback, too */
    const struct adb_ports *ports; /* of a network of its own; NULL: this machine's loopback */
};

/* `host`, and `clients` and `buffers` (ADB_CLIENT_BUFFER each) for as many as the board has, are
 * zeroed memory: what is never used is never touched, and costs nothing. IO: the directory or a
 * socket cannot be used; errno says why. Sockets that an earlier run left are removed. */
must_check enum status adb_host_open(struct adb_host *host, struct phones *phones,
                                     const struct adb_host_settings *settings,
                                     struct adb_client *clients, uint8_t *buffers);
void adb_host_close(struct adb_host *host);

/* After a start: opens the endpoints of external workers whose leases have outlived the restart, or
 * their tools would find nobody. */
void adb_host_reopen(struct adb_host *host);

/* Opens the endpoint of a lease that is running, or finds it open; a user or port that was not
 * named before is added. The path is the same after a restart of hubd. STALE_LEASE: it is not the
 * phone's lease. ILLEGAL: no endpoint is served. DENIED: not for this user. FOREIGN: no TCP port is
 * allowed here. IO. */
must_check enum status adb_endpoint_open(struct adb_host *host, const struct adb_order *order,
                                         struct adb_endpoint **endpoint);
/* Serves the endpoint on a TCP port of its network too, for tools that know no other way; 0: any,
 * see `wish.port`. ILLEGAL: it has one. FULL: the port is in use. */
must_check enum status adb_endpoint_open_port(struct adb_endpoint *endpoint, uint16_t port);
/* Cuts everything at once; harmless when it is closed. */
void adb_endpoint_close(struct adb_endpoint *endpoint);

/* Closes the endpoints whose lease is over; tells those who watch. Once in every turn, behind
 * hub_step(). */
void adb_host_step(struct adb_host *host);

/* The phones an endpoint shows, in the host's scratch memory. */
struct adb_devices adb_endpoint_devices(struct adb_endpoint *endpoint);
/* The line of a transport id that this endpoint shows; NULL: none that answers. */
struct phone_line *adb_endpoint_line(struct adb_endpoint *endpoint, uint64_t id);

#endif
