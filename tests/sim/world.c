/* Time: the next event is taken from the queue and handed to its part. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { HOURS_SHORT = 4, HOURS_LONG = 40, BACKUP_MS = 1200000 };

void sim_mix(struct sim_world *world, uint64_t value) {
    world->hash = (world->hash ^ value) * 0x9e3779b97f4a7c15u;
    world->hash ^= world->hash >> 31;
}

void sim_plan_event(struct sim_world *world, const struct sim_event *event, uint64_t after_ms) {
    struct sim_event planned = *event;
    planned.at_ms = world->now_ms + after_ms;
    sim_queue_put(&world->queue, &planned);
}

void sim_fail(struct sim_world *world, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world->why, sizeof world->why, format, arguments);
    va_end(arguments);
    longjmp(world->failed, 1);
}

void sim_trace(struct sim_world *world, const struct sim_host *host, const char *format, ...) {
    if (!world->is_traced || world->now_ms < world->trace_from_ms) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    uint64_t ms = world->now_ms;
    printf("%3llu:%02llu:%02llu.%03llu %s ", (unsigned long long)(ms / SIM_HOUR_MS),
           (unsigned long long)(ms / 60000 % 60), (unsigned long long)(ms / 1000 % 60),
           (unsigned long long)(ms % 1000), host == NULL ? "world" : host->id);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

static void tell_process(struct sim_world *world, const struct sim_host *host,
                         const struct shadow_process *process) {
    for (uint32_t i = 0; i < process->item_count; i++) {
        const struct record_item *image = &process->items[i].image;
        sim_trace(world, host, "item %llu.%u is %s, capability %c, for phone %llu, on phone %llu",
                  (unsigned long long)process->number, i + 1, record_item_state_name(image->state),
                  'a' + process->capability, (unsigned long long)image->target_phone,
                  (unsigned long long)image->phone);
    }
}

/* Where everything stands. */
static void tell_state(struct sim_world *world) {
    for (uint32_t h = 0; h < world->host_count; h++) {
        const struct sim_host *host = &world->hosts[h];
        sim_trace(world, host, "head %llu, durable %llu, acknowledged %llu, upstream %llu%s%s%s",
                  (unsigned long long)host->hub.store.head_seq,
                  (unsigned long long)host->hub.store.durable_seq,
                  (unsigned long long)host->hub.store.acked_seq,
                  (unsigned long long)world->upstream.stores[h].cursor,
                  host->has_power ? "" : ", no power", host->is_alive ? "" : ", no daemon",
                  host->is_frozen ? ", frozen" : "");
        for (uint32_t row = 0; row < host->hub.phone_count && host->is_alive; row++) {
            sim_trace(world, host, "row %u: %s, %s", row, host->hub.phones[row].id,
                      record_phone_state_name(host->hub.phones[row].state));
        }
        for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
            const struct shadow_process *process = &host->shadow.processes[i];
            if (process->number != 0 && process->image.finished.boot == 0) {
                tell_process(world, host, process);
            }
        }
    }
}

/* ---- events ---- */

static void wake(struct sim_host *host, uint32_t stamp) {
    if (stamp == host->turn_stamp && host->is_turn_planned) {
        host->is_turn_planned = false;
        sim_host_turn(host);
    }
}

static void sync_ended(struct sim_host *host, const struct sim_event *event) {
    if (event->stamp != host->life) {
        return;
    }
    if (host->is_frozen) { /* it hears of it when it goes on */
        sim_plan_event(host->world, event, 1000);
        return;
    }
    sim_host_sync_ended(host);
}

static void take_backup(struct sim_world *world) {
    struct sim_upstream *upstream = &world->upstream;
    if (!upstream->has_backup) {
        memcpy(upstream->backup, upstream->stores, sizeof upstream->backup);
    }
}

static void happen(struct sim_world *world, const struct sim_event *event) {
    struct sim_host *host = &world->hosts[event->hub];
    switch ((enum sim_event_kind)event->kind) {
    case SIM_EV_TURN:
        wake(host, event->stamp);
        break;
    case SIM_EV_SYNC:
        sync_ended(host, event);
        break;
    case SIM_EV_RUN:
        sim_run_due(host, event->index, event->stamp);
        break;
    case SIM_EV_PHONE:
        sim_phone_changes(host, event->index);
        break;
    case SIM_EV_CALL:
        sim_call_begin(host);
        break;
    case SIM_EV_NET:
        sim_link_arrived(host, event->index);
        break;
    case SIM_EV_LINK:
        sim_link_due(host, event->stamp);
        break;
    case SIM_EV_BOOT:
        if (event->stamp == host->life) {
            sim_host_boot(host);
        }
        break;
    case SIM_EV_FAULT:
        sim_fault_next(host);
        break;
    case SIM_EV_HEAL:
        sim_fault_heal(host, event->index);
        break;
    case SIM_EV_BACKUP:
        take_backup(world);
        sim_plan_event(world, event, BACKUP_MS);
        break;
    case SIM_EV_WORKER:
        sim_worker_acts(host, event->index);
        break;
    case SIM_EV_FLEET:
        fleet_tick(world);
        break;
    }
}

