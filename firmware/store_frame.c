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

uint64_t store_get_u64(const uint8_t *source) {
    return get_le(source, 8);
}

void store_put_u64(uint8_t *target, uint64_t value) {
    put_le(target, value, 8);
}

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
    put_le(target + 40, header->block_sequence, 8);
    put_le(target + 48, header->erase_count, 4);
    put_le(target + 52, header->next_seq, 8);
    memcpy(target + 60, header->chain, STORE_CHAIN_BYTES);
    put_le(target + 68, header->acked_seq, 8);
    memcpy(target + 76, header->acked_chain, STORE_CHAIN_BYTES);
    put_le(target + 92, crc32c(0, (struct bytes){target, 92}), 4);
}

enum status store_get_header(const uint8_t source[STORE_HEADER_BYTES],
                             struct store_header *header) {
    if (memcmp(source, magic, 4) != 0 ||
        get_le(source + 92, 4) != crc32c(0, (struct bytes){source, 92})) {
        return STATUS_MALFORMED;
    }
    if (get_le(source + 4, 2) != STORE_FORMAT) {
        return STATUS_FOREIGN;
    }
    *header = (struct store_header){
        .epoch = (uint32_t)get_le(source + 24, 4),
        .block_bytes = (uint32_t)get_le(source + 28, 4),
        .block_count = (uint32_t)get_le(source + 32, 4),
        .program_bytes = (uint32_t)get_le(source + 36, 4),
        .block_sequence = get_le(source + 40, 8),
        .erase_count = (uint32_t)get_le(source + 48, 4),
        .next_seq = get_le(source + 52, 8),
        .acked_seq = get_le(source + 68, 8),
    };
    memcpy(header->id, source + 8, STORE_ID_BYTES);
    memcpy(header->chain, source + 60, STORE_CHAIN_BYTES);
    memcpy(header->acked_chain, source + 76, STORE_CHAIN_BYTES);
    return STATUS_OK;
}

uint32_t store_salt(const struct store *store, uint64_t block_sequence) {
    uint8_t sequence[8];
    put_le(sequence, block_sequence, 8);
    uint32_t crc = crc32c(0, (struct bytes){store->id, STORE_ID_BYTES});
    return crc32c(crc, (struct bytes){sequence, 8});
}

static uint32_t salted(uint32_t salt, uint32_t offset) {
    uint8_t place[4];
    put_le(place, offset, 4);
    return crc32c(salt, (struct bytes){place, 4});
}

void store_put_frame(uint8_t target[STORE_FRAME_BYTES], const struct store_frame *frame,
                     uint32_t salt, uint32_t offset) {
    put_le(target, frame->bytes, 3);
    target[3] = frame->type;
    put_le(target + 4, frame->seq_low, 2);
    put_le(target + 6, crc32c(salted(salt, offset), (struct bytes){target, 6}) & 0xffff, 2);
}

bool store_get_frame(const uint8_t source[STORE_FRAME_BYTES], struct store_frame *frame,
                     uint32_t salt, uint32_t offset) {
    uint32_t crc = crc32c(salted(salt, offset), (struct bytes){source, 6}) & 0xffff;
    *frame = (struct store_frame){
        .bytes = (uint32_t)get_le(source, 3),
        .type = source[3],
        .seq_low = (uint16_t)get_le(source + 4, 2),
    };
    bool is_known = frame->type == STORE_FRAME_GROUP || frame->type == STORE_FRAME_COPY;
    return is_known && get_le(source + 6, 2) == crc;
}

void store_put_record_head(uint8_t target[STORE_RECORD_BYTES],
                           const struct store_record_head *head) {
    put_le(target, (uint32_t)head->key.kind << 28 | head->key.index, 4);
    put_le(target + 4, head->previous, 4);
    put_le(target + 8, head->body_bytes, 2);
    put_le(target + 10, head->crc, 4);
}

void store_get_record_head(const uint8_t source[STORE_RECORD_BYTES],
                           struct store_record_head *head) {
    uint32_t key = (uint32_t)get_le(source, 4);
    *head = (struct store_record_head){
        .key = {.kind = (uint8_t)(key >> 28), .index = key & 0x0fffffffu},
        .previous = (uint32_t)get_le(source + 4, 4),
        .body_bytes = (uint32_t)get_le(source + 8, 2),
        .crc = (uint32_t)get_le(source + 10, 4),
    };
}

uint32_t store_record_crc(const uint8_t *record, uint32_t body_bytes, uint32_t salt,
                          uint32_t offset) {
    uint32_t crc = crc32c(salted(salt, offset), (struct bytes){record, 10});
    return crc32c(crc, (struct bytes){record + STORE_RECORD_BYTES, body_bytes});
}
