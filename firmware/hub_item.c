/* The transitions of items: which event it is, what follows from it, and the records of both. */
#include "firmware/hub_internal.h"

#include <string.h>

/* ---- tables around an item ---- */

/* Rows are given in the order of their numbers and never taken back. */
uint32_t hub_phone_by_number(const struct hub *hub, uint64_t number) {
    if (number > 0 && number <= hub->phone_count && hub->phones[number - 1].number == number) {
        return (uint32_t)(number - 1);
    }
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        if (hub->phones[p].number == number) {
            return p;
        }
    }
    return HUB_NONE;
}

const struct capability *hub_capability_of(const struct hub *hub, uint32_t item) {
    uint32_t capability = hub->processes[hub->items[item].process].capability;
    return capability == HUB_NONE ? NULL : &hub->capabilities[capability];
}

uint32_t hub_item_phone(const struct hub *hub, uint32_t item) {
    uint64_t number = hub->items[item].image.phone;
    return number == 0 ? HUB_NONE : hub_phone_by_number(hub, number);
}

bool hub_item_is_external(const struct hub *hub, uint32_t item) {
    uint32_t phone = hub_item_phone(hub, item);
    return phone != HUB_NONE && hub->phones[phone].item == item &&
           hub->phones[phone].lease.worker[0] != '\0';
}

uint64_t hub_lease_ms(const struct hub *hub, uint32_t item) {
    const struct capability *capability = hub_capability_of(hub, item);
    return capability == NULL || capability->lease_ms == 0 ? HUB_LEASE_MS : capability->lease_ms;
}

/* What this item may still write: DESIGN.md's reserve, which admission keeps free. */
static uint64_t reserve_of(const struct hub *hub, uint32_t item) {
    const struct record_item *image = &hub->items[item].image;
    if (image->superseded || item_is_terminal(image->state)) {
        return 0;
    }
    const struct capability *capability = hub_capability_of(hub, item);
    uint32_t max = capability == NULL ? 1 : capability->attempts_max;
    uint32_t left = max > image->attempts_counted ? max - image->attempts_counted : 1;
    return (uint64_t)left * 4 * HUB_PLAIN_RECORD_BYTES + HUB_ERROR_BYTES + HUB_PLAIN_RECORD_BYTES;
}

uint64_t hub_reserve_bytes(const struct hub *hub, uint32_t capability, uint32_t items) {
    uint64_t attempts = capability == HUB_NONE ? 1 : hub->capabilities[capability].attempts_max;
    return items *
           (attempts * 4 * HUB_PLAIN_RECORD_BYTES + HUB_ERROR_BYTES + HUB_PLAIN_RECORD_BYTES);
}

void hub_reserve_recount(struct hub *hub) {
    hub->reserved_bytes = 0;
    for (uint32_t item = 0; item < hub->item_pool.touched; item++) {
        if (pool_is_used(&hub->item_pool, item)) {
            hub->reserved_bytes += reserve_of(hub, item);
        }
    }
}

static bool is_counted(const struct hub_item *item) {
    return !item->image.superseded;
}

static void count_item(struct hub *hub, uint32_t item, bool enters) {
    const struct hub_item *of = &hub->items[item];
    struct process_counts *counts = &hub->processes[of->process].counts;
    const uint16_t one = enters ? 1 : UINT16_MAX;
    if (is_counted(of)) {
        uint16_t *count = &counts->by_state[of->image.state];
        *count = (uint16_t)(*count + one);
        bool in_review =
            of->image.state == RECORD_SUSPENDED && of->image.suspension == RECORD_SUSPEND_REVIEW;
        counts->in_review = (uint16_t)(counts->in_review + (in_review ? one : 0));
    }
}

void hub_item_enter(struct hub *hub, uint32_t item) {
    count_item(hub, item, true);
    hub->reserved_bytes += reserve_of(hub, item);
    hub_item_queue(hub, item);
}

void hub_item_queue(struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    bool is_held = (hub->processes[of->process].image.flags & RECORD_HOLD) != 0;
    if (of->image.state == RECORD_READY && !is_held && !of->is_queued &&
        hub_grant_is_live(hub, item)) {
        queue_add(hub, item);
    }
}

void hub_item_leave(struct hub *hub, uint32_t item) {
    queue_remove(hub, item);
    hub->reserved_bytes -= reserve_of(hub, item);
    count_item(hub, item, false);
}

