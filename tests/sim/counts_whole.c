/* Vacuity: a campaign in which something never happened has proved nothing about it. */
#include "tests/sim/counts.h"
#include "tests/sim/shadow.h"

#include <stdio.h>

static bool item_edges_are_whole(const struct sim_counts *counts) {
    bool is_whole = true;
    for (uint32_t state = 0; state < RECORD_ITEM_STATE_COUNT; state++) {
        for (uint32_t event = 0; event < ITEM_EVENT_COUNT; event++) {
            if (!shadow_item_has(state, event)) {
                continue;
            }
            if (counts->item_edges[state][event] == 0) {
                printf("NEVER SEEN: an item in %s on %s\n",
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

/* Every answer that the calls promise in firmware/hub.h, but a commit's FULL: since old history is
 * given up in time, it takes blocks that fail at the wrong moment. */
static const struct {
    uint8_t of, status;
} promised[] = {
    {SIM_ANSWER_LOAD, STATUS_OK},
    {SIM_ANSWER_LOAD, STATUS_FOREIGN},
    {SIM_ANSWER_COMMIT, STATUS_OK},
    {SIM_ANSWER_COMMIT, STATUS_AGAIN},
    {SIM_ANSWER_COMMIT, STATUS_IO},
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
    {SIM_ANSWER_SUSPEND, STATUS_OK},
    {SIM_ANSWER_SUSPEND, STATUS_TERMINAL},
    {SIM_ANSWER_RESUME, STATUS_OK},
    {SIM_ANSWER_RESUME, STATUS_TERMINAL},
    {SIM_ANSWER_SETTLE, STATUS_OK},
    {SIM_ANSWER_SETTLE, STATUS_ILLEGAL},
    {SIM_ANSWER_SETTLE, STATUS_TERMINAL},
    {SIM_ANSWER_RETRY, STATUS_OK},
    {SIM_ANSWER_RETRY, STATUS_FULL},
    {SIM_ANSWER_RETRY, STATUS_ILLEGAL},
    {SIM_ANSWER_REVIEW, STATUS_OK},
    {SIM_ANSWER_REVIEW, STATUS_STALE_LEASE},
    {SIM_ANSWER_POWER_CYCLE, STATUS_OK},
    {SIM_ANSWER_POWER_CYCLE, STATUS_FULL},
    {SIM_ANSWER_POWER_CYCLE, STATUS_STALE_LEASE},
    {SIM_ANSWER_PROGRESS, STATUS_OK},
    {SIM_ANSWER_CLAIM, STATUS_OK},
    {SIM_ANSWER_ACKNOWLEDGE, STATUS_OK},
    {SIM_ANSWER_ACKNOWLEDGE, STATUS_ILLEGAL},
    {SIM_ANSWER_ACKNOWLEDGE, STATUS_STALE_LEASE},
    {SIM_ANSWER_BEGIN, STATUS_OK},
    {SIM_ANSWER_BEGIN, STATUS_STALE_LEASE},
    {SIM_ANSWER_HEARTBEAT, STATUS_OK},
    {SIM_ANSWER_HEARTBEAT, STATUS_BUSY},
    {SIM_ANSWER_HEARTBEAT, STATUS_STALE_LEASE},
    {SIM_ANSWER_RELEASE, STATUS_OK},
    {SIM_ANSWER_RELEASE, STATUS_ILLEGAL},
    {SIM_ANSWER_RELEASE, STATUS_STALE_LEASE},
    {SIM_ANSWER_COMPLETE, STATUS_OK},
    {SIM_ANSWER_COMPLETE, STATUS_ILLEGAL},
    {SIM_ANSWER_COMPLETE, STATUS_STALE_LEASE},
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

/* Of an answer to a command, all but those that this upstream never asks for. */
static bool fleet_is_whole(const struct sim_counts *counts) {
    bool is_whole = true;
    for (uint32_t event = 0; event < FLEET_EVENT_COUNT; event++) {
        if (counts->fleet[event] == 0) {
            printf("NEVER SEEN: %s\n", sim_fleet_text((enum fleet_event)event));
            is_whole = false;
        }
    }
    for (uint32_t code = 0; code < RECORD_ANSWER_CODE_COUNT; code++) {
        bool is_asked = code != RECORD_ANSWER_DIFFERS && code != RECORD_ANSWER_STALE_ASSIGNMENT;
        if (is_asked && counts->command_answers[code] == 0) {
            printf("NEVER SEEN: a command answered with %s\n",
                   record_answer_name((enum record_answer_code)code));
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
    bool is_demanding = counts->excused * 20 < counts->demanded;
    if (!is_demanding) {
        printf("too many excuses: %llu of %llu\n", (unsigned long long)counts->excused,
               (unsigned long long)counts->demanded);
    }
    bool fleet = fleet_is_whole(counts);
    bool has_gaps = counts->gaps > 0;
    if (!has_gaps) {
        printf("NEVER SEEN: a gap in a hub's history\n");
    }
    return has_gaps && fleet && items && phones && answers && faults && is_demanding;
}
