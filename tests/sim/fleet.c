/* Upstream's callers and operators, and what upstream does by itself. */
#include "tests/sim/sim.h"

#include <string.h>

enum {
    SUBMIT_ONE_IN = 3,
    CONTROL_ONE_IN = 5,
};

static struct ledger ledger; /* of the one upstream; large */

void fleet_count(struct sim_world *world, enum fleet_event event) {
    world->counts.fleet[event] += 1;
}

uint32_t fleet_slot(uint64_t process) {
    return (uint32_t)((process & ((UINT64_C(1) << DB_NUMBER_BITS) - 1)) % FLEET_ITEMS);
}

uint32_t fleet_phone_hub(const struct fleet_db *db, const struct db_item *row) {
    uint32_t phone = (uint32_t)(row->phone[7] - '0');
    return phone < FLEET_PHONES ? db->phone_hub[phone] : FLEET_NOBODY;
}

struct fleet_item *fleet_find(struct sim_world *world, uint64_t process) {
    struct fleet_item *item = &world->fleet.db.items[fleet_slot(process)];
    return process != 0 && item->row.process == process ? item : NULL;
}

void fleet_restarted(struct sim_world *world) {
    (void)world;
    ledger.count = 0;
    memset(ledger.names, 0, sizeof ledger.names);
}

void fleet_new_store(struct sim_world *world, uint32_t hub, const uint8_t *id) {
    struct fleet_hub *of = &world->fleet.db.hubs[hub];
    if (memcmp(of->log, id, sizeof of->log) != 0) {
        memcpy(of->log, id, sizeof of->log);
        of->applied = 0;
        memset(of->parts, 0, sizeof of->parts);
    }
}

void fleet_init(struct sim_world *world) {
    static const uint32_t ttls[] = {60000, 180000, 900000};
    struct fleet *fleet = &world->fleet;
    memset(&fleet->db, 0, sizeof fleet->db);
    memset(fleet->truth, 0, sizeof fleet->truth);
    memset(fleet->grants, 0, sizeof fleet->grants);
    memset(fleet->db.phone_hub, FLEET_NOBODY, sizeof fleet->db.phone_hub);
    fleet->db.epoch = 1;
    fleet->ttl_ms = ttls[sim_dice_roll(&world->dice, array_count(ttls))];
    fleet_restarted(world);
}

/* ---- orders ---- */

static struct fleet_order order_for(const struct fleet_item *item, enum sync_command_kind kind) {
    return (struct fleet_order){.kind = (uint8_t)kind,
                                .owner = SYNC_OWN_UPSTREAM,
                                .process = item->row.process,
                                .assignment = item->row.assignment};
}

static uint32_t hub_of(const struct fleet_item *item) {
    return item->row.hub[0] == '\0' ? FLEET_NOBODY : (uint32_t)(item->row.hub[4] - '0');
}

bool fleet_tell(struct sim_world *world, uint32_t hub, const struct fleet_order *order) {
    struct fleet_hub *of = &world->fleet.db.hubs[hub];
    uint32_t room = order->kind == SYNC_WITHDRAW ? FLEET_ORDERS
                    : order->kind == SYNC_OFFER  ? FLEET_ORDERS - FLEET_ITEMS
                                                 : FLEET_ORDERS / 3;
    for (uint32_t i = 0; i < room; i++) {
        if (of->orders[i].number == 0) {
            of->command += 1;
            of->orders[i] = *order;
            of->orders[i].number = of->command;
            sim_trace(world, &world->hosts[hub], "command %llu: kind %u, process %llu of %s",
                      (unsigned long long)of->command, order->kind,
                      (unsigned long long)order->process,
                      order->owner == SYNC_OWN_HUB ? "its own" : "the fleet");
            return true;
        }
    }
    return false;
}

static bool tell_item(struct sim_world *world, struct fleet_item *item,
                      enum sync_command_kind kind) {
    const struct fleet_order order = order_for(item, kind);
    return fleet_tell(world, hub_of(item), &order);
}

/* ---- callers ---- */

