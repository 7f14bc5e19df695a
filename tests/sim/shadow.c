#include "tests/sim/shadow.h"

#include "tests/sim/sim.h"

#include <string.h>

/* Of each capability, by index: see sim_capabilities_set(). */
enum { DELIVERIES_MAX = 20, FAULTS_MAX = 5 };

void shadow_init(struct shadow *shadow) {
    shadow->cursor = (struct store_cursor){0};
    shadow->seq = 0;
    shadow->hash = 1;
    shadow->token = 0;
    shadow->acked = 0;
    shadow->process_number = 0;
    shadow->told_process = 0;
    shadow->boot = 0;
    shadow->mark_next = 0;
    memset(shadow->mark_seq, 0, sizeof shadow->mark_seq);
    memset(shadow->phones, 0, sizeof shadow->phones);
    memset(shadow->keys, 0, sizeof shadow->keys);
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        shadow->processes[i].number = 0;
    }
}

uint64_t shadow_mix(uint64_t hash, struct bytes bytes) {
    while (bytes.size >= 8) {
        uint64_t word;
        memcpy(&word, bytes.data, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
        bytes.data += 8;
        bytes.size -= 8;
    }
    uint64_t rest = bytes.size;
    for (size_t i = 0; i < bytes.size; i++) {
        rest = rest << 8 | bytes.data[i];
    }
    hash = (hash ^ rest) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

struct shadow_process *shadow_process_find(struct shadow *shadow, uint64_t number) {
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        if (shadow->processes[i].number == number) {
            return &shadow->processes[i];
        }
    }
    return NULL;
}

/* Kept until board-many newer ones came (perhaps in the open group), or for 7 days; between two
 * boots only the wall clock can tell, right or wrong. */
static bool is_over(const struct sim_host *host, const struct shadow_key *key) {
    const struct hub_clock *clock = &host->hub.clock;
    if (key->number + SHADOW_KEYS <= host->hub.image.key_number) {
        return true;
    }
    const uint64_t kept_ms = (uint64_t)7 * 24 * SIM_HOUR_MS;
    bool is_same = key->evicted.boot == host->hub.image.boot;
    return is_same ? clock->mono_ms - key->evicted.mono_ms > kept_ms
                   : key->evicted.wall_ms != 0 && clock->wall_ms > key->evicted.wall_ms + kept_ms;
}

uint64_t shadow_key_find(const struct sim_host *host, const uint8_t *key) {
    const struct shadow *shadow = &host->shadow;
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        const struct shadow_process *process = &shadow->processes[i];
        if (process->number != 0 && process->has_key &&
            memcmp(process->key, key, RECORD_DIGEST_BYTES) == 0) {
            return process->number;
        }
    }
    for (uint32_t i = 0; i < SHADOW_KEYS; i++) {
        if (shadow->keys[i].number != 0 && !is_over(host, &shadow->keys[i]) &&
            memcmp(shadow->keys[i].key, key, RECORD_DIGEST_BYTES) == 0) {
            return shadow->keys[i].process;
        }
    }
    return 0;
}

bool shadow_hash_at(const struct shadow *shadow, uint64_t seq, uint64_t *hash) {
    if (seq == 0) {
        *hash = 1;
        return true;
    }
    for (uint32_t i = 1; i <= SHADOW_MARKS; i++) {
        uint32_t at = (shadow->mark_next + SHADOW_MARKS - i) % SHADOW_MARKS;
        if (shadow->mark_seq[at] == seq) {
            *hash = shadow->mark_hash[at];
            return true;
        }
        if (shadow->mark_seq[at] < seq) {
            return false;
        }
    }
    return false;
}

/* ---- one record ---- */

struct taking {
    struct sim_host *host;
    struct sim_world *world;
    struct shadow *shadow;
    struct record_header header;
    struct cbor_reader reader;
    struct shadow_process *process; /* of the record, or NULL */
};

static struct process_counts count_items(const struct shadow_process *process) {
    struct process_counts counts = {0};
    for (uint32_t i = 0; i < process->item_count; i++) {
        const struct record_item *image = &process->items[i].image;
        if (!image->superseded) {
            counts.by_state[image->state] += 1;
            bool is_review =
                image->state == RECORD_SUSPENDED && image->suspension == RECORD_SUSPEND_REVIEW;
            counts.in_review = (uint16_t)(counts.in_review + is_review);
        }
    }
    return counts;
}

