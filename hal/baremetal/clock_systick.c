/* The system timer of a Cortex-M (Armv7-M architecture reference manual B3.3), which interrupts
 * once a millisecond: that also ends every sleep. */
#include "boards/machine.h"
#include "hal/baremetal/clock.h"
#include "hal/baremetal/registers.h"

enum {
    CONTROL = 0x00,
    RELOAD = 0x04,
    VALUE = 0x08,
    CONTROL_ON = 0x07, /* counts the processor's clock, interrupts */
    RESET_REQUEST = 0x05fa0004
};

void clock_tick(void);

static volatile uint32_t ticks_low, ticks_high; /* milliseconds */

/* The interrupt, from the board's vectors. */
void clock_tick(void) {
    ticks_low += 1;
    if (ticks_low == 0) {
        ticks_high += 1;
    }
}

void clock_open(void) {
    register_write(machine.timer, RELOAD, machine.timer_hz / 1000 - 1);
    register_write(machine.timer, VALUE, 0);
    register_write(machine.timer, CONTROL, CONTROL_ON);
}

uint64_t clock_us(void) {
    uint32_t high, low, left;
    do { /* until no tick came in between */
        high = ticks_high;
        low = ticks_low;
        left = register_read(machine.timer, VALUE);
    } while (low != ticks_low || high != ticks_high);
    uint64_t ms = (uint64_t)high << 32 | low;
    uint32_t per_ms = machine.timer_hz / 1000;
    return ms * 1000 + (uint64_t)(per_ms - 1 - left) * 1000 / per_ms;
}

void clock_wait(uint64_t until_us) {
    if (clock_us() < until_us) {
        __asm__ volatile("dsb\n\twfi" ::: "memory");
    }
}

_Noreturn void clock_restart(void) {
    register_write(machine.reset, 0, RESET_REQUEST);
    for (;;) {
        __asm__ volatile("wfi");
    }
}
