#include "firmware/store_copy.h"

#include "protocol/sha256.h"

#include <string.h>

void store_init(struct store *store, struct hal_flash *flash, const struct store_memory *memory) {
    *store = (struct store){.flash = flash, .memory = *memory};
    check(memory->frame_bytes % flash->program_bytes == 0);
    check(flash->block_bytes % flash->program_bytes == 0);
    check(memory->frame_bytes <= flash->block_bytes / 2);
    check(memory->frame_bytes >= 2 * STORE_HEADER_BYTES && memory->frame_bytes < 1 << 19);
    check(memory->group_bytes > STORE_OPEN_BYTES);
    check(store_first_offset(store) + memory->frame_bytes <= flash->block_bytes);
    check((uint64_t)flash->block_bytes * flash->block_count < STORE_OPEN);
    check(flash->block_count > STORE_SPARE_BLOCKS + 1);
    uint32_t base = 0;
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        check(memory->slot_counts[kind] <= STORE_INDEX_MAX + 1);
        store->slot_base[kind] = base;
        store->slots_used[kind] = memory->is_zeroed ? 0 : memory->slot_counts[kind];
        base += memory->slot_counts[kind];
    }
    store->newest = flash->block_count;
    store->block = flash->block_count;
    store->tail_block = flash->block_count;
    store->cleaner.victim = flash->block_count;
}

uint32_t store_slot_count(const struct store *store) {
    return store->slot_base[STORE_KINDS - 1] + store->memory.slot_counts[STORE_KINDS - 1];
}

bool store_has_slot(const struct store *store, struct store_key key) {
    return key.kind < STORE_KINDS && key.index < store->memory.slot_counts[key.kind];
}

struct store_key store_key_at(const struct store *store, uint32_t i) {
    uint8_t kind = 0;
    while (i >= store->slot_base[kind] + store->memory.slot_counts[kind]) {
        kind += 1;
    }
    return (struct store_key){kind, i - store->slot_base[kind]};
}

struct store_slot *store_slot_of(struct store *store, struct store_key key) {
    check(store_has_slot(store, key));
    if (key.index >= store->slots_used[key.kind]) {
        store->slots_used[key.kind] = key.index + 1;
    }
    return &store->memory.slots[store->slot_base[key.kind] + key.index];
}

uint32_t store_slots_used(const struct store *store, uint8_t kind) {
    check(kind < STORE_KINDS);
    return store->slots_used[kind];
}

const struct store_slot *store_slot(const struct store *store, struct store_key key) {
    check(store_has_slot(store, key));
    return &store->memory.slots[store->slot_base[key.kind] + key.index];
}

static bool is_open(uint32_t where) {
    return (where & STORE_OPEN) != 0;
}

static struct store_block *block_at(struct store *store, uint32_t where) {
    return &store->memory.blocks[where / store->flash->block_bytes];
}

void store_place_slot(struct store *store, struct store_slot *slot, uint32_t where,
                      uint32_t bytes) {
    if (slot->where != 0 && !is_open(slot->where)) {
        struct store_block *old = block_at(store, slot->where);
        check(old->live_bytes >= slot->bytes);
        old->live_bytes -= slot->bytes;
    }
    if (where != 0 && !is_open(where)) {
        block_at(store, where)->live_bytes += bytes;
    }
    store->live_bytes = store->live_bytes - (slot->where != 0 ? slot->bytes : 0) + bytes;
    slot->where = where;
    slot->bytes = bytes;
}

void store_note_group(struct store *store, uint32_t block, uint64_t seq, uint64_t last,
                      uint32_t bytes) {
    struct store_block *of = &store->memory.blocks[block];
    uint64_t first =
        of->last_seq == 0 || seq < of->last_seq - of->seq_span ? seq : of->last_seq - of->seq_span;
    of->last_seq = last > of->last_seq ? last : of->last_seq;
    of->seq_span = (uint32_t)(of->last_seq - first);
    of->group_bytes += bytes;
}

/* ---- the open group ---- */

static void put_open(uint8_t *target, const struct store_open_head *head) {
    const uint32_t words[6] = {(uint32_t)head->key.kind << 28 | head->key.index,
                               head->previous,
                               head->where,
                               head->bytes,
                               (uint32_t)head->replaced_seq,
                               (uint32_t)(head->replaced_seq >> 32)};
    memcpy(target, words, sizeof words);
}

