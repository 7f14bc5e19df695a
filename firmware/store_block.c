/* Reading, programming and opening blocks. */
#include "firmware/store_frame.h"

#include "protocol/crc32c.h"

#include <string.h>

enum {
    VERIFY_BYTES = 64, /* compared at once, on the stack */
    USUAL_BYTES = 128, /* of a record, about */
};

static uint32_t round_up(uint32_t bytes, uint32_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

uint32_t store_padded(const struct store *store, uint32_t bytes) {
    return round_up(bytes, store->flash->program_bytes);
}

uint32_t store_align_of(const struct store *store, uint32_t block) {
    const struct store_older *older = store_view(store, block, 0).older;
    uint32_t unit = store->flash->program_bytes;
    return older != NULL && older->align_bytes > unit ? older->align_bytes : unit;
}

uint32_t store_next_offset(const struct store *store, uint32_t block, uint32_t offset,
                           const struct store_frame *frame) {
    uint32_t end = offset + frame->bytes;
    return frame->is_followed ? end : round_up(end, store_align_of(store, block));
}

uint32_t store_first_offset(const struct store *store) {
    return store_padded(store, STORE_HEADER_BYTES);
}

uint32_t store_payload(const struct store *store) {
    return store->flash->block_bytes - store_first_offset(store);
}

uint32_t store_rest(const struct store *store) {
    bool is_open = store->block < store->flash->block_count;
    return is_open ? store->flash->block_bytes - store->offset : 0;
}

/* ---- reading ---- */

enum status store_read_header(const struct store *store, uint32_t block,
                              struct store_header *header) {
    uint8_t bytes[STORE_HEADER_BYTES];
    enum status status =
        hal_flash_read(store->flash, block * store->flash->block_bytes, bytes, sizeof bytes);
    return status == STATUS_OK ? store_get_header(bytes, header) : status;
}

struct store_view store_view(const struct store *store, uint32_t block, uint32_t offset) {
    const struct store_block *of = &store->memory.blocks[block];
    return (struct store_view){
        .offset = offset,
        .salt = of->salt,
        .older = of->format == STORE_FORMAT ? NULL : store->memory.older,
    };
}

enum status store_read_frame_head(const struct store *store, uint32_t block, uint32_t offset,
                                  uint32_t end, struct store_frame *frame) {
    uint8_t head[STORE_HEAD_BYTES];
    struct store_view view = store_view(store, block, offset);
    view.bytes = head;
    view.size = end - offset < sizeof head ? end - offset : (uint32_t)sizeof head;
    enum status status =
        hal_flash_read(store->flash, block * store->flash->block_bytes + offset, head, view.size);
    if (status != STATUS_OK) {
        return status;
    }
    return store_get_frame(&view, frame) && frame->bytes <= end - offset ? STATUS_OK
                                                                         : STATUS_MALFORMED;
}

enum status store_read_frame(const struct store *store, const struct store_place *place,
                             uint8_t *buffer, uint32_t capacity, struct store_frame *frame) {
    struct store_view view = store_view(store, place->block, place->offset);
    uint32_t where = place->block * store->flash->block_bytes + place->offset;
    uint32_t size = place->end - place->offset;
    size = size < STORE_HEAD_BYTES ? size : STORE_HEAD_BYTES;
    /* cppcheck-suppress knownConditionTrueFalse ; not for every caller */
    if (size > capacity) {
        return STATUS_TOO_LARGE;
    }
    view.bytes = buffer;
    view.size = size;
    enum status status = hal_flash_read(store->flash, where, buffer, size);
    if (status != STATUS_OK) {
        return status;
    }
    if (!store_get_frame(&view, frame) || frame->bytes > place->end - place->offset) {
        return STATUS_MALFORMED;
    }
    if (frame->bytes > capacity) {
        return STATUS_TOO_LARGE;
    }
    if (frame->bytes > size) {
        status = hal_flash_read(store->flash, where + size, buffer + size, frame->bytes - size);
    }
    view.size = frame->bytes;
    return status == STATUS_OK && !store_get_frame(&view, frame) ? STATUS_MALFORMED : status;
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

/* Pads and programs the copy buffer; a part that loses programs silently is asked what it kept. */
static enum status program(struct store *store, uint32_t where, uint32_t bytes) {
    uint8_t *data = store->memory.copy_buffer;
    uint32_t size = store_padded(store, bytes);
    memset(data + bytes, 0xff, size - bytes);
    enum status status = hal_flash_program(store->flash, where, data, size);
    if (status == STATUS_OK && store->flash->verify) {
        status = verify(store, where, data, size);
    }
    store->stats.bytes_programmed += size;
    return status;
}

enum status store_program_frames(struct store *store, uint32_t bytes) {
    check(store_rest(store) >= store_padded(store, bytes));
    struct store_block *block = &store->memory.blocks[store->block];
    uint32_t where = store->block * store->flash->block_bytes + store->offset;
    enum status status = program(store, where, bytes);
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
    store->is_dirty = true;
    return STATUS_OK;
}

enum status store_start_sync(struct store *store) {
    enum status status = hal_flash_sync_start(store->flash);
    store->has_failed = status != STATUS_OK;
    store->is_syncing = status == STATUS_OK;
    return status;
}

/* ---- blocks ---- */

/* An eighth of what is kept stays free beside the cleaner's blocks, so that a run of blocks with
 * nothing but live records can be turned over: copies may be larger than what they are made of. */
bool store_is_low(const struct store *store) {
    uint64_t behind = store->durable_seq - store_log_seq(store);
    uint64_t kept = store->live_bytes + behind * USUAL_BYTES;
    uint64_t limit = (uint64_t)store->flash->block_count / 16;
    uint64_t growth = kept / 8 / store_payload(store);
    uint64_t wanted = STORE_SPARE_BLOCKS + 1 + (growth < limit ? growth : limit);
    return store->free_count + store->leaving_count <= wanted;
}

/* A block that a mount would still look for must not be erased: each new header and each frame of
 * copies lets go of what was freed before it, once it is durable. */
static bool is_erasable(const struct store *store, const struct store_block *block) {
    return block->state == STORE_BLOCK_FREE && !(block->is_held && store->has_held) &&
           (block->is_replaced || block->sequence < store->oldest_known);
}

uint32_t store_count_erasable(const struct store *store) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        count += is_erasable(store, &store->memory.blocks[b]);
    }
    return count;
}

