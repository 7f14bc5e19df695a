/* The other end, after host/upstreamd/fleet/fleet.c: stores groups in order, once, and says how far
 * it has come. What it holds must be the hub's own log, to the bit. */
#include "tests/sim/sim.h"

#include <string.h>

void sim_upstream_init(struct sim_world *world) {
    memset(&world->upstream, 0, sizeof world->upstream);
    world->upstream.is_up = true;
}

static bool is_chain(const uint8_t *a, const uint8_t *b) {
    return memcmp(a, b, RECORD_CHAIN_BYTES) == 0;
}

static void store_group(struct sim_world *world, struct sim_host *host, struct sim_store *store,
                        const struct sync_group *group) {
    uint8_t next[RECORD_CHAIN_BYTES];
    struct bytes records = group->records;
    struct bytes body;
    sync_chain_next(store->chain, group, next);
    sim_require(world, is_chain(next, group->chain), "I31 a group's chain hash is wrong");
    struct fleet_hub *fleet = &world->fleet.db.hubs[host->index];
    while (sync_record_next(&records, &body)) {
        store->hash = shadow_mix(store->hash, body);
        if (group->first_seq > fleet->applied) {
            fleet_take_record(host, body);
        }
    }
    store->cursor = group->first_seq + group->record_count - 1;
    fleet->applied = store->cursor > fleet->applied ? store->cursor : fleet->applied;
    memcpy(store->chain, next, RECORD_CHAIN_BYTES);
    uint64_t hash;
    if (!store->has_hash || !shadow_hash_at(&host->shadow, store->cursor, &hash)) {
        sim_require(world, store->cursor <= host->shadow.seq,
                    "I32 upstream was given %llu, durable are %llu",
                    (unsigned long long)store->cursor, (unsigned long long)host->shadow.seq);
        world->counts.late_push += 1;
        return;
    }
    sim_require(world, hash == store->hash, "I31 upstream's history is not the hub's");
}

/* What the hub has given up does not come: its own log says how the history goes on. */
static void pass_gap(struct sim_world *world, const struct sim_host *host, struct sim_store *store,
                     const struct record_gap *gap) {
    sim_require(world, gap->first <= store->cursor + 1,
                "I34 a gap is no prefix of what is missing");
    world->counts.gaps += 1;
    store->cursor = gap->last;
    store->has_hash = shadow_hash_at(&host->shadow, gap->last, &store->hash);
    memcpy(store->chain, gap->chain, RECORD_CHAIN_BYTES);
}

static bool follows(const struct sim_store *store, const struct sync_push *push) {
    return push->cursor < store->cursor || is_chain(push->chain, store->chain);
}

static enum sync_result take_push(struct sim_world *world, struct sim_host *host,
                                  struct sim_store *store, const struct sync_push *push) {
    if (!store->is_known && push->cursor == 0) {
        *store =
            (struct sim_store){.is_known = true, .epoch = push->epoch, .hash = 1, .has_hash = true};
        memcpy(store->id, push->store_id, SYNC_STORE_ID_BYTES);
        fleet_new_store(world, host->index, push->store_id);
    }
    bool is_same =
        memcmp(store->id, push->store_id, SYNC_STORE_ID_BYTES) == 0 && store->epoch == push->epoch;
    if (!store->is_known || !is_same || push->cursor > store->cursor) {
        return SYNC_FORK;
    }
    if (push->cursor == store->cursor && !follows(store, push)) {
        return SYNC_FORK;
    }
    if (push->gap.first != 0 && push->gap.last > store->cursor) {
        pass_gap(world, host, store, &push->gap);
    }
    if (push->first_seq > store->cursor + 1) {
        return SYNC_GAP;
    }
    struct sync_push walk = *push;
    struct sync_group group;
    while (sync_group_next(&walk, &group)) {
        if (group.first_seq == store->cursor + 1) {
            store_group(world, host, store, &group);
        }
    }
    return SYNC_OK;
}

/* What a confused upstream says instead. */
static void spoil(struct sim_world *world, struct sim_host *host, struct sync_reply *reply,
                  struct cbor_writer *writer) {
    if (host->wants_bad_ack) {
        host->wants_bad_ack = false;
        sim_count_fault(world, SIM_FAULT_UP_BAD_ACK);
        reply->cursor += 1 + sim_dice_roll(&world->dice, 1000);
        host->may_fork = true;
    }
    if (host->wants_garbage) {
        host->wants_garbage = false;
        sim_count_fault(world, SIM_FAULT_UP_GARBAGE);
        cbor_put_uint(writer, sim_dice_next(&world->dice));
    }
}

bool sim_upstream_take(struct sim_world *world, uint32_t index, struct bytes bytes,
                       struct cbor_writer *writer) {
    struct sim_upstream *upstream = &world->upstream;
    struct sim_host *host = &world->hosts[index];
    struct sim_store *store = &upstream->stores[index];
    struct sync_push push;
    if (!upstream->is_up) {
        return false;
    }
    enum status status = sync_push_read(bytes, &push);
    sim_require(world, status == STATUS_OK, "I31 a push is malformed: status %d", status);
    enum sync_result result = take_push(world, host, store, &push);
    sim_mix(world, store->cursor);
    if (store->cursor > host->shadow.acked) {
        host->shadow.acked = store->cursor;
    }
    struct sync_reply reply = {
        .result = (uint8_t)result,
        .cursor = store->cursor,
        .server_ms = world->now_ms,
        .push_bytes_max = SYNC_PUSH_BYTES_MAX,
    };
    fleet_answer(host, &push, &reply);
    if (upstream->wants_crash) { /* it has stored, and dies before it answers */
        upstream->wants_crash = false;
        upstream->is_up = false;
        sim_count_fault(world, SIM_FAULT_UP_CRASH);
        return false;
    }
    memcpy(reply.chain, store->chain, RECORD_CHAIN_BYTES);
    spoil(world, host, &reply, writer);
    sync_reply_write(writer, &reply);
    return !writer->overflow;
}
