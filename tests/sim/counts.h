/* counts.h - what the seeds of a campaign have seen: sums only, so that processes can add them up.
 */
#ifndef TESTS_SIM_COUNTS_H
#define TESTS_SIM_COUNTS_H

#include "firmware/item.h"
#include "firmware/phone.h"
#include "tests/sim/fleet.h"

/* FAULT(name, row of the fault model, what happens) */
#define SIM_FAULTS(FAULT)                                                                          \
    FAULT(CUT, "F1 F2 F4 F13 P1", "power cut inside a flash operation")                            \
    FAULT(POWER, "P1", "power cut between two operations")                                         \
    FAULT(BROWN_OUT, "P2 F14", "power cuts while it starts, several in a row")                     \
    FAULT(KILL, "P3 P4", "the daemon is killed")                                                   \
    FAULT(STOP, "L8", "the daemon is asked to stop, and started again")                            \
    FAULT(SYNC_ERROR, "F10", "a sync fails once")                                                  \
    FAULT(SYNC_HANG, "F12", "syncs take seconds to minutes")                                       \
    FAULT(WORN, "F6", "a block fails to program or to erase")                                      \
    FAULT(LOST_WRITE, "F7", "a block takes a program or an erase and does nothing")                \
    FAULT(ROT, "F5", "bits flip in what was stored")                                               \
    FAULT(FOREIGN, "F16", "the store is opened for another hub")                                   \
    FAULT(FREEZE, "O4", "the daemon is stopped for minutes to hours, then goes on")                \
    FAULT(WALL_JUMP, "P5 O6", "the wall clock jumps")                                              \
    FAULT(WALL_UNSET, "P7", "the wall clock is not known at the next boot")                        \
    FAULT(RATE, "P6", "the monotonic clock runs fast or slow")                                     \
    FAULT(UNPLUG, "B1", "a phone leaves, and comes back")                                          \
    FAULT(MOVE, "B7 O6", "a phone leaves, and comes back elsewhere")                               \
    FAULT(HUB, "B12", "several phones of one hub leave at once")                                   \
    FAULT(MUTE, "B3", "a phone falls silent")                                                      \
    FAULT(HANG, "B11", "a phone hangs: nothing on it ends")                                        \
    FAULT(SLOW, "B3", "a phone is ten times slower")                                               \
    FAULT(LIE, "B2 B10", "a phone says what is no text, or too much")                              \
    FAULT(FAIL, "B11", "a phone fails more often than not")                                        \
    FAULT(CLONE, "B6", "a phone claims another one's serial")                                      \
    FAULT(BABBLE, "B13", "a phone leaves and comes back again and again")                          \
    FAULT(KEY, "B9", "a phone no longer takes our key")                                            \
    FAULT(BOOTLOADER, "B7", "a phone comes back in its bootloader")                                \
    FAULT(NO_ROOM, "B13", "a phone does not fit its host")                                         \
    FAULT(QUARANTINE, "O6", "an operator quarantines a phone, and releases it")                    \
    FAULT(PARTITION, "N1", "no message passes between a hub and upstream")                         \
    FAULT(HALF_OPEN, "N3", "messages pass in one direction only")                                  \
    FAULT(UP_CRASH, "U2", "upstream stores and dies before it answers")                            \
    FAULT(UP_DOWN, "U2", "upstream is away")                                                       \
    FAULT(UP_RESTORE, "U5", "upstream comes back from a backup")                                   \
    FAULT(UP_BAD_ACK, "U3", "upstream acknowledges what it was never sent")                        \
    FAULT(UP_GARBAGE, "U7", "upstream's reply is no message")                                      \
    FAULT(FLOOD, "O7", "somebody submits until nothing more is taken")                             \
    FAULT(POLICY, "O2", "a capability's limits change, or its file goes and comes back")           \
    FAULT(NET_LOSS, "N2", "a message is lost")                                                     \
    FAULT(NET_LATE, "N2", "a message comes minutes late")                                          \
    FAULT(NET_DUPLICATE, "N2 U1", "a message comes twice")

