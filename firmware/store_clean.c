#include "firmware/store_frame.h"

#include <string.h>

/* A share of all blocks is kept free, so that a run of blocks with nothing but live records can be
 * turned over: copies are a little larger than what they are made of. */
static bool is_low(const struct store *store) {
    uint32_t wanted = STORE_CLEANER_BLOCKS + 1 + store->flash->block_count / 16;
    return store->free_count + store->leaving_count <= wanted;
}

/* Turning over is useless when nearly everything is live. */
static bool has_garbage(const struct store *store) {
    uint64_t payload = store->flash->block_bytes - store_first_offset(store);
    uint64_t blocks = store->flash->block_count - store->free_count - store->leaving_count;
    return store->live_bytes < blocks * payload / 8 * 7;
}

/* The oldest block, if all of its groups are acknowledged; block_count: none. */
static uint32_t choose_victim(const struct store *store) {
    uint32_t none = store->flash->block_count;
    uint32_t oldest = none;
    for (uint32_t b = 0; b < none; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_USED &&
            (oldest == none || block->sequence < store->memory.blocks[oldest].sequence)) {
            oldest = b;
        }
    }
    bool may_go = oldest != none && oldest != store->block && oldest != store->newest &&
                  store->memory.blocks[oldest].last_seq <= store->acked_seq;
    return may_go ? oldest : none;
}

static struct store_key key_of(const struct store *store, uint32_t i) {
    uint8_t kind = 0;
    while (i >= store->slot_base[kind] + store->memory.slot_counts[kind]) {
        kind += 1;
    }
    return (struct store_key){kind, i - store->slot_base[kind]};
}

/* Copies the record of slot `i` behind `at` of the copy buffer; in place of one that rot has taken
 * goes a mark, so that no older record is found for its object later. */
static enum status copy_record(struct store *store, uint32_t i, uint32_t at, uint32_t *bytes) {
    const struct store_slot *slot = &store->memory.slots[i];
    uint8_t *target = store->memory.copy_buffer + at;
    uint32_t salt = store_salt(store, store->block);
    struct store_record record;
    enum status status =
        store_read_at(store, slot->where, target + STORE_COPY_BYTES, slot->bytes, &record);
    if (status == STATUS_IO) {
        return status;
    }
    struct store_record_head head = {.key = key_of(store, i)};
    if (status == STATUS_OK) {
        head.previous = record.previous;
        head.body_bytes = (uint32_t)record.body.size;
    }
    store_put_copy_seq(target, slot->seq, salt, store->offset + at);
    store_put_record(target + STORE_COPY_BYTES, &head, salt, store->offset + at + STORE_COPY_BYTES);
    *bytes = STORE_COPY_BYTES + STORE_RECORD_BYTES + head.body_bytes;
    return STATUS_OK;
}

/* Room for copies at the write position, in a new block if the first one does not fit. */
static enum status make_room(struct store *store, uint32_t first_bytes, uint32_t *room) {
    uint32_t needed = STORE_FRAME_BYTES + STORE_COPY_BYTES + first_bytes;
    if (store_rest(store) < store_padded(store, needed)) {
        enum status status = store_open_block(store, false);
        if (status != STATUS_OK) {
            return status;
        }
    }
    uint32_t rest = store_rest(store);
    *room = rest < store->memory.frame_bytes ? rest : store->memory.frame_bytes;
    return STATUS_OK;
}

/* The first slot from `i` on whose newest record is in the block; slot_count: none. */
static uint32_t find_live(const struct store *store, uint32_t victim, uint32_t i) {
    uint32_t start = victim * store->flash->block_bytes;
    uint32_t count = store_slot_count(store);
    const struct store_slot *slots = store->memory.slots;
    while (i < count &&
           (slots[i].where == 0 || slots[i].where - start >= store->flash->block_bytes)) {
        i += 1;
    }
    return i;
}

