#include "protocol/record_field.h"

/* ---- times ---- */

enum { TIME_BYTES = RECORD_TIME_BYTES };
_Static_assert(TIME_BYTES == 5 * CBOR_RUN_ITEM_MAX, "an array and four numbers");

static void put_time(struct cbor_run *run, const struct record_time *time) {
    if (time->boot == 0) {
        cbor_run_null(run);
        return;
    }
    cbor_run_array(run, time->wall_ms > 0 ? 4 : 3);
    cbor_run_uint(run, time->boot);
    cbor_run_uint(run, time->mono_ms);
    cbor_run_uint(run, time->quality);
    if (time->wall_ms > 0) {
        cbor_run_uint(run, time->wall_ms);
    }
}

void record_put_time(struct cbor_writer *writer, const struct record_time *time) {
    uint8_t spare[TIME_BYTES];
    struct cbor_run run = cbor_run_begin(writer, spare, sizeof spare);
    put_time(&run, time);
    cbor_run_end(writer, &run);
}

void record_get_time(struct cbor_reader *reader, struct record_time *time) {
    *time = (struct record_time){0};
    if (cbor_get_null(reader)) {
        return;
    }
    size_t count = cbor_get_array(reader, 4);
    uint64_t boot = cbor_get_uint(reader, RECORD_BOOT_MAX);
    uint64_t mono_ms = cbor_get_uint(reader, RECORD_MONO_MAX);
    uint64_t quality = cbor_get_uint(reader, 2);
    uint64_t wall_ms = count == 4 ? cbor_get_uint(reader, RECORD_WALL_MAX) : 0;
    *time = record_time_of(boot, mono_ms, wall_ms, (unsigned)quality);
    reader->failed = reader->failed || count < 3 || boot == 0 || (count == 4 && wall_ms == 0);
}

/* ---- header ---- */

static const uint8_t path_counts[RECORD_KIND_COUNT] = {
    [RECORD_HUB] = 0,  [RECORD_PHONE] = 1,   [RECORD_REQUEST] = 1, [RECORD_PROCESS] = 1,
    [RECORD_ITEM] = 2, [RECORD_ATTEMPT] = 3, [RECORD_KEY] = 1,     [RECORD_ANSWER] = 1,
};

void record_put_header(struct cbor_writer *writer, const struct record_header *header) {
    check(header->kind < RECORD_KIND_COUNT);
    check(header->path_count == path_counts[header->kind]);
    uint8_t spare[9 * CBOR_RUN_ITEM_MAX + TIME_BYTES];
    struct cbor_run run = cbor_run_begin(writer, spare, sizeof spare);
    cbor_run_array(&run, 7);
    cbor_run_uint(&run, header->kind);
    cbor_run_array(&run, header->path_count);
    for (size_t i = 0; i < header->path_count; i++) {
        cbor_run_uint(&run, header->path[i]);
    }
    cbor_run_uint(&run, header->revision);
    cbor_run_uint(&run, header->event);
    cbor_run_uint(&run, header->status);
    if (header->time_bytes.size == 0) {
        put_time(&run, &header->time);
    }
    cbor_run_end(writer, &run);
    cbor_put_raw(writer, header->time_bytes);
}

void record_get_header(struct cbor_reader *reader, struct record_header *header) {
    *header = (struct record_header){0};
    reader->failed = cbor_get_array(reader, 7) != 7; /* 0 once it has failed */
    header->kind = (enum record_kind)cbor_get_uint(reader, RECORD_KIND_COUNT - 1);
    header->path_count = (uint8_t)cbor_get_array(reader, array_count(header->path));
    for (size_t i = 0; i < header->path_count; i++) {
        header->path[i] = record_field_u64(reader);
    }
    header->revision = record_field_u64(reader);
    header->event = (enum record_event)cbor_get_uint(reader, RECORD_EVENT_COUNT - 1);
    header->status = (uint8_t)cbor_get_uint(reader, 11);
    record_get_time(reader, &header->time);
    reader->failed = reader->failed || header->path_count != path_counts[header->kind];
}

/* ---- request ---- */

static void put_origin(struct cbor_writer *writer, const struct record_origin *origin) {
    if (origin->process == 0) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, 4);
    cbor_put_uint(writer, origin->upstream_epoch);
    cbor_put_uint(writer, origin->process);
    cbor_put_uint(writer, origin->generation);
    cbor_put_uint(writer, origin->item);
}

