#include "host/shared/submission.h"

#include "host/shared/process_member.h"

#include <stdio.h>
#include <string.h>

struct submission *submission_begin(const struct submission_place *place) {
    static struct submission submission;
    memset(&submission, 0, offsetof(struct submission, phones));
    submission.place = place;
    return &submission;
}

/* ---- members ---- */

static bool get_requested_by(struct submission *submission) {
    unsigned by;
    if (!api_body_find(&submission->body, 0, "requested_by", &by) ||
        json_type(&submission->body.json, by) != JSON_OBJECT) {
        return api_body_refuse(&submission->body, 0, 422, "missing_member",
                               "`requested_by` is required");
    }
    struct record_request *request = &submission->request;
    if (!api_body_text(&submission->body, by,
                       (struct api_text){"system", true, &request->system, submission->system,
                                         sizeof submission->system}) ||
        !api_body_text(&submission->body, by,
                       (struct api_text){"user", false, &request->user, submission->user,
                                         sizeof submission->user}) ||
        !api_body_raw(&submission->body, by, "metadata", JSON_OBJECT, &request->metadata)) {
        return false;
    }
    const char *bound = submission->body.call->token->system;
    if (bound[0] != '\0' && strcmp(bound, submission->system) != 0) {
        http_api_refuse_at(submission->body.call, 403, "forbidden",
                           "the token is bound to another requested_by.system",
                           "/requested_by/system");
        return false;
    }
    return true;
}

static bool get_callback(struct submission *submission) {
    const struct api_body *body = &submission->body;
    unsigned callback;
    char url[CALLBACK_URL_BYTES] = "";
    uint32_t host;
    if (!api_body_raw(body, 0, "callback", JSON_OBJECT, &submission->request.callback)) {
        return false;
    }
    if (!api_body_find(body, 0, "callback", &callback)) {
        return true;
    }
    if (!api_body_text(body, callback, (struct api_text){"url", true, NULL, url, sizeof url})) {
        return false;
    }
    unsigned token = 0;
    (void)!json_member(&body->json, callback, "url", &token);
    return callback_host_of(submission->place->callbacks, http_api_text(url), &host) !=
               STATUS_MALFORMED ||
           api_body_refuse(body, token, 422, "invalid_callback",
                           "`url` is an http or https URL without blanks or a password");
}

static bool get_priority(struct submission *submission) {
    unsigned value;
    uint64_t priority = submission->place->capabilities[submission->capability].priority;
    if (api_body_find(&submission->body, 0, "priority", &value) &&
        json_get_uint(&submission->body.json, value, 9, &priority) != STATUS_OK) {
        return api_body_refuse(&submission->body, value, 422, "invalid_member",
                               "`priority` is 0 to 9");
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
        if (api_body_find(&submission->body, 0, names[i], &value)) {
            json_write_raw(&writer, names[i], json_raw(&submission->body.json, value));
            has_any = true;
        }
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &submission->request.extra) != STATUS_OK) {
        return api_body_refuse(&submission->body, 0, 422, "too_large",
                               "`related`, `workspace_id` and `queue` have more than 2000 bytes");
    }
    submission->request.extra.size = has_any ? submission->request.extra.size : 0;
    return true;
}

/* Words as an operator writes them, so that they can be told apart by spaces. */
static bool get_labels(struct submission *submission) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-";
    const struct api_body *body = &submission->body;
    unsigned list;
    size_t used = 0;
    struct json_cursor at = {0};
    char text[CAPABILITY_LABELS_BYTES];
    if (!api_body_raw(body, 0, "labels", JSON_ARRAY, &submission->request.labels)) {
        return false;
    }
    if (!api_body_find(body, 0, "labels", &list)) {
        return true;
    }
    while (json_each(&body->json, list, &at)) {
        struct bytes raw = json_raw(&body->json, at.value);
        bool is_good = json_get_string(&body->json, at.value, text, sizeof text) == STATUS_OK &&
                       text[0] != '\0' && strspn(text, allowed) == strlen(text) &&
                       raw.size == strlen(text) + 2;
        used += strlen(is_good ? text : "") + 1;
        if (!is_good || used > CAPABILITY_LABELS_BYTES) {
            return api_body_refuse(body, at.value, 422, "invalid_member",
                                   "a label is letters, digits and _ . : - ; all of them together "
                                   "have less than %d bytes",
                                   CAPABILITY_LABELS_BYTES);
        }
    }
    return true;
}

