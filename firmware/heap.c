#include "firmware/heap.h"

static bool is_before(const struct heap_node *nodes, uint32_t a, uint32_t b) {
    return nodes[a].order != nodes[b].order ? nodes[a].order < nodes[b].order : a < b;
}

/* Two roots become one: the later one is the first child of the other. */
static uint32_t meld(struct heap_node *nodes, uint32_t a, uint32_t b) {
    if (a == HEAP_NONE || b == HEAP_NONE) {
        return a == HEAP_NONE ? b : a;
    }
    uint32_t parent = is_before(nodes, a, b) ? a : b;
    uint32_t child = parent == a ? b : a;
    nodes[child].next = nodes[parent].child;
    nodes[child].previous = parent;
    if (nodes[parent].child != HEAP_NONE) {
        nodes[nodes[parent].child].previous = child;
    }
    nodes[parent].child = child;
    nodes[parent].next = HEAP_NONE;
    nodes[parent].previous = HEAP_NONE;
    return parent;
}

/* The two passes: melds siblings in pairs from the front, then the pairs from the back. The pairs
 * wait in a list through `next`. */
static uint32_t meld_siblings(struct heap_node *nodes, uint32_t first) {
    uint32_t pairs = HEAP_NONE;
    while (first != HEAP_NONE) {
        uint32_t second = nodes[first].next;
        uint32_t rest = second == HEAP_NONE ? HEAP_NONE : nodes[second].next;
        uint32_t pair = meld(nodes, first, second);
        nodes[pair].next = pairs;
        pairs = pair;
        first = rest;
    }
    uint32_t root = HEAP_NONE;
    while (pairs != HEAP_NONE) {
        uint32_t rest = nodes[pairs].next;
        nodes[pairs].next = HEAP_NONE;
        root = meld(nodes, root, pairs);
        pairs = rest;
    }
    if (root != HEAP_NONE) {
        nodes[root].previous = HEAP_NONE;
    }
    return root;
}

void heap_add(struct heap_node *nodes, uint32_t *root, uint32_t index, uint64_t order) {
    nodes[index] = (struct heap_node){
        .order = order, .child = HEAP_NONE, .next = HEAP_NONE, .previous = HEAP_NONE};
    *root = meld(nodes, *root, index);
}

void heap_remove(struct heap_node *nodes, uint32_t *root, uint32_t index) {
    struct heap_node *node = &nodes[index];
    uint32_t children = meld_siblings(nodes, node->child);
    node->child = HEAP_NONE;
    if (index == *root) {
        *root = children;
        return;
    }
    check(node->previous != HEAP_NONE);
    struct heap_node *before = &nodes[node->previous];
    *(before->child == index ? &before->child : &before->next) = node->next;
    if (node->next != HEAP_NONE) {
        nodes[node->next].previous = node->previous;
    }
    *root = meld(nodes, *root, children);
}
