#include "firmware/store_frame.h"

#include <string.h>

enum status store_format(struct store *store, const uint8_t id[STORE_ID_BYTES], uint32_t epoch) {
    memcpy(store->id, id, STORE_ID_BYTES);
    store->epoch = epoch;
    memset(store->memory.blocks, 0, store->flash->block_count * sizeof store->memory.blocks[0]);
    store->free_count = store->flash->block_count;
    store->block_sequence = 0;
    return store_open_block(store);
}

/* One pass over the log: blocks in the order of their sequence numbers. */
struct scan {
    struct store *store;
    uint32_t block;
    uint32_t salt;
    uint64_t next_seq; /* that the next group must begin with */
    bool is_last;      /* nothing newer follows: a bad frame is a torn tail */
};

/* ---- headers ---- */

static enum status take_header(struct store *store, uint32_t b, const struct store_header *header) {
    struct hal_flash *flash = store->flash;
    bool is_first = store->block_sequence == 0;
    if (header->block_bytes != flash->block_bytes || header->block_count != flash->block_count ||
        header->program_bytes != flash->program_bytes) {
        return STATUS_FOREIGN;
    }
    if (!is_first && memcmp(header->id, store->id, STORE_ID_BYTES) != 0) {
        return STATUS_FOREIGN;
    }
    memcpy(store->id, header->id, STORE_ID_BYTES);
    store->memory.blocks[b] = (struct store_block){
        .sequence = header->block_sequence,
        .erase_count = header->erase_count,
        .used_bytes = store_first_offset(store),
        .state = STORE_BLOCK_USED,
    };
    if (header->block_sequence > store->block_sequence) {
        store->block_sequence = header->block_sequence;
        store->epoch = header->epoch;
        store->acked_seq = header->acked_seq;
        memcpy(store->acked_chain, header->acked_chain, STORE_CHAIN_BYTES);
    }
    return STATUS_OK;
}

static enum status read_header(struct store *store, uint32_t b, struct store_header *header) {
    uint8_t bytes[STORE_HEADER_BYTES];
    uint32_t where = b * store->flash->block_bytes;
    enum status status = hal_flash_read(store->flash, where, bytes, sizeof bytes);
    return status == STATUS_OK ? store_get_header(bytes, header) : status;
}

/* Reads all headers; returns how many blocks are in use, listed in `order`. */
static enum status read_headers(struct store *store, uint32_t *count) {
    *count = 0;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_header header;
        store->memory.blocks[b] = (struct store_block){0};
        enum status status = read_header(store, b, &header);
        if (status == STATUS_OK) {
            status = take_header(store, b, &header);
            store->memory.order[*count] = b;
            *count += 1;
        } else if (status == STATUS_MALFORMED) {
            store->free_count += 1;
            status = STATUS_OK;
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    return *count > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

/* Heap order by sequence number, largest on top: sorts in place, without recursion. */
static void sift_down(const struct store *store, uint32_t *order, uint32_t at, uint32_t count) {
    const struct store_block *blocks = store->memory.blocks;
    while (2 * at + 1 < count) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < count &&
            blocks[order[child + 1]].sequence > blocks[order[child]].sequence) {
            child += 1;
        }
        if (blocks[order[at]].sequence >= blocks[order[child]].sequence) {
            return;
        }
        uint32_t swap = order[at];
        order[at] = order[child];
        order[child] = swap;
        at = child;
    }
}

