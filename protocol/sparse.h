/* sparse.h - Android sparse images: reading one, and cutting one (or a plain image) into pieces
 * that a bootloader's memory takes.
 *
 * Source: AOSP libsparse/sparse_format.h and sparse.cpp. An image is a header and chunks: raw
 * blocks, a 4-byte pattern for some blocks, blocks to leave alone, or a checksum. A piece is a
 * sparse image of its own over all blocks: what it does not bring it leaves alone. A plain image is
 * the same as a sparse one with one raw chunk.
 *
 * Nothing here reads a file: the caller is told which bytes of the image are wanted, and where the
 * content of a piece is to be copied from. */
#ifndef PROTOCOL_SPARSE_H
#define PROTOCOL_SPARSE_H

#include "hal/base.h"

#define SPARSE_MAGIC 0xed26ff3au

enum {
    SPARSE_HEADER_BYTES = 28,
    SPARSE_CHUNK_BYTES = 12,       /* head of a chunk */
    SPARSE_BLOCK_BYTES = 4096,     /* of a plain image */
    SPARSE_PIECE_MIN = 128 * 1024, /* smallest limit of a piece, in bytes */
};

enum sparse_type {
    SPARSE_RAW = 0xcac1,
    SPARSE_FILL = 0xcac2,  /* 4 bytes, repeated */
    SPARSE_SKIP = 0xcac3,  /* left alone */
    SPARSE_CRC32 = 0xcac4, /* 4 bytes, of everything so far; covers no block */
};

struct sparse_image {
    uint64_t file_bytes;
    uint32_t block_bytes; /* a multiple of 4 */
    uint32_t block_count;
    uint32_t chunk_count;
    uint32_t header_bytes; /* of the file's header and of a chunk's: a later version's are longer */
    uint32_t chunk_header_bytes;
    bool is_plain;
};

/* A place between two chunks, or between two blocks of one. */
struct sparse_place {
    uint64_t offset;  /* of the chunk's head in the file */
    uint32_t chunk;   /* its number, from 0 */
    uint32_t block;   /* of the image, that comes next */
    uint32_t skipped; /* blocks of that chunk that are behind us */
};

struct sparse_chunk {
    enum sparse_type type;
    uint32_t blocks;
    uint64_t data;       /* where its data begins in the file */
    uint32_t data_bytes; /* of a fill or checksum: 4; of a skip: 0; of raw: 0, as it may not fit */
};

/* Reads the header of an image of `file_bytes`; `start` is its first 28 bytes, or all of a shorter
 * file. An image without the magic number is a plain one. MALFORMED: a sparse one that is damaged;
 * FOREIGN: of a major version that is not 1; TOO_LARGE: 2^32 blocks or more. */
must_check enum status sparse_open(struct sparse_image *image, struct bytes start,
                                   uint64_t file_bytes);

struct sparse_place sparse_start(const struct sparse_image *image);
bool sparse_is_end(const struct sparse_image *image, const struct sparse_place *place);

/* Reads the chunk at a place from its 12 bytes at `place->offset` (a plain image needs none).
 * MALFORMED: a size that does not fit its kind, the file or the image; or the last chunk does not
 * end where the image does. */
must_check enum status sparse_get_chunk(const struct sparse_image *image,
                                        const struct sparse_place *place,
                                        const uint8_t head[SPARSE_CHUNK_BYTES],
                                        struct sparse_chunk *chunk);

/* The place behind that chunk. */
void sparse_pass_chunk(const struct sparse_image *image, struct sparse_place *place,
                       const struct sparse_chunk *chunk);

/* ---- cutting ---- */

/* What one piece is made of: chunks from `from` up to `to`. */
struct sparse_piece {
    struct sparse_place from;
    struct sparse_place to;
    uint32_t limit;  /* bytes that it may have; at least SPARSE_PIECE_MIN */
    uint32_t bytes;  /* that it has */
    uint32_t chunks; /* that it has, the skips at both ends included */
    bool is_full;    /* nothing more fits */
};

void sparse_piece_begin(const struct sparse_image *image, struct sparse_piece *piece,
                        const struct sparse_place *from, uint32_t limit);

/* Puts the chunk at `piece->to` in, or as many of its blocks as fit. False: the piece is full. The
 * caller goes on while it is true and the end is not reached. */
bool sparse_piece_add(const struct sparse_image *image, struct sparse_piece *piece,
                      const struct sparse_chunk *chunk);

/* Writes the head of the piece: the image's header and, if it does not begin at block 0, the skip
 * up to there. Returns the size. */
enum { SPARSE_PIECE_HEAD_BYTES = SPARSE_HEADER_BYTES + SPARSE_CHUNK_BYTES };
uint32_t sparse_piece_head(const struct sparse_image *image, const struct sparse_piece *piece,
                           uint8_t target[SPARSE_PIECE_HEAD_BYTES]);

/* One chunk of the piece, as it goes out: `head`, then `copy_bytes` of the file from `copy_from`,
 * then zeros. */
struct sparse_output {
    uint8_t head[SPARSE_CHUNK_BYTES];
    uint32_t head_bytes; /* 0: it covers no block (a checksum), and nothing goes out */
    uint64_t copy_from;
    uint32_t copy_bytes;
    uint32_t zero_bytes; /* behind the end of a plain image, up to its last block's end */
};

/* Walks the piece a second time, from `piece->from` on. `*place` moves past what came out. */
void sparse_piece_chunk(const struct sparse_image *image, const struct sparse_piece *piece,
                        struct sparse_place *place, const struct sparse_chunk *chunk,
                        struct sparse_output *output);
bool sparse_piece_is_end(const struct sparse_piece *piece, const struct sparse_place *place);

/* Writes the end of the piece: the skip up to the image's last block. Returns the size, perhaps
 * 0.*/
uint32_t sparse_piece_tail(const struct sparse_image *image, const struct sparse_piece *piece,
                           uint8_t target[SPARSE_CHUNK_BYTES]);

#endif
