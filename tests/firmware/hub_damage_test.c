/* A start on a store whose records are damaged, or say what no hub of ours would say: each is
 * counted as suspect or left out, the rest is served, and nothing is believed that is not whole. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static const struct rig_order one = {.key = "k", .labels = "[\"lab\"]"};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

/* One bit of an object's newest record changes on flash; newer groups show that it is rot, and not
 * the torn end of the log. */
static void spoil(enum record_kind kind, uint32_t index) {
    for (unsigned i = 0; i < 2; i++) {
        uint32_t other;
        assert_int_equal(hub_phone_identify(&rig.hub, i == 0 ? bytes_of("Y") : bytes_of("Z"),
                                            bytes_of(""), bytes_of(""), &other),
                         STATUS_OK);
        rig_commit(&rig);
    }
    const struct store_slot *slot =
        store_slot(&rig.hub.store, (struct store_key){(uint8_t)kind, index});
    assert_true(slot->seq != 0);
    rig.flash.cells[slot->where + 24] ^= 0x10;
}

/* A record with a whole header and an image that ends early. */
static void append_cut(enum record_kind kind, uint32_t index, uint64_t number, size_t path) {
    uint8_t bytes[256];
    struct cbor_writer writer;
    struct record_header header = {.kind = kind,
                                   .event = RECORD_STEP_EVENT,
                                   .path_count = (uint8_t)path,
                                   .path = {number, 1, 1},
                                   .revision = 1000,
                                   .time = hub_now(&rig.hub)};
    cbor_writer_init(&writer, bytes, sizeof bytes);
    record_put_header(&writer, &header);
    cbor_put_array(&writer, 1);
    (void)store_append(&rig.hub.store, (struct store_key){(uint8_t)kind, index}, NULL,
                       (struct bytes){bytes, writer.size});
    rig_commit(&rig);
}

static void reload(void) {
    rig_restart(&rig, true);
    rig_settle(&rig);
}

/* A process with one item that has failed, an attempt, a phone and, evicted, a kept key. */
static uint32_t make_all(void) {
    uint32_t phone = rig_phone(&rig, "A");
    assert_int_equal(hub_phone_label(&rig.hub, phone, bytes_of("lab")), STATUS_OK);
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_ADB), STATUS_OK);
    return process;
}

static void a_process_that_cannot_be_read_is_suspect_and_its_items_are_left_out(void **state) {
    (void)state;
    uint32_t process = make_all();
    uint64_t number = rig_process(&rig, process)->number;
    spoil(RECORD_PROCESS, process);
    reload();
    assert_true(rig.hub.counters.suspect_objects > 0);
    assert_int_equal(hub_process_find(&rig.hub, number), HUB_NONE);
    assert_int_equal(pool_free_count(&rig.hub.item_pool), rig.hub.board->items);
}

static void every_kind_of_record_that_cannot_be_read_is_counted(void **state) {
    (void)state;
    static const enum record_kind kinds[] = {RECORD_PHONE, RECORD_REQUEST, RECORD_ITEM,
                                             RECORD_ATTEMPT};
    for (size_t i = 0; i < array_count(kinds); i++) {
        rig_start(&rig);
        (void)make_all();
        spoil(kinds[i], 0);
        rig_restart(&rig, true);
        assert_true(rig.hub.counters.suspect_objects > 0);
    }
}

static void an_image_that_ends_early_is_counted(void **state) {
    (void)state;
    static const struct {
        enum record_kind kind;
        size_t path;
    } rows[] = {{RECORD_PHONE, 1}, {RECORD_REQUEST, 1}, {RECORD_PROCESS, 1},
                {RECORD_ITEM, 2},  {RECORD_ATTEMPT, 3}, {RECORD_KEY, 1}};
    for (size_t i = 0; i < array_count(rows); i++) {
        rig_start(&rig);
        uint64_t number = rig_process(&rig, make_all())->number;
        append_cut(rows[i].kind, 0, number, rows[i].path);
        rig_restart(&rig, true);
        assert_true(rig.hub.counters.suspect_objects > 0);
    }
}

/* Without its own record a hub knows neither its tokens nor its boots: it does not start. */
static void a_hub_that_cannot_read_its_own_record_does_not_start(void **state) {
    (void)state;
    rig_restart(&rig, false);
    rig_settle(&rig);
    spoil(RECORD_HUB, 0);
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_CORRUPT);
    rig_start(&rig);
    append_cut(RECORD_HUB, 0, 0, 0);
    memset(rig.memory, 0, sizeof rig.memory);
    hub_init(&rig.hub, rig.hub.board, rig.memory, &rig.flash.base, 1);
    assert_int_equal(hub_load(&rig.hub, bytes_of("hub"), rig.boot_id, &rig.clock), STATUS_CORRUPT);
}

