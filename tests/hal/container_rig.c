#include "tests/hal/container_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { USER_BASE = 2113929216 };

static const char *const read_only[] = {"/usr", "/etc/alternatives", "/etc/ld.so.cache", NULL};

char container_folder[64];
struct bubblewrap container_wrap;
static struct bubblewrap_slot slots[CONTAINER_SLOTS];
char container_output[65536];
size_t container_output_bytes;

struct bubblewrap_config container_config(void) {
    static char state[96];
    snprintf(state, sizeof state, "%s/state", container_folder);
    return (struct bubblewrap_config){
        .program = "/usr/bin/bwrap",
        .state_dir = state,
        .read_only = read_only,
        .user_base = USER_BASE,
    };
}

int container_rig_open(void **unused) {
    (void)unused;
    char reason[BUBBLEWRAP_REASON_BYTES];
    snprintf(container_folder, sizeof container_folder, "/tmp/hubd-container-XXXXXX");
    assert_non_null(mkdtemp(container_folder));
    assert_int_equal(chmod(container_folder, 0755), 0);
    struct bubblewrap_config made = container_config();
    if (bubblewrap_open(&container_wrap, &made, slots, CONTAINER_SLOTS, reason) != STATUS_OK) {
        print_message("containers cannot run here: %s\n", reason);
        return -1;
    }
    return 0;
}

int container_rig_close(void **unused) {
    (void)unused;
    char command[96];
    bubblewrap_close(&container_wrap);
    snprintf(command, sizeof command, "rm -rf %s", container_folder);
    return system(command);
}

void container_pause_ms(long ms) {
    const struct timespec wait = {0, ms * 1000000};
    (void)nanosleep(&wait, NULL);
}

uint64_t container_now_ms(void) {
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- running one ---- */

void container_begin(uint32_t slot, struct hal_container_order order, int *reader) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    order.output = ends[1];
    assert_int_equal(hal_container_start(&container_wrap.container, slot, &order), STATUS_OK);
    close(ends[1]);
    *reader = ends[0];
}

static void gather(int reader) {
    ssize_t count = 0;
    while (container_output_bytes < sizeof container_output - 1 &&
           (count = read(reader, container_output + container_output_bytes,
                         sizeof container_output - 1 - container_output_bytes)) > 0) {
        container_output_bytes += (size_t)count;
    }
    container_output[container_output_bytes] = '\0';
}

struct hal_container_end container_finish(uint32_t slot, int reader) {
    struct hal_container_end end;
    enum status status = STATUS_AGAIN;
    container_output_bytes = 0;
    for (uint64_t limit = container_now_ms() + 15000;
         status == STATUS_AGAIN && container_now_ms() < limit;) {
        gather(reader);
        status = hal_container_poll(&container_wrap.container, slot, &end);
        struct pollfd wait = {bubblewrap_handle(&container_wrap, slot), POLLIN, 0};
        (void)poll(&wait, 1, status == STATUS_AGAIN ? 5 : 0);
    }
    gather(reader);
    close(reader);
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(hal_container_poll(&container_wrap.container, slot, &end), STATUS_NOT_FOUND);
    return end;
}

struct hal_container_order container_shell(const char *const command[4]) {
    static const char *const environment[] = {"PATH", "/usr/bin:/bin", NULL};
    return (struct hal_container_order){
        .command = command,
        .environment = environment,
        .limits = {.memory_bytes = 256u * MEBIBYTE,
                   .tmp_bytes = 8u * MEBIBYTE,
                   .file_bytes = 4u * MEBIBYTE,
                   .processes = 32,
                   .open_files = 64,
                   .cpu_seconds = 10},
    };
}

struct hal_container_end container_run(const char *script) {
    const char *const command[4] = {"/bin/sh", "-c", script, NULL};
    int reader = -1;
    container_begin(0, container_shell(command), &reader);
    return container_finish(0, reader);
}

void container_assert_end(struct hal_container_end end, enum hal_container_outcome outcome,
                          int code) {
    if (end.outcome != outcome || end.code != code) {
        print_message("it said: %s\n", container_output);
    }
    assert_int_equal(end.outcome, outcome);
    assert_int_equal(end.code, code);
}

int container_listen(const char *path, size_t size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(size <= sizeof address.sun_path);
    memcpy(address.sun_path, path, size);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}
