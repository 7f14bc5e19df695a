/* store_frame.h - the bits of blocks, frames and records on flash, for the files of the store.
 *
 * Numbers are little-endian. Each CRC-32C is salted with the store id and the block's sequence
 * number, and with the offset inside the block: bytes of an earlier use, or of another place, never
 * look valid. Lengths and keys have a CRC of their own, so that damage elsewhere in a record or
 * frame can be told to belong to it. docs/store.md draws all of it. */
#ifndef FIRMWARE_STORE_FRAME_H
#define FIRMWARE_STORE_FRAME_H

#include "firmware/store.h"

enum store_frame_type {
    STORE_FRAME_GROUP, /* of a group, where it was committed */
    STORE_FRAME_MOVED, /* the same, where the cleaner has moved it */
    STORE_FRAME_COPY,  /* newest records, each with its sequence number */
};

#define STORE_OPEN 0x80000000u /* marks a place in the open group's buffer */
#define STORE_SEQ_MAX 0xffffffffffffu
enum {
    STORE_SEALED_BYTES = 124, /* of a header, in front of its CRC */
    STORE_HEAD_BYTES = 24,    /* enough to read any head of a frame or record */
    STORE_SHORT_BYTES = 7,    /* head of a frame: size and flags 3, sequence 2, half a CRC 2 */
    STORE_MOVE_BYTES = 6,     /* that a frame grows by when it is moved */
};

struct store_header {
    uint8_t id[STORE_ID_BYTES];
    uint8_t format;
    bool is_merge; /* it takes over all blocks between the previous one and itself */
    uint32_t epoch;
    uint32_t block_bytes;
    uint32_t block_count;
    uint32_t program_bytes;
    uint32_t block; /* its own number */
    uint32_t erase_count;
    uint32_t sequence;
    uint32_t oldest_sequence;         /* of the oldest block in use, this one included */
    uint32_t previous_sequence;       /* of the block before it in the log; 0: it is the first */
    uint32_t previous_block;          /* its number; the block itself: not told */
    uint32_t previous_end;            /* where that one's frames end */
    uint32_t nonce;                   /* CRC of what was in the block before: part of its salt */
    uint64_t next_seq;                /* of the first group record that may be in this block */
    uint8_t chain[STORE_CHAIN_BYTES]; /* before the group of that record */
    uint64_t acked_seq;
    uint8_t acked_chain[STORE_CHAIN_BYTES];
    uint64_t suspect_seq;
    uint32_t bad_block; /* one that is not to be used again, in turn; the block itself: none */
};

void store_put_header(uint8_t target[STORE_HEADER_BYTES], const struct store_header *header);
/* OK, MALFORMED (no header of ours), FOREIGN (a newer format). */
must_check enum status store_get_header(const uint8_t source[STORE_HEADER_BYTES],
                                        struct store_header *header);
must_check enum status store_read_header(const struct store *store, uint32_t block,
                                         struct store_header *header);
uint32_t store_header_salt(const struct store_header *header);

/* Bytes as they stand at a place of a block. */
struct store_view {
    const uint8_t *bytes;
    uint32_t size;
    uint32_t offset; /* in the block */
    uint32_t salt;
    const struct store_older *older; /* of a block of format 1; else NULL */
};

struct store_frame {
    uint32_t bytes;   /* all of it, without padding */
    uint32_t records; /* where they begin */
    uint32_t end;     /* where they end */
    uint64_t seq;     /* of the first record, of a GROUP the low 16 bits of it; of a COPY the low
                       * 16 bits of the sequence of the oldest block in use */
    uint8_t type;
    bool is_first;    /* programmed after a sync: what stands before it was durable */
    bool is_last;     /* GROUP, MOVED: commits its group; COPY: ends a merge */
    bool is_followed; /* the next frame was programmed with it, and begins right behind it */
    bool is_sound;    /* what follows is as it was written */
    uint8_t chain[STORE_CHAIN_BYTES]; /* where is_last of a group */
};

