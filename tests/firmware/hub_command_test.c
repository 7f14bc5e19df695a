/* Upstream's commands, grants and offers where the hub is full, late or on its way out: the rest is
 * in hub_offer_test.c. */
#include "firmware/hub_internal.h"
#include "protocol/sync_command.h"
#include "protocol/sync_message.h"
#include "tests/firmware/hub_fork_rig.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { PROCESS = 500, TTL_MS = 120000 };

static struct rig rig;
static uint8_t commands[8192], grants[256];
static struct cbor_writer writer;

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    rig.hub.has_upstream = true;
    cbor_writer_init(&writer, commands, sizeof commands);
    return 0;
}

static void take_of(uint32_t upstream_epoch) {
    const struct sync_reply reply = {.upstream_epoch = upstream_epoch,
                                     .commands = {commands, writer.size}};
    hub_commands_take(&rig.hub, &reply, rig.clock.mono_ms);
    cbor_writer_init(&writer, commands, sizeof commands);
}

static void take(void) {
    take_of(1);
    rig_settle(&rig);
}

static void grant(uint32_t ttl_ms) {
    struct cbor_writer list;
    const struct sync_grant one = {
        .process = PROCESS, .item = 1, .assignment = 1, .ttl_ms = ttl_ms};
    cbor_writer_init(&list, grants, sizeof grants);
    sync_grant_write(&list, &one);
    const struct sync_reply reply = {.grant_count = 1, .grants = {grants, list.size}};
    hub_grants_take(&rig.hub, &reply, rig.clock.mono_ms);
}

static struct record_request a_request(enum rig_capability capability) {
    const char *name = rig.hub.capabilities[capability].name;
    return (struct record_request){.process_type = {(const uint8_t *)name, strlen(name)},
                                   .system = bytes_of("fleet"),
                                   .target = bytes_of("{}"),
                                   .inputs = bytes_of("{}"),
                                   .routing = RECORD_QUEUE};
}

static void offer(uint32_t assignment, uint32_t ttl_ms, const struct record_request *request) {
    static uint8_t bytes[8192];
    struct cbor_writer image;
    cbor_writer_init(&image, bytes, sizeof bytes);
    record_put_request(&image, request);
    assert_false(image.overflow);
    const struct sync_offer made = {.process = PROCESS,
                                    .generation = 1,
                                    .item = 1,
                                    .assignment = assignment,
                                    .ttl_ms = ttl_ms,
                                    .request = {bytes, image.size}};
    sync_offer_write(&writer, rig.hub.image.command + 1, &made);
}

static void offer_one(enum rig_capability capability, uint32_t ttl_ms) {
    const struct record_request request = a_request(capability);
    offer(1, ttl_ms, &request);
    take();
}

static void control(enum sync_command_kind kind, struct sync_control what) {
    sync_control_write(&writer, rig.hub.image.command + 1, kind, &what);
}

static const struct sync_control of_part = {
    .owner = SYNC_OWN_UPSTREAM, .process = PROCESS, .item = 1, .assignment = 1};

static uint64_t answers(enum record_answer_code code) {
    return rig.hub.counters.answers[code];
}

static struct hub_item *part_item(void) {
    uint32_t process = hub_part_find(&rig.hub, PROCESS, 1);
    assert_true(process != HUB_NONE);
    return rig_item(&rig, process, 1);
}

/* ---- commands ---- */

static void commands_need_an_epoch_room_and_a_kind(void **state) {
    (void)state;
    const struct record_request request = a_request(RIG_WORK);
    offer(1, TTL_MS, &request);
    take_of(0); /* an upstream that has no numbers gives no commands */
    assert_int_equal(rig.hub.image.command, 0);
    fork_fill(&rig, HUB_GAP_BYTES);
    offer(1, TTL_MS, &request);
    take_of(1);
    assert_int_equal(rig.hub.image.command, 0);
    rig_commit(&rig);
    cbor_put_array(&writer, 2);
    cbor_put_uint(&writer, 1);
    cbor_put_uint(&writer, 0); /* no kind of command */
    take();
    assert_int_equal(rig.hub.image.command, 1);
    assert_true(answers(RECORD_ANSWER_UNKNOWN_KIND) == 1);
}

static void an_answer_stays_until_it_is_acknowledged(void **state) {
    (void)state;
    const struct store_key key = {RECORD_ANSWER, 0};
    uint64_t before = hub_durable_seq(&rig.hub);
    uint8_t chain[RECORD_CHAIN_BYTES];
    memcpy(chain, rig.hub.store.head_chain, sizeof chain);
    offer_one(RIG_WORK, TTL_MS);
    store_acknowledge(&rig.hub.store, before, chain);
    hub_answers_release(&rig.hub);
    assert_true(store_slot(&rig.hub.store, key)->seq > before);
    store_acknowledge(&rig.hub.store, hub_durable_seq(&rig.hub), rig.hub.store.head_chain);
    hub_answers_release(&rig.hub);
    assert_true(store_slot(&rig.hub.store, key)->seq == 0);
}

