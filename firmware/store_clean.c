#include "firmware/store_frame.h"

#include <string.h>

/* Frames that are made in the copy buffer for the write position, and programmed at once. */
struct batch {
    uint32_t size;
    uint32_t limit;
    uint32_t copies;          /* where a frame of copies was begun; NONE: none is */
    struct store_frame frame; /* the last one that was ended, at `ended` */
    uint32_t ended;           /* NONE: none was */
};

#define NONE UINT32_MAX

/* ---- which block ---- */

/* What of a block must be kept, about: all groups while one in it is not acknowledged. */
static uint32_t kept_bytes(const struct store *store, uint32_t b) {
    const struct store_block *block = &store->memory.blocks[b];
    bool is_pinned = block->last_seq > store->acked_seq;
    uint32_t all = block->used_bytes - store_first_offset(store);
    uint32_t kept = block->live_bytes + (is_pinned ? block->group_bytes : 0);
    return kept < all ? kept : all;
}

/* Turning over is useless when nearly everything is kept. */
static bool has_garbage(const struct store *store) {
    uint64_t kept = 0;
    uint64_t all = 0;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        if (store->memory.blocks[b].state == STORE_BLOCK_USED) {
            kept += kept_bytes(store, b);
            all += store_payload(store);
        }
    }
    return kept < all / 8 * 7;
}

/* block_count: none. */
static uint32_t oldest_block(const struct store *store) {
    uint32_t oldest = store->flash->block_count;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_USED &&
            (oldest == store->flash->block_count ||
             block->sequence < store->memory.blocks[oldest].sequence)) {
            oldest = b;
        }
    }
    return oldest == store->newest ? store->flash->block_count : oldest;
}

/* What a block is emptied into must be there before it is begun, and one block beside it: one that
 * was freed can be erased only behind a newer header, and behind that, all of them. */
static bool has_room_for(const struct store *store, uint32_t victim) {
    uint32_t kept = kept_bytes(store, victim);
    uint64_t room = store_rest(store);
    if (store->free_count > 1 && store_count_erasable(store) > 0) {
        room += (uint64_t)(store->free_count - 1) * store_payload(store);
    }
    return kept == 0 || kept + kept / 16 <= room;
}

/* ---- making frames ---- */

static uint32_t salt_of(const struct store *store) {
    return store_view(store, store->block, 0).salt;
}

/* Writes the head of a frame whose records are there. The one before it learns that it is followed:
 * one program holds both, so they need no padding between. */
static void end_frame(struct store *store, struct batch *batch, uint32_t start,
                      struct store_frame *frame) {
    uint8_t *buffer = store->memory.copy_buffer;
    if (batch->ended != NONE) {
        batch->frame.is_followed = true;
        store_put_frame(buffer + batch->ended, &batch->frame, salt_of(store),
                        store->offset + batch->ended);
    }
    frame->is_first = start == 0;
    frame->end = batch->size - start;
    store_put_frame(buffer + start, frame, salt_of(store), store->offset + start);
    batch->frame = *frame;
    batch->ended = start;
}

static void end_copies(struct store *store, struct batch *batch, bool is_last) {
    if (batch->copies == NONE) {
        return;
    }
    struct store_frame frame = {.type = STORE_FRAME_COPY, .is_last = is_last};
    frame.records = store_frame_head_bytes(&frame);
    frame.seq = store_oldest_sequence(store);
    store->oldest_written = (uint32_t)frame.seq;
    end_frame(store, batch, batch->copies, &frame);
    batch->copies = NONE;
}

static bool begin_copies(struct batch *batch, uint32_t bytes) {
    uint32_t head = STORE_SHORT_BYTES;
    uint32_t more = batch->copies == NONE ? head : 0;
    if (batch->limit - batch->size < more + bytes) {
        return false;
    }
    if (batch->copies == NONE) {
        batch->copies = batch->size;
        batch->size += head;
    }
    return true;
}

/* Adds the record at a place to a batch, its body read straight to where it goes. In a copy, in
 * place of one that rot has taken, goes a mark, so that no older record is found for its object
 * later. CORRUPT: so it is, and nothing was added. */
