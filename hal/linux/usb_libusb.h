/* usb_libusb.h - the USB bus through libusb 1.0, inside one loop.
 *
 * libusb's file descriptors sit in an epoll set of our own, whose descriptor is `usb.handle`. The
 * udev monitor of libusb is a thread; it touches only libusb. Everything else, and every callback,
 * runs inside hal_usb_next(). libusb allocates from the program's arena. */
#ifndef HAL_LINUX_USB_LIBUSB_H
#define HAL_LINUX_USB_LIBUSB_H

#include "hal/linux/usb_child.h"
#include "hal/usb.h"

#include <libusb-1.0/libusb.h>

enum { USB_LIBUSB_DEVICES = 256, USB_LIBUSB_TRANSFERS = 1536, USB_LIBUSB_CHILDREN = 16 };

struct usb_libusb;

struct usb_libusb_device {
    struct hal_usb_device known;
    libusb_device *native; /* NULL: the entry is free */
    libusb_device_handle *handle;
    int interface;
    uint32_t generation;
    uint32_t in_flight;
    bool was_told; /* of its arrival */
    bool is_gone;
    bool is_closing; /* once in_flight is 0 */
    uint8_t descriptors[HAL_USB_DESCRIPTORS_MAX];
};

struct usb_libusb_transfer {
    struct usb_libusb *bus;
    struct libusb_transfer *native; /* NULL: never used yet */
    struct hal_usb_transfer *of;    /* NULL: free */
    uint32_t next_free;
};

struct usb_libusb {
    struct hal_usb usb; /* first */
    libusb_context *context;
    uint64_t memory_bytes; /* for transfers in flight; 0: no limit */
    uint64_t used_bytes;
    uint64_t refused_transfers; /* FULL, ever */
    uint64_t missed_devices;    /* attached when the table was full, ever */
    uint32_t count;             /* entries in use */
    bool is_incomplete;         /* a device found no entry: scan again when one is free */
    uint32_t released;          /* entry + 1 to free at the next call */
    uint32_t free_transfer;     /* USB_LIBUSB_TRANSFERS: none */
    struct hal_usb_transfer *first_done;
    struct hal_usb_transfer *last_done;
    struct usb_child children[USB_LIBUSB_CHILDREN];
    struct usb_libusb_device devices[USB_LIBUSB_DEVICES];
    struct usb_libusb_transfer transfers[USB_LIBUSB_TRANSFERS];
};

/* `bus` is zeroed memory, or one that was not opened or was closed. On failure `reason` says what
 * is wrong and what to do, for people: one of few texts that stay. NOT_FOUND: this system shows no
 * USB. IO, NO_MEMORY. */
must_check enum status usb_libusb_open(struct usb_libusb *bus, const char **reason);

/* Of a bus from which no event was taken yet. */
void usb_libusb_close(struct usb_libusb *bus);

#endif
