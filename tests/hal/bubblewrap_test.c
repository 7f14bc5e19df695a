/* Run containers: what a program gets, what limits it and what ends it. */
#include "tests/hal/container_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what a program gets ---- */

static void a_program_runs_and_its_end_is_told(void **unused) {
    (void)unused;
    container_assert_end(container_run("echo out; echo err >&2; exit 0"), CONTAINER_EXITED, 0);
    assert_string_equal(container_output, "out\nerr\n");
    container_assert_end(container_run("exit 7"), CONTAINER_EXITED, 7);
    container_assert_end(container_run("kill -9 $$"), CONTAINER_SIGNALED, SIGKILL);
    container_assert_end(container_run("kill -TERM $$"), CONTAINER_SIGNALED, SIGTERM);
    container_assert_end(container_run("read x; echo \"[$x]\""), CONTAINER_EXITED, 0);
    assert_string_equal(container_output, "[]\n"); /* stdin is empty */
}

static void a_program_that_is_not_there_is_named(void **unused) {
    (void)unused;
    const char *const command[4] = {"/no/such/program", NULL};
    int reader = -1;
    container_begin(0, container_shell(command), &reader);
    assert_int_equal(container_finish(0, reader).outcome, CONTAINER_REFUSED);
    assert_non_null(strstr(container_output, "/no/such/program"));
}

static void the_environment_is_what_was_ordered(void **unused) {
    (void)unused;
    static const char *const environment[] = {"PATH", "/usr/bin", "A", "b c", NULL};
    const char *const command[4] = {"/usr/bin/env", NULL};
    struct hal_container_order order = container_shell(command);
    int reader = -1;
    assert_int_equal(setenv("HOSTSECRET", "1", 1), 0);
    order.environment = environment;
    container_begin(0, order, &reader);
    container_assert_end(container_finish(0, reader), CONTAINER_EXITED, 0);
    assert_null(strstr(container_output, "HOSTSECRET"));
    assert_non_null(strstr(container_output, "A=b c\n"));
    assert_non_null(strstr(container_output, "PATH=/usr/bin\n"));
}

/* Nobody else may connect to it: it becomes the slot's user's. */
static void the_socket_of_the_lease_is_the_way_out(void **unused) {
    (void)unused;
    char path[96];
    snprintf(path, sizeof path, "%s/private", container_folder);
    assert_int_equal(mkdir(path, 0711), 0);
    snprintf(path, sizeof path, "%s/private/adb", container_folder);
    int listener = container_listen(path, strlen(path) + 1);
    assert_int_equal(chmod(path, 0600), 0);
    const char *const command[4] = {
        "/usr/bin/perl", "-MSocket",
        "-e socket(S,AF_UNIX,SOCK_STREAM,0);connect(S,pack_sockaddr_un('" CONTAINER_SOCKET
        "'))or die $!;syswrite(S,'hello')",
        NULL};
    struct hal_container_order order = container_shell(command);
    int reader = -1;
    order.socket = path;
    container_begin(0, order, &reader);
    container_assert_end(container_finish(0, reader), CONTAINER_EXITED, 0);
    char said[8] = "";
    int peer = accept(listener, NULL, NULL);
    assert_int_equal(read(peer, said, sizeof said - 1), 5);
    assert_string_equal(said, "hello");
    close(peer);
    close(listener);
}

static void too_many_arguments_are_refused(void **unused) {
    (void)unused;
    const char *command[BUBBLEWRAP_ARGUMENTS_MAX + 2];
    for (size_t i = 0; i <= BUBBLEWRAP_ARGUMENTS_MAX; i++) {
        command[i] = "/bin/true";
    }
    command[BUBBLEWRAP_ARGUMENTS_MAX + 1] = NULL;
    struct hal_container_order order = {.command = command, .output = 1};
    assert_int_equal(hal_container_start(&container_wrap.container, 0, &order), STATUS_TOO_LARGE);
    container_assert_end(container_run("exit 0"), CONTAINER_EXITED, 0);
}

