/* sql.h - the databases that upstream can keep its tables in, behind one small interface: SQLite
 * (sql_sqlite.c) and PostgreSQL through libpq (sql_postgres.c).
 *
 * SQL is written once. It is what both understand, with `?1`, `?2`... for parameters and a few
 * words that each driver has its own text for:
 *
 *     @NUMBER        a column of 64 bits             @SERIAL      a primary key that numbers itself
 *     @TEXT          a column of text, by its bytes  @BYTES       a column of bytes
 *     @NO_ROWID      behind CREATE TABLE(...)        @LOCK        behind a SELECT: lock its rows
 *     @SKIP_LOCKED   the same, without rows that somebody else has locked; behind LIMIT
 *     @ROWS(nntb)    behind INSERT INTO t(...): rows of that many columns; n number, t text,
 *                    b bytes; for sql_row()
 *     @AMONG(nn)     behind (a, b): which are one of these rows; for sql_row(), too
 *
 * What differs still: ON CONFLICT needs its columns; a column that is updated from itself needs its
 * table's name; sum() needs CAST(... AS @NUMBER). New ids come by RETURNING id.
 *
 * A statement is prepared at its first use and known by its number; its parameters are bound each
 * time, and what they point to must stay until the call that runs it returns:
 *
 *     struct sql_statement *statement = sql_begin_statement(sql, DB_STORE_GET);
 *     sql_bind_number(statement, 1, id);
 *     status = sql_query(statement);
 *     while (status == STATUS_OK) { sql_number(statement, 0); ...; status = sql_next(statement); }
 *
 * Errors are IO and sql_reason() says why, without passwords. After IO inside a transaction nothing
 * works until sql_rollback(). A lost connection is IO too: sql_step() makes a new one.
 * Nothing here allocates; the two libraries do. */
#ifndef HOST_UPSTREAMD_SQL_H
#define HOST_UPSTREAMD_SQL_H

#include "hal/base.h"

enum {
    SQL_STATEMENTS_MAX = 160,
    SQL_PARAMETERS_MAX = 32,
    SQL_TEXT_MAX = 3072, /* of one statement, in a driver's words */
    SQL_REASON_SIZE = 320,
    SQL_PLACE_SIZE = 512,   /* a path or a connection string, with NUL */
    SQL_LOST_MS = 10000,    /* a peer that is silent for longer is lost */
    SQL_RETRY_MIN_MS = 200, /* between two attempts to connect, doubled up to: */
    SQL_RETRY_MAX_MS = 10000,
};

enum sql_kind { SQL_NULL, SQL_NUMBER, SQL_TEXT, SQL_BYTES };

struct sql_value {
    enum sql_kind kind;
    uint64_t number;
    struct bytes bytes;
};

struct sql;

/* Fields are the driver's. */
struct sql_statement {
    struct sql *sql;
    const char *text; /* as it was written */
    uint32_t index;
    void *handle;
    uint32_t handle_row;
    struct sql_value values[SQL_PARAMETERS_MAX];
    uint32_t value_count; /* highest bound */
};

struct sql_driver {
    enum status (*open)(struct sql *sql, const char *place);
    void (*close)(struct sql *sql);
    enum status (*run)(struct sql *sql, const char *text);
    enum status (*read)(struct sql *sql, const char *text, int64_t *number);
    enum status (*begin)(struct sql *sql, bool is_exclusive);
    enum status (*commit)(struct sql *sql, const char *notice);
    void (*rollback)(struct sql *sql);
    enum status (*post)(struct sql_statement *statement);
    enum status (*execute)(struct sql_statement *statement);
    enum status (*query)(struct sql_statement *statement);
    enum status (*next)(struct sql_statement *statement);
    void (*finish)(struct sql_statement *statement);
    uint64_t (*number)(const struct sql_statement *statement, uint32_t column);
    bool (*bytes)(const struct sql_statement *statement, uint32_t column, struct bytes *bytes);
    enum status (*row)(struct sql_statement *statement);
    enum status (*rows_end)(struct sql_statement *statement);
    enum status (*rows_query)(struct sql_statement *statement); /* NULL: cannot */
    void (*step)(struct sql *sql, uint64_t now_ms);
    void (*show_place)(const char *place, char *text, size_t capacity);
    bool (*take_notice)(struct sql *sql, char *text, size_t capacity);
    /* What sql_translate() puts for a word; the last one has no name. */
    const struct sql_word {
        const char *name;
        const char *text;
    } * words;
    char parameter; /* in front of its number */
    bool is_server; /* several programs may use it at once */
};

extern const struct sql_driver sql_sqlite;
extern const struct sql_driver sql_postgres;

struct sql {
    const struct sql_driver *driver;
    void *handle; /* NULL: not open, or lost */
    void *link;   /* the driver's */
    bool is_in_transaction;
    bool has_failed;  /* until the rollback */
    bool has_lost;    /* the transaction: to another one, see sql_has_lost() */
    int fd;           /* of the connection to a server, to be watched for notices; -1: none */
    uint64_t changes; /* rows, by the last sql_execute() */
    struct sql_statement statements[SQL_STATEMENTS_MAX];
    char place[SQL_PLACE_SIZE];
    char reason[SQL_REASON_SIZE];
};

