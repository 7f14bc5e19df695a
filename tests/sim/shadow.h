/* shadow.h - what must be true of one hub, kept apart from it: built from the records that the hub
 * calls durable, and judged with rules written down a second time. */
#ifndef TESTS_SIM_SHADOW_H
#define TESTS_SIM_SHADOW_H

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
    SHADOW_ACTIONS = 4,
};

struct shadow_item {
    struct record_item image;
    uint8_t ended_category; /* of its newest attempt record */
    uint8_t ended_outcome;
    uint8_t orders;                  /* times that a person let it go on */
    uint8_t effects[SHADOW_ACTIONS]; /* of each once-only action, in this generation */
    uint8_t hub_faults;
};

struct shadow_process {
    uint64_t number; /* 0: free */
    struct record_process image;
    uint64_t revision;
    uint64_t last_seq; /* of its newest record */
    uint64_t deadline_ms, not_before_ms;
    uint8_t status;
    uint8_t capability;
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
/* NULL: not retained. */
struct shadow_process *shadow_process_find(struct shadow *shadow, uint64_t number);
/* The retained process or kept key that holds this key: its process's number; 0: none. */
uint64_t shadow_key_find(const struct sim_host *host, const uint8_t *key);
/* The hash at the end of a group; false: too long ago, or no end. */
bool shadow_hash_at(const struct shadow *shadow, uint64_t seq, uint64_t *hash);
/* 64 bits over bytes. */
uint64_t shadow_mix(uint64_t hash, struct bytes bytes);

/* Which row of SPEC.md section 2 leads from one image to the next; ITEM_EVENT_COUNT: none. */
uint32_t shadow_explain(const struct shadow_item *before, const struct record_item *after);
/* SPEC.md section 7, written down again; -1: not allowed. */
int shadow_phone_leads(uint8_t state, uint32_t event);
/* Whether the tables have such a row at all. */
bool shadow_item_has(uint32_t state, uint32_t event);

#endif