/* Fills one frame; *next is the slot behind the last one that went in. */
static enum status gather(struct store *store, uint32_t victim, uint32_t *next, uint32_t *size) {
    uint32_t room = 0;
    uint32_t count = store_slot_count(store);
    uint32_t i = find_live(store, victim, *next);
    *size = STORE_FRAME_BYTES;
    enum status status =
        i < count ? make_room(store, store->memory.slots[i].bytes, &room) : STATUS_OK;
    while (status == STATUS_OK && i < count &&
           room - *size >= STORE_COPY_BYTES + store->memory.slots[i].bytes) {
        uint32_t bytes = 0;
        status = copy_record(store, i, *size, &bytes);
        *size += bytes;
        i = find_live(store, victim, i + 1);
    }
    *next = i;
    return status;
}

/* The copies are on flash: their objects' newest records are now there. */
static void place_copies(struct store *store, uint32_t start, uint32_t size) {
    const uint8_t *buffer = store->memory.copy_buffer;
    uint32_t at = STORE_FRAME_BYTES;
    while (at < size) {
        struct store_record_head head;
        at += STORE_COPY_BYTES;
        store_get_record_head(buffer + at, &head);
        uint32_t bytes = STORE_RECORD_BYTES + head.body_bytes;
        store_place(store, store_slot_of(store, head.key), start + at, bytes);
        store->stats.records_copied += 1;
        at += bytes;
    }
}

/* One frame of copies and a sync. OK without a sync: the block has no live record left. */
static enum status copy_frame(struct store *store, uint32_t victim) {
    uint32_t size = 0;
    uint32_t next = store->clean_slot;
    enum status status = gather(store, victim, &next, &size);
    if (status != STATUS_OK || size == STORE_FRAME_BYTES) {
        return status;
    }
    uint32_t start = store->block * store->flash->block_bytes + store->offset;
    uint32_t salt = store_salt(store, store->block);
    struct store_frame frame = {.bytes = size - STORE_FRAME_BYTES, .type = STORE_FRAME_COPY};
    store_put_frame(store->memory.copy_buffer, &frame, salt, store->offset);
    status = store_program_frame(store, store->memory.copy_buffer, size);
    if (status != STATUS_OK) {
        return status;
    }
    place_copies(store, start, size);
    store->clean_slot = next;
    return store_start_sync(store);
}

/* What a block is copied to must be there before it is begun. */
static bool may_begin(const struct store *store, uint32_t victim) {
    uint32_t live = store->memory.blocks[victim].live_bytes;
    uint32_t payload = store->flash->block_bytes - store_first_offset(store);
    bool fits = live == 0 || store->free_count >= STORE_CLEANER_BLOCKS - 1 ||
                (store->free_count == STORE_CLEANER_BLOCKS - 2 && live <= payload / 2);
    return fits && is_low(store) && has_garbage(store);
}

static bool block_has_live(const struct store *store, uint32_t victim) {
    return store->memory.blocks[victim].live_bytes > 0;
}

enum status store_clean(struct store *store) {
    if (store->has_failed) {
        return STATUS_IO;
    }
    uint32_t victim = choose_victim(store);
    if (store->is_syncing || victim == store->flash->block_count ||
        (store->clean_slot == 0 && !may_begin(store, victim))) {
        return STATUS_OK;
    }
    enum status status = STATUS_WORN;
    while (status == STATUS_WORN) { /* a block that does not take the copies is left */
        status = copy_frame(store, victim);
    }
    if (status != STATUS_OK || block_has_live(store, victim)) {
        bool is_stuck = status == STATUS_FULL;
        store->has_failed = store->has_failed || (status != STATUS_OK && !is_stuck);
        return is_stuck ? STATUS_OK : status;
    }
    struct store_block *block = &store->memory.blocks[victim];
    block->state = STORE_BLOCK_LEAVING;
    block->leave_commit = store->commit_count + (store->open_records > 0);
    store->leaving_count += 1;
    store->clean_slot = 0;
    if (!store->is_syncing) {
        store_free_left_blocks(store);
    }
    return STATUS_OK;
}
