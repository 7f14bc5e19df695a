#include "protocol/record.h"

/* ---- names ---- */

const char *record_event_name(enum record_event event) {
    static const char *const names[] = {
#define EVENT(name, text) text,
        RECORD_EVENTS(EVENT)
#undef EVENT
    };
    check(event < RECORD_EVENT_COUNT);
    return names[event];
}

const char *record_category_name(enum record_category category) {
    static const char *const names[] = {
#define CATEGORY(name, text) text,
        RECORD_CATEGORIES(CATEGORY)
#undef CATEGORY
    };
    check(category < RECORD_CATEGORY_COUNT);
    return names[category];
}

const char *record_item_state_name(enum record_item_state state) {
    static const char *const names[] = {
        "scheduled", "ready",     "leased", "running",  "retry_wait",
        "suspended", "completed", "failed", "canceled",
    };
    _Static_assert(array_count(names) == RECORD_ITEM_STATE_COUNT, "every state has a name");
    check(state < RECORD_ITEM_STATE_COUNT);
    return names[state];
}

const char *record_phone_state_name(enum record_phone_state state) {
    static const char *const names[] = {
        "absent", "connecting", "refused", "recovering",  "unauthorized",
        "ready",  "leased",     "away",    "quarantined",
    };
    _Static_assert(array_count(names) == RECORD_PHONE_STATE_COUNT, "every state has a name");
    check(state < RECORD_PHONE_STATE_COUNT);
    return names[state];
}

/* ---- parts ---- */

