#include "host/upstreamd/fleet/fleet.h"

#include "host/shared/log.h"
#include "host/upstreamd/fleet/apply.h"
#include "host/upstreamd/fleet/fleet_fork.h"

#include <string.h>

static const uint8_t chain_start[RECORD_CHAIN_BYTES];

bool fleet_is_stale(const struct fleet *fleet, uint64_t last_seen_ms) {
    return fleet->now.wall_ms > last_seen_ms && fleet->now.wall_ms - last_seen_ms > FLEET_STALE_MS;
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
    return db_chain_at(fleet->db, store, seq, chain);
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

/* What the hub has given up of what is not stored here: `store` is moved behind it. OK, MALFORMED,
 * AGAIN (records before it are missing) or IO. */
static enum status judge_gap(struct fleet *fleet, struct db_store *store,
                             const struct sync_push *push, const char **why) {
    const struct record_gap *gap = &push->gap;
    if (gap->first > store->cursor + 1) {
        *why = "records before the gap are missing";
        return STATUS_AGAIN;
    }
    if (gap->last <= store->cursor) {
        *why = "the chain hash at the gap's end differs";
        return compare_at(fleet, store, gap->last, gap->chain);
    }
    store->cursor = gap->last;
    memcpy(store->chain, gap->chain, RECORD_CHAIN_BYTES);
    return STATUS_OK;
}

/* OK: the new groups may be stored behind `store`, which a gap may have moved. MALFORMED: a fork.
 * AGAIN: records are missing. */
static enum status judge(struct fleet *fleet, struct db_store *store, const struct sync_push *push,
                         const char **why) {
    if (push->cursor > store->cursor) {
        *why = "the hub's cursor is beyond upstream's";
        return STATUS_MALFORMED;
    }
    enum status status = compare_at(fleet, store, push->cursor, push->chain);
    if (status != STATUS_OK) {
        *why = "the chain hash at the hub's cursor differs";
        return status;
    }
    if (push->gap.first != 0) {
        status = judge_gap(fleet, store, push, why);
        if (status != STATUS_OK) {
            return status;
        }
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

enum status fleet_learn_clock(struct fleet *fleet, const struct db_store *store,
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

void fleet_begin_apply(struct fleet *fleet, const struct db_store *store, const struct db_hub *hub,
                       struct apply *apply) {
    *apply =
        (struct apply){.db = fleet->db, .store = store, .clock = {fleet->boots, fleet->boot_count}};
    apply->parts = (struct parts){.db = fleet->db,
                                  .store = store->id,
                                  .hub = hub->id,
                                  .clock = &apply->clock,
                                  .now_ms = fleet->now.wall_ms};
}

/* What never came is counted once: a gap that grew is told as a whole. */
static enum status store_gap(struct fleet *fleet, const struct db_store *store,
                             const struct sync_push *push, struct db_hub *hub) {
    struct record_gap gap = push->gap;
    bool is_life = store->cursor == 0 && store->epoch > store->base_epoch && gap.first == 1;
    uint64_t known[RECORD_KIND_COUNT];
    uint64_t count = 0;
    enum status status = db_gap_sum(fleet->db, store, gap.first, known);
    for (size_t kind = 0; kind < RECORD_KIND_COUNT && status == STATUS_OK; kind++) {
        bool is_more = gap.dropped[kind] > known[kind];
        gap.dropped[kind] = is_more ? gap.dropped[kind] - (uint32_t)known[kind] : 0;
        count += gap.dropped[kind];
    }
    gap.first = gap.first > store->cursor ? gap.first : store->cursor + 1;
    hub->gaps += !is_life;
    hub->given_up += count;
    fleet->counters.given_up += count;
    log_warn("hub_gave_up hub=%s first=%llu last=%llu records=%llu", hub->id,
             (unsigned long long)gap.first, (unsigned long long)gap.last,
             (unsigned long long)count);
    return status == STATUS_OK ? db_gap_add(fleet->db, store, &gap, fleet->now.wall_ms) : status;
}

static enum status store_groups(struct fleet *fleet, struct db_store *store,
                                const struct sync_push *push, struct db_hub *hub) {
    struct sync_push walk = *push;
    struct sync_group group;
    enum status status = fleet_learn_clock(fleet, store, &push->now);
    status = status == STATUS_OK ? db_prefetch(fleet->db, store->id, push) : status;
    struct apply apply;
    fleet_begin_apply(fleet, store, hub, &apply);
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
    fleet->has_changed = fleet->has_changed || apply.parts.has_changed;
    fleet->counters.sealed += apply.sealed;
    if (status == STATUS_OK && apply.first_epoch != 0 && apply.first_epoch != store->first_epoch) {
        store->first_epoch = apply.first_epoch; /* upstream met this store in a later life */
        status = db_store_put(fleet->db, store);
    }
    if (status == STATUS_OK && apply.is_told && store->is_listing) {
        store->is_listing = false;
        log_info("inventory_done hub=%s epoch=%u", hub->id, store->epoch);
        status = db_store_put(fleet->db, store);
    }
    if (apply.record_ms > 0) {
        uint64_t now_ms = fleet->now.wall_ms;
        hub->record_ms = apply.record_ms;
        hub->lag_ms = now_ms > apply.record_ms ? now_ms - apply.record_ms : 0;
    }
    return status == STATUS_OK ? db_store_move(fleet->db, store) : status;
}

/* ---- a push ---- */

static void answer(struct sync_reply *reply, enum sync_result result, const char *text) {
    reply->result = (uint8_t)result;
    reply->text = (struct bytes){(const uint8_t *)text, strlen(text)};
}

/* The hub was heard; that alone is stored only now and then. */
static enum status touch(struct fleet *fleet, struct db_hub *hub, const struct sync_push *push,
                         bool has_changed) {
    uint64_t now_ms = fleet->now.wall_ms;
    bool is_recent = now_ms >= hub->last_seen_ms && now_ms - hub->last_seen_ms < FLEET_SAVE_MS;
    hub->boot = push->now.boot;
    hub->capacity = push->capacity;
    hub->phones = push->phones;
    hub->command = push->command;
    if (!has_changed && is_recent) {
        return STATUS_OK;
    }
    hub->last_seen_ms = now_ms;
    return db_hub_put(fleet->db, hub);
}

static void answer_fork(const struct fleet_visit *visit, const char *why) {
    answer(visit->reply, SYNC_FORK, why);
    log_error("sync_fork hub=%s epoch=%u hub_cursor=%llu cursor=%llu new_epoch=%u reason=%s",
              visit->hub->id, visit->push->epoch, (unsigned long long)visit->push->cursor,
              (unsigned long long)visit->store->cursor, visit->reply->epoch, why);
}

/* A hub that has seen upstream's answers knows of more than is stored here: the database is older
 * than what was told (SPEC.md section 8). */
static void note_proof(struct fleet *fleet, const struct db_store *store,
                       const struct sync_push *push, enum fleet_life life) {
    bool is_ahead = life == FLEET_LIFE_PRESENT && push->cursor > store->cursor;
    if (push->upstream_epoch != 0 && (is_ahead || life == FLEET_LIFE_FORGOTTEN)) {
        fleet->counters.restored += 1;
        fleet->told_epoch =
            push->upstream_epoch > fleet->told_epoch ? push->upstream_epoch : fleet->told_epoch;
    }
}

static bool asks_for_epoch(const struct sync_push *push) {
    struct sync_inventory inventory;
    return push->inventory.size > 0 &&
           sync_inventory_read(push->inventory, &inventory) == STATUS_OK && inventory.asks;
}

/* As judge(), with what speaks against a push whatever its groups are. */
static enum status judge_life(struct fleet *fleet, struct db_store *store,
                              const struct sync_push *push, enum fleet_life life,
                              const char **why) {
    if (life == FLEET_LIFE_FORMER) {
        *why = "another life of this hub has begun since";
        return STATUS_MALFORMED;
    }
    if (life == FLEET_LIFE_FORGOTTEN) {
        *why = "upstream does not know of this life";
        return STATUS_MALFORMED;
    }
    if (asks_for_epoch(push)) {
        *why = "upstream's history is not the hub's";
        return STATUS_MALFORMED;
    }
    return judge(fleet, store, push, why);
}

/* The hub's records, as far as they go on from `behind`: what is stored, or the end of a gap. */
static enum status take_records(struct fleet *fleet, const struct fleet_visit *visit,
                                const struct db_store *behind, bool *has_changed) {
    struct db_store *store = visit->store;
    const struct sync_push *push = visit->push;
    enum status status = STATUS_OK;
    if (behind->cursor > store->cursor) {
        status = store_gap(fleet, store, push, visit->hub);
        *has_changed = true;
        *store = *behind;
        status = status == STATUS_OK ? db_store_move(fleet->db, store) : status;
    }
    if (status == STATUS_OK && push->last_seq > store->cursor) {
        status = store_groups(fleet, store, push, visit->hub);
        *has_changed = true;
    } else if (status == STATUS_OK) {
        fleet->counters.duplicates += push->last_seq + 1 - push->first_seq;
    }
    return status;
}

static enum status store_push(struct fleet *fleet, const struct fleet_visit *visit) {
    const char *why = "";
    struct db_hub *hub = visit->hub;
    struct db_store *store = visit->store;
    struct sync_reply *reply = visit->reply;
    struct db_store behind = *store;
    bool has_changed = hub->store != store->id || hub->settled_epoch == 0;
    enum status status = judge_life(fleet, &behind, visit->push, visit->life, &why);
    if (status == STATUS_OK) {
        status = take_records(fleet, visit, &behind, &has_changed);
    } else if (status == STATUS_AGAIN) {
        fleet->counters.gaps += 1;
        log_warn("sync_gap hub=%s first=%llu cursor=%llu", hub->id,
                 (unsigned long long)visit->push->first_seq, (unsigned long long)store->cursor);
        answer(reply, SYNC_GAP, why);
        status = STATUS_OK;
    } else if (status == STATUS_MALFORMED) {
        note_proof(fleet, store, visit->push, visit->life);
        status = fleet_fork(fleet, visit);
        answer_fork(visit, why);
        has_changed = true;
    }
    /* One that came late, behind a newer push, knows nothing of what that told. */
    bool is_newest = visit->push->last_seq >= store->cursor;
    if (status == STATUS_OK && reply->result == SYNC_OK && is_newest) {
        status = fleet_judge_page(fleet, visit);
    }
    reply->cursor = store->cursor;
    memcpy(reply->chain, store->chain, RECORD_CHAIN_BYTES);
    if (hub->store != store->id && (reply->result != SYNC_FORK || hub->store == 0)) {
        hub->store = store->id;
        hub->settled_epoch = 0;
    }
    return status == STATUS_OK ? touch(fleet, hub, visit->push, has_changed) : status;
}

void fleet_begin_turn(struct fleet *fleet) {
    fleet->page_count = 0;
}

enum status fleet_push(struct fleet *fleet, struct bytes hub_id, const struct sync_push *push,
                       struct sync_reply *reply) {
    char name[RECORD_ID_MAX + 1] = "";
    struct db_store store;
    struct db_hub hub;
    struct fleet_visit visit = {.hub = &hub, .store = &store, .push = push, .reply = reply};
    check(hub_id.size > 0 && hub_id.size <= RECORD_ID_MAX);
    memcpy(name, hub_id.data, hub_id.size);
    fleet->counters.pushes += 1;
    *reply = (struct sync_reply){
        .server_ms = fleet->now.wall_ms,
        .push_bytes_max = SYNC_PUSH_BYTES_MAX,
    };
    enum status status = db_hub_lock(fleet->db, name, fleet->now.wall_ms, &hub);
    if (status == STATUS_OK && hub.quarantined_ms != 0) {
        fleet->counters.refused += 1;
        answer(reply, SYNC_REFUSED,
               "two hosts use this certificate by turns: quarantined until "
               "an operator releases the hub (POST /hubs/{id}/release)");
        reply->retry_after_ms = FLEET_FORK_RETRY_MS;
        return STATUS_OK;
    }
    status = status == STATUS_OK ? fleet_find_life(fleet, &hub, push, &store, &visit.life) : status;
    return status == STATUS_OK ? store_push(fleet, &visit) : status;
}
