/* GET /processes/{id}: a process put together from its objects' newest images. */
#include "host/shared/json.h"
#include "host/shared/process_json.h"
#include "host/upstreamd/api/api_internal.h"

#include <string.h>

enum { TOKENS = 2048 };

/* Brings request, items and attempts to the writer of the process's JSON, one at a time. */
struct source {
    struct db *db;
    int64_t store;
    uint64_t number;
    uint64_t item_path[3];    /* of the item brought last */
    uint64_t attempt_path[3]; /* of the attempt brought last */
    uint64_t judged_item;     /* whose `superseded` was looked up last; 0: none */
    bool is_superseded;
    bool is_fleets; /* phones have the fleet's numbers */
    char phone[DB_PHONE_SIZE];
};

static uint8_t image_buffer[DB_RECORD_MAX];
static uint8_t side_buffer[DB_RECORD_MAX]; /* while a view into the first is in use */

/* A hub validated what its callers gave; upstream does not rely on that. */
static void drop_bad_json(struct bytes *text) {
    static jsmntok_t tokens[TOKENS];
    struct json json;
    struct json_error error;
    if (text->size > 0 && json_parse(&json, *text, tokens, TOKENS, &error) == STATUS_MALFORMED) {
        *text = (struct bytes){0};
    }
}

/* Finds an object and leaves the reader at its image. */
static enum status read_object(struct source *source, enum record_kind kind, const uint64_t path[3],
                               struct record_header *header, struct cbor_reader *reader) {
    struct db_image image = {.buffer = image_buffer};
    enum status status = db_object_get(source->db, source->store, kind, path, &image);
    if (status == STATUS_OK) {
        cbor_reader_init(reader, image.bytes);
        record_get_header(reader, header);
    }
    return status;
}

static bool bring_request(void *owner, struct record_request *request) {
    struct source *source = owner;
    const uint64_t path[3] = {source->number};
    struct record_header header;
    struct cbor_reader reader;
    if (read_object(source, RECORD_REQUEST, path, &header, &reader) != STATUS_OK) {
        return false;
    }
    record_get_request(&reader, request);
    if (!cbor_reader_done(&reader)) {
        *request = (struct record_request){0};
        return false;
    }
    struct bytes *const texts[] = {&request->target,   &request->inputs, &request->callback,
                                   &request->metadata, &request->labels, &request->extra};
    for (size_t i = 0; i < array_count(texts); i++) {
        drop_bad_json(texts[i]);
    }
    return true;
}

static void find_fleet_phone(struct source *source, uint64_t number) {
    struct db_fleet_phone phone;
    source->phone[0] = '\0';
    if (number != 0 && db_fleet_phone_get(source->db, number, &phone) == STATUS_OK) {
        memcpy(source->phone, phone.id, sizeof source->phone);
    }
}

static void find_phone(struct source *source, uint64_t number) {
    struct db_image image = {.buffer = side_buffer};
    const uint64_t path[3] = {number};
    struct record_header header;
    struct cbor_reader reader;
    struct record_phone phone;
    source->phone[0] = '\0';
    if (number == 0 ||
        db_object_get(source->db, source->store, RECORD_PHONE, path, &image) != STATUS_OK) {
        return;
    }
    cbor_reader_init(&reader, image.bytes);
    record_get_header(&reader, &header);
    record_get_phone(&reader, &phone);
    if (cbor_reader_done(&reader) && phone.id.size < sizeof source->phone) {
        memcpy(source->phone, phone.id.data, phone.id.size);
        source->phone[phone.id.size] = '\0';
    }
}

/* Of the newest attempt: where an item ran that has no phone any more, and how far a running one
 * had come when the hub last recorded it. */
static void find_attempt(struct source *source, struct process_json_item *item) {
    struct db_image image = {.buffer = side_buffer};
    const uint64_t path[3] = {source->number, item->number, item->image.attempt};
    struct record_header header;
    struct cbor_reader reader;
    struct record_attempt attempt;
    if (item->image.attempt == 0 ||
        db_object_get(source->db, source->store, RECORD_ATTEMPT, path, &image) != STATUS_OK) {
        return;
    }
    cbor_reader_init(&reader, image.bytes);
    record_get_header(&reader, &header);
    record_get_attempt(&reader, &attempt);
    if (!cbor_reader_done(&reader)) {
        return;
    }
    if (source->phone[0] == '\0' && attempt.phone_id.size < sizeof source->phone) {
        memcpy(source->phone, attempt.phone_id.data, attempt.phone_id.size);
        source->phone[attempt.phone_id.size] = '\0';
    }
    if (item->image.state == RECORD_RUNNING && attempt.outcome == RECORD_UNFINISHED) {
        item->progress_percent = attempt.progress_percent;
    }
}

static bool bring_item(void *owner, uint32_t index, struct process_json_item *item) {
    struct source *source = owner;
    struct db_image image = {.buffer = image_buffer};
    struct record_header header;
    struct cbor_reader reader;
    if (index == 0) {
        memset(source->item_path, 0, sizeof source->item_path);
        source->item_path[0] = source->number;
    }
    if (db_object_next(source->db, source->store, RECORD_ITEM, source->item_path, &image) !=
        STATUS_OK) {
        return false;
    }
    memcpy(source->item_path, image.path, sizeof source->item_path);
    cbor_reader_init(&reader, image.bytes);
    record_get_header(&reader, &header);
    *item = (struct process_json_item){.number = (uint32_t)header.path[1], .updated = header.time};
    record_get_item(&reader, &item->image);
    if (source->is_fleets) {
        find_fleet_phone(source, item->image.phone);
    } else {
        find_phone(source, item->image.phone);
    }
    find_attempt(source, item);
    item->phone = http_api_text(source->phone);
    return cbor_reader_done(&reader);
}

