/* store_workloads.h - short workloads of the store, to be cut at each of their operations. */
#ifndef TESTS_FIRMWARE_STORE_WORKLOADS_H
#define TESTS_FIRMWARE_STORE_WORKLOADS_H

#include "tests/firmware/store_rig.h"

enum { STORE_WORKLOAD_OPERATIONS = 30, STORE_WORKLOAD_FEW = 6 };

struct store_workload {
    const char *name;
    void (*prepare)(struct rig *rig);
    /* At most STORE_WORKLOAD_OPERATIONS programs, erases and syncs. */
    void (*run)(struct rig *rig);
};

extern const struct store_workload store_workloads[];
extern const uint32_t store_workload_count;

/* What a hub does after a start, cut or not: it goes on writing, and cleans. Ends durable. */
void store_workload_go_on(struct rig *rig);

#endif
