#include "hal/linux/container_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 2000, BACKLOG = 64 };

/* The descriptor rides beside one byte: 0, or the error that stands in its place. */
union passenger {
    struct cmsghdr align;
    char memory[CMSG_SPACE(sizeof(int))];
};

static void hand_over(int channel, int handle, uint8_t error) {
    union passenger passenger;
    struct iovec byte = {&error, 1};
    struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1};
    if (error == 0) {
        memset(&passenger, 0, sizeof passenger);
        message.msg_control = passenger.memory;
        message.msg_controllen = sizeof passenger.memory;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof handle);
        memcpy(CMSG_DATA(header), &handle, sizeof handle);
    }
    (void)!sendmsg(channel, &message, MSG_NOSIGNAL);
}

static int take_over(int channel, uint8_t *error) {
    union passenger passenger;
    struct iovec byte = {error, 1};
    struct msghdr message = {.msg_iov = &byte,
                             .msg_iovlen = 1,
                             .msg_control = passenger.memory,
                             .msg_controllen = sizeof passenger.memory};
    int handle = -1;
    *error = EIO;
    if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) == 1 && *error == 0) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
            memcpy(&handle, CMSG_DATA(header), sizeof handle);
        }
    }
    return handle;
}

static int make_socket(uint16_t port, bool is_listener) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (handle < 0) {
        return -1;
    }
    (void)setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int result = is_listener ? bind(handle, (const struct sockaddr *)&address, sizeof address)
                             : connect(handle, (const struct sockaddr *)&address, sizeof address);
    if (result == 0 && is_listener) {
        result = listen(handle, BACKLOG);
    }
    return result == 0 && fcntl(handle, F_SETFL, O_NONBLOCK) == 0 ? handle : -1;
}

static bool enter(int process, const char *kind, int type) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", process, kind);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && setns(fd, type) == 0;
}

/* Our own network only once, when we may: as root its user namespace is not needed. */
_Noreturn static void serve(int process, uint16_t port, bool is_listener, int channel) {
    bool is_inside = enter(process, "net", CLONE_NEWNET) ||
                     (enter(process, "user", CLONE_NEWUSER) && enter(process, "net", CLONE_NEWNET));
    int handle = is_inside ? make_socket(port, is_listener) : -1;
    int error = errno > 0 && errno < 256 ? errno : EIO;
    hand_over(channel, handle, handle >= 0 ? 0 : (uint8_t)error);
    _exit(0);
}

enum status container_port_open(int process, uint16_t port, bool is_listener, int *handle) {
    int channel[2];
    uint8_t error = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) {
        return STATUS_FULL;
    }
    pid_t child = fork();
    if (child == 0) {
        close(channel[0]);
        serve(process, port, is_listener, channel[1]);
    }
    close(channel[1]);
    struct pollfd ready = {.fd = channel[0], .events = POLLIN};
    bool is_told = child > 0 && poll(&ready, 1, PATIENCE_MS) == 1;
    *handle = is_told ? take_over(channel[0], &error) : -1;
    close(channel[0]);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    if (*handle >= 0) {
        return STATUS_OK;
    }
    errno = is_told ? error : ETIMEDOUT;
    return errno == EADDRINUSE ? STATUS_FULL : STATUS_CLOSED;
}