static void get_origin(struct cbor_reader *reader, struct record_origin *origin) {
    if (cbor_get_null(reader)) {
        return;
    }
    reader->failed = cbor_get_array(reader, 4) != 4; /* 0 once it has failed */
    origin->upstream_epoch = record_field_u32(reader);
    origin->process = record_field_u64(reader);
    origin->generation = record_field_u32(reader);
    origin->item = record_field_u32(reader);
    reader->failed = reader->failed || origin->process == 0 || origin->item == 0;
}

void record_put_request(struct cbor_writer *writer, const struct record_request *image) {
    cbor_put_array(writer, 22);
    cbor_put_text(writer, image->process_type);
    cbor_put_text(writer, image->request_id);
    cbor_put_text(writer, image->system);
    cbor_put_text(writer, image->user);
    cbor_put_text(writer, image->target);
    cbor_put_text(writer, image->inputs);
    cbor_put_text(writer, image->callback);
    cbor_put_text(writer, image->metadata);
    cbor_put_text(writer, image->labels);
    cbor_put_text(writer, image->extra);
    cbor_put_text(writer, image->concurrency_key);
    cbor_put_bytes(writer, image->key);
    cbor_put_bytes(writer, image->body_digest);
    cbor_put_uint(writer, image->routing);
    cbor_put_uint(writer, image->mode);
    cbor_put_uint(writer, image->priority);
    cbor_put_uint(writer, image->not_before_ms);
    cbor_put_uint(writer, image->deadline_ms);
    cbor_put_uint(writer, image->item_count);
    cbor_put_bytes(writer, image->phones);
    cbor_put_text(writer, image->accounts);
    put_origin(writer, &image->origin);
}

void record_get_request(struct cbor_reader *reader, struct record_request *image) {
    *image = (struct record_request){0};
    size_t newer = record_field_begin(reader, 18);
    image->process_type = cbor_get_text(reader, RECORD_ID_MAX);
    image->request_id = cbor_get_text(reader, RECORD_TEXT_MAX);
    image->system = cbor_get_text(reader, RECORD_TEXT_MAX);
    image->user = cbor_get_text(reader, RECORD_TEXT_MAX);
    image->target = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    image->inputs = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    image->callback = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    image->metadata = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    image->labels = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    image->extra = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    image->concurrency_key = cbor_get_text(reader, RECORD_TEXT_MAX);
    record_field_digest(reader, &image->key);
    record_field_digest(reader, &image->body_digest);
    image->routing = record_field_small(reader, RECORD_ROUTING_COUNT);
    image->mode = record_field_small(reader, RECORD_MODE_COUNT);
    image->priority = record_field_small(reader, 10);
    image->not_before_ms = record_field_u64(reader);
    image->deadline_ms = record_field_u64(reader);
    if (record_field_has(&newer, 3)) {
        image->item_count = record_field_u32(reader);
        image->phones = cbor_get_bytes(reader, RECORD_PAYLOAD_MAX);
        image->accounts = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    }
    if (record_field_has(&newer, 1)) {
        get_origin(reader, &image->origin);
    }
    record_field_skip(reader, newer);
}

bool record_is_request_valid(const struct record_request *image) {
    const struct {
        const struct bytes *text;
        size_t max;
    } texts[] = {
        {&image->process_type, RECORD_ID_MAX},  {&image->request_id, RECORD_TEXT_MAX},
        {&image->system, RECORD_TEXT_MAX},      {&image->user, RECORD_TEXT_MAX},
        {&image->target, RECORD_PAYLOAD_MAX},   {&image->inputs, RECORD_PAYLOAD_MAX},
        {&image->callback, RECORD_PAYLOAD_MAX}, {&image->metadata, RECORD_PAYLOAD_MAX},
        {&image->labels, RECORD_PAYLOAD_MAX},   {&image->extra, RECORD_PAYLOAD_MAX},
        {&image->accounts, RECORD_PAYLOAD_MAX}, {&image->concurrency_key, RECORD_TEXT_MAX},
    };
    bool is_valid = image->phones.size <= RECORD_PAYLOAD_MAX &&
                    image->routing < RECORD_ROUTING_COUNT && image->mode < RECORD_MODE_COUNT &&
                    image->priority < 10;
    is_valid = is_valid && (image->key.size == 0 || image->key.size == RECORD_DIGEST_BYTES) &&
               (image->body_digest.size == 0 || image->body_digest.size == RECORD_DIGEST_BYTES);
    for (size_t i = 0; i < array_count(texts) && is_valid; i++) {
        is_valid = texts[i].text->size <= texts[i].max && cbor_is_utf8(*texts[i].text);
    }
    return is_valid;
}