static void take_request(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow *shadow = taking->shadow;
    struct record_request image;
    uint64_t number = taking->header.path[0];
    record_get_request(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a request's record is malformed");
    sim_require(world, number == shadow->process_number + 1,
                "I6 process number %llu follows on %llu", (unsigned long long)number,
                (unsigned long long)shadow->process_number);
    struct shadow_process *process = shadow_process_find(shadow, 0);
    sim_require(world, process != NULL, "I9 more processes are retained than the board holds");
    bool has_key = image.key.size > 0;
    sim_require(world, !has_key || shadow_key_find(taking->host, image.key.data) == 0,
                "I34 process %llu has the key of an earlier one", (unsigned long long)number);
    shadow->process_number = number;
    process->number = number;
    process->revision = 0;
    process->item_count = 0;
    process->is_told = false;
    process->has_key = has_key;
    process->deadline_ms = image.deadline_ms;
    process->not_before_ms = image.not_before_ms;
    process->capability = image.process_type.data[0] - 'a';
    memset(&process->image, 0, sizeof process->image);
    if (has_key) {
        memcpy(process->key, image.key.data, RECORD_DIGEST_BYTES);
    }
    taking->process = process;
}

static bool is_set(const struct record_time *time) {
    return time->boot != 0;
}

static bool is_same_time(const struct record_time *a, const struct record_time *b) {
    return a->boot == b->boot && a->mono_ms == b->mono_ms;
}

/* A milestone is written once in a generation. */
static bool is_kept(const struct record_time *before, const struct record_time *after) {
    return !is_set(before) || is_same_time(before, after);
}

static void evict(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    sim_require(world, is_set(&process->image.finished),
                "I37 process %llu was evicted before its end", (unsigned long long)process->number);
    if (taking->host->hub.has_upstream) {
        sim_require(world, process->last_seq <= taking->shadow->acked,
                    "I32 process %llu was evicted at %llu, upstream has %llu",
                    (unsigned long long)process->number, (unsigned long long)process->last_seq,
                    (unsigned long long)taking->shadow->acked);
    }
    process->number = 0;
}

static void take_process(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    struct record_process image;
    record_get_process(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a process's record is malformed");
    const struct record_process *before = &process->image;
    if (before->generation == image.generation) {
        sim_require(world,
                    is_kept(&before->created, &image.created) &&
                        is_kept(&before->queued, &image.queued) &&
                        is_kept(&before->retrying, &image.retrying) &&
                        is_kept(&before->cancel_requested, &image.cancel_requested) &&
                        is_kept(&before->finished, &image.finished),
                    "I17 a milestone of process %llu was written twice",
                    (unsigned long long)process->number);
        sim_require(world,
                    (before->flags & ~image.flags & ~(uint32_t)RECORD_HOLD) == 0 ||
                        before->generation == 0,
                    "I21 process %llu lost a flag", (unsigned long long)process->number);
    }
    sim_require(world, image.generation >= before->generation,
                "I21 the generation of process %llu went back",
                (unsigned long long)process->number);
    process->image = image;
}

static void take_lease(struct taking *taking, uint64_t before_phone,
                       const struct record_item *after) {
    struct sim_world *world = taking->world;
    struct shadow *shadow = taking->shadow;
    uint64_t process = taking->header.path[0];
    uint64_t item = taking->header.path[1];
    if (before_phone != 0) {
        shadow->phones[before_phone].process = 0;
    }
    if (after->phone == 0) {
        return;
    }
    sim_require(world, after->phone <= SHADOW_PHONES, "I13 a lease of a phone that is not there");
    struct shadow_phone *phone = &shadow->phones[after->phone];
    sim_require(world, phone->process == 0, "I13 phone %llu has two leases: of %llu and of %llu",
                (unsigned long long)after->phone, (unsigned long long)phone->process,
                (unsigned long long)process);
    phone->process = process;
    phone->item = item;
    if (after->state == RECORD_LEASED) {
        sim_require(world, after->token > shadow->token, "I14 token %llx follows on %llx",
                    (unsigned long long)after->token, (unsigned long long)shadow->token);
        shadow->token = after->token;
    }
}

static void judge_item(struct taking *taking, struct shadow_item *item,
                       const struct record_item *after) {
    struct sim_world *world = taking->world;
    const struct record_item *before = &item->image;
    uint64_t number = taking->header.path[0];
    uint32_t event = shadow_explain(item, after);
    sim_require(world, before->state < RECORD_COMPLETED,
                "I17 an item of process %llu changed after its end: %s to %s",
                (unsigned long long)number, record_item_state_name(before->state),
                record_item_state_name(after->state));
    sim_require(world, event != ITEM_EVENT_COUNT,
                "I21 no row of the table leads an item of process %llu from %s to %s (stop %u)",
                (unsigned long long)number, record_item_state_name(before->state),
                record_item_state_name(after->state), before->stop);
    world->counts.item_edges[before->state][event] += 1;
    world->counts.transitions += 1;
    const struct capability *capability =
        &taking->host->hub.capabilities[taking->process->capability];
    sim_require(world, after->attempts_counted <= capability->attempts_max,
                "I19 %u attempts of at most %u", after->attempts_counted, capability->attempts_max);
    sim_require(world, after->deliveries <= DELIVERIES_MAX && after->faults <= FAULTS_MAX,
                "I20 %u deliveries, %u faults", after->deliveries, after->faults);
    bool is_fixed = world->plan.weights[SIM_FAULT_POLICY] == 0;
    uint32_t counted = after->attempts_counted > 0 ? after->attempts_counted : 1;
    uint64_t wait_max =
        is_fixed ? backoff_limit_ms(&capability->backoff, counted) : capability->backoff.cap_ms;
    sim_require(world, after->state != RECORD_RETRY_WAIT || after->wait_ms <= wait_max,
                "I19 a retry waits %llu ms", (unsigned long long)after->wait_ms);
    sim_require(world, after->actions_done >= before->actions_done,
                "I16 actions that were done are to be done again");
    item->orders = (uint8_t)(item->orders + (event == ITEM_ON_RESUME));
}

static void take_item(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    struct record_item image;
    uint64_t number = taking->header.path[1];
    record_get_item(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 an item's record is malformed");
    sim_require(world, number <= process->item_count + 1u && number <= SHADOW_ITEMS,
                "I18 item %llu.%llu appears out of order", (unsigned long long)process->number,
                (unsigned long long)number);
    struct shadow_item *item = &process->items[number - 1];
    if (number == process->item_count + 1u) {
        sim_require(world, image.state == RECORD_SCHEDULED || image.state == RECORD_READY,
                    "I21 a new item is %s", record_item_state_name(image.state));
        process->item_count += 1;
        memset(item, 0, sizeof *item);
        world->counts.transitions += 1;
    } else if (taking->header.event == RECORD_FIRST_DEVICE_EVENT) {
        sim_require(world, image.state == item->image.state && image.token == item->image.token,
                    "I21 the first touch of a phone changed its item");
    } else if (!image.superseded) {
        judge_item(taking, item, &image);
        take_lease(taking, item->image.phone, &image);
    }
    item->image = image;
}

static void take_attempt(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct record_attempt image;
    uint64_t number = taking->header.path[1];
    record_get_attempt(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 an attempt's record is malformed");
    sim_require(world, number >= 1 && number <= taking->process->item_count,
                "I18 an attempt of no item");
    struct shadow_item *item = &taking->process->items[number - 1];
    sim_require(world, item->image.state == RECORD_RUNNING,
                "I16 an attempt of an item that does not run");
    sim_require(world, taking->header.path[2] == item->image.attempt,
                "I16 attempt %llu, but %u runs", (unsigned long long)taking->header.path[2],
                item->image.attempt);
    item->ended_category = image.category;
    item->ended_outcome = image.outcome;
}

static void take_phone(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct record_phone image;
    uint64_t number = taking->header.path[0];
    record_get_phone(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a phone's record is malformed");
    sim_require(world, number >= 1 && number <= SHADOW_PHONES, "I28 phone number %llu",
                (unsigned long long)number);
    struct shadow_phone *phone = &taking->shadow->phones[number];
    size_t size = image.id.size;
    bool is_same = strlen(phone->id) == size && memcmp(phone->id, image.id.data, size) == 0;
    sim_require(world, phone->id[0] == '\0' || is_same, "I28 phone %llu changed its id from %s",
                (unsigned long long)number, phone->id);
    memcpy(phone->id, image.id.data, size);
    phone->id[size] = '\0';
    phone->state = image.state;
}

static void take_key(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct record_key image;
    record_get_key(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 a key's record is malformed");
    struct shadow_key *oldest = &taking->shadow->keys[0];
    for (uint32_t i = 1; i < SHADOW_KEYS; i++) {
        if (taking->shadow->keys[i].number < oldest->number) {
            oldest = &taking->shadow->keys[i];
        }
    }
    *oldest = (struct shadow_key){
        .number = taking->header.path[0],
        .process = image.process,
        .evicted = image.evicted,
    };
    memcpy(oldest->key, image.key.data, RECORD_DIGEST_BYTES);
}

static void take_hub(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow *shadow = taking->shadow;
    struct record_hub image;
    record_get_hub(&taking->reader, &image);
    sim_require(world, cbor_reader_done(&taking->reader), "I2 the hub's record is malformed");
    sim_require(world, image.boot >= shadow->boot, "I6 boot %u follows on %u", image.boot,
                shadow->boot);
    sim_require(world, image.process_number >= shadow->process_number,
                "I6 the hub forgot process numbers");
    uint64_t token = (uint64_t)taking->host->hub.store.epoch << 40 | image.token_counter;
    sim_require(world, token >= shadow->token, "I14 the hub's record forgets token %llx",
                (unsigned long long)shadow->token);
    shadow->boot = image.boot;
}

/* Counts that a listing of a process would show must be what its items say. */
static void judge_process(struct taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    bool is_new = taking->header.event == RECORD_ACCEPTED_EVENT ||
                  taking->header.event == RECORD_PLANNED_EVENT;
    sim_require(world, taking->header.revision == process->revision + 1,
                "I6 revision %llu of process %llu follows on %llu",
                (unsigned long long)taking->header.revision, (unsigned long long)process->number,
                (unsigned long long)process->revision);
    process->revision = taking->header.revision;
    process->status = taking->header.status;
    if (is_new || process->item_count < process->image.item_count) {
        return;
    }
    struct process_counts counts = count_items(process);
    enum process_status status = process_derive(&counts, process->image.flags);
    bool is_flagged_later =
        taking->header.kind == RECORD_ITEM || taking->header.kind == RECORD_PROCESS;
    sim_require(world, !is_flagged_later || status == taking->header.status,
                "I18 process %llu is in row %u, its items say %u",
                (unsigned long long)process->number, taking->header.status, status);
}

static void take_record(struct sim_host *host, uint64_t seq, struct bytes body) {
    struct taking taking = {.host = host, .world = host->world, .shadow = &host->shadow};
    struct sim_world *world = host->world;
    cbor_reader_init(&taking.reader, body);
    record_get_header(&taking.reader, &taking.header);
    sim_require(world, !taking.reader.failed, "I2 a record's header is malformed");
    enum record_kind kind = taking.header.kind;
    sim_trace(world, host, "record %u/%s path %llu.%llu.%llu row %u", kind,
              record_event_name(taking.header.event), (unsigned long long)taking.header.path[0],
              (unsigned long long)taking.header.path[1], (unsigned long long)taking.header.path[2],
              taking.header.status);
    bool is_of_process = kind >= RECORD_REQUEST && kind <= RECORD_ATTEMPT;
    if (is_of_process && kind != RECORD_REQUEST) {
        taking.process = shadow_process_find(taking.shadow, taking.header.path[0]);
        sim_require(world, taking.process != NULL,
                    "I2 a record of process %llu, which is not there",
                    (unsigned long long)taking.header.path[0]);
    }
    static void (*const takers[RECORD_KIND_COUNT])(struct taking *) = {
        [RECORD_HUB] = take_hub,         [RECORD_PHONE] = take_phone,
        [RECORD_REQUEST] = take_request, [RECORD_PROCESS] = take_process,
        [RECORD_ITEM] = take_item,       [RECORD_ATTEMPT] = take_attempt,
        [RECORD_KEY] = take_key,
    };
    if (takers[kind] != NULL) {
        takers[kind](&taking);
    }
    if (is_of_process) {
        judge_process(&taking);
        if (taking.header.event == RECORD_EVICTED_EVENT) {
            evict(&taking);
        } else {
            taking.process->last_seq = seq;
        }
    }
    world->counts.records += 1;
    host->shadow.hash = shadow_mix(host->shadow.hash, body);
}

void shadow_read(struct sim_host *host) {
    static uint8_t buffer[SIM_GROUP_BYTES];
    struct shadow *shadow = &host->shadow;
    struct sim_world *world = host->world;
    struct store_group group;
    enum status status;
    while ((status = store_next_group(&host->hub.store, &shadow->cursor, buffer, sizeof buffer,
                                      &group)) == STATUS_OK) {
        struct bytes body;
        uint32_t count = 0;
        sim_require(world, group.first_seq == shadow->seq + 1, "I6 group %llu follows on %llu",
                    (unsigned long long)group.first_seq, (unsigned long long)shadow->seq);
        while (store_group_next(&group.records, &body)) {
            count += 1;
            take_record(host, shadow->seq + count, body);
        }
        sim_require(world, count == group.record_count, "I3 a group of %u records has %u",
                    group.record_count, count);
        shadow->seq += count;
        shadow->mark_seq[shadow->mark_next] = shadow->seq;
        shadow->mark_hash[shadow->mark_next] = shadow->hash;
        shadow->mark_next = (shadow->mark_next + 1) % SHADOW_MARKS;
        world->counts.groups += 1;
        sim_mix(world, shadow->hash);
    }
    sim_require(world, status == STATUS_AGAIN, "I2 the log cannot be read: status %d", status);
    sim_require(world, shadow->seq == host->hub.store.durable_seq,
                "I1 %llu records are durable, the log has %llu",
                (unsigned long long)host->hub.store.durable_seq, (unsigned long long)shadow->seq);
}
