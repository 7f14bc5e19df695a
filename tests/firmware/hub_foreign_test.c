/* A start on records that are whole, and say what no hub of this board writes: another board's,
 * or a newer program's; and a start during which the flash fails. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static const struct rig_order one = {0};
static uint8_t record[2048];

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    return 0;
}

static void begin_record(struct cbor_writer *writer, struct record_header header) {
    header.time = hub_now(&rig.hub);
    header.revision = 1000;
    cbor_writer_init(writer, record, sizeof record);
    record_put_header(writer, &header);
}

static void append(enum record_kind kind, uint32_t index, size_t size) {
    rig_commit(&rig);
    (void)store_append(&rig.hub.store, (struct store_key){(uint8_t)kind, index}, NULL,
                       (struct bytes){record, size});
    rig_commit(&rig);
}

/* What can be read as no record at all. */
static void append_garbage(enum record_kind kind, uint32_t index) {
    record[0] = 0xff;
    append(kind, index, 1);
}

/* ---- the hub's own record ---- */

static void a_gap_beyond_the_end_is_refused(void **state) {
    (void)state;
    rig.hub.image.gap = (struct record_gap){.first = 1, .last = UINT64_C(1) << 40};
    hub_log_self(&rig.hub, RECORD_GAVE_UP_EVENT);
    rig_commit(&rig);
    assert_int_equal(rig_try_restart(&rig), STATUS_CORRUPT);
}

static void without_a_boot_id_it_is_another_boot(void **state) {
    (void)state;
    struct cbor_writer writer;
    uint32_t boot = rig.hub.image.boot;
    struct record_hub image = rig.hub.image;
    image.hub_id = bytes_of("hub");
    image.boot_id = (struct bytes){0};
    begin_record(&writer, (struct record_header){.kind = RECORD_HUB});
    record_put_hub(&writer, &image);
    append(RECORD_HUB, 0, writer.size);
    rig_restart(&rig, true);
    assert_int_equal(rig.hub.image.boot, boot + 1);
}

/* ---- phones and keys ---- */

static void a_reason_that_is_too_long_is_left_out(void **state) {
    (void)state;
    static char reason[HUB_REASON_MAX + 1];
    struct cbor_writer writer;
    for (size_t size = HUB_REASON_MAX; size <= sizeof reason; size++) {
        memset(reason, 'r', sizeof reason);
        const struct record_phone image = {.state = RECORD_PHONE_QUARANTINED,
                                           .id = bytes_of("A"),
                                           .reason = {(const uint8_t *)reason, size}};
        begin_record(&writer,
                     (struct record_header){.kind = RECORD_PHONE, .path_count = 1, .path = {1}});
        record_put_phone(&writer, &image);
        append(RECORD_PHONE, 0, writer.size);
        rig_restart(&rig, true);
        assert_int_equal(rig.hub.phones[0].state, RECORD_PHONE_QUARANTINED);
        assert_int_equal(strlen(rig.hub.phones[0].reason), size == HUB_REASON_MAX ? size : 0);
    }
}

static void append_key(uint32_t index, uint64_t number, size_t key_bytes, size_t body_bytes) {
    static const uint8_t digest[RECORD_DIGEST_BYTES] = "k";
    struct cbor_writer writer;
    const struct record_key image = {.key = {digest, key_bytes},
                                     .body_digest = {digest, body_bytes},
                                     .process = 7,
                                     .status = PROCESS_DONE,
                                     .evicted = hub_now(&rig.hub)};
    begin_record(&writer,
                 (struct record_header){.kind = RECORD_KEY, .path_count = 1, .path = {number}});
    record_put_key(&writer, &image);
    append(RECORD_KEY, index, writer.size);
}

static void a_kept_key_without_its_digests_is_none(void **state) {
    (void)state;
    struct hub_accepted accepted;
    append_key(0, 1, 0, RECORD_DIGEST_BYTES);
    append_key(1, 2, RECORD_DIGEST_BYTES, 0);
    rig_restart(&rig, true);
    const struct rig_order keyed = {.key = "k"};
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_OK);
    assert_false(accepted.is_duplicate);
}

static void keys_go_on_behind_the_last_one(void **state) {
    (void)state;
    struct hub_accepted accepted;
    append_key(rig.hub.board->keys - 1, 5, RECORD_DIGEST_BYTES, RECORD_DIGEST_BYTES);
    rig_restart(&rig, true);
    const struct rig_order keyed = {.key = "k"};
    assert_int_equal(rig_accept(&rig, &keyed, &accepted), STATUS_OK);
    assert_true(accepted.is_duplicate && accepted.number == 7);
    assert_int_equal(rig.hub.key_next, 0);
    assert_int_equal(rig.hub.image.key_number, 5);
}

