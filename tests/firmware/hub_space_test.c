/* Room in the store: what is admitted, what comes out of the reserve, what is left out. */
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include "firmware/hub_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

extern const struct board board_sim;

static struct rig rig;
static const struct rig_order one = {0};
static const struct rig_order patient = {.capability = RIG_LONG};
static const struct rig_order outside = {.capability = RIG_OUTSIDE};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    rig.hub.has_upstream = true;
    (void)rig_phone(&rig, "A");
    return 0;
}

/* So many blocks have failed that the store holds little: `blocks` beside the cleaner's. */
static void shrink(uint32_t blocks) {
    rig.hub.store.stats.bad_blocks = board_sim.block_count - STORE_SPARE_BLOCKS - blocks;
}

static uint64_t tenths(uint32_t count) {
    return store_capacity(&rig.hub.store) / 10 * count;
}

static void assert_within(uint32_t count) {
    assert_true(rig.hub.store.live_bytes + rig.hub.reserved_bytes <= tenths(count));
}

static enum status end_with(const struct hub_start *start, enum record_outcome outcome,
                            uint32_t output, uint32_t result) {
    static uint8_t text[8192];
    memset(text, 'x', sizeof text);
    const struct record_attempt end = {
        .outcome = (uint8_t)outcome,
        .category = outcome == RECORD_SUCCESS ? RECORD_CATEGORY_NONE : RECORD_CATEGORY_EXIT_CODE,
        .code = {text, RECORD_ID_MAX},
        .action = {text, RECORD_ID_MAX},
        .message = {text, RECORD_TEXT_MAX},
        .output = {text, output},
        .result = {text, result},
    };
    enum status status;
    for (uint32_t turn = 0;
         (status = hub_attempt_end(&rig.hub, start->phone, start->token, &end)) == STATUS_AGAIN &&
         turn < 8;
         turn++) {
        rig_commit(&rig);
    }
    rig_settle(&rig);
    return status;
}

/* Accepts until there is no room. */
static uint32_t fill(const struct rig_order *order, uint32_t processes[16]) {
    struct hub_accepted accepted;
    uint32_t count = 0;
    enum status status;
    while ((status = rig_accept(&rig, order, &accepted)) == STATUS_OK) {
        processes[count] = accepted.process;
        count += 1;
        assert_within(6);
    }
    assert_int_equal(status, STATUS_FULL);
    rig_settle(&rig);
    return count;
}

/* Each item's last attempt fails with the largest error that there is. */
static void accepted_work_ends_with_its_largest_errors_when_nothing_more_is_admitted(void **state) {
    (void)state;
    uint32_t processes[16];
    shrink(6);
    uint32_t count = fill(&patient, processes);
    assert_true(count > 0 && count < 8);
    for (uint32_t i = 0; i < 20 * count; i++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(end_with(&start, RECORD_FAILURE, 0, 0), STATUS_OK);
        assert_within(6);
        rig_advance(&rig, 20000);
    }
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(rig_process(&rig, processes[i])->status, PROCESS_DEAD_LETTER);
    }
    assert_int_equal(rig.hub.counters.texts_dropped, 0);
}

static void control_works_when_nothing_more_is_admitted(void **state) {
    (void)state;
    uint32_t processes[16];
    shrink(8);
    uint32_t count = fill(&patient, processes);
    assert_true(count >= 3);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    for (uint32_t turn = 0; turn < 30; turn++) {
        assert_int_equal(rig_ask(&rig, hub_suspend, processes[1]), STATUS_OK);
        assert_int_equal(rig_ask(&rig, hub_resume, processes[1]), STATUS_OK);
        assert_within(6);
    }
    rig_cancel(&rig, processes[2]);
    assert_int_equal(end_with(&start, RECORD_SUCCESS, 0, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, processes[2])->status, PROCESS_CANCELLED);
    assert_within(6);
}

