/* Addresses, listeners and streams; above all which left-over Unix sockets are removed. */
#include "hal/linux/tcp.h"

#include "tests/test.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char path[96];
static struct tcp_address address;

static int set_up(void **state) {
    char text[128];
    (void)state;
    snprintf(folder, sizeof folder, "%s", "/tmp/hub-tcp-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(text, sizeof text, "unix:%s", path);
    assert_int_equal(tcp_parse(text, &address), STATUS_OK);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void reads_and_writes_addresses(void **state) {
    static const char *const same[] = {"127.0.0.1:80", "[::1]:65535", "unix:/run/hub"};
    static const char *const bad[] = {"",           "80",          "host:80", "127.0.0.1",
                                      "1.2.3.4:",   "1.2.3.4:x",   "::1:80",  "1.2.3.4:65536",
                                      "1.2.3.4:-1", "1.2.3.4: 80", "[::1:80", "unix:"};
    char text[TCP_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < array_count(same); i++) {
        assert_int_equal(tcp_parse(same[i], &address), STATUS_OK);
        tcp_format(&address, text);
        assert_string_equal(text, same[i]);
    }
    for (size_t i = 0; i < array_count(bad); i++) {
        assert_int_equal(tcp_parse(bad[i], &address), STATUS_MALFORMED);
    }
    assert_int_equal(tcp_parse("tcp:localhost:5555", &address), STATUS_OK);
    assert_true(tcp_is_loopback(&address));
    assert_int_equal(tcp_port(&address), 5555);
}

static void removes_a_socket_that_nobody_answers_on(void **state) {
    int listener = -1;
    (void)state;
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    close(listener); /* as after kill -9: the file stays */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    tcp_unlisten(listener);
    assert_int_equal(access(path, F_OK), -1);
}

static void leaves_a_socket_in_use_and_other_files_alone(void **state) {
    int listener = -1;
    int second = -1;
    (void)state;
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    assert_int_equal(tcp_listen(&second, &address), STATUS_FULL);
    tcp_unlisten(listener);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(tcp_listen(&second, &address), STATUS_FULL);
    assert_int_equal(access(path, F_OK), 0);
}

static void carries_bytes_and_ends_in_order(void **state) {
    int listener = -1;
    struct hal_stream ours;
    struct hal_stream theirs;
    char text[8];
    size_t size = 0;
    (void)state;
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    assert_int_equal(tcp_accept(listener, &theirs), STATUS_AGAIN);
    assert_int_equal(tcp_connect(&ours, &address), STATUS_OK);
    assert_int_equal(tcp_connect_result(&ours), STATUS_OK);
    assert_int_equal(tcp_accept(listener, &theirs), STATUS_OK);
    assert_int_equal(hal_stream_read(&theirs, text, sizeof text, &size), STATUS_AGAIN);
    assert_int_equal(theirs.wants, HAL_STREAM_READABLE);
    assert_int_equal(hal_stream_write(&ours, "hello", 5, &size), STATUS_OK);
    hal_stream_close(&ours);
    assert_int_equal(hal_stream_read(&theirs, text, sizeof text, &size), STATUS_OK);
    assert_memory_equal(text, "hello", size);
    assert_int_equal(hal_stream_read(&theirs, text, sizeof text, &size), STATUS_CLOSED);
    assert_int_equal(hal_stream_write(&theirs, "x", 1, &size), STATUS_CLOSED);
    hal_stream_close(&theirs);
    tcp_unlisten(listener);
}

int hal_tcp_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_addresses),
        cmocka_unit_test_setup_teardown(removes_a_socket_that_nobody_answers_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leaves_a_socket_in_use_and_other_files_alone, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(carries_bytes_and_ends_in_order, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("hal/tcp", tests, NULL, NULL);
}
