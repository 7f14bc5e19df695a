/* Forks, and the way out of them: hub and upstream together (SPEC.md section 8). */
#include "hal/sim/sim_dice.h"
#include "tests/host/fork_world.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES = 6, SEEDS = 50, STEPS = 60, MESSAGES_MAX = 60 };

static struct world world;
static uint8_t flashes[IMAGES][RIG_FLASH_BYTES];
static struct world_upstream upstreams[IMAGES];
static const struct rig_order one = {0};
static const struct rig_order two = {.items = 2};

static int set_up(void **state) {
    (void)state;
    world_start(&world);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_stop(&world);
    return 0;
}

/* A quarantine ends as an operator would end it. */
static void release(void) {
    if (world.alarms > 0) {
        assert_int_equal(db_begin(&world.db), STATUS_OK);
        assert_int_equal(fleet_release(&world.fleet, "hub"), STATUS_OK);
        assert_int_equal(db_commit(&world.db), STATUS_OK);
        world.alarms = 0;
    }
}

/* ---- a few lives ---- */

/* A run with an image of each end after every step. */
static void live(unsigned steps) {
    for (unsigned i = 0; i < steps; i++) {
        world_take_flash(&world, flashes[i]);
        world_take_upstream(&world, &upstreams[i]);
        (void)rig_submit(&world.rig, i % 2 == 0 ? &one : &two);
        world_run(&world, i == 1 ? RECORD_FAILURE : RECORD_SUCCESS);
        rig_advance(&world.rig, 2000);
        world_exchange(&world, WORLD_NO_LOSS);
        (void)rig_submit(&world.rig, &one);
        world_exchange(&world, WORLD_NO_LOSS);
    }
}

static void without_a_fork_nothing_changes(void **state) {
    (void)state;
    live(3);
    world_converge(&world, 4);
    assert_int_equal(world.forks, 0);
    assert_int_equal(world.rig.hub.store.epoch, 1);
}

static void a_flash_of_any_age_finds_its_way_back(void **state) {
    (void)state;
    live(IMAGES);
    for (unsigned i = IMAGES; i > 0; i--) {
        world_converge(&world, 20);
        uint32_t forks = world.forks;
        world_set_flash(&world, flashes[i - 1]);
        world_exchange(&world, WORLD_NO_LOSS);
        world_exchange(&world, WORLD_NO_LOSS);
        release();
        world_exchange(&world, WORLD_NO_LOSS);
        assert_true(world.forks > forks);
        world_converge(&world, 20);
        assert_true(world.rig.hub.store.epoch >= 2);
    }
}

static void a_database_of_any_age_finds_its_way_back(void **state) {
    (void)state;
    live(IMAGES);
    for (unsigned i = IMAGES; i > 0; i--) {
        world_set_upstream(&world, &upstreams[i - 1]);
        world_converge(&world, 20);
    }
    assert_true(world.forks >= IMAGES);
    assert_true(world.epoch > 1); /* of upstream: the hub has proved that it is an older one */
}

static void both_of_any_age_find_their_way_back(void **state) {
    (void)state;
    live(IMAGES);
    for (unsigned i = 0; i < IMAGES * IMAGES; i++) {
        world_set_flash(&world, flashes[i / IMAGES]);
        world_set_upstream(&world, &upstreams[i % IMAGES]);
        world_converge(&world, 24);
    }
}

static void numbers_of_a_new_life_are_new(void **state) {
    (void)state;
    live(4);
    world_set_flash(&world, flashes[2]);
    world_converge(&world, 20);
    uint32_t next = rig_submit(&world.rig, &one);
    assert_true(rig_process(&world.rig, next)->number >> RECORD_NUMBER_BITS == 2);
    world_converge(&world, 20);
}

