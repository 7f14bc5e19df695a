#include "host/upstreamd/fleet/apply.h"

#include "firmware/process.h"

#include <string.h>

static uint8_t phone_buffer[DB_RECORD_MAX];
static uint8_t waiting_buffer[DB_RECORD_MAX];

/* A database that has nothing to change is as good as one that has changed it. */
static enum status tolerate(enum status status) {
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void copy_text(char *target, size_t capacity, struct bytes text) {
    size_t size = text.size < capacity ? text.size : capacity - 1;
    if (size > 0) {
        memcpy(target, text.data, size);
    }
    target[size] = '\0';
}

static uint64_t wall_ms(const struct apply *apply, const struct record_time *time) {
    return process_time_ms(&apply->clock, time);
}

/* Ids of phones that were looked up in this transaction: every lease asks. */
static struct known_phone {
    const struct db *db;
    uint64_t generation;
    int64_t store;
    uint64_t number;
    char id[DB_PHONE_SIZE];
} known_phones[256];

static struct known_phone *known_phone(const struct apply *apply, uint64_t number, bool *is_it) {
    struct known_phone *known =
        &known_phones[(number ^ (uint64_t)apply->store->id * 31) % array_count(known_phones)];
    *is_it = known->db == apply->db && known->generation == apply->db->batch.generation &&
             known->store == apply->store->id && known->number == number;
    return known;
}

static enum status look_up_phone(struct apply *apply, uint64_t number, char id[DB_PHONE_SIZE]) {
    struct db_image image = {.buffer = phone_buffer};
    const uint64_t path[3] = {number};
    struct cbor_reader reader;
    struct record_header header;
    struct record_phone phone;
    id[0] = '\0';
    enum status status = db_object_get(apply->db, apply->store->id, RECORD_PHONE, path, &image);
    if (status == STATUS_OK) {
        cbor_reader_init(&reader, image.bytes);
        record_get_header(&reader, &header);
        record_get_phone(&reader, &phone);
        if (cbor_reader_done(&reader)) {
            copy_text(id, DB_PHONE_SIZE, phone.id);
        }
    }
    return tolerate(status);
}

/* The id of a phone by its number; empty when its record is not here. */
static enum status find_phone(struct apply *apply, uint64_t number, char id[DB_PHONE_SIZE]) {
    bool is_it = false;
    struct known_phone *known = known_phone(apply, number, &is_it);
    enum status status = STATUS_OK;
    if (!is_it) {
        known->db = NULL;
        status = look_up_phone(apply, number, known->id);
    }
    if (status == STATUS_OK) {
        known->db = apply->db;
        known->generation = apply->db->batch.generation;
        known->store = apply->store->id;
        known->number = number;
        memcpy(id, known->id, sizeof known->id);
    }
    return status;
}

/* A phone's record has come: what was looked up before may not be so any more. */
static void forget_phone(const struct apply *apply, uint64_t number) {
    bool is_it = false;
    known_phone(apply, number, &is_it)->db = NULL;
}

static enum status apply_request(struct apply *apply, const struct record_header *header,
                                 struct cbor_reader *reader) {
    struct record_request image;
    struct db_process process = {.store = apply->store->id, .number = header->path[0]};
    record_get_request(reader, &image);
    if (!cbor_reader_done(reader)) {
        return STATUS_MALFORMED;
    }
    copy_text(process.process_type, sizeof process.process_type, image.process_type);
    copy_text(process.request_id, sizeof process.request_id, image.request_id);
    enum status status = db_process_set_request(apply->db, &process);
    return status == STATUS_OK ? parts_request(&apply->parts, header, &image) : status;
}

static enum status apply_process(struct apply *apply, const struct record_header *header,
                                 struct cbor_reader *reader) {
    struct record_process image;
    struct db_process process = {.store = apply->store->id, .number = header->path[0]};
    record_get_process(reader, &image);
    if (!cbor_reader_done(reader)) {
        return STATUS_MALFORMED;
    }
    process.created_ms = wall_ms(apply, &image.created);
    process.finished_ms = wall_ms(apply, &image.finished);
    return db_process_set_times(apply->db, &process);
}

static enum status apply_item(struct apply *apply, const struct record_header *header,
                              struct cbor_reader *reader) {
    struct record_item image;
    struct db_process process = {.store = apply->store->id, .number = header->path[0]};
    record_get_item(reader, &image);
    if (!cbor_reader_done(reader)) {
        return STATUS_MALFORMED;
    }
    const struct db_lease lease = {apply->store->id, image.phone, header->path[0], header->path[1]};
    bool is_leased =
        image.phone != 0 && (image.state == RECORD_LEASED || image.state == RECORD_RUNNING);
    enum status status = db_lease_end(apply->db, &lease);
    if (status == STATUS_OK && is_leased) {
        status = db_lease_put(apply->db, &lease);
    }
    if (status == STATUS_OK && is_leased) {
        status = find_phone(apply, image.phone, process.phone);
    }
    process.attempts = image.attempt;
    process.is_in_review = image.state == RECORD_SUSPENDED &&
                           image.suspension == RECORD_SUSPEND_REVIEW && !image.superseded;
    status = status == STATUS_OK ? db_process_set_item(apply->db, &process) : status;
    return status == STATUS_OK ? parts_item(&apply->parts, header, &image, process.phone) : status;
}

static enum status apply_hub(struct apply *apply, struct cbor_reader *reader) {
    struct record_hub image;
    record_get_hub(reader, &image);
    if (!cbor_reader_done(reader)) {
        return STATUS_MALFORMED;
    }
    enum status status = STATUS_OK;
    apply->first_epoch = image.life.epoch != 0 ? image.life.first_epoch : 0;
    apply->is_told = image.life.is_told && image.life.epoch == apply->store->epoch;
    for (uint32_t i = 0; i < image.boot_count && status == STATUS_OK; i++) {
        if (image.boots[i].offset_ms > 0) {
            status = db_boot_put(apply->db, apply->store->id, &image.boots[i], false);
        }
    }
    return status;
}

static enum status apply_attempt(struct apply *apply, const struct record_header *header,
                                 struct cbor_reader *reader) {
    struct record_attempt image;
    record_get_attempt(reader, &image);
    return cbor_reader_done(reader) ? parts_attempt(&apply->parts, header, &image)
                                    : STATUS_MALFORMED;
}

static enum status apply_phone(struct apply *apply, struct cbor_reader *reader) {
    struct record_phone image;
    record_get_phone(reader, &image);
    return cbor_reader_done(reader) ? parts_phone(&apply->parts, &image) : STATUS_MALFORMED;
}

static enum status apply_answer(struct apply *apply, const struct record_header *header,
                                struct cbor_reader *reader) {
    struct record_answer image;
    record_get_answer(reader, &image);
    return cbor_reader_done(reader) ? parts_answer(&apply->parts, header, &image)
                                    : STATUS_MALFORMED;
}

static enum status judge_key(struct cbor_reader *reader) {
    struct record_key image;
    record_get_key(reader, &image);
    return cbor_reader_done(reader) ? STATUS_OK : STATUS_MALFORMED;
}

/* What listings show of a process: every record of it moves its row on. */
static enum status move_process(struct apply *apply, const struct record_header *header) {
    const struct db_process process = {
        .store = apply->store->id,
        .number = header->path[0],
        .revision = header->revision,
        .status = header->status,
        .updated_ms = wall_ms(apply, &header->time),
    };
    return db_process_put(apply->db, &process);
}

/* The newest image of its object: OK, MALFORMED (kept, not shown) or IO. */
static enum status apply_image(struct apply *apply, const struct record_header *header,
                               struct cbor_reader *reader) {
    switch ((int)header->kind) {
    case RECORD_HUB:
        return apply_hub(apply, reader);
    case RECORD_REQUEST:
        return apply_request(apply, header, reader);
    case RECORD_PROCESS:
        return apply_process(apply, header, reader);
    case RECORD_ITEM:
        return apply_item(apply, header, reader);
    case RECORD_ATTEMPT:
        return apply_attempt(apply, header, reader);
    case RECORD_PHONE:
        return apply_phone(apply, reader);
    case RECORD_KEY:
        return judge_key(reader);
    case RECORD_ANSWER:
        return apply_answer(apply, header, reader);
    default:
        return STATUS_MALFORMED;
    }
}

static bool is_of_process(const struct record_header *header) {
    return header->kind >= RECORD_REQUEST && header->kind <= RECORD_ATTEMPT;
}

/* Only numbers that a database can hold, and only a status that a process can have. */
static bool is_sound(const struct record_header *header) {
    bool is_sound = header->revision > 0 && header->revision <= SYNC_SEQ_MAX;
    for (size_t i = 0; i < header->path_count; i++) {
        is_sound = is_sound && header->path[i] > 0 && header->path[i] <= SYNC_SEQ_MAX;
    }
    if (header->path_count > 1) {
        is_sound = is_sound && header->path[1] <= UINT32_MAX;
    }
    return is_sound && (!is_of_process(header) || header->status != PROCESS_NONE);
}

/* ---- what ended before a fork ---- */

/* The generation of a process as it is stored. */
static enum status find_generation(struct apply *apply, uint64_t number, uint32_t *generation) {
    struct db_image image = {.buffer = phone_buffer};
    const uint64_t path[3] = {number};
    struct cbor_reader reader;
    struct record_header header;
    struct record_process process = {0};
    enum status status = db_object_get(apply->db, apply->store->id, RECORD_PROCESS, path, &image);
    if (status == STATUS_OK) {
        cbor_reader_init(&reader, image.bytes);
        record_get_header(&reader, &header);
        record_get_process(&reader, &process);
    }
    *generation = process.generation;
    return tolerate(status);
}

static enum status find_seal(struct apply *apply, uint64_t number) {
    struct apply_seal *seal = &apply->seal;
    struct db_fork_row row = {0};
    if (seal->number == number) {
        return STATUS_OK;
    }
    *seal = (struct apply_seal){.number = number};
    enum status status = tolerate(db_fork_row(apply->db, apply->store->id, number, &row));
    seal->is_sealed = row.is_sealed;
    seal->is_waiting = row.is_waiting;
    if (status == STATUS_OK && row.is_sealed) {
        status = find_generation(apply, number, &seal->generation);
    }
    return status;
}

/* Whether a record of a sealed process goes on behind its end. */
static bool is_later(const struct record_header *header, struct cbor_reader reader,
                     uint32_t generation) {
    struct record_process process;
    struct record_item item;
    if (header->kind == RECORD_PROCESS) {
        record_get_process(&reader, &process);
        return cbor_reader_done(&reader) && process.generation > generation;
    }
    if (header->kind == RECORD_ITEM) {
        record_get_item(&reader, &item);
        return cbor_reader_done(&reader) && item.generation > generation;
    }
    return false;
}

/* OK: the record is to be applied. TERMINAL: it is history only. */
static enum status pass_seal(struct apply *apply, const struct record_header *header,
                             const struct cbor_reader *reader) {
    if (!is_of_process(header) || apply->store->epoch == apply->store->base_epoch) {
        return STATUS_OK;
    }
    enum status status = find_seal(apply, header->path[0]);
    if (status == STATUS_OK && apply->seal.is_waiting) {
        return STATUS_TERMINAL;
    }
    if (status != STATUS_OK || !apply->seal.is_sealed) {
        return status;
    }
    if (is_later(header, *reader, apply->seal.generation)) {
        apply->seal.is_sealed = false;
        return db_fork_unseal(apply->db, apply->store->id, header->path[0]);
    }
    apply->sealed += 1;
    status = db_fork_raise(apply->db, apply->store->id, header->path[0], header->revision);
    return status == STATUS_OK ? STATUS_TERMINAL : status;
}

/* ---- a record ---- */

/* OK, or MALFORMED: it is kept, and not shown. */
static enum status apply_known(struct apply *apply, const struct db_record *record,
                               struct cbor_reader *reader) {
    uint64_t at_ms = wall_ms(apply, &record->header.time);
    apply->record_ms = at_ms > 0 ? at_ms : apply->record_ms;
    enum status status = pass_seal(apply, &record->header, reader);
    status = status == STATUS_OK ? db_object_put(apply->db, record) : status;
    if (status != STATUS_OK) { /* it was carried on, not changed */
        return status == STATUS_NOT_FOUND || status == STATUS_TERMINAL ? STATUS_OK : status;
    }
    if (record->header.kind == RECORD_PHONE) {
        forget_phone(apply, record->header.path[0]);
    }
    if (is_of_process(&record->header)) {
        status = move_process(apply, &record->header);
    }
    return status == STATUS_OK ? apply_image(apply, &record->header, reader) : status;
}

enum status apply_record(struct apply *apply, uint64_t seq, struct bytes bytes,
                         const uint8_t *chain) {
    struct cbor_reader reader;
    struct db_record record = {.store = apply->store->id,
                               .seq = db_place(apply->store, seq),
                               .chain = chain,
                               .bytes = bytes};
    cbor_reader_init(&reader, bytes);
    record_get_header(&reader, &record.header);
    record.is_known = !reader.failed && is_sound(&record.header);
    enum status status = db_record_add(apply->db, &record);
    if (status == STATUS_OK && record.is_known) {
        status = apply_known(apply, &record, &reader);
    } else {
        apply->unknown += 1;
    }
    if (status == STATUS_MALFORMED) {
        apply->unknown += 1;
        status = STATUS_OK;
    }
    return status;
}

enum status apply_waiting(struct apply *apply, uint64_t number) {
    struct db_image image = {.buffer = waiting_buffer, .path = {0, 0, db_place(apply->store, 0)}};
    enum status status = STATUS_OK;
    apply->seal = (struct apply_seal){0};
    while (status == STATUS_OK) {
        struct cbor_reader reader;
        struct db_record record = {.store = apply->store->id, .is_known = true};
        status = db_fork_event(apply->db, record.store, number, image.path[2], &image);
        if (status == STATUS_OK) {
            record.seq = image.path[2];
            record.bytes = image.bytes;
            cbor_reader_init(&reader, image.bytes);
            record_get_header(&reader, &record.header);
            status = apply_known(apply, &record, &reader);
            status = status == STATUS_MALFORMED ? STATUS_OK : status; /* counted when it came */
        }
    }
    return tolerate(status);
}
