/* run.h - one attempt on one phone of a board: its capability's services, one after the other.
 *
 *   idle -> opening -> running -> stepping -> waiting -> opening ... -> ending -> idle
 *             `-> awaiting (its phone reboots, as asked) -^
 *
 * Each step is durable before the next one begins; the core refuses every word of an attempt whose
 * lease is over, and then it is forgotten here. */
#ifndef IMAGE_RUN_H
#define IMAGE_RUN_H

#include "firmware/hub.h"
#include "protocol/adb_connection.h"
#include "protocol/adb_shell.h"

enum { RUN_TAIL = 512 }; /* of an action's output, kept for its record */

enum run_state {
    RUN_IDLE,
    RUN_OPENING,  /* the next action's service is to be opened */
    RUN_RUNNING,  /* its output comes */
    RUN_AWAITING, /* its phone is away, as the action asked */
    RUN_STEPPING, /* the action is done: to be recorded */
    RUN_WAITING,  /* until that is durable */
    RUN_ENDING,   /* the attempt is over: to be recorded */
};

struct run {
    enum run_state state;
    struct hub_start start;
    uint32_t action;
    uint32_t stream;
    uint64_t wait_seq;
    bool has_left; /* its phone has been away since the attempt asked for it */
    uint8_t outcome, category;
    bool has_exit;
    uint8_t exit_code;
    const char *message;
    struct adb_shell_reader shell;
    size_t tail_size;
    uint8_t tail[RUN_TAIL];
};

void run_begin(struct run *run, const struct hub_start *start);
/* The attempt is asked to stop: its service is closed. */
void run_stop(struct run *run, struct adb_connection *adb);
/* In every turn. */
void run_step(struct run *run, struct hub *hub, struct adb_connection *adb, bool is_online);

/* What comes over the service's stream, and its end. */
void run_take(struct run *run, struct bytes data);
void run_closed(struct run *run);

#endif
