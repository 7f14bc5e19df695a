/* External workers: they claim items, tell how they go, and how they ended (SPEC.md section 5).
 *
 * Who calls is known by the worker's name and the lease's fencing token; a call with an old token
 * is refused as stale, whatever else it says. */
#include "host/hubd/api/api_worker.h"

#include <stdio.h>
#include <string.h>

/* ---- who calls about what ---- */

static bool is_holder(const struct hub *hub, const struct worker_update *update) {
    const struct record_item *image = &hub->items[update->worker.item].image;
    uint32_t phone = image->phone == 0 ? HUB_NONE : hub_phone_by_number(hub, image->phone);
    return phone != HUB_NONE && image->token == update->worker.token &&
           strcmp(hub->phones[phone].lease.worker, update->name) == 0;
}

/* When the worker sent it: RFC 3339, or milliseconds since 1970. */
static bool get_timestamp(const struct api_body *body, unsigned object, uint64_t *sent_ms) {
    unsigned token;
    *sent_ms = 0;
    if (!api_body_find(body, object, "timestamp", &token)) {
        return true;
    }
    if (json_type(&body->json, token) == JSON_NUMBER) {
        return api_body_number(body, object, "timestamp", INT64_MAX, sent_ms);
    }
    return api_body_time(body, object, "timestamp", sent_ms);
}

/* Worker, token and item first: without the lease nothing else is looked at. */
static bool get_holder(const struct api_body *body, unsigned object, struct worker_update *update,
                       bool *is_stale) {
    const struct hub *hub = api_of(body->call)->hub;
    unsigned token;
    const char *name = api_body_find(body, object, "worker", &token) ? "worker" : "orchestratorId";
    if (!api_body_text(body, object,
                       (struct api_text){name, true, &update->worker.name, update->name,
                                         sizeof update->name}) ||
        !api_body_token(body, object, "lease_token", &update->worker.token)) {
        return false;
    }
    *is_stale = !is_holder(hub, update);
    return true;
}

/* ---- how an attempt ended ---- */

/* The last part of a text, from the beginning of a character on. */
static struct bytes last_part(struct bytes text, size_t max) {
    size_t skip = text.size > max ? text.size - max : 0;
    while (skip < text.size && (text.data[skip] & 0xc0) == 0x80) {
        skip += 1;
    }
    return (struct bytes){text.data + skip, text.size - skip};
}

static bool get_output(const struct api_body *body, unsigned object, struct worker_update *update) {
    unsigned token;
    if (!api_body_find(body, object, "output", &token)) {
        return true;
    }
    if (json_get_string(&body->json, token, update->output, sizeof update->output) != STATUS_OK) {
        return api_body_refuse(body, token, 422, "invalid_member", "`output` is a text");
    }
    update->whole_output = http_api_text(update->output);
    update->end.output = last_part(update->whole_output, WORKER_OUTPUT_BYTES);
    return true;
}

/* `error` is a text, or an object with message, code and category. */
static bool get_error(const struct api_body *body, unsigned object, struct worker_update *update) {
    unsigned token;
    char name[32] = "";
    unsigned inner = object;
    const char *message = "error";
    if (!api_body_find(body, object, "error", &token)) {
        return true;
    }
    if (json_type(&body->json, token) == JSON_OBJECT) {
        inner = token;
        message = "message";
    }
    static char text[WORKER_OUTPUT_BYTES * 4];
    struct bytes whole;
    if (!api_body_text(body, inner, (struct api_text){message, false, &whole, text, sizeof text})) {
        return false;
    }
    struct bytes cut = last_part(whole, sizeof update->message - 1);
    memcpy(update->message, cut.data == NULL ? (const uint8_t *)"" : cut.data, cut.size);
    update->end.message = (struct bytes){(const uint8_t *)update->message, cut.size};
    if (inner == object) {
        return true;
    }
    if (!api_body_text(body, inner,
                       (struct api_text){"code", false, &update->end.code, update->code,
                                         sizeof update->code}) ||
        !api_body_text(body, inner,
                       (struct api_text){"category", false, NULL, name, sizeof name})) {
        return false;
    }
    for (unsigned c = 1; name[0] != '\0' && c < RECORD_CATEGORY_COUNT; c++) {
        if (strcmp(record_category_name((enum record_category)c), name) == 0) {
            update->end.category = (uint8_t)c;
            return true;
        }
    }
    return name[0] == '\0' ||
           api_body_refuse(body, token, 422, "invalid_member", "`category` is none of this hub's");
}

