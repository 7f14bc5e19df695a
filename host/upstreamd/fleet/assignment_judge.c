/* What a hub's word about an item means: pure, so that the farm simulator links it too. */
#include "host/upstreamd/fleet/assignment.h"

#include <string.h>

enum { REFUSED_BASE_MS = 250 };

enum assignment_verdict assignment_judge(const struct db_item *item, const char *hub,
                                         uint32_t assignment, enum record_item_state state) {
    if (item->phase == DB_PHASE_ENDED) {
        return ASSIGNMENT_HISTORY;
    }
    if (assignment > item->assignment) {
        return ASSIGNMENT_NEWER;
    }
    if (assignment == item->assignment && strcmp(hub, item->hub) == 0) {
        return ASSIGNMENT_CURRENT;
    }
    bool is_success = state == RECORD_COMPLETED;
    return is_success && !item->is_started ? ASSIGNMENT_WINS : ASSIGNMENT_HISTORY;
}

enum assignment_refusal assignment_judge_answer(enum record_answer_code code) {
    return code == RECORD_ANSWER_DONE || code == RECORD_ANSWER_ALREADY_TERMINAL
               ? ASSIGNMENT_TAKEN
               : ASSIGNMENT_ELSEWHERE;
}

uint64_t assignment_backoff_ms(uint32_t refusals) {
    if (refusals < 2) {
        return 0; /* another hub may take it at once */
    }
    uint32_t doublings = refusals - 2 < 8 ? refusals - 2 : 8;
    uint64_t ms = (uint64_t)REFUSED_BASE_MS << doublings;
    return ms < ASSIGNMENT_REFUSED_MAX_MS ? ms : ASSIGNMENT_REFUSED_MAX_MS;
}

bool assignment_may_move(const struct db_item *item) {
    /* One that stops for its review is suspended, but for the last record of its attempt. */
    bool is_suspended =
        item->state == RECORD_SUSPENDED || item->suspension == RECORD_SUSPEND_REVIEW;
    return item->is_forced || (!item->is_once && !is_suspended);
}
