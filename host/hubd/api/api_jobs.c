/* Jobs: items as the job status system of external workers shows them, and the claim of some. */
#include "host/hubd/api/api_worker.h"

#include "host/shared/config.h"
#include "host/shared/job_result.h"

#include <stdio.h>
#include <string.h>

enum {
    JOB_BYTES = 2 * WORKER_OUTPUT_BYTES + WORKER_RESULT_BYTES + 4096, /* without its inputs */
    TYPES_BYTES = 1024,
};

/* ---- a job ---- */

/* What its newest attempt said; the texts are in the hub's read buffer. */
static bool read_newest(struct hub *hub, uint32_t item, struct record_attempt *image) {
    struct record_header header;
    struct cbor_reader reader;
    uint32_t newest = HUB_NONE;
    for (uint32_t a = hub->items[item].first_attempt; a != HUB_NONE; a = hub->attempts[a].next) {
        newest = a;
    }
    if (newest == HUB_NONE ||
        hub_read(hub, (struct store_key){RECORD_ATTEMPT, newest}, &header, &reader) != STATUS_OK) {
        return false;
    }
    record_get_attempt(&reader, image);
    return cbor_reader_done(&reader);
}

static void write_end(struct api *api, struct json_writer *writer, uint32_t item) {
    struct hub *hub = api->hub;
    const struct process_clock clock = api_clock(hub);
    struct record_attempt image = {0};
    uint8_t state = hub->items[item].image.state;
    bool has_ended = read_newest(hub, item, &image) && job_result_is_there(&image);
    bool is_terminal = item_is_terminal((enum record_item_state)state);
    process_time_write(writer, "completedAt", &clock,
                       is_terminal && has_ended ? &image.ended : &(struct record_time){0});
    if (has_ended) {
        job_result_write(writer, "result", &image);
    } else {
        json_write_null(writer, "result");
    }
    process_member_text(writer, "lastError",
                        has_ended && image.outcome == RECORD_FAILURE ? image.message
                                                                     : bytes_of(""));
}

static void write_members(struct api *api, struct json_writer *writer, uint32_t item) {
    struct hub *hub = api->hub;
    const struct hub_item *of = &hub->items[item];
    const struct process_clock clock = api_clock(hub);
    enum record_item_state state = (enum record_item_state)of->image.state;
    bool is_held = state == RECORD_LEASED || state == RECORD_RUNNING;
    uint32_t phone = of->image.phone == 0 ? HUB_NONE : hub_phone_by_number(hub, of->image.phone);
    struct process_id id = ids_process(hub, hub->processes[of->process].number);
    uint32_t capability = hub->processes[of->process].capability;
    process_member_id(writer, "process_id", &id);
    id.item = ids_item_number(hub, item);
    process_member_id(writer, "id", &id);
    json_write_string(writer, "type",
                      capability == HUB_NONE ? "" : hub->capabilities[capability].name);
    json_write_string(writer, "status", process_item_job_status(state));
    process_member_text(
        writer, "orchestratorId",
        http_api_text(is_held && phone != HUB_NONE ? hub->phones[phone].lease.worker : ""));
    if (is_held) {
        process_member_big(writer, "lease_token", of->image.token);
    } else {
        json_write_null(writer, "lease_token");
    }
    process_member_text(writer, "phone_id",
                        http_api_text(phone == HUB_NONE ? "" : hub->phones[phone].id));
    process_time_write(writer, "startedAt", &clock, &of->image.started);
    json_write_uint(writer, "attempts", of->image.attempt);
    json_write_uint(writer, "progress_percent", of->progress_percent);
    write_end(api, writer, item);
}

void worker_write_job(struct api *api, struct json_writer *writer, const char *name,
                      uint32_t item) {
    json_write_begin_object(writer, name);
    write_members(api, writer, item);
    json_write_end_object(writer);
}

/* ---- answers ---- */

