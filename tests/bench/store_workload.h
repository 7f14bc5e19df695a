/* store_workload.h - the peers' workload on our store: 2,000 objects of an 8-byte key and a
 * 100-byte value, uniform random updates, on counting flash. The key is the store's slot: it
 * stands in the record's head, and counts as 8 logical bytes as it does for the peers. */
#ifndef TESTS_BENCH_STORE_WORKLOAD_H
#define TESTS_BENCH_STORE_WORKLOAD_H

#include "firmware/store.h"
#include "tests/bench/counting_flash.h"

enum {
    WORKLOAD_OBJECTS = 2000,
    WORKLOAD_VALUE_BYTES = 100,
    WORKLOAD_LOGICAL_BYTES = 108,
    WORKLOAD_FRAME_MAX = 65536,
};

struct workload_shape {
    uint32_t block_bytes;
    uint32_t block_count;
    uint32_t program_bytes; /* 1: byte append; 256: page per commit */
    uint32_t frame_bytes;
    uint32_t group; /* records a sync */
};

struct workload {
    struct counting_flash flash;
    struct store store;
    struct store_memory memory;
    struct store_slot slots[WORKLOAD_OBJECTS];
    struct store_block blocks[COUNTING_BLOCKS_MAX];
    uint32_t order[COUNTING_BLOCKS_MAX];
    uint8_t group_buffer[WORKLOAD_FRAME_MAX];
    uint8_t copy_buffer[WORKLOAD_FRAME_MAX];
    uint32_t group;
    uint64_t dice;
    uint32_t values[WORKLOAD_OBJECTS]; /* what each object must hold */
};

/* Formats, mounts, writes every object once, and goes on until every block was
 * used once and cleaning has begun. */
void workload_start(struct workload *workload, const struct workload_shape *shape, uint64_t seed);
void workload_update(struct workload *workload, uint32_t updates);
/* Drops what is in memory and mounts again. */
void workload_mount(struct workload *workload);
/* Reads every object back; ends the program when one is not what was written last. */
void workload_verify(struct workload *workload);

#endif
