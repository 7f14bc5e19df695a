/* service.h - what a daemon tells the service manager that started it (sd_notify(3), Type=notify,
 * WatchdogSec=), by datagrams to $NOTIFY_SOCKET; without one nothing is sent. */
#ifndef HOST_SHARED_SERVICE_H
#define HOST_SHARED_SERVICE_H

#include "hal/base.h"

#include <sys/socket.h>
#include <sys/un.h>

struct service {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t feed_ms; /* of the watchdog: every so often; 0: there is none */
    uint64_t next_ms;
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. Before the first thread. */
void service_open(struct service *service);

void service_ready(struct service *service);
void service_reloading(struct service *service); /* until service_ready() */
/* Stopping may take this long, whatever the unit says. */
void service_stopping(struct service *service, uint64_t within_ms);

/* Feeds the watchdog when it is time, three times in its limit, and only if `is_moving`. */
void service_step(struct service *service, uint64_t now_ms, bool is_moving);

/* When service_step() is to be called next; UINT64_MAX: need not. */
uint64_t service_deadline_ms(const struct service *service);

#endif
