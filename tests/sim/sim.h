/* sim.h - a whole farm in one process: hubs with the real core and store, their phones, an
 * upstream, the network between them, callers and operators, and everything that goes wrong; all of
 * it from one seed.
 *
 *   main      seeds, campaigns over several processes, shrinking of a failing seed
 *   world     time: takes the next event from the queue and hands it to its part
 *   plan      what this seed's world is like: rates of faults, some kinds switched off
 *   host      one hub: its machine, its flash, the turn of its daemon; lines: its phones as the
 *             daemon sees them; runs: its executor; link: its connection to upstream
 *   calls     callers and operators; workers: those that run items elsewhere
 *   faults    what goes wrong, and the ledger of it
 *   upstream  the other end, after the real one's rules; fleet: the work that it gives to hubs
 *   shadow    what must be true, kept apart from the product: from the log and from what was told
 *   liveness  at the end: a part of the farm is healed, the rest broken for ever; all must end
 *   counts    what has been seen, over all seeds
 *
 * The world's parts that know nothing of the core (dice, clocks, queue, network, phone, flash) are
 * hal/sim/. A rule that is broken ends the seed: see sim_require(). */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "firmware/hub.h"
#include "hal/sim/sim_clock.h"
#include "hal/sim/sim_dice.h"
#include "hal/sim/sim_flash.h"
#include "hal/sim/sim_net.h"
#include "hal/sim/sim_phone.h"
#include "hal/sim/sim_queue.h"
#include "firmware/hub_sync.h"
#include "tests/sim/counts.h"
#include "tests/sim/fleet.h"
#include "tests/sim/shadow.h"

#include <setjmp.h>

extern const struct board board_sim;

enum {
    SIM_HUBS = FLEET_HUBS,
    SIM_PHONES = FLEET_PHONES, /* that exist around one hub, with the same names around each */
    SIM_ROWS = 8,              /* that a hub's board holds: board_sim.phones */
    SIM_CALLS = 12,            /* open at one hub */
    SIM_GOINGS = 128,          /* remembered */
    SIM_EVENTS = 4096,
    SIM_BLOCKS = 24,
    SIM_BLOCK_BYTES = 16384,
    SIM_PROGRAM_BYTES = 256,
    SIM_FLASH_BYTES = SIM_BLOCKS * SIM_BLOCK_BYTES,
    SIM_FLASH_UNITS = SIM_FLASH_BYTES / SIM_PROGRAM_BYTES,
    SIM_MEMORY_BYTES = 256 * 1024, /* of one hub's tables */
    SIM_PUSH_BYTES = 12288,
    SIM_GROUP_BYTES = 32768,
    SIM_ATTEMPT_MS = 120000,
    SIM_LATENESS_MS = 30000, /* how long an executor goes on that has lost its lease */
    SIM_HOUR_MS = 3600000,
    /* Not METASTABLE: a mount whose two reads of one header differ refuses the store (README.md).
     */
    SIM_CUT_MODELS = SIM_FLASH_METASTABLE,
    SIM_WORKERS = 2,
    SIM_JOBS = 3,         /* that one of them can hold */
    SIM_LEASE_MS = 20000, /* of an external worker, between two signs of life */
    SIM_ACTION_ONCE = 1,
    SIM_ACTION_REVIEW = 1,
    SIM_ATTEMPTS_AN_HOUR = 12,
    SIM_CYCLES_AN_HOUR = 4,
    SIM_PHONE_CYCLES_AN_HOUR = 2,
    SIM_LOCKS = 2, /* concurrency keys, and accounts, that callers know */
    SIM_NONE = 0xffff,
};

enum sim_capability {
    SIM_PLAIN,
    SIM_ONCE,     /* its second action must not be run twice unknowingly */
    SIM_STUBBORN, /* tries often, at once */
    SIM_SHORT,    /* one action */
    SIM_EXTERNAL,
    SIM_EXTERNAL_ONCE,
    SIM_REVIEWED, /* a person looks at it before its last action */
    SIM_BUDGETED,
    SIM_CAPABILITIES
};

