/* store.h - the record store: an append-only log of commit groups over erase blocks, with one
 * entry in RAM for the newest record of each object.
 *
 * A record is bytes for a slot (kind, index) and gets the next sequence number; what the bytes
 * mean is the owner's business. Records appended since the last commit form the open group: it
 * becomes one frame, or several where a block ends, visible as a whole or not at all, and is
 * durable when store_poll() says so. A record also carries the place of the record before it in
 * its chain (a process's history).
 *
 * The bits on flash are described in docs/store.md. A mount writes nothing; the first commit after
 * it takes a new block. The cleaner always takes the oldest block: it copies the newest records
 * out of it, moves groups that upstream has not acknowledged as they are, and frees it. So the
 * blocks in use are one run of the log, a missing one is noticed, and wear is even.
 *
 * Memory is the owner's: see struct store_memory. Nothing here allocates, waits or reads a clock.
 */
#ifndef FIRMWARE_STORE_H
#define FIRMWARE_STORE_H

#include "hal/flash.h"

enum {
    STORE_FORMAT = 2, /* of new blocks; a block of format 1 is read where the owner lends that */
    STORE_KINDS = 8,
    STORE_INDEX_MAX = 0x7ffff, /* of a slot in its kind */
    STORE_ID_BYTES = 16,
    STORE_CHAIN_BYTES = 8,
    STORE_HEADER_BYTES = 128, /* of a block */
    STORE_FRAME_BYTES = 21,   /* head of a frame, at most */
    STORE_RECORD_BYTES = 21,  /* head of a record on flash, at most */
    STORE_OPEN_BYTES = 24,    /* head of a record in the open group */
    STORE_MOVES = 4,          /* frames of a group, at most, whose records know each other moved */
    STORE_SPARE_BLOCKS = 3,   /* kept free for the cleaner */
};

/* The newest record of one object. */
struct store_slot {
    uint64_t seq;   /* 0: the object has no record */
    uint32_t where; /* of the record's head: byte offset on flash; STORE_OPEN: in the open group */
    uint32_t bytes; /* that it costs: as a copy, with its head; of no meaning without a place */
};

enum store_block_state {
    STORE_BLOCK_FREE,
    STORE_BLOCK_USED,
    STORE_BLOCK_LEAVING, /* emptied; free once the copies are durable */
    STORE_BLOCK_BAD,     /* failed to erase or program: never used again; headers name it */
};

struct store_block {
    uint64_t last_seq;    /* highest sequence number of a group in it; 0: none */
    uint32_t seq_span;    /* from the lowest to that one */
    uint32_t group_bytes; /* of frames of groups, without padding */
    uint32_t sequence;    /* of this use of the block; 0: never used, or nothing counts it */
    uint32_t live_bytes;  /* of newest records, as copies */
    uint32_t erase_count;
    uint32_t salt;       /* of everything in it but its header */
    uint32_t used_bytes; /* where its frames end */
    uint8_t state;
    uint8_t format;
    bool is_worn : 1;     /* failed to program or erase: read and cleaned, but not used again */
    bool is_replaced : 1; /* its content stands in a newer block: it may be erased at any time */
    bool is_doubtful : 1; /* the mount saw remains of a header in it: a second one, torn too, could
                         make that whole. Used last, until what it could say is behind the log */
    bool is_held : 1; /* should the log's end read differently at the next mount, it is needed */
};

struct store_older;

/* What the owner lends for the life of the store; needs no values before. */
struct store_memory {
    struct store_slot *slots;
    bool is_zeroed; /* the slots are: then those that are never used cost no look at them */
    uint32_t slot_counts[STORE_KINDS]; /* slots of each kind, one after the other in `slots` */
    struct store_block *blocks;        /* one for each block of the flash */
    uint32_t *order;                   /* one for each block: scratch of the mount */
    uint8_t *group_buffer;             /* group_bytes: the open group */
    uint8_t *copy_buffer;              /* frame_bytes */
    uint32_t group_bytes;              /* largest group; no multiple of anything */
    uint32_t frame_bytes; /* largest frame: whole program units, <= half a block, >= 256 */
    const struct store_older *older; /* reads format 1 (&store_format_1), or NULL: FOREIGN */
};

