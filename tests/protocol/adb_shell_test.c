/* Packets of shell_v2, whole, cut at every byte, and wrong. */
#include "protocol/adb_shell.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* stdout "ab", stderr "c", an empty stdout, exit 7 */
static const uint8_t stream[] = {1,   2, 0, 0, 0, 'a', 'b', 2, 1, 0, 0, 0,
                                 'c', 1, 0, 0, 0, 0,   3,   1, 0, 0, 0, 7};

/* What a command said, gathered. */
struct told {
    char text[2][16];
    size_t size[2];
    int exit_status;
    unsigned packets;
};

static enum status gather(struct adb_shell_reader *reader, struct bytes input, struct told *told) {
    struct adb_shell_piece piece;
    enum status status = STATUS_OK;
    while ((status = adb_shell_next(reader, &input, &piece)) == STATUS_OK) {
        told->packets += piece.is_last;
        if (piece.id == ADB_SHELL_EXIT && piece.data.size == 1) {
            told->exit_status = piece.data.data[0];
        }
        for (size_t i = 0; i < piece.data.size && piece.id != ADB_SHELL_EXIT; i++) {
            size_t which = piece.id == ADB_SHELL_STDERR;
            told->text[which][told->size[which]++] = (char)piece.data.data[i];
        }
    }
    return status;
}

static void reads_packets_however_they_are_cut(void **state) {
    (void)state;
    for (size_t first = 0; first <= sizeof stream; first++) {
        for (size_t second = first; second <= sizeof stream; second++) {
            struct adb_shell_reader reader;
            struct told told = {.exit_status = -1};
            adb_shell_begin(&reader);
            struct bytes parts[3] = {{stream, first},
                                     {stream + first, second - first},
                                     {stream + second, sizeof stream - second}};
            for (size_t i = 0; i < 3; i++) {
                assert_int_equal(gather(&reader, parts[i], &told), STATUS_MORE);
            }
            assert_string_equal(told.text[0], "ab");
            assert_string_equal(told.text[1], "c");
            assert_int_equal(told.exit_status, 7);
            assert_int_equal(told.packets, 4);
        }
    }
}

static void gives_no_exit_status_before_its_last_byte(void **state) {
    (void)state;
    for (size_t size = 0; size < sizeof stream; size++) {
        struct adb_shell_reader reader;
        struct told told = {.exit_status = -1};
        adb_shell_begin(&reader);
        assert_int_equal(gather(&reader, (struct bytes){stream, size}, &told), STATUS_MORE);
        assert_int_equal(told.exit_status, -1);
    }
}

static void refuses_an_exit_packet_that_is_not_one_byte(void **state) {
    (void)state;
    for (uint8_t size = 0; size < 4; size++) {
        uint8_t bytes[9] = {ADB_SHELL_EXIT, size};
        struct adb_shell_reader reader;
        struct told told = {.exit_status = -1};
        adb_shell_begin(&reader);
        assert_int_equal(gather(&reader, (struct bytes){bytes, 5u + size}, &told),
                         size == 1 ? STATUS_MORE : STATUS_MALFORMED);
    }
}

static void streams_a_packet_of_any_length_without_keeping_it(void **state) {
    (void)state;
    uint8_t bytes[64];
    adb_shell_write_header(bytes, ADB_SHELL_STDOUT, UINT32_MAX);
    memset(bytes + ADB_SHELL_HEADER_SIZE, 'x', sizeof bytes - ADB_SHELL_HEADER_SIZE);
    struct adb_shell_reader reader;
    struct adb_shell_piece piece;
    struct bytes input = {bytes, sizeof bytes};
    adb_shell_begin(&reader);
    assert_int_equal(adb_shell_next(&reader, &input, &piece), STATUS_OK);
    assert_int_equal(piece.data.size, sizeof bytes - ADB_SHELL_HEADER_SIZE);
    assert_false(piece.is_last);
    assert_int_equal(adb_shell_next(&reader, &input, &piece), STATUS_MORE);
}

static void a_window_size_is_short_text(void **state) {
    (void)state;
    static const struct {
        uint32_t size;
        enum status status;
    } rows[] = {{0, STATUS_MORE}, {64, STATUS_MORE}, {65, STATUS_MALFORMED}};
    for (size_t i = 0; i < array_count(rows); i++) {
        uint8_t header[ADB_SHELL_HEADER_SIZE] = {ADB_SHELL_WINDOW, (uint8_t)rows[i].size};
        struct bytes input = {header, sizeof header};
        struct adb_shell_reader reader;
        struct adb_shell_piece piece;
        adb_shell_begin(&reader);
        enum status status = adb_shell_next(&reader, &input, &piece);
        assert_true(status == rows[i].status || (rows[i].size == 0 && status == STATUS_OK));
    }
}

int protocol_adb_shell_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_packets_however_they_are_cut),
        cmocka_unit_test(gives_no_exit_status_before_its_last_byte),
        cmocka_unit_test(refuses_an_exit_packet_that_is_not_one_byte),
        cmocka_unit_test(streams_a_packet_of_any_length_without_keeping_it),
        cmocka_unit_test(a_window_size_is_short_text),
    };
    return cmocka_run_group_tests_name("protocol/adb_shell", tests, NULL, NULL);
}