static void what_ended_upstream_ends_at_the_hub(void **state) {
    (void)state;
    world_exchange(&world, WORLD_NO_LOSS);
    uint32_t process = rig_submit(&world.rig, &two);
    uint64_t number = rig_process(&world.rig, process)->number;
    world_take_flash(&world, flashes[0]);
    world_run(&world, RECORD_SUCCESS);
    world_run(&world, RECORD_SUCCESS);
    assert_int_equal(rig_process(&world.rig, process)->status, 9);
    uint64_t revision = rig_process(&world.rig, process)->revision;
    world_exchange(&world, WORLD_NO_LOSS);
    world_set_flash(&world, flashes[0]);
    process = hub_process_find(&world.rig.hub, number);
    assert_true(rig_process(&world.rig, process)->status != 9);
    world_converge(&world, 20);
    assert_int_equal(rig_process(&world.rig, process)->status, 9);
    assert_true(rig_process(&world.rig, process)->revision > revision);
    assert_true(world.rig.hub.counters.ended_upstream == 1);
    assert_true(world.fleet.counters.conflicts == 1);
}

/* What the hub has as its process `number` is upstream's process of that number. */
static const struct db_fork_row *upstream_row(uint64_t number) {
    static struct db_fork_row row;
    struct db_store store = {0};
    memcpy(store.hub_id, "hub", 4);
    memcpy(store.store_id, world.rig.hub.store.id, SYNC_STORE_ID_BYTES);
    assert_int_equal(db_store_find(&world.db, &store), STATUS_OK);
    return db_fork_row(&world.db, store.id, number, &row) == STATUS_OK ? &row : NULL;
}

static void work_taken_before_first_contact_is_not_ended_by_another_ones_end(void **state) {
    (void)state;
    world_exchange(&world, WORLD_NO_LOSS);
    world_take_flash(&world, flashes[0]);
    uint32_t process = rig_submit(&world.rig, &one);
    uint64_t number = rig_process(&world.rig, process)->number;
    world_run(&world, RECORD_SUCCESS);
    world_exchange(&world, WORLD_NO_LOSS);
    assert_int_equal(upstream_row(number)->status, 9);
    uint64_t revision = upstream_row(number)->revision;
    world_set_flash(&world, flashes[0]);
    process = rig_submit(&world.rig, &two);
    assert_int_equal(rig_process(&world.rig, process)->number, number);
    world_run(&world, RECORD_SUCCESS);
    world_run(&world, RECORD_SUCCESS);
    world_converge(&world, 20);
    assert_int_equal(world.rig.hub.counters.ended_upstream, 0);
    assert_int_equal(rig_process(&world.rig, process)->status, 9); /* both of its items ran */
    assert_int_equal(rig_process(&world.rig, process)->image.item_count, 2);
    const struct db_fork_row *aside = upstream_row(
        UINT64_C(2) << RECORD_NUMBER_BITS | UINT64_C(1) << (RECORD_NUMBER_BITS - 1) | number);
    assert_non_null(aside);
    assert_int_equal(aside->status, 9);
    assert_true(aside->revision == revision);
    assert_true(aside->is_sealed && !aside->is_lost);
}

static void a_hub_without_upstream_for_long_tells_all_it_has(void **state) {
    (void)state;
    world.rig.hub.has_upstream = false;
    for (unsigned i = 0; i < 60; i++) {
        (void)rig_submit(&world.rig, &one);
        world_run(&world, RECORD_SUCCESS);
    }
    world.rig.hub.has_upstream = true;
    world_converge(&world, 20);
    assert_int_equal(world.forks, 1);
    assert_int_equal(world.rig.hub.store.epoch, 2);
    assert_int_equal(world.epoch, 1); /* it was never told anything: no proof */
}

