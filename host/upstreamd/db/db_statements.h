/* db_statements.h - every statement of upstream's tables, in the SQL that both databases understand
 * (sql.h). Private to db*.c. */
#ifndef HOST_UPSTREAMD_DB_STATEMENTS_H
#define HOST_UPSTREAMD_DB_STATEMENTS_H

#include "host/upstreamd/db/db.h"
#include "host/upstreamd/db/db_fleet_statements.h"

#define PROCESS_COLUMNS                                                                            \
    "p.id, p.store, p.number, s.hub_id, s.first_epoch, p.revision, p.status, p.review, "           \
    "p.attempts, "                                                                                 \
    "p.created_ms, p.updated_ms, p.finished_ms, p.type, p.request_id, p.phone, h.last_seen_ms, "   \
    "p.lost "                                                                                      \
    "FROM processes p JOIN stores s ON s.id = p.store LEFT JOIN hubs h ON h.hub_id = s.hub_id "
#define PROCESS_FILTER                                                                             \
    "AND p.part = 0 AND (?2 = 0 OR ((?2 >> CAST(p.status AS INTEGER)) & 1) = 1) "                  \
    "AND (?3 = '' OR p.type = ?3) "                                                                \
    "AND (?4 = '' OR s.hub_id = ?4) AND (?5 = '' OR p.phone = ?5) "
#define STORE_COLUMNS                                                                              \
    "SELECT id, hub_id, store_id, epoch, cursor, chain, base_epoch, first_epoch, named, listing "  \
    "FROM stores "
#define IMAGE_COLUMNS                                                                              \
    "SELECT r.bytes, o.a, o.b, o.c FROM objects o JOIN records r "                                 \
    "ON r.store = o.store AND r.seq = o.seq WHERE o.store = ?1 AND o.kind = ?2 "
#define OBJECT_ROW "store, kind, a, b, c, seq, revision"
#define PROCESS_ROW                                                                                \
    "store, number, revision, status, review, attempts, created_ms, updated_ms, finished_ms, "     \
    "part, type, request_id, phone"
#define HUB_COLUMNS                                                                                \
    "hub_id, store, boot, capacity, phones, command, first_seen_ms, last_seen_ms, record_ms, "     \
    "forks, gaps, given_up, lag_ms, swap1_ms, swap2_ms, quarantined_ms, settled_epoch"
#define SUM(column) "CAST(coalesce(sum(" column "), 0) AS @NUMBER)"

