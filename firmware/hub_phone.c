/* Phones: their rows, their events, and what losing one means for the item that leases it. */
#include "firmware/hub_internal.h"

#include <string.h>

static void copy_text(char *target, size_t capacity, struct bytes text) {
    size_t size = text.size < capacity - 1 ? text.size : capacity - 1;
    while (size > 0 && !cbor_is_utf8((struct bytes){text.data, size})) {
        size -= 1; /* not inside a character: no record may hold that */
    }
    memset(target, 0, capacity);
    if (size > 0) {
        memcpy(target, text.data, size);
    }
}

static bool same_text(const char *text, struct bytes bytes) {
    size_t size = 0;
    while (text[size] != '\0') {
        size += 1;
    }
    return size == bytes.size && memcmp(text, bytes.data, size) == 0;
}

uint32_t hub_phone_find(const struct hub *hub, struct bytes id) {
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        if (same_text(hub->phones[p].id, id)) {
            return p;
        }
    }
    return HUB_NONE;
}

enum status hub_phone_identify(struct hub *hub, struct bytes id, struct bytes slot,
                               struct bytes model, uint32_t *phone) {
    check(id.size > 0 && id.size <= RECORD_ID_MAX);
    check(cbor_is_utf8(id));
    uint32_t found = hub_phone_find(hub, id);
    if (!hub_has_room(hub, 2 * HUB_RECORD_BYTES)) {
        return STATUS_AGAIN;
    }
    bool is_new = found == HUB_NONE;
    if (is_new) {
        if (hub->phone_count == hub->board->phones) {
            return STATUS_FULL;
        }
        if (!hub_fits_beside(hub, HUB_PHONE_BYTES)) {
            hub->counters.phones_dropped += 1;
            return STATUS_FULL;
        }
        found = hub->phone_count;
        hub->phone_count += 1;
        hub->image.phone_number += 1;
        hub->phones[found] = (struct hub_phone){
            .number = hub->image.phone_number,
            .item = HUB_NONE,
            .first_lane = HUB_NONE,
            .state = RECORD_PHONE_ABSENT,
        };
        hub_labels_match_phone(hub, found);
        copy_text(hub->phones[found].id, sizeof hub->phones[found].id, id);
    }
    copy_text(hub->phones[found].slot, sizeof hub->phones[found].slot, slot);
    copy_text(hub->phones[found].model, sizeof hub->phones[found].model, model);
    if (is_new) {
        hub_log_phone(hub, found, RECORD_PHONE_STATE_EVENT);
    }
    *phone = found;
    return STATUS_OK;
}

/* The item that leases it cannot go on: judged later, when it is known whether other phones of
 * the same hub went too. */
static void lose(struct hub *hub, uint32_t phone, bool has_gone) {
    struct hub_phone *of = &hub->phones[phone];
    of->is_lost = true;
    of->has_gone = has_gone;
    of->lost_ms = hub->clock.mono_ms;
    timer_set(&hub->timers, hub_phone_timer(hub, phone), hub->clock.mono_ms + HUB_PHONE_LOST_MS);
}

/* Gone without anybody's wish, whether or not an item leases it: what a hub fault is made of. */
static bool is_going(enum phone_event event, uint8_t from, uint8_t to) {
    return from != to && (event == PHONE_ON_DETACHED || event == PHONE_ON_SILENT);
}

static bool is_connected(uint8_t state) {
    return state == RECORD_PHONE_READY || state == RECORD_PHONE_LEASED;
}

enum status hub_phone_event(struct hub *hub, uint32_t phone, enum phone_event event,
                            const char *reason) {
    struct hub_phone *of = &hub->phones[phone];
    check(event != PHONE_ON_LEASE && event != PHONE_ON_LEASE_ENDED); /* the core's own */
    uint8_t from = of->state;
    uint8_t to = from;
    if (event == PHONE_ON_HANDSHAKE && from == RECORD_PHONE_AWAY) {
        event = PHONE_ON_BACK; /* the lease that it came back for is live */
    }
    bool needs_no_lease = event == PHONE_ON_HANDSHAKE || event == PHONE_ON_HEALTHY;
    if (needs_no_lease && of->item != HUB_NONE) {
        return STATUS_ILLEGAL;
    }
    enum status status = phone_apply(&to, event);
    if (status != STATUS_OK) {
        return status;
    }
    if (!hub_has_room(hub, 2 * HUB_RECORD_BYTES)) {
        return STATUS_AGAIN;
    }
    of->state = to;
    of->connected = is_connected(from) ? hub->now : of->connected;
    hub_phone_refresh(hub, phone);
    struct bytes text = {(const uint8_t *)reason, 0};
    while (reason != NULL && reason[text.size] != '\0') {
        text.size += 1;
    }
    copy_text(of->reason, sizeof of->reason, text);
    if (is_going(event, from, to)) {
        of->gone_group = of->hub_group;
        of->gone_ms = hub->clock.mono_ms;
    }
    if (of->item != HUB_NONE && phone_is_lost(from, to)) {
        lose(hub, phone, is_going(event, from, to));
    } else if (to == RECORD_PHONE_LEASED) {
        timer_set(&hub->timers, hub_phone_timer(hub, phone), TIMER_NEVER);
    }
    if (from != to) {
        hub_log_phone(hub, phone, RECORD_PHONE_STATE_EVENT);
        hub->is_unscheduled = hub->is_unscheduled || to == RECORD_PHONE_READY;
    }
    return STATUS_OK;
}

