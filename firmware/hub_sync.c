#include "firmware/hub_sync.h"

#include "firmware/hub_internal.h"

#include <string.h>

void hub_sync_init(struct hub_sync *sync, struct hub *hub, uint8_t *group_buffer,
                   size_t group_bytes) {
    *sync = (struct hub_sync){.hub = hub, .group_buffer = group_buffer, .group_bytes = group_bytes};
}

bool hub_sync_has_more(const struct hub_sync *sync) {
    const struct hub *hub = sync->hub;
    return !hub_fork_is_taking(hub) && (hub->store.acked_seq < hub->store.durable_seq ||
                                        hub_fork_has_page(hub) || sync->asks_epoch);
}

/* ---- pushes ---- */

static struct sync_push head_of(const struct hub_sync *sync, bool is_hello) {
    const struct hub *hub = sync->hub;
    struct sync_push push = {
        .epoch = hub->store.epoch,
        .now = record_time_of(hub->image.boot, hub->clock.mono_ms, hub->clock.wall_ms,
                              hub->clock.quality),
        .cursor = hub->store.acked_seq,
        .first_seq = sync->cursor.seq + 1,
        .capacity = hub_capacity(hub),
        .phones = hub->phone_count,
        .command = hub->told_command,
        .is_hello = is_hello,
        .wait_ms = sync->wait_ms,
        .reply_bytes_max = sync->reply_bytes_max,
        .upstream_epoch = hub->told_epoch,
        .idle = hub_idle_count(hub),
    };
    memcpy(push.store_id, hub->store.id, SYNC_STORE_ID_BYTES);
    memcpy(push.chain, hub->store.acked_chain, RECORD_CHAIN_BYTES);
    if (hub_gap(hub) != NULL) {
        push.gap = *hub_gap(hub);
    }
    return push;
}

/* What stands behind the groups: a page only when they are all that is durable, so that what was
 * appended for the page before has come to upstream. */
static struct bytes inventory_of(struct hub_sync *sync, const struct sync_writer *writer) {
    struct cbor_writer page;
    size_t left = writer->groups.capacity - writer->size;
    cbor_writer_init(&page, sync->page, left < sizeof sync->page ? left : sizeof sync->page);
    if (sync->asks_epoch) {
        sync_inventory_write(&page, &(struct sync_inventory){.asks = true});
    } else if (sync->cursor.seq >= sync->hub->store.durable_seq) {
        (void)hub_fork_page(sync->hub, &page);
    }
    return (struct bytes){sync->page, page.overflow ? 0 : page.size};
}

/* Adds one group. AGAIN: it did not fit, or there is none; the cursor stays before it. */
static enum status add_group(struct hub_sync *sync, struct sync_writer *writer) {
    struct store_group group;
    struct store_cursor at = sync->cursor;
    enum status status = store_next_group(&sync->hub->store, &at, sync->group_buffer,
                                          (uint32_t)sync->group_bytes, &group);
    if (status != STATUS_OK) {
        return status;
    }
    struct bytes body;
    sync_writer_group(writer, group.chain, group.record_count);
    while (store_group_next(&group.records, &body)) {
        sync_writer_record(writer, body);
    }
    if (!sync_writer_group_end(writer)) {
        return STATUS_AGAIN;
    }
    sync->push_records += group.record_count;
    memcpy(sync->push_chain, group.chain, RECORD_CHAIN_BYTES);
    sync->cursor = at;
    return STATUS_OK;
}

