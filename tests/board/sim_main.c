/* sim_main.c - seeds of the farm simulator on the board itself: the same lines as `sim --hashes`.
 *
 *   sim.elf FIRST COUNT MINUTES */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

static struct sim_world world;

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    sim_fail(&world, "P8 check failed: %s at %s:%u", condition, file, line);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        puts("sim.elf FIRST COUNT MINUTES");
        return 2;
    }
    uint64_t first = strtoull(argv[argc - 3], NULL, 0);
    uint64_t count = strtoull(argv[argc - 2], NULL, 0);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_setting setting = {.seed = seed,
                                            .minutes = (uint32_t)strtoul(argv[argc - 1], NULL, 0)};
        bool is_good = sim_world_run(&world, &setting);
        printf("%llu %016llx %llu %s\n", (unsigned long long)seed, (unsigned long long)world.hash,
               (unsigned long long)world.events, is_good ? "good" : world.why);
        fflush(stdout);
    }
    return 0;
}