/* STATEMENT(name, SQL) */
#define DB_STORE_STATEMENTS(STATEMENT)                                                             \
    STATEMENT(STORE_FIND, STORE_COLUMNS "WHERE hub_id = ?1 AND store_id = ?2 "                     \
                                        "ORDER BY epoch DESC LIMIT 1")                             \
    STATEMENT(STORE_GET, STORE_COLUMNS "WHERE id = ?1")                                            \
    STATEMENT(STORE_ADD, "INSERT INTO stores(hub_id, store_id, epoch, cursor, chain, base_epoch, " \
                         "first_epoch, named, listing) "                                           \
                         "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING id")                \
    STATEMENT(STORE_MOVE, "UPDATE stores SET cursor = ?2, chain = ?3 WHERE id = ?1")               \
    STATEMENT(STORE_PUT, "UPDATE stores SET cursor = ?2, chain = ?3, epoch = ?4, "                 \
                         "first_epoch = ?5, named = ?6, listing = ?7 WHERE id = ?1")               \
    STATEMENT(STORE_EPOCHS, "SELECT max(epoch), max(named) FROM stores WHERE hub_id = ?1")         \
    STATEMENT(CHAIN_AT, "SELECT chain FROM records WHERE store = ?1 AND seq = ?2 "                 \
                        "AND chain IS NOT NULL UNION ALL "                                         \
                        "SELECT chain FROM gaps WHERE store = ?1 AND last = ?2")                   \
    STATEMENT(GAP_ADD, "INSERT INTO gaps(store, first, last, chain, at_ms, "                       \
                       "d0, d1, d2, d3, d4, d5, d6, d7) "                                          \
                       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")           \
    STATEMENT(GAP_SUM, "SELECT " SUM("d0") ", " SUM("d1") ", " SUM("d2") ", " SUM("d3") ", " SUM(  \
                           "d4") ", " SUM("d5") ", " SUM("d6") ", " SUM("d7") " FROM gaps "        \
                                                                              "WHERE store = ?1 "  \
                                                                              "AND first >= ?2")   \
    STATEMENT(GAP_BEFORE, "SELECT first, last, chain, d0, d1, d2, d3, d4, d5, d6, d7, at_ms "      \
                          "FROM gaps WHERE store = ?1 AND last < ?2 ORDER BY last DESC LIMIT 1")   \
    STATEMENT(HUB_PUT, "INSERT INTO hubs(" HUB_COLUMNS ") "                                        \
                       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, " \
                       "?16, ?17) "                                                                \
                       "ON CONFLICT(hub_id) DO UPDATE SET store = excluded.store, "                \
                       "boot = excluded.boot, capacity = excluded.capacity, "                      \
                       "phones = excluded.phones, command = excluded.command, "                    \
                       "last_seen_ms = excluded.last_seen_ms, record_ms = excluded.record_ms, "    \
                       "forks = excluded.forks, gaps = excluded.gaps, "                            \
                       "given_up = excluded.given_up, lag_ms = excluded.lag_ms, "                  \
                       "swap1_ms = excluded.swap1_ms, swap2_ms = excluded.swap2_ms, "              \
                       "quarantined_ms = excluded.quarantined_ms, "                                \
                       "settled_epoch = excluded.settled_epoch")                                   \
    STATEMENT(HUB_MAKE, "INSERT INTO hubs(" HUB_COLUMNS ") "                                       \
                        "VALUES(?1, 0, 0, 0, 0, 0, ?2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) "             \
                        "ON CONFLICT(hub_id) DO NOTHING")                                          \
    STATEMENT(HUB_LOCK, "SELECT " HUB_COLUMNS " FROM hubs WHERE hub_id = ?1 @LOCK")                \
    STATEMENT(HUB_GET, "SELECT " HUB_COLUMNS " FROM hubs WHERE hub_id = ?1")                       \
    STATEMENT(HUB_WALK, "SELECT " HUB_COLUMNS " FROM hubs WHERE hub_id > ?1 "                      \
                        "ORDER BY hub_id LIMIT ?2")                                                \
    STATEMENT(                                                                                     \
        HUB_SUM,                                                                                   \
        "SELECT count(*), " SUM(                                                                   \
            "CASE WHEN last_seen_ms < ?1 THEN 1 ELSE 0 END") ", "                                  \
                                                             "min(last_seen_"                      \
                                                             "ms), "                               \
                                                             "max(lag_ms),"                        \
                                                             " " SUM("forks") ", " SUM(            \
                                                                 "gaps") ","                       \
                                                                         " " SUM(                  \
                                                                             "given_up") " FROM "  \
                                                                                         "hubs")   \
    STATEMENT(                                                                                     \
        HUBS_UNSETTLED,                                                                            \
        "SELECT " SUM("CASE WHEN settled_epoch = ?1 THEN 0 ELSE 1 END") ", "                       \
                                                                        "count(*) FROM hubs")      \
    STATEMENT(BOOT_TELL, "INSERT INTO boots(store, boot, offset_ms) VALUES(?1, ?2, ?3) "           \
                         "ON CONFLICT(store, boot) DO UPDATE SET offset_ms = excluded.offset_ms")  \
    STATEMENT(BOOT_GUESS, "INSERT INTO boots(store, boot, offset_ms) "                             \
                          "VALUES(?1, ?2, ?3) ON CONFLICT(store, boot) DO NOTHING")                \
    STATEMENT(BOOTS_GET, "SELECT boot, offset_ms FROM boots WHERE store = ?1 "                     \
                         "ORDER BY boot DESC LIMIT ?2")

