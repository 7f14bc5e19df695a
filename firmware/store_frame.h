/* store_frame.h - the bits of blocks, frames and records on flash, for the files of the store.
 *
 * Numbers are little-endian. Each CRC-32C is salted with the store id and the block's sequence
 * number, and with the offset inside the block: bytes of an earlier use, or of another place, never
 * look valid. Lengths and keys have a CRC of their own, so that damage elsewhere in a record or
 * frame can be told to belong to it. docs/store.md draws all of it. */
#ifndef FIRMWARE_STORE_FRAME_H
#define FIRMWARE_STORE_FRAME_H

#include "firmware/store.h"

enum store_frame_type { STORE_FRAME_GROUP = 1, STORE_FRAME_COPY = 2 };

#define STORE_OPEN 0x80000000u /* marks a place in the open group's buffer */
#define STORE_SEQ_MAX 0xffffffffffffu
enum { STORE_COPY_BYTES = 8 };     /* in front of a copied record: its sequence number, a CRC */
enum { STORE_SEALED_BYTES = 124 }; /* of a header, in front of its CRC */
/* Free blocks that groups leave alone: two to copy a block into, one that a power loss in the
 * middle of that may cost, one that stays (see store_open_block). */
enum { STORE_CLEANER_BLOCKS = 4 };

struct store_header {
    uint8_t id[STORE_ID_BYTES];
    uint32_t epoch;
    uint32_t block_bytes;
    uint32_t block_count;
    uint32_t program_bytes;
    uint32_t block; /* its own number */
    uint32_t erase_count;
    uint64_t sequence;
    uint64_t oldest_sequence;         /* of the oldest block in use, this one included */
    uint64_t previous_sequence;       /* of the block before it in the log; 0: it is the first */
    uint32_t previous_end;            /* where that one's frames end */
    uint32_t nonce;                   /* CRC of what was in the block before: part of its salt */
    uint64_t next_seq;                /* of the first group record that may be in this block */
    uint8_t chain[STORE_CHAIN_BYTES]; /* before that record */
    uint64_t acked_seq;
    uint8_t acked_chain[STORE_CHAIN_BYTES];
    uint64_t suspect_seq;
};

struct store_frame {
    uint32_t bytes; /* behind the frame's head */
    uint8_t type;
    uint16_t seq_low; /* of the first record of a group; 0 in a copy */
};

struct store_record_head {
    struct store_key key;
    uint32_t previous;
    uint32_t body_bytes; /* 0, in a copy: the newest record was lost to rot */
};

void store_put_header(uint8_t target[STORE_HEADER_BYTES], const struct store_header *header);
/* OK, MALFORMED (no header of ours), FOREIGN (a newer format). */
must_check enum status store_get_header(const uint8_t source[STORE_HEADER_BYTES],
                                        struct store_header *header);
must_check enum status store_read_header(const struct store *store, uint32_t block,
                                         struct store_header *header);

/* Of everything in a block but its header. */
uint32_t store_salt(const struct store *store, uint32_t block);
void store_put_frame(uint8_t target[STORE_FRAME_BYTES], const struct store_frame *frame,
                     uint32_t salt, uint32_t offset);
/* False: no valid frame begins here. */
bool store_get_frame(const uint8_t source[STORE_FRAME_BYTES], struct store_frame *frame,
                     uint32_t salt, uint32_t offset);

/* Writes a record's head in front of its body, which is already there, with both CRCs. */
void store_put_record(uint8_t *record, const struct store_record_head *head, uint32_t salt,
                      uint32_t offset);
/* Reads a head without judging it. */
void store_get_record_head(const uint8_t *record, struct store_record_head *head);
bool store_is_head_valid(const uint8_t *record, uint32_t salt, uint32_t offset);
bool store_is_record_valid(const uint8_t *record, uint32_t body_bytes, uint32_t salt,
                           uint32_t offset);

void store_put_copy_seq(uint8_t target[STORE_COPY_BYTES], uint64_t seq, uint32_t salt,
                        uint32_t offset);
/* 0: damaged. */
uint64_t store_get_copy_seq(const uint8_t source[STORE_COPY_BYTES], uint32_t salt, uint32_t offset);

void store_put_tail(uint8_t target[STORE_TAIL_BYTES], const uint8_t chain[STORE_CHAIN_BYTES],
                    uint32_t salt, uint32_t offset);
bool store_is_tail_valid(const uint8_t source[STORE_TAIL_BYTES], uint32_t salt, uint32_t offset);

/* Walks the records of a frame that was read whole. */
struct store_walk {
    const uint8_t *frame;
    uint32_t end;    /* of the records, counted from the frame's head */
    uint32_t offset; /* of the frame's head in its block */
    uint32_t salt;
    uint32_t at; /* of the next record */
    bool is_copy;
    bool is_broken; /* it cannot be told where the next record begins */
    /* the record that was found: */
    uint32_t head_at;
    uint64_t copy_seq;
    struct store_record_head head;
    bool is_intact; /* false: its key can be trusted, its body cannot */
};

void store_walk_init(struct store_walk *walk, const uint8_t *frame, const struct store_frame *head,
                     uint32_t salt, uint32_t offset);
bool store_walk_next(struct store_walk *walk); /* false: there is none, or it is broken */
/* Everything in the frame is as it was written. */
bool store_is_frame_intact(const uint8_t *frame, const struct store_frame *head, uint32_t salt,
                           uint32_t offset);

/* ---- shared by append, mount and cleaner ---- */

struct store_slot *store_slot_of(struct store *store, struct store_key key);
bool store_has_slot(const struct store *store, struct store_key key);
uint32_t store_slot_count(const struct store *store);
/* The object's newest record is now at `where`; live bytes move with it. */
void store_place(struct store *store, struct store_slot *slot, uint32_t where, uint32_t bytes);

uint32_t store_padded(const struct store *store, uint32_t bytes);
uint32_t store_first_offset(const struct store *store);
/* Bytes that are left at the write position; 0: no block is open. */
uint32_t store_rest(const struct store *store);
/* Opens the least worn free block; one that fails is retired and the next one tried. When it is the
 * open group that goes into it, what that group replaces is no longer counted as in use: a mount
 * ignores a header without a frame. FULL: none is free, or the last one must stay. */
must_check enum status store_open_block(struct store *store, bool for_group);
/* Programs a finished frame, padded, and moves the write position. WORN: the block did not take it
 * and is closed; finish the frame for another place and try again. */
must_check enum status store_program_frame(struct store *store, uint8_t *frame, uint32_t bytes);
must_check enum status store_start_sync(struct store *store);
void store_free_left_blocks(struct store *store);

#endif
