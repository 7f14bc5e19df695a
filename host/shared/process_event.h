/* process_event.h - a record as readers of a process's history see it: {id, process_id, type,
 * status, progress_percent, step, message, payload, created_at} (SPEC.md section 5). */
#ifndef HOST_SHARED_PROCESS_EVENT_H
#define HOST_SHARED_PROCESS_EVENT_H

#include "host/shared/process_id.h"
#include "host/shared/process_time.h"

/* Writes one event as an object; `name` NULL at the top or in an array. `id` is that of the
 * process. MALFORMED: not the record of a process, or damaged; then nothing was written. */
must_check enum status process_event_write(struct json_writer *writer, const char *name,
                                           const struct process_id *id, struct bytes record,
                                           const struct process_clock *clock);

/* The event's id, dense per process from 1, and the status row after it. MALFORMED as above. */
must_check enum status process_event_read(struct bytes record, struct record_header *header);

#endif
