#include "protocol/sync_message.h"

#include "protocol/sha256.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t chain_1[RECORD_CHAIN_BYTES] = {1, 1, 1, 1, 1, 1, 1, 1};
static const uint8_t chain_2[RECORD_CHAIN_BYTES] = {2, 2, 2, 2, 2, 2, 2, 2};
static const uint8_t record_a[] = {0x82, 0x01, 0x02};
static const uint8_t record_b[] = {0xff, 0x00}; /* whatever it is, it is carried */
static const uint8_t record_c[] = {0x07};

static struct sync_push sample(void) {
    struct sync_push push = {
        .epoch = 3,
        .now = {.boot = 9, .mono_ms = 1000, .quality = 2, .wall_ms = 1700000000000},
        .cursor = 40,
        .first_seq = 41,
        .capacity = 128,
        .phones = 5,
        .is_hello = true,
    };
    memset(push.store_id, 0x5a, sizeof push.store_id);
    memset(push.chain, 0x77, sizeof push.chain);
    return push;
}

#define body_of(array) ((struct bytes){array, sizeof(array)})

/* Two groups: records a and b, then c. */
static struct bytes two_groups(uint8_t *buffer, size_t capacity) {
    struct sync_writer writer;
    struct sync_push push = sample();
    sync_writer_init(&writer, buffer, capacity);
    sync_writer_group(&writer, chain_1, 2);
    sync_writer_record(&writer, body_of(record_a));
    sync_writer_record(&writer, body_of(record_b));
    assert_true(sync_writer_group_end(&writer));
    sync_writer_group(&writer, chain_2, 1);
    sync_writer_record(&writer, body_of(record_c));
    assert_true(sync_writer_group_end(&writer));
    return sync_writer_end(&writer, &push);
}

static void assert_body(struct bytes body, struct bytes expected) {
    assert_int_equal(body.size, expected.size);
    assert_memory_equal(body.data, expected.data, expected.size);
}

static void carries_groups_and_their_records_unchanged(void **state) {
    (void)state;
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    struct sync_push push;
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    struct sync_push expected = sample();
    assert_int_equal(push.epoch, 3);
    assert_int_equal(push.now.boot, 9);
    assert_int_equal(push.now.wall_ms, 1700000000000);
    assert_memory_equal(push.store_id, expected.store_id, SYNC_STORE_ID_BYTES);
    assert_memory_equal(push.chain, expected.chain, RECORD_CHAIN_BYTES);
    assert_int_equal(push.cursor, 40);
    assert_int_equal(push.first_seq, 41);
    assert_int_equal(push.last_seq, 43);
    assert_int_equal(push.group_count, 2);
    assert_int_equal(push.capacity, 128);
    assert_int_equal(push.phones, 5);
    assert_true(push.is_hello);

    struct sync_group group;
    struct bytes body;
    assert_true(sync_group_next(&push, &group));
    assert_int_equal(group.first_seq, 41);
    assert_int_equal(group.record_count, 2);
    assert_memory_equal(group.chain, chain_1, RECORD_CHAIN_BYTES);
    assert_true(sync_record_next(&group.records, &body));
    assert_body(body, body_of(record_a));
    assert_true(sync_record_next(&group.records, &body));
    assert_body(body, body_of(record_b));
    assert_false(sync_record_next(&group.records, &body));
    assert_true(sync_group_next(&push, &group));
    assert_int_equal(group.first_seq, 43);
    assert_memory_equal(group.chain, chain_2, RECORD_CHAIN_BYTES);
    assert_true(sync_record_next(&group.records, &body));
    assert_body(body, body_of(record_c));
    assert_false(sync_group_next(&push, &group));
}

static void has_one_encoding(void **state) {
    (void)state;
    static const uint8_t expected[] = {
        0x8b, 0x01, 0xf5, 0x50, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
        0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x03, /* epoch */
        0x84, 0x09, 0x19, 0x03, 0xe8, 0x02, 0x1b, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68,
        0x00, 0x82, 0x18, 0x28, 0x48, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, /* cursor */
        0x18, 0x80, 0x05, 0x00, 0x18, 0x29, 0x82,                                     /* groups */
        0x82, 0x48, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x82, 0x43, 0x82, 0x01,
        0x02, 0x42, 0xff, 0x00, /* record b */
        0x82, 0x48, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x81, 0x41, 0x07,
    };
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    assert_body(message, body_of(expected));
}

