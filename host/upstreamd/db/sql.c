#include "host/upstreamd/db/sql.h"

#include <stdio.h>
#include <string.h>

/* ---- translation ---- */

struct output {
    char text[SQL_TEXT_MAX];
    size_t size;
    bool is_full;
};

static void put(struct output *output, const char *text, size_t size) {
    if (size >= sizeof output->text - output->size) {
        output->is_full = true;
        return;
    }
    memcpy(output->text + output->size, text, size);
    output->size += size;
}

static void put_text(struct output *output, const char *text) {
    put(output, text, strlen(text));
}

const char *sql_row_kinds(const char *text) {
    static const char *const words[] = {"@ROWS(", "@AMONG("};
    for (size_t i = 0; i < array_count(words); i++) {
        const char *found = strstr(text, words[i]);
        if (found != NULL) {
            return found + strlen(words[i]);
        }
    }
    return NULL;
}

/* `@ROWS(kinds)`: one row of parameters, or a row of each element of arrays; `@AMONG(kinds)`: the
 * columns before it are one of these rows. Gives what it took. */
static size_t put_rows(struct output *output, const struct sql_driver *driver, const char *text) {
    const char *kinds = sql_row_kinds(text);
    bool is_among = text[1] == 'A';
    uint32_t count = 0;
    check(kinds != NULL);
    /* SQLite would make a table of a single row behind IN. */
    put_text(output, driver->is_server
                         ? is_among ? "IN (SELECT * FROM unnest(" : "SELECT * FROM unnest("
                     : is_among ? "= ("
                                : "VALUES(");
    for (; count < SQL_PARAMETERS_MAX && kinds[count] != ')'; count++) {
        char one[32];
        const char *type = kinds[count] == 'n'   ? "::int8[]"
                           : kinds[count] == 't' ? "::text[]"
                                                 : "::bytea[]";
        check(kinds[count] != '\0');
        snprintf(one, sizeof one, "%s%c%u%s", count == 0 ? "" : ", ", driver->parameter, count + 1,
                 driver->is_server ? type : "");
        put_text(output, one);
    }
    put_text(output, driver->is_server && is_among ? "))" : ")");
    return (size_t)(kinds - text) + count + 1;
}

static size_t put_word(struct output *output, const struct sql_driver *driver, const char *text) {
    if (strncmp(text, "@ROWS(", 6) == 0 || strncmp(text, "@AMONG(", 7) == 0) {
        return put_rows(output, driver, text);
    }
    const struct sql_word *word = driver->words;
    while (word->name != NULL && strncmp(text, word->name, strlen(word->name)) != 0) {
        word += 1;
    }
    check(word->name != NULL);
    put_text(output, word->text);
    return strlen(word->name);
}

const char *sql_translate(const struct sql_driver *driver, const char *text) {
    static struct output output;
    output.size = 0;
    output.is_full = false;
    while (*text != '\0') {
        if (*text == '@') {
            text += put_word(&output, driver, text);
            continue;
        }
        put(&output, *text == '?' ? &driver->parameter : text, 1);
        text += 1;
    }
    output.text[output.size] = '\0';
    return output.is_full ? NULL : output.text;
}

/* ---- opening ---- */

enum status sql_fail(struct sql *sql, const char *reason) {
    snprintf(sql->reason, sizeof sql->reason, "%s", reason == NULL ? "no reason given" : reason);
    size_t size = strlen(sql->reason);
    while (size > 0 && (sql->reason[size - 1] == '\n' || sql->reason[size - 1] == ' ')) {
        size -= 1;
        sql->reason[size] = '\0';
    }
    for (char *c = sql->reason; *c != '\0'; c++) {
        *c = *c == '\n' ? ' ' : *c;
    }
    sql->has_failed = sql->has_failed || sql->is_in_transaction;
    return STATUS_IO;
}

enum status sql_open(struct sql *sql, const struct sql_driver *driver, const char *place,
                     const char *const *texts, uint32_t count) {
    check(count <= SQL_STATEMENTS_MAX && strlen(place) < sizeof sql->place);
    memset(sql, 0, sizeof *sql);
    sql->driver = driver;
    sql->fd = -1;
    memcpy(sql->place, place, strlen(place) + 1);
    for (uint32_t i = 0; i < count; i++) {
        sql->statements[i] = (struct sql_statement){.sql = sql, .text = texts[i], .index = i};
    }
    return driver->open(sql, sql->place);
}

void sql_close(struct sql *sql) {
    if (sql->driver != NULL) {
        sql->driver->close(sql);
    }
    sql->handle = NULL;
}

const char *sql_reason(const struct sql *sql) {
    return sql->reason[0] == '\0' ? "not open" : sql->reason;
}

void sql_step(struct sql *sql, uint64_t now_ms) {
    check(!sql->is_in_transaction);
    sql->driver->step(sql, now_ms);
}

void sql_show_place(const struct sql *sql, char *text, size_t capacity) {
    sql->driver->show_place(sql->place, text, capacity);
}

bool sql_take_notice(struct sql *sql, char *text, size_t capacity) {
    return sql->handle != NULL && sql->driver->take_notice(sql, text, capacity);
}

bool sql_is_ready(const struct sql *sql) {
    return sql->handle != NULL;
}

/* ---- transactions ---- */

/* False: nothing can be run now. */
static bool is_usable(const struct sql *sql) {
    return sql->handle != NULL && !sql->has_failed;
}

