#include "firmware/store_frame.h"

#include "protocol/sha256.h"

#include <string.h>

static uint32_t padded(const struct store *store, uint32_t bytes) {
    uint32_t unit = store->flash->program_bytes;
    return (bytes + unit - 1) / unit * unit;
}

uint32_t store_first_offset(const struct store *store) {
    return padded(store, STORE_HEADER_BYTES);
}

void store_init(struct store *store, struct hal_flash *flash, const struct store_memory *memory) {
    uint32_t frame_bytes = memory->frame_bytes;
    check(frame_bytes % flash->program_bytes == 0);
    check(frame_bytes <= flash->block_bytes / 2);
    check((uint64_t)flash->block_bytes * flash->block_count < STORE_OPEN);
    check(flash->block_count > STORE_SPARE_BLOCKS + 1);
    *store = (struct store){.flash = flash, .memory = *memory, .block = flash->block_count};
    uint32_t base = 0;
    for (size_t kind = 0; kind < STORE_KINDS; kind++) {
        store->slot_base[kind] = base;
        base += memory->slot_counts[kind];
    }
    check(base < 0x10000000u);
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
    store->live_bytes = store->live_bytes - (slot->where != 0 ? slot->bytes : 0) + bytes;
    slot->where = where;
    slot->bytes = bytes;
}

/* ---- the open group ---- */

uint32_t store_room(const struct store *store) {
    uint32_t used = store->open_records == 0 ? STORE_FRAME_BYTES : store->open_bytes;
    uint32_t needed = used + STORE_RECORD_BYTES + STORE_CHAIN_BYTES;
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
    store_put_record_head(target, &head);
    memcpy(target + STORE_RECORD_BYTES, body.data, body.size);

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

static uint32_t least_worn_free(const struct store *store) {
    uint32_t best = store->flash->block_count;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_FREE &&
            (best == store->flash->block_count ||
             block->erase_count < store->memory.blocks[best].erase_count)) {
            best = b;
        }
    }
    return best;
}

static enum status program(struct store *store, uint32_t offset, const uint8_t *data,
                           uint32_t bytes) {
    enum status status = hal_flash_program(store->flash, offset, data, bytes);
    if (status != STATUS_OK) {
        store->has_failed = true;
    }
    store->stats.bytes_programmed += bytes;
    return status;
}

static enum status program_header(struct store *store, uint32_t b, uint32_t erase_count) {
    struct store_header header = {
        .epoch = store->epoch,
        .block_bytes = store->flash->block_bytes,
        .block_count = store->flash->block_count,
        .program_bytes = store->flash->program_bytes,
        .block_sequence = store->block_sequence,
        .erase_count = erase_count,
        .next_seq = store->committed_seq + 1,
        .acked_seq = store->acked_seq,
    };
    memcpy(header.id, store->id, STORE_ID_BYTES);
    memcpy(header.chain, store->head_chain, STORE_CHAIN_BYTES);
    memcpy(header.acked_chain, store->acked_chain, STORE_CHAIN_BYTES);
    uint8_t *unit = store->memory.copy_buffer; /* the cleaner fills it only between two blocks */
    uint32_t bytes = store_first_offset(store);
    memset(unit, 0xff, bytes);
    store_put_header(unit, &header);
    return program(store, b * store->flash->block_bytes, unit, bytes);
}

enum status store_open_block(struct store *store) {
    uint32_t b = least_worn_free(store);
    if (b == store->flash->block_count) {
        return STATUS_FULL;
    }
    struct store_block *block = &store->memory.blocks[b];
    enum status status = hal_flash_erase(store->flash, b);
    if (status != STATUS_OK) {
        store->has_failed = true;
        return status;
    }
    store->stats.erases += 1;
    store->block_sequence += 1;
    status = program_header(store, b, block->erase_count + 1);
    if (status != STATUS_OK) {
        return status;
    }
    *block = (struct store_block){
        .sequence = store->block_sequence,
        .erase_count = block->erase_count + 1,
        .used_bytes = store_first_offset(store),
        .state = STORE_BLOCK_USED,
    };
    store->free_count -= 1;
    store->block = b;
    store->offset = block->used_bytes;
    return STATUS_OK;
}

