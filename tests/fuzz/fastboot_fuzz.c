/* Any bytes from a bootloader, and any image file: fastboot's responses follow one command by the
 * table, and a sparse image is walked and cut without leaving the file. */
#include "protocol/fastboot.h"
#include "protocol/sparse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "%s:%u: check failed: %s\n", file, line, condition);
    abort();
}

/* Packets: a length byte each. */
static void talk(struct bytes input) {
    struct fastboot_host host;
    fastboot_host_init(&host);
    while (input.size > 1) {
        size_t size = input.data[0] < input.size - 1 ? input.data[0] : input.size - 1;
        struct bytes packet = {input.data + 1, size};
        struct fastboot_response response;
        input.data += 1 + size;
        input.size -= 1 + size;
        if (host.state == FASTBOOT_IDLE) {
            check(fastboot_host_command(&host, 16, size % 2 == 1) == STATUS_OK);
        }
        if (host.state == FASTBOOT_SENDING || host.state == FASTBOOT_RECEIVING) {
            (void)!fastboot_host_transferred(&host, (uint32_t)size);
        } else if (fastboot_host_response(&host, packet, &response) == STATUS_OK) {
            check(response.text.size <= packet.size);
        }
        struct bytes name, argument;
        uint64_t number = 0;
        (void)!fastboot_get_number(packet, &number);
        (void)!fastboot_get_command(packet, &name, &argument);
    }
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
    if (size > 0) {
        struct bytes rest = {data + 1, size - 1};
        if (data[0] % 2 == 0) {
            talk(rest);
        } else {
            cut(rest);
        }
    }
    return 0;
}
