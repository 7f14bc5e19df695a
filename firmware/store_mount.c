#include "firmware/store_scan.h"

#include <string.h>

enum {
    TRIES = 16,        /* of a mount that sees what it has read change */
    SEQUENCE_AT = 48,  /* in a header */
    UNSEEN_BLOCKS = 8, /* that may have a header which does not read as one now */
};

static void forget_slots(struct store *store) {
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        struct store_slot *slots = store->memory.slots + store->slot_base[kind];
        memset(slots, 0, store->slots_used[kind] * sizeof slots[0]);
    }
    store->memory.is_zeroed = true;
}

static void forget_everything(struct store *store) {
    struct hal_flash *flash = store->flash;
    forget_slots(store);
    const struct store_memory memory = store->memory;
    store_init(store, flash, &memory);
    memset(memory.blocks, 0, flash->block_count * sizeof memory.blocks[0]);
    store->oldest_known = 1;
}

enum status store_format(struct store *store, const uint8_t id[STORE_ID_BYTES], uint32_t epoch) {
    uint8_t new_id[STORE_ID_BYTES];
    memcpy(new_id, id, STORE_ID_BYTES);
    forget_everything(store);
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_header header;
        enum status status = store_read_header(store, b, &header);
        if (status == STATUS_OK || status == STATUS_FOREIGN) {
            status = hal_flash_erase(store->flash, b);
            if (status == STATUS_OK && store_read_header(store, b, &header) != STATUS_MALFORMED) {
                return STATUS_FOREIGN;
            }
        }
        if (status != STATUS_OK && status != STATUS_MALFORMED) {
            return status;
        }
    }
    memcpy(store->id, new_id, STORE_ID_BYTES);
    store->epoch = epoch;
    store->free_count = store->flash->block_count;
    return store_open_block(store);
}

/* Begins the mount again, without the blocks behind one of them, or without that one too. CORRUPT:
 * its header does not read as one any more. */
static enum status restart(struct store *store, uint32_t block, bool with_it, uint32_t *count) {
    forget_everything(store);
    enum status status = store_choose_headers(store, count);
    if (status != STATUS_OK) {
        return status;
    }
    while (*count > 0 && store->memory.order[*count - 1] != block) {
        *count -= 1;
    }
    bool is_there = *count > 0;
    *count -= !with_it && *count > 1;
    return is_there ? STATUS_OK : STATUS_CORRUPT;
}

/* Finds the log's end, and reads all before it. When a torn group began blocks of its own, these
 * do not count, and what their headers say of older ones neither: once more without them. The same
 * with copies that were whole a moment ago, and said that a block was emptied into them. */
static enum status read_log(struct store_scan *scan, uint32_t count) {
    struct store *store = scan->store;
    uint32_t torn = 0;
    uint32_t newest_end = store->flash->block_bytes;
    for (;;) {
        uint32_t last = 0;
        *scan = (struct store_scan){.store = store, .count = count, .newest_end = newest_end};
        enum status status = store_choose_whole(scan);
        if (status == STATUS_OK) {
            status = store_choose_blocks(scan);
        }
        if (status == STATUS_OK) {
            status = store_scan_read(scan, &last);
        }
        uint32_t end = store->memory.blocks[store->memory.order[last]].used_bytes;
        bool has_frames = end > store_first_offset(store);
        bool is_end = (last + 1 == scan->count && has_frames) || scan->count == 1;
        bool is_believed = scan->oldest_at < end;
        if (status != STATUS_OK || (is_end && is_believed)) {
            store->stats.torn_frames += torn;
            return status;
        }
        torn += store->stats.torn_frames;
        check(store->memory.order[last] < store->flash->block_count);
        newest_end = is_end ? end : store->flash->block_bytes;
        status = restart(store, store->memory.order[last], has_frames, &count);
        if (status != STATUS_OK) {
            return status;
        }
    }
}

/* Reads everything. CORRUPT: something has changed meanwhile. */
static enum status try_mount(struct store *store, struct store_scan *scan) {
    uint32_t count = 0;
    bool is_steady = true;
    forget_everything(store);
    enum status status = store_choose_headers(store, &count);
    if (status == STATUS_OK) {
        status = read_log(scan, count);
    }
    if (status == STATUS_OK && scan->has_tail) {
        store->tail_block = store->memory.order[scan->tail_i];
        store->tail_offset = scan->tail_offset;
        status = store_scan_is_tail_steady(scan, &is_steady);
        status = status == STATUS_OK && !is_steady ? STATUS_CORRUPT : status;
    }
    if (status == STATUS_OK && scan->has_tail) {
        status = store_choose_held(scan);
    }
    return status;
}

/* Above the sequence number of a header that does not read as one this time, as far as it tells. */
static enum status pass_unseen(struct store *store, uint32_t b) {
    uint8_t bytes[4];
    enum status status = hal_flash_read(store->flash, b * store->flash->block_bytes + SEQUENCE_AT,
                                        bytes, sizeof bytes);
    uint32_t more = (uint32_t)store_get_le(bytes, sizeof bytes) - store->block_sequence;
    if (status == STATUS_OK && more <= 8 * UNSEEN_BLOCKS) {
        store->block_sequence += more;
    }
    return status;
}

static enum status settle_blocks(struct store *store) {
    bool is_new = store->tail_block == store->flash->block_count;
    uint32_t unseen = 1;
    enum status status = STATUS_OK;
    for (uint32_t b = 0; b < store->flash->block_count && status == STATUS_OK; b++) {
        struct store_block *block = &store->memory.blocks[b];
        unseen += block->is_doubtful;
        is_new = is_new && !block->is_doubtful && (block->sequence == 0 || b == store->newest);
        block->sequence = block->state == STORE_BLOCK_USED ? block->sequence : 0;
        store->stats.bad_blocks += block->is_worn;
        if (block->is_worn && block->state == STORE_BLOCK_FREE) {
            block->state = STORE_BLOCK_BAD;
            store->free_count -= 1;
        }
        status = block->is_doubtful ? pass_unseen(store, b) : STATUS_OK;
    }
    store->block_sequence += is_new ? 0 : unseen * UNSEEN_BLOCKS;
    return status;
}

enum status store_mount(struct store *store) {
    struct store_scan scan = {.store = store};
    enum status status = STATUS_CORRUPT;
    for (uint32_t i = 0; i < TRIES && status == STATUS_CORRUPT; i++) {
        status = try_mount(store, &scan);
    }
    if (status != STATUS_OK) {
        return status;
    }
    store_scan_know_seq(&scan, scan.next_seq);
    store->head_seq = scan.next_seq - 1;
    store->committed_seq = store->head_seq;
    store->placed_seq = store->head_seq;
    store->durable_seq = store->head_seq;
    status = settle_blocks(store);
    store->is_mounted = status == STATUS_OK;
    store->mount_sequence = store->block_sequence + 1;
    store->cleaner.lap_end = store->block_sequence;
    store->cleaner.may_repeat = true;
    return status;
}
