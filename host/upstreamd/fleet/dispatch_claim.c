/* What is claimed for a hub that polls. */
#include "host/upstreamd/fleet/dispatch.h"

#include "host/shared/log.h"

#include <string.h>

enum { OFFER_NUMBERS_BYTES = 96 }; /* of an offer: heads and numbers, at their longest */

static struct db_item candidates[DISPATCH_CANDIDATES];

/* ---- labels ---- */

static bool has_word(const char *labels, const char *word, size_t size) {
    for (const char *at = labels; *at != '\0';) {
        size_t length = strcspn(at, " ");
        if (length == size && memcmp(at, word, size) == 0) {
            return true;
        }
        at += length + (at[length] == ' ');
    }
    return false;
}

bool dispatch_has_labels(const char *labels, const char *wanted) {
    for (const char *at = wanted; *at != '\0';) {
        size_t length = strcspn(at, " ");
        if (length > 0 && !has_word(labels, at, length)) {
            return false;
        }
        at += length + (at[length] == ' ');
    }
    return true;
}

/* The hub's phones that are ready; each is promised at most once. */
struct ready {
    struct db_fleet_phone phones[DB_FLEET_PHONES_MAX];
    bool is_promised[DB_FLEET_PHONES_MAX];
    uint32_t count;
};

