/* The file service of ADB: requests and answers, cut at every byte, at their limits, and wrong. */
#include "protocol/adb_file.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct told {
    uint32_t ids[8];
    uint32_t values[8];
    size_t count;
    char text[64]; /* all variable parts, each ended by '|' */
    size_t text_size;
};

static enum status gather(struct adb_file_reader *reader, struct bytes input, struct told *told) {
    struct adb_file_piece piece;
    enum status status = STATUS_OK;
    while ((status = adb_file_next(reader, &input, &piece)) == STATUS_OK) {
        if (piece.data.size > 0) {
            memcpy(told->text + told->text_size, piece.data.data, piece.data.size);
            told->text_size += piece.data.size;
        }
        if (piece.is_last) {
            told->ids[told->count] = piece.id;
            told->values[told->count++] = piece.value;
            told->text[told->text_size++] = '|';
        }
    }
    return status;
}

static const uint8_t requests[] = "SEND\x06\0\0\0/a,420DATA\x03\0\0\0xyzDONE\x78\x56\x34\x12"
                                  "RECV\x02\0\0\0/bQUIT\0\0\0\0";

static void reads_requests_however_they_are_cut(void **state) {
    (void)state;
    size_t size = sizeof requests - 1;
    for (size_t cut = 0; cut <= size; cut++) {
        struct adb_file_reader reader;
        struct told told = {.count = 0};
        adb_file_begin(&reader, ADB_FILE_REQUESTS);
        assert_int_equal(gather(&reader, (struct bytes){requests, cut}, &told), STATUS_MORE);
        assert_true(told.count < 5 || cut == size);
        assert_int_equal(gather(&reader, (struct bytes){requests + cut, size - cut}, &told),
                         STATUS_MORE);
        assert_int_equal(told.count, 5);
        assert_string_equal(told.text, "/a,420|xyz||/b||");
        assert_int_equal(told.ids[0], ADB_FILE_SEND);
        assert_int_equal(told.ids[1], ADB_FILE_DATA);
        assert_int_equal(told.ids[2], ADB_FILE_DONE);
        assert_int_equal(told.values[2], 0x12345678);
        assert_int_equal(told.ids[3], ADB_FILE_RECV);
        assert_int_equal(told.ids[4], ADB_FILE_QUIT);
    }
}

static const uint8_t requests_v2[] = "SND2\x02\0\0\0/aSND2\xa4\x81\0\0\x04\0\0\x80"
                                     "DATA\x03\0\0\0xyzDONE\x78\x56\x34\x12"
                                     "RCV2\x02\0\0\0/bRCV2\x02\0\0\0";

static void reads_a_request_and_its_settings_however_they_are_cut(void **state) {
    (void)state;
    size_t size = sizeof requests_v2 - 1;
    for (size_t cut = 0; cut <= size; cut++) {
        struct adb_file_reader reader;
        struct bytes parts[2] = {{requests_v2, cut}, {requests_v2 + cut, size - cut}};
        uint32_t values[2] = {0};
        uint32_t flags[2] = {0};
        unsigned count = 0;
        adb_file_begin(&reader, ADB_FILE_REQUESTS);
        for (size_t i = 0; i < 2; i++) {
            struct adb_file_piece piece;
            while (adb_file_next(&reader, &parts[i], &piece) == STATUS_OK) {
                if (piece.is_settings) {
                    assert_true(count < 2 && piece.is_last && piece.data.size == 0);
                    values[count] = piece.value;
                    flags[count++] = piece.flags;
                }
            }
        }
        assert_int_equal(count, 2);
        assert_int_equal(values[0], 0100644);
        assert_int_equal(flags[0], ADB_FILE_DRY_RUN | ADB_FILE_ZSTD);
        assert_int_equal(flags[1], ADB_FILE_LZ4);
    }
}

