/* A board with more phones than a word has bits, and more processes than are looked at at once. */
#include "firmware/hub_internal.h"
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PHONES = 40, PROCESSES = 96 };

static const struct board wide = {
    .name = "wide",
    .processes = PROCESSES,
    .items = 128,
    .attempts = 256,
    .phones = PHONES,
    .keys = 8,
    .capabilities = 8,
    .label_sets = 4,
    .items_per_request = 16,
    .payload_bytes = 1024,
    .frame_bytes = 8192,
    .block_bytes = 16384,
    .block_count = 24,
    .program_bytes = 256,
};

static struct rig rig;

static int set_up(void **state) {
    (void)state;
    rig.board = &wide;
    rig_start(&rig);
    return 0;
}

static void add_phones(void) {
    for (unsigned i = 0; i < PHONES; i++) {
        char id[8];
        uint32_t phone;
        snprintf(id, sizeof id, "P%u", i);
        rig_commit(&rig);
        assert_int_equal(hub_phone_identify(&rig.hub, (struct bytes){(uint8_t *)id, strlen(id)},
                                            bytes_of("slot"), bytes_of("model"), &phone),
                         STATUS_OK);
        assert_int_equal(phone, i);
    }
}

static void make_ready(uint32_t phone) {
    rig_phone_event(&rig, phone, PHONE_ON_ATTACHED);
    rig_phone_event(&rig, phone, PHONE_ON_HANDSHAKE);
}

static void work_finds_its_phone_in_any_word(void **state) {
    (void)state;
    const uint32_t far = 35;
    add_phones();
    assert_int_equal(hub_phone_label(&rig.hub, 39, bytes_of("lab")), STATUS_OK);
    make_ready(3);
    make_ready(far);
    uint32_t direct = rig_submit(&rig, &(struct rig_order){.phones = &far});
    assert_int_equal(rig_item(&rig, direct, 1)->image.phone, rig.hub.phones[far].number);
    uint32_t labelled = rig_submit(&rig, &(struct rig_order){.labels = "[\"lab\"]"});
    assert_int_equal(rig_item(&rig, labelled, 1)->image.state, RECORD_READY);
    assert_true(hub_phone_is_wanted(&rig.hub, 39));
    assert_false(hub_phone_is_wanted(&rig.hub, 38));
    make_ready(39);
    rig_settle(&rig);
    assert_int_equal(rig_item(&rig, labelled, 1)->image.phone, rig.hub.phones[39].number);
    make_ready(38);
    uint32_t any = rig_submit(&rig, &(struct rig_order){.priority = 9});
    uint32_t last = rig_submit(&rig, &(struct rig_order){0});
    assert_int_equal(rig_item(&rig, any, 1)->image.phone, rig.hub.phones[3].number);
    assert_int_equal(rig_item(&rig, last, 1)->image.phone, rig.hub.phones[38].number);
    assert_int_equal(hub_idle_count(&rig.hub), 0);
}

/* A start asks for the memory of keys some processes ahead; each is found all the same. */
static void many_keys_are_found_after_a_start(void **state) {
    (void)state;
    char key[] = "k00";
    for (unsigned i = 0; i < 40; i++) {
        key[1] = (char)('0' + i / 10);
        key[2] = (char)('0' + i % 10);
        rig_cancel(&rig, rig_submit(&rig, &(struct rig_order){.key = i % 3 == 0 ? NULL : key}));
    }
    rig_restart(&rig, true);
    for (unsigned i = 0; i < 40; i++) {
        uint8_t digest[RECORD_DIGEST_BYTES] = {'k', (uint8_t)('0' + i / 10),
                                               (uint8_t)('0' + i % 10)};
        assert_int_equal(hub_process_by_key(&rig.hub, digest), i % 3 == 0 ? HUB_NONE : i);
    }
}

/* What would be evicted counts as capacity, up to a limit: it is counted for every poll. */
static void capacity_looks_at_so_many_finished_processes(void **state) {
    (void)state;
    uint32_t made = 0;
    for (; pool_free_count(&rig.hub.process_pool) > 16; made++) {
        struct hub_accepted accepted;
        assert_int_equal(rig_accept(&rig, &(struct rig_order){0}, &accepted), STATUS_OK);
        rig_commit(&rig);
        assert_int_equal(hub_cancel(&rig.hub, accepted.process), STATUS_OK);
        rig_commit(&rig);
    }
    assert_int_equal(made, PROCESSES - 16);
    assert_int_equal(hub_capacity(&rig.hub), 16 + 64);
}

int firmware_hub_wide_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(work_finds_its_phone_in_any_word, set_up),
        cmocka_unit_test_setup(many_keys_are_found_after_a_start, set_up),
        cmocka_unit_test_setup(capacity_looks_at_so_many_finished_processes, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_wide", tests, NULL, NULL);
}
