#include "firmware/store_frame.h"

#include <string.h>

/* Copies a record's head and body from the open group or from flash; the head is judged first. */
static enum status fetch(struct store *store, uint32_t where, uint8_t *target, uint32_t bytes) {
    if ((where & STORE_OPEN) != 0) {
        uint32_t at = where & ~STORE_OPEN;
        check(at <= store->open_bytes && bytes <= store->open_bytes - at);
        memcpy(target, store->memory.group_buffer + at, bytes);
        return STATUS_OK;
    }
    return hal_flash_read(store->flash, where, target, bytes);
}

static enum status fetch_head(struct store *store, uint32_t where, struct store_record_head *head) {
    uint8_t bytes[STORE_RECORD_BYTES];
    uint32_t limit = store->open_bytes;
    uint32_t offset = where & ~STORE_OPEN;
    if ((where & STORE_OPEN) == 0) {
        offset = where % store->flash->block_bytes;
        uint32_t b = where / store->flash->block_bytes;
        if (b >= store->flash->block_count || store->memory.blocks[b].state == STORE_BLOCK_FREE) {
            return STATUS_CORRUPT;
        }
        limit = store->memory.blocks[b].used_bytes;
    }
    if (offset > limit || limit - offset < STORE_RECORD_BYTES) {
        return STATUS_CORRUPT;
    }
    enum status status = fetch(store, where, bytes, STORE_RECORD_BYTES);
    if (status != STATUS_OK) {
        return status;
    }
    store_get_record_head(bytes, head);
    if ((where & STORE_OPEN) == 0) {
        uint32_t salt = store_salt(store, where / store->flash->block_bytes);
        if (!store_is_head_valid(bytes, salt, offset)) {
            return STATUS_CORRUPT;
        }
    }
    if (limit - offset - STORE_RECORD_BYTES < head->body_bytes) {
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

enum status store_read_at(struct store *store, uint32_t where, uint8_t *buffer, uint32_t capacity,
                          struct store_record *record) {
    struct store_record_head head;
    enum status status = fetch_head(store, where, &head);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t bytes = STORE_RECORD_BYTES + head.body_bytes;
    if (bytes > capacity) {
        return STATUS_TOO_LARGE;
    }
    status = fetch(store, where, buffer, bytes);
    if (status != STATUS_OK) {
        return status;
    }
    if ((where & STORE_OPEN) == 0) {
        uint32_t salt = store_salt(store, where / store->flash->block_bytes);
        uint32_t offset = where % store->flash->block_bytes;
        if (!store_is_record_valid(buffer, head.body_bytes, salt, offset)) {
            return STATUS_CORRUPT;
        }
    }
    *record = (struct store_record){
        .key = head.key,
        .previous = head.previous,
        .body = {buffer + STORE_RECORD_BYTES, head.body_bytes},
    };
    return STATUS_OK;
}

enum status store_read(struct store *store, struct store_key key, uint8_t *buffer,
                       uint32_t capacity, struct store_record *record) {
    const struct store_slot *slot = store_slot(store, key);
    if (slot->seq <= store->suspect_seq && store->suspect_seq > 0) {
        return STATUS_CORRUPT;
    }
    if (slot->where == 0) {
        return STATUS_NOT_FOUND;
    }
    struct store_record found;
    enum status status = store_read_at(store, slot->where, buffer, capacity, &found);
    if (status != STATUS_OK) {
        return status;
    }
    if (found.key.kind != key.kind || found.key.index != key.index || found.body.size == 0) {
        return STATUS_CORRUPT;
    }
    *record = found;
    return STATUS_OK;
}

/* ---- groups in order ---- */

bool store_group_next(struct bytes *records, struct bytes *body) {
    if (records->size == 0) {
        return false;
    }
    struct store_record_head head;
    check(records->size >= STORE_RECORD_BYTES);
    store_get_record_head(records->data, &head);
    check(records->size - STORE_RECORD_BYTES >= head.body_bytes);
    *body = (struct bytes){records->data + STORE_RECORD_BYTES, head.body_bytes};
    records->data += STORE_RECORD_BYTES + head.body_bytes;
    records->size -= STORE_RECORD_BYTES + head.body_bytes;
    return true;
}

/* The used block with the smallest sequence number that is at least `sequence` and may hold a
 * group behind `seq`; block_count: none. */
static uint32_t find_block(const struct store *store, uint64_t sequence, uint64_t seq) {
    uint32_t best = store->flash->block_count;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        bool fits = block->state != STORE_BLOCK_FREE && block->state != STORE_BLOCK_BAD &&
                    block->sequence >= sequence && block->last_seq > seq;
        if (fits && (best == store->flash->block_count ||
                     block->sequence < store->memory.blocks[best].sequence)) {
            best = b;
        }
    }
    return best;
}

/* Starts reading at the front of a block: its header knows the number of its first group. */
static enum status enter_block(const struct store *store, uint32_t b, struct store_cursor *cursor,
                               uint64_t *next_seq) {
    struct store_header header;
    enum status status = store_read_header(store, b, &header);
    if (status == STATUS_OK && header.sequence == store->memory.blocks[b].sequence) {
        cursor->block_sequence = header.sequence;
        cursor->offset = store_first_offset(store);
        *next_seq = header.next_seq;
        return STATUS_OK;
    }
    return status == STATUS_IO ? STATUS_IO : STATUS_CORRUPT;
}

/* Checks a group that was read whole and counts its records. */
static bool open_group(const uint8_t *frame, const struct store_frame *head, uint32_t salt,
                       uint32_t offset, struct store_group *group) {
    struct store_walk walk;
    if (!store_is_frame_intact(frame, head, salt, offset)) {
        return false;
    }
    group->record_count = 0;
    store_walk_init(&walk, frame, head, salt, offset);
    while (store_walk_next(&walk)) {
        group->record_count += 1;
    }
    group->records = (struct bytes){frame + STORE_FRAME_BYTES, walk.end - STORE_FRAME_BYTES};
    memcpy(group->chain, frame + walk.end, STORE_CHAIN_BYTES);
    return true;
}

struct frame_place {
    uint32_t block;
    uint32_t offset;
    uint32_t salt;
    uint8_t *buffer;
    uint32_t capacity;
};

/* Reads the frame at a place. AGAIN: the block has no more. */
static enum status read_frame(struct store *store, const struct frame_place *place,
                              struct store_frame *frame) {
    uint32_t end = store->memory.blocks[place->block].used_bytes;
    uint32_t where = place->block * store->flash->block_bytes + place->offset;
    if (place->offset >= end) {
        return STATUS_AGAIN;
    }
    if (place->capacity < STORE_FRAME_BYTES) {
        return STATUS_TOO_LARGE;
    }
    enum status status = hal_flash_read(store->flash, where, place->buffer, STORE_FRAME_BYTES);
    if (status != STATUS_OK) {
        return status;
    }
    if (!store_get_frame(place->buffer, frame, place->salt, place->offset) ||
        frame->bytes > end - place->offset - STORE_FRAME_BYTES) {
        return STATUS_CORRUPT;
    }
    uint32_t bytes = STORE_FRAME_BYTES + frame->bytes;
    if (frame->type == STORE_FRAME_COPY) {
        return STATUS_OK; /* only skipped */
    }
    return bytes > place->capacity ? STATUS_TOO_LARGE
                                   : hal_flash_read(store->flash, where, place->buffer, bytes);
}

enum status store_next_group(struct store *store, struct store_cursor *cursor, uint8_t *buffer,
                             uint32_t capacity, struct store_group *group) {
    struct store_cursor at = *cursor;
    uint64_t next_seq = at.seq + 1;
    uint32_t b = find_block(store, at.block_sequence, at.seq);
    if (b == store->flash->block_count) {
        return STATUS_AGAIN;
    }
    enum status status = STATUS_OK;
    if (store->memory.blocks[b].sequence != at.block_sequence) {
        status = enter_block(store, b, &at, &next_seq);
    }
    uint32_t salt = store_salt(store, b);
    while (status == STATUS_OK) {
        struct frame_place place = {b, at.offset, salt, buffer, capacity};
        struct store_frame frame;
        status = read_frame(store, &place, &frame);
        if (status != STATUS_OK) {
            break;
        }
        at.offset += store_padded(store, STORE_FRAME_BYTES + frame.bytes);
        if (frame.type == STORE_FRAME_COPY) {
            continue;
        }
        struct store_group found;
        if (!open_group(buffer, &frame, salt, place.offset, &found) ||
            frame.seq_low != (uint16_t)next_seq) {
            return STATUS_CORRUPT;
        }
        found.first_seq = next_seq;
        next_seq += found.record_count;
        if (next_seq - 1 > store->durable_seq) {
            return STATUS_AGAIN;
        }
        if (next_seq - 1 > at.seq) {
            at.seq = next_seq - 1;
            *cursor = at;
            *group = found;
            return STATUS_OK;
        }
    }
    return status;
}
