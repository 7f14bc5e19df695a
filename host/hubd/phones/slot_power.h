/* slot_power.h - the power of the slots of this host, whoever switches it: the hub controller that
 * the configuration maps to the slot, else the USB hub that the slot is a port of.
 *
 * A map may be wrong: of two swapped cables, or a hub that numbers its ports in its own way. So
 * every switch is watched: its own phone must leave the bus, and no other one may. A controller or
 * hub that cuts off another slot is not used again until this program is restarted. That a phone
 * leaves is not waited for when its port is to stay off: some hubs tell of it only when the power
 * is back. */
#ifndef HOST_HUBD_SLOT_POWER_H
#define HOST_HUBD_SLOT_POWER_H

#include "host/hubd/phones/hub_power.h"
#include "host/hubd/phones/serial_power.h"

enum { SLOT_POWER_WATCHES = 32, SLOT_POWER_DISTRUSTED = 16, SLOT_POWER_SETTLE_MS = 3000 };

struct slot_power_request {
    const char *slot;
    enum port_power_goal goal;
    bool is_alone; /* no other phone is behind the same hub */
    bool is_there; /* a phone is plugged in */
    /* `failure`: NULL when the port did what was wanted; a literal. Called from slot_power_step()
     * or the loop. */
    void (*ended)(void *owner, const char *slot, const char *failure);
    void *owner;
};

struct slot_power_watch {
    bool is_used;
    bool is_over; /* the switch; the phones are watched a little longer */
    bool is_told;
    bool has_left;           /* its own phone */
    bool has_other_left;     /* somewhere */
    bool has_neighbour_left; /* of the same hub or controller */
    const char *failure;
    uint64_t over_ms;
    char slot[HAL_USB_SLOT_SIZE];
    struct slot_power_request request;
};

struct slot_power {
    struct hub_power usb;
    struct serial_power serial;
    uint64_t now_ms;
    uint64_t cycles, failures, distrusts;                      /* ever */
    char distrusted[SLOT_POWER_DISTRUSTED][HAL_USB_SLOT_SIZE]; /* USB hubs, by slot; "": free */
    struct slot_power_watch watches[SLOT_POWER_WATCHES];
};

void slot_power_init(struct slot_power *power, struct loop *loop);

/* Whether somebody is known who may switch it; whether he can shows when he is asked to. */
bool slot_power_is_offered(struct slot_power *power, const char *slot);

/* NOT_FOUND: nobody switches it. DENIED: the port feeds another hub, its hub cannot be opened, its
 * controller does not answer, or is not trusted any more. BUSY: another port of it is being
 * switched. FULL. */
must_check enum status slot_power_switch(struct slot_power *power,
                                         const struct slot_power_request *request);

/* A slot's phone has left the bus. `has_reason`: it was going to, by itself. */
void slot_power_left(struct slot_power *power, const char *slot, bool has_reason);

void slot_power_step(struct slot_power *power, uint64_t now_ms);
uint64_t slot_power_deadline_ms(const struct slot_power *power, uint64_t now_ms);

#endif
