/* db_fleet.h - the tables of upstream's own work: processes that callers gave to the fleet, their
 * items and which hub has each, commands to hubs, and where every phone is.
 *
 * What readers see of a fleet's process are records like a hub's, in a store whose hub is called
 * DB_UPSTREAM (one for each upstream epoch): request, process, items, attempts, with their history.
 * These tables hold what dispatch must find fast. Everything is as in db.h: writing between
 * db_begin() and db_commit(), IO, NOT_FOUND. */
#ifndef HOST_UPSTREAMD_DB_FLEET_H
#define HOST_UPSTREAMD_DB_FLEET_H

#include "host/upstreamd/db/db.h"

#define DB_UPSTREAM "up"

enum {
    DB_LABELS_SIZE = 256,     /* of a request and its capability, as words, with NUL */
    DB_COMMAND_MAX = 81920,   /* bytes of a command */
    DB_FLEET_PHONES_MAX = 256 /* of one hub that are looked at */
};

/* ---- upstream itself ---- */

struct db_upstream {
    uint32_t epoch;  /* from 1; grows when the database turns out to be an older one */
    int64_t store;   /* of this epoch's processes */
    bool is_holding; /* restored: it grants nothing until older grants are over for sure */
};
must_check enum status db_upstream_get(struct db *db, struct db_upstream *upstream);
/* Begins that epoch: its store is made if need be. */
must_check enum status db_upstream_put(struct db *db, struct db_upstream *upstream);

/* Process numbers are never repeated, not even over epochs: later ones stand in front. */
enum { DB_NUMBER_BITS = 40 };
#define DB_NUMBERS (UINT64_C(1) << DB_NUMBER_BITS)
static inline uint64_t db_fleet_number(uint32_t epoch, uint64_t id) {
    return epoch == 1 ? id : (uint64_t)epoch << DB_NUMBER_BITS | id;
}
static inline uint32_t db_fleet_epoch(uint64_t number) {
    uint64_t epoch = number >> DB_NUMBER_BITS;
    return epoch == 0 ? 1 : (uint32_t)epoch;
}

/* ---- processes ---- */

struct db_fleet_process {
    uint64_t number;
    int64_t store;
    uint32_t epoch;
    uint64_t revision; /* of its newest record */
    uint64_t deadline_ms;
    bool has_key;
    uint8_t key[RECORD_DIGEST_BYTES];
    uint8_t body_digest[RECORD_DIGEST_BYTES];
    bool has_callback;
    uint64_t told;          /* event id: all up to it were told, or are no change */
    uint8_t told_status;    /* row of the status that was told last; 0: none */
    uint32_t failures;      /* of the next one */
    uint64_t tell_due_ms;   /* wall clock */
    uint8_t evicted_status; /* row of the status it ended in; 0: it is still here (db_keep.h) */
};

/* Gives it its number. AGAIN: another one has the same key. */
must_check enum status db_fleet_add(struct db *db, struct db_fleet_process *process);
/* By its number; with `lock`, nobody else changes it until the transaction ends. */
must_check enum status db_fleet_get(struct db *db, uint64_t number, bool lock,
                                    struct db_fleet_process *process);
must_check enum status db_fleet_find_key(struct db *db, const uint8_t key[RECORD_DIGEST_BYTES],
                                         struct db_fleet_process *process);
/* What a hub tells may be about a process of the fleet: the one whose item is its process `number`,
 * or (`epoch` not 0) what its command `number` of that upstream epoch was about. */
struct db_touch {
    struct bytes hub;
    const uint8_t *store_id; /* SYNC_STORE_ID_BYTES */
    uint64_t number;
    uint32_t epoch;
};
/* Locks those processes, in the order of their numbers. Servers only. */
must_check enum status db_fleet_lock(struct db *db, const struct db_touch *touches, uint32_t count);
/* revision, deadline_ms */
must_check enum status db_fleet_put(struct db *db, const struct db_fleet_process *process);
/* has_callback, told, told_status, failures, tell_due_ms */
must_check enum status db_fleet_set_told(struct db *db, const struct db_fleet_process *process);
/* The next process behind `behind` whose newest change may have to be told at `now_ms`. */
must_check enum status db_fleet_next_untold(struct db *db, uint64_t behind, uint64_t now_ms,
                                            struct db_fleet_process *process);
/* The next process behind `behind` that has not ended and whose deadline is over. */
must_check enum status db_fleet_next_late(struct db *db, uint64_t behind, uint64_t now_ms,
                                          uint64_t *number);

/* ---- items ---- */

enum db_phase {
    DB_PHASE_ENDED,    /* terminal, or superseded */
    DB_PHASE_WAITING,  /* no hub has it: it may be offered */
    DB_PHASE_ASSIGNED, /* a hub has it, or has been offered it */
    DB_PHASE_HELD,     /* no hub has it, and none may: held, suspended */
};

