#include "host/upstreamd/fleet/order.h"

#include <string.h>

/* ---- what all orders share ---- */

static void tell_state(const struct work *work, struct order_state *state) {
    *state = (struct order_state){
        .status = work_status(work),
        .counts = work->counts,
        .flags = work->image.flags,
        .generation = work->image.generation,
    };
}

static enum status finish(struct work *work, enum status status, struct order_state *state) {
    status = status == STATUS_NOT_FOUND ? STATUS_OK : status; /* the end of the items */
    status = status == STATUS_OK ? work_close(work) : status;
    tell_state(work, state);
    return status;
}

/* TERMINAL: it has ended. */
static enum status open_live(const struct orders *orders, uint64_t number, struct work *work,
                             struct order_state *state) {
    enum status status = work_open(work, orders->db, orders->now_ms, number);
    if (status == STATUS_OK) {
        tell_state(work, state);
        status = process_is_terminal(state->status) ? STATUS_TERMINAL : STATUS_OK;
    }
    return status;
}

static enum status tell(const struct orders *orders, enum sync_command_kind kind,
                        const struct db_item *item) {
    return assignment_tell(orders->db, orders->upstream->epoch, kind, item);
}

/* An item that no hub has becomes what its process's flags say. */
static enum status change(struct work *work, struct db_item *item, enum record_item_state state,
                          enum record_event event) {
    struct record_item image;
    const struct db_item before = *item;
    enum status status = work_read_item(work, item, &image);
    image.state = (uint8_t)state;
    image.suspension = state == RECORD_SUSPENDED ? image.suspension : RECORD_SUSPEND_NONE;
    return status == STATUS_OK ? work_put(work, &before, item, &image, event) : status;
}

/* ---- cancel, suspend, resume ---- */

static enum status cancel_item(const struct orders *orders, struct work *work,
                               struct db_item *item) {
    if (item->phase == DB_PHASE_ASSIGNED) {
        return tell(orders, SYNC_CANCEL, item);
    }
    item->phase = DB_PHASE_ENDED;
    return change(work, item, RECORD_CANCELED, RECORD_CANCELED_EVENT);
}

static enum status suspend_item(const struct orders *orders, struct work *work,
                                struct db_item *item) {
    if (item->phase == DB_PHASE_ASSIGNED) {
        return tell(orders, SYNC_SUSPEND, item);
    }
    item->phase = DB_PHASE_HELD;
    return db_item_put(work->db, item);
}

static enum status resume_item(const struct orders *orders, struct work *work,
                               struct db_item *item) {
    if (item->phase == DB_PHASE_ASSIGNED) {
        return tell(orders, SYNC_RESUME, item);
    }
    item->phase = DB_PHASE_WAITING;
    return item->state == RECORD_SUSPENDED ? change(work, item, RECORD_READY, RECORD_RESUMED_EVENT)
                                           : db_item_put(work->db, item);
}

typedef enum status item_order(const struct orders *orders, struct work *work,
                               struct db_item *item);

static enum status for_each(const struct orders *orders, struct work *work, item_order *order) {
    struct db_item item = {0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_item_next(orders->db, work->row.number, item.item, &item);
        if (status == STATUS_OK && item.phase != DB_PHASE_ENDED) {
            status = order(orders, work, &item);
        }
    }
    return status;
}

enum status order_cancel(const struct orders *orders, uint64_t number, struct order_state *state) {
    struct work work;
    enum status status = open_live(orders, number, &work, state);
    if (status != STATUS_OK || (work.image.flags & RECORD_CANCEL_REQUESTED) != 0) {
        return status;
    }
    work.image.flags |= RECORD_CANCEL_REQUESTED;
    work.image.cancel_requested = work_time(orders->now_ms);
    status = work_log_process(&work, RECORD_CANCEL_REQUESTED_EVENT);
    status = status == STATUS_OK ? for_each(orders, &work, cancel_item) : status;
    return finish(&work, status, state);
}

enum status order_suspend(const struct orders *orders, uint64_t number, struct order_state *state) {
    struct work work;
    enum status status = open_live(orders, number, &work, state);
    if (status != STATUS_OK || (work.image.flags & RECORD_HOLD) != 0) {
        return status;
    }
    work.image.flags |= RECORD_HOLD;
    status = work_log_process(&work, RECORD_SUSPENDED_EVENT);
    status = status == STATUS_OK ? for_each(orders, &work, suspend_item) : status;
    return finish(&work, status, state);
}

