/* db_fleet_statements.h - the statements of upstream's own work, as db_statements.h. */
#ifndef HOST_UPSTREAMD_DB_FLEET_STATEMENTS_H
#define HOST_UPSTREAMD_DB_FLEET_STATEMENTS_H

#define FLEET_COLUMNS                                                                              \
    "SELECT id, store, epoch, revision, deadline_ms, key, body_digest, callback, told, "           \
    "told_status, failures, tell_due_ms, evicted_status FROM fleet_processes "
#define ITEM_COLUMNS                                                                               \
    "process, item, generation, phase, state, suspension, superseded, priority, due_ms, type, "    \
    "phone, account, labels, gate, gate_max, hub, assignment, ttl_ms, assigned_ms, started, "      \
    "withdrawing, once, forced, refusals, refused_hub, attempt, attempts_counted, actions_done, "  \
    "actions_digest"
#define ITEM_SELECT "SELECT " ITEM_COLUMNS " FROM fleet_items "
/* The order in which items of one priority get their turn. */
#define ITEM_ORDER "ORDER BY priority DESC, process, item "
#define LEDGER_SELECT                                                                              \
    "SELECT hub, epoch, command, answers, boot, store, granted_ms, renew_ms FROM fleet_hubs "
#define PHONE_SELECT "SELECT number, id, hub, state, labels FROM fleet_phones "

