#include "firmware/store_frame.h"

#include <string.h>

/* The block whose records are cheapest to move; block_count: none is worth it. */
static uint32_t choose_victim(const struct store *store) {
    uint32_t best = store->flash->block_count;
    uint32_t payload = store->flash->block_bytes - store_first_offset(store);
    uint32_t least = payload / 10 * 9;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_USED && b != store->block &&
            block->last_seq <= store->acked_seq && block->live_bytes < least) {
            best = b;
            least = block->live_bytes;
        }
    }
    return best;
}

/* What has been gathered for one copy frame. */
struct copy {
    uint32_t bytes; /* of the copy buffer, the frame's head included */
};

/* Where the records of a finished frame now are: walks it once more. */
static void place_copies(struct store *store, uint32_t start, uint32_t bytes) {
    const uint8_t *buffer = store->memory.copy_buffer;
    uint32_t at = STORE_FRAME_BYTES;
    while (at < bytes) {
        uint64_t seq = store_get_u64(buffer + at);
        at += STORE_COPY_SEQ_BYTES;
        struct store_record_head head;
        store_get_record_head(buffer + at, &head);
        struct store_slot *slot = store_slot_of(store, head.key);
        if (slot->seq == seq) {
            store_place(store, slot, start + at, slot->bytes);
        }
        at += STORE_RECORD_BYTES + head.body_bytes;
        store->stats.records_copied += 1;
    }
}

static void seal_copies(struct store *store, uint32_t bytes) {
    uint8_t *buffer = store->memory.copy_buffer;
    uint32_t salt = store_salt(store, store->memory.blocks[store->block].sequence);
    uint32_t at = STORE_FRAME_BYTES;
    while (at < bytes) {
        at += STORE_COPY_SEQ_BYTES;
        struct store_record_head head;
        store_get_record_head(buffer + at, &head);
        head.crc = store_record_crc(buffer + at, head.body_bytes, salt, store->offset + at);
        store_put_record_head(buffer + at, &head);
        at += STORE_RECORD_BYTES + head.body_bytes;
    }
    struct store_frame frame = {.bytes = bytes - STORE_FRAME_BYTES, .type = STORE_FRAME_COPY};
    store_put_frame(buffer, &frame, salt, store->offset);
}

static enum status flush(struct store *store, struct copy *copy) {
    if (copy->bytes == STORE_FRAME_BYTES) {
        return STATUS_OK;
    }
    /* A new block needs the buffer for its header, so room was made before the first record. */
    seal_copies(store, copy->bytes);
    uint32_t start = store->block * store->flash->block_bytes + store->offset;
    enum status status = store_program_frame(store, store->memory.copy_buffer, copy->bytes);
    if (status == STATUS_OK) {
        place_copies(store, start, copy->bytes);
        copy->bytes = STORE_FRAME_BYTES;
    }
    return status;
}

/* Adds one record to the copy frame, if it is still its object's newest. */
static enum status copy_record(struct store *store, struct copy *copy, uint32_t where,
                               const struct store_slot *slot) {
    uint32_t needed = STORE_COPY_SEQ_BYTES + slot->bytes;
    enum status status = STATUS_OK;
    if (copy->bytes + needed > store->memory.frame_bytes) {
        status = flush(store, copy);
    }
    if (status == STATUS_OK && copy->bytes == STORE_FRAME_BYTES) {
        status = store_make_room(store, store->memory.frame_bytes);
    }
    if (status != STATUS_OK) {
        return status;
    }
    uint8_t *target = store->memory.copy_buffer + copy->bytes;
    store_put_u64(target, slot->seq);
    struct store_record record;
    status = store_read_at(store, where, target + STORE_COPY_SEQ_BYTES, slot->bytes, &record);
    if (status == STATUS_OK) {
        copy->bytes += needed;
    }
    return status;
}

/* Walks a block's slots rather than its bytes: only newest records move. */
static enum status copy_block(struct store *store, uint32_t victim) {
    struct copy copy = {.bytes = STORE_FRAME_BYTES};
    uint32_t start = victim * store->flash->block_bytes;
    uint32_t end = start + store->flash->block_bytes;
    uint32_t slot_count = 0;
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        slot_count += store->memory.slot_counts[kind];
    }
    for (uint32_t i = 0; i < slot_count; i++) {
        const struct store_slot *slot = &store->memory.slots[i];
        if (slot->where >= start && slot->where < end) {
            enum status status = copy_record(store, &copy, slot->where, slot);
            if (status != STATUS_OK) {
                return status;
            }
        }
    }
    return flush(store, &copy);
}

enum status store_clean(struct store *store) {
    if (store->has_failed) {
        return STATUS_IO;
    }
    if (store->free_count > STORE_SPARE_BLOCKS + 1) {
        return STATUS_OK;
    }
    uint32_t victim = choose_victim(store);
    if (victim == store->flash->block_count) {
        return STATUS_OK;
    }
    struct store_block *block = &store->memory.blocks[victim];
    if (block->live_bytes > 0) {
        enum status status = copy_block(store, victim);
        if (status != STATUS_OK) {
            return status;
        }
    }
    block->state = STORE_BLOCK_LEAVING;
    block->leave_sync = store->sync_count + 1;
    return STATUS_OK;
}
