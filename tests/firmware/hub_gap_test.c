/* The gap rule of SPEC.md section 8: what a hub gives up when upstream is away for too long. */
#include "tests/firmware/hub_rig.h"
#include "tests/test.h"

#include "firmware/hub_internal.h"
#include "firmware/store_frame.h"
#include "protocol/sha256.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { IMAGES_MAX = 256, FLAPS = 12000 };

/* What upstream holds: its cursor, and the newest revision of each object. */
struct far_image {
    uint8_t kind;
    uint64_t path[3];
    uint64_t revision;
};

struct far {
    uint64_t cursor;
    uint8_t chain[RECORD_CHAIN_BYTES];
    uint64_t gaps;
    uint64_t records;
    uint32_t count;
    struct far_image images[IMAGES_MAX];
};

static struct rig rig;
static struct rig copy;
static struct far far;
static const struct rig_order one = {0};

static int set_up(void **state) {
    (void)state;
    rig_start(&rig);
    rig.hub.has_upstream = true;
    far = (struct far){0};
    return 0;
}

/* ---- upstream ---- */

static struct far_image *find_image(struct far *at, const struct record_header *header) {
    for (uint32_t i = 0; i < at->count; i++) {
        if (at->images[i].kind == header->kind &&
            memcmp(at->images[i].path, header->path, sizeof header->path) == 0) {
            return &at->images[i];
        }
    }
    assert_true(at->count < IMAGES_MAX);
    struct far_image *image = &at->images[at->count];
    at->count += 1;
    *image = (struct far_image){.kind = (uint8_t)header->kind};
    memcpy(image->path, header->path, sizeof header->path);
    return image;
}

static void take_body(struct far *at, struct bytes body) {
    struct cbor_reader reader;
    struct record_header header;
    cbor_reader_init(&reader, body);
    record_get_header(&reader, &header);
    assert_false(reader.failed);
    struct far_image *image = find_image(at, &header);
    image->revision = header.revision > image->revision ? header.revision : image->revision;
    at->records += 1;
}

static void take_group(struct far *at, struct store_group *group) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    struct bytes body;
    assert_true(group->first_seq == at->cursor + 1);
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){at->chain, RECORD_CHAIN_BYTES});
    while (store_group_next(&group->records, &body)) {
        sha256_add(&hash, body);
        take_body(at, body);
    }
    sha256_end(&hash, digest);
    assert_memory_equal(digest, group->chain, RECORD_CHAIN_BYTES);
    memcpy(at->chain, group->chain, RECORD_CHAIN_BYTES);
    at->cursor += group->record_count;
}

/* Everything that is durable, behind the gap if there is one. CORRUPT: a group cannot be read. */
static enum status pull(struct far *at, struct hub *hub) {
    static uint8_t buffer[16384];
    const struct record_gap *gap = hub_gap(hub);
    if (gap != NULL && gap->last > at->cursor) {
        assert_true(gap->first <= at->cursor + 1);
        at->cursor = gap->last;
        at->gaps += 1;
        memcpy(at->chain, gap->chain, RECORD_CHAIN_BYTES);
    }
    struct store_cursor cursor = {.seq = at->cursor};
    struct store_group group;
    enum status status;
    while ((status = store_next_group(&hub->store, &cursor, buffer, sizeof buffer, &group)) ==
           STATUS_OK) {
        take_group(at, &group);
    }
    return status;
}

/* Upstream must have the newest image of everything that the hub retains. */
static void assert_has_all(struct far *at, struct hub *hub) {
    assert_true(at->cursor == hub->store.durable_seq);
    for (uint32_t i = 0; i < store_slot_count(&hub->store); i++) {
        struct store_key key = store_key_at(&hub->store, i);
        struct record_header header;
        struct cbor_reader reader;
        if (store_slot(&hub->store, key)->seq == 0) {
            continue;
        }
        assert_int_equal(hub_read(hub, key, &header, &reader), STATUS_OK);
        assert_true(find_image(at, &header)->revision == header.revision);
    }
}

/* ---- a hub that is busy ---- */

static void flap(uint32_t phone) {
    rig_phone_event(&rig, phone, PHONE_ON_DETACHED);
    rig_phone_event(&rig, phone, PHONE_ON_ATTACHED);
    rig_commit(&rig);
    rig_phone_event(&rig, phone, PHONE_ON_HANDSHAKE);
    rig_commit(&rig);
}

static uint32_t finish_one(enum record_outcome outcome) {
    uint32_t process = rig_submit(&rig, &one);
    struct hub_start start = rig_begin(&rig);
    assert_int_equal(rig_end(&rig, &start, outcome, RECORD_CATEGORY_CAPABILITY), STATUS_OK);
    return process;
}

/* A week without upstream: some work, and a phone with a bad cable. */
static void be_offline(uint32_t flaps, uint32_t processes) {
    uint32_t phone = hub_phone_find(&rig.hub, bytes_of("A"));
    if (phone == HUB_NONE || rig.hub.phones[phone].state != RECORD_PHONE_READY) {
        phone = rig_phone(&rig, "A");
    }
    for (uint32_t i = 0; i < processes; i++) {
        (void)finish_one(i % 2 == 0 ? RECORD_SUCCESS : RECORD_FAILURE);
    }
    for (uint32_t i = 0; i < flaps; i++) {
        flap(phone);
    }
}

