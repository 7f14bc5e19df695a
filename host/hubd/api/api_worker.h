/* api_worker.h - one update of an external worker, from its JSON to the core. */
#ifndef HOST_HUBD_API_WORKER_H
#define HOST_HUBD_API_WORKER_H

#include "host/hubd/api/api_internal.h"
#include "host/shared/api_body.h"

enum {
    WORKER_OUTPUT_BYTES = 4096, /* of the output that stays inline */
    WORKER_MESSAGE_BYTES = 512,
    WORKER_RESULT_BYTES = 8192,
};

enum worker_verb {
    WORKER_STATUS, /* as the body's `status` says */
    WORKER_ACKNOWLEDGE,
    WORKER_START,
    WORKER_HEARTBEAT,
    WORKER_RELEASE,
    WORKER_COMPLETE,
    WORKER_FAIL,
};

struct worker_update {
    struct hub_worker worker; /* its item is set before reading */
    enum worker_verb verb;
    enum status outcome; /* STALE_LEASE: nothing else was read */
    uint32_t percent;    /* UINT32_MAX: not said */
    struct record_attempt end;
    enum hub_retryable retryable;
    struct hub_heartbeat heartbeat; /* the answer to one */
    struct bytes whole_output;
    char name[RECORD_ID_MAX + 1];
    char code[RECORD_ID_MAX + 1];
    char message[WORKER_MESSAGE_BYTES];
    char result[WORKER_RESULT_BYTES];
    char output[API_BODY_BYTES];
};

/* False: answered with a refusal. */
bool worker_read_update(const struct api_body *body, unsigned object, enum worker_verb verb,
                        struct worker_update *update);
must_check enum status worker_apply(struct api *api, struct worker_update *update);
/* The code of a refusal by the core, all of them 409. */
const char *worker_refusal(enum status status, const char **message);

/* Jobs as workers see them (api_jobs.c). */
void worker_write_job(struct api *api, struct json_writer *writer, const char *name, uint32_t item);
void worker_answer(const struct http_api_call *call, const struct worker_update *update);

#endif