struct store_record_head {
    struct store_key key;
    uint32_t previous;
    uint64_t seq;        /* of a copy; else 0 */
    uint32_t lead_bytes; /* in front of the head (format 1 only) */
    uint32_t head_bytes;
    uint32_t body_bytes; /* 0, in a copy: the newest record was lost to rot */
    uint32_t crc;        /* of the head, to be continued over the body */
    uint32_t sum;        /* that it must then be */
};

/* How blocks of an older format are read; see store_format1.h. */
struct store_older {
    uint8_t format;
    uint32_t align_bytes;
    bool (*get_frame)(const struct store_view *view, struct store_frame *frame);
    bool (*get_record)(const struct store_view *view, bool is_copy, struct store_record_head *head);
};

/* CRC-32C of the first `size` bytes of a view, salted. */
uint32_t store_crc(const struct store_view *view, uint32_t size);
void store_put_le(uint8_t *target, uint64_t value, size_t size);
uint64_t store_get_le(const uint8_t *source, size_t size);

struct store_view store_view(const struct store *store, uint32_t block, uint32_t offset);

/* Of the head that this frame needs. */
uint32_t store_frame_head_bytes(const struct store_frame *frame);
/* Writes the head, of store_frame_head_bytes(), in front of records of `end - records`. */
void store_put_frame(uint8_t *target, const struct store_frame *frame, uint32_t salt,
                     uint32_t offset);
/* False: no valid frame begins here. The view may end behind the head, or hold the whole frame;
 * only then is_sound tells everything. */
bool store_get_frame(const struct store_view *view, struct store_frame *frame);

uint32_t store_record_head_bytes(const struct store_record_head *head);
/* What the record costs as a copy. */
uint32_t store_record_cost(const struct store_record_head *head);
/* Writes a record's head in front of its body, which is already there, with both CRCs. */
void store_put_record(uint8_t *record, const struct store_record_head *head, uint32_t salt,
                      uint32_t offset);
/* False: no valid record's head begins here. */
bool store_get_record(const struct store_view *view, bool is_copy, struct store_record_head *head);
bool store_is_body_intact(const struct store_record_head *head, const uint8_t *body);

/* Walks the records of a frame that was read whole. */
struct store_walk {
    struct store_view view; /* of the frame */
    const struct store_frame *frame;
    uint32_t at;    /* of the next record */
    bool is_broken; /* it cannot be told where the next record begins */
    /* the record that was found: */
    uint32_t where; /* of its head, in the frame */
    struct store_record_head head;
    const uint8_t *body;
    bool is_intact; /* false: its key can be trusted, its body cannot */
};

void store_walk_init(struct store_walk *walk, const struct store_view *view,
                     const struct store_frame *frame);
bool store_walk_next(struct store_walk *walk); /* false: there is none, or it is broken */
/* Everything in the frame is as it was written. */
bool store_is_frame_intact(const struct store_view *view, const struct store_frame *frame);

/* ---- the open group: heads of its own, so that it can be programmed anywhere, and again ---- */

struct store_open_head {
    uint64_t replaced_seq; /* of the object's newest record before this group; 0: none */
    struct store_key key;
    uint32_t previous; /* a place on flash, or STORE_OPEN and one in this group */
    uint32_t where;    /* on flash, once programmed; until then 0 */
    uint32_t bytes;    /* of the body */
};

struct store_open_head store_get_open(const struct store *store, uint32_t at);
/* Number of an object's last record outside the open group, also when the object was released with
 * that group; 0: none. What a mount would find if the power went now. */
uint64_t store_replaced_seq(const struct store *store, const struct store_slot *slot);

/* ---- reading pieces of a block ---- */

/* Reads the head of the frame at a place. MALFORMED: there is none before `end`. */
must_check enum status store_read_frame_head(const struct store *store, uint32_t block,
                                             uint32_t offset, uint32_t end,
                                             struct store_frame *frame);
