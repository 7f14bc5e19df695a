/* api_internal.h - what the files of the API share. */
#ifndef HOST_HUBD_API_INTERNAL_H
#define HOST_HUBD_API_INTERNAL_H

#include "host/hubd/api/api.h"
#include "host/hubd/ids.h"
#include "host/shared/http_api.h"
#include "host/shared/process_event.h"
#include "host/shared/process_json.h"
#include "host/shared/process_member.h"
#include "host/shared/process_row.h"

static inline struct api *api_of(const struct http_api_call *call) {
    return call->owner;
}

/* Gives an answer that was begun with http_api_begin_json() once `seq` is durable. */
void api_answer_at(const struct http_api_call *call, uint64_t seq, unsigned status,
                   const struct json_writer *writer);
/* Handles the same request again once `seq` is durable. */
void api_wait_again(const struct http_api_call *call, uint64_t seq);

/* The process that {id} names, durable to its last record. HUB_NONE: refused, or made to wait. */
uint32_t api_process_of(const struct http_api_call *call);
/* The same for control: what upstream owns is refused. */
uint32_t api_own_process_of(const struct http_api_call *call);

struct process_clock api_clock(const struct hub *hub);
/* The public status of a row; a process that is gone has no counts. */
/* Of its newest item, as the legacy endpoints name it. */
const char *api_queue_status(const struct hub *hub, uint32_t process, uint8_t status);
const char *api_status_text(const struct hub *hub, uint32_t process, uint8_t status);

/* `warnings`: what needs an operator soon. */
void api_write_warnings(struct json_writer *writer, const struct api *api);

/* Reading (api_read.c). */
void api_get_process(const struct http_api_call *call);
void api_list_processes(const struct http_api_call *call);
/* A process as a row of the list (api_list.c); its newest record must be durable. */
void api_write_row(struct api *api, struct json_writer *writer, uint32_t process);
/* In the hub's read buffer until the next read. False: not there. */
bool api_read_request(struct hub *hub, uint32_t process, struct record_request *request);
bool api_read_attempt(struct hub *hub, uint32_t attempt, struct record_attempt *image);
void api_get_phones(const struct http_api_call *call);
void api_get_phone(const struct http_api_call *call);
void api_get_slots(const struct http_api_call *call);
void api_get_capabilities(const struct http_api_call *call);
void api_write_process(struct api *api, struct json_writer *writer, uint32_t process);

/* Events (api_events.c). */
void api_get_events(const struct http_api_call *call);
void api_get_stream(const struct http_api_call *call);
void api_feed_streams(struct api *api);
void api_forget_stream(struct api *api, const struct http_connection *connection);
void api_unblock_stream(struct api *api, const struct http_connection *connection);
uint64_t api_stream_deadline_ms(const struct api *api);
void api_end_old_streams(struct api *api);

/* The whole hub as it changes (api_watch.c). */
void api_get_hub_stream(const struct http_api_call *call);
void api_step_watch(struct api *api);
uint64_t api_watch_deadline_ms(const struct api *api);
/* Brings the phones' newest errors up to date. */
void api_find_errors(struct api *api);
void api_write_phone(struct api *api, struct json_writer *writer, uint32_t phone);

/* How numbers went (api_history.c). */
void api_get_history(const struct http_api_call *call);
void api_step_history(struct api *api);
uint64_t api_sync_lag_ms(const struct api *api); /* since upstream acknowledged, while behind */
uint32_t api_wear_max(const struct hub *hub);    /* erases of the most worn block */

/* Control (api_control.c). */
void api_cancel(const struct http_api_call *call);
void api_suspend(const struct http_api_call *call);
void api_resume(const struct http_api_call *call);
void api_retry_process(const struct http_api_call *call);
void api_settle(const struct http_api_call *call);

/* Phones (api_phones.c). */
void api_phone_quarantine(const struct http_api_call *call);
void api_phone_release(const struct http_api_call *call);
void api_phone_power(const struct http_api_call *call);
void api_phone_label(const struct http_api_call *call);

/* External workers (api_jobs.c, api_worker.c). */
void api_worker_claim(const struct http_api_call *call);
void api_worker_acknowledge(const struct http_api_call *call);
void api_worker_status(const struct http_api_call *call);
void api_worker_heartbeat(const struct http_api_call *call);
void api_worker_complete(const struct http_api_call *call);
void api_worker_fail(const struct http_api_call *call);
void api_worker_batch(const struct http_api_call *call);

/* The documented legacy endpoint (api_legacy.c). */
void api_legacy_cancel(const struct http_api_call *call);

/* Artifacts (api_artifacts.c). */
void api_get_artifact(const struct http_api_call *call);
void api_feed_download(struct api *api, const struct http_connection *connection);
void api_forget_download(struct api *api, const struct http_connection *connection);

/* Submission (api_submit.c). */
void api_enqueue(const struct http_api_call *call);
void api_maintenance(const struct http_api_call *call);
void api_ingest(const struct http_api_call *call);

/* The adb endpoint of a lease (api_adb.c). */
void api_open_adb(const struct http_api_call *call);

/* Metrics (metrics.c). */
void api_get_metrics(const struct http_api_call *call);

#endif
