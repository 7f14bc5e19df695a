#include "protocol/sync_command.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t buffer[512];

/* The command that was written first into the buffer. */
static struct sync_command first_of(const struct cbor_writer *writer) {
    struct sync_command command = {0};
    struct bytes commands = {buffer, writer->size};
    assert_false(writer->overflow);
    assert_true(sync_command_next(&commands, &command));
    assert_int_equal(commands.size, 0);
    return command;
}

static struct sync_command write_control(enum sync_command_kind kind,
                                         const struct sync_control *control) {
    struct cbor_writer writer;
    cbor_writer_init(&writer, buffer, sizeof buffer);
    sync_control_write(&writer, 7, kind, control);
    return first_of(&writer);
}

static struct sync_command write_offer(const struct sync_offer *offer) {
    struct cbor_writer writer;
    cbor_writer_init(&writer, buffer, sizeof buffer);
    sync_offer_write(&writer, 7, offer);
    return first_of(&writer);
}

#define LONG_ID "123456789 123456789 123456789 123456789 123456789 123456789 12345"

static struct sync_offer sample(void) {
    return (struct sync_offer){.process = 1,
                               .generation = 1,
                               .item = 1,
                               .assignment = 1,
                               .request = bytes_of("r"),
                               .phone_id = bytes_of("p"),
                               .account = bytes_of("a")};
}

static void every_kind_comes_back(void **state) {
    (void)state;
    for (unsigned kind = SYNC_CANCEL; kind <= SYNC_WITHDRAW; kind++) {
        const struct sync_control control = {
            .owner = SYNC_OWN_UPSTREAM,
            .process = SYNC_SEQ_MAX,
            .item = UINT32_MAX,
            .assignment = kind == SYNC_WITHDRAW ? UINT32_MAX : 0,
            .is_done = kind == SYNC_SETTLE,
        };
        struct sync_control found;
        struct sync_command command = write_control((enum sync_command_kind)kind, &control);
        assert_int_equal(command.number, 7);
        assert_int_equal(command.kind, kind);
        assert_int_equal(sync_control_read(&command, &found), STATUS_OK);
        assert_int_equal(found.owner, SYNC_OWN_UPSTREAM);
        assert_true(found.process == SYNC_SEQ_MAX);
        assert_int_equal(found.item, UINT32_MAX);
        assert_int_equal(found.assignment, control.assignment);
        assert_int_equal(found.is_done, control.is_done);
    }
}

static void a_command_cut_short_is_refused(void **state) {
    (void)state;
    const struct sync_control control = {
        .owner = SYNC_OWN_UPSTREAM, .process = 300, .item = 1, .assignment = 2};
    for (unsigned kind = SYNC_CANCEL; kind <= SYNC_WITHDRAW; kind++) {
        struct sync_command command = write_control((enum sync_command_kind)kind, &control);
        for (size_t whole = command.rest.size; command.rest.size > 0;) {
            struct sync_control found = {.process = 99};
            command.rest.size -= 1;
            assert_int_equal(sync_control_read(&command, &found), STATUS_MALFORMED);
            assert_int_equal(found.process, 99);
            assert_true(whole > command.rest.size);
        }
    }
    struct sync_offer offer = sample();
    struct sync_command command = write_offer(&offer);
    while (command.rest.size > 0) {
        struct sync_offer found = {.process = 99};
        command.rest.size -= 1;
        assert_int_equal(sync_offer_read(&command, &found), STATUS_MALFORMED);
        assert_int_equal(found.process, 99);
    }
}

static enum status read_offer(const struct sync_offer *offer) {
    struct sync_offer found;
    struct sync_command command = write_offer(offer);
    return sync_offer_read(&command, &found);
}

static void an_offer_names_a_process_an_item_and_an_assignment(void **state) {
    (void)state;
    struct sync_offer offer = sample();
    assert_int_equal(read_offer(&offer), STATUS_OK);
    for (int field = 0; field < 6; field++) {
        offer = sample();
        offer.process -= field == 0;
        offer.generation -= field == 1;
        offer.item -= field == 2;
        offer.assignment -= field == 3;
        offer.phone_id = field == 4 ? bytes_of(LONG_ID) : offer.phone_id;
        offer.account = field == 5 ? bytes_of(LONG_ID) : offer.account;
        assert_int_equal(read_offer(&offer), STATUS_MALFORMED);
    }
}

static enum status read_control(enum sync_command_kind kind, const struct sync_control *control) {
    struct sync_control found;
    struct sync_command command = write_control(kind, control);
    return sync_control_read(&command, &found);
}

static void a_control_names_what_it_is_about(void **state) {
    (void)state;
    const struct sync_control hub = {.owner = SYNC_OWN_HUB, .process = 1};
    const struct sync_control no_process = {.owner = SYNC_OWN_HUB};
    const struct sync_control no_item = {.owner = SYNC_OWN_UPSTREAM, .process = 1};
    const struct sync_control no_assignment = {.process = 1, .item = 1};
    const struct sync_control nobody = {.owner = SYNC_OWN_UPSTREAM + 1, .process = 1, .item = 1};
    assert_int_equal(read_control(SYNC_CANCEL, &hub), STATUS_OK);
    assert_int_equal(read_control(SYNC_CANCEL, &no_process), STATUS_MALFORMED);
    assert_int_equal(read_control(SYNC_CANCEL, &no_item), STATUS_MALFORMED);
    assert_int_equal(read_control(SYNC_WITHDRAW, &no_assignment), STATUS_MALFORMED);
    assert_int_equal(read_control(SYNC_WITHDRAW, &no_item), STATUS_MALFORMED);
    assert_int_equal(read_control(SYNC_CANCEL, &nobody), STATUS_MALFORMED);
}

static void numbers_that_were_answered_come_back(void **state) {
    (void)state;
    struct cbor_writer writer;
    uint64_t through = 1;
    cbor_writer_init(&writer, buffer, sizeof buffer);
    sync_answered_write(&writer, 7, 300);
    struct sync_command command = first_of(&writer);
    assert_int_equal(command.kind, SYNC_ANSWERED);
    assert_int_equal(sync_answered_read(&command, &through), STATUS_OK);
    assert_int_equal(through, 300);
    command.number = 300;
    assert_int_equal(sync_answered_read(&command, &through), STATUS_OK);
    command.number = 301; /* it would go back */
    assert_int_equal(sync_answered_read(&command, &through), STATUS_MALFORMED);
    command.number = 7;
    while (command.rest.size > 0) {
        command.rest.size -= 1;
        assert_int_equal(sync_answered_read(&command, &through), STATUS_MALFORMED);
    }
    assert_int_equal(through, 300);
}

int protocol_sync_command_tests(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back),
        cmocka_unit_test(a_command_cut_short_is_refused),
        cmocka_unit_test(an_offer_names_a_process_an_item_and_an_assignment),
        cmocka_unit_test(a_control_names_what_it_is_about),
        cmocka_unit_test(numbers_that_were_answered_come_back),
    };
    return cmocka_run_group_tests_name("protocol/sync_command", tests, NULL, NULL);
}