void hub_phone_lease_ended(struct hub *hub, uint32_t phone) {
    struct hub_phone *of = &hub->phones[phone];
    hub->starts_waiting -= of->is_started ? 0 : 1;
    hub->touches_waiting -= of->lease.is_touched ? 1 : 0;
    of->lease = (struct hub_lease){0};
    of->item = HUB_NONE;
    of->is_lost = false;
    timer_set(&hub->timers, hub_phone_timer(hub, phone), TIMER_NEVER);
    if (of->state == RECORD_PHONE_LEASED || of->state == RECORD_PHONE_AWAY) {
        check(phone_apply(&of->state, PHONE_ON_LEASE_ENDED) == STATUS_OK);
        hub->is_unscheduled = true;
    }
    hub_phone_refresh(hub, phone);
}

void hub_phone_refresh(struct hub *hub, uint32_t phone) {
    const struct hub_phone *of = &hub->phones[phone];
    bool is_free = of->state == RECORD_PHONE_READY;
    check(!is_free || of->item == HUB_NONE);
    uint32_t bit = UINT32_C(1) << phone % 32;
    uint32_t *word = &hub->free_phones[phone / 32];
    *word = is_free ? *word | bit : *word & ~bit;
}

static bool is_hub_fault(const struct hub *hub, uint32_t phone) {
    const struct hub_phone *of = &hub->phones[phone];
    bool may_be = of->has_gone && of->gone_group != 0;
    for (uint32_t p = 0; may_be && p < hub->phone_count; p++) {
        const struct hub_phone *other = &hub->phones[p];
        uint64_t distance = other->gone_ms > of->lost_ms ? other->gone_ms - of->lost_ms
                                                         : of->lost_ms - other->gone_ms;
        if (p != phone && other->gone_group == of->gone_group && distance <= HUB_PHONE_LOST_MS) {
            return true;
        }
    }
    return false;
}

void hub_phone_judge(struct hub *hub, uint32_t phone) {
    struct hub_phone *of = &hub->phones[phone];
    check(of->item != HUB_NONE); /* the end of a lease clears its phone's timer */
    if (!of->is_lost) {
        /* It did not come back after a restart. */
        check(phone_apply(&of->state, PHONE_ON_WINDOW_OVER) == STATUS_OK);
        hub_log_phone(hub, phone, RECORD_PHONE_STATE_EVENT);
        lose(hub, phone, false);
        return;
    }
    hub_item_interrupt(hub, of->item, RECORD_CATEGORY_PHONE_LOST, !is_hub_fault(hub, phone));
}

/* ---- what the executor asks ---- */

bool hub_next_start(struct hub *hub, struct hub_start *start) {
    for (uint32_t p = 0; p < hub->phone_count && hub->starts_waiting > 0; p++) {
        struct hub_phone *of = &hub->phones[p];
        if (of->item == HUB_NONE || of->is_started) {
            continue;
        }
        const struct hub_item *item = &hub->items[of->item];
        check(item->image.state == RECORD_RUNNING); /* what hubd runs is started as it is leased */
        if (item->image.stop != RECORD_STOP_NONE || item->start_seq > hub->store.durable_seq) {
            continue;
        }
        of->is_started = true;
        hub->starts_waiting -= 1;
        *start = (struct hub_start){
            .phone = p,
            .item = of->item,
            .capability = hub->processes[item->process].capability,
            .attempt = item->image.attempt,
            .actions_done = item->image.actions_done,
            .token = item->image.token,
            .actions_digest = item->image.actions_digest,
            .process = hub->processes[item->process].number,
            .item_number = item->number,
        };
        return true;
    }
    return false;
}

bool hub_next_stop(struct hub *hub, uint32_t *phone) {
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        struct hub_phone *of = &hub->phones[p];
        if (of->item != HUB_NONE && !of->stop_told && of->is_started &&
            hub->items[of->item].image.stop != RECORD_STOP_NONE) {
            of->stop_told = true;
            *phone = p;
            return true;
        }
    }
    return false;
}
