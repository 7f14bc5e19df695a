/* Decides which item runs on which phone: direct items wait in their phone's queue, the others in
 * their capability's; each queue is kept in the order priority, then age. */
#include "firmware/hub_internal.h"

enum { SEARCH_MAX = 32 }; /* items looked at in one queue before a phone gives up on it */

static bool goes_before(const struct hub *hub, uint32_t a, uint32_t b) {
    const struct hub_item *item_a = &hub->items[a];
    const struct hub_item *item_b = &hub->items[b];
    const struct hub_process *process_a = &hub->processes[item_a->process];
    const struct hub_process *process_b = &hub->processes[item_b->process];
    if (process_a->priority != process_b->priority) {
        return process_a->priority > process_b->priority;
    }
    if (process_a->number != process_b->number) {
        return process_a->number < process_b->number;
    }
    return item_a->number < item_b->number;
}

/* The item behind which a new one goes. Both ends are searched at once: a new item belongs near
 * the end, a retried one near the front. HUB_NONE: in front of all. */
static uint32_t find_place(const struct hub *hub, const struct hub_queue *queue, uint32_t item) {
    uint32_t front = queue->first;
    uint32_t back = queue->last;
    for (;;) {
        if (back == HUB_NONE || goes_before(hub, back, item)) {
            return back;
        }
        if (goes_before(hub, item, front)) {
            return hub->items[front].queue_previous;
        }
        back = hub->items[back].queue_previous;
        front = hub->items[front].queue_next;
        if (front == HUB_NONE) {
            return queue->last;
        }
    }
}

void schedule_enqueue(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    check(of->queue == HUB_NONE);
    uint32_t capability = hub->processes[of->process].capability;
    if (of->image.target_phone != 0) {
        of->queue = hub_phone_by_number(hub, of->image.target_phone);
    } else if (capability != HUB_NONE) {
        of->queue = hub->board->phones + capability;
    }
    if (of->queue == HUB_NONE) {
        return; /* its capability or phone is unknown here: it waits outside the queues */
    }
    struct hub_queue *queue = &hub->queues[of->queue];
    uint32_t previous = find_place(hub, queue, item);
    uint32_t next = previous == HUB_NONE ? queue->first : hub->items[previous].queue_next;
    of->queue_previous = previous;
    of->queue_next = next;
    *(previous == HUB_NONE ? &queue->first : &hub->items[previous].queue_next) = item;
    *(next == HUB_NONE ? &queue->last : &hub->items[next].queue_previous) = item;
    hub->is_unscheduled = true;
}

void schedule_dequeue(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    if (of->queue == HUB_NONE) {
        return;
    }
    struct hub_queue *queue = &hub->queues[of->queue];
    uint32_t previous = of->queue_previous;
    uint32_t next = of->queue_next;
    *(previous == HUB_NONE ? &queue->first : &hub->items[previous].queue_next) = next;
    *(next == HUB_NONE ? &queue->last : &hub->items[next].queue_previous) = previous;
    of->queue = HUB_NONE;
}

static bool other_phone_is_free(const struct hub *hub, uint32_t phone) {
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        if (p != phone && hub->phones[p].state == RECORD_PHONE_READY &&
            hub->phones[p].item == HUB_NONE) {
            return true;
        }
    }
    return false;
}

static bool may_run(const struct hub *hub, uint32_t item, uint32_t phone) {
    const struct hub_item *of = &hub->items[item];
    const struct hub_process *process = &hub->processes[of->process];
    if ((process->image.flags & RECORD_HOLD) != 0 || process->capability == HUB_NONE) {
        return false;
    }
    bool is_avoided = of->failed_phone == phone && of->failed_phone_count >= 2;
    return !is_avoided || of->image.target_phone != 0 || !other_phone_is_free(hub, phone);
}

static uint32_t first_runnable(const struct hub *hub, uint32_t queue, uint32_t phone) {
    uint32_t item = hub->queues[queue].first;
    for (int i = 0; i < SEARCH_MAX && item != HUB_NONE; i++) {
        if (may_run(hub, item, phone)) {
            return item;
        }
        item = hub->items[item].queue_next;
    }
    return HUB_NONE;
}

static uint32_t best_for(const struct hub *hub, uint32_t phone) {
    uint32_t best = first_runnable(hub, phone, phone);
    for (uint32_t c = 0; c < hub->capability_count; c++) {
        uint32_t item = first_runnable(hub, hub->board->phones + c, phone);
        if (item != HUB_NONE && (best == HUB_NONE || goes_before(hub, item, best))) {
            best = item;
        }
    }
    return best;
}

/* Lease and start are two records of one group: nothing lies between them on a hub. */
static void grant(struct hub *hub, uint32_t phone, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    struct hub_phone *on = &hub->phones[phone];
    hub->image.token_counter += 1;
    of->image.phone = on->number;
    of->image.token = (uint64_t)hub->store.epoch << 40 | hub->image.token_counter;
    on->item = item;
    on->is_started = false;
    on->stop_told = false;
    check(phone_apply(&on->state, PHONE_ON_LEASE) == STATUS_OK);
    hub_item_change(hub, item, ITEM_ON_GRANT, RECORD_LEASED_EVENT);

    of->attempt_started = hub_now(hub);
    if (of->image.started.boot == 0) {
        of->image.started = of->attempt_started;
    }
    of->progress_percent = 0;
    of->step = (uint8_t)of->image.actions_done;
    hub_item_change(hub, item, ITEM_ON_START, RECORD_STARTED_EVENT);
    of->start_seq = hub->store.head_seq;
}

/* True when a lease was granted. */
static bool lease_one(struct hub *hub, uint32_t phone) {
    if (hub->phones[phone].state != RECORD_PHONE_READY || hub->phones[phone].item != HUB_NONE) {
        return false;
    }
    uint32_t item = best_for(hub, phone);
    if (item != HUB_NONE) {
        grant(hub, phone, item);
    }
    return item != HUB_NONE;
}

/* Goes round again after a grant: an item may have avoided a phone because another, taken since,
 * was free. */
void schedule_run(struct hub *hub) {
    while (hub->is_unscheduled) {
        hub->is_unscheduled = false;
        for (uint32_t p = 0; p < hub->phone_count; p++) {
            if (!hub_has_room(hub, HUB_TRANSITION_BYTES)) {
                hub->is_unscheduled = true;
                return;
            }
            hub->is_unscheduled = lease_one(hub, p) || hub->is_unscheduled;
        }
    }
}
