#include "tests/bench/store_workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND = 1 };

static void must(enum status status, const char *what) {
    if (status != STATUS_OK) {
        fprintf(stderr, "bench: %s ended with status %d\n", what, (int)status);
        exit(1);
    }
}

static uint32_t roll(struct workload *workload) {
    workload->dice = workload->dice * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(workload->dice >> 33);
}

static void fill(uint8_t *value, uint32_t object, uint32_t number) {
    memset(value, (int)(number * 31 + object), WORKLOAD_VALUE_BYTES);
    memcpy(value, &object, sizeof object);
    memcpy(value + sizeof object, &number, sizeof number);
}

static void lend(struct workload *workload, uint32_t frame_bytes) {
    workload->memory = (struct store_memory){
        .slots = workload->slots,
        .slot_counts = {[KIND] = WORKLOAD_OBJECTS},
        .blocks = workload->blocks,
        .order = workload->order,
        .group_buffer = workload->group_buffer,
        .copy_buffer = workload->copy_buffer,
        .group_bytes = frame_bytes,
        .frame_bytes = frame_bytes,
    };
}

void workload_mount(struct workload *workload) {
    store_init(&workload->store, &workload->flash.base, &workload->memory);
    must(store_mount(&workload->store), "a mount");
}

/* As a hub without an upstream: what is durable is acknowledged. */
static void commit(struct workload *workload) {
    struct store *store = &workload->store;
    while (store->open_records > 0 || store->is_syncing) {
        enum status status = store_commit(store);
        if (status != STATUS_AGAIN) {
            must(status, "a commit");
        }
        status = store_poll(store);
        if (status != STATUS_AGAIN) {
            must(status, "a sync");
        }
        store_acknowledge(store, store->durable_seq, store->head_chain);
        must(store_clean(store), "a step of the cleaner");
    }
}

static void write_object(struct workload *workload, uint32_t object) {
    uint8_t value[WORKLOAD_VALUE_BYTES];
    workload->values[object] += 1;
    fill(value, object, workload->values[object]);
    (void)store_append(&workload->store, (struct store_key){KIND, object}, NULL,
                       (struct bytes){value, sizeof value});
    if (workload->store.open_records == workload->group) {
        commit(workload);
    }
}

void workload_update(struct workload *workload, uint32_t updates) {
    for (uint32_t i = 0; i < updates; i++) {
        write_object(workload, roll(workload) % WORKLOAD_OBJECTS);
    }
    commit(workload);
}

void workload_start(struct workload *workload, const struct workload_shape *shape, uint64_t seed) {
    static const uint8_t id[STORE_ID_BYTES] = {9};
    check(shape->frame_bytes <= WORKLOAD_FRAME_MAX);
    memset(workload, 0, sizeof *workload);
    counting_flash_init(&workload->flash, shape->block_bytes, shape->block_count,
                        shape->program_bytes);
    lend(workload, shape->frame_bytes);
    workload->group = shape->group;
    workload->dice = seed;
    store_init(&workload->store, &workload->flash.base, &workload->memory);
    must(store_format(&workload->store, id, 1), "formatting");
    workload_mount(workload);
    for (uint32_t object = 0; object < WORKLOAD_OBJECTS; object++) {
        write_object(workload, object);
    }
    while (workload->flash.erases <= shape->block_count) {
        workload_update(workload, 16 * shape->group);
    }
}

void workload_verify(struct workload *workload) {
    uint8_t buffer[STORE_RECORD_BYTES + WORKLOAD_VALUE_BYTES];
    uint8_t value[WORKLOAD_VALUE_BYTES];
    for (uint32_t object = 0; object < WORKLOAD_OBJECTS; object++) {
        struct store_record record;
        must(store_read(&workload->store, (struct store_key){KIND, object}, buffer, sizeof buffer,
                        &record),
             "reading back");
        fill(value, object, workload->values[object]);
        if (record.body.size != sizeof value || memcmp(record.body.data, value, sizeof value)) {
            fprintf(stderr, "bench: object %u is not what was written\n", object);
            exit(1);
        }
    }
    if (workload->flash.rule_breaks > 0) {
        fprintf(stderr, "bench: a bit was programmed from 0 to 1\n");
        exit(1);
    }
}
