/* sync_inventory.h - what a hub and its upstream say to each other after a fork (SPEC.md section
 * 8): the field `inventory` of a push, a page of what the hub has, and the field `verdicts` of its
 * reply, what upstream makes of each row. The schema is protocol/sync.cddl.
 *
 * Rows and verdicts are written one after the other into a buffer of their own; what was read are
 * views into the message. */
#ifndef PROTOCOL_SYNC_INVENTORY_H
#define PROTOCOL_SYNC_INVENTORY_H

#include "protocol/sync_message.h"

enum {
    SYNC_INVENTORY_ROWS_MAX = 32, /* of a page, and verdicts on one */
    SYNC_DIGEST_BYTES = 8,
    SYNC_ROW_BYTES = 48,    /* of a row, as CBOR: at most */
    SYNC_PAGE_BYTES = 24,   /* of a page around its rows: at most */
    SYNC_STATES_MAX = 1024, /* targets of one process, in a verdict */
};

/* ---- a page ---- */

/* One process as the hub has it. */
struct sync_inventory_row {
    uint64_t process; /* number, from 1 */
    uint32_t generation;
    uint64_t revision;                 /* of its newest record */
    uint8_t status;                    /* row of SPEC.md section 3 in that record */
    uint8_t digest[SYNC_DIGEST_BYTES]; /* SHA-256 of that record, cut; zeros: it is of the new life,
                                          or cannot be read */
    /* Of a later step. Of its request's record, cut as well: a hub whose flash was restored may
     * have given a number twice. Zeros: an older hub does not say, or it cannot be read. */
    uint8_t request[SYNC_DIGEST_BYTES];
};

/* Every process that the hub has from `from` on, in the order of their numbers: to the last row
 * when there are more, else to the end. */
struct sync_inventory {
    uint64_t from; /* from 1 */
    bool has_more;
    bool asks; /* no page: the hub asks for a new epoch, as upstream's history is not its own */
    uint32_t row_count;
    struct bytes rows; /* for sync_inventory_next() */
};

/* Appends the item; `rows` are whole rows, encoded before, or empty: then `row_count` rows follow.
 */
void sync_inventory_write(struct cbor_writer *writer, const struct sync_inventory *inventory);
void sync_inventory_row_write(struct cbor_writer *writer, const struct sync_inventory_row *row);

/* `item` is a push's inventory and not empty. MALFORMED, also when numbers do not grow. */
must_check enum status sync_inventory_read(struct bytes item, struct sync_inventory *inventory);
/* Takes the next row off the front of `rows`. False: none is left. */
bool sync_inventory_next(struct bytes *rows, struct sync_inventory_row *row);

/* The first bytes of SHA-256 of a record. */
void sync_inventory_digest(struct bytes record, uint8_t digest[SYNC_DIGEST_BYTES]);

/* ---- verdicts ---- */

enum sync_verdict_kind {
    SYNC_VERDICT_OK,      /* upstream has this process as it is */
    SYNC_VERDICT_MISSING, /* it is to be sent again */
    SYNC_VERDICT_ENDED,   /* upstream knows how it ended: so it ends at the hub */
    SYNC_VERDICT_COUNT
};

struct sync_verdict {
    uint64_t process;
    uint8_t kind;      /* enum sync_verdict_kind; one of a later version reads as MISSING */
    uint64_t revision; /* that upstream has; 0: none. The hub's goes on above it */
    /* Of ENDED. */
    uint32_t generation;
    uint32_t item_count; /* ever made, superseded ones included */
    uint8_t flags;       /* of the process's image: enum record_process_flag */
    struct bytes states; /* for each target a byte: enum record_item_state of its item */
};

struct sync_verdicts {
    uint64_t from; /* of the page that they answer */
    uint32_t count;
    struct bytes list; /* for sync_verdict_next(): of the page's first rows, in their order */
};

void sync_verdicts_write(struct cbor_writer *writer, const struct sync_verdicts *verdicts);
void sync_verdict_write(struct cbor_writer *writer, const struct sync_verdict *verdict);

/* `item` is a reply's verdicts and not empty. MALFORMED. */
must_check enum status sync_verdicts_read(struct bytes item, struct sync_verdicts *verdicts);
/* Takes the next one off the front of `list`. False: none is left. */
bool sync_verdict_next(struct bytes *list, struct sync_verdict *verdict);

#endif
