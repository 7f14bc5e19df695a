#include "host/upstreamd/fleet/teller.h"

#include "host/shared/log.h"
#include "host/shared/process_member.h"
#include "host/upstreamd/api/api_internal.h"

#include <string.h>

static uint8_t image_buffer[DB_RECORD_MAX];

void teller_init(struct teller *teller, struct api *api, struct callbacks *callbacks) {
    *teller = (struct teller){.api = api, .callbacks = callbacks, .is_dirty = true};
    api->told = &teller->counters;
    teller->jitter = (struct jitter){.state = api->fleet->now.wall_ms | 1};
}

void teller_note(struct teller *teller) {
    teller->is_dirty = true;
}

static struct db *db_of(const struct teller *teller) {
    return teller->api->fleet->db;
}

/* ---- which change is next ---- */

/* The oldest change behind what was told; without one, all of it counts as told. */
static enum status find_change(struct teller *teller, struct db_fleet_process *row,
                               struct callback_change *change) {
    struct db_image image = {.buffer = image_buffer};
    struct record_header header;
    struct cbor_reader reader;
    uint64_t at = row->told;
    for (;;) {
        enum status status = db_event_next(db_of(teller), row->store, row->number, at, &image);
        if (status != STATUS_OK) {
            row->told = at;
            return status;
        }
        at = image.path[1];
        cbor_reader_init(&reader, image.bytes);
        record_get_header(&reader, &header);
        *change = callback_change_of(&header);
        if (!reader.failed && callback_is_change(change, row->told_status)) {
            return STATUS_OK;
        }
    }
}

/* ---- telling ---- */

static void write_body(struct teller *teller, struct json_writer *writer,
                       const struct db_process *process, const struct callback_change *change,
                       bool is_short) {
    json_write_begin_object(writer, NULL);
    callback_write_head(writer, change, teller->api->fleet->now.wall_ms);
    json_write_begin_object(writer, "process");
    if (!is_short) {
        api_write_process(teller->api, writer, process);
    } else {
        const struct process_id id = api_id_of(process);
        process_member_id(writer, "process_id", &id);
        json_write_string(writer, "status",
                          process_status_names((enum process_status)process->status, NULL).status);
        json_write_bool(writer, "is_shortened", true);
    }
    json_write_end_object(writer);
    json_write_end_object(writer);
}

static void build_body(struct teller *teller, struct callback_slot *slot,
                       const struct db_process *process, const struct callback_change *change) {
    for (int is_short = 0; is_short < 2; is_short++) {
        struct json_writer writer;
        struct bytes body;
        json_write_init(&writer, slot->body, sizeof slot->body);
        write_body(teller, &writer, process, change, is_short != 0);
        if (json_write_finish(&writer, &body) == STATUS_OK) {
            slot->body_size = body.size;
            return;
        }
    }
    check(false);
}

static enum status read_url(struct teller *teller, const struct db_fleet_process *row, char *url,
                            size_t capacity, uint32_t *host) {
    struct work work = {.db = db_of(teller), .row = *row};
    struct record_request request;
    enum status status = work_request(&work, &request);
    status = status == STATUS_OK ? callback_url(request.callback, url, capacity) : status;
    return status == STATUS_OK ? callback_host_of(teller->callbacks, http_api_text(url), host)
                               : status;
}

static uint32_t free_pending(const struct teller *teller) {
    uint32_t i = 0;
    while (i < CALLBACK_SLOTS && teller->pending[i].number != 0) {
        i += 1;
    }
    return i;
}

/* OK, also when it was not told: then its row says when again, or never. */
static enum status tell(struct teller *teller, struct db_fleet_process *row,
                        const struct callback_change *change) {
    char url[CALLBACK_URL_BYTES];
    uint32_t host = 0;
    const struct fleet_clock *now = &teller->api->fleet->now;
    uint32_t place = free_pending(teller);
    struct process_id id = {.epoch = row->epoch, .number = row->number, .hub_id = DB_UPSTREAM};
    struct db_process process;
    enum status status = read_url(teller, row, url, sizeof url, &host);
    if (status != STATUS_OK) {
        row->has_callback = false; /* not on the list any more */
        return status == STATUS_IO ? status : db_fleet_set_told(db_of(teller), row);
    }
    struct callback_slot *slot =
        place == CALLBACK_SLOTS ? NULL : callback_take(teller->callbacks, host);
    if (slot == NULL) {
        row->tell_due_ms = now->wall_ms + TELLER_LOOK_MS; /* its host is busy */
        return db_fleet_set_told(db_of(teller), row);
    }
    row->tell_due_ms = now->wall_ms + TELLER_LEASE_MS;
    status = db_process_find(db_of(teller), &id, &process);
    status = status == STATUS_OK ? db_fleet_set_told(db_of(teller), row) : status;
    if (status != STATUS_OK) {
        callback_give(teller->callbacks, slot);
        return status;
    }
    build_body(teller, slot, &process, change);
    slot->tag = place;
    teller->pending[place].number = row->number;
    teller->pending[place].change = *change;
    callback_send(teller->callbacks, slot, http_api_text(url), now->mono_ms, now->wall_ms);
    return STATUS_OK;
}