/* ---- limits ---- */

static void a_fork_bomb_ends_at_the_limit(void **unused) {
    (void)unused;
    container_assert_end(
        container_run(
            "perl -e 'my $n=0; while(1){my $p=fork; last if !defined $p; if(!$p){sleep 30;"
            "exit} $n++; exit 9 if $n>200} print $n'"),
        CONTAINER_EXITED, 0);
    assert_true(atoi(container_output) > 0 && atoi(container_output) < 32);
}

static void memory_ends_at_the_limit(void **unused) {
    (void)unused;
    struct hal_container_end end =
        container_run("perl -e 'my $x=\"x\" x (600*1024*1024); print \"ALL\"'");
    assert_true(end.outcome != CONTAINER_EXITED || end.code != 0);
    assert_null(strstr(container_output, "ALL"));
}

static void files_end_at_the_limits(void **unused) {
    (void)unused;
    /* One file: 4 MiB. All of /tmp: 8 MiB. /dev/shm: 16 MiB. Descriptors: 64. */
    (void)container_run("head -c 6000000 /dev/zero >/tmp/one; stat -c %s /tmp/one");
    assert_true(atoi(container_output) <= 4 * MEBIBYTE);
    (void)container_run("for i in 1 2 3 4; do head -c 3000000 /dev/zero >/tmp/$i; done 2>/dev/null;"
                        "cat /tmp/* | wc -c");
    assert_true(atoi(container_output) <= 8 * MEBIBYTE);
    (void)container_run(
        "for i in 1 2 3 4 5 6 7; do head -c 3000000 /dev/zero >/dev/shm/$i; done 2>/dev/null;"
        "cat /dev/shm/* | wc -c");
    assert_true(atoi(container_output) <= 16 * MEBIBYTE);
    (void)container_run(
        "perl -e 'my @f; while(open(my $f,\"<\",\"/dev/null\")){push @f,$f} print scalar @f'");
    assert_true(atoi(container_output) > 0 && atoi(container_output) < 64);
}

static void a_busy_program_is_ended(void **unused) {
    (void)unused;
    const char *const command[4] = {"/bin/sh", "-c", "while :; do :; done", NULL};
    struct hal_container_order order = container_shell(command);
    int reader = -1;
    order.limits.cpu_seconds = 1;
    container_begin(0, order, &reader);
    struct hal_container_end end = container_finish(0, reader);
    assert_int_equal(end.outcome, CONTAINER_SIGNALED);
}

/* ---- ends ---- */

/* Processes of the host whose command line has the text. */
static unsigned count_processes(const char *text) {
    unsigned count = 0;
    DIR *proc = opendir("/proc");
    assert_non_null(proc);
    for (struct dirent *entry = readdir(proc); entry != NULL; entry = readdir(proc)) {
        char path[300], line[512];
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        FILE *file = entry->d_name[0] >= '0' && entry->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        size_t size = file == NULL ? 0 : fread(line, 1, sizeof line - 1, file);
        for (size_t i = 0; i < size; i++) {
            line[i] = line[i] == '\0' ? ' ' : line[i];
        }
        line[size] = '\0';
        count += size > 0 && strncmp(line, text, strlen(text)) == 0;
        if (file != NULL) {
            fclose(file);
        }
    }
    closedir(proc);
    return count;
}

static void wait_for_processes(const char *text, unsigned wanted) {
    for (uint64_t limit = container_now_ms() + 10000; container_now_ms() < limit;
         container_pause_ms(5)) {
        if (count_processes(text) == wanted) {
            return;
        }
    }
    assert_int_equal(count_processes(text), wanted);
}

static void nothing_outlives_the_program(void **unused) {
    (void)unused;
    char script[200], marker[40];
    snprintf(marker, sizeof marker, "sleep 86%d", getpid());
    snprintf(script, sizeof script,
             "setsid %s & (trap '' HUP TERM; exec %s) & nohup %s >/dev/null & echo begun", marker,
             marker, marker);
    container_assert_end(container_run(script), CONTAINER_EXITED, 0);
    assert_int_equal(count_processes(marker), 0); /* at once: poll has waited for it */
}