/* Reads a whole frame. MALFORMED; TOO_LARGE: the view's bytes are fewer. */
struct store_place {
    uint32_t block;
    uint32_t offset;
    uint32_t end; /* of what may be read in the block */
};
must_check enum status store_read_frame(const struct store *store, const struct store_place *place,
                                        uint8_t *buffer, uint32_t capacity,
                                        struct store_frame *frame);
/* The whole number of a GROUP frame's first record, and what it is of other frames. */
uint64_t store_frame_seq(const struct store *store, uint32_t block,
                         const struct store_frame *frame);
/* Finds the frame of a group whose first record is `seq`, from the cursor's place on, then
 * anywhere but in `except`. NOT_FOUND; IO. */
must_check enum status store_find_part(const struct store *store, uint64_t seq, uint32_t except,
                                       struct store_cursor *cursor, struct store_frame *frame);

/* ---- shared by append, mount and cleaner ---- */

struct store_slot *store_slot_of(struct store *store, struct store_key key);
bool store_has_slot(const struct store *store, struct store_key key);
uint32_t store_slot_count(const struct store *store);
/* Of the slot `i`, counted over all kinds. */
struct store_key store_key_at(const struct store *store, uint32_t i);
/* As store_append(), with the place of the record before it in its chain. */
uint64_t store_append_behind(struct store *store, struct store_key key, uint32_t previous,
                             struct bytes body);
/* The object's newest record is now at `where`; live bytes move with it. */
void store_place_slot(struct store *store, struct store_slot *slot, uint32_t where, uint32_t bytes);
/* What of a block is kept, about: newest records, and the part of its groups that upstream lacks.
 */
uint32_t store_kept_bytes(const struct store *store, const struct store_block *block);
/* Records `seq` to `last` of a group stand in the block, in a frame of `bytes`. */
void store_note_group(struct store *store, uint32_t block, uint64_t seq, uint64_t last,
                      uint32_t bytes);

/* Where a record stands that stood at a place before the first write after the mount moved it:
 * histories lead from one record to the one before. */
uint32_t store_place_now(const struct store *store, uint32_t place);

uint32_t store_padded(const struct store *store, uint32_t bytes);
/* What frames of a block begin at multiples of; an older format has its own. */
uint32_t store_align_of(const struct store *store, uint32_t block);
/* Where the frame behind the one at `offset` begins. */
uint32_t store_next_offset(const struct store *store, uint32_t block, uint32_t offset,
                           const struct store_frame *frame);
uint32_t store_first_offset(const struct store *store);
uint32_t store_payload(const struct store *store); /* of a block */
/* Bytes that are left at the write position; 0: no block is open. */
uint32_t store_rest(const struct store *store);
/* True while free blocks are few enough to be worth cleaning for. */
bool store_is_low(const struct store *store);
/* Free blocks that may be erased now. */
uint32_t store_count_erasable(const struct store *store);
/* The oldest block in use but one (block_count: none). */
uint32_t store_oldest_sequence(const struct store *store, uint32_t except);
/* Opens the least worn free block; one that fails is retired and the next one tried. FULL: none. */
must_check enum status store_open_block(struct store *store);
/* Programs finished frames out of the copy buffer, padded, and moves the write position. WORN: the
 * block did not take it and is closed; make the frames for another place and try again. */
must_check enum status store_program_frames(struct store *store, uint32_t bytes);
must_check enum status store_start_sync(struct store *store);
void store_free_left_blocks(struct store *store);
/* Something is durable behind what the mount found: that may now read as it likes. */
void store_let_go(struct store *store);
/* How many records, from `at` of the open group, one frame of at most `limit` bytes takes: where
 * the next one begins. */
uint32_t store_cut_group(const struct store *store, uint32_t at, uint32_t limit);

#endif
