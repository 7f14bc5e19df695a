#include "protocol/record.h"
#include "tests/test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint8_t first[RECORD_PAYLOAD_MAX + 4096];
static uint8_t second[4096];
static const uint8_t digest[RECORD_DIGEST_BYTES + 1] = {1, 2, 3};

static struct record_time at(uint64_t mono_ms, uint64_t wall_ms) {
    return record_time_of(7, mono_ms, wall_ms, 2);
}

/* Writes an image of the kind with every field set, the numbers at their largest. */
static void put_image(struct cbor_writer *writer, enum record_kind kind) {
    const struct bytes key = {digest, RECORD_DIGEST_BYTES};
    const struct record_time now = at(UINT64_MAX, UINT64_MAX);
    const struct record_request request = {.process_type = bytes_of("maintenance"),
                                           .request_id = bytes_of("r\xc3\xbc"),
                                           .system = bytes_of("s"),
                                           .user = bytes_of("u"),
                                           .target = bytes_of("{}"),
                                           .inputs = bytes_of("{\"a\":1}"),
                                           .callback = bytes_of("{}"),
                                           .metadata = bytes_of("{}"),
                                           .labels = bytes_of("[]"),
                                           .extra = bytes_of("{}"),
                                           .concurrency_key = bytes_of("k"),
                                           .key = key,
                                           .body_digest = key,
                                           .routing = RECORD_GROUP,
                                           .mode = RECORD_UNATTENDED,
                                           .priority = 9,
                                           .not_before_ms = UINT64_MAX,
                                           .deadline_ms = 1,
                                           .item_count = UINT32_MAX,
                                           .phones = bytes_of("12345678"),
                                           .accounts = bytes_of("a\nb\n"),
                                           .origin = {UINT32_MAX, UINT64_MAX, UINT32_MAX, 1}};
    const struct record_process process = {.generation = UINT32_MAX,
                                           .flags = 15,
                                           .item_count = UINT32_MAX,
                                           .created = now,
                                           .queued = now,
                                           .retrying = at(1, 0),
                                           .cancel_requested = now,
                                           .finished = now,
                                           .is_deadline_over = true};
    const struct record_item item = {.state = RECORD_RUNNING,
                                     .stop = RECORD_STOP_WITHDRAW,
                                     .suspension = RECORD_SUSPEND_UNCERTAIN,
                                     .category = RECORD_CATEGORY_INTERNAL,
                                     .superseded = true,
                                     .generation = 1,
                                     .attempt = UINT32_MAX,
                                     .attempts_counted = 2,
                                     .deliveries = 3,
                                     .faults = 4,
                                     .actions_done = 5,
                                     .target_index = 6,
                                     .target_phone = UINT64_MAX,
                                     .phone = 8,
                                     .token = UINT64_MAX,
                                     .wait_ms = UINT64_MAX,
                                     .started = now,
                                     .first_device = now,
                                     .worker = bytes_of("w"),
                                     .claim = key,
                                     .actions_digest = UINT64_MAX,
                                     .failed_phone = UINT64_MAX,
                                     .failed_count = RECORD_FAILED_MAX,
                                     .assignment = UINT32_MAX,
                                     .grant_ms = UINT64_MAX,
                                     .grant_from = now};
    const struct record_attempt attempt = {.outcome = RECORD_UNFINISHED,
                                           .category = RECORD_CATEGORY_INTERNAL,
                                           .actions_done = 1,
                                           .progress_percent = 100,
                                           .has_exit_code = true,
                                           .exit_code = INT32_MIN,
                                           .phone_id = bytes_of("P"),
                                           .code = bytes_of("c"),
                                           .message = bytes_of("m"),
                                           .action = bytes_of("a"),
                                           .output = bytes_of("o"),
                                           .result = bytes_of("{}"),
                                           .started = now,
                                           .ended = now,
                                           .worker = bytes_of("w"),
                                           .power_cycles = UINT32_MAX};
    const struct record_phone phone = {.state = RECORD_PHONE_QUARANTINED,
                                       .id = bytes_of("P~s"),
                                       .slot = bytes_of("s"),
                                       .model = bytes_of("m"),
                                       .reason = bytes_of("r"),
                                       .labels = bytes_of("l")};
    const struct record_hub hub = {
        .hub_id = bytes_of("h"),
        .boot_id = key,
        .boot = UINT32_MAX,
        .starts = 1,
        .token_counter = UINT64_MAX,
        .process_number = 2,
        .phone_number = 3,
        .key_number = 4,
        .command = 5,
        .boot_count = 2,
        .boots = {{7, UINT64_MAX}, {6, 0}},
        .gap = {.first = 3, .last = UINT64_MAX, .chain = {1, 2, 3}, .dropped = {1, 0, UINT32_MAX}},
        .upstream_epoch = UINT32_MAX,
        .life = {UINT32_MAX, UINT32_MAX - 1, UINT64_MAX, true}};
    const struct record_key kept = {
        .key = key, .body_digest = key, .process = UINT64_MAX, .status = 11, .evicted = now};
    const struct record_answer answer = {
        .upstream_epoch = UINT32_MAX, .code = RECORD_ANSWER_DIFFERS, .text = bytes_of("why")};
    switch ((int)kind) {
    case RECORD_HUB:
        record_put_hub(writer, &hub);
        break;
    case RECORD_PHONE:
        record_put_phone(writer, &phone);
        break;
    case RECORD_REQUEST:
        record_put_request(writer, &request);
        break;
    case RECORD_PROCESS:
        record_put_process(writer, &process);
        break;
    case RECORD_ITEM:
        record_put_item(writer, &item);
        break;
    case RECORD_ATTEMPT:
        record_put_attempt(writer, &attempt);
        break;
    case RECORD_KEY:
        record_put_key(writer, &kept);
        break;
    default:
        record_put_answer(writer, &answer);
        break;
    }
}

