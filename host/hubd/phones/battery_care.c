#include "host/hubd/phones/battery_care.h"

#include "host/hubd/phones/recovery.h"
#include "host/shared/log.h"

#include <stdio.h>
#include <string.h>

enum status battery_care_add(struct battery_care *care, const char *slot) {
    if (strcmp(slot, "all") == 0) {
        care->is_for_all = true;
        return STATUS_OK;
    }
    if (care->count == BATTERY_CARE_SLOTS) {
        return STATUS_FULL;
    }
    struct battery_slot *of = &care->slots[care->count];
    *of = (struct battery_slot){.care = care, .must_restore = true, .phone = HUB_NONE};
    snprintf(of->slot, sizeof of->slot, "%s", slot);
    care->count += 1;
    return STATUS_OK;
}

static struct battery_slot *find(struct battery_care *care, const char *slot) {
    for (uint32_t i = 0; i < care->count; i++) {
        if (strcmp(care->slots[i].slot, slot) == 0) {
            return &care->slots[i];
        }
    }
    return NULL;
}

static const struct battery_slot *slot_of(const struct battery_care *care,
                                          const struct phone_line *line) {
    for (uint32_t i = 0; i < care->count; i++) {
        if (care->slots[i].line == line) {
            return &care->slots[i];
        }
    }
    return NULL;
}

void battery_care_attached(struct battery_care *care, struct phone_line *line) {
    for (uint32_t i = 0; i < care->count; i++) {
        struct battery_slot *other = &care->slots[i];
        if (other->line == line) {
            other->line = NULL;
            other->cancel_ms = 0;
        }
    }
    struct battery_slot *slot = find(care, line->slot);
    if (slot == NULL && care->is_for_all && battery_care_add(care, line->slot) == STATUS_OK) {
        slot = &care->slots[care->count - 1];
    }
    if (slot == NULL) {
        return;
    }
    slot->line = line;
    slot->must_restore = false;
    slot->cancel_ms = 0;
    if (!slot->is_switching) {
        battery_has_power(&slot->battery, care->phones->now_ms); /* somebody else turned it on */
    }
}

bool battery_care_rests(const struct battery_care *care, const struct phone_line *line) {
    const struct battery_slot *slot = slot_of(care, line);
    return slot != NULL && (slot->battery.is_resting || slot->is_switching);
}

/* ---- the level ---- */

static void take_output(void *owner, uint32_t operation, bool is_stderr, struct bytes data) {
    struct battery_slot *slot = owner;
    (void)operation;
    if (!is_stderr) {
        battery_reading_take(&slot->reading, data);
    }
}

static void read_ended(void *owner, uint32_t operation, const struct phone_result *result) {
    struct battery_slot *slot = owner;
    (void)operation;
    slot->cancel_ms = 0;
    if (result->status == STATUS_OK && result->exit_status == 0) {
        battery_said(&slot->battery, &slot->care->rules, slot->reading.level);
    }
}

static void read_level(struct battery_slot *slot, uint64_t now_ms) {
    struct phone_link *link = &slot->line->link;
    const struct phone_handler handler = {
        .output = take_output, .ended = read_ended, .owner = slot};
    battery_asked(&slot->battery, now_ms);
    battery_reading_begin(&slot->reading);
    if (phone_link_shell(link, link->fence, bytes_of("dumpsys battery"), &handler,
                         &slot->operation) == STATUS_OK) {
        slot->cancel_ms = now_ms + BATTERY_READING_MS;
    }
}

/* ---- the power ---- */

static void power_ended(void *owner, const char *name, const char *failure) {
    struct battery_slot *slot = owner;
    struct battery_care *care = slot->care;
    uint64_t now_ms = care->phones->now_ms;
    slot->is_switching = false;
    care->failures += failure != NULL ? 1 : 0;
    if (failure != NULL) {
        log_warn("battery_power_failed slot=%s goal=%s reason=%s", name,
                 slot->goal == PORT_POWER_LEAVE_OFF ? "off" : "on", failure);
    }
    if (slot->goal == PORT_POWER_LEAVE_OFF && failure == NULL) {
        battery_was_cut(&slot->battery, &care->rules, now_ms);
        care->cuts += 1;
        log_info("battery_rests slot=%s level=%u rest_ms=%llu", name, (unsigned)slot->battery.level,
                 (unsigned long long)slot->battery.rest_ms);
    } else if (slot->goal == PORT_POWER_LEAVE_OFF) {
        battery_was_refused(&slot->battery, now_ms);
    } else if (failure == NULL) {
        battery_has_power(&slot->battery, now_ms);
        care->charges += 1;
    } else {
        slot->retry_ms = now_ms + BATTERY_CARE_RETRY_MS;
    }
}

