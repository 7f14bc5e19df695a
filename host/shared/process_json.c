#include "host/shared/process_json.h"

#include "host/shared/process_member.h"
#include "host/shared/process_outcome.h"
#include "host/shared/request_json.h"

/* What a pass over the items finds. */
struct summary {
    struct process_outcome outcome;
    uint32_t all_items; /* superseded ones too */
    uint32_t attempts;
    uint64_t percent_sum;
    const char *step;
    uint32_t suspension;
    struct record_time started;
    struct record_time first_device;
};

/* ---- items ---- */

static uint32_t max_u32(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static void add_item(struct summary *summary, const struct process_json_item *item) {
    const struct record_item *image = &item->image;
    bool has_failed = image->state == RECORD_FAILED && image->category != RECORD_CATEGORY_NONE;
    struct process_outcome *outcome = &summary->outcome;
    outcome->items += 1;
    summary->attempts = max_u32(summary->attempts, image->attempt);
    outcome->counted += image->attempts_counted;
    summary->percent_sum += image->state == RECORD_COMPLETED ? 100 : item->progress_percent;
    if (image->state == RECORD_RUNNING && summary->step == NULL) {
        summary->step = item->step;
    }
    if (image->state == RECORD_SUSPENDED) {
        summary->suspension = max_u32(summary->suspension, image->suspension);
    }
    if (has_failed) {
        outcome->category = (enum record_category)image->category;
        outcome->failed_attempt = image->attempt;
        outcome->failed_at = item->updated;
    }
    if (process_time_is_before(&image->started, &summary->started)) {
        summary->started = image->started;
    }
    if (process_time_is_before(&image->first_device, &summary->first_device)) {
        summary->first_device = image->first_device;
    }
}

static struct summary summarize(const struct process_view *view) {
    struct summary summary = {0};
    struct process_json_item item = {0};
    for (uint32_t i = 0; view->source.item(view->source.owner, i, &item); i++) {
        summary.all_items += 1;
        if (!item.image.superseded) {
            add_item(&summary, &item);
        }
    }
    return summary;
}

static struct process_id item_id(const struct process_view *view, uint32_t number) {
    struct process_id id = view->id;
    id.item = number;
    return id;
}

/* What of a list still fits. Superseded items give way first. */
struct list {
    size_t room; /* to be left behind each entry */
    bool has_current_only;
    bool is_cut;
};

static struct list begin_list(const struct summary *summary, size_t budget, size_t room) {
    enum { ITEM_BYTES = 512 };
    bool is_long = summary->all_items > budget / ITEM_BYTES;
    return (struct list){.room = room, .has_current_only = is_long};
}

static bool is_listed(struct list *list, const struct process_json_item *item) {
    bool is_out = list->has_current_only && item->image.superseded;
    list->is_cut = list->is_cut || is_out;
    return !is_out;
}

static void write_linked(struct json_writer *writer, const struct process_view *view,
                         struct list *list, bool only_completed) {
    struct process_json_item item = {0};
    json_write_begin_array(writer, only_completed ? "completed_queue_item_ids" : "queue_item_ids");
    for (uint32_t i = 0; view->source.item(view->source.owner, i, &item); i++) {
        if (is_listed(list, &item) && (!only_completed || item.image.state == RECORD_COMPLETED)) {
            struct process_id id = item_id(view, item.number);
            struct json_writer before = *writer;
            process_member_id(writer, NULL, &id);
            list->is_cut = !json_write_keep(writer, &before, list->room) || list->is_cut;
        }
    }
    json_write_end_array(writer);
}

static void write_item(struct json_writer *writer, const struct process_view *view,
                       const struct process_json_item *item) {
    struct process_id id = item_id(view, item->number);
    enum record_item_state state = (enum record_item_state)item->image.state;
    json_write_begin_object(writer, NULL);
    process_member_id(writer, "id", &id);
    json_write_string(writer, "state", record_item_state_name(state));
    json_write_string(writer, "job_status", process_item_job_status(state));
    process_member_text(writer, "phone_id", item->phone);
    process_member_text(writer, "worker", item->image.worker);
    json_write_uint(writer, "attempt", item->image.attempt);
    json_write_uint(writer, "attempts_counted", item->image.attempts_counted);
    process_member_big(writer, "lease_token", item->image.token);
    json_write_uint(writer, "generation", item->image.generation);
    json_write_bool(writer, "superseded", item->image.superseded);
    json_write_end_object(writer);
}

static void write_items(struct json_writer *writer, const struct process_view *view,
                        struct list *list) {
    struct process_json_item item = {0};
    json_write_begin_array(writer, "items");
    for (uint32_t i = 0; view->source.item(view->source.owner, i, &item); i++) {
        if (is_listed(list, &item)) {
            struct json_writer before = *writer;
            write_item(writer, view, &item);
            list->is_cut = !json_write_keep(writer, &before, list->room) || list->is_cut;
        }
    }
    json_write_end_array(writer);
}

static void write_partial_progress(struct json_writer *writer, const struct process_view *view,
                                   const struct summary *summary) {
    json_write_begin_object(writer, "partial_progress");
    for (int i = 0; summary->outcome.items > 1 && i < RECORD_ITEM_STATE_COUNT; i++) {
        enum record_item_state state = (enum record_item_state)i;
        json_write_uint(writer, record_item_state_name(state), view->counts.by_state[i]);
    }
    json_write_end_object(writer);
}

/* ---- the process ---- */

static void write_timestamps(struct json_writer *writer, const struct process_view *view,
                             const struct summary *summary) {
    const struct record_process *process = &view->process;
    const struct {
        const char *name;
        const struct record_time *time;
    } times[] = {
        {"created_at", &process->created},
        {"accepted_at", &process->created},
        {"queued_at", &process->queued},
        {"executing_at", &process->queued},
        {"retrying_at", &process->retrying},
        {"cancel_requested_at", &process->cancel_requested},
        {"finished_at", &process->finished},
        {"started_at", &summary->started},
        {"first_device_at", &summary->first_device},
        {"updated_at", &view->updated},
    };
    json_write_begin_object(writer, "timestamps");
    for (size_t i = 0; i < array_count(times); i++) {
        process_time_write(writer, times[i].name, &view->clock, times[i].time);
    }
    json_write_end_object(writer);
}

static void write_request(struct json_writer *writer, const struct process_view *view) {
    struct record_request request = {0};
    bool is_known = view->source.request(view->source.owner, &request);
    request_json_members(writer, is_known ? &request : NULL);
}

/* Why it does not go on, in words; NULL: it does, or has ended. */
static const char *find_detail(const struct process_view *view, const struct summary *summary,
                               enum process_status status) {
    static const char *const suspensions[RECORD_SUSPENSION_COUNT] = {
        [RECORD_SUSPEND_NONE] = "suspended",
        [RECORD_SUSPEND_OPERATOR] = "suspended by an operator",
        [RECORD_SUSPEND_REVIEW] = "waiting for a review",
        [RECORD_SUSPEND_BUDGET] = "suspended: its budget is spent",
        [RECORD_SUSPEND_UNCERTAIN] = "suspended: an action may or may not have run",
    };
    const uint16_t *counts = view->counts.by_state;
    if (view->status_detail != NULL) {
        return view->status_detail;
    }
    if (process_is_terminal(status)) {
        return NULL;
    }
    if ((view->process.flags & RECORD_CANCEL_REQUESTED) != 0) {
        return "stopping, as cancelled";
    }
    if ((view->process.flags & RECORD_HOLD) != 0) {
        return "held";
    }
    if (counts[RECORD_RUNNING] + counts[RECORD_LEASED] > 0) {
        return NULL;
    }
    if (counts[RECORD_SUSPENDED] > 0) {
        return suspensions[summary->suspension];
    }
    if (counts[RECORD_RETRY_WAIT] > 0) {
        return "waiting to try again";
    }
    if (counts[RECORD_READY] > 0) {
        return "waiting for a phone";
    }
    return counts[RECORD_SCHEDULED] > 0 ? "waiting for its start time" : NULL;
}

static uint32_t find_percent(const struct summary *summary, enum process_status status) {
    if (status == PROCESS_DONE) {
        return 100;
    }
    uint32_t items = summary->outcome.items;
    return items == 0 ? 0 : (uint32_t)(summary->percent_sum / items);
}

static void write_status(struct json_writer *writer, const struct process_view *view,
                         const struct summary *summary, enum process_status status) {
    struct process_names names = process_status_names(status, &view->counts);
    json_write_string(writer, "status", names.status);
    json_write_string(writer, "internal_status", names.internal);
    json_write_string(writer, "state", names.state);
    json_write_string(writer, "job_status", names.job_status);
    process_member_optional(writer, "status_detail", find_detail(view, summary, status));
    json_write_uint(writer, "progress_percent", find_percent(summary, status));
    process_member_optional(writer, "current_step", summary->step);
    json_write_uint(writer, "attempts", summary->attempts);
    json_write_uint(writer, "generation", view->process.generation);
    if (view->revision > 0) {
        json_write_uint(writer, "last_event_id", view->revision);
    }
}

/* What grows with a process shares what is left of the writer's room: ids take at most a quarter of
 * it, items half, results an eighth, errors the rest; each also has what those before it left. */
static void write_lists(struct json_writer *writer, const struct process_view *view,
                        const struct summary *summary, enum process_status status) {
    size_t room = writer->is_full ? 0 : writer->capacity - writer->size;
    struct list ids = begin_list(summary, room / 2, room / 4 * 3);
    struct list items = begin_list(summary, room / 2, room / 4);
    json_write_begin_object(writer, "linked_ids");
    write_linked(writer, view, &ids, false);
    write_linked(writer, view, &ids, true);
    json_write_end_object(writer);
    write_partial_progress(writer, view, summary);
    write_items(writer, view, &items);
    bool is_cut = process_outcome_write(writer, view, &summary->outcome, status);
    json_write_bool(writer, "truncated", is_cut || ids.is_cut || items.is_cut);
}

void process_json_members(struct json_writer *writer, const struct process_view *view) {
    enum process_status status = process_derive(&view->counts, view->process.flags);
    struct summary summary = summarize(view);
    process_member_id(writer, "process_id", &view->id);
    write_status(writer, view, &summary, status);
    write_request(writer, view);
    write_timestamps(writer, view, &summary);
    write_lists(writer, view, &summary, status);
}
