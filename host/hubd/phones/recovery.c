#include "host/hubd/phones/recovery.h"

#include "host/hubd/phones/phones_bootloader.h"
#include "host/hubd/phones/phones_usb.h"
#include "host/shared/log.h"

#include <stdio.h>
#include <string.h>

enum {
    STEADY_MS = 30000, /* who falls again sooner goes on where the climb before has ended */
    RESET_MS = 20000,  /* a reset that has not ended then is not waited for */
    LEAVING_MS = 15000 /* from its reboot's order until it leaves the bus */
};

static const struct hub_phone *phone_of(const struct phone_line *line) {
    return line->phone == HUB_NONE ? NULL : &line->phones->hub->phones[line->phone];
}

static bool is_down(const struct phone_line *line) {
    return line->link.state == PHONE_LINK_CLOSED || line->link.state == PHONE_LINK_LOST;
}

/* ---- the neighbours on the same hub ---- */

struct neighbours {
    uint32_t attached, online, recovering; /* without the line itself */
};

static struct neighbours neighbours_of(const struct phone_line *line) {
    struct neighbours found = {0};
    const struct phones *phones = line->phones;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        const struct phone_line *other = &phones->lines[i];
        const struct hub_phone *phone = phone_of(other);
        if (other == line || !other->is_usb || other->device == 0 ||
            other->hub_group != line->hub_group) {
            continue;
        }
        found.attached += 1;
        bool is_flashed =
            other->is_bootloader && phone != NULL && phone->state == RECORD_PHONE_AWAY;
        found.online += other->link.state == PHONE_LINK_ONLINE || is_flashed ? 1 : 0;
        found.recovering += phone != NULL && phone->state == RECORD_PHONE_RECOVERING ? 1 : 0;
    }
    return found;
}

bool recovery_is_alone(const struct phone_line *line) {
    return neighbours_of(line).attached == 0;
}

/* A hub is restarted only when none of its phones works. Several that fail at once are its fault:
 * one restart, and no rung for each of them but the mildest. A phone that does not even answer a
 * handshake cannot be asked to reboot. A bootloader that takes commands is first asked to. */
static unsigned rungs_of(const struct phone_line *line) {
    struct neighbours neighbours = neighbours_of(line);
    bool has_hub = hub_power_has_hub(&line->phones->power.usb, line->slot);
    bool may_restart = has_hub && neighbours.online == 0;
    bool is_usable = line->is_bootloader && fastboot_link_is_usable(&line->fastboot);
    unsigned rungs = line->is_bootloader ? 0 : 1u << LADDER_REOPEN;
    rungs |= is_usable ? 1u << LADDER_REBOOT : 0;
    rungs |= may_restart ? 1u << LADDER_HUB : 0;
    if (!may_restart || neighbours.recovering == 0) {
        rungs |= is_usable ? 0 : 1u << LADDER_RESET;
        rungs |= line->has_answered && !line->is_bootloader ? 1u << LADDER_REBOOT : 0;
        rungs |= slot_power_is_offered(&line->phones->power, line->slot) ? 1u << LADDER_POWER : 0;
    }
    return rungs;
}

/* ---- rungs ---- */

static void reset_port(struct phone_line *line) {
    enum status status = hal_usb_reset(line->phones->usb, line->device);
    if (status == STATUS_AGAIN) {
        line->reset_until_ms = line->phones->now_ms + RESET_MS;
        return;
    }
    recovery_reset_ended(line, status);
}

void recovery_reset_ended(struct phone_line *line, enum status status) {
    if (status != STATUS_OK) {
        log_warn("port_reset_failed slot=%s", line->slot);
    }
    line->reset_until_ms = 0;
    line->retry_ms = line->phones->now_ms;
}

static void power_ended(void *owner, const char *slot, const char *failure);

static enum status cycle(struct phone_line *line) {
    const struct slot_power_request request = {
        .slot = line->slot,
        .goal = PORT_POWER_CYCLE,
        .is_alone = recovery_is_alone(line),
        .is_there = line->device != 0,
        .ended = power_ended,
        .owner = line,
    };
    enum status status = slot_power_switch(&line->phones->power, &request);
    line->is_cycling = status == STATUS_OK;
    return status;
}

/* It counts for every phone of the hub, and each waits for it. */
static void restart_hub(struct phone_line *line) {
    struct phones *phones = line->phones;
    uint64_t next_ms = phones->ladders[line->phone].next_ms;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *other = &phones->lines[i];
        if (other != line && other->is_usb && other->hub_group == line->hub_group &&
            other->phone != HUB_NONE) {
            struct ladder *ladder = &phones->ladders[other->phone];
            ladder->tried[LADDER_HUB] = ladder_rules[LADDER_HUB].tries;
            ladder->next_ms = next_ms;
        }
    }
    if (hub_power_restart(&phones->power.usb, line->slot) != STATUS_OK) {
        log_warn("hub_restart_failed slot=%s", line->slot);
    }
}

