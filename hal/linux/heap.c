#include "hal/linux/heap.h"

#include <string.h>

/* In front of each block's payload. Sizes are whole blocks, header included, multiples of 16, so
 * the lowest bit is free to say "in use". Headers lie at 8 modulo 16: payloads at 0. */
struct __attribute__((may_alias)) block {
    uint32_t previous_size; /* of the neighbour in front; 0: this is the first */
    uint32_t size_and_use;
    uint32_t next_free; /* from here on only while free: the payload otherwise */
    uint32_t previous_free;
};

enum { HEADER = 8, UNIT = 16, EXACT_CLASSES = 32, EXACT_LOG = 5, SUBCLASSES_LOG = 3, USED = 1 };

static struct block *block_at(const struct heap *heap, uint32_t offset) {
    return (struct block *)(void *)(heap->base + offset);
}

static uint32_t block_size(const struct block *block) {
    return block->size_and_use & ~(uint32_t)USED;
}

static bool block_is_used(const struct block *block) {
    return (block->size_and_use & USED) != 0;
}

static unsigned log_of(uint32_t value) {
    return 31U - (unsigned)__builtin_clz(value);
}

static unsigned class_of(uint32_t size) {
    uint32_t units = size / UNIT;
    if (units < EXACT_CLASSES) {
        return units;
    }
    unsigned log = log_of(units);
    unsigned part = (units >> (log - SUBCLASSES_LOG)) & ((1U << SUBCLASSES_LOG) - 1);
    return EXACT_CLASSES + ((log - EXACT_LOG) << SUBCLASSES_LOG) + part;
}

/* The first class all of whose blocks are at least `size` long. */
static unsigned class_holding(uint32_t size) {
    uint32_t units = size / UNIT;
    if (units >= EXACT_CLASSES) {
        size += UNIT * ((1U << (log_of(units) - SUBCLASSES_LOG)) - 1);
    }
    return class_of(size);
}

static void list_add(struct heap *heap, uint32_t offset) {
    struct block *block = block_at(heap, offset);
    unsigned class = class_of(block_size(block));
    block->previous_free = 0;
    block->next_free = heap->heads[class];
    if (block->next_free != 0) {
        block_at(heap, block->next_free)->previous_free = offset;
    }
    heap->heads[class] = offset;
    heap->filled[class / 64] |= (uint64_t)1 << (class % 64);
}

static void list_remove(struct heap *heap, uint32_t offset) {
    struct block *block = block_at(heap, offset);
    unsigned class = class_of(block_size(block));
    if (block->next_free != 0) {
        block_at(heap, block->next_free)->previous_free = block->previous_free;
    }
    if (block->previous_free != 0) {
        block_at(heap, block->previous_free)->next_free = block->next_free;
        return;
    }
    check(heap->heads[class] == offset);
    heap->heads[class] = block->next_free;
    if (block->next_free == 0) {
        heap->filled[class / 64] &= ~((uint64_t)1 << (class % 64));
    }
}

/* Offset of a free block of at least `size`, or 0. */
static uint32_t find_free(const struct heap *heap, uint32_t size) {
    unsigned class = class_holding(size);
    uint64_t mask = ~(uint64_t)0 << (class % 64);
    for (unsigned word = class / 64; word < array_count(heap->filled); word++) {
        uint64_t candidates = heap->filled[word] & mask;
        if (candidates != 0) {
            return heap->heads[word * 64 + (unsigned)__builtin_ctzll(candidates)];
        }
        mask = ~(uint64_t)0;
    }
    return 0;
}

/* Writes the header's size and tells the neighbour behind. */
static void set_size(struct heap *heap, uint32_t offset, uint32_t size, uint32_t use) {
    block_at(heap, offset)->size_and_use = size | use;
    if (offset + size < heap->end) {
        block_at(heap, offset + size)->previous_size = size;
    }
}

/* Makes [offset, offset + size) one free block, merged with free neighbours. */
static void make_free(struct heap *heap, uint32_t offset, uint32_t size) {
    uint32_t previous_size = block_at(heap, offset)->previous_size;
    if (previous_size != 0 && !block_is_used(block_at(heap, offset - previous_size))) {
        offset -= previous_size;
        size += previous_size;
        list_remove(heap, offset);
    }
    uint32_t next = offset + size;
    if (next < heap->end && !block_is_used(block_at(heap, next))) {
        list_remove(heap, next);
        size += block_size(block_at(heap, next));
    }
    set_size(heap, offset, size, 0);
    list_add(heap, offset);
}

/* Cuts the used block at `offset` down to `size`; the rest becomes free. */
static void cut(struct heap *heap, uint32_t offset, uint32_t size) {
    uint32_t whole = block_size(block_at(heap, offset));
    check(size <= whole);
    if (size == whole) {
        return;
    }
    set_size(heap, offset, size, USED);
    set_size(heap, offset + size, whole - size, USED);
    make_free(heap, offset + size, whole - size);
}

static void count_used(struct heap *heap, size_t bytes) {
    heap->stats.used_bytes += bytes;
    if (heap->stats.used_bytes > heap->stats.peak_bytes) {
        heap->stats.peak_bytes = heap->stats.used_bytes;
    }
}

/* Whether failure injection refuses this call. */
static bool is_injected(struct heap *heap) {
    if (heap->fail_count == 0) {
        return false;
    }
    if (heap->fail_after > 0) {
        heap->fail_after--;
        return false;
    }
    heap->fail_count--;
    return true;
}

