/* Two of one 32-bit hash: each is found, and neither is taken for the other. Numbers and names that
 * collide were searched for once; rows of lanes and strands are too few to, so an entry is planted
 * where a new one will look. */
#include "firmware/hub_internal.h"
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

static void process_numbers(void **state) {
    (void)state;
    static const uint64_t numbers[] = {16457, 182873};
    assert_int_equal(hash_number(numbers[0]), hash_number(numbers[1]));
    for (size_t i = 0; i < array_count(numbers); i++) {
        rig.hub.image.process_number = numbers[i] - 1;
        uint32_t process = rig_submit(&rig, &one);
        assert_true(rig_process(&rig, process)->number == numbers[i]);
        assert_int_equal(process, i);
    }
    assert_int_equal(hub_process_find(&rig.hub, numbers[0]), 0);
    assert_int_equal(hub_process_find(&rig.hub, numbers[1]), 1);
    rig_restart(&rig, true);
    assert_int_equal(hub_process_find(&rig.hub, numbers[1]), 1);
    rig_cancel(&rig, 0);
    hub_process_forget(&rig.hub, 0);
    assert_int_equal(hub_process_find(&rig.hub, numbers[0]), HUB_NONE);
    assert_int_equal(hub_process_find(&rig.hub, numbers[1]), 1);
}

static void idempotency_keys(void **state) {
    (void)state;
    static const uint8_t first[RECORD_DIGEST_BYTES] = "aaaa1";
    static const uint8_t second[RECORD_DIGEST_BYTES] = "aaaa2";
    const struct rig_order orders[] = {{.key = "aaaa1"}, {.key = "aaaa2"}};
    assert_int_equal(hub_digest_hash(first), hub_digest_hash(second));
    uint32_t process = rig_submit(&rig, &orders[0]);
    uint32_t other = rig_submit(&rig, &orders[1]);
    assert_int_equal(hub_process_by_key(&rig.hub, first), process);
    assert_int_equal(hub_process_by_key(&rig.hub, second), other);
    uint64_t number = rig_process(&rig, process)->number;
    rig_cancel(&rig, process);
    hub_process_forget(&rig.hub, process);
    rig_settle(&rig);
    struct hub_accepted accepted;
    assert_int_equal(hub_process_by_key(&rig.hub, first), HUB_NONE); /* kept, without a process */
    assert_int_equal(rig_accept(&rig, &orders[0], &accepted), STATUS_OK);
    assert_true(accepted.is_duplicate && accepted.number == number);
    assert_int_equal(rig_accept(&rig, &orders[1], &accepted), STATUS_OK);
    assert_true(accepted.is_duplicate && accepted.process == other);
}

/* A key that expired was used again; then the clock was set back. The newer process counts. */
static void a_kept_key_and_a_process_of_the_same_key(void **state) {
    (void)state;
    const struct rig_order order = {.key = "k"};
    uint32_t process = rig_submit(&rig, &order);
    rig_cancel(&rig, process);
    hub_process_forget(&rig.hub, process);
    rig_settle(&rig);
    rig.hub.keys[0].key[RECORD_DIGEST_BYTES - 1] ^= 1; /* as long as it is expired */
    uint64_t newer = rig_process(&rig, rig_submit(&rig, &order))->number;
    for (unsigned turn = 0; turn < 2; turn++) {
        struct hub_accepted accepted;
        rig_restart(&rig, true);
        assert_int_equal(rig_accept(&rig, &order, &accepted), STATUS_OK);
        assert_true(accepted.is_duplicate && accepted.number == newer);
    }
}

static uint32_t accept_part(uint64_t process, uint32_t item, uint32_t assignment) {
    const char *name = rig.hub.capabilities[RIG_WORK].name;
    const struct record_request request = {
        .process_type = {(const uint8_t *)name, strlen(name)},
        .system = bytes_of("test"),
        .target = bytes_of("{}"),
        .inputs = bytes_of("{}"),
        .body_digest = {(const uint8_t[RECORD_DIGEST_BYTES]){1}, RECORD_DIGEST_BYTES},
        .routing = RECORD_QUEUE,
    };
    const struct hub_part part = {.origin = {1, process, 1, item},
                                  .assignment = assignment,
                                  .ttl_ms = 60000,
                                  .sent_ms = rig.clock.mono_ms};
    const struct hub_order order = {
        .request = &request, .capability = RIG_WORK, .item_count = 1, .part = &part};
    struct hub_accepted accepted;
    rig_commit(&rig);
    assert_int_equal(hub_accept(&rig.hub, &order, &accepted), STATUS_OK);
    rig_settle(&rig);
    return accepted.process;
}

