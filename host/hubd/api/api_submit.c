/* Submission: what was read from a body is given to the core as an order. */
#include "host/hubd/api/api_internal.h"
#include "host/shared/submission.h"

static bool find_phone(void *owner, struct bytes id, uint64_t *number) {
    const struct hub *hub = owner;
    uint32_t phone = hub_phone_find(hub, id);
    if (phone != HUB_NONE) {
        *number = hub->phones[phone].number;
    }
    return phone != HUB_NONE;
}

static struct submission_place place_of(const struct api *api) {
    return (struct submission_place){
        .owner = api->hub,
        .name = "this hub",
        .capabilities = api->hub->capabilities,
        .lists = api->executor->lists,
        .capability_count = api->hub->capability_count,
        .targets_max = api->hub->board->items_per_request,
        .callbacks = api->notifier->callbacks,
        .find_phone = find_phone,
    };
}

/* Of the newest item. */
const char *api_queue_status(const struct hub *hub, uint32_t process, uint8_t status) {
    if (process != HUB_NONE && hub->processes[process].last_item != HUB_NONE) {
        return submission_queue_status(hub->items[hub->processes[process].last_item].image.state);
    }
    return status == PROCESS_NONE
               ? "QUEUED"
               : process_status_names((enum process_status)status, NULL).internal;
}

static void refuse_order(const struct http_api_call *call, enum status status) {
    if (status == STATUS_TOO_LARGE) {
        http_api_refuse(call, 413, "too_large", "the request does not fit into this hub's records");
    } else if (status == STATUS_MALFORMED) {
        http_api_refuse(call, 422, "invalid_member", "a text is longer than a record may hold");
    } else {
        http_api_refuse(call, 503, "capacity_exhausted",
                        "this hub has no room for another process; try again later");
    }
}

/* Gives the order to the core. False: the request was answered with a refusal, or waits to be
 * handled again; true: `seq` must be durable before anybody is told. */
static bool give_order(const struct submission *submission, struct hub_accepted *accepted,
                       uint64_t *seq) {
    const struct http_api_call *call = submission->body.call;
    struct hub *hub = api_of(call)->hub;
    const struct hub_order order = {
        .request = &submission->request,
        .capability = submission->capability,
        .phones = submission->has_phones ? submission->phones : NULL,
        .accounts = submission->has_accounts ? submission->accounts : NULL,
        .item_count = submission->target_count,
    };
    enum status status = hub->is_stopping ? STATUS_FULL : hub_accept(hub, &order, accepted);
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(hub));
    } else if (status != STATUS_OK) {
        refuse_order(call, status);
    } else if (accepted->is_duplicate) {
        *seq = accepted->process == HUB_NONE
                   ? 0
                   : store_slot(&hub->store, hub->processes[accepted->process].tail)->seq;
    } else {
        *seq = hub_head_seq(hub);
    }
    return status == STATUS_OK;
}

static const char *watch(const struct submission *submission, const struct hub_accepted *accepted) {
    struct api *api = api_of(submission->body.call);
    if (submission->request.callback.size == 0 || accepted->is_duplicate) {
        return NULL;
    }
    return submission_callback_status(
        notifier_watch(api->notifier, accepted->process, submission->request.callback));
}

static void submit(const struct submission *submission) {
    struct hub_accepted accepted;
    uint64_t seq = 0;
    if (submission == NULL || !give_order(submission, &accepted, &seq)) {
        return;
    }
    const struct http_api_call *call = submission->body.call;
    const struct hub *hub = api_of(call)->hub;
    const struct submission_outcome outcome = {
        .id = ids_process(hub, accepted.number),
        .is_duplicate = accepted.is_duplicate,
        .differs = accepted.differs,
        .process_status = api_status_text(hub, accepted.process, accepted.status),
        .queue_status = api_queue_status(hub, accepted.process, accepted.status),
        .callback_status = watch(submission, &accepted),
    };
    struct json_writer writer = http_api_begin_json(call);
    submission_write_answer(submission, &outcome, &writer);
    api_answer_at(call, seq, accepted.is_duplicate ? 200 : 202, &writer);
}

void api_enqueue(const struct http_api_call *call) {
    const struct submission_place place = place_of(api_of(call));
    submit(submission_read_enqueue(&place, call));
}

void api_maintenance(const struct http_api_call *call) {
    const struct submission_place place = place_of(api_of(call));
    submit(submission_read_maintenance(&place, call));
}

void api_ingest(const struct http_api_call *call) {
    const struct submission_place place = place_of(api_of(call));
    submit(submission_read_ingest(&place, call));
}
