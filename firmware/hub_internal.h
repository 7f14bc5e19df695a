/* hub_internal.h - what the files of the hub share: tables, queues, records and transitions. */
#ifndef FIRMWARE_HUB_INTERNAL_H
#define FIRMWARE_HUB_INTERNAL_H

#include "firmware/hub.h"
#include "protocol/sha256.h"

enum {
    HUB_ORDER_PROCESS_BITS = RECORD_NUMBER_BITS, /* of a process's number, in the order of queues */
    HUB_ORDER_ITEM_BITS = 20,
    HUB_NEW_ITEM_BYTES = 128,     /* record of an item that was never leased: upper bound */
    HUB_PLAIN_RECORD_BYTES = 256, /* of any kind, without a worker's name and without texts: upper
                                     bound in practice, for reserves */
    HUB_RECORD_BYTES = 352,       /* an image without texts, as CBOR with its head: upper bound */
    HUB_GAP_BYTES = 512,          /* the hub's own record with a gap: upper bound */
    HUB_CLOCK_STEP_MS = 1000,     /* of the wall clock: less is drift */
    HUB_PHONE_BYTES = 576,        /* record of a phone: upper bound */
    HUB_ERROR_BYTES = 2048,       /* reserved in the store for the error of an attempt */
    HUB_ANSWER_BYTES = 160,       /* record of an answer: upper bound */
    HUB_TRANSITION_BYTES = 5 * HUB_RECORD_BYTES, /* one item's transition without an attempt */
};

/* Timer owners. */
uint32_t hub_item_timer(const struct hub *hub, uint32_t item);
uint32_t hub_process_timer(const struct hub *hub, uint32_t process);
uint32_t hub_phone_timer(const struct hub *hub, uint32_t phone);
uint32_t hub_budget_timer(const struct hub *hub);

/* Words of a set of bits with one for each phone. */
static inline uint32_t hub_phone_words(const struct board *board) {
    return (board->phones + 31) / 32;
}
static inline uint32_t hub_lowest_bit(uint32_t bits) {
    check(bits != 0);
    return (uint32_t)__builtin_ctz(bits);
}

/* True when the open group takes `bytes` more. */
bool hub_has_room(const struct hub *hub, uint32_t bytes);
/* The largest record, its head included, that fits an empty group beside a transition. */
uint32_t hub_record_max(const struct hub *hub);

static inline struct record_time hub_now(const struct hub *hub) {
    return hub->now;
}
/* Tells what time it is, without what follows from it. */
void hub_take_clock(struct hub *hub, const struct hub_clock *clock);

/* Whether the wall clock is known and has another offset than this boot's, by more than clocks
 * drift between two looks: times that were told stay the same. */
bool hub_has_new_offset(const struct hub *hub, const struct hub_clock *clock);

/* Records (hub_log.c). Each appends the object's after-image to the open group. */
void hub_log_self(struct hub *hub, enum record_event event);
void hub_log_phone(struct hub *hub, uint32_t phone, enum record_event event);
void hub_log_request(struct hub *hub, uint32_t process, const struct record_request *request);
void hub_log_process(struct hub *hub, uint32_t process, enum record_event event);
uint64_t hub_log_item(struct hub *hub, uint32_t item, enum record_event event);
void hub_log_attempt(struct hub *hub, uint32_t item, uint32_t attempt, enum record_event event,
                     const struct record_attempt *image);
void hub_log_key(struct hub *hub, uint32_t key);
void hub_log_answer(struct hub *hub, uint32_t slot, uint64_t command,
                    const struct record_answer *image);

/* Room (hub_space.c). */
/* Whether bytes that nobody reserved fit beside what is live and reserved. */
bool hub_fits_beside(const struct hub *hub, uint64_t bytes);
/* What accepted items and answers to commands may still write. */
uint64_t hub_reserved_bytes(const struct hub *hub);

/* Giving up what upstream lacks (hub_gap.c). */
/* Before a commit: adds the next piece of a gap to the open group, if there must be one. */
void hub_gap_step(struct hub *hub);
/* The first group that upstream lacks cannot be read: gives it up. */
void hub_gap_damage(struct hub *hub);
/* Something has become durable, perhaps a gap. */
void hub_gap_settle(struct hub *hub);

