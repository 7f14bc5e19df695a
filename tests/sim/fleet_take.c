/* What hubs record of upstream's items, after host/upstreamd/fleet/parts.c. */
#include "tests/sim/sim.h"

#include <string.h>

/* ---- ends ---- */

static uint32_t attempts_max(const struct sim_world *world, const struct fleet_item *item) {
    (void)world;
    return sim_attempts_max(item->capability);
}

static void end_item(struct sim_world *world, struct fleet_item *item,
                     enum record_item_state state) {
    item->row.state = (uint8_t)state;
    item->row.phase = DB_PHASE_ENDED;
    fleet_count(world, state == RECORD_COMPLETED ? FLEET_COMPLETED : FLEET_ENDED);
}

void fleet_end_assignment(struct sim_world *world, struct fleet_item *item,
                          enum assignment_end why) {
    struct db_item *row = &item->row;
    bool was_running = row->state == RECORD_RUNNING && why == ASSIGNMENT_LOST;
    row->attempts_counted += was_running;
    bool is_spent = was_running && row->attempts_counted >= attempts_max(world, item);
    bool is_refused = why == ASSIGNMENT_REFUSED;
    sim_trace(world, NULL, "process %llu is nobody's: end %u, was %s, %u actions done",
              (unsigned long long)row->process, why,
              record_item_state_name((enum record_item_state)row->state), row->actions_done);
    memcpy(row->refused_hub, row->hub, sizeof row->refused_hub);
    row->refused_hub[0] = is_refused ? row->hub[0] : '\0';
    row->refusals += is_refused;
    row->due_ms = world->now_ms + (is_refused ? assignment_backoff_ms(row->refusals) : 0);
    if ((item->flags & RECORD_CANCEL_REQUESTED) != 0) {
        end_item(world, item, RECORD_CANCELED);
    } else if (is_spent) {
        end_item(world, item, RECORD_FAILED);
    } else if (row->state == RECORD_SUSPENDED && !row->is_forced) {
        row->phase = DB_PHASE_HELD;
    } else {
        row->state = RECORD_READY;
        row->phase = (item->flags & RECORD_HOLD) != 0 ? DB_PHASE_HELD : DB_PHASE_WAITING;
    }
    row->hub[0] = '\0';
    row->is_started = false;
    row->is_withdrawing = false;
    row->is_forced = false;
}

/* ---- items ---- */

static void note_returned(struct sim_host *host, uint64_t process) {
    struct fleet_truth *truth = &host->world->fleet.truth[fleet_slot(process)];
    if (truth->process == process && truth->granted_hub == host->index) {
        truth->is_returned = true;
    }
}

static void take_counters(struct db_item *row, const struct record_item *image) {
    row->attempt = image->attempt;
    row->attempts_counted = image->attempts_counted;
    row->actions_done = image->actions_done;
    row->actions_digest = image->actions_digest;
    row->suspension = image->suspension;
}

static void take_image(struct sim_host *host, struct fleet_item *item,
                       const struct record_item *image) {
    struct sim_world *world = host->world;
    struct db_item *row = &item->row;
    row->is_started =
        row->is_started || image->state == RECORD_RUNNING || image->attempt > row->attempt;
    take_counters(row, image);
    row->refusals = 0;
    row->refused_hub[0] = '\0';
    row->state = image->state;
    row->phase = DB_PHASE_ASSIGNED;
    if (image->state >= RECORD_COMPLETED) {
        row->is_withdrawing = false;
        end_item(world, item, (enum record_item_state)image->state);
    }
}

