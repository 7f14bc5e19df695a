/* Upstream's commands (SPEC.md section 8). Each is applied once, in the order of their numbers; its
 * effect, its answer and its number are one commit group. */
#include "firmware/hub_fork.h"
#include "firmware/hub_internal.h"
#include "protocol/sync_command.h"

/* ---- answers ---- */

static bool is_acknowledged(const struct hub *hub, uint32_t slot) {
    uint64_t seq = store_slot(&hub->store, (struct store_key){RECORD_ANSWER, slot})->seq;
    return seq <= hub->store.acked_seq;
}

/* During the way out of a fork they may be acknowledged in no epoch, though a gap holds them. */
void hub_answers_release(struct hub *hub) {
    for (uint32_t slot = 0; slot < HUB_ANSWERS && hub_fork_is_settled(hub); slot++) {
        const struct store_key key = {RECORD_ANSWER, slot};
        if (store_slot(&hub->store, key)->seq != 0 && is_acknowledged(hub, slot)) {
            store_release(&hub->store, key);
        }
    }
}

/* HUB_NONE: upstream must acknowledge some first. */
static uint32_t free_answer(const struct hub *hub) {
    uint32_t slot = 0;
    while (slot < HUB_ANSWERS && !is_acknowledged(hub, slot)) {
        slot += 1;
    }
    return slot < HUB_ANSWERS ? slot : HUB_NONE;
}

/* ---- what is not an offer ---- */

static const struct {
    enum status status;
    enum record_answer_code code;
} answers[] = {
    {STATUS_OK, RECORD_ANSWER_DONE},
    {STATUS_TERMINAL, RECORD_ANSWER_ALREADY_TERMINAL},
    {STATUS_NOT_FOUND, RECORD_ANSWER_UNKNOWN_PROCESS},
    {STATUS_FULL, RECORD_ANSWER_CAPACITY_EXHAUSTED},
};

static enum record_answer_code code_of(enum status status) {
    for (size_t i = 0; i < array_count(answers); i++) {
        if (answers[i].status == status) {
            return answers[i].code;
        }
    }
    return RECORD_ANSWER_ILLEGAL;
}

/* The part, or the hub's own process; HUB_NONE: there is none of that number, of that owner. */
static uint32_t find_process(const struct hub *hub, const struct sync_control *control) {
    if (control->owner == SYNC_OWN_UPSTREAM) {
        return hub_part_find(hub, control->process, control->item);
    }
    uint32_t process = hub_process_find(hub, control->process);
    return process == HUB_NONE || hub_is_part(hub, process) ? HUB_NONE : process;
}

static enum status withdraw(struct hub *hub, uint32_t process, uint32_t assignment,
                            struct record_answer *answer) {
    const struct hub_process *of = &hub->processes[process];
    if (hub->items[of->first_item].image.assignment > assignment) {
        answer->code = RECORD_ANSWER_STALE_ASSIGNMENT;
        return STATUS_OK;
    }
    return of->end_seq != 0 ? STATUS_TERMINAL : hub_part_withdraw(hub, process);
}

static enum status control_process(struct hub *hub, uint32_t kind, uint32_t process,
                                   const struct sync_control *control,
                                   struct record_answer *answer) {
    bool is_part = control->owner == SYNC_OWN_UPSTREAM;
    switch (kind) {
    case SYNC_CANCEL:
        return hub_cancel(hub, process);
    case SYNC_SUSPEND:
        return hub_suspend(hub, process);
    case SYNC_RESUME:
        return hub_resume(hub, process);
    case SYNC_RETRY: /* upstream retries its own by new items */
        return is_part ? STATUS_ILLEGAL : hub_retry(hub, process);
    case SYNC_SETTLE:
        return hub_settle(hub, process, is_part ? 1 : control->item, control->is_done);
    default:
        return withdraw(hub, process, control->assignment, answer);
    }
}

