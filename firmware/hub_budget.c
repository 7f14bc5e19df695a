/* Budgets of capabilities and phones: who may start, what an attempt takes, and when what is spent
 * comes back. Seconds are taken in advance, so that attempts at the same time share what is left.
 */
#include "firmware/hub_internal.h"

static bool has_limit(const struct budget_limit *limit) {
    return limit->per_hour[BUDGET_ATTEMPTS] != 0 || limit->per_hour[BUDGET_SECONDS] != 0 ||
           limit->per_hour[BUDGET_POWER_CYCLES] != 0;
}

void hub_phone_budget(struct hub *hub, const struct budget_limit *limit) {
    hub->phone_limit = *limit;
    hub->is_unscheduled = true;
}

static uint64_t replenished_ms(const struct hub *hub, const struct budget *budget,
                               const struct budget_limit *limit) {
    uint64_t now = hub->clock.mono_ms;
    uint64_t latest = now;
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        uint64_t at = budget_replenished_ms(budget, limit, (enum budget_kind)kind, now);
        latest = at > latest ? at : latest;
    }
    return latest;
}

/* Attempts and seconds: without them nothing may start. The scheduler looks again when they have
 * come back. */
static bool allows(struct hub *hub, const struct budget *budget, const struct budget_limit *limit) {
    uint64_t now = hub->clock.mono_ms;
    uint64_t attempts = budget_replenished_ms(budget, limit, BUDGET_ATTEMPTS, now);
    uint64_t seconds = budget_replenished_ms(budget, limit, BUDGET_SECONDS, now);
    uint64_t latest = attempts > seconds ? attempts : seconds;
    if (latest > now && latest < timer_due(&hub->timers, hub_budget_timer(hub))) {
        timer_set(&hub->timers, hub_budget_timer(hub), latest);
    }
    return latest <= now;
}

bool hub_budget_capability_allows(struct hub *hub, uint32_t capability) {
    const struct budget_limit *limit = &hub->capabilities[capability].budget;
    return !has_limit(limit) || allows(hub, &hub->budgets[capability], limit);
}

bool hub_budget_phone_allows(struct hub *hub, uint32_t phone) {
    return !has_limit(&hub->phone_limit) ||
           allows(hub, &hub->phones[phone].budget, &hub->phone_limit);
}

static uint32_t seconds_of(uint64_t ms) {
    return (uint32_t)((ms + 999) / 1000);
}

/* Never more than what is left: after a load attempts may be found that overran by their grace
 * time, or that had begun when there was no limit. */
static void use(const struct hub *hub, struct budget *budget, const struct budget_limit *limit,
                uint64_t at_ms, const uint32_t amounts[BUDGET_KIND_COUNT]) {
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        uint32_t left = budget_left(budget, limit, (enum budget_kind)kind, hub->clock.mono_ms);
        budget_use(budget, (enum budget_kind)kind, at_ms,
                   amounts[kind] < left ? amounts[kind] : left);
    }
}

void hub_budget_take(struct hub *hub, uint32_t phone, uint64_t at_ms) {
    struct hub_phone *on = &hub->phones[phone];
    uint32_t index = hub->processes[hub->items[on->item].process].capability;
    const struct capability *capability = &hub->capabilities[index];
    on->lease.budget_ms = TIMER_NEVER;
    on->lease.budget_at_ms = at_ms;
    if (!has_limit(&capability->budget) && !has_limit(&hub->phone_limit)) {
        return;
    }
    uint64_t now = hub->clock.mono_ms;
    uint32_t wanted = seconds_of(capability->attempt_ms);
    uint32_t left = budget_left(&hub->budgets[index], &capability->budget, BUDGET_SECONDS, now);
    uint32_t here = budget_left(&on->budget, &hub->phone_limit, BUDGET_SECONDS, now);
    left = here < left ? here : left;
    uint32_t taken = wanted < left ? wanted : left;
    const uint32_t amounts[] = {1, taken, 0};
    use(hub, &hub->budgets[index], &capability->budget, at_ms, amounts);
    use(hub, &on->budget, &hub->phone_limit, at_ms, amounts);
    on->lease.budget_ms = (uint64_t)taken * 1000;
}

void hub_budget_settle(struct hub *hub, uint32_t phone) {
    struct hub_phone *on = &hub->phones[phone];
    uint32_t index = hub->processes[hub->items[on->item].process].capability;
    if (on->lease.budget_ms == TIMER_NEVER) {
        return;
    }
    check(index != HUB_NONE);
    uint32_t taken = seconds_of(on->lease.budget_ms);
    uint32_t used = seconds_of(hub->clock.mono_ms - on->lease.budget_at_ms);
    uint32_t unused = used < taken ? taken - used : 0;
    budget_return(&hub->budgets[index], BUDGET_SECONDS, on->lease.budget_at_ms, unused);
    budget_return(&on->budget, BUDGET_SECONDS, on->lease.budget_at_ms, unused);
    on->lease.budget_ms = TIMER_NEVER;
    hub->is_unscheduled = true;
}