/* ---- process ---- */

void record_put_process(struct cbor_writer *writer, const struct record_process *image) {
    uint8_t spare[5 * CBOR_RUN_ITEM_MAX + 5 * TIME_BYTES];
    struct cbor_run run = cbor_run_begin(writer, spare, sizeof spare);
    cbor_run_array(&run, 9);
    cbor_run_uint(&run, image->generation);
    cbor_run_uint(&run, image->flags);
    cbor_run_uint(&run, image->item_count);
    put_time(&run, &image->created);
    put_time(&run, &image->queued);
    put_time(&run, &image->retrying);
    put_time(&run, &image->cancel_requested);
    put_time(&run, &image->finished);
    cbor_run_bool(&run, image->is_deadline_over);
    cbor_run_end(writer, &run);
}

void record_get_process(struct cbor_reader *reader, struct record_process *image) {
    *image = (struct record_process){0};
    size_t newer = record_field_begin(reader, 8);
    image->generation = record_field_u32(reader);
    image->flags = record_field_small(reader, 16);
    image->item_count = record_field_u32(reader);
    record_get_time(reader, &image->created);
    record_get_time(reader, &image->queued);
    record_get_time(reader, &image->retrying);
    record_get_time(reader, &image->cancel_requested);
    record_get_time(reader, &image->finished);
    if (record_field_has(&newer, 1)) {
        image->is_deadline_over = cbor_get_bool(reader);
    }
    record_field_skip(reader, newer);
}

/* ---- item ---- */

/* null, or who holds the lease and by which claim. */
static void put_worker(struct cbor_writer *writer, const struct record_item *image) {
    if (image->worker.size == 0) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, 2);
    cbor_put_text(writer, image->worker);
    cbor_put_bytes(writer, image->claim);
}

static void get_worker(struct cbor_reader *reader, struct record_item *image) {
    if (cbor_get_null(reader)) {
        return;
    }
    reader->failed = cbor_get_array(reader, 2) != 2; /* 0 once it has failed */
    image->worker = cbor_get_text(reader, RECORD_ID_MAX);
    record_field_digest(reader, &image->claim);
    reader->failed = reader->failed || image->worker.size == 0;
}

/* null, or upstream's assignment with its grant. */
static void put_grant(struct cbor_writer *writer, const struct record_item *image) {
    if (image->assignment == 0) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, 3);
    cbor_put_uint(writer, image->assignment);
    cbor_put_uint(writer, image->grant_ms);
    record_put_time(writer, &image->grant_from);
}

static void get_grant(struct cbor_reader *reader, struct record_item *image) {
    if (cbor_get_null(reader)) {
        return;
    }
    reader->failed = cbor_get_array(reader, 3) != 3; /* 0 once it has failed */
    image->assignment = record_field_u32(reader);
    image->grant_ms = record_field_u64(reader);
    record_get_time(reader, &image->grant_from);
    reader->failed = reader->failed || image->assignment == 0;
}

void record_put_item(struct cbor_writer *writer, const struct record_item *image) {
    uint8_t spare[17 * CBOR_RUN_ITEM_MAX + 2 * TIME_BYTES];
    struct cbor_run run = cbor_run_begin(writer, spare, sizeof spare);
    cbor_run_array(&run, 23);
    cbor_run_uint(&run, image->state);
    cbor_run_uint(&run, image->stop);
    cbor_run_uint(&run, image->suspension);
    cbor_run_uint(&run, image->category);
    cbor_run_bool(&run, image->superseded);
    cbor_run_uint(&run, image->generation);
    cbor_run_uint(&run, image->attempt);
    cbor_run_uint(&run, image->attempts_counted);
    cbor_run_uint(&run, image->deliveries);
    cbor_run_uint(&run, image->faults);
    cbor_run_uint(&run, image->actions_done);
    cbor_run_uint(&run, image->target_index);
    cbor_run_uint(&run, image->target_phone);
    cbor_run_uint(&run, image->phone);
    cbor_run_uint(&run, image->token);
    cbor_run_uint(&run, image->wait_ms);
    put_time(&run, &image->started);
    put_time(&run, &image->first_device);
    cbor_run_end(writer, &run);
    put_worker(writer, image);
    run = cbor_run_begin(writer, spare, sizeof spare);
    cbor_run_uint(&run, image->actions_digest);
    cbor_run_uint(&run, image->failed_phone);
    cbor_run_uint(&run, image->failed_count);
    cbor_run_end(writer, &run);
    put_grant(writer, image);
}

