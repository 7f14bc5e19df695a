/* The groups in the order of their numbers, wherever the cleaner has moved their frames. */
#include "firmware/store_frame.h"

#include <string.h>

enum { SIZE_BYTES = 4 }; /* in front of each body of a group that was read */

uint64_t store_frame_seq(const struct store *store, uint32_t block,
                         const struct store_frame *frame) {
    uint64_t last = store->memory.blocks[block].last_seq;
    if (frame->type != STORE_FRAME_GROUP) {
        return frame->seq;
    }
    return last - (uint16_t)((uint16_t)last - (uint16_t)frame->seq);
}

static uint32_t next_aligned(const struct store *store, const struct store_cursor *cursor) {
    uint32_t align = store_align_of(store, cursor->block);
    return (cursor->offset / align + 1) * align;
}

/* Looks from an offset of a block on. NOT_FOUND: it is not there. Steps over damage, as far as
 * lengths can be told. */
static enum status find_in_block(const struct store *store, uint64_t seq,
                                 struct store_cursor *cursor, struct store_frame *frame) {
    uint32_t end = store->memory.blocks[cursor->block].used_bytes;
    while (cursor->offset < end) {
        enum status status =
            store_read_frame_head(store, cursor->block, cursor->offset, end, frame);
        if (status != STATUS_OK && status != STATUS_MALFORMED) {
            return status;
        }
        bool is_group = status == STATUS_OK && frame->type != STORE_FRAME_COPY;
        if (is_group && store_frame_seq(store, cursor->block, frame) == seq) {
            return STATUS_OK;
        }
        cursor->offset = status == STATUS_OK
                             ? store_next_offset(store, cursor->block, cursor->offset, frame)
                             : next_aligned(store, cursor);
    }
    return STATUS_NOT_FOUND;
}

static uint64_t first_seq(const struct store_block *block) {
    return block->last_seq - block->seq_span;
}

static bool may_hold(const struct store *store, uint32_t b, uint64_t seq) {
    const struct store_block *block = &store->memory.blocks[b];
    bool is_there = block->state == STORE_BLOCK_USED || block->state == STORE_BLOCK_LEAVING;
    return is_there && first_seq(block) <= seq && block->last_seq >= seq;
}

/* Of the blocks that may hold it, the next one after `b` by falling first number: the likeliest
 * one first. block_count: no more. */
static uint32_t next_candidate(const struct store *store, uint64_t seq, uint32_t b) {
    const struct store_block *blocks = store->memory.blocks;
    uint32_t none = store->flash->block_count;
    uint64_t below = b < none ? first_seq(&blocks[b]) : UINT64_MAX;
    uint32_t best = none;
    for (uint32_t i = 0; i < none; i++) {
        uint64_t first = first_seq(&blocks[i]);
        bool is_later = b >= none || first < below || (first == below && i > b);
        if (may_hold(store, i, seq) && is_later &&
            (best == none || first_seq(&blocks[i]) > first_seq(&blocks[best]))) {
            best = i;
        }
    }
    return best;
}

enum status store_find_part(const struct store *store, uint64_t seq, uint32_t except,
                            struct store_cursor *cursor, struct store_frame *frame) {
    uint32_t none = store->flash->block_count;
    enum status status = STATUS_NOT_FOUND;
    if (cursor->block_sequence != 0 && cursor->block != except &&
        store->memory.blocks[cursor->block].sequence == cursor->block_sequence &&
        may_hold(store, cursor->block, seq)) {
        status = find_in_block(store, seq, cursor, frame);
    }
    uint32_t b = next_candidate(store, seq, none);
    while (status == STATUS_NOT_FOUND && b != none) {
        *cursor = (struct store_cursor){
            .block_sequence = store->memory.blocks[b].sequence,
            .block = b,
            .offset = store_first_offset(store),
            .seq = cursor->seq,
        };
        status = b == except ? STATUS_NOT_FOUND : find_in_block(store, seq, cursor, frame);
        b = next_candidate(store, seq, b);
    }
    return status;
}

/* Leaves of a frame that was read whole its bodies, each behind its size. */
static bool pack_bodies(const struct store_view *view, const struct store_frame *frame,
                        uint8_t *target, struct store_group *group) {
    struct store_walk walk;
    if (!store_is_frame_intact(view, frame)) {
        return false;
    }
    store_walk_init(&walk, view, frame);
    while (store_walk_next(&walk)) {
        memmove(target + SIZE_BYTES, walk.body, walk.head.body_bytes);
        store_put_le(target, walk.head.body_bytes, SIZE_BYTES);
        target += SIZE_BYTES + walk.head.body_bytes;
        group->records.size += SIZE_BYTES + walk.head.body_bytes;
        group->record_count += 1;
    }
    memcpy(group->chain, frame->chain, STORE_CHAIN_BYTES);
    return true;
}

/* Reads one frame of a group behind what is in the buffer. */
static enum status read_part(struct store *store, struct store_cursor *cursor, uint8_t *buffer,
                             uint32_t capacity, struct store_group *group) {
    struct store_frame frame;
    uint64_t seq = group->first_seq + group->record_count;
    uint32_t used = (uint32_t)group->records.size;
    enum status status = store_find_part(store, seq, store->flash->block_count, cursor, &frame);
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    }
    const struct store_place place = {cursor->block, cursor->offset,
                                      store->memory.blocks[cursor->block].used_bytes};
    status = store_read_frame(store, &place, buffer + used, capacity - used, &frame);
    if (status != STATUS_OK) {
        return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
    }
    struct store_view view = store_view(store, cursor->block, cursor->offset);
    view.bytes = buffer + used;
    view.size = frame.bytes;
    if (!pack_bodies(&view, &frame, buffer + used, group)) {
        return STATUS_CORRUPT;
    }
    cursor->offset = store_next_offset(store, cursor->block, cursor->offset, &frame);
    return frame.is_last ? STATUS_OK : STATUS_AGAIN;
}

enum status store_next_group(struct store *store, struct store_cursor *cursor, uint8_t *buffer,
                             uint32_t capacity, struct store_group *group) {
    struct store_cursor at = *cursor;
    struct store_group found = {.first_seq = at.seq + 1, .records = {buffer, 0}};
    if (at.seq >= store->durable_seq) {
        return STATUS_AGAIN;
    }
    enum status status = STATUS_AGAIN;
    while (status == STATUS_AGAIN) {
        status = read_part(store, &at, buffer, capacity, &found);
    }
    if (status != STATUS_OK) {
        return status;
    }
    at.seq += found.record_count;
    *cursor = at;
    *group = found;
    return STATUS_OK;
}

bool store_group_next(struct bytes *records, struct bytes *body) {
    if (records->size == 0) {
        return false;
    }
    check(records->size >= SIZE_BYTES);
    uint32_t size = (uint32_t)store_get_le(records->data, SIZE_BYTES);
    check(records->size - SIZE_BYTES >= size);
    *body = (struct bytes){records->data + SIZE_BYTES, size};
    records->data += SIZE_BYTES + size;
    records->size -= SIZE_BYTES + size;
    return true;
}
