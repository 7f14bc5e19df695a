/* What goes wrong at one hub, and what ends it. Each fault is counted where it really happens. */
#include "tests/sim/sim.h"

#include <string.h>

void sim_count_fault(struct sim_world *world, enum sim_fault fault) {
    world->counts.faults[fault] += 1;
}

static uint32_t between(struct sim_host *host, uint32_t low, uint32_t high) {
    return sim_dice_between(&host->world->dice, low, high);
}

static uint32_t roll(struct sim_host *host, uint32_t sides) {
    return sim_dice_roll(&host->world->dice, sides);
}

/* The end of a fault: what and, in a phone's, which. */
static void heal_after(struct sim_host *host, enum sim_fault fault, uint32_t arg,
                       uint32_t after_ms) {
    const struct sim_event event = {
        .kind = SIM_EV_HEAL, .hub = (uint16_t)host->index, .index = (uint32_t)fault | arg << 8};
    sim_plan_event(host->world, &event, after_ms);
}

/* ---- machine and daemon ---- */

static bool cut(struct sim_host *host) {
    if (!host->has_power || host->flash.cut.operation != 0) {
        return false;
    }
    host->flash.cut.operation = host->flash.operations + between(host, 1, 12);
    host->flash.cut.model = (uint8_t)roll(host, SIM_CUT_MODELS);
    host->flash.cut.seed = (uint32_t)sim_dice_next(&host->world->dice);
    return true;
}

static bool power(struct sim_host *host) {
    if (!host->has_power) {
        return false;
    }
    sim_host_power_off(host, between(host, 100, 300000));
    return true;
}

static bool brown_out(struct sim_host *host) {
    host->short_lives = between(host, 1, 5);
    return power(host);
}

static bool kill(struct sim_host *host) {
    bool lives = host->is_alive;
    sim_host_kill(host, between(host, 50, 60000));
    return lives;
}

static bool stop(struct sim_host *host) {
    if (!sim_host_runs(host) || host->is_stopping) {
        return false;
    }
    host->is_stopping = true;
    hub_stop(&host->hub, roll(host, 2) == 0);
    heal_after(host, SIM_FAULT_STOP, host->life & 0xffff, SIM_ATTEMPT_MS);
    sim_host_turn(host);
    return true;
}

static bool freeze(struct sim_host *host) {
    if (!sim_host_runs(host)) {
        return false;
    }
    host->is_frozen = true;
    heal_after(host, SIM_FAULT_FREEZE, 0, between(host, 1000, 7200000));
    return true;
}

/* ---- flash ---- */

static bool sync_error(struct sim_host *host) {
    host->flash.fails_next_sync = host->has_power;
    return host->has_power;
}

static bool sync_hang(struct sim_host *host) {
    host->is_slow_sync = true;
    heal_after(host, SIM_FAULT_SYNC_HANG, 0, between(host, 10000, 900000));
    return true;
}

static bool spoil_block(struct sim_host *host, uint32_t first, uint32_t second) {
    uint32_t block = roll(host, host->world->plan.blocks);
    uint32_t which = roll(host, 2);
    for (uint32_t i = 0; i < 2; i++) { /* two of them: the store keeps what it must */
        if (host->flash.block_fault[i] == SIM_FLASH_GOOD) {
            host->flash.block_fault[i] = (uint8_t)(which == 0 ? first : second);
            host->flash.bad_block[i] = block;
            return true;
        }
    }
    return false;
}

static bool worn(struct sim_host *host) {
    return spoil_block(host, SIM_FLASH_FAILS_PROGRAM, SIM_FLASH_FAILS_ERASE);
}

static bool lost_write(struct sim_host *host) {
    return spoil_block(host, SIM_FLASH_LOSES_PROGRAM, SIM_FLASH_LOSES_PROGRAM);
}

/* Found at the next start: the power goes with it. */
static bool rot(struct sim_host *host) {
    uint32_t count = between(host, 1, 8);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset = roll(host, host->world->plan.blocks * SIM_BLOCK_BYTES);
        sim_flash_flip(&host->flash, offset, (uint8_t)(1u << roll(host, 8)));
        host->has_rotten_header =
            host->has_rotten_header || offset % SIM_BLOCK_BYTES < STORE_HEADER_BYTES;
    }
    host->is_rotten = true;
    return power(host);
}

