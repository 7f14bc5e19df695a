/* The inventory of a hub after a fork: what upstream makes of each row. */
#include "host/upstreamd/fleet/fleet_fork.h"

#include "host/shared/log.h"

#include <string.h>

static uint8_t image_buffer[DB_RECORD_MAX];

/* ---- how a process ended ---- */

static enum status read_end(struct fleet *fleet, int64_t store, struct sync_verdict *verdict) {
    struct db_image image = {.buffer = image_buffer};
    const uint64_t path[3] = {verdict->process};
    struct cbor_reader reader;
    struct record_header header;
    struct record_process process;
    enum status status = db_object_get(fleet->db, store, RECORD_PROCESS, path, &image);
    if (status != STATUS_OK) {
        return status;
    }
    cbor_reader_init(&reader, image.bytes);
    record_get_header(&reader, &header);
    record_get_process(&reader, &process);
    verdict->generation = process.generation;
    verdict->item_count = process.item_count;
    verdict->flags = (uint8_t)process.flags;
    return cbor_reader_done(&reader) ? STATUS_OK : STATUS_NOT_FOUND;
}

/* Of each target the state of the item that counts. */
static enum status read_states(struct fleet *fleet, int64_t store, struct sync_verdict *verdict) {
    static uint8_t states[SYNC_STATES_MAX]; /* until the verdict is written */
    struct db_image image = {.buffer = image_buffer};
    uint64_t path[3] = {verdict->process};
    uint32_t count = 0;
    enum status status;
    memset(states, 0, sizeof states);
    while ((status = db_object_next(fleet->db, store, RECORD_ITEM, path, &image)) == STATUS_OK) {
        struct cbor_reader reader;
        struct record_header header;
        struct record_item item;
        memcpy(path, image.path, sizeof path);
        cbor_reader_init(&reader, image.bytes);
        record_get_header(&reader, &header);
        record_get_item(&reader, &item);
        if (cbor_reader_done(&reader) && !item.superseded && item.target_index < SYNC_STATES_MAX) {
            states[item.target_index] = item.state;
            count = item.target_index + 1 > count ? item.target_index + 1 : count;
        }
    }
    verdict->states = (struct bytes){states, count};
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- two processes of one number ---- */

enum sameness { UNKNOWN, SAME, OTHER };

/* Whether upstream's process `number` began with the request of the hub's row: a hub whose flash
 * was restored may have taken other work under a number before it reached upstream. */
static enum status compare_request(struct fleet *fleet, int64_t store, uint64_t number,
                                   const struct sync_inventory_row *row, enum sameness *sameness) {
    static const uint8_t not_told[SYNC_DIGEST_BYTES];
    struct db_image image = {.buffer = image_buffer};
    const uint64_t path[3] = {number};
    enum status status = STATUS_NOT_FOUND;
    *sameness = UNKNOWN;
    if (memcmp(row->request, not_told, sizeof not_told) != 0) {
        status = db_object_get(fleet->db, store, RECORD_REQUEST, path, &image);
    }
    if (status == STATUS_OK) {
        uint8_t digest[SYNC_DIGEST_BYTES];
        sync_inventory_digest(image.bytes, digest);
        *sameness = memcmp(digest, row->request, sizeof digest) == 0 ? SAME : OTHER;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* Where a process goes on that has lost its number in the life `epoch`: hubs count up from 1. */
static uint64_t number_aside(uint32_t epoch, uint64_t number) {
    const uint64_t own = UINT64_C(1) << (RECORD_NUMBER_BITS - 1);
    return (uint64_t)epoch << RECORD_NUMBER_BITS | own | (number & (own - 1));
}

/* Upstream's process makes room for the hub's, which may itself have been set aside before. */
static enum status exchange(struct fleet *fleet, const struct db_store *store,
                            const struct sync_inventory_row *row) {
    uint64_t aside = number_aside(store->epoch, row->process);
    enum status status = db_fork_renumber(fleet->db, store, row->process, aside);
    log_warn("process_set_aside hub=%s number=%llu as=%llu", store->hub_id,
             (unsigned long long)row->process, (unsigned long long)aside);
    for (uint32_t epoch = store->base_epoch + 1; epoch < store->epoch && status == STATUS_OK;
         epoch++) {
        enum sameness sameness = UNKNOWN;
        aside = number_aside(epoch, row->process);
        status = compare_request(fleet, store->id, aside, row, &sameness);
        if (status == STATUS_OK && sameness == SAME) {
            return db_fork_renumber(fleet->db, store, aside, row->process);
        }
    }
    return status;
}

/* ---- a row ---- */

/* Whether upstream has the very record that is the hub's newest of this process. */
static enum status compare(struct fleet *fleet, int64_t store, const struct sync_inventory_row *row,
                           bool *is_same) {
    struct db_image image = {.buffer = image_buffer};
    enum status status = db_event_next(fleet->db, store, row->process, row->revision - 1, &image);
    *is_same = false;
    if (status == STATUS_OK && image.path[1] == row->revision) {
        uint8_t digest[SYNC_DIGEST_BYTES];
        sync_inventory_digest(image.bytes, digest);
        *is_same = memcmp(digest, row->digest, sizeof digest) == 0;
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status judge_known(struct fleet *fleet, int64_t store,
                               const struct sync_inventory_row *row,
                               const struct db_fork_row *known, struct sync_verdict *verdict) {
    bool is_same = false;
    enum status status = STATUS_OK;
    if (row->revision == known->revision && row->revision > 0 && !known->is_in_doubt) {
        status = compare(fleet, store, row, &is_same);
    }
    if (status != STATUS_OK || is_same) {
        return status;
    }
    verdict->kind = SYNC_VERDICT_MISSING;
    verdict->revision = known->revision;
    if (!known->is_sealed) {
        return STATUS_OK; /* it has not ended, or in the new life: the hub knows better */
    }
    status = read_end(fleet, store, verdict);
    if (status == STATUS_OK && verdict->generation >= row->generation) {
        verdict->kind = SYNC_VERDICT_ENDED;
        fleet->counters.conflicts +=
            verdict->generation != row->generation || known->status != row->status;
        return read_states(fleet, store, verdict);
    }
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* The inventory has told which process it is. */
static enum status find_row(struct fleet *fleet, struct apply *apply, uint64_t number,
                            const struct db_fork_row *known) {
    enum status status = STATUS_OK;
    if (known->is_lost || known->is_waiting) {
        status = db_fork_found(fleet->db, apply->store->id, number, known);
    }
    return status == STATUS_OK && known->is_waiting ? apply_waiting(apply, number) : status;
}

static enum status judge_row(struct fleet *fleet, struct apply *apply,
                             const struct sync_inventory_row *row, struct sync_verdict *verdict) {
    int64_t store = apply->store->id;
    struct db_fork_row known;
    enum sameness sameness = UNKNOWN;
    *verdict = (struct sync_verdict){.process = row->process, .kind = SYNC_VERDICT_OK};
    enum status status = db_fork_row(fleet->db, store, row->process, &known);
    status =
        status == STATUS_OK ? compare_request(fleet, store, row->process, row, &sameness) : status;
    if (status == STATUS_OK && sameness == OTHER) {
        verdict->revision = known.revision; /* readers have seen it under this number */
        status = exchange(fleet, apply->store, row);
        status = status == STATUS_OK ? db_fork_row(fleet->db, store, row->process, &known) : status;
    }
    if (status == STATUS_NOT_FOUND) {
        verdict->kind = SYNC_VERDICT_MISSING;
        return sameness == OTHER ? apply_waiting(apply, row->process) : STATUS_OK;
    }
    status = status == STATUS_OK ? find_row(fleet, apply, row->process, &known) : status;
    return status == STATUS_OK ? judge_known(fleet, store, row, &known, verdict) : status;
}

/* ---- a page ---- */

/* The last process that the page speaks of. */
static uint64_t last_of(const struct sync_inventory *page) {
    struct bytes rows = page->rows;
    struct sync_inventory_row row = {.process = page->from};
    while (sync_inventory_next(&rows, &row)) {
    }
    return page->has_more ? row.process : SYNC_SEQ_MAX;
}

static enum status judge_rows(struct fleet *fleet, struct apply *apply, struct sync_inventory *page,
                              struct cbor_writer *writer, uint32_t *count) {
    struct sync_inventory_row row;
    struct sync_verdict verdict;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && sync_inventory_next(&page->rows, &row)) {
        size_t size = writer->size;
        status = judge_row(fleet, apply, &row, &verdict);
        sync_verdict_write(writer, &verdict);
        if (writer->overflow) { /* the hub goes on behind those that had room */
            writer->size = size;
            break;
        }
        *count += 1;
    }
    writer->overflow = false;
    return status;
}

enum status fleet_judge_page(struct fleet *fleet, const struct fleet_visit *visit) {
    const struct sync_push *push = visit->push;
    struct db_store *store = visit->store;
    struct apply apply;
    struct sync_inventory page;
    uint8_t list[FLEET_VERDICT_BYTES - SYNC_PAGE_BYTES];
    struct cbor_writer writer;
    if (push->inventory.size == 0 || fleet->page_count == FLEET_PAGES ||
        sync_inventory_read(push->inventory, &page) != STATUS_OK || page.asks) {
        return STATUS_OK;
    }
    struct sync_verdicts verdicts = {.from = page.from};
    enum status status = db_fork_lose(fleet->db, store->id, page.from, last_of(&page));
    cbor_writer_init(&writer, list, sizeof list);
    if (status == STATUS_OK && !store->is_listing) { /* until the hub says that it was all */
        store->is_listing = true;
        status = db_store_put(fleet->db, store);
    }
    status = status == STATUS_OK ? fleet_learn_clock(fleet, store, &push->now) : status;
    fleet_begin_apply(fleet, store, visit->hub, &apply);
    if (status == STATUS_OK) {
        status = judge_rows(fleet, &apply, &page, &writer, &verdicts.count);
    }
    fleet->has_changed = fleet->has_changed || apply.parts.has_changed;
    verdicts.list = (struct bytes){list, writer.size};
    cbor_writer_init(&writer, fleet->pages[fleet->page_count], FLEET_VERDICT_BYTES);
    sync_verdicts_write(&writer, &verdicts);
    check(!writer.overflow);
    visit->reply->verdicts = (struct bytes){fleet->pages[fleet->page_count], writer.size};
    fleet->page_count += 1;
    return status;
}
