#include "tests/sim/shadow_take.h"

#include <string.h>

void shadow_init(struct shadow *shadow) {
    shadow->cursor = (struct store_cursor){0};
    shadow->seq = 0;
    shadow->hash = 1;
    shadow->token = 0;
    shadow->acked = 0;
    shadow->process_number = 0;
    shadow->told_process = 0;
    shadow->boot = 0;
    shadow->hub_revision = 0;
    shadow->upstream_epoch = 0;
    shadow->command = 0;
    shadow->answered = 0;
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

bool shadow_is_suspended(const struct shadow_process *process) {
    for (uint32_t i = 0; i < process->item_count; i++) {
        const struct record_item *image = &process->items[i].image;
        if (image->state == RECORD_SUSPENDED && !image->superseded) {
            return true;
        }
    }
    return false;
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
    uint64_t newest = 0; /* a clock that is set back may let two hold */
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        const struct shadow_process *process = &shadow->processes[i];
        if (process->number > newest && process->has_key &&
            memcmp(process->key, key, RECORD_DIGEST_BYTES) == 0) {
            newest = process->number;
        }
    }
    for (uint32_t i = 0; i < SHADOW_KEYS; i++) {
        if (shadow->keys[i].number != 0 && shadow->keys[i].process > newest &&
            !is_over(host, &shadow->keys[i]) &&
            memcmp(shadow->keys[i].key, key, RECORD_DIGEST_BYTES) == 0) {
            newest = shadow->keys[i].process;
        }
    }
    return newest;
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

uint64_t shadow_group_before(const struct shadow *shadow) {
    return shadow->mark_seq[(shadow->mark_next + SHADOW_MARKS - 2) % SHADOW_MARKS];
}

/* ---- what the gap rule carries ---- */

static bool is_known_key(const struct shadow *shadow, uint64_t number) {
    bool is_known = false;
    for (uint32_t i = 0; i < SHADOW_KEYS; i++) {
        is_known = is_known || shadow->keys[i].number >= number;
    }
    return is_known;
}

/* A record that stands in the log a second time, since the first is given up. */
static bool is_carried(const struct shadow_taking *taking) {
    const struct record_header *header = &taking->header;
    const struct shadow_process *process = taking->process;
    switch (header->kind) {
    case RECORD_REQUEST:
        return header->path[0] <= taking->shadow->process_number;
    case RECORD_PROCESS:
    case RECORD_ITEM:
    case RECORD_ATTEMPT:
        return process == NULL ? header->event == RECORD_EVICTED_EVENT
                               : header->revision <= process->revision;
    case RECORD_KEY:
        return is_known_key(taking->shadow, header->path[0]);
    case RECORD_HUB:
        return header->revision <= taking->shadow->hub_revision;
    case RECORD_ANSWER:
        return shadow_answer_is_known(taking);
    case RECORD_PHONE:
    case RECORD_KIND_COUNT:
        break;
    }
    return false;
}

/* Only the newest image of an object goes on. */
static void take_carried(struct shadow_taking *taking) {
    struct sim_world *world = taking->world;
    struct shadow_process *process = taking->process;
    const struct record_header *header = &taking->header;
    world->counts.carried += 1;
    if (process == NULL) {
        return;
    }
    uint64_t newest = header->revision;
    if (header->kind == RECORD_REQUEST) {
        process->request_seq = taking->seq;
    } else if (header->kind == RECORD_PROCESS) {
        newest = process->image_revision;
        process->image_seq = taking->seq;
        process->is_carried = true;
    } else if (header->kind == RECORD_ITEM && header->path[1] <= process->item_count) {
        newest = process->items[header->path[1] - 1].revision;
        process->items[header->path[1] - 1].seq = taking->seq;
    }
    sim_require(world, header->revision == newest,
                "I33 revision %llu of an object of process %llu was carried on, its newest is %llu",
                (unsigned long long)header->revision, (unsigned long long)process->number,
                (unsigned long long)newest);
    process->last_seq = taking->seq;
}

static void take_record(struct sim_host *host, uint64_t seq, struct bytes body) {
    struct shadow_taking taking = {
        .host = host, .world = host->world, .shadow = &host->shadow, .seq = seq};
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
    if (is_of_process) {
        taking.process = shadow_process_find(taking.shadow, taking.header.path[0]);
    }
    if (is_carried(&taking)) {
        take_carried(&taking);
        world->counts.records += 1;
        host->shadow.hash = shadow_mix(host->shadow.hash, body);
        return;
    }
    if (is_of_process && kind != RECORD_REQUEST) {
        sim_require(world, taking.process != NULL,
                    "I2 a record of process %llu, which is not there",
                    (unsigned long long)taking.header.path[0]);
    }
    static void (*const takers[RECORD_KIND_COUNT])(struct shadow_taking *) = {
        [RECORD_HUB] = shadow_take_hub,         [RECORD_PHONE] = shadow_take_phone,
        [RECORD_REQUEST] = shadow_take_request, [RECORD_PROCESS] = shadow_take_process,
        [RECORD_ITEM] = shadow_take_item,       [RECORD_ATTEMPT] = shadow_take_attempt,
        [RECORD_KEY] = shadow_take_key,         [RECORD_ANSWER] = shadow_take_answer,
    };
    if (takers[kind] != NULL) {
        takers[kind](&taking);
    }
    if (is_of_process) {
        shadow_judge_process(&taking);
        if (taking.header.event == RECORD_EVICTED_EVENT) {
            shadow_evict(&taking);
        } else if (taking.header.event == RECORD_WITHDRAWN_EVENT && kind == RECORD_PROCESS) {
            taking.process->number = 0;
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
        shadow_judge_group(host);
        world->counts.groups += 1;
        sim_mix(world, shadow->hash);
    }
    sim_require(world, status == STATUS_AGAIN, "I2 the log cannot be read: status %d", status);
    sim_require(world, shadow->seq == host->hub.store.durable_seq,
                "I1 %llu records are durable, the log has %llu",
                (unsigned long long)host->hub.store.durable_seq, (unsigned long long)shadow->seq);
}
