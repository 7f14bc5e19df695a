/* work.h - one process of the fleet while it is being changed, inside a transaction: every
 * transition becomes a record of upstream's own store, as a hub's becomes one of its store, with
 * the status derived from the items (SPEC.md section 3).
 *
 *     status = work_open(&work, db, now_ms, number);      locks the process
 *     ... work_read_item(&work, &item, &image); image.state = ...; work_put(&work, ...);
 *     status = work_close(&work);                         ends it, if all its items have ended
 *
 * One process at a time: images that were read are views into static memory until the next read.
 * Every call may end in IO; then the transaction is rolled back. */
#ifndef HOST_UPSTREAMD_WORK_H
#define HOST_UPSTREAMD_WORK_H

#include "firmware/process.h"
#include "host/upstreamd/db/db_fleet.h"

struct work {
    struct db *db;
    uint64_t now_ms; /* wall clock */
    struct db_fleet_process row;
    struct record_process image;
    struct process_counts counts; /* over the items that are not superseded */
    char phone[DB_PHONE_SIZE];    /* id of the phone that the next item record leases; "": none */
};

/* The place of a record in its store follows from its process: no two processes share a counter.
 * Epoch (11 bits), number without it, revision. */
enum { WORK_REVISION_BITS = 20, WORK_NUMBER_BITS = 32 };

/* A moment in records of upstream: it has one boot, and always a wall clock. 0: never. */
struct record_time work_time(uint64_t wall_ms);

/* NOT_FOUND: there is no such process. */
must_check enum status work_open(struct work *work, struct db *db, uint64_t now_ms,
                                 uint64_t number);
/* A new one: `row` has its number. Logs the request and the planned process, without its items. */
must_check enum status work_create(struct work *work, struct db *db, uint64_t now_ms,
                                   const struct db_fleet_process *row,
                                   const struct record_request *request);

enum process_status work_status(const struct work *work);
/* The request as it was given. NOT_FOUND. */
must_check enum status work_request(struct work *work, struct record_request *request);

/* The newest image of an item. */
must_check enum status work_read_item(struct work *work, const struct db_item *item,
                                      struct record_item *image);

/* An item as it was (`before`; NULL: it is new) and is now: row and counts. `image` gives the row
 * what they share; then its record, which tells the status that the counts give. */
must_check enum status work_put_row(struct work *work, const struct db_item *before,
                                    struct db_item *item, const struct record_item *image);
must_check enum status work_log_item(struct work *work, const struct db_item *item,
                                     const struct record_item *image, enum record_event event);
/* Both. */
must_check enum status work_put(struct work *work, const struct db_item *before,
                                struct db_item *item, const struct record_item *image,
                                enum record_event event);
must_check enum status work_log_attempt(struct work *work, uint32_t item, uint32_t number,
                                        const struct record_attempt *image,
                                        enum record_event event);
/* The process itself, after its image was changed. */
must_check enum status work_log_process(struct work *work, enum record_event event);

must_check enum status work_close(struct work *work);

#endif
