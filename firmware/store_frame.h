/* store_frame.h - the bits of blocks, frames and records on flash, for the files of the store.
 *
 * Numbers are little-endian. Each CRC-32C is salted with the store id and the block's sequence
 * number, and with the offset inside the block: bytes of an earlier use, or of another place, never
 * look valid. */
#ifndef FIRMWARE_STORE_FRAME_H
#define FIRMWARE_STORE_FRAME_H

#include "firmware/store.h"

enum store_frame_type { STORE_FRAME_GROUP = 1, STORE_FRAME_COPY = 2 };

#define STORE_OPEN 0x80000000u     /* marks a place in the open group's buffer */
enum { STORE_COPY_SEQ_BYTES = 8 }; /* in front of a copied record's head: its sequence number */

struct store_header {
    uint8_t id[STORE_ID_BYTES];
    uint32_t epoch;
    uint32_t block_bytes;
    uint32_t block_count;
    uint32_t program_bytes;
    uint64_t block_sequence;
    uint32_t erase_count;
    uint64_t next_seq;                /* of the first group record that may be in this block */
    uint8_t chain[STORE_CHAIN_BYTES]; /* before that record */
    uint64_t acked_seq;
    uint8_t acked_chain[STORE_CHAIN_BYTES];
};

struct store_frame {
    uint32_t bytes; /* behind the frame's head */
    uint8_t type;
    uint16_t seq_low; /* of the first record of a group; of the copy's count elsewhere */
};

struct store_record_head {
    struct store_key key;
    uint32_t previous;
    uint32_t body_bytes;
    uint32_t crc;
};

void store_put_header(uint8_t target[STORE_HEADER_BYTES], const struct store_header *header);
/* OK, MALFORMED (no header of ours), FOREIGN (a newer format). */
must_check enum status store_get_header(const uint8_t source[STORE_HEADER_BYTES],
                                        struct store_header *header);

uint32_t store_salt(const struct store *store, uint64_t block_sequence);
void store_put_frame(uint8_t target[STORE_FRAME_BYTES], const struct store_frame *frame,
                     uint32_t salt, uint32_t offset);
/* False: no valid frame begins here. */
bool store_get_frame(const uint8_t source[STORE_FRAME_BYTES], struct store_frame *frame,
                     uint32_t salt, uint32_t offset);

/* The CRC is over the head before it and the body behind it. */
void store_put_record_head(uint8_t target[STORE_RECORD_BYTES],
                           const struct store_record_head *head);
void store_get_record_head(const uint8_t source[STORE_RECORD_BYTES],
                           struct store_record_head *head);
uint32_t store_record_crc(const uint8_t *record, uint32_t body_bytes, uint32_t salt,
                          uint32_t offset);

uint64_t store_get_u64(const uint8_t *source);
void store_put_u64(uint8_t *target, uint64_t value);

/* Shared by append, mount and cleaner. */
struct store_slot *store_slot_of(struct store *store, struct store_key key);
bool store_has_slot(const struct store *store, struct store_key key);
/* The object's newest record is now at `where`; live bytes move with it. */
void store_place(struct store *store, struct store_slot *slot, uint32_t where, uint32_t bytes);
must_check enum status store_open_block(struct store *store);
/* Programs a frame whose head and CRCs are done, padded to the program unit; moves the offset. */
must_check enum status store_program_frame(struct store *store, uint8_t *frame, uint32_t bytes);
/* Makes sure that a frame of `bytes` fits at the write position, in a new block if need be. */
must_check enum status store_make_room(struct store *store, uint32_t bytes);
uint32_t store_first_offset(const struct store *store);

#endif
