#include "firmware/store_frame.h"

#include "protocol/crc32c.h"

#include <string.h>

enum { VERIFY_BYTES = 64 }; /* compared at once, on the stack */

static uint32_t align_bytes(const struct store *store) {
    uint32_t unit = store->flash->program_bytes;
    return unit > STORE_ALIGN_BYTES ? unit : STORE_ALIGN_BYTES;
}

uint32_t store_padded(const struct store *store, uint32_t bytes) {
    uint32_t align = align_bytes(store);
    return (bytes + align - 1) / align * align;
}

uint32_t store_first_offset(const struct store *store) {
    return store_padded(store, STORE_HEADER_BYTES);
}

uint32_t store_rest(const struct store *store) {
    bool is_open = store->block < store->flash->block_count;
    return is_open ? store->flash->block_bytes - store->offset : 0;
}

/* ---- programming ---- */

static enum status verify(const struct store *store, uint32_t where, const uint8_t *data,
                          uint32_t bytes) {
    uint8_t found[VERIFY_BYTES];
    for (uint32_t at = 0; at < bytes; at += VERIFY_BYTES) {
        uint32_t size = bytes - at < VERIFY_BYTES ? bytes - at : VERIFY_BYTES;
        enum status status = hal_flash_read(store->flash, where + at, found, size);
        if (status != STATUS_OK) {
            return status;
        }
        if (memcmp(found, data + at, size) != 0) {
            return STATUS_WORN;
        }
    }
    return STATUS_OK;
}

/* Pads and programs; a part that loses programs silently is asked what it has kept. */
static enum status program(struct store *store, uint32_t where, uint8_t *data, uint32_t bytes) {
    uint32_t size = store_padded(store, bytes);
    memset(data + bytes, 0xff, size - bytes);
    enum status status = hal_flash_program(store->flash, where, data, size);
    if (status == STATUS_OK && store->flash->verify) {
        status = verify(store, where, data, size);
    }
    store->stats.bytes_programmed += size;
    return status;
}

enum status store_program_frame(struct store *store, uint8_t *frame, uint32_t bytes) {
    check(store_rest(store) >= store_padded(store, bytes));
    struct store_block *block = &store->memory.blocks[store->block];
    uint32_t where = store->block * store->flash->block_bytes + store->offset;
    enum status status = program(store, where, frame, bytes);
    if (status == STATUS_WORN) {
        block->is_worn = true;
        store->block = store->flash->block_count;
        store->stats.bad_blocks += 1;
    }
    if (status != STATUS_OK) {
        return status;
    }
    store->offset += store_padded(store, bytes);
    block->used_bytes = store->offset;
    return STATUS_OK;
}

/* ---- blocks ---- */

/* A block that the newest header still counts as used must not be erased: without it a mount would
 * miss it. Each new header lets go of what was freed before, so the last one is not used up. */
static uint32_t least_worn_free(const struct store *store, bool for_group) {
    uint32_t best = store->flash->block_count;
    uint32_t others = store->free_count + (for_group ? store->leaving_count : 0);
    if (others < 2) {
        return best;
    }
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_FREE && block->sequence < store->oldest_known &&
            (best == store->flash->block_count ||
             block->erase_count < store->memory.blocks[best].erase_count)) {
            best = b;
        }
    }
    return best;
}

/* Blocks that were copied out still count until the open group, which they wait for, is written. */
static uint64_t oldest_sequence(const struct store *store, bool for_group) {
    uint64_t oldest = store->block_sequence;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        bool counts =
            block->state == STORE_BLOCK_USED || (block->state == STORE_BLOCK_LEAVING && !for_group);
        if (counts && block->sequence < oldest) {
            oldest = block->sequence;
        }
    }
    return oldest;
}

static enum status program_header(struct store *store, uint32_t b, uint64_t oldest) {
    const struct hal_flash *flash = store->flash;
    struct store_header header = {
        .epoch = store->epoch,
        .block_bytes = flash->block_bytes,
        .block_count = flash->block_count,
        .program_bytes = flash->program_bytes,
        .block = b,
        .erase_count = store->memory.blocks[b].erase_count,
        .sequence = store->block_sequence,
        .nonce = store->memory.blocks[b].nonce,
        .oldest_sequence = oldest,
        .next_seq = store->committed_seq + 1,
        .acked_seq = store->acked_seq,
        .suspect_seq = store->suspect_seq,
    };
    if (store->newest < flash->block_count) {
        header.previous_sequence = store->memory.blocks[store->newest].sequence;
        header.previous_end = store->memory.blocks[store->newest].used_bytes;
    }
    memcpy(header.id, store->id, STORE_ID_BYTES);
    memcpy(header.chain, store->head_chain, STORE_CHAIN_BYTES);
    memcpy(header.acked_chain, store->acked_chain, STORE_CHAIN_BYTES);
    uint8_t *unit = store->memory.copy_buffer; /* the cleaner fills it only between two blocks */
    store_put_header(unit, &header);
    return program(store, b * flash->block_bytes, unit, STORE_HEADER_BYTES);
}

/* A file keeps what was there: a first frame that outlived its header, in a power loss, would have
 * the salt of this use too, if that did not depend on what is there now. */
static enum status take_nonce(struct store *store, uint32_t b) {
    uint8_t *bytes = store->memory.copy_buffer;
    uint32_t where = b * store->flash->block_bytes + store_first_offset(store);
    uint32_t size = store->memory.frame_bytes;
    enum status status = hal_flash_read(store->flash, where, bytes, size);
    store->memory.blocks[b].nonce = crc32c(0, (struct bytes){bytes, size});
    return status;
}

/* A sequence number that failed is not given again: its header may have reached the flash. */
static enum status open_block(struct store *store, uint32_t b, bool for_group) {
    struct store_block *block = &store->memory.blocks[b];
    store->stats.erases += 1;
    block->erase_count += 1;
    store->block_sequence += 1;
    enum status status = hal_flash_erase(store->flash, b);
    if (status == STATUS_OK) {
        status = take_nonce(store, b);
    }
    return status == STATUS_OK ? program_header(store, b, oldest_sequence(store, for_group))
                               : status;
}

enum status store_open_block(struct store *store, bool for_group) {
    enum status status = STATUS_WORN;
    uint32_t b = least_worn_free(store, for_group);
    while (b < store->flash->block_count &&
           (status = open_block(store, b, for_group)) == STATUS_WORN) {
        store->memory.blocks[b].state = STORE_BLOCK_BAD;
        store->stats.bad_blocks += 1;
        store->free_count -= 1;
        b = least_worn_free(store, for_group);
    }
    if (status != STATUS_OK) {
        return status == STATUS_WORN ? STATUS_FULL : status;
    }
    store->memory.blocks[b] = (struct store_block){
        .sequence = store->block_sequence,
        .nonce = store->memory.blocks[b].nonce,
        .erase_count = store->memory.blocks[b].erase_count,
        .used_bytes = store_first_offset(store),
        .state = STORE_BLOCK_USED,
    };
    store->oldest_known = oldest_sequence(store, for_group);
    store->free_count -= 1;
    store->newest = b;
    store->block = b;
    store->offset = store_first_offset(store);
    return STATUS_OK;
}

void store_free_left_blocks(struct store *store) {
    for (uint32_t b = 0; b < store->flash->block_count && store->leaving_count > 0; b++) {
        struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_LEAVING && block->leave_commit <= store->commit_count) {
            block->state = block->is_worn ? STORE_BLOCK_BAD : STORE_BLOCK_FREE;
            store->free_count += !block->is_worn;
            store->leaving_count -= 1;
        }
    }
}
