/* store_copy.h - what the files of the cleaner share: batches of what is kept of a block that is
 * emptied (store_copy.c), and the merge after a mount (store_merge.c). Internal to the store. */
#ifndef FIRMWARE_STORE_COPY_H
#define FIRMWARE_STORE_COPY_H

#include "firmware/store_frame.h"

/* Frames that are made in the copy buffer for the write position, and programmed at once. */
struct store_batch {
    uint32_t size;
    uint32_t limit;
    uint32_t copies;          /* where a frame of copies was begun; STORE_BATCH_NONE: none is */
    struct store_frame frame; /* the last one that was ended, at `ended` */
    uint32_t ended;           /* STORE_BATCH_NONE: none was */
    uint32_t live_bytes;      /* of the emptied block, that are copied in it */
    bool is_all;              /* its one frame holds all that was left there, and says so */
};

#define STORE_BATCH_NONE UINT32_MAX

/* An empty batch for the write position. */
struct store_batch store_copy_batch(const struct store *store);
/* Begins a frame of copies that is to hold `bytes`, unless one is begun. False: it does not fit. */
must_check bool store_copy_begin_frame(struct store_batch *batch, uint32_t bytes);
/* Ends the frame of copies, if one is begun. `is_last`: a merge is believed from here on. */
void store_copy_end_frame(struct store *store, struct store_batch *batch, bool is_last);

/* The cleaner goes to the front of a block (block_count: none). */
void store_copy_start(struct store *store, uint32_t victim, bool is_merge);
/* Where the frames of the cleaner's block end. */
uint32_t store_copy_end(const struct store *store);
/* Of the blocks that a merge rewrites, goes on to the next one when one was walked. */
void store_copy_pass_victim(struct store *store);
/* Whether the cleaner is at what the mount read as the log's end. */
bool store_copy_is_tail(const struct store *store);
/* The place of an offset in the cleaner's block. */
uint32_t store_copy_place_of(const struct store *store, uint32_t offset);
must_check enum status store_copy_read_head(const struct store *store,
                                            const struct store_frame *frame, uint32_t at,
                                            struct store_record_head *head);
/* Whether a record at a place must be kept, and whether a frame is moved as it is. */
bool store_copy_is_live(const struct store *store, const struct store_record_head *head,
                        uint32_t where);
bool store_copy_is_kept_whole(const struct store *store, const struct store_frame *frame);

/* Whether damage may have taken the newest durable record of an object that the open group
 * replaces: it then leaves a mark, as that group may never become durable. */
bool store_copy_is_hiding(const struct store *store);

/* Fills a batch from where the cleaner is. */
must_check enum status store_copy_gather(struct store *store, struct store_batch *batch);
/* It was programmed there: objects whose newest record was copied have it in the batch now. */
void store_copy_place(struct store *store, uint32_t block, uint32_t offset, uint32_t size);

/* ---- the merge ---- */

/* How new blocks would be filled, batch after batch, by what is rewritten. */
struct store_measure {
    uint32_t blocks; /* 1, and those that are full before this one */
    uint32_t used;   /* of the block, by batches that are full */
    uint32_t size;   /* of the batch */
    bool has_copies; /* a frame of them is begun */
};

/* Adds a group's frame that is moved. */
void store_merge_add_frame(const struct store *store, struct store_measure *measure,
                           uint32_t bytes);
/* Blocks that it fills with its last frame. */
uint32_t store_merge_end(const struct store *store, struct store_measure *measure);

/* The block in use before that one; block_count: none. */
uint32_t store_merge_before(const struct store *store, uint32_t b);
/* Whether all that is kept of a block are copies that fit one new block. */
must_check bool store_merge_fits_block(struct store *store, uint32_t b);
/* False: there is nothing to rewrite, no room, or damage in the way. */
must_check bool store_merge_begin(struct store *store, bool is_low);

#endif
