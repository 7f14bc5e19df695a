/* Submission: a JSON body becomes an order for the core, or a refusal that says why. */
#include "host/hubd/api_internal.h"

#include "host/shared/rfc3339.h"
#include "protocol/sha256.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TARGETS_MAX = 128 };

/* What a submission is made of while it is read. */
struct submission {
    const struct http_api_call *call;
    struct json json;
    struct record_request request;
    uint32_t capability;
    uint64_t phones[TARGETS_MAX];
    uint32_t target_count;
    bool has_phones;
    char process_type[RECORD_ID_MAX + 1];
    char request_id[RECORD_TEXT_MAX + 1];
    char system[RECORD_TEXT_MAX + 1];
    char user[RECORD_TEXT_MAX + 1];
    char target[512];
    char extra[2048];
    uint8_t key[SHA256_BYTES];
    uint8_t body_digest[SHA256_BYTES];
};

/* Refuses and returns false, so that it reads `return refuse(...)`. */
__attribute__((format(printf, 5, 6))) static bool refuse(const struct submission *submission,
                                                         unsigned token, unsigned status,
                                                         const char *code, const char *format,
                                                         ...) {
    char message[256];
    char pointer[JSON_POINTER_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    json_pointer(&submission->json, token, pointer, sizeof pointer);
    http_api_refuse_at(submission->call, status, code, message, pointer);
    return false;
}

static bool parse_body(struct submission *submission) {
    const struct http_api_call *call = submission->call;
    struct json_error error;
    enum status status = json_parse(&submission->json, call->request->body,
                                    api_of(call)->json_tokens, API_TOKENS, &error);
    if (status != STATUS_OK) {
        char message[160];
        snprintf(message, sizeof message, "%s, at byte %zu", error.reason, error.offset);
        http_api_refuse_at(call, status == STATUS_TOO_LARGE ? 413 : 400,
                           status == STATUS_TOO_LARGE ? "body_too_complex" : "malformed_json",
                           message, error.pointer);
        return false;
    }
    if (json_type(&submission->json, 0) != JSON_OBJECT) {
        return refuse(submission, 0, 422, "invalid_body", "expected a JSON object");
    }
    return true;
}

/* ---- members ---- */

static bool find(const struct submission *submission, unsigned object, const char *name,
                 unsigned *value) {
    return json_member(&submission->json, object, name, value) == STATUS_OK &&
           !json_is_null(&submission->json, *value);
}

/* Where a text member goes: a copy in `buffer`, and a view of it. */
struct text_member {
    const char *name;
    bool is_required;
    struct bytes *target;
    char *buffer;
    size_t capacity;
};

/* Absent or null leaves the view empty, unless the member is required. */
static bool get_text(struct submission *submission, unsigned object, struct text_member member) {
    unsigned value;
    *member.target = (struct bytes){0};
    if (!find(submission, object, member.name, &value)) {
        return !member.is_required ||
               refuse(submission, object, 422, "missing_member", "`%s` is required", member.name);
    }
    if (json_get_string(&submission->json, value, member.buffer, member.capacity) != STATUS_OK ||
        member.buffer[0] == '\0') {
        return refuse(submission, value, 422, "invalid_member", "`%s` is a text of 1 to %zu bytes",
                      member.name, member.capacity - 1);
    }
    *member.target = http_api_text(member.buffer);
    return true;
}

/* A member kept as the caller wrote it. */
static bool get_raw(struct submission *submission, unsigned object, const char *name,
                    enum json_type type, struct bytes *target) {
    unsigned value;
    *target = (struct bytes){0};
    if (!find(submission, object, name, &value)) {
        return true;
    }
    if (json_type(&submission->json, value) != type) {
        return refuse(submission, value, 422, "invalid_member", "`%s` is %s", name,
                      type == JSON_OBJECT ? "an object" : "an array");
    }
    *target = json_raw(&submission->json, value);
    uint32_t max = api_of(submission->call)->hub->board->payload_bytes / 2;
    return target->size <= max ||
           refuse(submission, value, 422, "too_large", "`%s` has more than %u bytes", name, max);
}

static bool get_time(struct submission *submission, const char *name, uint64_t *wall_ms) {
    unsigned value;
    char text[40];
    if (!find(submission, 0, name, &value)) {
        return true;
    }
    if (json_get_string(&submission->json, value, text, sizeof text) != STATUS_OK ||
        rfc3339_parse(text, wall_ms) != STATUS_OK) {
        return refuse(submission, value, 422, "invalid_member",
                      "`%s` is a time such as 2026-11-22T10:20:30Z", name);
    }
    return true;
}

static bool get_requested_by(struct submission *submission) {
    unsigned by;
    if (!find(submission, 0, "requested_by", &by) ||
        json_type(&submission->json, by) != JSON_OBJECT) {
        return refuse(submission, 0, 422, "missing_member", "`requested_by` is required");
    }
    struct record_request *request = &submission->request;
    if (!get_text(submission, by,
                  (struct text_member){"system", true, &request->system, submission->system,
                                       sizeof submission->system}) ||
        !get_text(submission, by,
                  (struct text_member){"user", false, &request->user, submission->user,
                                       sizeof submission->user}) ||
        !get_raw(submission, by, "metadata", JSON_OBJECT, &request->metadata)) {
        return false;
    }
    const char *bound = submission->call->token->system;
    if (bound[0] != '\0' && strcmp(bound, submission->system) != 0) {
        http_api_refuse_at(submission->call, 403, "forbidden",
                           "the token is bound to another requested_by.system",
                           "/requested_by/system");
        return false;
    }
    return true;
}

static bool get_callback(struct submission *submission) {
    unsigned callback;
    unsigned url;
    if (!get_raw(submission, 0, "callback", JSON_OBJECT, &submission->request.callback)) {
        return false;
    }
    if (!find(submission, 0, "callback", &callback)) {
        return true;
    }
    struct bytes raw = {0};
    if (find(submission, callback, "url", &url)) {
        raw = json_raw(&submission->json, url);
    }
    bool is_http = (raw.size > 8 && memcmp(raw.data, "\"http://", 8) == 0) ||
                   (raw.size > 9 && memcmp(raw.data, "\"https://", 9) == 0);
    return is_http ||
           refuse(submission, callback, 422, "invalid_callback", "`url` is an http or https URL");
}

static bool get_priority(struct submission *submission) {
    unsigned value;
    uint64_t priority =
        api_of(submission->call)->hub->capabilities[submission->capability].priority;
    if (find(submission, 0, "priority", &value) &&
        json_get_uint(&submission->json, value, 9, &priority) != STATUS_OK) {
        return refuse(submission, value, 422, "invalid_member", "`priority` is 0 to 9");
    }
    submission->request.priority = (uint8_t)priority;
    return true;
}

/* Members that are only given back: {"related":…,"workspace_id":…,"queue":…}. */
static bool get_extra(struct submission *submission) {
    static const char *const names[] = {"related", "workspace_id", "queue"};
    struct json_writer writer;
    bool has_any = false;
    json_write_init(&writer, submission->extra, sizeof submission->extra);
    json_write_begin_object(&writer, NULL);
    for (size_t i = 0; i < array_count(names); i++) {
        unsigned value;
        if (find(submission, 0, names[i], &value)) {
            json_write_raw(&writer, names[i], json_raw(&submission->json, value));
            has_any = true;
        }
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &submission->request.extra) != STATUS_OK) {
        return refuse(submission, 0, 422, "too_large",
                      "`related`, `workspace_id` and `queue` have more than 2000 bytes");
    }
    submission->request.extra.size = has_any ? submission->request.extra.size : 0;
    return true;
}

