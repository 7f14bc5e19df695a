#include "host/hubd/phones/phones_usb.h"

#include "host/hubd/phones/recovery.h"
#include "host/shared/log.h"
#include "host/shared/status_text.h"
#include "protocol/crc32c.h"

#include <stdio.h>
#include <string.h>

enum {
    SOON_MS = 20,        /* what was cancelled is coming back */
    PERMISSION_MS = 200, /* udev sets a new device's owner after it has announced it */
    PERMISSION_TRIES = 3,
    CONFIGURE_TRIES = 100, /* SOON_MS each: the system announces a device before it configures it */
    REFUSED_MS = 5000,
    HUB_ENDPOINTS = 2,   /* endpoint 0, and the one that tells of changes */
    FIRST_VALUE = 18 + 5 /* of the first configuration, behind the device descriptor */
};

/* ---- a phone arrives ---- */

/* Whether nothing is in flight any more. */
static bool is_quiet(const struct phone_line *line) {
    return line->is_bootloader ? fastboot_link_is_idle(&line->fastboot)
                               : usb_pipe_is_idle(&line->pipe);
}

static bool is_free(const struct phone_line *line) {
    bool is_down = line->link.state == PHONE_LINK_CLOSED || line->link.state == PHONE_LINK_LOST;
    return line->is_usb && line->device == 0 && is_down && !line->was_lost &&
           !line->is_identified && is_quiet(line);
}

/* Its phone may still come back to this slot. */
static bool is_awaited(const struct phone_line *line) {
    if (line->phone == HUB_NONE) {
        return false;
    }
    uint8_t state = line->phones->hub->phones[line->phone].state;
    return state == RECORD_PHONE_AWAY || state == RECORD_PHONE_RECOVERING;
}

/* The line that had a phone in this slot before, else a new one, else one that is not in use. */
static struct phone_line *take_line(struct phones *phones, const char *slot) {
    struct phone_line *unused = NULL;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (is_free(line) && strcmp(line->slot, slot) == 0) {
            return line;
        }
        unused = is_free(line) && !is_awaited(line) ? line : unused;
    }
    struct phone_line *line = phones_new_line(phones);
    line = line == NULL ? unused : line;
    if (line != NULL) {
        line->is_usb = true;
    }
    return line;
}

/* Phones of one hub go together when it fails: the slot without its last port names the hub. */
static uint32_t group_of(const struct hal_usb_device *device) {
    size_t size = strlen(device->slot);
    while (size > 0 && device->slot[size - 1] != '.' && device->slot[size - 1] != '-') {
        size -= 1;
    }
    uint32_t group = crc32c(0, (struct bytes){(const uint8_t *)device->slot, size});
    return group == 0 ? 1 : group;
}

static void use_line(struct phone_line *line, const struct hal_usb_device *device,
                     bool is_bootloader) {
    phone_link_close(&line->link);              /* what became of the phone before is forgotten */
    if (line->is_bootloader != is_bootloader) { /* they share their memory */
        memset(&line->pipe, 0, sizeof line->pipe);
        line->is_bootloader = is_bootloader;
        line->leaves_bootloader = false;
    }
    snprintf(line->slot, sizeof line->slot, "%s", device->slot);
    snprintf(line->serial, sizeof line->serial, "%s", device->serial);
    line->serial_size = (uint32_t)strlen(line->serial);
    line->device = device->id;
    line->hub_group = group_of(device);
    line->refusal = NULL;
    line->is_admitted = false;
    line->denials = 0;
    line->failures = 0;
    line->retry_ms = 0;
    line->phone = HUB_NONE;
    line->reset_until_ms = 0;
    battery_care_attached(&line->phones->battery, line);
}

/* What a device says of itself decides whether it is a phone; a liar is left alone. */
static bool is_phone(const struct hal_usb_device *device, struct usb_interface *interface,
                     bool *is_bootloader, uint32_t *endpoints) {
    struct usb_device described;
    uint8_t number = device->configuration;
    struct bytes configuration = {0};
    const char *reason = "its descriptors could not be read";
    *is_bootloader = false;
    enum status status = usb_get_device(device->descriptors, &described, &reason);
    if (status == STATUS_OK && number == 0 && device->descriptors.size > FIRST_VALUE) {
        number = device->descriptors.data[FIRST_VALUE]; /* not configured: what it would be */
    }
    if (status == STATUS_OK) {
        status = usb_get_configuration(device->descriptors, number, &configuration, &reason);
    }
    if (status == STATUS_OK) {
        status = usb_find_interface(configuration, usb_kind_adb, interface, &reason);
        *is_bootloader = status == STATUS_NOT_FOUND;
    }
    if (*is_bootloader) {
        status = usb_find_interface(configuration, usb_kind_fastboot, interface, &reason);
    }
    *endpoints = status == STATUS_OK ? usb_count_endpoints(configuration) : 0;
    if (status == STATUS_MALFORMED) {
        log_warn("usb_device_refused slot=%s path=%s reason=%s", device->slot, device->path,
                 reason);
    }
    return status == STATUS_OK;
}

