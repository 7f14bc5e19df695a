/* phones_bootloader.h - a line on USB whose phone is in its bootloader: who it is, what the core is
 * told of it, and how it is asked to leave. The inner half of phones.c; recovery.c includes it too.
 *
 * A lease that sent its phone there finds it by phones_bootloader_of(); a phone that nobody sent is
 * recovering, and its first rung is `fastboot reboot`. */
#ifndef HOST_HUBD_PHONES_BOOTLOADER_H
#define HOST_HUBD_PHONES_BOOTLOADER_H

#include "host/hubd/phones/phones.h"

/* Bootloaders have a blank serial, or another one than Android: the phone is the one that is
 * awaited in this slot, else the one with this serial, else the only one that was in this slot
 * last. False: none of these; it gets a name like any other. */
bool phones_bootloader_id(const struct phone_line *line, char id[RECORD_ID_MAX + 1]);

void phones_bootloader_step(struct phone_line *line);
uint64_t phones_bootloader_deadline_ms(const struct phone_line *line);

/* Whether it is asked to reboot now, or works for a lease. */
bool phones_bootloader_is_busy(const struct phone_line *line);

#endif
