/* usb.h - the USB bus as hubd needs it: devices that come and go, and transfers that never block.
 *
 * Submit and poll: hal_usb_next() hands out one event after the other, and nothing else calls the
 * owner. A transfer and its data belong to the implementation from submit until its TRANSFERRED
 * event, whatever happens meanwhile: cancel, close and detach only hasten that event. All transfers
 * of a device come back before its DETACHED event. An id is never used twice, so a late wish
 * concerning a device that has left is refused (UNPLUGGED) and never meets its successor. */
#ifndef HAL_USB_H
#define HAL_USB_H

#include "hal/base.h"

enum {
    HAL_USB_DEPTH = 7,        /* ports from the root hub to a device, at most (USB 2.0, 4.1.1) */
    HAL_USB_SLOT_SIZE = 64,   /* with its NUL */
    HAL_USB_PATH_SIZE = 24,   /* with its NUL */
    HAL_USB_SERIAL_SIZE = 64, /* with its NUL */
    HAL_USB_DESCRIPTORS_MAX = 4096, /* kept of a device; a phone has less than 400 bytes */
    HAL_USB_SETUP_BYTES = 8,        /* at the front of a control transfer's data */
    HAL_USB_CHUNK = 16 * 1024 /* largest transfer: what every kernel takes without a high-order
                                 allocation; several in flight make the speed */
};

enum hal_usb_speed {
    HAL_USB_SPEED_UNKNOWN,
    HAL_USB_SPEED_LOW,
    HAL_USB_SPEED_FULL,
    HAL_USB_SPEED_HIGH,
    HAL_USB_SPEED_SUPER
};

/* What is known without asking the device; valid until its DETACHED event was followed by another
 * call of hal_usb_next(). */
struct hal_usb_device {
    uint32_t id; /* never 0 */
    enum hal_usb_speed speed;
    uint8_t configuration; /* the active one; 0: none */
    uint8_t depth;         /* how many of `ports` count; 0: a root hub */
    uint8_t ports[HAL_USB_DEPTH];
    char slot[HAL_USB_SLOT_SIZE]; /* controller and port chain, such as `usb:0000:00:14.0-1.4`: the
                                     same after a reboot, for both halves of a USB 3 port */
    char path[HAL_USB_PATH_SIZE]; /* as the system names it now, such as `1-1.4` */
    char serial[HAL_USB_SERIAL_SIZE]; /* "" when it has none; any UTF-8, cut to fit */
    struct bytes descriptors; /* the device's and all its configurations', as they were first read;
                                 empty: they could not be read */
};

struct hal_usb_transfer {
    /* The caller's. */
    uint32_t device;
    uint8_t endpoint; /* address of a bulk endpoint; 0: control, with the setup packet in front */
    bool ends_with_zero; /* OUT: a transfer of whole packets is followed by an empty one */
    uint8_t *data;
    uint32_t size;       /* at most HAL_USB_CHUNK; of control: the setup packet included */
    uint32_t timeout_ms; /* 0: none */
    void *owner;
    /* The outcome. OK; CLOSED: cancelled; UNPLUGGED; STALLED: the endpoint is halted, or the
     * request refused; TOO_LARGE: the device sent more than was asked for; TIMEOUT; IO. */
    enum status status;
    uint32_t moved; /* bytes of data; of control: without the setup packet */
    /* The implementation's. */
    bool is_in_flight;
    uint32_t slot;
    struct hal_usb_transfer *next;
};

enum hal_usb_kind {
    HAL_USB_ATTACHED,
    HAL_USB_DETACHED,
    HAL_USB_TRANSFERRED,
    HAL_USB_RESET,
    HAL_USB_SWITCHED
};

struct hal_usb_event {
    enum hal_usb_kind kind;
    const struct hal_usb_device *device; /* of ATTACHED and DETACHED */
    struct hal_usb_transfer *transfer;   /* of TRANSFERRED */
    uint32_t id;                         /* of RESET and SWITCHED: a device, which may have left */
    enum status status;                  /* of the same two: OK, UNPLUGGED, DENIED, IO */
};