/* What this version of the hub would not honour is refused, never ignored. */
static bool refuse_unsupported(struct submission *submission) {
    static const char *const names[] = {"labels", "concurrency_key"};
    for (size_t i = 0; i < array_count(names); i++) {
        unsigned value;
        if (find(submission, 0, names[i], &value)) {
            return refuse(submission, value, 422, "not_supported",
                          "`%s` is not supported by this version", names[i]);
        }
    }
    return true;
}

/* ---- capability and mode ---- */

static bool find_capability(struct submission *submission, unsigned token) {
    submission->capability =
        hub_capability_find(api_of(submission->call)->hub, http_api_text(submission->process_type));
    submission->request.process_type = http_api_text(submission->process_type);
    if (submission->capability == HUB_NONE ||
        api_of(submission->call)->hub->capabilities[submission->capability].is_retired) {
        return refuse(submission, token, 422, "unknown_process_type",
                      "there is no capability `%.60s` on this hub", submission->process_type);
    }
    return true;
}

static bool get_mode(struct submission *submission, bool is_required) {
    unsigned value;
    const struct capability *capability =
        &api_of(submission->call)->hub->capabilities[submission->capability];
    submission->request.mode = RECORD_MANUAL;
    if (!find(submission, 0, "mode", &value)) {
        return !is_required || refuse(submission, 0, 422, "missing_member", "`mode` is required");
    }
    if (json_equals(&submission->json, value, "manual")) {
        return true;
    }
    submission->request.mode = RECORD_UNATTENDED;
    if (!json_equals(&submission->json, value, "unattended")) {
        return refuse(submission, value, 422, "invalid_member", "`mode` is manual or unattended");
    }
    if (!capability->is_permitted || !capability->is_live_verified) {
        char code[RECORD_ID_MAX + 40];
        snprintf(code, sizeof code, "capability_not_live_verified:%s", capability->name);
        return refuse(submission, value, 422, code, "%s",
                      "this capability does not run unattended");
    }
    return true;
}

