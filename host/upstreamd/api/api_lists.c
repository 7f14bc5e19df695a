/* GET /processes, /phones, /phones/{id} and /hubs. */
#include "host/shared/log.h"
#include "host/shared/phone_row.h"
#include "host/shared/process_member.h"
#include "host/shared/process_row.h"
#include "host/shared/log.h"
#include "host/upstreamd/api/api_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LIMIT_USUAL = 50,
    LIMIT_MAX = 200,
    PHONES_MAX = 500,
    HUBS_MAX = 200, /* each with its newest gaps */
    STATUS_TEXT = 24,
    GAPS_SHOWN = 8,
    PLACE_SIZE = RECORD_ID_MAX + 24,
};

struct phone_page {
    uint32_t limit;
    struct bytes wanted; /* one phone's id; empty: any */
    uint32_t count;      /* out: written */
};

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
        .id = api_id_of(process),
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
    uint64_t seen_ms = api_is_fleets(process) ? fleet->now.wall_ms : process->hub_seen_ms;
    json_write_begin_object(writer, NULL);
    process_row_members(writer, &row);
    json_write_string(writer, "hub_id", process->hub_id);
    process_time_write_ms(writer, "status_as_of", seen_ms);
    json_write_bool(writer, "stale", fleet_is_stale(fleet, seen_ms));
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
    db_process_walk(fleet->db, &filter, (int64_t)cursor, (uint32_t)limit + 1);
    enum status status = db_process_next(fleet->db, &process);
    for (uint64_t i = 0; i < limit && status == STATUS_OK; i++) {
        write_row(&writer, fleet, &process);
        cursor = (uint64_t)process.id;
        status = db_process_next(fleet->db, &process);
    }
    db_walk_end(fleet->db);
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

/* Clocks of the store that the phones being listed belong to. */
struct phone_clock {
    int64_t store; /* 0: none yet */
    struct record_boot boots[DB_BOOTS_MAX];
    uint32_t boot_count;
};

/* True: it was written. */
static bool write_phone(struct json_writer *writer, struct db *db, const struct db_phone *phone,
                        struct phone_clock *clock, struct bytes wanted) {
    struct record_header header;
    struct phone_row row = {.hub_id = http_api_text(phone->store.hub_id)};
    struct cbor_reader reader;
    cbor_reader_init(&reader, phone->image.bytes);
    record_get_header(&reader, &header);
    record_get_phone(&reader, &row.image);
    bool is_wanted = wanted.size == 0 || (wanted.size == row.image.id.size &&
                                          memcmp(wanted.data, row.image.id.data, wanted.size) == 0);
    if (!cbor_reader_done(&reader) || !is_wanted) {
        return false;
    }
    if (clock->store != phone->store.id) {
        clock->store = phone->store.id;
        if (db_boots_get(db, clock->store, clock->boots, &clock->boot_count) != STATUS_OK) {
            clock->boot_count = 0;
        }
    }
    row.is_leased = phone->lease.process != 0;
    row.lease = process_id_make(row.hub_id, phone->store.first_epoch, phone->lease.process);
    row.lease.item = (uint32_t)phone->lease.item;
    row.updated_ms =
        process_time_ms(&(struct process_clock){clock->boots, clock->boot_count}, &header.time);
    json_write_begin_object(writer, NULL);
    phone_row_members(writer, &row);
    json_write_end_object(writer);
    return true;
}

/* Writes phones behind the one of `place`, which moves on, until one is left over (OK), or none is
 * (NOT_FOUND). */
static enum status write_phones(struct json_writer *writer, struct db *db, struct db_phone *place,
                                const char *hub_id, struct phone_page *page) {
    static struct phone_clock clock;
    static struct db_phone phone;
    clock.store = 0;
    phone.image.buffer = image_buffer;
    db_phone_walk(db, place, hub_id, page->limit + 1);
    enum status status = db_phone_next(db, &phone);
    for (uint32_t i = 0; i < page->limit && status == STATUS_OK; i++) {
        page->count += write_phone(writer, db, &phone, &clock, page->wanted);
        *place = phone;
        status = db_phone_next(db, &phone);
    }
    db_walk_end(db);
    return status;
}

/* `HUB/NUMBER` of the last phone shown. False: refused. */
static bool read_place(const struct http_api_call *call, struct db_phone *place) {
    char text[PLACE_SIZE];
    if (!http_api_query_text(call, "cursor", text, sizeof text)) {
        return false;
    }
    char *slash = strrchr(text, '/');
    char *end = NULL;
    *place = (struct db_phone){0};
    if (text[0] == '\0') {
        return true;
    }
    if (slash == NULL || slash - text > RECORD_ID_MAX) {
        http_api_refuse(call, 400, "malformed_query", "the query's `cursor` is a next_cursor");
        return false;
    }
    memcpy(place->store.hub_id, text, (size_t)(slash - text));
    place->image.path[0] = strtoull(slash + 1, &end, 10) & SYNC_SEQ_MAX;
    return true;
}

void api_get_phones(const struct http_api_call *call) {
    char hub_id[RECORD_ID_MAX + 1];
    uint64_t limit = PHONES_MAX;
    struct db_phone place;
    if (!http_api_query_text(call, "hub", hub_id, sizeof hub_id) || !read_place(call, &place) ||
        !http_api_query_number(call, "limit", PHONES_MAX, &limit)) {
        return;
    }
    struct phone_page page = {.limit = (uint32_t)limit};
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "phones");
    enum status status = write_phones(&writer, api_of(call)->fleet->db, &place, hub_id, &page);
    if (api_refuse_failure(call, status)) {
        return;
    }
    json_write_end_array(&writer);
    if (status == STATUS_OK) {
        char cursor[PLACE_SIZE];
        snprintf(cursor, sizeof cursor, "%s/%llu", place.store.hub_id,
                 (unsigned long long)place.image.path[0]);
        json_write_string(&writer, "next_cursor", cursor);
    } else {
        json_write_null(&writer, "next_cursor");
    }
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}