static void nothing_else_may_stand_where_settings_must(void **state) {
    (void)state;
    static const uint8_t wrong[][19] = {
        "SND2\x02\0\0\0/aRCV2\0\0\0\0", "RCV2\x02\0\0\0/aSND2\0\0\0\0",
        "SND2\x02\0\0\0/aDATA\0\0\0\0", "RCV2\x02\0\0\0/aQUIT\0\0\0\0"};
    for (size_t i = 0; i < array_count(wrong); i++) {
        struct adb_file_reader reader;
        struct adb_file_piece piece;
        struct bytes input = {wrong[i], sizeof wrong[i] - 1};
        adb_file_begin(&reader, ADB_FILE_REQUESTS);
        assert_int_equal(adb_file_next(&reader, &input, &piece), STATUS_OK);
        assert_false(piece.is_settings);
        assert_int_equal(adb_file_next(&reader, &input, &piece), STATUS_MALFORMED);
    }
}

static enum status first_status(enum adb_file_side side, uint32_t id, uint32_t value) {
    uint8_t header[ADB_FILE_HEADER_SIZE];
    struct adb_file_reader reader;
    struct adb_file_piece piece;
    struct bytes input = {header, sizeof header};
    adb_file_write_header(header, id, value);
    adb_file_begin(&reader, side);
    return adb_file_next(&reader, &input, &piece);
}

static void takes_each_limit_and_refuses_one_byte_more(void **state) {
    (void)state;
    static const uint32_t paths[] = {ADB_FILE_STAT, ADB_FILE_STAT_V2, ADB_FILE_LSTAT_V2,
                                     ADB_FILE_LIST, ADB_FILE_LIST_V2, ADB_FILE_SEND,
                                     ADB_FILE_RECV, ADB_FILE_SEND_V2, ADB_FILE_RECV_V2};
    for (size_t i = 0; i < array_count(paths); i++) {
        assert_int_equal(first_status(ADB_FILE_REQUESTS, paths[i], 1024), STATUS_OK);
        assert_int_equal(first_status(ADB_FILE_REQUESTS, paths[i], 1025), STATUS_MALFORMED);
    }
    for (int side = ADB_FILE_REQUESTS; side <= ADB_FILE_ANSWERS; side++) {
        assert_int_equal(first_status((enum adb_file_side)side, ADB_FILE_DATA, 65536), STATUS_OK);
        assert_int_equal(first_status((enum adb_file_side)side, ADB_FILE_DATA, 65537),
                         STATUS_MALFORMED);
    }
}

static void refuses_what_the_other_side_may_not_say(void **state) {
    (void)state;
    assert_int_equal(first_status(ADB_FILE_REQUESTS, ADB_FILE_OKAY, 0), STATUS_MALFORMED);
    assert_int_equal(first_status(ADB_FILE_REQUESTS, ADB_FILE_FAIL, 0), STATUS_MALFORMED);
    assert_int_equal(first_status(ADB_FILE_ANSWERS, ADB_FILE_SEND, 0), STATUS_MALFORMED);
    assert_int_equal(first_status(ADB_FILE_ANSWERS, ADB_FILE_QUIT, 0), STATUS_MALFORMED);
    assert_int_equal(first_status(ADB_FILE_ANSWERS, 0x41414141, 0), STATUS_MALFORMED);
}

static const struct adb_file_stat example = {.error = 2,
                                             .mode = 0100644,
                                             .links = 1,
                                             .user = 2000,
                                             .group = 1015,
                                             .device = 7,
                                             .inode = 0x123456789,
                                             .size = 0x200000005,
                                             .accessed_s = -1,
                                             .modified_s = 0x100000002,
                                             .changed_s = 3};

static struct adb_file_piece read_answer(struct adb_file_reader *reader, const uint8_t *bytes,
                                         size_t size) {
    struct adb_file_piece piece = {.id = 0};
    for (size_t cut = 0; cut < size; cut++) {
        struct bytes part = {bytes, cut};
        adb_file_begin(reader, ADB_FILE_ANSWERS);
        assert_int_equal(adb_file_next(reader, &part, &piece), STATUS_MORE);
    }
    struct bytes input = {bytes, size};
    adb_file_begin(reader, ADB_FILE_ANSWERS);
    assert_int_equal(adb_file_next(reader, &input, &piece), STATUS_OK);
    return piece;
}

