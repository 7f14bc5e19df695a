/* The start of a hub: every table is rebuilt from the newest record of each object, then the
 * start itself becomes a record. */
#include "firmware/hub_internal.h"

#include <string.h>

enum { SYNCHRONISED = 2 }; /* quality of a wall clock */

static void copy_text(char *target, size_t capacity, struct bytes text) {
    check(text.size < capacity);
    memset(target, 0, capacity);
    if (text.size > 0) {
        memcpy(target, text.data, text.size);
    }
}

/* One object's newest record. False: there is none, or it cannot be read (counted). */
static bool fetch(struct hub *hub, struct store_key key, struct record_header *header,
                  struct cbor_reader *image) {
    if (store_slot(&hub->store, key)->seq == 0) {
        return false;
    }
    bool is_good = hub_read(hub, key, header, image) == STATUS_OK;
    hub->counters.suspect_objects += !is_good;
    if (is_good && header->time.quality == SYNCHRONISED && header->time.wall_ms > hub->durable_ms) {
        hub->durable_ms = header->time.wall_ms;
    }
    return is_good;
}

static bool is_whole(struct hub *hub, const struct cbor_reader *image) {
    bool is_good = cbor_reader_done(image);
    hub->counters.suspect_objects += !is_good;
    return is_good;
}

/* The newest of a process's records is its chain's end, and its revision the process's. */
static void take_revision(struct hub *hub, uint32_t process, struct store_key key,
                          const struct record_header *header) {
    struct hub_process *of = &hub->processes[process];
    if (header->revision >= of->revision) {
        of->revision = header->revision;
        of->tail = key;
        of->updated = header->time;
        of->status = header->status;
    }
}

/* ---- one loader for each kind ---- */

static enum status load_self(struct hub *hub, struct bytes hub_id) {
    struct record_header header;
    struct cbor_reader reader;
    if (!fetch(hub, (struct store_key){RECORD_HUB, 0}, &header, &reader)) {
        return store_slot(&hub->store, (struct store_key){RECORD_HUB, 0})->seq == 0
                   ? STATUS_OK
                   : STATUS_CORRUPT;
    }
    record_get_hub(&reader, &hub->image);
    if (!is_whole(hub, &reader)) {
        return STATUS_CORRUPT;
    }
    hub->revision = header.revision;
    hub->gap = hub->image.gap;
    hub->told_command = hub->image.command;
    hub->told_epoch = hub->image.upstream_epoch;
    if (hub->gap.last > hub->store.durable_seq) {
        return STATUS_CORRUPT;
    }
    store_give_up(&hub->store, hub->gap.last);
    hub_fork_load(hub);
    bool is_ours = hub->image.hub_id.size == hub_id.size &&
                   memcmp(hub->image.hub_id.data, hub_id.data, hub_id.size) == 0;
    if (hub->image.boot_id.size == RECORD_DIGEST_BYTES) {
        memcpy(hub->boot_id, hub->image.boot_id.data, RECORD_DIGEST_BYTES);
    }
    return is_ours ? STATUS_OK : STATUS_FOREIGN;
}

static void load_phone(struct hub *hub, uint32_t index) {
    struct record_header header;
    struct cbor_reader reader;
    struct record_phone image;
    struct hub_phone *of = &hub->phones[index];
    *of = (struct hub_phone){.item = HUB_NONE, .first_lane = HUB_NONE};
    if (!fetch(hub, (struct store_key){RECORD_PHONE, index}, &header, &reader)) {
        return;
    }
    record_get_phone(&reader, &image);
    if (!is_whole(hub, &reader)) {
        return;
    }
    /* Who is attached is found out anew; only an operator's quarantine outlives the program. */
    bool is_quarantined = image.state == RECORD_PHONE_QUARANTINED;
    of->state = is_quarantined ? RECORD_PHONE_QUARANTINED : RECORD_PHONE_ABSENT;
    of->number = header.path[0];
    of->revision = header.revision;
    of->connected = header.time;
    copy_text(of->id, sizeof of->id, image.id);
    copy_text(of->slot, sizeof of->slot, image.slot);
    copy_text(of->model, sizeof of->model, image.model);
    if (hub_labels_copy(of->labels, image.labels) != STATUS_OK) {
        hub->counters.suspect_objects += 1;
    }
    if (is_quarantined && image.reason.size <= HUB_REASON_MAX) {
        copy_text(of->reason, sizeof of->reason, image.reason);
    }
    hub->phone_count = index + 1;
    if (of->number > hub->image.phone_number) {
        hub->image.phone_number = of->number;
    }
}

