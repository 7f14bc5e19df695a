#include "host/upstreamd/fleet/dispatch.h"

#include "host/shared/log.h"
#include "host/upstreamd/fleet/reconcile.h"

#include <string.h>

enum { ANSWERED_BYTES = 24 }; /* of a command that says so, at most */

/* ---- epochs ---- */

static enum status begin_epoch(struct dispatch *dispatch, uint32_t epoch, bool is_holding) {
    dispatch->upstream.epoch = epoch;
    dispatch->upstream.is_holding = is_holding;
    return db_upstream_put(dispatch->db, &dispatch->upstream);
}

/* What hubs were granted by an upstream that has lost its memory must be over first. */
static void hold(struct dispatch *dispatch) {
    dispatch->holding_since_ms = dispatch->fleet->now.mono_ms;
    log_warn("upstream_restored epoch=%u grants_nothing_for_ms=%llu", dispatch->upstream.epoch,
             (unsigned long long)ledger_silence_ms(registry_longest_grant_ms(dispatch->registry)));
}

static enum status open_epoch(void *owner) {
    struct dispatch *dispatch = owner;
    enum status status = db_upstream_get(dispatch->db, &dispatch->upstream);
    if (status == STATUS_NOT_FOUND) {
        status = begin_epoch(dispatch, 1, false);
    }
    return status;
}

static enum status open_next_epoch(void *owner) {
    struct dispatch *dispatch = owner;
    enum status status = open_epoch(dispatch);
    return status == STATUS_OK ? begin_epoch(dispatch, dispatch->upstream.epoch + 1, true) : status;
}

enum status dispatch_open(struct dispatch *dispatch, bool is_restored) {
    enum status status =
        db_transact(dispatch->db, is_restored ? open_next_epoch : open_epoch, dispatch);
    if (status == STATUS_OK && dispatch->upstream.is_holding) {
        hold(dispatch);
    }
    dispatch->is_dirty = true;
    return status;
}

/* Another upstreamd, or a hub, may have shown that this database is an older one. */
static enum status follow_epoch(struct dispatch *dispatch, uint32_t told, bool is_ahead) {
    struct db_upstream now = {0};
    enum status status = db_upstream_get(dispatch->db, &now);
    if (status != STATUS_OK) {
        return status;
    }
    bool is_newer = now.epoch > dispatch->upstream.epoch;
    dispatch->upstream = now;
    if (told > now.epoch || (told == now.epoch && is_ahead && !is_newer)) {
        status = begin_epoch(dispatch, told + 1, true);
        is_newer = true;
    }
    if (status == STATUS_OK && is_newer && dispatch->upstream.is_holding) {
        hold(dispatch);
    }
    return status;
}

/* Until end_hold() has seen that it is over. */
static bool is_holding(const struct dispatch *dispatch) {
    return dispatch->holding_since_ms != 0;
}

/* ---- answers ---- */

void dispatch_begin_turn(struct dispatch *dispatch) {
    dispatch->words_size = 0;
}

/* What an answer is to carry. */
struct answer {
    struct dispatch *dispatch;
    struct db_hub hub;
    struct db_ledger ledger;
    struct dispatch_room room;
    struct sync_reply *reply;
    size_t limit;          /* bytes of commands and grants */
    uint64_t sent_ms;      /* wall clock: when the poll came, at the latest */
    uint32_t least_ttl_ms; /* of what is granted with it; 0: nothing */
};

