/* Any bytes as a record: what is accepted is written again, the same when it has no newer fields.
 */
#include "protocol/record.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t again[1 << 19];

#define COPY_IMAGE(type)                                                                           \
    do {                                                                                           \
        struct record_##type image;                                                                \
        record_get_##type(reader, &image);                                                         \
        if (!reader->failed) {                                                                     \
            record_put_##type(writer, &image);                                                     \
        }                                                                                          \
    } while (0)

static void copy_image(enum record_kind kind, struct cbor_reader *reader,
                       struct cbor_writer *writer) {
    switch (kind) {
    case RECORD_HUB:
        COPY_IMAGE(hub);
        break;
    case RECORD_PHONE:
        COPY_IMAGE(phone);
        break;
    case RECORD_REQUEST:
        COPY_IMAGE(request);
        break;
    case RECORD_PROCESS:
        COPY_IMAGE(process);
        break;
    case RECORD_ITEM:
        COPY_IMAGE(item);
        break;
    case RECORD_ATTEMPT:
        COPY_IMAGE(attempt);
        break;
    case RECORD_KEY:
        COPY_IMAGE(key);
        break;
    case RECORD_ANSWER:
        COPY_IMAGE(answer);
        break;
    case RECORD_KIND_COUNT:
        reader->failed = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes input = {data, size};
    struct cbor_reader reader;
    struct cbor_writer writer;
    struct record_header header;
    cbor_reader_init(&reader, input);
    cbor_writer_init(&writer, again, sizeof again);
    record_get_header(&reader, &header);
    if (!reader.failed) {
        check(header.event < RECORD_EVENT_COUNT && record_event_name(header.event) != NULL);
        record_put_header(&writer, &header);
        size_t image_at = size - reader.rest.size;
        copy_image(header.kind, &reader, &writer);
        if (cbor_reader_done(&reader)) {
            /* An image of an older format is shorter, and is written again as one of this. */
            bool is_older = data[image_at] < again[image_at];
            check(!writer.overflow && (is_older || writer.size <= size));
            if (data[image_at] == again[image_at] && data[image_at + 1] == again[image_at + 1]) {
                check(writer.size == size && memcmp(again, data, size) == 0);
            }
        }
    }
    cbor_reader_init(&reader, input);
    struct bytes item = cbor_skip(&reader);
    check(reader.failed ? item.size == 0 : item.size + reader.rest.size == size);
    return 0;
}
