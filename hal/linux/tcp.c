#include "hal/linux/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024 };

static enum status parse_port(const char *text, uint16_t *port) {
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 5) {
        return STATUS_MALFORMED;
    }
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != '\0' || value > UINT16_MAX) {
        return STATUS_MALFORMED;
    }
    *port = (uint16_t)value;
    return STATUS_OK;
}

static enum status parse_unix(const char *path, struct tcp_address *address) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof un.sun_path) {
        return STATUS_MALFORMED;
    }
    memcpy(un.sun_path, path, size);
    memset(address, 0, sizeof *address);
    memcpy(&address->storage, &un, sizeof un);
    address->size = sizeof un;
    return STATUS_OK;
}

static enum status parse_host(const char *host, uint16_t port, struct tcp_address *address) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memset(address, 0, sizeof *address);
    if (strcmp(host, "localhost") == 0) {
        host = "127.0.0.1";
    }
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(&address->storage, &v4, sizeof v4);
        address->size = sizeof v4;
        return STATUS_OK;
    }
    size_t size = strlen(host);
    char inner[INET6_ADDRSTRLEN];
    if (size < 4 || size - 2 >= sizeof inner || host[0] != '[' || host[size - 1] != ']') {
        return STATUS_MALFORMED;
    }
    memcpy(inner, host + 1, size - 2);
    inner[size - 2] = '\0';
    if (inet_pton(AF_INET6, inner, &v6.sin6_addr) != 1) {
        return STATUS_MALFORMED;
    }
    memcpy(&address->storage, &v6, sizeof v6);
    address->size = sizeof v6;
    return STATUS_OK;
}

enum status tcp_parse(const char *text, struct tcp_address *address) {
    struct tcp_address parsed;
    if (strncmp(text, "unix:", 5) == 0) {
        enum status status = parse_unix(text + 5, &parsed);
        if (status == STATUS_OK) {
            *address = parsed;
        }
        return status;
    }
    text += strncmp(text, "tcp:", 4) == 0 ? 4 : 0;
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof host) {
        return STATUS_MALFORMED;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    uint16_t port = 0;
    if (parse_port(colon + 1, &port) != STATUS_OK || parse_host(host, port, &parsed) != STATUS_OK) {
        return STATUS_MALFORMED;
    }
    *address = parsed;
    return STATUS_OK;
}

static struct sockaddr_in as_v4(const struct tcp_address *address) {
    struct sockaddr_in v4;
    memcpy(&v4, &address->storage, sizeof v4);
    return v4;
}

static struct sockaddr_in6 as_v6(const struct tcp_address *address) {
    struct sockaddr_in6 v6;
    memcpy(&v6, &address->storage, sizeof v6);
    return v6;
}

static struct sockaddr_un as_unix(const struct tcp_address *address) {
    struct sockaddr_un un;
    memcpy(&un, &address->storage, sizeof un);
    un.sun_path[sizeof un.sun_path - 1] = '\0';
    return un;
}

void tcp_format(const struct tcp_address *address, char text[TCP_TEXT_SIZE]) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->storage.ss_family == AF_INET) {
        struct sockaddr_in v4 = as_v4(address);
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
        snprintf(text, TCP_TEXT_SIZE, "%s:%u", host, tcp_port(address));
    } else if (address->storage.ss_family == AF_INET6) {
        struct sockaddr_in6 v6 = as_v6(address);
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
        snprintf(text, TCP_TEXT_SIZE, "[%s]:%u", host, tcp_port(address));
    } else {
        struct sockaddr_un un = as_unix(address);
        snprintf(text, TCP_TEXT_SIZE, "unix:%s", un.sun_path);
    }
}

bool tcp_is_unix(const struct tcp_address *address) {
    return address->storage.ss_family == AF_UNIX;
}

bool tcp_is_loopback(const struct tcp_address *address) {
    if (address->storage.ss_family == AF_INET) {
        return ntohl(as_v4(address).sin_addr.s_addr) >> 24 == 127;
    }
    if (address->storage.ss_family == AF_INET6) {
        struct sockaddr_in6 v6 = as_v6(address);
        return memcmp(&v6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback) == 0;
    }
    return true;
}

uint16_t tcp_port(const struct tcp_address *address) {
    if (address->storage.ss_family == AF_INET) {
        return ntohs(as_v4(address).sin_port);
    }
    return address->storage.ss_family == AF_INET6 ? ntohs(as_v6(address).sin6_port) : 0;
}

void tcp_set_port(struct tcp_address *address, uint16_t port) {
    check(!tcp_is_unix(address));
    if (address->storage.ss_family == AF_INET) {
        struct sockaddr_in v4 = as_v4(address);
        v4.sin_port = htons(port);
        memcpy(&address->storage, &v4, sizeof v4);
    } else {
        struct sockaddr_in6 v6 = as_v6(address);
        v6.sin6_port = htons(port);
        memcpy(&address->storage, &v6, sizeof v6);
    }
}

/* What an errno means for the owner of a stream. */
static enum status stream_status(int error) {
    switch (error) {
    case EAGAIN:
    case EINTR:
    case EINPROGRESS:
        return STATUS_AGAIN;
    case ECONNREFUSED:
    case EPIPE:
        return STATUS_CLOSED;
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return STATUS_TIMEOUT;
    default:
        return STATUS_IO;
    }
}