static void a_killed_container_leaves_nothing(void **unused) {
    (void)unused;
    char script[200], marker[40];
    int reader = -1;
    snprintf(marker, sizeof marker, "sleep 87%d", getpid());
    snprintf(script, sizeof script, "setsid %s & trap '' TERM; %s", marker, marker);
    const char *const command[4] = {"/bin/sh", "-c", script, NULL};
    container_begin(1, container_shell(command), &reader);
    wait_for_processes(marker, 2);
    struct hal_container_order second = container_shell(command);
    second.output = 1;
    assert_int_equal(hal_container_start(&container_wrap.container, 1, &second), STATUS_BUSY);
    hal_container_kill(&container_wrap.container, 1);
    container_assert_end(container_finish(1, reader), CONTAINER_SIGNALED, SIGKILL);
    assert_int_equal(count_processes(marker), 0);
}

/* A second hubd, which is killed in the middle of a container. */
static void nothing_outlives_hubd(void **unused) {
    (void)unused;
    char script[200], marker[40];
    snprintf(marker, sizeof marker, "sleep 88%d", getpid());
    snprintf(script, sizeof script, "setsid %s & trap '' TERM; %s", marker, marker);
    const char *const command[4] = {"/bin/sh", "-c", script, NULL};
    pid_t other = fork();
    assert_true(other >= 0);
    if (other == 0) {
        struct hal_container_order order = container_shell(command);
        order.output = 2;
        if (hal_container_start(&container_wrap.container, 2, &order) == STATUS_OK) {
            (void)pause();
        }
        _exit(1);
    }
    wait_for_processes(marker, 2);
    assert_int_equal(bubblewrap_survivors(&container_wrap), 1);
    struct hal_container_order order = container_shell(command);
    order.output = 1;
    assert_int_equal(hal_container_start(&container_wrap.container, 2, &order), STATUS_BUSY);
    assert_int_equal(kill(other, SIGKILL), 0);
    assert_int_equal(waitpid(other, NULL, 0), other);
    struct bubblewrap restarted; /* opening waits until nothing is left */
    struct bubblewrap_slot restarted_slots[CONTAINER_SLOTS];
    struct bubblewrap_config made = container_config();
    char reason[BUBBLEWRAP_REASON_BYTES];
    assert_int_equal(bubblewrap_open(&restarted, &made, restarted_slots, CONTAINER_SLOTS, reason),
                     STATUS_OK);
    assert_int_equal(count_processes(marker), 0);
    assert_int_equal(bubblewrap_survivors(&restarted), 0);
    bubblewrap_close(&restarted);
}

static void containers_run_side_by_side(void **unused) {
    (void)unused;
    const char *const command[4] = {"/bin/sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'", NULL};
    int readers[CONTAINER_SLOTS];
    for (uint32_t i = 0; i < CONTAINER_SLOTS; i++) {
        container_begin(i, container_shell(command), &readers[i]);
    }
    for (uint32_t i = 0; i < CONTAINER_SLOTS; i++) {
        container_assert_end(container_finish(i, readers[i]), CONTAINER_EXITED, 0);
        assert_true(container_output[0] >= '1' && container_output[0] <= '9');
    }
}

/* ---- where containers cannot run ---- */

static void a_host_without_bubblewrap_is_told_the_reason(void **unused) {
    (void)unused;
    struct bubblewrap none;
    struct bubblewrap_slot none_slots[1];
    struct bubblewrap_config made = container_config();
    char reason[BUBBLEWRAP_REASON_BYTES];
    made.program = "/no/bwrap";
    assert_int_equal(bubblewrap_open(&none, &made, none_slots, 1, reason), STATUS_DENIED);
    assert_non_null(strstr(reason, "/no/bwrap: No such file or directory"));
    made.program = "/bin/false";
    assert_int_equal(bubblewrap_open(&none, &made, none_slots, 1, reason), STATUS_DENIED);
    assert_string_equal(reason, "/bin/false did not run");
    made.program = "/usr/bin/bwrap";
    made.state_dir = "/no/such/folder";
    assert_int_equal(bubblewrap_open(&none, &made, none_slots, 1, reason), STATUS_DENIED);
    assert_non_null(strstr(reason, "/no/such/folder"));
}

