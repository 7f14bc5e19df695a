/* External workers: claims, signs of life, ends, and what a restart leaves of their leases. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static const struct rig_order outside = {.capability = RIG_OUTSIDE};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static uint8_t state_of(uint32_t process) {
    return rig_item(&rig, process, 1)->image.state;
}

/* A process whose item this worker has claimed on phone A. */
static uint32_t claim_one(struct hub_worker *worker) {
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &outside);
    struct hub_claimed claimed = rig_claim(&rig, "w1", "c1", 1);
    assert_int_equal(claimed.count, 1);
    *worker = rig_worker(&rig, "w1", claimed.items[0]);
    return process;
}

static uint32_t start_one(struct hub_worker *worker) {
    uint32_t process = claim_one(worker);
    assert_int_equal(rig_worker_start(&rig, worker), STATUS_OK);
    return process;
}

static enum status beat(const struct hub_worker *worker, struct hub_heartbeat *answer) {
    return hub_worker_heartbeat(&rig.hub, worker, UINT32_MAX, answer);
}

/* ---- claims ---- */

static void what_workers_run_waits_for_a_claim(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &outside);
    rig_advance(&rig, 100000);
    rig_assert_no_start(&rig);
    assert_string_equal(hub_wait_name(hub_process_wait(&rig.hub, process)), "waiting_for_worker");
    assert_int_equal(rig_claim(&rig, "w1", "c1", 5).count, 1);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CLAIMED);
    assert_int_equal(hub_process_wait(&rig.hub, process), HUB_WAIT_NONE);
}

static void a_claim_takes_as_many_as_there_are_phones_and_no_more_than_asked(void **state) {
    (void)state;
    for (unsigned p = 0; p < 3; p++) {
        const char id[2] = {(char)('A' + p), '\0'};
        (void)rig_phone(&rig, id);
    }
    (void)rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE, .items = 5});
    assert_int_equal(rig_claim(&rig, "w1", "c1", 2).count, 2);
    assert_int_equal(rig_claim(&rig, "w2", "c1", 5).count, 1);
    assert_int_equal(rig_claim(&rig, "w3", "c1", 5).count, 0);
}

static void a_repeated_claim_id_returns_the_same_claim(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    (void)rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE, .items = 4});
    struct hub_claimed first = rig_claim(&rig, "w1", "c1", 1);
    struct hub_claimed again = rig_claim(&rig, "w1", "c1", 1);
    assert_true(again.is_repeated && !first.is_repeated);
    assert_int_equal(again.count, 1);
    assert_int_equal(again.items[0], first.items[0]);
    struct hub_claimed other = rig_claim(&rig, "w2", "c1", 1); /* another worker's id */
    assert_false(other.is_repeated);
    assert_int_not_equal(other.items[0], first.items[0]);
    rig_restart(&rig, true);
    again = rig_claim(&rig, "w1", "c1", 1);
    assert_true(again.is_repeated);
    assert_int_equal(again.items[0], first.items[0]);
}

static void a_claim_without_an_id_is_never_repeated(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    (void)rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE, .items = 2});
    assert_int_equal(rig_claim(&rig, "w1", "", 1).count, 1);
    struct hub_claimed second = rig_claim(&rig, "w1", "", 1);
    assert_int_equal(second.count, 1);
    assert_false(second.is_repeated);
}

static void a_claim_names_the_types_it_takes(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &outside);
    const uint32_t other[] = {RIG_WORK};
    const uint32_t right[] = {RIG_WORK, RIG_OUTSIDE};
    struct hub_claim claim = {
        .worker = bytes_of("w"), .capabilities = other, .capability_count = 1, .batch = 1};
    struct hub_claimed claimed;
    assert_int_equal(hub_claim(&rig.hub, &claim, &claimed), STATUS_OK);
    assert_int_equal(claimed.count, 0);
    claim.capabilities = right;
    claim.capability_count = 2;
    assert_int_equal(hub_claim(&rig.hub, &claim, &claimed), STATUS_OK);
    assert_int_equal(claimed.count, 1);
}

