/* Addresses: Zynq-7000 Technical Reference Manual (UG585), appendix B and chapter 7. */
#include "boards/machine.h"

#include "boards/board.h"

extern const struct board board_zynq;

static _Alignas(16) uint8_t memory[2 * 1024 * 1024];

const struct machine machine = {
    .board = &board_zynq,
    .memory = memory,
    .memory_bytes = sizeof memory,
    .console = 0xe0000000,
    .console_interrupt = 59,
    .line = 0xe0001000,
    .line_interrupt = 82,
    .timer = 0xf8f00200,   /* the Cortex-A9's global timer */
    .timer_hz = 100000000, /* as QEMU runs it; half the processor's clock on real parts */
    .interrupts = 0xf8f00100,
    .distributor = 0xf8f01000,
    .reset = 0xf8000200,
    .flash = 0xe2000000,
    .flash_sector_bytes = 131072,
    .flash_unlock = {0x555, 0x2aa},
    .store_sector = 0,
};
