#include "host/upstreamd/db/db_statements.h"

static void read_process(const struct sql_statement *statement, struct db_process *process) {
    *process = (struct db_process){
        .id = (int64_t)sql_number(statement, 0),
        .store = (int64_t)sql_number(statement, 1),
        .number = sql_number(statement, 2),
        .first_epoch = (uint32_t)sql_number(statement, 4),
        .revision = sql_number(statement, 5),
        .status = (uint8_t)sql_number(statement, 6),
        .is_in_review = sql_number(statement, 7) != 0,
        .attempts = (uint32_t)sql_number(statement, 8),
        .created_ms = sql_number(statement, 9),
        .updated_ms = sql_number(statement, 10),
        .finished_ms = sql_number(statement, 11),
        .hub_seen_ms = sql_number(statement, 15),
        .is_lost = sql_number(statement, 16) != 0,
    };
    sql_text(statement, 3, process->hub_id, sizeof process->hub_id);
    sql_text(statement, 12, process->process_type, sizeof process->process_type);
    sql_text(statement, 13, process->request_id, sizeof process->request_id);
    sql_text(statement, 14, process->phone, sizeof process->phone);
}

enum status db_process_find(struct db *db, const struct process_id *id,
                            struct db_process *process) {
    struct sql_statement *statement = db_statement(db, DB_PROCESS_FIND);
    sql_bind_text(statement, 1, id->hub_id);
    sql_bind_number(statement, 2, id->epoch);
    sql_bind_number(statement, 3, id->number);
    sql_bind_number(statement, 4, (uint64_t)id->epoch << RECORD_NUMBER_BITS | id->number);
    enum status status = db_flush(db);
    status = status == STATUS_OK ? sql_query(statement) : status;
    if (status == STATUS_OK) {
        read_process(statement, process);
        sql_finish(statement);
    }
    return status;
}

void db_process_walk(struct db *db, const struct db_filter *filter, int64_t cursor,
                     uint32_t limit) {
    struct sql_statement *statement =
        db_statement(db, filter->is_oldest_first ? DB_PROCESS_OLDER : DB_PROCESS_NEWER);
    bool is_newest = cursor == 0 && !filter->is_oldest_first;
    sql_bind_number(statement, 1, is_newest ? INT64_MAX : (uint64_t)cursor);
    sql_bind_number(statement, 2, filter->statuses);
    sql_bind_text(statement, 3, filter->process_type);
    sql_bind_text(statement, 4, filter->hub_id);
    sql_bind_text(statement, 5, filter->phone);
    sql_bind_number(statement, 6, limit);
    db_walk_begin(db, statement);
}

enum status db_process_next(struct db *db, struct db_process *process) {
    const struct sql_statement *statement = db->walk;
    enum status status = db_walk_next(db);
    if (status == STATUS_OK) {
        read_process(statement, process);
    }
    return status;
}

enum status db_process_counts(struct db *db, uint64_t counts[12]) {
    struct sql_statement *statement = db_statement(db, DB_PROCESS_COUNTS);
    for (size_t i = 0; i < 12; i++) {
        counts[i] = 0;
    }
    enum status status = sql_query(statement);
    while (status == STATUS_OK) {
        uint32_t row = (uint32_t)sql_number(statement, 0);
        if (row < 12) {
            counts[row] = sql_number(statement, 1);
        }
        status = sql_next(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
