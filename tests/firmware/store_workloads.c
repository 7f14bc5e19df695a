#include "tests/firmware/store_workloads.h"

#include "tests/firmware/store_rig_image.h"

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

/* Nothing is acknowledged, and there is little room left. Some groups are of several frames. */
static void offline(struct rig *rig) {
    for (uint32_t i = 0; i < 20000 && !store_must_give_up(&rig->store); i++) {
        rig_append(rig, i % RIG_OBJECTS);
        bool is_due = i % 9 == 8 && !rig->store.is_syncing;
        if (is_due && store_rig_commit(rig) == STATUS_FULL) {
            store_rig_wrong(rig, "the store is full before anything must be given up");
            return;
        }
        (void)!rig_poll(rig);
    }
    store_rig_settle(rig);
}

/* Something was given up already, and upstream does not know. */
static void offline_for_longer(struct rig *rig) {
    offline(rig);
    for (uint32_t i = 0; i < 60; i++) {
        if (store_must_give_up(&rig->store)) {
            rig_give_up(rig);
        }
        commit_objects(rig, i, 2);
    }
    for (uint32_t i = 0; i < 60; i++) { /* what has gone makes room */
        (void)!store_clean(&rig->store);
        store_rig_settle(rig);
    }
}

/* The first format's code has written it; of a file there is no such image. */
static void old_format(struct rig *rig) {
    if (store_rig_has_image(rig->geometry.name)) {
        store_rig_load_image(rig, rig->geometry.name);
    } else {
        busy(rig);
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

/* One that was copied again and again is damaged where it stands now: the block that it was copied
 * from still holds it. */
static void rotten(struct rig *rig) {
    const uint32_t object = RIG_OBJECTS - 1;
    commit_objects(rig, object, 1);
    uint32_t where = store_slot(&rig->store, rig_key(object))->where;
    for (uint32_t i = 0, moves = 0; i < 5000 && moves < 2; i++) {
        commit_objects(rig, i % 8, 2);
        rig_acknowledge(rig, true);
        uint32_t now = store_slot(&rig->store, rig_key(object))->where;
        moves += now != where;
        where = now;
    }
    rig->rotten = object;
    sim_flash_flip(&rig->flash, where + STORE_RECORD_BYTES, 0x10);
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

/* It goes on offline: history goes, what is newest stays. */
static void give_up(struct rig *rig) {
    rig_give_up(rig);
    commit_objects(rig, 5, 1);
    (void)!store_clean(&rig->store);
    commit_objects(rig, 10, 1);
}

/* Upstream is there again, and then knows more than was given up. */
static void contact(struct rig *rig) {
    rig_give_up(rig);
    rig_acknowledge(rig, true);
    commit_objects(rig, 3, 2);
    rig_acknowledge(rig, true);
    (void)!store_clean(&rig->store);
    commit_objects(rig, 9, 1);
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

/* The scrub reads on between commits, and writes again what is damaged. */
static void scrub(struct rig *rig) {
    for (uint32_t i = 0; i < 4; i++) {
        enum status status = STATUS_AGAIN;
        for (uint32_t j = 0; j < 64 && status == STATUS_AGAIN && !rig->flash.is_off; j++) {
            status = store_scrub(&rig->store, 4096);
            store_rig_settle(rig);
        }
        commit_objects(rig, i, 1);
        rig_acknowledge(rig, true);
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
    {"gap", offline, give_up},
    {"gap-again", offline_for_longer, give_up},
    {"contact", offline_for_longer, contact},
    {"upgrade", old_format, transitions},
    {"upgrade-offline", old_format, give_up},
    {"scrub", rotten, scrub},
};
const uint32_t store_workload_count = array_count(store_workloads);
