/* Any bytes as a frame at any place of a block, in both formats: what is found lies inside, and
 * what is sound is the only way to write it. */
#include "firmware/store_format1.h"
#include "firmware/store_frame.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
uint32_t crc32c(uint32_t crc, struct bytes input);

enum { OLDER = 0x01, SAME_CHECKSUM = 0x02, LEAD_BYTES = 7, BYTES_MAX = 4096 };

static uint8_t again[BYTES_MAX];
static bool is_same_checksum;

/* In place of protocol/crc32c.c: the real one, or one that believes everything. */
__attribute__((no_sanitize("address", "undefined", "coverage"))) uint32_t
crc32c(uint32_t crc, struct bytes input) {
    crc = ~crc;
    for (size_t i = 0; i < input.size && !is_same_checksum; i++) {
        crc ^= input.data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
        }
    }
    return is_same_checksum ? 0x5a5a5a5a : ~crc;
}

/* Records written again, one behind the other, as they were. */
static void walk_records(const struct store_view *view, const struct store_frame *frame) {
    struct store_walk walk;
    uint32_t at = frame->records;
    store_walk_init(&walk, view, frame);
    while (store_walk_next(&walk)) {
        const uint8_t *end = walk.body + walk.head.body_bytes;
        check(walk.body >= view->bytes + frame->records && end <= view->bytes + frame->end);
        check(walk.at > at && walk.at <= frame->end);
        if (walk.is_intact && view->older == NULL) {
            uint32_t head_bytes = walk.head.head_bytes;
            memcpy(again + head_bytes, walk.body, walk.head.body_bytes);
            store_put_record(again, &walk.head, view->salt, view->offset + walk.where);
            check(store_record_head_bytes(&walk.head) <= head_bytes);
            check(store_record_head_bytes(&walk.head) < head_bytes ||
                  memcmp(again, view->bytes + walk.where, head_bytes) == 0);
        }
        at = walk.at;
    }
    check(walk.is_broken || walk.at == frame->end);
}

static void look_at_frame(const struct store_view *view) {
    struct store_frame frame;
    if (!store_get_frame(view, &frame)) {
        return;
    }
    check(frame.type <= STORE_FRAME_COPY);
    check(frame.records <= frame.end && frame.end <= frame.bytes);
    if (frame.bytes > view->size) {
        return;
    }
    walk_records(view, &frame);
    if (store_is_frame_intact(view, &frame) && view->older == NULL) {
        store_put_frame(again, &frame, view->salt, view->offset);
        check(store_frame_head_bytes(&frame) == frame.records);
        check(memcmp(again, view->bytes, frame.records) == 0);
    }
}

static void look_at_header(const uint8_t *bytes, size_t size) {
    struct store_header header;
    if (size < STORE_HEADER_BYTES || store_get_header(bytes, &header) != STATUS_OK) {
        return;
    }
    check(header.sequence > 0 && header.previous_sequence < header.sequence);
    check(header.oldest_sequence <= header.sequence);
    check(header.acked_seq < header.next_seq && header.suspect_seq < header.next_seq);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < LEAD_BYTES || size > BYTES_MAX) {
        return 0;
    }
    const struct store_view view = {
        .bytes = data + LEAD_BYTES,
        .size = (uint32_t)(size - LEAD_BYTES),
        .offset = data[1] | (uint32_t)data[2] << 8,
        .salt =
            data[3] | (uint32_t)data[4] << 8 | (uint32_t)data[5] << 16 | (uint32_t)data[6] << 24,
        .older = (data[0] & OLDER) != 0 ? &store_format_1 : NULL,
    };
    is_same_checksum = (data[0] & SAME_CHECKSUM) != 0;
    look_at_frame(&view);
    look_at_header(data + LEAD_BYTES, size - LEAD_BYTES);
    return 0;
}