struct store_open_head store_get_open(const struct store *store, uint32_t at) {
    uint32_t words[6];
    check(at <= store->open_bytes && store->open_bytes - at >= STORE_OPEN_BYTES);
    memcpy(words, store->memory.group_buffer + at, sizeof words);
    return (struct store_open_head){
        .key = {(uint8_t)(words[0] >> 28), words[0] & 0x0fffffff},
        .previous = words[1],
        .where = words[2],
        .bytes = words[3],
        .replaced_seq = words[4] | (uint64_t)words[5] << 32,
    };
}

/* What a released slot keeps of the object's last record until the open group is committed: low
 * bits of that group's number and of the record's. */
static uint32_t released_mark(const struct store *store, uint64_t seq) {
    return (uint32_t)store->stats.groups << 24 | ((uint32_t)seq & 0xffffff);
}

uint64_t store_replaced_seq(const struct store *store, const struct store_slot *slot) {
    if (is_open(slot->where)) {
        return store_get_open(store, slot->where & ~STORE_OPEN).replaced_seq;
    }
    if (slot->where != 0 || slot->bytes == 0) {
        return slot->seq;
    }
    uint64_t seq = store->head_seq - ((store->head_seq - slot->bytes) & 0xffffff);
    return released_mark(store, seq) == slot->bytes ? seq : 0;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t frame_limit(const struct store *store) {
    return store->memory.frame_bytes - STORE_MOVE_BYTES;
}

uint32_t store_room(const struct store *store) {
    uint32_t rest = store->memory.group_bytes - store->open_bytes;
    if (store->has_failed || rest <= STORE_OPEN_BYTES) {
        return 0;
    }
    uint32_t of_frame = frame_limit(store) - STORE_FRAME_BYTES - STORE_RECORD_BYTES;
    return least(least(rest - STORE_OPEN_BYTES, of_frame), UINT16_MAX);
}

uint64_t store_append_behind(struct store *store, struct store_key key, uint32_t previous,
                             struct bytes body) {
    check(body.size > 0);
    check(body.size <= store_room(store));
    uint8_t *target = store->memory.group_buffer + store->open_bytes;
    struct store_slot *slot = store_slot_of(store, key);
    const struct store_open_head open = {
        .replaced_seq = store_replaced_seq(store, slot),
        .key = key,
        .previous = previous,
        .bytes = (uint32_t)body.size,
    };
    const struct store_record_head head = {.previous = open.previous, .body_bytes = open.bytes};
    put_open(target, &open);
    memcpy(target + STORE_OPEN_BYTES, body.data, body.size);

    store_place_slot(store, slot, STORE_OPEN | store->open_bytes, store_record_cost(&head));
    store->head_seq += 1;
    slot->seq = store->head_seq;
    store->open_bytes += STORE_OPEN_BYTES + open.bytes;
    store->open_records += 1;
    store->stats.bytes_appended += body.size;
    return slot->seq;
}

uint64_t store_append(struct store *store, struct store_key key, const struct store_key *previous,
                      struct bytes body) {
    uint32_t where = previous == NULL ? 0 : store_slot_of(store, *previous)->where;
    return store_append_behind(store, key, where, body);
}

void store_release(struct store *store, struct store_key key) {
    struct store_slot *slot = store_slot_of(store, key);
    uint64_t seq = store_replaced_seq(store, slot);
    store_place_slot(store, slot, 0, 0);
    slot->seq = 0;
    slot->bytes = seq == 0 ? 0 : released_mark(store, seq);
    store->cleaner.lap_end = store->block_sequence;
}

/* ---- writing ---- */

static uint32_t bytes_on_flash(const struct store_open_head *open) {
    const struct store_record_head head = {.previous = open->previous};
    return store_record_head_bytes(&head) + open->bytes;
}

uint32_t store_cut_group(const struct store *store, uint32_t at, uint32_t limit) {
    const struct store_frame last = {.is_last = true};
    const struct store_frame middle = {.is_last = false};
    uint32_t bytes = store_frame_head_bytes(&middle);
    uint32_t before = at;
    uint32_t next = at;
    while (next < store->open_bytes) {
        struct store_open_head open = store_get_open(store, next);
        bytes += bytes_on_flash(&open);
        if (bytes > limit) {
            return next;
        }
        before = next;
        next += STORE_OPEN_BYTES + open.bytes;
    }
    /* The frame that commits has a larger head. */
    bytes += store_frame_head_bytes(&last) - store_frame_head_bytes(&middle);
    return bytes > limit ? before : next;
}

/* Of the frame that holds a part of the open group. */
static uint32_t frame_bytes(const struct store *store, uint32_t at, uint32_t next) {
    const struct store_frame frame = {.is_last = next == store->open_bytes};
    uint32_t bytes = store_frame_head_bytes(&frame);
    while (at < next) {
        struct store_open_head open = store_get_open(store, at);
        bytes += bytes_on_flash(&open);
        at += STORE_OPEN_BYTES + open.bytes;
    }
    return bytes;
}

/* Blocks that the open group needs beside `rest` bytes of one, and those that a merge would fill
 * with its frames. */
static uint32_t count_blocks(const struct store *store, uint32_t rest,
                             struct store_measure *again) {
    uint32_t count = 0;
    uint32_t at = 0;
    while (at < store->open_bytes) {
        uint32_t limit = least(rest, frame_limit(store));
        uint32_t next = store_cut_group(store, at, limit);
        if (next > at) {
            store_merge_add_frame(store, again, frame_bytes(store, at, next));
        }
        count += next == at;
        rest = next == at ? store_payload(store)
                          : rest - least(rest, store_padded(store, limit)); /* at the most */
        at = next;
    }
    return count;
}

static void hash_group(const struct store *store, uint8_t chain[STORE_CHAIN_BYTES]) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){store->head_chain, STORE_CHAIN_BYTES});
    for (uint32_t at = 0; at < store->open_bytes;) {
        uint32_t bytes = store_get_open(store, at).bytes;
        sha256_add(&hash,
                   (struct bytes){store->memory.group_buffer + at + STORE_OPEN_BYTES, bytes});
        at += STORE_OPEN_BYTES + bytes;
    }
    sha256_end(&hash, digest);
    memcpy(chain, digest, STORE_CHAIN_BYTES);
}

