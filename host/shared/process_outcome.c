#include "host/shared/process_outcome.h"

#include "host/shared/job_result.h"
#include "host/shared/process_member.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { END_BYTES = 1024 }; /* for what stands behind the errors, here and at the caller's */

static size_t room_left(const struct json_writer *writer) {
    return writer->is_full ? 0 : writer->capacity - writer->size;
}

/* ---- results ---- */

/* One result; without its output when that does not fit. True: nothing was left out. */
static bool write_one_result(struct json_writer *writer, const char *name,
                             struct record_attempt *attempt, size_t room) {
    struct json_writer before = *writer;
    job_result_write(writer, name, attempt);
    if (json_write_keep(writer, &before, room)) {
        return true;
    }
    attempt->output = (struct bytes){0};
    if (attempt->worker.size > 0) {
        job_result_write(writer, name, attempt);
        (void)json_write_keep(writer, &before, room);
    }
    return false;
}

/* The newest attempt of each item that found anything; one item's stands alone, those of several
 * stand under their numbers. What an older attempt had written is taken back by the next one.
 * True: nothing was left out. */
static bool write_results(struct json_writer *writer, const struct process_view *view,
                          bool is_alone, size_t room) {
    struct process_json_attempt attempt = {0};
    struct json_writer before = *writer;
    const size_t start = writer->size;
    uint32_t item = 0;
    bool is_whole = true;
    bool was_whole = true; /* without the present item */
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
        } else {
            was_whole = is_whole;
        }
        before = *writer;
        item = attempt.item;
        is_whole = write_one_result(writer, name, &attempt.image, room) && was_whole;
    }
    if (is_alone && writer->size == start) {
        json_write_raw(writer, "result", bytes_of("{}"));
    }
    return is_whole;
}

/* The result, and once more as the summary of a process that is done. */
static bool write_result(struct json_writer *writer, const struct process_view *view,
                         const struct process_outcome *outcome, enum process_status status) {
    size_t start = writer->size + (writer->needs_comma ? 1 : 0) + strlen("\"result\":");
    /* Its copy takes as much again. */
    size_t room = room_left(writer) / 8 * (status == PROCESS_DONE ? 5 : 1) + END_BYTES;
    bool is_alone = outcome->items <= 1;
    if (!is_alone) {
        json_write_begin_object(writer, "result");
    }
    bool is_whole = write_results(writer, view, is_alone, room);
    if (!is_alone) {
        json_write_end_object(writer);
    }
    if (status == PROCESS_DONE && !writer->is_full) {
        const struct bytes result = {(const uint8_t *)writer->text + start, writer->size - start};
        json_write_raw(writer, "summary", result);
    } else {
        json_write_null(writer, "summary");
    }
    return is_whole;
}

/* ---- errors ---- */

