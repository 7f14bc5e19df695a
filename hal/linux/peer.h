/* peer.h - which user of this machine is at the other end of a connected socket. */
#ifndef HAL_LINUX_PEER_H
#define HAL_LINUX_PEER_H

#include "hal/base.h"

/* The user id of who connected: of a Unix socket by SO_PEERCRED (unix(7)), of a TCP socket by the
 * row of /proc/net/tcp or tcp6 (proc_net(5)) that is its other end, which must be of this machine
 * and network and still open: a socket that its process has closed has no owner any more.
 * NOT_FOUND: there is none. IO: the system does not tell. */
must_check enum status peer_user(int socket, uint32_t *user);

/* ---- for the test ---- */

/* One line of /proc/net/tcp or tcp6. True: it is the established connection from port `local` to
 * port `remote` of 127.0.0.1, plain or mapped into IPv6, and a process holds it. */
bool peer_reads_row(const char *line, uint16_t local, uint16_t remote, uint32_t *user);

#endif
