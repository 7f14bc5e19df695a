/* Commands and responses of fastboot, and the course of one command against its table. */
#include "protocol/fastboot.h"

#include "tests/firmware/state_table.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct bytes text(const char *characters) {
    return (struct bytes){(const uint8_t *)characters, strlen(characters)};
}

static void assert_text(struct bytes found, const char *expected) {
    assert_int_equal(found.size, strlen(expected));
    assert_memory_equal(found.data, expected, found.size);
}

/* ---- commands ---- */

static void commands_are_written_and_read_back(void **state) {
    (void)state;
    uint8_t packet[64];
    struct bytes name, argument;
    uint32_t size = fastboot_put_command(packet, sizeof packet, text("getvar"), text("has-slot:a"));
    assert_text((struct bytes){packet, size}, "getvar:has-slot:a");
    assert_int_equal(fastboot_get_command((struct bytes){packet, size}, &name, &argument),
                     STATUS_OK);
    assert_text(name, "getvar");
    assert_text(argument, "has-slot:a");

    size = fastboot_put_command(packet, sizeof packet, text("reboot"), text(""));
    assert_text((struct bytes){packet, size}, "reboot");
    assert_int_equal(fastboot_get_command(text("reboot"), &name, &argument), STATUS_OK);
    assert_text(name, "reboot");
    assert_int_equal(argument.size, 0);

    fastboot_put_download(packet, 0x12abcdefu);
    assert_text((struct bytes){packet, FASTBOOT_DOWNLOAD_BYTES}, "download:12abcdef");
}

static void commands_that_could_be_taken_for_two_are_refused(void **state) {
    (void)state;
    uint8_t packet[FASTBOOT_COMMAND_MAX + 1];
    struct bytes name, argument;
    static const char *const wrong[] = {"a\nb", "\x7f", "caf\xc3\xa9", "\t"};
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_int_equal(fastboot_put_command(packet, 64, text("flash"), text(wrong[i])), 0);
        assert_int_equal(fastboot_put_command(packet, 64, text(wrong[i]), text("")), 0);
        assert_int_equal(fastboot_get_command(text(wrong[i]), &name, &argument), STATUS_MALFORMED);
    }
    static const uint8_t with_nul[] = {'o', 'e', 'm', 0};
    assert_int_equal(fastboot_get_command((struct bytes){with_nul, 4}, &name, &argument),
                     STATUS_MALFORMED);
    assert_int_equal(fastboot_put_command(packet, 64, text(""), text("x")), 0);
    assert_int_equal(fastboot_get_command(text(""), &name, &argument), STATUS_MALFORMED);
}

static void commands_end_at_their_limit(void **state) {
    (void)state;
    static uint8_t packet[FASTBOOT_COMMAND_MAX + 1];
    static uint8_t argument[FASTBOOT_COMMAND_MAX];
    struct bytes found, rest;
    memset(argument, 'x', sizeof argument);
    size_t most = FASTBOOT_COMMAND_MAX - 4;
    uint32_t size =
        fastboot_put_command(packet, sizeof packet, text("oem"), (struct bytes){argument, most});
    assert_int_equal(size, FASTBOOT_COMMAND_MAX);
    assert_int_equal(fastboot_get_command((struct bytes){packet, size}, &found, &rest), STATUS_OK);
    assert_int_equal(fastboot_put_command(packet, sizeof packet, text("oem"),
                                          (struct bytes){argument, most + 1}),
                     0);
    assert_int_equal(fastboot_put_command(packet, 7, text("reboot"), text("b")), 0);
    assert_int_equal(fastboot_put_command(packet, 8, text("reboot"), text("b")), 8);
    memset(packet, 'x', sizeof packet);
    assert_int_equal(fastboot_get_command((struct bytes){packet, sizeof packet}, &found, &rest),
                     STATUS_MALFORMED);
}

/* ---- responses ---- */

static void responses_are_written_and_read_back(void **state) {
    (void)state;
    uint8_t packet[FASTBOOT_RESPONSE_MAX];
    for (unsigned kind = 0; kind < FASTBOOT_KIND_COUNT; kind++) {
        struct fastboot_response response;
        uint32_t size = kind == FASTBOOT_DATA ? fastboot_put_data(packet, 0xfedcba98u)
                                              : fastboot_put_response(packet, kind, text("a b"));
        struct bytes written = {packet, size};
        assert_int_equal(fastboot_get_response(written, &response), STATUS_OK);
        assert_int_equal(response.kind, kind);
        assert_int_equal(response.data_bytes, kind == FASTBOOT_DATA ? 0xfedcba98u : 0);
        assert_text(response.text, kind == FASTBOOT_DATA ? "fedcba98" : "a b");
    }
}