void record_get_item(struct cbor_reader *reader, struct record_item *image) {
    *image = (struct record_item){0};
    size_t newer = record_field_begin(reader, 18);
    image->state = record_field_small(reader, RECORD_ITEM_STATE_COUNT);
    image->stop = record_field_small(reader, RECORD_STOP_COUNT);
    image->suspension = record_field_small(reader, RECORD_SUSPENSION_COUNT);
    image->category = record_field_small(reader, RECORD_CATEGORY_COUNT);
    image->superseded = cbor_get_bool(reader);
    image->generation = record_field_u32(reader);
    image->attempt = record_field_u32(reader);
    image->attempts_counted = record_field_u32(reader);
    image->deliveries = record_field_u32(reader);
    image->faults = record_field_u32(reader);
    image->actions_done = record_field_u32(reader);
    image->target_index = record_field_u32(reader);
    image->target_phone = record_field_u64(reader);
    image->phone = record_field_u64(reader);
    image->token = record_field_u64(reader);
    image->wait_ms = record_field_u64(reader);
    record_get_time(reader, &image->started);
    record_get_time(reader, &image->first_device);
    if (record_field_has(&newer, 4)) {
        get_worker(reader, image);
        image->actions_digest = record_field_u64(reader);
        image->failed_phone = record_field_u64(reader);
        image->failed_count = record_field_small(reader, RECORD_FAILED_MAX + 1);
    }
    if (record_field_has(&newer, 1)) {
        get_grant(reader, image);
    }
    record_field_skip(reader, newer);
}

/* ---- attempt ---- */

void record_put_attempt(struct cbor_writer *writer, const struct record_attempt *image) {
    cbor_put_array(writer, 15);
    cbor_put_uint(writer, image->outcome);
    cbor_put_uint(writer, image->category);
    cbor_put_uint(writer, image->actions_done);
    cbor_put_uint(writer, image->progress_percent);
    if (image->has_exit_code) {
        cbor_put_int(writer, image->exit_code);
    } else {
        cbor_put_null(writer);
    }
    cbor_put_text(writer, image->phone_id);
    cbor_put_text(writer, image->code);
    cbor_put_text(writer, image->message);
    cbor_put_text(writer, image->action);
    cbor_put_text(writer, image->output);
    cbor_put_text(writer, image->result);
    record_put_time(writer, &image->started);
    record_put_time(writer, &image->ended);
    cbor_put_text(writer, image->worker);
    cbor_put_uint(writer, image->power_cycles);
}

void record_get_attempt(struct cbor_reader *reader, struct record_attempt *image) {
    *image = (struct record_attempt){0};
    size_t newer = record_field_begin(reader, 13);
    image->outcome = record_field_small(reader, RECORD_OUTCOME_COUNT);
    image->category = record_field_small(reader, RECORD_CATEGORY_COUNT);
    image->actions_done = record_field_u32(reader);
    image->progress_percent = record_field_small(reader, 101);
    image->has_exit_code = !cbor_get_null(reader);
    if (image->has_exit_code) {
        int64_t code = cbor_get_int(reader);
        reader->failed = reader->failed || code < INT32_MIN || code > INT32_MAX;
        image->exit_code = reader->failed ? 0 : (int32_t)code;
    }
    image->phone_id = cbor_get_text(reader, RECORD_ID_MAX);
    image->code = cbor_get_text(reader, RECORD_ID_MAX);
    image->message = cbor_get_text(reader, RECORD_TEXT_MAX);
    image->action = cbor_get_text(reader, RECORD_ID_MAX);
    image->output = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    image->result = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    record_get_time(reader, &image->started);
    record_get_time(reader, &image->ended);
    if (record_field_has(&newer, 2)) {
        image->worker = cbor_get_text(reader, RECORD_ID_MAX);
        image->power_cycles = record_field_u32(reader);
    }
    record_field_skip(reader, newer);
}
