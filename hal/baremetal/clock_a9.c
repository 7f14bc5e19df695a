/* The global timer of a Cortex-A9, and the interrupt controller as an alarm clock: interrupts stay
 * disabled in the processor and only end its sleep (Cortex-A9 MPCore TRM 4.3; GIC architecture
 * specification 1.0). */
#include "boards/machine.h"
#include "hal/baremetal/clock.h"
#include "hal/baremetal/registers.h"

enum {
    TIMER_LOW = 0x00,
    TIMER_HIGH = 0x04,
    TIMER_CONTROL = 0x08,
    TIMER_STATUS = 0x0c,
    TIMER_ALARM_LOW = 0x10,
    TIMER_ALARM_HIGH = 0x14,
    TIMER_ON = 0x01,
    TIMER_ALARM = 0x07, /* on, compares, interrupts */
    TIMER_INTERRUPT = 27,

    GATE_CONTROL = 0x00,
    GATE_MASK = 0x04,
    GATE_TAKE = 0x0c,
    GATE_END = 0x10,
    GATE_NONE = 1023,

    SPREAD_CONTROL = 0x000,
    SPREAD_ENABLE = 0x100,
    SPREAD_TARGETS = 0x800,

    SLCR_UNLOCK = 0x08, /* from the start of its page */
    SLCR_KEY = 0xdf0d
};

static void enable(uint32_t interrupt) {
    uintptr_t spread = machine.distributor;
    uint32_t targets = SPREAD_TARGETS + interrupt / 4 * 4;
    uint32_t shift = interrupt % 4 * 8;
    register_write(spread, targets, register_read(spread, targets) | 1u << shift);
    register_write(spread, SPREAD_ENABLE + interrupt / 32 * 4, 1u << interrupt % 32);
}

void clock_open(void) {
    register_write(machine.timer, TIMER_CONTROL, TIMER_ON);
    enable(TIMER_INTERRUPT);
    enable(machine.console_interrupt);
    enable(machine.line_interrupt);
    register_write(machine.distributor, SPREAD_CONTROL, 1);
    register_write(machine.interrupts, GATE_MASK, 0xff);
    register_write(machine.interrupts, GATE_CONTROL, 1);
}

static uint64_t ticks(void) {
    uint32_t high = register_read(machine.timer, TIMER_HIGH);
    uint32_t low = register_read(machine.timer, TIMER_LOW);
    uint32_t again = register_read(machine.timer, TIMER_HIGH);
    if (high != again) {
        low = register_read(machine.timer, TIMER_LOW);
    }
    return (uint64_t)again << 32 | low;
}

uint64_t clock_us(void) {
    return ticks() / (machine.timer_hz / 1000000);
}

void clock_wait(uint64_t until_us) {
    uint64_t alarm = until_us * (machine.timer_hz / 1000000);
    if (ticks() >= alarm) {
        return;
    }
    register_write(machine.timer, TIMER_CONTROL, TIMER_ON);
    register_write(machine.timer, TIMER_STATUS, 1);
    register_write(machine.timer, TIMER_ALARM_LOW, (uint32_t)alarm);
    register_write(machine.timer, TIMER_ALARM_HIGH, (uint32_t)(alarm >> 32));
    register_write(machine.timer, TIMER_CONTROL, TIMER_ALARM);
    __asm__ volatile("dsb\n\twfi" ::: "memory");
    uint32_t interrupt = register_read(machine.interrupts, GATE_TAKE);
    if ((interrupt & GATE_NONE) != GATE_NONE) {
        register_write(machine.timer, TIMER_STATUS, 1);
        register_write(machine.interrupts, GATE_END, interrupt);
    }
}

_Noreturn void clock_restart(void) {
    register_write(machine.reset & ~(uintptr_t)0xfff, SLCR_UNLOCK, SLCR_KEY);
    register_write(machine.reset, 0, 1);
    for (;;) {
        __asm__ volatile("wfi");
    }
}
