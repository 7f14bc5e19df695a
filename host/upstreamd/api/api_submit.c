/* Submission: what was read from a body becomes a process of the fleet. */
#include "host/shared/callback_change.h"
#include "host/shared/submission.h"
#include "host/upstreamd/api/api_internal.h"

#include <string.h>

static bool find_phone(void *owner, struct bytes id, uint64_t *number) {
    const struct api *api = owner;
    char text[DB_PHONE_SIZE] = "";
    struct db_fleet_phone phone;
    if (id.size == 0 || id.size >= sizeof text) {
        return false;
    }
    memcpy(text, id.data, id.size);
    bool is_known = db_fleet_phone_find(api->fleet->db, text, &phone) == STATUS_OK;
    *number = is_known ? phone.number : 0;
    return is_known;
}

static struct submission_place place_of(struct api *api) {
    return (struct submission_place){
        .owner = api,
        .name = "the fleet",
        .capabilities = api->registry->capabilities,
        .lists = api->registry->lists,
        .capability_count = api->registry->count,
        .targets_max = ORDER_ITEMS_MAX,
        .callbacks = api->callbacks,
        .find_phone = find_phone,
    };
}

struct orders api_orders(const struct api *api) {
    return (struct orders){
        .db = api->fleet->db,
        .upstream = &api->dispatch->upstream,
        .registry = api->registry,
        .now_ms = api->fleet->now.wall_ms,
    };
}

static const char *judge_callback(const struct api *api, const struct submission *submission,
                                  bool *is_called) {
    char url[CALLBACK_URL_BYTES];
    uint32_t host;
    *is_called = false;
    if (submission->request.callback.size == 0) {
        return NULL;
    }
    enum status status = callback_url(submission->request.callback, url, sizeof url);
    if (status == STATUS_OK) {
        status = callback_host_of(api->callbacks, http_api_text(url), &host);
    }
    *is_called = status == STATUS_OK;
    return submission_callback_status(status);
}

/* Of the newest item, as the legacy endpoints name it. */
const char *api_queue_status(struct api *api, uint64_t number) {
    struct db_item item = {0};
    const char *name = "QUEUED";
    while (db_item_next(api->fleet->db, number, item.item, &item) == STATUS_OK) {
        name = submission_queue_status((enum record_item_state)item.state);
    }
    return name;
}

struct store {
    struct orders orders;
    const struct order *order;
    struct order_accepted accepted;
};

static enum status take(void *owner) {
    struct store *store = owner;
    store->accepted = (struct order_accepted){0};
    return order_accept(&store->orders, store->order, &store->accepted);
}

static void refuse(const struct http_api_call *call, enum status status) {
    if (status == STATUS_TOO_LARGE) {
        http_api_refuse(call, 413, "too_large", "the request does not fit into one record");
    } else if (status == STATUS_MALFORMED) {
        http_api_refuse(call, 422, "invalid_member", "a text is longer than a record may hold");
    } else {
        (void)api_refuse_failure(call, status);
    }
}

static void submit(const struct submission *submission) {
    if (submission == NULL) {
        return;
    }
    const struct http_api_call *call = submission->body.call;
    struct api *api = api_of(call);
    bool is_called;
    const char *callback_status = judge_callback(api, submission, &is_called);
    const struct order order = {
        .request = &submission->request,
        .capability = submission->capability,
        .phones = submission->has_phones ? submission->phones : NULL,
        .accounts = submission->has_accounts ? submission->accounts : NULL,
        .item_count = submission->target_count,
        .has_callback = is_called,
    };
    struct store store = {.orders = api_orders(api), .order = &order};
    enum status status = api_transact(api, take, &store);
    if (status != STATUS_OK) {
        refuse(call, status);
        return;
    }
    const struct order_accepted accepted = store.accepted;
    const struct submission_outcome outcome = {
        .id = api_fleet_id(accepted.number),
        .is_duplicate = accepted.is_duplicate,
        .differs = accepted.differs,
        .process_status = process_status_names(accepted.status, NULL).status,
        .queue_status = submission->is_legacy ? api_queue_status(api, accepted.number) : "",
        .callback_status = accepted.is_duplicate ? NULL : callback_status,
    };
    struct json_writer writer = http_api_begin_json(call);
    submission_write_answer(submission, &outcome, &writer);
    http_api_end_json(call, accepted.is_duplicate ? 200 : 202, &writer);
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