/* The least first. */
static uint32_t risk_of(const struct store *store, const struct store_block *block) {
    bool is_doubtful = block->is_doubtful && store->oldest_known <= store->mount_sequence;
    return 2u * block->is_held + is_doubtful;
}

static bool is_better(const struct store *store, const struct store_block *block,
                      const struct store_block *than) {
    uint32_t risk = risk_of(store, block);
    uint32_t other = risk_of(store, than);
    return risk != other ? risk < other : block->erase_count < than->erase_count;
}

static uint32_t least_worn_free(const struct store *store) {
    const struct store_block *blocks = store->memory.blocks;
    uint32_t none = store->flash->block_count;
    uint32_t best = none;
    for (uint32_t b = 0; b < none; b++) {
        if (is_erasable(store, &blocks[b]) &&
            (best == none || is_better(store, &blocks[b], &blocks[best]))) {
            best = b;
        }
    }
    return best;
}

static bool is_counted(const struct store_block *block) {
    return block->state == STORE_BLOCK_USED || block->state == STORE_BLOCK_LEAVING;
}

uint32_t store_oldest_sequence(const struct store *store, uint32_t except) {
    uint32_t oldest = store->block_sequence;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (b != except && is_counted(block) && block->sequence < oldest) {
            oldest = block->sequence;
        }
    }
    return oldest;
}

/* The block that a new header names as bad: the one that has just failed, else each of them in
 * turn, so that the headers on flash, of blocks in use or not, name all. */
static uint32_t name_bad(const struct store *store, uint32_t b, uint32_t failed) {
    const struct store_block *blocks = store->memory.blocks;
    uint32_t turn =
        store->stats.bad_blocks > 0 ? store->block_sequence % store->stats.bad_blocks : 0;
    bool is_newest_worn =
        store->newest < store->flash->block_count && blocks[store->newest].is_worn;
    if (failed < store->flash->block_count || is_newest_worn) {
        return failed < store->flash->block_count ? failed : store->newest;
    }
    for (uint32_t i = 0; i < store->flash->block_count; i++) {
        if (blocks[i].is_worn && turn == 0) {
            return i;
        }
        turn -= blocks[i].is_worn;
    }
    return b;
}

