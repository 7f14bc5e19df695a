/* The inventory of a fork: what is told in which page, and what becomes of each verdict. */
#include "firmware/hub_fork.h"
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_fork_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    rig.hub.has_upstream = true;
    return 0;
}

static void small_pages_tell_every_process_once(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    for (int i = 0; i < 5; i++) {
        (void)fork_finish_one(&rig, i % 2 == 0 ? RECORD_SUCCESS : RECORD_FAILURE);
    }
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    struct sync_inventory page;
    assert_false(fork_page(&rig, SYNC_PAGE_BYTES, &page));
    uint64_t told = 0;
    while (rig.hub.fork_state == HUB_FORK_LISTING) {
        struct sync_inventory_row row;
        assert_true(fork_page(&rig, SYNC_PAGE_BYTES + 2 * SYNC_ROW_BYTES, &page));
        assert_in_range(page.row_count, 1, 2);
        while (sync_inventory_next(&page.rows, &row)) {
            assert_true(row.process > told);
            told = row.process;
            const struct sync_verdict ok = {.process = row.process, .kind = SYNC_VERDICT_OK};
            fork_judge(&rig, page.from, &ok, 0); /* an answer that judges nothing */
            fork_judge(&rig, row.process == page.from ? page.from : rig.hub.page.from, &ok, 1);
            break; /* the rest of the page comes again in the next one */
        }
        rig_settle(&rig);
    }
    assert_int_equal(told, 5);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
}

static void answers_to_another_page_change_nothing(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)fork_finish_one(&rig, RECORD_SUCCESS);
    const struct sync_verdict ok = {.process = 1, .kind = SYNC_VERDICT_OK};
    const struct sync_verdict other = {.process = 9, .kind = SYNC_VERDICT_OK};
    fork_judge(&rig, 1, &ok, 1); /* settled */
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    struct sync_inventory page;
    fork_judge(&rig, 7, &ok, 1); /* no such page was told */
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    fork_judge(&rig, 7, &ok, 1);
    fork_judge(&rig, page.from, &other, 1);
    hub_fork_judge(&rig.hub, (struct bytes){0});
    hub_fork_judge(&rig.hub, (struct bytes){(const uint8_t *)"\x82", 1});
    assert_int_equal(rig.hub.fork_state, HUB_FORK_LISTING);
    fork_judge(&rig, page.from, &ok, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
}

static void what_ended_upstream_ends_here_as_it_did_there(void **state) {
    (void)state;
    static const uint8_t states[] = {RECORD_COMPLETED, RECORD_FAILED};
    static const uint32_t phones[] = {0, 1};
    const struct rig_order two = {.items = 2, .phones = phones};
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    rig_phone_event(&rig, 0, PHONE_ON_DETACHED);
    rig_phone_event(&rig, 1, PHONE_ON_DETACHED);
    uint32_t open = rig_submit(&rig, &two);
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    struct sync_inventory page;
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    const struct sync_verdict ended = {
        .process = rig.hub.processes[open].number,
        .kind = SYNC_VERDICT_ENDED,
        .revision = 100,
        .generation = 1,
        .item_count = 2,
        .flags = RECORD_PLANNED,
        .states = {states, sizeof states},
    };
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_process(&rig, open)->status, PROCESS_PARTIAL);
    assert_true(rig_process(&rig, open)->revision > 100);
    assert_true(rig.hub.counters.ended_upstream == 1);
    rig_restart(&rig, true);
    assert_int_equal(rig_process(&rig, open)->status, PROCESS_PARTIAL);
}

static void an_end_that_is_known_here_too_only_lifts_the_revision(void **state) {
    (void)state;
    static const uint8_t states[] = {RECORD_COMPLETED};
    (void)rig_phone(&rig, "A");
    uint32_t done = fork_finish_one(&rig, RECORD_SUCCESS);
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    struct sync_inventory page;
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    const struct sync_verdict ended = {
        .process = 1,
        .kind = SYNC_VERDICT_ENDED,
        .revision = 50,
        .generation = 1,
        .item_count = 1,
        .flags = RECORD_PLANNED,
        .states = {states, sizeof states},
    };
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_process(&rig, done)->status, PROCESS_DONE);
    assert_true(rig_process(&rig, done)->revision > 50);
    assert_true(rig.hub.counters.ended_upstream == 0);
}

