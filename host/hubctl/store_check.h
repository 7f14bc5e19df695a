/* store_check.h - looks at every record and every group of a mounted store. */
#ifndef HOST_HUBCTL_STORE_CHECK_H
#define HOST_HUBCTL_STORE_CHECK_H

#include "host/hubctl/store_file.h"

struct store_walked {
    uint64_t objects;
    uint64_t groups;
    uint64_t records; /* in those groups */
    uint64_t problems;
};

/* Tells each problem (a line without its newline) while it goes. */
typedef void store_check_tell(void *owner, const char *problem);
void store_check(struct store_file *file, struct store_walked *walked, store_check_tell *tell,
                 void *owner);

/* Walks the log; `record` gets each record of the groups in order, `lost` where a part of the log
 * cannot be read. */
struct store_walker {
    void (*record)(void *owner, uint64_t seq, struct bytes record);
    void (*group)(void *owner, const struct store_group *group);
    void (*lost)(void *owner, uint64_t seq, enum status status);
    void *owner;
};
void store_check_walk(struct store_file *file, const struct store_walker *walker);

#endif
