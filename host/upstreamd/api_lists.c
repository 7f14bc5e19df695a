/* GET /processes, /phones, /phones/{id} and /hubs. */
#include "host/shared/phone_row.h"
#include "host/shared/process_member.h"
#include "host/shared/process_row.h"
#include "host/upstreamd/api_internal.h"

#include <stdio.h>
#include <string.h>

enum { LIMIT_USUAL = 50, LIMIT_MAX = 200, STATUS_TEXT = 24 };

static uint8_t image_buffer[DB_RECORD_MAX];

/* ---- processes ---- */

/* The rows that a public, internal or data model status stands for; 0: it is none. */
static uint32_t status_bits(const char *text) {
    const struct process_counts reviewed = {.in_review = 1};
    uint32_t bits = 0;
    for (int row = PROCESS_NONE + 1; row < PROCESS_STATUS_COUNT; row++) {
        struct process_names names = process_status_names((enum process_status)row, NULL);
        bool is_it =
            strcmp(text, names.status) == 0 || strcmp(text, names.internal) == 0 ||
            strcmp(text, names.state) == 0 ||
            strcmp(text, process_status_names((enum process_status)row, &reviewed).state) == 0;
        bits |= (uint32_t)is_it << row;
    }
    return bits;
}

static bool read_status(const struct http_api_call *call, struct db_filter *filter) {
    char text[STATUS_TEXT];
    char failed[8];
    const uint32_t failures =
        1u << PROCESS_NO_TARGET | 1u << PROCESS_PARTIAL | 1u << PROCESS_DEAD_LETTER;
    if (!http_api_query_text(call, "status", text, sizeof text) ||
        !http_api_query_text(call, "failed", failed, sizeof failed)) {
        return false;
    }
    if (text[0] != '\0') {
        filter->statuses = status_bits(text);
        if (filter->statuses == 0) {
            http_api_refuse(call, 400, "malformed_query",
                            "the query's `status` is none that there is");
            return false;
        }
    }
    if (failed[0] != '\0') {
        filter->statuses = filter->statuses == 0 ? failures : filter->statuses & failures;
        filter->statuses |= filter->statuses == 0; /* row 0 is nobody's: nothing matches */
    }
    return true;
}

static bool read_sort(const struct http_api_call *call, struct db_filter *filter) {
    char text[16];
    if (!http_api_query_text(call, "sort", text, sizeof text)) {
        return false;
    }
    filter->is_oldest_first = strcmp(text, "oldest") == 0;
    if (text[0] != '\0' && !filter->is_oldest_first && strcmp(text, "newest") != 0) {
        http_api_refuse(call, 400, "malformed_query", "the query's `sort` is newest or oldest");
        return false;
    }
    return true;
}

static void write_row(struct json_writer *writer, const struct fleet *fleet,
                      const struct db_process *process) {
    const struct process_row row = {
        .id = process_id_make(http_api_text(process->hub_id), process->epoch, process->number),
        .process_type = http_api_text(process->process_type),
        .request_id = http_api_text(process->request_id),
        .status = (enum process_status)process->status,
        .is_in_review = process->is_in_review,
        .phone = http_api_text(process->phone),
        .attempts = process->attempts,
        .created_ms = process->created_ms,
        .updated_ms = process->updated_ms,
        .finished_ms = process->finished_ms,
    };
    const struct db_hub *hub = fleet_hub(fleet, process->hub_id);
    json_write_begin_object(writer, NULL);
    process_row_members(writer, &row);
    json_write_string(writer, "hub_id", process->hub_id);
    process_time_write_ms(writer, "status_as_of", hub == NULL ? 0 : hub->last_seen_ms);
    json_write_bool(writer, "stale", hub == NULL || fleet_is_stale(fleet, hub));
    json_write_end_object(writer);
}

