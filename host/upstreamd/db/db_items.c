/* Items of the fleet: rows, and how dispatch finds them. */
#include "host/upstreamd/db/db_fleet.h"
#include "host/upstreamd/db/db_statements.h"

static void bind_item(struct sql_statement *statement, const struct db_item *item) {
    sql_bind_number(statement, 1, item->process);
    sql_bind_number(statement, 2, item->item);
    sql_bind_number(statement, 3, item->generation);
    sql_bind_number(statement, 4, item->phase);
    sql_bind_number(statement, 5, item->state);
    sql_bind_number(statement, 6, item->suspension);
    sql_bind_number(statement, 7, item->is_superseded);
    sql_bind_number(statement, 8, item->priority);
    sql_bind_number(statement, 9, item->due_ms);
    sql_bind_text(statement, 10, item->type);
    sql_bind_text(statement, 11, item->phone);
    sql_bind_text(statement, 12, item->account);
    sql_bind_text(statement, 13, item->labels);
    sql_bind_text(statement, 14, item->gate);
    sql_bind_number(statement, 15, item->gate_max);
    sql_bind_text(statement, 16, item->hub);
    sql_bind_number(statement, 17, item->assignment);
    sql_bind_number(statement, 18, item->ttl_ms);
    sql_bind_number(statement, 19, item->assigned_ms);
    sql_bind_number(statement, 20, item->is_started);
    sql_bind_number(statement, 21, item->is_lost ? 2 : item->is_withdrawing);
    sql_bind_number(statement, 22, item->is_once);
    sql_bind_number(statement, 23, item->is_forced);
    sql_bind_number(statement, 24, item->refusals);
    sql_bind_text(statement, 25, item->refused_hub);
    sql_bind_number(statement, 26, item->attempt);
    sql_bind_number(statement, 27, item->attempts_counted);
    sql_bind_number(statement, 28, item->actions_done);
    sql_bind_number(statement, 29, item->actions_digest);
}

static void take_item(const struct sql_statement *statement, struct db_item *item) {
    *item = (struct db_item){
        .process = sql_number(statement, 0),
        .item = (uint32_t)sql_number(statement, 1),
        .generation = (uint32_t)sql_number(statement, 2),
        .phase = (uint8_t)(sql_number(statement, 3) & 3),
        .state = (uint8_t)(sql_number(statement, 4) % RECORD_ITEM_STATE_COUNT),
        .suspension = (uint8_t)(sql_number(statement, 5) % RECORD_SUSPENSION_COUNT),
        .is_superseded = sql_number(statement, 6) != 0,
        .priority = (uint8_t)(sql_number(statement, 7) & 0x0f),
        .due_ms = sql_number(statement, 8),
        .gate_max = (uint32_t)sql_number(statement, 14),
        .assignment = (uint32_t)sql_number(statement, 16),
        .ttl_ms = (uint32_t)sql_number(statement, 17),
        .assigned_ms = sql_number(statement, 18),
        .is_started = sql_number(statement, 19) != 0,
        .is_withdrawing = sql_number(statement, 20) != 0,
        .is_lost = sql_number(statement, 20) == 2,
        .is_once = sql_number(statement, 21) != 0,
        .is_forced = sql_number(statement, 22) != 0,
        .refusals = (uint32_t)sql_number(statement, 23),
        .attempt = (uint32_t)sql_number(statement, 25),
        .attempts_counted = (uint32_t)sql_number(statement, 26),
        .actions_done = (uint32_t)sql_number(statement, 27),
        .actions_digest = sql_number(statement, 28),
    };
    sql_text(statement, 9, item->type, sizeof item->type);
    sql_text(statement, 10, item->phone, sizeof item->phone);
    sql_text(statement, 11, item->account, sizeof item->account);
    sql_text(statement, 12, item->labels, sizeof item->labels);
    sql_text(statement, 13, item->gate, sizeof item->gate);
    sql_text(statement, 15, item->hub, sizeof item->hub);
    sql_text(statement, 24, item->refused_hub, sizeof item->refused_hub);
}

static enum status read_item(struct sql_statement *statement, struct db_item *item) {
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        take_item(statement, item);
        sql_finish(statement);
    }
    return status;
}

