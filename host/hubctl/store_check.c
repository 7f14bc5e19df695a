#include "host/hubctl/store_check.h"

#include "firmware/store_frame.h"
#include "host/hubctl/record_text.h"
#include "protocol/sha256.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PROBLEM_BYTES = 200 };

/* ---- the log ---- */

/* In a block, the first group behind `seq` where it was committed; groups that the cleaner has
 * moved are found by their numbers. 0: none. */
static uint64_t first_in_place(const struct store *store, uint32_t b, uint64_t seq) {
    uint32_t end = store->memory.blocks[b].used_bytes;
    uint32_t offset = store_first_offset(store);
    while (offset < end) {
        struct store_frame frame;
        bool is_good = store_read_frame_head(store, b, offset, end, &frame) == STATUS_OK;
        bool begins = is_good && frame.type == STORE_FRAME_GROUP && frame.is_first;
        if (begins && store_frame_seq(store, b, &frame) > seq) {
            return store_frame_seq(store, b, &frame);
        }
        uint32_t align = store_align_of(store, b);
        offset =
            is_good ? store_next_offset(store, b, offset, &frame) : (offset / align + 1) * align;
    }
    return 0;
}

/* Moves the cursor in front of the next group that is there, behind the one that could not be read.
 * False: there is none. What upstream has not stored must be there, one group after the other. */
static bool seek(const struct store *store, struct store_cursor *cursor) {
    uint64_t log_seq = store_log_seq(store);
    uint64_t best = cursor->seq < log_seq ? log_seq + 1 : UINT64_MAX;
    for (uint32_t b = 0; b < store->flash->block_count; b++) {
        const struct store_block *block = &store->memory.blocks[b];
        if (block->state == STORE_BLOCK_USED && block->last_seq > cursor->seq) {
            uint64_t seq = first_in_place(store, b, cursor->seq + 1);
            best = seq != 0 && seq < best ? seq : best;
        }
    }
    if (best > store->durable_seq) {
        return false;
    }
    *cursor = (struct store_cursor){.seq = best - 1};
    return true;
}

static void tell_group(const struct store_walker *walker, const struct store_group *group) {
    struct bytes records = group->records;
    struct bytes body;
    uint64_t seq = group->first_seq;
    while (walker->record != NULL && store_group_next(&records, &body)) {
        walker->record(walker->owner, seq, body);
        seq += 1;
    }
}

void store_check_walk(struct store_file *file, const struct store_walker *walker) {
    struct store *store = &file->store;
    struct store_cursor cursor = {0};
    while (cursor.seq < store->durable_seq) {
        struct store_group group;
        struct store_cursor at = cursor;
        enum status status =
            store_next_group(store, &at, store_file_frame_buffer(), STORE_FILE_FRAME_BYTES, &group);
        if (status == STATUS_OK) {
            if (walker->group != NULL) {
                walker->group(walker->owner, &group);
            }
            tell_group(walker, &group);
            cursor = at;
            continue;
        }
        /* Groups that upstream has, or will not get, go with the cleaner; all others must be there.
         */
        if ((status != STATUS_CORRUPT || cursor.seq >= store_log_seq(store)) &&
            walker->lost != NULL) {
            walker->lost(walker->owner, cursor.seq + 1, status);
        }
        cursor.seq += 1; /* behind the first record of what cannot be read: never back to it */
        if (!seek(store, &cursor)) {
            return;
        }
    }
}

/* ---- the check ---- */

struct judge {
    struct store_file *file;
    struct store_walked *walked;
    store_check_tell *tell;
    void *owner;
    uint64_t next_seq; /* that the next group should begin with; 0: not known */
    uint8_t chain[STORE_CHAIN_BYTES];
};

