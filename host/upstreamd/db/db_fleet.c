#include "host/upstreamd/db/db_fleet.h"

#include "host/upstreamd/db/db_statements.h"

#include <string.h>

static uint64_t id_of(uint64_t number) {
    return number & (DB_NUMBERS - 1);
}

/* ---- upstream itself ---- */

enum status db_upstream_get(struct db *db, struct db_upstream *upstream) {
    struct sql_statement *statement = db_statement(db, DB_UPSTREAM_GET);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        upstream->epoch = (uint32_t)sql_number(statement, 0);
        upstream->store = (int64_t)sql_number(statement, 1);
        upstream->is_holding = sql_number(statement, 2) != 0;
        sql_finish(statement);
    }
    return status;
}

enum status db_upstream_put(struct db *db, struct db_upstream *upstream) {
    struct db_store store = {.hub_id = DB_UPSTREAM, .epoch = upstream->epoch};
    enum status status = db_store_find(db, &store);
    if (status == STATUS_NOT_FOUND) {
        status = db_store_add(db, &store);
    }
    if (status == STATUS_OK) {
        upstream->store = store.id;
        struct sql_statement *statement = db_statement(db, DB_UPSTREAM_PUT);
        sql_bind_number(statement, 1, upstream->epoch);
        sql_bind_number(statement, 2, (uint64_t)upstream->store);
        sql_bind_number(statement, 3, upstream->is_holding);
        status = sql_post(statement);
    }
    return status;
}

/* ---- processes ---- */

static enum status read_process(struct sql_statement *statement, struct db_fleet_process *process) {
    enum status status = sql_query(statement);
    struct bytes key;
    if (status != STATUS_OK) {
        return status;
    }
    *process = (struct db_fleet_process){
        .store = (int64_t)sql_number(statement, 1),
        .epoch = (uint32_t)sql_number(statement, 2),
        .revision = sql_number(statement, 3),
        .deadline_ms = sql_number(statement, 4),
        .has_key = sql_bytes(statement, 5, &key),
        .has_callback = sql_number(statement, 7) != 0,
        .told = sql_number(statement, 8),
        .told_status = (uint8_t)(sql_number(statement, 9) & 0x0f),
        .failures = (uint32_t)sql_number(statement, 10),
        .tell_due_ms = sql_number(statement, 11),
        .evicted_status = (uint8_t)(sql_number(statement, 12) & 0x0f),
    };
    process->number = db_fleet_number(process->epoch, sql_number(statement, 0));
    sql_fixed(statement, 5, process->key, sizeof process->key);
    sql_fixed(statement, 6, process->body_digest, sizeof process->body_digest);
    sql_finish(statement);
    return STATUS_OK;
}

enum status db_fleet_add(struct db *db, struct db_fleet_process *process) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_ADD);
    uint64_t id = 0;
    sql_bind_number(statement, 1, (uint64_t)process->store);
    sql_bind_number(statement, 2, process->epoch);
    sql_bind_number(statement, 3, process->deadline_ms);
    if (process->has_key) {
        sql_bind_bytes(statement, 4, process->key, sizeof process->key);
    } else {
        sql_bind_null(statement, 4);
    }
    sql_bind_bytes(statement, 5, process->body_digest, sizeof process->body_digest);
    sql_bind_number(statement, 6, process->has_callback);
    enum status status = db_read_number(statement, &id);
    process->number = db_fleet_number(process->epoch, id);
    return status == STATUS_NOT_FOUND ? STATUS_AGAIN : status;
}

enum status db_fleet_get(struct db *db, uint64_t number, bool lock,
                         struct db_fleet_process *process) {
    struct sql_statement *statement = db_statement(db, lock ? DB_FLEET_LOCK : DB_FLEET_GET);
    sql_bind_number(statement, 1, id_of(number));
    sql_bind_number(statement, 2, db_fleet_epoch(number));
    return read_process(statement, process);
}

enum status db_fleet_find_key(struct db *db, const uint8_t key[RECORD_DIGEST_BYTES],
                              struct db_fleet_process *process) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_KEY);
    sql_bind_bytes(statement, 1, key, RECORD_DIGEST_BYTES);
    return read_process(statement, process);
}

enum status db_fleet_put(struct db *db, const struct db_fleet_process *process) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_PUT);
    sql_bind_number(statement, 1, id_of(process->number));
    sql_bind_number(statement, 2, process->revision);
    sql_bind_number(statement, 3, process->deadline_ms);
    return sql_post(statement);
}

