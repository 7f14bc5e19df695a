/* machine.h - where the parts of one board's hardware are, for the drivers of hal/baremetal/. A
 * board's folder defines the one `machine` of its image. Addresses are of registers; 0: there is
 * none. */
#ifndef BOARDS_MACHINE_H
#define BOARDS_MACHINE_H

#include "hal/base.h"

struct board;

struct machine {
    const struct board *board;
    void *memory; /* of the core's tables: hub_bytes() of the board, or more */
    size_t memory_bytes;
    uintptr_t console; /* UART for a person */
    uintptr_t line;    /* UART to the host that carries this hub's records upstream */
    uint32_t console_interrupt;
    uint32_t line_interrupt;
    uintptr_t timer;
    uint32_t timer_hz;
    uintptr_t interrupts; /* the interrupt controller's processor interface */
    uintptr_t distributor;
    uintptr_t reset; /* register that restarts the board */
    uintptr_t flash;
    uint32_t flash_sector_bytes;
    uint32_t flash_unlock[2]; /* addresses of the unlock cycles */
    uint32_t store_sector; /* first one of the store; behind its last one lies the crash note's */
};

extern const struct machine machine;

#endif
