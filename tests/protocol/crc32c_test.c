#include "protocol/crc32c.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* One bit at a time, as RFC 3720 defines it. */
static uint32_t by_bits(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
        }
    }
    return ~crc;
}

static void the_vectors_of_rfc_3720_hold(void **unused) {
    (void)unused;
    uint8_t data[32];
    memset(data, 0, sizeof data);
    assert_int_equal(crc32c(0, (struct bytes){data, 32}), 0x8a9136aa);
    memset(data, 0xff, sizeof data);
    assert_int_equal(crc32c(0, (struct bytes){data, 32}), 0x62a8ab43);
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)i;
    }
    assert_int_equal(crc32c(0, (struct bytes){data, 32}), 0x46dd794e);
    assert_int_equal(crc32c(0, bytes_of("123456789")), 0xe3069283);
}

static void every_length_and_every_cut_agree_with_the_definition(void **unused) {
    (void)unused;
    uint8_t data[100];
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t size = 0; size <= sizeof data; size++) {
        uint32_t whole = by_bits(data, size);
        for (size_t cut = 0; cut <= size; cut++) {
            uint32_t crc = crc32c(0, (struct bytes){data, cut});
            assert_int_equal(crc32c(crc, (struct bytes){data + cut, size - cut}), whole);
        }
    }
}

static void without_the_instruction_it_is_the_same(void **unused) {
    crc32c_without_instruction();
    the_vectors_of_rfc_3720_hold(unused);
    every_length_and_every_cut_agree_with_the_definition(unused);
}

int protocol_crc32c_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_3720_hold),
        cmocka_unit_test(every_length_and_every_cut_agree_with_the_definition),
        cmocka_unit_test(without_the_instruction_it_is_the_same),
    };
    return cmocka_run_group_tests_name("protocol/crc32c", tests, NULL, NULL);
}
