/* adb clients at a lease's endpoint: every form of request, cut, too large, slow, too many. */
#include "tests/host/adb_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* How the answer to one request on a fresh connection begins; `!` stands for a FAIL with just this
 * text. Empty: the connection ends without one. */
static const struct {
    const char *request, *answer;
    bool is_open; /* the connection stays for more */
} forms[] = {
    {"host:version", "OKAY00040029", false},
    {"host:kill", "!kill-server rejected by remote server", false},
    {"host:devices", "OKAY000eSIM001\tdevice\n", false},
    {"host:devices-l", "OKAY0058SIM001                 device product:oriole", false},
    {"host:track-devices", "OKAY000eSIM001\tdevice\n", true},
    {"host:track-devices-l", "OKAY0058SIM001", true},
    {"host:track-devices-proto-text", "OKAY", true},
    {"host:track-devices-proto-binary", "OKAY", true},
    {"host:features", "OKAY", false},
    {"host:host-features", "OKAY", false},
    {"host:get-state", "OKAY0006device", false},
    {"host:get-serialno", "OKAY0006SIM001", false},
    {"host:get-devpath", "OKAY0007unknown", false},
    {"host:transport:SIM001", "OKAY", true},
    {"host:transport:nobody", "!device 'nobody' not found", false},
    {"host:transport-id:1", "OKAY", true},
    {"host:transport-id:2", "FAIL", false},
    {"host:transport-any", "OKAY", true},
    {"host:transport-local", "OKAY", true},
    {"host:transport-usb", "FAIL", false},
    {"host:tport:serial:SIM001", "OKAY\x01", true},
    {"host:tport:any", "OKAY\x01", true},
    {"host:tport:local", "OKAY\x01", true},
    {"host:tport:usb", "FAIL", false},
    {"host:tport:serial:SIM002", "!device 'SIM002' not found", false},
    {"host-serial:SIM001:get-state", "OKAY0006device", false},
    {"host-serial:SIM002:get-state", "!device 'SIM002' not found", false},
    {"host-transport-id:1:get-serialno", "OKAY0006SIM001", false},
    {"host-transport-id:9:get-serialno", "FAIL", false},
    {"host-local:get-state", "OKAY0006device", false},
    {"host-usb:get-state", "FAIL", false},
    {"host:wait-for-any-device", "OKAYOKAY", false},
    {"host:wait-for-local-any", "OKAYOKAY", false},
    {"host:wait-for-any-disconnect", "OKAY", true},
    {"host:wait-for-usb-device", "OKAY", true},
    {"host-serial:SIM001:wait-for-any-device", "OKAYOKAY", false},
    {"host:wait-for-nonsense", "FAIL", false},
    {"host:list-forward", "OKAY0000", false},
    {"host:forward:tcp:0;localabstract:echo", "OKAYOKAY000", false},
    {"host:forward:norebind:tcp:0;tcp:7", "OKAYOKAY000", false},
    {"host:forward:nonsense", "FAIL", false},
    {"host:forward:localabstract:x;tcp:7", "FAIL", false},
    {"host:killforward:tcp:9", "!listener 'tcp:9' not found", false},
    {"host:killforward-all", "OKAYOKAY", false},
    {"host:reconnect-offline", "OKAY0000", false},
    {"host:reconnect", "FAIL", false},
    {"host:connect:127.0.0.1:5555", "FAIL", false},
    {"host:disconnect:", "FAIL", false},
    {"host:pair:1:2", "FAIL", false},
    {"host:attach", "FAIL", false},
    {"host:detach", "FAIL", false},
    {"host:emulator:5555", "FAIL", false},
    {"host:mdns:services", "FAIL", false},
    {"host:nonsense", "!unknown host service", false},
    {"host:", "!unknown host service", false},
    {"shell:id", "!device offline (no transport)", false},
    {"sync:", "!device offline (no transport)", false},
    {"x", "!device offline (no transport)", false},
    {"host-serial:", "", false},
};

static void expect(int client, const char *answer) {
    char text[256];
    if (answer[0] != '!') {
        adb_rig_expect(client, answer);
        return;
    }
    snprintf(text, sizeof text, "FAIL%04x%s", (unsigned)strlen(answer) - 1, answer + 1);
    adb_rig_expect(client, text);
}

/* The connection has no more to say; the client leaves, and nothing of it is left. */
static void leave(int client, bool is_open) {
    char rest[70000];
    if (!is_open) {
        adb_rig_hear(client, rest, sizeof rest - 1);
    }
    close(client);
    adb_rig_wait_quiet();
}

static void answers_every_form_of_request(void **state) {
    (void)state;
    for (size_t i = 0; i < array_count(forms); i++) {
        int client = adb_rig_connect();
        adb_rig_ask(client, forms[i].request);
        expect(client, forms[i].answer);
        leave(client, forms[i].is_open);
    }
}

