/* Parts: items of upstream's that this hub was offered (SPEC.md section 8). Each is a process with
 * one item, in the same tables as the hub's own. */
#include "firmware/hub_internal.h"
#include "protocol/sync_command.h"

#include <string.h>

/* ---- finding them ---- */

/* They have no idempotency key, and stand in the same index in its place. */
static uint32_t hash_of(uint64_t process, uint32_t item) {
    return hash_number(process << 20 ^ item);
}

void hub_part_index(struct hub *hub, uint32_t process) {
    const struct record_origin *origin = &hub->processes[process].origin;
    if (origin->process != 0) {
        hash_index_add(&hub->by_key, hash_of(origin->process, origin->item), process);
    }
}

void hub_part_unindex(struct hub *hub, uint32_t process) {
    const struct record_origin *origin = &hub->processes[process].origin;
    if (origin->process != 0) {
        hash_index_remove(&hub->by_key, hash_of(origin->process, origin->item), process);
    }
}

uint32_t hub_part_find(const struct hub *hub, uint64_t process, uint32_t item) {
    uint32_t hash = hash_of(process, item);
    uint32_t at = hash_index_start(&hub->by_key, hash);
    uint32_t best = HUB_NONE;
    for (;;) {
        uint32_t entry = hash_index_next(&hub->by_key, hash, &at);
        if (entry == HASH_INDEX_NONE) {
            return best;
        }
        const struct hub_process *of = &hub->processes[entry < hub->board->processes ? entry : 0];
        bool is_it = entry < hub->board->processes && of->origin.process == process &&
                     of->origin.item == item && of->first_item != HUB_NONE;
        if (is_it && (best == HUB_NONE || of->number > hub->processes[best].number)) {
            best = entry;
        }
    }
}

/* ---- leaving ---- */

/* Without its lease it waits, for the last record that is written of it: for a person when nobody
 * knows what its once-only action did. */
static void end_lease(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    uint32_t phone = hub_item_phone(hub, item);
    hub_item_leave(hub, item);
    queue_leave_gates(hub, item);
    bool is_uncertain = of->image.suspension == RECORD_SUSPEND_UNCERTAIN;
    of->image.state = is_uncertain ? RECORD_SUSPENDED : RECORD_READY;
    of->image.phone = 0;
    of->image.stop = RECORD_STOP_NONE;
    of->image.suspension = is_uncertain ? RECORD_SUSPEND_UNCERTAIN : RECORD_SUSPEND_NONE;
    of->is_stopping = false;
    of->needs_recovery = false;
    hub_item_enter(hub, item);
    if (phone != HUB_NONE && hub->phones[phone].item == item) {
        hub_phone_lease_ended(hub, phone);
    }
}

void hub_part_leave(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    uint32_t item = of->first_item;
    check(of->end_seq == 0);
    check(item != HUB_NONE && item == of->last_item);
    if (hub->items[item].image.phone != 0) {
        end_lease(hub, item);
    }
    timer_set(&hub->timers, hub_item_timer(hub, item), TIMER_NEVER);
    timer_set(&hub->timers, hub_process_timer(hub, process), TIMER_NEVER);
    hub_process_keep_tokens(hub, process);
    (void)hub_log_item(hub, item, RECORD_WITHDRAWN_EVENT);
    hub_log_process(hub, process, RECORD_WITHDRAWN_EVENT);
    hub_item_leave(hub, item);
    queue_release(hub, item);
    hub_process_give_tables(hub, process);
    hub_process_remove(hub, process);
    hub->counters.withdrawn += 1;
}

enum status hub_part_withdraw(struct hub *hub, uint32_t process) {
    uint32_t item = hub->processes[process].first_item;
    const struct record_item *image = &hub->items[item].image;
    /* What stops for its review has gone behind it already: it leaves as one that waits for it. */
    bool is_for_review =
        image->state == RECORD_RUNNING && image->suspension == RECORD_SUSPEND_REVIEW;
    if (is_for_review || !hub_has_room(hub, HUB_TRANSITION_BYTES)) {
        return STATUS_AGAIN;
    }
    if (image->state == RECORD_RUNNING) {
        hub_item_ask_stop(hub, item, RECORD_STOP_WITHDRAW);
    } else {
        hub_part_leave(hub, process);
    }
    return STATUS_OK;
}

/* ---- offers ---- */

static void refuse(struct record_answer *answer, enum record_answer_code code) {
    answer->code = (uint8_t)code;
}

/* What tells two requests apart: the digest of the caller's body, or else of the image. */
static void digest_of(const struct sync_offer *offer, struct record_request *request,
                      uint8_t digest[SHA256_BYTES]) {
    if (request->body_digest.size == 0) {
        struct sha256 hash;
        sha256_init(&hash);
        sha256_add(&hash, offer->request);
        sha256_end(&hash, digest);
        request->body_digest = (struct bytes){digest, RECORD_DIGEST_BYTES};
    }
}

