/* Control of processes: of the fleet's here, of a hub's own by a command to it. */
#include "host/shared/process_member.h"
#include "host/shared/submission.h"
#include "host/upstreamd/api/api_internal.h"

#include <string.h>

enum status api_transact(struct api *api, db_change *change, void *owner) {
    enum status status = db_transact(api->fleet->db, change, owner);
    dispatch_note(api->dispatch);
    api->is_dirty = true;
    return status;
}

bool api_is_fleets(const struct db_process *process) {
    return strcmp(process->hub_id, DB_UPSTREAM) == 0;
}

/* What is asked of a process. */
struct demand {
    enum sync_command_kind kind;
    bool is_forced;
    uint32_t item; /* SETTLE: 0: all that wait */
    bool is_done;
};

/* ---- answers ---- */

static struct json_writer begin_answer(const struct http_api_call *call,
                                       const struct db_process *process, enum process_status status,
                                       const struct process_counts *counts) {
    const struct process_names names = process_status_names(status, counts);
    struct process_id id = api_id_of(process);
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    process_member_id(&writer, "process_id", &id);
    json_write_string(&writer, "status", names.status);
    json_write_string(&writer, "internal_status", names.internal);
    json_write_string(&writer, "state", names.state);
    return writer;
}

static void answer(const struct http_api_call *call, const struct db_process *process,
                   const struct order_state *state) {
    struct json_writer writer = begin_answer(call, process, state->status, &state->counts);
    json_write_bool(&writer, "cancel_requested", (state->flags & RECORD_CANCEL_REQUESTED) != 0);
    json_write_bool(&writer, "held", (state->flags & RECORD_HOLD) != 0);
    json_write_uint(&writer, "generation", state->generation);
    json_write_end_object(&writer);
    http_api_end_json(call, process_is_terminal(state->status) ? 200 : 202, &writer);
}

/* True: refused. */
static bool refuse(const struct http_api_call *call, const struct demand *demand,
                   enum process_status now, enum status status) {
    bool is_retry = demand->kind == SYNC_RETRY;
    if (status == STATUS_OK) {
        return false;
    }
    if (status == STATUS_TERMINAL) {
        http_api_refuse(call, 409, "already_terminal", "the process has already ended");
    } else if (status == STATUS_NOT_FOUND) {
        http_api_refuse(call, 422, "unknown_item", "the process has no item of this id");
    } else if (status == STATUS_FULL) {
        http_api_refuse(call, 503, "capacity_exhausted", "the process was tried again too often");
    } else if (status == STATUS_ILLEGAL && is_retry && !process_is_terminal(now)) {
        http_api_refuse(call, 409, "not_terminal", "the process has not ended yet");
    } else if (status == STATUS_ILLEGAL && is_retry) {
        http_api_refuse(call, 409, "not_retryable",
                        "only a process that failed, or failed in part, can be tried again");
    } else if (status == STATUS_ILLEGAL) {
        http_api_refuse(call, 409, "illegal_transition",
                        "no item waits for a person to say how it ended");
    } else {
        return api_refuse_failure(call, status);
    }
    return true;
}

/* ---- the fleet's ---- */

struct control {
    struct orders orders;
    uint64_t number;
    uint32_t item; /* 0: of the process */
    const struct demand *demand;
    struct order_state state;
};

static enum status apply(void *owner) {
    struct control *control = owner;
    const struct orders *orders = &control->orders;
    const struct demand *demand = control->demand;
    uint64_t number = control->number;
    struct order_state *state = &control->state;
    *state = (struct order_state){.status = PROCESS_QUEUED};
    switch ((int)demand->kind) {
    case SYNC_CANCEL:
        return order_cancel(orders, number, state);
    case SYNC_SUSPEND:
        return order_suspend(orders, number, state);
    case SYNC_RESUME:
        return order_resume(orders, number, state);
    case SYNC_RETRY:
        return demand->is_forced ? order_force(orders, number, state)
                                 : order_retry(orders, number, state);
    default:
        return order_settle(orders, number, demand->item, demand->is_done, state);
    }
}

