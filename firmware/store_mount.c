#include "firmware/store_frame.h"

#include <string.h>

enum { WINDOW_BYTES = 64 };

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
    return store_open_block(store);
}

/* One pass over the log: blocks in the order of their sequence numbers. */
struct scan {
    struct store *store;
    uint32_t first; /* of `order` that is in use */
    uint32_t count; /* of `order` */
    uint32_t i;     /* of `order`: the block that is read */
    uint32_t offset;
    uint64_t next_seq; /* that the next frame of a group must begin with */
    bool has_lost;     /* records that cannot be told, since the last known sequence number */
    bool has_begun;    /* a group: before, frames may go on one whose begin was cleaned away */
    /* Frames of a group whose last one was not read yet: */
    bool is_open;
    uint32_t open_i;
    uint32_t open_offset;
    uint64_t open_seq;
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
    if (header->format != STORE_FORMAT &&
        (store->memory.older == NULL || store->memory.older->format != header->format)) {
        return STATUS_FOREIGN;
    }
    memcpy(store->id, header->id, STORE_ID_BYTES);
    store->memory.blocks[b] = (struct store_block){
        .sequence = header->sequence,
        .salt = store_header_salt(header),
        .erase_count = header->erase_count,
        .used_bytes = store_first_offset(store),
        .format = header->format,
    };
    if (header->sequence > store->block_sequence) {
        store->block_sequence = header->sequence;
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
        } else if (status == STATUS_MALFORMED) {
            status = look_for_remains(store, b);
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

static uint32_t block_of(const struct scan *scan) {
    return scan->store->memory.order[scan->i];
}

/* Reads the frame at the scan's place into the copy buffer. MALFORMED: there is none. */
static enum status fetch_frame(const struct scan *scan, uint32_t end, struct store_frame *frame,
                               struct store_view *view) {
    const struct store *store = scan->store;
    const struct store_place place = {block_of(scan), scan->offset, end};
    if (end <= scan->offset) {
        return STATUS_MALFORMED;
    }
    enum status status = store_read_frame(store, &place, store->memory.copy_buffer,
                                          store->memory.frame_bytes, frame);
    *view = store_view(store, place.block, place.offset);
    view->bytes = store->memory.copy_buffer;
    view->size = frame->bytes;
    return status == STATUS_TOO_LARGE ? STATUS_FOREIGN : status;
}

/* Where a block's frames end: the next header knows, but not of groups that it belongs to itself.
 */
static enum status end_of_block(const struct scan *scan, uint32_t *end, bool *is_known) {
    const struct store *store = scan->store;
    struct store_header next;
    *end = store->flash->block_bytes;
    *is_known = false;
    if (scan->i + 1 >= scan->count) {
        return STATUS_OK;
    }
    enum status status = store_read_header(store, store->memory.order[scan->i + 1], &next);
    if (status == STATUS_OK &&
        next.previous_sequence == store->memory.blocks[block_of(scan)].sequence) {
        *is_known = true;
        *end = next.previous_end;
        status = *end <= store->flash->block_bytes && *end >= store_first_offset(store)
                     ? STATUS_OK
                     : STATUS_CORRUPT;
    }
    return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
}

static void pass_align(struct scan *scan) {
    uint32_t align = store_align_of(scan->store, block_of(scan));
    scan->offset = (scan->offset / align + 1) * align;
}

/* Moves the scan on to where something other than erased cells begins: most of the places where no
 * frame begins are passed by at once. */
static enum status pass_erased(struct scan *scan, uint32_t end) {
    const struct store *store = scan->store;
    uint32_t step = store_align_of(store, block_of(scan));
    uint8_t window[WINDOW_BYTES];
    while (scan->offset < end) {
        uint32_t where = block_of(scan) * store->flash->block_bytes + scan->offset;
        uint32_t size =
            end - scan->offset < sizeof window ? end - scan->offset : (uint32_t)sizeof window;
        enum status status = hal_flash_read(store->flash, where, window, size);
        if (status != STATUS_OK) {
            return status;
        }
        for (uint32_t at = 0; at + 2 < size; at += step) {
            if (window[at + 2] != 0xff) { /* it holds the type of a frame, of any format */
                scan->offset += at;
                return STATUS_OK;
            }
        }
        scan->offset += size > 2 ? (size - 2 + step - 1) / step * step : size;
    }
    scan->offset = end;
    return STATUS_OK;
}

/* Moves the scan on to where an intact frame begins. NOT_FOUND: to the block's end. */
static enum status find_frame(struct scan *scan, uint32_t end, struct store_frame *frame) {
    enum status status = pass_erased(scan, end);
    while (status == STATUS_OK && scan->offset < end) {
        struct store_view view;
        status = fetch_frame(scan, end, frame, &view);
        if (status == STATUS_OK && store_is_frame_intact(&view, frame)) {
            return STATUS_OK;
        }
        if (status != STATUS_OK && status != STATUS_MALFORMED && status != STATUS_FOREIGN) {
            return status;
        }
        pass_align(scan);
        status = pass_erased(scan, end);
    }
    scan->offset = end;
    return status == STATUS_OK ? STATUS_NOT_FOUND : status;
}

static void pass_frame(struct scan *scan, const struct store_frame *frame) {
    scan->offset = store_next_offset(scan->store, block_of(scan), scan->offset, frame);
}

/* Whether something behind the scan's place was programmed after a sync that came later than what
 * stands there: then that was durable, and damage to it is rot. */
static enum status is_proven(const struct scan *at, bool *is_proven) {
    struct scan scan = *at;
    *is_proven = false;
    pass_align(&scan);
    while (scan.i < scan.count) {
        struct store_frame frame;
        uint32_t end = 0;
        bool is_known = false;
        enum status status = end_of_block(&scan, &end, &is_known);
        while (status == STATUS_OK) {
            status = find_frame(&scan, end, &frame);
            if (status != STATUS_OK) {
                break;
            }
            if (frame.is_first) {
                *is_proven = true;
                return STATUS_OK;
            }
            pass_frame(&scan, &frame);
        }
        if (status != STATUS_NOT_FOUND) {
            return status;
        }
        scan.i += 1;
        scan.offset = store_first_offset(scan.store);
    }
    return STATUS_OK;
}

/* ---- which blocks are in use ---- */

/* Whether the newest block counts: a power loss may have left it without a frame, or with only a
 * part of what it was to take over from the one before. Then it is as good as free, so that a hub
 * that loses power again and again does not run out of blocks. It has taken over all when every
 * frame up to the one that says so is intact, or something was written after a later sync. */
static enum status does_count(struct scan *scan, bool *counts) {
    struct store *store = scan->store;
    struct store_header header;
    enum status status = store_read_header(store, block_of(scan), &header);
    bool is_whole = true;
    bool has_end = !header.is_merge;
    scan->offset = store_first_offset(store);
    *counts = false;
    while (status == STATUS_OK && !*counts) {
        struct store_frame frame;
        uint32_t expected = scan->offset;
        status = find_frame(scan, store->flash->block_bytes, &frame);
        if (status != STATUS_OK) {
            break;
        }
        is_whole = is_whole && scan->offset == expected;
        bool has_sync = frame.type == STORE_FRAME_GROUP || (has_end && frame.is_first);
        has_end = has_end || (frame.type == STORE_FRAME_COPY && frame.is_last);
        *counts = has_sync || !header.is_merge || (has_end && is_whole);
        pass_frame(scan, &frame);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status drop_unfinished(struct scan *scan) {
    bool counts = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !counts && scan->count > 1) {
        scan->i = scan->count - 1;
        status = does_count(scan, &counts);
        scan->count -= status == STATUS_OK && !counts;
    }
    return status;
}

/* Every frame of copies in the newest block says which block was the oldest then. */
static enum status find_oldest(struct scan *scan, uint32_t *oldest) {
    struct store *store = scan->store;
    enum status status = STATUS_OK;
    scan->i = scan->count - 1;
    scan->offset = store_first_offset(store);
    while (status == STATUS_OK) {
        struct store_frame frame;
        status = find_frame(scan, store->flash->block_bytes, &frame);
        if (status != STATUS_OK) {
            break;
        }
        uint16_t more = (uint16_t)((uint16_t)frame.seq - (uint16_t)*oldest);
        if (frame.type == STORE_FRAME_COPY && more < 0x8000 &&
            store_view(store, block_of(scan), 0).older == NULL) {
            *oldest += more;
        }
        pass_frame(scan, &frame);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Keeps in `order`, from `first` on, what is in use: each header names the block before it, down
 * to the oldest one that the newest header knows. Others are left over from earlier uses. */
static enum status choose_blocks(struct scan *scan) {
    struct store *store = scan->store;
    uint32_t *order = store->memory.order;
    struct store_header header;
    enum status status = store_read_header(store, order[scan->count - 1], &header);
    uint32_t oldest = header.oldest_sequence;
    uint32_t wanted = header.sequence;
    if (status == STATUS_OK) {
        status = find_oldest(scan, &oldest);
    }
    store->epoch = header.epoch;
    store->acked_seq = header.acked_seq;
    store->acked_written = header.acked_seq;
    store->suspect_seq = header.suspect_seq;
    memcpy(store->acked_chain, header.acked_chain, STORE_CHAIN_BYTES);
    scan->first = scan->count;
    for (uint32_t i = scan->count; i > 0 && status == STATUS_OK && wanted >= oldest; i--) {
        struct store_block *block = &store->memory.blocks[order[i - 1]];
        if (block->sequence <= wanted && block->sequence >= oldest) {
            store->stats.lost_blocks += block->sequence < wanted;
            status = store_read_header(store, order[i - 1], &header);
            wanted = header.previous_sequence;
            block->state = STORE_BLOCK_USED;
            store->free_count -= 1;
            scan->first -= 1;
            order[scan->first] = order[i - 1];
        }
    }
    store->oldest_known = oldest;
    store->oldest_written = oldest;
    scan->has_lost = wanted >= oldest && wanted > 0;
    store->stats.lost_blocks += scan->has_lost;
    store->newest = order[scan->count - 1];
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
        uint32_t where =
            block_of(scan) * store->flash->block_bytes + walk->view.offset + walk->where;
        store_place_slot(store, slot, where, store_record_cost(&walk->head));
        slot->seq = seq;
    }
    return STATUS_OK;
}

/* Enters the records of a frame of a group that begins with `seq`, or of copies. */
static enum status index_frame(struct scan *scan, const struct store_view *view,
                               const struct store_frame *frame, uint64_t *seq) {
    struct store_walk walk;
    enum status status = STATUS_OK;
    uint64_t first = *seq;
    store_walk_init(&walk, view, frame);
    while (status == STATUS_OK && store_walk_next(&walk)) {
        status = index_record(scan, &walk, frame->type == STORE_FRAME_COPY ? walk.head.seq : *seq);
        *seq += 1;
    }
    scan->has_lost = scan->has_lost || walk.is_broken;
    if (frame->type != STORE_FRAME_COPY && *seq > first) {
        store_note_group(scan->store, block_of(scan), first, *seq - 1, frame->bytes);
    }
    return status;
}

/* The first frames of a group that has now been read to its end, once more. */
static enum status index_open_frames(struct scan *scan) {
    struct store *store = scan->store;
    struct scan again = *scan;
    uint64_t seq = scan->open_seq;
    enum status status = STATUS_OK;
    again.i = scan->open_i;
    again.offset = scan->open_offset;
    while (status == STATUS_OK && (again.i < scan->i || again.offset < scan->offset)) {
        struct store_frame frame;
        struct store_view view;
        uint32_t end = store->memory.blocks[block_of(&again)].used_bytes;
        if (again.i < scan->i && again.offset >= end) {
            again.i += 1;
            again.offset = store_first_offset(store);
            continue;
        }
        status = fetch_frame(&again, again.i == scan->i ? scan->offset : end, &frame, &view);
        if (status == STATUS_OK) {
            status = index_frame(&again, &view, &frame, &seq);
            pass_frame(&again, &frame);
        } else if (status == STATUS_MALFORMED) {
            pass_align(&again);
            status = STATUS_OK;
        }
    }
    return status;
}

static uint64_t count_records(const struct store_view *view, const struct store_frame *frame) {
    struct store_walk walk;
    uint64_t count = 0;
    store_walk_init(&walk, view, frame);
    while (store_walk_next(&walk)) {
        count += 1;
    }
    return count;
}

/* A frame of a group where it was committed: its records count once the last frame is there. */
static enum status enter_group(struct scan *scan, const struct store_view *view,
                               const struct store_frame *frame) {
    struct store *store = scan->store;
    know_seq(scan, scan->next_seq + (uint16_t)((uint16_t)frame->seq - (uint16_t)scan->next_seq));
    if (!scan->is_open || frame->is_first) {
        bool goes_on = !frame->is_first && scan->has_begun;
        scan->has_lost = scan->has_lost || scan->is_open || goes_on;
        scan->is_open = true;
        scan->open_i = scan->i;
        scan->open_offset = scan->offset;
        scan->open_seq = scan->next_seq;
    }
    scan->has_begun = scan->has_begun || frame->is_first || frame->is_last;
    bool is_whole = frame->is_last && scan->open_i == scan->i && scan->open_offset == scan->offset;
    if (!frame->is_last) {
        scan->next_seq += count_records(view, frame);
        return STATUS_OK;
    }
    uint64_t seq = scan->next_seq;
    enum status status = index_frame(scan, view, frame, &seq);
    scan->next_seq = seq;
    memcpy(store->head_chain, frame->chain, STORE_CHAIN_BYTES);
    store->committed_seq = seq - 1;
    if (status == STATUS_OK && !is_whole) {
        status = index_open_frames(scan); /* reads over the copy buffer */
    }
    scan->is_open = false;
    return status;
}

static enum status enter_frame(struct scan *scan, const struct store_view *view,
                               const struct store_frame *frame) {
    uint64_t seq = frame->seq;
    if (frame->type == STORE_FRAME_GROUP) {
        return enter_group(scan, view, frame);
    }
    if (frame->type == STORE_FRAME_MOVED && !frame->is_sound) {
        scan->has_lost = true; /* nobody can tell whose records these are */
        return STATUS_OK;
    }
    return index_frame(scan, view, frame, &seq);
}

/* Takes what is at the scan's place, which then moves on. MALFORMED: the log ends here. */
static enum status take_frame(struct scan *scan, uint32_t end) {
    struct store *store = scan->store;
    struct store_frame frame;
    struct store_view view;
    bool proven = false;
    enum status status = fetch_frame(scan, end, &frame, &view);
    bool has_head = status == STATUS_OK;
    if (status != STATUS_OK && status != STATUS_MALFORMED) {
        return status;
    }
    if (!has_head || !store_is_frame_intact(&view, &frame)) {
        status = is_proven(scan, &proven);
        if (status == STATUS_OK && !proven) {
            store->stats.torn_frames += has_head;
            return STATUS_MALFORMED;
        }
        store->stats.rotten_frames += 1;
        scan->has_lost = scan->has_lost || !has_head;
    }
    if (status == STATUS_OK && !has_head) {
        pass_align(scan);
        status = find_frame(scan, end, &frame);
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    if (status == STATUS_OK && proven) {
        status = fetch_frame(scan, end, &frame, &view);
    }
    if (status == STATUS_OK) {
        status = enter_frame(scan, &view, &frame);
        pass_frame(scan, &frame);
    }
    return status;
}

/* Reads one block of the log. MALFORMED: the log ends in it. */
static enum status scan_block(struct scan *scan) {
    struct store *store = scan->store;
    struct store_block *block = &store->memory.blocks[block_of(scan)];
    struct store_header header;
    uint32_t end = 0;
    bool is_known = false;
    enum status status = store_read_header(store, block_of(scan), &header);
    if (status == STATUS_OK) {
        status = end_of_block(scan, &end, &is_known);
    }
    if (status != STATUS_OK) {
        return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
    }
    bool continues = scan->i > scan->first && header.next_seq == scan->next_seq;
    store->stats.rotten_frames +=
        continues && memcmp(store->head_chain, header.chain, STORE_CHAIN_BYTES) != 0;
    scan->offset = store_first_offset(store);
    if (header.is_merge) { /* it holds what was between, and the end of a group begun before */
        status = scan->is_open ? index_open_frames(scan) : STATUS_OK;
        scan->is_open = false;
        scan->next_seq = header.next_seq;
    }
    know_seq(scan, header.next_seq);
    if (!scan->is_open) {
        store->committed_seq = scan->next_seq - 1;
        memcpy(store->head_chain, header.chain, STORE_CHAIN_BYTES);
    }
    while (status == STATUS_OK && scan->offset < end) {
        block->used_bytes = scan->offset;
        status = take_frame(scan, end);
    }
    block->used_bytes = scan->offset;
    scan->has_lost = scan->has_lost || (scan->i + 1 < scan->count && !is_known);
    return status;
}

/* Reads the log to its end. OK: *i is the block of `order` that it ends in. */
static enum status scan_blocks(struct scan *scan, uint32_t *i) {
    enum status status = STATUS_OK;
    for (scan->i = scan->first; scan->i < scan->count && status == STATUS_OK; scan->i++) {
        *i = scan->i;
        status = scan_block(scan);
    }
    if (status != STATUS_OK && status != STATUS_MALFORMED) {
        return status;
    }
    if (scan->is_open) { /* a group without its end is dropped as a whole */
        struct store *store = scan->store;
        *i = scan->open_i;
        store->stats.torn_frames += status == STATUS_OK;
        store->memory.blocks[store->memory.order[*i]].used_bytes = scan->open_offset;
        scan->next_seq = scan->open_seq;
    }
    return STATUS_OK;
}

/* Begins the mount again, without the blocks behind one of them, or without that one too. */
static enum status restart(struct store *store, uint32_t block, bool with_it, uint32_t *count) {
    forget_everything(store);
    enum status status = read_headers(store, count);
    if (status != STATUS_OK) {
        return status;
    }
    sort_order(store, *count);
    while (*count > 1 && store->memory.order[*count - 1] != block) {
        *count -= 1;
    }
    *count -= !with_it && *count > 1;
    return STATUS_OK;
}

/* Finds the log's end, and reads all before it. When a torn group began blocks of its own, these
 * do not count, and what their headers say of older ones neither: once more without them. */
static enum status read_log(struct scan *scan, uint32_t count) {
    struct store *store = scan->store;
    uint32_t torn = 0;
    for (;;) {
        uint32_t last = 0;
        *scan = (struct scan){.store = store, .count = count};
        enum status status = drop_unfinished(scan);
        if (status == STATUS_OK) {
            status = choose_blocks(scan);
        }
        if (status == STATUS_OK) {
            status = scan_blocks(scan, &last);
        }
        bool has_frames =
            last > scan->first ||
            store->memory.blocks[store->memory.order[last]].used_bytes > store_first_offset(store);
        if (status != STATUS_OK || (last + 1 == scan->count && has_frames) || scan->count == 1) {
            store->stats.torn_frames += torn;
            return status;
        }
        torn += store->stats.torn_frames;
        check(store->memory.order[last] < store->flash->block_count);
        status = restart(store, store->memory.order[last], has_frames, &count);
        if (status != STATUS_OK) {
            return status;
        }
    }
}

enum status store_mount(struct store *store) {
    uint32_t count = 0;
    struct scan scan = {.store = store};
    forget_everything(store);
    enum status status = read_headers(store, &count);
    if (status == STATUS_OK) {
        sort_order(store, count);
        status = read_log(&scan, count);
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
    store->placed_seq = store->head_seq;
    store->durable_seq = store->head_seq;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_block *block = &store->memory.blocks[b];
        block->sequence = block->state == STORE_BLOCK_USED ? block->sequence : 0;
    }
    store->is_mounted = true;
    store->mount_sequence = store->block_sequence + 1;
    store->cleaner.lap_end = store->block_sequence;
    store->cleaner.may_repeat = true;
    return STATUS_OK;
}
