/* store_stats.h - what a mounted store holds, how full it is and how worn. */
#ifndef HOST_HUBCTL_STORE_STATS_H
#define HOST_HUBCTL_STORE_STATS_H

#include "host/hubctl/store_file.h"
#include "host/shared/json_write.h"

/* One JSON object. */
void store_stats_write(const struct store_file *file, struct json_writer *writer);
/* A table, then the wear of the blocks as bars. */
void store_stats_print(const struct store_file *file);

#endif
