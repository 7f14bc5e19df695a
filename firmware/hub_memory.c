/* The memory of a hub: every table laid out in one piece, and who owns which timer. */
#include "firmware/hub_internal.h"

#include <string.h>

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
        [RECORD_ANSWER] = HUB_ANSWERS,
    };
    uint32_t slots = 0;
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        slots += counts[kind];
    }
    *store = (struct store_memory){
        .slots = carve(carver, slots, sizeof(struct store_slot)),
        .is_zeroed = true, /* as all of a hub's memory */
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
