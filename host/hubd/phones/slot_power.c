#include "host/hubd/phones/slot_power.h"

#include "host/shared/log.h"

#include <stdio.h>
#include <string.h>

static void ended(void *owner, const char *slot, const char *failure);

void slot_power_init(struct slot_power *power, struct loop *loop) {
    power->usb.ended = ended;
    power->serial.loop = loop;
    power->serial.ended = ended;
}

/* ---- trust ---- */

/* The slot of the hub that a slot is a port of: the slot without its last port. */
static size_t hub_size_of(const char *slot) {
    const char *dot = strrchr(slot, '.');
    return dot == NULL ? strlen(slot) : (size_t)(dot - slot);
}

static bool is_same_hub(const char *a, const char *b) {
    size_t size = hub_size_of(a);
    return size == hub_size_of(b) && strncmp(a, b, size) == 0;
}

static bool is_distrusted(const struct slot_power *power, const char *slot) {
    size_t size = hub_size_of(slot);
    for (size_t i = 0; i < SLOT_POWER_DISTRUSTED; i++) {
        const char *hub = power->distrusted[i];
        if (hub[0] != '\0' && strlen(hub) == size && strncmp(hub, slot, size) == 0) {
            return true;
        }
    }
    return false;
}

static void distrust(struct slot_power *power, const char *slot) {
    struct serial_power_hub *hub = serial_power_of(&power->serial, slot);
    log_error("power_not_trusted slot=%s reason=%s", slot,
              hub != NULL ? "another slot lost its phone; correct slots in [hub_serial], then "
                            "start hubd again"
                          : "another port of the hub lost its phone; use another hub");
    if (hub != NULL) {
        hub->is_untrusted = true;
    } else {
        char *row = power->distrusted[power->distrusts % SLOT_POWER_DISTRUSTED];
        snprintf(row, HAL_USB_SLOT_SIZE, "%.*s", (int)hub_size_of(slot), slot);
    }
    power->distrusts += 1;
}

/* ---- switching ---- */

bool slot_power_is_offered(struct slot_power *power, const char *slot) {
    const struct serial_power_hub *hub = serial_power_of(&power->serial, slot);
    if (hub != NULL) {
        return serial_power_is_offered(hub);
    }
    return hub_power_is_offered(&power->usb, slot) && !is_distrusted(power, slot);
}

static struct slot_power_watch *take_watch(struct slot_power *power) {
    for (size_t i = 0; i < SLOT_POWER_WATCHES; i++) {
        if (!power->watches[i].is_used) {
            return &power->watches[i];
        }
    }
    return NULL;
}

/* The one before is over, but its phones are still watched. */
static bool is_watched(const struct slot_power *power, const char *slot) {
    for (size_t i = 0; i < SLOT_POWER_WATCHES; i++) {
        const struct slot_power_watch *watch = &power->watches[i];
        if (watch->is_used && !watch->is_told && strcmp(watch->slot, slot) == 0) {
            return true;
        }
    }
    return false;
}

enum status slot_power_switch(struct slot_power *power, const struct slot_power_request *request) {
    struct serial_power_hub *hub = serial_power_of(&power->serial, request->slot);
    struct slot_power_watch *watch = take_watch(power);
    if (watch == NULL) {
        return STATUS_FULL;
    }
    if (is_watched(power, request->slot)) {
        return STATUS_BUSY;
    }
    if (hub == NULL && is_distrusted(power, request->slot)) {
        return STATUS_DENIED;
    }
    *watch = (struct slot_power_watch){.request = *request};
    snprintf(watch->slot, sizeof watch->slot, "%s", request->slot);
    watch->request.slot = watch->slot;
    enum status status = hub != NULL ? serial_power_switch(hub, watch->slot, request->goal, watch)
                                     : hub_power_switch(&power->usb, watch->slot, request->goal,
                                                        request->is_alone, watch);
    watch->is_used = status == STATUS_OK;
    return status;
}

/* ---- watching ---- */

static void ended(void *owner, const char *slot, const char *failure) {
    struct slot_power_watch *watch = owner;
    (void)slot;
    watch->is_over = true;
    watch->failure = failure;
}

