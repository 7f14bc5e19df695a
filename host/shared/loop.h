/* loop.h - the one event loop of a Linux program: file descriptors and the earliest deadline.
 *
 * A source is embedded in its owner; `ready` is called from loop_step() with the EPOLL* bits that
 * are set. A source may be removed, and its memory reused, at any time, even from inside another
 * source's `ready`: events that were already fetched for it are dropped. */
#ifndef HOST_SHARED_LOOP_H
#define HOST_SHARED_LOOP_H

#include "hal/base.h"

#include <sys/epoll.h>

struct loop_source {
    void (*ready)(struct loop_source *source, uint32_t events);
    int fd;          /* -1: not in the loop */
    uint32_t events; /* EPOLLIN, EPOLLOUT, ... being waited for */
};

struct loop {
    int epoll_fd;
    struct epoll_event fetched[64];
    int fetched_count; /* events of the current step, for loop_remove() */
};

must_check enum status loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* Puts `fd` in the loop. The source must not be in it yet. */
must_check enum status loop_add(struct loop *loop, struct loop_source *source, int fd,
                                uint32_t events);
/* Changes what is waited for; no system call when nothing changes. */
void loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
/* Takes the source out; does not close its fd. Harmless when it is not in the loop. */
void loop_remove(struct loop *loop, struct loop_source *source);

/* Waits until something is ready or `timeout_ms` is over (-1: no limit, 0: does not wait), then
 * calls each ready source once. */
void loop_step(struct loop *loop, int64_t timeout_ms);
/* The same to the microsecond; before Linux 5.11 rounded down to a millisecond. */
void loop_step_us(struct loop *loop, uint32_t timeout_us);

/* Milliseconds of CLOCK_BOOTTIME: goes on in suspend, never jumps. */
uint64_t loop_now_ms(void);

#endif
