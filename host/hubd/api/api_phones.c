/* The rack: phones and the places they are plugged in; what an operator does to them. */
#include "host/hubd/api/api_internal.h"
#include "host/shared/api_body.h"
#include "host/hubd/phones/phone_key.h"
#include "host/hubd/phones/recovery.h"
#include "host/shared/phone_row.h"
#include "host/shared/process_time.h"

#include <stdio.h>
#include <string.h>

enum { PAGE_END_BYTES = 512 }; /* for what stands behind a list */

/* ---- reading ---- */

/* What its lease does. */
static void write_lease(struct api *api, struct json_writer *writer, uint32_t phone) {
    const struct hub *hub = api->hub;
    const struct hub_phone *of = &hub->phones[phone];
    if (of->item == HUB_NONE) {
        json_write_null(writer, "item_id");
        json_write_null(writer, "process_id");
        return;
    }
    const struct hub_item *item = &hub->items[of->item];
    const struct hub_process *process = &hub->processes[item->process];
    struct process_id id = ids_process(hub, process->number);
    process_member_id(writer, "process_id", &id);
    id.item = ids_item_number(hub, of->item);
    process_member_id(writer, "item_id", &id);
    json_write_uint(writer, "progress_percent", item->progress_percent);
    const char *type =
        process->capability == HUB_NONE ? "" : hub->capabilities[process->capability].name;
    process_member_text(writer, "process_type", http_api_text(type));
    process_member_text(writer, "current_step",
                        http_api_text(executor_step_name(api->executor, phone)));
    process_member_text(writer, "worker", http_api_text(of->lease.worker));
}

static void write_vitals(const struct api *api, struct json_writer *writer, uint32_t phone) {
    const struct vitals_value *value = &api->phones->vitals.values[phone];
    const struct hub_clock *clock = &api->hub->clock;
    bool is_read = value->read_ms != 0;
    if (is_read && value->level <= 100) {
        json_write_uint(writer, "battery_percent", value->level);
    } else {
        json_write_null(writer, "battery_percent");
    }
    if (is_read && value->tenths != BATTERY_READING_NO_TENTHS) {
        char text[16];
        int tenths = value->tenths < 0 ? -value->tenths : value->tenths;
        snprintf(text, sizeof text, "%s%d.%d", value->tenths < 0 ? "-" : "", tenths / 10,
                 tenths % 10);
        json_write_raw(writer, "temperature_c", http_api_text(text));
    } else {
        json_write_null(writer, "temperature_c");
    }
    bool is_dated = is_read && clock->wall_ms != 0 && clock->mono_ms >= value->read_ms;
    /* To the second: the two clocks are not read at the same instant. */
    process_time_write_ms(
        writer, "vitals_at",
        is_dated ? (clock->wall_ms - (clock->mono_ms - value->read_ms)) / 1000 * 1000 : 0);
}

static void write_last_error(const struct api *api, struct json_writer *writer, uint32_t phone) {
    const struct api_phone_error *error = &api->watch.errors[phone];
    if (error->seq == 0) {
        json_write_null(writer, "last_error");
        return;
    }
    const struct process_id id = ids_process(api->hub, error->process);
    json_write_begin_object(writer, "last_error");
    json_write_string(writer, "category",
                      record_category_name((enum record_category)error->category));
    process_member_text(writer, "code", http_api_text(error->code));
    process_member_text(writer, "message", http_api_text(error->message));
    process_member_id(writer, "process_id", &id);
    process_time_write_ms(writer, "at", error->at_ms);
    json_write_end_object(writer);
}

void api_write_phone(struct api *api, struct json_writer *writer, uint32_t phone) {
    const struct hub *hub = api->hub;
    const struct hub_phone *of = &hub->phones[phone];
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "phone_id", of->id);
    json_write_string(writer, "hub_id", hub->hub_id);
    json_write_string(writer, "state", record_phone_state_name(of->state));
    process_member_text(writer, "reason", http_api_text(of->reason));
    json_write_string(writer, "slot", of->slot);
    process_member_text(writer, "model", http_api_text(of->model));
    phone_row_labels(writer, "labels", http_api_text(of->labels));
    phone_row_labels(writer, "slot_labels", http_api_text(of->slot_labels));
    process_time_write_ms(writer, "key_unused_since", phone_key_unused_since_ms(hub, phone));
    write_lease(api, writer, phone);
    write_vitals(api, writer, phone);
    write_last_error(api, writer, phone);
    json_write_end_object(writer);
}

