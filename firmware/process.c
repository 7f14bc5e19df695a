#include "firmware/process.h"

/* Rows 1 to 3: nothing has been materialised. */
static enum process_status derive_empty(uint32_t flags) {
    if ((flags & RECORD_CANCEL_REQUESTED) != 0) {
        return PROCESS_CANCELLED_EMPTY;
    }
    return (flags & RECORD_PLANNED) == 0 ? PROCESS_QUEUED : PROCESS_NO_TARGET;
}

/* Rows 8 to 11: every item is terminal. */
static enum process_status derive_ended(const struct process_counts *counts, uint32_t flags) {
    uint32_t completed = counts->by_state[RECORD_COMPLETED];
    uint32_t failed = counts->by_state[RECORD_FAILED];
    uint32_t canceled = counts->by_state[RECORD_CANCELED];
    bool was_asked = (flags & RECORD_CANCEL_REQUESTED) != 0;
    if (canceled > 0 && (was_asked || completed + failed == 0)) {
        return PROCESS_CANCELLED;
    }
    if (failed + canceled == 0) {
        return PROCESS_DONE;
    }
    return completed > 0 ? PROCESS_PARTIAL : PROCESS_DEAD_LETTER;
}

enum process_status process_derive(const struct process_counts *counts, uint32_t flags) {
    const uint16_t *by_state = counts->by_state;
    enum process_status status = PROCESS_NONE;
    if (by_state[RECORD_RUNNING] > 0) {
        status = PROCESS_EXECUTING;
    } else if (by_state[RECORD_LEASED] > 0) {
        status = PROCESS_CLAIMED;
    } else if (by_state[RECORD_RETRY_WAIT] > 0) {
        status = PROCESS_RETRYABLE;
    } else if (by_state[RECORD_SCHEDULED] + by_state[RECORD_READY] + by_state[RECORD_SUSPENDED] >
               0) {
        status = PROCESS_PLANNED;
    } else if (by_state[RECORD_COMPLETED] + by_state[RECORD_FAILED] + by_state[RECORD_CANCELED] >
               0) {
        status = derive_ended(counts, flags);
    }
    check(status == PROCESS_NONE || (flags & RECORD_PLANNED) != 0);
    return status == PROCESS_NONE ? derive_empty(flags) : status;
}

struct process_names process_status_names(enum process_status status,
                                          const struct process_counts *counts) {
    static const struct process_names rows[PROCESS_STATUS_COUNT] = {
        [PROCESS_CANCELLED_EMPTY] = {"CANCELLED", "cancelled", "cancelled", "cancelled"},
        [PROCESS_QUEUED] = {"QUEUED", "queued", "pending", "queued"},
        [PROCESS_NO_TARGET] = {"DEAD_LETTER", "failed_terminal", "failed", "failed"},
        [PROCESS_EXECUTING] = {"EXECUTING", "executing", "running", "running"},
        [PROCESS_CLAIMED] = {"CLAIMED", "queued", "pending", "claimed"},
        [PROCESS_RETRYABLE] = {"RETRYABLE", "retrying", "running", "queued"},
        [PROCESS_PLANNED] = {"PLANNED", "queued", "pending", "queued"},
        [PROCESS_CANCELLED] = {"CANCELLED", "cancelled", "cancelled", "cancelled"},
        [PROCESS_DONE] = {"DONE", "completed", "completed", "completed"},
        [PROCESS_PARTIAL] = {"PARTIAL", "failed_terminal", "failed", "failed"},
        [PROCESS_DEAD_LETTER] = {"DEAD_LETTER", "failed_terminal", "failed", "failed"},
    };
    check(status > PROCESS_NONE && status < PROCESS_STATUS_COUNT);
    struct process_names names = rows[status];
    if (status == PROCESS_PLANNED && counts != NULL && counts->in_review > 0) {
        names.state = "waiting_review";
    }
    return names;
}

bool process_is_terminal(enum process_status status) {
    return status == PROCESS_CANCELLED_EMPTY || status == PROCESS_NO_TARGET ||
           status >= PROCESS_CANCELLED;
}

const char *process_item_job_status(enum record_item_state state) {
    static const char *const names[RECORD_ITEM_STATE_COUNT] = {
        "queued", "queued",    "claimed", "running",   "queued",
        "queued", "completed", "failed",  "cancelled",
    };
    check(state < RECORD_ITEM_STATE_COUNT);
    return names[state];
}