static struct sync_verdict ended_as(uint64_t process, const uint8_t *states, size_t size) {
    return (struct sync_verdict){
        .process = process,
        .kind = SYNC_VERDICT_ENDED,
        .revision = 100,
        .generation = 1,
        .item_count = 1,
        .flags = RECORD_PLANNED,
        .states = {states, size},
    };
}

/* The first page of a fork into this epoch. */
static struct sync_inventory fork_to(uint32_t epoch) {
    struct sync_inventory page;
    fork_take(&rig, epoch);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    return page;
}

/* Found by the farm: two forks in a row, and the ends of the items had not come to upstream. */
static void an_end_upstream_without_its_items_cancels_nothing(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t done = fork_finish_one(&rig, RECORD_SUCCESS);
    struct sync_inventory page = fork_to(2);
    const struct sync_verdict ended = ended_as(1, NULL, 0);
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_process(&rig, done)->status, PROCESS_DONE);
    assert_true(rig.hub.counters.ended_upstream == 0);
}

/* Found by the farm: the flags were in memory, and in no record. */
static void flags_of_an_end_upstream_are_recorded(void **state) {
    (void)state;
    static const uint8_t completed[] = {RECORD_COMPLETED};
    (void)rig_phone(&rig, "A");
    uint32_t done = fork_finish_one(&rig, RECORD_SUCCESS);
    struct sync_inventory page = fork_to(2);
    struct sync_verdict ended = ended_as(1, completed, sizeof completed);
    ended.revision = 1; /* the hub's is higher */
    ended.flags = RECORD_PLANNED | RECORD_CANCEL_REQUESTED;
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    rig_restart(&rig, true);
    assert_int_equal(rig_process(&rig, done)->image.flags, ended.flags);
}

/* Found by the farm: pages were pushed as fast as the network goes, for as long as a sync took. */
static void no_page_is_due_while_its_verdicts_have_no_room(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)fork_to(2);
    assert_true(hub_fork_has_page(&rig.hub));
    fork_fill(&rig, HUB_GAP_BYTES);
    assert_false(hub_fork_has_page(&rig.hub));
    rig_settle(&rig);
    assert_true(hub_fork_has_page(&rig.hub));
}

static void an_end_upstream_is_believed_against_another_one_here(void **state) {
    (void)state;
    static const uint8_t failed[] = {RECORD_FAILED};
    (void)rig_phone(&rig, "A");
    uint32_t done = fork_finish_one(&rig, RECORD_SUCCESS);
    struct sync_inventory page = fork_to(2);
    const struct sync_verdict ended = ended_as(1, failed, sizeof failed);
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_process(&rig, done)->status, PROCESS_DEAD_LETTER);
    assert_int_equal(rig_item(&rig, done, 1)->image.state, RECORD_FAILED);
    assert_true(rig.hub.counters.ended_upstream == 1);
    rig_restart(&rig, true);
    assert_int_equal(rig_process(&rig, done)->status, PROCESS_DEAD_LETTER);
}

/* A generation here that upstream has not seen ends as upstream's; its item numbers are used up. */
static void upstreams_generation_and_count_of_items_are_taken(void **state) {
    (void)state;
    static const uint8_t completed[] = {RECORD_COMPLETED};
    (void)rig_phone(&rig, "A");
    uint32_t process = fork_finish_one(&rig, RECORD_FAILURE);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, RECORD_CATEGORY_NONE), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->image.generation, 2);
    struct sync_inventory page = fork_to(2);
    struct sync_verdict ended = ended_as(1, completed, sizeof completed);
    ended.generation = 3;
    ended.item_count = 7;
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_process(&rig, process)->image.generation, 3);
    assert_int_equal(rig_process(&rig, process)->image.item_count, 7);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_FAILED); /* superseded */
    assert_int_equal(rig_item(&rig, process, 2)->image.state, RECORD_COMPLETED);
    assert_int_equal(rig_process(&rig, process)->status, PROCESS_DONE);
    assert_true(rig.hub.counters.ended_upstream == 1);
}