static void put_file(const char *name, const char *text) {
    char path[160];
    snprintf(path, sizeof path, "%s/cgroup/%s", container_folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_file(const char *name, const char *expected) {
    char path[160], text[64] = "";
    snprintf(path, sizeof path, "%s/cgroup/%s", container_folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, expected);
}

/* Plain files stand for a delegated cgroup: what is written to them is what the kernel would get.
 */
static void a_delegated_cgroup_gets_the_limits(void **unused) {
    (void)unused;
    static const char *const command[4] = {"/bin/true", NULL};
    char path[96];
    snprintf(path, sizeof path, "%s/cgroup", container_folder);
    struct bubblewrap limited;
    struct bubblewrap_slot limited_slots[1];
    struct bubblewrap_config made = container_config();
    char reason[BUBBLEWRAP_REASON_BYTES];
    made.cgroup_dir = path;
    assert_int_equal(bubblewrap_open(&limited, &made, limited_slots, 1, reason), STATUS_OK);
    assert_string_equal(limited.cgroup_reason, "No such file or directory");
    bubblewrap_close(&limited);

    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/cgroup/slot-0", container_folder);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/cgroup", container_folder);
    put_file("cgroup.subtree_control", "");
    put_file("slot-0/memory.max", "");
    put_file("slot-0/pids.max", "");
    put_file("slot-0/cgroup.procs", "");
    assert_int_equal(bubblewrap_open(&limited, &made, limited_slots, 1, reason), STATUS_OK);
    assert_string_equal(limited.cgroup_reason, "");
    assert_file("cgroup.subtree_control", "+memory +pids");
    assert_file("slot-0/memory.max", "max"); /* the trial has no limits */
    struct hal_container_order order = container_shell(command);
    order.output = 1;
    put_file("slot-0/memory.max", "");
    put_file("slot-0/pids.max", "");
    put_file("slot-0/cgroup.procs", "");
    assert_int_equal(hal_container_start(&limited.container, 0, &order), STATUS_OK);
    bubblewrap_close(&limited);
    assert_file("slot-0/memory.max", "268435456");
    assert_file("slot-0/pids.max", "32");
    assert_file("slot-0/cgroup.procs", "0"); /* joined by the child, before it is anything else */
}

/* ---- what hubd does before the program begins ---- */

static void wait_until_made(void) {
    while (!bubblewrap_is_made(&container_wrap, 0)) {
        struct pollfd made = {.fd = bubblewrap_made_handle(&container_wrap, 0), .events = POLLIN};
        assert_int_equal(poll(&made, 1, 20000), 1);
    }
}

static void a_held_program_waits_until_it_may_begin(void **unused) {
    (void)unused;
    const char *const command[4] = {"/bin/sh", "-c", "echo begun", NULL};
    struct hal_container_order order = container_shell(command);
    int reader = -1;
    order.is_held = true;
    container_begin(0, order, &reader);
    wait_until_made();
    struct pollfd said = {.fd = reader, .events = POLLIN};
    assert_int_equal(poll(&said, 1, 100), 0);
    hal_container_go(&container_wrap.container, 0);
    container_assert_end(container_finish(0, reader), CONTAINER_EXITED, 0);
    assert_string_equal(container_output, "begun\n");
    hal_container_go(&container_wrap.container, 0); /* harmless */
}

static void a_held_program_never_begins_when_it_is_killed(void **unused) {
    (void)unused;
    const char *const command[4] = {"/bin/sh", "-c", "echo begun", NULL};
    for (int i = 0; i < 8; i++) {
        struct hal_container_order order = container_shell(command);
        int reader = -1;
        order.is_held = true;
        container_begin(0, order, &reader);
        (void)poll(NULL, 0, i * 3); /* wherever bwrap has come by then */
        hal_container_kill(&container_wrap.container, 0);
        container_assert_end(container_finish(0, reader), CONTAINER_SIGNALED, SIGKILL);
        assert_string_equal(container_output, "");
    }
}

static void opens_ports_in_the_containers_own_network(void **unused) {
    (void)unused;
    const char *const command[4] = {"/bin/sh", "-c", "sleep 1000", NULL};
    struct hal_container *container = &container_wrap.container;
    struct hal_container_order order = container_shell(command);
    int reader = -1;
    order.is_held = true;
    int listener = -1;
    int peer = -1;
    int none = -1;
    char byte = 0;
    container_begin(0, order, &reader);
    wait_until_made();
    assert_int_equal(hal_container_open_port(container, 0, 7001, true, &listener), STATUS_OK);
    assert_int_equal(hal_container_open_port(container, 0, 7001, true, &none), STATUS_FULL);
    assert_int_equal(hal_container_open_port(container, 0, 7002, false, &none), STATUS_CLOSED);
    assert_int_equal(hal_container_open_port(container, 0, 7001, false, &peer), STATUS_OK);
    int accepted = accept(listener, NULL, NULL);
    assert_int_equal(write(peer, "x", 1), 1);
    assert_int_equal(read(accepted, &byte, 1), 1);
    close(listener);
    close(peer);
    close(accepted);
    hal_container_kill(container, 0);
    (void)container_finish(0, reader);
    assert_int_equal(hal_container_open_port(container, 0, 7001, true, &none), STATUS_NOT_FOUND);
}

static void errors_may_have_a_pipe_of_their_own(void **unused) {
    (void)unused;
    const char *const command[4] = {"/bin/sh", "-c", "echo out; echo err >&2", NULL};
    struct hal_container_order order = container_shell(command);
    int reader = -1;
    int errors[2];
    char text[16] = "";
    assert_int_equal(pipe(errors), 0);
    order.errors = errors[1];
    container_begin(0, order, &reader);
    container_assert_end(container_finish(0, reader), CONTAINER_EXITED, 0);
    assert_string_equal(container_output, "out\n");
    assert_int_equal(read(errors[0], text, sizeof text - 1), 4);
    assert_string_equal(text, "err\n");
    close(errors[0]);
    close(errors[1]);
}

int hal_bubblewrap_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_program_runs_and_its_end_is_told, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(a_program_that_is_not_there_is_named, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(the_environment_is_what_was_ordered, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(the_socket_of_the_lease_is_the_way_out, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(too_many_arguments_are_refused, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(a_fork_bomb_ends_at_the_limit, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(memory_ends_at_the_limit, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(files_end_at_the_limits, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(a_busy_program_is_ended, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(nothing_outlives_the_program, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(a_killed_container_leaves_nothing, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(nothing_outlives_hubd, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(containers_run_side_by_side, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(a_host_without_bubblewrap_is_told_the_reason,
                                        container_rig_open, container_rig_close),
        cmocka_unit_test_setup_teardown(a_delegated_cgroup_gets_the_limits, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(a_held_program_waits_until_it_may_begin, container_rig_open,
                                        container_rig_close),
        cmocka_unit_test_setup_teardown(a_held_program_never_begins_when_it_is_killed,
                                        container_rig_open, container_rig_close),
        cmocka_unit_test_setup_teardown(opens_ports_in_the_containers_own_network,
                                        container_rig_open, container_rig_close),
        cmocka_unit_test_setup_teardown(errors_may_have_a_pipe_of_their_own, container_rig_open,
                                        container_rig_close),
    };
    return cmocka_run_group_tests_name("hal/bubblewrap", tests, NULL, NULL);
}
