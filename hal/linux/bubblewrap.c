#include "hal/linux/bubblewrap.h"

#include "hal/linux/bubblewrap_command.h"
#include "hal/linux/container_port.h"
#include "hal/linux/system_call_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NAME_BYTES = 64,
    CHILD_STACK_BYTES = 32 * 1024,
    PINNED_BYTES = 64 * 1024, /* locked in memory, or in message queues */
    PAUSE_MS = 10,
    TRIES = 500, /* of PAUSE_MS: what opening and closing wait for at most */
};

/* ---- slots ---- */

static struct bubblewrap *wrap_of(struct hal_container *container) {
    return (struct bubblewrap *)(void *)container;
}

static void close_fd(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

static void lock_path(const struct bubblewrap *wrap, uint32_t slot,
                      char path[BUBBLEWRAP_PATH_BYTES]) {
    (void)snprintf(path, BUBBLEWRAP_PATH_BYTES, "%s/slot-%u.lock", wrap->config.state_dir, slot);
}

/* Whether the first process of a container of that slot still lives. When in doubt, it does. */
static bool is_locked(const struct bubblewrap *wrap, uint32_t slot) {
    char path[BUBBLEWRAP_PATH_BYTES];
    lock_path(wrap, slot, path);
    int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool is_held = fd < 0 || fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
    close_fd(&fd);
    return is_held;
}

uint32_t bubblewrap_survivors(const struct bubblewrap *wrap) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < wrap->container.slot_count; i++) {
        count += wrap->slots[i].process == 0 && is_locked(wrap, i);
    }
    return count;
}

int bubblewrap_handle(const struct bubblewrap *wrap, uint32_t slot) {
    return wrap->slots[slot].handle;
}

/* ---- cgroups ---- */

static bool write_text(int folder, const char *name, const char *text) {
    int fd = openat(folder, name, O_WRONLY | O_CLOEXEC);
    size_t size = strlen(text);
    bool is_written = fd >= 0 && write(fd, text, size) == (ssize_t)size;
    close_fd(&fd);
    return is_written;
}

static bool write_number(int folder, const char *name, uint64_t number) {
    char text[NAME_BYTES];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return number == 0 ? write_text(folder, name, "max") : write_text(folder, name, text);
}

/* The slot's cgroup, with its limits; -1: there is none. */
static int open_cgroup(const struct bubblewrap *wrap, uint32_t slot,
                       const struct hal_container_limits *limits) {
    if (wrap->cgroup_reason[0] != '\0') {
        return -1;
    }
    char path[BUBBLEWRAP_PATH_BYTES + NAME_BYTES];
    (void)snprintf(path, sizeof path, "%s/slot-%u", wrap->config.cgroup_dir, slot);
    (void)mkdir(path, 0755); /* it may be there */
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0 && !(write_number(folder, "memory.max", limits->memory_bytes) &&
                         write_number(folder, "pids.max", limits->processes))) {
        close_fd(&folder);
    }
    return folder;
}

static void find_cgroups(struct bubblewrap *wrap) {
    const char *path = wrap->config.cgroup_dir;
    const char *why = "";
    int folder = path == NULL ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (path == NULL) {
        why = "no cgroup folder is configured";
    } else if (folder < 0) {
        why = strerror(errno);
    } else if (!write_text(folder, "cgroup.subtree_control", "+memory +pids")) {
        why = "memory and pids are not delegated there";
    }
    close_fd(&folder);
    (void)snprintf(wrap->cgroup_reason, sizeof wrap->cgroup_reason, "%s", why);
}

/* ---- the child ---- */

struct child {
    const struct bubblewrap *wrap;
    const struct hal_container_limits *limits;
    union {
        /* cppcheck-suppress unusedStructMember */
        const char *const *given;
        char *const *wanted; /* as execve's type has it; it changes nothing */
    } arguments;
    const int *fds;
    pid_t parent;
    int output;
    int errors;
    int cgroup; /* folder; -1: none */
    uid_t user; /* 0: stays who it is */
};