static enum status add_record(struct store *store, struct batch *batch, uint32_t where,
                              const struct store_record_head *source) {
    uint8_t *target = store->memory.copy_buffer + batch->size;
    struct store_record_head head = *source;
    struct store_record record;
    uint32_t head_bytes = store_record_head_bytes(&head);
    if (head.body_bytes > 0) {
        enum status status =
            store_read_at(store, where, target + head_bytes, head.body_bytes, &record);
        if (status != STATUS_OK) {
            return status == STATUS_TOO_LARGE ? STATUS_CORRUPT : status;
        }
    }
    store_put_record(target, &head, salt_of(store), store->offset + batch->size);
    batch->size += head_bytes + head.body_bytes;
    return STATUS_OK;
}

/* FULL: it did not fit. */
static enum status add_copy(struct store *store, struct batch *batch, uint32_t where,
                            const struct store_record_head *head) {
    if (!begin_copies(batch, store_record_cost(head))) {
        return STATUS_FULL;
    }
    enum status status = add_record(store, batch, where, head);
    if (status == STATUS_CORRUPT) {
        const struct store_record_head mark = {.key = head->key, .seq = head->seq};
        status = add_record(store, batch, where, &mark);
    }
    return status;
}

/* ---- walking the block that is emptied ---- */

static uint32_t place_of(const struct store *store, uint32_t offset) {
    return store->cleaner.victim * store->flash->block_bytes + offset;
}

static uint32_t end_of(const struct store *store) {
    return store->memory.blocks[store->cleaner.victim].used_bytes;
}

static enum status read_record_head(const struct store *store, const struct store_frame *frame,
                                    uint32_t at, struct store_record_head *head) {
    uint8_t bytes[STORE_HEAD_BYTES];
    struct store_view view = store_view(store, store->cleaner.victim, store->cleaner.offset + at);
    view.bytes = bytes;
    view.size = frame->end - at < sizeof bytes ? frame->end - at : (uint32_t)sizeof bytes;
    enum status status =
        hal_flash_read(store->flash, place_of(store, view.offset), bytes, view.size);
    bool is_good = status == STATUS_OK &&
                   store_get_record(&view, frame->type == STORE_FRAME_COPY, head) &&
                   head->lead_bytes + head->head_bytes + head->body_bytes <= frame->end - at;
    return status == STATUS_OK && !is_good ? STATUS_CORRUPT : status;
}

/* Moves a frame of a group as it is. FULL: it did not fit. CORRUPT: it is damaged. */
static enum status move_frame(struct store *store, struct batch *batch) {
    const struct store_cleaner *cleaner = &store->cleaner;
    struct store_frame frame;
    const struct store_place place = {cleaner->victim, cleaner->offset, end_of(store)};
    end_copies(store, batch, false);
    uint32_t start = batch->size;
    enum status status = store_read_frame(store, &place, store->memory.copy_buffer + start,
                                          batch->limit - start, &frame);
    if (status != STATUS_OK) {
        return status == STATUS_TOO_LARGE ? STATUS_FULL : status;
    }
    bool is_old = store_view(store, cleaner->victim, 0).older != NULL;
    bool grows = !is_old && frame.type == STORE_FRAME_GROUP; /* one that was moved has grown */
    if (frame.bytes + (grows ? STORE_MOVE_BYTES : 0) > batch->limit - start) {
        return STATUS_FULL;
    }
    struct store_frame moved = frame;
    moved.type = STORE_FRAME_MOVED;
    moved.seq = cleaner->seq;
    moved.is_followed = false;
    moved.records = store_frame_head_bytes(&moved);
    batch->size = start + moved.records;
    status = frame.is_sound ? STATUS_OK : STATUS_CORRUPT;
    for (uint32_t at = frame.records; at < frame.end && status == STATUS_OK;) {
        struct store_record_head head;
        status = read_record_head(store, &frame, at, &head);
        if (status == STATUS_OK) {
            uint32_t where = place_of(store, cleaner->offset + at);
            status = add_record(store, batch, where, &head);
            at += head.head_bytes + head.body_bytes;
        }
    }
    if (status != STATUS_OK) {
        batch->size = start;
        return status;
    }
    end_frame(store, batch, start, &moved);
    return STATUS_OK;
}

