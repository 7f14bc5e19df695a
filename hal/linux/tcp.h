/* tcp.h - TCP and Unix socket streams (hal/net.h) and listeners, for Linux.
 *
 * Everything is nonblocking and close-on-exec; TCP streams have TCP_NODELAY. Names are never
 * looked up: a host is an IPv4 address, an IPv6 address in brackets, or `localhost` (127.0.0.1).
 * After any failure `errno` still holds the system's reason, for a message. */
#ifndef HAL_LINUX_TCP_H
#define HAL_LINUX_TCP_H

#include "hal/net.h"

#include <sys/socket.h>

struct tcp_address {
    struct sockaddr_storage storage;
    socklen_t size;
};

enum { TCP_TEXT_SIZE = 128 }; /* room for any address as text, with its NUL */

/* Reads `tcp:HOST:PORT`, `HOST:PORT` or `unix:PATH`. MALFORMED: it is none of them, or the path
 * is longer than a Unix socket's may be (107). Port 0 is allowed: a listener then chooses one. */
must_check enum status tcp_parse(const char *text, struct tcp_address *address);

/* Writes `HOST:PORT` or `unix:PATH`. */
void tcp_format(const struct tcp_address *address, char text[TCP_TEXT_SIZE]);

bool tcp_is_unix(const struct tcp_address *address);
bool tcp_is_loopback(const struct tcp_address *address); /* 127.0.0.0/8, ::1, or a Unix socket */
uint16_t tcp_port(const struct tcp_address *address);    /* 0 for a Unix socket */
void tcp_set_port(struct tcp_address *address, uint16_t port);

/* Begins a connection. The stream may be used at once: read and write say AGAIN until the other
 * side has accepted, and CLOSED when it refused. On failure the stream stays closed. */
must_check enum status tcp_connect(struct hal_stream *stream, const struct tcp_address *address);

/* How far tcp_connect() has come. OK: connected. AGAIN: not yet. CLOSED: refused. TIMEOUT: no
 * route or no answer. IO: another reason. Reports a failure once; then close the stream. */
must_check enum status tcp_connect_result(struct hal_stream *stream);

/* Opens a listener and gives its file descriptor. A Unix socket that is left over and that nobody
 * answers on is removed first; any other kind of file is left alone. FULL: the address is in use.
 * DENIED: no permission. IO: another reason. */
must_check enum status tcp_listen(int *listener, const struct tcp_address *address);

/* Where a listener really listens (the port that was chosen for port 0). */
void tcp_local_address(int listener, struct tcp_address *address);

/* Takes one waiting connection. AGAIN: none waits. FULL: no file descriptor is left. */
must_check enum status tcp_accept(int listener, struct hal_stream *stream);

/* A peer that acknowledges nothing of what was sent for so long is gone: the stream then ends with
 * TIMEOUT. While nothing is under way, the peer is asked every `ms`. Nothing on a Unix socket. */
void tcp_limit_silence(struct hal_stream *stream, uint32_t ms);

/* Makes a stream of a connected (or connecting) socket, nonblocking and close-on-exec. */
void tcp_adopt(struct hal_stream *stream, int handle);

/* Closes a listener and removes its Unix socket from the file system. */
void tcp_unlisten(int listener);

#endif
