/* Serial hub controllers: their answers, and garbage, partial lines, silence and late answers. */
#include "boards/hub_dialects.h"

#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct hub_serial serial;
static uint64_t now_ms;

static struct bytes text(const char *characters) {
    return (struct bytes){(const uint8_t *)characters, strlen(characters)};
}

static void begin(const char *dialect) {
    const struct hub_serial_dialect *row = hub_dialect_named(text(dialect));
    assert_non_null(row);
    hub_serial_begin(&serial, row);
    now_ms = 1000;
}

static void sent(const char *expected) {
    struct bytes output = hub_serial_output(&serial);
    assert_int_equal(output.size, strlen(expected));
    assert_memory_equal(output.data, expected, output.size);
    hub_serial_sent(&serial, output.size);
}

static void ask(enum hub_serial_command command, uint8_t port, const char *expected) {
    assert_int_equal(hub_serial_ask(&serial, command, port, now_ms), STATUS_OK);
    sent(expected);
}

static bool hears(const char *characters) {
    return hub_serial_receive(&serial, text(characters), now_ms);
}

static void a_universal_hub_is_started_switched_and_asked(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_START, 0, "host manual\r\n");
    assert_int_equal(hub_serial_ask(&serial, HUB_SERIAL_ON, 1, now_ms), STATUS_ILLEGAL);
    assert_true(hears("\r\n>> "));
    ask(HUB_SERIAL_OFF, 12, "mode o 12\r\n");
    assert_true(hears("\r\n>> "));
    ask(HUB_SERIAL_STATE, 12, "state 12\r\n");
    assert_false(hears("12, 0000, D O, 0, 0, x, 0.00\r\n"));
    assert_true(hears(">> "));
    assert_true(serial.has_state && !serial.is_on && !serial.was_restarted);
    ask(HUB_SERIAL_ON, 12, "mode s 12\r\n");
    assert_true(hears(">> "));
    ask(HUB_SERIAL_STATE, 12, "state 12\r\n");
    assert_true(hears("12, 1044, A S, 1, 5, x, 0.01\r\n>> "));
    assert_true(serial.has_state && serial.is_on);
}

static void a_pdsync_hub_has_its_flags_in_the_fourth_field(void **state) {
    (void)state;
    begin("cambrionix-pdsync");
    ask(HUB_SERIAL_STATE, 2, "state 2\r\n");
    assert_true(hears("2, 0499, 0059, A C -, 4638, x, 0.25\r\n>> "));
    assert_true(serial.has_state && serial.is_on);
    ask(HUB_SERIAL_STATE, 2, "state 2\r\n");
    assert_true(hears("2, 0000, 0000, D O _, 0, x, 0.00\r\n>> "));
    assert_true(serial.has_state && !serial.is_on);
}

static void the_plain_dialect_answers_with_a_word(void **state) {
    (void)state;
    begin("line");
    assert_int_equal(hub_serial_ask(&serial, HUB_SERIAL_START, 0, now_ms), STATUS_NOT_FOUND);
    ask(HUB_SERIAL_OFF, 3, "off 3\r\n");
    assert_true(hears("ok\n"));
    ask(HUB_SERIAL_STATE, 3, "get 3\r\n");
    assert_true(hears("off\r\n"));
    assert_true(serial.has_state && !serial.is_on);
    ask(HUB_SERIAL_ON, 9, "on 9\r\n");
    assert_true(hears("error no such port\n"));
    assert_int_equal(serial.status, STATUS_DENIED);
    assert_string_equal(serial.detail, "error no such port");
}

static void a_refusal_carries_the_hubs_words_made_printable(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_ON, 60, "mode s 60\r\n");
    assert_false(hears("*E410: Port\x1b number must be 1..8\r\n"));
    assert_true(hears(">> "));
    assert_int_equal(serial.status, STATUS_DENIED);
    assert_string_equal(serial.detail, "*E410: Port? number must be 1..8");
    assert_int_equal(serial.state, HUB_SERIAL_READY);
}

static void after_a_fatal_error_nothing_is_sent_until_it_has_restarted(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_ON, 1, "mode s 1\r\n");
    assert_true(hears("*FATAL ERROR E200: stack\r\n"));
    assert_int_equal(serial.status, STATUS_CLOSED);
    assert_int_equal(serial.state, HUB_SERIAL_FATAL);
    assert_int_equal(hub_serial_output(&serial).size, 0);
    assert_int_equal(hub_serial_ask(&serial, HUB_SERIAL_ON, 1, now_ms), STATUS_ILLEGAL);
    (void)hub_serial_step(&serial, now_ms + HUB_SERIAL_FATAL_MS - 1);
    assert_int_equal(serial.state, HUB_SERIAL_FATAL);
    (void)hub_serial_step(&serial, now_ms + HUB_SERIAL_FATAL_MS);
    assert_int_equal(serial.state, HUB_SERIAL_READY);
    assert_true(serial.was_restarted);
}