static void a_key_is_no_part_of_a_history(void **state) {
    (void)state;
    struct bytes body;
    append_key(0, 3, RECORD_DIGEST_BYTES, RECORD_DIGEST_BYTES);
    uint32_t where = store_slot(&rig.hub.store, (struct store_key){RECORD_KEY, 0})->where;
    assert_int_equal(hub_history_read(&rig.hub, where, 3, 1000, &body), STATUS_NOT_FOUND);
    struct hub_history walk = {.where = where, .process = 3, .revision = 0};
    assert_int_equal(hub_history_next(&rig.hub, &walk, &body, &where), STATUS_NOT_FOUND);
}

/* ---- requests ---- */

static struct record_request request_of(uint32_t process) {
    static uint8_t kept[8192];
    struct record_request request;
    assert_int_equal(hub_request_read(&rig.hub, process, &request), STATUS_OK);
    assert_true(rig.hub.record_bytes <= sizeof kept);
    memcpy(kept, rig.hub.read_buffer, rig.hub.record_bytes);
    return request;
}

static void a_request_without_a_digest_and_with_labels_that_are_none(void **state) {
    (void)state;
    static const uint8_t zeros[RECORD_DIGEST_BYTES] = {0};
    rig.hub.is_stopping = true;
    uint32_t process = rig_submit(&rig, &(struct rig_order){.body = "b"});
    struct record_request request = request_of(process);
    request.body_digest = (struct bytes){0};
    request.labels = bytes_of("no array");
    hub_log_request(&rig.hub, process, &request);
    rig_commit(&rig);
    rig_restart(&rig, true);
    assert_int_equal(rig.hub.counters.suspect_objects, 1);
    assert_int_equal(rig_process(&rig, process)->label_set, HUB_NONE);
    assert_memory_equal(rig_process(&rig, process)->body_digest, zeros, sizeof zeros);
    (void)rig_phone(&rig, "A");
    (void)rig_begin(&rig); /* any phone will do */
}

static void a_request_that_is_no_record_binds_to_no_capability(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &one);
    append_garbage(RECORD_REQUEST, process);
    rig_restart(&rig, true);
    assert_int_equal(rig_process(&rig, process)->capability, HUB_NONE);
    struct capability capability = rig.hub.capabilities[RIG_WORK];
    memcpy(capability.name, "other", sizeof "other");
    assert_int_equal(hub_capability_set(&rig.hub, &capability), STATUS_OK);
    assert_int_equal(rig_process(&rig, process)->capability, HUB_NONE);
    assert_int_equal(hub_process_wait(&rig.hub, process), HUB_WAIT_CAPABILITY);
}

/* When it was to start is not known any more: it waits for a person. */
static void a_start_time_that_is_lost_never_comes(void **state) {
    (void)state;
    const struct rig_order later = {.not_before_ms = 1700000000000 + 60000};
    uint32_t process = rig_submit(&rig, &later);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_SCHEDULED);
    append_garbage(RECORD_REQUEST, process);
    rig_restart(&rig, true);
    rig_advance(&rig, 120000);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_SCHEDULED);
    rig_cancel(&rig, process);
}

/* ---- leases ---- */

static void an_attempt_whose_phone_is_unknown_ends(void **state) {
    (void)state;
    static const enum rig_capability kinds[] = {RIG_WORK, RIG_ONCE};
    static const enum record_item_state ends[] = {RECORD_RETRY_WAIT, RECORD_SUSPENDED};
    for (size_t i = 0; i < array_count(kinds); i++) {
        rig_start(&rig);
        (void)rig_phone(&rig, "A");
        uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = kinds[i]});
        struct hub_start start = rig_begin(&rig);
        assert_int_equal(rig_step(&rig, &start), STATUS_OK);
        append_garbage(RECORD_PHONE, 0);
        rig_restart(&rig, true);
        rig_settle(&rig);
        /* The action behind the one that was done is one that must not run twice, or is not. */
        assert_int_equal(rig_item(&rig, process, 1)->image.state, ends[i]);
        assert_int_equal(rig_item(&rig, process, 1)->image.attempts_counted, i == 0);
    }
}

