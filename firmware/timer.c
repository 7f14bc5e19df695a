#include "firmware/timer.h"

void timer_init(struct timer_table *table, uint32_t *heap, uint32_t *position, uint64_t *due_ms,
                uint32_t capacity) {
    *table = (struct timer_table){
        .heap = heap, .position = position, .due_ms = due_ms, .capacity = capacity};
}

/* Equal deadlines go by owner, so that the order never depends on history. */
static bool is_before(const struct timer_table *table, uint32_t a, uint32_t b) {
    if (table->due_ms[a] != table->due_ms[b]) {
        return table->due_ms[a] < table->due_ms[b];
    }
    return a < b;
}

static void put(struct timer_table *table, uint32_t at, uint32_t owner) {
    table->heap[at] = owner;
    table->position[owner] = at + 1;
}

static void sift_up(struct timer_table *table, uint32_t at) {
    uint32_t owner = table->heap[at];
    while (at > 0 && is_before(table, owner, table->heap[(at - 1) / 2])) {
        put(table, at, table->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(table, at, owner);
}

static void sift_down(struct timer_table *table, uint32_t at) {
    uint32_t owner = table->heap[at];
    while (2 * at + 1 < table->count) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < table->count &&
            is_before(table, table->heap[child + 1], table->heap[child])) {
            child += 1;
        }
        if (!is_before(table, table->heap[child], owner)) {
            break;
        }
        put(table, at, table->heap[child]);
        at = child;
    }
    put(table, at, owner);
}

static void clear(struct timer_table *table, uint32_t owner) {
    uint32_t at = table->position[owner];
    if (at == 0) {
        return;
    }
    table->position[owner] = 0;
    table->count -= 1;
    if (at - 1 < table->count) {
        uint32_t moved = table->heap[table->count];
        put(table, at - 1, moved);
        sift_up(table, at - 1);
        sift_down(table, table->position[moved] - 1);
    }
}

void timer_set(struct timer_table *table, uint32_t owner, uint64_t due_ms) {
    check(owner < table->capacity);
    clear(table, owner);
    if (due_ms == TIMER_NEVER) {
        return;
    }
    table->due_ms[owner] = due_ms;
    table->count += 1;
    put(table, table->count - 1, owner);
    sift_up(table, table->count - 1);
}

uint64_t timer_due(const struct timer_table *table, uint32_t owner) {
    return table->position[owner] == 0 ? TIMER_NEVER : table->due_ms[owner];
}

uint64_t timer_next(const struct timer_table *table) {
    return table->count == 0 ? TIMER_NEVER : table->due_ms[table->heap[0]];
}

bool timer_peek(const struct timer_table *table, uint64_t now_ms, uint32_t *owner) {
    if (table->count == 0 || timer_next(table) > now_ms) {
        return false;
    }
    *owner = table->heap[0];
    return true;
}

bool timer_pop(struct timer_table *table, uint64_t now_ms, uint32_t *owner) {
    bool is_due = timer_peek(table, now_ms, owner);
    if (is_due) {
        clear(table, *owner);
    }
    return is_due;
}