static void carries_no_groups_at_all(void **state) {
    (void)state;
    uint8_t buffer[SYNC_PUSH_HEAD_MAX];
    struct sync_writer writer;
    struct sync_push push = sample();
    push.is_hello = false;
    push.now.wall_ms = 0;
    sync_writer_init(&writer, buffer, sizeof buffer);
    struct bytes message = sync_writer_end(&writer, &push);
    struct sync_group group;
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    assert_int_equal(push.group_count, 0);
    assert_int_equal(push.last_seq, 40);
    assert_false(push.is_hello);
    assert_false(sync_group_next(&push, &group));
}

static void leaves_out_a_group_that_does_not_fit(void **state) {
    (void)state;
    uint8_t buffer[512];
    size_t whole = two_groups(buffer, sizeof buffer).size;
    size_t complete = 0;
    for (size_t room = 0; room < 64; room++) {
        struct sync_writer writer;
        struct sync_push push = sample();
        sync_writer_init(&writer, buffer, SYNC_PUSH_HEAD_MAX + room);
        sync_writer_group(&writer, chain_1, 2);
        sync_writer_record(&writer, body_of(record_a));
        sync_writer_record(&writer, body_of(record_b));
        uint32_t fitted = sync_writer_group_end(&writer);
        sync_writer_group(&writer, chain_2, 1);
        sync_writer_record(&writer, body_of(record_c));
        fitted += sync_writer_group_end(&writer);
        struct bytes message = sync_writer_end(&writer, &push);
        assert_true(message.data >= buffer);
        assert_true(message.data + message.size <= buffer + SYNC_PUSH_HEAD_MAX + room);
        assert_int_equal(sync_push_read(message, &push), STATUS_OK);
        assert_int_equal(push.group_count, fitted);
        complete += message.size == whole;
    }
    assert_int_equal(complete, 64 - 18 - 13); /* from the size of both groups on */
}

static void writes_the_largest_head_in_its_room(void **state) {
    (void)state;
    uint8_t buffer[SYNC_PUSH_HEAD_MAX];
    struct sync_writer writer;
    struct sync_push push = sample();
    push.epoch = push.capacity = push.phones = UINT32_MAX;
    push.now = record_time_of(UINT64_MAX, UINT64_MAX, UINT64_MAX, 2);
    push.cursor = push.command = SYNC_SEQ_MAX;
    push.first_seq = SYNC_SEQ_MAX;
    sync_writer_init(&writer, buffer, sizeof buffer);
    struct bytes message = sync_writer_end(&writer, &push);
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    assert_true(message.size + 4 <= SYNC_PUSH_HEAD_MAX);
}

static void refuses_every_truncation_of_a_push(void **state) {
    (void)state;
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    for (size_t size = 0; size < message.size; size++) {
        struct sync_push push = {.epoch = 77};
        assert_int_equal(sync_push_read((struct bytes){message.data, size}, &push),
                         STATUS_MALFORMED);
        assert_int_equal(push.epoch, 77);
    }
}

static void refuses_bytes_behind_a_push(void **state) {
    (void)state;
    uint8_t buffer[512] = {0};
    struct bytes message = two_groups(buffer, sizeof buffer);
    struct sync_push push;
    message.size += 1;
    assert_int_equal(sync_push_read(message, &push), STATUS_MALFORMED);
}

static void never_fails_a_check_whatever_a_byte_becomes(void **state) {
    (void)state;
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    uint8_t *bytes = buffer + (message.data - buffer);
    for (size_t i = 0; i < message.size; i++) {
        uint8_t before = bytes[i];
        for (unsigned value = 0; value < 256; value++) {
            struct sync_push push;
            struct sync_group group;
            bytes[i] = (uint8_t)value;
            if (sync_push_read(message, &push) != STATUS_OK) {
                continue;
            }
            while (sync_group_next(&push, &group)) {
                uint8_t next[RECORD_CHAIN_BYTES];
                sync_chain_next(chain_1, &group, next);
            }
        }
        bytes[i] = before;
    }
}

/* Changes the byte of the message where `what` says and reads it. */
static enum status read_changed(size_t at, uint8_t value) {
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    struct sync_push push;
    buffer[(size_t)(message.data - buffer) + at] = value;
    return sync_push_read(message, &push);
}