/* {"metrics":…,"summary":…}: what stays of the result beside exit code, output and error. */
static bool get_result(const struct api_body *body, unsigned object, struct worker_update *update) {
    static const char *const names[] = {"metrics", "summary"};
    struct json_writer writer;
    bool has_any = false;
    json_write_init(&writer, update->result, sizeof update->result);
    json_write_begin_object(&writer, NULL);
    for (size_t i = 0; i < array_count(names); i++) {
        struct bytes raw;
        if (!api_body_raw(body, object, names[i], JSON_OBJECT, &raw)) {
            return false;
        }
        if (raw.size > 0) {
            json_write_raw(&writer, names[i], raw);
            has_any = true;
        }
    }
    json_write_end_object(&writer);
    if (json_write_finish(&writer, &update->end.result) != STATUS_OK) {
        return api_body_refuse(body, object, 413, "too_large",
                               "`metrics` and `summary` have more than %d bytes",
                               WORKER_RESULT_BYTES);
    }
    update->end.result.size = has_any ? update->end.result.size : 0;
    return true;
}

static bool get_exit_code(const struct api_body *body, unsigned object,
                          struct worker_update *update) {
    unsigned token;
    int64_t code = 0;
    const char *name = api_body_find(body, object, "exitCode", &token) ? "exitCode" : "exit_code";
    if (!api_body_find(body, object, name, &token)) {
        return true;
    }
    if (json_get_int(&body->json, token, INT32_MIN, INT32_MAX, &code) != STATUS_OK) {
        return api_body_refuse(body, token, 422, "invalid_member", "`%s` is a whole number", name);
    }
    update->end.has_exit_code = true;
    update->end.exit_code = (int32_t)code;
    return true;
}

/* A completion whose exit code is not 0, or that names an error, is a failure. */
static void judge_end(struct worker_update *update) {
    struct record_attempt *end = &update->end;
    bool is_bad_exit = end->has_exit_code && end->exit_code != 0;
    bool has_failed = update->verb == WORKER_FAIL || is_bad_exit || end->message.size > 0;
    end->outcome = has_failed ? RECORD_FAILURE : RECORD_SUCCESS;
    if (!has_failed) {
        end->category = RECORD_CATEGORY_NONE;
        return;
    }
    if (end->category == RECORD_CATEGORY_NONE) {
        end->category = is_bad_exit ? RECORD_CATEGORY_EXIT_CODE : RECORD_CATEGORY_INTERNAL;
    }
    if (end->code.size == 0) {
        snprintf(update->code, sizeof update->code, is_bad_exit ? "exit_%d" : "worker_failed",
                 end->exit_code);
        end->code = http_api_text(update->code);
    }
    if (end->message.size == 0) {
        snprintf(update->message, sizeof update->message,
                 is_bad_exit ? "the worker's exit code is %d" : "the worker gave up",
                 end->exit_code);
        end->message = http_api_text(update->message);
    }
}

/* Members stand at the top, or in `result`. */
static bool get_end(const struct api_body *body, unsigned object, struct worker_update *update) {
    unsigned result;
    unsigned retryable;
    bool is_retryable = false;
    bool has_flag = api_body_find(body, object, "retryable", &retryable);
    if (api_body_find(body, object, "result", &result)) {
        if (json_type(&body->json, result) != JSON_OBJECT) {
            return api_body_refuse(body, result, 422, "invalid_member", "`result` is an object");
        }
    } else {
        result = object;
    }
    if (!api_body_bool(body, object, "retryable", &is_retryable) ||
        !get_exit_code(body, result, update) || !get_output(body, result, update) ||
        !get_error(body, object, update) ||
        (update->end.message.size == 0 && !get_error(body, result, update)) ||
        !get_result(body, result, update)) {
        return false;
    }
    update->retryable = !has_flag      ? HUB_RETRYABLE_BY_POLICY
                        : is_retryable ? HUB_RETRYABLE_YES
                                       : HUB_RETRYABLE_NO;
    judge_end(update);
    return true;
}

/* ---- updates ---- */

