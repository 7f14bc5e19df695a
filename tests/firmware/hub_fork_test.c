/* The hub's way out of a fork: its table against the text, and each step of it with work under way.
 * Against upstream's real judge: tests/host/fork_test.c. */
#include "firmware/hub_fork.h"
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_fork_rig.h"
#include "tests/firmware/state_table.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the table ---- */

static const char *state_name(unsigned state) {
    return hub_fork_state_name((enum hub_fork_state)state);
}

static const char *event_name(unsigned event) {
    return hub_fork_event_name((enum hub_fork_event)event);
}

static enum status apply(uint8_t *state, unsigned event) {
    enum hub_fork_state at = (enum hub_fork_state) * state;
    enum status status = hub_fork_apply(&at, (enum hub_fork_event)event);
    *state = (uint8_t)at;
    return status;
}

static void every_pair_goes_where_the_text_says(void **state) {
    (void)state;
    static const struct state_table table = {"tests/firmware/fork_table.txt",
                                             HUB_FORK_STATE_COUNT,
                                             HUB_FORK_EVENT_COUNT,
                                             state_name,
                                             event_name,
                                             apply};
    state_table_check(&table);
}

/* ---- with work under way ---- */

static struct rig rig;

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    rig.hub.has_upstream = true;
    return 0;
}

static void an_epoch_must_be_above_the_hubs_own(void **state) {
    (void)state;
    assert_int_equal(hub_fork_take(&rig.hub, rig.hub.store.epoch), STATUS_ILLEGAL);
    assert_int_equal(hub_fork_take(&rig.hub, HUB_EPOCH_MAX + 1), STATUS_ILLEGAL);
    assert_true(hub_fork_is_settled(&rig.hub));
    fork_take(&rig, 3);
    assert_true(hub_fork_is_taking(&rig.hub));
    assert_int_equal(hub_fork_take(&rig.hub, 3), STATUS_OK); /* the answer came twice */
    assert_int_equal(hub_fork_take(&rig.hub, 2), STATUS_ILLEGAL);
    struct sync_inventory page;
    assert_false(fork_page(&rig, FORK_PAGE_BYTES, &page));
    fork_settle_until(&rig, HUB_FORK_LISTING);
    assert_int_equal(rig.hub.store.epoch, 3);
    fork_answer_all(&rig, SYNC_VERDICT_OK);
}

static void leases_end_first_and_none_is_given_before_it_is_over(void **state) {
    (void)state;
    const struct rig_order one = {0};
    const struct rig_order outside = {.capability = RIG_OUTSIDE};
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    uint32_t running = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    uint32_t leased = rig_submit(&rig, &outside);
    assert_int_equal(rig_claim(&rig, "worker", "", 1).count, 1);
    fork_take(&rig, 2);
    rig_settle(&rig);
    assert_int_equal(rig.hub.fork_state, HUB_FORK_CLOSING); /* the attempt has not stopped */
    assert_int_equal(rig_item(&rig, leased, 1)->image.state, RECORD_READY);
    uint32_t phone;
    assert_true(hub_next_stop(&rig.hub, &phone));
    assert_int_equal(rig_claim(&rig, "worker", "", 1).count, 0);
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    rig_assert_no_start(&rig);
    assert_int_equal(rig_item(&rig, running, 1)->image.attempts_counted, 0);
    fork_answer_all(&rig, SYNC_VERDICT_MISSING);
    rig_settle(&rig);
    struct hub_start again = rig_begin(&rig);
    assert_true(again.token > start.token);
    assert_int_equal(again.token >> 40, 2);
}

static void an_epoch_waits_for_the_first_commit_and_for_room(void **state) {
    (void)state;
    static const uint8_t store_id[STORE_ID_BYTES] = {8};
    assert_int_equal(store_format(&rig.hub.store, store_id, 1), STATUS_OK);
    rig_restart(&rig, true);
    rig.hub.has_upstream = true;
    assert_int_equal(hub_fork_take(&rig.hub, 2), STATUS_AGAIN); /* there is no log to give up */
    rig_settle(&rig);
    fork_fill(&rig, HUB_GAP_BYTES);
    assert_int_equal(hub_fork_take(&rig.hub, 2), STATUS_AGAIN);
    rig_commit(&rig);
    assert_int_equal(hub_fork_take(&rig.hub, 2), STATUS_OK);
    assert_int_equal(hub_fork_take(&rig.hub, 3), STATUS_AGAIN); /* the gap is not durable */
    fork_settle_until(&rig, HUB_FORK_LISTING);
    assert_true(hub_fork_take(&rig.hub, 3) == STATUS_OK);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    fork_answer_all(&rig, SYNC_VERDICT_OK);
}

static void without_an_upstream_work_goes_on(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    rig_restart(&rig, true);
    assert_false(rig.hub.has_upstream);
    assert_true(hub_fork_is_settled(&rig.hub));
    (void)rig_phone(&rig, "A");
    (void)fork_finish_one(&rig, RECORD_SUCCESS);
}

/* A poll while the flash is still busy. */
static void poll_early(void) {
    rig.flash.holds_sync = true;
    rig_commit(&rig);
    assert_int_equal(hub_poll(&rig.hub), STATUS_AGAIN);
    rig.flash.holds_sync = false;
}

