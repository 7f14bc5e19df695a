/* Giving up what upstream lacks, when it takes too much room or cannot be read. */
#include "firmware/store_frame.h"

#include <string.h>

/* ---- how much is kept ---- */

uint64_t store_log_seq(const struct store *store) {
    return store->gap_seq > store->acked_seq ? store->gap_seq : store->acked_seq;
}

/* Numbers are taken to be spread evenly over a block's groups. */
uint32_t store_kept_bytes(const struct store *store, const struct store_block *block) {
    uint64_t log = store_log_seq(store);
    uint32_t all = block->used_bytes - store_first_offset(store);
    uint64_t kept = block->live_bytes;
    if (block->last_seq > log) {
        uint64_t behind = block->last_seq - log;
        uint64_t count = (uint64_t)block->seq_span + 1;
        kept += block->group_bytes * (behind < count ? behind : count) / count;
    }
    return kept < all ? (uint32_t)kept : all;
}

bool store_must_give_up(const struct store *store) {
    uint32_t count = store->flash->block_count;
    uint64_t kept = 0;
    if (store->free_count > count / 4 + STORE_SPARE_BLOCKS ||
        store_capacity(store) < store_payload(store) ||
        store_log_seq(store) >= store->durable_seq) {
        return false;
    }
    for (uint32_t b = 0; b < count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        kept += block->state == STORE_BLOCK_USED ? store_kept_bytes(store, block) : 0;
    }
    /* Less the open block: cleaning must still be worth while when it is full. */
    return kept > (store_capacity(store) - store_payload(store)) / 10 * 8;
}

/* ---- ends of groups ---- */

/* Reads a frame of a group into the copy buffer, and counts its records. CORRUPT: it is damaged. */
static enum status read_whole(struct store *store, const struct store_cursor *cursor,
                              struct store_frame *frame, uint32_t counts[STORE_KINDS],
                              uint32_t *records) {
    const struct store_place place = {cursor->block, cursor->offset,
                                      store->memory.blocks[cursor->block].used_bytes};
    struct store_view view = store_view(store, cursor->block, cursor->offset);
    struct store_walk walk;
    enum status status = store_read_frame(store, &place, store->memory.copy_buffer,
                                          store->memory.frame_bytes, frame);
    view.bytes = store->memory.copy_buffer;
    view.size = frame->bytes;
    if (status != STATUS_OK || !store_is_frame_intact(&view, frame)) {
        return status == STATUS_IO ? status : STATUS_CORRUPT;
    }
    *records = 0;
    store_walk_init(&walk, &view, frame);
    while (store_walk_next(&walk)) {
        counts[walk.head.key.kind] += 1;
        *records += 1;
    }
    return STATUS_OK;
}

/* One frame of the next group. AGAIN: it goes on. */
static enum status pass_frame(struct store *store, struct store_cursor *cursor,
                              struct store_end *end) {
    struct store_frame frame;
    uint32_t records = 0;
    enum status status =
        store_find_part(store, end->seq + 1, store->flash->block_count, cursor, &frame);
    if (status == STATUS_OK) {
        status = read_whole(store, cursor, &frame, end->counts, &records);
    }
    if (status != STATUS_OK) {
        return status == STATUS_NOT_FOUND ? STATUS_CORRUPT : status;
    }
    cursor->offset = store_next_offset(store, cursor->block, cursor->offset, &frame);
    end->seq += records;
    end->bytes += frame.bytes;
    memcpy(end->chain, frame.chain, STORE_CHAIN_BYTES);
    return frame.is_last ? STATUS_OK : STATUS_AGAIN;
}

/* The first end of a group behind `seq` in one block, if it comes before the one that is known. */
static enum status find_end(struct store *store, uint32_t b, uint64_t seq, struct store_end *end) {
    uint32_t ignored[STORE_KINDS] = {0};
    struct store_cursor cursor = {.block = b, .offset = store_first_offset(store)};
    uint32_t used = store->memory.blocks[b].used_bytes;
    while (cursor.offset < used) {
        struct store_frame frame;
        uint32_t records = 0;
        uint32_t align = store_align_of(store, b);
        enum status status = store_read_frame_head(store, b, cursor.offset, used, &frame);
        bool is_frame = status == STATUS_OK;
        bool is_end = is_frame && frame.type != STORE_FRAME_COPY && frame.is_last;
        uint64_t first = is_end ? store_frame_seq(store, b, &frame) : 0;
        if (is_end && first > seq && first <= end->seq) {
            status = read_whole(store, &cursor, &frame, ignored, &records);
        }
        if (status == STATUS_IO) {
            return status;
        }
        if (records > 0 && first + records - 1 < end->seq) {
            end->seq = first + records - 1;
            memcpy(end->chain, frame.chain, STORE_CHAIN_BYTES);
        }
        cursor.offset = is_frame ? store_next_offset(store, b, cursor.offset, &frame)
                                 : (cursor.offset / align + 1) * align;
    }
    return STATUS_OK;
}