/* AGAIN, or OK with an answer. */
static enum status apply_control(struct hub *hub, const struct sync_command *command,
                                 struct record_answer *answer) {
    struct sync_control control;
    if (sync_control_read(command, &control) != STATUS_OK) {
        answer->code = RECORD_ANSWER_MALFORMED;
        return STATUS_OK;
    }
    uint32_t process = find_process(hub, &control);
    if (process == HUB_NONE) {
        answer->code = RECORD_ANSWER_UNKNOWN_PROCESS;
        return STATUS_OK;
    }
    enum status status = control_process(hub, command->kind, process, &control, answer);
    if (status == STATUS_AGAIN) {
        return status;
    }
    answer->code = answer->code == RECORD_ANSWER_DONE ? (uint8_t)code_of(status) : answer->code;
    return STATUS_OK;
}

/* ---- one command ---- */

static enum status apply_offer(struct hub *hub, const struct sync_command *command,
                               uint64_t sent_ms, struct record_answer *answer) {
    struct sync_offer offer;
    if (sync_offer_read(command, &offer) != STATUS_OK) {
        answer->code = RECORD_ANSWER_MALFORMED;
        return STATUS_OK;
    }
    return hub_part_offer(hub, hub->image.upstream_epoch, sent_ms, &offer, answer);
}

/* Numbers that an earlier life of this hub has answered: nobody waits for an answer. */
static bool pass_answered(struct hub *hub, const struct sync_command *command) {
    uint64_t through;
    if (command->kind != SYNC_ANSWERED || sync_answered_read(command, &through) != STATUS_OK) {
        return false;
    }
    hub->image.command = through;
    return true;
}

/* AGAIN: not now, since the open group, or every answer, is taken. */
static enum status apply(struct hub *hub, const struct sync_command *command, uint64_t sent_ms) {
    struct record_answer answer = {.upstream_epoch = hub->image.upstream_epoch,
                                   .code = RECORD_ANSWER_DONE};
    uint32_t slot = free_answer(hub);
    /* Kept free beside the effect: for the answer, and the record with the number. */
    const uint32_t beside = HUB_ANSWER_BYTES + HUB_GAP_BYTES;
    enum status status = STATUS_OK;
    if (slot == HUB_NONE || !hub_has_room(hub, beside)) {
        return STATUS_AGAIN;
    }
    hub->held_bytes = beside;
    if (command->kind == SYNC_OFFER) {
        status = apply_offer(hub, command, sent_ms, &answer);
    } else if (command->kind > SYNC_OFFER && command->kind <= SYNC_WITHDRAW) {
        status = apply_control(hub, command, &answer);
    } else {
        answer.code = RECORD_ANSWER_UNKNOWN_KIND;
    }
    hub->held_bytes = 0;
    if (status == STATUS_OK) {
        hub->image.command = command->number;
        hub_log_answer(hub, slot, command->number, &answer);
        hub->counters.answers[answer.code] += 1;
    }
    return status;
}

/* ---- a reply's commands ---- */

static void log_number(struct hub *hub) {
    hub_log_self(hub, RECORD_COUNTERS_EVENT);
    hub->command_seq = hub_head_seq(hub);
}

void hub_commands_take(struct hub *hub, const struct sync_reply *reply, uint64_t sent_ms) {
    struct bytes commands = reply->commands;
    struct sync_command command;
    if (reply->upstream_epoch < hub->image.upstream_epoch || !hub_has_room(hub, HUB_GAP_BYTES) ||
        !hub_fork_is_settled(hub)) {
        return; /* an upstream that was restored must have told a higher one first */
    }
    bool is_new = reply->upstream_epoch > hub->image.upstream_epoch;
    if (is_new) {
        hub->image.upstream_epoch = reply->upstream_epoch;
        hub->image.command = 0;
    }
    while (hub->image.upstream_epoch != 0 && sync_command_next(&commands, &command)) {
        if (command.number <= hub->image.command) {
            continue;
        }
        if (command.number != hub->image.command + 1) {
            break;
        }
        if (!pass_answered(hub, &command) && apply(hub, &command, sent_ms) != STATUS_OK) {
            break;
        }
        is_new = true;
    }
    if (is_new) {
        log_number(hub);
    }
}

void hub_commands_settle(struct hub *hub) {
    if (hub->command_seq != 0 && hub->command_seq <= hub->store.durable_seq) {
        hub->told_command = hub->image.command;
        hub->told_epoch = hub->image.upstream_epoch;
        hub->command_seq = 0;
    }
}
