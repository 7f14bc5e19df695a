/* Feeds any bytes to both readers; what is accepted is walked whole, and must be written back the
 * same when no newer fields were skipped. */
#include "protocol/sync_command.h"
#include "protocol/sync_inventory.h"
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
    if (input.data[0] == 0x91) {
        check(written.size == input.size);
        check(memcmp(written.data, input.data, input.size) == 0);
    }
}

/* A command that is taken is written as the same items, but for those behind the known ones. */
static void walk_command(const struct sync_command *command) {
    static uint8_t written[1 << 17];
    struct sync_offer offer;
    struct sync_control control;
    struct cbor_writer writer;
    struct cbor_reader reader;
    struct sync_command found = {0};
    cbor_writer_init(&writer, written, sizeof written);
    uint64_t through;
    if (command->kind == SYNC_ANSWERED && sync_answered_read(command, &through) == STATUS_OK) {
        check(through >= command->number);
    } else if (command->kind == SYNC_OFFER && sync_offer_read(command, &offer) == STATUS_OK) {
        sync_offer_write(&writer, command->number, &offer);
    } else if (command->kind > SYNC_OFFER && command->kind <= SYNC_WITHDRAW &&
               sync_control_read(command, &control) == STATUS_OK) {
        sync_control_write(&writer, command->number, (enum sync_command_kind)command->kind,
                           &control);
    }
    if (writer.size > 0 && !writer.overflow) {
        struct bytes again_bytes = {written, writer.size};
        check(sync_command_next(&again_bytes, &found) && found.kind == command->kind);
        check(found.rest.size <= command->rest.size);
        check(memcmp(found.rest.data, command->rest.data, found.rest.size) == 0);
    }
    cbor_reader_init(&reader, command->rest);
    for (uint32_t i = 0; i < command->rest_count; i++) {
        (void)cbor_skip(&reader);
    }
    check(cbor_reader_done(&reader));
}

/* Grants may have items behind the known ones, which are not written again. */
static bool has_newer(const struct sync_reply *reply) {
    struct bytes grants = reply->grants;
    struct sync_grant grant;
    bool has = false;
    while (grants.size > 0) {
        has = has || grants.data[0] != 0x84;
        check(sync_grant_next(&grants, &grant));
    }
    return has;
}

static void walk_reply(struct bytes input) {
    struct sync_reply reply;
    if (sync_reply_read(input, &reply) != STATUS_OK) {
        return;
    }
    struct cbor_writer writer;
    cbor_writer_init(&writer, again, sizeof again);
    sync_reply_write(&writer, &reply);
    if (input.data[0] == 0x8c && !has_newer(&reply) && !writer.overflow) {
        check(writer.size == input.size);
        check(memcmp(again, input.data, input.size) == 0);
    }
    struct sync_command command;
    while (sync_command_next(&reply.commands, &command)) {
        check(command.number > 0);
        walk_command(&command);
    }
}

/* A page that is taken is read to its last row, and written as a page that reads the same. */
static void walk_inventory(struct bytes item) {
    static uint8_t rows[1 << 17];
    struct sync_inventory page;
    struct sync_inventory_row row;
    if (item.size == 0 || sync_inventory_read(item, &page) != STATUS_OK || page.asks) {
        return;
    }
    struct cbor_writer writer;
    struct cbor_writer whole;
    uint32_t count = 0;
    uint64_t last = 0;
    cbor_writer_init(&writer, rows, sizeof rows);
    for (struct bytes rest = page.rows; sync_inventory_next(&rest, &row); count++) {
        check(row.process >= page.from && row.process > last);
        last = row.process;
        sync_inventory_row_write(&writer, &row);
    }
    check(count == page.row_count && !writer.overflow);
    page.rows = (struct bytes){rows, writer.size};
    cbor_writer_init(&whole, again, sizeof again);
    sync_inventory_write(&whole, &page);
    check(!whole.overflow);
    check(sync_inventory_read((struct bytes){again, whole.size}, &page) == STATUS_OK);
    check(page.row_count == count);
}

static void walk_verdicts(struct bytes item) {
    static uint8_t list[1 << 17];
    struct sync_verdicts verdicts;
    struct sync_verdict verdict;
    if (item.size == 0 || sync_verdicts_read(item, &verdicts) != STATUS_OK) {
        return;
    }
    struct cbor_writer writer;
    struct cbor_writer whole;
    uint32_t count = 0;
    cbor_writer_init(&writer, list, sizeof list);
    for (struct bytes rest = verdicts.list; sync_verdict_next(&rest, &verdict); count++) {
        check(verdict.kind < SYNC_VERDICT_COUNT);
        sync_verdict_write(&writer, &verdict);
    }
    check(count == verdicts.count && !writer.overflow);
    verdicts.list = (struct bytes){list, writer.size};
    cbor_writer_init(&whole, again, sizeof again);
    sync_verdicts_write(&whole, &verdicts);
    check(!whole.overflow);
    check(sync_verdicts_read((struct bytes){again, whole.size}, &verdicts) == STATUS_OK);
    check(verdicts.count == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes input = {data, size};
    struct sync_push push;
    struct sync_reply reply;
    if (sync_push_read(input, &push) == STATUS_OK) {
        rewrite(input, &push);
        walk_inventory(push.inventory);
    }
    if (sync_reply_read(input, &reply) == STATUS_OK) {
        walk_verdicts(reply.verdicts);
    }
    walk_reply(input);
    walk_inventory(input); /* also as items by themselves */
    walk_verdicts(input);
    return 0;
}
