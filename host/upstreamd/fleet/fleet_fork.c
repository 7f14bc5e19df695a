#include "host/upstreamd/fleet/fleet_fork.h"

#include "host/shared/log.h"

#include <string.h>

enum { EPOCH_MAX = (1 << 23) - 1, SWAPS_MS = 600000 };

static uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* ---- which life ---- */

/* The hub has taken on the epoch that was named to it: its log begins anew, behind a gap. */
static enum status begin_life(struct fleet *fleet, struct db_store *store, bool has_inventory) {
    store->epoch = store->named;
    store->named = 0;
    store->cursor = 0;
    memset(store->chain, 0, sizeof store->chain);
    const struct db_fork_start start = {has_inventory, store->is_listing};
    store->is_listing = has_inventory;
    log_info("store_epoch hub=%s epoch=%u", store->hub_id, store->epoch);
    enum status status = db_store_put(fleet->db, store);
    status = status == STATUS_OK ? db_fork_begin(fleet->db, store->id, &start) : status;
    if (status == STATUS_OK && !has_inventory) { /* what comes is all there is */
        status = db_fork_lose(fleet->db, store->id, 1, SYNC_SEQ_MAX);
    }
    return status == STATUS_OK ? db_fork_lose_others(fleet->db, store) : status;
}

/* A store that is not known. One that would begin in an epoch which another store of this hub has
 * had, or was named, gets a later one first. */
static enum status add_store(struct fleet *fleet, struct db_store *store, uint32_t epoch,
                             uint32_t known, enum fleet_life *life) {
    store->base_epoch = epoch;
    store->first_epoch = epoch;
    store->epoch = epoch > known ? epoch : 0;
    *life = epoch > known ? FLEET_LIFE_PRESENT : FLEET_LIFE_FORMER;
    log_info("store_new hub=%s epoch=%u", store->hub_id, epoch);
    enum status status = db_store_add(fleet->db, store);
    bool replaces = known > 0 && store->epoch != 0;
    return status == STATUS_OK && replaces ? db_fork_lose_others(fleet->db, store) : status;
}

/* A later life that nobody here named, from its first record on: nothing of it is missing. */
static bool is_whole(const struct sync_push *push) {
    return push->cursor == 0 && push->gap.first == 0 && push->first_seq == 1 &&
           push->group_count > 0;
}

enum status fleet_find_life(struct fleet *fleet, struct db_hub *hub, const struct sync_push *push,
                            struct db_store *store, enum fleet_life *life) {
    uint32_t used = 0;
    uint32_t named = 0;
    *store = (struct db_store){0};
    memcpy(store->hub_id, hub->id, sizeof store->hub_id);
    memcpy(store->store_id, push->store_id, SYNC_STORE_ID_BYTES);
    enum status status = db_store_epochs(fleet->db, hub->id, &used, &named);
    if (status != STATUS_OK) {
        return status;
    }
    status = db_store_find(fleet->db, store);
    if (status == STATUS_NOT_FOUND) {
        return add_store(fleet, store, push->epoch, larger(used, named), life);
    }
    bool is_named = push->epoch == store->named;
    if (status == STATUS_OK && push->epoch > used && (is_named || is_whole(push))) {
        store->named = push->epoch;
        status = begin_life(fleet, store, is_named);
        used = store->epoch;
        hub->settled_epoch = 0;
    }
    *life = push->epoch == store->epoch && store->epoch == used ? FLEET_LIFE_PRESENT
            : push->epoch > used                                ? FLEET_LIFE_FORGOTTEN
                                                                : FLEET_LIFE_FORMER;
    return status;
}

/* ---- a fork ---- */

/* Two hosts with one certificate take each other's epoch away, again and again. */
static void count_swap(struct fleet *fleet, struct db_hub *hub) {
    uint64_t now_ms = fleet->now.wall_ms;
    if (hub->swap_ms[0] != 0 && now_ms - hub->swap_ms[0] <= SWAPS_MS) {
        hub->quarantined_ms = now_ms;
        log_error("hub_quarantined hub=%s reason=%s", hub->id,
                  "two hosts use its certificate by turns");
    }
    hub->swap_ms[0] = hub->swap_ms[1];
    hub->swap_ms[1] = now_ms;
}

enum status fleet_fork(struct fleet *fleet, const struct fleet_visit *visit) {
    struct db_store *store = visit->store;
    uint32_t used = 0;
    uint32_t named = 0;
    enum status status = db_store_epochs(fleet->db, visit->hub->id, &used, &named);
    uint32_t least = larger(used, visit->push->epoch);
    if (status == STATUS_OK && store->named <= least) {
        uint32_t next = larger(least, named) + 1;
        fleet->counters.forks += 1;
        visit->hub->forks += 1;
        if (visit->life == FLEET_LIFE_FORMER && store->epoch != 0) {
            count_swap(fleet, visit->hub);
        }
        store->named = next <= EPOCH_MAX ? next : 0;
        status = db_store_put(fleet->db, store);
    }
    visit->reply->result = SYNC_FORK;
    visit->reply->epoch = store->named;
    visit->reply->retry_after_ms = store->named == 0 ? FLEET_FORK_RETRY_MS : 0;
    return status;
}

enum status fleet_release(struct fleet *fleet, const char *hub_id) {
    struct db_hub hub;
    enum status status = db_hub_get(fleet->db, hub_id, &hub);
    if (status == STATUS_OK) {
        status = db_hub_lock(fleet->db, hub_id, fleet->now.wall_ms, &hub);
    }
    hub.quarantined_ms = 0;
    memset(hub.swap_ms, 0, sizeof hub.swap_ms);
    return status == STATUS_OK ? db_hub_put(fleet->db, &hub) : status;
}
