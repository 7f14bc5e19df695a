#include "protocol/sync_command.h"

enum {
    OFFER_FIELDS = 12,
    CONTROL_FIELDS = 3, /* and `is-done` for SETTLE */
};

/* ---- offers ---- */

void sync_offer_write(struct cbor_writer *writer, uint64_t number, const struct sync_offer *offer) {
    struct sync_command head = {.number = number, .kind = SYNC_OFFER, .rest_count = OFFER_FIELDS};
    sync_command_write(writer, &head);
    cbor_put_uint(writer, offer->process);
    cbor_put_uint(writer, offer->generation);
    cbor_put_uint(writer, offer->item);
    cbor_put_uint(writer, offer->assignment);
    cbor_put_uint(writer, offer->ttl_ms);
    cbor_put_bytes(writer, offer->request);
    cbor_put_text(writer, offer->phone_id);
    cbor_put_text(writer, offer->account);
    cbor_put_uint(writer, offer->attempt);
    cbor_put_uint(writer, offer->attempts_counted);
    cbor_put_uint(writer, offer->actions_done);
    cbor_put_uint(writer, offer->actions_digest);
}

static uint32_t get_u32(struct cbor_reader *reader) {
    return (uint32_t)cbor_get_uint(reader, UINT32_MAX);
}

enum status sync_offer_read(const struct sync_command *command, struct sync_offer *offer) {
    struct cbor_reader reader;
    struct sync_offer read = {0};
    check(command->kind == SYNC_OFFER);
    cbor_reader_init(&reader, command->rest);
    read.process = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    read.generation = get_u32(&reader);
    read.item = get_u32(&reader);
    read.assignment = get_u32(&reader);
    read.ttl_ms = get_u32(&reader);
    read.request = cbor_get_bytes(&reader, command->rest.size);
    read.phone_id = cbor_get_text(&reader, RECORD_ID_MAX);
    read.account = cbor_get_text(&reader, RECORD_ID_MAX);
    read.attempt = get_u32(&reader);
    read.attempts_counted = get_u32(&reader);
    read.actions_done = get_u32(&reader);
    read.actions_digest = cbor_get_uint(&reader, UINT64_MAX);
    if (reader.failed || read.process == 0 || read.generation == 0 || read.item == 0 ||
        read.assignment == 0) {
        return STATUS_MALFORMED;
    }
    *offer = read;
    return STATUS_OK;
}

/* ---- numbers that were answered ---- */

void sync_answered_write(struct cbor_writer *writer, uint64_t number, uint64_t through) {
    struct sync_command head = {.number = number, .kind = SYNC_ANSWERED, .rest_count = 1};
    check(through >= number);
    sync_command_write(writer, &head);
    cbor_put_uint(writer, through);
}

enum status sync_answered_read(const struct sync_command *command, uint64_t *through) {
    struct cbor_reader reader;
    check(command->kind == SYNC_ANSWERED);
    cbor_reader_init(&reader, command->rest);
    uint64_t read = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    if (reader.failed || read < command->number) {
        return STATUS_MALFORMED;
    }
    *through = read;
    return STATUS_OK;
}

/* ---- all others ---- */

void sync_control_write(struct cbor_writer *writer, uint64_t number, enum sync_command_kind kind,
                        const struct sync_control *control) {
    check(kind > SYNC_OFFER);
    check(kind <= SYNC_WITHDRAW);
    bool is_settle = kind == SYNC_SETTLE;
    struct sync_command head = {
        .number = number, .kind = kind, .rest_count = CONTROL_FIELDS + is_settle};
    sync_command_write(writer, &head);
    if (kind != SYNC_WITHDRAW) {
        cbor_put_uint(writer, control->owner);
    }
    cbor_put_uint(writer, control->process);
    cbor_put_uint(writer, control->item);
    if (kind == SYNC_WITHDRAW) {
        cbor_put_uint(writer, control->assignment);
    }
    if (is_settle) {
        cbor_put_bool(writer, control->is_done);
    }
}

enum status sync_control_read(const struct sync_command *command, struct sync_control *control) {
    struct cbor_reader reader;
    struct sync_control read = {.owner = SYNC_OWN_UPSTREAM};
    check(command->kind > SYNC_OFFER);
    check(command->kind <= SYNC_WITHDRAW);
    bool is_withdraw = command->kind == SYNC_WITHDRAW;
    cbor_reader_init(&reader, command->rest);
    if (!is_withdraw) {
        read.owner = (uint8_t)cbor_get_uint(&reader, SYNC_OWN_UPSTREAM);
    }
    read.process = cbor_get_uint(&reader, SYNC_SEQ_MAX);
    read.item = get_u32(&reader);
    if (is_withdraw) {
        read.assignment = get_u32(&reader);
    }
    if (command->kind == SYNC_SETTLE) {
        read.is_done = cbor_get_bool(&reader);
    }
    bool has_item = read.owner == SYNC_OWN_HUB || read.item > 0;
    bool has_assignment = !is_withdraw || read.assignment > 0;
    if (reader.failed || read.process == 0 || !has_item || !has_assignment) {
        return STATUS_MALFORMED;
    }
    *control = read;
    return STATUS_OK;
}
