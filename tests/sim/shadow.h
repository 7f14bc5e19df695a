/* shadow.h - what must be true of one hub, kept apart from it: built from the records that the hub
 * calls durable, and judged with rules written down a second time. */
#ifndef TESTS_SIM_SHADOW_H
#define TESTS_SIM_SHADOW_H

#include "firmware/capability.h"
#include "firmware/item.h"
#include "firmware/phone.h"
#include "firmware/process.h"
#include "firmware/store.h"

enum {
    SHADOW_PROCESSES = 32,
    SHADOW_ITEMS = 32,
    SHADOW_PHONES = 8,
    SHADOW_KEYS = 8,
    SHADOW_MARKS = 2048, /* group ends whose hash is kept */
};

struct shadow_item {
    struct record_item image;
    uint8_t ended_category; /* of its newest attempt record */
    uint8_t ended_outcome;
    uint8_t orders;  /* times that a person let it go on */
    uint8_t effects; /* of its once-only action */
    bool is_reviewed;
    bool is_released;              /* by its worker */
    uint32_t renewed_life;         /* of the daemon, in which its worker gave a sign of life */
    uint64_t renewed_ms;           /* monotonic; the last one */
    uint64_t revision;             /* of its newest record */
    uint64_t seq;                  /* of that one */
    struct record_time entered;    /* its state */
    struct record_time stop_asked; /* the first reason of the running attempt */
};

struct shadow_process {
    uint64_t number;             /* 0: free */
    struct record_origin origin; /* of a part; process 0: the hub's own */
    struct record_process image;
    uint64_t revision;
    uint64_t image_revision;         /* of the record of its image */
    uint64_t last_seq;               /* of its newest record */
    uint64_t request_seq, image_seq; /* where these records stand now */
    uint64_t end_seq;                /* of the record that ended it */
    uint64_t retry_seq;              /* head of the log when a retry was asked last */
    uint64_t deadline_ms, not_before_ms;
    uint8_t status;
    uint8_t ended_status; /* when it ended last */
    uint8_t capability;
    uint8_t priority;
    uint8_t lock;        /* concurrency key; 0: none */
    uint8_t accounts[4]; /* by target; 0: none */
    bool is_resumed;     /* somebody ordered it, in the group that is read */
    bool is_carried;     /* by the gap rule: its place among the finished is another one */
    bool is_retry_asked; /* by an operator, since it ended */
    bool is_touched;     /* by the group that is read */
    bool has_key;
    bool is_told; /* its caller has the number */
    uint8_t key[RECORD_DIGEST_BYTES];
    uint8_t item_count; /* seen */
    struct shadow_item items[SHADOW_ITEMS];
};

struct shadow_phone {
    char id[RECORD_ID_MAX + 1]; /* empty: not known */
    uint64_t process;           /* that leases it; 0: none */
    uint64_t item;
    uint8_t state;
};

struct shadow_key {
    uint8_t key[RECORD_DIGEST_BYTES];
    uint64_t number; /* 0: none */
    uint64_t process;
    struct record_time evicted;
};

struct shadow {
    struct store_cursor cursor;
    uint64_t seq;  /* durable, as the hub has said */
    uint64_t hash; /* over all record bytes up to it */
    uint64_t token;
    uint64_t acked; /* the most that upstream ever stored */
    uint64_t process_number;
    uint32_t boot;
    uint64_t hub_revision; /* of its own newest record */
    uint32_t upstream_epoch;
    uint64_t command;      /* applied, by its own record */
    uint64_t answered;     /* the newest command with an answer */
    uint64_t told_process; /* highest number that a caller was told */
    uint64_t mark_seq[SHADOW_MARKS];
    uint64_t mark_hash[SHADOW_MARKS];
    uint32_t mark_next;
    struct shadow_phone phones[SHADOW_PHONES + 1]; /* by number */
    struct shadow_key keys[SHADOW_KEYS];
    struct shadow_process processes[SHADOW_PROCESSES];
};

struct sim_host;

void shadow_init(struct shadow *shadow);
/* Takes in what has become durable, record by record. */
void shadow_read(struct sim_host *host);
/* Compares all that is retained with the hub's tables; nothing is open or being synced. */
void shadow_compare(struct sim_host *host);
/* A store that bits have flipped in has opened: what it says of an object is the newest. */
void shadow_compare_rotten(struct sim_host *host);
/* NULL: not retained. */
struct shadow_process *shadow_process_find(struct shadow *shadow, uint64_t number);
/* A worker runs it, not the hub. */
bool shadow_is_external(const struct shadow_process *process);
/* One of its items waits for somebody. */
bool shadow_is_suspended(const struct shadow_process *process);
/* The retained process or kept key that holds this key: its process's number; 0: none. */
uint64_t shadow_key_find(const struct sim_host *host, const uint8_t *key);
/* The hash at the end of a group; false: too long ago, or no end. */
bool shadow_hash_at(const struct shadow *shadow, uint64_t seq, uint64_t *hash);
/* Where the last group but one ends. */
uint64_t shadow_group_before(const struct shadow *shadow);
/* 64 bits over bytes. */
uint64_t shadow_mix(uint64_t hash, struct bytes bytes);

/* Rules over more than one record (shadow_judge.c). */
/* All records of a group were read. */
void shadow_judge_group(struct sim_host *host);
/* An item of `process` gets the phone that `after` names. */
void shadow_judge_grant(struct sim_host *host, const struct shadow_process *process,
                        const struct record_item *after);
/* Counts and waiting times of an item after one event. */
void shadow_judge_bounds(struct sim_host *host, const struct capability *capability,
                         const struct record_item *after, uint32_t event);
/* An external worker's lease was returned, or its attempt asked to stop: not before its time. */
void shadow_judge_worker(struct sim_host *host, const struct shadow_process *process,
                         const struct shadow_item *item, const struct record_item *after,
                         uint32_t event, const struct record_time *at);
void shadow_judge_kept(struct sim_host *host, const struct shadow_process *process,
                       const struct shadow_item *item, uint32_t event,
                       const struct record_time *at);
/* A once-only action begins. */
void shadow_judge_once(struct sim_host *host, uint64_t process, uint64_t number,
                       struct shadow_item *item);
/* An attempt of the budgeted capability started; a phone's port may be cut for one. */
void shadow_judge_start(struct sim_host *host, const struct record_time *at);
void shadow_judge_cycle(struct sim_host *host, uint32_t row);
/* An item is tried again. */
void shadow_judge_retry(struct sim_host *host, const struct shadow_item *item,
                        const struct record_time *at);
/* The phone of this number left a lease before. */
bool shadow_was_lost(const struct sim_host *host, uint64_t phone, const struct record_time *at);
/* An attempt ended because its phone left. */
void shadow_judge_loss(struct sim_host *host, const struct record_item *before, uint32_t event,
                       const struct record_time *at);
/* The daemon has done a turn, and all of it is durable: nothing that was due is left. */
void shadow_judge_due(struct sim_host *host);

/* Which row of SPEC.md section 2 leads from one image to the next; ITEM_EVENT_COUNT: none. */
uint32_t shadow_explain(const struct shadow_item *before, const struct record_item *after);
/* SPEC.md section 7, written down again; -1: not allowed. */
int shadow_phone_leads(uint8_t state, uint32_t event);
/* Whether the tables have such a row at all. */
bool shadow_item_has(uint32_t state, uint32_t event);

#endif
