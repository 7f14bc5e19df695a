/* Headers, banners and features of ADB, with bytes as a real adb sends them. */
#include "protocol/adb.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* CNXN, version 0x01000001, 1 MiB, 34 bytes of banner, checksum 0x0d5f */
static const uint8_t connect_header[ADB_HEADER_SIZE] = {
    0x43, 0x4e, 0x58, 0x4e, 0x01, 0x00, 0x00, 0x01, 0x00, 0x00, 0x10, 0x00,
    0x22, 0x00, 0x00, 0x00, 0x5f, 0x0d, 0x00, 0x00, 0xbc, 0xb1, 0xa7, 0xb1,
};

static void reads_and_writes_a_header_as_adb_sends_it(void **state) {
    (void)state;
    struct adb_message message;
    struct bytes input = {connect_header, sizeof connect_header};
    assert_int_equal(adb_decode(input, ADB_HANDSHAKE_MAX, &message), STATUS_OK);
    assert_int_equal(message.command, ADB_CNXN);
    assert_int_equal(message.arg0, ADB_VERSION);
    assert_int_equal(message.arg1, ADB_PAYLOAD_MAX);
    assert_int_equal(message.payload_size, 34);
    assert_int_equal(message.checksum, 0x0d5f);
    uint8_t again[ADB_HEADER_SIZE];
    adb_encode(again, &message);
    assert_memory_equal(again, connect_header, sizeof again);
}

static void asks_for_more_at_every_truncation(void **state) {
    (void)state;
    struct adb_message message;
    for (size_t size = 0; size < ADB_HEADER_SIZE; size++) {
        struct bytes input = {connect_header, size};
        assert_int_equal(adb_decode(input, ADB_HANDSHAKE_MAX, &message), STATUS_MORE);
    }
}

