#include "host/upstreamd/db/db_statements.h"

#include <string.h>

/* ---- places ---- */

uint64_t db_batch_mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

void db_batch_clear(struct db *db) {
    struct db_batch *batch = &db->batch;
    for (uint32_t i = 0; i < batch->object_count; i++) {
        batch->object_slots[batch->objects[i].slot] = 0;
    }
    for (uint32_t i = 0; i < batch->process_count; i++) {
        batch->process_slots[batch->processes[i].slot] = 0;
    }
    batch->generation += 1;
    batch->record_count = 0;
    batch->object_count = 0;
    batch->process_count = 0;
    batch->lease_count = 0;
    batch->end_count = 0;
    batch->dirty_count = 0;
    batch->byte_count = 0;
}

/* The row at that place, a new one, or NULL: full. */
struct db_object_row *db_batch_place_object(struct db_batch *batch, int64_t store, uint8_t kind,
                                            const uint64_t path[3], bool *is_new) {
    uint64_t hash = db_batch_mix(
        db_batch_mix(db_batch_mix(db_batch_mix((uint64_t)store, kind), path[0]), path[1]), path[2]);
    uint32_t slot = (uint32_t)(hash >> 20) % array_count(batch->object_slots);
    while (batch->object_slots[slot] != 0) {
        struct db_object_row *row = &batch->objects[batch->object_slots[slot] - 1];
        if (row->store == store && row->kind == kind && row->path[0] == path[0] &&
            row->path[1] == path[1] && row->path[2] == path[2]) {
            *is_new = false;
            return row;
        }
        slot = slot + 1 < array_count(batch->object_slots) ? slot + 1 : 0;
    }
    if (batch->object_count == DB_BATCH_OBJECTS) {
        return NULL;
    }
    struct db_object_row *row = &batch->objects[batch->object_count];
    batch->object_count += 1;
    batch->object_slots[slot] = batch->object_count;
    *row = (struct db_object_row){
        .store = store, .path = {path[0], path[1], path[2]}, .kind = kind, .slot = slot};
    *is_new = true;
    return row;
}

/* Writes everything and holds nothing: room for the next row. */
enum status db_batch_make_room(struct db *db) {
    enum status status = db_flush(db);
    db_batch_clear(db);
    return status;
}

/* The newest process of a store that the tables hold anything of: every object of a process has
 * been followed by its row in `processes`. What this transaction has written or holds is in the
 * batch until that is cleared. */
enum status db_batch_find_newest(struct db *db, int64_t store, uint64_t *newest) {
    struct db_newest_row *row = &db->batch.newest[(uint64_t)store % DB_BATCH_STORES];
    enum status status = STATUS_OK;
    if (row->store != store || row->generation != db->batch.generation) {
        struct sql_statement *statement = db_statement(db, DB_PROCESS_NEWEST);
        sql_bind_number(statement, 1, (uint64_t)store);
        status = sql_query(statement);
        if (status == STATUS_OK) {
            *row = (struct db_newest_row){store, db->batch.generation, sql_number(statement, 0)};
            sql_finish(statement);
        }
    }
    *newest = row->number;
    return status;
}

/* ---- records ---- */

/* The process that a record belongs to; 0: none. */
uint64_t db_batch_process_of(const struct record_header *header) {
    bool is_of_process = header->kind >= RECORD_REQUEST && header->kind <= RECORD_ATTEMPT;
    return is_of_process ? header->path[0] : 0;
}

enum status db_record_add(struct db *db, const struct db_record *record) {
    struct db_batch *batch = &db->batch;
    enum status status = STATUS_OK;
    check(record->bytes.size <= DB_BATCH_BYTES);
    if (batch->record_count == DB_BATCH_RECORDS ||
        batch->byte_count + record->bytes.size > DB_BATCH_BYTES) {
        status = db_batch_make_room(db);
    }
    struct db_record_row *row = &batch->records[batch->record_count];
    *row = (struct db_record_row){
        .store = record->store,
        .seq = record->seq,
        .process = record->is_known ? db_batch_process_of(&record->header) : 0,
        .revision = record->header.revision,
        .bytes = {batch->bytes + batch->byte_count, record->bytes.size},
        .kind = (uint8_t)record->header.kind,
        .is_known = record->is_known,
        .has_chain = record->chain != NULL,
    };
    if (record->bytes.size > 0) {
        memcpy(batch->bytes + batch->byte_count, record->bytes.data, record->bytes.size);
    }
    if (record->chain != NULL) {
        memcpy(row->chain, record->chain, RECORD_CHAIN_BYTES);
    }
    batch->byte_count += record->bytes.size;
    batch->record_count += 1;
    db_note_store(db, record->store);
    return status;
}

static enum status write_records(struct db *db) {
    struct sql_statement *statement = db_statement(db, DB_RECORD_ADD);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < db->batch.record_count && status == STATUS_OK; i++) {
        const struct db_record_row *row = &db->batch.records[i];
        statement = db_statement(db, DB_RECORD_ADD);
        sql_bind_number(statement, 1, (uint64_t)row->store);
        sql_bind_number(statement, 2, row->seq);
        if (row->is_known) {
            sql_bind_number(statement, 3, row->kind);
            sql_bind_number(statement, 5, row->revision);
        }
        if (row->process != 0) {
            sql_bind_number(statement, 4, row->process);
        }
        if (row->has_chain) {
            sql_bind_bytes(statement, 6, row->chain, sizeof row->chain);
        }
        sql_bind_bytes(statement, 7, row->bytes.data, row->bytes.size);
        status = sql_row(statement);
    }
    return status == STATUS_OK ? sql_rows_end(statement) : status;
}