enum sim_event_kind {
    SIM_EV_TURN,  /* the daemon has something to do */
    SIM_EV_SYNC,  /* the flash's sync ends */
    SIM_EV_RUN,   /* an action of an attempt ends */
    SIM_EV_PHONE, /* something about a phone changes by itself */
    SIM_EV_CALL,  /* somebody calls the API */
    SIM_EV_NET,   /* a message arrives */
    SIM_EV_LINK,  /* a timer of the link to upstream */
    SIM_EV_BOOT,  /* the machine or the daemon starts */
    SIM_EV_FAULT, /* something goes wrong */
    SIM_EV_HEAL,  /* and is over */
    SIM_EV_BACKUP,
    SIM_EV_WORKER, /* an external worker does something */
    SIM_EV_FLEET,  /* upstream looks what is due */
};

/* What a seed's world is like. Rates are per million where nothing else is said. */
struct sim_plan {
    uint32_t weights[SIM_FAULT_COUNT]; /* of the kinds of faults; 0: switched off */
    uint32_t weight_sum;
    uint32_t fault_ms; /* mean between two faults of one hub */
    uint32_t call_ms;  /* mean between two calls at one hub */
    uint32_t sync_ms;  /* mean of a sync */
    uint32_t phones;
    uint32_t blocks;
    struct sim_net_rates net;
    bool is_file;          /* the flash is a file: what is not synced may be lost in any order */
    bool has_wall;         /* the machines know the time */
    bool is_late;          /* a daemon learns its capabilities after its start */
    bool is_remote;        /* no way to upstream for most of the time */
    uint32_t worker_ms;    /* mean between two acts of an external worker */
    bool are_workers_idle; /* they claim, and mostly give back */
    bool has_upstream;
    uint32_t stop_grace_ms;
};

/* One attempt, as its executor runs it. */
struct sim_run {
    struct hub_start start;
    bool is_active;
    bool is_told_to_stop;
    bool is_begun;     /* the running action has touched the phone */
    bool has_ended;    /* and only wants to say so */
    bool is_step;      /* what it wants to say: an action is done; else the attempt is */
    bool wants_review; /* it has reached a review, and the group was full */
    uint8_t phone;     /* index of the phone it was begun on */
    uint8_t outcome, category;
    uint64_t wait_seq; /* the next action waits until this is durable; 0: none is next */
    uint32_t actions_done;
    uint32_t stamp;
    struct sim_phone_action action;
};

/* A phone left, or fell silent, or left its lease in another way. */
struct sim_going {
    uint32_t life; /* of the daemon */
    uint32_t row;
    uint32_t group; /* the hub that it was on then */
    uint64_t mono_ms;
    bool is_going;
    bool is_loss; /* of its lease */
};

/* A phone as the daemon sees it. */
struct sim_line {
    uint32_t row;      /* in the core; HUB_NONE: it has not said yet who it is */
    bool was_lost;     /* left since the core was told */
    bool is_told_here; /* the core knows that it is attached */
    uint64_t since_ms; /* when recovery or absence with a lease began; 0: not */
};

enum sim_call_kind {
    SIM_CALL_SUBMIT,
    SIM_CALL_CANCEL,
    SIM_CALL_SUSPEND,
    SIM_CALL_RESUME,
    SIM_CALL_SETTLE_DONE,
    SIM_CALL_SETTLE_FAILED,
    SIM_CALL_RETRY,
};

/* A request that somebody waits for. */
struct sim_call {
    bool is_open;
    bool is_done; /* decided; waits until it is durable */
    uint8_t kind;
    uint8_t capability;
    uint8_t items;
    uint8_t priority;
    uint8_t trick; /* enum sim_trick */
    bool has_phones;
    uint32_t phones[4];
    uint8_t accounts[4]; /* 1 to SIM_LOCKS; 0: none, then all are */
    uint8_t lock;        /* concurrency key; 0: none */
    uint32_t key;        /* 0: none */
    uint32_t body;       /* its digest */
    uint32_t input_bytes;
    uint64_t not_before_ms, deadline_ms;
    uint64_t process; /* number */
    uint64_t seq;     /* that must be durable */
};