static void control_own(const struct http_api_call *call, const struct db_process *process,
                        const struct demand *demand) {
    struct api *api = api_of(call);
    struct control control = {
        .orders = api_orders(api), .number = process->number, .demand = demand};
    enum status status = api_transact(api, apply, &control);
    if (!refuse(call, demand, control.state.status, status)) {
        answer(call, process, &control.state);
    }
}

/* ---- a hub's own ---- */

/* What the hub would refuse by what is known here, so that the caller hears of it. */
static enum status judge_forward(const struct db_process *process, const struct demand *demand) {
    bool has_ended = process_is_terminal((enum process_status)process->status);
    if (demand->kind == SYNC_RETRY) {
        return has_ended ? STATUS_OK : STATUS_ILLEGAL;
    }
    return has_ended ? STATUS_TERMINAL : STATUS_OK;
}

struct passing {
    struct orders orders;
    const char *hub;
    enum sync_command_kind kind;
    struct sync_control control;
};

static enum status command(void *owner) {
    const struct passing *passing = owner;
    return order_forward(&passing->orders, passing->hub, passing->kind, &passing->control);
}

static void forward(const struct http_api_call *call, const struct db_process *process,
                    const struct demand *demand) {
    struct api *api = api_of(call);
    struct passing order = {
        .orders = api_orders(api),
        .hub = process->hub_id,
        .kind = demand->kind,
        .control = {.owner = SYNC_OWN_HUB,
                    .process = process->number,
                    .item = demand->item,
                    .is_done = demand->is_done},
    };
    struct db_hub hub = {0};
    enum status status = judge_forward(process, demand);
    if (refuse(call, demand, (enum process_status)process->status, status) ||
        api_refuse_failure(call, db_hub_get(api->fleet->db, process->hub_id, &hub))) {
        return;
    }
    if (hub.store != process->store) {
        http_api_refuse(call, 409, "store_gone", "the hub has another store now");
        return;
    }
    if (api_refuse_failure(call, api_transact(api, command, &order))) {
        return;
    }
    struct json_writer writer =
        begin_answer(call, process, (enum process_status)process->status, NULL);
    json_write_string(&writer, "hub_id", process->hub_id);
    json_write_bool(&writer, "forwarded", true);
    json_write_end_object(&writer);
    http_api_end_json(call, 202, &writer);
}

static void handle(const struct http_api_call *call, const struct demand *demand) {
    struct db_process process;
    if (!api_find_process(call, &process)) {
        return;
    }
    if (api_is_fleets(&process)) {
        control_own(call, &process, demand);
    } else {
        forward(call, &process, demand);
    }
}

void api_cancel(const struct http_api_call *call) {
    handle(call, &(struct demand){.kind = SYNC_CANCEL});
}

void api_suspend(const struct http_api_call *call) {
    handle(call, &(struct demand){.kind = SYNC_SUSPEND});
}

void api_resume(const struct http_api_call *call) {
    handle(call, &(struct demand){.kind = SYNC_RESUME});
}

void api_retry_process(const struct http_api_call *call) {
    uint64_t force = 0;
    if (http_api_query_number(call, "force", 1, &force)) {
        handle(call, &(struct demand){.kind = SYNC_RETRY, .is_forced = force != 0});
    }
}

/* {"outcome":"done"|"failed","item_id":…}; without an item all that wait for it. */
void api_settle(const struct http_api_call *call) {
    struct api_body body;
    struct demand demand = {.kind = SYNC_SETTLE};
    char item[PROCESS_ID_SIZE] = "";
    struct process_id id = {.item = 0};
    if (!api_body_parse(&body, call, false) || !api_body_outcome(&body, &demand.is_done) ||
        !api_body_text(&body, 0, (struct api_text){"item_id", false, NULL, item, sizeof item})) {
        return;
    }
    if (item[0] != '\0') {
        unsigned token = 0;
        char process[PROCESS_ID_SIZE];
        (void)!json_member(&body.json, 0, "item_id", &token);
        bool is_item = process_id_parse_item(http_api_text(item), &id) == STATUS_OK;
        demand.item = id.item;
        id.item = 0;
        if (is_item) {
            process_id_format(&id, process);
        }
        if (!is_item || call->id.size != strlen(process) ||
            memcmp(call->id.data, process, call->id.size) != 0) {
            (void)api_body_refuse(&body, token, 422, "unknown_item",
                                  "the process has no item of this id");
            return;
        }
    }
    handle(call, &demand);
}

