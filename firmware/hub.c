/* The loop: time, what is due, commits; and the capabilities. */
#include "firmware/hub_internal.h"
#include "firmware/store_frame.h"

#include <string.h>

/* ---- time ---- */

uint64_t hub_boot_offset(const struct hub *hub, uint32_t boot) {
    for (size_t i = 0; i < hub->image.boot_count; i++) {
        if (hub->image.boots[i].boot == boot) {
            return hub->image.boots[i].offset_ms;
        }
    }
    return 0;
}

void hub_take_clock(struct hub *hub, const struct hub_clock *clock) {
    struct cbor_writer writer;
    hub->clock = *clock;
    hub->now = record_time_of(hub->image.boot, clock->mono_ms, clock->wall_ms, clock->quality);
    cbor_writer_init(&writer, hub->now_text, sizeof hub->now_text);
    record_put_time(&writer, &hub->now);
    hub->now_bytes = (uint8_t)writer.size;
}

/* Deadlines and start times are wall clock: their timers move when the clock is set. */
static void rearm_wall_timers(struct hub *hub) {
    for (uint32_t p = 0; p < hub->process_pool.touched; p++) {
        const struct hub_process *process = &hub->processes[p];
        if (!pool_is_used(&hub->process_pool, p) || process->end_seq != 0) {
            continue;
        }
        hub_process_arm(hub, p);
    }
}

bool hub_has_new_offset(const struct hub *hub, const struct hub_clock *clock) {
    uint64_t offset = clock->wall_ms - clock->mono_ms;
    uint64_t known = hub_boot_offset(hub, hub->image.boot);
    uint64_t difference = offset > known ? offset - known : known - offset;
    return clock->wall_ms != 0 && difference > HUB_CLOCK_STEP_MS;
}

void hub_set_clock(struct hub *hub, const struct hub_clock *clock) {
    hub_take_clock(hub, clock);
    if (hub->image.boot == 0) {
        return;
    }
    if (hub_has_new_offset(hub, clock) && hub_has_room(hub, 4 * HUB_RECORD_BYTES)) {
        hub->image.boots[0].offset_ms = clock->wall_ms - clock->mono_ms;
        hub_log_self(hub, RECORD_CLOCK_SET_EVENT);
        rearm_wall_timers(hub);
    }
}

/* ---- the loop ---- */

bool hub_has_room(const struct hub *hub, uint32_t bytes) {
    return store_room(&hub->store) >= bytes + hub->held_bytes;
}

uint32_t hub_record_max(const struct hub *hub) {
    uint32_t group = hub->board->frame_bytes - HUB_TRANSITION_BYTES - 2 * HUB_RECORD_BYTES;
    return hub->record_bytes < group ? hub->record_bytes : group;
}

static void timer_due_now(struct hub *hub, uint32_t owner) {
    if (owner < hub->board->items) {
        hub_item_timer_due(hub, owner);
    } else if (owner < hub->board->items + hub->board->processes) {
        hub_process_timer_due(hub, owner - hub->board->items);
    } else if (owner == hub_budget_timer(hub)) {
        hub->is_unscheduled = true;
    } else {
        hub_phone_judge(hub, owner - hub->board->items - hub->board->processes);
    }
}

static uint32_t timer_room(const struct hub *hub, uint32_t owner) {
    const struct board *board = hub->board;
    if (owner < board->items) {
        return hub_attempt_end_room(hub, owner);
    }
    if (owner < board->items + board->processes) {
        return hub_process_end_room(hub, owner - board->items);
    }
    if (owner == hub_budget_timer(hub)) {
        return 0;
    }
    uint32_t item = hub->phones[owner - board->items - board->processes].item;
    check(item != HUB_NONE); /* the end of a lease clears its phone's timer */
    return hub_attempt_end_room(hub, item);
}

