/* One hub: its machine, its flash, and the turn of its daemon, after host/hubd/hubd.c. */
#include "tests/sim/sim.h"

#include <string.h>

enum {
    COMPARE_ONE_IN = 40, /* turns at which nothing is open or syncing */
    DUE_ONE_IN = 4,      /* the same */
    FROZEN_MS = 100,
};

enum status sim_seen(struct sim_host *host, enum sim_answer of, enum status status) {
    host->world->counts.answers[of][status] += 1;
    return status;
}

bool sim_host_runs(const struct sim_host *host) {
    return host->has_power && host->is_alive && !host->is_frozen;
}

static struct hub_clock read_clock(const struct sim_host *host) {
    uint64_t now = host->world->now_ms;
    uint64_t wall_ms = sim_clock_wall(&host->clock, now);
    return (struct hub_clock){
        .mono_ms = sim_clock_mono(&host->clock, now),
        .wall_ms = wall_ms,
        .quality = wall_ms == 0 ? 0 : host->clock.quality,
    };
}

void sim_host_clock(struct sim_host *host) {
    if (sim_host_runs(host)) {
        const struct hub_clock clock = read_clock(host);
        hub_set_clock(&host->hub, &clock);
    }
}

/* ---- life ---- */

static void plan_boot(struct sim_host *host, uint32_t back_ms) {
    const struct sim_event boot = {
        .kind = SIM_EV_BOOT, .hub = (uint16_t)host->index, .stamp = host->life};
    sim_plan_event(host->world, &boot, back_ms);
}

static void forget(struct sim_host *host) {
    host->life += 1;
    host->is_alive = false;
    host->is_stopping = false;
    host->is_frozen = false;
    host->is_sync_planned = false;
    host->is_turn_planned = false;
    host->turn_stamp += 1;
    sim_runs_forget(host);
    sim_calls_forget(host);
    sim_workers_forget(host);
    sim_lines_forget(host);
    sim_link_reset(host);
}

void sim_host_kill(struct sim_host *host, uint32_t back_ms) {
    if (!host->is_alive || !host->has_power) {
        return;
    }
    sim_trace(host->world, host, "the daemon dies");
    forget(host);
    host->flash.is_syncing = false; /* the kernel ends it alone */
    plan_boot(host, back_ms);
}

void sim_host_power_off(struct sim_host *host, uint32_t back_ms) {
    struct sim_world *world = host->world;
    if (!host->has_power) {
        return;
    }
    sim_trace(world, host, "the power goes");
    if (!host->flash.is_off) {
        sim_flash_power_off(&host->flash, (uint32_t)sim_dice_next(&world->dice));
    }
    forget(host);
    host->has_power = false;
    plan_boot(host, back_ms);
}

static void sync_all(struct sim_host *host) {
    struct hal_flash *flash = &host->flash.base;
    if (hal_flash_sync_start(flash) == STATUS_OK) {
        while (hal_flash_sync_poll(flash) == STATUS_AGAIN) {
        }
    }
    if (host->world->plan.is_file && !host->flash.is_off) {
        /* A daemon that opens its file has the kernel forget what it only believes. */
        memcpy(host->cache, host->cells, sizeof host->cells);
    }
}

static void format(struct sim_host *host) {
    struct sim_world *world = host->world;
    uint8_t id[STORE_ID_BYTES];
    for (size_t i = 0; i < sizeof id; i++) {
        id[i] = (uint8_t)sim_dice_next(&world->dice);
    }
    host->epoch += 1; /* as the operator's manual asks: tokens must go on growing */
    enum status status = store_format(&host->hub.store, id, host->epoch);
    sim_require(world, status == STATUS_OK, "F a new store cannot be made: status %d", status);
    sync_all(host);
    shadow_init(&host->shadow);
    host->is_rotten = false;
    host->has_rotten_header = false;
}

static void make_tables(struct sim_host *host) {
    struct sim_world *world = host->world;
    sim_require(world, hub_bytes(&board_sim) <= sizeof host->memory, "F the tables do not fit");
    memset(host->memory, 0, hub_bytes(&board_sim));
    uint64_t seed = sim_dice_next(&world->dice) | 1;
    hub_init(&host->hub, &board_sim, host->memory, &host->flash.base, seed);
    host->hub.has_upstream = world->plan.has_upstream;
    host->hub.stop_grace_ms = world->plan.stop_grace_ms;
    const struct budget_limit limit = {{0, 0, SIM_PHONE_CYCLES_AN_HOUR}};
    hub_phone_budget(&host->hub, &limit);
    if (!world->plan.is_late) {
        sim_capabilities_set(host);
    }
}

void sim_host_init(struct sim_host *host) {
    struct sim_world *world = host->world;
    const struct hal_flash geometry = {
        .block_bytes = SIM_BLOCK_BYTES,
        .block_count = world->plan.blocks,
        .program_bytes = SIM_PROGRAM_BYTES,
        .verify = true,
    };
    sim_flash_init(&host->flash, geometry, host->cells, host->written,
                   world->plan.is_file ? host->cache : NULL);
    sim_clock_boot(&host->clock, world->now_ms, 1000);
    memcpy(host->id, "hub-0", 6);
    host->id[4] = (char)('0' + host->index);
    make_tables(host);
    format(host);
    sim_link_reset(host);
    plan_boot(host, 1);
}

