#include "host/upstreamd/db/db_statements.h"

static const char *const texts[] = {
#define STATEMENT(name, text) text,
    DB_ALL_STATEMENTS(STATEMENT)
#undef STATEMENT
};

enum status db_open(struct db *db, const struct db_place *place) {
    bool is_server = place->postgres != NULL;
    enum status status =
        sql_open(&db->sql, is_server ? &sql_postgres : &sql_sqlite,
                 is_server ? place->postgres : place->sqlite, texts, array_count(texts));
    return status == STATUS_OK ? db_set_up(db) : status;
}

void db_close(struct db *db) {
    db->walk = NULL;
    sql_close(&db->sql);
}

const char *db_reason(const struct db *db) {
    return sql_reason(&db->sql);
}

enum status db_begin(struct db *db) {
    db_walk_end(db);
    db_batch_clear(db);
    db_notice_clear(db);
    return sql_begin(&db->sql, false);
}

enum status db_commit(struct db *db) {
    enum status status = db_flush(db);
    db_batch_clear(db);
    return status == STATUS_OK ? sql_commit(&db->sql, db_notice_text(db)) : status;
}

void db_rollback(struct db *db) {
    db_walk_end(db);
    db_batch_clear(db);
    sql_rollback(&db->sql);
}

enum status db_transact(struct db *db, db_change *change, void *owner) {
    enum status status = STATUS_IO;
    bool has_lost = true;
    for (uint32_t tries = 0; tries < DB_TRIES && has_lost; tries++) {
        status = db_begin(db);
        status = status == STATUS_OK ? change(owner) : status;
        status = status == STATUS_OK ? db_commit(db) : status;
        has_lost = status == STATUS_IO && sql_has_lost(&db->sql);
        db->conflicts += has_lost;
        db_rollback(db);
    }
    return status;
}

enum status db_read_number(struct sql_statement *statement, uint64_t *number) {
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        *number = sql_number(statement, 0);
        sql_finish(statement);
    }
    return status;
}

/* ---- walks ---- */

void db_walk_end(struct db *db) {
    if (db->walk != NULL) {
        sql_finish(db->walk);
        db->walk = NULL;
    }
}

void db_walk_begin(struct db *db, struct sql_statement *statement) {
    db_walk_end(db);
    db->first = db_flush(db);
    if (db->first == STATUS_OK) {
        db->first = sql_query(statement); /* before what is bound goes away */
    }
    db->walk = statement;
    db->has_begun = false;
}

enum status db_walk_next(struct db *db) {
    enum status status = STATUS_NOT_FOUND;
    if (db->walk != NULL) {
        status = db->has_begun ? sql_next(db->walk) : db->first;
        db->has_begun = true;
    }
    if (status != STATUS_OK) {
        db->walk = NULL;
    }
    return status;
}
