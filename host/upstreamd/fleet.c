#include "host/upstreamd/fleet.h"

#include "host/shared/log.h"
#include "host/upstreamd/apply.h"

#include <string.h>

static const uint8_t chain_start[RECORD_CHAIN_BYTES];

/* ---- hubs ---- */

static struct db_hub *find_hub(struct fleet *fleet, const char *hub_id) {
    for (uint32_t i = 0; i < fleet->hub_count; i++) {
        if (strcmp(fleet->hubs[i].id, hub_id) == 0) {
            return &fleet->hubs[i];
        }
    }
    return NULL;
}

const struct db_hub *fleet_hub(const struct fleet *fleet, const char *hub_id) {
    for (uint32_t i = 0; i < fleet->hub_count; i++) {
        if (strcmp(fleet->hubs[i].id, hub_id) == 0) {
            return &fleet->hubs[i];
        }
    }
    return NULL;
}

bool fleet_is_stale(const struct fleet *fleet, const struct db_hub *hub) {
    return fleet->now.wall_ms > hub->last_seen_ms &&
           fleet->now.wall_ms - hub->last_seen_ms > FLEET_STALE_MS;
}

enum status fleet_reload(struct fleet *fleet) {
    const char *behind = "";
    enum status status = STATUS_OK;
    fleet->hub_count = 0;
    while (fleet->hub_count < FLEET_HUBS_MAX) {
        struct db_hub *hub = &fleet->hubs[fleet->hub_count];
        status = db_hub_next(fleet->db, behind, hub);
        if (status != STATUS_OK) {
            break;
        }
        fleet->saved_ms[fleet->hub_count] = hub->last_seen_ms;
        fleet->hub_count += 1;
        behind = hub->id;
    }
    if (status == STATUS_OK) {
        struct db_hub more;
        status = db_hub_next(fleet->db, behind, &more);
        status = status == STATUS_OK ? STATUS_FULL : status;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

enum status fleet_open(struct fleet *fleet, struct db *db) {
    *fleet = (struct fleet){.db = db};
    return fleet_reload(fleet);
}

/* ---- judging ---- */

/* The chain hash at a place of the store. NOT_FOUND: no group ends there. */
static enum status chain_at(struct fleet *fleet, const struct db_store *store, uint64_t seq,
                            uint8_t chain[RECORD_CHAIN_BYTES]) {
    if (seq == 0) {
        memcpy(chain, chain_start, RECORD_CHAIN_BYTES);
        return STATUS_OK;
    }
    if (seq == store->cursor) {
        memcpy(chain, store->chain, RECORD_CHAIN_BYTES);
        return STATUS_OK;
    }
    return db_chain_at(fleet->db, store->id, seq, chain);
}

/* Whether the hub's history is ours at `seq`. OK, MALFORMED (it is not) or IO. */
static enum status compare_at(struct fleet *fleet, const struct db_store *store, uint64_t seq,
                              const uint8_t chain[RECORD_CHAIN_BYTES]) {
    uint8_t ours[RECORD_CHAIN_BYTES];
    enum status status = chain_at(fleet, store, seq, ours);
    if (status == STATUS_NOT_FOUND ||
        (status == STATUS_OK && memcmp(ours, chain, RECORD_CHAIN_BYTES) != 0)) {
        return STATUS_MALFORMED;
    }
    return status;
}

/* Walks the groups, computing each chain hash from the one before; what is stored already must be
 * the same. OK, MALFORMED with `why`, or IO. */
static enum status judge_groups(struct fleet *fleet, const struct db_store *store,
                                const struct sync_push *push, const char **why) {
    struct sync_push walk = *push;
    struct sync_group group;
    uint8_t chain[RECORD_CHAIN_BYTES];
    enum status status = chain_at(fleet, store, push->first_seq - 1, chain);
    if (status != STATUS_OK) {
        *why = "the first record does not begin a group of upstream's history";
        return status == STATUS_NOT_FOUND ? STATUS_MALFORMED : status;
    }
    while (sync_group_next(&walk, &group)) {
        uint64_t last_seq = group.first_seq + group.record_count - 1;
        sync_chain_next(chain, &group, chain);
        if (memcmp(chain, group.chain, RECORD_CHAIN_BYTES) != 0) {
            *why = "a group's chain hash does not follow from its records";
            return STATUS_MALFORMED;
        }
        if (group.first_seq > store->cursor) {
            continue;
        }
        status = compare_at(fleet, store, last_seq, chain);
        if (status != STATUS_OK) {
            *why = "a group differs from the one upstream has stored";
            return status;
        }
    }
    return STATUS_OK;
}

/* OK: the new groups may be stored. MALFORMED: a fork. AGAIN: a gap. */
static enum status judge(struct fleet *fleet, const struct db_store *store,
                         const struct sync_push *push, const char **why) {
    if (push->cursor > store->cursor) {
        *why = "the hub's cursor is beyond upstream's";
        return STATUS_MALFORMED;
    }
    enum status status = compare_at(fleet, store, push->cursor, push->chain);
    if (status != STATUS_OK) {
        *why = "the chain hash at the hub's cursor differs";
        return status;
    }
    if (push->first_seq > store->cursor + 1) {
        *why = "records before these are missing";
        return push->group_count > 0 ? STATUS_AGAIN : STATUS_OK;
    }
    return push->group_count > 0 ? judge_groups(fleet, store, push, why) : STATUS_OK;
}

/* ---- storing ---- */

static enum status store_group(struct apply *apply, const struct sync_group *group) {
    struct bytes records = group->records;
    struct bytes body;
    uint64_t seq = group->first_seq;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && sync_record_next(&records, &body)) {
        bool is_last = records.size == 0;
        status = apply_record(apply, seq, body, is_last ? group->chain : NULL);
        seq += 1;
    }
    return status;
}

/* A boot whose clock the hub has not told yet: what it says now, or the moment the push came. */
static enum status learn_clock(struct fleet *fleet, const struct db_store *store,
                               const struct record_time *now) {
    uint64_t wall_ms = now->wall_ms > 0 ? now->wall_ms : fleet->now.wall_ms;
    struct record_boot boot = {now->boot, wall_ms - now->mono_ms};
    enum status status = STATUS_OK;
    if (wall_ms > now->mono_ms) {
        status = db_boot_put(fleet->db, store->id, &boot, true);
    }
    if (status == STATUS_OK) {
        status = db_boots_get(fleet->db, store->id, fleet->boots, &fleet->boot_count);
    }
    return status;
}

static enum status store_groups(struct fleet *fleet, struct db_store *store,
                                const struct sync_push *push, struct db_hub *hub) {
    struct sync_push walk = *push;
    struct sync_group group;
    enum status status = learn_clock(fleet, store, &push->now);
    struct apply apply = {
        .db = fleet->db, .store = store->id, .clock = {fleet->boots, fleet->boot_count}};
    while (status == STATUS_OK && sync_group_next(&walk, &group)) {
        if (group.first_seq <= store->cursor) {
            fleet->counters.duplicates += group.record_count;
            continue;
        }
        status = store_group(&apply, &group);
        store->cursor = group.first_seq + group.record_count - 1;
        memcpy(store->chain, group.chain, RECORD_CHAIN_BYTES);
        fleet->counters.records += group.record_count;
        fleet->counters.bytes += group.records.size;
    }
    fleet->counters.unknown += apply.unknown;
    if (apply.record_ms > 0) {
        uint64_t now_ms = fleet->now.wall_ms;
        hub->record_ms = apply.record_ms;
        hub->lag_ms = now_ms > apply.record_ms ? now_ms - apply.record_ms : 0;
    }
    return status == STATUS_OK ? db_store_move(fleet->db, store) : status;
}

/* Finds the store that pushes, or takes in a new one. MALFORMED: an older life of it. */
static enum status find_store(struct fleet *fleet, const char *hub_id, const struct sync_push *push,
                              struct db_store *store) {
    uint32_t newest = 0;
    *store = (struct db_store){.epoch = push->epoch};
    memcpy(store->hub_id, hub_id, strlen(hub_id) + 1);
    memcpy(store->store_id, push->store_id, SYNC_STORE_ID_BYTES);
    enum status status = db_store_epoch(fleet->db, store, &newest);
    if (status != STATUS_OK) {
        return status;
    }
    if (newest > push->epoch) {
        return STATUS_MALFORMED;
    }
    status = db_store_find(fleet->db, store);
    if (status == STATUS_NOT_FOUND && push->cursor == 0) {
        log_info("store_new hub=%s epoch=%u", hub_id, push->epoch);
        status = db_store_add(fleet->db, store);
    } else if (status == STATUS_NOT_FOUND) {
        status = STATUS_OK; /* a fork, as the cursor will show; it is not made for that */
    }
    return status;
}

/* ---- a push ---- */

static void answer(struct sync_reply *reply, enum sync_result result, const char *text) {
    reply->result = (uint8_t)result;
    reply->text = (struct bytes){(const uint8_t *)text, strlen(text)};
}

static struct db_hub *add_hub(struct fleet *fleet, const char *hub_id) {
    if (fleet->hub_count == FLEET_HUBS_MAX) {
        return NULL;
    }
    struct db_hub *hub = &fleet->hubs[fleet->hub_count];
    fleet->saved_ms[fleet->hub_count] = 0;
    fleet->hub_count += 1;
    *hub = (struct db_hub){.first_seen_ms = fleet->now.wall_ms};
    memcpy(hub->id, hub_id, strlen(hub_id) + 1);
    return hub;
}

/* The hub was heard; that alone is stored only now and then. */
static enum status touch(struct fleet *fleet, struct db_hub *hub, const struct sync_push *push,
                         bool has_changed) {
    uint64_t *saved_ms = &fleet->saved_ms[hub - fleet->hubs];
    hub->boot = push->now.boot;
    hub->capacity = push->capacity;
    hub->phones = push->phones;
    hub->command = push->command;
    hub->last_seen_ms = fleet->now.wall_ms;
    if (!has_changed && hub->last_seen_ms - *saved_ms < FLEET_SAVE_MS) {
        return STATUS_OK;
    }
    *saved_ms = hub->last_seen_ms;
    return db_hub_put(fleet->db, hub);
}

static enum status store_push(struct fleet *fleet, struct db_hub *hub, struct db_store *store,
                              const struct sync_push *push, struct sync_reply *reply) {
    const char *why = "upstream holds a newer epoch of this store";
    bool is_old = store->id == 0 && push->cursor == 0;
    enum status status = is_old ? STATUS_MALFORMED : judge(fleet, store, push, &why);
    bool has_changed = hub->store != store->id;
    if (status == STATUS_OK && push->last_seq > store->cursor) {
        status = store_groups(fleet, store, push, hub);
        has_changed = true;
    } else if (status == STATUS_OK) {
        fleet->counters.duplicates += push->last_seq + 1 - push->first_seq;
    } else if (status == STATUS_AGAIN) {
        fleet->counters.gaps += 1;
        log_warn("sync_gap hub=%s first=%llu cursor=%llu", hub->id,
                 (unsigned long long)push->first_seq, (unsigned long long)store->cursor);
        answer(reply, SYNC_GAP, why);
        status = STATUS_OK;
    } else if (status == STATUS_MALFORMED) {
        fleet->counters.forks += 1;
        hub->forks += 1;
        has_changed = true;
        log_error("sync_fork hub=%s epoch=%u hub_cursor=%llu cursor=%llu reason=%s", hub->id,
                  push->epoch, (unsigned long long)push->cursor, (unsigned long long)store->cursor,
                  why);
        answer(reply, SYNC_FORK, why);
        reply->retry_after_ms = FLEET_FORK_RETRY_MS;
        status = STATUS_OK;
    }
    reply->cursor = store->cursor;
    memcpy(reply->chain, store->chain, RECORD_CHAIN_BYTES);
    if (store->id != 0) {
        hub->store = store->id;
    }
    return status == STATUS_OK ? touch(fleet, hub, push, has_changed) : status;
}

enum status fleet_push(struct fleet *fleet, struct bytes hub_id, const struct sync_push *push,
                       struct sync_reply *reply) {
    char name[RECORD_ID_MAX + 1] = "";
    struct db_store store;
    check(hub_id.size > 0 && hub_id.size <= RECORD_ID_MAX);
    memcpy(name, hub_id.data, hub_id.size);
    struct db_hub *hub = find_hub(fleet, name);
    if (hub == NULL) {
        hub = add_hub(fleet, name);
    }
    if (hub == NULL) {
        fleet->counters.refused += 1;
        return STATUS_FULL;
    }
    fleet->counters.pushes += 1;
    *reply = (struct sync_reply){
        .server_ms = fleet->now.wall_ms,
        .push_bytes_max = SYNC_PUSH_BYTES_MAX,
    };
    enum status status = find_store(fleet, name, push, &store);
    if (status == STATUS_MALFORMED) {
        store.id = 0;
        store.cursor = 0;
        status = STATUS_OK;
    }
    return status == STATUS_OK ? store_push(fleet, hub, &store, push, reply) : status;
}
