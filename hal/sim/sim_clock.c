#include "hal/sim/sim_clock.h"

void sim_clock_boot(struct sim_clock *clock, uint64_t world_ms, uint64_t mono_ms) {
    clock->base_world_ms = world_ms;
    clock->base_mono_ms = mono_ms;
    clock->rate_ppm = SIM_CLOCK_EXACT_PPM;
}

void sim_clock_set_rate(struct sim_clock *clock, uint64_t world_ms, uint32_t rate_ppm) {
    check(rate_ppm > 0);
    uint64_t mono_ms = sim_clock_mono(clock, world_ms);
    clock->base_world_ms = world_ms;
    clock->base_mono_ms = mono_ms;
    clock->rate_ppm = rate_ppm;
}

uint64_t sim_clock_mono(const struct sim_clock *clock, uint64_t world_ms) {
    check(world_ms >= clock->base_world_ms);
    uint64_t passed_ms = world_ms - clock->base_world_ms;
    return clock->base_mono_ms + passed_ms * clock->rate_ppm / SIM_CLOCK_EXACT_PPM;
}

uint64_t sim_clock_wall(const struct sim_clock *clock, uint64_t world_ms) {
    return clock->wall_ms == 0 ? 0 : clock->wall_ms + world_ms;
}

uint64_t sim_clock_world(const struct sim_clock *clock, uint64_t mono_ms) {
    if (mono_ms <= clock->base_mono_ms) {
        return clock->base_world_ms;
    }
    uint64_t parts = (mono_ms - clock->base_mono_ms) * SIM_CLOCK_EXACT_PPM;
    return clock->base_world_ms + (parts + clock->rate_ppm - 1) / clock->rate_ppm;
}
