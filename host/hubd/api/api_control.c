/* Control of a process: what its callers and operators ask of it after it was accepted. */
#include "host/hubd/api/api_internal.h"
#include "host/shared/api_body.h"

#include <string.h>

const char *api_status_text(const struct hub *hub, uint32_t process, uint8_t status) {
    bool is_known = process != HUB_NONE;
    const struct process_counts *counts = is_known ? &hub->processes[process].counts : NULL;
    enum process_status now = is_known ? (enum process_status)hub->processes[process].status
                                       : (enum process_status)status;
    return now == PROCESS_NONE ? "queued" : process_status_names(now, counts).status;
}

/* 202 while the process has not settled, 200 when it has. */
static void answer(const struct http_api_call *call, uint32_t process) {
    const struct hub *hub = api_of(call)->hub;
    const struct hub_process *of = &hub->processes[process];
    struct process_names names = process_status_names((enum process_status)of->status, &of->counts);
    struct process_id id = ids_process(hub, of->number);
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    process_member_id(&writer, "process_id", &id);
    json_write_string(&writer, "status", names.status);
    json_write_string(&writer, "internal_status", names.internal);
    json_write_string(&writer, "state", names.state);
    json_write_bool(&writer, "cancel_requested", (of->image.flags & RECORD_CANCEL_REQUESTED) != 0);
    json_write_bool(&writer, "held", (of->image.flags & RECORD_HOLD) != 0);
    json_write_uint(&writer, "generation", of->image.generation);
    json_write_end_object(&writer);
    api_answer_at(call, hub_head_seq(hub), of->end_seq != 0 ? 200 : 202, &writer);
}

static void answer_or_refuse(const struct http_api_call *call, uint32_t process,
                             enum status status) {
    if (status == STATUS_TERMINAL) {
        http_api_refuse(call, 409, "already_terminal", "the process has already ended");
    } else if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(api_of(call)->hub));
    } else {
        check(status == STATUS_OK);
        answer(call, process);
    }
}

void api_cancel(const struct http_api_call *call) {
    uint32_t process = api_own_process_of(call);
    if (process != HUB_NONE) {
        answer_or_refuse(call, process, hub_cancel(api_of(call)->hub, process));
    }
}

void api_suspend(const struct http_api_call *call) {
    uint32_t process = api_own_process_of(call);
    if (process != HUB_NONE) {
        answer_or_refuse(call, process, hub_suspend(api_of(call)->hub, process));
    }
}

void api_resume(const struct http_api_call *call) {
    uint32_t process = api_own_process_of(call);
    if (process != HUB_NONE) {
        answer_or_refuse(call, process, hub_resume(api_of(call)->hub, process));
    }
}

static void refuse_retry(const struct http_api_call *call, uint32_t process) {
    const struct hub_process *of = &api_of(call)->hub->processes[process];
    if (of->end_seq == 0) {
        http_api_refuse(call, 409, "not_terminal", "the process has not ended yet");
    } else {
        http_api_refuse(call, 409, "not_retryable",
                        "only a process that failed, or failed in part, can be tried again");
    }
}

void api_retry_process(const struct http_api_call *call) {
    struct api *api = api_of(call);
    uint32_t process = api_own_process_of(call);
    if (process == HUB_NONE) {
        return;
    }
    enum status status = api->hub->is_stopping ? STATUS_FULL : hub_retry(api->hub, process);
    if (status == STATUS_ILLEGAL) {
        refuse_retry(call, process);
    } else if (status == STATUS_FULL) {
        http_api_refuse(call, 503, "capacity_exhausted",
                        "this hub has no room for the new items; try again later");
    } else {
        if (status == STATUS_OK) {
            notifier_wake(api->notifier, process);
        }
        answer_or_refuse(call, process, status);
    }
}

/* {"outcome":"done"|"failed","item_id":…}; without an item all that wait for it. */
static bool read_settle(const struct api_body *body, uint32_t process, uint32_t *number,
                        bool *is_done) {
    const struct hub *hub = api_of(body->call)->hub;
    char item[PROCESS_ID_SIZE] = "";
    unsigned token = 0;
    struct process_id id;
    *number = 0;
    if (!api_body_outcome(body, is_done)) {
        return false;
    }
    if (!api_body_text(body, 0, (struct api_text){"item_id", false, NULL, item, sizeof item})) {
        return false;
    }
    if (item[0] == '\0') {
        return true;
    }
    (void)!json_member(&body->json, 0, "item_id", &token);
    if (process_id_parse_item(http_api_text(item), &id) != STATUS_OK ||
        ids_own_number(hub, &id) != hub->processes[process].number) {
        return api_body_refuse(body, token, 422, "unknown_item",
                               "the process has no item of this id");
    }
    *number = id.item;
    return true;
}

void api_settle(const struct http_api_call *call) {
    struct api_body body;
    uint32_t number;
    bool is_done;
    uint32_t process = api_own_process_of(call);
    if (process == HUB_NONE || !api_body_parse(&body, call, false) ||
        !read_settle(&body, process, &number, &is_done)) {
        return;
    }
    enum status status = hub_settle(api_of(call)->hub, process, number, is_done);
    if (status == STATUS_NOT_FOUND) {
        http_api_refuse(call, 422, "unknown_item", "the process has no item of this id");
    } else if (status == STATUS_ILLEGAL) {
        http_api_refuse(call, 409, "illegal_transition",
                        "no item waits for a person to say how it ended");
    } else {
        answer_or_refuse(call, process, status);
    }
}
