/* hub.h - everything one hub knows, and the events that change it.
 *
 * The host turns what happens outside (an API call, a phone's answer, the clock) into a call here.
 * A call that changes something appends records to the store's open group and is not told to
 * anybody before hub_durable_seq() has reached the group's last record. Nothing here does I/O but
 * through the flash given to it, reads a clock, or allocates.
 *
 * AGAIN from any call means: the open group is full; commit, and call again. Nothing changed. */
#ifndef FIRMWARE_HUB_H
#define FIRMWARE_HUB_H

#include "firmware/hub_tables.h"

/* ---- life ---- */

/* Bytes of memory that a board's tables take. */
size_t hub_bytes(const struct board *board);

/* `memory` is zeroed, aligned for any type, and the hub's until the end. `seed` is not 0. */
void hub_init(struct hub *hub, const struct board *board, void *memory, struct hal_flash *flash,
              uint64_t seed);

/* Mounts the store and builds the tables; then the open group holds the record of this start.
 * FOREIGN also when the store belongs to another hub id. */
must_check enum status hub_load(struct hub *hub, struct bytes hub_id,
                                const uint8_t boot_id[RECORD_DIGEST_BYTES],
                                const struct hub_clock *clock);

/* To be called with the time before any other call of a turn. Learns the wall clock. */
void hub_set_clock(struct hub *hub, const struct hub_clock *clock);

/* Does what is due: timers, leases that a restart left, new leases. */
void hub_step(struct hub *hub);

/* When hub_step() has something to do next; TIMER_NEVER: nothing by itself. */
uint64_t hub_deadline_ms(const struct hub *hub);

/* Cleans, programs the open group and starts its sync; polls the running one. As store_commit()
 * and store_poll(). */
must_check enum status hub_commit(struct hub *hub);
must_check enum status hub_poll(struct hub *hub);
uint64_t hub_durable_seq(const struct hub *hub);
uint64_t hub_head_seq(const struct hub *hub);

/* Blocks that may still fail before what was accepted may lack room. */
uint32_t hub_spare_blocks(const struct hub *hub);
/* Blocks have failed, and few spare ones are left: the flash must be replaced. */
bool hub_is_worn(const struct hub *hub);

/* What upstream is to be told that it will not get, in front of what it gets; NULL: nothing. */
const struct record_gap *hub_gap(const struct hub *hub);

/* No new leases; running attempts are asked to stop when `now` is set. */
void hub_stop(struct hub *hub, bool now);
/* Items that hub itself runs now: external workers go on while the program is down. */
uint32_t hub_busy_count(const struct hub *hub);

/* Numbers of processes, phones and keys are unique over all lives of the store: those given after a
 * fork hold the store's epoch in front of RECORD_NUMBER_BITS bits, those before it hold none. The
 * epoch that these are shown with: */
uint32_t hub_first_epoch(const struct hub *hub);

/* ---- capabilities ---- */

uint32_t hub_capability_find(const struct hub *hub, struct bytes name);
/* Adds or replaces by name. FULL. */
must_check enum status hub_capability_set(struct hub *hub, const struct capability *capability);

/* ---- requests ---- */

/* What to make of a request. Routing decides the lists (SPEC.md section 4):
 *   direct  phones of one, item_count 1;  queue  neither, item_count 1
 *   group   phones (one item each), accounts (one item each, on any eligible phone), or both of
 *           the same length (pairs).
 * An account may also be given for direct and queue: at most one phone works for an account at a
 * time, whatever the process.
 * `request->labels` is a JSON array of plain strings (no backslash) or empty: MALFORMED else.
 * `request->concurrency_key` empty: the capability's own key counts. `item_count`, `phones` and
 * `accounts` of the request's record are filled in here. */
struct hub_order {
    const struct record_request *request;
    uint32_t capability;
    const uint64_t *phones;       /* phone numbers, one item each; NULL: any eligible phone */
    const struct bytes *accounts; /* one for each item, 1 to RECORD_ID_MAX bytes without control
                                     characters (MALFORMED else); NULL: none */
    uint32_t item_count;          /* 1 to the board's items_per_request */
    const struct hub_part *part;  /* NULL: the process is the hub's own */
};

