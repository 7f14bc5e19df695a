/* fleet.h - upstream's own work: items that it offers to the hubs under a grant, the commands it
 * gives them, and what their records mean for it. After host/upstreamd/dispatch*.c, parts.c and
 * ledger.c, in a few tables in memory; what can be linked of the real one is: ledger.c and
 * assignment_judge.c.
 *
 * struct fleet_db is what a database would keep, and what a restore takes back; struct fleet_truth
 * is the simulator's own, which nobody forgets. */
#ifndef TESTS_SIM_FLEET_H
#define TESTS_SIM_FLEET_H

#include "host/upstreamd/fleet/assignment.h"
#include "host/upstreamd/fleet/ledger.h"

enum {
    FLEET_HUBS = 3,
    FLEET_ITEMS = 24,   /* that have not ended, and the newest that have */
    FLEET_ORDERS = 96,  /* to one hub, not answered */
    FLEET_PARTS = 96,   /* of one hub: the newest */
    FLEET_PHONES = 6,   /* SERIAL-0 and on */
    FLEET_NO_PHONE = 9, /* SERIAL-9: nobody has it */
    FLEET_NOBODY = 0xff,
    FLEET_WORDS_BYTES = 3500, /* of commands and grants in one reply */
    FLEET_TICK_MS = 60000,
    FLEET_UNKNOWN = 98, /* commands that no hub understands */
    FLEET_MALFORMED = 99,
};

/* EVENT(name, what happened to upstream's work) */
#define FLEET_EVENTS(EVENT)                                                                        \
    EVENT(SUBMITTED, "items given to the fleet")                                                   \
    EVENT(OFFERED, "items offered to a hub")                                                       \
    EVENT(OFFERED_AGAIN, "items offered again to a hub that has booted")                           \
    EVENT(ELSEWHERE, "items offered to another hub than before")                                   \
    EVENT(GRANTED, "answers that carried a grant or a renewal")                                    \
    EVENT(RENEWED, "grants that hubs had renewed")                                                 \
    EVENT(PART, "parts that hubs made of offers")                                                  \
    EVENT(STARTED, "attempts of parts")                                                            \
    EVENT(EXPIRED, "attempts of parts that ended with their grant")                                \
    EVENT(WITHDRAWN, "parts that hubs gave back")                                                  \
    EVENT(TAKEN, "items taken from a silent hub")                                                  \
    EVENT(LOST, "items whose hub has lost its store, held for a person")                           \
    EVENT(MOVED, "items asked back for an idle hub")                                               \
    EVENT(REFUSED, "offers that a hub refused")                                                    \
    EVENT(HISTORY, "records of an older assignment")                                               \
    EVENT(WINS, "successes of an older assignment that won")                                       \
    EVENT(CANCELED, "items canceled by their callers")                                             \
    EVENT(HELD, "items held, or let go on")                                                        \
    EVENT(SETTLED, "items settled by a person")                                                    \
    EVENT(CONTROLLED, "commands about a hub's own processes")                                      \
    EVENT(ANSWERED, "commands answered")                                                           \
    EVENT(COMPLETED, "items that completed")                                                       \
    EVENT(ENDED, "items that ended otherwise")                                                     \
    EVENT(MIGRATED, "phones that appeared on another hub")

enum fleet_event {
#define EVENT(name, text) FLEET_##name,
    FLEET_EVENTS(EVENT)
#undef EVENT
        FLEET_EVENT_COUNT
};

/* A command that its hub has not answered. */
struct fleet_order {
    uint64_t number; /* 0: free */
    uint64_t process;
    uint64_t deadline_ms;
    uint64_t actions_digest;
    uint32_t assignment;
    uint32_t attempt, attempts_counted, actions_done;
    uint8_t kind, owner;
    bool is_done; /* SETTLE */
};

/* A process of a hub that is one of ours. */
struct fleet_part {
    uint64_t local; /* 0: free */
    uint64_t process;
    bool has_image; /* its item's came, and not yet its request */
    uint32_t event;
    struct record_item image; /* without its texts */
};

/* Upstream's rows of one hub. */
struct fleet_hub {
    uint64_t command; /* last number given */
    uint64_t answers; /* that granted something */
    uint64_t granted_ms, renew_ms;
    uint64_t seen_ms;
    uint64_t applied; /* records of its log, up to here */
    uint32_t boot;
    uint32_t part_next;
    uint8_t store[SYNC_STORE_ID_BYTES]; /* that it was granted something for */
    uint8_t log[SYNC_STORE_ID_BYTES];   /* that `applied` and the parts belong to */
    struct fleet_order orders[FLEET_ORDERS];
    struct fleet_part parts[FLEET_PARTS];
};

struct fleet_item {
    struct db_item row;
    uint32_t flags; /* enum record_process_flag, of its process */
    uint8_t capability;
    uint8_t refusal;  /* code of the last one */
    bool is_hopeless; /* no hub will ever take it */
    uint64_t deadline_ms;
};