static void refuses_what_a_push_may_not_say(void **state) {
    (void)state;
    assert_int_equal(read_changed(1, 0x02), STATUS_FOREIGN);    /* version 2 */
    assert_int_equal(read_changed(20, 0x00), STATUS_MALFORMED); /* epoch 0 */
    assert_int_equal(read_changed(22, 0x00), STATUS_MALFORMED); /* boot 0 */
    assert_int_equal(read_changed(3, 0x4f), STATUS_MALFORMED);  /* store id of 15 bytes */
    assert_int_equal(read_changed(0, 0x8a), STATUS_MALFORMED);  /* a field less */
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    size_t count_at = message.size - 3; /* of the last group's records */
    assert_int_equal(read_changed(count_at, 0x80), STATUS_MALFORMED);         /* a group of none */
    assert_int_equal(read_changed(message.size - 2, 0x40), STATUS_MALFORMED); /* an empty record */
}

static void refuses_sequence_numbers_that_overflow(void **state) {
    (void)state;
    uint8_t buffer[512];
    struct sync_writer writer;
    struct sync_push push = sample();
    push.first_seq = SYNC_SEQ_MAX;
    sync_writer_init(&writer, buffer, sizeof buffer);
    sync_writer_group(&writer, chain_1, 2);
    sync_writer_record(&writer, body_of(record_a));
    sync_writer_record(&writer, body_of(record_b));
    assert_true(sync_writer_group_end(&writer));
    struct bytes message = sync_writer_end(&writer, &push);
    assert_int_equal(sync_push_read(message, &push), STATUS_MALFORMED);
}

static void skips_fields_of_a_newer_version(void **state) {
    (void)state;
    uint8_t buffer[512] = {0};
    struct bytes message = two_groups(buffer, sizeof buffer);
    uint8_t *bytes = buffer + (message.data - buffer);
    struct sync_push push;
    bytes[0] = 0x8c;
    bytes[message.size] = 0x82; /* [1, "a"] */
    bytes[message.size + 1] = 0x01;
    bytes[message.size + 2] = 0x61;
    bytes[message.size + 3] = 'a';
    message.size += 4;
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    assert_int_equal(push.last_seq, 43);
}

static void chains_as_the_store_does(void **state) {
    (void)state;
    uint8_t buffer[512];
    struct sync_push push;
    struct sync_group group;
    assert_int_equal(sync_push_read(two_groups(buffer, sizeof buffer), &push), STATUS_OK);
    assert_true(sync_group_next(&push, &group));
    uint8_t input[RECORD_CHAIN_BYTES + sizeof record_a + sizeof record_b];
    memcpy(input, chain_2, RECORD_CHAIN_BYTES);
    memcpy(input + RECORD_CHAIN_BYTES, record_a, sizeof record_a);
    memcpy(input + RECORD_CHAIN_BYTES + sizeof record_a, record_b, sizeof record_b);
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    sha256_init(&hash);
    sha256_add(&hash, body_of(input));
    sha256_end(&hash, digest);
    uint8_t next[RECORD_CHAIN_BYTES];
    sync_chain_next(chain_2, &group, next);
    assert_memory_equal(next, digest, RECORD_CHAIN_BYTES);
}

/* ---- replies ---- */

static struct bytes write_reply(uint8_t *buffer, size_t capacity, uint32_t command_count) {
    static const uint8_t rest[] = {0x61, 'x', 0xf6};
    uint8_t commands[64];
    struct cbor_writer writer;
    cbor_writer_init(&writer, commands, sizeof commands);
    for (uint32_t i = 0; i < command_count; i++) {
        struct sync_command command = {
            .number = 500 + i, .kind = i, .rest = i == 0 ? (struct bytes){0} : body_of(rest)};
        sync_command_write(&writer, &command, i == 0 ? 0 : 2);
    }
    assert_false(writer.overflow);
    struct sync_reply reply = {
        .result = SYNC_GAP,
        .text = bytes_of("expected 7"),
        .cursor = 6,
        .server_ms = 1700000000123,
        .push_bytes_max = SYNC_PUSH_BYTES_MAX,
        .retry_after_ms = 250,
        .command_count = command_count,
        .commands = {commands, writer.size},
    };
    memcpy(reply.chain, chain_2, RECORD_CHAIN_BYTES);
    cbor_writer_init(&writer, buffer, capacity);
    sync_reply_write(&writer, &reply);
    assert_false(writer.overflow);
    return (struct bytes){buffer, writer.size};
}