enum status db_fleet_set_told(struct db *db, const struct db_fleet_process *process) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_TOLD);
    sql_bind_number(statement, 1, id_of(process->number));
    sql_bind_number(statement, 2, process->has_callback);
    sql_bind_number(statement, 3, process->told);
    sql_bind_number(statement, 4, process->told_status);
    sql_bind_number(statement, 5, process->failures);
    sql_bind_number(statement, 6, process->tell_due_ms);
    return sql_post(statement);
}

enum status db_fleet_next_untold(struct db *db, uint64_t behind, uint64_t now_ms,
                                 struct db_fleet_process *process) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_UNTOLD);
    sql_bind_number(statement, 1, id_of(behind));
    sql_bind_number(statement, 2, now_ms);
    return read_process(statement, process);
}

enum status db_fleet_next_late(struct db *db, uint64_t behind, uint64_t now_ms, uint64_t *number) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_LATE);
    struct db_fleet_process process;
    sql_bind_number(statement, 1, id_of(behind));
    sql_bind_number(statement, 2, now_ms);
    enum status status = read_process(statement, &process);
    *number = status == STATUS_OK ? process.number : 0;
    return status;
}

/* ---- parts ---- */

enum status db_part_put(struct db *db, const struct db_part *part) {
    struct sql_statement *statement = db_statement(db, DB_PART_PUT);
    sql_bind_number(statement, 1, (uint64_t)part->store);
    sql_bind_number(statement, 2, part->local);
    sql_bind_number(statement, 3, part->process);
    sql_bind_number(statement, 4, part->item);
    enum status status = sql_post(statement);
    return status == STATUS_OK ? db_process_set_part(db, part->store, part->local) : status;
}

enum status db_part_get(struct db *db, struct db_part *part) {
    bool is_part = false;
    enum status status = db_process_is_part(db, part->store, part->local, &is_part);
    if (status != STATUS_OK || !is_part) {
        return status == STATUS_OK ? STATUS_NOT_FOUND : status;
    }
    struct sql_statement *statement = db_statement(db, DB_PART_GET);
    sql_bind_number(statement, 1, (uint64_t)part->store);
    sql_bind_number(statement, 2, part->local);
    status = sql_query(statement);
    if (status == STATUS_OK) {
        part->process = sql_number(statement, 0);
        part->item = (uint32_t)sql_number(statement, 1);
        sql_finish(statement);
    }
    return status;
}

enum status db_part_find(struct db *db, struct db_part *part) {
    struct sql_statement *statement = db_statement(db, DB_PART_LOCAL);
    sql_bind_number(statement, 1, (uint64_t)part->store);
    sql_bind_number(statement, 2, part->process);
    sql_bind_number(statement, 3, part->item);
    enum status status = db_flush(db);
    return status == STATUS_OK ? db_read_number(statement, &part->local) : status;
}

enum status db_part_next(struct db *db, struct db_part *part) {
    struct sql_statement *statement = db_statement(db, DB_PART_NEXT);
    sql_bind_number(statement, 1, (uint64_t)part->store);
    sql_bind_number(statement, 2, part->local);
    enum status status = db_flush(db);
    status = status == STATUS_OK ? sql_query(statement) : status;
    if (status == STATUS_OK) {
        part->local = sql_number(statement, 0);
        part->process = sql_number(statement, 1);
        part->item = (uint32_t)sql_number(statement, 2);
        sql_finish(statement);
    }
    return status;
}

/* ---- phones ---- */

static enum status read_phone(struct sql_statement *statement, struct db_fleet_phone *phone) {
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        phone->number = sql_number(statement, 0);
        sql_text(statement, 1, phone->id, sizeof phone->id);
        sql_text(statement, 2, phone->hub, sizeof phone->hub);
        phone->state = (uint8_t)(sql_number(statement, 3) & 0x0f);
        sql_text(statement, 4, phone->labels, sizeof phone->labels);
        sql_finish(statement);
    }
    return status;
}

enum status db_fleet_phone_put(struct db *db, const struct db_fleet_phone *phone) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_PHONE_PUT);
    sql_bind_text(statement, 1, phone->id);
    sql_bind_text(statement, 2, phone->hub);
    sql_bind_number(statement, 3, phone->state);
    sql_bind_text(statement, 4, phone->labels);
    return sql_post(statement);
}