/* Whether a record at a place must be kept. One that the open group replaces, or an object's that
 * was released with it, is: that is not durable yet. A power loss in the middle of cleaning leaves
 * two of a record: only the one that its slot knows. */
static bool is_live(const struct store *store, const struct store_record_head *head,
                    uint32_t where) {
    if (!store_has_slot(store, head->key)) {
        return false;
    }
    const struct store_slot *slot = store_slot(store, head->key);
    bool is_placed = slot->where != 0 && (slot->where & STORE_OPEN) == 0;
    return head->seq == store_replaced_seq(store, slot) && (!is_placed || slot->where == where);
}

/* Copies what is live in a frame, from cleaner.at on. */
static enum status copy_records(struct store *store, struct batch *batch,
                                const struct store_frame *frame) {
    struct store_cleaner *cleaner = &store->cleaner;
    while (cleaner->at < frame->end) {
        struct store_record_head head;
        enum status status = read_record_head(store, frame, cleaner->at, &head);
        if (status != STATUS_OK) {
            return status;
        }
        uint32_t where = place_of(store, cleaner->offset + cleaner->at + head.lead_bytes);
        uint64_t seq = frame->type == STORE_FRAME_COPY ? head.seq : cleaner->seq;
        uint32_t bytes = head.lead_bytes + head.head_bytes + head.body_bytes;
        head.seq = seq;
        if (is_live(store, &head, where)) {
            status = add_copy(store, batch, where, &head);
        }
        if (status != STATUS_OK) {
            return status;
        }
        cleaner->at += bytes;
        cleaner->seq += 1;
    }
    return STATUS_OK;
}

/* Finds the next frame after damage. */
static void skip_damage(struct store *store) {
    struct store_cleaner *cleaner = &store->cleaner;
    struct store_frame frame;
    struct store_record_head head;
    cleaner->at = 0;
    do {
        uint32_t align = store_align_of(store, cleaner->victim);
        cleaner->offset = (cleaner->offset / align + 1) * align;
    } while (cleaner->offset < end_of(store) &&
             (store_read_frame_head(store, cleaner->victim, cleaner->offset, end_of(store),
                                    &frame) != STATUS_OK ||
              read_record_head(store, &frame, frame.records, &head) != STATUS_OK));
}

static bool is_unknown_upstream(const struct store *store, const struct store_frame *frame) {
    return frame->type != STORE_FRAME_COPY &&
           store_frame_seq(store, store->cleaner.victim, frame) > store->cleaner.acked_seq;
}