static void sort_order(const struct store *store, uint32_t count) {
    uint32_t *order = store->memory.order;
    for (uint32_t i = count / 2; i > 0; i--) {
        sift_down(store, order, i - 1, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        uint32_t swap = order[0];
        order[0] = order[end - 1];
        order[end - 1] = swap;
        sift_down(store, order, 0, end - 1);
    }
}

/* ---- frames ---- */

/* Enters a record into the index. A damaged one is entered too: its object then reads as corrupt,
 * and no older record is served in its place. */
static enum status index_record(struct scan *scan, struct store_key key, uint64_t seq,
                                uint32_t where, uint32_t bytes) {
    struct store *store = scan->store;
    if (!store_has_slot(store, key)) {
        return STATUS_FOREIGN;
    }
    struct store_slot *slot = store_slot_of(store, key);
    if (seq >= slot->seq) {
        store_place(store, slot, where, bytes);
        slot->seq = seq;
    }
    return STATUS_OK;
}

/* Walks the records of a frame that was read whole. Counts those that are intact, and enters them
 * when told so. MALFORMED: one is damaged. */
static enum status walk_frame(struct scan *scan, const struct store_frame *frame, uint32_t offset,
                              bool enter, uint32_t *count) {
    struct store *store = scan->store;
    const uint8_t *buffer = store->memory.group_buffer;
    bool is_group = frame->type == STORE_FRAME_GROUP;
    uint32_t lead = is_group ? 0 : STORE_COPY_SEQ_BYTES;
    uint32_t end = STORE_FRAME_BYTES + frame->bytes - (is_group ? STORE_CHAIN_BYTES : 0);
    uint32_t at = STORE_FRAME_BYTES;
    *count = 0;
    while (at < end) {
        if (end - at < lead + STORE_RECORD_BYTES) {
            return STATUS_MALFORMED;
        }
        uint64_t seq = is_group ? scan->next_seq + *count : store_get_u64(buffer + at);
        at += lead;
        struct store_record_head head;
        store_get_record_head(buffer + at, &head);
        if (end - at - STORE_RECORD_BYTES < head.body_bytes) {
            return STATUS_MALFORMED;
        }
        uint32_t crc = store_record_crc(buffer + at, head.body_bytes, scan->salt, offset + at);
        if (crc != head.crc && !enter) {
            return STATUS_MALFORMED;
        }
        uint32_t bytes = STORE_RECORD_BYTES + head.body_bytes;
        uint32_t where = scan->block * store->flash->block_bytes + offset + at;
        if (enter) {
            enum status status = index_record(scan, head.key, seq, where, bytes);
            if (status != STATUS_OK && crc == head.crc) {
                return status;
            }
        }
        at += bytes;
        *count += 1;
    }
    return STATUS_OK;
}

/* Reads the frame at `offset` into the group buffer. MALFORMED: there is none. */
static enum status fetch_frame(struct scan *scan, uint32_t offset, struct store_frame *frame) {
    struct store *store = scan->store;
    uint8_t *buffer = store->memory.group_buffer;
    uint32_t room = store->flash->block_bytes - offset;
    uint32_t where = scan->block * store->flash->block_bytes + offset;
    if (room < STORE_FRAME_BYTES) {
        return STATUS_MALFORMED;
    }
    enum status status = hal_flash_read(store->flash, where, buffer, STORE_FRAME_BYTES);
    if (status != STATUS_OK) {
        return status;
    }
    if (!store_get_frame(buffer, frame, scan->salt, offset) ||
        frame->bytes > room - STORE_FRAME_BYTES ||
        (frame->type == STORE_FRAME_GROUP && frame->bytes < STORE_CHAIN_BYTES)) {
        return STATUS_MALFORMED;
    }
    if (STORE_FRAME_BYTES + frame->bytes > store->memory.frame_bytes) {
        return STATUS_FOREIGN;
    }
    return hal_flash_read(store->flash, where, buffer, STORE_FRAME_BYTES + frame->bytes);
}

static enum status take_frame(struct scan *scan, const struct store_frame *frame, uint32_t offset) {
    struct store *store = scan->store;
    uint32_t count = 0;
    enum status status = walk_frame(scan, frame, offset, false, &count);
    bool is_group = frame->type == STORE_FRAME_GROUP;
    bool is_damaged =
        status == STATUS_MALFORMED || (is_group && frame->seq_low != (uint16_t)scan->next_seq);
    if (is_damaged && scan->is_last) {
        return STATUS_MALFORMED;
    }
    store->stats.rotten_frames += is_damaged;
    status = walk_frame(scan, frame, offset, true, &count);
    if (is_group) {
        const uint8_t *end = store->memory.group_buffer + STORE_FRAME_BYTES + frame->bytes;
        memcpy(store->head_chain, end - STORE_CHAIN_BYTES, STORE_CHAIN_BYTES);
        scan->next_seq += count;
        store->memory.blocks[scan->block].last_seq = scan->next_seq - 1;
    }
    return status == STATUS_MALFORMED ? STATUS_OK : status;
}

static enum status scan_block(struct scan *scan, uint32_t b, bool is_last) {
    struct store *store = scan->store;
    struct store_header header;
    enum status status = read_header(store, b, &header);
    if (status != STATUS_OK) {
        return status;
    }
    if (scan->next_seq != 0 && header.next_seq > scan->next_seq) {
        bool was_cleaned = scan->block >= store->flash->block_count ||
                           store->memory.blocks[scan->block].sequence + 1 != header.block_sequence;
        store->stats.lost_sequences +=
            was_cleaned ? 0 : (uint32_t)(header.next_seq - scan->next_seq);
    }
    scan->block = b;
    scan->salt = store_salt(store, header.block_sequence);
    scan->next_seq = header.next_seq;
    scan->is_last = is_last;
    memcpy(store->head_chain, header.chain, STORE_CHAIN_BYTES);
    uint32_t unit = store->flash->program_bytes;
    struct store_block *block = &store->memory.blocks[b];
    while (block->used_bytes < store->flash->block_bytes) {
        struct store_frame frame;
        status = fetch_frame(scan, block->used_bytes, &frame);
        if (status == STATUS_OK) {
            status = take_frame(scan, &frame, block->used_bytes);
            store->stats.torn_frames += status == STATUS_MALFORMED;
        }
        if (status != STATUS_OK) {
            return status == STATUS_MALFORMED ? STATUS_OK : status;
        }
        uint32_t bytes = STORE_FRAME_BYTES + frame.bytes;
        block->used_bytes += (bytes + unit - 1) / unit * unit;
    }
    return STATUS_OK;
}

enum status store_mount(struct store *store) {
    check(store->block_sequence == 0);
    uint32_t count = 0;
    enum status status = read_headers(store, &count);
    if (status != STATUS_OK) {
        return status;
    }
    sort_order(store, count);
    struct scan scan = {.store = store, .block = store->flash->block_count};
    for (uint32_t i = 0; i < count; i++) {
        status = scan_block(&scan, store->memory.order[i], i + 1 == count);
        if (status != STATUS_OK) {
            return status;
        }
    }
    store->head_seq = scan.next_seq - 1;
    store->committed_seq = store->head_seq;
    store->durable_seq = store->head_seq;
    return STATUS_OK;
}
