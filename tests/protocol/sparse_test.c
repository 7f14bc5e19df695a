/* Sparse images: what is read, what is refused, and that the pieces of an image write the same
 * blocks as the image. */
#include "protocol/sparse.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCK = 4096, BLOCKS = 300, FILE_MAX = 2 * 1024 * 1024 };

static uint8_t file[FILE_MAX]; /* the image */
static size_t file_bytes;
static uint8_t piece_bytes[FILE_MAX];
static uint8_t expected[BLOCKS * BLOCK]; /* a partition; 0xee: never written */
static uint8_t written[BLOCKS * BLOCK];

static void put(uint32_t value, size_t size) {
    for (size_t i = 0; i < size; i++) {
        file[file_bytes++] = (uint8_t)(value >> (8 * i));
    }
}

static void put_chunk(uint32_t type, uint32_t blocks, uint32_t data_bytes) {
    put(type, 2);
    put(0, 2);
    put(blocks, 4);
    put(SPARSE_CHUNK_BYTES + data_bytes, 4);
}

static void put_raw(uint32_t blocks, uint32_t seed) {
    put_chunk(SPARSE_RAW, blocks, blocks * BLOCK);
    for (uint32_t i = 0; i < blocks * BLOCK; i++) {
        seed = seed * 1664525 + 1013904223;
        file[file_bytes++] = (uint8_t)(seed >> 24);
    }
}

/* raw, nothing, fill, skip, raw, a checksum, fill, skip */
static void make_image(void) {
    file_bytes = 0;
    put(SPARSE_MAGIC, 4);
    put(1, 4);
    put(SPARSE_HEADER_BYTES, 2);
    put(SPARSE_CHUNK_BYTES, 2);
    put(BLOCK, 4);
    put(BLOCKS, 4);
    put(8, 4);
    put(0, 4);
    put_raw(100, 1);
    put_chunk(SPARSE_RAW, 0, 0);
    put_chunk(SPARSE_FILL, 40, 4);
    put(0x01020304, 4);
    put_chunk(SPARSE_SKIP, 10, 0);
    put_raw(101, 2);
    put_chunk(SPARSE_CRC32, 0, 4);
    put(0xdeadbeef, 4);
    put_chunk(SPARSE_FILL, 1, 4);
    put(0, 4);
    put_chunk(SPARSE_SKIP, 48, 0);
}

static enum status open_bytes(struct sparse_image *image, const uint8_t *data, size_t size) {
    size_t start = size < SPARSE_HEADER_BYTES ? size : SPARSE_HEADER_BYTES;
    return sparse_open(image, (struct bytes){data, start}, size);
}

/* What a bootloader does with an image; a check of every rule that it relies on. */
static enum status expand(const uint8_t *data, size_t size, uint8_t *partition) {
    struct sparse_image image;
    enum status status = open_bytes(&image, data, size);
    if (status != STATUS_OK) {
        return status;
    }
    struct sparse_place place = sparse_start(&image);
    while (!sparse_is_end(&image, &place)) {
        struct sparse_chunk chunk;
        if (!image.is_plain && place.offset + SPARSE_CHUNK_BYTES > size) {
            return STATUS_MALFORMED;
        }
        status = sparse_get_chunk(&image, &place, data + place.offset, &chunk);
        if (status != STATUS_OK) {
            return status;
        }
        uint64_t room = size - chunk.data;
        size_t bytes = (size_t)chunk.blocks * image.block_bytes;
        uint8_t *target = partition + (size_t)place.block * image.block_bytes;
        for (size_t i = 0; i < bytes && chunk.type != SPARSE_SKIP; i++) {
            uint64_t at = chunk.type == SPARSE_FILL ? i % 4 : i;
            target[i] = at < room ? data[chunk.data + at] : 0;
        }
        sparse_pass_chunk(&image, &place, &chunk);
    }
    return STATUS_OK;
}

static struct sparse_chunk chunk_at(const struct sparse_image *image,
                                    const struct sparse_place *place) {
    struct sparse_chunk chunk;
    assert_int_equal(sparse_get_chunk(image, place, file + place->offset, &chunk), STATUS_OK);
    return chunk;
}

static void append(size_t *size, const void *data, size_t count) {
    assert_true(*size + count <= FILE_MAX);
    memcpy(piece_bytes + *size, data, count);
    *size += count;
}

