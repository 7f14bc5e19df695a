/* The cleaner: which block is emptied, step by step, and what is freed then. */
#include "firmware/store_copy.h"

/* ---- which block ---- */

/* What of a block must be kept, about: all groups while one in it is not acknowledged. */
static uint32_t kept_bytes(const struct store *store, uint32_t b) {
    const struct store_block *block = &store->memory.blocks[b];
    bool is_pinned = block->last_seq > store_log_seq(store);
    uint32_t all = block->used_bytes - store_first_offset(store);
    uint32_t kept = block->live_bytes + (is_pinned ? block->group_bytes : 0);
    return kept < all ? kept : all;
}

/* Turning over is useless when nearly everything is kept. */
static bool has_garbage(const struct store *store) {
    uint64_t kept = 0;
    uint64_t all = 0;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        if (store->memory.blocks[b].state == STORE_BLOCK_USED) {
            kept += store_kept_bytes(store, &store->memory.blocks[b]);
            all += store_payload(store);
        }
    }
    return kept < all / 8 * 7;
}

/* block_count: none. */
static uint32_t oldest_block(const struct store *store) {
    uint32_t oldest = store->flash->block_count;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_USED &&
            (oldest == store->flash->block_count ||
             block->sequence < store->memory.blocks[oldest].sequence)) {
            oldest = b;
        }
    }
    return oldest == store->newest ? store->flash->block_count : oldest;
}

/* What a block is emptied into must be there before it is begun, and one block beside it: one that
 * was freed can be erased only behind a newer header, and behind that, all of them. The last block
 * is good for copies that fit it: they say themselves that the other one is free. */
static bool has_room_for(struct store *store, uint32_t victim) {
    uint32_t kept = kept_bytes(store, victim);
    uint64_t room = store_rest(store);
    bool has_erasable = store_count_erasable(store) > 0;
    if (store->free_count == 1 && has_erasable && kept <= store_payload(store)) {
        return store_merge_fits_block(store, victim);
    }
    if (store->free_count > 1 && has_erasable) {
        room += (uint64_t)(store->free_count - 1) * store_payload(store);
    }
    return kept == 0 || kept + kept / 16 <= room;
}

/* True: there is a block to empty. */
static bool choose(struct store *store) {
    uint32_t none = store->flash->block_count;
    if (store->cleaner.victim != none) {
        return true;
    }
    uint32_t oldest = store_is_low(store) ? oldest_block(store) : none;
    if (store->is_mounted && store_merge_begin(store, oldest != none)) {
        return true;
    }
    if (store->has_failed || oldest == none ||
        store->memory.blocks[oldest].sequence > store->cleaner.lap_end ||
        !has_room_for(store, oldest) || !has_garbage(store)) {
        return false;
    }
    store_copy_start(store, oldest, false);
    return true;
}

/* ---- a step ---- */

static bool is_merged(const struct store_batch *batch) {
    return batch->size > 0 && batch->frame.type == STORE_FRAME_COPY && batch->frame.is_last;
}

/* Makes one batch, in a new block if nothing fits the rest of this one. */
static enum status make_batch(struct store *store, struct store_batch *batch, bool *is_done) {
    const struct store_block *victim = &store->memory.blocks[store->cleaner.victim];
    enum status status = STATUS_OK;
    for (bool is_new = false;; is_new = true) {
        *batch = store_copy_batch(store);
        if (status == STATUS_OK && (!store->cleaner.is_merge || batch->limit > 0)) {
            status = store_copy_gather(store, batch);
        }
        *is_done = store->cleaner.is_merge
                       ? is_merged(batch)
                       : batch->is_all ||
                             (batch->size == 0 && store->cleaner.offset >= victim->used_bytes &&
                              victim->live_bytes == 0);
        if (status != STATUS_OK || *is_done || batch->size > 0) {
            return status;
        }
        check(!is_new); /* whatever is kept fits an empty block */
        status = store_open_block(store);
    }
}

static void leave(struct store *store, uint32_t b) {
    struct store_block *block = &store->memory.blocks[b];
    block->state = STORE_BLOCK_LEAVING;
    block->is_replaced = store->cleaner.is_merge;
    store->leaving_count += 1;
}

/* Of a merge, all blocks up to the last one that it has rewritten go, and of one perhaps a part. */
static void finish(struct store *store) {
    struct store_cleaner *cleaner = &store->cleaner;
    uint32_t b = cleaner->is_merge ? cleaner->last : cleaner->victim;
    while (cleaner->is_merge && b != cleaner->base && b != store->flash->block_count) {
        uint32_t before = store_merge_before(store, b);
        leave(store, b);
        b = before;
    }
    if (!cleaner->is_merge) {
        leave(store, b);
    } else if (cleaner->base < store->flash->block_count) {
        store->memory.blocks[cleaner->base].used_bytes = cleaner->base_end;
    }
    store->cleaner.victim = store->flash->block_count;
    store->cleaner.may_repeat = store->cleaner.may_repeat && store->cleaner.is_merge;
    store->cleaner.is_merge = false;
}