/* Phones by their id: the order in which they were first seen says nothing to a reader. */
static uint32_t sort_phones(const struct hub *hub, uint32_t order[API_PHONES]) {
    uint32_t count = 0;
    check(hub->phone_count <= API_PHONES);
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        if (hub->phones[p].number == 0) {
            continue;
        }
        uint32_t at = count;
        for (; at > 0 && strcmp(hub->phones[order[at - 1]].id, hub->phones[p].id) > 0; at--) {
            order[at] = order[at - 1];
        }
        order[at] = p;
        count += 1;
    }
    return count;
}

void api_get_phones(const struct http_api_call *call) {
    const struct hub *hub = api_of(call)->hub;
    uint32_t order[API_PHONES];
    api_find_errors(api_of(call));
    uint32_t count = sort_phones(hub, order);
    uint64_t limit = API_PHONES;
    char cursor[RECORD_ID_MAX + 1];
    uint32_t first = 0;
    if (!http_api_query_number(call, "limit", API_PHONES, &limit) ||
        !http_api_query_text(call, "cursor", cursor, sizeof cursor)) {
        return;
    }
    limit = limit == 0 ? 1 : limit;
    while (first < count && strcmp(hub->phones[order[first]].id, cursor) <= 0) {
        first += 1;
    }
    uint32_t end = first;
    const char *last = cursor; /* id on this page */
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "phones");
    for (bool has_room = true; has_room && end < count && end - first < limit;) {
        struct json_writer before = writer;
        api_write_phone(api_of(call), &writer, order[end]);
        has_room = json_write_keep(&writer, &before, PAGE_END_BYTES);
        last = has_room ? hub->phones[order[end]].id : last;
        end += has_room ? 1 : 0;
    }
    json_write_end_array(&writer);
    process_member_text(&writer, "next_cursor", http_api_text(end < count ? last : ""));
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

void api_get_phone(const struct http_api_call *call) {
    uint32_t phone = hub_phone_find(api_of(call)->hub, call->id);
    if (phone == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "this hub has never seen a phone of this id");
        return;
    }
    api_find_errors(api_of(call));
    struct json_writer writer = http_api_begin_json(call);
    api_write_phone(api_of(call), &writer, phone);
    http_api_end_json(call, 200, &writer);
}

void api_get_slots(const struct http_api_call *call) {
    const struct phones *phones = api_of(call)->phones;
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "slots");
    for (uint32_t i = 0; i < phones->line_count; i++) {
        const struct phone_line *line = &phones->lines[i];
        const char *reason = line->link.reason == NULL ? "" : line->link.reason;
        json_write_begin_object(&writer, NULL);
        json_write_string(&writer, "slot", line->slot);
        phone_row_labels(&writer, "labels", http_api_text(phones_slot_labels(phones, line->slot)));
        json_write_string(&writer, "connection", phone_link_state_name(line->link.state));
        process_member_text(&writer, "reason", http_api_text(reason));
        process_member_text(
            &writer, "phone_id",
            http_api_text(line->is_identified ? phones->hub->phones[line->phone].id : ""));
        json_write_end_object(&writer);
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

/* ---- what an operator does ---- */

static uint32_t phone_of(const struct http_api_call *call) {
    uint32_t phone = hub_phone_find(api_of(call)->hub, call->id);
    if (phone == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "this hub has never seen a phone of this id");
    }
    return phone;
}

static void answer_phone(const struct http_api_call *call, uint32_t phone) {
    struct json_writer writer = http_api_begin_json(call);
    api_write_phone(api_of(call), &writer, phone);
    api_answer_at(call, hub_head_seq(api_of(call)->hub), 200, &writer);
}

