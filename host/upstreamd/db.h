/* db.h - what upstream keeps for good: stores and their cursors, every record as it came, the
 * newest image of each object, and a table of processes to list. db_sqlite.c is the one
 * implementation.
 *
 * Writing happens between db_begin() and db_commit(); nothing is told to a hub before db_commit()
 * was OK. Reading copies into the caller's buffers. Every call may end in IO: db_reason() then says
 * why. NOT_FOUND means that there is no such row (any more). */
#ifndef HOST_UPSTREAMD_DB_H
#define HOST_UPSTREAMD_DB_H

#include "protocol/sync_message.h"

enum {
    DB_BOOTS_MAX = 64,                   /* newest boots of a store whose clock is kept */
    DB_RECORD_MAX = SYNC_PUSH_BYTES_MAX, /* bytes of a record */
    DB_STATEMENTS = 40,
    DB_TYPE_SIZE = RECORD_ID_MAX + 1, /* with NUL, as the next two */
    DB_REQUEST_SIZE = RECORD_TEXT_MAX + 1,
    DB_PHONE_SIZE = RECORD_ID_MAX + 1,
};

struct db {
    void *handle;
    void *statements[DB_STATEMENTS];
};

/* Opens or makes the database. FOREIGN: it is of a newer format, or no database of ours. */
must_check enum status db_open(struct db *db, const char *path);
void db_close(struct db *db);
const char *db_reason(const struct db *db);

must_check enum status db_begin(struct db *db);
must_check enum status db_commit(struct db *db); /* durable when OK */
void db_rollback(struct db *db);

/* One life of one hub's flash. */
struct db_store {
    int64_t id;
    char hub_id[RECORD_ID_MAX + 1];
    uint8_t store_id[SYNC_STORE_ID_BYTES];
    uint32_t epoch;
    uint64_t cursor; /* highest sequence number stored */
    uint8_t chain[RECORD_CHAIN_BYTES];
};

/* What is known of a hub itself. */
struct db_hub {
    char id[RECORD_ID_MAX + 1];
    int64_t store; /* the one it pushed from last */
    uint32_t boot;
    uint32_t capacity;
    uint32_t phones;
    uint64_t command;
    uint64_t first_seen_ms; /* wall clock, as the next two */
    uint64_t last_seen_ms;
    uint64_t record_ms; /* of its newest record that has a time */
    uint64_t forks;
    uint64_t lag_ms; /* age of its newest record when that came; not stored */
};

must_check enum status db_store_find(struct db *db,
                                     struct db_store *store); /* by its first three */
must_check enum status db_store_get(struct db *db, int64_t id, struct db_store *store);
must_check enum status db_store_add(struct db *db, struct db_store *store); /* gives it its id */
must_check enum status db_store_move(struct db *db, const struct db_store *store); /* the cursor */
/* The highest epoch of that store id and hub; 0: none. */
must_check enum status db_store_epoch(struct db *db, const struct db_store *store, uint32_t *epoch);
/* The chain hash where a group ends. */
must_check enum status db_chain_at(struct db *db, int64_t store, uint64_t seq,
                                   uint8_t chain[RECORD_CHAIN_BYTES]);

must_check enum status db_hub_put(struct db *db, const struct db_hub *hub);
/* Walks the hubs in the order of their names; "" before the first. */
must_check enum status db_hub_next(struct db *db, const char *behind, struct db_hub *hub);

/* Offsets of boots. One that the hub told replaces an estimate. */
must_check enum status db_boot_put(struct db *db, int64_t store, const struct record_boot *boot,
                                   bool is_estimate);
must_check enum status db_boots_get(struct db *db, int64_t store,
                                    struct record_boot boots[DB_BOOTS_MAX], uint32_t *count);

/* ---- records and objects ---- */

struct db_record {
    int64_t store;
    uint64_t seq;
    bool is_known; /* the header could be read, and is: */
    struct record_header header;
    const uint8_t *chain; /* of the group, on its last record; else NULL */
    struct bytes bytes;
};

must_check enum status db_record_add(struct db *db, const struct db_record *record);
/* Makes it the newest image of its object. NOT_FOUND: a newer one is there already. */
must_check enum status db_object_put(struct db *db, const struct db_record *record);

/* A whole record, copied. */
struct db_image {
    uint8_t *buffer; /* DB_RECORD_MAX */
    struct bytes bytes;
    uint64_t path[3];
};

/* The newest image at an exact path (unused parts 0). */
must_check enum status db_object_get(struct db *db, int64_t store, enum record_kind kind,
                                     const uint64_t path[3], struct db_image *image);
/* The next one behind `path` that has the same path[0]. */
must_check enum status db_object_next(struct db *db, int64_t store, enum record_kind kind,
                                      const uint64_t path[3], struct db_image *image);
/* The next phone of a store. */
must_check enum status db_phone_next(struct db *db, int64_t store, uint64_t behind,
                                     struct db_image *image);
/* The process's first record whose revision is above `revision`. */
must_check enum status db_event_next(struct db *db, int64_t store, uint64_t process,
                                     uint64_t revision, struct db_image *image);

/* Who leases a phone: path of the item, or a zero process. */
struct db_lease {
    int64_t store;
    uint64_t phone;
    uint64_t process;
    uint64_t item;
};
must_check enum status db_lease_put(struct db *db, const struct db_lease *lease);
must_check enum status db_lease_end(struct db *db, const struct db_lease *lease); /* by the item */
must_check enum status db_lease_get(struct db *db, struct db_lease *lease); /* by store and phone */

/* ---- processes ---- */

struct db_process {
    int64_t id; /* order of arrival: the place in a listing */
    int64_t store;
    uint64_t number;
    char hub_id[RECORD_ID_MAX + 1]; /* reading only, as the next */
    uint32_t epoch;
    uint64_t revision;
    uint8_t status; /* row of SPEC.md section 3 */
    bool is_in_review;
    uint32_t attempts;
    uint64_t created_ms; /* wall clock; 0: not known, as the next two */
    uint64_t updated_ms;
    uint64_t finished_ms;
    char process_type[DB_TYPE_SIZE];
    char request_id[DB_REQUEST_SIZE];
    char phone[DB_PHONE_SIZE]; /* of the newest lease */
};

/* Makes the row or moves status, revision and updated_ms on, if the revision is newer. */
must_check enum status db_process_put(struct db *db, const struct db_process *process);
must_check enum status db_process_set_request(struct db *db, const struct db_process *process);
must_check enum status db_process_set_times(struct db *db, const struct db_process *process);
/* attempts grows; an empty phone leaves the phone. */
must_check enum status db_process_set_item(struct db *db, const struct db_process *process);

/* By hub, epoch and number; the newest store wins. */
must_check enum status db_process_find(struct db *db, struct db_process *process);

/* What a listing is narrowed to; empty texts and 0: everything. */
struct db_filter {
    uint32_t statuses; /* a bit for each row */
    char process_type[DB_TYPE_SIZE];
    char hub_id[RECORD_ID_MAX + 1];
    char phone[DB_PHONE_SIZE];
    bool is_oldest_first;
};
/* The next process behind the id `cursor` in the order of the listing; 0: the first one. */
must_check enum status db_process_next(struct db *db, const struct db_filter *filter,
                                       int64_t cursor, struct db_process *process);
/* How many processes are in each status row. */
must_check enum status db_process_counts(struct db *db, uint64_t counts[12]);

#endif
