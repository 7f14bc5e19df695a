/* The connection to PostgreSQL: made, watched, given up and made again. It is non-blocking for
 * libpq; what has to wait polls with a deadline, so a peer that went silent holds nobody for ever.
 */
#include "host/shared/log.h"
#include "host/shared/loop.h"
#include "host/upstreamd/db/sql_postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* The server ends what takes longer than we would wait, and a transaction that we have left. Every
 * join is a look-up of few rows by their key; a plan that was made while a table was small would
 * read all of it for as long as the connection lasts. Compiling one takes longer than running it.
 */
static const char *const session[] = {
    ("SELECT set_config('synchronous_commit', 'on', false) "
     "WHERE current_setting('synchronous_commit') = 'off'"),
    "SET statement_timeout = '9s'",
    "SET lock_timeout = '5s'",
    "SET idle_in_transaction_session_timeout = '10s'",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET jit = off",
    "LISTEN hubd",
};

static struct postgres connections[POSTGRES_CONNECTIONS_MAX];

struct postgres *postgres_of(const struct sql *sql) {
    return sql->handle;
}

/* ---- reasons ---- */

/* A password has no place in a log. */
static void hide(char *text, const char *secret) {
    size_t size = secret == NULL ? 0 : strlen(secret);
    for (char *at = size == 0 ? NULL : strstr(text, secret); at != NULL; at = strstr(at, secret)) {
        memset(at, '*', size);
        at += size;
    }
}

static enum status tell(struct sql *sql, PGconn *connection, const char *reason) {
    enum status status = sql_fail(sql, reason);
    hide(sql->reason, connection == NULL ? NULL : PQpass(connection));
    return status;
}

static void give_up(struct sql *sql, struct postgres *postgres) {
    PQfinish(postgres->connection);
    postgres->connection = NULL;
    postgres->pending = 0;
    postgres_drop_rows();
    postgres->retry_ms = SQL_RETRY_MIN_MS;
    postgres->retry_at_ms = loop_now_ms();
    sql->handle = NULL;
    sql->fd = -1;
}

enum status postgres_fail(struct sql *sql, const char *reason) {
    struct postgres *postgres = postgres_of(sql);
    enum status status = tell(sql, postgres->connection, reason);
    postgres->must_forget = true;
    if (PQstatus(postgres->connection) != CONNECTION_OK) {
        give_up(sql, postgres);
    }
    return status;
}

bool sql_postgres_is_place(const char *place) {
    PQconninfoOption *options = PQconninfoParse(place, NULL);
    PQconninfoFree(options);
    return options != NULL;
}

void postgres_show_place(const char *place, char *text, size_t capacity) {
    static const char *const shown[] = {"host", "hostaddr", "port", "dbname", "user", "service"};
    PQconninfoOption *options = PQconninfoParse(place, NULL);
    size_t size = (size_t)snprintf(text, capacity, "[store] postgres:");
    for (const PQconninfoOption *one = options; one != NULL && one->keyword != NULL; one++) {
        for (size_t i = 0; i < array_count(shown) && size < capacity; i++) {
            if (one->val != NULL && strcmp(one->keyword, shown[i]) == 0) {
                size += (size_t)snprintf(text + size, capacity - size, " %s=%s", one->keyword,
                                         one->val);
            }
        }
    }
    PQconninfoFree(options);
}

/* ---- waiting ---- */

enum status postgres_lose(struct sql *sql, const char *reason) {
    struct postgres *postgres = postgres_of(sql);
    enum status status = tell(sql, postgres->connection, reason);
    give_up(sql, postgres);
    return status;
}

/* False: nothing came for SQL_LOST_MS. */
static bool wait_for(int fd, short events) {
    struct pollfd wait = {.fd = fd, .events = events};
    int count = poll(&wait, 1, SQL_LOST_MS);
    return count > 0 || (count < 0 && errno == EINTR);
}

enum status postgres_flush(struct sql *sql) {
    PGconn *connection = postgres_of(sql)->connection;
    int left = PQflush(connection);
    while (left == 1) {
        if (!wait_for(PQsocket(connection), POLLIN | POLLOUT)) {
            return postgres_lose(sql, "the database does not take anything any more");
        }
        if (PQconsumeInput(connection) == 0) {
            return postgres_lose(sql, PQerrorMessage(connection));
        }
        left = PQflush(connection);
    }
    return left == 0 ? STATUS_OK : postgres_lose(sql, PQerrorMessage(connection));
}

enum status postgres_await(struct sql *sql) {
    PGconn *connection = postgres_of(sql)->connection;
    while (PQisBusy(connection) != 0) {
        if (!wait_for(PQsocket(connection), POLLIN)) {
            return postgres_lose(sql, "the database does not answer any more");
        }
        if (PQconsumeInput(connection) == 0) {
            return postgres_lose(sql, PQerrorMessage(connection));
        }
    }
    return STATUS_OK;
}

/* ---- connecting ---- */

static PGconn *begin_connecting(const char *place) {
    /* What the connection string says wins over what stands before it. */
    const char *const names[] = {"application_name", "connect_timeout",     "keepalives_idle",
                                 "tcp_user_timeout", "keepalives_interval", "keepalives_count",
                                 "dbname",           "client_encoding",     NULL};
    const char *const values[] = {"upstreamd", "5", "5", "10000", "2", "3", place, "UTF8", NULL};
    return PQconnectStartParams(names, values, 1);
}

