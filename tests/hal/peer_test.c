/* Who is at the other end of a socket. */
#include "hal/linux/peer.h"

#include "hal/linux/tcp.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TAIL " 00000000:00000000 00:00000000 00000000 "

static void reads_the_row_of_an_open_connection_and_no_other(void **state) {
    (void)state;
    static const char v6[] = "0000000000000000FFFF00000100007F";
    static const struct {
        const char *addresses, *state, *rest;
        bool is_it;
    } rows[] = {
        {"0100007F:1234 0100007F:AA80", "01", TAIL "1001        0 77 1 0", true},
        {"0100007F:1234 0100007F:AA80", "06", TAIL "0        0 0 3 0", false}, /* TIME_WAIT */
        {"0100007F:1234 0100007F:AA80", "01", TAIL "0        0 0 3 0", false}, /* of nobody */
        {"0100007F:1234 0100007F:AA80", "0A", TAIL "1001        0 77 1 0", false},
        {"0100007F:1235 0100007F:AA80", "01", TAIL "1001        0 77 1 0", false},
        {"0100007F:1234 0100007F:AA81", "01", TAIL "1001        0 77 1 0", false},
        {"0100007F:AA80 0100007F:1234", "01", TAIL "1001        0 77 1 0", false},
        {"0200007F:1234 0100007F:AA80", "01", TAIL "1001        0 77 1 0", false},
        {"0100007F:1234 0100000A:AA80", "01", TAIL "1001        0 77 1 0", false},
        {"0100007F:1234 0100007F:AA80", "01", TAIL "1001        0", false}, /* cut */
        {"", "", "  sl  local_address rem_address   st", false},
    };
    char line[256];
    uint32_t user = 0;
    for (size_t i = 0; i < array_count(rows); i++) {
        snprintf(line, sizeof line, "   1: %s %s%s", rows[i].addresses, rows[i].state,
                 rows[i].rest);
        assert_int_equal(peer_reads_row(line, 0x1234, 0xaa80, &user), rows[i].is_it);
    }
    assert_int_equal(user, 1001);
    snprintf(line, sizeof line, "  12: %s:1234 %s:AA80 01" TAIL "4294967294 0 9 1 0", v6, v6);
    assert_true(peer_reads_row(line, 0x1234, 0xaa80, &user));
    assert_int_equal(user, 4294967294u);
}

static void names_the_user_of_a_unix_socket(void **state) {
    (void)state;
    int ends[2];
    uint32_t user = 77;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(peer_user(ends[0], &user), STATUS_OK);
    assert_int_equal(user, geteuid());
    close(ends[0]);
    close(ends[1]);
}

static void names_the_user_of_a_tcp_socket_while_it_is_open(void **state) {
    (void)state;
    struct tcp_address address;
    struct hal_stream near = {.handle = -1};
    struct hal_stream far = {.handle = -1};
    int listener = -1;
    uint32_t user = 77;
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    tcp_local_address(listener, &address);
    assert_int_equal(tcp_connect(&far, &address), STATUS_OK);
    while (tcp_accept(listener, &near) == STATUS_AGAIN) {
    }
    assert_int_equal(peer_user(near.handle, &user), STATUS_OK);
    assert_int_equal(user, geteuid());
    hal_stream_close(&far);
    user = 77;
    assert_int_equal(peer_user(near.handle, &user), STATUS_NOT_FOUND);
    assert_int_equal(user, 77);
    hal_stream_close(&near);
    close(listener);
}

int hal_peer_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_row_of_an_open_connection_and_no_other),
        cmocka_unit_test(names_the_user_of_a_unix_socket),
        cmocka_unit_test(names_the_user_of_a_tcp_socket_while_it_is_open),
    };
    return cmocka_run_group_tests_name("hal/peer", tests, NULL, NULL);
}
