#include "firmware/store_frame.h"

#include <string.h>

/* Writes only what is not empty: a table that was never used keeps costing no pages. */
static void forget_slots(struct store *store) {
    struct store_slot *slots = store->memory.slots;
    for (uint32_t i = 0; i < store_slot_count(store); i++) {
        if (slots[i].seq != 0 || slots[i].where != 0 || slots[i].bytes != 0) {
            slots[i] = (struct store_slot){0};
        }
    }
}

static void forget_everything(struct store *store) {
    struct hal_flash *flash = store->flash;
    struct store_memory memory = store->memory;
    store_init(store, flash, &memory);
    memset(memory.blocks, 0, flash->block_count * sizeof memory.blocks[0]);
    forget_slots(store);
    store->oldest_known = 1;
}

enum status store_format(struct store *store, const uint8_t id[STORE_ID_BYTES], uint32_t epoch) {
    uint8_t new_id[STORE_ID_BYTES];
    memcpy(new_id, id, STORE_ID_BYTES);
    forget_everything(store);
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_header header;
        enum status status = store_read_header(store, b, &header);
        if (status == STATUS_OK || status == STATUS_FOREIGN) {
            status = hal_flash_erase(store->flash, b);
            if (status == STATUS_OK && store_read_header(store, b, &header) != STATUS_MALFORMED) {
                return STATUS_FOREIGN;
            }
        }
        if (status != STATUS_OK && status != STATUS_MALFORMED) {
            return status;
        }
    }
    memcpy(store->id, new_id, STORE_ID_BYTES);
    store->epoch = epoch;
    store->free_count = store->flash->block_count;
    return store_open_block(store, false);
}

/* One pass over the log: blocks in the order of their sequence numbers. */
struct scan {
    struct store *store;
    uint32_t block;
    uint32_t salt;
    uint32_t end;      /* where the block's frames end, as far as the next header knows */
    uint64_t next_seq; /* that the next group must begin with */
    bool is_last;      /* nothing newer follows: a bad frame may be a torn tail */
    bool has_lost;     /* records that cannot be told, since the last known sequence number */
};

/* ---- headers ---- */

static enum status take_header(struct store *store, uint32_t b, const struct store_header *header) {
    struct hal_flash *flash = store->flash;
    bool is_first = store->block_sequence == 0;
    if (header->block_bytes != flash->block_bytes || header->block_count != flash->block_count ||
        header->program_bytes != flash->program_bytes ||
        (!is_first && memcmp(header->id, store->id, STORE_ID_BYTES) != 0)) {
        return STATUS_FOREIGN;
    }
    memcpy(store->id, header->id, STORE_ID_BYTES);
    store->memory.blocks[b] = (struct store_block){
        .sequence = header->sequence,
        .nonce = header->nonce,
        .erase_count = header->erase_count,
        .used_bytes = store_first_offset(store),
    };
    if (header->sequence > store->block_sequence) {
        store->block_sequence = header->sequence;
    }
    return STATUS_OK;
}