/* ---- capability and mode ---- */

bool submission_find_capability(struct submission *submission, unsigned token) {
    const struct submission_place *place = submission->place;
    submission->request.process_type = http_api_text(submission->process_type);
    for (uint32_t i = 0; i < place->capability_count; i++) {
        const struct capability *capability = &place->capabilities[i];
        if (strcmp(capability->name, submission->process_type) == 0 && !capability->is_retired) {
            submission->capability = i;
            return true;
        }
    }
    return api_body_refuse(&submission->body, token, 422, "unknown_process_type",
                           "there is no capability `%.60s` on %s", submission->process_type,
                           place->name);
}

static bool get_mode(struct submission *submission, bool is_required) {
    unsigned value;
    const struct capability *capability = &submission->place->capabilities[submission->capability];
    submission->request.mode = RECORD_MANUAL;
    if (!api_body_find(&submission->body, 0, "mode", &value)) {
        return !is_required ||
               api_body_refuse(&submission->body, 0, 422, "missing_member", "`mode` is required");
    }
    if (json_equals(&submission->body.json, value, "manual")) {
        return true;
    }
    submission->request.mode = RECORD_UNATTENDED;
    if (!json_equals(&submission->body.json, value, "unattended")) {
        return api_body_refuse(&submission->body, value, 422, "invalid_member",
                               "`mode` is manual or unattended");
    }
    if (!capability->is_permitted || !capability->is_live_verified) {
        char code[RECORD_ID_MAX + 40];
        snprintf(code, sizeof code, "capability_not_live_verified:%s", capability->name);
        return api_body_refuse(&submission->body, value, 422, code, "%s",
                               "this capability does not run unattended");
    }
    return true;
}

/* ---- inputs and idempotency ---- */

static bool get_inputs(struct submission *submission) {
    uint32_t selected;
    char wrong[ACTION_TEXT_BYTES];
    if (!api_body_raw(&submission->body, 0, "inputs", JSON_OBJECT, &submission->request.inputs)) {
        return false;
    }
    if (action_select(&submission->place->lists[submission->capability], submission->request.inputs,
                      &selected, wrong) != STATUS_OK) {
        unsigned inputs = 0;
        (void)api_body_find(&submission->body, 0, "inputs", &inputs);
        return api_body_refuse(&submission->body, inputs, 422, "unknown_step",
                               "the capability has no action `%s`", wrong);
    }
    return true;
}

void submission_hash_key(const struct submission_key *key, uint8_t digest[SHA256_BYTES]) {
    static const uint8_t separator = 0;
    struct sha256 hash;
    sha256_init(&hash);
    if (key->space != SUBMISSION_KEY_PROCESS) {
        sha256_add(&hash, (struct bytes){&key->space, 1});
    }
    for (size_t i = 0; i < array_count(key->parts); i++) {
        if (i > 0) {
            sha256_add(&hash, (struct bytes){&separator, 1});
        }
        sha256_add(&hash, key->parts[i]);
    }
    sha256_end(&hash, digest);
}

void submission_make_digests(struct submission *submission, const struct submission_key *key) {
    struct record_request *request = &submission->request;
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, submission->body.call->request->body);
    sha256_end(&hash, submission->body_digest);
    request->body_digest = (struct bytes){submission->body_digest, RECORD_DIGEST_BYTES};
    if (request->request_id.size > 0) { /* a null request_id never matches */
        submission_hash_key(key, submission->key);
        request->key = (struct bytes){submission->key, RECORD_DIGEST_BYTES};
    }
}

/* ---- the answer ---- */

const char *submission_callback_status(enum status status) {
    if (status == STATUS_OK) {
        return NULL;
    }
    return status == STATUS_DENIED ? "no_ca" : "host_not_allowed";
}

