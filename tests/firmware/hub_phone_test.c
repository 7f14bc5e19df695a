/* Phones that leave, hubs that fail, and which item goes to which phone. */
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static const struct rig_order one = {0};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static void a_lost_phone_is_judged_two_seconds_late(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    rig_advance(&rig, HUB_PHONE_LOST_MS - 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
    /* Back already, but it cannot be ready before its lease has ended. */
    rig_phone_event(&rig, phone, PHONE_ON_ATTACHED);
    assert_int_equal(hub_phone_event(&rig.hub, phone, PHONE_ON_HANDSHAKE, NULL), STATUS_ILLEGAL);
    rig_advance(&rig, 1);
    const struct record_item *image = &rig_item(&rig, process, 1)->image;
    assert_int_equal(image->state, RECORD_RETRY_WAIT);
    assert_int_equal(image->attempts_counted, 1);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_CONNECTING);
    rig_phone_event(&rig, phone, PHONE_ON_HANDSHAKE);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
    struct record_attempt attempt;
    rig_read_attempt(&rig, process, 1, &attempt);
    assert_int_equal(attempt.category, RECORD_CATEGORY_PHONE_LOST);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
}

static void a_success_within_the_two_seconds_still_counts(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_ABSENT);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
}

static void a_phone_lost_while_a_stop_is_pending_has_stopped(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    rig_cancel(&rig, process);
    rig_phone_event(&rig, phone, PHONE_ON_SILENT);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_CANCELLED);
}

/* Two leased phones, and one nobody leases, leave `apart_ms` after each other. */
static void lose_two(uint32_t group_a, uint32_t group_b, uint64_t apart_ms, bool leases_second,
                     bool is_fault) {
    rig_start(&rig);
    uint32_t a = rig_phone(&rig, "A");
    uint32_t b = rig_phone(&rig, "B");
    rig.hub.phones[a].hub_group = group_a;
    rig.hub.phones[b].hub_group = group_b;
    const uint32_t phones[] = {a, b};
    const struct rig_order order = {.phones = phones, .items = leases_second ? 2 : 1};
    uint32_t process = rig_submit(&rig, &order);
    (void)rig_begin(&rig);
    rig_phone_event(&rig, a, PHONE_ON_DETACHED);
    rig_advance(&rig, apart_ms);
    rig_phone_event(&rig, b, PHONE_ON_DETACHED);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    for (uint32_t i = 1; i <= order.items; i++) {
        const struct record_item *image = &rig_item(&rig, process, i)->image;
        assert_int_equal(image->faults, is_fault);
        assert_int_equal(image->attempts_counted, !is_fault);
        assert_true(image->state == RECORD_READY ||
                    (!is_fault && image->state == RECORD_RETRY_WAIT));
    }
}

static void phones_of_one_hub_gone_together_are_its_fault(void **state) {
    (void)state;
    lose_two(1, 1, 0, true, true);
    lose_two(1, 1, HUB_PHONE_LOST_MS - 1, true, true);
    lose_two(1, 1, 0, false, true); /* a phone without a lease is a witness too */
    lose_two(1, 2, 0, true, false);
    lose_two(0, 0, 0, true, false);
    lose_two(1, 1, HUB_PHONE_LOST_MS + 1, true, false);
}

static void what_takes_a_phone_long_after_a_hub_fault_is_its_own_fault(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    uint32_t b = rig_phone(&rig, "B");
    rig.hub.phones[a].hub_group = 1;
    rig.hub.phones[b].hub_group = 1;
    rig_phone_event(&rig, a, PHONE_ON_DETACHED);
    rig_phone_event(&rig, b, PHONE_ON_DETACHED);
    rig_advance(&rig, 60000);
    rig_phone_event(&rig, a, PHONE_ON_ATTACHED);
    rig_phone_event(&rig, a, PHONE_ON_HANDSHAKE);
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    rig_phone_event(&rig, a, PHONE_ON_KEY_REFUSED);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.faults, 0);
    assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 1);
}

/* `babbles`: it comes and goes again before it is judged; else its row names a phone elsewhere. */
static void lose_two_and_then(bool babbles) {
    rig_start(&rig);
    uint32_t a = rig_phone(&rig, "A");
    uint32_t b = rig_phone(&rig, "B");
    rig.hub.phones[a].hub_group = 1;
    rig.hub.phones[b].hub_group = 1;
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    rig_phone_event(&rig, a, PHONE_ON_DETACHED);
    rig_phone_event(&rig, b, PHONE_ON_DETACHED);
    rig_advance(&rig, HUB_PHONE_LOST_MS - 100);
    if (babbles) {
        rig_phone_event(&rig, a, PHONE_ON_ATTACHED);
        rig_advance(&rig, 99);
        rig_phone_event(&rig, a, PHONE_ON_DETACHED);
    } else {
        rig.hub.phones[a].hub_group = 2;
    }
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.faults, 1);
    assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, 0);
}

