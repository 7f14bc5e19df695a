#include "host/hubd/notifier.h"

#include "host/shared/callback_change.h"
#include "host/shared/json_write.h"
#include "host/shared/log.h"
#include "host/shared/process_id.h"
#include "host/shared/process_member.h"

#include <stdio.h>
#include <string.h>

/* ---- the list of watches ---- */

static void remove_watch(struct notifier *notifier, uint32_t process) {
    struct notifier_watch *watch = &notifier->watches[process];
    if (watch->previous != HUB_NONE) {
        notifier->watches[watch->previous].next = watch->next;
    } else {
        notifier->first = watch->next;
    }
    if (watch->next != HUB_NONE) {
        notifier->watches[watch->next].previous = watch->previous;
    }
    if (notifier->scan_at == process) {
        notifier->scan_at = watch->next;
    }
    watch->number = 0;
    notifier->watched -= 1;
}

static struct notifier_watch *add_watch(struct notifier *notifier, uint32_t process) {
    struct notifier_watch *watch = &notifier->watches[process];
    if (watch->number != 0) {
        remove_watch(notifier, process); /* of an evicted process that had this index */
    }
    *watch = (struct notifier_watch){
        .number = notifier->hub->processes[process].number,
        .next = notifier->first,
        .previous = HUB_NONE,
    };
    if (notifier->first != HUB_NONE) {
        notifier->watches[notifier->first].previous = process;
    }
    notifier->first = process;
    notifier->watched += 1;
    notifier->is_dirty = true;
    return watch;
}

void notifier_init(struct notifier *notifier, struct hub *hub, struct callbacks *callbacks,
                   notifier_write *write, void *owner) {
    check(hub->board->processes <= NOTIFIER_PROCESSES);
    notifier->hub = hub;
    notifier->callbacks = callbacks;
    notifier->write = write;
    notifier->owner = owner;
    notifier->first = HUB_NONE;
    notifier->scan_at = HUB_NONE;
    notifier->next_due_ms = TIMER_NEVER;
    notifier->jitter = hub->jitter;
    notifier->load_at = callbacks->host_count > 0 ? 0 : HUB_NONE;
}

enum status notifier_watch(struct notifier *notifier, uint32_t process, struct bytes callback) {
    char url[CALLBACK_URL_BYTES];
    uint32_t host;
    enum status status = callback_url(callback, url, sizeof url);
    if (status == STATUS_OK) {
        const struct bytes text = {(const uint8_t *)url, strlen(url)};
        status = callback_host_of(notifier->callbacks, text, &host);
    }
    if (status == STATUS_OK) {
        add_watch(notifier, process)->host = host;
    }
    return status;
}

/* The callback member of a process, in the hub's read buffer. */
static struct bytes read_callback(struct notifier *notifier, uint32_t process) {
    struct record_header header;
    struct cbor_reader reader;
    struct record_request request = {0};
    const struct store_key key = {RECORD_REQUEST, process};
    if (hub_read(notifier->hub, key, &header, &reader) != STATUS_OK) {
        return (struct bytes){0};
    }
    record_get_request(&reader, &request);
    return cbor_reader_done(&reader) ? request.callback : (struct bytes){0};
}

/* All but the newest `kept` events count as told. */
static void watch_from(struct notifier *notifier, uint32_t process, uint64_t kept) {
    uint64_t revision = notifier->hub->processes[process].revision;
    struct bytes callback = read_callback(notifier, process);
    if (callback.size > 0 && notifier_watch(notifier, process, callback) == STATUS_OK) {
        notifier->watches[process].told = revision > kept ? revision - kept : 0;
    }
}

void notifier_wake(struct notifier *notifier, uint32_t process) {
    const struct notifier_watch *watch = &notifier->watches[process];
    bool is_watched = watch->number == notifier->hub->processes[process].number;
    if (!is_watched && notifier->callbacks->host_count > 0) {
        watch_from(notifier, process, 1);
    }
}

/* ---- which change is next ---- */

/* The oldest change behind what was told. The history is walked from its newest record, so each
 * record is compared with the one that the walk came by before: its successor. */
