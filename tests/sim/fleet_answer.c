/* What upstream tells a hub with the answer to its push, after host/upstreamd/fleet/dispatch.c. */
#include "tests/sim/sim.h"

#include <string.h>

enum { COMMANDS_MAX = 16, PATIENCE_MS = 5000, MOVE_MS = 120000, STALE_MS = 60000 };

/* ---- claims ---- */

/* One that the hub will still take. */
static bool has_offer(const struct fleet_hub *hub, uint64_t process, uint64_t seen) {
    for (uint32_t i = 0; i < FLEET_ORDERS; i++) {
        if (hub->orders[i].number > seen && hub->orders[i].kind == SYNC_OFFER &&
            hub->orders[i].process == process) {
            return true;
        }
    }
    return false;
}

static bool offer(struct sim_host *host, const struct fleet_item *item) {
    const struct db_item *row = &item->row;
    const struct fleet_order order = {
        .kind = SYNC_OFFER,
        .owner = SYNC_OWN_UPSTREAM,
        .process = row->process,
        .assignment = row->assignment,
        .deadline_ms = item->deadline_ms,
        .attempt = row->attempt,
        .attempts_counted = row->attempts_counted,
        .actions_done = row->actions_done,
        .actions_digest = row->actions_digest,
    };
    return fleet_tell(host->world, host->index, &order);
}

static bool may_have(const struct sim_host *host, const struct db_item *row, uint32_t idle) {
    uint64_t now_ms = host->world->now_ms;
    bool was_refused = strcmp(row->refused_hub, host->id) == 0;
    bool has_phone = row->phone[0] == '\0'
                         ? idle > 0
                         : fleet_phone_hub(&host->world->fleet.db, row) == host->index;
    has_phone = has_phone || row->phone[7] - '0' == FLEET_NO_PHONE;
    return row->process != 0 && row->phase == DB_PHASE_WAITING && has_phone &&
           now_ms >= row->due_ms + (was_refused ? PATIENCE_MS : 0);
}

static uint32_t pending_offers(const struct fleet_hub *hub, uint64_t seen) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < FLEET_ORDERS; i++) {
        count += hub->orders[i].number > seen && hub->orders[i].kind == SYNC_OFFER;
    }
    return count;
}

/* It has the phone, or is idle. */
static bool wants(const struct sim_host *host, const struct db_item *row) {
    return row->phone[0] == '\0' ? !row->is_started
                                 : fleet_phone_hub(&host->world->fleet.db, row) == host->index;
}

/* What another hub has had for long without running it. */
static void ask_back(struct sim_host *host, uint32_t idle) {
    struct sim_world *world = host->world;
    struct fleet_db *db = &world->fleet.db;
    for (uint32_t i = 0; i < FLEET_ITEMS && idle > 0; i++) {
        struct db_item *row = &db->items[i].row;
        bool is_there =
            row->process != 0 && row->phase == DB_PHASE_ASSIGNED && strcmp(row->hub, host->id) != 0;
        if (!is_there || row->state != RECORD_READY || row->is_withdrawing ||
            world->now_ms < row->assigned_ms + MOVE_MS || !wants(host, row)) {
            continue;
        }
        uint32_t other = (uint32_t)(row->hub[4] - '0');
        const struct fleet_order order = {.kind = SYNC_WITHDRAW,
                                          .owner = SYNC_OWN_UPSTREAM,
                                          .process = row->process,
                                          .assignment = row->assignment};
        bool is_heard = world->now_ms <= db->hubs[other].seen_ms + STALE_MS;
        if (is_heard && fleet_tell(world, other, &order)) {
            row->is_withdrawing = true;
            idle -= 1;
            fleet_count(world, FLEET_MOVED);
        }
    }
}

static void claim(struct sim_host *host, const struct sync_push *push, uint64_t seen) {
    struct fleet_db *db = &host->world->fleet.db;
    uint32_t pending = pending_offers(&db->hubs[host->index], seen);
    uint32_t room = push->capacity > pending ? push->capacity - pending : 0;
    uint32_t idle = push->idle > pending ? push->idle - pending : 0;
    for (uint32_t i = 0; i < FLEET_ITEMS && room > 0; i++) {
        struct db_item *row = &db->items[i].row;
        if (!may_have(host, row, idle)) {
            continue;
        }
        row->assignment += 1;
        if (!offer(host, &db->items[i])) {
            row->assignment -= 1;
            return;
        }
        fleet_judge_offer(host->world, &db->items[i], host->index);
        memcpy(row->hub, host->id, strlen(host->id) + 1);
        row->phase = DB_PHASE_ASSIGNED;
        row->assigned_ms = host->world->now_ms;
        row->is_started = false;
        row->is_withdrawing = false;
        idle -= row->phone[0] == '\0';
        room -= 1;
        fleet_count(host->world, FLEET_OFFERED);
    }
    ask_back(host, idle);
}

