/* Arm's MPS2 with a Cortex-M4 (application note AN386). It has no flash: 16 MiB of PSRAM stand for
 * it, so what is stored lasts as long as the power. */
#include "boards/machine.h"

#include "boards/board.h"

extern const struct board board_small;

static _Alignas(16) uint8_t memory[512 * 1024];

const struct machine machine = {
    .board = &board_small,
    .memory = memory,
    .memory_bytes = sizeof memory,
    .console = 0x40004000,
    .line = 0x40005000,
    .timer = 0xe000e010, /* SysTick */
    .timer_hz = 25000000,
    .reset = 0xe000ed0c,
    .flash = 0x21000000,
    .flash_sector_bytes = 8192,
    .store_sector = 0,
};
