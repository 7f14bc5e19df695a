#include "host/hubd/run/executor_power.h"

#include "host/hubd/phones/recovery.h"
#include "host/hubd/run/executor_internal.h"

static void fail(struct attempt *attempt, const char *code, const char *why) {
    attempt->power = ATTEMPT_POWER_NONE;
    executor_fail(attempt, RECORD_CATEGORY_CAPABILITY, code, "%s: %s",
                  executor_action(attempt)->name, why);
}

void executor_power_begin(struct attempt *attempt) {
    struct slot_power *power = &attempt->executor->phones->power;
    if (!attempt->line->is_usb || !slot_power_is_offered(power, attempt->line->slot)) {
        fail(attempt, "no_port_power", "nobody switches the power of its port");
        return;
    }
    attempt->power = ATTEMPT_POWER_COUNT;
}

/* The attempt may be over, and another one have begun: that one waits for a switch of its own. */
static void ended(void *owner, const char *slot, const char *failure) {
    struct attempt *attempt = owner;
    (void)slot;
    if (attempt->power != ATTEMPT_POWER_SWITCHING) {
        return;
    }
    attempt->power = ATTEMPT_POWER_RETURN;
    if (failure != NULL) {
        fail(attempt, "port_power", failure);
    }
}

/* FULL: the budget is spent; the core asks the attempt to stop. */
static void count(struct attempt *attempt) {
    struct hub *hub = attempt->executor->hub;
    enum status status = hub_attempt_power_cycle(hub, attempt->start.phone, attempt->start.token);
    if (status == STATUS_OK) {
        attempt->power = ATTEMPT_POWER_LEAVE;
    } else if (status != STATUS_AGAIN) {
        attempt->power = ATTEMPT_POWER_NONE;
    }
}

static void leave(struct attempt *attempt) {
    if (hub_phone_event(attempt->executor->hub, attempt->start.phone, PHONE_ON_AWAY,
                        "its lease asked for a power cycle") == STATUS_OK) {
        attempt->power = ATTEMPT_POWER_SWITCH;
    }
}

static void begin_switch(struct attempt *attempt) {
    struct phone_line *line = attempt->line;
    const struct slot_power_request request = {
        .slot = line->slot,
        .goal = PORT_POWER_CYCLE,
        .is_alone = recovery_is_alone(line),
        .is_there = line->device != 0,
        .ended = ended,
        .owner = attempt,
    };
    attempt->power = ATTEMPT_POWER_SWITCHING;
    enum status status = slot_power_switch(&attempt->executor->phones->power, &request);
    if (status == STATUS_BUSY || status == STATUS_FULL) {
        attempt->power = ATTEMPT_POWER_SWITCH; /* another port of its hub is being switched */
    } else if (status != STATUS_OK && attempt->power == ATTEMPT_POWER_SWITCHING) {
        fail(attempt, "port_power", "its hub does not let its port be switched");
    }
}

void executor_power_step(struct attempt *attempt) {
    const struct hub_phone *phone = &attempt->executor->hub->phones[attempt->start.phone];
    if (attempt->power == ATTEMPT_POWER_COUNT) {
        count(attempt);
    }
    if (attempt->power == ATTEMPT_POWER_LEAVE) {
        leave(attempt);
    }
    if (attempt->power == ATTEMPT_POWER_SWITCH) {
        begin_switch(attempt);
    }
    if (attempt->power == ATTEMPT_POWER_RETURN && phone->state == RECORD_PHONE_LEASED) {
        attempt->power = ATTEMPT_POWER_NONE;
        attempt->step = ATTEMPT_DONE;
    }
}

void executor_power_stop(struct attempt *attempt) {
    attempt->power = ATTEMPT_POWER_NONE;
}
