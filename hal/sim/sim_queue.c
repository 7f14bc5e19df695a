#include "hal/sim/sim_queue.h"

void sim_queue_init(struct sim_queue *queue, struct sim_event *heap, uint32_t capacity) {
    *queue = (struct sim_queue){.heap = heap, .capacity = capacity};
}

static bool goes_before(const struct sim_event *a, const struct sim_event *b) {
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_queue_put(struct sim_queue *queue, const struct sim_event *event) {
    check(queue->count < queue->capacity);
    struct sim_event added = *event;
    added.order = queue->order;
    queue->order += 1;
    uint32_t at = queue->count;
    queue->count += 1;
    while (at > 0 && goes_before(&added, &queue->heap[(at - 1) / 2])) {
        queue->heap[at] = queue->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->heap[at] = added;
}

bool sim_queue_take(struct sim_queue *queue, struct sim_event *event) {
    if (queue->count == 0) {
        return false;
    }
    *event = queue->heap[0];
    queue->count -= 1;
    struct sim_event last = queue->heap[queue->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= queue->count) {
            break;
        }
        if (child + 1 < queue->count && goes_before(&queue->heap[child + 1], &queue->heap[child])) {
            child += 1;
        }
        if (!goes_before(&queue->heap[child], &last)) {
            break;
        }
        queue->heap[at] = queue->heap[child];
        at = child;
    }
    queue->heap[at] = last;
    return true;
}