/* Reads all headers; lists in `order` the blocks that have one. */
static enum status read_headers(struct store *store, uint32_t *count) {
    *count = 0;
    store->free_count = store->flash->block_count;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_header header;
        enum status status = store_read_header(store, b, &header);
        if (status == STATUS_OK && header.block == b) {
            status = take_header(store, b, &header);
            store->memory.order[*count] = b;
            *count += 1;
        }
        if (status != STATUS_OK && status != STATUS_MALFORMED) {
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

/* Now the sequence number is known again: what was lost before it lies below. */
static void know_seq(struct scan *scan, uint64_t seq) {
    struct store *store = scan->store;
    if (seq > scan->next_seq && scan->next_seq != 0) {
        store->stats.lost_sequences += seq - scan->next_seq;
        scan->has_lost = true;
    }
    if (scan->has_lost && seq - 1 > store->suspect_seq) {
        store->suspect_seq = seq - 1;
    }
    scan->has_lost = false;
    scan->next_seq = seq;
}

/* Reads the frame at `offset` into the group buffer. MALFORMED: there is none. */
static enum status fetch_frame(struct scan *scan, uint32_t offset, struct store_frame *frame) {
    struct store *store = scan->store;
    uint8_t *buffer = store->memory.group_buffer;
    uint32_t room = scan->end - offset;
    uint32_t where = scan->block * store->flash->block_bytes + offset;
    if (room < STORE_FRAME_BYTES) {
        return STATUS_MALFORMED;
    }
    enum status status = hal_flash_read(store->flash, where, buffer, STORE_FRAME_BYTES);
    if (status != STATUS_OK) {
        return status;
    }
    if (!store_get_frame(buffer, frame, scan->salt, offset) ||
        frame->bytes > room - STORE_FRAME_BYTES) {
        return STATUS_MALFORMED;
    }
    if (STORE_FRAME_BYTES + frame->bytes > store->memory.frame_bytes) {
        return STATUS_FOREIGN;
    }
    return hal_flash_read(store->flash, where, buffer, STORE_FRAME_BYTES + frame->bytes);
}

static bool is_intact(const struct scan *scan, const struct store_frame *frame, uint32_t offset) {
    return store_is_frame_intact(scan->store->memory.group_buffer, frame, scan->salt, offset);
}

/* The first place behind `*offset` where an intact frame begins, or the end. */
static enum status find_frame(struct scan *scan, uint32_t *offset) {
    uint32_t step = store_padded(scan->store, 1);
    while (*offset + step < scan->end) {
        struct store_frame frame;
        *offset += step;
        enum status status = fetch_frame(scan, *offset, &frame);
        if (status == STATUS_OK && is_intact(scan, &frame, *offset)) {
            return STATUS_OK;
        }
        if (status != STATUS_OK && status != STATUS_MALFORMED && status != STATUS_FOREIGN) {
            return status;
        }
    }
    *offset = scan->end;
    return STATUS_OK;
}

/* ---- which blocks are in use ---- */

/* A newest block without a frame is what a power loss has left of opening it: it is as good as
 * free, so that a hub that loses power again and again does not run out of blocks. */
static enum status drop_empty(struct scan *scan, uint32_t *count) {
    enum status status = STATUS_OK;
    while (status == STATUS_OK && *count > 1) {
        scan->block = scan->store->memory.order[*count - 1];
        scan->salt = store_salt(scan->store, scan->block);
        scan->end = scan->store->flash->block_bytes;
        uint32_t offset = store_first_offset(scan->store) - store_padded(scan->store, 1);
        status = find_frame(scan, &offset);
        if (offset < scan->end) {
            return status;
        }
        *count -= status == STATUS_OK;
    }
    return status;
}

/* Keeps in `order`, from `*first` on, what is in use: each header names the block before it, down
 * to the oldest one that the newest header knows. Others are left over from earlier uses. */
static enum status choose_blocks(struct scan *scan, uint32_t count, uint32_t *first) {
    struct store *store = scan->store;
    uint32_t *order = store->memory.order;
    struct store_header header;
    enum status status = store_read_header(store, order[count - 1], &header);
    uint64_t oldest = header.oldest_sequence;
    uint64_t wanted = header.sequence;
    uint32_t kept = count;
    store->epoch = header.epoch;
    store->acked_seq = header.acked_seq;
    store->suspect_seq = header.suspect_seq;
    memcpy(store->acked_chain, header.acked_chain, STORE_CHAIN_BYTES);
    for (uint32_t i = count; i > 0 && status == STATUS_OK && wanted >= oldest; i--) {
        struct store_block *block = &store->memory.blocks[order[i - 1]];
        if (block->sequence <= wanted && block->sequence >= oldest) {
            store->stats.lost_blocks += block->sequence < wanted;
            status = store_read_header(store, order[i - 1], &header);
            wanted = header.previous_sequence;
            block->state = STORE_BLOCK_USED;
            store->free_count -= 1;
            kept -= 1;
            order[kept] = order[i - 1];
        }
    }
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_block *block = &store->memory.blocks[b];
        block->sequence = block->state == STORE_BLOCK_USED ? block->sequence : 0;
    }
    store->oldest_known = oldest;
    scan->has_lost = wanted >= oldest && wanted > 0;
    store->stats.lost_blocks += scan->has_lost;
    store->newest = order[count - 1];
    *first = kept;
    return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
}

/* ---- records ---- */

/* Enters a record into the index. A damaged one is entered too, unless an intact copy of it is
 * known: its object then reads as corrupt, and no older record is served in its place. */
static enum status index_record(struct scan *scan, const struct store_walk *walk, uint64_t seq) {
    struct store *store = scan->store;
    if (!store_has_slot(store, walk->head.key)) {
        return STATUS_FOREIGN;
    }
    struct store_slot *slot = store_slot_of(store, walk->head.key);
    if (seq > slot->seq || (seq == slot->seq && walk->is_intact)) {
        uint32_t where = scan->block * store->flash->block_bytes + walk->offset + walk->head_at;
        store_place(store, slot, where, STORE_RECORD_BYTES + walk->head.body_bytes);
        slot->seq = seq;
    }
    return STATUS_OK;
}

/* Enters what can be told of a frame. */
static enum status enter_frame(struct scan *scan, const struct store_frame *frame,
                               uint32_t offset) {
    struct store *store = scan->store;
    bool is_group = frame->type == STORE_FRAME_GROUP;
    struct store_walk walk;
    store_walk_init(&walk, store->memory.group_buffer, frame, scan->salt, offset);
    if (is_group) {
        know_seq(scan, scan->next_seq + (uint16_t)(frame->seq_low - (uint16_t)scan->next_seq));
    }
    uint64_t next_seq = scan->next_seq;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && store_walk_next(&walk)) {
        status = index_record(scan, &walk, is_group ? next_seq : walk.copy_seq);
        next_seq += is_group;
    }
    scan->has_lost = scan->has_lost || walk.is_broken;
    if (is_group) {
        scan->next_seq = next_seq;
        store->memory.blocks[scan->block].last_seq = next_seq - 1;
        memcpy(store->head_chain, store->memory.group_buffer + walk.end, STORE_CHAIN_BYTES);
    }
    return status;
}

