#include "protocol/sync_inventory.h"

#include "protocol/sha256.h"

#include <string.h>

enum {
    PAGE_FIELDS = 3,
    ROW_FIELDS = 5,
    ROW_LATER = 1,
    VERDICTS_FIELDS = 2,
    OK_FIELDS = 2,
    MISSING_FIELDS = 3,
    ENDED_FIELDS = 7,
    FIELDS_MAX = 64, /* with those of newer versions */
    FLAGS_MAX = 15,
};

static uint32_t get_u32(struct cbor_reader *reader) {
    return (uint32_t)cbor_get_uint(reader, UINT32_MAX);
}

/* The head of an array with at least `fields` items; gives how many are behind those. */
static uint64_t get_fields(struct cbor_reader *reader, uint64_t fields) {
    uint64_t count = cbor_get_array(reader, FIELDS_MAX);
    reader->failed = reader->failed || count < fields;
    return reader->failed ? 0 : count - fields;
}

static void skip_newer(struct cbor_reader *reader, uint64_t count) {
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        (void)cbor_skip(reader);
    }
}

static struct bytes read_since(const struct cbor_reader *reader, const uint8_t *start) {
    bool is_some = !reader->failed && reader->rest.data != start;
    return is_some ? (struct bytes){start, (size_t)(reader->rest.data - start)} : (struct bytes){0};
}

/* ---- pages ---- */

void sync_inventory_digest(struct bytes record, uint8_t digest[SYNC_DIGEST_BYTES]) {
    struct sha256 hash;
    uint8_t whole[SHA256_BYTES];
    sha256_init(&hash);
    sha256_add(&hash, record);
    sha256_end(&hash, whole);
    memcpy(digest, whole, SYNC_DIGEST_BYTES);
}

void sync_inventory_row_write(struct cbor_writer *writer, const struct sync_inventory_row *row) {
    cbor_put_array(writer, ROW_FIELDS + ROW_LATER);
    cbor_put_uint(writer, row->process);
    cbor_put_uint(writer, row->generation);
    cbor_put_uint(writer, row->revision);
    cbor_put_uint(writer, row->status);
    cbor_put_bytes(writer, (struct bytes){row->digest, SYNC_DIGEST_BYTES});
    cbor_put_bytes(writer, (struct bytes){row->request, SYNC_DIGEST_BYTES});
}

void sync_inventory_write(struct cbor_writer *writer, const struct sync_inventory *inventory) {
    check(inventory->row_count <= SYNC_INVENTORY_ROWS_MAX);
    if (inventory->asks) {
        cbor_put_bool(writer, true);
        return;
    }
    cbor_put_array(writer, PAGE_FIELDS);
    cbor_put_uint(writer, inventory->from);
    cbor_put_bool(writer, inventory->has_more);
    cbor_put_array(writer, inventory->row_count);
    cbor_put_raw(writer, inventory->rows);
}

static void get_digest(struct cbor_reader *reader, uint8_t digest[SYNC_DIGEST_BYTES]) {
    struct bytes bytes = cbor_get_bytes(reader, SYNC_DIGEST_BYTES);
    reader->failed = reader->failed || bytes.size != SYNC_DIGEST_BYTES;
    if (!reader->failed) {
        memcpy(digest, bytes.data, SYNC_DIGEST_BYTES);
    }
}

static void get_row(struct cbor_reader *reader, struct sync_inventory_row *row) {
    *row = (struct sync_inventory_row){0};
    uint64_t newer = get_fields(reader, ROW_FIELDS);
    row->process = cbor_get_uint(reader, SYNC_SEQ_MAX);
    row->generation = get_u32(reader);
    row->revision = cbor_get_uint(reader, SYNC_SEQ_MAX);
    row->status = (uint8_t)cbor_get_uint(reader, UINT8_MAX);
    get_digest(reader, row->digest);
    if (newer >= ROW_LATER) {
        get_digest(reader, row->request);
        newer -= ROW_LATER;
    }
    reader->failed = reader->failed || row->process == 0;
    skip_newer(reader, newer);
}

static bool asks_for_epoch(struct bytes item) {
    struct cbor_reader reader;
    cbor_reader_init(&reader, item);
    return cbor_get_bool(&reader) && cbor_reader_done(&reader);
}

enum status sync_inventory_read(struct bytes item, struct sync_inventory *inventory) {
    struct cbor_reader reader;
    struct sync_inventory read = {0};
    if (asks_for_epoch(item)) {
        *inventory = (struct sync_inventory){.asks = true};
        return STATUS_OK;
    }
    cbor_reader_init(&reader, item);
    uint64_t newer = get_fields(&reader, PAGE_FIELDS);
    read.from = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    read.has_more = cbor_get_bool(&reader);
    read.row_count = (uint32_t)cbor_get_array(&reader, SYNC_INVENTORY_ROWS_MAX);
    const uint8_t *start = reader.rest.data;
    uint64_t least = read.from;
    reader.failed = reader.failed || read.from == 0;
    for (uint32_t i = 0; i < read.row_count && !reader.failed; i++) {
        struct sync_inventory_row row = {0};
        get_row(&reader, &row);
        reader.failed = reader.failed || row.process < least;
        least = row.process + 1;
    }
    read.rows = read_since(&reader, start);
    skip_newer(&reader, newer);
    if (!cbor_reader_done(&reader)) {
        return STATUS_MALFORMED;
    }
    *inventory = read;
    return STATUS_OK;
}

