/* ids.h - the public names of what this hub has: its own processes, and its parts of upstream's,
 * which are called by upstream's item `up-<epoch>-<process>.<item>` (SPEC.md section 4). */
#ifndef HOST_HUBD_IDS_H
#define HOST_HUBD_IDS_H

#include "firmware/hub.h"
#include "host/shared/process_id.h"

/* By the process's local number; one that is gone counts as the hub's own. A part's names its item,
 * too. */
struct process_id ids_process(const struct hub *hub, uint64_t number);
struct process_id ids_item(const struct hub *hub, uint32_t item);
/* The number that readers know the item by in its process. */
uint32_t ids_item_number(const struct hub *hub, uint32_t item);

/* The local number that a name of this hub holds; 0: it is none of this hub. */
uint64_t ids_own_number(const struct hub *hub, const struct process_id *id);

/* HUB_NONE: there is none of this name here. */
uint32_t ids_find_process(const struct hub *hub, struct bytes text);
uint32_t ids_find_item(const struct hub *hub, struct bytes text);

#endif
