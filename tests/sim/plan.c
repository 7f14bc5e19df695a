/* Swarm testing: each seed draws its own rates, and leaves some kinds of faults out altogether. */
#include "tests/sim/sim.h"

#include <string.h>

/* ---- capabilities: named a, b, … so that the name tells the index ---- */

struct capability sim_capability(enum sim_capability index) {
    struct capability capability = {
        .routings = 7,
        .attempts_max = sim_attempts_max(index),
        .backoff = {.base_ms = 2000, .cap_ms = 30000, .factor = 2},
        .retryable = ~(UINT32_C(1) << RECORD_CATEGORY_CAPABILITY),
        .attempt_ms = SIM_ATTEMPT_MS,
        .action_count = 3,
    };
    capability.name[0] = (char)('a' + index);
    switch (index) {
    case SIM_PLAIN:
    case SIM_CAPABILITIES:
        break;
    case SIM_ONCE:
        capability.once_actions = 1u << SIM_ACTION_ONCE;
        break;
    case SIM_STUBBORN:
        capability.backoff.base_ms = 0;
        break;
    case SIM_SHORT:
        capability.action_count = 1;
        break;
    case SIM_EXTERNAL:
    case SIM_EXTERNAL_ONCE:
        capability.once_actions = index == SIM_EXTERNAL_ONCE ? 1 : 0;
        capability.is_external = true;
        capability.action_count = 0;
        capability.lease_ms = SIM_LEASE_MS;
        break;
    case SIM_REVIEWED:
        capability.review_actions = 1u << SIM_ACTION_REVIEW;
        break;
    case SIM_BUDGETED:
        capability.budget = (struct budget_limit){{SIM_ATTEMPTS_AN_HOUR, 0, SIM_CYCLES_AN_HOUR}};
        break;
    }
    return capability;
}

uint32_t sim_attempts_max(uint32_t index) {
    return index == SIM_STUBBORN ? 20 : 3;
}

/* A daemon that does not know its capability yet gives it what it gives those that say nothing. */
uint64_t sim_lease_ms(const struct sim_world *world) {
    return world->plan.is_late ? HUB_LEASE_MS : SIM_LEASE_MS;
}

void sim_capabilities_set(struct sim_host *host) {
    for (uint32_t c = 0; c < SIM_CAPABILITIES; c++) {
        const struct capability capability = sim_capability((enum sim_capability)c);
        enum status status = hub_capability_set(&host->hub, &capability);
        sim_require(host->world, status == STATUS_OK, "F a capability is refused: %d", status);
    }
}

/* ---- rates ---- */

static uint32_t one_of(struct sim_dice *dice, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t choice = sim_dice_roll(dice, 3);
    return choice == 0 ? a : choice == 1 ? b : c;
}

static bool is_rare(uint32_t fault) {
    return fault == SIM_FAULT_ROT || fault == SIM_FAULT_WORN || fault == SIM_FAULT_LOST_WRITE ||
           fault == SIM_FAULT_RATE;
}

static void draw_weights(struct sim_world *world) {
    struct sim_dice *dice = &world->dice;
    struct sim_plan *plan = &world->plan;
    bool is_calm = sim_dice_roll(dice, 10) == 0;
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        bool is_off = sim_dice_roll(dice, 3) == 0 || is_calm;
        uint32_t weight = sim_dice_between(dice, 1, 100);
        bool is_of_net = fault >= SIM_FAULT_NET_LOSS;
        bool is_left_out = is_off || is_of_net || (world->bans >> fault & 1u) != 0;
        if (is_rare(fault)) {
            weight = 1 + weight / 20;
        }
        plan->weights[fault] = is_left_out ? 0 : weight;
    }
}

static bool is_banned(const struct sim_world *world, enum sim_fault fault) {
    return (world->bans >> fault & 1u) != 0;
}

static void draw_net(struct sim_world *world) {
    struct sim_dice *dice = &world->dice;
    struct sim_net_rates *net = &world->plan.net;
    bool is_good = sim_dice_roll(dice, 3) == 0;
    net->loss = sim_dice_roll(dice, 100000);
    net->duplicate = sim_dice_roll(dice, 100000);
    net->late = sim_dice_roll(dice, 50000);
    net->delay_ms = one_of(dice, 2, 40, 400);
    if (is_good || is_banned(world, SIM_FAULT_NET_LOSS)) {
        net->loss = 0;
    }
    if (is_good || is_banned(world, SIM_FAULT_NET_DUPLICATE)) {
        net->duplicate = 0;
    }
    if (is_good || is_banned(world, SIM_FAULT_NET_LATE)) {
        net->late = 0;
    }
}

/* Power and hubs fail so often that slow work never gets to its end: it must be given up. */
static void draw_restless(struct sim_world *world) {
    static const uint8_t kinds[] = {SIM_FAULT_POWER, SIM_FAULT_HUB, SIM_FAULT_SLOW};
    struct sim_plan *plan = &world->plan;
    memset(plan->weights, 0, sizeof plan->weights);
    for (size_t i = 0; i < array_count(kinds); i++) {
        plan->weights[kinds[i]] = is_banned(world, (enum sim_fault)kinds[i]) ? 0 : 100;
    }
    plan->fault_ms = 20000;
}

void sim_plan_draw(struct sim_world *world) {
    struct sim_dice *dice = &world->dice;
    struct sim_plan *plan = &world->plan;
    *plan = (struct sim_plan){0};
    draw_weights(world);
    draw_net(world);
    plan->fault_ms = one_of(dice, 120000, 600000, 1500000);
    plan->call_ms = one_of(dice, 15000, 25000, 50000);
    plan->sync_ms = one_of(dice, 0, 2, 30);
    plan->phones = sim_dice_between(dice, 2, SIM_PHONES);
    plan->blocks = sim_dice_between(dice, 12, SIM_BLOCKS);
    plan->is_file = sim_dice_roll(dice, 2) == 0;
    plan->has_wall = sim_dice_roll(dice, 8) != 0;
    plan->has_upstream = sim_dice_roll(dice, 4) != 0;
    plan->stop_grace_ms = one_of(dice, 1000, 10000, 20000);
    plan->is_late = sim_dice_roll(dice, 4) == 0;
    plan->is_remote = plan->has_upstream && sim_dice_roll(dice, 20) == 0;
    if (plan->is_remote) {
        plan->fault_ms = 120000; /* phones that come and go fill its log */
        plan->weights[SIM_FAULT_PARTITION] = 0;
        plan->weights[SIM_FAULT_HALF_OPEN] = 0;
        plan->blocks = sim_dice_between(dice, 10, 12);
    }
    if (sim_dice_roll(dice, 40) == 0 && !plan->is_remote) {
        draw_restless(world);
    }
    plan->worker_ms = one_of(dice, 3000, 8000, 30000);
    plan->are_workers_idle = sim_dice_roll(dice, 4) == 0;
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        plan->weight_sum += plan->weights[fault];
    }
}
