/* The log's end written again after a mount: what is rewritten, and whether it fits. */
#include "firmware/store_copy.h"

static uint32_t batch_limit(const struct store *store, const struct store_measure *measure) {
    uint32_t rest = store_payload(store) - measure->used;
    return rest < store->memory.frame_bytes ? rest : store->memory.frame_bytes;
}

static void add_piece(const struct store *store, struct store_measure *measure, uint32_t bytes,
                      bool is_copy) {
    uint32_t head = is_copy && !measure->has_copies ? STORE_SHORT_BYTES : 0;
    if (measure->size + head + bytes > batch_limit(store, measure)) {
        measure->used += store_padded(store, measure->size);
        measure->size = 0;
        head = is_copy ? STORE_SHORT_BYTES : 0;
    }
    if (head + bytes > batch_limit(store, measure)) {
        measure->blocks += 1;
        measure->used = 0;
    }
    measure->size += head + bytes;
    measure->has_copies = is_copy;
}

void store_merge_add_frame(const struct store *store, struct store_measure *measure,
                           uint32_t bytes) {
    add_piece(store, measure, bytes + STORE_MOVE_BYTES, false);
}

uint32_t store_merge_end(const struct store *store, struct store_measure *measure) {
    measure->has_copies = false;
    add_piece(store, measure, 0, true); /* the frame that ends it */
    return measure->blocks;
}

static enum status measure_copies(const struct store *store, struct store_measure *measure,
                                  const struct store_frame *frame) {
    uint64_t seq = store_frame_seq(store, store->cleaner.victim, frame);
    uint32_t at = frame->records;
    while (at < frame->end) {
        struct store_record_head head;
        enum status status = store_copy_read_head(store, frame, at, &head);
        if (status != STATUS_OK) {
            return status;
        }
        head.seq = frame->type == STORE_FRAME_COPY ? head.seq : seq;
        uint32_t where = store_copy_place_of(store, store->cleaner.offset + at + head.lead_bytes);
        if (store_copy_is_live(store, &head, where)) {
            add_piece(store, measure, store_record_cost(&head), true);
        }
        at += head.lead_bytes + head.head_bytes + head.body_bytes;
        seq += 1;
    }
    return STATUS_OK;
}

/* Blocks that what the cleaner is to keep would fill; 0: damage is in the way. Where the mount saw
 * none, the cells are between two states: it has failed. */
static uint32_t measure_kept(struct store *store, bool *has_moved) {
    struct store_cleaner *cleaner = &store->cleaner;
    struct store_measure measure = {.blocks = 1};
    *has_moved = false;
    store_copy_pass_victim(store);
    while (cleaner->offset < store_copy_end(store)) {
        struct store_frame frame;
        if (store_read_frame_head(store, cleaner->victim, cleaner->offset, store_copy_end(store),
                                  &frame) != STATUS_OK) {
            store->has_failed = store_copy_is_tail(store);
            return 0;
        }
        if (store_copy_is_kept_whole(store, &frame)) {
            store_merge_add_frame(store, &measure, frame.bytes);
            *has_moved = true;
        } else if (measure_copies(store, &measure, &frame) != STATUS_OK) {
            store->has_failed = store_copy_is_tail(store);
            return 0;
        }
        cleaner->offset = store_next_offset(store, cleaner->victim, cleaner->offset, &frame);
        store_copy_pass_victim(store);
    }
    return cleaner->is_merge ? store_merge_end(store, &measure) : measure.blocks;
}

bool store_merge_fits_block(struct store *store, uint32_t b) {
    bool has_moved = false;
    store_copy_start(store, b, false);
    uint32_t blocks = measure_kept(store, &has_moved);
    store_copy_start(store, store->flash->block_count, false);
    return blocks == 1 && !has_moved;
}

uint32_t store_merge_before(const struct store *store, uint32_t b) {
    const struct store_block *blocks = store->memory.blocks;
    uint32_t best = store->flash->block_count;
    for (uint32_t i = 0; i < store->flash->block_count; i++) {
        if (blocks[i].state == STORE_BLOCK_USED && blocks[i].sequence < blocks[b].sequence &&
            (best == store->flash->block_count || blocks[i].sequence > blocks[best].sequence)) {
            best = i;
        }
    }
    return best;
}

static void begin_at(struct store *store, uint32_t b, uint32_t offset) {
    struct store_cleaner *cleaner = &store->cleaner;
    bool is_part = offset > store_first_offset(store);
    store_copy_start(store, b, true);
    store->move_count = 0;
    cleaner->offset = offset;
    cleaner->last = store->newest;
    cleaner->base = is_part ? b : store_merge_before(store, b);
    cleaner->base_end = offset;
    if (!is_part && cleaner->base < store->flash->block_count) {
        cleaner->base_end = store->memory.blocks[cleaner->base].used_bytes;
    }
}

/* Blocks that are held back are erased where the others are too few, and last: better that risk,
 * which takes another power loss before the merge ends, than to leave the log's end as it is, or
 * than a store that takes nothing more. */
static bool has_blocks(struct store *store, uint32_t needed) {
    uint32_t erasable = store_count_erasable(store);
    needed += needed > 1; /* of several, one may fail */
    if (erasable >= needed || !store->has_held) {
        return erasable >= needed;
    }
    store->has_held = false;
    bool is_enough = store_count_erasable(store) >= needed;
    store->has_held = !is_enough && erasable > 0;
    return is_enough;
}

/* True when what is to be rewritten needs no more than some blocks, which are there. */
static bool try_merge(struct store *store, uint32_t b, uint32_t offset, uint32_t most) {
    bool has_moved = false;
    begin_at(store, b, offset);
    uint32_t needed = measure_kept(store, &has_moved);
    begin_at(store, b, offset);
    bool is_good = needed > 0 && needed <= most && has_blocks(store, needed);
    if (!is_good) {
        store_copy_start(store, store->flash->block_count, false);
    }
    return is_good;
}

/* A block that was begun before the mount is not gone on with, and the last thing that was written
 * may have cells that a cut has left between two states, and that read differently next time. So
 * it is written again first, into new blocks that are believed as a whole. When blocks are few,
 * all that the newest block holds, so that starts in a row, each cut short, use up no blocks.
 * False: there is nothing to rewrite, no room, or damage in the way. */
bool store_merge_begin(struct store *store, bool is_low) {
    bool has_tail = store->tail_block < store->flash->block_count;
    bool is_in_newest = !has_tail || store->tail_block == store->newest;
    return (is_low && is_in_newest &&
            try_merge(store, store->newest, store_first_offset(store), 1)) ||
           (has_tail && !store->has_failed &&
            try_merge(store, store->tail_block, store->tail_offset, UINT32_MAX));
}
