#include "host/upstreamd/db/db_statements.h"

enum { SEALED = 1, WAITING = 2, IN_DOUBT = 4 };

static struct sql_statement *prepare(struct db *db, enum db_statement which, int64_t store,
                                     uint64_t number) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_number(statement, 1, (uint64_t)store);
    sql_bind_number(statement, 2, number);
    return statement;
}

enum status db_fork_row(struct db *db, int64_t store, uint64_t number, struct db_fork_row *row) {
    struct sql_statement *statement = prepare(db, DB_FORK_ROW, store, number);
    enum status status = db_flush(db);
    status = status == STATUS_OK ? sql_query(statement) : status;
    if (status == STATUS_OK) {
        *row = (struct db_fork_row){
            .revision = sql_number(statement, 0),
            .status = (uint8_t)sql_number(statement, 1),
            .is_sealed = (sql_number(statement, 2) & SEALED) != 0,
            .is_waiting = (sql_number(statement, 2) & WAITING) != 0,
            .is_in_doubt = (sql_number(statement, 2) & IN_DOUBT) != 0,
            .is_lost = sql_number(statement, 3) != 0,
        };
        sql_finish(statement);
    }
    return status;
}

/* What the batch holds of processes is stored first. */
static enum status post(struct db *db, struct sql_statement *statement) {
    enum status status = db_flush(db);
    return status == STATUS_OK ? sql_post(statement) : status;
}

static enum status post_for_store(struct db *db, enum db_statement which, int64_t store) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_number(statement, 1, (uint64_t)store);
    return post(db, statement);
}

/* What was in doubt and still waits was not in the last inventory, and stays in doubt. */
enum status db_fork_begin(struct db *db, int64_t store, const struct db_fork_start *start) {
    uint64_t bits = start->has_inventory ? WAITING : 0;
    bits |= start->is_in_doubt ? IN_DOUBT : 0;
    enum status status = post_for_store(db, DB_FORK_LEASES, store);
    status = status == STATUS_OK ? post_for_store(db, DB_FORK_PHONES, store) : status;
    return status == STATUS_OK ? post(db, prepare(db, DB_FORK_SEAL, store, bits)) : status;
}

enum status db_fork_lose(struct db *db, int64_t store, uint64_t first, uint64_t last) {
    struct sql_statement *statement = prepare(db, DB_FORK_LOSE, store, first);
    sql_bind_number(statement, 3, last);
    return post(db, statement);
}

enum status db_fork_lose_others(struct db *db, const struct db_store *store) {
    struct sql_statement *statement = db_statement(db, DB_FORK_OTHERS);
    sql_bind_text(statement, 1, store->hub_id);
    sql_bind_number(statement, 2, (uint64_t)store->id);
    return sql_post(statement);
}

enum status db_fork_found(struct db *db, int64_t store, uint64_t number,
                          const struct db_fork_row *row) {
    uint64_t bits = row->is_sealed ? SEALED : 0;
    struct sql_statement *statement = prepare(db, DB_FORK_FOUND, store, number);
    sql_bind_number(statement, 3, bits | (row->is_in_doubt ? IN_DOUBT : 0));
    return post(db, statement);
}

enum status db_fork_unseal(struct db *db, int64_t store, uint64_t number) {
    return post(db, prepare(db, DB_FORK_UNSEAL, store, number));
}

enum status db_fork_raise(struct db *db, int64_t store, uint64_t number, uint64_t revision) {
    struct sql_statement *statement = prepare(db, DB_FORK_RAISE, store, number);
    sql_bind_number(statement, 3, revision);
    return post(db, statement);
}

enum status db_fork_renumber(struct db *db, const struct db_store *store, uint64_t number,
                             uint64_t other) {
    static const enum db_statement moves[] = {DB_FORK_ASIDE_RECORDS, DB_FORK_ASIDE_OBJECTS,
                                              DB_FORK_ASIDE, DB_KEEP_PART};
    enum status status = db_batch_make_room(db); /* nothing is remembered of it */
    for (size_t i = 0; i < array_count(moves) && status == STATUS_OK; i++) {
        struct sql_statement *statement = prepare(db, moves[i], store->id, number);
        if (moves[i] != DB_KEEP_PART) {
            sql_bind_number(statement, 3, other);
        }
        if (moves[i] == DB_FORK_ASIDE_RECORDS || moves[i] == DB_FORK_ASIDE_OBJECTS) {
            sql_bind_number(statement, 4, db_place(store, 0));
        }
        status = sql_post(statement);
    }
    return status;
}

enum status db_fork_count_lost(struct db *db, uint64_t *count) {
    struct sql_statement *statement = db_statement(db, DB_FORK_LOST);
    enum status status = db_flush(db);
    return status == STATUS_OK ? db_read_number(statement, count) : status;
}
