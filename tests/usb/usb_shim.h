/* usb_shim.h - what usb_shim.so, inside a program under test, and usb_bus tell one another: over a
 * stream socket `usb.sock` in UMOCKDEV_DIR, a request and its answer in turn, each a head and
 * `size` bytes. */
#ifndef TESTS_USB_USB_SHIM_H
#define TESTS_USB_USB_SHIM_H

#include <stdint.h>

enum shim_call { SHIM_OPEN, SHIM_CLOSE, SHIM_IOCTL, SHIM_READ };

struct shim_request {
    uint32_t call;
    uint32_t handle;  /* of OPEN: the device's number */
    uint32_t request; /* of IOCTL */
    uint32_t size;    /* SUBMITURB: the URB and what it sends; else the argument */
    uint64_t address; /* of the URB */
};

struct shim_answer {
    int32_t result;
    int32_t error;
    int32_t status; /* of a reaped URB */
    uint32_t moved; /* of a reaped URB */
    uint32_t size;  /* of a reaped URB: what came in; else the argument */
    uint64_t address;
};

#endif