static bool foreign(struct sim_host *host) {
    static uint8_t before[SIM_FLASH_BYTES];
    struct sim_world *world = host->world;
    if (!host->is_alive || !host->has_power || host->is_rotten) {
        return false;
    }
    sim_host_kill(host, 1000);
    memcpy(before, host->cells, sizeof before);
    const struct hub_clock clock = {.mono_ms = 1};
    memset(host->memory, 0, hub_bytes(&board_sim));
    hub_init(&host->hub, &board_sim, host->memory, &host->flash.base, 1);
    enum status status = sim_seen(host, SIM_ANSWER_LOAD,
                                  hub_load(&host->hub, bytes_of("other"), host->boot_id, &clock));
    sim_require(world, status == STATUS_FOREIGN, "F16 another hub's store opens: %d", status);
    sim_require(world, memcmp(before, host->cells, sizeof before) == 0,
                "F16 another hub's store was written to");
    return true;
}

/* ---- clocks ---- */

static bool wall_jump(struct sim_host *host) {
    if (host->clock.wall_ms == 0) {
        host->clock.wall_ms = 1700000000000u; /* it learns the time */
        return true;
    }
    uint64_t ms = between(host, 1000, 400000);
    ms *= roll(host, 3) == 0 ? 1000000u : 1u;
    bool is_back = roll(host, 2) == 0 && host->clock.wall_ms > 2 * ms;
    host->clock.wall_ms = is_back ? host->clock.wall_ms - ms : host->clock.wall_ms + ms;
    return true;
}

static bool wall_unset(struct sim_host *host) {
    host->clock.wall_ms = 0;
    return power(host);
}

static bool rate(struct sim_host *host) {
    uint32_t ppm =
        roll(host, 2) == 0 ? between(host, 500000, 2000000) : between(host, 999500, 1000500);
    host->world->has_bad_clock = host->world->has_bad_clock || ppm < 990000 || ppm > 1010000;
    sim_clock_set_rate(&host->clock, host->world->now_ms, ppm);
    return true;
}

/* ---- phones ---- */

static uint32_t draw_phone(struct sim_host *host) {
    return roll(host, host->world->plan.phones);
}

static bool unplug(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    bool was_plugged = host->phones[phone].is_plugged;
    uint32_t back_ms = between(host, 1, roll(host, 4) == 0 ? 1500 : 120000);
    sim_phone_unplug(host, phone, back_ms);
    if (back_ms < 1500 && roll(host, 4) == 0) {
        heal_after(host, SIM_FAULT_QUARANTINE, 0, back_ms + 1);
    }
    return was_plugged;
}

static bool move(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    host->phones[phone].slot = 10 + roll(host, 80);
    bool was_plugged = host->phones[phone].is_plugged;
    sim_phone_unplug(host, phone, between(host, 1000, 60000));
    return was_plugged;
}

static bool hub_goes(struct sim_host *host) {
    uint32_t first = roll(host, 2) * 3;
    uint32_t count = 0;
    for (uint32_t p = first; p < first + 3 && p < host->world->plan.phones; p++) {
        count += host->phones[p].is_plugged;
        sim_phone_unplug(host, p, between(host, 3000, 60000));
    }
    return count >= 2;
}

static bool babble(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    heal_after(host, SIM_FAULT_BABBLE, phone | between(host, 3, 40) << 8, 10);
    return true;
}

static bool mute(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    host->phones[phone].is_mute = true;
    heal_after(host, SIM_FAULT_MUTE, phone, between(host, 100, 900000));
    return true;
}

static bool mood(struct sim_host *host, enum sim_fault fault, enum sim_phone_mood mood) {
    uint32_t phone = draw_phone(host);
    host->phones[phone].mood = (uint8_t)mood;
    heal_after(host, fault, phone, between(host, 60000, 1800000));
    return true;
}

static bool hang(struct sim_host *host) {
    return mood(host, SIM_FAULT_HANG, SIM_PHONE_HANGING);
}

