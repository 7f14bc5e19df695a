/* api.h - the hub's HTTP API (SPEC.md sections 4 and 5; docs/api.md).
 *
 * Nothing is told before it is durable: an answer to a change waits for the change's group, and a
 * process whose newest record is not durable yet is shown when it is. */
#ifndef HOST_HUBD_API_H
#define HOST_HUBD_API_H

#include "host/hubd/adb_endpoint.h"
#include "host/hubd/artifact.h"
#include "host/hubd/executor.h"
#include "host/hubd/notifier.h"
#include "host/hubd/uplink.h"
#include "host/shared/http_server.h"
#include "host/shared/json.h"
#include "host/shared/token.h"

enum {
    API_CONNECTIONS = 1100,
    API_BODY_BYTES = 65536,
    API_OUTPUT_BYTES = 131072,
    API_STREAMS = 1000,
    API_STREAM_MS = 25000,
    API_DOWNLOADS = 16,
    API_TOKENS = 4096, /* of one JSON body */
};

/* A connection whose answer waits until a record is durable: an answer that is ready, built in the
 * connection's own output buffer, or a request that is to be handled again. */
struct api_wait {
    struct http_connection *connection;
    struct http_request request; /* to be handled again */
    uint64_t seq;
    uint64_t asked_us;   /* monotonic, when its request was handled */
    const uint8_t *body; /* NULL: handle the request again */
    size_t body_size;
    unsigned status;
};

struct api_stream {
    struct http_connection *connection; /* NULL: free */
    uint64_t number;
    uint64_t last_id;
    uint64_t opened_ms;
    bool is_blocked; /* the client does not take more for now */
};

enum { API_LATENCIES = 10 };                         /* classes; the last has no limit */
extern const uint64_t api_latency_us[API_LATENCIES]; /* upper limits */

struct api_latency {
    uint64_t counts[API_LATENCIES];
    uint64_t sum_us;
};

/* An artifact on its way to a client. */
struct api_download {
    struct http_connection *connection; /* NULL: free */
    int fd;
};

struct api {
    struct hub *hub;
    struct executor *executor;
    struct phones *phones;
    struct adb_host *adb;
    const struct uplink *uplink;
    const struct token_table *tokens;
    struct notifier *notifier;
    struct artifacts *artifacts;
    struct http_server server;
    struct api_wait waits[API_CONNECTIONS];
    uint32_t wait_count;
    struct api_stream streams[API_STREAMS];
    uint32_t stream_count;
    struct api_download downloads[API_DOWNLOADS];
    struct api_latency latency; /* of answers that waited to be durable */
    uint64_t now_ms;
    uint64_t started_ms;
    bool is_ready;
    jsmntok_t json_tokens[API_TOKENS];
    char scratch[API_OUTPUT_BYTES];   /* one event */
    char line[API_OUTPUT_BYTES + 64]; /* the same with the frame of a stream */
};

struct api_parts {
    struct hub *hub;
    struct executor *executor;
    struct phones *phones;
    struct adb_host *adb;
    const struct uplink *uplink;
    const struct token_table *tokens;
    struct notifier *notifier;
    struct artifacts *artifacts;
    struct loop *loop;
    void *memory; /* of the server: API_SERVER_BYTES, zeroed */
};

#define API_SERVER_BYTES(stream_bytes)                                                             \
    HTTP_SERVER_BYTES(API_CONNECTIONS, stream_bytes, API_BODY_BYTES, API_OUTPUT_BYTES)

void api_init(struct api *api, const struct api_parts *parts, uint32_t stream_bytes);

/* Writes the members of a process, as GET shows it; `owner` is the API. */
void api_process_members(void *owner, struct json_writer *writer, uint32_t process);

/* Called when a sync has ended and before the next group is submitted: exactly then, what is not
 * in the open group is durable. Answers, and feeds the streams. */
void api_release(struct api *api);

/* Once in every turn, after the store's: answers what waits for nothing any more (a duplicate of
 * what is durable), and handles again what had no room or was not durable. */
void api_retry(struct api *api);

/* Once in every turn of the loop. */
void api_step(struct api *api, uint64_t now_ms);
uint64_t api_deadline_ms(const struct api *api);

#endif
