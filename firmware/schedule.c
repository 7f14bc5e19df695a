/* Decides which item runs on which phone, and grants leases. The first item of every lane is
 * looked at: lanes are few, however many items wait. */
#include "firmware/hub_internal.h"

#include <string.h>

/* The first item of a lane that may be leased now. Strands that are found shut are parked; items
 * whose grant has ended leave, until they get another. */
static uint32_t first_of_lane(struct hub *hub, uint32_t lane) {
    while (hub->lanes[lane].strands != HEAP_NONE) {
        uint32_t strand = hub->lanes[lane].strands;
        uint32_t item = hub->strands[strand].items;
        uint32_t gate = queue_shut_gate(hub, strand);
        if (!hub_grant_is_live(hub, item)) {
            queue_remove(hub, item);
        } else if (gate == HUB_NONE) {
            return item;
        } else {
            queue_park(hub, strand, gate);
        }
    }
    return HUB_NONE;
}

/* A free phone that matches and has budget left; one that the item failed on twice only when
 * there is no other. HUB_NONE: none is free. */
static uint32_t phone_for(struct hub *hub, const struct hub_lane *lane, uint32_t item) {
    const struct record_item *image = &hub->items[item].image;
    uint32_t avoided = HUB_NONE;
    for (uint32_t word = 0; word < hub_phone_words(hub->board); word++) {
        uint32_t bits = hub->free_phones[word];
        bits &= bits == 0 ? 0 : hub_labels_matching(hub, lane, word);
        for (; bits != 0; bits &= bits - 1) {
            uint32_t phone = word * 32 + hub_lowest_bit(bits);
            if (!hub_budget_phone_allows(hub, phone)) {
                continue;
            }
            bool is_avoided = image->failed_count >= RECORD_FAILED_MAX &&
                              image->failed_phone == hub->phones[phone].number;
            if (!is_avoided) {
                return phone;
            }
            avoided = phone;
        }
    }
    return avoided;
}

static bool is_wanted(struct hub *hub, const struct schedule_filter *filter, uint32_t capability) {
    if (hub->capabilities[capability].is_external != filter->is_external) {
        return false;
    }
    bool is_named = filter->capabilities == NULL;
    for (uint32_t i = 0; !is_named && i < filter->capability_count; i++) {
        is_named = filter->capabilities[i] == capability;
    }
    return is_named && hub_budget_capability_allows(hub, capability);
}

/* Whether any phone that this lane may use is free. */
static bool has_free_phone(const struct hub *hub, const struct hub_lane *lane) {
    uint32_t bits = 0;
    for (uint32_t word = 0; word < hub_phone_words(hub->board) && bits == 0; word++) {
        bits = hub->free_phones[word];
        bits &= bits == 0 ? 0 : hub_labels_matching(hub, lane, word);
    }
    return bits != 0;
}

static void look_at_lanes(struct hub *hub, const struct schedule_filter *filter, uint32_t lane,
                          struct schedule_pick *best) {
    while (lane != HUB_NONE) {
        uint32_t next = hub->lanes[lane].next; /* parking may take this one out of the list */
        bool is_possible = has_free_phone(hub, &hub->lanes[lane]) &&
                           is_wanted(hub, filter, hub->lanes[lane].capability);
        uint32_t item = is_possible ? first_of_lane(hub, lane) : HUB_NONE;
        if (item != HUB_NONE && hub->item_nodes[item].order < best->order) {
            uint32_t phone = phone_for(hub, &hub->lanes[lane], item);
            if (phone != HUB_NONE) {
                *best = (struct schedule_pick){hub->item_nodes[item].order, item, phone};
            }
        }
        lane = next;
    }
}

/* The items of one process, wherever they stand in their lanes. */
static void look_at_process(struct hub *hub, const struct schedule_filter *filter,
                            struct schedule_pick *pick) {
    uint32_t item = hub->processes[filter->process].first_item;
    for (; item != HUB_NONE && pick->item == HUB_NONE; item = hub->items[item].next_of_process) {
        const struct hub_item *of = &hub->items[item];
        if (of->image.state != RECORD_READY || !of->is_queued || !hub_grant_is_live(hub, item) ||
            queue_shut_gate(hub, of->strand) != HUB_NONE) {
            continue;
        }
        const struct hub_lane *lane = &hub->lanes[hub->strands[of->strand].lane];
        uint32_t phone =
            is_wanted(hub, filter, lane->capability) ? phone_for(hub, lane, item) : HUB_NONE;
        if (phone != HUB_NONE) {
            *pick = (struct schedule_pick){hub->item_nodes[item].order, item, phone};
        }
    }
}

