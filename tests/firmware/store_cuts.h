/* store_cuts.h - power lost in every way at the operations of a workload.
 *
 * The workload runs once. In front of each of its programs, erases and syncs the device and the
 * model are copied, the copy loses its power in the middle of the operation, and a store mounts
 * what is left: it has to hold what the model knows, mount a second time with the same tables and
 * without a write, go on writing, and still hold it after one more start. In a copy that goes on,
 * power may be lost again in the same way.
 *
 * Each cut has an id, `workload/device/cut` or `workload/device/cut/cut`: store_cuts_replay() runs
 * exactly that one. `life-N` is a workload: a long random life whose power is lost for good now and
 * then. */
#ifndef TESTS_FIRMWARE_STORE_CUTS_H
#define TESTS_FIRMWARE_STORE_CUTS_H

#include "tests/firmware/store_workloads.h"

enum { STORE_CUTS_LEVELS = 3, STORE_CUTS_ID = 128 };

enum store_cuts_plan {
    STORE_CUTS_SAMPLED,    /* each operation, each model, some seeds */
    STORE_CUTS_EVERY_BYTE, /* and each prefix and suffix */
    STORE_CUTS_PAIRS,      /* each operation and model, then again of what follows the mount */
    STORE_CUTS_RANDOM,     /* a few at each operation, some of them twice */
    STORE_CUTS_ONE,        /* that of an id */
};

struct store_cuts;

/* One copy of the world: level 0 runs the workload, 1 is what the first cut leaves… */
struct store_cuts_world {
    struct store_cuts *cuts;
    uint32_t level;
    uint32_t operation; /* since the workload's begin, or the mount */
    bool is_cut_further;
    struct rig rig;
};

struct store_cuts {
    enum store_cuts_plan plan;
    const struct rig_geometry *geometry;
    char workload[24];
    struct sim_flash_cut path[STORE_CUTS_LEVELS - 1];   /* the cuts that led to what is looked at */
    struct sim_flash_cut wanted[STORE_CUTS_LEVELS - 1]; /* of STORE_CUTS_ONE */
    uint32_t cuts_each;                                 /* RANDOM: at each operation */
    uint64_t done;                                      /* cuts that were looked at */
    uint64_t distinct;                                  /* of these, what no cut before had left */
    uint64_t torn;                                      /* frames that mounts have dropped */
    uint64_t twice;      /* of the distinct ones, with a second cut */
    uint64_t refused;    /* of the distinct ones, where a bad block was the last spare one */
    uint32_t operations; /* of the workload that ran last */
    /* True: such a state was not seen before. A state that was is not looked at again. */
    bool (*is_new)(void *owner, uint64_t state);
    void *owner;
    char failure[STORE_CUTS_ID + 96]; /* "": none; else what is wrong, and the id */
    struct store_cuts_world worlds[STORE_CUTS_LEVELS];
};

/* Prepares and runs a workload, and cuts it everywhere. Goes on adding to the counts. */
void store_cuts_run(struct store_cuts *cuts, const struct store_workload *workload,
                    const struct rig_geometry *geometry);
/* A random life of that many losses of power. */
void store_cuts_live(struct store_cuts *cuts, uint32_t seed, const struct rig_geometry *geometry,
                     uint32_t losses);
/* False: not an id. */
bool store_cuts_replay(struct store_cuts *cuts, const char *id);

#endif