static void a_retry_numbers_its_items_behind_upstreams(void **state) {
    (void)state;
    static const uint8_t failed[] = {RECORD_FAILED};
    (void)rig_phone(&rig, "A");
    uint32_t process = fork_finish_one(&rig, RECORD_FAILURE);
    struct sync_inventory page = fork_to(2);
    struct sync_verdict ended = ended_as(1, failed, sizeof failed);
    ended.item_count = 5;
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 6)->image.generation, 2);
    assert_int_equal(rig_process(&rig, process)->image.item_count, 6);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    page = fork_to(3);
    ended.generation = 2;
    ended.item_count = UINT32_MAX; /* more than an order number tells apart */
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_FULL);
}

static void an_item_whose_end_is_not_told_is_canceled(void **state) {
    (void)state;
    static const uint8_t states[] = {RECORD_READY};
    static const uint32_t phones[] = {0, 1};
    const struct rig_order two = {.items = 2, .phones = phones};
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    rig_phone_event(&rig, 0, PHONE_ON_DETACHED);
    rig_phone_event(&rig, 1, PHONE_ON_DETACHED);
    uint32_t process = rig_submit(&rig, &two);
    struct sync_inventory page = fork_to(2);
    const struct sync_verdict ended = ended_as(1, states, sizeof states);
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_CANCELED);
    assert_int_equal(rig_item(&rig, process, 2)->image.state, RECORD_CANCELED);
    assert_int_equal(rig_process(&rig, process)->image.item_count, 2);
}

static void a_retry_replaces_what_was_canceled_there_too(void **state) {
    (void)state;
    static const uint8_t states[] = {RECORD_FAILED, RECORD_CANCELED};
    static const uint32_t phones[] = {0, 1};
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    rig_phone_event(&rig, 0, PHONE_ON_DETACHED);
    rig_phone_event(&rig, 1, PHONE_ON_DETACHED);
    uint32_t process = rig_submit(&rig, &(struct rig_order){.items = 2, .phones = phones});
    struct sync_inventory page = fork_to(2);
    struct sync_verdict ended = ended_as(1, states, sizeof states);
    ended.item_count = 2;
    fork_judge(&rig, page.from, &ended, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_ask(&rig, hub_retry, process), STATUS_OK);
    assert_int_equal(rig_item(&rig, process, 3)->image.state, RECORD_READY);
    assert_int_equal(rig_item(&rig, process, 4)->image.target_index, 1);
}

static void a_process_that_has_gone_is_not_told_and_its_verdict_is_passed(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t first = fork_finish_one(&rig, RECORD_SUCCESS);
    uint32_t second = fork_finish_one(&rig, RECORD_SUCCESS);
    (void)fork_finish_one(&rig, RECORD_SUCCESS);
    hub_process_forget(&rig.hub, first);
    rig_settle(&rig);
    struct sync_inventory page = fork_to(2);
    assert_int_equal(page.row_count, 2);
    hub_process_forget(&rig.hub, second);
    const struct sync_verdict verdicts[] = {
        {.process = 2, .kind = SYNC_VERDICT_MISSING, .revision = 9},
        {.process = 3, .kind = SYNC_VERDICT_OK},
    };
    fork_judge(&rig, page.from, verdicts, 2);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
}

