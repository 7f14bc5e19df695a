/* process_json.h - the public JSON of a process, for hub and upstream alike (the documented
 * contract of GET /processes/{id}, and what SPEC.md sections 3, 4 and 6 add).
 *
 * A hub has processes in RAM and flash, upstream in a database; both describe one here by decoded
 * images and three functions that bring the larger parts one at a time. */
#ifndef HOST_SHARED_PROCESS_JSON_H
#define HOST_SHARED_PROCESS_JSON_H

#include "firmware/process.h"
#include "host/shared/process_id.h"
#include "host/shared/process_time.h"

/* One item of the process, superseded ones included. */
struct process_json_item {
    uint32_t number; /* from 1 */
    struct record_item image;
    struct record_time updated; /* of its newest record */
    struct bytes phone;         /* id of image.phone; empty: none, or not known here */
    uint8_t progress_percent;   /* volatile; 0: not known */
    const char *step;           /* action it is in; NULL: none, or not known */
};

/* One kept attempt of an item that is not superseded. */
struct process_json_attempt {
    uint32_t item;   /* its number */
    uint32_t number; /* of the attempt */
    struct record_attempt image;
};

/* Items come by number; attempts by item, then oldest first. Both are asked for with 0, 1, 2, ...
 * in order, and from 0 again for another pass; false: there is none left. What they point to need
 * only last until the next call of any. */
struct process_json_source {
    void *owner;
    /* False: no longer, or not yet, known. Its JSON members are valid. Asked once. */
    bool (*request)(void *owner, struct record_request *request);
    bool (*item)(void *owner, uint32_t index, struct process_json_item *item); /* by number */
    bool (*attempt)(void *owner, uint32_t index, struct process_json_attempt *attempt);
};

struct process_view {
    struct process_id id;
    struct record_process process;
    struct process_counts counts; /* over the items that are not superseded */
    struct record_time updated;   /* of its newest record */
    uint64_t revision;            /* of that record: the id of its last event; 0: do not tell */
    const char *status_detail;    /* NULL: found from the items */
    struct process_clock clock;
    struct process_json_source source;
};

/* Writes the members of a process into the object that the caller has begun, and may add to. */
void process_json_members(struct json_writer *writer, const struct process_view *view);

#endif
