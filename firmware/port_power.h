/* port_power.h - switches one port of a hub off and on again (or only off, or only on), and
 * believes only what it reads back.
 *
 * No I/O: port_power_next() says what to ask which half of the hub (a USB 3 hub is two hubs, and
 * both feed the port), port_power_answer() takes what it said. Hubs lie, and kernels turn power on
 * again behind one's back (uhubctl issues 28, 90, 211): each switch is followed by the port's
 * status, and repeated. A failure never leaves the port off without having tried to turn it on.
 *
 * The table is in port_power.c, and as text in tests/firmware/port_power_table.txt. */
#ifndef FIRMWARE_PORT_POWER_H
#define FIRMWARE_PORT_POWER_H

#include "protocol/usb_hub.h"

enum port_power_state {
    PORT_POWER_IDLE,
    PORT_POWER_DESCRIBING,
    PORT_POWER_SWITCHING_OFF,
    PORT_POWER_READING_OFF,
    PORT_POWER_RESTING, /* off */
    PORT_POWER_SWITCHING_ON,
    PORT_POWER_READING_ON,
    PORT_POWER_STATE_COUNT
};

enum port_power_event {
    PORT_POWER_ON_START,
    PORT_POWER_ON_ANSWER,  /* the half did it; or, described, it suits; or reads as wanted */
    PORT_POWER_ON_AGAIN,   /* it reads as before: switch once more */
    PORT_POWER_ON_HALF,    /* as ANSWER, and there is another half */
    PORT_POWER_ON_GIVE_UP, /* unsuitable, refused, or it reads as before too often */
    PORT_POWER_ON_RESTED,
    PORT_POWER_ON_STAY,     /* to be off is all that was wanted */
    PORT_POWER_ON_STRAIGHT, /* described, and to be on is all that is wanted */
    PORT_POWER_EVENT_COUNT
};

enum port_power_goal {
    PORT_POWER_CYCLE, /* off, a rest, on */
    PORT_POWER_LEAVE_OFF,
    PORT_POWER_LEAVE_ON
};

enum { PORT_POWER_HALVES = 2, PORT_POWER_TRIES = 10 };

struct port_power {
    uint8_t state; /* enum port_power_state */
    uint8_t port;
    uint8_t half;
    uint8_t half_count;
    uint8_t tries;
    bool supers[PORT_POWER_HALVES]; /* which half is the USB 3 one */
    uint8_t goal;                   /* enum port_power_goal; set before the start */
    bool may_gang;       /* the same: nothing else is on this hub: switching all its ports is as
                            good */
    const char *failure; /* NULL: none; a literal */
    uint32_t rest_ms;
    uint64_t rested_ms; /* when RESTING is over */
};

struct port_power_request {
    uint8_t half;
    uint8_t port;
    bool is_super;
    enum usb_hub_request request;
};

/* Sets out; `half_count` is 1 or 2, `port` from 1. Must be IDLE. */
void port_power_start(struct port_power *power, uint8_t port, uint8_t half_count,
                      const bool supers[PORT_POWER_HALVES], uint32_t rest_ms);

/* OK: ask that. AGAIN: rest until `rested_ms`. CLOSED: it is over; `failure` says how. */
must_check enum status port_power_next(struct port_power *power, uint64_t now_ms,
                                       struct port_power_request *request);

/* How the request ended, and the data that came. */
void port_power_answer(struct port_power *power, enum status status, struct bytes data,
                       uint64_t now_ms);

/* The same for a switch that is no USB hub and answers in its own words: `is_on` is the answer to
 * USB_HUB_GET_PORT_STATUS; USB_HUB_GET_DESCRIPTOR is only whether it can be talked to. */
void port_power_answer_plainly(struct port_power *power, enum status status, bool is_on,
                               uint64_t now_ms);

/* ILLEGAL: not in the table; the state is unchanged. */
must_check enum status port_power_apply(uint8_t *state, enum port_power_event event);
const char *port_power_state_name(enum port_power_state state);
const char *port_power_event_name(enum port_power_event event);

#endif