enum status hub_sync_push(struct hub_sync *sync, bool is_hello, uint8_t *buffer, size_t capacity,
                          struct bytes *message) {
    struct sync_writer writer;
    uint64_t log_seq = store_log_seq(&sync->hub->store);
    if (sync->cursor.seq != log_seq) {
        sync->cursor = (struct store_cursor){.seq = log_seq};
    }
    struct sync_push push = head_of(sync, is_hello);
    sync->push_records = 0;
    sync_writer_init(&writer, buffer, capacity);
    enum status status = sync->asks_epoch ? STATUS_AGAIN : STATUS_OK;
    while (status == STATUS_OK) {
        status = add_group(sync, &writer);
    }
    bool is_first = sync->cursor.seq == log_seq;
    if (status == STATUS_CORRUPT && is_first) {
        hub_gap_damage(sync->hub);
    }
    if (status != STATUS_AGAIN && is_first) {
        sync->cursor = (struct store_cursor){.seq = log_seq};
        return status;
    }
    sync->push_last_seq = sync->cursor.seq;
    sync->sent_ms = sync->hub->clock.mono_ms;
    push.inventory = inventory_of(sync, &writer);
    *message = sync_writer_end(&writer, &push);
    return STATUS_OK;
}

/* ---- replies ---- */

/* Whether our own log has this chain hash at the end of group `seq`. After a restart upstream may
 * have stored more than our newest block header knows: then the log is read up to there. */
static bool has_chain(struct hub_sync *sync, uint64_t seq, const uint8_t *chain) {
    struct store *store = &sync->hub->store;
    if (seq == sync->push_last_seq && seq > store->acked_seq) {
        return memcmp(chain, sync->push_chain, RECORD_CHAIN_BYTES) == 0;
    }
    if (seq == store->acked_seq) {
        return memcmp(chain, store->acked_chain, RECORD_CHAIN_BYTES) == 0;
    }
    struct store_cursor cursor = {.seq = store_log_seq(store)};
    struct store_group group = {0};
    if (seq == cursor.seq) {
        const struct record_gap *gap = hub_gap(sync->hub);
        return gap != NULL && memcmp(chain, gap->chain, RECORD_CHAIN_BYTES) == 0;
    }
    while (cursor.seq < seq) {
        if (store_next_group(store, &cursor, sync->group_buffer, (uint32_t)sync->group_bytes,
                             &group) != STATUS_OK) {
            return false;
        }
    }
    return cursor.seq == seq && memcmp(chain, group.chain, RECORD_CHAIN_BYTES) == 0;
}

/* The answer to a push that left before its groups were given up: the next one tells of the gap. */
static bool is_given_up(const struct hub_sync *sync, uint64_t seq) {
    const struct store *store = &sync->hub->store;
    return seq > store->acked_seq && seq < store_log_seq(store) && seq != sync->push_last_seq;
}

static bool accept(struct hub_sync *sync, const struct sync_reply *reply) {
    struct store *store = &sync->hub->store;
    bool is_behind = reply->cursor < store->acked_seq; /* upstream was restored */
    if (is_behind || reply->cursor > store->durable_seq) {
        return false;
    }
    if (is_given_up(sync, reply->cursor)) {
        return true;
    }
    if (!has_chain(sync, reply->cursor, reply->chain)) {
        return false;
    }
    if (reply->cursor > store->acked_seq) {
        store_acknowledge(store, reply->cursor, reply->chain);
        hub_answers_release(sync->hub);
    }
    return true;
}

void hub_sync_take(struct hub_sync *sync, const struct sync_reply *reply, uint64_t sent_ms) {
    check(sent_ms <= sync->hub->clock.mono_ms);
    hub_commands_take(sync->hub, reply, sent_ms);
    hub_grants_take(sync->hub, reply, sent_ms);
}

bool hub_sync_accept(struct hub_sync *sync, const struct sync_reply *reply) {
    sync->asks_epoch = !accept(sync, reply);
    if (!sync->asks_epoch) {
        hub_fork_judge(sync->hub, reply->verdicts);
    }
    return !sync->asks_epoch;
}

enum status hub_sync_fork(struct hub_sync *sync, const struct sync_reply *reply) {
    enum status status = hub_fork_take(sync->hub, reply->epoch);
    sync->asks_epoch = sync->asks_epoch && status != STATUS_OK;
    return status;
}
