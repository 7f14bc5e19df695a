/* heap.h - allocate and free inside one fixed piece of memory, in constant time.
 *
 * For third-party libraries only (arena.h); our own code never allocates. Free blocks hang in
 * size classes (exact up to 512 bytes, then eight to a power of two), a bitmap finds the first
 * class that fits, neighbours merge when freed. Overhead: 8 bytes a block, sizes rounded to 16.
 * Memory that was never handed out is never written, so that it costs no pages.
 *
 * Not thread-safe: whoever shares a heap brings the lock. A pointer that this heap did not give,
 * or gave back already, is a programmer error and ends the program. */
#ifndef HAL_LINUX_HEAP_H
#define HAL_LINUX_HEAP_H

#include "hal/base.h"

enum {
    HEAP_ALIGNMENT = 16, /* every pointer's, at least */
    HEAP_CLASSES = 216,
};

struct heap_stats {
    size_t capacity_bytes;
    size_t used_bytes; /* blocks handed out, with their overhead */
    size_t peak_bytes; /* highest used_bytes ever */
    size_t blocks;     /* handed out now */
    uint64_t calls;    /* allocations asked for, granted or not */
    uint64_t failures; /* allocations refused */
};

struct heap {
    uint8_t *base; /* NULL: not open */
    uint32_t end;  /* offset after the last block */
    uint32_t heads[HEAP_CLASSES];
    uint64_t filled[(HEAP_CLASSES + 63) / 64]; /* a bit for each class that is not empty */
    struct heap_stats stats;
    uint64_t fail_after; /* failure injection: granted calls before the refused ones */
    uint64_t fail_count; /* refused calls to come */
};

/* `memory` is aligned to HEAP_ALIGNMENT and 64 bytes to 2 GiB long; it stays the caller's. */
void heap_open(struct heap *heap, void *memory, size_t memory_bytes);

/* NULL when nothing fits. `alignment` is a power of two; a size of 0 gets a block, too. */
must_check void *heap_allocate(struct heap *heap, size_t alignment, size_t size);

/* Moves when it must; NULL leaves the old block as it was. `pointer` is not NULL. */
must_check void *heap_resize(struct heap *heap, void *pointer, size_t size);

/* NULL is allowed and does nothing. */
void heap_release(struct heap *heap, void *pointer);

/* Bytes that may be written at `pointer`: at least what was asked for. */
size_t heap_usable_bytes(const struct heap *heap, const void *pointer);

/* For tests: grants the next `after` calls, refuses the `count` that follow, then is over. */
void heap_fail(struct heap *heap, uint64_t after, uint64_t count);

/* For tests: walks all blocks and checks what joins them. Returns the number of free ones. */
size_t heap_walk(const struct heap *heap);

#endif