enum sim_job_wait { SIM_JOB_RESTS, SIM_JOB_STARTS, SIM_JOB_ENDS };

/* A lease, as the external worker that holds it sees it. */
struct sim_job {
    bool is_held;
    bool is_started; /* and it was told so */
    bool is_told_to_stop;
    bool is_once;
    uint8_t waits; /* enum sim_job_wait: for an answer that must be durable */
    uint32_t item; /* index */
    uint32_t number;
    uint32_t claim;
    uint64_t process; /* number */
    uint64_t token;
    uint64_t sent_ms;   /* of its newest word */
    uint32_t sent_life; /* of the daemon that heard it */
    uint64_t seq;       /* that must be durable */
};

struct sim_worker {
    bool has_nothing; /* its last claim found nothing */
    uint32_t claims;  /* that it ever made: number of the newest */
    uint32_t claimed_count;
    uint64_t claimed_seq; /* that must be durable before it hears of them */
    struct sim_job claimed[HUB_CLAIM_MAX];
    struct sim_job jobs[SIM_JOBS];
};

struct sim_link {
    uint32_t connection; /* grows */
    bool is_waiting;     /* for the reply to a push */
    bool is_forked;
    uint32_t failures;
    uint32_t stamp; /* of its timer */
    uint64_t due_ms;
    uint64_t sent_ms; /* monotonic; of the push that waits for its reply */
    struct hub_sync sync;
};

struct sim_host {
    struct sim_world *world;
    uint32_t index;
    char id[8];
    struct sim_clock clock;
    struct sim_flash flash;
    struct sim_net net;
    struct sim_phone phones[SIM_PHONES];
    struct sim_line lines[SIM_PHONES];
    uint8_t row_state[SIM_ROWS];         /* of the core's rows, as seen last */
    struct sim_going goings[SIM_GOINGS]; /* the newest ones, in a ring */
    uint32_t going_next;
    uint64_t load_ms;                   /* monotonic: when the daemon started */
    uint64_t touched_token[SIM_PHONES]; /* the highest that reached this phone */
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    uint32_t boots;
    uint32_t epoch; /* of its newest store */
    uint32_t life;  /* of the daemon: events of an older one are void */
    bool has_power;
    bool is_alive;
    bool is_stopping; /* SIGTERM */
    bool is_frozen;   /* SIGSTOP */
    bool is_turn_planned;
    bool is_sync_planned;
    bool is_rotten;         /* bits have flipped under it */
    bool has_rotten_header; /* of a block */
    bool is_cut_off;        /* the way to upstream is cut for ever */
    bool is_slow_sync;
    bool was_replaced;  /* its store is not the first one: rot took that */
    bool is_full;       /* the store takes nothing before upstream acknowledges */
    bool may_fork;      /* the ledger has a reason for it */
    bool wants_bad_ack; /* upstream's next reply says too much */
    bool wants_garbage; /* or nothing sensible */
    bool is_crowded;    /* no phone more fits this host */
    uint64_t turn_ms;
    uint32_t turn_stamp;
    uint32_t key_next;
    uint64_t start_ms[SIM_ATTEMPTS_AN_HOUR]; /* monotonic, of budgeted attempts, in a ring */
    uint64_t cycle_ms[SIM_CYCLES_AN_HOUR];   /* of power cycles for them */
    uint64_t cycle_phone_ms[SIM_ROWS][SIM_PHONE_CYCLES_AN_HOUR]; /* by row */
    uint32_t short_lives;             /* power-ups in a row that did not last */
    struct sim_run runs[SIM_ROWS][2]; /* the second: one that has lost its lease and goes on */
    struct sim_call calls[SIM_CALLS];
    struct sim_worker workers[SIM_WORKERS];
    struct sim_link link;
    struct shadow shadow;
    struct hub hub;
    _Alignas(16) uint8_t memory[SIM_MEMORY_BYTES];
    uint8_t cells[SIM_FLASH_BYTES];
    uint8_t cache[SIM_FLASH_BYTES];
    uint8_t written[SIM_FLASH_UNITS];
};

