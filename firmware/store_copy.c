/* What the cleaner keeps of the blocks that it empties: batches of copies, and of groups that are
 * moved as they are. */
#include "firmware/store_copy.h"

#include <string.h>

/* ---- making frames ---- */

static uint32_t salt_of(const struct store *store) {
    return store_view(store, store->block, 0).salt;
}

/* Writes the head of a frame whose records are there. The one before it learns that it is followed:
 * one program holds both, so they need no padding between. */
static void end_frame(struct store *store, struct store_batch *batch, uint32_t start,
                      struct store_frame *frame) {
    uint8_t *buffer = store->memory.copy_buffer;
    if (batch->ended != STORE_BATCH_NONE) {
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

void store_copy_end_frame(struct store *store, struct store_batch *batch, bool is_last) {
    uint32_t none = store->flash->block_count;
    if (batch->copies == STORE_BATCH_NONE) {
        return;
    }
    struct store_frame frame = {.type = STORE_FRAME_COPY, .is_last = is_last};
    frame.records = store_frame_head_bytes(&frame);
    frame.seq = store_oldest_sequence(store, batch->is_all ? store->cleaner.victim : none);
    store->oldest_written = (uint32_t)frame.seq;
    end_frame(store, batch, batch->copies, &frame);
    batch->copies = STORE_BATCH_NONE;
}

bool store_copy_begin_frame(struct store_batch *batch, uint32_t bytes) {
    uint32_t head = STORE_SHORT_BYTES;
    uint32_t more = batch->copies == STORE_BATCH_NONE ? head : 0;
    if (batch->limit - batch->size < more + bytes) {
        return false;
    }
    if (batch->copies == STORE_BATCH_NONE) {
        batch->copies = batch->size;
        batch->size += head;
    }
    return true;
}

/* Adds the record at a place to a batch, its body read straight to where it goes. In a copy, in
 * place of one that rot has taken, goes a mark, so that no older record is found for its object
 * later. CORRUPT: so it is, and nothing was added. */
static enum status add_record(struct store *store, struct store_batch *batch, uint32_t where,
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

/* What a mount has read as whole at the log's end, and what then reads as damaged, is between two
 * states: no mark, but another mount, which decides again. */
bool store_copy_is_tail(const struct store *store) {
    const struct store_cleaner *cleaner = &store->cleaner;
    return cleaner->is_merge && store->tail_block < store->flash->block_count &&
           (cleaner->victim != store->tail_block || cleaner->offset >= store->tail_offset);
}

/* FULL: it did not fit. */
static enum status add_copy(struct store *store, struct store_batch *batch, uint32_t where,
                            const struct store_record_head *head) {
    if (!store_copy_begin_frame(batch, store_record_cost(head))) {
        return STATUS_FULL;
    }
    enum status status = add_record(store, batch, where, head);
    status = status == STATUS_CORRUPT && store_copy_is_tail(store) ? STATUS_IO : status;
    if (status == STATUS_CORRUPT) {
        const struct store_record_head mark = {.key = head->key, .seq = head->seq};
        status = add_record(store, batch, where, &mark);
    }
    const struct store_slot *slot = store_slot(store, head->key);
    batch->live_bytes += status == STATUS_OK && slot->where == where ? slot->bytes : 0;
    return status;
}

struct store_batch store_copy_batch(const struct store *store) {
    uint32_t rest = store_rest(store);
    uint32_t limit = rest < store->memory.frame_bytes ? rest : store->memory.frame_bytes;
    return (struct store_batch){
        .limit = limit, .copies = STORE_BATCH_NONE, .ended = STORE_BATCH_NONE};
}

/* ---- walking the block that is emptied ---- */

void store_copy_start(struct store *store, uint32_t victim, bool is_merge) {
    struct store_cleaner *cleaner = &store->cleaner;
    cleaner->victim = victim;
    cleaner->is_merge = is_merge;
    cleaner->offset = store_first_offset(store);
    cleaner->at = 0;
    cleaner->has_damage = false;
    cleaner->acked_seq =
        store->gap_seq > store->acked_written ? store->gap_seq : store->acked_written;
    cleaner->moved = (struct store_cursor){0};
}

uint32_t store_copy_place_of(const struct store *store, uint32_t offset) {
    return store->cleaner.victim * store->flash->block_bytes + offset;
}

uint32_t store_copy_end(const struct store *store) {
    return store->memory.blocks[store->cleaner.victim].used_bytes;
}

/* Of the blocks that a merge rewrites, goes on to the next one when one was walked. */
void store_copy_pass_victim(struct store *store) {
    struct store_cleaner *cleaner = &store->cleaner;
    const struct store_block *blocks = store->memory.blocks;
    uint32_t next = store->flash->block_count;
    if (!cleaner->is_merge || cleaner->victim == cleaner->last ||
        cleaner->offset < store_copy_end(store)) {
        return;
    }
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        if (blocks[b].state == STORE_BLOCK_USED &&
            blocks[b].sequence > blocks[cleaner->victim].sequence &&
            (next == store->flash->block_count || blocks[b].sequence < blocks[next].sequence)) {
            next = b;
        }
    }
    check(next < store->flash->block_count);
    cleaner->victim = next;
    cleaner->offset = store_first_offset(store);
    cleaner->at = 0;
}

enum status store_copy_read_head(const struct store *store, const struct store_frame *frame,
                                 uint32_t at, struct store_record_head *head) {
    uint8_t bytes[STORE_HEAD_BYTES];
    struct store_view view = store_view(store, store->cleaner.victim, store->cleaner.offset + at);
    view.bytes = bytes;
    view.size = frame->end - at < sizeof bytes ? frame->end - at : (uint32_t)sizeof bytes;
    enum status status =
        hal_flash_read(store->flash, store_copy_place_of(store, view.offset), bytes, view.size);
    bool is_good = status == STATUS_OK &&
                   store_get_record(&view, frame->type == STORE_FRAME_COPY, head) &&
                   head->lead_bytes + head->head_bytes + head->body_bytes <= frame->end - at;
    return status == STATUS_OK && !is_good ? STATUS_CORRUPT : status;
}

uint32_t store_place_now(const struct store *store, uint32_t place) {
    for (uint32_t i = 0; i < store->move_count; i++) {
        const struct store_move *move = &store->moves[i];
        if (place >= move->from && place - move->from < move->bytes) {
            return place - move->from + move->to;
        }
    }
    return place;
}

static void note_move(struct store *store, const struct store_frame *frame, uint32_t to) {
    if (store->cleaner.is_merge && store->move_count < STORE_MOVES) {
        store->moves[store->move_count] = (struct store_move){
            .from = store_copy_place_of(store, store->cleaner.offset + frame->records),
            .to = store->block * store->flash->block_bytes + to,
            .bytes = frame->end - frame->records,
        };
        store->move_count += 1;
    }
}

/* Moves a frame of a group as it is. FULL: it did not fit. CORRUPT: it is damaged. */
static enum status move_frame(struct store *store, struct store_batch *batch) {
    const struct store_cleaner *cleaner = &store->cleaner;
    struct store_frame frame;
    const struct store_place place = {cleaner->victim, cleaner->offset, store_copy_end(store)};
    store_copy_end_frame(store, batch, false);
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
    note_move(store, &frame, store->offset + batch->size);
    status = frame.is_sound ? STATUS_OK : STATUS_CORRUPT;
    for (uint32_t at = frame.records; at < frame.end && status == STATUS_OK;) {
        struct store_record_head head;
        status = store_copy_read_head(store, &frame, at, &head);
        if (status == STATUS_OK) {
            uint32_t where = store_copy_place_of(store, cleaner->offset + at);
            head.previous = store_place_now(store, head.previous);
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
bool store_copy_is_live(const struct store *store, const struct store_record_head *head,
                        uint32_t where) {
    if (!store_has_slot(store, head->key)) {
        return false;
    }
    const struct store_slot *slot = store_slot(store, head->key);
    bool is_placed = slot->where != 0 && (slot->where & STORE_OPEN) == 0;
    return head->seq == store_replaced_seq(store, slot) && (!is_placed || slot->where == where);
}

/* Copies what is live in a frame, from cleaner.at on. */
static enum status copy_records(struct store *store, struct store_batch *batch,
                                const struct store_frame *frame) {
    struct store_cleaner *cleaner = &store->cleaner;
    while (cleaner->at < frame->end) {
        struct store_record_head head;
        enum status status = store_copy_read_head(store, frame, cleaner->at, &head);
        if (status != STATUS_OK) {
            return status;
        }
        uint32_t where =
            store_copy_place_of(store, cleaner->offset + cleaner->at + head.lead_bytes);
        uint64_t seq = frame->type == STORE_FRAME_COPY ? head.seq : cleaner->seq;
        uint32_t bytes = head.lead_bytes + head.head_bytes + head.body_bytes;
        head.seq = seq;
        if (store_copy_is_live(store, &head, where)) {
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
    cleaner->has_damage = true;
    do {
        uint32_t align = store_align_of(store, cleaner->victim);
        cleaner->offset = (cleaner->offset / align + 1) * align;
    } while (cleaner->offset < store_copy_end(store) &&
             (store_read_frame_head(store, cleaner->victim, cleaner->offset, store_copy_end(store),
                                    &frame) != STATUS_OK ||
              store_copy_read_head(store, &frame, frame.records, &head) != STATUS_OK));
}

/* A group that upstream does not have is moved whole, and the last one before the mount, for the
 * history that leads through it. */
bool store_copy_is_kept_whole(const struct store *store, const struct store_frame *frame) {
    return frame->type != STORE_FRAME_COPY &&
           (store_copy_is_tail(store) ||
            store_frame_seq(store, store->cleaner.victim, frame) > store->cleaner.acked_seq);
}

/* A group that upstream does not have, and that was not moved before the last mount. */
static enum status must_move(struct store *store, const struct store_frame *frame, bool *must) {
    struct store_cleaner *cleaner = &store->cleaner;
    struct store_frame found;
    *must = store_copy_is_kept_whole(store, frame);
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
static enum status take_frame(struct store *store, struct store_batch *batch) {
    struct store_cleaner *cleaner = &store->cleaner;
    struct store_frame frame;
    bool must = false;
    enum status status = store_read_frame_head(store, cleaner->victim, cleaner->offset,
                                               store_copy_end(store), &frame);
    enum status damaged = store_copy_is_tail(store) ? STATUS_IO : STATUS_OK;
    if (status == STATUS_MALFORMED) {
        skip_damage(store);
        return damaged;
    }
    if (status == STATUS_OK && cleaner->at == 0) {
        cleaner->seq = store_frame_seq(store, cleaner->victim, &frame);
        bool is_told = frame.is_sound || store_view(store, cleaner->victim, 0).older != NULL;
        status = is_told ? must_move(store, &frame, &must) : STATUS_CORRUPT;
        if (status == STATUS_OK && must) {
            status = move_frame(store, batch);
        }
        must = must && status != STATUS_CORRUPT; /* what is live in it is copied */
        cleaner->has_damage = cleaner->has_damage || status == STATUS_CORRUPT;
        status = status == STATUS_CORRUPT ? damaged : status;
        cleaner->at = must ? 0 : frame.records;
    }
    if (status == STATUS_OK && !must) {
        status = copy_records(store, batch, &frame);
        cleaner->has_damage = cleaner->has_damage || status == STATUS_CORRUPT;
        status = status == STATUS_CORRUPT ? damaged : status; /* the slots know of the rest */
    }
    if (status == STATUS_OK) {
        cleaner->offset = store_next_offset(store, cleaner->victim, cleaner->offset, &frame);
        cleaner->at = 0;
    }
    return status;
}

bool store_copy_is_hiding(const struct store *store) {
    return store->cleaner.has_damage && store->open_records > 0;
}

/* What damage has hidden is still known to the slots: each leaves a mark. Of an object that the
 * open group replaces, nobody knows where its record before that stands: it may be here. */
static enum status copy_hidden(struct store *store, struct store_batch *batch) {
    struct store_cleaner *cleaner = &store->cleaner;
    enum status status = STATUS_OK;
    while (cleaner->at < store_slot_count(store) && status == STATUS_OK) {
        const struct store_slot *slot = &store->memory.slots[cleaner->at];
        const struct store_record_head mark = {.key = store_key_at(store, cleaner->at),
                                               .seq = store_replaced_seq(store, slot)};
        bool is_open = (slot->where & STORE_OPEN) != 0;
        bool is_here =
            slot->where != 0 && slot->where / store->flash->block_bytes == cleaner->victim;
        if (is_here || (is_open && mark.seq != 0 && store_copy_is_hiding(store))) {
            status = add_copy(store, batch, is_open ? 0 : slot->where, &mark);
        }
        cleaner->at += status == STATUS_OK;
    }
    return status;
}

/* ---- a batch ---- */

static bool holds_nothing(const struct store_batch *batch) {
    return batch->size == 0 && batch->copies == STORE_BATCH_NONE;
}

/* Fills a batch from where the cleaner is. */
enum status store_copy_gather(struct store *store, struct store_batch *batch) {
    struct store_cleaner *cleaner = &store->cleaner;
    enum status status = STATUS_OK;
    bool has_more = true;
    while (has_more && status == STATUS_OK) {
        store_copy_pass_victim(store);
        while (status == STATUS_OK && cleaner->offset < store_copy_end(store)) {
            status = take_frame(store, batch);
        }
        has_more = holds_nothing(batch) && cleaner->is_merge && cleaner->victim != cleaner->last;
    }
    bool is_walked = cleaner->offset >= store_copy_end(store) && status == STATUS_OK;
    bool is_part = cleaner->is_merge && cleaner->victim == cleaner->base;
    bool may_hide =
        store->memory.blocks[cleaner->victim].live_bytes > 0 || store_copy_is_hiding(store);
    if (is_walked && holds_nothing(batch) && !is_part && may_hide) {
        status = copy_hidden(store, batch);
    }
    if (is_walked && cleaner->is_merge && cleaner->victim == cleaner->last &&
        store_copy_begin_frame(batch, 0)) {
        store_copy_end_frame(store, batch, true); /* believed from here on */
    }
    batch->is_all = is_walked && !cleaner->is_merge && batch->copies == 0 &&
                    !store_copy_is_hiding(store) &&
                    batch->live_bytes == store->memory.blocks[cleaner->victim].live_bytes;
    store_copy_end_frame(store, batch, false);
    return status == STATUS_FULL ? STATUS_OK : status;
}

/* Objects whose newest record was copied have it in the batch now. */
void store_copy_place(struct store *store, uint32_t block, uint32_t offset, uint32_t size) {
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
