/* board.h - what one kind of hub host can hold: every capacity of the core and of its store.
 *
 * A board gives every value; there are no defaults to forget. Relations between them are static
 * assertions in boards/board_make.h, so a board that cannot work does not compile. The core takes
 * a board at run time, so one program serves several and a simulator runs different ones at once.*/
#ifndef BOARDS_BOARD_H
#define BOARDS_BOARD_H

#include "hal/base.h"

struct board {
    const char *name;
    uint32_t processes;   /* retained at once, finished ones included */
    uint32_t items;       /* of all retained processes */
    uint32_t attempts;    /* whose records are kept */
    uint32_t phones;      /* ever seen and not forgotten */
    uint32_t adb_clients; /* connections of adb tools, over all leases */
    uint32_t streams;     /* of server-sent events, open at once */
    uint32_t keys;        /* idempotency keys that outlive their process */
    uint32_t capabilities;
    uint32_t label_sets;        /* different sets of labels that waiting requests ask for */
    uint32_t items_per_request; /* fan-out of one group request */
    uint32_t payload_bytes;     /* of one record: raw JSON of a request, output of an attempt */
    uint32_t frame_bytes;       /* largest frame of the store: one commit group */
    uint32_t block_bytes;       /* of the store's flash, when it is a file */
    uint32_t block_count;
    uint32_t program_bytes;
};

/* The boards of this program, NULL-terminated. */
extern const struct board *const board_list[];

/* NULL: no such board. */
const struct board *board_named(struct bytes name);

#endif
