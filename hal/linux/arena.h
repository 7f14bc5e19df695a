/* arena.h - the fixed memory of third-party libraries: malloc over one static array.
 *
 * A program that links hal/linux/arena.c gets malloc, calloc, realloc, free, memalign,
 * aligned_alloc, posix_memalign, valloc, pvalloc and malloc_usable_size from it, for itself and for
 * every library, libc included; no heap is ever mapped. An allocation that does not fit returns
 * NULL with ENOMEM and is counted. Programs without arena.c (all sanitizer builds, the tests) link
 * arena_none.c from the archive instead and keep the system's malloc.
 *
 * Threads are safe (libusb has one). A forked child must call exec or _exit, nothing that
 * allocates: another thread may have held the lock. */
#ifndef HAL_LINUX_ARENA_H
#define HAL_LINUX_ARENA_H

#include "hal/linux/heap.h"

#ifndef ARENA_BYTES
#define ARENA_BYTES (2U << 20) /* a board may name another; multiple of 16 */
#endif

/* Counters since start; capacity_bytes is 0 in a program without the arena. */
struct heap_stats arena_stats(void);

#endif
