/* db_sqlite.h - what the files of the SQLite database share: its statements, and short forms of the
 * library's calls. Private to db_sqlite*.c. */
#ifndef HOST_UPSTREAMD_DB_SQLITE_H
#define HOST_UPSTREAMD_DB_SQLITE_H

#include "host/upstreamd/db.h"

#include <sqlite3.h>

/* STATEMENT(name, SQL): each is prepared once, at its first use. */
#define PROCESS_COLUMNS                                                                            \
    "p.id, p.store, p.number, s.hub_id, s.epoch, p.revision, p.status, p.review, p.attempts, "     \
    "p.created_ms, p.updated_ms, p.finished_ms, p.type, p.request_id, p.phone "                    \
    "FROM processes p JOIN stores s ON s.id = p.store "
#define PROCESS_FILTER                                                                             \
    "AND (?2 = 0 OR ((?2 >> p.status) & 1)) AND (?3 = '' OR p.type = ?3) "                         \
    "AND (?4 = '' OR s.hub_id = ?4) AND (?5 = '' OR p.phone = ?5) "
#define STORE_COLUMNS "SELECT id, hub_id, store_id, epoch, cursor, chain FROM stores "
#define IMAGE_COLUMNS                                                                              \
    "SELECT r.bytes, o.a, o.b, o.c FROM objects o JOIN records r "                                 \
    "ON r.store = o.store AND r.seq = o.seq WHERE o.store = ?1 AND o.kind = ?2 "

