/* hub_tables.h - everything one hub knows: its tables, each an array that the board sizes.
 *
 * Whoever includes hub.h may read them between two calls; only the core changes them. Rows are
 * named by their index, which is given again after the row has gone; numbers are not. */
#ifndef FIRMWARE_HUB_TABLES_H
#define FIRMWARE_HUB_TABLES_H

#include "boards/board.h"
#include "firmware/budget.h"
#include "firmware/capability.h"
#include "firmware/hash_index.h"
#include "firmware/heap.h"
#include "firmware/item.h"
#include "firmware/phone.h"
#include "firmware/pool.h"
#include "firmware/process.h"
#include "firmware/store.h"
#include "firmware/timer.h"

#define HUB_NONE UINT32_MAX

enum {
    HUB_REASON_MAX = 128,     /* bytes of a phone's reason */
    HUB_PHONE_LOST_MS = 2000, /* a lost phone is judged this much later (SPEC.md section 2) */
    HUB_LEASE_MS = 60000,     /* a lease that is not started in this time is returned */
    HUB_AWAY_MS = 60000,      /* a worker's phone has this long to come back after a restart */
    HUB_LABELS_BYTES = 128, /* of a set of labels as text: words with a space between them, and 0 */
    HUB_CLAIM_MAX = 64,     /* items of one claim */
    HUB_ANSWERS = 16,       /* to upstream's commands, that it has not acknowledged yet */
};

/* What the host says of time. */
struct hub_clock {
    uint64_t mono_ms; /* CLOCK_BOOTTIME */
    uint64_t wall_ms; /* 0: not known */
    uint8_t quality;  /* 0 none, 1 clock chip, 2 synchronised */
};

struct hub_process {
    struct record_process image;
    struct process_counts counts;
    uint64_t number;
    uint64_t revision;     /* of its last record, over all its objects */
    struct store_key tail; /* whose newest record is that one */
    uint32_t first_item;
    uint32_t last_item;
    uint32_t capability;   /* HUB_NONE: its file is gone */
    uint32_t older, newer; /* finished ones in the order of their end; HUB_NONE */
    uint32_t label_set;    /* the request's, until it has ended; HUB_NONE: none */
    uint32_t key_gate;     /* of its concurrency key, until it has ended; HUB_NONE: none */
    struct record_time updated;
    uint64_t end_seq;       /* of the record that ended it; 0: it has not ended */
    uint64_t deadline_ms;   /* wall clock; 0: none */
    uint64_t not_before_ms; /* wall clock; 0: none */
    uint8_t key[RECORD_DIGEST_BYTES];
    uint8_t body_digest[RECORD_DIGEST_BYTES];
    struct record_origin origin; /* of a part; zeros: the process is the hub's own */
    bool has_key;
    bool has_accounts;
    uint8_t priority;
    uint8_t status; /* enum process_status, as derived last */
};

struct hub_item {
    struct record_item image;
    uint32_t process;
    uint32_t number; /* from 1 in its process */
    uint32_t next_of_process;
    uint32_t strand;        /* where it waits when it is ready; HUB_NONE: no capability, or ended */
    uint32_t first_attempt; /* kept attempts, oldest first */
    uint32_t attempt_count;
    uint64_t start_seq; /* of the record that started the running attempt */
    struct record_time attempt_started;
    uint64_t entered_ms;      /* monotonic; into its state, or when the program started */
    uint64_t renewed_ms;      /* monotonic; where its grant ends by the last renewal; volatile */
    uint8_t progress_percent; /* volatile */
    uint8_t step;             /* action it is in, from 0; volatile */
    bool needs_recovery;      /* was leased or running when the program ended */
    bool is_queued;           /* in its strand's heap */
    bool is_stopping;         /* its grace time counts */
};

struct hub_attempt {
    uint32_t number;
    uint32_t item;
    uint32_t next;
    uint32_t phone; /* row of the one it ran on; HUB_NONE: not known any more */
};

/* What is known of a phone's lease while it lasts. Its token, phone and stop stand in the item. */
struct hub_lease {
    char worker[RECORD_ID_MAX + 1];     /* external worker that holds it; "": hubd itself */
    uint8_t claim[RECORD_DIGEST_BYTES]; /* of worker and claim_id; zeros: the claim had no id */
    uint64_t expiry_ms;    /* monotonic; of an external worker's lease. TIMER_NEVER for hubd's */
    uint64_t limit_ms;     /* monotonic; end of the attempt's time limit, while running */
    uint64_t sent_ms;      /* latest `sent_ms` of its worker's calls */
    uint64_t budget_ms;    /* milliseconds of its budgets that the running attempt has taken */
    uint64_t budget_at_ms; /* monotonic; when it took them */
    uint32_t once_actions; /* of the capability as it was when the attempt started */
    uint32_t action_count;
    uint32_t power_cycles; /* by the running attempt */
    bool is_touched;       /* first device interaction seen, not recorded yet */
};