struct hub_accepted {
    uint64_t number;  /* of the process, the existing one for a duplicate */
    uint32_t process; /* index; HUB_NONE for a duplicate whose process was evicted */
    uint8_t status;   /* enum process_status */
    bool is_duplicate;
    bool differs; /* a duplicate key with another body */
};

/* FULL: capacity exhausted. TOO_LARGE: more than one record, or one commit group, may hold.
 * MALFORMED: a text that is not UTF-8 or longer than its limit in a record. Nothing is left behind
 * unless OK; but finished processes may have been evicted for it when it says AGAIN. */
must_check enum status hub_accept(struct hub *hub, const struct hub_order *order,
                                  struct hub_accepted *accepted);

/* ---- parts: items of upstream's (SPEC.md section 8) ----
 *
 * A part is a process with one item, made by an offer. It has no idempotency key, its attempts go
 * on where those on other hubs ended, and it is leased, and runs, only under a live grant. */

struct hub_part {
    struct record_origin origin;
    uint32_t assignment;
    uint32_t ttl_ms;  /* of the grant */
    uint64_t sent_ms; /* monotonic; when the poll left that the offer answered */
    uint32_t attempt;
    uint32_t attempts_counted; /* at most `attempt` */
    uint32_t actions_done;
    uint64_t actions_digest;
};

static inline bool hub_is_part(const struct hub *hub, uint32_t process) {
    return hub->processes[process].origin.process != 0;
}
/* By upstream's numbers; of several, the one that was taken last. HUB_NONE: none. */
uint32_t hub_part_find(const struct hub *hub, uint64_t process, uint32_t item);
/* When nothing of this item may go on: the end of its grant less the grace time of a stop.
 * TIMER_NEVER: it needs no grant. 0: its grant is void. */
uint64_t hub_grant_until_ms(const struct hub *hub, uint32_t item);
/* Phones that are ready and that nobody waits for. */
uint32_t hub_idle_count(const struct hub *hub);
/* Items that it would still take. */
uint32_t hub_capacity(const struct hub *hub);

/* ---- control of a process: by its index; each is one commit group ---- */

/* TERMINAL: it has ended. OK also when it was asked before. */
must_check enum status hub_cancel(struct hub *hub, uint32_t process);

/* Sets its hold, which forbids lease and start; gives leases back that have not started, and asks
 * running items to stop: they become suspended (operator) and are not counted. TERMINAL: it has
 * ended. OK also when it is held already; nothing is written then. */
must_check enum status hub_suspend(struct hub *hub, uint32_t process);

/* Clears the hold and makes every suspended item ready, whatever suspended it: behind the review
 * action it waited at; once more at an action whose end is uncertain (a person orders it again);
 * by budget: it waits until there is some. An item that is still stopping for the hold goes on as
 * soon as it has stopped. TERMINAL. OK also when there is nothing to do; nothing is written then.
 */
must_check enum status hub_resume(struct hub *hub, uint32_t process);

/* An operator says how an item ended that is suspended as uncertain or for review. `number` is the
 * item's in its process; 0: all of them that wait so. TERMINAL: the process has ended; NOT_FOUND:
 * no such item; ILLEGAL: it does not wait for that. */
must_check enum status hub_settle(struct hub *hub, uint32_t process, uint32_t number, bool is_done);

/* Starts the next generation of a process that ended PARTIAL, DEAD_LETTER or with nothing to run:
 * failed and canceled items are superseded by new ones with fresh attempts, which begin at the
 * first action. Clears cancel_requested, hold, a passed deadline, finished, retrying and
 * cancel_requested times. ILLEGAL: it has not ended, or ended DONE or CANCELLED. FULL: no room for
 * the new items or their records; AGAIN may have evicted others. */
must_check enum status hub_retry(struct hub *hub, uint32_t process);