uint64_t hub_budget_resume_ms(const struct hub *hub, uint32_t item, uint32_t phone) {
    uint32_t index = hub->processes[hub->items[item].process].capability;
    uint64_t latest = hub->clock.mono_ms + 1;
    if (index != HUB_NONE) {
        uint64_t at = replenished_ms(hub, &hub->budgets[index], &hub->capabilities[index].budget);
        latest = at > latest ? at : latest;
    }
    if (phone != HUB_NONE) {
        uint64_t at = replenished_ms(hub, &hub->phones[phone].budget, &hub->phone_limit);
        latest = at > latest ? at : latest;
    }
    return latest;
}

bool hub_budget_power_cycle(struct hub *hub, uint32_t phone) {
    struct hub_phone *on = &hub->phones[phone];
    uint32_t index = hub->processes[hub->items[on->item].process].capability;
    uint64_t now = hub->clock.mono_ms;
    if (budget_left(&on->budget, &hub->phone_limit, BUDGET_POWER_CYCLES, now) == 0 ||
        budget_left(&hub->budgets[index], &hub->capabilities[index].budget, BUDGET_POWER_CYCLES,
                    now) == 0) {
        return false;
    }
    budget_use(&on->budget, BUDGET_POWER_CYCLES, now, 1);
    budget_use(&hub->budgets[index], BUDGET_POWER_CYCLES, now, 1);
    on->lease.power_cycles += 1;
    return true;
}

/* A time of another boot on this boot's clock; what cannot be told counts as now, and what lies
 * before this boot as its begin. */
static uint64_t mono_of(const struct hub *hub, const struct record_time *time) {
    const struct hub_clock *now = &hub->clock;
    if (time->boot == hub->image.boot) {
        return time->mono_ms < now->mono_ms ? time->mono_ms : now->mono_ms;
    }
    uint64_t age = 0;
    if (time->wall_ms != 0 && now->wall_ms > time->wall_ms) {
        age = now->wall_ms - time->wall_ms;
    }
    return age < now->mono_ms ? now->mono_ms - age : 0;
}

static bool is_of_this_hour(const struct hub *hub, const struct record_time *time) {
    const uint64_t hour = (uint64_t)BUDGET_SLICES * BUDGET_SLICE_MS;
    if (time->boot == hub->image.boot) {
        return time->mono_ms + hour > hub->clock.mono_ms;
    }
    return time->wall_ms == 0 || hub->clock.wall_ms == 0 ||
           time->wall_ms + hour > hub->clock.wall_ms;
}

void hub_budget_replay(struct hub *hub, uint32_t item, const struct record_attempt *attempt) {
    uint32_t index = hub->processes[hub->items[item].process].capability;
    bool has_any = has_limit(&hub->phone_limit) ||
                   (index != HUB_NONE && has_limit(&hub->capabilities[index].budget));
    if (!has_any || attempt->started.boot == 0 || !is_of_this_hour(hub, &attempt->started)) {
        return;
    }
    uint64_t at_ms = mono_of(hub, &attempt->started);
    bool is_told = attempt->ended.boot == attempt->started.boot &&
                   attempt->ended.mono_ms > attempt->started.mono_ms;
    uint32_t seconds = is_told ? seconds_of(attempt->ended.mono_ms - attempt->started.mono_ms) : 0;
    uint32_t phone = hub_phone_find(hub, attempt->phone_id);
    struct budget *const budgets[] = {index == HUB_NONE ? NULL : &hub->budgets[index],
                                      phone == HUB_NONE ? NULL : &hub->phones[phone].budget};
    const struct budget_limit *const limits[] = {
        index == HUB_NONE ? NULL : &hub->capabilities[index].budget, &hub->phone_limit};
    for (size_t i = 0; i < array_count(budgets); i++) {
        if (budgets[i] != NULL) {
            use(hub, budgets[i], limits[i], at_ms, (uint32_t[]){1, seconds, attempt->power_cycles});
        }
    }
}

void hub_budget_replay_running(struct hub *hub, uint32_t phone) {
    const struct hub_item *of = &hub->items[hub->phones[phone].item];
    if (hub->processes[of->process].capability != HUB_NONE &&
        is_of_this_hour(hub, &of->attempt_started)) {
        hub_budget_take(hub, phone, mono_of(hub, &of->attempt_started));
    }
}
