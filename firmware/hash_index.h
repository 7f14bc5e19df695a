/* hash_index.h - finds table entries by a hash: open addressing, in memory the owner lends.
 *
 * Several entries may share a hash; the owner compares. Deleting leaves no marks behind. */
#ifndef FIRMWARE_HASH_INDEX_H
#define FIRMWARE_HASH_INDEX_H

#include "hal/base.h"

#define HASH_INDEX_NONE UINT32_MAX

struct hash_cell {
    uint32_t hash;
    uint32_t entry; /* index + 1; 0: empty */
};

struct hash_index {
    struct hash_cell *cells;
    uint32_t mask; /* cells - 1; a power of two, at least twice the entries */
};

void hash_index_init(struct hash_index *index, struct hash_cell *cells, uint32_t cell_count);
void hash_index_add(struct hash_index *index, uint32_t hash, uint32_t entry);
void hash_index_remove(struct hash_index *index, uint32_t hash, uint32_t entry);

/* Walks the entries of one hash: start with *at = hash_index_start(); NONE ends it. */
uint32_t hash_index_start(const struct hash_index *index, uint32_t hash);
uint32_t hash_index_next(const struct hash_index *index, uint32_t hash, uint32_t *at);

/* Spreads a number, or the front of a digest, over 32 bits. */
uint32_t hash_number(uint64_t number);

/* Asks for the memory where an entry of this hash will go, some entries ahead of its turn. */
static inline void hash_index_expect(const struct hash_index *index, uint32_t hash) {
    __builtin_prefetch(&index->cells[hash & index->mask], 1);
}

#endif