/* ---- targets ---- */

static bool add_phone(struct submission *submission, unsigned token) {
    const struct hub *hub = api_of(submission->call)->hub;
    char id[RECORD_ID_MAX + 1];
    uint32_t phone = HUB_NONE;
    if (json_get_string(&submission->json, token, id, sizeof id) == STATUS_OK) {
        phone = hub_phone_find(hub, http_api_text(id));
    }
    if (phone == HUB_NONE) {
        return refuse(submission, token, 422, "unknown_phone",
                      "this hub has never seen a phone of this id");
    }
    submission->phones[submission->target_count] = hub->phones[phone].number;
    submission->target_count += 1;
    submission->has_phones = true;
    return true;
}

static bool get_direct(struct submission *submission, unsigned target) {
    unsigned phone;
    if (!find(submission, target, "phone_id", &phone)) {
        return refuse(submission, target, 422, "missing_member",
                      "direct routing needs a `phone_id`");
    }
    return add_phone(submission, phone);
}

/* phone_ids: one item each; account_ids: one item each on any phone; both: pairs. */
static bool get_group(struct submission *submission, unsigned target) {
    const struct json *json = &submission->json;
    unsigned phones = 0;
    unsigned accounts = 0;
    bool has_phones = find(submission, target, "phone_ids", &phones);
    bool has_accounts = find(submission, target, "account_ids", &accounts);
    unsigned phone_count = has_phones ? json_size(json, phones) : 0;
    unsigned account_count = has_accounts ? json_size(json, accounts) : 0;
    unsigned count = phone_count > account_count ? phone_count : account_count;
    if ((has_phones && json_type(json, phones) != JSON_ARRAY) ||
        (has_accounts && json_type(json, accounts) != JSON_ARRAY) || count == 0) {
        return refuse(submission, target, 422, "invalid_target",
                      "group routing needs `phone_ids` or `account_ids`");
    }
    if (phone_count > 0 && account_count > 0 && phone_count != account_count) {
        return refuse(submission, target, 422, "invalid_target",
                      "`phone_ids` and `account_ids` differ in length");
    }
    uint32_t max = api_of(submission->call)->hub->board->items_per_request;
    if (count > max || count > TARGETS_MAX) {
        return refuse(submission, target, 422, "too_many_targets", "at most %u at once", max);
    }
    struct json_cursor at = {0};
    while (phone_count > 0 && json_each(json, phones, &at)) {
        if (!add_phone(submission, at.value)) {
            return false;
        }
    }
    submission->target_count = count;
    return true;
}

static bool get_target(struct submission *submission) {
    static const char *const names[RECORD_ROUTING_COUNT] = {"direct", "queue", "group"};
    unsigned target;
    unsigned routing;
    if (!get_raw(submission, 0, "target", JSON_OBJECT, &submission->request.target)) {
        return false;
    }
    if (!find(submission, 0, "target", &target) || !find(submission, target, "routing", &routing)) {
        return refuse(submission, 0, 422, "missing_member", "`target.routing` is required");
    }
    uint8_t mode = 0;
    while (mode < RECORD_ROUTING_COUNT && !json_equals(&submission->json, routing, names[mode])) {
        mode += 1;
    }
    const struct capability *capability =
        &api_of(submission->call)->hub->capabilities[submission->capability];
    if (mode == RECORD_ROUTING_COUNT || (capability->routings >> mode & 1u) == 0) {
        return refuse(submission, routing, 422, "routing_not_allowed",
                      "this capability does not take this routing");
    }
    submission->request.routing = mode;
    submission->target_count = mode == RECORD_QUEUE ? 1 : 0;
    if (mode == RECORD_DIRECT) {
        return get_direct(submission, target);
    }
    return mode == RECORD_QUEUE || get_group(submission, target);
}

/* A maintenance request names an account, or a phone in `target`; the routing follows. */
static bool get_maintenance_target(struct submission *submission) {
    unsigned target = 0;
    unsigned phone = 0;
    unsigned account = 0;
    bool has_target = find(submission, 0, "target", &target);
    bool has_phone = has_target && find(submission, target, "phone_id", &phone);
    bool has_account = find(submission, 0, "account_id", &account) ||
                       (has_target && find(submission, target, "account_id", &account));
    struct json_writer writer;
    json_write_init(&writer, submission->target, sizeof submission->target);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "routing", has_phone ? "direct" : "queue");
    if (has_phone) {
        json_write_raw(&writer, "phone_id", json_raw(&submission->json, phone));
    }
    if (has_account) {
        json_write_raw(&writer, "account_id", json_raw(&submission->json, account));
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &submission->request.target) != STATUS_OK) {
        return refuse(submission, target, 422, "too_large", "the target is too large");
    }
    submission->request.routing = has_phone ? RECORD_DIRECT : RECORD_QUEUE;
    submission->target_count = has_phone ? 0 : 1;
    return !has_phone || add_phone(submission, phone);
}