/* ---- POST /cancel ---- */

/* {"queue_item_id":…}. False: refused; `number` 0: no item of the fleet. */
static bool find_by_id(const struct api_body *body, uint64_t *number, uint32_t *item) {
    char text[PROCESS_ID_SIZE] = "";
    struct process_id id;
    if (!api_body_text(body, 0,
                       (struct api_text){"queue_item_id", true, NULL, text, sizeof text})) {
        return false;
    }
    if (process_id_parse_item(http_api_text(text), &id) == STATUS_OK &&
        strcmp(id.hub_id, DB_UPSTREAM) == 0) {
        *number = db_fleet_number(id.epoch, id.number);
        *item = id.item;
    }
    return true;
}

/* {"account_id":…,"content_id":…}, in the same way. */
static bool find_by_key(const struct api_body *body, uint64_t *number) {
    const struct orders orders = api_orders(api_of(body->call));
    char account[RECORD_ID_MAX + 1] = "";
    char content[RECORD_TEXT_MAX + 1] = "";
    uint8_t digest[SHA256_BYTES];
    if (!api_body_text(body, 0,
                       (struct api_text){"account_id", true, NULL, account, sizeof account}) ||
        !api_body_text(body, 0,
                       (struct api_text){"content_id", true, NULL, content, sizeof content})) {
        return false;
    }
    submission_hash_legacy_key(http_api_text(account), http_api_text(content), digest);
    return !api_refuse_failure(body->call, order_find(&orders, digest, number));
}

/* False: refused. */
static bool find_legacy(const struct api_body *body, uint64_t *number, uint32_t *item) {
    unsigned token;
    bool has_id = api_body_find(body, 0, "queue_item_id", &token);
    if (has_id ? !find_by_id(body, number, item) : !find_by_key(body, number)) {
        return false;
    }
    if (*number == 0) {
        http_api_refuse(body->call, 404, "not_found", "there is no such queue item of the fleet");
    }
    return *number != 0;
}

static enum status cancel_unused(void *owner) {
    struct control *control = owner;
    const struct orders *orders = &control->orders;
    struct work work;
    struct db_item found;
    enum status status = work_open(&work, orders->db, orders->now_ms, control->number);
    status = status == STATUS_OK ? db_item_get(orders->db, control->number, control->item, &found)
                                 : status;
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t used =
        (uint32_t)work.counts.by_state[RECORD_LEASED] + work.counts.by_state[RECORD_RUNNING];
    return used > 0 ? STATUS_ILLEGAL : order_cancel(orders, control->number, &control->state);
}

void api_legacy_cancel(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct api_body body;
    struct control control = {.orders = api_orders(api), .item = 1};
    if (!api_body_parse(&body, call, false) ||
        !find_legacy(&body, &control.number, &control.item)) {
        return;
    }
    enum status status = api_transact(api, cancel_unused, &control);
    if (status == STATUS_NOT_FOUND) {
        http_api_refuse(call, 404, "not_found", "there is no such queue item of the fleet");
    } else if (status == STATUS_TERMINAL) {
        http_api_refuse(call, 409, "already_terminal", "the queue item has already ended");
    } else if (status == STATUS_ILLEGAL) {
        http_api_refuse(call, 409, "item_in_use",
                        "an item of the process is CLAIMED or EXECUTING; cancel its process "
                        "instead");
    } else if (!api_refuse_failure(call, status)) {
        struct process_id id = api_fleet_id(control.number);
        struct json_writer writer = http_api_begin_json(call);
        json_write_begin_object(&writer, NULL);
        json_write_string(&writer, "status", "cancelled");
        process_member_id(&writer, "process_id", &id);
        id.item = control.item;
        process_member_id(&writer, "queue_item_id", &id);
        json_write_string(&writer, "queue_status", api_queue_status(api, control.number));
        json_write_end_object(&writer);
        http_api_end_json(call, 200, &writer);
    }
}
