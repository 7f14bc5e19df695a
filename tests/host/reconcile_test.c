/* What a hub has lost of the fleet's work, and how it goes on: dispatch, judge and hub together, on
 * images of the flash of any age (SPEC.md section 8). */
#include "host/upstreamd/fleet/reconcile.h"
#include "host/upstreamd/fleet/order.h"
#include "host/upstreamd/fleet/parts.h"
#include "tests/host/fork_world.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { GRANT_MS = 60000, OVER_MS = GRANT_MS + 600 + LEDGER_MARGIN_MS };

static struct world world;
static struct dispatch dispatch;
static struct registry registry;
static uint8_t flash[RIG_FLASH_BYTES];
static struct world_upstream database;

static void ignore(void *owner, struct bytes hub_id) {
    (void)owner;
    (void)hub_id;
}

static void open_dispatch(bool is_restored) {
    dispatch = (struct dispatch){
        .db = &world.db, .fleet = &world.fleet, .registry = &registry, .wake = ignore};
    world_set_clock(&world);
    assert_int_equal(dispatch_open(&dispatch, is_restored), STATUS_OK);
}

static int set_up(void **state) {
    (void)state;
    world_start(&world);
    world.dispatch = &dispatch;
    registry.count = RIG_CAPABILITIES;
    for (unsigned c = 0; c < RIG_CAPABILITIES; c++) {
        registry.capabilities[c] = world.rig.hub.capabilities[c];
        registry.capabilities[c].grant_ms = GRANT_MS;
    }
    open_dispatch(false);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_stop(&world);
    return 0;
}

/* ---- a fleet of one hub ---- */

static struct orders orders(void) {
    return (struct orders){&world.db, &dispatch.upstream, &registry, world.rig.clock.wall_ms};
}

static uint64_t submit_until(enum rig_capability capability, uint64_t deadline_ms) {
    static const uint8_t digest[RECORD_DIGEST_BYTES] = {1};
    const char *name = registry.capabilities[capability].name;
    const struct orders all = orders();
    const struct record_request request = {
        .process_type = {(const uint8_t *)name, strlen(name)},
        .system = bytes_of("test"),
        .target = bytes_of("{}"),
        .inputs = bytes_of("{}"),
        .body_digest = {digest, sizeof digest},
        .routing = RECORD_QUEUE,
        .priority = 5,
        .deadline_ms = deadline_ms,
    };
    const struct order order = {.request = &request, .capability = capability, .item_count = 1};
    struct order_accepted accepted;
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(order_accept(&all, &order, &accepted), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    dispatch_note(&dispatch);
    return accepted.number;
}

static uint64_t submit(enum rig_capability capability) {
    return submit_until(capability, 0);
}

typedef enum status demand(const struct orders *orders, uint64_t number, struct order_state *state);

static enum status ask(demand *order, uint64_t number) {
    const struct orders all = orders();
    struct order_state state;
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    enum status status = order(&all, number, &state);
    if (status == STATUS_OK) {
        assert_int_equal(db_commit(&world.db), STATUS_OK);
    }
    db_rollback(&world.db);
    dispatch_note(&dispatch);
    return status;
}

static struct db_item item_of(uint64_t number) {
    struct db_item item = {0};
    assert_int_equal(db_item_next(&world.db, number, 0, &item), STATUS_OK);
    return item;
}

/* Some turns of both ends. */
static void turn(unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        rig_advance(&world.rig, DISPATCH_LOOK_MS);
        world_set_clock(&world);
        (void)dispatch_step(&dispatch);
        world_exchange(&world, WORLD_NO_LOSS);
    }
}

/* Both ends, for so long and until nothing more happens. */
static void pass(uint64_t ms) {
    turn((unsigned)(ms / DISPATCH_LOOK_MS) + 8);
}

static uint32_t part_of(uint64_t number) {
    return hub_part_find(&world.rig.hub, number, 1);
}

static const struct record_item *image_of(uint64_t number) {
    uint32_t process = part_of(number);
    assert_true(process != HUB_NONE);
    return &rig_item(&world.rig, process, 1)->image;
}