static void external_workers_finish_when_nothing_more_is_admitted(void **state) {
    (void)state;
    uint32_t processes[16];
    shrink(4);
    uint32_t count = fill(&outside, processes);
    assert_true(count > 0 && count < 16);
    for (uint32_t i = 0; i < count; i++) {
        struct hub_claimed claimed = rig_claim(&rig, "a worker with a name", "claim", 1);
        assert_int_equal(claimed.count, 1);
        struct hub_worker worker = rig_worker(&rig, "a worker with a name", claimed.items[0]);
        assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
        assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, HUB_RETRYABLE_NO),
                         STATUS_OK);
        assert_within(7);
    }
}

static void outputs_are_left_out_when_they_do_not_fit_beside_the_reserve(void **state) {
    (void)state;
    uint32_t processes[16];
    shrink(6);
    uint32_t count = fill(&patient, processes);
    for (uint32_t i = 0; i < 20 * count; i++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(end_with(&start, RECORD_FAILURE, 1500, 1500), STATUS_OK);
        /* The room for the largest error stays reserved until its item has ended, used or not. */
        assert_true(rig.hub.store.live_bytes + rig.hub.reserved_bytes <=
                    tenths(7) + count * HUB_ERROR_BYTES);
        rig_advance(&rig, 20000);
    }
    assert_within(7);
    assert_true(rig.hub.counters.texts_dropped > 0);
    for (uint32_t i = 0; i < count; i++) {
        struct record_attempt attempt;
        rig_read_attempt(&rig, processes[i], 1, &attempt);
        assert_int_equal(attempt.message.size, RECORD_TEXT_MAX); /* the error itself stays */
    }
}

static void a_phone_that_was_never_seen_needs_room_and_one_that_was_needs_none(void **state) {
    (void)state;
    uint32_t phone;
    shrink(0);
    assert_int_equal(
        hub_phone_identify(&rig.hub, bytes_of("B"), bytes_of("slot"), bytes_of("model"), &phone),
        STATUS_FULL);
    assert_int_equal(rig.hub.counters.phones_dropped, 1);
    shrink(4);
    rig_phone_event(&rig, 0, PHONE_ON_DETACHED);
    assert_int_equal(rig_phone(&rig, "A"), 0);
    assert_int_equal(rig_phone(&rig, "B"), 1);
}

static void a_retry_needs_room_as_a_request_does(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    shrink(0);
    assert_int_equal(hub_retry(&rig.hub, process), STATUS_FULL);
    shrink(8);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
}

static void spare_blocks_fall_with_each_bad_one_and_raise_the_alarm(void **state) {
    (void)state;
    uint32_t spare = hub_spare_blocks(&rig.hub);
    assert_int_equal(spare, board_sim.block_count - STORE_SPARE_BLOCKS - 1);
    assert_false(hub_is_worn(&rig.hub));
    for (uint32_t bad = 1; bad <= spare; bad++) {
        rig.hub.store.stats.bad_blocks = bad;
        assert_int_equal(hub_spare_blocks(&rig.hub), spare - bad);
        assert_int_equal(hub_is_worn(&rig.hub), spare - bad < 2);
    }
    rig.hub.store.stats.bad_blocks = board_sim.block_count;
    assert_int_equal(hub_spare_blocks(&rig.hub), 0);
}

int firmware_hub_space_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(
            accepted_work_ends_with_its_largest_errors_when_nothing_more_is_admitted, set_up),
        cmocka_unit_test_setup(control_works_when_nothing_more_is_admitted, set_up),
        cmocka_unit_test_setup(external_workers_finish_when_nothing_more_is_admitted, set_up),
        cmocka_unit_test_setup(outputs_are_left_out_when_they_do_not_fit_beside_the_reserve,
                               set_up),
        cmocka_unit_test_setup(a_phone_that_was_never_seen_needs_room_and_one_that_was_needs_none,
                               set_up),
        cmocka_unit_test_setup(a_retry_needs_room_as_a_request_does, set_up),
        cmocka_unit_test_setup(spare_blocks_fall_with_each_bad_one_and_raise_the_alarm, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_space", tests, NULL, NULL);
}
