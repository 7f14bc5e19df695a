#include "tests/bench/hub_work.h"

#include "tests/bench/counting_flash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAYLOAD_BYTES = 64, FLASH_BLOCKS = 1024, NAME_SIZE = 40 };

extern const struct board board_large;

struct hub hub_work;

static struct counting_flash flash;
static struct hub_clock now = {.mono_ms = 1000, .wall_ms = 1700000000000, .quality = 2};
static uint8_t boot_id[RECORD_DIGEST_BYTES] = {1};
static void *memory;
static struct hub_work_names names;

void hub_work_must(enum status status, const char *what) {
    if (status != STATUS_OK) {
        fprintf(stderr, "bench: %s ended with status %d\n", what, (int)status);
        exit(1);
    }
}

void hub_work_load(void) {
    struct capability capability = {
        .name = "work",
        .routings = UINT32_MAX,
        .attempts_max = 3,
        .backoff = {.base_ms = 1000, .cap_ms = 8000, .factor = 2},
        .attempt_ms = 60000,
        .action_count = 1,
    };
    const struct bytes hub_id = {(const uint8_t *)names.hub_id, strlen(names.hub_id)};
    memset(memory, 0, hub_bytes(&board_large));
    hub_init(&hub_work, &board_large, memory, &flash.base, 99);
    hub_work_must(hub_capability_set(&hub_work, &capability), "setting a capability");
    hub_work_must(hub_load(&hub_work, hub_id, boot_id, &now), "loading the hub");
    hub_set_clock(&hub_work, &now);
}

void hub_work_commit(void) {
    while (hub_work.store.open_records > 0 || hub_work.store.is_syncing) {
        enum status status = hub_commit(&hub_work);
        if (status != STATUS_AGAIN) {
            hub_work_must(status, "a commit");
        }
        status = hub_poll(&hub_work);
        if (status != STATUS_AGAIN) {
            hub_work_must(status, "a sync");
        }
    }
}

void hub_work_open(const struct hub_work_names *wanted) {
    static const uint8_t store_id[STORE_ID_BYTES] = {7};
    names = *wanted;
    counting_flash_init(&flash, board_large.block_bytes, FLASH_BLOCKS, board_large.program_bytes);
    memory = mmap(NULL, hub_bytes(&board_large), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(memory != MAP_FAILED);
    hub_init(&hub_work, &board_large, memory, &flash.base, 99);
    hub_work_must(store_format(&hub_work.store, store_id, 1), "formatting");
    hub_work_load();
    hub_work_commit();
}

enum status hub_work_accept(uint32_t number) {
    static uint8_t inputs[PAYLOAD_BYTES];
    uint8_t key[RECORD_DIGEST_BYTES] = {0};
    uint32_t mixed = number * 2654435761u;
    memset(inputs, '1', sizeof inputs);
    memcpy(key, &mixed, sizeof mixed);
    memcpy(key + sizeof mixed, &number, sizeof number);
    struct record_request request = {
        .process_type = bytes_of("work"),
        .system = bytes_of("bench"),
        .target = bytes_of("{}"),
        .inputs = {inputs, sizeof inputs},
        .key = {key, sizeof key},
        .body_digest = {key, sizeof key},
        .routing = RECORD_QUEUE,
    };
    struct hub_order order = {.request = &request, .item_count = 1};
    struct hub_accepted accepted;
    return hub_accept(&hub_work, &order, &accepted);
}

void hub_work_attach(uint32_t count) {
    check(count <= HUB_WORK_PHONES);
    for (uint32_t i = 0; i < count; i++) {
        char id[NAME_SIZE];
        uint32_t phone;
        snprintf(id, sizeof id, "%s%02u", names.phone_prefix, i);
        struct bytes name = {(const uint8_t *)id, strlen(id)};
        hub_work_must(
            hub_phone_identify(&hub_work, name, bytes_of("slot"), bytes_of("model"), &phone),
            "a phone");
        hub_work_must(hub_phone_event(&hub_work, phone, PHONE_ON_ATTACHED, NULL), "attaching");
        hub_work_must(hub_phone_event(&hub_work, phone, PHONE_ON_HANDSHAKE, NULL), "a handshake");
        hub_work_commit();
    }
}

void hub_work_end(uint32_t count) {
    struct record_attempt end = {.outcome = RECORD_SUCCESS, .result = bytes_of("{}")};
    struct hub_start start;
    for (uint32_t i = 0; i < count && hub_next_start(&hub_work, &start); i++) {
        hub_work_must(hub_attempt_end(&hub_work, start.phone, start.token, &end),
                      "ending an attempt");
    }
}

void hub_work_tick(void) {
    now.mono_ms += 1;
    now.wall_ms += 1;
    hub_set_clock(&hub_work, &now);
}
