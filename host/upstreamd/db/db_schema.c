/* The tables of upstream's database, as steps from one format to the next. A step that was released
 * is never changed; a database of any earlier format is brought to this one in one transaction. */
#include "host/upstreamd/db/db_statements.h"

#include <stdio.h>

static const char step_1[] =
    "CREATE TABLE stores(id @SERIAL, hub_id @TEXT NOT NULL, store_id @BYTES NOT NULL, "
    "  epoch @NUMBER NOT NULL, cursor @NUMBER NOT NULL, chain @BYTES NOT NULL, "
    "  UNIQUE(hub_id, store_id, epoch));"
    "CREATE TABLE hubs(hub_id @TEXT PRIMARY KEY, store @NUMBER NOT NULL, "
    "  boot @NUMBER NOT NULL, capacity @NUMBER NOT NULL, phones @NUMBER NOT NULL, "
    "  command @NUMBER NOT NULL, first_seen_ms @NUMBER NOT NULL, last_seen_ms @NUMBER NOT NULL, "
    "  record_ms @NUMBER NOT NULL, forks @NUMBER NOT NULL) @NO_ROWID;"
    "CREATE TABLE boots(store @NUMBER NOT NULL, boot @NUMBER NOT NULL, offset_ms @NUMBER NOT NULL, "
    "  PRIMARY KEY(store, boot)) @NO_ROWID;"
    "CREATE TABLE records(store @NUMBER NOT NULL, seq @NUMBER NOT NULL, kind @NUMBER, "
    "  process @NUMBER, revision @NUMBER, chain @BYTES, bytes @BYTES NOT NULL, UNIQUE(store, seq));"
    "CREATE INDEX records_of_process ON records(store, process, revision) "
    "  WHERE process IS NOT NULL;"
    "CREATE TABLE objects(store @NUMBER NOT NULL, kind @NUMBER NOT NULL, a @NUMBER NOT NULL, "
    "  b @NUMBER NOT NULL, c @NUMBER NOT NULL, seq @NUMBER NOT NULL, revision @NUMBER NOT NULL, "
    "  PRIMARY KEY(store, kind, a, b, c)) @NO_ROWID;"
    "CREATE TABLE leases(store @NUMBER NOT NULL, phone @NUMBER NOT NULL, process @NUMBER NOT NULL, "
    "  item @NUMBER NOT NULL, PRIMARY KEY(store, phone)) @NO_ROWID;"
    "CREATE INDEX leases_of_item ON leases(store, process, item);"
    "CREATE TABLE processes(id @SERIAL, store @NUMBER NOT NULL, "
    "  number @NUMBER NOT NULL, revision @NUMBER NOT NULL, status @NUMBER NOT NULL, "
    "  review @NUMBER NOT NULL DEFAULT 0, attempts @NUMBER NOT NULL DEFAULT 0, "
    "  created_ms @NUMBER NOT NULL DEFAULT 0, updated_ms @NUMBER NOT NULL, "
    "  finished_ms @NUMBER NOT NULL DEFAULT 0, type @TEXT NOT NULL DEFAULT '', "
    "  request_id @TEXT NOT NULL DEFAULT '', phone @TEXT NOT NULL DEFAULT '', "
    "  UNIQUE(store, number));";

/* Format 2 knows of gaps: what hubs have given up. Of each kind of record, how many. */
static const char step_2[] =
    "CREATE TABLE gaps(store @NUMBER NOT NULL, first @NUMBER NOT NULL, last @NUMBER NOT NULL, "
    "  chain @BYTES NOT NULL, at_ms @NUMBER NOT NULL, d0 @NUMBER NOT NULL, d1 @NUMBER NOT NULL, "
    "  d2 @NUMBER NOT NULL, d3 @NUMBER NOT NULL, d4 @NUMBER NOT NULL, d5 @NUMBER NOT NULL, "
    "  d6 @NUMBER NOT NULL, d7 @NUMBER NOT NULL, PRIMARY KEY(store, last)) @NO_ROWID;"
    "ALTER TABLE hubs ADD COLUMN gaps @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE hubs ADD COLUMN given_up @NUMBER NOT NULL DEFAULT 0;";

