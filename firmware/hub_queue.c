/* Where ready items wait: lanes, strands and gates (see hub.h). */
#include "firmware/hub_internal.h"

#include <string.h>

/* ---- order: priority, then age ---- */

uint64_t queue_order(const struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    const struct hub_process *process = &hub->processes[of->process];
    uint64_t number = process->number & ((UINT64_C(1) << HUB_ORDER_PROCESS_BITS) - 1);
    check(of->number < UINT32_C(1) << HUB_ORDER_ITEM_BITS);
    return (uint64_t)(9 - process->priority) << (HUB_ORDER_PROCESS_BITS + HUB_ORDER_ITEM_BITS) |
           number << HUB_ORDER_ITEM_BITS | of->number;
}

/* ---- gates ---- */

static uint32_t find_gate(const struct hub *hub, const uint8_t *digest) {
    uint32_t hash = hub_digest_hash(digest);
    uint32_t at = hash_index_start(&hub->by_gate, hash);
    for (;;) {
        uint32_t gate = hash_index_next(&hub->by_gate, hash, &at);
        if (gate == HASH_INDEX_NONE ||
            memcmp(hub->gates[gate].digest, digest, RECORD_DIGEST_BYTES) == 0) {
            return gate == HASH_INDEX_NONE ? HUB_NONE : gate;
        }
    }
}

uint32_t queue_gate_take(struct hub *hub, enum queue_gate kind, struct bytes name) {
    uint8_t digest[SHA256_BYTES];
    const uint8_t prefix = (uint8_t)kind;
    struct sha256 hash;
    if (name.size == 0) {
        return HUB_NONE;
    }
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){&prefix, 1});
    sha256_add(&hash, name);
    sha256_end(&hash, digest);
    uint32_t gate = find_gate(hub, digest);
    if (gate == HUB_NONE) {
        gate = pool_take(&hub->gate_pool);
        check(gate != POOL_NONE); /* one a process and one an item, at most */
        hub->gates[gate] = (struct hub_gate){.parked = HUB_NONE};
        memcpy(hub->gates[gate].digest, digest, RECORD_DIGEST_BYTES);
        hash_index_add(&hub->by_gate, hub_digest_hash(digest), gate);
    }
    hub->gates[gate].references += 1;
    return gate;
}

void queue_gate_give(struct hub *hub, uint32_t gate) {
    if (gate == HUB_NONE) {
        return;
    }
    struct hub_gate *of = &hub->gates[gate];
    of->references -= 1;
    if (of->references == 0) {
        check(of->in_use == 0 && of->parked == HUB_NONE);
        hash_index_remove(&hub->by_gate, hub_digest_hash(of->digest), gate);
        pool_give(&hub->gate_pool, gate);
    }
}

/* The gate that keeps a strand's items from being leased now; HUB_NONE: none. */
uint32_t queue_shut_gate(const struct hub *hub, uint32_t strand) {
    const struct hub_strand *of = &hub->strands[strand];
    const struct capability *capability = &hub->capabilities[hub->lanes[of->lane].capability];
    uint32_t max = capability->concurrency_max == 0 ? 1 : capability->concurrency_max;
    if (of->key_gate != HUB_NONE && hub->gates[of->key_gate].in_use >= max) {
        return of->key_gate;
    }
    if (of->account_gate != HUB_NONE && hub->gates[of->account_gate].in_use >= 1) {
        return of->account_gate;
    }
    return HUB_NONE;
}

/* ---- lanes ---- */

static uint32_t lane_hash(uint32_t capability, uint32_t label_set, uint32_t phone) {
    return hash_number((uint64_t)capability << 42 ^ (uint64_t)label_set << 21 ^ phone);
}

static uint32_t find_lane(const struct hub *hub, uint32_t capability, uint32_t label_set,
                          uint32_t phone) {
    uint32_t hash = lane_hash(capability, label_set, phone);
    uint32_t at = hash_index_start(&hub->by_lane, hash);
    for (;;) {
        uint32_t lane = hash_index_next(&hub->by_lane, hash, &at);
        if (lane == HASH_INDEX_NONE) {
            return HUB_NONE;
        }
        const struct hub_lane *of = &hub->lanes[lane];
        if (of->capability == capability && of->label_set == label_set && of->phone == phone) {
            return lane;
        }
    }
}

static uint32_t take_lane(struct hub *hub, uint32_t capability, uint32_t label_set,
                          uint32_t phone) {
    uint32_t lane = find_lane(hub, capability, label_set, phone);
    if (lane == HUB_NONE) {
        lane = pool_take(&hub->lane_pool);
        check(lane != POOL_NONE); /* one an item, at most */
        hub->lanes[lane] = (struct hub_lane){.capability = capability,
                                             .label_set = label_set,
                                             .phone = phone,
                                             .strands = HEAP_NONE,
                                             .next = HUB_NONE,
                                             .previous = HUB_NONE};
        hash_index_add(&hub->by_lane, lane_hash(capability, label_set, phone), lane);
    }
    hub->lanes[lane].references += 1;
    return lane;
}