void sim_world_pass(struct sim_world *world, uint64_t until_ms) {
    struct sim_event event;
    while (sim_queue_take(&world->queue, &event)) {
        bool is_over = world->ends_with_input && world->dice.input.size == 0;
        if (event.at_ms > until_ms || is_over) {
            sim_queue_put(&world->queue, &event);
            break;
        }
        world->now_ms = event.at_ms;
        world->events += 1;
        sim_mix(world, (uint64_t)event.at_ms << 16 ^ (uint64_t)event.kind << 8 ^ event.hub);
        happen(world, &event);
    }
    world->now_ms = until_ms;
}

/* ---- a seed ---- */

static void init_phones(struct sim_host *host) {
    for (uint32_t p = 0; p < SIM_PHONES; p++) {
        struct sim_phone *phone = &host->phones[p];
        *phone = (struct sim_phone){.slot = p, .takes_key = true};
        phone->is_plugged = p < host->world->plan.phones;
        memcpy(phone->serial, "SERIAL-0", 9);
        phone->serial[7] = (char)('0' + p);
        host->touched_token[p] = 0;
    }
}

static void init_host(struct sim_world *world, uint32_t index) {
    struct sim_host *host = &world->hosts[index];
    size_t head = offsetof(struct sim_host, runs);
    memset(host, 0, head);
    memset(host->runs, 0, sizeof host->runs);
    memset(&host->link, 0, sizeof host->link);
    host->world = world;
    host->index = index;
    host->net.dice = &world->dice;
    host->net.rates = world->plan.net;
    host->clock.wall_ms = world->plan.has_wall ? 1700000000000u + world->seed % 1000000 : 0;
    host->clock.quality = 2;
    init_phones(host);
    sim_lines_forget(host);
    sim_calls_forget(host);
    sim_host_init(host);
    const struct sim_event fault = {.kind = SIM_EV_FAULT, .hub = (uint16_t)index};
    const struct sim_event call = {.kind = SIM_EV_CALL, .hub = (uint16_t)index};
    sim_plan_event(world, &fault, 60000);
    sim_plan_event(world, &call, 5000);
    sim_workers_begin(host);
    if (world->plan.is_remote) {
        const struct sim_event heal = {
            .kind = SIM_EV_HEAL, .hub = (uint16_t)index, .index = SIM_FAULT_PARTITION};
        host->net.is_cut[SIM_NET_UP] = true;
        host->net.is_cut[SIM_NET_DOWN] = true;
        sim_count_fault(world, SIM_FAULT_PARTITION);
        sim_plan_event(world, &heal, world->end_ms / 8 * 7);
    }
}

static void begin(struct sim_world *world, const struct sim_setting *setting) {
    world->seed = setting->seed;
    world->now_ms = 0;
    world->hash = 0;
    world->events = 0;
    world->is_traced = setting->is_traced;
    world->trace_from_ms = setting->trace_from_ms;
    world->is_healing = false;
    world->is_quiet = false;
    world->has_bad_clock = false;
    world->bans = setting->bans;
    world->why[0] = '\0';
    memset(&world->counts, 0, sizeof world->counts);
    world->ends_with_input = setting->input.size > 0;
    if (world->ends_with_input) {
        sim_dice_from(&world->dice, setting->input);
    } else {
        sim_dice_init(&world->dice, setting->seed);
    }
    sim_queue_init(&world->queue, world->heap, SIM_EVENTS);
    sim_plan_draw(world);
    uint32_t hubs = sim_dice_between(&world->dice, 1, SIM_HUBS);
    bool is_long = sim_dice_roll(&world->dice, 50) == 0 || world->plan.is_remote;
    uint32_t hours = sim_dice_between(&world->dice, 1, is_long ? HOURS_LONG : HOURS_SHORT);
    world->host_count = setting->hubs > 0 ? setting->hubs : hubs;
    world->end_ms = (uint64_t)(setting->hours > 0 ? setting->hours : hours) * SIM_HOUR_MS;
    if (setting->minutes > 0) {
        world->end_ms = (uint64_t)setting->minutes * 60000;
    }
    sim_upstream_init(world);
    fleet_init(world);
}

bool sim_world_run(struct sim_world *world, const struct sim_setting *setting) {
    if (setjmp(world->failed) != 0) {
        tell_state(world);
        sim_trace(world, NULL, "FAILED: %s", world->why);
        return false;
    }
    begin(world, setting);
    for (uint32_t h = 0; h < world->host_count; h++) {
        init_host(world, h);
    }
    const struct sim_event backup = {.kind = SIM_EV_BACKUP};
    sim_plan_event(world, &backup, BACKUP_MS);
    if (world->plan.has_upstream) {
        const struct sim_event fleet = {.kind = SIM_EV_FLEET};
        sim_plan_event(world, &fleet, FLEET_TICK_MS);
    }
    sim_world_pass(world, world->end_ms);
    if (!setting->is_without_end) {
        sim_liveness(world);
    }
    world->counts.seeds = 1;
    world->counts.events = world->events;
    world->counts.hub_ms = world->now_ms * world->host_count;
    return true;
}