static void a_restart_is_remembered_until_it_is_cleared(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_STATE, 7, "state 7\r\n");
    assert_true(hears("7, 0078, R A P, 1, 0, x, 0.00\r\n>> "));
    assert_true(serial.was_restarted);
    ask(HUB_SERIAL_ON, 7, "mode s 7\r\n");
    assert_true(hears(">> "));
    assert_true(serial.was_restarted);
    ask(HUB_SERIAL_CLEAR, 0, "crf\r\n");
    assert_true(hears(">> "));
    assert_false(serial.was_restarted);
}

static void silence_is_asked_three_times_and_then_unknown(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_STATE, 5, "state 5\r\n");
    for (unsigned i = 1; i < HUB_SERIAL_TRIES; i++) {
        assert_false(hub_serial_step(&serial, now_ms + HUB_SERIAL_ANSWER_MS - 1));
        assert_int_equal(hub_serial_output(&serial).size, 0);
        now_ms += HUB_SERIAL_ANSWER_MS;
        assert_false(hub_serial_step(&serial, now_ms));
        sent("state 5\r\n");
    }
    now_ms += HUB_SERIAL_ANSWER_MS;
    assert_true(hub_serial_step(&serial, now_ms));
    assert_int_equal(serial.status, STATUS_TIMEOUT);
    assert_int_equal(serial.state, HUB_SERIAL_UNKNOWN);
    assert_int_equal(hub_serial_ask(&serial, HUB_SERIAL_OFF, 5, now_ms), STATUS_ILLEGAL);
}

static void an_answer_may_come_in_any_pieces(void **state) {
    (void)state;
    static const char answer[] = "5, 1044, A C, 1, 5, x, 0.01\r\n>> ";
    begin("cambrionix-universal");
    ask(HUB_SERIAL_STATE, 5, "state 5\r\n");
    bool has_ended = false;
    for (size_t i = 0; i + 1 < sizeof answer; i++) {
        has_ended =
            hub_serial_receive(&serial, (struct bytes){(const uint8_t *)answer + i, 1}, now_ms) ||
            has_ended;
    }
    assert_true(has_ended && serial.has_state && serial.is_on);
}

static void garbage_and_endless_lines_are_left_out(void **state) {
    (void)state;
    static const uint8_t noise[] = {0, 0xff, 0x11, 0x13, 0x80, '\r', '\n', '5', ',', '\n'};
    begin("cambrionix-universal");
    assert_false(hub_serial_receive(&serial, (struct bytes){noise, sizeof noise}, now_ms));
    ask(HUB_SERIAL_STATE, 5, "state 5\r\n");
    assert_false(hub_serial_receive(&serial, (struct bytes){noise, sizeof noise}, now_ms));
    for (unsigned i = 0; i < 100; i++) {
        assert_false(hears("5, 1044, A O, 1, 5, x, 5, 1044, A O, "));
    }
    assert_false(hears("\r\n6, 1044, A O, 1, 5, x, 0.01\r\n5, 1044, AO, 1\r\n"));
    assert_true(hears("5, 1044, A C, 1, 5, x, 0.01\r\n>> "));
    assert_true(serial.has_state && serial.is_on);
}

static void a_late_prompt_does_not_end_the_next_question(void **state) {
    (void)state;
    begin("cambrionix-universal");
    assert_false(hears(">> >> \r\n>> "));
    ask(HUB_SERIAL_STATE, 5, "state 5\r\n");
    assert_false(hears(">> "));
    assert_true(hears("5, 0000, D O, 0, 0, x, 0.00\r\n>> "));
    assert_true(serial.has_state && !serial.is_on);
}

static void a_dialect_of_no_known_name_is_none(void **state) {
    (void)state;
    assert_null(hub_dialect_named(text("cambrionix")));
    assert_null(hub_dialect_named(text("")));
}

