#include "hal/linux/bubblewrap_command.h"

#include <stdio.h>

enum { SHM_BYTES = 16 * 1024 * 1024 }; /* /dev/shm */

static void add(struct bubblewrap_command *command, const char *argument) {
    if (command->count == BUBBLEWRAP_ARGUMENTS_MAX) {
        command->is_full = true;
        return;
    }
    command->list[command->count++] = argument;
    command->list[command->count] = NULL;
}

static void add_number(struct bubblewrap_command *command, uint64_t number) {
    char *text = command->text + command->used;
    size_t room = sizeof command->text - command->used;
    int size = snprintf(text, room, "%llu", (unsigned long long)number);
    check(size > 0 && (size_t)size < room);
    command->used += (size_t)size + 1;
    add(command, text);
}

static void add_list(struct bubblewrap_command *command, const char *const *list) {
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        add(command, list[i]);
    }
}

/* What is the same for every container. */
static const char *const confinement[] = {"--unshare-user",
                                          "--unshare-ipc",
                                          "--unshare-pid",
                                          "--unshare-net",
                                          "--unshare-uts",
                                          "--unshare-cgroup-try",
                                          "--disable-userns",
                                          "--uid",
                                          "1000",
                                          "--gid",
                                          "1000",
                                          "--hostname",
                                          "job",
                                          "--die-with-parent",
                                          "--new-session",
                                          "--cap-drop",
                                          "ALL",

                                          NULL};

/* Debian's folders of programs are links into /usr. */
static const char *const links[] = {"--symlink", "usr/bin",   "/bin",    "--symlink", "usr/sbin",
                                    "/sbin",     "--symlink", "usr/lib", "/lib",      "--symlink",
                                    "usr/lib64", "/lib64",    "--proc",  "/proc",     "--dev",
                                    "/dev",      NULL};

static const char *const sealed[] = {"--remount-ro", "/dev", "--remount-ro", "/", "--chdir",
                                     "/tmp",         NULL};

/* The program's own process tells that all is made, and waits; it does not begin when hubd is gone.
 * (--block-fd would wait before --die-with-parent holds.) */
static const char *const held[] = {
    "/bin/sh", "-c", "echo >&9; read -r go <&9 || exit 126; exec 9<&-; exec \"$@\"", "sh", NULL};

static void add_folder_in_memory(struct bubblewrap_command *command, const char *path,
                                 uint64_t bytes) {
    if (bytes > 0) {
        add(command, "--size");
        add_number(command, bytes);
    }
    add(command, "--tmpfs");
    add(command, path);
}

static void add_descriptor(struct bubblewrap_command *command, const char *option, int fd) {
    add(command, option);
    add_number(command, (uint64_t)fd);
}

static void add_path(struct bubblewrap_command *command, const char *option, const char *from,
                     const char *to) {
    add(command, option);
    add(command, from);
    add(command, to);
}

static void add_view(struct bubblewrap_command *command, const struct bubblewrap_config *config,
                     const struct hal_container_order *order, const char *lock) {
    add_folder_in_memory(command, "/tmp", order->limits.tmp_bytes); /* first: paths may lie in it */
    for (size_t i = 0; config->read_only[i] != NULL; i++) {
        add_path(command, "--ro-bind-try", config->read_only[i], config->read_only[i]);
    }
    add_list(command, links);
    add_folder_in_memory(command, "/dev/shm", SHM_BYTES);
    add_path(command, "--ro-bind", lock, "/run/hubd/lock");
    add(command, "--lock-file");
    add(command, "/run/hubd/lock");
    if (order->socket != NULL) {
        add_path(command, "--bind", order->socket, CONTAINER_SOCKET);
    }
    add_list(command, sealed);
}

void bubblewrap_command_make(struct bubblewrap_command *command,
                             const struct bubblewrap_config *config,
                             const struct hal_container_order *order, const char *lock,
                             const int fds[BUBBLEWRAP_DESCRIPTORS]) {
    command->count = 0;
    command->used = 0;
    command->is_full = false;
    add(command, config->program);
    add_list(command, confinement);
    for (size_t i = 0; order->environment != NULL && order->environment[i] != NULL; i += 2) {
        check(i / 2 < BUBBLEWRAP_ENVIRONMENT_MAX);
        add_path(command, "--setenv", order->environment[i], order->environment[i + 1]);
    }
    add_view(command, config, order, lock);
    add_descriptor(command, "--seccomp", fds[BUBBLEWRAP_FILTER]);
    add_descriptor(command, "--json-status-fd", fds[BUBBLEWRAP_STATUS]);
    add(command, "--");
    if (order->is_held) {
        add_list(command, held);
    }
    add_list(command, order->command);
}
