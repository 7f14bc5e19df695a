/* flash_image.h - one image file as a row of downloads: whole when it fits, else cut into sparse
 * pieces (protocol/sparse.h). Reads are plain and small; they go to local storage. */
#ifndef HOST_HUBD_FLASH_IMAGE_H
#define HOST_HUBD_FLASH_IMAGE_H

#include "protocol/sha256.h"
#include "protocol/sparse.h"

#include <time.h>

enum {
    FLASH_IMAGE_SLICE = 256 * 1024, /* bytes that are hashed at once */
    FLASH_CHUNKS_MAX = 256 * 1024,  /* of a sparse image: their heads are read in one go */
};

/* What a file was when it was judged; it must be the same when it is sent. */
struct flash_identity {
    uint64_t device, inode, bytes;
    struct timespec modified;
};

struct flash_image {
    int file; /* -1: closed */
    struct sparse_image image;
    struct sparse_place at; /* where the next piece begins */
    bool is_begun;
    bool is_whole; /* it goes out as it is */
    uint64_t sent; /* is_whole: bytes that went out */
    uint64_t hashed;
    struct sha256 hash;

    struct sparse_piece piece;
    struct sparse_place place; /* in the piece that goes out */
    bool is_tail;              /* its end is going out */
    struct sparse_output output;
    uint8_t head[SPARSE_PIECE_HEAD_BYTES]; /* of the piece, of a chunk, or the tail */
    uint32_t head_bytes, head_taken;
};

/* Opens a file of the folder. NOT_FOUND: there is none, or it is no plain file. TOO_LARGE: its size
 * is not `bytes`. MALFORMED: a sparse image that is damaged, or has too many chunks; FOREIGN: of
 * another version. IO. */
must_check enum status flash_image_open(struct flash_image *image, int folder, const char *name,
                                        uint64_t bytes);
void flash_image_close(struct flash_image *image);

/* Hashes one more slice. AGAIN: there is more. OK: it is as `sha256` says; then its chunks have
 * been walked too. CORRUPT: another hash. MALFORMED, IO. */
must_check enum status flash_image_judge(struct flash_image *image,
                                         const uint8_t sha256[SHA256_BYTES]);
struct flash_identity flash_image_identity(const struct flash_image *image);
bool flash_identity_is(const struct flash_identity *a, const struct flash_identity *b);

/* Begins the next download of at most `limit` bytes (at least SPARSE_PIECE_MIN), and says how long
 * it is. NOT_FOUND: all has been sent. MALFORMED, IO. */
must_check enum status flash_image_next(struct flash_image *image, uint32_t limit, uint32_t *bytes);

/* The next bytes of that download; 0: the file cannot be read. */
size_t flash_image_read(struct flash_image *image, uint8_t *target, size_t capacity);

#endif
