#include "host/upstreamd/db/keeper.h"

#include "host/shared/log.h"

#include <string.h>

/* One transaction. */
struct step {
    struct keeper *keeper;
    uint64_t now_ms; /* wall clock */
    struct db_old at;
    uint32_t deleted;
    bool is_over; /* nothing that is old enough comes behind */
};

static bool is_fleets(const struct db_old *old) {
    return strcmp(old->hub_id, DB_UPSTREAM) == 0;
}

/* Locks what guards it. NOT_FOUND: it is to be left alone. */
static enum status lock(struct db *db, const struct db_old *old, uint64_t now_ms) {
    struct db_fleet_process process;
    struct db_hub hub;
    if (!is_fleets(old)) {
        return db_hub_lock(db, old->hub_id, now_ms, &hub);
    }
    enum status status = db_fleet_get(db, old->number, true, &process);
    bool is_told =
        status == STATUS_OK && (!process.has_callback || process.told >= process.revision);
    return status == STATUS_OK && !is_told ? STATUS_NOT_FOUND : status;
}

/* AGAIN: there is more of it. */
static enum status delete_one(struct step *step, struct db *db, const struct db_old *old,
                              uint64_t until_ms) {
    struct db_old behind = step->at;
    struct db_old now = behind;
    enum status status = lock(db, old, step->now_ms);
    /* It may have been tried again, or another upstreamd was faster. */
    status = status == STATUS_OK ? db_keep_next(db, until_ms, &now) : status;
    if (status != STATUS_OK || now.id != old->id) {
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    status = db_keep_delete(db, old);
    if (status == STATUS_OK && is_fleets(old)) {
        status = db_keep_evict(db, old, step->now_ms);
    }
    step->deleted += status == STATUS_OK;
    return status;
}

static enum status run(void *owner) {
    struct step *step = owner;
    const struct keeper *keeper = step->keeper;
    struct db *db = keeper->dispatch->db;
    uint64_t until_ms = step->now_ms > keeper->keep_ms ? step->now_ms - keeper->keep_ms : 0;
    enum status status = STATUS_OK;
    step->at = keeper->at;
    step->deleted = 0;
    step->is_over = false;
    for (uint32_t i = 0; i < KEEPER_PROCESSES && status == STATUS_OK; i++) {
        struct db_old old = step->at;
        status = db_keep_next(db, until_ms, &old);
        if (status == STATUS_OK) {
            status = delete_one(step, db, &old, until_ms);
        }
        step->at = status == STATUS_OK ? old : step->at;
    }
    if (status == STATUS_NOT_FOUND) {
        step->is_over = true;
        return db_keep_forget(db, step->now_ms, keeper->dispatch->upstream.epoch);
    }
    return status == STATUS_AGAIN ? STATUS_OK : status;
}

void keeper_step(struct keeper *keeper) {
    struct fleet *fleet = keeper->dispatch->fleet;
    struct step step = {.keeper = keeper, .now_ms = fleet->now.wall_ms};
    if (keeper->keep_ms == 0 || fleet->now.mono_ms < keeper->next_ms) {
        return;
    }
    enum status status = db_transact(keeper->dispatch->db, run, &step);
    keeper->at = status == STATUS_OK && !step.is_over ? step.at : (struct db_old){0};
    keeper->next_ms = fleet->now.mono_ms + KEEPER_STEP_MS;
    if (status != STATUS_OK || step.is_over) {
        keeper->next_ms = fleet->now.mono_ms + KEEPER_REST_MS;
    }
    if (status == STATUS_OK) {
        fleet->counters.deleted += step.deleted;
    } else {
        log_error("old_processes_kept reason=%s", db_reason(keeper->dispatch->db));
    }
}

uint64_t keeper_deadline_ms(const struct keeper *keeper) {
    return keeper->keep_ms == 0 ? UINT64_MAX : keeper->next_ms;
}