static bool has_lease(const struct hub_item *item) {
    return item->image.state == RECORD_LEASED || item->image.state == RECORD_RUNNING;
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* A running item ends by its limit, its worker's silence or its budget, whichever comes first. */
static uint64_t running_until(const struct hub *hub, uint32_t item) {
    uint32_t phone = hub_item_phone(hub, item);
    check(phone != HUB_NONE);
    const struct hub_lease *lease = &hub->phones[phone].lease;
    uint64_t budget =
        lease->budget_ms == TIMER_NEVER ? TIMER_NEVER : lease->budget_at_ms + lease->budget_ms;
    return sooner(sooner(sooner(lease->limit_ms, lease->expiry_ms), budget),
                  hub_grant_until_ms(hub, item));
}

uint64_t hub_item_grace_ms(const struct hub *hub, uint32_t item) {
    const struct capability *capability = hub_capability_of(hub, item);
    return capability == NULL || capability->stop_ms == 0 ? hub->stop_grace_ms
                                                          : capability->stop_ms;
}

static uint64_t timer_for(struct hub *hub, uint32_t item, uint64_t stop_due) {
    const struct hub_item *of = &hub->items[item];
    const struct capability *capability = hub_capability_of(hub, item);
    uint64_t now = hub->clock.mono_ms;
    if (of->image.state == RECORD_LEASED) {
        uint32_t phone = hub_item_phone(hub, item);
        uint64_t expiry = phone == HUB_NONE ? TIMER_NEVER : hub->phones[phone].lease.expiry_ms;
        expiry = expiry == TIMER_NEVER ? now + hub_lease_ms(hub, item) : expiry;
        return sooner(expiry, hub_grant_until_ms(hub, item));
    }
    if (of->image.state == RECORD_RUNNING) {
        bool is_stopping = of->image.stop != RECORD_STOP_NONE;
        return is_stopping ? sooner(stop_due, now + hub_item_grace_ms(hub, item))
                           : running_until(hub, item);
    }
    if (of->image.state == RECORD_SUSPENDED && of->image.suspension == RECORD_SUSPEND_BUDGET) {
        return hub->resume_ms;
    }
    if (of->image.state == RECORD_RETRY_WAIT) {
        check(capability != NULL);
        return now + backoff_ms(&capability->backoff, of->image.attempts_counted, &hub->jitter);
    }
    return TIMER_NEVER;
}

void hub_item_rearm(struct hub *hub, uint32_t item) {
    timer_set(&hub->timers, hub_item_timer(hub, item), timer_for(hub, item, TIMER_NEVER));
}

const uint64_t hub_stay_ms[HUB_STAYS - 1] = {10, 100, 1000, 10000, 60000, 600000, 3600000};

static void count_transition(struct hub *hub, struct hub_item *of, enum record_item_state from) {
    hub->counters.transitions[from][of->image.state] += 1;
    if (from == of->image.state) {
        return;
    }
    uint64_t stayed_ms = hub->clock.mono_ms - of->entered_ms;
    uint32_t class = 0;
    while (class < HUB_STAYS - 1 && stayed_ms > hub_stay_ms[class]) {
        class += 1;
    }
    hub->counters.stays[from][class] += 1;
    hub->counters.stayed_ms[from] += stayed_ms;
    of->entered_ms = hub->clock.mono_ms;
}

static void apply(struct hub *hub, uint32_t item, enum item_event event, enum record_event record) {
    struct hub_item *of = &hub->items[item];
    enum record_item_state from = of->image.state;
    bool had_lease = has_lease(of);
    /* A second reason to stop does not prolong the grace time. */
    bool was_stopping = of->is_stopping;
    uint64_t due = timer_due(&hub->timers, hub_item_timer(hub, item));
    hub_item_leave(hub, item);
    check(item_apply(&of->image, event) == STATUS_OK);
    of->needs_recovery = of->needs_recovery && of->image.phone != 0;
    of->is_stopping = of->image.stop != RECORD_STOP_NONE;
    if (had_lease && !has_lease(of)) {
        queue_leave_gates(hub, item);
    } else if (!had_lease && has_lease(of)) {
        queue_pass_gates(hub, item);
    }
    hub_item_enter(hub, item);
    timer_set(&hub->timers, hub_item_timer(hub, item),
              timer_for(hub, item, was_stopping ? due : TIMER_NEVER));
    count_transition(hub, of, from);
    (void)hub_log_item(hub, item, record);
    if (item_is_terminal(of->image.state)) {
        queue_release(hub, item);
    }
}

/* The first retry of a generation is a milestone of its process. */
static void mark_retry(struct hub *hub, uint32_t item) {
    struct hub_process *of = &hub->processes[hub->items[item].process];
    if (hub->items[item].image.state == RECORD_RETRY_WAIT && of->image.retrying.boot == 0) {
        of->image.retrying = hub_now(hub);
        hub_log_process(hub, hub->items[item].process, RECORD_RETRY_SCHEDULED_EVENT);
    }
}

/* The hold may have been lifted while the item stopped for it. What is to be canceled, or is past
 * its deadline, stops for that, and does not wait again. */
static void go_on_if_not_held(struct hub *hub, uint32_t item) {
    const struct record_item *image = &hub->items[item].image;
    bool is_held = (hub->processes[hub->items[item].process].image.flags & RECORD_HOLD) != 0;
    if (image->state == RECORD_SUSPENDED && image->suspension == RECORD_SUSPEND_OPERATOR &&
        !is_held) {
        apply(hub, item, ITEM_ON_RESUME, RECORD_RESUMED_EVENT);
    }
}

void hub_item_change(struct hub *hub, uint32_t item, enum item_event event,
                     enum record_event record) {
    uint64_t phone = hub->items[item].image.phone;
    apply(hub, item, event, record);
    mark_retry(hub, item);
    go_on_if_not_held(hub, item);
    if (phone != 0 && hub->items[item].image.phone == 0) {
        uint32_t index = hub_phone_by_number(hub, phone);
        if (index != HUB_NONE && hub->phones[index].item == item) {
            hub_phone_lease_ended(hub, index);
        }
    }
    hub_process_settle(hub, hub->items[item].process);
}

/* ---- the process around it ---- */

void hub_process_settle(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    of->status = (uint8_t)process_derive(&of->counts, of->image.flags);
    if (!process_is_terminal(of->status) || of->end_seq != 0) {
        return;
    }
    of->image.finished = hub_now(hub);
    hub_log_process(hub, process, RECORD_FINISHED_EVENT);
    of->end_seq = hub->store.head_seq;
    timer_set(&hub->timers, hub_process_timer(hub, process), TIMER_NEVER);
    hub_process_give_tables(hub, process);
    hub_finished_add(hub, process);
}

void hub_process_give_tables(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    queue_gate_give(hub, of->key_gate);
    hub_labels_give(hub, of->label_set);
    of->key_gate = HUB_NONE;
    of->label_set = HUB_NONE;
}

/* Wall clock to the monotonic one; TIMER_NEVER while there is no wall clock. */
static uint64_t mono_of(const struct hub *hub, uint64_t wall_ms) {
    if (wall_ms == 0 || hub->clock.wall_ms == 0) {
        return TIMER_NEVER;
    }
    uint64_t offset = hub->clock.wall_ms - hub->clock.mono_ms;
    return wall_ms > offset ? wall_ms - offset : 0;
}

void hub_process_arm(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    if (of->deadline_ms != 0) {
        timer_set(&hub->timers, hub_process_timer(hub, process), mono_of(hub, of->deadline_ms));
    }
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        if (hub->items[i].image.state == RECORD_SCHEDULED) {
            timer_set(&hub->timers, hub_item_timer(hub, i), mono_of(hub, of->not_before_ms));
        }
    }
}

