/* Why an item waits, in one word for people. */
#include "firmware/hub_internal.h"

const char *hub_wait_name(enum hub_wait wait) {
    static const char *const names[HUB_WAIT_COUNT] = {
        "",
        "held",
        "waiting_for_start_time",
        "clock_unknown",
        "waiting_for_retry",
        "waiting_for_grant",
        "waiting_for_capability",
        "waiting_for_concurrency_key",
        "waiting_for_account",
        "waiting_for_budget",
        "waiting_for_labels",
        "waiting_for_phone",
        "waiting_for_busy_phone",
        "waiting_for_phone_budget",
        "waiting_for_worker",
        "waiting_for_turn",
        "suspended_by_operator",
        "suspended_for_review",
        "suspended_for_budget",
        "suspended_as_uncertain",
    };
    check(wait < HUB_WAIT_COUNT);
    return names[wait];
}

static enum hub_wait suspended_for(uint8_t suspension) {
    static const enum hub_wait waits[RECORD_SUSPENSION_COUNT] = {
        [RECORD_SUSPEND_OPERATOR] = HUB_WAIT_OPERATOR,
        [RECORD_SUSPEND_REVIEW] = HUB_WAIT_REVIEW,
        [RECORD_SUSPEND_BUDGET] = HUB_WAIT_SPENT,
        [RECORD_SUSPEND_UNCERTAIN] = HUB_WAIT_UNCERTAIN,
    };
    check(suspension < RECORD_SUSPENSION_COUNT);
    return waits[suspension];
}

static bool is_spent(const struct hub *hub, const struct budget *budget,
                     const struct budget_limit *limit) {
    return budget_left(budget, limit, BUDGET_ATTEMPTS, hub->clock.mono_ms) == 0 ||
           budget_left(budget, limit, BUDGET_SECONDS, hub->clock.mono_ms) == 0;
}

/* What the phones of a lane lack, from the nearest to being leased. */
static enum hub_wait phones_lack(const struct hub *hub, const struct hub_lane *lane) {
    enum hub_wait lack = HUB_WAIT_LABELS;
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        const struct hub_phone *phone = &hub->phones[p];
        if ((hub_labels_matching(hub, lane, p / 32) >> p % 32 & 1u) == 0) {
            continue;
        }
        bool is_free = phone->state == RECORD_PHONE_READY;
        if (is_free && !is_spent(hub, &phone->budget, &hub->phone_limit)) {
            return HUB_WAIT_TURN;
        }
        if (is_free) {
            lack = HUB_WAIT_PHONE_BUDGET;
        } else if (phone->item != HUB_NONE) {
            lack = lack == HUB_WAIT_PHONE_BUDGET ? lack : HUB_WAIT_PHONE_BUSY;
        } else if (lack == HUB_WAIT_LABELS) {
            lack = HUB_WAIT_PHONE_GONE;
        }
    }
    return lack;
}

static enum hub_wait ready_for(const struct hub *hub, const struct hub_item *of) {
    if (of->strand == HUB_NONE) {
        return HUB_WAIT_CAPABILITY;
    }
    const struct hub_strand *strand = &hub->strands[of->strand];
    const struct hub_lane *lane = &hub->lanes[strand->lane];
    const struct capability *capability = &hub->capabilities[lane->capability];
    uint32_t gate = queue_shut_gate(hub, of->strand);
    if (gate != HUB_NONE) {
        return gate == strand->key_gate ? HUB_WAIT_CONCURRENCY : HUB_WAIT_ACCOUNT;
    }
    if (is_spent(hub, &hub->budgets[lane->capability], &capability->budget)) {
        return HUB_WAIT_BUDGET;
    }
    enum hub_wait lack = phones_lack(hub, lane);
    return lack == HUB_WAIT_TURN && capability->is_external ? HUB_WAIT_WORKER : lack;
}

enum hub_wait hub_item_wait(const struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    const struct hub_process *process = &hub->processes[of->process];
    enum record_item_state state = of->image.state;
    if (item_is_terminal(state) || state == RECORD_LEASED || state == RECORD_RUNNING) {
        return HUB_WAIT_NONE;
    }
    if ((process->image.flags & RECORD_HOLD) != 0) {
        return HUB_WAIT_HELD;
    }
    if (state == RECORD_SCHEDULED) {
        return hub->clock.wall_ms == 0 ? HUB_WAIT_CLOCK_UNKNOWN : HUB_WAIT_NOT_BEFORE;
    }
    if (state == RECORD_RETRY_WAIT) {
        return HUB_WAIT_BACKOFF;
    }
    if (state == RECORD_SUSPENDED) {
        return suspended_for(of->image.suspension);
    }
    return hub_grant_is_live(hub, item) ? ready_for(hub, of) : HUB_WAIT_GRANT;
}

enum hub_wait hub_process_wait(const struct hub *hub, uint32_t process) {
    enum hub_wait wait = HUB_WAIT_NONE;
    for (uint32_t i = hub->processes[process].first_item; i != HUB_NONE && wait == HUB_WAIT_NONE;
         i = hub->items[i].next_of_process) {
        wait = hub_item_wait(hub, i);
    }
    return wait;
}

uint32_t hub_item_last_phone(const struct hub *hub, uint32_t item) {
    const struct record_item *image = &hub->items[item].image;
    uint32_t newest = hub_attempt_newest(hub, item);
    if (image->phone == 0 && newest != HUB_NONE) {
        return hub->attempts[newest].phone;
    }
    uint64_t number = image->phone != 0 ? image->phone : image->target_phone;
    return number == 0 ? HUB_NONE : hub_phone_by_number(hub, number);
}

uint32_t hub_item_dropped(const struct hub *hub, uint32_t item) {
    const struct hub_item *of = &hub->items[item];
    uint32_t newest = hub_attempt_newest(hub, item);
    uint32_t recorded = newest == HUB_NONE ? 0 : hub->attempts[newest].number;
    check(recorded >= of->attempt_count);
    return recorded - of->attempt_count;
}
