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

#include "boards/board.h"
#include "firmware/capability.h"
#include "firmware/hash_index.h"
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
    struct record_time updated;
    uint64_t end_seq;       /* of the record that ended it; 0: it has not ended */
    uint64_t deadline_ms;   /* wall clock; 0: none */
    uint64_t not_before_ms; /* wall clock; 0: none */
    uint8_t key[RECORD_DIGEST_BYTES];
    uint8_t body_digest[RECORD_DIGEST_BYTES];
    bool has_key;
    uint8_t priority;
    uint8_t status; /* enum process_status, as derived last */
};

struct hub_item {
    struct record_item image;
    uint32_t process;
    uint32_t number; /* from 1 in its process */
    uint32_t next_of_process;
    uint32_t queue; /* that it waits in; HUB_NONE */
    uint32_t queue_previous;
    uint32_t queue_next;
    uint32_t first_attempt; /* kept attempts, oldest first */
    uint32_t attempt_count;
    uint32_t failed_phone; /* the phone it failed on last, and how often in a row */
    uint32_t failed_phone_count;
    uint64_t start_seq; /* of the record that started the running attempt */
    struct record_time attempt_started;
    uint8_t progress_percent; /* volatile */
    uint8_t step;             /* action it is in, from 0; volatile */
    bool needs_recovery;      /* was leased or running when the program ended */
};

struct hub_attempt {
    uint32_t number;
    uint32_t item;
    uint32_t next;
};

struct hub_phone {
    char id[RECORD_ID_MAX + 1];
    char slot[RECORD_ID_MAX + 1];
    char model[RECORD_ID_MAX + 1];
    char reason[HUB_REASON_MAX + 1];
    uint64_t number;
    uint64_t revision;
    uint64_t gone_ms;   /* when it left or fell silent last, if it ever did */
    uint32_t item;      /* that leases it; HUB_NONE */
    uint32_t hub_group; /* phones of one hub share it; 0: alone */
    bool was_gone;
    bool is_lost;    /* while leased, and not judged yet */
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

struct hub_queue {
    uint32_t first;
    uint32_t last;
};

struct hub_counters {
    uint64_t transitions[RECORD_ITEM_STATE_COUNT][RECORD_ITEM_STATE_COUNT];
    uint64_t errors[RECORD_CATEGORY_COUNT];
    uint64_t accepted;
    uint64_t duplicates;
    uint64_t refused_full;
    uint64_t evicted;
    uint64_t keys_dropped;
    uint64_t suspect_objects; /* records that could not be read back at start */
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
    struct hub_queue *queues; /* one a phone, then one a capability */
    uint8_t *record_buffer;   /* to write a record */
    uint8_t *read_buffer;     /* to read one */
    uint32_t record_bytes;    /* of each of the two */
    struct pool process_pool;
    struct pool item_pool;
    struct pool attempt_pool;
    struct hash_index by_number; /* processes */
    struct hash_index by_key;    /* processes, then kept keys (entries from `processes` on) */
    struct timer_table timers;   /* items, then processes, then phones */
    struct jitter jitter;
    struct hub_clock clock;
    struct record_hub image;
    char hub_id[RECORD_ID_MAX + 1];
    uint8_t boot_id[RECORD_DIGEST_BYTES];
    uint64_t revision;     /* of the hub's own records */
    uint64_t logged_token; /* tokens up to this one stand in the hub's own record */
    uint32_t capability_count;
    uint32_t phone_count;
    uint32_t key_next;        /* where the next kept key goes: the oldest is replaced */
    uint32_t oldest_finished; /* processes in the order of their end */
    uint32_t newest_finished;
    uint32_t recovery_next;  /* next item to look at after a restart; items: done */
    uint64_t reserved_bytes; /* of the store, for what accepted items may still write */
    uint64_t stop_grace_ms;
    bool has_upstream;
    bool is_stopping;    /* no new leases */
    bool is_unscheduled; /* something became ready or free since leases were last granted */
    struct hub_counters counters;
};

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

/* No new leases; running attempts are asked to stop when `now` is set. */
void hub_stop(struct hub *hub, bool now);
/* Items that hold a lease. */
uint32_t hub_busy_count(const struct hub *hub);

/* ---- capabilities ---- */

uint32_t hub_capability_find(const struct hub *hub, struct bytes name);
/* Adds or replaces by name. FULL. */
must_check enum status hub_capability_set(struct hub *hub, const struct capability *capability);

/* ---- requests ---- */

struct hub_order {
    const struct record_request *request;
    uint32_t capability;
    const uint64_t *phones; /* phone numbers, one item each; NULL: any eligible phone */
    uint32_t item_count;    /* at least 1 */
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

/* TERMINAL: it has ended. OK also when it was asked before. */
must_check enum status hub_cancel(struct hub *hub, uint32_t process);

/* HUB_NONE: unknown or evicted. */
uint32_t hub_process_find(const struct hub *hub, uint64_t number);

/* ---- phones ---- */

uint32_t hub_phone_find(const struct hub *hub, struct bytes id);
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
    uint64_t process; /* number */
    uint32_t item_number;
};

/* An attempt whose start is durable and which nobody has begun yet; false: none. */
bool hub_next_start(struct hub *hub, struct hub_start *start);
/* A phone whose attempt is asked to stop, told once; false: none. */
bool hub_next_stop(struct hub *hub, uint32_t *phone);

/* The four below refuse a token that is not the phone's current one: STALE_LEASE. */
must_check enum status hub_attempt_touched(struct hub *hub, uint32_t phone, uint64_t token);
must_check enum status hub_attempt_progress(struct hub *hub, uint32_t phone, uint64_t token,
                                            uint32_t step, uint32_t percent);
/* The first `so_far->actions_done` actions are done, more than before; it also holds what all of
 * them found. */
must_check enum status hub_attempt_step(struct hub *hub, uint32_t phone, uint64_t token,
                                        const struct record_attempt *so_far);
/* What the newest recorded attempt of an item found, in the hub's read buffer. NOT_FOUND. */
must_check enum status hub_attempt_findings(struct hub *hub, uint32_t item, struct bytes *result);
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