__attribute__((format(printf, 2, 3))) static void problem(struct judge *judge, const char *format,
                                                          ...) {
    char text[PROBLEM_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    judge->walked->problems += 1;
    judge->tell(judge->owner, text);
}

static const char *name_of(enum status status) {
    static const char *const texts[] = {
#define STATUS(name, class, text) text,
#include "hal/status.def"
#undef STATUS
    };
    return texts[status];
}

/* Every group carries the hash over the one before it and its own records. */
static void judge_group(void *owner, const struct store_group *group) {
    struct judge *judge = owner;
    struct bytes records = group->records;
    struct bytes body;
    struct sha256 hash;
    if (judge->next_seq == group->first_seq) {
        uint8_t digest[SHA256_BYTES];
        sha256_init(&hash);
        sha256_add(&hash, (struct bytes){judge->chain, STORE_CHAIN_BYTES});
        while (store_group_next(&records, &body)) {
            sha256_add(&hash, body);
        }
        sha256_end(&hash, digest);
        if (memcmp(digest, group->chain, STORE_CHAIN_BYTES) != 0) {
            problem(judge, "the chain hash of group %" PRIu64 " is wrong", group->first_seq);
        }
    } else if (judge->next_seq > store_log_seq(&judge->file->store)) {
        problem(judge, "records %" PRIu64 " to %" PRIu64 " are missing", judge->next_seq,
                group->first_seq - 1);
    }
    memcpy(judge->chain, group->chain, STORE_CHAIN_BYTES);
    judge->next_seq = group->first_seq + group->record_count;
    judge->walked->groups += 1;
    judge->walked->records += group->record_count;
}

static void judge_lost(void *owner, uint64_t seq, enum status status) {
    struct judge *judge = owner;
    judge->next_seq = 0;
    problem(judge, "the group of record %" PRIu64 " cannot be read: %s", seq, name_of(status));
}

static void judge_object(struct judge *judge, struct store_key key) {
    struct store *store = &judge->file->store;
    const struct store_slot *slot = store_slot(store, key);
    struct store_record record;
    uint32_t block_bytes = store->flash->block_bytes;
    if (slot->seq == 0) {
        return;
    }
    judge->walked->objects += 1;
    enum status status =
        store_read(store, key, store_file_record_buffer(), STORE_FILE_RECORD_BYTES, &record);
    const char *wrong = status != STATUS_OK ? name_of(status) : NULL;
    if (status == STATUS_OK && !record_text_is_whole(record.body, key.kind)) {
        wrong = "it is no record that this program can read";
    }
    if (wrong != NULL) {
        problem(judge, "block %u, offset %u: %s %u, record %" PRIu64 ": %s",
                (unsigned)(slot->where / block_bytes), (unsigned)(slot->where % block_bytes),
                record_text_kind(key.kind), (unsigned)key.index, slot->seq, wrong);
    }
}

static void judge_mount(struct judge *judge) {
    const struct store_stats *stats = &judge->file->store.stats;
    if (stats->rotten_frames > 0) {
        problem(judge, "%u damaged frames with valid ones behind them",
                (unsigned)stats->rotten_frames);
    }
    if (stats->lost_blocks > 0) {
        problem(judge, "%u blocks are missing, or not whole", (unsigned)stats->lost_blocks);
    }
    if (stats->lost_sequences > 0) {
        problem(judge, "%" PRIu64 " records are missing in the log", stats->lost_sequences);
    }
    if (judge->file->store.suspect_seq > 0) {
        problem(judge,
                "objects whose newest record is at or before %" PRIu64 " may have had a newer one",
                judge->file->store.suspect_seq);
    }
}

void store_check(struct store_file *file, struct store_walked *walked, store_check_tell *tell,
                 void *owner) {
    struct judge judge = {.file = file, .walked = walked, .tell = tell, .owner = owner};
    const struct store_walker walker = {.group = judge_group, .lost = judge_lost, .owner = &judge};
    *walked = (struct store_walked){0};
    judge_mount(&judge);
    for (unsigned kind = 0; kind < STORE_KINDS; kind++) {
        for (uint32_t i = 0; i < file->store.memory.slot_counts[kind]; i++) {
            judge_object(&judge, (struct store_key){(uint8_t)kind, i});
        }
    }
    store_check_walk(file, &walker);
}