static void a_step_is_over_when_it_is_durable_and_not_before(void **state) {
    (void)state;
    fork_take(&rig, 2);
    poll_early();
    assert_int_equal(rig.hub.fork_state, HUB_FORK_TAKING);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    struct sync_inventory page;
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    fork_judge(&rig, page.from, NULL, 0);
    poll_early();
    assert_int_equal(rig.hub.fork_state, HUB_FORK_ENDING);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
}

static void a_full_group_holds_up_stops_and_the_last_word(void **state) {
    (void)state;
    const struct rig_order one = {0};
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    fork_take(&rig, 2);
    fork_fill(&rig, HUB_TRANSITION_BYTES);
    hub_step(&rig.hub);
    assert_false(hub_next_stop(&rig.hub, &phone));
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_NONE);
    rig_settle(&rig); /* what fills the group */
    rig_settle(&rig);
    assert_true(hub_next_stop(&rig.hub, &phone));
    assert_int_equal(rig_end(&rig, &start, RECORD_STOPPED, RECORD_CATEGORY_NONE), STATUS_OK);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    struct sync_inventory page;
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    const struct sync_verdict ok = {.process = 1, .kind = SYNC_VERDICT_OK};
    fork_fill(&rig, HUB_GAP_BYTES);
    fork_judge(&rig, page.from, &ok, 1);
    assert_int_equal(rig.hub.fork_state, HUB_FORK_LISTING);
    rig_settle(&rig);
    fork_answer_all(&rig, SYNC_VERDICT_OK); /* an empty page says the same again */
}

/* One more turn, with a group that takes nothing of what is to be carried. */
static void step_in_a_full_group(enum hub_fork_state before) {
    fork_settle_until(&rig, before);
    fork_fill(&rig, HUB_GAP_BYTES);
    hub_step(&rig.hub);
    assert_int_equal(rig.hub.fork_state, HUB_FORK_CARRYING);
    fork_settle_until(&rig, HUB_FORK_LISTING);
}

static void a_full_group_holds_up_what_is_carried(void **state) {
    (void)state;
    const struct record_answer answer = {.upstream_epoch = 1, .code = RECORD_ANSWER_DONE};
    hub_log_answer(&rig.hub, 0, 1, &answer);
    rig_commit(&rig);
    fork_take(&rig, 2);
    rig_commit(&rig);
    step_in_a_full_group(HUB_FORK_CLOSING);
    assert_true(store_slot(&rig.hub.store, (struct store_key){RECORD_ANSWER, 0})->seq >
                rig.hub.image.life.seq);
    fork_answer_all(&rig, SYNC_VERDICT_OK);
    (void)rig_phone(&rig, "A");
    fork_take(&rig, 3);
    rig_commit(&rig);
    step_in_a_full_group(HUB_FORK_CLOSING);
    assert_true(store_slot(&rig.hub.store, (struct store_key){RECORD_PHONE, 0})->seq >
                rig.hub.image.life.seq);
}

static void a_start_behind_a_fork_that_upstream_has_is_settled(void **state) {
    (void)state;
    const uint64_t *written = &rig.hub.store.acked_written;
    uint32_t phone = rig_phone(&rig, "A");
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    fork_answer_all(&rig, SYNC_VERDICT_OK);
    store_acknowledge(&rig.hub.store, hub_durable_seq(&rig.hub), rig.hub.store.head_chain);
    for (unsigned turn = 0; *written < rig.hub.image.life.seq; turn++) {
        assert_true(turn < 1000);
        rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
        rig_phone_event(&rig, phone, PHONE_ON_ATTACHED);
        rig_settle(&rig);
    }
    rig_restart(&rig, true);
    rig.hub.has_upstream = true;
    assert_true(hub_fork_is_settled(&rig.hub));
}

static void a_start_in_the_middle_begins_again(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)fork_finish_one(&rig, RECORD_SUCCESS);
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    rig_restart(&rig, true);
    rig.hub.has_upstream = true;
    assert_int_equal(rig.hub.store.epoch, 2);
    assert_false(hub_fork_is_settled(&rig.hub));
    fork_settle_until(&rig, HUB_FORK_LISTING);
    fork_answer_all(&rig, SYNC_VERDICT_OK);
    fork_take(&rig, 5); /* and another fork behind it */
    fork_settle_until(&rig, HUB_FORK_LISTING);
    fork_answer_all(&rig, SYNC_VERDICT_MISSING);
}

int firmware_hub_fork_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_goes_where_the_text_says),
        cmocka_unit_test_setup(an_epoch_must_be_above_the_hubs_own, set_up),
        cmocka_unit_test_setup(leases_end_first_and_none_is_given_before_it_is_over, set_up),
        cmocka_unit_test_setup(an_epoch_waits_for_the_first_commit_and_for_room, set_up),
        cmocka_unit_test_setup(without_an_upstream_work_goes_on, set_up),
        cmocka_unit_test_setup(a_step_is_over_when_it_is_durable_and_not_before, set_up),
        cmocka_unit_test_setup(a_full_group_holds_up_stops_and_the_last_word, set_up),
        cmocka_unit_test_setup(a_full_group_holds_up_what_is_carried, set_up),
        cmocka_unit_test_setup(a_start_behind_a_fork_that_upstream_has_is_settled, set_up),
        cmocka_unit_test_setup(a_start_in_the_middle_begins_again, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_fork", tests, NULL, NULL);
}