static void a_lease_whose_phone_is_unknown_is_given_back(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE});
    assert_int_equal(rig_claim(&rig, "w", "", 1).count, 1);
    append_garbage(RECORD_PHONE, 0);
    rig_restart(&rig, true);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_READY);
}

/* A running attempt's record says nothing of its start: the item's record does. */
static void an_attempt_that_does_not_say_when_it_started(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_begin(&rig);
    uint32_t item = rig_process(&rig, process)->first_item;
    uint64_t started_ms = rig_item(&rig, process, 1)->attempt_started.mono_ms;
    const struct record_attempt image = {.phone_id = bytes_of("A")};
    rig.clock.mono_ms += 5000;
    hub_set_clock(&rig.hub, &rig.clock);
    hub_log_attempt(&rig.hub, item, hub_attempt_take(&rig.hub, item), RECORD_STEP_EVENT, &image);
    rig_commit(&rig);
    rig_restart(&rig, true);
    assert_true(rig_item(&rig, process, 1)->attempt_started.mono_ms == started_ms);
}

static void findings_that_cannot_be_read_are_none(void **state) {
    (void)state;
    struct cbor_writer writer;
    struct bytes found;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_step(&rig, &start), STATUS_OK);
    assert_int_equal(hub_attempt_findings(&rig.hub, start.item, &found), STATUS_OK);
    uint32_t attempt = rig_item(&rig, process, 1)->first_attempt;
    begin_record(&writer, (struct record_header){
                              .kind = RECORD_ATTEMPT, .path_count = 3, .path = {1, 1, 1}});
    cbor_put_array(&writer, 1);
    append(RECORD_ATTEMPT, attempt, writer.size);
    assert_int_equal(hub_attempt_findings(&rig.hub, start.item, &found), STATUS_NOT_FOUND);
    append_garbage(RECORD_ATTEMPT, attempt);
    assert_int_equal(hub_attempt_findings(&rig.hub, start.item, &found), STATUS_NOT_FOUND);
}

/* Two items say that they lease one phone: it is one's, and both go on. */
static void a_phone_that_two_items_lease_is_ones(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    uint32_t first = rig_submit(&rig, &one);
    uint32_t second = rig_submit(&rig, &one);
    rig_item(&rig, first, 1)->image.phone = rig_item(&rig, second, 1)->image.phone;
    (void)hub_log_item(&rig.hub, rig_process(&rig, first)->first_item, RECORD_STARTED_EVENT);
    rig_commit(&rig);
    rig_restart(&rig, true);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, first, 1)->image.state, RECORD_RETRY_WAIT);
    assert_int_equal(rig_item(&rig, second, 1)->image.state, RECORD_RETRY_WAIT);
}

/* Canceled after a start, before the hub looks at what it was leased to. */
static void a_lease_that_is_canceled_needs_no_recovery(void **state) {
    (void)state;
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_OUTSIDE});
    assert_int_equal(rig_claim(&rig, "w", "", 1).count, 1);
    rig_restart(&rig, false);
    assert_true(rig_item(&rig, process, 1)->needs_recovery);
    assert_int_equal(hub_cancel(&rig.hub, process), STATUS_OK);
    assert_false(rig_item(&rig, process, 1)->needs_recovery);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, process, 1)->image.state, RECORD_CANCELED);
}

/* ---- a store of a board that keeps more attempts ---- */

static void log_attempts(uint32_t process, uint32_t first, uint32_t count) {
    uint32_t item = rig_process(&rig, process)->first_item;
    const struct record_attempt image = {.phone_id = bytes_of("A"), .outcome = RECORD_FAILURE};
    for (uint32_t i = 0; i < count; i++) {
        rig.hub.attempts[first + i] = (struct hub_attempt){.number = i + 1, .item = item};
        hub_log_attempt(&rig.hub, item, first + i, RECORD_ATTEMPT_ENDED_EVENT, &image);
        rig_commit(&rig);
    }
}

static uint32_t last_kept(uint32_t process) {
    uint32_t newest = hub_attempt_newest(&rig.hub, rig_process(&rig, process)->first_item);
    return newest == HUB_NONE ? 0 : rig.hub.attempts[newest].number;
}

