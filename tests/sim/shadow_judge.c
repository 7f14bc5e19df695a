/* Rules over more than one record: what a group leaves behind, who gets a phone, whose fault a lost
 * phone is, and what must have been done by now. */
#include "tests/sim/sim.h"

enum {
    SLACK_MS = 1500, /* wall and monotonic clock may differ by a second before the hub looks */
    FAULTS_MAX = 5,
    DELIVERIES_MAX = 20,
};

static bool is_live(const struct shadow_item *item) {
    return item->image.state < RECORD_COMPLETED && !item->image.superseded;
}

static unsigned long long number_of(const struct shadow_process *process) {
    return (unsigned long long)process->number;
}

/* ---- what a group leaves ---- */

/* What is asked of a process reaches all its items in the same group (SPEC.md section 2). */
static void judge_asked(struct sim_world *world, const struct shadow_process *process,
                        const struct record_item *image) {
    uint32_t flags = process->image.flags;
    bool runs = image->state == RECORD_RUNNING;
    bool is_canceled = (flags & RECORD_CANCEL_REQUESTED) != 0;
    bool is_late = (flags & RECORD_PAST_DEADLINE) != 0;
    uint8_t least = is_canceled ? RECORD_STOP_CANCEL : is_late ? RECORD_STOP_DEADLINE : 0;
    sim_require(world, least == 0 || (runs && image->stop >= least),
                "I21 an item of process %llu, canceled or past its deadline, is %s (stop %u)",
                number_of(process), record_item_state_name(image->state), image->stop);
    bool is_held = (flags & RECORD_HOLD) != 0;
    sim_require(world, !is_held || (image->state != RECORD_LEASED && (!runs || image->stop != 0)),
                "I21 an item of process %llu, which is held, is %s", number_of(process),
                record_item_state_name(image->state));
    bool waits_for_nobody = image->state == RECORD_SUSPENDED && !is_held &&
                            image->suspension == RECORD_SUSPEND_OPERATOR;
    sim_require(world, !waits_for_nobody, "I21 an item of process %llu waits, nobody holds it",
                number_of(process));
}

void shadow_judge_group(struct sim_host *host) {
    sim_require(host->world, host->shadow.command == host->shadow.answered,
                "I34 command %llu is answered, %llu is applied",
                (unsigned long long)host->shadow.answered,
                (unsigned long long)host->shadow.command);
    for (uint32_t p = 0; p < SHADOW_PROCESSES; p++) {
        struct shadow_process *process = &host->shadow.processes[p];
        if (process->number == 0 || !process->is_touched) {
            continue;
        }
        process->is_touched = false;
        process->is_resumed = false;
        for (uint32_t i = 0; i < process->item_count; i++) {
            const struct record_item *image = &process->items[i].image;
            sim_require(host->world,
                        image->superseded || image->state == RECORD_COMPLETED ||
                            image->generation == process->image.generation,
                        "I21 process %llu is tried again, an item of before is %s",
                        number_of(process), record_item_state_name(image->state));
            if (is_live(&process->items[i])) {
                judge_asked(host->world, process, &process->items[i].image);
            }
        }
    }
}

/* ---- leases ---- */

bool shadow_is_external(const struct shadow_process *process) {
    return process->capability == SIM_EXTERNAL || process->capability == SIM_EXTERNAL_ONCE;
}

static uint8_t account_of(const struct shadow_process *process, const struct record_item *image) {
    return image->target_index < 4 ? process->accounts[image->target_index] : 0;
}

static bool is_limited(const struct shadow_process *process, const struct record_item *image) {
    return shadow_is_external(process) || process->capability == SIM_BUDGETED ||
           process->lock != 0 || account_of(process, image) != 0 || process->origin.process != 0;
}

/* At most one item of a concurrency key, and one phone of an account, at a time. */
static void judge_locks(struct sim_host *host, const struct shadow_process *process,
                        const struct record_item *after) {
    uint32_t of_lock = 0;
    uint32_t of_account = 0;
    for (uint32_t p = 0; p < SHADOW_PROCESSES; p++) {
        const struct shadow_process *other = &host->shadow.processes[p];
        for (uint32_t i = 0; other->number != 0 && i < other->item_count; i++) {
            const struct record_item *image = &other->items[i].image;
            bool holds = image->phone != 0 && is_live(&other->items[i]);
            of_lock += holds && other->lock == process->lock;
            of_account += holds && account_of(other, image) == account_of(process, after);
        }
    }
    sim_require(host->world, process->lock == 0 || of_lock == 0,
                "L9 process %llu got a phone, another one has its concurrency key",
                number_of(process));
    sim_require(host->world, account_of(process, after) == 0 || of_account == 0,
                "L9 process %llu got a phone, its account has one", number_of(process));
}