static void switch_power(struct battery_slot *slot, enum port_power_goal goal, uint64_t now_ms) {
    const struct phone_line *line = slot->line;
    const struct slot_power_request request = {
        .slot = slot->slot,
        .goal = goal,
        .is_alone = line != NULL && recovery_is_alone(line),
        .is_there = line != NULL && line->device != 0,
        .ended = power_ended,
        .owner = slot,
    };
    slot->goal = goal;
    slot->is_switching = slot_power_switch(&slot->care->phones->power, &request) == STATUS_OK;
    slot->retry_ms = slot->is_switching ? 0 : now_ms + BATTERY_CARE_RETRY_MS;
}

/* ---- steps ---- */

static bool is_idle(const struct battery_slot *slot) {
    const struct phone_line *line = slot->line;
    if (line == NULL || line->device == 0 || !line->is_identified ||
        line->link.state != PHONE_LINK_ONLINE) {
        return false;
    }
    const struct hub_phone *phone = &slot->care->phones->hub->phones[line->phone];
    return phone->state == RECORD_PHONE_READY && phone->item == HUB_NONE;
}

static bool is_wanted(const struct battery_slot *slot) {
    struct hub *hub = slot->care->phones->hub;
    return slot->care->is_stopping ||
           (slot->phone != HUB_NONE && hub_phone_is_wanted(hub, slot->phone));
}

/* A port that an earlier run of this program has left off. */
static void restore(struct battery_slot *slot, uint64_t now_ms) {
    struct battery_care *care = slot->care;
    if (now_ms - care->start_ms >= BATTERY_CARE_START_MS &&
        slot_power_is_offered(&care->phones->power, slot->slot)) {
        slot->must_restore = false;
        switch_power(slot, PORT_POWER_LEAVE_ON, now_ms);
    }
}

static void step(struct battery_slot *slot, uint64_t now_ms) {
    if (slot->cancel_ms != 0 && now_ms >= slot->cancel_ms) {
        slot->cancel_ms = 0;
        phone_link_cancel(&slot->line->link, slot->operation);
    }
    if (slot->is_switching || now_ms < slot->retry_ms) {
        return;
    }
    if (slot->must_restore) {
        restore(slot, now_ms);
        return;
    }
    bool is_idle_now = is_idle(slot);
    if (!is_idle_now && !slot->battery.is_resting) {
        return;
    }
    slot->phone = is_idle_now ? slot->line->phone : slot->phone;
    enum battery_wish wish =
        battery_decide(&slot->battery, &slot->care->rules, is_idle_now, is_wanted(slot), now_ms);
    if (wish == BATTERY_READ) {
        read_level(slot, now_ms);
    } else if (wish != BATTERY_NOTHING) {
        switch_power(slot, wish == BATTERY_CUT ? PORT_POWER_LEAVE_OFF : PORT_POWER_LEAVE_ON,
                     now_ms);
    }
}

/* Where phones were when this program ended: their ports may be off. */
static void add_known(struct battery_care *care) {
    const struct hub *hub = care->phones->hub;
    for (uint32_t p = 0; care->is_for_all && p < hub->phone_count; p++) {
        const char *slot = hub->phones[p].slot;
        if (hub->phones[p].number != 0 && strncmp(slot, "usb:", 4) == 0 &&
            find(care, slot) == NULL && battery_care_add(care, slot) != STATUS_OK) {
            return;
        }
    }
}

void battery_care_step(struct battery_care *care, uint64_t now_ms) {
    if (care->start_ms == 0) {
        care->start_ms = now_ms;
        add_known(care);
    }
    for (uint32_t i = 0; i < care->count; i++) {
        step(&care->slots[i], now_ms);
    }
}

uint64_t battery_care_deadline_ms(const struct battery_care *care) {
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < care->count; i++) {
        const struct battery_slot *slot = &care->slots[i];
        uint64_t due = battery_deadline_ms(&slot->battery, &care->rules);
        due = slot->must_restore ? care->start_ms + BATTERY_CARE_START_MS : due;
        due = slot->retry_ms > due ? slot->retry_ms : due;
        bool is_waiting = slot->is_switching ||
                          (!slot->must_restore && !slot->battery.is_resting && !is_idle(slot));
        due = is_waiting ? UINT64_MAX : due;
        due = slot->cancel_ms != 0 && slot->cancel_ms < due ? slot->cancel_ms : due;
        next = due < next ? due : next;
    }
    return next;
}

void battery_care_stop(struct battery_care *care) {
    care->is_stopping = true;
}

bool battery_care_is_quiet(const struct battery_care *care) {
    for (uint32_t i = 0; i < care->count; i++) {
        if (care->slots[i].battery.is_resting || care->slots[i].is_switching) {
            return false;
        }
    }
    return true;
}
