/* uart.h - a serial port that is asked, never waited for. A board links one implementation. */
#ifndef HAL_BAREMETAL_UART_H
#define HAL_BAREMETAL_UART_H

#include "hal/base.h"

/* Once, before the other calls. A byte that arrives raises the port's interrupt. */
void uart_open(uintptr_t base);
/* False: nothing has come. */
must_check bool uart_read(uintptr_t base, uint8_t *byte);
/* False: there is no room now. */
must_check bool uart_write(uintptr_t base, uint8_t byte);

#endif
