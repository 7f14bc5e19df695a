#include "host/upstreamd/apply.h"

#include "firmware/process.h"

#include <string.h>

static uint8_t phone_buffer[DB_RECORD_MAX];

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

/* The id of a phone by its number; empty when its record is not here. */
static enum status find_phone(struct apply *apply, uint64_t number, char id[DB_PHONE_SIZE]) {
    struct db_image image = {.buffer = phone_buffer};
    const uint64_t path[3] = {number};
    struct cbor_reader reader;
    struct record_header header;
    struct record_phone phone;
    id[0] = '\0';
    enum status status = db_object_get(apply->db, apply->store, RECORD_PHONE, path, &image);
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

static enum status apply_request(struct apply *apply, const struct record_header *header,
                                 struct cbor_reader *reader) {
    struct record_request image;
    struct db_process process = {.store = apply->store, .number = header->path[0]};
    record_get_request(reader, &image);
    if (!cbor_reader_done(reader)) {
        return STATUS_MALFORMED;
    }
    copy_text(process.process_type, sizeof process.process_type, image.process_type);
    copy_text(process.request_id, sizeof process.request_id, image.request_id);
    return db_process_set_request(apply->db, &process);
}

static enum status apply_process(struct apply *apply, const struct record_header *header,
                                 struct cbor_reader *reader) {
    struct record_process image;
    struct db_process process = {.store = apply->store, .number = header->path[0]};
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
    struct db_process process = {.store = apply->store, .number = header->path[0]};
    record_get_item(reader, &image);
    if (!cbor_reader_done(reader)) {
        return STATUS_MALFORMED;
    }
    const struct db_lease lease = {apply->store, image.phone, header->path[0], header->path[1]};
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
    return status == STATUS_OK ? db_process_set_item(apply->db, &process) : status;
}

static enum status apply_hub(struct apply *apply, struct cbor_reader *reader) {
    struct record_hub image;
    record_get_hub(reader, &image);
    if (!cbor_reader_done(reader)) {
        return STATUS_MALFORMED;
    }
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < image.boot_count && status == STATUS_OK; i++) {
        if (image.boots[i].offset_ms > 0) {
            status = db_boot_put(apply->db, apply->store, &image.boots[i], false);
        }
    }
    return status;
}

/* Kinds that are shown as they are: only whether they can be. */
static enum status judge_other(const struct record_header *header, struct cbor_reader *reader) {
    struct record_attempt attempt;
    struct record_phone phone;
    struct record_key key;
    if (header->kind == RECORD_ATTEMPT) {
        record_get_attempt(reader, &attempt);
    } else if (header->kind == RECORD_PHONE) {
        record_get_phone(reader, &phone);
    } else if (header->kind == RECORD_KEY) {
        record_get_key(reader, &key);
    } else {
        return STATUS_MALFORMED;
    }
    return cbor_reader_done(reader) ? STATUS_OK : STATUS_MALFORMED;
}

/* What listings show of a process: every record of it moves its row on. */
static enum status move_process(struct apply *apply, const struct record_header *header) {
    const struct db_process process = {
        .store = apply->store,
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
    default:
        return judge_other(header, reader);
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

enum status apply_record(struct apply *apply, uint64_t seq, struct bytes bytes,
                         const uint8_t *chain) {
    struct cbor_reader reader;
    struct db_record record = {.store = apply->store, .seq = seq, .chain = chain, .bytes = bytes};
    cbor_reader_init(&reader, bytes);
    record_get_header(&reader, &record.header);
    record.is_known = !reader.failed && is_sound(&record.header);
    enum status status = db_record_add(apply->db, &record);
    if (status != STATUS_OK || !record.is_known) {
        apply->unknown += 1;
        return status;
    }
    uint64_t at_ms = wall_ms(apply, &record.header.time);
    apply->record_ms = at_ms > 0 ? at_ms : apply->record_ms;
    status = db_object_put(apply->db, &record);
    if (status != STATUS_OK) {
        return tolerate(status); /* it was carried on, not changed */
    }
    if (is_of_process(&record.header)) {
        status = move_process(apply, &record.header);
    }
    if (status == STATUS_OK) {
        status = apply_image(apply, &record.header, &reader);
    }
    if (status == STATUS_MALFORMED) {
        apply->unknown += 1;
        status = STATUS_OK;
    }
    return status;
}