/* What upstream keeps of one hub for good. */
struct sim_store {
    bool is_known;
    uint8_t id[SYNC_STORE_ID_BYTES];
    uint32_t epoch;
    uint64_t cursor;
    uint8_t chain[RECORD_CHAIN_BYTES];
    uint64_t hash; /* over all record bytes up to the cursor */
    bool has_hash; /* false: a gap too long ago to be known */
};

struct sim_upstream {
    struct sim_store stores[SIM_HUBS];
    struct sim_store backup[SIM_HUBS]; /* an older state, to be restored */
    bool is_up;
    bool wants_crash; /* behind its next commit */
    bool has_backup;
    bool is_restored; /* from the backup; what was lost by it: */
    struct sim_store newest[SIM_HUBS];
};

struct sim_world {
    uint64_t seed;
    uint64_t now_ms;
    uint64_t end_ms;
    uint64_t hash; /* over everything that happened */
    uint64_t events;
    bool is_traced;
    uint64_t trace_from_ms; /* earlier ones are not told */
    bool ends_with_input;   /* the world is over when the fuzzer's bytes are */
    bool is_healing;        /* liveness mode: no new faults */
    bool is_quiet;          /* and no new calls */
    uint32_t host_count;
    struct sim_dice dice;
    struct sim_plan plan;
    struct sim_queue queue;
    struct sim_event heap[SIM_EVENTS];
    struct sim_upstream upstream;
    struct fleet fleet;
    bool has_bad_clock;       /* some machine's runs too slow for any grant */
    struct sim_counts counts; /* of this seed */
    uint64_t bans;            /* a bit for each kind of fault that is switched off by the user */
    jmp_buf failed;
    char why[256];
    struct sim_host hosts[SIM_HUBS];
};

/* ---- world.c ---- */

struct sim_setting {
    uint64_t seed;
    uint64_t bans;       /* kinds of faults to leave out */
    uint32_t hours;      /* of the world's time; 0: as the seed draws */
    uint32_t minutes;    /* instead of hours; 0: hours */
    uint32_t hubs;       /* 0: as the seed draws */
    bool is_without_end; /* no liveness mode */
    bool is_traced;
    uint64_t trace_from_ms;
    struct bytes input; /* choices come from here first: see sim_dice_from() */
};

/* Lives through one seed. False: a rule was broken, and world->why says which. */
bool sim_world_run(struct sim_world *world, const struct sim_setting *setting);

void sim_plan_event(struct sim_world *world, const struct sim_event *event, uint64_t after_ms);

_Noreturn void sim_fail(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim_world *world, const struct sim_host *host, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sim_mix(struct sim_world *world, uint64_t value);

/* The rule's name begins with its number in the list of invariants (README.md). */
#define sim_require(world, condition, ...)                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            sim_fail(world, __VA_ARGS__);                                                          \
        }                                                                                          \
    } while (0)

/* ---- plan.c ---- */

void sim_plan_draw(struct sim_world *world);
struct capability sim_capability(enum sim_capability index);
/* What a change of policy never exceeds. */
uint32_t sim_attempts_max(uint32_t index);
void sim_capabilities_set(struct sim_host *host);
/* The longest time of a worker's lease. */
uint64_t sim_lease_ms(const struct sim_world *world);

/* ---- host.c ---- */

