/* store_watch.h - says in the log, once each, what an operator must know of the store. */
#ifndef HOST_HUBD_STORE_WATCH_H
#define HOST_HUBD_STORE_WATCH_H

#include "firmware/hub.h"

struct store_watch {
    uint32_t bad_blocks; /* that were told of */
    uint64_t gap_last;   /* end of the gap that was told of */
    uint64_t repaired;   /* records, and */
    uint32_t damaged;    /* places that the scrub has found, as they were told */
    bool is_worn;
};

/* Once in every turn of the loop. */
void store_watch_step(struct store_watch *watch, const struct hub *hub);

#endif