bool schedule_pick(struct hub *hub, const struct schedule_filter *filter,
                   struct schedule_pick *pick) {
    *pick = (struct schedule_pick){UINT64_MAX, HUB_NONE, HUB_NONE};
    if (filter->has_process) {
        look_at_process(hub, filter, pick);
        return pick->item != HUB_NONE;
    }
    bool is_any_free = false;
    for (uint32_t word = 0; word < hub_phone_words(hub->board); word++) {
        for (uint32_t bits = hub->free_phones[word]; bits != 0; bits &= bits - 1) {
            uint32_t phone = word * 32 + hub_lowest_bit(bits);
            is_any_free = true;
            if (hub->phones[phone].first_lane != HUB_NONE) {
                look_at_lanes(hub, filter, hub->phones[phone].first_lane, pick);
            }
        }
    }
    if (is_any_free) {
        look_at_lanes(hub, filter, hub->first_lane, pick);
    }
    return pick->item != HUB_NONE;
}

bool hub_phone_is_wanted(const struct hub *hub, uint32_t phone) {
    if (hub->phones[phone].first_lane != HUB_NONE) {
        return true; /* a lane is listed while something waits in it */
    }
    for (uint32_t lane = hub->first_lane; lane != HUB_NONE; lane = hub->lanes[lane].next) {
        uint32_t matching = hub_labels_matching(hub, &hub->lanes[lane], phone / 32);
        if ((matching >> phone % 32 & 1u) != 0 && !has_free_phone(hub, &hub->lanes[lane])) {
            return true;
        }
    }
    return false;
}

void schedule_grant(struct hub *hub, const struct schedule_pick *pick, struct bytes worker,
                    const uint8_t *claim) {
    struct hub_item *of = &hub->items[pick->item];
    struct hub_phone *on = &hub->phones[pick->phone];
    hub->image.token_counter += 1;
    of->image.phone = on->number;
    of->image.token = (uint64_t)hub->store.epoch << 40 | hub->image.token_counter;
    on->item = pick->item;
    on->is_started = worker.size > 0;
    on->stop_told = worker.size > 0;
    hub->starts_waiting += worker.size > 0 ? 0 : 1;
    on->lease = (struct hub_lease){.expiry_ms = TIMER_NEVER, .limit_ms = TIMER_NEVER};
    if (worker.size > 0) {
        memcpy(on->lease.worker, worker.data, worker.size);
        on->lease.expiry_ms = hub->clock.mono_ms + hub_lease_ms(hub, pick->item);
    }
    if (claim != NULL) {
        memcpy(on->lease.claim, claim, RECORD_DIGEST_BYTES);
    }
    check(phone_apply(&on->state, PHONE_ON_LEASE) == STATUS_OK);
    hub_phone_refresh(hub, pick->phone);
    hub_item_change(hub, pick->item, ITEM_ON_GRANT, RECORD_LEASED_EVENT);
}

void hub_lease_set_actions(struct hub_lease *lease, const struct capability *capability) {
    bool is_one = capability != NULL && capability->is_external && capability->action_count == 0;
    lease->once_actions = capability == NULL ? 0 : capability->once_actions;
    lease->action_count = is_one ? 1 : capability == NULL ? 0 : capability->action_count;
}

void schedule_start(struct hub *hub, uint32_t phone) {
    struct hub_phone *on = &hub->phones[phone];
    struct hub_item *of = &hub->items[on->item];
    const struct capability *capability = hub_capability_of(hub, on->item);
    check(capability != NULL);
    of->attempt_started = hub_now(hub);
    if (of->image.started.boot == 0) {
        of->image.started = of->attempt_started;
    }
    if (of->image.actions_done == 0) {
        of->image.actions_digest = capability->actions_digest;
    }
    of->progress_percent = 0;
    of->step = (uint8_t)of->image.actions_done;
    on->lease.limit_ms = hub->clock.mono_ms + capability->attempt_ms;
    hub_lease_set_actions(&on->lease, capability);
    if (capability->is_external) {
        on->lease.expiry_ms = hub->clock.mono_ms + hub_lease_ms(hub, on->item);
    }
    hub_budget_take(hub, phone, hub->clock.mono_ms);
    hub_item_change(hub, on->item, ITEM_ON_START, RECORD_STARTED_EVENT);
    of->start_seq = hub->store.head_seq;
}

/* For what hubd runs itself: lease and start are two records of one group, since nothing lies
 * between them on a hub. */
void schedule_run(struct hub *hub) {
    static const struct schedule_filter own = {.is_external = false};
    struct schedule_pick pick;
    while (hub->is_unscheduled) {
        if (!hub_has_room(hub, HUB_TRANSITION_BYTES)) {
            return;
        }
        if (!schedule_pick(hub, &own, &pick)) {
            hub->is_unscheduled = false;
            return;
        }
        schedule_grant(hub, &pick, (struct bytes){0}, NULL);
        schedule_start(hub, pick.phone);
    }
}