static void a_worker_has_a_name(void **state) {
    (void)state;
    static uint8_t text[RECORD_ID_MAX + 1];
    memset(text, 'w', sizeof text);
    const struct bytes names[] = {{text, 0}, {text, sizeof text}, bytes_of("\xff")};
    struct hub_claimed claimed;
    for (size_t i = 0; i < array_count(names); i++) {
        struct hub_claim claim = {.worker = names[i], .batch = 1};
        assert_int_equal(hub_claim(&rig.hub, &claim, &claimed), STATUS_MALFORMED);
    }
}

/* ---- the life of a claimed item ---- */

static void a_worker_runs_an_item_to_its_end(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = claim_one(&worker);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_ILLEGAL);
    assert_int_equal(hub_worker_acknowledge(&rig.hub, &worker), STATUS_OK);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    assert_true(hub_head_seq(&rig.hub) == head);
    assert_int_equal(hub_worker_acknowledge(&rig.hub, &worker), STATUS_ILLEGAL);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_EXECUTING);
    assert_true(rig_item(&rig, process, 1)->image.first_device.boot != 0);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.worker.size, 2);
    assert_memory_equal(attempt.worker.data, "w1", 2);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
}

static void another_name_or_an_old_token_is_a_stale_lease(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = start_one(&worker);
    struct hub_worker other = worker;
    struct hub_heartbeat answer;
    other.name = bytes_of("w2");
    assert_int_equal(rig_worker_end(&rig, &other, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
    other = worker;
    other.token -= 1;
    assert_int_equal(beat(&other, &answer), STATUS_STALE_LEASE);
    assert_int_equal(hub_worker_release(&rig.hub, &other), STATUS_STALE_LEASE);
    other = worker;
    other.item = rig.hub.board->items - 1;
    assert_int_equal(rig_worker_start(&rig, &other), STATUS_STALE_LEASE);
    assert_int_equal(state_of(process), RECORD_RUNNING);
}

static void a_message_older_than_the_last_is_refused(void **state) {
    (void)state;
    struct hub_worker worker;
    (void)start_one(&worker);
    struct hub_heartbeat answer;
    worker.sent_ms = 5000;
    assert_int_equal(beat(&worker, &answer), STATUS_OK);
    worker.sent_ms = 4999;
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_BUSY);
    worker.sent_ms = 5000;
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_OK);
}

static void a_released_lease_counts_as_a_delivery(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = claim_one(&worker);
    assert_int_equal(hub_worker_release(&rig.hub, &worker), STATUS_OK);
    assert_int_equal(state_of(process), RECORD_READY);
    assert_int_equal(rig_item(&rig, process, 1)->image.deliveries, 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.attempt, 0);
}

static void a_lease_expires_unless_it_is_acknowledged_or_renewed(void **state) {
    (void)state;
    struct hub_worker worker;
    struct hub_heartbeat answer;
    uint32_t process = claim_one(&worker);
    rig_advance(&rig, RIG_LEASE_MS - 1);
    assert_int_equal(hub_worker_acknowledge(&rig.hub, &worker), STATUS_OK);
    rig_advance(&rig, RIG_LEASE_MS - 1);
    assert_int_equal(beat(&worker, &answer), STATUS_OK);
    assert_true(answer.expires_in_ms == RIG_LEASE_MS);
    rig_advance(&rig, RIG_LEASE_MS - 1);
    assert_int_equal(state_of(process), RECORD_LEASED);
    rig_advance(&rig, 1);
    assert_int_equal(state_of(process), RECORD_READY);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_STALE_LEASE);
}

static void a_silent_worker_is_asked_to_stop_then_forced_and_it_counts(void **state) {
    (void)state;
    struct hub_worker worker;
    struct hub_heartbeat answer;
    uint32_t process = start_one(&worker);
    rig_advance(&rig, RIG_LEASE_MS);
    assert_int_equal(state_of(process), RECORD_RUNNING);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_EXPIRE);
    assert_int_equal(beat(&worker, &answer), STATUS_OK);
    assert_int_equal(answer.stop, RECORD_STOP_EXPIRE);
    rig_advance(&rig, RIG_GRACE_MS);
    assert_int_equal(state_of(process), RECORD_RETRY_WAIT);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.category, RECORD_CATEGORY_LEASE_EXPIRED);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
}