static void give_lane(struct hub *hub, uint32_t lane) {
    struct hub_lane *of = &hub->lanes[lane];
    of->references -= 1;
    if (of->references == 0) {
        check(of->strands == HEAP_NONE);
        hash_index_remove(&hub->by_lane, lane_hash(of->capability, of->label_set, of->phone), lane);
        pool_give(&hub->lane_pool, lane);
    }
}

static uint32_t *lane_list(struct hub *hub, uint32_t lane) {
    uint32_t phone = hub->lanes[lane].phone;
    return phone == HUB_NONE ? &hub->first_lane : &hub->phones[phone].first_lane;
}

/* Only lanes that have a strand are listed. */
static void list_lane(struct hub *hub, uint32_t lane, bool was_empty) {
    struct hub_lane *of = &hub->lanes[lane];
    bool is_empty = of->strands == HEAP_NONE;
    uint32_t *first = lane_list(hub, lane);
    if (was_empty == is_empty) {
        return;
    }
    if (was_empty) {
        of->previous = HUB_NONE;
        of->next = *first;
        if (*first != HUB_NONE) {
            hub->lanes[*first].previous = lane;
        }
        *first = lane;
    } else {
        *(of->previous == HUB_NONE ? first : &hub->lanes[of->previous].next) = of->next;
        if (of->next != HUB_NONE) {
            hub->lanes[of->next].previous = of->previous;
        }
    }
}

static void lane_add(struct hub *hub, uint32_t strand) {
    uint32_t lane = hub->strands[strand].lane;
    bool was_empty = hub->lanes[lane].strands == HEAP_NONE;
    heap_add(hub->strand_nodes, &hub->lanes[lane].strands, strand,
             hub->item_nodes[hub->strands[strand].items].order);
    list_lane(hub, lane, was_empty);
}

static void lane_remove(struct hub *hub, uint32_t strand) {
    uint32_t lane = hub->strands[strand].lane;
    heap_remove(hub->strand_nodes, &hub->lanes[lane].strands, strand);
    list_lane(hub, lane, false);
}

/* ---- strands ---- */

static uint32_t strand_hash(uint32_t lane, uint32_t key_gate, uint32_t account_gate) {
    return hash_number((uint64_t)lane << 42 ^ (uint64_t)key_gate << 21 ^ account_gate);
}

static uint32_t find_strand(const struct hub *hub, uint32_t lane, uint32_t key_gate,
                            uint32_t account_gate) {
    uint32_t hash = strand_hash(lane, key_gate, account_gate);
    uint32_t at = hash_index_start(&hub->by_strand, hash);
    for (;;) {
        uint32_t strand = hash_index_next(&hub->by_strand, hash, &at);
        if (strand == HASH_INDEX_NONE) {
            return HUB_NONE;
        }
        const struct hub_strand *of = &hub->strands[strand];
        if (of->lane == lane && of->key_gate == key_gate && of->account_gate == account_gate) {
            return strand;
        }
    }
}

void queue_assign(struct hub *hub, uint32_t item, struct bytes account) {
    struct hub_item *of = &hub->items[item];
    const struct hub_process *process = &hub->processes[of->process];
    uint64_t target = of->image.target_phone;
    uint32_t phone = target == 0 ? HUB_NONE : hub_phone_by_number(hub, target);
    check(of->strand == HUB_NONE);
    if (process->capability == HUB_NONE || (target != 0 && phone == HUB_NONE)) {
        return; /* its capability or phone is unknown here: it waits outside the queues */
    }
    uint32_t lane = take_lane(hub, process->capability, process->label_set, phone);
    uint32_t account_gate = queue_gate_take(hub, QUEUE_GATE_ACCOUNT, account);
    uint32_t strand = find_strand(hub, lane, process->key_gate, account_gate);
    if (strand == HUB_NONE) {
        strand = pool_take(&hub->strand_pool);
        check(strand != POOL_NONE); /* one an item, at most */
        hub->strands[strand] = (struct hub_strand){.lane = lane,
                                                   .key_gate = process->key_gate,
                                                   .account_gate = account_gate,
                                                   .items = HEAP_NONE,
                                                   .parked_at = HUB_NONE};
        hash_index_add(&hub->by_strand, strand_hash(lane, process->key_gate, account_gate), strand);
    }
    /* Each item holds its lane, and its account's gate, once. */
    hub->strands[strand].references += 1;
    of->strand = strand;
}

