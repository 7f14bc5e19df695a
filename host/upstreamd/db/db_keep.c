#include "host/upstreamd/db/db_keep.h"
#include "host/upstreamd/db/db_statements.h"

enum status db_keep_next(struct db *db, uint64_t until_ms, struct db_old *old) {
    struct sql_statement *statement = db_statement(db, DB_KEEP_NEXT);
    sql_bind_number(statement, 1, until_ms);
    sql_bind_number(statement, 2, old->finished_ms);
    sql_bind_number(statement, 3, (uint64_t)old->id);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        old->store = (int64_t)sql_number(statement, 0);
        old->number = sql_number(statement, 1);
        old->finished_ms = sql_number(statement, 2);
        old->id = (int64_t)sql_number(statement, 3);
        sql_text(statement, 4, old->hub_id, sizeof old->hub_id);
        old->status = (uint8_t)(sql_number(statement, 5) & 0x0f);
        sql_finish(statement);
    }
    return status;
}

static struct sql_statement *prepare(struct db *db, enum db_statement which, int64_t store,
                                     uint64_t second) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_number(statement, 1, (uint64_t)store);
    sql_bind_number(statement, 2, second);
    return statement;
}

/* Deletes or empties some records; `is_all`: there are no more. */
static enum status cut(struct db *db, enum db_statement which, int64_t store, uint64_t second,
                       bool *is_all) {
    struct sql_statement *statement = prepare(db, which, store, second);
    sql_bind_number(statement, 3, DB_KEEP_RECORDS);
    if (which == DB_KEEP_EMPTY_OWN || which == DB_KEEP_EMPTY_OTHERS) {
        sql_bind_bytes(statement, 4, "", 0);
    }
    enum status status = sql_execute(statement);
    *is_all = *is_all && status == STATUS_OK && db->sql.changes < DB_KEEP_RECORDS;
    return status;
}

/* What the hub told of other things up to this place is as old as that. */
static enum status cut_others(struct db *db, int64_t store, uint64_t last, bool *is_all) {
    enum status status = sql_post(prepare(db, DB_KEEP_ANSWERS, store, last));
    status = status == STATUS_OK ? cut(db, DB_KEEP_DELETE_OTHERS, store, last, is_all) : status;
    return status == STATUS_OK ? cut(db, DB_KEEP_EMPTY_OTHERS, store, last, is_all) : status;
}

enum status db_keep_delete(struct db *db, const struct db_old *old) {
    static const enum db_statement rows[] = {DB_KEEP_OBJECTS, DB_KEEP_PROCESS, DB_KEEP_PART};
    uint64_t last = 0;
    bool is_all = true;
    enum status status = db_read_number(prepare(db, DB_KEEP_LAST, old->store, old->number), &last);
    status = status == STATUS_OK ? cut_others(db, old->store, last, &is_all) : status;
    if (status != STATUS_OK || !is_all) {
        return status == STATUS_OK ? STATUS_AGAIN : status;
    }
    status = cut(db, DB_KEEP_DELETE_OWN, old->store, old->number, &is_all);
    if (status == STATUS_OK) {
        status = cut(db, DB_KEEP_EMPTY_OWN, old->store, old->number, &is_all);
    }
    for (size_t i = 0; i < array_count(rows) && is_all && status == STATUS_OK; i++) {
        status = sql_post(prepare(db, rows[i], old->store, old->number));
    }
    return status == STATUS_OK && !is_all ? STATUS_AGAIN : status;
}

enum status db_keep_evict(struct db *db, const struct db_old *old, uint64_t now_ms) {
    struct sql_statement *statement = db_statement(db, DB_KEEP_ITEMS);
    sql_bind_number(statement, 1, old->number);
    enum status status = sql_post(statement);
    statement = db_statement(db, DB_KEEP_KEY);
    sql_bind_number(statement, 1, old->number & (DB_NUMBERS - 1));
    sql_bind_number(statement, 2, now_ms);
    sql_bind_number(statement, 3, old->status);
    return status == STATUS_OK ? sql_post(statement) : status;
}

enum status db_keep_forget(struct db *db, uint64_t now_ms, uint32_t epoch) {
    struct sql_statement *statement = db_statement(db, DB_KEEP_FORGET);
    sql_bind_number(statement, 1, now_ms > DB_KEY_MS ? now_ms - DB_KEY_MS : 0);
    sql_bind_number(statement, 2, DB_KEEP_RECORDS);
    enum status status = sql_post(statement);
    statement = db_statement(db, DB_KEEP_COMMANDS);
    sql_bind_number(statement, 1, epoch);
    return status == STATUS_OK ? sql_post(statement) : status;
}
