/* phone_row.h - a phone as a row of GET /phones, and as GET /phones/{id}. */
#ifndef HOST_SHARED_PHONE_ROW_H
#define HOST_SHARED_PHONE_ROW_H

#include "host/shared/process_json.h"

struct phone_row {
    struct record_phone image;
    bool is_leased;          /* shown as leased: the image does not say it */
    struct process_id lease; /* the item that leases it; number 0: not known */
    struct bytes hub_id;
    uint64_t updated_ms; /* wall clock; 0: null */
};

/* Words with one space between them, as an array. */
void phone_row_labels(struct json_writer *writer, const char *name, struct bytes words);

/* Writes the members into the object that the caller has begun. */
void phone_row_members(struct json_writer *writer, const struct phone_row *row);

#endif
