/* What readers see: processes, phones, slots, capabilities. */
#include "host/hubd/api_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- one process ---- */

/* Brings items and attempts of one process, one at a time, to the writer of its JSON. */
struct source {
    struct api *api;
    uint32_t process;
};

static bool bring_request(void *owner, struct record_request *request) {
    const struct source *source = owner;
    struct record_header header;
    struct cbor_reader reader;
    const struct store_key key = {RECORD_REQUEST, source->process};
    if (hub_read(source->api->hub, key, &header, &reader) != STATUS_OK) {
        return false;
    }
    record_get_request(&reader, request);
    return cbor_reader_done(&reader);
}

static struct record_time item_updated(struct hub *hub, uint32_t item) {
    struct record_header header;
    struct cbor_reader reader;
    enum status status = hub_read(hub, (struct store_key){RECORD_ITEM, item}, &header, &reader);
    return status == STATUS_OK ? header.time : (struct record_time){0};
}

static bool bring_item(void *owner, uint32_t index, struct process_json_item *item) {
    const struct source *source = owner;
    struct hub *hub = source->api->hub;
    uint32_t at = hub->processes[source->process].first_item;
    for (uint32_t i = 0; i < index && at != HUB_NONE; i++) {
        at = hub->items[at].next_of_process;
    }
    if (at == HUB_NONE) {
        return false;
    }
    const struct hub_item *of = &hub->items[at];
    *item = (struct process_json_item){
        .number = of->number,
        .image = of->image,
        .updated = item_updated(hub, at),
        .progress_percent = of->progress_percent,
    };
    uint32_t phone = of->image.phone == 0 ? HUB_NONE : hub_phone_by_number(hub, of->image.phone);
    if (phone != HUB_NONE) {
        item->phone = http_api_text(hub->phones[phone].id);
        item->step = executor_step_name(source->api->executor, phone);
    }
    return true;
}

static bool read_attempt(struct hub *hub, uint32_t item, uint32_t attempt,
                         struct process_json_attempt *result) {
    struct record_header header;
    struct cbor_reader reader;
    if (hub_read(hub, (struct store_key){RECORD_ATTEMPT, attempt}, &header, &reader) != STATUS_OK) {
        return false;
    }
    result->item = hub->items[item].number;
    result->number = hub->attempts[attempt].number;
    record_get_attempt(&reader, &result->image);
    return cbor_reader_done(&reader);
}

static bool bring_attempt(void *owner, uint32_t index, struct process_json_attempt *attempt) {
    const struct source *source = owner;
    struct hub *hub = source->api->hub;
    uint32_t left = index;
    for (uint32_t item = hub->processes[source->process].first_item; item != HUB_NONE;
         item = hub->items[item].next_of_process) {
        for (uint32_t a = hub->items[item].first_attempt;
             a != HUB_NONE && !hub->items[item].image.superseded; a = hub->attempts[a].next) {
            if (left == 0) {
                return read_attempt(hub, item, a, attempt);
            }
            left -= 1;
        }
    }
    return false;
}

void api_process_members(void *owner, struct json_writer *writer, uint32_t process) {
    struct api *api = owner;
    const struct hub *hub = api->hub;
    const struct hub_process *of = &hub->processes[process];
    struct source source = {api, process};
    bool is_plain = of->end_seq == 0 && (of->image.flags & RECORD_CANCEL_REQUESTED) == 0 &&
                    of->counts.by_state[RECORD_RUNNING] == 0;
    const char *wait = is_plain ? hub_wait_name(hub_process_wait(hub, process)) : "";
    const struct process_view view = {
        .id = api_process_id(hub, of->number),
        .process = of->image,
        .counts = of->counts,
        .updated = of->updated,
        .revision = of->revision,
        .status_detail = wait[0] == '\0' ? NULL : wait,
        .clock = api_clock(hub),
        .source = {.owner = &source,
                   .request = bring_request,
                   .item = bring_item,
                   .attempt = bring_attempt},
    };
    process_json_members(writer, &view);
}

void api_write_process(struct api *api, struct json_writer *writer, uint32_t process) {
    json_write_begin_object(writer, NULL);
    api_process_members(api, writer, process);
    json_write_end_object(writer);
}

