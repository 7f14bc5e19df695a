/* Feeds any bytes to both readers; what is accepted is walked whole, and must be written back the
 * same when no newer fields were skipped. */
#include "protocol/sync_message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t again[1 << 17];

static void rewrite(struct bytes input, const struct sync_push *push) {
    struct sync_writer writer;
    struct sync_push walk = *push;
    struct sync_group group;
    sync_writer_init(&writer, again, sizeof again);
    while (sync_group_next(&walk, &group)) {
        uint8_t next[RECORD_CHAIN_BYTES];
        struct bytes records = group.records;
        struct bytes body;
        sync_chain_next(group.chain, &group, next);
        sync_writer_group(&writer, group.chain, group.record_count);
        while (sync_record_next(&records, &body)) {
            sync_writer_record(&writer, body);
        }
        if (!sync_writer_group_end(&writer)) {
            return; /* larger than this test's buffer */
        }
    }
    struct bytes written = sync_writer_end(&writer, push);
    if (input.data[0] == 0x8b) {
        check(written.size == input.size);
        check(memcmp(written.data, input.data, input.size) == 0);
    }
}

static void walk_reply(struct bytes input) {
    struct sync_reply reply;
    if (sync_reply_read(input, &reply) != STATUS_OK) {
        return;
    }
    struct cbor_writer writer;
    cbor_writer_init(&writer, again, sizeof again);
    sync_reply_write(&writer, &reply);
    if (input.data[0] == 0x88 && !writer.overflow) {
        check(writer.size == input.size);
        check(memcmp(again, input.data, input.size) == 0);
    }
    struct sync_command command;
    while (sync_command_next(&reply.commands, &command)) {
        check(command.number > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes input = {data, size};
    struct sync_push push;
    if (sync_push_read(input, &push) == STATUS_OK) {
        rewrite(input, &push);
    }
    walk_reply(input);
    return 0;
}