struct store_stats {
    uint32_t torn_frames;    /* dropped from the log's end at mount */
    uint32_t rotten_frames;  /* damaged elsewhere: acknowledged data is in danger */
    uint32_t lost_blocks;    /* that should be there and are not, or not whole */
    uint64_t lost_sequences; /* numbers missing in the log */
    uint32_t bad_blocks;     /* that failed to erase or program, in this run or before */
    uint64_t bytes_programmed;
    uint64_t bytes_appended;
    uint64_t erases;
    uint64_t groups;
    uint64_t records_copied;
    uint64_t frames_moved; /* of groups that are not acknowledged */
};

/* How far the scrub is: see store_scrub(). */
struct store_scrub {
    uint32_t last;        /* newest block of the pass; 0: none is running */
    uint32_t block;       /* that is read, */
    uint32_t sequence;    /* its sequence number, 0: none yet, */
    uint32_t offset;      /* and where its next frame begins */
    uint32_t blocks;      /* that the pass has read, */
    uint32_t block_count; /* of so many when it began */
    uint32_t damaged;     /* places that it found damaged */
    uint32_t lost;        /* newest records in them that were not written again from another copy */
    uint32_t last_damaged, last_lost; /* of the pass that has ended last */
    uint64_t repaired;                /* newest records written again from another copy */
    uint64_t passes;                  /* that have ended since the mount */
};

/* A place in the log of groups, for whoever sends them on. */
struct store_cursor {
    uint32_t block_sequence; /* 0: find it again */
    uint32_t block;
    uint32_t offset;
    uint64_t seq; /* last one read */
};

/* Records of a frame that a merge has moved. */
struct store_move {
    uint32_t from;
    uint32_t to;
    uint32_t bytes;
};

/* How far the cleaner is in the block that it empties. */
struct store_cleaner {
    uint32_t victim;    /* block_count: none */
    uint32_t offset;    /* of the next frame; behind the last one: done with frames */
    uint32_t at;        /* of the next record in it, or 0; then of the next slot */
    uint64_t seq;       /* of that record */
    uint64_t acked_seq; /* when it began: what a merge leaves out, its header knows */
    bool is_merge;     /* after a mount: it rewrites what stands at the log's end into new blocks */
    uint32_t last;     /* of a merge: the newest block that it rewrites */
    uint32_t base;     /* of a merge: block that it follows in the log; block_count: none */
    uint32_t base_end; /* where the frames of that one then end */
    bool may_repeat;   /* first one after a mount: some groups may have been moved */
    bool has_damage;   /* it has passed something that cannot be told */
    uint32_t lap_end; /* newest block when something last changed: cleaning newer ones is useless */
    struct store_cursor moved; /* where such a group was found last */
};

