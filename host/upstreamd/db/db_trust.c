#include "host/upstreamd/db/db_trust.h"

#include "host/upstreamd/db/db_statements.h"

enum status db_enrolment_add(struct db *db, const struct db_enrolment *enrolment, uint64_t now_ms) {
    struct sql_statement *statement = db_statement(db, DB_ENROLMENT_DROP);
    sql_bind_text(statement, 1, enrolment->hub);
    sql_bind_number(statement, 2, now_ms);
    enum status status = sql_execute(statement);
    if (status != STATUS_OK) {
        return status;
    }
    statement = db_statement(db, DB_ENROLMENT_ADD);
    sql_bind_bytes(statement, 1, enrolment->token, sizeof enrolment->token);
    sql_bind_text(statement, 2, enrolment->hub);
    sql_bind_number(statement, 3, enrolment->expires_ms);
    return sql_execute(statement);
}

enum status db_enrolment_take(struct db *db, const struct db_enrolment *enrolment,
                              uint64_t now_ms) {
    struct sql_statement *statement = db_statement(db, DB_ENROLMENT_TAKE);
    sql_bind_bytes(statement, 1, enrolment->token, sizeof enrolment->token);
    sql_bind_text(statement, 2, enrolment->hub);
    sql_bind_number(statement, 3, now_ms);
    enum status status = sql_execute(statement);
    return status == STATUS_OK && db->sql.changes != 1 ? STATUS_NOT_FOUND : status;
}

enum status db_revocation_put(struct db *db, const struct db_revocation *revocation) {
    struct sql_statement *statement = db_statement(db, DB_REVOCATION_PUT);
    sql_bind_text(statement, 1, revocation->hub);
    sql_bind_number(statement, 2, revocation->before_s);
    return sql_execute(statement);
}

void db_revocation_walk(struct db *db) {
    db_walk_begin(db, db_statement(db, DB_REVOCATION_WALK));
}

enum status db_revocation_next(struct db *db, struct db_revocation *revocation) {
    const struct sql_statement *statement = db->walk;
    enum status status = db_walk_next(db);
    if (status == STATUS_OK) {
        sql_text(statement, 0, revocation->hub, sizeof revocation->hub);
        revocation->before_s = sql_number(statement, 1);
    }
    return status;
}
