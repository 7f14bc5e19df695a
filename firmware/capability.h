/* capability.h - what the core must know of a capability: who may ask for it and how it retries.
 *
 * Its actions are the executor's; here only their number and their effect class count. A
 * capability comes from a file, never from code. */
#ifndef FIRMWARE_CAPABILITY_H
#define FIRMWARE_CAPABILITY_H

#include "firmware/backoff.h"
#include "firmware/budget.h"
#include "protocol/record.h"

enum { CAPABILITY_ACTIONS_MAX = 32, CAPABILITY_LABELS_BYTES = 128 };

struct capability {
    char name[RECORD_ID_MAX];
    uint32_t routings; /* bit for each enum record_routing it allows */
    bool is_permitted; /* unattended needs both */
    bool is_live_verified;
    bool is_external; /* external workers run it, hubd never does */
    bool is_retired;  /* its file is gone: running work ends, nothing new is accepted */
    uint8_t priority; /* when the request gives none */
    uint32_t attempts_max;
    struct backoff backoff;
    uint32_t retryable;  /* bit for each enum record_category */
    uint32_t attempt_ms; /* time limit of one attempt */
    uint32_t stop_ms;    /* grace time of a stop; 0: the hub's */
    uint32_t
        lease_ms; /* of an external worker's lease, between two signs of life; 0: HUB_LEASE_MS */
    uint32_t grant_ms;        /* upstream: how long a hub may run an item without word from it */
    uint32_t action_count;    /* an external one without actions counts as one action */
    uint32_t once_actions;    /* bit for each action that must not be run twice unknowingly */
    uint32_t review_actions;  /* bit for each action that waits for a person */
    uint64_t actions_digest;  /* over the action list; an item never goes on in another one */
    uint32_t concurrency_max; /* items of one key leased or running at once; 0 means 1 */
    char concurrency_key[RECORD_ID_MAX + 1]; /* when the request gives none; "": none */
    char labels[CAPABILITY_LABELS_BYTES];    /* words that every phone for it must have; "": none */
    struct budget_limit budget;
};

#endif