static bool is_superseded(struct source *source, uint64_t number) {
    const uint64_t path[3] = {source->number, number};
    struct record_header header;
    struct cbor_reader reader;
    struct record_item item = {0};
    if (source->judged_item != number) {
        source->judged_item = number;
        if (read_object(source, RECORD_ITEM, path, &header, &reader) == STATUS_OK) {
            record_get_item(&reader, &item);
        }
        source->is_superseded = item.superseded;
    }
    return source->is_superseded;
}

static bool bring_attempt(void *owner, uint32_t index, struct process_json_attempt *attempt) {
    struct source *source = owner;
    struct db_image image = {.buffer = side_buffer};
    struct record_header header;
    struct cbor_reader reader;
    if (index == 0) {
        memset(source->attempt_path, 0, sizeof source->attempt_path);
        source->attempt_path[0] = source->number;
    }
    do {
        if (db_object_next(source->db, source->store, RECORD_ATTEMPT, source->attempt_path,
                           &image) != STATUS_OK) {
            return false;
        }
        memcpy(source->attempt_path, image.path, sizeof source->attempt_path);
    } while (is_superseded(source, image.path[1]));
    cbor_reader_init(&reader, image.bytes);
    record_get_header(&reader, &header);
    attempt->item = (uint32_t)header.path[1];
    attempt->number = (uint32_t)header.path[2];
    record_get_attempt(&reader, &attempt->image);
    drop_bad_json(&attempt->image.result);
    return cbor_reader_done(&reader);
}

/* Counts the items that are not superseded. */
static void count_items(struct source *source, struct process_counts *counts) {
    struct process_json_item item = {0};
    for (uint32_t i = 0; bring_item(source, i, &item); i++) {
        if (item.image.superseded) {
            continue;
        }
        counts->by_state[item.image.state] += 1;
        bool in_review =
            item.image.state == RECORD_SUSPENDED && item.image.suspension == RECORD_SUSPEND_REVIEW;
        counts->in_review = (uint16_t)(counts->in_review + in_review);
    }
}

/* When the hubs that have something of it were heard last; without any, upstream itself knows. */
static uint64_t find_seen(struct api *api, const struct db_process *process) {
    char name[RECORD_ID_MAX + 1] = "";
    uint64_t seen_ms = api->fleet->now.wall_ms;
    struct db_hub hub;
    if (!api_is_fleets(process)) {
        return process->hub_seen_ms;
    }
    while (db_item_hub_next(api->fleet->db, process->number, name, name) == STATUS_OK) {
        if (db_hub_get(api->fleet->db, name, &hub) == STATUS_OK && hub.last_seen_ms < seen_ms) {
            seen_ms = hub.last_seen_ms;
        }
    }
    return seen_ms;
}

void api_write_age(struct api *api, struct json_writer *writer, const struct db_process *process) {
    uint64_t seen_ms = find_seen(api, process);
    json_write_string(writer, "hub_id", process->hub_id);
    process_time_write_ms(writer, "status_as_of", seen_ms);
    process_time_write_ms(writer, "hub_last_seen", seen_ms);
    json_write_bool(writer, "stale", fleet_is_stale(api->fleet, seen_ms));
    json_write_bool(writer, "lost", process->is_lost);
}

static void fill_view(struct source *source, const struct db_process *process,
                      struct process_view *view) {
    const uint64_t path[3] = {process->number};
    struct record_header header;
    struct cbor_reader reader;
    if (read_object(source, RECORD_PROCESS, path, &header, &reader) == STATUS_OK) {
        record_get_process(&reader, &view->process);
    }
    count_items(source, &view->counts);
    for (size_t i = 0; i < RECORD_ITEM_STATE_COUNT; i++) {
        if (view->counts.by_state[i] > 0) {
            view->process.flags |= RECORD_PLANNED; /* what a hub says is not judged by a check */
        }
    }
}

void api_write_process(struct api *api, struct json_writer *writer,
                       const struct db_process *process) {
    struct fleet *fleet = api->fleet;
    struct record_boot boots[DB_BOOTS_MAX];
    uint32_t boot_count = 0;
    if (db_boots_get(fleet->db, process->store, boots, &boot_count) != STATUS_OK) {
        boot_count = 0; /* times that need an offset are null */
    }
    struct source source = {.db = fleet->db,
                            .store = process->store,
                            .number = process->number,
                            .is_fleets = api_is_fleets(process)};
    struct process_view view = {
        .id = api_id_of(process),
        .updated = record_time_of(process->updated_ms > 0, 0, process->updated_ms, 0),
        .revision = process->revision,
        .clock = {boots, boot_count},
        .source = {&source, bring_request, bring_item, bring_attempt},
        .status_detail = process->is_lost ? "lost_by_hub" : NULL,
    };
    fill_view(&source, process, &view);
    process_json_members(writer, &view);
    api_write_age(api, writer, process);
}

void api_get_process(const struct http_api_call *call) {
    struct db_process process;
    if (!api_find_process(call, &process)) {
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    api_write_process(api_of(call), &writer, &process);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}
