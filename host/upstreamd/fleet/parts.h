/* parts.h - what hubs record of the fleet's items: a part's records become records of the fleet's
 * process, and answers to commands take effect (SPEC.md section 8). Inside the transaction in which
 * the hub's records are stored. */
#ifndef HOST_UPSTREAMD_PARTS_H
#define HOST_UPSTREAMD_PARTS_H

#include "host/shared/process_time.h"
#include "host/upstreamd/fleet/assignment.h"

struct parts {
    struct db *db;
    int64_t store; /* of the hub that tells */
    const char *hub;
    const struct process_clock *clock; /* of the store */
    uint64_t now_ms;                   /* wall clock */
    bool has_changed;                  /* out: something was the fleet's */
};

/* `header` and `image` are of the newest record of their object; IO, and OK for whatever is not
 * the fleet's. */
must_check enum status parts_request(struct parts *parts, const struct record_header *header,
                                     const struct record_request *image);
/* `phone`: id of the phone that it leases, or "". */
must_check enum status parts_item(struct parts *parts, const struct record_header *header,
                                  const struct record_item *image, const char *phone);
must_check enum status parts_attempt(struct parts *parts, const struct record_header *header,
                                     const struct record_attempt *image);
must_check enum status parts_answer(struct parts *parts, const struct record_header *header,
                                    const struct record_answer *image);
must_check enum status parts_phone(struct parts *parts, const struct record_phone *image);

#endif
