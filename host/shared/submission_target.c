/* Where a request is to run: phones, accounts, or pairs of both (SPEC.md section 4). */
#include "host/shared/submission.h"

static bool add_phone(struct submission *submission, uint32_t index, unsigned token) {
    const struct submission_place *place = submission->place;
    char id[RECORD_ID_MAX + 1];
    submission->has_phones = true;
    return (json_get_string(&submission->body.json, token, id, sizeof id) == STATUS_OK &&
            place->find_phone(place->owner, http_api_text(id), &submission->phones[index])) ||
           api_body_refuse(&submission->body, token, 422, "unknown_phone",
                           "%s has never seen a phone of this id", place->name);
}

static bool add_account(struct submission *submission, uint32_t index, unsigned token) {
    char *text = submission->account_texts[index];
    bool is_good = json_get_string(&submission->body.json, token, text,
                                   sizeof submission->account_texts[0]) == STATUS_OK &&
                   text[0] != '\0';
    for (const char *at = text; is_good && *at != '\0'; at++) {
        is_good = (unsigned char)*at >= ' ' && *at != 0x7f;
    }
    submission->accounts[index] = http_api_text(text);
    submission->has_accounts = true;
    return is_good || api_body_refuse(&submission->body, token, 422, "invalid_member",
                                      "an account is a text of 1 to %d bytes without control "
                                      "characters",
                                      RECORD_ID_MAX);
}

/* The one account of a direct, queue or maintenance request, if it has one. */
static bool get_account(struct submission *submission, unsigned object) {
    unsigned account;
    return !api_body_find(&submission->body, object, "account_id", &account) ||
           add_account(submission, 0, account);
}

static bool get_direct(struct submission *submission, unsigned target) {
    unsigned phone;
    submission->target_count = 1;
    if (!api_body_find(&submission->body, target, "phone_id", &phone)) {
        return api_body_refuse(&submission->body, target, 422, "missing_member",
                               "direct routing needs a `phone_id`");
    }
    return add_phone(submission, 0, phone) && get_account(submission, target);
}

static bool get_list(struct submission *submission, unsigned target, const char *name,
                     bool (*add)(struct submission *submission, uint32_t index, unsigned token)) {
    const struct json *json = &submission->body.json;
    unsigned list = 0;
    if (!api_body_find(&submission->body, target, name, &list)) {
        return true;
    }
    if (json_type(json, list) != JSON_ARRAY) {
        return api_body_refuse(&submission->body, list, 422, "invalid_member",
                               "`%s` is an array of texts", name);
    }
    uint32_t count = json_size(json, list);
    uint32_t max = submission->place->targets_max;
    if (count > max || count > SUBMISSION_TARGETS) {
        return api_body_refuse(&submission->body, list, 422, "too_many_targets",
                               "at most %u at once", max);
    }
    struct json_cursor at = {0};
    for (uint32_t i = 0; json_each(json, list, &at); i++) {
        if (!add(submission, i, at.value)) {
            return false;
        }
    }
    return true;
}

/* How many entries the list of this name has; 0: it is absent, or no list. */
static uint32_t count_list(const struct submission *submission, unsigned target, const char *name) {
    const struct json *json = &submission->body.json;
    unsigned list = 0;
    bool is_list = api_body_find(&submission->body, target, name, &list) &&
                   json_type(json, list) == JSON_ARRAY;
    return is_list ? json_size(json, list) : 0;
}

/* phone_ids: one item each; account_ids: one item each on any phone; both: pairs. */
static bool get_group(struct submission *submission, unsigned target) {
    uint32_t phones = count_list(submission, target, "phone_ids");
    uint32_t accounts = count_list(submission, target, "account_ids");
    if (phones > 0 && accounts > 0 && phones != accounts) {
        return api_body_refuse(&submission->body, target, 422, "invalid_target",
                               "`phone_ids` and `account_ids` differ in length");
    }
    submission->target_count = phones > accounts ? phones : accounts;
    if (!get_list(submission, target, "phone_ids", add_phone) ||
        !get_list(submission, target, "account_ids", add_account)) {
        return false;
    }
    return submission->target_count > 0 ||
           api_body_refuse(&submission->body, target, 422, "invalid_target",
                           "group routing needs `phone_ids` or `account_ids`");
}

static bool refuse_reserved(struct submission *submission, unsigned target) {
    static const char *const names[] = {"phone_group", "account_group"};
    for (size_t i = 0; i < array_count(names); i++) {
        unsigned value;
        if (api_body_find(&submission->body, target, names[i], &value)) {
            return api_body_refuse(&submission->body, value, 422, "not_supported",
                                   "`%s` is reserved", names[i]);
        }
    }
    return true;
}

bool submission_get_target(struct submission *submission) {
    static const char *const names[RECORD_ROUTING_COUNT] = {"direct", "queue", "group"};
    unsigned target;
    unsigned routing;
    if (!api_body_raw(&submission->body, 0, "target", JSON_OBJECT, &submission->request.target)) {
        return false;
    }
    if (!api_body_find(&submission->body, 0, "target", &target)) {
        return api_body_refuse(&submission->body, 0, 422, "missing_member",
                               "`target.routing` is required");
    }
    if (!api_body_find(&submission->body, target, "routing", &routing)) {
        return api_body_refuse(&submission->body, target, 422, "missing_member",
                               "`target.routing` is required");
    }
    uint8_t mode = 0;
    while (mode < RECORD_ROUTING_COUNT &&
           !json_equals(&submission->body.json, routing, names[mode])) {
        mode += 1;
    }
    const struct capability *capability = &submission->place->capabilities[submission->capability];
    if (mode == RECORD_ROUTING_COUNT || (capability->routings >> mode & 1u) == 0) {
        return api_body_refuse(&submission->body, routing, 422, "routing_not_allowed",
                               "this capability does not take this routing");
    }
    submission->request.routing = mode;
    submission->target_count = 1;
    if (!refuse_reserved(submission, target)) {
        return false;
    }
    if (mode == RECORD_DIRECT) {
        return get_direct(submission, target);
    }
    return mode == RECORD_QUEUE ? get_account(submission, target) : get_group(submission, target);
}

/* A maintenance request names an account, or a phone in `target`; the routing follows. */
bool submission_get_maintenance_target(struct submission *submission) {
    const struct api_body *body = &submission->body;
    unsigned target = 0;
    unsigned phone = 0;
    unsigned account = 0;
    bool has_target = api_body_find(body, 0, "target", &target);
    if (has_target && json_type(&body->json, target) != JSON_OBJECT) {
        return api_body_refuse(body, target, 422, "invalid_member", "`target` is an object");
    }
    bool has_phone = has_target && api_body_find(body, target, "phone_id", &phone);
    bool has_account = api_body_find(body, 0, "account_id", &account) ||
                       (has_target && api_body_find(body, target, "account_id", &account));
    struct json_writer writer;
    json_write_init(&writer, submission->target, sizeof submission->target);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "routing", has_phone ? "direct" : "queue");
    if (has_phone) {
        json_write_raw(&writer, "phone_id", json_raw(&body->json, phone));
    }
    if (has_account) {
        json_write_raw(&writer, "account_id", json_raw(&body->json, account));
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &submission->request.target) != STATUS_OK) {
        return api_body_refuse(body, target, 422, "too_large", "the target is too large");
    }
    submission->request.routing = has_phone ? RECORD_DIRECT : RECORD_QUEUE;
    submission->target_count = 1;
    return (!has_phone || add_phone(submission, 0, phone)) &&
           (!has_account || add_account(submission, 0, account));
}