static void renewals_never_go_beyond_the_attempts_limit(void **state) {
    (void)state;
    struct hub_worker worker;
    struct hub_heartbeat answer;
    uint32_t process = start_one(&worker);
    for (unsigned i = 0; i < 3; i++) {
        rig_advance(&rig, RIG_ATTEMPT_MS / 3 - 1);
        assert_int_equal(beat(&worker, &answer), STATUS_OK);
        assert_int_equal(answer.stop, RECORD_STOP_NONE);
    }
    assert_true(answer.expires_in_ms == 3);
    rig_advance(&rig, 3);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_TIMEOUT);
}

static void a_success_before_it_is_forced_wins(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = start_one(&worker);
    rig_advance(&rig, RIG_LEASE_MS);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
}

static void a_heartbeat_tells_of_cancel_and_suspension(void **state) {
    (void)state;
    struct hub_worker worker;
    struct hub_heartbeat answer;
    uint32_t process = start_one(&worker);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_int_equal(beat(&worker, &answer), STATUS_OK);
    assert_int_equal(answer.stop, RECORD_STOP_SUSPEND);
    assert_int_equal(answer.suspension, RECORD_SUSPEND_OPERATOR);
    rig_cancel(&rig, process);
    assert_int_equal(beat(&worker, &answer), STATUS_OK);
    assert_int_equal(answer.stop, RECORD_STOP_CANCEL);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_FAILURE, HUB_RETRYABLE_YES), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
}

static void a_suspension_gives_back_a_lease_that_has_not_started(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = claim_one(&worker);
    assert_int_equal(rig_ask(&rig, hub_suspend, process), STATUS_OK);
    assert_int_equal(state_of(process), RECORD_READY);
    assert_int_equal(rig_item(&rig, process, 1)->image.deliveries, 0);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_STALE_LEASE);
    assert_int_equal(rig_claim(&rig, "w1", "c2", 1).count, 0);
}

static void a_failure_says_whether_it_may_be_tried_again(void **state) {
    (void)state;
    static const struct {
        enum hub_retryable retryable;
        uint8_t state;
    } rows[] = {
        {HUB_RETRYABLE_BY_POLICY, RECORD_RETRY_WAIT},
        {HUB_RETRYABLE_YES, RECORD_RETRY_WAIT},
        {HUB_RETRYABLE_NO, RECORD_FAILED},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        rig_start(&rig);
        struct hub_worker worker;
        uint32_t process = start_one(&worker);
        assert_int_equal(rig_worker_end(&rig, &worker, RECORD_FAILURE, rows[i].retryable),
                         STATUS_OK);
        assert_int_equal(state_of(process), rows[i].state);
        assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 1);
    }
}

static void a_lost_phone_takes_the_lease_away(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = start_one(&worker);
    rig_phone_event(&rig, 0, PHONE_ON_DETACHED);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_int_equal(state_of(process), RECORD_RETRY_WAIT);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
}

/* ---- restarts ---- */

static void a_lease_survives_a_restart_with_its_token_and_its_time_anew(void **state) {
    (void)state;
    for (unsigned is_running = 0; is_running < 2; is_running++) {
        rig_start(&rig);
        struct hub_worker worker;
        uint32_t process = is_running == 1 ? start_one(&worker) : claim_one(&worker);
        rig_advance(&rig, RIG_LEASE_MS - 1);
        rig_restart(&rig, true);
        rig_settle(&rig);
        assert_int_equal(rig.hub.phones[0].state, RECORD_PHONE_AWAY);
        rig_phone_event(&rig, 0, PHONE_ON_ATTACHED);
        rig_phone_event(&rig, 0, PHONE_ON_HANDSHAKE);
        assert_int_equal(rig.hub.phones[0].state, RECORD_PHONE_LEASED);
        rig_advance(&rig, RIG_LEASE_MS - 1);
        assert_int_equal(state_of(process), is_running == 1 ? RECORD_RUNNING : RECORD_LEASED);
        assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_NONE);
        assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
        assert_int_equal(rig_worker_end(&rig, &worker, RECORD_SUCCESS, 0), STATUS_OK);
        assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
        assert_int_equal(rig.hub.phones[0].state, RECORD_PHONE_READY);
    }
}

