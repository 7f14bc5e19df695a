/* Artifacts: the cap of one file, the oldest going for newer ones, names that lead elsewhere. */
#include "host/hubd/run/artifact.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/hub-artifact-XXXXXX";
static struct artifacts artifacts;

static int begin(void **state) {
    (void)state;
    static char made[sizeof folder];
    memcpy(made, folder, sizeof folder);
    assert_non_null(mkdtemp(made));
    const struct artifact_limits limits = {.file_bytes = 200, .total_bytes = 1000};
    assert_int_equal(artifact_open(&artifacts, made, &limits), STATUS_OK);
    *state = made;
    return 0;
}

static int end(void **state) {
    char command[64];
    close(artifacts.directory);
    snprintf(command, sizeof command, "rm -r %s", (char *)*state);
    return system(command);
}

static void keep(const char *item, uint32_t attempt, size_t size) {
    struct artifact artifact;
    uint8_t data[500];
    memset(data, 'x', sizeof data);
    artifact_begin(&artifact, &artifacts, item, attempt);
    artifact_append(&artifact, (struct bytes){data, size});
    artifact_end(&artifact);
}

static ssize_t read_back(const char *item, const char *attempt, char *text, size_t capacity) {
    int fd = artifact_read(&artifacts, (struct bytes){(const uint8_t *)item, strlen(item)},
                           (struct bytes){(const uint8_t *)attempt, strlen(attempt)});
    ssize_t size = fd < 0 ? -1 : read(fd, text, capacity);
    if (fd >= 0) {
        close(fd);
    }
    return size;
}

static void parts_have_headings_and_a_long_output_is_cut(void **state) {
    (void)state;
    char text[300] = "";
    struct artifact artifact;
    artifact_begin(&artifact, &artifacts, "h-1-1.1", 1);
    artifact_begin_part(&artifact, "battery");
    artifact_append(&artifact, bytes_of("level: 5\n"));
    artifact_end(&artifact);
    assert_int_equal(read_back("h-1-1.1", "1", text, sizeof text), 25);
    assert_string_equal(text, "--- battery ---\nlevel: 5\n");
    keep("h-1-1.1", 2, 500);
    memset(text, 0, sizeof text);
    assert_int_equal(read_back("h-1-1.1", "2", text, sizeof text), 199);
    assert_non_null(strstr(text, "--- cut: larger than"));
    artifact_append(&artifact, bytes_of("late")); /* it has ended */
}

static void the_oldest_go_for_newer_ones(void **state) {
    char text[300];
    for (uint32_t i = 1; i <= 8; i++) {
        char path[128];
        keep("h-1-2.1", i, 150);
        /* Told apart by their times, which may be the same tick of the clock here. */
        snprintf(path, sizeof path, "%s/h-1-2.1.%u.log", (char *)*state, i);
        const struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    assert_int_equal(read_back("h-1-2.1", "1", text, sizeof text), -1);
    assert_int_equal(read_back("h-1-2.1", "8", text, sizeof text), 150);
    assert_true(artifacts.used_bytes <= 1000);
    assert_true(artifacts.removed >= 1);
}

static void a_name_never_leads_out_of_the_directory(void **state) {
    (void)state;
    char text[300];
    const char *const names[] = {"../x", "", ".hidden", "a/b", "..", "a b"};
    for (size_t i = 0; i < array_count(names); i++) {
        assert_int_equal(read_back(names[i], "1", text, sizeof text), -1);
    }
}

int host_artifact_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_have_headings_and_a_long_output_is_cut, begin, end),
        cmocka_unit_test_setup_teardown(the_oldest_go_for_newer_ones, begin, end),
        cmocka_unit_test_setup_teardown(a_name_never_leads_out_of_the_directory, begin, end),
    };
    return cmocka_run_group_tests_name("host/artifact", tests, NULL, NULL);
}
