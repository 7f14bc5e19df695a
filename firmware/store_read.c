/* Reading one record. */
#include "firmware/store_frame.h"

#include <string.h>

static enum status read_open(const struct store *store, uint32_t at, uint8_t *buffer,
                             uint32_t capacity, struct store_record *record) {
    if (at > store->open_bytes || store->open_bytes - at < STORE_OPEN_BYTES) {
        return STATUS_CORRUPT;
    }
    struct store_open_head open = store_get_open(store, at);
    if (open.bytes > capacity) {
        return STATUS_TOO_LARGE;
    }
    memcpy(buffer, store->memory.group_buffer + at + STORE_OPEN_BYTES, open.bytes);
    *record = (struct store_record){
        .key = open.key, .previous = open.previous, .body = {buffer, open.bytes}};
    return STATUS_OK;
}

static enum status read_head(const struct store *store, uint32_t where, uint32_t rest,
                             struct store_record_head *head) {
    uint8_t bytes[STORE_HEAD_BYTES];
    uint32_t block_bytes = store->flash->block_bytes;
    struct store_view view = store_view(store, where / block_bytes, where % block_bytes);
    view.bytes = bytes;
    view.size = rest < sizeof bytes ? rest : (uint32_t)sizeof bytes;
    enum status status = hal_flash_read(store->flash, where, bytes, view.size);
    if (status != STATUS_OK) {
        return status;
    }
    return store_get_record(&view, false, head) && head->head_bytes + head->body_bytes <= rest
               ? STATUS_OK
               : STATUS_CORRUPT;
}

enum status store_read_at(struct store *store, uint32_t where, uint8_t *buffer, uint32_t capacity,
                          struct store_record *record) {
    if ((where & STORE_OPEN) != 0) {
        return read_open(store, where & ~STORE_OPEN, buffer, capacity, record);
    }
    struct store_record_head head;
    uint32_t b = where / store->flash->block_bytes;
    uint32_t offset = where % store->flash->block_bytes;
    if (b >= store->flash->block_count || store->memory.blocks[b].state == STORE_BLOCK_FREE ||
        offset >= store->memory.blocks[b].used_bytes) {
        return STATUS_CORRUPT;
    }
    enum status status =
        read_head(store, where, store->memory.blocks[b].used_bytes - offset, &head);
    if (status == STATUS_OK && head.body_bytes > capacity) {
        status = STATUS_TOO_LARGE;
    }
    if (status == STATUS_OK) {
        status = hal_flash_read(store->flash, where + head.head_bytes, buffer, head.body_bytes);
    }
    if (status != STATUS_OK) {
        return status;
    }
    if (!store_is_body_intact(&head, buffer)) {
        return STATUS_CORRUPT;
    }
    *record = (struct store_record){
        .key = head.key, .previous = head.previous, .body = {buffer, head.body_bytes}};
    return STATUS_OK;
}

/* What the mount has read as whole at the log's end, and what reads as damaged before it was
 * written again, has cells between two states: the next mount decides again. */
static enum status judge_damage(struct store *store, uint32_t where) {
    const struct store_block *blocks = store->memory.blocks;
    uint32_t b = where / store->flash->block_bytes;
    uint32_t tail = store->tail_block;
    if (tail == store->flash->block_count || (where & STORE_OPEN) != 0) {
        return STATUS_CORRUPT;
    }
    bool is_in_tail = b == tail ? where % store->flash->block_bytes >= store->tail_offset
                                : blocks[b].sequence > blocks[tail].sequence &&
                                      blocks[b].sequence < store->mount_sequence;
    store->has_failed = store->has_failed || is_in_tail;
    return is_in_tail ? STATUS_IO : STATUS_CORRUPT;
}

enum status store_read(struct store *store, struct store_key key, uint8_t *buffer,
                       uint32_t capacity, struct store_record *record) {
    const struct store_slot *slot = store_slot(store, key);
    if (slot->seq <= store->suspect_seq && store->suspect_seq > 0) {
        return STATUS_CORRUPT;
    }
    if (slot->where == 0) {
        return STATUS_NOT_FOUND;
    }
    struct store_record found;
    enum status status = store_read_at(store, slot->where, buffer, capacity, &found);
    if (status != STATUS_OK) {
        return status == STATUS_CORRUPT ? judge_damage(store, slot->where) : status;
    }
    if (found.key.kind != key.kind || found.key.index != key.index || found.body.size == 0) {
        return STATUS_CORRUPT;
    }
    *record = found;
    return STATUS_OK;
}