/* ---- objects ---- */

static enum status load_object(struct db *db, struct db_object_row *row) {
    bool is_of_process = row->kind >= RECORD_REQUEST && row->kind <= RECORD_ATTEMPT;
    uint64_t newest = UINT64_MAX;
    enum status status = is_of_process ? db_batch_find_newest(db, row->store, &newest) : STATUS_OK;
    if (status != STATUS_OK || row->path[0] > newest) {
        return status;
    }
    struct sql_statement *statement = db_statement(db, DB_OBJECT_LOAD);
    sql_bind_number(statement, 1, (uint64_t)row->store);
    sql_bind_number(statement, 2, row->kind);
    for (uint32_t i = 0; i < 3; i++) {
        sql_bind_number(statement, 3 + i, row->path[i]);
    }
    status = sql_query(statement);
    if (status == STATUS_OK) {
        row->seq = sql_number(statement, 0);
        row->revision = sql_number(statement, 1);
        row->is_stored = true;
        sql_finish(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* The copy of the record's bytes, when it was the last one added; they are read from there while
 * they are not written. */
static struct bytes held_bytes(const struct db_batch *batch, const struct db_record *record) {
    if (batch->record_count > 0) {
        const struct db_record_row *last = &batch->records[batch->record_count - 1];
        if (last->store == record->store && last->seq == record->seq) {
            return last->bytes;
        }
    }
    return (struct bytes){0};
}

enum status db_object_put(struct db *db, const struct db_record *record) {
    const struct record_header *header = &record->header;
    struct db_batch *batch = &db->batch;
    bool is_new = false;
    enum status status = STATUS_OK;
    struct db_object_row *row =
        db_batch_place_object(batch, record->store, (uint8_t)header->kind, header->path, &is_new);
    if (row == NULL) {
        status = db_batch_make_room(db);
        row = db_batch_place_object(batch, record->store, (uint8_t)header->kind, header->path,
                                    &is_new);
        check(row != NULL);
    }
    if (status == STATUS_OK && is_new) {
        status = load_object(db, row);
    }
    bool is_later_life = record->seq >> DB_SEQ_BITS > row->seq >> DB_SEQ_BITS;
    if (status == STATUS_OK && header->revision <= row->revision && !is_later_life) {
        status = STATUS_NOT_FOUND;
    }
    if (status == STATUS_OK) {
        batch->dirty_count += !row->is_dirty;
        row->is_dirty = true;
        row->seq = record->seq;
        row->revision = header->revision;
        row->bytes = held_bytes(batch, record);
    }
    return status;
}

bool db_batch_object(struct db *db, int64_t store, enum record_kind kind, const uint64_t path[3],
                     struct bytes *bytes) {
    bool is_new = false;
    if (db->batch.dirty_count == 0) {
        return false;
    }
    const struct db_object_row *row =
        db_batch_place_object(&db->batch, store, (uint8_t)kind, path, &is_new);
    if (row == NULL || !row->is_dirty) {
        if (row != NULL && is_new) { /* nobody has read it: no row stays here */
            db->batch.object_slots[row->slot] = 0;
            db->batch.object_count -= 1;
        }
        return false;
    }
    *bytes = row->bytes;
    return true;
}

/* Those that the table has, or those that are new: a server adds a row faster when it need not look
 * for another one in its place. */
static enum status write_objects(struct db *db, bool is_stored) {
    enum db_statement which = is_stored ? DB_OBJECT_PUT : DB_OBJECT_ADD;
    struct sql_statement *statement = db_statement(db, which);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < db->batch.object_count && status == STATUS_OK; i++) {
        struct db_object_row *row = &db->batch.objects[i];
        if (!row->is_dirty || row->is_stored != is_stored) {
            continue;
        }
        statement = db_statement(db, which);
        sql_bind_number(statement, 1, (uint64_t)row->store);
        sql_bind_number(statement, 2, row->kind);
        for (uint32_t part = 0; part < 3; part++) {
            sql_bind_number(statement, 3 + part, row->path[part]);
        }
        sql_bind_number(statement, 6, row->seq);
        sql_bind_number(statement, 7, row->revision);
        row->is_dirty = false;
        row->is_stored = true;
        row->bytes = (struct bytes){0};
        status = sql_row(statement);
    }
    return status == STATUS_OK ? sql_rows_end(statement) : status;
}

/* ---- all of it ---- */

enum status db_flush(struct db *db) {
    struct db_batch *batch = &db->batch;
    enum status status = STATUS_OK;
    if (batch->record_count > 0) {
        status = write_records(db);
    }
    if (status == STATUS_OK && batch->dirty_count > 0) {
        status = write_objects(db, true);
        status = status == STATUS_OK ? write_objects(db, false) : status;
        status = status == STATUS_OK ? db_batch_write_processes(db) : status;
    }
    if (status == STATUS_OK && batch->lease_count + batch->end_count > 0) {
        status = db_batch_write_leases(db);
    }
    batch->record_count = 0;
    batch->dirty_count = 0;
    batch->byte_count = 0;
    return status;
}
