#include "tests/hal/tls_rig.h"

#include "hal/linux/tcp.h"
#include "tests/test.h"

#include <poll.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int tls_rig_make_certs(void **state) {
    (void)state;
    char *arguments[] = {(char[]){"tests/hal/test_certs.sh"}, NULL};
    pid_t child = 0;
    int ended = -1;
    if (posix_spawn(&child, arguments[0], NULL, NULL, arguments, environ) != 0) {
        return -1;
    }
    return waitpid(child, &ended, 0) == child && ended == 0 ? 0 : -1;
}

/* A path that lives as long as the test. */
static const char *path_of(const char *folder, const char *file) {
    static char paths[32][80];
    static unsigned next;
    char *path = paths[next++ % array_count(paths)];
    snprintf(path, sizeof(paths[0]), TLS_RIG_CERTS "%s/%s", folder, file);
    return path;
}

struct tls_settings tls_rig_server(const char *ca, const char *own) {
    return (struct tls_settings){.role = TLS_SERVER,
                                 .ca_path = ca == NULL ? NULL : path_of(ca, "ca.crt"),
                                 .cert_path = path_of(own, "server.crt"),
                                 .key_path = path_of(own, "server.key")};
}

struct tls_settings tls_rig_client(const char *ca, const char *own) {
    return (struct tls_settings){.role = TLS_CLIENT,
                                 .ca_path = path_of(ca, "ca.crt"),
                                 .cert_path = own == NULL ? NULL : path_of(own, "hub-1.crt"),
                                 .key_path = own == NULL ? NULL : path_of(own, "hub-1.key")};
}

void tls_rig_open(struct tls_rig *rig, struct tls_settings server, struct tls_settings client) {
    memset(rig, 0, sizeof(*rig));
    assert_int_equal(tls_config_open(&rig->server_config, &server), STATUS_OK);
    assert_int_equal(tls_config_open(&rig->client_config, &client), STATUS_OK);
}

static void wait_for(int fd, short events) {
    struct pollfd ready = {.fd = fd, .events = events};
    assert_int_equal(poll(&ready, 1, 5000), 1);
}

void tls_rig_join(struct tls_rig *rig) {
    struct tcp_address address;
    int listener = -1;
    assert_int_equal(tcp_parse("127.0.0.1:0", &address), STATUS_OK);
    assert_int_equal(tcp_listen(&listener, &address), STATUS_OK);
    tcp_local_address(listener, &address);
    assert_int_equal(tcp_connect(&rig->client.socket, &address), STATUS_OK);
    wait_for(listener, POLLIN);
    assert_int_equal(tcp_accept(listener, &rig->server.socket), STATUS_OK);
    close(listener);
}

void tls_rig_connect(struct tls_rig *rig, const char *name, struct tls_session *session) {
    tls_rig_join(rig);
    rig->server_status = tls_stream_open(&rig->server, &rig->server_config, NULL, NULL);
    rig->client_status = tls_stream_open(&rig->client, &rig->client_config, name, session);
}

static short poll_events(const struct tls_stream *tls) {
    return (short)(((tls->stream.wants & HAL_STREAM_READABLE) != 0 ? POLLIN : 0) |
                   ((tls->stream.wants & HAL_STREAM_WRITABLE) != 0 ? POLLOUT : 0));
}

void tls_rig_wait(const struct tls_stream *tls) {
    wait_for(tls->stream.handle, poll_events(tls));
}

/* One call; a side that has failed hangs up, so that the other can notice. */
static enum status advance(struct tls_stream *tls, enum status status) {
    if (status == STATUS_AGAIN) {
        status = tls_stream_handshake(tls);
    }
    return status;
}

void tls_rig_handshake(struct tls_rig *rig) {
    rig->client_status = rig->client_status == STATUS_OK ? STATUS_AGAIN : rig->client_status;
    rig->server_status = rig->server_status == STATUS_OK ? STATUS_AGAIN : rig->server_status;
    for (;;) {
        rig->client_status = advance(&rig->client, rig->client_status);
        rig->server_status = advance(&rig->server, rig->server_status);
        bool client_waits = rig->client_status == STATUS_AGAIN;
        bool server_waits = rig->server_status == STATUS_AGAIN;
        if (!client_waits && !server_waits) {
            return;
        }
        struct tls_stream *waiting = client_waits ? &rig->client : &rig->server;
        struct tls_stream *other = client_waits ? &rig->server : &rig->client;
        struct pollfd ready[2] = {
            {.fd = waiting->stream.handle, .events = poll_events(waiting)},
            {.fd = client_waits && server_waits ? other->stream.handle : -1,
             .events = poll_events(other)},
        };
        bool other_failed = other->failure != STATUS_OK && hal_stream_is_open(&other->stream);
        int count = poll(ready, 2, other_failed ? 0 : 5000);
        if (count == 0 && other_failed) {
            hal_stream_close(&other->stream);
        } else {
            assert_true(count > 0);
        }
    }
}

void tls_rig_meet(struct tls_rig *rig, const char *name, struct tls_session *session) {
    tls_rig_connect(rig, name, session);
    tls_rig_handshake(rig);
}

enum status tls_rig_read(struct tls_stream *tls, void *target, size_t size, size_t *size_read) {
    for (;;) {
        enum status status = hal_stream_read(&tls->stream, target, size, size_read);
        if (status != STATUS_AGAIN) {
            return status;
        }
        tls_rig_wait(tls);
    }
}

static void close_if_open(struct hal_stream *stream) {
    if (hal_stream_is_open(stream)) {
        hal_stream_close(stream);
    }
}

void tls_rig_hang_up(struct tls_rig *rig) {
    close_if_open(&rig->client.stream);
    close_if_open(&rig->server.stream);
}

void tls_rig_close(struct tls_rig *rig) {
    tls_rig_hang_up(rig);
    tls_config_close(&rig->client_config);
    tls_config_close(&rig->server_config);
}
