#include "protocol/sync_message.h"

#include "protocol/sha256.h"

#include <string.h>

enum {
    PUSH_FIELDS = 11, /* known ones, the groups as the last */
    PUSH_LATER = 4,   /* behind the gap, of one step */
    PUSH_LAST = 1,    /* behind them */
    REPLY_FIELDS = 8,
    REPLY_LATER = 4, /* of one step */
    FIELDS_MAX = 64, /* with those of newer versions */
    TAIL_BYTES = 96, /* behind the groups, without an inventory: at most */
    HEAD_BYTES = SYNC_PUSH_HEAD_MAX - TAIL_BYTES,
    GRANT_FIELDS = 4,
    COMMAND_FIELDS_MAX = 16,
};

/* ---- parts ---- */

static void put_fixed(struct cbor_writer *writer, const uint8_t *data, size_t size) {
    cbor_put_bytes(writer, (struct bytes){data, size});
}

static void get_fixed(struct cbor_reader *reader, uint8_t *target, size_t size) {
    struct bytes bytes = cbor_get_bytes(reader, size);
    reader->failed = reader->failed || bytes.size != size;
    if (!reader->failed) {
        memcpy(target, bytes.data, size);
    }
}

static uint32_t get_u32(struct cbor_reader *reader) {
    return (uint32_t)cbor_get_uint(reader, UINT32_MAX);
}

static void skip_items(struct cbor_reader *reader, uint64_t count) {
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        (void)cbor_skip(reader);
    }
}

/* One item, whatever it is; empty: null. */
static struct bytes get_item(struct cbor_reader *reader) {
    struct bytes none = {0};
    return cbor_get_null(reader) ? none : cbor_skip(reader);
}

static void put_item(struct cbor_writer *writer, struct bytes item) {
    if (item.size == 0) {
        cbor_put_null(writer);
    } else {
        cbor_put_raw(writer, item);
    }
}

/* The bytes of the items between `start` and where the reader is now. */
static struct bytes read_since(const struct cbor_reader *reader, const uint8_t *start) {
    if (reader->failed) {
        return (struct bytes){0};
    }
    return (struct bytes){start, (size_t)(reader->rest.data - start)};
}

/* Begins a message: the number of fields behind the known ones, or a status that ends it. */
static enum status begin_message(struct cbor_reader *reader, size_t known, size_t *newer) {
    size_t count = cbor_get_array(reader, FIELDS_MAX);
    uint64_t version = cbor_get_uint(reader, UINT64_MAX);
    if (reader->failed) {
        return STATUS_MALFORMED;
    }
    if (version != SYNC_VERSION) {
        return STATUS_FOREIGN;
    }
    *newer = count - known;
    return count < known ? STATUS_MALFORMED : STATUS_OK;
}

/* ---- chain ---- */

void sync_chain_next(const uint8_t previous[RECORD_CHAIN_BYTES], const struct sync_group *group,
                     uint8_t next[RECORD_CHAIN_BYTES]) {
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    struct bytes records = group->records;
    struct bytes body;
    sha256_init(&hash);
    sha256_add(&hash, (struct bytes){previous, RECORD_CHAIN_BYTES});
    while (sync_record_next(&records, &body)) {
        sha256_add(&hash, body);
    }
    sha256_end(&hash, digest);
    memcpy(next, digest, RECORD_CHAIN_BYTES);
}

/* ---- writing a push ---- */

void sync_writer_init(struct sync_writer *writer, uint8_t *buffer, size_t capacity) {
    check(capacity >= SYNC_PUSH_HEAD_MAX);
    *writer = (struct sync_writer){0};
    cbor_writer_init(&writer->groups, buffer + HEAD_BYTES, capacity - SYNC_PUSH_HEAD_MAX);
}

void sync_writer_group(struct sync_writer *writer, const uint8_t chain[RECORD_CHAIN_BYTES],
                       uint32_t record_count) {
    check(writer->records_left == 0);
    check(record_count > 0 && record_count <= SYNC_RECORDS_MAX);
    cbor_put_array(&writer->groups, 2);
    put_fixed(&writer->groups, chain, RECORD_CHAIN_BYTES);
    cbor_put_array(&writer->groups, record_count);
    writer->records_left = record_count;
}