/* By the item's number from 1 in its process. HUB_NONE: no such item. */
uint32_t hub_item_find(const struct hub *hub, uint32_t process, uint32_t number);

/* ---- why an item waits ---- */

enum hub_wait {
    HUB_WAIT_NONE,          /* it does not wait: leased, running or terminal */
    HUB_WAIT_HELD,          /* an operator suspended the process */
    HUB_WAIT_NOT_BEFORE,    /* for its start time */
    HUB_WAIT_CLOCK_UNKNOWN, /* for its start time, and this hub does not know the time yet */
    HUB_WAIT_BACKOFF,       /* for the next try */
    HUB_WAIT_GRANT,         /* upstream's grant has ended, or is void since the machine started */
    HUB_WAIT_CAPABILITY,    /* its capability has no file here */
    HUB_WAIT_CONCURRENCY,   /* others of its concurrency key run */
    HUB_WAIT_ACCOUNT,       /* its account's phone works for another item */
    HUB_WAIT_BUDGET,        /* the capability's budget of this hour is spent */
    HUB_WAIT_LABELS,        /* no phone has the labels that it needs */
    HUB_WAIT_PHONE_GONE,    /* its phone, or every eligible one, is not ready */
    HUB_WAIT_PHONE_BUSY,    /* its phone, or every eligible one, is taken */
    HUB_WAIT_PHONE_BUDGET,  /* its phone's budget of this hour is spent */
    HUB_WAIT_WORKER,        /* for an external worker to claim it */
    HUB_WAIT_TURN,          /* for items before it */
    HUB_WAIT_OPERATOR,      /* suspended by an operator, as the next three by other reasons */
    HUB_WAIT_REVIEW,
    HUB_WAIT_SPENT,
    HUB_WAIT_UNCERTAIN,
    HUB_WAIT_COUNT
};

/* Looks at all phones: for readers, not for every transition. */
enum hub_wait hub_item_wait(const struct hub *hub, uint32_t item);
/* The word for `status_detail`, such as `waiting_for_phone`; "" for NONE. */
const char *hub_wait_name(enum hub_wait wait);
/* The wait of a process that has not ended: of its first item that waits; NONE: none does. */
enum hub_wait hub_process_wait(const struct hub *hub, uint32_t process);

/* The phone that leases it, else the one its last kept attempt ran on, else the one it must run on:
 * a row. HUB_NONE: none is known. */
uint32_t hub_item_last_phone(const struct hub *hub, uint32_t item);

/* Attempts of an item whose records were dropped: the first and the last 4 are kept. Their numbers
 * lie between the fourth and the fourth last kept one. */
uint32_t hub_item_dropped(const struct hub *hub, uint32_t item);

/* ---- external workers: they run the items of capabilities with is_external ----
 *
 * A worker is known by its name (1 to RECORD_ID_MAX bytes) and by the fencing token of the lease.
 * Leases are on phones, as hubd's own. A lease expires `lease_ms` of its capability after the
 * claim, the start or the last renewal, and a running attempt never outlasts `attempt_ms`; what
 * expires unstarted is returned (a delivery), what expires running is asked to stop, then forced.
 * Such leases survive a restart of the program with their token, their time counted anew in full.
 */

struct hub_claim {
    struct bytes worker;
    struct bytes claim_id;        /* up to RECORD_ID_MAX bytes; empty: none */
    const uint32_t *capabilities; /* whose items; NULL: of all that are external */
    uint32_t capability_count;
    uint64_t process; /* number; only its items, out of turn: who asks for its own waits for no
                         other, who may have gone. 0: any */
    uint32_t batch;   /* at most so many items, 1 to HUB_CLAIM_MAX */
};

struct hub_claimed {
    uint32_t count;
    bool is_repeated;              /* the answer to an earlier call with this claim_id */
    uint32_t items[HUB_CLAIM_MAX]; /* indexes; token, phone, process and number stand there */
};