static void write_attempt_error(struct json_writer *writer, const char *name,
                                const struct process_view *view,
                                const struct process_json_attempt *attempt) {
    const struct record_attempt *image = &attempt->image;
    struct process_id item = view->id;
    item.item = attempt->item;
    json_write_begin_object(writer, name);
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

/* The same; without its output when that does not fit. False: not even so. */
static bool write_error(struct json_writer *writer, const char *name,
                        const struct process_view *view, struct process_json_attempt *attempt,
                        bool *is_whole) {
    struct json_writer before = *writer;
    write_attempt_error(writer, name, view, attempt);
    if (json_write_keep(writer, &before, END_BYTES)) {
        return true;
    }
    *is_whole = false;
    attempt->image.output = (struct bytes){0};
    write_attempt_error(writer, name, view, attempt);
    return json_write_keep(writer, &before, END_BYTES);
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
                              enum record_category category,
                              const struct process_outcome *outcome) {
    json_write_begin_object(writer, "error");
    json_write_string(writer, "category", record_category_name(category));
    json_write_string(writer, "code", record_category_name(category));
    json_write_string(writer, "message", plain_message(category));
    json_write_null(writer, "item_id");
    json_write_uint(writer, "attempt", outcome->failed_attempt);
    json_write_null(writer, "action");
    json_write_null(writer, "exit_code");
    json_write_null(writer, "phone");
    process_time_write(writer, "at", &view->clock,
                       outcome->failed_at.boot > 0 ? &outcome->failed_at : &view->process.finished);
    json_write_null(writer, "output_tail");
    json_write_end_object(writer);
}

/* The place of the failure that ended last, in the source's order, and its text. False: none. */
static bool find_newest(const struct process_view *view, uint32_t *newest,
                        char message[RECORD_TEXT_MAX + 1]) {
    struct process_json_attempt attempt = {0};
    struct record_time ended = {0};
    bool is_found = false;
    for (uint32_t i = 0; view->source.attempt(view->source.owner, i, &attempt); i++) {
        const struct record_attempt *image = &attempt.image;
        if (image->outcome == RECORD_FAILURE &&
            (!is_found || !process_time_is_before(&image->ended, &ended))) {
            ended = image->ended;
            is_found = true;
            *newest = i;
            snprintf(message, RECORD_TEXT_MAX + 1, "%.*s", (int)image->message.size,
                     image->message.size > 0 ? (const char *)image->message.data : "");
        }
    }
    return is_found;
}

static bool write_newest(struct json_writer *writer, const struct process_view *view,
                         uint32_t newest) {
    struct process_json_attempt attempt = {0};
    bool is_whole = true;
    for (uint32_t i = 0; view->source.attempt(view->source.owner, i, &attempt); i++) {
        if (i == newest && !write_error(writer, "error", view, &attempt, &is_whole)) {
            json_write_null(writer, "error");
        }
    }
    return is_whole;
}

/* Every kept failure. */
static bool write_all(struct json_writer *writer, const struct process_view *view,
                      const struct process_outcome *outcome) {
    struct process_json_attempt attempt = {0};
    uint32_t written = 0;
    bool is_whole = true;
    json_write_begin_array(writer, "errors");
    for (uint32_t i = 0; view->source.attempt(view->source.owner, i, &attempt); i++) {
        if (attempt.image.outcome == RECORD_FAILURE) {
            written += write_error(writer, NULL, view, &attempt, &is_whole) ? 1 : 0;
        }
    }
    json_write_end_array(writer);
    json_write_uint(writer, "errors_dropped",
                    outcome->counted > written ? outcome->counted - written : 0);
    return is_whole;
}

static bool write_errors(struct json_writer *writer, const struct process_view *view,
                         const struct process_outcome *outcome, enum process_status status) {
    char message[RECORD_TEXT_MAX + 1] = "";
    uint32_t newest = 0;
    bool is_whole = true;
    bool has_any = find_newest(view, &newest, message);
    bool is_late = (view->process.flags & RECORD_PAST_DEADLINE) != 0;
    enum record_category plain = outcome->category;
    if (status == PROCESS_NO_TARGET) {
        plain = is_late ? RECORD_CATEGORY_DEADLINE : RECORD_CATEGORY_NO_TARGET;
    }
    bool has_failed =
        status == PROCESS_NO_TARGET || status == PROCESS_PARTIAL || status == PROCESS_DEAD_LETTER;
    if (plain != RECORD_CATEGORY_NONE) {
        snprintf(message, sizeof message, "%s", plain_message(plain));
        write_plain_error(writer, view, plain, outcome);
    } else if (status == PROCESS_DONE || !has_any) {
        json_write_null(writer, "error");
    } else {
        is_whole = write_newest(writer, view, newest);
    }
    process_member_optional(writer, "error_message",
                            has_failed && message[0] != '\0' ? message : NULL);
    return write_all(writer, view, outcome) && is_whole;
}

bool process_outcome_write(struct json_writer *writer, const struct process_view *view,
                           const struct process_outcome *outcome, enum process_status status) {
    bool has_results = write_result(writer, view, outcome, status);
    bool has_errors = write_errors(writer, view, outcome, status);
    return !has_results || !has_errors;
}
