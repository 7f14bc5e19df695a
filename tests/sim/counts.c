#include "tests/sim/counts.h"

#include <stdio.h>

static const char *const fault_names[] = {
#define FAULT(name, row, text) #name,
    SIM_FAULTS(FAULT)
#undef FAULT
};

static const char *const fault_rows[] = {
#define FAULT(name, row, text) row,
    SIM_FAULTS(FAULT)
#undef FAULT
};

static const char *const fault_texts[] = {
#define FAULT(name, row, text) text,
    SIM_FAULTS(FAULT)
#undef FAULT
};

static const char *const answer_names[] = {
#define ANSWER(name, text) text,
    SIM_ANSWERS(ANSWER)
#undef ANSWER
};

static const char *const status_names[] = {
#define STATUS(name, class, text) #name,
#include "hal/status.def"
#undef STATUS
};

const char *sim_fault_name(enum sim_fault fault) {
    return fault_names[fault];
}

void sim_counts_add(struct sim_counts *sum, const struct sim_counts *more) {
    _Static_assert(sizeof *sum % sizeof(uint64_t) == 0, "counts are numbers of 64 bits only");
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)more;
    for (size_t i = 0; i < sizeof *sum / sizeof(uint64_t); i++) {
        to[i] += from[i];
    }
}

static uint64_t fault_sum(const struct sim_counts *counts) {
    uint64_t sum = 0;
    for (uint32_t fault = 0; fault < SIM_FAULT_NET_LOSS; fault++) {
        sum += counts->faults[fault];
    }
    return sum;
}

static void print_one(const char *what, uint64_t value) {
    printf("%-34s%14llu\n", what, (unsigned long long)value);
}

static void print_answers(const struct sim_counts *counts) {
    for (uint32_t of = 0; of < SIM_ANSWER_COUNT; of++) {
        printf("answers of %-14s", answer_names[of]);
        for (uint32_t status = 0; status < STATUS_COUNT; status++) {
            if (counts->answers[of][status] > 0) {
                printf(" %s %llu", status_names[status],
                       (unsigned long long)counts->answers[of][status]);
            }
        }
        putchar('\n');
    }
}

static const char *const fleet_texts[FLEET_EVENT_COUNT] = {
#define EVENT(name, text) text,
    FLEET_EVENTS(EVENT)
#undef EVENT
};

const char *sim_fleet_text(enum fleet_event event) {
    return fleet_texts[event];
}

static void print_fleet(const struct sim_counts *counts) {
    for (uint32_t event = 0; event < FLEET_EVENT_COUNT; event++) {
        print_one(fleet_texts[event], counts->fleet[event]);
    }
    printf("upstream's commands:");
    for (uint32_t code = 0; code < RECORD_ANSWER_CODE_COUNT; code++) {
        printf(" %s %llu", record_answer_name((enum record_answer_code)code),
               (unsigned long long)counts->command_answers[code]);
    }
    putchar('\n');
}

void sim_counts_print(const struct sim_counts *counts) {
    double hours = (double)counts->hub_ms / 3600000.0;
    print_one("seeds", counts->seeds);
    print_one("hub-hours", (uint64_t)hours);
    print_one("events", counts->events);
    print_one("transitions of items and phones", counts->transitions);
    print_one("records", counts->records);
    print_one("commit groups", counts->groups);
    print_one("attempts begun", counts->starts);
    print_one("effects judged at the phone", counts->effects);
    print_one("daemon starts", counts->boots);
    print_one("answers told", counts->told);
    print_one("pushes", counts->pushes);
    print_one("gaps in a hub's history", counts->gaps);
    print_one("records carried over a gap", counts->carried);
    print_one("whole comparisons", counts->compared);
    print_one("generations begun by people", counts->retries);
    print_one("items claimed by workers", counts->claimed);
    print_one("power cycles granted", counts->power_cycles);
    print_one("looks at what is due", counts->due);
    print_one("objects read in rotten stores", counts->rotten_reads);
    print_one("stale words refused", counts->stale);
    print_one("processes that had to end", counts->demanded);
    print_one("of them excused with a proof", counts->excused);
    print_one("hubs that came to rest", counts->drained);
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        printf("fault %-13s%14llu   %-12s %s\n", fault_names[fault],
               (unsigned long long)counts->faults[fault], fault_rows[fault], fault_texts[fault]);
    }
    print_fleet(counts);
    print_answers(counts);
    printf("%.0f hub-hours, %.1f transitions and %.2f faults an hour (lost, late and repeated "
           "messages not counted)\n",
           hours, (double)counts->transitions / hours, (double)fault_sum(counts) / hours);
}

const char *sim_status_name(enum status status) {
    return status_names[status];
}