enum status sql_begin(struct sql *sql, bool is_exclusive) {
    check(!sql->is_in_transaction);
    if (!is_usable(sql)) {
        return STATUS_IO;
    }
    sql->has_lost = false;
    enum status status = sql->driver->begin(sql, is_exclusive);
    sql->is_in_transaction = status == STATUS_OK;
    return status;
}

enum status sql_commit(struct sql *sql, const char *notice) {
    check(sql->is_in_transaction);
    enum status status = is_usable(sql) ? sql->driver->commit(sql, notice) : STATUS_IO;
    sql->has_failed = status != STATUS_OK;
    sql->is_in_transaction = status != STATUS_OK;
    return status;
}

void sql_rollback(struct sql *sql) {
    if (sql->is_in_transaction && sql->handle != NULL) {
        sql->driver->rollback(sql);
    }
    sql->is_in_transaction = false;
    sql->has_failed = false;
}

bool sql_has_lost(const struct sql *sql) {
    return sql->has_lost;
}

enum status sql_run(struct sql *sql, const char *text) {
    const char *translated = sql_translate(sql->driver, text);
    check(translated != NULL);
    return is_usable(sql) ? sql->driver->run(sql, translated) : STATUS_IO;
}

enum status sql_read(struct sql *sql, const char *text, int64_t *number) {
    return is_usable(sql) ? sql->driver->read(sql, text, number) : STATUS_IO;
}

/* ---- statements ---- */

struct sql_statement *sql_begin_statement(struct sql *sql, uint32_t index) {
    struct sql_statement *statement = &sql->statements[index];
    check(index < SQL_STATEMENTS_MAX && statement->text != NULL);
    for (uint32_t i = 0; i < statement->value_count; i++) {
        statement->values[i].kind = SQL_NULL;
    }
    statement->value_count = 0;
    return statement;
}

static struct sql_value *value_at(struct sql_statement *statement, uint32_t at) {
    check(at > 0 && at <= SQL_PARAMETERS_MAX);
    for (uint32_t i = statement->value_count; i < at; i++) {
        statement->values[i].kind = SQL_NULL;
    }
    statement->value_count = at > statement->value_count ? at : statement->value_count;
    return &statement->values[at - 1];
}

void sql_bind_number(struct sql_statement *statement, uint32_t at, uint64_t value) {
    *value_at(statement, at) = (struct sql_value){.kind = SQL_NUMBER, .number = value};
}

void sql_bind_text(struct sql_statement *statement, uint32_t at, const char *text) {
    sql_bind_text_bytes(statement, at, (struct bytes){(const uint8_t *)text, strlen(text)});
}

void sql_bind_text_bytes(struct sql_statement *statement, uint32_t at, struct bytes text) {
    *value_at(statement, at) = (struct sql_value){.kind = SQL_TEXT, .bytes = text};
}

void sql_bind_bytes(struct sql_statement *statement, uint32_t at, const void *data, size_t size) {
    *value_at(statement, at) = (struct sql_value){.kind = SQL_BYTES, .bytes = {data, size}};
}

void sql_bind_null(struct sql_statement *statement, uint32_t at) {
    *value_at(statement, at) = (struct sql_value){.kind = SQL_NULL};
}

enum status sql_post(struct sql_statement *statement) {
    check(statement->sql->is_in_transaction);
    return is_usable(statement->sql) ? statement->sql->driver->post(statement) : STATUS_IO;
}

enum status sql_execute(struct sql_statement *statement) {
    return is_usable(statement->sql) ? statement->sql->driver->execute(statement) : STATUS_IO;
}

enum status sql_query(struct sql_statement *statement) {
    return is_usable(statement->sql) ? statement->sql->driver->query(statement) : STATUS_IO;
}

enum status sql_next(struct sql_statement *statement) {
    return is_usable(statement->sql) ? statement->sql->driver->next(statement) : STATUS_IO;
}

void sql_finish(struct sql_statement *statement) {
    statement->sql->driver->finish(statement);
}

enum status sql_row(struct sql_statement *statement) {
    check(statement->sql->is_in_transaction);
    return is_usable(statement->sql) ? statement->sql->driver->row(statement) : STATUS_IO;
}

enum status sql_rows_end(struct sql_statement *statement) {
    return is_usable(statement->sql) ? statement->sql->driver->rows_end(statement) : STATUS_IO;
}

enum status sql_rows_query(struct sql_statement *statement) {
    return is_usable(statement->sql) ? statement->sql->driver->rows_query(statement) : STATUS_IO;
}

/* ---- columns ---- */

uint64_t sql_number(const struct sql_statement *statement, uint32_t column) {
    return statement->sql->driver->number(statement, column);
}

bool sql_bytes(const struct sql_statement *statement, uint32_t column, struct bytes *bytes) {
    return statement->sql->driver->bytes(statement, column, bytes);
}

void sql_text(const struct sql_statement *statement, uint32_t column, char *target,
              size_t capacity) {
    struct bytes text = {0};
    (void)sql_bytes(statement, column, &text);
    size_t size = text.size < capacity ? text.size : capacity - 1;
    if (size > 0) {
        memcpy(target, text.data, size);
    }
    target[size] = '\0';
}

void sql_fixed(const struct sql_statement *statement, uint32_t column, uint8_t *target,
               size_t size) {
    struct bytes bytes = {0};
    memset(target, 0, size);
    if (sql_bytes(statement, column, &bytes) && bytes.size == size) {
        memcpy(target, bytes.data, size);
    }
}
