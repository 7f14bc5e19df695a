/* process.h - the status of a process, derived from its items and flags (SPEC.md section 3).
 *
 * It is never stored as truth: hub and upstream derive it from the same counts. */
#ifndef FIRMWARE_PROCESS_H
#define FIRMWARE_PROCESS_H

#include "protocol/record.h"

/* Counts over the items that are not superseded. */
struct process_counts {
    uint16_t by_state[RECORD_ITEM_STATE_COUNT];
    uint16_t in_review; /* of the suspended ones: those that wait for a review */
};

/* A row of SPEC.md section 3, numbered as there. */
enum process_status {
    PROCESS_NONE,
    PROCESS_CANCELLED_EMPTY,
    PROCESS_QUEUED,
    PROCESS_NO_TARGET,
    PROCESS_EXECUTING,
    PROCESS_CLAIMED,
    PROCESS_RETRYABLE,
    PROCESS_PLANNED,
    PROCESS_CANCELLED,
    PROCESS_DONE,
    PROCESS_PARTIAL,
    PROCESS_DEAD_LETTER,
    PROCESS_STATUS_COUNT
};

/* `flags` are enum record_process_flag. Items without RECORD_PLANNED are a programming error. */
enum process_status process_derive(const struct process_counts *counts, uint32_t flags);

/* The four names of a row: internal, public `status`, the data model's `state`, `job_status`. */
struct process_names {
    const char *internal;
    const char *status;
    const char *state;
    const char *job_status;
};
struct process_names process_status_names(enum process_status status,
                                          const struct process_counts *counts);

bool process_is_terminal(enum process_status status);

/* SPEC.md section 3: an item's own `job_status`. */
const char *process_item_job_status(enum record_item_state state);

#endif
