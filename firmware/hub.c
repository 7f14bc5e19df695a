#include "firmware/hub_internal.h"
#include "firmware/store_frame.h"

#include <string.h>

/* ---- memory ---- */

enum { ANSWERS_MAX = 16 };

/* Hands out parts of one piece of memory; with no memory it only counts. */
struct carver {
    uint8_t *base;
    size_t used;
};

static void *carve(struct carver *carver, size_t count, size_t size) {
    const size_t alignment = 16;
    size_t start = (carver->used + alignment - 1) / alignment * alignment;
    carver->used = start + count * size;
    return carver->base == NULL ? NULL : carver->base + start;
}

static uint32_t cells_for(uint32_t entries) {
    uint32_t cells = 2;
    while (cells < 2 * entries) {
        cells *= 2;
    }
    return cells;
}

static uint32_t timer_count(const struct board *board) {
    return board->items + board->processes + board->phones + 1;
}

struct layout {
    struct store_memory store;
    struct hub_process *processes;
    struct hub_item *items;
    struct hub_attempt *attempts;
    struct hub_phone *phones;
    struct hub_key *keys;
    struct capability *capabilities;
    struct budget *budgets;
    struct hub_lane *lanes;
    struct hub_strand *strands;
    struct hub_gate *gates;
    struct hub_label_set *label_sets;
    struct heap_node *item_nodes, *strand_nodes;
    uint32_t *free_phones, *matches;
    uint32_t *lane_next, *strand_next, *gate_next;
    struct hash_cell *lane_cells, *strand_cells, *gate_cells;
    uint8_t *record_buffer, *read_buffer;
    uint32_t record_bytes;
    uint32_t *process_next, *item_next, *attempt_next;
    struct hash_cell *number_cells, *key_cells;
    uint32_t *timer_heap, *timer_position;
    uint64_t *timer_due;
};

static void lay_out_store(struct carver *carver, const struct board *board,
                          struct store_memory *store) {
    const uint32_t counts[STORE_KINDS] = {
        [RECORD_HUB] = 1,
        [RECORD_PHONE] = board->phones,
        [RECORD_REQUEST] = board->processes,
        [RECORD_PROCESS] = board->processes,
        [RECORD_ITEM] = board->items,
        [RECORD_ATTEMPT] = board->attempts,
        [RECORD_KEY] = board->keys,
        [RECORD_ANSWER] = ANSWERS_MAX,
    };
    uint32_t slots = 0;
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        slots += counts[kind];
    }
    *store = (struct store_memory){
        .slots = carve(carver, slots, sizeof(struct store_slot)),
        .blocks = carve(carver, board->block_count, sizeof(struct store_block)),
        .order = carve(carver, board->block_count, sizeof(uint32_t)),
        .group_buffer = carve(carver, board->frame_bytes, 1),
        .copy_buffer = carve(carver, board->frame_bytes, 1),
        .group_bytes = board->frame_bytes,
        .frame_bytes = board->frame_bytes,
    };
    memcpy(store->slot_counts, counts, sizeof counts);
}

static void lay_out_tables(struct carver *carver, const struct board *board,
                           struct layout *layout) {
    layout->processes = carve(carver, board->processes, sizeof(struct hub_process));
    layout->items = carve(carver, board->items, sizeof(struct hub_item));
    layout->attempts = carve(carver, board->attempts, sizeof(struct hub_attempt));
    layout->phones = carve(carver, board->phones, sizeof(struct hub_phone));
    layout->keys = carve(carver, board->keys, sizeof(struct hub_key));
    layout->capabilities = carve(carver, board->capabilities, sizeof(struct capability));
    layout->budgets = carve(carver, board->capabilities, sizeof(struct budget));
    layout->record_bytes = board->payload_bytes + 2 * HUB_ERROR_BYTES;
    layout->record_buffer = carve(carver, layout->record_bytes, 1);
    layout->read_buffer = carve(carver, layout->record_bytes, 1);
}

/* A gate for the key of each process and for the account of each item; the rest one an item. */
static uint32_t gate_count(const struct board *board) {
    return board->processes + board->items;
}

