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
    SYNC_PUSH_HEAD_MAX = 160,      /* bytes of a push around its groups */
    SYNC_PUSH_BYTES_MAX = 1 << 20, /* of a whole push, unless a reply says less */
    SYNC_GROUPS_MAX = 65535,       /* in a push */
    SYNC_RECORDS_MAX = 65535,      /* in a group */
    SYNC_COMMANDS_MAX = 256,       /* in a reply */
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
    struct cbor_writer groups; /* behind the room for the head */
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
/* Writes the head in front of the groups. The message is a view into the buffer and does not begin
 * at its front. The writer is done. */
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
    uint32_t command_count;            /* always 0 in this version's upstream */
    struct bytes commands;             /* that many items, for sync_command_next() */
};

/* Appends the reply; overflow is the writer's to tell. `commands` are whole commands, encoded
 * before. */
void sync_reply_write(struct cbor_writer *writer, const struct sync_reply *reply);

/* MALFORMED, or FOREIGN: a version that is not ours. */
must_check enum status sync_reply_read(struct bytes message, struct sync_reply *reply);

/* One command: a number that grows per hub and upstream epoch, a kind, and what belongs to it. No
 * kinds are defined yet; a hub refuses the ones that it does not know. */
struct sync_command {
    uint64_t number; /* from 1 */
    uint32_t kind;
    struct bytes rest; /* further items of the command, whole */
};

void sync_command_write(struct cbor_writer *writer, const struct sync_command *command,
                        uint32_t rest_count);
/* Takes the next command off the front of `commands`. False: none is left. */
bool sync_command_next(struct bytes *commands, struct sync_command *command);

#endif
