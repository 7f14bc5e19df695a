/* db.h - what upstream keeps for good: stores and their cursors, every record as it came, the
 * newest image of each object, and a table of processes to list; in SQLite or PostgreSQL (sql.h).
 *
 * Writing happens between db_begin() and db_commit(), best by db_transact(); nothing is told to a
 * hub before db_commit() was OK. Reading copies into the caller's buffers. Every call may end in
 * IO: db_reason() then says why. NOT_FOUND means that there is no such row (any more).
 *
 * Several programs may share a server. A transaction locks rows in this order, so that two of them
 * seldom wait for each other: processes of the fleet by number, hubs by name, items, then what the
 * ledger has of hubs (db_fleet.h), by name. Where it cannot, the server breaks one of them off, and
 * db_transact() runs it again. */
#ifndef HOST_UPSTREAMD_DB_H
#define HOST_UPSTREAMD_DB_H

#include "host/shared/process_id.h"
#include "host/upstreamd/db/db_batch.h"
#include "host/upstreamd/db/db_notice.h"
#include "host/upstreamd/db/sql.h"
#include "protocol/sync_message.h"

enum {
    DB_BOOTS_MAX = 64,                   /* newest boots of a store whose clock is kept */
    DB_RECORD_MAX = SYNC_PUSH_BYTES_MAX, /* bytes of a record */
    DB_TYPE_SIZE = RECORD_ID_MAX + 1,    /* with NUL, as the next two */
    DB_REQUEST_SIZE = RECORD_TEXT_MAX + 1,
    DB_PHONE_SIZE = RECORD_ID_MAX + 1,
    DB_SEQ_BITS = 40, /* of a sequence number, in a place */
    DB_TRIES = 5,     /* of a transaction */
};

struct db {
    struct sql sql;
    struct sql_statement *walk; /* in progress; NULL: none */
    enum status first;          /* whether it has a first row */
    bool has_begun;             /* that one was taken */
    struct db_batch batch;
    struct db_notice notice; /* of this transaction */
    struct db_notice heard;  /* of another program's, as far as it is not taken */
    uint64_t words_heard;    /* ever */
    uint64_t conflicts;      /* transactions that were broken off for another one's sake */
};

/* One of the two; the other is NULL. */
struct db_place {
    const char *sqlite;   /* path of a file */
    const char *postgres; /* libpq's connection string or URI */
};

/* Opens or makes the database, and brings an older one to this program's format. FOREIGN: it is of
 * a newer format, or no database of ours. */
must_check enum status db_open(struct db *db, const struct db_place *place);
void db_close(struct db *db);
const char *db_reason(const struct db *db);

must_check enum status db_begin(struct db *db);
must_check enum status db_commit(struct db *db); /* durable when OK */
void db_rollback(struct db *db);

/* Runs `change` in a transaction, and commits when it gives OK; else rolls back and gives what it
 * gave. When the server has broken the transaction off for another one's sake all of it is run
 * again, up to DB_TRIES times: so `change` begins with what was there before the first time. */
typedef enum status db_change(void *owner);
must_check enum status db_transact(struct db *db, db_change *change, void *owner);

/* One life of one hub's flash. */
struct db_store {
    int64_t id;
    char hub_id[RECORD_ID_MAX + 1];
    uint8_t store_id[SYNC_STORE_ID_BYTES];
    uint32_t epoch;  /* its newest life; 0: it has not begun one here */
    uint64_t cursor; /* highest sequence number stored of that life */
    uint8_t chain[RECORD_CHAIN_BYTES];
    uint32_t base_epoch;  /* that the row was made in */
    uint32_t first_epoch; /* of the store, as its hub says: for process_id_make() */
    uint32_t named;       /* an epoch that the hub was told to take on, and has not; 0: none */
    bool is_listing;      /* the inventory of this life is not complete */
};

/* Where a record of the newest life stands among all records of the store. */
static inline uint64_t db_place(const struct db_store *store, uint64_t seq) {
    return (uint64_t)(store->epoch - store->base_epoch) << DB_SEQ_BITS | seq;
}

/* What is known of a hub itself. */
struct db_hub {
    char id[RECORD_ID_MAX + 1];
    uint32_t boot;
    uint32_t capacity;
    uint32_t phones;
    int64_t store; /* the one it pushed from last */
    uint64_t command;
    uint64_t first_seen_ms; /* wall clock, as the next two */
    uint64_t last_seen_ms;
    uint64_t record_ms; /* of its newest record that has a time */
    uint64_t forks;
    uint64_t gaps;           /* that it has told, or widened */
    uint64_t given_up;       /* records in them that never came */
    uint64_t lag_ms;         /* age of its newest record when that came */
    uint64_t swap_ms[2];     /* the last two times that another life of it came back, older first */
    uint64_t quarantined_ms; /* since when nothing is taken from it; 0: it is not */
    uint32_t settled_epoch;  /* of upstream, in which the hub's present life has told all it has */
};