void sync_writer_record(struct sync_writer *writer, struct bytes body) {
    check(writer->records_left > 0);
    check(body.size > 0);
    cbor_put_bytes(&writer->groups, body);
    writer->records_left -= 1;
}

bool sync_writer_group_end(struct sync_writer *writer) {
    check(writer->records_left == 0);
    if (writer->groups.overflow || writer->group_count == SYNC_GROUPS_MAX) {
        writer->groups.size = writer->size;
        writer->groups.overflow = false;
        return false;
    }
    writer->size = writer->groups.size;
    writer->group_count += 1;
    return true;
}

struct bytes sync_writer_end(struct sync_writer *writer, const struct sync_push *push) {
    uint8_t bytes[HEAD_BYTES];
    struct cbor_writer head;
    struct cbor_writer tail;
    check(writer->records_left == 0);
    check(push->now.boot > 0);
    check(push->first_seq > 0);
    cbor_writer_init(&head, bytes, sizeof bytes);
    cbor_put_array(&head, PUSH_FIELDS + 1 + PUSH_LATER + PUSH_LAST);
    cbor_put_uint(&head, SYNC_VERSION);
    cbor_put_bool(&head, push->is_hello);
    put_fixed(&head, push->store_id, SYNC_STORE_ID_BYTES);
    cbor_put_uint(&head, push->epoch);
    record_put_time(&head, &push->now);
    cbor_put_array(&head, 2);
    cbor_put_uint(&head, push->cursor);
    put_fixed(&head, push->chain, RECORD_CHAIN_BYTES);
    cbor_put_uint(&head, push->capacity);
    cbor_put_uint(&head, push->phones);
    cbor_put_uint(&head, push->command);
    cbor_put_uint(&head, push->first_seq);
    cbor_put_array(&head, writer->group_count);
    check(!head.overflow);
    uint8_t *start = writer->groups.data - head.size;
    memcpy(start, bytes, head.size);
    size_t left = writer->groups.capacity - writer->size;
    cbor_writer_init(&tail, writer->groups.data + writer->size, left + TAIL_BYTES);
    record_put_gap(&tail, &push->gap);
    cbor_put_uint(&tail, push->wait_ms);
    cbor_put_uint(&tail, push->upstream_epoch);
    cbor_put_uint(&tail, push->idle);
    put_item(&tail, push->inventory);
    cbor_put_uint(&tail, push->reply_bytes_max);
    check(!tail.overflow);
    return (struct bytes){start, head.size + writer->size + tail.size};
}

/* ---- reading a push ---- */

/* Reads one group's head and, when it is whole, its records. */
static void get_group(struct cbor_reader *reader, struct sync_group *group) {
    reader->failed = cbor_get_array(reader, 2) != 2; /* 0 once it has failed */
    get_fixed(reader, group->chain, RECORD_CHAIN_BYTES);
    group->record_count = (uint32_t)cbor_get_array(reader, SYNC_RECORDS_MAX);
    reader->failed = reader->failed || group->record_count == 0;
    const uint8_t *start = reader->rest.data;
    for (uint32_t i = 0; i < group->record_count && !reader->failed; i++) {
        struct bytes body = cbor_get_bytes(reader, reader->rest.size);
        reader->failed = reader->failed || body.size == 0;
    }
    group->records = read_since(reader, start);
}

static void get_groups(struct cbor_reader *reader, struct sync_push *push) {
    push->group_count = (uint32_t)cbor_get_array(reader, SYNC_GROUPS_MAX);
    push->last_seq = push->first_seq - 1;
    const uint8_t *start = reader->rest.data;
    for (uint32_t i = 0; i < push->group_count && !reader->failed; i++) {
        struct sync_group group = {0};
        get_group(reader, &group);
        reader->failed = reader->failed || group.record_count > SYNC_SEQ_MAX - push->last_seq;
        push->last_seq += group.record_count;
    }
    push->groups = read_since(reader, start);
}

