#include "host/upstreamd/db_sqlite.h"

#include <string.h>

/* Binding to NULL, when a statement could not be prepared, is refused by the library; execute and
 * query then say IO. */

/* ---- stores ---- */

static enum status read_store(sqlite3_stmt *statement, struct db_store *store) {
    enum status status = db_sqlite_query(statement);
    if (status == STATUS_OK) {
        store->id = sqlite3_column_int64(statement, 0);
        db_sqlite_column_text(statement, 1, store->hub_id, sizeof store->hub_id);
        db_sqlite_column_fixed(statement, 2, store->store_id, sizeof store->store_id);
        store->epoch = db_sqlite_column_u32(statement, 3);
        store->cursor = db_sqlite_column_u64(statement, 4);
        db_sqlite_column_fixed(statement, 5, store->chain, sizeof store->chain);
        db_sqlite_finish(statement);
    }
    return status;
}

enum status db_store_find(struct db *db, struct db_store *store) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_STORE_FIND);
    db_sqlite_bind_text(statement, 1, store->hub_id);
    db_sqlite_bind_blob(statement, 2, store->store_id, sizeof store->store_id);
    db_sqlite_bind_u64(statement, 3, store->epoch);
    return read_store(statement, store);
}

enum status db_store_get(struct db *db, int64_t id, struct db_store *store) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_STORE_GET);
    db_sqlite_bind_u64(statement, 1, (uint64_t)id);
    return read_store(statement, store);
}

enum status db_store_add(struct db *db, struct db_store *store) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_STORE_ADD);
    db_sqlite_bind_text(statement, 1, store->hub_id);
    db_sqlite_bind_blob(statement, 2, store->store_id, sizeof store->store_id);
    db_sqlite_bind_u64(statement, 3, store->epoch);
    db_sqlite_bind_u64(statement, 4, store->cursor);
    db_sqlite_bind_blob(statement, 5, store->chain, sizeof store->chain);
    enum status status = db_sqlite_execute(statement);
    if (status == STATUS_OK) {
        store->id = sqlite3_last_insert_rowid(db->handle);
    }
    return status;
}

enum status db_store_move(struct db *db, const struct db_store *store) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_STORE_MOVE);
    db_sqlite_bind_u64(statement, 1, (uint64_t)store->id);
    db_sqlite_bind_u64(statement, 2, store->cursor);
    db_sqlite_bind_blob(statement, 3, store->chain, sizeof store->chain);
    return db_sqlite_execute(statement);
}

enum status db_store_epoch(struct db *db, const struct db_store *store, uint32_t *epoch) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_STORE_EPOCH);
    db_sqlite_bind_text(statement, 1, store->hub_id);
    db_sqlite_bind_blob(statement, 2, store->store_id, sizeof store->store_id);
    enum status status = db_sqlite_query(statement);
    if (status == STATUS_OK) {
        *epoch = db_sqlite_column_u32(statement, 0); /* of no rows: NULL, read as 0 */
        db_sqlite_finish(statement);
    }
    return status;
}

enum status db_chain_at(struct db *db, int64_t store, uint64_t seq,
                        uint8_t chain[RECORD_CHAIN_BYTES]) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_CHAIN_AT);
    db_sqlite_bind_u64(statement, 1, (uint64_t)store);
    db_sqlite_bind_u64(statement, 2, seq);
    enum status status = db_sqlite_query(statement);
    if (status == STATUS_OK) {
        db_sqlite_column_fixed(statement, 0, chain, RECORD_CHAIN_BYTES);
        db_sqlite_finish(statement);
    }
    return status;
}

/* ---- hubs and boots ---- */

enum status db_hub_put(struct db *db, const struct db_hub *hub) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_HUB_PUT);
    db_sqlite_bind_text(statement, 1, hub->id);
    db_sqlite_bind_u64(statement, 2, (uint64_t)hub->store);
    db_sqlite_bind_u64(statement, 3, hub->boot);
    db_sqlite_bind_u64(statement, 4, hub->capacity);
    db_sqlite_bind_u64(statement, 5, hub->phones);
    db_sqlite_bind_u64(statement, 6, hub->command);
    db_sqlite_bind_u64(statement, 7, hub->first_seen_ms);
    db_sqlite_bind_u64(statement, 8, hub->last_seen_ms);
    db_sqlite_bind_u64(statement, 9, hub->record_ms);
    db_sqlite_bind_u64(statement, 10, hub->forks);
    return db_sqlite_execute(statement);
}

