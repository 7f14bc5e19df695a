/* Locks processes of the fleet in one order, before a transaction touches them. */
#include "host/upstreamd/db/db_fleet.h"
#include "host/upstreamd/db/db_statements.h"

enum { NUMBERS_MAX = 8192 };

struct found {
    uint64_t ids[NUMBERS_MAX]; /* of rows */
    uint32_t count;
};

static void bind_touch(struct sql_statement *statement, const struct db_touch *touch) {
    sql_bind_text_bytes(statement, 1, touch->hub);
    if (touch->epoch == 0) {
        sql_bind_bytes(statement, 2, touch->store_id, SYNC_STORE_ID_BYTES);
    } else {
        sql_bind_number(statement, 2, touch->epoch);
    }
    sql_bind_number(statement, 3, touch->number);
}

/* Of those by a part, or of those by an answer. */
static enum status find(struct db *db, const struct db_touch *touches, uint32_t count,
                        bool is_answer, struct found *found) {
    enum db_statement which = is_answer ? DB_TOUCHED_BY_ANSWERS : DB_TOUCHED_PARTS;
    struct sql_statement *statement = NULL;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        if ((touches[i].epoch != 0) == is_answer) {
            statement = db_statement(db, which);
            bind_touch(statement, &touches[i]);
            status = sql_row(statement);
        }
    }
    if (statement == NULL || status != STATUS_OK) {
        return status;
    }
    status = sql_rows_query(statement);
    while (status == STATUS_OK && found->count < NUMBERS_MAX) {
        found->ids[found->count] = sql_number(statement, 0) & (DB_NUMBERS - 1);
        found->count += 1;
        status = sql_next(statement);
    }
    sql_finish(statement);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status db_fleet_lock(struct db *db, const struct db_touch *touches, uint32_t count) {
    static struct found found;
    found.count = 0;
    enum status status = find(db, touches, count, false, &found);
    status = status == STATUS_OK ? find(db, touches, count, true, &found) : status;
    if (status != STATUS_OK || found.count == 0) {
        return status;
    }
    struct sql_statement *statement = NULL;
    for (uint32_t i = 0; i < found.count && status == STATUS_OK; i++) {
        statement = db_statement(db, DB_FLEET_LOCK_ALL);
        sql_bind_number(statement, 1, found.ids[i]);
        status = sql_row(statement);
    }
    status = status == STATUS_OK ? sql_rows_query(statement) : status;
    if (status == STATUS_OK) {
        sql_finish(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}