struct hal_usb;

struct hal_usb_ops {
    bool (*next)(struct hal_usb *usb, struct hal_usb_event *event);
    enum status (*open)(struct hal_usb *usb, uint32_t device, int interface);
    void (*close)(struct hal_usb *usb, uint32_t device);
    enum status (*submit)(struct hal_usb *usb, struct hal_usb_transfer *transfer);
    void (*cancel)(struct hal_usb *usb, struct hal_usb_transfer *transfer);
    enum status (*reset)(struct hal_usb *usb, uint32_t device);
    enum status (*switch_port)(struct hal_usb *usb, uint32_t device, uint8_t port, bool is_on);
};

struct hal_usb {
    const struct hal_usb_ops *ops;
    int handle; /* what the platform waits on (Linux: a file descriptor, readable) */
};

enum { HAL_USB_NO_INTERFACE = -1 };

/* True: an event. False: none now; wait for `handle`. */
static inline bool hal_usb_next(struct hal_usb *usb, struct hal_usb_event *event) {
    check(usb->ops != NULL);
    return usb->ops->next(usb, event);
}

/* Opens a device and claims one of its interfaces (none: a hub). UNPLUGGED: it has left. DENIED:
 * the system does not let us. BUSY: another program holds the interface. AGAIN: what was in flight
 * when it was closed has not come back yet. NO_MEMORY, IO. Must not be open. */
must_check static inline enum status hal_usb_open(struct hal_usb *usb, uint32_t device,
                                                  int interface) {
    check(usb->ops != NULL);
    return usb->ops->open(usb, device, interface);
}

/* Gives the interface back. Transfers in flight are cancelled, and come back as events. Harmless
 * when it is not open or has left. */
static inline void hal_usb_close(struct hal_usb *usb, uint32_t device) {
    check(usb->ops != NULL);
    usb->ops->close(usb, device);
}

/* On OK the event will come. FULL: the memory for transfers is spent; try again when others have
 * come back. UNPLUGGED, ILLEGAL: not open. STALLED, NO_MEMORY, IO. */
must_check static inline enum status hal_usb_submit(struct hal_usb *usb,
                                                    struct hal_usb_transfer *transfer) {
    check(usb->ops != NULL);
    check(!transfer->is_in_flight);
    check(transfer->size <= HAL_USB_CHUNK);
    check(transfer->endpoint != 0 || transfer->size >= HAL_USB_SETUP_BYTES);
    return usb->ops->submit(usb, transfer);
}

/* Its event still comes, perhaps with an outcome that was faster. Harmless when not in flight. */
static inline void hal_usb_cancel(struct hal_usb *usb, struct hal_usb_transfer *transfer) {
    check(usb->ops != NULL);
    if (transfer->is_in_flight) {
        usb->ops->cancel(usb, transfer);
    }
}

/* Resets the port of a device, which is closed if it was open. It may leave and come again under
 * another id. OK: done. AGAIN: it has begun, and a RESET event will say how it ended. UNPLUGGED,
 * FULL: too many at once. NO_MEMORY, IO. */
must_check static inline enum status hal_usb_reset(struct hal_usb *usb, uint32_t device) {
    check(usb->ops != NULL);
    return usb->ops->reset(usb, device);
}

/* Lets the system switch the power of a hub's port, where it can (Linux 6.0 and newer): then it
 * does not turn the port on again behind our back. AGAIN: it has begun, and a SWITCHED event of
 * that hub will say how it ended. NOT_FOUND: it cannot; ask the hub itself. UNPLUGGED, DENIED,
 * FULL: too many at once. NO_MEMORY. */
must_check static inline enum status hal_usb_switch_port(struct hal_usb *usb, uint32_t device,
                                                         uint8_t port, bool is_on) {
    check(usb->ops != NULL);
    return usb->ops->switch_port(usb, device, port, is_on);
}

#endif
