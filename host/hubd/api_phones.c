/* The rack: phones and the places they are plugged in; what an operator does to them. */
#include "host/hubd/api_body.h"
#include "host/hubd/recovery.h"

#include <stdio.h>
#include <string.h>

enum { PHONES_LISTED = 256 }; /* of the largest board */

/* ---- reading ---- */

/* Words with one space between them, as an array. */
static void write_labels(struct json_writer *writer, const char *name, const char *labels) {
    json_write_begin_array(writer, name);
    while (*labels != '\0') {
        size_t size = strcspn(labels, " ");
        json_write_bytes(writer, NULL, (struct bytes){(const uint8_t *)labels, size});
        labels += size + (labels[size] == ' ' ? 1 : 0);
    }
    json_write_end_array(writer);
}

static void write_phone(struct api *api, struct json_writer *writer, uint32_t phone) {
    const struct hub *hub = api->hub;
    const struct hub_phone *of = &hub->phones[phone];
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "phone_id", of->id);
    json_write_string(writer, "hub_id", hub->hub_id);
    json_write_string(writer, "state", record_phone_state_name(of->state));
    process_member_text(writer, "reason", http_api_text(of->reason));
    json_write_string(writer, "slot", of->slot);
    process_member_text(writer, "model", http_api_text(of->model));
    write_labels(writer, "labels", of->labels);
    write_labels(writer, "slot_labels", of->slot_labels);
    if (of->item == HUB_NONE) {
        json_write_null(writer, "item_id");
        json_write_null(writer, "process_id");
    } else {
        const struct hub_item *item = &hub->items[of->item];
        struct process_id id = api_process_id(hub, hub->processes[item->process].number);
        process_member_id(writer, "process_id", &id);
        id.item = item->number;
        process_member_id(writer, "item_id", &id);
        json_write_uint(writer, "progress_percent", item->progress_percent);
    }
    json_write_end_object(writer);
}

/* Phones by their id: the order in which they were first seen says nothing to a reader. */
static uint32_t sort_phones(const struct hub *hub, uint32_t order[PHONES_LISTED]) {
    uint32_t count = 0;
    check(hub->phone_count <= PHONES_LISTED);
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
    uint32_t order[PHONES_LISTED];
    uint32_t count = sort_phones(api_of(call)->hub, order);
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "phones");
    for (uint32_t i = 0; i < count; i++) {
        write_phone(api_of(call), &writer, order[i]);
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

void api_get_phone(const struct http_api_call *call) {
    uint32_t phone = hub_phone_find(api_of(call)->hub, call->id);
    if (phone == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "this hub has never seen a phone of this id");
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    write_phone(api_of(call), &writer, phone);
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
    write_phone(api_of(call), &writer, phone);
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
        write_phone(api, &writer, phone);
        http_api_end_json(call, 202, &writer);
    } else if (status == STATUS_NOT_FOUND) {
        http_api_refuse(call, 409, "no_port_power",
                        "this phone's slot has no port whose power this hub can switch");
    } else if (status == STATUS_ILLEGAL) {
        http_api_refuse(call, 409, "phone_in_use", "a lease is on the phone");
    } else if (status == STATUS_DENIED) {
        http_api_refuse(call, 409, "power_denied",
                        "the port feeds another hub, or hubd may not open the hub");
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
