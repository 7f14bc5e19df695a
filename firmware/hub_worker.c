/* External workers: claims, and what they say of the leases that they hold. */
#include "firmware/hub_fork.h"
#include "firmware/hub_internal.h"

#include <string.h>

/* ---- claims ---- */

static bool is_name(struct bytes name) {
    return name.size > 0 && name.size <= RECORD_ID_MAX && cbor_is_utf8(name);
}

static void digest_claim(const struct hub_claim *claim, uint8_t digest[SHA256_BYTES]) {
    static const uint8_t separator = 0;
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, claim->worker);
    sha256_add(&hash, (struct bytes){&separator, 1});
    sha256_add(&hash, claim->claim_id);
    sha256_end(&hash, digest);
}

/* What is still held of an earlier claim. */
static void find_claimed(const struct hub *hub, const uint8_t *digest,
                         struct hub_claimed *claimed) {
    for (uint32_t p = 0; p < hub->phone_count && claimed->count < HUB_CLAIM_MAX; p++) {
        const struct hub_phone *of = &hub->phones[p];
        if (of->item != HUB_NONE && of->lease.worker[0] != '\0' &&
            memcmp(of->lease.claim, digest, RECORD_DIGEST_BYTES) == 0) {
            claimed->items[claimed->count] = of->item;
            claimed->count += 1;
        }
    }
    claimed->is_repeated = claimed->count > 0;
}

static enum status lease_items(struct hub *hub, const struct hub_claim *claim,
                               const uint8_t *digest, struct hub_claimed *claimed) {
    const struct schedule_filter filter = {.is_external = true,
                                           .capabilities = claim->capabilities,
                                           .capability_count = claim->capability_count,
                                           .process = hub_process_find(hub, claim->process),
                                           .has_process = claim->process != 0};
    struct schedule_pick pick;
    if (filter.has_process && filter.process == HUB_NONE) {
        return STATUS_OK;
    }
    /* Nothing is changed but by a grant: the room is asked for before the first. */
    if (!hub_has_room(hub, claim->batch * HUB_RECORD_BYTES)) {
        return STATUS_AGAIN;
    }
    while (claimed->count < claim->batch && schedule_pick(hub, &filter, &pick)) {
        schedule_grant(hub, &pick, claim->worker, digest);
        claimed->items[claimed->count] = pick.item;
        claimed->count += 1;
    }
    return STATUS_OK;
}

enum status hub_claim(struct hub *hub, const struct hub_claim *claim, struct hub_claimed *claimed) {
    check(claim->batch >= 1 && claim->batch <= HUB_CLAIM_MAX);
    uint8_t digest[SHA256_BYTES];
    const uint8_t *known = claim->claim_id.size > 0 ? digest : NULL;
    struct hub_claimed found = {0};
    if (!is_name(claim->worker) || claim->claim_id.size > RECORD_ID_MAX) {
        return STATUS_MALFORMED;
    }
    if (known != NULL) {
        digest_claim(claim, digest);
        find_claimed(hub, digest, &found);
    }
    enum status status = STATUS_OK;
    if (found.count == 0 && !hub->is_stopping && hub_fork_is_settled(hub)) {
        struct hub_claim fitting = *claim;
        uint32_t most = hub->board->frame_bytes / 2 / HUB_RECORD_BYTES;
        fitting.batch = claim->batch < most ? claim->batch : most;
        status = lease_items(hub, &fitting, known, &found);
    }
    if (status == STATUS_OK) {
        *claimed = found;
    }
    return status;
}

/* ---- whose lease it is ---- */

static bool is_held_by(const struct hub_phone *phone, struct bytes name) {
    size_t size = 0;
    while (phone->lease.worker[size] != '\0') {
        size += 1;
    }
    return size > 0 && size == name.size && memcmp(phone->lease.worker, name.data, size) == 0;
}

/* An index that once named an item may name another one, or none: the token tells. */
static enum status find_lease(struct hub *hub, const struct hub_worker *worker, uint32_t *phone) {
    if (!pool_is_used(&hub->item_pool, worker->item)) {
        return STATUS_STALE_LEASE;
    }
    const struct hub_item *item = &hub->items[worker->item];
    *phone = hub_item_phone(hub, worker->item);
    if (*phone == HUB_NONE || item->image.token != worker->token || item->needs_recovery ||
        !is_held_by(&hub->phones[*phone], worker->name)) {
        return STATUS_STALE_LEASE;
    }
    struct hub_lease *lease = &hub->phones[*phone].lease;
    return worker->sent_ms != 0 && worker->sent_ms < lease->sent_ms ? STATUS_BUSY : STATUS_OK;
}

static void note_time(struct hub *hub, uint32_t phone, const struct hub_worker *worker) {
    struct hub_lease *lease = &hub->phones[phone].lease;
    lease->sent_ms = worker->sent_ms > lease->sent_ms ? worker->sent_ms : lease->sent_ms;
}