/* What upstream's readers see of it. */
static uint8_t state_upstream(uint64_t number) {
    return item_of(number).state;
}

static void restore_flash(void) {
    world_set_flash(&world, flash);
}

/* A store that is another one, where the hub had its own. */
static void erase_flash(void) {
    static const uint8_t other[STORE_ID_BYTES] = {8};
    memset(world.rig.flash.cells, 0xff, sizeof world.rig.flash.cells);
    assert_int_equal(store_format(&world.rig.hub.store, other, 1), STATUS_OK);
    world.is_restored = true;
    world.token_count = world.told_tokens;
    world_restart(&world, false);
}

/* An attempt of it runs at the hub, and upstream knows. */
static uint64_t run_one(enum rig_capability capability) {
    uint64_t number = submit(capability);
    turn(4);
    (void)rig_begin(&world.rig);
    turn(4);
    assert_int_equal(state_upstream(number), RECORD_RUNNING);
    return number;
}

/* ---- lost ---- */

/* Not before what ran it has lost its grant for sure: a clone of the host may run it still. */
static void assert_goes_on_later(uint64_t number, uint32_t assignment) {
    uint64_t start_ms = world.fleet.now.mono_ms;
    while (part_of(number) == HUB_NONE) {
        turn(1);
        assert_true(world.fleet.now.mono_ms - start_ms < OVER_MS + 20000);
        assert_true(item_of(number).is_lost ||
                    world.fleet.now.mono_ms - start_ms >= OVER_MS - DISPATCH_LOOK_MS);
    }
    assert_true(world.fleet.now.mono_ms - start_ms >= OVER_MS - DISPATCH_LOOK_MS);
    assert_int_equal(item_of(number).assignment, assignment);
    assert_int_equal(image_of(number)->assignment, assignment);
    assert_int_equal(dispatch.counters.forgotten, 1);
    turn(2);
}

static void assert_is_lost(uint64_t number, uint32_t assignment) {
    for (unsigned i = 0; i < 20 && !item_of(number).is_lost; i++) {
        turn(1);
    }
    assert_true(item_of(number).is_lost);
    assert_int_equal(item_of(number).assignment, assignment);
    assert_goes_on_later(number, assignment + 1);
}

