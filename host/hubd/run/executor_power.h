/* executor_power.h - the `power_cycle` action: the port of the attempt's phone is switched off and
 * on again, by whoever switches its slot, and the attempt waits until the phone answers.
 *
 * It takes from the budget of power cycles first (SPEC.md section 6): when that is spent the item
 * is suspended and nothing is switched. Then the phone is *away* (section 7) until it is back. */
#ifndef HOST_HUBD_EXECUTOR_POWER_H
#define HOST_HUBD_EXECUTOR_POWER_H

#include "host/hubd/run/executor.h"

/* Begins the action. Its failures are told to the attempt. */
void executor_power_begin(struct attempt *attempt);

void executor_power_step(struct attempt *attempt);
/* Waits no longer; a port that is being switched ends as it should. Harmless. */
void executor_power_stop(struct attempt *attempt);

#endif
