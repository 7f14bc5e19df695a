/* After the tables were loaded: queues, leases, timers and lists that stand on all of them. */
#include "firmware/hub_internal.h"

/* ---- leases ---- */

/* An external worker does not notice that the program was away, if the machine stayed up: its
 * lease goes on, its time counted anew in full. Its phone has a while to be found again. */
static void keep_lease(struct hub *hub, uint32_t item, uint32_t phone) {
    struct hub_item *of = &hub->items[item];
    struct hub_phone *on = &hub->phones[phone];
    const struct capability *capability = hub_capability_of(hub, item);
    uint64_t now = hub->clock.mono_ms;
    of->needs_recovery = false;
    of->is_stopping = of->image.stop != RECORD_STOP_NONE;
    on->state = RECORD_PHONE_AWAY;
    timer_set(&hub->timers, hub_phone_timer(hub, phone), now + HUB_AWAY_MS);
    on->lease.expiry_ms = now + hub_lease_ms(hub, item);
    if (of->image.state == RECORD_RUNNING) {
        uint64_t attempt_ms = capability == NULL ? HUB_LEASE_MS : capability->attempt_ms;
        on->lease.limit_ms = of->attempt_started.mono_ms + attempt_ms;
    }
    hub_item_rearm(hub, item);
}

/* What the capability says of the attempt that ran: which of its actions must not run twice. */
static void restore_attempt(struct hub *hub, uint32_t item) {
    uint32_t phone = hub_item_phone(hub, item);
    if (phone != HUB_NONE && hub->items[item].image.state == RECORD_RUNNING) {
        hub_lease_set_actions(&hub->phones[phone].lease, hub_capability_of(hub, item));
        hub_budget_replay_running(hub, phone);
    }
}

static void restore_lease(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    uint32_t phone = hub_item_phone(hub, item);
    if (!of->needs_recovery || phone == HUB_NONE) {
        return;
    }
    struct hub_phone *on = &hub->phones[phone];
    queue_pass_gates(hub, item);
    restore_attempt(hub, item);
    if (on->lease.worker[0] != '\0' && of->attempt_started.boot == hub->image.boot &&
        on->state == RECORD_PHONE_ABSENT) {
        keep_lease(hub, item, phone);
    }
}

/* ---- queues ---- */

static bool is_live(const struct hub_item *item) {
    return !item->image.superseded && !item_is_terminal(item->image.state);
}

/* Line `index` of a request's accounts. */
static struct bytes account_of(struct bytes accounts, uint32_t index) {
    struct bytes account = {0};
    for (uint32_t i = 0; i <= index; i++) {
        account = hub_account_next(&accounts);
    }
    return account;
}

static void assign_items(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    struct record_request request = {0};
    if (of->has_accounts && hub_request_read(hub, process, &request) != STATUS_OK) {
        hub->counters.suspect_objects += 1;
        request.accounts = (struct bytes){0};
    }
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        if (is_live(&hub->items[i])) {
            queue_assign(hub, i, account_of(request.accounts, hub->items[i].image.target_index));
        }
    }
}

/* ---- a capability that comes late ---- */

/* Whether a process asks for this capability: its request says so. */
static bool asks_for(struct hub *hub, uint32_t process, uint32_t capability,
                     struct record_request *request) {
    return hub_request_read(hub, process, request) == STATUS_OK &&
           hub_capability_find(hub, request->process_type) == capability;
}

static void bind_process(struct hub *hub, uint32_t process, uint32_t capability,
                         const struct record_request *request) {
    struct hub_process *of = &hub->processes[process];
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        hub_item_leave(hub, i);
    }
    of->capability = capability;
    if (of->end_seq == 0 && of->key_gate == HUB_NONE) {
        of->key_gate = hub_key_gate_take(hub, process, request);
    }
    assign_items(hub, process);
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        hub_item_enter(hub, i);
        if (hub->items[i].image.phone != 0) {
            queue_pass_gates(hub, i);
            restore_attempt(hub, i);
        }
    }
}

void hub_capability_bind(struct hub *hub, uint32_t capability) {
    struct record_request request;
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (pool_is_used(&hub->process_pool, p) && hub->processes[p].capability == HUB_NONE &&
            asks_for(hub, p, capability, &request)) {
            bind_process(hub, p, capability, &request);
        }
    }
}

/* ---- finished processes ---- */

static uint32_t merge(struct hub *hub, uint32_t a, uint32_t b) {
    uint32_t first = HUB_NONE;
    uint32_t *link = &first;
    while (a != HUB_NONE && b != HUB_NONE) {
        uint32_t *from = hub->processes[a].end_seq < hub->processes[b].end_seq ? &a : &b;
        *link = *from;
        link = &hub->processes[*from].newer;
        *from = *link;
    }
    *link = a == HUB_NONE ? b : a;
    return first;
}

enum { SORT_BINS = 32 };

/* Bottom-up merge sort: bin n holds a sorted list of 2^n processes, or none. */
static void bin_finished(struct hub *hub, uint32_t bins[SORT_BINS], uint32_t process) {
    uint32_t list = process;
    uint32_t bin = 0;
    hub->processes[process].newer = HUB_NONE;
    while (bins[bin] != HUB_NONE) {
        list = merge(hub, bins[bin], list);
        bins[bin] = HUB_NONE;
        bin += 1;
    }
    bins[bin] = list;
}

static void list_finished(struct hub *hub, const uint32_t bins[SORT_BINS]) {
    uint32_t list = HUB_NONE;
    for (uint32_t bin = 0; bin < SORT_BINS; bin++) {
        list = merge(hub, bins[bin], list);
    }
    while (list != HUB_NONE) {
        uint32_t next = hub->processes[list].newer;
        hub_finished_add(hub, list);
        list = next;
    }
}

static void restore_process(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    if (of->end_seq == 0) {
        assign_items(hub, process);
    }
    for (uint32_t i = of->first_item; i != HUB_NONE; i = hub->items[i].next_of_process) {
        hub_item_enter(hub, i);
        restore_lease(hub, i);
    }
    if (of->end_seq == 0) {
        hub_process_arm(hub, process);
    }
}

void hub_restore(struct hub *hub) {
    uint32_t bins[SORT_BINS];
    for (uint32_t bin = 0; bin < SORT_BINS; bin++) {
        bins[bin] = HUB_NONE;
    }
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        if (!pool_is_used(&hub->process_pool, p)) {
            continue;
        }
        restore_process(hub, p);
        if (hub->processes[p].end_seq != 0) {
            bin_finished(hub, bins, p);
        }
    }
    list_finished(hub, bins);
}
