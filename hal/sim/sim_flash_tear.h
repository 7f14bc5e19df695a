/* sim_flash_tear.h - what a power loss leaves of the operation that it interrupts. Inner part of
 * sim_flash: its operations and its tearing share these. */
#ifndef HAL_SIM_SIM_FLASH_TEAR_H
#define HAL_SIM_SIM_FLASH_TEAR_H

#include "hal/sim/sim_flash.h"

uint32_t sim_flash_total_bytes(const struct sim_flash *flash);
uint32_t sim_flash_roll(struct sim_flash *flash);
/* The operation as it should be, and one that got only some of its bits done. */
void sim_flash_change(struct sim_flash *flash, const struct sim_flash_operation *operation);
void sim_flash_change_randomly(struct sim_flash *flash,
                               const struct sim_flash_operation *operation);
void sim_flash_flush_cache(struct sim_flash *flash);

#endif
