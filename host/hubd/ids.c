#include "host/hubd/ids.h"

#include <string.h>

static const char upstream[] = "up";

struct process_id ids_process(const struct hub *hub, uint64_t number) {
    uint32_t process = hub_process_find(hub, number);
    const struct bytes own = {(const uint8_t *)hub->hub_id, strlen(hub->hub_id)};
    if (process == HUB_NONE || !hub_is_part(hub, process)) {
        return process_id_make(own, hub_first_epoch(hub), number);
    }
    const struct record_origin *origin = &hub->processes[process].origin;
    struct process_id id = process_id_make(bytes_of("up"), origin->upstream_epoch, origin->process);
    id.item = origin->item;
    return id;
}

struct process_id ids_item(const struct hub *hub, uint32_t item) {
    struct process_id id = ids_process(hub, hub->processes[hub->items[item].process].number);
    id.item = ids_item_number(hub, item);
    return id;
}

uint32_t ids_item_number(const struct hub *hub, uint32_t item) {
    uint32_t process = hub->items[item].process;
    return hub_is_part(hub, process) ? hub->processes[process].origin.item
                                     : hub->items[item].number;
}

uint64_t ids_own_number(const struct hub *hub, const struct process_id *id) {
    bool is_ours = strcmp(id->hub_id, hub->hub_id) == 0;
    return is_ours ? process_id_number(id, hub_first_epoch(hub)) : 0;
}

/* Numbers of upstream's first epoch may lack it. */
static uint32_t find_part(const struct hub *hub, const struct process_id *id) {
    if (strcmp(id->hub_id, upstream) != 0) {
        return HUB_NONE;
    }
    uint32_t process = hub_part_find(hub, process_id_number(id, 0), id->item);
    process = process == HUB_NONE ? hub_part_find(hub, id->number, id->item) : process;
    bool is_it = process != HUB_NONE && hub->processes[process].origin.upstream_epoch == id->epoch;
    return is_it ? process : HUB_NONE;
}

/* A part's local number names nothing: its name is upstream's. */
static uint32_t find_own(const struct hub *hub, uint64_t number) {
    uint32_t process = hub_process_find(hub, number);
    return process == HUB_NONE || hub_is_part(hub, process) ? HUB_NONE : process;
}

uint32_t ids_find_process(const struct hub *hub, struct bytes text) {
    struct process_id id;
    if (process_id_parse(text, &id) == STATUS_OK) {
        return find_own(hub, ids_own_number(hub, &id));
    }
    return process_id_parse_item(text, &id) == STATUS_OK ? find_part(hub, &id) : HUB_NONE;
}

uint32_t ids_find_item(const struct hub *hub, struct bytes text) {
    struct process_id id;
    if (process_id_parse_item(text, &id) != STATUS_OK) {
        return HUB_NONE;
    }
    if (ids_own_number(hub, &id) != 0) {
        uint32_t process = find_own(hub, ids_own_number(hub, &id));
        return process == HUB_NONE ? HUB_NONE : hub_item_find(hub, process, id.item);
    }
    uint32_t part = find_part(hub, &id);
    return part == HUB_NONE ? HUB_NONE : hub->processes[part].first_item;
}