/* Format 3 has work of upstream's own: processes that the fleet was given (db_fleet.h). */
static const char step_3_processes[] =
    "CREATE TABLE upstream(id @NUMBER PRIMARY KEY, epoch @NUMBER NOT NULL, store @NUMBER NOT NULL, "
    "  holding @NUMBER NOT NULL);"
    "CREATE TABLE fleet_processes(id @SERIAL, store @NUMBER NOT NULL, epoch @NUMBER NOT NULL, "
    "  revision @NUMBER NOT NULL, deadline_ms @NUMBER NOT NULL, key @BYTES UNIQUE, "
    "  body_digest @BYTES NOT NULL, callback @NUMBER NOT NULL, told @NUMBER NOT NULL DEFAULT 0, "
    "  told_status @NUMBER NOT NULL DEFAULT 0, failures @NUMBER NOT NULL DEFAULT 0, "
    "  tell_due_ms @NUMBER NOT NULL DEFAULT 0);"
    "CREATE INDEX fleet_untold ON fleet_processes(id) WHERE callback = 1;"
    "CREATE INDEX fleet_late ON fleet_processes(deadline_ms) WHERE deadline_ms > 0;"
    "CREATE TABLE fleet_items(process @NUMBER NOT NULL, item @NUMBER NOT NULL, "
    "  generation @NUMBER NOT NULL, phase @NUMBER NOT NULL, state @NUMBER NOT NULL, "
    "  suspension @NUMBER NOT NULL, superseded @NUMBER NOT NULL, priority @NUMBER NOT NULL, "
    "  due_ms @NUMBER NOT NULL, type @TEXT NOT NULL, phone @TEXT NOT NULL, account @TEXT NOT NULL, "
    "  labels @TEXT NOT NULL, gate @TEXT NOT NULL, gate_max @NUMBER NOT NULL, hub @TEXT NOT NULL, "
    "  assignment @NUMBER NOT NULL, ttl_ms @NUMBER NOT NULL, assigned_ms @NUMBER NOT NULL, "
    "  started @NUMBER NOT NULL, withdrawing @NUMBER NOT NULL, once @NUMBER NOT NULL, "
    "  forced @NUMBER NOT NULL, refusals @NUMBER NOT NULL, refused_hub @TEXT NOT NULL, "
    "  attempt @NUMBER NOT NULL, attempts_counted @NUMBER NOT NULL, "
    "  actions_done @NUMBER NOT NULL, actions_digest @NUMBER NOT NULL, "
    "  PRIMARY KEY(process, item)) @NO_ROWID;"
    "CREATE INDEX fleet_waiting ON fleet_items(phone, priority) WHERE phase = 1;"
    "CREATE INDEX fleet_assigned ON fleet_items(hub, process, item) WHERE phase = 2;"
    "CREATE INDEX fleet_on_phone ON fleet_items(phone) WHERE phase = 2 AND phone <> '';"
    "CREATE INDEX fleet_accounts ON fleet_items(account) WHERE phase = 2 AND account <> '';"
    "CREATE INDEX fleet_keys ON fleet_items(gate) WHERE phase = 2 AND gate <> '';";
