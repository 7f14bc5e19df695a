/* Which blocks a mount reads: those with a header, those in use, and those to be held back. */
#include "firmware/store_scan.h"

#include <string.h>

enum { READS = 3 }; /* of a header that may have cells between two states */

/* ---- headers ---- */

static enum status take_header(struct store *store, uint32_t b, const struct store_header *header) {
    struct hal_flash *flash = store->flash;
    bool is_first = store->block_sequence == 0;
    if (header->block_bytes != flash->block_bytes || header->block_count > flash->block_count ||
        header->program_bytes != flash->program_bytes ||
        (!is_first && memcmp(header->id, store->id, STORE_ID_BYTES) != 0)) {
        return STATUS_FOREIGN;
    }
    if (header->format != STORE_FORMAT &&
        (store->memory.older == NULL || store->memory.older->format != header->format)) {
        return STATUS_FOREIGN;
    }
    memcpy(store->id, header->id, STORE_ID_BYTES);
    if (header->bad_block != b && header->bad_block < flash->block_count) {
        store->memory.blocks[header->bad_block].is_worn = true;
    }
    store->memory.blocks[b] = (struct store_block){
        .sequence = header->sequence,
        .salt = store_header_salt(header),
        .erase_count = header->erase_count,
        .used_bytes = store_first_offset(store),
        .format = header->format,
        .is_worn = store->memory.blocks[b].is_worn,
    };
    if (header->sequence > store->block_sequence) {
        store->block_sequence = header->sequence;
    }
    if (header->block_count > store->counted_blocks) {
        store->counted_blocks = header->block_count;
    }
    return STATUS_OK;
}

/* A block that was never used is of one byte throughout, whatever its device calls erased. */
static enum status look_for_remains(struct store *store, uint32_t b) {
    uint8_t bytes[STORE_HEADER_BYTES];
    enum status status =
        hal_flash_read(store->flash, b * store->flash->block_bytes, bytes, sizeof bytes);
    for (size_t i = 1; status == STATUS_OK && i < sizeof bytes; i++) {
        bool differs = bytes[i] != bytes[0];
        store->memory.blocks[b].is_doubtful = store->memory.blocks[b].is_doubtful || differs;
    }
    return status;
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

/* Reads all headers; lists in `order` the blocks that have one. */
enum status store_choose_headers(struct store *store, uint32_t *count) {
    *count = 0;
    store->free_count = store->flash->block_count;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_header header;
        enum status status = store_read_header(store, b, &header);
        if (status == STATUS_OK && header.block == b) {
            status = take_header(store, b, &header);
            store->memory.order[*count] = b;
            *count += 1;
        } else if (status == STATUS_MALFORMED) {
            status = look_for_remains(store, b);
        }
        if (status != STATUS_OK) {
            return status;
        }
    }
    sort_order(store, *count);
    return *count > 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

/* ---- which blocks are in use ---- */

/* MALFORMED also when it reads differently each time. */
static enum status read_steady_header(const struct store *store, uint32_t b,
                                      struct store_header *header) {
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < READS && status == STATUS_OK; i++) {
        status = store_read_header(store, b, header);
    }
    return status;
}

/* Whether the newest block counts: a power loss may have left it without a frame, or with only a
 * part of what it was to take over from the one before. Then it is as good as free, so that a hub
 * that loses power again and again does not run out of blocks. It has taken over all when every
 * frame up to the one that says so is intact, or something was written after a later sync. */
static enum status does_count(struct store_scan *scan, uint32_t end, bool *counts) {
    struct store *store = scan->store;
    struct store_header header;
    enum status status = read_steady_header(store, store_scan_block(scan), &header);
    bool is_whole = true;
    bool has_end = status == STATUS_OK && !header.is_merge;
    scan->offset = store_first_offset(store);
    *counts = false;
    while (status == STATUS_OK && !*counts) {
        struct store_frame frame;
        uint32_t expected = scan->offset;
        status = store_scan_find(scan, end, &frame);
        if (status != STATUS_OK) {
            break;
        }
        is_whole = is_whole && scan->offset == expected;
        bool has_sync = frame.type == STORE_FRAME_GROUP || (has_end && frame.is_first);
        has_end = has_end || (frame.type == STORE_FRAME_COPY && frame.is_last);
        *counts = has_sync || !header.is_merge || (has_end && is_whole);
        store_scan_pass(scan, &frame);
    }
    return status == STATUS_NOT_FOUND || status == STATUS_MALFORMED ? STATUS_OK : status;
}

enum status store_choose_whole(struct store_scan *scan) {
    bool counts = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !counts && scan->count > 1) {
        scan->i = scan->count - 1;
        status = does_count(scan, scan->store->flash->block_bytes, &counts);
        scan->count -= status == STATUS_OK && !counts;
    }
    return status;
}

/* Every frame of copies in the newest block says which block was the oldest then. */
static enum status find_oldest(struct store_scan *scan, uint32_t end, uint32_t *oldest) {
    struct store *store = scan->store;
    scan->offset = store_first_offset(store);
    for (;;) {
        struct store_frame frame;
        enum status status = store_scan_find(scan, end, &frame);
        if (status != STATUS_OK) {
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        }
        uint16_t more = (uint16_t)((uint16_t)frame.seq - (uint16_t)*oldest);
        if (frame.type == STORE_FRAME_COPY && more < 0x8000 &&
            store_view(store, store_scan_block(scan), 0).older == NULL) {
            *oldest += more;
            scan->oldest_at = more > 0 ? scan->offset : scan->oldest_at;
        }
        store_scan_pass(scan, &frame);
    }
}

