#include "tests/firmware/store_workloads.h"

static void commit_objects(struct rig *rig, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        rig_append(rig, (first + i) % RIG_OBJECTS);
    }
    store_rig_settle(rig);
}

void store_workload_go_on(struct rig *rig) {
    commit_objects(rig, 2, 2);
    (void)!store_clean(&rig->store);
    commit_objects(rig, 1 + rig->number % 20, 2);
    rig_acknowledge(rig, true);
}

/* ---- what was there before ---- */

static void nothing(struct rig *rig) {
    (void)rig;
}

static void one_record(struct rig *rig) {
    commit_objects(rig, 5, 1);
}

static void every_object(struct rig *rig) {
    for (uint32_t i = 0; i < RIG_OBJECTS; i += 2) {
        commit_objects(rig, i, 2);
        rig_acknowledge(rig, true);
    }
}

static void busy(struct rig *rig) {
    for (uint32_t i = 0; i < 1500; i++) {
        store_rig_step(rig);
    }
    store_rig_settle(rig);
    every_object(rig);
}

/* Every block but the cleaner's holds something, and most of it may go. */
static void low(struct rig *rig) {
    for (uint32_t i = 0; i < 5000 && rig->store.free_count > STORE_SPARE_BLOCKS + 2; i++) {
        commit_objects(rig, i, 3);
    }
    rig_acknowledge(rig, true);
}

static void restarted(struct rig *rig) {
    busy(rig);
    rig_remount(rig);
}

/* Nothing is acknowledged, and no more goes in. */
static void full(struct rig *rig) {
    for (uint32_t i = 0; i < 20000; i++) {
        rig_append(rig, i % RIG_OBJECTS);
        if (!rig->store.is_syncing && store_rig_commit(rig) == STATUS_FULL) {
            return;
        }
        (void)!rig_poll(rig);
    }
}

/* Just before the open block is full. */
static void block_end(struct rig *rig) {
    busy(rig);
    const struct store *store = &rig->store;
    uint32_t rest = rig->geometry.block_bytes / 4;
    for (uint32_t i = 0; i < 1000 && store->offset < rig->geometry.block_bytes - rest; i++) {
        commit_objects(rig, i, 1);
        rig_acknowledge(rig, true);
    }
}

static void fail_open_block(struct rig *rig, uint8_t fault) {
    busy(rig);
    rig->flash.block_fault[0] = fault;
    rig->flash.bad_block[0] = rig->store.block;
}

static void worn_block(struct rig *rig) {
    fail_open_block(rig, SIM_FLASH_FAILS_PROGRAM);
}

static void silent_block(struct rig *rig) {
    fail_open_block(rig, SIM_FLASH_LOSES_PROGRAM);
    rig->flash.base.verify = true;
}

/* Half of what is free cannot be erased, up to what the simulator can hold. */
static void stuck_blocks(struct rig *rig) {
    low(rig);
    for (uint32_t b = 0, bad = 0; b < rig->geometry.block_count && bad < 2; b++) {
        if (rig->blocks[b].state == STORE_BLOCK_FREE) {
            rig->flash.block_fault[bad] = SIM_FLASH_FAILS_ERASE;
            rig->flash.bad_block[bad] = b;
            bad += 1;
        }
    }
}

/* ---- what is cut ---- */

static void accept_first(struct rig *rig) {
    commit_objects(rig, 0, 3);
}

static void one_commit(struct rig *rig) {
    commit_objects(rig, 5, 1);
}

static void transitions(struct rig *rig) {
    for (uint32_t i = 0; i < 5; i++) {
        commit_objects(rig, 5, 1);
    }
}

/* The last records of some objects, whose places are then used again. */
static void finish(struct rig *rig) {
    for (uint32_t i = 0; i < 2; i++) {
        commit_objects(rig, 3 * i + 1, 2);
        rig_acknowledge(rig, true);
        rig_release(rig, 3 * i + 1);
        rig_append(rig, 0);
        store_rig_settle(rig);
        commit_objects(rig, 3 * i + 1, 1);
    }
}

static void random_steps(struct rig *rig) {
    for (uint32_t i = 0; i < 60; i++) {
        store_rig_step(rig);
    }
}

static void clean(struct rig *rig) {
    for (uint32_t i = 0; i < 5; i++) {
        (void)!store_clean(&rig->store);
        commit_objects(rig, 3 * i, 2);
        rig_acknowledge(rig, true);
    }
}

static void largest_groups(struct rig *rig) {
    for (uint32_t i = 0; i < 2; i++) {
        commit_objects(rig, i, 40);
        rig_acknowledge(rig, true);
    }
}

static void make_room(struct rig *rig) {
    rig_acknowledge(rig, true);
    store_rig_settle(rig);
    commit_objects(rig, 7, 5);
}

/* Groups open while a sync runs, and acknowledgements come late. */
static void overlap(struct rig *rig) {
    rig->flash.sync_polls = 2;
    for (uint32_t i = 0; i < 8; i++) {
        rig_append(rig, i);
        (void)!store_rig_commit(rig);
        rig_append(rig, i + 8);
        (void)!rig_poll(rig);
        rig_acknowledge(rig, i % 4 == 3);
    }
    store_rig_settle(rig);
}

/* Started again and again, with one commit each time. */
static void boots(struct rig *rig) {
    for (uint32_t i = 0; i < 3 && !rig->flash.is_off; i++) {
        rig_remount(rig);
        commit_objects(rig, i, 1);
    }
}

const struct store_workload store_workloads[] = {
    {"first", nothing, accept_first},
    {"second", one_record, one_commit},
    {"restarted", restarted, one_commit},
    {"transitions", every_object, transitions},
    {"finish", every_object, finish},
    {"random", busy, random_steps},
    {"cleaning", low, clean},
    {"largest", busy, largest_groups},
    {"full", full, make_room},
    {"wrap", block_end, transitions},
    {"overlap", busy, overlap},
    {"boots", busy, boots},
    {"worn", worn_block, transitions},
    {"silent", silent_block, transitions},
    {"stuck", stuck_blocks, clean},
};
const uint32_t store_workload_count = array_count(store_workloads);