static void take_item(struct sim_host *host, uint64_t process, const struct record_item *image,
                      uint32_t event) {
    struct sim_world *world = host->world;
    struct fleet_item *item = fleet_find(world, process);
    if (item == NULL) {
        return;
    }
    enum assignment_verdict verdict = assignment_judge(&item->row, host->id, image->assignment,
                                                       (enum record_item_state)image->state);
    sim_trace(world, host, "process %llu of the fleet, assignment %u: %s, verdict %u",
              (unsigned long long)process, image->assignment,
              record_event_name((enum record_event)event), verdict);
    sim_mix(world, process << 8 ^ (uint64_t)verdict << 4 ^ image->state);
    if (event == RECORD_WITHDRAWN_EVENT) {
        fleet_count(world, FLEET_WITHDRAWN);
        if (image->assignment == item->row.assignment) {
            note_returned(host, process);
        }
    }
    if (verdict == ASSIGNMENT_HISTORY) {
        fleet_count(world, FLEET_HISTORY);
        return;
    }
    sim_require(world,
                verdict != ASSIGNMENT_CURRENT ||
                    image->attempts_counted >= item->row.attempts_counted,
                "I18 process %llu had %u attempts, a hub counts %u", (unsigned long long)process,
                item->row.attempts_counted, image->attempts_counted);
    if (verdict != ASSIGNMENT_CURRENT) {
        if (item->row.hub[0] != '\0' && !item->row.is_withdrawing) {
            const struct fleet_order order = {.kind = SYNC_WITHDRAW,
                                              .owner = SYNC_OWN_UPSTREAM,
                                              .process = process,
                                              .assignment = item->row.assignment};
            (void)fleet_tell(world, (uint32_t)(item->row.hub[4] - '0'), &order);
        }
        fleet_count(world, FLEET_WINS);
        memcpy(item->row.hub, host->id, strlen(host->id) + 1);
        item->row.assignment =
            verdict == ASSIGNMENT_NEWER ? image->assignment : item->row.assignment;
        item->row.is_withdrawing = false;
    }
    if (event == RECORD_WITHDRAWN_EVENT) {
        take_counters(&item->row, image);
        item->row.state = image->state;
        fleet_end_assignment(world, item, ASSIGNMENT_WITHDRAWN);
    } else {
        take_image(host, item, image);
    }
}

/* ---- parts ---- */

static struct fleet_part *find_part(struct fleet_hub *hub, uint64_t local) {
    for (uint32_t i = 0; i < FLEET_PARTS; i++) {
        if (hub->parts[i].local == local) {
            return &hub->parts[i];
        }
    }
    return NULL;
}

/* In the place of one that is of no more use. */
static struct fleet_part *add_part(struct sim_host *host, uint64_t local) {
    struct fleet_hub *hub = &host->world->fleet.db.hubs[host->index];
    for (uint32_t i = 0; i < FLEET_PARTS; i++) {
        const struct fleet_part *old = &hub->parts[hub->part_next];
        const struct fleet_item *item = fleet_find(host->world, old->process);
        bool is_current = item != NULL && item->row.phase == DB_PHASE_ASSIGNED &&
                          strcmp(item->row.hub, host->id) == 0;
        if (!is_current) {
            break;
        }
        hub->part_next = (hub->part_next + 1) % FLEET_PARTS;
    }
    struct fleet_part *part = &hub->parts[hub->part_next];
    hub->part_next = (hub->part_next + 1) % FLEET_PARTS;
    *part = (struct fleet_part){.local = local};
    return part;
}

static void take_request(struct sim_host *host, const struct record_header *header,
                         struct cbor_reader *reader) {
    struct fleet_hub *hub = &host->world->fleet.db.hubs[host->index];
    struct record_request image;
    record_get_request(reader, &image);
    struct fleet_part *part = find_part(hub, header->path[0]);
    if (image.origin.process == 0 || (part != NULL && part->process != 0)) {
        return;
    }
    part = part == NULL ? add_part(host, header->path[0]) : part;
    part->process = image.origin.process;
    if (part->has_image) { /* a gap brought it before its request */
        part->has_image = false;
        take_item(host, part->process, &part->image, part->event);
    }
}

static void take_part_item(struct sim_host *host, const struct record_header *header,
                           struct cbor_reader *reader) {
    struct fleet_hub *hub = &host->world->fleet.db.hubs[host->index];
    struct record_item image;
    record_get_item(reader, &image);
    if (image.assignment == 0) {
        return;
    }
    struct fleet_part *part = find_part(hub, header->path[0]);
    part = part == NULL ? add_part(host, header->path[0]) : part;
    if (part->process == 0) {
        part->has_image = true;
        part->image = image;
        part->image.worker = (struct bytes){0};
        part->image.claim = (struct bytes){0};
        part->event = header->event;
        return;
    }
    take_item(host, part->process, &image, header->event);
}

/* ---- answers ---- */

static void take_refusal(struct sim_host *host, struct fleet_item *item,
                         enum record_answer_code code) {
    fleet_count(host->world, FLEET_REFUSED);
    if (code == RECORD_ANSWER_STALE_ASSIGNMENT) {
        item->row.assignment += 8;
    }
    item->refusal = (uint8_t)code;
    note_returned(host, item->row.process);
    fleet_end_assignment(host->world, item, ASSIGNMENT_REFUSED);
}

