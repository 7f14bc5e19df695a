/* store.h - the record store: an append-only log of commit groups over erase blocks, with one
 * entry in RAM for the newest record of each object.
 *
 * A record is bytes for a slot (kind, index) and gets the next sequence number; what the bytes
 * mean is the owner's business. Records appended since the last commit form the open group: it
 * becomes one frame, visible as a whole or not at all, and is durable when store_poll() says so.
 * A record also carries the place of the record before it in its chain (a process's history).
 *
 * The bits on flash are described in docs/store.md. A mount writes nothing; the first commit after
 * it takes a new block. The cleaner copies the newest records out of the oldest block, once
 * upstream has acknowledged its groups, then frees it: the blocks in use are one run of the log, so
 * a missing one is noticed, and wear is even. At most one frame is ever programmed between two
 * syncs: a damaged frame with a valid one behind it is rot, never a torn write.
 *
 * Memory is the owner's: see struct store_memory. Nothing here allocates, waits or reads a clock.
 */
#ifndef FIRMWARE_STORE_H
#define FIRMWARE_STORE_H

#include "hal/flash.h"

enum {
    STORE_FORMAT = 1,
    STORE_KINDS = 8,
    STORE_ID_BYTES = 16,
    STORE_CHAIN_BYTES = 8,
    STORE_HEADER_BYTES = 128, /* of a block */
    STORE_FRAME_BYTES = 8,    /* head of a frame */
    STORE_RECORD_BYTES = 16,  /* head of a record in a group */
    STORE_TAIL_BYTES = 12,    /* end of a group's frame: chain hash and its CRC */
    STORE_ALIGN_BYTES = 16,   /* frames begin at multiples of this, or of the program unit */
    STORE_SPARE_BLOCKS = 3,   /* kept free for the cleaner */
};

/* The newest record of one object. */
struct store_slot {
    uint64_t seq;   /* 0: the object has no record */
    uint32_t where; /* of the record's head: byte offset on flash; STORE_OPEN: in the open group */
    uint32_t bytes; /* of the record with its head */
};

enum store_block_state {
    STORE_BLOCK_FREE,
    STORE_BLOCK_USED,
    STORE_BLOCK_LEAVING, /* copied out; free once what replaced it is durable */
    STORE_BLOCK_BAD,     /* failed to erase or program: never used again in this run */
};

struct store_block {
    uint64_t sequence;   /* of this use of the block; 0: never used */
    uint64_t last_seq;   /* highest sequence number of a group in it; 0: none */
    uint32_t live_bytes; /* of newest records, heads included */
    uint32_t erase_count;
    uint32_t nonce;        /* of this use of the block: part of its salt */
    uint32_t leave_commit; /* LEAVING: the commit that must be durable first */
    uint32_t used_bytes;   /* where its frames end */
    uint8_t state;
    bool is_worn; /* failed to program: read and cleaned, but not used again in this run */
};

/* What the owner lends for the life of the store; needs no values before. */
struct store_memory {
    struct store_slot *slots;
    uint32_t slot_counts[STORE_KINDS]; /* slots of each kind, one after the other in `slots` */
    struct store_block *blocks;        /* one for each block of the flash */
    uint32_t *order;                   /* one for each block: scratch of the mount */
    uint8_t *group_buffer;             /* frame_bytes */
    uint8_t *copy_buffer;              /* frame_bytes */
    uint32_t frame_bytes; /* largest frame: whole program units, <= half a block, >= 256 */
};

struct store_stats {
    uint32_t torn_frames;    /* dropped from the log's end at mount */
    uint32_t rotten_frames;  /* damaged elsewhere: acknowledged data is in danger */
    uint32_t lost_blocks;    /* that should be there and are not, or not whole */
    uint64_t lost_sequences; /* numbers missing in the log */
    uint32_t bad_blocks;     /* failed to erase or program in this run */
    uint64_t bytes_programmed;
    uint64_t bytes_appended;
    uint64_t erases;
    uint64_t groups;
    uint64_t records_copied;
};

struct store {
    struct hal_flash *flash;
    struct store_memory memory;
    uint32_t slot_base[STORE_KINDS];
    uint8_t id[STORE_ID_BYTES];
    uint32_t epoch;
    uint64_t head_seq;    /* last sequence number given */
    uint64_t durable_seq; /* highest one that is durable */
    uint64_t acked_seq;   /* highest one upstream has stored; all, when there is no upstream */
    uint64_t suspect_seq; /* rot took records up to here that cannot be told: see store_read() */
    uint8_t head_chain[STORE_CHAIN_BYTES]; /* over every group up to the last commit */
    uint8_t acked_chain[STORE_CHAIN_BYTES];
    uint64_t block_sequence; /* highest one ever given to a block */
    uint64_t oldest_known;   /* oldest block in use, as the newest header says */
    uint32_t newest;         /* block with the highest sequence in use; block_count: none */
    uint32_t block;          /* where frames go: newest, or block_count: none open */
    uint32_t offset;         /* next free byte in it */
    uint32_t free_count;
    uint32_t leaving_count;
    uint64_t live_bytes;
    uint32_t clean_slot; /* the cleaner has looked at the slots before this one */
    uint32_t open_bytes; /* of the group buffer, its frame's head included */
    uint32_t open_records;
    uint64_t committed_seq; /* programmed, perhaps not durable */
    uint32_t commit_count;  /* groups programmed in this run */
    bool is_syncing;
    bool
        has_failed; /* a sync failed, or no block takes data: no more writes, nothing is believed */
    struct store_stats stats;
};

