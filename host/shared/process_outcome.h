/* process_outcome.h - what a process's attempts gave: `result`, `summary`, `error`, `errors`.
 *
 * All attempts of a large process may give more than one answer holds. What does not fit is left
 * out: first the outputs, then whole entries, never the end of the document. */
#ifndef HOST_SHARED_PROCESS_OUTCOME_H
#define HOST_SHARED_PROCESS_OUTCOME_H

#include "host/shared/process_json.h"

/* What a pass over the items that are not superseded has found. */
struct process_outcome {
    uint32_t items;
    uint32_t counted;              /* attempts, of all */
    enum record_category category; /* of an item that failed without an attempt's end; NONE */
    uint32_t failed_attempt;       /* the highest number of that item */
    struct record_time failed_at;
};

/* True: something was left out. */
bool process_outcome_write(struct json_writer *writer, const struct process_view *view,
                           const struct process_outcome *outcome, enum process_status status);

#endif
