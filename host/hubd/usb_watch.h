/* usb_watch.h - the USB of this host: opened in the first turn of the loop, or, where this machine
 * shows none yet (a module that is not loaded, a controller that is not plugged in, a container),
 * as soon as it does. Meanwhile the hub does all else. */
#ifndef HOST_HUBD_USB_WATCH_H
#define HOST_HUBD_USB_WATCH_H

#include "hal/linux/usb_libusb.h"
#include "host/hubd/phones/phones.h"

enum { USB_WATCH_SECONDS = 10 }; /* between two looks */

struct usb_watch {
    struct phones *phones;  /* NULL: USB is not wanted */
    struct usb_libusb *bus; /* zeroed memory */
    uint64_t look_ms;       /* when to look again; TIMER_NEVER: it is open */
};

void usb_watch_init(struct usb_watch *watch, struct phones *phones, struct usb_libusb *bus);

/* Once in every turn of the loop. Says in the log, once each, what is in the way and what to do,
 * and leaves it in `phones->usb_obstacle`. */
void usb_watch_step(struct usb_watch *watch, uint64_t now_ms);
uint64_t usb_watch_deadline_ms(const struct usb_watch *watch);

#endif