/* Never shorter, and never beyond the limit: running_until() of hub_item.c takes the sooner. A
 * stop that is pending keeps its own time. */
static void renew(struct hub *hub, uint32_t phone, uint32_t item) {
    struct hub_lease *lease = &hub->phones[phone].lease;
    struct record_item *image = &hub->items[item].image;
    uint64_t expiry = hub->clock.mono_ms + hub_lease_ms(hub, item);
    lease->expiry_ms = expiry > lease->expiry_ms ? expiry : lease->expiry_ms;
    check(item_apply(image, ITEM_ON_RENEW) == STATUS_OK);
    if (image->stop == RECORD_STOP_NONE) {
        hub_item_rearm(hub, item);
    }
}

/* ---- calls ---- */

enum status hub_worker_acknowledge(struct hub *hub, const struct hub_worker *worker) {
    uint32_t phone;
    enum status status = find_lease(hub, worker, &phone);
    if (status == STATUS_OK && hub->items[worker->item].image.state != RECORD_LEASED) {
        status = STATUS_ILLEGAL;
    }
    if (status == STATUS_OK) {
        note_time(hub, phone, worker);
        renew(hub, phone, worker->item);
    }
    return status;
}

enum status hub_worker_start(struct hub *hub, const struct hub_worker *worker) {
    uint32_t phone;
    enum status status = find_lease(hub, worker, &phone);
    if (status != STATUS_OK) {
        return status;
    }
    if (hub->items[worker->item].image.state == RECORD_RUNNING) {
        note_time(hub, phone, worker);
        return STATUS_OK;
    }
    if (!hub_grant_is_live(hub, worker->item)) {
        return STATUS_STALE_LEASE; /* it is about to be returned */
    }
    if (!hub_has_room(hub, HUB_TRANSITION_BYTES)) {
        return STATUS_AGAIN;
    }
    note_time(hub, phone, worker);
    if (hub->items[worker->item].image.first_device.boot == 0) {
        hub->items[worker->item].image.first_device = hub_now(hub);
    }
    schedule_start(hub, phone);
    return STATUS_OK;
}

enum status hub_worker_heartbeat(struct hub *hub, const struct hub_worker *worker, uint32_t percent,
                                 struct hub_heartbeat *answer) {
    uint32_t phone;
    enum status status = find_lease(hub, worker, &phone);
    if (status != STATUS_OK) {
        return status;
    }
    struct hub_item *of = &hub->items[worker->item];
    note_time(hub, phone, worker);
    renew(hub, phone, worker->item);
    if (of->image.state == RECORD_RUNNING && percent <= 100 && percent > of->progress_percent) {
        of->progress_percent = (uint8_t)percent;
    }
    uint64_t due = timer_due(&hub->timers, hub_item_timer(hub, worker->item));
    *answer = (struct hub_heartbeat){
        .expires_in_ms = due > hub->clock.mono_ms ? due - hub->clock.mono_ms : 0,
        .stop = of->image.stop,
        .suspension = of->image.suspension,
    };
    return STATUS_OK;
}

enum status hub_worker_release(struct hub *hub, const struct hub_worker *worker) {
    uint32_t phone;
    enum status status = find_lease(hub, worker, &phone);
    if (status == STATUS_OK && hub->items[worker->item].image.state != RECORD_LEASED) {
        status = STATUS_ILLEGAL;
    }
    if (status == STATUS_OK && !hub_has_room(hub, HUB_TRANSITION_BYTES)) {
        status = STATUS_AGAIN;
    }
    if (status == STATUS_OK) {
        hub_item_return(hub, worker->item);
    }
    return status;
}

static enum item_event known_end(const struct hub *hub, uint32_t item,
                                 const struct record_attempt *end, enum hub_retryable retryable) {
    const struct capability *capability = hub_capability_of(hub, item);
    if (end->outcome == RECORD_SUCCESS) {
        return ITEM_ON_SUCCEED;
    }
    bool by_policy = capability != NULL && (capability->retryable >> end->category & 1u) != 0;
    bool is_retryable =
        retryable == HUB_RETRYABLE_BY_POLICY ? by_policy : retryable == HUB_RETRYABLE_YES;
    return hub_attempt_failure(hub, item, is_retryable);
}

enum status hub_worker_end(struct hub *hub, const struct hub_worker *worker,
                           const struct record_attempt *end, enum hub_retryable retryable) {
    uint32_t phone;
    check(end->outcome == RECORD_SUCCESS || end->outcome == RECORD_FAILURE);
    enum status status = find_lease(hub, worker, &phone);
    if (status == STATUS_OK && hub->items[worker->item].image.state != RECORD_RUNNING) {
        status = STATUS_ILLEGAL;
    }
    if (status == STATUS_OK) {
        status = hub_attempt_end_known(hub, worker->item, end,
                                       known_end(hub, worker->item, end, retryable));
    }
    return status;
}
