/* Power lost at every program, erase and sync of workloads, in every way that the simulated flash
 * knows. A failure prints workload, geometry and cuts; each runs again in the same way. */
#include "tests/firmware/store_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig saved;

/* Only the bytes that the geometry uses: the rest of the arrays never changes. */
static void copy_rig(struct rig *target, const struct rig *source) {
    size_t bytes = (size_t)source->geometry.block_bytes * source->geometry.block_count;
    memcpy(target, source, offsetof(struct rig, cells));
    memcpy(target->cells, source->cells, bytes);
    memcpy(target->written, source->written, bytes / source->geometry.program_bytes);
    if (source->geometry.is_file) {
        memcpy(target->cache, source->cache, bytes);
    }
}

/* ---- workloads ---- */

static void commit_objects(struct rig *on, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        rig_append(on, (first + i) % RIG_OBJECTS);
    }
    store_rig_settle(on);
}

static void prepare_nothing(struct rig *on) {
    (void)on;
}

static void prepare_busy(struct rig *on) {
    for (uint32_t i = 0; i < 1500; i++) {
        store_rig_step(on);
    }
    store_rig_settle(on);
}

/* Every block but the cleaner's holds something, and most of it may go. */
static void prepare_low(struct rig *on) {
    for (uint32_t i = 0; i < 5000 && on->store.free_count > STORE_SPARE_BLOCKS + 2; i++) {
        commit_objects(on, i, 3);
    }
    rig_acknowledge(on, true);
}

static void prepare_restarted(struct rig *on) {
    prepare_busy(on);
    rig_remount(on);
}

static void prepare_full(struct rig *on) {
    for (uint32_t i = 0; i < 20000; i++) {
        rig_append(on, i % RIG_OBJECTS);
        if (!on->store.is_syncing && store_rig_commit(on) == STATUS_FULL) {
            return;
        }
        (void)!rig_poll(on);
    }
}

static void prepare_bad_block(struct rig *on) {
    prepare_busy(on);
    on->flash.block_fault[0] = SIM_FLASH_FAILS_PROGRAM;
    on->flash.bad_block[0] = on->store.block;
}

static void run_first_accept(struct rig *on) {
    commit_objects(on, 0, 3);
}

static void run_one_object(struct rig *on) {
    for (uint32_t i = 0; i < 5; i++) {
        commit_objects(on, 5, 1);
    }
}

static void run_random(struct rig *on) {
    for (uint32_t i = 0; i < 60; i++) {
        store_rig_step(on);
    }
}

static void run_cleaning(struct rig *on) {
    for (uint32_t i = 0; i < 8; i++) {
        (void)!store_clean(&on->store);
        commit_objects(on, 3 * i, 2);
        rig_acknowledge(on, true);
    }
}

static void run_largest_groups(struct rig *on) {
    for (uint32_t i = 0; i < 3; i++) {
        commit_objects(on, i, 40);
    }
}

static void run_full(struct rig *on) {
    rig_acknowledge(on, true);
    store_rig_settle(on);
    commit_objects(on, 7, 5);
}

static const struct workload {
    const char *name;
    void (*prepare)(struct rig *on);
    void (*run)(struct rig *on);
} workloads[] = {
    {"first accept", prepare_nothing, run_first_accept},
    {"one object", prepare_nothing, run_one_object},
    {"first after restart", prepare_restarted, run_first_accept},
    {"random", prepare_busy, run_random},
    {"cleaning", prepare_low, run_cleaning},
    {"largest groups", prepare_busy, run_largest_groups},
    {"full", prepare_full, run_full},
    {"bad block", prepare_bad_block, run_random},
};

/* ---- cuts ---- */

static void judge(const struct workload *workload, const struct sim_flash_cut *first,
                  const struct sim_flash_cut *second) {
    char text[2][SIM_FLASH_CUT_TEXT];
    if (rig.what != NULL) {
        sim_flash_cut_text(first, text[0]);
        sim_flash_cut_text(second, text[1]);
        print_error("%s: %s/%s/%s/%s\n", rig.what, workload->name, rig.geometry.name, text[0],
                    text[1]);
        fail();
    }
}