struct db_item {
    uint64_t process;
    uint64_t due_ms;         /* wall clock: not offered before */
    uint64_t assigned_ms;    /* wall clock: when its hub was given it */
    uint64_t actions_digest; /* where the next attempt goes on, as attempt to actions_done below */
    uint32_t item;
    uint32_t generation;
    uint32_t gate_max;
    uint32_t refusals;   /* of offers, since it last ran */
    uint32_t assignment; /* the last one given; 0: none yet */
    uint32_t ttl_ms;     /* of its grant */
    uint32_t attempt;
    uint32_t attempts_counted;
    uint32_t actions_done;
    uint8_t phase; /* enum db_phase */
    uint8_t state; /* enum record_item_state, as the next: copies of the record's */
    uint8_t suspension;
    bool is_superseded;
    uint8_t priority;
    bool is_started;     /* an attempt began under the current assignment */
    bool is_withdrawing; /* its hub was told to give it back, or */
    bool is_lost;        /* has told all it has, and this was not there: its grant is awaited */
    bool is_once;        /* not given to another hub until the first answers, unless: */
    bool is_forced;      /* an operator said so */
    char type[DB_TYPE_SIZE];
    char phone[DB_PHONE_SIZE];       /* it must run on; "": any */
    char account[RECORD_ID_MAX + 1]; /* "": none */
    char labels[DB_LABELS_SIZE];     /* words that the phone must have */
    char gate[RECORD_ID_MAX + 1];    /* concurrency key; "": none */
    char hub[RECORD_ID_MAX + 1];     /* of the current assignment; "": nobody */
    char refused_hub[RECORD_ID_MAX + 1];
};

must_check enum status db_item_add(struct db *db, const struct db_item *item);
must_check enum status db_item_put(struct db *db, const struct db_item *item); /* whole */
/* What it is now, for whoever does not change it. */
must_check enum status db_item_look(struct db *db, uint64_t process, uint32_t number,
                                    struct db_item *item);
/* Locked until the transaction ends, as the next one. */
must_check enum status db_item_get(struct db *db, uint64_t process, uint32_t number,
                                   struct db_item *item);
/* The next item of a process behind the number `behind`. */
must_check enum status db_item_next(struct db *db, uint64_t process, uint32_t behind,
                                    struct db_item *item);

/* Items by state, superseded ones left out, and how many of them wait for a review. */
struct db_item_counts {
    uint32_t by_state[RECORD_ITEM_STATE_COUNT];
    uint32_t in_review;
};
must_check enum status db_item_count(struct db *db, uint64_t process,
                                     struct db_item_counts *counts);

/* Candidates for a hub, first priority, then age; locked, those that others have locked left out.
 * `count` in: room; out: found. */
must_check enum status db_item_for_phones(struct db *db, const char *hub, uint64_t now_ms,
                                          struct db_item *items, uint32_t *count);
must_check enum status db_item_for_any(struct db *db, const char *hub, uint64_t now_ms,
                                       struct db_item *items, uint32_t *count);
/* What another hub has had since `before_ms` without having begun it, and this one could run: on
 * any phone, or on one that is plugged in here now. */
must_check enum status db_item_movable(struct db *db, const char *hub, uint64_t before_ms,
                                       struct db_item *items, uint32_t *count);
/* The next item behind this one (by process and item) that the hub has. */
must_check enum status db_item_of_hub(struct db *db, const char *hub, uint64_t process,
                                      uint32_t behind, struct db_item *item);
/* Items of a concurrency key, or of an account, that hubs have now. */
must_check enum status db_item_count_gate(struct db *db, const char *gate, uint64_t *count);
must_check enum status db_item_count_account(struct db *db, const char *account, uint64_t *count);
/* Nobody else counts the same key or account until the transaction ends. */
must_check enum status db_gate_lock(struct db *db, const char *kind, const char *name);
/* How many wait for any phone, and are due. */
must_check enum status db_item_count_any(struct db *db, uint64_t now_ms, uint64_t *count);
/* The next hub behind this name with a phone that an item waits for. */
must_check enum status db_item_next_hub(struct db *db, uint64_t now_ms, const char *behind,
                                        char hub[RECORD_ID_MAX + 1]);
/* How many a hub has had since `before_ms` without having begun them. */
must_check enum status db_item_count_movable(struct db *db, uint64_t before_ms, uint64_t *count);
/* When the next item that waits becomes due; NOT_FOUND: none will. */
must_check enum status db_item_next_due(struct db *db, uint64_t now_ms, uint64_t *due_ms);
/* The next item behind this one that is scheduled and due. */
must_check enum status db_item_next_scheduled(struct db *db, uint64_t process, uint32_t behind,
                                              uint64_t now_ms, struct db_item *item);
/* The next item behind this one whose hub has lost it. */
must_check enum status db_item_next_lost(struct db *db, uint64_t process, uint32_t behind,
                                         struct db_item *item);
/* Of the hubs that have an item of the process now, the one behind this name. */
must_check enum status db_item_hub_next(struct db *db, uint64_t process, const char *behind,
                                        char hub[RECORD_ID_MAX + 1]);

/* ---- parts: which local process of a store is which item ---- */