static void a_response_is_as_long_as_its_packet(void **state) {
    (void)state;
    static uint8_t packet[FASTBOOT_RESPONSE_MAX + 1] = "INFO";
    static uint8_t long_text[FASTBOOT_RESPONSE_MAX];
    struct fastboot_response response;
    for (size_t size = 0; size <= sizeof packet; size++) {
        bool is_one = size >= 4 && size <= FASTBOOT_RESPONSE_MAX;
        assert_int_equal(fastboot_get_response((struct bytes){packet, size}, &response),
                         is_one ? STATUS_OK : STATUS_MALFORMED);
    }
    assert_int_equal(
        fastboot_put_response(packet, FASTBOOT_TEXT, (struct bytes){long_text, sizeof long_text}),
        FASTBOOT_RESPONSE_MAX);
}

static void malformed_responses_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"OKA",          "okay",          "DATA",
                                        "DATA1234567",  "DATA123456789", "DATA1234567g",
                                        "DATA 1234567", "NOPE",          "DATA-1234567"};
    struct fastboot_response response = {.kind = FASTBOOT_TEXT};
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_int_equal(fastboot_get_response(text(wrong[i]), &response), STATUS_MALFORMED);
        assert_int_equal(response.kind, FASTBOOT_TEXT);
    }
    assert_int_equal(fastboot_get_response(text("DATA00ABCDEF"), &response), STATUS_OK);
    assert_int_equal(response.data_bytes, 0xabcdef);
}

static void numbers_of_variables_are_decimal_or_hexadecimal(void **state) {
    (void)state;
    uint64_t number = 0;
    static const struct {
        const char *text;
        uint64_t number;
    } good[] = {{"0", 0},
                {"268435456", 268435456},
                {"0x10000000", 0x10000000},
                {"0XfF", 255},
                {"18446744073709551615", UINT64_MAX},
                {"0xffffffffffffffff", UINT64_MAX}};
    for (size_t i = 0; i < array_count(good); i++) {
        assert_int_equal(fastboot_get_number(text(good[i].text), &number), STATUS_OK);
        assert_true(number == good[i].number);
    }
    static const char *const wrong[] = {
        "", "0x", "x1", "1f", "-1", " 1", "1 ", "18446744073709551616", "0x10000000000000000"};
    for (size_t i = 0; i < array_count(wrong); i++) {
        assert_int_equal(fastboot_get_number(text(wrong[i]), &number), STATUS_MALFORMED);
    }
}

/* ---- the course of a command ---- */

static const char *state_name(unsigned state) {
    return fastboot_state_name(state);
}

static const char *event_name(unsigned event) {
    return fastboot_event_name(event);
}

static enum status apply(uint8_t *state, unsigned event) {
    return fastboot_apply(state, event);
}

static void every_pair_goes_where_the_table_says(void **state) {
    (void)state;
    state_table_check(&(struct state_table){"tests/protocol/fastboot_table.txt",
                                            FASTBOOT_STATE_COUNT, FASTBOOT_EVENT_COUNT, state_name,
                                            event_name, apply});
}

static enum status answered(struct fastboot_host *host, const char *packet) {
    struct fastboot_response response;
    return fastboot_host_response(host, text(packet), &response);
}

static void a_download_goes_through_its_two_rows_of_answers(void **state) {
    (void)state;
    struct fastboot_host host;
    fastboot_host_init(&host);
    assert_int_equal(fastboot_host_command(&host, 256, false), STATUS_OK);
    assert_int_equal(fastboot_host_command(&host, 0, false), STATUS_ILLEGAL);
    assert_int_equal(answered(&host, "INFOerasing"), STATUS_OK);
    assert_int_equal(answered(&host, "DATA00000100"), STATUS_OK);
    assert_int_equal(host.data_left, 256);
    assert_int_equal(fastboot_host_transferred(&host, 255), STATUS_OK);
    assert_int_equal(host.state, FASTBOOT_SENDING);
    assert_int_equal(fastboot_host_transferred(&host, 1), STATUS_OK);
    assert_int_equal(answered(&host, "TEXTwait"), STATUS_OK);
    assert_int_equal(answered(&host, "OKAY"), STATUS_OK);
    assert_int_equal(host.state, FASTBOOT_IDLE);
    assert_int_equal(fastboot_host_command(&host, 0, false), STATUS_OK);
    assert_int_equal(answered(&host, "FAILunknown"), STATUS_OK);
    assert_int_equal(host.state, FASTBOOT_IDLE);
}