/* The way out of a fork (hub_fork.c, hub_inventory.c). */
/* What a start finds of it. */
void hub_fork_load(struct hub *hub);
/* Something has become durable, perhaps what it waits for. */
void hub_fork_settle(struct hub *hub);
/* Goes on as far as it can. True: leases may be given. */
bool hub_fork_step(struct hub *hub);
/* Appends a newest record again that the new epoch's log does not hold. False: no room. */
bool hub_fork_carry(struct hub *hub, enum record_kind kind, uint32_t index);
/* The last page is judged. */
void hub_fork_told(struct hub *hub);

/* Items (hub_item.c). */
const struct capability *hub_capability_of(const struct hub *hub, uint32_t item);
/* Applies an event that the table allows and logs the item's new image. */
void hub_item_change(struct hub *hub, uint32_t item, enum item_event event,
                     enum record_event record);
/* Puts an item whose image is new or loaded into counts, queue and reserve; takes it out again. */
void hub_item_enter(struct hub *hub, uint32_t item);
void hub_item_leave(struct hub *hub, uint32_t item);
/* Into its queue, if it may be leased as far as it, its process and its grant are concerned. */
void hub_item_queue(struct hub *hub, uint32_t item);
/* How long it may take to stop. */
uint64_t hub_item_grace_ms(const struct hub *hub, uint32_t item);
/* Gives a capability that is new the processes that waited for it. */
void hub_capability_bind(struct hub *hub, uint32_t capability);
/* Counts the reserve anew: a capability's limits have changed. */
void hub_reserve_recount(struct hub *hub);
/* The process's status may have changed: ends it when it is terminal. */
void hub_process_settle(struct hub *hub, uint32_t process);
/* Sets the timers of a process and of its scheduled items that count in wall clock time. */
void hub_process_arm(struct hub *hub, uint32_t process);
void hub_item_ask_stop(struct hub *hub, uint32_t item, enum record_stop reason);
/* Asks it to stop to be suspended; of two reasons, a review counts. */
void hub_item_ask_suspend(struct hub *hub, uint32_t item, enum record_suspension reason);
/* Of an external worker's lease on this item. */
uint64_t hub_lease_ms(const struct hub *hub, uint32_t item);
bool hub_item_is_external(const struct hub *hub, uint32_t item);
/* The phone that the item leases; HUB_NONE: none. */
uint32_t hub_item_phone(const struct hub *hub, uint32_t item);
/* Sets the timer of an item that holds a lease anew: the lease was renewed. */
void hub_item_rearm(struct hub *hub, uint32_t item);
/* A lease ends before its attempt, and counts as a delivery. */
void hub_item_return(struct hub *hub, uint32_t item);
void hub_item_timer_due(struct hub *hub, uint32_t item);
void hub_process_timer_due(struct hub *hub, uint32_t process);
/* Room for all records that end a process's items. */
uint32_t hub_process_end_room(const struct hub *hub, uint32_t process);
/* Cancels or fails whatever is not running, and asks the rest to stop. */
void hub_process_end_items(struct hub *hub, uint32_t process, enum record_stop reason);

/* Attempts (hub_attempt.c, hub_attempt_end.c). */
/* The running item of a phone's lease. STALE_LEASE, ILLEGAL: it is not running. */
enum status hub_attempt_find(const struct hub *hub, uint32_t phone, uint64_t token, uint32_t *item);
/* Fills in whose lease it was and what it did with the phone. */
void hub_attempt_fill(const struct hub_phone *phone, struct record_attempt *image);
/* Leaves out texts that no record may hold, and those for which the store has no room. */
void hub_attempt_fit(struct hub *hub, struct record_attempt *image);
/* Room for the record of an image that fits, and for its item's. */
uint32_t hub_attempt_room(const struct record_attempt *image);
/* Room for the records that end an item's attempt by a timer, with what it found so far. */
uint32_t hub_attempt_end_room(const struct hub *hub, uint32_t item);
/* The lease of a running or leased item ends without a word of its executor. */
void hub_item_interrupt(struct hub *hub, uint32_t item, enum record_category category,
                        bool is_counted);
/* A running item counts as stopped without a word of its executor. */
void hub_attempt_force_stop(struct hub *hub, uint32_t item, struct bytes code,
                            struct bytes message);
/* The attempt must not begin: the actions are others than those that its item has done. */
void hub_attempt_refuse(struct hub *hub, uint32_t item);
/* The attempt has ended in a way that its reporter knows: `known`, unless a stop is pending. AGAIN.
 */
enum status hub_attempt_end_known(struct hub *hub, uint32_t item, const struct record_attempt *end,
                                  enum item_event known);
