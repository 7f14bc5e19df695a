/* hub_rig.h - one hub on flash in memory, for the tests of hub_*.c: the host's part in few words.
 *
 * Every call that a hub answers with AGAIN is repeated after a commit, as a host does. */
#ifndef TESTS_FIRMWARE_HUB_RIG_H
#define TESTS_FIRMWARE_HUB_RIG_H

#include "firmware/hub.h"

enum {
    RIG_FLASH_BYTES = 24 * 16384,
    RIG_MEMORY_BYTES = 384 * 1024,
    RIG_EVENTS_MAX = 200,
    RIG_ATTEMPT_MS = 60000,
    RIG_GRACE_MS = 10000,
    RIG_LEASE_MS = 30000, /* of RIG_OUTSIDE */
};

/* The rig's capabilities, in the order in which every start sets them. */
enum rig_capability {
    RIG_WORK,    /* 3 attempts, 3 actions, base 1 s, cap 8 s, all but `capability` retryable */
    RIG_ONCE,    /* the same; its action 1 must not run twice unknowingly */
    RIG_LONG,    /* 20 attempts, base 0: no wait between them */
    RIG_REVIEW,  /* as WORK; its action 1 is a review, and 2 must not run twice unknowingly */
    RIG_KEYED,   /* as WORK; at most 2 items at once of key "keyed", or of the request's key */
    RIG_SPARING, /* as LONG; 4 attempts, 100 seconds and 1 power cycle an hour */
    RIG_OUTSIDE, /* as WORK, without actions: external workers run it */
    RIG_CAPABILITIES
};

struct rig_flash {
    struct hal_flash base;
    uint8_t cells[RIG_FLASH_BYTES];
    bool is_syncing;
    bool holds_sync;    /* syncs do not end until this is false again */
    uint32_t fail_read; /* the so many-th read from now on fails; 0: none */
};

struct rig {
    const struct board *board; /* NULL: the simulated one */
    struct rig_flash flash;
    struct hub hub;
    struct hub_clock clock;
    bool keeps_group; /* a call that is answered with AGAIN is not repeated */
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    _Alignas(16) uint8_t memory[RIG_MEMORY_BYTES];
};

/* A formatted store and a first start, committed. The clock stands at 1 s and knows the time. */
void rig_start(struct rig *rig);
/* The program dies at once, without a commit, and starts again on what was durable. */
void rig_restart(struct rig *rig, bool same_boot);
/* The same, but it may not start: the status of hub_load(). */
enum status rig_try_restart(struct rig *rig);
/* The same on a copy of the flash, as another rig; nothing is committed. */
void rig_load_copy(struct rig *copy, const struct rig *from);

void rig_commit(struct rig *rig);
/* Steps and commits until nothing more happens. */
void rig_settle(struct rig *rig);
void rig_advance(struct rig *rig, uint64_t ms); /* and settles */

uint32_t rig_phone(struct rig *rig, const char *id); /* attached and ready */
void rig_phone_event(struct rig *rig, uint32_t phone, enum phone_event event);

/* Fields that stay 0 mean: work, no key, any phone, one item. */
struct rig_order {
    enum rig_capability capability;
    const char *key; /* any text; with zeros behind it it is the digest */
    const char *body;
    const uint32_t *phones; /* indexes */
    uint32_t items;
    uint8_t priority;
    uint64_t not_before_ms, deadline_ms;
    uint32_t input_bytes;
    const char *labels; /* JSON */
    const char *concurrency_key;
    const char *const *accounts; /* one for each item */
};
enum status rig_accept(struct rig *rig, const struct rig_order *order,
                       struct hub_accepted *accepted);
uint32_t rig_submit(struct rig *rig, const struct rig_order *order); /* index, settled */

/* The start that the hub must now give. */
struct hub_start rig_begin(struct rig *rig);
enum status rig_step(struct rig *rig, const struct hub_start *start);
enum status rig_end(struct rig *rig, const struct hub_start *start, enum record_outcome outcome,
                    enum record_category category); /* and settles */
void rig_cancel(struct rig *rig, uint32_t process);
/* Calls hub_suspend() or the like until it is not AGAIN, and settles. */
enum status rig_ask(struct rig *rig, enum status (*ask)(struct hub *, uint32_t), uint32_t process);
enum status rig_settle_item(struct rig *rig, uint32_t process, uint32_t number, bool is_done);

/* A claim by this worker of up to `batch` items of RIG_OUTSIDE; settled. */
struct hub_claimed rig_claim(struct rig *rig, const char *worker, const char *claim_id,
                             uint32_t batch);
/* Only items of the process of this number. */
struct hub_claimed rig_claim_of(struct rig *rig, const char *worker, const char *claim_id,
                                uint32_t batch, uint64_t process);
struct hub_worker rig_worker(struct rig *rig, const char *name, uint32_t item);
/* Starts or ends the attempt of a claimed item; settled. */
enum status rig_worker_start(struct rig *rig, const struct hub_worker *worker);
enum status rig_worker_end(struct rig *rig, const struct hub_worker *worker,
                           enum record_outcome outcome, enum hub_retryable retryable);
void rig_assert_no_start(struct rig *rig);

struct hub_item *rig_item(struct rig *rig, uint32_t process, uint32_t number);
struct hub_process *rig_process(struct rig *rig, uint32_t process);

/* A process's history, oldest first, as `kind/event` numbers: count, with revisions 1..count. */
struct rig_history {
    uint32_t count;
    enum record_kind kind[RIG_EVENTS_MAX];
    enum record_event event[RIG_EVENTS_MAX];
    uint8_t status[RIG_EVENTS_MAX];
};
void rig_read_history(struct rig *rig, uint32_t process, struct rig_history *history);
/* The newest record of an item's newest attempt; its texts are views until the next read. */
void rig_read_attempt(struct rig *rig, uint32_t process, uint32_t number,
                      struct record_attempt *attempt);

/* What must hold of any hub between two calls: stops the test where it does not. */
void rig_check(struct rig *rig);

#endif