/* Reads an image of the kind and, if it is good, writes it again. */
static void get_image(struct cbor_reader *reader, enum record_kind kind,
                      struct cbor_writer *again) {
    struct record_request request;
    struct record_process process;
    struct record_item item;
    struct record_attempt attempt;
    struct record_phone phone;
    struct record_hub hub;
    struct record_key key;
    struct record_answer answer;
    switch ((int)kind) {
    case RECORD_HUB:
        record_get_hub(reader, &hub);
        break;
    case RECORD_PHONE:
        record_get_phone(reader, &phone);
        break;
    case RECORD_REQUEST:
        record_get_request(reader, &request);
        break;
    case RECORD_PROCESS:
        record_get_process(reader, &process);
        break;
    case RECORD_ITEM:
        record_get_item(reader, &item);
        break;
    case RECORD_ATTEMPT:
        record_get_attempt(reader, &attempt);
        break;
    case RECORD_KEY:
        record_get_key(reader, &key);
        break;
    default:
        record_get_answer(reader, &answer);
        break;
    }
    if (!cbor_reader_done(reader) || again == NULL) {
        return;
    }
    switch ((int)kind) {
    case RECORD_HUB:
        record_put_hub(again, &hub);
        break;
    case RECORD_PHONE:
        record_put_phone(again, &phone);
        break;
    case RECORD_REQUEST:
        record_put_request(again, &request);
        break;
    case RECORD_PROCESS:
        record_put_process(again, &process);
        break;
    case RECORD_ITEM:
        record_put_item(again, &item);
        break;
    case RECORD_ATTEMPT:
        record_put_attempt(again, &attempt);
        break;
    case RECORD_KEY:
        record_put_key(again, &key);
        break;
    default:
        record_put_answer(again, &answer);
        break;
    }
}

static void put_record(struct cbor_writer *writer, enum record_kind kind) {
    static const uint8_t counts[] = {0, 1, 1, 1, 2, 3, 1, 1};
    const struct record_header header = {.kind = kind,
                                         .event = RECORD_STEP_EVENT,
                                         .path_count = counts[kind],
                                         .path = {UINT64_MAX, 2, 3},
                                         .revision = UINT64_MAX,
                                         .status = 11,
                                         .time = at(5, 6)};
    record_put_header(writer, &header);
    put_image(writer, kind);
}