/* Makes the frame of records `at` to `next` of the open group in the copy buffer, for the write
 * position. Each record learns its place, as later ones of the group may lead back to it. */
static void make_frame(struct store *store, uint32_t at, uint32_t next, struct store_frame *frame) {
    uint8_t *target = store->memory.copy_buffer;
    uint32_t start = store->block * store->flash->block_bytes + store->offset;
    uint32_t salt = store_view(store, store->block, 0).salt;
    frame->seq = store->placed_seq + 1;
    frame->is_first = !store->is_dirty;
    frame->is_last = next == store->open_bytes;
    frame->records = store_frame_head_bytes(frame);
    frame->end = frame->records;
    while (at < next) {
        struct store_open_head open = store_get_open(store, at);
        struct store_record_head head = {
            .key = open.key, .previous = open.previous, .body_bytes = open.bytes};
        if (is_open(head.previous)) {
            head.previous = store_get_open(store, head.previous & ~STORE_OPEN).where;
        } else {
            head.previous = store_place_now(store, head.previous);
        }
        uint32_t head_bytes = store_record_head_bytes(&head);
        memcpy(target + frame->end + head_bytes, store->memory.group_buffer + at + STORE_OPEN_BYTES,
               open.bytes);
        store_put_record(target + frame->end, &head, salt, store->offset + frame->end);
        open.where = start + frame->end;
        put_open(store->memory.group_buffer + at, &open);
        frame->end += head_bytes + open.bytes;
        at += STORE_OPEN_BYTES + open.bytes;
    }
    store_put_frame(target, frame, salt, store->offset);
}

/* The records are on flash: those that are their objects' newest are now there. */
static void place_records(struct store *store, uint32_t at, uint32_t next) {
    while (at < next) {
        struct store_open_head open = store_get_open(store, at);
        struct store_slot *slot = store_slot_of(store, open.key);
        if (slot->where == (STORE_OPEN | at)) {
            store_place_slot(store, slot, open.where, slot->bytes);
        }
        store->placed_seq += 1;
        at += STORE_OPEN_BYTES + open.bytes;
    }
}

/* Programs the open group, frame by frame; a block that does not take one is left for another. */
static enum status program_group(struct store *store) {
    uint32_t at = 0;
    struct store_frame frame = {.type = STORE_FRAME_GROUP};
    hash_group(store, frame.chain);
    while (at < store->open_bytes) {
        uint32_t limit = least(store_rest(store), frame_limit(store));
        uint32_t next = limit == 0 ? at : store_cut_group(store, at, limit);
        uint32_t block = store->block;
        enum status status = STATUS_OK;
        if (next == at) {
            status = store_open_block(store);
        } else {
            make_frame(store, at, next, &frame);
            status = store_program_frames(store, frame.end);
            if (status == STATUS_OK) {
                place_records(store, at, next);
                store_note_group(store, block, frame.seq, store->placed_seq, frame.end);
                at = next;
            }
        }
        if (status != STATUS_OK && status != STATUS_WORN) {
            store->has_failed = true; /* what has been programmed of the group cannot be undone */
            return STATUS_IO;
        }
    }
    memcpy(store->head_chain, frame.chain, STORE_CHAIN_BYTES);
    return STATUS_OK;
}

