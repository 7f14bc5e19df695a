/* The documented legacy endpoints: a queue item for one video, named by account and content. */
#include "host/hubd/api_submission.h"

#include <stdio.h>
#include <string.h>

enum { CAPTION_MAX = 4000 };

static const char *queue_status(const struct hub *hub, uint32_t process, uint8_t status) {
    static const char *const names[RECORD_ITEM_STATE_COUNT] = {
        [RECORD_SCHEDULED] = "SCHEDULED",  [RECORD_READY] = "QUEUED",
        [RECORD_LEASED] = "CLAIMED",       [RECORD_RUNNING] = "EXECUTING",
        [RECORD_RETRY_WAIT] = "RETRYABLE", [RECORD_SUSPENDED] = "QUEUED",
        [RECORD_COMPLETED] = "DONE",       [RECORD_FAILED] = "DEAD_LETTER",
        [RECORD_CANCELED] = "CANCELLED"};
    if (process != HUB_NONE && hub->processes[process].last_item != HUB_NONE) {
        return names[hub->items[hub->processes[process].last_item].image.state];
    }
    return status == PROCESS_NONE
               ? "QUEUED"
               : process_status_names((enum process_status)status, NULL).internal;
}

/* ---- POST /ingest ---- */

static bool get_url(const struct api_body *body, const char *name, bool is_required) {
    char url[CALLBACK_URL_BYTES] = "";
    unsigned token = 0;
    if (!api_body_text(body, 0, (struct api_text){name, is_required, NULL, url, sizeof url})) {
        return false;
    }
    bool is_url =
        url[0] == '\0' || strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    (void)!json_member(&body->json, 0, name, &token);
    return is_url || api_body_refuse(body, token, 422, "invalid_member",
                                     "`%s` is an http or https URL", name);
}

/* Counts characters, as the documented limit does. */
static bool get_caption(const struct api_body *body) {
    static char caption[4 * CAPTION_MAX + 1];
    unsigned token = 0;
    uint32_t characters = 0;
    if (!api_body_find(body, 0, "caption", &token)) {
        return api_body_refuse(body, 0, 422, "missing_member", "`caption` is required");
    }
    if (json_get_string(&body->json, token, caption, sizeof caption) == STATUS_OK) {
        for (const char *at = caption; *at != '\0'; at++) {
            characters += ((unsigned char)*at & 0xc0) != 0x80;
        }
    }
    return (characters >= 1 && characters <= CAPTION_MAX) ||
           api_body_refuse(body, token, 422, "invalid_member", "`caption` is 1 to %d characters",
                           CAPTION_MAX);
}

static bool get_callback(struct submission *submission) {
    char url[CALLBACK_URL_BYTES] = "";
    uint32_t host;
    unsigned token = 0;
    const struct api_body *body = &submission->body;
    const struct callbacks *callbacks = api_of(body->call)->notifier->callbacks;
    if (!api_body_text(body, 0, (struct api_text){"callback_url", false, NULL, url, sizeof url})) {
        return false;
    }
    if (url[0] == '\0') {
        return true;
    }
    (void)!json_member(&body->json, 0, "callback_url", &token);
    if (callback_host_of(callbacks, http_api_text(url), &host) == STATUS_MALFORMED) {
        return api_body_refuse(body, token, 422, "invalid_callback",
                               "`callback_url` is an http or https URL");
    }
    struct json_writer writer;
    json_write_init(&writer, submission->extra, sizeof submission->extra);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "url", url);
    json_write_end_object(&writer);
    return json_write_finish(&writer, &submission->request.callback) == STATUS_OK;
}

/* The two parts of the key, which also say where it runs: on any phone, for this account. */
static bool get_key(struct submission *submission) {
    const struct api_body *body = &submission->body;
    struct record_request *request = &submission->request;
    submission->target_count = 1;
    submission->has_accounts = true;
    request->routing = RECORD_QUEUE;
    if (!api_body_text(body, 0,
                       (struct api_text){"content_id", true, &request->request_id,
                                         submission->request_id, sizeof submission->request_id}) ||
        !api_body_text(body, 0,
                       (struct api_text){"account_id", true, &submission->accounts[0],
                                         submission->account_texts[0],
                                         sizeof submission->account_texts[0]})) {
        return false;
    }
    struct json_writer writer;
    json_write_init(&writer, submission->target, sizeof submission->target);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "routing", "queue");
    json_write_bytes(&writer, "account_id", submission->accounts[0]);
    json_write_end_object(&writer);
    return json_write_finish(&writer, &request->target) == STATUS_OK ||
           api_body_refuse(body, 0, 422, "too_large", "the account's name is too long");
}

static bool read_ingest(struct submission *submission) {
    const struct api_body *body = &submission->body;
    struct record_request *request = &submission->request;
    struct bytes ignored;
    if (!get_key(submission) || !get_url(body, "video_path", true) || !get_caption(body) ||
        !api_body_raw(body, 0, "hashtags", JSON_ARRAY, &ignored) ||
        !api_body_raw(body, 0, "metadata", JSON_OBJECT, &ignored) ||
        !api_body_time(body, 0, "scheduling_hint", &request->not_before_ms) ||
        !get_callback(submission)) {
        return false;
    }
    request->inputs = json_raw(&body->json, 0);
    uint32_t max = api_of(body->call)->hub->board->payload_bytes / 2;
    return request->inputs.size <= max ||
           api_body_refuse(body, 0, 413, "too_large", "the body has more than %u bytes", max);
}

