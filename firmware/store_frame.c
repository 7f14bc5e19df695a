#include "firmware/store_frame.h"

#include "protocol/crc32c.h"

#include <string.h>

static const uint8_t magic[4] = {'H', 'U', 'B', 'D'};

enum {
    HEAD_CRC_AT = 5,
    RECORD_HEAD = 11,   /* of a record: key and flags 3, size 2, half a CRC 2, CRC 4 */
    IS_FIRST = 1 << 19, /* beside size and type of a frame */
    IS_LAST = 1 << 20,
    IS_FOLLOWED = 1 << 21,
    HAS_PREVIOUS = 1 << 22, /* beside index and kind of a record's key */
    HAS_SEQ = 1 << 23,
};

void store_put_le(uint8_t *target, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) {
        target[i] = (uint8_t)(value >> (8 * i));
    }
}

uint64_t store_get_le(const uint8_t *source, size_t size) {
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--) {
        value = value << 8 | source[i - 1];
    }
    return value;
}

static uint32_t get_u32(const uint8_t *source) {
    return (uint32_t)store_get_le(source, 4);
}

/* ---- block headers ---- */

/* Of another block: one more than its number, or 0 for none, which is told as the block's own. */
static void put_number(uint8_t *at, const struct store_header *header, uint32_t number) {
    store_put_le(at, number == header->block ? 0 : number + 1, 3);
}

static uint32_t get_number(const uint8_t *at, const struct store_header *header) {
    uint32_t number = (uint32_t)store_get_le(at, 3);
    return number == 0 ? header->block : number - 1;
}

void store_put_header(uint8_t target[STORE_HEADER_BYTES], const struct store_header *header) {
    memset(target, 0, STORE_HEADER_BYTES);
    memcpy(target, magic, 4);
    store_put_le(target + 4, STORE_FORMAT, 2);
    store_put_le(target + 6, STORE_HEADER_BYTES, 2);
    memcpy(target + 8, header->id, STORE_ID_BYTES);
    store_put_le(target + 24, header->epoch, 4);
    store_put_le(target + 28, header->block_bytes, 4);
    store_put_le(target + 32, header->block_count, 4);
    store_put_le(target + 36, header->program_bytes, 4);
    store_put_le(target + 40, header->block, 4);
    store_put_le(target + 44, header->erase_count, 4);
    store_put_le(target + 48, header->sequence, 8);
    store_put_le(target + 56, header->oldest_sequence, 8);
    store_put_le(target + 64, header->previous_sequence, 4);
    put_number(target + 69, header, header->previous_block);
    store_put_le(target + 72, header->previous_end, 4);
    store_put_le(target + 76, header->nonce, 4);
    store_put_le(target + 80, header->next_seq, 8);
    memcpy(target + 88, header->chain, STORE_CHAIN_BYTES);
    store_put_le(target + 96, header->acked_seq, 8);
    memcpy(target + 104, header->acked_chain, STORE_CHAIN_BYTES);
    store_put_le(target + 112, header->suspect_seq, 8);
    target[120] = header->is_merge;
    put_number(target + 121, header, header->bad_block);
    uint32_t crc = crc32c(0, (struct bytes){target, STORE_SEALED_BYTES});
    store_put_le(target + STORE_SEALED_BYTES, crc, 4);
}

/* Sequences of blocks are kept in 4 bytes: more than any flash lives to use, and the last ones are
 * left out, so that those which follow do not begin again from 0. */
static bool is_plausible(const uint8_t *source, const struct store_header *header) {
    return (source[52] | source[60] | source[68]) == 0 && header->sequence > 0 &&
           header->sequence < 0xfff00000u && header->previous_sequence < header->sequence &&
           header->oldest_sequence <= header->sequence && header->next_seq > 0 &&
           header->next_seq <= STORE_SEQ_MAX && header->acked_seq < header->next_seq &&
           header->suspect_seq < header->next_seq;
}

enum status store_get_header(const uint8_t source[STORE_HEADER_BYTES],
                             struct store_header *header) {
    uint32_t crc = crc32c(0, (struct bytes){source, STORE_SEALED_BYTES});
    if (memcmp(source, magic, 4) != 0 || get_u32(source + STORE_SEALED_BYTES) != crc) {
        return STATUS_MALFORMED;
    }
    uint32_t format = (uint32_t)store_get_le(source + 4, 2);
    if (format == 0 || format > STORE_FORMAT) {
        return STATUS_FOREIGN;
    }
    struct store_header found = {
        .format = (uint8_t)format,
        .is_merge = source[120] != 0,
        .epoch = get_u32(source + 24),
        .block_bytes = get_u32(source + 28),
        .block_count = get_u32(source + 32),
        .program_bytes = get_u32(source + 36),
        .block = get_u32(source + 40),
        .erase_count = get_u32(source + 44),
        .sequence = get_u32(source + 48),
        .oldest_sequence = get_u32(source + 56),
        .previous_sequence = get_u32(source + 64),
        .previous_end = get_u32(source + 72),
        .nonce = get_u32(source + 76),
        .next_seq = store_get_le(source + 80, 8),
        .acked_seq = store_get_le(source + 96, 8),
        .suspect_seq = store_get_le(source + 112, 8),
    };
    found.previous_block = get_number(source + 69, &found);
    found.bad_block = get_number(source + 121, &found);
    memcpy(found.id, source + 8, STORE_ID_BYTES);
    memcpy(found.chain, source + 88, STORE_CHAIN_BYTES);
    memcpy(found.acked_chain, source + 104, STORE_CHAIN_BYTES);
    if (!is_plausible(source, &found)) {
        return STATUS_MALFORMED;
    }
    *header = found;
    return STATUS_OK;
}