/* A group that upstream does not have, and that was not moved before the last mount. */
static enum status must_move(struct store *store, const struct store_frame *frame, bool *must) {
    struct store_cleaner *cleaner = &store->cleaner;
    struct store_frame found;
    *must = is_unknown_upstream(store, frame);
    if (!*must || !cleaner->may_repeat || cleaner->is_merge) {
        return STATUS_OK;
    }
    enum status status =
        store_find_part(store, cleaner->seq, cleaner->victim, &cleaner->moved, &found);
    *must = status == STATUS_NOT_FOUND;
    cleaner->may_repeat = !*must;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Takes the frame at the cleaner's place, and moves on. FULL: the batch took a part of it. */
static enum status take_frame(struct store *store, struct batch *batch) {
    struct store_cleaner *cleaner = &store->cleaner;
    struct store_frame frame;
    bool must = false;
    enum status status =
        store_read_frame_head(store, cleaner->victim, cleaner->offset, end_of(store), &frame);
    if (status == STATUS_MALFORMED) {
        skip_damage(store);
        return STATUS_OK;
    }
    if (status == STATUS_OK && cleaner->at == 0) {
        cleaner->seq = store_frame_seq(store, cleaner->victim, &frame);
        status = must_move(store, &frame, &must);
        if (status == STATUS_OK && must) {
            status = move_frame(store, batch);
        }
        must = must && status != STATUS_CORRUPT; /* what is live in it is copied */
        status = status == STATUS_CORRUPT ? STATUS_OK : status;
        cleaner->at = must ? 0 : frame.records;
    }
    if (status == STATUS_OK && !must) {
        status = copy_records(store, batch, &frame);
        status = status == STATUS_CORRUPT ? STATUS_OK : status; /* the slots know of the rest */
    }
    if (status == STATUS_OK) {
        cleaner->offset = store_next_offset(store, cleaner->victim, cleaner->offset, &frame);
        cleaner->at = 0;
    }
    return status;
}

static struct store_key key_of(const struct store *store, uint32_t i) {
    uint8_t kind = 0;
    while (i >= store->slot_base[kind] + store->memory.slot_counts[kind]) {
        kind += 1;
    }
    return (struct store_key){kind, i - store->slot_base[kind]};
}

/* What damage has hidden is still known to the slots: each leaves a mark. */
static enum status copy_hidden(struct store *store, struct batch *batch) {
    struct store_cleaner *cleaner = &store->cleaner;
    enum status status = STATUS_OK;
    while (cleaner->at < store_slot_count(store) && status == STATUS_OK) {
        const struct store_slot *slot = &store->memory.slots[cleaner->at];
        if (slot->where != 0 && slot->where / store->flash->block_bytes == cleaner->victim) {
            const struct store_record_head mark = {.key = key_of(store, cleaner->at),
                                                   .seq = slot->seq};
            status = add_copy(store, batch, slot->where, &mark);
        }
        cleaner->at += status == STATUS_OK;
    }
    return status;
}

/* ---- beginning ---- */

static void begin(struct store *store, uint32_t victim, bool is_merge) {
    struct store_cleaner *cleaner = &store->cleaner;
    cleaner->victim = victim;
    cleaner->is_merge = is_merge;
    cleaner->offset = store_first_offset(store);
    cleaner->at = 0;
    cleaner->acked_seq = store->acked_written;
    cleaner->moved = (struct store_cursor){0};
}

/* How a new block would be filled, batch after batch, by what is rewritten. */
struct measure {
    uint32_t used; /* of the block, by batches that are full */
    uint32_t size; /* of the batch */
    bool has_copies;
};

static void measure_piece(const struct store *store, struct measure *measure, uint32_t bytes,
                          bool is_copy) {
    uint32_t head = is_copy && !measure->has_copies ? STORE_SHORT_BYTES : 0;
    uint32_t rest = store_payload(store) - measure->used;
    uint32_t limit = rest < store->memory.frame_bytes ? rest : store->memory.frame_bytes;
    if (measure->size + head + bytes > limit) {
        measure->used += store_padded(store, measure->size);
        measure->size = 0;
        head = is_copy ? STORE_SHORT_BYTES : 0;
    }
    measure->size += head + bytes;
    measure->has_copies = is_copy;
}

static enum status measure_copies(const struct store *store, struct measure *measure,
                                  const struct store_frame *frame) {
    uint64_t seq = store_frame_seq(store, store->cleaner.victim, frame);
    uint32_t at = frame->records;
    while (at < frame->end) {
        struct store_record_head head;
        enum status status = read_record_head(store, frame, at, &head);
        if (status != STATUS_OK) {
            return status;
        }
        head.seq = frame->type == STORE_FRAME_COPY ? head.seq : seq;
        uint32_t where = place_of(store, store->cleaner.offset + at + head.lead_bytes);
        if (is_live(store, &head, where)) {
            measure_piece(store, measure, store_record_cost(&head), true);
        }
        at += head.lead_bytes + head.head_bytes + head.body_bytes;
        seq += 1;
    }
    return STATUS_OK;
}

/* A block that was begun before the mount is not gone on with: its end may be torn, or about to
 * read differently. So that start after start, cut short, does not use all blocks up, its content
 * is rewritten into the new one when that holds it. False: it does not, or damage is in the way. */
static bool is_mergeable(struct store *store) {
    struct store_cleaner *cleaner = &store->cleaner;
    struct measure measure = {0};
    while (cleaner->offset < end_of(store) && measure.used < store_payload(store)) {
        struct store_frame frame;
        if (store_read_frame_head(store, cleaner->victim, cleaner->offset, end_of(store), &frame) !=
            STATUS_OK) {
            return false;
        }
        if (is_unknown_upstream(store, &frame)) {
            measure_piece(store, &measure, frame.bytes + STORE_MOVE_BYTES, false);
        } else if (measure_copies(store, &measure, &frame) != STATUS_OK) {
            return false;
        }
        cleaner->offset = store_next_offset(store, cleaner->victim, cleaner->offset, &frame);
    }
    measure.has_copies = false;
    measure_piece(store, &measure, 0, true); /* the frame that ends it */
    return measure.used + store_padded(store, measure.size) <= store_payload(store);
}

static bool begin_merge(struct store *store) {
    if (store_count_erasable(store) == 0) {
        return false;
    }
    begin(store, store->newest, true);
    bool is_good = is_mergeable(store);
    begin(store, is_good ? store->newest : store->flash->block_count, is_good);
    return is_good;
}

/* True: there is a block to empty. */
static bool choose(struct store *store) {
    uint32_t none = store->flash->block_count;
    if (store->cleaner.victim != none) {
        return true;
    }
    uint32_t oldest = store_is_low(store) ? oldest_block(store) : none;
    if (oldest == none) {
        return false;
    }
    if (store->is_mounted && begin_merge(store)) {
        return true;
    }
    if (store->memory.blocks[oldest].sequence > store->cleaner.lap_end ||
        !has_room_for(store, oldest) || !has_garbage(store)) {
        return false;
    }
    begin(store, oldest, false);
    return true;
}

/* ---- a step ---- */

/* Fills a batch from where the cleaner is. */
static enum status gather(struct store *store, struct batch *batch) {
    struct store_cleaner *cleaner = &store->cleaner;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && cleaner->offset < end_of(store)) {
        status = take_frame(store, batch);
    }
    bool is_walked = cleaner->offset >= end_of(store) && status == STATUS_OK;
    if (is_walked && batch->size == 0 && batch->copies == NONE &&
        store->memory.blocks[cleaner->victim].live_bytes > 0) {
        status = copy_hidden(store, batch);
    }
    if (is_walked && cleaner->is_merge && begin_copies(batch, 0)) {
        end_copies(store, batch, true); /* believed from here on */
    }
    end_copies(store, batch, false);
    return status == STATUS_FULL ? STATUS_OK : status;
}

