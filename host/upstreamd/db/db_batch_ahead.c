/* Reading ahead: what applying the records of a push will look at, in three statements. */
#include "host/upstreamd/db/db_statements.h"

/* Where reading stands in a push. */
struct ahead {
    struct sync_push push;
    struct sync_group group; /* what is left of it */
};

static bool next_header(struct ahead *ahead, struct record_header *header) {
    struct bytes body;
    struct cbor_reader reader;
    while (!sync_record_next(&ahead->group.records, &body)) {
        if (!sync_group_next(&ahead->push, &ahead->group)) {
            return false;
        }
    }
    cbor_reader_init(&reader, body);
    *header = (struct record_header){0};
    record_get_header(&reader, header);
    return true;
}

/* A row for each object and process of the push, while there is room: those that are new in the
 * batch from `first_object` and `first_process` on are to be read. */
static void place_all(struct db_batch *batch, int64_t store, const struct sync_push *push) {
    struct ahead ahead = {.push = *push};
    struct record_header header;
    bool is_new;
    while (batch->object_count < DB_BATCH_OBJECTS && batch->process_count < DB_BATCH_PROCESSES &&
           next_header(&ahead, &header)) {
        if (header.revision > 0) {
            (void)db_batch_place_object(batch, store, (uint8_t)header.kind, header.path, &is_new);
        }
        if (header.revision > 0 && db_batch_process_of(&header) != 0) {
            (void)db_batch_place_process(batch, store, db_batch_process_of(&header), &is_new);
        }
    }
}

/* Whether the tables may hold it: `newest` is the store's newest process there. */
static bool may_be_there(const struct db_object_row *row, uint64_t newest) {
    bool is_of_process = row->kind >= RECORD_REQUEST && row->kind <= RECORD_ATTEMPT;
    return !is_of_process || row->path[0] <= newest;
}

static enum status read_objects(struct db *db, uint32_t first, uint64_t newest) {
    struct db_batch *batch = &db->batch;
    struct sql_statement *statement = NULL;
    enum status status = STATUS_OK;
    bool is_new;
    for (uint32_t i = first; i < batch->object_count && status == STATUS_OK; i++) {
        const struct db_object_row *row = &batch->objects[i];
        if (!may_be_there(row, newest)) {
            continue;
        }
        statement = db_statement(db, DB_OBJECTS_LOAD);
        sql_bind_number(statement, 1, (uint64_t)row->store);
        sql_bind_number(statement, 2, row->kind);
        for (uint32_t part = 0; part < 3; part++) {
            sql_bind_number(statement, 3 + part, row->path[part]);
        }
        status = sql_row(statement);
    }
    if (statement == NULL) {
        return status;
    }
    status = status == STATUS_OK ? sql_rows_query(statement) : status;
    while (status == STATUS_OK) {
        const uint64_t path[3] = {sql_number(statement, 2), sql_number(statement, 3),
                                  sql_number(statement, 4)};
        struct db_object_row *row =
            db_batch_place_object(batch, (int64_t)sql_number(statement, 0),
                                  (uint8_t)sql_number(statement, 1), path, &is_new);
        check(row != NULL && !is_new);
        row->seq = sql_number(statement, 5);
        row->revision = sql_number(statement, 6);
        row->is_stored = true;
        status = sql_next(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status read_processes(struct db *db, uint32_t first, uint64_t newest) {
    struct db_batch *batch = &db->batch;
    struct sql_statement *statement = NULL;
    enum status status = STATUS_OK;
    bool is_new;
    for (uint32_t i = first; i < batch->process_count && status == STATUS_OK; i++) {
        if (batch->processes[i].number <= newest) {
            statement = db_statement(db, DB_PROCESSES_LOAD);
            sql_bind_number(statement, 1, (uint64_t)batch->processes[i].store);
            sql_bind_number(statement, 2, batch->processes[i].number);
            status = sql_row(statement);
        }
    }
    if (statement == NULL) {
        return status;
    }
    status = status == STATUS_OK ? sql_rows_query(statement) : status;
    while (status == STATUS_OK) {
        struct db_process_row *row = db_batch_place_process(
            batch, (int64_t)sql_number(statement, 0), sql_number(statement, 1), &is_new);
        check(row != NULL && !is_new);
        db_batch_take_process(statement, row);
        status = sql_next(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status db_prefetch(struct db *db, int64_t store, const struct sync_push *push) {
    struct db_batch *batch = &db->batch;
    uint32_t first_object = batch->object_count;
    uint32_t first_process = batch->process_count;
    uint64_t newest = 0;
    enum status status = STATUS_OK;
    if (!db->sql.driver->is_server) {
        return STATUS_OK;
    }
    if (first_object > DB_BATCH_OBJECTS / 2 || first_process > DB_BATCH_PROCESSES / 2) {
        status = db_batch_make_room(db);
        first_object = 0;
        first_process = 0;
    }
    place_all(batch, store, push);
    status = status == STATUS_OK ? db_batch_find_newest(db, store, &newest) : status;
    status = status == STATUS_OK ? read_objects(db, first_object, newest) : status;
    return status == STATUS_OK ? read_processes(db, first_process, newest) : status;
}
