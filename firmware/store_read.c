#include "firmware/store_frame.h"

#include <string.h>

/* Copies a record's head and body from the open group or from flash; the head is judged first. */
static enum status fetch(struct store *store, uint32_t where, uint8_t *target, uint32_t bytes) {
    if ((where & STORE_OPEN) != 0) {
        uint32_t at = where & ~STORE_OPEN;
        check(at + bytes <= store->open_bytes);
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
        uint32_t b = where / store->flash->block_bytes;
        uint32_t salt = store_salt(store, store->memory.blocks[b].sequence);
        uint32_t offset = where % store->flash->block_bytes;
        if (store_record_crc(buffer, head.body_bytes, salt, offset) != head.crc) {
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
    if (slot->where == 0) {
        return STATUS_NOT_FOUND;
    }
    struct store_record found;
    enum status status = store_read_at(store, slot->where, buffer, capacity, &found);
    if (status != STATUS_OK) {
        return status;
    }
    if (found.key.kind != key.kind || found.key.index != key.index) {
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
static enum status enter_block(struct store *store, uint32_t b, struct store_cursor *cursor,
                               uint64_t *next_seq) {
    uint8_t bytes[STORE_HEADER_BYTES];
    struct store_header header;
    enum status status =
        hal_flash_read(store->flash, b * store->flash->block_bytes, bytes, sizeof bytes);
    if (status != STATUS_OK) {
        return status;
    }
    if (store_get_header(bytes, &header) != STATUS_OK) {
        return STATUS_CORRUPT;
    }
    cursor->block_sequence = store->memory.blocks[b].sequence;
    cursor->offset = store_first_offset(store);
    *next_seq = header.next_seq;
    return STATUS_OK;
}

/* Checks a group that was read whole and counts its records. False: damaged. */
static bool open_group(const struct store *store, const uint8_t *frame, uint32_t bytes,
                       const struct store_cursor *cursor, struct store_group *group) {
    uint32_t salt = store_salt(store, cursor->block_sequence);
    uint32_t at = STORE_FRAME_BYTES;
    uint32_t end = bytes - STORE_CHAIN_BYTES;
    group->record_count = 0;
    while (at < end) {
        struct store_record_head head;
        if (end - at < STORE_RECORD_BYTES) {
            return false;
        }
        store_get_record_head(frame + at, &head);
        if (end - at - STORE_RECORD_BYTES < head.body_bytes ||
            store_record_crc(frame + at, head.body_bytes, salt, cursor->offset + at) != head.crc) {
            return false;
        }
        group->record_count += 1;
        at += STORE_RECORD_BYTES + head.body_bytes;
    }
    group->records = (struct bytes){frame + STORE_FRAME_BYTES, end - STORE_FRAME_BYTES};
    memcpy(group->chain, frame + end, STORE_CHAIN_BYTES);
    return true;
}

/* Reads the frame at the cursor. AGAIN: the block has no more. */
static enum status read_frame(struct store *store, uint32_t b, const struct store_cursor *cursor,
                              struct bytes *target, struct store_frame *frame) {
    if (cursor->offset >= store->memory.blocks[b].used_bytes) {
        return STATUS_AGAIN;
    }
    uint8_t *buffer = (uint8_t *)(uintptr_t)target->data;
    uint32_t where = b * store->flash->block_bytes + cursor->offset;
    enum status status = hal_flash_read(store->flash, where, buffer, STORE_FRAME_BYTES);
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t salt = store_salt(store, cursor->block_sequence);
    if (!store_get_frame(buffer, frame, salt, cursor->offset)) {
        return STATUS_CORRUPT;
    }
    uint32_t bytes = STORE_FRAME_BYTES + frame->bytes;
    if (bytes > target->size) {
        return STATUS_TOO_LARGE;
    }
    target->size = bytes;
    return hal_flash_read(store->flash, where, buffer, bytes);
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
    while (status == STATUS_OK) {
        struct bytes target = {buffer, capacity};
        struct store_frame frame;
        status = read_frame(store, b, &at, &target, &frame);
        if (status != STATUS_OK) {
            break;
        }
        bool is_group = frame.type == STORE_FRAME_GROUP;
        if (is_group && !open_group(store, buffer, (uint32_t)target.size, &at, group)) {
            return STATUS_CORRUPT;
        }
        uint32_t unit = store->flash->program_bytes;
        at.offset += ((uint32_t)target.size + unit - 1) / unit * unit;
        if (!is_group) {
            continue;
        }
        group->first_seq = next_seq;
        next_seq += group->record_count;
        if (next_seq - 1 > store->durable_seq) {
            return STATUS_AGAIN;
        }
        if (next_seq - 1 > at.seq) {
            at.seq = next_seq - 1;
            *cursor = at;
            return STATUS_OK;
        }
    }
    return status;
}