static bool slow(struct sim_host *host) {
    return mood(host, SIM_FAULT_SLOW, SIM_PHONE_SLOW);
}

static bool lie(struct sim_host *host) {
    return mood(host, SIM_FAULT_LIE, SIM_PHONE_LYING);
}

static bool fail(struct sim_host *host) {
    return mood(host, SIM_FAULT_FAIL, SIM_PHONE_FAILING);
}

static bool clone(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    uint32_t other = draw_phone(host);
    memcpy(host->phones[phone].serial, host->phones[other].serial, SIM_PHONE_SERIAL);
    sim_phone_unplug(host, phone, between(host, 100, 20000));
    heal_after(host, SIM_FAULT_CLONE, phone, between(host, 60000, 1800000));
    return phone != other;
}

static bool key(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    host->phones[phone].takes_key = false;
    heal_after(host, SIM_FAULT_KEY, phone, between(host, 1000, 600000));
    return true;
}

static bool bootloader(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    host->phones[phone].is_bootloader = true;
    sim_phone_unplug(host, phone, between(host, 1000, 20000));
    heal_after(host, SIM_FAULT_BOOTLOADER, phone, between(host, 30000, 900000));
    return true;
}

static bool no_room(struct sim_host *host) {
    uint32_t phone = draw_phone(host);
    host->phones[phone].is_misfit = true;
    sim_phone_unplug(host, phone, between(host, 1000, 20000));
    heal_after(host, SIM_FAULT_NO_ROOM, phone, between(host, 30000, 600000));
    return true;
}

static bool quarantine(struct sim_host *host) {
    if (!sim_host_runs(host) || host->hub.phone_count == 0) {
        return false;
    }
    uint32_t row = roll(host, host->hub.phone_count);
    for (uint32_t r = 0; r < host->hub.phone_count; r++) { /* a state that never lasts, first */
        row = host->row_state[r] == RECORD_PHONE_CONNECTING ? r : row;
    }
    bool is_done = sim_row_tell(host, row, PHONE_ON_QUARANTINE);
    sim_host_turn(host);
    return is_done;
}

/* ---- network, upstream, callers ---- */

static bool partition(struct sim_host *host) {
    host->net.is_cut[SIM_NET_UP] = true;
    host->net.is_cut[SIM_NET_DOWN] = true;
    heal_after(host, SIM_FAULT_PARTITION, 0, between(host, 1000, 7200000));
    return true;
}

static bool half_open(struct sim_host *host) {
    host->net.is_cut[roll(host, SIM_NET_WAYS)] = true;
    heal_after(host, SIM_FAULT_PARTITION, 0, between(host, 1000, 3600000));
    return true;
}

static bool up_crash(struct sim_host *host) {
    host->world->upstream.wants_crash = true;
    heal_after(host, SIM_FAULT_UP_DOWN, 0, between(host, 1000, 900000));
    return false; /* counted when it happens */
}

static bool up_down(struct sim_host *host) {
    host->world->upstream.is_up = false;
    heal_after(host, SIM_FAULT_UP_DOWN, 0, between(host, 1000, 3600000));
    return true;
}

static bool up_restore(struct sim_host *host) {
    struct sim_world *world = host->world;
    struct sim_upstream *upstream = &world->upstream;
    if (upstream->is_restored) {
        return false;
    }
    upstream->is_restored = true;
    memcpy(upstream->newest, upstream->stores, sizeof upstream->newest);
    memcpy(upstream->stores, upstream->backup, sizeof upstream->stores);
    for (uint32_t h = 0; h < world->host_count; h++) {
        world->hosts[h].may_fork = true;
    }
    heal_after(host, SIM_FAULT_UP_RESTORE, 0, between(host, 60000, 1800000));
    return true;
}

static bool up_bad_ack(struct sim_host *host) {
    host->wants_bad_ack = true;
    return false;
}

static bool up_garbage(struct sim_host *host) {
    host->wants_garbage = true;
    return false;
}

static bool flood(struct sim_host *host) {
    bool has_called = false;
    for (uint32_t i = 0; i < 40; i++) {
        has_called = sim_call_make(host, SIM_CALL_SUBMIT) || has_called;
    }
    sim_host_turn(host);
    return has_called;
}