static void answer_ingest(const struct submission *submission, const char *status,
                          const struct hub_accepted *accepted, struct json_writer *writer) {
    const struct hub *hub = api_of(submission->body.call)->hub;
    struct process_id id = api_process_id(hub, accepted->number);
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "status", status);
    process_member_id(writer, "process_id", &id);
    id.item = 1;
    process_member_id(writer, "queue_item_id", &id);
    json_write_bytes(writer, "content_id", submission->request.request_id);
    json_write_bytes(writer, "account_id", submission->accounts[0]);
    json_write_string(writer, "queue_status",
                      queue_status(hub, accepted->process, accepted->status));
}

static struct submission_key legacy_key(struct bytes account, struct bytes content) {
    return (struct submission_key){SUBMISSION_KEY_LEGACY, {account, content, bytes_of("")}};
}

void api_ingest(const struct http_api_call *call) {
    struct submission *submission = submission_begin();
    struct record_request *request = &submission->request;
    struct hub_accepted accepted;
    uint64_t seq = 0;
    snprintf(submission->process_type, sizeof submission->process_type, "post_video");
    if (!api_body_parse(&submission->body, call, false) ||
        !submission_find_capability(submission, 0) || !read_ingest(submission)) {
        return;
    }
    request->priority = api_of(call)->hub->capabilities[submission->capability].priority;
    request->mode = RECORD_MANUAL;
    request->system = bytes_of("legacy");
    const struct submission_key key = legacy_key(submission->accounts[0], request->request_id);
    submission_make_digests(submission, &key);
    if (!submission_accept(submission, &accepted, &seq)) {
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    answer_ingest(submission, accepted.is_duplicate ? "duplicate" : "accepted", &accepted, &writer);
    submission_watch(submission, &accepted, &writer);
    json_write_end_object(&writer);
    api_answer_at(call, seq, accepted.is_duplicate ? 200 : 202, &writer);
}

/* ---- POST /cancel ---- */

/* The process of a legacy item that this key names; HUB_NONE: unknown, or evicted. */
static uint32_t find_by_key(const struct hub *hub, struct bytes account, struct bytes content) {
    uint8_t digest[SHA256_BYTES];
    const struct submission_key key = legacy_key(account, content);
    submission_hash_key(&key, digest);
    return hub_process_by_key(hub, digest);
}

/* {"queue_item_id":…}, or {"account_id":…,"content_id":…}. */
static bool find_item(const struct api_body *body, uint32_t *process) {
    const struct hub *hub = api_of(body->call)->hub;
    char account[RECORD_ID_MAX + 1] = "";
    char content[RECORD_TEXT_MAX + 1] = "";
    unsigned token = 0;
    struct process_id id;
    *process = HUB_NONE;
    if (api_body_find(body, 0, "queue_item_id", &token)) {
        char item[PROCESS_ID_SIZE] = "";
        if (!api_body_text(body, 0,
                           (struct api_text){"queue_item_id", true, NULL, item, sizeof item})) {
            return false;
        }
        if (process_id_parse_item(http_api_text(item), &id) == STATUS_OK &&
            strcmp(id.hub_id, hub->hub_id) == 0 && id.epoch == hub->store.epoch) {
            *process = hub_process_find(hub, id.number);
        }
        return true;
    }
    if (!api_body_text(body, 0,
                       (struct api_text){"account_id", true, NULL, account, sizeof account}) ||
        !api_body_text(body, 0,
                       (struct api_text){"content_id", true, NULL, content, sizeof content})) {
        return false;
    }
    *process = find_by_key(hub, http_api_text(account), http_api_text(content));
    return true;
}

static void cancel_item(const struct http_api_call *call, uint32_t process) {
    struct hub *hub = api_of(call)->hub;
    const struct hub_process *of = &hub->processes[process];
    enum status status = hub_cancel(hub, process);
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(hub));
        return;
    }
    check(status == STATUS_OK);
    struct process_id id = api_process_id(hub, of->number);
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_string(&writer, "status", "cancelled");
    process_member_id(&writer, "process_id", &id);
    id.item = of->last_item == HUB_NONE ? 1 : hub->items[of->last_item].number;
    process_member_id(&writer, "queue_item_id", &id);
    json_write_string(&writer, "queue_status", queue_status(hub, process, of->status));
    json_write_end_object(&writer);
    api_answer_at(call, hub_head_seq(hub), 200, &writer);
}

void api_legacy_cancel(const struct http_api_call *call) {
    struct api_body body;
    uint32_t process;
    const struct hub *hub = api_of(call)->hub;
    if (!api_body_parse(&body, call, false) || !find_item(&body, &process)) {
        return;
    }
    if (process == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "there is no such queue item on this hub");
        return;
    }
    const struct process_counts *counts = &hub->processes[process].counts;
    if (hub->processes[process].end_seq != 0) {
        http_api_refuse(call, 409, "already_terminal", "the queue item has already ended");
    } else if (counts->by_state[RECORD_LEASED] + counts->by_state[RECORD_RUNNING] > 0) {
        http_api_refuse(call, 409, "item_in_use",
                        "the queue item is CLAIMED or EXECUTING; cancel its process instead");
    } else if (hub->processes[process].image.item_count > 1) {
        http_api_refuse(call, 409, "not_alone",
                        "the process has several queue items; cancel the process instead");
    } else {
        cancel_item(call, process);
    }
}
