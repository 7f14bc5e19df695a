/* Images of what belongs to no process: phones, the hub, old keys, answers to commands. */
#include "protocol/record_field.h"

#include <string.h>

/* ---- phone ---- */

void record_put_phone(struct cbor_writer *writer, const struct record_phone *image) {
    cbor_put_array(writer, 6);
    cbor_put_uint(writer, image->state);
    cbor_put_text(writer, image->id);
    cbor_put_text(writer, image->slot);
    cbor_put_text(writer, image->model);
    cbor_put_text(writer, image->reason);
    cbor_put_text(writer, image->labels);
}

void record_get_phone(struct cbor_reader *reader, struct record_phone *image) {
    *image = (struct record_phone){0};
    size_t newer = record_field_begin(reader, 5);
    image->state = record_field_small(reader, RECORD_PHONE_STATE_COUNT);
    image->id = cbor_get_text(reader, RECORD_ID_MAX);
    image->slot = cbor_get_text(reader, RECORD_ID_MAX);
    image->model = cbor_get_text(reader, RECORD_ID_MAX);
    image->reason = cbor_get_text(reader, RECORD_TEXT_MAX);
    if (record_field_has(&newer, 1)) {
        image->labels = cbor_get_text(reader, RECORD_TEXT_MAX);
    }
    record_field_skip(reader, newer);
}

/* ---- hub ---- */

void record_put_gap(struct cbor_writer *writer, const struct record_gap *gap) {
    if (gap->first == 0) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, gap->first);
    cbor_put_uint(writer, gap->last);
    cbor_put_bytes(writer, (struct bytes){gap->chain, sizeof gap->chain});
    cbor_put_array(writer, RECORD_KIND_COUNT);
    for (size_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        cbor_put_uint(writer, gap->dropped[kind]);
    }
}

void record_get_gap(struct cbor_reader *reader, struct record_gap *gap) {
    *gap = (struct record_gap){0};
    if (cbor_get_null(reader)) {
        return;
    }
    reader->failed = cbor_get_array(reader, 4) != 4; /* 0 once it has failed */
    gap->first = record_field_u64(reader);
    gap->last = record_field_u64(reader);
    struct bytes chain = cbor_get_bytes(reader, sizeof gap->chain);
    bool is_sound = gap->first > 0 && gap->first <= gap->last && chain.size == sizeof gap->chain;
    reader->failed = cbor_get_array(reader, RECORD_KIND_COUNT) != RECORD_KIND_COUNT || !is_sound;
    if (!reader->failed) {
        memcpy(gap->chain, chain.data, sizeof gap->chain);
    }
    for (size_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        gap->dropped[kind] = record_field_u32(reader);
    }
}

/* null, or the newest life of the store. */
static void put_life(struct cbor_writer *writer, const struct record_life *life) {
    if (life->epoch == 0) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, life->epoch);
    cbor_put_uint(writer, life->first_epoch);
    cbor_put_uint(writer, life->seq);
    cbor_put_bool(writer, life->is_told);
}

static void get_life(struct cbor_reader *reader, struct record_life *life) {
    if (cbor_get_null(reader)) {
        return;
    }
    reader->failed = cbor_get_array(reader, 4) != 4; /* 0 once it has failed */
    life->epoch = record_field_u32(reader);
    life->first_epoch = record_field_u32(reader);
    life->seq = record_field_u64(reader);
    life->is_told = cbor_get_bool(reader);
    reader->failed = reader->failed || life->first_epoch == 0 || life->epoch <= life->first_epoch;
}

void record_put_hub(struct cbor_writer *writer, const struct record_hub *image) {
    check(image->boot_count <= RECORD_BOOTS_MAX);
    cbor_put_array(writer, 13);
    cbor_put_text(writer, image->hub_id);
    cbor_put_bytes(writer, image->boot_id);
    cbor_put_uint(writer, image->boot);
    cbor_put_uint(writer, image->starts);
    cbor_put_uint(writer, image->token_counter);
    cbor_put_uint(writer, image->process_number);
    cbor_put_uint(writer, image->phone_number);
    cbor_put_uint(writer, image->key_number);
    cbor_put_uint(writer, image->command);
    cbor_put_array(writer, image->boot_count);
    for (size_t i = 0; i < image->boot_count; i++) {
        cbor_put_array(writer, 2);
        cbor_put_uint(writer, image->boots[i].boot);
        cbor_put_uint(writer, image->boots[i].offset_ms);
    }
    record_put_gap(writer, &image->gap);
    cbor_put_uint(writer, image->upstream_epoch);
    put_life(writer, &image->life);
}

void record_get_hub(struct cbor_reader *reader, struct record_hub *image) {
    *image = (struct record_hub){0};
    size_t newer = record_field_begin(reader, 10);
    image->hub_id = cbor_get_text(reader, RECORD_ID_MAX);
    record_field_digest(reader, &image->boot_id);
    image->boot = record_field_u32(reader);
    image->starts = record_field_u32(reader);
    image->token_counter = record_field_u64(reader);
    image->process_number = record_field_u64(reader);
    image->phone_number = record_field_u64(reader);
    image->key_number = record_field_u64(reader);
    image->command = record_field_u64(reader);
    image->boot_count = (uint32_t)cbor_get_array(reader, RECORD_BOOTS_MAX);
    for (size_t i = 0; i < image->boot_count; i++) {
        reader->failed = cbor_get_array(reader, 2) != 2; /* 0 once it has failed */
        image->boots[i].boot = record_field_u32(reader);
        image->boots[i].offset_ms = record_field_u64(reader);
    }
    if (record_field_has(&newer, 1)) {
        record_get_gap(reader, &image->gap);
    }
    if (record_field_has(&newer, 1)) {
        image->upstream_epoch = record_field_u32(reader);
    }
    if (record_field_has(&newer, 1)) {
        get_life(reader, &image->life);
    }
    record_field_skip(reader, newer);
}

/* ---- key ---- */

void record_put_key(struct cbor_writer *writer, const struct record_key *image) {
    cbor_put_array(writer, 5);
    cbor_put_bytes(writer, image->key);
    cbor_put_bytes(writer, image->body_digest);
    cbor_put_uint(writer, image->process);
    cbor_put_uint(writer, image->status);
    record_put_time(writer, &image->evicted);
}

void record_get_key(struct cbor_reader *reader, struct record_key *image) {
    *image = (struct record_key){0};
    size_t newer = record_field_begin(reader, 5);
    record_field_digest(reader, &image->key);
    record_field_digest(reader, &image->body_digest);
    image->process = record_field_u64(reader);
    image->status = record_field_small(reader, 12);
    record_get_time(reader, &image->evicted);
    record_field_skip(reader, newer);
}

/* ---- answer ---- */

void record_put_answer(struct cbor_writer *writer, const struct record_answer *image) {
    check(image->code < RECORD_ANSWER_CODE_COUNT);
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, image->upstream_epoch);
    cbor_put_uint(writer, image->code);
    cbor_put_text(writer, image->text);
}

void record_get_answer(struct cbor_reader *reader, struct record_answer *image) {
    *image = (struct record_answer){0};
    size_t newer = record_field_begin(reader, 3);
    image->upstream_epoch = record_field_u32(reader);
    image->code = record_field_small(reader, RECORD_ANSWER_CODE_COUNT);
    image->text = cbor_get_text(reader, RECORD_TEXT_MAX);
    record_field_skip(reader, newer);
}
