#include "host/upstreamd/db/db_statements.h"

#include <string.h>

/* ---- stores ---- */

static enum status read_store(struct sql_statement *statement, struct db_store *store) {
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        store->id = (int64_t)sql_number(statement, 0);
        sql_text(statement, 1, store->hub_id, sizeof store->hub_id);
        sql_fixed(statement, 2, store->store_id, sizeof store->store_id);
        store->epoch = (uint32_t)sql_number(statement, 3);
        store->cursor = sql_number(statement, 4);
        sql_fixed(statement, 5, store->chain, sizeof store->chain);
        store->base_epoch = (uint32_t)sql_number(statement, 6);
        store->first_epoch = (uint32_t)sql_number(statement, 7);
        store->named = (uint32_t)sql_number(statement, 8);
        store->is_listing = sql_number(statement, 9) != 0;
        sql_finish(statement);
    }
    return status;
}

enum status db_store_find(struct db *db, struct db_store *store) {
    struct sql_statement *statement = db_statement(db, DB_STORE_FIND);
    sql_bind_text(statement, 1, store->hub_id);
    sql_bind_bytes(statement, 2, store->store_id, sizeof store->store_id);
    return read_store(statement, store);
}

enum status db_store_get(struct db *db, int64_t id, struct db_store *store) {
    struct sql_statement *statement = db_statement(db, DB_STORE_GET);
    sql_bind_number(statement, 1, (uint64_t)id);
    return read_store(statement, store);
}

enum status db_store_add(struct db *db, struct db_store *store) {
    struct sql_statement *statement = db_statement(db, DB_STORE_ADD);
    store->base_epoch = store->base_epoch == 0 ? store->epoch : store->base_epoch;
    store->first_epoch = store->first_epoch == 0 ? store->epoch : store->first_epoch;
    sql_bind_text(statement, 1, store->hub_id);
    sql_bind_bytes(statement, 2, store->store_id, sizeof store->store_id);
    sql_bind_number(statement, 3, store->epoch);
    sql_bind_number(statement, 4, store->cursor);
    sql_bind_bytes(statement, 5, store->chain, sizeof store->chain);
    sql_bind_number(statement, 6, store->base_epoch);
    sql_bind_number(statement, 7, store->first_epoch);
    sql_bind_number(statement, 8, store->named);
    sql_bind_number(statement, 9, store->is_listing);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        store->id = (int64_t)sql_number(statement, 0);
        sql_finish(statement);
    }
    return status;
}

enum status db_store_move(struct db *db, const struct db_store *store) {
    struct sql_statement *statement = db_statement(db, DB_STORE_MOVE);
    sql_bind_number(statement, 1, (uint64_t)store->id);
    sql_bind_number(statement, 2, store->cursor);
    sql_bind_bytes(statement, 3, store->chain, sizeof store->chain);
    return sql_post(statement);
}

enum status db_store_put(struct db *db, const struct db_store *store) {
    struct sql_statement *statement = db_statement(db, DB_STORE_PUT);
    sql_bind_number(statement, 1, (uint64_t)store->id);
    sql_bind_number(statement, 2, store->cursor);
    sql_bind_bytes(statement, 3, store->chain, sizeof store->chain);
    sql_bind_number(statement, 4, store->epoch);
    sql_bind_number(statement, 5, store->first_epoch);
    sql_bind_number(statement, 6, store->named);
    sql_bind_number(statement, 7, store->is_listing);
    return sql_post(statement);
}

enum status db_store_epochs(struct db *db, const char *hub_id, uint32_t *used, uint32_t *named) {
    struct sql_statement *statement = db_statement(db, DB_STORE_EPOCHS);
    sql_bind_text(statement, 1, hub_id);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        *used = (uint32_t)sql_number(statement, 0); /* of no rows: NULL, read as 0 */
        *named = (uint32_t)sql_number(statement, 1);
        sql_finish(statement);
    }
    return status;
}

enum status db_chain_at(struct db *db, const struct db_store *store, uint64_t seq,
                        uint8_t chain[RECORD_CHAIN_BYTES]) {
    struct sql_statement *statement = db_statement(db, DB_CHAIN_AT);
    sql_bind_number(statement, 1, (uint64_t)store->id);
    sql_bind_number(statement, 2, db_place(store, seq));
    enum status status = db_flush(db);
    status = status == STATUS_OK ? sql_query(statement) : status;
    if (status == STATUS_OK) {
        sql_fixed(statement, 0, chain, RECORD_CHAIN_BYTES);
        sql_finish(statement);
    }
    return status;
}

