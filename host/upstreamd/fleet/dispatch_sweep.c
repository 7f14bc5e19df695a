/* What becomes due by itself. */
#include "host/shared/log.h"
#include "host/upstreamd/fleet/dispatch.h"
#include "host/upstreamd/fleet/reconcile.h"

#include <string.h>

/* ---- scheduled items ---- */

static enum status make_ready(struct dispatch *dispatch, const struct db_item *found) {
    struct work work;
    struct db_item item;
    struct record_item image;
    uint64_t now_ms = dispatch->fleet->now.wall_ms;
    enum status status = work_open(&work, dispatch->db, now_ms, found->process);
    status = status == STATUS_OK ? db_item_get(dispatch->db, found->process, found->item, &item)
                                 : status;
    if (status != STATUS_OK || item.phase != DB_PHASE_WAITING || item.state != RECORD_SCHEDULED) {
        return status;
    }
    const struct db_item before = item;
    status = work_read_item(&work, &item, &image);
    image.state = RECORD_READY;
    status =
        status == STATUS_OK ? work_put(&work, &before, &item, &image, RECORD_DUE_EVENT) : status;
    return status == STATUS_OK ? work_close(&work) : status;
}

static enum status sweep_scheduled(struct dispatch *dispatch, bool *changed) {
    struct db_item item = {0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_item_next_scheduled(dispatch->db, item.process, item.item,
                                        dispatch->fleet->now.wall_ms, &item);
        if (status == STATUS_OK) {
            status = make_ready(dispatch, &item);
            *changed = true;
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- deadlines ---- */

/* What no hub has fails; a hub ends what it has by itself: it was told the deadline. */
static enum status end_waiting(struct work *work) {
    struct db_item item = {0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_item_next(work->db, work->row.number, item.item, &item);
        bool waits =
            status == STATUS_OK && (item.phase == DB_PHASE_WAITING || item.phase == DB_PHASE_HELD);
        if (waits) {
            status = assignment_end(work, &item, ASSIGNMENT_WITHDRAWN, 0);
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status sweep_late(struct dispatch *dispatch, bool *changed) {
    struct work work;
    uint64_t number = 0;
    uint64_t now_ms = dispatch->fleet->now.wall_ms;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_fleet_next_late(dispatch->db, number, now_ms, &number);
        if (status != STATUS_OK) {
            break;
        }
        status = work_open(&work, dispatch->db, now_ms, number);
        work.image.flags |= RECORD_PAST_DEADLINE;
        work.row.deadline_ms = 0;
        status =
            status == STATUS_OK ? work_log_process(&work, RECORD_STOP_REQUESTED_EVENT) : status;
        status = status == STATUS_OK ? end_waiting(&work) : status;
        status = status == STATUS_OK ? work_close(&work) : status;
        dispatch->counters.late += 1;
        *changed = true;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- silent hubs ---- */

/* Nobody has answered the hub since the row was seen so: this holds the row until the end. */
static enum status is_unchanged(struct dispatch *dispatch, const struct db_ledger *ledger,
                                bool *is_same) {
    struct db_ledger now = *ledger;
    enum status status = db_ledger_lock(dispatch->db, &now);
    *is_same = now.answers == ledger->answers;
    return status;
}

/* Of a silent hub its `ledger`, as it was seen; NULL: it has forgotten the item. `is_same`: false
 * when the hub was answered meanwhile. */
static enum status take_away(struct dispatch *dispatch, const struct db_ledger *ledger,
                             const struct db_item *found, bool *is_same) {
    bool is_silent = ledger != NULL;
    enum assignment_end why = is_silent ? ASSIGNMENT_LOST : ASSIGNMENT_FORGOTTEN;
    struct work work;
    struct db_item item;
    const struct capability *capability = registry_find(dispatch->registry, found->type);
    enum status status =
        work_open(&work, dispatch->db, dispatch->fleet->now.wall_ms, found->process);
    status = status == STATUS_OK ? db_item_get(dispatch->db, found->process, found->item, &item)
                                 : status;
    if (status != STATUS_OK || item.phase != DB_PHASE_ASSIGNED ||
        strcmp(item.hub, found->hub) != 0 || item.assignment != found->assignment ||
        item.is_lost == is_silent) {
        return status;
    }
    if (is_silent) { /* behind process and item (db.h) */
        status = is_unchanged(dispatch, ledger, is_same);
    }
    if (status != STATUS_OK || !*is_same) {
        return status;
    }
    log_warn("item_taken_back hub=%s process=%llu item=%u assignment=%u reason=%s", item.hub,
             (unsigned long long)item.process, item.item, item.assignment,
             is_silent ? "silent" : "forgotten");
    dispatch->counters.lost += is_silent;
    dispatch->counters.forgotten += !is_silent;
    /* When it comes back, it is to forget it. */
    status = assignment_tell(dispatch->db, dispatch->upstream.epoch, SYNC_WITHDRAW, &item);
    if (status == STATUS_OK) {
        status =
            assignment_end(&work, &item, why, capability == NULL ? 1 : capability->attempts_max);
    }
    return status == STATUS_OK ? work_close(&work) : status;
}

static enum status sweep_hub(struct dispatch *dispatch, const struct db_ledger *ledger,
                             uint32_t *room, bool *changed) {
    uint64_t now_ms = dispatch->fleet->now.mono_ms;
    uint64_t since_ms = ledger_see(&dispatch->ledger, ledger->hub, ledger->answers, now_ms);
    struct db_item item = {0};
    bool is_same = true;
    enum status status = STATUS_OK;
    if (!ledger_is_over(since_ms, now_ms, 0)) {
        return STATUS_OK; /* not for the shortest grant */
    }
    while (status == STATUS_OK && is_same && *room > 0) {
        status = db_item_of_hub(dispatch->db, ledger->hub, item.process, item.item, &item);
        if (status != STATUS_OK || !ledger_is_over(since_ms, now_ms, item.ttl_ms) || item.is_lost ||
            !assignment_may_move(&item)) {
            continue;
        }
        status = take_away(dispatch, ledger, &item, &is_same);
        *changed = *changed || is_same;
        *room -= 1;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status sweep_hubs(struct dispatch *dispatch, bool *changed) {
    struct db_ledger ledger = {0};
    uint32_t room = DISPATCH_SWEEP_MAX;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_ledger_next(dispatch->db, ledger.hub, &ledger);
        if (status == STATUS_OK) {
            status = sweep_hub(dispatch, &ledger, &room, changed);
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- forgetful hubs ---- */

/* The life before, which may go on as a clone, has been granted nothing since this one began. */
static enum status is_over(struct dispatch *dispatch, const struct db_item *item, bool *is_over) {
    struct db_hub hub;
    struct db_store store;
    uint64_t now_ms = dispatch->fleet->now.mono_ms;
    enum status status = db_hub_get(dispatch->db, item->hub, &hub);
    status = status == STATUS_OK ? db_store_get(dispatch->db, hub.store, &store) : status;
    *is_over = false;
    if (status == STATUS_OK) {
        uint64_t since_ms = ledger_see(&dispatch->lives, item->hub, reconcile_life(&store), now_ms);
        *is_over = ledger_is_over(since_ms, now_ms, item->ttl_ms);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status sweep_lost(struct dispatch *dispatch, bool *changed) {
    struct db_item item = {0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        bool may_go = false;
        bool is_same = true;
        status = db_item_next_lost(dispatch->db, item.process, item.item, &item);
        if (status == STATUS_OK) {
            status = is_over(dispatch, &item, &may_go);
        }
        if (status == STATUS_OK && may_go) {
            status = take_away(dispatch, NULL, &item, &is_same);
            *changed = true;
        } else if (status == STATUS_NOT_FOUND) {
            break;
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status dispatch_sweep(struct dispatch *dispatch, bool *changed) {
    enum status status = sweep_scheduled(dispatch, changed);
    status = status == STATUS_OK ? sweep_late(dispatch, changed) : status;
    if (dispatch->holding_since_ms != 0) {
        return status;
    }
    status = status == STATUS_OK ? sweep_lost(dispatch, changed) : status;
    return status == STATUS_OK ? sweep_hubs(dispatch, changed) : status;
}