static void lay_out_queues(struct carver *carver, const struct board *board,
                           struct layout *layout) {
    uint32_t words = hub_phone_words(board);
    layout->lanes = carve(carver, board->items, sizeof(struct hub_lane));
    layout->strands = carve(carver, board->items, sizeof(struct hub_strand));
    layout->gates = carve(carver, gate_count(board), sizeof(struct hub_gate));
    layout->label_sets = carve(carver, board->label_sets, sizeof(struct hub_label_set));
    layout->item_nodes = carve(carver, board->items, sizeof(struct heap_node));
    layout->strand_nodes = carve(carver, board->items, sizeof(struct heap_node));
    layout->free_phones = carve(carver, words, sizeof(uint32_t));
    layout->matches =
        carve(carver, (size_t)(board->capabilities + board->label_sets) * words, sizeof(uint32_t));
    layout->lane_next = carve(carver, board->items, sizeof(uint32_t));
    layout->strand_next = carve(carver, board->items, sizeof(uint32_t));
    layout->gate_next = carve(carver, gate_count(board), sizeof(uint32_t));
    layout->lane_cells = carve(carver, cells_for(board->items), sizeof(struct hash_cell));
    layout->strand_cells = carve(carver, cells_for(board->items), sizeof(struct hash_cell));
    layout->gate_cells = carve(carver, cells_for(gate_count(board)), sizeof(struct hash_cell));
}

static size_t lay_out(struct carver *carver, const struct board *board, struct layout *layout) {
    lay_out_store(carver, board, &layout->store);
    lay_out_tables(carver, board, layout);
    lay_out_queues(carver, board, layout);
    layout->process_next = carve(carver, board->processes, sizeof(uint32_t));
    layout->item_next = carve(carver, board->items, sizeof(uint32_t));
    layout->attempt_next = carve(carver, board->attempts, sizeof(uint32_t));
    layout->number_cells = carve(carver, cells_for(board->processes), sizeof(struct hash_cell));
    layout->key_cells =
        carve(carver, cells_for(board->processes + board->keys), sizeof(struct hash_cell));
    layout->timer_heap = carve(carver, timer_count(board), sizeof(uint32_t));
    layout->timer_position = carve(carver, timer_count(board), sizeof(uint32_t));
    layout->timer_due = carve(carver, timer_count(board), sizeof(uint64_t));
    return carver->used;
}

size_t hub_bytes(const struct board *board) {
    struct carver carver = {0};
    struct layout layout;
    return lay_out(&carver, board, &layout);
}

static void init_queues(struct hub *hub, const struct layout *layout) {
    const struct board *board = hub->board;
    pool_init(&hub->lane_pool, layout->lane_next, board->items);
    pool_init(&hub->strand_pool, layout->strand_next, board->items);
    pool_init(&hub->gate_pool, layout->gate_next, gate_count(board));
    hash_index_init(&hub->by_lane, layout->lane_cells, cells_for(board->items));
    hash_index_init(&hub->by_strand, layout->strand_cells, cells_for(board->items));
    hash_index_init(&hub->by_gate, layout->gate_cells, cells_for(gate_count(board)));
}

