#include "protocol/sync_command.h"

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
        0x91, 0x01, 0xf5, 0x50, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a,
        0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x03, /* epoch */
        0x84, 0x09, 0x19, 0x03, 0xe8, 0x02, 0x1b, 0x00, 0x00, 0x01, 0x8b, 0xcf, 0xe5, 0x68,
        0x00, 0x82, 0x18, 0x28, 0x48, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, 0x77, /* cursor */
        0x18, 0x80, 0x05, 0x00, 0x18, 0x29, 0x82,                                     /* groups */
        0x82, 0x48, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x82, 0x43, 0x82, 0x01,
        0x02, 0x42, 0xff, 0x00, /* record b */
        0x82, 0x48, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x02, 0x81, 0x41, 0x07, 0xf6,
        0x00, 0x00, 0x00, 0xf6, 0x00, /* no gap; zeros; no inventory */
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
    push.wait_ms = push.upstream_epoch = push.idle = push.reply_bytes_max = UINT32_MAX;
    push.gap.first = push.gap.last = SYNC_SEQ_MAX;
    memset(push.gap.dropped, 0xff, sizeof push.gap.dropped);
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
    size_t end = message.size - 6; /* of the groups */
    size_t count_at = end - 3;     /* of the last group's records */
    assert_int_equal(read_changed(count_at, 0x80), STATUS_MALFORMED); /* a group of none */
    assert_int_equal(read_changed(end - 2, 0x40), STATUS_MALFORMED);  /* an empty record */
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
    const uint8_t more[] = {0x82, 0x01, 0x61, 'a'}; /* [1, "a"] */
    bytes[0] = 0x92;
    memcpy(bytes + message.size, more, sizeof more);
    message.size += sizeof more;
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    assert_int_equal(push.last_seq, 43);
    assert_int_equal(push.gap.first, 0);
}

/* A push of one record with a gap in front of it. */
static struct bytes with_gap(uint8_t *buffer, size_t capacity, const struct record_gap *gap) {
    struct sync_writer writer;
    struct sync_push push = sample();
    push.gap = *gap;
    sync_writer_init(&writer, buffer, capacity);
    sync_writer_group(&writer, chain_2, 1);
    sync_writer_record(&writer, body_of(record_b));
    assert_true(sync_writer_group_end(&writer));
    return sync_writer_end(&writer, &push);
}

static void carries_a_gap_in_front_of_its_groups(void **state) {
    (void)state;
    uint8_t buffer[512];
    const struct record_gap gap = {
        .first = 30, .last = 40, .chain = {9, 8, 7}, .dropped = {0, 1, 2, 3, 4, 5, 6, UINT32_MAX}};
    struct bytes message = with_gap(buffer, sizeof buffer, &gap);
    struct sync_push push;
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    assert_memory_equal(&push.gap, &gap, sizeof gap);
    assert_int_equal(push.group_count, 1);
    for (size_t size = 0; size < message.size; size++) {
        assert_int_equal(sync_push_read((struct bytes){message.data, size}, &push),
                         STATUS_MALFORMED);
    }
    const struct record_gap wrong[] = {{.first = 41, .last = 40},
                                       {.first = 1, .last = SYNC_SEQ_MAX + 1}};
    for (size_t i = 0; i < array_count(wrong); i++) {
        message = with_gap(buffer, sizeof buffer, &wrong[i]);
        assert_int_equal(sync_push_read(message, &push), STATUS_MALFORMED);
    }
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
        command.rest_count = i == 0 ? 0 : 2;
        sync_command_write(&writer, &command);
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
    assert_int_equal(command.rest_count, 0);
    assert_true(sync_command_next(&reply.commands, &command));
    assert_int_equal(command.number, 501);
    assert_int_equal(command.rest.size, 3);
    assert_int_equal(command.rest_count, 2);
    assert_false(sync_command_next(&reply.commands, &command));
}