/* A connection that was made becomes the one that is used. */
static enum status take_over(struct sql *sql, struct postgres *postgres) {
    postgres->connection = postgres->coming;
    postgres->coming = NULL;
    memset(postgres->prepared, 0, sizeof postgres->prepared);
    postgres->must_forget = false;
    postgres->pending = 0;
    sql->handle = postgres;
    sql->fd = PQsocket(postgres->connection);
    if (PQsetnonblocking(postgres->connection, 1) != 0 ||
        PQenterPipelineMode(postgres->connection) != 1) {
        return postgres_lose(sql, PQerrorMessage(postgres->connection));
    }
    enum status status = STATUS_OK;
    for (size_t i = 0; i < array_count(session) && status == STATUS_OK; i++) {
        status = postgres_send(sql, session[i]);
    }
    status = status == STATUS_OK ? postgres_sync(sql, NULL) : status;
    if (status != STATUS_OK && sql->handle != NULL) {
        give_up(sql, postgres);
    }
    return status;
}

/* One step of it. OK: it is made; AGAIN: not yet; IO. */
static enum status go_on_connecting(struct sql *sql, struct postgres *postgres, int wait_ms) {
    PostgresPollingStatusType state = PGRES_POLLING_FAILED;
    const char *reason = "the database did not answer in time";
    if (PQstatus(postgres->coming) != CONNECTION_BAD && loop_now_ms() < postgres->coming_until_ms) {
        struct pollfd wait = {.fd = PQsocket(postgres->coming), .events = postgres->coming_events};
        if (poll(&wait, 1, wait_ms) <= 0) {
            return STATUS_AGAIN;
        }
        state = PQconnectPoll(postgres->coming);
        postgres->coming_events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    }
    if (state == PGRES_POLLING_OK) {
        return STATUS_OK;
    }
    if (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
        return STATUS_AGAIN;
    }
    if (PQerrorMessage(postgres->coming)[0] != '\0') {
        reason = PQerrorMessage(postgres->coming);
    }
    (void)tell(sql, postgres->coming, reason);
    PQfinish(postgres->coming);
    postgres->coming = NULL;
    return STATUS_IO;
}

static void start_connecting(struct postgres *postgres, const char *place) {
    postgres->coming = begin_connecting(place);
    check(postgres->coming != NULL);
    postgres->coming_events = POLLOUT;
    postgres->coming_until_ms = loop_now_ms() + SQL_LOST_MS;
}

enum status postgres_open(struct sql *sql, const char *place) {
    struct postgres *postgres = NULL;
    for (size_t i = 0; i < POSTGRES_CONNECTIONS_MAX && postgres == NULL; i++) {
        postgres = connections[i].is_used ? NULL : &connections[i];
    }
    if (postgres == NULL) {
        return sql_fail(sql, "this program has no room for one more database");
    }
    *postgres = (struct postgres){.is_used = true, .retry_ms = SQL_RETRY_MIN_MS};
    sql->link = postgres;
    start_connecting(postgres, place);
    enum status status = STATUS_AGAIN;
    while (status == STATUS_AGAIN) {
        status = go_on_connecting(sql, postgres, 100);
    }
    return status == STATUS_OK ? take_over(sql, postgres) : status;
}

void postgres_close(struct sql *sql) {
    struct postgres *postgres = sql->link;
    if (postgres != NULL) {
        PQfinish(postgres->connection);
        PQfinish(postgres->coming);
        postgres->is_used = false;
    }
    for (uint32_t i = 0; i < SQL_STATEMENTS_MAX; i++) {
        PQclear(sql->statements[i].handle);
        sql->statements[i].handle = NULL;
    }
    sql->link = NULL;
}

void postgres_step(struct sql *sql, uint64_t now_ms) {
    struct postgres *postgres = sql->link;
    enum status status = STATUS_AGAIN;
    if (sql->handle != NULL || now_ms < postgres->retry_at_ms) {
        return;
    }
    if (postgres->coming == NULL) {
        start_connecting(postgres, sql->place);
    }
    status = go_on_connecting(sql, postgres, 0);
    status = status == STATUS_OK ? take_over(sql, postgres) : status;
    if (status == STATUS_OK) {
        log_info("database_back");
        postgres->retry_ms = SQL_RETRY_MIN_MS;
    } else if (status != STATUS_AGAIN) {
        log_warn("database_away retry_ms=%llu reason=%s", (unsigned long long)postgres->retry_ms,
                 sql_reason(sql));
        postgres->retry_at_ms = now_ms + postgres->retry_ms;
        postgres->retry_ms =
            postgres->retry_ms * 2 < SQL_RETRY_MAX_MS ? postgres->retry_ms * 2 : SQL_RETRY_MAX_MS;
    }
}

bool postgres_take_notice(struct sql *sql, char *text, size_t capacity) {
    PGconn *connection = postgres_of(sql)->connection;
    if (PQconsumeInput(connection) == 0) {
        (void)postgres_lose(sql, PQerrorMessage(connection));
        return false;
    }
    PGnotify *notice = PQnotifies(connection);
    while (notice != NULL && notice->be_pid == PQbackendPID(connection)) {
        PQfreemem(notice); /* our own */
        notice = PQnotifies(connection);
    }
    if (notice != NULL) {
        snprintf(text, capacity, "%s", notice->extra);
        PQfreemem(notice);
    }
    return notice != NULL;
}