/* By priority, then age; not of those that would rather have another phone. */
static bool comes_before(const struct shadow_process *process, const struct shadow_item *item,
                         const struct shadow_process *other, uint64_t phone) {
    const struct record_item *image = &item->image;
    bool may_use = image->target_phone == 0 || image->target_phone == phone;
    bool avoids = image->failed_count >= RECORD_FAILED_MAX && image->failed_phone == phone;
    bool is_held = (process->image.flags & RECORD_HOLD) != 0;
    if (is_limited(process, image)) {
        return false; /* something else may be in its way */
    }
    if (image->state != RECORD_READY || !is_live(item) || !may_use || avoids || is_held) {
        return false;
    }
    return process->priority != other->priority ? process->priority > other->priority
                                                : process->number < other->number;
}

void shadow_judge_grant(struct sim_host *host, const struct shadow_process *process,
                        const struct record_item *after) {
    struct sim_world *world = host->world;
    sim_require(world, after->target_phone == 0 || after->target_phone == after->phone,
                "I28 an item for phone %llu got phone %llu",
                (unsigned long long)after->target_phone, (unsigned long long)after->phone);
    judge_locks(host, process, after);
    for (uint32_t p = 0; p < SHADOW_PROCESSES && !shadow_is_external(process); p++) {
        const struct shadow_process *other = &host->shadow.processes[p];
        for (uint32_t i = 0; other->number != 0 && i < other->item_count; i++) {
            sim_require(world, !comes_before(other, &other->items[i], process, after->phone),
                        "L9 process %llu got a phone that process %llu was to get first",
                        number_of(process), number_of(other));
        }
    }
}

/* ---- bounds ---- */

void shadow_judge_bounds(struct sim_host *host, const struct capability *capability,
                         const struct record_item *after, uint32_t event) {
    struct sim_world *world = host->world;
    bool is_fixed = world->plan.weights[SIM_FAULT_POLICY] == 0;
    uint32_t max = capability->attempts_max;
    bool is_last = event == ITEM_ON_FAIL_LAST;
    sim_require(world, !is_fixed || event != ITEM_ON_FAIL_RETRY || after->attempts_counted < max,
                "I19 attempt %u of at most %u is tried again", after->attempts_counted, max);
    sim_require(world, !is_fixed || !is_last || after->attempts_counted >= max,
                "I19 attempt %u of %u was the last", after->attempts_counted, max);
    bool is_poison = event == ITEM_ON_POISON;
    sim_require(world,
                after->deliveries < DELIVERIES_MAX ||
                    (is_poison && after->deliveries == DELIVERIES_MAX),
                "I20 %u deliveries", after->deliveries);
    sim_require(world, after->faults < FAULTS_MAX || after->state >= RECORD_COMPLETED,
                "I20 an item goes on after %u faults", after->faults);
    sim_require(world,
                !is_poison || after->deliveries == DELIVERIES_MAX || after->faults == FAULTS_MAX,
                "I20 poison after %u deliveries and %u faults", after->deliveries, after->faults);
    uint32_t counted = after->attempts_counted > 0 ? after->attempts_counted : 1;
    uint64_t wait_max =
        is_fixed ? backoff_limit_ms(&capability->backoff, counted) : capability->backoff.cap_ms;
    sim_require(world, after->state != RECORD_RETRY_WAIT || after->wait_ms <= wait_max,
                "I19 a retry waits %llu ms", (unsigned long long)after->wait_ms);
}

void shadow_judge_retry(struct sim_host *host, const struct shadow_item *item,
                        const struct record_time *at) {
    bool is_now = at->boot == host->hub.image.boot && at->mono_ms >= host->load_ms;
    bool is_here = item->entered.boot == at->boot;
    uint64_t since_ms = is_here ? item->entered.mono_ms : host->load_ms;
    sim_require(host->world, !is_now || at->mono_ms >= since_ms + item->image.wait_ms,
                "I19 a retry comes %llu ms too early",
                (unsigned long long)(since_ms + item->image.wait_ms - at->mono_ms));
}

/* A ring of times: what is about to be overwritten must be an hour old. */
static void judge_hour(struct sim_host *host, uint64_t *times, uint32_t count, uint64_t at_ms,
                       const char *what) {
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < count; i++) {
        oldest = times[i] < times[oldest] ? i : oldest;
    }
    sim_require(host->world, times[oldest] == 0 || at_ms - times[oldest] >= SIM_HOUR_MS,
                "I30 more than %u %s in %llu ms", count, what,
                (unsigned long long)(at_ms - times[oldest]));
    times[oldest] = at_ms;
}

