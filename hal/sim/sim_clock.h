/* sim_clock.h - the clocks of one simulated machine, read at a moment of the world's own time.
 *
 * The monotonic clock starts anew with each boot and may run fast or slow; the wall clock may jump,
 * or not be known. World time is in milliseconds and only grows. */
#ifndef HAL_SIM_SIM_CLOCK_H
#define HAL_SIM_SIM_CLOCK_H

#include "hal/base.h"

enum { SIM_CLOCK_EXACT_PPM = 1000000 };

struct sim_clock {
    uint64_t base_world_ms; /* when the rate changed last */
    uint64_t base_mono_ms;  /* what the monotonic clock said then */
    uint32_t rate_ppm;      /* monotonic milliseconds in a million of the world's */
    uint64_t wall_ms;       /* wall clock at world time 0; 0: not known */
    uint8_t quality;        /* 0 none, 1 clock chip, 2 synchronised */
};

/* A boot: the monotonic clock starts at `mono_ms`, exact; the wall clock stays as it was. */
void sim_clock_boot(struct sim_clock *clock, uint64_t world_ms, uint64_t mono_ms);
/* From now on the monotonic clock runs at this rate, 1 at least. */
void sim_clock_set_rate(struct sim_clock *clock, uint64_t world_ms, uint32_t rate_ppm);

uint64_t sim_clock_mono(const struct sim_clock *clock, uint64_t world_ms);
/* 0: not known. */
uint64_t sim_clock_wall(const struct sim_clock *clock, uint64_t world_ms);
/* The first moment of the world at which the monotonic clock shows `mono_ms` or more. */
uint64_t sim_clock_world(const struct sim_clock *clock, uint64_t mono_ms);

#endif
