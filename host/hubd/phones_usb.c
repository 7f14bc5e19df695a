#include "host/hubd/phones_usb.h"

#include "host/hubd/recovery.h"
#include "host/shared/log.h"
#include "protocol/crc32c.h"

#include <stdio.h>
#include <string.h>

enum {
    SOON_MS = 20,        /* what was cancelled is coming back */
    PERMISSION_MS = 200, /* udev sets a new device's owner after it has announced it */
    PERMISSION_TRIES = 3,
    REFUSED_MS = 5000
};

/* ---- a phone arrives ---- */

static bool is_free(const struct phone_line *line) {
    bool is_down = line->link.state == PHONE_LINK_CLOSED || line->link.state == PHONE_LINK_LOST;
    return line->is_usb && line->device == 0 && is_down && !line->was_lost &&
           !line->is_identified && usb_pipe_is_idle(&line->pipe);
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

static void use_line(struct phone_line *line, const struct hal_usb_device *device) {
    phone_link_close(&line->link); /* what became of the phone before is forgotten */
    snprintf(line->slot, sizeof line->slot, "%s", device->slot);
    snprintf(line->serial, sizeof line->serial, "%s", device->serial);
    line->serial_size = (uint32_t)strlen(line->serial);
    line->device = device->id;
    line->hub_group = group_of(device);
    line->refusal = NULL;
    line->denials = 0;
    line->failures = 0;
    line->retry_ms = 0;
    line->phone = HUB_NONE;
}

/* What a device says of itself decides whether it is a phone; a liar is left alone. */
static bool is_phone(const struct hal_usb_device *device, struct usb_interface *interface) {
    struct usb_device described;
    struct bytes configuration;
    const char *reason = "its descriptors could not be read";
    enum status status = usb_get_device(device->descriptors, &described, &reason);
    if (status == STATUS_OK) {
        status = usb_get_configuration(device->descriptors, device->configuration, &configuration,
                                       &reason);
    }
    if (status == STATUS_OK) {
        status = usb_find_interface(configuration, usb_kind_adb, interface, &reason);
    }
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
    if (is_hub(device)) {
        hub_power_attach(&phones->power, device);
        return;
    }
    if (!is_phone(device, &interface)) {
        return;
    }
    struct phone_line *line = take_line(phones, device->slot);
    if (line == NULL) {
        log_error("phone_refused slot=%s reason=%s", device->slot,
                  "this program has no room for more phones; attach it to another hub host");
        return;
    }
    use_line(line, device);
    line->interface = interface;
    log_info("phone_attached slot=%s path=%s serial=%s", line->slot, device->path, line->serial);
}

static void detach(struct phones *phones, uint32_t device) {
    hub_power_detach(&phones->power, device);
    for (uint32_t i = 0; i < phones->line_count; i++) {
        struct phone_line *line = &phones->lines[i];
        if (line->is_usb && line->device == device) {
            log_info("phone_detached slot=%s", line->slot);
            line->device = 0;
            line->left_ms = phones->now_ms;
            line->was_lost = line->was_lost || line->is_identified;
            line->is_identified = false;
            usb_pipe_unplugged(&line->pipe);
        }
    }
}

static void take_events(struct phones *phones) {
    struct hal_usb_event event;
    while (hal_usb_next(phones->usb, &event)) {
        if (event.kind == HAL_USB_ATTACHED) {
            attach(phones, event.device);
        } else if (event.kind == HAL_USB_DETACHED) {
            detach(phones, event.device->id);
        } else if (!hub_power_done(&phones->power, event.transfer, phones->now_ms)) {
            usb_pipe_done(event.transfer->owner, event.transfer);
        }
    }
}

static void ready(struct loop_source *source, uint32_t events) {
    (void)events;
    take_events((struct phones *)(void *)((char *)source - offsetof(struct phones, usb_source)));
}

enum status phones_add_usb(struct phones *phones, struct hal_usb *usb) {
    phones->usb = usb;
    phones->power.usb = usb;
    phones->power.ended = recovery_power_ended;
    phones->usb_source = (struct loop_source){.ready = ready, .fd = -1};
    return loop_add(phones->loop, &phones->usb_source, usb->handle, EPOLLIN);
}

void phones_usb_step(struct phones *phones) {
    if (phones->usb == NULL) {
        return;
    }
    take_events(phones);
    hub_power_step(&phones->power, phones->now_ms);
    for (uint32_t i = 0; i < phones->line_count; i++) {
        usb_pipe_go_on(&phones->lines[i].pipe);
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
               "its group (docs/operating.md)";
    case STATUS_BUSY:
        return "another program holds its ADB interface; stop that adb server";
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

enum status phones_usb_connect(struct phone_line *line) {
    struct hal_usb *usb = line->phones->usb;
    line->retry_ms = line->phones->now_ms + SOON_MS;
    hal_usb_close(usb, line->device);
    if (!usb_pipe_is_idle(&line->pipe)) {
        return STATUS_AGAIN;
    }
    enum status status = hal_usb_open(usb, line->device, line->interface.number);
    if (status == STATUS_AGAIN || status == STATUS_UNPLUGGED) {
        return STATUS_AGAIN; /* its departure will be announced */
    }
    if (status == STATUS_OK) {
        status = usb_pipe_open(&line->pipe, usb, line->device, &line->interface);
    }
    if (status != STATUS_OK) {
        return refuse(line, status);
    }
    line->denials = 0;
    line->refusal = NULL;
    return phone_link_attach(&line->link, &line->pipe.stream, line->phones->now_ms);
}