static void a_store_that_would_fill_gives_up_its_oldest_history(void **state) {
    (void)state;
    be_offline(FLAPS, 4);
    const struct record_gap *gap = hub_gap(&rig.hub);
    assert_non_null(gap);
    assert_true(gap->first == 1 && gap->last < hub_durable_seq(&rig.hub));
    assert_true(gap->dropped[RECORD_PHONE] > FLAPS);
    assert_int_equal(gap->dropped[RECORD_REQUEST], 0); /* nothing newer: it was appended again */
    assert_int_equal(pull(&far, &rig.hub), STATUS_AGAIN);
    assert_has_all(&far, &rig.hub);
    assert_true(far.records > 500); /* as much history as there is room for is still there */
    /* Upstream has it: no more is said of the gap. */
    store_acknowledge(&rig.hub.store, far.cursor, far.chain);
    assert_null(hub_gap(&rig.hub));
    be_offline(10, 1);
    assert_int_equal(pull(&far, &rig.hub), STATUS_AGAIN);
    assert_has_all(&far, &rig.hub);
    assert_int_equal(far.gaps, 1);
}

static void a_gap_is_kept_and_widened_over_restarts(void **state) {
    (void)state;
    be_offline(FLAPS / 2, 6);
    assert_non_null(hub_gap(&rig.hub));
    uint64_t last = hub_gap(&rig.hub)->last;
    for (uint32_t start = 0; start < 5; start++) {
        rig_restart(&rig, start % 2 == 0);
        rig.hub.has_upstream = true;
        rig_settle(&rig);
        assert_non_null(hub_gap(&rig.hub));
        assert_true(hub_gap(&rig.hub)->first == 1 && hub_gap(&rig.hub)->last >= last);
        last = hub_gap(&rig.hub)->last;
        be_offline(FLAPS / 8, 1);
        assert_int_equal(pull(&far, &rig.hub), STATUS_AGAIN);
        assert_has_all(&far, &rig.hub);
    }
    assert_true(far.gaps > 1); /* none of it was acknowledged */
}

/* Upstream has stored more than the hub ever heard of, up to the middle of what is given up. */
static void an_acknowledgement_that_was_lost_does_no_harm(void **state) {
    (void)state;
    be_offline(100, 3);
    assert_int_equal(pull(&far, &rig.hub), STATUS_AGAIN);
    be_offline(FLAPS, 1);
    assert_true(hub_gap(&rig.hub)->first <= far.cursor && hub_gap(&rig.hub)->last > far.cursor);
    assert_int_equal(pull(&far, &rig.hub), STATUS_AGAIN);
    assert_has_all(&far, &rig.hub);
}

/* A copy of the flash, as the death of the program leaves it, must hold all that goes on. */
static void the_death_of_the_program_while_a_gap_is_made_loses_nothing_else(void **state) {
    (void)state;
    uint32_t phone = rig_phone(&rig, "A");
    uint32_t deaths = 0;
    for (uint32_t i = 0; i < 5; i++) {
        (void)finish_one(RECORD_SUCCESS);
    }
    for (uint32_t i = 0; i < FLAPS && deaths < 300; i++) {
        uint64_t gaps = rig.hub.counters.gaps;
        rig.flash.holds_sync = gaps > 0; /* the group is programmed, or not even that */
        rig_phone_event(&rig, phone, i % 2 == 0 ? PHONE_ON_DETACHED : PHONE_ON_ATTACHED);
        rig_commit(&rig);
        if (gaps > 0) {
            struct far there = {0};
            rig_load_copy(&copy, &rig);
            copy.hub.has_upstream = true;
            rig_commit(&copy);
            assert_true(hub_gap(&copy.hub)->last >= rig.hub.gap.last);
            assert_int_equal(pull(&there, &copy.hub), STATUS_AGAIN);
            assert_has_all(&there, &copy.hub);
            deaths += 1;
        }
        rig.flash.holds_sync = false;
        rig_commit(&rig);
    }
    assert_int_equal(deaths, 300);
}

/* ---- what cannot be read ---- */

static void break_frame(uint64_t seq) {
    struct store *store = &rig.hub.store;
    struct store_cursor cursor = {0};
    struct store_frame frame;
    assert_int_equal(store_find_part(store, seq, store->flash->block_count, &cursor, &frame),
                     STATUS_OK);
    rig.flash.cells[cursor.block * store->flash->block_bytes + cursor.offset + frame.end - 1] ^= 4;
}