/* ---- stops ---- */

void hub_item_ask_stop(struct hub *hub, uint32_t item, enum record_stop reason) {
    struct hub_item *of = &hub->items[item];
    check(of->image.state == RECORD_RUNNING);
    if (reason <= of->image.stop) {
        return;
    }
    of->image.stop = (uint8_t)reason;
    of->image.suspension = RECORD_SUSPEND_NONE;
    hub_item_change(hub, item, ITEM_ON_STOP, RECORD_STOP_REQUESTED_EVENT);
}

void hub_item_ask_suspend(struct hub *hub, uint32_t item, enum record_suspension reason) {
    struct hub_item *of = &hub->items[item];
    check(of->image.state == RECORD_RUNNING);
    bool is_first = of->image.stop < RECORD_STOP_SUSPEND;
    bool is_review = of->image.stop == RECORD_STOP_SUSPEND && reason == RECORD_SUSPEND_REVIEW &&
                     of->image.suspension != RECORD_SUSPEND_REVIEW;
    if (is_first || is_review) {
        of->image.stop = RECORD_STOP_SUSPEND;
        of->image.suspension = (uint8_t)reason;
        hub_item_change(hub, item, ITEM_ON_STOP, RECORD_STOP_REQUESTED_EVENT);
    }
}

uint32_t hub_process_end_room(const struct hub *hub, uint32_t process) {
    const struct process_counts *counts = &hub->processes[process].counts;
    uint32_t live = 0;
    for (uint32_t state = 0; state < RECORD_ITEM_STATE_COUNT; state++) {
        live += item_is_terminal(state) ? 0 : counts->by_state[state];
    }
    return (3 + live) * HUB_RECORD_BYTES;
}

