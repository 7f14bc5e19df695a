/* Finding a process, reading a record, walking a history. */
#include "firmware/hub_internal.h"
#include "firmware/store_frame.h"

#include <string.h>

/* ---- lookups ---- */

uint32_t hub_process_find(const struct hub *hub, uint64_t number) {
    uint32_t hash = hash_number(number);
    uint32_t at = hash_index_start(&hub->by_number, hash);
    for (;;) {
        uint32_t process = hash_index_next(&hub->by_number, hash, &at);
        if (process == HASH_INDEX_NONE || hub->processes[process].number == number) {
            return process;
        }
    }
}

uint32_t hub_digest_hash(const uint8_t digest[RECORD_DIGEST_BYTES]) {
    return (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
           digest[3];
}

uint32_t hub_process_by_key(const struct hub *hub, const uint8_t digest[RECORD_DIGEST_BYTES]) {
    uint32_t hash = hub_digest_hash(digest);
    uint32_t at = hash_index_start(&hub->by_key, hash);
    for (;;) {
        uint32_t entry = hash_index_next(&hub->by_key, hash, &at);
        if (entry == HASH_INDEX_NONE) {
            return HUB_NONE;
        }
        if (entry < hub->board->processes &&
            memcmp(hub->processes[entry].key, digest, RECORD_DIGEST_BYTES) == 0) {
            return entry;
        }
    }
}

/* ---- reading ---- */

enum status hub_read(struct hub *hub, struct store_key key, struct record_header *header,
                     struct cbor_reader *image) {
    struct store_record record;
    enum status status = store_read(&hub->store, key, hub->read_buffer, hub->record_bytes, &record);
    if (status != STATUS_OK) {
        return status;
    }
    cbor_reader_init(image, record.body);
    record_get_header(image, header);
    return image->failed || header->kind != key.kind ? STATUS_CORRUPT : STATUS_OK;
}

enum status hub_request_read(struct hub *hub, uint32_t process, struct record_request *request) {
    struct record_header header;
    struct cbor_reader reader;
    enum status status =
        hub_read(hub, (struct store_key){RECORD_REQUEST, process}, &header, &reader);
    if (status != STATUS_OK) {
        return status;
    }
    record_get_request(&reader, request);
    return cbor_reader_done(&reader) ? STATUS_OK : STATUS_CORRUPT;
}

void hub_history_start(const struct hub *hub, uint32_t process, struct hub_history *history) {
    const struct hub_process *of = &hub->processes[process];
    *history = (struct hub_history){
        .where = store_slot(&hub->store, of->tail)->where,
        .process = of->number,
        .revision = of->revision,
    };
}

static enum status read_history(struct hub *hub, uint32_t where, uint64_t process,
                                uint64_t revision, struct store_record *record) {
    enum status status =
        store_read_at(&hub->store, where, hub->read_buffer, hub->record_bytes, record);
    if (status != STATUS_OK) {
        return STATUS_NOT_FOUND;
    }
    struct cbor_reader reader;
    struct record_header header;
    cbor_reader_init(&reader, record->body);
    record_get_header(&reader, &header);
    bool is_it = !reader.failed && header.path_count > 0 && header.path[0] == process &&
                 header.revision == revision && header.kind != RECORD_PHONE &&
                 header.kind != RECORD_KEY;
    return is_it ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status hub_history_next(struct hub *hub, struct hub_history *history, struct bytes *record,
                             uint32_t *where) {
    struct store_record found;
    if (history->where == 0 || history->revision == 0) {
        return STATUS_NOT_FOUND;
    }
    enum status status =
        read_history(hub, history->where, history->process, history->revision, &found);
    if (status != STATUS_OK) {
        history->where = 0;
        return status;
    }
    *where = history->where;
    *record = found.body;
    history->where = found.previous;
    history->revision -= 1;
    return STATUS_OK;
}

bool hub_history_is_open(uint32_t where) {
    return (where & STORE_OPEN) != 0;
}

enum status hub_history_read(struct hub *hub, uint32_t where, uint64_t process, uint64_t revision,
                             struct bytes *record) {
    struct store_record found;
    enum status status = read_history(hub, where, process, revision, &found);
    if (status == STATUS_OK) {
        *record = found.body;
    }
    return status;
}