/* What another kind of record stands at is no record of this one. */
static void a_record_of_another_kind_is_suspect(void **state) {
    (void)state;
    uint8_t bytes[256];
    struct cbor_writer writer;
    struct record_header header = {
        .kind = RECORD_KEY, .event = RECORD_EVICTED_EVENT, .path_count = 1, .path = {1}};
    header.time = hub_now(&rig.hub);
    header.revision = 1;
    cbor_writer_init(&writer, bytes, sizeof bytes);
    record_put_header(&writer, &header);
    (void)store_append(&rig.hub.store, (struct store_key){RECORD_PHONE, 0}, NULL,
                       (struct bytes){bytes, writer.size});
    rig_commit(&rig);
    rig_restart(&rig, true);
    assert_int_equal(rig.hub.counters.suspect_objects, 1);
    assert_int_equal(rig.hub.phone_count, 0);
}

/* A phone's row whose labels are none: the phone is there, without them. */
static void labels_that_are_none_are_left_out(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    memcpy(rig.hub.phones[phone].labels, "no(label", 9);
    hub_log_phone(&rig.hub, phone, RECORD_PHONE_STATE_EVENT);
    rig_commit(&rig);
    rig_restart(&rig, true);
    assert_int_equal(rig.hub.counters.suspect_objects, 1);
    assert_int_equal(rig.hub.phone_count, 1);
    assert_string_equal(rig.hub.phones[phone].labels, "");
}

/* A request that belongs to an earlier process of the same slot says nothing of this one. */
static void a_request_of_another_process_is_not_taken(void **state) {
    (void)state;
    uint32_t process = make_all();
    rig.hub.processes[process].number += 1;
    hub_log_process(&rig.hub, process, RECORD_STEP_EVENT);
    rig_commit(&rig);
    rig_restart(&rig, true);
    assert_int_equal(rig.hub.processes[process].capability, HUB_NONE);
}

/* The phone of a lease is not in the table: the item is taken up again all the same. */
static void an_item_whose_phone_is_unknown_is_recovered(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    const struct rig_order plain = {0};
    uint32_t process = rig_submit(&rig, &plain);
    (void)rig_begin(&rig);
    spoil(RECORD_PHONE, 0);
    rig_restart(&rig, false);
    assert_int_equal(hub_phone_find(&rig.hub, bytes_of("A")), HUB_NONE);
    assert_int_equal(hub_phone_by_number(&rig.hub, 2), 1); /* the others stay where they were */
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_RUNNING);
}

/* A history is followed as far as it is whole. */
static void a_history_ends_where_it_is_damaged(void **state) {
    (void)state;
    uint32_t process = make_all();
    struct hub_history walk;
    struct bytes record;
    uint32_t where;
    uint32_t count = 0;
    hub_history_start(&rig.hub, process, &walk);
    spoil(RECORD_REQUEST, process);
    while (hub_history_next(&rig.hub, &walk, &record, &where) == STATUS_OK) {
        assert_false(hub_history_is_open(where));
        count += 1;
    }
    assert_true(count + 1 >= rig_process(&rig, process)->revision - 1 && count > 0);
    assert_int_equal(hub_history_next(&rig.hub, &walk, &record, &where), STATUS_NOT_FOUND);
    where = store_slot(&rig.hub.store, (struct store_key){RECORD_REQUEST, process})->where;
    assert_int_equal(
        hub_history_read(&rig.hub, where, rig_process(&rig, process)->number, 1, &record),
        STATUS_NOT_FOUND);
}

/* A place may hold another record by now: process, revision and kind must be those asked for. */
static void a_record_is_read_again_only_if_it_is_the_same(void **state) {
    (void)state;
    uint32_t process = make_all();
    const struct hub_process *of = rig_process(&rig, process);
    uint32_t where = store_slot(&rig.hub.store, of->tail)->where;
    struct bytes record;
    assert_int_equal(hub_history_read(&rig.hub, where, of->number, of->revision, &record),
                     STATUS_OK);
    assert_int_equal(hub_history_read(&rig.hub, where, of->number + 1, of->revision, &record),
                     STATUS_NOT_FOUND);
    assert_int_equal(hub_history_read(&rig.hub, where, of->number, of->revision - 1, &record),
                     STATUS_NOT_FOUND);
    where = store_slot(&rig.hub.store, (struct store_key){RECORD_PHONE, 0})->where;
    const struct hub_phone *phone = &rig.hub.phones[0];
    assert_int_equal(hub_history_read(&rig.hub, where, phone->number, phone->revision, &record),
                     STATUS_NOT_FOUND);
    where = store_slot(&rig.hub.store, (struct store_key){RECORD_HUB, 0})->where;
    assert_int_equal(hub_history_read(&rig.hub, where, 0, rig.hub.revision, &record),
                     STATUS_NOT_FOUND);
}

static void a_process_is_found_by_its_key(void **state) {
    (void)state;
    uint32_t process = make_all();
    uint8_t digest[RECORD_DIGEST_BYTES] = {'k'};
    assert_int_equal(hub_process_by_key(&rig.hub, digest), process);
    digest[RECORD_DIGEST_BYTES - 1] = 1; /* the same place in the index, another key */
    assert_int_equal(hub_process_by_key(&rig.hub, digest), HUB_NONE);
    digest[0] = 'x';
    assert_int_equal(hub_process_by_key(&rig.hub, digest), HUB_NONE);
    assert_int_equal(hub_process_find(&rig.hub, 12345), HUB_NONE);
}