/* Opens the database, which may take seconds. `texts` are the statements by number; they and
 * `driver` stay. `place`: a path, or libpq's connection string or URI. */
must_check enum status sql_open(struct sql *sql, const struct sql_driver *driver, const char *place,
                                const char *const *texts, uint32_t count);
void sql_close(struct sql *sql);
const char *sql_reason(const struct sql *sql);

/* Once in every turn, outside of transactions: goes on connecting again after a loss; never waits
 * for the network. */
void sql_step(struct sql *sql, uint64_t now_ms);
/* False: every call ends in IO for now. */
bool sql_is_ready(const struct sql *sql);

/* Takes the next notice that another program has given sql_commit(). False: none is left. Notices
 * are lost with the connection. */
bool sql_take_notice(struct sql *sql, char *text, size_t capacity);

/* A transaction. It is exclusive for changes of the schema: nobody else has one at the same time.
 * sql_rollback() is harmless outside of one. */
must_check enum status sql_begin(struct sql *sql, bool is_exclusive);
/* Durable when OK. `notice`, unless NULL, is then told to the other programs, if it can be. */
must_check enum status sql_commit(struct sql *sql, const char *notice);
void sql_rollback(struct sql *sql);
/* After IO: the server has broken the transaction off because it and another one waited for each
 * other (deadlock), or saw each other's changes (serialization). Run again it may well succeed. */
bool sql_has_lost(const struct sql *sql);

/* Runs one or several statements without parameters. */
must_check enum status sql_run(struct sql *sql, const char *text);
/* Reads the one number that a statement without parameters gives. NOT_FOUND: no row. */
must_check enum status sql_read(struct sql *sql, const char *text, int64_t *number);

/* The statement of that number, without bindings. */
struct sql_statement *sql_begin_statement(struct sql *sql, uint32_t index);
void sql_bind_number(struct sql_statement *statement, uint32_t at, uint64_t value);
void sql_bind_text(struct sql_statement *statement, uint32_t at, const char *text);
void sql_bind_text_bytes(struct sql_statement *statement, uint32_t at, struct bytes text);
void sql_bind_bytes(struct sql_statement *statement, uint32_t at, const void *data, size_t size);
void sql_bind_null(struct sql_statement *statement, uint32_t at); /* the same as not at all */

/* Runs a statement that gives no rows. Whether it worked may be known only later, at the next call
 * that waits: in the end at sql_commit(). Inside of a transaction only. */
must_check enum status sql_post(struct sql_statement *statement);
/* The same and waits: sql->changes says how many rows were changed. */
must_check enum status sql_execute(struct sql_statement *statement);

/* To the first row, to the next one. NOT_FOUND: there is none (left), the statement is finished.
 * One that is left before that must be finished. */
must_check enum status sql_query(struct sql_statement *statement);
must_check enum status sql_next(struct sql_statement *statement);
void sql_finish(struct sql_statement *statement);

/* A statement with @ROWS or @AMONG: bind one row's columns, sql_row(), and so on, then
 * sql_rows_end() before anything else is run; what was bound stays until then. Errors as with
 * sql_post(). No two rows of one sql_rows_end() may have the same key. */
must_check enum status sql_row(struct sql_statement *statement);
must_check enum status sql_rows_end(struct sql_statement *statement);
/* The same for a statement that gives rows, as sql_query(). Servers only; at least one row. */
must_check enum status sql_rows_query(struct sql_statement *statement);

/* Columns of the present row, from 0. NULL is 0, "" and zeros. */
uint64_t sql_number(const struct sql_statement *statement, uint32_t column);
/* Cut to fit, with NUL. */
void sql_text(const struct sql_statement *statement, uint32_t column, char *target,
              size_t capacity);
/* A view until the next row. False: NULL. */
bool sql_bytes(const struct sql_statement *statement, uint32_t column, struct bytes *bytes);
/* Zeros, unless it has that size. */
void sql_fixed(const struct sql_statement *statement, uint32_t column, uint8_t *target,
               size_t size);

/* Whether libpq takes it as a connection string or URI. */
bool sql_postgres_is_place(const char *place);
/* What an operator may see of a place: of a connection string the host, port, database and user. */
void sql_show_place(const struct sql *sql, char *text, size_t capacity);

/* ---- for drivers ---- */

/* The text in the driver's words, in a buffer of its own until the next call; NULL: too long. */
const char *sql_translate(const struct sql_driver *driver, const char *text);
/* The kinds of columns behind the first @ROWS or @AMONG of a text; NULL: there is none. */
const char *sql_row_kinds(const char *text);
/* Keeps a reason, in one line. Gives IO. */
enum status sql_fail(struct sql *sql, const char *reason);

#endif