/* What a `status` asks for. */
static bool get_status(const struct api_body *body, unsigned object, struct worker_update *update) {
    static const struct {
        const char *name;
        enum worker_verb verb;
    } verbs[] = {{"claimed", WORKER_ACKNOWLEDGE},
                 {"running", WORKER_START},
                 {"queued", WORKER_RELEASE},
                 {"completed", WORKER_COMPLETE},
                 {"failed", WORKER_FAIL}};
    unsigned token;
    if (!api_body_find(body, object, "status", &token)) {
        return api_body_refuse(body, object, 422, "missing_member", "`status` is required");
    }
    for (size_t i = 0; i < array_count(verbs); i++) {
        if (json_equals(&body->json, token, verbs[i].name)) {
            update->verb = verbs[i].verb;
            return true;
        }
    }
    return api_body_refuse(body, token, 422, "invalid_member",
                           "`status` is claimed, running, queued, completed or failed");
}

bool worker_read_update(const struct api_body *body, unsigned object, enum worker_verb verb,
                        struct worker_update *update) {
    bool is_stale;
    uint64_t percent = UINT32_MAX;
    update->verb = verb;
    update->end = (struct record_attempt){0};
    update->whole_output = (struct bytes){0};
    update->end.progress_percent = 100;
    if (!get_holder(body, object, update, &is_stale)) {
        return false;
    }
    update->outcome = is_stale ? STATUS_STALE_LEASE : STATUS_OK;
    if (is_stale) {
        return true;
    }
    if ((verb == WORKER_STATUS && !get_status(body, object, update)) ||
        !get_timestamp(body, object, &update->worker.sent_ms) ||
        !api_body_number(body, object, "progress_percent", 100, &percent)) {
        return false;
    }
    update->percent = (uint32_t)percent;
    bool is_end = update->verb == WORKER_COMPLETE || update->verb == WORKER_FAIL;
    return !is_end || get_end(body, object, update);
}

enum status worker_apply(struct api *api, struct worker_update *update) {
    struct hub *hub = api->hub;
    if (update->outcome != STATUS_OK) {
        return update->outcome;
    }
    switch (update->verb) {
    case WORKER_ACKNOWLEDGE:
        return hub_worker_acknowledge(hub, &update->worker);
    case WORKER_START:
        return hub_worker_start(hub, &update->worker);
    case WORKER_HEARTBEAT:
        return hub_worker_heartbeat(hub, &update->worker, update->percent, &update->heartbeat);
    case WORKER_RELEASE:
        return hub_worker_release(hub, &update->worker);
    case WORKER_STATUS:
    case WORKER_COMPLETE:
    case WORKER_FAIL:
    default:
        return hub_worker_end(hub, &update->worker, &update->end, update->retryable);
    }
}

const char *worker_refusal(enum status status, const char **message) {
    if (status == STATUS_STALE_LEASE) {
        *message = "the token or the worker is not the one that holds this item's lease";
        return "stale_lease";
    }
    if (status == STATUS_BUSY) {
        *message = "the update is older than the worker's last one";
        return "older_timestamp";
    }
    *message = "the item's state does not allow this";
    return "illegal_transition";
}

/* The whole output of an attempt that has ended, as its artifact. */
static void keep_output(struct api *api, const struct worker_update *update) {
    const struct hub *hub = api->hub;
    const struct hub_item *of = &hub->items[update->worker.item];
    const struct process_id id = ids_item(hub, update->worker.item);
    char item[PROCESS_ID_SIZE];
    struct artifact artifact;
    if (update->whole_output.size == 0) {
        return;
    }
    process_id_format(&id, item);
    artifact_begin(&artifact, api->artifacts, item, of->image.attempt);
    artifact_append(&artifact, update->whole_output);
    artifact_end(&artifact);
}

/* ---- one item's endpoints ---- */

static void handle_update(const struct http_api_call *call, enum worker_verb verb) {
    static struct worker_update update;
    struct api *api = api_of(call);
    struct api_body body;
    const char *message;
    update.worker = (struct hub_worker){.item = ids_find_item(api->hub, call->id)};
    if (update.worker.item == HUB_NONE) {
        http_api_refuse(call, 404, "not_found", "there is no job of this id on this hub");
        return;
    }
    if (!api_body_parse(&body, call, false) || !worker_read_update(&body, 0, verb, &update)) {
        return;
    }
    enum status status = worker_apply(api, &update);
    if (status == STATUS_OK) {
        keep_output(api, &update);
    }
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(api->hub));
    } else if (status != STATUS_OK) {
        const char *code = worker_refusal(status, &message);
        http_api_refuse(call, 409, code, message);
    } else {
        worker_answer(call, &update);
    }
}