static void every_kind_comes_back_byte_for_byte(void **unused) {
    (void)unused;
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        struct cbor_writer writer;
        struct cbor_writer again;
        struct cbor_reader reader;
        struct record_header header;
        cbor_writer_init(&writer, first, sizeof first);
        put_record(&writer, (enum record_kind)kind);
        cbor_reader_init(&reader, (struct bytes){first, writer.size});
        record_get_header(&reader, &header);
        cbor_writer_init(&again, second, sizeof second);
        record_put_header(&again, &header);
        get_image(&reader, (enum record_kind)kind, &again);
        assert_true(cbor_reader_done(&reader));
        assert_int_equal(again.size, writer.size);
        assert_memory_equal(first, second, writer.size);
    }
}

static void every_truncation_of_every_kind_fails(void **unused) {
    (void)unused;
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        struct cbor_writer writer;
        cbor_writer_init(&writer, first, sizeof first);
        put_record(&writer, (enum record_kind)kind);
        for (size_t cut = 0; cut < writer.size; cut++) {
            struct cbor_reader reader;
            struct record_header header;
            cbor_reader_init(&reader, (struct bytes){first, cut});
            record_get_header(&reader, &header);
            get_image(&reader, (enum record_kind)kind, NULL);
            assert_true(reader.failed);
        }
    }
}

/* A newer format may append fields to an image: they are skipped. */
static void fields_of_a_newer_format_are_skipped(void **unused) {
    (void)unused;
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        struct cbor_writer writer;
        struct cbor_reader reader;
        cbor_writer_init(&writer, first, sizeof first);
        put_image(&writer, (enum record_kind)kind);
        assert_int_equal(first[0] >> 5, 4);
        uint8_t count = first[0] & 0x1f;
        assert_true(count < 24);
        memmove(first + 2, first + 1, writer.size - 1);
        first[0] = 0x98; /* the count follows: 23 is the last that needs no byte of its own */
        first[1] = count + 1;
        writer.size += 1;
        if (count < 23) {
            memmove(first + 1, first + 2, writer.size - 2);
            first[0] = 0x80 | (uint8_t)(count + 1);
            writer.size -= 1;
        }
        cbor_put_text(&writer, bytes_of("new"));
        cbor_reader_init(&reader, (struct bytes){first, writer.size});
        get_image(&reader, (enum record_kind)kind, NULL);
        assert_true(cbor_reader_done(&reader));
    }
}

/* Fields that the first format of a kind had, and the last byte of its image with all set. */
static void records_of_the_first_format_are_read(void **unused) {
    (void)unused;
    static const uint8_t counts[] = {10, 5, 18, 8, 18, 13, 5, 3};
    _Static_assert(array_count(counts) == RECORD_KIND_COUNT, "every kind");
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        struct cbor_writer writer;
        struct cbor_reader reader;
        cbor_writer_init(&writer, first, sizeof first);
        put_image(&writer, (enum record_kind)kind);
        cbor_reader_init(&reader, (struct bytes){first, writer.size});
        reader.rest.data += 1;
        reader.rest.size -= 1;
        for (unsigned field = 0; field < counts[kind] - 1u; field++) {
            (void)cbor_skip(&reader);
        }
        size_t size_short = writer.size - reader.rest.size;
        (void)cbor_skip(&reader);
        size_t size = writer.size - reader.rest.size;
        first[0] = 0x80 | counts[kind];
        cbor_reader_init(&reader, (struct bytes){first, size});
        get_image(&reader, (enum record_kind)kind, NULL);
        assert_true(cbor_reader_done(&reader));
        first[0] = (uint8_t)(0x80 | (counts[kind] - 1)); /* one field too few */
        cbor_reader_init(&reader, (struct bytes){first, size_short});
        get_image(&reader, (enum record_kind)kind, NULL);
        assert_true(reader.failed);
    }
}