/* Whatever is missing when a client leaves, its slot is free again, and nothing was begun. */
static void a_request_cut_at_any_byte_does_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < array_count(forms); i++) {
        char text[128];
        snprintf(text, sizeof text, "%04x%s", (unsigned)strlen(forms[i].request), forms[i].request);
        for (size_t size = 0; size < strlen(text); size++) {
            char got[2];
            int client = adb_rig_connect();
            adb_rig_say(client, text, size);
            assert_int_equal(shutdown(client, SHUT_WR), 0);
            assert_int_equal(adb_rig_hear(client, got, 1), 0);
            close(client);
        }
        adb_rig_wait_quiet();
        assert_int_equal(adb_rig_line.link.connection.refused_opens, 0);
    }
}

static void a_request_may_come_byte_by_byte(void **state) {
    (void)state;
    for (size_t i = 0; i < array_count(forms); i++) {
        char text[128];
        int client = adb_rig_connect();
        snprintf(text, sizeof text, "%04X%s", (unsigned)strlen(forms[i].request), forms[i].request);
        for (size_t at = 0; at < strlen(text); at++) {
            adb_rig_say(client, text + at, 1);
        }
        expect(client, forms[i].answer);
        leave(client, forms[i].is_open);
    }
}

static void what_is_no_length_ends_the_connection(void **state) {
    (void)state;
    static const char *const wrong[] = {"0000",
                                        "zzzz",
                                        "-001",
                                        "+001",
                                        " 001",
                                        "0x01",
                                        "\xff\xff\xff\xff",
                                        "GET / HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < array_count(wrong); i++) {
        int client = adb_rig_connect();
        adb_rig_say(client, wrong[i], strlen(wrong[i]));
        adb_rig_expect_end(client);
    }
    adb_rig_wait_quiet();
}

static void the_longest_request_is_answered(void **state) {
    (void)state;
    static const char *const fronts[] = {"host:",
                                         "host:transport:",
                                         "host-serial:",
                                         "shell:",
                                         "host:forward:tcp:0;",
                                         "host:killforward:",
                                         "host:wait-for-any-",
                                         "host-transport-id:"};
    static char text[0x10000];
    for (size_t i = 0; i < array_count(fronts); i++) {
        char rest[1024];
        memset(text, 'x', sizeof text - 1);
        memcpy(text, fronts[i], strlen(fronts[i]));
        int client = adb_rig_connect();
        adb_rig_ask(client, text);
        size_t size = adb_rig_hear(client, rest, sizeof rest - 1);
        assert_true(size == 0 || memcmp(rest, "FAIL", 4) == 0);
        close(client);
        adb_rig_wait_quiet();
    }
    memcpy(text, "shell:xxxxxxxxxxxxxxxxxx", 24);
    int client = adb_rig_connect();
    adb_rig_ask(client, "host:transport:SIM001");
    adb_rig_expect(client, "OKAY");
    adb_rig_ask(client, text);
    expect(client, "!closed"); /* it is this phone that has no such service */
    adb_rig_expect_end(client);
}

static void a_client_that_asks_without_end_and_never_reads_is_left(void **state) {
    (void)state;
    int client = adb_rig_connect();
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    static const char request[] = "0015host:transport:SIM001";
    while (send(client, request, sizeof request - 1, MSG_NOSIGNAL) > 0 || adb_rig_served() > 0) {
        assert_true(loop_now_ms() < deadline_ms);
        adb_rig_turn();
    }
    close(client);
}

static void a_full_table_is_said_and_is_there_again(void **state) {
    (void)state;
    static int held[ADB_RIG_CLIENTS];
    for (size_t i = 0; i < ADB_RIG_CLIENTS; i++) {
        held[i] = adb_rig_connect();
        adb_rig_turn();
    }
    while (adb_rig_served() < ADB_RIG_CLIENTS) {
        adb_rig_turn();
    }
    int one_more = adb_rig_connect();
    expect(one_more, "!this hub serves as many adb clients as it can");
    adb_rig_expect_end(one_more);
    assert_int_equal(adb_rig_host.counters.refused_full, 1);
    for (size_t i = 0; i < ADB_RIG_CLIENTS; i++) {
        close(held[i]);
    }
    adb_rig_wait_quiet();
    close(adb_rig_service("shell:echo"));
}

static void as_many_streams_as_a_phone_has_and_then_a_clear_fail(void **state) {
    (void)state;
    static int held[PHONE_LINK_STREAMS];
    for (size_t i = 0; i < PHONE_LINK_STREAMS; i++) {
        held[i] = adb_rig_service("localabstract:echo");
    }
    int one_more = adb_rig_connect();
    adb_rig_ask(one_more, "host:transport:SIM001");
    adb_rig_expect(one_more, "OKAY");
    adb_rig_ask(one_more, "localabstract:echo");
    expect(one_more, "!too many streams to this phone");
    adb_rig_expect_end(one_more);
    for (size_t i = 0; i < PHONE_LINK_STREAMS; i++) {
        char text[16];
        snprintf(text, sizeof text, "stream %zu", i);
        adb_rig_say(held[i], text, strlen(text));
        adb_rig_expect(held[i], text);
        close(held[i]);
    }
    adb_rig_wait_quiet();
}