/* A bootloader is left by every rung: what comes back is asked to reboot. */
static void act(struct phone_line *line, enum ladder_rung rung) {
    line->leaves_bootloader = line->is_bootloader;
    if (rung == LADDER_REOPEN || (rung == LADDER_REBOOT && !line->is_bootloader)) {
        line->retry_ms = line->phones->now_ms;
    } else if (rung == LADDER_RESET) {
        reset_port(line);
    } else if (rung == LADDER_POWER) {
        if (cycle(line) != STATUS_OK) {
            log_warn("power_cycle_refused slot=%s", line->slot);
            line->phones->ladders[line->phone].next_ms = line->phones->now_ms;
        }
    } else if (rung == LADDER_HUB) {
        restart_hub(line);
    }
}

static void give_up(const struct phone_line *line) {
    char reason[HUB_REASON_MAX + 1];
    struct hub *hub = line->phones->hub;
    const char *first = hub->phones[line->phone].reason;
    snprintf(reason, sizeof reason, "recovery is spent: %.100s",
             first[0] == '\0' ? "does not answer" : first);
    if (hub_phone_event(hub, line->phone, PHONE_ON_SPENT_ATTACHED, reason) == STATUS_OK) {
        line->phones->rungs[LADDER_END] += 1;
        log_error("phone_quarantined phone=%s slot=%s reason=%s", hub->phones[line->phone].id,
                  line->slot, reason);
    }
}

static void climb(struct phone_line *line) {
    struct phones *phones = line->phones;
    enum ladder_rung rung;
    if (ladder_climb(&phones->ladders[line->phone], rungs_of(line), phones->now_ms, &rung) !=
        STATUS_OK) {
        return;
    }
    if (rung == LADDER_END) {
        give_up(line);
        return;
    }
    phones->rungs[rung] += 1;
    line->wants_reboot = rung == LADDER_REBOOT && !line->is_bootloader;
    log_warn("phone_recovery phone=%s slot=%s rung=%s", phones->hub->phones[line->phone].id,
             line->slot, ladder_rules[rung].name);
    act(line, rung);
}

/* ---- when ---- */

static bool is_climbing(const struct phone_line *line) {
    const struct hub_phone *phone = phone_of(line);
    bool is_reopening = line->retry_ms != TIMER_NEVER;
    return phone != NULL && line->phones->now_ms >= line->reset_until_ms &&
           phone->state == RECORD_PHONE_RECOVERING && line->device != 0 && is_down(line) &&
           !line->is_cycling && !is_reopening && !line->was_lost &&
           !phones_bootloader_is_busy(line) && !battery_care_rests(&line->phones->battery, line);
}

void recovery_step(struct phone_line *line) {
    const struct hub_phone *phone = phone_of(line);
    if (phone == NULL) {
        return;
    }
    struct ladder *ladder = &line->phones->ladders[line->phone];
    bool is_working = phone->state == RECORD_PHONE_READY || phone->state == RECORD_PHONE_LEASED;
    if (!is_working) {
        line->steady_ms = 0;
    } else if (line->steady_ms == 0) {
        line->steady_ms = line->phones->now_ms;
    } else if (line->phones->now_ms - line->steady_ms >= STEADY_MS) {
        ladder_rest(ladder);
    }
    if (phone->state == RECORD_PHONE_QUARANTINED) {
        line->was_quarantined = true;
    } else if (line->was_quarantined) {
        line->was_quarantined = false;
        line->retry_ms = line->phones->now_ms;
        ladder_reset(ladder);
    }
    if (is_climbing(line)) {
        climb(line);
    }
}

uint64_t recovery_deadline_ms(const struct phone_line *line) {
    if (line->reset_until_ms > line->phones->now_ms) {
        return line->reset_until_ms;
    }
    return is_climbing(line) ? line->phones->ladders[line->phone].next_ms : TIMER_NEVER;
}

static void reboot_ended(void *owner, uint32_t operation, const struct phone_result *result) {
    const struct phone_line *line = owner;
    (void)operation;
    if (result->status == STATUS_DENIED) {
        log_warn("reboot_refused slot=%s", line->slot);
    }
}

bool recovery_reboots(struct phone_line *line) {
    const struct phone_handler handler = {.ended = reboot_ended, .owner = line};
    uint32_t operation;
    if (line->wants_reboot) {
        line->wants_reboot = false;
        bool is_asked = phone_link_service(&line->link, line->link.fence, bytes_of("reboot:"),
                                           &handler, &operation) == STATUS_OK;
        line->reboot_ms = is_asked ? line->phones->now_ms : 0;
    }
    return line->reboot_ms != 0 && line->phones->now_ms - line->reboot_ms < LEAVING_MS;
}

static void power_ended(void *owner, const char *slot, const char *failure) {
    struct phone_line *line = owner;
    line->is_cycling = false;
    if (failure != NULL) {
        log_warn("power_cycle_failed slot=%s reason=%s", slot, failure);
        if (line->phone != HUB_NONE) {
            line->phones->ladders[line->phone].next_ms = line->phones->now_ms;
        }
    } else {
        log_info("power_cycled slot=%s", slot);
    }
    if (strcmp(line->slot, slot) == 0 && line->device != 0 && is_down(line)) {
        line->retry_ms = line->phones->now_ms;
    }
}

enum status recovery_cycle(struct phones *phones, uint32_t phone) {
    if (phones->hub->phones[phone].item != HUB_NONE) {
        return STATUS_ILLEGAL;
    }
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (line->is_usb && line->phone == phone) {
            return line->is_cycling ? STATUS_BUSY : cycle(line);
        }
    }
    return STATUS_NOT_FOUND;
}
