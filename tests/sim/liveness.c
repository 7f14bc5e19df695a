/* Liveness mode: a random part of the farm is healed, everything else is broken for ever, and
 * nothing new is asked. Then every process must end, and upstream must have every record. What does
 * not end is excused only by what the ledger proves. */
#include "tests/sim/sim.h"

#include <string.h>

enum { SETTLE_ROUNDS = 24, ROUND_MS = SIM_HOUR_MS };

/* ---- what is healed, what is broken ---- */

static void heal_phone(struct sim_host *host, uint32_t p) {
    struct sim_phone *phone = &host->phones[p];
    phone->is_mute = false;
    phone->takes_key = true;
    phone->is_bootloader = false;
    phone->is_misfit = false;
    phone->mood = SIM_PHONE_HEALTHY;
    phone->serial[7] = (char)('0' + p);
    phone->is_plugged = p < host->world->plan.phones;
    host->lines[p].was_lost = true; /* whoever it was before: it says its name again */
}

static void break_phone(struct sim_host *host, uint32_t p) {
    struct sim_phone *phone = &host->phones[p];
    phone->is_broken = true;
    if (sim_dice_roll(&host->world->dice, 2) == 0) {
        sim_phone_unplug(host, p, 0);
    }
}

static void heal_host(struct sim_host *host) {
    struct sim_world *world = host->world;
    host->flash.fails_next_sync = false;
    host->flash.cut = (struct sim_flash_cut){0};
    host->short_lives = 0;
    host->is_frozen = false;
    host->is_slow_sync = false;
    host->wants_bad_ack = false;
    host->wants_garbage = false;
    host->clock.wall_ms = host->clock.wall_ms == 0 ? 1700000000000u : host->clock.wall_ms;
    host->net.rates = (struct sim_net_rates){.delay_ms = 5};
    host->is_cut_off = sim_dice_roll(&world->dice, 4) == 0;
    host->net.is_cut[SIM_NET_UP] = host->is_cut_off;
    host->net.is_cut[SIM_NET_DOWN] = host->is_cut_off;
    uint32_t healthy = sim_dice_roll(&world->dice, world->plan.phones);
    for (uint32_t p = 0; p < world->plan.phones; p++) {
        if (p == healthy || sim_dice_roll(&world->dice, 3) != 0) {
            heal_phone(host, p);
        } else {
            break_phone(host, p);
        }
    }
}

/* ---- what operators do in the meantime ---- */

static void operate(struct sim_host *host) {
    if (!sim_host_runs(host)) {
        return;
    }
    sim_lines_release(host);
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        const struct shadow_process *process = &host->shadow.processes[i];
        bool is_held = (process->image.flags & RECORD_HOLD) != 0;
        if (process->number != 0 && (is_held || shadow_is_suspended(process))) {
            (void)sim_call_for(host, SIM_CALL_RESUME, process->number);
        }
    }
    sim_host_turn(host);
}

/* ---- what must have happened ---- */

/* The phone with this number is one that was broken for ever, or that nobody plugs in any more. */
static bool is_lost_phone(const struct sim_host *host, uint64_t number) {
    uint32_t row = hub_phone_by_number(&host->hub, number);
    if (row == HUB_NONE) {
        return false;
    }
    uint32_t p = sim_line_of(host, row);
    return p == SIM_NONE || host->phones[p].is_broken;
}

static bool is_excused(const struct sim_host *host, const struct shadow_process *process) {
    uint64_t wall_ms = sim_clock_wall(&host->clock, host->world->now_ms);
    for (uint32_t i = 0; i < process->item_count; i++) {
        const struct record_item *image = &process->items[i].image;
        bool is_live = image->state < RECORD_COMPLETED && !image->superseded;
        bool has_grant = process->origin.process == 0 || !sim_link_is_dead(host);
        bool is_stuck = image->target_phone != 0 && is_lost_phone(host, image->target_phone);
        bool is_early = image->state == RECORD_SCHEDULED && process->not_before_ms > wall_ms;
        if (is_live && has_grant && !is_stuck && !is_early) {
            return false;
        }
    }
    return true;
}

static bool has_ended(const struct shadow_process *process) {
    return process->image.finished.boot != 0;
}

static bool all_ended(const struct sim_host *host) {
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        const struct shadow_process *process = &host->shadow.processes[i];
        if (process->number != 0 && !has_ended(process) && !is_excused(host, process)) {
            return false;
        }
    }
    const struct sim_store *store = &host->world->upstream.stores[host->index];
    bool is_told = !host->world->plan.has_upstream || host->is_cut_off || host->was_replaced ||
                   store->cursor == hub_head_seq(&host->hub);
    return is_told && host->is_alive && host->shadow.seq == hub_head_seq(&host->hub);
}

static void judge(struct sim_host *host) {
    struct sim_world *world = host->world;
    const struct sim_store *store = &world->upstream.stores[host->index];
    sim_require(world, host->is_alive, "L4 the hub does not come up");
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        const struct shadow_process *process = &host->shadow.processes[i];
        if (process->number == 0 || has_ended(process)) {
            continue;
        }
        sim_require(world, is_excused(host, process), "L2 process %llu does not end (row %u)",
                    (unsigned long long)process->number, process->status);
        world->counts.excused += 1;
    }
    world->counts.demanded += host->shadow.process_number;
    world->counts.drained += 1;
    sim_require(world, host->shadow.seq == hub_head_seq(&host->hub),
                "L5 the store does not take the last records");
    bool is_told = !world->plan.has_upstream || host->is_cut_off || host->was_replaced;
    sim_require(world, is_told || store->cursor == hub_head_seq(&host->hub),
                "L3 upstream has %llu of %llu records", (unsigned long long)store->cursor,
                (unsigned long long)hub_head_seq(&host->hub));
}

static void restart_upstream(struct sim_world *world) {
    if (!world->upstream.is_up) {
        world->upstream.is_up = true;
        fleet_restarted(world);
    }
}

void sim_liveness(struct sim_world *world) {
    world->is_healing = true;
    world->is_quiet = true;
    sim_trace(world, NULL, "a part is healed, the rest is broken for ever");
    for (uint32_t h = 0; h < world->host_count; h++) {
        heal_host(&world->hosts[h]);
    }
    for (uint32_t round = 0; round < SETTLE_ROUNDS; round++) {
        bool is_over = true;
        for (uint32_t h = 0; h < world->host_count; h++) {
            operate(&world->hosts[h]);
        }
        sim_world_pass(world, world->now_ms + ROUND_MS / 4);
        restart_upstream(world);
        world->upstream.wants_crash = false;
        for (uint32_t h = 0; h < world->host_count; h++) {
            is_over = is_over && all_ended(&world->hosts[h]);
        }
        is_over = is_over && (!world->plan.has_upstream || fleet_all_ended(world));
        if (is_over) {
            break;
        }
    }
    for (uint32_t h = 0; h < world->host_count; h++) {
        judge(&world->hosts[h]);
    }
    if (world->plan.has_upstream) {
        fleet_judge_end(world);
    }
}