static void carries_a_reply(void **state) {
    (void)state;
    uint8_t buffer[256];
    struct sync_reply reply;
    struct sync_command command;
    assert_int_equal(sync_reply_read(write_reply(buffer, sizeof buffer, 0), &reply), STATUS_OK);
    assert_int_equal(reply.result, SYNC_GAP);
    assert_body(reply.text, bytes_of("expected 7"));
    assert_int_equal(reply.cursor, 6);
    assert_memory_equal(reply.chain, chain_2, RECORD_CHAIN_BYTES);
    assert_int_equal(reply.server_ms, 1700000000123);
    assert_int_equal(reply.push_bytes_max, SYNC_PUSH_BYTES_MAX);
    assert_int_equal(reply.retry_after_ms, 250);
    assert_int_equal(reply.command_count, 0);
    assert_false(sync_command_next(&reply.commands, &command));
}

static void keeps_a_place_for_commands(void **state) {
    (void)state;
    uint8_t buffer[256];
    struct sync_reply reply;
    struct sync_command command;
    assert_int_equal(sync_reply_read(write_reply(buffer, sizeof buffer, 2), &reply), STATUS_OK);
    assert_int_equal(reply.command_count, 2);
    assert_true(sync_command_next(&reply.commands, &command));
    assert_int_equal(command.number, 500);
    assert_int_equal(command.kind, 0);
    assert_int_equal(command.rest.size, 0);
    assert_true(sync_command_next(&reply.commands, &command));
    assert_int_equal(command.number, 501);
    assert_int_equal(command.rest.size, 3);
    assert_false(sync_command_next(&reply.commands, &command));
}

static void refuses_every_truncation_of_a_reply(void **state) {
    (void)state;
    uint8_t buffer[256];
    struct bytes message = write_reply(buffer, sizeof buffer, 2);
    for (size_t size = 0; size < message.size; size++) {
        struct sync_reply reply = {.cursor = 99};
        assert_int_equal(sync_reply_read((struct bytes){buffer, size}, &reply), STATUS_MALFORMED);
        assert_int_equal(reply.cursor, 99);
    }
}

static void refuses_what_a_reply_may_not_say(void **state) {
    (void)state;
    uint8_t buffer[256];
    struct sync_reply reply;
    struct bytes message = write_reply(buffer, sizeof buffer, 0);
    buffer[1] = 0x02;
    assert_int_equal(sync_reply_read(message, &reply), STATUS_FOREIGN);
    buffer[1] = 0x01;
    buffer[2] = SYNC_RESULT_COUNT;
    assert_int_equal(sync_reply_read(message, &reply), STATUS_MALFORMED);
    buffer[2] = SYNC_OK;
    assert_int_equal(sync_reply_read(message, &reply), STATUS_OK);
    buffer[message.size - 1] = 0x81; /* one command, and there is none */
    assert_int_equal(sync_reply_read(message, &reply), STATUS_MALFORMED);
}

int protocol_sync_message_tests(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_groups_and_their_records_unchanged),
        cmocka_unit_test(has_one_encoding),
        cmocka_unit_test(carries_no_groups_at_all),
        cmocka_unit_test(leaves_out_a_group_that_does_not_fit),
        cmocka_unit_test(writes_the_largest_head_in_its_room),
        cmocka_unit_test(refuses_every_truncation_of_a_push),
        cmocka_unit_test(refuses_bytes_behind_a_push),
        cmocka_unit_test(never_fails_a_check_whatever_a_byte_becomes),
        cmocka_unit_test(refuses_what_a_push_may_not_say),
        cmocka_unit_test(refuses_sequence_numbers_that_overflow),
        cmocka_unit_test(skips_fields_of_a_newer_version),
        cmocka_unit_test(chains_as_the_store_does),
        cmocka_unit_test(carries_a_reply),
        cmocka_unit_test(keeps_a_place_for_commands),
        cmocka_unit_test(refuses_every_truncation_of_a_reply),
        cmocka_unit_test(refuses_what_a_reply_may_not_say),
    };
    return cmocka_run_group_tests_name("protocol/sync_message", tests, NULL, NULL);
}
