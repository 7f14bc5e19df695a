/* Control of a process: what its callers and operators ask of it after it was accepted. */
#include "host/hubd/api_body.h"

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
    struct process_id id = api_process_id(hub, of->number);
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
    uint32_t process = api_process_of(call);
    if (process != HUB_NONE) {
        answer_or_refuse(call, process, hub_cancel(api_of(call)->hub, process));
    }
}
