/* run_container.h - the run containers of this hub: one a phone, watched by the loop.
 *
 * A thin layer between the executor, which knows actions, and hal/container.h: it reads output,
 * tells the end once, and kills. What is stopped says nothing more, but keeps its place until every
 * process of it is gone. */
#ifndef HOST_HUBD_RUN_CONTAINER_H
#define HOST_HUBD_RUN_CONTAINER_H

#include "hal/linux/bubblewrap.h"
#include "host/hubd/adb/adb_endpoint.h"
#include "host/shared/loop.h"

enum {
    RUN_CONTAINERS_MAX = 256, /* of the largest board's phones */
    RUN_PATHS_MAX = 16,
    RUN_PATH_BYTES = 128,
    RUN_REASON_BYTES = BUBBLEWRAP_REASON_BYTES
};

/* [containers] of the configuration. */
struct run_settings {
    char program[BUBBLEWRAP_PATH_BYTES]; /* bubblewrap */
    char cgroup[BUBBLEWRAP_PATH_BYTES];  /* delegated folder; "": none */
    char readable[RUN_PATHS_MAX][RUN_PATH_BYTES];
    uint32_t readable_count;
    char environment[RUN_PATHS_MAX][RUN_PATH_BYTES]; /* names taken from hubd's own */
    uint32_t environment_count;
    uint64_t first_user;
    uint64_t memory_bytes;
    uint64_t scratch_bytes;
    uint64_t file_bytes;
    uint64_t processes;
    uint64_t open_files;
    uint64_t cpu_seconds;
};

enum run_end_kind {
    RUN_EXITED,  /* `code` is its exit status */
    RUN_KILLED,  /* `code` is the signal */
    RUN_REFUSED, /* it never began; `reason` says why */
};

struct run_end {
    enum run_end_kind kind;
    int code;
    char reason[RUN_REASON_BYTES];
};

/* The calls come from the loop and run_containers_step() only. */
struct run_handler {
    /* It is isolated; the program begins after this call. */
    void (*made)(void *owner);
    void (*output)(void *owner, bool is_stderr, struct bytes data);
    void (*ended)(void *owner, const struct run_end *end);
    void *owner;
};

struct run_watch {
    struct loop_source source; /* first: the loop gives it back */
    struct run_container *run;
};

struct run_container {
    struct run_containers *all;
    struct run_handler handler;
    uint32_t number;
    bool is_running;      /* its processes may exist */
    bool is_told;         /* to its owner: stopped, or ended */
    bool is_ending;       /* its first process has ended: poll until all have */
    int out_end, err_end; /* ours, of the pipes; -1: at their end */
    struct run_watch out, err, made, ended;
    char complaint[RUN_REASON_BYTES]; /* the first of its errors: why it was refused */
    size_t complaint_size;
};

struct run_containers {
    struct loop *loop;
    const struct run_settings *settings;
    char state_dir[BUBBLEWRAP_PATH_BYTES];
    const char *read_only[RUN_PATHS_MAX + 16];
    struct bubblewrap wrap;
    bool is_judged;
    bool is_usable;
    char reason[RUN_REASON_BYTES]; /* why it is not */
    uint32_t ending_count;
    uint32_t running_count;
    struct bubblewrap_slot slots[RUN_CONTAINERS_MAX];
    struct run_container runs[RUN_CONTAINERS_MAX];
};

/* `dir` is where lock files may be kept; "": containers are not usable. */
void run_containers_open(struct run_containers *all, struct loop *loop,
                         const struct run_settings *settings, const char *dir);
/* Whether this machine can isolate; judged the first time, by a container that does nothing. */
bool run_containers_are_usable(struct run_containers *all);
/* Kills all and waits until they are gone, at most a few seconds. */
void run_containers_close(struct run_containers *all);

/* Sees to those that end. Once in every turn of the loop. */
void run_containers_step(struct run_containers *all);
uint64_t run_containers_deadline_ms(const struct run_containers *all, uint64_t now_ms);

struct run_order {
    const char *const *arguments;
    const char *const *environment; /* name, value, ...; besides what the settings name */
    const char *socket;
};

/* AGAIN: an earlier one of this number is still going. TOO_LARGE: too many arguments. IO. FOREIGN:
 * this machine cannot isolate; see `reason`. */
must_check enum status run_container_start(struct run_containers *all, uint32_t number,
                                           const struct run_order *order,
                                           const struct run_handler *handler);

/* Kills it; no call follows. Harmless when it does not run. */
void run_container_stop(struct run_containers *all, uint32_t number);

/* The ports of its own network, for its lease's endpoint. */
struct adb_ports run_container_ports(struct run_containers *all, uint32_t number);

#endif