void sim_host_init(struct sim_host *host);
/* The power comes back, or the daemon starts. */
void sim_host_boot(struct sim_host *host);
void sim_host_turn(struct sim_host *host);
/* Tells the core the time, before any other call to it. */
void sim_host_clock(struct sim_host *host);
void sim_host_wake(struct sim_host *host, uint64_t after_ms);
void sim_host_sync_ended(struct sim_host *host);
/* The daemon dies; the machine goes on. */
void sim_host_kill(struct sim_host *host, uint32_t back_ms);
/* The machine loses its power. */
void sim_host_power_off(struct sim_host *host, uint32_t back_ms);
bool sim_host_runs(const struct sim_host *host);
/* Counts how a call of the core ended. */
enum status sim_seen(struct sim_host *host, enum sim_answer of, enum status status);

/* ---- lines.c: phones as the daemon sees them ---- */

void sim_lines_forget(struct sim_host *host);
/* A daemon has started. */
void sim_lines_begin(struct sim_host *host);
void sim_lines_release(struct sim_host *host);
void sim_lines_step(struct sim_host *host);
/* Takes note of the leases that the core has begun or ended. */
void sim_lines_watch(struct sim_host *host);
/* Tells the core one event; false: refused. */
bool sim_line_tell(struct sim_host *host, uint32_t phone, enum phone_event event);
bool sim_row_tell(struct sim_host *host, uint32_t row, enum phone_event event);
/* SIM_NONE: no plugged phone has this row. */
uint32_t sim_line_of(const struct sim_host *host, uint32_t row);
void sim_phone_unplug(struct sim_host *host, uint32_t phone, uint32_t back_ms);
void sim_phone_changes(struct sim_host *host, uint32_t phone);

/* ---- runs.c: the executor ---- */

void sim_runs_forget(struct sim_host *host);
/* Takes the starts and stops that the core gives; says again what had no room. */
void sim_runs_step(struct sim_host *host);
void sim_run_due(struct sim_host *host, uint32_t index, uint32_t stamp);

/* ---- calls.c ---- */

/* Somebody makes one call of a kind; false: nobody is there to take it. */
bool sim_call_make(struct sim_host *host, enum sim_call_kind kind);
/* The same for one process, by its number. */
bool sim_call_for(struct sim_host *host, enum sim_call_kind kind, uint64_t process);
void sim_call_begin(struct sim_host *host);
void sim_calls_retry(struct sim_host *host);
/* Answers the callers whose records are durable. */
void sim_calls_release(struct sim_host *host);
void sim_calls_forget(struct sim_host *host);

/* ---- workers.c ---- */

void sim_workers_begin(struct sim_host *host);
void sim_worker_acts(struct sim_host *host, uint32_t index);
/* Answers what is durable now. */
void sim_workers_release(struct sim_host *host);
void sim_workers_forget(struct sim_host *host);

/* ---- link.c, upstream.c ---- */

void sim_link_reset(struct sim_host *host);
/* It is cut for ever, or has found a fork that the ledger explains. */
bool sim_link_is_dead(const struct sim_host *host);
void sim_link_step(struct sim_host *host);
void sim_link_due(struct sim_host *host, uint32_t stamp);
void sim_link_arrived(struct sim_host *host, uint32_t message);
void sim_upstream_init(struct sim_world *world);
/* A push has arrived: the reply, in `writer`; false: there is none. */
bool sim_upstream_take(struct sim_world *world, uint32_t host, struct bytes push,
                       struct cbor_writer *writer);

/* ---- faults.c ---- */

void sim_fault_next(struct sim_host *host);
void sim_fault_heal(struct sim_host *host, uint32_t what);
void sim_count_fault(struct sim_world *world, enum sim_fault fault);

/* ---- liveness.c ---- */

/* Heals a part, breaks the rest for ever, and demands that all ends. */
void sim_liveness(struct sim_world *world);
/* Lets events happen until `until_ms`, or until the queue is empty. */
void sim_world_pass(struct sim_world *world, uint64_t until_ms);

#endif
