#include "host/shared/process_json.h"

#include "host/shared/job_result.h"
#include "host/shared/process_member.h"
#include "host/shared/request_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a pass over the items finds. */
struct summary {
    uint32_t items; /* not superseded */
    uint32_t attempts;
    uint32_t counted;
    uint64_t percent_sum;
    const char *step;
    enum record_category category; /* of an item that failed without an attempt's end */
    uint32_t suspension;
    uint32_t failed_attempt; /* highest number of the failed item above */
    struct record_time failed_at;
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
    summary->items += 1;
    summary->attempts = max_u32(summary->attempts, image->attempt);
    summary->counted += image->attempts_counted;
    summary->percent_sum += image->state == RECORD_COMPLETED ? 100 : item->progress_percent;
    if (image->state == RECORD_RUNNING && summary->step == NULL) {
        summary->step = item->step;
    }
    if (image->state == RECORD_SUSPENDED) {
        summary->suspension = max_u32(summary->suspension, image->suspension);
    }
    if (has_failed) {
        summary->category = (enum record_category)image->category;
        summary->failed_attempt = image->attempt;
        summary->failed_at = item->updated;
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

static void write_linked(struct json_writer *writer, const struct process_view *view,
                         const char *name, bool only_completed) {
    struct process_json_item item = {0};
    json_write_begin_array(writer, name);
    for (uint32_t i = 0; view->source.item(view->source.owner, i, &item); i++) {
        if (!only_completed || item.image.state == RECORD_COMPLETED) {
            struct process_id id = item_id(view, item.number);
            process_member_id(writer, NULL, &id);
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

static void write_items(struct json_writer *writer, const struct process_view *view) {
    struct process_json_item item = {0};
    json_write_begin_array(writer, "items");
    for (uint32_t i = 0; view->source.item(view->source.owner, i, &item); i++) {
        write_item(writer, view, &item);
    }
    json_write_end_array(writer);
}

static void write_partial_progress(struct json_writer *writer, const struct process_view *view,
                                   const struct summary *summary) {
    json_write_begin_object(writer, "partial_progress");
    for (int i = 0; summary->items > 1 && i < RECORD_ITEM_STATE_COUNT; i++) {
        enum record_item_state state = (enum record_item_state)i;
        json_write_uint(writer, record_item_state_name(state), view->counts.by_state[i]);
    }
    json_write_end_object(writer);
}

/* ---- results ---- */

/* The newest attempt of each item that found anything; one item's stands alone, those of several
 * stand under their numbers. What an older attempt had written is taken back by the next one. */
static void write_results(struct json_writer *writer, const struct process_view *view,
                          const struct summary *summary) {
    struct process_json_attempt attempt = {0};
    struct json_writer before = *writer;
    uint32_t item = 0;
    bool is_alone = summary->items <= 1;
    if (!is_alone) {
        json_write_begin_object(writer, "result");
    }
    for (uint32_t i = 0; view->source.attempt(view->source.owner, i, &attempt); i++) {
        char name[12] = "result";
        if (!job_result_is_there(&attempt.image)) {
            continue;
        }
        if (!is_alone) {
            snprintf(name, sizeof name, "%" PRIu32, attempt.item);
        }
        if (attempt.item == item) {
            *writer = before;
        }
        before = *writer;
        item = attempt.item;
        job_result_write(writer, name, &attempt.image);
    }
    if (!is_alone) {
        json_write_end_object(writer);
    } else if (item == 0) {
        json_write_raw(writer, "result", bytes_of("{}"));
    }
}

/* The result, and once more as the summary of a process that is done. */
static void write_result(struct json_writer *writer, const struct process_view *view,
                         const struct summary *summary, enum process_status status) {
    size_t start = writer->size + (writer->needs_comma ? 1 : 0) + strlen("\"result\":");
    write_results(writer, view, summary);
    if (status == PROCESS_DONE && !writer->is_full) {
        const struct bytes result = {(const uint8_t *)writer->text + start, writer->size - start};
        json_write_raw(writer, "summary", result);
    } else {
        json_write_null(writer, "summary");
    }
}

/* ---- errors ---- */

static void write_attempt_error(struct json_writer *writer, const struct process_view *view,
                                const struct process_json_attempt *attempt) {
    const struct record_attempt *image = &attempt->image;
    struct process_id item = item_id(view, attempt->item);
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "category",
                      record_category_name((enum record_category)image->category));
    process_member_text(writer, "code", image->code);
    process_member_text(writer, "message", image->message);
    process_member_id(writer, "item_id", &item);
    json_write_uint(writer, "attempt", attempt->number);
    process_member_text(writer, "action", image->action);
    if (image->has_exit_code) {
        json_write_int(writer, "exit_code", image->exit_code);
    } else {
        json_write_null(writer, "exit_code");
    }
    process_member_text(writer, "phone", image->phone_id);
    process_time_write(writer, "at", &view->clock, &image->ended);
    process_member_text(writer, "output_tail", image->output);
    json_write_end_object(writer);
}

/* Why a process or item failed when no attempt's end tells it. */
static const char *plain_message(enum record_category category) {
    switch ((int)category) {
    case RECORD_CATEGORY_NO_TARGET:
        return "there was no phone to run it on";
    case RECORD_CATEGORY_DEADLINE:
        return "the deadline passed before it ended";
    case RECORD_CATEGORY_POISON:
        return "it was handed out too often without an end";
    default:
        return "it ended without an attempt's report";
    }
}

static void write_plain_error(struct json_writer *writer, const struct process_view *view,
                              enum record_category category, const struct summary *summary) {
    json_write_begin_object(writer, "error");
    json_write_string(writer, "category", record_category_name(category));
    json_write_string(writer, "code", record_category_name(category));
    json_write_string(writer, "message", plain_message(category));
    json_write_null(writer, "item_id");
    json_write_uint(writer, "attempt", summary->failed_attempt);
    json_write_null(writer, "action");
    json_write_null(writer, "exit_code");
    json_write_null(writer, "phone");
    process_time_write(writer, "at", &view->clock,
                       summary->failed_at.boot > 0 ? &summary->failed_at : &view->process.finished);
    json_write_null(writer, "output_tail");
    json_write_end_object(writer);
}

/* Every kept failure, then the newest one again as `error`: its bytes are copied. */
static void write_errors(struct json_writer *writer, const struct process_view *view,
                         const struct summary *summary, enum process_status status) {
    struct process_json_attempt attempt = {0};
    struct record_time newest = {0};
    struct bytes error = {0};
    char message[RECORD_TEXT_MAX + 1] = "";
    uint32_t written = 0;
    json_write_begin_array(writer, "errors");
    for (uint32_t i = 0; view->source.attempt(view->source.owner, i, &attempt); i++) {
        if (attempt.image.outcome != RECORD_FAILURE) {
            continue;
        }
        size_t start = writer->size + (writer->needs_comma ? 1 : 0);
        write_attempt_error(writer, view, &attempt);
        written += 1;
        if (newest.boot == 0 || !process_time_is_before(&attempt.image.ended, &newest)) {
            newest = attempt.image.ended;
            snprintf(message, sizeof message, "%.*s", (int)attempt.image.message.size,
                     attempt.image.message.size > 0 ? (const char *)attempt.image.message.data
                                                    : "");
            error = (struct bytes){(const uint8_t *)writer->text + start, writer->size - start};
        }
    }
    json_write_end_array(writer);
    json_write_uint(writer, "errors_dropped",
                    summary->counted > written ? summary->counted - written : 0);
    bool is_late = (view->process.flags & RECORD_PAST_DEADLINE) != 0;
    enum record_category plain = summary->category;
    if (status == PROCESS_NO_TARGET) {
        plain = is_late ? RECORD_CATEGORY_DEADLINE : RECORD_CATEGORY_NO_TARGET;
    }
    bool has_failed =
        status == PROCESS_NO_TARGET || status == PROCESS_PARTIAL || status == PROCESS_DEAD_LETTER;
    if (plain != RECORD_CATEGORY_NONE) {
        snprintf(message, sizeof message, "%s", plain_message(plain));
        write_plain_error(writer, view, plain, summary);
    } else if (status == PROCESS_DONE || written == 0 || writer->is_full) {
        json_write_null(writer, "error");
    } else {
        json_write_raw(writer, "error", error);
    }
    process_member_optional(writer, "error_message",
                            has_failed && message[0] != '\0' ? message : NULL);
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
    return summary->items == 0 ? 0 : (uint32_t)(summary->percent_sum / summary->items);
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

void process_json_members(struct json_writer *writer, const struct process_view *view) {
    enum process_status status = process_derive(&view->counts, view->process.flags);
    struct summary summary = summarize(view);
    process_member_id(writer, "process_id", &view->id);
    write_status(writer, view, &summary, status);
    write_request(writer, view);
    write_timestamps(writer, view, &summary);
    json_write_begin_object(writer, "linked_ids");
    write_linked(writer, view, "queue_item_ids", false);
    write_linked(writer, view, "completed_queue_item_ids", true);
    json_write_end_object(writer);
    write_partial_progress(writer, view, &summary);
    write_items(writer, view);
    write_result(writer, view, &summary, status);
    write_errors(writer, view, &summary, status);
}
