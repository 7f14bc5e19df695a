/* store_scan.h - what the files of the mount share: one pass over the log (store_scan.c), and which
 * blocks it goes over (store_choose.c). Internal to the store. */
#ifndef FIRMWARE_STORE_SCAN_H
#define FIRMWARE_STORE_SCAN_H

#include "firmware/store_frame.h"

/* One pass over the log: blocks in the order of their sequence numbers. */
struct store_scan {
    struct store *store;
    uint32_t first;      /* of `order` that is in use */
    uint32_t count;      /* of `order` */
    uint32_t newest_end; /* of what is read of the newest block */
    uint32_t oldest_at;  /* where that says last which one is the oldest; 0: its header does */
    uint32_t i;          /* of `order`: the block that is read */
    uint32_t offset;
    uint64_t next_seq; /* that the next frame of a group must begin with */
    bool has_lost;     /* records that cannot be told, since the last known sequence number */
    bool has_counted;  /* in the block that is read: a group, or the end of a merge */
    bool has_begun;    /* a group: before, frames may go on one whose begin was cleaned away */
    /* What was programmed since the last sync begins here: */
    bool has_tail;
    uint32_t tail_i;
    uint32_t tail_offset;
    /* Frames of a group whose last one was not read yet: */
    bool is_open;
    uint32_t open_i;
    uint32_t open_offset;
    uint64_t open_seq;
};

/* The block of the scan's place. */
uint32_t store_scan_block(const struct store_scan *scan);
/* Moves the scan on to where an intact frame begins. NOT_FOUND: to the block's end. */
must_check enum status store_scan_find(struct store_scan *scan, uint32_t end,
                                       struct store_frame *frame);
/* Behind that frame. */
void store_scan_pass(struct store_scan *scan, const struct store_frame *frame);
/* Now the sequence number is known again: what was lost before it lies below. */
void store_scan_know_seq(struct store_scan *scan, uint64_t seq);
/* Reads the log to its end. OK: *i is the block of `order` that it ends in. */
must_check enum status store_scan_read(struct store_scan *scan, uint32_t *i);
/* What the log ends with must read as whole more than once. */
must_check enum status store_scan_is_tail_steady(const struct store_scan *from, bool *is_steady);

/* ---- which blocks ---- */

/* Reads all headers; lists the blocks that have one in `order`, by their sequence numbers. */
must_check enum status store_choose_headers(struct store *store, uint32_t *count);
/* Leaves out the newest blocks that do not count. */
must_check enum status store_choose_whole(struct store_scan *scan);
/* Keeps in `order`, from `first` on, what is in use. */
must_check enum status store_choose_blocks(struct store_scan *scan);
/* Holds back what the log would need without its end, until that is written again. */
must_check enum status store_choose_held(const struct store_scan *from);

#endif