static void run_cut(const struct workload *workload, const struct sim_flash_cut *first,
                    const struct sim_flash_cut *second) {
    copy_rig(&rig, &saved);
    rig.flash.operations = 0;
    rig.flash.cut = *first;
    workload->run(&rig);
    if (!rig.flash.is_off) {
        sim_flash_power_off(&rig.flash, first->seed);
    }
    store_rig_restart(&rig);
    judge(workload, first, second);
    rig.flash.cut = *second;
    commit_objects(&rig, 2, 4);
    if (second->operation > 0) {
        store_rig_restart(&rig);
        judge(workload, first, second);
        commit_objects(&rig, 1, 4);
    }
    rig_remount(&rig);
    judge(workload, first, second);
    rig.cuts += 1;
}

static bool makes_sense(const struct rig_geometry *geometry, uint8_t model) {
    return model != SIM_FLASH_DISTURB || geometry->program_bytes > 1;
}

/* A start, and the number of its operations. */
static uint32_t prepare(const struct workload *workload, const struct rig_geometry *geometry) {
    store_rig_start(&rig, geometry, 1);
    workload->prepare(&rig);
    const struct sim_flash_cut never = {0};
    judge(workload, &never, &never);
    copy_rig(&saved, &rig);
    rig.flash.operations = 0;
    workload->run(&rig);
    store_rig_settle(&rig);
    rig_verify(&rig);
    judge(workload, &never, &never);
    return rig.flash.operations;
}

static uint32_t cut_everywhere(const struct workload *workload,
                               const struct rig_geometry *geometry) {
    uint32_t count = prepare(workload, geometry);
    uint32_t cuts = 0;
    for (uint32_t operation = 1; operation <= count; operation++) {
        for (uint8_t model = 0; model < SIM_FLASH_MODEL_COUNT; model++) {
            for (uint32_t seed = 0; seed < 4 && makes_sense(geometry, model); seed++) {
                struct sim_flash_cut first = {operation, model, seed * 37 + operation};
                struct sim_flash_cut second = {(operation + model + seed) % 5,
                                               (uint8_t)((model + seed) % SIM_FLASH_DISTURB),
                                               seed * 101 + operation};
                run_cut(workload, &first, &second);
                cuts += 1;
            }
        }
    }
    return cuts;
}

static void survives_a_cut_at_every_operation(void **state) {
    (void)state;
    uint32_t cuts = 0;
    for (size_t w = 0; w < array_count(workloads); w++) {
        for (size_t g = 0; g < array_count(rig_geometries); g++) {
            cuts += cut_everywhere(&workloads[w], &rig_geometries[g]);
        }
    }
    print_message("%u cuts\n", cuts);
}

/* Every prefix of every program, and every pair of cuts, of short workloads. */
static void survives_every_prefix_of_a_short_workload(void **state) {
    (void)state;
    for (size_t w = 0; w < 3; w++) {
        uint32_t count = prepare(&workloads[w], &rig_geometries[0]);
        for (uint32_t operation = 1; operation <= count && operation <= 6; operation++) {
            for (uint32_t bytes = 0; bytes <= rig_geometries[0].frame_bytes; bytes++) {
                struct sim_flash_cut first = {operation, SIM_FLASH_PREFIX, bytes};
                struct sim_flash_cut second = {bytes % 4, SIM_FLASH_PREFIX, bytes / 2};
                run_cut(&workloads[w], &first, &second);
            }
        }
    }
}

static void survives_every_pair_of_cuts_of_a_short_workload(void **state) {
    (void)state;
    for (size_t g = 0; g < array_count(rig_geometries); g++) {
        uint32_t count = prepare(&workloads[0], &rig_geometries[g]);
        uint32_t pairs = count * 6 * SIM_FLASH_DISTURB * SIM_FLASH_DISTURB;
        for (uint32_t i = 0; i < pairs; i++) {
            struct sim_flash_cut first = {1 + i % count, (uint8_t)(i / count / 6 % 6), i};
            struct sim_flash_cut second = {1 + i / count % 6, (uint8_t)(i / count / 36 % 6), ~i};
            run_cut(&workloads[0], &first, &second);
        }
    }
}