void shadow_judge_start(struct sim_host *host, const struct record_time *at) {
    if (at->boot == host->hub.image.boot && at->mono_ms >= host->load_ms) {
        judge_hour(host, host->start_ms, SIM_ATTEMPTS_AN_HOUR, at->mono_ms, "budgeted attempts");
    }
}

void shadow_judge_cycle(struct sim_host *host, uint32_t row) {
    uint64_t now_ms = host->hub.clock.mono_ms;
    host->world->counts.power_cycles += 1;
    judge_hour(host, host->cycle_ms, SIM_CYCLES_AN_HOUR, now_ms, "power cycles");
    judge_hour(host, host->cycle_phone_ms[row], SIM_PHONE_CYCLES_AN_HOUR, now_ms,
               "power cycles of a phone");
}

void shadow_judge_once(struct sim_host *host, uint64_t process, uint64_t number,
                       struct shadow_item *item) {
    item->effects = (uint8_t)(item->effects + 1);
    sim_require(host->world, item->effects <= 1 + item->orders,
                "E7 a once-only action of %llu.%llu was begun %u times, ordered %u times",
                (unsigned long long)process, (unsigned long long)number, item->effects,
                item->orders);
    fleet_keep(host, process, item);
}

/* ---- whose fault it is that a phone left ---- */

/* The newest of one row's losses, or goings, up to a time. */
static const struct sim_going *find_going(const struct sim_host *host, uint32_t row, bool is_loss,
                                          uint64_t until_ms) {
    for (uint32_t n = 1; n <= SIM_GOINGS; n++) {
        const struct sim_going *going =
            &host->goings[(host->going_next + SIM_GOINGS - n) % SIM_GOINGS];
        if (going->life == host->life && going->row == row && going->mono_ms <= until_ms &&
            (is_loss ? going->is_loss : going->is_going)) {
            return going;
        }
    }
    return NULL;
}

bool shadow_was_lost(const struct sim_host *host, uint64_t phone, const struct record_time *at) {
    uint32_t row = hub_phone_by_number(&host->hub, phone);
    return row != HUB_NONE && find_going(host, row, true, at->mono_ms) != NULL;
}

void shadow_judge_loss(struct sim_host *host, const struct record_item *before, uint32_t event,
                       const struct record_time *at) {
    uint32_t row = hub_phone_by_number(&host->hub, before->phone);
    bool is_now = at->boot == host->hub.image.boot && at->mono_ms >= host->load_ms;
    const struct sim_going *loss =
        is_now && row != HUB_NONE ? find_going(host, row, true, at->mono_ms) : NULL;
    if (loss == NULL || before->stop != RECORD_STOP_NONE) {
        return;
    }
    bool is_of_hub = false;
    for (uint32_t other = 0; other < host->hub.phone_count; other++) {
        bool is_near = other != row && loss->is_going;
        const struct sim_going *going =
            is_near ? find_going(host, other, false, at->mono_ms) : NULL;
        going = going != NULL && going->group == loss->group ? going : NULL;
        uint64_t apart = going == NULL                    ? UINT64_MAX
                         : going->mono_ms > loss->mono_ms ? going->mono_ms - loss->mono_ms
                                                          : loss->mono_ms - going->mono_ms;
        is_of_hub = is_of_hub || apart <= HUB_PHONE_LOST_MS;
    }
    bool is_counted = event == ITEM_ON_FAIL_RETRY || event == ITEM_ON_FAIL_LAST ||
                      event == ITEM_ON_FAIL_PERMANENT;
    bool is_not = event == ITEM_ON_INTERRUPT || event == ITEM_ON_POISON;
    sim_require(host->world, !is_counted || !is_of_hub, "B12 a hub's fault counts as an attempt");
    sim_require(host->world, !is_not || is_of_hub, "B12 a phone's fault counts as its hub's");
}

/* ---- what must have been done by now ---- */

/* Milliseconds since a moment, on the monotonic clock; of an earlier boot: since this start. */
static uint64_t age_ms(const struct sim_host *host, const struct record_time *since) {
    bool is_here = since->boot == host->hub.image.boot;
    return host->hub.clock.mono_ms - (is_here ? since->mono_ms : host->load_ms);
}

