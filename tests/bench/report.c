#include "tests/bench/report.h"

#include <stdio.h>
#include <time.h>

void report(const char *name, double value) {
    printf("%s %.9g\n", name, value);
}

static double seconds(clockid_t clock) {
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double report_cpu_seconds(void) {
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

double report_wall_seconds(void) {
    return seconds(CLOCK_MONOTONIC);
}
