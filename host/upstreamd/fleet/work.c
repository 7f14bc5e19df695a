#include "host/upstreamd/fleet/work.h"

#include <string.h>

/* Records count milliseconds of one boot in 40 bits: from here on. */
#define START_MS UINT64_C(1577836800000) /* 2020-01-01 */

static uint8_t write_buffer[DB_RECORD_MAX];
static uint8_t item_buffer[DB_RECORD_MAX];
static uint8_t request_buffer[DB_RECORD_MAX];

struct record_time work_time(uint64_t wall_ms) {
    if (wall_ms == 0) {
        return (struct record_time){0};
    }
    return record_time_of(1, wall_ms > START_MS ? wall_ms - START_MS : 0, wall_ms, 2);
}

enum process_status work_status(const struct work *work) {
    return process_derive(&work->counts, work->image.flags);
}

/* ---- reading ---- */

static enum status read_object(const struct work *work, enum record_kind kind,
                               const uint64_t path[3], uint8_t *buffer,
                               struct cbor_reader *reader) {
    struct db_image image = {.buffer = buffer};
    struct record_header header;
    enum status status = db_object_get(work->db, work->row.store, kind, path, &image);
    if (status == STATUS_OK) {
        cbor_reader_init(reader, image.bytes);
        record_get_header(reader, &header);
    }
    return status;
}

enum status work_request(struct work *work, struct record_request *request) {
    const uint64_t path[3] = {work->row.number};
    struct cbor_reader reader;
    enum status status = read_object(work, RECORD_REQUEST, path, request_buffer, &reader);
    if (status == STATUS_OK) {
        record_get_request(&reader, request);
        check(cbor_reader_done(&reader)); /* upstream wrote it */
    }
    return status;
}

enum status work_read_item(struct work *work, const struct db_item *item,
                           struct record_item *image) {
    const uint64_t path[3] = {item->process, item->item};
    struct cbor_reader reader;
    enum status status = read_object(work, RECORD_ITEM, path, item_buffer, &reader);
    if (status == STATUS_OK) {
        record_get_item(&reader, image);
        check(cbor_reader_done(&reader));
    }
    return status;
}

static enum status count_items(struct work *work) {
    struct db_item_counts counts;
    enum status status = db_item_count(work->db, work->row.number, &counts);
    if (status == STATUS_OK) {
        for (size_t i = 0; i < RECORD_ITEM_STATE_COUNT; i++) {
            work->counts.by_state[i] = (uint16_t)counts.by_state[i];
        }
        work->counts.in_review = (uint16_t)counts.in_review;
    }
    return status;
}

enum status work_open(struct work *work, struct db *db, uint64_t now_ms, uint64_t number) {
    *work = (struct work){.db = db, .now_ms = now_ms};
    enum status status = db_fleet_get(db, number, true, &work->row);
    if (status != STATUS_OK) {
        return status;
    }
    const uint64_t path[3] = {number};
    struct cbor_reader reader;
    status = read_object(work, RECORD_PROCESS, path, write_buffer, &reader);
    if (status == STATUS_OK) {
        record_get_process(&reader, &work->image);
        check(cbor_reader_done(&reader));
        status = count_items(work);
    }
    return status;
}

/* ---- writing ---- */

/* A record on its way: the header is written, the image follows. */
struct draft {
    struct db_record record;
    struct cbor_writer writer;
};

static uint64_t place_of(const struct work *work) {
    uint64_t number = work->row.number & ((UINT64_C(1) << DB_NUMBER_BITS) - 1);
    check(number >> WORK_NUMBER_BITS == 0 && work->row.epoch < 2048);
    return (uint64_t)work->row.epoch << (WORK_NUMBER_BITS + WORK_REVISION_BITS) |
           number << WORK_REVISION_BITS | work->row.revision;
}

static void begin(struct work *work, struct draft *draft, enum record_kind kind,
                  const uint64_t path[3], enum record_event event) {
    static const uint8_t lengths[] = {
        [RECORD_REQUEST] = 1, [RECORD_PROCESS] = 1, [RECORD_ITEM] = 2, [RECORD_ATTEMPT] = 3};
    work->row.revision += 1;
    check(work->row.revision < UINT64_C(1) << WORK_REVISION_BITS);
    draft->record = (struct db_record){
        .store = work->row.store,
        .seq = place_of(work),
        .is_known = true,
        .header = {.kind = kind,
                   .event = event,
                   .path_count = lengths[kind],
                   .path = {path[0], path[1], path[2]},
                   .revision = work->row.revision,
                   .status = (uint8_t)work_status(work),
                   .time = work_time(work->now_ms)},
    };
    cbor_writer_init(&draft->writer, write_buffer, sizeof write_buffer);
    record_put_header(&draft->writer, &draft->record.header);
}

static enum status end(struct work *work, struct draft *draft) {
    check(!draft->writer.overflow);
    draft->record.bytes = (struct bytes){write_buffer, draft->writer.size};
    const struct db_process process = {
        .store = work->row.store,
        .number = work->row.number,
        .revision = work->row.revision,
        .status = draft->record.header.status,
        .updated_ms = work->now_ms,
    };
    enum status status = db_record_add(work->db, &draft->record);
    status = status == STATUS_OK ? db_object_put(work->db, &draft->record) : status;
    return status == STATUS_OK ? db_process_put(work->db, &process) : status;
}