static void refuses_a_header_in_which_any_bit_of_the_magic_is_wrong(void **state) {
    (void)state;
    struct adb_message message = {.command = 0};
    for (unsigned bit = 0; bit < 32; bit++) {
        uint8_t bytes[ADB_HEADER_SIZE];
        memcpy(bytes, connect_header, sizeof bytes);
        bytes[20 + bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct bytes input = {bytes, sizeof bytes};
        assert_int_equal(adb_decode(input, ADB_HANDSHAKE_MAX, &message), STATUS_MALFORMED);
        assert_int_equal(message.command, 0);
    }
}

static void takes_the_largest_payload_and_refuses_one_byte_more(void **state) {
    (void)state;
    uint8_t bytes[ADB_HEADER_SIZE];
    struct adb_message message = {.command = ADB_WRTE, .payload_size = 4096};
    struct bytes input = {bytes, sizeof bytes};
    adb_encode(bytes, &message);
    assert_int_equal(adb_decode(input, 4096, &message), STATUS_OK);
    assert_int_equal(adb_decode(input, 4095, &message), STATUS_MALFORMED);
    message.payload_size = UINT32_MAX;
    adb_encode(bytes, &message);
    assert_int_equal(adb_decode(input, ADB_PAYLOAD_MAX, &message), STATUS_MALFORMED);
}

static void sums_bytes_as_unsigned(void **state) {
    (void)state;
    static const uint8_t bytes[3] = {0xff, 0x01, 0x80};
    assert_int_equal(adb_checksum((struct bytes){bytes, 3}), 0x180);
    assert_int_equal(adb_checksum((struct bytes){bytes, 0}), 0);
}

static void assert_text(struct bytes text, const char *expected) {
    assert_int_equal(text.size, strlen(expected));
    assert_memory_equal(text.data, expected, text.size);
}

static void reads_a_device_banner(void **state) {
    (void)state;
    struct adb_banner banner;
    adb_banner_read(bytes_of("device::ro.product.name=oriole;ro.product.model=Pixel 6;"
                             "ro.product.device=oriole;features=cmd,shell_v2,unheard_of,stat_v2\0"),
                    &banner);
    assert_int_equal(banner.peer, ADB_PEER_DEVICE);
    assert_text(banner.product, "oriole");
    assert_text(banner.model, "Pixel 6");
    assert_text(banner.device, "oriole");
    assert_int_equal(banner.features, ADB_FEATURE_CMD | ADB_FEATURE_SHELL_V2 | ADB_FEATURE_STAT_V2);
}

static void reads_every_truncation_of_a_banner(void **state) {
    (void)state;
    struct bytes whole = bytes_of("device::ro.product.name=a;;=;x;features=shell_v2,");
    struct adb_banner banner;
    for (size_t size = 0; size <= whole.size; size++) {
        adb_banner_read((struct bytes){whole.data, size}, &banner);
        assert_int_equal(banner.peer, size >= 6 ? ADB_PEER_DEVICE : ADB_PEER_HOST);
    }
    assert_int_equal(banner.features, ADB_FEATURE_SHELL_V2);
}

static void tells_the_kinds_of_peers_apart(void **state) {
    (void)state;
    struct adb_banner banner;
    adb_banner_read(bytes_of("recovery::"), &banner);
    assert_int_equal(banner.peer, ADB_PEER_RECOVERY);
    adb_banner_read(bytes_of("sideload::"), &banner);
    assert_int_equal(banner.peer, ADB_PEER_SIDELOAD);
    adb_banner_read(bytes_of("toaster::"), &banner);
    assert_int_equal(banner.peer, ADB_PEER_HOST);
}

static void writes_the_banners_of_both_sides(void **state) {
    (void)state;
    uint8_t target[256];
    size_t size = 0;
    struct adb_banner host = {.peer = ADB_PEER_HOST,
                              .features = ADB_FEATURE_SHELL_V2 | ADB_FEATURE_CMD};
    assert_int_equal(adb_banner_write(&host, target, sizeof target, &size), STATUS_OK);
    assert_text((struct bytes){target, size}, "host::features=shell_v2,cmd");
    struct adb_banner device = {.peer = ADB_PEER_DEVICE,
                                .product = bytes_of("p"),
                                .model = bytes_of("m"),
                                .device = bytes_of("d"),
                                .features = ADB_FEATURE_LS_V2};
    assert_int_equal(adb_banner_write(&device, target, sizeof target, &size), STATUS_OK);
    assert_text((struct bytes){target, size}, "device::ro.product.name=p;ro.product.model=m;"
                                              "ro.product.device=d;features=ls_v2");
    size_t whole = size;
    for (size_t capacity = 0; capacity < whole; capacity++) {
        assert_int_equal(adb_banner_write(&device, target, capacity, &size), STATUS_FULL);
    }
}

static void features_are_listed_as_far_as_they_fit(void **state) {
    (void)state;
    uint8_t target[64];
    unsigned features = ADB_FEATURE_SHELL_V2 | ADB_FEATURE_CMD;
    size_t size = adb_features_write(features, target, sizeof target);
    assert_text((struct bytes){target, size}, "shell_v2,cmd");
    assert_int_equal(adb_features_write(0, target, sizeof target), 0);
    assert_true(adb_features_write(features, target, 10) <= 10);
}

int protocol_adb_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_a_header_as_adb_sends_it),
        cmocka_unit_test(asks_for_more_at_every_truncation),
        cmocka_unit_test(refuses_a_header_in_which_any_bit_of_the_magic_is_wrong),
        cmocka_unit_test(takes_the_largest_payload_and_refuses_one_byte_more),
        cmocka_unit_test(sums_bytes_as_unsigned),
        cmocka_unit_test(reads_a_device_banner),
        cmocka_unit_test(reads_every_truncation_of_a_banner),
        cmocka_unit_test(tells_the_kinds_of_peers_apart),
        cmocka_unit_test(writes_the_banners_of_both_sides),
        cmocka_unit_test(features_are_listed_as_far_as_they_fit),
    };
    return cmocka_run_group_tests_name("protocol/adb", tests, NULL, NULL);
}