struct hub_phone {
    char id[RECORD_ID_MAX + 1];
    char slot[RECORD_ID_MAX + 1];
    char model[RECORD_ID_MAX + 1];
    char reason[HUB_REASON_MAX + 1];
    char labels[HUB_LABELS_BYTES];      /* an operator gave it; durable */
    char slot_labels[HUB_LABELS_BYTES]; /* of the place it is plugged in; told at each start */
    struct hub_lease lease;
    uint64_t number;
    uint64_t revision;
    uint64_t lost_ms;             /* when it left the lease that it has not been judged for */
    uint64_t gone_ms;             /* when it left or fell silent last, if it ever did */
    struct record_time connected; /* last moment it was ready or leased; never later than that */
    uint32_t item;                /* that leases it; HUB_NONE */
    uint32_t hub_group;           /* phones of one hub share it; 0: alone */
    uint32_t gone_group; /* hub_group when it left: its row may name a phone elsewhere by now */
    uint32_t first_lane; /* that wait for this phone only; HUB_NONE */
    struct budget budget;
    bool is_lost;    /* while leased, and not judged yet */
    bool has_gone;   /* it was lost by leaving or falling silent: then it may be its hub's fault */
    bool is_started; /* the executor has been told to begin */
    bool stop_told;  /* the executor has been told to stop */
    uint8_t state;   /* enum record_phone_state */
};

struct hub_key {
    struct record_time evicted;
    uint64_t number;
    uint64_t process;
    uint8_t key[RECORD_DIGEST_BYTES];
    uint8_t body_digest[RECORD_DIGEST_BYTES];
    uint8_t status;
};

/* Ready items wait in three floors, each ordered by priority, then age (hub_queue.c):
 * a lane is what may run on the same phones; within it, a strand is what may run at the same time:
 * its items share the gates that they pass. Strands whose gate is shut are parked at the gate. */
struct hub_lane {
    uint32_t capability;
    uint32_t label_set;      /* HUB_NONE: none */
    uint32_t phone;          /* index; HUB_NONE: any eligible one */
    uint32_t strands;        /* heap of those that are not empty and not parked */
    uint32_t next, previous; /* lanes with strands: of a phone, or of any */
    uint32_t references;
};

struct hub_strand {
    uint32_t lane;
    uint32_t key_gate; /* HUB_NONE: none */
    uint32_t account_gate;
    uint32_t items;     /* heap */
    uint32_t parked_at; /* gate; HUB_NONE: not parked */
    uint32_t parked_next, parked_previous;
    uint32_t references;
};

/* A concurrency key, or an account. */
struct hub_gate {
    uint8_t digest[RECORD_DIGEST_BYTES];
    uint32_t in_use; /* items of it that are leased or running */
    uint32_t parked; /* first strand */
    uint32_t references;
};

struct hub_label_set {
    char text[HUB_LABELS_BYTES];
    uint32_t references; /* processes that have not ended */
};

enum { HUB_STAYS = 8 }; /* classes of how long an item stayed in a state; the last has no limit */

/* Upper limits of the classes but the last, in milliseconds. */
extern const uint64_t hub_stay_ms[HUB_STAYS - 1];

/* How far the way out of a fork is: firmware/hub_fork.h. */
enum hub_fork_state {
    HUB_FORK_SETTLED,
    HUB_FORK_TAKING,
    HUB_FORK_CLOSING,
    HUB_FORK_CARRYING,
    HUB_FORK_LISTING,
    HUB_FORK_ENDING,
    HUB_FORK_STATE_COUNT
};

/* Of the inventory: process numbers. */
struct hub_page {
    uint64_t next; /* the next page begins with it */
    uint64_t from; /* the page that was written last: where it began, */
    uint64_t last; /* and ended; 0: it was empty */
    bool has_more; /* behind that */
};