static void a_path_of_another_length_is_refused(void **unused) {
    (void)unused;
    struct cbor_writer writer;
    struct cbor_reader reader;
    struct record_header header;
    cbor_writer_init(&writer, first, sizeof first);
    put_record(&writer, RECORD_ITEM);
    first[1] = RECORD_PROCESS;
    cbor_reader_init(&reader, (struct bytes){first, writer.size});
    record_get_header(&reader, &header);
    assert_true(reader.failed);
}

static void a_time_is_never_without_its_boot(void **unused) {
    (void)unused;
    static const uint8_t no_boot[] = {0x83, 0, 5, 0};
    static const uint8_t wall_zero[] = {0x84, 1, 5, 0, 0};
    static const uint8_t quality[] = {0x83, 1, 5, 3};
    const struct bytes inputs[] = {{no_boot, 4}, {wall_zero, 5}, {quality, 4}};
    for (size_t i = 0; i < array_count(inputs); i++) {
        struct cbor_reader reader;
        struct record_time time;
        cbor_reader_init(&reader, inputs[i]);
        record_get_time(&reader, &time);
        assert_true(reader.failed);
    }
}

/* Any byte of a record may be any other: refused, or read and written as what it is. */
static void what_is_accepted_is_written_as_the_same_bytes(void **unused) {
    (void)unused;
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        struct cbor_writer writer;
        cbor_writer_init(&writer, first, sizeof first);
        put_record(&writer, (enum record_kind)kind);
        for (uint32_t i = 0; i < writer.size * 256; i++) {
            uint8_t before = first[i / 256];
            struct cbor_writer again;
            struct cbor_reader reader;
            struct record_header header;
            first[i / 256] = (uint8_t)i;
            cbor_reader_init(&reader, (struct bytes){first, writer.size});
            record_get_header(&reader, &header);
            if (!reader.failed && header.kind == (enum record_kind)kind) {
                cbor_writer_init(&again, second, sizeof second);
                record_put_header(&again, &header);
                get_image(&reader, header.kind, &again);
                bool is_same = again.size == writer.size && memcmp(first, second, again.size) == 0;
                assert_true(!cbor_reader_done(&reader) || is_same);
            }
            first[i / 256] = before;
        }
    }
}

/* Any byte may become any other: what is still taken is written as the same bytes. */
static void every_changed_byte_is_refused_or_means_something_else(void **unused) {
    (void)unused;
    uint32_t taken = 0;
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        struct cbor_writer writer;
        cbor_writer_init(&writer, first, sizeof first);
        put_record(&writer, (enum record_kind)kind);
        for (size_t i = 0; i < writer.size; i++) {
            uint8_t before = first[i];
            for (unsigned value = 0; value < 256; value++) {
                struct cbor_writer again;
                struct cbor_reader reader;
                struct record_header header;
                first[i] = (uint8_t)value;
                cbor_reader_init(&reader, (struct bytes){first, writer.size});
                record_get_header(&reader, &header);
                if (reader.failed || header.kind != kind) {
                    continue;
                }
                cbor_writer_init(&again, second, sizeof second);
                record_put_header(&again, &header);
                get_image(&reader, (enum record_kind)kind, &again);
                if (cbor_reader_done(&reader)) {
                    assert_int_equal(again.size, writer.size);
                    assert_memory_equal(first, second, writer.size);
                    taken += 1;
                }
            }
            first[i] = before;
        }
    }
    assert_true(taken > 10000);
}

static bool is_item_taken(const struct record_item *image) {
    struct cbor_writer writer;
    struct cbor_reader reader;
    struct record_item found;
    cbor_writer_init(&writer, first, sizeof first);
    record_put_item(&writer, image);
    cbor_reader_init(&reader, (struct bytes){first, writer.size});
    record_get_item(&reader, &found);
    return cbor_reader_done(&reader);
}

