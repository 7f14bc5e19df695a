/* report.h - how a bench program tells the driver what it measured: one `name value` line each. */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

#include <stdint.h>

void report(const char *name, double value);

/* CPU time of this process, in seconds. */
double report_cpu_seconds(void);
double report_wall_seconds(void);

#endif