static void answer_heartbeat(const struct http_api_call *call, const struct worker_update *update) {
    const struct hub_heartbeat *heartbeat = &update->heartbeat;
    static const char *const stops[RECORD_STOP_COUNT] = {
        [RECORD_STOP_SHUTDOWN] = "shutdown", [RECORD_STOP_SUSPEND] = "suspend",
        [RECORD_STOP_EXPIRE] = "expired",    [RECORD_STOP_TIMEOUT] = "timeout",
        [RECORD_STOP_DEADLINE] = "deadline", [RECORD_STOP_CANCEL] = "cancel",
        [RECORD_STOP_WITHDRAW] = "withdraw"};
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_bytes(&writer, "id", call->id);
    json_write_uint(&writer, "expires_in_ms", heartbeat->expires_in_ms);
    json_write_bool(&writer, "cancel", heartbeat->stop == RECORD_STOP_CANCEL);
    json_write_bool(&writer, "suspend", heartbeat->stop == RECORD_STOP_SUSPEND);
    process_member_optional(&writer, "stop", stops[heartbeat->stop]);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

void worker_answer(const struct http_api_call *call, const struct worker_update *update) {
    struct api *api = api_of(call);
    if (update->verb == WORKER_HEARTBEAT) {
        answer_heartbeat(call, update);
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    worker_write_job(api, &writer, NULL, update->worker.item);
    api_answer_at(call, hub_head_seq(api->hub), 200, &writer);
}

/* ---- the claim ---- */

struct claim {
    char worker[RECORD_ID_MAX + 1];
    char claim_id[RECORD_ID_MAX + 1];
    char types[TYPES_BYTES];
    char process[PROCESS_ID_SIZE];
    uint64_t number; /* of `process`; 0: any */
    uint64_t batch;
    uint32_t capabilities[HUB_CLAIM_MAX];
    uint32_t capability_count;
};

/* Members of a POST's body stand for parameters of the query. `types` may be an array. */
static bool read_claim_body(const struct api_body *body, struct claim *claim) {
    unsigned list;
    unsigned token;
    const char *name = api_body_find(body, 0, "worker", &token) ? "worker" : "orchestratorId";
    if (!api_body_text(body, 0,
                       (struct api_text){name, false, NULL, claim->worker, sizeof claim->worker}) ||
        !api_body_text(
            body, 0,
            (struct api_text){"claim_id", false, NULL, claim->claim_id, sizeof claim->claim_id}) ||
        !api_body_text(
            body, 0,
            (struct api_text){"process_id", false, NULL, claim->process, sizeof claim->process}) ||
        !api_body_number(body, 0, "batch", HUB_CLAIM_MAX, &claim->batch)) {
        return false;
    }
    if (!api_body_find(body, 0, "types", &list)) {
        return true;
    }
    if (json_type(&body->json, list) != JSON_ARRAY) {
        return api_body_text(
            body, 0, (struct api_text){"types", false, NULL, claim->types, sizeof claim->types});
    }
    struct json_cursor at = {0};
    size_t used = 0;
    while (json_each(&body->json, list, &at)) {
        char type[RECORD_ID_MAX + 1];
        if (json_get_string(&body->json, at.value, type, sizeof type) != STATUS_OK ||
            used + strlen(type) + 2 > sizeof claim->types) {
            return api_body_refuse(body, at.value, 422, "invalid_member",
                                   "a type is the name of a capability");
        }
        used += (size_t)snprintf(claim->types + used, sizeof claim->types - used, "%s%s",
                                 used > 0 ? "," : "", type);
    }
    return true;
}

/* The query's value, when it has one. */
static void prefer(char *target, const char *query, size_t capacity) {
    if (query[0] != '\0') {
        memcpy(target, query, capacity);
    }
}

static bool read_claim(const struct http_api_call *call, struct claim *claim) {
    *claim = (struct claim){.batch = 1};
    struct api_body body;
    if (call->request->body.size > 0 &&
        (!api_body_parse(&body, call, true) || !read_claim_body(&body, claim))) {
        return false;
    }
    struct claim query = {.batch = claim->batch};
    if (!http_api_query_text(call, "worker", query.worker, sizeof query.worker) ||
        !http_api_query_text(call, "claim_id", query.claim_id, sizeof query.claim_id) ||
        !http_api_query_text(call, "types", query.types, sizeof query.types) ||
        !http_api_query_number(call, "batch", HUB_CLAIM_MAX, &query.batch)) {
        return false;
    }
    prefer(claim->worker, query.worker, sizeof claim->worker);
    prefer(claim->claim_id, query.claim_id, sizeof claim->claim_id);
    prefer(claim->types, query.types, sizeof claim->types);
    claim->batch = query.batch == 0 ? 1 : query.batch;
    if (claim->worker[0] == '\0') {
        http_api_refuse_at(call, 422, "missing_member", "`worker` is required", "/worker");
        return false;
    }
    return true;
}

/* A process that this hub does not know has nothing to claim: its answer is empty. */
static bool find_process(const struct http_api_call *call, struct claim *claim) {
    const struct hub *hub = api_of(call)->hub;
    struct process_id id;
    struct bytes name = http_api_text(claim->process);
    if (claim->process[0] == '\0') {
        return true;
    }
    uint32_t part = ids_find_process(hub, name);
    if (part != HUB_NONE) {
        claim->number = hub->processes[part].number;
        return true;
    }
    if (process_id_parse(name, &id) != STATUS_OK || ids_own_number(hub, &id) == 0) {
        http_api_refuse_at(call, 422, "unknown_process", "`process_id` is no process of this hub",
                           "/process_id");
        return false;
    }
    claim->number = ids_own_number(hub, &id);
    return true;
}

/* Only capabilities that external workers run can be claimed. */
static bool find_types(const struct http_api_call *call, struct claim *claim) {
    const struct hub *hub = api_of(call)->hub;
    const char *list = claim->types;
    char type[RECORD_ID_MAX + 1];
    char message[160];
    while (claim->types[0] != '\0' && config_next_part(&list, type, sizeof type)) {
        uint32_t capability = hub_capability_find(hub, http_api_text(type));
        if (capability == HUB_NONE || !hub->capabilities[capability].is_external ||
            claim->capability_count == array_count(claim->capabilities)) {
            snprintf(message, sizeof message,
                     "there is no capability `%s` for external workers on this hub", type);
            http_api_refuse_at(call, 422, "unknown_process_type", message, "/types");
            return false;
        }
        claim->capabilities[claim->capability_count] = capability;
        claim->capability_count += 1;
    }
    return true;
}

static void write_inputs(struct api *api, struct json_writer *writer, uint32_t item) {
    struct record_header header;
    struct cbor_reader reader;
    struct record_request request = {0};
    struct hub *hub = api->hub;
    const struct store_key key = {RECORD_REQUEST, hub->items[item].process};
    if (hub_read(hub, key, &header, &reader) == STATUS_OK) {
        record_get_request(&reader, &request);
    }
    bool fits = request.inputs.size + JOB_BYTES < writer->capacity - writer->size;
    process_member_json(writer, "inputs", fits ? request.inputs : (struct bytes){0},
                        fits ? "{}" : "null");
    process_member_json(writer, "target", fits ? request.target : (struct bytes){0}, "null");
}

static void answer_claim(const struct http_api_call *call, const struct claim *claim,
                         const struct hub_claimed *claimed) {
    struct api *api = api_of(call);
    struct json_writer writer = http_api_begin_json(call);
    uint64_t seq = 0;
    json_write_begin_object(&writer, NULL);
    process_member_text(&writer, "claim_id", http_api_text(claim->claim_id));
    json_write_bool(&writer, "repeated", claimed->is_repeated);
    json_write_begin_array(&writer, "jobs");
    for (uint32_t i = 0; i < claimed->count; i++) {
        uint32_t item = claimed->items[i];
        json_write_begin_object(&writer, NULL);
        write_members(api, &writer, item);
        write_inputs(api, &writer, item);
        json_write_end_object(&writer);
        uint64_t tail =
            store_slot(&api->hub->store, api->hub->processes[api->hub->items[item].process].tail)
                ->seq;
        seq = tail > seq ? tail : seq;
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    api_answer_at(call, seq, 200, &writer);
}

void api_worker_claim(const struct http_api_call *call) {
    static struct claim claim;
    struct hub *hub = api_of(call)->hub;
    struct hub_claimed claimed = {0};
    if (!read_claim(call, &claim) || !find_types(call, &claim) || !find_process(call, &claim)) {
        return;
    }
    const struct hub_claim order = {
        .worker = http_api_text(claim.worker),
        .claim_id = http_api_text(claim.claim_id),
        .capabilities = claim.capability_count > 0 ? claim.capabilities : NULL,
        .capability_count = claim.capability_count,
        .process = claim.number,
        .batch = (uint32_t)claim.batch,
    };
    enum status status = hub->is_stopping ? STATUS_OK : hub_claim(hub, &order, &claimed);
    if (status == STATUS_AGAIN) {
        api_wait_again(call, hub_head_seq(hub));
        return;
    }
    if (status == STATUS_MALFORMED) {
        http_api_refuse(call, 422, "invalid_member", "`worker` or `claim_id` is no plain text");
        return;
    }
    check(status == STATUS_OK);
    answer_claim(call, &claim, &claimed);
}
