/* api.h - the hub's HTTP API (SPEC.md sections 4 and 5; docs/api.md).
 *
 * Nothing is told before it is durable: an answer to a change waits for the change's group, and a
 * process whose newest record is not durable yet is shown when it is. */
#ifndef HOST_HUBD_API_H
#define HOST_HUBD_API_H

#include "host/hubd/adb/adb_endpoint.h"
#include "host/hubd/run/artifact.h"
#include "host/hubd/run/executor.h"
#include "host/hubd/notifier.h"
#include "host/hubd/sync/carrier.h"
#include "host/hubd/sync/uplink.h"
#include "host/shared/trend.h"
#include "host/shared/http_server.h"
#include "host/shared/http_watch.h"
#include "host/shared/json.h"
#include "host/shared/token.h"

enum {
    API_BODY_BYTES = 65536,
    API_OUTPUT_BYTES = 131072,
    API_STREAMS = 1000, /* of the largest board */
    API_CONNECTIONS = API_STREAMS + 100,
    API_STREAM_MS = 25000,
    API_DOWNLOADS = 16,
    API_PHONES = 256, /* of the largest board */
    API_CHANGES = 2048,
    API_ERROR_BYTES = 161,
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

/* The newest failed attempt on a phone, as far as it is known here (api_watch.c). */
struct api_phone_error {
    uint64_t seq; /* of its record; 0: none */
    uint64_t process;
    uint64_t at_ms; /* wall clock; 0: not known */
    uint8_t category;
    char code[RECORD_ID_MAX + 1];
    char message[API_ERROR_BYTES];
};

/* What has changed for those who watch the whole hub (api_watch.c). Changes are numbered on; the
 * numbers of a later start of this program are higher. */
struct api_watch {
    struct http_watch list;
    uint64_t version; /* of the newest change; 0: nobody has watched yet */
    uint64_t looked_ms;
    uint64_t seen_seq; /* processes were looked at up to this record */
    uint64_t told_ms;  /* when the hub's own row last changed, as far as that is told */
    uint64_t hub_digest, hub_version;
    struct {
        uint64_t digest, version;
    } phones[API_PHONES];
    struct {
        uint64_t version, process;
    } changes[API_CHANGES]; /* ring of processes that have changed */
    uint64_t change_count;  /* ever */
    struct api_phone_error errors[API_PHONES];
    uint64_t errors_seq; /* attempts were looked at up to this record */
    uint64_t errors_ms;
};

struct api {
    struct hub *hub;
    struct executor *executor;
    struct phones *phones;
    struct adb_host *adb;
    const struct uplink *uplink;
    const struct carriers *carriers; /* of hubs on serial lines */
    const struct token_table *tokens;
    struct notifier *notifier;
    struct artifacts *artifacts;
    struct http_server server;
    struct api_wait waits[API_CONNECTIONS];
    uint32_t wait_count;
    struct api_stream streams[API_STREAMS];
    uint32_t stream_limit; /* at most so many at once */
    uint32_t stream_count;
    struct api_download downloads[API_DOWNLOADS];
    struct api_watch watch;
    struct trend history;
    struct api_latency latency; /* of answers that waited to be durable */
    uint64_t now_ms;
    uint64_t started_ms;
    bool is_ready;
    char scratch[API_OUTPUT_BYTES];   /* one event */
    char line[API_OUTPUT_BYTES + 64]; /* the same with the frame of a stream */
};

struct api_parts {
    struct hub *hub;
    struct executor *executor;
    struct phones *phones;
    struct adb_host *adb;
    const struct uplink *uplink;
    const struct carriers *carriers; /* of hubs on serial lines */
    const struct token_table *tokens;
    struct notifier *notifier;
    struct artifacts *artifacts;
    struct loop *loop;
    uint32_t stream_limit; /* 1 to API_STREAMS */
    void *memory;          /* of the server: API_SERVER_BYTES, zeroed */
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
