/* The scrub: reads what is in use, a little at a time, and writes again what has another copy. */
#include "firmware/store_copy.h"

#include <string.h>

/* Nothing else goes on, and nothing that was read at the mount waits to be written again. */
static bool is_time(const struct store *store) {
    return !store->has_failed && !store->is_syncing && !store->is_dirty &&
           store->open_records == 0 && !store->cleaner.is_merge &&
           store->tail_block == store->flash->block_count;
}

/* The block in use behind that sequence number, of those that were there when the pass began.
 * block_count: none. */
static uint32_t next_block(const struct store *store, uint32_t sequence) {
    const struct store_block *blocks = store->memory.blocks;
    uint32_t none = store->flash->block_count;
    uint32_t best = none;
    for (uint32_t b = 0; b < none; b++) {
        bool is_next = blocks[b].state == STORE_BLOCK_USED && blocks[b].sequence > sequence &&
                       blocks[b].sequence <= store->scrub.last;
        if (is_next && (best == none || blocks[b].sequence < blocks[best].sequence)) {
            best = b;
        }
    }
    return best;
}

static void begin_pass(struct store *store) {
    struct store_scrub *scrub = &store->scrub;
    *scrub = (struct store_scrub){
        .last = store->block_sequence,
        .last_damaged = scrub->last_damaged,
        .last_lost = scrub->last_lost,
        .repaired = scrub->repaired,
        .passes = scrub->passes,
    };
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        scrub->block_count += store->memory.blocks[b].state == STORE_BLOCK_USED;
    }
}

static void end_pass(struct store *store) {
    struct store_scrub *scrub = &store->scrub;
    scrub->passes += 1;
    scrub->last_damaged = scrub->damaged;
    scrub->last_lost = scrub->lost;
    scrub->last = 0;
}

/* Reads the frame at the view's offset into the copy buffer. False: it is not there, or damaged;
 * where its head is, `next` is where the one behind it begins, else `next` stays. */
static bool read_frame(struct store *store, uint32_t b, struct store_view *view,
                       struct store_frame *frame, uint32_t *next) {
    uint32_t offset = view->offset;
    const struct store_place place = {b, offset, store->memory.blocks[b].used_bytes};
    enum status status = store_read_frame(store, &place, store->memory.copy_buffer,
                                          store->memory.frame_bytes, frame);
    *view = store_view(store, b, offset);
    view->bytes = store->memory.copy_buffer;
    view->size = frame->bytes;
    *next = status == STATUS_OK ? store_next_offset(store, b, offset, frame) : *next;
    return status == STATUS_OK && store_is_frame_intact(view, frame);
}

/* ---- another copy ---- */

/* An intact record of a slot's, as it stands in the copy buffer. */
struct found {
    struct store_record_head head;
    uint32_t at; /* of its body */
};

/* Looks for one in a block, perhaps one that was freed since. */
static bool find_in_block(struct store *store, uint32_t b, struct store_key key,
                          struct found *found) {
    const struct store_slot *slot = store_slot(store, key);
    uint32_t offset = store_first_offset(store);
    while (offset < store->memory.blocks[b].used_bytes) {
        struct store_frame frame = {0};
        struct store_view view = {.offset = offset};
        struct store_walk walk;
        uint32_t next = offset + store_align_of(store, b);
        bool is_good = read_frame(store, b, &view, &frame, &next);
        uint64_t seq = is_good ? store_frame_seq(store, b, &frame) : 0;
        store_walk_init(&walk, &view, &frame);
        while (is_good && store_walk_next(&walk)) {
            found->head = walk.head;
            found->head.seq = frame.type == STORE_FRAME_COPY ? walk.head.seq : seq;
            found->at = (uint32_t)(walk.body - store->memory.copy_buffer);
            if (walk.head.key.kind == key.kind && walk.head.key.index == key.index &&
                found->head.seq == slot->seq && walk.head.body_bytes > 0) {
                return true;
            }
            seq += 1;
        }
        offset = next;
    }
    return false;
}

static bool find(struct store *store, struct store_key key, struct found *found) {
    bool is_found = false;
    for (uint32_t b = 0; b < store->flash->block_count && !is_found; b++) {
        is_found = find_in_block(store, b, key, found);
    }
    return is_found;
}

