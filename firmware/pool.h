/* pool.h - which entries of a fixed table are in use: a free list in memory the owner lends.
 *
 * Entries that were never used are not touched, so a large table costs memory only as it fills. */
#ifndef FIRMWARE_POOL_H
#define FIRMWARE_POOL_H

#include "hal/base.h"

#define POOL_NONE UINT32_MAX

struct pool {
    uint32_t *next; /* one for each entry; POOL_USED while it is taken */
    uint32_t capacity;
    uint32_t first_free;
    uint32_t touched; /* entries from here on were never used */
    uint32_t used;
    uint32_t used_max; /* high-water mark */
};

void pool_init(struct pool *pool, uint32_t *next, uint32_t capacity);
/* POOL_NONE: full. */
uint32_t pool_take(struct pool *pool);
void pool_give(struct pool *pool, uint32_t index);
bool pool_is_used(const struct pool *pool, uint32_t index);
uint32_t pool_free_count(const struct pool *pool);

/* While tables are loaded: takes this very entry; then pool_loaded() lists the gaps as free. */
void pool_claim(struct pool *pool, uint32_t index);
void pool_loaded(struct pool *pool);

#endif