static enum status tell_next(struct teller *teller, uint64_t behind, uint64_t *number) {
    struct db_fleet_process row;
    struct callback_change change;
    uint64_t now_ms = teller->api->fleet->now.wall_ms;
    enum status status = db_fleet_next_untold(db_of(teller), behind, now_ms, &row);
    if (status != STATUS_OK) {
        return status;
    }
    *number = row.number;
    status = db_fleet_get(db_of(teller), row.number, true, &row);
    if (status != STATUS_OK || row.tell_due_ms > now_ms || !row.has_callback) {
        return status; /* another upstreamd has it */
    }
    status = find_change(teller, &row, &change);
    if (status == STATUS_NOT_FOUND) {
        return db_fleet_set_told(db_of(teller), &row);
    }
    return status == STATUS_OK ? tell(teller, &row, &change) : status;
}

/* ---- results ---- */

static void take_failure(struct teller *teller, struct db_fleet_process *row,
                         const struct callback_result *result) {
    teller->counters.failed += 1;
    row->failures += 1;
    if (row->failures == 1) {
        log_warn("callback_failed process=%llu status=%u reason=%s",
                 (unsigned long long)row->number, result->http_status, result->reason);
    }
    row->tell_due_ms = teller->api->fleet->now.wall_ms +
                       backoff_ms(&callback_again, row->failures, &teller->jitter) + 200;
    if (result->http_status == 410) {
        teller->counters.given_up += 1;
        row->has_callback = false; /* the receiver wants no more of them */
    }
}

static enum status take_result(struct teller *teller, const struct callback_result *result) {
    uint32_t place = (uint32_t)result->tag;
    const struct callback_change change = teller->pending[place].change;
    struct db_fleet_process row;
    bool is_good = result->http_status >= 200 && result->http_status < 300;
    enum status status = db_fleet_get(db_of(teller), teller->pending[place].number, true, &row);
    teller->pending[place].number = 0;
    if (status != STATUS_OK) {
        return status;
    }
    teller->counters.delivered += is_good;
    if (!is_good) {
        take_failure(teller, &row, result);
    }
    if (is_good || row.failures >= CALLBACK_TRIES) {
        teller->counters.given_up += !is_good;
        row.told = change.id;
        row.told_status = change.status;
        row.failures = 0;
        row.tell_due_ms = 0;
    }
    return db_fleet_set_told(db_of(teller), &row);
}

/* ---- turns ---- */

static enum status take_results(struct teller *teller) {
    struct callback_result result;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && callback_next_result(teller->callbacks, &result)) {
        status = take_result(teller, &result);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status look(struct teller *teller) {
    uint64_t number = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && free_pending(teller) < CALLBACK_SLOTS) {
        status = tell_next(teller, number, &number);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

void teller_step(struct teller *teller) {
    uint64_t now_ms = teller->api->fleet->now.mono_ms;
    callback_step(teller->callbacks, now_ms);
    bool has_result = callback_has_result(teller->callbacks);
    if (teller->callbacks->host_count == 0 ||
        (!has_result && !teller->is_dirty && now_ms < teller->look_ms)) {
        return;
    }
    teller->is_dirty = false;
    teller->look_ms = now_ms + TELLER_LOOK_MS;
    enum status status = db_begin(db_of(teller));
    status = status == STATUS_OK ? take_results(teller) : status;
    status = status == STATUS_OK ? look(teller) : status;
    status = status == STATUS_OK ? db_commit(db_of(teller)) : status;
    if (status != STATUS_OK) {
        log_error("callbacks_failed reason=%s", db_reason(db_of(teller)));
    }
    db_rollback(db_of(teller));
}

uint64_t teller_deadline_ms(const struct teller *teller) {
    uint64_t sending = callback_deadline_ms(teller->callbacks);
    if (teller->callbacks->host_count == 0) {
        return sending;
    }
    uint64_t next_ms = teller->is_dirty ? 0 : teller->look_ms;
    return sending < next_ms ? sending : next_ms;
}
