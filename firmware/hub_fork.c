/* A new epoch: the steps from the fork to the inventory. */
#include "firmware/hub_fork.h"

#include "firmware/hub_internal.h"

#include <string.h>

/* ---- the table ---- */

/* clang-format off */
#define ROW(from, on, to) [HUB_FORK_##from][HUB_FORK_ON_##on] = (HUB_FORK_##to + 1)

/* 0: not allowed; else the next state plus one. */
static const uint8_t table[HUB_FORK_STATE_COUNT][HUB_FORK_EVENT_COUNT] = {
    /*   from      on        to         */
    ROW( SETTLED,  EPOCH,    TAKING     ),
    ROW( TAKING,   DURABLE,  CLOSING    ),
    ROW( CLOSING,  CLOSED,   CARRYING   ),
    ROW( CLOSING,  EPOCH,    TAKING     ),
    ROW( CARRYING, CARRIED,  LISTING    ),
    ROW( CARRYING, EPOCH,    TAKING     ),
    ROW( LISTING,  TOLD,     ENDING     ),
    ROW( LISTING,  EPOCH,    TAKING     ),
    ROW( ENDING,   DURABLE,  SETTLED    ),
    ROW( ENDING,   EPOCH,    TAKING     ),
};
#undef ROW
/* clang-format on */

enum status hub_fork_apply(enum hub_fork_state *state, enum hub_fork_event event) {
    check(*state < HUB_FORK_STATE_COUNT);
    check(event < HUB_FORK_EVENT_COUNT);
    uint8_t next = table[*state][event];
    if (next == 0) {
        return STATUS_ILLEGAL;
    }
    *state = (enum hub_fork_state)(next - 1);
    return STATUS_OK;
}

const char *hub_fork_state_name(enum hub_fork_state state) {
    static const char *const names[] = {"settled",  "taking",  "closing",
                                        "carrying", "listing", "ending"};
    _Static_assert(array_count(names) == HUB_FORK_STATE_COUNT, "every state has a name");
    check(state < HUB_FORK_STATE_COUNT);
    return names[state];
}

const char *hub_fork_event_name(enum hub_fork_event event) {
    static const char *const names[] = {"epoch", "durable", "closed", "carried", "told"};
    _Static_assert(array_count(names) == HUB_FORK_EVENT_COUNT, "every event has a name");
    check(event < HUB_FORK_EVENT_COUNT);
    return names[event];
}

static void apply(struct hub *hub, enum hub_fork_event event) {
    check(hub_fork_apply(&hub->fork_state, event) == STATUS_OK);
}

bool hub_fork_is_settled(const struct hub *hub) {
    return hub->fork_state == HUB_FORK_SETTLED || !hub->has_upstream;
}

bool hub_fork_is_taking(const struct hub *hub) {
    return hub->fork_state == HUB_FORK_TAKING;
}

/* ---- numbers ---- */

uint32_t hub_first_epoch(const struct hub *hub) {
    return hub->image.life.epoch != 0 ? hub->image.life.first_epoch : hub->store.epoch;
}

/* A restored flash has forgotten the last numbers that it gave: those of the new epoch are others.
 */
static uint64_t number_in_epoch(uint64_t last, uint32_t epoch) {
    const uint64_t mask = (UINT64_C(1) << RECORD_NUMBER_BITS) - 1;
    return (uint64_t)epoch << RECORD_NUMBER_BITS | (last & mask);
}

/* ---- taking an epoch ---- */

enum status hub_fork_take(struct hub *hub, uint32_t epoch) {
    struct record_hub *image = &hub->image;
    struct store *store = &hub->store;
    if (hub->fork_state == HUB_FORK_TAKING && epoch == image->life.epoch) {
        return STATUS_OK;
    }
    uint32_t known = image->life.epoch > store->epoch ? image->life.epoch : store->epoch;
    if (epoch <= known || epoch > HUB_EPOCH_MAX) {
        return STATUS_ILLEGAL;
    }
    if (hub->gap_seq != 0 || store->committed_seq == 0 || !hub_has_room(hub, HUB_GAP_BYTES)) {
        return STATUS_AGAIN;
    }
    image->life = (struct record_life){
        .epoch = epoch, .first_epoch = hub_first_epoch(hub), .seq = store->committed_seq};
    image->process_number = number_in_epoch(image->process_number, epoch);
    image->phone_number = number_in_epoch(image->phone_number, epoch);
    image->key_number = number_in_epoch(image->key_number, epoch);
    image->gap = (struct record_gap){.first = 1, .last = store->committed_seq};
    memcpy(image->gap.chain, store->head_chain, RECORD_CHAIN_BYTES);
    apply(hub, HUB_FORK_ON_EPOCH);
    hub->counters.epochs += 1;
    hub_log_self(hub, RECORD_RECONCILED_EVENT);
    hub->gap_seq = hub_head_seq(hub);
    return STATUS_OK;
}

