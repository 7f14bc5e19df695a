/* Swarm testing: each seed draws its own rates, and leaves some kinds of faults out altogether. */
#include "tests/sim/sim.h"

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
        plan->weight_sum += plan->weights[fault];
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
}