static size_t write_piece(const struct sparse_image *image, const struct sparse_piece *piece) {
    uint8_t head[SPARSE_PIECE_HEAD_BYTES];
    uint8_t tail[SPARSE_CHUNK_BYTES];
    size_t size = 0;
    append(&size, head, sparse_piece_head(image, piece, head));
    struct sparse_place place = piece->from;
    while (!sparse_piece_is_end(piece, &place)) {
        struct sparse_chunk chunk = chunk_at(image, &place);
        struct sparse_output output;
        sparse_piece_chunk(image, piece, &place, &chunk, &output);
        append(&size, output.head, output.head_bytes);
        assert_true(output.copy_from + output.copy_bytes <= file_bytes);
        append(&size, file + output.copy_from, output.copy_bytes);
        memset(piece_bytes + size, 0, output.zero_bytes);
        size += output.zero_bytes;
    }
    append(&size, tail, sparse_piece_tail(image, piece, tail));
    return size;
}

/* Cuts the image in `file`, writes every piece, and compares the partition. Returns the pieces. */
static unsigned cut_and_compare(uint32_t limit) {
    struct sparse_image image;
    unsigned pieces = 0;
    memset(expected, 0xee, sizeof expected);
    memset(written, 0xee, sizeof written);
    assert_int_equal(expand(file, file_bytes, expected), STATUS_OK);
    assert_int_equal(open_bytes(&image, file, file_bytes), STATUS_OK);
    struct sparse_place place = sparse_start(&image);
    while (!sparse_is_end(&image, &place)) {
        struct sparse_piece piece;
        sparse_piece_begin(&image, &piece, &place, limit);
        bool goes_on = true;
        while (goes_on && !sparse_is_end(&image, &piece.to)) {
            struct sparse_chunk chunk = chunk_at(&image, &piece.to);
            goes_on = sparse_piece_add(&image, &piece, &chunk);
        }
        assert_true(piece.is_full || sparse_is_end(&image, &piece.to));
        size_t size = write_piece(&image, &piece);
        assert_true(size <= limit);
        assert_true(piece.to.block > place.block || sparse_is_end(&image, &piece.to));
        assert_int_equal(expand(piece_bytes, size, written), STATUS_OK);
        place = piece.to;
        pieces += 1;
    }
    assert_memory_equal(written, expected, sizeof expected);
    return pieces;
}

static void the_pieces_of_an_image_write_what_the_image_writes(void **state) {
    (void)state;
    make_image();
    assert_int_equal(cut_and_compare(FILE_MAX), 1);
    unsigned last = 0;
    for (uint32_t limit = SPARSE_PIECE_MIN; limit < 1024 * 1024; limit += 61441) {
        unsigned pieces = cut_and_compare(limit);
        assert_true(last == 0 || pieces <= last);
        last = pieces;
    }
    assert_true(cut_and_compare(SPARSE_PIECE_MIN) >= 201 * BLOCK / SPARSE_PIECE_MIN);
}

static void a_plain_image_is_cut_as_well(void **state) {
    (void)state;
    static const size_t sizes[] = {1, BLOCK - 1, BLOCK, BLOCK + 1, 70 * BLOCK, 70 * BLOCK + 5};
    for (size_t i = 0; i < array_count(sizes); i++) {
        file_bytes = 0;
        put_raw(71, 3);
        file_bytes = sizes[i];
        struct sparse_image image;
        assert_int_equal(open_bytes(&image, file, file_bytes), STATUS_OK);
        assert_true(image.is_plain);
        unsigned pieces = cut_and_compare(SPARSE_PIECE_MIN);
        assert_int_equal(pieces, sizes[i] > 60 * BLOCK ? 3 : 1);
    }
    struct sparse_image empty;
    assert_int_equal(sparse_open(&empty, (struct bytes){file, 0}, 0), STATUS_OK);
    struct sparse_place start = sparse_start(&empty);
    assert_true(sparse_is_end(&empty, &start));
    assert_int_equal(
        sparse_open(&empty, (struct bytes){file + 100, SPARSE_HEADER_BYTES}, (uint64_t)BLOCK << 32),
        STATUS_TOO_LARGE);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    make_image();
    for (size_t size = 4; size < file_bytes;
         size += size < 64 || size > file_bytes - 200 ? 1 : 997) {
        assert_int_equal(expand(file, size, written), STATUS_MALFORMED);
    }
    assert_int_equal(expand(file, file_bytes, written), STATUS_OK);
}

struct damage {
    size_t at;
    uint8_t value;
    enum status status;
};