struct hub_counters {
    uint64_t transitions[RECORD_ITEM_STATE_COUNT][RECORD_ITEM_STATE_COUNT];
    uint64_t stays[RECORD_ITEM_STATE_COUNT][HUB_STAYS]; /* that ended, by state and class */
    uint64_t stayed_ms[RECORD_ITEM_STATE_COUNT];        /* their sum */
    uint64_t errors[RECORD_CATEGORY_COUNT];
    uint64_t accepted;
    uint64_t duplicates;
    uint64_t refused_full;
    uint64_t evicted;
    uint64_t keys_dropped;
    uint64_t texts_dropped;  /* outputs and results of attempts for which there was no room */
    uint64_t phones_dropped; /* times that a phone was new and there was no room to know it */
    uint64_t offered;        /* parts taken */
    uint64_t withdrawn;      /* parts that left at upstream's wish */
    uint64_t renewed;        /* grants */
    uint64_t answers[RECORD_ANSWER_CODE_COUNT]; /* to commands, by code */
    uint64_t gaps;                              /* times that upstream's history was given up */
    uint64_t given_up[RECORD_KIND_COUNT];       /* records of it that it does not get */
    uint64_t suspect_objects;                   /* records that could not be read back at start */
    uint64_t epochs;                            /* taken on after a fork */
    uint64_t ended_upstream; /* processes that upstream knew as ended otherwise than this hub */
};

struct hub {
    const struct board *board;
    struct store store;
    struct hub_process *processes;
    struct hub_item *items;
    struct hub_attempt *attempts;
    struct hub_phone *phones;
    struct hub_key *keys;
    struct capability *capabilities;
    struct budget *budgets; /* one a capability */
    struct hub_lane *lanes;
    struct hub_strand *strands;
    struct hub_gate *gates;
    struct hub_label_set *label_sets;
    struct heap_node *item_nodes;
    struct heap_node *strand_nodes;
    uint32_t *free_phones;  /* bit for each phone that is ready and not leased */
    uint32_t *matches;      /* for each capability, then each label set: bit for each phone */
    uint8_t *record_buffer; /* to write a record */
    uint8_t *read_buffer;   /* to read one */
    uint32_t record_bytes;  /* of each of the two */
    struct pool process_pool;
    struct pool item_pool;
    struct pool attempt_pool;
    struct pool lane_pool;
    struct pool strand_pool;
    struct pool gate_pool;
    struct hash_index by_number; /* processes */
    struct hash_index by_key;    /* processes, then kept keys (entries from `processes` on) */
    struct hash_index by_lane, by_strand, by_gate;
    struct timer_table timers; /* items, then processes, then phones, then one for budgets */
    struct jitter jitter;
    struct hub_clock clock;
    struct record_time now; /* the same as a moment of this boot */
    uint8_t now_text[RECORD_TIME_BYTES];
    uint8_t now_bytes; /* of `now_text`: it stands in the header of every record */
    struct record_hub image;
    char hub_id[RECORD_ID_MAX + 1];
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    struct record_gap gap; /* as it is durable; perhaps upstream knows of it */
    uint64_t gap_seq;      /* of the record with the next one, until it is durable; 0: none */
    enum hub_fork_state fork_state;
    uint64_t told_seq; /* of the record that ends a fork */
    struct hub_page page;
    uint64_t revision;     /* of the hub's own records */
    uint64_t logged_token; /* tokens up to this one stand in the hub's own record */
    uint32_t capability_count;
    uint32_t phone_count;
    uint32_t key_next;        /* where the next kept key goes: the oldest is replaced */
    uint32_t oldest_finished; /* processes in the order of their end */
    uint32_t newest_finished;
    uint32_t recovery_next;  /* next item to look at after a restart; items: done */
    uint64_t reserved_bytes; /* of the store, for what accepted items may still write */
    uint32_t held_bytes;     /* of the open group, for the answer to the command being applied */
    uint64_t command_seq;    /* of the record that says which command was applied last */
    uint64_t told_command;   /* the last one that is durable, and what it belongs to */
    uint32_t told_epoch;
    uint64_t
        durable_ms; /* the latest synchronised wall clock of what was read at the start; 0: none */
    uint64_t stop_grace_ms;
    /* The owner's, or NULL: a load will fill so many bytes of a table from its front. */
    void (*expect)(void *table, size_t bytes);
    struct budget_limit phone_limit;
    uint32_t first_lane;            /* for any phone */
    uint32_t starts_waiting;        /* attempts whose executor has not been told to begin */
    uint32_t touches_waiting;       /* items whose first device interaction is not recorded yet */
    uint64_t resume_ms;             /* when the item that is being suspended for budget may go on */
    uint64_t scrub_due_ms;          /* when the store is read on; 0: not planned yet */
    struct record_time scrub_ended; /* the last pass that went through all of it */
    bool has_upstream;
    bool is_stopping;    /* no new leases */
    bool is_unscheduled; /* something became ready or free since leases were last granted */
    struct hub_counters counters;
};

#endif