/* Takes what is at `*offset`, which then moves on. MALFORMED: the log ends here. */
static enum status take_frame(struct scan *scan, uint32_t *offset) {
    struct store *store = scan->store;
    struct store_frame frame;
    uint32_t at = *offset;
    enum status status = fetch_frame(scan, at, &frame);
    bool has_head = status == STATUS_OK;
    if (status != STATUS_OK && status != STATUS_MALFORMED) {
        return status;
    }
    if (has_head && is_intact(scan, &frame, at)) {
        *offset += store_padded(store, STORE_FRAME_BYTES + frame.bytes);
        return enter_frame(scan, &frame, at);
    }
    status = find_frame(scan, offset);
    if (status != STATUS_OK) {
        return status;
    }
    if (scan->is_last && *offset == scan->end) {
        store->stats.torn_frames += has_head;
        *offset = at;
        return STATUS_MALFORMED;
    }
    store->stats.rotten_frames += 1;
    scan->has_lost = scan->has_lost || !has_head;
    if (!has_head) {
        return STATUS_OK;
    }
    *offset = at + store_padded(store, STORE_FRAME_BYTES + frame.bytes);
    status = fetch_frame(scan, at, &frame);
    return status == STATUS_OK ? enter_frame(scan, &frame, at) : status;
}

/* `next` is the header of the block behind this one in the log, or NULL. */
static enum status scan_block(struct scan *scan, uint32_t b, const struct store_header *header,
                              const struct store_header *next) {
    struct store *store = scan->store;
    struct store_block *block = &store->memory.blocks[b];
    bool is_followed = next != NULL && next->previous_sequence == header->sequence;
    scan->block = b;
    scan->salt = store_salt(store, b);
    scan->is_last = next == NULL;
    scan->end = is_followed ? next->previous_end : store->flash->block_bytes;
    if (scan->end > store->flash->block_bytes || scan->end < block->used_bytes) {
        return STATUS_CORRUPT;
    }
    memcpy(store->head_chain, header->chain, STORE_CHAIN_BYTES);
    enum status status = STATUS_OK;
    while (status == STATUS_OK && block->used_bytes < scan->end) {
        status = take_frame(scan, &block->used_bytes);
    }
    scan->has_lost = scan->has_lost || (next != NULL && !is_followed);
    return status == STATUS_MALFORMED ? STATUS_OK : status;
}

static enum status scan_blocks(struct scan *scan, uint32_t first, uint32_t count) {
    const uint32_t *order = scan->store->memory.order;
    struct store_header header;
    struct store_header next;
    enum status status = store_read_header(scan->store, order[first], &next);
    for (uint32_t i = first; i < count && status == STATUS_OK; i++) {
        bool has_next = i + 1 < count;
        header = next;
        bool continues = i > first && header.next_seq == scan->next_seq;
        const uint8_t *chain = scan->store->head_chain;
        scan->store->stats.rotten_frames +=
            continues && memcmp(chain, header.chain, STORE_CHAIN_BYTES) != 0;
        know_seq(scan, header.next_seq);
        if (has_next) {
            status = store_read_header(scan->store, order[i + 1], &next);
        }
        if (status == STATUS_OK) {
            status = scan_block(scan, order[i], &header, has_next ? &next : NULL);
        }
    }
    return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
}

enum status store_mount(struct store *store) {
    uint32_t count = 0;
    uint32_t first = 0;
    forget_everything(store);
    enum status status = read_headers(store, &count);
    if (status != STATUS_OK) {
        return status;
    }
    sort_order(store, count);
    struct scan scan = {.store = store};
    status = drop_empty(&scan, &count);
    if (status == STATUS_OK) {
        status = choose_blocks(&scan, count, &first);
    }
    if (status == STATUS_OK) {
        status = scan_blocks(&scan, first, count);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (store->acked_seq >= scan.next_seq) { /* upstream has more than is left here */
        know_seq(&scan, store->acked_seq + 1);
        memcpy(store->head_chain, store->acked_chain, STORE_CHAIN_BYTES);
    }
    know_seq(&scan, scan.next_seq);
    store->head_seq = scan.next_seq - 1;
    store->committed_seq = store->head_seq;
    store->durable_seq = store->head_seq;
    return STATUS_OK;
}