static void upstream_settles_an_item_of_the_hubs_own(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_ONCE});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_UNCERTAIN);
    control(SYNC_SETTLE, (struct sync_control){.owner = SYNC_OWN_HUB,
                                               .process = rig_process(&rig, process)->number,
                                               .is_done = true});
    take();
    assert_true(answers(RECORD_ANSWER_DONE) == 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_COMPLETED);
}

/* ---- grants ---- */

static void a_grant_shorter_than_the_time_to_stop_is_none(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    rig_restart(&rig, false); /* the clock stands near 0 */
    rig.hub.has_upstream = true;
    (void)rig_phone(&rig, "A");
    offer_one(RIG_WORK, RIG_GRACE_MS / 2);
    uint32_t item = rig_process(&rig, hub_part_find(&rig.hub, PROCESS, 1))->first_item;
    assert_true(hub_grant_until_ms(&rig.hub, item) == 0);
    assert_int_equal(part_item()->image.state, RECORD_READY);
    assert_int_equal(hub_item_wait(&rig.hub, item), HUB_WAIT_GRANT);
}

static void a_renewal_moves_the_end_of_a_lease_and_not_that_of_a_stop(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    offer_one(RIG_OUTSIDE, 2 * RIG_GRACE_MS);
    struct hub_claimed claimed = rig_claim(&rig, "w", "", 1);
    assert_int_equal(claimed.count, 1);
    uint32_t timer = hub_item_timer(&rig.hub, claimed.items[0]);
    uint64_t due = timer_due(&rig.hub.timers, timer);
    grant(TTL_MS);
    assert_true(timer_due(&rig.hub.timers, timer) > due);
    struct hub_worker worker = rig_worker(&rig, "w", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    rig_commit(&rig);
    hub_item_ask_stop(&rig.hub, claimed.items[0], RECORD_STOP_CANCEL);
    due = timer_due(&rig.hub.timers, timer);
    grant(2 * TTL_MS);
    assert_true(timer_due(&rig.hub.timers, timer) == due);
}

static void the_grant_of_what_was_cut_off_is_renewed_without_its_lease(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    offer_one(RIG_WORK, TTL_MS);
    (void)rig_begin(&rig);
    rig_restart(&rig, true);
    rig.hub.has_upstream = true;
    assert_true(part_item()->needs_recovery);
    grant(2 * TTL_MS);
    const struct record_request request = a_request(RIG_WORK);
    offer(1, 3 * TTL_MS, &request);
    take_of(1);
    assert_true(part_item()->needs_recovery);
    assert_int_equal(part_item()->image.grant_ms, 3 * TTL_MS);
    rig_settle(&rig);
    assert_int_equal(part_item()->image.state, RECORD_RETRY_WAIT);
}

static void a_worker_whose_grant_ended_is_told_so(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    offer_one(RIG_OUTSIDE, 2 * RIG_GRACE_MS);
    struct hub_claimed claimed = rig_claim(&rig, "w", "", 1);
    struct hub_worker worker = rig_worker(&rig, "w", claimed.items[0]);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    rig_advance(&rig, RIG_GRACE_MS);
    assert_int_equal(part_item()->image.stop, RECORD_STOP_EXPIRE);
    rig_advance(&rig, RIG_GRACE_MS);
    struct record_attempt attempt;
    rig_read_attempt(&rig, hub_part_find(&rig.hub, PROCESS, 1), 1, &attempt);
    assert_int_equal(attempt.code.size, sizeof "grant_expired" - 1);
    assert_memory_equal(attempt.code.data, "grant_expired", attempt.code.size);
}

static void a_claim_of_one_process_passes_an_ended_grant(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    offer_one(RIG_OUTSIDE, 2 * RIG_GRACE_MS);
    rig.hub.is_stopping = false;
    assert_true(part_item()->is_queued);
    rig.clock.mono_ms += 2 * RIG_GRACE_MS;
    hub_set_clock(&rig.hub, &rig.clock);
    uint64_t number = rig_process(&rig, hub_part_find(&rig.hub, PROCESS, 1))->number;
    assert_int_equal(rig_claim_of(&rig, "w", "", 1, number).count, 0);
}

/* ---- offers ---- */

static void an_offer_that_is_too_large_or_says_its_digest(void **state) {
    (void)state;
    static uint8_t inputs[6000];
    static const uint8_t digest[RECORD_DIGEST_BYTES] = {9};
    memset(inputs, '1', sizeof inputs);
    struct record_request request = a_request(RIG_WORK);
    request.inputs = (struct bytes){inputs, sizeof inputs};
    offer(1, TTL_MS, &request);
    take();
    assert_true(answers(RECORD_ANSWER_CAPACITY_EXHAUSTED) == 1);
    request = a_request(RIG_WORK);
    request.body_digest = (struct bytes){digest, sizeof digest};
    offer(1, TTL_MS, &request);
    take();
    uint32_t process = hub_part_find(&rig.hub, PROCESS, 1);
    assert_memory_equal(rig_process(&rig, process)->body_digest, digest, sizeof digest);
}

static void an_offer_again_while_the_part_stops_or_leaves(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    offer_one(RIG_WORK, TTL_MS);
    struct hub_start start = rig_begin(&rig);
    const struct record_request request = a_request(RIG_WORK);
    control(SYNC_SUSPEND, of_part);
    take();
    assert_int_equal(part_item()->image.stop, RECORD_STOP_SUSPEND);
    uint64_t due = timer_due(&rig.hub.timers, hub_item_timer(&rig.hub, start.item));
    offer(1, 2 * TTL_MS, &request);
    take();
    assert_true(timer_due(&rig.hub.timers, hub_item_timer(&rig.hub, start.item)) == due);
    control(SYNC_WITHDRAW, of_part);
    take();
    assert_int_equal(part_item()->image.stop, RECORD_STOP_WITHDRAW);
    offer(1, TTL_MS, &request);
    take();
    assert_true(answers(RECORD_ANSWER_STALE_ASSIGNMENT) == 1);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(hub_part_find(&rig.hub, PROCESS, 1), HUB_NONE);
}

static void a_newer_assignment_waits_for_room(void **state) {
    (void)state;
    offer_one(RIG_WORK, TTL_MS);
    const struct record_request request = a_request(RIG_WORK);
    offer(2, TTL_MS, &request);
    fork_fill(&rig, HUB_TRANSITION_BYTES);
    take_of(1);
    assert_int_equal(part_item()->image.assignment, 1);
    rig_commit(&rig);
    offer(2, TTL_MS, &request);
    take();
    assert_int_equal(part_item()->image.assignment, 2);
}

/* ---- giving up ---- */

static void a_gap_waits_for_room_for_its_turn_and_for_history(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    store_acknowledge(&rig.hub.store, hub_durable_seq(&rig.hub), rig.hub.store.head_chain);
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    rig_commit(&rig);
    fork_fill(&rig, HUB_GAP_BYTES);
    hub_gap_damage(&rig.hub);
    assert_true(rig.hub.gap_seq == 0);
    rig_commit(&rig);
    fork_fill(&rig, HUB_GAP_BYTES + 40); /* the phone's record does not go on in this group */
    hub_gap_damage(&rig.hub);
    assert_true(rig.hub.gap_seq == 0);
    rig_commit(&rig);
    hub_gap_damage(&rig.hub);
    uint64_t told = rig.hub.gap_seq;
    assert_true(told != 0);
    hub_gap_damage(&rig.hub);
    assert_true(rig.hub.gap_seq == told);
    rig_commit(&rig);
    store_acknowledge(&rig.hub.store, hub_durable_seq(&rig.hub), rig.hub.store.head_chain);
    hub_gap_damage(&rig.hub);
    assert_true(rig.hub.gap_seq == 0); /* upstream has all there is */
}

/* A block says that upstream has all of it; then it names a new epoch. */
static void the_gap_of_a_fork_is_told_though_all_was_acknowledged(void **state) {
    (void)state;
    rig.hub.store.acked_written = rig.hub.store.committed_seq;
    fork_take(&rig, 2);
    assert_true(rig.hub.image.gap.last != 0);
}

int firmware_hub_command_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(commands_need_an_epoch_room_and_a_kind, set_up),
        cmocka_unit_test_setup(an_answer_stays_until_it_is_acknowledged, set_up),
        cmocka_unit_test_setup(upstream_settles_an_item_of_the_hubs_own, set_up),
        cmocka_unit_test_setup(a_grant_shorter_than_the_time_to_stop_is_none, set_up),
        cmocka_unit_test_setup(a_renewal_moves_the_end_of_a_lease_and_not_that_of_a_stop, set_up),
        cmocka_unit_test_setup(the_grant_of_what_was_cut_off_is_renewed_without_its_lease, set_up),
        cmocka_unit_test_setup(a_worker_whose_grant_ended_is_told_so, set_up),
        cmocka_unit_test_setup(a_claim_of_one_process_passes_an_ended_grant, set_up),
        cmocka_unit_test_setup(an_offer_that_is_too_large_or_says_its_digest, set_up),
        cmocka_unit_test_setup(an_offer_again_while_the_part_stops_or_leaves, set_up),
        cmocka_unit_test_setup(a_newer_assignment_waits_for_room, set_up),
        cmocka_unit_test_setup(a_gap_waits_for_room_for_its_turn_and_for_history, set_up),
        cmocka_unit_test_setup(the_gap_of_a_fork_is_told_though_all_was_acknowledged, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_command", tests, NULL, NULL);
}