static bool is_attempt_taken(const struct record_attempt *image) {
    struct cbor_writer writer;
    struct cbor_reader reader;
    struct record_attempt found;
    cbor_writer_init(&writer, first, sizeof first);
    record_put_attempt(&writer, image);
    cbor_reader_init(&reader, (struct bytes){first, writer.size});
    record_get_attempt(&reader, &found);
    return cbor_reader_done(&reader);
}

static bool is_request_taken(const struct record_request *image) {
    struct cbor_writer writer;
    struct cbor_reader reader;
    struct record_request found;
    cbor_writer_init(&writer, first, sizeof first);
    record_put_request(&writer, image);
    cbor_reader_init(&reader, (struct bytes){first, writer.size});
    record_get_request(&reader, &found);
    assert_int_equal(cbor_reader_done(&reader), record_is_request_valid(image));
    return cbor_reader_done(&reader);
}

/* The last value of each range is taken, the one behind it is not. */
/* [boot, mono-ms, quality, wall-ms] as bytes; the numbers need not fit their fields. */
static bool is_time_taken(uint64_t boot, uint64_t mono_ms, uint64_t quality, uint64_t wall_ms) {
    struct cbor_writer writer;
    struct cbor_reader reader;
    struct record_time time;
    cbor_writer_init(&writer, first, sizeof first);
    cbor_put_array(&writer, 4);
    cbor_put_uint(&writer, boot);
    cbor_put_uint(&writer, mono_ms);
    cbor_put_uint(&writer, quality);
    cbor_put_uint(&writer, wall_ms);
    cbor_reader_init(&reader, (struct bytes){first, writer.size});
    record_get_time(&reader, &time);
    return cbor_reader_done(&reader) && time.boot == boot && time.mono_ms == mono_ms &&
           time.quality == quality && time.wall_ms == wall_ms;
}

static void a_time_larger_than_its_fields_is_refused(void **unused) {
    (void)unused;
    assert_true(is_time_taken(RECORD_BOOT_MAX, RECORD_MONO_MAX, 2, RECORD_WALL_MAX));
    assert_false(is_time_taken(RECORD_BOOT_MAX + 1, RECORD_MONO_MAX, 2, RECORD_WALL_MAX));
    assert_false(is_time_taken(RECORD_BOOT_MAX, RECORD_MONO_MAX + 1, 2, RECORD_WALL_MAX));
    assert_false(is_time_taken(RECORD_BOOT_MAX, RECORD_MONO_MAX, 3, RECORD_WALL_MAX));
    assert_false(is_time_taken(RECORD_BOOT_MAX, RECORD_MONO_MAX, 2, RECORD_WALL_MAX + 1));
    assert_false(is_time_taken(0, 1, 2, 3));
    struct record_time most = record_time_of(UINT64_MAX, UINT64_MAX, UINT64_MAX, 2);
    assert_true(most.boot == RECORD_BOOT_MAX && most.mono_ms == RECORD_MONO_MAX &&
                most.wall_ms == RECORD_WALL_MAX);
}

static void numbers_out_of_their_range_are_refused(void **unused) {
    (void)unused;
    for (uint8_t over = 0; over < 2; over++) {
        bool is_in = over == 0;
#define last(count) (uint8_t)((count)-1 + over)
        assert_int_equal(
            is_item_taken(&(struct record_item){.state = last(RECORD_ITEM_STATE_COUNT)}), is_in);
        assert_int_equal(is_item_taken(&(struct record_item){.stop = last(RECORD_STOP_COUNT)}),
                         is_in);
        assert_int_equal(
            is_item_taken(&(struct record_item){.suspension = last(RECORD_SUSPENSION_COUNT)}),
            is_in);
        assert_int_equal(
            is_item_taken(&(struct record_item){.category = last(RECORD_CATEGORY_COUNT)}), is_in);
        assert_int_equal(
            is_item_taken(&(struct record_item){.failed_count = last(RECORD_FAILED_MAX + 1)}),
            is_in);
        assert_int_equal(
            is_attempt_taken(&(struct record_attempt){.outcome = last(RECORD_OUTCOME_COUNT)}),
            is_in);
        assert_int_equal(
            is_attempt_taken(&(struct record_attempt){.category = last(RECORD_CATEGORY_COUNT)}),
            is_in);
        assert_int_equal(is_attempt_taken(&(struct record_attempt){.progress_percent = last(101)}),
                         is_in);
        assert_int_equal(
            is_request_taken(&(struct record_request){.routing = last(RECORD_ROUTING_COUNT)}),
            is_in);
        assert_int_equal(
            is_request_taken(&(struct record_request){.mode = last(RECORD_MODE_COUNT)}), is_in);
        assert_int_equal(is_request_taken(&(struct record_request){.priority = last(10)}), is_in);
        assert_int_equal(is_request_taken(&(struct record_request){
                             .key = {digest, last(RECORD_DIGEST_BYTES + 1u)}}),
                         is_in);
#undef last
    }
    assert_false(is_request_taken(&(struct record_request){.key = {digest, 1}}));
    assert_false(is_request_taken(&(struct record_request){.body_digest = {digest, 17}}));
}

