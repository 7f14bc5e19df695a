/* sync_message.h - what a hub and its upstream say to each other: the push, body of POST /sync, and
 * the reply to it. The schema is protocol/sync.cddl; this file is its C side.
 *
 * A push carries whole commit groups with the bytes of their records as they are on flash; so the
 * chain hash proves at both ends that they hold the same history. HTTP says how long a message is:
 * one that is cut off is MALFORMED.
 *
 * Texts and bytes in what was read are views into the message. */
#ifndef PROTOCOL_SYNC_MESSAGE_H
#define PROTOCOL_SYNC_MESSAGE_H

#include "protocol/record.h"

#define SYNC_SEQ_MAX ((uint64_t)INT64_MAX) /* databases know signed numbers */

enum {
    SYNC_VERSION = 1,
    SYNC_STORE_ID_BYTES = 16,
    SYNC_PUSH_HEAD_MAX = 256,      /* bytes of a push around its groups */
    SYNC_PUSH_BYTES_MAX = 1 << 20, /* of a whole push, unless a reply says less */
    SYNC_GROUPS_MAX = 65535,       /* in a push */
    SYNC_RECORDS_MAX = 65535,      /* in a group */
    SYNC_COMMANDS_MAX = 256,       /* in a reply */
    SYNC_GRANTS_MAX = 4096,        /* in a reply */
    SYNC_REPLY_BYTES_MAX = 65536,  /* of a whole reply, unless a push says less */
    SYNC_REPLY_TEXT_MAX = 200,
};

/* ---- chain ---- */

/* chain(n) = the first 8 bytes of SHA-256(chain(n-1), bodies of group n's records). Before the
 * first group of a store it is all zeros. */
struct sync_group;
void sync_chain_next(const uint8_t previous[RECORD_CHAIN_BYTES], const struct sync_group *group,
                     uint8_t next[RECORD_CHAIN_BYTES]);

/* ---- push: hub to upstream ---- */

struct sync_push {
    uint8_t store_id[SYNC_STORE_ID_BYTES];
    uint32_t epoch;                    /* of the store, from 1 */
    struct record_time now;            /* at sending; its boot is never 0 */
    uint64_t cursor;                   /* what the hub believes acknowledged; 0: nothing */
    uint8_t chain[RECORD_CHAIN_BYTES]; /* at the cursor */
    uint64_t first_seq;                /* of the groups below; without any: of the next to come */
    uint32_t capacity;                 /* items the hub could still take */
    uint32_t phones;                   /* it has, whatever their state */
    uint64_t command;                  /* highest upstream command applied */
    bool is_hello;                     /* first message of a connection */
    struct record_gap gap;             /* given up: stands in front of the groups */

    /* Of a later step: zeros where an older hub says nothing. */
    uint32_t wait_ms; /* upstream may hold its answer so long while it has none; 0: at once */
    uint32_t upstream_epoch; /* which `command` belongs to; 0: none seen yet */
    uint32_t idle;           /* phones that are ready and that nobody wants now */
    struct bytes inventory;  /* one whole item; empty: null */

    /* Of a step after that. */
    uint32_t reply_bytes_max; /* larger replies do not reach the hub; 0: SYNC_REPLY_BYTES_MAX. What
                                 makes a command larger than that is not for this hub */

    /* Filled in by sync_push_read() only. */
    uint32_t group_count;
    uint64_t last_seq; /* of the groups; first_seq - 1 when there are none */
    struct bytes groups;
};

/* Builds a push in one buffer, without a copy, group after group until it is full:
 *
 *     sync_writer_init(&writer, buffer, sizeof buffer);
 *     while (store_next_group(..., &cursor, ..., &group) == STATUS_OK) {
 *         sync_writer_group(&writer, group.chain, group.record_count);
 *         while (store_group_next(&group.records, &body)) sync_writer_record(&writer, body);
 *         if (!sync_writer_group_end(&writer)) { cursor = cursor before; break; }
 *     }
 *     message = sync_writer_end(&writer, &push);
 *
 * A buffer of SYNC_PUSH_HEAD_MAX more than the store's frame_bytes has room for any one group. */
struct sync_writer {
    struct cbor_writer groups; /* between the room for the head and that for the gap */
    size_t size;               /* of the groups that are complete */
    uint32_t group_count;
    uint32_t records_left; /* that the group begun still owes */
};