static void carries_offers_and_grants(void **state) {
    (void)state;
    const struct sync_offer offer = {.process = SYNC_SEQ_MAX,
                                     .generation = 2,
                                     .item = 3,
                                     .assignment = 4,
                                     .ttl_ms = UINT32_MAX,
                                     .request = body_of(record_a),
                                     .phone_id = bytes_of("SIM001"),
                                     .account = bytes_of("a"),
                                     .attempt = 5,
                                     .attempts_counted = 6,
                                     .actions_done = 7,
                                     .actions_digest = UINT64_MAX};
    const struct sync_grant grant = {.process = 9, .item = 1, .assignment = 2, .ttl_ms = 900000};
    uint8_t commands[128];
    uint8_t grants[64];
    uint8_t buffer[512];
    struct cbor_writer writer;
    cbor_writer_init(&writer, commands, sizeof commands);
    sync_offer_write(&writer, 500, &offer);
    struct sync_reply reply = {.command_count = 1,
                               .commands = {commands, writer.size},
                               .upstream_epoch = 3,
                               .grant_count = 2,
                               .epoch = 8,
                               .verdicts = body_of(record_c)};
    cbor_writer_init(&writer, grants, sizeof grants);
    sync_grant_write(&writer, &grant);
    sync_grant_write(&writer, &grant);
    reply.grants = (struct bytes){grants, writer.size};
    cbor_writer_init(&writer, buffer, sizeof buffer);
    sync_reply_write(&writer, &reply);
    struct sync_reply found;
    struct sync_command command;
    struct sync_offer taken;
    struct sync_grant renewed = {0};
    assert_int_equal(sync_reply_read((struct bytes){buffer, writer.size}, &found), STATUS_OK);
    assert_int_equal(found.upstream_epoch, 3);
    assert_int_equal(found.epoch, 8);
    assert_body(found.verdicts, body_of(record_c));
    assert_true(sync_command_next(&found.commands, &command));
    assert_int_equal(sync_offer_read(&command, &taken), STATUS_OK);
    assert_true(taken.process == SYNC_SEQ_MAX && taken.generation == 2 && taken.item == 3 &&
                taken.assignment == 4 && taken.ttl_ms == UINT32_MAX && taken.attempt == 5 &&
                taken.attempts_counted == 6 && taken.actions_done == 7 &&
                taken.actions_digest == UINT64_MAX);
    assert_body(taken.request, body_of(record_a));
    assert_body(taken.phone_id, bytes_of("SIM001"));
    assert_body(taken.account, bytes_of("a"));
    for (int i = 0; i < 2; i++) {
        assert_true(sync_grant_next(&found.grants, &renewed));
        assert_true(renewed.process == 9 && renewed.item == 1 && renewed.assignment == 2 &&
                    renewed.ttl_ms == 900000);
    }
    assert_false(sync_grant_next(&found.grants, &renewed));
    for (size_t size = 0; size < writer.size; size++) {
        assert_int_equal(sync_reply_read((struct bytes){buffer, size}, &found), STATUS_MALFORMED);
    }
}

static void reads_a_reply_of_the_step_before(void **state) {
    (void)state;
    uint8_t buffer[256];
    struct sync_reply reply;
    struct bytes message = write_reply(buffer, sizeof buffer, 2);
    assert_memory_equal(buffer + message.size - 4, "\x00\x80\x00\xf6", 4);
    buffer[0] = 0x88;
    message.size -= 4;
    assert_int_equal(sync_reply_read(message, &reply), STATUS_OK);
    assert_int_equal(reply.command_count, 2);
    assert_int_equal(reply.upstream_epoch, 0);
    assert_int_equal(reply.grant_count, 0);
}

static void reads_a_push_of_the_steps_before(void **state) {
    (void)state;
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    uint8_t *bytes = buffer + (message.data - buffer);
    struct sync_push push;
    static const uint8_t steps[] = {11, 12, 16, 17}; /* without a gap, with it, and so on */
    for (size_t i = 0; i < array_count(steps); i++) {
        bytes[0] = (uint8_t)(0x80 | steps[i]);
        struct bytes older = {bytes, message.size - 17 + steps[i]};
        assert_int_equal(sync_push_read(older, &push), STATUS_OK);
        assert_int_equal(push.group_count, 2);
    }
}