enum status db_fleet_phone_get(struct db *db, uint64_t number, struct db_fleet_phone *phone) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_PHONE_GET);
    sql_bind_number(statement, 1, number);
    return read_phone(statement, phone);
}

enum status db_fleet_phone_find(struct db *db, const char *id, struct db_fleet_phone *phone) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_PHONE_FIND);
    sql_bind_text(statement, 1, id);
    return read_phone(statement, phone);
}

enum status db_fleet_phone_ready(struct db *db, const char *hub, uint64_t behind,
                                 struct db_fleet_phone *phone) {
    struct sql_statement *statement = db_statement(db, DB_FLEET_PHONE_READY);
    sql_bind_text(statement, 1, hub);
    sql_bind_number(statement, 2, behind);
    return read_phone(statement, phone);
}

/* ---- commands and grants ---- */

static enum status read_ledger(struct sql_statement *statement, struct db_ledger *ledger) {
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        sql_text(statement, 0, ledger->hub, sizeof ledger->hub);
        ledger->epoch = (uint32_t)sql_number(statement, 1);
        ledger->command = sql_number(statement, 2);
        ledger->answers = sql_number(statement, 3);
        ledger->boot = (uint32_t)sql_number(statement, 4);
        ledger->store = (int64_t)sql_number(statement, 5);
        ledger->granted_ms = sql_number(statement, 6);
        ledger->renew_ms = sql_number(statement, 7);
        sql_finish(statement);
    }
    return status;
}

/* A new epoch of upstream begins the numbers anew. */
static void move_ledger(struct db_ledger *ledger, uint32_t epoch) {
    if (ledger->epoch != epoch) {
        ledger->epoch = epoch;
        ledger->command = 0;
    }
}

enum status db_ledger_get(struct db *db, struct db_ledger *ledger) {
    uint32_t epoch = ledger->epoch;
    struct sql_statement *statement = db_statement(db, DB_LEDGER_GET);
    sql_bind_text(statement, 1, ledger->hub);
    enum status status = read_ledger(statement, ledger);
    move_ledger(ledger, epoch);
    return status;
}

enum status db_ledger_lock(struct db *db, struct db_ledger *ledger) {
    uint32_t epoch = ledger->epoch;
    struct sql_statement *statement = db_statement(db, DB_LEDGER_MAKE);
    sql_bind_text(statement, 1, ledger->hub);
    enum status status = sql_post(statement);
    if (status == STATUS_OK) {
        statement = db_statement(db, DB_LEDGER_LOCK);
        sql_bind_text(statement, 1, ledger->hub);
        status = read_ledger(statement, ledger);
    }
    move_ledger(ledger, epoch);
    return status;
}

enum status db_ledger_put(struct db *db, const struct db_ledger *ledger) {
    struct sql_statement *statement = db_statement(db, DB_LEDGER_PUT);
    sql_bind_text(statement, 1, ledger->hub);
    sql_bind_number(statement, 2, ledger->epoch);
    sql_bind_number(statement, 3, ledger->command);
    sql_bind_number(statement, 4, ledger->answers);
    sql_bind_number(statement, 5, ledger->boot);
    sql_bind_number(statement, 6, (uint64_t)ledger->store);
    sql_bind_number(statement, 7, ledger->granted_ms);
    sql_bind_number(statement, 8, ledger->renew_ms);
    return sql_post(statement);
}

enum status db_ledger_next(struct db *db, const char *behind, struct db_ledger *ledger) {
    struct sql_statement *statement = db_statement(db, DB_LEDGER_NEXT);
    sql_bind_text(statement, 1, behind);
    return read_ledger(statement, ledger);
}

enum status db_ledger_next_due(struct db *db, const char *behind, uint64_t now_ms,
                               struct db_ledger *ledger) {
    struct sql_statement *statement = db_statement(db, DB_LEDGER_NEXT_DUE);
    sql_bind_text(statement, 1, behind);
    sql_bind_number(statement, 2, now_ms);
    return read_ledger(statement, ledger);
}

enum status db_ledger_min_due(struct db *db, uint64_t now_ms, uint64_t *due_ms) {
    struct sql_statement *statement = db_statement(db, DB_LEDGER_MIN_DUE);
    sql_bind_number(statement, 1, now_ms);
    return db_read_number(statement, due_ms);
}