#define DB_RECORD_STATEMENTS(STATEMENT)                                                            \
    STATEMENT(RECORD_ADD,                                                                          \
              "INSERT INTO records(store, seq, kind, process, revision, chain, bytes) "            \
              "@ROWS(nnnnnbb)")                                                                    \
    STATEMENT(OBJECT_LOAD, "SELECT seq, revision FROM objects WHERE store = ?1 AND kind = ?2 "     \
                           "AND a = ?3 AND b = ?4 AND c = ?5")                                     \
    STATEMENT(OBJECTS_LOAD,                                                                        \
              "SELECT o.store, o.kind, o.a, o.b, o.c, o.seq, o.revision FROM objects o "           \
              "WHERE (o.store, o.kind, o.a, o.b, o.c) @AMONG(nnnnn)")                              \
    STATEMENT(OBJECT_ADD, "INSERT INTO objects(" OBJECT_ROW ") @ROWS(nnnnnnn)")                    \
    STATEMENT(OBJECT_PUT, "INSERT INTO objects(" OBJECT_ROW ") @ROWS(nnnnnnn) "                    \
                          "ON CONFLICT(store, kind, a, b, c) DO UPDATE "                           \
                          "SET seq = excluded.seq, revision = excluded.revision")                  \
    STATEMENT(OBJECT_GET, IMAGE_COLUMNS "AND o.a = ?3 AND o.b = ?4 AND o.c = ?5")                  \
    STATEMENT(OBJECT_NEXT, IMAGE_COLUMNS "AND o.a = ?3 AND (o.b, o.c) > (?4, ?5) "                 \
                                         "ORDER BY o.b, o.c LIMIT 1")                              \
    STATEMENT(PHONE_WALK,                                                                          \
              "SELECT r.bytes, o.a, s.id, s.hub_id, s.first_epoch, l.process, l.item FROM hubs h " \
              "JOIN stores s ON s.id = h.store JOIN objects o ON o.store = s.id AND o.kind = ?1 "  \
              "JOIN records r ON r.store = o.store AND r.seq = o.seq "                             \
              "LEFT JOIN leases l ON l.store = o.store AND l.phone = o.a "                         \
              "WHERE (h.hub_id, o.a) > (?2, ?3) AND (?4 = '' OR h.hub_id = ?4) "                   \
              "ORDER BY h.hub_id, o.a LIMIT ?5")                                                   \
    STATEMENT(EVENT_NEXT, "SELECT bytes, process, revision, 0 FROM records WHERE store = ?1 "      \
                          "AND process = ?2 AND revision > ?3 "                                    \
                          "ORDER BY revision, seq DESC LIMIT 1")                                   \
    STATEMENT(LEASE_PUT, "INSERT INTO leases(store, phone, process, item) @ROWS(nnnn) "            \
                         "ON CONFLICT(store, phone) DO UPDATE "                                    \
                         "SET process = excluded.process, item = excluded.item")                   \
    STATEMENT(LEASE_FREE, "DELETE FROM leases WHERE (store, phone) @AMONG(nn)")                    \
    STATEMENT(LEASE_END, "DELETE FROM leases WHERE (store, process, item) @AMONG(nnn)")

