/* store_bench.c - rows P7 and P8: what the store costs the flash, and what a mount costs.
 *
 *   store_bench wear BLOCK_BYTES BLOCKS PROGRAM_BYTES FRAME_BYTES GROUP UPDATES SEED
 *   store_bench mount BLOCK_BYTES BLOCKS PROGRAM_BYTES FRAME_BYTES GROUP SEED */
#include "tests/bench/report.h"
#include "tests/bench/store_workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS = 6, MOUNTS = 20 };

static struct workload workload;

static void wear(const struct workload_shape *shape, uint32_t updates, uint64_t seed) {
    workload_start(&workload, shape, seed);
    counting_flash_reset(&workload.flash);
    uint64_t copied = workload.store.stats.records_copied;
    double start = report_cpu_seconds();
    workload_update(&workload, updates);
    double seconds = report_cpu_seconds() - start;
    const struct counting_flash *flash = &workload.flash;
    report("amplification",
           (double)flash->bytes_programmed / ((double)updates * WORKLOAD_LOGICAL_BYTES));
    report("pages", (double)flash->pages_programmed / updates);
    report("erases", (double)flash->erases * 1000 / updates);
    report("wear", counting_flash_wear(flash));
    report("cycles", (double)flash->erases / flash->base.block_count);
    report("read", (double)flash->bytes_read / updates);
    report("copied", (double)(workload.store.stats.records_copied - copied) / updates);
    report("microseconds", seconds * 1e6 / updates);
    report("live", (double)workload.store.live_bytes /
                       ((double)flash->base.block_bytes * flash->base.block_count));
    workload_mount(&workload);
    workload_verify(&workload);
}

static void mount(const struct workload_shape *shape, uint64_t seed) {
    workload_start(&workload, shape, seed);
    counting_flash_reset(&workload.flash);
    double start = report_cpu_seconds();
    for (int i = 0; i < MOUNTS; i++) {
        workload_mount(&workload);
    }
    double milliseconds = (report_cpu_seconds() - start) * 1e3 / MOUNTS;
    uint64_t used = 0;
    for (uint32_t b = 0; b < shape->block_count; b++) {
        used += workload.blocks[b].state == STORE_BLOCK_USED ? workload.blocks[b].used_bytes : 0;
    }
    double mebibytes = (double)used / (1 << 20);
    report("milliseconds", milliseconds);
    report("used_mib", mebibytes);
    report("ms_per_mib", milliseconds / mebibytes);
    report("read_per_used", (double)workload.flash.bytes_read / MOUNTS / (double)used);
    workload_verify(&workload);
}

static uint32_t number(const char *text) {
    return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv) {
    bool is_wear = argc == ARGUMENTS + 3 && strcmp(argv[1], "wear") == 0;
    if (!is_wear && (argc != ARGUMENTS + 2 || strcmp(argv[1], "mount") != 0)) {
        fprintf(stderr, "usage: see the top of tests/bench/store_bench.c\n");
        return 2;
    }
    struct workload_shape shape = {
        .block_bytes = number(argv[2]),
        .block_count = number(argv[3]),
        .program_bytes = number(argv[4]),
        .frame_bytes = number(argv[5]),
        .group = number(argv[6]),
    };
    if (is_wear) {
        wear(&shape, number(argv[7]), number(argv[8]));
    } else {
        mount(&shape, number(argv[7]));
    }
    return 0;
}
