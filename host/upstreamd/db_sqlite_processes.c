#include "host/upstreamd/db_sqlite.h"

static sqlite3_stmt *prepare_process(struct db *db, enum db_sqlite_statement which,
                                     const struct db_process *process) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, which);
    db_sqlite_bind_u64(statement, 1, (uint64_t)process->store);
    db_sqlite_bind_u64(statement, 2, process->number);
    return statement;
}

enum status db_process_put(struct db *db, const struct db_process *process) {
    sqlite3_stmt *statement = prepare_process(db, DB_SQLITE_PROCESS_PUT, process);
    db_sqlite_bind_u64(statement, 3, process->revision);
    db_sqlite_bind_u64(statement, 4, process->status);
    db_sqlite_bind_u64(statement, 5, process->updated_ms);
    return db_sqlite_execute(statement);
}

enum status db_process_set_request(struct db *db, const struct db_process *process) {
    sqlite3_stmt *statement = prepare_process(db, DB_SQLITE_PROCESS_REQUEST, process);
    db_sqlite_bind_text(statement, 3, process->process_type);
    db_sqlite_bind_text(statement, 4, process->request_id);
    return db_sqlite_execute(statement);
}

enum status db_process_set_times(struct db *db, const struct db_process *process) {
    sqlite3_stmt *statement = prepare_process(db, DB_SQLITE_PROCESS_TIMES, process);
    db_sqlite_bind_u64(statement, 3, process->created_ms);
    db_sqlite_bind_u64(statement, 4, process->finished_ms);
    return db_sqlite_execute(statement);
}

enum status db_process_set_item(struct db *db, const struct db_process *process) {
    sqlite3_stmt *statement = prepare_process(db, DB_SQLITE_PROCESS_ITEM, process);
    db_sqlite_bind_u64(statement, 3, process->attempts);
    db_sqlite_bind_text(statement, 4, process->phone);
    db_sqlite_bind_u64(statement, 5, process->is_in_review);
    return db_sqlite_execute(statement);
}

static enum status read_process(sqlite3_stmt *statement, struct db_process *process) {
    enum status status = db_sqlite_query(statement);
    if (status != STATUS_OK) {
        return status;
    }
    struct db_process read = {
        .id = sqlite3_column_int64(statement, 0),
        .store = sqlite3_column_int64(statement, 1),
        .number = db_sqlite_column_u64(statement, 2),
        .epoch = db_sqlite_column_u32(statement, 4),
        .revision = db_sqlite_column_u64(statement, 5),
        .status = (uint8_t)db_sqlite_column_u32(statement, 6),
        .is_in_review = db_sqlite_column_u32(statement, 7) != 0,
        .attempts = db_sqlite_column_u32(statement, 8),
        .created_ms = db_sqlite_column_u64(statement, 9),
        .updated_ms = db_sqlite_column_u64(statement, 10),
        .finished_ms = db_sqlite_column_u64(statement, 11),
    };
    db_sqlite_column_text(statement, 3, read.hub_id, sizeof read.hub_id);
    db_sqlite_column_text(statement, 12, read.process_type, sizeof read.process_type);
    db_sqlite_column_text(statement, 13, read.request_id, sizeof read.request_id);
    db_sqlite_column_text(statement, 14, read.phone, sizeof read.phone);
    db_sqlite_finish(statement);
    *process = read;
    return STATUS_OK;
}

enum status db_process_find(struct db *db, struct db_process *process) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_PROCESS_FIND);
    db_sqlite_bind_text(statement, 1, process->hub_id);
    db_sqlite_bind_u64(statement, 2, process->epoch);
    db_sqlite_bind_u64(statement, 3, process->number);
    return read_process(statement, process);
}

enum status db_process_next(struct db *db, const struct db_filter *filter, int64_t cursor,
                            struct db_process *process) {
    sqlite3_stmt *statement = db_sqlite_prepare(
        db, filter->is_oldest_first ? DB_SQLITE_PROCESS_OLDER : DB_SQLITE_PROCESS_NEWER);
    bool is_newest = cursor == 0 && !filter->is_oldest_first;
    db_sqlite_bind_u64(statement, 1, is_newest ? INT64_MAX : (uint64_t)cursor);
    db_sqlite_bind_u64(statement, 2, filter->statuses);
    db_sqlite_bind_text(statement, 3, filter->process_type);
    db_sqlite_bind_text(statement, 4, filter->hub_id);
    db_sqlite_bind_text(statement, 5, filter->phone);
    return read_process(statement, process);
}

enum status db_process_counts(struct db *db, uint64_t counts[12]) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_PROCESS_COUNTS);
    for (size_t i = 0; i < 12; i++) {
        counts[i] = 0;
    }
    enum status status = db_sqlite_query(statement);
    while (status == STATUS_OK) {
        uint32_t row = db_sqlite_column_u32(statement, 0);
        if (row < 12) {
            counts[row] = db_sqlite_column_u64(statement, 1);
        }
        status = db_sqlite_query(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
