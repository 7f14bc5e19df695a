/* Room in the store, by kind of record (docs/store.md, "What is admitted"). */
#include "firmware/hub_internal.h"

enum { BESIDE = 7 }; /* tenths of the room */

uint64_t hub_reserved_bytes(const struct hub *hub) {
    return hub->reserved_bytes + (hub->has_upstream ? HUB_ANSWERS * HUB_ANSWER_BYTES : 0);
}

bool hub_fits_beside(const struct hub *hub, uint64_t bytes) {
    uint64_t wanted = hub->store.live_bytes + hub_reserved_bytes(hub) + bytes;
    return wanted <= store_capacity(&hub->store) / 10 * BESIDE;
}

uint32_t hub_spare_blocks(const struct hub *hub) {
    return store_spare_blocks(&hub->store, hub_reserved_bytes(hub));
}

bool hub_is_worn(const struct hub *hub) {
    uint32_t least = hub->board->block_count / 32;
    uint32_t bad = hub->store.stats.bad_blocks;
    return bad > 0 && hub_spare_blocks(hub) < (least < 2 ? 2 : least);
}
