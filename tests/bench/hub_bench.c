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
#include "tests/bench/hub_work.h"
#include "tests/bench/report.h"

#include <stdio.h>
#include <stdlib.h>

/* Outside of this function a commit is set-up, and not counted. */
void bench_commit(void);
__attribute__((noinline)) void bench_commit(void) {
    hub_work_commit();
}

enum phase { ACCEPT, LEASE, END };

void bench_apply(enum phase phase, uint32_t batch, uint32_t first);
__attribute__((noinline)) void bench_apply(enum phase phase, uint32_t batch, uint32_t first) {
    if (phase == LEASE) {
        hub_step(&hub_work);
    } else if (phase == END) {
        hub_work_end(batch);
    }
    for (uint32_t i = 0; i < batch && phase == ACCEPT; i++) {
        hub_work_must(hub_work_accept(first + i), "a request");
    }
}

/* ---- set-up ---- */

static void fill(uint32_t items) {
    for (uint32_t i = 0; i < items; i++) {
        enum status status = hub_work_accept(i);
        if (status == STATUS_AGAIN) {
            hub_work_commit();
            status = hub_work_accept(i);
        }
        hub_work_must(status, "a request");
    }
    hub_work_commit();
}

static void measure_load(void) {
    double start = report_cpu_seconds();
    hub_work_load();
    report("load_milliseconds", (report_cpu_seconds() - start) * 1e3);
    hub_work_commit();
}

/* Being accepted is a transition too: from nothing to ready. */
static uint64_t transition_count(void) {
    uint64_t sum = hub_work.counters.accepted;
    for (int from = 0; from < RECORD_ITEM_STATE_COUNT; from++) {
        for (int to = 0; to < RECORD_ITEM_STATE_COUNT; to++) {
            sum += hub_work.counters.transitions[from][to];
        }
    }
    return sum;
}

/* Runs one batch through; the phones are then free again. */
static void run_batch(uint32_t batch, uint32_t first) {
    hub_work_tick();
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
    check(batch > 0 && batch <= HUB_WORK_PHONES);
    hub_work_open(&(struct hub_work_names){"hub", "phone-"});
    fill(items);
    measure_load();
    hub_work_attach(batch);
    hub_step(&hub_work); /* looks at every item once after a start */
    hub_work_commit();
    hub_work_end(UINT32_MAX);
    hub_work_commit();
    uint64_t records = hub_head_seq(&hub_work);
    uint64_t transitions = transition_count();
    uint64_t appended = hub_work.store.stats.bytes_appended;
    double start = report_cpu_seconds();
    for (uint32_t done = 0; done < jobs; done += batch) {
        run_batch(batch, items + done);
    }
    report("run_seconds", report_cpu_seconds() - start);
    report("transitions", (double)(transition_count() - transitions));
    report("records", (double)(hub_head_seq(&hub_work) - records));
    report("bytes", (double)(hub_work.store.stats.bytes_appended - appended));
    report("items", items);
    return 0;
}
