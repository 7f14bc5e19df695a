/* Rows of the list of processes, as a transaction holds them. */
#include "firmware/process.h"
#include "host/upstreamd/db/db_statements.h"

#include <string.h>

struct db_process_row *db_batch_place_process(struct db_batch *batch, int64_t store,
                                              uint64_t number, bool *is_new) {
    uint64_t hash = db_batch_mix(db_batch_mix((uint64_t)store, number), 1);
    uint32_t slot = (uint32_t)(hash >> 20) % array_count(batch->process_slots);
    while (batch->process_slots[slot] != 0) {
        struct db_process_row *row = &batch->processes[batch->process_slots[slot] - 1];
        if (row->store == store && row->number == number) {
            *is_new = false;
            return row;
        }
        slot = slot + 1 < array_count(batch->process_slots) ? slot + 1 : 0;
    }
    if (batch->process_count == DB_BATCH_PROCESSES) {
        return NULL;
    }
    struct db_process_row *row = &batch->processes[batch->process_count];
    batch->process_count += 1;
    batch->process_slots[slot] = batch->process_count;
    row->process_type[0] = '\0';
    row->request_id[0] = '\0';
    row->phone[0] = '\0';
    row->store = store;
    row->number = number;
    row->revision = 0;
    row->slot = slot;
    row->is_dirty = false;
    row->is_stored = false;
    *is_new = true;
    return row;
}

void db_batch_take_process(const struct sql_statement *statement, struct db_process_row *row) {
    row->is_stored = true;
    row->revision = sql_number(statement, 2);
    row->status = (uint8_t)sql_number(statement, 3);
    row->is_in_review = sql_number(statement, 4) != 0;
    row->attempts = (uint32_t)sql_number(statement, 5);
    row->created_ms = sql_number(statement, 6);
    row->updated_ms = sql_number(statement, 7);
    row->finished_ms = sql_number(statement, 8);
    row->is_part = sql_number(statement, 9) != 0;
    sql_text(statement, 10, row->process_type, sizeof row->process_type);
    sql_text(statement, 11, row->request_id, sizeof row->request_id);
    sql_text(statement, 12, row->phone, sizeof row->phone);
}

/* The row, read if it is not here yet. */
static enum status find_process(struct db *db, int64_t store, uint64_t number,
                                struct db_process_row **found) {
    bool is_new = false;
    uint64_t newest = 0;
    enum status status = STATUS_OK;
    struct db_process_row *row = db_batch_place_process(&db->batch, store, number, &is_new);
    if (row == NULL) {
        status = db_batch_make_room(db);
        row = db_batch_place_process(&db->batch, store, number, &is_new);
        check(row != NULL);
    }
    *found = row;
    if (!is_new || status != STATUS_OK) {
        return status;
    }
    status = db_batch_find_newest(db, store, &newest);
    if (status != STATUS_OK || number > newest) {
        return status;
    }
    struct sql_statement *statement = db_statement(db, DB_PROCESS_LOAD);
    sql_bind_number(statement, 1, (uint64_t)store);
    sql_bind_number(statement, 2, number);
    status = sql_query(statement);
    if (status == STATUS_OK) {
        db_batch_take_process(statement, row);
        sql_finish(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static void touch(struct db *db, struct db_process_row *row) {
    db->batch.dirty_count += !row->is_dirty;
    row->is_dirty = true;
}

enum status db_process_put(struct db *db, const struct db_process *process) {
    struct db_process_row *row;
    enum status status = find_process(db, process->store, process->number, &row);
    if (status != STATUS_OK || process->revision <= row->revision) {
        return status;
    }
    if (row->revision == 0) {
        row->created_ms = 0;
        row->finished_ms = 0;
        row->attempts = 0;
        row->is_in_review = false;
        row->is_part = false;
    }
    row->revision = process->revision;
    row->status = process->status;
    row->updated_ms = process->updated_ms;
    row->is_in_review = row->is_in_review && process->status == PROCESS_PLANNED;
    touch(db, row);
    return STATUS_OK;
}

enum status db_process_set_request(struct db *db, const struct db_process *process) {
    struct db_process_row *row;
    enum status status = find_process(db, process->store, process->number, &row);
    if (status == STATUS_OK && row->revision > 0) {
        memcpy(row->process_type, process->process_type, sizeof row->process_type);
        memcpy(row->request_id, process->request_id, sizeof row->request_id);
        touch(db, row);
    }
    return status;
}

enum status db_process_set_times(struct db *db, const struct db_process *process) {
    struct db_process_row *row;
    enum status status = find_process(db, process->store, process->number, &row);
    if (status == STATUS_OK && row->revision > 0) {
        row->created_ms = process->created_ms;
        row->finished_ms = process->finished_ms;
        touch(db, row);
    }
    return status;
}

enum status db_process_set_part(struct db *db, int64_t store, uint64_t number) {
    struct db_process_row *row;
    enum status status = find_process(db, store, number, &row);
    if (status == STATUS_OK && row->revision > 0) {
        row->is_part = true;
        touch(db, row);
    }
    return status;
}

enum status db_process_is_part(struct db *db, int64_t store, uint64_t number, bool *is_part) {
    struct db_process_row *row;
    enum status status = find_process(db, store, number, &row);
    *is_part = status == STATUS_OK && row->revision > 0 && row->is_part;
    return status;
}

enum status db_process_set_item(struct db *db, const struct db_process *process) {
    struct db_process_row *row;
    enum status status = find_process(db, process->store, process->number, &row);
    if (status == STATUS_OK && row->revision > 0) {
        row->attempts = process->attempts > row->attempts ? process->attempts : row->attempts;
        row->is_in_review = row->is_in_review || process->is_in_review;
        if (process->phone[0] != '\0') {
            memcpy(row->phone, process->phone, sizeof row->phone);
        }
        touch(db, row);
    }
    return status;
}

/* As objects are written. */
static enum status write_processes(struct db *db, bool is_stored) {
    enum db_statement which = is_stored ? DB_PROCESS_PUT : DB_PROCESS_ADD;
    struct sql_statement *statement = db_statement(db, which);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < db->batch.process_count && status == STATUS_OK; i++) {
        struct db_process_row *row = &db->batch.processes[i];
        if (!row->is_dirty || row->is_stored != is_stored) {
            continue;
        }
        const uint64_t numbers[] = {(uint64_t)row->store, row->number,       row->revision,
                                    row->status,          row->is_in_review, row->attempts,
                                    row->created_ms,      row->updated_ms,   row->finished_ms,
                                    row->is_part};
        statement = db_statement(db, which);
        for (uint32_t at = 0; at < array_count(numbers); at++) {
            sql_bind_number(statement, at + 1, numbers[at]);
        }
        sql_bind_text(statement, 11, row->process_type);
        sql_bind_text(statement, 12, row->request_id);
        sql_bind_text(statement, 13, row->phone);
        row->is_dirty = false;
        row->is_stored = true;
        status = sql_row(statement);
    }
    return status == STATUS_OK ? sql_rows_end(statement) : status;
}

enum status db_batch_write_processes(struct db *db) {
    enum status status = write_processes(db, true);
    return status == STATUS_OK ? write_processes(db, false) : status;
}