static void attempts_beyond_the_limit_are_dropped_from_their_middle(void **state) {
    (void)state;
    uint32_t process = rig_submit(&rig, &(struct rig_order){.capability = RIG_SPARING});
    log_attempts(process, 0, 12); /* without a time: no budget counts them */
    rig_restart(&rig, true);
    assert_int_equal(budget_left(&rig.hub.budgets[RIG_SPARING],
                                 &rig.hub.capabilities[RIG_SPARING].budget, BUDGET_ATTEMPTS,
                                 rig.clock.mono_ms),
                     4);
    assert_int_equal(rig_item(&rig, process, 1)->attempt_count, 8);
    assert_int_equal(last_kept(process), 12);
    assert_int_equal(hub_item_dropped(&rig.hub, rig_process(&rig, process)->first_item), 4);
    uint32_t fourth = rig_item(&rig, process, 1)->first_attempt;
    for (int i = 0; i < 3; i++) {
        fourth = rig.hub.attempts[fourth].next;
    }
    assert_int_equal(rig.hub.attempts[fourth].number, 4);
}

static void every_item_is_sure_of_an_attempt(void **state) {
    (void)state;
    enum { COUNT = 8 };
    uint32_t processes[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        processes[i] = rig_submit(&rig, &one);
        rig_cancel(&rig, processes[i]);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        log_attempts(processes[i], i * 8, 8);
    }
    rig_restart(&rig, true);
    uint32_t without = rig.hub.board->items - COUNT;
    assert_true(pool_free_count(&rig.hub.attempt_pool) >= without);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_true(rig_item(&rig, processes[i], 1)->attempt_count >= 1);
        assert_int_equal(last_kept(processes[i]), 8);
    }
}

/* ---- a flash that fails ---- */

/* Whichever read of a start fails: it starts, or says why not, and a later start finds it all. */
static void a_read_that_fails_in_a_start_loses_nothing(void **state) {
    (void)state;
    static const char *const accounts[] = {"anna", "ben"};
    (void)rig_phone(&rig, "A");
    uint32_t process = rig_submit(&rig, &(struct rig_order){.items = 2, .accounts = accounts});
    (void)rig_begin(&rig);
    static struct rig kept;
    kept = rig;
    uint32_t refused = 0;
    bool is_over = false;
    for (uint32_t n = 1; !is_over; n++) {
        assert_true(n < 5000);
        memcpy(rig.flash.cells, kept.flash.cells, sizeof rig.flash.cells);
        rig.flash.fail_read = n;
        enum status status = rig_try_restart(&rig);
        is_over = rig.flash.fail_read != 0;
        rig.flash.fail_read = 0;
        refused += status != STATUS_OK;
    }
    assert_true(refused > 0);
    memcpy(rig.flash.cells, kept.flash.cells, sizeof rig.flash.cells);
    rig_restart(&rig, true);
    rig_settle(&rig);
    assert_int_equal(rig.hub.counters.suspect_objects, 0);
    assert_int_equal(rig_process(&rig, process)->image.item_count, 2);
}

int firmware_hub_foreign_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_gap_beyond_the_end_is_refused, set_up),
        cmocka_unit_test_setup(without_a_boot_id_it_is_another_boot, set_up),
        cmocka_unit_test_setup(a_reason_that_is_too_long_is_left_out, set_up),
        cmocka_unit_test_setup(a_kept_key_without_its_digests_is_none, set_up),
        cmocka_unit_test_setup(keys_go_on_behind_the_last_one, set_up),
        cmocka_unit_test_setup(a_key_is_no_part_of_a_history, set_up),
        cmocka_unit_test_setup(a_request_without_a_digest_and_with_labels_that_are_none, set_up),
        cmocka_unit_test_setup(a_request_that_is_no_record_binds_to_no_capability, set_up),
        cmocka_unit_test_setup(a_start_time_that_is_lost_never_comes, set_up),
        cmocka_unit_test_setup(an_attempt_whose_phone_is_unknown_ends, set_up),
        cmocka_unit_test_setup(a_lease_whose_phone_is_unknown_is_given_back, set_up),
        cmocka_unit_test_setup(an_attempt_that_does_not_say_when_it_started, set_up),
        cmocka_unit_test_setup(findings_that_cannot_be_read_are_none, set_up),
        cmocka_unit_test_setup(a_phone_that_two_items_lease_is_ones, set_up),
        cmocka_unit_test_setup(a_lease_that_is_canceled_needs_no_recovery, set_up),
        cmocka_unit_test_setup(attempts_beyond_the_limit_are_dropped_from_their_middle, set_up),
        cmocka_unit_test_setup(every_item_is_sure_of_an_attempt, set_up),
        cmocka_unit_test_setup(a_read_that_fails_in_a_start_loses_nothing, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_foreign", tests, NULL, NULL);
}
