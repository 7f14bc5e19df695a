/* clock.h - the time since the board's start, and waiting. A board links one implementation. */
#ifndef HAL_BAREMETAL_CLOCK_H
#define HAL_BAREMETAL_CLOCK_H

#include "hal/base.h"

void clock_open(void);
uint64_t clock_us(void);
/* Sleeps until a port of the board has received something, at most until `until_us`. May return
 * early. */
void clock_wait(uint64_t until_us);
/* Restarts the board. */
_Noreturn void clock_restart(void);

#endif