must_check enum status db_store_find(struct db *db, struct db_store *store); /* by hub, store id */
must_check enum status db_store_get(struct db *db, int64_t id, struct db_store *store);
/* Gives it its id; base_epoch and first_epoch are `epoch` where they are 0. */
must_check enum status db_store_add(struct db *db, struct db_store *store);
must_check enum status db_store_move(struct db *db, const struct db_store *store); /* the cursor */
must_check enum status db_store_put(struct db *db, const struct db_store *store);  /* but its ids */
/* The highest epochs of a hub, over all its stores: begun, and named; 0: none. */
must_check enum status db_store_epochs(struct db *db, const char *hub_id, uint32_t *used,
                                       uint32_t *named);
/* The chain hash where a group ends. */
must_check enum status db_chain_at(struct db *db, const struct db_store *store, uint64_t seq,
                                   uint8_t chain[RECORD_CHAIN_BYTES]);

/* What a hub has given up, and when upstream learned of it. */
must_check enum status db_gap_add(struct db *db, const struct db_store *store,
                                  const struct record_gap *gap, uint64_t at_ms);
/* What gaps that begin at `first` or later have dropped. */
must_check enum status db_gap_sum(struct db *db, const struct db_store *store, uint64_t first,
                                  uint64_t dropped[RECORD_KIND_COUNT]);
/* The last gap that ends before the place `seq`. */
must_check enum status db_gap_before(struct db *db, int64_t store, uint64_t seq,
                                     struct record_gap *gap, uint64_t *at_ms);

/* Reads the hub and locks it until the end of the transaction: nobody else changes it, its stores
 * or what belongs to them. One that is not known yet is made, with nothing in it but `now_ms`. */
must_check enum status db_hub_lock(struct db *db, const char *id, uint64_t now_ms,
                                   struct db_hub *hub);
must_check enum status db_hub_get(struct db *db, const char *id, struct db_hub *hub);
must_check enum status db_hub_put(struct db *db, const struct db_hub *hub);

/* Whether every hub that ever pushed is settled in this epoch, and there is one. */
must_check enum status db_hubs_are_settled(struct db *db, uint32_t upstream_epoch,
                                           bool *are_settled);

/* Walks: db_X_walk(), then db_X_next() until that is not OK (NOT_FOUND: no more), or db_walk_end().
 * One walk at a time. */
void db_walk_end(struct db *db);
/* In the order of their names, behind `behind`. */
void db_hub_walk(struct db *db, const char *behind, uint32_t limit);
must_check enum status db_hub_next(struct db *db, struct db_hub *hub);

/* Of all hubs; silent ones are those heard last before `since_ms`. */
struct db_hub_totals {
    uint64_t hubs;
    uint64_t silent;
    uint64_t oldest_ms; /* when the most silent one was heard */
    uint64_t longest_lag_ms;
    uint64_t forks;
    uint64_t gaps;
    uint64_t given_up;
};
must_check enum status db_hub_sum(struct db *db, uint64_t since_ms, struct db_hub_totals *totals);

/* Offsets of boots. One that the hub told replaces an estimate. */
must_check enum status db_boot_put(struct db *db, int64_t store, const struct record_boot *boot,
                                   bool is_estimate);
must_check enum status db_boots_get(struct db *db, int64_t store,
                                    struct record_boot boots[DB_BOOTS_MAX], uint32_t *count);

/* ---- records and objects ---- */

struct db_record {
    int64_t store;
    uint64_t seq;  /* db_place() of it */
    bool is_known; /* the header could be read, and is: */
    struct record_header header;
    const uint8_t *chain; /* of the group, on its last record; else NULL */
    struct bytes bytes;
};

/* Reads at once what applying these records will look at: for a server, one by one takes long. The
 * records of a push, in order. */
must_check enum status db_prefetch(struct db *db, int64_t store, const struct sync_push *push);
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

/* A phone of a hub's present store. */
struct db_phone {
    struct db_image image; /* path[0]: its number */
    struct db_store store; /* id, hub_id and epoch only */
    struct db_lease lease; /* process 0: none */
};
/* In the order of hubs and numbers, behind that of `hub_id` and `number`; `only`: one hub, or "".
 */
