/* api_internal.h - what the files of the API share. */
#ifndef HOST_UPSTREAMD_API_INTERNAL_H
#define HOST_UPSTREAMD_API_INTERNAL_H

#include "host/shared/http_api.h"
#include "host/upstreamd/api/api.h"

static inline struct api *api_of(const struct http_api_call *call) {
    return call->owner;
}

/* The process that {id} names. False: refused. */
bool api_find_process(const struct http_api_call *call, struct db_process *process);

/* What stands on a database call other than OK and NOT_FOUND: 503. True: refused. */
bool api_refuse_failure(const struct http_api_call *call, enum status status);

/* Its public name; that of a process of the fleet by its number. */
struct process_id api_id_of(const struct db_process *process);
struct process_id api_fleet_id(uint64_t number);

/* What orders need, inside of api_transact(): db_transact(), and hubs and streams hear of it. */
struct orders api_orders(const struct api *api);
must_check enum status api_transact(struct api *api, db_change *change, void *owner);
const char *api_queue_status(struct api *api, uint64_t number); /* api_submit.c, as the next 3 */
void api_enqueue(const struct http_api_call *call);
void api_maintenance(const struct http_api_call *call);
void api_ingest(const struct http_api_call *call);
void api_cancel(const struct http_api_call *call); /* api_control.c, as the next 5 */
void api_suspend(const struct http_api_call *call);
void api_resume(const struct http_api_call *call);
void api_retry_process(const struct http_api_call *call);
void api_settle(const struct http_api_call *call);
void api_legacy_cancel(const struct http_api_call *call);
/* Writes the members of a process, as GET shows it; those that say how old that is. */
void api_write_process(struct api *api, struct json_writer *writer,
                       const struct db_process *process);
void api_write_age(struct api *api, struct json_writer *writer, const struct db_process *process);
bool api_is_fleets(const struct db_process *process);      /* api_control.c */
void api_get_process(const struct http_api_call *call);    /* api_process.c */
void api_list_processes(const struct http_api_call *call); /* api_lists.c, as the next three */
void api_get_phones(const struct http_api_call *call);
void api_get_phone(const struct http_api_call *call);
void api_get_hubs(const struct http_api_call *call);
void api_release_hub(const struct http_api_call *call);
void api_get_events(const struct http_api_call *call); /* api_events.c, as the next six */
void api_get_stream(const struct http_api_call *call);
void api_feed_streams(struct api *api);
void api_feed_due_streams(struct api *api); /* those that api_hear() has marked */
void api_end_old_streams(struct api *api);
void api_forget_stream(struct api *api, const struct http_connection *connection);
void api_unblock_stream(struct api *api, const struct http_connection *connection);
uint64_t api_stream_deadline_ms(const struct api *api);
void api_get_fleet_stream(const struct http_api_call *call); /* api_watch.c, as the next three */
void api_get_history(const struct http_api_call *call);
void api_step_watch(struct api *api);
uint64_t api_watch_deadline_ms(const struct api *api);
void api_get_metrics(const struct http_api_call *call); /* api_metrics.c */

#endif
