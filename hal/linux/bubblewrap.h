/* bubblewrap.h - run containers by bubblewrap (bwrap 0.8): own user, mount, pid, network, ipc, uts
 * and cgroup namespaces, no new ones inside, a system call filter, and limits by rlimit.
 *
 * hubd as root runs each slot's container as a user of its own (user_base + slot), so that limits
 * count for it alone and nothing on the host is its; else as hubd's user. Everything in a container
 * dies with its first process, and that one with hubd, which takes in orphans (it becomes their
 * "subreaper") to see them dead. Each slot has a lock file in the state
 * folder that the first process holds while it lives: so a start after a crash of hubd can wait
 * until nothing is left.
 *
 * bwrap itself is that user already when it looks for what it shows: folders above the socket
 * must let others through (0711). The socket is made the slot's user's.
 *
 * A container's memory limit is per process (RLIMIT_DATA). With a cgroup v2 folder that hubd may
 * write (systemd: Delegate=yes), all its processes together have it too, and the count of them. */
#ifndef HAL_LINUX_BUBBLEWRAP_H
#define HAL_LINUX_BUBBLEWRAP_H

#include "hal/container.h"

#include <sys/types.h>

enum {
    BUBBLEWRAP_ARGUMENTS_MAX = 192, /* bwrap's own and the command's */
    BUBBLEWRAP_TEXT_BYTES = 512,    /* numbers among them */
    BUBBLEWRAP_PATH_BYTES = 256,
    BUBBLEWRAP_REASON_BYTES = 256,
    BUBBLEWRAP_STATUS_BYTES = 256,
    BUBBLEWRAP_ENVIRONMENT_MAX = 32, /* variables of an order */
};

struct bubblewrap_config {
    const char *program;          /* path of bwrap */
    const char *state_dir;        /* for lock files; made if missing; no secrets */
    const char *cgroup_dir;       /* delegated cgroup v2 folder; NULL: none */
    const char *const *read_only; /* host paths shown as they are, NULL-terminated */
    uint32_t user_base;           /* for root: first of slot_count unused user ids */
};

/* One slot. */
struct bubblewrap_slot {
    pid_t process;   /* bwrap, our child; 0: none */
    pid_t first;     /* first process inside; ours too once bwrap has ended; 0: not told yet */
    int handle;      /* its pidfd, readable when it has ended; -1: none */
    int status_pipe; /* what bwrap tells; -1: none */
    int gate;        /* a byte lets the program begin; -1: it has */
    bool is_made;    /* a held program waits */
    bool is_reaped;  /* bwrap has ended; what is inside may still die */
    bool is_killed;
    int exit_code; /* as bwrap's own, when reaped */
    uint32_t told_bytes;
    char told[BUBBLEWRAP_STATUS_BYTES];
};

struct bubblewrap {
    struct hal_container container;
    struct bubblewrap_config config;
    struct bubblewrap_slot *slots;
    int null_fd;
    int filter_fd;                               /* the system call filter, as a file */
    char cgroup_reason[BUBBLEWRAP_REASON_BYTES]; /* why cgroups are not used; "": they are */
};

/* Opens what every container needs and tries one that does nothing. `slots` is memory for
 * `slot_count`. DENIED: containers cannot run here, for `reason`; nothing is left open. Waits at
 * most some seconds; for the start of a program, before its loop runs. */
must_check enum status bubblewrap_open(struct bubblewrap *wrap,
                                       const struct bubblewrap_config *config,
                                       struct bubblewrap_slot *slots, uint32_t slot_count,
                                       char reason[BUBBLEWRAP_REASON_BYTES]);

/* Kills what runs and waits for it, at most some seconds. */
void bubblewrap_close(struct bubblewrap *wrap);

/* Slots whose container of an earlier run has not died yet; before the first lease it must be 0. */
uint32_t bubblewrap_survivors(const struct bubblewrap *wrap);

/* What a loop waits on for the slot's end: readable then. -1: poll the slot again soon. */
int bubblewrap_handle(const struct bubblewrap *wrap, uint32_t slot);
/* The same for the container of a held program being made; -1: none. */
int bubblewrap_made_handle(const struct bubblewrap *wrap, uint32_t slot);
/* Whether it is made: isolated, and the program held. */
bool bubblewrap_is_made(struct bubblewrap *wrap, uint32_t slot);

#endif
