/* process_row.h - a process as a row of GET /processes. */
#ifndef HOST_SHARED_PROCESS_ROW_H
#define HOST_SHARED_PROCESS_ROW_H

#include "host/shared/process_json.h"

struct process_row {
    struct process_id id;
    struct bytes process_type;
    struct bytes request_id;    /* empty: null */
    enum process_status status; /* not NONE */
    bool is_in_review;          /* an item waits for a review */
    struct bytes phone;         /* of its newest lease; empty: null */
    uint32_t attempts;          /* highest attempt number */
    uint64_t created_ms;        /* wall clock; 0: null, as the next two */
    uint64_t updated_ms;
    uint64_t finished_ms;
    enum record_category category; /* why it failed, or is tried again; NONE: no `error` */
    struct bytes code;             /* empty: null, as the message */
    struct bytes message;
};

/* The front of a text, at most so many bytes, cut between characters. */
struct bytes process_row_front(struct bytes text, size_t size);

/* Writes the members into the object that the caller has begun. */
void process_row_members(struct json_writer *writer, const struct process_row *row);

#endif
