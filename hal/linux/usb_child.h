/* usb_child.h - what the kernel does to a USB port in one call, without waiting for it.
 *
 * usbfs resets a port, and sysfs switches it, in a call that lasts until device or hub has
 * answered, or has not for seconds, and that no signal ends. So a child process makes it; it
 * touches nothing but that one file. */
#ifndef HAL_LINUX_USB_CHILD_H
#define HAL_LINUX_USB_CHILD_H

#include "hal/base.h"

#include <sys/types.h>

struct usb_child {
    uint32_t device; /* of hal/usb.h; 0: free */
    pid_t child;
    int handle; /* readable when it has ended */
    bool is_switch;
};

/* Resets the port of a device. NO_MEMORY: no process can be made. */
must_check enum status usb_child_reset(struct usb_child *child, uint32_t device, unsigned bus,
                                       unsigned address);
/* Writes one character to the `disable` file of a hub's port, and closes the file. NO_MEMORY. */
must_check enum status usb_child_switch(struct usb_child *child, uint32_t hub, int file,
                                        char value);

/* AGAIN: not yet. Else how it ended, and it is free again: OK, UNPLUGGED, DENIED, IO. */
must_check enum status usb_child_poll(struct usb_child *child);

#endif