/* Only what is waited for by the hub itself; people and budgets are another matter. */
static void judge_waiting(struct sim_host *host, const struct shadow_process *process,
                          const struct shadow_item *item) {
    struct sim_world *world = host->world;
    const struct record_item *image = &item->image;
    uint64_t waited_ms = age_ms(host, &item->entered);
    uint64_t wall_ms = host->hub.clock.wall_ms;
    bool is_timed =
        image->state == RECORD_RETRY_WAIT ||
        (image->state == RECORD_SUSPENDED && image->suspension == RECORD_SUSPEND_BUDGET);
    sim_require(world, !is_timed || waited_ms <= image->wait_ms + SLACK_MS,
                "L2 an item of process %llu is tried again %llu ms late", number_of(process),
                (unsigned long long)(waited_ms - image->wait_ms));
    sim_require(world,
                image->state != RECORD_SCHEDULED || wall_ms == 0 ||
                    wall_ms <= process->not_before_ms + SLACK_MS,
                "L2 process %llu was to begin %llu ms ago", number_of(process),
                (unsigned long long)(wall_ms - process->not_before_ms));
}

/* A worker's attempt goes on through a restart, which gives it all its grace time again. */
static uint64_t stopping_ms(const struct sim_host *host, const struct shadow_process *process,
                            const struct shadow_item *item) {
    uint64_t asked_ms = age_ms(host, &item->stop_asked);
    uint64_t up_ms = host->hub.clock.mono_ms - host->load_ms;
    return shadow_is_external(process) && up_ms < asked_ms ? up_ms : asked_ms;
}

/* When its time began to count: at its lease, its start, its worker's last sign of life, or the
 * daemon's start, whichever was last. */
static uint64_t alive_ms(const struct sim_host *host, const struct shadow_item *item) {
    uint64_t since_ms = item->entered.boot == host->hub.image.boot ? item->entered.mono_ms : 0;
    uint64_t renewed_ms = item->renewed_life == host->life ? item->renewed_ms : 0;
    since_ms = since_ms > host->load_ms ? since_ms : host->load_ms;
    return since_ms > renewed_ms ? since_ms : renewed_ms;
}

void shadow_judge_worker(struct sim_host *host, const struct shadow_process *process,
                         const struct shadow_item *item, const struct record_item *after,
                         uint32_t event, const struct record_time *at) {
    struct sim_world *world = host->world;
    const struct record_item *before = &item->image;
    bool is_now = at->boot == host->hub.image.boot && at->mono_ms > alive_ms(host, item);
    if (!is_now || before->phone == 0) {
        return; /* of another life, or its worker has spoken since */
    }
    uint64_t silent_ms = at->mono_ms - alive_ms(host, item);
    bool is_over = silent_ms >= SIM_LEASE_MS;
    bool is_returned =
        event == ITEM_ON_RETURN || (event == ITEM_ON_POISON && before->state == RECORD_LEASED);
    bool is_lost = shadow_was_lost(host, before->phone, at);
    bool has_grant = process->origin.process == 0;
    sim_require(world, !is_returned || item->is_released || is_lost || is_over || !has_grant,
                "L1 a lease was returned %llu ms after its worker's last word",
                (unsigned long long)silent_ms);
    bool is_new = event == ITEM_ON_STOP && after->stop != before->stop;
    sim_require(world, !is_new || after->stop != RECORD_STOP_EXPIRE || is_over || !has_grant,
                "L1 an attempt expired %llu ms after its worker's last word",
                (unsigned long long)silent_ms);
    bool is_fixed = world->plan.weights[SIM_FAULT_POLICY] == 0;
    uint64_t least_ms = world->plan.is_late ? 0 : is_fixed ? SIM_ATTEMPT_MS : SIM_ATTEMPT_MS / 6;
    bool is_here = item->entered.boot == at->boot;
    sim_require(world,
                !is_new || after->stop != RECORD_STOP_TIMEOUT || !is_here ||
                    at->mono_ms >= item->entered.mono_ms + least_ms,
                "L1 an attempt was stopped before its time limit");
}

/* A daemon that dies, and its machine does not, takes no lease from a worker. */
void shadow_judge_kept(struct sim_host *host, const struct shadow_process *process,
                       const struct shadow_item *item, uint32_t event,
                       const struct record_time *at) {
    uint32_t row = hub_phone_by_number(&host->hub, item->image.phone);
    bool is_held = (process->image.flags & RECORD_HOLD) != 0;
    bool was_restarted = item->ended_category == RECORD_CATEGORY_HOST_RESTARTED ||
                         (event == ITEM_ON_GIVE_BACK && !is_held);
    bool may_go_on = shadow_is_external(process) && process->origin.process == 0 &&
                     item->entered.boot == at->boot && row != HUB_NONE &&
                     host->row_state[row] != RECORD_PHONE_QUARANTINED;
    sim_require(host->world, !was_restarted || !may_go_on,
                "L1 a restart took the lease of process %llu from its worker", number_of(process));
}

