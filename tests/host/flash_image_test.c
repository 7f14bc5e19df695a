/* One image as downloads: every piece is within its limit, and together they are the image. */
#include "host/hubd/run/flash_image.h"

#include "host/phonesim/phone_partition.h"
#include "tests/test.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { BLOCK = 4096, MOST = 3 << 20 };

static char folder[64];
static char path[96];
static char partition_path[96];
static int folder_file;
static uint8_t content[MOST];
static uint8_t expected[MOST];
static uint8_t found[MOST];
static struct flash_image image;
static const struct phone_partition *partition;

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/flash_image_XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/image", folder);
    snprintf(partition_path, sizeof partition_path, "%s/partition", folder);
    folder_file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    partition = phone_partition_find(bytes_of("boot_a"));
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    return folder_file < 0;
}

static int tear_down(void **state) {
    char command[128];
    (void)state;
    close(folder_file);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void write_file(const uint8_t *data, size_t size) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, data, size), (ssize_t)size);
    assert_int_equal(close(file), 0);
}

static void put_u32(uint8_t *target, uint32_t value) {
    for (unsigned i = 0; i < 4; i++) {
        target[i] = (uint8_t)(value >> (8 * i));
    }
}

static size_t put_chunk(uint8_t *target, uint16_t type, uint32_t blocks, const void *data,
                        uint32_t size) {
    put_u32(target, type);
    put_u32(target + 4, blocks);
    put_u32(target + 8, 12 + size);
    if (size > 0) {
        memcpy(target + 12, data, size);
    }
    return 12 + size;
}

/* raw 100, fill 60, skip 50, raw 200, with what they make in `expected`; gives the file's size. */
static size_t write_sparse(uint32_t total_blocks) {
    static uint8_t file[MOST];
    uint32_t header[] = {SPARSE_MAGIC, 1, 28 | 12 << 16, BLOCK, total_blocks, 4, 0};
    size_t size = 0;
    for (; size < sizeof header; size += 4) {
        put_u32(file + size, header[size / 4]);
    }
    size += put_chunk(file + size, SPARSE_RAW, 100, content, 100 * BLOCK);
    size += put_chunk(file + size, SPARSE_FILL, 60, "abcd", 4);
    size += put_chunk(file + size, SPARSE_SKIP, 50, NULL, 0);
    size += put_chunk(file + size, SPARSE_RAW, 200, content + 100 * BLOCK, 200 * BLOCK);
    memset(expected, 0, sizeof expected);
    memcpy(expected, content, 100 * BLOCK);
    for (size_t i = 0; i < (size_t)60 * BLOCK; i++) {
        expected[100 * BLOCK + i] = (uint8_t) "abcd"[i % 4];
    }
    memcpy(expected + 210 * BLOCK, content + 100 * BLOCK, 200 * BLOCK);
    write_file(file, size);
    return size;
}

/* Downloads all of it into the emulated partition, asking for odd sizes; gives the number. */
static unsigned download_all(size_t file_bytes, uint32_t limit) {
    static uint8_t piece[MOST];
    char piece_path[96];
    uint32_t bytes = 0;
    unsigned count = 0;
    snprintf(piece_path, sizeof piece_path, "%s/piece", folder);
    assert_null(phone_partition_erase(partition_path, partition));
    assert_int_equal(flash_image_open(&image, folder_file, "image", file_bytes), STATUS_OK);
    while (flash_image_next(&image, limit, &bytes) == STATUS_OK) {
        assert_true(bytes <= limit);
        size_t at = 0;
        while (at < bytes) {
            size_t wanted = bytes - at < 10007 ? bytes - at : 10007;
            size_t size = flash_image_read(&image, piece + at, wanted);
            assert_int_equal(size, wanted);
            at += size;
        }
        assert_int_equal(flash_image_read(&image, piece + at, 100), 0);
        int file = open(piece_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(write(file, piece, bytes), (ssize_t)bytes);
        const char *wrong = phone_partition_write(partition_path, partition, file, bytes);
        assert_string_equal(wrong == NULL ? "" : wrong, "");
        close(file);
        count += 1;
    }
    flash_image_close(&image);
    return count;
}

static void assert_partition(size_t size) {
    int file = open(partition_path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(file, found, size), (ssize_t)size);
    close(file);
    assert_memory_equal(found, expected, size);
}

static void a_plain_image_arrives_whole_at_every_limit(void **state) {
    static const struct {
        size_t size;
        uint32_t limit;
        unsigned pieces;
    } rows[] = {
        {1, SPARSE_PIECE_MIN, 1},
        {SPARSE_PIECE_MIN, SPARSE_PIECE_MIN, 1},
        {SPARSE_PIECE_MIN + 1, SPARSE_PIECE_MIN, 2},
        {1000001, 300000, 4},
        {MOST, 1 << 20, 4},
        {MOST, MOST, 1},
    };
    (void)state;
    memcpy(expected, content, sizeof expected);
    for (size_t i = 0; i < array_count(rows); i++) {
        write_file(content, rows[i].size);
        assert_int_equal(download_all(rows[i].size, rows[i].limit), rows[i].pieces);
        assert_partition(rows[i].size);
    }
}

static void a_sparse_image_arrives_whole_at_every_limit(void **state) {
    (void)state;
    size_t size = write_sparse(410);
    for (uint32_t limit = SPARSE_PIECE_MIN; limit < 2 << 20; limit += 77777) {
        assert_true(download_all(size, limit) >= (size + limit - 1) / limit);
        assert_partition(410 * BLOCK);
    }
    assert_int_equal(download_all(size, 2 << 20), 1);
    assert_partition(410 * BLOCK);
}

static enum status judge(const uint8_t hash[SHA256_BYTES], size_t size) {
    enum status status = flash_image_open(&image, folder_file, "image", size);
    while (status == STATUS_OK || status == STATUS_AGAIN) {
        status = flash_image_judge(&image, hash);
        if (status != STATUS_AGAIN) {
            flash_image_close(&image);
            return status;
        }
    }
    return status;
}

static void hash_of(size_t size, uint8_t hash[SHA256_BYTES]) {
    struct sha256 whole;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(file, found, size), (ssize_t)size);
    close(file);
    sha256_init(&whole);
    sha256_add(&whole, (struct bytes){found, size});
    sha256_end(&whole, hash);
}

