#include "host/shared/service.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FEEDS = 3 }; /* in the limit of the watchdog */

static void tell(struct service *service, const char *text) {
    if (service->fd >= 0) {
        (void)sendto(service->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                     (const struct sockaddr *)&service->address, service->address_size);
    }
}

static uint64_t number_of(const char *name) {
    const char *text = getenv(name);
    return text == NULL ? 0 : strtoull(text, NULL, 10);
}

void service_open(struct service *service) {
    *service = (struct service){.fd = -1, .address.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    size_t size = path == NULL ? 0 : strlen(path);
    if (size < 2 || size >= sizeof service->address.sun_path || strchr("/@", path[0]) == NULL) {
        return;
    }
    memcpy(service->address.sun_path, path, size);
    if (path[0] == '@') {
        service->address.sun_path[0] = '\0'; /* an abstract one */
    }
    service->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    service->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint64_t pid = number_of("WATCHDOG_PID");
    if (pid == 0 || pid == (uint64_t)getpid()) {
        service->feed_ms = number_of("WATCHDOG_USEC") / 1000 / FEEDS;
    }
}

void service_ready(struct service *service) {
    tell(service, "READY=1");
}

void service_reloading(struct service *service) {
    struct timespec now;
    char text[80];
    check(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    tell(service, text);
}

void service_stopping(struct service *service, uint64_t within_ms) {
    char text[80];
    snprintf(text, sizeof text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
             (unsigned long long)within_ms * 1000);
    tell(service, text);
}

void service_step(struct service *service, uint64_t now_ms, bool is_moving) {
    if (service->fd < 0 || service->feed_ms == 0 || now_ms < service->next_ms) {
        return;
    }
    service->next_ms = now_ms + service->feed_ms;
    if (is_moving) {
        tell(service, "WATCHDOG=1");
    }
}

uint64_t service_deadline_ms(const struct service *service) {
    return service->fd < 0 || service->feed_ms == 0 ? UINT64_MAX : service->next_ms;
}