#define DB_SQLITE_ALL(STATEMENT)                                                                   \
    STATEMENT(BEGIN, "BEGIN IMMEDIATE")                                                            \
    STATEMENT(COMMIT, "COMMIT")                                                                    \
    STATEMENT(STORE_FIND, STORE_COLUMNS "WHERE hub_id = ?1 AND store_id = ?2 AND epoch = ?3")      \
    STATEMENT(STORE_GET, STORE_COLUMNS "WHERE id = ?1")                                            \
    STATEMENT(STORE_ADD, "INSERT INTO stores(hub_id, store_id, epoch, cursor, chain) "             \
                         "VALUES(?1, ?2, ?3, ?4, ?5)")                                             \
    STATEMENT(STORE_MOVE, "UPDATE stores SET cursor = ?2, chain = ?3 WHERE id = ?1")               \
    STATEMENT(STORE_EPOCH, "SELECT max(epoch) FROM stores WHERE hub_id = ?1 AND store_id = ?2")    \
    STATEMENT(CHAIN_AT, "SELECT chain FROM records WHERE store = ?1 AND seq = ?2 "                 \
                        "AND chain IS NOT NULL")                                                   \
    STATEMENT(HUB_PUT, "INSERT OR REPLACE INTO hubs(hub_id, store, boot, capacity, phones, "       \
                       "command, first_seen_ms, last_seen_ms, record_ms, forks) "                  \
                       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")                          \
    STATEMENT(HUB_NEXT, "SELECT hub_id, store, boot, capacity, phones, command, first_seen_ms, "   \
                        "last_seen_ms, record_ms, forks FROM hubs WHERE hub_id > ?1 "              \
                        "ORDER BY hub_id LIMIT 1")                                                 \
    STATEMENT(BOOT_TELL, "INSERT INTO boots(store, boot, offset_ms) VALUES(?1, ?2, ?3) "           \
                         "ON CONFLICT DO UPDATE SET offset_ms = excluded.offset_ms")               \
    STATEMENT(BOOT_GUESS, "INSERT OR IGNORE INTO boots(store, boot, offset_ms) "                   \
                          "VALUES(?1, ?2, ?3)")                                                    \
    STATEMENT(BOOTS_GET, "SELECT boot, offset_ms FROM boots WHERE store = ?1 "                     \
                         "ORDER BY boot DESC LIMIT ?2")                                            \
    STATEMENT(RECORD_ADD,                                                                          \
              "INSERT INTO records(store, seq, kind, process, revision, chain, bytes) "            \
              "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                                \
    STATEMENT(OBJECT_PUT, "INSERT INTO objects(store, kind, a, b, c, seq, revision) "              \
                          "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO UPDATE "              \
                          "SET seq = excluded.seq, revision = excluded.revision "                  \
                          "WHERE excluded.revision > revision")                                    \
    STATEMENT(OBJECT_GET, IMAGE_COLUMNS "AND o.a = ?3 AND o.b = ?4 AND o.c = ?5")                  \
    STATEMENT(OBJECT_NEXT, IMAGE_COLUMNS "AND o.a = ?3 AND (o.b, o.c) > (?4, ?5) "                 \
                                         "ORDER BY o.b, o.c LIMIT 1")                              \
    STATEMENT(PHONE_NEXT, IMAGE_COLUMNS "AND o.a > ?3 ORDER BY o.a LIMIT 1")                       \
    STATEMENT(EVENT_NEXT, "SELECT bytes, process, revision, 0 FROM records WHERE store = ?1 "      \
                          "AND process = ?2 AND revision > ?3 ORDER BY revision, seq LIMIT 1")     \
    STATEMENT(LEASE_PUT, "INSERT OR REPLACE INTO leases(store, phone, process, item) "             \
                         "VALUES(?1, ?2, ?3, ?4)")                                                 \
    STATEMENT(LEASE_END, "DELETE FROM leases WHERE store = ?1 AND process = ?3 AND item = ?4")     \
    STATEMENT(LEASE_GET, "SELECT process, item FROM leases WHERE store = ?1 AND phone = ?2")       \
    STATEMENT(PROCESS_PUT, "INSERT INTO processes(store, number, revision, status, updated_ms) "   \
                           "VALUES(?1, ?2, ?3, ?4, ?5) ON CONFLICT(store, number) DO UPDATE "      \
                           "SET revision = excluded.revision, status = excluded.status, "          \
                           "updated_ms = excluded.updated_ms, "                                    \
                           "review = review AND excluded.status = 7 "                              \
                           "WHERE excluded.revision > revision")                                   \
    STATEMENT(PROCESS_REQUEST, "UPDATE processes SET type = ?3, request_id = ?4 "                  \
                               "WHERE store = ?1 AND number = ?2")                                 \
    STATEMENT(PROCESS_TIMES, "UPDATE processes SET created_ms = ?3, finished_ms = ?4 "             \
                             "WHERE store = ?1 AND number = ?2")                                   \
    STATEMENT(PROCESS_ITEM, "UPDATE processes SET attempts = max(attempts, ?3), "                  \
                            "phone = CASE WHEN ?4 = '' THEN phone ELSE ?4 END, "                   \
                            "review = max(review, ?5) WHERE store = ?1 AND number = ?2")           \
    STATEMENT(PROCESS_FIND, "SELECT " PROCESS_COLUMNS "WHERE s.hub_id = ?1 AND s.epoch = ?2 "      \
                            "AND p.number = ?3 ORDER BY s.id DESC LIMIT 1")                        \
    STATEMENT(PROCESS_NEWER, "SELECT " PROCESS_COLUMNS "WHERE p.id < ?1 " PROCESS_FILTER           \
                             "ORDER BY p.id DESC LIMIT 1")                                         \
    STATEMENT(PROCESS_OLDER,                                                                       \
              "SELECT " PROCESS_COLUMNS "WHERE p.id > ?1 " PROCESS_FILTER "ORDER BY p.id LIMIT 1") \
    STATEMENT(PROCESS_COUNTS, "SELECT status, count(*) FROM processes GROUP BY status")

enum db_sqlite_statement {
#define STATEMENT(name, sql) DB_SQLITE_##name,
    DB_SQLITE_ALL(STATEMENT)
#undef STATEMENT
        DB_SQLITE_STATEMENTS
};

/* The statement, prepared and without bindings; NULL: it could not be. */
sqlite3_stmt *db_sqlite_prepare(struct db *db, enum db_sqlite_statement which);
void db_sqlite_bind_u64(sqlite3_stmt *statement, int at, uint64_t value);
void db_sqlite_bind_text(sqlite3_stmt *statement, int at, const char *text);
void db_sqlite_bind_blob(sqlite3_stmt *statement, int at, const void *data, size_t size);

/* Ends a statement's use: nothing it was bound to is looked at again. */
void db_sqlite_finish(sqlite3_stmt *statement);
/* Runs a statement without rows to its end. A NULL one is IO, as below. */
must_check enum status db_sqlite_execute(sqlite3_stmt *statement);
/* Steps to the first row. OK leaves the statement there, for columns and db_sqlite_finish(). */
must_check enum status db_sqlite_query(sqlite3_stmt *statement);

uint64_t db_sqlite_column_u64(sqlite3_stmt *statement, int at);
uint32_t db_sqlite_column_u32(sqlite3_stmt *statement, int at);
void db_sqlite_column_text(sqlite3_stmt *statement, int at, char *target, size_t capacity);
/* Zeros, unless it has that size. */
void db_sqlite_column_fixed(sqlite3_stmt *statement, int at, uint8_t *target, size_t size);

#endif