void api_worker_acknowledge(const struct http_api_call *call) {
    handle_update(call, WORKER_ACKNOWLEDGE);
}
void api_worker_status(const struct http_api_call *call) {
    handle_update(call, WORKER_STATUS);
}
void api_worker_heartbeat(const struct http_api_call *call) {
    handle_update(call, WORKER_HEARTBEAT);
}
void api_worker_complete(const struct http_api_call *call) {
    handle_update(call, WORKER_COMPLETE);
}
void api_worker_fail(const struct http_api_call *call) {
    handle_update(call, WORKER_FAIL);
}

/* ---- many at once ---- */

/* Each update stands alone: one that is refused does not hold up the others. */
static void apply_one(const struct api_body *body, unsigned object, struct json_writer *writer) {
    static struct worker_update update;
    struct api *api = api_of(body->call);
    char id[PROCESS_ID_SIZE] = "";
    const char *message = "there is no job of this id on this hub";
    unsigned token;
    enum status status = STATUS_NOT_FOUND;
    if (api_body_find(body, object, "id", &token)) {
        (void)!json_get_string(&body->json, token, id, sizeof id);
    }
    update.worker = (struct hub_worker){.item = ids_find_item(api->hub, http_api_text(id))};
    if (update.worker.item != HUB_NONE) {
        check(worker_read_update(body, object, WORKER_STATUS, &update));
        status = worker_apply(api, &update);
    }
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "id", id);
    if (status == STATUS_OK) {
        keep_output(api, &update);
        json_write_uint(writer, "status_code", 200);
        worker_write_job(api, writer, "job", update.worker.item);
    } else {
        const char *code = "not_found";
        if (status == STATUS_AGAIN) {
            code = "try_again";
            message = "no room in this moment; send this update again";
        } else if (status != STATUS_NOT_FOUND) {
            code = worker_refusal(status, &message);
        }
        json_write_uint(writer, "status_code",
                        status == STATUS_AGAIN       ? 503
                        : status == STATUS_NOT_FOUND ? 404
                                                     : 409);
        json_write_begin_object(writer, "error");
        json_write_string(writer, "code", code);
        json_write_string(writer, "message", message);
        json_write_end_object(writer);
    }
    json_write_end_object(writer);
}

/* All are read before any is applied, so that a refused request changes nothing. */
static bool judge_all(const struct api_body *body, unsigned list) {
    static struct worker_update update;
    const struct hub *hub = api_of(body->call)->hub;
    struct json_cursor at = {0};
    char id[PROCESS_ID_SIZE];
    while (json_each(&body->json, list, &at)) {
        if (json_type(&body->json, at.value) != JSON_OBJECT) {
            return api_body_refuse(body, at.value, 422, "invalid_member", "an update is an object");
        }
        if (!api_body_text(body, at.value, (struct api_text){"id", true, NULL, id, sizeof id})) {
            return false;
        }
        update.worker = (struct hub_worker){.item = ids_find_item(hub, http_api_text(id))};
        if (update.worker.item != HUB_NONE &&
            !worker_read_update(body, at.value, WORKER_STATUS, &update)) {
            return false;
        }
    }
    return true;
}

void api_worker_batch(const struct http_api_call *call) {
    struct api_body body;
    unsigned list;
    if (!api_body_parse(&body, call, false)) {
        return;
    }
    if (!api_body_find(&body, 0, "updates", &list) || json_type(&body.json, list) != JSON_ARRAY ||
        json_size(&body.json, list) == 0 || json_size(&body.json, list) > HUB_CLAIM_MAX) {
        api_body_refuse(&body, 0, 422, "missing_member", "`updates` is an array of 1 to %d updates",
                        HUB_CLAIM_MAX);
        return;
    }
    if (!judge_all(&body, list)) {
        return;
    }
    struct json_cursor at = {0};
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "results");
    while (json_each(&body.json, list, &at)) {
        apply_one(&body, at.value, &writer);
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    api_answer_at(call, hub_head_seq(api_of(call)->hub), 200, &writer);
}