struct store_key {
    uint8_t kind;
    uint32_t index;
};

/* A record as store_read_at() finds it. */
struct store_record {
    struct store_key key;
    uint32_t previous; /* where the record before it in its chain was; 0: it is the first */
    struct bytes body; /* in the caller's buffer */
};

/* Lends flash and memory to a store that is then formatted or mounted. */
void store_init(struct store *store, struct hal_flash *flash, const struct store_memory *memory);

/* Makes an empty store: erases every block that holds a store's header. Ends when it is
 * programmed; the caller syncs, then mounts. FOREIGN: an old header cannot be erased (a file). */
must_check enum status store_format(struct store *store, const uint8_t id[STORE_ID_BYTES],
                                    uint32_t epoch);

/* Finds every newest record. The caller has synced the flash before, so that whatever is read is
 * durable. FOREIGN: another geometry, a newer format, or more objects than this board holds;
 * NOT_FOUND: no store here. Writes nothing; may be called again. */
must_check enum status store_mount(struct store *store);

/* Bytes that one more record may have, head not counted, in the open group; 0: none. */
uint32_t store_room(const struct store *store);

/* Adds a record to the open group. `previous` is the newest record of an object of the same
 * chain, or NULL. The caller has asked store_room(). Returns its sequence number. */
uint64_t store_append(struct store *store, struct store_key key, const struct store_key *previous,
                      struct bytes body);

/* The object is gone: its records are garbage. Nothing is written: until its slot is used again, a
 * mount may find one of its records, and the owner must see from another one that it is gone. */
void store_release(struct store *store, struct store_key key);

/* Programs the open group and starts a sync. AGAIN: a sync is running (perhaps one that this call
 * has started for the cleaner; poll, then commit again), or nothing is open. FULL: no free block,
 * and nothing to clean before upstream acknowledges more; the group stays open. A block that does
 * not take the group is retired and another one used. IO: failed for good. */
must_check enum status store_commit(struct store *store);

/* Ends the running sync: OK (durable_seq has moved, unless it was the cleaner's), AGAIN (running,
 * or none). Else failed for good. */
must_check enum status store_poll(struct store *store);

/* Upstream has stored everything up to `seq`, a group's end, whose chain hash is `chain`. */
void store_acknowledge(struct store *store, uint64_t seq, const uint8_t chain[STORE_CHAIN_BYTES]);

/* When blocks run low and no sync is running: copies one frame of newest records out of the oldest
 * block, if all of its groups are acknowledged, and starts a sync. OK also when there was nothing
 * to do. IO: failed for good. */
must_check enum status store_clean(struct store *store);

/* True while a request that needs `bytes` of records fits beside what is live and reserved. */
bool store_admits(const struct store *store, uint64_t bytes_reserved, uint64_t bytes);

/* Reads the newest record of an object. NOT_FOUND, TOO_LARGE, IO. CORRUPT: it is damaged, or rot
 * took a record that may have been its newest (its sequence number is not above suspect_seq). What
 * was known last can then still be read with store_read_at(), knowingly. */
must_check enum status store_read(struct store *store, struct store_key key, uint8_t *buffer,
                                  uint32_t capacity, struct store_record *record);

/* Reads the record at a place. CORRUPT: damaged, or no longer there. After its block was cleaned
 * another record may stand there: the caller compares key and contents. */
must_check enum status store_read_at(struct store *store, uint32_t where, uint8_t *buffer,
                                     uint32_t capacity, struct store_record *record);

const struct store_slot *store_slot(const struct store *store, struct store_key key);

/* A place in the log of groups, for whoever sends them on. */
struct store_cursor {
    uint64_t block_sequence; /* 0: find it again */
    uint32_t offset;
    uint64_t seq; /* last one read */
};

struct store_group {
    uint64_t first_seq;
    uint32_t record_count;
    struct bytes records; /* heads and bodies, as store_group_next() walks them */
    uint8_t chain[STORE_CHAIN_BYTES];
};

/* Reads the first durable group behind the cursor. OK, AGAIN (there is none yet), TOO_LARGE (the
 * buffer is smaller than the group), CORRUPT or IO. Moves the cursor only on OK. */
must_check enum status store_next_group(struct store *store, struct store_cursor *cursor,
                                        uint8_t *buffer, uint32_t capacity,
                                        struct store_group *group);

/* Takes the next record's body off the front of `records`; false: none is left. */
bool store_group_next(struct bytes *records, struct bytes *body);

#endif
