/* The Cadence UART of Zynq-7000 (UG585 chapter 19, appendix B.33). */
#include "hal/baremetal/registers.h"
#include "hal/baremetal/uart.h"

enum {
    CONTROL = 0x00,
    MODE = 0x04,
    INTERRUPTS_ON = 0x08,
    INTERRUPTS = 0x14,
    RECEIVE_LEVEL = 0x20,
    STATUS = 0x2c,
    FIFO = 0x30,

    CONTROL_RESET_BOTH = 0x03,
    CONTROL_ON = 0x14, /* receiver and transmitter */
    MODE_8N1 = 0x20,
    RECEIVED = 0x01,
    STATUS_RECEIVE_EMPTY = 0x02,
    STATUS_SEND_FULL = 0x10
};

void uart_open(uintptr_t base) {
    register_write(base, CONTROL, CONTROL_RESET_BOTH);
    register_write(base, MODE, MODE_8N1);
    register_write(base, RECEIVE_LEVEL, 1);
    register_write(base, CONTROL, CONTROL_ON);
    register_write(base, INTERRUPTS_ON, RECEIVED);
}

bool uart_read(uintptr_t base, uint8_t *byte) {
    if ((register_read(base, STATUS) & STATUS_RECEIVE_EMPTY) != 0) {
        register_write(base, INTERRUPTS, RECEIVED); /* the next byte raises it again */
        if ((register_read(base, STATUS) & STATUS_RECEIVE_EMPTY) != 0) {
            return false;
        }
    }
    *byte = (uint8_t)register_read(base, FIFO);
    return true;
}

bool uart_write(uintptr_t base, uint8_t byte) {
    if ((register_read(base, STATUS) & STATUS_SEND_FULL) != 0) {
        return false;
    }
    register_write(base, FIFO, byte);
    return true;
}