static void carries_what_a_hub_says_of_its_polls(void **state) {
    (void)state;
    uint8_t buffer[SYNC_PUSH_HEAD_MAX + 200];
    uint8_t page[250]; /* more than the tail has room for */
    struct cbor_writer item;
    struct sync_writer writer;
    struct sync_push push = sample();
    cbor_writer_init(&item, page, sizeof page);
    cbor_put_bytes(&item, (struct bytes){buffer, 220});
    push.wait_ms = 20000;
    push.upstream_epoch = 4;
    push.idle = 3;
    push.reply_bytes_max = 4000;
    push.inventory = (struct bytes){page, item.size};
    sync_writer_init(&writer, buffer, sizeof buffer);
    struct bytes message = sync_writer_end(&writer, &push);
    struct sync_push found;
    assert_int_equal(sync_push_read(message, &found), STATUS_OK);
    assert_int_equal(found.wait_ms, 20000);
    assert_int_equal(found.upstream_epoch, 4);
    assert_int_equal(found.idle, 3);
    assert_int_equal(found.reply_bytes_max, 4000);
    assert_body(found.inventory, push.inventory);
    for (size_t size = 0; size < message.size; size++) {
        assert_int_equal(sync_push_read((struct bytes){message.data, size}, &found),
                         STATUS_MALFORMED);
    }
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
    buffer[message.size - 5] = 0x81; /* one command, and there is none */
    assert_int_equal(sync_reply_read(message, &reply), STATUS_MALFORMED);
}

static void takes_as_many_groups_as_a_message_may_have(void **state) {
    (void)state;
    static uint8_t buffer[SYNC_PUSH_HEAD_MAX + (SYNC_GROUPS_MAX + 1) * 16];
    struct sync_writer writer;
    struct sync_push push = sample();
    sync_writer_init(&writer, buffer, sizeof buffer);
    for (uint32_t i = 0; i <= SYNC_GROUPS_MAX; i++) {
        sync_writer_group(&writer, chain_1, 1);
        sync_writer_record(&writer, body_of(record_c));
        assert_int_equal(sync_writer_group_end(&writer), i < SYNC_GROUPS_MAX);
    }
    struct bytes message = sync_writer_end(&writer, &push);
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
    assert_int_equal(push.group_count, SYNC_GROUPS_MAX);
}

static void refuses_a_push_that_begins_nowhere(void **state) {
    (void)state;
    static const uint8_t numbers[] = {0x18, 0x80, 0x05, 0x00, 0x18, 0x29}; /* capacity to first */
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    uint8_t *bytes = buffer + (message.data - buffer);
    size_t at = 48;
    assert_memory_equal(bytes + at, numbers, sizeof numbers);
    bytes[at + 4] = 0x00; /* the first sequence number is 0 */
    memmove(bytes + at + 5, bytes + at + 6, message.size - at - 6);
    message.size -= 1;
    struct sync_push push;
    assert_int_equal(sync_push_read(message, &push), STATUS_MALFORMED);
    bytes[at + 4] = 0x01;
    assert_int_equal(sync_push_read(message, &push), STATUS_OK);
}

static void refuses_a_command_without_its_number_or_kind(void **state) {
    (void)state;
    uint8_t buffer[256];
    struct sync_reply reply;
    struct bytes message = write_reply(buffer, sizeof buffer, 1);
    buffer[0] = 0x88; /* then it ends with [ 500, 0 ] */
    size_t at = message.size - 4 - 5;
    assert_memory_equal(buffer + at, "\x82\x19\x01\xf4\x00", 5);
    static const struct {
        const char *command;
        size_t size;
    } rows[] = {{"\x82\x00\x00", 3}, {"\x81\x05", 2}, {"\x80", 1}};
    for (size_t i = 0; i < array_count(rows); i++) {
        memcpy(buffer + at, rows[i].command, rows[i].size);
        assert_int_equal(sync_reply_read((struct bytes){buffer, at + rows[i].size}, &reply),
                         STATUS_MALFORMED);
    }
    memcpy(buffer + at, "\x82\x01\x00", 3);
    assert_int_equal(sync_reply_read((struct bytes){buffer, at + 3}, &reply), STATUS_OK);
}

