/* peers.h - what other upstreamd on the same database have changed, as it comes: the polls that
 * wait here, dispatch and streams hear of it at once. Without it they would find it at their next
 * look (dispatch.h), so nothing depends on a notice that is lost. */
#ifndef HOST_UPSTREAMD_PEERS_H
#define HOST_UPSTREAMD_PEERS_H

#include "host/upstreamd/api/api.h"

struct peers {
    struct loop *loop;
    struct db *db;
    struct sync_server *sync;
    struct dispatch *dispatch;
    struct api *api;
    struct loop_source source; /* a second descriptor of the connection: closed by nobody else */
    int watched;               /* the connection's own; -1: none */
};

void peers_init(struct peers *peers);

/* Once in every turn, before sql_step(): watches the connection that there is. */
void peers_watch(struct peers *peers);
/* At the end of every turn: takes what was heard. */
void peers_hear(struct peers *peers);

#endif
