/* The choices of a farm: what happens, when, to whom, and what fails, is in the bytes. One hub
 * lives for as long as they last, a few minutes of its time; every rule of tests/sim/ is judged. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MINUTES_MAX = 5, INPUT_MIN = 160 /* the plan of a world takes as many */ };

static struct sim_world world;

_Noreturn void check_failed(const char *condition, const char *file, unsigned line) {
    fprintf(stderr, "check failed: %s at %s:%u\n", condition, file, line);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct sim_setting setting = {
        .seed = 1,
        .minutes = MINUTES_MAX,
        .hubs = 1,
        .is_without_end = true,
        .input = {data, size},
    };
    if (size >= INPUT_MIN && !sim_world_run(&world, &setting)) {
        fprintf(stderr, "%s\n", world.why);
        abort();
    }
    return 0;
}
