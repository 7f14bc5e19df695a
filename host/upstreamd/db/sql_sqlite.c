/* SQLite: one file, one process. WAL with a sync at each commit. */
#include "host/upstreamd/db/sql.h"

#include <sqlite3.h>
#include <stdio.h>

enum { BUSY_MS = 5000 };

static const struct sql_word words[] = {
    {"@NUMBER", "INTEGER"},
    {"@SERIAL", "INTEGER PRIMARY KEY AUTOINCREMENT"},
    {"@TEXT", "TEXT"},
    {"@BYTES", "BLOB"},
    {"@NO_ROWID", "WITHOUT ROWID"},
    {"@LOCK", ""}, /* there is one writer at a time */
    {"@SKIP_LOCKED", ""},
    {NULL, NULL},
};

static enum status fail(struct sql *sql) {
    return sql_fail(sql, sqlite3_errmsg(sql->handle));
}

static enum status run(struct sql *sql, const char *text) {
    return sqlite3_exec(sql->handle, text, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK : fail(sql);
}

/* One thread: no locks, and nothing counted that nobody reads. Too late for a second database of
 * one program, which finds it done. */
static void configure(void) {
    (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static enum status sqlite_open(struct sql *sql, const char *place) {
    sqlite3 *handle = NULL;
    configure();
    int code = sqlite3_open_v2(place, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    sql->handle = handle;
    if (code != SQLITE_OK) {
        return fail(sql);
    }
    (void)sqlite3_busy_timeout(handle, BUSY_MS);
    /* A commit of many hubs touches many pages, most of them again with the next: they stay in the
     * log for a while (32 MiB), and in memory (16 MiB). */
    return run(sql, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                    "PRAGMA wal_autocheckpoint = 8192; PRAGMA cache_size = -16384;");
}

static void sqlite_close(struct sql *sql) {
    for (uint32_t i = 0; i < SQL_STATEMENTS_MAX; i++) {
        (void)sqlite3_finalize(sql->statements[i].handle);
        sql->statements[i].handle = NULL;
    }
    (void)sqlite3_close(sql->handle);
}

static enum status read_number(struct sql *sql, const char *text, int64_t *number) {
    sqlite3_stmt *statement = NULL;
    enum status status = STATUS_IO;
    if (sqlite3_prepare_v2(sql->handle, text, -1, &statement, NULL) == SQLITE_OK) {
        int code = sqlite3_step(statement);
        status = code == SQLITE_ROW    ? STATUS_OK
                 : code == SQLITE_DONE ? STATUS_NOT_FOUND
                                       : STATUS_IO;
    }
    if (status == STATUS_OK) {
        *number = sqlite3_column_int64(statement, 0);
    } else if (status == STATUS_IO) {
        (void)fail(sql);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* ---- transactions ---- */

static enum status begin(struct sql *sql, bool is_exclusive) {
    return run(sql, is_exclusive ? "BEGIN EXCLUSIVE" : "BEGIN IMMEDIATE");
}

static enum status commit(struct sql *sql, const char *notice) {
    (void)notice; /* there is nobody else */
    return run(sql, "COMMIT");
}

static void rollback(struct sql *sql) {
    if (sqlite3_get_autocommit(sql->handle) == 0) {
        (void)run(sql, "ROLLBACK"); /* what could not be rolled back is never committed */
    }
}

/* ---- statements ---- */

static void finish(struct sql_statement *statement) {
    (void)sqlite3_reset(statement->handle);
    (void)sqlite3_clear_bindings(statement->handle);
}

static int bind(sqlite3_stmt *handle, int at, const struct sql_value *value) {
    switch (value->kind) {
    case SQL_NUMBER:
        return sqlite3_bind_int64(handle, at, (int64_t)value->number);
    case SQL_TEXT:
        return sqlite3_bind_text64(handle, at, (const char *)value->bytes.data, value->bytes.size,
                                   SQLITE_STATIC, SQLITE_UTF8);
    case SQL_BYTES:
        return sqlite3_bind_blob64(handle, at,
                                   value->bytes.size > 0 ? (const void *)value->bytes.data : "",
                                   value->bytes.size, SQLITE_STATIC);
    case SQL_NULL:
    default:
        return sqlite3_bind_null(handle, at);
    }
}

/* Prepares at the first use, binds and steps once. */
static int start(struct sql_statement *statement) {
    sqlite3_stmt *handle = statement->handle;
    int code = SQLITE_OK;
    if (handle == NULL) {
        const char *text = sql_translate(&sql_sqlite, statement->text);
        check(text != NULL);
        code = sqlite3_prepare_v3(statement->sql->handle, text, -1, SQLITE_PREPARE_PERSISTENT,
                                  &handle, NULL);
        statement->handle = handle;
    }
    for (uint32_t i = 0; i < statement->value_count && code == SQLITE_OK; i++) {
        code = bind(handle, (int)i + 1, &statement->values[i]);
    }
    return code == SQLITE_OK ? sqlite3_step(handle) : code;
}

static enum status execute(struct sql_statement *statement) {
    struct sql *sql = statement->sql;
    enum status status = start(statement) == SQLITE_DONE ? STATUS_OK : fail(sql);
    sql->changes = status == STATUS_OK ? (uint64_t)sqlite3_changes(sql->handle) : 0;
    finish(statement);
    return status;
}

static enum status judge_step(struct sql_statement *statement, int code) {
    if (code == SQLITE_ROW) {
        return STATUS_OK;
    }
    enum status status = code == SQLITE_DONE ? STATUS_NOT_FOUND : fail(statement->sql);
    finish(statement);
    return status;
}

static enum status query(struct sql_statement *statement) {
    return judge_step(statement, start(statement));
}

static enum status next(struct sql_statement *statement) {
    return judge_step(statement, sqlite3_step(statement->handle));
}

static enum status rows_end(struct sql_statement *statement) {
    (void)statement;
    return STATUS_OK; /* each row was run at once */
}

/* ---- columns ---- */

static uint64_t number(const struct sql_statement *statement, uint32_t column) {
    return (uint64_t)sqlite3_column_int64(statement->handle, (int)column);
}

static bool bytes(const struct sql_statement *statement, uint32_t column, struct bytes *view) {
    if (sqlite3_column_type(statement->handle, (int)column) == SQLITE_NULL) {
        return false;
    }
    view->data = sqlite3_column_blob(statement->handle, (int)column);
    view->size = (size_t)sqlite3_column_bytes(statement->handle, (int)column);
    return true;
}

static void step(struct sql *sql, uint64_t now_ms) {
    (void)sql;
    (void)now_ms; /* a file is not lost */
}

static bool take_notice(struct sql *sql, char *text, size_t capacity) {
    (void)sql;
    (void)text;
    (void)capacity;
    return false;
}

static void show_place(const char *place, char *text, size_t capacity) {
    snprintf(text, capacity, "[store] sqlite: %s", place);
}

const struct sql_driver sql_sqlite = {
    .open = sqlite_open,
    .close = sqlite_close,
    .run = run,
    .read = read_number,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .post = execute,
    .execute = execute,
    .query = query,
    .next = next,
    .finish = finish,
    .number = number,
    .bytes = bytes,
    .row = execute,
    .rows_end = rows_end,
    .step = step,
    .show_place = show_place,
    .take_notice = take_notice,
    .words = words,
    .parameter = '?',
};
