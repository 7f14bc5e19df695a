#include "firmware/store_frame.h"

#include "protocol/sha256.h"

#include <string.h>

void store_init(struct store *store, struct hal_flash *flash, const struct store_memory *memory) {
    *store = (struct store){.flash = flash, .memory = *memory};
    uint32_t align = store_padded(store, 1);
    check(memory->frame_bytes % align == 0 && flash->block_bytes % align == 0);
    check(memory->frame_bytes <= flash->block_bytes / 2);
    check(memory->frame_bytes >= 2 * STORE_HEADER_BYTES);
    check(store_first_offset(store) + memory->frame_bytes <= flash->block_bytes);
    check((uint64_t)flash->block_bytes * flash->block_count < STORE_OPEN);
    check(flash->block_count > STORE_SPARE_BLOCKS + 1);
    uint32_t base = 0;
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        store->slot_base[kind] = base;
        base += memory->slot_counts[kind];
    }
    check(base < 0x10000000u);
    store->newest = flash->block_count;
    store->block = flash->block_count;
}

uint32_t store_slot_count(const struct store *store) {
    return store->slot_base[STORE_KINDS - 1] + store->memory.slot_counts[STORE_KINDS - 1];
}

bool store_has_slot(const struct store *store, struct store_key key) {
    return key.kind < STORE_KINDS && key.index < store->memory.slot_counts[key.kind];
}

struct store_slot *store_slot_of(struct store *store, struct store_key key) {
    check(store_has_slot(store, key));
    return &store->memory.slots[store->slot_base[key.kind] + key.index];
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

void store_place(struct store *store, struct store_slot *slot, uint32_t where, uint32_t bytes) {
    if (slot->where != 0 && !is_open(slot->where)) {
        struct store_block *old = block_at(store, slot->where);
        check(old->live_bytes >= slot->bytes);
        old->live_bytes -= slot->bytes;
    }
    if (where != 0 && !is_open(where)) {
        block_at(store, where)->live_bytes += bytes;
    }
    store->live_bytes = store->live_bytes - slot->bytes + bytes;
    slot->where = where;
    slot->bytes = bytes;
}

/* ---- the open group ---- */

uint32_t store_room(const struct store *store) {
    uint32_t used = store->open_records == 0 ? STORE_FRAME_BYTES : store->open_bytes;
    uint32_t needed = used + STORE_RECORD_BYTES + STORE_TAIL_BYTES;
    if (store->has_failed || needed >= store->memory.frame_bytes) {
        return 0;
    }
    uint32_t room = store->memory.frame_bytes - needed;
    return room < UINT16_MAX ? room : UINT16_MAX;
}

uint64_t store_append(struct store *store, struct store_key key, const struct store_key *previous,
                      struct bytes body) {
    check(body.size > 0);
    check(body.size <= store_room(store));
    if (store->open_records == 0) {
        store->open_bytes = STORE_FRAME_BYTES;
    }
    uint8_t *target = store->memory.group_buffer + store->open_bytes;
    struct store_record_head head = {
        .key = key,
        .previous = previous == NULL ? 0 : store_slot_of(store, *previous)->where,
        .body_bytes = (uint32_t)body.size,
    };
    memcpy(target + STORE_RECORD_BYTES, body.data, body.size);
    store_put_record(target, &head, 0, 0);

    uint32_t bytes = STORE_RECORD_BYTES + (uint32_t)body.size;
    struct store_slot *slot = store_slot_of(store, key);
    store_place(store, slot, STORE_OPEN | store->open_bytes, bytes);
    store->head_seq += 1;
    slot->seq = store->head_seq;
    store->open_bytes += bytes;
    store->open_records += 1;
    store->stats.bytes_appended += body.size;
    return slot->seq;
}

void store_release(struct store *store, struct store_key key) {
    struct store_slot *slot = store_slot_of(store, key);
    store_place(store, slot, 0, 0);
    slot->seq = 0;
}

/* ---- writing ---- */

static void seal_record(struct store *store, uint32_t at, uint32_t from, uint32_t start,
                        uint32_t salt) {
    uint8_t *record = store->memory.group_buffer + at;
    struct store_record_head head;
    store_get_record_head(record, &head);
    if (head.previous - from < store->open_bytes) {
        head.previous = start + (head.previous - from);
    }
    store_put_record(record, &head, salt, store->offset + at);
    struct store_slot *slot = store_slot_of(store, head.key);
    if (slot->where == from + at) {
        store_place(store, slot, start + at, slot->bytes);
    }
}

/* Gives every record of the open group its place, its CRCs and its link, and hashes the chain.
 * `from` is where the records believe to be: in the buffer, or in a block that did not take them.
 * Returns the bytes of the whole frame. */
static uint32_t seal_group(struct store *store, uint32_t from, uint8_t chain[STORE_CHAIN_BYTES]) {
    uint8_t *buffer = store->memory.group_buffer;
    uint32_t start = store->block * store->flash->block_bytes + store->offset;
    uint32_t salt = store_salt(store, store->block);
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){store->head_chain, STORE_CHAIN_BYTES});
    uint32_t at = STORE_FRAME_BYTES;
    while (at < store->open_bytes) {
        seal_record(store, at, from, start, salt);
        struct store_record_head head;
        store_get_record_head(buffer + at, &head);
        sha256_add(&hash, (struct bytes){buffer + at + STORE_RECORD_BYTES, head.body_bytes});
        at += STORE_RECORD_BYTES + head.body_bytes;
    }
    uint8_t digest[SHA256_BYTES];
    sha256_end(&hash, digest);
    memcpy(chain, digest, STORE_CHAIN_BYTES);
    store_put_tail(buffer + at, chain, salt, store->offset + at);
    struct store_frame frame = {
        .bytes = at + STORE_TAIL_BYTES - STORE_FRAME_BYTES,
        .type = STORE_FRAME_GROUP,
        .seq_low = (uint16_t)(store->committed_seq + 1),
    };
    store_put_frame(buffer, &frame, salt, store->offset);
    return at + STORE_TAIL_BYTES;
}

