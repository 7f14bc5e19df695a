/* api_internal.h - what the files of the API share. */
#ifndef HOST_UPSTREAMD_API_INTERNAL_H
#define HOST_UPSTREAMD_API_INTERNAL_H

#include "host/shared/http_api.h"
#include "host/upstreamd/api.h"

static inline struct api *api_of(const struct http_api_call *call) {
    return call->owner;
}

/* The process that {id} names. False: refused. */
bool api_find_process(const struct http_api_call *call, struct db_process *process);

/* What stands on a database call other than OK and NOT_FOUND: 503. True: refused. */
bool api_refuse_failure(const struct http_api_call *call, enum status status);

void api_get_process(const struct http_api_call *call);    /* api_process.c */
void api_list_processes(const struct http_api_call *call); /* api_lists.c, as the next three */
void api_get_phones(const struct http_api_call *call);
void api_get_phone(const struct http_api_call *call);
void api_get_hubs(const struct http_api_call *call);
void api_get_events(const struct http_api_call *call); /* api_events.c, as the next five */
void api_get_stream(const struct http_api_call *call);
void api_feed_streams(struct api *api);
void api_end_old_streams(struct api *api);
void api_forget_stream(struct api *api, const struct http_connection *connection);
void api_unblock_stream(struct api *api, const struct http_connection *connection);
uint64_t api_stream_deadline_ms(const struct api *api);
void api_get_metrics(const struct http_api_call *call); /* api_metrics.c */

#endif