#define DB_PROCESS_STATEMENTS(STATEMENT)                                                           \
    STATEMENT(PROCESS_LOAD, "SELECT " PROCESS_ROW " FROM processes WHERE store = ?1 "              \
                            "AND number = ?2")                                                     \
    STATEMENT(PROCESS_NEWEST, "SELECT max(number) FROM processes WHERE store = ?1")                \
    STATEMENT(PROCESSES_LOAD, "SELECT " PROCESS_ROW " FROM processes "                             \
                              "WHERE (store, number) @AMONG(nn)")                                  \
    STATEMENT(PROCESS_ADD, "INSERT INTO processes(" PROCESS_ROW ") @ROWS(nnnnnnnnnnttt)")          \
    STATEMENT(PROCESS_PUT,                                                                         \
              "INSERT INTO processes(" PROCESS_ROW ") @ROWS(nnnnnnnnnnttt) "                       \
              "ON CONFLICT(store, number) DO UPDATE SET "                                          \
              "revision = excluded.revision, status = excluded.status, "                           \
              "review = excluded.review, attempts = excluded.attempts, "                           \
              "created_ms = excluded.created_ms, updated_ms = excluded.updated_ms, "               \
              "finished_ms = excluded.finished_ms, part = excluded.part, type = excluded.type, "   \
              "request_id = excluded.request_id, phone = excluded.phone, lost = 0")                \
    STATEMENT(PROCESS_FIND, "SELECT " PROCESS_COLUMNS "WHERE s.hub_id = ?1 "                       \
                            "AND ((s.first_epoch = ?2 AND p.number = ?3) OR p.number = ?4) "       \
                            "ORDER BY s.id DESC LIMIT 1")                                          \
    STATEMENT(PROCESS_NEWER, "SELECT " PROCESS_COLUMNS "WHERE p.id < ?1 " PROCESS_FILTER           \
                             "ORDER BY p.id DESC LIMIT ?6")                                        \
    STATEMENT(PROCESS_OLDER, "SELECT " PROCESS_COLUMNS "WHERE p.id > ?1 " PROCESS_FILTER           \
                             "ORDER BY p.id LIMIT ?6")                                             \
    STATEMENT(PROCESS_COUNTS,                                                                      \
              "SELECT status, count(*) FROM processes WHERE part = 0 GROUP BY status")

/* After a fork. Rows 2 and 4 to 7 of the status table are those of a process that has not ended. */
#define DB_FORK_STATEMENTS(STATEMENT)                                                              \
    STATEMENT(FORK_LEASES, "DELETE FROM leases WHERE store = ?1")                                  \
    STATEMENT(FORK_PHONES, "DELETE FROM objects WHERE store = ?1 AND kind = 1")                    \
    STATEMENT(FORK_SEAL, "UPDATE processes SET sealed = ?2 + CASE WHEN status = 2 "                \
                         "OR (status >= 4 AND status <= 7) THEN 0 ELSE 1 END "                     \
                         "+ CASE WHEN ?2 < 4 AND sealed >= 6 THEN 4 ELSE 0 END WHERE store = ?1")  \
    STATEMENT(FORK_LOSE, "UPDATE processes SET lost = 1 WHERE store = ?1 AND number >= ?2 "        \
                         "AND number <= ?3 AND lost = 0 "                                          \
                         "AND (status = 2 OR (status >= 4 AND status <= 7))")                      \
    STATEMENT(FORK_OTHERS, "UPDATE processes SET lost = 1 WHERE lost = 0 AND store IN "            \
                           "(SELECT id FROM stores WHERE hub_id = ?1 AND id <> ?2) "               \
                           "AND (status = 2 OR (status >= 4 AND status <= 7))")                    \
    STATEMENT(FORK_FOUND, "UPDATE processes SET lost = 0, sealed = ?3 "                            \
                          "WHERE store = ?1 AND number = ?2")                                      \
    STATEMENT(FORK_UNSEAL, "UPDATE processes SET sealed = 0 WHERE store = ?1 AND number = ?2")     \
    STATEMENT(FORK_ASIDE_RECORDS, "UPDATE records SET process = ?3 WHERE store = ?1 "              \
                                  "AND process = ?2 AND seq < ?4")                                 \
    STATEMENT(FORK_ASIDE_OBJECTS, "UPDATE objects SET a = ?3 WHERE store = ?1 "                    \
                                  "AND kind IN (2, 3, 4, 5) AND a = ?2 AND seq < ?4")              \
    STATEMENT(FORK_ASIDE, "UPDATE processes SET number = ?3 WHERE store = ?1 AND number = ?2")     \
    STATEMENT(FORK_EVENT, "SELECT bytes, process, revision, seq FROM records WHERE store = ?1 "    \
                          "AND process = ?2 AND seq > ?3 ORDER BY seq LIMIT 1")                    \
    STATEMENT(FORK_RAISE, "UPDATE processes SET revision = ?3 "                                    \
                          "WHERE store = ?1 AND number = ?2 AND revision < ?3")                    \
    STATEMENT(FORK_ROW, "SELECT revision, status, sealed, lost FROM processes "                    \
                        "WHERE store = ?1 AND number = ?2")                                        \
    STATEMENT(FORK_LOST, "SELECT count(*) FROM processes WHERE lost = 1 AND part = 0")