enum status sync_push_read(struct bytes message, struct sync_push *push) {
    struct cbor_reader reader;
    struct sync_push read = {0};
    size_t newer = 0;
    cbor_reader_init(&reader, message);
    enum status status = begin_message(&reader, PUSH_FIELDS, &newer);
    if (status != STATUS_OK) {
        return status;
    }
    read.is_hello = cbor_get_bool(&reader);
    get_fixed(&reader, read.store_id, SYNC_STORE_ID_BYTES);
    read.epoch = get_u32(&reader);
    record_get_time(&reader, &read.now);
    reader.failed = cbor_get_array(&reader, 2) != 2; /* 0 once it has failed */
    read.cursor = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    get_fixed(&reader, read.chain, RECORD_CHAIN_BYTES);
    read.capacity = get_u32(&reader);
    read.phones = get_u32(&reader);
    read.command = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    read.first_seq = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    reader.failed = reader.failed || read.epoch == 0 || read.now.boot == 0 || read.first_seq == 0;
    get_groups(&reader, &read);
    if (newer > 0) {
        record_get_gap(&reader, &read.gap);
        reader.failed = reader.failed || read.gap.last > SYNC_SEQ_MAX;
        newer -= 1;
    }
    if (newer >= PUSH_LATER) {
        read.wait_ms = get_u32(&reader);
        read.upstream_epoch = get_u32(&reader);
        read.idle = get_u32(&reader);
        read.inventory = get_item(&reader);
        newer -= PUSH_LATER;
        if (newer >= PUSH_LAST) {
            read.reply_bytes_max = get_u32(&reader);
            newer -= PUSH_LAST;
        }
    }
    skip_items(&reader, newer);
    if (!cbor_reader_done(&reader)) {
        return STATUS_MALFORMED;
    }
    *push = read;
    return STATUS_OK;
}

bool sync_group_next(struct sync_push *push, struct sync_group *group) {
    if (push->groups.size == 0) {
        return false;
    }
    struct cbor_reader reader;
    cbor_reader_init(&reader, push->groups);
    get_group(&reader, group);
    check(!reader.failed); /* sync_push_read() has seen them all */
    group->first_seq = push->first_seq;
    push->first_seq += group->record_count;
    push->groups = reader.rest;
    return true;
}

bool sync_record_next(struct bytes *records, struct bytes *body) {
    if (records->size == 0) {
        return false;
    }
    struct cbor_reader reader;
    cbor_reader_init(&reader, *records);
    *body = cbor_get_bytes(&reader, records->size);
    check(!reader.failed);
    *records = reader.rest;
    return true;
}

/* ---- reply ---- */

void sync_reply_write(struct cbor_writer *writer, const struct sync_reply *reply) {
    check(reply->result < SYNC_RESULT_COUNT);
    check(reply->text.size <= SYNC_REPLY_TEXT_MAX);
    check(reply->command_count <= SYNC_COMMANDS_MAX);
    check(reply->grant_count <= SYNC_GRANTS_MAX);
    cbor_put_array(writer, REPLY_FIELDS + REPLY_LATER);
    cbor_put_uint(writer, SYNC_VERSION);
    cbor_put_uint(writer, reply->result);
    cbor_put_text(writer, reply->text);
    cbor_put_array(writer, 2);
    cbor_put_uint(writer, reply->cursor);
    put_fixed(writer, reply->chain, RECORD_CHAIN_BYTES);
    cbor_put_uint(writer, reply->server_ms);
    cbor_put_uint(writer, reply->push_bytes_max);
    cbor_put_uint(writer, reply->retry_after_ms);
    cbor_put_array(writer, reply->command_count);
    cbor_put_raw(writer, reply->commands);
    cbor_put_uint(writer, reply->upstream_epoch);
    cbor_put_array(writer, reply->grant_count);
    cbor_put_raw(writer, reply->grants);
    cbor_put_uint(writer, reply->epoch);
    put_item(writer, reply->verdicts);
}

void sync_command_write(struct cbor_writer *writer, const struct sync_command *command) {
    check(command->rest_count <= COMMAND_FIELDS_MAX - 2);
    cbor_put_array(writer, 2 + (uint64_t)command->rest_count);
    cbor_put_uint(writer, command->number);
    cbor_put_uint(writer, command->kind);
    cbor_put_raw(writer, command->rest);
}

