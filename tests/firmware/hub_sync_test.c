/* What a hub pushes of its log, and which answers it believes. */
#include "firmware/hub_sync.h"

#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { PUSH_BYTES = 64 * 1024 };

static struct rig rig;
static struct hub_sync link;
static uint8_t group_buffer[64 * 1024];
static uint8_t buffer[PUSH_BYTES];
static const struct rig_order one = {0};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    rig.hub.has_upstream = true;
    hub_sync_init(&link, &rig.hub, group_buffer, sizeof group_buffer);
    return 0;
}

static struct sync_push pushed(size_t capacity) {
    struct bytes message;
    struct sync_push push;
    assert_int_equal(hub_sync_push(&link, true, buffer, capacity, &message), STATUS_OK);
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    return push;
}

/* The last group's chain hash: what an upstream has after it stored the push. */
static struct sync_reply stored(struct sync_push push) {
    struct sync_group group;
    struct sync_reply reply = {.result = SYNC_OK, .cursor = push.last_seq};
    while (sync_group_next(&push, &group)) {
        memcpy(reply.chain, group.chain, RECORD_CHAIN_BYTES);
    }
    return reply;
}

static void everything_durable_is_pushed_and_acknowledged(void **state) {
    (void)state;
    (void)rig_submit(&rig, &one);
    assert_true(hub_sync_has_more(&link));
    struct sync_push push = pushed(PUSH_BYTES);
    assert_true(push.is_hello);
    assert_true(push.first_seq == rig.hub.store.acked_seq + 1);
    assert_true(push.last_seq == hub_durable_seq(&rig.hub));
    struct sync_reply reply = stored(push);
    assert_true(hub_sync_accept(&link, &reply));
    assert_false(hub_sync_has_more(&link));
    assert_true(hub_sync_accept(&link, &reply)); /* it was said before */
    push = pushed(PUSH_BYTES);
    assert_int_equal(push.group_count, 0);
}

/* A small message takes what fits, in whole groups; the next one goes on behind it. */
static void a_small_message_takes_whole_groups(void **state) {
    (void)state;
    uint64_t last = rig.hub.store.acked_seq;
    for (unsigned i = 0; i < 6; i++) {
        (void)rig_submit(&rig, &one);
    }
    unsigned messages = 0;
    while (hub_sync_has_more(&link)) {
        struct sync_push push = pushed(SYNC_PUSH_HEAD_MAX + 700);
        assert_true(push.first_seq == last + 1);
        assert_true(push.group_count > 0);
        last = push.last_seq;
        struct sync_reply reply = stored(push);
        assert_true(hub_sync_accept(&link, &reply));
        messages += 1;
    }
    assert_true(messages > 1);
    assert_true(last == hub_durable_seq(&rig.hub));
}

/* An answer that was lost: the same records are pushed again. */
static void what_was_not_acknowledged_is_pushed_again(void **state) {
    (void)state;
    (void)rig_submit(&rig, &one);
    struct sync_push first = pushed(PUSH_BYTES);
    link.cursor = (struct store_cursor){.seq = first.last_seq}; /* as a push leaves it */
    struct sync_push again = pushed(PUSH_BYTES);
    assert_true(again.first_seq == first.first_seq && again.last_seq == first.last_seq);
}

static void a_cursor_with_another_chain_is_a_fork(void **state) {
    (void)state;
    (void)rig_submit(&rig, &one);
    struct sync_push push = pushed(PUSH_BYTES);
    struct sync_reply reply = stored(push);
    struct sync_reply wrong = reply;
    wrong.chain[0] ^= 1;
    assert_false(hub_sync_accept(&link, &wrong)); /* at the end of the push */
    wrong.cursor = rig.hub.store.durable_seq + 1;
    assert_false(hub_sync_accept(&link, &wrong)); /* beyond our head */
    assert_true(rig.hub.store.acked_seq < push.last_seq);
    assert_true(hub_sync_accept(&link, &reply));
    wrong.cursor = push.last_seq;
    assert_false(hub_sync_accept(&link, &wrong)); /* at what was acknowledged */
    wrong.cursor = push.first_seq - 1;
    assert_false(hub_sync_accept(&link, &wrong)); /* behind it: upstream was restored */
}