static void parts_of_upstream(void **state) {
    (void)state;
    enum { FIRST = 1611, SECOND = 71263 };
    const uint32_t hash = hash_number((uint64_t)FIRST << 20 ^ 1);
    assert_int_equal(hash, hash_number((uint64_t)SECOND << 20 ^ 1));
    const char key[] = {
        (char)(hash >> 24), (char)(hash >> 16), (char)(hash >> 8), (char)hash, 'k', '\0'};
    const struct rig_order keyed = {.key = key};
    uint32_t kept = rig_submit(&rig, &keyed);
    uint32_t own = rig_submit(&rig, &(struct rig_order){.key = "x"});
    rig_cancel(&rig, kept);
    assert_int_equal(hub_part_find(&rig.hub, FIRST, 1), HUB_NONE);
    hub_process_forget(&rig.hub, kept);
    rig_settle(&rig);
    assert_int_equal(hub_part_find(&rig.hub, FIRST, 1), HUB_NONE);
    uint32_t first = accept_part(FIRST, 1, 1);
    uint32_t second = accept_part(SECOND, 1, 1);
    assert_int_equal(hub_part_find(&rig.hub, FIRST, 1), first);
    assert_int_equal(hub_part_find(&rig.hub, SECOND, 1), second);
    const uint32_t of_item_2 = hash_number((uint64_t)FIRST << 20 ^ 2);
    hash_index_add(&rig.hub.by_key, of_item_2, first);
    hash_index_add(&rig.hub.by_key, of_item_2, own);
    assert_int_equal(hub_part_find(&rig.hub, FIRST, 2), HUB_NONE);
    hash_index_remove(&rig.hub.by_key, of_item_2, first);
    hash_index_remove(&rig.hub.by_key, of_item_2, own);
    rig_restart(&rig, true);
    assert_int_equal(hub_part_find(&rig.hub, FIRST, 1), first);
    assert_int_equal(hub_part_find(&rig.hub, SECOND, 1), second);
}

/* Its item's record cannot be read: then it is no part that could go on. */
static void a_part_without_its_item_is_none(void **state) {
    (void)state;
    static const uint8_t garbage[] = {0xff};
    uint32_t process = accept_part(7, 1, 1);
    uint32_t item = rig_process(&rig, process)->first_item;
    (void)store_append(&rig.hub.store, (struct store_key){RECORD_ITEM, item}, NULL,
                       (struct bytes){garbage, sizeof garbage});
    rig_commit(&rig);
    rig_restart(&rig, true);
    assert_int_equal(hub_part_find(&rig.hub, 7, 1), HUB_NONE);
}

/* Of two parts of one item the newer counts, wherever it stands. */
static void an_older_and_a_newer_part_of_one_item(void **state) {
    (void)state;
    uint32_t front = rig_submit(&rig, &one);
    uint32_t older = accept_part(7, 1, 1);
    rig_cancel(&rig, older);
    rig_cancel(&rig, front);
    hub_process_forget(&rig.hub, front);
    rig_settle(&rig);
    uint32_t newer = accept_part(7, 1, 2);
    assert_true(newer < older);
    for (unsigned turn = 0; turn < 2; turn++) {
        assert_int_equal(hub_part_find(&rig.hub, 7, 1), newer);
        rig_restart(&rig, true);
    }
}

/* ---- queues ---- */

