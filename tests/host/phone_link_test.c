/* hubd's link to a phone, against an emulated phone in the same process and loop. */
#include "host/hubd/phones/phone_link.h"

#include "hal/linux/tcp.h"
#include "host/phonesim/link_tcp.h"
#include "tests/test.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20 * 1000 };

static struct loop loop;
static struct phone phone;
static struct phone_options options;
static struct link_tcp carrier;
static struct phone_link hub_link;
static struct hal_stream stream;
static struct adb_key key;
static bool has_key;
static char scratch[64];
static unsigned changes;
static uint8_t content[300 * 1000];
static uint8_t back[sizeof content];

/* What an operation told. */
static struct told {
    char out[512];
    char err[512];
    unsigned ended;
    uint32_t operation;
    struct phone_result result;
    char detail[PHONE_DETAIL_SIZE];
} told;

static void on_output(void *owner, uint32_t operation, bool is_stderr, struct bytes data) {
    struct told *one = owner;
    char *text = is_stderr ? one->err : one->out;
    (void)operation;
    assert_true(strlen(text) + data.size < sizeof one->out);
    strncat(text, (const char *)data.data, data.size);
}

static void on_ended(void *owner, uint32_t operation, const struct phone_result *result) {
    struct told *one = owner;
    one->ended += 1;
    one->operation = operation;
    one->result = *result;
    snprintf(one->detail, sizeof one->detail, "%s", result->detail);
}

static const struct phone_handler handler = {on_output, on_ended, &told};

static void on_changed(void *owner, struct phone_link *changed) {
    (void)owner;
    (void)changed;
    changes += 1;
}

static void turn(void) {
    loop_step(&loop, 5);
    link_tcp_step(&carrier, loop_now_ms());
}

static void wait_for_state(enum phone_link_state state) {
    uint64_t deadline_ms = loop_now_ms() + PATIENCE_MS;
    while (hub_link.state != state) {
        assert_true(loop_now_ms() < deadline_ms);
        turn();
    }
}

static void wait_for_end(void) {
    uint64_t deadline_ms = loop_now_ms() + PATIENCE_MS;
    while (told.ended == 0) {
        assert_true(loop_now_ms() < deadline_ms);
        turn();
    }
}

static void attach(void) {
    struct tcp_address address;
    tcp_local_address(carrier.listener, &address);
    assert_int_equal(tcp_connect(&stream, &address), STATUS_OK);
    assert_int_equal(phone_link_attach(&hub_link, &stream, loop_now_ms()), STATUS_OK);
}

static int set_up(void **state) {
    struct tcp_address address;
    (void)state;
    memset(&options, 0, sizeof options);
    memset(&told, 0, sizeof told);
    changes = 0;
    has_key = false;
    snprintf(scratch, sizeof scratch, "%s", "/tmp/hub-link-XXXXXX");
    assert_non_null(mkdtemp(scratch));
    assert_int_equal(loop_open(&loop), STATUS_OK);
    phone_init(&phone, &options, "SIM001", 0, loop_now_ms());
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    assert_int_equal(link_tcp_open(&carrier, &loop, &phone, &address), STATUS_OK);
    phone_link_init(&hub_link, &loop, NULL, (struct phone_link_owner){on_changed, NULL});
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 7 + i / 251);
    }
    return 0;
}