/* Of all groups whose end can be read, the first one behind `seq`; else the head. */
static enum status skip_damage(struct store *store, uint64_t seq, struct store_end *end) {
    if (store->committed_seq != store->durable_seq) {
        return STATUS_AGAIN; /* the head's hash is not durable yet */
    }
    end->seq = store->durable_seq;
    memcpy(end->chain, store->head_chain, STORE_CHAIN_BYTES);
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        bool is_there = block->state == STORE_BLOCK_USED || block->state == STORE_BLOCK_LEAVING;
        if (is_there && block->last_seq > seq && block->last_seq - block->seq_span <= end->seq &&
            find_end(store, b, seq, end) != STATUS_OK) {
            return STATUS_IO;
        }
    }
    return STATUS_CORRUPT;
}

enum status store_pass_group(struct store *store, struct store_cursor *cursor,
                             struct store_end *end) {
    struct store_end at = *end;
    enum status status = STATUS_AGAIN;
    if (at.seq >= store->durable_seq) {
        return STATUS_AGAIN;
    }
    while (status == STATUS_AGAIN) {
        status = pass_frame(store, cursor, &at);
    }
    if (status == STATUS_CORRUPT) {
        at.seq = end->seq;
        status = skip_damage(store, end->seq, &at);
    }
    if (status == STATUS_OK || status == STATUS_CORRUPT) {
        *end = at;
    }
    return status;
}

/* ---- what goes on ---- */

/* Appends an object's newest record again. FULL, or CORRUPT: it cannot be read. */
static enum status carry(struct store *store, struct store_slot *slot, uint32_t spare) {
    struct store_record record;
    enum status status = store_read_at(store, slot->where, store->memory.copy_buffer,
                                       store->memory.frame_bytes, &record);
    if (status == STATUS_OK &&
        (record.body.size == 0 || store_slot_of(store, record.key) != slot)) {
        status = STATUS_CORRUPT;
    }
    if (status == STATUS_OK && record.body.size + spare > store_room(store)) {
        status = STATUS_FULL;
    }
    if (status == STATUS_OK) {
        (void)store_append_behind(store, record.key, record.previous, record.body);
    }
    return status;
}

enum status store_repeat(struct store *store, struct store_key key, uint32_t spare) {
    struct store_slot *slot = store_slot_of(store, key);
    bool is_placed = slot->where != 0 && (slot->where & STORE_OPEN) == 0;
    return is_placed && slot->seq > store->suspect_seq ? carry(store, slot, spare) : STATUS_CORRUPT;
}

enum status store_carry(struct store *store, uint64_t first, struct store_end *end,
                        uint32_t spare) {
    for (uint32_t i = 0; i < store_slot_count(store); i++) {
        struct store_slot *slot = &store->memory.slots[i];
        bool is_placed = slot->where != 0 && (slot->where & STORE_OPEN) == 0;
        if (!is_placed || slot->seq < first || slot->seq > end->seq ||
            slot->seq <= store->suspect_seq) {
            continue;
        }
        enum status status = carry(store, slot, spare);
        uint32_t *count = &end->counts[store_key_at(store, i).kind];
        if (status != STATUS_OK && status != STATUS_CORRUPT) {
            return status;
        }
        *count -= status == STATUS_OK && *count > 0;
    }
    return STATUS_OK;
}

void store_begin_epoch(struct store *store, uint32_t epoch) {
    check(epoch > store->epoch);
    store->epoch = epoch;
    store->acked_seq = 0;
    store->acked_written = 0;
    memset(store->acked_chain, 0, STORE_CHAIN_BYTES);
}

void store_give_up(struct store *store, uint64_t seq) {
    check(seq <= store->durable_seq);
    if (seq > store->gap_seq) {
        store->gap_seq = seq;
        store->cleaner.lap_end = store->block_sequence;
    }
}