enum status store_make_room(struct store *store, uint32_t bytes) {
    bool fits = store->block < store->flash->block_count &&
                store->flash->block_bytes - store->offset >= padded(store, bytes);
    return fits ? STATUS_OK : store_open_block(store);
}

enum status store_program_frame(struct store *store, uint8_t *frame, uint32_t bytes) {
    uint32_t size = padded(store, bytes);
    check(store->flash->block_bytes - store->offset >= size);
    memset(frame + bytes, 0xff, size - bytes);
    uint32_t where = store->block * store->flash->block_bytes + store->offset;
    enum status status = program(store, where, frame, size);
    if (status == STATUS_OK) {
        store->offset += size;
        store->memory.blocks[store->block].used_bytes = store->offset;
    }
    return status;
}

/* Gives every open record its place, CRC and link, and the group its chain hash. */
static void seal_group(struct store *store) {
    uint8_t *buffer = store->memory.group_buffer;
    uint32_t start = store->block * store->flash->block_bytes + store->offset;
    uint32_t salt = store_salt(store, store->memory.blocks[store->block].sequence);
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){store->head_chain, STORE_CHAIN_BYTES});
    uint32_t at = STORE_FRAME_BYTES;
    while (at < store->open_bytes) {
        struct store_record_head head;
        store_get_record_head(buffer + at, &head);
        if (is_open(head.previous)) {
            head.previous = start + (head.previous & ~STORE_OPEN);
        }
        store_put_record_head(buffer + at, &head);
        head.crc = store_record_crc(buffer + at, head.body_bytes, salt, store->offset + at);
        store_put_record_head(buffer + at, &head);
        sha256_add(&hash, (struct bytes){buffer + at + STORE_RECORD_BYTES, head.body_bytes});
        struct store_slot *slot = store_slot_of(store, head.key);
        if (slot->where == (STORE_OPEN | at)) {
            store_place(store, slot, start + at, slot->bytes);
        }
        at += STORE_RECORD_BYTES + head.body_bytes;
    }
    uint8_t digest[SHA256_BYTES];
    sha256_end(&hash, digest);
    memcpy(store->head_chain, digest, STORE_CHAIN_BYTES);
    memcpy(buffer + at, digest, STORE_CHAIN_BYTES);
    store->open_bytes = at + STORE_CHAIN_BYTES;
    struct store_frame frame = {
        .bytes = store->open_bytes - STORE_FRAME_BYTES,
        .type = STORE_FRAME_GROUP,
        .seq_low = (uint16_t)(store->committed_seq + 1),
    };
    store_put_frame(buffer, &frame, salt, store->offset);
}

enum status store_commit(struct store *store) {
    if (store->has_failed) {
        return STATUS_IO;
    }
    if (store->is_syncing || store->open_records == 0) {
        return STATUS_AGAIN;
    }
    enum status status = store_make_room(store, store->open_bytes + STORE_CHAIN_BYTES);
    if (status != STATUS_OK) {
        return status;
    }
    seal_group(store);
    status = store_program_frame(store, store->memory.group_buffer, store->open_bytes);
    if (status != STATUS_OK) {
        return status;
    }
    store->committed_seq = store->head_seq;
    store->memory.blocks[store->block].last_seq = store->head_seq;
    store->open_records = 0;
    store->open_bytes = 0;
    store->stats.groups += 1;
    status = hal_flash_sync_start(store->flash);
    store->has_failed = status != STATUS_OK;
    store->is_syncing = status == STATUS_OK;
    store->sync_count += 1;
    return status;
}

static void free_left_blocks(struct store *store) {
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_LEAVING && block->leave_sync <= store->sync_count) {
            block->state = STORE_BLOCK_FREE;
            store->free_count += 1;
        }
    }
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
    free_left_blocks(store);
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
    uint64_t blocks = store->flash->block_count - STORE_SPARE_BLOCKS;
    uint64_t limit = blocks * payload / 10 * 6;
    uint64_t wanted = store->live_bytes + bytes_reserved + bytes;
    return !store->has_failed && store->free_count > STORE_SPARE_BLOCKS && wanted <= limit;
}