static void concurrency_keys_and_accounts(void **state) {
    (void)state;
    static const char *const keys[] = {"g37379", "g52516"};
    static const char *const accounts[] = {"g104181", "g105719"};
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    uint32_t processes[2];
    for (size_t i = 0; i < 2; i++) {
        processes[i] = rig_submit(&rig, &(struct rig_order){.concurrency_key = keys[i]});
    }
    const struct hub_process *first = rig_process(&rig, processes[0]);
    const struct hub_process *second = rig_process(&rig, processes[1]);
    assert_int_equal(hub_digest_hash(rig.hub.gates[first->key_gate].digest),
                     hub_digest_hash(rig.hub.gates[second->key_gate].digest));
    assert_true(first->key_gate != second->key_gate);
    rig_cancel(&rig, processes[0]);
    rig_start(&rig);
    (void)rig_phone(&rig, "A");
    (void)rig_phone(&rig, "B");
    uint32_t pair = rig_submit(&rig, &(struct rig_order){.items = 2, .accounts = accounts});
    assert_int_equal(rig_process(&rig, pair)->counts.by_state[RECORD_RUNNING], 2);
}

static uint32_t hash_of(uint32_t a, uint32_t b, uint32_t c) {
    return hash_number((uint64_t)a << 42 ^ (uint64_t)b << 21 ^ c);
}

static const struct hub_strand *strand_of(uint32_t process) {
    return &rig.hub.strands[rig_item(&rig, process, 1)->strand];
}

static void lanes(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    uint32_t plain = rig_submit(&rig, &one);
    uint32_t lane = strand_of(plain)->lane;
    hash_index_add(&rig.hub.by_lane, hash_of(RIG_LONG, HUB_NONE, HUB_NONE), lane);
    hash_index_add(&rig.hub.by_lane, hash_of(RIG_WORK, 0, HUB_NONE), lane);
    hash_index_add(&rig.hub.by_lane, hash_of(RIG_WORK, HUB_NONE, phone), lane);
    uint32_t others[] = {
        rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG}),
        rig_submit(&rig, &(struct rig_order){.labels = "[\"lab\"]"}),
        rig_submit(&rig, &(struct rig_order){.phones = &phone}),
    };
    for (size_t i = 0; i < array_count(others); i++) {
        assert_true(strand_of(others[i])->lane != lane);
        rig_cancel(&rig, others[i]);
    }
    assert_int_equal(strand_of(plain)->lane, lane);
}

static void strands(void **state) {
    (void)state;
    static const char *const account[] = {"anna"};
    (void)rig_phone(&rig, "A");
    rig.hub.is_stopping = true;
    uint32_t plain = rig_submit(&rig, &one);
    uint32_t strand = rig_item(&rig, plain, 1)->strand;
    uint32_t lane = rig.hub.strands[strand].lane;
    uint32_t next_lane = rig.hub.lane_pool.touched;
    uint32_t next_gate = rig.hub.gate_pool.touched;
    hash_index_add(&rig.hub.by_strand, hash_of(next_lane, HUB_NONE, HUB_NONE), strand);
    hash_index_add(&rig.hub.by_strand, hash_of(lane, next_gate, HUB_NONE), strand);
    hash_index_add(&rig.hub.by_strand, hash_of(lane, HUB_NONE, next_gate + 1), strand);
    uint32_t others[] = {
        rig_submit(&rig, &(struct rig_order){.capability = RIG_LONG}),
        rig_submit(&rig, &(struct rig_order){.concurrency_key = "key"}),
        rig_submit(&rig, &(struct rig_order){.items = 1, .accounts = account}),
    };
    assert_int_equal(strand_of(others[0])->lane, next_lane);
    assert_int_equal(strand_of(others[1])->key_gate, next_gate);
    assert_int_equal(strand_of(others[2])->account_gate, next_gate + 1);
    for (size_t i = 0; i < array_count(others); i++) {
        assert_true(rig_item(&rig, others[i], 1)->strand != strand);
        rig_cancel(&rig, others[i]);
    }
    assert_int_equal(rig_item(&rig, plain, 1)->strand, strand);
}

int firmware_hub_collision_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(process_numbers, set_up),
        cmocka_unit_test_setup(idempotency_keys, set_up),
        cmocka_unit_test_setup(a_kept_key_and_a_process_of_the_same_key, set_up),
        cmocka_unit_test_setup(parts_of_upstream, set_up),
        cmocka_unit_test_setup(a_part_without_its_item_is_none, set_up),
        cmocka_unit_test_setup(an_older_and_a_newer_part_of_one_item, set_up),
        cmocka_unit_test_setup(concurrency_keys_and_accounts, set_up),
        cmocka_unit_test_setup(lanes, set_up),
        cmocka_unit_test_setup(strands, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_collision", tests, NULL, NULL);
}
