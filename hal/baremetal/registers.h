/* registers.h - memory that is a device's. */
#ifndef HAL_BAREMETAL_REGISTERS_H
#define HAL_BAREMETAL_REGISTERS_H

#include <stdint.h>

static inline uint32_t register_read(uintptr_t base, uint32_t offset) {
    return *(volatile uint32_t *)(base + offset);
}

static inline void register_write(uintptr_t base, uint32_t offset, uint32_t value) {
    *(volatile uint32_t *)(base + offset) = value;
}

#endif