static void make_header(struct store *store, uint32_t b, struct store_header *header) {
    const struct hal_flash *flash = store->flash;
    bool begins_merge = store->cleaner.is_merge && store->is_mounted;
    uint32_t before = begins_merge ? store->cleaner.base : store->newest;
    *header = (struct store_header){
        .format = STORE_FORMAT,
        .is_merge = store->cleaner.is_merge,
        .epoch = store->epoch,
        .block_bytes = flash->block_bytes,
        .block_count = flash->block_count,
        .program_bytes = flash->program_bytes,
        .block = b,
        .previous_block = b,
        .bad_block = b,
        .erase_count = store->memory.blocks[b].erase_count,
        .sequence = store->block_sequence,
        .oldest_sequence = store_oldest_sequence(store, flash->block_count),
        .next_seq = store->placed_seq + 1,
        .acked_seq = store->acked_seq,
        .suspect_seq = store->suspect_seq,
    };
    if (before < flash->block_count) {
        header->previous_sequence = store->memory.blocks[before].sequence;
        header->previous_block = before;
        header->previous_end =
            begins_merge ? store->cleaner.base_end : store->memory.blocks[before].used_bytes;
    }
    memcpy(header->id, store->id, STORE_ID_BYTES);
    memcpy(header->chain, store->head_chain, STORE_CHAIN_BYTES);
    memcpy(header->acked_chain, store->acked_chain, STORE_CHAIN_BYTES);
}

/* A file keeps what was there: a first frame that outlived its header, in a power loss, would have
 * the salt of this use too, if that did not depend on what is there now. */
static enum status take_nonce(struct store *store, uint32_t b, uint32_t *nonce) {
    uint8_t *bytes = store->memory.copy_buffer;
    uint32_t where = b * store->flash->block_bytes + store_first_offset(store);
    uint32_t size = store->memory.frame_bytes;
    enum status status = hal_flash_read(store->flash, where, bytes, size);
    *nonce = crc32c(0, (struct bytes){bytes, size});
    return status;
}

/* A sequence number that failed is not given again: its header may have reached the flash. */
static enum status erase_and_label(struct store *store, uint32_t b, uint32_t failed,
                                   struct store_header *header) {
    uint32_t nonce = 0;
    store->stats.erases += 1;
    store->memory.blocks[b].erase_count += 1;
    store->block_sequence += 1;
    enum status status = hal_flash_erase(store->flash, b);
    if (status == STATUS_OK) {
        status = take_nonce(store, b, &nonce);
    }
    if (status != STATUS_OK) {
        return status;
    }
    make_header(store, b, header);
    header->nonce = nonce;
    header->bad_block = name_bad(store, b, failed);
    store_put_header(store->memory.copy_buffer, header);
    return program(store, b * store->flash->block_bytes, STORE_HEADER_BYTES);
}

enum status store_open_block(struct store *store) {
    struct store_header header;
    enum status status = STATUS_WORN;
    uint32_t failed = store->flash->block_count;
    uint32_t b = least_worn_free(store);
    while (b < store->flash->block_count &&
           (status = erase_and_label(store, b, failed, &header)) == STATUS_WORN) {
        store->memory.blocks[b].state = STORE_BLOCK_BAD;
        store->memory.blocks[b].is_worn = true;
        failed = b;
        store->stats.bad_blocks += 1;
        store->free_count -= 1;
        b = least_worn_free(store);
    }
    if (status != STATUS_OK) {
        return status == STATUS_WORN ? STATUS_FULL : status;
    }
    store->memory.blocks[b] = (struct store_block){
        .sequence = header.sequence,
        .salt = store_header_salt(&header),
        .erase_count = header.erase_count,
        .used_bytes = store_first_offset(store),
        .state = STORE_BLOCK_USED,
        .format = STORE_FORMAT,
    };
    store->oldest_written = header.oldest_sequence;
    if (header.acked_seq > store->acked_written) {
        store->acked_written = header.acked_seq; /* what was moved for want of this may go now */
        store->cleaner.lap_end = header.sequence;
    }
    store->free_count -= 1;
    store->newest = b;
    store->block = b;
    store->offset = store_first_offset(store);
    store->is_mounted = false;
    return STATUS_OK;
}

void store_free_left_blocks(struct store *store) {
    for (uint32_t b = 0; b < store->flash->block_count && store->leaving_count > 0; b++) {
        struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_LEAVING) {
            block->state = block->is_worn ? STORE_BLOCK_BAD : STORE_BLOCK_FREE;
            store->free_count += !block->is_worn;
            store->leaving_count -= 1;
        }
    }
}

void store_let_go(struct store *store) {
    bool has_tail = store->tail_block < store->flash->block_count; /* else none are held */
    for (uint32_t b = 0; b < store->flash->block_count && has_tail; b++) {
        store->memory.blocks[b].is_held = false;
    }
    store->has_held = false;
    store->tail_block = store->flash->block_count;
}