static int tear_down(void **state) {
    static const char *const names[] = {"pushed", "pulled", "key", "key.pub"};
    (void)state;
    phone_link_close(&hub_link);
    link_tcp_close(&carrier);
    phone_files_remove_all(&phone.state.files);
    loop_close(&loop);
    if (has_key) {
        adb_key_close(&key);
    }
    for (size_t i = 0; i < array_count(names); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", scratch, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(scratch), 0); /* nothing else was left behind */
    return 0;
}

static void go_online(void) {
    attach();
    wait_for_state(PHONE_LINK_ONLINE);
}

static uint32_t shell(uint64_t token, const char *command) {
    uint32_t operation = 0;
    struct bytes text = {(const uint8_t *)command, strlen(command)};
    assert_int_equal(phone_link_shell(&hub_link, token, text, &handler, &operation), STATUS_OK);
    return operation;
}

static void path_in_scratch(char path[128], const char *name) {
    snprintf(path, 128, "%s/%s", scratch, name);
}

static void comes_online_with_the_phones_names(void **state) {
    (void)state;
    go_online();
    assert_string_equal(hub_link.product, "oriole");
    assert_string_equal(hub_link.model, "Pixel_6");
    assert_string_equal(hub_link.device, "oriole");
    assert_int_equal(changes, 1);
}

static void runs_a_command_and_tells_its_output_and_status(void **state) {
    (void)state;
    go_online();
    uint32_t operation = shell(1, "getprop ro.serialno; foo; exit 7");
    wait_for_end();
    assert_string_equal(told.out, "SIM001\n");
    assert_string_equal(told.err, "/system/bin/sh: foo: inaccessible or not found\n");
    assert_int_equal(told.operation, operation);
    assert_int_equal(told.result.status, STATUS_OK);
    assert_int_equal(told.result.exit_status, 7);
}

static void pushes_and_pulls_the_same_bytes(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 504, 1016, 65535, 65536, 65537, 66040, sizeof content};
    char path[128];
    path_in_scratch(path, "pulled");
    go_online();
    for (size_t i = 0; i < array_count(sizes); i++) {
        uint32_t operation = 0;
        struct phone_push push = {
            .memory = {content, sizes[i]}, .target = "/sdcard/a", .mode = 0644};
        memset(&told, 0, sizeof told);
        assert_int_equal(phone_link_push(&hub_link, 1, &push, &handler, &operation), STATUS_OK);
        wait_for_end();
        assert_int_equal(told.result.status, STATUS_OK);
        assert_true(told.result.bytes == sizes[i]);
        struct phone_pull pull = {.source = "/sdcard/a", .path = path, .max_bytes = sizes[i]};
        memset(&told, 0, sizeof told);
        assert_int_equal(phone_link_pull(&hub_link, 1, &pull, &handler, &operation), STATUS_OK);
        wait_for_end();
        assert_int_equal(told.result.status, STATUS_OK);
        int file = open(path, O_RDONLY);
        assert_true(file >= 0);
        assert_int_equal(read(file, back, sizeof back), sizes[i]);
        close(file);
        assert_memory_equal(back, content, sizes[i]);
    }
}

static void a_pull_above_its_cap_or_of_nothing_leaves_no_file(void **state) {
    (void)state;
    char path[128];
    uint32_t operation = 0;
    path_in_scratch(path, "pulled");
    go_online();
    shell(1, "echo 12345 > /sdcard/six");
    wait_for_end();
    struct phone_pull pull = {.source = "/sdcard/six", .path = path, .max_bytes = 5};
    memset(&told, 0, sizeof told);
    assert_int_equal(phone_link_pull(&hub_link, 1, &pull, &handler, &operation), STATUS_OK);
    wait_for_end();
    assert_int_equal(told.result.status, STATUS_TOO_LARGE);
    assert_int_equal(access(path, F_OK), -1);
    pull = (struct phone_pull){.source = "/sdcard/none", .path = path, .max_bytes = 5};
    memset(&told, 0, sizeof told);
    assert_int_equal(phone_link_pull(&hub_link, 1, &pull, &handler, &operation), STATUS_OK);
    wait_for_end();
    assert_int_equal(told.result.status, STATUS_DENIED);
    assert_non_null(strstr(told.detail, "No such file"));
    assert_int_equal(access(path, F_OK), -1);
}

