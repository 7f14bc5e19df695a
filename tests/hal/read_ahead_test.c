#include "hal/linux/read_ahead.h"
#include "tests/test.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_BYTES = 300000, READS = 20000 };

static struct read_ahead ahead;
static uint8_t content[FILE_BYTES];
static int file;

static int make_file(void **state) {
    (void)state;
    char path[] = "/tmp/read_ahead_test_XXXXXX";
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    file = mkstemp(path);
    if (file < 0 || unlink(path) != 0) {
        return -1;
    }
    read_ahead_drop(&ahead);
    return write(file, content, sizeof content) == (ssize_t)sizeof content ? 0 : -1;
}

static int close_file(void **state) {
    (void)state;
    return close(file);
}

static void read_is_right(off_t offset, size_t size) {
    uint8_t bytes[2 * READ_AHEAD_MIN];
    assert_int_equal(read_ahead(&ahead, file, offset, bytes, size), STATUS_OK);
    assert_memory_equal(bytes, content + offset, size);
}

static void gives_what_is_there_in_streams_and_at_random(void **state) {
    (void)state;
    uint32_t dice = 7;
    off_t streams[READ_AHEAD_WINDOWS + 2] = {0, 50000, 100000, 150000, 200000, 250000};
    for (size_t i = 0; i < READS; i++) {
        dice = dice * 1664525u + 1013904223u;
        size_t size = 1 + (dice >> 8) % 600;
        off_t *stream = &streams[(dice >> 20) % array_count(streams)];
        if (dice >> 28 == 0) {
            *stream = (off_t)((dice >> 4) % (FILE_BYTES - 600));
        }
        if (*stream + (off_t)size > FILE_BYTES) {
            *stream = 0;
        }
        read_is_right(*stream, size);
        *stream += (off_t)size;
    }
}

static void reads_to_the_last_byte_and_not_behind_it(void **state) {
    (void)state;
    uint8_t bytes[16];
    read_is_right(FILE_BYTES - 16, 16);
    read_is_right(FILE_BYTES - 1, 1);
    assert_int_equal(read_ahead(&ahead, file, FILE_BYTES - 8, bytes, 16), STATUS_IO);
    assert_int_equal(errno, EIO);
    assert_int_equal(read_ahead(&ahead, file, FILE_BYTES, bytes, 1), STATUS_IO);
    read_is_right(FILE_BYTES - 16, 16);
}

static void larger_reads_than_a_window_are_whole(void **state) {
    (void)state;
    read_is_right(12345, READ_AHEAD_MIN + 1);
    read_is_right(12345, READ_AHEAD_MIN);
}

static void sees_what_was_written_once_its_windows_are_dropped(void **state) {
    (void)state;
    read_is_right(4000, 100);
    memset(content + 4000, 0x5a, 100);
    assert_int_equal(pwrite(file, content + 4000, 100, 4000), 100);
    read_ahead_drop(&ahead);
    read_is_right(4000, 100);
}

static void keeps_what_was_written_last_if_it_fits(void **state) {
    (void)state;
    uint8_t bytes[64];
    assert_false(read_ahead_has(&ahead, 8192, bytes, 16));
    read_ahead_keep(&ahead, 8192, content, 64);
    assert_true(read_ahead_has(&ahead, 8192 + 16, bytes, 48));
    assert_memory_equal(bytes, content + 16, 48);
    assert_false(read_ahead_has(&ahead, 8192 + 16, bytes, 49));
    assert_false(read_ahead_has(&ahead, 8191, bytes, 2));
    read_ahead_keep(&ahead, 0, content, READ_AHEAD_MAX + 1);
    assert_false(read_ahead_has(&ahead, 8192, bytes, 16));
    assert_false(read_ahead_has(&ahead, 0, bytes, 16));
}

static void passes_on_what_the_system_says(void **state) {
    (void)state;
    uint8_t byte;
    assert_int_equal(read_ahead(&ahead, -1, 0, &byte, 1), STATUS_IO);
    assert_int_equal(errno, EBADF);
}

#define read_ahead_unit(name) cmocka_unit_test_setup_teardown(name, make_file, close_file)

int hal_read_ahead_tests(void) {
    const struct CMUnitTest tests[] = {
        read_ahead_unit(gives_what_is_there_in_streams_and_at_random),
        read_ahead_unit(reads_to_the_last_byte_and_not_behind_it),
        read_ahead_unit(larger_reads_than_a_window_are_whole),
        read_ahead_unit(sees_what_was_written_once_its_windows_are_dropped),
        read_ahead_unit(keeps_what_was_written_last_if_it_fits),
        read_ahead_unit(passes_on_what_the_system_says),
    };
    return cmocka_run_group_tests_name("hal/read_ahead", tests, NULL, NULL);
}
