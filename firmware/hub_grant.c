/* Grants: how long upstream lets an item of its own be leased here (SPEC.md section 8). */
#include "firmware/hub_internal.h"
#include "protocol/sync_command.h"

uint64_t hub_grant_until_ms(const struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    const struct record_item *image = &of->image;
    if (image->assignment == 0) {
        return TIMER_NEVER;
    }
    /* It counts on this boot's clock only: nobody knows how long the machine was off. */
    if (image->grant_from.boot != hub->image.boot) {
        return 0;
    }
    uint64_t end_ms = image->grant_from.mono_ms + image->grant_ms;
    uint64_t grace_ms = hub_item_grace_ms(hub, item);
    end_ms = end_ms > of->renewed_ms ? end_ms : of->renewed_ms;
    return end_ms > grace_ms ? end_ms - grace_ms : 0;
}

bool hub_grant_is_live(const struct hub *hub, uint32_t item) {
    return hub_grant_until_ms(hub, item) > hub->clock.mono_ms;
}

/* The part whose assignment this is, if its grant may go on: not if it is void. */
static uint32_t find_granted(const struct hub *hub, const struct sync_grant *grant) {
    uint32_t process = hub_part_find(hub, grant->process, grant->item);
    if (process == HUB_NONE || hub->processes[process].end_seq != 0) {
        return HUB_NONE;
    }
    uint32_t item = hub->processes[process].first_item;
    const struct record_item *image = &hub->items[item].image;
    bool is_same = image->assignment == grant->assignment;
    return is_same && image->grant_from.boot == hub->image.boot ? item : HUB_NONE;
}

/* Never shorter. What waits may be leased again; what runs goes on, unless it is being stopped. */
static void renew(struct hub *hub, uint32_t item, uint64_t end_ms) {
    struct hub_item *of = &hub->items[item];
    bool has_lease = of->image.state == RECORD_LEASED || of->image.state == RECORD_RUNNING;
    if (end_ms <= of->renewed_ms) {
        return;
    }
    of->renewed_ms = end_ms;
    hub->counters.renewed += 1;
    if (has_lease && of->image.stop == RECORD_STOP_NONE && !of->needs_recovery) {
        hub_item_rearm(hub, item);
    }
    hub_item_queue(hub, item);
}

void hub_grants_take(struct hub *hub, const struct sync_reply *reply, uint64_t sent_ms) {
    struct bytes grants = reply->grants;
    struct sync_grant grant;
    while (sync_grant_next(&grants, &grant)) {
        uint32_t item = find_granted(hub, &grant);
        if (item != HUB_NONE) {
            renew(hub, item, sent_ms + grant.ttl_ms);
        }
    }
}

uint32_t hub_idle_count(const struct hub *hub) {
    uint32_t count = 0;
    for (uint32_t word = 0; word < hub_phone_words(hub->board); word++) {
        for (uint32_t bits = hub->free_phones[word]; bits != 0; bits &= bits - 1) {
            count += !hub_phone_is_wanted(hub, word * 32 + hub_lowest_bit(bits));
        }
    }
    return count;
}