/* The longest text of each member is taken, one byte more is not, nor is what is not UTF-8. */
static void texts_beyond_their_limits_are_refused(void **unused) {
    (void)unused;
    static uint8_t text[RECORD_PAYLOAD_MAX + 1];
    memset(text, 'a', sizeof text);
    struct record_request image = {0};
    struct {
        struct bytes *text;
        size_t max;
    } const members[] = {
        {&image.process_type, RECORD_ID_MAX},  {&image.request_id, RECORD_TEXT_MAX},
        {&image.system, RECORD_TEXT_MAX},      {&image.user, RECORD_TEXT_MAX},
        {&image.target, RECORD_PAYLOAD_MAX},   {&image.inputs, RECORD_PAYLOAD_MAX},
        {&image.callback, RECORD_PAYLOAD_MAX}, {&image.metadata, RECORD_PAYLOAD_MAX},
        {&image.labels, RECORD_PAYLOAD_MAX},   {&image.extra, RECORD_PAYLOAD_MAX},
        {&image.accounts, RECORD_PAYLOAD_MAX}, {&image.concurrency_key, RECORD_TEXT_MAX},
        {&image.phones, RECORD_PAYLOAD_MAX},
    };
    for (size_t i = 0; i < array_count(members); i++) {
        for (size_t over = 0; over < 2; over++) {
            *members[i].text = (struct bytes){text, members[i].max + over};
            assert_int_equal(is_request_taken(&image), over == 0);
        }
        *members[i].text = bytes_of("\xff");
        assert_int_equal(is_request_taken(&image), members[i].text == &image.phones);
        *members[i].text = (struct bytes){0};
    }
}

static void every_category_has_its_name_of_the_specification(void **unused) {
    (void)unused;
    static const char *const names[] = {
        "exit_code", "timeout",   "phone_lost", "phone_unauthorized", "usb",           "adb",
        "fastboot",  "container", "capability", "host_restarted",     "lease_expired", "budget",
        "deadline",  "poison",    "no_target",  "internal",
    };
    for (size_t i = 0; i < array_count(names); i++) {
        bool is_there = false;
        for (unsigned category = 0; category < RECORD_CATEGORY_COUNT; category++) {
            is_there = is_there ||
                       strcmp(record_category_name((enum record_category)category), names[i]) == 0;
        }
        assert_true(is_there);
    }
}