struct db_part {
    int64_t store;
    uint64_t local; /* number of the hub's process */
    uint64_t process;
    uint32_t item;
};
must_check enum status db_part_put(struct db *db, const struct db_part *part); /* hides it, too */
must_check enum status db_part_get(struct db *db, struct db_part *part); /* by its first two */
/* Of those that the hub still has: the newest of an item (in: store, process, item), and the next
 * behind `local` that has not ended. */
must_check enum status db_part_find(struct db *db, struct db_part *part);
must_check enum status db_part_next(struct db *db, struct db_part *part);

/* ---- phones ---- */

struct db_fleet_phone {
    uint64_t number; /* of the fleet; its own */
    char id[DB_PHONE_SIZE];
    char hub[RECORD_ID_MAX + 1]; /* that has it, or had it last */
    uint8_t state;               /* enum record_phone_state */
    char labels[RECORD_TEXT_MAX + 1];
};
/* A hub has told of a phone. One that is absent there does not move it. */
must_check enum status db_fleet_phone_put(struct db *db, const struct db_fleet_phone *phone);
must_check enum status db_fleet_phone_get(struct db *db, uint64_t number,
                                          struct db_fleet_phone *phone);
must_check enum status db_fleet_phone_find(struct db *db, const char *id,
                                           struct db_fleet_phone *phone);
/* The next ready phone of a hub behind this number. */
must_check enum status db_fleet_phone_ready(struct db *db, const char *hub, uint64_t behind,
                                            struct db_fleet_phone *phone);

/* ---- commands and grants ---- */

struct db_command {
    uint32_t epoch;
    char hub[RECORD_ID_MAX + 1];
    uint64_t number;  /* per epoch and hub, dense from 1 */
    uint32_t kind;    /* enum sync_command_kind */
    uint64_t process; /* of the fleet; 0: of the hub */
    uint32_t item;
    uint32_t assignment;
    struct bytes bytes; /* the whole command, encoded */
};

/* A hub as the ledger has it. */
struct db_ledger {
    char hub[RECORD_ID_MAX + 1];
    uint32_t epoch;   /* of `command` */
    uint64_t command; /* last number given */
    uint64_t answers; /* that carried a grant or a renewal, so far */
    uint32_t boot;    /* of the hub, and its store, when it was last granted something */
    int64_t store;
    uint64_t granted_ms; /* wall clock: when that was */
    uint64_t renew_ms;   /* when its grants are to be renewed; 0: it has none */
};
/* NOT_FOUND: it was never told anything. */
must_check enum status db_ledger_get(struct db *db, struct db_ledger *ledger);
/* Locks the row, which is made if need be; `epoch` in: a newer one begins the numbers anew. */
must_check enum status db_ledger_lock(struct db *db, struct db_ledger *ledger);
must_check enum status db_ledger_put(struct db *db, const struct db_ledger *ledger);
/* The next hub behind this name that has items. */
must_check enum status db_ledger_next(struct db *db, const char *behind, struct db_ledger *ledger);
/* The next one whose grants are to be renewed; when the next ones are. */
must_check enum status db_ledger_next_due(struct db *db, const char *behind, uint64_t now_ms,
                                          struct db_ledger *ledger);
must_check enum status db_ledger_min_due(struct db *db, uint64_t now_ms, uint64_t *due_ms);

/* Hubs with ready phones, most first. `count` in: room; out: found. */
struct db_ready_hub {
    char hub[RECORD_ID_MAX + 1];
    uint32_t phones;
};
must_check enum status db_hubs_ready(struct db *db, struct db_ready_hub *hubs, uint32_t *count);

must_check enum status db_command_add(struct db *db, const struct db_command *command);
/* The hub's first command of the epoch behind `number`, its bytes in `buffer` (DB_COMMAND_MAX). */
must_check enum status db_command_next(struct db *db, struct db_command *command, uint8_t *buffer);
/* By epoch, hub and number; without its bytes. */
must_check enum status db_command_get(struct db *db, struct db_command *command);
must_check enum status db_command_delete(struct db *db, const struct db_command *command);
/* It was answered, and is kept for a flash that is restored to before it. */
must_check enum status db_command_keep(struct db *db, const struct db_command *command);
/* Those of a hub that its new life must not be told: offers, and, with another store, all that are
 * about the hub's own processes. */
must_check enum status db_command_drop(struct db *db, uint32_t epoch, const char *hub,
                                       bool is_other_store);
/* Commands of this kind behind `number`: not applied yet. */
must_check enum status db_command_count(struct db *db, const struct db_command *command,
                                        uint64_t *count);
/* Commands behind `number` that say the same of the same item and assignment. */
must_check enum status db_command_repeats(struct db *db, const struct db_command *command,
                                          uint64_t *count);
/* The next hub behind this name that has commands not yet answered. */
must_check enum status db_command_next_hub(struct db *db, uint32_t epoch, const char *behind,
                                           char hub[RECORD_ID_MAX + 1], uint64_t *newest);

#endif