void record_put_time(struct cbor_writer *writer, const struct record_time *time) {
    if (time->boot == 0) {
        cbor_put_null(writer);
        return;
    }
    cbor_put_array(writer, time->wall_ms > 0 ? 4 : 3);
    cbor_put_uint(writer, time->boot);
    cbor_put_uint(writer, time->mono_ms);
    cbor_put_uint(writer, time->quality);
    if (time->wall_ms > 0) {
        cbor_put_uint(writer, time->wall_ms);
    }
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

static void get_digest(struct cbor_reader *reader, struct bytes *digest) {
    *digest = cbor_get_bytes(reader, RECORD_DIGEST_BYTES);
    reader->failed = reader->failed || (digest->size != 0 && digest->size != RECORD_DIGEST_BYTES);
}

/* An image is an array of at least the fields that the first format had. */
static size_t get_fields(struct cbor_reader *reader, size_t count_known) {
    size_t count = cbor_get_array(reader, 64);
    if (count < count_known) {
        reader->failed = true;
    }
    return reader->failed ? 0 : count - count_known;
}

/* Whether the `count` fields are there that a later format has appended: records of the one before
 * are still read, and the fields are then as a zeroed image has them. */
static bool has_appended(size_t *left, size_t count) {
    bool is_there = *left >= count;
    *left -= is_there ? count : 0;
    return is_there;
}

static void skip_newer(struct cbor_reader *reader, size_t count) {
    for (size_t i = 0; i < count && !reader->failed; i++) {
        (void)cbor_skip(reader);
    }
}

static uint8_t get_small(struct cbor_reader *reader, unsigned count) {
    return (uint8_t)cbor_get_uint(reader, count - 1);
}

static uint32_t get_u32(struct cbor_reader *reader) {
    return (uint32_t)cbor_get_uint(reader, UINT32_MAX);
}

static uint64_t get_u64(struct cbor_reader *reader) {
    return cbor_get_uint(reader, UINT64_MAX);
}

/* ---- header ---- */

static const uint8_t path_counts[RECORD_KIND_COUNT] = {
    [RECORD_HUB] = 0,  [RECORD_PHONE] = 1,   [RECORD_REQUEST] = 1, [RECORD_PROCESS] = 1,
    [RECORD_ITEM] = 2, [RECORD_ATTEMPT] = 3, [RECORD_KEY] = 1,     [RECORD_ANSWER] = 1,
};

void record_put_header(struct cbor_writer *writer, const struct record_header *header) {
    check(header->kind < RECORD_KIND_COUNT);
    check(header->path_count == path_counts[header->kind]);
    cbor_put_array(writer, 7);
    cbor_put_uint(writer, header->kind);
    cbor_put_array(writer, header->path_count);
    for (size_t i = 0; i < header->path_count; i++) {
        cbor_put_uint(writer, header->path[i]);
    }
    cbor_put_uint(writer, header->revision);
    cbor_put_uint(writer, header->event);
    cbor_put_uint(writer, header->status);
    record_put_time(writer, &header->time);
}

void record_get_header(struct cbor_reader *reader, struct record_header *header) {
    *header = (struct record_header){0};
    reader->failed = cbor_get_array(reader, 7) != 7 || reader->failed;
    header->kind = (enum record_kind)cbor_get_uint(reader, RECORD_KIND_COUNT - 1);
    header->path_count = (uint8_t)cbor_get_array(reader, array_count(header->path));
    for (size_t i = 0; i < header->path_count; i++) {
        header->path[i] = get_u64(reader);
    }
    header->revision = get_u64(reader);
    header->event = (enum record_event)cbor_get_uint(reader, RECORD_EVENT_COUNT - 1);
    header->status = (uint8_t)cbor_get_uint(reader, 11);
    record_get_time(reader, &header->time);
    reader->failed = reader->failed || header->path_count != path_counts[header->kind];
}

/* ---- request ---- */

void record_put_request(struct cbor_writer *writer, const struct record_request *image) {
    cbor_put_array(writer, 21);
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
}

void record_get_request(struct cbor_reader *reader, struct record_request *image) {
    *image = (struct record_request){0};
    size_t newer = get_fields(reader, 18);
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
    get_digest(reader, &image->key);
    get_digest(reader, &image->body_digest);
    image->routing = get_small(reader, RECORD_ROUTING_COUNT);
    image->mode = get_small(reader, RECORD_MODE_COUNT);
    image->priority = get_small(reader, 10);
    image->not_before_ms = get_u64(reader);
    image->deadline_ms = get_u64(reader);
    if (has_appended(&newer, 3)) {
        image->item_count = get_u32(reader);
        image->phones = cbor_get_bytes(reader, RECORD_PAYLOAD_MAX);
        image->accounts = cbor_get_text(reader, RECORD_PAYLOAD_MAX);
    }
    skip_newer(reader, newer);
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
    cbor_put_array(writer, 9);
    cbor_put_uint(writer, image->generation);
    cbor_put_uint(writer, image->flags);
    cbor_put_uint(writer, image->item_count);
    record_put_time(writer, &image->created);
    record_put_time(writer, &image->queued);
    record_put_time(writer, &image->retrying);
    record_put_time(writer, &image->cancel_requested);
    record_put_time(writer, &image->finished);
    cbor_put_bool(writer, image->is_deadline_over);
}

void record_get_process(struct cbor_reader *reader, struct record_process *image) {
    *image = (struct record_process){0};
    size_t newer = get_fields(reader, 8);
    image->generation = get_u32(reader);
    image->flags = get_small(reader, 16);
    image->item_count = get_u32(reader);
    record_get_time(reader, &image->created);
    record_get_time(reader, &image->queued);
    record_get_time(reader, &image->retrying);
    record_get_time(reader, &image->cancel_requested);
    record_get_time(reader, &image->finished);
    if (has_appended(&newer, 1)) {
        image->is_deadline_over = cbor_get_bool(reader);
    }
    skip_newer(reader, newer);
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
    reader->failed = cbor_get_array(reader, 2) != 2 || reader->failed;
    image->worker = cbor_get_text(reader, RECORD_ID_MAX);
    get_digest(reader, &image->claim);
    reader->failed = reader->failed || image->worker.size == 0;
}

void record_put_item(struct cbor_writer *writer, const struct record_item *image) {
    cbor_put_array(writer, 22);
    cbor_put_uint(writer, image->state);
    cbor_put_uint(writer, image->stop);
    cbor_put_uint(writer, image->suspension);
    cbor_put_uint(writer, image->category);
    cbor_put_bool(writer, image->superseded);
    cbor_put_uint(writer, image->generation);
    cbor_put_uint(writer, image->attempt);
    cbor_put_uint(writer, image->attempts_counted);
    cbor_put_uint(writer, image->deliveries);
    cbor_put_uint(writer, image->faults);
    cbor_put_uint(writer, image->actions_done);
    cbor_put_uint(writer, image->target_index);
    cbor_put_uint(writer, image->target_phone);
    cbor_put_uint(writer, image->phone);
    cbor_put_uint(writer, image->token);
    cbor_put_uint(writer, image->wait_ms);
    record_put_time(writer, &image->started);
    record_put_time(writer, &image->first_device);
    put_worker(writer, image);
    cbor_put_uint(writer, image->actions_digest);
    cbor_put_uint(writer, image->failed_phone);
    cbor_put_uint(writer, image->failed_count);
}

void record_get_item(struct cbor_reader *reader, struct record_item *image) {
    *image = (struct record_item){0};
    size_t newer = get_fields(reader, 18);
    image->state = get_small(reader, RECORD_ITEM_STATE_COUNT);
    image->stop = get_small(reader, RECORD_STOP_COUNT);
    image->suspension = get_small(reader, RECORD_SUSPENSION_COUNT);
    image->category = get_small(reader, RECORD_CATEGORY_COUNT);
    image->superseded = cbor_get_bool(reader);
    image->generation = get_u32(reader);
    image->attempt = get_u32(reader);
    image->attempts_counted = get_u32(reader);
    image->deliveries = get_u32(reader);
    image->faults = get_u32(reader);
    image->actions_done = get_u32(reader);
    image->target_index = get_u32(reader);
    image->target_phone = get_u64(reader);
    image->phone = get_u64(reader);
    image->token = get_u64(reader);
    image->wait_ms = get_u64(reader);
    record_get_time(reader, &image->started);
    record_get_time(reader, &image->first_device);
    if (has_appended(&newer, 4)) {
        get_worker(reader, image);
        image->actions_digest = get_u64(reader);
        image->failed_phone = get_u64(reader);
        image->failed_count = get_small(reader, RECORD_FAILED_MAX + 1);
    }
    skip_newer(reader, newer);
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
    size_t newer = get_fields(reader, 13);
    image->outcome = get_small(reader, RECORD_OUTCOME_COUNT);
    image->category = get_small(reader, RECORD_CATEGORY_COUNT);
    image->actions_done = get_u32(reader);
    image->progress_percent = get_small(reader, 101);
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
    if (has_appended(&newer, 2)) {
        image->worker = cbor_get_text(reader, RECORD_ID_MAX);
        image->power_cycles = get_u32(reader);
    }
    skip_newer(reader, newer);
}

/* ---- phone ---- */

void record_put_phone(struct cbor_writer *writer, const struct record_phone *image) {
    cbor_put_array(writer, 6);
    cbor_put_uint(writer, image->state);
    cbor_put_text(writer, image->id);
    cbor_put_text(writer, image->slot);
    cbor_put_text(writer, image->model);
    cbor_put_text(writer, image->reason);
    cbor_put_text(writer, image->labels);
}

void record_get_phone(struct cbor_reader *reader, struct record_phone *image) {
    *image = (struct record_phone){0};
    size_t newer = get_fields(reader, 5);
    image->state = get_small(reader, RECORD_PHONE_STATE_COUNT);
    image->id = cbor_get_text(reader, RECORD_ID_MAX);
    image->slot = cbor_get_text(reader, RECORD_ID_MAX);
    image->model = cbor_get_text(reader, RECORD_ID_MAX);
    image->reason = cbor_get_text(reader, RECORD_TEXT_MAX);
    if (has_appended(&newer, 1)) {
        image->labels = cbor_get_text(reader, RECORD_TEXT_MAX);
    }
    skip_newer(reader, newer);
}

/* ---- hub ---- */

void record_put_hub(struct cbor_writer *writer, const struct record_hub *image) {
    check(image->boot_count <= RECORD_BOOTS_MAX);
    cbor_put_array(writer, 10);
    cbor_put_text(writer, image->hub_id);
    cbor_put_bytes(writer, image->boot_id);
    cbor_put_uint(writer, image->boot);
    cbor_put_uint(writer, image->starts);
    cbor_put_uint(writer, image->token_counter);
    cbor_put_uint(writer, image->process_number);
    cbor_put_uint(writer, image->phone_number);
    cbor_put_uint(writer, image->key_number);
    cbor_put_uint(writer, image->command);
    cbor_put_array(writer, image->boot_count);
    for (size_t i = 0; i < image->boot_count; i++) {
        cbor_put_array(writer, 2);
        cbor_put_uint(writer, image->boots[i].boot);
        cbor_put_uint(writer, image->boots[i].offset_ms);
    }
}

void record_get_hub(struct cbor_reader *reader, struct record_hub *image) {
    *image = (struct record_hub){0};
    size_t newer = get_fields(reader, 10);
    image->hub_id = cbor_get_text(reader, RECORD_ID_MAX);
    get_digest(reader, &image->boot_id);
    image->boot = get_u32(reader);
    image->starts = get_u32(reader);
    image->token_counter = get_u64(reader);
    image->process_number = get_u64(reader);
    image->phone_number = get_u64(reader);
    image->key_number = get_u64(reader);
    image->command = get_u64(reader);
    image->boot_count = (uint32_t)cbor_get_array(reader, RECORD_BOOTS_MAX);
    for (size_t i = 0; i < image->boot_count; i++) {
        reader->failed = cbor_get_array(reader, 2) != 2 || reader->failed;
        image->boots[i].boot = get_u32(reader);
        image->boots[i].offset_ms = get_u64(reader);
    }
    skip_newer(reader, newer);
}

/* ---- key ---- */

void record_put_key(struct cbor_writer *writer, const struct record_key *image) {
    cbor_put_array(writer, 5);
    cbor_put_bytes(writer, image->key);
    cbor_put_bytes(writer, image->body_digest);
    cbor_put_uint(writer, image->process);
    cbor_put_uint(writer, image->status);
    record_put_time(writer, &image->evicted);
}

void record_get_key(struct cbor_reader *reader, struct record_key *image) {
    *image = (struct record_key){0};
    size_t newer = get_fields(reader, 5);
    get_digest(reader, &image->key);
    get_digest(reader, &image->body_digest);
    image->process = get_u64(reader);
    image->status = get_small(reader, 12);
    record_get_time(reader, &image->evicted);
    skip_newer(reader, newer);
}