void hub_init(struct hub *hub, const struct board *board, void *memory, struct hal_flash *flash,
              uint64_t seed) {
    struct carver carver = {.base = memory};
    struct layout layout;
    check(seed != 0);
    (void)lay_out(&carver, board, &layout);
    *hub = (struct hub){
        .board = board,
        .processes = layout.processes,
        .items = layout.items,
        .attempts = layout.attempts,
        .phones = layout.phones,
        .keys = layout.keys,
        .capabilities = layout.capabilities,
        .budgets = layout.budgets,
        .lanes = layout.lanes,
        .strands = layout.strands,
        .gates = layout.gates,
        .label_sets = layout.label_sets,
        .item_nodes = layout.item_nodes,
        .strand_nodes = layout.strand_nodes,
        .free_phones = layout.free_phones,
        .matches = layout.matches,
        .first_lane = HUB_NONE,
        .record_buffer = layout.record_buffer,
        .read_buffer = layout.read_buffer,
        .record_bytes = layout.record_bytes,
        .jitter = {seed},
        .oldest_finished = HUB_NONE,
        .newest_finished = HUB_NONE,
        .stop_grace_ms = 10000,
    };
    check(flash->block_count <= board->block_count);
    store_init(&hub->store, flash, &layout.store);
    pool_init(&hub->process_pool, layout.process_next, board->processes);
    pool_init(&hub->item_pool, layout.item_next, board->items);
    pool_init(&hub->attempt_pool, layout.attempt_next, board->attempts);
    hash_index_init(&hub->by_number, layout.number_cells, cells_for(board->processes));
    hash_index_init(&hub->by_key, layout.key_cells, cells_for(board->processes + board->keys));
    timer_init(&hub->timers, layout.timer_heap, layout.timer_position, layout.timer_due,
               timer_count(board));
    init_queues(hub, &layout);
}

uint32_t hub_item_timer(const struct hub *hub, uint32_t item) {
    check(item < hub->board->items);
    return item;
}

uint32_t hub_process_timer(const struct hub *hub, uint32_t process) {
    check(process < hub->board->processes);
    return hub->board->items + process;
}

uint32_t hub_phone_timer(const struct hub *hub, uint32_t phone) {
    check(phone < hub->board->phones);
    return hub->board->items + hub->board->processes + phone;
}

uint32_t hub_budget_timer(const struct hub *hub) {
    return timer_count(hub->board) - 1;
}

/* ---- time ---- */

uint64_t hub_boot_offset(const struct hub *hub, uint32_t boot) {
    for (size_t i = 0; i < hub->image.boot_count; i++) {
        if (hub->image.boots[i].boot == boot) {
            return hub->image.boots[i].offset_ms;
        }
    }
    return 0;
}

struct record_time hub_now(const struct hub *hub) {
    return record_time_of(hub->image.boot, hub->clock.mono_ms, hub->clock.wall_ms,
                          hub->clock.quality);
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

void hub_set_clock(struct hub *hub, const struct hub_clock *clock) {
    hub->clock = *clock;
    if (clock->wall_ms == 0 || hub->image.boot == 0) {
        return;
    }
    uint64_t offset = clock->wall_ms - clock->mono_ms;
    uint64_t known = hub_boot_offset(hub, hub->image.boot);
    uint64_t difference = offset > known ? offset - known : known - offset;
    if (difference > 1000 && hub_has_room(hub, 4 * HUB_RECORD_BYTES)) {
        hub->image.boots[0].offset_ms = offset;
        hub_log_self(hub, RECORD_CLOCK_SET_EVENT);
        rearm_wall_timers(hub);
    }
}

/* ---- the loop ---- */

bool hub_has_room(const struct hub *hub, uint32_t bytes) {
    return store_room(&hub->store) >= bytes;
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
    return item == HUB_NONE ? 0 : hub_attempt_end_room(hub, item);
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
    return capability != NULL && image->actions_done > 0 &&
           image->actions_digest != capability->actions_digest;
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

/* In this order: a lease is never granted past a deadline that is already due. */
void hub_step(struct hub *hub) {
    hub_attempt_log_touches(hub);
    if (recover_items(hub) && run_timers(hub) && end_unbegun(hub) && !hub->is_stopping) {
        schedule_run(hub);
        (void)end_unbegun(hub);
    }
}

uint64_t hub_deadline_ms(const struct hub *hub) {
    return timer_next(&hub->timers);
}

enum status hub_commit(struct hub *hub) {
    if (hub->store.open_records == 0 || hub->store.is_syncing) {
        return STATUS_AGAIN;
    }
    if (!hub->has_upstream) {
        store_acknowledge(&hub->store, hub->store.durable_seq, hub->store.head_chain);
    }
    enum status status = store_clean(&hub->store);
    return status == STATUS_OK ? store_commit(&hub->store) : status;
}

enum status hub_poll(struct hub *hub) {
    return store_poll(&hub->store);
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