/* Objects whose newest record was copied have it in the batch now. */
static void place_batch(struct store *store, uint32_t block, uint32_t offset, uint32_t size) {
    uint32_t block_bytes = store->flash->block_bytes;
    for (uint32_t start = 0; start < size;) {
        struct store_view view = store_view(store, block, offset + start);
        struct store_frame frame;
        struct store_walk walk;
        view.bytes = store->memory.copy_buffer + start;
        view.size = size - start;
        check(store_get_frame(&view, &frame));
        uint64_t seq = frame.seq;
        store_walk_init(&walk, &view, &frame);
        while (store_walk_next(&walk)) {
            struct store_slot *slot = store_slot_of(store, walk.head.key);
            uint64_t of_record = frame.type == STORE_FRAME_COPY ? walk.head.seq : seq;
            if (slot->seq == of_record && slot->where / block_bytes == store->cleaner.victim) {
                store_place_slot(store, slot, block * block_bytes + offset + start + walk.where,
                                 store_record_cost(&walk.head));
            }
            seq += 1;
            store->stats.records_copied += frame.type == STORE_FRAME_COPY;
        }
        if (frame.type == STORE_FRAME_MOVED) {
            store_note_group(store, block, frame.seq, seq - 1, frame.bytes);
            store->stats.frames_moved += 1;
        }
        start = store_next_offset(store, block, offset + start, &frame) - offset;
    }
}

static struct batch new_batch(const struct store *store) {
    uint32_t rest = store_rest(store);
    uint32_t limit = rest < store->memory.frame_bytes ? rest : store->memory.frame_bytes;
    return (struct batch){.limit = limit, .copies = NONE, .ended = NONE};
}

static bool is_merged(const struct batch *batch) {
    return batch->size > 0 && batch->frame.type == STORE_FRAME_COPY && batch->frame.is_last;
}