static void load_process(struct hub *hub, uint32_t index) {
    const struct store_key key = {RECORD_PROCESS, index};
    struct record_header header;
    struct cbor_reader reader;
    struct record_process image;
    if (!fetch(hub, key, &header, &reader)) {
        return;
    }
    record_get_process(&reader, &image);
    if (!is_whole(hub, &reader)) {
        return;
    }
    if (header.path[0] > hub->image.process_number) {
        hub->image.process_number = header.path[0];
    }
    if (header.event == RECORD_EVICTED_EVENT || header.event == RECORD_WITHDRAWN_EVENT) {
        store_release(&hub->store, (struct store_key){RECORD_REQUEST, index});
        return;
    }
    pool_claim(&hub->process_pool, index);
    hub->processes[index] = (struct hub_process){
        .image = image,
        .number = header.path[0],
        .first_item = HUB_NONE,
        .last_item = HUB_NONE,
        .capability = HUB_NONE,
        .older = HUB_NONE,
        .newer = HUB_NONE,
        .label_set = HUB_NONE,
        .key_gate = HUB_NONE,
    };
    if (image.finished.boot != 0) {
        hub->processes[index].end_seq = store_slot(&hub->store, key)->seq;
    }
    take_revision(hub, index, key, &header);
    hash_index_add(&hub->by_number, hash_number(header.path[0]), index);
}

static void load_request(struct hub *hub, uint32_t index) {
    const struct store_key key = {RECORD_REQUEST, index};
    struct record_header header;
    struct cbor_reader reader;
    struct record_request image;
    if (!pool_is_used(&hub->process_pool, index) || !fetch(hub, key, &header, &reader)) {
        return;
    }
    record_get_request(&reader, &image);
    struct hub_process *of = &hub->processes[index];
    if (!is_whole(hub, &reader) || header.path[0] != of->number) {
        return;
    }
    of->capability = hub_capability_find(hub, image.process_type);
    of->priority = image.priority;
    of->deadline_ms = of->image.is_deadline_over ? 0 : image.deadline_ms;
    of->has_accounts = image.accounts.size > 0;
    of->origin = image.origin;
    hub_part_index(hub, index);
    if (of->end_seq == 0) {
        of->key_gate = hub_key_gate_take(hub, index, &image);
        hub->counters.suspect_objects +=
            hub_labels_take(hub, image.labels, &of->label_set) != STATUS_OK;
    }
    of->not_before_ms = image.not_before_ms;
    of->has_key = image.key.size > 0;
    if (of->has_key) {
        memcpy(of->key, image.key.data, RECORD_DIGEST_BYTES);
    }
    if (image.body_digest.size > 0) {
        memcpy(of->body_digest, image.body_digest.data, RECORD_DIGEST_BYTES);
    }
    take_revision(hub, index, key, &header);
}

/* A leased phone stays taken until its item's lease has been ended; an external worker's lease
 * lives on through a restart of the program. */
static void load_lease(struct hub *hub, uint32_t item) {
    const struct record_item *image = &hub->items[item].image;
    uint32_t phone = hub_phone_by_number(hub, image->phone);
    if (phone == HUB_NONE) {
        return;
    }
    struct hub_phone *on = &hub->phones[phone];
    on->item = item;
    on->is_started = true;
    on->stop_told = true;
    on->lease = (struct hub_lease){
        .expiry_ms = TIMER_NEVER, .limit_ms = TIMER_NEVER, .budget_ms = TIMER_NEVER};
    if (image->worker.size > 0) {
        copy_text(on->lease.worker, sizeof on->lease.worker, image->worker);
    }
    if (image->claim.size > 0) {
        memcpy(on->lease.claim, image->claim.data, RECORD_DIGEST_BYTES);
    }
}

/* The process of an item that stands at `index`: mostly at the same index, or where the item before
 * it had its own, so that the index of numbers need not be asked. */
static uint32_t find_process(const struct hub *hub, uint64_t number, uint32_t index) {
    const uint32_t guesses[] = {index, index == 0 ? 0 : hub->items[index - 1].process};
    for (size_t i = 0; i < array_count(guesses); i++) {
        if (pool_is_used(&hub->process_pool, guesses[i]) &&
            hub->processes[guesses[i]].number == number) {
            return guesses[i];
        }
    }
    return hub_process_find(hub, number);
}