enum status work_log_process(struct work *work, enum record_event event) {
    struct draft draft;
    const uint64_t path[3] = {work->row.number};
    const struct db_process process = {
        .store = work->row.store,
        .number = work->row.number,
        .created_ms = work->image.created.wall_ms,
        .finished_ms = work->image.finished.wall_ms,
    };
    begin(work, &draft, RECORD_PROCESS, path, event);
    record_put_process(&draft.writer, &work->image);
    enum status status = end(work, &draft);
    return status == STATUS_OK ? db_process_set_times(work->db, &process) : status;
}

enum status work_log_attempt(struct work *work, uint32_t item, uint32_t number,
                             const struct record_attempt *image, enum record_event event) {
    struct draft draft;
    const uint64_t path[3] = {work->row.number, item, number};
    begin(work, &draft, RECORD_ATTEMPT, path, event);
    record_put_attempt(&draft.writer, image);
    return end(work, &draft);
}

static void count_item(struct work *work, const struct db_item *item, uint16_t one) {
    uint16_t *of = &work->counts.by_state[item->state];
    if (item->is_superseded) {
        return;
    }
    *of = (uint16_t)(*of + one);
    if (item->state == RECORD_SUSPENDED && item->suspension == RECORD_SUSPEND_REVIEW) {
        work->counts.in_review = (uint16_t)(work->counts.in_review + one);
    }
}

enum status work_put_row(struct work *work, const struct db_item *before, struct db_item *item,
                         const struct record_item *image) {
    item->state = image->state;
    item->suspension = image->suspension;
    item->is_superseded = image->superseded;
    item->generation = image->generation;
    item->attempt = image->attempt;
    item->attempts_counted = image->attempts_counted;
    item->actions_done = image->actions_done;
    item->actions_digest = image->actions_digest;
    if (before != NULL) {
        count_item(work, before, UINT16_MAX); /* one less */
    }
    count_item(work, item, 1);
    return before == NULL ? db_item_add(work->db, item) : db_item_put(work->db, item);
}

static void copy_text(char *target, size_t capacity, const char *text) {
    size_t size = strnlen(text, capacity - 1);
    memcpy(target, text, size);
    target[size] = '\0';
}

enum status work_log_item(struct work *work, const struct db_item *item,
                          const struct record_item *image, enum record_event event) {
    struct draft draft;
    const uint64_t path[3] = {item->process, item->item};
    struct db_process process = {
        .store = work->row.store,
        .number = work->row.number,
        .attempts = image->attempt,
        .is_in_review = !image->superseded && image->state == RECORD_SUSPENDED &&
                        image->suspension == RECORD_SUSPEND_REVIEW,
    };
    copy_text(process.phone, sizeof process.phone, work->phone);
    work->phone[0] = '\0';
    begin(work, &draft, RECORD_ITEM, path, event);
    record_put_item(&draft.writer, image);
    enum status status = end(work, &draft);
    return status == STATUS_OK ? db_process_set_item(work->db, &process) : status;
}

enum status work_put(struct work *work, const struct db_item *before, struct db_item *item,
                     const struct record_item *image, enum record_event event) {
    enum status status = work_put_row(work, before, item, image);
    return status == STATUS_OK ? work_log_item(work, item, image, event) : status;
}

enum status work_create(struct work *work, struct db *db, uint64_t now_ms,
                        const struct db_fleet_process *row, const struct record_request *request) {
    struct draft draft;
    struct db_process process = {.store = row->store, .number = row->number};
    const uint64_t path[3] = {row->number};
    *work = (struct work){
        .db = db,
        .now_ms = now_ms,
        .row = *row,
        .image = {.generation = 1, .created = work_time(now_ms), .queued = work_time(now_ms)},
    };
    begin(work, &draft, RECORD_REQUEST, path, RECORD_ACCEPTED_EVENT);
    record_put_request(&draft.writer, request);
    enum status status = end(work, &draft);
    memcpy(process.process_type, request->process_type.data, request->process_type.size);
    if (request->request_id.size > 0) {
        memcpy(process.request_id, request->request_id.data, request->request_id.size);
    }
    return status == STATUS_OK ? db_process_set_request(db, &process) : status;
}

enum status work_close(struct work *work) {
    enum status status = STATUS_OK;
    enum process_status now = work_status(work);
    if (now == PROCESS_RETRYABLE && work->image.retrying.boot == 0) {
        work->image.retrying = work_time(work->now_ms);
        status = work_log_process(work, RECORD_RETRY_SCHEDULED_EVENT);
    }
    if (process_is_terminal(now) && work->image.finished.boot == 0) {
        work->image.finished = work_time(work->now_ms);
        work->row.deadline_ms = 0;
        status = work_log_process(work, RECORD_FINISHED_EVENT);
    }
    return status == STATUS_OK ? db_fleet_put(work->db, &work->row) : status;
}