static void a_record_that_cannot_be_read_proves_nothing(void **state) {
    (void)state;
    static const uint8_t zeros[SYNC_DIGEST_BYTES] = {0};
    struct sync_inventory_row row;
    (void)rig_phone(&rig, "A");
    uint32_t process = fork_finish_one(&rig, RECORD_SUCCESS);
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    const struct store_slot *tail = store_slot(&rig.hub.store, rig_process(&rig, process)->tail);
    rig.flash.cells[tail->where + 24] ^= 0x10;
    struct sync_inventory page;
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    assert_true(sync_inventory_next(&page.rows, &row));
    assert_memory_equal(row.digest, zeros, sizeof zeros);
    rig.flash.cells[tail->where + 24] ^= 0x10;
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    assert_true(sync_inventory_next(&page.rows, &row));
    assert_memory_not_equal(row.digest, zeros, sizeof zeros);
    assert_memory_not_equal(row.request, zeros, sizeof zeros);
    const struct store_key request = {RECORD_REQUEST, process};
    rig.flash.cells[store_slot(&rig.hub.store, request)->where + 24] ^= 0x10;
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    assert_true(sync_inventory_next(&page.rows, &row));
    assert_memory_equal(row.request, zeros, sizeof zeros);
}

static void verdicts_count_once_and_in_their_order(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    for (int i = 0; i < 3; i++) {
        (void)fork_finish_one(&rig, RECORD_SUCCESS);
    }
    fork_take(&rig, 2);
    fork_settle_until(&rig, HUB_FORK_LISTING);
    struct sync_inventory page;
    assert_true(fork_page(&rig, SYNC_PAGE_BYTES + 2 * SYNC_ROW_BYTES, &page));
    assert_true(page.has_more);
    const struct sync_verdict back[] = {{.process = 1, .kind = SYNC_VERDICT_OK},
                                        {.process = 1, .kind = SYNC_VERDICT_OK}};
    const struct sync_verdict rest = {.process = 2, .kind = SYNC_VERDICT_OK};
    fork_judge(&rig, page.from, back, 2); /* the second one is behind what is expected */
    assert_int_equal(rig.hub.page.next, 2);
    fork_judge(&rig, page.from, &rest, 1); /* the page was judged in part: it is told anew */
    assert_int_equal(rig.hub.page.next, 2);
    assert_true(fork_page(&rig, SYNC_PAGE_BYTES + SYNC_ROW_BYTES, &page));
    fork_judge(&rig, page.from, &rest, 1); /* all of it, but there is more */
    assert_int_equal(rig.hub.fork_state, HUB_FORK_LISTING);
    assert_int_equal(rig.hub.page.next, 3);
    fork_answer_all(&rig, SYNC_VERDICT_OK);
}

/* Whatever room the group has left, every record of a process goes on, in one group or in more. */
static void what_is_missing_is_carried_in_as_many_groups_as_it_takes(void **state) {
    static const struct store_key keys[] = {
        {RECORD_REQUEST, 0}, {RECORD_PROCESS, 0}, {RECORD_ITEM, 0}, {RECORD_ATTEMPT, 0}};
    const struct sync_verdict missing = {
        .process = 1, .kind = SYNC_VERDICT_MISSING, .revision = 40};
    for (uint32_t room = HUB_GAP_BYTES; room < HUB_GAP_BYTES + 800; room += 50) {
        (void)set_up(state);
        (void)rig_phone(&rig, "A");
        (void)fork_finish_one(&rig, RECORD_SUCCESS);
        struct sync_inventory page = fork_to(2);
        uint32_t turns = 0;
        while (rig.hub.fork_state == HUB_FORK_LISTING) {
            assert_true(turns++ < 20);
            fork_fill(&rig, room + turns * 40);
            fork_judge(&rig, page.from, &missing, 1);
            rig_settle(&rig);
            if (rig.hub.page.next > 1) {
                fork_answer_all(&rig, SYNC_VERDICT_OK);
            }
        }
        for (size_t i = 0; i < array_count(keys); i++) {
            assert_true(store_slot(&rig.hub.store, keys[i])->seq > rig.hub.image.life.seq);
        }
        assert_true(rig_process(&rig, 0)->revision > 40);
    }
}