/* An item whose process is gone is what an eviction left. */
static void load_item(struct hub *hub, uint32_t index) {
    const struct store_key key = {RECORD_ITEM, index};
    struct record_header header;
    struct cbor_reader reader;
    struct record_item image;
    if (!fetch(hub, key, &header, &reader)) {
        return;
    }
    record_get_item(&reader, &image);
    uint32_t process = find_process(hub, header.path[0], index);
    if (!is_whole(hub, &reader) || process == HUB_NONE) {
        store_release(&hub->store, key);
        return;
    }
    pool_claim(&hub->item_pool, index);
    hub->items[index] = (struct hub_item){
        .image = image,
        .process = process,
        .number = (uint32_t)header.path[1],
        .next_of_process = HUB_NONE,
        .strand = HUB_NONE,
        .first_attempt = HUB_NONE,
        .attempt_started = header.time,
        .entered_ms = hub->clock.mono_ms,
        .needs_recovery = image.state == RECORD_LEASED || image.state == RECORD_RUNNING,
    };
    if (hub->items[index].needs_recovery) {
        load_lease(hub, index);
    }
    hub->items[index].image.worker = (struct bytes){0};
    hub->items[index].image.claim = (struct bytes){0};
    if (image.state == RECORD_RETRY_WAIT || image.suspension == RECORD_SUSPEND_BUDGET) {
        /* It has waited since its record was written, if this is still the same boot. */
        bool is_same = header.time.boot == hub->image.boot;
        uint64_t since_ms = is_same ? header.time.mono_ms : hub->clock.mono_ms;
        timer_set(&hub->timers, hub_item_timer(hub, index), since_ms + image.wait_ms);
    }
    if (image.token >> 40 == hub->store.epoch &&
        (image.token & 0xffffffffffu) > hub->image.token_counter) {
        hub->image.token_counter = image.token & 0xffffffffffu;
    }
    take_revision(hub, process, key, &header);
}

/* Attempts of an item are listed in the order of their numbers. */
static void link_attempt(struct hub *hub, uint32_t item, uint32_t attempt) {
    uint32_t *link = &hub->items[item].first_attempt;
    while (*link != HUB_NONE && hub->attempts[*link].number < hub->attempts[attempt].number) {
        link = &hub->attempts[*link].next;
    }
    hub->attempts[attempt].next = *link;
    *link = attempt;
    hub->items[item].attempt_count += 1;
}

static void load_attempt(struct hub *hub, uint32_t index) {
    const struct store_key key = {RECORD_ATTEMPT, index};
    struct record_header header;
    struct cbor_reader reader;
    struct record_attempt image;
    if (!fetch(hub, key, &header, &reader)) {
        return;
    }
    record_get_attempt(&reader, &image);
    uint32_t process = hub_process_find(hub, header.path[0]);
    uint32_t item =
        process == HUB_NONE ? HUB_NONE : hub_item_find(hub, process, (uint32_t)header.path[1]);
    if (!is_whole(hub, &reader) || item == HUB_NONE) {
        store_release(&hub->store, key);
        return;
    }
    pool_claim(&hub->attempt_pool, index);
    hub->attempts[index] = (struct hub_attempt){
        .number = (uint32_t)header.path[2],
        .item = item,
        .phone = hub_phone_find(hub, image.phone_id),
    };
    link_attempt(hub, item, index);
    struct hub_item *of = &hub->items[item];
    /* A lease that was not started is not of its item's last attempt. */
    bool is_last = header.path[2] == of->image.attempt;
    bool is_running = is_last && of->image.state == RECORD_RUNNING;
    if (!is_running) {
        hub_budget_replay(hub, item, &image);
    } else if (image.started.boot != 0) {
        of->attempt_started = image.started;
    }
    if (is_last && image.actions_done > of->image.actions_done) {
        of->image.actions_done = image.actions_done;
    }
    take_revision(hub, process, key, &header);
}

static void load_key(struct hub *hub, uint32_t index) {
    struct record_header header;
    struct cbor_reader reader;
    struct record_key image;
    if (!fetch(hub, (struct store_key){RECORD_KEY, index}, &header, &reader)) {
        return;
    }
    record_get_key(&reader, &image);
    if (!is_whole(hub, &reader) || image.key.size == 0 || image.body_digest.size == 0) {
        return;
    }
    struct hub_key *key = &hub->keys[index];
    *key = (struct hub_key){
        .evicted = image.evicted,
        .number = header.path[0],
        .process = image.process,
        .status = image.status,
    };
    memcpy(key->key, image.key.data, RECORD_DIGEST_BYTES);
    memcpy(key->body_digest, image.body_digest.data, RECORD_DIGEST_BYTES);
    hash_index_add(&hub->by_key, hub_digest_hash(key->key), hub->board->processes + index);
    uint32_t newest = (hub->key_next + hub->board->keys - 1) % hub->board->keys;
    if (newest == index || key->number > hub->keys[newest].number) {
        hub->key_next = (index + 1) % hub->board->keys;
    }
    if (key->number > hub->image.key_number) {
        hub->image.key_number = key->number;
    }
}

/* ---- what stands on all of them ---- */