static void refuses_a_push_without_its_time(void **state) {
    (void)state;
    uint8_t buffer[512];
    struct bytes message = two_groups(buffer, sizeof buffer);
    uint8_t *bytes = buffer + (message.data - buffer);
    struct sync_push push;
    enum { AT = 21, SIZE = 15 };
    assert_memory_equal(bytes + AT, "\x84\x09\x19", 3);
    bytes[AT] = 0xf6;
    memmove(bytes + AT + 1, bytes + AT + SIZE, message.size - AT - SIZE);
    message.size -= SIZE - 1;
    assert_int_equal(sync_push_read(message, &push), STATUS_MALFORMED);
}

static void refuses_a_grant_that_names_nothing(void **state) {
    (void)state;
    static const struct {
        const char *grant;
        size_t size;
        enum status status;
    } rows[] = {
        {"\x84\x01\x02\x03\x04", 5, STATUS_OK},
        {"\x84\x00\x02\x03\x04", 5, STATUS_MALFORMED},         /* no process */
        {"\x84\x01\x00\x03\x04", 5, STATUS_MALFORMED},         /* no item */
        {"\x84\x01\x02\x00\x04", 5, STATUS_MALFORMED},         /* no assignment */
        {"\x83\x01\x02\x03", 4, STATUS_MALFORMED},             /* no time to live */
        {"\x85\x01\x02\x03\x04\x61\x78", 7, STATUS_OK},        /* a field of a later version */
        {"\x85\x01\x02\x03\x04\x62\x78", 7, STATUS_MALFORMED}, /* that is not whole */
    };
    for (size_t i = 0; i < array_count(rows); i++) {
        uint8_t buffer[256];
        struct cbor_writer writer;
        struct sync_reply found;
        struct sync_grant grant = {0};
        const struct sync_reply reply = {.grant_count = 1,
                                         .grants = {(const uint8_t *)rows[i].grant, rows[i].size}};
        cbor_writer_init(&writer, buffer, sizeof buffer);
        sync_reply_write(&writer, &reply);
        assert_int_equal(sync_reply_read((struct bytes){buffer, writer.size}, &found),
                         rows[i].status);
        if (rows[i].status == STATUS_OK) {
            assert_true(sync_grant_next(&found.grants, &grant));
            assert_true(grant.process == 1 && grant.item == 2 && grant.assignment == 3 &&
                        grant.ttl_ms == 4);
            assert_false(sync_grant_next(&found.grants, &grant));
        }
    }
}

/* Any byte of a reply may become any other: what is taken is walked to its end. */
static void walks_every_reply_that_it_takes(void **state) {
    (void)state;
    uint8_t buffer[256];
    struct bytes message = write_reply(buffer, sizeof buffer, 3);
    for (size_t i = 0; i < message.size; i++) {
        uint8_t before = buffer[i];
        for (unsigned value = 0; value < 256; value++) {
            struct sync_reply reply;
            struct sync_command command;
            buffer[i] = (uint8_t)value;
            if (sync_reply_read(message, &reply) == STATUS_OK) {
                uint32_t count = 0;
                while (sync_command_next(&reply.commands, &command)) {
                    assert_true(command.number > 0);
                    count += 1;
                }
                assert_int_equal(count, reply.command_count);
            }
        }
        buffer[i] = before;
    }
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
        cmocka_unit_test(carries_a_gap_in_front_of_its_groups),
        cmocka_unit_test(chains_as_the_store_does),
        cmocka_unit_test(carries_a_reply),
        cmocka_unit_test(keeps_a_place_for_commands),
        cmocka_unit_test(refuses_every_truncation_of_a_reply),
        cmocka_unit_test(refuses_what_a_reply_may_not_say),
        cmocka_unit_test(takes_as_many_groups_as_a_message_may_have),
        cmocka_unit_test(refuses_a_push_that_begins_nowhere),
        cmocka_unit_test(refuses_a_command_without_its_number_or_kind),
        cmocka_unit_test(refuses_a_push_without_its_time),
        cmocka_unit_test(refuses_a_grant_that_names_nothing),
        cmocka_unit_test(walks_every_reply_that_it_takes),
        cmocka_unit_test(carries_offers_and_grants),
        cmocka_unit_test(reads_a_reply_of_the_step_before),
        cmocka_unit_test(reads_a_push_of_the_steps_before),
        cmocka_unit_test(carries_what_a_hub_says_of_its_polls),
    };
    return cmocka_run_group_tests_name("protocol/sync_message", tests, NULL, NULL);
}
