#include "tests/bench/hub_log.h"

#include "firmware/hub_sync.h"
#include "tests/bench/hub_work.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* What stands in the records where a hub's number goes: in no other text. */
#define PLACE "@@@@@@"
enum {
    PLACE_BYTES = sizeof PLACE - 1,
    BYTES_MAX = 1 << 30,
    GROUPS_MAX = 1 << 20,
    PUSH_BYTES = 1 << 20,
};

static struct hub_log_group *groups;
static uint8_t *bytes;
static size_t size;
static uint32_t count;
static struct hub_sync sync;

static void *map(size_t bytes_wanted) {
    void *memory = mmap(NULL, bytes_wanted, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(memory != MAP_FAILED);
    return memory;
}

static uint32_t count_transitions(struct bytes records) {
    struct bytes body;
    uint32_t transitions = 0;
    while (sync_record_next(&records, &body)) {
        struct cbor_reader reader;
        struct record_header header;
        cbor_reader_init(&reader, body);
        record_get_header(&reader, &header);
        transitions += header.kind == RECORD_ITEM;
    }
    return transitions;
}

static void keep(const struct sync_group *group) {
    check(count < GROUPS_MAX && group->records.size <= HUB_LOG_GROUP_BYTES);
    check(size + group->records.size <= BYTES_MAX);
    groups[count] = (struct hub_log_group){
        .at = size,
        .size = (uint32_t)group->records.size,
        .record_count = group->record_count,
        .transitions = count_transitions(group->records),
    };
    memcpy(bytes + size, group->records.data, group->records.size);
    size += group->records.size;
    count += 1;
}

/* Commits, and plays the upstream that takes it. */
static void commit(void) {
    static uint8_t buffer[PUSH_BYTES];
    struct bytes message;
    struct sync_push push;
    hub_work_commit();
    while (hub_sync_has_more(&sync)) {
        struct sync_group group = {0};
        hub_work_must(hub_sync_push(&sync, false, buffer, sizeof buffer, &message), "a push");
        hub_work_must(sync_push_read(message, &push), "reading a push");
        struct sync_reply reply = {.result = SYNC_OK, .cursor = push.last_seq};
        while (sync_group_next(&push, &group)) {
            keep(&group);
        }
        memcpy(reply.chain, group.chain, RECORD_CHAIN_BYTES);
        check(hub_sync_accept(&sync, &reply));
    }
}

void hub_log_make(struct hub_log *log, uint32_t jobs, uint32_t batch) {
    static uint8_t group_buffer[PUSH_BYTES];
    check(batch > 0 && batch <= HUB_WORK_PHONES);
    groups = map(GROUPS_MAX * sizeof *groups);
    bytes = map(BYTES_MAX);
    hub_work_open(&(struct hub_work_names){"hub-" PLACE, PLACE "-"});
    hub_sync_init(&sync, &hub_work, group_buffer, sizeof group_buffer);
    commit();
    hub_work_attach(batch);
    hub_step(&hub_work);
    commit();
    for (uint32_t done = 0; done < jobs; done += batch) {
        hub_work_tick();
        for (uint32_t i = 0; i < batch; i++) {
            hub_work_must(hub_work_accept(done + i), "a request");
        }
        commit();
        hub_step(&hub_work);
        commit();
        hub_work_end(batch);
        commit();
    }
    *log = (struct hub_log){.bytes = bytes, .groups = groups, .group_count = count};
}

void hub_log_copy(const struct hub_log *log, const struct hub_log_group *group, uint32_t index,
                  uint8_t target[HUB_LOG_GROUP_BYTES]) {
    char digits[16];
    check(index < 1000000);
    snprintf(digits, sizeof digits, "%06u", index);
    memcpy(target, log->bytes + group->at, group->size);
    uint8_t *end = target + group->size;
    uint8_t *place = memmem(target, group->size, PLACE, PLACE_BYTES);
    while (place != NULL) {
        memcpy(place, digits, PLACE_BYTES);
        place += PLACE_BYTES;
        place = memmem(place, (size_t)(end - place), PLACE, PLACE_BYTES);
    }
}