static void a_hub_fault_is_judged_by_when_and_where_a_phone_was_lost(void **state) {
    (void)state;
    lose_two_and_then(false);
    lose_two_and_then(true);
}

static void an_away_phone_keeps_its_lease_until_its_window_is_over(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_phone_event(&rig, phone, PHONE_ON_AWAY);
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    rig_advance(&rig, 10000);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
    rig_phone_event(&rig, phone, PHONE_ON_BACK);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_LEASED);
    rig_phone_event(&rig, phone, PHONE_ON_AWAY);
    rig_phone_event(&rig, phone, PHONE_ON_WINDOW_OVER);
    rig_advance(&rig, HUB_PHONE_LOST_MS);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RETRY_WAIT);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_STALE_LEASE);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_RECOVERING);
}

static void an_away_phone_whose_attempt_ends_recovers(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    (void)rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    rig_phone_event(&rig, phone, PHONE_ON_AWAY);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_RECOVERING);
    rig_phone_event(&rig, phone, PHONE_ON_HEALTHY);
    assert_int_equal(rig.hub.phones[phone].state, RECORD_PHONE_READY);
}

/* ---- which item on which phone ---- */

static void higher_priority_goes_first_then_age(void **state) {
    (void)state;
    static const uint8_t priorities[] = {5, 9, 5, 0, 9};
    static const uint32_t order[] = {1, 4, 0, 2, 3};
    uint32_t processes[5];
    for (size_t i = 0; i < 5; i++) {
        processes[i] = rig_submit(&rig, &(struct rig_order){.priority = priorities[i],
                                                            .capability = i % RIG_CAPABILITIES});
    }
    (void)rig_phone(&rig, "A");
    for (size_t i = 0; i < 5; i++) {
        struct hub_start start = rig_begin(&rig);
        assert_true(start.process == rig_process(&rig, processes[order[i]])->number);
        assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    }
}

static void a_retried_item_takes_its_old_place(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t first = rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG});
    uint32_t second = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_true(start.process == rig_process(&rig, first)->number);
    const struct record_attempt end = {.outcome = RECORD_FAILURE,
                                       .category = RECORD_CATEGORY_EXIT_CODE};
    assert_int_equal(hub_attempt_end(&rig.hub, start.phone, start.token, &end), STATUS_OK);
    rig_settle(&rig);
    start = rig_begin(&rig);
    assert_true(start.process == rig_process(&rig, first)->number);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    start = rig_begin(&rig);
    assert_true(start.process == rig_process(&rig, second)->number);
}

static void a_direct_item_waits_for_its_busy_phone(void **state) {
    (void)state;
    const uint32_t phones[] = {rig_phone(&rig, "A")};
    (void)rig_phone(&rig, "B");
    uint32_t first = rig_submit(&rig, &(struct rig_order){.phones = phones});
    uint32_t second = rig_submit(&rig, &(struct rig_order){.phones = phones});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.phone, phones[0]);
    rig_assert_no_start(&rig);
    assert_int_equal(rig_process(&rig, second)->status, PROCESS_PLANNED);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    assert_int_equal(rig_process(&rig, first)->status, PROCESS_DONE);
    start = rig_begin(&rig);
    assert_int_equal(start.phone, phones[0]);
    assert_true(start.process == rig_process(&rig, second)->number);
}

static void a_phone_it_failed_on_twice_is_avoided_while_another_is_free(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG});
    for (unsigned n = 0; n < 3; n++) {
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(start.phone, a); /* no other is free: nothing else to do */
        if (n == 2) {
            (void)rig_phone(&rig, "B");
        }
        assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE),
                         STATUS_OK);
    }
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(start.phone, hub_phone_find(&rig.hub, bytes_of("B")));
    assert_true(start.process == rig_process(&rig, process)->number);
}

/* While both phones are free it avoids one; when the other is taken in the same turn by somebody
 * who goes first, it runs where it can. */