static bool is_hub(const struct hal_usb_device *device) {
    struct usb_device described;
    const char *reason;
    return usb_get_device(device->descriptors, &described, &reason) == STATUS_OK &&
           described.device_class == USB_CLASS_HUB;
}

static void attach(struct phones *phones, const struct hal_usb_device *device) {
    struct usb_interface interface;
    uint32_t endpoints;
    bool is_bootloader;
    if (is_hub(device)) {
        hub_power_attach(&phones->power.usb, device);
        return;
    }
    if (!is_phone(device, &interface, &is_bootloader, &endpoints)) {
        return;
    }
    struct phone_line *line = take_line(phones, device->slot);
    if (line == NULL) {
        log_error("phone_refused slot=%s reason=%s", device->slot,
                  "this program has no room for more phones; attach it to another hub host");
        return;
    }
    use_line(line, device, is_bootloader);
    line->interface = interface;
    line->endpoints = endpoints;
    line->is_unconfigured = device->configuration == 0;
    log_info("phone_attached slot=%s path=%s serial=%s mode=%s", line->slot, device->path,
             line->serial, is_bootloader ? "bootloader" : "adb");
}

static void detach(struct phones *phones, uint32_t device) {
    hub_power_detach(&phones->power.usb, device);
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (line->is_usb && line->device == device) {
            log_info("phone_detached slot=%s", line->slot);
            slot_power_left(&phones->power, line->slot, is_awaited(line));
            line->device = 0;
            line->is_admitted = false;
            line->left_ms = phones->now_ms;
            line->was_lost = line->was_lost || line->is_identified;
            line->is_identified = false;
            if (line->is_bootloader) {
                fastboot_link_unplugged(&line->fastboot);
            } else {
                usb_pipe_unplugged(&line->pipe);
            }
        }
    }
}

/* Pipe and fastboot link lie in one place. An answer of a bootloader keeps its lease's window open.
 */
static void transferred(struct phones *phones, struct hal_usb_transfer *transfer) {
    struct phone_line *line =
        (struct phone_line *)(void *)((char *)transfer->owner - offsetof(struct phone_line, pipe));
    if (!line->is_bootloader) {
        usb_pipe_done(&line->pipe, transfer);
        return;
    }
    bool is_well = transfer->status == STATUS_OK && line->away_since_ms != 0;
    line->away_since_ms = is_well ? phones->now_ms : line->away_since_ms;
    fastboot_link_done(&line->fastboot, transfer, phones->now_ms);
}

/* Of a phone's port or of a hub; whichever has left meanwhile is not there to be found. */
static void reset_ended(struct phones *phones, const struct hal_usb_event *event) {
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (line->is_usb && line->device == event->id) {
            recovery_reset_ended(line, event->status);
            return;
        }
    }
    if (event->status != STATUS_OK && event->status != STATUS_UNPLUGGED) {
        log_warn("hub_restart_failed reason=%s", status_text(event->status));
    }
}

static void take_events(struct phones *phones) {
    struct hal_usb_event event;
    while (hal_usb_next(phones->usb, &event)) {
        if (event.kind == HAL_USB_ATTACHED) {
            attach(phones, event.device);
        } else if (event.kind == HAL_USB_DETACHED) {
            detach(phones, event.device->id);
        } else if (event.kind == HAL_USB_RESET) {
            reset_ended(phones, &event);
        } else if (event.kind == HAL_USB_SWITCHED) {
            hub_power_switched(&phones->power.usb, event.id, event.status, phones->now_ms);
        } else if (!hub_power_done(&phones->power.usb, event.transfer, phones->now_ms)) {
            transferred(phones, event.transfer);
        }
    }
}

static void ready(struct loop_source *source, uint32_t events) {
    (void)events;
    take_events((struct phones *)(void *)((char *)source - offsetof(struct phones, usb_source)));
}

enum status phones_add_usb(struct phones *phones, struct hal_usb *usb) {
    phones->usb_source = (struct loop_source){.ready = ready, .fd = -1};
    enum status status = loop_add(phones->loop, &phones->usb_source, usb->handle, EPOLLIN);
    if (status == STATUS_OK) {
        phones->usb = usb;
        phones->power.usb.usb = usb;
    }
    return status;
}

