/* Vacuity: a campaign in which something never happened has proved nothing about it. */
#include "tests/sim/counts.h"
#include "tests/sim/shadow.h"

#include <stdio.h>

/* ---- what need not be seen, and why ---- */

struct excuse {
    uint8_t state, event;
    const char *why;
};

/* A row that is seen after all must leave this list: then the excuse is no longer true. */
static const struct excuse item_excuses[] = {
#define EXCUSE(state, on, why)                                                                     \
    { RECORD_##state, ITEM_ON_##on, why }
    EXCUSE(LEASED, RENEW, "a renewal is no record"),
    EXCUSE(RUNNING, RENEW, "a renewal is no record"),
    EXCUSE(LEASED, RETURN, "grant and start are one group: external workers are not simulated yet"),
    EXCUSE(LEASED, POISON, "the same"),
    EXCUSE(LEASED, GIVE_BACK, "the same"),
    EXCUSE(LEASED, CANCEL, "the same"),
    EXCUSE(LEASED, DEADLINE, "the same"),
    EXCUSE(RETRY_WAIT, GIVE_UP, "no policy ends a retry yet"),
#undef EXCUSE
};

static const struct excuse *find_excuse(uint32_t state, uint32_t event) {
    for (size_t i = 0; i < array_count(item_excuses); i++) {
        if (item_excuses[i].state == state && item_excuses[i].event == event) {
            return &item_excuses[i];
        }
    }
    return NULL;
}

static bool item_edges_are_whole(const struct sim_counts *counts) {
    bool is_whole = true;
    for (uint32_t state = 0; state < RECORD_ITEM_STATE_COUNT; state++) {
        for (uint32_t event = 0; event < ITEM_EVENT_COUNT; event++) {
            if (!shadow_item_has(state, event)) {
                continue;
            }
            const struct excuse *excuse = find_excuse(state, event);
            bool is_seen = counts->item_edges[state][event] > 0;
            if (is_seen != (excuse == NULL)) {
                printf("%s: an item in %s on %s\n", is_seen ? "SEEN, but excused" : "NEVER SEEN",
                       record_item_state_name((enum record_item_state)state),
                       item_event_name((enum item_event)event));
                is_whole = false;
            }
        }
    }
    return is_whole;
}

static bool phone_edges_are_whole(const struct sim_counts *counts) {
    bool is_whole = true;
    for (uint32_t state = 0; state < RECORD_PHONE_STATE_COUNT; state++) {
        for (uint32_t event = 0; event < PHONE_EVENT_COUNT; event++) {
            if (shadow_phone_leads((uint8_t)state, event) >= 0 &&
                counts->phone_edges[state][event] == 0) {
                printf("NEVER SEEN: a phone in %s on %s\n",
                       record_phone_state_name((enum record_phone_state)state),
                       phone_event_name((enum phone_event)event));
                is_whole = false;
            }
        }
    }
    return is_whole;
}

/* Every answer that the calls promise in firmware/hub.h. */
static const struct {
    uint8_t of, status;
} promised[] = {
    {SIM_ANSWER_LOAD, STATUS_OK},
    {SIM_ANSWER_LOAD, STATUS_FOREIGN},
    {SIM_ANSWER_COMMIT, STATUS_OK},
    {SIM_ANSWER_COMMIT, STATUS_AGAIN},
    {SIM_ANSWER_COMMIT, STATUS_IO},
    {SIM_ANSWER_COMMIT, STATUS_FULL},
    {SIM_ANSWER_POLL, STATUS_OK},
    {SIM_ANSWER_POLL, STATUS_IO},
    {SIM_ANSWER_ACCEPT, STATUS_OK},
    {SIM_ANSWER_ACCEPT, STATUS_AGAIN},
    {SIM_ANSWER_ACCEPT, STATUS_FULL},
    {SIM_ANSWER_ACCEPT, STATUS_MALFORMED},
    {SIM_ANSWER_ACCEPT, STATUS_TOO_LARGE},
    {SIM_ANSWER_CANCEL, STATUS_OK},
    {SIM_ANSWER_CANCEL, STATUS_TERMINAL},
    {SIM_ANSWER_IDENTIFY, STATUS_OK},
    {SIM_ANSWER_IDENTIFY, STATUS_FULL},
    {SIM_ANSWER_PHONE, STATUS_OK},
    {SIM_ANSWER_PHONE, STATUS_ILLEGAL},
    {SIM_ANSWER_TOUCHED, STATUS_OK},
    {SIM_ANSWER_TOUCHED, STATUS_STALE_LEASE},
    {SIM_ANSWER_STEP, STATUS_OK},
    {SIM_ANSWER_STEP, STATUS_STALE_LEASE},
    {SIM_ANSWER_END, STATUS_OK},
    {SIM_ANSWER_END, STATUS_STALE_LEASE},
    {SIM_ANSWER_REPLY, STATUS_OK},
    {SIM_ANSWER_REPLY, STATUS_MALFORMED},
};

static bool answers_are_whole(const struct sim_counts *counts) {
    bool is_whole = true;
    for (size_t i = 0; i < array_count(promised); i++) {
        if (counts->answers[promised[i].of][promised[i].status] == 0) {
            printf("NEVER SEEN: answer %s of call %u\n",
                   sim_status_name((enum status)promised[i].status), promised[i].of);
            is_whole = false;
        }
    }
    return is_whole;
}

static bool faults_are_whole(const struct sim_counts *counts) {
    bool is_whole = true;
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        if (counts->faults[fault] == 0) {
            printf("NEVER SEEN: fault %s\n", sim_fault_name((enum sim_fault)fault));
            is_whole = false;
        }
    }
    return is_whole;
}

bool sim_counts_whole(const struct sim_counts *counts) {
    bool items = item_edges_are_whole(counts);
    bool phones = phone_edges_are_whole(counts);
    bool answers = answers_are_whole(counts);
    bool faults = faults_are_whole(counts);
    bool is_demanding =
        counts->excused * 20 < counts->demanded && counts->walled_in * 20 < counts->drained;
    if (!is_demanding) {
        printf("too many excuses: %llu of %llu\n", (unsigned long long)counts->excused,
               (unsigned long long)counts->demanded);
    }
    return items && phones && answers && faults && is_demanding;
}