static bool set_limit(int resource, uint64_t value) {
    struct rlimit limit = {value, value};
    return value == 0 || setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

static bool set_limits(const struct hal_container_limits *limits) {
    const struct rlimit no_core = {0, 0};
    return setrlimit(RLIMIT_CORE, &no_core) == 0 && set_limit(RLIMIT_DATA, limits->memory_bytes) &&
           set_limit(RLIMIT_FSIZE, limits->file_bytes) &&
           set_limit(RLIMIT_NPROC, limits->processes) &&
           set_limit(RLIMIT_NOFILE, limits->open_files) &&
           set_limit(RLIMIT_CPU, limits->cpu_seconds) && set_limit(RLIMIT_MEMLOCK, PINNED_BYTES) &&
           set_limit(RLIMIT_MSGQUEUE, PINNED_BYTES);
}

static bool become(uid_t user) {
    return user == 0 || (setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
                         setresuid(user, user, user) == 0);
}

/* Only our own descriptors go on: everything else of hubd is closed by exec. */
static bool arrange_descriptors(const struct child *child) {
    bool is_done = dup2(child->wrap->null_fd, 0) == 0 && dup2(child->output, 1) == 1 &&
                   dup2(child->errors, 2) == 2 &&
                   syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) == 0;
    for (size_t i = 0; i < BUBBLEWRAP_GATE; i++) {
        is_done = is_done && (child->fds[i] < 0 || fcntl(child->fds[i], F_SETFD, 0) == 0);
    }
    int gate = child->fds[BUBBLEWRAP_GATE];
    return is_done && (gate < 0 || dup2(gate, BUBBLEWRAP_GATE_FD) == BUBBLEWRAP_GATE_FD);
}

/* In the parent's memory, on a stack of its own, until exec: system calls only, nothing is changed
 * there. Dies with hubd from here on; bwrap sees to it for what it starts. */
static int run_child(void *argument) {
    const struct child *child = argument;
    sigset_t none;
    bool is_ready = child->cgroup < 0 || write_text(child->cgroup, "cgroup.procs", "0");
    is_ready = is_ready && arrange_descriptors(child) && become(child->user) &&
               set_limits(child->limits) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
               getppid() == child->parent;
    (void)sigemptyset(&none);
    if (is_ready && sigprocmask(SIG_SETMASK, &none, NULL) == 0) {
        static char *const no_environment[] = {NULL};
        (void)execve(child->wrap->config.program, child->arguments.wanted, no_environment);
    }
    static const char text[] = "container: could not be prepared\n";
    (void)!write(child->output, text, sizeof text - 1);
    _exit(127);
}

/* As vfork: hubd's tables are not copied, and it waits until the child has called exec. */
static pid_t make_child(struct child *child) {
    static _Alignas(64) uint8_t stack[CHILD_STACK_BYTES]; /* one at a time */
    return clone(run_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, child);
}

/* ---- start, poll, kill ---- */