static void submit(struct sim_world *world) {
    struct fleet_db *db = &world->fleet.db;
    struct sim_dice *dice = &world->dice;
    uint64_t next = (db->last & ((UINT64_C(1) << DB_NUMBER_BITS) - 1)) + 1;
    struct fleet_item *item = &db->items[fleet_slot(next)];
    if (item->row.process != 0 && item->row.phase != DB_PHASE_ENDED) {
        return; /* there is no room: its caller tries again */
    }
    *item = (struct fleet_item){.capability = (uint8_t)sim_dice_roll(dice, SIM_CAPABILITIES)};
    db->last = next;
    const struct capability capability = sim_capability((enum sim_capability)item->capability);
    item->row = (struct db_item){
        .process = db_fleet_number(db->epoch, next),
        .item = 1,
        .generation = 1,
        .ttl_ms = world->fleet.ttl_ms,
        .phase = DB_PHASE_WAITING,
        .state = RECORD_READY,
        .priority = (uint8_t)sim_dice_roll(dice, 3),
        .is_once = capability.once_actions != 0,
    };
    if (sim_dice_roll(dice, 3) == 0) {
        memcpy(item->row.phone, "SERIAL-0", 9);
        item->row.phone[7] = (char)('0' + sim_dice_roll(dice, world->plan.phones));
    }
    uint32_t odd = sim_dice_roll(dice, 60);
    if (odd == 0) {
        item->capability = SIM_CAPABILITIES; /* that no hub knows */
        item->row.phone[0] = '\0';
    } else if (odd == 1) {
        memcpy(item->row.phone, "SERIAL-9", 9);
    }
    item->is_hopeless = odd <= 1;
    world->fleet.truth[fleet_slot(next)] = (struct fleet_truth){
        .process = item->row.process, .granted_hub = FLEET_NOBODY, .runner = FLEET_NOBODY};
    fleet_count(world, FLEET_SUBMITTED);
    sim_trace(world, NULL, "the fleet is given process %llu, capability %c, phone %s",
              (unsigned long long)item->row.process, 'a' + item->capability, item->row.phone);
}

/* A person has ordered what no hub has. */
static void let_go_on(struct sim_world *world, struct fleet_item *item) {
    struct fleet_truth *truth = &world->fleet.truth[fleet_slot(item->row.process)];
    sim_trace(world, NULL, "process %llu goes on", (unsigned long long)item->row.process);
    if (item->row.state == RECORD_SUSPENDED) {
        truth->orders = (uint8_t)(truth->orders + 1);
        truth->is_reviewed = truth->is_reviewed || item->row.suspension == RECORD_SUSPEND_REVIEW;
    }
    item->row.state = RECORD_READY;
    item->row.phase = DB_PHASE_WAITING;
}

void fleet_control(struct sim_world *world, uint64_t process, enum sync_command_kind kind,
                   bool is_done) {
    struct fleet_item *item = fleet_find(world, process);
    if (item == NULL || item->row.phase == DB_PHASE_ENDED) {
        return;
    }
    if (kind == SYNC_SETTLE && item->row.state != RECORD_SUSPENDED) {
        return;
    }
    struct fleet_order order = order_for(item, kind);
    order.is_done = is_done;
    bool is_assigned = item->row.phase == DB_PHASE_ASSIGNED;
    if (is_assigned && !fleet_tell(world, hub_of(item), &order)) {
        return;
    }
    fleet_count(world, kind == SYNC_CANCEL   ? FLEET_CANCELED
                       : kind == SYNC_SETTLE ? FLEET_SETTLED
                                             : FLEET_HELD);
    item->flags |= kind == SYNC_CANCEL ? RECORD_CANCEL_REQUESTED : 0;
    item->flags |= kind == SYNC_SUSPEND ? RECORD_HOLD : 0;
    item->flags &= kind == SYNC_RESUME ? ~(uint32_t)RECORD_HOLD : UINT32_MAX;
    if (is_assigned) {
        return;
    }
    if (kind == SYNC_SETTLE) {
        item->row.state = is_done ? RECORD_COMPLETED : RECORD_FAILED;
        item->row.phase = DB_PHASE_ENDED;
    } else if (kind == SYNC_RESUME) {
        let_go_on(world, item);
    } else {
        fleet_end_assignment(world, item, ASSIGNMENT_WITHDRAWN);
    }
}