#define DB_TRUST_STATEMENTS(STATEMENT)                                                             \
    STATEMENT(ENROLMENT_DROP, "DELETE FROM enrolments WHERE hub = ?1 OR expires_ms < ?2")          \
    STATEMENT(ENROLMENT_ADD, "INSERT INTO enrolments(token, hub, expires_ms) VALUES(?1, ?2, ?3)")  \
    STATEMENT(ENROLMENT_TAKE,                                                                      \
              "DELETE FROM enrolments WHERE token = ?1 AND hub = ?2 AND expires_ms > ?3")          \
    STATEMENT(REVOCATION_PUT, "INSERT INTO revocations(hub, before_s) VALUES(?1, ?2) "             \
                              "ON CONFLICT(hub) DO UPDATE SET before_s = excluded.before_s")       \
    STATEMENT(REVOCATION_WALK, "SELECT hub, before_s FROM revocations")

/* What is too old. A record with a chain hash stays as a place where a group ends, without anything
 * in it. Kinds: 2 to 5 are those of a process, 6 keys, 7 answers; of the last two the objects go
 * first, so that only few are looked for, among the phones of the store (count: a server reads all
 * objects of a store for EXISTS). */
#define KEEP_PLACES "SELECT seq FROM records WHERE store = ?1 AND process = ?2 "
#define KEEP_OTHERS                                                                                \
    "SELECT r.seq FROM records r WHERE r.store = ?1 AND r.process IS NULL "                        \
    "AND r.kind IS NOT NULL AND r.seq <= ?2 AND (r.kind IN (6, 7) OR 0 = ("                        \
    "SELECT count(*) FROM objects o WHERE o.store = ?1 AND o.kind = r.kind AND o.seq = r.seq)) "
#define KEEP_DELETE "DELETE FROM records WHERE store = ?1 AND seq IN ("
#define KEEP_EMPTY                                                                                 \
    "UPDATE records SET kind = NULL, process = NULL, revision = NULL, bytes = ?4 "                 \
    "WHERE store = ?1 AND seq IN ("
