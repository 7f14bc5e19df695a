/* timer.h - deadlines of many owners in one heap; each owner has at most one.
 *
 * An owner is a small number. Memory is lent by whoever holds the table. */
#ifndef FIRMWARE_TIMER_H
#define FIRMWARE_TIMER_H

#include "hal/base.h"

#define TIMER_NEVER UINT64_MAX

struct timer_table {
    uint32_t *heap;     /* owners, earliest first */
    uint32_t *position; /* of each owner in the heap, plus one; 0: not set */
    uint64_t *due_ms;   /* of each owner */
    uint32_t count;
    uint32_t capacity;
};

void timer_init(struct timer_table *table, uint32_t *heap, uint32_t *position, uint64_t *due_ms,
                uint32_t capacity);

/* Sets or moves the owner's deadline; TIMER_NEVER clears it. */
void timer_set(struct timer_table *table, uint32_t owner, uint64_t due_ms);

/* TIMER_NEVER: not set. */
uint64_t timer_due(const struct timer_table *table, uint32_t owner);

/* The earliest deadline; TIMER_NEVER: none. */
uint64_t timer_next(const struct timer_table *table);

/* The earliest owner whose deadline has come; false: none. */
bool timer_peek(const struct timer_table *table, uint64_t now_ms, uint32_t *owner);

/* The same, and clears it. */
bool timer_pop(struct timer_table *table, uint64_t now_ms, uint32_t *owner);

#endif
