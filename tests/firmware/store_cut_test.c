/* Power lost at every operation of every workload, in every way that the simulated flash knows. A
 * failure prints an id; `make campaign ID=…` runs it again, and without an ID a million more. */
#include "tests/firmware/store_cuts.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SEEN = 1 << 16 };

static struct store_cuts cuts;
static struct rig rig;
static uint64_t seen[SEEN];

/* The oldest ones are forgotten: looked at again, which is only slower. */
static bool is_new(void *owner, uint64_t state) {
    (void)owner;
    bool was_there = seen[state % SEEN] == state;
    seen[state % SEEN] = state;
    return !was_there;
}

static void start(enum store_cuts_plan plan) {
    memset(&cuts, 0, offsetof(struct store_cuts, worlds));
    cuts.plan = plan;
    cuts.is_new = is_new;
    cuts.cuts_each = 4;
}

static void judge(void) {
    if (cuts.failure[0] != '\0') {
        fail_msg("%s", cuts.failure);
    }
}

static void run_everything(enum store_cuts_plan plan, uint32_t most_operations) {
    start(plan);
    for (uint32_t w = 0; w < store_workload_count; w++) {
        for (uint32_t device = 0; device < RIG_DEVICES; device++) {
            enum store_cuts_plan wanted = cuts.plan;
            cuts.plan = STORE_CUTS_ONE; /* none: only counts */
            store_cuts_run(&cuts, &store_workloads[w], &rig_tiny_geometries[device]);
            assert_in_range(cuts.operations, 1, STORE_WORKLOAD_OPERATIONS);
            cuts.plan = wanted;
            if (cuts.operations <= most_operations) {
                store_cuts_run(&cuts, &store_workloads[w], &rig_tiny_geometries[device]);
            }
            judge();
        }
    }
    print_message("%u distinct cuts\n", (unsigned)cuts.distinct);
    assert_true(cuts.distinct > 1000);
}

static void survives_a_cut_at_every_operation_of_each_workload(void **state) {
    (void)state;
    run_everything(STORE_CUTS_SAMPLED, STORE_WORKLOAD_OPERATIONS);
}

/* Else its cuts say nothing of the scrub. */
static void the_scrub_that_is_cut_writes_again_what_is_damaged(void **state) {
    (void)state;
    const struct store_workload *scrub = &store_workloads[store_workload_count - 1];
    assert_string_equal(scrub->name, "scrub");
    for (uint32_t device = 0; device < RIG_DEVICES; device++) {
        start(STORE_CUTS_ONE);
        store_cuts_run(&cuts, scrub, &rig_tiny_geometries[device]);
        judge();
        assert_int_equal(cuts.worlds[0].rig.store.scrub.repaired, 1);
    }
}

static void survives_every_pair_of_cuts_of_a_short_workload(void **state) {
    (void)state;
    run_everything(STORE_CUTS_PAIRS, STORE_WORKLOAD_FEW);
}

static void survives_every_prefix_of_a_short_workload(void **state) {
    (void)state;
    start(STORE_CUTS_EVERY_BYTE);
    for (uint32_t w = 0; w < 3; w++) {
        for (uint32_t device = 0; device < RIG_DEVICES - 1; device++) {
            store_cuts_run(&cuts, &store_workloads[w], &rig_tiny_geometries[device]);
            judge();
        }
    }
}

static void survives_random_lives(void **state) {
    (void)state;
    start(STORE_CUTS_RANDOM);
    for (uint32_t life = 1; life <= 6; life++) {
        store_cuts_live(&cuts, life, &rig_tiny_geometries[life % RIG_DEVICES], 10);
        judge();
    }
    assert_true(cuts.twice > 100);
}

static void runs_exactly_one_cut_again_by_its_id(void **state) {
    (void)state;
    static const char *const ids[] = {"cleaning/pages/7.3.2", "transitions/file/2.5.77/1.4.9",
                                      "life-2/bytes/150.2.30"};
    for (size_t i = 0; i < array_count(ids); i++) {
        uint64_t digests[2];
        for (size_t turn = 0; turn < 2; turn++) {
            start(STORE_CUTS_ONE);
            assert_true(store_cuts_replay(&cuts, ids[i]));
            judge();
            assert_int_equal(cuts.done, i == 1 ? 2 : 1);
            digests[turn] = store_rig_digest(&cuts.worlds[1].rig);
        }
        assert_true(digests[0] == digests[1]);
    }
    assert_false(store_cuts_replay(&cuts, "cleaning"));
    assert_false(store_cuts_replay(&cuts, "cleaning/paper/1.1.1"));
    assert_false(store_cuts_replay(&cuts, "sleeping/pages/1.1.1"));
    assert_false(store_cuts_replay(&cuts, "cleaning/pages/1.1"));
}

/* Each of these lost something once: a group of several blocks that could not be written again, the
 * last free block taken by copies that nothing said to be all, copies or the number of a moved
 * group that read as written at first, and a log's end that never read twice alike. */
static void survives_cuts_that_were_not_survived_once(void **state) {
    (void)state;
    static const char *const ids[] = {
        "life-120/bytes/489.8.14552858",   "life-28/pages/506.1.4780114/10.0.11666882",
        "restarted/file/4.8.8051/8.8.256", "life-82/pages/761.8.15183114",
        "life-90/bytes/425.8.1215789",     "life-79/pages/367.8.3817964",
        "life-900000/bytes/854.8.2395985",
    };
    for (size_t i = 0; i < array_count(ids); i++) {
        start(STORE_CUTS_ONE);
        assert_true(store_cuts_replay(&cuts, ids[i]));
        judge();
    }
}

/* A cut inside a format leaves no store, or an empty one. */
static void survives_a_cut_while_formatting(void **state) {
    (void)state;
    for (uint8_t model = 0; model < SIM_FLASH_MODEL_COUNT; model++) {
        for (uint32_t i = 0; i < 200; i++) {
            store_rig_start(&rig, &rig_geometries[1], i);
            for (uint32_t object = 0; object < 5; object++) {
                rig_append(&rig, object);
            }
            store_rig_settle(&rig);
            rig.flash.operations = 0;
            rig.flash.cut = (struct sim_flash_cut){1 + i % 3, model, i};
            const uint8_t id[STORE_ID_BYTES] = "another id";
            assert_true(store_format(&rig.store, id, 1) != STATUS_OK || !rig.flash.is_off);
            sim_flash_power_on(&rig.flash);
            enum status status = store_mount(&rig.store);
            bool may_be_torn = model == SIM_FLASH_METASTABLE && status == STATUS_CORRUPT;
            assert_true(status == STATUS_OK || status == STATUS_NOT_FOUND || may_be_torn);
            bool is_old = status == STATUS_OK && memcmp(rig.store.id, id, sizeof id) != 0;
            assert_true(rig.store.head_seq <= (is_old ? rig.durable_seq : 0));
        }
    }
}

int firmware_store_cut_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_a_cut_at_every_operation_of_each_workload),
        cmocka_unit_test(the_scrub_that_is_cut_writes_again_what_is_damaged),
        cmocka_unit_test(survives_every_pair_of_cuts_of_a_short_workload),
        cmocka_unit_test(survives_every_prefix_of_a_short_workload),
        cmocka_unit_test(survives_random_lives),
        cmocka_unit_test(runs_exactly_one_cut_again_by_its_id),
        cmocka_unit_test(survives_cuts_that_were_not_survived_once),
        cmocka_unit_test(survives_a_cut_while_formatting),
    };
    return cmocka_run_group_tests_name("firmware/store_cut", tests, NULL, NULL);
}