void hub_process_end_items(struct hub *hub, uint32_t process, enum record_stop reason) {
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        struct hub_item *of = &hub->items[i];
        if (of->image.superseded || item_is_terminal(of->image.state)) {
            continue;
        }
        if (of->image.state == RECORD_RUNNING) {
            hub_item_ask_stop(hub, i, reason);
        } else if (reason == RECORD_STOP_CANCEL) {
            hub_item_change(hub, i, ITEM_ON_CANCEL, RECORD_CANCELED_EVENT);
        } else {
            of->image.category = RECORD_CATEGORY_DEADLINE;
            hub_item_change(hub, i, ITEM_ON_DEADLINE, RECORD_FAILED_EVENT);
        }
    }
}

/* ---- timers ---- */

/* Its capability now allows fewer attempts than it has had (SPEC.md section 2). */
static bool is_given_up(const struct hub *hub, uint32_t item) {
    const struct capability *capability = hub_capability_of(hub, item);
    return capability != NULL &&
           hub->items[item].image.attempts_counted >= capability->attempts_max;
}

/* Which of its limits a running item has reached. */
static void stop_at_limit(struct hub *hub, uint32_t item) {
    uint32_t phone = hub_item_phone(hub, item);
    check(phone != HUB_NONE);
    const struct hub_lease *lease = &hub->phones[phone].lease;
    if (lease->limit_ms <= hub->clock.mono_ms) {
        hub_item_ask_stop(hub, item, RECORD_STOP_TIMEOUT);
    } else if (lease->expiry_ms <= hub->clock.mono_ms || !hub_grant_is_live(hub, item)) {
        hub_item_ask_stop(hub, item, RECORD_STOP_EXPIRE);
    } else {
        hub_item_ask_suspend(hub, item, RECORD_SUSPEND_BUDGET);
    }
}

void hub_item_timer_due(struct hub *hub, uint32_t item) {
    struct record_item *image = &hub->items[item].image;
    if (image->state == RECORD_RETRY_WAIT && is_given_up(hub, item)) {
        hub_item_change(hub, item, ITEM_ON_GIVE_UP, RECORD_FAILED_EVENT);
    } else if (image->state == RECORD_SCHEDULED || image->state == RECORD_RETRY_WAIT) {
        hub_item_change(hub, item, ITEM_ON_DUE, RECORD_DUE_EVENT);
    } else if (image->state == RECORD_SUSPENDED) {
        hub_item_change(hub, item, ITEM_ON_RESUME, RECORD_RESUMED_EVENT);
    } else if (image->state == RECORD_LEASED) {
        hub_item_return(hub, item);
    } else if (image->stop == RECORD_STOP_NONE) {
        stop_at_limit(hub, item);
    } else {
        /* The grace time is over. A later word of its executor is stale. */
        hub_attempt_force_stop(hub, item, bytes_of("forced"),
                               bytes_of("it did not stop in the grace time"));
    }
}

void hub_process_timer_due(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    check(of->end_seq == 0);
    if ((of->image.flags & RECORD_PAST_DEADLINE) != 0) {
        return; /* the clock was set after the deadline */
    }
    of->image.flags |= RECORD_PAST_DEADLINE;
    hub_log_process(hub, process, RECORD_STOP_REQUESTED_EVENT);
    hub_process_end_items(hub, process, RECORD_STOP_DEADLINE);
    hub_process_settle(hub, process);
}
