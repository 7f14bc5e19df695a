/* The UART of Arm's Cortex-M System Design Kit (technical reference manual DDI 0479, 4.3). */
#include "hal/baremetal/registers.h"
#include "hal/baremetal/uart.h"

enum {
    DATA = 0x00,
    STATE = 0x04,
    CONTROL = 0x08,
    INTERRUPTS = 0x0c,
    DIVIDER = 0x10,
    SEND_FULL = 0x01,
    RECEIVED = 0x02,
    CONTROL_ON = 0x0b, /* sends, receives, interrupts when something has come */
    DIVIDER_LEAST = 16
};

void uart_open(uintptr_t base) {
    register_write(base, DIVIDER, DIVIDER_LEAST);
    register_write(base, CONTROL, CONTROL_ON);
}

bool uart_read(uintptr_t base, uint8_t *byte) {
    if ((register_read(base, STATE) & RECEIVED) == 0) {
        return false;
    }
    register_write(base, INTERRUPTS, RECEIVED);
    *byte = (uint8_t)register_read(base, DATA);
    return true;
}

bool uart_write(uintptr_t base, uint8_t byte) {
    if ((register_read(base, STATE) & SEND_FULL) != 0) {
        return false;
    }
    register_write(base, DATA, byte);
    return true;
}
