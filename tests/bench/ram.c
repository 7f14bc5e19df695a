/* ram.c - row P9: all the memory that a store of 4,096 objects and 256 blocks takes, as one object
 * in .bss, so that the size of this file's object on the target is the answer. Never run. */
#include "firmware/store.h"

enum { OBJECTS = 4096, BLOCKS = 256, FRAME_BYTES = 4096 };

struct bench_ram {
    struct store store;
    struct store_slot slots[OBJECTS];
    struct store_block blocks[BLOCKS];
    uint32_t order[BLOCKS];
    uint8_t group_buffer[FRAME_BYTES];
    uint8_t copy_buffer[FRAME_BYTES];
};

extern struct bench_ram bench_ram;
struct bench_ram bench_ram;
