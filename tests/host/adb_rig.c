#include "tests/host/adb_rig.h"

#include "host/hubd/adb/adb_client.h"
#include "host/phonesim/link_tcp.h"
#include "tests/test.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct adb_host adb_rig_host;
struct phone_line adb_rig_line;
struct adb_endpoint *adb_rig_endpoint;

static const struct board board = {.phones = 1, .adb_clients = ADB_RIG_CLIENTS};
static struct loop loop;
static struct phone phone;
static struct phone_options options;
static struct link_tcp carrier;
static struct hub hub;
static struct hub_phone hub_phones[1];
static struct hub_item hub_items[1];
static struct phones phones;
static struct adb_client clients[ADB_RIG_CLIENTS];
static uint8_t buffers[(size_t)ADB_RIG_CLIENTS * ADB_CLIENT_BUFFER];
static char scratch[64];

static void ignore(void *owner, struct phone_link *link) {
    (void)owner;
    (void)link;
}

void adb_rig_turn(void) {
    loop_step(&loop, 1);
    link_tcp_step(&carrier, loop_now_ms());
    adb_host_step(&adb_rig_host);
}

void adb_rig_set_token(uint64_t token) {
    hub_phones[0].item = 0;
    hub_items[0].image = (struct record_item){.state = RECORD_RUNNING, .token = token};
}

void adb_rig_end_lease(void) {
    hub_phones[0].item = HUB_NONE;
}

static void bring_phone_online(void) {
    struct tcp_address address;
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    phone_init(&phone, &options, "SIM001", 0, loop_now_ms());
    assert_int_equal(link_tcp_open(&carrier, &loop, &phone, &address), STATUS_OK);
    tcp_local_address(carrier.listener, &address);
    phones_init(&phones, &hub, &loop, NULL, &adb_rig_line);
    phones.line_count = 1;
    adb_rig_line = (struct phone_line){.phones = &phones, .phone = 0, .is_identified = true};
    phone_link_init(&adb_rig_line.link, &loop, NULL, (struct phone_link_owner){ignore, NULL});
    assert_int_equal(tcp_connect(&adb_rig_line.stream, &address), STATUS_OK);
    assert_int_equal(phone_link_attach(&adb_rig_line.link, &adb_rig_line.stream, loop_now_ms()),
                     STATUS_OK);
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    while (adb_rig_line.link.state != PHONE_LINK_ONLINE) {
        assert_true(loop_now_ms() < deadline_ms);
        loop_step(&loop, 5);
        link_tcp_step(&carrier, loop_now_ms());
    }
}

int adb_rig_open(void **state) {
    (void)state;
    memset(&options, 0, sizeof options);
    memset(clients, 0, sizeof clients);
    snprintf(scratch, sizeof scratch, "/tmp/hub-adb-XXXXXX");
    assert_non_null(mkdtemp(scratch));
    assert_int_equal(loop_open(&loop), STATUS_OK);
    hub = (struct hub){.board = &board, .phones = hub_phones, .items = hub_items, .phone_count = 1};
    snprintf(hub_phones[0].id, sizeof hub_phones[0].id, "SIM001");
    adb_rig_set_token(ADB_RIG_TOKEN);
    bring_phone_online();
    const struct adb_host_settings settings = {
        .dir = scratch, .operators = "", .has_ports = true, .has_tcp = true};
    assert_int_equal(adb_host_open(&adb_rig_host, &phones, &settings, clients, buffers), STATUS_OK);
    const struct adb_order order = {.token = ADB_RIG_TOKEN, .user = ADB_ANY_USER};
    assert_int_equal(adb_endpoint_open(&adb_rig_host, &order, &adb_rig_endpoint), STATUS_OK);
    return 0;
}

int adb_rig_close(void **state) {
    char path[96];
    (void)state;
    adb_host_close(&adb_rig_host);
    phone_link_close(&adb_rig_line.link);
    link_tcp_close(&carrier);
    phone_files_remove_all(&phone.state.files);
    loop_close(&loop);
    static const char *const names[] = {".secret", ".wishes"};
    for (size_t i = 0; i < array_count(names); i++) {
        snprintf(path, sizeof path, "%s/%s", scratch, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(scratch), 0); /* no socket was left behind */
    return 0;
}

/* ---- clients ---- */

int adb_rig_connect(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", adb_rig_endpoint->path);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    return client;
}

/* The server may be as slow as it likes, and may end the connection. */
void adb_rig_say(int client, const void *bytes, size_t size) {
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    const char *next = bytes;
    while (size > 0) {
        ssize_t count = send(client, next, size, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN) {
            return;
        }
        next += count > 0 ? count : 0;
        size -= count > 0 ? (size_t)count : 0;
        assert_true(loop_now_ms() < deadline_ms);
        adb_rig_turn();
    }
}

void adb_rig_ask(int client, const char *text) {
    char size[8];
    snprintf(size, sizeof size, "%04x", (unsigned)strlen(text));
    adb_rig_say(client, size, 4);
    adb_rig_say(client, text, strlen(text));
}

size_t adb_rig_hear(int client, char *target, size_t size) {
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    size_t got = 0;
    while (got < size && loop_now_ms() < deadline_ms) {
        ssize_t count = recv(client, target + got, size - got, 0);
        if (count == 0 || (count < 0 && errno == ECONNRESET)) {
            break;
        }
        got += count > 0 ? (size_t)count : 0;
        adb_rig_turn();
    }
    assert_true(loop_now_ms() < deadline_ms);
    target[got] = '\0';
    return got;
}

void adb_rig_expect(int client, const char *text) {
    char got[1024];
    assert_true(strlen(text) < sizeof got);
    adb_rig_hear(client, got, strlen(text));
    assert_string_equal(got, text);
}

void adb_rig_expect_end(int client) {
    char got[2];
    assert_int_equal(adb_rig_hear(client, got, 1), 0);
    close(client);
}

int adb_rig_service(const char *name) {
    int client = adb_rig_connect();
    adb_rig_ask(client, "host:transport:SIM001");
    adb_rig_expect(client, "OKAY");
    adb_rig_ask(client, name);
    adb_rig_expect(client, "OKAY");
    return client;
}

uint32_t adb_rig_served(void) {
    uint32_t served = 0;
    for (size_t i = 0; i < ADB_RIG_CLIENTS; i++) {
        served += clients[i].step != ADB_CLIENT_FREE;
    }
    return served;
}

void adb_rig_wait_quiet(void) {
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    while (adb_rig_served() > 0) {
        assert_true(loop_now_ms() < deadline_ms);
        adb_rig_turn();
    }
    assert_int_equal(adb_rig_host.watcher_count, 0);
    assert_int_equal(adb_rig_host.another_count, 0);
}
