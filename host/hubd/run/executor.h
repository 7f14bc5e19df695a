/* executor.h - runs the attempts that the core has started: the actions of a capability, one after
 * the other, each on the one phone of its lease.
 *
 * It takes what the core says (hub_next_start, hub_next_stop), works through the phone's link and
 * reports each finished action and the end. A report that has no room in the open group is kept
 * and made again by the next step. */
#ifndef HOST_HUBD_EXECUTOR_H
#define HOST_HUBD_EXECUTOR_H

#include "host/shared/action.h"
#include "host/hubd/run/artifact.h"
#include "host/hubd/phones/phones.h"
#include "host/hubd/run/run_container.h"

enum { EXECUTOR_OUTPUT_BYTES = 4096, EXECUTOR_RESULT_BYTES = 8192, EXECUTOR_TEXT_BYTES = 256 };

enum attempt_step {
    ATTEMPT_IDLE,
    ATTEMPT_NEXT,    /* the next action may begin */
    ATTEMPT_ACTING,  /* an operation runs on the phone */
    ATTEMPT_DONE,    /* an action is done, the core has not recorded it yet */
    ATTEMPT_REVIEW,  /* a review action is reached, the core has not recorded it yet */
    ATTEMPT_WAITING, /* recorded: the stop that the core asks for comes next */
    ATTEMPT_ENDING,  /* the end is known, the core has not recorded it yet */
    ATTEMPT_LOST,    /* the phone is gone: the core will judge */
};

/* Of an action that cycles the power of the phone's port. */
enum attempt_power {
    ATTEMPT_POWER_NONE,
    ATTEMPT_POWER_COUNT,     /* it is to be taken from the budget */
    ATTEMPT_POWER_LEAVE,     /* the core is to be told that the phone goes */
    ATTEMPT_POWER_SWITCH,    /* whoever switches the port is to be asked */
    ATTEMPT_POWER_SWITCHING, /* and is at it */
    ATTEMPT_POWER_RETURN,    /* the phone is to answer again */
};

struct flash_job;

struct attempt {
    struct executor *executor;
    struct phone_line *line;
    struct hub_start start;
    const struct action_list *list;
    enum attempt_step step;
    uint32_t action;         /* in list */
    uint32_t selected;       /* bit for each action of the request */
    uint32_t operation;      /* of the link; 0: none */
    uint64_t step_seq;       /* of the newest record that says how far it is; 0: none */
    struct flash_job *flash; /* NULL: it does not flash */
    enum attempt_power power;
    bool is_in_container;
    struct adb_endpoint *endpoint; /* of a program that runs; NULL: none */
    uint64_t deadline_ms;
    uint32_t output_size;
    uint32_t error_size;
    struct artifact artifact; /* the whole output, as a file */
    struct findings findings;
    struct record_attempt end; /* ENDING: its texts are in the buffers below */
    char code[RECORD_ID_MAX];
    char message[EXECUTOR_TEXT_BYTES];
    uint8_t output[EXECUTOR_OUTPUT_BYTES]; /* last part of the action's output */
    uint8_t error[EXECUTOR_TEXT_BYTES];    /* first part of its error output */
    char result[EXECUTOR_RESULT_BYTES];
};

struct executor {
    struct hub *hub;
    struct phones *phones;
    struct attempt *attempts;        /* one for each row of the core's phone table */
    const struct action_list *lists; /* one for each capability */
    struct adb_host *adb;
    struct run_containers *containers;
    struct artifacts *artifacts; /* NULL: whole outputs are not kept */
    uint64_t now_ms;
};

/* `attempts` is zeroed memory for as many as the board has phones. */
void executor_init(struct executor *executor, struct hub *hub, struct phones *phones,
                   struct attempt *attempts, const struct action_list *lists);

/* Where programs run; without it every `exec` ends as a failure of category container. */
void executor_set_containers(struct executor *executor, struct adb_host *adb,
                             struct run_containers *containers);

void executor_step(struct executor *executor, uint64_t now_ms);

/* Whether a running attempt follows this list. */
bool executor_uses(const struct executor *executor, const struct action_list *list);
/* Attempts that follow `from` follow `to` from here on, which is its copy. */
void executor_move_list(struct executor *executor, const struct action_list *from,
                        const struct action_list *to);

/* When executor_step() has something to do next. */
uint64_t executor_deadline_ms(const struct executor *executor);

/* The action a running attempt is in, for readers; "" when none. */
const char *executor_step_name(const struct executor *executor, uint32_t phone);

#endif