static void a_newer_token_cuts_what_runs_and_an_older_one_is_refused(void **state) {
    (void)state;
    uint32_t operation = 0;
    go_online();
    shell(5, "sleep 600");
    turn();
    assert_int_equal(phone_link_shell(&hub_link, 4, bytes_of("echo"), &handler, &operation),
                     STATUS_STALE_LEASE);
    phone_link_fence(&hub_link, 6);
    assert_int_equal(told.ended, 1);
    assert_int_equal(told.result.status, STATUS_STALE_LEASE);
    assert_int_equal(phone_link_shell(&hub_link, 5, bytes_of("echo"), &handler, &operation),
                     STATUS_STALE_LEASE);
    memset(&told, 0, sizeof told);
    shell(6, "echo on");
    wait_for_end();
    assert_string_equal(told.out, "on\n");
    phone_link_close(&hub_link);
    assert_int_equal(phone_link_shell(&hub_link, 5, bytes_of("echo"), &handler, &operation),
                     STATUS_STALE_LEASE); /* the fence outlives the connection */
}

static void says_nothing_after_a_cancel_or_a_close(void **state) {
    (void)state;
    go_online();
    uint32_t operation = shell(1, "sleep 0.01; echo late");
    turn();
    phone_link_cancel(&hub_link, operation);
    for (unsigned i = 0; i < 20; i++) {
        turn();
    }
    assert_int_equal(told.ended, 0);
    shell(1, "sleep 600");
    turn();
    phone_link_close(&hub_link);
    assert_int_equal(told.ended, 0);
    assert_int_equal(hub_link.state, PHONE_LINK_CLOSED);
    assert_int_equal(changes, 1);
}

static void runs_several_at_once_and_says_when_there_is_no_room(void **state) {
    (void)state;
    uint32_t operation = 0;
    go_online();
    for (unsigned i = 0; i < PHONE_LINK_OPERATIONS; i++) {
        shell(1, "echo x");
    }
    assert_int_equal(phone_link_shell(&hub_link, 1, bytes_of("echo"), &handler, &operation),
                     STATUS_FULL);
    uint64_t deadline_ms = loop_now_ms() + PATIENCE_MS;
    while (told.ended < PHONE_LINK_OPERATIONS && loop_now_ms() < deadline_ms) {
        turn();
    }
    assert_int_equal(told.ended, PHONE_LINK_OPERATIONS);
    assert_string_equal(told.out, "x\nx\nx\nx\n");
}

static void tells_operations_and_then_the_owner_that_the_phone_is_lost(void **state) {
    (void)state;
    assert_int_equal(phone_fault_add(&options.faults, "drop"), STATUS_OK);
    go_online();
    shell(1, "getprop");
    wait_for_state(PHONE_LINK_LOST);
    assert_int_equal(told.ended, 1);
    assert_int_equal(told.result.status, STATUS_CLOSED);
    assert_int_equal(told.result.exit_status, -1);
    assert_string_equal(hub_link.reason, "closed the connection");
    options.faults.count = 0;
    memset(&told, 0, sizeof told);
    go_online();
    shell(1, "echo again");
    wait_for_end();
    assert_string_equal(told.out, "again\n");
}

static void garbage_loses_the_phone_with_a_reason(void **state) {
    (void)state;
    assert_int_equal(phone_fault_add(&options.faults, "garbage"), STATUS_OK);
    go_online();
    shell(1, "getprop");
    wait_for_state(PHONE_LINK_LOST);
    assert_int_equal(told.result.status, STATUS_MALFORMED);
    assert_string_equal(hub_link.reason, "sent bytes that are not an ADB message");
}

static void a_handshake_has_a_deadline(void **state) {
    (void)state;
    uint64_t now_ms = loop_now_ms();
    attach(); /* nobody turns the loop: the phone stays mute */
    phone_link_step(&hub_link, now_ms + PHONE_LINK_HANDSHAKE_MS - 1000);
    assert_int_equal(hub_link.state, PHONE_LINK_CONNECTING);
    phone_link_step(&hub_link, now_ms + PHONE_LINK_HANDSHAKE_MS + 1000);
    assert_int_equal(hub_link.state, PHONE_LINK_LOST);
    assert_int_equal(hub_link.lost_as, STATUS_TIMEOUT);
}