/* After a restart upstream may have more than our newest block header knows: the log itself says
 * whether it is ours. */
static void an_answer_to_a_push_of_an_earlier_life_is_found_in_the_log(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        (void)rig_submit(&rig, &one);
    }
    struct sync_push push = pushed(PUSH_BYTES);
    struct sync_reply reply = stored(push);
    struct sync_group last = {0};
    struct sync_push walk = push;
    while (sync_group_next(&walk, &last)) {
    }
    hub_sync_init(&link, &rig.hub, group_buffer, sizeof group_buffer);
    struct sync_reply wrong = reply;
    wrong.chain[7] ^= 0x80;
    assert_false(hub_sync_accept(&link, &wrong));
    assert_true(last.record_count > 1);
    wrong = reply;
    wrong.cursor -= 1; /* inside a group */
    assert_false(hub_sync_accept(&link, &wrong));
    assert_true(hub_sync_accept(&link, &reply));
    assert_true(rig.hub.store.acked_seq == reply.cursor);
}

/* What stands before the damage is pushed; what lies behind it is no answer's end. */
static void a_log_is_pushed_as_far_as_it_can_be_read(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        (void)rig_submit(&rig, &one);
    }
    struct sync_reply whole = stored(pushed(PUSH_BYTES));
    hub_sync_init(&link, &rig.hub, group_buffer, sizeof group_buffer);
    const struct store_slot *slot =
        store_slot(&rig.hub.store, (struct store_key){RECORD_REQUEST, 0});
    rig.flash.cells[slot->where + 40] ^= 0x01;
    assert_false(hub_sync_accept(&link, &whole)); /* nobody can tell whether it is ours */
    assert_true(link.asks_epoch);
    hub_sync_init(&link, &rig.hub, group_buffer, sizeof group_buffer);
    struct sync_push push = pushed(PUSH_BYTES);
    assert_true(push.group_count > 0 && push.last_seq < slot->seq);
    struct sync_reply reply = stored(push);
    assert_true(hub_sync_accept(&link, &reply));
    struct bytes message;
    assert_int_equal(hub_sync_push(&link, false, buffer, PUSH_BYTES, &message), STATUS_CORRUPT);
    assert_true(rig.hub.store.acked_seq == reply.cursor);
    /* What is damaged is given up, and the next push says so. */
    rig_settle(&rig);
    push = pushed(PUSH_BYTES);
    assert_true(push.gap.first == reply.cursor + 1 && push.gap.last >= slot->seq);
    assert_true(push.first_seq == push.gap.last + 1);
    struct sync_reply gap = {.result = SYNC_OK, .cursor = push.gap.last};
    struct sync_reply inside = {.result = SYNC_OK, .cursor = push.gap.last - 1};
    memcpy(gap.chain, push.gap.chain, RECORD_CHAIN_BYTES);
    assert_true(hub_sync_accept(&link, &inside)); /* of a push before: it changes nothing */
    assert_true(rig.hub.store.acked_seq == reply.cursor);
    gap.chain[0] ^= 1;
    assert_false(hub_sync_accept(&link, &gap));
    gap.chain[0] ^= 1;
    assert_true(hub_sync_accept(&link, &gap));
    assert_true(rig.hub.store.acked_seq == push.gap.last);
    reply = stored(pushed(PUSH_BYTES));
    assert_true(hub_sync_accept(&link, &reply));
    assert_false(hub_sync_has_more(&link));
}