static void a_group_that_cannot_be_read_becomes_a_gap(void **state) {
    (void)state;
    be_offline(20, 2);
    (void)pull(&far, &rig.hub);
    store_acknowledge(&rig.hub.store, far.cursor, far.chain);
    be_offline(3, 0);
    uint64_t broken = far.cursor + 3;
    break_frame(broken);
    be_offline(3, 2);
    assert_int_equal(pull(&far, &rig.hub), STATUS_CORRUPT);
    assert_true(far.cursor < broken);
    store_acknowledge(&rig.hub.store, far.cursor, far.chain);
    hub_gap_damage(&rig.hub);
    assert_null(hub_gap(&rig.hub)); /* it is not durable yet */
    rig_commit(&rig);
    assert_non_null(hub_gap(&rig.hub));
    assert_true(hub_gap(&rig.hub)->first <= broken && hub_gap(&rig.hub)->last >= broken);
    assert_true(hub_gap(&rig.hub)->last < broken + 3);
    assert_int_equal(pull(&far, &rig.hub), STATUS_AGAIN);
    assert_has_all(&far, &rig.hub);
}

static void damage_to_the_newest_group_becomes_a_gap_up_to_the_head(void **state) {
    (void)state;
    be_offline(20, 2);
    (void)pull(&far, &rig.hub);
    uint64_t whole = far.cursor;
    store_acknowledge(&rig.hub.store, far.cursor, far.chain);
    rig_phone_event(&rig, 0, PHONE_ON_DETACHED);
    rig_commit(&rig);
    break_frame(whole + 1);
    assert_int_equal(pull(&far, &rig.hub), STATUS_CORRUPT);
    hub_gap_damage(&rig.hub);
    rig_commit(&rig);
    assert_true(hub_gap(&rig.hub)->first == whole + 1 && hub_gap(&rig.hub)->last == whole + 1);
    assert_int_equal(pull(&far, &rig.hub), STATUS_AGAIN);
    assert_true(far.cursor == hub_durable_seq(&rig.hub));
}

/* Stores at upstream what there is up to a record, and acknowledges that. */
static void acknowledge_to(uint64_t seq) {
    static uint8_t buffer[16384];
    const struct record_gap *gap = hub_gap(&rig.hub);
    struct store_cursor cursor = {.seq = gap == NULL ? rig.hub.store.acked_seq : gap->last};
    struct store_group group = {0};
    while (cursor.seq < seq) {
        assert_int_equal(store_next_group(&rig.hub.store, &cursor, buffer, sizeof buffer, &group),
                         STATUS_OK);
    }
    store_acknowledge(&rig.hub.store, cursor.seq, group.chain);
}

static void
what_was_appended_again_behind_its_process_keeps_it_until_upstream_has_it(void **state) {
    (void)state;
    struct hub_accepted accepted;
    uint32_t process = rig_submit(&rig, &one);
    (void)rig_phone(&rig, "A");
    struct hub_start start = rig_begin(&rig);
    uint32_t other = rig_phone(&rig, "B");
    for (uint32_t i = 0; i < 300; i++) {
        flap(other);
    }
    assert_int_equal(rig_end(&rig, &start, RECORD_SUCCESS, 0), STATUS_OK);
    rig_settle(&rig);
    uint64_t end_seq = rig_process(&rig, process)->end_seq;
    while (hub_gap(&rig.hub) == NULL) {
        flap(other);
    }
    const struct store_key request = {RECORD_REQUEST, process};
    assert_true(hub_gap(&rig.hub)->last < end_seq);
    assert_true(store_slot(&rig.hub.store, request)->seq > end_seq);
    rig_phone_event(&rig, hub_phone_find(&rig.hub, bytes_of("A")), PHONE_ON_QUARANTINE);
    rig_phone_event(&rig, other, PHONE_ON_QUARANTINE);
    while (rig_accept(&rig, &one, &accepted) == STATUS_OK) {
    }
    acknowledge_to(end_seq);
    assert_int_equal(rig_accept(&rig, &one, &accepted), STATUS_FULL);
    acknowledge_to(hub_durable_seq(&rig.hub));
    assert_int_equal(rig_accept(&rig, &one, &accepted), STATUS_OK);
}

static void without_an_upstream_there_is_no_gap(void **state) {
    (void)state;
    rig.hub.has_upstream = false;
    be_offline(FLAPS / 2, 2);
    assert_null(hub_gap(&rig.hub));
    assert_int_equal(rig.hub.counters.gaps, 0);
}

int firmware_hub_gap_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_store_that_would_fill_gives_up_its_oldest_history, set_up),
        cmocka_unit_test_setup(a_gap_is_kept_and_widened_over_restarts, set_up),
        cmocka_unit_test_setup(an_acknowledgement_that_was_lost_does_no_harm, set_up),
        cmocka_unit_test_setup(the_death_of_the_program_while_a_gap_is_made_loses_nothing_else,
                               set_up),
        cmocka_unit_test_setup(a_group_that_cannot_be_read_becomes_a_gap, set_up),
        cmocka_unit_test_setup(damage_to_the_newest_group_becomes_a_gap_up_to_the_head, set_up),
        cmocka_unit_test_setup(
            what_was_appended_again_behind_its_process_keeps_it_until_upstream_has_it, set_up),
        cmocka_unit_test_setup(without_an_upstream_there_is_no_gap, set_up),
    };
    return cmocka_run_group_tests_name("firmware/hub_gap", tests, NULL, NULL);
}
