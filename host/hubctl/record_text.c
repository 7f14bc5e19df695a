#include "host/hubctl/record_text.h"

#include "protocol/record.h"

#include <inttypes.h>
#include <stdio.h>

enum { FIELDS_MAX = 19 };

static const struct {
    const char *fields[FIELDS_MAX];
} kinds[RECORD_KIND_COUNT] = {
    [RECORD_HUB] = {{"hub_id", "boot_id", "boot", "starts", "token_counter", "process_number",
                     "phone_number", "key_number", "command", "boots", "gap"}},
    [RECORD_PHONE] = {{"state", "id", "slot", "model", "reason"}},
    [RECORD_REQUEST] = {{"process_type", "request_id", "system", "user", "target", "inputs",
                         "callback", "metadata", "labels", "extra", "concurrency_key", "key",
                         "body_digest", "routing", "mode", "priority", "not_before_ms",
                         "deadline_ms"}},
    [RECORD_PROCESS] = {{"generation", "flags", "item_count", "created", "queued", "retrying",
                         "cancel_requested", "finished"}},
    [RECORD_ITEM] = {{"state", "stop", "suspension", "category", "superseded", "generation",
                      "attempt", "attempts_counted", "deliveries", "faults", "actions_done",
                      "target_index", "target_phone", "phone", "token", "wait_ms", "started",
                      "first_device"}},
    [RECORD_ATTEMPT] = {{"outcome", "category", "actions_done", "progress_percent", "exit_code",
                         "phone", "code", "message", "action", "output", "result", "started",
                         "ended"}},
    [RECORD_KEY] = {{"key", "body_digest", "process", "status", "evicted"}},
    [RECORD_ANSWER] = {{NULL}},
};

const char *record_text_kind(unsigned kind) {
    return kind < RECORD_KIND_COUNT ? record_kind_name((enum record_kind)kind) : "?";
}

/* ---- judging ---- */

static void read_image(struct cbor_reader *reader, enum record_kind kind) {
    union {
        struct record_hub hub;
        struct record_phone phone;
        struct record_request request;
        struct record_process process;
        struct record_item item;
        struct record_attempt attempt;
        struct record_key key;
    } image;
    switch ((int)kind) {
    case RECORD_HUB:
        record_get_hub(reader, &image.hub);
        break;
    case RECORD_PHONE:
        record_get_phone(reader, &image.phone);
        break;
    case RECORD_REQUEST:
        record_get_request(reader, &image.request);
        break;
    case RECORD_PROCESS:
        record_get_process(reader, &image.process);
        break;
    case RECORD_ITEM:
        record_get_item(reader, &image.item);
        break;
    case RECORD_ATTEMPT:
        record_get_attempt(reader, &image.attempt);
        break;
    case RECORD_KEY:
        record_get_key(reader, &image.key);
        break;
    default:
        (void)cbor_skip(reader);
        break;
    }
}

bool record_text_is_whole(struct bytes record, unsigned kind) {
    struct cbor_reader reader;
    struct record_header header;
    cbor_reader_init(&reader, record);
    record_get_header(&reader, &header);
    if (reader.failed || header.kind != kind) {
        return false;
    }
    read_image(&reader, header.kind);
    return cbor_reader_done(&reader);
}

/* ---- printing ---- */

static bool print_diagnostic(uint64_t seq, struct bytes record) {
    printf("%" PRIu64 ": ", seq);
    bool is_good = cbor_text_print(&record, CBOR_TEXT_DIAGNOSTIC);
    while (is_good && record.size > 0) {
        fputs(", ", stdout);
        is_good = cbor_text_print(&record, CBOR_TEXT_DIAGNOSTIC);
    }
    putchar('\n');
    return is_good;
}

static void print_header(uint64_t seq, const struct record_header *header) {
    printf("{\"seq\":%" PRIu64 ",\"kind\":\"%s\",\"event\":\"%s\",\"path\":[", seq,
           record_text_kind(header->kind), record_event_name(header->event));
    for (unsigned i = 0; i < header->path_count; i++) {
        printf("%s%" PRIu64, i > 0 ? "," : "", header->path[i]);
    }
    printf("],\"revision\":%" PRIu64 ",\"status\":%u,\"boot\":%" PRIu64 ",\"mono_ms\":%" PRIu64
           ",\"wall_ms\":%" PRIu64,
           header->revision, (unsigned)header->status, (uint64_t)header->time.boot,
           (uint64_t)header->time.mono_ms, (uint64_t)header->time.wall_ms);
}

/* The image's fields by name; those that a newer format has appended by number. */
static bool print_image(struct bytes image, enum record_kind kind) {
    uint64_t count = 0;
    bool is_known = true;
    if (!cbor_text_array(&image, &count)) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        is_known = is_known && i < FIELDS_MAX && kinds[kind].fields[i] != NULL;
        if (is_known) {
            printf(",\"%s\":", kinds[kind].fields[i]);
        } else {
            printf(",\"field_%" PRIu64 "\":", i);
        }
        if (!cbor_text_print(&image, CBOR_TEXT_JSON)) {
            return false;
        }
    }
    return true;
}

bool record_text_print(uint64_t seq, struct bytes record, enum cbor_text_form form) {
    struct cbor_reader reader;
    struct record_header header;
    cbor_reader_init(&reader, record);
    record_get_header(&reader, &header);
    if (form == CBOR_TEXT_DIAGNOSTIC) {
        return print_diagnostic(seq, record);
    }
    /* Judged first: a line of JSON is whole, or says what it lacks. */
    if (reader.failed || !record_text_is_whole(record, header.kind)) {
        printf("{\"seq\":%" PRIu64 ",\"error\":\"not a record\"}\n", seq);
        return false;
    }
    print_header(seq, &header);
    bool is_good = print_image(reader.rest, header.kind);
    puts("}");
    return is_good;
}
