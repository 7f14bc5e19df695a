/* Many rows in one statement: each column goes to PostgreSQL as an array (unnest), or, where there
 * are many and they are new, row by row (COPY). */
#include "host/upstreamd/db/sql_postgres.h"

#include <string.h>

enum {
    ROW_VALUES = 98304,          /* rows by columns */
    ROW_BYTES = 8 * 1024 * 1024, /* of all their arrays */
    ARRAY_HEAD_BYTES = 20,
    COPY_ROWS_MIN = 64, /* for fewer, its round trips are dearer than what it saves */
};

/* Head and tail of COPY's binary format (PostgreSQL's documentation, COPY). */
static const uint8_t copy_head[19] = "PGCOPY\n\377\r\n\0";
static const uint8_t copy_tail[] = {0xff, 0xff};

/* The rows of one statement at a time. */
static struct sql_value values[ROW_VALUES];
static uint8_t arrays[ROW_BYTES];
static const struct sql_statement *owner;
static uint32_t row_count;
static size_t byte_count; /* that the rows need */

void postgres_drop_rows(void) {
    row_count = 0;
    byte_count = 0;
    owner = NULL;
}

static size_t value_bytes(const struct sql_value *value) {
    return 4 + (value->kind == SQL_NULL ? 0 : value->kind == SQL_NUMBER ? 8 : value->bytes.size);
}

static uint8_t *put_value(uint8_t *target, const struct sql_value *value) {
    if (value->kind == SQL_NULL) {
        postgres_put32(target, UINT32_MAX);
    } else if (value->kind == SQL_NUMBER) {
        postgres_put32(target, 8);
        postgres_put64(target + 4, value->number);
    } else {
        postgres_put32(target, (uint32_t)value->bytes.size);
        if (value->bytes.size > 0) {
            memcpy(target + 4, value->bytes.data, value->bytes.size);
        }
    }
    return target + value_bytes(value);
}

/* One column of all rows: dimensions, flags, type of the elements, count, first index, elements. */
static uint8_t *put_array(uint8_t *target, uint32_t column, uint32_t columns, uint32_t type) {
    const uint32_t head[] = {1, 1, type, row_count, 1};
    for (size_t i = 0; i < array_count(head); i++) {
        postgres_put32(target + 4 * i, head[i]);
    }
    target += ARRAY_HEAD_BYTES;
    for (uint32_t row = 0; row < row_count; row++) {
        target = put_value(target, &values[row * columns + column]);
    }
    return target;
}

/* What @ROWS or @AMONG says of a column. */
static char kind_of(const struct sql_statement *statement, uint32_t column) {
    const char *kinds = sql_row_kinds(statement->text);
    check(kinds != NULL);
    return kinds[column];
}

static enum status send_rows(struct sql_statement *statement, uint32_t columns) {
    struct postgres_call call = {.count = columns};
    uint8_t *at = arrays;
    for (uint32_t column = 0; column < columns; column++) {
        char kind = kind_of(statement, column);
        uint8_t *end = put_array(at, column, columns,
                                 kind == 'n'   ? POSTGRES_INT8
                                 : kind == 't' ? POSTGRES_TEXT
                                               : POSTGRES_BYTEA);
        call.types[column] = kind == 'n'   ? POSTGRES_INT8_ARRAY
                             : kind == 't' ? POSTGRES_TEXT_ARRAY
                                           : POSTGRES_BYTEA_ARRAY;
        call.values[column] = (const char *)at;
        call.lengths[column] = (int)(end - at);
        at = end;
    }
    postgres_drop_rows();
    return postgres_send_call(statement, &call);
}

static enum status copy_rows(const struct sql_statement *statement, uint32_t columns) {
    uint8_t *at = arrays;
    memcpy(at, copy_head, sizeof copy_head);
    at += sizeof copy_head;
    for (uint32_t row = 0; row < row_count; row++) {
        postgres_put16(at, (uint16_t)columns);
        at += 2;
        for (uint32_t column = 0; column < columns; column++) {
            at = put_value(at, &values[row * columns + column]);
        }
    }
    memcpy(at, copy_tail, sizeof copy_tail);
    at += sizeof copy_tail;
    postgres_drop_rows();
    return postgres_copy(statement->sql, statement->text,
                         (struct bytes){arrays, (size_t)(at - arrays)});
}

static enum status give_rows(struct sql_statement *statement, uint32_t columns) {
    bool is_copy = row_count >= COPY_ROWS_MIN && postgres_is_copy(statement->text);
    return is_copy ? copy_rows(statement, columns) : send_rows(statement, columns);
}

static uint32_t columns_of(const struct sql_statement *statement) {
    uint32_t columns = 0;
    while (kind_of(statement, columns) != ')') {
        columns += 1;
    }
    return columns;
}

enum status postgres_row(struct sql_statement *statement) {
    uint32_t columns = columns_of(statement);
    size_t size = columns * (size_t)ARRAY_HEAD_BYTES;
    enum status status = STATUS_OK;
    check(statement->value_count <= columns && (owner == NULL || owner == statement));
    for (uint32_t i = statement->value_count; i < columns; i++) {
        statement->values[i].kind = SQL_NULL;
    }
    for (uint32_t i = 0; i < columns; i++) {
        size += value_bytes(&statement->values[i]);
    }
    check(size <= ROW_BYTES);
    if ((row_count + 1) * columns > ROW_VALUES || byte_count + size > ROW_BYTES) {
        status = give_rows(statement, columns);
    }
    owner = statement;
    memcpy(&values[(size_t)row_count * columns], statement->values, columns * sizeof values[0]);
    row_count += 1;
    byte_count += size;
    return status;
}

enum status postgres_rows_end(struct sql_statement *statement) {
    if (owner == NULL) {
        return STATUS_OK; /* there were none */
    }
    check(owner == statement);
    return give_rows(statement, columns_of(statement));
}
