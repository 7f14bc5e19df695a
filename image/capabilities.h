/* capabilities.h - what this image can do with a phone: a host has files for it, a board a table.
 */
#ifndef IMAGE_CAPABILITIES_H
#define IMAGE_CAPABILITIES_H

#include "firmware/hub.h"

struct image_capability {
    const char *name;
    const char *services[4]; /* of adbd, one after the other; NULL: no more */
};

extern const struct image_capability capabilities[];
extern const uint32_t capabilities_count;

/* Tells the core. Their order is that of the table, so an index means the same in both. */
void capabilities_set(struct hub *hub);

#endif