/* As many rows as there is room for. */
static enum status read_items(struct sql_statement *statement, struct db_item *items,
                              uint32_t *count) {
    uint32_t room = *count;
    *count = 0;
    enum status status = sql_query(statement);
    while (status == STATUS_OK) {
        check(*count < room);
        take_item(statement, &items[*count]);
        *count += 1;
        status = sql_next(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* What waits, and what has ended (it may have held a key or an account), is of interest to all. */
static enum status write_item(struct db *db, enum db_statement which, const struct db_item *item) {
    struct sql_statement *statement = db_statement(db, which);
    bind_item(statement, item);
    if (item->phase == DB_PHASE_WAITING || item->phase == DB_PHASE_ENDED) {
        db_note_work(db);
    }
    return sql_post(statement);
}

enum status db_item_add(struct db *db, const struct db_item *item) {
    return write_item(db, DB_ITEM_ADD, item);
}

enum status db_item_put(struct db *db, const struct db_item *item) {
    return write_item(db, DB_ITEM_PUT, item);
}

static struct sql_statement *prepare_at(struct db *db, enum db_statement which, uint64_t process,
                                        uint32_t number) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_number(statement, 1, process);
    sql_bind_number(statement, 2, number);
    return statement;
}

enum status db_item_get(struct db *db, uint64_t process, uint32_t number, struct db_item *item) {
    return read_item(prepare_at(db, DB_ITEM_GET, process, number), item);
}

enum status db_item_look(struct db *db, uint64_t process, uint32_t number, struct db_item *item) {
    return read_item(prepare_at(db, DB_ITEM_LOOK, process, number), item);
}

enum status db_item_next(struct db *db, uint64_t process, uint32_t behind, struct db_item *item) {
    return read_item(prepare_at(db, DB_ITEM_NEXT, process, behind), item);
}

enum status db_item_count(struct db *db, uint64_t process, struct db_item_counts *counts) {
    struct sql_statement *statement = db_statement(db, DB_ITEM_COUNT);
    *counts = (struct db_item_counts){0};
    sql_bind_number(statement, 1, process);
    enum status status = sql_query(statement);
    while (status == STATUS_OK) {
        uint64_t state = sql_number(statement, 0);
        uint32_t count = (uint32_t)sql_number(statement, 2);
        check(state < RECORD_ITEM_STATE_COUNT);
        counts->by_state[state] += count;
        bool in_review =
            state == RECORD_SUSPENDED && sql_number(statement, 1) == RECORD_SUSPEND_REVIEW;
        counts->in_review += in_review ? count : 0;
        status = sql_next(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status find_for_hub(struct sql_statement *statement, const char *hub, uint64_t at_ms,
                                struct db_item *items, uint32_t *count) {
    sql_bind_text(statement, 1, hub);
    sql_bind_number(statement, 2, at_ms);
    sql_bind_number(statement, 3, *count);
    return read_items(statement, items, count);
}

enum status db_item_for_phones(struct db *db, const char *hub, uint64_t now_ms,
                               struct db_item *items, uint32_t *count) {
    return find_for_hub(db_statement(db, DB_ITEM_FOR_PHONES), hub, now_ms, items, count);
}

enum status db_item_for_any(struct db *db, const char *hub, uint64_t now_ms, struct db_item *items,
                            uint32_t *count) {
    return find_for_hub(db_statement(db, DB_ITEM_FOR_ANY), hub, now_ms, items, count);
}

enum status db_item_movable(struct db *db, const char *hub, uint64_t before_ms,
                            struct db_item *items, uint32_t *count) {
    return find_for_hub(db_statement(db, DB_ITEM_MOVABLE), hub, before_ms, items, count);
}

enum status db_item_of_hub(struct db *db, const char *hub, uint64_t process, uint32_t behind,
                           struct db_item *item) {
    struct sql_statement *statement = db_statement(db, DB_ITEM_OF_HUB);
    sql_bind_text(statement, 1, hub);
    sql_bind_number(statement, 2, process);
    sql_bind_number(statement, 3, behind);
    return read_item(statement, item);
}

static enum status count_text(struct db *db, enum db_statement which, const char *text,
                              uint64_t *count) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_text(statement, 1, text);
    return db_read_number(statement, count);
}

enum status db_item_count_gate(struct db *db, const char *gate, uint64_t *count) {
    return count_text(db, DB_ITEM_GATE, gate, count);
}

enum status db_item_count_account(struct db *db, const char *account, uint64_t *count) {
    return count_text(db, DB_ITEM_ACCOUNT, account, count);
}

enum status db_gate_lock(struct db *db, const char *kind, const char *name) {
    struct sql_statement *statement = db_statement(db, DB_GATE_MAKE);
    sql_bind_text(statement, 1, kind);
    sql_bind_text(statement, 2, name);
    enum status status = sql_post(statement);
    if (status == STATUS_OK) {
        statement = db_statement(db, DB_GATE_LOCK);
        sql_bind_text(statement, 1, kind);
        sql_bind_text(statement, 2, name);
        status = sql_query(statement);
        if (status == STATUS_OK) {
            sql_finish(statement);
        }
    }
    return status;
}

static enum status count_at(struct db *db, enum db_statement which, uint64_t at_ms,
                            uint64_t *count) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_number(statement, 1, at_ms);
    return db_read_number(statement, count);
}

enum status db_item_count_any(struct db *db, uint64_t now_ms, uint64_t *count) {
    return count_at(db, DB_ITEM_COUNT_ANY, now_ms, count);
}

enum status db_item_count_movable(struct db *db, uint64_t before_ms, uint64_t *count) {
    return count_at(db, DB_ITEM_ANY_MOVABLE, before_ms, count);
}

enum status db_item_next_due(struct db *db, uint64_t now_ms, uint64_t *due_ms) {
    return count_at(db, DB_ITEM_NEXT_DUE, now_ms, due_ms);
}

enum status db_item_next_lost(struct db *db, uint64_t process, uint32_t behind,
                              struct db_item *item) {
    return read_item(prepare_at(db, DB_ITEM_LOST, process, behind), item);
}

static enum status read_hub(struct sql_statement *statement, uint64_t first, const char *behind,
                            char hub[RECORD_ID_MAX + 1]) {
    sql_bind_number(statement, 1, first);
    sql_bind_text(statement, 2, behind);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        sql_text(statement, 0, hub, RECORD_ID_MAX + 1);
        sql_finish(statement);
    }
    return status;
}

enum status db_item_next_hub(struct db *db, uint64_t now_ms, const char *behind,
                             char hub[RECORD_ID_MAX + 1]) {
    return read_hub(db_statement(db, DB_ITEM_NEXT_HUB), now_ms, behind, hub);
}

enum status db_item_hub_next(struct db *db, uint64_t process, const char *behind,
                             char hub[RECORD_ID_MAX + 1]) {
    return read_hub(db_statement(db, DB_ITEM_HUB_NEXT), process, behind, hub);
}

enum status db_item_next_scheduled(struct db *db, uint64_t process, uint32_t behind,
                                   uint64_t now_ms, struct db_item *item) {
    struct sql_statement *statement = prepare_at(db, DB_ITEM_SCHEDULED, process, behind);
    sql_bind_number(statement, 3, now_ms);
    return read_item(statement, item);
}
