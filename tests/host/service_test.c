#include "host/shared/service.h"
#include "tests/test.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int listener = -1;
static char message[256];

/* An abstract socket of this process. */
static int listen_here(void **state) {
    (void)state;
    char name[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(name, sizeof name, "@hub-service-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    listener = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(sizeof(sa_family_t) + strlen(name));
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "30000000", 1);
    return bind(listener, (struct sockaddr *)&address, size);
}

static int stop_listening(void **state) {
    (void)state;
    return close(listener);
}

/* The next message, or "" when there is none. */
static const char *heard(void) {
    ssize_t size = recv(listener, message, sizeof message - 1, 0);
    message[size < 0 ? 0 : size] = '\0';
    return message;
}

static void says_what_happens(void **state) {
    (void)state;
    struct service service;
    service_open(&service);
    service_ready(&service);
    assert_string_equal(heard(), "READY=1");
    service_reloading(&service);
    assert_memory_equal(heard(), "RELOADING=1\nMONOTONIC_USEC=", 27);
    service_stopping(&service, 15000);
    assert_string_equal(heard(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000");
    assert_string_equal(heard(), "");
    close(service.fd);
}

static void feeds_the_watchdog_three_times_in_its_limit(void **state) {
    (void)state;
    struct service service;
    service_open(&service);
    service_step(&service, 1000, true);
    assert_string_equal(heard(), "WATCHDOG=1");
    assert_int_equal(service_deadline_ms(&service), 11000);
    service_step(&service, 10999, true);
    assert_string_equal(heard(), "");
    service_step(&service, 11000, true);
    assert_string_equal(heard(), "WATCHDOG=1");
    close(service.fd);
}

static void does_not_feed_what_does_not_move(void **state) {
    (void)state;
    struct service service;
    service_open(&service);
    service_step(&service, 1000, false);
    assert_string_equal(heard(), "");
    assert_int_equal(service_deadline_ms(&service), 11000);
    close(service.fd);
}

static void feeds_only_the_process_that_is_watched(void **state) {
    (void)state;
    struct service service;
    setenv("WATCHDOG_PID", "1", 1);
    service_open(&service);
    assert_int_equal(service_deadline_ms(&service), UINT64_MAX);
    service_ready(&service);
    assert_string_equal(heard(), "READY=1");
    close(service.fd);
}

static void without_a_manager_nothing_is_sent(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "@", "relative", NULL};
    struct service service;
    for (size_t i = 0; i < array_count(wrong); i++) {
        if (wrong[i] == NULL) {
            unsetenv("NOTIFY_SOCKET");
        } else {
            setenv("NOTIFY_SOCKET", wrong[i], 1);
        }
        service_open(&service);
        assert_int_equal(service.fd, -1);
        service_ready(&service);
        service_step(&service, 1000, true);
        assert_int_equal(service_deadline_ms(&service), UINT64_MAX);
    }
}

int host_service_tests(void) {
#define SERVICE_TEST(name) cmocka_unit_test_setup_teardown(name, listen_here, stop_listening)
    const struct CMUnitTest tests[] = {
        SERVICE_TEST(says_what_happens),
        SERVICE_TEST(feeds_the_watchdog_three_times_in_its_limit),
        SERVICE_TEST(does_not_feed_what_does_not_move),
        SERVICE_TEST(feeds_only_the_process_that_is_watched),
        SERVICE_TEST(without_a_manager_nothing_is_sent),
    };
    return cmocka_run_group_tests_name("host/service", tests, NULL, NULL);
}