void api_get_process(const struct http_api_call *call) {
    uint32_t process = api_process_of(call);
    if (process != HUB_NONE) {
        struct json_writer writer = http_api_begin_json(call);
        api_write_process(api_of(call), &writer, process);
        http_api_end_json(call, 200, &writer);
    }
}

/* ---- the list ---- */

struct filter {
    char status[24];
    char type[RECORD_ID_MAX + 1];
    char phone[RECORD_ID_MAX + 1];
    char failed[8];
    uint64_t limit;
    bool is_oldest_first;
    uint64_t cursor; /* only processes behind this number, in the order of the list */
};

static bool read_filter(const struct http_api_call *call, struct filter *filter) {
    *filter = (struct filter){.limit = 50};
    char sort[16];
    bool is_good = http_api_query_text(call, "status", filter->status, sizeof filter->status) &&
                   http_api_query_text(call, "type", filter->type, sizeof filter->type) &&
                   http_api_query_text(call, "phone", filter->phone, sizeof filter->phone) &&
                   http_api_query_text(call, "failed", filter->failed, sizeof filter->failed) &&
                   http_api_query_number(call, "limit", 200, &filter->limit) &&
                   http_api_query_text(call, "sort", sort, sizeof sort);
    filter->is_oldest_first = is_good && strcmp(sort, "oldest") == 0;
    filter->cursor = filter->is_oldest_first ? 0 : UINT64_MAX;
    if (is_good && !filter->is_oldest_first && sort[0] != '\0' && strcmp(sort, "newest") != 0) {
        http_api_refuse(call, 400, "malformed_query", "`sort` is newest or oldest");
        return false;
    }
    is_good = is_good && http_api_query_number(call, "cursor", INT64_MAX, &filter->cursor);
    filter->limit = filter->limit == 0 ? 1 : filter->limit;
    return is_good;
}

static const char *type_of(const struct hub *hub, const struct hub_process *process) {
    return process->capability == HUB_NONE ? "" : hub->capabilities[process->capability].name;
}

/* The phone of the newest lease, as far as the tables know it. */
static const char *phone_of(const struct hub *hub, const struct hub_process *process) {
    const char *phone = "";
    for (uint32_t item = process->first_item; item != HUB_NONE;
         item = hub->items[item].next_of_process) {
        const struct record_item *image = &hub->items[item].image;
        uint64_t number = image->phone != 0 ? image->phone : image->target_phone;
        uint32_t row = number == 0 ? HUB_NONE : hub_phone_by_number(hub, number);
        phone = row == HUB_NONE ? phone : hub->phones[row].id;
    }
    return phone;
}

static bool matches(const struct hub *hub, const struct hub_process *process,
                    const struct filter *filter) {
    const struct process_names names = process_status_names(process->status, &process->counts);
    bool has_failed = process->status == PROCESS_PARTIAL ||
                      process->status == PROCESS_DEAD_LETTER ||
                      process->status == PROCESS_NO_TARGET;
    return (filter->status[0] == '\0' || strcmp(filter->status, names.status) == 0 ||
            strcmp(filter->status, names.internal) == 0 ||
            strcmp(filter->status, names.state) == 0) &&
           (filter->type[0] == '\0' || strcmp(filter->type, type_of(hub, process)) == 0) &&
           (filter->phone[0] == '\0' || strcmp(filter->phone, phone_of(hub, process)) == 0) &&
           (filter->failed[0] == '\0' || has_failed);
}

static bool is_behind(const struct filter *filter, uint64_t number, uint64_t cursor) {
    return filter->is_oldest_first ? number > cursor : number < cursor;
}

/* The matching process that comes next behind the cursor. */
static uint32_t next_match(const struct hub *hub, const struct filter *filter, uint64_t cursor) {
    uint32_t best = HUB_NONE;
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        const struct hub_process *process = &hub->processes[p];
        if (pool_is_used(&hub->process_pool, p) && is_behind(filter, process->number, cursor) &&
            (best == HUB_NONE || is_behind(filter, hub->processes[best].number, process->number)) &&
            matches(hub, process, filter)) {
            best = p;
        }
    }
    return best;
}

