/* usb_rig.h - a USB bus that takes transfers and lets the test complete them. */
#ifndef TESTS_HOST_USB_RIG_H
#define TESTS_HOST_USB_RIG_H

#include "hal/usb.h"

enum { USB_RIG_MANY = 64 };

extern struct usb_rig {
    struct hal_usb usb;
    struct hal_usb_transfer *in[USB_RIG_MANY], *out[USB_RIG_MANY]; /* in flight, oldest first */
    unsigned in_count, out_count;
    unsigned room;       /* transfers that are still taken */
    enum status refusal; /* of the next ones; OK: none */
} usb_rig;

void usb_rig_begin(void);
/* The oldest one of a list that is in flight: for the test to end. Fails the test when there is
 * none. */
struct hal_usb_transfer *usb_rig_take(struct hal_usb_transfer **list, unsigned *count);

#endif
