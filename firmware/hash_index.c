#include "firmware/hash_index.h"

void hash_index_init(struct hash_index *index, struct hash_cell *cells, uint32_t cell_count) {
    check(cell_count > 1 && (cell_count & (cell_count - 1)) == 0);
    *index = (struct hash_index){.cells = cells, .mask = cell_count - 1};
}

void hash_index_add(struct hash_index *index, uint32_t hash, uint32_t entry) {
    uint32_t at = hash & index->mask;
    uint32_t probes = 0;
    while (index->cells[at].entry != 0) {
        at = (at + 1) & index->mask;
        probes += 1;
        check(probes <= index->mask);
    }
    index->cells[at] = (struct hash_cell){.hash = hash, .entry = entry + 1};
}

uint32_t hash_index_start(const struct hash_index *index, uint32_t hash) {
    return hash & index->mask;
}

uint32_t hash_index_next(const struct hash_index *index, uint32_t hash, uint32_t *at) {
    while (index->cells[*at].entry != 0) {
        struct hash_cell cell = index->cells[*at];
        *at = (*at + 1) & index->mask;
        if (cell.hash == hash) {
            return cell.entry - 1;
        }
    }
    return HASH_INDEX_NONE;
}

/* Moves later cells of the same run back into the gap, so that no run is ever broken. */
static void close_gap(struct hash_index *index, uint32_t gap) {
    uint32_t at = (gap + 1) & index->mask;
    while (index->cells[at].entry != 0) {
        uint32_t home = index->cells[at].hash & index->mask;
        uint32_t distance_home = (at - home) & index->mask;
        uint32_t distance_gap = (at - gap) & index->mask;
        if (distance_home >= distance_gap) {
            index->cells[gap] = index->cells[at];
            gap = at;
        }
        at = (at + 1) & index->mask;
    }
    index->cells[gap] = (struct hash_cell){0};
}

void hash_index_remove(struct hash_index *index, uint32_t hash, uint32_t entry) {
    uint32_t at = hash & index->mask;
    while (index->cells[at].entry != entry + 1) {
        check(index->cells[at].entry != 0);
        at = (at + 1) & index->mask;
    }
    close_gap(index, at);
}

/* Numbers are given in a row and looked up in a row: eight neighbours share a cache line. */
uint32_t hash_number(uint64_t number) {
    uint64_t row = number >> 3;
    row = (row ^ row >> 33) * 0xff51afd7ed558ccdu;
    return (uint32_t)(row ^ row >> 29) << 3 | (uint32_t)(number & 7);
}
