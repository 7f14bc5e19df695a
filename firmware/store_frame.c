#include "firmware/store_frame.h"

#include "protocol/crc32c.h"

#include <string.h>

static const uint8_t magic[4] = {'H', 'U', 'B', 'D'};

static void put_le(uint8_t *target, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) {
        target[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_le(const uint8_t *source, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value |= (uint64_t)source[i] << (8 * i);
    }
    return value;
}

static uint32_t get_u32(const uint8_t *source) {
    return (uint32_t)get_le(source, 4);
}

/* ---- block headers ---- */

void store_put_header(uint8_t target[STORE_HEADER_BYTES], const struct store_header *header) {
    memset(target, 0, STORE_HEADER_BYTES);
    memcpy(target, magic, 4);
    put_le(target + 4, STORE_FORMAT, 2);
    put_le(target + 6, STORE_HEADER_BYTES, 2);
    memcpy(target + 8, header->id, STORE_ID_BYTES);
    put_le(target + 24, header->epoch, 4);
    put_le(target + 28, header->block_bytes, 4);
    put_le(target + 32, header->block_count, 4);
    put_le(target + 36, header->program_bytes, 4);
    put_le(target + 40, header->block, 4);
    put_le(target + 44, header->erase_count, 4);
    put_le(target + 48, header->sequence, 8);
    put_le(target + 56, header->oldest_sequence, 8);
    put_le(target + 64, header->previous_sequence, 8);
    put_le(target + 72, header->previous_end, 4);
    put_le(target + 76, header->nonce, 4);
    put_le(target + 80, header->next_seq, 8);
    memcpy(target + 88, header->chain, STORE_CHAIN_BYTES);
    put_le(target + 96, header->acked_seq, 8);
    memcpy(target + 104, header->acked_chain, STORE_CHAIN_BYTES);
    put_le(target + 112, header->suspect_seq, 8);
    put_le(target + STORE_SEALED_BYTES, crc32c(0, (struct bytes){target, STORE_SEALED_BYTES}), 4);
}

enum status store_get_header(const uint8_t source[STORE_HEADER_BYTES],
                             struct store_header *header) {
    uint32_t crc = crc32c(0, (struct bytes){source, STORE_SEALED_BYTES});
    if (memcmp(source, magic, 4) != 0 || get_u32(source + STORE_SEALED_BYTES) != crc) {
        return STATUS_MALFORMED;
    }
    if (get_le(source + 4, 2) != STORE_FORMAT) {
        return STATUS_FOREIGN;
    }
    struct store_header found = {
        .epoch = get_u32(source + 24),
        .block_bytes = get_u32(source + 28),
        .block_count = get_u32(source + 32),
        .program_bytes = get_u32(source + 36),
        .block = get_u32(source + 40),
        .erase_count = get_u32(source + 44),
        .sequence = get_le(source + 48, 8),
        .oldest_sequence = get_le(source + 56, 8),
        .previous_sequence = get_le(source + 64, 8),
        .previous_end = get_u32(source + 72),
        .nonce = get_u32(source + 76),
        .next_seq = get_le(source + 80, 8),
        .acked_seq = get_le(source + 96, 8),
        .suspect_seq = get_le(source + 112, 8),
    };
    memcpy(found.id, source + 8, STORE_ID_BYTES);
    memcpy(found.chain, source + 88, STORE_CHAIN_BYTES);
    memcpy(found.acked_chain, source + 104, STORE_CHAIN_BYTES);
    if (found.sequence == 0 || found.sequence > STORE_SEQ_MAX || found.next_seq == 0 ||
        found.next_seq > STORE_SEQ_MAX || found.acked_seq >= found.next_seq ||
        found.suspect_seq >= found.next_seq || found.previous_sequence >= found.sequence ||
        found.oldest_sequence > found.sequence) {
        return STATUS_MALFORMED;
    }
    *header = found;
    return STATUS_OK;
}

enum status store_read_header(const struct store *store, uint32_t block,
                              struct store_header *header) {
    uint8_t bytes[STORE_HEADER_BYTES];
    enum status status =
        hal_flash_read(store->flash, block * store->flash->block_bytes, bytes, sizeof bytes);
    return status == STATUS_OK ? store_get_header(bytes, header) : status;
}

/* ---- frames ---- */

uint32_t store_salt(const struct store *store, uint32_t block) {
    uint8_t use[12];
    put_le(use, store->memory.blocks[block].sequence, 8);
    put_le(use + 8, store->memory.blocks[block].nonce, 4);
    uint32_t crc = crc32c(0, (struct bytes){store->id, STORE_ID_BYTES});
    return crc32c(crc, (struct bytes){use, sizeof use});
}

/* Of `size` bytes at an offset of a block. */
static uint32_t crc_at(uint32_t salt, uint32_t offset, const uint8_t *data, size_t size) {
    uint8_t place[4];
    put_le(place, offset, 4);
    return crc32c(crc32c(salt, (struct bytes){place, 4}), (struct bytes){data, size});
}

void store_put_frame(uint8_t target[STORE_FRAME_BYTES], const struct store_frame *frame,
                     uint32_t salt, uint32_t offset) {
    put_le(target, frame->bytes, 3);
    target[3] = frame->type;
    put_le(target + 4, frame->seq_low, 2);
    put_le(target + 6, crc_at(salt, offset, target, 6), 2);
}

bool store_get_frame(const uint8_t source[STORE_FRAME_BYTES], struct store_frame *frame,
                     uint32_t salt, uint32_t offset) {
    *frame = (struct store_frame){
        .bytes = (uint32_t)get_le(source, 3),
        .type = source[3],
        .seq_low = (uint16_t)get_le(source + 4, 2),
    };
    bool is_known = frame->type == STORE_FRAME_COPY ||
                    (frame->type == STORE_FRAME_GROUP && frame->bytes >= STORE_TAIL_BYTES);
    return is_known && get_le(source + 6, 2) == (crc_at(salt, offset, source, 6) & 0xffff);
}

void store_put_tail(uint8_t target[STORE_TAIL_BYTES], const uint8_t chain[STORE_CHAIN_BYTES],
                    uint32_t salt, uint32_t offset) {
    memcpy(target, chain, STORE_CHAIN_BYTES);
    put_le(target + STORE_CHAIN_BYTES, crc_at(salt, offset, target, STORE_CHAIN_BYTES), 4);
}

bool store_is_tail_valid(const uint8_t source[STORE_TAIL_BYTES], uint32_t salt, uint32_t offset) {
    return get_u32(source + STORE_CHAIN_BYTES) == crc_at(salt, offset, source, STORE_CHAIN_BYTES);
}

/* ---- records: key 4, previous 4, size 2, CRC of these 2, CRC of all 4, body ---- */

void store_put_record(uint8_t *record, const struct store_record_head *head, uint32_t salt,
                      uint32_t offset) {
    put_le(record, (uint32_t)head->key.kind << 28 | head->key.index, 4);
    put_le(record + 4, head->previous, 4);
    put_le(record + 8, head->body_bytes, 2);
    uint32_t crc = crc_at(salt, offset, record, 10);
    put_le(record + 10, crc, 2);
    struct bytes body = {record + STORE_RECORD_BYTES, head->body_bytes};
    put_le(record + 12, crc32c(crc, body), 4);
}

void store_get_record_head(const uint8_t *record, struct store_record_head *head) {
    uint32_t key = get_u32(record);
    *head = (struct store_record_head){
        .key = {.kind = (uint8_t)(key >> 28), .index = key & 0x0fffffffu},
        .previous = get_u32(record + 4),
        .body_bytes = (uint32_t)get_le(record + 8, 2),
    };
}

bool store_is_head_valid(const uint8_t *record, uint32_t salt, uint32_t offset) {
    return get_le(record + 10, 2) == (crc_at(salt, offset, record, 10) & 0xffff);
}

bool store_is_record_valid(const uint8_t *record, uint32_t body_bytes, uint32_t salt,
                           uint32_t offset) {
    uint32_t crc = crc_at(salt, offset, record, 10);
    struct bytes body = {record + STORE_RECORD_BYTES, body_bytes};
    return get_le(record + 10, 2) == (crc & 0xffff) && get_u32(record + 12) == crc32c(crc, body);
}

void store_put_copy_seq(uint8_t target[STORE_COPY_BYTES], uint64_t seq, uint32_t salt,
                        uint32_t offset) {
    put_le(target, seq, 6);
    put_le(target + 6, crc_at(salt, offset, target, 6), 2);
}

uint64_t store_get_copy_seq(const uint8_t source[STORE_COPY_BYTES], uint32_t salt,
                            uint32_t offset) {
    uint32_t crc = crc_at(salt, offset, source, 6) & 0xffff;
    return get_le(source + 6, 2) == crc ? get_le(source, 6) : 0;
}

/* ---- walking ---- */

void store_walk_init(struct store_walk *walk, const uint8_t *frame, const struct store_frame *head,
                     uint32_t salt, uint32_t offset) {
    bool is_copy = head->type == STORE_FRAME_COPY;
    *walk = (struct store_walk){
        .frame = frame,
        .end = STORE_FRAME_BYTES + head->bytes - (is_copy ? 0 : STORE_TAIL_BYTES),
        .offset = offset,
        .salt = salt,
        .at = STORE_FRAME_BYTES,
        .is_copy = is_copy,
    };
}

bool store_walk_next(struct store_walk *walk) {
    uint32_t lead = walk->is_copy ? STORE_COPY_BYTES : 0;
    if (walk->at == walk->end || walk->is_broken) {
        return false;
    }
    walk->is_broken = true;
    if (walk->end - walk->at < lead + STORE_RECORD_BYTES) {
        return false;
    }
    const uint8_t *record = walk->frame + walk->at + lead;
    uint32_t offset = walk->offset + walk->at;
    uint64_t seq = walk->is_copy ? store_get_copy_seq(record - lead, walk->salt, offset) : 0;
    bool is_valid = store_is_head_valid(record, walk->salt, offset + lead);
    store_get_record_head(record, &walk->head);
    uint32_t bytes = lead + STORE_RECORD_BYTES + walk->head.body_bytes;
    if (!is_valid || (walk->is_copy && seq == 0) || walk->end - walk->at < bytes) {
        return false;
    }
    walk->is_broken = false;
    walk->head_at = walk->at + lead;
    walk->copy_seq = seq;
    walk->is_intact =
        store_is_record_valid(record, walk->head.body_bytes, walk->salt, offset + lead);
    walk->at += bytes;
    return true;
}

bool store_is_frame_intact(const uint8_t *frame, const struct store_frame *head, uint32_t salt,
                           uint32_t offset) {
    struct store_walk walk;
    store_walk_init(&walk, frame, head, salt, offset);
    while (store_walk_next(&walk)) {
        if (!walk.is_intact) {
            return false;
        }
    }
    return !walk.is_broken &&
           (walk.is_copy || store_is_tail_valid(frame + walk.end, salt, offset + walk.end));
}