static const char step_3_hubs[] =
    "CREATE TABLE fleet_gates(kind @TEXT NOT NULL, name @TEXT NOT NULL, "
    "  PRIMARY KEY(kind, name)) @NO_ROWID;"
    "CREATE TABLE fleet_parts(store @NUMBER NOT NULL, local @NUMBER NOT NULL, "
    "  process @NUMBER NOT NULL, item @NUMBER NOT NULL, PRIMARY KEY(store, local)) @NO_ROWID;"
    "ALTER TABLE processes ADD COLUMN part @NUMBER NOT NULL DEFAULT 0;"
    "CREATE TABLE fleet_phones(number @SERIAL, id @TEXT NOT NULL UNIQUE, hub @TEXT NOT NULL, "
    "  state @NUMBER NOT NULL, labels @TEXT NOT NULL);"
    "CREATE INDEX fleet_phones_of_hub ON fleet_phones(hub, state);"
    "CREATE TABLE fleet_hubs(hub @TEXT PRIMARY KEY, epoch @NUMBER NOT NULL, "
    "  command @NUMBER NOT NULL DEFAULT 0, answers @NUMBER NOT NULL DEFAULT 0, "
    "  boot @NUMBER NOT NULL DEFAULT 0, store @NUMBER NOT NULL DEFAULT 0, "
    "  granted_ms @NUMBER NOT NULL DEFAULT 0, renew_ms @NUMBER NOT NULL DEFAULT 0) @NO_ROWID;"
    "CREATE INDEX fleet_renewals ON fleet_hubs(renew_ms) WHERE renew_ms > 0;"
    "CREATE TABLE fleet_commands(epoch @NUMBER NOT NULL, hub @TEXT NOT NULL, "
    "  number @NUMBER NOT NULL, kind @NUMBER NOT NULL, process @NUMBER NOT NULL, "
    "  item @NUMBER NOT NULL, assignment @NUMBER NOT NULL, bytes @BYTES NOT NULL, "
    "  PRIMARY KEY(epoch, hub, number)) @NO_ROWID;";
/* It also keeps nothing about hubs in RAM: several programs share the tables. */
static const char step_3_shared[] =
    "ALTER TABLE hubs ADD COLUMN lag_ms @NUMBER NOT NULL DEFAULT 0;";

/* And it knows of lives of a store, which follow a fork; places of records: db_place(). */
static const char step_3_lives[] =
    "ALTER TABLE stores ADD COLUMN base_epoch @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE stores ADD COLUMN first_epoch @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE stores ADD COLUMN named @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE stores ADD COLUMN listing @NUMBER NOT NULL DEFAULT 0;"
    "UPDATE stores SET base_epoch = epoch, first_epoch = epoch;"
    "ALTER TABLE hubs ADD COLUMN swap1_ms @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE hubs ADD COLUMN swap2_ms @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE hubs ADD COLUMN quarantined_ms @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE processes ADD COLUMN sealed @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE processes ADD COLUMN lost @NUMBER NOT NULL DEFAULT 0;";

/* Format 4: who may become a hub, and who may be one no longer (db_trust.h). */
static const char step_4_trust[] =
    "CREATE TABLE enrolments(token @BYTES PRIMARY KEY, hub @TEXT NOT NULL, "
    "  expires_ms @NUMBER NOT NULL) @NO_ROWID;"
    "CREATE TABLE revocations(hub @TEXT PRIMARY KEY, before_s @NUMBER NOT NULL) @NO_ROWID;";

/* Format 5: what has ended long ago is deleted (db_keep.h). */
static const char step_5_keep[] =
    "CREATE INDEX processes_finished ON processes(finished_ms, id) WHERE finished_ms > 0;"
    "CREATE INDEX records_of_none ON records(store, seq) "
    "  WHERE process IS NULL AND kind IS NOT NULL;"
    "CREATE INDEX objects_of_none ON objects(store, seq) WHERE kind IN (6, 7);"
    "ALTER TABLE fleet_processes ADD COLUMN evicted_ms @NUMBER NOT NULL DEFAULT 0;"
    "ALTER TABLE fleet_processes ADD COLUMN evicted_status @NUMBER NOT NULL DEFAULT 0;"
    "CREATE INDEX fleet_evicted ON fleet_processes(evicted_ms) WHERE evicted_ms > 0;";