/* ---- gaps ---- */

enum status db_gap_add(struct db *db, const struct db_store *store, const struct record_gap *gap,
                       uint64_t at_ms) {
    struct sql_statement *statement = db_statement(db, DB_GAP_ADD);
    sql_bind_number(statement, 1, (uint64_t)store->id);
    sql_bind_number(statement, 2, db_place(store, gap->first));
    sql_bind_number(statement, 3, db_place(store, gap->last));
    sql_bind_bytes(statement, 4, gap->chain, RECORD_CHAIN_BYTES);
    sql_bind_number(statement, 5, at_ms);
    for (uint32_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        sql_bind_number(statement, 6 + kind, gap->dropped[kind]);
    }
    return sql_post(statement);
}

enum status db_gap_sum(struct db *db, const struct db_store *store, uint64_t first,
                       uint64_t dropped[RECORD_KIND_COUNT]) {
    struct sql_statement *statement = db_statement(db, DB_GAP_SUM);
    sql_bind_number(statement, 1, (uint64_t)store->id);
    sql_bind_number(statement, 2, db_place(store, first));
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        for (uint32_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
            dropped[kind] = sql_number(statement, kind);
        }
        sql_finish(statement);
    }
    return status;
}

enum status db_gap_before(struct db *db, int64_t store, uint64_t seq, struct record_gap *gap,
                          uint64_t *at_ms) {
    struct sql_statement *statement = db_statement(db, DB_GAP_BEFORE);
    sql_bind_number(statement, 1, (uint64_t)store);
    sql_bind_number(statement, 2, seq);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        gap->first = sql_number(statement, 0);
        gap->last = sql_number(statement, 1);
        sql_fixed(statement, 2, gap->chain, RECORD_CHAIN_BYTES);
        for (uint32_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
            gap->dropped[kind] = (uint32_t)sql_number(statement, 3 + kind);
        }
        *at_ms = sql_number(statement, 3 + RECORD_KIND_COUNT);
        sql_finish(statement);
    }
    return status;
}

/* ---- hubs and boots ---- */

enum status db_hub_put(struct db *db, const struct db_hub *hub) {
    struct sql_statement *statement = db_statement(db, DB_HUB_PUT);
    sql_bind_text(statement, 1, hub->id);
    sql_bind_number(statement, 2, (uint64_t)hub->store);
    sql_bind_number(statement, 3, hub->boot);
    sql_bind_number(statement, 4, hub->capacity);
    sql_bind_number(statement, 5, hub->phones);
    sql_bind_number(statement, 6, hub->command);
    sql_bind_number(statement, 7, hub->first_seen_ms);
    sql_bind_number(statement, 8, hub->last_seen_ms);
    sql_bind_number(statement, 9, hub->record_ms);
    sql_bind_number(statement, 10, hub->forks);
    sql_bind_number(statement, 11, hub->gaps);
    sql_bind_number(statement, 12, hub->given_up);
    sql_bind_number(statement, 13, hub->lag_ms);
    sql_bind_number(statement, 14, hub->swap_ms[0]);
    sql_bind_number(statement, 15, hub->swap_ms[1]);
    sql_bind_number(statement, 16, hub->quarantined_ms);
    sql_bind_number(statement, 17, hub->settled_epoch);
    return sql_post(statement);
}

static void read_hub(const struct sql_statement *statement, struct db_hub *hub) {
    *hub = (struct db_hub){
        .store = (int64_t)sql_number(statement, 1),
        .boot = (uint32_t)sql_number(statement, 2),
        .capacity = (uint32_t)sql_number(statement, 3),
        .phones = (uint32_t)sql_number(statement, 4),
        .command = sql_number(statement, 5),
        .first_seen_ms = sql_number(statement, 6),
        .last_seen_ms = sql_number(statement, 7),
        .record_ms = sql_number(statement, 8),
        .forks = sql_number(statement, 9),
        .gaps = sql_number(statement, 10),
        .given_up = sql_number(statement, 11),
        .lag_ms = sql_number(statement, 12),
        .swap_ms = {sql_number(statement, 13), sql_number(statement, 14)},
        .quarantined_ms = sql_number(statement, 15),
        .settled_epoch = (uint32_t)sql_number(statement, 16),
    };
    sql_text(statement, 0, hub->id, sizeof hub->id);
}