static void as_many_forwards_as_there_are_and_then_a_clear_fail(void **state) {
    (void)state;
    for (size_t i = 0; i < ADB_FORWARDS_MAX; i++) {
        int client = adb_rig_connect();
        adb_rig_ask(client, "host:forward:tcp:0;tcp:7");
        adb_rig_expect(client, "OKAYOKAY000");
        leave(client, false);
    }
    int one_more = adb_rig_connect();
    adb_rig_ask(one_more, "host:forward:tcp:0;tcp:7");
    expect(one_more, "!cannot bind listener: this hub holds as many forwards as it can");
    leave(one_more, false);
    int client = adb_rig_connect();
    adb_rig_ask(client, "host:killforward-all");
    adb_rig_expect(client, "OKAYOKAY");
    leave(client, false);
}

/* What the phone sends ahead is bounded, and others go on; what was held comes whole. */
static void a_slow_reader_holds_only_its_own_stream(void **state) {
    (void)state;
    enum { SIZE = 3 * 1000 * 1000 };
    static char content[SIZE + 1];
    int writer = adb_rig_service("exec:cat > /sdcard/content");
    memset(content, 'c', SIZE);
    adb_rig_say(writer, content, SIZE);
    shutdown(writer, SHUT_WR);
    adb_rig_expect_end(writer);
    int slow = adb_rig_service("exec:cat /sdcard/content");
    uint64_t received = 0;
    for (unsigned i = 0; i < 50; i++) {
        int quick = adb_rig_service("shell:echo alive");
        adb_rig_expect(quick, "alive\n");
        close(quick);
        received = adb_rig_line.link.bytes_received;
    }
    int quick = adb_rig_service("shell:echo alive");
    close(quick);
    assert_true(adb_rig_line.link.bytes_received - received < 4096);
    assert_int_equal(adb_rig_hear(slow, content, SIZE), SIZE);
    adb_rig_expect_end(slow);
    adb_rig_wait_quiet();
}

static void the_end_of_the_lease_ends_all_and_lets_nothing_begin(void **state) {
    (void)state;
    int clients[] = {adb_rig_service("localabstract:echo"), adb_rig_service("shell:sleep 600"),
                     adb_rig_service("sync:"), adb_rig_connect(), adb_rig_connect()};
    adb_rig_ask(clients[3], "host:track-devices");
    adb_rig_expect(clients[3], "OKAY000eSIM001\tdevice\n");
    adb_rig_end_lease();
    adb_rig_turn();
    assert_int_equal(adb_rig_endpoint->scope, ADB_SCOPE_CLOSED);
    assert_int_equal(adb_rig_served(), 0);
    for (size_t i = 0; i < array_count(clients); i++) {
        adb_rig_expect_end(clients[i]);
    }
    assert_int_equal(access(adb_rig_endpoint->path, F_OK), -1);
    assert_true(adb_rig_line.link.fence > ADB_RIG_TOKEN);
    const struct adb_order order = {.token = ADB_RIG_TOKEN, .user = ADB_ANY_USER};
    struct adb_endpoint *endpoint = NULL;
    assert_int_equal(adb_endpoint_open(&adb_rig_host, &order, &endpoint), STATUS_STALE_LEASE);
}

static void a_phone_that_is_lost_ends_its_streams_and_is_not_shown(void **state) {
    (void)state;
    int stream = adb_rig_service("localabstract:echo");
    int tracker = adb_rig_connect();
    adb_rig_ask(tracker, "host:track-devices");
    adb_rig_expect(tracker, "OKAY000eSIM001\tdevice\n");
    phone_link_close(&adb_rig_line.link);
    adb_rig_expect(tracker, "0000");
    close(tracker);
    adb_rig_expect_end(stream);
    int client = adb_rig_connect();
    adb_rig_ask(client, "host:transport:SIM001");
    adb_rig_expect(client, "FAIL");
    leave(client, false);
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, adb_rig_open, adb_rig_close)

int host_adb_client_tests(void) {
    const struct CMUnitTest tests[] = {
        rig_test(answers_every_form_of_request),
        rig_test(a_request_cut_at_any_byte_does_nothing),
        rig_test(a_request_may_come_byte_by_byte),
        rig_test(what_is_no_length_ends_the_connection),
        rig_test(the_longest_request_is_answered),
        rig_test(a_client_that_asks_without_end_and_never_reads_is_left),
        rig_test(a_full_table_is_said_and_is_there_again),
        rig_test(as_many_streams_as_a_phone_has_and_then_a_clear_fail),
        rig_test(as_many_forwards_as_there_are_and_then_a_clear_fail),
        rig_test(a_slow_reader_holds_only_its_own_stream),
        rig_test(the_end_of_the_lease_ends_all_and_lets_nothing_begin),
        rig_test(a_phone_that_is_lost_ends_its_streams_and_is_not_shown),
    };
    return cmocka_run_group_tests_name("host/adb_client", tests, NULL, NULL);
}