/* Makes one batch, in a new block if nothing fits the rest of this one. */
static enum status make_batch(struct store *store, struct batch *batch, bool *is_done) {
    const struct store_block *victim = &store->memory.blocks[store->cleaner.victim];
    enum status status = STATUS_OK;
    for (bool is_new = false;; is_new = true) {
        *batch = new_batch(store);
        if (status == STATUS_OK && (!store->cleaner.is_merge || batch->limit > 0)) {
            status = gather(store, batch);
        }
        *is_done = store->cleaner.is_merge
                       ? is_merged(batch)
                       : batch->size == 0 && store->cleaner.offset >= victim->used_bytes &&
                             victim->live_bytes == 0;
        if (status != STATUS_OK || *is_done || batch->size > 0) {
            return status;
        }
        check(!is_new); /* whatever is kept fits an empty block */
        status = store_open_block(store);
    }
}

static void finish(struct store *store) {
    struct store_block *block = &store->memory.blocks[store->cleaner.victim];
    block->state = STORE_BLOCK_LEAVING;
    block->is_replaced = store->cleaner.is_merge;
    store->leaving_count += 1;
    store->cleaner.victim = store->flash->block_count;
    store->cleaner.may_repeat = store->cleaner.may_repeat && store->cleaner.is_merge;
    store->cleaner.is_merge = false;
}

static enum status step(struct store *store) {
    struct batch batch;
    bool is_done = false;
    struct store_cleaner before = store->cleaner;
    enum status status = make_batch(store, &batch, &is_done);
    if (status != STATUS_OK) {
        store->cleaner = before;
        return status;
    }
    uint32_t block = store->block;
    uint32_t offset = store->offset;
    if (batch.size > 0) {
        status = store_program_frames(store, batch.size);
        if (status != STATUS_OK) {
            store->cleaner = before;
            return status;
        }
        place_batch(store, block, offset, batch.size);
    }
    if (is_done) {
        finish(store);
    }
    return batch.size > 0 ? store_start_sync(store) : STATUS_OK;
}

/* Frees the oldest block if it was emptied before the mount already, and only no header says so:
 * the next one will. Nothing is written. */
static bool free_emptied(struct store *store) {
    uint32_t oldest = oldest_block(store);
    struct batch nothing = {.copies = NONE, .ended = NONE};
    if (!store->is_mounted || !store_is_low(store) || oldest == store->flash->block_count) {
        return false;
    }
    begin(store, oldest, false);
    bool may_repeat = store->cleaner.may_repeat;
    bool is_empty = gather(store, &nothing) == STATUS_OK &&
                    store->cleaner.offset >= end_of(store) &&
                    store->memory.blocks[oldest].live_bytes == 0;
    if (is_empty) {
        finish(store);
        store_free_left_blocks(store);
    }
    store->cleaner.victim = store->flash->block_count;
    store->cleaner.may_repeat = may_repeat;
    return is_empty;
}

/* When the free blocks cannot be erased, since nothing on flash says that they are free: says it.
 */
static bool must_announce(const struct store *store) {
    return store->cleaner.victim == store->flash->block_count && store_is_low(store) &&
           store_rest(store) >= STORE_SHORT_BYTES && store->free_count > 1 &&
           store_count_erasable(store) <= 1 && store_oldest_sequence(store) > store->oldest_known;
}

static enum status announce(struct store *store) {
    struct batch batch = new_batch(store);
    check(begin_copies(&batch, 0));
    end_copies(store, &batch, false);
    enum status status = store_program_frames(store, batch.size);
    if (status == STATUS_WORN) {
        return STATUS_OK; /* the block is closed: another one will say it */
    }
    return status == STATUS_OK ? store_start_sync(store) : status;
}

enum status store_clean(struct store *store) {
    if (store->has_failed) {
        return STATUS_IO;
    }
    if (store->is_syncing) {
        return STATUS_OK;
    }
    while (free_emptied(store)) {
    }
    if (must_announce(store)) {
        return announce(store);
    }
    if (!choose(store)) {
        return STATUS_OK;
    }
    bool is_merge = store->cleaner.is_merge;
    enum status status = STATUS_WORN;
    while (status == STATUS_WORN) { /* a block that does not take the copies is left */
        status = step(store);
        /* What is half merged counts for nothing: the next start tries another block. */
        status = status == STATUS_WORN && is_merge ? STATUS_IO : status;
    }
    if (status == STATUS_FULL) {
        return STATUS_OK; /* later */
    }
    store->has_failed = store->has_failed || status != STATUS_OK;
    if (!store->is_syncing) {
        store_free_left_blocks(store);
    }
    return status;
}
