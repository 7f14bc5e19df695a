#include "host/upstreamd/db_sqlite.h"

#include <string.h>

enum { DB_FORMAT = 1, BUSY_MS = 5000 };

static const char *const statements[] = {
#define STATEMENT(name, sql) sql,
    DB_SQLITE_ALL(STATEMENT)
#undef STATEMENT
};
_Static_assert((int)DB_SQLITE_STATEMENTS <= (int)DB_STATEMENTS, "room for every statement");

static const char schema[] =
    "CREATE TABLE stores(id INTEGER PRIMARY KEY, hub_id TEXT NOT NULL, store_id BLOB NOT NULL, "
    "  epoch INTEGER NOT NULL, cursor INTEGER NOT NULL, chain BLOB NOT NULL, "
    "  UNIQUE(hub_id, store_id, epoch));"
    "CREATE TABLE hubs(hub_id TEXT PRIMARY KEY, store INTEGER NOT NULL REFERENCES stores, "
    "  boot INTEGER NOT NULL, capacity INTEGER NOT NULL, phones INTEGER NOT NULL, "
    "  command INTEGER NOT NULL, first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, "
    "  record_ms INTEGER NOT NULL, forks INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE boots(store INTEGER NOT NULL, boot INTEGER NOT NULL, offset_ms INTEGER NOT NULL, "
    "  PRIMARY KEY(store, boot)) WITHOUT ROWID;"
    "CREATE TABLE records(store INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER, "
    "  process INTEGER, revision INTEGER, chain BLOB, bytes BLOB NOT NULL, UNIQUE(store, seq));"
    "CREATE INDEX records_of_process ON records(store, process, revision) "
    "  WHERE process IS NOT NULL;"
    "CREATE TABLE objects(store INTEGER NOT NULL, kind INTEGER NOT NULL, a INTEGER NOT NULL, "
    "  b INTEGER NOT NULL, c INTEGER NOT NULL, seq INTEGER NOT NULL, revision INTEGER NOT NULL, "
    "  PRIMARY KEY(store, kind, a, b, c)) WITHOUT ROWID;"
    "CREATE TABLE leases(store INTEGER NOT NULL, phone INTEGER NOT NULL, process INTEGER NOT NULL, "
    "  item INTEGER NOT NULL, PRIMARY KEY(store, phone)) WITHOUT ROWID;"
    "CREATE INDEX leases_of_item ON leases(store, process, item);"
    "CREATE TABLE processes(id INTEGER PRIMARY KEY AUTOINCREMENT, store INTEGER NOT NULL, "
    "  number INTEGER NOT NULL, revision INTEGER NOT NULL, status INTEGER NOT NULL, "
    "  review INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, "
    "  created_ms INTEGER NOT NULL DEFAULT 0, updated_ms INTEGER NOT NULL, "
    "  finished_ms INTEGER NOT NULL DEFAULT 0, type TEXT NOT NULL DEFAULT '', "
    "  request_id TEXT NOT NULL DEFAULT '', phone TEXT NOT NULL DEFAULT '', "
    "  UNIQUE(store, number));"
    "PRAGMA user_version = 1;";

/* ---- opening ---- */

static enum status run(struct db *db, const char *sql) {
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK : STATUS_IO;
}

static enum status read_number(struct db *db, const char *sql, int64_t *number) {
    sqlite3_stmt *statement = NULL;
    enum status status = STATUS_IO;
    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW) {
        *number = sqlite3_column_int64(statement, 0);
        status = STATUS_OK;
    }
    (void)sqlite3_finalize(statement);
    return status;
}

static enum status set_up(struct db *db) {
    int64_t format = 0;
    int64_t tables = 0;
    enum status status = run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
    if (status == STATUS_OK) {
        status = read_number(db, "PRAGMA user_version", &format);
    }
    if (status == STATUS_OK) {
        status = read_number(db, "SELECT count(*) FROM sqlite_master", &tables);
    }
    if (status != STATUS_OK || format == DB_FORMAT) {
        return status;
    }
    if (format != 0 || tables != 0) {
        return STATUS_FOREIGN;
    }
    status = run(db, "BEGIN IMMEDIATE");
    status = status == STATUS_OK ? run(db, schema) : status;
    return status == STATUS_OK ? run(db, "COMMIT") : status;
}