/* Whichever read fails while the end of the damage is looked for: it is given up in the end. */
static void damage_is_given_up_though_reads_fail(void **state) {
    bool is_over = false;
    for (uint32_t n = 1; !is_over; n++) {
        assert_true(n < 1000);
        (void)set_up(state);
        for (unsigned i = 0; i < 3; i++) {
            (void)rig_submit(&rig, &one);
        }
        const struct store_slot *slot =
            store_slot(&rig.hub.store, (struct store_key){RECORD_REQUEST, 0});
        rig.flash.cells[slot->where + 40] ^= 0x01;
        uint64_t damaged = slot->seq;
        rig.flash.fail_read = n;
        for (unsigned turn = 0; rig.hub.gap.last < damaged; turn++) {
            assert_true(turn < 20);
            hub_gap_damage(&rig.hub);
            rig_commit(&rig);
        }
        is_over = rig.flash.fail_read != 0;
        rig.flash.fail_read = 0;
    }
}

/* An endpoint that names a new epoch, and what is pushed on the way into it. */
static void an_epoch_is_asked_for_and_taken(void **state) {
    (void)state;
    struct bytes message;
    struct sync_push push;
    struct sync_reply none = {.result = SYNC_FORK};
    (void)rig_submit(&rig, &one);
    struct sync_reply wrong = stored(pushed(PUSH_BYTES));
    wrong.chain[0] ^= 1;
    assert_false(hub_sync_accept(&link, &wrong));
    assert_true(link.asks_epoch && hub_sync_has_more(&link));
    assert_int_equal(hub_sync_push(&link, true, buffer, PUSH_BYTES, &message), STATUS_OK);
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    assert_int_equal(push.group_count, 0);
    assert_int_equal(hub_sync_fork(&link, &none), STATUS_ILLEGAL);
    assert_true(link.asks_epoch);
    none.epoch = 2;
    assert_int_equal(hub_sync_fork(&link, &none), STATUS_OK);
    assert_false(link.asks_epoch);
    assert_false(hub_sync_has_more(&link));                   /* until the epoch is durable */
    assert_int_equal(hub_sync_fork(&link, &none), STATUS_OK); /* it was asked for twice */
    rig_settle(&rig);
    rig_settle(&rig);
    while (rig.hub.fork_state != HUB_FORK_LISTING) {
        rig_settle(&rig);
    }
    struct sync_reply reply = stored(pushed(PUSH_BYTES));
    assert_true(hub_sync_accept(&link, &reply));
    assert_true(hub_sync_has_more(&link)); /* the inventory */
}

/* The answer to a push comes after what it held was given up. */
static void an_answer_to_what_was_given_up_meanwhile_counts(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        (void)rig_submit(&rig, &one);
    }
    struct sync_push push = pushed(SYNC_PUSH_HEAD_MAX + 700);
    struct sync_reply reply = stored(push);
    while (rig.hub.gap.last <= push.last_seq) {
        hub_gap_damage(&rig.hub);
        rig_settle(&rig);
    }
    assert_true(hub_sync_accept(&link, &reply));
    assert_true(rig.hub.store.acked_seq == push.last_seq);
    assert_true(hub_gap(&rig.hub) != NULL);
}

int firmware_hub_sync_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(everything_durable_is_pushed_and_acknowledged, set_up),
        cmocka_unit_test_setup(a_small_message_takes_whole_groups, set_up),
        cmocka_unit_test_setup(what_was_not_acknowledged_is_pushed_again, set_up),
        cmocka_unit_test_setup(a_cursor_with_another_chain_is_a_fork, set_up),
        cmocka_unit_test_setup(an_answer_to_a_push_of_an_earlier_life_is_found_in_the_log, set_up),
        cmocka_unit_test_setup(a_log_is_pushed_as_far_as_it_can_be_read, set_up),
        cmocka_unit_test(damage_is_given_up_though_reads_fail),
        cmocka_unit_test_setup(an_epoch_is_asked_for_and_taken, set_up),
        cmocka_unit_test_setup(an_answer_to_what_was_given_up_meanwhile_counts, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_sync", tests, NULL, NULL);
}