enum item_event hub_attempt_failure(const struct hub *hub, uint32_t item, bool is_retryable);
/* Records first device interactions that had no room. */
void hub_attempt_log_touches(struct hub *hub);
/* Frees kept attempts beyond the limits: a mount also finds some that were freed before. */
void hub_attempt_trim(struct hub *hub);
/* Takes a slot for the item's next attempt record; drops an older one if there is none. */
uint32_t hub_attempt_take(struct hub *hub, uint32_t item);
uint32_t hub_attempt_newest(const struct hub *hub, uint32_t item);

/* Queues (hub_queue.c). */
enum queue_gate { QUEUE_GATE_KEY, QUEUE_GATE_ACCOUNT };
/* The gate of this name, made when it is new; HUB_NONE for an empty name. */
uint32_t queue_gate_take(struct hub *hub, enum queue_gate kind, struct bytes name);
void queue_gate_give(struct hub *hub, uint32_t gate);
/* Gives an item that has not ended its strand, and takes it away when it has. */
void queue_assign(struct hub *hub, uint32_t item, struct bytes account);
void queue_release(struct hub *hub, uint32_t item);
/* Into the heap of its strand, and out of it. */
void queue_add(struct hub *hub, uint32_t item);
void queue_remove(struct hub *hub, uint32_t item);
/* An item is leased; its lease has ended. */
void queue_pass_gates(struct hub *hub, uint32_t item);
void queue_leave_gates(struct hub *hub, uint32_t item);
uint32_t queue_shut_gate(const struct hub *hub, uint32_t strand);
void queue_park(struct hub *hub, uint32_t strand, uint32_t gate);
/* Looks at every gate anew: limits have changed. */
void queue_open_gates(struct hub *hub);
uint64_t queue_order(const struct hub *hub, uint32_t item);

/* Labels (hub_labels.c). */
/* Words with one space between them. MALFORMED. */
enum status hub_labels_copy(char target[HUB_LABELS_BYTES], struct bytes text);
/* A JSON array of plain strings to such words. MALFORMED. */
enum status hub_labels_parse(char text[HUB_LABELS_BYTES], struct bytes json);
/* The set of this array; HUB_NONE for an empty one. MALFORMED, FULL. */
enum status hub_labels_take(struct hub *hub, struct bytes json, uint32_t *set);
void hub_labels_give(struct hub *hub, uint32_t set);
void hub_labels_match_capability(struct hub *hub, uint32_t capability);
void hub_labels_match_phone(struct hub *hub, uint32_t phone);
/* 32 phones of those that a lane's items may run on. */
uint32_t hub_labels_matching(const struct hub *hub, const struct hub_lane *lane, uint32_t word);

/* Budgets (hub_budget.c). */
bool hub_budget_capability_allows(struct hub *hub, uint32_t capability);
bool hub_budget_phone_allows(struct hub *hub, uint32_t phone);
/* Counts the attempt that starts, or has started at `at_ms`, and takes its seconds in advance. */
void hub_budget_take(struct hub *hub, uint32_t phone, uint64_t at_ms);
/* Gives back what the attempt that ends has not used. */
void hub_budget_settle(struct hub *hub, uint32_t phone);
bool hub_budget_power_cycle(struct hub *hub, uint32_t phone);
/* When an item that is suspended for budget may go on. */
uint64_t hub_budget_resume_ms(const struct hub *hub, uint32_t item, uint32_t phone);
/* After a load: what kept attempts, and the one that runs, have used in this hour. */
void hub_budget_replay(struct hub *hub, uint32_t item, const struct record_attempt *attempt);
void hub_budget_replay_running(struct hub *hub, uint32_t phone);

/* Leases (schedule.c). */
struct schedule_filter {
    bool is_external;
    const uint32_t *capabilities; /* NULL: all */
    uint32_t capability_count;
    uint32_t process; /* index, when has_process */
    bool has_process;
};
struct schedule_pick {
    uint64_t order;
    uint32_t item;
    uint32_t phone;
};
/* The first item that may run now, and the phone for it; of one process, whichever of its items may
 * run. False: none. */
bool schedule_pick(struct hub *hub, const struct schedule_filter *filter,
                   struct schedule_pick *pick);
/* `worker` empty: for hubd itself. `claim` may be NULL. */
void schedule_grant(struct hub *hub, const struct schedule_pick *pick, struct bytes worker,
                    const uint8_t *claim);
