/* store_stats.h - what a mounted store holds, how full it is and how worn. */
#ifndef HOST_HUBCTL_STORE_STATS_H
#define HOST_HUBCTL_STORE_STATS_H

#include "firmware/store.h"
#include "host/shared/json_write.h"

/* One JSON object. */
void store_stats_write(const struct store *store, struct json_writer *writer);
/* A table, then the wear of the blocks as bars. */
void store_stats_print(const struct store *store);

#endif