/* Where the log goes on, backwards. Of two blocks of one sequence number, one has a header that did
 * not read as one when the number was given again: the block behind knows which. */
struct backwards {
    uint32_t wanted;
    uint32_t oldest;
    uint32_t previous; /* the wanted block's number */
    uint32_t behind;   /* the block that says so; the same: it does not say */
};

static bool is_wanted(const struct store *store, const struct backwards *at, uint32_t b) {
    uint32_t sequence = store->memory.blocks[b].sequence;
    bool is_other = sequence == at->wanted && at->previous != at->behind && at->previous != b;
    return sequence <= at->wanted && sequence >= at->oldest && !is_other;
}

static enum status go_back(const struct store *store, struct backwards *at, uint32_t b) {
    struct store_header header;
    enum status status = store_read_header(store, b, &header);
    at->wanted = header.previous_sequence;
    at->previous = header.previous_block;
    at->behind = header.block;
    return status;
}

/* Keeps in `order`, from `first` on, what is in use: each header names the block before it, down
 * to the oldest one that the newest header knows. Others are left over from earlier uses. */
enum status store_choose_blocks(struct store_scan *scan) {
    struct store *store = scan->store;
    uint32_t *order = store->memory.order;
    struct store_header header;
    enum status status = store_read_header(store, order[scan->count - 1], &header);
    struct backwards at = {.wanted = header.sequence, .oldest = header.oldest_sequence};
    if (status == STATUS_OK) {
        scan->i = scan->count - 1;
        status = find_oldest(scan, scan->newest_end, &at.oldest);
    }
    store->epoch = header.epoch;
    store->acked_seq = header.acked_seq;
    store->acked_written = header.acked_seq;
    store->suspect_seq = header.suspect_seq;
    memcpy(store->acked_chain, header.acked_chain, STORE_CHAIN_BYTES);
    scan->first = scan->count;
    for (uint32_t i = scan->count; i > 0 && status == STATUS_OK && at.wanted >= at.oldest; i--) {
        struct store_block *block = &store->memory.blocks[order[i - 1]];
        if (is_wanted(store, &at, order[i - 1])) {
            store->stats.lost_blocks += block->sequence < at.wanted;
            status = go_back(store, &at, order[i - 1]);
            block->state = STORE_BLOCK_USED;
            store->free_count -= 1;
            scan->first -= 1;
            order[scan->first] = order[i - 1];
        }
    }
    store->oldest_known = at.oldest;
    store->oldest_written = at.oldest;
    scan->has_lost = at.wanted >= at.oldest && at.wanted > 0;
    store->stats.lost_blocks += scan->has_lost;
    store->newest = order[scan->count - 1];
    return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
}

/* ---- which are held back ---- */

/* Where the last batch before `end` begins: what stands there may be between two states. */
static enum status find_last_first(struct store_scan *scan, uint32_t end, uint32_t *offset) {
    *offset = end;
    scan->offset = store_first_offset(scan->store);
    for (;;) {
        struct store_frame frame;
        enum status status = store_scan_find(scan, end, &frame);
        if (status != STATUS_OK) {
            return status == STATUS_NOT_FOUND ? STATUS_OK : status;
        }
        *offset = frame.is_first ? scan->offset : *offset;
        store_scan_pass(scan, &frame);
    }
}

/* Lists all blocks that have a header again. */
static uint32_t list_headers(const struct store *store) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        if (store->memory.blocks[b].sequence != 0) {
            store->memory.order[count] = b;
            count += 1;
        }
    }
    sort_order(store, count);
    return count;
}

/* Holds the blocks of the log that ends in the scan's block. */
static enum status hold_log(struct store_scan *scan, uint32_t oldest) {
    struct store *store = scan->store;
    struct backwards at = {.wanted = store->memory.blocks[store_scan_block(scan)].sequence,
                           .oldest = oldest};
    enum status status = STATUS_OK;
    for (uint32_t i = scan->i + 1; i > 0 && status == STATUS_OK && at.wanted >= oldest; i--) {
        uint32_t b = store->memory.order[i - 1];
        if (is_wanted(store, &at, b)) {
            status = go_back(store, &at, b);
            store->memory.blocks[b].is_held = true;
            store->has_held = true;
        }
    }
    return status;
}

/* Should what was written last read as damaged at another mount, the log ends before it, and needs
 * what it may have set free: until it is written again, nothing of that is erased. */
enum status store_choose_held(const struct store_scan *from) {
    struct store *store = from->store;
    struct store_scan scan = {.store = store};
    struct store_header header;
    bool counts = false;
    uint32_t end = from->tail_offset;
    uint32_t tail = store->tail_block;
    scan.count = list_headers(store);
    while (scan.i + 1 < scan.count && store_scan_block(&scan) != tail) {
        scan.i += 1;
    }
    enum status status = store_read_header(store, tail, &header);
    bool is_merge = status == STATUS_OK && header.is_merge; /* else all before it was durable */
    if (status == STATUS_OK) {
        status = does_count(&scan, end, &counts);
    }
    while (status == STATUS_OK && !counts && scan.i > 0) {
        scan.i -= 1;
        status = does_count(&scan, store->flash->block_bytes, &counts);
        end = store->flash->block_bytes;
        if (status == STATUS_OK && counts && is_merge) {
            status = find_last_first(&scan, store->flash->block_bytes, &end);
        }
    }
    if (status == STATUS_OK && counts) {
        status = store_read_header(store, store_scan_block(&scan), &header);
    }
    uint32_t oldest = header.oldest_sequence;
    if (status == STATUS_OK && counts) {
        status = find_oldest(&scan, end, &oldest);
    }
    status = status == STATUS_OK && counts ? hold_log(&scan, oldest) : status;
    return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
}