/* Items of a process, listed by number, whatever the order of their slots. */
static void link_item(struct hub *hub, uint32_t item) {
    struct hub_process *of = &hub->processes[hub->items[item].process];
    uint32_t *link = &of->first_item;
    uint32_t number = hub->items[item].number;
    if (of->last_item != HUB_NONE && hub->items[of->last_item].number < number) {
        link = &hub->items[of->last_item].next_of_process;
    }
    while (*link != HUB_NONE && hub->items[*link].number < number) {
        link = &hub->items[*link].next_of_process;
    }
    hub->items[item].next_of_process = *link;
    if (*link == HUB_NONE) {
        of->last_item = item;
    }
    *link = item;
}

/* Keys are random, so each entry waits for memory of its own, unless it is asked for in time. */
static void index_keys(struct hub *hub) {
    enum { AHEAD = 16 };
    for (uint32_t p = 0; p < hub->board->processes; p++) {
        uint32_t later = p + AHEAD;
        if (later < hub->board->processes && pool_is_used(&hub->process_pool, later)) {
            hash_index_expect(&hub->by_key, hub_digest_hash(hub->processes[later].key));
        }
        if (pool_is_used(&hub->process_pool, p) && hub->processes[p].has_key) {
            hash_index_add(&hub->by_key, hub_digest_hash(hub->processes[p].key), p);
        }
    }
}

/* How many rows of a kind the log knows; that its table is about to be filled is told. */
static uint32_t expect(const struct hub *hub, enum record_kind kind, void *table,
                       size_t row_bytes) {
    uint32_t count = store_slots_used(&hub->store, (uint8_t)kind);
    if (hub->expect != NULL) {
        hub->expect(table, count * row_bytes);
    }
    return count;
}

static void load_tables(struct hub *hub) {
    const struct board *board = hub->board;
    for (uint32_t i = 0; i < board->phones; i++) {
        load_phone(hub, i);
    }
    for (uint32_t i = 0; i < hub->phone_count; i++) {
        hub_labels_match_phone(hub, i);
    }
    uint32_t count = expect(hub, RECORD_PROCESS, hub->processes, sizeof hub->processes[0]);
    for (uint32_t i = 0; i < count; i++) {
        load_process(hub, i);
        load_request(hub, i);
    }
    index_keys(hub);
    count = expect(hub, RECORD_ITEM, hub->items, sizeof hub->items[0]);
    for (uint32_t i = 0; i < count; i++) {
        load_item(hub, i);
        if (pool_is_used(&hub->item_pool, i)) {
            link_item(hub, i);
        }
    }
    count = store_slots_used(&hub->store, RECORD_ATTEMPT);
    for (uint32_t i = 0; i < count; i++) {
        load_attempt(hub, i);
    }
    count = store_slots_used(&hub->store, RECORD_KEY);
    for (uint32_t i = 0; i < count; i++) {
        load_key(hub, i);
    }
    pool_loaded(&hub->process_pool);
    pool_loaded(&hub->item_pool);
    pool_loaded(&hub->attempt_pool);
    hub_attempt_trim(hub);
}

/* A new machine start gets the next boot number; a mere restart of the program keeps it. */
static void begin_boot(struct hub *hub, const uint8_t boot_id[RECORD_DIGEST_BYTES]) {
    struct record_hub *image = &hub->image;
    image->starts += 1;
    if (image->boot != 0 && memcmp(hub->boot_id, boot_id, RECORD_DIGEST_BYTES) == 0) {
        return;
    }
    memcpy(hub->boot_id, boot_id, RECORD_DIGEST_BYTES);
    image->boot += 1;
    memmove(image->boots + 1, image->boots, (RECORD_BOOTS_MAX - 1) * sizeof image->boots[0]);
    image->boots[0] = (struct record_boot){.boot = image->boot};
    if (image->boot_count < RECORD_BOOTS_MAX) {
        image->boot_count += 1;
    }
}

enum status hub_load(struct hub *hub, struct bytes hub_id,
                     const uint8_t boot_id[RECORD_DIGEST_BYTES], const struct hub_clock *clock) {
    check(hub_id.size > 0 && hub_id.size <= RECORD_ID_MAX);
    enum status status = store_mount(&hub->store);
    if (status == STATUS_OK) {
        status = load_self(hub, hub_id);
    }
    if (status != STATUS_OK) {
        return status;
    }
    copy_text(hub->hub_id, sizeof hub->hub_id, hub_id);
    begin_boot(hub, boot_id);
    hub_take_clock(hub, clock);
    load_tables(hub);
    if (hub_has_new_offset(hub, clock)) {
        hub->image.boots[0].offset_ms = clock->wall_ms - clock->mono_ms;
    }
    hub_restore(hub);
    if (hub->store.has_failed) { /* what stands at the log's end has changed meanwhile */
        return STATUS_IO;
    }
    hub_log_self(hub, RECORD_BOOTED_EVENT);
    return STATUS_OK;
}