/* False: the group is full before all that is due was done. */
static bool run_timers(struct hub *hub) {
    uint32_t owner;
    while (timer_peek(&hub->timers, hub->clock.mono_ms, &owner)) {
        if (!hub_has_room(hub, timer_room(hub, owner))) {
            return false;
        }
        (void)timer_pop(&hub->timers, hub->clock.mono_ms, &owner);
        timer_due_now(hub, owner);
    }
    return true;
}

/* What ran in an earlier boot lost its power; what ran in this one only lost the daemon. */
static bool recover_items(struct hub *hub) {
    while (hub->recovery_next < hub->item_pool.touched) {
        uint32_t item = hub->recovery_next;
        struct hub_item *of = &hub->items[item];
        if (pool_is_used(&hub->item_pool, item) && of->needs_recovery) {
            if (!hub_has_room(hub, hub_attempt_end_room(hub, item))) {
                return false;
            }
            of->needs_recovery = false;
            hub_item_interrupt(hub, item, RECORD_CATEGORY_HOST_RESTARTED,
                               of->attempt_started.boot == hub->image.boot);
        }
        hub->recovery_next += 1;
    }
    return true;
}

/* Its actions are others than those it has done some of (SPEC.md section 2: every new attempt goes
 * on behind the last one done). */
static bool has_other_actions(const struct hub *hub, uint32_t item) {
    const struct capability *capability = hub_capability_of(hub, item);
    const struct record_item *image = &hub->items[item].image;
    check(capability != NULL); /* it was leased in this life */
    return image->actions_done > 0 && image->actions_digest != capability->actions_digest;
}

/* An attempt that was asked to stop before anybody began it has stopped already, and one that
 * cannot go on where the last one stopped does not begin. */
static bool end_unbegun(struct hub *hub) {
    for (uint32_t p = 0; p < hub->phone_count && hub->starts_waiting > 0; p++) {
        uint32_t item = hub->phones[p].item;
        if (item == HUB_NONE || hub->phones[p].is_started) {
            continue;
        }
        bool is_stopped = hub->items[item].image.stop != RECORD_STOP_NONE;
        if (!is_stopped && !has_other_actions(hub, item)) {
            continue;
        }
        if (!hub_has_room(hub, hub_attempt_end_room(hub, item))) {
            return false;
        }
        if (is_stopped) {
            hub_attempt_force_stop(hub, item, bytes_of("not_begun"),
                                   bytes_of("it was asked to stop before it began"));
        } else {
            hub_attempt_refuse(hub, item);
        }
    }
    return true;
}

/* All that is in use is read within a day, in small steps while nothing else goes on. */
enum { SCRUB_BYTES = 16384, SCRUB_PASS_MS = 24 * 3600 * 1000, SCRUB_RETRY_MS = 1000 };

static uint64_t scrub_pause_ms(const struct hub *hub) {
    const struct store *store = &hub->store;
    uint64_t used = 0;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        used += store->memory.blocks[b].state == STORE_BLOCK_USED
                    ? store->memory.blocks[b].used_bytes
                    : 0;
    }
    return (uint64_t)SCRUB_PASS_MS / (used / SCRUB_BYTES + 1);
}

static void scrub(struct hub *hub) {
    uint64_t now = hub->clock.mono_ms;
    bool is_idle = hub->store.open_records == 0 && !hub->store.is_syncing;
    if (hub->scrub_due_ms == 0) {
        hub->scrub_due_ms = now + scrub_pause_ms(hub);
    } else if (now >= hub->scrub_due_ms && !is_idle) {
        hub->scrub_due_ms = now + SCRUB_RETRY_MS;
    } else if (now >= hub->scrub_due_ms) {
        hub->scrub_due_ms = now + scrub_pause_ms(hub);
        if (store_scrub(&hub->store, SCRUB_BYTES) == STATUS_OK) {
            hub->scrub_ended = hub_now(hub);
        }
    }
}