/* The hub will be, or was, offered it again under the same assignment: that answer counts. */
static bool is_repeated(const struct sim_host *host, const struct fleet_order *order) {
    const struct fleet_hub *hub = &host->world->fleet.db.hubs[host->index];
    for (uint32_t i = 0; i < FLEET_ORDERS; i++) {
        const struct fleet_order *other = &hub->orders[i];
        if (other->number > order->number && other->kind == SYNC_OFFER &&
            other->process == order->process && other->assignment == order->assignment) {
            return true;
        }
    }
    return false;
}

static void take_answer_for(struct sim_host *host, const struct fleet_order *order,
                            struct fleet_item *item, enum record_answer_code code) {
    bool is_offer = order->kind == SYNC_OFFER;
    if (is_offer && is_repeated(host, order)) {
        return;
    }
    if (is_offer && !item->row.is_started &&
        assignment_judge_answer(code) == ASSIGNMENT_ELSEWHERE) {
        take_refusal(host, item, code);
    } else if (!is_offer && code == RECORD_ANSWER_UNKNOWN_PROCESS) {
        note_returned(host, item->row.process);
        fleet_end_assignment(host->world, item, ASSIGNMENT_WITHDRAWN);
    } else if (order->kind == SYNC_WITHDRAW && code != RECORD_ANSWER_DONE) {
        item->row.is_withdrawing = false;
    }
}

static void take_answer(struct sim_host *host, const struct record_header *header,
                        struct cbor_reader *reader) {
    struct sim_world *world = host->world;
    struct fleet_hub *hub = &world->fleet.db.hubs[host->index];
    struct record_answer image;
    record_get_answer(reader, &image);
    for (uint32_t i = 0; i < FLEET_ORDERS; i++) {
        const struct fleet_order order = hub->orders[i];
        if (order.number != header->path[0] || image.upstream_epoch != world->fleet.db.epoch) {
            continue;
        }
        hub->orders[i].number = 0;
        sim_trace(world, host, "command %llu: %s", (unsigned long long)order.number,
                  record_answer_name((enum record_answer_code)image.code));
        fleet_count(world, FLEET_ANSWERED);
        world->counts.command_answers[image.code] += 1;
        struct fleet_item *item =
            order.owner == SYNC_OWN_UPSTREAM ? fleet_find(world, order.process) : NULL;
        bool is_its = item != NULL && item->row.phase == DB_PHASE_ASSIGNED &&
                      strcmp(item->row.hub, host->id) == 0 &&
                      order.assignment == item->row.assignment;
        if (is_its) {
            take_answer_for(host, &order, item, (enum record_answer_code)image.code);
        }
    }
}

/* ---- phones ---- */

static void take_phone(struct sim_host *host, struct cbor_reader *reader) {
    struct fleet_db *db = &host->world->fleet.db;
    struct record_phone image;
    record_get_phone(reader, &image);
    bool is_plain = image.id.size == 8 && memcmp(image.id.data, "SERIAL-", 7) == 0;
    uint32_t p = is_plain ? (uint32_t)(image.id.data[7] - '0') : FLEET_PHONES;
    if (p < FLEET_PHONES && image.state != RECORD_PHONE_ABSENT) {
        if (db->phone_hub[p] != FLEET_NOBODY && db->phone_hub[p] != host->index) {
            fleet_count(host->world, FLEET_MIGRATED);
        }
        db->phone_hub[p] = (uint8_t)host->index;
    }
}

void fleet_take_record(struct sim_host *host, struct bytes body) {
    struct cbor_reader reader;
    struct record_header header;
    cbor_reader_init(&reader, body);
    record_get_header(&reader, &header);
    switch (header.kind) {
    case RECORD_REQUEST:
        take_request(host, &header, &reader);
        break;
    case RECORD_ITEM:
        take_part_item(host, &header, &reader);
        break;
    case RECORD_ANSWER:
        take_answer(host, &header, &reader);
        break;
    case RECORD_PHONE:
        take_phone(host, &reader);
        break;
    case RECORD_HUB:
    case RECORD_PROCESS:
    case RECORD_ATTEMPT:
    case RECORD_KEY:
    case RECORD_KIND_COUNT:
        break;
    }
}