static void a_new_lease_survives_a_restart_also_after_an_attempt_of_an_earlier_boot(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = start_one(&worker);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_FAILURE, HUB_RETRYABLE_YES), STATUS_OK);
    rig_settle(&rig);
    rig_restart(&rig, false);
    rig_settle(&rig);
    rig_phone_event(&rig, 0, PHONE_ON_ATTACHED);
    rig_phone_event(&rig, 0, PHONE_ON_HANDSHAKE);
    rig_advance(&rig, 3600000);
    struct hub_claimed claimed = rig_claim(&rig, "w1", "c2", 1);
    assert_int_equal(claimed.count, 1);
    worker = rig_worker(&rig, "w1", claimed.items[0]);
    rig_settle(&rig);
    rig_restart(&rig, true);
    rig_settle(&rig);
    assert_int_equal(state_of(process), RECORD_LEASED);
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
}

static void a_power_loss_ends_the_leases_of_workers_uncounted(void **state) {
    (void)state;
    for (unsigned is_running = 0; is_running < 2; is_running++) {
        rig_start(&rig);
        struct hub_worker worker;
        uint32_t process = is_running == 1 ? start_one(&worker) : claim_one(&worker);
        rig_restart(&rig, false);
        rig_settle(&rig);
        assert_int_equal(state_of(process), RECORD_READY);
        const struct record_item *image = &rig_item(&rig, process, 1)->image;
        assert_int_equal(image->deliveries + image->attempts_counted, 0);
        assert_int_equal(image->faults, is_running);
        assert_int_equal(rig_worker_start(&rig, &worker), STATUS_STALE_LEASE);
    }
}

static void set_once(void) {
    struct capability capability = rig.hub.capabilities[RIG_OUTSIDE];
    capability.once_actions = 1;
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
}

/* An external capability without actions is one action. */
static void work_that_must_not_run_twice_is_in_doubt_unless_its_worker_says(void **state) {
    (void)state;
    struct hub_worker worker;
    set_once();
    uint32_t process = start_one(&worker);
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_FAILURE, HUB_RETRYABLE_YES), STATUS_OK);
    assert_int_equal(state_of(process), RECORD_RETRY_WAIT);
    rig_start(&rig);
    set_once();
    process = start_one(&worker);
    rig_advance(&rig, RIG_LEASE_MS); /* it is asked to stop, and its worker answers */
    assert_int_equal(rig_worker_end(&rig, &worker, RECORD_FAILURE, HUB_RETRYABLE_YES), STATUS_OK);
    assert_int_equal(state_of(process), RECORD_RETRY_WAIT);
    rig_start(&rig);
    set_once();
    process = start_one(&worker);
    rig_advance(&rig, RIG_LEASE_MS);
    rig_advance(&rig, RIG_GRACE_MS);
    assert_int_equal(state_of(process), RECORD_SUSPENDED);
    assert_int_equal(rig_item(&rig, process, 1)->image.suspension, RECORD_SUSPEND_UNCERTAIN);
}

static void a_phone_that_does_not_come_back_after_a_restart_is_lost(void **state) {
    (void)state;
    struct hub_worker worker;
    struct hub_heartbeat answer;
    uint32_t process = start_one(&worker);
    rig_restart(&rig, true);
    rig_settle(&rig);
    rig_advance(&rig, RIG_LEASE_MS - 1);
    assert_int_equal(beat(&worker, &answer), STATUS_OK);
    rig_advance(&rig, HUB_AWAY_MS - RIG_LEASE_MS + 1);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_int_not_equal(state_of(process), RECORD_RUNNING);
    assert_int_equal(beat(&worker, &answer), STATUS_STALE_LEASE);
}