enum status order_resume(const struct orders *orders, uint64_t number, struct order_state *state) {
    struct work work;
    enum status status = open_live(orders, number, &work, state);
    if (status != STATUS_OK) {
        return status;
    }
    if ((work.image.flags & RECORD_HOLD) != 0) {
        work.image.flags &= ~(uint32_t)RECORD_HOLD;
        status = work_log_process(&work, RECORD_RESUMED_EVENT);
    }
    status = status == STATUS_OK ? for_each(orders, &work, resume_item) : status;
    return finish(&work, status, state);
}

/* ---- force ---- */

static enum status force_item(const struct orders *orders, struct work *work,
                              struct db_item *item) {
    (void)orders;
    if (item->phase == DB_PHASE_HELD && item->state == RECORD_SUSPENDED &&
        (work->image.flags & RECORD_HOLD) == 0) {
        item->phase = DB_PHASE_WAITING;
        return change(work, item, RECORD_READY, RECORD_RESUMED_EVENT);
    }
    item->is_forced = item->phase == DB_PHASE_ASSIGNED;
    return item->is_forced ? db_item_put(work->db, item) : STATUS_OK;
}

enum status order_force(const struct orders *orders, uint64_t number, struct order_state *state) {
    struct work work;
    enum status status = open_live(orders, number, &work, state);
    status = status == STATUS_OK         ? for_each(orders, &work, force_item)
             : status == STATUS_TERMINAL ? STATUS_ILLEGAL
                                         : status;
    return status == STATUS_ILLEGAL ? status : finish(&work, status, state);
}

/* ---- settle ---- */

static bool waits_for_person(const struct db_item *item) {
    return item->phase != DB_PHASE_ENDED && item->state == RECORD_SUSPENDED &&
           (item->suspension == RECORD_SUSPEND_REVIEW ||
            item->suspension == RECORD_SUSPEND_UNCERTAIN);
}

static enum status settle_item(const struct orders *orders, struct work *work, struct db_item *item,
                               bool is_done) {
    const struct sync_control control = {.owner = SYNC_OWN_UPSTREAM,
                                         .process = item->process,
                                         .item = item->item,
                                         .is_done = is_done};
    if (item->phase == DB_PHASE_ASSIGNED) {
        return order_forward(orders, item->hub, SYNC_SETTLE, &control);
    }
    item->phase = DB_PHASE_ENDED;
    return change(work, item, is_done ? RECORD_COMPLETED : RECORD_FAILED, RECORD_SETTLED_EVENT);
}

enum status order_settle(const struct orders *orders, uint64_t number, uint32_t wanted,
                         bool is_done, struct order_state *state) {
    struct work work;
    struct db_item item = {0};
    uint32_t found = 0;
    uint32_t settled = 0;
    enum status status = open_live(orders, number, &work, state);
    while (status == STATUS_OK) {
        status = db_item_next(orders->db, number, item.item, &item);
        if (status != STATUS_OK || (wanted != 0 && item.item != wanted)) {
            continue;
        }
        found += 1;
        if (waits_for_person(&item)) {
            settled += 1;
            status = settle_item(orders, &work, &item, is_done);
        }
    }
    if (status == STATUS_NOT_FOUND && settled == 0) {
        return found == 0 ? STATUS_NOT_FOUND : STATUS_ILLEGAL;
    }
    return status == STATUS_TERMINAL ? status : finish(&work, status, state);
}

/* ---- retry ---- */

static bool is_retried(const struct db_item *item) {
    return !item->is_superseded && (item->state == RECORD_FAILED || item->state == RECORD_CANCELED);
}

/* The old row is superseded; its successor takes what it needs from it. */
static enum status replace_row(struct work *work, struct db_item *old, uint32_t number) {
    struct record_item image;
    const struct db_item before = *old;
    enum status status = work_read_item(work, old, &image);
    image.superseded = true;
    status = status == STATUS_OK ? work_put_row(work, &before, old, &image) : status;
    struct db_item item = before;
    const struct record_item fresh = {.state = RECORD_READY,
                                      .generation = work->image.generation,
                                      .target_index = image.target_index,
                                      .target_phone = image.target_phone};
    item.item = number;
    item.phase = DB_PHASE_WAITING;
    item.due_ms = 0;
    item.hub[0] = '\0';
    item.assignment = 0;
    item.is_started = false;
    item.is_withdrawing = false;
    item.is_lost = false;
    item.is_forced = false;
    item.refusals = 0;
    item.refused_hub[0] = '\0';
    return status == STATUS_OK ? work_put_row(work, NULL, &item, &fresh) : status;
}