#define DB_KEEP_STATEMENTS(STATEMENT)                                                              \
    STATEMENT(KEEP_NEXT, "SELECT p.store, p.number, p.finished_ms, p.id, s.hub_id, p.status "      \
                         "FROM processes p JOIN stores s ON s.id = p.store "                       \
                         "WHERE p.finished_ms > 0 AND p.finished_ms <= ?1 "                        \
                         "AND (p.finished_ms, p.id) > (?2, ?3) "                                   \
                         "AND NOT (p.status = 2 OR (p.status >= 4 AND p.status <= 7)) "            \
                         "ORDER BY p.finished_ms, p.id LIMIT 1")                                   \
    STATEMENT(KEEP_LAST, "SELECT max(seq) FROM records WHERE store = ?1 AND process = ?2")         \
    STATEMENT(KEEP_DELETE_OWN,                                                                     \
              KEEP_DELETE KEEP_PLACES "AND chain IS NULL ORDER BY revision LIMIT ?3)")             \
    STATEMENT(KEEP_EMPTY_OWN,                                                                      \
              KEEP_EMPTY KEEP_PLACES "AND chain IS NOT NULL ORDER BY revision LIMIT ?3)")          \
    STATEMENT(KEEP_DELETE_OTHERS,                                                                  \
              KEEP_DELETE KEEP_OTHERS "AND r.chain IS NULL ORDER BY r.seq LIMIT ?3)")              \
    STATEMENT(KEEP_EMPTY_OTHERS,                                                                   \
              KEEP_EMPTY KEEP_OTHERS "AND r.chain IS NOT NULL ORDER BY r.seq LIMIT ?3)")           \
    STATEMENT(KEEP_OBJECTS, "DELETE FROM objects WHERE store = ?1 AND kind IN (2, 3, 4, 5) "       \
                            "AND a = ?2")                                                          \
    STATEMENT(KEEP_ANSWERS, "DELETE FROM objects WHERE store = ?1 AND kind IN (6, 7) "             \
                            "AND seq <= ?2")                                                       \
    STATEMENT(KEEP_PROCESS, "DELETE FROM processes WHERE store = ?1 AND number = ?2")              \
    STATEMENT(KEEP_PART, "DELETE FROM fleet_parts WHERE store = ?1 AND local = ?2")                \
    STATEMENT(KEEP_ITEMS, "DELETE FROM fleet_items WHERE process = ?1")                            \
    STATEMENT(KEEP_KEY, "UPDATE fleet_processes SET evicted_ms = ?2, evicted_status = ?3, "        \
                        "callback = 0 WHERE id = ?1")                                              \
    STATEMENT(KEEP_FORGET, "DELETE FROM fleet_processes WHERE id IN "                              \
                           "(SELECT id FROM fleet_processes WHERE evicted_ms > 0 "                 \
                           "AND (evicted_ms <= ?1 OR key IS NULL) LIMIT ?2)")                      \
    STATEMENT(KEEP_COMMANDS, "DELETE FROM fleet_commands WHERE epoch < ?1")

/* A new group of tables brings its own list. */
#define DB_ALL_STATEMENTS(STATEMENT)                                                               \
    DB_STORE_STATEMENTS(STATEMENT)                                                                 \
    DB_RECORD_STATEMENTS(STATEMENT)                                                                \
    DB_PROCESS_STATEMENTS(STATEMENT)                                                               \
    DB_FORK_STATEMENTS(STATEMENT)                                                                  \
    DB_FLEET_STATEMENTS(STATEMENT)                                                                 \
    DB_TRUST_STATEMENTS(STATEMENT)                                                                 \
    DB_KEEP_STATEMENTS(STATEMENT)

enum db_statement {
#define STATEMENT(name, text) DB_##name,
    DB_ALL_STATEMENTS(STATEMENT)
#undef STATEMENT
        DB_STATEMENT_COUNT
};
_Static_assert((int)DB_STATEMENT_COUNT <= (int)SQL_STATEMENTS_MAX, "room for every statement");

static inline struct sql_statement *db_statement(struct db *db, enum db_statement which) {
    return sql_begin_statement(&db->sql, which);
}

/* db_batch.c. Sends what is held; nothing is lost by it, only time. Before a statement of one's own
 * that reads records, objects, processes or leases, or changes them. */
must_check enum status db_flush(struct db *db);
void db_batch_clear(struct db *db);
/* Whether an image is held that is not written yet; without `bytes`, its record has been. */
bool db_batch_object(struct db *db, int64_t store, enum record_kind kind, const uint64_t path[3],
                     struct bytes *bytes);

/* db.c: the one number that a bound statement gives. NOT_FOUND: no row; NULL is 0. */
must_check enum status db_read_number(struct sql_statement *statement, uint64_t *number);

/* Begins a walk with a statement that is bound. */
void db_walk_begin(struct db *db, struct sql_statement *statement);
/* To the next row of the walk; it ends with anything but OK. */
must_check enum status db_walk_next(struct db *db);

/* db_schema.c: brings the tables to this program's format. FOREIGN: they are of a newer one, or not
 * ours; untouched. */
must_check enum status db_set_up(struct db *db);

#endif
