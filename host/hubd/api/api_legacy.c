/* POST /cancel: a legacy queue item is named by its id, or by account and content. */
#include "host/hubd/api/api_internal.h"
#include "host/shared/submission.h"

#include <string.h>

/* The process of a legacy item that this key names; HUB_NONE: unknown, or evicted. */
static uint32_t find_by_key(const struct hub *hub, struct bytes account, struct bytes content) {
    uint8_t digest[SHA256_BYTES];
    submission_hash_legacy_key(account, content, digest);
    return hub_process_by_key(hub, digest);
}

/* What is to be cancelled. */
struct legacy_item {
    uint32_t process; /* HUB_NONE: there is no such item */
    uint32_t item;    /* index; HUB_NONE: nothing of it is planned yet */
};

/* {"queue_item_id":…}, or {"account_id":…,"content_id":…}. */
static bool find_item(const struct api_body *body, struct legacy_item *found) {
    const struct hub *hub = api_of(body->call)->hub;
    char account[RECORD_ID_MAX + 1] = "";
    char content[RECORD_TEXT_MAX + 1] = "";
    unsigned token = 0;
    struct process_id id;
    *found = (struct legacy_item){HUB_NONE, HUB_NONE};
    if (api_body_find(body, 0, "queue_item_id", &token)) {
        char item[PROCESS_ID_SIZE] = "";
        if (!api_body_text(body, 0,
                           (struct api_text){"queue_item_id", true, NULL, item, sizeof item})) {
            return false;
        }
        found->item = ids_find_item(hub, http_api_text(item));
        if (found->item != HUB_NONE) {
            found->process = hub->items[found->item].process;
        } else if (process_id_parse_item(http_api_text(item), &id) == STATUS_OK &&
                   ids_own_number(hub, &id) != 0) {
            uint32_t process = hub_process_find(hub, ids_own_number(hub, &id));
            bool is_planned = process != HUB_NONE && hub->processes[process].last_item != HUB_NONE;
            found->process = !is_planned && id.item == 1 ? process : HUB_NONE;
        }
        return true;
    }
    if (!api_body_text(body, 0,
                       (struct api_text){"account_id", true, NULL, account, sizeof account}) ||
        !api_body_text(body, 0,
                       (struct api_text){"content_id", true, NULL, content, sizeof content})) {
        return false;
    }
    found->process = find_by_key(hub, http_api_text(account), http_api_text(content));
    found->item = found->process == HUB_NONE ? HUB_NONE : hub->processes[found->process].last_item;
    return true;
}

static void cancel_item(const struct http_api_call *call, const struct legacy_item *of) {
    struct hub *hub = api_of(call)->hub;
    enum status status = hub_cancel(hub, of->process);
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(hub));
        return;
    }
    check(status == STATUS_OK);
    struct process_id id = ids_process(hub, hub->processes[of->process].number);
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "status", "cancelled");
    process_member_id(&writer, "process_id", &id);
    id.item = of->item == HUB_NONE ? 1 : hub->items[of->item].number;
    process_member_id(&writer, "queue_item_id", &id);
    json_write_string(&writer, "queue_status",
                      of->item == HUB_NONE
                          ? api_queue_status(hub, HUB_NONE, hub->processes[of->process].status)
                          : submission_queue_status(hub->items[of->item].image.state));
    json_write_end_object(&writer);
    api_answer_at(call, hub_head_seq(hub), 200, &writer);
}

/* An item is cancelled with its process: other items of a fan-out go with it. */
void api_legacy_cancel(const struct http_api_call *call) {
    struct api_body body;
    struct legacy_item of;
    const struct hub *hub = api_of(call)->hub;
    if (!api_body_parse(&body, call, false) || !find_item(&body, &of)) {
        return;
    }
    if (of.process == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "there is no such queue item on this hub");
        return;
    }
    const struct process_counts *counts = &hub->processes[of.process].counts;
    if (hub_is_part(hub, of.process)) {
        http_api_refuse(call, 409, "owned_upstream", "the item is upstream's: ask upstream");
    } else if (hub->processes[of.process].end_seq != 0) {
        http_api_refuse(call, 409, "already_terminal", "the queue item has already ended");
    } else if (counts->by_state[RECORD_LEASED] + counts->by_state[RECORD_RUNNING] > 0) {
        http_api_refuse(call, 409, "item_in_use",
                        "an item of the process is CLAIMED or EXECUTING; cancel its process "
                        "instead");
    } else {
        cancel_item(call, &of);
    }
}