static enum status step(struct store *store) {
    struct store_batch batch;
    bool is_done = false;
    struct store_cleaner before = store->cleaner;
    enum status status = make_batch(store, &batch, &is_done);
    if (status != STATUS_OK) {
        store->cleaner = before;
        return status;
    }
    uint32_t block = store->block;
    uint32_t offset = store->offset;
    if (batch.size > 0) {
        status = store_program_frames(store, batch.size);
        if (status != STATUS_OK) {
            store->cleaner = before;
            return status;
        }
        store_copy_place(store, block, offset, batch.size);
    }
    if (is_done) {
        finish(store);
    }
    return batch.size > 0 ? store_start_sync(store) : STATUS_OK;
}

/* Frees the oldest block if it was emptied before the mount already, and only no header says so:
 * the next one will. Nothing is written. */
static bool free_emptied(struct store *store) {
    uint32_t oldest = oldest_block(store);
    struct store_batch nothing = {.copies = STORE_BATCH_NONE, .ended = STORE_BATCH_NONE};
    if (!store->is_mounted || !store_is_low(store) || oldest == store->flash->block_count) {
        return false;
    }
    store_copy_start(store, oldest, false);
    bool may_repeat = store->cleaner.may_repeat;
    bool is_empty = store_copy_gather(store, &nothing) == STATUS_OK &&
                    store->cleaner.offset >= store_copy_end(store) &&
                    !store_copy_is_hiding(store) && store->memory.blocks[oldest].live_bytes == 0;
    if (is_empty) {
        finish(store);
        store_free_left_blocks(store);
    }
    store->cleaner.victim = store->flash->block_count;
    store->cleaner.may_repeat = may_repeat;
    return is_empty;
}

/* When the free blocks cannot be erased, since nothing on flash says that they are free: says it.
 */
static bool must_announce(const struct store *store) {
    uint32_t blocks = store->group_blocks;
    uint32_t merge = store->merge_blocks; /* it may have to be written twice: store_merge_begin() */
    uint32_t enough = merge > 0 ? blocks + merge : 1;
    return store->cleaner.victim == store->flash->block_count &&
           (store_is_low(store) || blocks > 0 || merge > 0) &&
           (store_rest(store) >= STORE_SHORT_BYTES || (blocks > 0 && !store->is_mounted)) &&
           store->free_count > 1 && store_count_erasable(store) <= enough &&
           store_oldest_sequence(store, store->flash->block_count) > store->oldest_known;
}

static enum status announce(struct store *store) {
    bool is_full = store_rest(store) < STORE_SHORT_BYTES;
    enum status status = is_full ? store_open_block(store) : STATUS_OK;
    if (status != STATUS_OK) {
        store->has_failed = status != STATUS_FULL;
        return status == STATUS_FULL ? STATUS_OK : status;
    }
    struct store_batch batch = store_copy_batch(store);
    check(store_copy_begin_frame(&batch, 0));
    store_copy_end_frame(store, &batch, false);
    status = store_program_frames(store, batch.size);
    if (status == STATUS_WORN) {
        return STATUS_OK; /* the block is closed: another one will say it */
    }
    status = status == STATUS_OK ? store_start_sync(store) : status;
    store->has_failed = status != STATUS_OK;
    return status;
}

enum status store_clean(struct store *store) {
    if (store->has_failed) {
        return STATUS_IO;
    }
    if (store->is_syncing) {
        return STATUS_OK;
    }
    while (free_emptied(store)) {
    }
    if (must_announce(store)) {
        return announce(store);
    }
    if (!choose(store)) {
        return store->has_failed ? STATUS_IO : STATUS_OK;
    }
    bool is_merge = store->cleaner.is_merge;
    enum status status = STATUS_WORN;
    while (status == STATUS_WORN) { /* a block that does not take the copies is left */
        status = step(store);
        /* What is half merged counts for nothing: the next start tries another block. */
        status = status == STATUS_WORN && is_merge ? STATUS_IO : status;
    }
    if (status == STATUS_FULL && is_merge && store->is_mounted) {
        store_copy_start(store, store->flash->block_count, false); /* it goes without */
    }
    if (status == STATUS_FULL && (!is_merge || store->is_mounted)) {
        return STATUS_OK; /* later */
    }
    store->has_failed = store->has_failed || status != STATUS_OK;
    if (!store->is_syncing) {
        store_free_left_blocks(store);
    }
    return status;
}