uint32_t store_header_salt(const struct store_header *header) {
    uint8_t use[12];
    store_put_le(use, header->sequence, 8);
    store_put_le(use + 8, header->nonce, 4);
    uint32_t crc = crc32c(0, (struct bytes){header->id, STORE_ID_BYTES});
    return crc32c(crc, (struct bytes){use, sizeof use});
}

/* ---- views ---- */

uint32_t store_crc(const struct store_view *view, uint32_t size) {
    uint8_t place[4];
    store_put_le(place, view->offset, 4);
    uint32_t crc = crc32c(view->salt, (struct bytes){place, sizeof place});
    return crc32c(crc, (struct bytes){view->bytes, size});
}

static struct store_view view_behind(const struct store_view *view, uint32_t at) {
    struct store_view behind = *view;
    behind.bytes += at;
    behind.size -= at;
    behind.offset += at;
    return behind;
}

static void put_half_crc(uint8_t *at, uint32_t size, uint32_t salt, uint32_t offset) {
    struct store_view view = {.bytes = at, .offset = offset, .salt = salt};
    store_put_le(at + size, store_crc(&view, size), 2);
}

static bool is_half_crc_good(const struct store_view *view, uint32_t size) {
    return store_get_le(view->bytes + size, 2) == (store_crc(view, size) & 0xffff);
}

/* ---- frames ---- */

static bool has_chain(const struct store_frame *frame) {
    return frame->is_last && frame->type != STORE_FRAME_COPY;
}

uint32_t store_frame_head_bytes(const struct store_frame *frame) {
    uint32_t more = (frame->type == STORE_FRAME_MOVED ? 4 : 0) +
                    (has_chain(frame) ? (uint32_t)STORE_CHAIN_BYTES : 0);
    return STORE_SHORT_BYTES + more + (more > 0 ? 2 : 0);
}

void store_put_frame(uint8_t *target, const struct store_frame *frame, uint32_t salt,
                     uint32_t offset) {
    uint32_t flags = (frame->is_first ? IS_FIRST : 0u) | (frame->is_last ? IS_LAST : 0u) |
                     (frame->is_followed ? IS_FOLLOWED : 0u);
    store_put_le(target, (frame->end - frame->records) | flags | (uint32_t)frame->type << 22, 3);
    store_put_le(target + 3, frame->seq, 2);
    put_half_crc(target, HEAD_CRC_AT, salt, offset);
    uint32_t at = STORE_SHORT_BYTES;
    if (frame->type == STORE_FRAME_MOVED) {
        store_put_le(target + at, frame->seq >> 16, 4);
        at += 4;
    }
    if (has_chain(frame)) {
        memcpy(target + at, frame->chain, STORE_CHAIN_BYTES);
        at += STORE_CHAIN_BYTES;
    }
    if (at > STORE_SHORT_BYTES) {
        put_half_crc(target + STORE_SHORT_BYTES, at - STORE_SHORT_BYTES, salt,
                     offset + STORE_SHORT_BYTES);
    }
}

/* What stands behind the short head, if the view reaches so far. */
static void get_rest_of_head(const struct store_view *view, struct store_frame *frame) {
    if (frame->records == STORE_SHORT_BYTES) {
        frame->is_sound = true;
    }
    if (frame->records == STORE_SHORT_BYTES || frame->records > view->size) {
        return;
    }
    struct store_view rest = view_behind(view, STORE_SHORT_BYTES);
    frame->is_sound = is_half_crc_good(&rest, frame->records - STORE_SHORT_BYTES - 2);
    if (frame->type == STORE_FRAME_MOVED) {
        frame->seq |= store_get_le(rest.bytes, 4) << 16;
    }
    if (has_chain(frame)) {
        memcpy(frame->chain, view->bytes + frame->records - 2 - STORE_CHAIN_BYTES,
               STORE_CHAIN_BYTES);
    }
}

