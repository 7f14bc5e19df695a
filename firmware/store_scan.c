/* Reading the log: frames at a place, and what their records say. */
#include "firmware/store_scan.h"

#include <string.h>

enum {
    WINDOW_BYTES = 64,
    READS = 3, /* of what may have cells between two states: one that differs is enough */
};

/* ---- frames ---- */

/* Now the sequence number is known again: what was lost before it lies below. */
void store_scan_know_seq(struct store_scan *scan, uint64_t seq) {
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

uint32_t store_scan_block(const struct store_scan *scan) {
    return scan->store->memory.order[scan->i];
}

/* Reads the frame at the scan's place into the copy buffer. MALFORMED: there is none. */
static enum status fetch_frame(const struct store_scan *scan, uint32_t end,
                               struct store_frame *frame, struct store_view *view) {
    const struct store *store = scan->store;
    const struct store_place place = {store_scan_block(scan), scan->offset, end};
    check(scan->offset < end);
    enum status status = store_read_frame(store, &place, store->memory.copy_buffer,
                                          store->memory.frame_bytes, frame);
    *view = store_view(store, place.block, place.offset);
    view->bytes = store->memory.copy_buffer;
    view->size = frame->bytes;
    uint32_t more = view->older == NULL && frame->type == STORE_FRAME_GROUP ? STORE_MOVE_BYTES : 0;
    bool is_too_large = status == STATUS_OK && frame->bytes + more > store->memory.frame_bytes;
    return status == STATUS_TOO_LARGE || is_too_large ? STATUS_FOREIGN : status;
}

/* Where a block's frames end: the next header knows, but not of groups that it belongs to itself.
 */
static enum status end_of_block(const struct store_scan *scan, uint32_t *end, bool *is_known) {
    const struct store *store = scan->store;
    struct store_header next;
    *end = store->flash->block_bytes;
    *is_known = false;
    if (scan->i + 1 >= scan->count) {
        return STATUS_OK;
    }
    enum status status = store_read_header(store, store->memory.order[scan->i + 1], &next);
    if (status == STATUS_OK &&
        next.previous_sequence == store->memory.blocks[store_scan_block(scan)].sequence) {
        *is_known = true;
        *end = next.previous_end;
        status = *end <= store->flash->block_bytes && *end >= store_first_offset(store)
                     ? STATUS_OK
                     : STATUS_CORRUPT;
    }
    return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
}

static void pass_align(struct store_scan *scan) {
    uint32_t align = store_align_of(scan->store, store_scan_block(scan));
    scan->offset = (scan->offset / align + 1) * align;
}

/* Moves the scan on to where something other than erased cells begins: most of the places where no
 * frame begins are passed by at once. */
static enum status pass_erased(struct store_scan *scan, uint32_t end) {
    const struct store *store = scan->store;
    uint32_t step = store_align_of(store, store_scan_block(scan));
    uint8_t window[WINDOW_BYTES];
    while (scan->offset < end) {
        uint32_t where = store_scan_block(scan) * store->flash->block_bytes + scan->offset;
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
enum status store_scan_find(struct store_scan *scan, uint32_t end, struct store_frame *frame) {
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

void store_scan_pass(struct store_scan *scan, const struct store_frame *frame) {
    scan->offset = store_next_offset(scan->store, store_scan_block(scan), scan->offset, frame);
}

/* Whether something behind the scan's place was programmed after a sync that came later than what
 * stands there: then that was durable, and damage to it is rot. */
static enum status is_proven(const struct store_scan *at, bool *is_proven) {
    struct store_scan scan = *at;
    *is_proven = false;
    pass_align(&scan);
    while (scan.i < scan.count) {
        struct store_frame frame;
        uint32_t end = 0;
        bool is_known = false;
        enum status status = end_of_block(&scan, &end, &is_known);
        while (status == STATUS_OK) {
            status = store_scan_find(&scan, end, &frame);
            if (status != STATUS_OK) {
                break;
            }
            if (frame.is_first) {
                *is_proven = true;
                return STATUS_OK;
            }
            store_scan_pass(&scan, &frame);
        }
        if (status != STATUS_NOT_FOUND) {
            return status;
        }
        scan.i += 1;
        scan.offset = store_first_offset(scan.store);
    }
    return STATUS_OK;
}

/* ---- records ---- */

/* Enters a record into the index. A damaged one is entered too, unless an intact copy of it is
 * known: its object then reads as corrupt, and no older record is served in its place. */
static enum status index_record(struct store_scan *scan, const struct store_walk *walk,
                                uint64_t seq) {
    struct store *store = scan->store;
    if (!store_has_slot(store, walk->head.key)) {
        return STATUS_FOREIGN;
    }
    struct store_slot *slot = store_slot_of(store, walk->head.key);
    if (seq > slot->seq || (seq == slot->seq && walk->is_intact)) {
        uint32_t where =
            store_scan_block(scan) * store->flash->block_bytes + walk->view.offset + walk->where;
        store_place_slot(store, slot, where, store_record_cost(&walk->head));
        slot->seq = seq;
    }
    return STATUS_OK;
}

/* Enters the records of a frame of a group that begins with `seq`, or of copies. */
static enum status index_records(struct store_scan *scan, const struct store_view *view,
                                 const struct store_frame *frame, uint64_t *seq) {
    struct store_walk walk;
    enum status status = STATUS_OK;
    store_walk_init(&walk, view, frame);
    while (status == STATUS_OK && store_walk_next(&walk)) {
        status = index_record(scan, &walk, frame->type == STORE_FRAME_COPY ? walk.head.seq : *seq);
        *seq += 1;
    }
    scan->has_lost = scan->has_lost || walk.is_broken;
    return status;
}

/* Records `seq` to below `end` of a group stand in that frame, also of one that never ended: the
 * block must know, to tell the numbers of its frames. */
static void note_frame(struct store_scan *scan, const struct store_frame *frame, uint64_t seq,
                       uint64_t end) {
    if (frame->type != STORE_FRAME_COPY && end > seq) {
        store_note_group(scan->store, store_scan_block(scan), seq, end - 1, frame->bytes);
    }
}

/* The first frames of a group that has now been read to its end, once more. */
static enum status index_open_frames(struct store_scan *scan) {
    struct store *store = scan->store;
    struct store_scan again = *scan;
    uint64_t seq = scan->open_seq;
    enum status status = STATUS_OK;
    again.i = scan->open_i;
    again.offset = scan->open_offset;
    while (status == STATUS_OK && (again.i < scan->i || again.offset < scan->offset)) {
        struct store_frame frame;
        struct store_view view;
        uint32_t end = store->memory.blocks[store_scan_block(&again)].used_bytes;
        if (again.i < scan->i && again.offset >= end) {
            again.i += 1;
            again.offset = store_first_offset(store);
            continue;
        }
        end = again.i == scan->i ? scan->offset : end;
        status = fetch_frame(&again, end, &frame, &view);
        if (status == STATUS_OK) {
            if (frame.type == STORE_FRAME_GROUP) { /* what was moved between is known already */
                seq += (uint16_t)((uint16_t)frame.seq - (uint16_t)seq);
                status = index_records(&again, &view, &frame, &seq);
            }
            store_scan_pass(&again, &frame);
        } else if (status == STATUS_MALFORMED) { /* as the first pass went over it */
            pass_align(&again);
            status = store_scan_find(&again, end, &frame);
            status = status == STATUS_NOT_FOUND ? STATUS_OK : status;
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
static enum status enter_group(struct store_scan *scan, const struct store_view *view,
                               const struct store_frame *frame) {
    struct store *store = scan->store;
    store_scan_know_seq(scan, scan->next_seq +
                                  (uint16_t)((uint16_t)frame->seq - (uint16_t)scan->next_seq));
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
    uint64_t seq = scan->next_seq;
    if (!frame->is_last) {
        scan->next_seq += count_records(view, frame);
        note_frame(scan, frame, seq, scan->next_seq);
        return STATUS_OK;
    }
    enum status status = index_records(scan, view, frame, &scan->next_seq);
    note_frame(scan, frame, seq, scan->next_seq);
    memcpy(store->head_chain, frame->chain, STORE_CHAIN_BYTES);
    store->committed_seq = scan->next_seq - 1;
    if (status == STATUS_OK && !is_whole) {
        status = index_open_frames(scan); /* reads over the copy buffer */
    }
    scan->is_open = false;
    return status;
}

static enum status enter_frame(struct store_scan *scan, const struct store_view *view,
                               const struct store_frame *frame) {
    uint64_t seq = frame->seq;
    if (frame->type == STORE_FRAME_GROUP) {
        return enter_group(scan, view, frame);
    }
    if (frame->is_first && scan->is_open && view->older == NULL) { /* rot has taken a group's end */
        scan->has_lost = true;
        scan->is_open = false;
    }
    if (frame->type == STORE_FRAME_MOVED && !frame->is_sound) {
        scan->has_lost = true; /* nobody can tell whose records these are */
        return STATUS_OK;
    }
    enum status status = index_records(scan, view, frame, &seq);
    note_frame(scan, frame, frame->seq, seq);
    return status;
}

/* Takes what is at the scan's place, which then moves on. MALFORMED: the log ends here. */
static enum status take_frame(struct store_scan *scan, uint32_t end) {
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
        status = store_scan_find(scan, end, &frame);
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    }
    if (status == STATUS_OK && proven) {
        status = fetch_frame(scan, end, &frame, &view);
    }
    if (status != STATUS_OK) {
        return status;
    }
    scan->has_counted = scan->has_counted || frame.type == STORE_FRAME_GROUP ||
                        (frame.type == STORE_FRAME_COPY && frame.is_last);
    if (frame.is_first) {
        scan->tail_i = scan->i;
        scan->tail_offset = scan->offset;
        scan->has_tail = true;
    }
    status = enter_frame(scan, &view, &frame);
    store_scan_pass(scan, &frame);
    return status;
}

/* Reads one block of the log. MALFORMED: the log ends in it. */
static enum status scan_block(struct store_scan *scan) {
    struct store *store = scan->store;
    struct store_block *block = &store->memory.blocks[store_scan_block(scan)];
    struct store_header header;
    uint32_t end = 0;
    bool is_known = false;
    enum status status = store_read_header(store, store_scan_block(scan), &header);
    if (status == STATUS_OK) {
        status = end_of_block(scan, &end, &is_known);
    }
    if (status != STATUS_OK) {
        return status == STATUS_MALFORMED ? STATUS_CORRUPT : status;
    }
    bool continues = scan->i > scan->first && header.next_seq == scan->next_seq;
    store->stats.rotten_frames +=
        continues && memcmp(store->head_chain, header.chain, STORE_CHAIN_BYTES) != 0;
    if (scan->i + 1 == scan->count && end > scan->newest_end) {
        end = scan->newest_end;
    }
    scan->offset = store_first_offset(store);
    scan->has_counted = !header.is_merge;
    if (header.is_merge) { /* it holds what was between, and the end of a group begun before */
        status = scan->is_open ? index_open_frames(scan) : STATUS_OK;
        scan->is_open = false;
        scan->next_seq = header.next_seq;
    }
    store_scan_know_seq(scan, header.next_seq);
    if (!scan->is_open) {
        store->committed_seq = scan->next_seq - 1;
        memcpy(store->head_chain, header.chain, STORE_CHAIN_BYTES);
    }
    while (status == STATUS_OK && scan->offset < end) {
        block->used_bytes = scan->offset;
        status = take_frame(scan, end);
    }
    block->used_bytes = scan->offset;
    if (scan->i + 1 == scan->count && !scan->has_counted) {
        return STATUS_CORRUPT; /* it was whole a moment ago */
    }
    scan->has_lost = scan->has_lost || (scan->i + 1 < scan->count && !is_known);
    return status;
}

/* Reads the log to its end. OK: *i is the block of `order` that it ends in. */
enum status store_scan_read(struct store_scan *scan, uint32_t *i) {
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
        scan->has_tail = false; /* it began behind a sync: what is left was durable */
    }
    return STATUS_OK;
}

/* What the log ends with must read as whole more than once. */
enum status store_scan_is_tail_steady(const struct store_scan *from, bool *is_steady) {
    struct store_scan scan = *from;
    enum status status = STATUS_OK;
    *is_steady = true;
    for (uint32_t i = 0; i < READS && status == STATUS_OK && *is_steady; i++) {
        scan.i = from->tail_i;
        scan.offset = from->tail_offset;
        while (scan.i < from->count && status == STATUS_OK && *is_steady) {
            struct store_frame frame;
            struct store_view view;
            uint32_t end = from->store->memory.blocks[store_scan_block(&scan)].used_bytes;
            if (scan.offset >= end) {
                scan.i += 1;
                scan.offset = store_first_offset(from->store);
                continue;
            }
            status = fetch_frame(&scan, end, &frame, &view);
            *is_steady = status == STATUS_OK && store_is_frame_intact(&view, &frame);
            if (*is_steady) {
                store_scan_pass(&scan, &frame);
            }
            status = status == STATUS_MALFORMED ? STATUS_OK : status;
        }
    }
    return status;
}