bool sync_inventory_next(struct bytes *rows, struct sync_inventory_row *row) {
    struct cbor_reader reader;
    bool is_one = rows->size > 0;
    cbor_reader_init(&reader, *rows);
    if (is_one) {
        get_row(&reader, row);
    }
    check(!reader.failed);
    *rows = reader.rest;
    return is_one;
}

/* ---- verdicts ---- */

void sync_verdict_write(struct cbor_writer *writer, const struct sync_verdict *verdict) {
    check(verdict->kind < SYNC_VERDICT_COUNT);
    static const uint8_t fields[] = {OK_FIELDS, MISSING_FIELDS, ENDED_FIELDS};
    cbor_put_array(writer, fields[verdict->kind]);
    cbor_put_uint(writer, verdict->process);
    cbor_put_uint(writer, verdict->kind);
    if (verdict->kind != SYNC_VERDICT_OK) {
        cbor_put_uint(writer, verdict->revision);
    }
    if (verdict->kind == SYNC_VERDICT_ENDED) {
        check(verdict->states.size <= SYNC_STATES_MAX);
        cbor_put_uint(writer, verdict->generation);
        cbor_put_uint(writer, verdict->item_count);
        cbor_put_uint(writer, verdict->flags);
        cbor_put_bytes(writer, verdict->states);
    }
}

void sync_verdicts_write(struct cbor_writer *writer, const struct sync_verdicts *verdicts) {
    check(verdicts->count <= SYNC_INVENTORY_ROWS_MAX);
    cbor_put_array(writer, VERDICTS_FIELDS);
    cbor_put_uint(writer, verdicts->from);
    cbor_put_array(writer, verdicts->count);
    cbor_put_raw(writer, verdicts->list);
}

static bool are_states(struct bytes states) {
    for (size_t i = 0; i < states.size; i++) {
        if (states.data[i] >= RECORD_ITEM_STATE_COUNT) {
            return false;
        }
    }
    return true;
}

static void get_verdict(struct cbor_reader *reader, struct sync_verdict *verdict) {
    *verdict = (struct sync_verdict){0};
    uint64_t left = get_fields(reader, OK_FIELDS);
    verdict->process = cbor_get_uint(reader, SYNC_SEQ_MAX);
    uint32_t kind = get_u32(reader);
    if (kind >= SYNC_VERDICT_COUNT) {
        kind = SYNC_VERDICT_MISSING;
        skip_newer(reader, left);
        left = 0;
    } else if (kind != SYNC_VERDICT_OK) {
        reader->failed = left == 0; /* once it has failed, the kind is 0 */
        verdict->revision = cbor_get_uint(reader, SYNC_SEQ_MAX);
        left -= 1;
    }
    if (kind == SYNC_VERDICT_ENDED) {
        reader->failed = reader->failed || left < ENDED_FIELDS - MISSING_FIELDS;
        verdict->generation = get_u32(reader);
        verdict->item_count = get_u32(reader);
        verdict->flags = (uint8_t)cbor_get_uint(reader, FLAGS_MAX);
        verdict->states = cbor_get_bytes(reader, SYNC_STATES_MAX);
        reader->failed = reader->failed || !are_states(verdict->states);
        left -= ENDED_FIELDS - MISSING_FIELDS;
    }
    verdict->kind = (uint8_t)kind;
    reader->failed = reader->failed || verdict->process == 0;
    skip_newer(reader, left);
}

enum status sync_verdicts_read(struct bytes item, struct sync_verdicts *verdicts) {
    struct cbor_reader reader;
    struct sync_verdicts read = {0};
    cbor_reader_init(&reader, item);
    uint64_t newer = get_fields(&reader, VERDICTS_FIELDS);
    read.from = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    read.count = (uint32_t)cbor_get_array(&reader, SYNC_INVENTORY_ROWS_MAX);
    const uint8_t *start = reader.rest.data;
    for (uint32_t i = 0; i < read.count && !reader.failed; i++) {
        struct sync_verdict verdict;
        get_verdict(&reader, &verdict);
    }
    read.list = read_since(&reader, start);
    skip_newer(&reader, newer);
    if (!cbor_reader_done(&reader)) {
        return STATUS_MALFORMED;
    }
    *verdicts = read;
    return STATUS_OK;
}

bool sync_verdict_next(struct bytes *list, struct sync_verdict *verdict) {
    struct cbor_reader reader;
    bool is_one = list->size > 0;
    cbor_reader_init(&reader, *list);
    if (is_one) {
        get_verdict(&reader, verdict);
    }
    check(!reader.failed);
    *list = reader.rest;
    return is_one;
}