/* ---- inputs and idempotency ---- */

static bool get_inputs(struct submission *submission) {
    struct api *api = api_of(submission->call);
    uint32_t selected;
    char wrong[ACTION_TEXT_BYTES];
    if (!get_raw(submission, 0, "inputs", JSON_OBJECT, &submission->request.inputs)) {
        return false;
    }
    if (action_select(&api->executor->lists[submission->capability], submission->request.inputs,
                      &selected, wrong) != STATUS_OK) {
        unsigned inputs = 0;
        (void)find(submission, 0, "inputs", &inputs);
        return refuse(submission, inputs, 422, "unknown_step", "the capability has no action `%s`",
                      wrong);
    }
    return true;
}

static void make_digests(struct submission *submission) {
    struct record_request *request = &submission->request;
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, submission->call->request->body);
    sha256_end(&hash, submission->body_digest);
    request->body_digest = (struct bytes){submission->body_digest, RECORD_DIGEST_BYTES};
    if (request->request_id.size == 0) {
        return; /* a null request_id never matches */
    }
    static const uint8_t separator = 0;
    sha256_init(&hash);
    sha256_add(&hash, request->process_type);
    sha256_add(&hash, (struct bytes){&separator, 1});
    sha256_add(&hash, request->system);
    sha256_add(&hash, (struct bytes){&separator, 1});
    sha256_add(&hash, request->request_id);
    sha256_end(&hash, submission->key);
    request->key = (struct bytes){submission->key, RECORD_DIGEST_BYTES};
}

/* ---- the two endpoints ---- */

static bool get_common(struct submission *submission) {
    struct record_request *request = &submission->request;
    return refuse_unsupported(submission) &&
           get_text(submission, 0,
                    (struct text_member){"request_id", false, &request->request_id,
                                         submission->request_id, sizeof submission->request_id}) &&
           get_requested_by(submission) && get_callback(submission) && get_priority(submission) &&
           get_extra(submission) && get_time(submission, "not_before", &request->not_before_ms) &&
           get_time(submission, "deadline", &request->deadline_ms) && get_inputs(submission);
}

static void submit(struct submission *submission) {
    const struct http_api_call *call = submission->call;
    struct hub *hub = api_of(call)->hub;
    make_digests(submission);
    const struct hub_order order = {
        .request = &submission->request,
        .capability = submission->capability,
        .phones = submission->has_phones ? submission->phones : NULL,
        .item_count = submission->target_count,
    };
    struct hub_accepted accepted;
    enum status status = hub->is_stopping ? STATUS_FULL : hub_accept(hub, &order, &accepted);
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(hub));
    } else if (status == STATUS_TOO_LARGE) {
        http_api_refuse(call, 413, "too_large", "the request does not fit into this hub's records");
    } else if (status == STATUS_MALFORMED) {
        http_api_refuse(call, 422, "invalid_member", "a text is longer than a record may hold");
    } else if (status != STATUS_OK) {
        http_api_refuse(call, 503, "capacity_exhausted",
                        "this hub has no room for another process; try again later");
    } else {
        struct api_wait wait = {
            .seq = hub_head_seq(hub),
            .kind = API_WAIT_ACCEPTED,
            .number = accepted.number,
            .is_duplicate = accepted.is_duplicate,
            .differs = accepted.differs,
            .status = accepted.status,
        };
        if (accepted.is_duplicate && accepted.process != HUB_NONE) {
            wait.seq = store_slot(&hub->store, hub->processes[accepted.process].tail)->seq;
        } else if (accepted.is_duplicate) {
            wait.seq = 0;
        }
        api_wait_for(call, &wait);
    }
}

void api_enqueue(const struct http_api_call *call) {
    static struct submission submission;
    memset(&submission, 0, sizeof submission);
    submission.call = call;
    unsigned value = 0;
    struct bytes name;
    if (parse_body(&submission) &&
        get_text(&submission, 0,
                 (struct text_member){"capability", true, &name, submission.process_type,
                                      sizeof submission.process_type}) &&
        find(&submission, 0, "capability", &value) && find_capability(&submission, value) &&
        get_mode(&submission, true) && get_target(&submission) && get_common(&submission)) {
        submit(&submission);
    }
}

void api_maintenance(const struct http_api_call *call) {
    static struct submission submission;
    memset(&submission, 0, sizeof submission);
    submission.call = call;
    snprintf(submission.process_type, sizeof submission.process_type, "maintenance");
    if (parse_body(&submission) && find_capability(&submission, 0) &&
        get_mode(&submission, false) && get_maintenance_target(&submission) &&
        get_common(&submission)) {
        submit(&submission);
    }
}