struct store {
    struct hal_flash *flash;
    struct store_memory memory;
    uint32_t slot_base[STORE_KINDS];
    uint32_t slots_used[STORE_KINDS]; /* of each kind; those behind them are zero */
    uint8_t id[STORE_ID_BYTES];
    uint32_t epoch;         /* its life; in a mount: as the newest header says */
    uint64_t head_seq;      /* last sequence number given */
    uint64_t durable_seq;   /* highest one that is durable */
    uint64_t acked_seq;     /* highest one upstream has stored; all, when there is no upstream */
    uint64_t acked_written; /* as the newest header says: what the cleaner may leave out */
    uint64_t gap_seq;       /* the owner has given up what upstream lacks up to here */
    uint64_t suspect_seq;   /* rot took records up to here that cannot be told: see store_read() */
    uint8_t head_chain[STORE_CHAIN_BYTES]; /* over every group up to the last commit */
    uint8_t acked_chain[STORE_CHAIN_BYTES];
    uint32_t block_sequence; /* highest one ever given to a block */
    uint32_t counted_blocks; /* that the flash has by what a header says: fewer when it has grown */
    uint32_t mount_sequence; /* no header that the mount has not seen has a higher one */
    uint32_t oldest_known;   /* oldest block that a mount would still look for */
    uint32_t oldest_written; /* as the newest header says, perhaps not durable */
    uint32_t tail_block;     /* what the last commit or batch before the mount wrote begins here: */
    uint32_t tail_offset;    /* perhaps with cells between two states. block_count: nothing */
    uint32_t newest;         /* block with the highest sequence in use; block_count: none */
    uint32_t block;          /* where frames go: newest, or block_count: none open */
    uint32_t offset;         /* next free byte in it */
    uint32_t free_count;
    uint32_t leaving_count;
    uint64_t live_bytes;
    struct store_cleaner cleaner;
    struct store_move moves[STORE_MOVES]; /* by a merge, that the open group may not know of */
    uint32_t move_count;
    uint32_t open_bytes; /* of the group buffer */
    uint32_t open_records;
    uint32_t group_blocks;  /* that the open group needs, while it is being committed */
    uint32_t merge_blocks;  /* and a merge of it, behind it; 0: one will do */
    uint64_t placed_seq;    /* programmed, perhaps without the frame that commits */
    uint64_t committed_seq; /* programmed, perhaps not durable */
    bool is_syncing;
    bool is_dirty;   /* something was programmed since the last sync ended */
    bool is_full;    /* the last commit found no room */
    bool is_mounted; /* nothing was programmed since the mount */
    bool has_held;   /* what is held must not be erased */
    bool
        has_failed; /* a sync failed, or no block takes data: no more writes, nothing is believed */
    struct store_scrub scrub;
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
 * durable. FOREIGN: another geometry, a format that cannot be read, or more objects than this board
 * holds; NOT_FOUND: no store here. Writes nothing; may be called again. */
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
 * and too little garbage to clean before upstream acknowledges more; the group stays open. A block
 * that does not take the group is retired and another one used. IO: failed for good. */
must_check enum status store_commit(struct store *store);

/* Ends the running sync: OK (durable_seq has moved, unless it was the cleaner's), AGAIN (running,
 * or none). Else failed for good. */
must_check enum status store_poll(struct store *store);

/* Upstream has stored everything up to `seq`, a group's end, whose chain hash is `chain`. */
void store_acknowledge(struct store *store, uint64_t seq, const uint8_t chain[STORE_CHAIN_BYTES]);

/* Where the log that upstream still needs begins: behind this number. */
uint64_t store_log_seq(const struct store *store);

/* When blocks run low and no sync is running: takes at most one frame buffer of records out of the
 * oldest block, and starts a sync. After a mount it first rewrites the newest block, if that is
 * not full, so that starts in a row use no blocks up. OK also when there was nothing to do.
 * IO: failed for good. */
must_check enum status store_clean(struct store *store);

/* While nothing else is to be done: reads on in the blocks in use, for about `bytes`, so that rot
 * is found before somebody needs what it took. A newest record that is damaged and has another
 * copy, perhaps in a block that was freed, is written again, and a sync started: poll. What else is
 * damaged is counted: an object that has lost its newest record, or history. OK: a pass has ended,
 * the next call begins another one. AGAIN: not yet, or something else goes on. IO: failed for good.
 */
must_check enum status store_scrub(struct store *store, uint32_t bytes);

/* Bytes of records and frames that all good blocks hold, but for those that the cleaner needs. */
uint64_t store_capacity(const struct store *store);

/* Blocks that may still fail before what is live and reserved exceeds what requests may fill. */
uint32_t store_spare_blocks(const struct store *store, uint64_t bytes_reserved);

/* True while a request that needs `bytes` of records fits beside what is live and reserved. */
bool store_admits(const struct store *store, uint64_t bytes_reserved, uint64_t bytes);

/* Reads the newest record of an object. NOT_FOUND, TOO_LARGE, IO. CORRUPT: it is damaged, or rot
 * took a record that may have been its newest (its sequence number is not above suspect_seq). What
 * was known last can then still be read with store_read_at(), knowingly. IO also where the record
 * stands at the log's end and was whole when it was mounted: failed for good, mount again. */
must_check enum status store_read(struct store *store, struct store_key key, uint8_t *buffer,
                                  uint32_t capacity, struct store_record *record);

/* Reads the record at a place; the buffer holds its body. CORRUPT: damaged, or no longer there.
 * After its block was cleaned another record may stand there: the caller compares key and
 * contents. */
must_check enum status store_read_at(struct store *store, uint32_t where, uint8_t *buffer,
                                     uint32_t capacity, struct store_record *record);

const struct store_slot *store_slot(const struct store *store, struct store_key key);

/* The slots of this kind that were ever used stand before this one. */
uint32_t store_slots_used(const struct store *store, uint8_t kind);

struct store_group {
    uint64_t first_seq;
    uint32_t record_count;
    struct bytes records; /* as store_group_next() walks them */
    uint8_t chain[STORE_CHAIN_BYTES];
};

/* Reads the first durable group behind the cursor, wherever the cleaner has moved it. OK, AGAIN
 * (there is none yet), TOO_LARGE (the buffer is smaller than the group on flash), CORRUPT (it is
 * damaged, or no longer there) or IO. Moves the cursor only on OK. */
must_check enum status store_next_group(struct store *store, struct store_cursor *cursor,
                                        uint8_t *buffer, uint32_t capacity,
                                        struct store_group *group);

/* ---- giving up what upstream lacks: the gap rule of SPEC.md section 8 (store_gap.c) ----
 *
 * The owner passes groups from store_log_seq() on, carries what of them is still an object's newest
 * record, and records the gap itself; when that is durable, it gives them up. The gap is the
 * owner's to keep: a mount knows nothing of it, and the owner gives up again behind it. */

/* The end of a group, and what was passed on the way there. */
struct store_end {
    uint64_t seq;
    uint8_t chain[STORE_CHAIN_BYTES];
    uint32_t bytes;               /* of frames */
    uint32_t counts[STORE_KINDS]; /* records by kind, as far as they could be read */
};

/* True: history that upstream lacks takes the room which is to be left: more than 0.8 is kept. */
bool store_must_give_up(const struct store *store);

/* Moves `end` over the next durable group: OK. AGAIN: there is none. CORRUPT: over damage, to the
 * next end of a group that can be told. IO. */
must_check enum status store_pass_group(struct store *store, struct store_cursor *cursor,
                                        struct store_end *end);

/* Appends again every newest record that is numbered `first` to `end->seq`, as long as the open
 * group has `spare` bytes more; takes them off the counts. What cannot be read, or is suspect,
 * stays where it is. FULL: not all of them; commit and call again. IO. */
must_check enum status store_carry(struct store *store, uint64_t first, struct store_end *end,
                                   uint32_t spare);

/* Nothing up to `seq`, a group's end, is read for upstream any more. */
void store_give_up(struct store *store, uint64_t seq);

/* Appends an object's newest record again, the same bytes, as long as the open group has `spare`
 * bytes more. FULL. CORRUPT: it cannot be read, or is suspect, and stays where it is. */
must_check enum status store_repeat(struct store *store, struct store_key key, uint32_t spare);

/* A new life of the store, after a fork: block headers name the epoch from the next one on, and
 * nothing of the log is acknowledged in it. The owner keeps the epoch durably, and begins it again
 * where a mount finds an older one; it has given up what is before it. */
void store_begin_epoch(struct store *store, uint32_t epoch);

/* Takes the next record's body off the front of `records`; false: none is left. */
bool store_group_next(struct bytes *records, struct bytes *body);

#endif
