/* sync_server.h - POST /sync over mutual TLS: takes pushes, stores those of one turn of the loop in
 * one transaction, answers after its commit. */
#ifndef HOST_UPSTREAMD_SYNC_SERVER_H
#define HOST_UPSTREAMD_SYNC_SERVER_H

#include "host/shared/http_tls.h"
#include "host/upstreamd/fleet.h"

enum {
    SYNC_SERVER_CONNECTIONS = 256,
    SYNC_SERVER_OUTPUT_BYTES = 4096,
};

#define SYNC_SERVER_BYTES                                                                          \
    HTTP_SERVER_BYTES(SYNC_SERVER_CONNECTIONS, sizeof(struct http_tls_stream),                     \
                      SYNC_PUSH_BYTES_MAX, SYNC_SERVER_OUTPUT_BYTES)

/* A push that waits for the end of this turn. */
struct sync_waiting {
    struct http_connection *connection; /* NULL: it went away */
    struct bytes hub_id;
    struct sync_push push; /* views into the request, which stays until the answer */
    struct sync_reply reply;
    enum status status;
};

struct sync_server {
    struct http_server server;
    struct http_tls tls;
    struct fleet *fleet;
    struct sync_waiting waiting[SYNC_SERVER_CONNECTIONS];
    uint32_t waiting_count;
    bool has_failed; /* the last transaction could not be committed */
};

/* `memory` has SYNC_SERVER_BYTES and is zeroed; `configs` hold a loaded server config with a CA. */
void sync_server_init(struct sync_server *sync, struct fleet *fleet, struct loop *loop,
                      struct tls_config_pair *configs, void *memory);
must_check enum status sync_server_listen(struct sync_server *sync, int listener);

/* Once in every turn, after http_server_step(): stores what waits. True: something was stored. */
bool sync_server_commit(struct sync_server *sync);

#endif