enum sim_fault {
#define FAULT(name, row, text) SIM_FAULT_##name,
    SIM_FAULTS(FAULT)
#undef FAULT
        SIM_FAULT_COUNT
};

/* Calls of the core whose answers are counted. */
#define SIM_ANSWERS(ANSWER)                                                                        \
    ANSWER(LOAD, "load")                                                                           \
    ANSWER(COMMIT, "commit")                                                                       \
    ANSWER(POLL, "poll")                                                                           \
    ANSWER(ACCEPT, "accept")                                                                       \
    ANSWER(CANCEL, "cancel")                                                                       \
    ANSWER(SUSPEND, "suspend")                                                                     \
    ANSWER(RESUME, "resume")                                                                       \
    ANSWER(SETTLE, "settle")                                                                       \
    ANSWER(RETRY, "retry")                                                                         \
    ANSWER(REVIEW, "review")                                                                       \
    ANSWER(POWER_CYCLE, "power cycle")                                                             \
    ANSWER(CLAIM, "claim")                                                                         \
    ANSWER(ACKNOWLEDGE, "acknowledge")                                                             \
    ANSWER(BEGIN, "worker start")                                                                  \
    ANSWER(HEARTBEAT, "heartbeat")                                                                 \
    ANSWER(RELEASE, "release")                                                                     \
    ANSWER(COMPLETE, "worker end")                                                                 \
    ANSWER(IDENTIFY, "identify")                                                                   \
    ANSWER(PHONE, "phone event")                                                                   \
    ANSWER(TOUCHED, "touched")                                                                     \
    ANSWER(PROGRESS, "progress")                                                                   \
    ANSWER(STEP, "step")                                                                           \
    ANSWER(END, "end")                                                                             \
    ANSWER(REPLY, "reply")

enum sim_answer {
#define ANSWER(name, text) SIM_ANSWER_##name,
    SIM_ANSWERS(ANSWER)
#undef ANSWER
        SIM_ANSWER_COUNT
};

struct sim_counts {
    uint64_t seeds;
    uint64_t hub_ms;
    uint64_t events;
    uint64_t transitions; /* of items and phones */
    uint64_t records;
    uint64_t groups;
    uint64_t starts; /* of attempts */
    uint64_t boots;  /* of daemons */
    uint64_t told;   /* answers that left */
    uint64_t pushes;
    uint64_t effects;  /* that reached a phone */
    uint64_t compared; /* whole comparisons of hub and shadow */
    uint64_t retries;  /* generations begun by people */
    uint64_t power_cycles;
    uint64_t carried;      /* records that the gap rule wrote again */
    uint64_t claimed;      /* items, by external workers */
    uint64_t due;          /* looks at whether all that was due has been done */
    uint64_t rotten_reads; /* of objects, in stores that bits have flipped in */
    uint64_t excused;      /* items that could not end, with a proof */
    uint64_t demanded;     /* items that had to end in liveness mode */
    uint64_t drained;      /* hubs that came to rest */
    uint64_t stale;        /* words of executors that had lost their lease */
    uint64_t gaps;         /* in a hub's history, that upstream took */
    uint64_t late_push;    /* pushes too far behind to be compared */
    uint64_t item_edges[RECORD_ITEM_STATE_COUNT][ITEM_EVENT_COUNT];
    uint64_t phone_edges[RECORD_PHONE_STATE_COUNT][PHONE_EVENT_COUNT];
    uint64_t answers[SIM_ANSWER_COUNT][STATUS_COUNT];
    uint64_t faults[SIM_FAULT_COUNT];
    uint64_t fleet[FLEET_EVENT_COUNT];
    uint64_t command_answers[RECORD_ANSWER_CODE_COUNT];
};

void sim_counts_add(struct sim_counts *sum, const struct sim_counts *more);
/* Prints all of it. */
void sim_counts_print(const struct sim_counts *counts);
/* Prints what has never happened and must; true: nothing. */
bool sim_counts_whole(const struct sim_counts *counts);

const char *sim_fleet_text(enum fleet_event event);
const char *sim_fault_name(enum sim_fault fault);
const char *sim_status_name(enum status status);

#endif