static enum status take(struct hub *hub, const struct hub_part *part,
                        const struct sync_offer *offer, struct record_request *request,
                        struct record_answer *answer) {
    uint32_t phone = HUB_NONE;
    uint64_t phone_number = 0;
    uint32_t capability = hub_capability_find(hub, request->process_type);
    if (capability == HUB_NONE) {
        refuse(answer, RECORD_ANSWER_REFUSED_CAPABILITY);
        return STATUS_OK;
    }
    if (offer->phone_id.size > 0) {
        phone = hub_phone_find(hub, offer->phone_id);
        if (phone == HUB_NONE) {
            refuse(answer, RECORD_ANSWER_NO_PHONE);
            return STATUS_OK;
        }
        phone_number = hub->phones[phone].number;
    }
    request->key = (struct bytes){0};      /* upstream answers duplicates, */
    request->callback = (struct bytes){0}; /* and tells the caller */
    const struct hub_order order = {.request = request,
                                    .capability = capability,
                                    .phones = phone == HUB_NONE ? NULL : &phone_number,
                                    .accounts = offer->account.size == 0 ? NULL : &offer->account,
                                    .item_count = 1,
                                    .part = part};
    struct hub_accepted accepted;
    enum status status = hub_accept(hub, &order, &accepted);
    hub->counters.offered += status == STATUS_OK;
    if (status == STATUS_FULL || status == STATUS_TOO_LARGE) {
        refuse(answer, RECORD_ANSWER_CAPACITY_EXHAUSTED);
    } else if (status == STATUS_MALFORMED) {
        refuse(answer, RECORD_ANSWER_MALFORMED);
    }
    return status == STATUS_AGAIN ? STATUS_AGAIN : STATUS_OK;
}

/* A new grant for what is here; also after a boot, which voids those before. */
static enum status grant_again(struct hub *hub, uint32_t process, const struct hub_part *part) {
    uint32_t item = hub->processes[process].first_item;
    struct hub_item *of = &hub->items[item];
    if (!hub_has_room(hub, HUB_RECORD_BYTES)) {
        return STATUS_AGAIN;
    }
    uint64_t end_ms = of->image.grant_from.mono_ms + of->image.grant_ms;
    bool is_void = of->image.grant_from.boot != hub->image.boot;
    if (is_void || part->sent_ms + part->ttl_ms > end_ms) {
        of->image.grant_ms = part->ttl_ms;
        of->image.grant_from =
            record_time_of(hub->image.boot, part->sent_ms, hub->clock.wall_ms, hub->clock.quality);
    }
    bool is_running = of->image.phone != 0 && of->image.stop == RECORD_STOP_NONE;
    if (is_running && !of->needs_recovery) {
        hub_item_rearm(hub, item);
    }
    (void)hub_log_item(hub, item, RECORD_GRANTED_EVENT);
    hub_item_queue(hub, item);
    return STATUS_OK;
}

/* What an offer is to the newest part of the same item. */
enum standing { NEW, SAME, OLDER, DIFFERENT, ENDED, NEWER };

static enum standing compare(const struct hub *hub, uint32_t process, const struct hub_part *part,
                             const struct record_request *request) {
    if (process == HUB_NONE) {
        return NEW;
    }
    const struct hub_process *of = &hub->processes[process];
    uint32_t assignment = hub->items[of->first_item].image.assignment;
    bool is_same = memcmp(of->body_digest, request->body_digest.data, RECORD_DIGEST_BYTES) == 0;
    bool is_other = !is_same && of->origin.upstream_epoch != part->origin.upstream_epoch;
    if (part->assignment > assignment || is_other) {
        return of->end_seq != 0 ? NEW : NEWER; /* upstream has forgotten the other one */
    }
    if (part->assignment < assignment) {
        return OLDER;
    }
    if (!is_same) {
        return DIFFERENT;
    }
    bool is_leaving = hub->items[of->first_item].image.stop == RECORD_STOP_WITHDRAW;
    return of->end_seq != 0 ? ENDED : is_leaving ? OLDER : SAME;
}

static enum status judge(struct hub *hub, const struct hub_part *part,
                         const struct sync_offer *offer, struct record_request *request,
                         struct record_answer *answer) {
    uint32_t process = hub_part_find(hub, offer->process, offer->item);
    switch (compare(hub, process, part, request)) {
    case NEW:
        return take(hub, part, offer, request, answer);
    case SAME:
        return grant_again(hub, process, part);
    case NEWER:
        if (hub_part_withdraw(hub, process) == STATUS_OK &&
            hub_part_find(hub, offer->process, offer->item) != process) {
            return take(hub, part, offer, request, answer);
        }
        return STATUS_AGAIN; /* until it has stopped */
    case OLDER:
        refuse(answer, RECORD_ANSWER_STALE_ASSIGNMENT);
        return STATUS_OK;
    case DIFFERENT:
        refuse(answer, RECORD_ANSWER_DIFFERS);
        return STATUS_OK;
    case ENDED:
    default:
        refuse(answer, RECORD_ANSWER_ALREADY_TERMINAL);
        return STATUS_OK;
    }
}

enum status hub_part_offer(struct hub *hub, uint32_t upstream_epoch, uint64_t sent_ms,
                           const struct sync_offer *offer, struct record_answer *answer) {
    uint8_t digest[SHA256_BYTES];
    struct record_request request;
    struct cbor_reader reader;
    cbor_reader_init(&reader, offer->request);
    record_get_request(&reader, &request);
    if (!cbor_reader_done(&reader) || offer->attempts_counted > offer->attempt) {
        refuse(answer, RECORD_ANSWER_MALFORMED);
        return STATUS_OK;
    }
    digest_of(offer, &request, digest);
    const struct hub_part part = {
        .origin = {.upstream_epoch = upstream_epoch,
                   .process = offer->process,
                   .generation = offer->generation,
                   .item = offer->item},
        .assignment = offer->assignment,
        .ttl_ms = offer->ttl_ms,
        .sent_ms = sent_ms,
        .attempt = offer->attempt,
        .attempts_counted = offer->attempts_counted,
        .actions_done = offer->actions_done,
        .actions_digest = offer->actions_digest,
    };
    return judge(hub, &part, offer, &request, answer);
}