/* Of an item that waits to be tried again: then it may be given up. */
static uint32_t draw_capability(struct sim_host *host) {
    for (uint32_t p = 0; p < SHADOW_PROCESSES; p++) {
        const struct shadow_process *process = &host->shadow.processes[p];
        for (uint32_t i = 0; process->number != 0 && i < process->item_count; i++) {
            if (process->items[i].image.state == RECORD_RETRY_WAIT) {
                return process->capability;
            }
        }
    }
    return roll(host, SIM_CAPABILITIES);
}

static bool policy(struct sim_host *host) {
    if (!sim_host_runs(host) || host->hub.capability_count == 0) {
        return false;
    }
    struct capability capability = host->hub.capabilities[draw_capability(host)];
    capability.attempt_ms = between(host, 20000, 2 * SIM_ATTEMPT_MS);
    capability.attempts_max = between(host, 1, capability.attempts_max);
    capability.backoff.base_ms = capability.backoff.base_ms > 0 ? between(host, 1000, 20000) : 0;
    enum status status = hub_capability_set(&host->hub, &capability);
    sim_require(host->world, status == STATUS_OK, "F a capability is refused: %d", status);
    return true;
}

/* ---- which ---- */

static bool (*const injections[SIM_FAULT_COUNT])(struct sim_host *) = {
    [SIM_FAULT_CUT] = cut,
    [SIM_FAULT_POWER] = power,
    [SIM_FAULT_BROWN_OUT] = brown_out,
    [SIM_FAULT_KILL] = kill,
    [SIM_FAULT_STOP] = stop,
    [SIM_FAULT_SYNC_ERROR] = sync_error,
    [SIM_FAULT_SYNC_HANG] = sync_hang,
    [SIM_FAULT_WORN] = worn,
    [SIM_FAULT_LOST_WRITE] = lost_write,
    [SIM_FAULT_ROT] = rot,
    [SIM_FAULT_FOREIGN] = foreign,
    [SIM_FAULT_FREEZE] = freeze,
    [SIM_FAULT_WALL_JUMP] = wall_jump,
    [SIM_FAULT_WALL_UNSET] = wall_unset,
    [SIM_FAULT_RATE] = rate,
    [SIM_FAULT_UNPLUG] = unplug,
    [SIM_FAULT_MOVE] = move,
    [SIM_FAULT_HUB] = hub_goes,
    [SIM_FAULT_MUTE] = mute,
    [SIM_FAULT_HANG] = hang,
    [SIM_FAULT_SLOW] = slow,
    [SIM_FAULT_LIE] = lie,
    [SIM_FAULT_FAIL] = fail,
    [SIM_FAULT_CLONE] = clone,
    [SIM_FAULT_BABBLE] = babble,
    [SIM_FAULT_KEY] = key,
    [SIM_FAULT_BOOTLOADER] = bootloader,
    [SIM_FAULT_NO_ROOM] = no_room,
    [SIM_FAULT_QUARANTINE] = quarantine,
    [SIM_FAULT_PARTITION] = partition,
    [SIM_FAULT_HALF_OPEN] = half_open,
    [SIM_FAULT_UP_CRASH] = up_crash,
    [SIM_FAULT_UP_DOWN] = up_down,
    [SIM_FAULT_UP_RESTORE] = up_restore,
    [SIM_FAULT_UP_BAD_ACK] = up_bad_ack,
    [SIM_FAULT_UP_GARBAGE] = up_garbage,
    [SIM_FAULT_FLOOD] = flood,
    [SIM_FAULT_POLICY] = policy,
};

static void inject(struct sim_host *host, enum sim_fault fault) {
    struct sim_world *world = host->world;
    sim_host_clock(host);
    sim_trace(world, host, "fault: %s", sim_fault_name(fault));
    if (injections[fault](host)) {
        sim_count_fault(world, fault);
    }
    sim_host_turn(host);
}

