/* hub_power.h - the USB hubs of this host as power switches for the slots behind them.
 *
 * Both halves of a USB 3 hub have the same slot (hal/usb.h), so a port of it is switched on both. A
 * hub is opened for the time of one operation only. What feeds another hub is never switched: in a
 * box of 7 ports that would cut off its own inner hub. One operation at a time for each hub. */
#ifndef HOST_HUBD_HUB_POWER_H
#define HOST_HUBD_HUB_POWER_H

#include "firmware/port_power.h"
#include "hal/usb.h"

enum { HUB_POWER_HUBS = 64, HUB_POWER_OPERATIONS = 16, HUB_POWER_REST_MS = 2000 };

struct hub_power_hub {
    uint32_t device; /* 0: free */
    bool is_super;
    char slot[HAL_USB_SLOT_SIZE];
};

struct hub_power_operation {
    bool is_used;
    char slot[HAL_USB_SLOT_SIZE]; /* that is being switched */
    void *owner;
    struct port_power power;
    uint32_t devices[PORT_POWER_HALVES];
    bool is_waiting;                 /* for the transfer, or for the system */
    uint32_t switched;               /* hub whose port the system switches now; 0: none */
    struct port_power_request asked; /* of it */
    struct hal_usb_transfer transfer;
    uint8_t data[HAL_USB_SETUP_BYTES + USB_HUB_DESCRIPTOR_MAX];
};

struct hub_power {
    struct hal_usb *usb;
    /* `failure`: NULL when the port did what was wanted. */
    void (*ended)(void *owner, const char *slot, const char *failure);
    struct hub_power_hub hubs[HUB_POWER_HUBS];
    struct hub_power_operation operations[HUB_POWER_OPERATIONS];
};

void hub_power_attach(struct hub_power *power, const struct hal_usb_device *device);
void hub_power_detach(struct hub_power *power, uint32_t device);

/* Whether the slot's hub is known; whether it can switch shows when it is asked to. */
bool hub_power_is_offered(const struct hub_power *power, const char *slot);

/* Whether a hub is known that the slot is a port of. */
bool hub_power_has_hub(const struct hub_power *power, const char *slot);

/* How many hubs are behind a controller: slots that begin with this text. */
uint32_t hub_power_count(const struct hub_power *power, const char *controller, size_t size);

/* Resets the hub of a slot, each half; all that is behind it leaves and comes again. OK: it has
 * begun, and RESET events follow. NOT_FOUND, BUSY, FULL, NO_MEMORY, IO. */
must_check enum status hub_power_restart(struct hub_power *power, const char *slot);

/* Switches a slot; `ended` will be called, from hub_power_step(). `is_alone`: no other phone is
 * behind the same hub. NOT_FOUND: no hub is known there. DENIED: the port feeds another
 * hub, or a hub cannot be opened. BUSY: an operation is under way on that hub. FULL. */
must_check enum status hub_power_switch(struct hub_power *power, const char *slot,
                                        enum port_power_goal goal, bool is_alone, void *owner);

/* True: a TRANSFERRED event was one of ours. */
bool hub_power_done(struct hub_power *power, struct hal_usb_transfer *transfer, uint64_t now_ms);

/* A SWITCHED event of that hub. */
void hub_power_switched(struct hub_power *power, uint32_t hub, enum status status, uint64_t now_ms);

void hub_power_step(struct hub_power *power, uint64_t now_ms);
uint64_t hub_power_deadline_ms(const struct hub_power *power, uint64_t now_ms);

#endif
