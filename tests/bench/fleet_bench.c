/* fleet_bench.c - rows P10 and P11: many simulated hubs against one upstreamd.
 *
 *   fleet_bench ADDRESS CA CA-KEY KEY HUBS JOBS BATCH
 *
 * Takes commands from standard input, a line each, and answers each with `name value` lines and a
 * line `end`:
 *
 *   connect WINDOW SECONDS            every hub that is not connected; so many handshakes at once
 *   lost SECONDS                      waits until upstream has left all of them
 *   leave                             every hub closes its connection
 *   hold SECONDS                      all poll
 *   push HUBS GROUPS BYTES SECONDS    the first HUBS push, at most so much in one push
 *   ping TIMES                        one hub pushes single groups behind its poll
 *
 * JOBS and BATCH say how much each hub has to tell (hub_log.h). KEY is a file that is made. */
#include "tests/bench/fleet.h"
#include "tests/bench/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fleet fleet;
static struct hub_log history;

static int compare(const void *a, const void *b) {
    float x = *(const float *)a;
    float y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(double share) {
    return fleet.sample_count == 0
               ? 0
               : (double)fleet.samples[(uint32_t)((fleet.sample_count - 1) * share)];
}

static void report_counters(const struct fleet_counters *before) {
    const struct fleet_counters *now = &fleet.counters;
    report("full", (double)(now->full - before->full));
    report("resumed", (double)(now->resumed - before->resumed));
    report("failed", (double)(now->failed - before->failed));
    report("lost", (double)(now->lost - before->lost));
    report("polls", (double)(now->polls - before->polls));
    report("pushes", (double)(now->pushes - before->pushes));
    report("records", (double)(now->records - before->records));
    report("transitions", (double)(now->transitions - before->transitions));
    report("online", fleet.online);
}

static void report_latency(void) {
    qsort(fleet.samples, fleet.sample_count, sizeof fleet.samples[0], compare);
    report("p50_ms", quantile(0.5) * 1e3);
    report("p99_ms", quantile(0.99) * 1e3);
    report("samples", fleet.sample_count);
}

/* False: there is no such command. */
static bool obey(const char *line) {
    struct fleet_load load;
    uint32_t number;
    double seconds;
    if (sscanf(line, "connect %u %lf", &number, &seconds) == 2) {
        fleet_connect(&fleet, number, seconds);
    } else if (sscanf(line, "lost %lf", &seconds) == 1) {
        fleet_wait_lost(&fleet, seconds);
    } else if (strcmp(line, "leave\n") == 0) {
        fleet_leave(&fleet);
    } else if (sscanf(line, "hold %lf", &seconds) == 1) {
        fleet_hold(&fleet, seconds);
    } else if (sscanf(line, "push %u %u %zu %lf", &load.hubs, &load.groups, &load.bytes,
                      &load.seconds) == 4) {
        fleet_push(&fleet, &load);
    } else if (sscanf(line, "ping %u", &number) == 1) {
        fleet_ping(&fleet, number);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    char line[256];
    if (argc != 8) {
        fprintf(stderr, "usage: fleet_bench ADDRESS CA CA-KEY KEY HUBS JOBS BATCH\n");
        return 2;
    }
    const struct fleet_files files = {.ca = argv[2], .ca_key = argv[3], .key = argv[4]};
    uint32_t count = (uint32_t)strtoul(argv[5], NULL, 10);
    hub_log_make(&history, (uint32_t)strtoul(argv[6], NULL, 10),
                 (uint32_t)strtoul(argv[7], NULL, 10));
    fleet_open(&fleet, argv[1], &files, &history, count);
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct fleet_counters before = fleet.counters;
        uint32_t wired = count < FLEET_PUSHERS_MAX ? count : FLEET_PUSHERS_MAX;
        uint64_t bytes = fleet_wire_bytes(&fleet, wired);
        double start = report_wall_seconds();
        double cpu = report_cpu_seconds();
        fleet.sample_count = 0;
        if (!obey(line)) {
            fprintf(stderr, "bench: no such command: %s", line);
            return 2;
        }
        report("seconds", report_wall_seconds() - start);
        report("cpu_seconds", report_cpu_seconds() - cpu);
        report("wire_bytes", (double)(fleet_wire_bytes(&fleet, wired) - bytes));
        report_counters(&before);
        report_latency();
        puts("end");
        fflush(stdout);
    }
    return 0;
}