/* Everything around the flags of a row may be odd; only a row that is sound says a state. */
static void only_a_sound_row_of_the_port_says_its_state(void **state) {
    (void)state;
    static const struct {
        const char *row;
        bool is_taken;
    } rows[] = {
        {"5 , 1044 , A C , 1, 5, x, 0.01", true}, /* blanks on both sides */
        {"5, 1044,   , 1", false},                /* no flags */
        {"5, 1044", false},                       /* no such field */
        {"5, 1044, A , 1", true},                 /* one flag */
        {"5, 1044, A-C, 1", false},               /* no blank between */
        {"/, 1044, A, 1", false},                 /* a byte below the digits */
        {"x, 1044, A, 1", false},                 /* and above */
        {", 1044, A, 1", false},                  /* no port */
        {"5000, 1044, A, 1", false},              /* a port that no byte holds */
        {"999999999999999999995, 1044, A, 1", false},
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        begin("cambrionix-universal");
        ask(HUB_SERIAL_STATE, 5, "state 5\r\n");
        assert_false(hears(rows[i].row));
        assert_int_equal(hears("\r\n>> "), rows[i].is_taken);
        assert_int_equal(serial.has_state, rows[i].is_taken);
    }
}

static void a_restart_stays_remembered_while_other_rows_come(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_STATE, 7, "state 7\r\n");
    assert_true(hears("7, 0078, R A P, 1, 0, x, 0.00\r\n>> "));
    ask(HUB_SERIAL_STATE, 7, "state 7\r\n");
    assert_true(hears("7, 0078, A P, 1, 0, x, 0.00\r\n>> "));
    assert_true(serial.was_restarted);
    ask(HUB_SERIAL_CLEAR, 0, "crf\r\n");
    assert_true(hears("*E400: not now\r\n>> ")); /* refused: it is still so */
    assert_true(serial.was_restarted);
}

static void a_refused_question_ends_without_a_state(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_STATE, 60, "state 60\r\n");
    assert_true(hears("*E410: no such port \x7f\r\n>> "));
    assert_int_equal(serial.status, STATUS_DENIED);
    assert_string_equal(serial.detail, "*E410: no such port ?");
    assert_false(serial.has_state);
}

static void a_prompt_before_the_command_is_sent_answers_nothing(void **state) {
    (void)state;
    begin("cambrionix-universal");
    assert_int_equal(hub_serial_ask(&serial, HUB_SERIAL_ON, 1, now_ms), STATUS_OK);
    assert_false(hears(">> "));
    hub_serial_sent(&serial, 3);
    assert_false(hears("\r\n>> "));
    sent("e s 1\r\n");
    assert_true(hears("\r\n>> "));
}

static void a_word_that_does_not_fit_the_question_is_no_answer(void **state) {
    (void)state;
    begin("line");
    ask(HUB_SERIAL_STATE, 3, "get 3\r\n");
    assert_false(hears("ok\nmaybe\n"));
    assert_true(hears("on\n"));
    assert_true(serial.has_state && serial.is_on);
    ask(HUB_SERIAL_ON, 3, "on 3\r\n");
    assert_false(hears("on\noff\nok?\n"));
    assert_true(hears("ok\n"));
    assert_false(hears("ok\n")); /* nothing was asked */
    assert_false(hears("*FATAL ERROR\n"));
    assert_int_equal(serial.state, HUB_SERIAL_FATAL);
}

static void what_a_hub_says_beside_the_answer_is_passed_over(void **state) {
    (void)state;
    begin("cambrionix-universal");
    ask(HUB_SERIAL_ON, 1, "mode s 1\r\n");
    assert_false(hears("1, 1044, A O, 1, 5, x, 0.01\r\n"));
    assert_true(hears(">> "));
    assert_false(serial.has_state);
}

int protocol_hub_serial_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_universal_hub_is_started_switched_and_asked),
        cmocka_unit_test(a_pdsync_hub_has_its_flags_in_the_fourth_field),
        cmocka_unit_test(the_plain_dialect_answers_with_a_word),
        cmocka_unit_test(a_refusal_carries_the_hubs_words_made_printable),
        cmocka_unit_test(after_a_fatal_error_nothing_is_sent_until_it_has_restarted),
        cmocka_unit_test(a_restart_is_remembered_until_it_is_cleared),
        cmocka_unit_test(silence_is_asked_three_times_and_then_unknown),
        cmocka_unit_test(an_answer_may_come_in_any_pieces),
        cmocka_unit_test(garbage_and_endless_lines_are_left_out),
        cmocka_unit_test(a_late_prompt_does_not_end_the_next_question),
        cmocka_unit_test(a_dialect_of_no_known_name_is_none),
        cmocka_unit_test(only_a_sound_row_of_the_port_says_its_state),
        cmocka_unit_test(a_restart_stays_remembered_while_other_rows_come),
        cmocka_unit_test(a_refused_question_ends_without_a_state),
        cmocka_unit_test(a_prompt_before_the_command_is_sent_answers_nothing),
        cmocka_unit_test(a_word_that_does_not_fit_the_question_is_no_answer),
        cmocka_unit_test(what_a_hub_says_beside_the_answer_is_passed_over),
    };
    return cmocka_run_group_tests_name("protocol/hub_serial", tests, NULL, NULL);
}
