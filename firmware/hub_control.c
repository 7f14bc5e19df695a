/* What people ask of a process: cancel, suspend, resume, settle. */
#include "firmware/hub_internal.h"

enum status hub_cancel(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    check(pool_is_used(&hub->process_pool, process));
    if (of->end_seq != 0) {
        return STATUS_TERMINAL;
    }
    if ((of->image.flags & RECORD_CANCEL_REQUESTED) != 0) {
        return STATUS_OK;
    }
    if (!hub_has_room(hub, hub_process_end_room(hub, process))) {
        return STATUS_AGAIN;
    }
    of->image.flags |= RECORD_CANCEL_REQUESTED;
    of->image.cancel_requested = hub_now(hub);
    hub_log_process(hub, process, RECORD_CANCEL_REQUESTED_EVENT);
    hub_process_end_items(hub, process, RECORD_STOP_CANCEL);
    hub_process_settle(hub, process);
    return STATUS_OK;
}

uint32_t hub_item_find(const struct hub *hub, uint32_t process, uint32_t number) {
    uint32_t item = hub->processes[process].first_item;
    while (item != HUB_NONE && hub->items[item].number != number) {
        item = hub->items[item].next_of_process;
    }
    return item;
}

/* ---- suspend ---- */

/* A held item leaves its queue, gives back a lease it has not used, or is asked to stop. */
static void hold_item(struct hub *hub, uint32_t item) {
    uint8_t state = hub->items[item].image.state;
    if (state == RECORD_READY) {
        queue_remove(hub, item);
    } else if (state == RECORD_LEASED) {
        hub_item_change(hub, item, ITEM_ON_GIVE_BACK, RECORD_RETURNED_EVENT);
    } else if (state == RECORD_RUNNING) {
        hub_item_ask_suspend(hub, item, RECORD_SUSPEND_OPERATOR);
    }
}

enum status hub_suspend(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    check(pool_is_used(&hub->process_pool, process));
    if (of->end_seq != 0) {
        return STATUS_TERMINAL;
    }
    if ((of->image.flags & RECORD_HOLD) != 0) {
        return STATUS_OK;
    }
    if (!hub_has_room(hub, hub_process_end_room(hub, process))) {
        return STATUS_AGAIN;
    }
    of->image.flags |= RECORD_HOLD;
    hub_log_process(hub, process, RECORD_SUSPENDED_EVENT);
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        if (!hub->items[i].image.superseded) {
            hold_item(hub, i);
        }
    }
    return STATUS_OK;
}

/* ---- resume ---- */

static bool is_live_in(const struct hub_item *item, enum record_item_state state) {
    return !item->image.superseded && item->image.state == state;
}

static void resume_item(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    if (is_live_in(of, RECORD_SUSPENDED)) {
        hub_item_change(hub, item, ITEM_ON_RESUME, RECORD_RESUMED_EVENT);
    } else if (is_live_in(of, RECORD_READY)) {
        hub_item_queue(hub, item);
    }
}

enum status hub_resume(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    check(pool_is_used(&hub->process_pool, process));
    if (of->end_seq != 0) {
        return STATUS_TERMINAL;
    }
    if ((of->image.flags & RECORD_HOLD) == 0 && of->counts.by_state[RECORD_SUSPENDED] == 0) {
        return STATUS_OK;
    }
    if (!hub_has_room(hub, hub_process_end_room(hub, process))) {
        return STATUS_AGAIN;
    }
    of->image.flags &= ~(uint32_t)RECORD_HOLD;
    hub_log_process(hub, process, RECORD_RESUMED_EVENT);
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        resume_item(hub, i);
    }
    return STATUS_OK;
}

/* ---- settle ---- */

static bool waits_for_a_person(const struct hub_item *item) {
    return is_live_in(item, RECORD_SUSPENDED) &&
           (item->image.suspension == RECORD_SUSPEND_UNCERTAIN ||
            item->image.suspension == RECORD_SUSPEND_REVIEW);
}

enum status hub_settle(struct hub *hub, uint32_t process, uint32_t number, bool is_done) {
    const struct hub_process *of = &hub->processes[process];
    check(pool_is_used(&hub->process_pool, process));
    uint32_t only = number == 0 ? HUB_NONE : hub_item_find(hub, process, number);
    uint32_t waiting = 0;
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        waiting += (number == 0 || i == only) && waits_for_a_person(&hub->items[i]);
    }
    if (of->end_seq != 0) {
        return STATUS_TERMINAL;
    }
    if (number != 0 && only == HUB_NONE) {
        return STATUS_NOT_FOUND;
    }
    if (waiting == 0) {
        return STATUS_ILLEGAL;
    }
    if (!hub_has_room(hub, hub_process_end_room(hub, process))) {
        return STATUS_AGAIN;
    }
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        if ((number == 0 || i == only) && waits_for_a_person(&hub->items[i])) {
            hub_item_change(hub, i, is_done ? ITEM_ON_SETTLE_DONE : ITEM_ON_SETTLE_FAILED,
                            RECORD_SETTLED_EVENT);
        }
    }
    return STATUS_OK;
}
