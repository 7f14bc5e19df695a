/* api_internal.h - what the files of the API share. */
#ifndef HOST_UPSTREAMD_API_INTERNAL_H
#define HOST_UPSTREAMD_API_INTERNAL_H

#include "host/shared/json_write.h"
#include "host/upstreamd/api.h"

/* A request on its way through the API. */
struct api_call {
    struct api *api;
    struct http_connection *connection;
    const struct http_request *request;
    struct bytes id; /* the path's {id}, when it has one */
};

void api_refuse(const struct api_call *call, unsigned status, const char *code,
                const char *message);

/* Answers with JSON that was written into the connection's output buffer. */
struct json_writer api_begin_json(const struct api_call *call);
void api_end_json(const struct api_call *call, const struct json_writer *writer);

/* The process that {id} names. False: refused. */
bool api_find_process(const struct api_call *call, struct db_process *process);

/* What stands on a database call other than OK and NOT_FOUND: 503. True: refused. */
bool api_refuse_failure(const struct api_call *call, enum status status);

/* A number of the query, `value` stays when it is absent. False: refused. */
bool api_query_number(const struct api_call *call, const char *name, uint64_t max, uint64_t *value);
/* A text of the query; empty when it is absent. False: refused. */
bool api_query_text(const struct api_call *call, const char *name, char *text, size_t capacity);

struct bytes api_text(const char *text);

void api_get_process(const struct api_call *call);    /* api_process.c */
void api_list_processes(const struct api_call *call); /* api_lists.c, as the next three */
void api_get_phones(const struct api_call *call);
void api_get_phone(const struct api_call *call);
void api_get_hubs(const struct api_call *call);
void api_get_events(const struct api_call *call); /* api_events.c, as the next five */
void api_get_stream(const struct api_call *call);
void api_feed_streams(struct api *api);
void api_end_old_streams(struct api *api);
void api_forget_stream(struct api *api, const struct http_connection *connection);
void api_unblock_stream(struct api *api, const struct http_connection *connection);
uint64_t api_stream_deadline_ms(const struct api *api);
void api_get_metrics(const struct api_call *call); /* api_metrics.c */

#endif