/* A quiet phone is asked; it is lost only when it owes the answer for too long. */
static void silence_is_noticed_and_quiet_is_not_silence(void **state) {
    (void)state;
    uint64_t now_ms = loop_now_ms();
    go_online();
    for (unsigned i = 0; i < 4; i++) {
        now_ms += PHONE_LINK_PROBE_MS;
        phone_link_step(&hub_link, now_ms);
        uint64_t deadline_ms = loop_now_ms() + PATIENCE_MS;
        while (hub_link.probe_stream != 0 && loop_now_ms() < deadline_ms) {
            turn();
        }
        assert_int_equal(hub_link.state, PHONE_LINK_ONLINE);
    }
    phone_link_step(&hub_link, now_ms + 1);
    phone_link_step(&hub_link, now_ms + 1 + PHONE_LINK_PROBE_MS);
    assert_int_not_equal(hub_link.probe_stream, 0);
    phone_link_step(&hub_link, now_ms + PHONE_LINK_PROBE_MS + PHONE_LINK_SILENCE_MS);
    assert_int_equal(hub_link.state, PHONE_LINK_ONLINE);
    phone_link_step(&hub_link, now_ms + PHONE_LINK_PROBE_MS + PHONE_LINK_SILENCE_MS + 2);
    assert_int_equal(hub_link.state, PHONE_LINK_LOST);
    assert_string_equal(hub_link.reason, "has gone silent");
}

static void a_phone_that_asks_for_a_key_is_unauthorized_until_it_accepts(void **state) {
    (void)state;
    char path[128];
    path_in_scratch(path, "key");
    assert_int_equal(adb_key_open(&key, path, "hub@test"), STATUS_OK);
    has_key = true;
    options.auth = PHONE_AUTH_ACCEPT;
    options.accept_ms = 50;
    phone_link_init(&hub_link, &loop, &key, (struct phone_link_owner){on_changed, NULL});
    attach();
    wait_for_state(PHONE_LINK_UNAUTHORIZED);
    wait_for_state(PHONE_LINK_ONLINE);
    phone_link_close(&hub_link);
    adb_key_close(&key);
    assert_int_equal(adb_key_open(&key, path, "hub@test"), STATUS_OK); /* now from the file */
    changes = 0;
    turn();
    go_online();
    assert_int_equal(changes, 1); /* the signature sufficed */
}

static void a_refused_connection_says_so(void **state) {
    (void)state;
    struct tcp_address address;
    int listener = -1;
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    tcp_local_address(listener, &address);
    tcp_unlisten(listener);
    if (tcp_connect(&stream, &address) == STATUS_OK) {
        assert_int_equal(phone_link_attach(&hub_link, &stream, loop_now_ms()), STATUS_OK);
        wait_for_state(PHONE_LINK_LOST);
        assert_string_equal(hub_link.reason, "refused the connection");
    }
}

#define LINK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int host_phone_link_tests(void) {
    const struct CMUnitTest tests[] = {
        LINK_TEST(comes_online_with_the_phones_names),
        LINK_TEST(runs_a_command_and_tells_its_output_and_status),
        LINK_TEST(pushes_and_pulls_the_same_bytes),
        LINK_TEST(a_pull_above_its_cap_or_of_nothing_leaves_no_file),
        LINK_TEST(a_newer_token_cuts_what_runs_and_an_older_one_is_refused),
        LINK_TEST(says_nothing_after_a_cancel_or_a_close),
        LINK_TEST(runs_several_at_once_and_says_when_there_is_no_room),
        LINK_TEST(tells_operations_and_then_the_owner_that_the_phone_is_lost),
        LINK_TEST(garbage_loses_the_phone_with_a_reason),
        LINK_TEST(a_handshake_has_a_deadline),
        LINK_TEST(silence_is_noticed_and_quiet_is_not_silence),
        LINK_TEST(a_phone_that_asks_for_a_key_is_unauthorized_until_it_accepts),
        LINK_TEST(a_refused_connection_says_so),
    };
    return cmocka_run_group_tests_name("host/phone_link", tests, NULL, NULL);
}
