#include "host/upstreamd/fleet/assignment.h"

#include <string.h>

/* ---- ending ---- */

static void copy_text(char *target, size_t capacity, const char *text) {
    size_t size = strnlen(text, capacity - 1);
    memcpy(target, text, size);
    target[size] = '\0';
}

static enum record_category category_of(enum assignment_end why) {
    return why == ASSIGNMENT_FORGOTTEN ? RECORD_CATEGORY_HOST_RESTARTED
                                       : RECORD_CATEGORY_LEASE_EXPIRED;
}

/* The attempt that ran on a hub when it was lost, as a reader sees its end. */
static enum status log_lost_attempt(struct work *work, const struct db_item *item,
                                    const struct record_item *image, const char *hub,
                                    enum assignment_end why) {
    bool is_forgotten = why == ASSIGNMENT_FORGOTTEN;
    struct bytes message = is_forgotten
                               ? bytes_of("its hub came back with an older, or another, store")
                               : bytes_of("its hub was silent until the grant was over");
    struct record_attempt attempt = {
        .outcome = RECORD_FAILURE,
        .category = (uint8_t)category_of(why),
        .actions_done = image->actions_done,
        .phone_id = {(const uint8_t *)item->phone, strlen(item->phone)},
        .code = is_forgotten ? bytes_of("hub_forgot") : bytes_of("grant_ended"),
        .message = message,
        .worker = {(const uint8_t *)hub, 0},
        .started = image->started,
        .ended = work_time(work->now_ms),
    };
    return work_log_attempt(work, item->item, image->attempt, &attempt, RECORD_ATTEMPT_ENDED_EVENT);
}

/* What an item becomes that no hub has. */
static enum record_event settle(const struct work *work, struct db_item *item,
                                struct record_item *image, enum assignment_end why,
                                bool has_attempts) {
    uint32_t flags = work->image.flags;
    image->category = RECORD_CATEGORY_NONE;
    item->phase = DB_PHASE_ENDED;
    if ((flags & RECORD_CANCEL_REQUESTED) != 0) {
        image->state = RECORD_CANCELED;
        return RECORD_CANCELED_EVENT;
    }
    if ((flags & RECORD_PAST_DEADLINE) != 0 || !has_attempts) {
        image->state = RECORD_FAILED;
        image->category = (uint8_t)(has_attempts ? RECORD_CATEGORY_DEADLINE : category_of(why));
        return RECORD_FAILED_EVENT;
    }
    if (why == ASSIGNMENT_FORGOTTEN && item->is_once && !item->is_forced &&
        image->state != RECORD_SUSPENDED) {
        image->state = RECORD_SUSPENDED;
        image->suspension = RECORD_SUSPEND_UNCERTAIN;
        item->phase = DB_PHASE_HELD;
        return RECORD_SUSPENDED_EVENT;
    }
    if (image->state == RECORD_SUSPENDED && !item->is_forced) {
        item->phase = DB_PHASE_HELD;
        return RECORD_RETURNED_EVENT;
    }
    image->state = RECORD_READY;
    image->suspension = RECORD_SUSPEND_NONE;
    item->phase = (flags & RECORD_HOLD) != 0 ? DB_PHASE_HELD : DB_PHASE_WAITING;
    return RECORD_RETURNED_EVENT;
}

/* Where the next attempt goes on, on whatever hub. */
static void take_over(struct record_item *image, const struct record_item *told) {
    image->attempt = told->attempt;
    image->attempts_counted = told->attempts_counted;
    image->actions_done = told->actions_done;
    image->actions_digest = told->actions_digest;
    image->state = told->state;
    image->suspension = told->suspension;
}