void db_phone_walk(struct db *db, const struct db_phone *behind, const char *only, uint32_t limit);
must_check enum status db_phone_next(struct db *db, struct db_phone *phone);

/* ---- processes ---- */

struct db_process {
    int64_t id; /* order of arrival: the place in a listing */
    int64_t store;
    uint64_t number;
    char hub_id[RECORD_ID_MAX + 1]; /* reading only, as the next two */
    uint32_t first_epoch;           /* for process_id_make() */
    bool is_lost;                   /* after a fork, its hub has no such process any more */
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
    uint64_t hub_seen_ms;      /* when its hub was heard last; reading only */
};

/* Makes the row or moves status, revision and updated_ms on, if the revision is newer. */
must_check enum status db_process_put(struct db *db, const struct db_process *process);
must_check enum status db_process_set_request(struct db *db, const struct db_process *process);
must_check enum status db_process_set_times(struct db *db, const struct db_process *process);
/* It is an item of one of upstream's own processes at a hub: no reader sees it. */
must_check enum status db_process_set_part(struct db *db, int64_t store, uint64_t number);
must_check enum status db_process_is_part(struct db *db, int64_t store, uint64_t number,
                                          bool *is_part);
/* attempts grows; an empty phone leaves the phone. */
must_check enum status db_process_set_item(struct db *db, const struct db_process *process);

/* By its public name; the newest store wins. */
must_check enum status db_process_find(struct db *db, const struct process_id *id,
                                       struct db_process *process);

/* What a listing is narrowed to; empty texts and 0: everything. */
struct db_filter {
    uint32_t statuses; /* a bit for each row */
    char process_type[DB_TYPE_SIZE];
    char hub_id[RECORD_ID_MAX + 1];
    char phone[DB_PHONE_SIZE];
    bool is_oldest_first;
};
/* Behind the id `cursor` in the order of the listing; 0: from its front. */
void db_process_walk(struct db *db, const struct db_filter *filter, int64_t cursor, uint32_t limit);
must_check enum status db_process_next(struct db *db, struct db_process *process);
/* ---- after a fork (db_fork.c) ---- */

/* What a verdict on a process stands on. */
struct db_fork_row {
    uint64_t revision;
    uint8_t status;
    bool is_sealed;  /* it had ended before the fork: only a later generation changes it */
    bool is_waiting; /* for the inventory: nothing changes it before that */
    bool is_in_doubt;
    bool is_lost;
};
must_check enum status db_fork_row(struct db *db, int64_t store, uint64_t number,
                                   struct db_fork_row *row);

/* How the new life of a store begins. */
struct db_fork_start {
    bool has_inventory; /* to come */
    bool is_in_doubt;   /* that of the life before was not complete: a process whose newest record
                           is here may lack others, so that all of it is to be sent again */
};
/* A new life of the store begins: leases and phones are told anew, what has ended is sealed. With
 * an inventory to come all of it waits for that. */
must_check enum status db_fork_begin(struct db *db, int64_t store,
                                     const struct db_fork_start *start);
/* Whatever has not ended in this range is lost, until it is found. */
must_check enum status db_fork_lose(struct db *db, int64_t store, uint64_t first, uint64_t last);
/* The same for all other stores of its hub: this one has taken their place. */
must_check enum status db_fork_lose_others(struct db *db, const struct db_store *store);
/* The inventory has it. What is in doubt stays that for this life: the same page may come again;
 * what no inventory has, stays it in the next life as well. */
must_check enum status db_fork_found(struct db *db, int64_t store, uint64_t number,
                                     const struct db_fork_row *row);
/* The process's next record behind the place `seq`: path = process, revision, place. */
must_check enum status db_fork_event(struct db *db, int64_t store, uint64_t process, uint64_t seq,
                                     struct db_image *image);
must_check enum status db_fork_unseal(struct db *db, int64_t store, uint64_t number);
/* A sealed process's revision goes on, and nothing else. */
must_check enum status db_fork_raise(struct db *db, int64_t store, uint64_t number,
                                     uint64_t revision);
/* What was known of a process before this life goes on under another number. */
must_check enum status db_fork_renumber(struct db *db, const struct db_store *store,
                                        uint64_t number, uint64_t other);
must_check enum status db_fork_count_lost(struct db *db, uint64_t *count);

/* How many processes are in each status row. */
must_check enum status db_process_counts(struct db *db, uint64_t counts[12]);

#endif