static void an_avoided_phone_is_used_when_the_other_was_just_taken(void **state) {
    (void)state;
    uint32_t a = rig_phone(&rig, "A");
    uint32_t avoiding = rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG});
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_EXIT_CODE), STATUS_OK);
    start = rig_begin(&rig);
    const uint32_t b_only[] = {rig_phone(&rig, "B")};
    struct hub_accepted accepted;
    const struct rig_order direct = {.phones = b_only, .priority = 9};
    rig_phone_event(&rig, b_only[0], PHONE_ON_SILENT);
    assert_int_equal(rig_accept(&rig, &direct, &accepted), STATUS_OK);
    const struct record_attempt end = {.outcome = RECORD_FAILURE,
                                       .category = RECORD_CATEGORY_EXIT_CODE};
    assert_int_equal(hub_attempt_end(&rig.hub, start.phone, start.token, &end), STATUS_OK);
    rig_phone_event(&rig, b_only[0], PHONE_ON_HEALTHY);
    rig_settle(&rig);
    struct hub_start first = rig_begin(&rig);
    struct hub_start second = rig_begin(&rig);
    assert_int_equal(first.phone, a);
    assert_true(first.process == rig_process(&rig, avoiding)->number);
    assert_int_equal(second.phone, b_only[0]);
}

static void a_row_is_found_again_and_the_table_can_be_full(void **state) {
    (void)state;
    uint32_t phone;
    uint32_t again;
    for (uint32_t p = 0; p < rig.hub.board->phones; p++) {
        const char id[2] = {(char)('A' + p), '\0'};
        assert_int_equal(rig_phone(&rig, id), p);
    }
    assert_int_equal(
        hub_phone_identify(&rig.hub, bytes_of("Z"), bytes_of("s"), bytes_of("m"), &phone),
        STATUS_FULL);
    assert_int_equal(rig.hub.phone_count, rig.hub.board->phones);
    assert_int_equal(
        hub_phone_identify(&rig.hub, bytes_of("C"), bytes_of("new slot"), bytes_of("m"), &again),
        STATUS_OK);
    assert_int_equal(again, 2);
    assert_string_equal(rig.hub.phones[2].slot, "new slot");
    assert_int_equal(hub_phone_find(&rig.hub, bytes_of("nobody")), HUB_NONE);
}

static void text_of_a_phone_never_makes_its_record_unreadable(void **state) {
    (void)state;
    uint32_t phone;
    char reason[200];
    memset(reason, 'x', sizeof reason);
    memcpy(reason + HUB_REASON_MAX - 1, "\xc3\xa9", 3); /* cut in the middle of a character */
    struct bytes model = {(const uint8_t *)"good\xff"
                                           "bad",
                          8};
    assert_int_equal(hub_phone_identify(&rig.hub, bytes_of("A"), bytes_of(""), model, &phone),
                     STATUS_OK);
    assert_string_equal(rig.hub.phones[phone].model, "good");
    assert_int_equal(hub_phone_event(&rig.hub, phone, PHONE_ON_QUARANTINE, reason), STATUS_OK);
    assert_int_equal(strlen(rig.hub.phones[phone].reason), HUB_REASON_MAX - 1);
    rig_settle(&rig);
    rig_restart(&rig, true);
    assert_true(rig.hub.counters.suspect_objects == 0);
    assert_int_equal(rig.hub.phones[0].state, RECORD_PHONE_QUARANTINED);
}

int firmware_hub_phone_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_lost_phone_is_judged_two_seconds_late, set_up),
        cmocka_unit_test_setup(a_success_within_the_two_seconds_still_counts, set_up),
        cmocka_unit_test_setup(a_phone_lost_while_a_stop_is_pending_has_stopped, set_up),
        cmocka_unit_test_setup(phones_of_one_hub_gone_together_are_its_fault, set_up),
        cmocka_unit_test_setup(a_hub_fault_is_judged_by_when_and_where_a_phone_was_lost, set_up),
        cmocka_unit_test_setup(what_takes_a_phone_long_after_a_hub_fault_is_its_own_fault, set_up),
        cmocka_unit_test_setup(an_away_phone_keeps_its_lease_until_its_window_is_over, set_up),
        cmocka_unit_test_setup(an_away_phone_whose_attempt_ends_recovers, set_up),
        cmocka_unit_test_setup(higher_priority_goes_first_then_age, set_up),
        cmocka_unit_test_setup(a_retried_item_takes_its_old_place, set_up),
        cmocka_unit_test_setup(a_direct_item_waits_for_its_busy_phone, set_up),
        cmocka_unit_test_setup(a_phone_it_failed_on_twice_is_avoided_while_another_is_free, set_up),
        cmocka_unit_test_setup(an_avoided_phone_is_used_when_the_other_was_just_taken, set_up),
        cmocka_unit_test_setup(a_row_is_found_again_and_the_table_can_be_full, set_up),
        cmocka_unit_test_setup(text_of_a_phone_never_makes_its_record_unreadable, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_phone", tests, NULL, NULL);
}