static enum status replace_rows(const struct orders *orders, struct work *work) {
    struct db_item item = {0};
    uint32_t last = work->image.item_count;
    enum status status = STATUS_OK;
    while (item.item < last) {
        status = db_item_next(orders->db, work->row.number, item.item, &item);
        if (status != STATUS_OK || item.item > last) {
            break;
        }
        if (is_retried(&item)) {
            work->image.item_count += 1;
            status = replace_row(work, &item, work->image.item_count);
        }
        if (status != STATUS_OK) {
            break;
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* The next item of the generation before that this one takes the place of. */
static enum status find_target(const struct orders *orders, struct work *work, uint32_t *behind,
                               struct record_item *image) {
    struct db_item old = {.item = *behind};
    enum status status = STATUS_OK;
    do {
        status = db_item_next(orders->db, work->row.number, old.item, &old);
    } while (status == STATUS_OK &&
             !(old.is_superseded && old.generation + 1 == work->image.generation));
    *behind = old.item;
    return status == STATUS_OK ? work_read_item(work, &old, image) : status;
}

static enum status log_row(const struct orders *orders, struct work *work,
                           const struct db_item *item, uint32_t *behind) {
    struct record_item image = {0};
    enum status status = STATUS_OK;
    if (item->is_superseded && item->generation + 1 == work->image.generation) {
        status = work_read_item(work, item, &image);
        image.superseded = true;
        return status == STATUS_OK ? work_log_item(work, item, &image, RECORD_RETRIED_EVENT)
                                   : status;
    }
    if (item->generation != work->image.generation) {
        return STATUS_OK;
    }
    status = find_target(orders, work, behind, &image);
    const struct record_item fresh = {.state = RECORD_READY,
                                      .generation = item->generation,
                                      .target_index = image.target_index,
                                      .target_phone = image.target_phone};
    return status == STATUS_OK ? work_log_item(work, item, &fresh, RECORD_PLANNED_EVENT) : status;
}

/* Their records come last: before, the status would be that of some of them. */
static enum status log_rows(const struct orders *orders, struct work *work) {
    struct db_item item = {0};
    uint32_t behind = 0;
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_item_next(orders->db, work->row.number, item.item, &item);
        status = status == STATUS_OK ? log_row(orders, work, &item, &behind) : status;
    }
    return status;
}

static enum status reopen(const struct orders *orders, struct work *work) {
    struct record_request request;
    enum status status = work_request(work, &request);
    bool is_past = (work->image.flags & RECORD_PAST_DEADLINE) != 0 ||
                   (request.deadline_ms != 0 && request.deadline_ms <= orders->now_ms);
    work->image.generation += 1;
    work->image.flags &= ~(uint32_t)(RECORD_CANCEL_REQUESTED | RECORD_HOLD | RECORD_PAST_DEADLINE);
    work->image.is_deadline_over = work->image.is_deadline_over || is_past;
    work->row.deadline_ms = work->image.is_deadline_over ? 0 : request.deadline_ms;
    work->image.retrying = (struct record_time){0};
    work->image.cancel_requested = (struct record_time){0};
    work->image.finished = (struct record_time){0};
    work->image.queued = work_time(orders->now_ms);
    return status;
}

enum status order_retry(const struct orders *orders, uint64_t number, struct order_state *state) {
    struct work work;
    enum status status = work_open(&work, orders->db, orders->now_ms, number);
    if (status != STATUS_OK) {
        return status;
    }
    tell_state(&work, state);
    bool is_empty = state->status == PROCESS_NO_TARGET;
    bool may_retry =
        is_empty || state->status == PROCESS_PARTIAL || state->status == PROCESS_DEAD_LETTER;
    if (!may_retry || work.image.item_count > ORDER_ITEMS_EVER_MAX) {
        return may_retry ? STATUS_FULL : STATUS_ILLEGAL;
    }
    status = reopen(orders, &work);
    if (is_empty) {
        status = status == STATUS_OK ? order_plan_again(orders, &work) : status;
        return status == STATUS_ILLEGAL ? status : finish(&work, status, state);
    }
    status = status == STATUS_OK ? replace_rows(orders, &work) : status;
    status = status == STATUS_OK ? work_log_process(&work, RECORD_RETRIED_EVENT) : status;
    status = status == STATUS_OK ? log_rows(orders, &work) : status;
    return finish(&work, status, state);
}

/* ---- a hub's own ---- */

enum status order_forward(const struct orders *orders, const char *hub, enum sync_command_kind kind,
                          const struct sync_control *control) {
    const struct assignment_order order = {
        .epoch = orders->upstream->epoch, .hub = hub, .kind = kind, .control = control};
    return assignment_command(orders->db, &order);
}
