/* Requests: idempotency, admission, planning, cancellation; and the end of finished processes. */
#include "firmware/hub_internal.h"

#include <string.h>

enum {
    KEY_KEPT_MS = 7 * 24 * 3600 * 1000,    /* SPEC.md section 4 */
    EVICTION_BYTES = 4 * HUB_RECORD_BYTES, /* of its process, key and hub records */
};

/* ---- idempotency ---- */

/* A time that cannot be told, between two boots without a wall clock, counts as none. */
static bool is_expired(const struct hub *hub, const struct hub_key *key) {
    const struct record_time *from = &key->evicted;
    uint64_t age_ms = 0;
    if (from->boot == hub->image.boot) {
        age_ms = hub->clock.mono_ms - from->mono_ms;
    } else if (from->wall_ms != 0 && hub->clock.wall_ms > from->wall_ms) {
        age_ms = hub->clock.wall_ms - from->wall_ms;
    }
    return age_ms > KEY_KEPT_MS;
}

/* The process or kept key that holds this digest: index, kept keys from `processes` on. */
static uint32_t find_key(const struct hub *hub, const uint8_t *digest) {
    uint32_t hash = hub_digest_hash(digest);
    uint32_t at = hash_index_start(&hub->by_key, hash);
    for (;;) {
        uint32_t entry = hash_index_next(&hub->by_key, hash, &at);
        if (entry == HASH_INDEX_NONE) {
            return HUB_NONE;
        }
        const uint8_t *known = entry < hub->board->processes
                                   ? hub->processes[entry].key
                                   : hub->keys[entry - hub->board->processes].key;
        bool is_gone = entry >= hub->board->processes &&
                       is_expired(hub, &hub->keys[entry - hub->board->processes]);
        if (!is_gone && memcmp(known, digest, RECORD_DIGEST_BYTES) == 0) {
            return entry;
        }
    }
}

static bool answer_duplicate(struct hub *hub, const struct record_request *request,
                             struct hub_accepted *accepted) {
    if (request->key.size == 0) {
        return false;
    }
    uint32_t entry = find_key(hub, request->key.data);
    if (entry == HUB_NONE) {
        return false;
    }
    const uint8_t *digest;
    *accepted = (struct hub_accepted){.process = HUB_NONE, .is_duplicate = true};
    if (entry < hub->board->processes) {
        accepted->process = entry;
        accepted->number = hub->processes[entry].number;
        accepted->status = hub->processes[entry].status;
        digest = hub->processes[entry].body_digest;
    } else {
        const struct hub_key *key = &hub->keys[entry - hub->board->processes];
        accepted->number = key->process;
        accepted->status = key->status;
        digest = key->body_digest;
    }
    accepted->differs = memcmp(digest, request->body_digest.data, RECORD_DIGEST_BYTES) != 0;
    hub->counters.duplicates += 1;
    return true;
}

/* ---- finished processes ---- */

void hub_finished_add(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    of->older = hub->newest_finished;
    of->newer = HUB_NONE;
    *(of->older == HUB_NONE ? &hub->oldest_finished : &hub->processes[of->older].newer) = process;
    hub->newest_finished = process;
}

static void unlink_finished(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    *(of->older == HUB_NONE ? &hub->oldest_finished : &hub->processes[of->older].newer) = of->newer;
    *(of->newer == HUB_NONE ? &hub->newest_finished : &hub->processes[of->newer].older) = of->older;
}

static void forget_item(struct hub *hub, uint32_t item) {
    uint32_t attempt = hub->items[item].first_attempt;
    while (attempt != HUB_NONE) {
        uint32_t next = hub->attempts[attempt].next;
        store_release(&hub->store, (struct store_key){RECORD_ATTEMPT, attempt});
        pool_give(&hub->attempt_pool, attempt);
        attempt = next;
    }
    timer_set(&hub->timers, hub_item_timer(hub, item), TIMER_NEVER);
    store_release(&hub->store, (struct store_key){RECORD_ITEM, item});
    pool_give(&hub->item_pool, item);
}

/* The key outlives its process, in place of the oldest one kept. */
static void keep_key(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    uint32_t index = hub->key_next;
    struct hub_key *key = &hub->keys[index];
    uint32_t entry = hub->board->processes + index;
    if (key->number != 0) {
        hash_index_remove(&hub->by_key, hub_digest_hash(key->key), entry);
        hub->counters.keys_dropped += !is_expired(hub, key);
    }
    hub->image.key_number += 1;
    *key = (struct hub_key){
        .evicted = hub_now(hub),
        .number = hub->image.key_number,
        .process = of->number,
        .status = of->status,
    };
    memcpy(key->key, of->key, RECORD_DIGEST_BYTES);
    memcpy(key->body_digest, of->body_digest, RECORD_DIGEST_BYTES);
    hash_index_add(&hub->by_key, hub_digest_hash(key->key), entry);
    hub->key_next = (index + 1) % hub->board->keys;
    hub_log_key(hub, index);
}