/* Nobody knows what was done of it: a person says how it goes on. */
static void hold_lost(struct sim_host *host, struct fleet_item *item) {
    struct fleet_truth *truth = &host->world->fleet.truth[fleet_slot(item->row.process)];
    item->row.suspension = item->row.state == RECORD_SUSPENDED ? item->row.suspension
                                                               : (uint8_t)RECORD_SUSPEND_UNCERTAIN;
    item->row.state = RECORD_SUSPENDED;
    truth->is_returned = true; /* its store is gone */
    fleet_count(host->world, FLEET_LOST);
    fleet_end_assignment(host->world, item, ASSIGNMENT_WITHDRAWN);
}

/* A boot has voided its grants; a new store has none of its items. */
static void note_boot(struct sim_host *host, const struct sync_push *push, uint64_t seen) {
    struct fleet_db *db = &host->world->fleet.db;
    struct fleet_hub *hub = &db->hubs[host->index];
    bool is_known = hub->boot != 0;
    bool is_new_store = memcmp(hub->store, push->store_id, sizeof hub->store) != 0;
    if (hub->boot == push->now.boot && !is_new_store) {
        return;
    }
    bool has_room = true;
    for (uint32_t i = 0; i < FLEET_ITEMS && is_known; i++) {
        struct db_item *row = &db->items[i].row;
        bool is_its =
            row->process != 0 && row->phase == DB_PHASE_ASSIGNED && strcmp(row->hub, host->id) == 0;
        bool may_repeat = !is_new_store || (!row->is_once && row->state != RECORD_SUSPENDED);
        if (is_its && !may_repeat) {
            hold_lost(host, &db->items[i]);
        } else if (is_its && !row->is_withdrawing && !has_offer(hub, row->process, seen)) {
            has_room = offer(host, &db->items[i]) && has_room;
            fleet_count(host->world, FLEET_OFFERED_AGAIN);
        }
    }
    if (has_room) { /* else the next answer offers the rest */
        hub->boot = push->now.boot;
        memcpy(hub->store, push->store_id, sizeof hub->store);
    }
}

/* ---- commands ---- */

static void write_offer(struct sim_host *host, const struct fleet_order *order,
                        struct cbor_writer *writer) {
    uint8_t image[256];
    uint8_t body[RECORD_DIGEST_BYTES] = {2};
    struct cbor_writer request_writer;
    const struct fleet_item *item = fleet_find(host->world, order->process);
    char name = (char)('a' + (item == NULL ? 0 : item->capability));
    memcpy(body + 1, &order->process, sizeof order->process);
    const struct record_request request = {
        .process_type = {(const uint8_t *)&name, 1},
        .system = bytes_of("fleet"),
        .target = bytes_of("{}"),
        .inputs = bytes_of("{}"),
        .user = bytes_of("ann"),
        .routing = item == NULL || item->row.phone[0] == '\0' ? RECORD_QUEUE : RECORD_DIRECT,
        .priority = item == NULL ? 0 : item->row.priority,
        .deadline_ms = order->deadline_ms,
        .item_count = 1,
        .body_digest = {body, sizeof body},
    };
    cbor_writer_init(&request_writer, image, sizeof image);
    record_put_request(&request_writer, &request);
    check(!request_writer.overflow);
    struct sync_offer offer = {
        .process = order->process,
        .generation = 1,
        .item = 1,
        .assignment = order->assignment,
        .ttl_ms = host->world->fleet.ttl_ms,
        .request = {image, request_writer.size},
        .attempt = order->attempt,
        .attempts_counted = order->attempts_counted,
        .actions_done = order->actions_done,
        .actions_digest = order->actions_digest,
    };
    if (item != NULL) {
        offer.phone_id = (struct bytes){(const uint8_t *)item->row.phone, strlen(item->row.phone)};
    }
    sync_offer_write(writer, order->number, &offer);
}

/* Else the hub is told to forget the item, under the offer's number. */
static bool is_current_offer(const struct sim_host *host, const struct fleet_order *order) {
    const struct fleet_item *item = fleet_find(host->world, order->process);
    return order->kind == SYNC_OFFER && item != NULL && item->row.phase == DB_PHASE_ASSIGNED &&
           item->row.assignment == order->assignment && strcmp(item->row.hub, host->id) == 0;
}

static void write_order(struct sim_host *host, const struct fleet_order *order, bool is_current,
                        struct cbor_writer *writer) {
    const struct sync_control control = {
        .owner = order->owner,
        .process = order->process,
        .item = order->owner == SYNC_OWN_UPSTREAM ? 1 : 0,
        .assignment = order->assignment,
        .is_done = order->is_done,
    };
    if (is_current) {
        write_offer(host, order, writer);
    } else if (order->kind == SYNC_OFFER) {
        sync_control_write(writer, order->number, SYNC_WITHDRAW, &control);
    } else if (order->kind >
               SYNC_WITHDRAW) { /* of a later version, or without what belongs to it */
        const struct sync_command command = {.number = order->number,
                                             .kind = order->kind == FLEET_MALFORMED ? SYNC_CANCEL
                                                                                    : order->kind};
        sync_command_write(writer, &command);
    } else {
        sync_control_write(writer, order->number, (enum sync_command_kind)order->kind, &control);
    }
}