static void judge_lease(struct sim_host *host, const struct shadow_process *process,
                        const struct shadow_item *item) {
    const struct record_item *image = &item->image;
    bool counts =
        shadow_is_external(process) && image->phone != 0 && image->stop == RECORD_STOP_NONE;
    sim_require(host->world,
                !counts || host->hub.clock.mono_ms <=
                               alive_ms(host, item) + sim_lease_ms(host->world) + SLACK_MS,
                "L1 a worker of process %llu has been silent for %llu ms", number_of(process),
                (unsigned long long)(host->hub.clock.mono_ms - alive_ms(host, item)));
}

static void judge_running(struct sim_host *host, const struct shadow_process *process,
                          const struct shadow_item *item) {
    struct sim_world *world = host->world;
    const struct record_item *image = &item->image;
    bool is_fixed = world->plan.weights[SIM_FAULT_POLICY] == 0;
    uint64_t limit_ms = is_fixed ? SIM_ATTEMPT_MS : 2 * SIM_ATTEMPT_MS;
    if (image->state != RECORD_RUNNING) {
        return;
    }
    sim_require(world, image->stop != 0 || age_ms(host, &item->entered) <= limit_ms + SLACK_MS,
                "L1 an attempt of process %llu is over its limit", number_of(process));
    sim_require(world,
                image->stop == 0 ||
                    stopping_ms(host, process, item) <= world->plan.stop_grace_ms + SLACK_MS,
                "L8 an attempt of process %llu stops for longer than its grace time",
                number_of(process));
}

static void judge_deadline(struct sim_host *host, const struct shadow_process *process) {
    uint64_t wall_ms = host->hub.clock.wall_ms;
    bool is_over = process->deadline_ms != 0 && !process->image.is_deadline_over && wall_ms != 0 &&
                   wall_ms > process->deadline_ms + SLACK_MS;
    sim_require(host->world, !is_over || (process->image.flags & RECORD_PAST_DEADLINE) != 0,
                "L2 process %llu is past its deadline, and goes on", number_of(process));
}

/* A phone that left its lease is judged two seconds later. */
static void judge_lost(struct sim_host *host) {
    for (uint32_t row = 0; row < host->hub.phone_count; row++) {
        uint8_t state = host->row_state[row];
        bool is_leased = host->shadow.phones[row + 1].process != 0;
        bool is_lost = is_leased && state != RECORD_PHONE_LEASED && state != RECORD_PHONE_AWAY;
        const struct sim_going *loss =
            is_lost ? find_going(host, row, true, host->hub.clock.mono_ms) : NULL;
        sim_require(host->world,
                    loss == NULL ||
                        host->hub.clock.mono_ms <= loss->mono_ms + HUB_PHONE_LOST_MS + SLACK_MS,
                    "L1 phone row %u left its lease %llu ms ago", row,
                    (unsigned long long)(host->hub.clock.mono_ms - loss->mono_ms));
    }
}

/* An item is ready, a phone that it may use is free, and nothing else is in the way. */
static void judge_idle(struct sim_host *host, const struct shadow_process *process,
                       const struct shadow_item *item) {
    const struct record_item *image = &item->image;
    bool may_run = image->state == RECORD_READY && (process->image.flags & RECORD_HOLD) == 0 &&
                   !host->is_stopping && !is_limited(process, image);
    for (uint32_t row = 0; may_run && row < host->hub.phone_count; row++) {
        bool is_free = host->row_state[row] == RECORD_PHONE_READY;
        bool may_use = image->target_phone == 0 || image->target_phone == row + 1;
        sim_require(host->world, !is_free || !may_use,
                    "L2 an item of process %llu is ready, phone row %u is free", number_of(process),
                    row);
    }
}

void shadow_judge_due(struct sim_host *host) {
    for (uint32_t p = 0; p < SHADOW_PROCESSES; p++) {
        const struct shadow_process *process = &host->shadow.processes[p];
        if (process->number == 0 || process->image.finished.boot != 0) {
            continue;
        }
        judge_deadline(host, process);
        for (uint32_t i = 0; i < process->item_count; i++) {
            if (is_live(&process->items[i])) {
                judge_waiting(host, process, &process->items[i]);
                judge_running(host, process, &process->items[i]);
                judge_lease(host, process, &process->items[i]);
                fleet_judge_running(host, process, &process->items[i]);
                judge_idle(host, process, &process->items[i]);
            }
        }
    }
    judge_lost(host);
}
