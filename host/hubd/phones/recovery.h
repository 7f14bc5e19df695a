/* recovery.h - brings phones on USB back: climbs the ladder (firmware/ladder.h) for each that is
 * recovering, and acts. Part of phones.c; nothing else includes it but the API. */
#ifndef HOST_HUBD_RECOVERY_H
#define HOST_HUBD_RECOVERY_H

#include "host/hubd/phones/phones.h"

/* Tries what is due for the line's phone. */
void recovery_step(struct phone_line *line);

/* The earliest time at which recovery_step() may do something; TIMER_NEVER: no time alone. */
uint64_t recovery_deadline_ms(const struct phone_line *line);

/* The reset of its port has ended. */
void recovery_reset_ended(struct phone_line *line, enum status status);

/* A recovering phone answers. True: it is not healthy yet, but on its way to reboot. */
bool recovery_reboots(struct phone_line *line);

/* Whether no other phone is behind the same hub. */
bool recovery_is_alone(const struct phone_line *line);

/* An operator switches the power of a phone's port off and on. NOT_FOUND: its slot has no port that
 * can be switched. DENIED: see slot_power_switch(). BUSY: that hub is being
 * switched. ILLEGAL: a lease is on the phone. FULL. */
must_check enum status recovery_cycle(struct phones *phones, uint32_t phone);

#endif