static void a_full_group_holds_up_a_lift_and_an_end(void **state) {
    (void)state;
    static const uint8_t failed[] = {RECORD_FAILED};
    const struct sync_verdict ended = ended_as(1, failed, sizeof failed);
    const struct sync_verdict carried = {.process = 1, .kind = SYNC_VERDICT_MISSING};
    const struct sync_verdict lifted = {.process = 1, .kind = SYNC_VERDICT_MISSING, .revision = 70};
    (void)rig_phone(&rig, "A");
    (void)fork_finish_one(&rig, RECORD_SUCCESS);
    uint32_t second = fork_finish_one(&rig, RECORD_SUCCESS);
    struct sync_inventory page = fork_to(2);
    fork_judge(&rig, page.from, &carried, 1);
    rig_settle(&rig);
    rig_restart(&rig, true); /* it is listed anew, and nothing of it need be carried again */
    rig.hub.has_upstream = true;
    fork_settle_until(&rig, HUB_FORK_LISTING);
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    fork_fill(&rig, HUB_GAP_BYTES);
    rig.hub.held_bytes = HUB_GAP_BYTES;
    fork_judge(&rig, page.from, &lifted, 1);
    rig.hub.held_bytes = 0;
    assert_int_equal(rig.hub.page.next, 1);
    rig_settle(&rig);
    fork_judge(&rig, page.from, &lifted, 1);
    assert_int_equal(rig.hub.page.next, 2);
    assert_true(rig_process(&rig, 0)->revision > 70);
    assert_true(fork_page(&rig, FORK_PAGE_BYTES, &page));
    fork_fill(&rig, HUB_GAP_BYTES);
    const struct sync_verdict other = {.process = 2,
                                       .kind = ended.kind,
                                       .revision = 100,
                                       .generation = 1,
                                       .item_count = 1,
                                       .flags = RECORD_PLANNED,
                                       .states = ended.states};
    fork_judge(&rig, page.from, &other, 1);
    assert_int_equal(rig_process(&rig, second)->status, PROCESS_DONE);
    rig_settle(&rig);
    fork_judge(&rig, page.from, &other, 1);
    fork_settle_until(&rig, HUB_FORK_SETTLED);
    assert_int_equal(rig_process(&rig, second)->status, PROCESS_DEAD_LETTER);
}

int firmware_hub_inventory_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(small_pages_tell_every_process_once, set_up),
        cmocka_unit_test_setup(answers_to_another_page_change_nothing, set_up),
        cmocka_unit_test_setup(what_ended_upstream_ends_here_as_it_did_there, set_up),
        cmocka_unit_test_setup(an_end_that_is_known_here_too_only_lifts_the_revision, set_up),
        cmocka_unit_test_setup(flags_of_an_end_upstream_are_recorded, set_up),
        cmocka_unit_test_setup(no_page_is_due_while_its_verdicts_have_no_room, set_up),
        cmocka_unit_test_setup(an_end_upstream_without_its_items_cancels_nothing, set_up),
        cmocka_unit_test_setup(an_end_upstream_is_believed_against_another_one_here, set_up),
        cmocka_unit_test_setup(upstreams_generation_and_count_of_items_are_taken, set_up),
        cmocka_unit_test_setup(a_retry_numbers_its_items_behind_upstreams, set_up),
        cmocka_unit_test_setup(an_item_whose_end_is_not_told_is_canceled, set_up),
        cmocka_unit_test_setup(a_retry_replaces_what_was_canceled_there_too, set_up),
        cmocka_unit_test_setup(a_process_that_has_gone_is_not_told_and_its_verdict_is_passed,
                               set_up),
        cmocka_unit_test_setup(a_record_that_cannot_be_read_proves_nothing, set_up),
        cmocka_unit_test_setup(verdicts_count_once_and_in_their_order, set_up),
        cmocka_unit_test_setup(what_is_missing_is_carried_in_as_many_groups_as_it_takes, set_up),
        cmocka_unit_test_setup(a_full_group_holds_up_a_lift_and_an_end, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_inventory", tests, NULL, NULL);
}
