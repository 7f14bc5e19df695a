/* The next generation of a process that ended without success (SPEC.md section 3). */
#include "firmware/hub_internal.h"

static bool may_retry(const struct hub_process *process) {
    return process->status == PROCESS_PARTIAL || process->status == PROCESS_DEAD_LETTER ||
           process->status == PROCESS_NO_TARGET;
}

static bool is_retried(const struct hub_item *item) {
    return !item->image.superseded &&
           (item->image.state == RECORD_FAILED || item->image.state == RECORD_CANCELED);
}

static void supersede(struct hub *hub, uint32_t item) {
    hub_item_leave(hub, item);
    hub->items[item].image.superseded = true;
    hub_item_enter(hub, item);
}

static void reopen(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    hub_finished_remove(hub, process);
    of->end_seq = 0;
    of->image.generation += 1;
    bool is_past = (of->image.flags & RECORD_PAST_DEADLINE) != 0 ||
                   (of->deadline_ms != 0 && of->deadline_ms <= hub->clock.wall_ms);
    of->image.flags &= ~(uint32_t)(RECORD_CANCEL_REQUESTED | RECORD_HOLD | RECORD_PAST_DEADLINE);
    if (is_past) {
        of->deadline_ms = 0;
        of->image.is_deadline_over = true;
    }
    of->image.retrying = (struct record_time){0};
    of->image.cancel_requested = (struct record_time){0};
    of->image.finished = (struct record_time){0};
    of->image.queued = hub_now(hub);
}

/* New items in the place of those that are superseded, which all come before them. */
static void replace_items(struct hub *hub, uint32_t process, const struct record_request *request) {
    struct hub_process *of = &hub->processes[process];
    uint32_t last = of->last_item;
    for (uint32_t i = of->first_item;; i = hub->items[i].next_of_process) {
        if (is_retried(&hub->items[i])) {
            struct bytes accounts = request->accounts;
            struct hub_target target = {.index = hub->items[i].image.target_index,
                                        .phone = hub->items[i].image.target_phone};
            for (uint32_t skipped = 0; skipped <= target.index; skipped++) {
                target.account = hub_account_next(&accounts);
            }
            supersede(hub, i);
            (void)hub_item_make(hub, process, &target);
        }
        if (i == last) {
            return;
        }
    }
}

/* Nothing was ever planned: it is planned now. */
static void plan_anew(struct hub *hub, uint32_t process, const struct record_request *request) {
    struct hub_process *of = &hub->processes[process];
    of->image.flags &= ~(uint32_t)RECORD_PLANNED;
    hub_log_process(hub, process, RECORD_RETRIED_EVENT);
    of->image.flags |= RECORD_PLANNED;
    hub_process_plan(hub, process, request, NULL);
    hub_log_process(hub, process, RECORD_PLANNED_EVENT);
}

/* Its status must not be derived while only some items have been replaced: records come last.
 * What a retry supersedes is always of the generation before. */
static void log_items(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        const struct record_item *image = &hub->items[i].image;
        if (image->generation == of->image.generation) {
            (void)hub_log_item(hub, i, RECORD_PLANNED_EVENT);
        } else if (image->superseded && image->generation + 1 == of->image.generation) {
            (void)hub_log_item(hub, i, RECORD_RETRIED_EVENT);
        }
    }
}

/* How many items the next generation gets. */
static uint32_t count_new(const struct hub *hub, uint32_t process,
                          const struct record_request *request) {
    uint32_t count = 0;
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        count += is_retried(&hub->items[i]);
    }
    return hub->processes[process].first_item == HUB_NONE ? request->item_count : count;
}

static enum status admit(struct hub *hub, uint32_t process, uint32_t count) {
    const struct hub_process *of = &hub->processes[process];
    uint64_t bytes = UINT64_C(2) * HUB_RECORD_BYTES +
                     (uint64_t)count * (HUB_PLAIN_RECORD_BYTES + HUB_NEW_ITEM_BYTES);
    if (bytes > hub->board->frame_bytes - 64 - hub->held_bytes ||
        (uint64_t)of->image.item_count + count >= UINT32_C(1) << HUB_ORDER_ITEM_BITS) {
        return STATUS_FULL;
    }
    uint64_t later = hub_reserve_bytes(hub, of->capability, count);
    enum status status = hub_evict_for(hub, count, bytes + later, process);
    return status == STATUS_OK && !hub_has_room(hub, (uint32_t)bytes) ? STATUS_AGAIN : status;
}

enum status hub_retry(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    struct record_request request;
    check(pool_is_used(&hub->process_pool, process));
    if (!may_retry(of)) {
        return STATUS_ILLEGAL;
    }
    uint32_t label_set;
    enum status status = hub_request_read(hub, process, &request);
    status = status == STATUS_OK ? hub_labels_take(hub, request.labels, &label_set) : status;
    if (status != STATUS_OK) {
        return status;
    }
    status = admit(hub, process, count_new(hub, process, &request));
    if (status != STATUS_OK) {
        hub_labels_give(hub, label_set);
        return status;
    }
    reopen(hub, process);
    of->label_set = label_set;
    of->key_gate = hub_key_gate_take(hub, process, &request);
    if (of->first_item == HUB_NONE) {
        plan_anew(hub, process, &request);
    } else {
        replace_items(hub, process, &request);
        hub_log_process(hub, process, RECORD_RETRIED_EVENT);
    }
    log_items(hub, process);
    hub_process_arm(hub, process);
    hub_process_settle(hub, process);
    return STATUS_OK;
}