static void get_command(struct cbor_reader *reader, struct sync_command *command) {
    size_t count = cbor_get_array(reader, COMMAND_FIELDS_MAX);
    command->number = cbor_get_uint(reader, SYNC_SEQ_MAX);
    command->kind = get_u32(reader);
    reader->failed = reader->failed || count < 2 || command->number == 0;
    const uint8_t *start = reader->rest.data;
    command->rest_count = reader->failed ? 0 : (uint32_t)count - 2;
    skip_items(reader, command->rest_count);
    command->rest = read_since(reader, start);
}

static void get_grant(struct cbor_reader *reader, struct sync_grant *grant) {
    size_t count = cbor_get_array(reader, FIELDS_MAX);
    grant->process = cbor_get_uint(reader, SYNC_SEQ_MAX);
    grant->item = get_u32(reader);
    grant->assignment = get_u32(reader);
    grant->ttl_ms = get_u32(reader);
    reader->failed = reader->failed || count < GRANT_FIELDS || grant->process == 0 ||
                     grant->item == 0 || grant->assignment == 0;
    skip_items(reader, reader->failed ? 0 : count - GRANT_FIELDS);
}

/* What a later step has appended. */
static void get_reply_later(struct cbor_reader *reader, struct sync_reply *reply) {
    reply->upstream_epoch = get_u32(reader);
    reply->grant_count = (uint32_t)cbor_get_array(reader, SYNC_GRANTS_MAX);
    const uint8_t *start = reader->rest.data;
    for (uint32_t i = 0; i < reply->grant_count && !reader->failed; i++) {
        struct sync_grant grant = {0};
        get_grant(reader, &grant);
    }
    reply->grants = read_since(reader, start);
    reply->epoch = get_u32(reader);
    reply->verdicts = get_item(reader);
}

enum status sync_reply_read(struct bytes message, struct sync_reply *reply) {
    struct cbor_reader reader;
    struct sync_reply read = {0};
    size_t newer = 0;
    cbor_reader_init(&reader, message);
    enum status status = begin_message(&reader, REPLY_FIELDS, &newer);
    if (status != STATUS_OK) {
        return status;
    }
    read.result = (uint8_t)cbor_get_uint(&reader, SYNC_RESULT_COUNT - 1);
    read.text = cbor_get_text(&reader, SYNC_REPLY_TEXT_MAX);
    reader.failed = cbor_get_array(&reader, 2) != 2; /* 0 once it has failed */
    read.cursor = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    get_fixed(&reader, read.chain, RECORD_CHAIN_BYTES);
    read.server_ms = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    read.push_bytes_max = get_u32(&reader);
    read.retry_after_ms = get_u32(&reader);
    read.command_count = (uint32_t)cbor_get_array(&reader, SYNC_COMMANDS_MAX);
    const uint8_t *start = reader.rest.data;
    for (uint32_t i = 0; i < read.command_count && !reader.failed; i++) {
        struct sync_command command = {0};
        get_command(&reader, &command);
    }
    read.commands = read_since(&reader, start);
    if (newer >= REPLY_LATER) {
        get_reply_later(&reader, &read);
        newer -= REPLY_LATER;
    }
    skip_items(&reader, newer);
    if (!cbor_reader_done(&reader)) {
        return STATUS_MALFORMED;
    }
    *reply = read;
    return STATUS_OK;
}

/* Takes the next command, or grant, off the front of items that were all seen before. */
bool sync_command_next(struct bytes *commands, struct sync_command *command) {
    struct cbor_reader reader;
    cbor_reader_init(&reader, *commands);
    if (commands->size > 0) {
        get_command(&reader, command);
    }
    check(!reader.failed);
    bool is_one = commands->size > 0;
    *commands = reader.rest;
    return is_one;
}

void sync_grant_write(struct cbor_writer *writer, const struct sync_grant *grant) {
    cbor_put_array(writer, GRANT_FIELDS);
    cbor_put_uint(writer, grant->process);
    cbor_put_uint(writer, grant->item);
    cbor_put_uint(writer, grant->assignment);
    cbor_put_uint(writer, grant->ttl_ms);
}

bool sync_grant_next(struct bytes *grants, struct sync_grant *grant) {
    struct cbor_reader reader;
    cbor_reader_init(&reader, *grants);
    if (grants->size > 0) {
        get_grant(&reader, grant);
    }
    check(!reader.failed);
    bool is_one = grants->size > 0;
    *grants = reader.rest;
    return is_one;
}