static struct bytes id_of(const struct sim_host *host) {
    return (struct bytes){(const uint8_t *)host->id, strlen(host->id)};
}

static void power_on(struct sim_host *host) {
    struct sim_world *world = host->world;
    sim_flash_power_on(&host->flash);
    host->boots += 1;
    for (size_t i = 0; i < sizeof host->boot_id; i++) {
        host->boot_id[i] = (uint8_t)sim_dice_next(&world->dice);
    }
    uint32_t up_ms = sim_dice_between(&world->dice, 500, 20000);
    sim_clock_boot(&host->clock, world->now_ms, up_ms);
    host->has_power = true;
    if (host->short_lives > 0) { /* a brown-out: this start will not last either */
        host->short_lives -= 1;
        host->flash.cut.operation = sim_dice_between(&world->dice, 1, 6);
        host->flash.cut.model = (uint8_t)sim_dice_roll(&world->dice, SIM_CUT_MODELS);
        host->flash.cut.seed = (uint32_t)sim_dice_next(&world->dice);
        sim_count_fault(world, SIM_FAULT_BROWN_OUT);
    }
}

/* The store could not be read: only what the ledger knows of may be the reason. */
static void replace_store(struct sim_host *host, enum status status) {
    struct sim_world *world = host->world;
    sim_require(world, host->is_rotten, "I5 the store does not open: status %d", status);
    sim_trace(world, host, "the store is lost to rot; an operator makes a new one");
    make_tables(host);
    sim_flash_init(&host->flash, host->flash.base, host->cells, host->written, host->flash.cache);
    world->upstream.stores[host->index].is_known = false;
    world->upstream.newest[host->index] = (struct sim_store){0};
    world->upstream.backup[host->index] = (struct sim_store){0};
    host->was_replaced = true;
    host->may_fork = true; /* what is on the way still speaks of the old one */
    format(host);
    make_tables(host);
}

static void load(struct sim_host *host) {
    struct sim_world *world = host->world;
    struct hub_clock clock = read_clock(host);
    make_tables(host);
    sync_all(host);
    enum status status =
        sim_seen(host, SIM_ANSWER_LOAD, hub_load(&host->hub, id_of(host), host->boot_id, &clock));
    if (status != STATUS_OK && !host->flash.is_off) {
        replace_store(host, status);
        status = hub_load(&host->hub, id_of(host), host->boot_id, &clock);
        sim_require(world, status == STATUS_OK, "I5 a new store does not open: %d", status);
    }
}

/* Rot that was reported is answered by an operator who makes a new store; else nothing is lost. */
static bool is_reported(const struct sim_host *host) {
    const struct store_stats *stats = &host->hub.store.stats;
    return stats->rotten_frames > 0 || stats->lost_blocks > 0 || stats->lost_sequences > 0 ||
           host->hub.counters.suspect_objects > 0 || host->hub.store.suspect_seq > 0;
}

void sim_host_boot(struct sim_host *host) {
    struct sim_world *world = host->world;
    if (host->is_alive) {
        return;
    }
    if (!host->has_power) {
        power_on(host);
    }
    world->counts.boots += 1;
    load(host);
    if (host->flash.is_off) {
        sim_host_power_off(host, sim_dice_between(&world->dice, 100, 5000));
        return;
    }
    /* Rot in the last frame looks like a torn one, and a block without a header like one that was
     * never begun; upstream, which may have what stood there, tells. */
    bool is_short = host->is_rotten && host->hub.store.durable_seq < host->shadow.seq;
    sim_require(world,
                !is_short || host->has_rotten_header ||
                    host->hub.store.durable_seq >= shadow_group_before(&host->shadow),
                "I5 rot in a group that is not the last one was taken for a torn end");
    if (host->is_rotten && !is_short) {
        shadow_compare_rotten(host);
    }
    if (is_short || is_reported(host)) {
        replace_store(host, STATUS_CORRUPT);
        struct hub_clock clock = read_clock(host);
        enum status status = hub_load(&host->hub, id_of(host), host->boot_id, &clock);
        sim_require(world, status == STATUS_OK, "I5 a new store does not open: %d", status);
    }
    sim_trace(world, host, "the daemon starts; durable %llu",
              (unsigned long long)host->hub.store.durable_seq);
    sim_require(world, host->hub.store.durable_seq >= host->shadow.seq,
                "I1 record %llu was durable, after the restart %llu is",
                (unsigned long long)host->shadow.seq,
                (unsigned long long)host->hub.store.durable_seq);
    host->is_alive = true;
    host->load_ms = host->hub.clock.mono_ms;
    memset(host->start_ms, 0, sizeof host->start_ms);
    memset(host->cycle_ms, 0, sizeof host->cycle_ms);
    memset(host->cycle_phone_ms, 0, sizeof host->cycle_phone_ms);
    host->shadow.cursor = (struct store_cursor){.seq = host->shadow.seq};
    if (world->plan.is_late) {
        sim_capabilities_set(host);
    }
    sim_lines_begin(host);
    shadow_read(host);
    shadow_compare(host);
    sim_host_turn(host);
}

