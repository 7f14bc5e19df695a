/* api.h - the public API of the fleet: the hub's paths and bodies, of every hub (SPEC.md section
 * 5).
 *
 * It reads what hubs have pushed and says how old that is: hub_last_seen, status_as_of, stale. */
#ifndef HOST_UPSTREAMD_API_H
#define HOST_UPSTREAMD_API_H

#include "host/shared/trend.h"
#include "host/shared/http_tls.h"
#include "host/shared/http_watch.h"
#include "host/shared/token.h"
#include "host/upstreamd/fleet/dispatch.h"
#include "host/upstreamd/fleet/order.h"
#include "host/upstreamd/sync/sync_server.h"
#include "host/shared/callback.h"

enum {
    API_CONNECTIONS = 256,
    API_BODY_BYTES = 65536,
    API_OUTPUT_BYTES = 524288,
    API_STREAMS = 200,
    API_STREAM_MS = 25000,
};

#define API_SERVER_BYTES                                                                           \
    HTTP_SERVER_BYTES(API_CONNECTIONS, sizeof(struct http_tls_stream), API_BODY_BYTES,             \
                      API_OUTPUT_BYTES)

struct api_stream {
    struct http_connection *connection; /* NULL: free */
    struct db_process process;          /* as found when it began */
    uint64_t last_id;
    uint64_t opened_ms;
    bool is_blocked; /* the client does not take more for now */
    bool is_due;     /* another upstreamd has stored something of its store */
};

/* What has changed for those who watch the fleet (api_watch.c). */
struct api_watch {
    struct http_watch list;
    uint64_t version; /* of the newest change; 0: nobody has watched yet */
    uint64_t looked_ms, told_ms;
    uint64_t records; /* stored by this program, at the last change; the next, too */
    bool has_heard;   /* another upstreamd has stored something since */
    struct db_hub_totals totals;
};

struct teller_counters;

struct api {
    struct http_server server;
    struct http_tls tls;
    struct fleet *fleet;
    const struct sync_server *sync;
    const struct token_table *tokens;
    struct dispatch *dispatch;
    const struct registry *registry;
    const struct callbacks *callbacks;
    const struct teller_counters *told; /* of the teller, which sets it */
    struct api_watch watch;
    struct trend history;
    struct api_stream streams[API_STREAMS];
    uint32_t stream_count;
    uint64_t started_ms;
    bool is_stopping;
    bool is_dirty; /* something was stored outside of a push: streams are to be fed */
    bool is_due;   /* some of them, as they say */
    char scratch[API_OUTPUT_BYTES];   /* one event */
    char line[API_OUTPUT_BYTES + 64]; /* the same with the frame of a stream */
};

struct api_parts {
    struct fleet *fleet;
    const struct sync_server *sync;
    const struct token_table *tokens;
    struct dispatch *dispatch;
    const struct registry *registry;
    const struct callbacks *callbacks;
    struct loop *loop;
    struct tls_config_pair *configs; /* used by listeners with TLS only */
    void *memory;                    /* API_SERVER_BYTES, zeroed */
};

void api_init(struct api *api, const struct api_parts *parts);
must_check enum status api_listen(struct api *api, int listener, bool has_tls);

/* After something was stored: feeds the streams. */
void api_feed(struct api *api);
/* Another upstreamd has stored something of a store: the next api_step() feeds its streams. */
void api_hear(struct api *api, int64_t store);
/* Once in every turn; fleet->now is set. */
void api_step(struct api *api);
uint64_t api_deadline_ms(const struct api *api);
void api_stop(struct api *api);

#endif