enum status db_open(struct db *db, const char *path) {
    sqlite3 *handle = NULL;
    *db = (struct db){0};
    int code = sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    db->handle = handle;
    if (code != SQLITE_OK) {
        return STATUS_IO;
    }
    (void)sqlite3_busy_timeout(handle, BUSY_MS);
    return set_up(db);
}

void db_close(struct db *db) {
    for (size_t i = 0; i < DB_SQLITE_STATEMENTS; i++) {
        (void)sqlite3_finalize(db->statements[i]);
    }
    (void)sqlite3_close(db->handle);
    *db = (struct db){0};
}

const char *db_reason(const struct db *db) {
    return db->handle == NULL ? "not open" : sqlite3_errmsg(db->handle);
}

/* ---- statements ---- */

sqlite3_stmt *db_sqlite_prepare(struct db *db, enum db_sqlite_statement which) {
    sqlite3_stmt *statement = db->statements[which];
    if (statement == NULL) {
        if (sqlite3_prepare_v3(db->handle, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                               &statement, NULL) != SQLITE_OK) {
            return NULL;
        }
        db->statements[which] = statement;
    }
    return statement;
}

void db_sqlite_bind_u64(sqlite3_stmt *statement, int at, uint64_t value) {
    (void)sqlite3_bind_int64(statement, at, (int64_t)value);
}

void db_sqlite_bind_text(sqlite3_stmt *statement, int at, const char *text) {
    (void)sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

void db_sqlite_bind_blob(sqlite3_stmt *statement, int at, const void *data, size_t size) {
    (void)sqlite3_bind_blob64(statement, at, data, size, SQLITE_STATIC);
}

void db_sqlite_finish(sqlite3_stmt *statement) {
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

enum status db_sqlite_execute(sqlite3_stmt *statement) {
    if (statement == NULL) {
        return STATUS_IO;
    }
    int code = sqlite3_step(statement);
    db_sqlite_finish(statement);
    return code == SQLITE_DONE ? STATUS_OK : STATUS_IO;
}

enum status db_sqlite_query(sqlite3_stmt *statement) {
    if (statement == NULL) {
        return STATUS_IO;
    }
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        return STATUS_OK;
    }
    db_sqlite_finish(statement);
    return code == SQLITE_DONE ? STATUS_NOT_FOUND : STATUS_IO;
}

uint64_t db_sqlite_column_u64(sqlite3_stmt *statement, int at) {
    return (uint64_t)sqlite3_column_int64(statement, at);
}

uint32_t db_sqlite_column_u32(sqlite3_stmt *statement, int at) {
    return (uint32_t)sqlite3_column_int64(statement, at);
}

void db_sqlite_column_text(sqlite3_stmt *statement, int at, char *target, size_t capacity) {
    const unsigned char *text = sqlite3_column_text(statement, at);
    size_t size = (size_t)sqlite3_column_bytes(statement, at);
    size = size < capacity ? size : capacity - 1;
    if (size > 0) {
        memcpy(target, text, size);
    }
    target[size] = '\0';
}

void db_sqlite_column_fixed(sqlite3_stmt *statement, int at, uint8_t *target, size_t size) {
    const void *data = sqlite3_column_blob(statement, at);
    memset(target, 0, size);
    if (data != NULL && (size_t)sqlite3_column_bytes(statement, at) == size) {
        memcpy(target, data, size);
    }
}

/* ---- transactions ---- */

enum status db_begin(struct db *db) {
    return db_sqlite_execute(db_sqlite_prepare(db, DB_SQLITE_BEGIN));
}

enum status db_commit(struct db *db) {
    return db_sqlite_execute(db_sqlite_prepare(db, DB_SQLITE_COMMIT));
}

void db_rollback(struct db *db) {
    if (sqlite3_get_autocommit(db->handle) == 0) {
        (void)run(db, "ROLLBACK"); /* what could not be rolled back is never committed */
    }
}
