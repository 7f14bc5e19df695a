/* Streams of clients through a phone's link: fencing, limits, and who ends them. */
#include "host/hubd/phones/phone_stream.h"

#include "tests/host/adb_rig.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* One owner of a stream. */
struct owner {
    struct phone_stream *stream;
    unsigned opened, ended, writes; /* calls */
    size_t received, held;          /* bytes that came; of them not used up */
    size_t to_send;
    bool keeps; /* what comes is held */
};

static void on_opened(void *owner) {
    ((struct owner *)owner)->opened += 1;
}

static void acknowledge(struct owner *owner) {
    phone_stream_acknowledge(&adb_rig_line.link, owner->stream, owner->held);
}

static void on_data(void *owner, struct bytes data) {
    struct owner *one = owner;
    one->received += data.size;
    one->held += one->keeps ? data.size : 0;
    acknowledge(one);
}

static void on_data_end(void *owner) {
    struct owner *one = owner;
    one->writes += 1;
    acknowledge(one);
}

static size_t fill(void *owner, uint8_t *target, size_t capacity) {
    struct owner *one = owner;
    size_t size = one->to_send < capacity ? one->to_send : capacity;
    memset(target, 's', size);
    one->to_send -= size;
    return size;
}

static void on_closed(void *owner) {
    struct owner *one = owner;
    one->ended += 1;
    one->stream = NULL;
}

static enum status open_stream(struct owner *owner, uint64_t token, struct bytes service) {
    const struct phone_stream_handler handler = {.opened = on_opened,
                                                 .data = on_data,
                                                 .data_end = on_data_end,
                                                 .fill = fill,
                                                 .closed = on_closed,
                                                 .owner = owner};
    return phone_stream_open(&adb_rig_line.link, token, service, &handler, &owner->stream);
}

static void wait_for(const unsigned *count, unsigned wanted) {
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    while (*count < wanted) {
        assert_true(loop_now_ms() < deadline_ms);
        adb_rig_turn();
    }
    assert_int_equal(*count, wanted);
}

static void echoes(struct owner *owner, size_t size) {
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    size_t before = owner->received;
    owner->to_send = size;
    phone_stream_poke(&adb_rig_line.link, owner->stream);
    while (owner->received < before + size) {
        assert_true(loop_now_ms() < deadline_ms);
        adb_rig_turn();
    }
}

static void a_stream_carries_bytes_both_ways(void **state) {
    (void)state;
    struct owner owner = {.opened = 0};
    assert_int_equal(open_stream(&owner, ADB_RIG_TOKEN, bytes_of("localabstract:echo")), STATUS_OK);
    wait_for(&owner.opened, 1);
    echoes(&owner, 1);
    echoes(&owner, 4096);
    phone_stream_close(&adb_rig_line.link, owner.stream);
    adb_rig_turn();
    assert_int_equal(owner.ended, 0); /* not after a close */
}

static void a_service_that_the_phone_refuses_is_closed_and_never_opened(void **state) {
    (void)state;
    struct owner owner = {.opened = 0};
    assert_int_equal(open_stream(&owner, ADB_RIG_TOKEN, bytes_of("nonsense:")), STATUS_OK);
    wait_for(&owner.ended, 1);
    assert_int_equal(owner.opened, 0);
}

static void a_higher_token_cuts_what_is_below_and_refuses_it(void **state) {
    (void)state;
    struct owner old = {.opened = 0};
    struct owner own = {.opened = 0};
    struct owner late = {.opened = 0};
    assert_int_equal(open_stream(&old, 5, bytes_of("localabstract:echo")), STATUS_OK);
    wait_for(&old.opened, 1);
    assert_int_equal(open_stream(&own, 6, bytes_of("localabstract:echo")), STATUS_OK);
    assert_int_equal(old.ended, 1);
    wait_for(&own.opened, 1);
    assert_int_equal(open_stream(&late, 5, bytes_of("localabstract:echo")), STATUS_STALE_LEASE);
    echoes(&own, 10);
    phone_link_fence(&adb_rig_line.link, 7);
    assert_int_equal(own.ended, 1);
}

