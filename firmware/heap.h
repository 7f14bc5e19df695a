/* heap.h - pairing heaps over one array of nodes: any number of ordered sets that share their
 * memory, each named by its root. Adding is O(1), removing any node O(log n) amortised (Fredman
 * et al. 1986). The least order is first; equal orders go by index, so that the order of a set
 * never depends on its history. */
#ifndef FIRMWARE_HEAP_H
#define FIRMWARE_HEAP_H

#include "hal/base.h"

#define HEAP_NONE UINT32_MAX

struct heap_node {
    uint64_t order;
    uint32_t child;    /* first of its children */
    uint32_t next;     /* sibling behind it */
    uint32_t previous; /* sibling before it; of a first child: the parent; of a root: HEAP_NONE */
};

/* `*root` is HEAP_NONE for an empty set, else its first node. A node is in one set at most. */
void heap_add(struct heap_node *nodes, uint32_t *root, uint32_t index, uint64_t order);
void heap_remove(struct heap_node *nodes, uint32_t *root, uint32_t index);

#endif