void api_get_phone(const struct http_api_call *call) {
    struct json_writer writer = http_api_begin_json(call);
    struct db_phone place = {0};
    struct phone_page page = {.limit = PHONES_MAX, .wanted = call->id};
    enum status status = STATUS_OK;
    while (status == STATUS_OK && page.count == 0) {
        status = write_phones(&writer, api_of(call)->fleet->db, &place, "", &page);
    }
    if (api_refuse_failure(call, status)) {
        return;
    }
    if (page.count == 0) {
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

/* The newest gaps of a store, newest first. */
static void write_gaps(struct json_writer *writer, struct fleet *fleet, int64_t store) {
    const uint64_t seq_mask = (UINT64_C(1) << DB_SEQ_BITS) - 1;
    struct record_gap gap = {.last = SYNC_SEQ_MAX};
    uint64_t at_ms;
    json_write_begin_array(writer, "gaps");
    for (int i = 0; i < GAPS_SHOWN && store != 0 &&
                    db_gap_before(fleet->db, store, gap.last, &gap, &at_ms) == STATUS_OK;
         i++) {
        json_write_begin_object(writer, NULL);
        json_write_uint(writer, "first_seq", gap.first & seq_mask);
        json_write_uint(writer, "last_seq", gap.last & seq_mask);
        process_time_write_ms(writer, "told_at", at_ms);
        json_write_begin_object(writer, "dropped");
        for (size_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
            json_write_uint(writer, record_kind_name((enum record_kind)kind), gap.dropped[kind]);
        }
        json_write_end_object(writer);
        json_write_end_object(writer);
    }
    json_write_end_array(writer);
}

static void write_hub(struct json_writer *writer, struct fleet *fleet, const struct db_hub *hub) {
    struct db_store store = {0};
    bool has_store = db_store_get(fleet->db, hub->store, &store) == STATUS_OK;
    json_write_begin_object(writer, NULL);
    json_write_string(writer, "hub_id", hub->id);
    json_write_bool(writer, "stale", fleet_is_stale(fleet, hub->last_seen_ms));
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
    json_write_bool(writer, "reconciling", store.is_listing || store.named != 0);
    process_time_write_ms(writer, "quarantined_since", hub->quarantined_ms);
    json_write_uint(writer, "gap_count", hub->gaps);
    json_write_uint(writer, "given_up_records", hub->given_up);
    write_gaps(writer, fleet, hub->gaps > 0 ? store.id : 0);
    process_time_write_ms(writer, "newest_record_at", hub->record_ms);
    json_write_uint(writer, "sync_lag_ms", hub->lag_ms);
    json_write_end_object(writer);
}

struct release {
    struct fleet *fleet;
    const char *hub_id;
};

static enum status release(void *owner) {
    const struct release *release = owner;
    return fleet_release(release->fleet, release->hub_id);
}

void api_release_hub(const struct http_api_call *call) {
    struct fleet *fleet = api_of(call)->fleet;
    char hub_id[RECORD_ID_MAX + 1] = "";
    enum status status = STATUS_NOT_FOUND;
    if (call->id.size <= RECORD_ID_MAX) {
        memcpy(hub_id, call->id.data, call->id.size);
        status = db_transact(fleet->db, release, &(struct release){fleet, hub_id});
    }
    if (status == STATUS_NOT_FOUND) {
        http_api_refuse(call, 404, "not_found", "no hub of this id has ever pushed");
    } else if (!api_refuse_failure(call, status)) {
        log_warn("hub_released hub=%s", hub_id);
        struct json_writer writer = http_api_begin_json(call);
        json_write_begin_object(&writer, NULL);
        json_write_string(&writer, "hub_id", hub_id);
        json_write_bool(&writer, "released", true);
        json_write_end_object(&writer);
        http_api_end_json(call, 200, &writer);
    }
}

void api_get_hubs(const struct http_api_call *call) {
    struct fleet *fleet = api_of(call)->fleet;
    char cursor[RECORD_ID_MAX + 1];
    uint64_t limit = HUBS_MAX;
    struct db_hub hub;
    if (!http_api_query_text(call, "cursor", cursor, sizeof cursor) ||
        !http_api_query_number(call, "limit", HUBS_MAX, &limit)) {
        return;
    }
    struct json_writer writer = http_api_begin_json(call);
    json_write_begin_object(&writer, NULL);
    json_write_begin_array(&writer, "hubs");
    db_hub_walk(fleet->db, cursor, (uint32_t)limit + 1);
    enum status status = db_hub_next(fleet->db, &hub);
    for (uint64_t i = 0; i < limit && status == STATUS_OK; i++) {
        write_hub(&writer, fleet, &hub);
        memcpy(cursor, hub.id, sizeof cursor);
        status = db_hub_next(fleet->db, &hub);
    }
    db_walk_end(fleet->db);
    if (api_refuse_failure(call, status)) {
        return;
    }
    json_write_end_array(&writer);
    if (status == STATUS_OK) {
        json_write_string(&writer, "next_cursor", cursor);
    } else {
        json_write_null(&writer, "next_cursor");
    }
    json_write_end_object(&writer);
    http_api_end_json(call, 200, &writer);
}
