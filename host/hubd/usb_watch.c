#include "host/hubd/usb_watch.h"

#include "hal/linux/usb_sysfs.h"
#include "host/shared/log.h"

void usb_watch_init(struct usb_watch *watch, struct phones *phones, struct usb_libusb *bus) {
    *watch = (struct usb_watch){.phones = phones, .bus = bus};
}

static enum status look(const struct usb_watch *watch, const char **reason) {
    enum status status = usb_libusb_open(watch->bus, reason);
    if (status != STATUS_OK) {
        return status;
    }
    status = phones_add_usb(watch->phones, &watch->bus->usb);
    if (status != STATUS_OK) {
        *reason = "the system lets hubd watch no more descriptors";
        usb_libusb_close(watch->bus);
    }
    return status;
}

static void tell(struct phones *phones, const char *reason) {
    if (reason == phones->usb_obstacle) {
        return;
    }
    if (reason == NULL) {
        log_info("usb_found");
    } else {
        log_warn("usb_missing look_again_seconds=%u reason=%s", USB_WATCH_SECONDS, reason);
    }
    phones->usb_obstacle = reason;
}

void usb_watch_step(struct usb_watch *watch, uint64_t now_ms) {
    const char *reason = NULL;
    if (watch->phones == NULL || now_ms < watch->look_ms) {
        return;
    }
    bool is_open = look(watch, &reason) == STATUS_OK;
    watch->look_ms = is_open ? TIMER_NEVER : now_ms + USB_WATCH_SECONDS * 1000ull;
    tell(watch->phones, is_open ? NULL : reason);
    if (is_open && usb_sysfs_warning() != NULL) {
        log_warn("usb_incomplete reason=%s", usb_sysfs_warning());
    }
}

uint64_t usb_watch_deadline_ms(const struct usb_watch *watch) {
    return watch->phones == NULL ? TIMER_NEVER : watch->look_ms;
}