static void an_upload_takes_the_size_that_the_device_names(void **state) {
    (void)state;
    struct fastboot_host host;
    fastboot_host_init(&host);
    assert_int_equal(fastboot_host_command(&host, 0, true), STATUS_OK);
    assert_int_equal(answered(&host, "DATA00000003"), STATUS_OK);
    assert_int_equal(host.state, FASTBOOT_RECEIVING);
    assert_int_equal(fastboot_host_transferred(&host, 4), STATUS_MALFORMED);
    assert_int_equal(host.state, FASTBOOT_BROKEN);
}

static void a_device_that_breaks_the_protocol_is_not_believed_again(void **state) {
    (void)state;
    static const char *const wrong[] = {"DATA00000101", "DATA00000000", "garbage", ""};
    for (size_t i = 0; i < array_count(wrong); i++) {
        struct fastboot_host host;
        fastboot_host_init(&host);
        assert_int_equal(fastboot_host_command(&host, 256, false), STATUS_OK);
        assert_int_equal(answered(&host, wrong[i]), STATUS_MALFORMED);
        assert_int_equal(host.state, FASTBOOT_BROKEN);
        assert_int_equal(answered(&host, "OKAY"), STATUS_MALFORMED);
        assert_int_equal(fastboot_host_command(&host, 0, false), STATUS_ILLEGAL);
    }
    struct fastboot_host host; /* an answer to nothing */
    fastboot_host_init(&host);
    assert_int_equal(answered(&host, "OKAY"), STATUS_MALFORMED);
    assert_int_equal(fastboot_host_transferred(&host, 1), STATUS_MALFORMED);
    assert_int_equal(host.state, FASTBOOT_BROKEN);
}

static void lengths_over_tcp_are_big_endian(void **state) {
    (void)state;
    uint8_t length[FASTBOOT_TCP_LENGTH_BYTES];
    static const uint8_t expected[] = {0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78};
    uint32_t bytes = 0;
    fastboot_put_length(length, 0x12345678);
    assert_memory_equal(length, expected, sizeof expected);
    assert_int_equal(fastboot_get_length(length, &bytes), STATUS_OK);
    assert_int_equal(bytes, 0x12345678);
    fastboot_put_length(length, UINT64_C(0x100000000));
    assert_int_equal(fastboot_get_length(length, &bytes), STATUS_TOO_LARGE);
}

static void an_answer_may_be_without_text_and_a_number_in_either_case(void **unused) {
    (void)unused;
    uint8_t target[FASTBOOT_RESPONSE_MAX];
    uint64_t number = 0;
    assert_int_equal(fastboot_put_response(target, FASTBOOT_OKAY, (struct bytes){NULL, 0}), 4);
    assert_memory_equal(target, "OKAY", 4);
    assert_int_equal(fastboot_get_number(bytes_of("0X1f"), &number), STATUS_OK);
    assert_int_equal(number, 0x1f);
    assert_int_equal(fastboot_get_number(bytes_of("0b1"), &number), STATUS_MALFORMED);
    assert_int_equal(fastboot_get_number(bytes_of("017"), &number), STATUS_OK);
    assert_int_equal(number, 17);
}

int protocol_fastboot_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_written_and_read_back),
        cmocka_unit_test(commands_that_could_be_taken_for_two_are_refused),
        cmocka_unit_test(commands_end_at_their_limit),
        cmocka_unit_test(responses_are_written_and_read_back),
        cmocka_unit_test(a_response_is_as_long_as_its_packet),
        cmocka_unit_test(malformed_responses_are_refused),
        cmocka_unit_test(numbers_of_variables_are_decimal_or_hexadecimal),
        cmocka_unit_test(every_pair_goes_where_the_table_says),
        cmocka_unit_test(a_download_goes_through_its_two_rows_of_answers),
        cmocka_unit_test(an_upload_takes_the_size_that_the_device_names),
        cmocka_unit_test(a_device_that_breaks_the_protocol_is_not_believed_again),
        cmocka_unit_test(lengths_over_tcp_are_big_endian),
        cmocka_unit_test(an_answer_may_be_without_text_and_a_number_in_either_case),
    };
    return cmocka_run_group_tests_name("protocol/fastboot", tests, NULL, NULL);
}