void api_list_processes(const struct http_api_call *call) {
    struct fleet *fleet = api_of(call)->fleet;
    struct db_filter filter = {0};
    struct db_process process = {0};
    uint64_t limit = LIMIT_USUAL;
    uint64_t cursor = 0;
    if (!http_api_query_number(call, "limit", LIMIT_MAX, &limit) ||
        !http_api_query_number(call, "cursor", SYNC_SEQ_MAX, &cursor) ||
        !read_status(call, &filter) || !read_sort(call, &filter) ||
        !http_api_query_text(call, "type", filter.process_type, sizeof filter.process_type) ||
        !http_api_query_text(call, "hub", filter.hub_id, sizeof filter.hub_id) ||
        !http_api_query_text(call, "phone", filter.phone, sizeof filter.phone)) {
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "processes");
    enum status status = db_process_next(fleet->db, &filter, (int64_t)cursor, &process);
    for (uint64_t i = 0; i < limit && status == STATUS_OK; i++) {
        write_row(&writer, fleet, &process);
        cursor = (uint64_t)process.id;
        status = db_process_next(fleet->db, &filter, process.id, &process);
    }
    if (api_refuse_failure(call, status)) {
        return;
    }
    json_write_end_array(&writer);
    if (status == STATUS_OK) {
        process_member_big(&writer, "next_cursor", cursor);
    } else {
        json_write_null(&writer, "next_cursor");
    }
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

/* ---- phones ---- */

/* One phone of a hub's present store. `wanted` empty: any. True: it was written. */
static bool write_phone(struct json_writer *writer, struct db *db, const struct db_store *store,
                        const struct db_image *image, struct bytes wanted) {
    struct record_boot boots[DB_BOOTS_MAX];
    uint32_t boot_count = 0;
    struct record_header header;
    struct phone_row row = {.hub_id = http_api_text(store->hub_id)};
    struct cbor_reader reader;
    cbor_reader_init(&reader, image->bytes);
    record_get_header(&reader, &header);
    record_get_phone(&reader, &row.image);
    bool is_wanted = wanted.size == 0 || (wanted.size == row.image.id.size &&
                                          memcmp(wanted.data, row.image.id.data, wanted.size) == 0);
    if (!cbor_reader_done(&reader) || !is_wanted ||
        db_boots_get(db, store->id, boots, &boot_count) != STATUS_OK) {
        return false;
    }
    struct db_lease lease = {.store = store->id, .phone = header.path[0]};
    row.is_leased = db_lease_get(db, &lease) == STATUS_OK;
    row.lease = process_id_make(row.hub_id, store->epoch, lease.process);
    row.lease.item = (uint32_t)lease.item;
    row.updated_ms = process_time_ms(&(struct process_clock){boots, boot_count}, &header.time);
    json_write_begin_object(writer, NULL);
    phone_row_members(writer, &row);
    json_write_end_object(writer);
    return true;
}

/* Writes the phones of every hub, or the one of that id; gives how many. */
static uint32_t write_phones(struct json_writer *writer, struct fleet *fleet, struct bytes wanted,
                             const char *hub_id) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < fleet->hub_count; i++) {
        struct db_image image = {.buffer = image_buffer};
        struct db_store store;
        const struct db_hub *hub = &fleet->hubs[i];
        if ((hub_id[0] != '\0' && strcmp(hub_id, hub->id) != 0) ||
            db_store_get(fleet->db, hub->store, &store) != STATUS_OK) {
            continue;
        }
        uint64_t behind = 0;
        while ((wanted.size == 0 || count == 0) &&
               db_phone_next(fleet->db, store.id, behind, &image) == STATUS_OK) {
            behind = image.path[0];
            count += write_phone(writer, fleet->db, &store, &image, wanted);
        }
    }
    return count;
}

void api_get_phones(const struct http_api_call *call) {
    char hub_id[RECORD_ID_MAX + 1];
    if (!http_api_query_text(call, "hub", hub_id, sizeof hub_id)) {
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "phones");
    (void)write_phones(&writer, api_of(call)->fleet, (struct bytes){0}, hub_id);
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

void api_get_phone(const struct http_api_call *call) {
    struct json_writer writer = http_api_begin_json(call);
    if (write_phones(&writer, api_of(call)->fleet, call->id, "") == 0) {
        http_api_refuse(call, 404, "not_found", "no hub has told of a phone of this id");
    } else {
        http_api_end_json(call, 200, &writer);
    }
}

/* ---- hubs ---- */

static void write_hex(struct json_writer *writer, const char *name, const uint8_t *data,
                      size_t size) {
    char text[2 * SYNC_STORE_ID_BYTES + 1] = "";
    check(2 * size < sizeof text);
    for (size_t i = 0; i < size; i++) {
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    }
    json_write_string(writer, name, text);
}

static void write_hub(struct json_writer *writer, struct fleet *fleet, const struct db_hub *hub) {
    struct db_store store = {0};
    bool has_store = db_store_get(fleet->db, hub->store, &store) == STATUS_OK;
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "hub_id", hub->id);
    json_write_bool(writer, "stale", fleet_is_stale(fleet, hub));
    process_time_write_ms(writer, "hub_last_seen", hub->last_seen_ms);
    process_time_write_ms(writer, "first_seen", hub->first_seen_ms);
    if (has_store) {
        write_hex(writer, "store_id", store.store_id, sizeof store.store_id);
        write_hex(writer, "chain", store.chain, sizeof store.chain);
    } else {
        json_write_null(writer, "store_id");
        json_write_null(writer, "chain");
    }
    json_write_uint(writer, "store_epoch", store.epoch);
    json_write_uint(writer, "cursor", store.cursor);
    json_write_uint(writer, "boot", hub->boot);
    json_write_uint(writer, "free_items", hub->capacity);
    json_write_uint(writer, "phones", hub->phones);
    json_write_uint(writer, "forks", hub->forks);
    process_time_write_ms(writer, "newest_record_at", hub->record_ms);
    json_write_uint(writer, "sync_lag_ms", hub->lag_ms);
    json_write_end_object(writer);
}

void api_get_hubs(const struct http_api_call *call) {
    struct fleet *fleet = api_of(call)->fleet;
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "hubs");
    for (uint32_t i = 0; i < fleet->hub_count; i++) {
        write_hub(&writer, fleet, &fleet->hubs[i]);
    }
    json_write_end_array(&writer);
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}
