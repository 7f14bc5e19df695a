/* executor_flash.h - the `flash` action: a folder of images into a phone's partitions, by way of
 * its bootloader and back, on the one slot of its lease.
 *
 * The images are judged first. Then the phone is *away* (SPEC.md section 7) until Android answers
 * again; each answer of its bootloader keeps the window open. What ends the attempt earlier leaves
 * the phone to recovery, which asks its bootloader to reboot. */
#ifndef HOST_HUBD_EXECUTOR_FLASH_H
#define HOST_HUBD_EXECUTOR_FLASH_H

#include "host/hubd/run/executor.h"

/* Begins the action. FULL: too many phones are being flashed; try again. Its other failures are
 * told to the attempt. */
must_check enum status executor_flash_begin(struct attempt *attempt);

void executor_flash_step(struct attempt *attempt);
uint64_t executor_flash_deadline_ms(const struct attempt *attempt);

/* Gives up what is under way. Harmless. */
void executor_flash_stop(struct attempt *attempt);

/* What it does now, for people: `flash: system_a, 38 MB/s`. */
const char *executor_flash_text(const struct attempt *attempt);

#endif