/* Somebody at upstream wants something of a process that a hub accepted itself. */
static void control_own(struct sim_world *world, uint32_t hub) {
    static const uint8_t kinds[] = {SYNC_CANCEL, SYNC_SUSPEND, SYNC_RESUME,   SYNC_RESUME,
                                    SYNC_RETRY,  SYNC_SETTLE,  FLEET_UNKNOWN, FLEET_MALFORMED};
    struct sim_dice *dice = &world->dice;
    uint64_t newest = world->hosts[hub].shadow.process_number;
    uint32_t back = sim_dice_roll(dice, 8);
    const struct fleet_order order = {.kind = kinds[sim_dice_roll(dice, array_count(kinds))],
                                      .owner = SYNC_OWN_HUB,
                                      .process = newest > back ? newest - back : 1,
                                      .is_done = sim_dice_roll(dice, 2) == 0};
    if (fleet_tell(world, hub, &order)) {
        fleet_count(world, FLEET_CONTROLLED);
    }
}

static void control_some(struct sim_world *world) {
    static const uint8_t kinds[] = {SYNC_CANCEL, SYNC_SUSPEND, SYNC_RESUME, SYNC_RESUME,
                                    SYNC_RESUME, SYNC_SETTLE,  SYNC_SETTLE};
    struct sim_dice *dice = &world->dice;
    uint32_t first = sim_dice_roll(dice, FLEET_ITEMS);
    uint8_t kind = kinds[sim_dice_roll(dice, array_count(kinds))];
    bool is_done = sim_dice_roll(dice, 2) == 0;
    for (uint32_t i = 0; i < FLEET_ITEMS; i++) {
        const struct fleet_item *item = &world->fleet.db.items[(first + i) % FLEET_ITEMS];
        bool is_it = item->row.process != 0 && item->row.phase != DB_PHASE_ENDED &&
                     (kind < SYNC_RESUME || item->row.state == RECORD_SUSPENDED ||
                      (item->flags & RECORD_HOLD) != 0);
        if (is_it) {
            fleet_control(world, item->row.process, (enum sync_command_kind)kind, is_done);
            break;
        }
    }
    if (sim_dice_roll(dice, 2) == 0) {
        control_own(world, sim_dice_roll(dice, world->host_count));
    }
}

/* People let go on what waits for one, so that everything can end. */
static void operate(struct sim_world *world) {
    for (uint32_t i = 0; i < FLEET_ITEMS; i++) {
        const struct fleet_item *item = &world->fleet.db.items[i];
        bool waits = item->row.process != 0 && item->row.phase != DB_PHASE_ENDED &&
                     (item->row.state == RECORD_SUSPENDED || (item->flags & RECORD_HOLD) != 0);
        if (item->is_hopeless) {
            fleet_control(world, item->row.process, SYNC_CANCEL, false);
        } else if (waits && sim_dice_roll(&world->dice, 10) == 0) {
            fleet_control(world, item->row.process, SYNC_RESUME, false);
        }
    }
}

/* ---- by itself ---- */

static void take_away(struct sim_world *world, struct fleet_item *item) {
    if (!tell_item(world, item, SYNC_WITHDRAW)) { /* when it comes back, it is to forget it */
        return;
    }
    sim_trace(world, NULL, "process %llu is taken from %s, which is silent",
              (unsigned long long)item->row.process, item->row.hub);
    fleet_count(world, FLEET_TAKEN);
    fleet_end_assignment(world, item, ASSIGNMENT_LOST);
}

static void sweep(struct sim_world *world) {
    struct fleet_db *db = &world->fleet.db;
    for (uint32_t h = 0; h < world->host_count; h++) {
        uint64_t since_ms =
            ledger_see(&ledger, world->hosts[h].id, db->hubs[h].answers, world->now_ms);
        for (uint32_t i = 0; i < FLEET_ITEMS; i++) {
            struct fleet_item *item = &db->items[i];
            bool is_its =
                item->row.process != 0 && item->row.phase == DB_PHASE_ASSIGNED && hub_of(item) == h;
            if (is_its && ledger_is_over(since_ms, world->now_ms, item->row.ttl_ms) &&
                assignment_may_move(&item->row)) {
                take_away(world, item);
            }
        }
    }
}

void fleet_tick(struct sim_world *world) {
    const struct sim_event next = {.kind = SIM_EV_FLEET};
    sim_plan_event(world, &next, FLEET_TICK_MS);
    if (!world->upstream.is_up) {
        return;
    }
    if (world->is_quiet) {
        operate(world);
    } else {
        if (sim_dice_roll(&world->dice, SUBMIT_ONE_IN) == 0) {
            submit(world);
        }
        if (sim_dice_roll(&world->dice, CONTROL_ONE_IN) == 0) {
            control_some(world);
        }
    }
    sweep(world);
}