static enum status stream_read(struct hal_stream *stream, void *target, size_t size,
                               size_t *size_read) {
    ssize_t count = recv(stream->handle, target, size, 0);
    stream->wants = 0;
    if (count > 0) {
        *size_read = (size_t)count;
        return STATUS_OK;
    }
    if (count == 0) {
        return STATUS_CLOSED;
    }
    enum status status = stream_status(errno);
    stream->wants = status == STATUS_AGAIN ? HAL_STREAM_READABLE : 0;
    return status;
}

static enum status stream_write(struct hal_stream *stream, const void *source, size_t size,
                                size_t *size_written) {
    ssize_t count = send(stream->handle, source, size, MSG_NOSIGNAL);
    stream->wants = 0;
    if (count > 0) {
        *size_written = (size_t)count;
        return STATUS_OK;
    }
    enum status status = stream_status(count == 0 ? EAGAIN : errno);
    stream->wants = status == STATUS_AGAIN ? HAL_STREAM_WRITABLE : 0;
    return status;
}

static void stream_close(struct hal_stream *stream) {
    close(stream->handle);
    stream->handle = -1;
    stream->wants = 0;
}

static const struct hal_stream_ops stream_ops = {stream_read, stream_write, stream_close};

static void stream_begin(struct hal_stream *stream, int handle, bool is_tcp) {
    int on = 1;
    if (is_tcp) {
        check(setsockopt(handle, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    }
    *stream = (struct hal_stream){.ops = &stream_ops, .handle = handle};
}

void tcp_limit_silence(struct hal_stream *stream, uint32_t ms) {
    const int on = 1;
    const int seconds = ms / 1000 == 0 ? 1 : (int)(ms / 1000);
    (void)setsockopt(stream->handle, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(stream->handle, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    (void)setsockopt(stream->handle, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
    (void)setsockopt(stream->handle, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

void tcp_adopt(struct hal_stream *stream, int handle) {
    struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof own;
    check(getsockname(handle, (struct sockaddr *)&own, &size) == 0);
    stream_begin(stream, handle, own.ss_family != AF_UNIX);
}

static void close_keeping_errno(int handle) {
    int error = errno;
    close(handle);
    errno = error;
}

enum status tcp_connect(struct hal_stream *stream, const struct tcp_address *address) {
    int family = address->storage.ss_family;
    int handle = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (handle < 0) {
        return errno == EMFILE || errno == ENFILE ? STATUS_FULL : STATUS_IO;
    }
    if (connect(handle, (const struct sockaddr *)&address->storage, address->size) != 0) {
        enum status status = errno == ENOENT ? STATUS_CLOSED : stream_status(errno);
        /* A Unix socket whose backlog is full says EAGAIN and is not connecting at all. */
        if (status != STATUS_AGAIN || family == AF_UNIX) {
            close_keeping_errno(handle);
            return status;
        }
    }
    stream_begin(stream, handle, family != AF_UNIX);
    stream->wants = HAL_STREAM_WRITABLE;
    return STATUS_OK;
}

enum status tcp_connect_result(struct hal_stream *stream) {
    int error = 0;
    socklen_t size = sizeof error;
    check(getsockopt(stream->handle, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
    if (error != 0) {
        errno = error;
        return stream_status(error);
    }
    struct sockaddr_storage peer;
    size = sizeof peer;
    if (getpeername(stream->handle, (struct sockaddr *)&peer, &size) != 0) {
        return errno == ENOTCONN ? STATUS_AGAIN : STATUS_IO;
    }
    return STATUS_OK;
}

static enum status listen_status(void) {
    switch (errno) {
    case EADDRINUSE:
    case EMFILE:
    case ENFILE:
        return STATUS_FULL;
    case EACCES:
    case EPERM:
        return STATUS_DENIED;
    default:
        return STATUS_IO;
    }
}

/* Only a socket, and only when a connection to it is refused: its owner is gone. */
static void remove_stale_socket(const struct tcp_address *address) {
    struct sockaddr_un un = as_unix(address);
    struct stat info;
    if (lstat(un.sun_path, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        return;
    }
    struct hal_stream probe;
    enum status status = tcp_connect(&probe, address);
    if (status == STATUS_OK) {
        hal_stream_close(&probe);
    } else if (status == STATUS_CLOSED) {
        unlink(un.sun_path);
    }
}

enum status tcp_listen(int *listener, const struct tcp_address *address) {
    int on = 1;
    if (tcp_is_unix(address)) {
        remove_stale_socket(address);
    }
    int family = address->storage.ss_family;
    int handle = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (handle < 0) {
        return listen_status();
    }
    if (family != AF_UNIX) {
        check(setsockopt(handle, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    }
    if (bind(handle, (const struct sockaddr *)&address->storage, address->size) != 0 ||
        listen(handle, LISTEN_BACKLOG) != 0) {
        close_keeping_errno(handle);
        return listen_status();
    }
    *listener = handle;
    return STATUS_OK;
}

void tcp_local_address(int listener, struct tcp_address *address) {
    memset(address, 0, sizeof *address);
    address->size = sizeof address->storage;
    check(getsockname(listener, (struct sockaddr *)&address->storage, &address->size) == 0);
}

enum status tcp_accept(int listener, struct hal_stream *stream) {
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof peer;
    int handle = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (handle >= 0) {
        stream_begin(stream, handle, peer.ss_family != AF_UNIX);
        return STATUS_OK;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return STATUS_FULL;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        return STATUS_IO;
    default: /* EAGAIN, and what a connection that is already gone leaves (accept(2)) */
        return STATUS_AGAIN;
    }
}

void tcp_unlisten(int listener) {
    struct tcp_address address;
    tcp_local_address(listener, &address);
    if (tcp_is_unix(&address)) {
        unlink(as_unix(&address).sun_path);
    }
    close(listener);
}