/* True: the cleaner has gained a block without a sync, and may do so again. */
static bool clean_for_commit(struct store *store, enum status *status) {
    uint32_t before = store->free_count;
    *status = store_clean(store);
    if (*status == STATUS_OK && store->is_syncing) {
        *status = STATUS_AGAIN;
    }
    return *status == STATUS_OK && store->free_count > before;
}

enum status store_commit(struct store *store) {
    enum status status = STATUS_OK;
    if (store->has_failed) {
        return STATUS_IO;
    }
    if (store->is_syncing || store->open_records == 0) {
        return STATUS_AGAIN;
    }
    struct store_measure measure = {.blocks = 1}; /* should a merge have to write it once more */
    uint32_t blocks = count_blocks(store, store_rest(store), &measure);
    uint32_t again = store_merge_end(store, &measure);
    store->group_blocks = blocks;
    store->merge_blocks = again > 1 ? again + 1 : 0; /* of several, one may fail */
    while ((store->cleaner.is_merge || store->is_mounted || blocks > 1 || again > 1 ||
            store->free_count < blocks + STORE_SPARE_BLOCKS) &&
           clean_for_commit(store, &status)) {
    }
    if (status != STATUS_OK) {
        return status;
    }
    store->is_full = blocks > 0 && (store->free_count < blocks + STORE_SPARE_BLOCKS ||
                                    store_count_erasable(store) < blocks);
    if (store->is_full) {
        return STATUS_FULL;
    }
    status = program_group(store);
    if (status != STATUS_OK) {
        return status;
    }
    store->committed_seq = store->head_seq;
    store->open_records = 0;
    store->open_bytes = 0;
    store->group_blocks = 0;
    store->merge_blocks = 0;
    store->move_count = 0;
    store->stats.groups += 1;
    store->cleaner.lap_end = store->block_sequence;
    return store_start_sync(store);
}

enum status store_poll(struct store *store) {
    if (store->has_failed) {
        return STATUS_IO;
    }
    if (!store->is_syncing) {
        return STATUS_AGAIN;
    }
    enum status status = hal_flash_sync_poll(store->flash);
    if (status == STATUS_AGAIN) {
        return status;
    }
    store->is_syncing = false;
    if (status != STATUS_OK) {
        store->has_failed = true;
        return status;
    }
    store->is_dirty = false;
    store->durable_seq = store->committed_seq;
    if (!store->cleaner.is_merge) {
        store->oldest_known = store->oldest_written;
        store_let_go(store);
    }
    store_free_left_blocks(store);
    return STATUS_OK;
}

void store_acknowledge(struct store *store, uint64_t seq, const uint8_t chain[STORE_CHAIN_BYTES]) {
    check(seq <= store->durable_seq);
    if (seq > store->acked_seq) {
        store->acked_seq = seq;
        store->cleaner.lap_end = store->block_sequence;
        memcpy(store->acked_chain, chain, STORE_CHAIN_BYTES);
    }
}

uint64_t store_capacity(const struct store *store) {
    uint32_t lost = STORE_SPARE_BLOCKS + store->stats.bad_blocks;
    uint32_t count = store->flash->block_count;
    return count > lost ? (uint64_t)(count - lost) * store_payload(store) : 0;
}

uint32_t store_spare_blocks(const struct store *store, uint64_t bytes_reserved) {
    const uint64_t of_block = store_payload(store) / 10u * (uint64_t)6;
    uint64_t needed = (store->live_bytes + bytes_reserved + of_block - 1) / of_block;
    uint64_t blocks = store_capacity(store) / store_payload(store);
    return blocks > needed ? (uint32_t)(blocks - needed) : 0;
}

bool store_admits(const struct store *store, uint64_t bytes_reserved, uint64_t bytes) {
    uint64_t limit = store_capacity(store) / 10 * 6;
    uint64_t wanted = store->live_bytes + bytes_reserved + bytes;
    return !store->has_failed && !store->is_full && wanted <= limit;
}
