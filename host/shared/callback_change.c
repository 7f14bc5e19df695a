#include "host/shared/callback_change.h"

#include "host/shared/json.h"
#include "host/shared/process_time.h"

#include <string.h>

const struct backoff callback_again = {.base_ms = 1000, .cap_ms = 3600000, .factor = 3};

struct callback_change callback_change_of(const struct record_header *header) {
    return (struct callback_change){
        .id = header->revision,
        .status = header->status,
        .is_cancel = header->event == RECORD_CANCEL_REQUESTED_EVENT,
        .is_first = header->event == RECORD_ACCEPTED_EVENT,
    };
}

static bool is_same_status(uint8_t a, uint8_t b) {
    if (a == PROCESS_NONE || b == PROCESS_NONE) {
        return a == b;
    }
    return strcmp(process_status_names((enum process_status)a, NULL).status,
                  process_status_names((enum process_status)b, NULL).status) == 0;
}

bool callback_is_change(const struct callback_change *change, uint8_t before) {
    return change->id != 0 && (change->is_cancel || !is_same_status(change->status, before));
}

static const char *milestone_of(const struct callback_change *change) {
    if (change->is_cancel) {
        return "cancel_requested";
    }
    return change->is_first
               ? "accepted"
               : process_status_names((enum process_status)change->status, NULL).status;
}

void callback_write_head(struct json_writer *writer, const struct callback_change *change,
                         uint64_t wall_ms) {
    json_write_string(writer, "event_type", "process.updated");
    json_write_string(writer, "milestone", milestone_of(change));
    json_write_uint(writer, "event_id", change->id);
    process_time_write_ms(writer, "emitted_at", wall_ms);
}

enum status callback_url(struct bytes callback, char *url, size_t capacity) {
    static jsmntok_t tokens[512];
    struct json json;
    struct json_error error;
    unsigned value;
    if (callback.size == 0 ||
        json_parse(&json, callback, tokens, array_count(tokens), &error) != STATUS_OK ||
        json_member(&json, 0, "url", &value) != STATUS_OK) {
        return STATUS_NOT_FOUND;
    }
    return json_get_string(&json, value, url, capacity);
}