static void a_stop_that_was_pending_goes_on_after_a_restart(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = start_one(&worker);
    rig_cancel(&rig, process);
    rig_restart(&rig, true);
    rig_settle(&rig);
    assert_int_equal(state_of(process), RECORD_RUNNING);
    rig_advance(&rig, RIG_GRACE_MS);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
}

static void a_shutdown_leaves_workers_their_leases(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = start_one(&worker);
    hub_stop(&rig.hub, true);
    assert_int_equal(hub_busy_count(&rig.hub), 0);
    assert_int_equal(rig_item(&rig, process, 1)->image.stop, RECORD_STOP_NONE);
    assert_int_equal(rig_claim(&rig, "w2", "c", 1).count, 0);
}

static void a_claim_that_finds_no_room_leaves_nothing_behind(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_submit(&rig, &outside);
    while (hub_has_room(&rig.hub, 4 * HUB_RECORD_BYTES)) {
        hub_log_self(&rig.hub, RECORD_COUNTERS_EVENT);
    }
    struct hub_claim claim = {.worker = bytes_of("w"), .batch = 8};
    struct hub_claimed claimed;
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(hub_claim(&rig.hub, &claim, &claimed), STATUS_AGAIN);
    assert_true(hub_head_seq(&rig.hub) == head);
    rig_check(&rig);
}

static void what_names_no_lease_of_a_worker_is_stale(void **state) {
    (void)state;
    struct hub_worker worker;
    struct hub_heartbeat answer;
    (void)start_one(&worker);
    struct hub_worker other = worker;
    other.name = bytes_of("w12"); /* longer */
    assert_int_equal(beat(&other, &answer), STATUS_STALE_LEASE);
    other.name = bytes_of("w2"); /* as long */
    assert_int_equal(beat(&other, &answer), STATUS_STALE_LEASE);
    uint32_t phone = rig_phone(&rig, "B");
    const struct rig_order own = {0}; /* run by the hub itself: no worker has it */
    uint32_t process = rig_submit(&rig, &own);
    other = rig_worker(&rig, "", rig.hub.phones[phone].item);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
    assert_int_equal(beat(&other, &answer), STATUS_STALE_LEASE);
}

static void progress_of_a_worker_only_grows(void **state) {
    (void)state;
    struct hub_worker worker;
    struct hub_heartbeat answer;
    uint32_t process = claim_one(&worker);
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, 10, &answer), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->progress_percent, 0); /* it has not started */
    assert_int_equal(rig_worker_start(&rig, &worker), STATUS_OK);
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, 60, &answer), STATUS_OK);
    assert_int_equal(hub_worker_heartbeat(&rig.hub, &worker, 40, &answer), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 1)->progress_percent, 60);
}

static void what_is_claimed_and_not_started_is_no_attempt_of_the_hub(void **state) {
    (void)state;
    struct hub_worker worker;
    (void)claim_one(&worker);
    const struct record_attempt end = {.outcome = RECORD_SUCCESS};
    assert_int_equal(hub_attempt_end(&rig.hub, 0, worker.token, &end), STATUS_ILLEGAL);
    assert_int_equal(hub_attempt_progress(&rig.hub, 0, worker.token, 1, 50), STATUS_ILLEGAL);
    assert_int_equal(hub_attempt_progress(&rig.hub, 0, worker.token + 1, 1, 50),
                     STATUS_STALE_LEASE);
}

static void a_claim_id_is_no_longer_than_an_id(void **state) {
    (void)state;
    static uint8_t text[RECORD_ID_MAX + 1];
    struct hub_claimed claimed;
    struct hub_claim wanted = {
        .worker = bytes_of("w1"), .claim_id = {text, sizeof text}, .batch = 1};
    memset(text, 'c', sizeof text);
    assert_int_equal(hub_claim(&rig.hub, &wanted, &claimed), STATUS_MALFORMED);
    wanted.claim_id.size -= 1;
    assert_int_equal(hub_claim(&rig.hub, &wanted, &claimed), STATUS_OK);
}