static void a_stream_that_waits_to_be_opened_is_cut_too(void **state) {
    (void)state;
    struct owner owner = {.opened = 0};
    assert_int_equal(open_stream(&owner, 5, bytes_of("localabstract:echo")), STATUS_OK);
    phone_link_fence(&adb_rig_line.link, 6);
    assert_int_equal(owner.ended, 1);
    for (unsigned i = 0; i < 50; i++) {
        adb_rig_turn();
    }
    assert_int_equal(owner.opened, 0);
}

static void a_full_table_and_names_that_are_too_long_are_refused(void **state) {
    (void)state;
    static struct owner owners[PHONE_LINK_STREAMS];
    static uint8_t name[PHONE_LINK_PAYLOAD];
    struct owner owner = {.opened = 0};
    memset(name, 'x', sizeof name);
    assert_int_equal(open_stream(&owner, 5, (struct bytes){name, sizeof name}), STATUS_TOO_LARGE);
    for (size_t i = 0; i < PHONE_LINK_STREAMS; i++) {
        assert_int_equal(open_stream(&owners[i], 5, bytes_of("localabstract:echo")), STATUS_OK);
    }
    assert_int_equal(open_stream(&owner, 5, bytes_of("localabstract:echo")), STATUS_FULL);
    for (size_t i = 0; i < PHONE_LINK_STREAMS; i++) {
        wait_for(&owners[i].opened, 1);
    }
    phone_stream_close(&adb_rig_line.link, owners[0].stream);
    assert_int_equal(open_stream(&owner, 5, bytes_of("localabstract:echo")), STATUS_OK);
    wait_for(&owner.opened, 1);
    phone_link_close(&adb_rig_line.link);
    for (size_t i = 1; i < PHONE_LINK_STREAMS; i++) {
        assert_int_equal(owners[i].ended, 1);
    }
    assert_int_equal(owner.ended, 1);
    assert_int_equal(open_stream(&owner, 5, bytes_of("localabstract:echo")), STATUS_ILLEGAL);
}

/* The phone sends what was agreed and then waits, for as long as the owner holds it. */
static void an_owner_that_holds_everything_bounds_what_comes(void **state) {
    (void)state;
    struct owner writer = {.opened = 0, .to_send = 2 * 1000 * 1000};
    struct owner reader = {.opened = 0, .keeps = true};
    assert_int_equal(open_stream(&writer, 5, bytes_of("exec:cat > /sdcard/f")), STATUS_OK);
    wait_for(&writer.opened, 1);
    uint64_t deadline_ms = loop_now_ms() + ADB_RIG_PATIENCE_MS;
    while (writer.to_send > 0 && loop_now_ms() < deadline_ms) {
        adb_rig_turn();
    }
    for (unsigned i = 0; i < 100; i++) {
        adb_rig_turn();
    }
    phone_stream_close(&adb_rig_line.link, writer.stream);
    assert_int_equal(open_stream(&reader, 5, bytes_of("exec:cat /sdcard/f")), STATUS_OK);
    wait_for(&reader.opened, 1);
    for (unsigned i = 0; i < 500; i++) {
        adb_rig_turn();
    }
    size_t ahead = reader.received;
    assert_true(ahead >= PHONE_LINK_WINDOW && ahead < PHONE_LINK_WINDOW + PHONE_LINK_PAYLOAD);
    for (unsigned i = 0; i < 100; i++) {
        adb_rig_turn();
    }
    assert_int_equal(reader.received, ahead);
    reader.keeps = false;
    reader.held = 0;
    acknowledge(&reader);
    wait_for(&reader.ended, 1);
    assert_int_equal(reader.received, 2 * 1000 * 1000);
}

#define rig_test(name) cmocka_unit_test_setup_teardown(name, adb_rig_open, adb_rig_close)

int host_phone_stream_tests(void) {
    const struct CMUnitTest tests[] = {
        rig_test(a_stream_carries_bytes_both_ways),
        rig_test(a_service_that_the_phone_refuses_is_closed_and_never_opened),
        rig_test(a_higher_token_cuts_what_is_below_and_refuses_it),
        rig_test(a_stream_that_waits_to_be_opened_is_cut_too),
        rig_test(a_full_table_and_names_that_are_too_long_are_refused),
        rig_test(an_owner_that_holds_everything_bounds_what_comes),
    };
    return cmocka_run_group_tests_name("host/phone_stream", tests, NULL, NULL);
}