/* The order with the lowest number above `seen`. */
static const struct fleet_order *next_order(const struct fleet_hub *hub, uint64_t seen) {
    const struct fleet_order *best = NULL;
    for (uint32_t i = 0; i < FLEET_ORDERS; i++) {
        uint64_t number = hub->orders[i].number;
        if (number > seen && (best == NULL || number < best->number)) {
            best = &hub->orders[i];
        }
    }
    return best;
}

/* An answer that carries a grant of this item leaves. */
static void note_granted(struct sim_host *host, uint64_t process) {
    struct fleet_truth *truth = &host->world->fleet.truth[fleet_slot(process)];
    if (truth->process == process) {
        truth->granted_hub = (uint8_t)host->index;
        truth->granted_ms = host->world->now_ms;
        truth->ttl_ms = host->world->fleet.ttl_ms;
        truth->is_returned = false;
    }
}

/* One that the hub has answered and forgotten: its store is another one, or an older one. */
static const struct fleet_order *order_of(const struct fleet_hub *hub, uint64_t number,
                                          struct fleet_order *filler) {
    const struct fleet_order *order = next_order(hub, number - 1);
    *filler = (struct fleet_order){
        .number = number, .kind = SYNC_WITHDRAW, .owner = SYNC_OWN_UPSTREAM, .process = 1};
    return order != NULL && order->number == number ? order : filler;
}

static bool put_commands(struct sim_host *host, uint64_t seen, struct sync_reply *reply,
                         struct cbor_writer *writer) {
    const struct fleet_hub *hub = &host->world->fleet.db.hubs[host->index];
    struct fleet_order filler;
    bool grants = false;
    while (reply->command_count < COMMANDS_MAX && seen < hub->command) {
        const struct fleet_order *order = order_of(hub, seen + 1, &filler);
        size_t size = writer->size;
        bool is_current = is_current_offer(host, order);
        write_order(host, order, is_current, writer);
        if (writer->overflow) {
            writer->size = size;
            writer->overflow = false;
            break;
        }
        seen = order->number;
        reply->command_count += 1;
        if (is_current) {
            grants = true;
            note_granted(host, order->process);
        }
    }
    reply->commands = (struct bytes){writer->data, writer->size};
    return grants;
}

/* ---- grants ---- */

static bool put_grants(struct sim_host *host, struct sync_reply *reply,
                       struct cbor_writer *writer) {
    struct fleet_db *db = &host->world->fleet.db;
    struct fleet_hub *hub = &db->hubs[host->index];
    uint64_t now_ms = host->world->now_ms;
    size_t start = writer->size;
    if (hub->renew_ms == 0 || now_ms < hub->renew_ms) {
        return false;
    }
    for (uint32_t i = 0; i < FLEET_ITEMS; i++) {
        const struct db_item *row = &db->items[i].row;
        bool is_its = row->process != 0 && row->phase == DB_PHASE_ASSIGNED &&
                      strcmp(row->hub, host->id) == 0 && !row->is_withdrawing;
        if (is_its) {
            const struct sync_grant grant = {.process = row->process,
                                             .item = 1,
                                             .assignment = row->assignment,
                                             .ttl_ms = row->ttl_ms};
            sync_grant_write(writer, &grant);
            note_granted(host, row->process);
            reply->grant_count += 1;
        }
    }
    check(!writer->overflow);
    reply->grants = (struct bytes){writer->data + start, writer->size - start};
    hub->renew_ms = 0; /* it may have nothing any more */
    return reply->grant_count > 0;
}

void fleet_answer(struct sim_host *host, const struct sync_push *push, struct sync_reply *reply) {
    struct sim_world *world = host->world;
    struct fleet *fleet = &world->fleet;
    struct fleet_hub *hub = &fleet->db.hubs[host->index];
    struct cbor_writer writer;
    hub->seen_ms = world->now_ms;
    reply->upstream_epoch = fleet->db.epoch;
    if (reply->result != SYNC_OK) {
        return;
    }
    uint64_t seen = push->upstream_epoch == fleet->db.epoch ? push->command : 0;
    note_boot(host, push, seen);
    claim(host, push, seen);
    cbor_writer_init(&writer, fleet->words, sizeof fleet->words);
    bool grants = put_commands(host, seen, reply, &writer);
    grants = put_grants(host, reply, &writer) || grants;
    if (grants) { /* durable before the answer leaves */
        uint64_t renew_ms = world->now_ms + fleet->ttl_ms / 3;
        bool is_first = hub->renew_ms == 0 || renew_ms < hub->renew_ms;
        hub->answers += 1;
        hub->granted_ms = world->now_ms;
        hub->renew_ms = is_first ? renew_ms : hub->renew_ms;
        fleet_count(world, FLEET_GRANTED);
    }
}