/* And it knows what a fork needs of the fleet: which hubs have told all they have in this epoch of
 * upstream's; commands that were answered; items and parts by what was lost. */
static const char step_5_forks[] =
    "ALTER TABLE hubs ADD COLUMN settled_epoch @NUMBER NOT NULL DEFAULT 0;"
    "UPDATE hubs SET settled_epoch = coalesce((SELECT epoch FROM upstream WHERE id = 1), 0);"
    "ALTER TABLE fleet_commands ADD COLUMN answered @NUMBER NOT NULL DEFAULT 0;"
    "CREATE INDEX fleet_parts_of_item ON fleet_parts(store, process, item);"
    "CREATE INDEX fleet_lost ON fleet_items(process, item) WHERE phase = 2 AND withdrawing = 2;";

/* In the order of the formats: the first makes format 1. A step may be several texts of one number
 * (each of less than SQL_TEXT_MAX in every driver's words). */
static const struct step {
    int64_t format;
    const char *text;
} steps[] = {
    {1, step_1},       {2, step_2},        {3, step_3_processes},
    {3, step_3_hubs},  {3, step_3_shared}, {3, step_3_lives},
    {4, step_4_trust}, {5, step_5_keep},   {5, step_5_forks},
};

static int64_t newest_format(void) {
    return steps[array_count(steps) - 1].format;
}

/* SQLite has a place for the format in the file's head; a server gets a table. */
static enum status read_format(struct sql *sql, int64_t *format, int64_t *tables) {
    if (!sql->driver->is_server) {
        enum status status = sql_read(sql, "PRAGMA user_version", format);
        return status == STATUS_OK ? sql_read(sql, "SELECT count(*) FROM sqlite_master", tables)
                                   : status;
    }
    int64_t is_there = 0;
    *format = 0;
    *tables = 0;
    enum status status = sql_read(sql, "SELECT count(to_regclass('upstreamd_format'))", &is_there);
    if (status == STATUS_OK && is_there != 0) {
        status = sql_read(sql, "SELECT format FROM upstreamd_format", format);
    } else if (status == STATUS_OK) {
        status = sql_read(sql,
                          "SELECT count(to_regclass('stores')) + "
                          "count(to_regclass('records'))",
                          tables);
    }
    return status;
}

static enum status write_format(struct sql *sql, int64_t format) {
    char text[160];
    snprintf(text, sizeof text,
             sql->driver->is_server ? "CREATE TABLE IF NOT EXISTS upstreamd_format(format BIGINT);"
                                      "DELETE FROM upstreamd_format;"
                                      "INSERT INTO upstreamd_format VALUES(%lld)"
                                    : "PRAGMA user_version = %lld",
             (long long)format);
    return sql_run(sql, text);
}

static enum status upgrade(struct sql *sql, int64_t format) {
    enum status status = STATUS_OK;
    for (size_t i = 0; i < array_count(steps) && status == STATUS_OK; i++) {
        if (steps[i].format > format) {
            status = sql_run(sql, steps[i].text);
        }
    }
    return status == STATUS_OK ? write_format(sql, newest_format()) : status;
}

enum status db_set_up(struct db *db) {
    struct sql *sql = &db->sql;
    int64_t format = 0;
    int64_t tables = 0;
    enum status status = read_format(sql, &format, &tables);
    if (status != STATUS_OK || format == newest_format()) {
        return status;
    }
    status = sql_begin(sql, true);
    if (status == STATUS_OK) {
        status = read_format(sql, &format, &tables); /* somebody else may have been faster */
    }
    if (status == STATUS_OK && (format > newest_format() || (format == 0 && tables != 0))) {
        status = STATUS_FOREIGN;
    }
    if (status == STATUS_OK) {
        status = upgrade(sql, format);
    }
    status = status == STATUS_OK ? sql_commit(sql, NULL) : status;
    sql_rollback(sql);
    return status;
}
