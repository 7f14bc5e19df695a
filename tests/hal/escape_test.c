/* What a program in a container cannot reach. The probes of an escape stand in escape_probes.txt;
 * each runs in a container of its own. */
#include "tests/hal/container_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct host {
    int tcp;
    int tcp6;
    int abstract;
    int other;
    int own;
    int shm;
    char port[8];
    char port6[8];
    char name[40];
    char secret[96];
    char socket[96];
    char lease[96];
    char pid[16];
    char key[16];
};

static int listen_tcp(int family, const void *address, socklen_t size, char port[8]) {
    struct sockaddr_in6 bound; /* the port stands at the same place in both families */
    socklen_t length = sizeof bound;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, address, size) != 0 || listen(fd, 8) != 0) {
        snprintf(port, 8, "9"); /* a machine without this family */
        return fd;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &length), 0);
    snprintf(port, 8, "%u", ntohs(bound.sin6_port));
    return fd;
}

static void make_host(struct host *host) {
    const struct sockaddr_in v4 = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    host->tcp = listen_tcp(AF_INET, &v4, sizeof v4, host->port);
    host->tcp6 = listen_tcp(AF_INET6, &v6, sizeof v6, host->port6);

    snprintf(host->name, sizeof host->name, "hubd-escape-%d", getpid());
    char abstract[41] = "";
    memcpy(abstract + 1, host->name, strlen(host->name));
    host->abstract = container_listen(abstract, 1 + strlen(host->name));
    snprintf(host->socket, sizeof host->socket, "%s/other", container_folder);
    host->other = container_listen(host->socket, strlen(host->socket) + 1);
    assert_int_equal(chmod(host->socket, 0777), 0);
    snprintf(host->lease, sizeof host->lease, "%s/lease", container_folder);
    host->own = container_listen(host->lease, strlen(host->lease) + 1);
    snprintf(host->secret, sizeof host->secret, "%s/secret", container_folder);
    FILE *file = fopen(host->secret, "w");
    assert_non_null(file);
    fputs("secret", file);
    fclose(file);
    snprintf(host->pid, sizeof host->pid, "%d", getpid());
    snprintf(host->key, sizeof host->key, "%d", 0x4855 + getpid());
    host->shm = shmget(0x4855 + getpid(), 4096, IPC_CREAT | 0666);
    assert_true(host->shm >= 0);
}

static void end_host(struct host *host) {
    assert_int_equal(shmctl(host->shm, IPC_RMID, NULL), 0);
    close(host->tcp);
    close(host->tcp6);
    close(host->abstract);
    close(host->other);
    close(host->own);
}

/* One probe. The script's own end is asked for too: one that broke off has proved nothing. */
static void probe(const struct host *host, const char *name, const char *attempt) {
    char script[1024];
    const char *const command[4] = {"/bin/sh", "-c", script, NULL};
    const char *const environment[] = {"PATH",     "/usr/sbin:/usr/bin",
                                       "TCP",      host->port,
                                       "TCP6",     host->port6,
                                       "ABSTRACT", host->name,
                                       "SECRET",   host->secret,
                                       "OTHER",    host->socket,
                                       "HOSTPID",  host->pid,
                                       "SHM",      host->key,
                                       NULL};
    int reader = -1;
    struct hal_container_order order = container_shell(command);
    snprintf(script, sizeof script, "( %s ) 2>&1; echo; echo THE-END", attempt);
    order.environment = environment;
    order.socket = host->lease;
    container_begin(0, order, &reader);
    (void)container_finish(0, reader);
    if (strstr(container_output, "ESCAPED") != NULL ||
        strstr(container_output, "THE-END") == NULL) {
        print_message("%s: %s\n", name, container_output);
    }
    assert_null(strstr(container_output, "ESCAPED"));
    assert_non_null(strstr(container_output, "THE-END"));
}

/* ---- one test a probe ---- */

enum { PROBES_MAX = 100, PROBES_LEAST = 40, LINE_BYTES = 1024 };

static struct {
    char line[LINE_BYTES]; /* the name */
    const char *attempt;   /* behind it */
} probes[PROBES_MAX];

static size_t read_probes(void) {
    size_t count = 0;
    FILE *file = fopen("tests/hal/escape_probes.txt", "r");
    while (file != NULL && count < PROBES_MAX && fgets(probes[count].line, LINE_BYTES, file)) {
        char *attempt = strstr(probes[count].line, ": ");
        if (probes[count].line[0] == '#' || attempt == NULL) {
            continue;
        }
        *attempt = '\0';
        attempt[strcspn(attempt + 2, "\n") + 2] = '\0';
        probes[count++].attempt = attempt + 2;
    }
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

static void cannot(void **state) {
    struct host host;
    size_t at = *(const size_t *)*state;
    make_host(&host);
    assert_int_equal(setenv("HOSTSECRET", "1", 1), 0);
    probe(&host, probes[at].line, probes[at].attempt);
    end_host(&host);
}

static void there_are_enough_probes(void **unused) {
    (void)unused;
    size_t count = read_probes();
    assert_true(count >= PROBES_LEAST && count < PROBES_MAX);
}

/* The probes' tools are there, and what they look for is there outside. */
static void the_probes_could_succeed(void **unused) {
    (void)unused;
    container_assert_end(
        container_run(
            "perl -MSocket -MIO::Socket::INET -e 'print 1' && command -v mount umount unshare "
            "nsenter mknod chrt nice date ls cat grep head tail touch setsid"),
        CONTAINER_EXITED, 0);
    struct host host;
    make_host(&host);
    char script[400];
    snprintf(script, sizeof script, "test -r %s && test -S %s && test -d /proc/%s", host.secret,
             host.socket, host.pid);
    assert_int_equal(system(script), 0);
    end_host(&host);
}

int hal_escape_tests(void) {
    static size_t numbers[PROBES_MAX];
    struct CMUnitTest tests[PROBES_MAX + 2] = {
        cmocka_unit_test(there_are_enough_probes),
        cmocka_unit_test_setup_teardown(the_probes_could_succeed, container_rig_open,
                                        container_rig_close),
    };
    size_t count = read_probes();
    for (size_t i = 0; i < count; i++) {
        numbers[i] = i;
        tests[i + 2] = (struct CMUnitTest){.name = probes[i].line,
                                           .test_func = cannot,
                                           .setup_func = container_rig_open,
                                           .teardown_func = container_rig_close,
                                           .initial_state = &numbers[i]};
    }
    return _cmocka_run_group_tests("hal/escape.cannot", tests, count + 2, NULL, NULL);
}