static void reads_back_what_it_wrote_of_a_file(void **state) {
    (void)state;
    struct adb_file_reader reader;
    struct adb_file_stat stat;
    uint8_t v2[ADB_FILE_STAT_V2_SIZE];
    adb_file_write_stat_v2(v2, ADB_FILE_LSTAT_V2, &example);
    struct adb_file_piece piece = read_answer(&reader, v2, sizeof v2);
    adb_file_read_stat(&piece, &stat);
    uint8_t again[ADB_FILE_STAT_V2_SIZE];
    adb_file_write_stat_v2(again, ADB_FILE_LSTAT_V2, &stat);
    assert_memory_equal(again, v2, sizeof v2);
    assert_int_equal(stat.links, 1);
    assert_true(stat.size == example.size && stat.accessed_s == -1);
    uint8_t v1[ADB_FILE_STAT_SIZE];
    adb_file_write_stat(v1, &example);
    piece = read_answer(&reader, v1, sizeof v1);
    adb_file_read_stat(&piece, &stat);
    assert_int_equal(stat.mode, 0100644);
    assert_int_equal(stat.size, 5);
    assert_int_equal(stat.modified_s, 2);
}

/* The end of a listing is an entry's size long: what follows must not be eaten or left. */
static void reads_a_listing_to_its_end(void **state) {
    (void)state;
    for (uint32_t version = 1; version <= 2; version++) {
        uint8_t bytes[256];
        size_t fixed = version == 1 ? ADB_FILE_ENTRY_SIZE : ADB_FILE_ENTRY_V2_SIZE;
        struct adb_file_stat none = {.error = 0};
        if (version == 1) {
            adb_file_write_entry(bytes, ADB_FILE_ENTRY, &example, 2);
            adb_file_write_entry(bytes + fixed + 2, ADB_FILE_DONE, &none, 0);
        } else {
            adb_file_write_entry_v2(bytes, ADB_FILE_ENTRY_V2, &example, 2);
            adb_file_write_entry_v2(bytes + fixed + 2, ADB_FILE_DONE, &none, 0);
        }
        memcpy(bytes + fixed, "hi", 2);
        struct adb_file_reader reader;
        struct told told = {.count = 0};
        adb_file_begin(&reader, ADB_FILE_ANSWERS);
        reader.list_version = version;
        assert_int_equal(gather(&reader, (struct bytes){bytes, 2 * fixed + 2}, &told), STATUS_MORE);
        assert_int_equal(told.count, 2);
        assert_int_equal(told.ids[1], ADB_FILE_DONE);
        assert_string_equal(told.text, "hi||");
        assert_int_equal(reader.fixed_size, 0);
    }
}

static void reads_what_a_listing_says_of_a_file(void **state) {
    (void)state;
    struct adb_file_reader reader;
    struct adb_file_stat stat;
    uint8_t bytes[ADB_FILE_ENTRY_V2_SIZE];
    adb_file_write_entry(bytes, ADB_FILE_ENTRY, &example, 0);
    struct adb_file_piece piece = read_answer(&reader, bytes, ADB_FILE_ENTRY_SIZE);
    adb_file_read_stat(&piece, &stat);
    assert_int_equal(stat.mode, 0100644);
    assert_int_equal(stat.size, 5);
    adb_file_write_entry_v2(bytes, ADB_FILE_ENTRY_V2, &example, 0);
    piece = read_answer(&reader, bytes, ADB_FILE_ENTRY_V2_SIZE);
    adb_file_read_stat(&piece, &stat);
    assert_true(stat.size == example.size && stat.inode == example.inode);
}

int protocol_adb_file_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_requests_however_they_are_cut),
        cmocka_unit_test(reads_a_request_and_its_settings_however_they_are_cut),
        cmocka_unit_test(nothing_else_may_stand_where_settings_must),
        cmocka_unit_test(takes_each_limit_and_refuses_one_byte_more),
        cmocka_unit_test(refuses_what_the_other_side_may_not_say),
        cmocka_unit_test(reads_back_what_it_wrote_of_a_file),
        cmocka_unit_test(reads_a_listing_to_its_end),
        cmocka_unit_test(reads_what_a_listing_says_of_a_file),
    };
    return cmocka_run_group_tests_name("protocol/adb_file", tests, NULL, NULL);
}
