/* random.h - unpredictable bytes from the kernel, for keys, tokens and TLS. */
#ifndef HAL_LINUX_RANDOM_H
#define HAL_LINUX_RANDOM_H

#include "hal/base.h"

/* Fills all of `target`. Waits only right after boot, until the kernel has gathered entropy. */
void random_fill(void *target, size_t size);

#endif