static int open_again(int fd) {
    char path[NAME_BYTES];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Above the numbers that the child gives to others. */
static void move_up(int *fd) {
    int moved = *fd < 0 ? -1 : fcntl(*fd, F_DUPFD_CLOEXEC, BUBBLEWRAP_GATE_FD + 1);
    close_fd(fd);
    *fd = moved;
}

/* The gate's other end stays ours; -1 when the program need not wait. */
static bool open_gate(bool is_held, int fds[BUBBLEWRAP_DESCRIPTORS], int *gate) {
    int ends[2] = {-1, -1};
    bool is_open = !is_held || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
    *gate = ends[0];
    fds[BUBBLEWRAP_GATE] = ends[1];
    for (size_t i = 0; i < BUBBLEWRAP_DESCRIPTORS; i++) {
        move_up(&fds[i]);
    }
    return is_open;
}

/* Descriptors of one start; *status_end is ours. */
static bool open_fds(const struct bubblewrap *wrap, int fds[BUBBLEWRAP_DESCRIPTORS],
                     int *status_end) {
    int ends[2] = {-1, -1};
    fds[BUBBLEWRAP_FILTER] = open_again(wrap->filter_fd);
    bool is_open = fds[BUBBLEWRAP_FILTER] >= 0 && pipe2(ends, O_CLOEXEC) == 0 &&
                   fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
    *status_end = ends[0];
    fds[BUBBLEWRAP_STATUS] = ends[1];
    return is_open;
}

/* 0: hubd's own. */
static uid_t user_of(const struct bubblewrap *wrap, uint32_t slot) {
    return geteuid() == 0 ? wrap->config.user_base + slot : 0;
}

static pid_t make_process(const struct bubblewrap *wrap, uint32_t slot,
                          const struct hal_container_order *order,
                          const struct bubblewrap_command *command,
                          const int fds[BUBBLEWRAP_DESCRIPTORS]) {
    struct child child = {
        .wrap = wrap,
        .limits = &order->limits,
        .arguments.given = command->list,
        .fds = fds,
        .parent = getpid(),
        .output = order->output,
        .errors = order->errors > 0 ? order->errors : order->output,
        .cgroup = open_cgroup(wrap, slot, &order->limits),
        .user = user_of(wrap, slot),
    };
    bool is_ready = child.user == 0 || order->socket == NULL ||
                    lchown(order->socket, child.user, (gid_t)-1) == 0;
    pid_t process = is_ready ? make_child(&child) : -1;
    close_fd(&child.cgroup);
    return process;
}

static enum status start(struct hal_container *container, uint32_t slot,
                         const struct hal_container_order *order) {
    struct bubblewrap *wrap = wrap_of(container);
    struct bubblewrap_slot *entry = &wrap->slots[slot];
    if (entry->process != 0 || is_locked(wrap, slot)) {
        return STATUS_BUSY;
    }
    char lock[BUBBLEWRAP_PATH_BYTES];
    int fds[BUBBLEWRAP_DESCRIPTORS] = {-1, -1, -1};
    int status_end = -1;
    int gate = -1;
    struct bubblewrap_command command;
    pid_t process = -1;
    bool is_open = open_fds(wrap, fds, &status_end) && open_gate(order->is_held, fds, &gate);
    lock_path(wrap, slot, lock);
    bubblewrap_command_make(&command, &wrap->config, order, lock, fds);
    if (is_open && !command.is_full) {
        process = make_process(wrap, slot, order, &command, fds);
    }
    close_fd(&fds[BUBBLEWRAP_FILTER]);
    close_fd(&fds[BUBBLEWRAP_STATUS]);
    close_fd(&fds[BUBBLEWRAP_GATE]);
    if (process < 0) {
        close_fd(&status_end);
        close_fd(&gate);
        return command.is_full ? STATUS_TOO_LARGE : STATUS_IO;
    }
    *entry = (struct bubblewrap_slot){
        .process = process,
        .handle = (int)syscall(SYS_pidfd_open, process, 0),
        .status_pipe = status_end,
        .gate = gate,
    };
    return STATUS_OK;
}

/* The number that bwrap tells behind a key; false: it has not. */
static bool told_number(const struct bubblewrap_slot *entry, const char *key, int *number) {
    const char *found = strstr(entry->told, key);
    if (found != NULL) {
        *number = (int)strtol(found + strlen(key), NULL, 10);
    }
    return found != NULL;
}

static void read_status(struct bubblewrap_slot *entry) {
    size_t room = sizeof entry->told - 1 - entry->told_bytes;
    ssize_t count = room == 0 ? 0 : read(entry->status_pipe, entry->told + entry->told_bytes, room);
    entry->told_bytes += count > 0 ? (uint32_t)count : 0;
    entry->told[entry->told_bytes] = '\0';
    int first = 0;
    if (told_number(entry, "\"child-pid\":", &first)) {
        entry->first = first;
    }
}

/* bwrap tells {"exit-code": N} when the program has ended by itself. */
static struct hal_container_end end_of(const struct bubblewrap_slot *entry) {
    int code = 0;
    if (told_number(entry, "\"exit-code\":", &code)) {
        bool is_signal = code > 128 && code <= 128 + SIGRTMAX;
        return (struct hal_container_end){is_signal ? CONTAINER_SIGNALED : CONTAINER_EXITED,
                                          is_signal ? code - 128 : code};
    }
    if (entry->is_killed) {
        return (struct hal_container_end){CONTAINER_SIGNALED, SIGKILL};
    }
    return (struct hal_container_end){CONTAINER_REFUSED, entry->exit_code};
}

/* Not before bwrap has told whom it has begun: or an orphan could be left that nobody knows. */
static void kill_if_told(struct bubblewrap_slot *entry) {
    if (entry->is_killed && entry->first != 0 && !entry->is_reaped) {
        (void)kill(entry->process, SIGKILL); /* ours and not reaped: the number is still its own */
    }
}

/* Whether bwrap and all that it has begun are dead: the first process is so only after all others.
 */
static bool is_over(struct bubblewrap_slot *entry) {
    int state = 0;
    if (!entry->is_reaped) {
        read_status(entry);
        kill_if_told(entry);
        if (waitpid(entry->process, &state, WNOHANG) != entry->process) {
            return false;
        }
        read_status(entry);
        close_fd(&entry->handle);
        close_fd(&entry->status_pipe);
        close_fd(&entry->gate);
        entry->is_reaped = true;
        entry->exit_code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    }
    if (entry->first == 0 || waitpid(entry->first, NULL, WNOHANG) != 0) {
        return true;
    }
    (void)kill(entry->first, SIGKILL); /* ours now; bwrap may have died before it was bound to it */
    return false;
}

static enum status poll_slot(struct hal_container *container, uint32_t slot,
                             struct hal_container_end *end) {
    struct bubblewrap *wrap = wrap_of(container);
    struct bubblewrap_slot *entry = &wrap->slots[slot];
    if (entry->process == 0) {
        return STATUS_NOT_FOUND;
    }
    if (!is_over(entry) || is_locked(wrap, slot)) {
        return STATUS_AGAIN;
    }
    *end = end_of(entry);
    *entry = (struct bubblewrap_slot){.handle = -1, .status_pipe = -1, .gate = -1};
    return STATUS_OK;
}

static void kill_slot(struct hal_container *container, uint32_t slot) {
    struct bubblewrap_slot *entry = &wrap_of(container)->slots[slot];
    entry->is_killed = entry->process != 0;
    kill_if_told(entry);
}

static void go(struct hal_container *container, uint32_t slot) {
    struct bubblewrap_slot *entry = &wrap_of(container)->slots[slot];
    if (entry->gate >= 0) {
        (void)!write(entry->gate, "\n", 1);
        close_fd(&entry->gate);
    }
}

static enum status open_port(struct hal_container *container, uint32_t slot, uint16_t port,
                             bool is_listener, int *handle) {
    struct bubblewrap *wrap = wrap_of(container);
    if (wrap->slots[slot].process == 0 || wrap->slots[slot].is_reaped) {
        return STATUS_NOT_FOUND;
    }
    return bubblewrap_is_made(wrap, slot)
               ? container_port_open(wrap->slots[slot].first, port, is_listener, handle)
               : STATUS_AGAIN;
}

static const struct hal_container_ops ops = {start, poll_slot, kill_slot, go, open_port};

int bubblewrap_made_handle(const struct bubblewrap *wrap, uint32_t slot) {
    return wrap->slots[slot].gate;
}

bool bubblewrap_is_made(struct bubblewrap *wrap, uint32_t slot) {
    struct bubblewrap_slot *entry = &wrap->slots[slot];
    char byte = 0;
    if (entry->gate >= 0 && !entry->is_made) {
        entry->is_made = recv(entry->gate, &byte, 1, MSG_DONTWAIT) == 1;
    }
    if (entry->process != 0 && !entry->is_reaped) {
        read_status(entry);
    }
    return entry->is_made && entry->first != 0;
}

/* ---- opening and closing ---- */

static void pause_for(int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    (void)poll(&wait, 1, PAUSE_MS);
}

/* Waits, at most some seconds, for the slot's end. */
static enum status await(struct bubblewrap *wrap, uint32_t slot, struct hal_container_end *end) {
    enum status status = STATUS_AGAIN;
    for (int i = 0; i < TRIES && status == STATUS_AGAIN; i++) {
        status = hal_container_poll(&wrap->container, slot, end);
        if (status == STATUS_AGAIN) {
            pause_for(wrap->slots[slot].handle);
        }
    }
    return status;
}

/* Runs /bin/true, and keeps what is printed. */
static bool try_one(struct bubblewrap *wrap, char reason[BUBBLEWRAP_REASON_BYTES]) {
    static const char *const command[] = {"/bin/true", NULL};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    struct hal_container_end end = {.outcome = CONTAINER_REFUSED};
    struct hal_container_order order = {.command = command, .output = ends[1]};
    bool works = hal_container_start(&wrap->container, 0, &order) == STATUS_OK;
    close_fd(&ends[1]);
    works = works && await(wrap, 0, &end) == STATUS_OK && end.outcome == CONTAINER_EXITED &&
            end.code == 0;
    ssize_t count = works ? 0 : read(ends[0], reason, BUBBLEWRAP_REASON_BYTES - 1);
    close_fd(&ends[0]);
    if (count > 0) {
        reason[count] = '\0';
        reason[strcspn(reason, "\n")] = '\0';
    } else if (!works) {
        (void)snprintf(reason, BUBBLEWRAP_REASON_BYTES, "%s did not run", wrap->config.program);
    }
    return works;
}

static bool open_files(struct bubblewrap *wrap, char reason[BUBBLEWRAP_REASON_BYTES]) {
    const char *folder = wrap->config.state_dir;
    bool is_made = (mkdir(folder, 0711) == 0 || errno == EEXIST) && chmod(folder, 0711) == 0;
    if (!is_made) {
        (void)snprintf(reason, BUBBLEWRAP_REASON_BYTES, "%s: %s", folder, strerror(errno));
        return false;
    }
    wrap->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    wrap->filter_fd = system_call_filter_open();
    if (access(wrap->config.program, X_OK) != 0) {
        (void)snprintf(reason, BUBBLEWRAP_REASON_BYTES, "%s: %s (package bubblewrap)",
                       wrap->config.program, strerror(errno));
        return false;
    }
    return wrap->null_fd >= 0 && wrap->filter_fd >= 0;
}

enum status bubblewrap_open(struct bubblewrap *wrap, const struct bubblewrap_config *config,
                            struct bubblewrap_slot *slots, uint32_t slot_count,
                            char reason[BUBBLEWRAP_REASON_BYTES]) {
    check(slot_count > 0 && config->user_base > 0);
    *wrap = (struct bubblewrap){
        .container = {.ops = &ops, .slot_count = slot_count},
        .config = *config,
        .slots = slots,
        .null_fd = -1,
        .filter_fd = -1,
    };
    for (uint32_t i = 0; i < slot_count; i++) {
        slots[i] = (struct bubblewrap_slot){.handle = -1, .status_pipe = -1, .gate = -1};
    }
    reason[0] = '\0';
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    find_cgroups(wrap);
    bool is_open = open_files(wrap, reason);
    for (int i = 0; is_open && i < TRIES && bubblewrap_survivors(wrap) > 0; i++) {
        pause_for(-1);
    }
    if (!is_open || !try_one(wrap, reason)) {
        bubblewrap_close(wrap);
        return STATUS_DENIED;
    }
    return STATUS_OK;
}

void bubblewrap_close(struct bubblewrap *wrap) {
    struct hal_container_end end;
    for (uint32_t i = 0; i < wrap->container.slot_count; i++) {
        kill_slot(&wrap->container, i);
    }
    for (uint32_t i = 0; i < wrap->container.slot_count; i++) {
        (void)!await(wrap, i, &end);
    }
    close_fd(&wrap->null_fd);
    close_fd(&wrap->filter_fd);
}