enum status db_hub_next(struct db *db, const char *behind, struct db_hub *hub) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_HUB_NEXT);
    db_sqlite_bind_text(statement, 1, behind);
    enum status status = db_sqlite_query(statement);
    if (status == STATUS_OK) {
        struct db_hub read = {
            .store = sqlite3_column_int64(statement, 1),
            .boot = db_sqlite_column_u32(statement, 2),
            .capacity = db_sqlite_column_u32(statement, 3),
            .phones = db_sqlite_column_u32(statement, 4),
            .command = db_sqlite_column_u64(statement, 5),
            .first_seen_ms = db_sqlite_column_u64(statement, 6),
            .last_seen_ms = db_sqlite_column_u64(statement, 7),
            .record_ms = db_sqlite_column_u64(statement, 8),
            .forks = db_sqlite_column_u64(statement, 9),
        };
        db_sqlite_column_text(statement, 0, read.id, sizeof read.id);
        db_sqlite_finish(statement); /* `behind` may be in *hub */
        *hub = read;
    }
    return status;
}

enum status db_boot_put(struct db *db, int64_t store, const struct record_boot *boot,
                        bool is_estimate) {
    sqlite3_stmt *statement =
        db_sqlite_prepare(db, is_estimate ? DB_SQLITE_BOOT_GUESS : DB_SQLITE_BOOT_TELL);
    db_sqlite_bind_u64(statement, 1, (uint64_t)store);
    db_sqlite_bind_u64(statement, 2, boot->boot);
    db_sqlite_bind_u64(statement, 3, boot->offset_ms);
    return db_sqlite_execute(statement);
}

enum status db_boots_get(struct db *db, int64_t store, struct record_boot boots[DB_BOOTS_MAX],
                         uint32_t *count) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_BOOTS_GET);
    db_sqlite_bind_u64(statement, 1, (uint64_t)store);
    db_sqlite_bind_u64(statement, 2, DB_BOOTS_MAX);
    *count = 0;
    enum status status = db_sqlite_query(statement);
    while (status == STATUS_OK && *count < DB_BOOTS_MAX) {
        boots[*count] = (struct record_boot){db_sqlite_column_u32(statement, 0),
                                             db_sqlite_column_u64(statement, 1)};
        *count += 1;
        status = db_sqlite_query(statement);
    }
    if (status == STATUS_OK) {
        db_sqlite_finish(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- records and objects ---- */

/* The process that a record belongs to; 0: none. */
static uint64_t process_of(const struct record_header *header) {
    bool is_of_process = header->kind >= RECORD_REQUEST && header->kind <= RECORD_ATTEMPT;
    return is_of_process ? header->path[0] : 0;
}

enum status db_record_add(struct db *db, const struct db_record *record) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_RECORD_ADD);
    db_sqlite_bind_u64(statement, 1, (uint64_t)record->store);
    db_sqlite_bind_u64(statement, 2, record->seq);
    if (record->is_known) {
        db_sqlite_bind_u64(statement, 3, record->header.kind);
        db_sqlite_bind_u64(statement, 5, record->header.revision);
        if (process_of(&record->header) != 0) {
            db_sqlite_bind_u64(statement, 4, process_of(&record->header));
        }
    }
    if (record->chain != NULL) {
        db_sqlite_bind_blob(statement, 6, record->chain, RECORD_CHAIN_BYTES);
    }
    db_sqlite_bind_blob(statement, 7, record->bytes.data, record->bytes.size);
    return db_sqlite_execute(statement);
}

enum status db_object_put(struct db *db, const struct db_record *record) {
    const struct record_header *header = &record->header;
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_OBJECT_PUT);
    db_sqlite_bind_u64(statement, 1, (uint64_t)record->store);
    db_sqlite_bind_u64(statement, 2, header->kind);
    for (int i = 0; i < 3; i++) {
        db_sqlite_bind_u64(statement, 3 + i, header->path[i]);
    }
    db_sqlite_bind_u64(statement, 6, record->seq);
    db_sqlite_bind_u64(statement, 7, header->revision);
    enum status status = db_sqlite_execute(statement);
    bool is_changed = sqlite3_changes(db->handle) > 0;
    return status == STATUS_OK && !is_changed ? STATUS_NOT_FOUND : status;
}

