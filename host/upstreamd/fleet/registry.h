/* registry.h - the capabilities that the fleet takes requests for: the same files as a hub's. Read
 * at the start and on SIGHUP; one whose file is gone takes nothing new. */
#ifndef HOST_UPSTREAMD_REGISTRY_H
#define HOST_UPSTREAMD_REGISTRY_H

#include "host/shared/action.h"
#include "host/shared/config.h"

enum { REGISTRY_MAX = 128, REGISTRY_GRANT_MS = 900000 };

struct registry {
    struct capability capabilities[REGISTRY_MAX];
    struct action_list lists[REGISTRY_MAX]; /* of the same index */
    uint32_t count;
};

/* All files are judged before the first is taken: on failure everything is as it was. `directory`
 * empty: no capabilities. */
must_check bool registry_load(struct registry *registry, const char *directory,
                              struct config_error *error);

/* NULL: none of that name, whether retired or not. */
const struct capability *registry_find(const struct registry *registry, const char *name);

/* How long a grant of its items lasts; the longest of all. */
uint32_t registry_grant_ms(const struct capability *capability);
uint32_t registry_longest_grant_ms(const struct registry *registry);

#endif
