#include "firmware/store_format1.h"

#include <string.h>

enum { FRAME = 8, TAIL = 12, RECORD = 16, LEAD = 8, ALIGN = 16, GROUP = 1, COPY = 2 };

static bool is_half_good(const struct store_view *view, uint32_t size) {
    return store_get_le(view->bytes + size, 2) == (store_crc(view, size) & 0xffff);
}

/* The end of a group: the chain hash, which the view reaches only when the frame is whole. */
static void get_tail(const struct store_view *view, struct store_frame *frame) {
    if (frame->bytes > view->size) {
        return;
    }
    struct store_view tail = *view;
    tail.bytes += frame->end;
    tail.offset += frame->end;
    memcpy(frame->chain, tail.bytes, STORE_CHAIN_BYTES);
    frame->is_sound =
        store_get_le(tail.bytes + STORE_CHAIN_BYTES, 4) == store_crc(&tail, STORE_CHAIN_BYTES);
}

/* At most one frame stood between two syncs. */
static bool get_frame(const struct store_view *view, struct store_frame *frame) {
    if (view->size < FRAME) {
        return false;
    }
    uint32_t size = (uint32_t)store_get_le(view->bytes, 3);
    uint8_t type = view->bytes[3];
    bool is_group = type == GROUP && size >= TAIL;
    if ((!is_group && type != COPY) || !is_half_good(view, 6)) {
        return false;
    }
    *frame = (struct store_frame){
        .bytes = FRAME + size,
        .records = FRAME,
        .end = FRAME + size - (is_group ? TAIL : 0),
        .seq = is_group ? store_get_le(view->bytes + 4, 2) : 0,
        .type = is_group ? STORE_FRAME_GROUP : STORE_FRAME_COPY,
        .is_first = true,
        .is_last = is_group,
        .is_sound = !is_group,
    };
    if (is_group) {
        get_tail(view, frame);
    }
    return true;
}

static bool get_record(const struct store_view *view, bool is_copy,
                       struct store_record_head *head) {
    uint32_t lead = is_copy ? LEAD : 0;
    if (view->size < lead + RECORD) {
        return false;
    }
    struct store_view record = *view;
    record.bytes += lead;
    record.offset += lead;
    uint32_t key = (uint32_t)store_get_le(record.bytes, 4);
    *head = (struct store_record_head){
        .key = {.kind = (uint8_t)(key >> 28), .index = key & 0x0fffffff},
        .previous = (uint32_t)store_get_le(record.bytes + 4, 4),
        .seq = is_copy ? store_get_le(view->bytes, 6) : 0,
        .lead_bytes = lead,
        .head_bytes = RECORD,
        .body_bytes = (uint32_t)store_get_le(record.bytes + 8, 2),
        .crc = store_crc(&record, 10),
        .sum = (uint32_t)store_get_le(record.bytes + 12, 4),
    };
    return store_get_le(record.bytes + 10, 2) == (head->crc & 0xffff) &&
           (!is_copy || is_half_good(view, 6));
}

const struct store_older store_format_1 = {
    .format = 1, .align_bytes = ALIGN, .get_frame = get_frame, .get_record = get_record};