void api_phone_quarantine(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct api_body body;
    char reason[HUB_REASON_MAX + 1] = "";
    uint32_t phone = phone_of(call);
    if (phone == HUB_NONE || !api_body_parse(&body, call, true) ||
        !api_body_text(&body, 0, (struct api_text){"reason", false, NULL, reason, sizeof reason})) {
        return;
    }
    if (reason[0] == '\0') {
        snprintf(reason, sizeof reason, "by %s", call->token->name);
    }
    enum status status = hub_phone_event(api->hub, phone, PHONE_ON_QUARANTINE, reason);
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(api->hub));
    } else if (status != STATUS_OK) {
        http_api_refuse(call, 409, "already_quarantined", "the phone is quarantined already");
    } else {
        answer_phone(call, phone);
    }
}

void api_phone_release(const struct http_api_call *call) {
    struct api *api = api_of(call);
    uint32_t phone = phone_of(call);
    if (phone == HUB_NONE) {
        return;
    }
    bool is_attached = phones_line_of(api->phones, phone) != NULL;
    enum status status = hub_phone_event(
        api->hub, phone, is_attached ? PHONE_ON_RELEASE_ATTACHED : PHONE_ON_RELEASE_GONE, NULL);
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(api->hub));
    } else if (status != STATUS_OK) {
        http_api_refuse(call, 409, "not_quarantined", "the phone is not quarantined");
    } else {
        answer_phone(call, phone);
    }
}

/* Off and on again; the answer does not wait for it. */
void api_phone_power(const struct http_api_call *call) {
    struct api *api = api_of(call);
    uint32_t phone = phone_of(call);
    if (phone == HUB_NONE) {
        return;
    }
    enum status status = recovery_cycle(api->phones, phone);
    if (status == STATUS_OK) {
        struct json_writer writer = http_api_begin_json(call);
        api_write_phone(api, &writer, phone);
        http_api_end_json(call, 202, &writer);
    } else if (status == STATUS_NOT_FOUND) {
        http_api_refuse(call, 409, "no_port_power",
                        "this phone's slot has no port whose power this hub can switch");
    } else if (status == STATUS_ILLEGAL) {
        http_api_refuse(call, 409, "phone_in_use", "a lease is on the phone");
    } else if (status == STATUS_DENIED) {
        http_api_refuse(call, 409, "power_denied",
                        "the port feeds another hub, its hub or controller cannot be used now, or "
                        "is not trusted any more");
    } else {
        http_api_refuse(call, 503, "power_busy", "that hub's ports are being switched");
    }
}

/* {"labels":["fast","rack-2"]}; an empty array takes all of them away. */
static bool read_labels(const struct api_body *body, char labels[HUB_LABELS_BYTES]) {
    unsigned list;
    struct json_cursor at = {0};
    size_t used = 0;
    labels[0] = '\0';
    if (!api_body_find(body, 0, "labels", &list) || json_type(&body->json, list) != JSON_ARRAY) {
        return api_body_refuse(body, 0, 422, "missing_member", "`labels` is an array of texts");
    }
    while (json_each(&body->json, list, &at)) {
        char word[HUB_LABELS_BYTES];
        if (json_get_string(&body->json, at.value, word, sizeof word) != STATUS_OK ||
            strchr(word, ' ') != NULL || used + strlen(word) + 2 > HUB_LABELS_BYTES) {
            return api_body_refuse(body, at.value, 422, "invalid_member",
                                   "labels have less than %d bytes together", HUB_LABELS_BYTES);
        }
        used += (size_t)snprintf(labels + used, HUB_LABELS_BYTES - used, "%s%s",
                                 used > 0 ? " " : "", word);
    }
    return true;
}

void api_phone_label(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct api_body body;
    char labels[HUB_LABELS_BYTES];
    uint32_t phone = phone_of(call);
    if (phone == HUB_NONE || !api_body_parse(&body, call, false) || !read_labels(&body, labels)) {
        return;
    }
    enum status status = hub_phone_label(api->hub, phone, http_api_text(labels));
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(api->hub));
    } else if (status != STATUS_OK) {
        http_api_refuse_at(call, 422, "invalid_member", "a label is letters, digits and _ . : -",
                           "/labels");
    } else {
        answer_phone(call, phone);
    }
}