static enum status query_hub(struct db *db, enum db_statement which, const char *id,
                             struct db_hub *hub) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_text(statement, 1, id);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        read_hub(statement, hub);
        sql_finish(statement);
    }
    return status;
}

enum status db_hub_lock(struct db *db, const char *id, uint64_t now_ms, struct db_hub *hub) {
    enum status status = query_hub(db, DB_HUB_LOCK, id, hub);
    if (status == STATUS_NOT_FOUND) {
        struct sql_statement *statement = db_statement(db, DB_HUB_MAKE);
        sql_bind_text(statement, 1, id);
        sql_bind_number(statement, 2, now_ms);
        status = sql_post(statement); /* of two who make it, one waits here for the other */
        status = status == STATUS_OK ? query_hub(db, DB_HUB_LOCK, id, hub) : status;
    }
    return status;
}

enum status db_hub_get(struct db *db, const char *id, struct db_hub *hub) {
    return query_hub(db, DB_HUB_GET, id, hub);
}

void db_hub_walk(struct db *db, const char *behind, uint32_t limit) {
    struct sql_statement *statement = db_statement(db, DB_HUB_WALK);
    sql_bind_text(statement, 1, behind);
    sql_bind_number(statement, 2, limit);
    db_walk_begin(db, statement);
}

enum status db_hub_next(struct db *db, struct db_hub *hub) {
    const struct sql_statement *statement = db->walk;
    enum status status = db_walk_next(db);
    if (status == STATUS_OK) {
        read_hub(statement, hub);
    }
    return status;
}

enum status db_hubs_are_settled(struct db *db, uint32_t upstream_epoch, bool *are_settled) {
    struct sql_statement *statement = db_statement(db, DB_HUBS_UNSETTLED);
    sql_bind_number(statement, 1, upstream_epoch);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        *are_settled = sql_number(statement, 0) == 0 && sql_number(statement, 1) > 0;
        sql_finish(statement);
    }
    return status;
}

enum status db_hub_sum(struct db *db, uint64_t since_ms, struct db_hub_totals *totals) {
    struct sql_statement *statement = db_statement(db, DB_HUB_SUM);
    sql_bind_number(statement, 1, since_ms);
    enum status status = sql_query(statement);
    if (status == STATUS_OK) {
        *totals = (struct db_hub_totals){
            .hubs = sql_number(statement, 0),
            .silent = sql_number(statement, 1),
            .oldest_ms = sql_number(statement, 2),
            .longest_lag_ms = sql_number(statement, 3),
            .forks = sql_number(statement, 4),
            .gaps = sql_number(statement, 5),
            .given_up = sql_number(statement, 6),
        };
        sql_finish(statement);
    }
    return status;
}

enum status db_boot_put(struct db *db, int64_t store, const struct record_boot *boot,
                        bool is_estimate) {
    struct sql_statement *statement = db_statement(db, is_estimate ? DB_BOOT_GUESS : DB_BOOT_TELL);
    sql_bind_number(statement, 1, (uint64_t)store);
    sql_bind_number(statement, 2, boot->boot);
    sql_bind_number(statement, 3, boot->offset_ms);
    return sql_post(statement);
}