/* What was acknowledged in an earlier epoch is not in this one. */
static void enter_epoch(struct hub *hub) {
    if (hub->image.life.epoch > hub->store.epoch) {
        store_begin_epoch(&hub->store, hub->image.life.epoch);
    }
}

void hub_fork_load(struct hub *hub) {
    const struct record_life *life = &hub->image.life;
    enter_epoch(hub);
    /* Until a block says that upstream has this life's log, the next push could not prove it to an
     * upstream that was set back meanwhile: then it is told again. */
    bool is_done = life->epoch == 0 || (life->is_told && hub->store.acked_seq >= life->seq);
    hub->fork_state = is_done ? HUB_FORK_SETTLED : HUB_FORK_CLOSING;
}

void hub_fork_settle(struct hub *hub) {
    if (hub->fork_state == HUB_FORK_TAKING && hub->gap_seq == 0) {
        enter_epoch(hub);
        apply(hub, HUB_FORK_ON_DURABLE);
    } else if (hub->fork_state == HUB_FORK_ENDING && hub->told_seq <= hub->store.durable_seq) {
        apply(hub, HUB_FORK_ON_DURABLE);
        hub->is_unscheduled = true;
    }
}

/* ---- closing ---- */

/* An attempt is asked to stop as for a shutdown, which is not counted; a lease that nothing was
 * done with is given back. */
static void close_lease(struct hub *hub, uint32_t phone) {
    uint32_t item = hub->phones[phone].item;
    const struct record_item *image = &hub->items[item].image;
    check(!hub->items[item].needs_recovery); /* a step recovers all of them first */
    if (!hub_has_room(hub, HUB_TRANSITION_BYTES)) {
        return;
    }
    if (image->state == RECORD_LEASED) {
        hub_item_change(hub, item, ITEM_ON_GIVE_BACK, RECORD_RETURNED_EVENT);
    } else if (image->stop == RECORD_STOP_NONE) {
        hub_item_ask_stop(hub, item, RECORD_STOP_SHUTDOWN);
    }
}

static bool close_leases(struct hub *hub) {
    bool are_closed = true;
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        if (hub->phones[p].item != HUB_NONE) {
            close_lease(hub, p);
        }
        are_closed = are_closed && hub->phones[p].item == HUB_NONE;
    }
    return are_closed;
}

/* ---- carrying ---- */

bool hub_fork_carry(struct hub *hub, enum record_kind kind, uint32_t index) {
    const struct store_key key = {(uint8_t)kind, index};
    uint64_t seq = store_slot(&hub->store, key)->seq;
    return seq == 0 || seq > hub->image.life.seq ||
           store_repeat(&hub->store, key, HUB_GAP_BYTES) != STATUS_FULL;
}

static bool carry_kind(struct hub *hub, enum record_kind kind) {
    uint32_t count = hub->store.memory.slot_counts[kind];
    for (uint32_t i = 0; i < count; i++) {
        if (!hub_fork_carry(hub, kind, i)) {
            return false;
        }
    }
    return true;
}

bool hub_fork_step(struct hub *hub) {
    if (hub->fork_state == HUB_FORK_TAKING) {
        (void)close_leases(hub);
    } else if (hub->fork_state == HUB_FORK_CLOSING && close_leases(hub)) {
        apply(hub, HUB_FORK_ON_CLOSED);
    }
    if (hub->fork_state == HUB_FORK_CARRYING && carry_kind(hub, RECORD_PHONE) &&
        carry_kind(hub, RECORD_ANSWER)) {
        apply(hub, HUB_FORK_ON_CARRIED);
        hub->page = (struct hub_page){.next = 1};
    }
    return hub_fork_is_settled(hub);
}

void hub_fork_told(struct hub *hub) {
    if (!hub_has_room(hub, HUB_GAP_BYTES)) {
        return; /* an empty page says the same again */
    }
    hub->image.life.is_told = true;
    hub_log_self(hub, RECORD_RECONCILED_EVENT);
    hub->told_seq = hub_head_seq(hub);
    apply(hub, HUB_FORK_ON_TOLD);
}