bool store_get_frame(const struct store_view *view, struct store_frame *frame) {
    if (view->older != NULL) {
        return view->older->get_frame(view, frame);
    }
    if (view->size < STORE_SHORT_BYTES) {
        return false;
    }
    uint32_t word = (uint32_t)store_get_le(view->bytes, 3);
    uint32_t size = word & (IS_FIRST - 1);
    *frame = (struct store_frame){
        .type = (uint8_t)(word >> 22),
        .is_first = (word & IS_FIRST) != 0,
        .is_last = (word & IS_LAST) != 0,
        .is_followed = (word & IS_FOLLOWED) != 0,
        .seq = store_get_le(view->bytes + 3, 2),
    };
    if (frame->type > STORE_FRAME_COPY || (size == 0 && frame->type != STORE_FRAME_COPY) ||
        !is_half_crc_good(view, HEAD_CRC_AT)) {
        return false;
    }
    frame->records = store_frame_head_bytes(frame);
    frame->end = frame->records + size;
    frame->bytes = frame->end;
    get_rest_of_head(view, frame);
    return true;
}

/* ---- records ---- */

uint32_t store_record_head_bytes(const struct store_record_head *head) {
    return RECORD_HEAD + (head->previous != 0 ? 4u : 0u) + (head->seq != 0 ? 6u : 0u);
}

uint32_t store_record_cost(const struct store_record_head *head) {
    return RECORD_HEAD + (head->previous != 0 ? 4u : 0u) + 6 + head->body_bytes;
}

void store_put_record(uint8_t *record, const struct store_record_head *head, uint32_t salt,
                      uint32_t offset) {
    uint32_t at = 5;
    uint32_t key = head->key.index | (uint32_t)head->key.kind << 19;
    store_put_le(record + 3, head->body_bytes, 2);
    if (head->previous != 0) {
        key |= HAS_PREVIOUS;
        store_put_le(record + at, head->previous, 4);
        at += 4;
    }
    if (head->seq != 0) {
        key |= HAS_SEQ;
        store_put_le(record + at, head->seq, 6);
        at += 6;
    }
    store_put_le(record, key, 3);
    struct store_view view = {.bytes = record, .offset = offset, .salt = salt};
    uint32_t crc = store_crc(&view, at);
    store_put_le(record + at, crc, 2);
    store_put_le(record + at + 2, crc32c(crc, (struct bytes){record + at + 6, head->body_bytes}),
                 4);
}

bool store_get_record(const struct store_view *view, bool is_copy, struct store_record_head *head) {
    if (view->older != NULL) {
        return view->older->get_record(view, is_copy, head);
    }
    if (view->size < RECORD_HEAD) {
        return false;
    }
    uint32_t key = (uint32_t)store_get_le(view->bytes, 3);
    uint32_t at = 5;
    *head = (struct store_record_head){
        .key = {.kind = key >> 19 & 7, .index = key & STORE_INDEX_MAX},
        .body_bytes = (uint32_t)store_get_le(view->bytes + 3, 2),
    };
    head->head_bytes =
        RECORD_HEAD + ((key & HAS_PREVIOUS) != 0 ? 4u : 0u) + ((key & HAS_SEQ) != 0 ? 6u : 0u);
    if (view->size < head->head_bytes) {
        return false;
    }
    if ((key & HAS_PREVIOUS) != 0) {
        head->previous = get_u32(view->bytes + at);
        at += 4;
    }
    if ((key & HAS_SEQ) != 0) {
        head->seq = store_get_le(view->bytes + at, 6);
        at += 6;
    }
    head->crc = store_crc(view, at);
    head->sum = get_u32(view->bytes + at + 2);
    return store_get_le(view->bytes + at, 2) == (head->crc & 0xffff);
}

bool store_is_body_intact(const struct store_record_head *head, const uint8_t *body) {
    return crc32c(head->crc, (struct bytes){body, head->body_bytes}) == head->sum;
}

/* ---- walking ---- */

void store_walk_init(struct store_walk *walk, const struct store_view *view,
                     const struct store_frame *frame) {
    *walk = (struct store_walk){.view = *view, .frame = frame, .at = frame->records};
}

bool store_walk_next(struct store_walk *walk) {
    bool is_copy = walk->frame->type == STORE_FRAME_COPY;
    if (walk->at == walk->frame->end || walk->is_broken) {
        return false;
    }
    struct store_view view = view_behind(&walk->view, walk->at);
    struct store_record_head *head = &walk->head;
    view.size = walk->frame->end - walk->at;
    walk->is_broken = !store_get_record(&view, is_copy, head) || (head->seq != 0) != is_copy ||
                      head->lead_bytes + head->head_bytes + head->body_bytes > view.size;
    if (walk->is_broken) {
        return false;
    }
    walk->where = walk->at + head->lead_bytes;
    walk->body = view.bytes + head->lead_bytes + head->head_bytes;
    walk->is_intact = store_is_body_intact(head, walk->body);
    walk->at = walk->where + head->head_bytes + head->body_bytes;
    return true;
}

bool store_is_frame_intact(const struct store_view *view, const struct store_frame *frame) {
    struct store_walk walk;
    store_walk_init(&walk, view, frame);
    while (store_walk_next(&walk)) {
        if (!walk.is_intact) {
            return false;
        }
    }
    return !walk.is_broken && frame->is_sound;
}