/* Writes an origin, or a grant, with a number that it may not have. */
static void a_part_names_an_item_and_an_assignment(void **unused) {
    (void)unused;
    struct record_request request = {.origin = {.process = 7, .item = 0}};
    struct record_request found;
    struct cbor_writer writer;
    struct cbor_reader reader;
    for (uint32_t item = 0; item < 2; item++) {
        request.origin.item = item;
        cbor_writer_init(&writer, first, sizeof first);
        record_put_request(&writer, &request);
        cbor_reader_init(&reader, (struct bytes){first, writer.size});
        record_get_request(&reader, &found);
        assert_int_equal(cbor_reader_done(&reader), item == 1);
    }
    assert_int_equal(found.origin.process, 7);
    assert_memory_equal(first + writer.size - 5, "\x84\x00\x07\x00\x01", 5);
    first[writer.size - 3] = 0;
    cbor_reader_init(&reader, (struct bytes){first, writer.size});
    record_get_request(&reader, &found);
    assert_true(reader.failed);
    struct record_item image = {.assignment = 5, .grant_ms = 9};
    assert_true(is_item_taken(&image));
    size_t at = 1;
    cbor_reader_init(&reader, (struct bytes){first + 1, sizeof first - 1});
    for (int field = 0; field < 22; field++) {
        at += cbor_skip(&reader).size;
    }
    assert_memory_equal(first + at, "\x83\x05\x09\xf6", 4);
    first[at + 1] = 0;
    struct record_item item;
    cbor_reader_init(&reader, (struct bytes){first, at + 4});
    record_get_item(&reader, &item);
    assert_true(reader.failed);
}

static void every_answer_has_a_name(void **unused) {
    (void)unused;
    assert_string_equal(record_answer_name(RECORD_ANSWER_DONE), "done");
    assert_string_equal(record_answer_name(RECORD_ANSWER_CAPACITY_EXHAUSTED), "capacity_exhausted");
    assert_string_equal(record_answer_name(RECORD_ANSWER_DIFFERS), "differs");
    assert_int_equal(RECORD_ANSWER_DIFFERS, 10);
}

static void a_worker_always_has_a_name(void **unused) {
    (void)unused;
    struct record_item image = {.worker = bytes_of("w"), .claim = {digest, RECORD_DIGEST_BYTES}};
    assert_true(is_item_taken(&image));
    uint8_t bytes[512];
    struct cbor_writer writer;
    cbor_writer_init(&writer, bytes, sizeof bytes);
    record_put_item(&writer, &image);
    size_t changed = 0;
    for (size_t i = 0; i + 2 < writer.size; i++) {
        if (memcmp(bytes + i, "\x82\x61w", 3) == 0) { /* [ "w", claim ] */
            bytes[i + 1] = 0x60;
            memmove(bytes + i + 2, bytes + i + 3, writer.size - i - 3);
            changed += 1;
        }
    }
    assert_int_equal(changed, 1);
    struct cbor_reader reader;
    struct record_item read;
    cbor_reader_init(&reader, (struct bytes){bytes, writer.size - 1});
    record_get_item(&reader, &read);
    assert_true(reader.failed);
}

static void every_kind_has_a_name_of_its_own(void **unused) {
    (void)unused;
    for (unsigned kind = 0; kind < RECORD_KIND_COUNT; kind++) {
        for (unsigned other = 0; other < kind; other++) {
            assert_string_not_equal(record_kind_name((enum record_kind)kind),
                                    record_kind_name((enum record_kind)other));
        }
    }
    assert_string_equal(record_kind_name(RECORD_PHONE), "phone");
}

int protocol_record_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_comes_back_byte_for_byte),
        cmocka_unit_test(every_truncation_of_every_kind_fails),
        cmocka_unit_test(every_changed_byte_is_refused_or_means_something_else),
        cmocka_unit_test(fields_of_a_newer_format_are_skipped),
        cmocka_unit_test(records_of_the_first_format_are_read),
        cmocka_unit_test(a_path_of_another_length_is_refused),
        cmocka_unit_test(a_time_is_never_without_its_boot),
        cmocka_unit_test(what_is_accepted_is_written_as_the_same_bytes),
        cmocka_unit_test(a_time_larger_than_its_fields_is_refused),
        cmocka_unit_test(numbers_out_of_their_range_are_refused),
        cmocka_unit_test(texts_beyond_their_limits_are_refused),
        cmocka_unit_test(every_category_has_its_name_of_the_specification),
        cmocka_unit_test(a_worker_always_has_a_name),
        cmocka_unit_test(a_part_names_an_item_and_an_assignment),
        cmocka_unit_test(every_answer_has_a_name),
        cmocka_unit_test(every_kind_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests_name("protocol/record", tests, NULL, NULL);
}