enum status db_hubs_ready(struct db *db, struct db_ready_hub *hubs, uint32_t *count) {
    struct sql_statement *statement = db_statement(db, DB_HUBS_READY);
    uint32_t room = *count;
    *count = 0;
    sql_bind_number(statement, 1, room);
    enum status status = sql_query(statement);
    while (status == STATUS_OK) {
        check(*count < room);
        sql_text(statement, 0, hubs[*count].hub, sizeof hubs[0].hub);
        hubs[*count].phones = (uint32_t)sql_number(statement, 1);
        *count += 1;
        status = sql_next(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static struct sql_statement *prepare_command(struct db *db, enum db_statement which,
                                             const struct db_command *command) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_number(statement, 1, command->epoch);
    sql_bind_text(statement, 2, command->hub);
    sql_bind_number(statement, 3, command->number);
    return statement;
}

enum status db_command_add(struct db *db, const struct db_command *command) {
    struct sql_statement *statement = prepare_command(db, DB_COMMAND_ADD, command);
    sql_bind_number(statement, 4, command->kind);
    sql_bind_number(statement, 5, command->process);
    sql_bind_number(statement, 6, command->item);
    sql_bind_number(statement, 7, command->assignment);
    sql_bind_bytes(statement, 8, command->bytes.data, command->bytes.size);
    db_note_hub(db, command->hub);
    return sql_post(statement);
}

/* Columns kind, process, item, assignment from `at`. */
static void take_command(const struct sql_statement *statement, uint32_t at,
                         struct db_command *command) {
    command->kind = (uint32_t)sql_number(statement, at);
    command->process = sql_number(statement, at + 1);
    command->item = (uint32_t)sql_number(statement, at + 2);
    command->assignment = (uint32_t)sql_number(statement, at + 3);
}

enum status db_command_next(struct db *db, struct db_command *command, uint8_t *buffer) {
    struct sql_statement *statement = prepare_command(db, DB_COMMAND_NEXT, command);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        struct bytes bytes = {0};
        command->number = sql_number(statement, 0);
        take_command(statement, 1, command);
        (void)sql_bytes(statement, 5, &bytes);
        command->bytes = (struct bytes){buffer, bytes.size < DB_COMMAND_MAX ? bytes.size : 0};
        memcpy(buffer, bytes.data, command->bytes.size);
        sql_finish(statement);
    }
    return status;
}

enum status db_command_get(struct db *db, struct db_command *command) {
    struct sql_statement *statement = prepare_command(db, DB_COMMAND_GET, command);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        take_command(statement, 0, command);
        sql_finish(statement);
    }
    return status;
}

enum status db_command_delete(struct db *db, const struct db_command *command) {
    return sql_post(prepare_command(db, DB_COMMAND_DELETE, command));
}

enum status db_command_keep(struct db *db, const struct db_command *command) {
    return sql_post(prepare_command(db, DB_COMMAND_KEEP, command));
}

enum status db_command_drop(struct db *db, uint32_t epoch, const char *hub, bool is_other_store) {
    struct sql_statement *statement = db_statement(db, DB_COMMAND_DROP);
    sql_bind_number(statement, 1, epoch);
    sql_bind_text(statement, 2, hub);
    sql_bind_number(statement, 3, is_other_store);
    return sql_post(statement);
}

enum status db_command_count(struct db *db, const struct db_command *command, uint64_t *count) {
    struct sql_statement *statement = prepare_command(db, DB_COMMAND_COUNT, command);
    sql_bind_number(statement, 4, command->kind);
    return db_read_number(statement, count);
}

enum status db_command_repeats(struct db *db, const struct db_command *command, uint64_t *count) {
    struct sql_statement *statement = prepare_command(db, DB_COMMAND_REPEATS, command);
    sql_bind_number(statement, 4, command->kind);
    sql_bind_number(statement, 5, command->process);
    sql_bind_number(statement, 6, command->item);
    sql_bind_number(statement, 7, command->assignment);
    return db_read_number(statement, count);
}

enum status db_command_next_hub(struct db *db, uint32_t epoch, const char *behind,
                                char hub[RECORD_ID_MAX + 1], uint64_t *newest) {
    struct sql_statement *statement = db_statement(db, DB_COMMAND_NEXT_HUB);
    sql_bind_number(statement, 1, epoch);
    sql_bind_text(statement, 2, behind);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        sql_text(statement, 0, hub, RECORD_ID_MAX + 1);
        *newest = sql_number(statement, 1);
        sql_finish(statement);
    }
    return status;
}