void phones_usb_step(struct phones *phones) {
    if (phones->usb == NULL) {
        return;
    }
    take_events(phones);
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (line->is_bootloader) {
            fastboot_link_step(&line->fastboot, phones->now_ms);
        } else {
            usb_pipe_go_on(&line->pipe);
        }
    }
}

/* ---- a line is connected ---- */

bool phones_usb_is_attached(const struct phone_line *line) {
    bool is_gone = line->link.state == PHONE_LINK_LOST && line->link.lost_as == STATUS_UNPLUGGED;
    return line->device != 0 && !is_gone;
}

static const char *refusal_of(enum status status) {
    switch ((int)status) {
    case STATUS_DENIED:
        return "hubd may not open its USB device; run it as root, or let udev give the device to "
               "its group (docs/usb.md)";
    case STATUS_BUSY:
        return "another program holds its ADB interface; stop that adb server";
    case STATUS_FULL:
        return "its USB controller has no endpoints left for it; attach it to another controller";
    case STATUS_TOO_LARGE:
        return "the kernel could not configure it: its USB controller or hub lacks endpoints, "
               "bandwidth or power; attach it elsewhere";
    case STATUS_NO_MEMORY:
        return "the arena of libraries is too small for one more USB device";
    default:
        return "its USB device could not be opened";
    }
}

static enum status refuse(struct phone_line *line, enum status status) {
    line->denials += 1;
    line->retry_ms = line->phones->now_ms + REFUSED_MS;
    if (status == STATUS_DENIED && line->denials <= PERMISSION_TRIES) {
        line->retry_ms = line->phones->now_ms + PERMISSION_MS;
        return STATUS_AGAIN;
    }
    if (line->refusal == NULL) {
        log_error("phone_refused slot=%s serial=%s reason=%s", line->slot, line->serial,
                  refusal_of(status));
    }
    line->refusal = refusal_of(status);
    return STATUS_DENIED;
}

/* A controller that runs out of endpoints fails the phones that are on it already, so the one too
 * many is turned away (Intel's have 96, which is about 32 phones). */
static enum status admit(struct phone_line *line) {
    const struct phones *phones = line->phones;
    const char *chain = strrchr(line->slot, '-');
    size_t size = chain == NULL ? strlen(line->slot) : (size_t)(chain - line->slot) + 1;
    uint32_t used = hub_power_count(&phones->power.usb, line->slot, size) * HUB_ENDPOINTS;
    for (uint32_t i = 0; i < phones->line_count; i++) {
        const struct phone_line *other = &phones->lines[i];
        bool is_there = other != line && other->is_admitted && other->device != 0;
        used += is_there && strncmp(other->slot, line->slot, size) == 0 ? other->endpoints : 0;
    }
    line->is_admitted =
        phones->endpoints_max == 0 || used + line->endpoints <= phones->endpoints_max;
    return line->is_admitted ? STATUS_OK : STATUS_FULL;
}

enum status phones_usb_connect(struct phone_line *line) {
    struct hal_usb *usb = line->phones->usb;
    line->retry_ms = line->phones->now_ms + SOON_MS;
    bool is_waiting = line->is_unconfigured; /* it takes no endpoint yet */
    enum status admitted = line->is_admitted || is_waiting ? STATUS_OK : admit(line);
    if (admitted != STATUS_OK) {
        return refuse(line, admitted);
    }
    hal_usb_close(usb, line->device);
    if (!is_quiet(line)) {
        return STATUS_AGAIN;
    }
    enum status status = hal_usb_open(usb, line->device, line->interface.number);
    if (status == STATUS_UNPLUGGED && line->is_unconfigured) { /* the interface is not there */
        line->denials += 1;
        status = line->denials > CONFIGURE_TRIES ? STATUS_TOO_LARGE : STATUS_AGAIN;
    }
    if (status == STATUS_AGAIN || status == STATUS_UNPLUGGED) {
        return STATUS_AGAIN; /* its departure will be announced */
    }
    if (status == STATUS_OK && is_waiting) {
        line->is_unconfigured = false;
        status = admit(line);
    }
    if (status == STATUS_OK && !line->is_bootloader) {
        status = usb_pipe_open(&line->pipe, usb, line->device, &line->interface);
    }
    if (status != STATUS_OK) {
        hal_usb_close(usb, line->device);
        return refuse(line, status);
    }
    line->denials = 0;
    line->refusal = NULL;
    if (line->is_bootloader) {
        line->retry_ms = TIMER_NEVER;
        fastboot_link_open(&line->fastboot, usb, line->device, &line->interface, line->link.fence);
        return STATUS_OK;
    }
    return phone_link_attach(&line->link, &line->pipe.stream, line->phones->now_ms);
}
