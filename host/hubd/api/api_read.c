/* What readers see: a process, and capabilities. */
#include "host/hubd/api/api_internal.h"
#include "host/shared/capability_json.h"

/* ---- one process ---- */

/* Brings items and attempts of one process, one at a time, to the writer of its JSON. */
struct source {
    struct api *api;
    uint32_t process;
};

bool api_read_request(struct hub *hub, uint32_t process, struct record_request *request) {
    struct record_header header;
    struct cbor_reader reader;
    if (hub_read(hub, (struct store_key){RECORD_REQUEST, process}, &header, &reader) != STATUS_OK) {
        return false;
    }
    record_get_request(&reader, request);
    return cbor_reader_done(&reader);
}

static bool bring_request(void *owner, struct record_request *request) {
    const struct source *source = owner;
    return api_read_request(source->api->hub, source->process, request);
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
        .number = ids_item_number(hub, at),
        .image = of->image,
        .updated = item_updated(hub, at),
        .progress_percent = of->progress_percent,
    };
    uint32_t phone = hub_item_last_phone(hub, at);
    if (phone != HUB_NONE) {
        item->phone = http_api_text(hub->phones[phone].id);
    }
    if (of->image.phone != 0) {
        item->step = executor_step_name(source->api->executor, phone);
    }
    return true;
}

bool api_read_attempt(struct hub *hub, uint32_t attempt, struct record_attempt *image) {
    struct record_header header;
    struct cbor_reader reader;
    if (hub_read(hub, (struct store_key){RECORD_ATTEMPT, attempt}, &header, &reader) != STATUS_OK) {
        return false;
    }
    record_get_attempt(&reader, image);
    return cbor_reader_done(&reader);
}

static bool read_attempt(struct hub *hub, uint32_t item, uint32_t attempt,
                         struct process_json_attempt *result) {
    result->item = ids_item_number(hub, item);
    result->number = hub->attempts[attempt].number;
    return api_read_attempt(hub, attempt, &result->image);
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
        .id = ids_process(hub, of->number),
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
    bool is_part = hub_is_part(hub, process);
    json_write_string(writer, "owner", is_part ? "up" : hub->hub_id);
    json_write_bool(writer, "part", is_part);
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

/* ---- capabilities ---- */

void api_get_capabilities(const struct http_api_call *call) {
    const struct api *api = api_of(call);
    capabilities_write(call, api->hub->capabilities, api->executor->lists,
                       api->hub->capability_count);
}