/* Leases up to `batch` items, each on a free phone: all in one group. OK also with count 0. A
 * claim_id that this worker used before returns what it still holds of that claim, and leases
 * nothing, as long as it holds any of it. */
must_check enum status hub_claim(struct hub *hub, const struct hub_claim *claim,
                                 struct hub_claimed *claimed);

/* Who calls about which lease. */
struct hub_worker {
    uint32_t item; /* index */
    struct bytes name;
    uint64_t token;
    uint64_t sent_ms; /* by the worker's clock; 0: not said. BUSY: older than its last call's */
};

/* All below: STALE_LEASE: the token or the name is not the lease's, or it has no lease any more,
 * whatever else is wrong. ILLEGAL: not in this state (leased, or running). BUSY: see above. */

/* Restarts the expiry of a lease that has not started. Not a record. */
must_check enum status hub_worker_acknowledge(struct hub *hub, const struct hub_worker *worker);
/* The attempt begins: durable when hub_durable_seq() reaches the head. Also touches the device.
 * OK, and nothing is written, when it runs already. */
must_check enum status hub_worker_start(struct hub *hub, const struct hub_worker *worker);

struct hub_heartbeat {
    uint64_t expires_in_ms; /* of the lease, from now */
    uint8_t stop;           /* enum record_stop: cancel, suspend…; NONE: go on */
    uint8_t suspension;     /* enum record_suspension, when `stop` is SUSPEND */
};

/* Leased or running: renews the lease, never beyond the attempt's limit, never shorter; raises the
 * progress (0 to 100; UINT32_MAX: not said). Not a record. */
must_check enum status hub_worker_heartbeat(struct hub *hub, const struct hub_worker *worker,
                                            uint32_t percent, struct hub_heartbeat *answer);
/* Gives back a lease that has not started: counts as a delivery. */
must_check enum status hub_worker_release(struct hub *hub, const struct hub_worker *worker);

enum hub_retryable {
    HUB_RETRYABLE_BY_POLICY, /* the capability's retry_on decides */
    HUB_RETRYABLE_YES,
    HUB_RETRYABLE_NO,
};

/* The attempt has ended, or has stopped: `end` as for hub_attempt_end(). A failure that its worker
 * reports is known: it never makes an item uncertain. */
must_check enum status hub_worker_end(struct hub *hub, const struct hub_worker *worker,
                                      const struct record_attempt *end,
                                      enum hub_retryable retryable);

/* HUB_NONE: unknown or evicted. */
uint32_t hub_process_find(const struct hub *hub, uint64_t number);
/* By the digest of its idempotency key. HUB_NONE: unknown or evicted. */
uint32_t hub_process_by_key(const struct hub *hub, const uint8_t digest[RECORD_DIGEST_BYTES]);

/* ---- phones ---- */

uint32_t hub_phone_find(const struct hub *hub, struct bytes id);
/* Whether work waits that would run on this phone, and on no other one that is free. */
bool hub_phone_is_wanted(const struct hub *hub, uint32_t phone);
/* Labels an operator gave (durable), and those of its slot (until the program ends): words of
 * a-z, A-Z, 0-9 and `_.:-` with one space between them, less than HUB_LABELS_BYTES. MALFORMED. */
must_check enum status hub_phone_label(struct hub *hub, uint32_t phone, struct bytes labels);
must_check enum status hub_phone_slot_label(struct hub *hub, uint32_t phone, struct bytes labels);
/* What one phone may be used in an hour; zeros: without limit. For all phones of this hub; to be
 * set before hub_load(), which counts anew what was used. */
void hub_phone_budget(struct hub *hub, const struct budget_limit *limit);
/* By its number, which is never reused. */
uint32_t hub_phone_by_number(const struct hub *hub, uint64_t number);
/* A phone has said who it is: finds or makes its row. `id` is valid UTF-8; slot and model are cut
 * to their valid front. FULL: no room for one more. */
must_check enum status hub_phone_identify(struct hub *hub, struct bytes id, struct bytes slot,
                                          struct bytes model, uint32_t *phone);