struct fleet_db {
    uint32_t epoch;
    uint64_t last; /* process given */
    struct fleet_item items[FLEET_ITEMS];
    struct fleet_hub hubs[FLEET_HUBS];
    uint8_t phone_hub[FLEET_PHONES]; /* that told last of it; FLEET_NOBODY */
};

/* What is so, whatever upstream remembers. */
struct fleet_truth {
    uint64_t process;    /* 0: none */
    uint8_t granted_hub; /* the newest offer or renewal went to it; FLEET_NOBODY */
    uint64_t granted_ms; /* when that left */
    uint32_t ttl_ms;
    bool is_returned;        /* it said since that it has it no longer */
    uint8_t runner;          /* hub that began the newest attempt; FLEET_NOBODY */
    uint64_t token;          /* of that attempt */
    uint8_t effects, orders; /* as in struct shadow_item, whichever hub has it */
    bool is_reviewed;
};

/* A grant as a hub has heard of it. */
struct fleet_grant {
    uint64_t process;
    uint32_t assignment;
    uint32_t boot;
    uint64_t until_ms;           /* monotonic clock of the hub: never later */
    uint32_t exact_life;         /* of the daemon that has certainly heard of it */
    uint64_t heard_ms, exact_ms; /* since when; and how long that one lasts at least */
};

struct fleet {
    struct fleet_db db;
    struct fleet_truth truth[FLEET_ITEMS];
    struct fleet_grant grants[FLEET_HUBS][FLEET_ITEMS];
    uint32_t ttl_ms; /* of all grants of this world */
    uint8_t words[FLEET_WORDS_BYTES];
};

struct sim_world;
struct sim_host;
struct shadow_process;
struct shadow_item;

void fleet_init(struct sim_world *world);
/* Upstream has started: what it has seen of time is gone. */
void fleet_restarted(struct sim_world *world);
/* A hub tells of a store that is new to upstream. */
void fleet_new_store(struct sim_world *world, uint32_t hub, const uint8_t *id);
/* Now and then: callers come, silent hubs are drained, items go to idle hubs. */
void fleet_tick(struct sim_world *world);
/* NULL: not (any more) among the items. */
struct fleet_item *fleet_find(struct sim_world *world, uint64_t process);
uint32_t fleet_slot(uint64_t process);
/* That told last of the phone the item must have; FLEET_NOBODY. */
uint32_t fleet_phone_hub(const struct fleet_db *db, const struct db_item *row);
void fleet_count(struct sim_world *world, enum fleet_event event);
/* A person orders something for an item of the fleet. */
void fleet_control(struct sim_world *world, uint64_t process, enum sync_command_kind kind,
                   bool is_done);

/* fleet_take.c: inside the transaction in which a hub's records are stored. */
void fleet_take_record(struct sim_host *host, struct bytes body);
/* No hub has the item any more. */
void fleet_end_assignment(struct sim_world *world, struct fleet_item *item,
                          enum assignment_end why);
/* Appends a command to a hub's; false: there are too many that it has not answered. */
bool fleet_tell(struct sim_world *world, uint32_t hub, const struct fleet_order *order);

/* fleet_answer.c: fills in commands, grants and the epoch of a reply. */
void fleet_answer(struct sim_host *host, const struct sync_push *push, struct sync_reply *reply);

/* fleet_judge.c */
/* An offer goes to a hub: nobody else may have the item. */
void fleet_judge_offer(struct sim_world *world, const struct fleet_item *item, uint32_t hub);
/* A reply was accepted by a hub, that sent its push at `sent_ms`. */
void fleet_judge_reply(struct sim_host *host, const struct sync_reply *reply, uint64_t sent_ms);
/* An attempt begins, touches its phone, or ends with a success. */
void fleet_judge_start(struct sim_host *host, uint64_t local, uint64_t token);
void fleet_judge_effect(struct sim_host *host, uint64_t local, uint64_t token);
/* What people and phones have seen of an item goes with it from hub to hub: to a new part, and back
 * into what is known of it. */
void fleet_bring(struct sim_host *host, const struct shadow_process *process,
                 struct shadow_item *item);
void fleet_keep(struct sim_host *host, uint64_t local, const struct shadow_item *item);
/* A part is leased, runs, or its lease was ended by its grant. */
void fleet_judge_lease(struct sim_host *host, const struct shadow_process *process,
                       const struct record_item *after, const struct record_time *at);
void fleet_judge_running(struct sim_host *host, const struct shadow_process *process,
                         const struct shadow_item *item);
void fleet_judge_expiry(struct sim_host *host, const struct shadow_process *process,
                        const struct record_time *at, bool is_attempt);
/* After liveness mode: every item has ended, or the ledger says why not. */
bool fleet_all_ended(struct sim_world *world);
void fleet_judge_end(struct sim_world *world);

#endif