const char *submission_queue_status(enum record_item_state state) {
    static const char *const names[RECORD_ITEM_STATE_COUNT] = {
        [RECORD_SCHEDULED] = "SCHEDULED",  [RECORD_READY] = "QUEUED",
        [RECORD_LEASED] = "CLAIMED",       [RECORD_RUNNING] = "EXECUTING",
        [RECORD_RETRY_WAIT] = "RETRYABLE", [RECORD_SUSPENDED] = "QUEUED",
        [RECORD_COMPLETED] = "DONE",       [RECORD_FAILED] = "DEAD_LETTER",
        [RECORD_CANCELED] = "CANCELLED"};
    check(state < RECORD_ITEM_STATE_COUNT);
    return names[state];
}

static void write_legacy(const struct submission *submission,
                         const struct submission_outcome *outcome, struct json_writer *writer) {
    struct process_id item = outcome->id;
    item.item = 1;
    json_write_string(writer, "status", outcome->is_duplicate ? "duplicate" : "accepted");
    process_member_id(writer, "process_id", &outcome->id);
    process_member_id(writer, "queue_item_id", &item);
    json_write_bytes(writer, "content_id", submission->request.request_id);
    json_write_bytes(writer, "account_id", submission->accounts[0]);
    json_write_string(writer, "queue_status", outcome->queue_status);
}

void submission_write_answer(const struct submission *submission,
                             const struct submission_outcome *outcome, struct json_writer *writer) {
    json_write_begin_object(writer, NULL);
    if (submission->is_legacy) {
        write_legacy(submission, outcome, writer);
    } else {
        json_write_string(writer, "status", "accepted");
        process_member_id(writer, "process_id", &outcome->id);
        process_member_text(writer, "request_id", submission->request.request_id);
        process_member_text(writer, "process_type", submission->request.process_type);
    }
    if (outcome->is_duplicate && !submission->is_legacy) {
        json_write_bool(writer, "duplicate", true);
        json_write_string(writer, "process_status", outcome->process_status);
        if (outcome->differs) {
            json_write_bool(writer, "duplicate_differs", true);
        }
    }
    if (outcome->callback_status != NULL) {
        json_write_string(writer, "callback_status", outcome->callback_status);
    }
    json_write_end_object(writer);
}

/* ---- the two endpoints ---- */

static bool get_common(struct submission *submission) {
    struct record_request *request = &submission->request;
    const struct api_body *body = &submission->body;
    return get_labels(submission) &&
           api_body_text(body, 0,
                         (struct api_text){"concurrency_key", false, &request->concurrency_key,
                                           submission->concurrency_key,
                                           sizeof submission->concurrency_key}) &&
           api_body_text(body, 0,
                         (struct api_text){"request_id", false, &request->request_id,
                                           submission->request_id,
                                           sizeof submission->request_id}) &&
           get_requested_by(submission) && get_callback(submission) && get_priority(submission) &&
           get_extra(submission) && api_body_time(body, 0, "not_before", &request->not_before_ms) &&
           api_body_time(body, 0, "deadline", &request->deadline_ms) && get_inputs(submission);
}

static struct submission *end(struct submission *submission) {
    const struct record_request *request = &submission->request;
    const struct submission_key key = {
        SUBMISSION_KEY_PROCESS, {request->process_type, request->system, request->request_id}};
    submission_make_digests(submission, &key);
    return submission;
}

struct submission *submission_read_enqueue(const struct submission_place *place,
                                           const struct http_api_call *call) {
    struct submission *submission = submission_begin(place);
    struct api_body *body = &submission->body;
    unsigned value = 0;
    bool is_good =
        api_body_parse(body, call, false) &&
        api_body_text(body, 0,
                      (struct api_text){"capability", true, NULL, submission->process_type,
                                        sizeof submission->process_type}) &&
        api_body_find(body, 0, "capability", &value) &&
        submission_find_capability(submission, value) && get_mode(submission, true) &&
        submission_get_target(submission) && get_common(submission);
    return is_good ? end(submission) : NULL;
}

struct submission *submission_read_maintenance(const struct submission_place *place,
                                               const struct http_api_call *call) {
    struct submission *submission = submission_begin(place);
    snprintf(submission->process_type, sizeof submission->process_type, "maintenance");
    bool is_good = api_body_parse(&submission->body, call, false) &&
                   submission_find_capability(submission, 0) && get_mode(submission, false) &&
                   submission_get_maintenance_target(submission) && get_common(submission);
    return is_good ? end(submission) : NULL;
}
