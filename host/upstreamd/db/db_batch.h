/* db_batch.h - what a transaction has changed of the tables that every record touches, before it is
 * sent: rows are read once, changed here, and written together by db_flush(). So a push of a
 * thousand records is a handful of statements for a server, and one row written once for SQLite.
 *
 * It lives as long as the transaction, whose locks keep others from what is held here. Everything
 * in db.h that reads one of these tables sees what is held: from here, or because it flushes first.
 * Private to db*.c, but for the memory in struct db. */
#ifndef HOST_UPSTREAMD_DB_BATCH_H
#define HOST_UPSTREAMD_DB_BATCH_H

#include "protocol/record.h"

enum {
    DB_BATCH_RECORDS = 16384,
    DB_BATCH_OBJECTS = 16384,
    DB_BATCH_PROCESSES = 4096,
    DB_BATCH_STORES = 256, /* whose newest process is remembered */
    DB_BATCH_LEASES = 512, /* phones whose lease changed; as many items that end theirs */
    DB_BATCH_BYTES = 6 * 1024 * 1024,
};

struct db_record_row {
    int64_t store;
    uint64_t seq;
    uint64_t process; /* 0: of none */
    uint64_t revision;
    struct bytes bytes;
    uint8_t chain[RECORD_CHAIN_BYTES];
    uint8_t kind;
    bool is_known; /* kind and revision are */
    bool has_chain;
};

struct db_object_row {
    int64_t store;
    uint64_t path[3];
    uint64_t seq;
    uint64_t revision;  /* 0: there is no such row */
    struct bytes bytes; /* while it is not written */
    uint32_t slot;
    uint8_t kind;
    bool is_dirty;
    bool is_stored; /* the table has a row */
};

struct db_process_row {
    int64_t store;
    uint64_t number;
    uint64_t revision; /* 0: there is no such row */
    uint64_t created_ms;
    uint64_t updated_ms;
    uint64_t finished_ms;
    uint32_t attempts;
    uint32_t slot;
    uint8_t status;
    bool is_in_review;
    bool is_part;
    bool is_dirty;
    bool is_stored;
    char process_type[RECORD_ID_MAX + 1];
    char phone[RECORD_ID_MAX + 1];
    char request_id[RECORD_TEXT_MAX + 1];
};

struct db_lease_row {
    int64_t store;
    uint64_t phone;
    uint64_t process; /* 0: the phone is free */
    uint64_t item;
};

/* The newest process of a store that is in its table: of a newer one nothing is to be read. */
struct db_newest_row {
    int64_t store;
    uint64_t generation; /* of the batch, when it was read */
    uint64_t number;
};

struct db_batch {
    uint64_t generation; /* grows whenever nothing is held any more */
    uint32_t record_count;
    uint32_t object_count;
    uint32_t process_count;
    uint32_t lease_count;
    uint32_t end_count;
    uint32_t dirty_count; /* objects and processes */
    size_t byte_count;
    struct db_record_row records[DB_BATCH_RECORDS];
    struct db_object_row objects[DB_BATCH_OBJECTS];
    struct db_process_row processes[DB_BATCH_PROCESSES];
    struct db_lease_row leases[DB_BATCH_LEASES];
    struct db_lease_row ends[DB_BATCH_LEASES]; /* store, process and item only */
    struct db_newest_row newest[DB_BATCH_STORES];
    uint32_t object_slots[2 * DB_BATCH_OBJECTS]; /* index + 1; 0: free */
    uint32_t process_slots[2 * DB_BATCH_PROCESSES];
    uint8_t bytes[DB_BATCH_BYTES];
};

/* ---- of db_batch*.c ---- */

struct db;
struct sql_statement;

uint64_t db_batch_mix(uint64_t hash, uint64_t value);
/* The row at that place, a new one, or NULL: full. */
struct db_object_row *db_batch_place_object(struct db_batch *batch, int64_t store, uint8_t kind,
                                            const uint64_t path[3], bool *is_new);
struct db_process_row *db_batch_place_process(struct db_batch *batch, int64_t store,
                                              uint64_t number, bool *is_new);
/* Writes everything and holds nothing: room for the next row. */
must_check enum status db_batch_make_room(struct db *db);
must_check enum status db_batch_find_newest(struct db *db, int64_t store, uint64_t *newest);
/* The process that a record belongs to; 0: none. */
uint64_t db_batch_process_of(const struct record_header *header);
void db_batch_take_process(const struct sql_statement *statement, struct db_process_row *row);
must_check enum status db_batch_write_processes(struct db *db);
must_check enum status db_batch_write_leases(struct db *db);

#endif