/* In this order: a lease is never granted past a deadline that is already due. */
void hub_step(struct hub *hub) {
    hub_attempt_log_touches(hub);
    if (recover_items(hub) && run_timers(hub) && end_unbegun(hub) && hub_fork_step(hub) &&
        !hub->is_stopping) {
        schedule_run(hub);
        (void)end_unbegun(hub);
    }
    scrub(hub);
}

uint64_t hub_deadline_ms(const struct hub *hub) {
    uint64_t next = timer_next(&hub->timers);
    bool is_planned = hub->scrub_due_ms != 0;
    return is_planned && hub->scrub_due_ms < next ? hub->scrub_due_ms : next;
}

enum status hub_commit(struct hub *hub) {
    if (hub->store.open_records == 0 || hub->store.is_syncing) {
        return STATUS_AGAIN;
    }
    if (!hub->has_upstream) {
        store_acknowledge(&hub->store, hub->store.durable_seq, hub->store.head_chain);
    }
    hub_gap_step(hub);
    enum status status = store_clean(&hub->store);
    return status == STATUS_OK ? store_commit(&hub->store) : status;
}

enum status hub_poll(struct hub *hub) {
    enum status status = store_poll(&hub->store);
    hub_gap_settle(hub);
    hub_commands_settle(hub);
    return status;
}

uint64_t hub_durable_seq(const struct hub *hub) {
    return hub->store.durable_seq;
}

uint64_t hub_head_seq(const struct hub *hub) {
    return hub->store.head_seq;
}

void hub_stop(struct hub *hub, bool now) {
    hub->is_stopping = true;
    for (uint32_t p = 0; now && p < hub->phone_count; p++) {
        uint32_t item = hub->phones[p].item;
        if (item != HUB_NONE && hub->items[item].image.state == RECORD_RUNNING &&
            hub->phones[p].lease.worker[0] == '\0' && hub_has_room(hub, HUB_TRANSITION_BYTES)) {
            hub_item_ask_stop(hub, item, RECORD_STOP_SHUTDOWN);
        }
    }
}

uint32_t hub_busy_count(const struct hub *hub) {
    uint32_t count = 0;
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        count += hub->phones[p].item != HUB_NONE && hub->phones[p].lease.worker[0] == '\0';
    }
    return count;
}

/* ---- capabilities ---- */

static bool same_text(const char *text, struct bytes bytes) {
    size_t size = 0;
    while (text[size] != '\0') {
        size += 1;
    }
    return size == bytes.size && memcmp(text, bytes.data, size) == 0;
}

uint32_t hub_capability_find(const struct hub *hub, struct bytes name) {
    for (uint32_t c = 0; c < hub->capability_count; c++) {
        if (same_text(hub->capabilities[c].name, name)) {
            return c;
        }
    }
    return HUB_NONE;
}

static size_t text_size(const char *text, size_t max) {
    size_t size = 0;
    while (size < max && text[size] != '\0') {
        size += 1;
    }
    return size;
}

enum status hub_capability_set(struct hub *hub, const struct capability *capability) {
    size_t size = text_size(capability->name, sizeof capability->name);
    struct bytes name = {(const uint8_t *)capability->name, size};
    check(size > 0 && size < sizeof capability->name);
    check(capability->action_count <= CAPABILITY_ACTIONS_MAX);
    check(capability->attempts_max > 0);
    uint32_t index = hub_capability_find(hub, name);
    if (index == HUB_NONE && hub->capability_count == hub->board->capabilities) {
        return STATUS_FULL;
    }
    bool is_new = index == HUB_NONE;
    if (is_new) {
        index = hub->capability_count;
        hub->capability_count += 1;
    }
    hub->capabilities[index] = *capability;
    hub_reserve_recount(hub);
    hub_labels_match_capability(hub, index);
    queue_open_gates(hub);
    if (is_new) {
        hub_capability_bind(hub, index);
    }
    return STATUS_OK;
}