static bool is_low(const struct store *store) {
    return store->free_count + store->leaving_count <= STORE_CLEANER_BLOCKS;
}

/* The last free blocks are the cleaner's; those that it has emptied come back with this commit. */
static enum status make_room(struct store *store, bool is_last_resort) {
    uint32_t bytes = store_padded(store, store->open_bytes + STORE_TAIL_BYTES);
    if (store_rest(store) >= bytes) {
        return STATUS_OK;
    }
    if (is_low(store) && !(is_last_resort && store->leaving_count > 0)) {
        return STATUS_FULL;
    }
    return store_open_block(store, true);
}

enum status store_start_sync(struct store *store) {
    enum status status = hal_flash_sync_start(store->flash);
    store->has_failed = status != STATUS_OK;
    store->is_syncing = status == STATUS_OK;
    return status;
}

/* Programs the open group; a block that does not take it is left for another one. */
static enum status program_group(struct store *store, bool is_last_resort) {
    uint32_t from = STORE_OPEN;
    enum status status = make_room(store, is_last_resort);
    while (status == STATUS_OK) {
        uint8_t chain[STORE_CHAIN_BYTES];
        uint32_t start = store->block * store->flash->block_bytes + store->offset;
        uint32_t bytes = seal_group(store, from, chain);
        status = store_program_frame(store, store->memory.group_buffer, bytes);
        if (status == STATUS_OK) {
            memcpy(store->head_chain, chain, STORE_CHAIN_BYTES);
            return STATUS_OK;
        }
        from = start;
        status = status == STATUS_WORN ? store_open_block(store, true) : status;
    }
    store->has_failed = status != STATUS_FULL || from != STORE_OPEN;
    return store->has_failed ? STATUS_IO : STATUS_FULL;
}

/* True: the cleaner has gained a block, or is waiting for a sync. */
static bool clean_for_commit(struct store *store, enum status *status) {
    uint32_t before = store->free_count + store->leaving_count;
    *status = store_clean(store);
    bool has_gained = store->free_count + store->leaving_count > before;
    if (*status == STATUS_OK) {
        *status = store->is_syncing ? STATUS_AGAIN : STATUS_FULL;
    }
    return *status == STATUS_FULL && has_gained;
}

enum status store_commit(struct store *store) {
    if (store->has_failed) {
        return STATUS_IO;
    }
    if (store->is_syncing || store->open_records == 0) {
        return STATUS_AGAIN;
    }
    enum status status = STATUS_FULL;
    while (is_low(store) && clean_for_commit(store, &status)) {
    }
    if (status != STATUS_FULL) {
        return status;
    }
    status = program_group(store, false);
    if (status == STATUS_FULL) {
        status = program_group(store, true);
    }
    if (status != STATUS_OK) {
        return status;
    }
    store->committed_seq = store->head_seq;
    store->memory.blocks[store->block].last_seq = store->head_seq;
    store->open_records = 0;
    store->open_bytes = 0;
    store->commit_count += 1;
    store->stats.groups += 1;
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
    store->durable_seq = store->committed_seq;
    store_free_left_blocks(store);
    return STATUS_OK;
}

void store_acknowledge(struct store *store, uint64_t seq, const uint8_t chain[STORE_CHAIN_BYTES]) {
    check(seq <= store->durable_seq);
    if (seq > store->acked_seq) {
        store->acked_seq = seq;
        memcpy(store->acked_chain, chain, STORE_CHAIN_BYTES);
    }
}

bool store_admits(const struct store *store, uint64_t bytes_reserved, uint64_t bytes) {
    uint64_t payload = store->flash->block_bytes - store_first_offset(store);
    uint64_t blocks = store->flash->block_count - STORE_SPARE_BLOCKS - store->stats.bad_blocks;
    uint64_t limit = blocks * payload / 10 * 6;
    uint64_t wanted = store->live_bytes + bytes_reserved + bytes;
    bool has_spare = store->free_count + store->leaving_count > STORE_CLEANER_BLOCKS;
    return !store->has_failed && has_spare && wanted <= limit;
}