static void damaged_images_are_refused(void **state) {
    (void)state;
    enum { FIRST = SPARSE_HEADER_BYTES };
    static const struct damage damages[] = {
        {4, 2, STATUS_FOREIGN},                   /* major version */
        {8, 27, STATUS_MALFORMED},                /* header size */
        {9, 0xff, STATUS_MALFORMED},              /* beyond the chunks */
        {10, 11, STATUS_MALFORMED},               /* chunk header size */
        {12, 1, STATUS_MALFORMED},                /* block size, no multiple of 4 */
        {13, 0, STATUS_MALFORMED},                /* block size 0 */
        {15, 0x80, STATUS_MALFORMED},             /* block size 2 GiB */
        {16, BLOCKS - 1 - 256, STATUS_MALFORMED}, /* fewer blocks than the chunks have */
        {16, BLOCKS + 1 - 256, STATUS_MALFORMED},
        {20, 7, STATUS_MALFORMED}, /* chunks */
        {20, 9, STATUS_MALFORMED},
        {FIRST, 0xc5, STATUS_MALFORMED},   /* no such kind */
        {FIRST + 4, 99, STATUS_MALFORMED}, /* blocks that do not fit the bytes */
        {FIRST + 8, 0, STATUS_MALFORMED},  /* bytes that do not fit the blocks */
    };
    for (size_t i = 0; i < array_count(damages); i++) {
        make_image();
        file[damages[i].at] = damages[i].value;
        assert_int_equal(expand(file, file_bytes, written), damages[i].status);
    }
    make_image(); /* blocks, but no chunk */
    memset(file + 20, 0, 4);
    assert_int_equal(expand(file, file_bytes, written), STATUS_MALFORMED);
}

static void an_image_of_nothing_is_at_its_end(void **state) {
    (void)state;
    make_image();
    memset(file + 16, 0, 8); /* no blocks, no chunks */
    struct sparse_image image;
    assert_int_equal(open_bytes(&image, file, SPARSE_HEADER_BYTES), STATUS_OK);
    struct sparse_place start = sparse_start(&image);
    assert_true(sparse_is_end(&image, &start));
    file[8] = SPARSE_HEADER_BYTES + 1; /* a header longer than the file */
    assert_int_equal(open_bytes(&image, file, SPARSE_HEADER_BYTES), STATUS_MALFORMED);
}

/* A chunk is read again when a piece ends inside it: the file may be another one by then. */
static void a_file_that_changed_under_a_place_is_refused(void **state) {
    (void)state;
    struct sparse_image image;
    struct sparse_chunk chunk;
    make_image();
    assert_int_equal(open_bytes(&image, file, file_bytes), STATUS_OK);
    struct sparse_place place = sparse_start(&image);
    place.block = place.skipped = 101; /* of a chunk of 100 */
    assert_int_equal(sparse_get_chunk(&image, &place, file + place.offset, &chunk),
                     STATUS_MALFORMED);
    place = sparse_start(&image);
    const uint8_t *head = file + place.offset;
    place.offset = file_bytes;
    assert_int_equal(sparse_get_chunk(&image, &place, head, &chunk), STATUS_MALFORMED);
}

/* What is left of a piece is too small for the next chunk's head, or for its data. */
static void a_piece_without_room_for_a_chunk_is_full(void **state) {
    (void)state;
    for (uint32_t left = 0; left < 2 * SPARSE_CHUNK_BYTES; left++) {
        struct sparse_image image;
        struct sparse_piece piece;
        make_image();
        assert_int_equal(open_bytes(&image, file, file_bytes), STATUS_OK);
        struct sparse_place place = sparse_start(&image);
        uint32_t heads = SPARSE_HEADER_BYTES + 2 * SPARSE_CHUNK_BYTES; /* of every piece */
        sparse_piece_begin(&image, &piece, &place, heads + SPARSE_CHUNK_BYTES + 100 * BLOCK + left);
        struct sparse_chunk chunk = chunk_at(&image, &piece.to);
        assert_true(sparse_piece_add(&image, &piece, &chunk)); /* the raw one, whole */
        chunk = chunk_at(&image, &piece.to);
        assert_true(sparse_piece_add(&image, &piece, &chunk)); /* nothing */
        chunk = chunk_at(&image, &piece.to);
        bool fits = left >= SPARSE_CHUNK_BYTES + 4;
        assert_int_equal(sparse_piece_add(&image, &piece, &chunk), fits);
        assert_int_equal(piece.is_full, !fits);
        assert_int_equal(piece.to.block, fits ? 140 : 100);
    }
}

int protocol_sparse_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pieces_of_an_image_write_what_the_image_writes),
        cmocka_unit_test(a_plain_image_is_cut_as_well),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(damaged_images_are_refused),
        cmocka_unit_test(an_image_of_nothing_is_at_its_end),
        cmocka_unit_test(a_file_that_changed_under_a_place_is_refused),
        cmocka_unit_test(a_piece_without_room_for_a_chunk_is_full),
    };
    return cmocka_run_group_tests_name("protocol/sparse", tests, NULL, NULL);
}