static uint32_t lesser(uint32_t a, uint32_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Commands that an earlier life of the hub has answered are not kept. */
static size_t put_answered(uint8_t *target, uint64_t first, uint64_t last) {
    struct cbor_writer writer;
    cbor_writer_init(&writer, target, ANSWERED_BYTES);
    sync_answered_write(&writer, first, last);
    check(!writer.overflow);
    return writer.size;
}

/* An offer whose item is another hub's by now, or has ended, would be a grant beside that one. Its
 * number is the hub's to apply: it is told to forget the item instead. OK: the offer counts, and
 * `item` is its item; NOT_FOUND: it was replaced; IO. */
static enum status judge_offer(const struct answer *answer, struct db_command *command,
                               uint8_t *buffer, struct db_item *item) {
    struct cbor_writer writer;
    enum status status = db_item_look(answer->dispatch->db, command->process, command->item, item);
    bool is_current = status == STATUS_OK && item->phase == DB_PHASE_ASSIGNED &&
                      item->assignment == command->assignment &&
                      strcmp(item->hub, answer->ledger.hub) == 0;
    if (is_current || (status != STATUS_OK && status != STATUS_NOT_FOUND)) {
        return status;
    }
    const struct sync_control control = {.owner = SYNC_OWN_UPSTREAM,
                                         .process = command->process,
                                         .item = command->item,
                                         .assignment = command->assignment};
    cbor_writer_init(&writer, buffer, DB_COMMAND_MAX);
    sync_control_write(&writer, command->number, SYNC_WITHDRAW, &control);
    command->bytes = (struct bytes){buffer, writer.size};
    return STATUS_NOT_FOUND;
}

/* Commands that the hub has not applied, again. */
static enum status put_commands(struct answer *answer) {
    static uint8_t buffer[DB_COMMAND_MAX];
    struct dispatch *dispatch = answer->dispatch;
    uint8_t *start = dispatch->words + dispatch->words_size;
    size_t room = sizeof dispatch->words - dispatch->words_size;
    struct db_command command = {.epoch = dispatch->upstream.epoch, .number = answer->room.seen};
    struct sync_reply *reply = answer->reply;
    struct db_item item;
    size_t size = 0;
    memcpy(command.hub, answer->ledger.hub, sizeof command.hub);
    enum status status = STATUS_OK;
    room = room < answer->limit ? room : answer->limit;
    while (reply->command_count < SYNC_COMMANDS_MAX) {
        uint64_t behind = command.number;
        status = db_command_next(dispatch->db, &command, buffer);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            break;
        }
        uint64_t next = status == STATUS_OK ? command.number : answer->ledger.command + 1;
        if (next > behind + 1 && size + ANSWERED_BYTES <= room) {
            size += put_answered(start + size, behind + 1, next - 1);
            reply->command_count += 1;
        }
        bool grants = status == STATUS_OK && command.kind == SYNC_OFFER;
        if (grants) {
            status = judge_offer(answer, &command, buffer, &item);
            grants = status == STATUS_OK;
            status = status == STATUS_NOT_FOUND ? STATUS_OK : status;
        }
        bool fits = status == STATUS_OK && size + command.bytes.size <= room &&
                    reply->command_count < SYNC_COMMANDS_MAX;
        if (!fits) {
            break;
        }
        memcpy(start + size, buffer, command.bytes.size);
        size += command.bytes.size;
        reply->command_count += 1;
        if (grants) {
            answer->least_ttl_ms = lesser(answer->least_ttl_ms, item.ttl_ms);
        }
    }
    reply->commands = (struct bytes){start, size};
    dispatch->words_size += size;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Every item that the hub has, but those that it is to give back. */
static enum status put_grants(struct answer *answer) {
    struct dispatch *dispatch = answer->dispatch;
    struct cbor_writer writer;
    struct db_item item = {0};
    struct sync_reply *reply = answer->reply;
    cbor_writer_init(&writer, dispatch->words + dispatch->words_size,
                     answer->limit - reply->commands.size);
    enum status status = STATUS_OK;
    while (reply->grant_count < SYNC_GRANTS_MAX && !writer.overflow) {
        status = db_item_of_hub(dispatch->db, answer->ledger.hub, item.process, item.item, &item);
        if (status != STATUS_OK) {
            break;
        }
        const struct sync_grant grant = {.process = item.process,
                                         .item = item.item,
                                         .assignment = item.assignment,
                                         .ttl_ms = item.ttl_ms};
        if (!item.is_withdrawing) {
            sync_grant_write(&writer, &grant);
            reply->grant_count += 1;
            answer->least_ttl_ms = lesser(answer->least_ttl_ms, item.ttl_ms);
        }
    }
    if (writer.overflow) {
        reply->grant_count = 0; /* there is no room in this turn: with the next answer */
        return STATUS_OK;
    }
    reply->grants = (struct bytes){dispatch->words + dispatch->words_size, writer.size};
    dispatch->words_size += writer.size;
    dispatch->counters.renewals += reply->grant_count > 0;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* A boot has voided the hub's grants. */
static enum status offer_again(struct answer *answer) {
    struct dispatch *dispatch = answer->dispatch;
    struct db_item item = {0};
    enum status status = STATUS_OK;
    for (;;) {
        status = db_item_of_hub(dispatch->db, answer->ledger.hub, item.process, item.item, &item);
        if (status != STATUS_OK) {
            break;
        }
        if (!item.is_withdrawing) {
            status = dispatch_offer(dispatch, &item, SIZE_MAX); /* it has reached the hub before */
        }
        if (status != STATUS_OK) {
            break;
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status note_boot(struct answer *answer, const struct sync_push *push) {
    struct db_ledger *ledger = &answer->ledger;
    bool is_known = ledger->boot != 0;
    if (ledger->boot == push->now.boot) {
        return STATUS_OK;
    }
    ledger->boot = push->now.boot;
    enum status status = db_ledger_put(answer->dispatch->db, ledger);
    return status == STATUS_OK && is_known ? offer_again(answer) : status;
}

/* Whether the hub has nothing to tell: upstream has all that is durable there. */
static bool has_told_all(const struct sync_push *push, const struct sync_reply *reply) {
    return push->group_count == 0 && push->inventory.size == 0 &&
           push->first_seq == reply->cursor + 1;
}

/* The first time in this epoch of upstream's and this life of the hub's that it has told all. That
 * an epoch is named, and not taken, says nothing of this life: a clone may have asked for it, or a
 * push of an earlier life that came late. */
static enum status settle(struct answer *answer, const struct sync_push *push) {
    struct dispatch *dispatch = answer->dispatch;
    struct db_hub *hub = &answer->hub;
    struct db_store store;
    if (hub->settled_epoch == dispatch->upstream.epoch || !has_told_all(push, answer->reply)) {
        return STATUS_OK;
    }
    enum status status = db_store_get(dispatch->db, hub->store, &store);
    if (status != STATUS_OK || store.is_listing) {
        return status;
    }
    status = reconcile_hub(dispatch->db, hub, dispatch->upstream.epoch);
    hub->settled_epoch = dispatch->upstream.epoch;
    log_info("hub_settled hub=%s upstream_epoch=%u", hub->id, hub->settled_epoch);
    dispatch->is_dirty = true;
    return status == STATUS_OK ? db_hub_put(dispatch->db, hub) : status;
}

/* The number of answers that granted something, durable before this one leaves. */
static enum status note_grants(struct answer *answer) {
    struct db_ledger *ledger = &answer->ledger;
    uint64_t now_ms = answer->dispatch->fleet->now.wall_ms;
    uint64_t renew_ms = answer->sent_ms + answer->least_ttl_ms / 3;
    bool is_first = ledger->renew_ms == 0 || answer->reply->grant_count > 0;
    if (answer->least_ttl_ms == 0) {
        return STATUS_OK;
    }
    ledger->answers += 1;
    ledger->granted_ms = now_ms;
    ledger->renew_ms = is_first || renew_ms < ledger->renew_ms ? renew_ms : ledger->renew_ms;
    return db_ledger_put(answer->dispatch->db, ledger);
}

static bool is_renewal_due(const struct answer *answer) {
    const struct db_ledger *ledger = &answer->ledger;
    uint64_t now_ms = answer->dispatch->fleet->now.wall_ms;
    return ledger->renew_ms != 0 && (now_ms >= ledger->renew_ms || now_ms < ledger->granted_ms);
}

static bool is_settled(const struct answer *answer) {
    return answer->hub.settled_epoch == answer->dispatch->upstream.epoch;
}

/* With the ledger locked. A hub takes no commands before it has told what it has, and a reply with
 * verdicts and commands might be larger than it takes. */
static enum status fill(struct answer *answer, const struct sync_push *push) {
    struct dispatch *dispatch = answer->dispatch;
    bool is_listing = answer->reply->verdicts.size > 0;
    bool may_grant = !is_holding(dispatch) && is_settled(answer) && !is_listing;
    enum status status = STATUS_OK;
    if (may_grant) {
        status = note_boot(answer, push);
        status = status == STATUS_OK ? dispatch_claim(dispatch, &answer->room) : status;
    }
    /* Claims have given numbers to commands. */
    status = status == STATUS_OK ? db_ledger_lock(dispatch->db, &answer->ledger) : status;
    if (status == STATUS_OK && may_grant) {
        status = put_commands(answer);
    }
    if (status == STATUS_OK && may_grant && is_renewal_due(answer)) {
        status = put_grants(answer);
        if (status == STATUS_OK && answer->least_ttl_ms == 0 && answer->ledger.renew_ms != 0) {
            answer->ledger.renew_ms = 0; /* it has nothing any more */
            status = db_ledger_put(dispatch->db, &answer->ledger);
        }
    }
    return status == STATUS_OK ? note_grants(answer) : status;
}

/* Whether there is anything to do for it at all; most polls of an idle fleet need no lock. */
static bool has_words(const struct answer *answer, const struct sync_push *push) {
    const struct db_ledger *ledger = &answer->ledger;
    bool is_other = ledger->boot != push->now.boot || !is_settled(answer);
    return answer->dispatch->has_waiting || answer->dispatch->has_movable ||
           ledger->command > answer->room.seen || is_renewal_due(answer) || is_other;
}

enum status dispatch_answer(struct dispatch *dispatch, struct bytes hub_id,
                            const struct sync_push *push, uint64_t held_ms,
                            struct sync_reply *reply) {
    struct answer answer = {.dispatch = dispatch, .reply = reply};
    if (reply->result != SYNC_OK || hub_id.size > RECORD_ID_MAX) {
        return STATUS_OK;
    }
    memcpy(answer.ledger.hub, hub_id.data, hub_id.size);
    enum status status = STATUS_OK;
    if (push->upstream_epoch > dispatch->upstream.epoch) {
        status = follow_epoch(dispatch, push->upstream_epoch, false);
    }
    uint32_t told_epoch = dispatch->fleet->told_epoch; /* by a hub whose log proved it */
    if (status == STATUS_OK && told_epoch != 0 && told_epoch >= dispatch->upstream.epoch) {
        status = follow_epoch(dispatch, told_epoch, true);
    }
    answer.ledger.epoch = dispatch->upstream.epoch;
    status = status == STATUS_OK ? db_ledger_get(dispatch->db, &answer.ledger) : status;
    status = status == STATUS_NOT_FOUND ? STATUS_OK : status;
    bool is_ours = push->upstream_epoch == dispatch->upstream.epoch;
    if (status == STATUS_OK && is_ours && push->command > answer.ledger.command) {
        status = follow_epoch(dispatch, push->upstream_epoch, true);
        is_ours = false;
        answer.ledger.epoch = dispatch->upstream.epoch;
        answer.ledger.command = 0;
    }
    status =
        status == STATUS_OK ? db_hub_get(dispatch->db, answer.ledger.hub, &answer.hub) : status;
    if (status != STATUS_OK) {
        return status;
    }
    reply->upstream_epoch = dispatch->upstream.epoch;
    uint32_t most = push->reply_bytes_max == 0 ? SYNC_REPLY_BYTES_MAX : push->reply_bytes_max;
    answer.limit = most > DISPATCH_HEAD_BYTES ? most - DISPATCH_HEAD_BYTES : 0;
    answer.limit = answer.limit < DISPATCH_REPLY_BYTES ? answer.limit : DISPATCH_REPLY_BYTES;
    answer.sent_ms = dispatch->fleet->now.wall_ms - held_ms;
    answer.room = (struct dispatch_room){
        .hub = answer.ledger.hub,
        .seen = is_ours ? push->command : 0,
        .capacity = push->capacity,
        .idle = push->idle,
        .limit = answer.limit,
    };
    bool has_any = has_words(&answer, push) && dispatch->words_size < sizeof dispatch->words / 2;
    status = has_any ? settle(&answer, push) : STATUS_OK;
    if (status == STATUS_OK && has_any) {
        status = db_ledger_lock(dispatch->db, &answer.ledger);
    }
    return status == STATUS_OK && has_any ? fill(&answer, push) : status;
}

/* ---- looking ---- */

void dispatch_note(struct dispatch *dispatch) {
    dispatch->is_dirty = true;
}

static void wake(const struct dispatch *dispatch, const char *hub) {
    dispatch->wake(dispatch->owner, (struct bytes){(const uint8_t *)hub, strlen(hub)});
}

/* Hubs whose phones items wait for, and hubs with commands. */
static enum status wake_named(struct dispatch *dispatch, uint64_t now_ms) {
    char hub[RECORD_ID_MAX + 1] = "";
    uint64_t newest;
    enum status status = STATUS_OK;
    while ((status = db_item_next_hub(dispatch->db, now_ms, hub, hub)) == STATUS_OK) {
        dispatch->has_waiting = true;
        wake(dispatch, hub);
    }
    hub[0] = '\0';
    while (status == STATUS_NOT_FOUND &&
           (status = db_command_next_hub(dispatch->db, dispatch->upstream.epoch, hub, hub,
                                         &newest)) == STATUS_OK) {
        wake(dispatch, hub);
        status = STATUS_NOT_FOUND;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status wake_due(struct dispatch *dispatch, uint64_t now_ms) {
    struct db_ledger ledger = {0};
    enum status status = STATUS_OK;
    while (status == STATUS_OK) {
        status = db_ledger_next_due(dispatch->db, ledger.hub, now_ms, &ledger);
        if (status == STATUS_OK) {
            wake(dispatch, ledger.hub);
        }
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* For what runs on any phone: hubs with the most ready phones first, each its share. */
static enum status wake_ready(struct dispatch *dispatch, uint64_t waiting) {
    static struct db_ready_hub hubs[DISPATCH_CANDIDATES];
    uint32_t count = DISPATCH_CANDIDATES;
    enum status status = db_hubs_ready(dispatch->db, hubs, &count);
    dispatch->share = count == 0 ? 1 : (uint32_t)((waiting + count - 1) / count);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        wake(dispatch, hubs[i].hub);
    }
    return status;
}

static enum status look(struct dispatch *dispatch) {
    uint64_t now_ms = dispatch->fleet->now.wall_ms;
    uint64_t waiting = 0;
    uint64_t movable = 0;
    dispatch->has_waiting = false;
    enum status status = wake_named(dispatch, now_ms);
    status = status == STATUS_OK ? wake_due(dispatch, now_ms) : status;
    status = status == STATUS_OK ? db_item_count_any(dispatch->db, now_ms, &waiting) : status;
    status = status == STATUS_OK
                 ? db_item_count_movable(dispatch->db, now_ms - DISPATCH_MOVE_MS, &movable)
                 : status;
    dispatch->has_waiting = dispatch->has_waiting || waiting > 0;
    dispatch->has_movable = movable > 0;
    if (status == STATUS_OK && waiting + movable > 0) {
        status = wake_ready(dispatch, waiting + movable);
    }
    return status;
}

/* The wait after a restore is over, for all upstreamd: they have waited as long, or see as this one
 * that every hub has told what it has. */
static enum status end_hold(struct dispatch *dispatch) {
    uint64_t longest_ms = registry_longest_grant_ms(dispatch->registry);
    bool is_over =
        ledger_is_over(dispatch->holding_since_ms, dispatch->fleet->now.mono_ms, longest_ms);
    enum status status = STATUS_OK;
    if (is_holding(dispatch) && !is_over) {
        status = db_hubs_are_settled(dispatch->db, dispatch->upstream.epoch, &is_over);
    }
    if (status != STATUS_OK || !is_holding(dispatch) || !is_over) {
        return status;
    }
    dispatch->holding_since_ms = 0;
    log_info("upstream_grants epoch=%u", dispatch->upstream.epoch);
    return begin_epoch(dispatch, dispatch->upstream.epoch, false);
}

struct dispatch_stand dispatch_stand(const struct dispatch *dispatch) {
    return (struct dispatch_stand){dispatch->counters, dispatch->upstream,
                                   dispatch->holding_since_ms};
}

void dispatch_restore(struct dispatch *dispatch, const struct dispatch_stand *stand) {
    dispatch->counters = stand->counters;
    dispatch->upstream = stand->upstream;
    dispatch->holding_since_ms = stand->holding_since_ms;
}

struct sweep {
    struct dispatch *dispatch;
    struct dispatch_stand stand;
    bool has_changed;
};

static enum status sweep_all(void *owner) {
    struct sweep *sweep = owner;
    dispatch_restore(sweep->dispatch, &sweep->stand);
    sweep->has_changed = false;
    enum status status = end_hold(sweep->dispatch);
    return status == STATUS_OK ? dispatch_sweep(sweep->dispatch, &sweep->has_changed) : status;
}

bool dispatch_step(struct dispatch *dispatch) {
    uint64_t now_ms = dispatch->fleet->now.mono_ms;
    bool changed = false;
    if (!dispatch->is_dirty && now_ms < dispatch->look_ms) {
        return false;
    }
    dispatch->is_dirty = false;
    enum status status = STATUS_OK;
    if (now_ms >= dispatch->look_ms) {
        dispatch->look_ms = now_ms + DISPATCH_LOOK_MS;
        struct sweep sweep = {.dispatch = dispatch, .stand = dispatch_stand(dispatch)};
        status = db_transact(dispatch->db, sweep_all, &sweep);
        changed = status == STATUS_OK && sweep.has_changed;
        if (status != STATUS_OK) {
            dispatch_restore(dispatch, &sweep.stand);
        }
    }
    status = status == STATUS_OK ? look(dispatch) : status;
    if (status != STATUS_OK) {
        log_error("dispatch_failed reason=%s", db_reason(dispatch->db));
        dispatch->look_ms = now_ms + DISPATCH_LOOK_MS;
    }
    return changed;
}

uint64_t dispatch_deadline_ms(const struct dispatch *dispatch) {
    return dispatch->is_dirty ? 0 : dispatch->look_ms;
}