/* ILLEGAL: not in the table, or a lease has not ended yet. `reason` may be NULL. */
must_check enum status hub_phone_event(struct hub *hub, uint32_t phone, enum phone_event event,
                                       const char *reason);

/* ---- attempts ---- */

struct hub_start {
    uint32_t phone;
    uint32_t item;
    uint32_t capability;
    uint32_t attempt;
    uint32_t actions_done;
    uint64_t token;
    uint64_t actions_digest; /* of the action list that this attempt must follow to its end */
    uint64_t process;        /* number */
    uint32_t item_number;
};

/* An attempt whose start is durable and which nobody has begun yet; false: none. */
bool hub_next_start(struct hub *hub, struct hub_start *start);
/* A phone whose attempt is asked to stop, told once; false: none. */
bool hub_next_stop(struct hub *hub, uint32_t *phone);

/* Those below refuse a token that is not the phone's current one: STALE_LEASE. */

/* The attempt is about to touch its phone: the time of the first call of an item is its
 * first_device, exactly and durably. */
must_check enum status hub_attempt_touched(struct hub *hub, uint32_t phone, uint64_t token);
must_check enum status hub_attempt_progress(struct hub *hub, uint32_t phone, uint64_t token,
                                            uint32_t step, uint32_t percent);
/* The first `so_far->actions_done` actions are done, more than before; it also holds what all of
 * them found. */
must_check enum status hub_attempt_step(struct hub *hub, uint32_t phone, uint64_t token,
                                        const struct record_attempt *so_far);
/* What the newest recorded attempt of an item found, in the hub's read buffer. NOT_FOUND. */
must_check enum status hub_attempt_findings(struct hub *hub, uint32_t item, struct bytes *result);
/* The executor has reached a review action: it and all before it are recorded as done
 * (`so_far->actions_done`, more than before, whatever the request skipped), and the attempt is
 * asked to stop. The item becomes suspended (review) and goes on behind it when it is resumed. */
must_check enum status hub_attempt_review(struct hub *hub, uint32_t phone, uint64_t token,
                                          const struct record_attempt *so_far);
/* To be asked before the phone's port power is cut for this attempt. FULL: the budget of this hour
 * is spent; the attempt has been asked to stop and will be suspended (budget). */
must_check enum status hub_attempt_power_cycle(struct hub *hub, uint32_t phone, uint64_t token);
/* The attempt has ended, or has stopped. `end` names outcome, error and result; its times, phone
 * and actions are filled in here. A text that is not valid or too long for a record is left out. */
must_check enum status hub_attempt_end(struct hub *hub, uint32_t phone, uint64_t token,
                                       const struct record_attempt *end);

/* ---- reading ---- */

/* Reads an object's newest record: header and, in `image`, a reader at its image. The bytes are in
 * the hub's read buffer until the next call. */
must_check enum status hub_read(struct hub *hub, struct store_key key, struct record_header *header,
                                struct cbor_reader *image);

/* A process's history, newest first: start with the tail, follow `previous`. */
struct hub_history {
    uint32_t where; /* 0: no older record is left */
    uint64_t process;
    uint64_t revision; /* expected of the next record */
};
void hub_history_start(const struct hub *hub, uint32_t process, struct hub_history *history);
/* The record's bytes are in the hub's read buffer until the next call. NOT_FOUND: the end, or
 * older records are gone. */
must_check enum status hub_history_next(struct hub *hub, struct hub_history *history,
                                        struct bytes *record, uint32_t *where);
/* Whether hub_history_next() found a record that is still in the open group. */
bool hub_history_is_open(uint32_t where);
/* Reads a record that hub_history_next() found, if it is still there. */
must_check enum status hub_history_read(struct hub *hub, uint32_t where, uint64_t process,
                                        uint64_t revision, struct bytes *record);

/* The wall clock of a boot; 0: never known. */
uint64_t hub_boot_offset(const struct hub *hub, uint32_t boot);

#endif
