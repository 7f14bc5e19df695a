/* hub_bench.c - row P6, and the core's part of P3: what a job costs the core, in instructions.
 *
 *   hub_bench ITEMS BATCH JOBS
 *
 * ITEMS requests wait on a hub with the tables of board `large` and 32 phones. Then JOBS more are
 * taken through, BATCH at a time: accepted, committed; leased and started, committed; ended,
 * committed. To be run under callgrind with --toggle-collect=bench_apply and =bench_commit:
 * bench_apply is the core's decisions and its records' encoding into the open group; bench_commit
 * is sealing that group (CRCs, hash chain), programming it into memory, and the cleaner.
 * A transition is one change of an item's state that the table of firmware/item.c allows and that
 * stands in a record: a job has four (accepted to ready, leased, running, completed). */
#include "firmware/hub.h"
#include "tests/bench/counting_flash.h"
#include "tests/bench/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PHONES = 32, PAYLOAD_BYTES = 64, FLASH_BLOCKS = 1024 };

extern const struct board board_large;

static struct counting_flash flash;
static struct hub hub;
static struct hub_clock now = {.mono_ms = 1000, .wall_ms = 1700000000000, .quality = 2};
static uint8_t boot_id[RECORD_DIGEST_BYTES] = {1};
static void *memory;

static void must(enum status status, const char *what) {
    if (status != STATUS_OK) {
        fprintf(stderr, "bench: %s ended with status %d\n", what, (int)status);
        exit(1);
    }
}

static void load(void) {
    struct capability capability = {
        .name = "work",
        .routings = UINT32_MAX,
        .attempts_max = 3,
        .backoff = {.base_ms = 1000, .cap_ms = 8000, .factor = 2},
        .attempt_ms = 60000,
        .action_count = 1,
    };
    memset(memory, 0, hub_bytes(&board_large));
    hub_init(&hub, &board_large, memory, &flash.base, 99);
    must(hub_capability_set(&hub, &capability), "setting a capability");
    must(hub_load(&hub, bytes_of("hub"), boot_id, &now), "loading the hub");
    hub_set_clock(&hub, &now);
}

static void commit(void) {
    while (hub.store.open_records > 0 || hub.store.is_syncing) {
        enum status status = hub_commit(&hub);
        if (status != STATUS_AGAIN) {
            must(status, "a commit");
        }
        status = hub_poll(&hub);
        if (status != STATUS_AGAIN) {
            must(status, "a sync");
        }
    }
}

/* Outside of this function a commit is set-up, and not counted. */
void bench_commit(void);
__attribute__((noinline)) void bench_commit(void) {
    commit();
}

/* ---- one job's three calls ---- */

static enum status accept_one(uint32_t number) {
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
    return hub_accept(&hub, &order, &accepted);
}

static void end_one(const struct hub_start *start) {
    struct record_attempt end = {.outcome = RECORD_SUCCESS, .result = bytes_of("{}")};
    must(hub_attempt_end(&hub, start->phone, start->token, &end), "ending an attempt");
}

enum phase { ACCEPT, LEASE, END };

void bench_apply(enum phase phase, uint32_t batch, uint32_t first);
__attribute__((noinline)) void bench_apply(enum phase phase, uint32_t batch, uint32_t first) {
    struct hub_start start;
    if (phase == LEASE) {
        hub_step(&hub);
        return;
    }
    for (uint32_t i = 0; i < batch; i++) {
        if (phase == ACCEPT) {
            must(accept_one(first + i), "a request");
        } else if (hub_next_start(&hub, &start)) {
            end_one(&start);
        }
    }
}

/* ---- set-up ---- */

static void prepare(void) {
    static const uint8_t store_id[STORE_ID_BYTES] = {7};
    counting_flash_init(&flash, board_large.block_bytes, FLASH_BLOCKS, board_large.program_bytes);
    memory = mmap(NULL, hub_bytes(&board_large), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(memory != MAP_FAILED);
    hub_init(&hub, &board_large, memory, &flash.base, 99);
    must(store_format(&hub.store, store_id, 1), "formatting");
    load();
    commit();
}

static void fill(uint32_t items) {
    for (uint32_t i = 0; i < items; i++) {
        enum status status = accept_one(i);
        if (status == STATUS_AGAIN) {
            commit();
            status = accept_one(i);
        }
        must(status, "a request");
    }
    commit();
}

static void measure_load(void) {
    double start = report_cpu_seconds();
    load();
    report("load_milliseconds", (report_cpu_seconds() - start) * 1e3);
    commit();
}

static void attach_phones(uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        char id[] = "phone-00";
        uint32_t phone;
        id[6] = (char)('0' + i / 10);
        id[7] = (char)('0' + i % 10);
        struct bytes name = {(const uint8_t *)id, sizeof id - 1};
        must(hub_phone_identify(&hub, name, bytes_of("slot"), bytes_of("model"), &phone),
             "a phone");
        must(hub_phone_event(&hub, phone, PHONE_ON_ATTACHED, NULL), "attaching");
        must(hub_phone_event(&hub, phone, PHONE_ON_HANDSHAKE, NULL), "a handshake");
        commit();
    }
}

/* Being accepted is a transition too: from nothing to ready. */
static uint64_t transition_count(void) {
    uint64_t sum = hub.counters.accepted;
    for (int from = 0; from < RECORD_ITEM_STATE_COUNT; from++) {
        for (int to = 0; to < RECORD_ITEM_STATE_COUNT; to++) {
            sum += hub.counters.transitions[from][to];
        }
    }
    return sum;
}

/* Runs one batch through; the phones are then free again. */
static void run_batch(uint32_t batch, uint32_t first) {
    now.mono_ms += 1;
    now.wall_ms += 1;
    hub_set_clock(&hub, &now);
    for (enum phase phase = ACCEPT; phase <= END; phase++) {
        bench_apply(phase, batch, first);
        bench_commit();
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: hub_bench ITEMS BATCH JOBS\n");
        return 2;
    }
    uint32_t items = (uint32_t)strtoul(argv[1], NULL, 10);
    uint32_t batch = (uint32_t)strtoul(argv[2], NULL, 10);
    uint32_t jobs = (uint32_t)strtoul(argv[3], NULL, 10);
    check(batch > 0 && batch <= PHONES);
    prepare();
    fill(items);
    measure_load();
    attach_phones(batch);
    hub_step(&hub); /* looks at every item once after a start */
    commit();
    for (struct hub_start start; hub_next_start(&hub, &start);) {
        end_one(&start);
    }
    commit();
    uint64_t records = hub_head_seq(&hub);
    uint64_t transitions = transition_count();
    uint64_t appended = hub.store.stats.bytes_appended;
    double start = report_cpu_seconds();
    for (uint32_t done = 0; done < jobs; done += batch) {
        run_batch(batch, items + done);
    }
    report("run_seconds", report_cpu_seconds() - start);
    report("transitions", (double)(transition_count() - transitions));
    report("records", (double)(hub_head_seq(&hub) - records));
    report("bytes", (double)(hub.store.stats.bytes_appended - appended));
    report("items", items);
    return 0;
}
