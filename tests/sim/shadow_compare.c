/* Hub and shadow, side by side: everything that is retained. Nothing is open or being synced, so
 * both stand at the same record. */
#include "tests/sim/sim.h"

#include <string.h>

static void compare_item(struct sim_host *host, const struct shadow_process *process,
                         const struct hub_item *item) {
    struct sim_world *world = host->world;
    sim_require(world, item->number >= 1 && item->number <= process->item_count,
                "I2 item %llu.%u is no record's", (unsigned long long)process->number,
                item->number);
    const struct record_item *a = &item->image;
    const struct record_item *b = &process->items[item->number - 1].image;
    sim_require(world,
                a->state == b->state && a->stop == b->stop && a->suspension == b->suspension &&
                    a->superseded == b->superseded && a->generation == b->generation,
                "I2 item %llu.%u is %s here, its record says %s",
                (unsigned long long)process->number, item->number, record_item_state_name(a->state),
                record_item_state_name(b->state));
    sim_require(world,
                a->attempt == b->attempt && a->attempts_counted == b->attempts_counted &&
                    a->deliveries == b->deliveries && a->faults == b->faults &&
                    a->token == b->token && a->phone == b->phone &&
                    a->target_phone == b->target_phone,
                "I2 counters of item %llu.%u differ from its record",
                (unsigned long long)process->number, item->number);
    sim_require(world, a->actions_done >= b->actions_done, "I16 item %llu.%u forgot what was done",
                (unsigned long long)process->number, item->number);
}

static void compare_process(struct sim_host *host, const struct shadow_process *process) {
    struct sim_world *world = host->world;
    uint32_t index = hub_process_find(&host->hub, process->number);
    sim_require(world, index != HUB_NONE, "I1 process %llu is gone",
                (unsigned long long)process->number);
    const struct hub_process *of = &host->hub.processes[index];
    uint64_t deadline_ms = process->image.is_deadline_over ? 0 : process->deadline_ms;
    uint32_t count = 0;
    sim_require(world, of->status == process->status && of->revision == process->revision,
                "I2 process %llu is in row %u at %llu, its records say %u at %llu",
                (unsigned long long)process->number, of->status, (unsigned long long)of->revision,
                process->status, (unsigned long long)process->revision);
    sim_require(world,
                of->image.flags == process->image.flags &&
                    of->image.generation == process->image.generation &&
                    (of->end_seq != 0 || of->deadline_ms == deadline_ms) &&
                    of->has_key == process->has_key,
                "I2 process %llu differs from its records: flags %u %u, key %d %d",
                (unsigned long long)process->number, of->image.flags, process->image.flags,
                of->has_key, process->has_key);
    for (uint32_t i = of->first_item; i != HUB_NONE; i = host->hub.items[i].next_of_process) {
        compare_item(host, process, &host->hub.items[i]);
        count += 1;
    }
    sim_require(world, count == process->item_count, "I18 process %llu has %u items, made were %u",
                (unsigned long long)process->number, count, process->item_count);
}

static void compare_phones(struct sim_host *host) {
    struct sim_world *world = host->world;
    for (uint32_t row = 0; row < host->hub.phone_count; row++) {
        const struct hub_phone *phone = &host->hub.phones[row];
        const struct shadow_phone *known = &host->shadow.phones[phone->number];
        sim_require(world, strcmp(phone->id, known->id) == 0, "I28 phone row %u is %s, was %s", row,
                    phone->id, known->id);
        sim_require(world, (phone->item != HUB_NONE) == (known->process != 0),
                    "I13 phone %s: leased in the log and in the table differ", phone->id);
    }
}

static void compare_keys(struct sim_host *host) {
    for (uint32_t k = 0; k < SHADOW_KEYS; k++) {
        const struct shadow_key *key = &host->shadow.keys[k];
        bool is_there = key->number == 0;
        for (uint32_t i = 0; i < SHADOW_KEYS && !is_there; i++) {
            is_there = host->hub.keys[i].number == key->number &&
                       host->hub.keys[i].process == key->process;
        }
        sim_require(host->world, is_there, "I34 key %llu is forgotten",
                    (unsigned long long)key->number);
    }
}

/* An object that cannot be read is no lie; an older image of it would be. */
static void compare_revision(struct sim_host *host, struct store_key key, uint64_t revision) {
    struct record_header header;
    struct cbor_reader image;
    if (hub_read(&host->hub, key, &header, &image) == STATUS_OK) {
        host->world->counts.rotten_reads += 1;
        sim_require(host->world, header.revision >= revision,
                    "I5 after rot, object %u/%u is served at revision %llu, it was at %llu",
                    key.kind, key.index, (unsigned long long)header.revision,
                    (unsigned long long)revision);
    }
}

void shadow_compare_rotten(struct sim_host *host) {
    for (uint32_t p = 0; p < SHADOW_PROCESSES; p++) {
        const struct shadow_process *process = &host->shadow.processes[p];
        uint32_t index =
            process->number == 0 ? HUB_NONE : hub_process_find(&host->hub, process->number);
        if (index == HUB_NONE) {
            continue;
        }
        compare_revision(host, (struct store_key){RECORD_PROCESS, index}, process->image_revision);
        for (uint32_t i = 0; i < process->item_count; i++) {
            uint32_t item = hub_item_find(&host->hub, index, i + 1);
            if (item != HUB_NONE) {
                compare_revision(host, (struct store_key){RECORD_ITEM, item},
                                 process->items[i].revision);
            }
        }
    }
}

void shadow_compare(struct sim_host *host) {
    struct sim_world *world = host->world;
    uint32_t count = 0;
    if (host->hub.store.durable_seq != host->shadow.seq) {
        return;
    }
    bool is_still = host->hub.store.open_records == 0 ||
                    host->hub.store.head_seq - host->hub.store.durable_seq == 1; /* its start */
    if (!is_still || host->hub.store.is_syncing) {
        return;
    }
    world->counts.compared += 1;
    for (uint32_t i = 0; i < SHADOW_PROCESSES; i++) {
        if (host->shadow.processes[i].number != 0) {
            compare_process(host, &host->shadow.processes[i]);
            count += 1;
        }
    }
    sim_require(world, count == host->hub.process_pool.used, "I2 %u processes, the log has %u",
                host->hub.process_pool.used, count);
    compare_phones(host);
    compare_keys(host);
    sim_require(world, host->flash.violations == 0, "I8 the flash was programmed twice");
}
