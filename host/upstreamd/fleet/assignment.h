/* assignment.h - which hub has an item, and what its records then mean (SPEC.md section 8, "Each
 * offer carries an assignment number"). */
#ifndef HOST_UPSTREAMD_ASSIGNMENT_H
#define HOST_UPSTREAMD_ASSIGNMENT_H

#include "host/upstreamd/fleet/work.h"
#include "protocol/sync_command.h"

/* What upstream does with a hub's image of an item. */
enum assignment_verdict {
    ASSIGNMENT_HISTORY, /* of an older assignment, or the item has ended: nothing */
    ASSIGNMENT_CURRENT, /* it is the item's */
    ASSIGNMENT_WINS,    /* an older one succeeded before the newer one began */
    ASSIGNMENT_NEWER,   /* given by an upstream whose database was lost: it counts from now on */
};
enum assignment_verdict assignment_judge(const struct db_item *item, const char *hub,
                                         uint32_t assignment, enum record_item_state state);

/* What became of an offer. */
enum assignment_refusal {
    ASSIGNMENT_TAKEN,     /* the hub has it, or its end is in the records before the answer */
    ASSIGNMENT_ELSEWHERE, /* to another hub at once, to this one not before the others */
};
enum assignment_refusal assignment_judge_answer(enum record_answer_code code);

/* How long an item waits after it was refused so often, besides the hub that refused it last. */
enum { ASSIGNMENT_REFUSED_MAX_MS = 60000 };
uint64_t assignment_backoff_ms(uint32_t refusals);

/* Why a hub has an item no longer. */
enum assignment_end {
    ASSIGNMENT_WITHDRAWN, /* it gave it back */
    ASSIGNMENT_REFUSED,   /* it did not take it */
    ASSIGNMENT_LOST,      /* it was silent until its grant was over for sure */
    ASSIGNMENT_FORGOTTEN, /* it came back without it; so long was it waited, too */
};
/* No hub has the item any more: it waits for another one, is held, or ends as its process says.
 * What was running when its hub was lost counts as a failed attempt; `attempts_max` is its
 * capability's. What a hub has forgotten may have begun unseen: with a `once` action it is held,
 * suspended (`uncertain`). The work is open, and is not closed. */
must_check enum status assignment_end(struct work *work, struct db_item *item,
                                      enum assignment_end why, uint32_t attempts_max);

/* The same for one that its hub gave back: `told`, the image that it left with, says which attempts
 * and actions it has behind it, and whether it waits for a person. */
must_check enum status assignment_return(struct work *work, struct db_item *item,
                                         const struct record_item *told);

/* Whether the item may be taken from a hub that is silent, once its grant is over for sure. */
bool assignment_may_move(const struct db_item *item);

/* Appends a command to a hub's, with the next number; `offer` for SYNC_OFFER, else `control`. */
struct assignment_order {
    uint32_t epoch; /* upstream's */
    const char *hub;
    enum sync_command_kind kind;
    const struct sync_offer *offer;
    const struct sync_control *control;
};
must_check enum status assignment_command(struct db *db, const struct assignment_order *order);

/* The same for one item of the fleet. */
must_check enum status assignment_tell(struct db *db, uint32_t epoch, enum sync_command_kind kind,
                                       const struct db_item *item);

#endif