/* Found by the farm: what was accepted since was lost, and nobody found it again. */
static void a_page_that_comes_late_takes_nothing(void **state) {
    (void)state;
    live(3);
    world_set_flash(&world, flashes[1]);
    while (world.rig.hub.fork_state != HUB_FORK_LISTING) {
        world_exchange(&world, WORLD_NO_LOSS);
        world_run(&world, RECORD_STOPPED);
    }
    world_exchange(&world, WORLD_REPLY_LOST);
    world_keep_push();
    (void)rig_submit(&world.rig, &one);
    while (!hub_fork_is_settled(&world.rig.hub) || hub_sync_has_more(&world.sync)) {
        world_exchange(&world, WORLD_NO_LOSS);
    }
    world_repeat_push(&world);
    world_converge(&world, 20);
}

/* The hub is named another epoch before its inventory is done; of what changed in the life between,
 * only the change is upstream. */
static void fork_while_listing(void) {
    live(3);
    uint32_t process = rig_submit(&world.rig, &two);
    world_exchange(&world, WORLD_NO_LOSS);
    world_set_upstream(&world, &upstreams[1]);
    while (world.rig.hub.fork_state != HUB_FORK_LISTING) {
        world_exchange(&world, WORLD_NO_LOSS);
        world_run(&world, RECORD_STOPPED);
    }
    assert_int_equal(rig_ask(&world.rig, hub_suspend, process), STATUS_OK);
    world_exchange(&world, WORLD_REPLY_LOST);
    world.sync.asks_epoch = true;
}

/* Found by the farm. */
static void a_fork_before_the_inventory_is_done_leaves_nothing_out(void **state) {
    (void)state;
    fork_while_listing();
    world_converge(&world, 20);
}

/* Found by the farm: a page that had been judged was believed when it came again, though the hub
 * had not heard what it was to send. */
static void a_page_that_is_judged_again_leaves_nothing_out(void **state) {
    (void)state;
    fork_while_listing();
    uint32_t epoch = world.rig.hub.store.epoch;
    while (world.rig.hub.store.epoch == epoch || world.rig.hub.fork_state != HUB_FORK_LISTING) {
        world_exchange(&world, WORLD_NO_LOSS);
        world_run(&world, RECORD_STOPPED);
    }
    world_exchange(&world, WORLD_REPLY_LOST);
    world_converge(&world, 20);
}

/* Found by the farm: the doubt was over with the inventory of a flash that does not have it. */
static void what_one_inventory_does_not_list_is_in_doubt_in_the_next(void **state) {
    (void)state;
    fork_while_listing();
    world_take_flash(&world, flashes[5]);
    world_set_flash(&world, flashes[1]);
    world_converge(&world, 20);
    world_set_flash(&world, flashes[5]);
    world_converge(&world, 20);
}

