#include "protocol/sparse.h"

#include <string.h>

/* Room that is always kept for the skip at the end of a piece. */
enum { PIECE_OVERHEAD = SPARSE_HEADER_BYTES + 2 * SPARSE_CHUNK_BYTES };

static uint32_t get_u16(const uint8_t *source) {
    return (uint32_t)source[0] | (uint32_t)source[1] << 8;
}

static uint32_t get_u32(const uint8_t *source) {
    return get_u16(source) | get_u16(source + 2) << 16;
}

static void put_u16(uint8_t *target, uint32_t value) {
    target[0] = (uint8_t)value;
    target[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *target, uint32_t value) {
    put_u16(target, value);
    put_u16(target + 2, value >> 16);
}

/* ---- reading ---- */

static enum status open_plain(struct sparse_image *image, uint64_t file_bytes) {
    uint64_t blocks = file_bytes / SPARSE_BLOCK_BYTES + (file_bytes % SPARSE_BLOCK_BYTES > 0);
    if (blocks > UINT32_MAX) {
        return STATUS_TOO_LARGE;
    }
    *image = (struct sparse_image){
        .file_bytes = file_bytes,
        .block_bytes = SPARSE_BLOCK_BYTES,
        .block_count = (uint32_t)blocks,
        .chunk_count = blocks > 0,
        .is_plain = true,
    };
    return STATUS_OK;
}

enum status sparse_open(struct sparse_image *image, struct bytes start, uint64_t file_bytes) {
    check(start.size >= SPARSE_HEADER_BYTES || start.size == file_bytes);
    if (start.size < 4 || get_u32(start.data) != SPARSE_MAGIC) {
        return open_plain(image, file_bytes);
    }
    if (start.size < SPARSE_HEADER_BYTES) {
        return STATUS_MALFORMED;
    }
    const uint8_t *header = start.data;
    if (get_u16(header + 4) != 1) {
        return STATUS_FOREIGN;
    }
    struct sparse_image read = {
        .file_bytes = file_bytes,
        .header_bytes = get_u16(header + 8),
        .chunk_header_bytes = get_u16(header + 10),
        .block_bytes = get_u32(header + 12),
        .block_count = get_u32(header + 16),
        .chunk_count = get_u32(header + 20),
    };
    bool is_sound = read.header_bytes >= SPARSE_HEADER_BYTES && read.header_bytes <= file_bytes &&
                    read.chunk_header_bytes >= SPARSE_CHUNK_BYTES && read.block_bytes > 0 &&
                    read.block_bytes % 4 == 0 &&
                    read.block_bytes <= SPARSE_PIECE_MIN - PIECE_OVERHEAD - SPARSE_CHUNK_BYTES &&
                    (read.block_count == 0 || read.chunk_count > 0);
    if (!is_sound) {
        return STATUS_MALFORMED;
    }
    *image = read;
    return STATUS_OK;
}

struct sparse_place sparse_start(const struct sparse_image *image) {
    return (struct sparse_place){.offset = image->header_bytes};
}

bool sparse_is_end(const struct sparse_image *image, const struct sparse_place *place) {
    return place->chunk == image->chunk_count;
}

/* Bytes of data that a chunk must have; false: no such kind. */
static bool data_bytes_of(const struct sparse_image *image, const struct sparse_chunk *chunk,
                          uint64_t *bytes) {
    switch (chunk->type) {
    case SPARSE_RAW:
        *bytes = (uint64_t)chunk->blocks * image->block_bytes;
        return true;
    case SPARSE_FILL:
        *bytes = 4;
        return true;
    case SPARSE_SKIP:
        *bytes = 0;
        return true;
    case SPARSE_CRC32:
        *bytes = 4;
        return chunk->blocks == 0;
    default:
        return false;
    }
}

enum status sparse_get_chunk(const struct sparse_image *image, const struct sparse_place *place,
                             const uint8_t head[SPARSE_CHUNK_BYTES], struct sparse_chunk *chunk) {
    check(!sparse_is_end(image, place));
    if (image->is_plain) {
        *chunk = (struct sparse_chunk){.type = SPARSE_RAW, .blocks = image->block_count};
        return STATUS_OK;
    }
    struct sparse_chunk read = {
        .type = (enum sparse_type)get_u16(head),
        .blocks = get_u32(head + 4),
        .data = place->offset + image->chunk_header_bytes,
    };
    uint32_t first = place->block - place->skipped;
    uint64_t data_bytes = 0;
    bool is_last = place->chunk + 1 == image->chunk_count;
    uint64_t end = (uint64_t)first + read.blocks;
    if (!data_bytes_of(image, &read, &data_bytes) || end > image->block_count ||
        (is_last && end != image->block_count) || place->skipped > read.blocks) {
        return STATUS_MALFORMED;
    }
    /* The size on flash is of 32 bits, so a raw chunk is below 4 GiB. */
    if (get_u32(head + 8) != image->chunk_header_bytes + data_bytes ||
        read.data > image->file_bytes || data_bytes > image->file_bytes - read.data) {
        return STATUS_MALFORMED;
    }
    read.data_bytes = read.type == SPARSE_RAW ? 0 : (uint32_t)data_bytes;
    *chunk = read;
    return STATUS_OK;
}

void sparse_pass_chunk(const struct sparse_image *image, struct sparse_place *place,
                       const struct sparse_chunk *chunk) {
    uint64_t data_bytes = 0;
    check(data_bytes_of(image, chunk, &data_bytes));
    place->offset = chunk->data + data_bytes;
    place->block += chunk->blocks - place->skipped;
    place->skipped = 0;
    place->chunk += 1;
}

/* ---- cutting ---- */

void sparse_piece_begin(const struct sparse_image *image, struct sparse_piece *piece,
                        const struct sparse_place *from, uint32_t limit) {
    check(limit >= SPARSE_PIECE_MIN && !sparse_is_end(image, from));
    *piece = (struct sparse_piece){
        .from = *from,
        .to = *from,
        .limit = limit,
        .bytes = PIECE_OVERHEAD,
        .chunks = from->block > 0,
    };
}

/* Blocks of the chunk, from `skipped` on, that fit into `room` bytes. */
static uint32_t blocks_that_fit(const struct sparse_image *image, const struct sparse_chunk *chunk,
                                uint32_t skipped, uint32_t room) {
    uint32_t left = chunk->blocks - skipped;
    if (room < SPARSE_CHUNK_BYTES + chunk->data_bytes) {
        return 0;
    }
    uint32_t most = (room - SPARSE_CHUNK_BYTES) / image->block_bytes;
    return chunk->type != SPARSE_RAW || left < most ? left : most;
}

bool sparse_piece_add(const struct sparse_image *image, struct sparse_piece *piece,
                      const struct sparse_chunk *chunk) {
    if (chunk->blocks == 0) { /* such as a checksum: it is of the whole image */
        sparse_pass_chunk(image, &piece->to, chunk);
        return true;
    }
    uint32_t room = piece->limit - piece->bytes;
    uint32_t left = chunk->blocks - piece->to.skipped;
    uint32_t blocks = blocks_that_fit(image, chunk, piece->to.skipped, room);
    if (blocks == 0) {
        piece->is_full = true;
        return false;
    }
    piece->bytes += SPARSE_CHUNK_BYTES +
                    (chunk->type == SPARSE_RAW ? blocks * image->block_bytes : chunk->data_bytes);
    piece->chunks += 1;
    if (blocks == left) {
        sparse_pass_chunk(image, &piece->to, chunk);
        return true;
    }
    piece->to.block += blocks;
    piece->to.skipped += blocks;
    piece->is_full = true;
    return false;
}

static void put_chunk(uint8_t target[SPARSE_CHUNK_BYTES], enum sparse_type type, uint32_t blocks,
                      uint32_t data_bytes) {
    put_u16(target, type);
    put_u16(target + 2, 0);
    put_u32(target + 4, blocks);
    put_u32(target + 8, SPARSE_CHUNK_BYTES + data_bytes);
}

static uint32_t blocks_behind(const struct sparse_image *image, const struct sparse_piece *piece) {
    return image->block_count - piece->to.block;
}

uint32_t sparse_piece_head(const struct sparse_image *image, const struct sparse_piece *piece,
                           uint8_t target[SPARSE_PIECE_HEAD_BYTES]) {
    memset(target, 0, SPARSE_HEADER_BYTES);
    put_u32(target, SPARSE_MAGIC);
    put_u16(target + 4, 1);
    put_u16(target + 8, SPARSE_HEADER_BYTES);
    put_u16(target + 10, SPARSE_CHUNK_BYTES);
    put_u32(target + 12, image->block_bytes);
    put_u32(target + 16, image->block_count);
    put_u32(target + 20, piece->chunks + (blocks_behind(image, piece) > 0));
    if (piece->from.block == 0) {
        return SPARSE_HEADER_BYTES;
    }
    put_chunk(target + SPARSE_HEADER_BYTES, SPARSE_SKIP, piece->from.block, 0);
    return SPARSE_PIECE_HEAD_BYTES;
}

bool sparse_piece_is_end(const struct sparse_piece *piece, const struct sparse_place *place) {
    return place->chunk == piece->to.chunk && place->skipped == piece->to.skipped;
}

void sparse_piece_chunk(const struct sparse_image *image, const struct sparse_piece *piece,
                        struct sparse_place *place, const struct sparse_chunk *chunk,
                        struct sparse_output *output) {
    check(!sparse_piece_is_end(piece, place));
    *output = (struct sparse_output){.head_bytes = 0};
    bool is_cut = place->chunk == piece->to.chunk;
    uint32_t end = is_cut ? piece->to.skipped : chunk->blocks;
    uint32_t blocks = end - place->skipped;
    uint32_t first = place->skipped;
    if (is_cut) {
        place->block += blocks;
        place->skipped = end;
    } else {
        sparse_pass_chunk(image, place, chunk);
    }
    if (chunk->blocks == 0) {
        return;
    }
    bool is_raw = chunk->type == SPARSE_RAW;
    uint32_t data_bytes = is_raw ? blocks * image->block_bytes : chunk->data_bytes;
    output->head_bytes = SPARSE_CHUNK_BYTES;
    output->copy_from = chunk->data + (is_raw ? (uint64_t)first * image->block_bytes : 0);
    uint64_t file_bytes = image->file_bytes - output->copy_from;
    output->copy_bytes = data_bytes < file_bytes ? data_bytes : (uint32_t)file_bytes;
    output->zero_bytes = data_bytes - output->copy_bytes;
    put_chunk(output->head, chunk->type, blocks, data_bytes);
}

uint32_t sparse_piece_tail(const struct sparse_image *image, const struct sparse_piece *piece,
                           uint8_t target[SPARSE_CHUNK_BYTES]) {
    uint32_t blocks = blocks_behind(image, piece);
    if (blocks == 0) {
        return 0;
    }
    put_chunk(target, SPARSE_SKIP, blocks, 0);
    return SPARSE_CHUNK_BYTES;
}