static struct callback_change find_change(struct notifier *notifier, uint32_t process) {
    const struct notifier_watch *watch = &notifier->watches[process];
    struct hub_history history;
    struct bytes bytes;
    uint32_t where;
    struct callback_change found = {0};
    struct callback_change newer = {0};
    hub_history_start(notifier->hub, process, &history);
    while (history.revision > watch->told &&
           hub_history_next(notifier->hub, &history, &bytes, &where) == STATUS_OK) {
        struct record_header header;
        struct cbor_reader reader;
        cbor_reader_init(&reader, bytes);
        record_get_header(&reader, &header);
        if (reader.failed) {
            break;
        }
        if (callback_is_change(&newer, header.status)) {
            found = newer;
        }
        newer = callback_change_of(&header);
    }
    if (callback_is_change(&newer, watch->status)) {
        found = newer;
    }
    return found;
}

/* ---- telling ---- */

static void write_body(struct notifier *notifier, struct json_writer *writer, uint32_t process,
                       const struct callback_change *change, bool is_short) {
    struct hub *hub = notifier->hub;
    json_write_begin_object(writer, NULL);
    callback_write_head(writer, change, hub->clock.wall_ms);
    if (!is_short) {
        json_write_begin_object(writer, "process");
        notifier->write(notifier->owner, writer, process);
        json_write_end_object(writer);
    } else {
        const struct bytes hub_id = {(const uint8_t *)hub->hub_id, strlen(hub->hub_id)};
        const struct process_id id =
            process_id_make(hub_id, hub_first_epoch(hub), hub->processes[process].number);
        json_write_begin_object(writer, "process");
        process_member_id(writer, "process_id", &id);
        json_write_string(
            writer, "status",
            process_status_names(hub->processes[process].status, &hub->processes[process].counts)
                .status);
        json_write_bool(writer, "is_shortened", true);
        json_write_end_object(writer);
    }
    json_write_end_object(writer);
}

static void build_body(struct notifier *notifier, struct callback_slot *slot, uint32_t process,
                       const struct callback_change *change) {
    for (int is_short = 0; is_short < 2; is_short++) {
        struct json_writer writer;
        struct bytes body;
        json_write_init(&writer, slot->body, sizeof slot->body);
        write_body(notifier, &writer, process, change, is_short != 0);
        if (json_write_finish(&writer, &body) == STATUS_OK) {
            slot->body_size = body.size;
            return;
        }
    }
    check(false);
}

static void tell(struct notifier *notifier, uint32_t process, const struct callback_change *change,
                 uint64_t now_ms) {
    struct notifier_watch *watch = &notifier->watches[process];
    char url[CALLBACK_URL_BYTES];
    struct callback_slot *slot = callback_take(notifier->callbacks, watch->host);
    if (slot == NULL) {
        return; /* when one ends, the next pass looks again */
    }
    build_body(notifier, slot, process, change);
    slot->tag = process;
    if (callback_url(read_callback(notifier, process), url, sizeof url) != STATUS_OK) {
        callback_give(notifier->callbacks, slot);
        remove_watch(notifier, process);
        return;
    }
    watch->is_under_way = true;
    watch->pending = change->id;
    watch->pending_status = change->status;
    callback_send(notifier->callbacks, slot, (struct bytes){(const uint8_t *)url, strlen(url)},
                  now_ms, notifier->hub->clock.wall_ms);
}

/* The pending change is behind us. */
static void mark_told(struct notifier_watch *watch) {
    watch->told = watch->pending;
    watch->status = watch->pending_status;
    watch->pending = 0;
    watch->failures = 0;
    watch->due_ms = 0;
}

static void take_result(struct notifier *notifier, const struct callback_result *result,
                        uint64_t now_ms) {
    uint32_t process = (uint32_t)result->tag;
    struct notifier_watch *watch = &notifier->watches[process];
    notifier->is_dirty = true;
    if (!watch->is_under_way) {
        return; /* evicted meanwhile */
    }
    watch->is_under_way = false;
    if (result->http_status >= 200 && result->http_status < 300) {
        notifier->counters.delivered += 1;
        mark_told(watch);
        return;
    }
    notifier->counters.failed += 1;
    watch->failures += 1;
    if (watch->failures == 1) {
        log_warn("callback_failed process=%llu status=%u reason=%s",
                 (unsigned long long)watch->number, result->http_status, result->reason);
    }
    if (result->http_status == 410) {
        notifier->counters.given_up += 1;
        remove_watch(notifier, process); /* the receiver wants no more of them */
    } else if (watch->failures >= CALLBACK_TRIES) {
        notifier->counters.given_up += 1;
        mark_told(watch);
    } else {
        watch->due_ms =
            now_ms + backoff_ms(&callback_again, watch->failures, &notifier->jitter) + 200;
    }
}

