#include "host/hubd/phones/phones_bootloader.h"

#include "host/hubd/phones/phones_usb.h"
#include "host/shared/log.h"

#include <stdio.h>
#include <string.h>

enum { REBOOT_MS = 5000, STEP_MS = 500 };

/* ---- who it is ---- */

static bool is_awaited(const struct hub_phone *phone) {
    return phone->state == RECORD_PHONE_AWAY || phone->state == RECORD_PHONE_RECOVERING;
}

static bool is_known(const struct phone_line *line) {
    struct bytes serial = {(const uint8_t *)line->serial, line->serial_size};
    return serial.size > 0 && hub_phone_find(line->phones->hub, serial) != HUB_NONE;
}

bool phones_bootloader_id(const struct phone_line *line, char id[RECORD_ID_MAX + 1]) {
    const struct hub *hub = line->phones->hub;
    const struct hub_phone *awaited = NULL;
    const struct hub_phone *last = NULL;
    uint32_t count = 0;
    for (uint32_t p = 0; p < hub->phone_count; p++) {
        const struct hub_phone *phone = &hub->phones[p];
        if (strcmp(phone->slot, line->slot) == 0) {
            awaited = is_awaited(phone) ? phone : awaited;
            last = phone;
            count += 1;
        }
    }
    const struct hub_phone *found = awaited != NULL                 ? awaited
                                    : count == 1 && !is_known(line) ? last
                                                                    : NULL;
    if (found != NULL) {
        snprintf(id, RECORD_ID_MAX + 1, "%s", found->id);
    }
    return found != NULL;
}

/* ---- what the core is told ---- */

/* One that was asked to reboot and is here again has failed: the next rung need not wait. */
static void judge_reboot(const struct phone_line *line) {
    struct phones *phones = line->phones;
    struct ladder *ladder = &phones->ladders[line->phone];
    if (ladder->tried[LADDER_REBOOT] > 0) {
        ladder->next_ms = phones->now_ms;
    }
}

static void tell(struct phone_line *line) {
    const struct hub *hub = line->phones->hub;
    if (!line->is_identified) {
        phones_identify(line);
        if (!line->is_identified) {
            return;
        }
        judge_reboot(line);
    }
    uint8_t state = hub->phones[line->phone].state;
    if (line->refusal != NULL && (state == RECORD_PHONE_ABSENT || state == RECORD_PHONE_AWAY ||
                                  state == RECORD_PHONE_RECOVERING)) {
        phones_tell(line, PHONE_ON_ATTACHED_NO_ROOM, line->refusal);
    } else if (state == RECORD_PHONE_ABSENT && line->refusal == NULL) {
        phones_tell(line, PHONE_ON_ATTACHED_BOOTLOADER, "is in its bootloader");
    } else if (state == RECORD_PHONE_REFUSED && line->refusal == NULL) {
        phones_tell(line, PHONE_ON_ROOM, NULL);
    } else if (state != RECORD_PHONE_ABSENT && state != RECORD_PHONE_AWAY &&
               state != RECORD_PHONE_RECOVERING && state != RECORD_PHONE_QUARANTINED &&
               state != RECORD_PHONE_REFUSED) {
        phones_tell(line, PHONE_ON_DETACHED, "went into its bootloader");
    }
}

/* ---- how it leaves ---- */

static void reboot_ended(void *owner, const struct fastboot_result *result) {
    struct phone_line *line = owner;
    struct phones *phones = line->phones;
    bool is_done = result->status == STATUS_OK || result->status == STATUS_UNPLUGGED;
    if (!is_done) {
        log_warn("bootloader_reboot_failed slot=%s reason=%s", line->slot, result->text);
    }
    if (line->phone != HUB_NONE) {
        uint32_t wait_ms = is_done ? ladder_rules[LADDER_REBOOT].wait_ms : REBOOT_MS;
        phones->ladders[line->phone].next_ms = phones->now_ms + wait_ms;
    }
}

static void reboot(struct phone_line *line) {
    const struct fastboot_order order = {
        .name = "reboot",
        .argument = "",
        .patience_ms = REBOOT_MS,
        .handler = {.ended = reboot_ended, .owner = line},
    };
    if (fastboot_link_command(&line->fastboot, line->link.fence, &order, line->phones->now_ms) ==
        STATUS_OK) {
        line->leaves_bootloader = false;
    }
}

void phones_bootloader_step(struct phone_line *line) {
    if (!line->was_lost && phones_usb_is_attached(line)) {
        tell(line);
    }
    if (line->is_identified && !is_awaited(&line->phones->hub->phones[line->phone])) {
        line->leaves_bootloader = false;
    }
    if (line->leaves_bootloader && fastboot_link_is_usable(&line->fastboot)) {
        reboot(line);
    }
}

void phones_leave_bootloader(struct phone_line *line) {
    line->leaves_bootloader =
        line->is_bootloader && line->device != 0 && fastboot_link_is_usable(&line->fastboot);
}

bool phones_bootloader_is_busy(const struct phone_line *line) {
    return line->is_bootloader && (line->leaves_bootloader || line->fastboot.is_busy);
}

uint64_t phones_bootloader_deadline_ms(const struct phone_line *line) {
    uint64_t now_ms = line->phones->now_ms;
    uint64_t due_ms = fastboot_link_deadline_ms(&line->fastboot, now_ms);
    due_ms = line->retry_ms < due_ms ? line->retry_ms : due_ms;
    return now_ms + STEP_MS < due_ms ? now_ms + STEP_MS : due_ms;
}

struct phone_line *phones_bootloader_of(struct phones *phones, uint32_t phone) {
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (line->is_bootloader && line->is_identified && line->phone == phone &&
            line->device != 0 && fastboot_link_is_usable(&line->fastboot)) {
            return line;
        }
    }
    return NULL;
}
