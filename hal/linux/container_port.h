/* container_port.h - sockets in the network namespace of another process.
 *
 * A short-lived child enters the namespaces, makes the socket and hands it over: a socket stays in
 * the network it was made in, whoever uses it. */
#ifndef HAL_LINUX_CONTAINER_PORT_H
#define HAL_LINUX_CONTAINER_PORT_H

#include "hal/base.h"

/* A TCP socket on 127.0.0.1:`port` there, nonblocking and close-on-exec: listening (port 0: any),
 * or connected. FULL: the port is in use. CLOSED: nobody listens, or the process is gone. */
must_check enum status container_port_open(int process, uint16_t port, bool is_listener,
                                           int *handle);

#endif
