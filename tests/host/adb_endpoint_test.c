/* Endpoints of leases: when they open, for whom, and what outlives a restart of hubd. */
#include "tests/host/adb_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SOMEBODY = 61001 };

static enum status open_again(struct adb_order order, struct adb_endpoint **endpoint) {
    return adb_endpoint_open(&adb_rig_host, &order, endpoint);
}

static const struct adb_order usual = {.token = ADB_RIG_TOKEN, .user = ADB_ANY_USER};

static void only_the_running_lease_opens_one_and_always_the_same(void **state) {
    (void)state;
    struct adb_endpoint *endpoint = NULL;
    for (uint64_t token = 0; token < 20; token++) {
        struct adb_order order = usual;
        order.token = token;
        enum status status = open_again(order, &endpoint);
        assert_int_equal(status, token == ADB_RIG_TOKEN ? STATUS_OK : STATUS_STALE_LEASE);
    }
    assert_ptr_equal(endpoint, adb_rig_endpoint);
    adb_rig_host.dir = "";
    assert_int_equal(open_again(usual, &endpoint), STATUS_ILLEGAL);
}

static void a_name_tells_nothing_and_differs_for_each_lease(void **state) {
    (void)state;
    char first[ADB_PATH_SIZE];
    snprintf(first, sizeof first, "%s", adb_rig_endpoint->path);
    const char *name = strrchr(first, '/') + 1;
    assert_int_equal(strlen(name), 24);
    assert_int_equal(strspn(name, "0123456789abcdef"), 24);
    adb_rig_set_token(ADB_RIG_TOKEN + 1);
    adb_rig_turn(); /* closes the first */
    struct adb_order order = usual;
    order.token += 1;
    assert_int_equal(open_again(order, &adb_rig_endpoint), STATUS_OK);
    assert_string_not_equal(first, adb_rig_endpoint->path);
    assert_int_equal(access(first, F_OK), -1);
}

static unsigned mode_of(const char *path) {
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_mode & 0777;
}

static void the_files_mode_is_for_where_users_are_not_told_apart(void **state) {
    (void)state;
    struct adb_endpoint *endpoint = NULL;
    struct adb_order order = usual;
    assert_int_equal(mode_of(adb_rig_endpoint->path), 0660);
    order.user = SOMEBODY;
    assert_int_equal(open_again(order, &endpoint), STATUS_OK);
    assert_int_equal(mode_of(adb_rig_endpoint->path), 0666);
    assert_true(adb_access_has_rule(endpoint));
    assert_int_equal(open_again(usual, &endpoint), STATUS_OK); /* names none: it stays */
    assert_int_equal(endpoint->wish.user, SOMEBODY);
}

static void a_lease_names_only_users_of_the_configuration(void **state) {
    (void)state;
    struct adb_endpoint *endpoint = NULL;
    struct adb_order order = usual;
    assert_true(adb_access_take(&adb_rig_host.users, "1, 61002"));
    order.user = SOMEBODY;
    assert_int_equal(open_again(order, &endpoint), STATUS_DENIED);
    order.user = 61002;
    assert_int_equal(open_again(order, &endpoint), STATUS_OK);
    order.user = geteuid();
    assert_int_equal(open_again(order, &endpoint), STATUS_OK);
}

static void lists_of_users_are_numbers(void **state) {
    (void)state;
    static const char *const wrong[] = {"adb", "-1", "1,,2", "4294967295", "1 2", "0x10", ""};
    for (size_t i = 0; i < array_count(wrong); i++) {
        struct adb_users users = {.count = 0};
        bool is_taken = adb_access_take(&users, wrong[i]);
        assert_true(!is_taken || users.count == 0);
    }
    struct adb_users users = {.count = 0};
    assert_true(adb_access_take(&users, "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,4294967294"));
    assert_int_equal(users.count, ADB_USERS_MAX);
    assert_false(adb_access_take(&users, "15"));
}

static void a_port_needs_leave_and_is_kept(void **state) {
    (void)state;
    struct adb_endpoint *endpoint = NULL;
    struct adb_order order = usual;
    order.wants_port = true;
    adb_rig_host.has_tcp = false;
    assert_int_equal(open_again(order, &endpoint), STATUS_FOREIGN);
    adb_rig_host.has_tcp = true;
    assert_int_equal(open_again(order, &endpoint), STATUS_OK);
    uint16_t port = endpoint->wish.port;
    assert_true(port > 0);
    assert_int_equal(open_again(order, &endpoint), STATUS_OK);
    assert_int_equal(endpoint->wish.port, port);
    assert_int_equal(adb_endpoint_open_port(endpoint, 0), STATUS_ILLEGAL);
    adb_rig_end_lease();
    adb_rig_turn();
    assert_int_equal(endpoint->port.source.fd, -1);
}

static void what_a_lease_asked_for_is_read_again(void **state) {
    (void)state;
    struct adb_wish wishes[ADB_ENDPOINTS];
    struct adb_endpoint *endpoint = NULL;
    struct adb_order order = usual;
    order.user = SOMEBODY;
    order.wants_port = true;
    assert_int_equal(open_again(order, &endpoint), STATUS_OK);
    adb_access_load(&adb_rig_host, wishes, ADB_ENDPOINTS);
    unsigned found = 0;
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        if (wishes[i].token == ADB_RIG_TOKEN) {
            found += 1;
            assert_int_equal(wishes[i].user, SOMEBODY);
            assert_int_equal(wishes[i].port, endpoint->wish.port);
        }
    }
    assert_int_equal(found, 1);
    assert_int_equal(ftruncate(adb_rig_host.wishes, sizeof wishes[0] / 2), 0);
    adb_access_load(&adb_rig_host, wishes, ADB_ENDPOINTS); /* a file cut short: nothing */
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        assert_int_equal(wishes[i].token, 0);
    }
}

static void a_full_table_of_endpoints_is_said(void **state) {
    (void)state;
    struct adb_endpoint *endpoint = NULL;
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        if (adb_rig_host.endpoints[i].scope == ADB_SCOPE_CLOSED) {
            adb_rig_host.endpoints[i].scope = ADB_SCOPE_OPERATORS;
        }
    }
    struct adb_order order = usual;
    order.token += 1;
    adb_rig_set_token(order.token);
    assert_int_equal(open_again(order, &endpoint), STATUS_FULL);
    for (size_t i = 0; i < ADB_ENDPOINTS; i++) {
        if (adb_rig_host.endpoints[i].host == NULL) {
            adb_rig_host.endpoints[i].scope = ADB_SCOPE_CLOSED;
        }
    }
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, adb_rig_open, adb_rig_close)

int host_adb_endpoint_tests(void) {
    const struct CMUnitTest tests[] = {
        rig_test(only_the_running_lease_opens_one_and_always_the_same),
        rig_test(a_name_tells_nothing_and_differs_for_each_lease),
        rig_test(the_files_mode_is_for_where_users_are_not_told_apart),
        rig_test(a_lease_names_only_users_of_the_configuration),
        rig_test(lists_of_users_are_numbers),
        rig_test(a_port_needs_leave_and_is_kept),
        rig_test(what_a_lease_asked_for_is_read_again),
        rig_test(a_full_table_of_endpoints_is_said),
    };
    return cmocka_run_group_tests_name("host/adb_endpoint", tests, NULL, NULL);
}