/* Bytes of a block that holds `size`; 0 when no heap could. */
static uint32_t block_bytes(const struct heap *heap, size_t size) {
    if (size > heap->end) {
        return 0;
    }
    uint32_t bytes = ((uint32_t)size + HEADER + UNIT - 1) / UNIT * UNIT;
    return bytes;
}

static uint32_t offset_of_used(const struct heap *heap, const void *pointer) {
    size_t distance = (size_t)((const uint8_t *)pointer - heap->base);
    check(distance >= UNIT && distance < heap->end && distance % UNIT == 0);
    uint32_t offset = (uint32_t)distance - HEADER;
    const struct block *block = block_at(heap, offset);
    check(block_is_used(block));
    check(block_size(block) >= UNIT && block_size(block) <= heap->end - offset);
    return offset;
}

void heap_open(struct heap *heap, void *memory, size_t memory_bytes) {
    check((uintptr_t)memory % HEAP_ALIGNMENT == 0);
    check(memory_bytes >= 64 && memory_bytes <= (size_t)1 << 31);
    memset(heap, 0, sizeof(*heap));
    heap->base = memory;
    uint32_t size = (uint32_t)(memory_bytes / UNIT * UNIT - UNIT);
    heap->end = HEADER + size;
    heap->stats.capacity_bytes = size;
    block_at(heap, HEADER)->previous_size = 0;
    set_size(heap, HEADER, size, 0);
    list_add(heap, HEADER);
}

void *heap_allocate(struct heap *heap, size_t alignment, size_t size) {
    check(alignment > 0 && (alignment & (alignment - 1)) == 0);
    heap->stats.calls++;
    uint32_t bytes = block_bytes(heap, size);
    uint32_t spare = alignment > HEAP_ALIGNMENT && alignment <= heap->end ? (uint32_t)alignment : 0;
    bool is_possible = bytes != 0 && alignment <= heap->end && !is_injected(heap);
    uint32_t offset = is_possible ? find_free(heap, bytes + spare) : 0;
    if (offset == 0) {
        heap->stats.failures++;
        return NULL;
    }
    list_remove(heap, offset);
    set_size(heap, offset, block_size(block_at(heap, offset)), USED);
    uintptr_t payload = (uintptr_t)heap->base + offset + HEADER;
    uint32_t skipped = (uint32_t)(-payload & (alignment - 1));
    if (skipped != 0) {
        uint32_t whole = block_size(block_at(heap, offset));
        set_size(heap, offset, skipped, USED);
        set_size(heap, offset + skipped, whole - skipped, USED);
        make_free(heap, offset, skipped);
        offset += skipped;
    }
    cut(heap, offset, bytes);
    heap->stats.blocks++;
    count_used(heap, bytes);
    return heap->base + offset + HEADER;
}

/* Grows or shrinks without moving, if the neighbour behind allows. */
static bool resize_in_place(struct heap *heap, uint32_t offset, uint32_t bytes) {
    uint32_t old = block_size(block_at(heap, offset));
    uint32_t next = offset + old;
    if (bytes > old) {
        if (next >= heap->end || block_is_used(block_at(heap, next)) ||
            old + block_size(block_at(heap, next)) < bytes) {
            return false;
        }
        list_remove(heap, next);
        set_size(heap, offset, old + block_size(block_at(heap, next)), USED);
    }
    cut(heap, offset, bytes);
    heap->stats.used_bytes -= old;
    count_used(heap, bytes);
    return true;
}

void *heap_resize(struct heap *heap, void *pointer, size_t size) {
    uint32_t offset = offset_of_used(heap, pointer);
    uint32_t old = block_size(block_at(heap, offset));
    uint32_t bytes = block_bytes(heap, size);
    if (bytes != 0 && heap->fail_count == 0 && resize_in_place(heap, offset, bytes)) {
        heap->stats.calls++;
        return pointer;
    }
    void *moved = heap_allocate(heap, HEAP_ALIGNMENT, size);
    if (moved == NULL) {
        return NULL;
    }
    size_t kept = old - HEADER < size ? old - HEADER : size;
    memcpy(moved, pointer, kept);
    heap_release(heap, pointer);
    return moved;
}

void heap_release(struct heap *heap, void *pointer) {
    if (pointer == NULL) {
        return;
    }
    uint32_t offset = offset_of_used(heap, pointer);
    uint32_t size = block_size(block_at(heap, offset));
    heap->stats.blocks--;
    heap->stats.used_bytes -= size;
    make_free(heap, offset, size);
}

size_t heap_usable_bytes(const struct heap *heap, const void *pointer) {
    return block_size(block_at(heap, offset_of_used(heap, pointer))) - HEADER;
}

void heap_fail(struct heap *heap, uint64_t after, uint64_t count) {
    heap->fail_after = after;
    heap->fail_count = count;
}

size_t heap_walk(const struct heap *heap) {
    size_t free_blocks = 0;
    size_t used_bytes = 0;
    uint32_t previous_size = 0;
    bool previous_is_free = false;
    uint32_t size;
    for (uint32_t offset = HEADER; offset < heap->end; offset += size) {
        const struct block *block = block_at(heap, offset);
        size = block_size(block);
        bool is_free = !block_is_used(block);
        check(size >= UNIT && size % UNIT == 0 && size <= heap->end - offset);
        check(block->previous_size == previous_size);
        check(!(is_free && previous_is_free));
        free_blocks += is_free;
        used_bytes += is_free ? 0 : size;
        previous_size = size;
        previous_is_free = is_free;
    }
    check(used_bytes == heap->stats.used_bytes);
    return free_blocks;
}