/* A cut inside a format leaves no store, or an empty one. */
static void survives_a_cut_while_formatting(void **state) {
    (void)state;
    for (uint8_t model = 0; model < SIM_FLASH_MODEL_COUNT; model++) {
        for (uint32_t i = 0; i < 200; i++) {
            store_rig_start(&rig, &rig_geometries[1], i);
            commit_objects(&rig, 0, 5);
            rig.flash.operations = 0;
            rig.flash.cut = (struct sim_flash_cut){1 + i % 3, model, i};
            const uint8_t id[STORE_ID_BYTES] = "another id";
            assert_true(store_format(&rig.store, id, 1) != STATUS_OK || !rig.flash.is_off);
            sim_flash_power_on(&rig.flash);
            enum status status = store_mount(&rig.store);
            assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND);
            bool is_old = status == STATUS_OK && memcmp(rig.store.id, id, sizeof id) != 0;
            assert_true(rig.store.head_seq <= (is_old ? rig.durable_seq : 0));
        }
    }
}

/* One long life: cut at a random place again and again, never formatted anew. */
static void live(const struct rig_geometry *geometry, uint32_t cuts, uint32_t seed) {
    store_rig_start(&rig, geometry, seed);
    for (uint32_t i = 0; i < cuts && rig.what == NULL; i++) {
        uint8_t models = geometry->program_bytes > 1 ? SIM_FLASH_MODEL_COUNT : SIM_FLASH_DISTURB;
        rig.flash.operations = 0;
        rig.flash.sync_polls = rig_roll(&rig, 3);
        struct sim_flash_cut cut = {1 + rig_roll(&rig, 1 + rig_roll(&rig, 80)),
                                    (uint8_t)rig_roll(&rig, models), rig_roll(&rig, 1u << 30)};
        rig.flash.cut = cut;
        for (uint32_t steps = 0; !rig.flash.is_off && steps < 400; steps++) {
            store_rig_step(&rig);
        }
        if (!rig.flash.is_off) {
            sim_flash_power_off(&rig.flash, cut.seed);
        }
        store_rig_restart(&rig);
        if (rig.what != NULL) {
            char text[SIM_FLASH_CUT_TEXT];
            sim_flash_cut_text(&cut, text);
            print_error("%s: cut %u of life %u on %s: %s\n", rig.what, i, seed, geometry->name,
                        text);
            fail();
        }
    }
    rig.cuts += cuts;
}

/* STORE_CUTS=1000000, for each kind of device, makes it as long as one likes. */
static uint32_t wanted_cuts(void) {
    const char *text = getenv("STORE_CUTS");
    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 4000;
}

static void survive_random_cuts(const struct rig_geometry *geometry) {
    uint32_t lives = wanted_cuts() / 1000;
    for (uint32_t seed = 1; seed <= lives; seed++) {
        live(geometry, 1000, seed);
    }
}

static void survives_random_cuts_in_byte_mode(void **state) {
    (void)state;
    survive_random_cuts(&rig_geometries[0]);
}

static void survives_random_cuts_in_page_mode(void **state) {
    (void)state;
    survive_random_cuts(&rig_geometries[1]);
}

static void survives_random_cuts_of_a_file(void **state) {
    (void)state;
    survive_random_cuts(&rig_geometries[2]);
}

int firmware_store_cut_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_cut_at_every_operation),
        cmocka_unit_test(survives_every_prefix_of_a_short_workload),
        cmocka_unit_test(survives_every_pair_of_cuts_of_a_short_workload),
        cmocka_unit_test(survives_a_cut_while_formatting),
        cmocka_unit_test(survives_random_cuts_in_byte_mode),
        cmocka_unit_test(survives_random_cuts_in_page_mode),
        cmocka_unit_test(survives_random_cuts_of_a_file),
    };
    return cmocka_run_group_tests_name("firmware/store_cut", tests, NULL, NULL);
}
