/* sim_queue.h - what is going to happen in a simulated world, in the order of its time; at the same
 * time, in the order in which it was planned. Time between two events costs nothing. */
#ifndef HAL_SIM_SIM_QUEUE_H
#define HAL_SIM_SIM_QUEUE_H

#include "hal/base.h"

struct sim_event {
    uint64_t at_ms; /* world time */
    uint32_t order; /* set by the queue */
    uint32_t stamp; /* the owner's: an event whose stamp is no longer current is skipped */
    uint16_t kind;  /* the owner's, as the next two */
    uint16_t hub;
    uint32_t index;
};

struct sim_queue {
    struct sim_event *heap; /* the owner's memory */
    uint32_t capacity;
    uint32_t count;
    uint32_t order;
};

void sim_queue_init(struct sim_queue *queue, struct sim_event *heap, uint32_t capacity);
/* There is room: a world has a bound on what it plans. */
void sim_queue_put(struct sim_queue *queue, const struct sim_event *event);
/* False: nothing is planned. */
bool sim_queue_take(struct sim_queue *queue, struct sim_event *event);

#endif
