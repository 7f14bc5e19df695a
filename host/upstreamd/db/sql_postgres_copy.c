/* Many new rows by COPY, which adds them several times as fast as INSERT. A connection in pipeline
 * mode cannot do it: what was sent is waited for, and the mode is left for as long as it takes. */
#include "host/upstreamd/db/sql_postgres.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK_BYTES = 65536 };

static const char insert[] = "INSERT INTO ";
static const char rows[] = " @ROWS(";

/* `INSERT INTO t(columns) @ROWS(kinds)` and nothing behind it. */
bool postgres_is_copy(const char *text) {
    const char *found = strstr(text, rows);
    const char *end = found == NULL ? NULL : strchr(found, ')');
    return strncmp(text, insert, sizeof insert - 1) == 0 && end != NULL && end[1] == '\0';
}

static void write_copy(const char *text, char *copy, size_t capacity) {
    const char *target = text + sizeof insert - 1;
    int size = (int)(strstr(target, rows) - target);
    int written = snprintf(copy, capacity, "COPY %.*s FROM STDIN (FORMAT binary)", size, target);
    check(written > 0 && (size_t)written < capacity);
}

/* The next result, which must be of that kind. */
static enum status take(struct sql *sql, ExecStatusType wanted) {
    enum status status = postgres_await(sql);
    if (status != STATUS_OK) {
        return status;
    }
    PGresult *result = PQgetResult(postgres_of(sql)->connection);
    if (PQresultStatus(result) != wanted) {
        status = postgres_judge(sql, result);
    }
    PQclear(result);
    return status;
}

static enum status put(struct sql *sql, struct bytes data) {
    PGconn *connection = postgres_of(sql)->connection;
    enum status status = STATUS_OK;
    while (data.size > 0 && status == STATUS_OK) {
        size_t size = data.size < CHUNK_BYTES ? data.size : CHUNK_BYTES;
        if (PQputCopyData(connection, (const char *)data.data, (int)size) != 1) {
            return postgres_lose(sql, PQerrorMessage(connection));
        }
        data = (struct bytes){data.data + size, data.size - size};
        status = postgres_flush(sql);
    }
    if (status == STATUS_OK && PQputCopyEnd(connection, NULL) != 1) {
        return postgres_lose(sql, PQerrorMessage(connection));
    }
    return status == STATUS_OK ? postgres_flush(sql) : status;
}

static enum status copy(struct sql *sql, const char *text, struct bytes data) {
    PGconn *connection = postgres_of(sql)->connection;
    char one[SQL_TEXT_MAX];
    write_copy(text, one, sizeof one);
    if (PQsendQuery(connection, one) != 1) {
        return postgres_fail(sql, PQerrorMessage(connection));
    }
    enum status status = postgres_flush(sql);
    status = status == STATUS_OK ? take(sql, PGRES_COPY_IN) : status;
    status = status == STATUS_OK ? put(sql, data) : status;
    return status == STATUS_OK ? take(sql, PGRES_COMMAND_OK) : status;
}

/* Whatever is left of an answer is dropped. */
static enum status drain(struct sql *sql) {
    enum status status = STATUS_OK;
    bool is_over = false;
    while (status == STATUS_OK && !is_over) {
        status = postgres_await(sql);
        PGresult *result = status == STATUS_OK ? PQgetResult(postgres_of(sql)->connection) : NULL;
        is_over = result == NULL;
        PQclear(result);
    }
    return status;
}

enum status postgres_copy(struct sql *sql, const char *text, struct bytes data) {
    enum status status = postgres_sync(sql, NULL);
    if (status != STATUS_OK) {
        return status;
    }
    if (PQexitPipelineMode(postgres_of(sql)->connection) != 1) {
        return postgres_fail(sql, PQerrorMessage(postgres_of(sql)->connection));
    }
    status = copy(sql, text, data);
    if (sql->handle == NULL) {
        return STATUS_IO;
    }
    enum status ended = drain(sql);
    if (ended == STATUS_OK && PQenterPipelineMode(postgres_of(sql)->connection) != 1) {
        ended = postgres_fail(sql, PQerrorMessage(postgres_of(sql)->connection));
    }
    return status == STATUS_OK ? ended : status;
}
