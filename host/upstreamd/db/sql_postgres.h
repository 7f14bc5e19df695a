/* sql_postgres.h - what the files of the PostgreSQL driver share. Private to sql_postgres*.c. */
#ifndef HOST_UPSTREAMD_SQL_POSTGRES_H
#define HOST_UPSTREAMD_SQL_POSTGRES_H

#include "host/upstreamd/db/sql.h"

#include <libpq-fe.h>

enum {
    POSTGRES_CONNECTIONS_MAX = 4, /* of one program: tests open several */
    POSTGRES_PENDING_MAX = 128,   /* statements that are sent before their results are read */
};

struct postgres {
    PGconn *connection; /* in pipeline mode; NULL: lost */
    PGconn *coming;     /* that is being made */
    uint64_t coming_until_ms;
    uint64_t retry_at_ms;
    uint64_t retry_ms;
    uint32_t pending; /* sent, results not read */
    short coming_events;
    bool must_forget; /* after an error: which statements the server has prepared is not known */
    bool is_used;
    bool has_committed; /* since commit() began */
    bool prepared[SQL_STATEMENTS_MAX];
};

/* One statement as it goes over the wire. */
struct postgres_call {
    uint32_t count;
    const char *values[SQL_PARAMETERS_MAX];
    int lengths[SQL_PARAMETERS_MAX];
    Oid types[SQL_PARAMETERS_MAX];
};

/* sql_postgres_link.c */
enum status postgres_open(struct sql *sql, const char *place);
void postgres_close(struct sql *sql);
void postgres_step(struct sql *sql, uint64_t now_ms);
void postgres_show_place(const char *place, char *text, size_t capacity);
bool postgres_take_notice(struct sql *sql, char *text, size_t capacity);
struct postgres *postgres_of(const struct sql *sql);
/* Takes the library's reason, without the password; a connection that is not good is given up. */
enum status postgres_fail(struct sql *sql, const char *reason);
/* Gives the connection up for that reason. */
enum status postgres_lose(struct sql *sql, const char *reason);
/* Sends what libpq holds and waits until it has a whole result. IO: lost. */
enum status postgres_flush(struct sql *sql);
enum status postgres_await(struct sql *sql);

/* sql_postgres.c: sends a text without parameters; waits for everything that was sent. `result`
 * (may be NULL) gets the last statement's, to be cleared. */
enum status postgres_send(struct sql *sql, const char *text);
enum status postgres_send_call(struct sql_statement *statement, const struct postgres_call *call);
enum status postgres_sync(struct sql *sql, PGresult **result);
/* Keeps the reason of a result that is none of those that were wanted. Gives IO. */
enum status postgres_judge(struct sql *sql, const PGresult *result);

/* sql_postgres_rows.c */
enum status postgres_row(struct sql_statement *statement);
enum status postgres_rows_end(struct sql_statement *statement);
void postgres_drop_rows(void); /* with the transaction */

/* sql_postgres_copy.c: the same rows by COPY, as its binary format has them; for a statement that
 * adds rows and does nothing else. Waits for everything that was sent. */
bool postgres_is_copy(const char *text);
must_check enum status postgres_copy(struct sql *sql, const char *text, struct bytes data);

static inline void postgres_put16(uint8_t *target, uint16_t value) {
    target[0] = (uint8_t)(value >> 8);
    target[1] = (uint8_t)value;
}

enum { POSTGRES_INT8 = 20, POSTGRES_TEXT = 25, POSTGRES_BYTEA = 17 };
enum { POSTGRES_INT8_ARRAY = 1016, POSTGRES_TEXT_ARRAY = 1009, POSTGRES_BYTEA_ARRAY = 1001 };

static inline void postgres_put32(uint8_t *target, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        target[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static inline void postgres_put64(uint8_t *target, uint64_t value) {
    postgres_put32(target, (uint32_t)(value >> 32));
    postgres_put32(target + 4, (uint32_t)value);
}

#endif