void queue_release(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    if (of->strand == HUB_NONE) {
        return;
    }
    check(!of->is_queued);
    struct hub_strand *strand = &hub->strands[of->strand];
    uint32_t lane = strand->lane;
    uint32_t account_gate = strand->account_gate;
    strand->references -= 1;
    if (strand->references == 0) {
        check(strand->items == HEAP_NONE);
        hash_index_remove(&hub->by_strand, strand_hash(lane, strand->key_gate, account_gate),
                          of->strand);
        pool_give(&hub->strand_pool, of->strand);
    }
    of->strand = HUB_NONE;
    queue_gate_give(hub, account_gate);
    give_lane(hub, lane);
}

/* ---- parking ---- */

void queue_park(struct hub *hub, uint32_t strand, uint32_t gate) {
    struct hub_strand *of = &hub->strands[strand];
    check(of->parked_at == HUB_NONE && of->items != HEAP_NONE);
    lane_remove(hub, strand);
    of->parked_at = gate;
    of->parked_previous = HUB_NONE;
    of->parked_next = hub->gates[gate].parked;
    if (of->parked_next != HUB_NONE) {
        hub->strands[of->parked_next].parked_previous = strand;
    }
    hub->gates[gate].parked = strand;
}

static void unpark(struct hub *hub, uint32_t strand) {
    struct hub_strand *of = &hub->strands[strand];
    struct hub_gate *gate = &hub->gates[of->parked_at];
    *(of->parked_previous == HUB_NONE ? &gate->parked
                                      : &hub->strands[of->parked_previous].parked_next) =
        of->parked_next;
    if (of->parked_next != HUB_NONE) {
        hub->strands[of->parked_next].parked_previous = of->parked_previous;
    }
    of->parked_at = HUB_NONE;
}

/* Whoever finds the gate shut again parks at it again. */
static void open_gate(struct hub *hub, uint32_t gate) {
    while (hub->gates[gate].parked != HUB_NONE) {
        uint32_t strand = hub->gates[gate].parked;
        unpark(hub, strand);
        lane_add(hub, strand);
        hub->is_unscheduled = true;
    }
}

void queue_open_gates(struct hub *hub) {
    for (uint32_t gate = 0; gate < hub->gate_pool.touched; gate++) {
        if (pool_is_used(&hub->gate_pool, gate)) {
            open_gate(hub, gate);
        }
    }
}

void queue_pass_gates(struct hub *hub, uint32_t item) {
    if (hub->items[item].strand == HUB_NONE) {
        return;
    }
    const struct hub_strand *of = &hub->strands[hub->items[item].strand];
    if (of->key_gate != HUB_NONE) {
        hub->gates[of->key_gate].in_use += 1;
    }
    if (of->account_gate != HUB_NONE) {
        hub->gates[of->account_gate].in_use += 1;
    }
}

static void leave_gate(struct hub *hub, uint32_t gate) {
    if (gate != HUB_NONE) {
        check(hub->gates[gate].in_use > 0);
        hub->gates[gate].in_use -= 1;
        open_gate(hub, gate);
    }
}

void queue_leave_gates(struct hub *hub, uint32_t item) {
    if (hub->items[item].strand == HUB_NONE) {
        return;
    }
    const struct hub_strand *of = &hub->strands[hub->items[item].strand];
    leave_gate(hub, of->key_gate);
    leave_gate(hub, of->account_gate);
}

/* ---- items ---- */

/* A strand stands in its lane by its first item. */
static void place_strand(struct hub *hub, uint32_t strand, uint32_t first_before) {
    const struct hub_strand *of = &hub->strands[strand];
    if (of->items == first_before) {
        return;
    }
    if (of->parked_at != HUB_NONE) {
        if (of->items == HEAP_NONE) {
            unpark(hub, strand);
        }
        return;
    }
    if (first_before != HEAP_NONE) {
        lane_remove(hub, strand);
    }
    if (of->items != HEAP_NONE) {
        lane_add(hub, strand);
    }
}

void queue_add(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    check(!of->is_queued);
    if (of->strand == HUB_NONE) {
        return;
    }
    struct hub_strand *strand = &hub->strands[of->strand];
    uint32_t first = strand->items;
    heap_add(hub->item_nodes, &strand->items, item, queue_order(hub, item));
    place_strand(hub, of->strand, first);
    of->is_queued = true;
    hub->is_unscheduled = true;
}

void queue_remove(struct hub *hub, uint32_t item) {
    struct hub_item *of = &hub->items[item];
    if (!of->is_queued) {
        return;
    }
    struct hub_strand *strand = &hub->strands[of->strand];
    uint32_t first = strand->items;
    heap_remove(hub->item_nodes, &strand->items, item);
    of->is_queued = false;
    place_strand(hub, of->strand, first);
}
