/* The gap rule of SPEC.md section 8. One step is one commit group: what goes on of the prefix that
 * is given up is appended again, then the hub's own record with the gap. When that is durable, the
 * store lets the prefix go, and not before. */
#include "firmware/hub_internal.h"

#include <string.h>

enum { GROUPS_MAX = 256 }; /* passed in a step */

/* Passes groups until as much as half an open group holds was passed, or one that cannot be read
 * when it is for that. False: none could be passed. */
static bool pass(struct hub *hub, struct store_end *end, bool is_for_damage) {
    struct store_cursor cursor = {0};
    uint64_t first = end->seq;
    uint32_t bytes = hub->board->frame_bytes / 2;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; i < GROUPS_MAX && end->bytes < bytes && status == STATUS_OK; i++) {
        status = store_pass_group(&hub->store, &cursor, end);
        status = status == STATUS_OK && is_for_damage ? STATUS_AGAIN : status;
    }
    return end->seq > first;
}

/* The gap with what was passed behind it. One that upstream has is kept, and widened, until a block
 * says on flash that upstream has it. */
static void widen(struct hub *hub, const struct store_end *end) {
    struct record_gap *gap = &hub->image.gap;
    if (gap->last <= hub->store.acked_written) {
        *gap = (struct record_gap){.first = hub->store.acked_seq + 1};
    }
    gap->last = end->seq;
    memcpy(gap->chain, end->chain, RECORD_CHAIN_BYTES);
    for (size_t kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        gap->dropped[kind] += end->counts[kind];
        hub->counters.given_up[kind] += end->counts[kind];
    }
}

static void step(struct hub *hub, bool is_for_damage) {
    struct store *store = &hub->store;
    struct store_end end = {.seq = store_log_seq(store)};
    uint64_t first = end.seq + 1;
    if (!hub_has_room(hub, HUB_GAP_BYTES) || !pass(hub, &end, is_for_damage) ||
        store_carry(store, first, &end, HUB_GAP_BYTES) != STATUS_OK) {
        return; /* what was carried goes with this group, the rest with the next one */
    }
    widen(hub, &end);
    hub->counters.gaps += 1;
    hub_log_self(hub, RECORD_GAVE_UP_EVENT);
    hub->gap_seq = hub_head_seq(hub);
}

void hub_gap_step(struct hub *hub) {
    if (hub->has_upstream && hub->gap_seq == 0 && store_must_give_up(&hub->store)) {
        step(hub, false);
    }
}

void hub_gap_damage(struct hub *hub) {
    if (hub->gap_seq == 0) {
        step(hub, true);
    }
}

void hub_gap_settle(struct hub *hub) {
    if (hub->gap_seq != 0 && hub->gap_seq <= hub->store.durable_seq) {
        hub->gap = hub->image.gap;
        hub->gap_seq = 0;
        store_give_up(&hub->store, hub->gap.last);
    }
    hub_fork_settle(hub);
}

const struct record_gap *hub_gap(const struct hub *hub) {
    return hub->gap.last > hub->store.acked_seq ? &hub->gap : NULL;
}