/* ---- the turn ---- */

void sim_host_wake(struct sim_host *host, uint64_t after_ms) {
    uint64_t at_ms = host->world->now_ms + after_ms;
    if (host->is_turn_planned && host->turn_ms <= at_ms) {
        return;
    }
    host->is_turn_planned = true;
    host->turn_ms = at_ms;
    host->turn_stamp += 1;
    const struct sim_event turn = {
        .kind = SIM_EV_TURN, .hub = (uint16_t)host->index, .stamp = host->turn_stamp};
    sim_plan_event(host->world, &turn, after_ms);
}

static void plan_sync(struct sim_host *host) {
    struct sim_world *world = host->world;
    if (!host->hub.store.is_syncing || host->is_sync_planned) {
        return;
    }
    uint32_t lasts_ms = sim_dice_wait(&world->dice, world->plan.sync_ms);
    if (host->is_slow_sync) {
        lasts_ms += sim_dice_between(&world->dice, 1000, 90000);
    }
    host->is_sync_planned = true;
    const struct sim_event sync = {
        .kind = SIM_EV_SYNC, .hub = (uint16_t)host->index, .stamp = host->life};
    sim_plan_event(world, &sync, lasts_ms);
}

/* True: the daemon, or its machine, has died of it. */
static bool died(struct sim_host *host, enum status status) {
    struct sim_world *world = host->world;
    if (host->flash.is_off) {
        sim_host_power_off(host, sim_dice_between(&world->dice, 1000, 120000));
        return true;
    }
    if (status != STATUS_OK && status != STATUS_AGAIN && status != STATUS_FULL) {
        sim_trace(world, host, "the store has failed: status %d", status);
        sim_host_kill(host, sim_dice_between(&world->dice, 1000, 10000));
        return true;
    }
    return false;
}

static bool commit(struct sim_host *host) {
    enum status status = sim_seen(host, SIM_ANSWER_COMMIT, hub_commit(&host->hub));
    if (died(host, status)) {
        return false;
    }
    host->is_full = status == STATUS_FULL || (host->is_full && status == STATUS_AGAIN);
    plan_sync(host);
    return true;
}

static bool may_exit(const struct sim_host *host) {
    const struct store *store = &host->hub.store;
    return host->is_stopping && hub_busy_count(&host->hub) == 0 && store->open_records == 0 &&
           !store->is_syncing;
}

static void plan_turn(struct sim_host *host) {
    uint64_t next = hub_deadline_ms(&host->hub);
    if (next == TIMER_NEVER) {
        return;
    }
    uint64_t at_ms = sim_clock_world(&host->clock, next);
    uint64_t now = host->world->now_ms;
    /* What is due but had no room waits for the sync that is running, or for upstream. */
    uint64_t least_ms = host->hub.store.is_syncing || next <= host->hub.clock.mono_ms ? 1000 : 0;
    sim_host_wake(host, at_ms > now + least_ms ? at_ms - now : least_ms);
}

void sim_host_turn(struct sim_host *host) {
    struct sim_world *world = host->world;
    if (!sim_host_runs(host)) {
        return;
    }
    uint32_t rounds = 0;
    uint64_t head;
    do {
        rounds += 1;
        sim_require(world, rounds < 200, "I40 the daemon does not come to rest");
        head = hub_head_seq(&host->hub);
        sim_host_clock(host);
        sim_lines_step(host);
        sim_runs_step(host);
        hub_step(&host->hub);
        sim_lines_watch(host);
        sim_runs_step(host);
        sim_link_step(host);
        if (!commit(host)) {
            return;
        }
        sim_calls_retry(host);
    } while (head != hub_head_seq(&host->hub));
    bool is_still = host->hub.store.open_records == 0 && !host->hub.store.is_syncing &&
                    host->shadow.seq == hub_head_seq(&host->hub);
    if (is_still && world->events % DUE_ONE_IN == 0) {
        world->counts.due += 1;
        shadow_judge_due(host);
    }
    if (may_exit(host)) {
        sim_trace(world, host, "the daemon has stopped");
        sim_host_kill(host, sim_dice_between(&world->dice, 500, 30000));
        return;
    }
    plan_turn(host);
}

void sim_host_sync_ended(struct sim_host *host) {
    struct sim_world *world = host->world;
    host->is_sync_planned = false;
    enum status status = sim_seen(host, SIM_ANSWER_POLL, hub_poll(&host->hub));
    if (died(host, status)) {
        return;
    }
    sim_require(world, status == STATUS_OK, "F the sync has not ended");
    shadow_read(host);
    sim_calls_release(host);
    sim_workers_release(host);
    bool is_still = host->hub.store.open_records == 0;
    if (is_still && sim_dice_roll(&world->dice, COMPARE_ONE_IN) == 0) {
        shadow_compare(host);
    }
    sim_host_turn(host);
}