static bool is_neighbour(struct slot_power *power, const char *a, const char *b) {
    struct serial_power_hub *hub = serial_power_of(&power->serial, a);
    return hub != NULL ? hub == serial_power_of(&power->serial, b) : is_same_hub(a, b);
}

static bool is_being_switched(const struct slot_power *power, const char *slot) {
    for (size_t i = 0; i < SLOT_POWER_WATCHES; i++) {
        if (power->watches[i].is_used && strcmp(power->watches[i].slot, slot) == 0) {
            return true;
        }
    }
    return false;
}

void slot_power_left(struct slot_power *power, const char *slot, bool has_reason) {
    bool is_innocent = has_reason || is_being_switched(power, slot);
    for (size_t i = 0; i < SLOT_POWER_WATCHES; i++) {
        struct slot_power_watch *watch = &power->watches[i];
        if (!watch->is_used) {
            continue;
        }
        if (strcmp(watch->slot, slot) == 0) {
            watch->has_left = true;
        } else if (!is_innocent) {
            watch->has_other_left = true;
            watch->has_neighbour_left |= is_neighbour(power, watch->slot, slot);
        }
    }
}

static void tell(struct slot_power *power, struct slot_power_watch *watch) {
    watch->is_told = true;
    power->failures += watch->failure != NULL ? 1 : 0;
    power->cycles += watch->failure == NULL && watch->request.goal == PORT_POWER_CYCLE ? 1 : 0;
    watch->request.ended(watch->request.owner, watch->slot, watch->failure);
}

/* A port of the same hub too, or another slot instead. */
static bool is_wrong(const struct slot_power_watch *watch, bool is_settled) {
    bool was_cut = watch->request.goal != PORT_POWER_LEAVE_ON && watch->failure == NULL;
    bool is_elsewhere =
        is_settled && watch->request.is_there && !watch->has_left && watch->has_other_left;
    return was_cut && (is_elsewhere || (watch->has_left && watch->has_neighbour_left));
}

static void judge(struct slot_power *power, struct slot_power_watch *watch) {
    bool is_settled = power->now_ms >= watch->over_ms + SLOT_POWER_SETTLE_MS;
    bool must_leave = watch->request.goal == PORT_POWER_CYCLE && watch->request.is_there;
    if (is_wrong(watch, is_settled)) {
        distrust(power, watch->slot);
        watch->failure = "another slot lost its phone: the ports are not where they should be";
    } else if (must_leave && is_settled && !watch->has_left && watch->failure == NULL) {
        watch->failure = "its phone did not leave the bus: its power was not cut";
    }
    bool is_known = !must_leave || watch->has_left || watch->failure != NULL;
    if (!watch->is_told && (is_known || is_settled)) {
        tell(power, watch);
    }
    watch->is_used = !is_settled;
}

void slot_power_step(struct slot_power *power, uint64_t now_ms) {
    power->now_ms = now_ms;
    hub_power_step(&power->usb, now_ms);
    serial_power_step(&power->serial, now_ms);
    for (size_t i = 0; i < SLOT_POWER_WATCHES; i++) {
        struct slot_power_watch *watch = &power->watches[i];
        if (watch->is_used && watch->is_over) {
            watch->over_ms = watch->over_ms == 0 ? now_ms : watch->over_ms;
            judge(power, watch);
        }
    }
}

uint64_t slot_power_deadline_ms(const struct slot_power *power, uint64_t now_ms) {
    uint64_t usb_ms = hub_power_deadline_ms(&power->usb, now_ms);
    uint64_t next = serial_power_deadline_ms(&power->serial, now_ms);
    next = usb_ms < next ? usb_ms : next;
    for (size_t i = 0; i < SLOT_POWER_WATCHES; i++) {
        const struct slot_power_watch *watch = &power->watches[i];
        uint64_t due = watch->over_ms == 0 ? now_ms : watch->over_ms + SLOT_POWER_SETTLE_MS;
        if (watch->is_used && watch->is_over && due < next) {
            next = due;
        }
    }
    return next;
}
