#include "host/upstreamd/fleet/reconcile.h"

#include "host/shared/log.h"
#include "host/upstreamd/fleet/assignment.h"

#include <string.h>

static uint8_t image_buffer[DB_RECORD_MAX];

uint64_t reconcile_life(const struct db_store *store) {
    return (uint64_t)store->id << 24 | store->epoch;
}

/* The assignment under which the hub has its process `local`; 0: it is none, or not readable. */
static enum status read_assignment(struct db *db, int64_t store, uint64_t local,
                                   uint32_t *assignment) {
    struct db_image found = {.buffer = image_buffer};
    const uint64_t path[3] = {local, 1};
    struct cbor_reader reader;
    struct record_header header;
    struct record_item image;
    enum status status = db_object_get(db, store, RECORD_ITEM, path, &found);
    *assignment = 0;
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    cbor_reader_init(&reader, found.bytes);
    record_get_header(&reader, &header);
    record_get_item(&reader, &image);
    *assignment = cbor_reader_done(&reader) ? image.assignment : 0;
    return STATUS_OK;
}

/* ---- what the hub should have ---- */

static enum status judge_item(struct db *db, const struct db_hub *hub, struct db_item *item) {
    struct db_part part = {.store = hub->store, .process = item->process, .item = item->item};
    uint32_t assignment = 0;
    enum status status = db_item_get(db, item->process, item->item, item); /* locked */
    if (status != STATUS_OK || item->phase != DB_PHASE_ASSIGNED ||
        strcmp(item->hub, hub->id) != 0) {
        return status;
    }
    status = db_part_find(db, &part);
    if (status == STATUS_OK) {
        status = read_assignment(db, hub->store, part.local, &assignment);
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK;
    }
    bool is_lost = assignment != item->assignment;
    if (status != STATUS_OK || is_lost == item->is_lost) {
        return status;
    }
    if (is_lost) {
        log_warn("part_lost hub=%s process=%llu item=%u assignment=%u", hub->id,
                 (unsigned long long)item->process, item->item, item->assignment);
    }
    item->is_lost = is_lost;
    item->is_withdrawing = is_lost;
    return db_item_put(db, item);
}

static enum status judge_items(struct db *db, const struct db_hub *hub) {
    struct db_item item = {0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_item_of_hub(db, hub->id, item.process, item.item, &item);
        status = status == STATUS_OK ? judge_item(db, hub, &item) : status;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- what the hub has ---- */

static enum status read_flags(struct db *db, int64_t store, uint64_t number, uint32_t *flags) {
    struct db_image found = {.buffer = image_buffer};
    const uint64_t path[3] = {number};
    struct cbor_reader reader;
    struct record_header header;
    struct record_process image = {0};
    enum status status = db_object_get(db, store, RECORD_PROCESS, path, &found);
    if (status == STATUS_OK) {
        cbor_reader_init(&reader, found.bytes);
        record_get_header(&reader, &header);
        record_get_process(&reader, &image);
    }
    *flags = image.flags;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Orders that the hub's flash has forgotten: they were answered, and are told again. */
static enum status tell_again(struct db *db, uint32_t epoch, const struct db_part *part,
                              const struct db_item *item) {
    struct db_fleet_process process;
    uint32_t ours = 0;
    uint32_t theirs = 0;
    enum status status = db_fleet_get(db, part->process, false, &process);
    status = status == STATUS_OK ? read_flags(db, process.store, part->process, &ours) : status;
    status = status == STATUS_OK ? read_flags(db, part->store, part->local, &theirs) : status;
    uint32_t differ = ours ^ theirs;
    if (status == STATUS_OK && (differ & ours & RECORD_CANCEL_REQUESTED) != 0) {
        return assignment_tell(db, epoch, SYNC_CANCEL, item);
    }
    if (status == STATUS_OK && (differ & RECORD_HOLD) != 0) {
        bool is_held = (ours & RECORD_HOLD) != 0;
        return assignment_tell(db, epoch, is_held ? SYNC_SUSPEND : SYNC_RESUME, item);
    }
    return status;
}

static enum status judge_part(struct db *db, const struct db_hub *hub, uint32_t epoch,
                              const struct db_part *part) {
    struct db_item item = {0};
    uint32_t assignment = 0;
    enum status status = read_assignment(db, part->store, part->local, &assignment);
    if (status != STATUS_OK || assignment == 0) {
        return status;
    }
    status = db_item_look(db, part->process, part->item, &item);
    if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
        return status;
    }
    bool is_its = item.phase == DB_PHASE_ASSIGNED && item.assignment == assignment &&
                  strcmp(item.hub, hub->id) == 0 && !item.is_withdrawing;
    if (status == STATUS_OK && is_its) {
        return tell_again(db, epoch, part, &item);
    }
    struct db_item old = {.process = part->process, .item = part->item, .assignment = assignment};
    memcpy(old.hub, hub->id, sizeof old.hub);
    return assignment_tell(db, epoch, SYNC_WITHDRAW, &old);
}

static enum status judge_parts(struct db *db, const struct db_hub *hub, uint32_t epoch) {
    struct db_part part = {.store = hub->store};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_part_next(db, &part);
        status = status == STATUS_OK ? judge_part(db, hub, epoch, &part) : status;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- both ---- */

enum status reconcile_hub(struct db *db, const struct db_hub *hub, uint32_t upstream_epoch) {
    struct db_ledger ledger = {.epoch = upstream_epoch};
    memcpy(ledger.hub, hub->id, sizeof ledger.hub);
    enum status status = judge_items(db, hub);
    status = status == STATUS_OK ? db_ledger_lock(db, &ledger) : status;
    bool is_other_store = ledger.store != 0 && ledger.store != hub->store;
    if (status == STATUS_OK) {
        status = db_command_drop(db, upstream_epoch, hub->id, is_other_store);
    }
    status = status == STATUS_OK ? judge_parts(db, hub, upstream_epoch) : status;
    status = status == STATUS_OK ? db_ledger_lock(db, &ledger) : status; /* numbers were given */
    ledger.boot = UINT32_MAX; /* no boot: what it still has is granted anew */
    ledger.store = hub->store;
    return status == STATUS_OK ? db_ledger_put(db, &ledger) : status;
}
