/* phone.h - the life of a phone as one table (SPEC.md section 7). */
#ifndef FIRMWARE_PHONE_H
#define FIRMWARE_PHONE_H

#include "protocol/record.h"

enum phone_event {
    PHONE_ON_ATTACHED,
    PHONE_ON_ATTACHED_NO_ROOM, /* it does not fit, for a reason */
    PHONE_ON_ATTACHED_BOOTLOADER,
    PHONE_ON_ROOM,      /* what it lacked is there again */
    PHONE_ON_HANDSHAKE, /* it answers, and no lease is live on it */
    PHONE_ON_KEY_REFUSED,
    PHONE_ON_SILENT, /* no answer, or an error */
    PHONE_ON_LEASE,
    PHONE_ON_LEASE_ENDED,
    PHONE_ON_AWAY,        /* its own attempt asked for a reboot, mode change or cycle */
    PHONE_ON_BACK,        /* away: it answers again */
    PHONE_ON_WINDOW_OVER, /* away too long: lost for its item */
    PHONE_ON_DETACHED,
    PHONE_ON_HEALTHY,          /* recovered, and no lease is live on it */
    PHONE_ON_SPENT_ATTACHED,   /* recovery budget spent, still attached */
    PHONE_ON_SPENT_GONE,       /* recovery budget spent, not attached */
    PHONE_ON_QUARANTINE,       /* by an operator */
    PHONE_ON_RELEASE_ATTACHED, /* by an operator */
    PHONE_ON_RELEASE_GONE,
    PHONE_EVENT_COUNT
};

/* ILLEGAL: not in the table; the state is unchanged. */
must_check enum status phone_apply(uint8_t *state, enum phone_event event);

/* Whether going from one state to the other loses the phone for the item that leases it. */
bool phone_is_lost(enum record_phone_state from, enum record_phone_state to);

const char *phone_event_name(enum phone_event event);

#endif
