#include "firmware/pool.h"

#define POOL_USED (UINT32_MAX - 1)

void pool_init(struct pool *pool, uint32_t *next, uint32_t capacity) {
    check(capacity > 0 && capacity < POOL_USED);
    *pool = (struct pool){.next = next, .capacity = capacity, .first_free = POOL_NONE};
}

static void count_used(struct pool *pool) {
    pool->used += 1;
    if (pool->used > pool->used_max) {
        pool->used_max = pool->used;
    }
}

uint32_t pool_take(struct pool *pool) {
    uint32_t index = pool->first_free;
    if (index != POOL_NONE) {
        pool->first_free = pool->next[index];
    } else if (pool->touched < pool->capacity) {
        index = pool->touched;
        pool->touched += 1;
    } else {
        return POOL_NONE;
    }
    pool->next[index] = POOL_USED;
    count_used(pool);
    return index;
}

void pool_give(struct pool *pool, uint32_t index) {
    check(pool_is_used(pool, index));
    pool->next[index] = pool->first_free;
    pool->first_free = index;
    pool->used -= 1;
}

bool pool_is_used(const struct pool *pool, uint32_t index) {
    return index < pool->touched && pool->next[index] == POOL_USED;
}

uint32_t pool_free_count(const struct pool *pool) {
    return pool->capacity - pool->used;
}

void pool_claim(struct pool *pool, uint32_t index) {
    check(index < pool->capacity);
    for (; pool->touched <= index; pool->touched++) {
        pool->next[pool->touched] = POOL_NONE;
    }
    check(pool->next[index] != POOL_USED);
    pool->next[index] = POOL_USED;
    count_used(pool);
}

void pool_loaded(struct pool *pool) {
    pool->first_free = POOL_NONE;
    for (uint32_t i = pool->touched; i > 0; i--) {
        if (pool->next[i - 1] != POOL_USED) {
            pool->next[i - 1] = pool->first_free;
            pool->first_free = i - 1;
        }
    }
}
