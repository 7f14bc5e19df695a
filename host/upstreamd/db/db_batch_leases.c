/* Leases of phones, as a transaction holds them: written are first the items that end theirs, then
 * the phones. */
#include "host/upstreamd/db/db_statements.h"

static enum status write_ends(struct db *db) {
    struct sql_statement *statement = db_statement(db, DB_LEASE_END);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < db->batch.end_count && status == STATUS_OK; i++) {
        const struct db_lease_row *end = &db->batch.ends[i];
        statement = db_statement(db, DB_LEASE_END);
        sql_bind_number(statement, 1, (uint64_t)end->store);
        sql_bind_number(statement, 2, end->process);
        sql_bind_number(statement, 3, end->item);
        status = sql_row(statement);
    }
    return status == STATUS_OK ? sql_rows_end(statement) : status;
}

/* The phones that are leased now, or those that are free. */
static enum status write_phones(struct db *db, bool is_free) {
    enum db_statement which = is_free ? DB_LEASE_FREE : DB_LEASE_PUT;
    struct sql_statement *statement = db_statement(db, which);
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < db->batch.lease_count && status == STATUS_OK; i++) {
        const struct db_lease_row *lease = &db->batch.leases[i];
        if ((lease->process == 0) != is_free) {
            continue;
        }
        statement = db_statement(db, which);
        sql_bind_number(statement, 1, (uint64_t)lease->store);
        sql_bind_number(statement, 2, lease->phone);
        if (!is_free) {
            sql_bind_number(statement, 3, lease->process);
            sql_bind_number(statement, 4, lease->item);
        }
        status = sql_row(statement);
    }
    return status == STATUS_OK ? sql_rows_end(statement) : status;
}

enum status db_batch_write_leases(struct db *db) {
    enum status status = write_ends(db);
    status = status == STATUS_OK ? write_phones(db, true) : status;
    status = status == STATUS_OK ? write_phones(db, false) : status;
    db->batch.lease_count = 0;
    db->batch.end_count = 0;
    return status;
}

static enum status set_lease(struct db *db, const struct db_lease_row *lease) {
    struct db_batch *batch = &db->batch;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < batch->lease_count; i++) {
        struct db_lease_row *row = &batch->leases[i];
        if (row->store == lease->store && row->phone == lease->phone) {
            *row = *lease;
            return STATUS_OK;
        }
    }
    if (batch->lease_count == DB_BATCH_LEASES) {
        status = db_batch_write_leases(db);
    }
    batch->leases[batch->lease_count] = *lease;
    batch->lease_count += 1;
    return status;
}

enum status db_lease_put(struct db *db, const struct db_lease *lease) {
    return set_lease(
        db, &(struct db_lease_row){lease->store, lease->phone, lease->process, lease->item});
}

static bool is_same_item(const struct db_lease_row *row, const struct db_lease *lease) {
    return row->store == lease->store && row->process == lease->process && row->item == lease->item;
}

enum status db_lease_end(struct db *db, const struct db_lease *lease) {
    struct db_batch *batch = &db->batch;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < batch->lease_count; i++) {
        struct db_lease_row *row = &batch->leases[i];
        if (is_same_item(row, lease)) {
            row->process = 0;
            row->item = 0;
        }
    }
    for (uint32_t i = batch->end_count; i > 0; i--) {
        if (is_same_item(&batch->ends[i - 1], lease)) {
            return STATUS_OK;
        }
    }
    if (batch->end_count == DB_BATCH_LEASES) {
        status = db_batch_write_leases(db);
    }
    batch->ends[batch->end_count] =
        (struct db_lease_row){lease->store, 0, lease->process, lease->item};
    batch->end_count += 1;
    return status;
}