static void an_image_is_judged_by_size_hash_and_structure(void **state) {
    uint8_t hash[SHA256_BYTES];
    (void)state;
    write_file(content, 700000);
    hash_of(700000, hash);
    assert_int_equal(judge(hash, 700000), STATUS_OK);
    assert_int_equal(judge(hash, 700001), STATUS_TOO_LARGE);
    hash[31] ^= 1;
    assert_int_equal(judge(hash, 700000), STATUS_CORRUPT);
    size_t size = write_sparse(410);
    hash_of(size, hash);
    assert_int_equal(judge(hash, size), STATUS_OK);
    size = write_sparse(411); /* its chunks do not fill it */
    hash_of(size, hash);
    assert_int_equal(judge(hash, size), STATUS_MALFORMED);
}

static void what_is_no_plain_file_is_not_opened(void **state) {
    char link_path[96];
    (void)state;
    write_file(content, 10);
    snprintf(link_path, sizeof link_path, "%s/link", folder);
    assert_int_equal(symlink(path, link_path), 0);
    assert_int_equal(mkfifo(partition_path, 0600), 0);
    assert_int_equal(flash_image_open(&image, folder_file, "link", 10), STATUS_NOT_FOUND);
    assert_int_equal(flash_image_open(&image, folder_file, "none", 10), STATUS_NOT_FOUND);
    assert_int_equal(flash_image_open(&image, folder_file, "partition", 0), STATUS_NOT_FOUND);
    assert_int_equal(flash_image_open(&image, folder_file, ".", 0), STATUS_NOT_FOUND);
    unlink(partition_path);
}

static void a_file_that_is_changed_has_another_identity(void **state) {
    (void)state;
    write_file(content, 10);
    assert_int_equal(flash_image_open(&image, folder_file, "image", 10), STATUS_OK);
    struct flash_identity before = flash_image_identity(&image);
    assert_true(flash_identity_is(&before, &before));
    write_file(content + 1, 10);
    struct flash_identity after = flash_image_identity(&image);
    bool has_fine_clock = !flash_identity_is(&before, &after);
    flash_image_close(&image);
    unlink(path);
    write_file(content, 10);
    assert_int_equal(flash_image_open(&image, folder_file, "image", 10), STATUS_OK);
    after = flash_image_identity(&image);
    assert_true(has_fine_clock || !flash_identity_is(&before, &after));
    flash_image_close(&image);
}

static void a_file_that_becomes_shorter_is_told(void **state) {
    uint8_t target[100];
    uint32_t bytes = 0;
    (void)state;
    write_file(content, 1000000);
    assert_int_equal(flash_image_open(&image, folder_file, "image", 1000000), STATUS_OK);
    assert_int_equal(flash_image_next(&image, 300000, &bytes), STATUS_OK);
    write_file(content, 10);
    assert_int_equal(flash_image_read(&image, target, sizeof target), 0);
    flash_image_close(&image);
}

int host_flash_image_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plain_image_arrives_whole_at_every_limit, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_sparse_image_arrives_whole_at_every_limit, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_image_is_judged_by_size_hash_and_structure, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_plain_file_is_not_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_changed_has_another_identity, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_becomes_shorter_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("host/flash_image", tests, NULL, NULL);
}
