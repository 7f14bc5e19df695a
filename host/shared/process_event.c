#include "host/shared/process_event.h"

#include "firmware/process.h"
#include "host/shared/process_member.h"

#include <inttypes.h>
#include <stdio.h>

/* A record taken apart: the image of its kind. */
struct event {
    struct process_id id; /* with the item, when there is one */
    struct record_header header;
    struct record_request request;
    struct record_process process;
    struct record_item item;
    struct record_attempt attempt;
};

static bool is_of_process(enum record_kind kind) {
    return kind == RECORD_REQUEST || kind == RECORD_PROCESS || kind == RECORD_ITEM ||
           kind == RECORD_ATTEMPT;
}

static enum status read_header(struct cbor_reader *reader, struct record_header *header) {
    record_get_header(reader, header);
    bool is_event = !reader->failed && is_of_process(header->kind) && header->status > 0 &&
                    header->revision > 0;
    return is_event ? STATUS_OK : STATUS_MALFORMED;
}

enum status process_event_read(struct bytes record, struct record_header *header) {
    struct cbor_reader reader;
    cbor_reader_init(&reader, record);
    return read_header(&reader, header);
}

static enum status read_event(struct bytes record, struct event *event) {
    struct cbor_reader reader;
    cbor_reader_init(&reader, record);
    if (read_header(&reader, &event->header) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    switch ((int)event->header.kind) {
    case RECORD_REQUEST:
        record_get_request(&reader, &event->request);
        break;
    case RECORD_PROCESS:
        record_get_process(&reader, &event->process);
        break;
    case RECORD_ITEM:
        record_get_item(&reader, &event->item);
        break;
    default:
        record_get_attempt(&reader, &event->attempt);
        break;
    }
    if (event->header.path_count > 1 && event->id.item == 0) { /* a part's id names its item */
        event->id.item = (uint32_t)event->header.path[1];
    }
    return cbor_reader_done(&reader) ? STATUS_OK : STATUS_MALFORMED;
}

/* ---- payloads: what the record says beyond the event itself ---- */

static void write_request(struct json_writer *writer, const struct record_request *image) {
    static const char *const routings[] = {"direct", "queue", "group"};
    _Static_assert(array_count(routings) == RECORD_ROUTING_COUNT, "every routing has a name");
    json_write_bytes(writer, "process_type", image->process_type);
    process_member_text(writer, "request_id", image->request_id);
    json_write_string(writer, "routing", routings[image->routing]);
    json_write_uint(writer, "priority", image->priority);
}

static void write_process(struct json_writer *writer, const struct record_process *image) {
    json_write_uint(writer, "generation", image->generation);
    json_write_uint(writer, "items", image->item_count);
    json_write_bool(writer, "planned", (image->flags & RECORD_PLANNED) != 0);
    json_write_bool(writer, "cancel_requested", (image->flags & RECORD_CANCEL_REQUESTED) != 0);
    json_write_bool(writer, "held", (image->flags & RECORD_HOLD) != 0);
}

static void write_item(struct json_writer *writer, const struct event *event) {
    const struct record_item *image = &event->item;
    enum record_item_state state = (enum record_item_state)image->state;
    enum record_category category = (enum record_category)image->category;
    process_member_id(writer, "item_id", &event->id);
    json_write_string(writer, "state", record_item_state_name(state));
    json_write_string(writer, "job_status", process_item_job_status(state));
    json_write_uint(writer, "attempt", image->attempt);
    json_write_uint(writer, "attempts_counted", image->attempts_counted);
    process_member_big(writer, "lease_token", image->token);
    json_write_uint(writer, "wait_ms", image->wait_ms);
    process_member_optional(writer, "category",
                            category == RECORD_CATEGORY_NONE ? NULL
                                                             : record_category_name(category));
}

static void write_attempt(struct json_writer *writer, const struct event *event) {
    static const char *const outcomes[] = {"success", "failure", "stopped", "interrupted",
                                           "unfinished"};
    _Static_assert(array_count(outcomes) == RECORD_OUTCOME_COUNT, "every outcome has a name");
    const struct record_attempt *image = &event->attempt;
    enum record_category category = (enum record_category)image->category;
    process_member_id(writer, "item_id", &event->id);
    json_write_uint(writer, "attempt", event->header.path[2]);
    json_write_string(writer, "outcome", outcomes[image->outcome]);
    json_write_uint(writer, "actions_done", image->actions_done);
    process_member_text(writer, "phone", image->phone_id);
    process_member_optional(writer, "category",
                            category == RECORD_CATEGORY_NONE ? NULL
                                                             : record_category_name(category));
    process_member_text(writer, "code", image->code);
    if (image->has_exit_code) {
        json_write_int(writer, "exit_code", image->exit_code);
    } else {
        json_write_null(writer, "exit_code");
    }
    process_member_text(writer, "output_tail", image->output);
    process_member_json(writer, "result", image->result, "null");
}

static void write_payload(struct json_writer *writer, const struct event *event) {
    json_write_begin_object(writer, "payload");
    switch ((int)event->header.kind) {
    case RECORD_REQUEST:
        write_request(writer, &event->request);
        break;
    case RECORD_PROCESS:
        write_process(writer, &event->process);
        break;
    case RECORD_ITEM:
        write_item(writer, event);
        break;
    default:
        write_attempt(writer, event);
        break;
    }
    json_write_end_object(writer);
}

/* ---- the event ---- */

/* What happened, for a person. */
static void write_message(struct json_writer *writer, const struct event *event) {
    char text[RECORD_ID_MAX + 16];
    const char *name = record_event_name(event->header.event);
    if (event->attempt.message.size > 0) {
        json_write_bytes(writer, "message", event->attempt.message);
    } else if (event->header.event == RECORD_STEP_EVENT) {
        snprintf(text, sizeof text, "%.*s: done", (int)event->attempt.action.size,
                 (const char *)event->attempt.action.data);
        json_write_string(writer, "message", text);
    } else if (event->header.path_count > 1) {
        snprintf(text, sizeof text, "item %" PRIu32 ": %s", event->id.item, name);
        json_write_string(writer, "message", text);
    } else {
        json_write_string(writer, "message", name);
    }
}

enum status process_event_write(struct json_writer *writer, const char *name,
                                const struct process_id *id, struct bytes record,
                                const struct process_clock *clock) {
    struct event event = {.id = *id};
    if (read_event(record, &event) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    enum process_status status = (enum process_status)event.header.status;
    json_write_begin_object(writer, name);
    json_write_uint(writer, "id", event.header.revision);
    process_member_id(writer, "process_id", id);
    json_write_string(writer, "type", record_event_name(event.header.event));
    json_write_string(writer, "status", process_status_names(status, NULL).status);
    if (status == PROCESS_DONE) {
        json_write_uint(writer, "progress_percent", 100);
    } else if (event.header.kind == RECORD_ATTEMPT) {
        json_write_uint(writer, "progress_percent", event.attempt.progress_percent);
    } else {
        json_write_null(writer, "progress_percent");
    }
    process_member_text(writer, "step", event.attempt.action);
    write_message(writer, &event);
    write_payload(writer, &event);
    process_time_write(writer, "created_at", clock, &event.header.time);
    json_write_end_object(writer);
    return STATUS_OK;
}