/* Tokens are found again in the records of items; the last one given must not go with its item. */
static void keep_tokens(struct hub *hub, uint32_t process) {
    uint64_t newest = 0;
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        uint64_t token = hub->items[i].image.token;
        newest = token > newest ? token : newest;
    }
    if (newest > hub->logged_token) {
        hub_log_self(hub, RECORD_COUNTERS_EVENT);
    }
}

void hub_process_forget(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    keep_tokens(hub, process);
    hub_log_process(hub, process, RECORD_EVICTED_EVENT);
    unlink_finished(hub, process);
    hash_index_remove(&hub->by_number, hash_number(of->number), process);
    if (of->has_key) {
        hash_index_remove(&hub->by_key, hub_digest_hash(of->key), process);
        keep_key(hub, process);
    }
    uint32_t item = of->first_item;
    while (item != HUB_NONE) {
        uint32_t next = hub->items[item].next_of_process;
        forget_item(hub, item);
        item = next;
    }
    /* Its newest record stays: it says after a restart that the rest is gone. */
    store_release(&hub->store, (struct store_key){RECORD_REQUEST, process});
    pool_give(&hub->process_pool, process);
    hub->counters.evicted += 1;
}

/* What evicting a process frees in the store: all its records but its own last one. */
static uint64_t evictable_bytes(const struct hub *hub, uint32_t process) {
    const struct store *store = &hub->store;
    uint64_t bytes = store_slot(store, (struct store_key){RECORD_REQUEST, process})->bytes;
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        bytes += store_slot(store, (struct store_key){RECORD_ITEM, i})->bytes;
        for (uint32_t a = hub->items[i].first_attempt; a != HUB_NONE; a = hub->attempts[a].next) {
            bytes += store_slot(store, (struct store_key){RECORD_ATTEMPT, a})->bytes;
        }
    }
    return bytes;
}

/* How many of the oldest finished processes must go for `items` more items and `bytes` more in the
 * store. HUB_NONE: it would not fit then either, or upstream has not stored one of their ends. */
static uint32_t count_evictions(const struct hub *hub, uint32_t items, uint64_t bytes) {
    uint32_t processes_free = pool_free_count(&hub->process_pool);
    uint32_t items_free = pool_free_count(&hub->item_pool);
    uint64_t freed = 0;
    uint32_t count = 0;
    uint32_t next = hub->oldest_finished;
    /* Unsigned, so that what is freed may exceed what is asked: the store adds what is live. */
    while (processes_free == 0 || items_free < items ||
           !store_admits(&hub->store, hub->reserved_bytes, bytes - freed)) {
        bool may_go = next != HUB_NONE &&
                      (!hub->has_upstream || hub->processes[next].end_seq <= hub->store.acked_seq);
        if (!may_go) {
            return HUB_NONE;
        }
        processes_free += 1;
        items_free += hub->processes[next].image.item_count;
        freed += evictable_bytes(hub, next);
        count += 1;
        next = hub->processes[next].newer;
    }
    return count;
}

/* FULL: they may not go, or that does not help; nothing has changed. AGAIN: some have gone. */
static enum status evict_for(struct hub *hub, uint32_t items, uint64_t bytes) {
    uint32_t count = count_evictions(hub, items, bytes);
    if (count == HUB_NONE) {
        hub->counters.refused_full += 1;
        return STATUS_FULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!hub_has_room(hub, EVICTION_BYTES)) {
            return STATUS_AGAIN;
        }
        hub_process_forget(hub, hub->oldest_finished);
    }
    return STATUS_OK;
}

/* ---- acceptance ---- */

static uint64_t request_bytes(const struct record_request *request) {
    size_t texts = request->process_type.size + request->request_id.size + request->system.size +
                   request->user.size + request->target.size + request->inputs.size +
                   request->callback.size + request->metadata.size + request->labels.size +
                   request->extra.size + request->concurrency_key.size;
    return HUB_RECORD_BYTES + texts;
}

/* Whether a mount could read the request's record: texts in UTF-8 and within their limits. */
static bool is_recordable(struct hub *hub, const struct record_request *request) {
    struct cbor_writer writer;
    struct cbor_reader reader;
    struct record_request read;
    cbor_writer_init(&writer, hub->record_buffer, hub->record_bytes);
    record_put_request(&writer, request);
    if (writer.overflow) {
        return false;
    }
    cbor_reader_init(&reader, (struct bytes){writer.data, writer.size});
    record_get_request(&reader, &read);
    return cbor_reader_done(&reader);
}