#define DB_FLEET_STATEMENTS(STATEMENT)                                                             \
    STATEMENT(UPSTREAM_GET, "SELECT epoch, store, holding FROM upstream WHERE id = 1")             \
    STATEMENT(UPSTREAM_PUT,                                                                        \
              "INSERT INTO upstream(id, epoch, store, holding) VALUES(1, ?1, ?2, ?3) "             \
              "ON CONFLICT(id) DO UPDATE SET epoch = excluded.epoch, "                             \
              "store = excluded.store, holding = excluded.holding")                                \
    STATEMENT(FLEET_ADD, "INSERT INTO fleet_processes(store, epoch, revision, deadline_ms, key, "  \
                         "body_digest, callback) VALUES(?1, ?2, 0, ?3, ?4, ?5, ?6) "               \
                         "ON CONFLICT(key) DO NOTHING RETURNING id")                               \
    STATEMENT(FLEET_GET, FLEET_COLUMNS "WHERE id = ?1 AND epoch = ?2")                             \
    STATEMENT(FLEET_LOCK, FLEET_COLUMNS "WHERE id = ?1 AND epoch = ?2 @LOCK")                      \
    STATEMENT(TOUCHED_PARTS, "SELECT DISTINCT p.process FROM fleet_parts p JOIN stores s "         \
                             "ON s.id = p.store "                                                  \
                             "WHERE (s.hub_id, s.store_id, p.local) IN (@ROWS(tbn))")              \
    STATEMENT(TOUCHED_BY_ANSWERS, "SELECT DISTINCT process FROM fleet_commands "                   \
                                  "WHERE (hub, epoch, number) IN (@ROWS(tnn)) AND process > 0")    \
    STATEMENT(FLEET_LOCK_ALL, "SELECT id FROM fleet_processes WHERE id IN (@ROWS(n)) "             \
                              "ORDER BY id @LOCK")                                                 \
    STATEMENT(FLEET_KEY, FLEET_COLUMNS "WHERE key = ?1")                                           \
    STATEMENT(FLEET_PUT, "UPDATE fleet_processes SET revision = ?2, deadline_ms = ?3 "             \
                         "WHERE id = ?1")                                                          \
    STATEMENT(FLEET_TOLD, "UPDATE fleet_processes SET callback = ?2, told = ?3, "                  \
                          "told_status = ?4, failures = ?5, tell_due_ms = ?6 WHERE id = ?1")       \
    STATEMENT(FLEET_UNTOLD, FLEET_COLUMNS "WHERE callback = 1 AND told < revision AND id > ?1 "    \
                                          "AND tell_due_ms <= ?2 ORDER BY id LIMIT 1")             \
    STATEMENT(FLEET_LATE, FLEET_COLUMNS                                                            \
              "WHERE deadline_ms > 0 AND deadline_ms <= ?2 AND id > ?1 ORDER BY id LIMIT 1")       \
    STATEMENT(ITEM_ADD,                                                                            \
              "INSERT INTO fleet_items(" ITEM_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "  \
              "?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, "    \
              "?25, ?26, ?27, ?28, ?29)")                                                          \
    STATEMENT(ITEM_PUT,                                                                            \
              "UPDATE fleet_items SET generation = ?3, phase = ?4, state = ?5, suspension = ?6, "  \
              "superseded = ?7, priority = ?8, due_ms = ?9, type = ?10, phone = ?11, "             \
              "account = ?12, labels = ?13, gate = ?14, gate_max = ?15, hub = ?16, "               \
              "assignment = ?17, ttl_ms = ?18, assigned_ms = ?19, started = ?20, "                 \
              "withdrawing = ?21, once = ?22, forced = ?23, refusals = ?24, refused_hub = ?25, "   \
              "attempt = ?26, attempts_counted = ?27, actions_done = ?28, actions_digest = ?29 "   \
              "WHERE process = ?1 AND item = ?2")                                                  \
    STATEMENT(ITEM_GET, ITEM_SELECT "WHERE process = ?1 AND item = ?2 @LOCK")                      \
    STATEMENT(ITEM_LOOK, ITEM_SELECT "WHERE process = ?1 AND item = ?2")                           \
    STATEMENT(ITEM_NEXT,                                                                           \
              ITEM_SELECT "WHERE process = ?1 AND item > ?2 ORDER BY item LIMIT 1 @LOCK")          \
    STATEMENT(ITEM_COUNT, "SELECT state, suspension, count(*) FROM fleet_items "                   \
                          "WHERE process = ?1 AND superseded = 0 GROUP BY state, suspension")      \
    STATEMENT(ITEM_FOR_PHONES,                                                                     \
              ITEM_SELECT "WHERE phase = 1 AND phone IN "                                          \
                          "(SELECT id FROM fleet_phones WHERE hub = ?1 AND state > 0) "            \
                          "AND due_ms <= ?2 AND (refused_hub <> ?1 OR due_ms + 5000 <= ?2) "       \
                          "AND (SELECT count(*) FROM fleet_items b WHERE b.phase = 2 AND b.phone " \
                          "= fleet_items.phone) < 4 " ITEM_ORDER "LIMIT ?3 @SKIP_LOCKED")          \
    STATEMENT(ITEM_FOR_ANY,                                                                        \
              ITEM_SELECT "WHERE phase = 1 AND phone = '' AND due_ms <= ?2 "                       \
                          "AND (refused_hub <> ?1 OR due_ms + 5000 <= ?2) " ITEM_ORDER             \
                          "LIMIT ?3 @SKIP_LOCKED")                                                 \
    STATEMENT(ITEM_MOVABLE, ITEM_SELECT                                                            \
              "WHERE phase = 2 AND hub <> ?1 AND state = 1 AND withdrawing = 0 "                   \
              "AND assigned_ms <= ?2 AND ((phone = '' AND started = 0) OR phone IN "               \
              "(SELECT id FROM fleet_phones WHERE hub = ?1 AND state > 0)) " ITEM_ORDER            \
              "LIMIT ?3 @SKIP_LOCKED")                                                             \
    STATEMENT(ITEM_OF_HUB, ITEM_SELECT "WHERE phase = 2 AND hub = ?1 "                             \
                                       "AND (process, item) > (?2, ?3) "                           \
                                       "ORDER BY process, item LIMIT 1")                           \
    STATEMENT(ITEM_LOST, ITEM_SELECT "WHERE phase = 2 AND withdrawing = 2 "                        \
                                     "AND (process, item) > (?1, ?2) "                             \
                                     "ORDER BY process, item LIMIT 1")                             \
    STATEMENT(ITEM_GATE, "SELECT count(*) FROM fleet_items WHERE phase = 2 AND gate = ?1")         \
    STATEMENT(ITEM_ACCOUNT, "SELECT count(*) FROM fleet_items WHERE phase = 2 AND account = ?1")   \
    STATEMENT(GATE_MAKE, "INSERT INTO fleet_gates(kind, name) VALUES(?1, ?2) "                     \
                         "ON CONFLICT(kind, name) DO NOTHING")                                     \
    STATEMENT(GATE_LOCK, "SELECT name FROM fleet_gates WHERE kind = ?1 AND name = ?2 @LOCK")       \
    STATEMENT(ITEM_COUNT_ANY, "SELECT count(*) FROM fleet_items "                                  \
                              "WHERE phase = 1 AND phone = '' AND due_ms <= ?1")                   \
    STATEMENT(ITEM_NEXT_HUB, "SELECT p.hub FROM fleet_items i JOIN fleet_phones p "                \
                             "ON p.id = i.phone WHERE i.phase = 1 AND i.phone <> '' "              \
                             "AND i.due_ms <= ?1 AND p.state > 0 AND p.hub > ?2 "                  \
                             "ORDER BY p.hub LIMIT 1")                                             \
    STATEMENT(ITEM_NEXT_DUE, "SELECT due_ms FROM fleet_items WHERE phase = 1 AND due_ms > ?1 "     \
                             "ORDER BY due_ms LIMIT 1")                                            \
    STATEMENT(ITEM_SCHEDULED, ITEM_SELECT "WHERE phase = 1 AND state = 0 AND due_ms <= ?3 "        \
                                          "AND (process, item) > (?1, ?2) "                        \
                                          "ORDER BY process, item LIMIT 1")                        \
    STATEMENT(ITEM_HUB_NEXT, "SELECT hub FROM fleet_items WHERE process = ?1 AND phase = 2 "       \
                             "AND hub > ?2 ORDER BY hub LIMIT 1")                                  \
    STATEMENT(PART_PUT, "INSERT INTO fleet_parts(store, local, process, item) "                    \
                        "VALUES(?1, ?2, ?3, ?4) ON CONFLICT(store, local) DO NOTHING")             \
    STATEMENT(PART_LOCAL, "SELECT f.local FROM fleet_parts f JOIN processes p "                    \
                          "ON p.store = f.store AND p.number = f.local WHERE f.store = ?1 "        \
                          "AND f.process = ?2 AND f.item = ?3 AND p.lost = 0 "                     \
                          "ORDER BY f.local DESC LIMIT 1")                                         \
    STATEMENT(PART_NEXT, "SELECT f.local, f.process, f.item FROM fleet_parts f JOIN processes p "  \
                         "ON p.store = f.store AND p.number = f.local WHERE f.store = ?1 "         \
                         "AND f.local > ?2 AND p.lost = 0 "                                        \
                         "AND (p.status = 2 OR (p.status >= 4 AND p.status <= 7)) "                \
                         "ORDER BY f.local LIMIT 1")                                               \
    STATEMENT(PART_GET, "SELECT process, item FROM fleet_parts WHERE store = ?1 AND local = ?2")   \
    STATEMENT(FLEET_PHONE_PUT,                                                                     \
              "INSERT INTO fleet_phones(id, hub, state, labels) VALUES(?1, ?2, ?3, ?4) "           \
              "ON CONFLICT(id) DO UPDATE SET hub = excluded.hub, state = excluded.state, "         \
              "labels = excluded.labels "                                                          \
              "WHERE excluded.state > 0 OR fleet_phones.hub = excluded.hub")                       \
    STATEMENT(FLEET_PHONE_GET, PHONE_SELECT "WHERE number = ?1")                                   \
    STATEMENT(FLEET_PHONE_FIND, PHONE_SELECT "WHERE id = ?1")                                      \
    STATEMENT(FLEET_PHONE_READY, PHONE_SELECT "WHERE hub = ?1 AND state = 5 AND number > ?2 "      \
                                              "ORDER BY number LIMIT 1")                           \
    STATEMENT(LEDGER_MAKE, "INSERT INTO fleet_hubs(hub, epoch) VALUES(?1, 0) "                     \
                           "ON CONFLICT(hub) DO NOTHING")                                          \
    STATEMENT(LEDGER_GET, LEDGER_SELECT "WHERE hub = ?1")                                          \
    STATEMENT(LEDGER_LOCK, LEDGER_SELECT "WHERE hub = ?1 @LOCK")                                   \
    STATEMENT(LEDGER_PUT, "UPDATE fleet_hubs SET epoch = ?2, command = ?3, answers = ?4, "         \
                          "boot = ?5, store = ?6, granted_ms = ?7, renew_ms = ?8 WHERE hub = ?1")  \
    STATEMENT(LEDGER_NEXT,                                                                         \
              LEDGER_SELECT "WHERE hub > ?1 AND EXISTS(SELECT 1 FROM fleet_items i "               \
                            "WHERE i.phase = 2 AND i.hub = fleet_hubs.hub) ORDER BY hub LIMIT 1")  \
    STATEMENT(LEDGER_NEXT_DUE, LEDGER_SELECT "WHERE renew_ms > 0 AND renew_ms <= ?2 AND hub > ?1 " \
                                             "ORDER BY hub LIMIT 1")                               \
    STATEMENT(LEDGER_MIN_DUE, "SELECT renew_ms FROM fleet_hubs WHERE renew_ms > ?1 "               \
                              "ORDER BY renew_ms LIMIT 1")                                         \
    STATEMENT(HUBS_READY, "SELECT hub, count(*) FROM fleet_phones WHERE state = 5 GROUP BY hub "   \
                          "ORDER BY count(*) DESC, hub LIMIT ?1")                                  \
    STATEMENT(ITEM_ANY_MOVABLE,                                                                    \
              "SELECT count(*) FROM fleet_items WHERE phase = 2 AND state = 1 "                    \
              "AND withdrawing = 0 AND assigned_ms <= ?1 AND (started = 0 OR "                     \
              "EXISTS(SELECT 1 FROM fleet_phones p WHERE p.id = "                                  \
              "fleet_items.phone AND p.hub <> fleet_items.hub AND p.state > 0))")                  \
    STATEMENT(COMMAND_ADD, "INSERT INTO fleet_commands(epoch, hub, number, kind, process, item, "  \
                           "assignment, bytes) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")            \
    STATEMENT(COMMAND_NEXT, "SELECT number, kind, process, item, assignment, bytes "               \
                            "FROM fleet_commands WHERE epoch = ?1 AND hub = ?2 AND number > ?3 "   \
                            "ORDER BY number LIMIT 1")                                             \
    STATEMENT(COMMAND_GET, "SELECT kind, process, item, assignment FROM fleet_commands "           \
                           "WHERE epoch = ?1 AND hub = ?2 AND number = ?3")                        \
    STATEMENT(COMMAND_DELETE, "DELETE FROM fleet_commands "                                        \
                              "WHERE epoch = ?1 AND hub = ?2 AND number = ?3")                     \
    STATEMENT(COMMAND_KEEP, "UPDATE fleet_commands SET answered = 1 "                              \
                            "WHERE epoch = ?1 AND hub = ?2 AND number = ?3")                       \
    STATEMENT(COMMAND_DROP, "DELETE FROM fleet_commands WHERE epoch = ?1 AND hub = ?2 "            \
                            "AND (kind = 1 OR (process = 0 AND ?3 = 1))")                          \
    STATEMENT(COMMAND_COUNT, "SELECT count(*) FROM fleet_commands "                                \
                             "WHERE epoch = ?1 AND hub = ?2 AND number > ?3 AND kind = ?4")        \
    STATEMENT(COMMAND_REPEATS, "SELECT count(*) FROM fleet_commands "                              \
                               "WHERE epoch = ?1 AND hub = ?2 AND number > ?3 AND kind = ?4 "      \
                               "AND process = ?5 AND item = ?6 AND assignment = ?7")               \
    STATEMENT(COMMAND_NEXT_HUB, "SELECT hub, max(number) FROM fleet_commands "                     \
                                "WHERE epoch = ?1 AND hub > ?2 AND answered = 0 GROUP BY hub "     \
                                "ORDER BY hub LIMIT 1")

#endif