/* A request that cannot be read any more: what needs it says so and changes nothing. */
static void a_retry_of_a_request_that_is_gone_is_refused(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    const struct rig_order plain = {0};
    uint32_t process = rig_submit(&rig, &plain);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, RECORD_FAILURE, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    spoil(RECORD_REQUEST, process);
    uint64_t head = hub_head_seq(&rig.hub);
    assert_int_equal(hub_retry(&rig.hub, process), STATUS_CORRUPT);
    assert_true(hub_head_seq(&rig.hub) == head);
}

static void accounts_that_cannot_be_read_are_waited_for_by_nobody(void **state) {
    (void)state;
    static const char *const accounts[] = {"anna", "ben"};
    const struct rig_order order = {.items = 2, .accounts = accounts};
    uint32_t process = rig_submit(&rig, &order);
    spoil(RECORD_REQUEST, process);
    rig_restart(&rig, true);
    assert_true(rig.hub.counters.suspect_objects > 0);
    assert_int_equal(rig_item(&rig, process, 2)->image.state, RECORD_READY);
}

/* What is evicted leaves its key; one that cannot be read matches nothing any more. */
static void a_kept_key_that_cannot_be_read_matches_nothing(void **state) {
    (void)state;
    const struct rig_order keyed = {.key = "k"};
    struct hub_accepted accepted;
    uint32_t process = rig_submit(&rig, &keyed);
    uint64_t number = rig_process(&rig, process)->number;
    rig_cancel(&rig, process);
    const struct rig_order wide = {.items = 4};
    while (hub_process_find(&rig.hub, number) != HUB_NONE) {
        rig_cancel(&rig, rig_submit(&rig, &wide));
    }
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_OK);
    assert_true(accepted.is_duplicate && accepted.number == number);
    spoil(RECORD_KEY, 0);
    rig_restart(&rig, true);
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_OK);
    assert_false(accepted.is_duplicate);
}

/* In small steps, each with a pause that the loop may sleep through; a host with work goes first.
 */
static void reads_all_of_its_store_within_a_day_while_it_is_idle(void **state) {
    (void)state;
    const uint64_t day = 24 * 3600 * 1000;
    rig_start(&rig);
    uint64_t begun = rig.clock.mono_ms;
    uint32_t steps = 0;
    hub_step(&rig.hub);
    assert_true(hub_deadline_ms(&rig.hub) > begun + 60000);
    while (rig.hub.store.scrub.passes == 0 && steps < 100) {
        uint64_t due = hub_deadline_ms(&rig.hub);
        assert_true(due > rig.clock.mono_ms && due != TIMER_NEVER);
        rig_advance(&rig, due - rig.clock.mono_ms);
        steps += 1;
    }
    assert_int_equal(rig.hub.store.scrub.passes, 1);
    assert_true(rig.clock.mono_ms - begun <= 2 * day);
    assert_int_equal(rig.hub.scrub_ended.mono_ms, rig.clock.mono_ms);
    assert_int_equal(rig.hub.store.scrub.last_damaged, 0);
    rig.clock.mono_ms = rig.hub.scrub_due_ms;
    hub_set_clock(&rig.hub, &rig.clock);
    (void)rig_phone(&rig, "A");
    hub_step(&rig.hub); /* a record waits for its commit */
    assert_int_equal(rig.hub.scrub_due_ms, rig.clock.mono_ms + 1000);
}

int firmware_hub_damage_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_process_that_cannot_be_read_is_suspect_and_its_items_are_left_out,
                               set_up),
        cmocka_unit_test_setup(every_kind_of_record_that_cannot_be_read_is_counted, set_up),
        cmocka_unit_test_setup(an_image_that_ends_early_is_counted, set_up),
        cmocka_unit_test_setup(a_hub_that_cannot_read_its_own_record_does_not_start, set_up),
        cmocka_unit_test_setup(a_record_of_another_kind_is_suspect, set_up),
        cmocka_unit_test_setup(labels_that_are_none_are_left_out, set_up),
        cmocka_unit_test_setup(a_request_of_another_process_is_not_taken, set_up),
        cmocka_unit_test_setup(an_item_whose_phone_is_unknown_is_recovered, set_up),
        cmocka_unit_test_setup(a_history_ends_where_it_is_damaged, set_up),
        cmocka_unit_test_setup(a_record_is_read_again_only_if_it_is_the_same, set_up),
        cmocka_unit_test_setup(a_process_is_found_by_its_key, set_up),
        cmocka_unit_test_setup(a_retry_of_a_request_that_is_gone_is_refused, set_up),
        cmocka_unit_test_setup(accounts_that_cannot_be_read_are_waited_for_by_nobody, set_up),
        cmocka_unit_test_setup(a_kept_key_that_cannot_be_read_matches_nothing, set_up),
        cmocka_unit_test(reads_all_of_its_store_within_a_day_while_it_is_idle),
    };
    return cmocka_run_group_tests_name("firmware/hub_damage", tests, NULL, NULL);
}