/* What the attempt may not do twice, by the capability as it is now; it may be NULL. */
void hub_lease_set_actions(struct hub_lease *lease, const struct capability *capability);
/* The attempt on a phone whose item is leased begins. */
void schedule_start(struct hub *hub, uint32_t phone);
void schedule_run(struct hub *hub);

/* Parts: items of upstream's (hub_part.c). */
struct sync_offer;
/* Takes an offer that answered the poll sent at `sent_ms` of this boot, or its grant. AGAIN. */
enum status hub_part_offer(struct hub *hub, uint32_t upstream_epoch, uint64_t sent_ms,
                           const struct sync_offer *offer, struct record_answer *answer);
/* OK: the part has left, or leaves as soon as it has stopped. AGAIN. */
enum status hub_part_withdraw(struct hub *hub, uint32_t process);
/* It leaves now: its item has no attempt, or one that has stopped. */
void hub_part_leave(struct hub *hub, uint32_t process);
void hub_part_index(struct hub *hub, uint32_t process);
void hub_part_unindex(struct hub *hub, uint32_t process);

/* Grants (hub_grant.c). */
bool hub_grant_is_live(const struct hub *hub, uint32_t item);

/* Commands (hub_command.c). */
struct sync_reply;
/* What a reply says beside its cursor: commands and renewed grants. It answered the poll that was
 * sent at `sent_ms` of this boot. */
void hub_commands_take(struct hub *hub, const struct sync_reply *reply, uint64_t sent_ms);
void hub_grants_take(struct hub *hub, const struct sync_reply *reply, uint64_t sent_ms);
/* Answers that upstream has acknowledged are garbage. */
void hub_answers_release(struct hub *hub);
/* Something has become durable, perhaps the number of a command. */
void hub_commands_settle(struct hub *hub);

/* Finished processes (hub_request.c). */
void hub_finished_add(struct hub *hub, uint32_t process);
void hub_process_forget(struct hub *hub, uint32_t process);
/* Reads a process's request; its texts are in the read buffer until the next read. */
enum status hub_request_read(struct hub *hub, uint32_t process, struct record_request *request);
/* Takes the next item's account off the front of a request's accounts; empty: none. */
struct bytes hub_account_next(struct bytes *accounts);
/* Makes an item of a process that has been planned, and puts it into every table. */
struct hub_target {
    uint32_t index;
    uint64_t phone; /* number; 0: any eligible */
    struct bytes account;
    const struct hub_part *part; /* NULL: the hub's own */
};
uint32_t hub_item_make(struct hub *hub, uint32_t process, const struct hub_target *target);
/* FULL: finished processes but `except` may not go, or that does not help; nothing has changed.
 * AGAIN: some have gone. */
enum status hub_evict_for(struct hub *hub, uint32_t items, uint64_t bytes, uint32_t except);
void hub_finished_remove(struct hub *hub, uint32_t process);
/* What a process holds of the tables for waiting items is given back when it has ended. */
void hub_process_give_tables(struct hub *hub, uint32_t process);
uint32_t hub_key_gate_take(struct hub *hub, uint32_t process, const struct record_request *request);
/* Makes the items of a request whose targets are filled in. */
void hub_process_plan(struct hub *hub, uint32_t process, const struct record_request *request,
                      const struct hub_part *part);
/* The rows of a process, its items and attempts are given back; its newest record stays: it says
 * after a restart that the rest is gone. */
void hub_process_remove(struct hub *hub, uint32_t process);
/* Tokens are found again in the records of items; the last one must not go with its item. */
void hub_process_keep_tokens(struct hub *hub, uint32_t process);
bool hub_answer_duplicate(struct hub *hub, const struct record_request *request,
                          struct hub_accepted *accepted);
/* What `items` new items of a capability may still write. */
uint64_t hub_reserve_bytes(const struct hub *hub, uint32_t capability, uint32_t items);
uint32_t hub_digest_hash(const uint8_t digest[RECORD_DIGEST_BYTES]);

/* After a load (hub_restore.c). */
void hub_restore(struct hub *hub);

/* Phones (hub_phone.c). */
void hub_phone_lease_ended(struct hub *hub, uint32_t phone);
/* Its state or its item has changed: whether it is free. */
void hub_phone_refresh(struct hub *hub, uint32_t phone);
void hub_phone_judge(struct hub *hub, uint32_t phone);

#endif