static enum status read_image(sqlite3_stmt *statement, struct db_image *image) {
    enum status status = db_sqlite_query(statement);
    if (status != STATUS_OK) {
        return status;
    }
    const void *bytes = sqlite3_column_blob(statement, 0);
    size_t size = (size_t)sqlite3_column_bytes(statement, 0);
    if (bytes == NULL || size > DB_RECORD_MAX) {
        status = STATUS_IO;
    } else {
        memcpy(image->buffer, bytes, size);
        image->bytes = (struct bytes){image->buffer, size};
        for (int i = 0; i < 3; i++) {
            image->path[i] = db_sqlite_column_u64(statement, 1 + i);
        }
    }
    db_sqlite_finish(statement);
    return status;
}

static sqlite3_stmt *prepare_image(struct db *db, enum db_sqlite_statement which, int64_t store,
                                   uint64_t second, uint64_t third) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, which);
    db_sqlite_bind_u64(statement, 1, (uint64_t)store);
    db_sqlite_bind_u64(statement, 2, second);
    db_sqlite_bind_u64(statement, 3, third);
    return statement;
}

enum status db_object_get(struct db *db, int64_t store, enum record_kind kind,
                          const uint64_t path[3], struct db_image *image) {
    sqlite3_stmt *statement = prepare_image(db, DB_SQLITE_OBJECT_GET, store, kind, path[0]);
    db_sqlite_bind_u64(statement, 4, path[1]);
    db_sqlite_bind_u64(statement, 5, path[2]);
    return read_image(statement, image);
}

enum status db_object_next(struct db *db, int64_t store, enum record_kind kind,
                           const uint64_t path[3], struct db_image *image) {
    sqlite3_stmt *statement = prepare_image(db, DB_SQLITE_OBJECT_NEXT, store, kind, path[0]);
    db_sqlite_bind_u64(statement, 4, path[1]);
    db_sqlite_bind_u64(statement, 5, path[2]);
    return read_image(statement, image);
}

enum status db_phone_next(struct db *db, int64_t store, uint64_t behind, struct db_image *image) {
    return read_image(prepare_image(db, DB_SQLITE_PHONE_NEXT, store, RECORD_PHONE, behind), image);
}

enum status db_event_next(struct db *db, int64_t store, uint64_t process, uint64_t revision,
                          struct db_image *image) {
    return read_image(prepare_image(db, DB_SQLITE_EVENT_NEXT, store, process, revision), image);
}

/* ---- leases ---- */

static sqlite3_stmt *prepare_lease(struct db *db, enum db_sqlite_statement which,
                                   const struct db_lease *lease) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, which);
    db_sqlite_bind_u64(statement, 1, (uint64_t)lease->store);
    db_sqlite_bind_u64(statement, 2, lease->phone);
    return statement;
}

enum status db_lease_put(struct db *db, const struct db_lease *lease) {
    sqlite3_stmt *statement = prepare_lease(db, DB_SQLITE_LEASE_PUT, lease);
    db_sqlite_bind_u64(statement, 3, lease->process);
    db_sqlite_bind_u64(statement, 4, lease->item);
    return db_sqlite_execute(statement);
}

enum status db_lease_end(struct db *db, const struct db_lease *lease) {
    sqlite3_stmt *statement = db_sqlite_prepare(db, DB_SQLITE_LEASE_END);
    db_sqlite_bind_u64(statement, 1, (uint64_t)lease->store);
    db_sqlite_bind_u64(statement, 3, lease->process);
    db_sqlite_bind_u64(statement, 4, lease->item);
    return db_sqlite_execute(statement);
}

enum status db_lease_get(struct db *db, struct db_lease *lease) {
    sqlite3_stmt *statement = prepare_lease(db, DB_SQLITE_LEASE_GET, lease);
    enum status status = db_sqlite_query(statement);
    if (status == STATUS_OK) {
        lease->process = db_sqlite_column_u64(statement, 0);
        lease->item = db_sqlite_column_u64(statement, 1);
        db_sqlite_finish(statement);
    }
    return status;
}