/* A frame of copies with nothing but that record, from the copy buffer to the write position. */
static enum status write_again(struct store *store, struct found *found) {
    struct store_batch batch = store_copy_batch(store);
    uint8_t *buffer = store->memory.copy_buffer;
    uint32_t at = STORE_SHORT_BYTES;
    uint32_t place = store->block * store->flash->block_bytes + store->offset + at;
    uint32_t head_bytes = store_record_head_bytes(&found->head);
    check(store_copy_begin_frame(&batch, head_bytes + found->head.body_bytes));
    memmove(buffer + at + head_bytes, buffer + found->at, found->head.body_bytes);
    store_put_record(buffer + at, &found->head, store_view(store, store->block, 0).salt,
                     store->offset + at);
    batch.size += head_bytes + found->head.body_bytes;
    store_copy_end_frame(store, &batch, false);
    enum status status = store_program_frames(store, batch.size);
    if (status == STATUS_OK) {
        store_place_slot(store, store_slot_of(store, found->head.key), place,
                         store_record_cost(&found->head));
        status = store_start_sync(store);
    }
    return status;
}

/* True: the record is written again, and a sync runs. Where the open block has no room, a later
 * pass finds one. */
static bool repair(struct store *store, struct store_key key) {
    struct found found;
    uint32_t bytes = STORE_SHORT_BYTES + store_slot(store, key)->bytes;
    if (store_rest(store) < store_padded(store, bytes) || !find(store, key, &found)) {
        return false;
    }
    enum status status = write_again(store, &found);
    store->has_failed = store->has_failed || (status != STATUS_OK && status != STATUS_WORN);
    store->scrub.repaired += status == STATUS_OK;
    return status == STATUS_OK;
}

/* ---- damage ---- */

/* Objects whose newest record stands in a damaged place. True: one was repaired; look again. */
static bool judge_objects(struct store *store, uint32_t from, uint32_t to, uint32_t *lost) {
    for (uint32_t i = 0; i < store_slot_count(store); i++) {
        const struct store_slot *slot = &store->memory.slots[i];
        struct store_record record;
        if (slot->where < from || slot->where >= to ||
            store_read_at(store, slot->where, store->memory.copy_buffer, store->memory.frame_bytes,
                          &record) == STATUS_OK) {
            continue;
        }
        if (repair(store, store_key_at(store, i))) {
            return true;
        }
        *lost += 1;
    }
    return false;
}

/* Reads the frame at the scrub's place, and goes on behind it. */
static uint32_t read_place(struct store *store, uint32_t b) {
    struct store_scrub *scrub = &store->scrub;
    struct store_frame frame = {0};
    struct store_view view = store_view(store, b, scrub->offset);
    uint32_t base = b * store->flash->block_bytes;
    uint32_t used = store->memory.blocks[b].used_bytes;
    uint32_t next = scrub->offset;
    uint32_t lost = 0;
    if (!read_frame(store, b, &view, &frame, &next)) {
        uint32_t align = store_align_of(store, b);
        for (uint32_t at = scrub->offset; next == scrub->offset; next = at >= used ? used : next) {
            at = (at / align + 1) * align;
            bool is_frame =
                at < used && store_read_frame_head(store, b, at, used, &frame) == STATUS_OK;
            next = is_frame ? at : next;
        }
        if (judge_objects(store, base + scrub->offset, base + next, &lost)) {
            return next - scrub->offset;
        }
        scrub->damaged += 1;
        scrub->lost += lost;
    }
    uint32_t bytes = next - scrub->offset;
    scrub->offset = next;
    return bytes;
}

enum status store_scrub(struct store *store, uint32_t bytes) {
    struct store_scrub *scrub = &store->scrub;
    uint32_t done = 0;
    if (!is_time(store)) {
        return store->has_failed ? STATUS_IO : STATUS_AGAIN;
    }
    if (scrub->last == 0) {
        begin_pass(store);
    }
    store->flash->reads_device = true;
    while (done < bytes && !store->is_syncing && !store->has_failed && scrub->last != 0) {
        const struct store_block *blocks = store->memory.blocks;
        uint32_t b = scrub->block;
        bool is_there = scrub->sequence != 0 && blocks[b].state == STORE_BLOCK_USED &&
                        blocks[b].sequence == scrub->sequence;
        if (is_there && scrub->offset < blocks[b].used_bytes) {
            done += read_place(store, b);
            continue;
        }
        scrub->blocks += scrub->sequence != 0;
        b = next_block(store, scrub->sequence);
        if (b == store->flash->block_count) {
            end_pass(store);
        } else {
            scrub->block = b;
            scrub->sequence = blocks[b].sequence;
            scrub->offset = store_first_offset(store);
        }
    }
    store->flash->reads_device = false;
    enum status status = scrub->last == 0 ? STATUS_OK : STATUS_AGAIN;
    return store->has_failed ? STATUS_IO : status;
}