static void a_part_that_a_restored_flash_has_lost_counts_and_goes_on(void **state) {
    (void)state;
    turn(2);
    world_take_flash(&world, flash);
    uint64_t number = run_one(RIG_WORK);
    restore_flash();
    assert_is_lost(number, 1);
    assert_int_equal(item_of(number).attempts_counted, 1);
    const struct hub_start start = rig_begin(&world.rig);
    assert_int_equal(start.attempt, 2); /* no number is used twice */
    assert_int_equal(rig_end(&world.rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    turn(4);
    assert_int_equal(state_upstream(number), RECORD_COMPLETED);
}

static void a_part_that_an_erased_hub_has_lost_goes_on_too(void **state) {
    (void)state;
    turn(2);
    uint64_t number = run_one(RIG_WORK);
    erase_flash();
    assert_is_lost(number, 1);
    assert_int_equal(item_of(number).attempts_counted, 1);
}

static void an_offer_that_nobody_has_answered_is_lost_too(void **state) {
    (void)state;
    turn(2);
    world_take_flash(&world, flash);
    uint64_t number = submit(RIG_WORK);
    rig_advance(&world.rig, DISPATCH_LOOK_MS);
    world_set_clock(&world);
    (void)dispatch_step(&dispatch);
    world_exchange(&world, WORLD_REPLY_LOST);
    assert_int_equal(item_of(number).phase, DB_PHASE_ASSIGNED);
    (void)rig_submit(&world.rig, &(struct rig_order){0}); /* what the old life goes on with */
    turn(2);
    restore_flash();
    assert_is_lost(number, 1);
}

static void what_may_have_run_once_waits_for_a_person(void **state) {
    (void)state;
    turn(2);
    world_take_flash(&world, flash);
    uint64_t number = run_one(RIG_ONCE);
    restore_flash();
    pass(OVER_MS + 12 * DISPATCH_LOOK_MS);
    struct db_item item = item_of(number);
    assert_int_equal(item.phase, DB_PHASE_HELD);
    assert_int_equal(item.state, RECORD_SUSPENDED);
    assert_int_equal(item.suspension, RECORD_SUSPEND_UNCERTAIN);
    pass(OVER_MS);
    assert_true(part_of(number) == HUB_NONE);
    assert_int_equal(ask(order_resume, number), STATUS_OK);
    turn(8);
    assert_int_equal(image_of(number)->assignment, 2);
}

/* ---- not lost ---- */

static void a_part_that_is_still_there_is_granted_anew(void **state) {
    (void)state;
    turn(2);
    uint64_t number = submit(RIG_WORK);
    turn(4);
    world_take_flash(&world, flash); /* offered, and no attempt yet */
    (void)rig_begin(&world.rig);
    turn(4);
    restore_flash();
    turn(16);
    assert_int_equal(image_of(number)->assignment, 1);
    assert_false(item_of(number).is_lost);
    assert_int_equal(image_of(number)->grant_from.boot, world.rig.hub.image.boot);
    const struct hub_start start = rig_begin(&world.rig);
    assert_int_equal(rig_end(&world.rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    turn(4);
    assert_int_equal(state_upstream(number), RECORD_COMPLETED);
}

/* Found by the farm: a clone that asked for an epoch and was taken away kept the hub from all work.
 */
static void an_epoch_that_nobody_takes_keeps_no_work_away(void **state) {
    (void)state;
    struct db_hub hub;
    struct db_store store;
    turn(2);
    world_take_flash(&world, flash);
    (void)rig_submit(&world.rig, &(struct rig_order){0});
    turn(2);
    world_set_flash(&world, flash);
    turn(2);
    assert_int_equal(db_hub_get(&world.db, "hub", &hub), STATUS_OK);
    assert_int_equal(db_store_get(&world.db, hub.store, &store), STATUS_OK);
    assert_int_equal(hub.settled_epoch, 0);
    store.named = store.epoch + 7;
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(db_store_put(&world.db, &store), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    turn(8);
    uint64_t number = submit(RIG_WORK);
    turn(8);
    assert_true(part_of(number) != HUB_NONE);
}

static void a_part_that_the_fleet_does_not_want_any_more_is_withdrawn(void **state) {
    (void)state;
    turn(2);
    uint64_t number = submit(RIG_WORK);
    turn(4);
    world_take_flash(&world, flash);
    const struct db_item item = item_of(number);
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(assignment_tell(&world.db, 1, SYNC_WITHDRAW, &item), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    turn(12);
    assert_int_equal(image_of(number)->assignment, 2); /* offered again, to the same hub */
    (void)rig_begin(&world.rig);
    turn(4);
    restore_flash();
    assert_int_equal(image_of(number)->assignment, 1);
    while (part_of(number) != HUB_NONE) {
        turn(1);
    }
    assert_is_lost(number, 2);
}

static void what_a_restored_flash_has_forgotten_of_orders_is_told_again(void **state) {
    (void)state;
    turn(2);
    uint64_t number = submit(RIG_WORK);
    uint32_t own = rig_submit(&world.rig, &(struct rig_order){0});
    uint64_t own_number = rig_process(&world.rig, own)->number;
    turn(4);
    world_take_flash(&world, flash);
    const struct orders all = orders();
    const struct sync_control control = {.owner = SYNC_OWN_HUB, .process = own_number};
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(order_forward(&all, "hub", SYNC_SUSPEND, &control), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    assert_int_equal(ask(order_suspend, number), STATUS_OK);
    turn(6);
    assert_true((rig_process(&world.rig, own)->image.flags & RECORD_HOLD) != 0);
    assert_true((rig_process(&world.rig, part_of(number))->image.flags & RECORD_HOLD) != 0);
    restore_flash();
    own = hub_process_find(&world.rig.hub, own_number);
    assert_int_equal(rig_process(&world.rig, own)->image.flags & RECORD_HOLD, 0);
    turn(20);
    own = hub_process_find(&world.rig.hub, own_number);
    assert_true((rig_process(&world.rig, own)->image.flags & RECORD_HOLD) != 0);
    assert_true((rig_process(&world.rig, part_of(number))->image.flags & RECORD_HOLD) != 0);
}

static void answered_numbers_are_no_hole_to_a_restored_flash(void **state) {
    (void)state;
    world_take_flash(&world, flash); /* before it ever heard of upstream */
    turn(2);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t number = submit(RIG_WORK);
        turn(6);
        world_run(&world, RECORD_SUCCESS);
        turn(4);
        assert_int_equal(state_upstream(number), RECORD_COMPLETED);
    }
    restore_flash();
    turn(16);
    assert_int_equal(world.rig.hub.image.command, 3);
    uint64_t number = submit(RIG_WORK);
    turn(6);
    world_run(&world, RECORD_SUCCESS);
    turn(4);
    assert_int_equal(state_upstream(number), RECORD_COMPLETED);
}

/* A start soon after a fork lists once more, for an upstream to which the hub is settled. Verdicts
 * and commands in one reply could be more than a serial line takes. */
static void a_hub_that_lists_again_is_told_nothing_else(void **state) {
    (void)state;
    turn(2);
    world_take_flash(&world, flash);
    (void)run_one(RIG_WORK);
    restore_flash();
    turn(16);
    assert_true(hub_fork_is_settled(&world.rig.hub));
    uint32_t pages = world.pages;
    world_restart(&world, false);
    uint64_t number = submit(RIG_WORK);
    turn(16);
    assert_true(world.pages > pages);
    assert_int_equal(world.mixed, 0);
    assert_int_equal(image_of(number)->assignment, 1);
}

/* ---- a restored database ---- */

static void a_restored_upstream_grants_when_every_hub_has_told_what_it_has(void **state) {
    (void)state;
    turn(2);
    world_take_upstream(&world, &database);
    (void)submit(RIG_WORK);
    turn(4);
    const struct hub_start start = rig_begin(&world.rig);
    turn(4);
    world_set_upstream(&world, &database);
    open_dispatch(true);
    assert_int_equal(rig_end(&world.rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    uint64_t number = submit(RIG_WORK);
    assert_true(dispatch.holding_since_ms != 0);
    turn(1);
    assert_true(part_of(number) == HUB_NONE);
    turn(20); /* far less than a grant */
    assert_int_equal(dispatch.holding_since_ms, 0);
    assert_int_equal(image_of(number)->assignment, 1);
}

static void a_hub_that_stays_away_is_waited_for(void **state) {
    (void)state;
    struct db_hub away;
    turn(2);
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(db_hub_lock(&world.db, "away", 1, &away), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    open_dispatch(true);
    uint64_t number = submit(RIG_WORK);
    turn(40);
    assert_true(dispatch.holding_since_ms != 0);
    assert_true(part_of(number) == HUB_NONE);
    pass(OVER_MS);
    assert_int_equal(dispatch.holding_since_ms, 0);
    assert_int_equal(image_of(number)->assignment, 1);
}

static void what_an_older_epoch_has_offered_in_vain_is_lost(void **state) {
    (void)state;
    turn(2);
    uint64_t number = submit(RIG_WORK);
    rig_advance(&world.rig, DISPATCH_LOOK_MS);
    world_set_clock(&world);
    (void)dispatch_step(&dispatch);
    world_exchange(&world, WORLD_REPLY_LOST);
    assert_int_equal(item_of(number).phase, DB_PHASE_ASSIGNED);
    open_dispatch(true); /* its commands are numbered anew */
    assert_is_lost(number, 1);
}

/* The process was made in another epoch: a command of that one would never be given out. */
static void who_loses_an_item_is_told_in_the_present_epoch(void **state) {
    (void)state;
    turn(2);
    uint64_t number = submit(RIG_WORK);
    turn(4);
    const struct hub_start start = rig_begin(&world.rig);
    struct db_item item = item_of(number);
    memcpy(item.hub, "other", sizeof "other");
    item.assignment = 2;
    item.is_started = false;
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(db_item_put(&world.db, &item), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    open_dispatch(true);
    assert_int_equal(rig_end(&world.rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    turn(4);
    assert_int_equal(state_upstream(number), RECORD_COMPLETED);
    static uint8_t bytes[DB_COMMAND_MAX];
    struct db_command command = {.epoch = dispatch.upstream.epoch, .hub = "other"};
    assert_int_equal(db_command_next(&world.db, &command, bytes), STATUS_OK);
    assert_int_equal(command.kind, SYNC_WITHDRAW);
}

/* ---- offers made again ---- */

static void refuse_command(uint64_t number) {
    struct process_clock clock = {0};
    struct parts parts = {.db = &world.db,
                          .store = 1,
                          .hub = "hub",
                          .clock = &clock,
                          .now_ms = world.rig.clock.wall_ms};
    const struct record_header header = {.path = {number}};
    const struct record_answer answer = {.upstream_epoch = dispatch.upstream.epoch,
                                         .code = RECORD_ANSWER_CAPACITY_EXHAUSTED};
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(parts_answer(&parts, &header, &answer), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
}

/* A boot has it offered again, under the same assignment, before the refusal is known. */
static void the_answer_to_the_newest_offer_counts(void **state) {
    (void)state;
    turn(2);
    uint64_t number = submit(RIG_WORK);
    rig_advance(&world.rig, DISPATCH_LOOK_MS);
    world_set_clock(&world);
    (void)dispatch_step(&dispatch);
    world_exchange(&world, WORLD_REPLY_LOST);
    const struct db_item item = item_of(number);
    assert_int_equal(item.phase, DB_PHASE_ASSIGNED);
    assert_int_equal(db_begin(&world.db), STATUS_OK);
    assert_int_equal(dispatch_offer(&dispatch, &item, SIZE_MAX), STATUS_OK);
    assert_int_equal(db_commit(&world.db), STATUS_OK);
    refuse_command(1);
    assert_int_equal(item_of(number).phase, DB_PHASE_ASSIGNED);
    assert_int_equal(item_of(number).assignment, item.assignment);
    refuse_command(2);
    assert_int_equal(item_of(number).phase, DB_PHASE_WAITING);
    assert_string_equal(item_of(number).hub, "");
}

/* ---- retry ---- */

static void what_was_never_planned_is_planned_by_a_retry(void **state) {
    (void)state;
    struct db_item item = {0};
    turn(2);
    uint64_t number = submit_until(RIG_WORK, world.rig.clock.wall_ms);
    assert_int_equal(db_item_next(&world.db, number, 0, &item), STATUS_NOT_FOUND);
    assert_int_equal(ask(order_retry, number), STATUS_OK);
    item = item_of(number);
    assert_int_equal(item.generation, 2);
    turn(4);
    world_run(&world, RECORD_SUCCESS);
    turn(4);
    assert_int_equal(state_upstream(number), RECORD_COMPLETED);
    assert_int_equal(ask(order_retry, number), STATUS_ILLEGAL);
}

int host_reconcile_tests(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_part_that_a_restored_flash_has_lost_counts_and_goes_on),
        TEST(a_part_that_an_erased_hub_has_lost_goes_on_too),
        TEST(an_offer_that_nobody_has_answered_is_lost_too),
        TEST(what_may_have_run_once_waits_for_a_person),
        TEST(a_part_that_is_still_there_is_granted_anew),
        TEST(an_epoch_that_nobody_takes_keeps_no_work_away),
        TEST(a_part_that_the_fleet_does_not_want_any_more_is_withdrawn),
        TEST(what_a_restored_flash_has_forgotten_of_orders_is_told_again),
        TEST(answered_numbers_are_no_hole_to_a_restored_flash),
        TEST(a_hub_that_lists_again_is_told_nothing_else),
        TEST(a_restored_upstream_grants_when_every_hub_has_told_what_it_has),
        TEST(a_hub_that_stays_away_is_waited_for),
        TEST(what_an_older_epoch_has_offered_in_vain_is_lost),
        TEST(who_loses_an_item_is_told_in_the_present_epoch),
        TEST(the_answer_to_the_newest_offer_counts),
        TEST(what_was_never_planned_is_planned_by_a_retry),
    };
#undef TEST
    return cmocka_run_group_tests_name("host/reconcile", tests, NULL, NULL);
}
