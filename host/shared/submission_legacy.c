/* The documented legacy request: a queue item for one video, named by account and content. */
#include "host/shared/submission.h"

#include <stdio.h>
#include <string.h>

enum { CAPTION_MAX = 4000 };

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
    if (!api_body_text(body, 0, (struct api_text){"callback_url", false, NULL, url, sizeof url})) {
        return false;
    }
    if (url[0] == '\0') {
        return true;
    }
    (void)!json_member(&body->json, 0, "callback_url", &token);
    if (callback_host_of(submission->place->callbacks, http_api_text(url), &host) ==
        STATUS_MALFORMED) {
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
    uint32_t max = body->call->member_bytes;
    return request->inputs.size <= max ||
           api_body_refuse(body, 0, 413, "too_large", "the body has more than %u bytes", max);
}

static struct submission_key legacy_key(struct bytes account, struct bytes content) {
    return (struct submission_key){SUBMISSION_KEY_LEGACY, {account, content, bytes_of("")}};
}

void submission_hash_legacy_key(struct bytes account, struct bytes content,
                                uint8_t digest[SHA256_BYTES]) {
    const struct submission_key key = legacy_key(account, content);
    submission_hash_key(&key, digest);
}

struct submission *submission_read_ingest(const struct submission_place *place,
                                          const struct http_api_call *call) {
    struct submission *submission = submission_begin(place);
    struct record_request *request = &submission->request;
    submission->is_legacy = true;
    snprintf(submission->process_type, sizeof submission->process_type, "post_video");
    if (!api_body_parse(&submission->body, call, false) ||
        !submission_find_capability(submission, 0) || !read_ingest(submission)) {
        return NULL;
    }
    request->priority = place->capabilities[submission->capability].priority;
    request->mode = RECORD_MANUAL;
    request->system = bytes_of("legacy");
    const struct submission_key key = legacy_key(submission->accounts[0], request->request_id);
    submission_make_digests(submission, &key);
    return submission;
}