static void write_row(struct api *api, struct json_writer *writer, uint32_t process) {
    struct hub *hub = api->hub;
    const struct hub_process *of = &hub->processes[process];
    const struct process_clock clock = api_clock(hub);
    struct source source = {api, process};
    struct record_request request = {0};
    (void)bring_request(&source, &request);
    uint32_t attempts = 0;
    for (uint32_t item = of->first_item; item != HUB_NONE;
         item = hub->items[item].next_of_process) {
        uint32_t attempt = hub->items[item].image.attempt;
        attempts = attempt > attempts ? attempt : attempts;
    }
    const struct process_row row = {
        .id = api_process_id(hub, of->number),
        .process_type = request.process_type,
        .request_id = request.request_id,
        .status = of->status,
        .is_in_review = of->counts.in_review > 0,
        .phone = http_api_text(phone_of(hub, of)),
        .attempts = attempts,
        .created_ms = process_time_ms(&clock, &of->image.created),
        .updated_ms = process_time_ms(&clock, &of->updated),
        .finished_ms = process_time_ms(&clock, &of->image.finished),
    };
    json_write_begin_object(writer, NULL);
    process_row_members(writer, &row);
    json_write_end_object(writer);
}

/* The first row that is not durable yet makes the whole page wait; 0: none. */
static uint64_t awaited_seq(const struct hub *hub, const struct filter *filter) {
    uint64_t cursor = filter->cursor;
    for (uint64_t i = 0; i < filter->limit; i++) {
        uint32_t process = next_match(hub, filter, cursor);
        if (process == HUB_NONE) {
            return 0;
        }
        uint64_t seq = store_slot(&hub->store, hub->processes[process].tail)->seq;
        if (seq > hub_durable_seq(hub)) {
            return seq;
        }
        cursor = hub->processes[process].number;
    }
    return 0;
}

void api_list_processes(const struct http_api_call *call) {
    struct api *api = api_of(call);
    struct filter filter;
    if (!read_filter(call, &filter)) {
        return;
    }
    uint64_t awaited = awaited_seq(api->hub, &filter);
    if (awaited != 0) {
        api_wait_again(call, awaited);
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "processes");
    uint64_t cursor = filter.cursor;
    uint32_t process = next_match(api->hub, &filter, cursor);
    for (uint64_t i = 0; i < filter.limit && process != HUB_NONE; i++) {
        write_row(api, &writer, process);
        cursor = api->hub->processes[process].number;
        process = next_match(api->hub, &filter, cursor);
    }
    json_write_end_array(&writer);
    if (process != HUB_NONE) {
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
        json_write_string(&writer, "next_cursor", text);
    } else {
        json_write_null(&writer, "next_cursor");
    }
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

/* ---- capabilities ---- */

static void write_capability(const struct api *api, struct json_writer *writer, uint32_t index) {
    static const char *const routings[RECORD_ROUTING_COUNT] = {"direct", "queue", "group"};
    const struct capability *of = &api->hub->capabilities[index];
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "name", of->name);
    json_write_begin_array(writer, "routing");
    for (unsigned i = 0; i < RECORD_ROUTING_COUNT; i++) {
        if ((of->routings >> i & 1u) != 0) {
            json_write_string(writer, NULL, routings[i]);
        }
    }
    json_write_end_array(writer);
    json_write_string(writer, "runner", of->is_external ? "external" : "hub");
    json_write_bool(writer, "unattended", of->is_permitted && of->is_live_verified);
    json_write_uint(writer, "priority", of->priority);
    json_write_uint(writer, "attempts_max", of->attempts_max);
    json_write_uint(writer, "attempt_seconds", of->attempt_ms / 1000);
    json_write_begin_array(writer, "retry_on");
    for (unsigned c = 1; c < RECORD_CATEGORY_COUNT; c++) {
        if ((of->retryable >> c & 1u) != 0) {
            json_write_string(writer, NULL, record_category_name(c));
        }
    }
    json_write_end_array(writer);
    json_write_begin_array(writer, "actions");
    for (uint32_t a = 0; a < api->executor->lists[index].count; a++) {
        json_write_string(writer, NULL, api->executor->lists[index].actions[a].name);
    }
    json_write_end_array(writer);
    json_write_bool(writer, "retired", of->is_retired);
    json_write_end_object(writer);
}

void api_get_capabilities(const struct http_api_call *call) {
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "capabilities");
    for (uint32_t c = 0; c < api_of(call)->hub->capability_count; c++) {
        write_capability(api_of(call), &writer, c);
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}