enum status db_boots_get(struct db *db, int64_t store, struct record_boot boots[DB_BOOTS_MAX],
                         uint32_t *count) {
    struct sql_statement *statement = db_statement(db, DB_BOOTS_GET);
    sql_bind_number(statement, 1, (uint64_t)store);
    sql_bind_number(statement, 2, DB_BOOTS_MAX);
    *count = 0;
    enum status status = sql_query(statement);
    while (status == STATUS_OK && *count < DB_BOOTS_MAX) {
        boots[*count] =
            (struct record_boot){(uint32_t)sql_number(statement, 0), sql_number(statement, 1)};
        *count += 1;
        status = sql_next(statement);
    }
    if (status == STATUS_OK) {
        sql_finish(statement);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- records and objects ---- */

static enum status copy_image(const struct sql_statement *statement, struct db_image *image) {
    struct bytes bytes;
    if (!sql_bytes(statement, 0, &bytes) || bytes.size > DB_RECORD_MAX) {
        return STATUS_IO;
    }
    memcpy(image->buffer, bytes.data, bytes.size);
    image->bytes = (struct bytes){image->buffer, bytes.size};
    return STATUS_OK;
}

static enum status query_image(struct sql_statement *statement, struct db_image *image) {
    enum status status = sql_query(statement);
    if (status != STATUS_OK) {
        return status;
    }
    status = copy_image(statement, image);
    for (uint32_t i = 0; i < 3; i++) {
        image->path[i] = sql_number(statement, 1 + i);
    }
    sql_finish(statement);
    return status;
}

static enum status read_image(struct db *db, struct sql_statement *statement,
                              struct db_image *image) {
    enum status status = db_flush(db);
    return status == STATUS_OK ? query_image(statement, image) : status;
}

static struct sql_statement *prepare_image(struct db *db, enum db_statement which, int64_t store,
                                           uint64_t second, uint64_t third) {
    struct sql_statement *statement = db_statement(db, which);
    sql_bind_number(statement, 1, (uint64_t)store);
    sql_bind_number(statement, 2, second);
    sql_bind_number(statement, 3, third);
    return statement;
}

enum status db_object_get(struct db *db, int64_t store, enum record_kind kind,
                          const uint64_t path[3], struct db_image *image) {
    struct bytes held;
    bool is_held = db_batch_object(db, store, kind, path, &held);
    if (is_held && held.data != NULL) {
        memcpy(image->buffer, held.data, held.size);
        image->bytes = (struct bytes){image->buffer, held.size};
        memcpy(image->path, path, sizeof image->path);
        return STATUS_OK;
    }
    struct sql_statement *statement = prepare_image(db, DB_OBJECT_GET, store, kind, path[0]);
    sql_bind_number(statement, 4, path[1]);
    sql_bind_number(statement, 5, path[2]);
    return is_held ? read_image(db, statement, image) : query_image(statement, image);
}

enum status db_object_next(struct db *db, int64_t store, enum record_kind kind,
                           const uint64_t path[3], struct db_image *image) {
    struct sql_statement *statement = prepare_image(db, DB_OBJECT_NEXT, store, kind, path[0]);
    sql_bind_number(statement, 4, path[1]);
    sql_bind_number(statement, 5, path[2]);
    return read_image(db, statement, image);
}

enum status db_event_next(struct db *db, int64_t store, uint64_t process, uint64_t revision,
                          struct db_image *image) {
    return read_image(db, prepare_image(db, DB_EVENT_NEXT, store, process, revision), image);
}

enum status db_fork_event(struct db *db, int64_t store, uint64_t process, uint64_t seq,
                          struct db_image *image) {
    return read_image(db, prepare_image(db, DB_FORK_EVENT, store, process, seq), image);
}

/* ---- phones ---- */

void db_phone_walk(struct db *db, const struct db_phone *behind, const char *only, uint32_t limit) {
    struct sql_statement *statement = db_statement(db, DB_PHONE_WALK);
    sql_bind_number(statement, 1, RECORD_PHONE);
    sql_bind_text(statement, 2, behind->store.hub_id);
    sql_bind_number(statement, 3, behind->image.path[0]);
    sql_bind_text(statement, 4, only);
    sql_bind_number(statement, 5, limit);
    db_walk_begin(db, statement);
}

enum status db_phone_next(struct db *db, struct db_phone *phone) {
    const struct sql_statement *statement = db->walk;
    enum status status = db_walk_next(db);
    if (status != STATUS_OK) {
        return status;
    }
    phone->image.path[0] = sql_number(statement, 1);
    phone->store.id = (int64_t)sql_number(statement, 2);
    sql_text(statement, 3, phone->store.hub_id, sizeof phone->store.hub_id);
    phone->store.first_epoch = (uint32_t)sql_number(statement, 4);
    phone->lease = (struct db_lease){
        .store = phone->store.id,
        .phone = phone->image.path[0],
        .process = sql_number(statement, 5),
        .item = sql_number(statement, 6),
    };
    return copy_image(statement, &phone->image);
}
