/* container.h - run containers: a program of a job, shut away with one lease (DESIGN.md,
 * "Isolation"). It sees a read-only system, a /tmp of its own and, if it is given one, the socket
 * of its phone; no network, no other process, no device. Its whole tree of processes ends with it.
 *
 * A container has a slot, so its memory is the implementation's from the start. Submit and poll:
 * start, then poll until it has ended. */
#ifndef HAL_CONTAINER_H
#define HAL_CONTAINER_H

#include "hal/base.h"

struct hal_container;

/* What one process of a container, or all of them, may use. 0: the most that is possible. */
struct hal_container_limits {
    uint64_t memory_bytes; /* data of one process; of all of them where the platform can */
    uint64_t tmp_bytes;    /* /tmp, which is in memory */
    uint64_t file_bytes;   /* one file that it writes */
    uint32_t processes;    /* at once, threads included */
    uint32_t open_files;
    uint32_t cpu_seconds; /* of one process */
};

struct hal_container_order {
    const char *const *command; /* program and arguments, NULL-terminated */
    const char *const
        *environment;   /* name, value, name, value, ..., NULL-terminated: all there is */
    const char *socket; /* path of the phone's socket, shown as CONTAINER_SOCKET; NULL: none */
    int output;         /* descriptor that takes what it prints */
    int errors;         /* the same for its errors; 0: they go to `output` */
    bool is_held;       /* the program waits for hal_container_go() */
    struct hal_container_limits limits;
};

#define CONTAINER_SOCKET "/run/hubd/adb"

enum hal_container_outcome {
    CONTAINER_EXITED,   /* code: exit status */
    CONTAINER_SIGNALED, /* code: signal that ended the program */
    CONTAINER_REFUSED,  /* the program was never begun; the reason is in its output */
};

struct hal_container_end {
    enum hal_container_outcome outcome;
    int code;
};

struct hal_container_ops {
    enum status (*start)(struct hal_container *container, uint32_t slot,
                         const struct hal_container_order *order);
    enum status (*poll)(struct hal_container *container, uint32_t slot,
                        struct hal_container_end *end);
    void (*kill)(struct hal_container *container, uint32_t slot);
    void (*go)(struct hal_container *container, uint32_t slot);
    enum status (*open_port)(struct hal_container *container, uint32_t slot, uint16_t port,
                             bool is_listener, int *handle);
};

struct hal_container {
    const struct hal_container_ops *ops;
    uint32_t slot_count;
};

/* BUSY: the slot's container has not ended, or one of an earlier run of hubd still dies: poll
 * later. TOO_LARGE: too many arguments. IO: no process can be made. The caller keeps its
 * descriptors. */
must_check static inline enum status hal_container_start(struct hal_container *container,
                                                         uint32_t slot,
                                                         const struct hal_container_order *order) {
    check(slot < container->slot_count);
    check(order->command[0] != NULL && order->output >= 0);
    return container->ops->start(container, slot, order);
}

/* OK: it has ended, and no process of it is left; told once. AGAIN: it runs. NOT_FOUND: no
 * container is in the slot. */
must_check static inline enum status
hal_container_poll(struct hal_container *container, uint32_t slot, struct hal_container_end *end) {
    check(slot < container->slot_count);
    return container->ops->poll(container, slot, end);
}

/* Lets the program of an order that `is_held` begin. Harmless otherwise. */
static inline void hal_container_go(struct hal_container *container, uint32_t slot) {
    check(slot < container->slot_count);
    container->ops->go(container, slot);
}

/* Listens on, or connects to, a TCP port of the container's own loopback; port 0: any. The handle
 * is the caller's: nonblocking, and in the container's network whoever uses it. AGAIN: the
 * container is not made yet. NOT_FOUND: there is none. FULL: the port is in use. CLOSED: nobody
 * listens there. */
must_check static inline enum status hal_container_open_port(struct hal_container *container,
                                                             uint32_t slot, uint16_t port,
                                                             bool is_listener, int *handle) {
    check(slot < container->slot_count);
    return container->ops->open_port(container, slot, port, is_listener, handle);
}

/* Ends the whole tree at once; poll then tells the end. Harmless when it has ended. */
static inline void hal_container_kill(struct hal_container *container, uint32_t slot) {
    check(slot < container->slot_count);
    container->ops->kill(container, slot);
}

#endif