void sim_fault_next(struct sim_host *host) {
    struct sim_world *world = host->world;
    const struct sim_plan *plan = &world->plan;
    if (world->is_healing || plan->weight_sum == 0) {
        return;
    }
    uint32_t choice = sim_dice_roll(&world->dice, plan->weight_sum);
    uint32_t fault = 0;
    while (choice >= plan->weights[fault]) {
        choice -= plan->weights[fault];
        fault += 1;
    }
    const struct sim_event next = {.kind = SIM_EV_FAULT, .hub = (uint16_t)host->index};
    sim_plan_event(world, &next, 1 + sim_dice_wait(&world->dice, plan->fault_ms));
    inject(host, (enum sim_fault)fault);
}

/* ---- the end of a fault ---- */

static void heal_upstream(struct sim_world *world) {
    struct sim_upstream *upstream = &world->upstream;
    upstream->is_restored = false;
    for (uint32_t h = 0; h < world->host_count; h++) {
        bool is_newer = upstream->newest[h].cursor > upstream->stores[h].cursor;
        bool is_same = memcmp(upstream->newest[h].id, upstream->stores[h].id, 16) == 0 ||
                       !upstream->stores[h].is_known;
        if (is_newer && is_same) {
            upstream->stores[h] = upstream->newest[h];
        }
    }
}

static void babble_again(struct sim_host *host, uint32_t arg) {
    uint32_t phone = arg & 0xff;
    uint32_t left = arg >> 8;
    sim_phone_unplug(host, phone, between(host, 1, 20));
    if (left > 0) {
        heal_after(host, SIM_FAULT_BABBLE, phone | (left - 1) << 8, between(host, 21, 60));
    }
}

static void heal_phone(struct sim_host *host, enum sim_fault fault, uint32_t index) {
    struct sim_phone *phone = &host->phones[index];
    switch ((int)fault) {
    case SIM_FAULT_MUTE:
        phone->is_mute = false;
        break;
    case SIM_FAULT_KEY:
        phone->takes_key = true;
        break;
    case SIM_FAULT_BOOTLOADER:
        phone->is_bootloader = false;
        sim_phone_unplug(host, index, between(host, 100, 5000));
        break;
    case SIM_FAULT_NO_ROOM:
        phone->is_misfit = false;
        break;
    case SIM_FAULT_CLONE:
        phone->serial[7] = (char)('0' + index);
        sim_phone_unplug(host, index, between(host, 100, 5000));
        break;
    default:
        phone->mood = SIM_PHONE_HEALTHY;
        break;
    }
}

static void heal(struct sim_host *host, enum sim_fault fault, uint32_t arg) {
    struct sim_world *world = host->world;
    switch ((int)fault) {
    case SIM_FAULT_STOP:
        if ((host->life & 0xffff) == arg && sim_host_runs(host)) {
            sim_host_kill(host, 1000); /* its service manager loses patience */
        }
        break;
    case SIM_FAULT_FREEZE:
        host->is_frozen = false;
        break;
    case SIM_FAULT_SYNC_HANG:
        host->is_slow_sync = false;
        break;
    case SIM_FAULT_PARTITION:
        host->net.is_cut[SIM_NET_UP] = host->is_cut_off;
        host->net.is_cut[SIM_NET_DOWN] = host->is_cut_off;
        break;
    case SIM_FAULT_UP_DOWN:
        world->upstream.is_up = true;
        fleet_restarted(world);
        break;
    case SIM_FAULT_UP_RESTORE:
        heal_upstream(world);
        break;
    case SIM_FAULT_QUARANTINE:
        if (quarantine(host)) {
            sim_count_fault(world, SIM_FAULT_QUARANTINE);
        }
        break;
    case SIM_FAULT_BABBLE:
        babble_again(host, arg);
        break;
    default:
        heal_phone(host, fault, arg);
        break;
    }
}

void sim_fault_heal(struct sim_host *host, uint32_t what) {
    uint32_t index = what >> 8;
    bool is_of_phone = (what & 0xff) >= SIM_FAULT_UNPLUG && (what & 0xff) <= SIM_FAULT_NO_ROOM;
    if (is_of_phone && host->phones[index & 0xff].is_broken) {
        return; /* what liveness mode broke stays broken */
    }
    heal(host, (enum sim_fault)(what & 0xff), index);
    sim_host_turn(host);
}
