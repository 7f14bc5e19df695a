#include "host/shared/loop.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum status loop_open(struct loop *loop) {
    loop->fetched_count = 0;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop->epoll_fd < 0 ? STATUS_IO : STATUS_OK;
}

void loop_close(struct loop *loop) {
    close(loop->epoll_fd);
    loop->epoll_fd = -1;
}

enum status loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events) {
    check(fd >= 0);
    struct epoll_event event = {.events = events, .data.ptr = source};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return STATUS_IO;
    }
    source->fd = fd;
    source->events = events;
    return STATUS_OK;
}

void loop_change(struct loop *loop, struct loop_source *source, uint32_t events) {
    if (source->fd < 0 || source->events == events) {
        return;
    }
    struct epoll_event event = {.events = events, .data.ptr = source};
    check(epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event) == 0);
    source->events = events;
}

void loop_remove(struct loop *loop, struct loop_source *source) {
    if (source->fd < 0) {
        return;
    }
    check(epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL) == 0);
    source->fd = -1;
    for (int i = 0; i < loop->fetched_count; i++) {
        if (loop->fetched[i].data.ptr == source) {
            loop->fetched[i].data.ptr = NULL;
        }
    }
}

static void call_ready(struct loop *loop, int count) {
    loop->fetched_count = count < 0 ? 0 : count;
    for (int i = 0; i < loop->fetched_count; i++) {
        struct loop_source *source = loop->fetched[i].data.ptr;
        if (source != NULL) {
            source->ready(source, loop->fetched[i].events);
        }
    }
    loop->fetched_count = 0;
}

void loop_step(struct loop *loop, int64_t timeout_ms) {
    int timeout = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    call_ready(loop,
               epoll_wait(loop->epoll_fd, loop->fetched, (int)array_count(loop->fetched), timeout));
}

void loop_step_us(struct loop *loop, uint32_t timeout_us) {
    const struct timespec limit = {.tv_sec = timeout_us / 1000000,
                                   .tv_nsec = timeout_us % 1000000 * 1000L};
    int count =
        epoll_pwait2(loop->epoll_fd, loop->fetched, (int)array_count(loop->fetched), &limit, NULL);
    if (count < 0 && errno == ENOSYS) {
        count = epoll_wait(loop->epoll_fd, loop->fetched, (int)array_count(loop->fetched),
                           (int)(timeout_us / 1000));
    }
    call_ready(loop, count);
}

uint64_t loop_now_ms(void) {
    struct timespec now;
    check(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
