/* Any bytes as an image file: a sparse image is walked and cut without leaving the file, and no
 * piece is larger than its limit. */
#include "protocol/sparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

static enum status chunk_at(const struct sparse_image *image, const struct sparse_place *place,
                            struct bytes file, struct sparse_chunk *chunk) {
    uint8_t head[SPARSE_CHUNK_BYTES] = {0};
    if (!image->is_plain) {
        if (place->offset > file.size || file.size - place->offset < sizeof head) {
            return STATUS_MALFORMED;
        }
        memcpy(head, file.data + place->offset, sizeof head);
    }
    return sparse_get_chunk(image, place, head, chunk);
}

static void write_out(const struct sparse_image *image, const struct sparse_piece *piece,
                      struct bytes file) {
    struct sparse_place place = piece->from;
    uint8_t head[SPARSE_PIECE_HEAD_BYTES];
    uint64_t size = sparse_piece_head(image, piece, head);
    while (!sparse_piece_is_end(piece, &place)) {
        struct sparse_chunk chunk;
        struct sparse_output output;
        check(chunk_at(image, &place, file, &chunk) == STATUS_OK);
        sparse_piece_chunk(image, piece, &place, &chunk, &output);
        check(output.copy_from + output.copy_bytes <= file.size);
        size += (uint64_t)output.head_bytes + output.copy_bytes + output.zero_bytes;
    }
    check(size + sparse_piece_tail(image, piece, head) <= piece->limit);
}

static void cut(struct bytes file) {
    struct sparse_image image;
    size_t start = file.size < SPARSE_HEADER_BYTES ? file.size : SPARSE_HEADER_BYTES;
    if (sparse_open(&image, (struct bytes){file.data, start}, file.size) != STATUS_OK) {
        return;
    }
    struct sparse_place place = sparse_start(&image);
    for (unsigned pieces = 0; pieces < 64 && !sparse_is_end(&image, &place); pieces++) {
        struct sparse_piece piece;
        struct sparse_chunk chunk;
        sparse_piece_begin(&image, &piece, &place, SPARSE_PIECE_MIN);
        bool goes_on = true;
        while (goes_on && !sparse_is_end(&image, &piece.to)) {
            if (chunk_at(&image, &piece.to, file, &chunk) != STATUS_OK) {
                return;
            }
            goes_on = sparse_piece_add(&image, &piece, &chunk);
        }
        write_out(&image, &piece, file);
        place = piece.to;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cut((struct bytes){data, size});
    return 0;
}
