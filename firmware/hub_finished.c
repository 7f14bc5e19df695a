/* Finished processes: how long they are kept, and their idempotency keys after them. */
#include "firmware/hub_fork.h"
#include "firmware/hub_internal.h"

#include <string.h>

enum {
    KEY_KEPT_MS = 7 * 24 * 3600 * 1000,    /* SPEC.md section 4 */
    EVICTION_BYTES = 4 * HUB_RECORD_BYTES, /* of its process, key and hub records */
};

/* ---- idempotency ---- */

enum { SYNCHRONISED = 2 }; /* quality of a wall clock */

/* A key that goes too early lets work be done twice, so only what is proved counts: this boot's
 * monotonic clock, and between boots a wall clock that was synchronised at both ends. A clock chip
 * may be wrong by years. A key that stays too long gives way to newer ones. */
static bool is_expired(const struct hub *hub, const struct hub_key *key) {
    const struct record_time *from = &key->evicted;
    const struct hub_clock *now = &hub->clock;
    if (from->boot == hub->image.boot) {
        return now->mono_ms - from->mono_ms > KEY_KEPT_MS;
    }
    bool are_both_sound = from->quality == SYNCHRONISED && now->quality == SYNCHRONISED;
    return now->mono_ms > KEY_KEPT_MS || (are_both_sound && now->wall_ms > from->wall_ms &&
                                          now->wall_ms - from->wall_ms > KEY_KEPT_MS);
}

/* The process or kept key that holds this digest: index, kept keys from `processes` on. A clock
 * that is set back lets an expired key hold again: the newest process counts. */
static uint32_t find_key(const struct hub *hub, const uint8_t *digest) {
    uint32_t best = HUB_NONE;
    uint64_t newest = 0;
    uint32_t hash = hub_digest_hash(digest);
    uint32_t at = hash_index_start(&hub->by_key, hash);
    for (;;) {
        uint32_t entry = hash_index_next(&hub->by_key, hash, &at);
        if (entry == HASH_INDEX_NONE) {
            return best;
        }
        const uint8_t *known = entry < hub->board->processes
                                   ? hub->processes[entry].key
                                   : hub->keys[entry - hub->board->processes].key;
        bool is_gone = entry >= hub->board->processes &&
                       is_expired(hub, &hub->keys[entry - hub->board->processes]);
        uint64_t number = entry < hub->board->processes
                              ? hub->processes[entry].number
                              : hub->keys[entry - hub->board->processes].process;
        if (!is_gone && number > newest && memcmp(known, digest, RECORD_DIGEST_BYTES) == 0) {
            best = entry;
            newest = number;
        }
    }
}

bool hub_answer_duplicate(struct hub *hub, const struct record_request *request,
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

void hub_finished_remove(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    *(of->older == HUB_NONE ? &hub->oldest_finished : &hub->processes[of->older].newer) = of->newer;
    *(of->newer == HUB_NONE ? &hub->newest_finished : &hub->processes[of->newer].older) = of->older;
    of->older = HUB_NONE;
    of->newer = HUB_NONE;
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

void hub_process_keep_tokens(struct hub *hub, uint32_t process) {
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

void hub_process_remove(struct hub *hub, uint32_t process) {
    struct hub_process *of = &hub->processes[process];
    hash_index_remove(&hub->by_number, hash_number(of->number), process);
    hub_part_unindex(hub, process);
    uint32_t item = of->first_item;
    while (item != HUB_NONE) {
        uint32_t next = hub->items[item].next_of_process;
        forget_item(hub, item);
        item = next;
    }
    store_release(&hub->store, (struct store_key){RECORD_REQUEST, process});
    pool_give(&hub->process_pool, process);
}

void hub_process_forget(struct hub *hub, uint32_t process) {
    const struct hub_process *of = &hub->processes[process];
    hub_process_keep_tokens(hub, process);
    hub_log_process(hub, process, RECORD_EVICTED_EVENT);
    hub_finished_remove(hub, process);
    if (of->has_key) {
        hash_index_remove(&hub->by_key, hub_digest_hash(of->key), process);
        keep_key(hub, process);
    }
    hub_process_remove(hub, process);
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

static bool is_acknowledged(const struct hub *hub, enum record_kind kind, uint32_t index) {
    const struct store_slot *slot =
        store_slot(&hub->store, (struct store_key){(uint8_t)kind, index});
    return slot->seq <= hub->store.acked_seq;
}

/* Each of its records may have been appended again, when older history was given up: behind its
 * end, too. */
static bool is_told(const struct hub *hub, uint32_t process) {
    bool is_all = is_acknowledged(hub, RECORD_PROCESS, process) &&
                  is_acknowledged(hub, RECORD_REQUEST, process);
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE && is_all;
         i = hub->items[i].next_of_process) {
        is_all = is_acknowledged(hub, RECORD_ITEM, i);
        for (uint32_t a = hub->items[i].first_attempt; a != HUB_NONE && is_all;
             a = hub->attempts[a].next) {
            is_all = is_acknowledged(hub, RECORD_ATTEMPT, a);
        }
    }
    return (is_all && hub_fork_is_settled(hub)) || !hub->has_upstream;
}

static uint32_t count_items(const struct hub *hub, uint32_t process) {
    uint32_t count = 0;
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE;
         i = hub->items[i].next_of_process) {
        count += 1;
    }
    return count;
}

/* How many of the oldest finished processes must go for `items` more items and `bytes` more in the
 * store. HUB_NONE: it would not fit then either, or upstream has not stored one of their ends. */
static uint32_t count_evictions(const struct hub *hub, uint32_t items, uint64_t bytes,
                                uint32_t except) {
    uint32_t processes_free = pool_free_count(&hub->process_pool);
    uint32_t items_free = pool_free_count(&hub->item_pool);
    uint64_t freed = 0;
    uint32_t count = 0;
    uint32_t next = hub->oldest_finished;
    uint64_t reserved = hub_reserved_bytes(hub);
    /* Unsigned, so that what is freed may exceed what is asked: the store adds what is live. */
    while (processes_free == 0 || items_free < items ||
           !store_admits(&hub->store, reserved, bytes - freed)) {
        if (next == except && next != HUB_NONE) {
            next = hub->processes[next].newer;
            continue;
        }
        if (next == HUB_NONE || !is_told(hub, next)) {
            return HUB_NONE;
        }
        processes_free += 1;
        items_free += count_items(hub, next);
        freed += evictable_bytes(hub, next);
        count += 1;
        next = hub->processes[next].newer;
    }
    return count;
}

uint32_t hub_capacity(const struct hub *hub) {
    enum { LOOKED_AT = 64 };
    uint32_t processes = pool_free_count(&hub->process_pool);
    uint32_t items = pool_free_count(&hub->item_pool);
    uint32_t next = hub->oldest_finished;
    for (uint32_t i = 0; i < LOOKED_AT && next != HUB_NONE && is_told(hub, next); i++) {
        processes += 1;
        items += count_items(hub, next);
        next = hub->processes[next].newer;
    }
    return processes < items ? processes : items;
}

enum status hub_evict_for(struct hub *hub, uint32_t items, uint64_t bytes, uint32_t except) {
    uint32_t count = count_evictions(hub, items, bytes, except);
    if (count == HUB_NONE) {
        hub->counters.refused_full += 1;
        return STATUS_FULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!hub_has_room(hub, EVICTION_BYTES)) {
            return STATUS_AGAIN;
        }
        uint32_t oldest = hub->oldest_finished;
        hub_process_forget(hub, oldest == except ? hub->processes[oldest].newer : oldest);
    }
    return STATUS_OK;
}