static void make_process(struct hub *hub, uint32_t process, const struct hub_order *order) {
    const struct record_request *request = order->request;
    struct hub_process *of = &hub->processes[process];
    hub->image.process_number += 1;
    struct record_time now = hub_now(hub);
    /* A deadline before planning plans nothing (SPEC.md section 3). */
    bool is_late = request->deadline_ms != 0 && request->deadline_ms <= hub->clock.wall_ms;
    *of = (struct hub_process){
        .image = {.generation = 1,
                  .flags = RECORD_PLANNED | (is_late ? RECORD_PAST_DEADLINE : 0),
                  .item_count = is_late ? 0 : order->item_count,
                  .created = now,
                  .queued = now},
        .number = hub->image.process_number,
        .first_item = HUB_NONE,
        .last_item = HUB_NONE,
        .capability = order->capability,
        .older = HUB_NONE,
        .newer = HUB_NONE,
        .deadline_ms = request->deadline_ms,
        .not_before_ms = request->not_before_ms,
        .has_key = request->key.size > 0,
        .priority = request->priority,
    };
    if (of->has_key) {
        memcpy(of->key, request->key.data, RECORD_DIGEST_BYTES);
        memcpy(of->body_digest, request->body_digest.data, RECORD_DIGEST_BYTES);
        hash_index_add(&hub->by_key, hub_digest_hash(of->key), process);
    }
    hash_index_add(&hub->by_number, hash_number(of->number), process);
}

static bool starts_later(const struct hub *hub, uint64_t not_before_ms) {
    return not_before_ms != 0 && (hub->clock.wall_ms == 0 || not_before_ms > hub->clock.wall_ms);
}

static void make_item(struct hub *hub, uint32_t process, uint32_t number, uint64_t phone) {
    struct hub_process *of = &hub->processes[process];
    uint32_t item = pool_take(&hub->item_pool);
    check(item != POOL_NONE);
    bool is_later = starts_later(hub, of->not_before_ms);
    hub->items[item] = (struct hub_item){
        .image = {.state = is_later ? RECORD_SCHEDULED : RECORD_READY,
                  .generation = of->image.generation,
                  .target_index = number - 1,
                  .target_phone = phone},
        .process = process,
        .number = number,
        .next_of_process = HUB_NONE,
        .queue = HUB_NONE,
        .first_attempt = HUB_NONE,
        .failed_phone = HUB_NONE,
    };
    *(of->last_item == HUB_NONE ? &of->first_item : &hub->items[of->last_item].next_of_process) =
        item;
    of->last_item = item;
    hub_item_enter(hub, item);
}

static void log_acceptance(struct hub *hub, uint32_t process,
                           const struct record_request *request) {
    hub_log_request(hub, process, request);
    hub_log_process(hub, process, RECORD_PLANNED_EVENT);
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        (void)hub_log_item(hub, i, RECORD_PLANNED_EVENT);
    }
}

enum status hub_accept(struct hub *hub, const struct hub_order *order,
                       struct hub_accepted *accepted) {
    check(order->item_count >= 1);
    check(order->capability < hub->capability_count);
    if (answer_duplicate(hub, order->request, accepted)) {
        return STATUS_OK;
    }
    /* Request, process and items. */
    uint64_t bytes =
        request_bytes(order->request) + (uint64_t)(2 + order->item_count / 2) * HUB_RECORD_BYTES;
    if (bytes > hub->board->frame_bytes - 64 || request_bytes(order->request) > hub->record_bytes) {
        return STATUS_TOO_LARGE;
    }
    if (!is_recordable(hub, order->request)) {
        return STATUS_MALFORMED;
    }
    uint64_t attempts = hub->capabilities[order->capability].attempts_max;
    uint64_t later =
        order->item_count * (attempts * 4 * HUB_RECORD_BYTES + HUB_ERROR_BYTES + HUB_RECORD_BYTES);
    enum status status = evict_for(hub, order->item_count, bytes + later);
    if (status == STATUS_OK && !hub_has_room(hub, (uint32_t)bytes)) {
        status = STATUS_AGAIN;
    }
    if (status != STATUS_OK) {
        return status;
    }
    uint32_t process = pool_take(&hub->process_pool);
    check(process != POOL_NONE);
    make_process(hub, process, order);
    for (uint32_t i = 0; i < hub->processes[process].image.item_count; i++) {
        make_item(hub, process, i + 1, order->phones == NULL ? 0 : order->phones[i]);
    }
    log_acceptance(hub, process, order->request);
    hub_process_arm(hub, process);
    hub_process_settle(hub, process);
    hub->counters.accepted += 1;
    *accepted = (struct hub_accepted){
        .number = hub->processes[process].number,
        .process = process,
        .status = hub->processes[process].status,
    };
    return STATUS_OK;
}

enum status hub_cancel(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    check(pool_is_used(&hub->process_pool, process));
    if (of->end_seq != 0) {
        return STATUS_TERMINAL;
    }
    if ((of->image.flags & RECORD_CANCEL_REQUESTED) != 0) {
        return STATUS_OK;
    }
    if (!hub_has_room(hub, hub_process_end_room(hub, process))) {
        return STATUS_AGAIN;
    }
    of->image.flags |= RECORD_CANCEL_REQUESTED;
    of->image.cancel_requested = hub_now(hub);
    hub_log_process(hub, process, RECORD_CANCEL_REQUESTED_EVENT);
    hub_process_end_items(hub, process, RECORD_STOP_CANCEL);
    hub_process_settle(hub, process);
    return STATUS_OK;
}