/* `capacity` is at least SYNC_PUSH_HEAD_MAX. */
void sync_writer_init(struct sync_writer *writer, uint8_t *buffer, size_t capacity);
/* `record_count` is at least 1; that many records follow. */
void sync_writer_group(struct sync_writer *writer, const uint8_t chain[RECORD_CHAIN_BYTES],
                       uint32_t record_count);
void sync_writer_record(struct sync_writer *writer, struct bytes body);
/* False: the group did not fit and is left out; the push is complete as it was before it. */
must_check bool sync_writer_group_end(struct sync_writer *writer);
/* Writes the head in front of the groups, and what belongs behind them: an inventory must fit into
 * the room that the groups have left. The message is a view into the buffer and does not begin at
 * its front. The writer is done. */
struct bytes sync_writer_end(struct sync_writer *writer, const struct sync_push *push);

/* Reads and checks a whole push, groups included; what is inside the records is not looked at.
 * MALFORMED, or FOREIGN: a version that is not ours. */
must_check enum status sync_push_read(struct bytes message, struct sync_push *push);

/* One group of a push that was read. */
struct sync_group {
    uint64_t first_seq;
    uint32_t record_count;
    uint8_t chain[RECORD_CHAIN_BYTES]; /* as the hub says */
    struct bytes records;              /* for sync_record_next() */
};

/* Walks the groups: a copy of the push serves as the place. False: none is left. */
bool sync_group_next(struct sync_push *push, struct sync_group *group);

/* Takes the next record off the front of `records`. False: none is left. */
bool sync_record_next(struct bytes *records, struct bytes *body);

/* ---- reply: upstream to hub ---- */

enum sync_result {
    SYNC_OK,      /* everything up to `cursor` is stored */
    SYNC_GAP,     /* the groups do not follow on `cursor`: go on behind it */
    SYNC_FORK,    /* hub and upstream hold different histories; nothing was stored */
    SYNC_REFUSED, /* not a push that upstream takes; `text` says why */
    SYNC_RESULT_COUNT
};

struct sync_reply {
    uint8_t result;                    /* enum sync_result */
    struct bytes text;                 /* for the hub's log; may be empty */
    uint64_t cursor;                   /* cumulative: highest sequence number stored for good */
    uint8_t chain[RECORD_CHAIN_BYTES]; /* there */
    uint64_t server_ms;                /* wall clock of upstream */
    uint32_t push_bytes_max;           /* larger pushes are refused */
    uint32_t retry_after_ms;           /* no push before that; 0: at once */
    uint32_t command_count;
    struct bytes commands; /* that many items, for sync_command_next() */

    /* Of a later step: zeros where an older upstream says nothing. */
    uint32_t upstream_epoch; /* which the commands' numbers belong to; 0: it has none */
    uint32_t grant_count;
    struct bytes grants;   /* that many items, for sync_grant_next() */
    uint32_t epoch;        /* with SYNC_FORK: of the store, that the hub is to take on; else 0 */
    struct bytes verdicts; /* one whole item, on a page of the inventory; empty: null */
};

/* Appends the reply; overflow is the writer's to tell. `commands`, `grants` and `verdicts` are
 * whole items, encoded before. */
void sync_reply_write(struct cbor_writer *writer, const struct sync_reply *reply);

/* MALFORMED, or FOREIGN: a version that is not ours. */
must_check enum status sync_reply_read(struct bytes message, struct sync_reply *reply);

/* ---- what stands in a reply: protocol/sync_command.h says what they mean ---- */

/* One command: a number that grows by 1 per hub and upstream epoch, a kind, and what belongs to
 * it. A hub refuses the kinds that it does not know. */
struct sync_command {
    uint64_t number; /* from 1 */
    uint32_t kind;   /* enum sync_command_kind, or one of later versions */
    uint32_t rest_count;
    struct bytes rest; /* that many further items, whole */
};

void sync_command_write(struct cbor_writer *writer, const struct sync_command *command);
/* Takes the next command off the front of `commands`. False: none is left. */
bool sync_command_next(struct bytes *commands, struct sync_command *command);

/* A grant that goes on. */
struct sync_grant {
    uint64_t process; /* numbers at upstream, from 1 */
    uint32_t item;
    uint32_t assignment;
    uint32_t ttl_ms; /* from the sending of the poll that this answers */
};

void sync_grant_write(struct cbor_writer *writer, const struct sync_grant *grant);
/* Takes the next one off the front of `grants`. False: none is left. */
bool sync_grant_next(struct bytes *grants, struct sync_grant *grant);

#endif