/* ---- passes over the watches ---- */

static bool is_durable(const struct hub *hub, uint32_t process) {
    return store_slot(&hub->store, hub->processes[process].tail)->seq <= hub_durable_seq(hub);
}

static void look_at(struct notifier *notifier, uint32_t process, uint64_t now_ms) {
    struct notifier_watch *watch = &notifier->watches[process];
    const struct hub *hub = notifier->hub;
    const struct hub_process *of = &hub->processes[process];
    if (!pool_is_used(&hub->process_pool, process) || of->number != watch->number) {
        remove_watch(notifier, process);
        return;
    }
    if (watch->is_under_way) {
        return;
    }
    if (watch->due_ms > now_ms) {
        notifier->next_due_ms =
            watch->due_ms < notifier->next_due_ms ? watch->due_ms : notifier->next_due_ms;
        return;
    }
    bool has_ended = of->end_seq != 0;
    if (of->revision > watch->told && is_durable(hub, process)) {
        struct callback_change change = find_change(notifier, process);
        if (change.id != 0) {
            tell(notifier, process, &change, now_ms);
            return;
        }
        watch->told = of->revision;
    }
    if (has_ended && of->revision == watch->told) {
        remove_watch(notifier, process);
    }
}

/* After a restart. */
static void load_some(struct notifier *notifier) {
    struct hub *hub = notifier->hub;
    for (uint32_t n = 0; n < NOTIFIER_LOAD && notifier->load_at != HUB_NONE; n++) {
        uint32_t process = notifier->load_at;
        notifier->load_at += 1;
        if (process >= hub->process_pool.touched) {
            notifier->load_at = HUB_NONE;
            return;
        }
        const struct hub_process *of = &hub->processes[process];
        bool is_old = of->end_seq != 0 &&
                      of->image.finished.wall_ms + NOTIFIER_RESTART_MS < hub->clock.wall_ms;
        bool is_watched = notifier->watches[process].number == of->number;
        if (pool_is_used(&hub->process_pool, process) && !is_old && !is_watched) {
            watch_from(notifier, process, 1);
        }
    }
}

void notifier_release(struct notifier *notifier) {
    notifier->is_dirty = notifier->is_dirty || notifier->first != HUB_NONE;
}

void notifier_step(struct notifier *notifier, uint64_t now_ms) {
    struct callback_result result;
    callback_step(notifier->callbacks, now_ms);
    while (callback_next_result(notifier->callbacks, &result)) {
        take_result(notifier, &result, now_ms);
    }
    if (notifier->hub->clock.wall_ms == 0) {
        return;
    }
    load_some(notifier);
    if (notifier->scan_at == HUB_NONE && (notifier->is_dirty || now_ms >= notifier->next_due_ms)) {
        notifier->is_dirty = false;
        notifier->next_due_ms = TIMER_NEVER;
        notifier->scan_at = notifier->first;
    }
    for (uint32_t n = 0; n < NOTIFIER_SCAN && notifier->scan_at != HUB_NONE; n++) {
        uint32_t process = notifier->scan_at;
        notifier->scan_at = notifier->watches[process].next;
        look_at(notifier, process, now_ms);
    }
}

uint64_t notifier_deadline_ms(const struct notifier *notifier) {
    uint64_t sending = callback_deadline_ms(notifier->callbacks);
    if (notifier->hub->clock.wall_ms == 0) {
        return sending;
    }
    bool has_work = notifier->is_dirty && notifier->first != HUB_NONE;
    if (has_work || notifier->scan_at != HUB_NONE || notifier->load_at != HUB_NONE) {
        return 0;
    }
    return sending < notifier->next_due_ms ? sending : notifier->next_due_ms;
}