static void no_lease_is_given_before_the_inventory_is_done(void **state) {
    (void)state;
    live(3);
    for (unsigned i = 0; i < 8; i++) {
        world_run(&world, RECORD_SUCCESS);
        rig_advance(&world.rig, 9000);
    }
    uint32_t process = rig_submit(&world.rig, &one);
    assert_int_equal(rig_process(&world.rig, process)->status, 4);
    const struct hub_start start = rig_begin(&world.rig);
    world_set_upstream(&world, &upstreams[1]);
    world_exchange(&world, WORLD_NO_LOSS);
    assert_int_equal(world.rig.hub.fork_state, HUB_FORK_CLOSING);
    assert_int_equal(rig_item(&world.rig, process, 1)->image.stop, RECORD_STOP_SHUTDOWN);
    assert_int_equal(rig_end(&world.rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_item(&world.rig, process, 1)->image.state, RECORD_READY);
    assert_int_equal(rig_item(&world.rig, process, 1)->image.attempts_counted, 0);
    while (!hub_fork_is_settled(&world.rig.hub)) {
        rig_assert_no_start(&world.rig);
        world_exchange(&world, WORLD_NO_LOSS);
    }
    rig_settle(&world.rig);
    assert_int_equal(rig_item(&world.rig, process, 1)->image.state, RECORD_RUNNING);
    assert_true(rig_item(&world.rig, process, 1)->image.token >> 40 == 2);
}

/* The program dies at every message and every commit of the way out. */
static void a_cut_anywhere_on_the_way_out_only_delays_it(void **state) {
    (void)state;
    live(4);
    world_take_flash(&world, flashes[5]);
    for (unsigned at = 0; at < 24; at++) {
        world_set_flash(&world, flashes[5]);
        world.is_blind = true;
        world_set_upstream(&world, &upstreams[1]);
        world_run(&world, RECORD_STOPPED);
        for (unsigned i = 0; i < at / 3; i++) {
            world_exchange(&world, WORLD_NO_LOSS);
        }
        world_exchange(&world, (enum world_loss)(at % 3));
        world_restart(&world, at % 2 == 0);
        world_converge(&world, 24);
    }
}

static void two_hosts_with_one_certificate_are_quarantined(void **state) {
    (void)state;
    live(2);
    for (unsigned i = 0; i < 12 && world.alarms == 0; i++) {
        unsigned mine = i % 2;
        if (i > 1) {
            world_set_flash(&world, flashes[mine]);
        }
        (void)rig_submit(&world.rig, &one);
        for (unsigned j = 0; j < 4; j++) {
            world_exchange(&world, WORLD_NO_LOSS);
        }
        world_take_flash(&world, flashes[mine]);
    }
    assert_true(world.alarms > 0);
    assert_true(world.fleet.counters.forks <= 8);
    struct db_hub hub;
    assert_int_equal(db_hub_get(&world.db, "hub", &hub), STATUS_OK);
    assert_true(hub.quarantined_ms > 0);
    /* An operator has taken one of the two away. */
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(fleet_release(&world.fleet, "nobody"), STATUS_NOT_FOUND);
    assert_int_equal(fleet_release(&world.fleet, "hub"), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    world_converge(&world, 20);
}

static void a_second_store_of_a_hub_begins_in_a_later_epoch(void **state) {
    (void)state;
    live(2);
    static const uint8_t other[STORE_ID_BYTES] = {8};
    memset(world.rig.flash.cells, 0xff, sizeof world.rig.flash.cells);
    assert_int_equal(store_format(&world.rig.hub.store, other, 1), STATUS_OK);
    world.is_restored = true; /* its tokens are new from first contact on */
    world_restart(&world, false);
    (void)rig_submit(&world.rig, &one);
    world_converge(&world, 20);
    assert_int_equal(world.rig.hub.store.epoch, 2);
    assert_int_equal(hub_first_epoch(&world.rig.hub), 1);
}

/* ---- chance ---- */

static void step(struct sim_dice *dice, uint8_t *taken_flash, uint8_t *taken_db) {
    struct hub *hub = &world.rig.hub;
    struct hub_accepted accepted;
    uint32_t which = sim_dice_roll(dice, IMAGES);
    uint32_t process = sim_dice_roll(dice, hub->board->processes);
    bool is_process =
        process < hub->process_pool.touched && pool_is_used(&hub->process_pool, process);
    switch (sim_dice_roll(dice, 22)) {
    case 0:
    case 1:
    case 2:
        (void)!rig_accept(&world.rig, sim_dice_roll(dice, 2) == 0 ? &one : &two, &accepted);
        rig_settle(&world.rig);
        break;
    case 3:
    case 4:
    case 5:
        world_run(&world, sim_dice_roll(dice, 3) == 0 ? RECORD_FAILURE : RECORD_SUCCESS);
        break;
    case 6:
        rig_advance(&world.rig, sim_dice_roll(dice, 15000));
        break;
    case 7:
        if (is_process) {
            (void)!rig_ask(&world.rig, hub_cancel, process);
        }
        break;
    case 8:
        if (is_process) {
            (void)!rig_ask(&world.rig, hub_retry, process);
        }
        break;
    case 9:
        if (is_process) {
            world_command(&world, hub->processes[process].number);
        }
        break;
    case 10:
        world_restart(&world, sim_dice_roll(dice, 2) == 0);
        break;
    case 11:
        world_take_flash(&world, flashes[which]);
        taken_flash[which] = 1;
        break;
    case 12:
        world_take_upstream(&world, &upstreams[which]);
        taken_db[which] = 1;
        break;
    case 13:
        if (taken_flash[which] && sim_dice_roll(dice, 2) == 0) {
            world_set_flash(&world, flashes[which]);
        }
        break;
    case 14:
        if (taken_db[which] && sim_dice_roll(dice, 2) == 0) {
            world_set_upstream(&world, &upstreams[which]);
        }
        break;
    case 15:
        world_exchange(&world, WORLD_PUSH_LOST);
        break;
    case 16:
    case 17:
        world_exchange(&world, WORLD_REPLY_LOST);
        break;
    default:
        world_exchange(&world, WORLD_NO_LOSS);
        break;
    }
}

static void run_seed(unsigned seed) {
    struct sim_dice dice;
    uint8_t taken_flash[IMAGES] = {0};
    uint8_t taken_db[IMAGES] = {0};
    sim_dice_init(&dice, seed);
    world_stop(&world);
    world_start(&world);
    for (unsigned i = 0; i < STEPS; i++) {
        step(&dice, taken_flash, taken_db);
        release();
    }
    for (unsigned i = 0; i < 4; i++) {
        world_exchange(&world, WORLD_NO_LOSS);
        release();
    }
    world_converge(&world, MESSAGES_MAX);
}

/* FORK_SEED=n runs one of them. */
static void run_seeds(unsigned first) {
    const char *only = getenv("FORK_SEED");
    unsigned forks = 0;
    for (unsigned seed = first; only == NULL && seed < first + SEEDS; seed++) {
        print_message("seed %u\n", seed);
        run_seed(seed);
        forks += world.forks;
    }
    if (only != NULL) {
        run_seed((unsigned)strtoul(only, NULL, 10));
    }
    assert_true(only != NULL || forks > 2);
}

/* In parts, so that none of them takes long. */
#define PARTS(PART) PART(0) PART(1) PART(2) PART(3) PART(4) PART(5) PART(6) PART(7)
#define PART(n)                                                                                    \
    static void whatever_happens_both_ends_agree_in_the_end_##n(void **state) {                    \
        (void)state;                                                                               \
        run_seeds(1 + (n)*SEEDS);                                                                  \
    }
PARTS(PART)
#undef PART

int host_fork_tests(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_a_fork_nothing_changes),
        TEST(a_flash_of_any_age_finds_its_way_back),
        TEST(a_database_of_any_age_finds_its_way_back),
        TEST(both_of_any_age_find_their_way_back),
        TEST(numbers_of_a_new_life_are_new),
        TEST(what_ended_upstream_ends_at_the_hub),
        TEST(work_taken_before_first_contact_is_not_ended_by_another_ones_end),
        TEST(a_hub_without_upstream_for_long_tells_all_it_has),
        TEST(a_page_that_comes_late_takes_nothing),
        TEST(a_fork_before_the_inventory_is_done_leaves_nothing_out),
        TEST(a_page_that_is_judged_again_leaves_nothing_out),
        TEST(what_one_inventory_does_not_list_is_in_doubt_in_the_next),
        TEST(no_lease_is_given_before_the_inventory_is_done),
        TEST(a_cut_anywhere_on_the_way_out_only_delays_it),
        TEST(two_hosts_with_one_certificate_are_quarantined),
        TEST(a_second_store_of_a_hub_begins_in_a_later_epoch),
#define PART(n) TEST(whatever_happens_both_ends_agree_in_the_end_##n),
        PARTS(PART)
#undef PART
    };
#undef TEST
    return cmocka_run_group_tests_name("host/fork", tests, NULL, NULL);
}