static void a_failure_is_retried_as_the_policy_says_of_its_category(void **state) {
    (void)state;
    struct hub_worker worker;
    uint32_t process = start_one(&worker);
    const struct record_attempt end = {.outcome = RECORD_FAILURE,
                                       .category = RECORD_CATEGORY_CAPABILITY};
    rig_commit(&rig);
    assert_int_equal(hub_worker_end(&rig.hub, &worker, &end, HUB_RETRYABLE_BY_POLICY), STATUS_OK);
    rig_settle(&rig);
    assert_int_equal(state_of(process), RECORD_FAILED);
}

int firmware_hub_worker_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_workers_run_waits_for_a_claim, set_up),
        cmocka_unit_test_setup(a_claim_takes_as_many_as_there_are_phones_and_no_more_than_asked,
                               set_up),
        cmocka_unit_test_setup(a_repeated_claim_id_returns_the_same_claim, set_up),
        cmocka_unit_test_setup(a_claim_without_an_id_is_never_repeated, set_up),
        cmocka_unit_test_setup(a_claim_names_the_types_it_takes, set_up),
        cmocka_unit_test_setup(a_worker_has_a_name, set_up),
        cmocka_unit_test_setup(a_worker_runs_an_item_to_its_end, set_up),
        cmocka_unit_test_setup(another_name_or_an_old_token_is_a_stale_lease, set_up),
        cmocka_unit_test_setup(a_message_older_than_the_last_is_refused, set_up),
        cmocka_unit_test_setup(a_released_lease_counts_as_a_delivery, set_up),
        cmocka_unit_test_setup(a_lease_expires_unless_it_is_acknowledged_or_renewed, set_up),
        cmocka_unit_test_setup(a_silent_worker_is_asked_to_stop_then_forced_and_it_counts, set_up),
        cmocka_unit_test_setup(renewals_never_go_beyond_the_attempts_limit, set_up),
        cmocka_unit_test_setup(a_success_before_it_is_forced_wins, set_up),
        cmocka_unit_test_setup(a_heartbeat_tells_of_cancel_and_suspension, set_up),
        cmocka_unit_test_setup(a_suspension_gives_back_a_lease_that_has_not_started, set_up),
        cmocka_unit_test_setup(a_failure_says_whether_it_may_be_tried_again, set_up),
        cmocka_unit_test_setup(a_lost_phone_takes_the_lease_away, set_up),
        cmocka_unit_test_setup(a_lease_survives_a_restart_with_its_token_and_its_time_anew, set_up),
        cmocka_unit_test_setup(
            a_new_lease_survives_a_restart_also_after_an_attempt_of_an_earlier_boot, set_up),
        cmocka_unit_test_setup(a_power_loss_ends_the_leases_of_workers_uncounted, set_up),
        cmocka_unit_test_setup(work_that_must_not_run_twice_is_in_doubt_unless_its_worker_says,
                               set_up),
        cmocka_unit_test_setup(a_phone_that_does_not_come_back_after_a_restart_is_lost, set_up),
        cmocka_unit_test_setup(a_stop_that_was_pending_goes_on_after_a_restart, set_up),
        cmocka_unit_test_setup(a_shutdown_leaves_workers_their_leases, set_up),
        cmocka_unit_test_setup(a_claim_that_finds_no_room_leaves_nothing_behind, set_up),
        cmocka_unit_test_setup(what_names_no_lease_of_a_worker_is_stale, set_up),
        cmocka_unit_test_setup(progress_of_a_worker_only_grows, set_up),
        cmocka_unit_test_setup(what_is_claimed_and_not_started_is_no_attempt_of_the_hub, set_up),
        cmocka_unit_test_setup(a_claim_id_is_no_longer_than_an_id, set_up),
        cmocka_unit_test_setup(a_failure_is_retried_as_the_policy_says_of_its_category, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_worker", tests, NULL, NULL);
}