static enum status read_ready(struct dispatch *dispatch, const char *hub, struct ready *ready) {
    enum status status = STATUS_OK;
    uint64_t behind = 0;
    ready->count = 0;
    while (ready->count < DB_FLEET_PHONES_MAX) {
        struct db_fleet_phone *phone = &ready->phones[ready->count];
        status = db_fleet_phone_ready(dispatch->db, hub, behind, phone);
        if (status != STATUS_OK) {
            break;
        }
        behind = phone->number;
        ready->is_promised[ready->count] = false;
        ready->count += 1;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* False: no ready phone is left that has the labels. */
static bool promise(struct ready *ready, const struct db_item *item) {
    for (uint32_t i = 0; i < ready->count; i++) {
        if (!ready->is_promised[i] && dispatch_has_labels(ready->phones[i].labels, item->labels)) {
            ready->is_promised[i] = true;
            return true;
        }
    }
    return false;
}

/* ---- keys and accounts ---- */

/* OK, FULL: as many as may be at once are under way, or IO. */
static enum status pass_gates(struct dispatch *dispatch, const struct db_item *item) {
    uint64_t count = 0;
    enum status status = STATUS_OK;
    if (item->gate[0] != '\0') {
        status = db_gate_lock(dispatch->db, "key", item->gate);
        status =
            status == STATUS_OK ? db_item_count_gate(dispatch->db, item->gate, &count) : status;
        if (status == STATUS_OK && count >= item->gate_max) {
            return STATUS_FULL;
        }
    }
    if (status == STATUS_OK && item->account[0] != '\0') {
        status = db_gate_lock(dispatch->db, "account", item->account);
        status = status == STATUS_OK ? db_item_count_account(dispatch->db, item->account, &count)
                                     : status;
        if (status == STATUS_OK && count > 0) {
            return STATUS_FULL;
        }
    }
    return status;
}

/* ---- offers ---- */

/* Its command, at most, with `image_size` bytes of request. */
static size_t command_size(const struct db_item *item, size_t image_size) {
    return image_size + strlen(item->phone) + strlen(item->account) + OFFER_NUMBERS_BYTES;
}

enum status dispatch_offer(struct dispatch *dispatch, const struct db_item *item, size_t limit) {
    static uint8_t image[DB_COMMAND_MAX];
    struct work work = {.db = dispatch->db};
    struct record_request request;
    struct cbor_writer writer;
    enum status status = db_fleet_get(dispatch->db, item->process, false, &work.row);
    status = status == STATUS_OK ? work_request(&work, &request) : status;
    if (status != STATUS_OK) {
        return status;
    }
    /* One item is a request of its own to the hub; its caller is upstream's to tell. */
    request.routing = item->phone[0] == '\0' ? RECORD_QUEUE : RECORD_DIRECT;
    request.item_count = 1;
    request.phones = (struct bytes){0};
    request.accounts = (struct bytes){0};
    request.callback = (struct bytes){0};
    request.key = (struct bytes){0};
    request.deadline_ms = work.row.deadline_ms;
    cbor_writer_init(&writer, image, sizeof image);
    record_put_request(&writer, &request);
    check(!writer.overflow);
    if (command_size(item, writer.size) > limit) {
        return STATUS_TOO_LARGE;
    }
    const struct sync_offer offer = {
        .process = item->process,
        .generation = item->generation,
        .item = item->item,
        .assignment = item->assignment,
        .ttl_ms = item->ttl_ms,
        .request = {image, writer.size},
        .phone_id = {(const uint8_t *)item->phone, strlen(item->phone)},
        .account = {(const uint8_t *)item->account, strlen(item->account)},
        .attempt = item->attempt,
        .attempts_counted = item->attempts_counted,
        .actions_done = item->actions_done,
        .actions_digest = item->actions_digest,
    };
    const struct assignment_order order = {
        .epoch = dispatch->upstream.epoch, .hub = item->hub, .kind = SYNC_OFFER, .offer = &offer};
    return assignment_command(dispatch->db, &order);
}

/* The hub does not get what never reaches it; another one may. */
static enum status pass_over(struct dispatch *dispatch, const char *hub, struct db_item *item) {
    log_warn("offer_refused hub=%s process=%llu item=%u reason=%s", hub,
             (unsigned long long)item->process, item->item, "too_large");
    item->refusals += 1;
    item->due_ms = dispatch->fleet->now.wall_ms + assignment_backoff_ms(item->refusals);
    memcpy(item->refused_hub, hub, strlen(hub) + 1);
    return db_item_put(dispatch->db, item);
}

/* TOO_LARGE: it was passed over. */
static enum status assign(struct dispatch *dispatch, const struct dispatch_room *of,
                          struct db_item *item) {
    struct db_item waiting = *item;
    memcpy(item->hub, of->hub, strlen(of->hub) + 1);
    item->phase = DB_PHASE_ASSIGNED;
    item->assignment += 1;
    item->ttl_ms = registry_grant_ms(registry_find(dispatch->registry, item->type));
    item->assigned_ms = dispatch->fleet->now.wall_ms;
    item->is_started = false;
    item->is_withdrawing = false;
    item->is_lost = false;
    enum status status = dispatch_offer(dispatch, item, of->limit);
    if (status == STATUS_TOO_LARGE) {
        status = pass_over(dispatch, of->hub, &waiting);
        return status == STATUS_OK ? STATUS_TOO_LARGE : status;
    }
    dispatch->counters.offers += 1;
    return status == STATUS_OK ? db_item_put(dispatch->db, item) : status;
}

/* Offers as many of the candidates as there is room for. */
static enum status take(struct dispatch *dispatch, const struct dispatch_room *of,
                        struct ready *ready, uint32_t count, uint32_t *room) {
    for (uint32_t i = 0; i<count && * room> 0; i++) {
        struct db_item *item = &candidates[i];
        enum status status = pass_gates(dispatch, item);
        if (status == STATUS_FULL ||
            (status == STATUS_OK && ready != NULL && !promise(ready, item))) {
            continue;
        }
        status = status == STATUS_OK ? assign(dispatch, of, item) : status;
        if (status != STATUS_OK && status != STATUS_TOO_LARGE) {
            return status;
        }
        *room -= status == STATUS_OK;
    }
    return STATUS_OK;
}

/* ---- asking back from others ---- */

/* A hub that is silent is not asked: the ledger says when its items may go. */
static enum status ask_back(struct dispatch *dispatch, struct ready *ready, uint32_t count,
                            uint32_t room) {
    for (uint32_t i = 0; i < count && room > 0; i++) {
        struct db_item *item = &candidates[i];
        struct db_hub other;
        enum status status = db_hub_get(dispatch->db, item->hub, &other);
        bool is_heard = status == STATUS_OK && !fleet_is_stale(dispatch->fleet, other.last_seen_ms);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            return status;
        }
        if (!is_heard || (item->phone[0] == '\0' && !promise(ready, item))) {
            continue;
        }
        item->is_withdrawing = true;
        status = db_item_put(dispatch->db, item);
        status = status == STATUS_OK
                     ? assignment_tell(dispatch->db, dispatch->upstream.epoch, SYNC_WITHDRAW, item)
                     : status;
        if (status != STATUS_OK) {
            return status;
        }
        dispatch->counters.moved += 1;
        room -= 1;
    }
    return STATUS_OK;
}

/* ---- one hub ---- */

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* How much more the hub can take: what it was offered and has not answered counts as taken. */
static enum status find_room(struct dispatch *dispatch, const struct dispatch_room *of,
                             uint32_t *capacity, uint32_t *idle) {
    struct db_command offers = {
        .epoch = dispatch->upstream.epoch, .number = of->seen, .kind = SYNC_OFFER};
    uint64_t pending = 0;
    memcpy(offers.hub, of->hub, strlen(of->hub) + 1);
    enum status status = db_command_count(dispatch->db, &offers, &pending);
    *capacity = of->capacity > pending ? of->capacity - (uint32_t)pending : 0;
    *idle = of->idle > pending ? of->idle - (uint32_t)pending : 0;
    return status;
}

static enum status claim_waiting(struct dispatch *dispatch, const struct dispatch_room *of,
                                 struct ready *ready, uint32_t *room, uint32_t *idle) {
    uint64_t now_ms = dispatch->fleet->now.wall_ms;
    uint32_t count = least(*room, DISPATCH_CANDIDATES);
    enum status status = db_item_for_phones(dispatch->db, of->hub, now_ms, candidates, &count);
    status = status == STATUS_OK ? take(dispatch, of, NULL, count, room) : status;
    count = DISPATCH_CANDIDATES;
    *idle = least(*idle, *room);
    if (status == STATUS_OK && *idle > 0) {
        status = db_item_for_any(dispatch->db, of->hub, now_ms, candidates, &count);
        status = status == STATUS_OK ? take(dispatch, of, ready, count, idle) : status;
    }
    return status;
}

enum status dispatch_claim(struct dispatch *dispatch, const struct dispatch_room *of) {
    static struct ready ready;
    uint32_t room = 0;
    uint32_t idle = 0;
    if (!dispatch->has_waiting && !dispatch->has_movable) {
        return STATUS_OK;
    }
    enum status status = find_room(dispatch, of, &room, &idle);
    room = least(room, DISPATCH_CLAIMS_MAX);
    idle = least(idle, dispatch->share);
    status = status == STATUS_OK ? read_ready(dispatch, of->hub, &ready) : status;
    if (status == STATUS_OK && dispatch->has_waiting && room > 0) {
        status = claim_waiting(dispatch, of, &ready, &room, &idle);
    }
    if (status == STATUS_OK && dispatch->has_movable && idle > 0) {
        uint32_t count = DISPATCH_CANDIDATES;
        uint64_t before_ms = dispatch->fleet->now.wall_ms - DISPATCH_MOVE_MS;
        status = db_item_movable(dispatch->db, of->hub, before_ms, candidates, &count);
        status = status == STATUS_OK ? ask_back(dispatch, &ready, count, idle) : status;
    }
    return status;
}