/* `told`: NULL when its hub said nothing of it. */
static enum status end(struct work *work, struct db_item *item, enum assignment_end why,
                       uint32_t attempts_max, const struct record_item *told) {
    struct record_item image;
    const struct db_item before = *item;
    enum status status = work_read_item(work, item, &image);
    if (status != STATUS_OK) {
        return status;
    }
    if (told != NULL) {
        take_over(&image, told);
    }
    bool was_running =
        image.state == RECORD_RUNNING && (why == ASSIGNMENT_LOST || why == ASSIGNMENT_FORGOTTEN);
    image.attempts_counted += was_running;
    image.stop = RECORD_STOP_NONE;
    image.phone = 0;
    image.wait_ms = 0;
    image.worker = (struct bytes){0};
    image.claim = (struct bytes){0};
    image.grant_ms = 0;
    image.grant_from = (struct record_time){0};
    bool has_attempts = !was_running || image.attempts_counted < attempts_max;
    enum record_event event = settle(work, item, &image, why, has_attempts);
    item->hub[0] = '\0';
    item->is_started = false;
    item->is_withdrawing = false;
    item->is_lost = false;
    item->is_forced = false;
    if (why == ASSIGNMENT_REFUSED) {
        item->refusals += 1;
        item->due_ms = work->now_ms + assignment_backoff_ms(item->refusals);
        copy_text(item->refused_hub, sizeof item->refused_hub, before.hub);
    } else {
        item->refused_hub[0] = '\0';
    }
    /* A refused offer was never seen by readers: nothing has changed for them. */
    bool is_seen = image.state != before.state || was_running;
    status = work_put_row(work, &before, item, &image);
    if (status == STATUS_OK && was_running) {
        status = log_lost_attempt(work, item, &image, before.hub, why);
    }
    return status == STATUS_OK && is_seen ? work_log_item(work, item, &image, event) : status;
}

enum status assignment_end(struct work *work, struct db_item *item, enum assignment_end why,
                           uint32_t attempts_max) {
    return end(work, item, why, attempts_max, NULL);
}

enum status assignment_return(struct work *work, struct db_item *item,
                              const struct record_item *told) {
    return end(work, item, ASSIGNMENT_WITHDRAWN, 0, told);
}

/* ---- commands ---- */

static uint8_t command_buffer[DB_COMMAND_MAX];

enum status assignment_command(struct db *db, const struct assignment_order *order) {
    struct db_ledger ledger = {.epoch = order->epoch};
    struct db_command command = {.epoch = order->epoch, .kind = order->kind};
    struct cbor_writer writer;
    copy_text(ledger.hub, sizeof ledger.hub, order->hub);
    copy_text(command.hub, sizeof command.hub, order->hub);
    enum status status = db_ledger_lock(db, &ledger);
    if (status != STATUS_OK) {
        return status;
    }
    ledger.command += 1;
    command.number = ledger.command;
    cbor_writer_init(&writer, command_buffer, sizeof command_buffer);
    if (order->kind == SYNC_OFFER) {
        check(order->offer != NULL);
        sync_offer_write(&writer, command.number, order->offer);
        command.process = order->offer->process;
        command.item = order->offer->item;
        command.assignment = order->offer->assignment;
    } else {
        bool is_own = order->control->owner == SYNC_OWN_HUB;
        sync_control_write(&writer, command.number, order->kind, order->control);
        command.process = is_own ? 0 : order->control->process;
        command.item = order->control->item;
        command.assignment = order->control->assignment;
    }
    if (writer.overflow) {
        return STATUS_TOO_LARGE;
    }
    command.bytes = (struct bytes){command_buffer, writer.size};
    status = db_command_add(db, &command);
    return status == STATUS_OK ? db_ledger_put(db, &ledger) : status;
}

enum status assignment_tell(struct db *db, uint32_t epoch, enum sync_command_kind kind,
                            const struct db_item *item) {
    const struct sync_control control = {
        .owner = SYNC_OWN_UPSTREAM,
        .process = item->process,
        .item = item->item,
        .assignment = item->assignment,
    };
    const struct assignment_order order = {
        .epoch = epoch, .hub = item->hub, .kind = kind, .control = &control};
    return assignment_command(db, &order);
}
